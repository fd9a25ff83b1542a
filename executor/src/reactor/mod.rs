//! Readiness of descriptors: the only part of the workspace that names mio.
//!
//! ```text
//!   fd ─register─► epoll (edge-triggered, reading) ─event─► readiness, remembered ─► the waiter of that direction
//!                    └ writing too, from the first wait for room until an event that nobody waited for
//!   another thread ─ eventfd (the bell) ─► wait() returns
//! ```
//!
//! * `reactor/mod.rs`: epoll, and who is registered. `source.rs`: what is known of one descriptor, shared with its owner.
//! * `notify.rs`, `calls.rs`: what other threads bring, and the bell. `parts.rs`: what these two are made of.
//!
//! What mio must give us: edge-triggered registration of any pollable fd, one wait for all of them, nothing more.
//!
//! Rules:
//! * A reactor belongs to one run, and so do its sources: whoever holds one compares [`Reactor::run`] first.
//! * One registration for the life of a descriptor; readiness is remembered, and cleared only by an operation that was
//!   told "would block". No `epoll_ctl` on the hot path.
//! * **Room On Demand**: epoll is asked about room to write only once somebody waits for it. A socket whose writes find
//!   room is then never woken because its peer has read. Asking, in epoll's words a modify, tells at once what is so
//!   already (`ep_modify` polls the descriptor), so no room that came before is missed. The question is withdrawn by the
//!   first event that says nothing else and finds nobody waiting: who writes in bulk waits at each event, and keeps it.
//! * One waiter for each direction. Who that is, and who is told "busy", is decided above ([`crate::fd`]).
//! * The bell is an eventfd of our own and not mio's waker, whose number mio does not tell: [`Reactor::owned_fds`] has to
//!   name every descriptor in here.
//! * A token carries a generation: an event of a descriptor that is gone reaches nobody.
//! * Wakers are handed on, never called, in here.
//! * Deregister before close, always: a dup in a child would keep the registration alive.

pub(crate) mod calls;
pub(crate) mod notify;
pub(crate) mod parts;
mod source;

pub use source::Direction;
pub(crate) use source::{Asks, PollReady, Source};

use crate::runtime::{self, RunKey};
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll};
use notify::Inbox;
use parts::Bell;
use slab::Slab;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

/// How many events a turn sees at most.
pub(crate) const EVENTS: usize = 256;

const BELL: mio::Token = mio::Token(usize::MAX);

pub(crate) struct Reactor {
    run: RunKey,
    poll: Poll,
    events: Events,
    bell: Arc<File>,
    sources: Slab<Rc<Source>>,
    generation: u32,
    /// A second descriptor of the epoll instance, if a loop outside waits for it.
    face: Option<Rc<OwnedFd>>,
}

impl Reactor {
    /// One for the active run.
    pub(crate) fn new() -> io::Result<Self> {
        let run = runtime::run_key();
        let _held = hold_standard_streams()?;
        let poll = Poll::new()?;
        let bell = File::from(crate::sys::eventfd()?);
        poll.registry().register(&mut SourceFd(&bell.as_raw_fd()), BELL, Interest::READABLE)?;
        Ok(Reactor {
            run,
            poll,
            events: Events::with_capacity(EVENTS),
            bell: Arc::new(bell),
            sources: Slab::new(),
            generation: 0,
            face: None,
        })
    }

    /// The run whose tokens these are.
    pub(crate) fn run(&self) -> RunKey {
        self.run
    }

    /// From now on, words from other threads end a wait.
    pub(crate) fn hang_bell(&self, inbox: &Inbox) {
        inbox.hang_bell(Bell::Eventfd(Arc::clone(&self.bell)));
    }

