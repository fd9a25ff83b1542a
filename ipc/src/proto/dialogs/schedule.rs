//! Whose turn it is to send: control before data, and one chunk of each dialog in turn. ◇
//!
//! ```text
//!   want_control(id) ─► [ id │ id │ … ] ─┐
//!                                        ├─► next: control as long as there is any, then one of data
//!   want_data(id) ────► [ id │ id │ … ] ─┘
//! ```
//!
//! Rule: a dialog stands in each queue at most once, so the queues are never longer than there are dialogs.

use super::ops::DialogId;
use std::collections::{HashSet, VecDeque};

#[derive(Debug, Default)]
pub(super) struct Turns {
    queue: VecDeque<DialogId>,
    /// Those in the queue.
    waiting: HashSet<DialogId>,
}

impl Turns {
    /// It has something to send. If it stands here already, it keeps its place.
    pub(super) fn want(&mut self, dialog: DialogId) {
        if self.waiting.insert(dialog) {
            self.queue.push_back(dialog);
        }
    }

    /// Whose turn it is. It leaves the queue; if it has more to send, it comes in last.
    pub(super) fn next(&mut self) -> Option<DialogId> {
        let dialog = self.queue.pop_front()?;
        self.waiting.remove(&dialog);
        Some(dialog)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    pub(super) fn clear(&mut self) {
        *self = Turns::default();
    }
}

#[cfg(test)]
mod tests {
    use super::{DialogId, Turns};
    use crate::proto::dialogs::ops::Side;

    #[test]
    fn turns_go_round_and_nobody_stands_twice() {
        let id = |n| DialogId { side: Side::Connector, n };
        let mut turns = Turns::default();
        for n in [1, 2, 1, 3, 1] {
            turns.want(id(n));
        }
        let mut order = Vec::new();
        for _ in 0..6 {
            let dialog = turns.next().unwrap();
            order.push(dialog.n);
            turns.want(dialog);
        }
        assert_eq!(order, [1, 2, 3, 1, 2, 3]);
    }
}
