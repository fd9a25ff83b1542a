//! Nurseries: a block that owns the tasks started in it, and does not end before they have.
//!
//! ```text
//!   nursery(async |n| …) ─ poll ─► hub: who is ready? ─┬─ body
//!                                                      └─ slot ─► borrowed child   (lives in this future)
//!   n.spawn_static(…) ───────────────────────────────────────────► flat task       (lives in the executor)
//!                          every child, when it ends ─► core.rs ─► the nursery's result
//! ```
//!
//! * `mod.rs`: the future of a nursery: it polls body and borrowed children, joins, and tears down.
//! * `core.rs`: what children report to, and the verdict.
//! * `spawn.rs`: how children of every kind come in. `start.rs`: `start()` and `Started`. `handle.rs`: the handles.
//!
//! Rules:
//! * **Whole Until Empty**: [`TearDown`] drops every child, each under `catch_unwind`, while the nursery is whole;
//!   the first payload resumes after the last child. Nothing of a child lives in a field that outlives it.
//! * A child is out of its slot while it is polled, so that it may spawn siblings or close its nursery.
//! * Joining is uncancellable: an outer cancellation reaches the children, not the wait for them.

mod core;
mod handle;
mod spawn;
mod start;

pub(crate) use self::core::Payload;
pub use handle::{Closed, NurseryHandle, TaskHandle};
use start::OwnScope;
pub use start::Started;

use self::core::Core;
use crate::cancel::{CancelScope, Reason, ScopeHandle};
use crate::error::{self, Cancelled, Failure, TooSlow};
use crate::runtime;
use crate::task::TaskId;
use crate::task::raw::{self, Erased};
use crate::task::word::Word;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::{Future, poll_fn};
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

/// The body's place among the slots.
const BODY: u32 = u32::MAX;

/// A borrowed child's place in its nursery.
enum Slot<E> {
    Vacant {
        next_free: Option<u32>,
    },
    /// Out of its slot: being polled right now.
    Busy {
        own: Option<Rc<OwnScope>>,
    },
    /// `own`: the scope of a child that was started; the others run in the scope of the children.
    Full {
        word: Word,
        own: Option<Rc<OwnScope>>,
        child: Erased<E>,
    },
}

/// The borrowed children of a nursery.
struct Slots<E> {
    all: Vec<Slot<E>>,
    first_free: Option<u32>,
    live: usize,
}

/// An open nursery: a reference to it is what the body of [`nursery`] gets.
///
/// `'s` is the time the nursery is open, `'env` what its children may borrow from.
pub struct Nursery<'s, 'env: 's, E> {
    /// Before `core`: whatever way the frame goes, no child outlives what it reports to.
    slots: RefCell<Slots<E>>,
    core: Rc<Core<E>>,
    /// Invariant in `'s`: else a short-lived future could be spawned through a shortened nursery.
    _borrows: PhantomData<Cell<&'s &'env ()>>,
}

/// How a nursery is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NurseryStats {
    /// Children that live and belong to the nursery.
    pub children: usize,
    /// Children of a `start()` that have not said yet that they are ready; they belong to their starter.
    pub starting: usize,
    /// The body and all children have ended: nothing more can be spawned.
    pub closed: bool,
}

