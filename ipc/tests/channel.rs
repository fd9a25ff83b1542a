//! The channel over a socketpair: order, ends, room, and what a cancelled call leaves behind.
//!
//! ```text
//!   Channel ═══ socketpair ═══ Channel │ a bare socket, to write and read bytes by hand
//! ```
#![cfg(feature = "runtime")]

mod support;

use pleach_executor::{CancelScope, Cancelled, Failure, Failures, In, checkpoint, move_on_after, yield_now};
use pleach_ipc::proto::{Decoder, EncodeError, FrameLen, Ledger, Limits, Message, ProtocolError};
use pleach_ipc::{Channel, ChannelError, DrainEnd, Sent};
use std::future::{Future, poll_fn};
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;
use support::frame;

#[derive(Debug)]
enum Error {
    Channel(ChannelError),
    Many,
}

impl From<ChannelError> for Error {
    fn from(e: ChannelError) -> Self {
        Error::Channel(e)
    }
}

impl From<Cancelled> for Error {
    fn from(c: Cancelled) -> Self {
        Error::Channel(c.into())
    }
}

impl Failure for Error {
    fn is_cancelled(&self) -> bool {
        matches!(self, Error::Channel(ChannelError::Cancelled(_)))
    }
    fn merge(_: Failures<Self>) -> Self {
        Error::Many
    }
}

type Run = In<Error>;

/// Runs a test; one that hangs fails instead.
fn run(test: impl Future<Output = ()>) {
    let guarded = move_on_after(Duration::from_secs(30), async |_| {
        test.await;
        Ok::<_, Cancelled>(())
    });
    let ended = pleach_executor::run(guarded).expect("nothing outside cancels");
    assert!(ended.is_some(), "the test hung");
}

fn value(n: usize) -> Message {
    Message::Return { value: vec![n as u8; n], ledger: Ledger::default() }
}

fn open_pair() -> (Channel, Channel) {
    let (a, b) = Channel::pair().unwrap();
    a.open(Limits::default());
    b.open(Limits::default());
    (a, b)
}

/// A channel, and a bare socket at its other end.
fn half_bare() -> (Channel, UnixStream) {
    let (a, b) = UnixStream::pair().unwrap();
    let channel = Channel::from_std(a).unwrap();
    channel.open(Limits::default());
    (channel, b)
}

/// Fills the socket of `a` so that nothing more goes in, and says with how many messages.
fn stuff(a: &Channel) -> usize {
    let mut n = 1;
    while a.try_send_now(&value(20_000)).unwrap() == Sent::Written {
        n += 1;
    }
    n
}

#[test]
fn messages_arrive_in_order_in_both_directions() {
    run(async {
        let (a, b) = open_pair();
        let r: Result<(), Error> = Run::nursery(async |n| {
            n.spawn(async {
                while let Some(m) = b.recv().await? {
                    b.send(&m).await?;
                }
                b.close_write();
                Ok(())
            });
            for size in [0, 1, 70_000, 3] {
                a.send(&value(size)).await?;
                assert_eq!(a.recv().await?, Some(value(size)));
            }
            a.close_write();
            assert_eq!(a.recv().await?, None);
            assert_eq!(a.recv().await?, None);
            Ok(())
        })
        .await;
        r.unwrap();
    });
}

#[test]
fn a_frame_larger_than_the_socket_goes_through() {
    run(async {
        let (a, b) = open_pair();
        let r: Result<(), Error> = Run::nursery(async |n| {
            n.spawn(async {
                a.send(&value(5_000_000)).await?;
                a.send(&Message::Goodbye).await?;
                a.close_write();
                Ok(())
            });
            assert!(b.recv().await? == Some(value(5_000_000)));
            assert_eq!(b.recv().await?, Some(Message::Goodbye));
            assert_eq!(b.recv().await?, None);
            Ok(())
        })
        .await;
        r.unwrap();
    });
}

#[test]
fn a_cancelled_receive_loses_no_byte() {
    run(async {
        let (a, mut peer) = half_bare();
        let bytes = frame(&value(300));
        for byte in &bytes[..bytes.len() - 1] {
            peer.write_all(&[*byte]).unwrap();
            // Parked first, then cancelled with half a frame inside; every single byte of the frame is a window.
            let r: Result<Option<()>, Error> = CancelScope::new()
                .run(async |s| {
                    let handle = s.handle();
                    Run::nursery(async |n| {
                        n.spawn(async {
                            for _ in 0..3 {
                                yield_now().await;
                            }
                            handle.cancel();
                            Ok(())
                        });
                        panic!("half a frame was received: {:?}", a.recv().await?)
                    })
                    .await
                })
                .await;
            assert!(matches!(r, Ok(None)), "{r:?}");
        }
        peer.write_all(&bytes[bytes.len() - 1..]).unwrap();
        assert_eq!(a.recv().await.unwrap(), Some(value(300)));
    });
}

