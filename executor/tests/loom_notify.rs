//! Another thread's wake is never lost, in any order of the steps of two pushers and an owner.
//!
//! ```text
//!   src/reactor/notify.rs ─ the protocol itself, included as it is
//!   support/parts.rs      ─ its queue, flag, hook and bell as loom models, none of them stronger than the real ones
//! ```
//!
//! ```sh
//! RUSTFLAGS="--cfg loom" cargo test --release -p pleach-executor --test loom_notify
//! ```
//!
//! An owner that waits for a bell nobody will ring is a deadlock, which loom reports.
#![cfg(loom)]

#[path = "../src/reactor/notify.rs"]
mod notify;
#[path = "support/parts.rs"]
mod parts;

use loom::thread;
use notify::Inbox;
use parts::Bell;
use std::sync::Arc;

/// Every order of the steps in which a thread is interrupted at most three times where it need not be: an order that goes
/// wrong takes one or two (each fence, and each flag, that is taken out is found missing).
fn model(f: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(f);
}

/// The owner: waits as the executor's loop does, until both words have come.
fn collect(inbox: &Inbox, bell: &Bell, words: usize) {
    let mut got = Vec::new();
    while got.len() < words {
        if !inbox.has_mail() && inbox.sleep() {
            bell.wait();
            inbox.awake();
        }
        if inbox.has_mail() {
            inbox.drain(&mut got);
        }
    }
    got.sort_unstable();
    assert_eq!(got, (0..words as u64).collect::<Vec<_>>());
}

fn pushers(inbox: &Arc<Inbox>, words: u64) -> Vec<thread::JoinHandle<()>> {
    let pusher = |word| {
        let inbox = Arc::clone(inbox);
        thread::spawn(move || inbox.push(word))
    };
    (0..words).map(pusher).collect()
}

#[test]
fn words_of_two_threads_reach_an_owner_whose_bell_hangs() {
    model(|| {
        let (inbox, bell) = (Arc::new(Inbox::new()), Bell::new());
        inbox.hang_bell(bell.clone());
        let pushers = pushers(&inbox, 2);
        collect(&inbox, &bell, 2);
        pushers.into_iter().for_each(|p| p.join().unwrap());
    });
}

#[test]
fn words_pushed_while_the_bell_is_being_hung_reach_the_owner() {
    model(|| {
        let (inbox, bell) = (Arc::new(Inbox::new()), Bell::new());
        let pushers = pushers(&inbox, 2);
        inbox.hang_bell(bell.clone());
        collect(&inbox, &bell, 2);
        pushers.into_iter().for_each(|p| p.join().unwrap());
    });
}

#[test]
fn a_thread_that_pushes_again_and_again_is_heard_each_time() {
    model(|| {
        let (inbox, bell) = (Arc::new(Inbox::new()), Bell::new());
        let pusher = {
            let inbox = Arc::clone(&inbox);
            thread::spawn(move || (0..2).for_each(|word| inbox.push(word)))
        };
        inbox.hang_bell(bell.clone());
        collect(&inbox, &bell, 2);
        pusher.join().unwrap();
    });
}
