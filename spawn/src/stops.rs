//! Hears of children that were stopped, which no pidfd tells.
//!
//! ```text
//!   a child dies or stops ─SIGCHLD─► on_signal ─► bell ─► the one who leads: is anybody stopped? ─► count + 1
//!                                                          the others park ◄──── all are released ────┘
//! ```
//!
//! Rules:
//! * **One Leader**: one descriptor has one waiter, and here many tasks wait. One of them waits for the bell, the others
//!   in a parking lot; a leader that goes hands the lead to the next.
//! * SIGCHLD tells of deaths as well, and several count as one. So the leader asks the kernel once whether any
//!   child is stopped, and wakes the others only if one is: a death costs one call, not one for each child.
//! * Who was stopped itself (a whole group is stopped and continued together) gives the others a moment to be
//!   continued as well before it believes that they are not.

use crate::process::only_waiter;
use crate::signal::{self, Signal};
use crate::sys::{self, Action, Installed, Who};
use pleach_executor::fd::AsyncFd;
use pleach_executor::parking::ParkingLot;
use pleach_executor::{Cancelled, low_level, sleep};
use std::cell::Cell;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::Duration;

/// How long after its own continuation a process waits before it takes a child for stopped.
const SETTLE: Duration = Duration::from_millis(100);

/// The signals whose handlers this needs: the first to be told, the second to know that we were stopped ourselves.
const NEEDED: [Signal; 2] = [Signal::CHLD, Signal::CONT];

/// Tells when children may have been stopped (SIGSTOP and its kin). At most one exists in a process; share it.
///
/// While it lives SIGCHLD has a handler, with SA_RESTART, and system calls that wait without restarting may end with
/// EINTR when a child dies, as with any handler.
///
/// ```no_run
/// use pleach_spawn::{Forked, Plan, Signal, Stops, fork};
/// pleach_executor::run(async {
///     let stops = Stops::listen()?;
///     let Forked { process, .. } = fork(Plan::new("sleeper"), (), |_, _| loop { std::thread::park() }).await?;
///     let mut seen = 0;
///     while process.stopped_by() != Some(Signal::STOP) {
///         seen = stops.since(seen).await?;
///     }
///     Ok::<(), Box<dyn std::error::Error + Send + Sync>>(())
/// }).unwrap();
/// ```
pub struct Stops {
    bell: AsyncFd<OwnedFd>,
    /// Rung, and not looked into yet.
    rung: Cell<bool>,
    /// How often a child was found stopped.
    count: Cell<u64>,
    led: Cell<bool>,
    line: ParkingLot,
    /// How often this process had been continued when the leader last looked.
    continued: Cell<u64>,
    epoch: u64,
}

impl Stops {
    /// Listens from now on.
    ///
    /// # Errors
    ///
    /// `ResourceBusy` if another one listens, or if SIGCHLD has a handler of somebody else's or is ignored: then
    /// nothing is changed, and nothing tells of stopped children. What the system says otherwise.
    ///
    /// # Panics
    ///
    /// Outside a run.
    pub fn listen() -> io::Result<Self> {
        if !sys::sigchld_keeps_statuses() {
            return Err(busy("SIGCHLD belongs to somebody else"));
        }
        let bell = sys::eventfd()?;
        let number = bell.as_raw_fd();
        let bell = AsyncFd::sole(bell)?;
        if !signal::hang_child_bell(number) {
            return Err(busy("another Stops is listening in this process"));
        }
        let this = Self {
            bell,
            rung: Cell::new(false),
            count: Cell::new(0),
            led: Cell::new(false),
            line: ParkingLot::new(),
            continued: Cell::new(signal::times_continued()),
            epoch: low_level::epoch(),
        };
        for signal in NEEDED {
            // A program that handles SIGCONT itself goes without the moment to settle.
            if sys::installed(signal.as_raw()) == Installed::Default {
                // An error drops `this`, which puts back what was changed so far.
                low_level::claim_signal(signal)?;
                let _default = sys::set_action(signal.as_raw(), Action::Bell)?;
            }
        }
        Ok(this)
    }

    /// Waits until children have been found stopped more often than `seen` times, and gives how often. Begin with 0, and
    /// ask [`Process::stopped_by`](crate::Process::stopped_by) of each child of interest after every return.
    ///
    /// Any number of tasks may wait.
    ///
    /// # Cancellation
    ///
    /// A checkpoint always. **Strict**: nothing that is to be told is used up.
    ///
    /// # Errors
    ///
    /// [`Cancelled`], from the scope around.
    pub async fn since(&self, seen: u64) -> Result<u64, Cancelled> {
        pleach_executor::check()?;
        while self.count.get() <= seen {
            if self.led.replace(true) {
                self.line.park().await?;
            } else {
                let _lead = Lead(self);
                self.lead().await?;
            }
        }
        Ok(self.count.get())
    }

    /// Waits for the bell, and looks. Cancelled in between, what was rung is still to be looked into.
    async fn lead(&self) -> Result<(), Cancelled> {
        loop {
            while !self.rung.get() {
                only_waiter(self.bell.readable().await)?;
                // In this order: who stops after the answer makes it readable anew.
                self.bell.clear_readable();
                self.rung.set(sys::answer(self.bell.get_ref().as_fd()).is_ok());
            }
            let continued = signal::times_continued();
            if self.continued.get() != continued {
                sleep(SETTLE).await?;
                self.continued.set(continued);
            }
            self.rung.set(false);
            if matches!(sys::stopped(Who::Any), Ok(Some(_))) {
                self.count.set(self.count.get() + 1);
                self.line.unpark_all();
                return Ok(());
            }
        }
    }
}

/// The one who waits for the bell.
struct Lead<'a>(&'a Stops);

impl Drop for Lead<'_> {
    fn drop(&mut self) {
        self.0.led.set(false);
        self.0.line.unpark(1);
    }
}

impl Drop for Stops {
    fn drop(&mut self) {
        if self.epoch != low_level::epoch() {
            return;
        }
        signal::take_child_bell_down();
        for signal in NEEDED {
            // Others may have come to need the handler, or have put in their own.
            let needed = signal::is_watched(signal) || signal::is_heard(signal);
            if !needed && sys::installed(signal.as_raw()) == Installed::Bell {
                let _ = sys::set_action(signal.as_raw(), Action::Default);
            }
            if !needed {
                low_level::disclaim_signal(signal);
            }
        }
    }
}

impl fmt::Debug for Stops {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (count, waiting) = (self.count.get(), self.line.len());
        f.debug_struct("Stops").field("count", &count).field("waiting", &waiting).finish_non_exhaustive()
    }
}

fn busy(text: &str) -> io::Error {
    io::Error::new(io::ErrorKind::ResourceBusy, text)
}