/// Opens a nursery: runs `body`, and ends when the body and every child have ended.
///
/// A failing child (or body) cancels the others, which are awaited; then one failure comes out as itself, several
/// as [`Failure::merge`]. If the body returns early the children go on: cancel them with [`Nursery::cancel`].
///
/// Source: trio's nursery; the body is one more child, and joining is a schedule point but not a cancel point.
///
/// # Cancellation
///
/// Not a checkpoint by itself. An outer cancellation reaches body and children; when they have ended, the
/// `Cancelled` comes out.
///
/// # Errors
///
/// The failures of body and children. A `Cancelled` comes out if an outer scope was cancelled, or if a body or
/// child ended with one although nobody had cancelled it.
///
/// # Panics
///
/// Outside a run. If a child or the body panics: siblings are cancelled and awaited, then the panic continues.
///
/// ```
/// use pleach_executor::{Cancelled, checkpoint, nursery, run};
/// let words = vec!["a", "bb", "ccc"];
/// let total = std::cell::Cell::new(0);
/// let r: Result<usize, Cancelled> = run(nursery(async |n| {
///     for w in &words {
///         let total = &total;
///         n.spawn(async move { checkpoint().await?; total.set(total.get() + w.len()); Ok(()) });
///     }
///     Ok(words.len())
/// }));
/// assert_eq!((r.unwrap(), total.get()), (3, 6));
/// ```
pub async fn nursery<'env, T, E, F>(body: F) -> Result<T, E>
where
    E: Failure + 'static,
    F: for<'s> AsyncFnOnce(&'s Nursery<'s, 'env, E>) -> Result<T, E>,
{
    let n = Nursery {
        core: Rc::new(Core::open()),
        slots: RefCell::new(Slots { all: Vec::new(), first_free: None, live: 0 }),
        _borrows: PhantomData,
    };
    let outcome = {
        // Declared after `n` and before the body: however this frame goes, the children go before `n` does.
        let _tear_down = TearDown(&n);
        let _body_node = BodyNode::insert(&n.core);
        let mut body = pin!(body(&n));
        let mut ended: Option<Result<T, E>> = None;
        poll_fn(|cx| n.poll(&mut body, &mut ended, cx)).await
    };
    if let Some(payload) = n.core.take_panic() {
        error::absorb(outcome);
        resume_unwind(payload);
    }
    n.core.verdict(outcome)
}

/// The node through which the body is woken.
struct BodyNode {
    word: Word,
    epoch: u64,
}

impl BodyNode {
    fn insert<E>(core: &Core<E>) -> Self {
        runtime::with(|rt| {
            let word = rt.sched.borrow_mut().insert_borrowed(core.hub, BODY);
            rt.wake_word(word);
            BodyNode { word, epoch: runtime::epoch() }
        })
    }
}

impl Drop for BodyNode {
    fn drop(&mut self) {
        // In a forked child the number may be that of a task there.
        if self.epoch == runtime::epoch() {
            runtime::remove_node(self.word);
        }
    }
}

/// Drops whatever is left of a nursery's children. On the ordinary way nothing is.
struct TearDown<'a, 's, 'env, E>(&'a Nursery<'s, 'env, E>);

impl<E> Drop for TearDown<'_, '_, '_, E> {
    fn drop(&mut self) {
        let n = self.0;
        n.core.closed.set(true);
        if !runtime::is_current_epoch(n.core.run) {
            // A forked child: these children belong to the parent's process.
            std::mem::forget(std::mem::take(&mut n.slots.borrow_mut().all));
            return;
        }
        let mut first = None;
        let mut keep = |r: Result<(), Payload>| match r {
            Err(p) if first.is_none() => first = Some(p),
            Err(p) => std::mem::forget(p),
            Ok(()) => {}
        };
        // One by one, out of the slots: a destructor may use the nursery.
        loop {
            let slot = n.slots.borrow_mut().all.pop();
            let Some(slot) = slot else { break };
            if let Slot::Full { word, .. } = &slot {
                runtime::remove_node(*word);
            }
            // With the child goes the scope of its own, and with that a cause of a user's making.
            keep(catch_unwind(AssertUnwindSafe(|| drop(slot))));
        }
        loop {
            let word = n.core.flats.borrow().iter().next().map(|(key, word)| (key, *word));
            let Some((key, word)) = word else { break };
            n.core.flats.borrow_mut().remove(key);
            if let Some(task) = runtime::take_flat(word) {
                keep(catch_unwind(AssertUnwindSafe(|| drop(task))));
            }
        }
        // On the ordinary way a panic is kept in the core, and resumes after this.
        if let Some(payload) = first {
            if !std::thread::panicking() {
                resume_unwind(payload);
            }
            std::mem::forget(payload);
        }
    }
}

