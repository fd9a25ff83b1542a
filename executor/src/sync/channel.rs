//! A bounded channel between tasks of one thread.
//!
//! ```text
//!   send ─► a receiver waits? hand it over │ room? buffer │ else wait in `senders` with the item
//!   receive ─► buffered? take it, and let the oldest waiting sender's item move up │ else wait in `receivers`
//! ```
//!
//! Rules:
//! * **Hand-over**: an item goes from one owner to the next in one step. A waiting receiver owns its item before it
//!   runs; if it is dropped then, the item goes to the next receiver, or back to the front.
//! * First in, first out, for items and for waiting tasks on both sides; nobody jumps the queue.
//! * Own side closed is `Closed`, the other side gone is `Broken`; and own wins.
//! * Items are dropped outside every borrow.

use crate::checkpoint::Wait;
use crate::error::Cancelled;
use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

/// Why an item was not sent. It comes back.
#[derive(PartialEq, Eq)]
#[non_exhaustive]
pub enum SendError<T> {
    /// This handle was closed: by us.
    Closed(T),
    /// Every receiver is gone: nobody will ever take it.
    Broken(T),
    /// `try_send` only: the channel is full, or others wait before us.
    WouldBlock(T),
}

/// Why nothing was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReceiveError {
    /// This handle was closed: by us.
    Closed,
    /// Every sender is gone and everything has been received.
    End,
    /// `try_receive` only: nothing is there now.
    WouldBlock,
}

/// A waiting sender's item, or a waiting receiver's place for one.
struct Waiting<T> {
    handle: u64,
    waker: Waker,
    item: Option<T>,
}

struct Shared<T> {
    capacity: usize,
    buffer: VecDeque<T>,
    next: u64,
    /// By ticket, so by age.
    senders: BTreeMap<u64, Waiting<T>>,
    receivers: BTreeMap<u64, Waiting<T>>,
    /// Items of receivers that own one and have not run since.
    handed: BTreeMap<u64, T>,
    open_senders: usize,
    open_receivers: usize,
}

impl<T> Shared<T> {
    fn ticket(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Hands the item to the oldest waiting receiver.
    fn hand_over(&mut self, item: T) -> Result<Waker, T> {
        match self.receivers.pop_first() {
            None => Err(item),
            Some((ticket, w)) => {
                self.handed.insert(ticket, item);
                Ok(w.waker)
            }
        }
    }

    /// Takes the oldest item, and lets the oldest waiting sender's move up.
    fn take(&mut self) -> Option<(T, Option<Waker>)> {
        let sender =
            self.senders.pop_first().map(|(_, w)| (w.item.expect("a waiting sender has its item"), w.waker));
        match (self.buffer.pop_front(), sender) {
            (Some(item), Some((next, waker))) => {
                self.buffer.push_back(next);
                Some((item, Some(waker)))
            }
            (Some(item), None) => Some((item, None)),
            (None, Some((item, waker))) => Some((item, Some(waker))),
            (None, None) => None,
        }
    }
}

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
    let shared = Rc::new(RefCell::new(Shared {
        capacity,
        buffer: VecDeque::new(),
        next: 2,
        senders: BTreeMap::new(),
        receivers: BTreeMap::new(),
        handed: BTreeMap::new(),
        open_senders: 1,
        open_receivers: 1,
    }));
    (Sender { shared: Rc::clone(&shared), handle: 1, open: true }, Receiver { shared, handle: 2, open: true })
}

/// The sending end. Clones are handles of their own; the end closes with the last of them.
pub struct Sender<T> {
    shared: Rc<RefCell<Shared<T>>>,
    handle: u64,
    open: bool,
}

/// The receiving end. Clones are handles of their own; the end closes with the last of them.
pub struct Receiver<T> {
    shared: Rc<RefCell<Shared<T>>>,
    handle: u64,
    open: bool,
}

impl<T> Sender<T> {
    /// Sends an item, waiting for room.
    ///
    /// # Cancellation
    ///
    /// A checkpoint always; Strict, and its place in the queue is lost. The item of a cancelled send is dropped.
    ///
    /// # Errors
    ///
    /// Outside: [`Cancelled`] if the scope around the call is cancelled. Inside: [`SendError`] with the item.
    pub async fn send(&self, item: T) -> Result<Result<(), SendError<T>>, Cancelled> {
        let mut item = Some(item);
        let mut ticket = SendTicket { shared: &self.shared, number: None };
        let mut wait = Wait::new();
        poll_fn(|cx| {
            wait.poll(cx, |cx| match item.take() {
                Some(item) => match self.try_send(item) {
                    Err(SendError::WouldBlock(item)) => {
                        let mut s = self.shared.borrow_mut();
                        let number = s.ticket();
                        let waiting =
                            Waiting { handle: self.handle, waker: cx.waker().clone(), item: Some(item) };
                        s.senders.insert(number, waiting);
                        ticket.number = Some(number);
                        Poll::Pending
                    }
                    r => Poll::Ready(r),
                },
                None => ticket.poll(cx.waker(), self.open),
            })
        })
        .await
    }

