//! The promises of one direction: see [`super::check_one_way`].

use super::{arrives, begin, both, fault, in_cancelled_scope, made, pattern, read_to_end, well};
use crate::checkpoint::{checkpoint, yield_now};
use crate::io::{Fault, ReadBytes, WriteBytes};
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::task::Poll;

pub(super) async fn check<W: WriteBytes, R: ReadBytes>(make: &impl AsyncFn() -> io::Result<(W, R)>) {
    bytes_arrive_in_order(made(make).await).await;
    nothing_is_nothing(made(make).await).await;
    everything_comes_before_the_end(made(make).await).await;
    an_end_of_writing_is_ones_own(made(make).await).await;
    too_little_is_an_unexpected_end(made(make).await).await;
    who_reads_waits(made(make).await).await;
    a_second_reader_is_busy(made(make).await).await;
    a_reader_that_is_gone_breaks_it(made(make).await).await;
    in_a_cancelled_scope_nothing_moves(made(make).await).await;
    a_read_that_is_given_up_has_taken_nothing(made(make).await).await;
    for polls in 0..4 {
        what_has_come_to_a_dropped_read_is_the_next_ones(made(make).await, polls).await;
    }
}

async fn bytes_arrive_in_order<W: WriteBytes, R: ReadBytes>((writer, reader): (W, R)) {
    const PROMISE: &str = "bytes arrive in their order, each once";
    let sent = pattern(100_000);
    let writing = async {
        let mut rest = &sent[..];
        for size in [1, 2, 4095, 4097, 3, 65_536, 1, usize::MAX] {
            let part;
            (part, rest) = rest.split_at(size.min(rest.len()));
            writer.write_all(part).await?;
        }
        writer.send_eof()
    };
    let reading = async {
        let mut got = vec![0; 5000];
        reader.read_exact(&mut got[..1]).await?;
        reader.read_exact(&mut got[1..]).await?;
        got.extend(read_to_end(&reader, 777).await?);
        Ok(got)
    };
    let (_, got) = both(PROMISE, writing, reading).await;
    assert!(got == sent, "{PROMISE}: {} of {}, or others", got.len(), sent.len());
}

async fn nothing_is_nothing<W: WriteBytes, R: ReadBytes>((writer, reader): (W, R)) {
    const PROMISE: &str = "a write of nothing and a read without room wait for nothing and do nothing";
    assert_eq!(well(PROMISE, writer.write(b"").await), 0, "{PROMISE}");
    assert_eq!(well(PROMISE, reader.read(&mut []).await), 0, "{PROMISE}");
    well(PROMISE, writer.write_all(b"").await);
    well(PROMISE, reader.read_exact(&mut []).await);
    arrives(PROMISE, writer, &reader, b"x").await;
}

async fn everything_comes_before_the_end<W: WriteBytes, R: ReadBytes>((writer, reader): (W, R)) {
    const PROMISE: &str = "what was written before an end is read before it, and the end stays";
    arrives(PROMISE, writer, &reader, b"all of it").await;
    for _ in 0..2 {
        assert_eq!(well(PROMISE, reader.read(&mut [0; 4]).await), 0, "{PROMISE}");
    }
}

async fn an_end_of_writing_is_ones_own<W: WriteBytes, R: ReadBytes>((writer, reader): (W, R)) {
    const PROMISE: &str =
        "after an end of writing a write, even of nothing, fails with Closed, and a second end is fine";
    let writing = async {
        writer.write_all(b"last words").await?;
        writer.send_eof()?;
        writer.send_eof()
    };
    let (_, got) = both(PROMISE, writing, read_to_end(&reader, 64)).await;
    assert_eq!(got, b"last words", "{PROMISE}");
    fault(PROMISE, Fault::Closed, writer.write(b"x").await);
    fault(PROMISE, Fault::Closed, writer.write(b"").await);
    fault(PROMISE, Fault::Closed, writer.write_all(b"x").await);
    well(PROMISE, writer.send_eof());
}

async fn too_little_is_an_unexpected_end<W: WriteBytes, R: ReadBytes>((writer, reader): (W, R)) {
    const PROMISE: &str =
        "an exact read that meets the end fails with UnexpectedEof, and says how much there was";
    let (mut got, mut done) = ([0; 5], 0);
    let writing = async {
        writer.write_all(b"abc").await?;
        writer.send_eof()
    };
    let reading = async { Ok(reader.read_exact_counting(&mut got, &mut done).await) };
    let (_, ended) = both(PROMISE, writing, reading).await;
    let kind = ended.map_err(|e| e.kind());
    assert_eq!((kind, done), (Err(io::ErrorKind::UnexpectedEof), 3), "{PROMISE}");
    assert_eq!(&got[..3], b"abc", "{PROMISE}");
}

