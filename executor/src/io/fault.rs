//! Whose fault an error of a stream is.
//!
//! ```text
//!   io::Error ─► Fault::of ─► Cancelled │ Closed (we did) │ Busy (misuse) │ Broken (the peer, or the world)
//! ```
//!
//! Operations give `io::Error`, so that `?` works in every block whose error is made of one; what of it is ours can be asked.

use crate::error::Failure;
use crate::fd::ReadyError;
use std::io;

/// Whose fault an error of a stream, a socket or a pipe is.
///
/// ```
/// use pleach_executor::{io::Fault, net::UnixStream, run};
/// run(async {
///     let (a, b) = UnixStream::pair().unwrap();
///     a.send_eof().unwrap();
///     assert_eq!(Fault::of(&a.write(b"x").await.unwrap_err()), Fault::Closed);
///     drop(a);
///     assert_eq!(Fault::of(&b.write(b"x").await.unwrap_err()), Fault::Broken);
/// });
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// Nobody's: the scope around the caller is cancelled. Hand it back with `?`.
    Cancelled,
    /// We have closed this end, or this direction of it. Do not use it any more.
    Closed,
    /// Another task of ours uses the same direction. Give each direction one owner.
    Busy,
    /// The peer has gone or broken the connection, or the operating system failed: the error says more.
    Broken,
}

impl Fault {
    /// Whose fault `error` is.
    #[must_use]
    pub fn of(error: &io::Error) -> Fault {
        if error.is_cancelled() {
            return Fault::Cancelled;
        }
        match error.get_ref().and_then(|inner| inner.downcast_ref()) {
            Some(ReadyError::Cancelled(_)) => Fault::Cancelled,
            Some(ReadyError::Closed) => Fault::Closed,
            Some(ReadyError::Busy) => Fault::Busy,
            Some(ReadyError::Io(_)) | None => Fault::Broken,
        }
    }
}
