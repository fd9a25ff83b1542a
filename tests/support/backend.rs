//! Which backend a target is about: a test is compiled once for each, and the name of its target says for which.
//!
//! ```text
//!   middle.rs        ─► target middle  ─► Fork: closures, the root is a plain run
//!   middle_exec.rs   ─► (a link to it) ─► Exec: endpoints, the root is a Program
//!   middle_server.rs ─► (likewise)     ─► ForkServer: the same
//! ```

#![allow(dead_code, reason = "not every test that includes this file uses all of it")]

use pleach::{Actor, ActorHandle, ActorNursery, Backend, Endpoint, Error, Program, Start, run};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The backend of this target.
pub(crate) const BACKEND: Backend = {
    match env!("CARGO_CRATE_NAME").as_bytes() {
        [.., b'_', b'e', b'x', b'e', b'c'] => Backend::Exec,
        [.., b'_', b's', b'e', b'r', b'v', b'e', b'r'] => Backend::ForkServer,
        _ => Backend::Fork,
    }
};

/// Do actors have nothing of this process' memory, but run endpoints of the same program?
pub(crate) const ANEW: bool = !matches!(BACKEND, Backend::Fork);
/// How many fork servers an actor has that may start others.
pub(crate) const SERVERS: usize = if matches!(BACKEND, Backend::ForkServer) { 1 } else { 0 };

/// Runs `code` as a root that can start actors on this backend, and leaves strays to the case on both.
pub(crate) fn at_root<T>(program: fn() -> Program, code: impl AsyncFnOnce() -> T) -> T {
    if !ANEW {
        return run(code());
    }
    let program = program();
    // With an actor that is killed dies its fork server, which comes to the root.
    let program = if SERVERS == 0 { program.without_gathering() } else { program };
    outcome_of(program, code)
}

/// The same for a case that looks itself who comes to its process, on every backend.
pub(crate) fn at_root_alone<T>(program: fn() -> Program, code: impl AsyncFnOnce() -> T) -> T {
    if ANEW { outcome_of(program().without_gathering(), code) } else { run(code()) }
}

/// The same as a program that takes away what the dead leave.
pub(crate) fn at_program<T>(program: fn() -> Program, code: impl AsyncFnOnce() -> T) -> T {
    outcome_of(program(), code)
}

/// From here on the case has no process but those that come to it: its own fork server is gone.
pub(crate) async fn alone() {
    Actor::current().end_fork_server().await.expect("nobody cancels a case");
}

fn outcome_of<T>(program: Program, code: impl AsyncFnOnce() -> T) -> T {
    let outcome: Result<T, Error> = program.try_run(async |_| Ok(code().await));
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
    if ANEW { an.call_with(start, endpoint, args) } else { an.fork(start, (), code) }
}
