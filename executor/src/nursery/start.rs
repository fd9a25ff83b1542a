//! `start()`: a child that belongs to its starter until it says that it is ready, and to the nursery from then on.
//!
//! ```text
//!             1 set, starter not cancelled          2 starter takes the value
//!   Starting ────────────────────────────► Moved ──────────────────────────► (an ordinary child)
//!      │ │ └──3 set, starter cancelled──► Kept ──4 child ends──► Ended ──► value, or the child's error, to the starter
//!      │ └────5 child ends─────────────────────────────────────► Ended ──► its error, or NeverStarted
//!      └──────6 start() is dropped──► Abandoned: the nursery's, and cancelled
//! ```
//!
//! Rules:
//! * Until `set` the child's scope hangs below the scope around `start()`, and what the child fails with is
//!   `start()`'s. After it both are the nursery's.
//! * A starter that is cancelled keeps the child: `set` does not move it then (trio).
//! * However the child ends, a guard in *its* frame tells the starter. A panic resumes in the starter.

use super::Nursery;
use super::core::Outcome;
use super::named::Label;
use crate::cancel::{Reason, ScopeId};
use crate::error::{Cancelled, Failure};
use crate::panics::Payload;
use crate::runtime::{self, RunKey};
use crate::task::word::Word;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Poll, Waker};

enum Phase<V> {
    Starting(Option<Waker>),
    /// `set` was called and the child is the nursery's.
    Moved(V),
    /// `set` was called by a child whose starter is cancelled: it stays the starter's.
    Kept(V, Option<Waker>),
    /// The child has ended while it was the starter's.
    Ended(Option<V>),
    /// The starter is gone, or has its answer.
    Over,
}

/// The scope of a child that was started, kept by its slot as well: how the child ended is judged by it.
pub(super) struct OwnScope {
    pub(super) id: ScopeId,
    run: RunKey,
    /// Is the child still the starter's?
    pub(super) starting: Cell<bool>,
    /// The child, until it is handed over.
    pub(super) word: Cell<Option<Word>>,
}

impl Drop for OwnScope {
    fn drop(&mut self) {
        if runtime::is_current_epoch(self.run) {
            runtime::end_scope(self.id);
        }
    }
}

struct StartCell<V> {
    phase: RefCell<Phase<V>>,
    scope: Rc<OwnScope>,
    /// The nursery's scope of children, where it goes in the end.
    target: ScopeId,
}

impl<V> StartCell<V> {
    /// From here on the child is the nursery's.
    fn hand_over(&self) {
        self.scope.starting.set(false);
        if let Some(word) = self.scope.word.take() {
            runtime::hand_over(word);
        }
        runtime::reparent(self.scope.id, self.target);
    }
}

/// What a child of `Nursery::start` says "ready" with.
///
/// Dropping it without [`set`](Started::set) is allowed; if the child then ends, `start()` fails.
#[must_use = "call set() when the child is ready: until then start() waits"]
pub struct Started<V>(Option<Rc<StartCell<V>>>);

impl<V> Started<V> {
    /// Says that the child is ready, with the value that `start()` returns. From here on the child belongs to the
    /// nursery: its scope hangs there, and its failure is the nursery's.
    ///
    /// If the starter is cancelled by now, the child stays where it is: what it fails with comes out of `start()`,
    /// and if it ends well, `start()` returns the value.
    pub fn set(self, value: V) {
        let Some(cell) = self.0 else { return };
        if !runtime::is_current_epoch(cell.scope.run) {
            return;
        }
        let starter_cancelled = runtime::with(|rt| rt.scopes.borrow().outer_cancelled(cell.scope.id));
        let waker = {
            let mut phase = cell.phase.borrow_mut();
            let Phase::Starting(waker) = &mut *phase else { return };
            let waker = waker.take();
            if starter_cancelled {
                *phase = Phase::Kept(value, waker);
                return;
            }
            *phase = Phase::Moved(value);
            waker
        };
        cell.hand_over();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// One that nobody waits for: to call a function written for `start()` directly.
    pub fn ignored() -> Self {
        Started(None)
    }
}

impl<V> fmt::Debug for Started<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Started").field("ignored", &self.0.is_none()).finish()
    }
}

