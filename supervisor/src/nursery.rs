//! A nursery whose children are processes.
//!
//! ```text
//!   actors(async |an| …) ─► executor's nursery ─┬─ body
//!     an.fork(start, grants, closure) ──────────┼─ launch.rs ─► watch (static task): boot, run, reap ─► value to the handle
//!     an.call(ENDPOINT, args) ──────────────────┤                                                └► error to the nursery
//!     an.spawn(start) ─► Portal ────────────────┘
//! ```
//!
//! Rules:
//! * One cancels all: the first actor that fails cancels the others, which are awaited and reaped; then one failure
//!   comes out as itself, several as a group.
//! * An error goes to the nursery, once. The handle of an actor that failed says `Cancelled(SiblingFailed)`.

use crate::actor::here::here;
use crate::actor::{Actor, Incarnation};
use crate::config::Config;
use crate::endpoint::Endpoint;
use crate::error::Error;
use crate::handle::{ActorHandle, End, Unclaimed, Up};
use crate::launch::{First, Forkable, Lift, Order};
use crate::portal::Portal;
use crate::start::Start;
use crate::supervise::{Keeper, Means, Strategy, Supervision};
use crate::wire;
use pleach_executor::{CancelScope, nursery};
use pleach_ipc::codec;
use pleach_ipc::proto::{Backend as Made, Payload, Role};
use pleach_spawn::{Forked, Grants, SpawnError};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::cell::OnceCell;
use std::fmt;
use std::rc::Rc;

/// An open nursery of actors: what the body of [`actors`] gets.
pub struct ActorNursery {
    means: Means,
    supervision: Supervision,
    /// There once a child is to be supervised.
    keeper: OnceCell<Rc<Keeper>>,
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
/// The failures of body and actors: one as itself, several as [`ErrorKind::Group`](crate::ErrorKind::Group).
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
    open(config, Supervision::new(Strategy::OneCancelsAll), body).await
}

/// Opens a nursery of actors whose children are started again when they end: those that are added by
/// [`ActorNursery::child`]. All others are as in [`actors`]: the first of them that fails cancels all.
///
/// # Cancellation
///
/// As [`actors`].
///
/// # Errors
///
/// As [`actors`]; of the children that are supervised only `TooManyRestarts`, with their last errors as its members, and
/// what fails while the nursery is being cancelled.
///
/// # Panics
///
/// As [`actors`].
///
/// ```no_run
/// use pleach::{Child, Error, Restart, Strategy, Supervision, run, supervised};
/// let how = Supervision::new(Strategy::OneForOne);
/// let r: Result<(), Error> = run(supervised(how, async |an| {
///     let code = async |_actor, ()| Ok(());
///     let _worker = an.child(Child::fork("worker", || Ok(()), code).restart(Restart::Transient))?;
///     Ok(())
/// }));
/// r.unwrap();
/// ```
pub async fn supervised<T>(
    supervision: Supervision,
    body: impl AsyncFnOnce(&ActorNursery) -> Result<T, Error>,
) -> Result<T, Error> {
    let config = here().config;
    open(config, supervision, body).await
}

/// [`supervised`] with other limits.
///
/// # Cancellation
///
/// As [`actors`].
///
/// # Errors
///
/// As [`supervised`].
///
/// # Panics
///
/// As [`actors`].
pub async fn supervised_with<T>(
    config: Config,
    supervision: Supervision,
    body: impl AsyncFnOnce(&ActorNursery) -> Result<T, Error>,
) -> Result<T, Error> {
    open(config, supervision, body).await
}

