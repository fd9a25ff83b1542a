//! Streams of bytes in memory: what a protocol's tests use in place of a socket.
//!
//! ```text
//!   MemorySend ─ send_all ─► sent ─ pump ─► arrived ─ receive ─► MemoryReceive          memory_pipe: pumped at once
//!                             │  └─ hold(): only when pump() is called                  lock_step_pipe: send_all waits
//!                             └─ take_sent: what a test reads        put: what a test feeds ─► arrived
//! ```
//!
//! `pipe.rs`: what the two ends share. `bytes.rs`: they are read and written by the traits of [`crate::io`], and fail then as
//! sockets do. `checks.rs`: what every stream promises, to be checked on any.
//!
//! Rules:
//! * An end that was closed by its own side fails with `Closed`; a sender whose receiver is gone with `Broken`; the second
//!   of two who use one end at once with `Busy`; a receiver whose sender is gone gets what was sent, then `End`.
//! * Every operation suspends once before it does anything, so that two of one end meet (`Busy`), in any order.

mod bytes;
mod checks;
mod error;
mod pipe;

pub use checks::{Room, check_half_closeable, check_one_way, check_two_way};
pub use error::{ReceiveError, SendError};

use crate::checkpoint::checkpoint;
use crate::error::Cancelled;
use pipe::{InUse, Mode, Pipe, TakeBack, Wants};
use std::fmt;
use std::rc::Rc;

/// The sending end of a pipe. Dropping it closes it.
pub struct MemorySend(Rc<Pipe>);

/// The receiving end of a pipe. Dropping it closes it.
pub struct MemoryReceive(Rc<Pipe>);

/// A pipe in memory: what is sent is there at once, however much it is. Source: trio's `memory_stream_one_way_pair`.
///
/// ```
/// use pleach_executor::{Cancelled, testing::{run_virtual, streams::{ReceiveError, memory_pipe}}};
/// let r: Result<(), Cancelled> = run_virtual(async {
///     let (send, receive) = memory_pipe();
///     send.send_all(b"hello").await?.unwrap();
///     send.close();
///     assert_eq!(receive.receive(3).await?.unwrap(), b"hel");
///     assert_eq!(receive.receive(3).await?.unwrap(), b"lo");
///     assert_eq!(receive.receive(3).await?, Err(ReceiveError::End));
///     Ok(())
/// });
/// r.unwrap();
/// ```
#[must_use]
pub fn memory_pipe() -> (MemorySend, MemoryReceive) {
    open(Mode::Free)
}

/// A pipe without room: a send is over when all of it has been received. A [`write`](crate::io::WriteBytes::write) waits for a
/// read, and gives it as much as that has room for. Source: trio's `lockstep_stream_one_way_pair`.
///
/// ```
/// use pleach_executor::{Cancelled, nursery, testing::{run_virtual, streams::lock_step_pipe, wait_until_idle}};
/// let r: Result<(), Cancelled> = run_virtual(nursery(async |n| {
///     let (send, receive) = lock_step_pipe();
///     let sent = n.task(async move { send.send_all(b"hi").await });
///     wait_until_idle().await?;
///     assert!(!sent.is_ended());
///     assert_eq!(receive.receive(9).await?.unwrap(), b"hi");
///     sent.await?.unwrap();
///     Ok(())
/// }));
/// r.unwrap();
/// ```
#[must_use]
pub fn lock_step_pipe() -> (MemorySend, MemoryReceive) {
    open(Mode::LockStep)
}

/// Two streams that are connected, each way by a [`memory_pipe`]. Source: trio's `memory_stream_pair`.
#[must_use]
pub fn memory_pair() -> (MemoryStream, MemoryStream) {
    cross(memory_pipe(), memory_pipe())
}

/// The same, each way by a [`lock_step_pipe`]. Source: trio's `lockstep_stream_pair`.
#[must_use]
pub fn lock_step_pair() -> (MemoryStream, MemoryStream) {
    cross(lock_step_pipe(), lock_step_pipe())
}

fn open(mode: Mode) -> (MemorySend, MemoryReceive) {
    let pipe = Rc::new(Pipe::new(mode));
    (MemorySend(Rc::clone(&pipe)), MemoryReceive(pipe))
}

