//! Nurseries: a block that owns the tasks started in it, and does not end before they have.
//!
//! ```text
//!   nursery(async |n| …) ─ poll ─► hub: who is ready? ─┬─ body
//!                                                      └─ borrowed child     (polled by this future)
//!   n.spawn_static(…) ───────────────────────────────────► static child       (polled by the loop)
//!                          every child, when it ends ─► core.rs ─► the nursery's result
//! ```
//!
//! * `mod.rs`: opening a nursery, cancelling and asking it. `typed.rs`: the same with the error type named once.
//! * `drive.rs`: one poll of a nursery's future: body, borrowed children, join.
//! * `children.rs`: the children in the table of nodes: in, one step, out, tear-down. `core.rs`: what they report to, and
//!   the verdict.
//! * `spawn.rs`: how children of every kind come in. `named.rs`: those with a name. `start.rs`: `start()` and `Started`.
//!   `handle.rs`: the handles.
//!
//! Rules:
//! * **Whole Until Empty**: `TearDown` drops every child, each under `catch_unwind`, while the nursery is whole;
//!   the first payload resumes after the last child.
//! * Joining is uncancellable: an outer cancellation reaches the children, not the wait for them.
//!
//! # Why a child may borrow
//!
//! ```text
//!   the frames around ('env) ◄─ borrows ─ the nursery's future ─ polls, drops ─► its children, in the table of nodes
//!                                          └ Nursery, TearDown, body ◄─ borrows ('s) ─┘   (a lifetime forgotten: `Child`)
//! ```
//!
//! **Claim.** A borrowed child is polled only in [`Nursery::poll`], so while somebody polls the nursery's future, and is
//! dropped by [`TearDown`], which stands in that future's frame. The type of that future carries `'env` and what its body
//! captures. So as long as it exists as a value, the compiler keeps what the children borrow alive and borrowed.
//! `task/raw.rs` has this as the rule Borrowed Child, and every `SAFETY` comment of the children names it.
//!
//! What might break it, and why it does not:
//!
//! * **The future is leaked** (`mem::forget`, a cycle of `Rc`s). Then nobody polls or drops it again, and neither its
//!   children: one that is at rest has no destructor ([`Child`](crate::task::raw::Child)), and the table, which outlives every
//!   run of its thread, drops none. What they borrowed may go.
//! * **A child of a leaked nursery is woken.** Its node goes to the ready list of a hub that nobody polls, and stays there:
//!   `next_in_hub`, called by the nursery's poll alone, is the only way from there to a poll. The wake goes up to whoever
//!   polled the nursery last: a poll too many, which everybody tolerates, or a number that nobody answers to any more. The
//!   nodes are never freed, so no later child has the number of one of these.
//! * **The loop could poll it flat**, as it does static children: one wake, one poll, however deep. It may not. `Pin` promises
//!   that the memory *of a future* stays what it is until the future is dropped. It promises nothing about what the future
//!   borrows: after `mem::forget(Box::pin(nursery))` the borrow is over and the box still stands, so that the loop would poll
//!   a child whose borrows are dead. Hence the price of borrowing, one poll a level; static children borrow nothing and
//!   do not pay it.
//! * **The table moves, or is shared.** A child lies in a box of its own, and a node has the pointer to it. A child is out of
//!   its node while it is polled (Out While Polled), so that a spawn from inside, which may move the table, moves nothing
//!   that is in use. A static child may drop its own nursery in that poll, and is dropped itself when the poll returns; a
//!   borrowed one cannot, since its poll is inside one of the nursery's future, which holds that future.
//! * **A child comes out as another type.** One nursery alone puts children into its hub, and takes them out (Own Hub).
//! * **A child outlives its nursery's frame.** `TearDown` is declared after the nursery and before the body: however the frame
//!   goes, the body goes first, then every child, newest first, by a shared reference to a nursery that is whole. A
//!   destructor may use it, panic, or drop other futures; the next child is dropped all the same.
//! * **A child borrows a local of the body.** The body may return while children run on. Its locals do not live for `'s`, which
//!   every child has to: the compiler refuses it (E0373), and `move` or a variable outside of the nursery is the answer.
//! * **The nursery is shortened.** With `'s` covariant, one that lives long could be passed off as one that does not, and be given
//!   a child that borrows too little. So it is invariant, as in `std::thread::Scope`.
//! * **It changes threads.** Nurseries, scopes and their handles are numbers in tables of their thread, and children are polled there
//!   with `Rc`s in them: all of it is `!Send`. Wakers are `Send`, and reach no child: they are numbers that go through
//!   the inbox of the run. Another run of the same thread refuses the nursery with a panic, before it polls.
//! * **The process is forked.** The table of the child process is another one: the nursery knows its epoch, and forgets.
//!
//! | shown by | what |
//! | --- | --- |
//! | `tests/drops/leaked.rs` | leaked while a child is ready and another waits, what they borrowed changed, and run on |
//! | `tests/soundness/destructors.rs` | destructors that panic, cancel and spawn during a tear-down |
//! | `tests/soundness/numbers.rs` | stale wakers, and wakes of random numbers |
//! | `tests/every_future.rs` | every future of the crate is dropped at each of its awaits |
//! | `tests/compile_fail/child_borrows_the_body.rs` | a local of the body |
//! | `tests/compile_fail/nursery_outlives_the_borrow.rs` | what is borrowed stays so until the future is gone |
//! | `tests/compile_fail/static_child_borrows.rs` | the flat kind borrows nothing |
//! | `tests/compile_fail/value_leaves_with_a_borrow.rs` | a value of `start()` cannot borrow from the child |
//! | `tests/compile_fail/nursery_is_shortened.rs` | the variance of `'s` |
//! | `tests/compile_fail/nursery_escapes_its_block.rs` | a reference to a nursery that is over |
//! | `tests/compile_fail/nursery_is_shared_with_a_thread.rs`, `tests/compile_fail/scope_changes_threads.rs` | threads |
//! | `tests/nursery.rs` | a nursery of one run that is polled in another |