async fn open<T>(
    config: Config,
    supervision: Supervision,
    body: impl AsyncFnOnce(&ActorNursery) -> Result<T, Error>,
) -> Result<T, Error> {
    let here = here();
    nursery(async |n| {
        let means = Means { tasks: n.handle(), here, siblings: Rc::default(), config };
        let an = ActorNursery { means, supervision, keeper: OnceCell::new() };
        body(&an).await
    })
    .await
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
    /// A lock that a suspended task of this process holds across an await is locked in the child for ever, because that
    /// task does not live there. What `print!` has left in this process' buffer is written before the fork, and what the
    /// child leaves in its own is written when it ends.
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
        let born_with = Forkable { grants, code };
        self.launch(start, Role::Closure, None, async move |lift: Lift| lift.fork_closure(born_with).await)
    }

    /// Runs one endpoint in an actor of its own, which ends with it. Named after the endpoint.
    ///
    /// Returns at once; awaiting the handle waits for the value.
    ///
    /// ```no_run
    /// use pleach::{Endpoint, Program, actors};
    /// use std::ops::Range;
    /// const SUM: Endpoint<Range<u64>, u64> = Endpoint::new("sum");
    /// fn main() -> std::process::ExitCode {
    ///     Program::new("sums").endpoint(SUM, async |_, r: Range<u64>| Ok(r.sum())).run(async |_root| {
    ///         let total = actors(async |an| {
    ///             let (low, high) = (an.call(SUM, 0..50), an.call(SUM, 50..100));
    ///             Ok(low.await? + high.await?)
    ///         });
    ///         assert_eq!(total.await?, 4950);
    ///         Ok(())
    ///     })
    /// }
    /// ```
    pub fn call<A, R>(&self, endpoint: Endpoint<A, R>, args: A) -> ActorHandle<R>
    where
        A: Serialize,
        R: DeserializeOwned + 'static,
    {
        self.call_with(Start::new(endpoint.name()), endpoint, args)
    }

    /// [`call`](ActorNursery::call) in an actor that is started as `start` says.
    pub fn call_with<A, R>(
        &self,
        start: impl Into<Start>,
        endpoint: Endpoint<A, R>,
        args: A,
    ) -> ActorHandle<R>
    where
        A: Serialize,
        R: DeserializeOwned + 'static,
    {
        let start = start.into();
        let first = First::new(endpoint.name(), &args, &start.config.unwrap_or(self.means.config).limits);
        self.launch(start, Role::Once, Some(first), Lift::endpoints)
    }

    /// Starts an actor that serves the endpoints of its [`Program`](crate::Program), and waits until it is up. It lives
    /// until it is cancelled: by its portal, or with this nursery.
    ///
    /// # Cancellation
    ///
    /// A checkpoint always; Strict: cancelled or dropped, there is no portal, and the actor is cancelled with it. The
    /// nursery awaits its end.
    ///
    /// # Errors
    ///
    /// A cancellation if it ended before it was up (its error goes to the nursery), or if the scope around the call is
    /// cancelled.
    pub async fn spawn(&self, start: impl Into<Start>) -> Result<Portal, Error> {
        let unclaimed = Unclaimed(Some(self.launch(start.into(), Role::Serve, None, Lift::endpoints)));
        let (handle, line, id) = unclaimed.claim().await?;
        Ok(Portal::new(handle, line, id, self.actor()))
    }

    /// Starts a process by `lift`, and watches over it in a task of this nursery.
    fn launch<T: DeserializeOwned + 'static>(
        &self,
        start: Start,
        role: Role,
        first: Option<Result<First, Error>>,
        lift: impl AsyncFnOnce(Lift) -> Result<(Forked, Made), SpawnError> + 'static,
    ) -> ActorHandle<T> {
        let up = Rc::new(Up::default());
        // Made here, so that a cancel by the handle counts from the first moment on.
        let own = CancelScope::new();
        let scope = own.handle();
        let order = Order {
            here: Rc::clone(&self.means.here),
            siblings: Rc::clone(&self.means.siblings),
            config: start.config.unwrap_or(self.means.config),
            role,
            start,
            up: Rc::clone(&up),
            own: scope.clone(),
            incarnation: Incarnation::FIRST,
            stop: None,
        };
        let told = up.told_on_drop();
        let here = Rc::clone(&self.means.here);
        let endpoint = first.as_ref().and_then(|first| Some(first.as_ref().ok()?.endpoint())).unwrap_or("");
        let task = self.means.tasks.task(async move {
            let _told = told;
            let mut why = None;
            let ended = own.run(async |own| {
                let ended = order.carry_out(first.transpose()?, lift).await;
                why = own.reason().map(|reason| wire::cause_of(&reason, here.id.path()));
                ended
            });
            match ended.await? {
                Some(Some(bytes)) => {
                    let value = codec::decode(&bytes);
                    value.map(End::Value).map_err(|e| Error::decode(endpoint, Payload::Value, &e))
                }
                _ => Ok(End::Cancelled(why.unwrap_or_else(|| wire::requested(here.id.path())))),
            }
        });
        // A nursery that has ended takes no more: only code that outlives it sees that, and the handle says so.
        ActorHandle::of(task.ok(), up, scope)
    }

    /// Cancels the actors, not the body. Nothing is started in it any more.
    pub fn cancel(&self) {
        self.means.tasks.cancel();
    }

    /// Who supervises its children.
    pub(crate) fn keeper(&self) -> &Rc<Keeper> {
        self.keeper.get_or_init(|| Keeper::new(self.means.clone(), self.supervision))
    }

    /// The actor this nursery belongs to.
    #[must_use]
    pub fn actor(&self) -> Actor {
        Actor(Rc::clone(&self.means.here))
    }
}

impl fmt::Debug for ActorNursery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ActorNursery")
            .field("actor", &self.means.here.id)
            .field("tasks", &self.means.tasks)
            .finish_non_exhaustive()
    }
}
