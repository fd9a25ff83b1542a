//! A receiver as a stream of its items: see [`crate::items`].

use super::{Lagged, ReceiveError, Receiver};
use crate::error::Cancelled;
use crate::items::{Items, sealed::Polled};
use crate::parking::Until;
use std::rc::Rc;
use std::task::{Context, Poll};

impl<T: Clone> Receiver<T> {
    /// The items as a stream of `Result<Result<T, Lagged>, Cancelled>`, which ends when every sender is gone and everything
    /// has been received. Feature `stream`.
    ///
    /// [`Lagged`] stands where items are missing; the stream goes on. A receiver that was closed before has no items: the
    /// stream ends at once.
    ///
    /// ```
    /// use futures_util::TryStreamExt;
    /// use pleach_executor::{Cancelled, run, sync::broadcast};
    /// let r: Result<(), Cancelled> = run(async {
    ///     let (tx, rx) = broadcast::channel(2);
    ///     (0..3).for_each(|i| tx.send(i).unwrap());
    ///     drop(tx);
    ///     let all: Vec<_> = rx.into_stream().try_collect().await?;
    ///     assert_eq!(all[0].unwrap_err().missed, 1);
    ///     assert_eq!(all[1..], [Ok(1), Ok(2)]);
    ///     Ok(())
    /// });
    /// r.unwrap();
    /// ```
    pub fn into_stream(self) -> Items<Receiver<T>> {
        Items::new(self)
    }
}

/// Its place in the line of those who wait for an item.
#[derive(Debug)]
pub struct Place(Until);

impl<T: Clone> Polled for Receiver<T> {
    type Yields = Result<Result<T, Lagged>, Cancelled>;
    type Place = Place;

    fn begin(&self) -> Place {
        Place(Until::new())
    }

    fn poll_item(&self, place: &mut Place, cx: &mut Context<'_>) -> Poll<Option<Self::Yields>> {
        place.0.poll(&self.shared.lot, cx, || self.look()).map(|received| match received {
            Ok(Ok(item)) => Some(Ok(Ok(Rc::unwrap_or_clone(item)))),
            Ok(Err(ReceiveError::Lagged { missed })) => Some(Ok(Err(Lagged { missed }))),
            // Closed before it was made a stream: nobody can have done it since.
            Ok(Err(ReceiveError::End | ReceiveError::Closed)) => None,
            Err(cancelled) => Some(Err(cancelled)),
        })
    }

    fn leave(&self, place: &mut Place) {
        place.0.leave(&self.shared.lot);
    }
}
