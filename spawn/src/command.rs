//! Any other program, as a child whose life is a block of this one.
//!
//! ```text
//!   Command ─ start() ─► Running { process, stdin, stdout, stderr } ─ finish() ─► Finished { status, stdout, stderr }
//!      └───────────────────────────── run() ─────────────────────────────────────────┘
//! ```
//!
//! * `command.rs`: what is asked for, and the start. `command/running.rs`: its streams and its end. `command/lines.rs`: what it says,
//!   line by line. `command/words.rs`: strings (pure). `command/error.rs`: what can go wrong.
//!
//! Rules:
//! * All is planned before the child is there; what it does until it is the program is in `sys/program.rs`.
//! * It has what was given to it, and nothing else of this process: standard streams, numbers from 3 on in the order in which they
//!   were given, every signal at its default, none blocked. It inherits directory, umask, niceness, limits and variables, unless
//!   they were asked to be others.
//! * **Its Life Is Ours**: it dies with the thread that made it, and with its handle. Of an actor's programs the mark of the tree tells
//!   that they belong to it, as of whatever else an actor starts.

mod error;
mod lines;
mod running;
mod words;

pub use error::{CommandError, CommandStep};
pub use lines::{EachLine, Relay};
pub use running::{Captured, Finished, Running};

use crate::fork::exits_are_kept;
use crate::held::making;
use crate::process::Process;
use crate::sys;
use crate::sys::program::{NoProgram, Program, ProgramStep};
use pleach_executor::io::{PipeReader, PipeWriter};
use running::Sink;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::path::PathBuf;
use std::time::Duration;

/// How long a program that was sent SIGTERM has, unless [`Command::grace`] says otherwise. (trio's.)
const GRACE: Duration = Duration::from_secs(5);

/// What a program reads as its standard input.
#[derive(Debug, Default)]
pub enum Input {
    /// Nothing: the end is there at once.
    #[default]
    Null,
    /// What this process reads. Both would read the same bytes: for programs that a person is to talk to.
    Inherit,
    /// What is written to [`Running::stdin`].
    Pipe,
    /// These bytes, and then the end. A program that does not read them all does no wrong by that.
    Bytes(Vec<u8>),
    /// What this descriptor gives.
    Fd(OwnedFd),
}

/// Where a program's standard output, or its standard error output, goes.
#[derive(Default)]
pub enum Output {
    /// To where this process' own goes.
    #[default]
    Inherit,
    /// Nowhere.
    Null,
    /// To whoever reads [`Running::stdout`] or [`Running::stderr`].
    Pipe,
    /// It is kept for [`Finished`], at most so many bytes: a program that writes more is made to end, with
    /// [`CommandError::TooMuch`].
    Capture(usize),
    /// The last so many bytes are kept for [`Finished`], and for the error if the program fails.
    Tail(usize),
    /// Line by line, without the line's end, to this function. A line of more than 64 KiB comes in pieces.
    Lines(EachLine),
    /// Line by line, each with a label, into a stream of this process. The last 4 KiB are kept as by [`Tail`](Output::Tail).
    Relay(Relay),
    /// To where the standard output goes. Of the standard error output only; of the other it means [`Inherit`](Output::Inherit).
    SameAsStdout,
    /// Into this descriptor.
    Fd(OwnedFd),
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Output::Inherit => f.write_str("Inherit"),
            Output::Null => f.write_str("Null"),
            Output::Pipe => f.write_str("Pipe"),
            Output::Capture(most) => f.debug_tuple("Capture").field(most).finish(),
            Output::Tail(most) => f.debug_tuple("Tail").field(most).finish(),
            Output::Lines(_) => f.write_str("Lines"),
            Output::Relay(relay) => relay.fmt(f),
            Output::SameAsStdout => f.write_str("SameAsStdout"),
            Output::Fd(fd) => f.debug_tuple("Fd").field(fd).finish(),
        }
    }
}

/// With whom a program gets what a terminal sends (`setpgid(2)`, `setsid(2)`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Group {
    /// With this process: Ctrl-C reaches both.
    #[default]
    Ours,
    /// With nobody: a process group of its own.
    New,
    /// In a session of its own, without a terminal.
    Session,
}

