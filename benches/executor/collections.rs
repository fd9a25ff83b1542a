//! The peers that are collections: they poll their futures themselves, inside one task of any executor.
//!
//! ```text
//!   futures-lite's block_on ─► main ─► FuturesUnordered │ futures-buffered │ moro-local's scope ─► children
//! ```
//!
//! They have no timers and no sockets; the channel of `futures` goes with them.

use crate::contender::{Channels, Contender};
use crate::support::clock::Stopwatch;
use crate::work::{Boxed, Waiter, all_parked, parked};
use futures_channel::mpsc::{Receiver, Sender, channel};
use futures_util::sink::SinkExt as _;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use std::future::Future;
use std::time::Duration;

/// `FuturesUnordered` of futures-util.
#[derive(Debug)]
pub(crate) struct Unordered;

impl Contender for Unordered {
    const NAME: &'static str = "FuturesUnordered";
    type Out = ();

    fn run<T>(main: impl Future<Output = T>) -> T {
        futures_lite::future::block_on(main)
    }

    async fn group<F: Future<Output = ()> + 'static>(children: impl Iterator<Item = F>) {
        let mut group: FuturesUnordered<F> = children.collect();
        while group.next().await.is_some() {}
    }
}

/// `FuturesUnordered` of futures-buffered, which grows by slabs.
#[derive(Debug)]
pub(crate) struct Buffered;

impl Contender for Buffered {
    const NAME: &'static str = "futures-buffered";
    type Out = ();

    fn run<T>(main: impl Future<Output = T>) -> T {
        futures_lite::future::block_on(main)
    }

    async fn group<F: Future<Output = ()> + 'static>(children: impl Iterator<Item = F>) {
        let mut group = futures_buffered::FuturesUnordered::new();
        children.for_each(|child| group.push(child));
        while group.next().await.is_some() {}
    }
}

/// The scope of moro-local, whose children may borrow.
#[derive(Debug)]
pub(crate) struct Moro;

impl Contender for Moro {
    const NAME: &'static str = "moro-local";
    type Out = ();

    fn run<T>(main: impl Future<Output = T>) -> T {
        futures_lite::future::block_on(main)
    }

    async fn group<F: Future<Output = ()> + 'static>(children: impl Iterator<Item = F>) {
        moro_local::async_scope!(|scope| {
            children.for_each(|child| drop(scope.spawn(child)));
        })
        .await;
    }
}

macro_rules! channels {
    ($C:ty) => {
        impl Channels for $C {
            type Tx = Sender<u64>;
            type Rx = Receiver<u64>;

            /// It has a place for each sender besides those in its buffer.
            fn channel(capacity: usize) -> (Self::Tx, Self::Rx) {
                channel(capacity - 1)
            }

            async fn send(tx: &mut Self::Tx, item: u64) {
                tx.send(item).await.expect("the receiver is there");
            }

            async fn receive(rx: &mut Self::Rx) -> u64 {
                rx.next().await.expect("a sender is there")
            }
        }
    };
}

channels!(Unordered);
channels!(Buffered);
channels!(Moro);

/// Its only way to cancel is to drop: no child can clean up, nothing is awaited.
pub(crate) fn cancel_by_drop(waiters: u64) -> Duration {
    Unordered::run(async {
        let mut group: FuturesUnordered<Boxed<()>> = FuturesUnordered::new();
        for _ in 0..waiters {
            group.push(Box::pin(async {
                let _waiter = Waiter::park();
                std::future::pending::<()>().await;
            }));
        }
        // It may return to its caller before it has polled all of them.
        while parked() < waiters {
            let before = parked();
            assert!(futures_util::poll!(group.next()).is_pending(), "waiters do not end");
            assert!(parked() > before, "every poll of the group reaches new children");
        }
        let start = Stopwatch::cpu();
        drop(group);
        start.elapsed()
    })
}

/// What a scope of moro-local does to end early: it drops its children where they are, and none can clean up.
pub(crate) fn cancel_by_terminate(waiters: u64) -> Duration {
    Moro::run(async {
        let scope = moro_local::async_scope!(|scope| {
            for _ in 0..waiters {
                let waiter = scope.spawn(async {
                    let _waiter = Waiter::park();
                    std::future::pending::<()>().await;
                });
                drop(waiter);
            }
            all_parked(waiters).await;
            scope.terminate(Stopwatch::cpu()).await
        });
        // With the scope go the children: the last await of it is over when all of them are dropped.
        let start: Stopwatch = scope.await;
        start.elapsed()
    })
}
