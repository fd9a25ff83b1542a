//! What one end of a dialog has yet to send: whole messages of the user, cut into pieces only as they leave. ◇
//!
//! ```text
//!   send ─ room? ─ policy ─► [ item │ skipped 3 │ item │ stop │ return ]  ─ next_chunk ─► one piece, one turn
//!                                                                     ▲ credit
//! ```
//!
//! Rules:
//! * Only items have a policy; the first and the last message of a side always have room, because there is one of each.
//! * An item whose first piece has left is never dropped: the peer would have half of it.
//! * What was dropped is told at the place where it is missing, before the next item.

use super::credit::{Allowance, Credit};
use super::ops::{Class, DialogId, How, Op};
use std::collections::VecDeque;

/// What happens to an item for which there is no room, because its reader is slow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Overflow {
    /// It is given back; there is an event when there is room.
    #[default]
    Block,
    /// The oldest item that has not begun to leave is dropped for it.
    DropOldest,
    /// It is dropped itself.
    DropNewest,
    /// It is refused as an error.
    Error,
}

/// How many items wait for credit, and what happens to more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Policy {
    /// What happens to more.
    pub overflow: Overflow,
    /// How many items wait. At least 1 do.
    pub room: usize,
}

impl Default for Policy {
    /// [`Overflow::Block`] and 16 items.
    fn default() -> Self {
        Policy { overflow: Overflow::Block, room: 16 }
    }
}

/// What became of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[must_use = "an item may have been dropped"]
pub enum Sent {
    /// It will leave in its turn.
    Queued,
    /// It will leave in its turn, and an older one was dropped for it.
    DroppedOldest,
    /// It was dropped.
    DroppedNewest,
}

/// Why an item was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendError {
    /// No room until the peer reads; the item is given back.
    WouldBlock(Vec<u8>),
    /// No room, and the policy makes that an error; the item is given back.
    Overflow(Vec<u8>),
    /// This side has stopped sending, or the dialog is over, by our own doing or the opener's wish.
    Closed,
    /// The peer wants no more items. The dialog goes on.
    Enough,
}

impl std::fmt::Display for SendError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            SendError::WouldBlock(_) => "no room until the peer reads",
            SendError::Overflow(_) => "the peer reads too slowly for the policy of this stream",
            SendError::Closed => "this side of the dialog sends no more",
            SendError::Enough => "the peer wants no more items",
        })
    }
}

impl std::error::Error for SendError {}

#[derive(Debug)]
enum Out {
    /// `sent` bytes of it have left; `None`: not even its begin.
    Message {
        class: Class,
        bytes: Vec<u8>,
        sent: Option<usize>,
    },
    Skipped(u64),
    Stop(How),
}

impl Out {
    /// An item of which nothing has left.
    const fn is_whole_item(&self) -> bool {
        matches!(self, Out::Message { class: Class::Item, sent: None, .. })
    }
}

#[derive(Debug)]
pub(super) struct Outbox {
    queue: VecDeque<Out>,
    /// How many items are in the queue.
    items: usize,
    policy: Policy,
    allowance: Allowance,
    /// Somebody was told `WouldBlock` and not yet that there is room.
    waited_for: bool,
    dropped: u64,
    /// The peer was told that no more items come.
    stop_left: bool,
}

impl Outbox {
    pub(super) const fn new(window: Credit, policy: Policy) -> Self {
        Outbox {
            queue: VecDeque::new(),
            items: 0,
            policy,
            allowance: Allowance::new(window),
            waited_for: false,
            dropped: 0,
            stop_left: false,
        }
    }

    pub(super) const fn set_policy(&mut self, policy: Policy) {
        self.policy = policy;
    }

    pub(super) fn grant(&mut self, to: Credit) {
        self.allowance.grant(to);
    }

    pub(super) const fn available(&self) -> Credit {
        self.allowance.available()
    }

    pub(super) const fn dropped(&self) -> u64 {
        self.dropped
    }

    /// A message that always has room: the first or the last of a side.
    pub(super) fn push(&mut self, class: Class, bytes: Vec<u8>) {
        self.queue.push_back(Out::Message { class, bytes, sent: None });
    }

    pub(super) fn stop(&mut self, how: How) {
        self.queue.push_back(Out::Stop(how));
    }

