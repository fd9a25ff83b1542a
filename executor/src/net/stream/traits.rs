//! A stream as what others ask for: bytes to read, bytes to write, a descriptor.

use super::{Stream, StreamSocket};
use crate::io::{ReadBytes, WriteBytes};
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

impl<S: StreamSocket> ReadBytes for Stream<S> {
    async fn read(&self, bytes: &mut [u8]) -> io::Result<usize> {
        Stream::read(self, bytes).await
    }

    async fn read_exact_counting(&self, bytes: &mut [u8], done: &mut usize) -> io::Result<()> {
        Stream::read_exact_counting(self, bytes, done).await
    }
}

impl<S: StreamSocket> WriteBytes for Stream<S> {
    async fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        Stream::write(self, bytes).await
    }

    async fn write_vectored(&self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        Stream::write_vectored(self, parts).await
    }

    async fn write_all_counting(&self, bytes: &[u8], done: &mut usize) -> io::Result<()> {
        Stream::write_all_counting(self, bytes, done).await
    }

    fn send_eof(&self) -> io::Result<()> {
        Stream::send_eof(self)
    }
}

impl<S: StreamSocket> AsFd for Stream<S> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.get_ref().as_fd()
    }
}

impl<S: StreamSocket> AsRawFd for Stream<S> {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.number()
    }
}
