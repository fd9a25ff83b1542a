//! Promise: the checks of streams hold for every stream of this crate, and find what breaks a promise.
//!
//! ```text
//!   memory, lock-step, Unix, TCP, pipe ─► check_one_way, check_two_way, check_half_closeable ─► well
//!   the same with a planted defect ─────────────────────────────────────────────────────────► the promise, by name
//! ```
//!
//! Rules: `Case n.` refers to the list of executor cases; `conformance.tsv` says where each is tested.

#[path = "support/by_hand.rs"]
mod by_hand;
#[path = "support/guarded.rs"]
mod guarded;
#[path = "support/orders.rs"]
mod orders;

use by_hand::{message, poll_once, settle};
use guarded::guarded;
use orders::in_every_order;
use pleach_executor::io::{BufReader, BufWriter, ReadBytes, WriteBytes, pipe, split};
use pleach_executor::net::{TcpListener, TcpStream, UnixStream};
use pleach_executor::testing::run_virtual;
use pleach_executor::testing::streams::{
    MemoryStream, Room, check_half_closeable, check_one_way, lock_step_pair, lock_step_pipe, memory_pair,
    memory_pipe,
};
use pleach_executor::{both, checkpoint, shielded};
use std::cell::Cell;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;

/// Of a pipe that takes nothing by itself.
const LOCK_STEP: Room = Room::Below(5000);

/// More than the buffers of any socket or pipe.
const SOCKET: Room = Room::Below(16 << 20);

async fn tcp_pair() -> io::Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind(([127, 0, 0, 1], 0).into())?;
    let client = TcpStream::connect(listener.local_addr()?).await?;
    Ok((client, listener.accept().await?.0))
}

// ---- streams that keep their promises ------------------------------------------------------------------------

/// Case X38. Everything before the end, nothing for nothing, one user at each end; and the rest of what a stream promises.
#[test]
fn a_pipe_in_memory_is_a_stream_one_way() {
    in_every_order(async || {
        check_one_way(async || Ok(memory_pipe()), Room::Endless).await;
        check_one_way(async || Ok(lock_step_pipe()), LOCK_STEP).await;
    });
}

/// Case X40. The end of one direction is not that of the other.
#[test]
fn a_pair_in_memory_is_a_stream_of_two_halves() {
    in_every_order(async || {
        check_half_closeable(async || Ok(memory_pair()), Room::Endless).await;
        check_half_closeable(async || Ok(lock_step_pair()), LOCK_STEP).await;
    });
}

/// Case X40. As of a pair in memory.
#[test]
fn a_unix_socket_is_a_stream_of_two_halves() {
    guarded(async {
        check_half_closeable(async || UnixStream::pair(), SOCKET).await;
        Ok(())
    });
}

/// Case X38. As of a pipe in memory.
#[test]
fn a_tcp_connection_is_a_stream_of_two_halves() {
    guarded(async {
        check_half_closeable(tcp_pair, SOCKET).await;
        Ok(())
    });
}

/// Case X37. A reader that is gone is Broken, an end of one's own Closed, and both stay so.
#[test]
fn a_pipe_of_the_system_is_a_stream_one_way() {
    guarded(async {
        check_one_way(async || pipe().map(|(reader, writer)| (writer, reader)), SOCKET).await;
        Ok(())
    });
}

/// What is made of a stream is one.
#[test]
fn the_halves_of_a_stream_are_streams_one_way() {
    guarded(async {
        let halves = async || {
            let (a, b) = UnixStream::pair()?;
            Ok((split(a).1, split(b).0))
        };
        check_one_way(halves, SOCKET).await;
        Ok(())
    });
}

// ---- streams in memory under what is made of streams -----------------------------------------------------------

#[test]
fn buffers_and_halves_work_over_streams_in_memory() {
    in_every_order(async || {
        for (client, server) in [memory_pair(), lock_step_pair()] {
            let asking = async {
                let (reader, writer) = split(client);
                let mut writer = BufWriter::new(writer);
                writer.write_all(b"first line\nsecond").await?;
                writer.write_all(b" line\n").await?;
                writer.flush().await?;
                drop(writer);
                let mut answer = [0; 6];
                reader.read_exact(&mut answer).await?;
                io::Result::Ok(answer)
            };
            let answering = async {
                let mut lines = BufReader::with_capacity(4, &server);
                let mut seen = Vec::new();
                while let Some(line) = lines.read_line(64).await? {
                    seen.push(line);
                }
                server.write_all(b"answer").await?;
                io::Result::Ok(seen)
            };
            let (answer, seen) = both(asking, answering).await.expect("no error");
            assert_eq!((&answer, seen), (b"answer", vec!["first line\n".into(), "second line\n".to_owned()]));
        }
    });
}

/// A write is given to a read that waits, as much as that has room for, and is over then.
#[test]
fn a_lock_step_write_is_as_much_as_a_read_has_room_for() {
    in_every_order(async || {
        let (a, b) = lock_step_pair();
        let mut room = [0; 2];
        let (written, read) = both(a.write(b"abc"), b.read(&mut room)).await.expect("no error");
        assert_eq!((written, read, &room), (2, 2, b"ab"));
        a.send.hold();
        assert_eq!(a.write(b"on the way").await.expect("it is held"), 10);
        assert_eq!(a.send.take_sent(99), b"on the way");
    });
}

