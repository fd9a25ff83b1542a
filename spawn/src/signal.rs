//! How signals reach the loop of an actor: a handler that only sets a bit and rings a bell.
//!
//! ```text
//!   kernel ─► on_signal ─bit─► PENDING           ┌─ Signals::next() ─► the task that listens
//!                └────ring──► bell (eventfd) ─► reactor
//!
//!   parent dies ─SIGCONT─► on_signal ─► alarm after the grace, bit, ring      (Born::arm_running)
//!   a child dies or stops ─SIGCHLD─► on_signal ─► ring the other bell         (stops.rs)
//! ```
//!
//! Rules:
//! * A handler has no argument of ours, so what it needs stands in [`HANDLER`], the only mutable static of this
//!   crate. **What a forked child does to it**: with all signals blocked, [`forget`] empties it, before any
//!   disposition could let the child's handler ring the parent's bell.
//! * **Own Thread**: a bell is rung on the thread that can close it; a signal that comes to another thread is sent on.
//! * The bit is set before the bell rings, and the bell is answered before the bits are taken: nothing is lost.
//! * Signals of one kind coalesce, as they do in the kernel.

use crate::process::{Pid, only_waiter};
use crate::sys::{self, Action, SavedAction};
use pleach_executor::fd::AsyncFd;
pub use pleach_executor::signals::Signal;
use pleach_executor::{Cancelled, low_level};
use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, Ordering::SeqCst};
use std::time::Duration;

/// What the handler needs to find. See the rules above.
struct Handler {
    /// The eventfd of the one [`Signals`], or -1.
    bell: AtomicI32,
    /// Bits of the signals that [`Signals`] listens to.
    heard: AtomicU64,
    /// Bits of the signals that came and were not taken yet.
    pending: AtomicU64,
    /// How many of those that are heard have come.
    came: AtomicU32,
    /// The how manieth of them is not handled any more, or 0.
    last: AtomicU32,
    /// The parent whose death makes this process an orphan, or 0 while nobody watches.
    parent: AtomicI32,
    /// Microseconds that an orphan has; taken (set to 0) by the first SIGCONT that finds it orphaned.
    grace: AtomicU64,
    /// The eventfd of the one listener for children that change their state, or -1.
    child_bell: AtomicI32,
    /// How often this process was continued.
    continued: AtomicU64,
    /// The thread whose loop has the bells, or 0.
    thread: AtomicI32,
}

static HANDLER: Handler = Handler {
    bell: AtomicI32::new(-1),
    heard: AtomicU64::new(0),
    pending: AtomicU64::new(0),
    came: AtomicU32::new(0),
    last: AtomicU32::new(0),
    parent: AtomicI32::new(0),
    grace: AtomicU64::new(0),
    child_bell: AtomicI32::new(-1),
    continued: AtomicU64::new(0),
    thread: AtomicI32::new(0),
};

/// The handler. Async-signal-safe: atomics, and calls of `sys` that are.
///
/// True if SIGALRM has to be unblocked in the interrupted code.
pub(crate) fn on_signal(signal: i32) -> bool {
    let bit = Signal::from_raw(signal).bit();
    match signal {
        libc::SIGCHLD => ring_if_any(&HANDLER.child_bell, signal),
        libc::SIGCONT => _ = HANDLER.continued.fetch_add(1, SeqCst),
        _ => {}
    }
    let orphaned = signal == libc::SIGCONT && is_orphan();
    if orphaned {
        let grace = HANDLER.grace.swap(0, SeqCst);
        if grace > 0 {
            let _ = sys::set_action(libc::SIGALRM, Action::Default);
            sys::alarm_after(Duration::from_micros(grace));
        }
    }
    let heard = HANDLER.heard.load(SeqCst) & bit != 0;
    if (orphaned || heard) && !is_sent_on(&HANDLER.bell, signal) {
        HANDLER.pending.fetch_or(bit, SeqCst);
        let came = HANDLER.came.fetch_add(u32::from(heard), SeqCst) + 1;
        let last = HANDLER.last.load(SeqCst);
        if heard && last > 0 && came >= last {
            // Blocked while this runs: it acts when the handler returns, on whatever the loop is busy with.
            let _ = sys::set_action(signal, Action::Default);
            sys::raise(signal);
        }
        ring_if_any(&HANDLER.bell, signal);
    }
    orphaned
}

/// Sends a signal on if its bell is another thread's. No bit is set before that: the listener would take it and might be
/// gone, and its handler with it, when what is sent on arrives.
fn is_sent_on(bell: &AtomicI32, signal: i32) -> bool {
    let owner = HANDLER.thread.load(SeqCst);
    let sent = bell.load(SeqCst) >= 0 && owner != sys::thread();
    if sent {
        sys::send_to_thread(owner, signal);
    }
    sent
}