#[test]
fn in_a_cancelled_scope_nothing_is_begun() {
    run(async {
        let (a, b) = open_pair();
        a.send(&Message::Goodbye).await.unwrap();
        let r: Result<Option<()>, Error> = CancelScope::new()
            .run(async |s| {
                s.cancel();
                assert!(matches!(b.recv().await, Err(ChannelError::Cancelled(_))));
                Ok(b.send(&Message::Ready).await?)
            })
            .await;
        assert!(matches!(r, Ok(None)));
        assert_eq!(b.unsent(), 0);
        assert!(matches!(a.drain().end, DrainEnd::Open));
        assert_eq!(b.recv().await.unwrap(), Some(Message::Goodbye));
    });
}

#[test]
fn a_cancelled_send_is_whole_or_not_at_all() {
    run(async {
        let tight = Limits { frame: FrameLen::kib(64), in_flight: FrameLen::kib(64), ..Limits::default() };
        let mut queued = Vec::new();
        for (limits, polls) in
            [(tight, 0), (tight, 1), (tight, 5), (Limits::default(), 1), (Limits::default(), 5)]
        {
            let (a, peer) = half_bare();
            a.open(limits);
            let mut sent = stuff(&a) + 1;
            a.try_send_now(&value(20_000)).unwrap();
            let before = a.unsent();
            let r: Result<Option<()>, Error> = CancelScope::new()
                .run(async |s| {
                    let handle = s.handle();
                    Run::nursery(async |n| {
                        n.spawn(async {
                            for _ in 0..polls {
                                yield_now().await;
                            }
                            handle.cancel();
                            Ok(())
                        });
                        Ok(a.send(&value(65_000)).await?)
                    })
                    .await
                })
                .await;
            assert!(matches!(r, Ok(None)), "nobody has read, so it cannot have been sent: {r:?}");
            queued.push(a.unsent() > before);
            sent += usize::from(a.unsent() > before);
            // A bare reader sees whole frames only, and exactly these.
            let (decoder, seen) = read_all(&a, peer).await;
            assert_eq!((decoder.end_of_stream(), seen), (Ok(()), sent));
        }
        assert_eq!(
            queued,
            [false, false, false, true, true],
            "cancelled while it waits for room, and after that"
        );
    });
}

/// Closes `a`, flushes it and reads everything that it has sent.
async fn read_all(a: &Channel, peer: UnixStream) -> (Decoder, usize) {
    let peer = pleach_executor::net::UnixStream::from_std(peer).unwrap();
    let mut decoder = Decoder::new(Limits::default());
    let mut seen = 0;
    let r: Result<(), Error> = Run::nursery(async |n| {
        a.close_write();
        n.spawn(async { Ok(a.flush().await?) });
        let mut bytes = vec![0; 100_000];
        loop {
            match peer.read(&mut bytes).await.unwrap() {
                0 => return Ok(()),
                n => decoder.handle_bytes(&bytes[..n]),
            }
            while let Some(m) = decoder.poll_message() {
                m.unwrap();
                seen += 1;
            }
        }
    })
    .await;
    r.unwrap();
    (decoder, seen)
}

#[test]
fn what_could_not_be_written_at_once_is_written_by_the_one_who_receives() {
    run(async {
        let (a, b) = open_pair();
        let r: Result<(), Error> = Run::nursery(async |n| {
            let a = &a;
            // Parked in recv before there is anything to write.
            n.spawn(async move {
                assert_eq!(a.recv().await?, Some(Message::Ready));
                Ok(())
            });
            checkpoint().await?;
            let sent = stuff(a);
            assert!(a.unsent() > 0);
            for _ in 0..sent {
                assert_eq!(b.recv().await?, Some(value(20_000)));
            }
            b.send(&Message::Ready).await?;
            Ok(())
        })
        .await;
        r.unwrap();
    });
}

#[test]
fn a_sender_and_a_receiver_that_both_wait_to_write_do_not_disturb_each_other() {
    run(async {
        let (a, b) = open_pair();
        let r: Result<(), Error> = Run::nursery(async |n| {
            let (a, b) = (&a, &b);
            n.spawn(async move {
                assert_eq!(a.recv().await?, Some(Message::Ready));
                Ok(())
            });
            checkpoint().await?;
            let stuffed = stuff(a);
            // Two more senders beside the receiver, who is the pilot by now; one of them gives up.
            n.spawn(async move { Ok(a.send(&value(400_000)).await?) });
            let gone = CancelScope::new();
            let handle = gone.handle();
            n.spawn(async move {
                gone.run(async |_| Ok::<_, Error>(a.send(&value(400_000)).await?)).await.map(drop)
            });
            for _ in 0..5 {
                yield_now().await;
            }
            handle.cancel();
            for _ in 0..stuffed {
                assert_eq!(b.recv().await?, Some(value(20_000)));
            }
            for _ in 0..2 {
                assert!(b.recv().await? == Some(value(400_000)));
            }
            b.send(&Message::Ready).await?;
            Ok(())
        })
        .await;
        r.unwrap();
    });
}

