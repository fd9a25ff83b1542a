//! Children of a fork server: made by the raw clone3(2), because libc's `fork` cannot make somebody else their parent.
//!
//! ```text
//!   Alone: one thread, checked ─► clone(Sibling, birth) ─┬─ Child
//!                                                        └─ Made(pid, pidfd)
//!   Page: [ which request │ pid ] in memory that server and owner share; the kernel itself writes the pid
//! ```
//!
//! Rules:
//! * The raw call runs none of libc's fork handlers. So it is made by processes of one thread only, whose memory nobody else
//!   can have left half changed; and it says to the kernel where libc keeps the number of its thread, which would be the
//!   parent's otherwise.
//! * **Never Unknown**: the kernel writes the pid into the page before the child runs and before the call returns
//!   (CLONE_PARENT_SETTID). So its owner knows of a child even if the server is killed before it has said a word.

use super::{above_stdio, check, own, pid as own_pid};
use crate::process::Pid;
use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsRawFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};

/// The proof that this process has one thread, and that it is this one. It says nothing any more once another is started.
pub(crate) struct Alone(PhantomData<*const ()>);

impl Alone {
    /// EBUSY, if there is another thread that can still run code of this program.
    pub(crate) fn check() -> io::Result<Self> {
        match crate::tree::busy_threads()?.is_empty() {
            true => Ok(Alone(PhantomData)),
            false => Err(io::Error::from_raw_os_error(libc::EBUSY)),
        }
    }
}

/// Whose child is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Parent {
    /// This process.
    This,
    /// This process' own parent: the child is our sibling.
    Ours,
}

/// Who one is after a birth.
#[must_use]
pub(crate) enum Birth {
    Child,
    /// The child, and its pidfd, which was made with it: whoever reaps it, this is the one.
    Made(Pid, OwnedFd),
}

/// `struct clone_args` of linux/sched.h, first version.
#[repr(C)]
#[derive(Default)]
struct CloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
}

/// Makes a copy of this process. With a page, the kernel writes the child's pid into it.
///
/// What the parent owns in memory the child owns as well, on its own copy; descriptors have two owners now.
///
/// Async-signal-safe: bare system calls.
pub(crate) fn clone(_alone: &Alone, parent: Parent, page: Option<&Page>) -> io::Result<Birth> {
    let tid = thread_word()?;
    let mut pidfd: libc::c_int = -1;
    let mut flags = libc::CLONE_PIDFD | libc::CLONE_CHILD_SETTID | libc::CLONE_CHILD_CLEARTID;
    let mut arguments = CloneArgs { child_tid: tid, ..CloneArgs::default() };
    match parent {
        Parent::This => arguments.exit_signal = libc::SIGCHLD as u64,
        // The exit signal is the one that this process was made with.
        Parent::Ours => flags |= libc::CLONE_PARENT,
    }
    if let Some(page) = page {
        flags |= libc::CLONE_PARENT_SETTID;
        arguments.parent_tid = page.pid_at();
    }
    arguments.flags = flags as u64;
    arguments.pidfd = (&raw mut pidfd).expose_provenance() as u64;
    let robust = robust_list();
    // SAFETY: no flag shares memory or a stack, so this is a fork; there is one thread (`Alone`), so the copy of the memory
    // is whole. The kernel writes a number each to `pidfd`, to the page, and, in the child, to the word in which libc keeps
    // that very number.
    let pid = unsafe { libc::syscall(libc::SYS_clone3, &raw const arguments, size_of::<CloneArgs>()) };
    if pid == 0 {
        set_robust_list(robust);
        return Ok(Birth::Child);
    }
    let pid = check(pid as libc::c_int)?;
    Ok(Birth::Made(Pid::from_raw(pid), above_stdio(own(pidfd)?)?))
}

/// Can this process make children by [`clone`]? A kernel, a filter (seccomp) or a libc may not let it.
pub(crate) fn are_possible() -> io::Result<()> {
    thread_word()?;
    // SAFETY: with a size of 0 the arguments are not read.
    let answer = unsafe { libc::syscall(libc::SYS_clone3, std::ptr::null::<CloneArgs>(), 0) };
    match check(answer as libc::c_int) {
        // It is there, and says what is wrong.
        Err(e) if e.raw_os_error() == Some(libc::EINVAL) => Ok(()),
        Err(e) => Err(e),
        Ok(_) => unreachable!("clone3 without arguments makes nobody"),
    }
}

/// Where libc keeps the number of this thread: the kernel was told by it. Only glibc's word is that and nothing else.
#[cfg(target_env = "gnu")]
fn thread_word() -> io::Result<u64> {
    let mut word = 0_usize;
    // SAFETY: the call writes one pointer.
    check(unsafe { libc::prctl(PR_GET_TID_ADDRESS, &raw mut word) })?;
    if word == 0 {
        return Err(io::ErrorKind::Unsupported.into());
    }
    Ok(word as u64)
}

