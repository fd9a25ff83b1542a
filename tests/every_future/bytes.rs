//! Buffered reading and writing.
//!
//! ```text
//!   got + still buffered + still in the socket = "he\nllo"        arrived + still buffered = taken
//! ```

use crate::S;
use crate::trial::{Trial, cases};
use pleach_executor::io::{BufReader, BufWriter};
use pleach_executor::net::UnixStream;
use pleach_executor::sleep;
use std::io;

cases! {
    filling_a_buffer => ["io/reader.rs BufReader::fill"],
    a_buffered_read => ["io/reader.rs BufReader::read"],
    an_exact_buffered_read => ["io/reader.rs BufReader::read_exact"],
    an_exact_buffered_read_that_counts => ["io/reader.rs BufReader::read_exact_counting"],
    reading_to_a_delimiter => ["io/reader.rs BufReader::read_until"],
    reading_a_line => ["io/reader.rs BufReader::read_line"],
    writing_all_to_a_buffer => ["io/writer.rs BufWriter::write_all"],
    writing_all_to_a_buffer_and_counting => ["io/writer.rs BufWriter::write_all_counting"],
    flushing_a_buffer => ["io/writer.rs BufWriter::flush"],
    finishing_with_a_buffer => ["io/writer.rs BufWriter::finish"],
}

const TEXT: &[u8] = b"he\nllo";

async fn reading<O>(trial: &Trial, lossy: bool, op: O)
where
    O: AsyncFnOnce(&mut BufReader<&UnixStream>, &mut [u8], &mut usize) -> io::Result<()>,
{
    let (a, b) = UnixStream::pair().expect("a pair of sockets");
    let mut reader = BufReader::new(&b);
    let (mut bytes, mut done) = ([0; 6], 0);
    let sending = async {
        for part in [&TEXT[..1], &TEXT[1..]] {
            sleep(2 * S).await?;
            a.write_all(part).await?;
        }
        a.send_eof()
    };
    let ended = trial.beside(op(&mut reader, &mut bytes, &mut done), sending).await;
    let mut all = bytes[..done].to_vec();
    let (stream, buffered) = reader.into_parts();
    all.extend(buffered);
    let mut rest = [0; 8];
    while let n @ 1.. = stream.read(&mut rest).await.expect("it goes on being read") {
        all.extend(&rest[..n]);
    }
    if !lossy || matches!(ended, Some(Ok(()))) {
        assert_eq!(all, TEXT, "after {ended:?}");
    }
}

async fn filling_a_buffer(trial: &Trial) {
    reading(trial, false, async |r, _, _| r.fill().await.map(drop)).await;
}

async fn a_buffered_read(trial: &Trial) {
    reading(trial, false, async |r, bytes, done| {
        *done = r.read(bytes).await?;
        Ok(())
    })
    .await;
}

async fn an_exact_buffered_read(trial: &Trial) {
    reading(trial, true, async |r, bytes, done| {
        r.read_exact(bytes).await?;
        *done = bytes.len();
        Ok(())
    })
    .await;
}

async fn an_exact_buffered_read_that_counts(trial: &Trial) {
    reading(trial, false, async |r, bytes, done| r.read_exact_counting(bytes, done).await).await;
}

async fn reading_to_a_delimiter(trial: &Trial) {
    reading(trial, false, async |r, bytes, done| {
        let line = r.read_until(b'\n', 9).await?;
        bytes[..line.len()].copy_from_slice(&line);
        *done = line.len();
        Ok(())
    })
    .await;
}

async fn reading_a_line(trial: &Trial) {
    reading(trial, false, async |r, bytes, done| {
        let line = r.read_line(9).await?.expect("a line");
        bytes[..line.len()].copy_from_slice(line.as_bytes());
        *done = line.len();
        Ok(())
    })
    .await;
}

/// Writes with `op` to a full socket that is emptied every two seconds; `taken` says how much the buffer had before.
async fn writing<O>(trial: &Trial, lossy: bool, before: usize, op: O)
where
    O: AsyncFnOnce(&mut BufWriter<&UnixStream>, &[u8], &mut usize) -> io::Result<()>,
{
    let (a, b) = UnixStream::pair().expect("a pair of sockets");
    let mut filler = 0;
    while let Some(n) = a.try_write(&[0; 4096]).expect("it takes bytes until it is full") {
        filler += n;
    }
    let mut writer = BufWriter::with_capacity(4096, &a);
    writer.write_all(&vec![1; before]).await.expect("there is room in the buffer");
    let (bytes, mut done, mut seen) = (vec![7; 9_000], 0, 0);
    let mut room = vec![0; 1 << 16];
    let emptying = async {
        for _ in 0..6 {
            sleep(2 * S).await?;
            while let Some(n @ 1..) = b.try_read(&mut room)? {
                seen += n;
            }
        }
        io::Result::Ok(())
    };
    let ended = trial.beside(op(&mut writer, &bytes, &mut done), emptying).await;
    while let Ok(Some(n @ 1..)) = b.try_read(&mut room) {
        seen += n;
    }
    let buffered = writer.into_parts().1.len();
    if !lossy || matches!(ended, Some(Ok(()))) {
        assert_eq!(seen - filler + buffered, before + done, "after {ended:?}");
    }
}

async fn writing_all_to_a_buffer(trial: &Trial) {
    writing(trial, true, 0, async |w, bytes, done| {
        w.write_all(bytes).await?;
        *done = bytes.len();
        Ok(())
    })
    .await;
}

async fn writing_all_to_a_buffer_and_counting(trial: &Trial) {
    writing(trial, false, 9, async |w, bytes, done| w.write_all_counting(bytes, done).await).await;
}

async fn flushing_a_buffer(trial: &Trial) {
    writing(trial, false, 4000, async |w, _, _| w.flush().await).await;
}

async fn finishing_with_a_buffer(trial: &Trial) {
    writing(trial, false, 4000, async |w, _, _| w.finish().await).await;
}
