//! A child that can be made again and again: what it runs, when it is started again, how it is stopped.
//!
//! ```text
//!   Child::serve │ call │ fork ─► an.child(…) ─► begin() ─► { Start, First, Lifting } of one incarnation ─► launch.rs
//! ```
//!
//! Rules: nothing of it is used up by a start. What it is given is duplicated for each incarnation, and its closure called
//! again.

use super::spec::{Restart, Stop};
use crate::actor::Actor;
use crate::config::Config;
use crate::endpoint::Endpoint;
use crate::error::{Error, ErrorKind};
use crate::launch::{First, Forkable, Lift};
use crate::start::Start;
use pleach_ipc::codec;
use pleach_ipc::proto::{Backend as Made, Role};
use pleach_spawn::{Forked, Grants, SpawnError};
use serde::Serialize;
use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;

/// A process on its way.
type Lifted = Pin<Box<dyn Future<Output = Result<(Forked, Made), SpawnError>>>>;
/// Makes the process of one incarnation.
pub(super) type Lifting = Box<dyn FnOnce(Lift) -> Lifted>;
/// An endpoint and its argument, encoded.
type Call = (&'static str, Result<Vec<u8>, String>);

/// What a supervised actor is: how it is made, what it runs, and what becomes of it when it ends. For
/// [`ActorNursery::child`](crate::ActorNursery::child).
///
/// ```
/// use pleach::{Child, Endpoint, Restart, Stop};
/// use std::time::Duration;
/// const COUNT: Endpoint<u64, u64> = Endpoint::new("count");
/// let always_there = Child::serve("store").stop(Stop::Within(Duration::from_secs(2)));
/// let to_be_finished = Child::call("counter", COUNT, 1_000).restart(Restart::Transient);
/// assert_eq!((always_there.name(), to_be_finished.name()), ("store", "counter"));
/// ```
#[must_use = "a child is started by `an.child(…)`"]
pub struct Child {
    start: Start,
    role: Role,
    call: Option<Call>,
    lift: Rc<dyn Fn() -> Lifting>,
    restart: Restart,
    stop: Option<Stop>,
}

/// What one incarnation is started with.
pub(super) struct Begun {
    pub(super) start: Start,
    pub(super) role: Role,
    pub(super) first: Option<First>,
    pub(super) lift: Lifting,
}

fn by_endpoints() -> Lifting {
    Box::new(|lift| Box::pin(lift.endpoints()))
}

impl Child {
    fn new(start: Start, role: Role, call: Option<Call>, lift: Rc<dyn Fn() -> Lifting>) -> Self {
        Child { start, role, call, lift, restart: Restart::default(), stop: None }
    }

    /// An actor that serves the endpoints of its [`Program`](crate::Program), as of
    /// [`spawn`](crate::ActorNursery::spawn).
    ///
    /// What it is given ([`Start::give`]) stays open here, and each incarnation gets a duplicate.
    pub fn serve(start: impl Into<Start>) -> Self {
        Child::new(start.into(), Role::Serve, None, Rc::new(by_endpoints))
    }

    /// An actor that runs one endpoint and ends with it, as of [`call`](crate::ActorNursery::call). Its value goes nowhere.
    pub fn call<A: Serialize, R>(start: impl Into<Start>, endpoint: Endpoint<A, R>, args: A) -> Self {
        let args = codec::encode(&args).map_err(|e| e.to_string());
        Child::new(start.into(), Role::Once, Some((endpoint.name(), args)), Rc::new(by_endpoints))
    }

    /// An actor that runs a closure, as of [`fork`](crate::ActorNursery::fork): each incarnation with this process' memory as
    /// it is then, and with new grants.
    pub fn fork<G, F>(start: impl Into<Start>, grants: impl Fn() -> io::Result<G> + 'static, code: F) -> Self
    where
        G: Grants + 'static,
        F: AsyncFn(Actor, G) -> Result<(), Error> + 'static,
    {
        let (code, grants) = (Rc::new(code), Rc::new(grants));
        let lift = move || -> Lifting {
            let (code, grants) = (Rc::clone(&code), Rc::clone(&grants));
            Box::new(move |lift: Lift| {
                Box::pin(async move {
                    let grants = grants().map_err(|error| SpawnError::System { step: "grants", error })?;
                    let code = async move |actor: Actor, grants: G| code(actor, grants).await;
                    lift.fork_closure(Forkable { grants, code }).await
                })
            })
        };
        Child::new(start.into(), Role::Closure, None, Rc::new(lift))
    }

    /// When it is started again. Without this: always.
    pub fn restart(mut self, restart: Restart) -> Self {
        self.restart = restart;
        self
    }

    /// How it is stopped. Without this: as its [`Config`] has it.
    pub fn stop(mut self, stop: Stop) -> Self {
        self.stop = Some(stop);
        self
    }

    /// Its name, by which its supervisor knows it.
    #[must_use]
    pub fn name(&self) -> &str {
        self.start.name()
    }

    pub(super) fn restarts(&self) -> Restart {
        self.restart
    }

    pub(super) fn stops(&self) -> Option<Stop> {
        self.stop
    }

    /// What an incarnation is made of; the limits of the nursery are `config`.
    pub(super) fn begin(&self, config: &Config) -> Result<Begun, Error> {
        let start = self.start.again().map_err(|e| {
            let kind = ErrorKind::Spawn { step: "give".to_owned(), errno: e.raw_os_error() };
            Error::of(kind, format!("{}: what it is given cannot be duplicated: {e}", self.name()))
        })?;
        let limits = &start.config.unwrap_or(*config).limits;
        let first = match &self.call {
            Some((endpoint, Ok(args))) => Some(First::encoded(endpoint, args.clone(), limits)?),
            Some((endpoint, Err(e))) => {
                return Err(Error::of(ErrorKind::Protocol, format!("the argument of {endpoint}: {e}")));
            }
            None => None,
        };
        Ok(Begun { start, role: self.role, first, lift: (self.lift)() })
    }
}

impl fmt::Debug for Child {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Child")
            .field("name", &self.name())
            .field("restart", &self.restart)
            .field("stop", &self.stop)
            .finish_non_exhaustive()
    }
}
