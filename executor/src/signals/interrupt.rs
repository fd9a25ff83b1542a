//! Ctrl-C as the cancellation of a whole run.
//!
//! ```text
//!   Ctrl-C ─► handler ─► a task of the run ─► root scope cancelled: Reason::Interrupt ─► main ends ─► Stopped::Interrupted
//!               └─► the default is back: a second Ctrl-C ends the process
//! ```
//!
//! Rules:
//! * The first Ctrl-C asks, the second one does not: its default is back before the first has been looked at, so that it
//!   helps against code that never yields as well.
//! * A value wins: a main that ends well in spite of an interrupt has ended well.
//! * A Ctrl-C that comes when main has ended is not taken; it has the effect that it has outside of the run.

use super::error::OpenError;
use super::seat::Listens;
use super::{Signal, Signals};
use crate::cancel::Reason;
use crate::error::{self, Failure};
use crate::low_level::spawn_system;
use crate::run::run;
use crate::runtime;
use crate::sys::{self, Installed};
use std::cell::Cell;
use std::error::Error;
use std::fmt;
use std::future::Future;
use std::rc::Rc;

/// Why [`run_interruptible`] has no value.
#[derive(Debug)]
#[non_exhaustive]
pub enum Stopped<E> {
    /// By Ctrl-C, with what failed on the way out, if anything did. Everything has ended in order: leave, with exit status
    /// 130, as a shell expects.
    Interrupted(Option<E>),
    /// The run failed by itself.
    Failed(E),
    /// Ctrl-C could not be listened to, and nothing was run.
    Refused(OpenError),
}

impl<E: fmt::Display> fmt::Display for Stopped<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Stopped::Interrupted(None) => f.write_str("interrupted"),
            Stopped::Interrupted(Some(e)) => write!(f, "interrupted, and on the way out: {e}"),
            Stopped::Failed(e) => e.fmt(f),
            Stopped::Refused(e) => write!(f, "cannot listen for Ctrl-C: {e}"),
        }
    }
}

impl<E: Error + 'static> Error for Stopped<E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Stopped::Interrupted(e) => e.as_ref().map(|e| e as _),
            Stopped::Failed(e) => Some(e),
            Stopped::Refused(e) => Some(e),
        }
    }
}

/// [`run`], in which Ctrl-C (SIGINT) cancels everything, with [`Reason::Interrupt`].
///
/// A second Ctrl-C has its default effect, it ends the process at once; also if the first has not been noticed, because a
/// task does not yield. Clean-up behind a [shield](crate::CancelScope::shield) is not disturbed by the first. While a stream
/// of the program's own listens to SIGINT as well, every Ctrl-C goes to that, and none ends the process.
///
/// If SIGINT is ignored when this is called, as a shell has it for jobs in the background, it stays ignored. The thread
/// need not be the first of the process, and several such runs may be active: all are cancelled. Because Ctrl-C may always
/// come, such a run is never stuck: no deadlock is reported.
///
/// Source: trio's `KeyboardInterrupt` handling, as a cancellation.
///
/// # Errors
///
/// [`Stopped`] says whether the run was interrupted or failed by itself.
///
/// # Panics
///
/// As [`run`].
///
/// ```
/// use pleach_executor::{Cancelled, signals::{Stopped, run_interruptible}, sleep_forever};
/// use std::process::ExitCode;
///
/// fn main() -> ExitCode {
///     # let me = std::process::id().to_string();
///     let ended = run_interruptible::<(), Cancelled>(async {
///         # std::process::Command::new("kill").args(["-INT", &me]).status().unwrap();
///         sleep_forever().await?;
///         Ok(())
///     });
///     # assert!(matches!(ended, Err(Stopped::Interrupted(None)))); return ExitCode::SUCCESS;
///     match ended {
///         Ok(()) => ExitCode::SUCCESS,
///         Err(Stopped::Interrupted(_)) => ExitCode::from(130),
///         Err(_) => ExitCode::FAILURE,
///     }
/// }
/// ```
#[track_caller]
pub fn run_interruptible<T, E: Failure>(main: impl Future<Output = Result<T, E>>) -> Result<T, Stopped<E>> {
    run(async {
        let came = Rc::new(Cell::new(false));
        if sys::installed(Signal::INT.as_raw()) != Installed::Ignored {
            let signals = Signals::open_as(&[Signal::INT], Listens::ToTheFirst).map_err(Stopped::Refused)?;
            spawn_system(hear(signals, Rc::clone(&came)));
        }
        match main.await {
            Ok(value) => Ok(value),
            Err(e) if !came.get() => Err(Stopped::Failed(e)),
            Err(e) if e.is_cancelled() => {
                error::absorb(e);
                Err(Stopped::Interrupted(None))
            }
            Err(e) => Err(Stopped::Interrupted(Some(e))),
        }
    })
}

/// Waits for the first Ctrl-C. It is the last thing heard: then, or when main has ended, what was installed comes back.
async fn hear(signals: Signals, came: Rc<Cell<bool>>) {
    match signals.receive().await {
        Ok(Ok(signal)) if runtime::with(|rt| rt.shutting_down.get()) => signals.give_back(signal),
        Ok(Ok(_first)) => {
            came.set(true);
            runtime::cancel(runtime::with(runtime::Runtime::root), Reason::Interrupt);
        }
        // The one reader, of a descriptor that somebody has closed: nothing will ever come.
        Ok(Err(_)) => {}
        Err(cancelled) => cancelled.absorb(),
    }
}
