//! Signals as a stream for combinators: see [`crate::items`].

use super::{ReceiveError, Signal, Signals};
use crate::error::Cancelled;
use crate::fd::Reads;
use crate::items::{Items, sealed::Polled};
use std::task::{Context, Poll};

impl Signals {
    /// The signals as a stream of `Result<Result<Signal, ReceiveError>, Cancelled>`, as [`receive`](Signals::receive) gives
    /// them. It never ends, and is never `Busy`: nobody else reads it. Feature `stream`.
    ///
    /// ```
    /// use futures_util::TryStreamExt;
    /// use pleach_executor::{Cancelled, run, signals::{Signal, Signals}};
    /// let r: Result<(), Cancelled> = run(async {
    ///     let mut signals = Signals::open(&[Signal::USR1]).expect("one that may be caught").into_stream();
    ///     # let me = std::process::id().to_string();
    ///     # std::process::Command::new("kill").args(["-USR1", &me]).status().unwrap();
    ///     let first = signals.try_next().await?.expect("it never ends");
    ///     assert_eq!(first.expect("nobody closes what is not theirs"), Signal::USR1);
    ///     Ok(())
    /// });
    /// r.unwrap();
    /// ```
    pub fn into_stream(self) -> Items<Signals> {
        Items::new(self)
    }
}

/// Its claim on the bell.
#[derive(Debug)]
pub struct Place(Reads);

impl Polled for Signals {
    type Yields = Result<Result<Signal, ReceiveError>, Cancelled>;
    type Place = Place;

    fn begin(&self) -> Place {
        Place(Reads::new())
    }

    fn poll_item(&self, place: &mut Place, cx: &mut Context<'_>) -> Poll<Option<Self::Yields>> {
        self.poll_receive(&mut place.0, cx).map(Some)
    }

    fn leave(&self, place: &mut Place) {
        self.end_reads(&mut place.0);
    }
}
