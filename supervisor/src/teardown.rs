//! The ladder that stops a live actor, as a pure decision: message, SIGTERM, SIGKILL, report.
//!
//! ```text
//!   start         60 % of the time (default)   deadline              deadline + patience
//!     │ Ask ─────────────► Terminate ─────────────► Kill ─────────────► Report(Unkillable)
//!     └ link lost: Terminate after 100 ms
//! ```
//!
//! Rules:
//! * One absolute deadline for a whole cancellation: no rung starts a timer of its own.
//! * What a level hands down is nine tenths of what it has ([`hand_down`]), so that leaves give up first.
//! * No clock, no process: `now` is an argument, and the caller performs what is decided.

use crate::config::Config;
use pleach_executor::Instant;
use std::time::Duration;

/// How long after the end of its link a process that is dying may take to be seen dead.
pub(crate) const DYING: Duration = Duration::from_millis(100);

/// What to do next about an actor that is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a decision does nothing until it is performed"]
pub(crate) enum Action {
    /// Send the cancel message.
    Ask,
    /// Send SIGTERM.
    Terminate,
    /// Send SIGKILL.
    Kill,
    /// It does not die of SIGKILL (uninterruptible sleep): say so, and stop waiting.
    Report,
    /// Nothing before this moment.
    WaitUntil(Instant),
}

/// The rung that was reached, for the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rung {
    Nothing,
    Asked,
    Terminated,
    Killed,
    Reported,
}

/// One actor's way down the ladder.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ladder {
    rung: Rung,
    terminate_at: Instant,
    kill_at: Instant,
    report_at: Instant,
}

impl Ladder {
    /// A ladder that starts now and ends at `deadline`, as `config` has it.
    pub(crate) fn new(now: Instant, deadline: Instant, config: &Config) -> Self {
        let left = deadline.saturating_duration_since(now);
        Ladder {
            rung: Rung::Nothing,
            terminate_at: now + left * u32::from(config.terminate_percent) / 100,
            kill_at: deadline,
            report_at: deadline.max(now) + config.unkillable,
        }
    }

    /// It has sent its last message, or is dying: there is nothing to ask of it, only time to give.
    pub(crate) fn asked(&mut self) {
        self.rung = self.rung.max(Rung::Asked);
    }

    /// It is asked for nothing, and told nothing: SIGKILL is next.
    pub(crate) fn terminated(&mut self) {
        self.rung = self.rung.max(Rung::Terminated);
    }

    /// The link is gone, and the process is not: no message can be sent or answered. SIGTERM is due soon; not at once,
    /// because it may be about to leave.
    pub(crate) fn link_lost(&mut self, now: Instant) {
        self.rung = self.rung.max(Rung::Asked);
        self.terminate_at = self.terminate_at.min(now + DYING);
    }

    /// Somebody is in a hurry: SIGTERM is due now, and the end is at this deadline, unless it was sooner.
    pub(crate) fn hasten(&mut self, now: Instant, deadline: Instant, config: &Config) {
        self.terminate_at = self.terminate_at.min(now);
        self.kill_at = self.kill_at.min(deadline);
        self.report_at = self.report_at.min(deadline.max(now) + config.unkillable);
    }

    /// What is due at `now`. Each rung is given out once, in order.
    pub(crate) fn next(&mut self, now: Instant) -> Action {
        let (due, rung, action) = match self.rung {
            Rung::Nothing => (now, Rung::Asked, Action::Ask),
            Rung::Asked => (self.terminate_at, Rung::Terminated, Action::Terminate),
            Rung::Terminated => (self.kill_at, Rung::Killed, Action::Kill),
            Rung::Killed | Rung::Reported => (self.report_at, Rung::Reported, Action::Report),
        };
        if now < due {
            return Action::WaitUntil(due);
        }
        self.rung = rung;
        action
    }

    /// How far down it has gone.
    #[cfg(test)]
    pub(crate) fn rung(&self) -> Rung {
        self.rung
    }
}

/// The deadline for the level below: nine tenths of the time that is left here.
pub(crate) fn hand_down(now: Instant, deadline: Instant) -> Instant {
    now + deadline.saturating_duration_since(now) * 9 / 10
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = 1_000_000_000;

    fn at(seconds: u64) -> Instant {
        Instant::from_nanos(seconds * S)
    }

    #[test]
    fn every_rung_is_given_out_once_and_in_order() {
        let mut l = Ladder::new(at(100), at(110), &Config::default());
        assert_eq!(l.next(at(100)), Action::Ask);
        assert_eq!(l.next(at(100)), Action::WaitUntil(at(106)));
        assert_eq!(l.next(at(106)), Action::Terminate);
        assert_eq!(l.next(at(107)), Action::WaitUntil(at(110)));
        assert_eq!(l.next(at(110)), Action::Kill);
        assert_eq!(l.next(at(110)), Action::WaitUntil(at(120)));
        assert_eq!(l.next(at(120)), Action::Report);
        assert_eq!(l.rung(), Rung::Reported);
    }

    #[test]
    fn the_time_of_sigterm_is_that_of_the_config() {
        let sigterm_after = |percent| {
            let mut l = Ladder::new(at(100), at(110), &Config::default().terminate_at(percent));
            assert_eq!(l.next(at(100)), Action::Ask);
            l.next(at(100))
        };
        assert_eq!(sigterm_after(30), Action::WaitUntil(at(103)));
        assert_eq!(sigterm_after(0), Action::Terminate);
        assert_eq!(sigterm_after(200), Action::WaitUntil(at(110)), "never after SIGKILL");
    }

    #[test]
    fn a_lost_link_goes_to_sigterm_soon_and_keeps_the_deadline() {
        let mut l = Ladder::new(at(100), at(110), &Config::default());
        l.link_lost(at(101));
        assert_eq!(l.next(at(101)), Action::WaitUntil(at(101) + DYING));
        assert_eq!(l.next(at(101) + DYING), Action::Terminate);
        assert_eq!(l.next(at(102)), Action::WaitUntil(at(110)));
    }

    #[test]
    fn a_hurry_brings_everything_forward_and_puts_nothing_off() {
        let config = Config::default();
        let mut l = Ladder::new(at(100), at(160), &config);
        assert_eq!(l.next(at(100)), Action::Ask);
        l.hasten(at(101), at(103), &config);
        assert_eq!(l.next(at(101)), Action::Terminate);
        assert_eq!(l.next(at(101)), Action::WaitUntil(at(103)));
        l.hasten(at(102), at(150), &config);
        assert_eq!(l.next(at(103)), Action::Kill);
        assert_eq!(l.next(at(103)), Action::WaitUntil(at(113)));
    }

    #[test]
    fn a_deadline_in_the_past_skips_no_rung() {
        let mut l = Ladder::new(at(100), at(90), &Config::default());
        assert_eq!(l.next(at(100)), Action::Ask);
        assert_eq!(l.next(at(100)), Action::Terminate);
        assert_eq!(l.next(at(100)), Action::Kill);
        assert_eq!(l.next(at(100)), Action::WaitUntil(at(110)));
    }

    #[test]
    fn sixty_four_levels_still_hand_down_time_in_order() {
        let mut deadline = at(5);
        for _ in 0..64 {
            let next = hand_down(at(0), deadline);
            assert!(next < deadline);
            deadline = next;
        }
    }
}
