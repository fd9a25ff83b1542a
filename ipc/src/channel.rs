//! One typed, ordered, two-way pipe of messages: drives the protocol over a transport.
//!
//! ```text
//!   send, try_send_now ─► [ Encoder ] ─ write_now ─► socket          recv ◄─ [ Decoder ] ◄─ read_now ◄─ socket
//!                             │ bytes left                             │ waits
//!                             └─────────── dirty ──────────────────────┘ and writes what is left meanwhile
//!   send, flush: no room ─► crowd ◄── whoever has written some wakes all of it
//! ```
//!
//! Words: the *pilot* is the one future that waits for room in the socket; the others are the *crowd*.
//!
//! Rules:
//! * **Never half a frame**: a frame is queued whole or not at all, and bytes leave the queue only as the socket takes
//!   them. Bytes of half a frame that came stay in the decoder. So any future here can be dropped at any moment.
//! * **Nothing is stuck**: what could not be written at once is written by the reader while it waits. While there is a
//!   [`Reader`] nobody else is the pilot: a sender may be held by code that does not poll it, and what others have to say
//!   must not wait for that. Without a reader the first who waits is the pilot, and its place is passed on when it leaves.
//! * **Two halves**: a peer that does not read any more can still be read from. A failed write never loses what came.
//! * No borrow of a buffer is held across an await.
//!
//! Not here: who is at the other end, the order of messages (`proto::handshake`, and the layer above), time.

use crate::error::ChannelError;
use crate::proto::{Decoder, EncodeError, Encoder, Limits, Message};
use crate::transport::Uds;
use pleach_executor::net::UnixStream;
use pleach_executor::parking::ParkingLot;
use pleach_executor::{Cancelled, checked};
use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net;
use std::pin::pin;
use std::task::Poll;

/// A connection to another actor. New, it is in boot: frames are small until [`open`](Channel::open).
///
/// All methods take `&self`: one task may receive while others send.
///
/// ```
/// use pleach_executor::run;
/// use pleach_ipc::{Channel, proto::Message};
/// run(async {
///     let (parent, child) = Channel::pair().unwrap();
///     child.send(&Message::Ready).await.unwrap();
///     child.close_write();
///     assert_eq!(parent.recv().await.unwrap(), Some(Message::Ready));
///     assert_eq!(parent.recv().await.unwrap(), None);
/// });
/// ```
#[derive(Debug)]
pub struct Channel {
    transport: Uds,
    input: RefCell<Input>,
    output: RefCell<Output>,
    /// Some future waits for room in the socket.
    piloted: Cell<bool>,
    readers: Cell<usize>,
    /// Those who wait for room, and leave it to others to wait for the socket.
    crowd: ParkingLot,
    /// The reader, while there is nothing to write for it.
    dirty: ParkingLot,
}

#[derive(Debug)]
struct Input {
    decoder: Decoder,
    ended: bool,
}

#[derive(Debug)]
struct Output {
    queue: Encoder,
    state: Writing,
}

/// Invariant: only `Open` and `Closing` have bytes in the queue.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Writing {
    Open,
    /// Closed by us; what is queued still goes out.
    Closing,
    /// Closed by us, and the peer can see it.
    Closed,
    /// The peer does not read any more.
    Broken(Option<i32>),
}

impl Channel {
    /// A channel over a socket of std's, such as the end of a socketpair that a child was born with.
    ///
    /// # Errors
    ///
    /// Of `fcntl(2)` and `epoll_ctl(2)`.
    ///
    /// # Panics
    ///
    /// Outside a run.
    #[track_caller]
    pub fn from_std(stream: net::UnixStream) -> io::Result<Self> {
        Ok(Channel {
            transport: Uds::new(stream)?,
            input: RefCell::new(Input { decoder: Decoder::booting(), ended: false }),
            output: RefCell::new(Output { queue: Encoder::new(Limits::default()), state: Writing::Open }),
            piloted: Cell::new(false),
            readers: Cell::new(0),
            crowd: ParkingLot::new(),
            dirty: ParkingLot::new(),
        })
    }

    /// A channel over a socket of the runtime.
    ///
    /// # Errors
    ///
    /// As [`from_std`](Channel::from_std).
    ///
    /// # Panics
    ///
    /// Outside a run.
    #[track_caller]
    pub fn from_stream(stream: UnixStream) -> io::Result<Self> {
        Self::from_std(stream.into_std())
    }

