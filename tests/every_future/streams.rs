//! Streams of bytes: sockets, pipes, halves, and what the traits make of them.
//!
//! ```text
//!   reading: "he", 2 s later "llo" ─► got + what is left = "hello"
//!   writing: a full stream, emptied every 2 s ─► what arrived = what the operation says it wrote
//! ```
//!
//! Rules: an operation that is documented as lossy is held to its count only if it came to its end.

use crate::S;
use crate::trial::{Trial, cases};
use pleach_executor::io::{ReadBytes, WriteBytes, pipe, split};
use pleach_executor::net::UnixStream;
use pleach_executor::{In, sleep};
use std::cell::Cell;
use std::io::{self, IoSlice, IoSliceMut};

cases! {
    a_read => ["net/stream.rs Stream::read", "net/stream/traits.rs ReadBytes for Stream::read"],
    a_read_through_the_trait => ["io/bytes.rs ReadBytes::read", "io/bytes.rs ReadBytes for $pointer::read"],
    a_vectored_read => ["net/stream.rs Stream::read_vectored"],
    an_exact_read => ["net/stream.rs Stream::read_exact"],
    an_exact_read_that_counts => [
        "net/stream.rs Stream::read_exact_counting",
        "net/stream/traits.rs ReadBytes for Stream::read_exact_counting",
        "io/bytes.rs ReadBytes for $pointer::read_exact_counting",
    ],
    an_exact_read_by_the_trait => ["io/bytes.rs ReadBytes::read_exact"],
    an_exact_read_by_the_trait_that_counts => ["io/bytes.rs ReadBytes::read_exact_counting"],
    a_read_of_a_pipe => ["io/pipe.rs PipeReader::read", "io/pipe.rs ReadBytes for PipeReader::read"],
    a_read_of_a_half => ["io/halves.rs ReadBytes for ReadHalf::read"],
    an_exact_read_of_a_half => ["io/halves.rs ReadBytes for ReadHalf::read_exact_counting"],
    a_write => ["net/stream.rs Stream::write", "net/stream/traits.rs WriteBytes for Stream::write"],
    a_write_through_the_trait => ["io/bytes.rs WriteBytes::write", "io/bytes.rs WriteBytes for $pointer::write"],
    a_vectored_write => [
        "net/stream.rs Stream::write_vectored",
        "net/stream/traits.rs WriteBytes for Stream::write_vectored",
        "io/bytes.rs WriteBytes for $pointer::write_vectored",
    ],
    a_vectored_write_by_the_trait => ["io/bytes.rs WriteBytes::write_vectored"],
    writing_all => ["net/stream.rs Stream::write_all"],
    writing_all_and_counting => [
        "net/stream.rs Stream::write_all_counting",
        "net/stream/traits.rs WriteBytes for Stream::write_all_counting",
        "io/bytes.rs WriteBytes for $pointer::write_all_counting",
    ],
    writing_all_by_the_trait => ["io/bytes.rs WriteBytes::write_all"],
    writing_all_by_the_trait_and_counting => ["io/bytes.rs WriteBytes::write_all_counting"],
    a_write_to_a_pipe => ["io/pipe.rs PipeWriter::write", "io/pipe.rs WriteBytes for PipeWriter::write"],
    writing_all_to_a_pipe => ["io/pipe.rs PipeWriter::write_all"],
    writing_all_to_a_pipe_and_counting => [
        "io/pipe.rs PipeWriter::write_all_counting",
        "io/pipe.rs WriteBytes for PipeWriter::write_all_counting",
    ],
    a_write_to_a_half => ["io/halves.rs WriteBytes for WriteHalf::write"],
    a_vectored_write_to_a_half => ["io/halves.rs WriteBytes for WriteHalf::write_vectored"],
    writing_all_to_a_half => ["io/halves.rs WriteBytes for WriteHalf::write_all_counting"],
}

type Io = In<io::Error>;

/// How an operation accounts for what it moved when it ends early.
#[derive(Clone, Copy, PartialEq)]
enum Count {
    Exact,
    Lossy,
}

/// A stream of which the traits' own methods are used.
struct Plain(UnixStream);

impl ReadBytes for Plain {
    async fn read(&self, bytes: &mut [u8]) -> io::Result<usize> {
        self.0.read(bytes).await
    }
}

impl WriteBytes for Plain {
    async fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes).await
    }
    fn send_eof(&self) -> io::Result<()> {
        self.0.send_eof()
    }
}

fn pair() -> (UnixStream, UnixStream) {
    UnixStream::pair().expect("a pair of sockets")
}

