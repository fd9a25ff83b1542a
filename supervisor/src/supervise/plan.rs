//! What a supervisor does about its children: which to start, which to stop, when to give up. A pure decision. ◇
//!
//! ```text
//!   child:   Due ─start─► Starting ─up─► Up ─ended by itself─► Due again │ Over
//!             │              └──────┬─────┘
//!             │ stop                │ stop, restart, shutdown, one before it has failed (rest-for-one)
//!             ▼                     ▼
//!            Over ◄─then Rest─── Doomed ─its turn─► Stopping ─ended─► Due again │ Over
//!
//!   all:     Running ─asked─► ShuttingDown ─all over─► Running       ─too many restarts─► Falling ─all over─► Fail
//! ```
//!
//! Rules:
//! * **One Incarnation**: a child is started only when it is Due, and Due only when its last incarnation has ended.
//! * Order is the order in which children were added. Rest-for-one starts forwards, each when those before it are up or
//!   over, and stops backwards, one after the other; so does a shutdown under every strategy.
//! * **Intensity**: `most` restarts within `period` are allowed, the border included; the next one is one too many. Restarts
//!   that were asked for do not count.
//! * No clock, no process: `now` is an argument, and the caller performs what is decided.

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;

use super::spec::{Restart, Strategy, Supervision};
use crate::actor::Incarnation;
use pleach_executor::Instant;
use std::collections::VecDeque;
use std::time::Duration;

/// Which child: its place in the order of start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place(pub(crate) usize);

/// Where a child is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// To be started, not before this moment.
    Due {
        at: Instant,
    },
    Starting,
    Up,
    /// To be told to stop, as soon as it is its turn.
    Doomed {
        then: Then,
    },
    /// It has been told.
    Stopping {
        then: Then,
    },
    Over(How),
}

impl State {
    /// Is there a process, or about to be one?
    pub(crate) fn is_alive(self) -> bool {
        !matches!(self, State::Due { .. } | State::Over(_))
    }

    fn is_leaving(self) -> bool {
        matches!(self, State::Doomed { .. } | State::Stopping { .. })
    }
}

/// What becomes of a child that was told to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    Again,
    Rest,
}

/// How a child has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    /// By itself, and well; or cancelled by somebody who holds its portal.
    Well,
    Failed,
    /// As it was asked to.
    Stopped,
}

/// What a failure means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "an error has to reach somebody"]
pub(crate) enum Consequence {
    /// It is dealt with: the child is started again, or was not to be.
    Handled,
    /// It is one of those that were too many.
    TooMany,
    /// It is the nursery's.
    Fails,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a decision does nothing until it is performed"]
pub(crate) enum Action {
    Start(Place, Incarnation),
    Stop(Place),
    /// Too many restarts, and nobody is left: the supervisor fails.
    Fail,
    /// Nothing before this moment, or before something happens.
    Wait(Option<Instant>),
    /// Nobody is alive and nobody will be.
    Idle,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Running,
    /// As somebody has asked.
    ShuttingDown,
    /// After too many restarts.
    Falling,
}

#[derive(Debug)]
struct Row {
    restart: Restart,
    state: State,
    /// The last one that was started.
    incarnation: Option<Incarnation>,
}

#[derive(Debug)]
pub(crate) struct Plan {
    how: Supervision,
    phase: Phase,
    rows: Vec<Row>,
    /// Who was restarted, and when: those that still count.
    restarts: VecDeque<(Instant, Place)>,
}

impl Plan {
    pub(crate) fn new(how: Supervision) -> Self {
        Plan { how, phase: Phase::Running, rows: Vec::new(), restarts: VecDeque::new() }
    }

    /// One more child, after all others.
    pub(crate) fn add(&mut self, restart: Restart, now: Instant) -> Place {
        let state = match self.phase {
            Phase::Running => State::Due { at: now },
            Phase::ShuttingDown | Phase::Falling => State::Over(How::Stopped),
        };
        self.rows.push(Row { restart, state, incarnation: None });
        Place(self.rows.len() - 1)
    }

    pub(crate) fn state(&self, place: Place) -> State {
        self.rows[place.0].state
    }

    pub(crate) fn incarnation(&self, place: Place) -> Option<Incarnation> {
        self.rows[place.0].incarnation
    }

    pub(crate) fn how(&self) -> &Supervision {
        &self.how
    }

    /// Is a shutdown, asked for or not, under way?
    pub(crate) fn is_ending(&self) -> bool {
        self.phase != Phase::Running
    }

    /// Has it given up? Then it fails as soon as all have ended.
    pub(crate) fn is_falling(&self) -> bool {
        self.phase == Phase::Falling
    }

    // ---- what happens

    /// It is up.
    pub(crate) fn up(&mut self, place: Place, incarnation: Incarnation) {
        let row = &mut self.rows[place.0];
        if row.incarnation == Some(incarnation) && row.state == State::Starting {
            row.state = State::Up;
        }
    }

    /// Its process is reaped; `failed` says how it had ended.
    pub(crate) fn ended(&mut self, place: Place, failed: bool, now: Instant) -> Consequence {
        match self.rows[place.0].state {
            State::Starting | State::Up => self.ended_by_itself(place, failed, now),
            State::Doomed { then } | State::Stopping { then } => {
                self.rows[place.0].state = match then {
                    Then::Again => State::Due { at: now },
                    Then::Rest => State::Over(How::Stopped),
                };
                Consequence::Handled
            }
            State::Due { .. } | State::Over(_) => unreachable!("it had no process"),
        }
    }

    /// Nobody plans any more, and its process is gone, or about to be.
    pub(crate) fn lost(&mut self, place: Place) {
        self.rows[place.0].state = State::Over(How::Stopped);
    }