#[test]
fn control_has_room_when_data_has_none() {
    run(async {
        let (a, b) = open_pair();
        a.open(Limits { in_flight: FrameLen::kib(64), frame: FrameLen::kib(64), ..Limits::default() });
        let full = loop {
            match a.try_send_now(&value(20_000)) {
                Ok(_) => {}
                Err(e) => break e,
            }
        };
        assert!(matches!(full, ChannelError::Encode(EncodeError::Full { .. })), "{full}");
        assert_eq!(a.try_send_now(&Message::Goodbye).unwrap(), Sent::Queued);
        // A send of data waits for room, and gets it.
        let r: Result<(), Error> = Run::nursery(async |n| {
            n.spawn(async {
                a.send(&value(30_000)).await?;
                a.close_write();
                Ok(())
            });
            let mut order = Vec::new();
            while let Some(m) = b.recv().await? {
                order.push(m);
            }
            assert_eq!(order.pop(), Some(value(30_000)));
            assert_eq!(order.pop(), Some(Message::Goodbye));
            Ok(())
        })
        .await;
        r.unwrap();
    });
}

#[test]
fn what_a_dead_peer_said_is_received_although_it_left_bytes_unread() {
    run(async {
        let (a, b) = open_pair();
        a.send(&Message::Ready).await.unwrap();
        b.send(&value(10)).await.unwrap();
        b.send(&Message::Goodbye).await.unwrap();
        drop(b);
        // The kernel says ECONNRESET or EPIPE to whoever writes; what came is still there.
        assert!(matches!(a.send(&Message::Ready).await, Err(ChannelError::Broken(_))));
        assert!(matches!(a.try_send_now(&Message::Ready), Err(ChannelError::Broken(_))));
        assert_eq!(a.unsent(), 0);
        assert_eq!(a.recv().await.unwrap(), Some(value(10)));
        assert_eq!(a.recv().await.unwrap(), Some(Message::Goodbye));
        assert_eq!(a.recv().await.unwrap(), None);
    });
}

#[test]
fn a_reset_is_an_end_like_any_other() {
    run(async {
        let (a, b) = open_pair();
        a.send(&Message::Ready).await.unwrap();
        b.send(&Message::Goodbye).await.unwrap();
        drop(b);
        assert_eq!(a.recv().await.unwrap(), Some(Message::Goodbye));
        assert_eq!(a.recv().await.unwrap(), None);
    });
}

#[test]
fn drain_takes_what_is_there_and_says_what_came_after() {
    run(async {
        let (a, mut peer) = half_bare();
        assert!(matches!(a.drain().end, DrainEnd::Open));
        peer.write_all(&frame(&value(100_000))).unwrap();
        peer.write_all(&frame(&Message::Goodbye)[..3]).unwrap();
        let drained = a.drain();
        assert!(drained.messages == [value(100_000)] && matches!(drained.end, DrainEnd::Open));
        peer.write_all(&frame(&Message::Goodbye)[3..]).unwrap();
        drop(peer);
        let drained = a.drain();
        assert!(drained.messages == [Message::Goodbye] && matches!(drained.end, DrainEnd::Closed));
        assert_eq!(a.recv().await.unwrap(), None);
    });
}

#[test]
fn a_receiver_that_waits_hears_of_an_end_that_another_drained() {
    run(async {
        let (a, peer) = half_bare();
        let r: Result<(), Error> = Run::nursery(async |n| {
            let a = &a;
            n.spawn(async move {
                assert_eq!(a.recv().await?, None);
                Ok(())
            });
            for _ in 0..3 {
                checkpoint().await?;
            }
            drop(peer);
            assert!(matches!(a.drain().end, DrainEnd::Closed));
            Ok(())
        })
        .await;
        r.unwrap();
    });
}

#[test]
fn a_peer_that_ends_inside_a_frame_has_broken_the_protocol() {
    run(async {
        let (a, mut peer) = half_bare();
        peer.write_all(&frame(&Message::Goodbye)[..5]).unwrap();
        drop(peer);
        for _ in 0..2 {
            let e = a.recv().await.unwrap_err();
            assert!(matches!(e, ChannelError::Protocol(ProtocolError::Truncated { received: 5 })), "{e}");
        }
        assert!(matches!(a.drain().end, DrainEnd::Failed(ChannelError::Protocol(_))));
    });
}

