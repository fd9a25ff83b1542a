//! The promises of a write that waits because nobody reads: see [`super::check_one_way`].

use super::{begin, both, fault, in_cancelled_scope, made, pattern, read_to_end};
use crate::io::{Fault, ReadBytes, WriteBytes};
use std::io;
use std::pin::pin;

pub(super) async fn check<W: WriteBytes, R: ReadBytes>(
    make: &impl AsyncFn() -> io::Result<(W, R)>,
    much: usize,
) {
    let much = pattern(much);
    a_second_writer_is_busy(made(make).await, &much).await;
    a_write_that_is_given_up_says_how_much(made(make).await, &much).await;
    a_write_that_is_dropped_frees_its_direction(made(make).await, &much).await;
    a_reader_that_goes_breaks_a_write_that_waits(made(make).await, &much).await;
}

async fn a_second_writer_is_busy<W: WriteBytes, R: ReadBytes>((writer, reader): (W, R), much: &[u8]) {
    const PROMISE: &str =
        "a second task that writes, or ends writing, is Busy, and the first goes on when there is room";
    let mut writing = pin!(writer.write_all(much));
    begin(PROMISE, writing.as_mut()).await;
    for _ in 0..2 {
        fault(PROMISE, Fault::Busy, writer.write(b"x").await);
        fault(PROMISE, Fault::Busy, writer.write_all(b"x").await);
        fault(PROMISE, Fault::Busy, writer.send_eof());
    }
    let writing = async {
        writing.await?;
        writer.send_eof()
    };
    let (_, got) = both(PROMISE, writing, read_to_end(&reader, 1 << 16)).await;
    assert!(got == much, "{PROMISE}: {} bytes of {}, or others", got.len(), much.len());
}

async fn a_write_that_is_given_up_says_how_much<W: WriteBytes, R: ReadBytes>(
    (writer, reader): (W, R),
    much: &[u8],
) {
    const PROMISE: &str =
        "a long write that is cancelled says how much was written, and can go on from there";
    let (mut done, mut outcome) = (0, None);
    {
        let mut writing = Box::pin(writer.write_all_counting(much, &mut done));
        begin(PROMISE, writing.as_mut()).await;
        in_cancelled_scope(async || outcome = Some(writing.await)).await;
    }
    fault(PROMISE, Fault::Cancelled, outcome.expect("the scope has run"));
    assert!(done < much.len(), "{PROMISE}: {done}");
    let mut got = vec![0; done];
    let reading = async {
        reader.read_exact(&mut got).await?;
        read_to_end(&reader, 1 << 16).await
    };
    let writing = async {
        writer.write_all_counting(much, &mut done).await?;
        writer.send_eof()
    };
    let (_, rest) = both(PROMISE, writing, reading).await;
    got.extend(rest);
    assert!(got == much, "{PROMISE}: {} bytes of {}, or others", got.len(), much.len());
}

async fn a_write_that_is_dropped_frees_its_direction<W: WriteBytes, R: ReadBytes>(
    (writer, reader): (W, R),
    much: &[u8],
) {
    const PROMISE: &str =
        "a write that is dropped while it waits has written what it counted, and stands in nobody's way";
    let mut done = 0;
    {
        let mut writing = pin!(writer.write_all_counting(much, &mut done));
        begin(PROMISE, writing.as_mut()).await;
    }
    let writing = async {
        writer.write_all(b"new").await?;
        writer.send_eof()
    };
    let (_, got) = both(PROMISE, writing, read_to_end(&reader, 1 << 16)).await;
    assert!(got[..done.min(got.len())] == much[..done], "{PROMISE}");
    assert_eq!(got.get(done..), Some(&b"new"[..]), "{PROMISE}");
}

async fn a_reader_that_goes_breaks_a_write_that_waits<W: WriteBytes, R: ReadBytes>(
    (writer, reader): (W, R),
    much: &[u8],
) {
    const PROMISE: &str = "a reader that goes breaks the write that waits for room";
    let mut writing = pin!(writer.write_all(much));
    begin(PROMISE, writing.as_mut()).await;
    drop(reader);
    fault(PROMISE, Fault::Broken, writing.await);
    fault(PROMISE, Fault::Broken, writer.write(b"x").await);
}
