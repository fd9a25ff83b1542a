//! What a contender has to be able to do: the scenarios are written once, in these words.
//!
//! ```text
//!   groups.rs, cancel.rs, …: scenario::<C>() ─► Contender, Timers, Channels, Streams ◄─ ours.rs, tokio_local.rs, …
//! ```
//!
//! Rules: a contender does each of it as its own users would; nothing here adds a box or a task.

use crate::work::{Boxed, Out};
use std::future::Future;
use std::time::Duration;

/// Runs futures on this thread, in groups.
pub(crate) trait Contender: 'static {
    /// What the tables call it.
    const NAME: &'static str;

    /// What its children give back.
    type Out: Out;

    /// Runs `main` to its end, with nothing that waits for input or time if it can go without.
    fn run<T>(main: impl Future<Output = T>) -> T;

    /// The same, with timers and descriptors, and so that another thread can wake it while it waits for those.
    fn run_waiting<T>(main: impl Future<Output = T>) -> T {
        Self::run(main)
    }

    /// Opens a group, starts all `children` in it, and waits for them.
    async fn group<F: Future<Output = Self::Out> + 'static>(children: impl Iterator<Item = F>);

    /// The same with children that are boxed already: without a second box, if it can be had.
    async fn boxed_group(children: impl Iterator<Item = Boxed<Self::Out>>) {
        Self::group(children).await;
    }
}

/// Has timers.
pub(crate) trait Timers: Contender {
    fn sleep(d: Duration) -> impl Future<Output = ()> + 'static;

    /// A limit around a block that is over at once: armed, and cancelled.
    async fn limited(d: Duration);
}

/// Has a bounded channel, or one that goes with it.
pub(crate) trait Channels: Contender {
    type Tx: Clone + 'static;
    type Rx: 'static;

    fn channel(capacity: usize) -> (Self::Tx, Self::Rx);
    async fn send(tx: &mut Self::Tx, item: u64);
    /// The next item; the other side is there.
    async fn receive(rx: &mut Self::Rx) -> u64;
}

/// Reads and writes sockets of type `S`, which are std's.
pub(crate) trait Streams<S>: Contender {
    type Stream: 'static;

    /// Takes over a connected socket.
    fn open(socket: S) -> Self::Stream;
    /// Reads what is there into the whole of `buffer`; 0 is the end.
    async fn read(stream: &mut Self::Stream, buffer: Vec<u8>) -> (usize, Vec<u8>);
    /// Writes the first `n` bytes of `buffer`.
    async fn write_all(stream: &mut Self::Stream, buffer: Vec<u8>, n: usize) -> Vec<u8>;
}
