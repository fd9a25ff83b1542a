//! Promise: pipes and the standard streams never hold the thread, and what other processes share of them stays as it is.
//!
//! ```text
//!   pipe() ─► PipeReader, PipeWriter          0, 1, 2 ─► stdin, stdout, stderr      each case in a process of its own
//! ```

#[path = "support/guarded.rs"]
mod guarded;

use guarded::guarded;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::unistd::{dup2_stderr, dup2_stdin, dup2_stdout};
use pleach::test_main;
use pleach_executor::io::{
    BufReader, Fault, PipeReader, PipeWriter, WriteBytes, pipe, stderr, stdin, stdout,
};
use pleach_executor::{CancelScope, In, checkpoint, run, sleep};
use std::cell::Cell;
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Command, Stdio};
use std::time::Duration;

test_main!(
    bytes_go_through_a_pipe_and_then_the_end,
    a_pipe_that_is_full_makes_its_writer_wait_and_nobody_else,
    a_pipe_that_nobody_reads_is_broken,
    a_pipe_has_one_reader_and_one_writer,
    closing_is_ours_and_waits_for_nobody,
    a_write_that_is_refused_is_a_checkpoint,
    a_child_process_is_talked_to,
    standard_input_is_read_without_holding_the_thread,
    standard_output_is_written_without_holding_the_thread,
    standard_error_is_written_without_holding_the_thread,
    a_standard_stream_that_is_a_file_is_always_ready,
    a_standard_stream_is_opened_once,
);

type Run = In<io::Error>;

fn bytes_go_through_a_pipe_and_then_the_end() {
    guarded(async {
        let (reader, writer) = pipe()?;
        let sent: Vec<u8> = (0..1_000_000_u32).map(|i| i as u8).collect();
        Run::nursery(async |n| {
            n.spawn(async {
                writer.write_all(&sent).await?;
                writer.send_eof()?;
                writer.send_eof()?;
                assert_eq!(Fault::of(&writer.write(b"x").await.unwrap_err()), Fault::Closed);
                Ok(())
            });
            let (mut got, mut part) = (Vec::<u8>::new(), [0; 5000]);
            loop {
                match reader.read(&mut part).await? {
                    0 => break,
                    n => got.extend(&part[..n]),
                }
            }
            assert!(got == sent);
            Ok(())
        })
        .await
    });
}

fn a_pipe_that_is_full_makes_its_writer_wait_and_nobody_else() {
    guarded(async {
        let (reader, writer) = pipe()?;
        let (large, mut done) = (vec![7; 1 << 20], 0);
        let cut = Run::move_on_after(Duration::from_millis(5), async |_| {
            writer.write_all_counting(&large, &mut done).await
        });
        assert!(cut.await?.is_none() && 0 < done && done < large.len(), "{done}");
        let mut got = vec![0; done];
        BufReader::new(&reader).read_exact(&mut got).await?;
        let cut = Run::move_on_after(Duration::from_millis(5), async |_| reader.read(&mut [0; 4]).await);
        assert_eq!(cut.await?, None, "{done} bytes and no more have been written");
        Ok(())
    });
}

fn a_pipe_that_nobody_reads_is_broken() {
    guarded(async {
        let (reader, writer) = pipe()?;
        drop(reader);
        for _ in 0..3 {
            let e = writer.write(b"x").await.unwrap_err();
            assert_eq!((e.kind(), Fault::of(&e)), (io::ErrorKind::BrokenPipe, Fault::Broken));
        }
        Ok(())
    });
}

fn a_pipe_has_one_reader_and_one_writer() {
    guarded(async {
        let (reader, writer) = pipe()?;
        let large = vec![7; 1 << 20];
        Run::nursery(async |n| {
            let done = n.handle();
            n.spawn(async { writer.write_all(&large).await });
            checkpoint().await?;
            assert_eq!(Fault::of(&writer.write(b"x").await.unwrap_err()), Fault::Busy);
            assert_eq!(
                Fault::of(&writer.send_eof().unwrap_err()),
                Fault::Busy,
                "it would cut the other short"
            );
            done.cancel();
            Ok(())
        })
        .await?;
        let (idle, _writer) = pipe()?;
        Run::nursery(async |n| {
            let done = n.handle();
            n.spawn(async { idle.read(&mut [0; 4]).await.map(drop) });
            checkpoint().await?;
            assert_eq!(Fault::of(&idle.read(&mut [0; 4]).await.unwrap_err()), Fault::Busy);
            done.cancel();
            Ok(())
        })
        .await?;
        drop(reader);
        Ok(())
    });
}

