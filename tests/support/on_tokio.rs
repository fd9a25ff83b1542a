//! Runs inside tokio, one thread, on a clock that stands still while anything can run.
//!
//! ```text
//!   under_tokio(case) ─► hosted(OnTokio, case) ─► a local task set ─► a paused current-thread runtime
//! ```
//!
//! Rules: the driver is the example's, so that what is tested is what is shown.

#![allow(dead_code, reason = "every test file uses its own part of this")]

#[path = "../../examples/under_tokio/driver.rs"]
mod driver;

pub(crate) use driver::OnTokio;
use pleach_executor::host::hosted;
use tokio::task::LocalSet;

/// Runs `fut` on a tokio runtime with a clock that stands still while anything can run, and then jumps.
pub(crate) fn on_tokio<F: Future>(fut: F) -> F::Output {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_all().start_paused(true).build().expect("a runtime");
    LocalSet::new().block_on(&runtime, fut)
}

/// Runs a case as the main task of a hosted run.
pub(crate) fn under_tokio<F: Future>(case: F) -> F::Output {
    on_tokio(hosted(OnTokio::default(), case))
}
