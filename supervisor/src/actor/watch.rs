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
//! * A child that stands still (SIGSTOP) has failed as well: it is asked to end, and continued so that it can.
//! * A link that takes no more is no news: what the child had said before it went is still to be read. Only the end of
//!   the receiving side is the end of the link.
//! * The loop routes. It never awaits a full queue or a handler.
//!
//! What a child says is routed in `watch/route.rs`, the ladder's rungs are climbed in `watch/rungs.rs` and hurried down in
//! `watch/haste.rs`; what the children of a nursery have in common is in `siblings.rs`.

mod haste;
mod route;
mod rungs;

use super::custody::Custody;
use super::event::Ending;
use super::here::Here;
use super::id::ActorId;
use super::siblings::{Share, Siblings};
use super::verdict::{Final, Seen, Stopped, Told, Verdict, decide};
use crate::config::Config;
use crate::error::Error;
use crate::handle::Up;
use crate::line::Line;
use crate::supervise::Stop;
use crate::teardown::{Action, DYING, Ladder};
use crate::wire;
use haste::Haste;
use pleach_executor::{CancelScope, Cancelled, Instant, ScopeHandle, check, now, sleep_until};
use pleach_ipc::proto::{
    Backend, BootPhase, Expected, LastWords, Message, ParentBoot, ProtocolError, Role, Spec, WireStatus,
};
use pleach_ipc::{ChannelError, DrainEnd, Reader};
use pleach_spawn::{Process, Signal, Stops};
use std::future::{Future, pending, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;

/// What is known of the child's end of the link.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Link {
    Open,
    /// No more messages come.
    Ended,
    /// And when that was seen, the process was on its way out.
    EndedByDeath,
}

/// Something happened to the child.
#[expect(clippy::large_enum_variant, reason = "made and taken apart in one place, once an event")]
enum Step {
    Message(Message),
    LinkEnded(Option<ChannelError>),
    Exited,
    /// Children have been found stopped, so often by now.
    Stops(u64),
    Time,
    /// What is under way is to be over sooner.
    Hurry,
    Cancelled(Cancelled),
}

/// Waits until children have been found stopped more than `seen` times; for ever where nothing tells.
async fn stops_since(stops: Option<&Stops>, seen: u64) -> Result<u64, Cancelled> {
    match stops {
        Some(stops) => stops.since(seen).await,
        None => pending().await,
    }
}

/// A process that has just been made, and what it is to become.
pub(crate) struct Newborn {
    pub(crate) id: ActorId,
    pub(crate) config: Config,
    pub(crate) backend: Backend,
    /// The image it must run, where it could be another.
    pub(crate) build: Option<u64>,
    pub(crate) role: Role,
    pub(crate) may_spawn: bool,
    pub(crate) process: Process,
    pub(crate) stops: Option<Rc<Stops>>,
    pub(crate) line: Rc<Line>,
    /// To be sent as soon as it is up.
    pub(crate) first: Option<Message>,
    /// What those who wait for it hear of it, and what they want.
    pub(crate) up: Rc<Up>,
    /// The scope of this actor alone: cancelled by its handle.
    pub(crate) own: ScopeHandle,
    /// How it is stopped, if not as the config has it.
    pub(crate) stop: Option<Stop>,
}

pub(crate) struct Watch {
    here: Rc<Here>,
    siblings: Rc<Siblings>,
    id: ActorId,
    config: Config,
    process: Custody,
    stops: Option<Rc<Stops>>,
    line: Rc<Line>,
    first: Option<Message>,
    up: Rc<Up>,
    boot: ParentBoot,
    link: Link,
    exited: bool,
    last: Option<Final>,
    last_words: Option<LastWords>,
    stopped: Stopped,
    ladder: Option<Ladder>,
    /// How much more hurry than at first it has been told of.
    haste: Haste,
    /// Which signal of the ladder has reached it.
    told: Told,
    own: ScopeHandle,
    stop_by: Option<Stop>,
    /// By when it has to be up.
    ready_by: Instant,
    /// In the deadline of all children, if all are stopped.
    share: Option<Share>,
    /// When the ladder ends.
    deadline: Option<Instant>,
    /// The next moment at which something is due without any event.
    due: Option<Instant>,
}