    /// Two channels connected to each other, in boot.
    ///
    /// # Errors
    ///
    /// Of `socketpair(2)`, and as [`from_std`](Channel::from_std).
    ///
    /// # Panics
    ///
    /// Outside a run.
    #[track_caller]
    pub fn pair() -> io::Result<(Self, Self)> {
        let (a, b) = net::UnixStream::pair()?;
        Ok((Self::from_std(a)?, Self::from_std(b)?))
    }

    /// Gives the socket back, non-blocking as it is. Bytes that are still in the buffers are lost.
    #[must_use]
    pub fn into_std(self) -> net::UnixStream {
        self.transport.into_std()
    }

    /// The handshake is done: from now on these limits hold, in both directions.
    pub fn open(&self, limits: Limits) {
        self.input.borrow_mut().decoder.open(limits);
        self.output.borrow_mut().queue.set_limits(limits);
    }

    // ---- in

    /// The task that will receive, for as long as it does: as long as there is one, all that waits to be written is
    /// written by it, in [`Reader::recv`]. So it has to come back to that.
    ///
    /// Take it before anything is sent: a sender that waits for room already stays the one who writes.
    pub fn reader(&self) -> Reader<'_> {
        self.readers.set(self.readers.get() + 1);
        Reader(self)
    }

    /// The next message, by a [`Reader`] of this call alone.
    ///
    /// # Cancellation
    ///
    /// As [`Reader::recv`].
    ///
    /// # Errors
    ///
    /// As [`Reader::recv`].
    ///
    /// # Panics
    ///
    /// If it belongs to another run.
    pub async fn recv(&self) -> Result<Option<Message>, ChannelError> {
        self.reader().recv().await
    }

    /// Everything that has come, without waiting: for a peer that is dead, or before a decision that needs to know all
    /// there is. May be called from anywhere on the thread of the run, also while another task receives.
    pub fn drain(&self) -> Drained {
        let mut input = self.input.borrow_mut();
        let mut messages = Vec::new();
        // A peer that is alive may write for ever; what the socket can hold at once is far less than this.
        let mut left = DRAIN_MOST;
        loop {
            while let Some(next) = input.next() {
                match next {
                    Ok(Some(m)) => messages.push(m),
                    Ok(None) => return Drained { messages, end: DrainEnd::Closed },
                    Err(e) => return Drained { messages, end: DrainEnd::Failed(e) },
                }
            }
            if left == 0 {
                return Drained { messages, end: DrainEnd::More };
            }
            match input.read_now(&self.transport) {
                Ok(Some(n)) => left = left.saturating_sub(n),
                Ok(None) => return Drained { messages, end: DrainEnd::Open },
                Err(e) => return Drained { messages, end: DrainEnd::Failed(e) },
            }
        }
    }

    // ---- out

    /// Queues the message as soon as there is room for it, and waits until all that is queued has been written.
    ///
    /// # Cancellation
    ///
    /// A checkpoint always. Cancelled while it waits for room: not sent. Cancelled later: sent, whole, by whoever
    /// flushes or receives next. Never half of it.
    ///
    /// # Errors
    ///
    /// `Cancelled`; `Encode` if it is too large; `Closed` after [`close_write`](Channel::close_write); `Broken` if
    /// the peer does not read any more.
    ///
    /// # Panics
    ///
    /// If it belongs to another run.
    pub async fn send(&self, message: &Message) -> Result<(), ChannelError> {
        checked(std::future::ready(())).await?;
        loop {
            match self.queue(message) {
                Err(ChannelError::Encode(EncodeError::Full { .. })) => self.room().await?,
                Err(e) => return Err(e),
                Ok(()) => break,
            }
        }
        self.flush().await
    }

    /// Queues the message and writes what the socket takes at once. What it does not take is written by the task that
    /// receives, or the next to flush or send.
    ///
    /// For control messages, from code that cannot wait: they have room of their own in the queue.
    ///
    /// # Errors
    ///
    /// `Encode` if it is too large or there is no room; `Closed`; `Broken`. Nothing of the message was queued or
    /// written.
    pub fn try_send_now(&self, message: &Message) -> Result<Sent, ChannelError> {
        self.queue(message)?;
        Ok(if self.output.borrow().queue.is_empty() { Sent::Written } else { Sent::Queued })
    }

    /// Waits until all that is queued has been written, or shut after it.
    ///
    /// # Cancellation
    ///
    /// A checkpoint if there is anything left to write; what is left stays queued.
    ///
    /// # Errors
    ///
    /// `Cancelled`; `Broken` if the peer does not read any more.
    ///
    /// # Panics
    ///
    /// If it belongs to another run.
    pub async fn flush(&self) -> Result<(), ChannelError> {
        while !self.write_now()? {
            self.room().await?;
        }
        Ok(())
    }

    /// Nothing more will be sent: the peer sees the end after all that is queued. Does not wait; a
    /// [`flush`](Channel::flush) does.
    pub fn close_write(&self) {
        let mut output = self.output.borrow_mut();
        if output.state == Writing::Open {
            output.state = Writing::Closing;
            drop(output);
            // A broken connection is closed enough.
            let _ = self.write_now();
        }
    }

    /// How many bytes wait to be written.
    #[must_use]
    pub fn unsent(&self) -> usize {
        self.output.borrow().queue.unsent().len()
    }

    /// Queues the message, whole, and writes what the socket takes.
    fn queue(&self, message: &Message) -> Result<(), ChannelError> {
        match self.output.borrow().state {
            Writing::Open => {}
            Writing::Closing | Writing::Closed => return Err(ChannelError::Closed),
            Writing::Broken(errno) => return Err(broken(errno)),
        }
        // What waits goes first, so that a queue counts as full only if the socket is.
        self.write_now()?;
        self.output.borrow_mut().queue.push(message).map_err(ChannelError::Encode)?;
        if !self.write_now()? {
            self.dirty.unpark_all();
        }
        Ok(())
    }

    /// Writes what the socket takes, and lets those who wait for room know. True: nothing is left to do.
    fn write_now(&self) -> Result<bool, ChannelError> {
        let mut output = self.output.borrow_mut();
        let before = output.queue.unsent().len();
        let written = output.write_now(&self.transport);
        let made_room = output.queue.unsent().len() < before;
        drop(output);
        if made_room {
            self.crowd.unpark_all();
        }
        written
    }

    /// Waits until the socket may have taken some.
    async fn room(&self) -> Result<(), ChannelError> {
        if self.readers.get() > 0 {
            return Ok(self.crowd.park().await?);
        }
        self.room_as_pilot().await
    }

    /// Waits until the socket may take more, as the pilot or behind it.
    async fn room_as_pilot(&self) -> Result<(), ChannelError> {
        if self.piloted.get() {
            return Ok(self.crowd.park().await?);
        }
        self.piloted.set(true);
        let _pilot = Pilot(self);
        Ok(self.transport.writable().await?)
    }
}

