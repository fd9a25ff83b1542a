//! Promise: what the system refuses a guest is told where it was asked for: by its start, or by a tick.
//!
//! ```text
//!   no descriptors left ─► start ─► Err        its epoll instance is gone ─► tick ─► panic        then: the thread is free
//! ```
//!
//! Rules: alone in its process, whose limit it lowers and whose descriptors it spoils.

#[path = "support/by_hand.rs"]
mod by_hand;

use by_hand::message;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use pleach_executor::guest::Guest;
use pleach_executor::low_level::owned_fds;
use pleach_executor::{run, sleep_forever};
use std::fs::{self, File};
use std::os::fd::{AsFd, AsRawFd, IntoRawFd, RawFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Mutex;

/// Case X50. Trio's `InternalError` is a panic with a text here, and an error where the system refuses what a run is made of.
#[test]
fn what_the_system_refuses_comes_out_of_start_and_of_tick() {
    let _alone = ALONE.lock();
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("there is one");
    setrlimit(Resource::RLIMIT_NOFILE, 64, hard).expect("lower is allowed");
    let mut files = Vec::new();
    while let Ok(file) = File::open("/dev/null") {
        files.push(file);
    }
    let held = Rc::new(());
    for left in 0..3 {
        let main = Rc::clone(&held);
        let refused = Guest::start(async move { drop(main) }).expect_err("too few descriptors");
        assert_eq!(refused.raw_os_error(), Some(nix::libc::EMFILE), "with {left} left: {refused}");
        assert_eq!(Rc::strong_count(&held), 1, "main is dropped");
        files.pop().expect("more than that are open");
    }
    drop(files);

    let mut guest = Guest::start(sleep_forever()).expect("enough descriptors");
    let _idle = guest.tick();
    epolls().into_iter().for_each(spoil);
    let failed = catch_unwind(AssertUnwindSafe(|| _ = guest.tick()));
    let text = message(failed.unwrap_err());
    assert!(text.starts_with("the reactor failed"), "{text}");
    assert!(guest.is_over());
    assert_eq!(run(async { 1 }), 1);
}

/// Also one that is given up in the middle of a wait.
#[test]
fn a_guest_that_is_gone_has_closed_its_descriptors() {
    let _alone = ALONE.lock();
    let before = open();
    let mut guest = Guest::start(sleep_forever()).expect("enough descriptors");
    let _idle = guest.tick();
    assert!(open() >= before + 3);
    assert!(owned_fds().contains(&guest.as_fd().as_raw_fd()), "a forked child closes it");
    drop(guest);
    assert_eq!(open(), before);
}

/// The cases are about the whole process.
static ALONE: Mutex<()> = Mutex::new(());

/// How many descriptors this process has open.
fn open() -> usize {
    fs::read_dir("/proc/self/fd").expect("procfs").count()
}

/// The numbers of this process that are epoll instances.
fn epolls() -> Vec<RawFd> {
    let numbers = fs::read_dir("/proc/self/fd").expect("procfs").map(|entry| entry.expect("an entry"));
    let numbers = numbers
        .filter(|entry| fs::read_link(entry.path()).is_ok_and(|to| to.ends_with("anon_inode:[eventpoll]")));
    let numbers: Vec<RawFd> = numbers.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    assert!(!numbers.is_empty());
    numbers
}

/// Has `number` name something that is no epoll instance.
fn spoil(number: RawFd) {
    nix::unistd::close(number).expect("it is open");
    // The lowest number that is free is given out first.
    let mut others = Vec::new();
    loop {
        let file = File::open("/dev/null").expect("there is room");
        if file.as_raw_fd() == number {
            let _stays_open = file.into_raw_fd();
            return;
        }
        others.push(file);
    }
}
