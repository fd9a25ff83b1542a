//! Which types are known to be the only owner of their descriptor.

/// Types that are the only owner of their descriptor: std's own, which nobody can share or stand in for.
///
/// Sealed: a wrong one would let a forked child close a number that somebody else still holds.
pub trait SoleOwner: sealed::Sealed {}

mod sealed {
    pub trait Sealed {}
}

macro_rules! sole_owners {
    ($($owner:ty),*) => {$(
        impl sealed::Sealed for $owner {}
        impl SoleOwner for $owner {}
    )*};
}

sole_owners!(
    std::os::fd::OwnedFd,
    std::fs::File,
    std::os::unix::net::UnixStream,
    std::os::unix::net::UnixListener,
    std::os::unix::net::UnixDatagram,
    std::net::TcpStream,
    std::net::TcpListener,
    std::net::UdpSocket,
    std::io::PipeReader,
    std::io::PipeWriter
);
