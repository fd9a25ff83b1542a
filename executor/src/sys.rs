//! The system calls this crate makes by hand: the monotonic clock, an eventfd, and of sockets and pipes what std has not got.
//!
//! ```text
//!   monotonic_nanos    name_thread    eventfd    socket, bind, listen, connect, accept (none of them waits)    peer_credentials
//!   catch_signal, installed, restore_signal … on_signal    process    ring
//!   send, receive (with descriptors)    send_bytes, receive_bytes    read, write, is_ready (without waiting, of any file)
//! ```
//!
//! Rules:
//! * The only unsafe code outside `task/raw.rs`.
//! * Each function is the call and nothing more: retries, readiness and errors' meaning are the callers'.
//! * No call here blocks or raises SIGPIPE, but for those that say it; none makes a descriptor that an exec would inherit.

use crate::reactor::Direction;
use std::ffi::CStr;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// What the system calls this thread (`PR_SET_NAME` in `prctl(2)`): the first 15 bytes of it.
pub(crate) fn name_thread(name: &CStr) {
    // SAFETY: the pointer is to a string that ends with a zero, and is only read. It cannot fail for one.
    let _ = unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr()) };
}

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
    // SAFETY: the call above makes descriptors.
    unsafe { made(fd) }
}

/// Adds one to an eventfd. Async-signal-safe.
pub(crate) fn ring(bell: RawFd) {
    let one = 1_u64;
    // SAFETY: reads the eight bytes of `one`; a wrong number is an error of the call, not of memory.
    let _ = unsafe { libc::write(bell, (&raw const one).cast(), 8) };
}

/// The number of this process. Async-signal-safe.
pub(crate) fn process() -> i32 {
    // SAFETY: always succeeds, touches no memory.
    unsafe { libc::getpid() }
}

/// A second, close-on-exec number for the description behind `fd` (`fcntl(2)`, F_DUPFD_CLOEXEC).
pub(crate) fn duplicate(fd: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: takes numbers only; one that is not open is an error of the call.
    let fd = unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 3) };
    // SAFETY: the call above makes descriptors.
    unsafe { made(fd) }
}

/// Sets `O_NONBLOCK` on an open file description (`fcntl(2)`).
pub(crate) fn set_nonblocking(fd: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: asks for the flags of a descriptor that is open; no pointers.
    let flags = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFL) };
    if flags < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: sets the flags of a descriptor that is open; no pointers.
    done(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFL, flags | libc::O_NONBLOCK) })
}

/// What the kernel says of a call that gives a number which tells nothing.
fn done(result: libc::c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// The descriptor that a call has made, or its error.
///
/// # Safety
///
/// `number` is what the last call of this thread gave back, and that call makes descriptors.
unsafe fn made(number: RawFd) -> io::Result<OwnedFd> {
    if number < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the caller promises that the number was made just now, so nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// A new socket, non-blocking and close-on-exec (`socket(2)`).
pub(crate) fn socket(family: libc::c_int, kind: libc::c_int) -> io::Result<OwnedFd> {
    // SAFETY: no pointers are passed.
    let fd = unsafe { libc::socket(family, kind | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK, 0) };
    // SAFETY: the call above makes descriptors.
    unsafe { made(fd) }
}

/// Gives a socket its address (`bind(2)`).
pub(crate) fn bind(socket: BorrowedFd<'_>, address: &[u8]) -> io::Result<()> {
    let len = address.len() as libc::socklen_t;
    // SAFETY: the pointer is to an address of the length given beside it; the kernel copies it and checks what it says.
    done(unsafe { libc::bind(socket.as_raw_fd(), address.as_ptr().cast(), len) })
}

/// Connects a socket, or begins to: `EINPROGRESS`, or for a Unix socket `EAGAIN` if the queue is full (`connect(2)`).
pub(crate) fn connect(socket: BorrowedFd<'_>, address: &[u8]) -> io::Result<()> {
    let len = address.len() as libc::socklen_t;
    // SAFETY: the pointer is to an address of the length given beside it; the kernel copies it and checks what it says.
    done(unsafe { libc::connect(socket.as_raw_fd(), address.as_ptr().cast(), len) })
}

/// Takes connections, with room for `backlog` that wait (`listen(2)`).
pub(crate) fn listen(socket: BorrowedFd<'_>, backlog: u16) -> io::Result<()> {
    // SAFETY: takes numbers only.
    done(unsafe { libc::listen(socket.as_raw_fd(), libc::c_int::from(backlog)) })
}

/// The next connection, non-blocking and close-on-exec, its peer's address in `address`; says how long that is
/// (`accept4(2)`).
pub(crate) fn accept(socket: BorrowedFd<'_>, address: &mut [u8]) -> io::Result<(OwnedFd, usize)> {
    let mut len = address.len() as libc::socklen_t;
    let flags = libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: the pointer is to room of the length given beside it.
    let fd = unsafe { libc::accept4(socket.as_raw_fd(), address.as_mut_ptr().cast(), &raw mut len, flags) };
    // SAFETY: the call above makes descriptors.
    Ok((unsafe { made(fd) }?, address.len().min(len as usize)))
}

/// Lets an address be bound again while connections of its former user fade out (`SO_REUSEADDR` in `socket(7)`).
pub(crate) fn set_reuse_address(socket: BorrowedFd<'_>) -> io::Result<()> {
    set_flag(socket, libc::SO_REUSEADDR, true)
}

/// Switches an option of a socket (`SOL_SOCKET` in `socket(7)`).
fn set_flag(socket: BorrowedFd<'_>, name: libc::c_int, on: bool) -> io::Result<()> {
    let on = libc::c_int::from(on);
    let len = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: the pointer is to a number of the length given beside it.
    done(unsafe { libc::setsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, name, (&raw const on).cast(), len) })
}

/// Has credentials come with what is read from a Unix socket.
#[cfg(test)]
pub(crate) fn take_credentials(socket: BorrowedFd<'_>) -> io::Result<()> {
    set_flag(socket, libc::SO_PASSCRED, true)
}

/// Is such an option on?
fn get_flag(socket: BorrowedFd<'_>, name: libc::c_int) -> io::Result<bool> {
    let mut on: libc::c_int = 0;
    let mut len = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: the pointer is to a number of the length given beside it.
    done(unsafe {
        libc::getsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, name, (&raw mut on).cast(), &raw mut len)
    })?;
    Ok(on != 0)
}

