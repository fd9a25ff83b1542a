//! Promise: a stream is the same over TCP and over a Unix socket: bytes in order, two directions with an owner each, ends that
//! say whose they are, and cancelled operations that have taken nothing, or say how much.
//!
//! ```text
//!   a ═══ Stream<TcpStream> │ Stream<UnixStream> ═══ b          every case on both
//! ```
//!
//! What every stream of bytes promises is checked in `stream_checks.rs`; here is what these two have besides.

#[path = "support/guarded.rs"]
mod guarded;

use guarded::guarded;
use pleach_executor::io::{Fault, ReadBytes, WriteBytes, split};
use pleach_executor::net::{TcpListener, TcpStream, UnixStream};
use pleach_executor::testing::wait_until_idle;
use pleach_executor::{CancelScope, In, check, checkpoint, run};
use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::net::Shutdown;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

type Run = In<io::Error>;

async fn tcp_pair() -> io::Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind("127.0.0.1:0".parse().expect("an address"))?;
    let client = TcpStream::connect(listener.local_addr()?).await?;
    let (server, from) = listener.accept().await?;
    assert_eq!(client.local_addr()?, from);
    assert_eq!((client.peer_addr()?, server.peer_addr()?), (server.local_addr()?, from));
    Ok((client, server))
}

/// The case on a pair of each kind.
macro_rules! on_each {
    (|$a:ident, $b:ident| $case:block) => {
        guarded(async {
            let ($a, $b) = UnixStream::pair()?;
            $case
            Ok(())
        });
        guarded(async {
            let ($a, $b) = tcp_pair().await?;
            $case
            Ok(())
        });
    };
}

fn bytes(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i % 251) as u8).collect()
}

/// One poll of an operation that has to wait.
async fn begin<F: Future>(op: &mut std::pin::Pin<&mut F>) {
    assert!(poll_fn(|cx| Poll::Ready(op.as_mut().poll(cx).is_pending())).await, "it has nothing to wait for");
}

/// Case 202. A megabyte in each direction at once: exactly that arrives, and everybody else runs meanwhile.
#[test]
fn two_transfers_in_opposite_directions_deliver_exactly_what_was_sent() {
    on_each!(|a, b| {
        let (sent, beside) = (bytes(1 << 20), Cell::new(0));
        Run::nursery(async |n| {
            let done = n.handle();
            n.spawn(async {
                loop {
                    beside.set(beside.get() + 1);
                    pleach_executor::checkpoint().await?;
                }
            });
            Run::nursery(async |n| {
                for (from, to) in [(&a, &b), (&b, &a)] {
                    let sent = &sent;
                    n.spawn(async move {
                        from.write_all(sent).await?;
                        from.send_eof()
                    });
                    n.spawn(async move {
                        let mut got = vec![0; sent.len()];
                        to.read_exact(&mut got).await?;
                        assert!(got == *sent);
                        assert_eq!(to.read(&mut [0; 8]).await?, 0, "and no more");
                        Ok(())
                    });
                }
                Ok(())
            })
            .await?;
            done.cancel();
            Ok(())
        })
        .await?;
        assert!(beside.get() > 10, "{} steps beside it", beside.get());
    });
}

/// Case X37. A peer that is gone breaks the stream, now and from then on, and raises no signal.
#[test]
fn a_peer_that_is_gone_breaks_it_and_leaves_it_broken() {
    on_each!(|a, b| {
        drop(b);
        let e = loop {
            if let Err(e) = a.write(b"is there anybody").await {
                break e;
            }
        };
        assert_eq!(Fault::of(&e), Fault::Broken);
        assert!(matches!(e.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset), "{e:?}");
        for _ in 0..3 {
            assert_eq!(Fault::of(&a.write(b"x").await.unwrap_err()), Fault::Broken);
        }
    });
}

/// Case X37. Whoever has closed an end hears that it was us, reading and writing, now and from then on.
#[test]
fn an_end_that_we_have_closed_says_so() {
    on_each!(|a, b| {
        let (mut read, large) = ([0; 4], vec![7; 8 << 20]);
        let (mut reading, mut writing) = (pin!(a.read(&mut read)), pin!(a.write_all(&large)));
        begin(&mut reading).await;
        begin(&mut writing).await;
        a.end_waits();
        assert_eq!(Fault::of(&reading.await.unwrap_err()), Fault::Closed);
        assert_eq!(Fault::of(&writing.await.unwrap_err()), Fault::Closed);
        assert_eq!(Fault::of(&a.read(&mut [0; 4]).await.unwrap_err()), Fault::Closed);
        assert_eq!(Fault::of(&a.write(b"x").await.unwrap_err()), Fault::Closed);
        a.end_waits();
        assert!(b.try_read(&mut [0; 4])?.is_some_and(|n| n > 0), "the peer has what was written");
    });
}

