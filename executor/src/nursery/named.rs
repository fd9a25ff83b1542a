//! Children that have a name from the beginning, before their first poll.
//!
//! ```text
//!   n.named("listener") ─► Named ─ spawn, spawn_static, task, start, … ─► the child, and its name beside the table of nodes
//! ```
//!
//! Rules: a name costs nobody who has none. So it is a type with a child that comes in, and not a value in it: without one
//! the same code is made without a trace of it.

use super::Nursery;
use super::handle::{Closed, NurseryHandle, TaskHandle};
use super::start::Started;
use crate::error::Failure;
use crate::task::sched::{HubIndex, Sched};
use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::rc::Rc;

/// What a child is to be called, or that it has no name.
pub(super) trait Label {
    /// Gives the name to the newest child of a nursery.
    fn give(self, sched: &mut Sched, hub: HubIndex);
}

impl Label for () {
    #[inline(always)]
    fn give(self, _: &mut Sched, _: HubIndex) {}
}

impl Label for Rc<str> {
    fn give(self, sched: &mut Sched, hub: HubIndex) {
        sched.name_newest(hub, self);
    }
}

/// The way into a nursery for one child that has a name: made by [`Nursery::named`] and [`NurseryHandle::named`].
///
/// Its methods are those of what it was made from, and each starts the child in the same way.
#[must_use = "a name without a child is forgotten"]
pub struct Named<N> {
    into: N,
    name: Rc<str>,
}

impl<'s, E: Failure + 'static> Nursery<'s, '_, E> {
    /// The next child by this name: for [`dump`](crate::dump), [`TaskTree::name`](crate::TaskTree::name) and instruments,
    /// from before its first poll to its end, or until it takes another with [`name_task`](crate::name_task).
    /// Names need not be unique.
    ///
    /// ```
    /// use pleach_executor::{Cancelled, dump, nursery, run, sleep_forever};
    /// let r: Result<(), Cancelled> = run(nursery(async |n| {
    ///     n.named("listener").spawn(async { sleep_forever().await?; Ok(()) });
    ///     let answer = n.named("answer").task(async { Ok(42) });
    ///     assert!(dump().contains("\"listener\"") && dump().contains("\"answer\""), "{}", dump());
    ///     assert_eq!(answer.await?, 42);
    ///     n.cancel();
    ///     Ok(())
    /// }));
    /// r.unwrap();
    /// ```
    pub fn named(&'s self, name: impl Into<Rc<str>>) -> Named<&'s Self> {
        Named { into: self, name: name.into() }
    }
}

impl<E: Failure + 'static> NurseryHandle<E> {
    /// The next child by this name: see [`Nursery::named`].
    pub fn named(&self, name: impl Into<Rc<str>>) -> Named<&Self> {
        Named { into: self, name: name.into() }
    }
}

impl<'s, 'env, E: Failure + 'static> Named<&'s Nursery<'s, 'env, E>> {
    /// See [`Nursery::spawn`].
    ///
    /// # Panics
    ///
    /// As [`Nursery::spawn`].
    #[track_caller]
    pub fn spawn(self, fut: impl Future<Output = Result<(), E>> + 's) {
        self.into.spawn_in(self.name, None, Box::pin(fut), Location::caller());
    }

    /// See [`Nursery::spawn_boxed`].
    ///
    /// # Panics
    ///
    /// As [`Nursery::spawn_boxed`].
    #[track_caller]
    pub fn spawn_boxed(self, fut: Pin<Box<dyn Future<Output = Result<(), E>> + 's>>) {
        self.into.spawn_in(self.name, None, fut, Location::caller());
    }

    /// See [`Nursery::spawn_static`].
    ///
    /// # Panics
    ///
    /// As [`Nursery::spawn_static`].
    #[track_caller]
    pub fn spawn_static(self, fut: impl Future<Output = Result<(), E>> + 'static) {
        self.into.core.spawn_static(self.name, Box::pin(fut), Location::caller());
    }

    /// See [`Nursery::spawn_static_boxed`].
    ///
    /// # Panics
    ///
    /// As [`Nursery::spawn_static_boxed`].
    #[track_caller]
    pub fn spawn_static_boxed(self, fut: Pin<Box<dyn Future<Output = Result<(), E>>>>) {
        self.into.core.spawn_static(self.name, fut, Location::caller());
    }

    /// See [`Nursery::task`].
    ///
    /// # Panics
    ///
    /// As [`Nursery::task`].
    #[track_caller]
    pub fn task<V: 's>(self, fut: impl Future<Output = Result<V, E>> + 's) -> TaskHandle<V> {
        self.into.task_called(self.name, fut)
    }

    /// See [`Nursery::start`].
    ///
    /// # Cancellation
    ///
    /// As [`Nursery::start`].
    ///
    /// # Errors
    ///
    /// As [`Nursery::start`].
    ///
    /// # Panics
    ///
    /// As [`Nursery::start`].
    #[track_caller]
    pub fn start<V: 's>(
        self,
        child: impl AsyncFnOnce(Started<V>) -> Result<(), E> + 's,
    ) -> impl Future<Output = Result<V, E>> {
        self.into.start_at(self.name, Location::caller(), child)
    }
}

impl<E: Failure + 'static> Named<&NurseryHandle<E>> {
    /// See [`NurseryHandle::spawn`].
    ///
    /// # Errors
    ///
    /// As [`NurseryHandle::spawn`].
    ///
    /// # Panics
    ///
    /// As [`NurseryHandle::spawn`].
    #[track_caller]
    pub fn spawn<F: Future<Output = Result<(), E>> + 'static>(self, fut: F) -> Result<(), Closed<F>> {
        self.into.spawn_called(self.name, fut)
    }

    /// See [`NurseryHandle::task`].
    ///
    /// # Errors
    ///
    /// As [`NurseryHandle::task`].
    ///
    /// # Panics
    ///
    /// As [`NurseryHandle::task`].
    #[track_caller]
    pub fn task<V: 'static, F>(self, fut: F) -> Result<TaskHandle<V>, Closed<F>>
    where
        F: Future<Output = Result<V, E>> + 'static,
    {
        self.into.task_called(self.name, fut)
    }
}

impl<N: fmt::Debug> fmt::Debug for Named<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Named").field("name", &self.name).field("into", &self.into).finish()
    }
}
