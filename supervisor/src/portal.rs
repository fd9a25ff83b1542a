//! A handle to call into an actor of one's own.
//!
//! ```text
//!   portal.call(E, a) ─ Call ─► actor ─ CallReturned │ CallFailed ─► Ok(r) │ Err(e)
//!        └─ cancelled ─ CallCancel ─► actor ─ CallCancelled ─► Err(Cancelled)
//!        └─ dropped ── CallCancel ─► actor; its value goes nowhere, its error to who observes the tree
//! ```
//!
//! Rules:
//! * A cancelled call waits until the actor has stopped what it was doing for it: a call is over when it returns. For
//!   that it has the actor's cancel limit.
//! * The failure of a call is its caller's, and leaves the actor alive. The death of the actor is its nursery's.

use crate::actor::{Actor, ActorId};
use crate::endpoint::Endpoint;
use crate::error::{Error, ErrorKind};
use crate::handle::ActorHandle;
use crate::line::{Answer, Death, Line};
use crate::wire;
use pleach_executor::{Cancelled, check, low_level, move_on_after, shielded, sleep};
use pleach_ipc::proto::{EncodeError, Message, Payload, Why, WireCause};
use pleach_ipc::{ChannelError, codec};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::cell::Cell;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

/// An actor that serves endpoints, as its parent holds it. Clones are the same portal; dropping all of them leaves the
/// actor running, until its nursery is cancelled.
///
/// ```no_run
/// use pleach::{Endpoint, Program, actors};
/// const DOUBLE: Endpoint<u64, u64> = Endpoint::new("double");
/// fn main() -> std::process::ExitCode {
///     Program::new("doubles").endpoint(DOUBLE, async |_context, n| Ok(2 * n)).run(async |_root| {
///         actors(async |an| {
///             let worker = an.spawn("worker").await?;
///             for n in 0..10 {
///                 assert_eq!(worker.call(DOUBLE, n).await?, 2 * n);
///             }
///             an.cancel();
///             Ok(())
///         })
///         .await
///     })
/// }
/// ```
#[derive(Clone)]
pub struct Portal {
    handle: Rc<ActorHandle<()>>,
    line: Rc<Line>,
    id: ActorId,
    caller: Actor,
}

impl Portal {
    pub(crate) fn new(handle: ActorHandle<()>, line: Rc<Line>, id: ActorId, caller: Actor) -> Self {
        Portal { handle: Rc::new(handle), line, id, caller }
    }

    /// Which actor it is.
    #[must_use]
    pub fn id(&self) -> &ActorId {
        &self.id
    }

    /// Runs an endpoint in the actor, and gives what it returns. Any number of calls may be under way at once.
    ///
    /// # Cancellation
    ///
    /// A checkpoint always. Cancelled, it has the endpoint cancelled at the actor and waits until it has ended, at most
    /// the cancel limit of the [`Config`](crate::Config) that it was started with; a value or an error that comes meanwhile is returned.
    /// **Lossy** after that limit and if it is dropped: a value goes nowhere, and an error is told to observers
    /// ([`Event::Note`](crate::Event::Note)).
    ///
    /// # Errors
    ///
    /// The endpoint's error or panic, with the actor as its origin; `NoEndpoint` if it serves none of that name; a
    /// cancellation if the actor failed meanwhile (its error goes to the nursery), or if the scope around the call is
    /// cancelled; `Gone` if the actor ended otherwise; `Protocol` if the argument is too large; `Decode` if
    /// argument or value are of another type at the other end; `StaleHandle` in a forked child.
    pub async fn call<A, R>(&self, endpoint: Endpoint<A, R>, args: A) -> Result<R, Error>
    where
        A: Serialize,
        R: DeserializeOwned,
    {
        self.call_encoded(endpoint, codec::encode(&args).map_err(Error::new)?).await
    }

    /// The same with an argument that is bytes already.
    pub(crate) async fn call_encoded<A, R: DeserializeOwned>(
        &self,
        endpoint: Endpoint<A, R>,
        args: Vec<u8>,
    ) -> Result<R, Error> {
        self.handle.fresh()?;
        check()?;
        let value = self.ask(endpoint.name(), args).await?;
        codec::decode(&value).map_err(|e| Error::decode(endpoint.name(), Payload::Value, &e))
    }

