//! Where a dialog is, at either end: one enum, one function for each transition. ◇
//!
//! ```text
//!   opener   open ─► Opening ─ hear(Started) ─► Running ─ hear(Return │ Failed), hear_cancelled, hear_refused ─► Ended
//!                       └──── hear(Failed), hear_cancelled, hear_refused ──────────────────────────────────────────▲
//!   callee   open ─► Opening ─ say_started ───► Running ─ decide ─► Ending ─ left ─────────────────────────────► Ended
//!                       └──── decide ──────────────────────────────────▲
//!   either   any state ─ lose ─► Ended by the connection
//!
//!   each direction by itself:   First ─ the first message ─► Open ─ Stop ─► Stopped
//! ```
//!
//! Rules:
//! * **One decides**: the callee says how a dialog ended, in one operation; so both ends report the same.
//!   The opener can only ask. (Without a connection each says that: the last word of the other may be lost with it.)
//! * **Absorbed by number**: a cancellation is the opener's own if it names the request that the opener made.
//! * In [`Mode::Call`] there is no `Started`: such a dialog begins as Running.

use super::ended::{EndedBy, Loss};
use super::ops::{Class, How, Mode};
use crate::proto::message::WireCause;

/// Which end of a dialog this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Role {
    /// It opened the dialog.
    Opener,
    /// It was called.
    Callee,
}

/// Why an operation may not come now; for [`Breach::Order`](super::limit::Breach::Order).
pub(super) type Why = &'static str;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// The callee has not said that it is up.
    Opening,
    /// Items may go both ways.
    Running,
    /// The callee has decided how it ends, and that has not left yet.
    Ending(EndedBy),
    /// Both know, or will never.
    Ended(EndedBy),
}

/// One direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Half {
    /// The first message of this direction is yet to come, and is no item.
    First,
    /// Items.
    Open,
    /// No more.
    Stopped,
}

/// The opener's wish to end it, at the opener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    No,
    Asked(u64),
    Answered(u64),
}

#[derive(Debug)]
pub(super) struct Dialog {
    pub(super) role: Role,
    mode: Mode,
    state: State,
    /// What this end says.
    says: Half,
    /// What it hears.
    hears: Half,
    /// At the opener: what it asked for.
    ask: Ask,
    /// At the callee: the first request, and those without an answer.
    asked: Option<u64>,
    unanswered: Vec<u64>,
}

impl Dialog {
    pub(super) const fn open(role: Role, mode: Mode) -> Self {
        let state = if matches!(mode, Mode::Context) { State::Opening } else { State::Running };
        // What the callee says first depends on the mode; what it hears first is always the argument.
        let callee = if matches!(mode, Mode::Context) { Half::First } else { Half::Open };
        let (says, hears) = match role {
            Role::Opener => (Half::Open, callee),
            Role::Callee => (callee, Half::First),
        };
        Dialog { role, mode, state, says, hears, ask: Ask::No, asked: None, unanswered: Vec::new() }
    }

    // ---- what this end does ----

    /// The callee says that it is up. `false`: it is over.
    #[track_caller]
    pub(super) fn say_started(&mut self) -> bool {
        assert!(self.role == Role::Callee, "only the callee of a dialog can say that it has started");
        match self.state {
            State::Opening => {
                (self.state, self.says) = (State::Running, Half::Open);
                true
            }
            State::Running => panic!("a callee says once that it has started, and never in `Mode::Call`"),
            State::Ending(_) | State::Ended(_) => false,
        }
    }

    /// May this end send an item now? `false`: it, or the dialog, has stopped.
    #[track_caller]
    pub(super) fn may_send(&self) -> bool {
        match (&self.state, self.says) {
            (State::Ending(_) | State::Ended(_), _) | (_, Half::Stopped) => false,
            (_, Half::First) => panic!("say `started` before the first item"),
            (_, Half::Open) => true,
        }
    }

