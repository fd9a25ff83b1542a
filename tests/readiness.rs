//! Promise: a descriptor is registered once, and epoll is neither asked nor heard more than is needed.
//!
//! Rule: counted by the runtime's own counters of `epoll_wait` and `epoll_ctl`.

use pleach_executor::net::UnixStream;
use pleach_executor::testing::run_virtual;
use pleach_executor::{In, checkpoint, run, stats};
use std::io::{self, Read, Write};
use std::os::unix::net;

type Run = In<io::Error>;

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
