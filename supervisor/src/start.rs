//! How an actor is to be started. Values only.
//!
//! ```text
//!   "name" ─┐
//!   Start ──┴─► Start { name, backend, limits, may it spawn, what it is given } ─► nursery.rs
//! ```

use crate::config::Config;
use pleach_spawn::{Fault, Step};
use std::io;
use std::os::fd::OwnedFd;

/// How the process of an actor comes to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Backend {
    /// A closure: `Fork`. An endpoint: `ForkServer`, or `Exec` where there can be no fork server (a system without clone3(2), or
    /// a `main` that opens descriptors before [`Program::run`](crate::Program::run)). Both are the same contract.
    #[default]
    Auto,
    /// A copy of this process' memory as it is now; this process needs exactly one thread.
    Fork,
    /// A copy of a pristine process of this program, which is there for nothing else: what an actor costs depends neither on
    /// the memory nor on the threads of this process. For endpoints. One that may start others has a fork server of its own from
    /// its birth.
    ForkServer,
    /// The same program begun anew: its `main` runs again until [`Program::run`](crate::Program::run). Nothing of this
    /// process' memory is there; this process may have threads.
    Exec,
}

/// How an actor is to be started, for those who want more than a name.
///
/// ```
/// use pleach::{Backend, Config, Start};
/// use std::time::Duration;
/// let start = Start::new("worker").backend(Backend::Exec).config(Config::default().cancel(Duration::from_secs(1)));
/// assert_eq!(start.name(), "worker");
/// ```
#[derive(Debug)]
pub struct Start {
    pub(crate) name: String,
    pub(crate) backend: Backend,
    pub(crate) config: Option<Config>,
    pub(crate) may_spawn: Option<bool>,
    pub(crate) given: Vec<OwnedFd>,
    pub(crate) fault: Option<(Step, Fault)>,
    pub(crate) death_signal: bool,
}

impl Start {
    /// By this name, with the nursery's limits. A name is not empty, has at most 255 bytes and holds neither `/` nor control
    /// characters: an actor of another one is not started (`ErrorKind::Spawn`, step `name`).
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Start {
            name: name.into(),
            backend: Backend::Auto,
            config: None,
            may_spawn: None,
            given: Vec::new(),
            fault: None,
            death_signal: true,
        }
    }

    /// The same once more: what it gives is duplicated.
    pub(crate) fn again(&self) -> io::Result<Self> {
        let Start { name, backend, config, may_spawn, given, fault, death_signal } = self;
        let given = given.iter().map(OwnedFd::try_clone).collect::<io::Result<_>>()?;
        Ok(Start {
            name: name.clone(),
            backend: *backend,
            config: *config,
            may_spawn: *may_spawn,
            given,
            fault: *fault,
            death_signal: *death_signal,
        })
    }

    /// Its name among its siblings.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// By this backend.
    #[must_use]
    pub fn backend(mut self, backend: Backend) -> Self {
        self.backend = backend;
        self
    }

    /// With limits of its own, for it and all below it.
    #[must_use]
    pub fn config(mut self, config: Config) -> Self {
        self.config = Some(config);
        self
    }

    /// Whether it may start actors of its own. Without this a one-shot [`call`](crate::ActorNursery::call) may not,
    /// and every other actor may.
    #[must_use]
    pub fn may_spawn(mut self, may: bool) -> Self {
        self.may_spawn = Some(may);
        self
    }

    /// Gives it this descriptor: it finds it with [`Actor::take_given`](crate::Actor::take_given), after those that were
    /// given before. This process' number is closed when the actor has its own.
    #[must_use]
    pub fn give(mut self, fd: impl Into<OwnedFd>) -> Self {
        self.given.push(fd.into());
        self
    }

    /// For tests of crash behaviour: at this step of its boot the child does this to itself.
    #[must_use]
    pub fn fault(mut self, step: Step, fault: Fault) -> Self {
        self.fault = Some((step, fault));
        self
    }

    /// For tests of crash behaviour: no signal tells this actor of its parent's death; only the end of its link does.
    /// For it alone: those below it say so themselves.
    #[must_use]
    pub fn without_death_signal(mut self) -> Self {
        self.death_signal = false;
        self
    }
}

impl From<&str> for Start {
    fn from(name: &str) -> Self {
        Start::new(name)
    }
}

impl From<String> for Start {
    fn from(name: String) -> Self {
        Start::new(name)
    }
}
