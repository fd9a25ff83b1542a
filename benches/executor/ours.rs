//! Our columns: children that borrow and live in the nursery's future, and static ones that lie flat in the executor.

use crate::contender::{Channels, Contender, Streams, Timers};
use crate::support::clock::Stopwatch;
use crate::work::{Boxed, Waiter, all_parked};
use pleach_executor::sync::channel::{self, Receiver, Sender};
use pleach_executor::{CancelScope, Cancelled, net, nursery, run, sleep, sleep_forever};
use std::future::Future;
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::Duration;

type Result<T = ()> = std::result::Result<T, Cancelled>;

/// Children that may borrow.
#[derive(Debug)]
pub(crate) struct Borrowed;

/// `'static` children.
#[derive(Debug)]
pub(crate) struct Static;

impl Contender for Borrowed {
    const NAME: &'static str = "pleach";
    type Out = Result;

    fn run<T>(main: impl Future<Output = T>) -> T {
        run(main)
    }

    async fn group<F: Future<Output = Result> + 'static>(children: impl Iterator<Item = F>) {
        let joined: Result = nursery(async |n| {
            children.for_each(|child| n.spawn(child));
            Ok(())
        })
        .await;
        joined.expect("no child fails");
    }

    async fn boxed_group(children: impl Iterator<Item = Boxed<Result>>) {
        let joined: Result = nursery(async |n| {
            children.for_each(|child| n.spawn_boxed(child));
            Ok(())
        })
        .await;
        joined.expect("no child fails");
    }
}

impl Contender for Static {
    const NAME: &'static str = "pleach, static";
    type Out = Result;

    fn run<T>(main: impl Future<Output = T>) -> T {
        run(main)
    }

    async fn group<F: Future<Output = Result> + 'static>(children: impl Iterator<Item = F>) {
        let joined: Result = nursery(async |n| {
            children.for_each(|child| n.spawn_static(child));
            Ok(())
        })
        .await;
        joined.expect("no child fails");
    }

    async fn boxed_group(children: impl Iterator<Item = Boxed<Result>>) {
        let joined: Result = nursery(async |n| {
            children.for_each(|child| n.spawn_static_boxed(child));
            Ok(())
        })
        .await;
        joined.expect("no child fails");
    }
}

macro_rules! ours {
    ($C:ty) => {
        impl Timers for $C {
            async fn sleep(d: Duration) {
                sleep(d).await.expect("nobody cancels it");
            }

            async fn limited(d: Duration) {
                let left: Result<Option<()>> = CancelScope::new().timeout(d).run(async |_| Ok(())).await;
                assert_eq!(left.expect("nobody cancels it"), Some(()));
            }
        }

        impl Channels for $C {
            type Tx = Sender<u64>;
            type Rx = Receiver<u64>;

            fn channel(capacity: usize) -> (Self::Tx, Self::Rx) {
                channel::bounded(capacity)
            }

            async fn send(tx: &mut Self::Tx, item: u64) {
                tx.send(item).await.expect("nobody cancels it").expect("the receiver is there");
            }

            async fn receive(rx: &mut Self::Rx) -> u64 {
                rx.receive().await.expect("nobody cancels it").expect("a sender is there")
            }
        }

        impl Streams<UnixStream> for $C {
            type Stream = net::UnixStream;

            fn open(socket: UnixStream) -> Self::Stream {
                let stream = net::UnixStream::from_std(socket).expect("a socket can be watched");
                // No contender's stream takes descriptors. An older system has it read as if there were some.
                let _is_older = stream.refuse_fds();
                stream
            }

            async fn read(stream: &mut Self::Stream, mut buffer: Vec<u8>) -> (usize, Vec<u8>) {
                let n = stream.read(&mut buffer).await.expect("a connected socket");
                (n, buffer)
            }

            async fn write_all(stream: &mut Self::Stream, buffer: Vec<u8>, n: usize) -> Vec<u8> {
                stream.write_all(&buffer[..n]).await.expect("the peer reads");
                buffer
            }
        }

        impl Streams<TcpStream> for $C {
            type Stream = net::TcpStream;

            fn open(socket: TcpStream) -> Self::Stream {
                net::TcpStream::from_std(socket).expect("a socket can be watched")
            }

            async fn read(stream: &mut Self::Stream, mut buffer: Vec<u8>) -> (usize, Vec<u8>) {
                let n = stream.read(&mut buffer).await.expect("a connected socket");
                (n, buffer)
            }

            async fn write_all(stream: &mut Self::Stream, buffer: Vec<u8>, n: usize) -> Vec<u8> {
                stream.write_all(&buffer[..n]).await.expect("the peer reads");
                buffer
            }
        }
    };
}

ours!(Borrowed);
ours!(Static);

/// Waits until it is cancelled, and hands the cancellation back as our children do.
pub(crate) async fn waiter(park: fn() -> Waiter) -> Result {
    let waiter = park();
    let Err(cancelled) = sleep_forever().await;
    waiter.told();
    Err(cancelled)
}

fn boxed_waiter(i: u64) -> Boxed<Result> {
    if i.is_multiple_of(2) {
        return Box::pin(waiter(Waiter::park));
    }
    Box::pin(async move {
        let waiter = Waiter::park();
        let ended = sleep_forever().await;
        waiter.told();
        ended.map(|never| match never {})
    })
}

pub(crate) fn cancel_borrowed(waiters: u64) -> Duration {
    run(async {
        let mut start = None;
        let joined: Result = nursery(async |n| {
            (0..waiters).for_each(|i| n.spawn_boxed(boxed_waiter(i)));
            all_parked(waiters).await;
            start = Some(Stopwatch::cpu());
            n.cancel();
            Ok(())
        })
        .await;
        let took = start.expect("the body ran").elapsed();
        joined.expect("the nursery absorbs its own cancellation");
        took
    })
}

pub(crate) fn cancel_static(waiters: u64) -> Duration {
    run(async {
        let mut start = None;
        let joined: Result = nursery(async |n| {
            (0..waiters).for_each(|i| n.spawn_static_boxed(boxed_waiter(i)));
            all_parked(waiters).await;
            start = Some(Stopwatch::cpu());
            n.cancel();
            Ok(())
        })
        .await;
        let took = start.expect("the body ran").elapsed();
        joined.expect("the nursery absorbs its own cancellation");
        took
    })
}
