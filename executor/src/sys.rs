//! The system calls this crate makes by hand: the monotonic clock, an eventfd, descriptors and credentials over Unix
//! sockets. The only unsafe code outside `task/raw.rs`.
//!
//! Each function is the call and nothing more: retries, readiness and errors' meaning are the callers'.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

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

/// Room for the control message of `MAX_FDS` descriptors, aligned for its header.
#[repr(C, align(8))]
struct Control([u8; 128]);

/// Sends `bytes` and with them `fds` (`SCM_RIGHTS` in `unix(7)`), without blocking and without SIGPIPE.
pub(crate) fn send_with_fds(
    socket: BorrowedFd<'_>,
    bytes: &[u8],
    fds: &[BorrowedFd<'_>],
) -> io::Result<usize> {
    assert!(fds.len() <= MAX_FDS, "at most {MAX_FDS} descriptors go with one message");
    let mut control = Control([0; 128]);
    let header = size_of::<libc::cmsghdr>();
    if !fds.is_empty() {
        let data = size_of::<RawFd>() * fds.len();
        control.0[..8].copy_from_slice(&(header + data).to_ne_bytes());
        control.0[8..12].copy_from_slice(&libc::SOL_SOCKET.to_ne_bytes());
        control.0[12..16].copy_from_slice(&libc::SCM_RIGHTS.to_ne_bytes());
        for (i, fd) in fds.iter().enumerate() {
            let at = header + i * size_of::<RawFd>();
            control.0[at..at + 4].copy_from_slice(&fd.as_raw_fd().to_ne_bytes());
        }
    }
    let mut part = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    let mut message = empty_message(&mut part);
    if !fds.is_empty() {
        message.msg_control = control.0.as_mut_ptr().cast();
        message.msg_controllen = (header + size_of::<RawFd>() * fds.len()).next_multiple_of(8) as _;
    }
    // SAFETY: `message` points to one iovec over `bytes` and to a control buffer of the length given, all alive.
    let n = unsafe {
        libc::sendmsg(socket.as_raw_fd(), &raw const message, libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT)
    };
    if n < 0 { Err(io::Error::last_os_error()) } else { Ok(n as usize) }
}

/// Receives bytes and the descriptors that came with them, close-on-exec, without blocking.
pub(crate) fn receive_with_fds(
    socket: BorrowedFd<'_>,
    bytes: &mut [u8],
) -> io::Result<(usize, Vec<OwnedFd>)> {
    let mut control = Control([0; 128]);
    let mut part = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
    let mut message = empty_message(&mut part);
    message.msg_control = control.0.as_mut_ptr().cast();
    message.msg_controllen = control.0.len() as _;
    let flags = libc::MSG_CMSG_CLOEXEC | libc::MSG_DONTWAIT;
    // SAFETY: `message` points to one iovec over `bytes` and to a control buffer of the length given, all alive.
    let n = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut message, flags) };
    if n < 0 {
        return Err(io::Error::last_os_error());
    }
    let mut fds = Vec::new();
    let header = size_of::<libc::cmsghdr>();
    let mut at = 0;
    while at + header <= message.msg_controllen {
        let word = |i: usize| i32::from_ne_bytes(control.0[i..i + 4].try_into().expect("four bytes"));
        let len = usize::from_ne_bytes(control.0[at..at + 8].try_into().expect("eight bytes"));
        if len < header || at + len > control.0.len() {
            break;
        }
        if word(at + 8) == libc::SOL_SOCKET && word(at + 12) == libc::SCM_RIGHTS {
            for i in (at + header..at + len).step_by(size_of::<RawFd>()) {
                // SAFETY: the kernel has just put this descriptor into our table for us.
                fds.push(unsafe { OwnedFd::from_raw_fd(word(i)) });
            }
        }
        at += len.next_multiple_of(8);
    }
    Ok((n as usize, fds))
}

fn empty_message(part: &mut libc::iovec) -> libc::msghdr {
    // SAFETY: a msghdr is plain data, for which all zeroes is a valid value: no name, no buffers.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = part;
    message.msg_iovlen = 1;
    message
}