fn closing_is_ours_and_waits_for_nobody() {
    guarded(async {
        let (reader, writer) = pipe()?;
        Run::nursery(async |n| {
            n.spawn(async {
                assert_eq!(Fault::of(&reader.read(&mut [0; 4]).await.unwrap_err()), Fault::Closed);
                Ok(())
            });
            checkpoint().await?;
            reader.end_waits();
            writer.end_waits();
            assert_eq!(Fault::of(&writer.write_all(b"x").await.unwrap_err()), Fault::Closed);
            Ok(())
        })
        .await
    });
}

/// What an ended writer says where nothing is cancelled, and where something is.
async fn refusals(writer: &impl WriteBytes) -> io::Result<(Fault, Fault)> {
    writer.send_eof()?;
    let closed = Fault::of(&writer.write(b"x").await.unwrap_err());
    let cancelled = Cell::new(None);
    let ended: io::Result<Option<()>> = CancelScope::new()
        .run(async |s| {
            s.cancel();
            let e = writer.write(b"x").await.unwrap_err();
            cancelled.set(Some(Fault::of(&e)));
            Err(e)
        })
        .await;
    ended?;
    Ok((closed, cancelled.get().expect("it was asked")))
}

fn a_write_that_is_refused_is_a_checkpoint() {
    guarded(async {
        let (_reader, writer) = pipe()?;
        assert_eq!(refusals(&writer).await?, (Fault::Closed, Fault::Cancelled));
        assert_eq!(refusals(&stdout()?).await?, (Fault::Closed, Fault::Cancelled));
        Ok(())
    });
}

fn a_child_process_is_talked_to() {
    let mut cat =
        Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("cat(1) is there");
    let (to, from) = (cat.stdin.take().expect("piped"), cat.stdout.take().expect("piped"));
    guarded(async {
        let writer = PipeWriter::from_std(to)?;
        let mut reader = BufReader::new(PipeReader::from_std(from)?);
        for line in ["one\n", "two\n"] {
            writer.write_all(line.as_bytes()).await?;
            assert_eq!(reader.read_line(80).await?.as_deref(), Some(line));
        }
        writer.send_eof()?;
        assert_eq!(reader.read_line(80).await?, None);
        Ok(())
    });
    assert!(cat.wait().expect("it is ours").success());
}

/// Puts a descriptor in the place of a standard stream, until it goes.
struct Instead {
    before: OwnedFd,
    put: fn(&OwnedFd),
}

impl Instead {
    fn of_stdin(with: impl AsFd) -> Self {
        let before = io::stdin().as_fd().try_clone_to_owned().expect("a number");
        dup2_stdin(with).expect("it is open");
        Instead { before, put: |fd| dup2_stdin(fd).expect("it is open") }
    }

    fn of_stdout(with: impl AsFd) -> Self {
        let before = io::stdout().as_fd().try_clone_to_owned().expect("a number");
        dup2_stdout(with).expect("it is open");
        Instead { before, put: |fd| dup2_stdout(fd).expect("it is open") }
    }

    fn of_stderr(with: impl AsFd) -> Self {
        let before = io::stderr().as_fd().try_clone_to_owned().expect("a number");
        dup2_stderr(with).expect("it is open");
        Instead { before, put: |fd| dup2_stderr(fd).expect("it is open") }
    }
}

impl Drop for Instead {
    fn drop(&mut self) {
        (self.put)(&self.before);
    }
}

fn blocks(fd: impl AsFd) -> bool {
    let flags = fcntl(fd, FcntlArg::F_GETFL).expect("it is open");
    !OFlag::from_bits_retain(flags).contains(OFlag::O_NONBLOCK)
}