/// In the child's frame: whoever waits for the start hears of its end.
struct ChildGuard<V, E> {
    cell: Rc<StartCell<V>>,
    /// Where the outcome of a child that is still the starter's goes.
    early: Rc<Cell<Option<Outcome<(), E>>>>,
}

impl<V, E> ChildGuard<V, E> {
    /// The child has ended: its outcome if it is the nursery's to know.
    fn ended(&self, outcome: Outcome<(), E>) -> Option<Outcome<(), E>> {
        let waker = {
            let mut phase = self.cell.phase.borrow_mut();
            match std::mem::replace(&mut *phase, Phase::Over) {
                Phase::Starting(waker) => {
                    *phase = Phase::Ended(None);
                    waker
                }
                Phase::Kept(v, waker) => {
                    *phase = Phase::Ended(Some(v));
                    waker
                }
                other => {
                    *phase = other;
                    return Some(outcome);
                }
            }
        };
        self.early.set(Some(outcome));
        if let Some(waker) = waker {
            waker.wake();
        }
        None
    }
}

impl<V, E> Drop for ChildGuard<V, E> {
    /// The child was dropped with its nursery before it had ended; after an end this finds nothing to do.
    fn drop(&mut self) {
        let before = {
            let mut phase = self.cell.phase.borrow_mut();
            if !matches!(*phase, Phase::Starting(_) | Phase::Kept(..)) {
                return;
            }
            std::mem::replace(&mut *phase, Phase::Ended(None))
        };
        // A value that was kept goes after this, outside of the borrow, as the starter is woken outside.
        if let Phase::Starting(Some(waker)) | Phase::Kept(_, Some(waker)) = before {
            waker.wake();
        }
    }
}

/// In the starter's frame: if the wait is given up, the child becomes the nursery's, cancelled.
struct StarterGuard<V>(Rc<StartCell<V>>);

impl<V> Drop for StarterGuard<V> {
    fn drop(&mut self) {
        let cell = &self.0;
        let before = std::mem::replace(&mut *cell.phase.borrow_mut(), Phase::Over);
        if let (Phase::Starting(_) | Phase::Kept(..), true) =
            (&before, runtime::is_current_epoch(cell.scope.run))
        {
            cell.hand_over();
            runtime::cancel(cell.scope.id, Reason::Requested { by: runtime::with(runtime::Runtime::task) });
        }
        drop(before);
    }
}

/// What the starter hears.
enum Answer<V> {
    Started(V),
    Ended(Option<V>),
}

