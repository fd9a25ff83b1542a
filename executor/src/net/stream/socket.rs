//! What a stream asks of its socket: the few calls in which TCP and Unix sockets differ.

use crate::fd::SoleOwner;
use std::os::fd::AsFd;

/// A socket of std's that [`Stream`](super::Stream) can be made of.
pub trait StreamSocket: SoleOwner + AsFd + sealed::Calls {}

pub(in crate::net) mod sealed {
    use crate::net::along::Along;
    use std::io::{self, IoSliceMut};
    use std::net::Shutdown;

    /// The calls that differ from one kind of socket to another.
    pub trait Calls {
        /// Reads; says as well whether something came along with the bytes, so that there may be more although this was
        /// less than there was room for.
        fn receive(&self, bytes: &mut [u8], along: Along) -> io::Result<(usize, bool)>;
        fn receive_vectored(&self, parts: &mut [IoSliceMut<'_>], along: Along) -> io::Result<(usize, bool)>;
        fn end(&self, how: Shutdown) -> io::Result<()>;
        fn make_nonblocking(&self) -> io::Result<()>;
    }
}
