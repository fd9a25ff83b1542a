//! One endpoint for every item of a series, on whichever worker has time, with results as they come.
//!
//! ```text
//!   items ─► feeder ─ a turn for each, of so many ─┬─► call ─► the idlest worker ─┐
//!              ▲                                   └─► call ─► …                  ├─► Results::next ─► body
//!              └──────────── its turn is over when the body has its result ───────┘
//! ```
//!
//! Rules:
//! * **Bounded**: an item leaves the series when it has a turn, and keeps that until its result is taken: so many items, and no
//!   more, are anywhere in between, however slow the body is.
//! * It is a block: when it returns, every call it made has ended at its worker.
//! * What fails first, an item, a worker, the series or the body, cancels the rest.

use super::Cluster;
use crate::endpoint::Endpoint;
use crate::error::Error;
use pleach_executor::nursery;
use pleach_executor::sync::Semaphore;
use pleach_executor::sync::channel::{self, Receiver};
use pleach_ipc::codec;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::borrow::Borrow;
use std::fmt;
use std::future::Future;

/// The results of a [`Cluster::map_unordered`], as they come.
pub struct Results<R> {
    come: Receiver<(usize, R)>,
}

impl<R> Results<R> {
    /// The next result that comes, with the number of its item, counted from 0; `None` after the last.
    ///
    /// # Cancellation
    ///
    /// A checkpoint always; Strict.
    ///
    /// # Errors
    ///
    /// A cancellation: if something has failed, whose error then comes out of the whole, or if the scope around is cancelled.
    pub async fn next(&mut self) -> Result<Option<(usize, R)>, Error> {
        Ok(self.come.receive().await?.ok())
    }
}

impl<R> fmt::Debug for Results<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Results").finish_non_exhaustive()
    }
}

impl Cluster {
    /// Has the workers run an endpoint for each item, and gives the results to `body` in the order in which they come. An item
    /// goes to the worker that has the fewest calls under way then. Items may be borrowed: `&items` will do.
    ///
    /// At most `in_flight` items are anywhere between the series and the body; the next one is taken when the body has taken a
    /// result. Twice the number of workers keeps each busy while its result is on the way.
    ///
    /// A body that returns before the last result has the rest cancelled.
    ///
    /// # Cancellation
    ///
    /// A checkpoint always. However it ends, every call it has made has ended at its worker: a cancelled one waits for that
    /// as [`Portal::call`](crate::Portal::call) does. **Lossy**: results that nobody has taken. Dropped, it has the workers
    /// stop, and does not wait.
    ///
    /// # Errors
    ///
    /// The first of: an item's, as [`Portal::call`](crate::Portal::call) gives it, which is `Gone` if its worker was cancelled
    /// or killed by its portal; `body`'s. What fails while the others are being cancelled comes with it, as a group. If
    /// a worker dies unasked, that is the failure of its nursery, which cancels this if it stands inside; it is `Gone` if not.
    ///
    /// # Panics
    ///
    /// If `in_flight` is 0.
    #[track_caller]
    pub fn map_unordered<A, R, T>(
        &self,
        endpoint: Endpoint<A, R>,
        in_flight: usize,
        items: impl IntoIterator<Item: Borrow<A>>,
        body: impl AsyncFnOnce(&mut Results<R>) -> Result<T, Error>,
    ) -> impl Future<Output = Result<T, Error>>
    where
        A: Serialize,
        R: DeserializeOwned,
    {
        assert_some(in_flight);
        let mut items = items.into_iter();
        self.map_all(endpoint, in_flight, async move || Ok(items.next()), body)
    }

    /// [`map_unordered`](Cluster::map_unordered) over items that come one by one: `series` is asked for the next one when there
    /// is a turn for it, may wait for it, and ends with `None`.
    ///
    /// # Cancellation
    ///
    /// As [`map_unordered`](Cluster::map_unordered).
    ///
    /// # Errors
    ///
    /// As [`map_unordered`](Cluster::map_unordered); and those of `series`.
    ///
    /// # Panics
    ///
    /// As [`map_unordered`](Cluster::map_unordered).
    #[track_caller]
    pub fn map_series<A, R, T, I: Borrow<A>>(
        &self,
        endpoint: Endpoint<A, R>,
        in_flight: usize,
        series: impl AsyncFnMut() -> Result<Option<I>, Error>,
        body: impl AsyncFnOnce(&mut Results<R>) -> Result<T, Error>,
    ) -> impl Future<Output = Result<T, Error>>
    where
        A: Serialize,
        R: DeserializeOwned,
    {
        assert_some(in_flight);
        self.map_all(endpoint, in_flight, series, body)
    }

    async fn map_all<A, R, T, I: Borrow<A>>(
        &self,
        endpoint: Endpoint<A, R>,
        in_flight: usize,
        mut series: impl AsyncFnMut() -> Result<Option<I>, Error>,
        body: impl AsyncFnOnce(&mut Results<R>) -> Result<T, Error>,
    ) -> Result<T, Error>
    where
        A: Serialize,
        R: DeserializeOwned,
    {
        let turns = Semaphore::new(in_flight);
        // Nothing lies in it: a result is its call's until the body takes it.
        let (results, come) = channel::bounded(0);
        let mut taken = Results { come };
        let (turns, series) = (&turns, &mut series);
        nursery(async |n| {
            n.spawn(async move {
                for nth in 0.. {
                    let turn = turns.acquire().await?;
                    let Some(item) = series().await? else { break };
                    let args = codec::encode(item.borrow()).map_err(Error::new)?;
                    drop(item);
                    let results = results.clone();
                    n.spawn(async move {
                        let value = self.idlest().call_encoded(endpoint, args).await?;
                        let sent = results.send((nth, value)).await?;
                        debug_assert!(sent.is_ok(), "who takes the results outlives every call");
                        drop(turn);
                        Ok(())
                    });
                }
                Ok(())
            });
            let ended = body(&mut taken).await;
            n.cancel();
            ended
        })
        .await
    }
}

#[track_caller]
fn assert_some(in_flight: usize) {
    assert!(in_flight > 0, "with no item in flight nothing is ever done: allow at least one");
}