/// Makes whoever sends descriptors to a Unix socket get `EPERM`. Refused where credentials come along with what is read.
pub(crate) fn refuse_fds(socket: BorrowedFd<'_>) -> io::Result<()> {
    /// libc has no name for it yet (`asm-generic/socket.h`, and that of SPARC).
    const SO_PASSRIGHTS: libc::c_int =
        if cfg!(any(target_arch = "sparc", target_arch = "sparc64")) { 0x5c } else { 83 };
    for credentials in [libc::SO_PASSCRED, libc::SO_PASSPIDFD, libc::SO_PASSSEC] {
        // Who does not know an option has it off.
        if get_flag(socket, credentials).is_ok_and(|on| on) {
            let text = "credentials come with what is read from this socket (SO_PASSCRED, SO_PASSPIDFD, SO_PASSSEC): \
                        turn them off to read it as bytes only";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
    }
    set_flag(socket, SO_PASSRIGHTS, false).map_err(|e| match e.raw_os_error() {
        Some(libc::ENOPROTOOPT) => {
            let text = "this system cannot refuse descriptors (SO_PASSRIGHTS came with Linux 6.16)";
            io::Error::new(io::ErrorKind::Unsupported, text)
        }
        _ => e,
    })
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
pub(crate) const MAX_PARTS: usize = 1024;

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

/// Sends bytes (`send(2)`).
pub(crate) fn send_bytes(socket: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
    let flags = libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT;
    // SAFETY: the pointer is to bytes of the length given beside it.
    let n = unsafe { libc::send(socket.as_raw_fd(), bytes.as_ptr().cast(), bytes.len(), flags) };
    if n < 0 { Err(io::Error::last_os_error()) } else { Ok(n as usize) }
}

/// Receives bytes, and closes the descriptors that came with them. Says as well whether something did: then a stream may
/// have more, although it gave less than there was room for.
pub(crate) fn receive_bytes(
    socket: BorrowedFd<'_>,
    parts: &mut [IoSliceMut<'_>],
) -> io::Result<(usize, bool)> {
    let count = parts.len().min(MAX_PARTS);
    // std promises that an IoSliceMut has the layout of an iovec.
    let mut message = empty_message(parts.as_mut_ptr().cast(), count);
    // SAFETY: `message` points to the iovecs of `parts`, alive, and to no control buffer.
    let n = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut message, libc::MSG_DONTWAIT) };
    if n < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok((n as usize, message.msg_flags & libc::MSG_CTRUNC != 0))
}

/// Whether a call may hold the thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Patience {
    /// Never, whatever the mode of the description (`RWF_NOWAIT`): `EAGAIN` if it would, `EOPNOTSUPP` if this kind of file
    /// cannot say.
    None,
    /// As long as it takes, unless the description is non-blocking.
    AsItIs,
}

impl Patience {
    fn flags(self) -> libc::c_int {
        match self {
            Patience::None => libc::RWF_NOWAIT,
            Patience::AsItIs => 0,
        }
    }
}

/// Reads what is there (`preadv2(2)`, at the description's own position).
pub(crate) fn read(fd: BorrowedFd<'_>, bytes: &mut [u8], patience: Patience) -> io::Result<usize> {
    let part = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
    // SAFETY: the pointer is to one iovec over `bytes`.
    let n = unsafe { libc::preadv2(fd.as_raw_fd(), &raw const part, 1, -1, patience.flags()) };
    if n < 0 { Err(io::Error::last_os_error()) } else { Ok(n as usize) }
}

