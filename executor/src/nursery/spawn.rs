//! How children come in: borrowed ones into the nursery's own future, static ones into the executor.
//!
//! ```text
//!   spawn(fut)        ─► Box ─► slot of this nursery, node in its hub     polled by the nursery's future
//!   spawn_static(fut) ─► Box, with its Gone ─► node of its own, flat      polled by the loop
//!   task(fut)         ─► spawn, and a cell its value comes home in
//! ```
//!
//! Rules:
//! * A child is first polled after `spawn` has returned.
//! * A child keeps the task-local values of the place where it was spawned, in a box around its own if there are any.
//! * Whatever panics on the way in, the nursery has the child or it has not: never half of it.

use super::Nursery;
use super::core::{Core, Outcome};
use super::flats::FlatKey;
use super::handle::{HandleCell, NurseryHandle, TaskHandle};
use super::start::OwnScope;
use crate::error::Failure;
use crate::locals::Inheriting;
use crate::panics::Payload;
use crate::runtime::{self, Runtime};
use crate::task::raw::{self, Attended};
use std::future::Future;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

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
        self.spawn_in(None, Box::pin(fut), Location::caller());
    }

    /// The same for a child that is boxed already: it is not put into a second box.
    ///
    /// # Panics
    ///
    /// If the nursery has ended (only a destructor can see that).
    #[track_caller]
    pub fn spawn_boxed(&'s self, fut: Pin<Box<dyn Future<Output = Result<(), E>> + 's>>) {
        self.spawn_in(None, fut, Location::caller());
    }

    /// Starts a child in a scope of its own, or in that of the children.
    #[track_caller]
    pub(super) fn spawn_in(
        &'s self,
        own: Option<Rc<OwnScope>>,
        fut: Pin<Box<dyn Future<Output = Result<(), E>> + 's>>,
        at: &'static Location<'static>,
    ) {
        self.core.require_open();
        // SAFETY: Borrowed Child. The future goes into `self.slots` and nowhere else; `slots` is in the frame of the
        // nursery's future, whose type carries 's; `poll_child`, called from that future's poll only, is the only
        // code that polls it; `TearDown`, in the same frame, drops it before the frame ends. If the frame is
        // leaked, so is the child: a waker holds a number, not a pointer.
        let child = unsafe { raw::erase(inheriting(fut)) };
        let mut slots = self.slots.borrow_mut();
        let slot = slots.next();
        let node = runtime::with(|rt| {
            let mut sched = rt.sched.borrow_mut();
            let inserted = sched.insert_borrowed(self.core.hub, slot, at);
            if let Some(own) = &own {
                let word = sched.word(inserted);
                own.word.set(Some(word));
                sched.set_starter(word, rt.task());
            }
            inserted
        });
        slots.put(slot, node, child, own);
    }

    /// Starts a `'static` child: a task of the executor, whose wake costs the same at any depth. The nursery waits
    /// for it and owns its error and its panic like any other child's.
    ///
    /// # Panics
    ///
    /// If the nursery has ended (only a destructor can see that).
    #[track_caller]
    pub fn spawn_static(&self, fut: impl Future<Output = Result<(), E>> + 'static) {
        self.core.require_open();
        spawn_flat(&self.core, fut);
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
        let cell = Rc::new(HandleCell::new());
        let home = HandleCell::way_home(&cell, &self.core);
        self.spawn(async move {
            let value = fut.await?;
            home.arrived(value);
            Ok(())
        });
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
    fn require_open(&self) {
        assert!(!self.closed.get(), "this nursery is closed: its body and its children have ended");
    }
}

/// Tells the nursery that a static child is gone, however it went.
struct Gone<E: Failure> {
    core: Rc<Core<E>>,
    /// Its place among the nursery's static children, until they are told.
    key: Option<FlatKey>,
}

impl<E: Failure> Gone<E> {
    /// The child has ended, and has been dropped.
    fn ended(&mut self, outcome: Outcome<(), E>, dropped: Result<(), Payload>) {
        let core = &self.core;
        if core.closed.get() {
            // It has dropped its own nursery from the poll in which it ended: the run is the next to be told.
            runtime::orphan_ended(outcome.map(|r| r.is_ok()));
            if let Err(payload) = dropped {
                runtime::orphan_ended(Err(payload));
            }
        } else {
            core.ended(runtime::is_cancelled(core.kids()), outcome);
            if let Err(payload) = dropped {
                core.panicked(payload);
            }
        }
        self.leave();
    }

    /// Off the nursery's list, and the nursery looks whether it was the last.
    fn leave(&mut self) {
        let Some(key) = self.key.take() else { return };
        self.core.flats.borrow_mut().remove(key);
        if !self.core.closed.get() {
            runtime::signal_hub(self.core.hub);
        }
    }
}

impl<E: Failure> Drop for Gone<E> {
    fn drop(&mut self) {
        if runtime::is_current_epoch(self.core.run) {
            self.leave();
        }
    }
}

/// A static child, stored once: polled in the scope of the children, with its end told to the nursery.
impl<E: Failure, F: Future<Output = Result<(), E>>> Future for Attended<F, Gone<E>> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let (mut future, gone) = self.parts();
        let polled = catch_unwind(AssertUnwindSafe(|| {
            let child = future.as_mut().as_pin_mut().expect("polled until it has ended");
            runtime::with(|rt| {
                let _inside = rt.enter_as_is(gone.core.kids());
                child.poll(cx)
            })
        }));
        let outcome = match polled {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(r)) => Ok(r),
            Err(payload) => Err(payload),
        };
        // Its destructors stand where its code stood, and a panic of theirs is a failure of the child as well.
        let dropped = catch_unwind(AssertUnwindSafe(|| {
            runtime::with(|rt| {
                let _inside = rt.enter_as_is(gone.core.kids());
                future.set(None);
            });
        }));
        gone.ended(outcome, dropped);
        Poll::Ready(())
    }
}

#[track_caller]
pub(super) fn spawn_flat<E: Failure + 'static>(
    core: &Rc<Core<E>>,
    fut: impl Future<Output = Result<(), E>> + 'static,
) {
    let word = runtime::reserve_flat(core.hub, Location::caller());
    let key = core.flats.borrow_mut().insert(word);
    let gone = Gone { core: Rc::clone(core), key: Some(key) };
    runtime::fill_flat(word, inheriting(Box::pin(Attended::new(fut, gone))));
}

/// A child with the task-local values of the place where it is spawned; as it is if there are none.
fn inheriting<'s, T: 's>(
    child: Pin<Box<dyn Future<Output = T> + 's>>,
) -> Pin<Box<dyn Future<Output = T> + 's>> {
    match runtime::with(Runtime::inherited) {
        None => child,
        Some(locals) => Box::pin(Inheriting { locals, future: child }),
    }
}
