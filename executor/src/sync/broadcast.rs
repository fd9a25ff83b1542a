//! A channel in which every receiver gets every item, and who is too slow is told how much it missed.
//!
//! ```text
//!   send ─► [ 7 ][ 8 ][ 9 ]  the last `capacity` items, each until all have it
//!             ▲         ▲
//!             a         b    cursors: where each receiver is        send into a full one: 7 goes, a has missed one
//! ```
//!
//! Rules:
//! * A sender never waits. A receiver that falls behind by more than `capacity` items loses the oldest, and is told how
//!   many, once, before it gets the next ([`ReceiveError::Lagged`]).
//! * Every receiver has a cursor of its own: what one takes, or fails to take because it was cancelled, is nothing to
//!   the others.
//! * A clone of a receiver starts where the original is; one by [`Sender::subscribe`] sees what is sent from then on.
//! * Own side closed is `Closed`, the other side gone is `Broken` or `End`; and own wins.
//! * Items are cloned and dropped outside every borrow. The last receiver to take an item gets it uncloned.

mod core;
mod error;
#[cfg(feature = "stream")]
mod items;

pub use self::core::BroadcastStats;
pub use super::channel::SendError;
#[cfg(feature = "stream")]
pub use error::Lagged;
pub use error::{ReceiveError, TryReceiveError};

use self::core::Core;
use crate::error::Cancelled;
use crate::parking::ParkingLot;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;

struct Shared<T> {
    core: RefCell<Core<T>>,
    /// Receivers that wait for an item. Each looks for itself: see `parking/until.rs`.
    lot: ParkingLot,
}

/// Opens a channel that keeps the last `capacity` items for those who have not received them yet.
///
/// # Panics
///
/// If `capacity` is zero: no receiver could ever get anything.
///
/// ```
/// use pleach_executor::{Cancelled, run, sync::broadcast::{self, ReceiveError}};
/// let r: Result<(), Cancelled> = run(async {
///     let (tx, fast) = broadcast::channel(2);
///     let slow = fast.clone();
///     for i in 0..3 {
///         tx.send(i).unwrap();
///         assert_eq!(fast.receive().await?, Ok(i));
///     }
///     assert_eq!(slow.receive().await?, Err(ReceiveError::Lagged { missed: 1 }));
///     assert_eq!(slow.receive().await?, Ok(1));
///     drop(tx);
///     assert_eq!(slow.receive().await?, Ok(2));
///     assert_eq!(slow.receive().await?, Err(ReceiveError::End));
///     Ok(())
/// });
/// r.unwrap();
/// ```
#[must_use]
#[track_caller]
pub fn channel<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    assert!(capacity > 0, "a broadcast channel keeps items for its receivers: give it room for one or more");
    let shared = Rc::new(Shared { core: RefCell::new(Core::new(capacity)), lot: ParkingLot::new() });
    let sender = Sender { shared, open: Cell::new(true) };
    let receiver = sender.subscribe();
    (sender, receiver)
}

/// The sending end. Clones are handles of their own; the end closes with the last of them.
pub struct Sender<T> {
    shared: Rc<Shared<T>>,
    open: Cell<bool>,
}

/// A receiver with a cursor of its own.
pub struct Receiver<T> {
    shared: Rc<Shared<T>>,
    /// The number of the item it gets next; counted in `core` as long as it is open.
    cursor: Cell<u64>,
    open: Cell<bool>,
}

impl<T> Sender<T> {
    /// Sends an item to every receiver that is open now. Never waits.
    ///
    /// # Errors
    ///
    /// [`SendError`] with the item: `Closed` if this handle is, `Broken` if there is no receiver now.
    pub fn send(&self, item: T) -> Result<(), SendError<T>> {
        if !self.open.get() {
            return Err(SendError::Closed(item));
        }
        let missed = match self.shared.core.borrow_mut().send(item) {
            Ok(missed) => missed,
            Err(item) => return Err(SendError::Broken(item)),
        };
        self.shared.lot.unpark_all();
        drop(missed);
        Ok(())
    }

