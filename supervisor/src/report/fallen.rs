//! Whom a failure took down: actors that were cancelled because another failed first. They are in no error tree.
//!
//! ```text
//!   Ended { who, Cancelled(SiblingFailed { origin }) } ─► the toll of origin: one more, and who
//!   Started { origin } ─────────────────────────────────► forgotten: it has begun anew
//! ```
//!
//! Rules: what is kept does not grow with the life of a program: of a failure the first few by path and the number of all,
//! and only of the last failures.

use super::text;
use crate::actor::{ActorId, Ending, Event, Status};
use crate::wire::Why;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;

/// Of how many failures the toll is kept. After that the oldest is forgotten.
const KEPT: usize = 1000;
/// How many of those that one failure took down are named; the others are counted.
pub(super) const NAMED: usize = 20;

/// Collects from the events of a tree whom its failures took down, for [`Report::with`](super::Report::with).
///
/// [`Program::run`](crate::Program::run) has one of its own. This is for those who print an error themselves:
///
/// ```no_run
/// # async fn f(root: pleach::Actor) {
/// use pleach::{Error, Fallen, Report, actors};
/// let fallen = Fallen::default();
/// let watching = root.observe({
///     let fallen = fallen.clone();
///     move |event| fallen.hear(event)
/// });
/// let outcome: Result<(), Error> = actors(async |an| Ok(())).await;
/// drop(watching);
/// if let Err(e) = outcome {
///     eprintln!("{}", Report::new(&e).with(&fallen));
/// }
/// # }
/// ```
///
/// A clone is another hand on the same collection. It remembers the last 1000 failures, and forgets what an actor did when
/// one is started on the same path: a program that tries again is not charged with what it has got over.
#[derive(Clone, Debug, Default)]
pub struct Fallen(Rc<RefCell<Tolls>>);

#[derive(Debug, Default)]
struct Tolls {
    /// By the path of the guilty, as far up as it was somebody's sibling.
    of: BTreeMap<String, Toll>,
    /// How many failures there have been.
    failures: u64,
}

/// Whom one failure took down.
#[derive(Clone, Debug, Default)]
pub(super) struct Toll {
    /// Which failure it was, counted from the first.
    number: u64,
    pub(super) count: usize,
    /// The first [`NAMED`] by path: in which order they ended is chance.
    pub(super) named: Vec<Casualty>,
}

impl Fallen {
    /// Takes note of an event of the tree.
    pub fn hear(&self, event: &Event) {
        let mut tolls = self.0.borrow_mut();
        match event {
            Event::Started { actor, .. } => {
                tolls.of.remove(actor.path());
            }
            Event::Ended { actor, status, ending: Ending::Cancelled(cause), .. } => {
                let Why::SiblingFailed { origin, .. } = cause.why() else { return };
                // A failure that was no child's was that of the actor itself.
                let guilty = if origin.is_empty() { cause.by() } else { origin };
                let casualty = Casualty { actor: actor.clone(), status: *status };
                tolls.toll(guilty).take(1, [casualty]);
            }
            _ => {}
        }
    }

    /// The tolls, by the path of the guilty.
    pub(super) fn heard(&self) -> BTreeMap<String, Toll> {
        self.0.borrow().of.clone()
    }
}

impl Tolls {
    fn toll(&mut self, guilty: &str) -> &mut Toll {
        if !self.of.contains_key(guilty) {
            if self.of.len() == KEPT
                && let Some(oldest) =
                    self.of.iter().min_by_key(|(_, toll)| toll.number).map(|(path, _)| path.clone())
            {
                self.of.remove(&oldest);
            }
            self.failures += 1;
        }
        let number = self.failures;
        self.of.entry(guilty.to_owned()).or_insert_with(|| Toll { number, ..Toll::default() })
    }
}

impl Toll {
    /// Adds `count` more, and their names as far as they are known.
    pub(super) fn take(&mut self, count: usize, named: impl IntoIterator<Item = Casualty>) {
        self.count += count;
        for casualty in named {
            let i = self.named.partition_point(|c| c.place() <= casualty.place());
            self.named.insert(i, casualty);
            self.named.truncate(NAMED);
        }
    }
}

/// An actor that was cancelled because another failed first.
#[derive(Clone, Debug)]
pub(super) struct Casualty {
    actor: ActorId,
    status: Status,
}

impl Casualty {
    /// What it is listed by.
    fn place(&self) -> (&str, u32) {
        (self.actor.path(), self.actor.pid())
    }
}

impl fmt::Display for Casualty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.actor.pid() == 0 {
            return write!(f, "{} (not yet started)", text::clean_line(self.actor.path()));
        }
        f.write_str(&text::actor(self.actor.path(), self.actor.pid()))?;
        match self.status {
            Status::Exited(0) => Ok(()),
            status => write!(f, ", {}", text::named(status)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::ending_of;
    use pleach_ipc::proto::WireCause;

    #[test]
    fn only_the_last_failures_are_remembered() {
        let fallen = Fallen::default();
        for i in 0..KEPT + 5 {
            let why =
                Why::SiblingFailed { origin: format!("root/w{}", KEPT + 5 - i), summary: String::new() };
            let ending = ending_of(WireCause { by: "root".to_owned(), why });
            let actor = ActorId::new("a", "root/a", 2);
            fallen.hear(&Event::Ended { actor, start_time: 0, status: Status::Exited(0), ending });
        }
        let tolls = fallen.heard();
        assert_eq!(tolls.len(), KEPT);
        assert!(tolls.contains_key("root/w1") && !tolls.contains_key(&format!("root/w{}", KEPT + 1)));
    }
}
