//! A child's life as its parent sees it: one loop over messages, the link's end, the process' end, time and cancel.
//!
//! ```text
//!   fork ─► Prelude ─Hello/Spec─► Helloed ─Ready─► Running ─last message─► Closing ─► link ended and exited ─► reap
//!             │                      │                │                       │              │
//!             └── cancel, time, lost link: the ladder (teardown.rs) ──────────┘              └► verdict.rs
//! ```
//!
//! Rules:
//! * The pidfd says *dead*, the end of the link says *no more messages*; concluded is on both. A dead child's link
//!   is drained first, so a result sent right before the exit counts.
//! * From the first rung of the ladder on the loop is shielded: it ends because the process ends.
//! * A link that takes no more is no news: what the child had said before it went is still to be read. Only the end of
//!   the receiving side is the end of the link.
//! * The loop routes. It never awaits a full queue or a handler.

use super::event::{Ending, Event};
use super::here::Here;
use super::id::ActorId;
use super::verdict::{Final, Seen, Stopped, Verdict, decide};
use crate::config::Config;
use crate::error::Error;
use crate::teardown::{Action, DYING, Ladder, Rung, hand_down};
use crate::wire;
use pleach_executor::{CancelScope, Cancelled, Instant, Reason, ScopeHandle, check, now, sleep_until};
use pleach_ipc::proto::{
    Backend, BootPhase, Expected, LastWords, Ledger, Limits, Message, ParentBoot, ParentStep, ProtocolError,
    Spec, Why, WireCause,
};
use pleach_ipc::{Channel, ChannelError, DrainEnd};
use pleach_spawn::{Process, Signal};
use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

/// What the nursery of a child shares among its children.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    /// The one deadline of the cancellation under way.
    deadline: Cell<Option<Instant>>,
    /// Who failed first, and what it said: what the others are told.
    first_failure: RefCell<Option<(String, String)>>,
}

impl Shared {
    /// By when the children are to be gone: one moment for all of them, once the nursery is cancelled.
    fn deadline(&self, here: &Here, now: Instant, config: &Config) -> Instant {
        if let Some(at) = self.deadline.get() {
            return at;
        }
        let at = lone_deadline(here, now, config);
        self.deadline.set(Some(at));
        at
    }

    /// The cause for a reason of this nursery: a failure is named.
    pub(crate) fn cause(&self, here: &Here, reason: &Reason) -> WireCause {
        let mut cause = wire::cause_of(reason, here.id.path());
        if let Why::SiblingFailed { origin, summary } = &mut cause.why
            && origin.is_empty()
            && let Some(first) = &*self.first_failure.borrow()
        {
            (*origin, *summary) = first.clone();
        }
        cause
    }

    fn failed(&self, who: &ActorId, e: &Error) {
        self.first_failure.borrow_mut().get_or_insert_with(|| (who.path().to_owned(), e.summary()));
    }
}

/// By when one child that is stopped alone is to be gone.
fn lone_deadline(here: &Here, now: Instant, config: &Config) -> Instant {
    match here.deadline.get() {
        Some(ours) => hand_down(now, ours),
        None => now + config.cancel,
    }
}

/// Something happened to the child.
#[expect(clippy::large_enum_variant, reason = "made and taken apart in one place, once an event")]
enum Step {
    Message(Message),
    LinkEnded(Option<ChannelError>),
    Exited,
    Time,
    Cancelled(Cancelled),
}

pub(crate) struct Watch {
    here: Rc<Here>,
    shared: Rc<Shared>,
    id: ActorId,
    start_time: u64,
    config: Config,
    process: Process,
    channel: Channel,
    ready: Rc<dyn Fn()>,
    boot: ParentBoot,
    link_open: bool,
    exited: bool,
    last: Option<Final>,
    last_words: Option<LastWords>,
    stopped: Stopped,
    ladder: Option<Ladder>,
    /// The scope of this actor alone: cancelled by its handle.
    own: ScopeHandle,
    /// When the ladder ends.
    deadline: Option<Instant>,
    /// The next moment at which something is due without any event.
    due: Option<Instant>,
}

impl Watch {
    #[expect(clippy::too_many_arguments, reason = "all that a child is made of, once")]
    pub(crate) fn new(
        here: Rc<Here>,
        shared: Rc<Shared>,
        id: ActorId,
        config: Config,
        process: Process,
        channel: Channel,
        ready: Rc<dyn Fn()>,
        own: ScopeHandle,
    ) -> Self {
        let ready_by = now() + config.boot;
        let expected = Expected { backend: Backend::Fork, pid: Some(id.pid()), build: None };
        let spec = Spec {
            path: id.path().to_owned(),
            orphan_grace_ns: wire::nanos(config.orphan_grace),
            cancel_ns: wire::nanos(config.cancel),
            boot_ns: wire::nanos(config.boot),
            ready_by_ns: Some(ready_by.as_nanos()),
            limits: Limits::default(),
            may_spawn: true,
        };
        let start_time = process.start_time().unwrap_or(0);
        here.count(|b| b.started += 1);
        here.tell(&Event::Started { actor: id.clone(), start_time });
        Watch {
            here,
            shared,
            id,
            start_time,
            config,
            process,
            channel,
            ready,
            boot: ParentBoot::new(expected, spec),
            link_open: true,
            exited: false,
            last: None,
            last_words: None,
            stopped: Stopped::No,
            ladder: None,
            own,
            deadline: None,
            due: Some(ready_by),
        }
    }

