//! Promise: a listener gives every connection to one handler and says what it has met.
//! (Without descriptors: `exhausted.rs`.)
//!
//! ```text
//!   clients ─► Listener::serve ─► children of a nursery          AcceptStats: accepted, aborted, exhausted
//! ```

#[path = "support/guarded.rs"]
mod guarded;
#[path = "support/sockets.rs"]
mod sockets;

use guarded::guarded;
use pleach_executor::io::Fault;
use pleach_executor::net::{AcceptStats, Listener, TcpListener, TcpStream, UnixListener, UnixStream};
use pleach_executor::{In, checkpoint, sleep_forever};
use sockets::{Name, any};
use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::Duration;

type Run = In<io::Error>;

#[test]
fn every_connection_gets_a_handler_in_the_nursery() {
    guarded(async {
        let listener = TcpListener::bind(any())?;
        let address = listener.local_addr()?;
        Run::nursery(async |n| {
            n.spawn(async {
                let never = listener.serve(n, async |(stream, peer): (TcpStream, SocketAddr)| {
                    assert_eq!(stream.peer_addr()?, peer);
                    let mut word = [0; 4];
                    stream.read_exact(&mut word).await?;
                    stream.write_all(&word).await
                });
                match never.await? {}
            });
            Run::nursery(async |clients| {
                for k in 0..100_u32 {
                    clients.spawn(async move {
                        let stream = TcpStream::connect(address).await?;
                        stream.write_all(&k.to_le_bytes()).await?;
                        let mut echo = [0; 4];
                        stream.read_exact(&mut echo).await?;
                        assert_eq!(u32::from_le_bytes(echo), k);
                        Ok(())
                    });
                }
                Ok(())
            })
            .await?;
            n.cancel();
            Ok(())
        })
        .await?;
        assert_eq!((listener.stats().accepted, listener.stats().exhausted), (100, 0));
        Ok(())
    });
}

#[test]
fn a_handler_that_fails_ends_the_loop_and_the_others() {
    guarded(async {
        let listener = TcpListener::bind(any())?;
        let (address, cancelled) = (listener.local_addr()?, Cell::new(0));
        let ended: io::Result<()> = Run::nursery(async |n| {
            let _first = TcpStream::connect(address).await?;
            let _second = TcpStream::connect(address).await?;
            let mut number = 0;
            let never = listener.serve(n, |_| {
                number += 1;
                let (number, cancelled) = (number, &cancelled);
                async move {
                    if number == 2 {
                        return Err(io::Error::other("the second"));
                    }
                    let waited = sleep_forever().await;
                    cancelled.set(cancelled.get() + 1);
                    match waited? {}
                }
            });
            match never.await? {}
        })
        .await;
        assert_eq!((ended.unwrap_err().to_string(), cancelled.get()), ("the second".to_owned(), 1));
        Ok(())
    });
}

#[test]
fn a_cancelled_accept_has_taken_no_connection() {
    guarded(async {
        let listener = TcpListener::bind_with_backlog(any(), 4)?;
        let cut = Run::move_on_after(Duration::from_millis(2), async |_| listener.accept().await);
        assert!(cut.await?.is_none());
        let client = TcpStream::connect(listener.local_addr()?).await?;
        let (server, from) = listener.accept().await?;
        assert_eq!((client.local_addr()?, server.peer_addr()?), (from, from));
        Ok(())
    });
}

#[test]
fn one_task_accepts_and_another_may_end_that() {
    guarded(async {
        let listener = TcpListener::bind(any())?;
        Run::nursery(async |n| {
            n.spawn(async {
                assert_eq!(Fault::of(&listener.accept().await.unwrap_err()), Fault::Closed);
                Ok(())
            });
            checkpoint().await?;
            assert_eq!(Fault::of(&listener.accept().await.unwrap_err()), Fault::Busy);
            listener.end_waits();
            Ok(())
        })
        .await
    });
}

/// Case X41. An address that is taken is refused, and one that was left can be taken at once.
#[test]
fn an_address_has_one_listener() {
    guarded(async {
        let listener = TcpListener::bind(any())?;
        let address = listener.local_addr()?;
        assert!(address.port() != 0 && address.ip().is_loopback());
        assert_eq!(TcpListener::bind(address).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        let client = TcpStream::connect(address).await?;
        // The side that closes first keeps the address in TIME_WAIT.
        drop(listener.accept().await?);
        assert_eq!(client.read(&mut [0; 4]).await?, 0);
        drop((client, listener));
        assert_eq!(TcpListener::bind(address)?.local_addr()?, address);
        let elsewhere = "192.0.2.1:1".parse().expect("an address for documentation");
        assert_eq!(TcpListener::bind(elsewhere).unwrap_err().kind(), io::ErrorKind::AddrNotAvailable);
        Ok(())
    });
}

#[test]
fn a_unix_listener_is_a_name() {
    guarded(async {
        let name = Name::new("listener");
        let listener = UnixListener::bind(&name.0)?;
        assert_eq!(listener.local_addr()?.as_pathname(), Some(name.0.as_path()));
        assert_eq!(UnixListener::bind(&name.0).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        let client = UnixStream::connect(&name.0)?;
        let server = listener.accept().await?;
        client.write_all(b"word").await?;
        server.read_exact(&mut [0; 4]).await?;
        assert_eq!(server.peer_cred()?.pid, std::process::id() as i32);
        drop(listener);
        assert_eq!(UnixStream::connect(&name.0).unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
        let long = "x".repeat(108);
        assert_eq!(UnixListener::bind(long).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        Ok(())
    });
}

#[test]
fn listeners_of_std_are_taken_over() {
    guarded(async {
        let listener = Listener::from_std(std::net::TcpListener::bind(any())?)?;
        let cut = Run::move_on_after(Duration::from_millis(1), async |_| listener.accept().await);
        assert!(cut.await?.is_none(), "it does not block");
        assert!(listener.as_std().ttl()? > 0);
        Ok(())
    });
}

/// Each accept of such a socket fails in the same way.
#[test]
fn a_socket_that_is_no_listener_ends_the_loop() {
    guarded(async {
        let (datagrams, other) = std::os::unix::net::UnixDatagram::pair()?;
        // So that it is worth a try.
        other.send(b"x")?;
        let listener = UnixListener::from_std(OwnedFd::from(datagrams).into())?;
        let served = Run::nursery(async |n| listener.serve(n, async |_| Ok(())).await.map(drop)).await;
        assert_eq!(served.unwrap_err().raw_os_error(), Some(libc::EOPNOTSUPP));
        assert_eq!(listener.stats(), AcceptStats::default());
        Ok(())
    });
}
