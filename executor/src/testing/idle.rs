//! Idleness as an event: the moment at which no other task can run.
//!
//! ```text
//!   wait_until_idle_for(cushion) ─► in line ─ nothing has run for as long as the smallest cushion ─► those with that one
//!                                                                                   the others: from the beginning
//! ```

use crate::checkpoint::Wait;
use crate::error::Cancelled;
use crate::runtime::{self, IdlerKey};
use crate::waits::Waits;
use std::future::poll_fn;
use std::task::{Poll, Waker};
use std::time::Duration;

/// Waits until no other task can run: all wait for time, for a descriptor, or for one another.
///
/// Under the virtual clock this comes before time jumps.
///
/// Source: trio's `wait_all_tasks_blocked`.
///
/// # Cancellation
///
/// A checkpoint always; Strict.
///
/// # Errors
///
/// [`Cancelled`] if the scope around the call is cancelled.
///
/// ```
/// use pleach_executor::{Cancelled, nursery, sync::Event, testing::{run_virtual, wait_until_idle}};
/// let r: Result<(), Cancelled> = run_virtual(nursery(async |n| {
///     let up = Event::new();
///     let up = std::rc::Rc::new(up);
///     let heard = std::rc::Rc::clone(&up);
///     n.spawn_static(async move { heard.wait().await });
///     wait_until_idle().await?;
///     assert_eq!(up.waiting(), 1);
///     up.set();
///     Ok(())
/// }));
/// r.unwrap();
/// ```
pub async fn wait_until_idle() -> Result<(), Cancelled> {
    wait_until_idle_for(Duration::ZERO).await
}

/// Waits until no other task has run for as long as `cushion`, on the clock of the run: that of the machine or of its
/// host, or virtual time, of which none passes while anything can run.
///
/// Of several who wait so, those with the smallest cushion are first, all of them together; the others wait from the
/// beginning then. A deadline that comes, or anything from outside, begins the time anew for all. While the
/// virtual clock may not jump every cushion counts as zero.
///
/// # Cancellation
///
/// A checkpoint always; Strict.
///
/// # Errors
///
/// [`Cancelled`] if the scope around the call is cancelled.
///
/// ```
/// use pleach_executor::{In, now, sleep, testing::{run_virtual, wait_until_idle_for}};
/// use std::time::Duration;
/// const S: Duration = Duration::from_secs(1);
/// let r = run_virtual(In::<std::io::Error>::nursery(async |n| {
///     let start = now();
///     n.spawn(async { for _ in 0..3 { sleep(S).await?; } Ok(()) });
///     wait_until_idle_for(2 * S).await?;
///     assert_eq!(now() - start, 5 * S);    // two seconds after the child's last step
///     Ok(())
/// }));
/// r.unwrap();
/// ```
pub async fn wait_until_idle_for(cushion: Duration) -> Result<(), Cancelled> {
    let mut wait = Wait::on(Waits::Idle);
    let mut in_line = InLine(None);
    poll_fn(|cx| wait.poll(cx, |cx| in_line.poll(cushion, cx.waker()))).await
}

/// A place in the line of those who wait for idleness.
struct InLine(Option<IdlerKey>);

impl InLine {
    fn poll(&mut self, cushion: Duration, waker: &Waker) -> Poll<()> {
        // Cloned and dropped outside: a foreign waker may do anything.
        let waker = waker.clone();
        let Some(key) = self.0 else {
            self.0 = Some(runtime::with(|rt| rt.idle.borrow_mut().join(cushion, waker)));
            return Poll::Pending;
        };
        let unused = runtime::with(|rt| rt.idle.borrow_mut().stay(key, waker));
        if unused.is_ok() {
            return Poll::Pending;
        }
        self.0 = None;
        Poll::Ready(())
    }
}

impl Drop for InLine {
    fn drop(&mut self) {
        if let Some(key) = self.0 {
            let waker = runtime::with(|rt| rt.idle.borrow_mut().leave(key));
            drop(waker);
        }
    }
}
