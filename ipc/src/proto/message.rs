//! The whole wire vocabulary: one enum. ◇
//!
//! ```text
//!            parent                                            child
//!   boot       │ ◄────────────── Hello ─────────────────────────  │   LastWords instead of any of its messages,
//!              │ ─────────────── Spec ──────────────────────────► │   if it cannot get up
//!              │ ◄────────────── Ready ─────────────────────────  │
//!   run        │ ◄────────────── Started, Reaped, Progress ─────  │   of its descendants, relayed hop by hop
//!              │ ─────────────── Cancel ────────────────────────► │   once per request; a second one hastens
//!              │ ◄────────────── CancelAck ─────────────────────  │   sent by the path on which it leaves
//!   dialogs    │ ─────────────── Call ──────────────────────────► │   at most once per number
//!              │ ─────────────── CallCancel ────────────────────► │   at most once per dialog
//!              │ ◄── CallReturned │ CallFailed │ CallCancelled ─  │   exactly one, unless the actor ends first
//!   end        │ ◄────────────── Return │ Failed ───────────────  │   exactly one
//!              │ ◄────────────── Goodbye ───────────────────────  │   then it closes its side
//! ```
//!
//! Rules:
//! * The order of the variants and of their fields *is* the wire format: whoever changes it changes [`PROTOCOL`].
//! * Numbers carry their unit in their name; a deadline is absolute on CLOCK_MONOTONIC, which processes of one boot
//!   and time namespace share, and comes with the time left for those that do not.
//! * What a peer can make long is either cut when it is sent ([`WireCause`]), bounded by its owner
//!   ([`WireError::bounded`]) or refused by the encoder.

use super::clip;
use super::error_tree::WireError;
use super::frame::Kind;
use super::limits::Limits;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fmt;

/// The version of the wire format. Both ends must hold the same.
pub const PROTOCOL: u16 = 3;

/// The variant number of [`Message::LastWords`], which one function writes by hand.
pub(crate) const LAST_WORDS_VARIANT: u8 = 11;

/// Everything that one actor can say to another.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Message {
    /// First message of a child: who it is.
    Hello(Hello),
    /// The answer of its parent: what it is to be.
    Spec(Spec),
    /// The child is up.
    Ready,
    /// A descendant was started; relayed towards the root.
    Started(Started),
    /// A descendant has ended and its exit status has been collected; relayed towards the root.
    Reaped(Reaped),
    /// Something to show; relayed towards the root.
    Progress {
        /// The path of the actor that says it.
        path: String,
        /// What it says.
        text: String,
    },
    /// Stop, with everything below.
    Cancel(Cancel),
    /// Everything below the child has ended; the answer to a [`Cancel`], sent by the path on which the child leaves.
    CancelAck {
        /// The number of the request that is answered.
        request: u64,
        /// What was done below, up to now.
        ledger: Ledger,
    },
    /// The actor's function has returned.
    Return {
        /// Its value, encoded; see [`crate::codec`].
        #[serde(with = "clip::bytes")]
        value: Vec<u8>,
        /// What was done below.
        ledger: Ledger,
    },
    /// The actor's function has failed.
    Failed {
        /// How, with every member.
        error: WireError,
        /// What was done below.
        ledger: Ledger,
    },
    /// Nothing follows: the end of the stream after this is no accident.
    Goodbye,
    /// The child failed before it was up, and why. Nothing follows.
    LastWords(LastWords),
    /// Run this endpoint. To an actor whose role is [`Role::Once`] the first one is what it is there for, and its end is
    /// the actor's own.
    Call {
        /// The number of the dialog: never used before on this connection.
        dialog: u64,
        /// The name of the endpoint.
        endpoint: String,
        /// Its argument, encoded; see [`crate::codec`].
        #[serde(with = "clip::bytes")]
        args: Vec<u8>,
    },
    /// The endpoint has returned.
    CallReturned {
        /// Of which dialog.
        dialog: u64,
        /// Its value, encoded.
        #[serde(with = "clip::bytes")]
        value: Vec<u8>,
    },
    /// The endpoint has failed, or there is none of that name.
    CallFailed {
        /// Of which dialog.
        dialog: u64,
        /// How.
        error: WireError,
    },
    /// Stop this dialog.
    CallCancel {
        /// Which.
        dialog: u64,
        /// Why, and who asked.
        cause: WireCause,
    },
    /// The dialog has stopped because of a [`Message::CallCancel`].
    CallCancelled {
        /// Which.
        dialog: u64,
    },
}