impl Watch {
    pub(crate) fn new(here: Rc<Here>, siblings: Rc<Siblings>, newborn: Newborn) -> Self {
        let Newborn {
            id,
            config,
            backend,
            build,
            role,
            may_spawn,
            process,
            stops,
            line,
            first,
            up,
            own,
            stop,
        } = newborn;
        let (ready_by, said_hello_by) = (now() + config.boot, now() + config.handshake);
        let expected = Expected { backend, pid: Some(id.pid()), build };
        let spec = Spec {
            path: id.path().to_owned(),
            orphan_grace_ns: wire::nanos(config.orphan_grace),
            cancel_ns: wire::nanos(config.cancel),
            boot_ns: wire::nanos(config.boot),
            unkillable_ns: wire::nanos(config.unkillable),
            terminate_percent: config.terminate_percent,
            handshake_ns: wire::nanos(config.handshake),
            ready_by_ns: Some(ready_by.as_nanos()),
            limits: config.limits,
            may_spawn,
            role,
            incarnation: id.incarnation().number(),
        };
        let process = Custody::new(Rc::clone(&here), id.clone(), process);
        Watch {
            here,
            siblings,
            id,
            config,
            process,
            stops,
            line,
            first,
            up,
            boot: ParentBoot::new(expected, spec),
            link: Link::Open,
            exited: false,
            last: None,
            last_words: None,
            stopped: Stopped::No,
            ladder: None,
            haste: Haste::No,
            told: Told::Nothing,
            own,
            stop_by: stop,
            share: None,
            deadline: None,
            due: Some(ready_by.min(said_hello_by)),
            ready_by,
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
                // One wait for the whole life: who waits first may hold the lead of all who wait.
                let stops = self.stops.clone();
                let mut count = 0;
                let mut stopped = pin!(stops_since(stops.as_deref(), count));
                let line = Rc::clone(&self.line);
                let mut reader = Some(line.channel.reader());
                while !self.exited || self.link == Link::Open {
                    if self.climb_down() == Some(Action::Report) {
                        break;
                    }
                    if self.exited {
                        self.drain();
                        continue;
                    }
                    if self.link != Link::Open {
                        reader = None;
                    }
                    match self.next(reader.as_ref(), stopped.as_mut()).await {
                        Step::Message(m) => self.message(m),
                        Step::LinkEnded(e) => self.link_ended(e),
                        Step::Exited => self.exited = true,
                        Step::Stops(n) => {
                            count = n;
                            stopped.set(stops_since(stops.as_deref(), count));
                            self.look_for_a_stop();
                        }
                        Step::Time => self.time(),
                        Step::Hurry => self.hurry(),
                        Step::Cancelled(c) => {
                            scope.set_shield(true);
                            // It may be the wait that was cancelled.
                            stopped.set(stops_since(stops.as_deref(), count));
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
    async fn next(
        &self,
        reader: Option<&Reader<'_>>,
        mut stopped: Pin<&mut impl Future<Output = Result<u64, Cancelled>>>,
    ) -> Step {
        // Before the messages: a child that never ends talking is not up either.
        if self.ladder.is_none() && self.due.is_some_and(|due| due <= now()) {
            return Step::Time;
        }
        let mut message = pin!(async {
            match reader {
                Some(reader) => reader.recv().await,
                None => pending().await,
            }
        });
        let mut exit = pin!(self.process.exited());
        let mut hurry = pin!(self.haste());
        let mut time = pin!(sleep_until(self.due.unwrap_or(Instant::MAX)));
        poll_fn(|cx| {
            match message.as_mut().poll(cx) {
                Poll::Ready(Ok(Some(m))) => return Poll::Ready(Step::Message(m)),
                Poll::Ready(Ok(None)) => return Poll::Ready(Step::LinkEnded(None)),
                Poll::Ready(Err(ChannelError::Cancelled(c))) => return Poll::Ready(Step::Cancelled(c)),
                Poll::Ready(Err(e)) => return Poll::Ready(Step::LinkEnded(Some(e))),
                Poll::Pending => self.line.say_the_unsaid(),
            }
            match exit.as_mut().poll(cx) {
                Poll::Ready(Ok(())) => return Poll::Ready(Step::Exited),
                Poll::Ready(Err(c)) => return Poll::Ready(Step::Cancelled(c)),
                Poll::Pending => {}
            }
            match stopped.as_mut().poll(cx) {
                Poll::Ready(Ok(count)) => return Poll::Ready(Step::Stops(count)),
                Poll::Ready(Err(c)) => return Poll::Ready(Step::Cancelled(c)),
                Poll::Pending => {}
            }
            match hurry.as_mut().poll(cx) {
                Poll::Ready(Ok(())) => return Poll::Ready(Step::Hurry),
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

    fn link_ended(&mut self, e: Option<ChannelError>) {
        self.link = Link::Ended;
        match e {
            // It died in the middle of a message: an end like any other.
            Some(ChannelError::Protocol(ProtocolError::Truncated { .. })) => {}
            Some(ChannelError::Protocol(e)) => return self.protocol_error(e.to_string()),
            _ if self.exited || self.last.is_some() => return,
            _ => {}
        }
        // The kernel marks a process as ending before it closes its descriptors: if this is its death, its pidfd is
        // about to tell, and there is nobody to signal.
        let dying = self.process.is_ending();
        if dying {
            self.link = Link::EndedByDeath;
        }
        if self.booting().is_some() && self.ladder.is_none() {
            if !dying {
                self.due = Some(now() + DYING);
            }
            return;
        }
        self.stop(Stopped::ChannelLost);
        self.lose_link();
    }

    fn time(&mut self) {
        // Of the ladder's times `climb_down` takes care; without a ladder it is the boot that took too long.
        if self.ladder.is_none() {
            if self.link == Link::Open {
                self.stop(Stopped::BootTimeout);
            } else {
                self.stop(Stopped::ChannelLost);
                self.lose_link();
            }
        }
    }

    /// Some child was found stopped: if it is this one, it has failed. What a terminal stops (Ctrl-Z) it continues, and
    /// is no failure.
    fn look_for_a_stop(&mut self) {
        if self.exited {
            return;
        }
        if self.ladder.is_some() {
            self.let_go_on();
        } else if self.process.stopped_by() == Some(Signal::STOP) {
            self.stop(Stopped::StoodStill(Signal::STOP));
        }
    }

    /// The process is dead: takes what it has left in the link.
    fn drain(&mut self) {
        let drained = self.line.channel.drain();
        for m in drained.messages {
            self.message(m);
        }
        if let DrainEnd::Failed(e) = drained.end {
            self.link_ended(Some(e));
        }
        if self.link == Link::Open {
            self.link = Link::Ended;
        }
    }

    fn conclude(mut self) -> Result<Option<Vec<u8>>, Error> {
        let status = if self.exited { self.process.try_reap() } else { None };
        let seen = Seen {
            pid: self.id.pid(),
            boot: self.booting(),
            last: self.last.take(),
            last_words: self.last_words.take(),
            status,
            stopped: self.stopped,
            told: self.told,
        };
        let (ending, outcome) = match decide(seen) {
            Verdict::Returned(bytes) => (Ending::Returned, Ok(Some(bytes))),
            Verdict::Failed(e, ending) => {
                let e = e.at(&self.id);
                self.siblings.failed(&self.id, &e);
                (ending, Err(e))
            }
            Verdict::Cancelled(cause) => (wire::ending_of(cause), Ok(None)),
        };
        self.line.died(ending.clone(), status.unwrap_or(WireStatus::Unknown));
        self.process.release(status, ending);
        match outcome {
            Ok(None) => {
                check()?;
                Ok(None)
            }
            other => other,
        }
    }
}
