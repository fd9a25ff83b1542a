//! Messages with descriptors over a socketpair that keeps their limits (SOCK_SEQPACKET).
//!
//! ```text
//!   send(bytes, fds) ─ one sendmsg(2) ─► [ bytes │ SCM_RIGHTS ] ─ one recvmsg(2) ─► Packet { len, Fds }
//! ```
//!
//! Rules: a message is whole or it is not there. Descriptors that come are CLOEXEC and have an owner at once.

use super::{above_stdio, check, own};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// The most descriptors in one message: what the kernel takes (SCM_MAX_FD).
pub(crate) const MOST_FDS: usize = 253;

/// The two ends of a line of messages.
pub(crate) fn packets() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut ends = [-1; 2];
    let kind = libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC;
    // SAFETY: `ends` has room for the two numbers that the call writes.
    check(unsafe { libc::socketpair(libc::AF_UNIX, kind, 0, ends.as_mut_ptr()) })?;
    let (a, b) = (own(ends[0]), own(ends[1]));
    Ok((above_stdio(a?)?, above_stdio(b?)?))
}

/// Room for the control part of a message with as many descriptors as there may be.
#[repr(C, align(8))]
struct Control([MaybeUninit<u8>; CONTROL]);

// SAFETY: arithmetic on a number.
const CONTROL: usize = unsafe { libc::CMSG_SPACE((MOST_FDS * size_of::<RawFd>()) as u32) } as usize;

/// Sends one message, without waiting and without SIGPIPE. `WouldBlock` if there is no room: nothing of it was sent.
///
/// Async-signal-safe: a bare system call, and room on the stack.
pub(crate) fn send_packet(socket: BorrowedFd<'_>, bytes: &[u8], fds: &[RawFd]) -> io::Result<()> {
    assert!(fds.len() <= MOST_FDS, "a message carries at most {MOST_FDS} descriptors");
    let mut control = Control([MaybeUninit::uninit(); CONTROL]);
    let mut part = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    // SAFETY: all zeros is an empty message header.
    let mut message: libc::msghdr = unsafe { MaybeUninit::zeroed().assume_init() };
    (message.msg_iov, message.msg_iovlen) = (&raw mut part, 1);
    if !fds.is_empty() {
        let size = size_of_val(fds) as u32;
        message.msg_control = control.0.as_mut_ptr().cast();
        // SAFETY: arithmetic on a number.
        message.msg_controllen = unsafe { libc::CMSG_SPACE(size) } as _;
        // SAFETY: the control part has room for one header, which is aligned as headers are.
        let header = unsafe { libc::CMSG_FIRSTHDR(&raw const message) };
        // SAFETY: all zeros is a header of nothing.
        let mut filled: libc::cmsghdr = unsafe { MaybeUninit::zeroed().assume_init() };
        (filled.cmsg_level, filled.cmsg_type) = (libc::SOL_SOCKET, libc::SCM_RIGHTS);
        // SAFETY: arithmetic on a number.
        filled.cmsg_len = unsafe { libc::CMSG_LEN(size) } as _;
        // SAFETY: room for it, see above, which is ours to write.
        unsafe { header.write(filled) };
        // SAFETY: arithmetic on a pointer to a header with room behind it.
        let data = unsafe { libc::CMSG_DATA(header) };
        // SAFETY: behind the header is room for `fds`, which was asked for by CMSG_SPACE; it need not be aligned for bytes.
        unsafe { std::ptr::copy_nonoverlapping(fds.as_ptr().cast(), data, size as usize) };
    }
    let flags = libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT;
    // SAFETY: the header names `bytes` and the control part, which live through the call and are only read.
    let sent = unsafe { libc::sendmsg(socket.as_raw_fd(), &raw const message, flags) };
    check(sent as libc::c_int).map(drop)
}

/// Descriptors that came with a message, in order; those that nobody takes are closed.
pub(crate) struct Fds {
    all: [Option<OwnedFd>; MOST_FDS],
    len: usize,
}

impl Fds {
    pub(crate) const fn none() -> Self {
        Fds { all: [const { None }; MOST_FDS], len: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The descriptor at this place, once.
    pub(crate) fn take(&mut self, at: usize) -> Option<OwnedFd> {
        self.all.get_mut(at)?.take()
    }

    /// The descriptor at this place, if nobody has taken it.
    pub(crate) fn get(&self, at: usize) -> Option<&OwnedFd> {
        self.all.get(at)?.as_ref()
    }
}

/// One message.
#[must_use]
pub(crate) struct Packet {
    /// How many bytes it had; none at the end of the line.
    pub(crate) len: usize,
    pub(crate) fds: Fds,
    /// Was there more, which is lost: bytes beyond the buffer, or descriptors for which no number was free?
    pub(crate) cut: bool,
}

/// How long to wait for a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Patience {
    /// `WouldBlock` if there is none.
    None,
    /// Until there is one, or the other end is closed.
    Endless,
}

/// Receives one message.
///
/// Async-signal-safe: a bare system call, and room on the stack.
pub(crate) fn receive_packet(
    socket: BorrowedFd<'_>,
    buffer: &mut [u8],
    patience: Patience,
) -> io::Result<Packet> {
    let mut control = Control([MaybeUninit::uninit(); CONTROL]);
    let mut part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    // SAFETY: all zeros is an empty message header.
    let mut message: libc::msghdr = unsafe { MaybeUninit::zeroed().assume_init() };
    (message.msg_iov, message.msg_iovlen) = (&raw mut part, 1);
    message.msg_control = control.0.as_mut_ptr().cast();
    message.msg_controllen = CONTROL as _;
    let wait = if patience == Patience::None { libc::MSG_DONTWAIT } else { 0 };
    let len = loop {
        // SAFETY: the header names `buffer` and the control part with their lengths; the call writes no more.
        let n = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut message, libc::MSG_CMSG_CLOEXEC | wait) };
        match check(n as libc::c_int) {
            Ok(n) => break n as usize,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    };
    let cut = message.msg_flags & (libc::MSG_TRUNC | libc::MSG_CTRUNC) != 0;
    Ok(Packet { len, fds: adopt(&message), cut })
}

