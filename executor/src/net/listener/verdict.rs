//! What an error of `accept(2)` means for the loop that accepts. Pure.
//!
//! ```text
//!   errno ─► Next (that connection is gone) │ Pause (nothing is gone, but there is no room) │ Fail (the listener is)
//! ```

use std::io;

/// What the loop does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Goes on with the next connection.
    Next,
    /// The connection is still there, but accepting it needs descriptors or memory that are used up. Tried again at once it
    /// would fail again, so: later.
    Pause,
    /// Ends with the error.
    Fail,
}

/// What `error` means. The network's errors are a new connection's that `accept` gives on ("Error handling" and "Errors" in
/// `accept(2)`: to be treated like EAGAIN); EPERM is a firewall's. A reset and a timeout are of one connection too: a peer
/// must not be able to end the listener of everybody else. EOPNOTSUPP is in that list too, but it is also what a socket that
/// is no listener says each time, and to pass that over would be to ask for ever.
pub(super) fn verdict(error: &io::Error) -> Verdict {
    match error.raw_os_error() {
        Some(
            libc::ECONNABORTED
            | libc::ECONNRESET
            | libc::ETIMEDOUT
            | libc::EPERM
            | libc::ENETDOWN
            | libc::EPROTO
            | libc::ENOPROTOOPT
            | libc::EHOSTDOWN
            | libc::ENONET
            | libc::EHOSTUNREACH
            | libc::ENETUNREACH
            | libc::ENOSR
            | libc::ESOCKTNOSUPPORT
            | libc::EPROTONOSUPPORT,
        ) => Verdict::Next,
        Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM | libc::ENOSPC) => Verdict::Pause,
        _ => Verdict::Fail,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_error_of_accept_has_its_verdict() {
        let of = |errno| verdict(&io::Error::from_raw_os_error(errno));
        assert_eq!(of(libc::ECONNABORTED), Verdict::Next);
        assert_eq!(of(libc::ENETUNREACH), Verdict::Next);
        assert_eq!(of(libc::ECONNRESET), Verdict::Next);
        assert_eq!(of(libc::ETIMEDOUT), Verdict::Next);
        assert_eq!(of(libc::ENOSR), Verdict::Next);
        assert_eq!(of(libc::ESOCKTNOSUPPORT), Verdict::Next);
        assert_eq!(of(libc::EPROTONOSUPPORT), Verdict::Next);
        assert_eq!(of(libc::EMFILE), Verdict::Pause);
        assert_eq!(of(libc::ENOMEM), Verdict::Pause);
        assert_eq!(of(libc::EBADF), Verdict::Fail);
        assert_eq!(of(libc::EINVAL), Verdict::Fail);
        assert_eq!(of(libc::EOPNOTSUPP), Verdict::Fail);
        assert_eq!(verdict(&io::Error::other("no number")), Verdict::Fail);
    }
}
