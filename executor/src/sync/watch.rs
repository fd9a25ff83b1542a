//! A value that is watched: receivers see the latest one, and may skip what was there in between.
//!
//! ```text
//!   send(a) send(b) send(c) ─► value: c, version 3      get() ─► c
//!                                  ▲ changed() ─► newer than what this receiver has seen? c │ else wait
//! ```
//!
//! Rules:
//! * A value is a state, not a message: it is kept for who subscribes later, whether or not anybody watches now.
//! * Values are handed out as [`Rc`]: who reads one holds up nobody, and may keep it across an await.
//! * An end closes when its last handle is dropped.

#[cfg(feature = "stream")]
mod items;

use crate::error::Cancelled;
use crate::parking::ParkingLot;
use std::cell::{Cell, RefCell};
use std::error::Error;
use std::fmt;
use std::rc::Rc;

struct Shared<T> {
    value: RefCell<Rc<T>>,
    version: Cell<u64>,
    senders: Cell<usize>,
    receivers: Cell<usize>,
    /// Receivers that wait for a change.
    changes: ParkingLot,
    /// Senders that wait for everybody to have gone.
    departures: ParkingLot,
}

impl<T> Shared<T> {
    fn get(&self) -> Rc<T> {
        Rc::clone(&self.value.borrow())
    }
}

/// Opens a watched value. The receiver has seen the first one.
///
/// ```
/// use pleach_executor::{Cancelled, nursery, run, sync::watch};
/// let r: Result<(), Cancelled> = run(nursery(async |n| {
///     let (tx, rx) = watch::channel("starting");
///     n.spawn(async move {
///         tx.send("ready");
///         tx.send("busy");
///         Ok(())
///     });
///     assert_eq!(*rx.get(), "starting");
///     assert_eq!(*rx.changed().await?.unwrap(), "busy");
///     assert!(rx.changed().await?.is_err());            // the sender is gone
///     Ok(())
/// }));
/// r.unwrap();
/// ```
#[must_use]
pub fn channel<T>(first: T) -> (Sender<T>, Receiver<T>) {
    let shared = Rc::new(Shared {
        value: RefCell::new(Rc::new(first)),
        version: Cell::new(0),
        senders: Cell::new(1),
        receivers: Cell::new(0),
        changes: ParkingLot::new(),
        departures: ParkingLot::new(),
    });
    let sender = Sender { shared };
    let receiver = sender.subscribe();
    (sender, receiver)
}

/// Where the value is set. Clones are handles of their own.
pub struct Sender<T> {
    shared: Rc<Shared<T>>,
}

/// Where the value is watched. A clone has seen what the original has.
pub struct Receiver<T> {
    shared: Rc<Shared<T>>,
    /// The newest version it was given.
    seen: Cell<u64>,
}

/// Why there is nothing to wait for any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WatchError {
    /// Every sender is gone, and the last value has been seen. [`Receiver::get`] still gives it.
    End,
}

impl<T> Sender<T> {
    /// Sets the value, and wakes who waits for a change.
    pub fn send(&self, value: T) {
        let before = self.shared.value.replace(Rc::new(value));
        self.shared.version.set(self.shared.version.get() + 1);
        self.shared.changes.unpark_all();
        drop(before);
    }

    /// Sets the value to what `change` makes of the present one.
    pub fn update(&self, change: impl FnOnce(&T) -> T) {
        self.send(change(&self.shared.get()));
    }

    /// The present value.
    #[must_use]
    pub fn get(&self) -> Rc<T> {
        self.shared.get()
    }

    /// One more receiver, which has seen the present value.
    #[must_use]
    pub fn subscribe(&self) -> Receiver<T> {
        self.shared.receivers.set(self.shared.receivers.get() + 1);
        Receiver { shared: Rc::clone(&self.shared), seen: self.shared.version.clone() }
    }

    /// How many receivers there are.
    #[must_use]
    pub fn receivers(&self) -> usize {
        self.shared.receivers.get()
    }

    /// Waits until nobody watches.
    ///
    /// # Cancellation
    ///
    /// A checkpoint always; Strict.
    ///
    /// # Errors
    ///
    /// [`Cancelled`] if the scope around the call is cancelled.
    pub async fn unwatched(&self) -> Result<(), Cancelled> {
        self.shared.departures.until(|| (self.receivers() == 0).then_some(())).await
    }
}

impl<T> Receiver<T> {
    /// The present value. It counts as seen or not as before.
    #[must_use]
    pub fn get(&self) -> Rc<T> {
        self.shared.get()
    }

    /// Is the present value newer than what this receiver has seen?
    #[must_use]
    pub fn has_changed(&self) -> bool {
        self.seen.get() < self.shared.version.get()
    }

    /// Waits for a value that is newer than what this receiver has seen, and gives the latest.
    ///
    /// # Cancellation
    ///
    /// A checkpoint always; Strict: a cancelled wait has seen nothing.
    ///
    /// # Errors
    ///
    /// Outside: [`Cancelled`] if the scope around the call is cancelled. Inside: [`WatchError`].
    pub async fn changed(&self) -> Result<Result<Rc<T>, WatchError>, Cancelled> {
        self.shared.changes.until(|| self.look()).await
    }

    fn look(&self) -> Option<Result<Rc<T>, WatchError>> {
        if self.has_changed() {
            return Some(Ok(self.see()));
        }
        (self.shared.senders.get() == 0).then_some(Err(WatchError::End))
    }

    /// Waits until the value is one that `wanted` accepts, and gives it: the present one, or one that comes.
    ///
    /// `wanted` is asked about the latest value only, and at any time.
    ///
    /// # Cancellation
    ///
    /// As [`changed`](Receiver::changed).
    ///
    /// # Errors
    ///
    /// As [`changed`](Receiver::changed): `End` if the last value of all is not accepted.
    pub async fn wait_for(
        &self,
        mut wanted: impl FnMut(&T) -> bool,
    ) -> Result<Result<Rc<T>, WatchError>, Cancelled> {
        let look = || {
            if wanted(&self.get()) {
                return Some(Ok(self.see()));
            }
            (self.shared.senders.get() == 0).then_some(Err(WatchError::End))
        };
        self.shared.changes.until(look).await
    }

    fn see(&self) -> Rc<T> {
        self.seen.set(self.shared.version.get());
        self.get()
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.shared.senders.set(self.shared.senders.get() + 1);
        Sender { shared: Rc::clone(&self.shared) }
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Self {
        self.shared.receivers.set(self.shared.receivers.get() + 1);
        Receiver { shared: Rc::clone(&self.shared), seen: self.seen.clone() }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.shared.senders.set(self.shared.senders.get() - 1);
        if self.shared.senders.get() == 0 {
            self.shared.changes.unpark_all();
        }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.shared.receivers.set(self.shared.receivers.get() - 1);
        if self.shared.receivers.get() == 0 {
            self.shared.departures.unpark_all();
        }
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("receivers", &self.receivers()).finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").field("has_changed", &self.has_changed()).finish_non_exhaustive()
    }
}

impl fmt::Display for WatchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("every sender is gone and the last value has been seen")
    }
}

impl Error for WatchError {}
