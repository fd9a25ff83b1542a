//! From an order for an actor to its watch: check, make the process by its backend, hand it over.
//!
//! ```text
//!   nursery.rs ─ Order { who, how, role } ─► allowed? ─► Lift ─┬─ Fork: closure, or the endpoints of this memory
//!                                                              ├─ ForkServer: a pristine copy of the program
//!                                                              └─ Exec: the program again, diverted in main
//!                                                                    └─► Forked { process, link } ─► watch.rs
//! ```
//!
//! Rules:
//! * What a backend cannot do is a typed error before anything is made, never silently something else.
//! * Everything after "there is a process with one end of a socketpair" is the same for all backends.

use crate::actor::boot::{self, Cradle};
use crate::actor::here::{Actor, Here};
use crate::actor::siblings::Siblings;
use crate::actor::watch::{Newborn, Watch};
use crate::actor::{ActorId, Ending, Event, Incarnation, no_name};
use crate::config::Config;
use crate::error::{Error, ErrorKind};
use crate::handle::Up;
use crate::line::Line;
use crate::start::{Backend, Start};
use crate::supervise::Stop;
use crate::wire;
use pleach_executor::ScopeHandle;
use pleach_ipc::proto::{Backend as Made, Limits, Message, Role, WireStatus, encoder, last_words};
use pleach_ipc::{Channel, codec};
use pleach_spawn::{Born, Forked, Granted, Grants, Plan, SpawnError, Stops};
use serde::Serialize;
use std::os::fd::OwnedFd;
use std::rc::Rc;

/// The longest name of an actor, and the longest path, in bytes: both have to fit the messages of a boot.
const LONGEST_NAME: usize = 255;
const LONGEST_PATH: usize = 32 * 1024;

/// An actor that is wanted.
pub(crate) struct Order {
    pub(crate) here: Rc<Here>,
    pub(crate) siblings: Rc<Siblings>,
    pub(crate) config: Config,
    pub(crate) role: Role,
    pub(crate) start: Start,
    pub(crate) up: Rc<Up>,
    /// The scope of this actor alone.
    pub(crate) own: ScopeHandle,
    pub(crate) incarnation: Incarnation,
    /// How it is stopped, if not as the config has it.
    pub(crate) stop: Option<Stop>,
}

/// The call that a one-shot actor is there for.
pub(crate) struct First {
    endpoint: &'static str,
    call: Message,
}

impl First {
    /// Encoded before there is a process: what does not fit starts none.
    pub(crate) fn new<A: Serialize>(
        endpoint: &'static str,
        args: &A,
        limits: &Limits,
    ) -> Result<Self, Error> {
        Self::encoded(endpoint, codec::encode(args).map_err(Error::new)?, limits)
    }

    /// The same with an argument that is bytes already.
    pub(crate) fn encoded(endpoint: &'static str, args: Vec<u8>, limits: &Limits) -> Result<Self, Error> {
        let call = Message::Call { dialog: 1, endpoint: endpoint.to_owned(), args };
        if let Err(e) = encoder::frame(&call, limits, &mut Vec::new()) {
            let text = format!("the argument of {endpoint} does not fit a message: {e}");
            return Err(Error::of(ErrorKind::Protocol, text));
        }
        Ok(First { endpoint, call })
    }

    pub(crate) fn endpoint(&self) -> &'static str {
        self.endpoint
    }
}

/// A closure and what it is granted.
pub(crate) struct Forkable<G, F> {
    pub(crate) grants: G,
    pub(crate) code: F,
}

/// What a process is made of.
pub(crate) struct Lift {
    here: Rc<Here>,
    plan: Plan,
    cradle: Cradle,
    given: Vec<OwnedFd>,
    /// What was asked for.
    choice: Backend,
    /// What tells of stopped children.
    stops: Option<Rc<Stops>>,
}