/// The task that receives from a [`Channel`], and writes meanwhile.
///
/// ```
/// use pleach_executor::run;
/// use pleach_ipc::{Channel, proto::Message};
/// run(async {
///     let (parent, child) = Channel::pair().unwrap();
///     let reader = parent.reader();
///     child.send(&Message::Ready).await.unwrap();
///     assert_eq!(reader.recv().await.unwrap(), Some(Message::Ready));
/// });
/// ```
#[derive(Debug)]
pub struct Reader<'a>(&'a Channel);

impl Reader<'_> {
    /// The next message; `None` when the peer has closed its side, cleanly between two messages. While it waits it
    /// also writes what is queued.
    ///
    /// # Cancellation
    ///
    /// A checkpoint always; Strict: no message is taken, and half a message that came is kept.
    ///
    /// # Errors
    ///
    /// `Cancelled`; `Protocol` if the peer broke it, again and again from then on; `Broken` if the socket did; `Busy`
    /// if another task receives.
    ///
    /// # Panics
    ///
    /// If it belongs to another run.
    pub async fn recv(&self) -> Result<Option<Message>, ChannelError> {
        checked(self.receive()).await?
    }

    async fn receive(&self) -> Result<Option<Message>, ChannelError> {
        loop {
            if let Some(next) = self.0.input.borrow_mut().next() {
                return next;
            }
            // A peer that never pauses would keep this from ever waiting, and so from writing. If it is broken: below.
            let _ = self.0.write_now();
            self.readable().await?;
            self.0.input.borrow_mut().read_now(&self.0.transport)?;
        }
    }

    /// Waits for bytes to read, and writes what is queued meanwhile.
    async fn readable(&self) -> Result<(), ChannelError> {
        let mut readable = pin!(self.0.transport.readable());
        let mut write = pin!(self.write());
        poll_fn(|cx| {
            if let Poll::Ready(r) = readable.as_mut().poll(cx) {
                return Poll::Ready(r.map_err(ChannelError::from));
            }
            write.as_mut().poll(cx).map(|Err(c)| Err(ChannelError::Cancelled(c)))
        })
        .await
    }

    /// Writes whatever is queued, whenever it is.
    async fn write(&self) -> Result<Infallible, Cancelled> {
        loop {
            let waited = match self.0.write_now() {
                Ok(false) => self.0.room_as_pilot().await,
                // Broken: senders hear of it, and reading finds the end.
                Ok(true) | Err(_) => self.0.dirty.park().await.map_err(ChannelError::from),
            };
            if let Err(ChannelError::Cancelled(c)) = waited {
                return Err(c);
            }
        }
    }
}

