//! A child process, from its birth until its exit status has been collected, by pidfd alone.
//!
//! ```text
//!   fork ─► Process ─exited()─► try_status(): deregister ► waitid ► close ► drop captures ─► ExitStatus, kept for all
//!              │ dropped unreaped
//!              └─► SIGKILL ─► a task of the system reaps it
//! ```
//!
//! * `process.rs`: the handle. `process/terminate.rs`: asked to end, and made to. `process/put_down.rs`: a child that cannot be kept.
//!
//! Rules:
//! * **One Collector**: a status is collected once, by the process that owns the child, and kept.
//! * **One Leader**: a descriptor has one waiter, and any number of tasks may wait for a process. One of them waits for the pidfd,
//!   the others in a parking lot; a leader that goes hands the lead to the next.
//! * Signals go by pidfd only: a number may belong to somebody else by the time it is used.
//! * No child is left to init: an owner that goes away kills and has it reaped.
//! * What the child's entry captured lives here until the child is reaped, then its parent-side copy is dropped.

mod put_down;
mod terminate;

pub(crate) use put_down::put_down;
pub use terminate::TerminateError;

use crate::held::Hold;
use crate::signal::Signal;
use crate::status::ExitStatus;
use crate::sys::{self, Who};
use pleach_executor::fd::{AsyncFd, ReadyError};
use pleach_executor::parking::ParkingLot;
use pleach_executor::{Cancelled, low_level};
use std::any::Any;
use std::cell::{Cell, OnceCell, RefCell};
use std::fmt;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::time::Duration;

/// How long a process that was sent SIGKILL is waited for.
const KILL_LIMIT: Duration = Duration::from_secs(10);

/// The number of a process. It identifies one only together with its start time, or while it is not reaped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pid(i32);

impl Pid {
    /// The process of that number.
    #[must_use]
    pub const fn from_raw(pid: i32) -> Self {
        Self(pid)
    }

    /// Its number.
    #[must_use]
    pub const fn as_raw(self) -> i32 {
        self.0
    }

    /// The calling process.
    #[must_use]
    pub fn this() -> Self {
        sys::pid()
    }
}

impl fmt::Display for Pid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// The process has ended and was reaped, or the handle was inherited by a fork: there is nobody to signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone;

impl fmt::Display for Gone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the process is gone")
    }
}

impl std::error::Error for Gone {}

/// A child of this process.
///
/// Dropping one that has not been reaped kills it (SIGKILL) and leaves the reaping to the run; outside a run the
/// dropping thread waits for it, at most 10 s. Ask it to end and await [`wait`](Self::wait) instead.
///
/// In a forked child an inherited one does nothing: it answers [`Gone`], and its drop is without effect.
#[must_use = "dropping a process kills it"]
pub struct Process {
    pid: Pid,
    name: String,
    epoch: u64,
    started: OnceCell<u64>,
    /// `None` once the status has been collected. Shared for a moment with the one who leads.
    pidfd: RefCell<Option<Rc<AsyncFd<OwnedFd>>>>,
    /// As long as it is not reaped.
    hold: RefCell<Option<Hold>>,
    status: Cell<Option<ExitStatus>>,
    captures: RefCell<Option<Box<dyn Any>>>,
    /// Does somebody wait for the pidfd?
    led: Cell<bool>,
    /// The others who wait.
    line: ParkingLot,
    /// Killed by a drop, and owned by its reaper.
    abandoned: bool,
}

impl Process {
    /// Takes over a child that has just been made. If the reactor refuses its pidfd, the child is put down first.
    pub(crate) fn new(pid: Pid, name: String, pidfd: OwnedFd, captures: Box<dyn Any>) -> io::Result<Self> {
        let hold = Hold::new(pid);
        let spare = sys::duplicate(&pidfd);
        let pidfd = match (AsyncFd::sole(pidfd), spare) {
            (Ok(pidfd), _) => pidfd,
            (Err(e), spare) => {
                put_down(pid, spare.ok());
                return Err(e);
            }
        };
        let epoch = low_level::epoch();
        let started = OnceCell::new();
        Ok(Self {
            pid,
            name,
            epoch,
            started,
            pidfd: RefCell::new(Some(Rc::new(pidfd))),
            hold: RefCell::new(Some(hold)),
            status: Cell::new(None),
            captures: RefCell::new(Some(captures)),
            led: Cell::new(false),
            line: ParkingLot::new(),
            abandoned: false,
        })
    }

    /// Its number.
    #[must_use]
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// The name it was given.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// When it started, in clock ticks since boot: with the pid, a name for this process that is never used again.
    ///
    /// # Errors
    ///
    /// If it was reaped before anybody asked, or if `/proc` is not there.
    ///
    /// # References
    ///
    /// proc_pid_stat(5), field 22.
    pub fn start_time(&self) -> io::Result<u64> {
        if let Some(at) = self.started.get() {
            return Ok(*at);
        }
        if self.pidfd().is_none() {
            return Err(io::Error::new(io::ErrorKind::NotFound, Gone));
        }
        let at = start_time_of(self.pid)?;
        Ok(*self.started.get_or_init(|| at))
    }

