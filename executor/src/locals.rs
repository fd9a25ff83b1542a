//! Values of a task that its children inherit.
//!
//! ```text
//!   static USER: TaskLocal<Name>
//!   USER.with_value("ann", body) ─ polls body ─► current: {USER: ann} ─┬─ USER.get() ─► ann
//!                                                                      └─ spawn(child) ─► the child keeps {USER: ann}
//! ```
//!
//! Rules:
//! * The current values travel with the poll, as the current scope does: each branch of a `join!` sees its own.
//! * A child sees what was current where it was *spawned*, whatever nursery it was spawned into and whoever polls it.
//! * A set of values never changes: who sets one makes a new set. So it is shared by pointer, and nothing that a child
//!   does is seen by its spawner.
//! * **Free Unless Used**: a child that is spawned where nothing is set keeps nothing, not even an empty set.

use crate::runtime;
use std::any::Any;
use std::fmt;
use std::future::{Future, poll_fn};
use std::marker::PhantomData;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::atomic::AtomicU8;
use std::task::{Context, Poll};

/// The values that are set, with their keys. A key is in it once, so that a chain of tasks, each setting it anew, does
/// not make it grow; there are few keys, each of them a `static`.
#[derive(Clone)]
pub(crate) struct Locals(Rc<[(Key, Rc<dyn Any>)]>);

/// Where in memory a [`TaskLocal`] lies.
type Key = usize;

impl Locals {
    fn get(&self, key: Key) -> Option<&Rc<dyn Any>> {
        self.0.iter().find_map(|(k, value)| (*k == key).then_some(value))
    }

    /// These values, and one more or another.
    fn and(before: Option<&Self>, key: Key, value: Rc<dyn Any>) -> Self {
        let others = before.into_iter().flat_map(|b| b.0.iter()).filter(|(k, _)| *k != key).cloned();
        Locals(std::iter::once((key, value)).chain(others).collect())
    }
}

/// A future in the values of the place where it was spawned.
pub(crate) struct Inheriting<F> {
    pub(crate) locals: Locals,
    pub(crate) future: F,
}

impl<F: Future + Unpin> Future for Inheriting<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let Inheriting { locals, future } = self.get_mut();
        runtime::with(|rt| {
            let _inside = rt.in_locals(Some(locals.clone()));
            Pin::new(future).poll(cx)
        })
    }
}

/// A value that belongs to a task and is inherited by the tasks it spawns: who asks, in which request, how urgently.
///
/// It is declared as a `static`; a `const` is refused by the compiler, because its address is its name. Setting is
/// done around a future, so that no value is left over: it is seen by what is polled inside and by the children spawned
/// inside, for as long as they live, also when the nursery they belong to was opened outside. What a child sets for
/// itself its spawner does not see.
///
/// A process that is forked or begun anew starts without values.
///
/// Source: trio's task context, and `contextvars` below it. (tokio's `task_local!` is not inherited by spawned tasks.)
///
/// ```
/// use pleach_executor::{Cancelled, TaskLocal, nursery, run};
///
/// static REQUEST: TaskLocal<u32> = TaskLocal::new();
///
/// async fn handle() -> Result<(), Cancelled> {
///     assert_eq!(REQUEST.get().as_deref(), Some(&7));
///     Ok(())
/// }
///
/// let r: Result<(), Cancelled> = run(nursery(async |n| {
///     assert!(REQUEST.get().is_none());
///     REQUEST.with_value(7, async { n.spawn(handle()) }).await;
///     Ok(())
/// }));
/// r.unwrap();
/// ```
pub struct TaskLocal<T: 'static> {
    /// Makes every `static` a place of its own; and an atomic cannot be borrowed out of a `const` for ever.
    place: AtomicU8,
    _value: PhantomData<fn() -> T>,
}

impl<T: 'static> TaskLocal<T> {
    /// One that has no value yet.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "a default cannot be made in a static")]
    pub const fn new() -> Self {
        TaskLocal { place: AtomicU8::new(0), _value: PhantomData }
    }

    fn key(&'static self) -> Key {
        std::ptr::from_ref(&self.place).addr()
    }

    /// The value here: in the future given to the innermost [`with_value`](TaskLocal::with_value) around this code, or
    /// where this task was spawned. `None` if nobody has set one.
    #[must_use]
    pub fn get(&'static self) -> Option<Rc<T>> {
        let value = runtime::with(|rt| rt.locals(|locals| locals?.get(self.key()).cloned()))?;
        // A place holds values of its own type only.
        value.downcast().ok()
    }

    /// Runs `body` with `value` as the value here. Outside of it the value is what it was.
    ///
    /// The value goes when `body` and every task that inherited it have ended.
    ///
    /// # Cancellation
    ///
    /// Not a checkpoint by itself.
    pub async fn with_value<R>(&'static self, value: T, body: impl Future<Output = R>) -> R {
        let value: Rc<dyn Any> = Rc::new(value);
        let locals = runtime::with(|rt| rt.locals(|before| Locals::and(before, self.key(), value)));
        let mut body = pin!(body);
        poll_fn(|cx| {
            runtime::with(|rt| {
                let _inside = rt.in_locals(Some(locals.clone()));
                body.as_mut().poll(cx)
            })
        })
        .await
    }
}

impl<T: 'static> fmt::Debug for TaskLocal<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskLocal").finish_non_exhaustive()
    }
}