impl Drop for Reader<'_> {
    fn drop(&mut self) {
        self.0.readers.set(self.0.readers.get() - 1);
        self.0.crowd.unpark_all();
    }
}

/// Whoever leaves the pilot's place lets the others look again: one of them is the next.
struct Pilot<'a>(&'a Channel);

impl Drop for Pilot<'_> {
    fn drop(&mut self) {
        self.0.piloted.set(false);
        self.0.crowd.unpark_all();
    }
}

/// The most that one [`Channel::drain`] reads, in bytes.
const DRAIN_MOST: usize = 64 * 1024 * 1024;

impl Input {
    /// What can be said without reading: a message, the end, or that it is broken.
    fn next(&mut self) -> Option<Result<Option<Message>, ChannelError>> {
        if let Some(m) = self.decoder.poll_message() {
            return Some(m.map(Some).map_err(ChannelError::Protocol));
        }
        self.ended.then(|| self.decoder.end_of_stream().map(|()| None).map_err(ChannelError::Protocol))
    }

    /// Reads once. `None`: nothing is there.
    fn read_now(&mut self, transport: &Uds) -> Result<Option<usize>, ChannelError> {
        let read = transport.try_read(self.decoder.space()).map_err(ChannelError::Broken)?;
        match read {
            Some(0) => self.ended = true,
            Some(n) => self.decoder.filled(n),
            None => {}
        }
        Ok(read)
    }
}

impl Output {
    /// Writes what the socket takes. True: nothing is left to do.
    fn write_now(&mut self, transport: &Uds) -> Result<bool, ChannelError> {
        if let Writing::Broken(errno) = self.state {
            return Err(broken(errno));
        }
        while !self.queue.is_empty() {
            match transport.try_write(self.queue.unsent()) {
                Ok(Some(n)) => self.queue.sent(n),
                Ok(None) => return Ok(false),
                Err(e) => return Err(self.broke(&e)),
            }
        }
        if self.state == Writing::Closing {
            transport.close_write().map_err(|e| self.broke(&e))?;
            self.state = Writing::Closed;
        }
        Ok(true)
    }

    fn broke(&mut self, e: &io::Error) -> ChannelError {
        self.queue.sent(self.queue.unsent().len());
        self.state = Writing::Broken(e.raw_os_error());
        broken(e.raw_os_error())
    }
}

fn broken(errno: Option<i32>) -> ChannelError {
    ChannelError::Broken(errno.map_or_else(|| io::ErrorKind::BrokenPipe.into(), io::Error::from_raw_os_error))
}

impl AsRawFd for Channel {
    fn as_raw_fd(&self) -> RawFd {
        self.transport.as_raw_fd()
    }
}

/// How far a message got that was sent without waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// All of it, and all before it, is in the socket.
    Written,
    /// The peer has to read before the rest goes out.
    Queued,
}

/// What [`Channel::drain`] found.
#[derive(Debug)]
#[must_use = "these messages are not received again"]
pub struct Drained {
    /// The messages, in order.
    pub messages: Vec<Message>,
    /// What came after them.
    pub end: DrainEnd,
}

/// What came after the last message of a [`Channel::drain`].
#[derive(Debug)]
pub enum DrainEnd {
    /// Nothing, so far.
    Open,
    /// A peer that is alive writes faster than this reads: there is more.
    More,
    /// The clean end of the stream.
    Closed,
    /// Something that is no message; or the stream ended inside one.
    Failed(ChannelError),
}
