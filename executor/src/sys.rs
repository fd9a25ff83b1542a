//! The system calls this crate makes by hand: the monotonic clock, an eventfd, and of Unix sockets what std has not got.
//!
//! ```text
//!   monotonic_nanos    eventfd    connect_unix (without waiting)    peer_credentials    send, receive (with descriptors)
//! ```
//!
//! Rules:
//! * The only unsafe code outside `task/raw.rs`.
//! * Each function is the call and nothing more: retries, readiness and errors' meaning are the callers'.
//! * No call here blocks, raises SIGPIPE, or makes a descriptor that an exec would inherit.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Nanoseconds on `CLOCK_MONOTONIC` (`clock_gettime(2)`; cannot fail for this clock).
#[inline]
pub(crate) fn monotonic_nanos() -> u64 {
    let mut at = MaybeUninit::<libc::timespec>::uninit();
    // SAFETY: the pointer is to memory for one timespec.
    let done = unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, at.as_mut_ptr()) };
    assert_eq!(done, 0, "CLOCK_MONOTONIC exists on every Linux");
    // SAFETY: the call succeeded, so it has filled the structure.
    let at = unsafe { at.assume_init() };
    at.tv_sec as u64 * 1_000_000_000 + at.tv_nsec as u64
}

/// A non-blocking, close-on-exec eventfd (`eventfd(2)`).
pub(crate) fn eventfd() -> io::Result<OwnedFd> {
    // SAFETY: no pointers are passed.
    let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call gave us this number, and nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// A second, close-on-exec number for the description behind `fd` (`fcntl(2)`, F_DUPFD_CLOEXEC).
pub(crate) fn duplicate(fd: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: takes numbers only; one that is not open is an error of the call.
    let fd = unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 3) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call gave us this number, and nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Sets `O_NONBLOCK` on an open file description (`fcntl(2)`).
pub(crate) fn set_nonblocking(fd: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: asks for the flags of a descriptor that is open; no pointers.
    let flags = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFL) };
    if flags < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: sets the flags of a descriptor that is open; no pointers.
    let done = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFL, flags | libc::O_NONBLOCK) };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// A new stream socket connected to the one at `path` (`unix(7)`), without waiting: `EAGAIN` if the listener's queue is
/// full, where a blocking `connect(2)` would hold the thread.
pub(crate) fn connect_unix(path: &Path) -> io::Result<OwnedFd> {
    let bytes = path.as_os_str().as_bytes();
    // SAFETY: a sockaddr_un is plain data, for which all zeroes is a valid value.
    let mut address: libc::sockaddr_un = unsafe { std::mem::zeroed() };
    address.sun_family = libc::AF_UNIX as libc::sa_family_t;
    // One place stays zero: the end of the path.
    if bytes.is_empty() || bytes.len() >= address.sun_path.len() || bytes.contains(&0) {
        let why = "the path of a Unix socket has 1 to 107 bytes and no zero among them";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
    }
    for (to, from) in address.sun_path.iter_mut().zip(bytes) {
        *to = *from as libc::c_char;
    }
    let kind = libc::SOCK_STREAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: no pointers are passed.
    let fd = unsafe { libc::socket(libc::AF_UNIX, kind, 0) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call gave us this number, and nobody else has it.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    let len = size_of::<libc::sockaddr_un>() as libc::socklen_t;
    // SAFETY: the pointer is to a sockaddr_un of the length given beside it.
    let done = unsafe { libc::connect(fd.as_raw_fd(), (&raw const address).cast(), len) };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(fd) }
}

/// Who is at the other end of a Unix socket (`SO_PEERCRED` in `unix(7)`): as it was when the pair was made.
pub(crate) fn peer_credentials(fd: BorrowedFd<'_>) -> io::Result<libc::ucred> {
    let mut cred = libc::ucred { pid: 0, uid: 0, gid: 0 };
    let mut len = size_of::<libc::ucred>() as libc::socklen_t;
    // SAFETY: the pointer is to a ucred of the length given beside it.
    let done = unsafe {
        libc::getsockopt(
            fd.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut cred).cast(),
            &raw mut len,
        )
    };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(cred) }
}

/// The most descriptors that one message carries here.
pub(crate) const MAX_FDS: usize = 16;

/// Of one `writev`-like call (`IOV_MAX` in `sysconf(3)`).
const MAX_PARTS: usize = 1024;

/// Where the data of a control message begins: after its header, which is aligned already.
const HEADER: usize = size_of::<libc::cmsghdr>();

/// Room for the control message of `MAX_FDS` descriptors, aligned for its header.
#[repr(C, align(8))]
struct Control([u8; HEADER + MAX_FDS * size_of::<RawFd>()]);

const _: () = assert!(
    HEADER == 16 && size_of::<usize>() == 8,
    "the control message is laid out by hand: length (8 bytes), level, type, data"
);

impl Control {
    const fn new() -> Self {
        Control([0; HEADER + MAX_FDS * size_of::<RawFd>()])
    }

    fn word(&self, at: usize) -> i32 {
        i32::from_ne_bytes(self.0[at..at + 4].try_into().expect("four bytes"))
    }

