//! Where tasks notice cancellation and yield: the one skeleton every waiting operation is built on.
//!
//! ```text
//!   first poll:  cancelled? ─yes─► Err(Cancelled)         later polls:  ready? ─yes─► Ok
//!                  │ no                                                   │ no
//!                budget used up? ─yes─► yield                           cancelled? ─yes─► Err(Cancelled)
//!                  │ no                                                   │ no
//!                ready? ─yes─► Ok                                       park in the current scope
//! ```
//!
//! Rules:
//! * **Not Begun**: in a cancelled scope an operation is not begun. Once begun, a result that is there wins over a
//!   cancellation: nothing that was taken is ever lost.
//! * **Budget**: every result, `Ok` or `Cancelled`, is charged to the task's budget; when that is used up the
//!   operation yields first. So neither a hot loop nor an ignored `Cancelled` can hold the thread.
//! * A waiting operation parks *its own* waker in the scope that is current when it is polled, so that a cancel
//!   reaches it inside any combinator; it leaves when it is done or dropped.

use crate::cancel::tree::WaiterKey;
use crate::clock::now;
use crate::error::{Abandoned, Cancelled};
use crate::runtime;
use crate::sleep::Timer;
use crate::waits::Waits;
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Context, Poll};
use std::time::Duration;

/// One cancellable wait; the state behind every operation that can block.
#[derive(Debug)]
pub(crate) struct Wait {
    begun: bool,
    what: Waits,
    parked: Option<WaiterKey>,
    epoch: u64,
}

impl Wait {
    /// Of an operation that has no entry of its own in [`Waits`].
    pub(crate) const fn new() -> Self {
        Wait::on(Waits::Other)
    }

    pub(crate) const fn on(what: Waits) -> Self {
        Wait { begun: false, what, parked: None, epoch: 0 }
    }

    /// The questions of the first poll, asked by an operation that can mostly be done at once and then needs nothing of this:
    /// is it begun, because there is budget left and no scope of the run is cancelled? If it is not, and if it would block,
    /// it goes on with [`poll`](Wait::poll), which asks what is left to ask.
    #[inline]
    pub(crate) fn begins_quietly(&mut self) -> bool {
        self.begun = self.begun || runtime::begins_quietly();
        self.begun
    }

