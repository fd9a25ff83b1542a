//! A program that runs: its streams, what is kept of them, and its end.
//!
//! ```text
//!   bytes ─► stdin ─┐             ┌─► stdout ─► kept │ lines │ relay ─┐
//!                   └─► program ──┴─► stderr ─► kept │ lines │ relay ─┴─► Finished
//!   cancelled: SIGTERM ─ grace ─ SIGKILL ─► reaped, what is still in the pipes is taken
//! ```
//!
//! Rules:
//! * All streams are served at the same time, so that no amount of bytes holds anybody.
//! * **Served To The End**: a cancel ends the program; its streams are served until it has ended, and what it said on its way
//!   out is said. What its own children hold open after that is waited for until the scope is cancelled, and no longer than the
//!   grace then.

use super::error::CommandError;
use super::lines::{EachLine, Lines, Relay};
use crate::process::{Process, TerminateError};
use crate::status::ExitStatus;
use pleach_executor::io::{PipeReader, PipeWriter};
use pleach_executor::{CancelScope, Cancelled, In, ScopeHandle, now, shielded};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::ffi::OsString;
use std::fmt;
use std::io;
use std::time::Duration;

/// How much of what is relayed is kept for the error.
const RELAYED_TAIL: usize = 4 << 10;

/// What becomes of an output stream.
pub(super) enum Sink {
    /// Nothing: it is not ours to read, or the user reads it.
    Nothing,
    Capture(usize),
    Tail(usize),
    Lines(EachLine),
    Relay(Relay),
}

/// What was kept of a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Captured {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// How many came before them and were not kept.
    pub dropped: u64,
}

/// A program that has ended.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Finished {
    /// How.
    pub status: ExitStatus,
    /// What was kept of its standard output.
    pub stdout: Captured,
    /// And of its standard error output.
    pub stderr: Captured,
}

/// A program that runs.
///
/// Dropped, it is killed, and reaped by the run.
///
/// ```
/// use pleach_spawn::{Command, CommandError, Input, Output};
/// pleach_executor::run(async {
///     let mut cat = Command::new("cat").stdin(Input::Pipe).stdout(Output::Pipe).start().await?;
///     let (stdin, stdout) = (cat.stdin.take().unwrap(), cat.stdout.take().unwrap());
///     stdin.write_all(b"hello").await.unwrap();
///     let mut bytes = [0; 5];
///     assert_eq!(stdout.read(&mut bytes).await.unwrap(), 5);
///     drop(stdin);
///     assert!(cat.finish().await?.status.success());
///     Ok::<(), CommandError>(())
/// }).unwrap();
/// ```
#[must_use = "dropping it kills the program"]
pub struct Running {
    pub(super) process: Process,
    /// What it reads, if that is a pipe. Take it out to write, and drop it to say that nothing more comes.
    pub stdin: Option<PipeWriter>,
    /// What it writes, if that is a pipe: take it out to read.
    pub stdout: Option<PipeReader>,
    /// The same of its standard error output.
    pub stderr: Option<PipeReader>,
    pub(super) program: OsString,
    pub(super) feed: Option<Vec<u8>>,
    pub(super) keep: [Sink; 2],
    pub(super) grace: Duration,
    pub(super) may_fail: bool,
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running").field("process", &self.process).finish_non_exhaustive()
    }
}

impl Running {
    /// Its process: to signal it, to wait for it beside [`finish`](Running::finish), to end it.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Sees to it until it has ended: feeds it, takes what it writes, collects its status. Streams that were pipes and were not
    /// taken out are closed.
    ///
    /// # Cancellation
    ///
    /// A checkpoint always. It is sent SIGTERM, SIGKILL if it has not ended within its grace, and reaped before this returns.
    ///
    /// # Errors
    ///
    /// [`CommandError`].
    ///
    /// # Panics
    ///
    /// Outside the run that started it; with the panic of a function that gets its lines, after it was made to end.
    pub async fn finish(self) -> Result<Finished, CommandError> {
        let Running { process, stdin, stdout, stderr, program, feed, keep, grace, may_fail } = self;
        let [keep_out, keep_err] = keep;
        let (out, err) = (RefCell::new(Captured::default()), RefCell::new(Captured::default()));
        let served = CancelScope::new().shield();
        let feeding = CancelScope::new();
        let (streams, feed_ends) = (served.handle(), feeding.handle());
        let stream = |stream: &'static str| {
            let program = &program;
            move |e| trouble(program, stream, e)
        };
        let status = In::<CommandError>::nursery(async |n| {
            n.spawn(async {
                let done = served.run(async |_| {
                    In::<CommandError>::nursery(async |n| {
                        n.spawn(async {
                            let fed = feeding.run(async |_| feed_it(stdin, feed).await);
                            fed.await.map(drop).map_err(stream("the standard input"))
                        });
                        n.spawn(take(&program, "standard output", stdout, keep_out, &out));
                        n.spawn(take(&program, "standard error output", stderr, keep_err, &err));
                        Ok(())
                    })
                    .await
                });
                done.await.map(drop)
            });
            let ended = until_it_ends(&process, &program, grace, &streams).await;
            feed_ends.cancel();
            ended
        })
        .await?;
        let (stdout, stderr) = (out.into_inner(), err.into_inner());
        if status.success() || may_fail {
            return Ok(Finished { status, stdout, stderr });
        }
        Err(CommandError::Failed { program, status, stderr: stderr.bytes })
    }
}