    /// [`call`](Portal::call) with a limit of time, after which it is over here: the actor is told to stop, and not waited
    /// for. What comes of it later is dropped, and counted ([`PortalStatistics::late_answers`]).
    ///
    /// With [`fail_after`](crate::fail_after) around `call` instead, the call also waits until the actor has stopped.
    ///
    /// # Cancellation
    ///
    /// As [`call`](Portal::call).
    ///
    /// # Errors
    ///
    /// `TooSlow` after the limit; otherwise those of [`call`](Portal::call).
    pub async fn call_within<A, R>(
        &self,
        limit: Duration,
        endpoint: Endpoint<A, R>,
        args: A,
    ) -> Result<R, Error>
    where
        A: Serialize,
        R: DeserializeOwned,
    {
        let mut call = pin!(self.call(endpoint, args));
        // A cancellation is the call's to deal with, and has no more time than the call.
        let mut time = pin!(shielded(async |_| sleep(limit).await));
        let answer = poll_fn(|cx| match call.as_mut().poll(cx) {
            Poll::Ready(answer) => Poll::Ready(Some(answer)),
            Poll::Pending => time.as_mut().poll(cx).map(|_over: Result<(), Cancelled>| None),
        });
        answer.await.unwrap_or_else(|| {
            let text = format!("{} did not answer {} within {limit:?}", self.id, endpoint.name());
            Err(Error::of(ErrorKind::TooSlow, text))
        })
    }

    async fn ask(&self, endpoint: &str, args: Vec<u8>) -> Result<Vec<u8>, Error> {
        if self.line.limits.dialogs == 0 {
            let text = format!("{} may not be called: it was started with `Config::dialogs(0)`", self.id);
            return Err(Error::of(ErrorKind::Protocol, text));
        }
        if self.line.open_calls() >= self.line.limits.dialogs as usize {
            let text =
                format!("{} calls to {} are open: wait for some of them", self.line.open_calls(), self.id);
            return Err(Error::of(ErrorKind::Protocol, text));
        }
        let dialog = Dialog { portal: self, number: self.line.open(), asked: Cell::new(Asked::Not) };
        let call = Message::Call { dialog: dialog.number, endpoint: endpoint.to_owned(), args };
        loop {
            match self.line.channel.try_send_now(&call) {
                Ok(_) => {
                    dialog.asked.set(Asked::ToDo);
                    break;
                }
                Err(ChannelError::Encode(EncodeError::Full { .. })) => {
                    if let Err(ChannelError::Cancelled(c)) = self.line.channel.flush().await {
                        return Err(c.into());
                    }
                }
                Err(ChannelError::Encode(e)) => {
                    let text = format!("the argument of {endpoint} does not fit a message: {e}");
                    return Err(Error::of(ErrorKind::Protocol, text));
                }
                // The actor is ending: how, its watch finds out.
                Err(_) => break,
            }
        }
        match dialog.answered().await {
            Ok(answer) => dialog.outcome(answer).await,
            Err(c) => dialog.give_up(c).await,
        }
    }

    /// Cancels the actor, and all below it. Its end is then no failure; its calls end with `Gone`.
    ///
    /// # Panics
    ///
    /// In another run than its own.
    #[track_caller]
    pub fn cancel(&self) {
        self.handle.cancel();
    }

    /// Kills the actor, by SIGKILL and at once, also if it was cancelled before and has time left. Its end is then no failure;
    /// what is below it ends as orphans do, and its calls with `Gone`.
    ///
    /// # Panics
    ///
    /// In another run than its own.
    #[track_caller]
    pub fn kill(&self) {
        self.handle.kill();
    }

    /// Waits until the actor has ended, and says how. Whoever does this does not share its fate: what its failure does to
    /// others is decided by its nursery.
    ///
    /// # Cancellation
    ///
    /// A checkpoint always; Strict.
    ///
    /// # Errors
    ///
    /// A cancellation if the scope around the call is cancelled: in the actor's own nursery that is what its failure does.
    /// `StaleHandle` in a forked child.
    pub async fn watch(&self) -> Result<Death, Error> {
        self.ended().await?;
        Ok(self.line.death())
    }

