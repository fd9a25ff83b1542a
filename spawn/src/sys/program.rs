//! Another program: a child that lives in this process' memory until it has exec'd.
//!
//! ```text
//!   this thread: blocks all signals ─ clone(CLONE_VM | CLONE_VFORK) ─ stands still ───────────────► goes on, and looks for `failed`
//!                                          └─► child: death ► signals ► group ► directory ► numbers ► limits ► mask ► execve
//!                                                       └ a step is refused: writes it to `failed`, and leaves
//! ```
//!
//! What libc's posix_spawn(3) does, with the steps that it has not: mask of files, niceness, limits, a tie to the parent's life.
//! Nothing is copied, so the size of this process costs nothing, and it may have threads.
//!
//! Rules:
//! * **Lent Memory**: the child runs on a stack of its own and changes nothing here but [`Failed`] and this thread's errno.
//!   This thread stands still meanwhile. The child allocates nothing, takes no lock and calls nothing that may panic: bare system
//!   calls only.
//! * **No Handler In The Child**: it would run on this process' memory. All signals are blocked from before the clone until the
//!   child has none but defaults.
//! * The numbers that the child gets have been lifted above all of its own before: no two are equal.

use super::{Blocked, block_all, check, own};
use crate::kin::MARK;
use crate::process::Pid;
use crate::sys::surroundings::{Limit, set_limit, set_nice, set_umask};
use std::cell::Cell;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{OwnedFd, RawFd};
use std::ptr;

/// What a child has to do before it is another program, and which program. Everything is made before.
pub(crate) struct Program<'a> {
    /// Where it may be, in the order in which they are tried.
    pub(crate) paths: &'a [CString],
    pub(crate) arguments: &'a [CString],
    pub(crate) environment: &'a [CString],
    pub(crate) directory: Option<&'a CStr>,
    pub(crate) group: Group,
    pub(crate) umask: Option<u32>,
    pub(crate) nice: Option<i32>,
    pub(crate) limits: &'a [(usize, Limit)],
    /// What each number stands for there: from where, to where.
    pub(crate) numbers: &'a [(RawFd, RawFd)],
    /// From here on nothing is open there.
    pub(crate) end: RawFd,
    /// Whether it dies with the thread that made it.
    pub(crate) dies_with_us: bool,
}

/// To whom signals of a terminal are sent together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Group {
    Ours,
    New,
    Session,
}

/// A step between the clone and the new program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProgramStep {
    Death,
    Signals,
    Group,
    Directory,
    Nice,
    Numbers,
    Limits,
    Exec,
}

/// Why there is no program.
#[derive(Debug)]
pub(crate) enum NoProgram {
    /// There was no child.
    Clone(io::Error),
    /// There was one, and it has left.
    Refused(ProgramStep, io::Error),
}

/// Room for the child: what it calls needs a few hundred bytes, and an exec with many paths not more.
const STACK: usize = 64 << 10;

/// What the child finds when it begins.
struct Errand<'a> {
    program: &'a Program<'a>,
    arguments: &'a [*const c_char],
    environment: &'a [*const c_char],
    parent: Pid,
    failed: Cell<Option<(ProgramStep, c_int)>>,
}

/// Starts it: its number, and a descriptor of it. If a step is refused the child has left and has been reaped.
pub(crate) fn start(program: &Program<'_>) -> Result<(Pid, OwnedFd), NoProgram> {
    let (arguments, environment) = (pointers(program.arguments), pointers(program.environment));
    let errand = Errand {
        program,
        arguments: &arguments,
        environment: &environment,
        parent: super::pid(),
        failed: Cell::new(None),
    };
    // Of units of sixteen bytes, to which a stack is aligned.
    let mut stack: Vec<MaybeUninit<u128>> = Vec::with_capacity(STACK / 16);
    let top = stack.spare_capacity_mut().as_mut_ptr_range().end;
    let mut pidfd: c_int = -1;
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_PIDFD | libc::SIGCHLD;
    let blocked: Blocked = block_all();
    // SAFETY: `top` is the end of memory that is nobody else's until the child has left it, because CLONE_VFORK holds this
    // thread until then; `child` gets the `Errand` that it takes its argument for, alive as long; the kernel writes one number
    // to `pidfd`. Of this process' state the child changes nothing but what the rules above name.
    let pid = unsafe {
        libc::clone(
            child,
            top.cast(),
            flags,
            (&raw const errand).cast_mut().cast::<c_void>(),
            &raw mut pidfd,
            ptr::null_mut::<c_void>(),
            ptr::null_mut::<c_void>(),
        )
    };
    let cloned = check(pid);
    drop(blocked);
    let pid = Pid::from_raw(cloned.map_err(NoProgram::Clone)?);
    let Some((step, errno)) = errand.failed.get() else {
        return match own(pidfd).and_then(super::above_stdio) {
            Ok(pidfd) => Ok((pid, pidfd)),
            Err(e) => {
                crate::process::put_down(pid, None);
                Err(NoProgram::Clone(e))
            }
        };
    };
    // It has left, or is about to: what it has written is its last but one act.
    drop(own(pidfd));
    let _ = super::wait(super::Who::Child(pid), 0);
    Err(NoProgram::Refused(step, io::Error::from_raw_os_error(errno)))
}

