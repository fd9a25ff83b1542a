//! How children come in: borrowed ones into the nursery's own future, static ones into the executor.
//!
//! ```text
//!   spawn(fut)        ─► Box ─► a node in the nursery's hub       polled by the nursery's future
//!   spawn_static(fut) ─► Box ─► a node in the run queue           polled by the loop
//!   task(fut)         ─► spawn, and a cell its value comes home in
//! ```
//!
//! Rules:
//! * A child is first polled after `spawn` has returned.
//! * A child keeps the task-local values of the place where it was spawned, in a box around its own if there are any.
//! * Whatever panics on the way in, the nursery has the child or it has not: never half of it.

use super::Nursery;
use super::core::Core;
use super::handle::{HandleCell, NurseryHandle, TaskHandle};
use super::named::Label;
use crate::error::Failure;
use crate::locals::Inheriting;
use crate::runtime::{self, Runtime};
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::rc::Rc;

impl<'s, E: Failure + 'static> Nursery<'s, '_, E> {
    /// Starts a child that may borrow anything that outlives the nursery, and the nursery itself.
    ///
    /// It lives in the nursery's own future: its wake costs a little for every nursery between it and its task.
    /// In a nursery that is cancelled already it still runs up to its first checkpoint.
    ///
    /// # Panics
    ///
    /// If the nursery has ended (only a destructor can see that).
    #[track_caller]
    pub fn spawn(&'s self, fut: impl Future<Output = Result<(), E>> + 's) {
        self.spawn_in((), None, Box::pin(fut), Location::caller());
    }

    /// The same for a child that is boxed already: it is not put into a second box.
    ///
    /// # Panics
    ///
    /// If the nursery has ended (only a destructor can see that).
    #[track_caller]
    pub fn spawn_boxed(&'s self, fut: Pin<Box<dyn Future<Output = Result<(), E>> + 's>>) {
        self.spawn_in((), None, fut, Location::caller());
    }

    /// Starts a `'static` child: a task of the executor, whose wake costs the same at any depth. The nursery waits
    /// for it and owns its error and its panic like any other child's.
    ///
    /// # Panics
    ///
    /// If the nursery has ended (only a destructor can see that).
    #[track_caller]
    pub fn spawn_static(&self, fut: impl Future<Output = Result<(), E>> + 'static) {
        self.core.spawn_static((), Box::pin(fut), Location::caller());
    }

    /// The same for a child that is boxed already: it is not put into a second box.
    ///
    /// # Panics
    ///
    /// If the nursery has ended (only a destructor can see that).
    ///
    /// ```
    /// use pleach_executor::{Cancelled, checkpoint, nursery, run};
    /// use std::pin::Pin;
    /// type Child = Pin<Box<dyn Future<Output = Result<(), Cancelled>>>>;
    /// let children: Vec<Child> = vec![Box::pin(checkpoint()), Box::pin(async { Ok(()) })];
    /// let r: Result<(), Cancelled> = run(nursery(async |n| {
    ///     children.into_iter().for_each(|child| n.spawn_static_boxed(child));
    ///     Ok(())
    /// }));
    /// r.unwrap();
    /// ```
    #[track_caller]
    pub fn spawn_static_boxed(&self, fut: Pin<Box<dyn Future<Output = Result<(), E>>>>) {
        self.core.spawn_static((), fut, Location::caller());
    }

    /// Starts a child whose value comes back: the handle's await gives it.
    ///
    /// The child's error goes to the nursery, once; the handle of a child that failed gives `Cancelled` with the
    /// reason `SiblingFailed`. Dropping the handle leaves the child running.
    ///
    /// # Panics
    ///
    /// If the nursery has ended (only a destructor can see that).
    #[track_caller]
    pub fn task<V: 's>(&'s self, fut: impl Future<Output = Result<V, E>> + 's) -> TaskHandle<V> {
        self.task_called((), fut)
    }

    #[track_caller]
    pub(super) fn task_called<V: 's>(
        &'s self,
        name: impl Label,
        fut: impl Future<Output = Result<V, E>> + 's,
    ) -> TaskHandle<V> {
        let cell = Rc::new(HandleCell::new());
        let home = HandleCell::way_home(&cell, &self.core);
        let child = async move {
            let value = fut.await?;
            home.arrived(value);
            Ok(())
        };
        self.spawn_in(name, None, Box::pin(child), Location::caller());
        TaskHandle::new(cell)
    }

    /// A `'static` handle, to spawn static children from elsewhere on this thread for as long as the nursery is open.
    #[must_use]
    pub fn handle(&self) -> NurseryHandle<E> {
        NurseryHandle::new(&self.core)
    }
}

impl<E> Core<E> {
    #[track_caller]
    pub(super) fn require_open(&self) {
        assert!(!self.closed.get(), "this nursery is closed: its body and its children have ended");
    }
}

/// A child with the task-local values of the place where it is spawned; as it is if there are none.
pub(super) fn inheriting<'s, T: 's>(
    child: Pin<Box<dyn Future<Output = T> + 's>>,
) -> Pin<Box<dyn Future<Output = T> + 's>> {
    match runtime::with(Runtime::inherited) {
        None => child,
        Some(locals) => Box::pin(Inheriting { locals, future: child }),
    }
}
