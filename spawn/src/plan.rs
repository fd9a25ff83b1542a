//! What a child is to do, as values made before the fork, where memory may still be allocated. ◇ pure
//!
//! ```text
//!   Plan { name, last words' format, fault, still wanted? } ─fork─► the child carries it out, step by step
//!
//!   Arm ► Epoch ► Fds ► Signals ► Attributes ► Enter ► Runtime ► Hello ► Spec ► Ready
//!   └────────────── this crate ─────────────┘└──── the layer above calls Born::step ────┘
//! ```
//!
//! Rules:
//! * The phase a child is in names its failure: exit code `64 + phase`, and the phase in its last words.
//! * A [`Fault`] is for tests of crash behaviour: it makes the child fail at one step, in one way.

use std::fmt;

/// Exit codes from here on say that a child failed before or at its entry: `64 + phase`.
pub const BOOT_FAILURE: i32 = 64;

/// One step of a child's boot, in order. The number of a step is its *phase*.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Step {
    /// Its life is tied to its parent's.
    Arm = 0,
    /// The inherited runtime is forgotten.
    Epoch = 1,
    /// Inherited descriptors are closed or covered.
    Fds = 2,
    /// Dispositions are default, nothing is blocked.
    Signals = 3,
    /// It has a name of its own.
    Attributes = 4,
    /// The entry function is called.
    Enter = 5,
    /// A runtime of its own is up (layer above).
    Runtime = 6,
    /// It has said who it is (layer above).
    Hello = 7,
    /// It knows what to do (layer above).
    Spec = 8,
    /// It is an actor like any other (layer above).
    Ready = 9,
}

impl Step {
    /// All steps, in order.
    pub const ALL: [Self; 10] = [
        Self::Arm,
        Self::Epoch,
        Self::Fds,
        Self::Signals,
        Self::Attributes,
        Self::Enter,
        Self::Runtime,
        Self::Hello,
        Self::Spec,
        Self::Ready,
    ];

    /// The number of the step, as it stands in last words and exit codes.
    #[must_use]
    pub fn phase(self) -> u8 {
        self as u8
    }

    /// The step of that number.
    #[must_use]
    pub fn from_phase(phase: u8) -> Option<Self> {
        Self::ALL.get(usize::from(phase)).copied()
    }

    /// The exit code of a child that fails in this step.
    #[must_use]
    pub fn exit_code(self) -> i32 {
        BOOT_FAILURE + i32::from(self.phase())
    }

    /// The step that an exit code names, if it names one.
    #[must_use]
    pub fn from_exit_code(code: i32) -> Option<Self> {
        u8::try_from(code - BOOT_FAILURE).ok().and_then(Self::from_phase)
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// How a child is made to fail, for tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// It leaves with this exit code, silently.
    Exit(i32),
    /// It panics.
    Panic,
    /// It is killed by SIGKILL.
    Kill,
    /// It stops (SIGSTOP) and goes on when somebody continues it.
    Stop,
    /// It waits for ever, and heeds nothing but signals that end a process.
    Hang,
}

/// Writes the last words of a child into a buffer: `(buffer, phase, errno or 0, text) -> bytes written`.
///
/// The layer above supplies it, because it knows the frames of the link. It runs in a child that is about to leave:
/// it must not allocate, lock or panic.
pub type LastWords = fn(&mut [u8], u8, i32, &[u8]) -> usize;

/// What a child is to be and do besides its entry function.
///
/// ```
/// use pleach_spawn::{Fault, Plan, Step};
/// let plan = Plan::new("reader").fault(Step::Hello, Fault::Kill);
/// assert_eq!(plan.name(), "reader");
/// ```
pub struct Plan {
    pub(crate) name: String,
    pub(crate) last_words: LastWords,
    pub(crate) fault: Option<(Step, Fault)>,
    pub(crate) death_signal: bool,
    pub(crate) spawns: bool,
    pub(crate) wanted: Option<Box<dyn Fn() -> bool>>,
}

impl Plan {
    /// A child of this name. The kernel shows its first 15 bytes (`comm`).
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            last_words: plain_words,
            fault: None,
            death_signal: true,
            spawns: false,
            wanted: None,
        }
    }

    /// How last words look on the link. Without this they are the bare text.
    #[must_use]
    pub fn last_words(mut self, format: LastWords) -> Self {
        self.last_words = format;
        self
    }

    /// Hook for tests of crash behaviour: the child fails at `step`, in that way. Never set in ordinary programs.
    #[must_use]
    pub fn fault(mut self, step: Step, fault: Fault) -> Self {
        self.fault = Some((step, fault));
        self
    }

    /// Hook for tests of crash behaviour: no signal tells the child of its parent's death, neither during its boot nor
    /// after, and it does not look who its parent is. Only the end of its link does. Never set in ordinary programs.
    ///
    /// For this child alone: what it forks has a death signal, unless its plan says the same.
    #[must_use]
    pub fn without_death_signal(mut self) -> Self {
        self.death_signal = false;
        self
    }

    /// The child brings a fork server of its own along, forked off it while it is pristine: see
    /// [`ForkServer::of`](crate::ForkServer::of). For children that will start children; a forked one has no use for it.
    #[must_use]
    pub fn with_fork_server(mut self) -> Self {
        self.spawns = true;
        self
    }

    /// Asked right before the fork; `false` means that nothing is forked and the request ends as `Unwanted`.
    ///
    /// The future of [`fork`](crate::fork()) answers for itself: dropping or cancelling it withdraws the request.
    /// This is for reasons it cannot see, such as a nursery that has been cancelled while the request was queued.
    #[must_use]
    pub fn still_wanted(mut self, ask: impl Fn() -> bool + 'static) -> Self {
        self.wanted = Some(Box::new(ask));
        self
    }

    /// The child's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Debug for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plan").field("name", &self.name).field("fault", &self.fault).finish_non_exhaustive()
    }
}

/// The format of last words without a layer above: the text itself. See [`LastWords`].
///
/// Child after fork: yes, it only copies.
pub fn plain_words(buffer: &mut [u8], _phase: u8, _errno: i32, text: &[u8]) -> usize {
    let n = text.len().min(buffer.len());
    buffer[..n].copy_from_slice(&text[..n]);
    n
}

#[cfg(test)]
mod tests {
    use super::{Step, plain_words};

    #[test]
    fn a_step_is_found_again_by_phase_and_by_exit_code() {
        for step in Step::ALL {
            assert_eq!(Step::from_phase(step.phase()), Some(step));
            assert_eq!(Step::from_exit_code(step.exit_code()), Some(step));
        }
        assert_eq!(Step::from_phase(10), None);
        assert_eq!(Step::from_exit_code(0), None);
        assert_eq!(Step::from_exit_code(74), None);
    }

    #[test]
    fn plain_last_words_are_cut_at_the_buffer() {
        let mut buffer = [0; 4];
        assert_eq!(plain_words(&mut buffer, 0, 0, b"too long"), 4);
        assert_eq!(&buffer, b"too ");
    }
}
