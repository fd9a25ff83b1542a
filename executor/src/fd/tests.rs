//! The promises of `AsyncFd`, one test each.

use super::*;
use crate::error::Cancelled;
use crate::reactor::PollReady;
use crate::{CancelScope, check, checkpoint, low_level, nursery, run, stats};
use std::cell::Cell;
use std::future::poll_fn;
use std::io::{PipeReader, Read, Write};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Poll;

type Failed = io::Error;

fn pipe() -> (AsyncFd<PipeReader>, io::PipeWriter) {
    let (reader, writer) = io::pipe().unwrap();
    (AsyncFd::new(reader).unwrap(), writer)
}

#[test]
fn a_reader_waits_until_there_is_something_and_no_timer_fires() {
    let r: Result<(), Failed> = run(nursery(async |n| {
        let (reader, mut writer) = pipe();
        let before = stats();
        let read = n.task(async move {
            reader.readable().await?;
            reader.get_ref().read(&mut [0; 8])
        });
        checkpoint().await?;
        assert_eq!(stats().waiting, before.waiting + 1);
        writer.write_all(b"abc")?;
        assert_eq!(read.await?, 3);
        assert_eq!(stats().timers_fired, before.timers_fired);
        Ok(())
    }));
    r.unwrap();
}

#[test]
fn an_idle_socket_is_writable_and_waiting_for_that_is_a_checkpoint() {
    let r: Result<Option<()>, Cancelled> = run(async {
        let (a, _b) = UnixStream::pair().unwrap();
        let a = AsyncFd::new(a).unwrap();
        a.writable().await.unwrap();
        CancelScope::new()
            .run(async |scope| {
                scope.cancel();
                assert!(matches!(a.writable().await, Err(ReadyError::Cancelled(_))));
                check()
            })
            .await
    });
    assert!(matches!(r, Ok(None)));
}

#[test]
fn a_cancelled_wait_leaves_the_direction_free() {
    let r: Result<(), Failed> = run(async {
        let (reader, mut writer) = pipe();
        let scope = CancelScope::new();
        let handle = scope.handle();
        nursery(async |n| {
            let cancelled = n.task(async {
                let r: io::Result<Option<()>> = scope.run(async |_| Ok(reader.readable().await?)).await;
                Ok(r?.is_none())
            });
            checkpoint().await?;
            checkpoint().await?;
            handle.cancel();
            assert!(cancelled.await?);
            writer.write_all(b"x")?;
            reader.readable().await?;
            Ok(())
        })
        .await
    });
    r.unwrap();
}

#[test]
fn a_second_waiter_of_a_direction_is_told_so_and_the_first_goes_on_waiting() {
    let (read, busy) = (Cell::new(0), Cell::new(0));
    let r: Result<(), Failed> = run(async {
        let (reader, mut writer) = pipe();
        nursery(async |n| {
            for _ in 0..2 {
                n.spawn(async {
                    match reader.readable().await {
                        Ok(()) => read.set(read.get() + 1),
                        Err(ReadyError::Busy) => busy.set(busy.get() + 1),
                        Err(e) => return Err(e.into()),
                    }
                    Ok(())
                });
            }
            checkpoint().await?;
            checkpoint().await?;
            assert_eq!((read.get(), busy.get()), (0, 1));
            writer.write_all(b"x")?;
            Ok(())
        })
        .await
    });
    r.unwrap();
    assert_eq!((read.get(), busy.get()), (1, 1));
}

#[test]
fn nobody_gets_in_between_while_the_first_waiter_is_woken_and_unpolled() {
    let r: Result<(), Failed> = run(async {
        let (reader, mut writer) = pipe();
        let mut first = std::pin::pin!(reader.readable());
        poll_fn(|cx| {
            assert!(first.as_mut().poll(cx).is_pending());
            Poll::Ready(())
        })
        .await;
        writer.write_all(b"x")?;
        for _ in 0..3 {
            checkpoint().await?;
        }
        assert!(matches!(reader.readable().await, Err(ReadyError::Busy)));
        assert!(
            matches!(reader.read_with(|mut r| r.read(&mut [0; 8])).await, Err(e) if e.kind() == io::ErrorKind::ResourceBusy)
        );
        first.await?;
        assert_eq!(reader.read_with(|mut r| r.read(&mut [0; 8])).await?, 1);
        Ok(())
    });
    r.unwrap();
}