/// Something that a process may have only so much of (`setrlimit(2)`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Limit {
    /// Bytes of address space.
    AddressSpace,
    /// Bytes of a core dump.
    Core,
    /// Seconds of CPU time.
    Cpu,
    /// Bytes of a file that it writes.
    FileSize,
    /// The number above its highest descriptor.
    OpenFiles,
    /// Processes and threads of its user.
    Processes,
    /// Bytes of its stack.
    Stack,
}

impl Limit {
    fn resource(self) -> usize {
        let resource = match self {
            Limit::AddressSpace => libc::RLIMIT_AS,
            Limit::Core => libc::RLIMIT_CORE,
            Limit::Cpu => libc::RLIMIT_CPU,
            Limit::FileSize => libc::RLIMIT_FSIZE,
            Limit::OpenFiles => libc::RLIMIT_NOFILE,
            Limit::Processes => libc::RLIMIT_NPROC,
            Limit::Stack => libc::RLIMIT_STACK,
        };
        resource as usize
    }
}

/// A program that is to be run, and how.
///
/// Without further words it reads nothing, writes to where this process writes, and has to end with status 0.
///
/// Source: trio's `run_process`, and `std::process::Command`.
///
/// ```
/// use pleach_spawn::{Command, CommandError, Input, Output};
/// pleach_executor::run(async {
///     let sorted = Command::new("sort").arg("-r").stdin(Input::Bytes(b"a\nb\n".to_vec())).stdout(Output::Capture(1024));
///     assert_eq!(sorted.run().await?.stdout.bytes, b"b\na\n");
///
///     let failed = Command::new("ls").arg("/nowhere").stderr(Output::Tail(1024)).run().await;
///     assert!(failed.unwrap_err().to_string().contains("No such file"));
///     Ok::<(), CommandError>(())
/// }).unwrap();
/// ```
#[derive(Debug)]
#[must_use = "nothing runs before start() or run()"]
pub struct Command {
    program: OsString,
    name: Option<OsString>,
    arguments: Vec<OsString>,
    is_cleared: bool,
    /// What is set, and what is not to be there.
    variables: BTreeMap<OsString, Option<OsString>>,
    directory: Option<PathBuf>,
    group: Group,
    umask: Option<u32>,
    nice: Option<i32>,
    limits: Vec<(Limit, u64, u64)>,
    stdin: Input,
    stdout: Output,
    stderr: Output,
    given: Vec<OwnedFd>,
    grace: Duration,
    may_fail: bool,
}

impl Command {
    /// This program: at that path if there is a slash in it, and else in `PATH`, as the program will have it.
    pub fn new(program: impl Into<OsString>) -> Self {
        Command {
            program: program.into(),
            name: None,
            arguments: Vec::new(),
            is_cleared: false,
            variables: BTreeMap::new(),
            directory: None,
            group: Group::Ours,
            umask: None,
            nice: None,
            limits: Vec::new(),
            stdin: Input::Null,
            stdout: Output::Inherit,
            stderr: Output::Inherit,
            given: Vec::new(),
            grace: GRACE,
            may_fail: false,
        }
    }