    /// What has not been said yet of the boot.
    fn booting(&self) -> Option<BootPhase> {
        self.boot.phase()
    }

    /// From the fork to the reaped process. Returns the child's value, encoded.
    pub(crate) async fn run(mut self) -> Result<Option<Vec<u8>>, Error> {
        let scope = CancelScope::new();
        let seen: Result<Option<()>, Cancelled> = scope
            .run(async |scope| {
                while !self.exited || self.link_open {
                    if self.climb_down() == Some(Action::Report) {
                        break;
                    }
                    if self.exited {
                        self.drain();
                        continue;
                    }
                    match self.next().await {
                        Step::Message(m) => self.message(m),
                        Step::LinkEnded(e) => self.link_ended(e),
                        Step::Exited => self.exited = true,
                        Step::Time => self.time(),
                        Step::Cancelled(c) => {
                            scope.set_shield(true);
                            self.cancelled(c);
                        }
                    }
                }
                Ok(())
            })
            .await;
        debug_assert!(matches!(seen, Ok(Some(()))), "nobody but the loop ends the loop");
        self.conclude()
    }

    /// Waits for the next thing to happen.
    async fn next(&self) -> Step {
        let mut message = pin!(self.channel.recv());
        let mut exit = pin!(self.process.exited());
        let mut time = pin!(sleep_until(self.due.unwrap_or(Instant::MAX)));
        poll_fn(|cx| {
            if self.link_open {
                match message.as_mut().poll(cx) {
                    Poll::Ready(Ok(Some(m))) => return Poll::Ready(Step::Message(m)),
                    Poll::Ready(Ok(None)) => return Poll::Ready(Step::LinkEnded(None)),
                    Poll::Ready(Err(ChannelError::Cancelled(c))) => return Poll::Ready(Step::Cancelled(c)),
                    Poll::Ready(Err(e)) => return Poll::Ready(Step::LinkEnded(Some(e))),
                    Poll::Pending => {}
                }
            }
            match exit.as_mut().poll(cx) {
                Poll::Ready(Ok(())) => return Poll::Ready(Step::Exited),
                Poll::Ready(Err(c)) => return Poll::Ready(Step::Cancelled(c)),
                Poll::Pending => {}
            }
            match time.as_mut().poll(cx) {
                Poll::Ready(Ok(())) => Poll::Ready(Step::Time),
                Poll::Ready(Err(c)) => Poll::Ready(Step::Cancelled(c)),
                Poll::Pending => Poll::Pending,
            }
        })
        .await
    }

    fn message(&mut self, m: Message) {
        match m {
            Message::Hello(_) | Message::Ready => self.boot_message(m),
            Message::LastWords(words) => self.last_words = Some(words),
            Message::Return { value, ledger } => self.ended(Final::Returned(value), ledger),
            Message::Failed { error, ledger } => self.ended(Final::Failed(Error::from_tree(error)), ledger),
            Message::CancelAck { ledger, .. } => self.ended(Final::Acknowledged, ledger),
            Message::Goodbye => {}
            other => {
                let name = other.name();
                match wire::event_from(other) {
                    Some(event) => self.here.tell(&event),
                    None => self.protocol_error(format!("{name} is said by parents only")),
                }
            }
        }
    }

    fn boot_message(&mut self, m: Message) {
        match self.boot.handle(m) {
            Ok(ParentStep::Greet(_, spec)) => {
                // Refused: as in `ask`.
                let _ = self.channel.try_send_now(&Message::Spec(spec));
            }
            Ok(ParentStep::Running) => {
                self.channel.open(Limits::default());
                if self.ladder.is_none() {
                    self.due = None;
                }
                (self.ready)();
            }
            Err(e) => self.protocol_error(e.to_string()),
        }
    }

    /// The last message: from now on the process has the time of a cancel to go.
    fn ended(&mut self, last: Final, ledger: Ledger) {
        self.here.count(|books| books.add(ledger));
        self.last = Some(last);
        if self.ladder.is_none() {
            let now = now();
            let mut ladder = Ladder::new(now, now + self.config.cancel, self.config.unkillable);
            ladder.asked(now);
            self.ladder = Some(ladder);
        }
    }

    fn protocol_error(&mut self, text: String) {
        self.stop(Stopped::Protocol(text));
        self.lose_link();
    }