fn standard_input_is_read_without_holding_the_thread() {
    let (reader, mut writer) = io::pipe().expect("a pipe");
    let _instead = Instead::of_stdin(&reader);
    guarded(async {
        let (input, beside) = (stdin()?, Cell::new(0));
        Run::nursery(async |n| {
            n.spawn(async {
                for _ in 0..10 {
                    beside.set(beside.get() + 1);
                    checkpoint().await?;
                }
                writer.write_all(b"a line\n")?;
                Ok(())
            });
            let mut reader = BufReader::new(&input);
            assert_eq!(reader.read_line(80).await?.as_deref(), Some("a line\n"));
            assert_eq!(beside.get(), 10, "others ran while it waited");
            let cut = Run::move_on_after(Duration::from_millis(2), async |_| reader.read_line(80).await);
            assert_eq!(cut.await?, None);
            Ok(())
        })
        .await?;
        assert!(blocks(io::stdin()), "it is shared with others, and stays as it was");
        Ok(())
    });
}

/// What fails says so there itself: so nothing is asserted before the place is its own again.
fn standard_error_is_written_without_holding_the_thread() {
    let (mut reader, writer) = io::pipe().expect("a pipe");
    let instead = Instead::of_stderr(&writer);
    drop(writer);
    let seen = std::panic::catch_unwind(|| {
        run(async {
            let (errors, large, mut written) = (stderr()?, vec![7; 1 << 20], 0);
            let cut = Run::move_on_after(Duration::from_millis(5), async |_| {
                while written < large.len() {
                    written += errors.write(&large[written..]).await?;
                }
                Ok(())
            });
            Ok::<_, io::Error>((cut.await?, written, blocks(io::stderr())))
        })
    });
    drop(instead);
    let (cut, written, still_blocks) = seen.expect("no panic").expect("it is open");
    assert_eq!(cut, None, "the pipe is full, and nobody reads");
    assert!(written > 0 && still_blocks, "it is shared with others, and stays as it was");
    let mut left = Vec::new();
    reader.read_to_end(&mut left).expect("the other end is closed by now");
    assert_eq!(left, vec![7; written], "all that was said to be written, and nothing else");
}

fn standard_output_is_written_without_holding_the_thread() {
    let (mut reader, writer) = io::pipe().expect("a pipe");
    let instead = Instead::of_stdout(&writer);
    drop(writer);
    guarded(async {
        let (output, large, mut written) = (stdout()?, vec![7; 1 << 20], 0);
        let cut = Run::move_on_after(Duration::from_millis(5), async |_| {
            while written < large.len() {
                written += output.write(&large[written..]).await?;
            }
            Ok(())
        });
        assert_eq!(cut.await?, None, "the pipe is full, and nobody reads");
        assert!(written > 0 && blocks(io::stdout()));
        drop(output);
        let mut left = vec![0; written];
        reader.read_exact(&mut left)?;
        Ok(())
    });
    drop(instead);
}

fn a_standard_stream_that_is_a_file_is_always_ready() {
    let path = std::env::temp_dir().join("file");
    std::fs::write(&path, "in a file").expect("a directory of our own");
    let file = File::options().read(true).write(true).open(&path).expect("it was written");
    let mut again = file.try_clone().expect("a number");
    let instead = Instead::of_stdin(&file);
    guarded(async {
        let (input, mut got) = (stdin()?, [0; 16]);
        assert_eq!(input.read(&mut got).await?, 9);
        assert_eq!(input.read(&mut got).await?, 0);
        Ok(())
    });
    drop(instead);
    let instead = Instead::of_stdout(&file);
    guarded(async {
        assert_eq!(stdout()?.write(b", and more").await?, 10);
        sleep(Duration::ZERO).await?;
        Ok(())
    });
    drop(instead);
    again.rewind().expect("a file");
    let mut text = String::new();
    again.read_to_string(&mut text).expect("a file");
    assert_eq!(text, "in a file, and more");
    std::fs::remove_file(path).expect("it is ours");
}

fn a_standard_stream_is_opened_once() {
    let (reader, _writer) = io::pipe().expect("a pipe");
    let _instead = Instead::of_stdin(&reader);
    guarded(async {
        let first = stdin()?;
        assert_eq!(stdin().expect_err("there is one").raw_os_error(), Some(libc::EEXIST));
        drop(first);
        assert!(stdin().is_ok());
        Ok(())
    });
}
