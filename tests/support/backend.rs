//! Which backend a target is about: a test is compiled once for each, and the name of its target says for which.
//!
//! ```text
//!   middle.rs      ─► target middle        ─► Fork: closures, the root is a plain run
//!   middle_exec.rs ─► (a link to it)       ─► Exec: endpoints, the root is a Program
//! ```

#![allow(dead_code, reason = "not every test that includes this file uses all of it")]

use pleach::{Backend, Error, Program, run};

/// The backend of this target.
pub(crate) const BACKEND: Backend = {
    let name = env!("CARGO_CRATE_NAME").as_bytes();
    match name.split_at(name.len().saturating_sub(5)) {
        (_, b"_exec") => Backend::Exec,
        _ => Backend::Fork,
    }
};

/// Is this the target of [`Backend::Exec`]?
pub(crate) const EXEC: bool = matches!(BACKEND, Backend::Exec);

/// Runs `code` as a root that can start actors on this backend.
pub(crate) fn at_root<T>(program: fn() -> Program, code: impl AsyncFnOnce() -> T) -> T {
    if !EXEC {
        return run(code());
    }
    let outcome: Result<T, Error> = program().try_run(async |_| Ok(code().await));
    outcome.expect("the code of the case decides")
}
