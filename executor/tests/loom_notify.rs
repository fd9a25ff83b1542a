//! Every interleaving of the doorbell between threads (`src/reactor/notify.rs`, "No lost wake-up").
//!
//! ```text
//!   pusher 1 ─┐ queue.push, rung.swap, ring      owner: hang the bell, drain, look, wait
//!   pusher 2 ─┘
//! ```
//!
//! The protocol is written out here over loom's types, step for step as in the file header there: crossbeam's queue and
//! mio's eventfd cannot run under loom. Build with `RUSTFLAGS="--cfg loom"`; otherwise this file is empty.
#![cfg(loom)]

use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};
use loom::sync::{Arc, Mutex};
use loom::thread;

#[derive(Default)]
struct Model {
    queue: Mutex<Vec<u64>>,
    rung: AtomicBool,
    /// The bell hangs.
    hung: AtomicBool,
    /// How often it was rung: the eventfd's counter.
    counter: AtomicUsize,
}

impl Model {
    fn push(&self, word: u64) {
        self.queue.lock().unwrap().push(word);
        if !self.rung.swap(true, Ordering::SeqCst) {
            fence(Ordering::SeqCst);
            if self.hung.load(Ordering::Acquire) {
                self.counter.fetch_add(1, Ordering::SeqCst);
            }
        }
    }

    fn hang(&self) {
        self.hung.store(true, Ordering::Release);
        fence(Ordering::SeqCst);
    }

    fn drain(&self) -> usize {
        self.rung.store(false, Ordering::SeqCst);
        std::mem::take(&mut *self.queue.lock().unwrap()).len()
    }

    /// Would the owner fall asleep for good? Only if it sees no mail and the counter stays at zero.
    fn would_sleep(&self) -> bool {
        !self.rung.load(Ordering::SeqCst) && self.counter.load(Ordering::SeqCst) == 0
    }
}

#[test]
fn a_push_is_never_slept_through() {
    loom::model(|| {
        let model = Arc::new(Model::default());
        let pushers: Vec<_> = (0..2)
            .map(|i| {
                let model = Arc::clone(&model);
                thread::spawn(move || model.push(i))
            })
            .collect();
        // The owner: drains once before the bell hangs, hangs it, and looks.
        let mut got = model.drain();
        model.hang();
        let slept = model.would_sleep();
        for p in pushers {
            p.join().unwrap();
        }
        // Once it has decided to sleep, every word that is still to be taken has rung.
        let left = model.queue.lock().unwrap().len();
        let rung = model.counter.load(Ordering::SeqCst);
        assert!(!slept || left == 0 || rung > 0, "{left} words wait and nobody rang");
        got += model.drain();
        assert_eq!(got, 2, "no word is lost");
    });
}

#[test]
fn one_ring_is_enough_for_a_batch_and_the_next_batch_rings_again() {
    loom::model(|| {
        let model = Arc::new(Model::default());
        model.hang();
        let other = Arc::clone(&model);
        let pusher = thread::spawn(move || {
            other.push(1);
            other.push(2);
        });
        let mut got = model.drain();
        let slept = model.would_sleep();
        pusher.join().unwrap();
        if slept {
            let rung = model.counter.load(Ordering::SeqCst);
            let left = model.queue.lock().unwrap().len();
            assert!(left == 0 || rung > 0, "{left} words wait and nobody rang");
            assert!(rung <= 2);
        }
        got += model.drain();
        assert_eq!(got, 2);
    });
}
