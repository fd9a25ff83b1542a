//! Promise: a datagram is sent and received whole, once, with its sender's address and the descriptors that go with it.
//!
//! ```text
//!   UdpSocket ─ send_to │ recv_from │ connect: send │ recv          UnixDatagram ─ the same, and fds
//! ```

#[path = "support/guarded.rs"]
mod guarded;
#[path = "support/sockets.rs"]
mod sockets;

use guarded::guarded;
use pleach_executor::io::Fault;
use pleach_executor::net::{UdpSocket, UnixDatagram};
use pleach_executor::{In, checkpoint};
use sockets::{Name, any};
use std::cell::Cell;
use std::io::{self, Read, Seek, Write};
use std::os::fd::AsFd;
use std::time::Duration;

type Run = In<io::Error>;

/// Case X41. A port of its own, addresses in both directions, and the system's errors for an address that is taken.
#[test]
fn udp_messages_arrive_with_their_senders_address() {
    guarded(async {
        let (a, b) = (UdpSocket::bind(any())?, UdpSocket::bind(any())?);
        let (to_a, to_b) = (a.local_addr()?, b.local_addr()?);
        assert!(to_a.port() != 0 && to_b.port() != 0 && to_a != to_b);
        assert_eq!(UdpSocket::bind(to_a).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        let mut got = [0; 16];
        assert_eq!(a.send_to(b"there", to_b).await?, 5);
        assert_eq!((b.recv_from(&mut got).await?, &got[..5]), ((5, to_a), &b"there"[..]));
        assert_eq!(b.send_to(b"back", to_a).await?, 4);
        assert_eq!((a.recv_from(&mut got).await?, &got[..4]), ((4, to_b), &b"back"[..]));
        Ok(())
    });
}

#[test]
fn a_message_is_whole_or_cut_and_an_empty_one_is_one() {
    guarded(async {
        let (a, b) = (UdpSocket::bind(any())?, UdpSocket::bind(any())?);
        let to = b.local_addr()?;
        for message in [&b"long message"[..], b"", b"next"] {
            a.send_to(message, to).await?;
        }
        let mut got = [0; 4];
        assert_eq!((b.recv_from(&mut got).await?.0, &got), (4, b"long"));
        assert_eq!(b.recv_from(&mut got).await?.0, 0, "an empty message, not an end");
        assert_eq!((b.recv_from(&mut got).await?.0, &got), (4, b"next"));
        let e = a.send_to(&[0; 70_000], to).await.unwrap_err();
        assert_eq!(e.raw_os_error(), Some(libc::EMSGSIZE));
        Ok(())
    });
}

#[test]
fn a_connected_udp_socket_has_one_peer_and_hears_that_it_is_gone() {
    guarded(async {
        let (a, b, stranger) = (UdpSocket::bind(any())?, UdpSocket::bind(any())?, UdpSocket::bind(any())?);
        a.connect(b.local_addr()?)?;
        stranger.send_to(b"not for a", a.local_addr()?).await?;
        b.send_to(b"for a", a.local_addr()?).await?;
        let mut got = [0; 16];
        assert_eq!((a.recv(&mut got).await?, &got[..5]), (5, &b"for a"[..]));
        drop(b);
        a.send(b"anybody there?").await?;
        let e = a.recv(&mut got).await.unwrap_err();
        assert_eq!((e.kind(), Fault::of(&e)), (io::ErrorKind::ConnectionRefused, Fault::Broken));
        Ok(())
    });
}

#[test]
fn a_cancelled_receive_has_taken_no_message() {
    guarded(async {
        let (a, b) = (UdpSocket::bind(any())?, UdpSocket::bind(any())?);
        let mut got = [0; 16];
        let cut = Run::move_on_after(Duration::from_millis(2), async |_| b.recv_from(&mut got).await);
        assert_eq!(cut.await?, None);
        Run::nursery(async |n| {
            n.spawn(async {
                assert_eq!(Fault::of(&b.recv(&mut [0; 4]).await.unwrap_err()), Fault::Closed);
                Ok(())
            });
            checkpoint().await?;
            assert_eq!(Fault::of(&b.recv(&mut [0; 4]).await.unwrap_err()), Fault::Busy);
            b.end_waits();
            Ok(())
        })
        .await?;
        assert_eq!(a.send_to(b"x", any()).await.unwrap_err().raw_os_error(), Some(libc::EINVAL), "to port 0");
        Ok(())
    });
}

/// Nothing is lost: who sends too fast waits.
#[test]
fn unix_messages_are_in_order_and_a_full_queue_makes_the_sender_wait() {
    guarded(async {
        let (a, b) = UnixDatagram::pair()?;
        let sent = Cell::new(0_u32);
        Run::nursery(async |n| {
            n.spawn(async {
                for k in 0..5_000_u32 {
                    a.send(&k.to_le_bytes()).await?;
                    sent.set(k + 1);
                }
                Ok(())
            });
            for _ in 0..100 {
                checkpoint().await?;
            }
            assert!(sent.get() < 5_000, "it waits");
            let mut got = [0; 8];
            for k in 0..5_000_u32 {
                assert_eq!((b.recv(&mut got).await?, &got[..4]), (4, &k.to_le_bytes()[..]));
            }
            Ok(())
        })
        .await
    });
}

#[test]
fn unix_messages_go_to_names() {
    guarded(async {
        let (name, other) = (Name::new("datagram"), Name::new("other"));
        let (a, b) = (UnixDatagram::bind(&name.0)?, UnixDatagram::unbound()?);
        assert_eq!(UnixDatagram::bind(&name.0).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        b.try_send_to(b"hello", &name.0)?;
        let mut got = [0; 16];
        let (len, from) = a.recv_from(&mut got).await?;
        assert_eq!((len, from.is_unnamed()), (5, true));
        b.connect(&name.0)?;
        b.send(b"again").await?;
        assert_eq!(a.recv(&mut got).await?, 5);
        let nobody = b.try_send_to(b"x", &other.0).unwrap_err();
        assert_eq!(nobody.kind(), io::ErrorKind::NotFound);
        assert_eq!(a.send(b"x").await.unwrap_err().kind(), io::ErrorKind::NotConnected);
        drop(a);
        assert_eq!(b.send(b"x").await.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
        Ok(())
    });
}

#[test]
fn descriptors_go_with_a_message() {
    guarded(async {
        let (a, b) = UnixDatagram::pair()?;
        let (reader, mut writer) = io::pipe()?;
        let mut file = tempfile()?;
        file.write_all(b"in the file")?;
        assert_eq!(a.send_fds(b"two", &[reader.as_fd(), file.as_fd()]).await?, 3);
        a.send(b"none").await?;
        let mut got = [0; 8];
        let (len, mut fds) = b.receive_fds(&mut got).await?;
        assert_eq!((len, fds.len()), (3, 2));
        let (mut file, mut reader) =
            (std::fs::File::from(fds.pop().expect("two")), std::fs::File::from(fds.pop().expect("two")));
        writer.write_all(b"through the pipe")?;
        drop(writer);
        let mut text = String::new();
        reader.read_to_string(&mut text)?;
        assert_eq!(text, "through the pipe");
        file.rewind()?;
        text.clear();
        file.read_to_string(&mut text)?;
        assert_eq!(text, "in the file");
        assert_eq!(b.receive_fds(&mut got).await?.1.len(), 0);
        assert_eq!(b.peer_cred()?.uid, a.peer_cred()?.uid);
        Ok(())
    });
}

/// A file without a name.
fn tempfile() -> io::Result<std::fs::File> {
    let name = Name::new("file");
    std::fs::File::options().read(true).write(true).create_new(true).open(&name.0)
}