impl Message {
    /// The plane it travels on.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Message::Hello(_) | Message::Spec(_) | Message::Ready | Message::LastWords(_) => Kind::Boot,
            Message::Started(_)
            | Message::Reaped(_)
            | Message::Cancel(_)
            | Message::CancelAck { .. }
            | Message::CallCancel { .. }
            | Message::CallCancelled { .. }
            | Message::Goodbye => Kind::Control,
            Message::Progress { .. }
            | Message::Return { .. }
            | Message::Failed { .. }
            | Message::Call { .. }
            | Message::CallReturned { .. }
            | Message::CallFailed { .. } => Kind::Data,
        }
    }

    /// Its name, for diagnostics.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Message::Hello(_) => "Hello",
            Message::Spec(_) => "Spec",
            Message::Ready => "Ready",
            Message::Started(_) => "Started",
            Message::Reaped(_) => "Reaped",
            Message::Progress { .. } => "Progress",
            Message::Cancel(_) => "Cancel",
            Message::CancelAck { .. } => "CancelAck",
            Message::Return { .. } => "Return",
            Message::Failed { .. } => "Failed",
            Message::Goodbye => "Goodbye",
            Message::LastWords(_) => "LastWords",
            Message::Call { .. } => "Call",
            Message::CallReturned { .. } => "CallReturned",
            Message::CallFailed { .. } => "CallFailed",
            Message::CallCancel { .. } => "CallCancel",
            Message::CallCancelled { .. } => "CallCancelled",
        }
    }
}

/// How a process came to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Backend {
    /// A copy of its parent.
    Fork,
    /// A copy of a pristine process that forks on request.
    ForkServer,
    /// The same program, begun anew.
    Exec,
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Backend::Fork => "fork",
            Backend::ForkServer => "fork server",
            Backend::Exec => "exec",
        })
    }
}

/// Who a new process is. The version comes first and stays there, in every version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// The wire format it speaks: [`PROTOCOL`].
    pub protocol: u16,
    /// Which image it runs; two processes of one image say the same.
    pub build: u64,
    /// Its name among its siblings.
    pub name: String,
    /// Its path from the root, as far as it knows it.
    pub path: String,
    /// Its process id, as it sees it itself.
    pub pid: u32,
    /// When it started: clock ticks since boot (field 22 of proc_pid_stat(5)). With the pid, a name used only once.
    pub start_time: u64,
    /// How it came to be.
    pub backend: Backend,
    /// How many descriptors were open in it at this moment.
    pub fds: u32,
    /// How many threads it had at this moment.
    pub threads: u32,
}

/// What an actor does between `Ready` and its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Role {
    /// It runs a closure that it was born with.
    Closure,
    /// It runs the endpoint of its first [`Message::Call`], and ends with it.
    Once,
    /// It runs endpoints as they are called, until it is cancelled.
    Serve,
}

/// What a new process is to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    /// Its path from the root.
    pub path: String,
    /// How long it may live on without its parent, in nanoseconds.
    pub orphan_grace_ns: u64,
    /// How long a cancellation of its own subtree may take, in nanoseconds.
    pub cancel_ns: u64,
    /// How long its own children may take from their making to `Ready`, in nanoseconds.
    pub boot_ns: u64,
    /// How long a process of its own may take to die of SIGKILL before that is reported, in nanoseconds.
    pub unkillable_ns: u64,
    /// After how much of the time of a cancel it sends SIGTERM, in hundredths.
    pub terminate_percent: u8,
    /// How long its own children may take to their `Hello`, in nanoseconds.
    pub handshake_ns: u64,
    /// Until when it has to be `Ready`: nanoseconds on CLOCK_MONOTONIC; `None`: its parent does not say.
    pub ready_by_ns: Option<u64>,
    /// What its connections may carry.
    pub limits: Limits,
    /// May it start actors of its own?
    pub may_spawn: bool,
    /// What it is there for.
    pub role: Role,
    /// The how manieth process of this name it is, if its parent starts it again when it ends; from 1.
    pub incarnation: u32,
}

/// A process was started somewhere below.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Started {
    /// Its process id.
    pub pid: u32,
    /// When it started, in clock ticks since boot.
    pub start_time: u64,
    /// Its path from the root.
    pub path: String,
    /// Its name among its siblings.
    pub name: String,
    /// The how manieth of that name, from 1.
    pub incarnation: u32,
}

/// A process somewhere below has ended, and its parent has collected its status.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reaped {
    /// Its process id.
    pub pid: u32,
    /// When it had started, in clock ticks since boot.
    pub start_time: u64,
    /// Its path from the root.
    pub path: String,
    /// Its name among its siblings.
    pub name: String,
    /// How the process ended.
    pub status: WireStatus,
    /// How the actor ended.
    pub ending: WireEnding,
    /// The how manieth of that name it was, from 1.
    pub incarnation: u32,
}

/// How an actor ended, in one word; the whole story of a failure travels as [`Message::Failed`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum WireEnding {
    /// It returned a value.
    Returned,
    /// Its function failed or panicked.
    Failed,
    /// It was cancelled.
    Cancelled(WireCause),
    /// Its process ended without a word.
    Died,
}

/// How a process ended, as its parent heard it from the system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum WireStatus {
    /// It left with this code.
    Exited(i32),
    /// A signal ended it.
    Signaled {
        /// Its number.
        signal: i32,
        /// Whether the system wrote a core dump.
        core: bool,
    },
    /// Nobody can know.
    Unknown,
}

