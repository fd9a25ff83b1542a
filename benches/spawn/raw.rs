//! The floors: fork(2) with a socketpair and nothing around it, here and in a small process made for it.
//!
//! ```text
//!   fork:    socketpair ─ fork ─► child: one byte, _exit          waitid
//!   server:  socketpair, one end by SCM_RIGHTS ─► server ─ clone(CLONE_PARENT) ─► child: the same
//!                                        ◄─ pid ─┘                             waitid, here: the child is ours
//! ```
//!
//! Rules: every process here has one thread, and a child never returns into its parent's frames.

use crate::questions::Meter;
use nix::sys::socket::{
    AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType, recvmsg, sendmsg,
    socketpair,
};
use std::fs::File;
use std::io::{IoSlice, IoSliceMut, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;

pub(crate) fn fork(meter: &mut Meter) {
    while meter.another() {
        let (mut ours, theirs) = UnixStream::pair().expect("a socketpair");
        // SAFETY: this process has one thread, and the child ends in `child`.
        let pid = unsafe { libc::fork() };
        assert!(pid >= 0, "{}", std::io::Error::last_os_error());
        if pid == 0 {
            child(theirs);
        }
        drop(theirs);
        ours.read_exact(&mut [0]).expect("its first byte");
        reap(pid);
    }
}

pub(crate) fn server(meter: &mut Meter) {
    let (control, theirs) =
        socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)
            .expect("a socketpair");
    // A pristine process, as ours is: begun anew, and given its end as its standard input.
    let mut server = std::process::Command::new("/proc/self/exe")
        .arg(SERVES)
        .stdin(theirs)
        .spawn()
        .expect("it is started");
    let mut control = File::from(control);
    while meter.another() {
        let (mut ours, theirs) = UnixStream::pair().expect("a socketpair");
        let fds = [theirs.as_raw_fd()];
        let rights = [ControlMessage::ScmRights(&fds)];
        let byte = [IoSlice::new(b"x")];
        sendmsg::<()>(control.as_raw_fd(), &byte, &rights, MsgFlags::empty(), None).expect("it serves");
        drop(theirs);
        let mut pid = [0; 4];
        control.read_exact(&mut pid).expect("it answers");
        ours.read_exact(&mut [0]).expect("its first byte");
        reap(i32::from_ne_bytes(pid));
    }
    drop(control);
    assert!(server.wait().expect("it is ours").success());
}

/// The hidden argument of the server.
pub(crate) const SERVES: &str = "--serves";

/// The server's life: on its standard input.
pub(crate) fn serves() {
    // SAFETY: the standard input of this process, which nobody else here uses.
    let mut control = File::from(unsafe { OwnedFd::from_raw_fd(0) });
    loop {
        let mut space = nix::cmsg_space!([i32; 1]);
        let mut byte = [0];
        let mut parts = [IoSliceMut::new(&mut byte)];
        let message = recvmsg::<()>(control.as_raw_fd(), &mut parts, Some(&mut space), MsgFlags::empty())
            .expect("its owner");
        if message.bytes == 0 {
            return;
        }
        let Some(ControlMessageOwned::ScmRights(fds)) = message.cmsgs().expect("room for it").next() else {
            panic!("a request has a descriptor")
        };
        // SAFETY: it has just come, and is nobody else's.
        let link = UnixStream::from(unsafe { OwnedFd::from_raw_fd(fds[0]) });
        let flags = libc::CLONE_PARENT | libc::SIGCHLD;
        // SAFETY: no memory and no stack is shared, so this is a fork, of a process of one thread; the child ends in `child`.
        let pid = unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) } as i32;
        assert!(pid >= 0, "{}", std::io::Error::last_os_error());
        if pid == 0 {
            child(link);
        }
        drop(link);
        control.write_all(&pid.to_ne_bytes()).expect("its owner");
    }
}

/// What a child does.
fn child(mut link: UnixStream) -> ! {
    let written = link.write_all(b"x");
    // SAFETY: takes a number and does not return.
    unsafe { libc::_exit(i32::from(written.is_err())) }
}

/// Waits for its end, which must be a good one.
fn reap(pid: i32) {
    let mut status = 0;
    // SAFETY: `status` lives through the call, which writes it.
    let reaped = unsafe { libc::waitpid(pid, &raw mut status, libc::__WALL) };
    assert_eq!((reaped, status), (pid, 0), "it ends well");
}