impl<'s, E: Failure + 'static> Nursery<'s, '_, E> {
    /// Cancels the children, now and those to come; not the body, so that there is always a value to return.
    /// To cut off the body as well, open the nursery inside a [`CancelScope`] and cancel that.
    pub fn cancel(&self) {
        let by = runtime::with(runtime::Runtime::task);
        runtime::cancel(self.core.kids(), Reason::Requested { by });
    }

    /// The scope of the children: its deadline, its reason.
    #[must_use]
    pub fn scope(&self) -> ScopeHandle {
        ScopeHandle::of(self.core.kids())
    }

    /// How the nursery is doing.
    #[must_use]
    pub fn stats(&self) -> NurseryStats {
        let slots = self.slots.borrow();
        let starting = slots.all.iter().filter(|s| match s {
            Slot::Full { own: Some(own), .. } | Slot::Busy { own: Some(own) } => own.starting.get(),
            _ => false,
        });
        let starting = starting.count();
        NurseryStats {
            children: slots.live - starting + self.core.flats.borrow().len(),
            starting,
            closed: self.core.closed.get(),
        }
    }

    /// One poll of the nursery's future: those that were ready when it began, one step each.
    fn poll<T, B: Future<Output = Result<T, E>>>(
        &self,
        body: &mut Pin<&mut B>,
        ended: &mut Option<Result<T, E>>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<T, E>> {
        runtime::require_run(self.core.run, "nursery");
        let _inside = runtime::enter(self.core.scope);
        let batch = runtime::enter_hub(self.core.hub, cx.waker());
        for done in 0..batch {
            // Every poll counts towards the loop's next look outside, however deep it happens. The first is done in any
            // case: else a deep nursery would never get on.
            if !runtime::take_poll() && done > 0 {
                break;
            }
            let Some((slot, word)) = runtime::next_in_hub(self.core.hub) else { break };
            if slot == BODY {
                if ended.is_none() {
                    *ended = self.poll_body(body, word);
                }
            } else {
                self.poll_child(slot, word);
            }
        }
        if ended.is_some() && self.slots.borrow().live == 0 && self.core.flats.borrow().is_empty() {
            return Poll::Ready(ended.take().expect("just checked"));
        }
        if runtime::hub_is_ready(self.core.hub) {
            // More became ready meanwhile: to the back of the queue.
            runtime::signal_hub(self.core.hub);
        }
        Poll::Pending
    }

    fn poll_body<T, B: Future<Output = Result<T, E>>>(
        &self,
        body: &mut Pin<&mut B>,
        word: Word,
    ) -> Option<Result<T, E>> {
        let waker = raw::waker_of(word);
        let mut cx = Context::from_waker(&waker);
        runtime::with(runtime::Runtime::count_poll);
        match catch_unwind(AssertUnwindSafe(|| body.as_mut().poll(&mut cx))) {
            Ok(Poll::Pending) => None,
            Ok(Poll::Ready(r)) => {
                if r.as_ref().is_err_and(|e| !e.is_cancelled() || !runtime::is_cancelled(self.core.scope)) {
                    self.core.failed();
                }
                Some(r)
            }
            Err(payload) => {
                self.core.panicked(payload);
                Some(Err(E::from(Cancelled::mint(Reason::SiblingFailed))))
            }
        }
    }

    fn poll_child(&self, slot: u32, word: Word) {
        let (own, mut child) = {
            let slot = &mut self.slots.borrow_mut().all[slot as usize];
            match std::mem::replace(slot, Slot::Busy { own: None }) {
                Slot::Full { own, child, .. } => {
                    *slot = Slot::Busy { own: own.clone() };
                    (own, child)
                }
                _ => return,
            }
        };
        let scope = own.as_ref().map_or_else(|| self.core.kids(), |own| own.id);
        let waker = raw::waker_of(word);
        let mut cx = Context::from_waker(&waker);
        let polled = catch_unwind(AssertUnwindSafe(|| {
            let _inside = runtime::enter_as_is(scope);
            runtime::as_task(TaskId(word), || child.as_mut().poll(&mut cx))
        }));
        let outcome = match polled {
            Ok(Poll::Pending) => {
                self.slots.borrow_mut().all[slot as usize] = Slot::Full { word, own, child };
                return;
            }
            Ok(Poll::Ready(r)) => Ok(r),
            Err(payload) => Err(payload),
        };
        let was_cancelled = runtime::is_cancelled(scope) || runtime::is_cancelled(self.core.kids());
        let busy =
            std::mem::replace(&mut self.slots.borrow_mut().all[slot as usize], Slot::Busy { own: None });
        let dropped = catch_unwind(AssertUnwindSafe(|| drop((child, own, busy))));
        runtime::remove_node(word);
        self.slots.borrow_mut().vacate(slot);
        self.core.ended(was_cancelled, outcome);
        if let Err(payload) = dropped {
            self.core.panicked(payload);
        }
    }
}

impl<E> Slots<E> {
    /// A place for one more child.
    fn reserve(&mut self) -> u32 {
        self.live += 1;
        match self.first_free {
            Some(i) => {
                if let Slot::Vacant { next_free } = self.all[i as usize] {
                    self.first_free = next_free;
                }
                i
            }
            None => {
                self.all.push(Slot::Busy { own: None });
                u32::try_from(self.all.len() - 1).expect("fewer than 2^26 tasks")
            }
        }
    }

