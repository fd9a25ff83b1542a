//! Who an actor is: its name, its path in the tree, and the process it lives in.

use std::fmt;

/// An actor's identity. Names need not be unique; the path says where in the tree, the pid which process.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ActorId {
    name: String,
    path: String,
    pid: u32,
}

impl ActorId {
    pub(crate) fn new(name: &str, path: &str, pid: u32) -> Self {
        ActorId { name: name.to_owned(), path: path.to_owned(), pid }
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

    /// Its process; 0 while that has not been started.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }
}

impl fmt::Display for ActorId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // One that was never made has no process.
        if self.pid == 0 { f.write_str(&self.path) } else { write!(f, "{} (pid {})", self.path, self.pid) }
    }
}