#[test]
fn a_refused_or_dropped_operation_leaves_the_claim_as_it_was() {
    let r: Result<(), Failed> = run(async {
        let (reader, mut writer) = pipe();
        {
            let mut first = std::pin::pin!(reader.readable());
            assert!(is_pending(first.as_mut()).await);
            assert!(matches!(reader.readable().await, Err(ReadyError::Busy)));
            assert!(
                matches!(reader.readable().await, Err(ReadyError::Busy)),
                "the refused one gave nothing up"
            );
        }
        writer.write_all(b"x")?;
        reader.readable().await?;
        Ok(())
    });
    r.unwrap();
}

/// Polls once; is it pending?
async fn is_pending(mut fut: std::pin::Pin<&mut impl Future>) -> bool {
    poll_fn(|cx| Poll::Ready(fut.as_mut().poll(cx).is_pending())).await
}

#[test]
fn ending_the_waits_wakes_reader_and_writer_with_closed() {
    let closed = Cell::new(0);
    let r: Result<(), Failed> = run(async {
        let (a, _b) = UnixStream::pair()?;
        a.set_nonblocking(true)?;
        let a = AsyncFd::new(a)?;
        while a.try_io(Direction::Write, |mut s| s.write(&[0; 4096]))?.is_some() {}
        nursery(async |n| {
            n.spawn(async {
                closed.set(closed.get() + usize::from(matches!(a.readable().await, Err(ReadyError::Closed))));
                Ok(())
            });
            n.spawn(async {
                // Ready once, from before the buffer was filled.
                a.writable().await.ok();
                a.clear_writable();
                closed.set(closed.get() + usize::from(matches!(a.writable().await, Err(ReadyError::Closed))));
                Ok(())
            });
            for _ in 0..4 {
                checkpoint().await?;
            }
            assert_eq!(closed.get(), 0);
            a.end_waits();
            Ok(())
        })
        .await
    });
    r.unwrap();
    assert_eq!(closed.get(), 2);
}

#[test]
fn a_regular_file_and_a_closed_number_are_refused_at_once() {
    run(async {
        let file = std::fs::File::open("/proc/self/exe").unwrap();
        let refused = AsyncFd::new(file).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::Unsupported);
        assert!(refused.to_string().contains("regular file"), "{refused}");
        let (a, _b) = UnixStream::pair().unwrap();
        let first = AsyncFd::new(a.as_fd()).unwrap();
        assert_eq!(AsyncFd::new(a.as_fd()).unwrap_err().raw_os_error(), Some(libc::EEXIST));
        drop(first);
        AsyncFd::new(a.as_fd()).unwrap();
    });
}

#[test]
fn what_owns_its_descriptor_is_named_to_a_fork_and_what_borrows_is_not() {
    run(async {
        let (a, b) = UnixStream::pair().unwrap();
        let (owned, borrowed) = (AsyncFd::sole(OwnedFd::from(a)).unwrap(), AsyncFd::new(b.as_fd()).unwrap());
        let fds = low_level::owned_fds();
        assert!(fds.contains(&owned.get_ref().as_raw_fd()));
        assert!(!fds.contains(&BorrowedFd::as_raw_fd(borrowed.get_ref())));
    });
}

#[test]
fn dropping_deregisters_before_closing() {
    run(async {
        let before = (stats().registrations, low_level::owned_fds().len());
        let (reader, _writer) = pipe();
        assert_eq!(stats().registrations, before.0 + 1);
        let reader = reader.into_inner();
        assert_eq!(stats().registrations, before.0);
        drop(AsyncFd::new(reader).unwrap());
        assert_eq!(stats().registrations, before.0);
    });
}

#[test]
fn one_of_another_run_panics_where_it_is_used_and_names_both_runs() {
    let stranger = run(async { pipe() });
    run(async {
        let panic = catch_unwind(AssertUnwindSafe(|| drop(stranger.0.readable()))).unwrap_err();
        let text = panic.downcast_ref::<String>().unwrap();
        assert!(text.contains("descriptor belongs to run") && text.contains("was used in run"), "{text}");
        let tried = catch_unwind(AssertUnwindSafe(|| stranger.0.try_io(Direction::Read, |_| Ok(()))));
        assert!(tried.is_err());
    });
}

