//! What the children of one nursery have in common: the one deadline, and who failed first.
//!
//! ```text
//!   the nursery is cancelled ─► the first watch that hears of it sets the deadline ─► all of them climb down by it
//!                                                                └─ the last of them has ended ─► forgotten
//!   a child fails ─► kept ─► what the others are told as the cause
//!                      └─ somebody has dealt with it ─► forgiven
//! ```
//!
//! Rules: a deadline is that of one stop, and ends with it. What was dealt with is nobody's cause.

use super::here::Here;
use super::id::ActorId;
use crate::config::Config;
use crate::error::Error;
use crate::supervise::Stop;
use crate::teardown::hand_down;
use crate::wire;
use pleach_executor::{Instant, Reason};
use pleach_ipc::proto::{Why, WireCause};
use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// What the nursery of a child shares among its children.
#[derive(Debug, Default)]
pub(crate) struct Siblings {
    /// The one deadline of the cancellation under way.
    deadline: Cell<Option<Instant>>,
    /// How many climb down by it.
    climbing: Cell<usize>,
    /// Who has failed, in that order, and what it said: the first is what the others are told.
    failures: RefCell<Vec<(ActorId, String)>>,
}

/// A share in the one deadline. It lasts until nobody has one any more.
#[derive(Debug)]
pub(super) struct Share {
    pub(super) at: Instant,
    siblings: Rc<Siblings>,
}

impl Drop for Share {
    fn drop(&mut self) {
        let left = self.siblings.climbing.get() - 1;
        self.siblings.climbing.set(left);
        if left == 0 {
            self.siblings.deadline.set(None);
        }
    }
}

impl Siblings {
    /// By when the children are to be gone: one moment for all of them, once the nursery is cancelled.
    pub(super) fn deadline(self: &Rc<Self>, here: &Here, now: Instant, config: &Config) -> Share {
        let at = self.deadline.get().unwrap_or_else(|| lone_deadline(here, now, config));
        self.deadline.set(Some(at));
        self.climbing.set(self.climbing.get() + 1);
        Share { at, siblings: Rc::clone(self) }
    }

    /// The cause for a reason of this nursery: a failure is named.
    pub(crate) fn cause(&self, here: &Here, reason: &Reason) -> WireCause {
        let mut cause = wire::cause_of(reason, here.id.path());
        if let Why::SiblingFailed { origin, summary } = &mut cause.why
            && origin.is_empty()
            && let Some((who, said)) = self.failures.borrow().first()
        {
            (*origin, *summary) = (who.path().to_owned(), said.clone());
        }
        cause
    }

    /// A child has failed; the first one counts.
    pub(super) fn failed(&self, who: &ActorId, e: &Error) {
        self.failures.borrow_mut().push((who.clone(), e.summary()));
    }

    /// Somebody has dealt with its failure: it is not why anybody else ends.
    pub(crate) fn forgive(&self, who: &ActorId) {
        self.failures.borrow_mut().retain(|(failed, _)| failed != who);
    }
}

/// By when a child that is stopped in a way of its own is to be gone: what this actor itself has left is the limit.
pub(super) fn deadline_by(stop: Stop, here: &Here, now: Instant) -> Instant {
    let left = here.deadline.get().map_or(Instant::MAX, |ours| hand_down(now, ours));
    match stop {
        Stop::Kill => now,
        Stop::Within(time) => left.min(now + time),
        Stop::Forever => left,
    }
}

/// By when one child that is stopped alone is to be gone.
pub(super) fn lone_deadline(here: &Here, now: Instant, config: &Config) -> Instant {
    match here.deadline.get() {
        Some(ours) => hand_down(now, ours),
        None => now + config.cancel,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;
    use pleach_executor::{now, run};
    use std::time::Duration;

    fn root() -> (Rc<Siblings>, Rc<Here>) {
        (Rc::default(), Here::root(ActorId::root("root"), Config::default(), None))
    }

    #[test]
    fn a_second_stop_has_a_deadline_of_its_own() {
        run(async {
            let (siblings, here) = root();
            let (first, later) = (now(), now() + Duration::from_secs(60));
            let config = Config::default();
            let a = siblings.deadline(&here, first, &config);
            let b = siblings.deadline(&here, first + Duration::from_secs(1), &config);
            assert_eq!(a.at, b.at, "one deadline for one stop");
            drop(a);
            assert_eq!(siblings.deadline(&here, later, &config).at, b.at, "it is not over");
            drop(b);
            assert_eq!(siblings.deadline(&here, later, &config).at, later + config.cancel_limit());
        });
    }

    #[test]
    fn what_was_dealt_with_is_nobodys_cause() {
        run(async {
            let (siblings, here) = root();
            let who = |name: &str| ActorId::new(name, &format!("root/{name}"), 7);
            let told = || match siblings.cause(&here, &Reason::SiblingFailed).why {
                Why::SiblingFailed { origin, .. } => origin,
                other => panic!("{other:?}"),
            };
            siblings.failed(&who("a"), &Error::msg("no"));
            siblings.failed(&who("b"), &Error::msg("no"));
            assert_eq!(told(), "root/a");
            siblings.forgive(&who("a"));
            assert_eq!(told(), "root/b");
            siblings.forgive(&who("b"));
            assert_eq!(told(), "");
        });
    }
}