/// Reads with `op`, and then whatever is left.
async fn reading<W, R, O>(trial: &Trial, count: Count, (writer, reader): (W, R), op: O)
where
    W: WriteBytes,
    R: ReadBytes,
    O: AsyncFnOnce(&R, &mut [u8], &mut usize) -> io::Result<()>,
{
    let (mut bytes, mut done) = ([0; 5], 0);
    let sending = async {
        sleep(2 * S).await?;
        writer.write_all(b"he").await?;
        sleep(2 * S).await?;
        writer.write_all(b"llo").await?;
        writer.send_eof()
    };
    let ended = trial.beside(op(&reader, &mut bytes, &mut done), sending).await;
    let mut all = bytes[..done].to_vec();
    let mut rest = [0; 8];
    while let n @ 1.. = reader.read(&mut rest).await.expect("it goes on being read") {
        all.extend(&rest[..n]);
    }
    if count == Count::Exact || matches!(ended, Some(Ok(()))) {
        assert_eq!(all, b"hello", "after {ended:?}");
    }
}

/// Reads what there is, for an eighth of a second in which nothing comes.
async fn empty(reader: &impl ReadBytes, seen: &Cell<usize>) {
    let mut bytes = vec![0; 1 << 16];
    let r = Io::move_on_after(S / 8, async |_| {
        while let n @ 1.. = reader.read(&mut bytes).await? {
            seen.set(seen.get() + n);
        }
        Ok(())
    });
    r.await.expect("it is read");
}

/// Writes with `op` into a full stream, and counts what arrives.
async fn writing<W, R, O>(trial: &Trial, count: Count, (writer, reader): (W, R), op: O)
where
    W: WriteBytes,
    R: ReadBytes,
    O: AsyncFnOnce(&W, &[u8], &mut usize) -> io::Result<()>,
{
    let (bytes, mut done) = (vec![7; 500_000], 0);
    let (filler, seen) = (Cell::new(0), Cell::new(0));
    let fill = Io::move_on_after(S / 8, async |_| -> io::Result<()> {
        loop {
            filler.set(filler.get() + writer.write(&bytes[..4096]).await?);
        }
    });
    fill.await.expect("it takes bytes until it is full");
    let emptying = async {
        for _ in 0..12 {
            sleep(2 * S).await?;
            empty(&reader, &seen).await;
        }
        io::Result::Ok(())
    };
    let ended = trial.beside(op(&writer, &bytes, &mut done), emptying).await;
    empty(&reader, &seen).await;
    if count == Count::Exact || matches!(ended, Some(Ok(()))) {
        assert_eq!(seen.get() - filler.get(), done, "after {ended:?}");
    }
    assert!(matches!(writer.write(b"x").await, Ok(1)), "nobody has claimed it");
}

async fn a_read(trial: &Trial) {
    reading(trial, Count::Exact, pair(), async |s, bytes, done| {
        *done += UnixStream::read(s, bytes).await?;
        Ok(())
    })
    .await;
}

async fn a_read_through_the_trait(trial: &Trial) {
    let (a, b) = pair();
    reading(trial, Count::Exact, (&a, &b), async |s, bytes, done| {
        *done += ReadBytes::read(s, bytes).await?;
        Ok(())
    })
    .await;
}

async fn a_vectored_read(trial: &Trial) {
    reading(trial, Count::Exact, pair(), async |s, bytes, done| {
        let (first, second) = bytes.split_at_mut(1);
        *done += s.read_vectored(&mut [IoSliceMut::new(first), IoSliceMut::new(second)]).await?;
        Ok(())
    })
    .await;
}

async fn an_exact_read(trial: &Trial) {
    reading(trial, Count::Lossy, pair(), async |s, bytes, done| {
        UnixStream::read_exact(s, bytes).await?;
        *done = bytes.len();
        Ok(())
    })
    .await;
}

async fn an_exact_read_that_counts(trial: &Trial) {
    let (a, b) = pair();
    reading(trial, Count::Exact, (&a, &b), async |s, bytes, done| s.read_exact_counting(bytes, done).await)
        .await;
}

async fn an_exact_read_by_the_trait(trial: &Trial) {
    let (a, b) = pair();
    reading(trial, Count::Lossy, (Plain(a), Plain(b)), async |s, bytes, done| {
        s.read_exact(bytes).await?;
        *done = bytes.len();
        Ok(())
    })
    .await;
}

async fn an_exact_read_by_the_trait_that_counts(trial: &Trial) {
    let (a, b) = pair();
    let ends = (Plain(a), Plain(b));
    reading(trial, Count::Exact, ends, async |s, bytes, done| s.read_exact_counting(bytes, done).await).await;
}

async fn a_read_of_a_pipe(trial: &Trial) {
    let (reader, writer) = pipe().expect("a pipe");
    reading(trial, Count::Exact, (writer, reader), async |p, bytes, done| {
        *done += ReadBytes::read(p, bytes).await?;
        Ok(())
    })
    .await;
}