/// **Own Thread**: a bell is rung on the thread that can close it, so that it is never one that was closed meanwhile and
/// whose number is somebody else's. A signal that comes to another thread is sent on.
fn ring_if_any(bell: &AtomicI32, signal: i32) {
    let bell = bell.load(SeqCst);
    if bell < 0 {
        return;
    }
    let owner = HANDLER.thread.load(SeqCst);
    if owner == sys::thread() {
        sys::ring(bell);
    } else {
        sys::send_to_thread(owner, signal);
    }
}

/// Hangs a bell for this thread. False if there is one in its place, or if another thread has the other.
fn hang(place: &AtomicI32, bell: RawFd) -> bool {
    let thread = sys::thread();
    let bells = [&HANDLER.bell, &HANDLER.child_bell];
    let taken = bells.iter().any(|bell| bell.load(SeqCst) >= 0);
    if taken && HANDLER.thread.load(SeqCst) != thread {
        return false;
    }
    HANDLER.thread.store(thread, SeqCst);
    place.compare_exchange(-1, bell, SeqCst, SeqCst).is_ok()
}

fn is_orphan() -> bool {
    let parent = HANDLER.parent.load(SeqCst);
    parent != 0 && !sys::parent_is(Pid::from_raw(parent))
}

/// From now on the death of `parent` arrives as SIGCONT, which starts the grace. See `Born::arm_running`.
pub(crate) fn watch_parent(parent: Pid, grace: Duration) -> io::Result<()> {
    let micros = u64::try_from(grace.as_micros()).unwrap_or(u64::MAX).max(1);
    HANDLER.grace.store(micros, SeqCst);
    HANDLER.parent.store(parent.as_raw(), SeqCst);
    low_level::claim_signal(Signal::CONT)?;
    sys::set_action(libc::SIGCONT, Action::Bell)?;
    sys::unblock(libc::SIGCONT);
    sys::set_parent_death_signal(libc::SIGCONT)?;
    // Had it died before the line above, SIGKILL would have come: unless a change of credentials has cleared that.
    if !sys::parent_is(parent) {
        sys::raise(libc::SIGCONT);
    }
    Ok(())
}

/// In a forked child, while all signals are blocked: the bell and the parent were the parent's.
/// Async-signal-safe: stores into atomics.
pub(crate) fn forget() {
    HANDLER.bell.store(-1, SeqCst);
    HANDLER.heard.store(0, SeqCst);
    HANDLER.pending.store(0, SeqCst);
    HANDLER.came.store(0, SeqCst);
    HANDLER.last.store(0, SeqCst);
    HANDLER.parent.store(0, SeqCst);
    HANDLER.grace.store(0, SeqCst);
    HANDLER.child_bell.store(-1, SeqCst);
    HANDLER.thread.store(0, SeqCst);
}

/// From now on SIGCHLD rings this eventfd. False if somebody else's is rung already.
pub(crate) fn hang_child_bell(bell: RawFd) -> bool {
    hang(&HANDLER.child_bell, bell)
}

pub(crate) fn take_child_bell_down() {
    HANDLER.child_bell.store(-1, SeqCst);
}

/// How often this process was continued (SIGCONT), as far as its handler was installed.
pub(crate) fn times_continued() -> u64 {
    HANDLER.continued.load(SeqCst)
}

/// Whether [`Signals`] needs the handler of this signal.
pub(crate) fn is_heard(signal: Signal) -> bool {
    HANDLER.heard.load(SeqCst) & signal.bit() != 0
}

/// Whether something else than [`Signals`] needs the handler of this signal: the watch over the parent, or over
/// the children.
pub(crate) fn is_watched(signal: Signal) -> bool {
    let children = HANDLER.child_bell.load(SeqCst) >= 0;
    match signal {
        Signal::CONT => children || HANDLER.parent.load(SeqCst) != 0,
        Signal::CHLD => children,
        _ => false,
    }
}

/// The signals of this process, as a task sees them. At most one exists at a time.
///
/// Handlers are installed with SA_RESTART, and what was installed before comes back on drop. In a forked child an
/// inherited one does nothing, not even on drop.
pub struct Signals {
    bell: AsyncFd<OwnedFd>,
    before: Vec<(Signal, SavedAction)>,
    /// Taken from the handler and not yet handed out.
    waiting: u64,
    /// The last one handed out; the search starts behind it, so that no signal starves another.
    last: u32,
    epoch: u64,
}