/// The strings as execve(2) wants them: borrowed, only read, with a null behind the last.
fn pointers(words: &[CString]) -> Vec<*const c_char> {
    words.iter().map(|word| word.as_ptr()).chain([ptr::null()]).collect()
}

/// The child's whole life in this program. It does not return.
extern "C" fn child(errand: *mut c_void) -> c_int {
    // SAFETY: `start` has passed its `Errand`, and stands still while this runs.
    let errand: &Errand<'_> = unsafe { &*errand.cast::<Errand<'_>>() };
    let (step, errno) = become_it(errand);
    errand.failed.set(Some((step, errno)));
    super::exit_now(127)
}

/// Does what is left to do, in order. Comes back only if a step is refused: which, and why.
fn become_it(errand: &Errand<'_>) -> (ProgramStep, c_int) {
    let program = errand.program;
    macro_rules! or_fail {
        ($step:ident, $call:expr) => {
            if let Err(e) = $call {
                return (ProgramStep::$step, e.raw_os_error().unwrap_or(0));
            }
        };
    }
    if program.dies_with_us {
        or_fail!(Death, super::set_parent_death_signal(libc::SIGKILL));
        if !super::parent_is(errand.parent) {
            // It died before the line above, so no signal comes.
            super::exit_now(127);
        }
    }
    or_fail!(Signals, all_default());
    or_fail!(Group, join(program.group));
    if let Some(umask) = program.umask {
        let _before = set_umask(umask);
    }
    // Before it has less than it needs for that; by a path of its parent's.
    or_fail!(Directory, program.directory.map_or(Ok(()), enter));
    or_fail!(Nice, program.nice.map_or(Ok(()), set_nice));
    for &(from, to) in program.numbers {
        or_fail!(Numbers, put(from, to));
    }
    or_fail!(Numbers, close_from(program.end));
    for &(resource, limit) in program.limits {
        or_fail!(Limits, set_limit(resource, limit));
    }
    super::unblock_all();
    (ProgramStep::Exec, exec(errand))
}

/// Every disposition at its default, so that no handler of this process' can run, and nothing is ignored that its parent ignores;
/// but for the mark of a tree, which stays as it is. Raw calls: libc refuses the two signals that it keeps for itself.
fn all_default() -> io::Result<()> {
    /// `struct sigaction` as the kernel has it, at its largest: default, no flags, nothing blocked.
    const DEFAULT: [u64; 4] = [0; 4];
    for signal in 1..=64 {
        if matches!(signal, libc::SIGKILL | libc::SIGSTOP | MARK) {
            continue;
        }
        let none: *mut c_void = ptr::null_mut();
        // SAFETY: the kernel reads a sigaction, which is all zeros; dispositions are the child's own (no CLONE_SIGHAND).
        let answer = unsafe { libc::syscall(libc::SYS_rt_sigaction, signal, DEFAULT.as_ptr(), none, 8) };
        check(answer as c_int)?;
    }
    Ok(())
}

fn join(group: Group) -> io::Result<()> {
    match group {
        Group::Ours => Ok(()),
        // SAFETY: takes numbers.
        Group::New => check(unsafe { libc::setpgid(0, 0) }).map(drop),
        // SAFETY: takes nothing.
        Group::Session => check(unsafe { libc::setsid() }).map(drop),
    }
}

fn enter(directory: &CStr) -> io::Result<()> {
    // SAFETY: the path ends in NUL; the directory is the child's own (no CLONE_FS).
    check(unsafe { libc::chdir(directory.as_ptr()) }).map(drop)
}

/// Makes `to` stand for what `from` stands for, without CLOEXEC: they are two different numbers.
fn put(from: RawFd, to: RawFd) -> io::Result<()> {
    // SAFETY: takes numbers; the table of numbers is the child's own (no CLONE_FILES).
    check(unsafe { libc::dup2(from, to) }).map(drop)
}

/// Closes every number from `least` on. Where the system cannot close a range (before Linux 5.9), one by one.
fn close_from(least: RawFd) -> io::Result<()> {
    // SAFETY: takes numbers; whatever had them is no more once this has become another program.
    let answer = unsafe { libc::syscall(libc::SYS_close_range, least, libc::c_uint::MAX, 0) };
    if answer == 0 {
        return Ok(());
    }
    let (_, hard) = super::surroundings::limit(libc::RLIMIT_NOFILE as usize)?;
    // A number above the limit exists if that was lowered later; a hard one of infinity ends somewhere as well.
    for fd in least..RawFd::try_from(hard.min(1 << 20)).unwrap_or(1 << 20) {
        // SAFETY: as above.
        unsafe { libc::close(fd) };
    }
    Ok(())
}

/// Tries one path after the other. Comes back with why there is no program: the first refusal that is more than that there is
/// no such file, as execvp(3) does.
fn exec(errand: &Errand<'_>) -> c_int {
    let mut why = libc::ENOENT;
    for path in errand.program.paths {
        // SAFETY: the strings end in NUL and the lists in null, and all are alive.
        unsafe { libc::execve(path.as_ptr(), errand.arguments.as_ptr(), errand.environment.as_ptr()) };
        match io::Error::last_os_error().raw_os_error().unwrap_or(0) {
            libc::ENOENT | libc::ENOTDIR => {}
            libc::EACCES => why = libc::EACCES,
            other => return other,
        }
    }
    why
}
