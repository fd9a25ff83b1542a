//! How children come in: borrowed ones into the nursery's own future, static ones into the executor.
//!
//! ```text
//!   spawn(fut)        ─► Box ─► slot of this nursery, node in its hub     polled by the nursery's future
//!   spawn_static(fut) ─► Box ─► node of its own, flat                     polled by the loop
//!   task(fut)         ─► spawn, and a cell its value comes home in
//! ```
//!
//! A child is first polled after `spawn` has returned.

use super::core::{Core, Outcome};
use super::handle::{HandleCell, NurseryHandle, TaskHandle};
use super::start::OwnScope;
use super::{Nursery, Slot};
use crate::error::Failure;
use crate::runtime;
use crate::task::raw;
use crate::task::word::Word;
use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

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
        self.spawn_in(None, fut);
    }

    /// Starts a child in a scope of its own, or in that of the children.
    #[track_caller]
    pub(super) fn spawn_in(
        &'s self,
        own: Option<Rc<OwnScope>>,
        fut: impl Future<Output = Result<(), E>> + 's,
    ) {
        self.core.require_open();
        // SAFETY: Borrowed Child. The future goes into `self.slots` and nowhere else; `slots` is in the frame of the
        // nursery's future, whose type carries 's; `poll_child`, called from that future's poll only, is the only
        // code that polls it; `TearDown`, in the same frame, drops it before the frame ends. If the frame is
        // leaked, so is the child: a waker holds a number, not a pointer.
        let child = unsafe { raw::erase(Box::pin(fut)) };
        let mut slots = self.slots.borrow_mut();
        let slot = slots.reserve();
        let word = runtime::with(|rt| {
            let word = rt.sched.borrow_mut().insert_borrowed(self.core.hub, slot);
            rt.wake_word(word);
            word
        });
        slots.all[slot as usize] = Slot::Full { word, own, child };
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
        let home = HandleCell::way_home(&cell, self.core.kids());
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
    key: usize,
    outcome: Cell<Option<Outcome<(), E>>>,
}

impl<E: Failure> Drop for Gone<E> {
    fn drop(&mut self) {
        if !runtime::is_current_epoch(self.core.run) {
            return;
        }
        let _ = self.core.flats.borrow_mut().try_remove(self.key);
        match self.outcome.take() {
            // It has dropped its own nursery from the poll in which it ended: the run is the next to be told.
            Some(outcome) if self.core.closed.get() => runtime::orphan_ended(outcome.map(|r| r.is_ok())),
            Some(outcome) => self.core.ended(runtime::is_cancelled(self.core.kids()), outcome),
            None => {}
        }
        if !self.core.closed.get() {
            runtime::signal_hub(self.core.hub);
        }
    }
}

pub(super) fn spawn_flat<E: Failure + 'static>(
    core: &Rc<Core<E>>,
    fut: impl Future<Output = Result<(), E>> + 'static,
) {
    let key = core.flats.borrow_mut().insert(Word::from_bits(0));
    let gone = Gone { core: Rc::clone(core), key, outcome: Cell::new(None) };
    let kids = core.kids();
    let word = runtime::spawn_flat(Box::pin(async move {
        let gone = gone;
        let mut fut = pin!(Some(fut));
        let outcome = poll_fn(|cx| {
            let child = fut.as_mut().as_pin_mut().expect("polled until it has ended");
            match catch_unwind(AssertUnwindSafe(|| {
                let _inside = runtime::enter_as_is(kids);
                child.poll(cx)
            })) {
                Ok(Poll::Pending) => Poll::Pending,
                Ok(Poll::Ready(r)) => Poll::Ready(Ok(r)),
                Err(payload) => Poll::Ready(Err(payload)),
            }
        })
        .await;
        // A panic of the child's destructors is a failure of the child as well.
        let dropped = catch_unwind(AssertUnwindSafe(|| fut.set(None)));
        gone.outcome.set(Some(match (outcome, dropped) {
            (Ok(_), Err(payload)) => Err(payload),
            (outcome, _) => outcome,
        }));
    }));
    core.flats.borrow_mut()[key] = word;
}
