//! A nursery whose children are processes.
//!
//! ```text
//!   actors(async |an| …) ─► executor's nursery ─┬─ body
//!                             an.fork(…) ───────┴─ watch (static task) ─► fork, boot, run, reap ─► value to the handle
//!                                                                                              └► error to the nursery
//! ```
//!
//! Rules:
//! * One cancels all: the first actor that fails cancels the others, which are awaited and reaped; then one failure
//!   comes out as itself, several as a group.
//! * An error goes to the nursery, once. The handle of an actor that failed says `Cancelled(SiblingFailed)`.

use crate::actor::boot::{self, Cradle};
use crate::actor::here::{Here, here};
use crate::actor::watch::{Shared, Watch};
use crate::actor::{Actor, ActorId, Ending, Event};
use crate::config::Config;
use crate::error::{Error, ErrorKind};
use crate::wire;
use pleach_executor::sync::Event as Flag;
use pleach_executor::{CancelScope, NurseryHandle, ScopeHandle, TaskHandle, low_level, nursery};
use pleach_ipc::Channel;
use pleach_ipc::codec;
use pleach_ipc::proto::{WireStatus, last_words};
use pleach_spawn::{Born, Fault, Granted, Grants, Plan, SpawnError, Step};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;

/// The longest name of an actor, and the longest path, in bytes: both have to fit the messages of a boot.
const LONGEST_NAME: usize = 255;
const LONGEST_PATH: usize = 32 * 1024;

/// An open nursery of actors: what the body of [`actors`] gets.
pub struct ActorNursery {
    tasks: NurseryHandle<Error>,
    here: Rc<Here>,
    shared: Rc<Shared>,
    config: Config,
}

/// Opens a nursery of actors: runs `body`, and ends when the body has ended and every actor is reaped.
///
/// # Cancellation
///
/// An outer cancellation goes down to every actor, and from it to all below, as one message per link with one
/// deadline; when all are reaped, the `Cancelled` comes out.
///
/// # Errors
///
/// The failures of body and actors: one as itself, several as [`ErrorKind::Group`].
///
/// # Panics
///
/// Outside a run; with the body's panic, when all actors are gone.
///
/// ```no_run
/// use pleach::{Error, actors, run};
/// let sum: Result<u64, Error> = run(actors(async |an| {
///     let half = an.fork("adder", (), async |_actor, ()| Ok((1..=100u64).sum::<u64>()));
///     Ok(half.result().await? + 1)
/// }));
/// assert_eq!(sum.unwrap(), 5051);
/// ```
pub async fn actors<T>(body: impl AsyncFnOnce(&ActorNursery) -> Result<T, Error>) -> Result<T, Error> {
    let here = here();
    let config = here.config;
    actors_with(config, body).await
}

/// [`actors`] with other limits.
///
/// # Cancellation
///
/// As [`actors`].
///
/// # Errors
///
/// As [`actors`].
///
/// # Panics
///
/// As [`actors`].
pub async fn actors_with<T>(
    config: Config,
    body: impl AsyncFnOnce(&ActorNursery) -> Result<T, Error>,
) -> Result<T, Error> {
    let here = here();
    nursery(async |n| {
        let an = ActorNursery { tasks: n.handle(), here, shared: Rc::default(), config };
        body(&an).await
    })
    .await
}

/// How an actor is to be started, for those who want more than a name.
#[derive(Clone, Debug)]
pub struct Start {
    name: String,
    config: Option<Config>,
    fault: Option<(Step, Fault)>,
}

impl Start {
    /// By this name, with the nursery's limits.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Start { name: name.into(), config: None, fault: None }
    }

    /// With limits of its own, for it and all below it.
    #[must_use]
    pub fn config(mut self, config: Config) -> Self {
        self.config = Some(config);
        self
    }

    /// For tests of crash behaviour: at this step of its boot the child does this to itself.
    #[must_use]
    pub fn fault(mut self, step: Step, fault: Fault) -> Self {
        self.fault = Some((step, fault));
        self
    }
}

impl From<&str> for Start {
    fn from(name: &str) -> Self {
        Start::new(name)
    }
}

impl From<String> for Start {
    fn from(name: String) -> Self {
        Start::new(name)
    }
}

