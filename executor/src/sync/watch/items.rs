//! A receiver as a stream of the changes it sees: see [`crate::items`].

use super::{Receiver, WatchError};
use crate::error::Cancelled;
use crate::items::{Items, sealed::Polled};
use crate::parking::Until;
use std::rc::Rc;
use std::task::{Context, Poll};

impl<T> Receiver<T> {
    /// The changes as a stream of `Result<Rc<T>, Cancelled>`: each time the latest value, as [`changed`](Receiver::changed)
    /// gives it. Ends when every sender is gone and the last value has been seen. Feature `stream`.
    ///
    /// A value that this receiver has seen before is not among them; [`get`](Receiver::get) gives the present one.
    ///
    /// ```
    /// use futures_util::TryStreamExt;
    /// use pleach_executor::{Cancelled, run, sync::watch};
    /// let r: Result<(), Cancelled> = run(async {
    ///     let (tx, rx) = watch::channel("starting");
    ///     tx.send("ready");
    ///     tx.send("busy");
    ///     drop(tx);
    ///     let mut changes = rx.into_stream();
    ///     assert_eq!(changes.try_next().await?.as_deref(), Some(&"busy"));
    ///     assert_eq!(changes.try_next().await?, None);
    ///     Ok(())
    /// });
    /// r.unwrap();
    /// ```
    pub fn into_stream(self) -> Items<Receiver<T>> {
        Items::new(self)
    }
}

/// Its place in the line of those who wait for a change.
#[derive(Debug)]
pub struct Place(Until);

impl<T> Polled for Receiver<T> {
    type Yields = Result<Rc<T>, Cancelled>;
    type Place = Place;

    fn begin(&self) -> Place {
        Place(Until::new())
    }

    fn poll_item(&self, place: &mut Place, cx: &mut Context<'_>) -> Poll<Option<Self::Yields>> {
        place.0.poll(&self.shared.changes, cx, || self.look()).map(|seen| match seen {
            Ok(Ok(value)) => Some(Ok(value)),
            Ok(Err(WatchError::End)) => None,
            Err(cancelled) => Some(Err(cancelled)),
        })
    }

    fn leave(&self, place: &mut Place) {
        place.0.leave(&self.shared.changes);
    }
}
