//! What may come along with the bytes of a stream, and so whether a short read tells that nothing is left.
//!
//! ```text
//!   Anything ── refuse_fds ──► Leftovers ── the stream was seen empty ──► Nothing
//! ```
//!
//! Rules:
//! * A receive of a Unix socket stops behind descriptors, with more bytes behind them. Only `recvmsg(2)` tells that it did,
//!   and it costs more than `recv(2)`. So who trusts a short `recv` has to know that there are none.
//! * A sender looks at the option and queues under one lock of the receiver's, and a read that finds nothing has held that
//!   lock as well: what was sent before the option is in line by then, or has been read.

use std::io;

/// See the head of this file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Along {
    /// Descriptors may be among the bytes.
    Anything,
    /// No more are let in; those that were sent before may be in line.
    Leftovers,
    /// Bytes only, from now on.
    Nothing,
}

impl Along {
    /// What may come after a read of a stream with room for `room` bytes: it gave so many, and whether something came along.
    #[inline]
    pub(super) fn after(self, read: &io::Result<(usize, bool)>, room: usize) -> Along {
        let was_empty = match read {
            Ok((n, came_along)) => *n < room && !came_along,
            Err(e) => e.kind() == io::ErrorKind::WouldBlock,
        };
        if self == Along::Leftovers && was_empty { Along::Nothing } else { self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_empty_stream_that_lets_none_in_has_none() {
        let blocked = || Err(io::ErrorKind::WouldBlock.into());
        for kept in [Along::Anything, Along::Nothing] {
            assert_eq!(kept.after(&blocked(), 8), kept);
            assert_eq!(kept.after(&Ok((3, false)), 8), kept);
        }
        assert_eq!(Along::Leftovers.after(&blocked(), 8), Along::Nothing);
        assert_eq!(Along::Leftovers.after(&Ok((3, false)), 8), Along::Nothing);
        assert_eq!(Along::Leftovers.after(&Ok((0, false)), 8), Along::Nothing, "the end");
        assert_eq!(Along::Leftovers.after(&Ok((3, true)), 8), Along::Leftovers, "it stopped behind some");
        assert_eq!(Along::Leftovers.after(&Ok((8, false)), 8), Along::Leftovers, "there may be more");
        let broken = Err(io::ErrorKind::ConnectionReset.into());
        assert_eq!(Along::Leftovers.after(&broken, 8), Along::Leftovers);
    }
}