    fn vacate(&mut self, slot: u32) {
        self.all[slot as usize] = Slot::Vacant { next_free: self.first_free };
        self.first_free = Some(slot);
        self.live -= 1;
    }
}

impl<E> fmt::Debug for Nursery<'_, '_, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Nursery")
            .field("borrowed", &self.slots.borrow().live)
            .field("static", &self.core.flats.borrow().len())
            .field("closed", &self.core.closed.get())
            .finish()
    }
}

/// Names the error type once per crate, so that `?` behind a nursery needs no hints.
///
/// ```
/// use pleach_executor::{In, checkpoint, run};
/// type Run = In<std::io::Error>;
///
/// async fn both() -> std::io::Result<u8> {
///     Run::nursery(async |n| {
///         n.spawn(async { checkpoint().await?; Ok(()) });
///         Ok(())
///     })
///     .await?;
///     Ok(7)
/// }
/// assert_eq!(run(both()).unwrap(), 7);
/// ```
#[derive(Debug)]
pub struct In<E>(PhantomData<E>);

impl<E: Failure + 'static> In<E> {
    /// See [`nursery`].
    ///
    /// # Cancellation
    ///
    /// As [`nursery`].
    ///
    /// # Errors
    ///
    /// As [`nursery`].
    pub async fn nursery<'env, T>(
        body: impl for<'s> AsyncFnOnce(&'s Nursery<'s, 'env, E>) -> Result<T, E>,
    ) -> Result<T, E> {
        nursery(body).await
    }

    /// See [`crate::move_on_after`].
    ///
    /// # Cancellation
    ///
    /// As [`CancelScope::run`].
    ///
    /// # Errors
    ///
    /// As [`crate::move_on_after`].
    pub async fn move_on_after<T>(
        d: Duration,
        body: impl AsyncFnOnce(&CancelScope) -> Result<T, E>,
    ) -> Result<Option<T>, E> {
        crate::cancel::move_on_after(d, body).await
    }

    /// See [`crate::fail_after`].
    ///
    /// # Cancellation
    ///
    /// As [`CancelScope::run`].
    ///
    /// # Errors
    ///
    /// As [`crate::fail_after`].
    pub async fn fail_after<T>(
        d: Duration,
        body: impl AsyncFnOnce(&CancelScope) -> Result<T, E>,
    ) -> Result<T, E>
    where
        E: From<TooSlow>,
    {
        crate::cancel::fail_after(d, body).await
    }

    /// See [`crate::shielded`].
    ///
    /// # Cancellation
    ///
    /// Never a checkpoint.
    ///
    /// # Errors
    ///
    /// As [`crate::shielded`].
    pub async fn shielded<T>(body: impl AsyncFnOnce(&CancelScope) -> Result<T, E>) -> Result<T, E> {
        crate::cancel::shielded(body).await
    }
}
