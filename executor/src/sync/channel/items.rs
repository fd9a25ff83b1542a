//! A receiver as a stream of its items: see [`crate::items`].

use super::steps::Receives;
use super::{ReceiveError, Receiver};
use crate::error::Cancelled;
use crate::items::{Items, sealed::Polled};
use std::task::{Context, Poll};

impl<T> Receiver<T> {
    /// The items as a stream of `Result<T, Cancelled>`, which ends when every sender is gone and everything has been
    /// received. Feature `stream`.
    ///
    /// It waits in turn with other receivers of the channel. A receiver that was closed before has no items: the stream ends
    /// at once. For loops of one's own, [`next`](Receiver::next) does the same without it.
    ///
    /// ```
    /// use futures_util::StreamExt;
    /// use pleach_executor::{run, sync::channel};
    /// run(async {
    ///     let (tx, rx) = channel::unbounded();
    ///     (0..3).for_each(|i| tx.try_send(i).unwrap());
    ///     drop(tx);
    ///     let mut items = rx.into_stream().enumerate();
    ///     while let Some((n, item)) = items.next().await {
    ///         assert_eq!(item.unwrap(), n);
    ///     }
    /// });
    /// ```
    pub fn into_stream(self) -> Items<Receiver<T>> {
        Items::new(self)
    }
}

/// Its place in the line of those who receive.
#[derive(Debug)]
pub struct Place(Receives);

impl<T> Polled for Receiver<T> {
    type Yields = Result<T, Cancelled>;
    type Place = Place;

    fn begin(&self) -> Place {
        Place(Receives::new())
    }

    fn poll_item(&self, place: &mut Place, cx: &mut Context<'_>) -> Poll<Option<Self::Yields>> {
        place.0.poll(self, cx).map(|received| match received {
            Ok(Ok(item)) => Some(Ok(item)),
            // Closed before it was made a stream: nobody can have done it since.
            Ok(Err(ReceiveError::End | ReceiveError::Closed)) => None,
            Err(cancelled) => Some(Err(cancelled)),
        })
    }

    fn leave(&self, place: &mut Place) {
        place.0.give_up(self);
    }
}
