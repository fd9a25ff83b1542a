//! Which backend a target is about: a test is compiled once for each, and the name of its target says for which.
//!
//! ```text
//!   middle.rs      ─► target middle        ─► Fork: closures, the root is a plain run
//!   middle_exec.rs ─► (a link to it)       ─► Exec: endpoints, the root is a Program
//! ```

#![allow(dead_code, reason = "not every test that includes this file uses all of it")]

use pleach::{Actor, ActorHandle, ActorNursery, Backend, Endpoint, Error, Program, Start, run};
use serde::Serialize;
use serde::de::DeserializeOwned;

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

/// Runs `code` as a root that can start actors on this backend, and leaves strays to the case on both.
pub(crate) fn at_root<T>(program: fn() -> Program, code: impl AsyncFnOnce() -> T) -> T {
    if !EXEC {
        return run(code());
    }
    let outcome: Result<T, Error> = program().without_gathering().try_run(async |_| Ok(code().await));
    outcome.expect("the code of the case decides")
}

/// Starts an actor of this target's backend, as the endpoint or as the closure that does the same.
pub(crate) fn start<A, T, F>(
    an: &ActorNursery,
    start: impl Into<Start>,
    endpoint: Endpoint<A, T>,
    args: A,
    code: F,
) -> ActorHandle<T>
where
    A: Serialize,
    T: Serialize + DeserializeOwned + 'static,
    F: AsyncFnOnce(Actor, ()) -> Result<T, Error> + 'static,
{
    let start = start.into().backend(BACKEND).may_spawn(true);
    if EXEC { an.call_with(start, endpoint, args) } else { an.fork(start, (), code) }
}