    /// A receiver of what is sent from now on. Also after all others are gone.
    #[must_use]
    pub fn subscribe(&self) -> Receiver<T> {
        let cursor = self.shared.core.borrow_mut().subscribe();
        Receiver { shared: Rc::clone(&self.shared), cursor: Cell::new(cursor), open: Cell::new(true) }
    }

    /// Closes this handle: sends on it fail with `Closed`. With the last one the receivers come to the end, when they
    /// have received what is there. Again does nothing. Dropping closes.
    pub fn close(&self) {
        if self.open.replace(false) && self.shared.core.borrow_mut().close_sender() {
            self.shared.lot.unpark_all();
        }
    }

    /// What there is of the channel.
    #[must_use]
    pub fn stats(&self) -> BroadcastStats {
        self.shared.core.borrow().stats(self.shared.lot.len())
    }
}

impl<T> Receiver<T> {
    /// Receives the next item, waiting for one.
    ///
    /// # Cancellation
    ///
    /// A checkpoint always; Strict: a cancelled or dropped receive has taken nothing.
    ///
    /// # Errors
    ///
    /// Outside: [`Cancelled`] if the scope around the call is cancelled. Inside: [`ReceiveError`].
    pub async fn receive(&self) -> Result<Result<T, ReceiveError>, Cancelled>
    where
        T: Clone,
    {
        Ok(self.shared.lot.until(|| self.look()).await?.map(Rc::unwrap_or_clone))
    }

    /// Receives the next item if one is there.
    ///
    /// # Errors
    ///
    /// [`TryReceiveError`].
    pub fn try_receive(&self) -> Result<T, TryReceiveError>
    where
        T: Clone,
    {
        match self.look() {
            Some(Ok(item)) => Ok(Rc::unwrap_or_clone(item)),
            Some(Err(e)) => Err(e.into()),
            None => Err(TryReceiveError::WouldBlock),
        }
    }

    /// What a receive comes to, unless it has to wait.
    fn look(&self) -> Option<Result<Rc<T>, ReceiveError>> {
        if !self.open.get() {
            return Some(Err(ReceiveError::Closed));
        }
        let mut cursor = self.cursor.get();
        let found = self.shared.core.borrow_mut().receive(&mut cursor);
        self.cursor.set(cursor);
        found
    }

    /// Closes this handle: receives on it fail with `Closed`, also those that wait. Items that nobody else has yet to
    /// receive are dropped. Again does nothing. Dropping closes.
    pub fn close(&self) {
        if self.open.replace(false) {
            let items = self.shared.core.borrow_mut().close_receiver(self.cursor.get());
            self.shared.lot.unpark_all();
            drop(items);
        }
    }

    /// What there is of the channel.
    #[must_use]
    pub fn stats(&self) -> BroadcastStats {
        self.shared.core.borrow().stats(self.shared.lot.len())
    }
}

impl<T> Clone for Sender<T> {
    /// A handle of its own; of a closed one it is closed as well.
    fn clone(&self) -> Self {
        if self.open.get() {
            self.shared.core.borrow_mut().open_sender();
        }
        Sender { shared: Rc::clone(&self.shared), open: self.open.clone() }
    }
}

impl<T> Clone for Receiver<T> {
    /// A receiver of its own that gets what this one has not received yet; of a closed one it is closed as well.
    fn clone(&self) -> Self {
        if self.open.get() {
            self.shared.core.borrow_mut().open_receiver(self.cursor.get());
        }
        Receiver { shared: Rc::clone(&self.shared), cursor: self.cursor.clone(), open: self.open.clone() }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.close();
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.close();
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("open", &self.open.get()).field("channel", &self.stats()).finish()
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").field("open", &self.open.get()).field("channel", &self.stats()).finish()
    }
}