#[test]
fn one_of_an_earlier_run_leaves_this_runs_registrations_alone() {
    let stranger = run(async { pipe() });
    let r: Result<(), Failed> = run(async {
        let (reader, mut writer) = pipe();
        stranger.0.clear_readable();
        stranger.0.end_waits();
        drop(stranger);
        assert_eq!(stats().registrations, 1);
        writer.write_all(b"x")?;
        reader.readable().await?;
        Ok(())
    });
    r.unwrap();
}

#[test]
fn one_of_an_earlier_run_can_be_adopted() {
    let (mut reader, mut writer) = run(async { pipe() });
    run(async {
        reader.adopt().unwrap();
        reader.adopt().unwrap();
        assert_eq!(stats().registrations, 1);
        writer.write_all(b"x").unwrap();
        reader.readable().await.unwrap();
    });
}

#[test]
fn a_result_that_is_there_wins_over_a_cancellation() {
    let r: Result<Option<()>, Cancelled> = run(async {
        let (reader, mut writer) = pipe();
        CancelScope::new()
            .run(async |scope| {
                let mut waiting = std::pin::pin!(reader.readable());
                poll_fn(|cx| {
                    assert!(waiting.as_mut().poll(cx).is_pending());
                    Poll::Ready(())
                })
                .await;
                writer.write_all(b"x").unwrap();
                let asked = || {
                    reader.source.poll_ready(Direction::Read, Asks::WhetherReady, std::task::Waker::noop())
                };
                while asked() != PollReady::Ready {
                    checkpoint().await?;
                }
                scope.cancel();
                waiting.await.unwrap();
                check()
            })
            .await
    });
    assert!(matches!(r, Ok(None)));
}

/// Polls once whether it is readable.
async fn is_readable(fd: &AsyncFd<UnixStream>) -> bool {
    let mut ready = std::pin::pin!(fd.readable());
    std::future::poll_fn(|cx| std::task::Poll::Ready(ready.as_mut().poll(cx).is_ready())).await
}

/// What the peer does after so many turns of the loop, and whether a reader that trusts short reads gets all of it.
#[test]
fn a_short_read_saves_a_call_and_loses_neither_data_nor_the_end() {
    for (turns_to_write, turns_to_close) in [(0, 0), (0, 1), (0, 3), (1, 1), (1, 2), (3, 0), (2, 5)] {
        let r: Result<(), Failed> = run(nursery(async |n| {
            let (a, mut b) = UnixStream::pair()?;
            a.set_nonblocking(true)?;
            let a = AsyncFd::new(a)?;
            n.spawn(async move {
                for byte in 0..3 {
                    for _ in 0..turns_to_write {
                        checkpoint().await?;
                    }
                    b.write_all(&[byte])?;
                }
                for _ in 0..turns_to_close {
                    checkpoint().await?;
                }
                Ok(())
            });
            let mut got: Vec<u8> = Vec::new();
            loop {
                a.readable().await?;
                let mut bytes = [0; 8];
                match a.get_ref().read(&mut bytes) {
                    Ok(0) => break,
                    Ok(len) => {
                        got.extend(&bytes[..len]);
                        a.clear_readable_after_short_read();
                    }
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => a.clear_readable(),
                    Err(e) => return Err(e),
                }
            }
            assert_eq!(got, [0, 1, 2]);
            Ok(())
        }));
        r.unwrap();
    }
}

#[test]
fn after_a_short_read_an_open_stream_waits_and_an_ended_one_does_not() {
    let r: Result<(), Failed> = run(async {
        for ended in [false, true] {
            let (a, mut b) = UnixStream::pair()?;
            let a = AsyncFd::new(a)?;
            b.write_all(b"x")?;
            let b = (!ended).then_some(b);
            a.readable().await?;
            assert_eq!(a.get_ref().read(&mut [0; 8])?, 1);
            a.clear_readable_after_short_read();
            assert_eq!(is_readable(&a).await, ended);
            drop(b);
        }
        Ok(())
    });
    r.unwrap();
}