async fn a_read_of_a_half(trial: &Trial) {
    let (a, b) = pair();
    let (reader, _writer) = split(b);
    reading(trial, Count::Exact, (a, reader), async |half, bytes, done| {
        *done += half.read(bytes).await?;
        Ok(())
    })
    .await;
}

async fn an_exact_read_of_a_half(trial: &Trial) {
    let (a, b) = pair();
    let (reader, _writer) = split(b);
    reading(trial, Count::Exact, (a, reader), async |half, bytes, done| {
        half.read_exact_counting(bytes, done).await
    })
    .await;
}

async fn a_write(trial: &Trial) {
    writing(trial, Count::Exact, pair(), async |s, bytes, done| {
        *done += UnixStream::write(s, bytes).await?;
        Ok(())
    })
    .await;
}

async fn a_write_through_the_trait(trial: &Trial) {
    let (a, b) = pair();
    writing(trial, Count::Exact, (&a, &b), async |s, bytes, done| {
        *done += WriteBytes::write(s, bytes).await?;
        Ok(())
    })
    .await;
}

async fn a_vectored_write(trial: &Trial) {
    let (a, b) = pair();
    writing(trial, Count::Exact, (&a, &b), async |s, bytes, done| {
        let (first, second) = bytes.split_at(1);
        *done += s.write_vectored(&[IoSlice::new(first), IoSlice::new(second)]).await?;
        Ok(())
    })
    .await;
}

async fn a_vectored_write_by_the_trait(trial: &Trial) {
    let (a, b) = pair();
    writing(trial, Count::Exact, (Plain(a), b), async |s, bytes, done| {
        let (first, second) = bytes.split_at(1000);
        *done += s.write_vectored(&[IoSlice::new(first), IoSlice::new(second)]).await?;
        Ok(())
    })
    .await;
}

async fn writing_all(trial: &Trial) {
    writing(trial, Count::Lossy, pair(), async |s, bytes, done| {
        UnixStream::write_all(s, bytes).await?;
        *done = bytes.len();
        Ok(())
    })
    .await;
}

async fn writing_all_and_counting(trial: &Trial) {
    let (a, b) = pair();
    writing(trial, Count::Exact, (&a, &b), async |s, bytes, done| s.write_all_counting(bytes, done).await)
        .await;
}

async fn writing_all_by_the_trait(trial: &Trial) {
    let (a, b) = pair();
    writing(trial, Count::Lossy, (Plain(a), b), async |s, bytes, done| {
        s.write_all(bytes).await?;
        *done = bytes.len();
        Ok(())
    })
    .await;
}

async fn writing_all_by_the_trait_and_counting(trial: &Trial) {
    let (a, b) = pair();
    let ends = (Plain(a), b);
    writing(trial, Count::Exact, ends, async |s, bytes, done| s.write_all_counting(bytes, done).await).await;
}

async fn a_write_to_a_pipe(trial: &Trial) {
    let (reader, writer) = pipe().expect("a pipe");
    writing(trial, Count::Exact, (writer, reader), async |p, bytes, done| {
        *done += WriteBytes::write(p, bytes).await?;
        Ok(())
    })
    .await;
}

async fn writing_all_to_a_pipe(trial: &Trial) {
    let (reader, writer) = pipe().expect("a pipe");
    writing(trial, Count::Lossy, (writer, reader), async |p, bytes, done| {
        p.write_all(bytes).await?;
        *done = bytes.len();
        Ok(())
    })
    .await;
}

async fn writing_all_to_a_pipe_and_counting(trial: &Trial) {
    let (reader, writer) = pipe().expect("a pipe");
    let ends = (writer, reader);
    writing(trial, Count::Exact, ends, async |p, bytes, done| {
        WriteBytes::write_all_counting(p, bytes, done).await
    })
    .await;
}

async fn a_write_to_a_half(trial: &Trial) {
    let (a, b) = pair();
    let (_reader, writer) = split(a);
    writing(trial, Count::Exact, (writer, b), async |half, bytes, done| {
        *done += half.write(bytes).await?;
        Ok(())
    })
    .await;
}

async fn a_vectored_write_to_a_half(trial: &Trial) {
    let (a, b) = pair();
    let (_reader, writer) = split(a);
    writing(trial, Count::Exact, (writer, b), async |half, bytes, done| {
        *done += half.write_vectored(&[IoSlice::new(bytes)]).await?;
        Ok(())
    })
    .await;
}

async fn writing_all_to_a_half(trial: &Trial) {
    let (a, b) = pair();
    let (_reader, writer) = split(a);
    writing(trial, Count::Exact, (writer, b), async |half, bytes, done| {
        half.write_all_counting(bytes, done).await
    })
    .await;
}
