//! Readiness of descriptors: the only part of the workspace that names mio.
//!
//! ```text
//!   fd ─register─► epoll (edge-triggered, reading) ─event─► readiness, remembered ─► the waiter of that direction
//!                    └ writing too, from the first wait for room until an event that nobody waited for
//!   another thread ─ eventfd (the bell) ─► turn() returns
//! ```
//!
//! What mio must give us: edge-triggered registration of any pollable fd, one wait for all of them, nothing more.
//!
//! Rules:
//! * A reactor belongs to one run, and so do its tokens: whoever holds one compares [`Reactor::run`] first.
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
//! * Wakers are collected, never called, in here.
//! * Deregister before close, always: a dup in a child would keep the registration alive.

pub(crate) mod calls;
pub(crate) mod notify;
pub(crate) mod parts;

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

/// Reading or writing: the two things a descriptor can be ready for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// There are bytes or the end to be read; what counts as reading for other kinds, such as the death of a pidfd's process.
    Read,
    /// There is room to write.
    Write,
}

/// A registration's name: index and generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    index: u32,
    generation: u32,
}

/// What somebody who comes to wait is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PollReady {
    Ready,
    /// Parked with this waker: it is called when the direction becomes ready.
    Parked,
    /// Not ready, and this waker is not parked: [`Reactor::park`] it.
    Park,
    /// The registration is gone.
    Gone,
}

/// What became of a waker that was to be parked. Those in here are dropped outside.
#[derive(Debug)]
pub(crate) enum Parking {
    /// It waits; the one it has replaced.
    Parked(Option<Waker>),
    /// Somebody has closed the number.
    Refused(io::Error, Waker),
    /// The registration is gone.
    Gone(Waker),
}

/// What somebody wants to know before an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asks {
    /// Whether to try it: yes, unless a try has failed since the last event.
    WhetherToTry,
    /// Whether it would succeed, from epoll itself.
    WhetherReady,
    /// Only whether the registration is there.
    Nothing,
}

/// What is known of a direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Readiness {
    /// Nothing yet: epoll was not asked, and nobody has tried.
    Untold,
    Ready,
    Not,
}

struct Half {
    readiness: Readiness,
    /// The end has come: nothing more will be told, so this stays ready whatever was read.
    ended: bool,
    /// Does epoll tell of this direction?
    armed: bool,
    waiter: Option<Waker>,
}

impl Half {
    fn new(readiness: Readiness, armed: bool) -> Self {
        Half { readiness, ended: false, armed, waiter: None }
    }
}

struct Source {
    generation: u32,
    fd: RawFd,
    /// Does one of this crate's types own the descriptor?
    owned: bool,
    read: Half,
    write: Half,
}

impl Source {
    fn half(&mut self, direction: Direction) -> &mut Half {
        match direction {
            Direction::Read => &mut self.read,
            Direction::Write => &mut self.write,
        }
    }

    /// Takes an event in: who is woken by it, and was it one that nobody needed?
    fn heard(&mut self, event: &mio::event::Event, woken: &mut Vec<Waker>) -> bool {
        // A hang-up or an error is for both: the operation itself finds out what it is.
        let broken = event.is_error() || event.is_read_closed() && event.is_write_closed();
        let readable = event.is_readable() || event.is_read_closed() || broken;
        let writable = event.is_writable() || event.is_write_closed() || broken;
        let unneeded = writable && !readable && self.write.armed && self.write.waiter.is_none();
        if readable {
            self.read.readiness = Readiness::Ready;
            self.read.ended |= event.is_read_closed() || broken;
            woken.extend(self.read.waiter.take());
        }
        if writable {
            self.write.readiness = Readiness::Ready;
            woken.extend(self.write.waiter.take());
        }
        unneeded
    }
}

pub(crate) struct Reactor {
    run: RunKey,
    poll: Poll,
    events: Events,
    bell: Arc<File>,
    sources: Slab<Source>,
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

    /// Waits for events, at most `timeout` (`None`: until one comes), and collects whom they wake. Says how many
    /// there were; a signal counts as none.
    pub(crate) fn turn(&mut self, timeout: Option<Duration>, woken: &mut Vec<Waker>) -> io::Result<usize> {
        match self.poll.poll(&mut self.events, timeout) {
            Ok(()) => {}
            Err(e) if e.kind() == io::ErrorKind::Interrupted => self.events.clear(),
            Err(e) => return Err(e),
        }
        let mut seen = 0;
        for event in &self.events {
            seen += 1;
            if event.token() == BELL {
                // Edge-triggered: each write is an event of its own, and the counter need not be emptied (epoll(7)).
                continue;
            }
            let Some(source) = find(&mut self.sources, unpack(event.token())) else { continue };
            if source.heard(event, woken) {
                source.write.armed = false;
                // Refused only if somebody has closed the number: then there is nothing to withdraw.
                let _ = change(&self.poll, source.fd, event.token(), Interest::READABLE);
            }
        }
        runtime::count_reactor_wait(seen);
        Ok(seen)
    }

