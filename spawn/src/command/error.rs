//! Why a program did not run, or did not run well.

use crate::error::SpawnError;
use crate::process::Pid;
use crate::status::ExitStatus;
use crate::sys::program::ProgramStep;
use pleach_executor::{Cancelled, Failure, Failures};
use std::ffi::OsString;
use std::{error, fmt, io};

/// What became of a [`Command`](super::Command) instead of what was asked for. No process is left of it.
#[derive(Debug)]
#[non_exhaustive]
pub enum CommandError {
    /// The scope around was cancelled. If the program ran already it was asked to end, made to, and reaped.
    Cancelled(Cancelled),
    /// What is to be started cannot be said to the system: an argument, a variable or a path with a NUL in it, an empty program.
    Unspeakable {
        /// What cannot.
        what: &'static str,
        /// How it reads.
        word: OsString,
    },
    /// There is no such program: nowhere in `PATH`, or not at its path.
    NotFound {
        /// What was asked for.
        program: OsString,
    },
    /// The system refused a step on the way to the program.
    Refused {
        /// What was asked for.
        program: OsString,
        /// What was being done.
        step: CommandStep,
        /// What the system said.
        error: io::Error,
    },
    /// No process can be started here at all, whichever.
    Spawn(SpawnError),
    /// The program has ended otherwise than well.
    Failed {
        /// What ran.
        program: OsString,
        /// How it ended.
        status: ExitStatus,
        /// The end of what it wrote to its standard error, if that was kept.
        stderr: Vec<u8>,
    },
    /// It wrote more than was to be kept; it was made to end.
    TooMuch {
        /// What ran.
        program: OsString,
        /// Into which of its streams.
        stream: &'static str,
        /// How many bytes were to be kept.
        most: usize,
    },
    /// One of its streams failed, or whoever was to get what it wrote did.
    Stream {
        /// What ran.
        program: OsString,
        /// Which stream.
        stream: &'static str,
        /// What the system said.
        error: io::Error,
    },
    /// It does not even die of SIGKILL, or is not ours to signal any more (a program with the set-user-ID bit). It is reaped by
    /// the run when it ends.
    Unkillable {
        /// What runs.
        program: OsString,
        /// Its number.
        pid: Pid,
    },
    /// Several of these.
    Several(Failures<CommandError>),
}

/// A step on the way from a request to a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CommandStep {
    /// A pipe, or a number for a descriptor, in this process.
    Descriptors,
    /// The process itself.
    Process,
    /// Its life was to be tied to its parent's.
    Death,
    /// Its signals were to be at their defaults.
    Signals,
    /// Its process group or session.
    Group,
    /// The directory that it was to begin in.
    Directory,
    /// Its niceness.
    Nice,
    /// The numbers of its descriptors.
    Numbers,
    /// Its limits.
    Limits,
    /// The program's file: not to be executed, or none that the system can execute.
    Exec,
}

impl From<ProgramStep> for CommandStep {
    fn from(step: ProgramStep) -> Self {
        match step {
            ProgramStep::Death => CommandStep::Death,
            ProgramStep::Signals => CommandStep::Signals,
            ProgramStep::Group => CommandStep::Group,
            ProgramStep::Directory => CommandStep::Directory,
            ProgramStep::Nice => CommandStep::Nice,
            ProgramStep::Numbers => CommandStep::Numbers,
            ProgramStep::Limits => CommandStep::Limits,
            ProgramStep::Exec => CommandStep::Exec,
        }
    }
}

impl fmt::Display for CommandStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CommandStep::Descriptors => "making its descriptors",
            CommandStep::Process => "making a process",
            CommandStep::Death => "tying its life to this process'",
            CommandStep::Signals => "resetting its signals",
            CommandStep::Group => "making its process group or session",
            CommandStep::Directory => "entering its directory",
            CommandStep::Nice => "setting its niceness",
            CommandStep::Numbers => "putting its descriptors in place",
            CommandStep::Limits => "setting its limits",
            CommandStep::Exec => "executing its file",
        })
    }
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cancelled(c) => c.fmt(f),
            Self::Unspeakable { what, word } => {
                write!(f, "{what} {word:?} cannot be handed to a program: it is empty, or has a NUL in it")
            }
            Self::NotFound { program } => {
                write!(f, "no program {program:?}: it is nowhere in PATH, or not at that path")
            }
            Self::Refused { program, step, error } => {
                write!(f, "{program:?} was not started: {step}: {error}")
            }
            Self::Spawn(e) => e.fmt(f),
            Self::Failed { program, status, stderr } => {
                write!(f, "{program:?} has failed: {status}")?;
                let said = String::from_utf8_lossy(stderr);
                if said.trim_end().is_empty() { Ok(()) } else { write!(f, "; it said: {}", said.trim_end()) }
            }
            Self::TooMuch { program, stream, most } => {
                write!(
                    f,
                    "{program:?} wrote more than {most} bytes to its {stream}, and was made to end: keep more of it, or only \
                     the end (Output::Tail)"
                )
            }
            Self::Stream { program, stream, error } => write!(f, "{stream} of {program:?}: {error}"),
            Self::Unkillable { program, pid } => {
                write!(f, "{program:?} (process {pid}) was sent SIGKILL and has not ended: see its wchan")
            }
            Self::Several(all) => all.fmt(f),
        }
    }
}

impl error::Error for CommandError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::Cancelled(c) => Some(c),
            Self::Refused { error, .. } | Self::Stream { error, .. } => Some(error),
            Self::Spawn(e) => Some(e),
            _ => None,
        }
    }
}

impl From<Cancelled> for CommandError {
    fn from(c: Cancelled) -> Self {
        Self::Cancelled(c)
    }
}

impl From<SpawnError> for CommandError {
    fn from(e: SpawnError) -> Self {
        e.into_cancelled().map_or_else(Self::Spawn, Self::Cancelled)
    }
}

impl Failure for CommandError {
    fn is_cancelled(&self) -> bool {
        matches!(self, Self::Cancelled(_))
    }

    fn merge(all: Failures<Self>) -> Self {
        Self::Several(all)
    }

    fn as_group(&self) -> Option<&Failures<Self>> {
        match self {
            Self::Several(all) => Some(all),
            _ => None,
        }
    }

    fn into_group(self) -> Result<Failures<Self>, Self> {
        match self {
            Self::Several(all) => Ok(all),
            other => Err(other),
        }
    }
}
