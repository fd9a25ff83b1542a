//! The promises of `UnixStream`, one test each.

use super::*;
use crate::{CancelScope, Cancelled, Failure, check, checkpoint, move_on_after, nursery, run, stats};
use std::cell::Cell;
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixListener;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::{Context, Waker};
use std::time::Duration;

/// Fills the buffer until a write would wait.
fn fill(s: &UnixStream) -> usize {
    std::iter::from_fn(|| s.try_write(&[7; 4096]).unwrap()).sum()
}

#[test]
fn bytes_go_both_ways_at_once_through_full_buffers() {
    const LEN: usize = 1 << 20;
    let pattern = |seed: usize| (0..LEN).map(|i| (i * 31 + seed) as u8).collect::<Vec<_>>();
    let r: io::Result<()> = run(async {
        let (a, b) = UnixStream::pair()?;
        nursery(async |n| {
            for (end, mine, others) in [(&a, 1, 2), (&b, 2, 1)] {
                n.spawn(async move {
                    end.write_all(&pattern(mine)).await?;
                    end.shutdown(Shutdown::Write)
                });
                n.spawn(async move {
                    let (mut got, mut bytes) = (Vec::new(), [0; 5000]);
                    loop {
                        match end.read(&mut bytes).await? {
                            0 => break,
                            n => got.extend_from_slice(&bytes[..n]),
                        }
                    }
                    assert!(got == pattern(others), "{} bytes came, or others than were sent", got.len());
                    Ok(())
                });
            }
            Ok(())
        })
        .await
    });
    r.unwrap();
    assert_eq!(run(async { stats().registrations }), 0);
}

#[test]
fn a_writer_waits_while_the_buffer_is_full_and_hears_of_room() {
    let written = Cell::new(false);
    let r: io::Result<()> = run(async {
        let (a, b) = UnixStream::pair()?;
        let mut full = fill(&a);
        nursery(async |n| {
            n.spawn(async {
                a.write_all(b"last").await?;
                written.set(true);
                a.shutdown(Shutdown::Write)
            });
            for _ in 0..200 {
                checkpoint().await?;
            }
            assert!(!written.get());
            let mut bytes = [0; 65536];
            loop {
                match b.read(&mut bytes).await? {
                    0 => break,
                    n => full -= n.min(full),
                }
            }
            assert_eq!((full, written.get()), (0, true));
            Ok(())
        })
        .await
    });
    r.unwrap();
}

#[test]
fn a_cancelled_read_has_taken_nothing_and_a_cancelled_write_has_written_nothing() {
    let r: io::Result<()> = run(async {
        let (a, b) = UnixStream::pair()?;
        a.write_all(b"x").await?;
        let r: io::Result<Option<()>> = CancelScope::new()
            .run(async |scope| {
                scope.cancel();
                assert!(b.read(&mut [0; 8]).await.unwrap_err().is_cancelled());
                assert!(b.write(b"y").await.unwrap_err().is_cancelled());
                Ok(check()?)
            })
            .await;
        assert!(matches!(r, Ok(None)));
        assert_eq!(b.try_read(&mut [0; 8])?, Some(1));
        assert_eq!(a.try_read(&mut [0; 8])?, None);
        Ok(())
    });
    r.unwrap();
}

#[test]
fn a_read_that_waits_is_cancelled_by_its_nursery_and_the_next_one_is_not_disturbed() {
    let r: io::Result<()> = run(async {
        let (a, b) = UnixStream::pair()?;
        nursery(async |n| {
            n.spawn(async { b.read(&mut [0; 8]).await.map(drop) });
            n.spawn(async {
                fill(&b);
                b.write_all(b"never").await
            });
            checkpoint().await?;
            checkpoint().await?;
            n.cancel();
            Ok::<(), io::Error>(())
        })
        .await?;
        a.write_all(b"abc").await?;
        assert_eq!(b.read(&mut [0; 8]).await?, 3);
        Ok(())
    });
    r.unwrap();
}

