//! What the loop does when a batch of polls is over, as a decision: pure.
//!
//! ```text
//!   nothing can run ─► Outlook ─► pause ─┬─ real time ─► Pause ─► run: waits itself │ in another loop: tells it how long
//!                                        └─ virtual ───► asks outside, still nothing ─► Standstill ─► leap ─► Leap
//! ```
//!
//! Rules:
//! * Nothing here reads a clock, wakes or waits. Whoever asks has looked, and does what it is told.
//! * **Never Too Long**: no pause reaches beyond the next timer, the end of the grace, or a cushion that is waited for.

use crate::clock::Instant;
use std::time::Duration;

/// What is to happen before the next batch of polls.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Pause {
    /// Nothing: there is more to do. Descriptors are looked at in passing.
    None,
    /// Something has to come from outside, or this moment.
    Until(Option<Instant>),
    /// The same, but if nothing comes for as long as `cushion`, the run is idle and somebody waits to hear of it.
    Quiet { until: Option<Instant>, cushion: Duration },
    /// Only a thread that the run knows nothing of can go on.
    Stuck,
    /// Time is the run's own: see [`leap`].
    Standstill,
}

/// What the loop sees when nothing can run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outlook {
    /// When the timers want to be looked at.
    pub(crate) timer: Option<Instant>,
    /// Main has ended: until when what it has left behind is waited for.
    pub(crate) grace: Option<Instant>,
    /// How long nothing has to happen until somebody is told of it.
    pub(crate) cushion: Option<Duration>,
    /// Is no descriptor watched, and no worker thread waited for?
    pub(crate) alone: bool,
}

/// Nothing can run, and time passes by itself.
#[inline]
pub(crate) fn pause(seen: &Outlook) -> Pause {
    let until = match (seen.timer, seen.grace) {
        (Some(timer), Some(grace)) => Some(timer.min(grace)),
        (until, None) | (None, until) => until,
    };
    match seen.cushion {
        Some(cushion) => Pause::Quiet { until, cushion },
        None if until.is_none() && seen.alone => Pause::Stuck,
        None => Pause::Until(until),
    }
}

/// What the loop sees when nothing can run, nothing has come from outside, and the clock is virtual.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Standstill {
    pub(crate) now: Instant,
    /// The next deadline.
    pub(crate) next: Option<Instant>,
    pub(crate) cushion: Option<Duration>,
    /// May the clock jump by itself?
    pub(crate) autojump: bool,
    /// Does a thread at work hold the time?
    pub(crate) held: bool,
    pub(crate) alone: bool,
    /// Has main ended?
    pub(crate) ending: bool,
}

/// How a virtual clock goes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Leap {
    /// It is this moment now.
    To(Instant),
    /// The run is idle, and it is this moment now.
    Idle(Instant),
    /// Something has to come from outside.
    Wait,
    /// Only a thread that the run knows nothing of can go on. Time that may not pass can be allowed to by such a one alone,
    /// and so it is no timer.
    Stuck,
}

/// Nothing can run: where time goes.
pub(crate) fn leap(seen: &Standstill) -> Leap {
    // Time stands still while a thread is waited for, and without autojump it passes by `jump` alone.
    let next = seen.next.filter(|_| seen.autojump && !seen.held);
    let idle = |cushion: &Duration| {
        cushion.is_zero() || (!seen.held && next.is_none_or(|at| seen.now + *cushion < at))
    };
    match (seen.cushion.filter(idle), next) {
        (Some(cushion), _) if seen.autojump => Leap::Idle(seen.now + cushion),
        (Some(_), _) => Leap::Idle(seen.now),
        (None, Some(at)) => Leap::To(at.max(seen.now)),
        (None, None) if seen.alone && !seen.ending => Leap::Stuck,
        (None, None) => Leap::Wait,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(nanos: u64) -> Instant {
        Instant::from_nanos(nanos)
    }

    const NOTHING: Outlook = Outlook { timer: None, grace: None, cushion: None, alone: true };
    const STILL: Standstill = Standstill {
        now: at(10),
        next: None,
        cushion: None,
        autojump: true,
        held: false,
        alone: true,
        ending: false,
    };

    #[test]
    fn a_pause_ends_with_whatever_comes_first() {
        let timer = Outlook { timer: Some(at(7)), ..NOTHING };
        assert_eq!(pause(&timer), Pause::Until(Some(at(7))));
        assert_eq!(pause(&Outlook { grace: Some(at(5)), ..timer }), Pause::Until(Some(at(5))));
        assert_eq!(pause(&Outlook { grace: Some(at(9)), ..timer }), Pause::Until(Some(at(7))));
        let cushion = Some(Duration::from_nanos(3));
        let quiet = Pause::Quiet { until: Some(at(7)), cushion: Duration::from_nanos(3) };
        assert_eq!(pause(&Outlook { cushion, ..timer }), quiet);
    }

    #[test]
    fn stuck_is_who_has_nothing_at_all_to_wait_for() {
        assert_eq!(pause(&NOTHING), Pause::Stuck);
        assert_eq!(pause(&Outlook { alone: false, ..NOTHING }), Pause::Until(None));
        assert_eq!(pause(&Outlook { grace: Some(at(1)), ..NOTHING }), Pause::Until(Some(at(1))));
        assert_eq!(leap(&STILL), Leap::Stuck);
        assert_eq!(leap(&Standstill { alone: false, ..STILL }), Leap::Wait);
        assert_eq!(leap(&Standstill { ending: true, ..STILL }), Leap::Wait);
        assert_eq!(leap(&Standstill { next: Some(at(20)), autojump: false, ..STILL }), Leap::Stuck);
    }

    #[test]
    fn virtual_time_goes_to_the_next_deadline_and_never_back() {
        assert_eq!(leap(&Standstill { next: Some(at(20)), ..STILL }), Leap::To(at(20)));
        assert_eq!(leap(&Standstill { next: Some(at(5)), ..STILL }), Leap::To(at(10)));
        let held = Standstill { next: Some(at(20)), held: true, alone: false, ..STILL };
        assert_eq!(leap(&held), Leap::Wait);
    }

    #[test]
    fn idleness_comes_before_a_deadline_that_is_later_than_its_cushion() {
        let waits =
            |nanos| Standstill { next: Some(at(20)), cushion: Some(Duration::from_nanos(nanos)), ..STILL };
        assert_eq!(leap(&waits(0)), Leap::Idle(at(10)));
        assert_eq!(leap(&waits(9)), Leap::Idle(at(19)));
        assert_eq!(leap(&waits(10)), Leap::To(at(20)), "not longer than that");
        assert_eq!(leap(&Standstill { autojump: false, ..waits(9) }), Leap::Idle(at(10)));
        assert_eq!(leap(&Standstill { held: true, alone: false, ..waits(9) }), Leap::Wait);
        assert_eq!(leap(&Standstill { held: true, ..waits(0) }), Leap::Idle(at(10)));
    }
}
