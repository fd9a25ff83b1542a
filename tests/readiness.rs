//! Promise: a descriptor is registered once, and epoll is neither asked nor heard more than is needed.
//!
//! Rule: counted by the runtime's own counters of `epoll_wait` and `epoll_ctl`.

use pleach_executor::net::UnixStream;
use pleach_executor::{In, run, stats};
use std::io;

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