    /// Its exit status, if it has been collected.
    pub fn status(&self) -> Option<ExitStatus> {
        self.status.get()
    }

    /// Waits until it has ended. It is not reaped by this: any number of tasks may wait, and all see the same.
    ///
    /// # Cancellation
    ///
    /// A checkpoint always. **Strict**.
    ///
    /// # Errors
    ///
    /// [`Cancelled`], from the scope around.
    ///
    /// # Panics
    ///
    /// Outside the run that made it, a forked child's included.
    pub async fn exited(&self) -> Result<(), Cancelled> {
        pleach_executor::check()?;
        loop {
            let pidfd = self.pidfd.borrow().clone();
            let Some(pidfd) = pidfd else { return Ok(()) };
            if self.led.replace(true) {
                self.line.park().await?;
                continue;
            }
            let _lead = Lead(self);
            match pidfd.readable().await {
                Err(ReadyError::Closed) => return Ok(()),
                ready => only_waiter(ready)?,
            }
            if sys::readable_within(pidfd.get_ref().as_fd(), Duration::ZERO) {
                return Ok(());
            }
            pidfd.clear_readable();
        }
    }

    /// Whether it is on its way out already: dead, or in the kernel's exit path, where it closes its descriptors before
    /// its pidfd tells. Never waits; where `/proc` says nothing, the answer is no.
    ///
    /// # References
    ///
    /// proc_pid_stat(5), field 9; PF_EXITING of the kernel.
    #[must_use]
    pub fn is_ending(&self) -> bool {
        if self.pidfd.borrow().is_none() {
            return false;
        }
        // Each thread: the first may be gone while others live on.
        let Ok(threads) = std::fs::read_dir(format!("/proc/{}/task", self.pid)) else { return false };
        let mut ends = threads.flatten().map(|thread| is_exiting(&thread.path().join("stat")));
        ends.next().is_some_and(|first| first) && ends.all(|end| end)
    }

    /// The signal that it stands still by, if it does: SIGSTOP, or one of a terminal's. Never waits.
    ///
    /// A process that is stopped under a debugger does not count; the kernel tells that to the debugger only. When to
    /// ask says [`Stops`](crate::Stops).
    ///
    /// # References
    ///
    /// waitid(2), WSTOPPED and WNOWAIT: the answer is not used up.
    #[must_use]
    pub fn stopped_by(&self) -> Option<Signal> {
        let pidfd = self.pidfd()?;
        let (_, signal) = sys::stopped(Who::Pidfd(pidfd.get_ref().as_fd())).ok()??;
        Some(Signal::from_raw(signal))
    }

    /// Collects its exit status if it has ended. Never waits. The status is kept: later calls give it again.
    ///
    /// If somebody else has collected it (user code with `waitpid(-1)`), the kernel is asked what it remembers
    /// (Linux 6.15 and later); otherwise the status is [`ExitStatus::Unknown`], never a guess.
    ///
    /// A destructor of the entry's captures may run in this call.
    ///
    /// # Panics
    ///
    /// In a forked child, on a handle it inherited: it names both epochs.
    #[track_caller]
    pub fn try_status(&self) -> Option<ExitStatus> {
        assert!(
            self.is_ours(),
            "process {} ({}) is a child of fork epoch {}, and was used in epoch {}: only its parent can wait for it",
            self.pid,
            self.name,
            self.epoch,
            low_level::epoch()
        );
        let Some(pidfd) = self.pidfd.borrow().clone() else { return self.status.get() };
        if let Ok(None) = sys::wait(Who::Pidfd(pidfd.get_ref().as_fd()), libc::WNOHANG | libc::WNOWAIT) {
            return None;
        }
        self.pidfd.take();
        // Out of the reactor first: the reap itself is a second edge on the pidfd. Whoever leads is woken by it, and lets go.
        pidfd.end_waits();
        let fd = pidfd.get_ref().as_fd();
        let status = match sys::wait(Who::Pidfd(fd), libc::WNOHANG) {
            Ok(Some((_, status))) => status,
            Ok(None) | Err(_) => sys::pidfd_exit_info(fd).unwrap_or(ExitStatus::Unknown),
        };
        drop(pidfd);
        self.hold.take();
        self.status.set(Some(status));
        self.line.unpark_all();
        let captures = self.captures.take();
        drop(captures);
        Some(status)
    }

    /// Waits until it has ended, and collects its exit status. Any number of tasks may wait, and all get it.
    ///
    /// # Cancellation
    ///
    /// A checkpoint always. **Strict**: cancelled, nothing has been collected.
    ///
    /// # Errors
    ///
    /// [`Cancelled`], from the scope around.
    ///
    /// # Panics
    ///
    /// Outside the run that made it, a forked child's included.
    pub async fn wait(&self) -> Result<ExitStatus, Cancelled> {
        loop {
            self.exited().await?;
            if let Some(status) = self.try_status() {
                return Ok(status);
            }
            // Dead, and yet not to be had: a debugger holds the corpse, and nothing tells when it lets go.
            pleach_executor::sleep(Duration::from_millis(1)).await?;
        }
    }

