//! An actor as its parent holds it: how far it has come, its value, its end.
//!
//! ```text
//!   launch.rs ─ Up { pid, line, ready } ─► ActorHandle ─ ready, result, cancel      Unclaimed: one that nobody holds yet
//! ```
//!
//! Rules: a handle that is dropped leaves its actor running; one that was never handed out cancels it.

use crate::actor::ActorId;
use crate::error::{Error, ErrorKind};
use crate::line::Line;
use pleach_executor::sync::Event as Flag;
use pleach_executor::{Cancelled, ScopeHandle, TaskHandle, low_level, stats};
use pleach_ipc::proto::WireCause;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::{Future, IntoFuture, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;

/// How far an actor has come, for those who wait for it.
#[derive(Default)]
pub(crate) struct Up {
    pub(crate) pid: Cell<u32>,
    /// Its line, once there is a process, and who that is.
    pub(crate) line: RefCell<Option<(Rc<Line>, ActorId)>>,
    pub(crate) ready: Flag,
    /// Ready, or ended without having been.
    pub(crate) decided: Flag,
    /// It is not to be asked, but killed.
    pub(crate) kill: Flag,
    /// Whom else to tell that it is up.
    hears: Option<Box<dyn Fn()>>,
}

impl Up {
    /// One whose readiness `hears` is told.
    pub(crate) fn hearing(hears: impl Fn() + 'static) -> Rc<Self> {
        Rc::new(Up { hears: Some(Box::new(hears)), ..Up::default() })
    }

    pub(crate) fn is_ready(&self) {
        self.ready.set();
        self.decided.set();
        if let Some(hears) = &self.hears {
            hears();
        }
    }

    pub(crate) fn told_on_drop(self: &Rc<Self>) -> DecidedOnDrop {
        DecidedOnDrop(Rc::clone(self))
    }
}

/// However the actor's task goes, whoever waits for its readiness hears of it.
pub(crate) struct DecidedOnDrop(Rc<Up>);

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
pub(crate) struct Unclaimed(pub(crate) Option<ActorHandle<()>>);

impl Unclaimed {
    /// Waits until it is up.
    pub(crate) async fn claim(mut self) -> Result<(ActorHandle<()>, Rc<Line>, ActorId), Error> {
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
pub(crate) enum End<T> {
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
    /// Of an actor whose life is this task.
    pub(crate) fn of(task: Option<TaskHandle<End<T>>>, up: Rc<Up>, scope: ScopeHandle) -> Self {
        let task = RefCell::new(task);
        ActorHandle { task, up, scope, epoch: low_level::epoch(), maker: std::process::id() }
    }

    /// Of one whose end is its supervisor's business.
    pub(crate) fn kept(up: Rc<Up>, scope: ScopeHandle) -> Self {
        ActorHandle::of(None, up, scope)
    }

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

    /// Kills this actor, by SIGKILL and at once, also if it was cancelled before and has time left. Its end is then no
    /// failure. What is below it is not asked either: it ends as orphans do.
    ///
    /// # Panics
    ///
    /// In another run than its own.
    #[track_caller]
    pub fn kill(&self) {
        if self.fresh().is_ok() {
            self.up.kill.set();
            self.scope.cancel();
        }
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