impl Lift {
    /// By fork, with this closure as its code.
    pub(crate) async fn fork_closure<T, G, F>(
        self,
        born_with: Forkable<G, F>,
    ) -> Result<(Forked, Made), SpawnError>
    where
        T: Serialize + 'static,
        G: Grants + 'static,
        F: AsyncFnOnce(Actor, G) -> Result<T, Error> + 'static,
    {
        let Lift { plan, cradle, given, .. } = self;
        let Forkable { grants, code } = born_with;
        let entry = move |born: Born, granted: Granted<(G, Vec<OwnedFd>)>| {
            boot::live(
                born,
                cradle,
                || granted.adopt(),
                async move |actor, (grants, given)| {
                    actor.0.give(given);
                    let value = code(actor, grants).await?;
                    codec::encode(&value).map_err(Error::new)
                },
            )
        };
        Ok((pleach_spawn::fork(plan, (grants, given), entry).await?, Made::Fork))
    }

    /// By the backend that was chosen, to serve endpoints: says which it was.
    pub(crate) async fn endpoints(self) -> Result<(Forked, Made), SpawnError> {
        let Lift { here, plan, cradle, given, choice, stops } = self;
        let image = || match &cradle.registry {
            Some(registry) => registry.image().map_err(|error| SpawnError::System { step: "image", error }),
            None => unreachable!("without endpoints nothing is started to serve them"),
        };
        match choice {
            Backend::Fork => {
                let entry = move |born: Born, granted: Granted<Vec<OwnedFd>>| {
                    boot::live(born, cradle, || granted.adopt(), boot::serve)
                };
                Ok((pleach_spawn::fork(plan, given, entry).await?, Made::Fork))
            }
            Backend::ForkServer => {
                Ok((here.forks.spawn(image()?, &plan, &given, stops.as_ref()).await?, Made::ForkServer))
            }
            Backend::Auto => match here.forks.spawn(image()?, &plan, &given, stops.as_ref()).await {
                Err(SpawnError::NoServer { .. }) => {
                    Ok((pleach_spawn::exec(plan, image()?, given).await?, Made::Exec))
                }
                made => Ok((made?, Made::ForkServer)),
            },
            Backend::Exec => Ok((pleach_spawn::exec(plan, image()?, given).await?, Made::Exec)),
        }
    }
}

impl Order {
    /// From here to the reaped process. Returns the actor's value, encoded.
    pub(crate) async fn carry_out(
        self,
        first: Option<First>,
        lift: impl AsyncFnOnce(Lift) -> Result<(Forked, Made), SpawnError>,
    ) -> Result<Option<Vec<u8>>, Error> {
        let Order { here, siblings, config, role, start, up, own, incarnation, stop } = self;
        let path = here.id.child_path(&start.name);
        if let Err((kind, text)) = allowed(&here, role, &start, &path, &config, first.as_ref()) {
            let text = format!("{} cannot start {}: {text}", here.id.path(), shown(&start.name));
            let actor = ActorId::new(&start.name, &path, 0).incarnated(incarnation);
            return Err(not_made(&here, &actor, kind, text));
        }
        let may_spawn = start.may_spawn.unwrap_or(role != Role::Once);
        let mut plan = Plan::new(&start.name).last_words(last_words);
        if let Some((step, fault)) = start.fault {
            plan = plan.fault(step, fault);
        }
        if !start.death_signal {
            plan = plan.without_death_signal();
        }
        if may_spawn && role != Role::Closure && matches!(start.backend, Backend::ForkServer | Backend::Auto)
        {
            plan = plan.with_fork_server();
        }
        let registry = here.registry.clone();
        // That of a forked one, which lives by this very value.
        let cradle = Cradle {
            name: start.name.clone(),
            backend: Made::Fork,
            build: 0,
            registry: registry.clone(),
            program: None,
        };
        // Before there is a child that could be stopped.
        let stops = here.stops();
        let wanted = Lift {
            here: Rc::clone(&here),
            plan,
            cradle,
            given: start.given,
            choice: start.backend,
            stops: stops.clone(),
        };
        let (made, backend) = match lift(wanted).await {
            Ok(made) => made,
            Err(e) => {
                let actor = ActorId::new(&start.name, &path, 0).incarnated(incarnation);
                return Err(not_started(e, &here, &siblings, &actor));
            }
        };
        let id = ActorId::new(&start.name, &path, made.process.pid().as_raw().unsigned_abs());
        let id = id.incarnated(incarnation);
        up.pid.set(id.pid());
        let line = Line::new(Channel::from_std(made.link)?, config.limits, config.cancel_limit());
        *up.line.borrow_mut() = Some((Rc::clone(&line), id.clone()));
        let newborn = Newborn {
            id,
            config,
            backend,
            build: (backend != Made::Fork)
                .then(|| registry.as_ref().and_then(|r| r.image().ok()).map_or(0, |image| image.build())),
            role,
            may_spawn,
            process: made.process,
            stops,
            line,
            first: first.map(|first| first.call),
            up,
            own,
            stop,
        };
        Watch::new(here, siblings, newborn).run().await
    }
}