impl ActorNursery {
    /// Starts an actor by fork: a process that runs `code` with this process' memory as it is now.
    ///
    /// The fork happens between two polls of the loop; this process needs exactly one thread then. `grants` are
    /// values with descriptors: they keep their numbers and go to the child, this process' copies are closed (clone to
    /// share). Descriptors captured in any other way are not there in the child: this library's own are closed, all
    /// others lead to `/dev/null`. The captures of `code` are dropped here when the child has been reaped, and their
    /// destructors run in the child as well.
    ///
    /// In the child `code` runs in a scope that the parent cancels; it may open nurseries of its own, of tasks and of
    /// actors. Its value or error comes back over the link.
    ///
    /// Returns at once; see [`ActorHandle::ready`].
    pub fn fork<T, G, F>(&self, start: impl Into<Start>, grants: G, code: F) -> ActorHandle<T>
    where
        T: Serialize + DeserializeOwned + 'static,
        G: Grants + 'static,
        F: AsyncFnOnce(Actor, G) -> Result<T, Error> + 'static,
    {
        let start = start.into();
        let up = Rc::new(Up { pid: Cell::new(0), ready: Flag::new(), decided: Flag::new() });
        // Made here, so that a cancel by the handle counts from the first moment on.
        let own = CancelScope::new();
        let scope = own.handle();
        let config = start.config.unwrap_or(self.config);
        let (here, shared) = (Rc::clone(&self.here), Rc::clone(&self.shared));
        let told = DecidedOnDrop(Rc::clone(&up));
        let task = self
            .tasks
            .task(async move { forked(here, shared, config, start, grants, code, &told.0, own).await });
        // A nursery that has ended takes no more: only code that outlives it sees that, and the handle says so.
        let task = RefCell::new(task.ok());
        ActorHandle { task, up, scope, epoch: low_level::epoch() }
    }

    /// Cancels the actors, not the body.
    pub fn cancel(&self) {
        self.tasks.cancel();
    }

    /// The actor this nursery belongs to.
    #[must_use]
    pub fn actor(&self) -> Actor {
        Actor(Rc::clone(&self.here))
    }
}

impl fmt::Debug for ActorNursery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ActorNursery").field("actor", &self.here.id).field("tasks", &self.tasks).finish()
    }
}

/// The task of one actor: fork, watch, decode.
#[expect(
    clippy::too_many_arguments,
    reason = "the one place where all that a child is made of comes together"
)]
async fn forked<T, G, F>(
    here: Rc<Here>,
    shared: Rc<Shared>,
    config: Config,
    start: Start,
    grants: G,
    code: F,
    up: &Rc<Up>,
    own: CancelScope,
) -> Result<Option<T>, Error>
where
    T: Serialize + DeserializeOwned + 'static,
    G: Grants + 'static,
    F: AsyncFnOnce(Actor, G) -> Result<T, Error> + 'static,
{
    let handle = own.handle();
    let bytes =
        own.run(async |_| fork_and_watch(here, shared, config, start, grants, code, up, handle).await).await;
    match bytes? {
        Some(Some(bytes)) => {
            let value = codec::decode(&bytes).map_err(|e| Error::msg(format!("the actor's value: {e}")))?;
            Ok(Some(value))
        }
        _ => Ok(None),
    }
}

#[expect(clippy::too_many_arguments, reason = "as above")]
async fn fork_and_watch<T, G, F>(
    here: Rc<Here>,
    shared: Rc<Shared>,
    config: Config,
    start: Start,
    grants: G,
    code: F,
    up: &Rc<Up>,
    own: ScopeHandle,
) -> Result<Option<Vec<u8>>, Error>
where
    T: Serialize + 'static,
    G: Grants + 'static,
    F: AsyncFnOnce(Actor, G) -> Result<T, Error> + 'static,
{
    let path = here.id.child_path(&start.name);
    if start.name.len() > LONGEST_NAME || path.len() > LONGEST_PATH {
        let text = format!(
            "{} cannot start an actor: its name has {} bytes of at most {LONGEST_NAME}, its path {} of {LONGEST_PATH}",
            here.id.name(),
            start.name.len(),
            path.len()
        );
        return Err(Error::of(ErrorKind::Spawn { step: "name".to_owned(), errno: None }, text).at(&here.id));
    }
    let mut plan = Plan::new(&start.name).last_words(last_words);
    if let Some((step, fault)) = start.fault {
        plan = plan.fault(step, fault);
    }
    let cradle = Cradle { name: start.name.clone(), config };
    let entry = move |born: Born, grants: Granted<G>| {
        boot::live(born, cradle, grants, async move |actor, grants| {
            let value = code(actor, grants).await?;
            codec::encode(&value).map_err(Error::new)
        })
    };
    let forked = match pleach_spawn::fork(plan, grants, entry).await {
        Ok(forked) => forked,
        Err(e) => return Err(not_started(e, &here, &shared, &start.name, &path)),
    };
    let id = ActorId::new(&start.name, &path, forked.process.pid().as_raw().unsigned_abs());
    up.pid.set(id.pid());
    let channel = Channel::from_std(forked.link)?;
    let ready = {
        let up = Rc::clone(up);
        Rc::new(move || {
            up.ready.set();
            up.decided.set();
        })
    };
    Watch::new(here, shared, id, config, forked.process, channel, ready, own).run().await
}

