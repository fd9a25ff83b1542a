//! What every stream of bytes promises, as checks that any implementation can be put to.
//!
//! ```text
//!   make() ─► (writer, reader) ─► check_one_way           order, ends, faults, cancellation     room: do writes wait?
//!   make() ─► (a, b) ─┬─► check_two_way                   each way so, and both at once
//!                     └─► check_half_closeable            and one way after the end of the other
//! ```
//!
//! Rules:
//! * Each promise is checked on a pair of its own, and a stream that breaks one panics with its name.
//! * A moment at which an operation waits is one at which everybody waits ([`wait_until_idle`]): no sleep stands for it.

mod clogged;
mod one_way;
mod two_way;

use crate::cancel::CancelScope;
use crate::checkpoint::check;
use crate::error::Cancelled;
use crate::io::{Fault, ReadBytes, WriteBytes};
use crate::testing::wait_until_idle;
use std::fmt::Debug;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::task::Poll;

/// How much a stream takes while nobody reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// Fewer bytes than this: then writes wait, as those of a socket do (16 MiB is more than any has by itself), or of a
    /// lock-step pipe.
    Below(usize),
    /// Whatever comes, as a memory pipe. What only a write that waits can show is not checked.
    Endless,
}

/// Checks that what `make` makes is a stream from its first to its second value: everything arrives in order and before the
/// end, each end has one user, errors say whose fault they are, and a cancelled or dropped operation has taken nothing, or
/// says how much.
///
/// `make` is called for each promise. Nothing else may be running that never waits: the checks wait for idleness.
///
/// Source: trio's `check_one_way_stream`.
///
/// # Cancellation
///
/// A checkpoint always; what is cancelled fails.
///
/// # Panics
///
/// At the first promise that is not kept; it says which. If `make` fails. A stream on which an operation hangs makes this
/// hang: put a [limit](crate::testing::limited) around it.
///
/// ```
/// use pleach_executor::testing::{run_virtual, streams::{Room, check_one_way, lock_step_pipe}};
/// run_virtual(check_one_way(async || Ok(lock_step_pipe()), Room::Below(1000)));
/// ```
pub async fn check_one_way<W, R>(make: impl AsyncFn() -> io::Result<(W, R)>, room: Room)
where
    W: WriteBytes,
    R: ReadBytes,
{
    one_way::check(&make).await;
    if let Room::Below(much) = room {
        clogged::check(&make, much).await;
    }
}

/// Checks that what `make` makes is two ends of a stream: each way as [`check_one_way`], both ways at once, and neither in the
/// way of the other.
///
/// Source: trio's `check_two_way_stream`.
///
/// # Cancellation
///
/// As [`check_one_way`].
///
/// # Panics
///
/// As [`check_one_way`].
///
/// ```
/// use pleach_executor::{run, net::UnixStream, testing::streams::{Room, check_two_way}};
/// run(check_two_way(async || UnixStream::pair(), Room::Below(16 << 20)));
/// ```
pub async fn check_two_way<A, B>(make: impl AsyncFn() -> io::Result<(A, B)>, room: Room)
where
    A: ReadBytes + WriteBytes,
    B: ReadBytes + WriteBytes,
{
    check_one_way(&make, room).await;
    check_one_way(async || make().await.map(|(a, b)| (b, a)), room).await;
    two_way::check(&make).await;
    if let Room::Below(much) = room {
        two_way::check_clogged(&make, much).await;
    }
}

/// Checks the same as [`check_two_way`], and that one direction can end while the other goes on.
///
/// Source: trio's `check_half_closeable_stream`.
///
/// # Cancellation
///
/// As [`check_one_way`].
///
/// # Panics
///
/// As [`check_one_way`].
///
/// ```
/// use pleach_executor::testing::{run_virtual, streams::{Room, check_half_closeable, memory_pair}};
/// run_virtual(check_half_closeable(async || Ok(memory_pair()), Room::Endless));
/// ```
pub async fn check_half_closeable<A, B>(make: impl AsyncFn() -> io::Result<(A, B)>, room: Room)
where
    A: ReadBytes + WriteBytes,
    B: ReadBytes + WriteBytes,
{
    check_two_way(&make, room).await;
    two_way::check_halves(&make).await;
    two_way::check_halves(&async || make().await.map(|(a, b)| (b, a))).await;
}

// ---- what the checks are made of -----------------------------------------------------------------------------

async fn made<P>(make: &impl AsyncFn() -> io::Result<P>) -> P {
    make().await.unwrap_or_else(|e| panic!("no pair was made: {e}"))
}

/// Bytes of which no two neighbours are alike, and no two blocks.
fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i % 251) as u8).collect()
}

/// Polls `op` until everybody waits, it too.
async fn begin<T>(promise: &str, mut op: Pin<&mut impl Future<Output = io::Result<T>>>) {
    let mut idle = pin!(wait_until_idle());
    poll_fn(|cx| {
        if let Poll::Ready(ended) = op.as_mut().poll(cx) {
            panic!(
                "{promise}: it has ended instead of waiting, {}",
                ended.map_or_else(|e| e.to_string(), |_| "well".into())
            );
        }
        idle.as_mut().poll(cx)
    })
    .await
    .unwrap_or_else(|e| panic!("{promise}: {e}"));
}

/// The value of an operation that has to go well.
fn well<T>(promise: &str, ended: io::Result<T>) -> T {
    ended.unwrap_or_else(|e| panic!("{promise}: {e}"))
}

/// The error of one that must not.
fn fault<T: Debug>(promise: &str, expected: Fault, ended: io::Result<T>) {
    match ended {
        Ok(value) => panic!("{promise}: {expected:?} was expected, and it gave {value:?}"),
        Err(e) => assert_eq!(Fault::of(&e), expected, "{promise}: {e}"),
    }
}

/// Does it in a scope that is cancelled from the beginning.
async fn in_cancelled_scope(body: impl AsyncFnOnce()) {
    let ended: Result<Option<()>, Cancelled> = CancelScope::new()
        .run(async |scope| {
            scope.cancel();
            body().await;
            check()
        })
        .await;
    assert!(matches!(ended, Ok(None)), "a cancellation was lost on the way");
}

/// Both at once. An error of one is an error of both, when the other has ended.
async fn both<A, B>(
    promise: &str,
    a: impl Future<Output = io::Result<A>>,
    b: impl Future<Output = io::Result<B>>,
) -> (A, B) {
    well(promise, crate::combine::both(a, b).await)
}

/// `sent`, and the end of it, arrives as it is.
async fn arrives(promise: &str, writer: impl WriteBytes, reader: &impl ReadBytes, sent: &[u8]) {
    let writing = async {
        writer.write_all(sent).await?;
        drop(writer);
        Ok(())
    };
    let (_, got) = both(promise, writing, read_to_end(reader, 4096)).await;
    assert!(got == sent, "{promise}: {} bytes were written and {} read, or others", sent.len(), got.len());
}

async fn read_to_end(reader: &impl ReadBytes, at_once: usize) -> io::Result<Vec<u8>> {
    let (mut got, mut room) = (Vec::new(), vec![0; at_once]);
    loop {
        match reader.read(&mut room).await? {
            0 => return Ok(got),
            read => got.extend_from_slice(&room[..read]),
        }
    }
}
