//! The floor: the same processes and messages with nothing around the system calls.
//!
//! ```text
//!   root ─fork─► 1 ─fork─► 2 ─fork─► …      a socketpair on every edge, one byte up when all below is ready,
//!     ◄──byte───── ◄──byte───── ◄──byte      one byte down to end it, waitid(2), `_exit`
//! ```
//!
//! Rules:
//! * Every process has one thread, and a child never returns into its parent's frames: it ends in [`leave`].
//! * In a child nothing panics: an error becomes its exit status, which its parent looks at.

use crate::stats::now;
use std::io::{self, PipeReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// Up and down times of one round.
pub(crate) struct Times {
    pub(crate) up: Duration,
    pub(crate) down: Duration,
}

/// A chain of `depth` processes comes up, and is taken down from the root.
pub(crate) fn chain(depth: usize) -> io::Result<Times> {
    let start = now();
    let mut first = Child::make(None, |up| link(depth - 1, up))?;
    first.hear()?;
    let up = start.elapsed();
    let start = now();
    first.tell()?;
    first.reap()?;
    Ok(Times { up, down: start.elapsed() })
}

/// A process of the chain, with `below` more under it.
fn link(below: usize, mut up: UnixStream) -> io::Result<()> {
    if below == 0 {
        up.write_all(b"u")?;
        return take(&mut up);
    }
    let mut child = Child::make(Some(&up), |up| link(below - 1, up))?;
    child.hear()?;
    up.write_all(b"u")?;
    take(&mut up)?;
    child.tell()?;
    child.reap()
}

/// A tree of `depth` levels, every process with `breadth` children, comes up; then every leaf says that it has failed,
/// and every process above passes that on when all its children are reaped.
pub(crate) fn tree(breadth: usize, depth: usize) -> io::Result<Times> {
    let start = now();
    let (go, all_here) = io::pipe()?;
    let mut children = Vec::with_capacity(breadth);
    for _ in 0..breadth {
        // The writing end must be the root's alone, or its end would not be seen.
        let all_here = &all_here;
        children.push(Child::make(Some(all_here), |up| branch(breadth, depth - 1, up, &go))?);
    }
    drop(go);
    children.iter_mut().try_for_each(Child::hear)?;
    let up = start.elapsed();
    let start = now();
    drop(all_here);
    children.iter_mut().try_for_each(Child::hear)?;
    children.into_iter().try_for_each(Child::reap)?;
    Ok(Times { up, down: start.elapsed() })
}

fn branch(breadth: usize, below: usize, mut up: UnixStream, mut go: &PipeReader) -> io::Result<()> {
    if below == 0 {
        up.write_all(b"u")?;
        if go.read(&mut [0])? != 0 {
            return Err(io::ErrorKind::InvalidData.into());
        }
        return up.write_all(b"e");
    }
    let mut children = Vec::with_capacity(breadth);
    for _ in 0..breadth {
        children.push(Child::make(Some(&up), |up| branch(breadth, below - 1, up, go))?);
    }
    children.iter_mut().try_for_each(Child::hear)?;
    up.write_all(b"u")?;
    children.iter_mut().try_for_each(Child::hear)?;
    children.into_iter().try_for_each(Child::reap)?;
    up.write_all(b"e")
}

pub(crate) fn take(from: &mut UnixStream) -> io::Result<()> {
    from.read_exact(&mut [0])
}

/// A child, as its parent holds it.
struct Child {
    pid: libc::pid_t,
    link: UnixStream,
}

impl Child {
    /// Forks a process that does `life` and leaves; `not_theirs` is a descriptor that it must not hold.
    fn make(
        not_theirs: Option<&dyn std::os::fd::AsFd>,
        life: impl FnOnce(UnixStream) -> io::Result<()>,
    ) -> io::Result<Child> {
        let (ours, theirs) = UnixStream::pair()?;
        // SAFETY: this program has one thread (its `main` asserts it), and the child ends in `leave`, which never
        // returns into the frames of the parent.
        let pid = unsafe { libc::fork() };
        if pid < 0 {
            return Err(io::Error::last_os_error());
        }
        if pid == 0 {
            drop(ours);
            if let Some(fd) = not_theirs {
                close(fd.as_fd());
            }
            leave(life(theirs));
        }
        Ok(Child { pid, link: ours })
    }

    /// A byte from the child.
    fn hear(&mut self) -> io::Result<()> {
        take(&mut self.link)
    }

    /// A byte to the child.
    fn tell(&mut self) -> io::Result<()> {
        self.link.write_all(b"d")
    }

    /// Waits for its end, which must be a good one.
    fn reap(self) -> io::Result<()> {
        // SAFETY: all zeroes is a valid siginfo_t: it holds numbers and pointers that nobody follows.
        let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
        // SAFETY: `info` lives through the call, which writes it.
        let done = unsafe { libc::waitid(libc::P_PID, self.pid as libc::id_t, &raw mut info, libc::WEXITED) };
        if done != 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: waitid has filled in what it says of a child's end.
        let status = unsafe { info.si_status() };
        if info.si_code == libc::CLD_EXITED && status == 0 {
            return Ok(());
        }
        Err(io::Error::other(format!("raw child {} ended with {status}", self.pid)))
    }
}

/// Closes the number in this process, whose inherited owner is in a frame that is never resumed.
fn close(fd: std::os::fd::BorrowedFd<'_>) {
    use std::os::fd::AsRawFd;
    // SAFETY: only called in a fresh child on a descriptor of the parent's frames, which the child never returns to.
    unsafe { libc::close(fd.as_raw_fd()) };
}

/// How a raw child ends: no destructors, no buffers flushed, nothing of its parent's.
fn leave(end: io::Result<()>) -> ! {
    // SAFETY: takes a number and does not return.
    unsafe { libc::_exit(i32::from(end.is_err())) }
}
