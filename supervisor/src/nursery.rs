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

use crate::actor::here::{Here, here};
use crate::actor::siblings::Siblings;
use crate::actor::{Actor, ActorId};
use crate::config::Config;
use crate::endpoint::Endpoint;
use crate::error::{Error, ErrorKind};
use crate::launch::{First, Forkable, Lift, Order};
use crate::line::Line;
use crate::portal::Portal;
use crate::start::Start;
use crate::wire;
use pleach_executor::sync::Event as Flag;
use pleach_executor::{
    CancelScope, Cancelled, NurseryHandle, ScopeHandle, TaskHandle, low_level, nursery, stats,
};
use pleach_ipc::codec;
use pleach_ipc::proto::{Backend as Made, Payload, Role, WireCause};
use pleach_spawn::{Forked, Grants, SpawnError};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::{Future, IntoFuture, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;

/// An open nursery of actors: what the body of [`actors`] gets.
pub struct ActorNursery {
    tasks: NurseryHandle<Error>,
    here: Rc<Here>,
    siblings: Rc<Siblings>,
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
        let an = ActorNursery { tasks: n.handle(), here, siblings: Rc::default(), config };
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
        let first = First::new(endpoint.name(), &args, &start.config.unwrap_or(self.config).limits);
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
            here: Rc::clone(&self.here),
            siblings: Rc::clone(&self.siblings),
            config: start.config.unwrap_or(self.config),
            role,
            start,
            up: Rc::clone(&up),
            own: scope.clone(),
        };
        let told = DecidedOnDrop(Rc::clone(&up));
        let here = Rc::clone(&self.here);
        let endpoint = first.as_ref().and_then(|first| Some(first.as_ref().ok()?.endpoint())).unwrap_or("");
        let task = self.tasks.task(async move {
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
        let task = RefCell::new(task.ok());
        ActorHandle { task, up, scope, epoch: low_level::epoch(), maker: std::process::id() }
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

/// How far an actor has come, for those who wait for it.
#[derive(Default)]
pub(crate) struct Up {
    pub(crate) pid: Cell<u32>,
    /// Its line, once there is a process, and who that is.
    pub(crate) line: RefCell<Option<(Rc<Line>, ActorId)>>,
    pub(crate) ready: Flag,
    /// Ready, or ended without having been.
    pub(crate) decided: Flag,
}

/// However the actor's task goes, whoever waits for its readiness hears of it.
struct DecidedOnDrop(Rc<Up>);

impl Drop for DecidedOnDrop {
    fn drop(&mut self) {
        self.0.decided.set();
        let line = self.0.line.borrow().as_ref().map(|(line, _)| Rc::clone(line));
        if let Some(line) = line {
            line.ended.set();
        }
    }
}

/// An actor that nobody has a handle to yet, and nobody would ever cancel: dropped, it does so.
struct Unclaimed(Option<ActorHandle<()>>);

impl Unclaimed {
    /// Waits until it is up.
    async fn claim(mut self) -> Result<(ActorHandle<()>, Rc<Line>, ActorId), Error> {
        let handle = self.0.as_ref().expect("claimed once, here");
        handle.ready().await?;
        let Some((line, id)) = handle.up.line.borrow().clone() else {
            unreachable!("an actor that is up has a line")
        };
        let handle = self.0.take().expect("looked at just now");
        Ok((handle, line, id))
    }
}

impl Drop for Unclaimed {
    fn drop(&mut self) {
        // Outside of the run, which is over then, there is no scope any more.
        if let Some(handle) = &self.0
            && stats().scopes > 0
        {
            handle.cancel();
        }
    }
}

/// How an actor has ended that did not fail.
enum End<T> {
    Value(T),
    /// By its handle.
    Cancelled(WireCause),
}

/// A running actor, as its parent holds it. Dropping it leaves the actor running.
#[must_use = "the value of an actor nobody waits for goes nowhere; its errors still go to the nursery"]
pub struct ActorHandle<T> {
    /// `None` if the nursery had ended.
    task: RefCell<Option<TaskHandle<End<T>>>>,
    up: Rc<Up>,
    scope: ScopeHandle,
    epoch: u64,
    /// The process that made it.
    maker: u32,
}

impl<T> ActorHandle<T> {
    pub(crate) fn fresh(&self) -> Result<(), Error> {
        if self.epoch == low_level::epoch() {
            return Ok(());
        }
        Err(Error::of(
            ErrorKind::StaleHandle,
            format!(
                "this handle belongs to process {}, an ancestor of process {}: a forked child cannot use it",
                self.maker,
                std::process::id()
            ),
        ))
    }

    /// The value, or why there is none.
    async fn ended(&self) -> Result<T, Error> {
        let value = poll_fn(|cx| match &mut *self.task.borrow_mut() {
            Some(task) => Pin::new(task).poll(cx).map(|r| r.map_err(Error::from)),
            None => {
                let text = "the nursery of this actor had ended: it was not started";
                Poll::Ready(Err(Error::of(ErrorKind::NotStarted, text)))
            }
        })
        .await?;
        match value {
            End::Value(value) => Ok(value),
            End::Cancelled(cause) => Err(Error::cancelled(cause, "the actor was cancelled by its handle")),
        }
    }

    /// The signal of the nursery's failure, if the actor has ended because of one; nothing if it ended otherwise.
    pub(crate) async fn failed(&self) -> Result<(), Cancelled> {
        poll_fn(|cx| {
            let mut slot = self.task.borrow_mut();
            let ended = match &mut *slot {
                Some(task) => Pin::new(task).poll(cx).map_ok(drop),
                None => Poll::Ready(Ok(())),
            };
            if let Poll::Ready(Ok(())) = ended {
                // A value can be taken once, and this is asked again and again.
                *slot = None;
            }
            ended
        })
        .await
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
            self.ended().await?;
            return Err(Error::of(ErrorKind::Protocol, "it ended with a value before it was ready"));
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
    /// A cancellation if it failed (its error goes to the nursery), or if the scope around the call is cancelled.
    /// `Cancelled` with its cause if [`cancel`](ActorHandle::cancel) ended it; that is no signal of a cancellation under way
    /// ([`Error::reason`] has none). `NotStarted` if its nursery had ended before it was asked for. `StaleHandle` in a forked
    /// child.
    pub async fn result(self) -> Result<T, Error> {
        self.fresh()?;
        self.ended().await
    }

    /// Cancels this actor alone, and all below it. Its end is then no failure.
    ///
    /// # Panics
    ///
    /// In another run than its own.
    #[track_caller]
    pub fn cancel(&self) {
        if self.fresh().is_ok() {
            self.scope.cancel();
        }
    }
}

/// Awaiting the handle is [`result`](ActorHandle::result).
impl<T: 'static> IntoFuture for ActorHandle<T> {
    type Output = Result<T, Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Result<T, Error>>>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.result())
    }
}

impl<T> fmt::Debug for ActorHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ActorHandle").field("pid", &self.up.pid.get()).finish()
    }
}
