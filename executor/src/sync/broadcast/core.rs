//! The items of a broadcast channel that somebody has yet to receive. Pure: nothing is woken, cloned or dropped in here.
//!
//! ```text
//!   numbers:   41   42   43   44 = end
//!   slots:    [ 1 ][ 0 ][ 2 ]                 how many receivers have yet to take it; with 0 the item is gone
//!               ▲ first
//! ```
//!
//! Rules:
//! * **Counted by Cursor**: a slot's `unread` is the number of open receivers whose cursor is at it or before it. One whose
//!   cursor is before `first` has missed what lies between.
//! * The first slot has an item: what all have taken goes from the front.

use super::error::ReceiveError;
use std::collections::VecDeque;
use std::rc::Rc;

/// What there is of a broadcast channel at this moment, for people who look at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BroadcastStats {
    /// Items that somebody has yet to receive, and those sent after the oldest of them.
    pub buffered: usize,
    /// How many are kept for those who are slow.
    pub capacity: usize,
    /// Open sending handles.
    pub senders: usize,
    /// Open receivers.
    pub receivers: usize,
    /// Tasks that wait for an item.
    pub receiving: usize,
}

struct Slot<T> {
    unread: usize,
    /// Shared, so that it can be cloned when nothing is borrowed. `None` when all have it.
    item: Option<Rc<T>>,
}

pub(super) struct Core<T> {
    capacity: usize,
    /// The number of the first slot.
    first: u64,
    slots: VecDeque<Slot<T>>,
    senders: usize,
    receivers: usize,
}

impl<T> Core<T> {
    /// With one sender, and no receiver.
    pub(super) fn new(capacity: usize) -> Self {
        Core { capacity, first: 0, slots: VecDeque::new(), senders: 1, receivers: 0 }
    }

    pub(super) fn stats(&self, receiving: usize) -> BroadcastStats {
        BroadcastStats {
            buffered: self.slots.len(),
            capacity: self.capacity,
            senders: self.senders,
            receivers: self.receivers,
            receiving,
        }
    }

    /// Takes an item in, and says which one has to go for it.
    pub(super) fn send(&mut self, item: T) -> Result<Option<Rc<T>>, T> {
        if self.receivers == 0 {
            return Err(item);
        }
        let missed = if self.slots.len() == self.capacity { self.pop() } else { None };
        self.slots.push_back(Slot { unread: self.receivers, item: Some(Rc::new(item)) });
        self.trim();
        Ok(missed)
    }

    /// What a receiver at `cursor` gets, and where it is then. `None`: it has to wait.
    pub(super) fn receive(&mut self, cursor: &mut u64) -> Option<Result<Rc<T>, ReceiveError>> {
        if *cursor < self.first {
            let missed = self.first - std::mem::replace(cursor, self.first);
            return Some(Err(ReceiveError::Lagged { missed }));
        }
        let at = self.index(*cursor);
        let Some(slot) = self.slots.get_mut(at) else {
            return (self.senders == 0).then_some(Err(ReceiveError::End));
        };
        *cursor += 1;
        slot.unread -= 1;
        let item = if slot.unread == 0 { slot.item.take() } else { slot.item.clone() };
        self.trim();
        Some(Ok(item.expect("Counted by Cursor")))
    }

    pub(super) fn open_sender(&mut self) {
        self.senders += 1;
    }

    /// Was it the last one?
    pub(super) fn close_sender(&mut self) -> bool {
        self.senders -= 1;
        self.senders == 0
    }

    /// A receiver that has received everything so far: its cursor.
    pub(super) fn subscribe(&mut self) -> u64 {
        self.receivers += 1;
        self.first + self.slots.len() as u64
    }

    /// One more receiver at `cursor`.
    pub(super) fn open_receiver(&mut self, cursor: u64) {
        self.receivers += 1;
        let at = self.index(cursor);
        self.slots.range_mut(at..).for_each(|slot| slot.unread += 1);
    }

    /// The items that nobody has yet to receive, now that the receiver at `cursor` does not.
    pub(super) fn close_receiver(&mut self, cursor: u64) -> Vec<Rc<T>> {
        self.receivers -= 1;
        let at = self.index(cursor);
        let mut over = Vec::new();
        for slot in self.slots.range_mut(at..) {
            slot.unread -= 1;
            if slot.unread == 0 {
                over.extend(slot.item.take());
            }
        }
        self.trim();
        over
    }

    /// Where in `slots` a cursor points: at the first if it is behind.
    fn index(&self, cursor: u64) -> usize {
        usize::try_from(cursor.saturating_sub(self.first))
            .expect("a cursor is at most one past the last slot")
    }

    fn pop(&mut self) -> Option<Rc<T>> {
        self.first += 1;
        self.slots.pop_front()?.item
    }

    fn trim(&mut self) {
        while self.slots.front().is_some_and(|slot| slot.item.is_none()) {
            self.pop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every receiver as a plain list of what it has yet to get.
    #[test]
    fn agrees_with_one_list_for_each_receiver_on_random_operations() {
        const CAPACITY: usize = 4;
        let mut core = Core::new(CAPACITY);
        let mut receivers: Vec<(u64, Vec<u64>)> = vec![(core.subscribe(), Vec::new())];
        let mut x = 0x9E37_79B9_7F4A_7C15_u64;
        for n in 0..50_000_u64 {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            let at = (x >> 8) as usize % receivers.len().max(1);
            match x % 16 {
                0..6 => {
                    assert_eq!(core.send(n).is_ok(), !receivers.is_empty());
                    receivers.iter_mut().for_each(|(_, list)| list.push(n));
                }
                6 if receivers.len() < 5 => receivers.push((core.subscribe(), Vec::new())),
                7 if !receivers.is_empty() && receivers.len() < 5 => {
                    core.open_receiver(receivers[at].0);
                    receivers.push(receivers[at].clone());
                }
                8 if !receivers.is_empty() => {
                    core.close_receiver(receivers.swap_remove(at).0);
                }
                9.. if !receivers.is_empty() => {
                    let (cursor, list) = &mut receivers[at];
                    match core.receive(cursor) {
                        None => assert!(list.is_empty()),
                        Some(Ok(item)) => assert_eq!(*item, list.remove(0)),
                        Some(Err(ReceiveError::Lagged { missed })) => {
                            list.drain(..usize::try_from(missed).unwrap());
                            assert!(missed > 0 && list.len() == CAPACITY);
                        }
                        Some(Err(e)) => panic!("{e}"),
                    }
                }
                _ => {}
            }
            let longest = receivers.iter().map(|(_, list)| list.len().min(CAPACITY)).max().unwrap_or(0);
            assert_eq!(core.slots.len(), longest, "kept exactly as long as somebody has to get it");
        }
    }
}
