//! What goes wrong in a tree of actors: one error type, a tree itself, that survives the wire with its members.
//!
//! ```text
//!   user's error, panic ─► Error { kind, message, origin } ─wire─► the same at the parent ─┐
//!   death, lost link    ─► Error made by the parent, origin = the child                    ├─► nursery: one alone,
//!   a sibling's error   ─────────────────────────────────────────────────────────────────┘   or a Group of all
//! ```
//!
//! Rules:
//! * `origin` is the actor in which it happened, not the one that reports it.
//! * Nothing is flattened: a group that crosses three processes is still a group of groups.
//! * A group never holds a cancellation; who was cancelled, and why, is in the tree's events.

use crate::actor::ActorId;
use crate::report::{self, Report};
use pleach_executor::{Cancelled, Failure, Failures, Reason, TooSlow};
use pleach_ipc::proto::{Origin, Payload, WireCause, WireError, WireErrorKind};
use std::error::Error as StdError;
use std::fmt;
use std::io;

/// What happened, and so whose fault it is and what to do.
pub use pleach_ipc::proto::WireErrorKind as ErrorKind;

/// One error with all below it, as it crosses the wire.
pub use pleach_ipc::proto::WireError as ErrorTree;

/// An error of an actor tree.
///
/// It is made by `?` from the errors of this library, and by [`Error::new`] or [`Error::msg`] from everything else.
///
/// ```
/// use pleach::{Error, ErrorKind};
/// let e = Error::new(std::io::Error::other("disk full"));
/// assert!(matches!(e.kind(), ErrorKind::Failed { type_name } if type_name.contains("io")));
/// assert_eq!(e.message(), "disk full");
/// ```
pub struct Error(Box<Inner>);

struct Inner {
    tree: WireError,
    /// The signal itself, where this is one: dropping it unabsorbed counts as swallowing.
    signal: Option<Cancelled>,
}

impl Error {
    pub(crate) fn of(kind: ErrorKind, message: impl Into<String>) -> Self {
        Error::from_tree(WireError::new(kind, message, Origin::default()))
    }

    pub(crate) fn from_tree(tree: WireError) -> Self {
        Error(Box::new(Inner { tree, signal: None }))
    }

