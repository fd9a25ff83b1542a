//! Receiving until the end, and several items at once.
//!
//! ```text
//!   next()                   Some(item) … Some(item), None at the end; only Closed is an error
//!   receive_many(into, max)  waits for one, takes what else is there
//! ```

use super::{NextError, ReceiveError, Receiver};
use crate::error::Cancelled;

impl<T> Receiver<T> {
    /// Receives the next item, or `None` at the end: [`receive`](Receiver::receive) for loops.
    ///
    /// # Cancellation
    ///
    /// As [`receive`](Receiver::receive).
    ///
    /// # Errors
    ///
    /// Outside: [`Cancelled`] if the scope around the call is cancelled. Inside: [`NextError`], so that a loop which was
    /// cut off by its own side does not take that for the end.
    ///
    /// ```
    /// use pleach_executor::{Cancelled, run, sync::channel};
    /// let r: Result<(), Cancelled> = run(async {
    ///     let (tx, rx) = channel::unbounded();
    ///     for i in 0..3 { tx.try_send(i).unwrap(); }
    ///     drop(tx);
    ///     let mut got = Vec::new();
    ///     while let Some(i) = rx.next().await?.unwrap() { got.push(i); }
    ///     assert_eq!(got, [0, 1, 2]);
    ///     Ok(())
    /// });
    /// r.unwrap();
    /// ```
    pub async fn next(&self) -> Result<Result<Option<T>, NextError>, Cancelled> {
        Ok(match self.receive().await? {
            Ok(item) => Ok(Some(item)),
            Err(ReceiveError::End) => Ok(None),
            Err(ReceiveError::Closed) => Err(NextError::Closed),
        })
    }

    /// Waits for an item, and takes with it what else is there: at most `max` items, appended to `into`. Says how many,
    /// one or more.
    ///
    /// Items of sends that wait are among them. One who takes many keeps others who receive waiting: `max` says how much
    /// is fair.
    ///
    /// # Cancellation
    ///
    /// As [`receive`](Receiver::receive): Strict, and `into` is unchanged.
    ///
    /// # Errors
    ///
    /// Outside: [`Cancelled`] if the scope around the call is cancelled. Inside: [`ReceiveError`].
    ///
    /// # Panics
    ///
    /// If `max` is zero.
    pub async fn receive_many(
        &self,
        into: &mut Vec<T>,
        max: usize,
    ) -> Result<Result<usize, ReceiveError>, Cancelled> {
        assert!(max > 0, "receive_many() of no items would wait for nothing: ask for one or more");
        match self.receive().await? {
            Ok(first) => into.push(first),
            Err(e) => return Ok(Err(e)),
        }
        let rest = std::iter::from_fn(|| self.try_receive().ok()).take(max - 1);
        let before = into.len();
        into.extend(rest);
        Ok(Ok(1 + into.len() - before))
    }
}