/// Writes what there is room for (`pwritev2(2)`, at the description's own position).
pub(crate) fn write(fd: BorrowedFd<'_>, bytes: &[u8], patience: Patience) -> io::Result<usize> {
    let part = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    // SAFETY: the pointer is to one iovec over `bytes`, which writing only reads.
    let n = unsafe { libc::pwritev2(fd.as_raw_fd(), &raw const part, 1, -1, patience.flags()) };
    if n < 0 { Err(io::Error::last_os_error()) } else { Ok(n as usize) }
}

/// Is there anything to read, or room to write, an error included? (`poll(2)`, without waiting)
pub(crate) fn is_ready(fd: BorrowedFd<'_>, direction: Direction) -> io::Result<bool> {
    let events = match direction {
        Direction::Read => libc::POLLIN,
        Direction::Write => libc::POLLOUT,
    };
    let mut asked = libc::pollfd { fd: fd.as_raw_fd(), events, revents: 0 };
    // SAFETY: the pointer is to one pollfd, and the count says so.
    done(unsafe { libc::poll(&raw mut asked, 1, 0) })?;
    Ok(asked.revents != 0)
}

/// What was installed for a signal before; put back by [`restore_signal`].
#[derive(Clone, Copy)]
pub(crate) struct SavedAction(libc::sigaction);

/// What is installed for a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Installed {
    Default,
    Ignored,
    /// [`crate::signals::handler::on_signal`].
    Ours,
    Others,
}

/// Installs our handler and gives back what was there before (`sigaction(2)`). Async-signal-safe.
pub(crate) fn catch_signal(signal: libc::c_int) -> io::Result<SavedAction> {
    let new = action_of(handler(), libc::SA_RESTART | libc::SA_ONSTACK);
    let mut old = action_of(libc::SIG_DFL, 0);
    // SAFETY: both live through the call, and the handler is async-signal-safe.
    done(unsafe { libc::sigaction(signal, &raw const new, &raw mut old) })?;
    Ok(SavedAction(old))
}

/// Puts back what [`catch_signal`] replaced.
pub(crate) fn restore_signal(signal: libc::c_int, saved: &SavedAction) {
    // SAFETY: what is installed was installed before, by whoever vouches for it.
    let _ = unsafe { libc::sigaction(signal, &raw const saved.0, std::ptr::null_mut()) };
}

/// Installs the default. Async-signal-safe.
pub(crate) fn set_signal_default(signal: libc::c_int) {
    restore_signal(signal, &SavedAction(action_of(libc::SIG_DFL, 0)));
}

/// What is installed now.
pub(crate) fn installed(signal: libc::c_int) -> Installed {
    let mut now = action_of(libc::SIG_DFL, 0);
    // SAFETY: a null new action only asks.
    let _ = unsafe { libc::sigaction(signal, std::ptr::null(), &raw mut now) };
    match now.sa_sigaction {
        libc::SIG_DFL => Installed::Default,
        libc::SIG_IGN => Installed::Ignored,
        ours if ours == handler() => Installed::Ours,
        _ => Installed::Others,
    }
}

fn action_of(handler: libc::sighandler_t, flags: libc::c_int) -> libc::sigaction {
    // SAFETY: all zeroes is a valid sigaction: default, nothing blocked, no flags.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = handler;
    action.sa_flags = flags;
    action
}

/// The one handler of this crate, as sigaction(2) takes it.
fn handler() -> libc::sighandler_t {
    let handler: extern "C" fn(libc::c_int) = on_signal;
    handler as usize
}

/// What the kernel calls. Keeps errno.
extern "C" fn on_signal(signal: libc::c_int) {
    // SAFETY: the address of this thread's errno, which lives as long as the thread.
    let errno = unsafe { libc::__errno_location() };
    // SAFETY: as above.
    let before = unsafe { errno.read() };
    crate::signals::handler::on_signal(signal);
    // SAFETY: as above.
    unsafe { errno.write(before) };
}

/// One signal is not blocked on this thread any more (`pthread_sigmask(3)`).
pub(crate) fn unblock_signal(signal: libc::c_int) {
    // SAFETY: all zeroes is a set of signals, the empty one.
    let mut one: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: `one` is a set that the call may write.
    let _ = unsafe { libc::sigaddset(&raw mut one, signal) };
    // SAFETY: `one` lives through the call.
    let _ = unsafe { libc::pthread_sigmask(libc::SIG_UNBLOCK, &raw const one, std::ptr::null_mut()) };
}

/// Sends a signal to the calling thread (`raise(3)`).
pub(crate) fn raise_signal(signal: libc::c_int) {
    // SAFETY: what the signal does is decided by its disposition; the call itself touches no memory.
    let _ = unsafe { libc::raise(signal) };
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
