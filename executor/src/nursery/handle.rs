//! Handles: the way home of one child's value, and a way into a nursery from elsewhere on the thread.

use super::core::Core;
use super::named::Label;
use crate::cancel::Reason;
use crate::checkpoint::Wait;
use crate::error::{Cancelled, Failure};
use crate::runtime;
use crate::waits::Waits;
use std::cell::RefCell;
use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker};

/// How far a child with a way home has come.
enum Home<V> {
    Running(Option<Waker>),
    Arrived(V),
    /// Ended without a value, or the value has been taken.
    Empty(Reason),
}

pub(super) struct HandleCell<V>(RefCell<Home<V>>);

/// The child's end: however the child goes, whoever waits hears of it.
pub(super) struct WayHome<V, E: Failure> {
    cell: Rc<HandleCell<V>>,
    core: Rc<Core<E>>,
}

impl<V> HandleCell<V> {
    pub(super) fn new() -> Self {
        HandleCell(RefCell::new(Home::Running(None)))
    }

    pub(super) fn way_home<E: Failure>(cell: &Rc<Self>, core: &Rc<Core<E>>) -> WayHome<V, E> {
        WayHome { cell: Rc::clone(cell), core: Rc::clone(core) }
    }

    fn end(&self, with: Home<V>) {
        let before = {
            let mut home = self.0.borrow_mut();
            if !matches!(*home, Home::Running(_)) {
                return;
            }
            std::mem::replace(&mut *home, with)
        };
        if let Home::Running(Some(waker)) = before {
            waker.wake();
        }
    }
}

impl<V, E: Failure> WayHome<V, E> {
    pub(super) fn arrived(self, value: V) {
        self.cell.end(Home::Arrived(value));
    }
}

impl<V, E: Failure> Drop for WayHome<V, E> {
    fn drop(&mut self) {
        let reason = self.core.kids_reason().unwrap_or(Reason::SiblingFailed);
        self.cell.end(Home::Empty(reason));
    }
}

/// The way home of a child's value: made by `Nursery::task`, awaited for `Result<V, Cancelled>`.
///
/// # Cancellation
///
/// A checkpoint always; Strict: the value stays for the next await of the same handle.
///
/// ```
/// use pleach_executor::{Cancelled, checkpoint, nursery, run};
/// let r: Result<i32, Cancelled> = run(nursery(async |n| {
///     let a = n.task(async { checkpoint().await?; Ok(3) });
///     let b = n.task(async { Ok(4) });
///     Ok(a.await? + b.await?)
/// }));
/// assert_eq!(r.unwrap(), 7);
/// ```
#[must_use = "dropping the handle leaves the child running, and its value goes nowhere: use spawn for that"]
pub struct TaskHandle<V> {
    cell: Rc<HandleCell<V>>,
    wait: Wait,
}

impl<V> TaskHandle<V> {
    pub(super) fn new(cell: Rc<HandleCell<V>>) -> Self {
        TaskHandle { cell, wait: Wait::on(Waits::Child) }
    }

    /// Has the child ended?
    #[must_use]
    pub fn is_ended(&self) -> bool {
        !matches!(*self.cell.0.borrow(), Home::Running(_))
    }
}

impl<V> Unpin for TaskHandle<V> {}

impl<V> Future for TaskHandle<V> {
    type Output = Result<V, Cancelled>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let me = &mut *self;
        let cell = &me.cell;
        let polled = me.wait.poll(cx, |cx| {
            // Cloned before the cell is borrowed, and the one before dropped after: a foreign waker may do anything.
            let own = cx.waker().clone();
            let mut home = cell.0.borrow_mut();
            match &mut *home {
                Home::Running(waker) => {
                    let before = waker.replace(own);
                    drop(home);
                    drop(before);
                    Poll::Pending
                }
                Home::Empty(reason) => Poll::Ready(Err(Cancelled::mint(reason.clone()))),
                Home::Arrived(_) => {
                    match std::mem::replace(&mut *home, Home::Empty(Reason::Requested { by: None })) {
                        Home::Arrived(v) => Poll::Ready(Ok(v)),
                        _ => unreachable!("just matched"),
                    }
                }
            }
        });
        match polled {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(r)) => Poll::Ready(r),
            Poll::Ready(Err(c)) => Poll::Ready(Err(c)),
        }
    }
}