/// Takes ownership of every descriptor in the control part of a message that was received.
#[allow(clippy::unnecessary_cast, reason = "the type of a length is another in another libc")]
fn adopt(message: &libc::msghdr) -> Fds {
    let mut fds = Fds::none();
    // SAFETY: the kernel has written the control part, and says in the header how much of it.
    let mut header = unsafe { libc::CMSG_FIRSTHDR(message) };
    while !header.is_null() {
        // SAFETY: not null: a header inside the control part.
        let libc::cmsghdr { cmsg_level, cmsg_type, cmsg_len, .. } = unsafe { header.read() };
        if cmsg_level == libc::SOL_SOCKET && cmsg_type == libc::SCM_RIGHTS {
            // SAFETY: arithmetic on a number.
            let bytes = cmsg_len as usize - unsafe { libc::CMSG_LEN(0) } as usize;
            // SAFETY: the data of the header we are at.
            let data: *const [u8; size_of::<RawFd>()] = unsafe { libc::CMSG_DATA(header) }.cast();
            let room = MOST_FDS - fds.len;
            // SAFETY: the kernel has written so many bytes there; a byte is aligned anywhere.
            let numbers = unsafe { std::slice::from_raw_parts(data, (bytes / size_of::<RawFd>()).min(room)) };
            for fd in numbers {
                // SAFETY: the kernel has just made this number for us.
                let fd = unsafe { OwnedFd::from_raw_fd(RawFd::from_ne_bytes(*fd)) };
                fds.all[fds.len] = Some(fd);
                fds.len += 1;
            }
        }
        // SAFETY: message and header belong together.
        header = unsafe { libc::CMSG_NXTHDR(message, header) };
    }
    fds
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::os::fd::AsFd;

    #[test]
    fn a_message_arrives_whole_with_its_descriptors_in_order() {
        let (a, b) = packets().expect("a socketpair");
        for n in [0, 1, 2, MOST_FDS] {
            let files: Vec<File> = (0..n).map(|_| File::open("/dev/null").expect("there is one")).collect();
            let numbers: Vec<RawFd> = files.iter().map(AsRawFd::as_raw_fd).collect();
            send_packet(a.as_fd(), b"hello", &numbers).expect("room");
            let mut buffer = [0; 8];
            let mut packet = receive_packet(b.as_fd(), &mut buffer, Patience::None).expect("it is there");
            assert_eq!((packet.len, packet.cut, packet.fds.len()), (5, false, n));
            for at in 0..n {
                let fd = packet.fds.take(at).expect("in its place");
                assert!(fd.as_raw_fd() > 2 && !numbers.contains(&fd.as_raw_fd()));
                assert!(packet.fds.take(at).is_none(), "once");
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_told() {
        let (a, b) = packets().expect("a socketpair");
        send_packet(a.as_fd(), b"too long", &[]).expect("room");
        let packet = receive_packet(b.as_fd(), &mut [0; 4], Patience::None).expect("it is there");
        assert_eq!((packet.len, packet.cut), (4, true));
    }

    #[test]
    fn silence_and_the_end_of_the_line_are_told_apart() {
        let (a, b) = packets().expect("a socketpair");
        let mut buffer = [0; 4];
        let silence = receive_packet(b.as_fd(), &mut buffer, Patience::None).map(|p| p.len);
        assert_eq!(silence.map_err(|e| e.kind()), Err(io::ErrorKind::WouldBlock));
        drop(a);
        let end = receive_packet(b.as_fd(), &mut buffer, Patience::Endless).map(|p| p.len);
        assert_eq!(end.map_err(|e| e.kind()), Ok(0));
    }

    #[test]
    fn a_full_line_refuses_and_loses_nothing() {
        let (a, b) = packets().expect("a socketpair");
        let mut sent = 0_u32;
        let refused = loop {
            match send_packet(a.as_fd(), &sent.to_ne_bytes(), &[]) {
                Ok(()) => sent += 1,
                Err(e) => break e.kind(),
            }
        };
        assert_eq!(refused, io::ErrorKind::WouldBlock);
        for expected in 0..sent {
            let mut buffer = [0; 4];
            let _packet = receive_packet(b.as_fd(), &mut buffer, Patience::None).expect("it is there");
            assert_eq!(u32::from_ne_bytes(buffer), expected);
        }
    }
}
