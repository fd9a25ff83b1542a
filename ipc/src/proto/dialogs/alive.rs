//! Whether the peer is still there, when nothing is heard of it. ◇
//!
//! ```text
//!   heard ──── `every` of silence ────► Ping ──── `lost` since it was heard ────► Limit::Silence
//!     ▲                                  │
//!     └────────── any byte ◄─────────────┘
//! ```
//!
//! Rules:
//! * Any byte is a sign of life, not only an answer. Who is heard is not asked.
//! * Off on a local link: there the kernel tells when the peer dies. Over a network it may never.

use super::limit::Limit;
use std::time::Duration;

/// When to ask whether the peer is there, and when to give it up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct KeepAlive {
    /// Ask after so much silence, and again after as much.
    pub every: Duration,
    /// Give up after so much silence.
    pub lost: Duration,
}

impl KeepAlive {
    /// For networks: ask after 5 s, give up after 15 s.
    pub const NETWORK: KeepAlive = KeepAlive { every: Duration::from_secs(5), lost: Duration::from_secs(15) };
}

/// What is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Due {
    Nothing,
    Ping(u64),
    Lost(Limit),
}

#[derive(Debug)]
pub(super) struct Alive {
    rule: Option<KeepAlive>,
    heard: Duration,
    /// Since then the next question is counted: the last sign of life, or the last question.
    asked: Duration,
    pings: u64,
}

impl Alive {
    pub(super) const fn new(rule: Option<KeepAlive>, now: Duration) -> Self {
        Alive { rule, heard: now, asked: now, pings: 0 }
    }

    pub(super) fn heard(&mut self, now: Duration) {
        (self.heard, self.asked) = (now, now);
    }

    /// The number of the last question; an answer to a later one is a lie.
    pub(super) const fn pings(&self) -> u64 {
        self.pings
    }

    pub(super) fn next_deadline(&self) -> Option<Duration> {
        let rule = self.rule?;
        Some(self.asked.saturating_add(rule.every).min(self.heard.saturating_add(rule.lost)))
    }

    pub(super) fn at(&mut self, now: Duration) -> Due {
        let Some(rule) = self.rule else { return Due::Nothing };
        let silent = now.saturating_sub(self.heard);
        if silent >= rule.lost {
            return Due::Lost(Limit::Silence { after: silent });
        }
        if now.saturating_sub(self.asked) < rule.every {
            return Due::Nothing;
        }
        (self.asked, self.pings) = (now, self.pings + 1);
        Due::Ping(self.pings)
    }
}

#[cfg(test)]
mod tests {
    use super::{Alive, Due, KeepAlive};
    use crate::proto::dialogs::limit::Limit;
    use std::time::Duration;

    const fn s(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn silence_is_asked_about_and_then_the_end() {
        let mut alive = Alive::new(Some(KeepAlive::NETWORK), s(100));
        assert_eq!((alive.next_deadline(), alive.at(s(104))), (Some(s(105)), Due::Nothing));
        assert_eq!((alive.at(s(105)), alive.next_deadline()), (Due::Ping(1), Some(s(110))));
        assert_eq!((alive.at(s(110)), alive.next_deadline()), (Due::Ping(2), Some(s(115))));
        assert_eq!(alive.at(s(115)), Due::Lost(Limit::Silence { after: s(15) }));
    }

    #[test]
    fn any_sign_of_life_begins_anew() {
        let mut alive = Alive::new(Some(KeepAlive::NETWORK), s(0));
        assert_eq!(alive.at(s(14)), Due::Ping(1));
        alive.heard(s(14));
        assert_eq!((alive.at(s(18)), alive.next_deadline()), (Due::Nothing, Some(s(19))));
    }

    #[test]
    fn without_a_rule_there_is_no_deadline() {
        let mut alive = Alive::new(None, s(0));
        assert_eq!((alive.next_deadline(), alive.at(s(1_000_000))), (None, Due::Nothing));
    }
}
