//! Promise: buffers change the steps in which bytes come and go, and nothing else: none is lost, whatever ends an operation.
//!
//! ```text
//!   Trickle (so many bytes a read, then waits) ─► BufReader ─► records          BufWriter ─► Trickle
//! ```

use pleach_executor::io::{BufReader, BufWriter, ReadBytes, WriteBytes};
use pleach_executor::net::UnixStream;
use pleach_executor::testing::run_virtual;
use pleach_executor::{In, checkpoint, run, sleep};
use std::cell::{Cell, RefCell};
use std::io;
use std::time::Duration;

type Run = In<io::Error>;
const MS: Duration = Duration::from_millis(1);

/// Bytes that come and go a few at a time, a millisecond for each step; and how many steps there were.
#[derive(Default)]
struct Trickle {
    step: usize,
    bytes: RefCell<Vec<u8>>,
    steps: Cell<usize>,
    ended: Cell<bool>,
}

impl Trickle {
    fn new(step: usize, bytes: &[u8]) -> Self {
        Trickle { step, bytes: RefCell::new(bytes.to_vec()), ..Trickle::default() }
    }

    async fn wait(&self) -> io::Result<()> {
        sleep(MS).await?;
        self.steps.set(self.steps.get() + 1);
        Ok(())
    }
}

impl ReadBytes for Trickle {
    async fn read(&self, bytes: &mut [u8]) -> io::Result<usize> {
        self.wait().await?;
        let mut left = self.bytes.borrow_mut();
        let n = self.step.min(bytes.len()).min(left.len());
        bytes[..n].copy_from_slice(&left[..n]);
        left.drain(..n);
        Ok(n)
    }
}

impl WriteBytes for Trickle {
    async fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.wait().await?;
        let n = self.step.min(bytes.len());
        self.bytes.borrow_mut().extend(&bytes[..n]);
        Ok(n)
    }

    fn send_eof(&self) -> io::Result<()> {
        self.ended.set(true);
        Ok(())
    }
}

#[test]
fn records_are_the_same_whatever_the_steps() {
    let text = "one\n\ntwo words\nand the rest";
    for step in [1, 2, 3, 7, 100] {
        for capacity in [1, 2, 5, 64] {
            run_virtual(async {
                let mut reader = BufReader::with_capacity(capacity, Trickle::new(step, text.as_bytes()));
                let mut lines = Vec::new();
                while let Some(line) = reader.read_line(80).await.unwrap() {
                    lines.push(line);
                }
                assert_eq!(lines, ["one\n", "\n", "two words\n", "and the rest"], "{step} {capacity}");
                assert_eq!(reader.read_line(80).await.unwrap(), None, "the end stays the end");
            });
        }
    }
}

/// Cut off at every moment and begun again, a record is whole.
#[test]
fn a_record_that_a_cancellation_cut_short_can_be_asked_for_again() {
    run_virtual(async {
        let text = b"a record of some length\nanother\n";
        let mut reader = BufReader::with_capacity(4, Trickle::new(2, text));
        let mut records = Vec::<Vec<u8>>::new();
        let mut cuts = 0;
        while records.concat().len() < text.len() {
            match Run::move_on_after(3 * MS, async |_| reader.read_until(b'\n', 80).await).await.unwrap() {
                Some(record) => records.push(record),
                None => cuts += 1,
            }
        }
        assert_eq!(records.concat(), text);
        assert!(records.len() == 2 && cuts > 3, "{cuts} cuts");
    });
}

#[test]
fn a_record_over_its_limit_stays_and_can_be_taken_otherwise() {
    run_virtual(async {
        let mut reader = BufReader::with_capacity(4, Trickle::new(3, b"too long a record\nrest"));
        for _ in 0..2 {
            let e = reader.read_until(b'\n', 10).await.unwrap_err();
            assert_eq!(e.kind(), io::ErrorKind::FileTooLarge);
        }
        assert_eq!(reader.read_until(b'\n', 18).await.unwrap(), b"too long a record\n", "exactly its limit");
        let mut rest = [0; 4];
        reader.read_exact(&mut rest).await.unwrap();
        assert_eq!(&rest, b"rest");
    });
}

#[test]
fn a_line_that_is_no_text_stays_and_can_be_taken_otherwise() {
    run_virtual(async {
        let mut reader = BufReader::new(Trickle::new(100, b"\xff\xfe\nfine\n"));
        assert_eq!(reader.read_line(80).await.unwrap_err().kind(), io::ErrorKind::InvalidData);
        assert_eq!(reader.read_until(b'\n', 80).await.unwrap(), b"\xff\xfe\n");
        assert_eq!(reader.read_line(80).await.unwrap().as_deref(), Some("fine\n"));
    });
}