    /// Sends an item if that is possible without waiting and without overtaking anybody.
    ///
    /// # Errors
    ///
    /// [`SendError`] with the item.
    pub fn try_send(&self, item: T) -> Result<(), SendError<T>> {
        if !self.open {
            return Err(SendError::Closed(item));
        }
        let waker = {
            let mut s = self.shared.borrow_mut();
            if s.open_receivers == 0 {
                return Err(SendError::Broken(item));
            }
            match s.hand_over(item) {
                Ok(waker) => waker,
                Err(item) if s.buffer.len() < s.capacity && s.senders.is_empty() => {
                    s.buffer.push_back(item);
                    return Ok(());
                }
                Err(item) => return Err(SendError::WouldBlock(item)),
            }
        };
        waker.wake();
        Ok(())
    }

    /// Closes this handle: sends on it fail with `Closed`, also those that wait. Again does nothing.
    pub fn close(&mut self) {
        if !std::mem::replace(&mut self.open, false) {
            return;
        }
        let woken: Vec<Waker> = {
            let mut s = self.shared.borrow_mut();
            s.open_senders -= 1;
            let mine = self.handle;
            let of_handle = s.senders.values().filter(|w| w.handle == mine).map(|w| w.waker.clone());
            let mut woken: Vec<Waker> = of_handle.collect();
            if s.open_senders == 0 {
                woken.extend(s.receivers.values().map(|w| w.waker.clone()));
            }
            woken
        };
        woken.into_iter().for_each(Waker::wake);
    }
}

struct SendTicket<'a, T> {
    shared: &'a Rc<RefCell<Shared<T>>>,
    number: Option<u64>,
}

impl<T> SendTicket<'_, T> {
    fn poll(&mut self, waker: &Waker, open: bool) -> Poll<Result<(), SendError<T>>> {
        let number = self.number.expect("waiting since its first poll");
        let mut s = self.shared.borrow_mut();
        let broken = s.open_receivers == 0;
        let Some(waiting) = s.senders.get_mut(&number) else {
            self.number = None;
            return Poll::Ready(Ok(()));
        };
        if open && !broken {
            let before = std::mem::replace(&mut waiting.waker, waker.clone());
            drop(s);
            drop(before);
            return Poll::Pending;
        }
        let item = s.senders.remove(&number).and_then(|w| w.item).expect("a waiting sender has its item");
        self.number = None;
        Poll::Ready(Err(if open { SendError::Broken(item) } else { SendError::Closed(item) }))
    }
}

impl<T> Drop for SendTicket<'_, T> {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            let left = self.shared.borrow_mut().senders.remove(&number);
            drop(left);
        }
    }
}

impl<T> Receiver<T> {
    /// Receives the next item, waiting for one.
    ///
    /// # Cancellation
    ///
    /// A checkpoint always; Strict: a cancelled receive has taken nothing. Its place in the queue is lost.
    ///
    /// # Errors
    ///
    /// Outside: [`Cancelled`] if the scope around the call is cancelled. Inside: [`ReceiveError`].
    pub async fn receive(&self) -> Result<Result<T, ReceiveError>, Cancelled> {
        let mut ticket = ReceiveTicket { shared: &self.shared, number: None };
        let mut wait = Wait::new();
        poll_fn(|cx| wait.poll(cx, |cx| ticket.poll(self, cx.waker()))).await
    }

    /// Receives the next item if one is there.
    ///
    /// # Errors
    ///
    /// [`ReceiveError`].
    pub fn try_receive(&self) -> Result<T, ReceiveError> {
        if !self.open {
            return Err(ReceiveError::Closed);
        }
        let (item, waker) = {
            let mut s = self.shared.borrow_mut();
            match s.take() {
                Some(taken) => taken,
                None if s.open_senders == 0 => return Err(ReceiveError::End),
                None => return Err(ReceiveError::WouldBlock),
            }
        };
        if let Some(waker) = waker {
            waker.wake();
        }
        Ok(item)
    }