    /// This end sends no more items. `false`: it has said so before, or the dialog is over.
    #[track_caller]
    pub(super) fn say_stop(&mut self) -> bool {
        let may = self.may_send();
        if may {
            self.says = Half::Stopped;
        }
        may
    }

    /// The opener asks the callee to stop. Its number is `request`, or that of the first time.
    #[track_caller]
    pub(super) fn ask(&mut self, request: u64) -> Option<u64> {
        assert!(
            self.role == Role::Opener,
            "only the opener of a dialog can ask for its end; a callee ends it"
        );
        match (self.ask, self.is_over()) {
            (_, true) => None,
            (Ask::Asked(first) | Ask::Answered(first), false) => Some(first),
            (Ask::No, false) => {
                (self.ask, self.says) = (Ask::Asked(request), Half::Stopped);
                Some(request)
            }
        }
    }

    /// The callee has decided how it ends. `false`: it is over already.
    #[track_caller]
    pub(super) fn decide(&mut self, by: EndedBy) -> bool {
        assert!(self.role == Role::Callee, "only the callee of a dialog can end it; an opener asks");
        if self.is_over() {
            return false;
        }
        let early = self.state == State::Opening && by == EndedBy::Returned;
        assert!(!early, "say `started` before returning: the opener waits for it");
        (self.state, self.says) = (State::Ending(by), Half::Stopped);
        true
    }

    /// What the callee's being cancelled is: the opener's wish, if it had one; else this.
    pub(super) fn cancelled_by(&self, cause: WireCause) -> EndedBy {
        self.asked.map_or(EndedBy::Stopped { cause }, |request| EndedBy::Cancelled { request })
    }

    /// The callee's last word has left.
    pub(super) fn left(&mut self) -> Option<EndedBy> {
        let State::Ending(by) = &self.state else { return None };
        let by = by.clone();
        self.state = State::Ended(by.clone());
        Some(by)
    }