impl<V> fmt::Debug for TaskHandle<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskHandle").field("ended", &self.is_ended()).finish()
    }
}

/// A weak, `'static` way into a nursery: spawn static children, or cancel them, while it is open.
pub struct NurseryHandle<E>(Weak<Core<E>>);

/// The nursery has ended; the future comes back unpolled.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Closed<F>(pub F);

impl<E: Failure + 'static> NurseryHandle<E> {
    pub(super) fn new(core: &Rc<Core<E>>) -> Self {
        NurseryHandle(Rc::downgrade(core))
    }

    fn core(&self) -> Option<Rc<Core<E>>> {
        self.0.upgrade().filter(|core| !core.closed.get())
    }

    /// Starts a static child in the nursery: see `Nursery::spawn_static`.
    ///
    /// # Errors
    ///
    /// [`Closed`] with the future if the nursery has ended.
    ///
    /// # Panics
    ///
    /// If the nursery belongs to another run.
    #[track_caller]
    pub fn spawn<F: Future<Output = Result<(), E>> + 'static>(&self, fut: F) -> Result<(), Closed<F>> {
        self.spawn_called((), fut)
    }

    #[track_caller]
    pub(super) fn spawn_called<F: Future<Output = Result<(), E>> + 'static>(
        &self,
        name: impl Label,
        fut: F,
    ) -> Result<(), Closed<F>> {
        let Some(core) = self.core() else { return Err(Closed(fut)) };
        runtime::require_run(core.run, "nursery handle");
        core.spawn_static(name, Box::pin(fut), Location::caller());
        Ok(())
    }

    /// Starts a static child whose value comes back: see `Nursery::task`.
    ///
    /// # Errors
    ///
    /// [`Closed`] with the future if the nursery has ended.
    ///
    /// # Panics
    ///
    /// If the nursery belongs to another run.
    #[track_caller]
    pub fn task<V: 'static, F>(&self, fut: F) -> Result<TaskHandle<V>, Closed<F>>
    where
        F: Future<Output = Result<V, E>> + 'static,
    {
        self.task_called((), fut)
    }

    #[track_caller]
    pub(super) fn task_called<V: 'static, F>(
        &self,
        name: impl Label,
        fut: F,
    ) -> Result<TaskHandle<V>, Closed<F>>
    where
        F: Future<Output = Result<V, E>> + 'static,
    {
        let Some(core) = self.core() else { return Err(Closed(fut)) };
        let cell = Rc::new(HandleCell::new());
        let home = HandleCell::way_home(&cell, &core);
        runtime::require_run(core.run, "nursery handle");
        let child = async move {
            home.arrived(fut.await?);
            Ok(())
        };
        core.spawn_static(name, Box::pin(child), Location::caller());
        Ok(TaskHandle::new(cell))
    }

    /// Cancels the children: see `Nursery::cancel`. Nothing happens if the nursery has ended.
    ///
    /// # Panics
    ///
    /// If the nursery belongs to another run.
    #[track_caller]
    pub fn cancel(&self) {
        if let Some(core) = self.core() {
            runtime::require_run(core.run, "nursery handle");
            let by = runtime::with(runtime::Runtime::task);
            runtime::cancel(core.kids_apart(), Reason::Requested { by });
        }
    }

    /// Is the nursery still open?
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.core().is_some()
    }
}

impl<E> Clone for NurseryHandle<E> {
    fn clone(&self) -> Self {
        NurseryHandle(Weak::clone(&self.0))
    }
}

impl<E> fmt::Debug for NurseryHandle<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NurseryHandle")
            .field("open", &self.0.upgrade().is_some_and(|c| !c.closed.get()))
            .finish()
    }
}

impl<F> fmt::Debug for Closed<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Closed(..)")
    }
}

impl<F> fmt::Display for Closed<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the nursery has ended: its body and its children are over")
    }
}

impl<F> std::error::Error for Closed<F> {}
