//! Who an actor is: its name, its path in the tree, and the process it lives in.

use std::fmt;

/// The how manieth process an actor is that was started under its name, because its supervisor restarts it. From 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Incarnation(u32);

impl Incarnation {
    /// The only one of an actor that nobody restarts.
    pub const FIRST: Incarnation = Incarnation(1);

    /// Counted from 1.
    #[must_use]
    pub const fn number(self) -> u32 {
        self.0
    }

    /// As it comes off the wire, where it may be anything.
    pub(crate) const fn of(number: u32) -> Self {
        Incarnation(number)
    }

    /// The one after it.
    pub(crate) const fn next(self) -> Self {
        Incarnation(self.0.saturating_add(1))
    }
}

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An actor's identity. Names need not be unique; the path says where in the tree, the incarnation the how manieth of that
/// name it is, the pid which process.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ActorId {
    name: String,
    path: String,
    pid: u32,
    incarnation: Incarnation,
}

impl ActorId {
    pub(crate) fn new(name: &str, path: &str, pid: u32) -> Self {
        ActorId { name: name.to_owned(), path: path.to_owned(), pid, incarnation: Incarnation::FIRST }
    }

    /// The same, in another incarnation.
    pub(crate) fn incarnated(mut self, incarnation: Incarnation) -> Self {
        self.incarnation = incarnation;
        self
    }

    /// The root of a tree, in this process.
    pub(crate) fn root(name: &str) -> Self {
        ActorId::new(name, name, std::process::id())
    }

    /// The path of a child by that name.
    pub(crate) fn child_path(&self, name: &str) -> String {
        format!("{}/{name}", self.path)
    }

    /// The name it was started with.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The names from the root down to it, with `/` between them.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The how manieth of its name it is: more than 1 only if it is supervised, and was restarted.
    #[must_use]
    pub fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    /// Its process; 0 while that has not been started.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }
}

/// Why this is no name of an actor, if it is none. A name is one part of a path, and is shown to people and to the system.
pub(crate) fn no_name(name: &str) -> Option<&'static str> {
    if name.is_empty() {
        return Some("a name has at least one letter");
    }
    if name.contains('/') {
        return Some("`/` stands between the names of a path: leave it out");
    }
    name.contains(char::is_control).then_some("control characters are no part of a name: leave them out")
}

impl fmt::Display for ActorId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path)?;
        if self.incarnation > Incarnation::FIRST {
            write!(f, "#{}", self.incarnation)?;
        }
        // One that was never made has no process.
        if self.pid == 0 { Ok(()) } else { write!(f, " (pid {})", self.pid) }
    }
}

#[cfg(test)]
mod tests {
    use super::{ActorId, Incarnation, no_name};

    #[test]
    fn the_incarnation_shows_from_the_second_on() {
        let first = ActorId::new("w", "root/w", 7);
        assert_eq!(first.to_string(), "root/w (pid 7)");
        let next = first.incarnated(Incarnation::FIRST.next());
        assert_eq!((next.to_string().as_str(), next.incarnation().number()), ("root/w#2 (pid 7)", 2));
    }

    #[test]
    fn a_name_is_one_part_of_a_path_and_can_be_shown() {
        for name in ["a", "worker 7", "prime.count", "größe", "..", "-"] {
            assert_eq!(no_name(name), None, "{name}");
        }
        for name in ["", "/", "a/b", "a\n", "\0", "\u{1b}[2J", "\u{9b}2J"] {
            assert!(no_name(name).is_some(), "{name:?}");
        }
    }
}
