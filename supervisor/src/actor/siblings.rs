//! What the children of one nursery have in common: the one deadline, and who failed first.
//!
//! ```text
//!   the nursery is cancelled ─► the first watch that hears of it sets the deadline ─► all of them climb down by it
//!   a child fails ─► kept ─► what the others are told as the cause
//! ```

use super::here::Here;
use super::id::ActorId;
use crate::config::Config;
use crate::error::Error;
use crate::teardown::hand_down;
use crate::wire;
use pleach_executor::{Instant, Reason};
use pleach_ipc::proto::{Why, WireCause};
use std::cell::{Cell, RefCell};

/// What the nursery of a child shares among its children.
#[derive(Debug, Default)]
pub(crate) struct Siblings {
    /// The one deadline of the cancellation under way.
    deadline: Cell<Option<Instant>>,
    /// Who failed first, and what it said: what the others are told.
    first_failure: RefCell<Option<(String, String)>>,
}

impl Siblings {
    /// By when the children are to be gone: one moment for all of them, once the nursery is cancelled.
    pub(super) fn deadline(&self, here: &Here, now: Instant, config: &Config) -> Instant {
        if let Some(at) = self.deadline.get() {
            return at;
        }
        let at = lone_deadline(here, now, config);
        self.deadline.set(Some(at));
        at
    }

    /// The cause for a reason of this nursery: a failure is named.
    pub(crate) fn cause(&self, here: &Here, reason: &Reason) -> WireCause {
        let mut cause = wire::cause_of(reason, here.id.path());
        if let Why::SiblingFailed { origin, summary } = &mut cause.why
            && origin.is_empty()
            && let Some(first) = &*self.first_failure.borrow()
        {
            (*origin, *summary) = first.clone();
        }
        cause
    }

    /// A child has failed; the first one counts.
    pub(super) fn failed(&self, who: &ActorId, e: &Error) {
        self.first_failure.borrow_mut().get_or_insert_with(|| (who.path().to_owned(), e.summary()));
    }
}

/// By when one child that is stopped alone is to be gone.
pub(super) fn lone_deadline(here: &Here, now: Instant, config: &Config) -> Instant {
    match here.deadline.get() {
        Some(ours) => hand_down(now, ours),
        None => now + config.cancel,
    }
}
