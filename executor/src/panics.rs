//! Steps that must all happen although any of them may panic: wakes of a batch, destructors of a nursery's children.
//!
//! ```text
//!   step │ step, panics │ step │ step, panics ─► resume(): the first payload goes on, later ones are forgotten
//! ```
//!
//! Rules:
//! * A payload may panic when it is dropped, so one that has nowhere to go is forgotten.
//! * While the thread unwinds already nothing resumes: a second panic would abort the process.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// What a panic carries.
pub(crate) type Payload = Box<dyn Any + Send>;

/// The steps so far: the first payload among them.
#[must_use = "a panic among the steps has to go on: resume()"]
pub(crate) struct Steps {
    first: Option<Payload>,
}

impl Steps {
    pub(crate) const fn new() -> Self {
        Steps { first: None }
    }

    /// Does one step.
    pub(crate) fn step(&mut self, f: impl FnOnce()) {
        if let Err(payload) = catch_unwind(AssertUnwindSafe(f)) {
            keep_first(&mut self.first, payload);
        }
    }

    /// The first payload, for somebody who knows where it belongs.
    pub(crate) fn into_first(self) -> Option<Payload> {
        self.first
    }

    /// Every step is done: lets the first panic go on.
    pub(crate) fn resume(self) {
        match self.first {
            Some(payload) if std::thread::panicking() => std::mem::forget(payload),
            Some(payload) => resume_unwind(payload),
            None => {}
        }
    }
}

/// Keeps `payload` if it is the first; says whether it was.
pub(crate) fn keep_first(first: &mut Option<Payload>, payload: Payload) -> bool {
    if first.is_some() {
        std::mem::forget(payload);
        return false;
    }
    *first = Some(payload);
    true
}
