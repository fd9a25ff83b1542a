//! What the two ends of a channel share: who waits, what lies in between, and each step from one owner to the next.
//!
//! ```text
//!   senders:    [Waiting{item}] … ─ admit() ─► buffer ─ take() ─► the caller
//!                    └─► Ended(Ok │ Closed │ Broken)      └ hand_over() ─► receivers: Ended(Ok(item) │ Closed │ End)
//! ```
//!
//! Rules:
//! * **In Line Means Waiting**: an entry is in its line exactly as long as it is `Waiting`. Whatever ends a wait —
//!   hand-over, close, end — takes it out of the line and writes the outcome in the same step, so nobody is served who
//!   has been told something else.
//! * **No Waiting Receiver With Items**: while a receiver waits, nothing is buffered and no sender waits.
//! * Nothing is woken and no item is dropped in here: wakers and items go back to the caller, who holds no borrow.

use super::error::{ReceiveError, SendError, TryReceiveError, TrySendError};
use crate::parking::list::{List, Place};
use std::collections::VecDeque;
use std::task::Waker;

pub(super) enum Sending<T> {
    Waiting { handle: u64, waker: Waker, item: T },
    Ended(Result<(), SendError<T>>),
}

pub(super) enum Receiving<T> {
    Waiting { handle: u64, waker: Waker },
    Ended(Result<T, ReceiveError>),
}

/// What there is of a channel at this moment, for people who look at it. Source: trio's channel statistics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChannelStats {
    /// Items in between.
    pub buffered: usize,
    /// How many fit in between; `None` if any number does.
    pub capacity: Option<usize>,
    /// The most that ever were in between.
    pub peak: usize,
    /// Open sending handles.
    pub senders: usize,
    /// Open receiving handles.
    pub receivers: usize,
    /// Tasks that wait for room.
    pub sending: usize,
    /// Tasks that wait for an item.
    pub receiving: usize,
}

pub(super) struct Core<T> {
    /// `usize::MAX` for any number: memory ends before that.
    capacity: usize,
    buffer: VecDeque<T>,
    peak: usize,
    handles: u64,
    senders: List<Sending<T>>,
    receivers: List<Receiving<T>>,
    open_senders: usize,
    open_receivers: usize,
}

impl<T> Core<T> {
    pub(super) fn new(capacity: Option<usize>) -> Self {
        Core {
            capacity: capacity.unwrap_or(usize::MAX),
            buffer: VecDeque::new(),
            peak: 0,
            handles: 0,
            senders: List::new(),
            receivers: List::new(),
            open_senders: 0,
            open_receivers: 0,
        }
    }

    pub(super) fn stats(&self) -> ChannelStats {
        ChannelStats {
            buffered: self.buffer.len(),
            capacity: (self.capacity < usize::MAX).then_some(self.capacity),
            peak: self.peak,
            senders: self.open_senders,
            receivers: self.open_receivers,
            sending: self.senders.len(),
            receiving: self.receivers.len(),
        }
    }

    pub(super) fn open_sender(&mut self, open: bool) -> u64 {
        self.open_senders += usize::from(open);
        self.handles += 1;
        self.handles
    }

    pub(super) fn open_receiver(&mut self, open: bool) -> u64 {
        self.open_receivers += usize::from(open);
        self.handles += 1;
        self.handles
    }

    /// Puts an item into the buffer if nobody waits on either side and there is room: the way of nearly all of them. Else it
    /// comes back, for [`send`](Core::send).
    #[inline(always)]
    pub(super) fn put(&mut self, item: T) -> Result<(), T> {
        let room = self.buffer.len() < self.capacity;
        if !room || self.open_receivers == 0 || self.receivers.len() > 0 || self.senders.len() > 0 {
            return Err(item);
        }
        self.buffer.push_back(item);
        self.note_peak();
        Ok(())
    }

    /// Takes an item out of the buffer if there is one, and nobody waits for the room it leaves. `None` says nothing: then it
    /// is for [`receive`](Core::receive).
    #[inline(always)]
    pub(super) fn take(&mut self) -> Option<T> {
        if self.senders.len() > 0 { None } else { self.buffer.pop_front() }
    }

    /// To the oldest waiting receiver, else into the buffer. `Some`: whom to wake.
    #[inline]
    pub(super) fn send(&mut self, item: T) -> Result<Option<Waker>, TrySendError<T>> {
        if self.open_receivers == 0 {
            return Err(TrySendError::Broken(item));
        }
        let item = match self.hand_over(item) {
            Ok(waker) => return Ok(Some(waker)),
            Err(item) => item,
        };
        if self.buffer.len() >= self.capacity || self.senders.len() > 0 {
            return Err(TrySendError::WouldBlock(item));
        }
        self.buffer.push_back(item);
        self.note_peak();
        Ok(None)
    }

