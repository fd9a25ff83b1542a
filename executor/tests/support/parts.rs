//! What `src/reactor/parts.rs` has, as loom models, none of them stronger than the real ones.
#![allow(dead_code, unused_imports, reason = "each model uses its share")]

pub(crate) use loom::sync::atomic::{AtomicBool, Ordering, fence};
pub(crate) use loom::sync::{Mutex, MutexGuard};
pub(crate) use std::sync::PoisonError;

use loom::sync::Notify;
use loom::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock};

/// Weaker than any queue: a word is there for who has synchronised with its pusher, and for nobody else for sure.
/// Word `n` has place `n`.
pub(crate) struct Mail([AtomicU64; 2]);

impl Mail {
    pub(crate) fn new() -> Self {
        Mail(std::array::from_fn(|_| AtomicU64::new(0)))
    }

    pub(crate) fn put(&self, word: u64) {
        self.0[word as usize].store(1, Ordering::Relaxed);
    }

    pub(crate) fn take_all(&self, into: &mut Vec<u64>) {
        for (word, place) in self.0.iter().enumerate() {
            if place.load(Ordering::Relaxed) == 1 {
                place.store(0, Ordering::Relaxed);
                into.push(word as u64);
            }
        }
    }
}

/// An eventfd behind an edge-triggered epoll: a ring ends one wait, also one that begins later.
#[derive(Clone)]
pub(crate) struct Bell(Arc<Notify>);

impl Bell {
    pub(crate) fn new() -> Self {
        Bell(Arc::new(Notify::new()))
    }

    pub(crate) fn ring(&self) {
        self.0.notify();
    }

    pub(crate) fn wait(&self) {
        self.0.wait();
    }
}

/// Ordered like a `OnceLock`: hung with release, looked at with acquire.
pub(crate) struct Hook {
    hung: AtomicBool,
    bell: OnceLock<Bell>,
}

impl Hook {
    pub(crate) fn new() -> Self {
        Hook { hung: AtomicBool::new(false), bell: OnceLock::new() }
    }

    pub(crate) fn hang(&self, bell: Bell) {
        assert!(self.bell.set(bell).is_ok(), "hung once");
        self.hung.store(true, Ordering::Release);
    }

    pub(crate) fn bell(&self) -> Option<&Bell> {
        if self.hung.load(Ordering::Acquire) { self.bell.get() } else { None }
    }
}