    /// Waits until the actor has ended.
    ///
    /// # Cancellation
    ///
    /// A checkpoint always; Strict.
    ///
    /// # Errors
    ///
    /// A cancellation if the scope around the call is cancelled. `StaleHandle` in a forked child.
    pub async fn ended(&self) -> Result<(), Error> {
        self.handle.fresh()?;
        self.line.ended.wait().await?;
        Ok(())
    }

    /// Calls that are under way, and answers that came when nobody waited for them any more.
    #[must_use]
    pub fn statistics(&self) -> PortalStatistics {
        PortalStatistics { open_calls: self.line.open_calls(), late_answers: self.line.late_answers() }
    }
}

/// What a [`Portal`] counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PortalStatistics {
    /// Calls that the actor has not ended, also those that nobody waits for any more.
    pub open_calls: usize,
    /// Answers that came after their call had been dropped or given up.
    pub late_answers: u64,
}

impl fmt::Debug for Portal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Portal").field("id", &self.id).field("statistics", &self.statistics()).finish()
    }
}

/// One call under way. Dropped before its answer came, it has the actor stop.
struct Dialog<'a> {
    portal: &'a Portal,
    number: u64,
    asked: Cell<Asked>,
}

/// What the actor has been asked for in a dialog.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    /// Nothing yet.
    Not,
    ToDo,
    ToStop,
}

impl Dialog<'_> {
    /// Waits for the answer; `None` if the actor has ended without one.
    async fn answered(&self) -> Result<Option<Answer>, Cancelled> {
        let mut ended = pin!(self.portal.line.ended.wait());
        poll_fn(|cx| {
            if let Some(answer) = self.portal.line.take_answer(self.number, cx.waker()) {
                return Poll::Ready(Ok(Some(answer)));
            }
            ended.as_mut().poll(cx).map_ok(|()| None)
        })
        .await
    }

    async fn outcome(&self, answer: Option<Answer>) -> Result<Vec<u8>, Error> {
        match answer {
            Some(Answer::Returned(value)) => Ok(value),
            Some(Answer::Failed(e)) => Err(e),
            Some(Answer::Cancelled) => {
                let text = format!("{} has stopped a call that nobody had cancelled", self.portal.id);
                Err(Error::of(ErrorKind::Protocol, text))
            }
            None => {
                // If it has failed, its nursery is cancelled by now, and so is this call if it stands inside.
                if let Err(c) = self.portal.handle.failed().await {
                    check()?;
                    low_level::absorb(c);
                }
                let text = format!("{} has ended: it answers no more", self.portal.id);
                Err(Error::of(ErrorKind::Gone, text))
            }
        }
    }

    fn tell_to_stop(&self, cause: WireCause) {
        if self.asked.get() == Asked::ToDo && !self.portal.line.ended.is_set() {
            self.asked.set(Asked::ToStop);
            self.portal.line.say(Message::CallCancel { dialog: self.number, cause });
        }
    }

    /// The scope around the call is cancelled: so is what the actor does for it, and it is awaited.
    async fn give_up(&self, c: Cancelled) -> Result<Vec<u8>, Error> {
        let cause = wire::cause_of(c.reason(), self.portal.caller.id().path());
        self.tell_to_stop(cause);
        let limit = self.portal.line.cancel_limit;
        let answer: Result<Option<Option<Answer>>, Cancelled> =
            shielded(async |_| move_on_after(limit, async |_| self.answered().await).await).await;
        match answer {
            Ok(Some(Some(Answer::Returned(value)))) => {
                low_level::absorb(c);
                Ok(value)
            }
            Ok(Some(Some(Answer::Failed(e)))) => {
                low_level::absorb(c);
                Err(e)
            }
            // Stopped as asked, ended, or given up.
            Ok(_) => Err(c.into()),
            Err(again) => {
                low_level::absorb(again);
                Err(c.into())
            }
        }
    }
}

impl Drop for Dialog<'_> {
    fn drop(&mut self) {
        if self.asked.get() == Asked::Not {
            self.portal.line.forget(self.number);
        } else if self.portal.line.close(self.number) && self.portal.handle.fresh().is_ok() {
            let by = self.portal.caller.id().path().to_owned();
            self.tell_to_stop(WireCause { by, why: Why::Requested });
        }
    }
}