async fn who_reads_waits<W: WriteBytes, R: ReadBytes>((writer, reader): (W, R)) {
    const PROMISE: &str = "a read waits for bytes, and for the end";
    let mut room = [0; 8];
    {
        let mut reading = pin!(reader.read(&mut room));
        begin(PROMISE, reading.as_mut()).await;
        let (_, read) = both(PROMISE, writer.write_all(b"x"), reading).await;
        assert_eq!(read, 1, "{PROMISE}");
    }
    let mut reading = pin!(reader.read(&mut room));
    begin(PROMISE, reading.as_mut()).await;
    well(PROMISE, writer.send_eof());
    assert_eq!(well(PROMISE, reading.await), 0, "{PROMISE}");
}

async fn a_second_reader_is_busy<W: WriteBytes, R: ReadBytes>((writer, reader): (W, R)) {
    const PROMISE: &str = "a second task that reads is Busy, and the first waits on";
    let mut room = [0; 4];
    let mut reading = Box::pin(reader.read_exact(&mut room));
    begin(PROMISE, reading.as_mut()).await;
    for _ in 0..2 {
        fault(PROMISE, Fault::Busy, reader.read(&mut [0; 4]).await);
        fault(PROMISE, Fault::Busy, reader.read_exact(&mut [0; 4]).await);
    }
    both(PROMISE, writer.write_all(b"word"), reading).await;
    assert_eq!(&room, b"word", "{PROMISE}");
}

async fn a_reader_that_is_gone_breaks_it<W: WriteBytes, R: ReadBytes>((writer, reader): (W, R)) {
    const PROMISE: &str = "a reader that is gone breaks the stream, soon, and from then on";
    drop(reader);
    let mut tries = 0..10_000;
    let broken = loop {
        assert!(tries.next().is_some(), "{PROMISE}: writes go well all the time");
        match writer.write(b"is there anybody").await {
            Ok(_) => checkpoint().await.unwrap_or_else(|e| panic!("{PROMISE}: {e}")),
            broken => break broken,
        }
    };
    fault(PROMISE, Fault::Broken, broken);
    for _ in 0..3 {
        fault(PROMISE, Fault::Broken, writer.write(b"x").await);
    }
}

async fn in_a_cancelled_scope_nothing_moves<W: WriteBytes, R: ReadBytes>((writer, reader): (W, R)) {
    const PROMISE: &str = "every operation is a checkpoint, and a cancelled one has done nothing";
    in_cancelled_scope(async || {
        fault(PROMISE, Fault::Cancelled, writer.write(b"never").await);
        fault(PROMISE, Fault::Cancelled, writer.write(b"").await);
        fault(PROMISE, Fault::Cancelled, writer.write_all(b"never").await);
        fault(PROMISE, Fault::Cancelled, reader.read(&mut [0; 4]).await);
        fault(PROMISE, Fault::Cancelled, reader.read(&mut []).await);
        fault(PROMISE, Fault::Cancelled, reader.read_exact(&mut [0; 4]).await);
    })
    .await;
    arrives(PROMISE, writer, &reader, b"kept").await;
}

async fn a_read_that_is_given_up_has_taken_nothing<W: WriteBytes, R: ReadBytes>((writer, reader): (W, R)) {
    const PROMISE: &str = "a read that is dropped or cancelled has taken nothing, and stands in nobody's way";
    {
        let mut room = [0; 4];
        let mut reading = pin!(reader.read(&mut room));
        begin(PROMISE, reading.as_mut()).await;
    }
    {
        let (mut room, mut outcome) = ([0; 4], None);
        let mut reading = Box::pin(reader.read(&mut room));
        begin(PROMISE, reading.as_mut()).await;
        in_cancelled_scope(async || outcome = Some(reading.await)).await;
        fault(PROMISE, Fault::Cancelled, outcome.expect("the scope has run"));
    }
    arrives(PROMISE, writer, &reader, b"kept").await;
}

/// It is dropped after so many polls more.
async fn what_has_come_to_a_dropped_read_is_the_next_ones<W: WriteBytes, R: ReadBytes>(
    (writer, reader): (W, R),
    polls: usize,
) {
    const PROMISE: &str = "what has come for a read that is dropped before it tells is the next one's";
    let (mut room, mut read) = ([0; 4], None);
    {
        let mut reading = pin!(reader.read(&mut room));
        begin(PROMISE, reading.as_mut()).await;
        well(PROMISE, writer.write_all(b"kept").await);
        for _ in 0..polls {
            if read.is_none() {
                read = poll_once(reading.as_mut()).await;
                yield_now().await;
            }
        }
    }
    let told = read.map_or(0, |read| well(PROMISE, read));
    well(PROMISE, writer.send_eof());
    let mut got = room[..told].to_vec();
    got.extend(well(PROMISE, read_to_end(&reader, 64).await));
    assert_eq!(got, b"kept", "{PROMISE}: dropped after {polls} polls more");
}

async fn poll_once<T>(mut op: Pin<&mut impl Future<Output = T>>) -> Option<T> {
    poll_fn(|cx| {
        Poll::Ready(match op.as_mut().poll(cx) {
            Poll::Ready(value) => Some(value),
            Poll::Pending => None,
        })
    })
    .await
}