mod children;
mod core;
mod drive;
mod handle;
mod named;
mod spawn;
mod start;
#[cfg(test)]
mod tests;
mod typed;

pub use handle::{Closed, NurseryHandle, TaskHandle};
pub use named::Named;
pub use start::Started;
pub use typed::In;

use self::core::Core;
use crate::cancel::{Reason, ScopeHandle};
use crate::error::Failure;
use crate::runtime;
use crate::task::NurseryId;
use children::TearDown;
use std::cell::Cell;
use std::fmt;
use std::future::{Future, poll_fn};
use std::marker::PhantomData;
use std::panic::Location;
use std::pin::pin;
use std::rc::Rc;

/// An open nursery: a reference to it is what the body of [`nursery`] gets.
///
/// `'s` is the time the nursery is open, `'env` what its children may borrow from.
///
/// `E: 'static` stands here, and not only at the functions, for the sake of callers whose error is a `Box<dyn Error>`:
/// from a reference to this type the compiler concludes that `E` outlives `'s`, and without the bound it would take the
/// lifetime hidden in that `Box` for the one that borrows have to last for.
///
/// A function that starts children of its caller's, or else waits for them itself, takes an `Option` of one (tractor's
/// `maybe_open_nursery`):
///
/// ```
/// use pleach_executor::{Cancelled, In, Nursery, checkpoint, run};
/// use std::cell::Cell;
/// type Run = In<Cancelled>;
///
/// /// Runs `body` in the nursery that is given, or in one of its own, which is over when this returns.
/// async fn reuse_or_open<'s, 'env, T>(
///     given: Option<&'s Nursery<'s, 'env, Cancelled>>,
///     body: impl for<'n> AsyncFnOnce(&'n Nursery<'n, 'env, Cancelled>) -> Result<T, Cancelled>,
/// ) -> Result<T, Cancelled> {
///     match given {
///         Some(n) => body(n).await,
///         None => Run::nursery(body).await,
///     }
/// }
///
/// let done = Cell::new(0);
/// let count = async || { checkpoint().await?; done.set(done.get() + 1); Ok(()) };
/// let r: Result<(), Cancelled> = run(async {
///     reuse_or_open(None, async |n| { n.spawn(count()); Ok(()) }).await?;
///     assert_eq!(done.get(), 1, "its own has ended");
///     Run::nursery(async |n| {
///         reuse_or_open(Some(n), async |n| { n.spawn(count()); Ok(()) }).await?;
///         assert_eq!(done.get(), 1, "this one goes on");
///         Ok(())
///     }).await
/// });
/// assert!(r.is_ok() && done.get() == 2);
/// ```
pub struct Nursery<'s, 'env: 's, E: 'static> {
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
/// Not a checkpoint by itself, but its end is charged to the task's budget and may yield. An outer cancellation reaches
/// body and children; when they have ended, the `Cancelled` comes out.
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
#[track_caller]
pub fn nursery<'env, T, E, F>(body: F) -> impl Future<Output = Result<T, E>>
where
    E: Failure + 'static,
    F: for<'s> AsyncFnOnce(&'s Nursery<'s, 'env, E>) -> Result<T, E>,
{
    opened_at(Location::caller(), body)
}