    /// One poll of the operation `op`, by the picture in the file header.
    #[inline]
    pub(crate) fn poll<T>(
        &mut self,
        cx: &mut Context<'_>,
        op: impl FnOnce(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<Result<T, Cancelled>> {
        if !self.begun {
            match runtime::with(|rt| rt.charge().then(|| rt.report())) {
                None => {
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Some(Err(c)) => return Poll::Ready(Err(c)),
                Some(Ok(())) => self.begun = true,
            }
        }
        if let Poll::Ready(v) = op(cx) {
            self.leave();
            return Poll::Ready(Ok(v));
        }
        if let Err(c) = runtime::report() {
            self.leave();
            return Poll::Ready(Err(c));
        }
        self.epoch = runtime::epoch();
        runtime::park(&mut self.parked, cx.waker(), self.what);
        Poll::Pending
    }

    /// Starts over: the next poll is a first one.
    #[inline]
    pub(crate) fn leave(&mut self) {
        self.begun = false;
        if let Some(key) = self.parked.take() {
            self.unpark(key);
        }
    }

    fn unpark(&self, key: WaiterKey) {
        // A forked child's tree is another one; the inherited key means nothing there.
        if self.epoch == runtime::epoch() {
            runtime::unpark(key);
        }
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        self.leave();
    }
}

/// The skeleton as a future, for operations that need no state of their own.
pub(crate) async fn cancellable<T>(
    what: Waits,
    mut op: impl FnMut(&mut Context<'_>) -> Poll<T>,
) -> Result<T, Cancelled> {
    let mut wait = Wait::on(what);
    poll_fn(|cx| wait.poll(cx, &mut op)).await
}

/// Is the scope around this code cancelled? Never yields.
///
/// It reads what is known, in a few instructions, and no clock: a deadline that passes while only this code runs is seen
/// after the next [`checkpoint`], or by [`CancelScope::cancel_called`](crate::CancelScope::cancel_called).
///
/// # Errors
///
/// [`Cancelled`] as long as the scope is cancelled: a level, not an edge.
///
/// ```
/// use pleach_executor::{CancelScope, Cancelled, check, run};
/// run(async {
///     assert!(check().is_ok());
///     let r: Result<Option<()>, Cancelled> = CancelScope::new().run(async |s| {
///         s.cancel();
///         assert!(check().is_err() && check().is_err());
///         check()
///     }).await;
///     assert!(matches!(r, Ok(None)));
/// });
/// ```
#[inline]
pub fn check() -> Result<(), Cancelled> {
    runtime::report()
}

/// Yields once to the other tasks, then checks for cancellation.
///
/// # Cancellation
///
/// A checkpoint always. Strict.
///
/// # Errors
///
/// [`Cancelled`] if the scope is cancelled after the yield.
///
/// ```
/// use pleach_executor::{Cancelled, checkpoint, run};
///
/// async fn sum_of_squares(numbers: &[u64]) -> Result<u64, Cancelled> {
///     let mut sum = 0;
///     for some in numbers.chunks(1000) {
///         sum += some.iter().map(|n| n * n).sum::<u64>();
///         checkpoint().await?;    // others have their turn, and a limit around this is seen
///     }
///     Ok(sum)
/// }
/// assert_eq!(run(sum_of_squares(&[1, 2, 3])).unwrap(), 14);
/// ```
pub async fn checkpoint() -> Result<(), Cancelled> {
    yield_now().await;
    runtime::report()
}

/// Yields once, whether or not the scope is cancelled.
///
/// # Cancellation
///
/// Never a checkpoint (trio's `cancel_shielded_checkpoint`).
///
/// ```
/// use pleach_executor::{Cancelled, nursery, run, yield_now};
/// use std::cell::RefCell;
/// let turns = RefCell::new(Vec::new());
/// let r: Result<(), Cancelled> = run(nursery(async |n| {
///     for name in ["a", "b"] {
///         let turns = &turns;
///         n.spawn(async move {
///             for _ in 0..2 { turns.borrow_mut().push(name); yield_now().await; }
///             Ok(())
///         });
///     }
///     Ok(())
/// }));
/// r.unwrap();
/// assert_eq!(turns.take(), ["a", "b", "a", "b"]);
/// ```
pub async fn yield_now() {
    let mut yielded = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Makes any future a cancel point: on cancellation it is dropped, and `Err(Cancelled)` is the result.
///
/// For futures of other libraries that are safe to drop. For those that are not, see [`graceful`]; a plain
/// `.await` of a foreign future runs to its own end.
///
/// # Cancellation
///
/// A checkpoint always. As strict as dropping `fut` is.
///
/// # Errors
///
/// [`Cancelled`] if the scope around the call is cancelled; `fut` has been dropped.
///
/// ```
/// use pleach_executor::{Cancelled, checked, move_on_after, run};
/// use std::time::Duration;
/// run(async {
///     let r: Result<Option<()>, Cancelled> =
///         move_on_after(Duration::ZERO, async |_| checked(std::future::pending()).await).await;
///     assert!(matches!(r, Ok(None)));
/// });
/// ```
pub async fn checked<F: Future>(fut: F) -> Result<F::Output, Cancelled> {
    let mut fut = pin!(fut);
    let mut wait = Wait::on(Waits::Checked);
    poll_fn(|cx| wait.poll(cx, |cx| fut.as_mut().poll(cx))).await
}

/// Stops a foreign future in two phases: when the scope is cancelled `stop` is called once (send its quit message,
/// close its socket), then the future is driven to its own end, for at most `grace`.
///
/// # Cancellation
///
/// Never a checkpoint: the value of a future that ended stands, and the next checkpoint reports the cancellation.
///
/// # Errors
///
/// [`Abandoned`] if the grace ran out; the future has been dropped.
///
/// ```
/// use pleach_executor::{CancelScope, Cancelled, check, graceful, run, sync::Event};
/// use std::time::Duration;
/// run(async {
///     let quit = Event::new();
///     let r: Result<Option<()>, Cancelled> = CancelScope::new().run(async |s| {
///         s.cancel();
///         let flushed = graceful(
///             std::future::poll_fn(|_| if quit.is_set() { std::task::Poll::Ready(7) } else { std::task::Poll::Pending }),
///             Duration::from_secs(1),
///             || quit.set(),
///         ).await;
///         assert_eq!(flushed, Ok(7));
///         check()
///     }).await;
///     assert!(matches!(r, Ok(None)));
/// });
/// ```
pub async fn graceful<F: Future>(
    fut: F,
    grace: Duration,
    stop: impl FnOnce(),
) -> Result<F::Output, Abandoned> {
    let mut fut = pin!(fut);
    let mut cancelled = Wait::new();
    let mut stop = Some(stop);
    let mut timer = Timer::new();
    poll_fn(|cx| {
        if let Poll::Ready(v) = fut.as_mut().poll(cx) {
            return Poll::Ready(Ok(v));
        }
        if let Some(call) = stop.take() {
            let Poll::Ready(Err(c)) = cancelled.poll(cx, |_| Poll::<Infallible>::Pending) else {
                stop = Some(call);
                return Poll::Pending;
            };
            c.absorb();
            let now = now();
            timer.set(now + grace, now);
            call();
            // It may be ready now, and nobody would poll it again for that.
            if let Poll::Ready(v) = fut.as_mut().poll(cx) {
                return Poll::Ready(Ok(v));
            }
        }
        timer.poll(cx).map(|()| Err(Abandoned))
    })
    .await
}
