//! What this process knows of itself as an actor: its name, its link to the parent, its limits, its books.
//!
//! ```text
//!   actors(…) in a root  ─► Here::root, made on first use ─┐
//!   boot of a child      ─► Here with a link               ├─► the run's local slot ─► here()
//! ```
//!
//! Rules:
//! * One `Here` per run; a forked child forgets the inherited one with the rest of the runtime.
//! * **Books**: every process made is counted where it was made, and every process reaped where it was reaped; what
//!   is counted below comes up with the final message. So the root can tell whether all were reaped by their parents.

use super::boot::Caught;
use super::event::Event;
use super::id::ActorId;
use super::serve::Serving;
use crate::config::Config;
use crate::endpoint::Registry;
use crate::forks::Forks;
use crate::wire;
use pleach_executor::sync::Event as Flag;
use pleach_executor::{Cancelled, Instant, low_level};
use pleach_ipc::Channel;
use pleach_ipc::proto::{Ledger, Limits, Role};
use pleach_spawn::Stops;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::os::fd::OwnedFd;
use std::rc::{Rc, Weak};

/// Called for every event of the tree below.
pub(crate) type Observer = Rc<dyn Fn(&Event)>;

pub(crate) struct Here {
    pub(crate) id: ActorId,
    pub(crate) config: Config,
    /// The link to the parent; `None` at a root.
    pub(crate) link: Option<Rc<Channel>>,
    /// What actors can be started with by name; `None` outside a [`Program`](crate::Program).
    pub(crate) registry: Option<Rc<Registry>>,
    /// May it start actors of its own?
    pub(crate) may_spawn: bool,
    /// What it does for its parent.
    pub(crate) serving: Serving,
    /// What makes its children, if they serve endpoints.
    pub(crate) forks: Forks,
    /// Descriptors that its parent gave it.
    given: RefCell<Vec<OwnedFd>>,
    /// By when this actor and all below it are to be gone, once somebody has said so.
    pub(crate) deadline: Cell<Option<Instant>>,
    /// Somebody has asked twice: what is being stopped is given no more than the new deadline.
    pub(crate) hurry: Flag,
    /// The parent's cancel that this actor is to answer, once one has come.
    pub(crate) request: Cell<Option<u64>>,
    books: Cell<Ledger>,
    observers: RefCell<Vec<Observer>>,
    /// Shared by the watches over all children, and gone with the last of them.
    stops: RefCell<Weak<Stops>>,
    /// The fork epoch it belongs to: in a forked child an inherited one tells nobody anything.
    epoch: u64,
}

impl Here {
    /// A root: nobody's child.
    pub(crate) fn root(id: ActorId, config: Config, registry: Option<Rc<Registry>>) -> Rc<Self> {
        let serving = Serving::new(Role::Closure, None, Limits::default(), Caught::default());
        Self::new(id, config, None, registry, true, serving)
    }

    pub(crate) fn new(
        id: ActorId,
        config: Config,
        link: Option<Rc<Channel>>,
        registry: Option<Rc<Registry>>,
        may_spawn: bool,
        serving: Serving,
    ) -> Rc<Self> {
        Rc::new(Here {
            id,
            config,
            link,
            registry,
            may_spawn,
            serving,
            forks: Forks::default(),
            given: RefCell::default(),
            deadline: Cell::new(None),
            hurry: Flag::new(),
            request: Cell::new(None),
            books: Cell::new(Ledger::default()),
            observers: RefCell::default(),
            stops: RefCell::default(),
            epoch: low_level::epoch(),
        })
    }

    pub(crate) fn install(self: &Rc<Self>) {
        drop(low_level::set_local(Rc::clone(self)));
    }

    pub(crate) fn count(&self, f: impl FnOnce(&mut Ledger)) {
        let mut books = self.books.get();
        f(&mut books);
        self.books.set(books);
    }

    pub(crate) fn books(&self) -> Ledger {
        self.books.get()
    }

    /// Everything below is to be gone by this moment, whatever was said before.
    pub(crate) fn hasten(&self, by: Instant) {
        self.deadline.set(Some(self.deadline.get().map_or(by, |before| before.min(by))));
        self.hurry.set();
    }

    pub(crate) fn give(&self, given: Vec<OwnedFd>) {
        *self.given.borrow_mut() = given;
    }