    /// The oldest item, and whom to wake for the room it leaves.
    #[inline]
    pub(super) fn receive(&mut self) -> Result<(T, Option<Waker>), TryReceiveError> {
        if let Some(item) = self.buffer.pop_front() {
            // An item that came back may have been one too many: then its leaving makes no room.
            let next = if self.buffer.len() < self.capacity { self.admit() } else { None };
            return Ok((
                item,
                next.map(|(next, waker)| {
                    self.buffer.push_back(next);
                    waker
                }),
            ));
        }
        match self.admit() {
            Some((item, waker)) => Ok((item, Some(waker))),
            None if self.open_senders == 0 => Err(TryReceiveError::End),
            None => Err(TryReceiveError::WouldBlock),
        }
    }

    pub(super) fn wait_to_send(&mut self, handle: u64, waker: Waker, item: T) -> Place {
        self.senders.push(Sending::Waiting { handle, waker, item })
    }

    pub(super) fn wait_to_receive(&mut self, handle: u64, waker: Waker) -> Place {
        debug_assert!(self.buffer.is_empty() && self.senders.len() == 0, "No Waiting Receiver With Items");
        self.receivers.push(Receiving::Waiting { handle, waker })
    }

    pub(super) fn sending(&mut self, place: &Place) -> &mut Sending<T> {
        self.senders.get(place)
    }

    pub(super) fn receiving(&mut self, place: &Place) -> &mut Receiving<T> {
        self.receivers.get(place)
    }

    pub(super) fn end_sending(&mut self, place: Place) -> Sending<T> {
        self.senders.remove(place)
    }

    pub(super) fn end_receiving(&mut self, place: Place) -> Receiving<T> {
        self.receivers.remove(place)
    }

    /// An item whose receiver will never run: the next receiver's, else the first in the buffer, else (nobody can ever
    /// receive it) to be dropped by the caller.
    pub(super) fn put_back(&mut self, item: T) -> (Option<Waker>, Option<T>) {
        match self.hand_over(item) {
            Ok(waker) => (Some(waker), None),
            Err(item) if self.open_receivers == 0 => (None, Some(item)),
            Err(item) => {
                self.buffer.push_front(item);
                self.note_peak();
                (None, None)
            }
        }
    }

    /// Sends that wait on this handle get their items back. After the last sender, receivers are at the end.
    pub(super) fn close_sender(&mut self, handle: u64, woken: &mut Vec<Waker>) {
        self.open_senders -= 1;
        let of_handle = |s: &Sending<T>| matches!(s, Sending::Waiting { handle: h, .. } if *h == handle);
        self.senders.take_all(of_handle, |s| woken.extend(refuse(s, SendError::Closed)));
        if self.open_senders == 0 {
            self.receivers.take_all(|_| true, |r| woken.extend(end(r, ReceiveError::End)));
        }
    }

    /// Receives that wait on this handle end. After the last receiver, sends are refused and the items in between come
    /// back to be dropped.
    pub(super) fn close_receiver(&mut self, handle: u64, woken: &mut Vec<Waker>) -> VecDeque<T> {
        self.open_receivers -= 1;
        let of_handle = |r: &Receiving<T>| matches!(r, Receiving::Waiting { handle: h, .. } if *h == handle);
        self.receivers.take_all(of_handle, |r| woken.extend(end(r, ReceiveError::Closed)));
        if self.open_receivers > 0 {
            return VecDeque::new();
        }
        self.senders.take_all(|_| true, |s| woken.extend(refuse(s, SendError::Broken)));
        std::mem::take(&mut self.buffer)
    }

    fn hand_over(&mut self, item: T) -> Result<Waker, T> {
        let Some(receiving) = self.receivers.take_first() else { return Err(item) };
        match std::mem::replace(receiving, Receiving::Ended(Ok(item))) {
            Receiving::Waiting { waker, .. } => Ok(waker),
            Receiving::Ended(_) => unreachable!("In Line Means Waiting"),
        }
    }

    /// The oldest waiting send has happened: its item, to be placed, and its waker.
    fn admit(&mut self) -> Option<(T, Waker)> {
        match std::mem::replace(self.senders.take_first()?, Sending::Ended(Ok(()))) {
            Sending::Waiting { item, waker, .. } => Some((item, waker)),
            Sending::Ended(_) => unreachable!("In Line Means Waiting"),
        }
    }

    fn note_peak(&mut self) {
        self.peak = self.peak.max(self.buffer.len());
    }
}

/// Ends a waiting send with its item in the error.
fn refuse<T>(sending: &mut Sending<T>, why: impl FnOnce(T) -> SendError<T>) -> Option<Waker> {
    match std::mem::replace(sending, Sending::Ended(Ok(()))) {
        Sending::Waiting { item, waker, .. } => {
            *sending = Sending::Ended(Err(why(item)));
            Some(waker)
        }
        Sending::Ended(_) => unreachable!("In Line Means Waiting"),
    }
}

fn end<T>(receiving: &mut Receiving<T>, why: ReceiveError) -> Option<Waker> {
    match std::mem::replace(receiving, Receiving::Ended(Err(why))) {
        Receiving::Waiting { waker, .. } => Some(waker),
        Receiving::Ended(_) => unreachable!("In Line Means Waiting"),
    }
}