#[test]
fn a_large_frame_before_the_end_of_the_handshake_is_refused() {
    run(async {
        let (a, b) = Channel::pair().unwrap();
        b.open(Limits::default());
        b.send(&value(70_000)).await.unwrap();
        let e = a.recv().await.unwrap_err();
        assert!(matches!(e, ChannelError::Protocol(ProtocolError::TooLong { booting: true, .. })), "{e}");
    });
}

#[test]
fn after_close_what_is_queued_still_goes_out_and_nothing_else_does() {
    run(async {
        let (a, peer) = half_bare();
        let sent = stuff(&a);
        a.close_write();
        assert!(matches!(a.try_send_now(&Message::Ready), Err(ChannelError::Closed)));
        assert!(matches!(a.send(&Message::Ready).await, Err(ChannelError::Closed)));
        let (decoder, seen) = read_all(&a, peer).await;
        assert_eq!((decoder.end_of_stream(), seen), (Ok(()), sent));
    });
}

#[test]
fn a_second_receiver_is_told_so() {
    run(async {
        let (a, b) = open_pair();
        let r: Result<(), Error> = Run::nursery(async |n| {
            let a = &a;
            n.spawn(async move {
                assert_eq!(a.recv().await?, Some(Message::Ready));
                Ok(())
            });
            checkpoint().await?;
            assert!(matches!(a.recv().await, Err(ChannelError::Busy)));
            b.send(&Message::Ready).await?;
            Ok(())
        })
        .await;
        r.unwrap();
    });
}

#[test]
fn a_sender_that_never_waits_lets_others_run() {
    run(async {
        let (a, b) = open_pair();
        let ran = std::cell::Cell::new(false);
        let r: Result<(), Error> = Run::nursery(async |n| {
            n.spawn(async {
                ran.set(true);
                Ok(())
            });
            let mut sent = 0;
            while !ran.get() {
                a.send(&Message::Goodbye).await?;
                assert_eq!(b.recv().await?, Some(Message::Goodbye));
                sent += 1;
                assert!(sent < 100_000, "the sender has starved the other task");
            }
            Ok(())
        })
        .await;
        r.unwrap();
    });
}

/// It waits for room first, is not polled again, and what another has to say comes through.
#[test]
fn while_there_is_a_reader_a_sender_that_is_not_polled_holds_nobody_back() {
    run(async {
        let (a, b) = open_pair();
        let large = value(5_000_000);
        let r: Result<(), Error> = Run::nursery(async |n| {
            let done = n.handle();
            let reader = a.reader();
            n.spawn(async move { Ok(reader.recv().await.map(drop)?) });
            let mut held = pin!(a.send(&large));
            let waits = poll_fn(|cx| Poll::Ready(held.as_mut().poll(cx).is_pending())).await;
            assert!(waits, "there is no room for all of it");
            let mut received = Vec::new();
            while received.len() < 2 {
                received.extend(b.drain().messages);
                if received.len() == 1 {
                    a.send(&Message::Goodbye).await?;
                }
                checkpoint().await?;
            }
            assert!(received[0] == large && received[1] == Message::Goodbye);
            done.cancel();
            Ok(())
        })
        .await;
        r.unwrap();
    });
}

/// It has received in between, and whoever waited for room has looked, and left it to the reader.
#[test]
fn when_the_reader_goes_a_sender_writes_itself() {
    run(async {
        let (a, b) = open_pair();
        let large = value(5_000_000);
        let r: Result<(), Error> = Run::nursery(async |n| {
            let reader = a.reader();
            n.spawn(async { Ok(a.send(&large).await?) });
            b.send(&Message::Ready).await?;
            assert_eq!(reader.recv().await?, Some(Message::Ready));
            for _ in 0..5 {
                checkpoint().await?;
            }
            drop(reader);
            let mut received = Vec::new();
            while received.is_empty() {
                received = b.drain().messages;
                checkpoint().await?;
            }
            assert!(received == [large.clone()]);
            Ok(())
        })
        .await;
        r.unwrap();
    });
}

#[test]
fn a_peer_that_never_pauses_does_not_keep_the_reader_from_writing() {
    run(async {
        let (a, b) = open_pair();
        let reader = a.reader();
        assert_eq!(a.try_send_now(&value(5_000_000)).unwrap(), Sent::Queued);
        for _ in 0..10_000 {
            // As much as there is room for, so that a read is never short of bytes.
            while b.try_send_now(&value(20_000)).is_ok_and(|sent| sent == Sent::Written) {}
            assert_eq!(reader.recv().await.unwrap(), Some(value(20_000)));
            if b.drain().messages == [value(5_000_000)] {
                return;
            }
        }
        panic!("{} bytes are still here", a.unsent());
    });
}
