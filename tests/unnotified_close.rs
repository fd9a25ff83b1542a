//! Promise: a descriptor that somebody closes behind the runtime's back harms nobody: no wait on it outlives a cancellation, and
//! the run goes on.
//!
//! ```text
//!   AsyncFd ─ waits ─► epoll          close(number), by somebody else ─► the wait hangs, returns or fails; it can be cancelled
//! ```
//!
//! Rules: in a process of its own, one test at a time, so that nobody takes a number that was closed.

#[path = "support/by_hand.rs"]
mod by_hand;

use by_hand::settle;
use pleach_executor::fd::{AsyncFd, Direction};
use pleach_executor::testing::{run_virtual, wait_until_idle};
use pleach_executor::{In, stats};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, IntoRawFd};
use std::os::unix::net::UnixStream;
use std::pin::pin;
use std::sync::{Mutex, PoisonError};

type Run = In<io::Error>;

/// Numbers are closed and used again: one at a time.
static NUMBERS: Mutex<()> = Mutex::new(());

/// One test, with the numbers of the process for itself.
fn alone(test: impl AsyncFnOnce() -> io::Result<()>) {
    let _numbers = NUMBERS.lock().unwrap_or_else(PoisonError::into_inner);
    run_virtual(test()).unwrap();
}

fn pair() -> (AsyncFd<UnixStream>, UnixStream) {
    let (a, b) = UnixStream::pair().unwrap();
    a.set_nonblocking(true).unwrap();
    b.set_nonblocking(true).unwrap();
    (AsyncFd::sole(a).unwrap(), b)
}

fn fill(fd: &AsyncFd<UnixStream>) {
    while fd.try_io(Direction::Write, |mut s| s.write(&[0; 4096])).unwrap().is_some() {}
}

/// Closes its number, as a stranger would.
fn close(fd: &impl AsRawFd) {
    nix::unistd::close(fd.as_raw_fd()).unwrap();
}

/// Its number is somebody else's by now, if anybody's: nothing may close it.
fn forget(fd: AsyncFd<UnixStream>) {
    let _number = fd.into_inner().into_raw_fd();
}

/// Case 203. A number that is closed cannot be registered: the system's error comes at once, for both directions.
#[test]
fn a_closed_number_is_refused_at_once() {
    alone(async || {
        // The reactor opens descriptors of its own, once.
        let _made = pair();
        let (a, _b) = UnixStream::pair()?;
        close(&a);
        let refused = AsyncFd::new(a.as_fd()).map(drop).unwrap_err();
        assert_eq!(refused.raw_os_error(), Some(libc::EBADF));
        let _number = a.into_raw_fd();
        Ok(())
    });
}

/// Case 205. A number closed under a reader and a writer: they are cancelled as ever.
#[test]
fn waits_on_a_number_that_was_closed_can_be_cancelled() {
    alone(async || {
        let (a, b) = pair();
        fill(&a);
        Run::nursery(async |n| {
            n.spawn(async { Ok(a.readable().await?) });
            n.spawn(async { Ok(a.writable().await?) });
            wait_until_idle().await?;
            close(a.get_ref());
            wait_until_idle().await?;
            n.cancel();
            Ok(())
        })
        .await?;
        assert_eq!(stats().waiting, 0);
        forget(a);
        drop(b);
        Ok(())
    });
}

/// Case 205. The kernel keeps a registration as long as a copy of the descriptor is open, and goes on telling of it: nobody
/// is woken by that who has not asked, and the loop does not spin.
#[test]
fn a_copy_that_stays_open_disturbs_nobody() {
    alone(async || {
        let (a, mut b) = pair();
        let copy = a.get_ref().try_clone()?;
        let mut waiting = Box::pin(a.readable());
        settle(waiting.as_mut()).await;
        close(a.get_ref());
        b.write_all(b"x")?;
        // Told, because what is behind the number lives: the read itself finds out.
        waiting.await?;
        forget(a);
        // A stranger on the same number, while the old registration tells on.
        let (c, mut d) = pair();
        let mut waiting = pin!(c.readable());
        settle(waiting.as_mut()).await;
        b.write_all(b"y")?;
        settle(waiting.as_mut()).await;
        let turns = stats().reactor_events;
        settle(waiting.as_mut()).await;
        assert_eq!(stats().reactor_events, turns, "an edge is told once");
        d.write_all(b"z")?;
        waiting.await?;
        assert_eq!((&copy).read(&mut [0; 8])?, 2);
        Ok(())
    });
}

/// Case 205. A write that finds its number closed when it has to wait for room fails with the system's error.
#[test]
fn a_writer_whose_number_was_closed_hears_of_it() {
    alone(async || {
        let (a, b) = pair();
        fill(&a);
        close(a.get_ref());
        let refused = io::Error::from(a.writable().await.unwrap_err());
        assert_eq!(refused.raw_os_error(), Some(libc::EBADF));
        forget(a);
        drop(b);
        Ok(())
    });
}
