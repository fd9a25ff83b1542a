//! A peer: the smol family, that is `LocalExecutor` of `async-executor`, with `async-io` and `async-channel`.
//!
//! Groups are tasks kept in a `Vec`; dropping it cancels them, and nothing waits for that.

use crate::contender::{Channels, Contender, Streams, Timers};
use crate::support::clock::Stopwatch;
use crate::work::{Waiter, all_parked};
use async_channel::{Receiver, Sender};
use async_executor::LocalExecutor;
use async_io::{Async, Timer};
use futures_lite::{AsyncReadExt as _, AsyncWriteExt as _, FutureExt as _, future};
use std::cell::Cell;
use std::future::Future;
use std::time::Duration;

thread_local! {
    /// The executor of the scenario that runs, for the groups in it.
    static EXECUTOR: Cell<Option<&'static LocalExecutor<'static>>> = const { Cell::new(None) };
}

fn open() -> &'static LocalExecutor<'static> {
    let executor: &'static _ = Box::leak(Box::default());
    EXECUTOR.set(Some(executor));
    executor
}

fn executor() -> &'static LocalExecutor<'static> {
    EXECUTOR.get().expect("groups are opened in a run")
}

/// The one contender of this family.
#[derive(Debug)]
pub(crate) struct Smol;

impl Contender for Smol {
    const NAME: &'static str = "async-executor";
    type Out = ();

    /// Its own bare loop: that of `async-io` also looks at its reactor.
    fn run<T>(main: impl Future<Output = T>) -> T {
        future::block_on(open().run(main))
    }

    fn run_waiting<T>(main: impl Future<Output = T>) -> T {
        async_io::block_on(open().run(main))
    }

    async fn group<F: Future<Output = ()> + 'static>(children: impl Iterator<Item = F>) {
        let executor = executor();
        let group: Vec<_> = children.map(|child| executor.spawn(child)).collect();
        for task in group {
            task.await;
        }
    }
}

impl Timers for Smol {
    async fn sleep(d: Duration) {
        Timer::after(d).await;
    }

    async fn limited(d: Duration) {
        let ready = std::future::ready(true);
        let late = async {
            Timer::after(d).await;
            false
        };
        // The timer first, so that it is armed.
        assert!(late.or(ready).await, "it is over at once");
    }
}

impl Channels for Smol {
    type Tx = Sender<u64>;
    type Rx = Receiver<u64>;

    fn channel(capacity: usize) -> (Self::Tx, Self::Rx) {
        async_channel::bounded(capacity)
    }

    async fn send(tx: &mut Self::Tx, item: u64) {
        tx.send(item).await.expect("the receiver is there");
    }

    async fn receive(rx: &mut Self::Rx) -> u64 {
        rx.recv().await.expect("a sender is there")
    }
}

macro_rules! streams {
    ($std:ty) => {
        impl Streams<$std> for Smol {
            type Stream = Async<$std>;

            fn open(socket: $std) -> Self::Stream {
                Async::new(socket).expect("a socket can be watched")
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

streams!(std::os::unix::net::UnixStream);
streams!(std::net::TcpStream);

/// Drops the children where they are, one after the other: it has no way to cancel a group.
pub(crate) fn cancel_each(waiters: u64) -> Duration {
    Smol::run(async {
        let spawn = |_| {
            executor().spawn(async {
                let _waiter = Waiter::park();
                std::future::pending::<()>().await;
            })
        };
        let group: Vec<_> = (0..waiters).map(spawn).collect();
        all_parked(waiters).await;
        let start = Stopwatch::cpu();
        for task in group {
            assert_eq!(task.cancel().await, None, "every child is cancelled");
        }
        start.elapsed()
    })
}
