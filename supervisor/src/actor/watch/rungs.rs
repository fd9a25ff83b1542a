//! The ladder as it is climbed: what [`teardown`](crate::teardown) decides is done to the child here.
//!
//! ```text
//!   cancel │ time │ lost link ─► stop(why) ─► ask ─► SIGTERM ─► SIGKILL ─► report        each when climb_down finds it due
//! ```
//!
//! Rules:
//! * What was first to stop it stays the reason; the deadline as well.
//! * A process that is on its way out is not signalled: there is nobody to hear it, and it would be blamed for.

use super::haste::Haste;
use super::{Link, Watch};
use crate::actor::siblings::{deadline_by, lone_deadline};
use crate::actor::verdict::{Stopped, Told};
use crate::supervise::Stop;
use crate::teardown::{Action, Ladder};
use crate::wire;
use pleach_executor::{Cancelled, now};
use pleach_ipc::proto::{Why, WireCause};
use pleach_spawn::Signal;

impl Watch {
    pub(super) fn cancelled(&mut self, c: Cancelled) {
        let cause = self.siblings.cause(&self.here, c.reason());
        // The level reports it again when the loop is over.
        pleach_executor::low_level::absorb(c);
        if self.last.is_none() {
            self.stop(Stopped::Cancelled(cause));
        }
    }

    /// Begins the ladder, unless it has begun.
    pub(super) fn stop(&mut self, why: Stopped) {
        if self.stopped == Stopped::No {
            self.stopped = why;
        }
        if self.ladder.is_none() {
            let now = now();
            let of_nursery = matches!(self.stopped, Stopped::Cancelled(_)) && !self.own.cancel_called();
            self.share = of_nursery.then(|| self.siblings.deadline(&self.here, now, &self.config));
            let shared = self.share.as_ref().map(|share| share.at);
            let deadline = shared.unwrap_or_else(|| lone_deadline(&self.here, now, &self.config));
            let stop_by = if self.up.kill.is_set() { Some(Stop::Kill) } else { self.stop_by };
            let own_way = stop_by.filter(|_| matches!(self.stopped, Stopped::Cancelled(_)));
            let deadline = own_way.map_or(deadline, |stop| deadline_by(stop, &self.here, now));
            self.deadline = Some(deadline);
            let mut ladder = Ladder::new(now, deadline, &self.config);
            if own_way == Some(Stop::Kill) {
                ladder.terminated();
            }
            self.ladder = Some(ladder);
            if self.link != Link::Open {
                self.lose_link();
            }
        }
    }

    /// Performs every rung that is due. Says so if the last one was.
    pub(super) fn climb_down(&mut self) -> Option<Action> {
        loop {
            let action = self.ladder.as_mut()?.next(now());
            match action {
                Action::Ask => self.ask(),
                // Its death has begun, and is slow to show.
                Action::Terminate if self.is_dying() => {}
                // A process that is gone already cannot be signalled: its exit is on the way.
                Action::Terminate => {
                    if self.process.signal(Signal::TERM).is_ok() && !self.exited {
                        self.here.count(|b| b.term += 1);
                        self.told = Told::Terminate;
                    }
                    self.let_go_on();
                }
                // Sent in any case, which harms no dying process; but what dies already did not die of it.
                Action::Kill => {
                    let dying = self.is_dying();
                    if self.process.signal(Signal::KILL).is_ok() && !self.exited && !dying {
                        self.here.count(|b| b.kill += 1);
                        self.told = Told::Kill;
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

    fn is_dying(&self) -> bool {
        self.link != Link::Open && self.process.is_ending()
    }

    pub(super) fn ask(&mut self) {
        let now = now();
        let deadline = self.deadline.expect("a ladder that asks has an end");
        let cause = match &self.stopped {
            Stopped::Cancelled(cause) => cause.clone(),
            _ => WireCause {
                by: self.here.id.path().to_owned(),
                why: Why::Other("it is being stopped".to_owned()),
            },
        };
        let cancel = wire::cancel(1 + u64::from(self.haste > Haste::No), cause, deadline, now);
        if self.link != Link::Open {
            return self.lose_link();
        }
        // There is room for it, because `Line::say` leaves some. Refused means that the child's end is closed: the receiving
        // side finds that out, after what it has sent.
        let _ = self.line.channel.try_send_now(&cancel);
        self.let_go_on();
    }

    /// A process that stands still can neither read nor end: whatever it was told to do, it goes on to do it.
    pub(super) fn let_go_on(&self) {
        if self.process.stopped_by().is_some() {
            let _ = self.process.signal(Signal::CONT);
        }
    }

    pub(super) fn lose_link(&mut self) {
        if let Some(ladder) = &mut self.ladder {
            if self.link == Link::EndedByDeath {
                ladder.asked();
            } else {
                ladder.link_lost(now());
            }
        }
    }
}