    /// Sends a signal, by pidfd: it reaches this process or nobody.
    ///
    /// # Errors
    ///
    /// [`Gone`] if it has been reaped, here or by somebody else. A dead process that is not reaped yet takes signals
    /// without effect.
    pub fn signal(&self, signal: Signal) -> Result<(), Gone> {
        let pidfd = self.pidfd().ok_or(Gone)?;
        // Of the other errors, EPERM is that of a child that became somebody else: also not to be signalled by us.
        sys::pidfd_send_signal(pidfd.get_ref().as_fd(), signal.as_raw()).map_err(|_| Gone)
    }

    fn is_ours(&self) -> bool {
        self.epoch == low_level::epoch()
    }

    /// As long as it is not reaped, and in the process whose child it is.
    fn pidfd(&self) -> Option<Rc<AsyncFd<OwnedFd>>> {
        if self.is_ours() { self.pidfd.borrow().clone() } else { None }
    }

    /// For where no loop waits: the thread does. The process has been sent SIGKILL.
    fn reap_here(pidfd: &OwnedFd) {
        if sys::readable_within(pidfd.as_fd(), KILL_LIMIT) {
            let _ = sys::wait(Who::Pidfd(pidfd.as_fd()), libc::WNOHANG);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !self.is_ours() {
            // Both belong to the parent: the pidfd forgets itself, and the captures stay where they are.
            std::mem::forget(self.captures.take());
            return;
        }
        let _ = self.signal(Signal::KILL);
        // Whoever led borrowed this handle, and has let go.
        let Some(pidfd) = self.pidfd.take().and_then(Rc::into_inner) else { return };
        // Out of the run it was registered with, which may be over, and into the one that is to reap it.
        let pidfd = pidfd.into_inner();
        if self.abandoned || !in_a_run() {
            Self::reap_here(&pidfd);
            return;
        }
        let captures = self.captures.take().unwrap_or_else(|| Box::new(()));
        // Refused, it has been reaped on the spot.
        let Ok(mut left) = Self::new(self.pid, std::mem::take(&mut self.name), pidfd, captures) else {
            return;
        };
        left.abandoned = true;
        low_level::spawn_system(async move {
            let reaped = pleach_executor::shielded(async |_| left.wait().await).await;
            // Under a shield nothing cancels it; if something did, the drop of `left` reaps.
            if let Err(c) = reaped {
                low_level::absorb(c);
            }
        });
    }
}

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Process")
            .field("pid", &self.pid)
            .field("name", &self.name)
            .field("status", &self.status.get())
            .finish_non_exhaustive()
    }
}

/// The one who waits for the pidfd.
struct Lead<'a>(&'a Process);

impl Drop for Lead<'_> {
    fn drop(&mut self) {
        self.0.led.set(false);
        self.0.line.unpark(1);
    }
}

/// For a descriptor that one task of ours waits for.
pub(crate) fn only_waiter(ready: Result<(), ReadyError>) -> Result<(), Cancelled> {
    match ready {
        Ok(()) => Ok(()),
        Err(ReadyError::Cancelled(c)) => Err(c),
        Err(e) => panic!("{e}: one task waits at a time"),
    }
}

/// Whether this thread runs an executor: a run has at least its root scope.
fn in_a_run() -> bool {
    pleach_executor::stats().scopes > 0
}

/// Field 22 of `/proc/<pid>/stat`: clock ticks between boot and the start of the process.
pub(crate) fn start_time_of(pid: Pid) -> io::Result<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    field_of_stat(&stat, 22).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// A numeric field of a stat file, counted from 1 as the manual does. The name (field 2) may hold spaces and
/// parentheses; it ends at the last `)`.
pub(crate) fn field_of_stat(stat: &str, number: usize) -> Option<u64> {
    stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(number.checked_sub(3)?)?.parse().ok()
}

/// Is the thread that this stat file is of in the kernel's exit path, or gone?
fn is_exiting(stat: &std::path::Path) -> bool {
    const PF_EXITING: u64 = 4;
    std::fs::read_to_string(stat)
        .is_ok_and(|stat| field_of_stat(&stat, 9).is_some_and(|flags| flags & PF_EXITING != 0))
}

#[cfg(test)]
mod tests {
    use super::field_of_stat;

    #[test]
    fn stat_fields_survive_a_strange_name() {
        let stat = "12 (a) b (c) S 7 12 12 0 -1 4194560 1 2 3 4 5 6 7 8 9 10 1 0 4711 99";
        assert_eq!(field_of_stat(stat, 4), Some(7));
        assert_eq!(field_of_stat(stat, 22), Some(4711));
        assert_eq!(field_of_stat("", 22), None);
    }
}
