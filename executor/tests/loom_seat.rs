//! Work that is given to a worker at the moment at which it leaves is done by it, or kept by its owner, in any order of their steps.
//!
//! ```text
//!   src/threads/seat.rs ─ the protocol itself, included as it is
//!   support/parts.rs    ─ its flag as a loom model
//! ```
//!
//! ```sh
//! RUSTFLAGS="--cfg loom" cargo test --release -p pleach-executor --test loom_seat
//! ```
//!
//! A worker that waits for work which nobody gives it is a deadlock, which loom reports.
#![cfg(loom)]

#[path = "support/parts.rs"]
mod parts;
#[path = "../src/threads/seat.rs"]
mod seat;

use loom::cell::UnsafeCell;
use loom::sync::mpsc;
use loom::thread;
use seat::Seat;
use std::sync::Arc;

/// Case X28. Two pieces of work; the worker is out of patience after each.
#[test]
fn work_is_done_once_or_kept_while_a_worker_leaves() {
    loom::model(|| {
        let seat = Arc::new(Seat::new());
        let memory = Arc::new(UnsafeCell::new(0));
        let (given, works) = mpsc::channel();
        let worker = {
            let (seat, memory) = (Arc::clone(&seat), Arc::clone(&memory));
            thread::spawn(move || {
                let mut done = 0;
                loop {
                    // The worker's own, while the seat is taken.
                    memory.with_mut(|_| done += 1);
                    seat.free();
                    if seat.claim() {
                        return done;
                    }
                    works.recv().unwrap();
                }
            })
        };
        let gave = seat.claim();
        if gave {
            memory.with_mut(|_| ());
            given.send(()).unwrap();
        }
        assert_eq!(worker.join().unwrap(), 1 + u32::from(gave));
        assert!(seat.is_taken(), "it has left");
    });
}
