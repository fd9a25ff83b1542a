//! The promises of two directions: see [`super::check_two_way`] and [`super::check_half_closeable`].

use super::{begin, both, fault, made, pattern, read_to_end, well};
use crate::io::{Fault, ReadBytes, WriteBytes};
use std::io;
use std::pin::pin;

pub(super) async fn check<A, B>(make: &impl AsyncFn() -> io::Result<(A, B)>)
where
    A: ReadBytes + WriteBytes,
    B: ReadBytes + WriteBytes,
{
    both_directions_move_at_once(made(make).await).await;
    a_read_that_waits_is_in_no_writers_way(made(make).await).await;
}

pub(super) async fn check_clogged<A, B>(make: &impl AsyncFn() -> io::Result<(A, B)>, much: usize)
where
    A: ReadBytes + WriteBytes,
    B: ReadBytes + WriteBytes,
{
    a_write_that_waits_is_in_no_readers_way(made(make).await, much).await;
}

pub(super) async fn check_halves<A, B>(make: &impl AsyncFn() -> io::Result<(A, B)>)
where
    A: ReadBytes + WriteBytes,
    B: ReadBytes + WriteBytes,
{
    one_direction_goes_on_after_the_end_of_the_other(made(make).await).await;
    a_read_outlasts_the_end_of_ones_own_writing(made(make).await).await;
}

async fn both_directions_move_at_once<A, B>((a, b): (A, B))
where
    A: ReadBytes + WriteBytes,
    B: ReadBytes + WriteBytes,
{
    const PROMISE: &str = "two transfers in opposite directions deliver exactly what was written";
    let (there, back) = (pattern(300_000), pattern(200_001));
    let writing = both_written(&a, &there, &b, &back);
    let reading = crate::combine::both(read_to_end(&a, 4096), read_to_end(&b, 1000));
    let (_, (at_a, at_b)) = both(PROMISE, writing, reading).await;
    assert!(at_a == back && at_b == there, "{PROMISE}: {} and {} bytes, or others", at_a.len(), at_b.len());
}

async fn both_written(
    a: &impl WriteBytes,
    there: &[u8],
    b: &impl WriteBytes,
    back: &[u8],
) -> io::Result<((), ())> {
    let forth = async {
        a.write_all(there).await?;
        a.send_eof()
    };
    let back = async {
        b.write_all(back).await?;
        b.send_eof()
    };
    crate::combine::both(forth, back).await
}

async fn a_read_that_waits_is_in_no_writers_way<A, B>((a, b): (A, B))
where
    A: ReadBytes + WriteBytes,
    B: ReadBytes + WriteBytes,
{
    const PROMISE: &str = "while a stream waits to be read it can be written";
    let (mut at_a, mut at_b) = ([0; 6], [0; 8]);
    let mut reading = Box::pin(a.read_exact(&mut at_a));
    begin(PROMISE, reading.as_mut()).await;
    both(PROMISE, a.write_all(b"question"), b.read_exact(&mut at_b)).await;
    both(PROMISE, b.write_all(b"answer"), reading).await;
    assert_eq!((&at_b, &at_a), (b"question", b"answer"), "{PROMISE}");
}

async fn a_write_that_waits_is_in_no_readers_way<A, B>((a, b): (A, B), much: usize)
where
    A: ReadBytes + WriteBytes,
    B: ReadBytes + WriteBytes,
{
    const PROMISE: &str = "while a stream waits to be written it can be read";
    let (much, mut got) = (pattern(much), [0; 4]);
    let mut writing = pin!(a.write_all(&much));
    begin(PROMISE, writing.as_mut()).await;
    both(PROMISE, b.write_all(b"word"), a.read_exact(&mut got)).await;
    assert_eq!(&got, b"word", "{PROMISE}");
    begin(PROMISE, writing.as_mut()).await;
}

async fn one_direction_goes_on_after_the_end_of_the_other<A, B>((a, b): (A, B))
where
    A: ReadBytes + WriteBytes,
    B: ReadBytes + WriteBytes,
{
    const PROMISE: &str = "after the end of one direction the other goes on, to an end of its own";
    let asking = async {
        a.write_all(b"question").await?;
        a.send_eof()
    };
    let (_, question) = both(PROMISE, asking, read_to_end(&b, 64)).await;
    assert_eq!(question, b"question", "{PROMISE}");
    let answer = pattern(100_000);
    let answering = async {
        b.write_all(&answer).await?;
        b.send_eof()
    };
    let (_, got) = both(PROMISE, answering, read_to_end(&a, 4096)).await;
    assert!(got == answer, "{PROMISE}: {} bytes of {}, or others", got.len(), answer.len());
    fault(PROMISE, Fault::Closed, a.write(b"x").await);
    fault(PROMISE, Fault::Closed, b.write(b"x").await);
    assert_eq!(well(PROMISE, b.read(&mut [0; 4]).await), 0, "{PROMISE}");
}

async fn a_read_outlasts_the_end_of_ones_own_writing<A, B>((a, b): (A, B))
where
    A: ReadBytes + WriteBytes,
    B: ReadBytes + WriteBytes,
{
    const PROMISE: &str = "a read that waits goes on waiting when its own side ends writing";
    let mut got = [0; 4];
    let mut reading = Box::pin(a.read_exact(&mut got));
    begin(PROMISE, reading.as_mut()).await;
    well(PROMISE, a.send_eof());
    assert_eq!(well(PROMISE, b.read(&mut [0; 4]).await), 0, "{PROMISE}");
    begin(PROMISE, reading.as_mut()).await;
    both(PROMISE, b.write_all(b"word"), reading).await;
    assert_eq!(&got, b"word", "{PROMISE}");
}