    /// Closes this handle: receives on it fail with `Closed`, also those that wait. With the last handle the items in
    /// between are dropped. Again does nothing.
    pub fn close(&mut self) {
        if !std::mem::replace(&mut self.open, false) {
            return;
        }
        let (woken, items) = {
            let mut s = self.shared.borrow_mut();
            s.open_receivers -= 1;
            let mine = self.handle;
            let of_handle = s.receivers.values().filter(|w| w.handle == mine).map(|w| w.waker.clone());
            let mut woken: Vec<Waker> = of_handle.collect();
            let mut items = VecDeque::new();
            if s.open_receivers == 0 {
                woken.extend(s.senders.values().map(|w| w.waker.clone()));
                items = std::mem::take(&mut s.buffer);
            }
            (woken, items)
        };
        woken.into_iter().for_each(Waker::wake);
        drop(items);
    }
}

struct ReceiveTicket<'a, T> {
    shared: &'a Rc<RefCell<Shared<T>>>,
    number: Option<u64>,
}

impl<T> ReceiveTicket<'_, T> {
    fn poll(&mut self, from: &Receiver<T>, waker: &Waker) -> Poll<Result<T, ReceiveError>> {
        let Some(number) = self.number else {
            return match from.try_receive() {
                Err(ReceiveError::WouldBlock) => {
                    let mut s = self.shared.borrow_mut();
                    let number = s.ticket();
                    let waiting = Waiting { handle: from.handle, waker: waker.clone(), item: None };
                    s.receivers.insert(number, waiting);
                    self.number = Some(number);
                    Poll::Pending
                }
                r => Poll::Ready(r),
            };
        };
        let mut s = self.shared.borrow_mut();
        if let Some(item) = s.handed.remove(&number) {
            self.number = None;
            return Poll::Ready(Ok(item));
        }
        let ended = s.open_senders == 0;
        let waiting = s.receivers.get_mut(&number).expect("waits, or owns an item");
        if from.open && !ended {
            let before = std::mem::replace(&mut waiting.waker, waker.clone());
            drop(s);
            drop(before);
            return Poll::Pending;
        }
        s.receivers.remove(&number);
        self.number = None;
        Poll::Ready(Err(if from.open { ReceiveError::End } else { ReceiveError::Closed }))
    }
}

impl<T> Drop for ReceiveTicket<'_, T> {
    fn drop(&mut self) {
        let Some(number) = self.number else { return };
        let (waker, left, orphan) = {
            let mut s = self.shared.borrow_mut();
            let left = s.receivers.remove(&number);
            match s.handed.remove(&number) {
                None => (None, left, None),
                // It owned an item and will never run: the next receiver's, or the front's again.
                Some(item) => match s.hand_over(item) {
                    Ok(waker) => (Some(waker), left, None),
                    Err(item) if s.open_receivers == 0 => (None, left, Some(item)),
                    Err(item) => {
                        s.buffer.push_front(item);
                        (None, left, None)
                    }
                },
            }
        };
        if let Some(waker) = waker {
            waker.wake();
        }
        drop((left, orphan));
    }
}

impl<T> Clone for Sender<T> {
    /// A handle of its own; of a closed one it is closed as well.
    fn clone(&self) -> Self {
        let mut s = self.shared.borrow_mut();
        s.open_senders += usize::from(self.open);
        let handle = s.ticket();
        drop(s);
        Sender { shared: Rc::clone(&self.shared), handle, open: self.open }
    }
}

impl<T> Clone for Receiver<T> {
    /// A handle of its own; of a closed one it is closed as well.
    fn clone(&self) -> Self {
        let mut s = self.shared.borrow_mut();
        s.open_receivers += usize::from(self.open);
        let handle = s.ticket();
        drop(s);
        Receiver { shared: Rc::clone(&self.shared), handle, open: self.open }
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
        f.debug_struct("Sender").field("open", &self.open).finish()
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").field("open", &self.open).finish()
    }
}

impl<T> fmt::Debug for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<T> fmt::Display for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SendError::Closed(_) => "this sender is closed",
            SendError::Broken(_) => "every receiver is gone",
            SendError::WouldBlock(_) => "the channel is full",
        })
    }
}

impl<T> std::error::Error for SendError<T> {}

impl fmt::Display for ReceiveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ReceiveError::Closed => "this receiver is closed",
            ReceiveError::End => "every sender is gone and everything has been received",
            ReceiveError::WouldBlock => "nothing is there now",
        })
    }
}

impl std::error::Error for ReceiveError {}