#[test]
fn the_end_of_the_peer_ends_reads_and_breaks_writes() {
    let r: io::Result<()> = run(async {
        let (a, b) = UnixStream::pair()?;
        drop(b);
        assert_eq!(a.read(&mut [0; 8]).await?, 0);
        assert_eq!(a.write(b"x").await.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
        assert_eq!(a.try_write(b"x").unwrap_err().kind(), io::ErrorKind::BrokenPipe);
        Ok(())
    });
    r.unwrap();
}

#[test]
fn parts_arrive_as_one_stream() {
    let r: io::Result<()> = run(async {
        let (a, b) = UnixStream::pair()?;
        let parts = [&b"one "[..], b"", b"two"].map(IoSlice::new);
        assert_eq!(a.write_vectored(&parts).await?, 7);
        let mut bytes = [0; 16];
        assert_eq!(b.read(&mut bytes).await?, 7);
        assert_eq!(&bytes[..7], b"one two");
        let many = vec![IoSlice::new(b"x"); 3000];
        assert!(a.write_vectored(&many).await? >= 1000, "no more parts than one call takes");
        Ok(())
    });
    r.unwrap();
}

#[test]
fn descriptors_arrive_with_the_first_byte_and_close_on_exec() {
    let r: io::Result<()> = run(async {
        let (a, b) = UnixStream::pair()?;
        let (reader, mut writer) = io::pipe()?;
        let fds = [reader.as_fd(); UnixStream::MAX_FDS];
        assert_eq!(a.send_fds(b"abc", &fds).await?, 3);
        assert_eq!(a.send_fds(b"d", &[]).await?, 1);
        let mut bytes = [0; 2];
        let (n, got) = b.receive_fds(&mut bytes).await?;
        assert_eq!((n, &bytes, got.len()), (2, b"ab", UnixStream::MAX_FDS));
        assert!(b.receive_fds(&mut [0; 8]).await?.1.is_empty());
        writer.write_all(b"hello")?;
        let mut file = std::fs::File::from(got.into_iter().last().expect("as many as were sent"));
        let flags = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", file.as_raw_fd()))?;
        let flags = flags.lines().find_map(|l| l.strip_prefix("flags:")).expect("there in proc(5)").trim();
        let flags = i32::from_str_radix(flags, 8).expect("octal");
        assert_eq!(flags & libc::O_CLOEXEC, libc::O_CLOEXEC);
        assert_eq!(file.read(&mut [0; 8])?, 5);
        Ok(())
    });
    r.unwrap();
}

#[test]
fn descriptors_without_a_byte_or_too_many_are_a_misuse() {
    run(async {
        let (a, _b) = UnixStream::pair().unwrap();
        let fds = [a.as_fd(); UnixStream::MAX_FDS + 1];
        for (bytes, fds) in [(&b""[..], &fds[..1]), (b"x", &fds[..])] {
            assert!(catch_unwind(AssertUnwindSafe(|| drop(a.send_fds(bytes, fds)))).is_err());
        }
    });
}

#[test]
fn a_cancelled_receive_leaves_the_descriptors_where_they_are() {
    let r: io::Result<()> = run(async {
        let (a, b) = UnixStream::pair()?;
        a.send_fds(b"x", &[a.as_fd()]).await?;
        let r: Result<Option<()>, Cancelled> = CancelScope::new()
            .run(async |scope| {
                scope.cancel();
                assert!(b.receive_fds(&mut [0; 8]).await.unwrap_err().is_cancelled());
                check()
            })
            .await;
        assert!(matches!(r, Ok(None)));
        assert_eq!(b.receive_fds(&mut [0; 8]).await?.1.len(), 1);
        Ok(())
    });
    r.unwrap();
}

#[test]
fn the_peer_of_a_pair_is_this_process() {
    run(async {
        let (a, _b) = UnixStream::pair().unwrap();
        let cred = a.peer_cred().unwrap();
        assert_eq!(cred.pid, std::process::id() as i32);
    });
}

/// A directory of its own, gone afterwards.
struct Dir(std::path::PathBuf);

impl Dir {
    fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("pleach-unix-{name}-{}", std::process::id()));
        std::fs::create_dir(&dir).unwrap();
        Dir(dir)
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).unwrap();
    }
}