/// Strict, and by how much: a read that was cancelled has taken nothing, a long write says how far it came, and both can be
/// begun again.
#[test]
fn cancelled_operations_have_taken_nothing_or_say_how_much() {
    on_each!(|a, b| {
        let (large, mut done, mut got) = (bytes(8 << 20), 0, vec![0; 8 << 20]);
        let cut = Run::move_on_after(Duration::from_millis(5), async |_| {
            a.write_all_counting(&large, &mut done).await
        });
        assert!(cut.await?.is_none() && 0 < done && done < large.len(), "{done}");
        let mut taken = 0;
        let cut = Run::move_on_after(Duration::from_millis(5), async |_| {
            b.read_exact_counting(&mut got, &mut taken).await
        });
        assert!(cut.await?.is_none() && taken == done, "{taken} of {done}: all that was there");
        let cut = Run::move_on_after(Duration::from_millis(5), async |_| b.read(&mut [0; 8]).await);
        assert_eq!(cut.await?, None, "nothing to read");
        Run::nursery(async |n| {
            n.spawn(async { a.write_all_counting(&large, &mut done).await });
            b.read_exact_counting(&mut got, &mut taken).await
        })
        .await?;
        assert!(got == large && done == large.len());
    });
}

/// In a cancelled scope an operation is not begun, although it could be done at once.
#[test]
fn in_a_cancelled_scope_nothing_is_read_or_written() {
    on_each!(|a, b| {
        b.write_all(b"here").await?;
        let scope = CancelScope::new();
        let ended = scope
            .run(async |scope| {
                scope.cancel();
                assert_eq!(Fault::of(&a.read(&mut [0; 4]).await.unwrap_err()), Fault::Cancelled);
                assert_eq!(Fault::of(&a.read(&mut []).await.unwrap_err()), Fault::Cancelled);
                assert_eq!(Fault::of(&a.write(b"x").await.unwrap_err()), Fault::Cancelled);
                assert_eq!(Fault::of(&a.write_all(b"x").await.unwrap_err()), Fault::Cancelled);
                Ok::<_, io::Error>(check()?)
            })
            .await?;
        assert_eq!((ended, b.try_read(&mut [0; 4])?), (None, None));
        assert_eq!(a.try_read(&mut [0; 8])?, Some(4));
    });
}

#[test]
fn parts_are_written_and_filled_in_their_order() {
    on_each!(|a, b| {
        let parts = [IoSlice::new(b"one "), IoSlice::new(b""), IoSlice::new(b"two")];
        assert_eq!(a.write_vectored(&parts).await?, 7);
        let (mut first, mut second) = ([0; 3], [0; 8]);
        let mut room = [IoSliceMut::new(&mut first), IoSliceMut::new(&mut second)];
        assert_eq!(b.read_vectored(&mut room).await?, 7);
        assert_eq!((&first, &second[..4]), (b"one", &b" two"[..]));
        assert_eq!((a.write_vectored(&[]).await?, b.read_vectored(&mut []).await?), (0, 0));
    });
}

/// Each half is owned by another task; one that is dropped ends its direction, and both together are the stream again.
#[test]
fn halves_are_owned_apart_and_put_together_again() {
    on_each!(|a, b| {
        let ((a_in, a_out), (b_in, b_out)) = (split(a), split(b));
        let (a_in, a_out) = match a_in.reunite(b_out) {
            Err((a_in, b_out)) => {
                drop((b_out, b_in));
                (a_in, a_out)
            }
            Ok(_) => panic!("they are of two streams"),
        };
        assert_eq!(a_in.read(&mut [0; 4]).await?, 0, "the other's writer is gone");
        let e = loop {
            if let Err(e) = a_out.write(b"x").await {
                break e;
            }
        };
        assert_eq!(Fault::of(&e), Fault::Broken);
        let Ok(whole) = a_in.reunite(a_out) else { panic!("they are of one") };
        assert!(whole.read(&mut [0; 4]).await.is_ok_and(|n| n == 0));
    });
}

#[test]
fn both_halves_work_at_once_in_static_tasks() {
    on_each!(|a, b| {
        let (reader, writer) = split(b);
        Run::nursery(async |n| {
            n.spawn_static(async move {
                let mut got = [0; 4];
                while reader.read(&mut got).await? > 0 {}
                Ok(())
            });
            n.spawn_static(async move { writer.write_all(b"from the other half").await });
            let mut got = [0; 19];
            a.read_exact(&mut got).await?;
            assert_eq!(&got, b"from the other half");
            assert_eq!(a.read(&mut got).await?, 0, "its writer was dropped");
            a.write_all(b"words").await?;
            a.send_eof()
        })
        .await?;
    });
}

