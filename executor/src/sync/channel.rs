//! A channel between tasks of one thread, with room for some items in between, for none, or for any number.
//!
//! ```text
//!   send ─► a receiver waits? hand it over │ room? buffer │ else wait in line with the item
//!   receive ─► buffered? take it, and let the oldest waiting sender's item move up │ else wait in line
//! ```
//!
//! Rules:
//! * **Hand-over**: an item goes from one owner to the next in one step. A waiting receiver owns its item before it
//!   runs; if it is dropped then, the item goes to the next receiver, or back to the front.
//! * First in, first out, for items and for waiting tasks on both sides; nobody jumps the queue.
//! * Own side closed is `Closed`, the other side gone is `Broken` or `End`; and own wins.
//! * Closing takes `&self`: one task may close a handle on which another waits, which then hears of it.
//! * Items are dropped outside every borrow.

mod core;
mod error;
#[cfg(feature = "stream")]
mod items;
mod many;
mod steps;
#[cfg(test)]
mod tests;

pub use self::core::ChannelStats;
pub use error::{NextError, ReceiveError, SendError, TryReceiveError, TrySendError};

use self::core::Core;
use crate::error::Cancelled;
use crate::runtime;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::Future;
use std::rc::Rc;
use steps::{ReceiveStep, SendStep};

/// Opens a channel for `capacity` items in between; with 0 every send waits for its receive.
///
/// ```
/// use pleach_executor::{Cancelled, nursery, run, sync::channel};
/// let r: Result<(), Cancelled> = run(nursery(async |n| {
///     let (tx, rx) = channel::bounded(1);
///     n.spawn(async move {
///         for i in 0..3 { tx.send(i).await?.unwrap(); }
///         Ok(())
///     });
///     let mut got = Vec::new();
///     while let Ok(i) = rx.receive().await? { got.push(i); }
///     assert_eq!(got, [0, 1, 2]);
///     Ok(())
/// }));
/// r.unwrap();
/// ```
#[must_use]
pub fn bounded<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    open(Core::new(Some(capacity)))
}

/// Opens a channel for any number of items in between: a send never waits, and nothing but memory holds back who sends
/// faster than the other side receives. Where that can happen, take [`bounded`].
///
/// ```
/// use pleach_executor::{run, sync::channel};
/// run(async {
///     let (tx, rx) = channel::unbounded();
///     for i in 0..1000 { tx.try_send(i).unwrap(); }
///     assert_eq!(rx.stats().buffered, 1000);
///     assert_eq!(rx.receive().await.unwrap(), Ok(0));
/// });
/// ```
#[must_use]
pub fn unbounded<T>() -> (Sender<T>, Receiver<T>) {
    open(Core::new(None))
}

fn open<T>(mut core: Core<T>) -> (Sender<T>, Receiver<T>) {
    let (sender, receiver) = (core.open_sender(true), core.open_receiver(true));
    let core = Rc::new(RefCell::new(core));
    (
        Sender { core: Rc::clone(&core), handle: sender, open: Cell::new(true) },
        Receiver { core, handle: receiver, open: Cell::new(true) },
    )
}

/// The sending end. Clones are handles of their own; the end closes with the last of them.
pub struct Sender<T> {
    core: Rc<RefCell<Core<T>>>,
    handle: u64,
    open: Cell<bool>,
}

/// The receiving end. Clones are handles of their own; the end closes with the last of them.
pub struct Receiver<T> {
    core: Rc<RefCell<Core<T>>>,
    handle: u64,
    open: Cell<bool>,
}

impl<T> Sender<T> {
    /// Sends an item, waiting for room.
    ///
    /// # Cancellation
    ///
    /// A checkpoint always; Strict, and its place in the queue is lost. The item of a cancelled or dropped send is
    /// dropped: nobody receives it.
    ///
    /// # Errors
    ///
    /// Outside: [`Cancelled`] if the scope around the call is cancelled. Inside: [`SendError`] with the item.
    #[inline]
    pub fn send(&self, item: T) -> impl Future<Output = Result<Result<(), SendError<T>>, Cancelled>> {
        SendStep::new(self, item)
    }

    /// Sends an item if that is possible without waiting and without overtaking anybody.
    ///
    /// # Errors
    ///
    /// [`TrySendError`] with the item.
    #[inline]
    pub fn try_send(&self, item: T) -> Result<(), TrySendError<T>> {
        if !self.open.get() {
            return Err(TrySendError::Closed(item));
        }
        let woken = self.core.borrow_mut().send(item)?;
        if let Some(waker) = woken {
            waker.wake();
        }
        Ok(())
    }

    /// Closes this handle: sends on it fail with `Closed` and give their items back, also those that wait. Again does
    /// nothing. Dropping closes.
    pub fn close(&self) {
        if self.open.replace(false) {
            let mut woken = Vec::new();
            self.core.borrow_mut().close_sender(self.handle, &mut woken);
            runtime::wake_each(woken);
        }
    }

    /// What there is of the channel.
    #[must_use]
    pub fn stats(&self) -> ChannelStats {
        self.core.borrow().stats()
    }
}

impl<T> Receiver<T> {
    /// Receives the next item, waiting for one.
    ///
    /// # Cancellation
    ///
    /// A checkpoint always; Strict: a cancelled receive has taken nothing. Its place in the queue is lost. An item that
    /// was handed to a receive which is then dropped goes to the next receiver, or back to the front.
    ///
    /// # Errors
    ///
    /// Outside: [`Cancelled`] if the scope around the call is cancelled. Inside: [`ReceiveError`].
    #[inline]
    pub fn receive(&self) -> impl Future<Output = Result<Result<T, ReceiveError>, Cancelled>> {
        ReceiveStep::new(self)
    }

    /// Receives the next item if one is there.
    ///
    /// # Errors
    ///
    /// [`TryReceiveError`].
    #[inline]
    pub fn try_receive(&self) -> Result<T, TryReceiveError> {
        if !self.open.get() {
            return Err(TryReceiveError::Closed);
        }
        let (item, woken) = self.core.borrow_mut().receive()?;
        if let Some(waker) = woken {
            waker.wake();
        }
        Ok(item)
    }

    /// Closes this handle: receives on it fail with `Closed`, also those that wait. With the last handle the items in
    /// between are dropped. Again does nothing. Dropping closes.
    pub fn close(&self) {
        if self.open.replace(false) {
            let mut woken = Vec::new();
            let items = self.core.borrow_mut().close_receiver(self.handle, &mut woken);
            runtime::wake_each(woken);
            drop(items);
        }
    }

    /// What there is of the channel.
    #[must_use]
    pub fn stats(&self) -> ChannelStats {
        self.core.borrow().stats()
    }
}

impl<T> Clone for Sender<T> {
    /// A handle of its own; of a closed one it is closed as well.
    fn clone(&self) -> Self {
        let handle = self.core.borrow_mut().open_sender(self.open.get());
        Sender { core: Rc::clone(&self.core), handle, open: self.open.clone() }
    }
}

impl<T> Clone for Receiver<T> {
    /// A handle of its own; of a closed one it is closed as well.
    fn clone(&self) -> Self {
        let handle = self.core.borrow_mut().open_receiver(self.open.get());
        Receiver { core: Rc::clone(&self.core), handle, open: self.open.clone() }
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
