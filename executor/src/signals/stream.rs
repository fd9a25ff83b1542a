//! A stream of signals.
//!
//! ```text
//!   Signals::open(&[USR1, TERM]) ─► receive().await ─► Signal, in turn ─► drop: as it was before
//! ```
//!
//! Rules: the bell is answered only when nothing is there, and looked at again after that. So whoever rings in between is
//! seen at once or rings anew.

use super::error::{OpenError, ReceiveError, TryReceiveError};
use super::seat::{Listens, Seat};
use super::{Signal, number::Refusal};
use crate::error::Cancelled;
#[cfg(feature = "stream")]
use crate::fd::Reads;
use crate::fd::{AsyncFd, ReadyError};
use crate::reactor::{Asks, Direction};
use crate::sys::{self, Patience};
use std::fmt;
use std::future::Future;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
#[cfg(feature = "stream")]
use std::task::{Context, Poll};

/// Some signals of this process, as a stream. While it is open they have no other effect.
///
/// Several of one kind may count as one; of several kinds each has its turn. Any number of streams may listen to the same
/// signal, in one run or in several, and each hears it. It does not matter which thread of the process a signal comes to,
/// as long as one does not block it.
///
/// When the last stream for a signal is dropped, what was installed before is back, and a signal that came and was not
/// received does what it would have done: it may end the process. In a forked child an inherited stream does nothing, not
/// even on drop.
///
/// Source: trio's `open_signal_receiver`; signal(7), sigaction(2).
///
/// ```
/// use pleach_executor::{Cancelled, run, signals::{Signal, Signals}};
///
/// let done: Result<(), Cancelled> = run(async {
///     let signals = Signals::open(&[Signal::HUP, Signal::USR1]).expect("two that may be caught");
///     # let me = std::process::id().to_string();
///     # std::process::Command::new("kill").args(["-HUP", &me]).status().unwrap();
///     match signals.receive().await?.expect("the only reader") {
///         Signal::HUP => println!("reading the configuration again"),
///         other => println!("{other}"),
///     }
///     Ok(())
/// });
/// done.unwrap();
/// ```
pub struct Signals {
    // First: nobody rings the bell any more when it is closed.
    seat: Seat,
    bell: AsyncFd<OwnedFd>,
}

impl Signals {
    /// Listens to these signals from now on. One that is named twice counts once. One that this thread blocks is
    /// unblocked for it, and stays so.
    ///
    /// A handler for SIGCHLD keeps `pleach-spawn` from making processes.
    ///
    /// # Errors
    ///
    /// [`OpenError`]; then everything is as it was before.
    ///
    /// # Panics
    ///
    /// Outside a run.
    ///
    /// ```
    /// use pleach_executor::{run, signals::{OpenError, Signal, Signals}};
    /// run(async {
    ///     let refused = Signals::open(&[Signal::TERM, Signal::KILL]).unwrap_err();
    ///     assert!(matches!(refused, OpenError::Uncatchable(Signal::KILL)));
    /// });
    /// ```
    #[track_caller]
    pub fn open(signals: &[Signal]) -> Result<Self, OpenError> {
        Self::open_as(signals, Listens::ToAll)
    }

    #[track_caller]
    pub(super) fn open_as(signals: &[Signal], how: Listens) -> Result<Self, OpenError> {
        let _inside = crate::runtime::run_key();
        if signals.is_empty() {
            return Err(OpenError::Empty);
        }
        let refused = |signal: &Signal| signal.refusal().map(|refusal: Refusal| (*signal, refusal));
        if let Some((signal, refusal)) = signals.iter().find_map(refused) {
            return Err(OpenError::of(signal, refusal));
        }
        let bell = AsyncFd::sole(sys::eventfd()?)?;
        // An error below drops the seat, which puts back what was changed so far.
        let mut seat = Seat::take(bell.get_ref().as_raw_fd())?;
        for &signal in signals {
            seat.listen(signal, how)?;
        }
        Ok(Signals { seat, bell })
    }

    /// The next signal that came, or comes.
    ///
    /// # Cancellation
    ///
    /// A checkpoint always. **Strict**: a cancelled or dropped call has taken no signal.
    ///
    /// # Errors
    ///
    /// [`Cancelled`], from the scope around; inside, [`ReceiveError::Busy`] if another task receives already.
    ///
    /// # Panics
    ///
    /// If it belongs to another run.
    ///
    /// ```no_run
    /// # use pleach_executor::{Cancelled, signals::{Signal, Signals}};
    /// # async fn f(signals: Signals) -> Result<(), Cancelled> {
    /// while let Ok(signal) = signals.receive().await? {
    ///     println!("{signal}");
    /// }
    /// # Ok(()) }
    /// ```
    #[track_caller]
    pub fn receive(&self) -> impl Future<Output = Result<Result<Signal, ReceiveError>, Cancelled>> {
        let wait = self.bell.wait(Direction::Read, Asks::WhetherToTry, |bell| self.take(bell));
        async { received(wait.await) }
    }

    /// The next signal that came, if any. Never waits; no checkpoint.
    ///
    /// # Errors
    ///
    /// [`TryReceiveError::WouldBlock`] if none has come, `Busy` if another task receives.
    ///
    /// ```
    /// use pleach_executor::{run, signals::{Signal, Signals, TryReceiveError}};
    /// run(async {
    ///     let signals = Signals::open(&[Signal::USR2]).unwrap();
    ///     assert_eq!(signals.try_receive(), Err(TryReceiveError::WouldBlock));
    /// });
    /// ```
    pub fn try_receive(&self) -> Result<Signal, TryReceiveError> {
        if self.bell.is_claimed(Direction::Read) {
            return Err(TryReceiveError::Busy);
        }
        self.seat.next().ok_or(TryReceiveError::WouldBlock)
    }

    /// As if it had not been received.
    pub(super) fn give_back(&self, signal: Signal) {
        self.seat.give_back(signal);
    }

    fn take(&self, bell: &OwnedFd) -> io::Result<Signal> {
        loop {
            if let Some(signal) = self.seat.next() {
                return Ok(signal);
            }
            sys::read(bell.as_fd(), &mut [0; 8], Patience::AsItIs)?;
        }
    }
}

#[cfg(feature = "stream")]
impl Signals {
    /// One poll of a [`receive`](Signals::receive) whose state is kept elsewhere.
    pub(super) fn poll_receive(&self, reads: &mut Reads, cx: &mut Context<'_>) -> Poll<Received> {
        reads.poll(&self.bell, cx, |bell| self.take(bell)).map(received)
    }

    pub(super) fn end_reads(&self, reads: &mut Reads) {
        reads.end(&self.bell);
    }
}

/// What a [`receive`](Signals::receive) comes to.
type Received = Result<Result<Signal, ReceiveError>, Cancelled>;

fn received(read: Result<Signal, ReadyError>) -> Received {
    match read {
        Ok(signal) => Ok(Ok(signal)),
        Err(ReadyError::Cancelled(c)) => Err(c),
        Err(ReadyError::Busy) => Ok(Err(ReceiveError::Busy)),
        Err(ReadyError::Io(e)) => Ok(Err(ReceiveError::Broken(e))),
        Err(ReadyError::Closed) => unreachable!("its waits end with it, and they borrow it"),
    }
}

impl fmt::Debug for Signals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hears: Vec<Signal> = Signal::each(self.seat.held()).collect();
        f.debug_struct("Signals").field("hears", &hears).finish_non_exhaustive()
    }
}