impl fmt::Display for WireStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WireStatus::Exited(code) => write!(f, "exit status {code}"),
            WireStatus::Signaled { signal, core: false } => write!(f, "killed by signal {signal}"),
            WireStatus::Signaled { signal, core: true } => {
                write!(f, "killed by signal {signal} (core dumped)")
            }
            WireStatus::Unknown => f.write_str("exit status unknown"),
        }
    }
}

/// A request to stop a whole subtree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cancel {
    /// The number of the request; it decides who absorbs.
    pub request: u64,
    /// Why, and who asked.
    pub cause: WireCause,
    /// When the subtree has to be gone: nanoseconds on CLOCK_MONOTONIC. `None`: the peers share no clock.
    pub deadline_ns: Option<u64>,
    /// The same as time left when this was sent, in nanoseconds.
    pub left_ns: u64,
}

/// Why something was cancelled, and who asked for it. Its texts are cut to 4 KiB each when it is sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WireCause {
    /// The path of the actor that asked; empty if it is not known.
    #[serde(serialize_with = "clip::short")]
    pub by: String,
    /// What for.
    pub why: Why,
}

/// What a cancellation was for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Why {
    /// Somebody called `cancel()`.
    Requested,
    /// A deadline passed.
    Deadline,
    /// Another member of a nursery failed.
    SiblingFailed {
        /// The path of the actor that failed.
        #[serde(serialize_with = "clip::short")]
        origin: String,
        /// What it said, in one line.
        #[serde(serialize_with = "clip::short")]
        summary: String,
    },
    /// The parent is gone.
    ParentLost,
    /// A person at a terminal asked (SIGINT or SIGTERM at the root).
    Interrupt,
    /// The run is over.
    Shutdown,
    /// A cause that only the layer above knows.
    Other(#[serde(serialize_with = "clip::short")] String),
}

impl fmt::Display for WireCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.why {
            Why::Requested => f.write_str("requested")?,
            Why::Deadline => f.write_str("the deadline passed")?,
            Why::SiblingFailed { origin, summary } => write!(f, "{origin} failed first: {summary}")?,
            Why::ParentLost => f.write_str("the parent is gone")?,
            Why::Interrupt => f.write_str("interrupted")?,
            Why::Shutdown => f.write_str("the run is over")?,
            Why::Other(text) => f.write_str(text)?,
        }
        if self.by.is_empty() { Ok(()) } else { write!(f, " (asked by {})", self.by) }
    }
}

/// The books of a subtree: what was started, how it was ended. Counters only grow, and stop at their maximum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    /// Processes that were started.
    pub started: u32,
    /// Processes whose exit status was collected by their own parent.
    pub reaped: u32,
    /// Processes that had to be told by SIGTERM.
    pub term: u32,
    /// Processes that had to be ended by SIGKILL.
    pub kill: u32,
    /// Processes of others that were collected after their parent was gone.
    pub adopted: u32,
}

impl Ledger {
    /// Books the other ledger into this one.
    pub fn add(&mut self, other: Ledger) {
        self.started = self.started.saturating_add(other.started);
        self.reaped = self.reaped.saturating_add(other.reaped);
        self.term = self.term.saturating_add(other.term);
        self.kill = self.kill.saturating_add(other.kill);
        self.adopted = self.adopted.saturating_add(other.adopted);
    }
}

/// Which message of the boot did not come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum BootPhase {
    /// The child has not said who it is.
    Hello,
    /// The parent has not said what it is to be.
    Spec,
    /// The child has not got up.
    Ready,
}

impl fmt::Display for BootPhase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            BootPhase::Hello => "before Hello",
            BootPhase::Spec => "between Hello and Spec",
            BootPhase::Ready => "between Spec and Ready",
        })
    }
}

/// Why a child could not get up, in its own words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastWords {
    /// The step of its boot that failed; the spawning layer numbers them.
    pub phase: u8,
    /// What the system said; 0 if it was not the system.
    pub errno: i32,
    /// What it said itself.
    #[serde(with = "clip::bytes")]
    pub text: Vec<u8>,
}

impl LastWords {
    /// The text, readable whatever is in it.
    #[must_use]
    pub fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.text)
    }
}

impl fmt::Display for LastWords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "step {}: {}", self.phase, self.text())?;
        if self.errno == 0 { Ok(()) } else { write!(f, " (errno {})", self.errno) }
    }
}

#[cfg(test)]
mod tests {
    use super::Ledger;

    #[test]
    fn books_are_added_and_do_not_wrap() {
        let mut books = Ledger { started: 2, reaped: 1, term: u32::MAX, kill: 0, adopted: 3 };
        books.add(Ledger { started: 1, reaped: 1, term: 1, kill: 1, adopted: 1 });
        assert_eq!(books, Ledger { started: 3, reaped: 2, term: u32::MAX, kill: 1, adopted: 4 });
    }
}