#[test]
fn connects_before_it_is_accepted() {
    let dir = Dir::new("connect");
    let path = dir.0.join("socket");
    let r: io::Result<()> = run(async {
        let listener = UnixListener::bind(&path)?;
        let a = UnixStream::connect(&path)?;
        a.write_all(b"early").await?;
        let b = UnixStream::from_std(listener.accept()?.0)?;
        assert_eq!(b.read(&mut [0; 8]).await?, 5);
        Ok(())
    });
    r.unwrap();
}

#[test]
fn a_full_queue_or_nobody_there_is_an_error_at_once() {
    let dir = Dir::new("full");
    let path = dir.0.join("socket");
    run(async {
        assert_eq!(UnixStream::connect(&path).unwrap_err().kind(), io::ErrorKind::NotFound);
        let long = dir.0.join("x".repeat(200));
        assert_eq!(UnixStream::connect(long).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        let listener = UnixListener::bind(&path).unwrap();
        // Its queue has an end: a blocking connect would stay here for ever.
        let refused = std::iter::repeat_with(|| UnixStream::connect(&path).map(UnixStream::into_std));
        let (mut connected, mut last) = (Vec::new(), None);
        for attempt in refused.take(100_000) {
            match attempt {
                Ok(s) => connected.push(s),
                Err(e) => {
                    last = Some(e.kind());
                    break;
                }
            }
        }
        assert_eq!(last, Some(io::ErrorKind::WouldBlock));
        drop(listener);
        assert_eq!(UnixStream::connect(&path).unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
    });
}

#[test]
fn ending_the_waits_of_a_socket_ends_its_reads() {
    let r: io::Result<()> = run(async {
        let (a, _b) = UnixStream::pair()?;
        nursery(async |n| {
            n.spawn(async {
                assert_eq!(a.read(&mut [0; 1]).await.unwrap_err().kind(), io::ErrorKind::NotConnected);
                Ok(())
            });
            checkpoint().await?;
            checkpoint().await?;
            a.end_waits();
            Ok(())
        })
        .await
    });
    r.unwrap();
}

#[test]
fn goes_to_std_and_back() {
    let r: io::Result<()> = run(async {
        let (a, b) = UnixStream::pair()?;
        let a = UnixStream::from_std(a.into_std())?;
        a.write_all(b"x").await?;
        assert_eq!(b.read(&mut [0; 8]).await?, 1);
        Ok(())
    });
    r.unwrap();
}

#[test]
fn reads_and_writes_that_never_wait_still_let_others_run() {
    let (others, longest) = (Cell::new(0), Cell::new(0));
    let r: io::Result<()> = run(async {
        let (a, b) = UnixStream::pair()?;
        nursery(async |n| {
            n.spawn(async {
                let (mut seen, mut in_a_row) = (0, 0);
                for _ in 0..1000 {
                    a.write_all(b"x").await?;
                    b.read(&mut [0; 8]).await?;
                    in_a_row = if others.get() == seen { in_a_row + 2 } else { 0 };
                    seen = others.get();
                    longest.set(longest.get().max(in_a_row));
                }
                n.cancel();
                Ok(())
            });
            n.spawn(async {
                loop {
                    others.set(others.get() + 1);
                    checkpoint().await?;
                }
            });
            Ok(())
        })
        .await
    });
    r.unwrap();
    assert!(others.get() > 10 && longest.get() <= 64, "{} turns, {} in a row", others.get(), longest.get());
}

/// A read that discards descriptors stops behind them: what is less than there was room for is then not all there was.
#[test]
fn a_short_read_that_discards_descriptors_does_not_hide_what_comes_after() {
    let r: io::Result<()> = run(async {
        let (a, b) = UnixStream::pair()?;
        let (reader, _writer) = io::pipe()?;
        assert_eq!(a.send_fds(b"one", &[reader.as_fd()]).await?, 3);
        a.write_all(b"two").await?;
        let mut bytes = [0; 64];
        assert_eq!(b.read(&mut bytes).await?, 3, "a receive stops behind descriptors");
        let next: io::Result<Option<usize>> =
            move_on_after(Duration::from_secs(10), async |_| b.read(&mut bytes).await).await;
        assert_eq!(next?, Some(3), "and nothing has to happen for the rest");
        Ok(())
    });
    r.unwrap();
}

/// Does this system have `SO_PASSRIGHTS`? Else refusing says so, and nothing has changed.
fn refuses(stream: &UnixStream) -> io::Result<bool> {
    match stream.refuse_fds() {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == io::ErrorKind::Unsupported => Ok(false),
        Err(e) => Err(e),
    }
}

/// Whoever sends descriptors to a stream that takes none hears so; bytes go on as before, and a short one is all there is.
#[test]
fn a_stream_that_refuses_descriptors_gets_bytes_only() {
    let r: io::Result<()> = run(async {
        let (a, b) = UnixStream::pair()?;
        let (reader, _writer) = io::pipe()?;
        if !refuses(&b)? {
            return Ok(());
        }
        let mut bytes = [0; 64];
        for round in 0..3 {
            let refused = a.send_fds(b"one", &[reader.as_fd()]).await.unwrap_err();
            assert_eq!(refused.raw_os_error(), Some(libc::EPERM));
            a.write_all(b"two").await?;
            assert_eq!(b.read(&mut bytes).await?, 3, "and nothing of what was refused");
            assert_eq!(b.along.get(), Along::Nothing, "round {round}");
            a.write_all(b"four").await?;
            assert_eq!(b.read_vectored(&mut [IoSliceMut::new(&mut bytes)]).await?, 4);
            a.write_all(b"fives").await?;
            b.read_exact(&mut bytes[..5]).await?;
            assert_eq!(b.try_read(&mut bytes)?, None);
        }
        // The other end takes them still.
        assert_eq!(b.send_fds(b"x", &[reader.as_fd()]).await?, 1);
        assert_eq!(a.receive_fds(&mut bytes).await?.1.len(), 1);
        Ok(())
    });
    r.unwrap();
}

/// What was sent before is still in line, and a read that stops behind it has not seen the end of the line.
#[test]
fn descriptors_that_were_sent_before_they_are_refused_still_come() {
    let r: io::Result<()> = run(async {
        let (a, b) = UnixStream::pair()?;
        let (reader, _writer) = io::pipe()?;
        for word in [b"one", b"two", b"six"] {
            assert_eq!(a.send_fds(word, &[reader.as_fd()]).await?, 3);
        }
        a.write_all(b"four").await?;
        if !refuses(&b)? {
            return Ok(());
        }
        let mut bytes = [0; 64];
        assert_eq!(b.receive_fds(&mut bytes).await?.1.len(), 1);
        for expected in [3, 3, 4] {
            let next: io::Result<Option<usize>> =
                move_on_after(Duration::from_secs(10), async |_| b.read(&mut bytes).await).await;
            assert_eq!(next?, Some(expected), "and nothing has to happen for the rest");
        }
        assert_eq!(b.along.get(), Along::Nothing);
        Ok(())
    });
    r.unwrap();
}

/// Credentials cut what is read into pieces as well.
#[test]
fn a_stream_with_credentials_is_not_read_as_bytes_only() {
    let r: io::Result<()> = run(async {
        let (_a, b) = UnixStream::pair()?;
        sys::take_credentials(b.as_fd())?;
        assert_eq!(b.refuse_fds().unwrap_err().kind(), io::ErrorKind::InvalidInput);
        assert_eq!(b.along.get(), Along::Anything);
        Ok(())
    });
    r.unwrap();
}

/// One call for each read: a short one says that nothing is left, and what comes later is an event of its own.
#[test]
fn a_short_read_is_not_followed_by_a_call_that_would_block() {
    let r: io::Result<()> = run(async {
        let (a, b) = UnixStream::pair()?;
        let mut bytes = [0; 64];
        for _ in 0..100 {
            a.write_all(b"x").await?;
            assert_eq!(b.read(&mut bytes).await?, 1);
            let mut readable = std::pin::pin!(b.fd.readable());
            let polled = readable.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            assert!(polled.is_pending(), "nothing is left, and nobody had to ask");
        }
        drop(a);
        assert_eq!(b.read(&mut bytes).await?, 0, "the end is readable, and stays so");
        assert_eq!(b.read(&mut bytes).await?, 0);
        Ok(())
    });
    r.unwrap();
}