    pub(super) fn send(&mut self, bytes: Vec<u8>) -> Result<Sent, SendError> {
        let mut sent = Sent::Queued;
        if self.items >= self.policy.room.max(1) {
            match self.policy.overflow {
                Overflow::Block => {
                    self.waited_for = true;
                    return Err(SendError::WouldBlock(bytes));
                }
                Overflow::Error => return Err(SendError::Overflow(bytes)),
                Overflow::DropNewest => return Ok(self.drop_newest()),
                // If the only item that waits has half left, there is no older one to drop.
                Overflow::DropOldest if !self.any_whole() => return Ok(self.drop_newest()),
                Overflow::DropOldest => {
                    self.drop_oldest();
                    sent = Sent::DroppedOldest;
                }
            }
        }
        self.items += 1;
        self.push(Class::Item, bytes);
        Ok(sent)
    }

    fn drop_newest(&mut self) -> Sent {
        self.dropped += 1;
        match self.queue.back_mut() {
            Some(Out::Skipped(n)) => *n += 1,
            _ => self.queue.push_back(Out::Skipped(1)),
        }
        Sent::DroppedNewest
    }

    fn any_whole(&self) -> bool {
        self.queue.iter().any(Out::is_whole_item)
    }

    fn drop_oldest(&mut self) {
        let Some(at) = self.queue.iter().position(Out::is_whole_item) else { return };
        (self.items, self.dropped) = (self.items - 1, self.dropped + 1);
        let mut missing = 1;
        self.queue.remove(at);
        // The gaps on both sides of it become one.
        if let Some(Out::Skipped(n)) = self.queue.get(at) {
            missing += n;
            self.queue.remove(at);
        }
        match at.checked_sub(1).and_then(|before| self.queue.get_mut(before)) {
            Some(Out::Skipped(n)) => *n += missing,
            _ => self.queue.insert(at, Out::Skipped(missing)),
        }
    }

    /// Gives up everything that has not left.
    pub(super) fn clear(&mut self) {
        (self.items, self.waited_for) = (0, false);
        self.queue.clear();
    }

    /// Gives up everything that has not left, and tells the peer that no more comes, unless it knows.
    pub(super) fn clear_and_stop(&mut self, how: How) {
        self.clear();
        if !self.stop_left {
            self.stop(how);
        }
    }

    /// Gives up the items that have not begun to leave.
    pub(super) fn clear_items(&mut self) {
        self.waited_for = false;
        self.queue.retain(|out| match out {
            Out::Message { class, sent, .. } => *class != Class::Item || sent.is_some(),
            Out::Skipped(_) => false,
            Out::Stop(_) => true,
        });
        self.items = usize::from(matches!(self.queue.front(), Some(Out::Message { class: Class::Item, .. })));
    }

