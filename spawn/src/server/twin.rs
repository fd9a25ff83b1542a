//! A fork server that a child of a server or of an exec brings along: forked off it while it is pristine.
//!
//! ```text
//!   first steps of a child ─► split ─┬─ the child: Twin { pid, pidfd, control, page } ─ in its run ─► ForkServer
//!                                    └─ its twin: Server ─► serve
//! ```
//!
//! Rules: a fork of a process as small as this costs less than a tenth of an exec, and later it would not be pristine any
//! more. A twin that nobody has taken over ends with the process that it was made for.

use super::Server;
use crate::fork::flush_standard_output;
use crate::image::Image;
use crate::process::{Pid, put_down};
use crate::surroundings::{Environment, Surroundings};
use crate::sys;
use crate::sys::births::{Alone, Birth, Page, Parent, clone};
use std::io;
use std::os::fd::OwnedFd;

/// A fork server that was born with this process, and that no run has taken over yet.
pub(crate) struct Twin {
    pub(crate) pid: Pid,
    pub(crate) pidfd: Option<OwnedFd>,
    pub(crate) control: Option<OwnedFd>,
    pub(crate) page: Option<Page>,
    pub(crate) environment: Environment,
}

impl Drop for Twin {
    fn drop(&mut self) {
        if let Some(pidfd) = self.pidfd.take() {
            drop(self.control.take());
            put_down(self.pid, Some(pidfd));
        }
    }
}

/// Who one is after the split.
pub(crate) enum Split {
    Child(Twin),
    /// The server, which has nothing of the child but its image.
    Twin(Box<Server>),
}

/// Makes a twin of this process.
pub(crate) fn split(alone: Alone, image: &Image) -> io::Result<Split> {
    let (page, file) = Page::new()?;
    // It maps the file anew: whose mapping it is, is never in doubt.
    page.keep_from_children()?;
    let (ours, theirs) = sys::packets::packets()?;
    let (now, environment) = (Surroundings::look()?, Environment::look());
    let its_image = image.again()?;
    let owner = sys::pid();
    // Else what is buffered comes out of both, and out of every child of the twin.
    flush_standard_output();
    match clone(&alone, Parent::This, None)? {
        Birth::Made(pid, pidfd) => Ok(Split::Child(Twin {
            pid,
            pidfd: Some(pidfd),
            control: Some(ours),
            page: Some(page),
            environment,
        })),
        Birth::Child => {
            // A fork clears it. If its owner is dead already no signal comes.
            let tied = sys::set_parent_death_signal(libc::SIGKILL);
            if tied.is_err() || !sys::parent_is(owner) {
                sys::exit_now(0);
            }
            drop((ours, page));
            let page = Page::map(&file)?;
            page.keep_from_children()?;
            Ok(Split::Twin(Box::new(Server { control: theirs, page, image: its_image, now, alone })))
        }
    }
}
