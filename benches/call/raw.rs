//! The floor: a socketpair, a peer process, and the same values in frames, with nothing around the system calls.
//!
//! ```text
//!   write(length, postcard of (number, bytes)) ─► peer: read, decode, encode, write ─► read, decode
//!   blocking: waits in read(2)       epoll: waits in epoll_wait(2), then reads, as a program with more than one socket must
//! ```
//!
//! Rules:
//! * One write and one read per message, into buffers that are used again. Values are made anew: the user owns them.
//! * The peer is this program begun anew; its socket is its standard input.

use crate::{Echo, payload, pin, timed};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio, exit};
use std::time::Duration;

/// Bytes of a length.
const LENGTH: usize = 4;
/// Longer than every frame here.
const BUFFER: usize = 4096;
/// The argument that makes this program a peer.
const FLAG: &str = "--raw-peer";

/// Where an end waits for the next frame. Both ends of a connection wait alike.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Waits {
    InRead,
    InEpoll,
}

/// Becomes a peer if this process was made to be one.
pub(crate) fn divert() {
    let mut args = std::env::args().skip(1);
    if args.next().as_deref() != Some(FLAG) {
        return;
    }
    let waits = if args.next().as_deref() == Some("InEpoll") { Waits::InEpoll } else { Waits::InRead };
    let core = args.next().and_then(|core| core.parse().ok()).expect("the number of a core");
    pin(core);
    let stream = io::stdin().as_fd().try_clone_to_owned().expect("the peer's socket");
    let end = serve(UnixStream::from(stream), waits);
    exit(i32::from(end.is_err()));
}

fn serve(stream: UnixStream, waits: Waits) -> io::Result<()> {
    let mut end = End::new(stream, waits)?;
    while let Some(echo) = end.recv()? {
        end.send(&echo)?;
    }
    Ok(())
}

/// A peer process, as the one that asks holds it.
pub(crate) struct Peer {
    process: Child,
    end: End,
}

impl Peer {
    pub(crate) fn start(waits: Waits, core: usize) -> io::Result<Self> {
        let (ours, theirs) = UnixStream::pair()?;
        let process = Command::new(std::env::current_exe()?)
            .args([FLAG, &format!("{waits:?}"), &core.to_string()])
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .spawn()?;
        Ok(Peer { process, end: End::new(ours, waits)? })
    }

    /// That many calls, and how long each took.
    pub(crate) fn calls(&mut self, calls: u64, size: usize) -> io::Result<Vec<Duration>> {
        let mut times = Vec::with_capacity(calls as usize);
        for number in 0..calls {
            let asked = payload(size, number);
            let (answer, took) = timed(|| {
                self.end.send(&asked)?;
                self.end.recv()
            });
            times.push(took);
            assert_eq!(answer?, Some(asked));
        }
        Ok(times)
    }

    pub(crate) fn end(self) -> io::Result<()> {
        let Peer { mut process, end } = self;
        drop(end);
        let status = process.wait()?;
        assert!(status.success(), "the peer ended with {status}");
        Ok(())
    }
}

/// One end of a connection.
struct End {
    stream: UnixStream,
    epoll: Option<Epoll>,
    output: Box<[u8; BUFFER]>,
    input: Box<[u8; BUFFER]>,
}

impl End {
    fn new(stream: UnixStream, waits: Waits) -> io::Result<Self> {
        stream.set_nonblocking(waits == Waits::InEpoll)?;
        let epoll = match waits {
            Waits::InRead => None,
            Waits::InEpoll => {
                let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
                // For reading alone: an edge for each time there is room again would wake this end once more per message.
                epoll.add(&stream, EpollEvent::new(EpollFlags::EPOLLIN, 0))?;
                Some(epoll)
            }
        };
        Ok(End { stream, epoll, output: Box::new([0; BUFFER]), input: Box::new([0; BUFFER]) })
    }

    fn send(&mut self, echo: &Echo) -> io::Result<()> {
        let used = postcard::to_slice(echo, &mut self.output[LENGTH..]).map_err(io::Error::other)?.len();
        self.output[..LENGTH].copy_from_slice(&(used as u32).to_le_bytes());
        self.stream.write_all(&self.output[..LENGTH + used])
    }

    /// The next value; `None` when the other end is closed.
    fn recv(&mut self) -> io::Result<Option<Echo>> {
        let mut filled = 0;
        loop {
            match self.read(filled)? {
                0 => return Ok(None),
                n => filled += n,
            }
            let Some((length, rest)) = self.input[..filled].split_first_chunk::<LENGTH>() else { continue };
            // One frame is under way at a time, so nothing stands behind it.
            if rest.len() == u32::from_le_bytes(*length) as usize {
                return postcard::from_bytes(rest).map(Some).map_err(io::Error::other);
            }
        }
    }

    /// Reads once, when there is something to read.
    fn read(&mut self, filled: usize) -> io::Result<usize> {
        if let Some(epoll) = &self.epoll {
            epoll.wait(&mut [EpollEvent::empty()], EpollTimeout::NONE)?;
        }
        self.stream.read(&mut self.input[filled..])
    }
}
