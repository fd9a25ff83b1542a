//! A peer: tokio on one thread, with children that need not be `Send`.
//!
//! Groups are a `JoinSet`, a `TaskTracker`, or plain handles kept in a `Vec` (cheaper; but a dropped handle leaves its task
//! running).

use crate::contender::{Channels, Contender, Streams, Timers};
use crate::support::clock::Stopwatch;
use crate::work::{Waiter, all_parked};
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use std::future::Future;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net;
use tokio::runtime::{Builder, LocalOptions, LocalRuntime};
use tokio::sync::mpsc;
use tokio::task::{spawn_local, unconstrained};
use tokio_util::task::TaskTracker;

fn runtime(waits: bool) -> LocalRuntime {
    let mut builder = Builder::new_current_thread();
    if waits {
        builder.enable_all();
    }
    builder.build_local(LocalOptions::default()).expect("a runtime can be built")
}

macro_rules! tokio_contender {
    ($(#[$doc:meta])* $C:ident, $name:literal, |$children:ident| $group:block) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub(crate) struct $C;

        impl Contender for $C {
            const NAME: &'static str = $name;
            type Out = ();

            fn run<T>(main: impl Future<Output = T>) -> T {
                runtime(false).block_on(main)
            }

            fn run_waiting<T>(main: impl Future<Output = T>) -> T {
                runtime(true).block_on(main)
            }

            async fn group<F: Future<Output = ()> + 'static>($children: impl Iterator<Item = F>) $group
        }
    };
}

tokio_contender!(
    /// Its group.
    JoinSet, "tokio JoinSet", |children| {
        let mut group = tokio::task::JoinSet::new();
        for child in children {
            group.spawn_local(child);
        }
        while let Some(ended) = group.join_next().await {
            ended.expect("no child panics");
        }
    }
);

tokio_contender!(
    /// Counts tasks, and keeps nothing of them.
    Tracker, "tokio TaskTracker", |children| {
        let group = TaskTracker::new();
        for child in children {
            group.spawn_local(child);
        }
        group.close();
        group.wait().await;
    }
);

tokio_contender!(
    /// Handles in a `Vec`.
    Handles, "tokio handles", |children| {
        let group: Vec<_> = children.map(spawn_local).collect();
        for task in group {
            task.await.expect("no child panics");
        }
    }
);

tokio_contender!(
    /// A collection in a task of it. The task is let off tokio's budget, which lets a task poll 128 timers or sockets in a
    /// turn: with it, most polls of a large collection are in vain.
    Unbudgeted, "FuturesUnordered in tokio", |children| {
        let mut group: FuturesUnordered<F> = children.collect();
        unconstrained(async { while group.next().await.is_some() {} }).await;
    }
);

macro_rules! timers_and_channels {
    ($C:ty) => {
        impl Timers for $C {
            fn sleep(d: Duration) -> impl Future<Output = ()> + 'static {
                tokio::time::sleep(d)
            }

            async fn limited(d: Duration) {
                tokio::time::timeout(d, std::future::ready(())).await.expect("it is over at once");
            }
        }

        impl Channels for $C {
            type Tx = mpsc::Sender<u64>;
            type Rx = mpsc::Receiver<u64>;

            fn channel(capacity: usize) -> (Self::Tx, Self::Rx) {
                mpsc::channel(capacity)
            }

            async fn send(tx: &mut Self::Tx, item: u64) {
                tx.send(item).await.expect("the receiver is there");
            }

            async fn receive(rx: &mut Self::Rx) -> u64 {
                rx.recv().await.expect("a sender is there")
            }
        }
    };
}

timers_and_channels!(JoinSet);
timers_and_channels!(Tracker);
timers_and_channels!(Unbudgeted);

macro_rules! streams {
    ($std:ty, $stream:ty) => {
        impl Streams<$std> for JoinSet {
            type Stream = $stream;

            fn open(socket: $std) -> Self::Stream {
                socket.set_nonblocking(true).expect("a socket");
                <$stream>::from_std(socket).expect("a socket can be watched")
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

streams!(std::os::unix::net::UnixStream, net::UnixStream);
streams!(std::net::TcpStream, net::TcpStream);

/// Drops the children where they are: none can clean up.
pub(crate) fn cancel_by_abort(waiters: u64) -> Duration {
    runtime(false).block_on(async {
        let mut group = tokio::task::JoinSet::new();
        for _ in 0..waiters {
            group.spawn_local(async {
                let _waiter = Waiter::park();
                std::future::pending::<()>().await;
            });
        }
        all_parked(waiters).await;
        let start = Stopwatch::cpu();
        group.abort_all();
        while let Some(ended) = group.join_next().await {
            assert!(ended.is_err_and(|e| e.is_cancelled()), "every child is aborted");
        }
        start.elapsed()
    })
}