#[cfg(not(target_env = "gnu"))]
fn thread_word() -> io::Result<u64> {
    Err(io::ErrorKind::Unsupported.into())
}

/// From linux/prctl.h.
#[cfg(target_env = "gnu")]
const PR_GET_TID_ADDRESS: libc::c_int = 40;

/// The list of robust mutexes of this thread, as libc has registered it: a child begins without.
fn robust_list() -> (usize, usize) {
    let (mut head, mut len) = (0_usize, 0_usize);
    // SAFETY: the call writes a pointer and a length.
    unsafe { libc::syscall(libc::SYS_get_robust_list, 0, &raw mut head, &raw mut len) };
    (head, len)
}

fn set_robust_list((head, len): (usize, usize)) {
    if head != 0 {
        // SAFETY: what libc registered for this thread stands at the same address in the copy.
        unsafe { libc::syscall(libc::SYS_set_robust_list, head, len) };
    }
}

/// What a fork server and its owner both see: which request is being served, and the child that was made for it.
pub(crate) struct Page {
    at: NonNull<Shared>,
    /// The process that has mapped it, and unmaps it.
    mapped_by: Pid,
}

#[repr(C)]
struct Shared {
    serves: AtomicU64,
    pid: AtomicI32,
}

impl Page {
    /// A new one, and the file that another process maps it from.
    pub(crate) fn new() -> io::Result<(Self, OwnedFd)> {
        // SAFETY: the name ends in NUL.
        let file = own(unsafe { libc::memfd_create(c"pleach-page".as_ptr(), libc::MFD_CLOEXEC) })?;
        // SAFETY: takes numbers.
        check(unsafe { libc::ftruncate(file.as_raw_fd(), size_of::<Shared>() as libc::off_t) })?;
        Ok((Self::map(&file)?, above_stdio(file)?))
    }

    /// The one in this file.
    pub(crate) fn map(file: &OwnedFd) -> io::Result<Self> {
        let access = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new mapping, at a place that the kernel chooses.
        let at = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                size_of::<Shared>(),
                access,
                libc::MAP_SHARED,
                file.as_raw_fd(),
                0,
            )
        };
        if at == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let at = NonNull::new(at.cast()).expect("a mapping is not at zero");
        Ok(Self { at, mapped_by: own_pid() })
    }

    fn shared(&self) -> &Shared {
        assert_eq!(self.mapped_by, own_pid(), "a child of the process that mapped it has no page");
        // SAFETY: mapped here as long as this lives, large enough, aligned to a page; zeros are a value of it, and both processes
        // change it by atomics only.
        unsafe { self.at.as_ref() }
    }

    fn pid_at(&self) -> u64 {
        (&raw const self.shared().pid).expose_provenance() as u64
    }

    /// The server turns to a request: there is no child for it yet.
    pub(crate) fn serve(&self, request: u64) {
        self.shared().pid.store(0, Ordering::SeqCst);
        self.shared().serves.store(request, Ordering::SeqCst);
    }

    /// The child that was made for this request, if one was, and if it is the last that the server turned to.
    pub(crate) fn child_of(&self, request: u64) -> Option<Pid> {
        let is_served = self.shared().serves.load(Ordering::SeqCst) == request;
        let pid = self.shared().pid.load(Ordering::SeqCst);
        (is_served && pid > 0).then(|| Pid::from_raw(pid))
    }

    /// Processes that this one makes from now on do not have it.
    pub(crate) fn keep_from_children(&self) -> io::Result<()> {
        // SAFETY: a mapping of ours, which nobody copies.
        check(unsafe { libc::madvise(self.at.as_ptr().cast(), size_of::<Shared>(), libc::MADV_DONTFORK) })
            .map(drop)
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        // A process made by a fork may not have it.
        if self.mapped_by == own_pid() {
            // SAFETY: mapped by `map`, in this process, and nobody has a reference.
            let _ = unsafe { libc::munmap(self.at.as_ptr().cast(), size_of::<Shared>()) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Page;
    use crate::process::Pid;
    use std::sync::atomic::Ordering;

    #[test]
    fn both_mappings_show_the_same() {
        let (owner, file) = Page::new().expect("memory");
        let server = Page::map(&file).expect("memory");
        assert_eq!(owner.child_of(0), None, "nobody was made yet");
        server.serve(7);
        assert_eq!(owner.child_of(7), None);
        server.shared().pid.store(4711, Ordering::SeqCst);
        assert_eq!((owner.child_of(7), owner.child_of(8)), (Some(Pid::from_raw(4711)), None));
        server.serve(8);
        assert_eq!((owner.child_of(7), owner.child_of(8)), (None, None));
    }
}