    fn ended_by_itself(&mut self, place: Place, failed: bool, now: Instant) -> Consequence {
        let row = &mut self.rows[place.0];
        row.state = State::Over(if failed { How::Failed } else { How::Well });
        if self.how.strategy == Strategy::OneCancelsAll {
            return if failed { Consequence::Fails } else { Consequence::Handled };
        }
        let again = match row.restart {
            Restart::Permanent => true,
            Restart::Transient => failed,
            Restart::Temporary => false,
        };
        if !again {
            return Consequence::Handled;
        }
        if self.is_one_too_many(place, now) {
            self.end(Phase::Falling);
            return Consequence::TooMany;
        }
        self.rows[place.0].state = State::Due { at: now + self.back_off(place) };
        if self.how.strategy == Strategy::RestForOne {
            self.doom_after(place);
        }
        Consequence::Handled
    }

    /// **Intensity**: enters one more restart, and counts.
    fn is_one_too_many(&mut self, place: Place, now: Instant) -> bool {
        let period = self.how.period;
        while self.restarts.front().is_some_and(|(at, _)| now.saturating_duration_since(*at) > period) {
            self.restarts.pop_front();
        }
        self.restarts.push_back((now, place));
        self.restarts.len() > self.how.most as usize
    }

    /// How long this child waits for its restart: twice as long each time, as long as the last ones count.
    fn back_off(&self, place: Place) -> Duration {
        let nth = self.restarts.iter().filter(|(_, who)| *who == place).count();
        let doublings = u32::try_from(nth.saturating_sub(1)).unwrap_or(u32::MAX);
        let factor = 2_u32.checked_pow(doublings).unwrap_or(u32::MAX);
        self.how.first_delay.saturating_mul(factor).min(self.how.longest_delay)
    }

    /// Those after it are stopped, and started again when it is up.
    fn doom_after(&mut self, place: Place) {
        for row in &mut self.rows[place.0 + 1..] {
            let then = if row.restart == Restart::Temporary { Then::Rest } else { Then::Again };
            if matches!(row.state, State::Starting | State::Up) {
                row.state = State::Doomed { then };
            }
        }
    }

    // ---- what is asked for

    /// Stop it; it is not started again unless somebody asks.
    pub(crate) fn stop(&mut self, place: Place) {
        let row = &mut self.rows[place.0];
        row.state = match row.state {
            State::Due { .. } => State::Over(How::Stopped),
            State::Starting | State::Up | State::Doomed { .. } => State::Doomed { then: Then::Rest },
            State::Stopping { .. } => State::Stopping { then: Then::Rest },
            over @ State::Over(_) => over,
        };
    }

    /// Start it, or stop it first if it runs. With rest-for-one also those after it.
    pub(crate) fn restart(&mut self, place: Place, now: Instant) {
        if self.is_ending() {
            return;
        }
        let row = &mut self.rows[place.0];
        row.state = match row.state {
            State::Due { .. } | State::Over(_) => State::Due { at: now },
            State::Starting | State::Up | State::Doomed { .. } => State::Doomed { then: Then::Again },
            State::Stopping { .. } => State::Stopping { then: Then::Again },
        };
        if self.how.strategy == Strategy::RestForOne {
            self.doom_after(place);
        }
    }

    /// Stop all, the last one first.
    pub(crate) fn shut_down(&mut self) {
        if self.phase == Phase::Running {
            self.end(Phase::ShuttingDown);
        }
    }

    fn end(&mut self, phase: Phase) {
        self.phase = phase;
        for place in 0..self.rows.len() {
            self.stop(Place(place));
        }
    }

    // ---- what to do

    /// The next thing to do. To be asked until it says to wait.
    pub(crate) fn next(&mut self, now: Instant) -> Action {
        if let Some(place) = self.whose_turn_to_stop() {
            let row = &mut self.rows[place.0];
            if let State::Doomed { then } = row.state {
                row.state = State::Stopping { then };
            }
            return Action::Stop(place);
        }
        if let Some(place) = (0..self.rows.len()).map(Place).find(|place| self.may_start(*place, now)) {
            let row = &mut self.rows[place.0];
            let incarnation = row.incarnation.map_or(Incarnation::FIRST, Incarnation::next);
            (row.state, row.incarnation) = (State::Starting, Some(incarnation));
            return Action::Start(place, incarnation);
        }
        if self.rows.iter().all(|row| matches!(row.state, State::Over(_))) {
            // Who has given up does not begin again.
            if self.is_falling() {
                return Action::Fail;
            }
            self.phase = Phase::Running;
            return Action::Idle;
        }
        let due = |row: &Row| match row.state {
            State::Due { at } if at > now => Some(at),
            _ => None,
        };
        Action::Wait(self.rows.iter().filter_map(due).min())
    }

    /// Backwards, where the order counts: then nobody is told before those after it have ended.
    fn whose_turn_to_stop(&self) -> Option<Place> {
        let in_order = self.is_ending() || self.how.strategy == Strategy::RestForOne;
        let mut leaving = self.rows.iter().enumerate().rev().filter(|(_, row)| row.state.is_leaving());
        let doomed = |(i, row): (usize, &Row)| matches!(row.state, State::Doomed { .. }).then_some(Place(i));
        if in_order { leaving.next().and_then(doomed) } else { leaving.find_map(doomed) }
    }

    fn may_start(&self, place: Place, now: Instant) -> bool {
        if !matches!(self.state(place), State::Due { at } if at <= now) {
            return false;
        }
        if self.how.strategy != Strategy::RestForOne {
            return true;
        }
        let (before, after) = self.rows.split_at(place.0);
        let is_there = |row: &Row| matches!(row.state, State::Up | State::Over(_));
        before.iter().all(is_there) && !after.iter().any(|row| row.state.is_leaving())
    }
}