    /// Waits for events, at most `timeout` (`None`: until one comes). A signal counts as none.
    #[inline]
    pub(crate) fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        match self.poll.poll(&mut self.events, timeout) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => self.events.clear(),
            waited => return waited,
        }
        Ok(())
    }

    /// Takes in what has come, and hands on whom it wakes: `wake` calls no waker. Says how many events there were.
    #[inline]
    pub(crate) fn take_in(&mut self, mut wake: impl FnMut(Waker)) -> usize {
        let mut seen = 0;
        for event in &self.events {
            seen += 1;
            if event.token() == BELL {
                // Edge-triggered: each write is an event of its own, and the counter need not be emptied (epoll(7)).
                continue;
            }
            let Some(source) = find(&self.sources, event.token()) else { continue };
            if source.heard(event, &mut wake) {
                source.set_tells_of_room(false);
                // Refused only if somebody has closed the number: then there is nothing to withdraw.
                let _ = change(&self.poll, source, Interest::READABLE);
            }
        }
        seen
    }

    /// Registers a descriptor.
    pub(crate) fn register(&mut self, fd: RawFd, owned: bool) -> io::Result<Rc<Source>> {
        self.generation = self.generation.wrapping_add(1);
        let entry = self.sources.vacant_entry();
        let token = token(entry.key(), self.generation);
        runtime::count_reactor_change();
        self.poll.registry().register(&mut SourceFd(&fd), token, Interest::READABLE)?;
        let source = Rc::new(Source::new(fd, owned, token));
        entry.insert(Rc::clone(&source));
        Ok(source)
    }

    /// Before the descriptor is closed. Whoever waits comes back, to be woken outside: it will find it gone.
    pub(crate) fn deregister(&mut self, source: &Source) -> [Option<Waker>; 2] {
        if source.is_gone() {
            return [None, None];
        }
        drop(self.sources.remove(index_of(source.token())));
        runtime::count_reactor_change();
        // Refused only if somebody has closed the number already, and then there is nothing to take out.
        let _ = self.poll.registry().deregister(&mut SourceFd(&source.fd()));
        source.end()
    }

    /// Has epoll tell of room to write as well.
    pub(crate) fn tell_of_room(&mut self, source: &Source) -> io::Result<()> {
        change(&self.poll, source, Interest::READABLE | Interest::WRITABLE)?;
        source.set_tells_of_room(true);
        Ok(())
    }

    /// Every number that this reactor and the registered types of this crate own.
    pub(crate) fn owned_fds(&self) -> Vec<RawFd> {
        let ours = self.sources.iter().filter(|(_, s)| s.is_owned()).map(|(_, s)| s.fd());
        let face = self.face.iter().map(|face| face.as_raw_fd());
        [self.poll.as_raw_fd(), self.bell.as_raw_fd()].into_iter().chain(face).chain(ours).collect()
    }

    /// A second descriptor of the epoll instance, which becomes readable when there are events.
    pub(crate) fn epoll(&self) -> io::Result<OwnedFd> {
        crate::sys::duplicate(self.poll.as_raw_fd())
    }

    /// The same, kept here so that a forked child closes it; and a waker that makes it readable.
    pub(crate) fn face(&mut self) -> io::Result<(Rc<OwnedFd>, Waker)> {
        let face = match &self.face {
            Some(face) => Rc::clone(face),
            None => Rc::clone(self.face.insert(Rc::new(self.epoll()?))),
        };
        Ok((face, Waker::from(Arc::new(Bell::Eventfd(Arc::clone(&self.bell))))))
    }

    pub(crate) fn registrations(&self) -> usize {
        self.sources.len()
    }

    /// How many operations wait for a descriptor.
    pub(crate) fn waiters(&self) -> usize {
        self.sources.iter().map(|(_, source)| source.waiters()).sum()
    }
}

/// Holds the numbers of standard streams that are closed, so that nothing of ours gets them: whoever writes to a closed
/// stdout is to fail as ever, and not to write into an epoll instance.
fn hold_standard_streams() -> io::Result<Vec<File>> {
    let mut held = Vec::new();
    loop {
        let file = File::open("/dev/null")?;
        if file.as_raw_fd() > 2 {
            return Ok(held);
        }
        held.push(file);
    }
}

/// Asks epoll about other directions than before. It tells at once what is so already.
fn change(poll: &Poll, source: &Source, interest: Interest) -> io::Result<()> {
    runtime::count_reactor_change();
    poll.registry().reregister(&mut SourceFd(&source.fd()), source.token(), interest)
}

/// Whom an event is for: nobody, if that descriptor is gone.
#[inline]
fn find(sources: &Slab<Rc<Source>>, token: mio::Token) -> Option<&Source> {
    sources.get(index_of(token)).map(|source| &**source).filter(|source| source.token() == token)
}

fn token(index: usize, generation: u32) -> mio::Token {
    let index = u32::try_from(index).expect("fewer than 2^32 descriptors");
    mio::Token(((generation as usize) << 32) | index as usize)
}

fn index_of(token: mio::Token) -> usize {
    token.0 as u32 as usize
}

#[cfg(test)]
mod tests;
