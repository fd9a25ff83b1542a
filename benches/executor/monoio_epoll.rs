//! A peer: monoio on its epoll driver.
//!
//! Groups are handles kept in a `Vec`; a dropped handle leaves its task running. A task that wakes itself goes to the front
//! of the queue, before all others: its yields are not fair.

use crate::contender::{Channels, Contender, Streams, Timers};
use local_sync::mpsc::bounded::{Rx, Tx, channel};
use monoio::buf::IoBuf as _;
use monoio::io::{AsyncReadRent as _, AsyncWriteRentExt as _};
use monoio::{LegacyDriver, RuntimeBuilder, net, spawn, time};
use std::future::Future;
use std::time::Duration;

/// The one contender of this family.
#[derive(Debug)]
pub(crate) struct Monoio;

impl Contender for Monoio {
    const NAME: &'static str = "monoio";
    type Out = ();

    fn run<T>(main: impl Future<Output = T>) -> T {
        RuntimeBuilder::<LegacyDriver>::new().build().expect("epoll is there").block_on(main)
    }

    fn run_waiting<T>(main: impl Future<Output = T>) -> T {
        let builder = RuntimeBuilder::<LegacyDriver>::new().enable_timer();
        builder.build().expect("epoll is there").block_on(main)
    }

    async fn group<F: Future<Output = ()> + 'static>(children: impl Iterator<Item = F>) {
        let group: Vec<_> = children.map(spawn).collect();
        for task in group {
            task.await;
        }
    }
}

impl Timers for Monoio {
    fn sleep(d: Duration) -> impl Future<Output = ()> + 'static {
        time::sleep(d)
    }

    async fn limited(d: Duration) {
        time::timeout(d, std::future::ready(())).await.expect("it is over at once");
    }
}

impl Channels for Monoio {
    type Tx = Tx<u64>;
    type Rx = Rx<u64>;

    fn channel(capacity: usize) -> (Self::Tx, Self::Rx) {
        channel(capacity)
    }

    async fn send(tx: &mut Self::Tx, item: u64) {
        assert!(tx.send(item).await.is_ok(), "the receiver is there");
    }

    async fn receive(rx: &mut Self::Rx) -> u64 {
        rx.recv().await.expect("a sender is there")
    }
}

macro_rules! streams {
    ($std:ty, $stream:ty) => {
        impl Streams<$std> for Monoio {
            type Stream = $stream;

            fn open(socket: $std) -> Self::Stream {
                socket.set_nonblocking(true).expect("a socket");
                <$stream>::from_std(socket).expect("a socket can be watched")
            }

            async fn read(stream: &mut Self::Stream, buffer: Vec<u8>) -> (usize, Vec<u8>) {
                let (n, buffer) = stream.read(buffer).await;
                (n.expect("a connected socket"), buffer)
            }

            async fn write_all(stream: &mut Self::Stream, buffer: Vec<u8>, n: usize) -> Vec<u8> {
                let (written, buffer) = stream.write_all(buffer.slice(..n)).await;
                assert_eq!(written.expect("the peer reads"), n);
                buffer.into_inner()
            }
        }
    };
}

streams!(std::os::unix::net::UnixStream, net::UnixStream);
streams!(std::net::TcpStream, net::TcpStream);