    /// What tells of stopped children. `None` where SIGCHLD belongs to somebody else: then a stopped actor shows only by
    /// what it fails to do.
    pub(crate) fn stops(&self) -> Option<Rc<Stops>> {
        let mut shared = self.stops.borrow_mut();
        if let Some(stops) = shared.upgrade() {
            return Some(stops);
        }
        let stops = Rc::new(Stops::listen().ok()?);
        *shared = Rc::downgrade(&stops);
        Some(stops)
    }

    fn observe(&self, observer: Observer) -> Observer {
        self.observers.borrow_mut().push(Rc::clone(&observer));
        observer
    }

    /// Tells this process' observers, and the parent.
    pub(crate) fn tell(&self, event: &Event) {
        if self.epoch != low_level::epoch() {
            return;
        }
        let observers = self.observers.borrow().clone();
        for o in observers {
            o(event);
        }
        if let Some(link) = &self.link {
            // A parent that is gone, or drowning, does not need to hear it.
            let _ = link.try_send_now(&wire::event_to(event));
        }
    }
}

/// The actor this process is. A process that is no child of a tree is the root of its own.
pub(crate) fn here() -> Rc<Here> {
    low_level::local::<Here>().unwrap_or_else(|| {
        let here = Here::root(ActorId::root("root"), Config::default(), None);
        here.install();
        here
    })
}

/// The actor whose code this is: what a child's closure gets as its first argument.
#[derive(Clone)]
pub struct Actor(pub(crate) Rc<Here>);

impl Actor {
    /// The actor this process is: the one it was started as, or the root of its own tree.
    ///
    /// # Panics
    ///
    /// Outside a run.
    #[must_use]
    pub fn current() -> Actor {
        Actor(here())
    }

    /// Who it is.
    #[must_use]
    pub fn id(&self) -> &ActorId {
        &self.0.id
    }

    /// Tells the parent, and every ancestor's observer, something. Best effort: it is never waited for. In a child, on an
    /// `Actor` that its closure has captured, it tells nobody: that is another process.
    pub fn note(&self, text: impl Into<String>) {
        self.0.tell(&Event::Note { path: self.0.id.path().to_owned(), text: text.into() });
    }

    /// How many processes this actor and those below it have made, and how they ended.
    #[must_use]
    pub fn books(&self) -> Books {
        let b = self.0.books();
        Books { started: b.started, reaped: b.reaped, terminated: b.term, killed: b.kill }
    }

    /// Ends the fork server of this actor, if it has one, and waits until it is reaped: then the actor has no process of its own
    /// making but its children. The next one is started when it is needed.
    ///
    /// # Cancellation
    ///
    /// A checkpoint always. Cancelled, it has been killed, and the run reaps it.
    ///
    /// # Errors
    ///
    /// [`Cancelled`], from the scope around.
    pub async fn end_fork_server(&self) -> Result<(), Cancelled> {
        self.0.forks.end().await
    }

    /// Calls `observer` for every event of the tree below, until the guard goes.
    ///
    /// It is called by the task that watches over an actor: an observer that panics is a failure of that actor's nursery,
    /// and the actor is killed.
    #[must_use = "dropping the guard ends the observation"]
    pub fn observe(&self, observer: impl Fn(&Event) + 'static) -> Observation {
        Observation { here: Rc::clone(&self.0), observer: self.0.observe(Rc::new(observer)) }
    }

    /// The descriptors that its parent gave it with [`Start::give`](crate::Start::give), in that order. Once; later calls
    /// give none. Those that nobody takes are closed when the actor ends.
    #[must_use]
    pub fn take_given(&self) -> Vec<OwnedFd> {
        self.0.given.take()
    }

    /// The limits it was started with.
    #[must_use]
    pub fn config(&self) -> Config {
        self.0.config
    }
}

impl fmt::Debug for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Actor").field("id", &self.0.id).field("books", &self.books()).finish()
    }
}

/// Processes of an actor and of all below it that have reported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Books {
    /// Made.
    pub started: u32,
    /// Reaped by their own parent.
    pub reaped: u32,
    /// Sent SIGTERM by the ladder.
    pub terminated: u32,
    /// Sent SIGKILL by the ladder.
    pub killed: u32,
}

/// An observer at work, until this is dropped.
pub struct Observation {
    here: Rc<Here>,
    observer: Observer,
}

impl Drop for Observation {
    fn drop(&mut self) {
        self.here.observers.borrow_mut().retain(|o| !Rc::ptr_eq(o, &self.observer));
    }
}

impl fmt::Debug for Observation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Observation").field("of", &self.here.id).finish()
    }
}