/// A nursery whose place in the source is `at`.
async fn opened_at<'env, T, E, F>(at: &'static Location<'static>, body: F) -> Result<T, E>
where
    E: Failure + 'static,
    F: for<'s> AsyncFnOnce(&'s Nursery<'s, 'env, E>) -> Result<T, E>,
{
    let n = Nursery { core: Rc::new(Core::open(at)), _borrows: PhantomData };
    let outcome = {
        // Declared after `n` and before the body: however this frame goes, the children go before `n` does.
        let _tear_down = TearDown(&n);
        let mut body = pin!(body(&n));
        let mut ended: Option<Result<T, E>> = None;
        poll_fn(|cx| n.poll(&mut body, &mut ended, cx)).await
    };
    n.core.verdict(outcome)
}

impl<E: Failure + 'static> Nursery<'_, '_, E> {
    /// Cancels the children, now and those to come; not the body, so that there is always a value to return.
    /// To cut off the body as well, open the nursery inside a [`CancelScope`](crate::CancelScope) and cancel that.
    pub fn cancel(&self) {
        let by = runtime::with(runtime::Runtime::task);
        runtime::cancel(self.core.kids_apart(), Reason::Requested { by });
    }

    /// The scope of the children: its deadline, its reason.
    #[must_use]
    pub fn scope(&self) -> ScopeHandle {
        ScopeHandle::of(self.core.kids_apart())
    }

    /// Which nursery this is, as in a [`TaskTree`](crate::TaskTree).
    #[must_use]
    pub fn id(&self) -> NurseryId {
        runtime::with(|rt| rt.sched.borrow().nursery(self.core.hub))
    }

    /// How the nursery is doing.
    #[must_use]
    pub fn stats(&self) -> NurseryStats {
        let (borrowed, statics) = self.children();
        let starting = self.core.started.borrow().values().filter(|own| own.starting.get()).count();
        NurseryStats { children: borrowed - starting + statics, starting, closed: self.core.closed.get() }
    }
}

impl<E> Nursery<'_, '_, E> {
    /// How many children there are: borrowed ones, and static ones.
    fn children(&self) -> (usize, usize) {
        runtime::with(|rt| rt.sched.borrow().children(self.core.hub))
    }
}

impl<E> fmt::Debug for Nursery<'_, '_, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (borrowed, statics) = self.children();
        f.debug_struct("Nursery")
            .field("borrowed", &borrowed)
            .field("static", &statics)
            .field("closed", &self.core.closed.get())
            .finish()
    }
}
