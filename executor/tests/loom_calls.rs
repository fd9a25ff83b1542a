//! A call that was accepted is made, once, and one that is refused is not, in any order of the steps of two threads and an owner.
//!
//! ```text
//!   src/reactor/calls.rs, notify.rs ─ the protocols themselves, included as they are
//!   support/parts.rs                ─ their lock, queue, flags, hook and bell as loom models
//! ```
//!
//! ```sh
//! RUSTFLAGS="--cfg loom" cargo test --release -p pleach-executor --test loom_calls
//! ```
//!
//! An owner that waits for a bell nobody will ring is a deadlock, which loom reports.
#![cfg(loom)]

#[path = "../src/reactor/calls.rs"]
mod calls;
#[path = "../src/reactor/notify.rs"]
mod notify;
#[path = "support/parts.rs"]
mod parts;

use calls::{CALLS, Calls, leaves_line};
use loom::thread;
use notify::Inbox;
use parts::{AtomicBool, Bell};
use std::sync::Arc;

/// As in `loom_notify.rs`.
fn model(f: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(f);
}

struct Owner {
    inbox: Arc<Inbox>,
    bell: Bell,
    calls: Arc<Calls<u64>>,
}

impl Owner {
    fn new() -> Self {
        let (inbox, bell) = (Arc::new(Inbox::new()), Bell::new());
        inbox.hang_bell(bell.clone());
        let calls = Arc::new(Calls::new(Arc::clone(&inbox)));
        Owner { inbox, bell, calls }
    }

    /// Waits as the executor's loop does, and takes the calls of which it is told.
    fn wait(&self) -> Vec<u64> {
        if !self.inbox.has_mail() && self.inbox.sleep() {
            self.bell.wait();
            self.inbox.awake();
        }
        let (mut words, mut taken) = (Vec::new(), Vec::new());
        if self.inbox.has_mail() {
            self.inbox.drain(&mut words);
        }
        if words.contains(&CALLS) {
            self.calls.take(&mut taken);
        }
        taken
    }
}

#[test]
fn calls_of_two_threads_reach_a_waiting_owner_in_the_order_of_each() {
    model(|| {
        let owner = Owner::new();
        let asks = |mine: &'static [u64]| {
            let calls = Arc::clone(&owner.calls);
            thread::spawn(move || mine.iter().for_each(|call| calls.put(*call).unwrap()))
        };
        let threads = [asks(&[10, 11]), asks(&[20])];
        let mut made = Vec::new();
        while made.len() < 3 {
            made.extend(owner.wait());
        }
        assert!(made.iter().position(|c| *c == 10) < made.iter().position(|c| *c == 11));
        threads.into_iter().for_each(|t| t.join().unwrap());
    });
}

#[test]
fn a_call_is_made_or_refused_while_the_line_ends() {
    model(|| {
        let owner = Owner::new();
        let asks = |call| {
            let calls = Arc::clone(&owner.calls);
            thread::spawn(move || calls.put(call).is_ok().then_some(call))
        };
        let threads = [asks(1), asks(2)];
        let mut made = Vec::new();
        owner.calls.take(&mut made);
        made.extend(owner.calls.end());
        made.sort_unstable();
        let accepted: Vec<u64> = threads.into_iter().filter_map(|t| t.join().unwrap()).collect();
        assert_eq!(made, accepted);
        assert!(owner.calls.is_over() && owner.calls.end().is_empty());
    });
}

#[test]
fn who_asks_for_a_nudge_that_is_in_line_is_seen_by_it() {
    use loom::sync::atomic::{AtomicU64, Ordering};
    model(|| {
        let owner = Owner::new();
        let in_line = Arc::new(AtomicBool::new(false));
        let wrote = Arc::new([AtomicU64::new(0), AtomicU64::new(0)]);
        let asks = |me: usize| {
            let (calls, in_line, wrote) =
                (Arc::clone(&owner.calls), Arc::clone(&in_line), Arc::clone(&wrote));
            thread::spawn(move || {
                // Seen by the call only through the flag.
                wrote[me].store(1, Ordering::Relaxed);
                calls.put_once(&in_line, || 7).unwrap();
            })
        };
        let threads = [asks(0), asks(1)];
        let mut seen = [0, 0];
        while seen != [1, 1] {
            let taken = owner.wait();
            assert!(taken.len() <= 1, "in line once");
            for _call in taken {
                leaves_line(&in_line);
                seen = std::array::from_fn(|i| wrote[i].load(Ordering::Relaxed));
            }
        }
        threads.into_iter().for_each(|t| t.join().unwrap());
    });
}