    /// There is something that may leave now.
    pub(super) fn ready(&self) -> bool {
        match self.queue.front() {
            None => false,
            Some(Out::Skipped(_) | Out::Stop(_)) => true,
            Some(Out::Message { bytes, sent, .. }) => {
                self.allowance.room(sent.is_none(), bytes.len() - sent.unwrap_or(0)).is_some()
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Encodes what leaves in one turn, at most `most` bytes of a message. Says what it was.
    pub(super) fn next_chunk(&mut self, dialog: DialogId, most: usize, out: &mut Vec<u8>) -> Option<Left> {
        match self.queue.front_mut()? {
            Out::Skipped(n) => Op::Skipped { dialog, n: *n }.encode(out),
            Out::Stop(how) => {
                self.stop_left = true;
                Op::Stop { dialog, how: *how }.encode(out);
            }
            Out::Message { class, bytes, sent } => {
                let (begins, at, class) = (sent.is_none(), sent.unwrap_or(0), *class);
                let n = self.allowance.room(begins, bytes.len() - at)?.min(most);
                let last = at + n == bytes.len();
                Op::Piece { dialog, class, last, bytes: &bytes[at..at + n] }.encode(out);
                self.allowance.spend(begins, n);
                if !last {
                    *sent = Some(at + n);
                    return Some(Left::Part);
                }
                self.queue.pop_front();
                self.items -= usize::from(class == Class::Item);
                return Some(Left::Whole(class));
            }
        }
        self.queue.pop_front();
        Some(Left::Mark)
    }

    /// Whoever was told `WouldBlock` can be told now that there is room; once.
    pub(super) fn has_room_again(&mut self) -> bool {
        self.items < self.policy.room.max(1) && std::mem::take(&mut self.waited_for)
    }
}

/// What has left in one turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Left {
    /// A part of a message.
    Part,
    /// The last of a message.
    Whole(Class),
    /// Something that is no message.
    Mark,
}

#[cfg(test)]
mod tests {
    use super::{Left, Outbox, Overflow, Policy, SendError, Sent};
    use crate::proto::dialogs::credit::Credit;
    use crate::proto::dialogs::ops::{Class, DialogId, Op, Side};

    const ID: DialogId = DialogId { side: Side::Connector, n: 1 };

    fn outbox(overflow: Overflow, credit: Credit) -> Outbox {
        Outbox::new(credit, Policy { overflow, room: 2 })
    }

    /// What leaves with endless credit, as text.
    fn rest(out: &mut Outbox) -> String {
        out.grant(Credit { items: u64::MAX, bytes: u64::MAX });
        let mut text = String::new();
        while out.ready() {
            let mut bytes = Vec::new();
            out.next_chunk(ID, 1024, &mut bytes).unwrap();
            text += &match Op::decode(&bytes[5..]).unwrap() {
                Op::Piece { bytes, last, .. } => {
                    String::from_utf8(bytes.to_vec()).unwrap() + if last { "." } else { "" }
                }
                Op::Skipped { n, .. } => format!("-{n}"),
                other => other.name().to_owned(),
            };
        }
        text
    }

    const NONE: Credit = Credit { items: 0, bytes: 0 };

    fn fill(out: &mut Outbox) {
        assert_eq!(out.send(b"a".to_vec()), Ok(Sent::Queued));
        assert_eq!(out.send(b"b".to_vec()), Ok(Sent::Queued));
    }

    #[test]
    fn block_gives_the_item_back_and_says_once_when_there_is_room() {
        let mut out = outbox(Overflow::Block, NONE);
        fill(&mut out);
        assert_eq!(out.send(b"c".to_vec()), Err(SendError::WouldBlock(b"c".to_vec())));
        assert!(!out.has_room_again());
        out.grant(Credit { items: 1, bytes: 1 });
        assert_eq!(out.next_chunk(ID, 1024, &mut Vec::new()), Some(Left::Whole(Class::Item)));
        assert!(out.has_room_again() && !out.has_room_again());
        assert_eq!((out.dropped(), rest(&mut out)), (0, "b.".into()));
    }

    #[test]
    fn error_refuses_and_drops_nothing() {
        let mut out = outbox(Overflow::Error, NONE);
        fill(&mut out);
        assert_eq!(out.send(b"c".to_vec()), Err(SendError::Overflow(b"c".to_vec())));
        assert_eq!((out.dropped(), rest(&mut out)), (0, "a.b.".into()));
    }

    #[test]
    fn drop_oldest_tells_the_gap_before_what_is_left() {
        let mut out = outbox(Overflow::DropOldest, NONE);
        fill(&mut out);
        for item in [b"c", b"d", b"e"] {
            assert_eq!(out.send(item.to_vec()), Ok(Sent::DroppedOldest));
        }
        assert_eq!((out.dropped(), rest(&mut out)), (3, "-3d.e.".into()));
    }

    #[test]
    fn drop_newest_tells_the_gap_behind_what_was_there() {
        let mut out = outbox(Overflow::DropNewest, NONE);
        fill(&mut out);
        assert_eq!(out.send(b"c".to_vec()), Ok(Sent::DroppedNewest));
        assert_eq!(out.send(b"d".to_vec()), Ok(Sent::DroppedNewest));
        assert_eq!(out.dropped(), 2);
        assert_eq!(rest(&mut out), "a.b.-2");
    }

    #[test]
    fn gaps_that_come_to_touch_are_one() {
        let mut out = outbox(Overflow::DropNewest, NONE);
        fill(&mut out);
        assert_eq!(out.send(b"c".to_vec()), Ok(Sent::DroppedNewest));
        out.set_policy(Policy { overflow: Overflow::DropOldest, room: 2 });
        assert_eq!(out.send(b"d".to_vec()), Ok(Sent::DroppedOldest));
        assert_eq!(out.send(b"e".to_vec()), Ok(Sent::DroppedOldest));
        assert_eq!((out.dropped(), rest(&mut out)), (3, "-3d.e.".into()));
    }

    #[test]
    fn an_item_that_has_half_left_is_never_dropped() {
        let mut out =
            Outbox::new(Credit { items: 1, bytes: 2 }, Policy { overflow: Overflow::DropOldest, room: 1 });
        assert_eq!(out.send(b"long".to_vec()), Ok(Sent::Queued));
        assert_eq!(out.next_chunk(ID, 1024, &mut Vec::new()), Some(Left::Part));
        assert!(!out.ready(), "the credit is used up");
        assert_eq!(out.send(b"x".to_vec()), Ok(Sent::DroppedNewest));
        assert_eq!(rest(&mut out), "ng.-1");
    }
}
