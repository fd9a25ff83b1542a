//! A send and a receive as futures: tried at once, else a place in line that becomes an outcome.
//!
//! ```text
//!   send ─► tried ─┬─ done                                   receive ─► tried ─┬─ done
//!                  └─ in line, with its item ─► outcome                       └─ in line ─► outcome │ dropped: put back
//! ```
//!
//! Rules:
//! * Futures by hand, not `async fn`: nearly all sends and receives are done in their first poll, and then this is all
//!   there is of them.
//! * Wakers are cloned and dropped outside of every borrow: a foreign one may do anything.

use super::core::{Receiving, Sending};
use super::{ReceiveError, Receiver, SendError, Sender, TryReceiveError, TrySendError};
use crate::checkpoint::Wait;
use crate::error::Cancelled;
use crate::parking::list::Place;
use crate::runtime;
use crate::waits::Waits;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

/// Is `old` as good as `waker`, or is there a clone to put in its place? Then the clone is swapped for the old one, which is
/// to be dropped outside of the borrow, as the clone has to be made.
fn keeps(old: &mut Waker, waker: &Waker, new: &mut Option<Waker>) -> bool {
    if let Some(new) = new {
        std::mem::swap(old, new);
        return true;
    }
    old.will_wake(waker)
}

// ---- sending

/// Where the item of a send is.
enum Sent<T> {
    /// With the send.
    Item(T),
    /// In line.
    InLine(Place),
    /// It has gone, or come back in the outcome.
    Over,
}

/// One send.
#[must_use = "futures do nothing unless they are awaited"]
pub(super) struct SendStep<'a, T> {
    from: &'a Sender<T>,
    sent: Sent<T>,
    wait: Wait,
}

/// Its item is never pinned.
impl<T> Unpin for SendStep<'_, T> {}

impl<'a, T> SendStep<'a, T> {
    #[inline]
    pub(super) fn new(from: &'a Sender<T>, item: T) -> Self {
        SendStep { from, sent: Sent::Item(item), wait: Wait::on(Waits::Room) }
    }

    /// Whatever is not done at once.
    #[inline(never)]
    fn go_on(&mut self, cx: &mut Context<'_>) -> Poll<<Self as Future>::Output> {
        let SendStep { from, sent, wait } = self;
        let polled = wait.poll(cx, |cx| {
            match std::mem::replace(sent, Sent::Over) {
                Sent::Item(item) => match from.try_send(item) {
                    Ok(()) => return Poll::Ready(Ok(())),
                    Err(e) => match give_back(e) {
                        Ok(item) => *sent = Sent::Item(item),
                        Err(e) => return Poll::Ready(Err(e)),
                    },
                },
                other => *sent = other,
            }
            wait_to_send(from, sent, cx.waker())
        });
        if let Poll::Ready(Err(_)) = polled {
            // Whoever keeps this for longer keeps nothing of the channel.
            self.give_up();
        }
        polled
    }

    /// It is cancelled: nobody receives its item.
    #[cold]
    fn give_up(&mut self) {
        if let Sent::InLine(place) = std::mem::replace(&mut self.sent, Sent::Over) {
            let left = self.from.core.borrow_mut().end_sending(place);
            drop(left);
        }
    }
}

impl<T> Future for SendStep<'_, T> {
    type Output = Result<Result<(), SendError<T>>, Cancelled>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let me = self.get_mut();
        if let Sent::Item(_) = me.sent
            && me.from.open.get()
            && me.wait.begins_quietly()
            && let Sent::Item(item) = std::mem::replace(&mut me.sent, Sent::Over)
        {
            match me.from.core.borrow_mut().put(item) {
                Ok(()) => return Poll::Ready(Ok(Ok(()))),
                Err(item) => me.sent = Sent::Item(item),
            }
        }
        me.go_on(cx)
    }
}

/// The item of a send that may wait for room.
fn give_back<T>(e: TrySendError<T>) -> Result<T, SendError<T>> {
    match e {
        TrySendError::WouldBlock(item) => Ok(item),
        TrySendError::Closed(item) => Err(SendError::Closed(item)),
        TrySendError::Broken(item) => Err(SendError::Broken(item)),
    }
}