    /// The error of a user's code. Its type's name, its text and those of its sources cross the wire.
    pub fn new<E: StdError + 'static>(error: E) -> Self {
        let type_name = std::any::type_name::<E>().to_owned();
        let mut e = Error::of(ErrorKind::Failed { type_name }, error.to_string());
        let mut source = error.source();
        while let Some(s) = source {
            e.0.tree.source.push(s.to_string());
            source = s.source();
        }
        e
    }

    /// An error that is only a text.
    pub fn msg(text: impl Into<String>) -> Self {
        Error::of(ErrorKind::Failed { type_name: "text".to_owned() }, text)
    }

    /// Bytes that came over a link are no value of the type that is expected here.
    pub(crate) fn decode(endpoint: &str, what: Payload, e: &impl fmt::Display) -> Self {
        let text = match (what, endpoint) {
            (Payload::Argument, endpoint) => format!("the argument of {endpoint}: {e}"),
            (Payload::Value, "") => format!("the actor's value: {e}"),
            (Payload::Value, endpoint) => format!("the value of {endpoint}: {e}"),
        };
        Error::of(ErrorKind::Decode { endpoint: endpoint.to_owned(), what }, text)
    }

    /// What was cancelled, and that has to be told as an error: it is not the signal of a cancellation under way.
    pub(crate) fn cancelled(cause: WireCause, text: impl Into<String>) -> Self {
        Error::of(ErrorKind::Cancelled { cause }, text)
    }

    /// One more that has led to it.
    pub(crate) fn because(&mut self, tree: ErrorTree) {
        self.0.tree.members.push(tree);
    }

    /// What happened.
    #[must_use]
    pub fn kind(&self) -> &ErrorKind {
        &self.0.tree.kind
    }

    /// What was said about it.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.tree.message
    }

    /// The actor in which it happened; its path is empty as long as it has not left that actor.
    #[must_use]
    pub fn origin(&self) -> &Origin {
        &self.0.tree.origin
    }

    /// The members of a group, in the order in which they failed; empty for every other kind.
    #[must_use]
    pub fn members(&self) -> &[ErrorTree] {
        &self.0.tree.members
    }

    /// The whole tree.
    #[must_use]
    pub fn tree(&self) -> &ErrorTree {
        &self.0.tree
    }

    /// Every error that is not a group, at any depth, left to right.
    #[must_use]
    pub fn leaves(&self) -> Vec<&ErrorTree> {
        let mut leaves = Vec::new();
        let mut todo = vec![&self.0.tree];
        while let Some(e) = todo.pop() {
            if e.members.is_empty() {
                leaves.push(e);
            }
            todo.extend(e.members.iter().rev());
        }
        leaves
    }

    /// Why the scope was cancelled, if this is the signal of a cancellation under way.
    #[must_use]
    pub fn reason(&self) -> Option<&Reason> {
        self.0.signal.as_ref().map(Cancelled::reason)
    }

    pub(crate) fn into_tree(self) -> WireError {
        let inner = *self.0;
        if let Some(signal) = inner.signal {
            pleach_executor::low_level::absorb(signal);
        }
        inner.tree
    }

    /// Says of every error that has no origin yet that it happened in this actor.
    pub(crate) fn at(mut self, id: &ActorId) -> Self {
        let mut todo = vec![&mut self.0.tree];
        while let Some(e) = todo.pop() {
            if e.origin == Origin::default() && e.kind != WireErrorKind::Group {
                e.origin = Origin {
                    name: id.name().to_owned(),
                    path: id.path().to_owned(),
                    pid: id.pid(),
                    incarnation: id.incarnation().number(),
                };
            }
            todo.extend(e.members.iter_mut());
        }
        self
    }

    /// The first line: who and what.
    pub(crate) fn summary(&self) -> String {
        let leaves = self.leaves();
        let first = leaves.first().map_or_else(String::new, |e| report::one_line(e));
        if leaves.len() > 1 { format!("{first} (and {} more)", leaves.len() - 1) } else { first }
    }
}

impl fmt::Display for Error {
    /// As a [`Report`] has it: a line or more for each error, as a tree. What else was cancelled is not in an error.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&Report::new(self), f)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl StdError for Error {}

impl From<Cancelled> for Error {
    fn from(c: Cancelled) -> Self {
        let cause = crate::wire::cause_of(c.reason(), "");
        let mut e = Error::of(ErrorKind::Cancelled { cause }, c.to_string());
        e.0.signal = Some(c);
        e
    }
}

impl From<TooSlow> for Error {
    fn from(t: TooSlow) -> Self {
        Error::of(ErrorKind::TooSlow, t.to_string())
    }
}

impl From<io::Error> for Error {
    /// An `io::Error` that carries a `Cancelled` becomes that cancellation again.
    fn from(e: io::Error) -> Self {
        match e.downcast::<Cancelled>() {
            Ok(c) => c.into(),
            Err(e) => Error::new(e),
        }
    }
}

impl Failure for Error {
    fn is_cancelled(&self) -> bool {
        self.0.signal.is_some()
    }

    fn merge(all: Failures<Self>) -> Self {
        let members: Vec<WireError> = all.into_vec().into_iter().map(Error::into_tree).collect();
        let mut group = Error::of(ErrorKind::Group, format!("{} failures", members.len()));
        group.0.tree.members = members;
        group
    }
}

#[cfg(test)]
mod tests {
    use super::{Error, ErrorKind};
    use pleach_executor::{fail_after, run, sleep_forever};
    use std::time::Duration;

    #[test]
    fn a_limit_that_ran_out_can_be_told_from_other_errors() {
        let e: Result<(), Error> = run(fail_after(Duration::ZERO, async |_| {
            Ok(sleep_forever().await.map(|never| match never {})?)
        }));
        assert_eq!(*e.expect_err("there was no time").kind(), ErrorKind::TooSlow);
    }
}
