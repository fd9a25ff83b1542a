//! How a child leaves that cannot go on: last words on its link, and the exit code of its phase.
//!
//! ```text
//!   a step refused by the system ─► or_leave ─┐
//!   a panic, anywhere in the child ─► catch ──┴─► last words ─► _exit(64 + phase)
//! ```

use crate::born::Born;
use std::any::Any;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

/// Goes on if a step was done, and otherwise ends the process with what refused and why.
///
/// Async-signal-safe because it calls only such functions.
pub(crate) fn or_leave<T>(born: &Born, what: &str, done: io::Result<T>) -> T {
    match done {
        Ok(value) => value,
        Err(e) => leave(born, what, &e),
    }
}

/// By itself, so that the room for last words is not on the stack of those who do not fail.
#[cold]
#[inline(never)]
fn leave(born: &Born, what: &str, error: &io::Error) -> ! {
    let phase = born.phase();
    born.last_words(phase, error.raw_os_error().unwrap_or(0), what);
    born.leave(phase.exit_code())
}

/// Message and place of the last panic in this child. The payload that comes out below has no place.
#[derive(Clone, Default)]
pub(crate) struct LastPanic(Arc<Mutex<Option<(String, String)>>>);

impl LastPanic {
    /// From here on panics are noted before the hook that was there does what it does.
    pub(crate) fn listen(&self) {
        let before = std::panic::take_hook();
        let slot = self.clone();
        std::panic::set_hook(Box::new(move |info| {
            let place = info.location().map_or_else(String::new, ToString::to_string);
            let note = (text_of(info.payload()).to_owned(), place);
            *slot.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(note);
            before(info);
        }));
    }

    /// Runs a part of a child's life. A panic does not come out: the child says it and ends.
    pub(crate) fn catch<T>(&self, witness: &Born, part: impl FnOnce() -> T) -> T {
        match catch_unwind(AssertUnwindSafe(part)) {
            Ok(value) => value,
            Err(payload) => self.say(witness, payload),
        }
    }

    #[cold]
    #[inline(never)]
    fn say(&self, witness: &Born, payload: Box<dyn Any + Send>) -> ! {
        let phase = witness.phase();
        witness.last_words(phase, 0, &self.describe(&*payload));
        // Its destructor could panic again.
        std::mem::forget(payload);
        witness.leave(phase.exit_code())
    }

    /// The text for last words: the message, and the place if the last panic is the one that came out.
    fn describe(&self, payload: &(dyn Any + Send)) -> String {
        let text = text_of(payload);
        match &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            Some((noted, place)) if noted == text => format!("panicked at {place}: {text}"),
            _ => format!("panicked: {text}"),
        }
    }
}

fn text_of(payload: &(dyn Any + Send)) -> &str {
    if let Some(text) = payload.downcast_ref::<&str>() {
        text
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text
    } else {
        "(a payload that is no text)"
    }
}
