//! Several actors of one kind, and work that is spread over them.
//!
//! ```text
//!   an.cluster("worker", 4) ─► worker-0 … worker-3, started at once ─► Cluster ─ workers(): a portal for each
//!                                                                        ├─ map_unordered ─► cluster/map.rs
//!                                                                        └─ cancel, end: all of them
//! ```
//!
//! Rules:
//! * Each worker is an actor of the nursery like any other: the death of one that nobody asked to end is the nursery's failure.
//! * A cluster that cannot start whole does not start: those that were up are cancelled.

mod map;

pub use map::Results;

use crate::error::Error;
use crate::nursery::ActorNursery;
use crate::portal::Portal;
use crate::start::Start;
use pleach_executor::gather;
use std::future::Future;

/// Actors of one kind that serve the endpoints of their [`Program`](crate::Program), as their parent holds them. Dropping it
/// leaves them running, until their nursery is cancelled.
///
/// ```no_run
/// use pleach::{Endpoint, Program, actors};
/// const SQUARE: Endpoint<u64, u64> = Endpoint::new("square");
/// fn main() -> std::process::ExitCode {
///     Program::new("squares").endpoint(SQUARE, async |_context, n| Ok(n * n)).run(async |_root| {
///         let sum: u64 = actors(async |an| {
///             let cluster = an.cluster("worker", 4).await?;
///             let numbers: Vec<u64> = (1..=100).collect();
///             let sum = cluster
///                 .map_unordered(SQUARE, 8, &numbers, async |squares| {
///                     let mut sum = 0;
///                     while let Some((_nth, square)) = squares.next().await? {
///                         sum += square;
///                     }
///                     Ok(sum)
///                 })
///                 .await?;
///             cluster.end().await?;
///             Ok(sum)
///         })
///         .await?;
///         assert_eq!(sum, 338_350);
///         Ok(())
///     })
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Cluster {
    workers: Vec<Portal>,
}

impl ActorNursery {
    /// Starts so many actors at once, and waits until all are up. They are named after `start`, with `-0`, `-1` and so on; what
    /// it gives is duplicated for each. They live until they are cancelled: by the cluster, by their portals, or with this
    /// nursery.
    ///
    /// # Cancellation
    ///
    /// A checkpoint always; Strict: cancelled or dropped, there is no cluster, and the actors are cancelled. The nursery awaits
    /// their end.
    ///
    /// # Errors
    ///
    /// A cancellation if one of them ended before it was up (its error goes to the nursery), or if the scope around the call
    /// is cancelled; that of the system if a descriptor cannot be duplicated.
    ///
    /// # Panics
    ///
    /// If no workers are asked for.
    #[track_caller]
    pub fn cluster(
        &self,
        start: impl Into<Start>,
        workers: usize,
    ) -> impl Future<Output = Result<Cluster, Error>> {
        assert!(workers > 0, "a cluster has at least one worker");
        let start = start.into();
        async move {
            let mut starts = Vec::new();
            for nth in 0..workers {
                let mut one = start.again()?;
                one.name = format!("{}-{nth}", start.name);
                starts.push(one);
            }
            // The descriptors that were duplicated: the actors get the copies.
            drop(start);
            let workers = gather(starts.into_iter().map(|one| self.spawn(one))).await?;
            Ok(Cluster { workers })
        }
    }
}

impl Cluster {
    /// The workers, in the order of their names.
    #[must_use]
    pub fn workers(&self) -> &[Portal] {
        &self.workers
    }

    /// Cancels all of them, and all below them. Their ends are then no failures.
    ///
    /// # Panics
    ///
    /// In another run than its own.
    #[track_caller]
    pub fn cancel(&self) {
        self.workers.iter().for_each(Portal::cancel);
    }

    /// Cancels all of them, and waits until they have ended.
    ///
    /// # Cancellation
    ///
    /// A checkpoint always. Cancelled or dropped, it has cancelled them, and their nursery awaits their end.
    ///
    /// # Errors
    ///
    /// A cancellation if the scope around the call is cancelled. `StaleHandle` in a forked child.
    ///
    /// # Panics
    ///
    /// In another run than its own.
    pub async fn end(&self) -> Result<(), Error> {
        self.cancel();
        for worker in &self.workers {
            worker.ended().await?;
        }
        Ok(())
    }

    /// The worker with the fewest calls under way.
    fn idlest(&self) -> &Portal {
        let idlest = self.workers.iter().min_by_key(|worker| worker.statistics().open_calls);
        idlest.expect("a cluster has at least one worker")
    }
}
