//! The boot of an actor, from both ends. ◇
//!
//! ```text
//!            ParentBoot                                             ChildBoot
//!   ┌── AwaitHello                                          new ──► AwaitSpec ──┐
//!   │       │ 1  handle(Hello): checked against `Expected`              │ 2  handle(Spec): limits checked
//!   │       ▼    ─► Greet(hello, spec): send the Spec                   ▼    ─► Prepare(spec): get up
//!   ├── AwaitReady                                                  Preparing ──┤
//!   │       │ 3  handle(Ready) ─► Running                               │ 4  ready() ─► send Ready
//!   │       ▼                                                           ▼       │
//!   │    Running                                                     Running    │
//!   │                                                                           │
//!   └─5─► Failed ◄── anything else: out of order, another version, image or pid ◄─5─┘
//! ```
//!
//! Rules:
//! * Neither end waits: *that* nothing came in time is said by the caller's deadline, *what* did not come by `phase()`.
//! * An error is final, says whose fault it was, and the connection ends.
//! * `LastWords` may come instead of any message of the child; `Cancel` may come to a child at any time.

use super::limits::LimitsError;
use super::message::{Backend, BootPhase, Cancel, Hello, LastWords, Message, PROTOCOL, Spec};
use std::fmt;

/// What a parent knows about its child before the child says a word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    /// How it was made.
    pub backend: Backend,
    /// The process id that the spawn call returned. `None`: not comparable, the child is in another pid namespace.
    pub pid: Option<u32>,
    /// The image it must run. `None`: any; only [`Backend::Exec`] can have another one.
    pub build: Option<u64>,
}

/// The parent's end of a boot.
#[derive(Debug)]
pub struct ParentBoot(Parent);

#[derive(Debug)]
enum Parent {
    AwaitHello { expected: Expected, spec: Spec },
    AwaitReady,
    Running,
    Failed(BootPhase),
}

/// What the parent does next.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "the child waits for its spec"]
pub enum ParentStep {
    /// Edge 1. Send this spec to the child that said this hello.
    Greet(Hello, Spec),
    /// Edge 3. The child is up. Raise the limits of the channel to those of the spec.
    Running,
}

impl ParentBoot {
    /// The child has been made, and is to get this spec.
    #[must_use]
    pub const fn new(expected: Expected, spec: Spec) -> Self {
        ParentBoot(Parent::AwaitHello { expected, spec })
    }

    /// What did not come yet; `None` when the child is up. After an error: what should have come when it happened.
    #[must_use]
    pub const fn phase(&self) -> Option<BootPhase> {
        match self.0 {
            Parent::AwaitHello { .. } => Some(BootPhase::Hello),
            Parent::AwaitReady => Some(BootPhase::Ready),
            Parent::Running => None,
            Parent::Failed(phase) => Some(phase),
        }
    }

    /// The child sent this message.
    ///
    /// # Errors
    ///
    /// [`HandshakeError`]; the boot has failed for good.
    pub fn handle(&mut self, message: Message) -> Result<ParentStep, HandshakeError> {
        let phase = self.phase().unwrap_or(BootPhase::Ready);
        let failed = Parent::Failed(phase);
        let (next, step) = match (std::mem::replace(&mut self.0, failed), message) {
            (Parent::AwaitHello { expected, spec }, Message::Hello(hello)) => {
                expected.check(&hello)?;
                (Parent::AwaitReady, ParentStep::Greet(hello, spec))
            }
            (Parent::AwaitReady, Message::Ready) => (Parent::Running, ParentStep::Running),
            (Parent::AwaitHello { .. } | Parent::AwaitReady, Message::LastWords(words)) => {
                return Err(HandshakeError::GaveUp { phase, words });
            }
            (Parent::Running | Parent::Failed(_), m) => return Err(HandshakeError::Over { got: m.name() }),
            (_, m) => return Err(HandshakeError::OutOfOrder { phase, got: m.name() }),
        };
        self.0 = next;
        Ok(step)
    }
}

impl Expected {
    fn check(&self, hello: &Hello) -> Result<(), HandshakeError> {
        if hello.protocol != PROTOCOL {
            return Err(HandshakeError::Version { ours: PROTOCOL, theirs: hello.protocol });
        }
        if hello.backend != self.backend {
            return Err(HandshakeError::Backend { made: self.backend, says: hello.backend });
        }
        match self.build {
            Some(ours) if ours != hello.build => {
                return Err(HandshakeError::Build { ours, theirs: hello.build });
            }
            _ => {}
        }
        match self.pid {
            Some(made) if made != hello.pid => Err(HandshakeError::Pid { made, says: hello.pid }),
            _ => Ok(()),
        }
    }
}

/// The child's end of a boot.
#[derive(Debug)]
pub struct ChildBoot(Child);

#[derive(Clone, Copy, Debug)]
enum Child {
    AwaitSpec,
    Preparing,
    Running,
    Failed(BootPhase),
}

/// What the child does next.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "the parent waits for Ready"]
pub enum ChildStep {
    /// Edge 2. Raise the limits of the channel to those of the spec, get up, then [`ChildBoot::ready`].
    Prepare(Spec),
    /// The parent does not want it any more. Leave.
    Cancel(Cancel),
}

