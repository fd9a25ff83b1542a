//! What is told about a tree while it lives: who came up, who went and how. Relayed upward by every parent, so that
//! an observer at the root hears of every actor below it, in the order in which each parent saw it.

use super::ActorId;
use crate::wire::Cause;
use std::fmt;

/// How a process ended, as its parent heard it from the system.
pub use pleach_ipc::proto::WireStatus as Status;

/// How an actor ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ending {
    /// With a value.
    Returned,
    /// With an error or a panic: it is in the error tree.
    Failed,
    /// Its process ended without a word: that is in the error tree.
    Died,
    /// It was cancelled, and ended in order or by a rung of the ladder. Without a process (pid 0): before it was made.
    Cancelled(Cause),
}

/// Something happened to an actor of the tree.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// Its process has been made.
    Started {
        /// Who.
        actor: ActorId,
        /// When, in clock ticks since boot; with the pid a name used only once. 0 if it was gone before that was read.
        start_time: u64,
    },
    /// Its process has been reaped by its own parent.
    Ended {
        /// Who.
        actor: ActorId,
        /// As in `Started`.
        start_time: u64,
        /// How the process ended.
        status: Status,
        /// How the actor ended.
        ending: Ending,
    },
    /// It said something ([`super::Actor::note`]).
    Note {
        /// Its path.
        path: String,
        /// What.
        text: String,
    },
}

impl Event {
    /// Is it told by the actor of this path about itself, or about one below it? An actor cannot have been started by
    /// itself.
    pub(crate) fn is_below(&self, path: &str) -> bool {
        let strictly = |other: &str| other.strip_prefix(path).is_some_and(|rest| rest.starts_with('/'));
        match self {
            Event::Started { actor, .. } | Event::Ended { actor, .. } => strictly(actor.path()),
            Event::Note { path: other, .. } => other == path || strictly(other),
        }
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Ending::Returned => f.write_str("returned"),
            Ending::Failed => f.write_str("failed"),
            Ending::Died => f.write_str("died"),
            Ending::Cancelled(cause) => write!(f, "cancelled: {cause}"),
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Event::Started { actor, .. } => write!(f, "{actor} started"),
            Event::Ended { actor, ending, status, .. } => write!(f, "{actor} {ending} ({status})"),
            Event::Note { path, text } => write!(f, "{path}: {text}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_actor_tells_of_itself_and_of_those_below() {
        let note = |path: &str| Event::Note { path: path.to_owned(), text: String::new() };
        assert!(note("root/a").is_below("root/a") && note("root/a/b").is_below("root/a"));
        for other in ["root", "root/b", "root/ab", "a", ""] {
            assert!(!note(other).is_below("root/a"), "{other}");
        }
        let started = |path: &str| Event::Started { actor: ActorId::new("it", path, 7), start_time: 0 };
        assert!(started("root/a/b").is_below("root/a") && started("root/a/b/c").is_below("root/a"));
        assert!(!started("root/a").is_below("root/a"), "nobody starts itself");
        assert!(!started("root/b").is_below("root/a"));
    }
}
