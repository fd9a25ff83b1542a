//! How far a sender may go: absolute credit in messages and bytes, one pair for each direction of a dialog. ◇
//!
//! ```text
//!   sender   Allowance  used ───────────► granted        available = granted - used
//!                        │ pieces            ▲ Credit{items, bytes}: `up to there`, counted from the begin
//!                        ▼                   │
//!   receiver Window     received ≤ granted   taken + window, told when half of the window is gone
//! ```
//!
//! Rules:
//! * Credit is a place, not an amount: told twice it means the same, and told late it never takes anything back.
//! * A message counts when its first byte comes (an empty one: when it comes), a byte when it comes.
//! * Invariant: `used <= granted` on both sides. Whoever breaks it across the wire breaks a limit.

use super::limit::Limit;
use super::ops::DialogId;
use std::fmt;

/// So many messages and so many bytes of them, counted from the begin of one direction of a dialog.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Credit {
    /// Messages that were begun.
    pub items: u64,
    /// Bytes of all of them.
    pub bytes: u64,
}

impl Credit {
    const fn plus(self, more: Credit) -> Credit {
        Credit { items: self.items.saturating_add(more.items), bytes: self.bytes.saturating_add(more.bytes) }
    }

    fn within(self, most: Credit) -> bool {
        self.items <= most.items && self.bytes <= most.bytes
    }
}

impl fmt::Display for Credit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} messages and {} bytes", self.items, self.bytes)
    }
}

/// The sender's view of one direction.
#[derive(Clone, Copy, Debug)]
pub(super) struct Allowance {
    granted: Credit,
    used: Credit,
}

impl Allowance {
    /// What the peer has announced to take without being asked.
    pub(super) const fn new(window: Credit) -> Self {
        Allowance { granted: window, used: Credit { items: 0, bytes: 0 } }
    }

    /// The peer allows to go up to there. What it allowed before stays allowed.
    pub(super) fn grant(&mut self, to: Credit) {
        self.granted.items = self.granted.items.max(to.items);
        self.granted.bytes = self.granted.bytes.max(to.bytes);
    }

    /// How many bytes of a message may go now; `None`: not even the begin of it, or none of the `left` bytes.
    pub(super) fn room(&self, begins: bool, left: usize) -> Option<usize> {
        if begins && self.used.items >= self.granted.items {
            return None;
        }
        let room = usize::try_from(self.granted.bytes - self.used.bytes).unwrap_or(usize::MAX).min(left);
        (room > 0 || left == 0).then_some(room)
    }

    /// So many bytes of a message go now.
    pub(super) fn spend(&mut self, begins: bool, bytes: usize) {
        self.used = self.used.plus(Credit { items: u64::from(begins), bytes: bytes as u64 });
        debug_assert!(self.used.within(self.granted), "no more than was granted");
    }

    /// What is left. Never below zero: `used` stays within `granted`.
    pub(super) const fn available(&self) -> Credit {
        Credit { items: self.granted.items - self.used.items, bytes: self.granted.bytes - self.used.bytes }
    }
}

/// The receiver's view of one direction.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    size: Credit,
    granted: Credit,
    received: Credit,
    taken: Credit,
}

impl Window {
    /// What this end has announced to take.
    pub(super) const fn new(size: Credit) -> Self {
        let zero = Credit { items: 0, bytes: 0 };
        Window { size, granted: size, received: zero, taken: zero }
    }

    /// So many bytes of a message have come.
    pub(super) fn receive(&mut self, dialog: DialogId, begins: bool, bytes: usize) -> Result<(), Limit> {
        let used = self.received.plus(Credit { items: u64::from(begins), bytes: bytes as u64 });
        if !used.within(self.granted) {
            return Err(Limit::Credit { dialog: Some(dialog), granted: self.granted, used });
        }
        self.received = used;
        Ok(())
    }

    /// The reader took a message, or so many bytes of one. Says whether the sender is to be told now.
    #[must_use = "a sender that is not told waits for ever"]
    pub(super) fn take(&mut self, begins: bool, bytes: usize) -> bool {
        self.taken = self.taken.plus(Credit { items: u64::from(begins), bytes: bytes as u64 });
        debug_assert!(self.taken.within(self.received), "nothing is taken that has not come");
        self.due()
    }

    /// Half of the window is gone: so few announcements, and a sender with a reader that keeps up never waits.
    fn due(&self) -> bool {
        let to = self.taken.plus(self.size);
        let half = |size: u64| (size / 2).max(1);
        to.items - self.granted.items >= half(self.size.items)
            || to.bytes - self.granted.bytes >= half(self.size.bytes)
    }

    /// How far the sender may go from now on: to be told.
    pub(super) fn announce(&mut self) -> Credit {
        self.granted = self.taken.plus(self.size);
        self.granted
    }
}

#[cfg(test)]
mod tests {
    use super::{Allowance, Credit, Window};
    use crate::proto::dialogs::limit::Limit;
    use crate::proto::dialogs::ops::{DialogId, Side};

    const SIZE: Credit = Credit { items: 4, bytes: 100 };
    const ID: DialogId = DialogId { side: Side::Connector, n: 1 };

    #[test]
    fn a_grant_is_a_place_so_that_repeats_and_old_ones_are_harmless() {
        let mut ours = Allowance::new(SIZE);
        ours.spend(true, 60);
        for to in [Credit { items: 8, bytes: 150 }, Credit { items: 8, bytes: 150 }, SIZE] {
            ours.grant(to);
            assert_eq!(ours.available(), Credit { items: 7, bytes: 90 });
        }
    }

    #[test]
    fn a_message_longer_than_the_credit_goes_as_far_as_that() {
        let mut ours = Allowance::new(SIZE);
        assert_eq!(ours.room(true, 250), Some(100));
        ours.spend(true, 100);
        assert_eq!(ours.room(false, 150), None);
        ours.grant(Credit { items: 4, bytes: 170 });
        assert_eq!(ours.room(false, 150), Some(70));
    }

    #[test]
    fn an_empty_message_needs_no_bytes_but_a_place() {
        let mut ours = Allowance::new(Credit { items: 1, bytes: 0 });
        assert_eq!(ours.room(true, 0), Some(0));
        ours.spend(true, 0);
        assert_eq!(ours.room(true, 0), None);
    }

    #[test]
    fn more_than_was_granted_is_a_broken_limit() {
        let mut ours = Window::new(SIZE);
        ours.receive(ID, true, 100).unwrap();
        let used = Credit { items: 1, bytes: 101 };
        assert_eq!(ours.receive(ID, false, 1), Err(Limit::Credit { dialog: Some(ID), granted: SIZE, used }));
        (1..4).for_each(|_| ours.receive(ID, true, 0).unwrap());
        assert!(matches!(
            ours.receive(ID, true, 0),
            Err(Limit::Credit { used: Credit { items: 5, .. }, .. })
        ));
    }

    #[test]
    fn a_reader_that_took_everything_has_always_told_the_sender() {
        for size in [Credit { items: 1, bytes: 1 }, Credit { items: 3, bytes: 7 }, SIZE] {
            let (mut theirs, mut ours) = (Allowance::new(size), Window::new(size));
            for _ in 0..50 {
                let n = theirs.room(true, 5).expect("there is always room after everything was taken");
                theirs.spend(true, n);
                ours.receive(ID, true, n).unwrap();
                if ours.take(true, n) {
                    theirs.grant(ours.announce());
                }
            }
        }
    }
}