    fn link_ended(&mut self, e: Option<ChannelError>) {
        self.link_open = false;
        match e {
            // It died in the middle of a message: an end like any other.
            Some(ChannelError::Protocol(ProtocolError::Truncated { .. })) => {}
            Some(ChannelError::Protocol(e)) => return self.protocol_error(e.to_string()),
            _ if self.exited || self.last.is_some() => return,
            _ => {}
        }
        if self.booting().is_some() && self.ladder.is_none() {
            self.due = Some(now() + DYING);
            return;
        }
        self.stop(Stopped::ChannelLost);
        self.lose_link();
    }

    fn lose_link(&mut self) {
        if let Some(ladder) = &mut self.ladder {
            ladder.link_lost(now());
        }
    }

    fn time(&mut self) {
        // Of the ladder's times `climb_down` takes care; without a ladder it is the boot that took too long.
        if self.ladder.is_none() {
            if self.link_open {
                self.stop(Stopped::BootTimeout);
            } else {
                self.stop(Stopped::ChannelLost);
                self.lose_link();
            }
        }
    }

    fn cancelled(&mut self, c: Cancelled) {
        let cause = self.shared.cause(&self.here, c.reason());
        // The level reports it again when the loop is over.
        pleach_executor::low_level::absorb(c);
        if self.last.is_none() {
            self.stop(Stopped::Cancelled(cause));
        }
    }

    /// Begins the ladder, unless it has begun.
    fn stop(&mut self, why: Stopped) {
        if self.stopped == Stopped::No {
            self.stopped = why;
        }
        if self.ladder.is_none() {
            let now = now();
            let of_nursery = matches!(self.stopped, Stopped::Cancelled(_)) && !self.own.cancel_called();
            let deadline = if of_nursery {
                self.shared.deadline(&self.here, now, &self.config)
            } else {
                lone_deadline(&self.here, now, &self.config)
            };
            self.deadline = Some(deadline);
            let mut ladder = Ladder::new(now, deadline, self.config.unkillable);
            if !self.link_open {
                ladder.link_lost(now);
            }
            self.ladder = Some(ladder);
        }
    }

    /// Performs every rung that is due. Says so if the last one was.
    fn climb_down(&mut self) -> Option<Action> {
        loop {
            let action = self.ladder.as_mut()?.next(now());
            match action {
                Action::Ask => self.ask(),
                Action::Terminate => {
                    // A process that is gone already cannot be signalled: its exit is on the way.
                    if self.process.signal(Signal::TERM).is_ok() && !self.exited {
                        self.here.count(|b| b.term += 1);
                    }
                }
                Action::Kill => {
                    if self.process.signal(Signal::KILL).is_ok() && !self.exited {
                        self.here.count(|b| b.kill += 1);
                    }
                }
                Action::Report => return Some(action),
                Action::WaitUntil(at) => {
                    self.due = Some(at);
                    return None;
                }
            }
        }
    }

    fn ask(&mut self) {
        let now = now();
        let deadline = self.deadline.expect("a ladder that asks has an end");
        let cause = match &self.stopped {
            Stopped::Cancelled(cause) => cause.clone(),
            _ => WireCause {
                by: self.here.id.path().to_owned(),
                why: Why::Other("it is being stopped".to_owned()),
            },
        };
        let cancel = wire::cancel(1, cause, deadline, now);
        if !self.link_open {
            return self.lose_link();
        }
        // Refused means that the child's end is closed: the receiving side finds that out, after what it has sent.
        let _ = self.channel.try_send_now(&cancel);
    }

    /// The process is dead: takes what it has left in the link.
    fn drain(&mut self) {
        let drained = self.channel.drain();
        for m in drained.messages {
            self.message(m);
        }
        if let DrainEnd::Failed(e) = drained.end {
            self.link_ended(Some(e));
        }
        self.link_open = false;
    }

    fn conclude(mut self) -> Result<Option<Vec<u8>>, Error> {
        let status = if self.exited { self.process.try_reap().map(wire::status_to) } else { None };
        if status.is_some() {
            self.here.count(|b| b.reaped += 1);
        }
        let seen = Seen {
            pid: self.id.pid(),
            boot: self.booting(),
            last: self.last.take(),
            last_words: self.last_words.take(),
            status,
            stopped: self.stopped,
            rung: self.ladder.as_ref().map_or(Rung::Nothing, Ladder::rung),
        };
        let (ending, outcome) = match decide(seen) {
            Verdict::Returned(bytes) => (Ending::Returned, Ok(Some(bytes))),
            Verdict::Failed(e, ending) => {
                let e = e.at(&self.id);
                self.shared.failed(&self.id, &e);
                (ending, Err(e))
            }
            Verdict::Cancelled(cause) => (wire::ending_of(cause), Ok(None)),
        };
        self.here.tell(&Event::Ended {
            actor: self.id.clone(),
            start_time: self.start_time,
            status: status.unwrap_or(pleach_ipc::proto::WireStatus::Unknown),
            ending,
        });
        match outcome {
            Ok(None) => {
                check()?;
                Ok(None)
            }
            other => other,
        }
    }
}