/// What std gets back is what it gave, and what it gives is made non-blocking.
#[test]
fn streams_of_std_come_and_go() {
    on_each!(|a, b| {
        let (mut a, mut b) = (a.into_std(), b.into_std());
        a.write_all(b"std")?;
        assert_eq!(b.read(&mut [0; 8])?, 3);
        assert_eq!(b.read(&mut [0; 8]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        a.set_nonblocking(false)?;
        let again = pleach_executor::net::Stream::from_std(a)?;
        assert_eq!(again.try_read(&mut [0; 8])?, None, "it did not block");
        assert_eq!(again.try_write(b"x")?, Some(1));
        again.shutdown(Shutdown::Both)?;
        assert_eq!(again.read(&mut [0; 8]).await?, 0);
    });
}

/// A read that gave less than there was room for is not followed by one that gives nothing: the system says when there is
/// more.
#[test]
fn a_read_that_found_less_waits_for_news() {
    guarded(async {
        let (a, b) = UnixStream::pair()?;
        a.write_all(b"x").await?;
        let mut got = [0; 8];
        assert_eq!(b.read(&mut got).await?, 1);
        let mut reading = pin!(b.read(&mut got));
        begin(&mut reading).await;
        wait_until_idle().await?;
        a.write_all(b"yz").await?;
        assert_eq!(reading.await?, 2);
        Ok(())
    });
}

#[test]
#[should_panic(expected = "belongs to run")]
fn a_stream_of_another_run_is_refused() {
    let (a, _b) = run(async { UnixStream::pair() }).unwrap();
    let _ = run(async { a.read(&mut [0; 4]).await });
}

/// TCP alone: nobody listens there.
#[test]
fn a_refused_connection_is_the_worlds_fault() {
    guarded(async {
        let listener = TcpListener::bind("127.0.0.1:0".parse().expect("an address"))?;
        let nobody = listener.local_addr()?;
        drop(listener);
        let e = TcpStream::connect(nobody).await.expect_err("nobody listens");
        assert_eq!((e.kind(), Fault::of(&e)), (io::ErrorKind::ConnectionRefused, Fault::Broken));
        let (a, _b) = tcp_pair().await?;
        assert!(!a.as_std().nodelay()?, "as the system makes it");
        a.set_nodelay(true)?;
        assert!(a.as_std().nodelay()?);
        Ok(())
    });
}

#[test]
fn nobody_tries_in_the_middle_of_what_another_task_does() {
    on_each!(|a, b| {
        let bytes = vec![7; 8 << 20];
        Run::nursery(async |n| {
            n.spawn(async {
                a.write_all(&bytes).await?;
                a.send_eof()
            });
            let reading = n.task(async {
                let mut seen = 0;
                let mut room = vec![0; 1 << 16];
                loop {
                    match b.read(&mut room).await? {
                        0 => return Ok(seen),
                        read => {
                            assert!(
                                room[..read].iter().all(|byte| *byte == 7),
                                "bytes of another in between"
                            );
                            seen += read;
                        }
                    }
                    checkpoint().await?;
                }
            });
            checkpoint().await?;
            for _ in 0..4 {
                assert_eq!(Fault::of(&a.try_write(b"x").unwrap_err()), Fault::Busy);
                assert_eq!(Fault::of(&b.try_read(&mut [0; 8]).unwrap_err()), Fault::Busy);
                checkpoint().await?;
            }
            assert_eq!(reading.await?, bytes.len());
            Ok(())
        })
        .await?;
    });
}

#[test]
fn after_the_end_of_waits_nothing_is_tried() {
    on_each!(|a, b| {
        b.write_all(b"x").await?;
        a.end_waits();
        assert_eq!(Fault::of(&a.try_read(&mut [0; 8]).unwrap_err()), Fault::Closed);
        assert_eq!(Fault::of(&a.try_write(b"x").unwrap_err()), Fault::Closed);
    });
}

/// The connection is broken, so the system refuses to end it: what a write meets then is the break, not an end of ours.
#[test]
fn an_end_that_the_system_refuses_is_none() {
    guarded(async {
        for shut in [false, true] {
            let (a, b) = tcp_pair().await?;
            a.write_all(b"never read").await?;
            // Closed with bytes that nobody has read: the connection is reset.
            drop(b);
            assert_eq!(a.read(&mut [0; 8]).await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
            let refused = if shut { a.shutdown(Shutdown::Both) } else { a.send_eof() };
            assert_eq!(refused.unwrap_err().kind(), io::ErrorKind::NotConnected);
            assert_eq!(Fault::of(&a.write(b"x").await.unwrap_err()), Fault::Broken);
        }
        Ok(())
    });
}