#[cold]
fn wait_to_send<T>(from: &Sender<T>, sent: &mut Sent<T>, waker: &Waker) -> Poll<Result<(), SendError<T>>> {
    let place = match std::mem::replace(sent, Sent::Over) {
        Sent::Item(item) => return get_in_line(from, item, sent, waker),
        Sent::InLine(place) => place,
        Sent::Over => unreachable!("polled after its end"),
    };
    let mut new = None;
    let mut core = loop {
        let mut core = from.core.borrow_mut();
        let Sending::Waiting { waker: old, .. } = core.sending(&place) else { break core };
        if keeps(old, waker, &mut new) {
            *sent = Sent::InLine(place);
            drop(core);
            drop(new);
            return Poll::Pending;
        }
        drop(core);
        new = Some(waker.clone());
    };
    match core.end_sending(place) {
        Sending::Ended(outcome) => Poll::Ready(outcome),
        Sending::Waiting { .. } => unreachable!("just looked at"),
    }
}

fn get_in_line<T>(
    from: &Sender<T>,
    item: T,
    sent: &mut Sent<T>,
    waker: &Waker,
) -> Poll<Result<(), SendError<T>>> {
    let own = waker.clone();
    // Whoever was cloned may have made room, or closed the channel.
    if !from.open.get() {
        return Poll::Ready(Err(SendError::Closed(item)));
    }
    let mut core = from.core.borrow_mut();
    let tried = core.send(item);
    if let Err(TrySendError::WouldBlock(item)) = tried {
        *sent = Sent::InLine(core.wait_to_send(from.handle, own, item));
        return Poll::Pending;
    }
    drop(core);
    drop(own);
    Poll::Ready(match tried {
        Ok(woken) => {
            runtime::wake_each(woken);
            Ok(())
        }
        Err(TrySendError::Closed(item)) => Err(SendError::Closed(item)),
        Err(TrySendError::Broken(item) | TrySendError::WouldBlock(item)) => Err(SendError::Broken(item)),
    })
}

impl<T> Drop for SendStep<'_, T> {
    #[inline]
    fn drop(&mut self) {
        if let Sent::InLine(_) = self.sent {
            self.give_up();
        }
    }
}

// ---- receiving

/// One receive.
#[must_use = "futures do nothing unless they are awaited"]
pub(super) struct ReceiveStep<'a, T> {
    from: &'a Receiver<T>,
    place: Option<Place>,
    wait: Wait,
}

impl<'a, T> ReceiveStep<'a, T> {
    #[inline]
    pub(super) fn new(from: &'a Receiver<T>) -> Self {
        ReceiveStep { from, place: None, wait: Wait::on(Waits::Item) }
    }

    /// Whatever is not done at once.
    #[inline(never)]
    fn go_on(&mut self, cx: &mut Context<'_>) -> Poll<<Self as Future>::Output> {
        let ReceiveStep { from, place, wait } = self;
        let polled = wait.poll(cx, |cx| {
            if place.is_none() {
                match from.try_receive() {
                    Ok(item) => return Poll::Ready(Ok(item)),
                    Err(TryReceiveError::Closed) => return Poll::Ready(Err(ReceiveError::Closed)),
                    Err(TryReceiveError::End) => return Poll::Ready(Err(ReceiveError::End)),
                    Err(TryReceiveError::WouldBlock) => {}
                }
            }
            wait_to_receive(from, place, cx.waker())
        });
        if let Poll::Ready(Err(_)) = polled {
            // Whoever keeps this for longer is not in anybody's way.
            self.give_up();
        }
        polled
    }

    /// An item that it was handed already goes to the next.
    fn give_up(&mut self) {
        if let Some(place) = self.place.take() {
            leave(self.from, place);
        }
    }
}