impl<'s, E: Failure + 'static> Nursery<'s, '_, E> {
    /// Starts a child and waits until it says that it is ready; gives back the value it says so with.
    ///
    /// Until then the child runs below the scope around this call, and what it fails with comes out here, while the
    /// nursery stays healthy. From [`Started::set`] on it is a child of the nursery like any other.
    ///
    /// Source: trio's `nursery.start`.
    ///
    /// # Cancellation
    ///
    /// Not a checkpoint by itself: a cancellation reaches the child, and its outcome comes out. Dropping the future
    /// hands the child to the nursery, cancelled.
    ///
    /// # Errors
    ///
    /// What the child fails with before it is ready. A child that ends well without having said so gives a
    /// `Cancelled` whose reason is [`Reason::NeverStarted`].
    ///
    /// # Panics
    ///
    /// With the child's panic, if it panics before it is ready. If the nursery has ended.
    ///
    /// ```
    /// use pleach_executor::{Cancelled, Started, nursery, run, sleep_forever};
    /// let r: Result<u16, Cancelled> = run(nursery(async |n| {
    ///     let port = n.start(async |ready: Started<u16>| {
    ///         ready.set(8080);
    ///         sleep_forever().await?;
    ///         Ok(())
    ///     }).await?;
    ///     n.cancel();
    ///     Ok(port)
    /// }));
    /// assert_eq!(r.unwrap(), 8080);
    /// ```
    #[track_caller]
    pub fn start<V: 's>(
        &'s self,
        child: impl AsyncFnOnce(Started<V>) -> Result<(), E> + 's,
    ) -> impl Future<Output = Result<V, E>> {
        self.start_at((), Location::caller(), child)
    }

    pub(super) async fn start_at<V: 's>(
        &'s self,
        name: impl Label,
        at: &'static Location<'static>,
        child: impl AsyncFnOnce(Started<V>) -> Result<(), E> + 's,
    ) -> Result<V, E> {
        let scope = Rc::new(OwnScope {
            run: runtime::run_key(),
            id: runtime::new_scope_at(at),
            starting: Cell::new(true),
            word: Cell::new(None),
        });
        let cell = Rc::new(StartCell {
            phase: RefCell::new(Phase::Starting(None)),
            scope: Rc::clone(&scope),
            target: self.core.kids(),
        });
        let early = Rc::new(Cell::new(None));
        let guard = ChildGuard { cell: Rc::clone(&cell), early: Rc::clone(&early) };
        let starter = StarterGuard(Rc::clone(&cell));
        self.spawn_in(name, Some(scope), Box::pin(drive(guard, child)), at);
        let answer = poll_fn(|cx| {
            // Cloned before the phase is borrowed, and the one before dropped after: a foreign waker may do anything.
            let own = cx.waker().clone();
            let mut phase = cell.phase.borrow_mut();
            match &mut *phase {
                Phase::Starting(waker) | Phase::Kept(_, waker) => {
                    let before = waker.replace(own);
                    drop(phase);
                    drop(before);
                    // The scope around this call is the one that is current when it is polled.
                    runtime::reparent(cell.scope.id, runtime::with(runtime::Runtime::scope));
                    return Poll::Pending;
                }
                _ => {}
            }
            match std::mem::replace(&mut *phase, Phase::Over) {
                Phase::Moved(v) => Poll::Ready(Answer::Started(v)),
                Phase::Ended(v) => Poll::Ready(Answer::Ended(v)),
                _ => unreachable!("the starter alone ends the wait"),
            }
        })
        .await;
        drop(starter);
        match answer {
            Answer::Started(v) => Ok(v),
            Answer::Ended(value) => finish(value, early.take()),
        }
    }
}

/// The child's frame: runs it to its end, and gives its outcome to whomever it belongs to by then.
async fn drive<V, E: Failure>(
    guard: ChildGuard<V, E>,
    child: impl AsyncFnOnce(Started<V>) -> Result<(), E>,
) -> Result<(), E> {
    let mut fut = pin!(child(Started(Some(Rc::clone(&guard.cell)))));
    let outcome: Outcome<(), E> =
        poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| fut.as_mut().poll(cx))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(r)) => Poll::Ready(Ok(r)),
            Err(payload) => Poll::Ready(Err(payload)),
        })
        .await;
    match guard.ended(outcome) {
        None => Ok(()),
        Some(Ok(r)) => r,
        Some(Err(payload)) => resume_unwind(payload),
    }
}

/// The child ended while it was the starter's.
fn finish<V, E: Failure>(value: Option<V>, outcome: Option<Result<Result<(), E>, Payload>>) -> Result<V, E> {
    match (outcome, value) {
        (Some(Err(payload)), _) => resume_unwind(payload),
        (Some(Ok(Err(e))), _) => Err(e),
        (Some(Ok(Ok(()))), Some(v)) => Ok(v),
        (Some(Ok(Ok(()))), None) => Err(E::from(Cancelled::mint(Reason::NeverStarted))),
        // Dropped together with its nursery.
        (None, _) => Err(E::from(Cancelled::mint(Reason::Shutdown))),
    }
}