/// Waits for its end, and makes it end if the scope around is cancelled.
async fn until_it_ends(
    process: &Process,
    program: &OsString,
    grace: Duration,
    streams: &ScopeHandle,
) -> Result<ExitStatus, CommandError> {
    let c = match process.wait().await {
        Ok(status) => {
            // What is still open is held by others: nobody waits for them against their will.
            streams.set_shield(false);
            return Ok(status);
        }
        Err(c) => c,
    };
    let ended = shielded(async |_| {
        process.terminate(grace).await.map(drop).map_err(|e| match e {
            TerminateError::Cancelled(c) => c.into(),
            TerminateError::Unkillable(pid) => CommandError::Unkillable { program: program.clone(), pid },
        })
    });
    let ended = ended.await;
    streams.set_deadline(Some(now() + grace));
    ended?;
    Err(c.into())
}

/// Writes what it is to read. One that does not read it all has its reasons.
async fn feed_it(stdin: Option<PipeWriter>, feed: Option<Vec<u8>>) -> io::Result<()> {
    let (Some(stdin), Some(bytes)) = (stdin, feed) else { return Ok(()) };
    match stdin.write_all(&bytes).await {
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        fed => fed,
    }
}

/// Takes what it writes, to its end.
async fn take(
    program: &OsString,
    name: &'static str,
    stream: Option<PipeReader>,
    sink: Sink,
    kept: &RefCell<Captured>,
) -> Result<(), CommandError> {
    let Some(stream) = stream else { return Ok(()) };
    let failed = |e| trouble(program, name, e);
    let mut bytes = vec![0; 16 << 10];
    let mut lines = Lines::default();
    let mut sink = match sink {
        // It was not taken out: nobody reads it.
        Sink::Nothing => return Ok(()),
        sink => sink,
    };
    let mut tail = Tail::default();
    loop {
        let n = match stream.read(&mut bytes).await {
            Ok(n) => n,
            Err(e) => {
                // Cancelled: what has come until now is what there is.
                *kept.borrow_mut() = tail.into_captured();
                return Err(failed(e));
            }
        };
        let came = &bytes[..n];
        match &mut sink {
            Sink::Nothing => unreachable!("nobody reads it"),
            Sink::Capture(most) => {
                if tail.len() + n > *most {
                    return Err(CommandError::TooMuch {
                        program: program.clone(),
                        stream: name,
                        most: *most,
                    });
                }
                tail.keep(came, usize::MAX);
            }
            Sink::Tail(most) => tail.keep(came, *most),
            Sink::Lines(f) if n == 0 => lines.end(f),
            Sink::Lines(f) => lines.take_in(came, f),
            Sink::Relay(relay) => {
                tail.keep(came, RELAYED_TAIL);
                let mut whole = Vec::new();
                if n == 0 {
                    lines.end(|line| whole.push(line.to_vec()));
                } else {
                    lines.take_in(came, |line| whole.push(line.to_vec()));
                }
                relay.write(&whole).await.map_err(failed)?;
            }
        }
        if n == 0 {
            *kept.borrow_mut() = tail.into_captured();
            return Ok(());
        }
    }
}

/// What is wrong with a stream; a cancellation is not.
fn trouble(program: &OsString, stream: &'static str, error: io::Error) -> CommandError {
    match error.downcast::<Cancelled>() {
        Ok(c) => CommandError::Cancelled(c),
        Err(error) => CommandError::Stream { program: program.clone(), stream, error },
    }
}

/// The last bytes of many. ◇ pure
#[derive(Debug, Default)]
struct Tail {
    bytes: VecDeque<u8>,
    dropped: u64,
}

impl Tail {
    fn len(&self) -> usize {
        self.bytes.len()
    }

    fn keep(&mut self, came: &[u8], most: usize) {
        let fresh = &came[came.len().saturating_sub(most)..];
        let too_many = (self.bytes.len() + fresh.len()).saturating_sub(most);
        self.bytes.drain(..too_many);
        self.bytes.extend(fresh);
        self.dropped += (too_many + came.len() - fresh.len()) as u64;
    }

    fn into_captured(self) -> Captured {
        Captured { bytes: self.bytes.into(), dropped: self.dropped }
    }
}

#[cfg(test)]
mod tests {
    use super::Tail;

    #[test]
    fn a_tail_is_the_last_bytes_and_tells_how_many_went() {
        for piece in 1..30 {
            for most in 0..30 {
                let mut tail = Tail::default();
                let all: Vec<u8> = (0..100).collect();
                all.chunks(piece).for_each(|came| tail.keep(came, most));
                assert_eq!(tail.len(), most.min(100));
                let kept = tail.into_captured();
                assert_eq!((&kept.bytes[..], kept.dropped), (&all[100 - most..], 100 - most as u64));
            }
        }
    }
}
