//! One shared resource: how far it is, who uses it, and who waits for its end.
//!
//! ```text
//!            hold            the last user leaves           the task ends
//!   Opening ─────► Open(v) ───────────────────────► Closing ─────────────► Over(how it ended)
//!      └───────────────│── the home is cancelled ──────▲                       ▲
//!                      └── or the task ends by itself ─────────────────────────┘
//! ```
//!
//! Rules:
//! * **Stay**: every user has one, the opener from the beginning; however it goes, the count is right. The last one to go
//!   releases the task.
//! * An error is kept here only if somebody waits for it (`awaited`); else it is the home nursery's.

use crate::cancel::{Reason, ScopeHandle};
use crate::error::Cancelled;
use crate::sync::Event;
use std::cell::{Cell, RefCell};
use std::rc::Rc;

enum Phase<V, E> {
    Opening,
    Open(Rc<V>),
    Closing,
    Over(End<E>),
}

/// How the task that holds a resource ended.
pub(super) enum End<E> {
    Well,
    /// With an error that somebody waits for.
    Failed(E),
    /// Cancelled, panicked, dropped, or failed with nobody to tell: its nursery knows.
    Cut(Reason),
}

pub(super) struct Entry<V, E> {
    phase: RefCell<Phase<V, E>>,
    users: Cell<usize>,
    /// Does somebody wait for the opening, or for the end?
    awaited: Cell<bool>,
    unused: Event,
    /// Was it ever open?
    held: Cell<bool>,
    /// Around the task that opens it.
    scope: RefCell<Option<ScopeHandle>>,
}

/// What one finds who comes.
pub(super) enum Found<V, E> {
    /// It is open.
    Open(Stay<V, E>),
    /// It is one's own to open.
    Vacant(Stay<V, E>),
}

/// One use of a resource.
pub(super) struct Stay<V, E>(Option<Rc<Entry<V, E>>>);

impl<V, E> Entry<V, E> {
    pub(super) fn users(&self) -> usize {
        self.users.get()
    }

    /// One more user, if it is open.
    pub(super) fn enter(self: &Rc<Self>) -> Option<Stay<V, E>> {
        self.is_open().then(|| {
            self.users.set(self.users.get() + 1);
            Stay(Some(Rc::clone(self)))
        })
    }

    pub(super) fn opened_in(&self, scope: ScopeHandle) {
        self.scope.replace(Some(scope));
    }

    /// From here on it is for everybody, and its error is not the opener's.
    pub(super) fn open(&self, value: Rc<V>) {
        self.phase.replace(Phase::Open(value));
        self.held.set(true);
        self.awaited.set(false);
    }

    pub(super) async fn wait_for_users(&self) -> Result<(), Cancelled> {
        self.unused.wait().await
    }

    /// Nobody new gets it.
    pub(super) fn close(&self) {
        let before = self.phase.replace(Phase::Closing);
        drop(before);
    }

    /// The task has ended.
    pub(super) fn end(&self, end: End<E>) {
        let before = self.phase.replace(Phase::Over(end));
        drop(before);
    }

    pub(super) fn is_open(&self) -> bool {
        matches!(*self.phase.borrow(), Phase::Open(_))
    }

    /// Is it open, or over?
    pub(super) fn is_settled(&self) -> bool {
        matches!(*self.phase.borrow(), Phase::Open(_) | Phase::Over(_))
    }

    pub(super) fn is_awaited(&self) -> bool {
        self.awaited.get()
    }

    pub(super) fn set_awaited(&self, awaited: bool) {
        self.awaited.set(awaited);
    }

    pub(super) fn was_held(&self) -> bool {
        self.held.get()
    }

    /// How it ended, if it has. An error is taken.
    pub(super) fn take_end(&self) -> Option<End<E>> {
        match &mut *self.phase.borrow_mut() {
            Phase::Over(end) => Some(std::mem::replace(end, End::Well)),
            _ => None,
        }
    }

    /// One user less. Is it the last one of a resource that has yet to end?
    fn leave(&self) -> bool {
        self.users.set(self.users.get() - 1);
        if self.users.get() > 0 {
            return false;
        }
        if self.is_open() {
            self.close();
            self.unused.set();
        }
        matches!(*self.phase.borrow(), Phase::Closing)
    }

    /// The opener has gone without waiting.
    fn give_up(&self) {
        self.awaited.set(false);
        if matches!(*self.phase.borrow(), Phase::Opening)
            && let Some(scope) = self.scope.take()
        {
            scope.cancel();
        }
    }
}

impl<V, E> Stay<V, E> {
    /// The first one, of a resource that is being opened.
    pub(super) fn opening() -> Self {
        Stay(Some(Rc::new(Entry {
            phase: RefCell::new(Phase::Opening),
            users: Cell::new(1),
            awaited: Cell::new(true),
            unused: Event::new(),
            held: Cell::new(false),
            scope: RefCell::new(None),
        })))
    }

    pub(super) fn entry(&self) -> &Rc<Entry<V, E>> {
        self.0.as_ref().expect("there until it leaves")
    }

    pub(super) fn value(&self) -> Rc<V> {
        match &*self.entry().phase.borrow() {
            Phase::Open(value) => Rc::clone(value),
            _ => unreachable!("a stay begins in a resource that is open"),
        }
    }

    /// Goes. `true`: as the last one, of a resource that has yet to end.
    pub(super) fn leave(mut self) -> bool {
        self.0.take().is_some_and(|entry| entry.leave())
    }
}

impl<V, E> Drop for Stay<V, E> {
    fn drop(&mut self) {
        if let Some(entry) = self.0.take() {
            entry.give_up();
            entry.leave();
        }
    }
}
