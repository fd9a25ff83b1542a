//! What yields one thing after another, as a [`Stream`] for the combinators of other libraries. Feature `stream`.
//!
//! ```text
//!   receiver.into_stream() ─► Items{ receiver, its place } ─ poll_next ─┬─ Some(item)            the place is given up
//!                               │                                      ├─ Some(Err(Cancelled))  the same; it goes on
//!                               │                                      ├─ None                  the end, for ever
//!                               │                                      └─ Pending               in line, also between polls
//!                               └─ dropped, or into_inner(): out of line; what it was handed goes to the next
//! ```
//!
//! Rules:
//! * **Sole Holder**: it owns what it receives from, and shows it to nobody: so it cannot be closed under it, and nobody else
//!   reads it. What has handles is cloned before.
//! * A poll is one poll of the same operation that the future of `receive`, `accept`, … makes, and the place in line is kept
//!   beside the receiver, not in a future that borrows it. So what holds for those holds here.
//! * Bytes are not items: streams of bytes have [`ReadBytes`](crate::io::ReadBytes).

use futures_core::{FusedStream, Stream};
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

pub(crate) mod sealed {
    use std::task::{Context, Poll};

    /// An operation that can be done again and again, and its state from poll to poll.
    pub trait Polled {
        /// What a result is.
        type Yields;
        /// The state: a place in line, a claim.
        type Place;

        fn begin(&self) -> Self::Place;
        /// One poll. After a result the place is as new.
        fn poll_item(&self, place: &mut Self::Place, cx: &mut Context<'_>) -> Poll<Option<Self::Yields>>;
        /// Gives up what the place holds. Nothing is lost.
        fn leave(&self, place: &mut Self::Place);
    }
}

/// What can be had as [`Items`]: the receivers of channels, of [`broadcast`](crate::sync::broadcast) and of
/// [`watch`](crate::sync::watch), [`Signals`](crate::signals::Signals), and [`Listener`](crate::net::Listener)s.
///
/// Each has an `into_stream` that says what the items are, and when they end.
pub trait Source: sealed::Polled<Yields = <Self as Source>::Item> {
    /// What it yields.
    type Item;
}

impl<S: sealed::Polled> Source for S {
    type Item = S::Yields;
}

/// The items of a receiver, of signals or of a listener, as a [`Stream`].
///
/// It waits in line as a task does, from the poll that found nothing until an item comes or it is dropped: also while
/// nobody polls it. An item that is handed to it meanwhile is kept for its next poll; if it is dropped instead, the item goes to
/// the next in line, or stays where it was. So one that is not polled for long is in the way of other receivers of the
/// same channel: drop it, or take it apart by [`into_inner`](Items::into_inner).
///
/// After the end it stays at the end. A cancellation is an item, not the end, and comes again with each poll as long as
/// the scope is cancelled: hand it on, as the `try_` combinators do. Whoever filters it out is asked again and again.
///
/// # Cancellation
///
/// A poll is a checkpoint always, of the scope that is current then; **Strict**: a cancelled or dropped one has taken nothing.
/// Its place in line is lost. One that was begun before gives out what it was handed first.
///
/// # Panics
///
/// When it is polled in another run, if what it is made of belongs to one.
///
/// Source: async iteration over trio's channels, signals and listeners.
///
/// ```
/// use futures_util::TryStreamExt;
/// use pleach_executor::{Cancelled, nursery, run, sync::channel};
/// let r: Result<(), Cancelled> = run(nursery(async |n| {
///     let (tx, rx) = channel::bounded(1);
///     n.spawn(async move {
///         for i in 1..=4 { tx.send(i).await?.unwrap(); }
///         Ok(())
///     });
///     let even = rx.into_stream().try_filter(|i| std::future::ready(i % 2 == 0));
///     assert_eq!(even.try_collect::<Vec<i32>>().await?, [2, 4]);
///     Ok(())
/// }));
/// r.unwrap();
/// ```
#[must_use = "streams do nothing unless they are polled"]
pub struct Items<S: Source> {
    /// `None` only while it is being taken apart.
    source: Option<S>,
    place: S::Place,
    ended: bool,
}

/// Nothing in it is pinned.
impl<S: Source> Unpin for Items<S> {}

impl<S: Source> Items<S> {
    pub(crate) fn new(source: S) -> Self {
        Items { place: source.begin(), source: Some(source), ended: false }
    }

    /// Gives back what it is made of, out of line: what it was handed and has not given out goes to the next, or back to
    /// the front.
    #[must_use = "dropping it closes it"]
    pub fn into_inner(mut self) -> S {
        self.leave();
        let Some(source) = self.source.take() else { unreachable!("there until it is taken apart") };
        source
    }

    fn leave(&mut self) {
        if let Some(source) = &self.source {
            source.leave(&mut self.place);
        }
    }
}

impl<S: Source> Stream for Items<S> {
    type Item = S::Item;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<S::Item>> {
        let Items { source, place, ended } = self.get_mut();
        if *ended {
            return Poll::Ready(None);
        }
        let polled = source.as_ref().expect("there until it is taken apart").poll_item(place, cx);
        *ended = matches!(polled, Poll::Ready(None));
        polled
    }
}

impl<S: Source> FusedStream for Items<S> {
    fn is_terminated(&self) -> bool {
        self.ended
    }
}

impl<S: Source> Drop for Items<S> {
    fn drop(&mut self) {
        self.leave();
    }
}

impl<S: Source + fmt::Debug> fmt::Debug for Items<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Items").field("of", &self.source).field("ended", &self.ended).finish()
    }
}