impl Signals {
    /// Listens to these signals. From here on they have no other effect on this process.
    ///
    /// Whatever is listened to, [`next`](Self::next) also gives [`Signal::CONT`] when the parent of an actor has
    /// died.
    ///
    /// # Errors
    ///
    /// `ResourceBusy` if another `Signals` is alive: there is one set of handlers per process. What the system says
    /// otherwise, EINVAL for SIGKILL and SIGSTOP among it; then nothing has changed.
    ///
    /// # Panics
    ///
    /// Outside a run.
    pub fn listen(signals: &[Signal]) -> io::Result<Self> {
        let bell = sys::eventfd()?;
        let number = bell.as_raw_fd();
        let bell = AsyncFd::sole(bell)?;
        if !hang(&HANDLER.bell, number) {
            return Err(io::Error::new(
                io::ErrorKind::ResourceBusy,
                "another Signals is listening in this process",
            ));
        }
        let mut this = Self { bell, before: Vec::new(), waiting: 0, last: 0, epoch: low_level::epoch() };
        for &signal in signals {
            low_level::claim_signal(signal)?;
            HANDLER.heard.fetch_or(signal.bit(), SeqCst);
            // An error drops `this`, which puts back what was changed so far.
            let before = sys::set_action(signal.as_raw(), Action::Bell)?;
            // Whoever started this process may have blocked it, and it would never come.
            sys::unblock(signal.as_raw());
            this.before.push((signal, before));
        }
        Ok(this)
    }

    /// From now on the `nth` signal that comes, of whatever kind, is not handled any more: it does what it would have done
    /// without a listener. The handler itself sees to it, so it reaches also a program that never comes back to its loop.
    pub fn last(&self, nth: u32) {
        HANDLER.last.store(nth, SeqCst);
    }

    /// How many signals have come since it listens, of whatever kind. Other than [`next`](Self::next) it tells apart what
    /// came twice, unless the kernel made one of it.
    #[must_use]
    pub fn came(&self) -> u32 {
        HANDLER.came.load(SeqCst)
    }

    /// The next signal that came. Several of one kind may count as one.
    ///
    /// # Cancellation
    ///
    /// A checkpoint always. **Strict**: a cancelled call has taken no signal.
    ///
    /// # Errors
    ///
    /// [`Cancelled`], from the scope around.
    pub async fn next(&mut self) -> Result<Signal, Cancelled> {
        pleach_executor::check()?;
        loop {
            self.waiting |= HANDLER.pending.swap(0, SeqCst);
            if let Some(signal) = self.take_fair() {
                return Ok(signal);
            }
            only_waiter(self.bell.readable().await)?;
            // Answered before the bits are taken above: a signal in between rings again.
            if sys::answer(self.bell.get_ref().as_fd()).is_err() {
                self.bell.clear_readable();
            }
        }
    }

    fn take_fair(&mut self) -> Option<Signal> {
        if self.waiting == 0 {
            return None;
        }
        let ahead = self.waiting.rotate_right(self.last).trailing_zeros();
        let index = (ahead + self.last) % 64;
        self.waiting &= !(1 << index);
        self.last = (index + 1) % 64;
        Some(Signal::from_raw(index as i32 + 1))
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        if self.epoch != low_level::epoch() {
            return;
        }
        for (signal, before) in self.before.drain(..).rev() {
            // A watch needs its handler, whoever listened before; when that goes it leaves the default. And where it was
            // there before and has gone meanwhile, its handler is not to come back.
            if before.is_bell() && !is_watched(signal) {
                let _ = sys::set_action(signal.as_raw(), sys::Action::Default);
            } else if !is_watched(signal) {
                sys::restore_action(signal.as_raw(), &before);
            }
            if !is_watched(signal) {
                low_level::disclaim_signal(signal);
            }
        }
        HANDLER.heard.store(0, SeqCst);
        HANDLER.came.store(0, SeqCst);
        HANDLER.last.store(0, SeqCst);
        HANDLER.bell.store(-1, SeqCst);
        // What nobody took is nobody's business any more, except that the parent died.
        HANDLER.pending.fetch_and(Signal::CONT.bit(), SeqCst);
    }
}

impl fmt::Debug for Signals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let heard: Vec<Signal> = self.before.iter().map(|(s, _)| *s).collect();
        f.debug_struct("Signals").field("heard", &heard).finish_non_exhaustive()
    }
}

/// Ends this process by a signal, as if it had never been handled: for a root that cleaned up after Ctrl-C and now
/// dies by SIGINT, so that its shell knows.
///
/// A signal whose default is not to end the process leads to exit code 128 + number instead.
pub fn raise_default(signal: Signal) -> ! {
    let _ = sys::set_action(signal.as_raw(), Action::Default);
    sys::unblock(signal.as_raw());
    sys::raise(signal.as_raw());
    sys::exit_now(128 + signal.as_raw())
}
