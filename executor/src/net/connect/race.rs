//! Which of several addresses to try when. Pure: time is an argument.
//!
//! ```text
//!   step(now) ─► Start(i) │ Wait(until) │ Lost                failed(now): one of those under way has failed
//!
//!   address 0 ├──────────────────────────────
//!   address 1          ├──────────── failed
//!   address 2                        ├───────      at once after a failure, else one delay after the one before
//! ```
//!
//! Rules: addresses are begun in their order. Each is begun one delay after the one before it, or as soon as one of those
//! under way has failed (RFC 8305, section 5). Who connects first wins: the caller drops the others.

use crate::clock::Instant;
use std::time::Duration;

/// What to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Begin with the address of this index, and ask again.
    Start(usize),
    /// Wait for those under way, and ask again at this moment, if one is given.
    Wait(Option<Instant>),
    /// Every address has failed.
    Lost,
}

/// How far the race is.
#[derive(Debug)]
pub(super) struct Race {
    addresses: usize,
    next: usize,
    under_way: usize,
    next_at: Instant,
    delay: Duration,
}

impl Race {
    pub(super) fn new(addresses: usize, delay: Duration, now: Instant) -> Self {
        Race { addresses, next: 0, under_way: 0, next_at: now, delay }
    }

    #[must_use = "an address that is to be begun and is not is counted as under way"]
    pub(super) fn step(&mut self, now: Instant) -> Step {
        if self.next == self.addresses {
            return if self.under_way == 0 { Step::Lost } else { Step::Wait(None) };
        }
        if now < self.next_at {
            return Step::Wait(Some(self.next_at));
        }
        let index = self.next;
        self.next += 1;
        self.under_way += 1;
        self.next_at = now + self.delay;
        Step::Start(index)
    }

    /// One of those under way has failed: the next one need not wait.
    pub(super) fn failed(&mut self, now: Instant) {
        self.under_way -= 1;
        self.next_at = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DELAY: Duration = Duration::from_millis(250);

    fn at(millis: u64) -> Instant {
        Instant::from_nanos(1_000_000 * (1_000 + millis))
    }

    #[test]
    fn addresses_are_begun_one_delay_apart() {
        let mut race = Race::new(3, DELAY, at(0));
        assert_eq!(race.step(at(0)), Step::Start(0));
        assert_eq!(race.step(at(0)), Step::Wait(Some(at(250))));
        assert_eq!(race.step(at(249)), Step::Wait(Some(at(250))));
        assert_eq!(race.step(at(260)), Step::Start(1));
        assert_eq!(race.step(at(260)), Step::Wait(Some(at(510))));
        assert_eq!(race.step(at(510)), Step::Start(2));
        assert_eq!(race.step(at(9999)), Step::Wait(None));
    }

    #[test]
    fn a_failure_begins_the_next_at_once_and_the_delay_anew() {
        let mut race = Race::new(3, DELAY, at(0));
        assert_eq!(race.step(at(0)), Step::Start(0));
        race.failed(at(10));
        assert_eq!(race.step(at(10)), Step::Start(1));
        assert_eq!(race.step(at(10)), Step::Wait(Some(at(260))));
    }

    #[test]
    fn it_is_lost_when_all_have_failed_and_not_before() {
        let mut race = Race::new(2, DELAY, at(0));
        assert_eq!(race.step(at(0)), Step::Start(0));
        assert_eq!(race.step(at(250)), Step::Start(1));
        race.failed(at(260));
        assert_eq!(race.step(at(260)), Step::Wait(None));
        race.failed(at(270));
        assert_eq!(race.step(at(270)), Step::Lost);
        assert_eq!(Race::new(0, DELAY, at(0)).step(at(0)), Step::Lost);
    }
}