impl ChildBoot {
    /// The child is there; the message is to be sent.
    #[must_use = "the parent waits for Hello"]
    pub const fn new(hello: Hello) -> (Self, Message) {
        (ChildBoot(Child::AwaitSpec), Message::Hello(hello))
    }

    /// What did not come yet, or was not sent yet; `None` when the child is up.
    #[must_use]
    pub const fn phase(&self) -> Option<BootPhase> {
        match self.0 {
            Child::AwaitSpec => Some(BootPhase::Spec),
            Child::Preparing => Some(BootPhase::Ready),
            Child::Running => None,
            Child::Failed(phase) => Some(phase),
        }
    }

    /// The parent sent this message.
    ///
    /// # Errors
    ///
    /// [`HandshakeError`]; the boot has failed for good. Say so in last words, and leave.
    pub fn handle(&mut self, message: Message) -> Result<ChildStep, HandshakeError> {
        let phase = self.phase().unwrap_or(BootPhase::Ready);
        let now = std::mem::replace(&mut self.0, Child::Failed(phase));
        let (next, step) = match (now, message) {
            (Child::AwaitSpec, Message::Spec(spec)) => {
                spec.limits.checked().map_err(HandshakeError::Limits)?;
                (Child::Preparing, ChildStep::Prepare(spec))
            }
            (Child::AwaitSpec | Child::Preparing, Message::Cancel(cancel)) => {
                (now, ChildStep::Cancel(cancel))
            }
            (Child::Running | Child::Failed(_), m) => return Err(HandshakeError::Over { got: m.name() }),
            (_, m) => return Err(HandshakeError::OutOfOrder { phase, got: m.name() }),
        };
        self.0 = next;
        Ok(step)
    }

    /// Edge 4: the child is up. The message is to be sent.
    ///
    /// # Errors
    ///
    /// [`HandshakeError::NotPrepared`] if there was no spec yet, or the boot is over: a mistake of the caller, and
    /// final.
    pub fn ready(&mut self) -> Result<Message, HandshakeError> {
        let phase = self.phase().unwrap_or(BootPhase::Ready);
        match std::mem::replace(&mut self.0, Child::Failed(phase)) {
            Child::Preparing => {
                self.0 = Child::Running;
                Ok(Message::Ready)
            }
            _ => Err(HandshakeError::NotPrepared),
        }
    }
}

/// Why a boot failed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HandshakeError {
    /// The peer sent a message that was not its turn: its fault.
    OutOfOrder {
        /// What should have come.
        phase: BootPhase,
        /// What came.
        got: &'static str,
    },
    /// A message for a handshake that is over: this end's fault, it belongs to the running actor.
    Over {
        /// What was handed in.
        got: &'static str,
    },
    /// `ready` without a spec: this end's fault.
    NotPrepared,
    /// The child could not get up and said why. Look at its words.
    GaveUp {
        /// What it had not yet said.
        phase: BootPhase,
        /// Why.
        words: LastWords,
    },
    /// The ends speak different versions. Start both from the same build.
    Version {
        /// This end's.
        ours: u16,
        /// The peer's.
        theirs: u16,
    },
    /// The child runs another image, and its backend cannot have that. Was the program replaced while it runs?
    /// Restart it.
    Build {
        /// This end's.
        ours: u64,
        /// The child's.
        theirs: u64,
    },
    /// Whoever spoke was made in another way than the child.
    Backend {
        /// How the child was made.
        made: Backend,
        /// What came.
        says: Backend,
    },
    /// Whoever spoke is not the process that was made.
    Pid {
        /// The child.
        made: u32,
        /// Who spoke.
        says: u32,
    },
    /// The parent asks for limits that this end cannot work with: the parent's fault. Change its configuration.
    Limits(LimitsError),
}

impl fmt::Display for HandshakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HandshakeError::OutOfOrder { phase, got } => {
                write!(f, "the peer sent {got} {phase}: it broke the protocol")
            }
            HandshakeError::Over { got } => write!(f, "{got} was handed to a handshake that is over"),
            HandshakeError::NotPrepared => f.write_str("Ready was to be said without a Spec"),
            HandshakeError::GaveUp { phase, words } => write!(f, "the child gave up {phase}, at {words}"),
            HandshakeError::Version { ours, theirs } => {
                write!(f, "the peer speaks version {theirs}, this end {ours}: start both from the same build")
            }
            HandshakeError::Build { ours, theirs } => {
                write!(
                    f,
                    "the child runs image {theirs:016x}, its parent {ours:016x}: restart the replaced program"
                )
            }
            HandshakeError::Backend { made, says } => write!(f, "made by {made}, the child says {says}"),
            HandshakeError::Pid { made, says } => {
                write!(f, "process {made} was made, but process {says} spoke")
            }
            HandshakeError::Limits(e) => write!(f, "the parent asks for the impossible: {e}"),
        }
    }
}

impl std::error::Error for HandshakeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            HandshakeError::Limits(e) => Some(e),
            _ => None,
        }
    }
}
