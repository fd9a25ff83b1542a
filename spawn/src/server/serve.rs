//! A fork server's own life: receives a request, makes the child, answers, receives the next.
//!
//! ```text
//!   reborn ─► begin ─► serve ┬─► receive ─► settle ─► page ─► clone ─┬─ parent: answer, close everything, next ──┐
//!                            └───────────────────────────────────────│───────────────────────────────────────────┘
//!                                                                    └─ child: Offspring ─► its first steps in reborn
//! ```
//!
//! Rules:
//! * Nothing is allocated for a request, and no code of a user runs: the memory of every child is that of the server's
//!   first moment, and as small.
//! * Every request is answered. A server that cannot answer, because its owner is gone, ends.
//! * All signals are blocked for good, so none ends it before its owner's children are down; SIGKILL does, when its owner
//!   dies. A child begins with none of them pending.
//! * It keeps no list: its children are its owner's.

use super::wire::{LONGEST, Reply, Request, Stage};
use crate::image::Image;
use crate::marker::Marker;
use crate::surroundings::Surroundings;
use crate::sys;
use crate::sys::births::{Alone, Birth, Page, Parent, clone};
use crate::sys::packets::{Packet, Patience, receive_packet, send_packet};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

/// A fork server, in its own process.
pub(crate) struct Server {
    pub(crate) control: OwnedFd,
    pub(crate) page: Page,
    pub(crate) image: Image,
    pub(crate) now: Surroundings,
    pub(crate) alone: Alone,
}

/// What a child of a fork server begins with.
pub(crate) struct Offspring {
    pub(crate) marker: Marker,
    pub(crate) link: OwnedFd,
    pub(crate) given: Vec<OwnedFd>,
    pub(crate) environment: Option<OwnedFd>,
    pub(crate) image: Image,
    /// Those of the server, and those that are wanted.
    pub(crate) surroundings: (Surroundings, Surroundings),
    pub(crate) alone: Alone,
}

/// The places of the descriptors of a request.
const LINK: usize = 0;
const DIRECTORY: usize = 1;
const ENVIRONMENT: usize = 2;

impl Server {
    /// Serves until the owner is gone, and then ends. Returns in children only.
    pub(crate) fn serve(mut self) -> Offspring {
        let mut buffer = [0; LONGEST];
        loop {
            let packet = match receive_packet(self.control.as_fd(), &mut buffer, Patience::Endless) {
                Ok(packet) if packet.len > 0 => packet,
                // Its owner is gone. (Or no descriptor could be received at all, which is told as `cut`.)
                Ok(_) | Err(_) => sys::exit_now(0),
            };
            let request = Request::parse(&buffer[..packet.len]);
            let number = request.as_ref().map_or(0, |request| request.number);
            let made = match &request {
                Some(request) if !packet.cut => self.make(request, &packet),
                Some(_) => Err((Stage::Receive, io::Error::from_raw_os_error(libc::EMFILE))),
                None => Err((Stage::Receive, io::Error::from_raw_os_error(libc::EPROTO))),
            };
            match (made, request) {
                (Ok(Birth::Child), Some(request)) => return self.into_child(&request, packet),
                (Ok(Birth::Made(pid, pidfd)), _) => {
                    // Its link has one owner from here on, so that its end is seen.
                    drop(packet);
                    let reply = Reply { number, stage: Stage::Made, errno: 0, pid: pid.as_raw() };
                    self.answer(reply, Some(&pidfd));
                }
                (Err((stage, error)), _) => {
                    let errno = error.raw_os_error().unwrap_or(libc::EIO);
                    self.answer(Reply { number, stage, errno, pid: 0 }, None);
                }
                (Ok(Birth::Child), None) => unreachable!("a child is made for a request"),
            }
        }
    }

    fn make(&mut self, request: &Request<'_>, packet: &Packet) -> Result<Birth, (Stage, io::Error)> {
        let directory = packet.fds.get(DIRECTORY);
        let directory =
            directory.ok_or_else(|| (Stage::Receive, io::Error::from_raw_os_error(libc::EPROTO)))?;
        sys::surroundings::enter_directory(directory.as_fd()).map_err(|e| (Stage::Directory, e))?;
        self.now.settle(&request.surroundings).map_err(|(what, e)| (what.into(), e))?;
        self.page.serve(request.number);
        clone(&self.alone, Parent::Ours, Some(&self.page)).map_err(|e| (Stage::Clone, e))
    }

    /// There can be none here; last words are to follow.
    pub(crate) fn forbid(control: &OwnedFd, errno: i32) {
        let reply = Reply { number: 0, stage: Stage::Forbidden, errno, pid: 0 };
        // Its owner is gone, or has asked for more than a socket holds before it has heard anything: it is told of an end.
        let _ = send_packet(control.as_fd(), &reply.to_bytes(), &[]);
    }

    /// Waits for room if it has to: whoever asks reads the answers, or is gone.
    fn answer(&self, reply: Reply, pidfd: Option<&OwnedFd>) {
        let fds = pidfd.map(AsRawFd::as_raw_fd);
        while let Err(e) = send_packet(self.control.as_fd(), &reply.to_bytes(), fds.as_slice()) {
            if e.kind() != io::ErrorKind::WouldBlock || !sys::wait_for_room(self.control.as_fd()) {
                sys::exit_now(0);
            }
        }
    }

    /// In the child: what it was asked to be. The server's own is dropped here.
    fn into_child(self, request: &Request<'_>, packet: Packet) -> Offspring {
        let Server { control, page, image, now, alone } = self;
        drop((control, page));
        let mut fds = packet.fds;
        let first_given = if request.environment { ENVIRONMENT + 1 } else { ENVIRONMENT };
        let environment = if request.environment { fds.take(ENVIRONMENT) } else { None };
        let given = (first_given..fds.len()).filter_map(|at| fds.take(at)).collect();
        match (Marker::parse(request.marker), fds.take(LINK)) {
            (Some(marker), Some(link)) => Offspring {
                marker,
                link,
                given,
                environment,
                image,
                surroundings: (now, request.surroundings.clone()),
                alone,
            },
            // Owner and server are of one image: nobody to be told, and nothing to tell it with.
            _ => sys::exit_now(crate::plan::Step::Arm.exit_code()),
        }
    }
}