/// No process was made. Also this is told to the observers, so that nobody waits to hear of the actor.
fn not_started(e: SpawnError, here: &Here, shared: &Shared, name: &str, path: &str) -> Error {
    let actor = ActorId::new(name, path, 0);
    let (ending, error) = match e {
        SpawnError::Cancelled(c) => (wire::ending_of(shared.cause(here, c.reason())), c.into()),
        e => {
            let text = format!("{} cannot start {name}: {e}", here.id.path());
            let kind = match &e {
                SpawnError::NotSingleThreaded { .. } => ErrorKind::NotSingleThreaded,
                SpawnError::System { step, error } => {
                    ErrorKind::Spawn { step: (*step).to_owned(), errno: error.raw_os_error() }
                }
                other => ErrorKind::Spawn { step: other.to_string(), errno: None },
            };
            (Ending::Failed, Error::of(kind, text).at(&actor))
        }
    };
    here.tell(&Event::Ended { actor, start_time: 0, status: WireStatus::Unknown, ending });
    error
}

/// How far an actor has come, for those who wait for it.
struct Up {
    pid: Cell<u32>,
    ready: Flag,
    /// Ready, or ended without having been.
    decided: Flag,
}

/// However the actor's task goes, whoever waits for its readiness hears of it.
struct DecidedOnDrop(Rc<Up>);

impl Drop for DecidedOnDrop {
    fn drop(&mut self) {
        self.0.decided.set();
    }
}

/// A running actor, as its parent holds it. Dropping it leaves the actor running.
#[must_use = "the value of an actor nobody waits for goes nowhere; its errors still go to the nursery"]
pub struct ActorHandle<T> {
    /// `None` if the nursery had ended.
    task: RefCell<Option<TaskHandle<Option<T>>>>,
    up: Rc<Up>,
    scope: ScopeHandle,
    epoch: u64,
}

impl<T> ActorHandle<T> {
    fn fresh(&self) -> Result<(), Error> {
        if self.epoch == low_level::epoch() {
            return Ok(());
        }
        Err(Error::of(
            ErrorKind::StaleHandle,
            format!(
                "this handle belongs to an ancestor of process {}: a forked child cannot use it",
                std::process::id()
            ),
        ))
    }

    /// The value, or why there is none.
    async fn ended(&self) -> Result<T, Error> {
        let value = poll_fn(|cx| match &mut *self.task.borrow_mut() {
            Some(task) => Pin::new(task).poll(cx).map(|r| r.map_err(Error::from)),
            None => Poll::Ready(Err(Error::msg("the nursery of this actor had ended: it was not started"))),
        })
        .await?;
        value.ok_or_else(|| Error::msg("the actor was cancelled by its handle"))
    }

    /// Waits until the actor is up; gives its process id.
    ///
    /// # Cancellation
    ///
    /// A checkpoint always; Strict.
    ///
    /// # Errors
    ///
    /// A cancellation if it ended before it was ready (its error goes to the nursery), or if the scope around the call
    /// is cancelled. `StaleHandle` in a forked child.
    pub async fn ready(&self) -> Result<u32, Error> {
        self.fresh()?;
        self.up.decided.wait().await?;
        if !self.up.ready.is_set() {
            let Err(e) = self.ended().await else {
                unreachable!("an actor that was never ready has no value")
            };
            return Err(e);
        }
        Ok(self.up.pid.get())
    }

    /// Waits for the actor's end and takes its value.
    ///
    /// # Cancellation
    ///
    /// A checkpoint always; Strict.
    ///
    /// # Errors
    ///
    /// A cancellation if it failed (its error goes to the nursery), or if the scope around the call is cancelled; an
    /// error that says so if [`cancel`](ActorHandle::cancel) ended it. `StaleHandle` in a forked child.
    pub async fn result(self) -> Result<T, Error> {
        self.fresh()?;
        self.ended().await
    }

    /// Cancels this actor alone, and all below it. Its end is then no failure.
    pub fn cancel(&self) {
        if self.fresh().is_ok() {
            self.scope.cancel();
        }
    }
}

impl<T> fmt::Debug for ActorHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ActorHandle").field("pid", &self.up.pid.get()).finish()
    }
}