fn cross(
    there: (MemorySend, MemoryReceive),
    back: (MemorySend, MemoryReceive),
) -> (MemoryStream, MemoryStream) {
    (MemoryStream { send: there.0, receive: back.1 }, MemoryStream { send: back.0, receive: there.1 })
}

impl MemorySend {
    /// Sends all of `bytes`; of none it says only whether the stream is in order.
    ///
    /// # Cancellation
    ///
    /// A checkpoint always. Of a memory pipe: Strict. Of a lock-step pipe: **Lossy**, some of the bytes may have been
    /// received; the others are taken back.
    ///
    /// # Errors
    ///
    /// [`Cancelled`] if the scope around the call is cancelled; [`SendError`] says the rest.
    pub async fn send_all(&self, bytes: &[u8]) -> Result<Result<(), SendError>, Cancelled> {
        let pipe = &*self.0;
        let _in_use = match self.begin().await? {
            Ok(in_use) => in_use,
            Err(e) => return Ok(Err(e)),
        };
        if let Err(e) = pipe.may_send() {
            return Ok(Err(e));
        }
        pipe.bytes.borrow_mut().sent.extend(bytes);
        pipe.pump_unless_held();
        if pipe.mode == Mode::LockStep {
            let taking_back = TakeBack { pipe, count: bytes.len() };
            while !pipe.is_empty() && pipe.may_send().is_ok() {
                pipe.lot.park().await?;
            }
            let unfinished = !pipe.is_empty();
            drop(taking_back);
            if unfinished {
                return Ok(pipe.may_send());
            }
        }
        Ok(Ok(()))
    }

    /// Suspends once, with this end in use.
    async fn begin(&self) -> Result<Result<InUse<'_>, SendError>, Cancelled> {
        if self.0.send_closed.get() {
            checkpoint().await?;
            return Ok(Err(SendError::Closed));
        }
        let Some(in_use) = InUse::begin(&self.0.sending) else { return Ok(Err(SendError::Busy)) };
        checkpoint().await?;
        Ok(Ok(in_use))
    }

    /// No more will be sent: the receiver gets what was, then [`ReceiveError::End`]. Closing again does nothing.
    pub fn close(&self) {
        self.0.send_closed.set(true);
        self.0.pump_unless_held();
        self.0.lot.unpark_all();
    }

    /// From now on what is sent stays on the way until it is [pumped](MemorySend::pump).
    pub fn hold(&self) {
        self.0.held.set(true);
    }

    /// Moves at most `max` bytes of what is on the way to the receiver, and the end if nothing is left before it. Says
    /// whether anything moved. Source: trio's `memory_stream_pump`.
    pub fn pump(&self, max: usize) -> bool {
        self.0.pump(max)
    }

    /// Takes at most `max` bytes of what is on the way: what the code under test has sent, of a stream that is
    /// [held](MemorySend::hold).
    #[must_use]
    pub fn take_sent(&self, max: usize) -> Vec<u8> {
        let mut bytes = self.0.bytes.borrow_mut();
        let count = max.min(bytes.sent.len());
        bytes.sent.drain(..count).collect()
    }
}

impl MemoryReceive {
    /// Waits until something has arrived; at most `max` bytes of it.
    ///
    /// # Cancellation
    ///
    /// A checkpoint always; Strict.
    ///
    /// # Errors
    ///
    /// [`Cancelled`] if the scope around the call is cancelled; [`ReceiveError`] says the rest.
    ///
    /// # Panics
    ///
    /// If `max` is zero.
    pub async fn receive(&self, max: usize) -> Result<Result<Vec<u8>, ReceiveError>, Cancelled> {
        assert!(max > 0, "nothing was to be received: ask for one byte at least");
        let pipe = &*self.0;
        let _in_use = match self.begin().await? {
            Ok(in_use) => in_use,
            Err(e) => return Ok(Err(e)),
        };
        let mut wants = None;
        loop {
            if let Some(received) = self.take(max) {
                // A lock-step sender may wait for this.
                pipe.lot.unpark_all();
                return Ok(received);
            }
            wants.get_or_insert_with(|| Wants::begin(pipe, max));
            pipe.lot.park().await?;
        }
    }