    /// Registers a descriptor.
    pub(crate) fn register(&mut self, fd: RawFd, owned: bool) -> io::Result<Token> {
        self.generation = self.generation.wrapping_add(1);
        let generation = self.generation;
        let entry = self.sources.vacant_entry();
        let token =
            Token { index: u32::try_from(entry.key()).expect("fewer than 2^32 descriptors"), generation };
        runtime::count_reactor_change();
        self.poll.registry().register(&mut SourceFd(&fd), pack(token), Interest::READABLE)?;
        let (read, write) = (Half::new(Readiness::Not, true), Half::new(Readiness::Untold, false));
        entry.insert(Source { generation, fd, owned, read, write });
        Ok(token)
    }

    /// Before the descriptor is closed. Whoever waits comes back, to be woken outside: it will find it gone.
    pub(crate) fn deregister(&mut self, token: Token) -> [Option<Waker>; 2] {
        if find(&mut self.sources, token).is_none() {
            return [None, None];
        }
        let source = self.sources.remove(token.index as usize);
        runtime::count_reactor_change();
        // Refused only if somebody has closed the number already, and then there is nothing to take out.
        let _ = self.poll.registry().deregister(&mut SourceFd(&source.fd));
        [source.read.waiter, source.write.waiter]
    }

    /// Is it registered still?
    pub(crate) fn knows(&mut self, token: Token) -> bool {
        find(&mut self.sources, token).is_some()
    }

    /// Is the direction ready?
    pub(crate) fn poll_ready(
        &mut self,
        token: Token,
        direction: Direction,
        asks: Asks,
        waker: &Waker,
    ) -> PollReady {
        let Some(source) = find(&mut self.sources, token) else { return PollReady::Gone };
        let half = source.half(direction);
        match (half.readiness, asks) {
            (Readiness::Ready, _) | (_, Asks::Nothing) => PollReady::Ready,
            (Readiness::Untold, Asks::WhetherToTry) => {
                half.readiness = Readiness::Ready;
                PollReady::Ready
            }
            _ if half.waiter.as_ref().is_some_and(|w| w.will_wake(waker)) => PollReady::Parked,
            _ => PollReady::Park,
        }
    }

    /// Parks a waker until the direction is ready.
    pub(crate) fn park(&mut self, token: Token, direction: Direction, waker: Waker) -> Parking {
        let Some(source) = find(&mut self.sources, token) else { return Parking::Gone(waker) };
        let fd = source.fd;
        let half = source.half(direction);
        if !half.armed {
            if let Err(e) = change(&self.poll, fd, pack(token), Interest::READABLE | Interest::WRITABLE) {
                return Parking::Refused(e, waker);
            }
            half.armed = true;
        }
        Parking::Parked(half.waiter.replace(waker))
    }

    /// The operation said "would block": not ready until the next event.
    pub(crate) fn clear_ready(&mut self, token: Token, direction: Direction) {
        if let Some(source) = find(&mut self.sources, token) {
            source.half(direction).readiness = Readiness::Not;
        }
    }

    /// The operation moved less than it was asked to: not ready until the next event, unless the end has come, which is
    /// told only once.
    pub(crate) fn clear_moved_all(&mut self, token: Token, direction: Direction) {
        if let Some(source) = find(&mut self.sources, token) {
            let half = source.half(direction);
            half.readiness = if half.ended { Readiness::Ready } else { Readiness::Not };
        }
    }

    /// The wait for a direction is over. Its waker comes back to be dropped outside.
    pub(crate) fn leave(&mut self, token: Token, direction: Direction) -> Option<Waker> {
        find(&mut self.sources, token)?.half(direction).waiter.take()
    }

    /// Every number that this reactor and the registered types of this crate own.
    pub(crate) fn owned_fds(&self) -> Vec<RawFd> {
        let ours = self.sources.iter().filter(|(_, s)| s.owned).map(|(_, s)| s.fd);
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
fn change(poll: &Poll, fd: RawFd, token: mio::Token, interest: Interest) -> io::Result<()> {
    runtime::count_reactor_change();
    poll.registry().reregister(&mut SourceFd(&fd), token, interest)
}

fn find(sources: &mut Slab<Source>, token: Token) -> Option<&mut Source> {
    sources.get_mut(token.index as usize).filter(|s| s.generation == token.generation)
}

fn pack(t: Token) -> mio::Token {
    mio::Token(((t.generation as usize) << 32) | t.index as usize)
}

fn unpack(t: mio::Token) -> Token {
    Token { index: t.0 as u32, generation: (t.0 >> 32) as u32 }
}

#[cfg(test)]
mod tests;