/// Which backend makes it; or why none can, whose fault that is, and what to do.
fn allowed(
    here: &Here,
    role: Role,
    start: &Start,
    path: &str,
    config: &Config,
    first: Option<&First>,
) -> Result<(), (ErrorKind, String)> {
    let spawn = |step: &str| ErrorKind::Spawn { step: step.to_owned(), errno: None };
    if let Some(why) = no_name(&start.name) {
        return Err((spawn("name"), why.to_owned()));
    }
    if start.name.len() > LONGEST_NAME || path.len() > LONGEST_PATH {
        let (name, path) = (start.name.len(), path.len());
        let text =
            format!("its name has {name} bytes of at most {LONGEST_NAME}, its path {path} of {LONGEST_PATH}");
        return Err((spawn("name"), text));
    }
    if let Err(e) = config.limits.checked() {
        return Err((spawn("limits"), e.to_string()));
    }
    if !here.may_spawn {
        let text = "it was started as a leaf: start it with `Start::may_spawn(true)`";
        return Err((spawn("may_spawn"), text.to_owned()));
    }
    if role == Role::Closure {
        return match start.backend {
            Backend::Auto | Backend::Fork => Ok(()),
            Backend::Exec | Backend::ForkServer => {
                let text = "a closure can only be forked: register an endpoint for what is to be made anew";
                Err((spawn("backend"), text.to_owned()))
            }
        };
    }
    let Some(registry) = &here.registry else {
        let text = "this program has no endpoints, because its `main` does not run it by `Program::run`; a closure can \
                    be forked here (`fork`)";
        return Err((spawn("program"), text.to_owned()));
    };
    if let Some(first) = first
        && !registry.has(first.endpoint)
    {
        let kind = ErrorKind::NoEndpoint { endpoint: first.endpoint.to_owned() };
        let names = registry.names();
        let text = format!(
            "no endpoint `{}` is registered by `Program::endpoint`; there are: {names}",
            first.endpoint
        );
        return Err((kind, text));
    }
    Ok(())
}

/// A name that may be none, for a message.
pub(crate) fn shown(name: &str) -> String {
    if no_name(name).is_some() { format!("{name:?}") } else { name.to_owned() }
}

/// No process was made. Also this is told to the observers, so that nobody waits to hear of the actor.
fn not_started(e: SpawnError, here: &Here, siblings: &Siblings, actor: &ActorId) -> Error {
    if let SpawnError::Cancelled(c) = e {
        tell_end(here, actor, wire::ending_of(siblings.cause(here, c.reason())));
        return c.into();
    }
    let kind = match &e {
        SpawnError::NotSingleThreaded { .. } => ErrorKind::NotSingleThreaded,
        SpawnError::System { step, error } => {
            ErrorKind::Spawn { step: (*step).to_owned(), errno: error.raw_os_error() }
        }
        other => ErrorKind::Spawn { step: other.to_string(), errno: None },
    };
    not_made(here, actor, kind, format!("{} cannot start {}: {e}", here.id.path(), actor.name()))
}

fn not_made(here: &Here, actor: &ActorId, kind: ErrorKind, text: String) -> Error {
    tell_end(here, actor, Ending::Failed);
    Error::of(kind, text).at(actor)
}

fn tell_end(here: &Here, actor: &ActorId, ending: Ending) {
    here.tell(&Event::Ended { actor: actor.clone(), start_time: 0, status: WireStatus::Unknown, ending });
}
