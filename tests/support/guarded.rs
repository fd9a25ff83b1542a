//! Runs a case on the ordinary clock; one that hangs fails.

use pleach_executor::{In, run};
use std::future::Future;
use std::io;
use std::time::Duration;

/// Far longer than any case takes.
const NEVER: Duration = Duration::from_secs(30);

/// Runs it; what hangs fails.
pub(crate) fn guarded(test: impl Future<Output = io::Result<()>>) {
    let ended = run(In::<io::Error>::move_on_after(NEVER, async |_| test.await));
    assert!(ended.expect("no operation fails").is_some(), "it hangs");
}