    /// Writes one message with `fds`; says how long it is.
    fn write(&mut self, fds: &[BorrowedFd<'_>]) -> usize {
        let len = HEADER + size_of_val(fds);
        self.0[..8].copy_from_slice(&len.to_ne_bytes());
        self.0[8..12].copy_from_slice(&libc::SOL_SOCKET.to_ne_bytes());
        self.0[12..HEADER].copy_from_slice(&libc::SCM_RIGHTS.to_ne_bytes());
        for (place, fd) in self.0[HEADER..].chunks_exact_mut(4).zip(fds) {
            place.copy_from_slice(&fd.as_raw_fd().to_ne_bytes());
        }
        len.next_multiple_of(8)
    }

    /// The descriptors of all messages in the first `len` bytes, which the kernel has just written.
    fn read(&self, len: usize) -> Vec<OwnedFd> {
        let (mut fds, mut at) = (Vec::new(), 0);
        while at + HEADER <= len {
            let size = usize::from_ne_bytes(self.0[at..at + 8].try_into().expect("eight bytes"));
            let end = (at + size).min(len);
            if size < HEADER {
                break;
            }
            if self.word(at + 8) == libc::SOL_SOCKET && self.word(at + 12) == libc::SCM_RIGHTS {
                for place in (at + HEADER..end).step_by(size_of::<RawFd>()) {
                    // SAFETY: the kernel has just put this descriptor into our table, for us, and says so once.
                    fds.push(unsafe { OwnedFd::from_raw_fd(self.word(place)) });
                }
            }
            at += size.next_multiple_of(8);
        }
        fds
    }
}

/// Sends bytes of `parts` and with the first of them `fds` (`SCM_RIGHTS` in `unix(7)`).
pub(crate) fn send(
    socket: BorrowedFd<'_>,
    parts: &[IoSlice<'_>],
    fds: &[BorrowedFd<'_>],
) -> io::Result<usize> {
    assert!(fds.len() <= MAX_FDS, "at most {MAX_FDS} descriptors go with one message");
    let parts = &parts[..parts.len().min(MAX_PARTS)];
    let mut control = Control::new();
    // std promises that an IoSlice has the layout of an iovec; sending only reads them.
    let mut message = empty_message(parts.as_ptr().cast_mut().cast(), parts.len());
    if !fds.is_empty() {
        message.msg_controllen = control.write(fds) as _;
        message.msg_control = control.0.as_mut_ptr().cast();
    }
    let flags = libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT;
    // SAFETY: `message` points to the iovecs of `parts` and to a control buffer of the length given, all alive.
    let n = unsafe { libc::sendmsg(socket.as_raw_fd(), &raw const message, flags) };
    if n < 0 { Err(io::Error::last_os_error()) } else { Ok(n as usize) }
}

/// Receives bytes and the descriptors that came with them. `EMSGSIZE` if there were more than [`MAX_FDS`]: then none is
/// kept, and the bytes are lost.
pub(crate) fn receive(socket: BorrowedFd<'_>, bytes: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
    let mut control = Control::new();
    let mut part = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
    let mut message = empty_message(&raw mut part, 1);
    message.msg_control = control.0.as_mut_ptr().cast();
    message.msg_controllen = control.0.len() as _;
    let flags = libc::MSG_CMSG_CLOEXEC | libc::MSG_DONTWAIT;
    // SAFETY: `message` points to one iovec over `bytes` and to a control buffer of the length given, all alive.
    let n = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut message, flags) };
    if n < 0 {
        return Err(io::Error::last_os_error());
    }
    let fds = control.read(message.msg_controllen.min(control.0.len()));
    if message.msg_flags & libc::MSG_CTRUNC != 0 {
        return Err(io::Error::from_raw_os_error(libc::EMSGSIZE));
    }
    Ok((n as usize, fds))
}

/// Receives bytes, and closes the descriptors that came with them. Says as well whether something did: then a stream may
/// have more, although it gave less than there was room for.
pub(crate) fn receive_bytes(socket: BorrowedFd<'_>, bytes: &mut [u8]) -> io::Result<(usize, bool)> {
    let mut part = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
    let mut message = empty_message(&raw mut part, 1);
    // SAFETY: `message` points to one iovec over `bytes`, alive, and to no control buffer.
    let n = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut message, libc::MSG_DONTWAIT) };
    if n < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok((n as usize, message.msg_flags & libc::MSG_CTRUNC != 0))
}

fn empty_message(parts: *mut libc::iovec, count: usize) -> libc::msghdr {
    // SAFETY: a msghdr is plain data, for which all zeroes is a valid value: no name, no buffers.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = parts;
    message.msg_iovlen = count as _;
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_control_message_is_laid_out_as_the_system_does() {
        let (reader, writer) = io::pipe().expect("a pipe");
        let fds = [OwnedFd::from(reader), OwnedFd::from(writer)];
        let borrowed = fds.each_ref().map(std::os::fd::AsFd::as_fd);
        let mut control = Control::new();
        let len = control.write(&borrowed);
        // SAFETY: a computation on sizes.
        let (cmsg_len, space) = (unsafe { libc::CMSG_LEN(8) }, 24);
        assert_eq!(control.0[..8], u64::from(cmsg_len).to_ne_bytes());
        assert_eq!(len, space);
        assert_eq!([control.word(HEADER), control.word(HEADER + 4)], fds.each_ref().map(AsRawFd::as_raw_fd));
    }

    #[test]
    fn the_clock_does_not_run_backwards() {
        let first = monotonic_nanos();
        assert!(first > 0 && monotonic_nanos() >= first);
    }
}
