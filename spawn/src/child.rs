//! A forked child's first steps, and its last: the only code between the fork and the entry function.
//!
//! ```text
//!   fork ─► live: Arm ► Epoch ► Fds ► Signals ► Attributes ► Enter ─► entry(born, grants) ─► _exit(code)
//!              │ a step fails              │ panic
//!              └────────► last words ◄─────┘ ─► _exit(64 + phase)
//! ```
//!
//! Rules:
//! * **No Return**: nothing here returns to, or unwinds into, the frames of the parent that lie below on the stack.
//!   Nothing of them is dropped either: guards, sockets and handles there are the parent's.
//! * Up to `Enter` only calls that are async-signal-safe, with the one exception of [`forget_runtime`], which touches
//!   memory and may allocate. That is allowed because the parent had exactly one thread and forked by libc's
//!   `fork`: no lock can be held by somebody who is not here, the allocator's included. It comes this early so that
//!   whatever fails later happens in the new epoch, where inherited objects forget themselves.
//! * All signals are blocked until every disposition is this process's own.

use crate::born::Born;
use crate::farewell::{LastPanic, or_leave};
use crate::fds::{Fate, FdPlan};
use crate::grants::{Granted, Grants};
use crate::kin::MARK;
use crate::plan::Step;
use crate::{signal, sys};
use pleach_executor::low_level::forget_runtime;
use std::ffi::{CStr, c_int};
use std::io;
use std::os::fd::RawFd;

/// The whole life of a forked child. Fresh frame, never inlined: nothing of the parent's is in reach but by argument.
#[inline(never)]
pub(crate) fn live<G, F>(born: Born, fds: &FdPlan, grants: G, entry: F) -> !
where
    G: Grants,
    F: FnOnce(Born, Granted<G>) -> i32,
{
    let witness = born.witness();
    let panics = LastPanic::default();
    let code = panics.catch(&witness, || {
        prelude(&born, fds);
        panics.listen();
        born.step(Step::Enter);
        entry(born, Granted::new(grants))
    });
    sys::exit_now(code)
}

/// Steps `Arm` to `Attributes`. Async-signal-safe but for what the rules above say of `Epoch`.
fn prelude(born: &Born, fds: &FdPlan) {
    arm(born);
    born.step(Step::Epoch);
    forget_runtime();
    signal::forget();
    born.step(Step::Fds);
    or_leave(born, "/dev/null", cover(fds));
    born.step(Step::Signals);
    or_leave(born, "sigaction", reset_signals());
    take_name(born);
}

/// Step `Arm`: its parent's death is its own. Async-signal-safe because prctl and getppid are bare system calls.
pub(crate) fn arm(born: &Born) {
    born.step(Step::Arm);
    if born.has_death_signal() {
        or_leave(born, "PR_SET_PDEATHSIG", sys::set_parent_death_signal(libc::SIGKILL));
        if !sys::parent_is(born.parent()) {
            // It died before the line above, so no signal comes, and nobody is left to read last words.
            sys::exit_now(Step::Arm.exit_code());
        }
    }
}

/// Step `Attributes`. Async-signal-safe because prctl is a bare system call and the buffer is on the stack.
pub(crate) fn take_name(born: &Born) {
    born.step(Step::Attributes);
    or_leave(born, "PR_SET_NAME", name(born.name()));
}

// ---- descriptors

/// Closes and covers every inherited number as `fds` says.
///
/// Async-signal-safe because dup3 and close are bare system calls.
fn cover(fds: &FdPlan) -> io::Result<()> {
    for &fd in fds.closes() {
        close(fd);
    }
    match fds.open() {
        Some(numbers) => numbers.iter().try_for_each(|fd| cover_one(fds, *fd))?,
        None => cover_all(fds)?,
    }
    close(fds.null());
    Ok(())
}

/// Without /proc: every number there can be. Async-signal-safe because fcntl and getrlimit are.
fn cover_all(fds: &FdPlan) -> io::Result<()> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` lives through the call, which writes it.
    sys::check(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) })?;
    // Numbers above the limit exist if it was lowered later; the hard limit bounds them.
    let end = RawFd::try_from(limit.rlim_max.min(1 << 20)).unwrap_or(1 << 20);
    for fd in 3..end {
        if sys::is_open(fd) {
            cover_one(fds, fd)?;
        }
    }
    Ok(())
}

/// Async-signal-safe because dup3 is a bare system call.
fn cover_one(fds: &FdPlan, fd: RawFd) -> io::Result<()> {
    if fd == fds.null() || fds.fate(fd) != Fate::Tombstone {
        // A number to close was closed above.
        return Ok(());
    }
    // SAFETY: replaces what `fd` stands for. Its inherited owner then writes to /dev/null and closes a number that is
    // still its own: Stale Owner of `fds.rs`.
    match sys::check(unsafe { libc::dup3(fds.null(), fd, libc::O_CLOEXEC) }) {
        // A number above RLIMIT_NOFILE, opened when the limit was higher: nothing new can come to stand there.
        Err(e) if e.raw_os_error() == Some(libc::EBADF) => close(fd),
        covered => drop(covered?),
    }
    Ok(())
}

/// Async-signal-safe because close is.
fn close(fd: RawFd) {
    // SAFETY: the owner of this number is one of our epoch-checked types, which never touches it in this epoch, or a
    // local of a frame that is never resumed; or the number cannot be used again.
    unsafe { libc::close(fd) };
}

// ---- signals and attributes

/// Linux numbers its signals up to here. SIGRTMAX is a call into libc, and every piece of libc that is called costs a child a
/// page fault.
const LAST_SIGNAL: c_int = if cfg!(any(target_arch = "mips", target_arch = "mips64")) { 127 } else { 64 };

/// Every disposition default, except that SIGSEGV and SIGBUS keep theirs (the message of a stack overflow), and
/// SIGPIPE, SIGINT and the mark of a tree are ignored; then nothing is blocked.
///
/// SIGINT, because a terminal sends it to the whole group, to a child that is booting as well: the parent acts on it,
/// and cancels the child. Whoever wants to hear of it listens once it is entered.
///
/// Async-signal-safe because sigaction and sigprocmask are.
fn reset_signals() -> io::Result<()> {
    for number in 1..=LAST_SIGNAL {
        let action = match number {
            libc::SIGKILL | libc::SIGSTOP | libc::SIGSEGV | libc::SIGBUS => continue,
            // libc keeps these for itself, and refuses them.
            32 | 33 => continue,
            libc::SIGPIPE | libc::SIGINT | MARK => sys::Action::Ignore,
            _ => sys::Action::Default,
        };
        // Another libc keeps another one.
        if sys::set_action(number, action).is_err() && number < 32 {
            return Err(io::Error::last_os_error());
        }
    }
    sys::unblock_all();
    Ok(())
}

/// Async-signal-safe because prctl is a bare system call and the buffer is on the stack.
pub(crate) fn name(name: &str) -> io::Result<()> {
    let mut buffer = [0; 16];
    for (to, from) in buffer.iter_mut().zip(name.bytes().filter(|b| *b != 0).take(15)) {
        *to = from;
    }
    match CStr::from_bytes_until_nul(&buffer) {
        Ok(name) => sys::set_name(name),
        Err(_) => Ok(()),
    }
}
