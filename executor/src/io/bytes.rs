//! What bytes are read from and written to: the two traits that buffers and halves are made on.
//!
//! ```text
//!   UnixStream, TcpStream, PipeReader, Stdin,  …    ─ ReadBytes ──► BufReader, ReadHalf
//!   UnixStream, TcpStream, PipeWriter, Stdout, …    ─ WriteBytes ─► BufWriter, WriteHalf
//! ```
//!
//! Rule: every method takes `&self`, so that one task may read while another writes; a second task in the same direction is
//! told `Busy`.

use std::io::{self, IoSlice};
use std::rc::Rc;

/// Something that bytes are read from.
///
/// What is made on top of another reader has its checkpoints from that one:
///
/// ```
/// use pleach_executor::{io::{ReadBytes, WriteBytes, pipe}, run};
///
/// /// Reads in capitals.
/// struct Loud<R>(R);
///
/// impl<R: ReadBytes> ReadBytes for Loud<R> {
///     async fn read(&self, bytes: &mut [u8]) -> std::io::Result<usize> {
///         let n = self.0.read(bytes).await?;
///         bytes[..n].make_ascii_uppercase();
///         Ok(n)
///     }
/// }
///
/// run(async {
///     let (reader, writer) = pipe()?;
///     writer.write_all(b"hear, hear").await?;
///     let mut heard = [0; 10];
///     Loud(&reader).read_exact(&mut heard).await?;
///     assert_eq!(&heard, b"HEAR, HEAR");
///     Ok::<_, std::io::Error>(())
/// }).unwrap();
/// ```
#[expect(async_fn_in_trait, reason = "futures of this crate belong to one thread")]
pub trait ReadBytes {
    /// Reads what is there, at least one byte; 0 is the end, or there was no room.
    ///
    /// # Cancellation
    ///
    /// A checkpoint always; Strict: a cancelled read has taken nothing.
    ///
    /// # Errors
    ///
    /// Whose fault it is says [`Fault::of`](super::Fault::of).
    async fn read(&self, bytes: &mut [u8]) -> io::Result<usize>;

    /// Fills `bytes`.
    ///
    /// # Cancellation
    ///
    /// A checkpoint always. **Lossy**: how many bytes have been taken is not told; use
    /// [`read_exact_counting`](ReadBytes::read_exact_counting) to know.
    ///
    /// # Errors
    ///
    /// Kind `UnexpectedEof` if the end came first; else as [`read`](ReadBytes::read).
    async fn read_exact(&self, bytes: &mut [u8]) -> io::Result<()> {
        self.read_exact_counting(bytes, &mut 0).await
    }

    /// Fills `bytes` from index `done` on. `done` grows as bytes come, so that it tells how far it got, whatever ended it.
    ///
    /// # Cancellation
    ///
    /// A checkpoint always; Strict: called again with the same arguments it goes on where it was.
    ///
    /// # Errors
    ///
    /// As [`read_exact`](ReadBytes::read_exact).
    ///
    /// # Panics
    ///
    /// If `done` is beyond the end of `bytes`.
    async fn read_exact_counting(&self, bytes: &mut [u8], done: &mut usize) -> io::Result<()> {
        loop {
            let room = bytes.len() - *done;
            match self.read(&mut bytes[*done..]).await? {
                0 if room > 0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                n => *done += n,
            }
            if *done == bytes.len() {
                return Ok(());
            }
        }
    }
}