    /// The requests that are answered now, each once: the callee runs no more.
    pub(super) fn answers(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.unanswered)
    }

    /// The connection is gone. `None`: it was over.
    pub(super) fn lose(&mut self, loss: &Loss) -> Option<EndedBy> {
        // Nobody is there to answer.
        if let Ask::Asked(request) = self.ask {
            self.ask = Ask::Answered(request);
        }
        self.unanswered.clear();
        self.end(EndedBy::Lost(loss.clone())).ok()
    }

    // ---- what the peer does ----

    /// A message begins, or goes on. `false`: it is of no interest any more.
    pub(super) fn hear(&self, class: Class) -> Result<bool, Why> {
        match (self.role, &self.state) {
            // It crossed our last word.
            (Role::Callee, State::Ending(_) | State::Ended(_)) => return Ok(false),
            (Role::Opener, State::Ended(_)) => return Err("it is over"),
            _ => {}
        }
        match (self.role, class, self.hears) {
            (Role::Callee, Class::Args, Half::First)
            | (Role::Opener, Class::Started, Half::First)
            | (Role::Opener, Class::Failed, _)
            | (_, Class::Item, Half::Open)
            | (Role::Opener, Class::Return, Half::Open | Half::Stopped) => Ok(true),
            (Role::Callee, Class::Args, _) => Err("it had its argument"),
            (Role::Opener, Class::Started, _) => Err("it has started before, or is a plain call"),
            (_, Class::Item, Half::Stopped) => Err("it has stopped sending items"),
            (Role::Callee, Class::Item, Half::First) => Err("its argument has not come"),
            (Role::Opener, Class::Item | Class::Return, Half::First) => Err("it has not started"),
            (Role::Opener, Class::Args, _) => Err("only an opener sends an argument"),
            (Role::Callee, Class::Started | Class::Return | Class::Failed, _) => {
                Err("only a callee says that")
            }
        }
    }

    /// A message is whole. Says how the dialog ended, if that was it.
    pub(super) fn hear_whole(&mut self, class: Class) -> Option<EndedBy> {
        match class {
            Class::Args => self.hears = Half::Open,
            Class::Started => (self.state, self.hears) = (State::Running, Half::Open),
            Class::Item => {}
            Class::Return => return self.end(EndedBy::Returned).ok(),
            Class::Failed => return self.end(EndedBy::Failed).ok(),
        }
        None
    }

    /// The peer sends no more items. `half`: in the middle of a message. `false`: it is of no interest any more.
    pub(super) fn hear_stop(&mut self, how: How, half: Option<Class>) -> Result<bool, Why> {
        match (self.role, &self.state, self.hears) {
            (Role::Callee, State::Ending(_) | State::Ended(_), _) => return Ok(false),
            (Role::Opener, State::Ended(_), _) => return Err("it is over"),
            (Role::Opener, _, Half::First) => return Err("it has not started"),
            (_, _, Half::Stopped) => return Err("it has stopped before"),
            (_, _, Half::First | Half::Open) => {}
        }
        match half {
            Some(_) if how == How::Done => return Err("in the middle of a message"),
            Some(Class::Return | Class::Failed) => return Err("in the middle of its last word"),
            None if how == How::Done && self.hears == Half::First => return Err("its argument has not come"),
            _ => {}
        }
        self.hears = Half::Stopped;
        Ok(true)
    }

    /// The opener asks for the end. Says whether it is the first request.
    pub(super) fn hear_cancel(&mut self, request: u64) -> Result<Heard, Why> {
        if self.role == Role::Opener {
            return Err("only an opener asks for the end");
        }
        if self.is_over() {
            return Ok(Heard::Over);
        }
        if self.unanswered.contains(&request) {
            return Ok(Heard::Again);
        }
        self.unanswered.push(request);
        let first = self.asked.is_none();
        self.asked.get_or_insert(request);
        Ok(if first { Heard::First } else { Heard::Another })
    }

    /// The callee answers a request.
    pub(super) fn hear_ack(&mut self, request: u64) -> Result<(), Why> {
        if self.ask != Ask::Asked(request) {
            return Err("that was not asked, or was answered before");
        }
        self.ask = Ask::Answered(request);
        Ok(())
    }

    /// The callee ended without a result: cancelled, or never begun.
    pub(super) fn hear_end(&mut self, by: EndedBy) -> Result<EndedBy, Why> {
        if self.role == Role::Callee {
            return Err("only a callee ends a dialog");
        }
        let asked = match by {
            EndedBy::Cancelled { request } => {
                self.ask == Ask::Asked(request) || self.ask == Ask::Answered(request)
            }
            _ => true,
        };
        if !asked {
            return Err("by a request that was not made");
        }
        self.end(by)
    }

    fn end(&mut self, by: EndedBy) -> Result<EndedBy, Why> {
        if let State::Ended(_) = self.state {
            return Err("it is over");
        }
        (self.says, self.hears, self.state) = (Half::Stopped, Half::Stopped, State::Ended(by.clone()));
        Ok(by)
    }

    // ---- what is so ----

    /// This end has nothing more to do or to decide.
    pub(super) const fn is_over(&self) -> bool {
        matches!(self.state, State::Ending(_) | State::Ended(_))
    }

    /// Nothing that matters can come or go any more, but what lies here to be read.
    pub(super) fn is_settled(&self) -> bool {
        matches!(self.state, State::Ended(_))
            && !matches!(self.ask, Ask::Asked(_))
            && self.unanswered.is_empty()
    }

    /// The peer may still send items.
    pub(super) fn hears_items(&self) -> bool {
        !self.is_over() && self.hears != Half::Stopped
    }

    /// What conversation it is.
    pub(super) const fn mode(&self) -> Mode {
        self.mode
    }
}

/// What a request to cancel is to the callee.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// The first: the callee is to be told.
    First,
    /// One more, to be answered as well.
    Another,
    /// One that waits for its answer already.
    Again,
    /// It came too late: to be answered at once.
    Over,
}

#[cfg(test)]
mod tests;
