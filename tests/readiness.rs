//! Promise: who waits for a descriptor hears of it, alone in its direction, and epoll is neither asked nor heard more than that
//! needs.
//!
//! ```text
//!   readable, writable: what a user waits for     reactor_waits, reactor_events, reactor_changes: what that cost
//! ```
//!
//! Rules: Unix sockets, on which what one end does is so at the other end at once; so time can be virtual. What epoll costs is
//! counted by the runtime's own counters of `epoll_wait` and `epoll_ctl`.

#[path = "support/by_hand.rs"]
mod by_hand;
#[path = "support/orders.rs"]
mod orders;

use by_hand::settle;
use orders::in_every_order;
use pleach_executor::fd::{AsyncFd, Direction, ReadyError};
use pleach_executor::io::Fault;
use pleach_executor::net::UnixStream;
use pleach_executor::testing::{run_virtual, wait_until_idle};
use pleach_executor::{In, checkpoint, run, stats};
use std::cell::Cell;
use std::io::{self, Read, Write};
use std::os::unix::net;
use std::pin::pin;

type Run = In<io::Error>;

/// Two ends, the first registered.
fn pair() -> (AsyncFd<net::UnixStream>, net::UnixStream) {
    let (a, b) = net::UnixStream::pair().unwrap();
    a.set_nonblocking(true).unwrap();
    b.set_nonblocking(true).unwrap();
    (AsyncFd::sole(a).unwrap(), b)
}

fn fill(fd: &AsyncFd<net::UnixStream>) {
    while fd.try_io(Direction::Write, |mut s| s.write(&[0; 4096])).unwrap().is_some() {}
}

fn empty(mut s: &net::UnixStream) {
    while s.read(&mut [0; 4096]).is_ok() {}
}

/// Case 196. An idle socket is writable at once, and asking is a checkpoint; reading waits until the peer has sent, and
/// writing into full buffers until the peer has read.
#[test]
fn waits_end_when_the_peer_sends_or_reads_and_not_before() {
    in_every_order(async || {
        let (a, mut b) = pair();
        let polls = stats().polls;
        a.writable().await.unwrap();
        assert!(stats().polls > polls, "it has yielded");
        let mut readable = pin!(a.readable());
        settle(readable.as_mut()).await;
        b.write_all(b"x").unwrap();
        readable.await.unwrap();
        fill(&a);
        let mut writable = pin!(a.writable());
        settle(writable.as_mut()).await;
        empty(&b);
        writable.await.unwrap();
    });
}

/// Case 197. A wait for reading and one for writing end as cancelled when their nursery is.
#[test]
fn cancelling_a_nursery_ends_the_waits_in_it() {
    in_every_order(async || {
        let (a, _b) = pair();
        fill(&a);
        // The guard of the case waits as well.
        let (ended, before) = (Cell::new(0), stats().waiting);
        Run::nursery(async |n| {
            for direction in [Direction::Read, Direction::Write] {
                let (a, ended) = (&a, &ended);
                n.spawn(async move {
                    let r = match direction {
                        Direction::Read => a.readable().await,
                        Direction::Write => a.writable().await,
                    };
                    ended.set(ended.get() + u32::from(matches!(r, Err(ReadyError::Cancelled(_)))));
                    Ok(r?)
                });
            }
            wait_until_idle().await?;
            assert_eq!((ended.get(), stats().waiting), (0, before + 2));
            n.cancel();
            Ok(())
        })
        .await
        .unwrap();
        assert_eq!((ended.get(), stats().waiting), (2, before));
    });
}

/// Case 199. A second writer of a socket whose buffers are full is told so, and the first goes on waiting.
#[test]
fn a_second_writer_is_busy_and_the_first_waits_on() {
    in_every_order(async || {
        let (a, b) = pair();
        fill(&a);
        let mut first = pin!(a.writable());
        settle(first.as_mut()).await;
        assert!(matches!(a.writable().await, Err(ReadyError::Busy)));
        let refused = a.write_with(|mut s| s.write(b"x")).await.unwrap_err();
        assert_eq!(Fault::of(&refused), Fault::Busy);
        settle(first.as_mut()).await;
        empty(&b);
        wait_until_idle().await.unwrap();
        // Woken, and not polled: its direction is not free before it has been.
        assert!(matches!(a.writable().await, Err(ReadyError::Busy)));
        first.await.unwrap();
        a.writable().await.unwrap();
    });
}

/// Case 200. Ending the waits of a socket wakes its reader and its writer, both as closed.
#[test]
fn closing_wakes_reader_and_writer() {
    in_every_order(async || {
        let (a, _b) = pair();
        fill(&a);
        let (mut reader, mut writer) = (pin!(a.readable()), pin!(a.writable()));
        settle(reader.as_mut()).await;
        settle(writer.as_mut()).await;
        a.end_waits();
        assert!(matches!(reader.await, Err(ReadyError::Closed)));
        assert!(matches!(writer.await, Err(ReadyError::Closed)));
        assert!(matches!(a.readable().await, Err(ReadyError::Closed)), "and so from now on");
    });
}

/// Answers each message by itself.
async fn echo(s: &UnixStream) -> io::Result<()> {
    let mut bytes = [0; 64];
    loop {
        match s.read(&mut bytes).await? {
            0 => return Ok(()),
            n => assert_eq!(s.write(&bytes[..n]).await?, n),
        }
    }
}

#[test]
fn a_request_and_its_answer_cost_two_waits_and_no_registration() {
    const ROUNDS: u64 = 1000;
    let r: io::Result<()> = run(Run::nursery(async |n| {
        let (client, server) = UnixStream::pair()?;
        n.spawn(async move { echo(&server).await });
        let mut bytes = [0; 64];
        client.write(b"warm").await?;
        client.read(&mut bytes).await?;
        let before = stats();
        for _ in 0..ROUNDS {
            client.write(b"request").await?;
            assert_eq!(client.read(&mut bytes).await?, 7);
        }
        let after = stats();
        assert_eq!(after.reactor_changes, before.reactor_changes);
        let waits = after.reactor_waits - before.reactor_waits;
        assert!(
            waits <= 2 * ROUNDS,
            "{waits} waits for {ROUNDS} rounds: something wakes the loop for nothing"
        );
        Ok(())
    }));
    r.unwrap();
}

/// The reading peer is outside the loop, so that its reading is an event of its own.
#[test]
fn a_peer_that_has_read_a_request_wakes_nobody_until_it_answers() {
    // Under the virtual clock the loop looks outside after every batch.
    let r: io::Result<()> = run_virtual(Run::nursery(async |n| {
        let (client, mut server) = net::UnixStream::pair()?;
        let client = UnixStream::from_std(client)?;
        n.spawn(async move {
            let mut bytes = [0; 64];
            let mut events = Vec::new();
            for _ in 0..10 {
                let before = stats().reactor_events;
                // The client waits for its answer meanwhile.
                for _ in 0..4 {
                    checkpoint().await?;
                }
                assert_eq!(server.read(&mut bytes)?, 7);
                for _ in 0..4 {
                    checkpoint().await?;
                }
                assert_eq!(stats().reactor_events, before, "the loop heard that the peer has read");
                server.write_all(b"answer")?;
                for _ in 0..4 {
                    checkpoint().await?;
                }
                events.push(stats().reactor_events - before);
            }
            assert_eq!(events, [1; 10]);
            Ok(())
        });
        for _ in 0..10 {
            client.write(b"request").await?;
            assert_eq!(client.read(&mut [0; 64]).await?, 6);
        }
        Ok(())
    }));
    r.unwrap();
}