    /// One more argument.
    pub fn arg(mut self, argument: impl Into<OsString>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// More arguments.
    pub fn args<A: Into<OsString>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// What it is told that it was called as (its argument 0), if not as the program.
    pub fn arg0(mut self, name: impl Into<OsString>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Sets a variable of its environment.
    pub fn env(mut self, key: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        let _before = self.variables.insert(key.into(), Some(value.into()));
        self
    }

    /// Takes a variable out of its environment.
    pub fn env_remove(mut self, key: impl Into<OsString>) -> Self {
        let _before = self.variables.insert(key.into(), None);
        self
    }

    /// Takes everything out of its environment, also what was set for it before.
    pub fn env_clear(mut self) -> Self {
        self.is_cleared = true;
        self.variables.clear();
        self
    }

    /// The directory that it begins in. A program that is said by a relative path is looked for from there.
    pub fn current_dir(mut self, directory: impl Into<PathBuf>) -> Self {
        self.directory = Some(directory.into());
        self
    }

    /// Its process group or session.
    pub fn group(mut self, group: Group) -> Self {
        self.group = group;
        self
    }

    /// Which permissions files that it makes do not have (`umask(2)`).
    pub fn umask(mut self, mask: u32) -> Self {
        self.umask = Some(mask);
        self
    }

    /// How nice it is, from -20 to 19 (`setpriority(2)`). To be less so than this process needs a privilege.
    pub fn nice(mut self, nice: i32) -> Self {
        self.nice = Some(nice);
        self
    }

    /// A limit of its own: the one that holds, and the one up to which it may raise that. `u64::MAX` is no limit.
    pub fn limit(mut self, limit: Limit, soft: u64, hard: u64) -> Self {
        self.limits.push((limit, soft, hard));
        self
    }

    /// What it reads.
    pub fn stdin(mut self, input: Input) -> Self {
        self.stdin = input;
        self
    }

    /// Where it writes.
    pub fn stdout(mut self, output: Output) -> Self {
        self.stdout = output;
        self
    }

    /// Where it writes what is wrong.
    pub fn stderr(mut self, output: Output) -> Self {
        self.stderr = output;
        self
    }

    /// One more descriptor that it has: the first as number 3, the next as 4, and so on.
    pub fn give(mut self, fd: impl Into<OwnedFd>) -> Self {
        self.given.push(fd.into());
        self
    }

    /// How long it has to end after SIGTERM, before it is killed. Five seconds without this.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// However it ends is as well: [`Finished::status`] tells.
    pub fn may_fail(mut self) -> Self {
        self.may_fail = true;
        self
    }

    /// Starts it, and sees to it until it has ended: feeds it, takes what it writes, collects its status.
    ///
    /// # Cancellation
    ///
    /// A checkpoint always. Cancelled before it runs, nothing was started; later it is sent SIGTERM, SIGKILL if it has not ended
    /// within its [`grace`](Command::grace), and reaped before this returns. Dropped, it is killed, and reaped by the run.
    ///
    /// # Errors
    ///
    /// [`CommandError`].
    ///
    /// # Panics
    ///
    /// Outside a run.
    pub async fn run(self) -> Result<Finished, CommandError> {
        self.start().await?.finish().await
    }

    /// Starts it. It is there, and is the program, when this returns.
    ///
    /// This thread stands still until the program is loaded, which is a fraction of a millisecond, or as long as the file system
    /// takes that it lies on.
    ///
    /// # Cancellation
    ///
    /// A checkpoint always. **Strict**: cancelled or dropped, nothing was started.
    ///
    /// # Errors
    ///
    /// [`CommandError`]; nothing is left of the attempt.
    ///
    /// # Panics
    ///
    /// Outside a run.
    ///
    /// # References
    ///
    /// clone(2) with CLONE_VM and CLONE_VFORK, execve(2), PR_SET_PDEATHSIG(2const).
    pub async fn start(self) -> Result<Running, CommandError> {
        pleach_executor::checkpoint().await?;
        exits_are_kept()?;
        let program = self.program.clone();
        let refused = |step| {
            let program = program.clone();
            move |error| CommandError::Refused { program, step, error }
        };
        let ours = std::env::vars_os().filter(|_| !self.is_cleared);
        let variables = words::variables(ours, &self.variables);
        let path = variables.iter().find(|(key, _)| key == "PATH").map(|(_, path)| path.clone());
        let paths = words::paths(&self.program, path.as_deref())?;
        let name = self.name.as_ref().unwrap_or(&self.program).clone();
        let arguments = std::iter::once(name).chain(self.arguments);
        let arguments = arguments.map(|word| words::terminated("the argument", word));
        let arguments = arguments.collect::<Result<Vec<_>, _>>()?;
        let environment = words::environment(variables)?;
        let directory = self.directory.map(|path| words::terminated("the directory", path.into_os_string()));
        let directory = directory.transpose()?;
        let limits: Vec<_> =
            self.limits.iter().map(|(l, soft, hard)| (l.resource(), (*soft, *hard))).collect();

        let streams =
            Streams::open(self.stdin, self.stdout, self.stderr).map_err(refused(CommandStep::Descriptors))?;
        let Streams { theirs, stdin, feed, stdout, stderr } = streams;
        let end = 3 + self.given.len() as RawFd;
        let sources = (0..).zip(theirs).chain((3..).zip(self.given.into_iter().map(Some)));
        let sources = sources.filter_map(|(number, fd)| Some((lift(fd?, end), number)));
        let sources = sources.map(|(fd, number)| fd.map(|fd| (fd, number)));
        let sources: Vec<(OwnedFd, RawFd)> =
            sources.collect::<io::Result<_>>().map_err(refused(CommandStep::Descriptors))?;
        let numbers: Vec<_> = sources.iter().map(|(fd, number)| (fd.as_raw_fd(), *number)).collect();
        let plan = Program {
            paths: &paths,
            arguments: &arguments,
            environment: &environment,
            directory: directory.as_deref(),
            group: match self.group {
                Group::Ours => sys::program::Group::Ours,
                Group::New => sys::program::Group::New,
                Group::Session => sys::program::Group::Session,
            },
            umask: self.umask,
            nice: self.nice,
            limits: &limits,
            numbers: &numbers,
            end,
            dies_with_us: true,
        };
        let making = making();
        let (pid, pidfd) = sys::program::start(&plan).map_err(|no| match no {
            NoProgram::Clone(error) => refused(CommandStep::Process)(error),
            NoProgram::Refused(ProgramStep::Exec, e) if e.raw_os_error() == Some(libc::ENOENT) => {
                CommandError::NotFound { program: program.clone() }
            }
            NoProgram::Refused(step, error) => refused(step.into())(error),
        })?;
        let name = program.to_string_lossy().into_owned();
        let process = Process::new(pid, name, pidfd, Box::new(())).map_err(refused(CommandStep::Process))?;
        drop(making);
        // From here on its ends are the child's alone, and their ends mean something.
        drop(sources);
        Ok(Running {
            process,
            stdin,
            stdout: stdout.0,
            stderr: stderr.0,
            program,
            feed,
            keep: [stdout.1, stderr.1],
            grace: self.grace,
            may_fail: self.may_fail,
        })
    }
}

/// A descriptor of ours on a number that the child has no use for, or the same one if it is one.
fn lift(fd: OwnedFd, end: RawFd) -> io::Result<OwnedFd> {
    if fd.as_raw_fd() < end { sys::duplicate_from(&fd, end) } else { Ok(fd) }
}

/// The standard streams: what the child gets of each (`None`: what is there), and what is left here.
struct Streams {
    theirs: [Option<OwnedFd>; 3],
    stdin: Option<PipeWriter>,
    feed: Option<Vec<u8>>,
    stdout: (Option<PipeReader>, Sink),
    stderr: (Option<PipeReader>, Sink),
}

impl Streams {
    fn open(stdin: Input, stdout: Output, stderr: Output) -> io::Result<Self> {
        let (input, stdin, feed) = match stdin {
            Input::Inherit => (None, None, None),
            Input::Null => (Some(sys::fds::null()?), None, None),
            Input::Fd(fd) => (Some(fd), None, None),
            Input::Pipe => {
                let (theirs, ours) = io::pipe()?;
                (Some(theirs.into()), Some(PipeWriter::from_std(ours)?), None)
            }
            Input::Bytes(bytes) => {
                let (theirs, ours) = io::pipe()?;
                (Some(theirs.into()), Some(PipeWriter::from_std(ours)?), Some(bytes))
            }
        };
        let (output, stdout) = open_output(stdout)?;
        let (errors, stderr) = match stderr {
            Output::SameAsStdout => (Some(same_as_stdout(output.as_ref())?), (None, Sink::Nothing)),
            other => open_output(other)?,
        };
        Ok(Streams { theirs: [input, output, errors], stdin, feed, stdout, stderr })
    }
}

type Opened = (Option<OwnedFd>, (Option<PipeReader>, Sink));

fn open_output(output: Output) -> io::Result<Opened> {
    let sink = match output {
        Output::Inherit | Output::SameAsStdout => return Ok((None, (None, Sink::Nothing))),
        Output::Null => return Ok((Some(sys::fds::null()?), (None, Sink::Nothing))),
        Output::Fd(fd) => return Ok((Some(fd), (None, Sink::Nothing))),
        Output::Pipe => Sink::Nothing,
        Output::Capture(most) => Sink::Capture(most),
        Output::Tail(most) => Sink::Tail(most),
        Output::Lines(f) => Sink::Lines(f),
        Output::Relay(relay) => Sink::Relay(relay),
    };
    let (ours, theirs) = io::pipe()?;
    Ok((Some(theirs.into()), (Some(PipeReader::from_std(ours)?), sink)))
}

/// A second hold of where the standard output goes.
fn same_as_stdout(output: Option<&OwnedFd>) -> io::Result<OwnedFd> {
    match output {
        Some(fd) => sys::duplicate(fd),
        None => io::stdout().as_fd().try_clone_to_owned(),
    }
}
