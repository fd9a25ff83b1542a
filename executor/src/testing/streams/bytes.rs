//! Streams in memory as what all other streams are: bytes are read from them and written to them by the traits of
//! [`crate::io`], so that buffers, halves and generic code work over them.
//!
//! ```text
//!   write ─┬─ memory pipe, or held: all of it, at once                     read ─► what has arrived; 0 at the end
//!          └─ lock-step pipe: waits for a read, gives it what it has room for
//! ```
//!
//! Rule: an error is the one of a socket: [`Fault::of`](crate::io::Fault::of) knows whose fault it is.

use super::{MemoryReceive, MemorySend, MemoryStream, ReceiveError, SendError};
use crate::error::Cancelled;
use crate::fd::ReadyError;
use crate::io::{ReadBytes, WriteBytes};
use std::io;

impl From<SendError> for io::Error {
    fn from(e: SendError) -> Self {
        match e {
            SendError::Closed => ReadyError::Closed.into(),
            SendError::Busy => ReadyError::Busy.into(),
            SendError::Broken => io::Error::new(io::ErrorKind::BrokenPipe, e),
        }
    }
}

impl From<ReceiveError> for io::Error {
    /// A [`read`](ReadBytes::read) says the end by 0 instead.
    fn from(e: ReceiveError) -> Self {
        match e {
            ReceiveError::Closed => ReadyError::Closed.into(),
            ReceiveError::Busy => ReadyError::Busy.into(),
            ReceiveError::End => io::Error::new(io::ErrorKind::UnexpectedEof, e),
        }
    }
}

impl MemorySend {
    async fn send_some(&self, bytes: &[u8]) -> Result<Result<usize, SendError>, Cancelled> {
        let _in_use = match self.begin().await? {
            Ok(in_use) => in_use,
            Err(e) => return Ok(Err(e)),
        };
        loop {
            if let Some(sent) = self.0.offer(bytes) {
                return Ok(sent);
            }
            self.0.lot.park().await?;
        }
    }
}

impl WriteBytes for MemorySend {
    async fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        Ok(self.send_some(bytes).await??)
    }

    fn send_eof(&self) -> io::Result<()> {
        if self.0.sending.get() {
            return Err(SendError::Busy.into());
        }
        self.close();
        Ok(())
    }
}

impl ReadBytes for MemoryReceive {
    async fn read(&self, bytes: &mut [u8]) -> io::Result<usize> {
        if bytes.is_empty() {
            let _in_use = self.begin().await??;
            return if self.0.receive_closed.get() { Err(ReceiveError::Closed.into()) } else { Ok(0) };
        }
        match self.receive(bytes.len()).await? {
            Ok(received) => {
                bytes[..received.len()].copy_from_slice(&received);
                Ok(received.len())
            }
            Err(ReceiveError::End) => Ok(0),
            Err(e) => Err(e.into()),
        }
    }
}

impl WriteBytes for MemoryStream {
    async fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.send.write(bytes).await
    }

    fn send_eof(&self) -> io::Result<()> {
        WriteBytes::send_eof(&self.send)
    }
}

impl ReadBytes for MemoryStream {
    async fn read(&self, bytes: &mut [u8]) -> io::Result<usize> {
        self.receive.read(bytes).await
    }
}