impl<T> Future for ReceiveStep<'_, T> {
    type Output = Result<Result<T, ReceiveError>, Cancelled>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let me = self.get_mut();
        if me.place.is_none()
            && me.from.open.get()
            && me.wait.begins_quietly()
            && let Some(item) = me.from.core.borrow_mut().take()
        {
            return Poll::Ready(Ok(Ok(item)));
        }
        me.go_on(cx)
    }
}

/// One receive after the other, apart from the receiver. Whoever drops it calls [`Receives::give_up`] first.
#[cfg(feature = "stream")]
#[derive(Debug)]
pub(super) struct Receives {
    place: Option<Place>,
    wait: Wait,
}

#[cfg(feature = "stream")]
impl Receives {
    pub(super) const fn new() -> Self {
        Receives { place: None, wait: Wait::on(Waits::Item) }
    }

    /// One poll of a receive; the next one after a result is the first of another. It is the same receiver each time.
    pub(super) fn poll<T>(
        &mut self,
        from: &Receiver<T>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Result<T, ReceiveError>, Cancelled>> {
        // If anything below panics, this leaves the line.
        let mut step = ReceiveStep::new(from);
        self.exchange(&mut step);
        let polled = Pin::new(&mut step).poll(cx);
        if polled.is_pending() {
            self.exchange(&mut step);
        }
        polled
    }

    /// What it was handed already goes to the next.
    pub(super) fn give_up<T>(&mut self, from: &Receiver<T>) {
        let mut step = ReceiveStep::new(from);
        self.exchange(&mut step);
    }

    fn exchange<T>(&mut self, step: &mut ReceiveStep<'_, T>) {
        std::mem::swap(&mut self.place, &mut step.place);
        std::mem::swap(&mut self.wait, &mut step.wait);
    }
}

fn wait_to_receive<T>(
    from: &Receiver<T>,
    place: &mut Option<Place>,
    waker: &Waker,
) -> Poll<Result<T, ReceiveError>> {
    let Some(mine) = place.take() else { return get_in_line_to_receive(from, place, waker) };
    let mut new = None;
    let mut core = loop {
        let mut core = from.core.borrow_mut();
        let Receiving::Waiting { waker: old, .. } = core.receiving(&mine) else { break core };
        if keeps(old, waker, &mut new) {
            *place = Some(mine);
            drop(core);
            drop(new);
            return Poll::Pending;
        }
        drop(core);
        new = Some(waker.clone());
    };
    match core.end_receiving(mine) {
        Receiving::Ended(outcome) => Poll::Ready(outcome),
        Receiving::Waiting { .. } => unreachable!("just looked at"),
    }
}

fn get_in_line_to_receive<T>(
    from: &Receiver<T>,
    place: &mut Option<Place>,
    waker: &Waker,
) -> Poll<Result<T, ReceiveError>> {
    let own = waker.clone();
    // Whoever was cloned may have sent something, or closed the channel.
    if !from.open.get() {
        return Poll::Ready(Err(ReceiveError::Closed));
    }
    let mut core = from.core.borrow_mut();
    let received = core.receive();
    if matches!(received, Err(TryReceiveError::WouldBlock)) {
        *place = Some(core.wait_to_receive(from.handle, own));
        return Poll::Pending;
    }
    drop(core);
    drop(own);
    Poll::Ready(match received {
        Ok((item, woken)) => {
            runtime::wake_each(woken);
            Ok(item)
        }
        Err(TryReceiveError::Closed) => Err(ReceiveError::Closed),
        Err(TryReceiveError::End | TryReceiveError::WouldBlock) => Err(ReceiveError::End),
    })
}

impl<T> Drop for ReceiveStep<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.give_up();
    }
}

fn leave<T>(from: &Receiver<T>, place: Place) {
    let (woken, left) = {
        let mut core = from.core.borrow_mut();
        match core.end_receiving(place) {
            Receiving::Ended(Ok(item)) => core.put_back(item),
            Receiving::Ended(Err(_)) => (None, None),
            Receiving::Waiting { waker, .. } => {
                drop(core);
                drop(waker);
                (None, None)
            }
        }
    };
    runtime::wake_each(woken);
    drop(left);
}