    /// Suspends once, with this end in use.
    async fn begin(&self) -> Result<Result<InUse<'_>, ReceiveError>, Cancelled> {
        if self.0.receive_closed.get() {
            checkpoint().await?;
            return Ok(Err(ReceiveError::Closed));
        }
        let Some(in_use) = InUse::begin(&self.0.receiving) else { return Ok(Err(ReceiveError::Busy)) };
        checkpoint().await?;
        Ok(Ok(in_use))
    }

    fn take(&self, max: usize) -> Option<Result<Vec<u8>, ReceiveError>> {
        let mut bytes = self.0.bytes.borrow_mut();
        if self.0.receive_closed.get() {
            return Some(Err(ReceiveError::Closed));
        }
        let count = max.min(bytes.arrived.len());
        match count {
            0 => bytes.ended.then_some(Err(ReceiveError::End)),
            _ => Some(Ok(bytes.arrived.drain(..count).collect())),
        }
    }

    /// Puts bytes where they have arrived: what the code under test is to receive.
    ///
    /// # Panics
    ///
    /// If the end has been put already.
    #[track_caller]
    pub fn put(&self, bytes: &[u8]) {
        let mut inside = self.0.bytes.borrow_mut();
        assert!(!inside.ended, "nothing comes after the end of a stream");
        inside.arrived.extend(bytes);
        drop(inside);
        self.0.lot.unpark_all();
    }

    /// Says that no more will come: as if the sender had closed.
    pub fn put_end(&self) {
        self.0.bytes.borrow_mut().ended = true;
        self.0.lot.unpark_all();
    }

    /// Gives up on what is on the way: the sender fails with [`SendError::Broken`]. Closing again does nothing.
    pub fn close(&self) {
        self.0.receive_closed.set(true);
        self.0.lot.unpark_all();
    }
}

impl Drop for MemorySend {
    fn drop(&mut self) {
        self.close();
    }
}

impl Drop for MemoryReceive {
    fn drop(&mut self) {
        self.close();
    }
}

/// Two pipes, one each way, as one stream. Source: trio's `StapledStream`.
///
/// ```
/// use pleach_executor::{Cancelled, testing::{run_virtual, streams::{ReceiveError, memory_pair}}};
/// let r: Result<(), Cancelled> = run_virtual(async {
///     let (client, server) = memory_pair();
///     client.send_all(b"ping").await?.unwrap();
///     client.send_eof();
///     assert_eq!(server.receive(9).await?.unwrap(), b"ping");
///     assert_eq!(server.receive(9).await?, Err(ReceiveError::End));
///     server.send_all(b"pong").await?.unwrap();
///     assert_eq!(client.receive(9).await?.unwrap(), b"pong");
///     Ok(())
/// });
/// r.unwrap();
/// ```
#[derive(Debug)]
pub struct MemoryStream {
    /// What goes out.
    pub send: MemorySend,
    /// What comes in.
    pub receive: MemoryReceive,
}

impl MemoryStream {
    /// See [`MemorySend::send_all`].
    ///
    /// # Cancellation
    ///
    /// As [`MemorySend::send_all`].
    ///
    /// # Errors
    ///
    /// As [`MemorySend::send_all`].
    pub async fn send_all(&self, bytes: &[u8]) -> Result<Result<(), SendError>, Cancelled> {
        self.send.send_all(bytes).await
    }

    /// See [`MemoryReceive::receive`].
    ///
    /// # Cancellation
    ///
    /// As [`MemoryReceive::receive`].
    ///
    /// # Errors
    ///
    /// As [`MemoryReceive::receive`].
    ///
    /// # Panics
    ///
    /// If `max` is zero.
    pub async fn receive(&self, max: usize) -> Result<Result<Vec<u8>, ReceiveError>, Cancelled> {
        self.receive.receive(max).await
    }

    /// Closes this side's sending half; the other direction goes on. Again it does nothing.
    pub fn send_eof(&self) {
        self.send.close();
    }

    /// Closes both halves of this side.
    pub fn close(&self) {
        self.send.close();
        self.receive.close();
    }
}

impl fmt::Debug for MemorySend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemorySend")
            .field("on_the_way", &self.0.bytes.borrow().sent.len())
            .field("held", &self.0.held.get())
            .field("closed", &self.0.send_closed.get())
            .finish()
    }
}

impl fmt::Debug for MemoryReceive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryReceive")
            .field("arrived", &self.0.bytes.borrow().arrived.len())
            .field("closed", &self.0.receive_closed.get())
            .finish()
    }
}