/// It waits while nobody reads, also when somebody has and gave up; and what a read was given is not taken back by others.
#[test]
fn a_lock_step_write_gives_to_a_read_that_waits_and_to_nobody_else() {
    in_every_order(async || {
        let (a, b) = lock_step_pair();
        let (mut room, mut given_up) = ([0; 2], [0; 2]);
        settle(pin!(b.read(&mut given_up))).await;
        let mut early = Box::pin(a.write(b"nobody"));
        settle(early.as_mut()).await;
        drop(early);

        let mut reading = Box::pin(b.read(&mut room));
        settle(reading.as_mut()).await;
        assert_eq!(a.write(b"abc").await.expect("somebody reads"), 2);
        let mut second = Box::pin(a.write(b"c"));
        assert!(
            poll_once(second.as_mut()).await.is_pending() && poll_once(second.as_mut()).await.is_pending()
        );
        drop((second, reading));

        let mut sending = Box::pin(a.send_all(b"xyz"));
        settle(sending.as_mut()).await;
        drop(sending);
        let mut got = [0; 8];
        assert_eq!((b.read(&mut got).await.expect("no error"), &got[..2]), (2, &b"ab"[..]));
        a.close();
        assert_eq!(b.read(&mut got).await.expect("no error"), 0, "what was given up is gone");
    });
}

// ---- planted defects ------------------------------------------------------------------------------------------------

/// What is wrong with a stream.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Defect {
    LosesBytes,
    EndIsAnError,
    EmptyWriteWrites,
    WritesAfterItsEnd,
    IgnoresCancellation,
    EndsForASecondReader,
    LosesWhatADroppedReadHad,
    NeverBreaks,
    CountsTooSoon,
    EndsBothWays,
}

struct Defective {
    inner: MemoryStream,
    defect: Defect,
    reading: Cell<bool>,
}

struct Reading<'a>(&'a Cell<bool>);

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        self.0.set(false);
    }
}

impl ReadBytes for Defective {
    async fn read(&self, bytes: &mut [u8]) -> io::Result<usize> {
        if self.defect == Defect::EndsForASecondReader && self.reading.replace(true) {
            return Ok(0);
        }
        let _reading = Reading(&self.reading);
        let (read, has_room) = (self.inner.read(bytes).await?, !bytes.is_empty());
        if self.defect == Defect::LosesWhatADroppedReadHad {
            checkpoint().await?;
            checkpoint().await?;
        }
        if self.defect == Defect::EndIsAnError && read == 0 && has_room {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(read)
    }
}

impl WriteBytes for Defective {
    async fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        let written = match self.defect {
            Defect::LosesBytes if bytes.len() > 1000 => self.inner.write(&bytes[1..]).await.map(|n| n + 1),
            Defect::EmptyWriteWrites if bytes.is_empty() => self.inner.write(b"!").await.map(|_| 0),
            Defect::IgnoresCancellation => shielded(async |_| self.inner.write(bytes).await).await,
            _ => self.inner.write(bytes).await,
        };
        match (self.defect, written) {
            (Defect::NeverBreaks, Err(e)) if e.kind() == io::ErrorKind::BrokenPipe => Ok(bytes.len()),
            (Defect::WritesAfterItsEnd, Err(e)) if e.kind() == io::ErrorKind::NotConnected => Ok(bytes.len()),
            (_, written) => written,
        }
    }

    async fn write_all_counting(&self, bytes: &[u8], done: &mut usize) -> io::Result<()> {
        let mut counted = *done;
        if self.defect == Defect::CountsTooSoon {
            *done += bytes.len().min(1000);
            return self.inner.write_all_counting(bytes, &mut counted).await;
        }
        while *done < bytes.len() {
            *done += self.write(&bytes[*done..]).await?;
        }
        if bytes.is_empty() { self.write(b"").await.map(drop) } else { Ok(()) }
    }

    fn send_eof(&self) -> io::Result<()> {
        if self.defect == Defect::EndsBothWays {
            self.inner.close();
        }
        WriteBytes::send_eof(&self.inner)
    }
}

/// What the check of a stream with this defect says.
fn verdict(defect: Defect, pair: impl Fn() -> (MemoryStream, MemoryStream), room: Room) -> String {
    let defective = |inner| Defective { inner, defect, reading: Cell::new(false) };
    let make = async || {
        let (a, b) = pair();
        Ok((defective(a), defective(b)))
    };
    let checked = catch_unwind(AssertUnwindSafe(|| run_virtual(check_half_closeable(make, room))));
    message(checked.expect_err(&format!("the check has not found it: {defect:?}")))
}

#[test]
fn planted_defects_are_found_and_named() {
    let defects = [
        (Defect::LosesBytes, "bytes arrive in their order"),
        (Defect::EndIsAnError, "bytes arrive in their order"),
        (Defect::EmptyWriteWrites, "a write of nothing"),
        (Defect::WritesAfterItsEnd, "after an end of writing"),
        (Defect::EndsForASecondReader, "a second task that reads is Busy"),
        (Defect::NeverBreaks, "a reader that is gone breaks the stream"),
        (Defect::IgnoresCancellation, "every operation is a checkpoint"),
        (Defect::LosesWhatADroppedReadHad, "what has come for a read that is dropped"),
        (Defect::EndsBothWays, "two transfers in opposite directions"),
    ];
    for (defect, promise) in defects {
        let said = verdict(defect, memory_pair, Room::Endless);
        assert!(said.contains(promise), "{defect:?}: {said}");
    }
    let said = verdict(Defect::CountsTooSoon, lock_step_pair, LOCK_STEP);
    assert!(said.contains("a long write that is cancelled"), "{said}");
}