#[test]
fn filling_and_consuming_hands_out_what_is_there() {
    run_virtual(async {
        let mut reader = BufReader::with_capacity(8, Trickle::new(5, b"abcdefgh"));
        assert_eq!(reader.fill().await.unwrap(), b"abcde");
        reader.consume(3);
        assert_eq!(reader.fill().await.unwrap(), b"de");
        assert_eq!(reader.get_ref().steps.get(), 1);
        let mut large = [0; 16];
        assert_eq!(reader.read(&mut large).await.unwrap(), 2, "what is there first");
        assert_eq!(reader.read(&mut large).await.unwrap(), 3, "and past the buffer if that is smaller");
        assert!(reader.buffer().is_empty() && reader.fill().await.unwrap().is_empty());
        let e = reader.read_exact(&mut [0; 1]).await.unwrap_err();
        assert_eq!(e.kind(), io::ErrorKind::UnexpectedEof);
        reader.read_exact(&mut []).await.unwrap();
    });
}

#[test]
fn what_was_read_ahead_comes_back_with_the_reader() {
    run_virtual(async {
        let mut reader = BufReader::new(Trickle::new(100, b"head\nbody"));
        assert_eq!(reader.read_until(b'\n', 80).await.unwrap(), b"head\n");
        assert_eq!(reader.into_parts().1, b"body");
    });
}

#[test]
fn small_writes_go_together_and_large_ones_go_through() {
    run_virtual(async {
        let mut writer = BufWriter::with_capacity(8, Trickle::new(100, b""));
        for part in [&b"abc"[..], b"def", b""] {
            writer.write_all(part).await.unwrap();
        }
        assert_eq!((writer.buffer(), writer.get_ref().steps.get()), (&b"abcdef"[..], 0));
        writer.write_all(b"ghi").await.unwrap();
        assert_eq!((writer.buffer(), writer.get_ref().steps.get()), (&b"ghi"[..], 1));
        writer.write_all(b"more than it holds").await.unwrap();
        assert_eq!((writer.buffer().len(), writer.get_ref().steps.get()), (0, 3));
        writer.write_all(b"!").await.unwrap();
        writer.finish().await.unwrap();
        assert!(writer.get_ref().ended.get());
        assert_eq!(*writer.get_ref().bytes.borrow(), b"abcdefghimore than it holds!");
    });
}

/// Cut off at every moment and begun again, every byte goes once.
#[test]
fn a_cancelled_flush_goes_on_where_it_was() {
    run_virtual(async {
        let mut writer = BufWriter::with_capacity(64, Trickle::new(3, b""));
        writer.write_all(b"every byte of this goes once").await.unwrap();
        let mut cuts = 0;
        while Run::move_on_after(2 * MS, async |_| writer.finish().await).await.unwrap().is_none() {
            cuts += 1;
            assert!(!writer.get_ref().ended.get() && !writer.buffer().is_empty());
        }
        assert!(cuts > 3);
        assert_eq!(*writer.get_ref().bytes.borrow(), b"every byte of this goes once");
        let mut done = 0;
        let large = vec![7; 100];
        while Run::move_on_after(2 * MS, async |_| writer.write_all_counting(&large, &mut done).await)
            .await
            .unwrap()
            .is_none()
        {}
        assert_eq!((done, writer.get_ref().bytes.borrow().len() + writer.buffer().len()), (100, 128));
        writer.flush().await.unwrap();
        assert_eq!(writer.get_ref().bytes.borrow()[28..], large);
    });
}

#[test]
fn what_was_not_written_comes_back_with_the_writer() {
    run_virtual(async {
        let mut writer = BufWriter::with_capacity(64, Trickle::new(3, b""));
        writer.write_all(b"abcdef").await.unwrap();
        assert!(Run::move_on_after(MS + MS / 2, async |_| writer.flush().await).await.unwrap().is_none());
        let (inner, left) = writer.into_parts();
        assert_eq!((&*inner.bytes.borrow(), left), (&b"abc".to_vec(), b"def".to_vec()));
    });
}

/// Over a real stream: a dialogue of lines.
#[test]
fn lines_go_both_ways_over_a_stream() {
    let ended = run(Run::move_on_after(Duration::from_secs(30), async |_| {
        let (a, b) = UnixStream::pair()?;
        Run::nursery(async |n| {
            n.spawn(async {
                let (mut reader, mut writer) = (BufReader::new(&b), BufWriter::new(&b));
                while let Some(line) = reader.read_line(80).await? {
                    writer.write_all(line.to_uppercase().as_bytes()).await?;
                    writer.flush().await?;
                }
                writer.finish().await
            });
            let mut reader = BufReader::new(&a);
            for k in 0..100 {
                a.write_all(format!("line {k}\n").as_bytes()).await?;
                assert_eq!(reader.read_line(80).await?, Some(format!("LINE {k}\n")));
                checkpoint().await?;
            }
            a.send_eof()?;
            assert_eq!(reader.read_line(80).await?, None);
            Ok(())
        })
        .await
    }));
    assert!(ended.unwrap().is_some(), "it hangs");
}
