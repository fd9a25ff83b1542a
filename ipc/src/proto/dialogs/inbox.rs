//! What has come for one end of a dialog and was not read yet. Bounded by the credit that this end gave. ◇
//!
//! ```text
//!   Piece, Skipped, Stop ─► order? credit? ─► [ message │ skipped │ half a mess… ] ─ take ─► reader
//!                                                                            └─► credit that is due
//! ```
//!
//! Rules:
//! * The pieces of a message are put together as they come, so that memory follows the bytes and not the pieces.
//! * Once the reader wants no more, items are dropped as they come, and their credit is given back.

use super::credit::{Credit, Window};
use super::limit::Limit;
use super::ops::{Class, DialogId, How};
use std::collections::VecDeque;

/// What a reader gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Received {
    /// Bytes of a message: all that were here. A message that is longer than the credit comes in several.
    Piece {
        /// What the message is.
        class: Class,
        /// The next bytes of it.
        bytes: Vec<u8>,
        /// The message ends here.
        last: bool,
    },
    /// The sender dropped items at this place.
    Skipped(u64),
    /// The sender sends no more. It comes once.
    Stopped(How),
}

#[derive(Debug)]
enum In {
    /// `taken`: the reader has had the begin of it.
    Message {
        class: Class,
        bytes: Vec<u8>,
        whole: bool,
        taken: bool,
    },
    Skipped(u64),
    Stopped(How),
}

#[derive(Debug)]
pub(super) struct Inbox {
    queue: VecDeque<In>,
    /// The class of the message of which the rest has to come next.
    half: Option<Class>,
    window: Window,
    ears: Ears,
}

/// What of a dialog is still wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ears {
    /// All of it.
    Open,
    /// Not the items: the reader said that it has enough.
    NoItems,
    /// Nothing: nobody will read.
    Shut,
}

impl Ears {
    fn hear(self, class: Class) -> bool {
        match self {
            Ears::Open => true,
            Ears::NoItems => class != Class::Item,
            Ears::Shut => false,
        }
    }
}

impl Inbox {
    pub(super) const fn new(window: Credit) -> Self {
        Inbox { queue: VecDeque::new(), half: None, window: Window::new(window), ears: Ears::Open }
    }

    /// The class of the message of which the rest has to come next.
    pub(super) const fn half(&self) -> Option<Class> {
        self.half
    }

    /// Bytes of a message; the caller has seen that the class may come now. Says whether credit is to be told.
    pub(super) fn piece(
        &mut self,
        dialog: DialogId,
        class: Class,
        bytes: &[u8],
        last: bool,
    ) -> Result<bool, Limit> {
        let begins = self.half.is_none();
        self.window.receive(dialog, begins, bytes.len())?;
        self.half = (!last).then_some(class);
        if !self.ears.hear(class) {
            return Ok(self.window.take(begins, bytes.len()));
        }
        match self.queue.back_mut() {
            Some(In::Message { bytes: here, whole, .. }) if !begins => {
                here.extend_from_slice(bytes);
                *whole = last;
            }
            // All that had come of it was taken already.
            _ => self.queue.push_back(In::Message {
                class,
                bytes: bytes.to_vec(),
                whole: last,
                taken: !begins,
            }),
        }
        Ok(false)
    }

    pub(super) fn skipped(&mut self, n: u64) {
        match self.queue.back_mut() {
            _ if self.ears != Ears::Open => {}
            Some(In::Skipped(before)) => *before = before.saturating_add(n),
            _ => self.queue.push_back(In::Skipped(n)),
        }
    }

    pub(super) fn stopped(&mut self, how: How) {
        self.half = None;
        if self.ears == Ears::Open {
            self.queue.push_back(In::Stopped(how));
        }
    }

    /// The next of what has come, and whether credit is to be told.
    pub(super) fn take(&mut self) -> Option<(Received, bool)> {
        Some(match self.queue.pop_front()? {
            In::Message { class, bytes, whole, taken } => {
                let due = self.window.take(!taken, bytes.len());
                (Received::Piece { class, bytes, last: whole }, due)
            }
            In::Skipped(n) => (Received::Skipped(n), false),
            In::Stopped(how) => (Received::Stopped(how), false),
        })
    }

    /// Drops what is here and not wanted any more, and the same of what will come. Says whether credit is to be told.
    pub(super) fn deafen(&mut self, ears: Ears) -> bool {
        self.ears = ears;
        let mut due = false;
        for entry in std::mem::take(&mut self.queue) {
            match entry {
                In::Message { class, .. } if ears.hear(class) => self.queue.push_back(entry),
                In::Message { bytes, taken, .. } => due |= self.window.take(!taken, bytes.len()),
                In::Skipped(_) | In::Stopped(_) => {}
            }
        }
        due
    }

    /// Everything of it is wanted.
    pub(super) fn is_open(&self) -> bool {
        self.ears == Ears::Open
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    pub(super) fn announce(&mut self) -> Credit {
        self.window.announce()
    }

    /// How many bytes are here.
    pub(super) fn bytes(&self) -> usize {
        let len = |entry: &In| if let In::Message { bytes, .. } = entry { bytes.len() } else { 0 };
        self.queue.iter().map(len).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::{Class, Credit, DialogId, Ears, How, Inbox, Received};
    use crate::proto::dialogs::ops::Side;

    const ID: DialogId = DialogId { side: Side::Connector, n: 1 };

    fn inbox() -> Inbox {
        Inbox::new(Credit { items: 8, bytes: 100 })
    }

    fn piece(class: Class, bytes: &[u8], last: bool) -> Option<Received> {
        Some(Received::Piece { class, bytes: bytes.to_vec(), last })
    }

    #[test]
    fn pieces_are_put_together_and_what_was_taken_goes_on_where_it_was() {
        let mut here = inbox();
        for (bytes, last) in [(b"a", false), (b"b", false)] {
            assert_eq!(here.piece(ID, Class::Item, bytes, last), Ok(false));
        }
        assert_eq!(here.queue.len(), 1, "memory follows the bytes and not the pieces");
        assert_eq!(here.take().map(|(r, _)| r), piece(Class::Item, b"ab", false));
        assert_eq!(here.piece(ID, Class::Item, b"c", true), Ok(false));
        assert_eq!(here.take().map(|(r, _)| r), piece(Class::Item, b"c", true));
        // It was one message, for the credit as well.
        assert_eq!(here.announce(), Credit { items: 9, bytes: 103 });
    }

    #[test]
    fn gaps_that_touch_are_one() {
        let mut here = inbox();
        (0..1000).for_each(|_| here.skipped(u64::MAX / 4));
        assert_eq!(here.take(), Some((Received::Skipped(u64::MAX), false)));
        assert!(here.is_empty());
    }

    #[test]
    fn enough_drops_items_and_gives_their_credit_back_but_keeps_the_result() {
        let mut here = inbox();
        assert_eq!(here.piece(ID, Class::Item, &[0; 60], true), Ok(false));
        here.stopped(How::Done);
        assert!(here.deafen(Ears::NoItems), "more than half of the window");
        assert_eq!(here.announce(), Credit { items: 9, bytes: 160 });
        assert_eq!(here.piece(ID, Class::Item, &[0; 60], true), Ok(true));
        assert_eq!(here.piece(ID, Class::Return, b"r", true), Ok(false));
        assert_eq!(here.take().map(|(r, _)| r), piece(Class::Return, b"r", true));
        assert_eq!(here.take(), None);
    }
}