/// Something that bytes are written to.
///
/// ```
/// use pleach_executor::{io::{WriteBytes, pipe}, run};
/// use std::{cell::Cell, io};
///
/// /// Knows how much it has written.
/// struct Counted<W> { to: W, written: Cell<u64> }
///
/// impl<W: WriteBytes> WriteBytes for Counted<W> {
///     async fn write(&self, bytes: &[u8]) -> io::Result<usize> {
///         let n = self.to.write(bytes).await?;
///         self.written.set(self.written.get() + n as u64);
///         Ok(n)
///     }
///     fn send_eof(&self) -> io::Result<()> {
///         self.to.send_eof()
///     }
/// }
///
/// run(async {
///     let (_reader, writer) = pipe()?;
///     let counted = Counted { to: &writer, written: Cell::new(0) };
///     counted.write_all(b"twelve bytes").await?;
///     assert_eq!(counted.written.get(), 12);
///     Ok::<_, io::Error>(())
/// }).unwrap();
/// ```
#[expect(async_fn_in_trait, reason = "futures of this crate belong to one thread")]
pub trait WriteBytes {
    /// Writes as much as there is room for, at least one byte unless `bytes` is empty; says how much.
    ///
    /// # Cancellation
    ///
    /// A checkpoint always; Strict: a cancelled write has written nothing.
    ///
    /// # Errors
    ///
    /// Whose fault it is says [`Fault::of`](super::Fault::of).
    async fn write(&self, bytes: &[u8]) -> io::Result<usize>;

    /// Writes as much of `parts`, one after the other, as there is room for; says how much.
    ///
    /// # Cancellation
    ///
    /// As [`write`](WriteBytes::write).
    ///
    /// # Errors
    ///
    /// As [`write`](WriteBytes::write).
    async fn write_vectored(&self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        let first = parts.iter().find(|part| !part.is_empty());
        self.write(first.map_or(&[], |part| part)).await
    }

    /// Writes all of `bytes`.
    ///
    /// # Cancellation
    ///
    /// A checkpoint always. **Lossy**: how much was written is not told; use
    /// [`write_all_counting`](WriteBytes::write_all_counting) to know.
    ///
    /// # Errors
    ///
    /// As [`write`](WriteBytes::write).
    async fn write_all(&self, bytes: &[u8]) -> io::Result<()> {
        self.write_all_counting(bytes, &mut 0).await
    }

    /// Writes `bytes` from index `done` on. `done` grows as they are written, so that it tells how far it got, whatever ended
    /// it.
    ///
    /// # Cancellation
    ///
    /// A checkpoint always; Strict: called again with the same arguments it goes on where it was.
    ///
    /// # Errors
    ///
    /// As [`write`](WriteBytes::write).
    ///
    /// # Panics
    ///
    /// If `done` is beyond the end of `bytes`.
    async fn write_all_counting(&self, bytes: &[u8], done: &mut usize) -> io::Result<()> {
        loop {
            let left = bytes.len() - *done;
            match self.write(&bytes[*done..]).await? {
                0 if left > 0 => return Err(io::ErrorKind::WriteZero.into()),
                n => *done += n,
            }
            if *done == bytes.len() {
                return Ok(());
            }
        }
    }

    /// Ends this direction: the peer reads what was written, and then the end. Again is fine, and does nothing.
    ///
    /// # Cancellation
    ///
    /// Never a checkpoint: it does not wait.
    ///
    /// # Errors
    ///
    /// `Busy` while another task writes; else of the operating system.
    fn send_eof(&self) -> io::Result<()>;
}

macro_rules! through {
    ($($pointer:ty),*) => {$(
        impl<T: ReadBytes + ?Sized> ReadBytes for $pointer {
            async fn read(&self, bytes: &mut [u8]) -> io::Result<usize> {
                (**self).read(bytes).await
            }
            async fn read_exact_counting(&self, bytes: &mut [u8], done: &mut usize) -> io::Result<()> {
                (**self).read_exact_counting(bytes, done).await
            }
        }

        impl<T: WriteBytes + ?Sized> WriteBytes for $pointer {
            async fn write(&self, bytes: &[u8]) -> io::Result<usize> {
                (**self).write(bytes).await
            }
            async fn write_vectored(&self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
                (**self).write_vectored(parts).await
            }
            async fn write_all_counting(&self, bytes: &[u8], done: &mut usize) -> io::Result<()> {
                (**self).write_all_counting(bytes, done).await
            }
            fn send_eof(&self) -> io::Result<()> {
                (**self).send_eof()
            }
        }
    )*};
}

through!(&T, Rc<T>);
