//! What leaves: one batch at a time, encoded when there is room for it. ◇
//!
//! ```text
//!   poll_transmit ─► the connection's own control ─► control of dialogs ─► one chunk of one dialog ─► again, until full
//! ```

use super::{Event, LastWord, Mux};
use crate::proto::dialogs::limit::CHUNK;
use crate::proto::dialogs::ops::{Class, DialogId, Op};
use crate::proto::dialogs::outbox::Left;

impl Mux {
    /// Appends frames to `out` until there is nothing to send, or they are `most` bytes or more (by less than one frame).
    /// Says whether there were any. What is appended counts as sent: write all of it, or [`lose`](Self::lose).
    pub fn poll_transmit(&mut self, out: &mut Vec<u8>, most: usize) -> bool {
        let start = out.len();
        while out.len() - start < most {
            let any = self.line_control(out)
                || self.dialog_control(out)
                || self.say_goodbye(out)
                || self.one_chunk(out);
            if !any {
                break;
            }
        }
        out.len() > start
    }

    /// There is something to send.
    #[must_use]
    pub fn wants_transmit(&self) -> bool {
        let line = &self.line;
        line.pong.is_some()
            || line.ping.is_some()
            || line.goodbye.is_some()
            || !line.answers.is_empty()
            || !self.control.is_empty()
            || !self.data.is_empty()
    }

    /// One operation of the connection itself.
    fn line_control(&mut self, out: &mut Vec<u8>) -> bool {
        let line = &mut self.line;
        let op = if let Some(n) = line.pong.take() {
            Op::Pong { n }
        } else if let Some(n) = line.ping.take() {
            Op::Ping { n }
        } else if let Some((dialog, request)) = line.answers.pop_front() {
            self.unanswered -= 1;
            Op::CancelAck { dialog, request }
        } else {
            return false;
        };
        op.encode(out);
        true
    }

    /// All control of one dialog.
    fn dialog_control(&mut self, out: &mut Vec<u8>) -> bool {
        let Some(dialog) = self.control.next() else { return false };
        let Some(entry) = self.table.get_mut(&dialog) else { return true };
        let (mode, waits) = (entry.dialog.mode(), &mut entry.waits);
        if let Some((schema, name)) = waits.open.take() {
            Op::Open { dialog, mode, schema, name: &name }.encode(out);
        }
        if let Some((request, cause)) = waits.cancel.take() {
            Op::Cancel { dialog, request, cause }.encode(out);
        }
        if std::mem::take(&mut waits.enough) {
            Op::Enough { dialog }.encode(out);
        }
        if std::mem::take(&mut waits.credit) {
            Op::Credit { dialog, to: entry.inbox.announce() }.encode(out);
        }
        let last = waits.end.take();
        let ended = last.is_some();
        match last {
            Some(LastWord::Refused(why)) => Op::Refused { dialog, why }.encode(out),
            Some(LastWord::Cancelled(request, cause)) => Op::Cancelled { dialog, request, cause }.encode(out),
            None => {}
        }
        for request in std::mem::take(&mut waits.answers) {
            self.unanswered -= 1;
            Op::CancelAck { dialog, request }.encode(out);
        }
        if ended {
            self.left(dialog);
        }
        self.settle(dialog);
        true
    }

    /// Behind the control of dialogs: what was opened before it has to come before it.
    fn say_goodbye(&mut self, out: &mut Vec<u8>) -> bool {
        let last = self.line.goodbye.take();
        last.iter().for_each(|last| Op::Goodbye { last: *last }.encode(out));
        last.is_some()
    }

    /// One turn of one dialog.
    fn one_chunk(&mut self, out: &mut Vec<u8>) -> bool {
        let Some(dialog) = self.data.next() else { return false };
        let Some(entry) = self.table.get_mut(&dialog) else { return true };
        let left = entry.outbox.next_chunk(dialog, CHUNK, out);
        if entry.outbox.has_room_again() {
            self.events.push_back(Event::Writable(dialog));
        }
        if let Some(Left::Whole(Class::Return | Class::Failed)) = left {
            self.left(dialog);
        }
        self.wake(dialog);
        self.settle(dialog);
        true
    }

    /// The last word of a callee has left.
    fn left(&mut self, dialog: DialogId) {
        let ended = self.table.get_mut(&dialog).and_then(|entry| entry.dialog.left());
        if let Some(by) = ended {
            self.events.push_back(Event::Ended { dialog, by });
        }
    }
}
