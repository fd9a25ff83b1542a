//! For tests of exec: what this binary does when it is started again, as a table of entries.
//!
//! ```text
//!   main ─► start(entries, cases) ─┬─ root ──► cases()
//!                                  └─ child ─► the entry of the plan's name
//! ```

#![allow(dead_code, reason = "not every test binary uses every helper")]

use super::support::{read_all, stand_still};
use pleach_spawn::{
    Born, ExitStatus, ForkServer, Forked, Image, Plan, SpawnError, Start, no_children, plain_words, reborn,
};
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::sync::OnceLock;
use std::time::Duration;

/// What a child runs, and its name.
pub(crate) type Entry = (&'static str, fn(Born, Vec<OwnedFd>) -> i32);

/// Makes an [`Entry`] of a function.
#[macro_export]
macro_rules! entries {
    ($($name:ident),* $(,)?) => { &[$((stringify!($name), $name)),*] };
}

static IMAGE: OnceLock<Image> = OnceLock::new();

/// The image of this process.
pub(crate) fn image() -> &'static Image {
    IMAGE.get().expect("main has put it there")
}

/// The `main` of a test binary.
pub(crate) fn start(entries: &[Entry], cases: fn() -> ExitCode) -> ExitCode {
    match reborn(plain_words) {
        Start::Reborn(child, image) => {
            let (_, entry) = entries.iter().find(|(name, _)| *name == child.name()).expect("an entry");
            IMAGE.set(image).expect("the first");
            child.enter(entry)
        }
        Start::Root(image) => {
            IMAGE.set(image.expect("/proc")).expect("the first");
            cases()
        }
    }
}

/// Is this a target of the fork server? The cases are the same, and the name of the target says by what children are made.
pub(crate) const SERVER: bool = {
    let name = env!("CARGO_CRATE_NAME").as_bytes();
    matches!(name.split_first_chunk::<6>(), Some((b"server", _)))
};

/// A child by exec; or by a fork server of its own, which is gone when the child is given out.
pub(crate) async fn exec(plan: Plan, image: &Image, given: Vec<OwnedFd>) -> Result<Forked, SpawnError> {
    if !SERVER {
        return pleach_spawn::exec(plan, image, given).await;
    }
    let server = ForkServer::start(Plan::new("server"), image).await?;
    let (made, pid) = (server.spawn(&plan, &given).await, server.pid());
    drop(server);
    // Reaped by the run.
    while std::fs::exists(format!("/proc/{pid}")).expect("/proc") {
        pleach_executor::sleep(Duration::from_millis(1)).await?;
    }
    made
}

/// A server whose request was dropped, and a child that it has made all the same, are reaped by the run.
pub(crate) async fn are_gone() {
    while SERVER && !no_children() {
        pleach_executor::sleep(Duration::from_millis(1)).await.expect("not cancelled");
    }
}

/// A child that runs the entry of that name.
pub(crate) async fn execed(name: &str) -> Forked {
    exec(Plan::new(name), image(), Vec::new()).await.expect("exec")
}

/// All that a child says, and that it ends well.
pub(crate) async fn said_by(name: &str, given: Vec<OwnedFd>) -> String {
    let child = exec(Plan::new(name), image(), given).await.expect("exec");
    let text = read_all(child.link);
    assert_eq!(child.process.wait().await.expect("not cancelled"), ExitStatus::Exited(0), "{text}");
    text
}

/// In a child: says this, and that all is well.
pub(crate) fn say(born: &Born, text: &str) -> i32 {
    let mut link = UnixStream::from(born.take_link().expect("the first to take it"));
    link.write_all(text.as_bytes()).expect("the parent reads");
    0
}

// ---- entries of many cases

pub(crate) fn stands_still(_: Born, _: Vec<OwnedFd>) -> i32 {
    stand_still()
}

pub(crate) fn leaves_with_9(_: Born, _: Vec<OwnedFd>) -> i32 {
    9
}

pub(crate) fn leaves_at_once(_: Born, _: Vec<OwnedFd>) -> i32 {
    0
}

pub(crate) fn reads_until_eof(born: Born, _: Vec<OwnedFd>) -> i32 {
    let link = born.take_link().expect("once");
    assert_eq!(read_all(UnixStream::from(link)), "");
    0
}
