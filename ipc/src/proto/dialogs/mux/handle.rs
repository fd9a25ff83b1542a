//! What comes: bytes to frames, frames to operations, operations to the state of their dialog. ◇
//!
//! ```text
//!   handle_bytes ─► [ half a fr… ] ─► handle_body ─ of the connection ─► pong, goodbye
//!                                          │ new ─► limit of dialogs ─► entry, Event::Opened
//!                                          │ known ─► its state ─► inbox, outbox, event
//!                                          └ over ─► late: answered if it asks, else dropped
//! ```

use super::{Event, Mux};
use crate::proto::dialogs::alive::Due;
use crate::proto::dialogs::ended::{EndedBy, Loss};
use crate::proto::dialogs::limit::{BODY, Breach, Limit};
use crate::proto::dialogs::ops::{Class, DialogId, KIND, Mode, Op, Refusal};
use crate::proto::dialogs::state::{Dialog, Heard, Role};
use crate::proto::message::WireCause;
use std::time::Duration;

/// How many bytes of a frame are its length.
const LENGTH: usize = 4;

impl Mux {
    /// Takes bytes that came, cut anywhere. Nothing is taken after the connection was lost.
    ///
    /// # Errors
    ///
    /// [`Breach`]: the peer broke the protocol. The connection is lost by that, and every dialog with it.
    pub fn handle_bytes(&mut self, mut bytes: &[u8], now: Duration) -> Result<(), Breach> {
        if !bytes.is_empty() {
            self.alive.heard(now);
        }
        while !bytes.is_empty() && self.lost.is_none() {
            self.one_frame(&mut bytes).inspect_err(|breach| self.lose(Loss::Breach(breach.clone())))?;
        }
        Ok(())
    }

    /// Takes the body of one frame of kind [`KIND`]: for a connection whose frames are told apart elsewhere.
    ///
    /// # Errors
    ///
    /// Like [`handle_bytes`](Self::handle_bytes).
    pub fn handle_body(&mut self, body: &[u8], now: Duration) -> Result<(), Breach> {
        if self.lost.is_some() {
            return Ok(());
        }
        self.alive.heard(now);
        self.body(body).inspect_err(|breach| self.lose(Loss::Breach(breach.clone())))
    }

    /// The stream has ended. Whatever is open is lost.
    pub fn end_of_stream(&mut self) {
        self.lose(match self.partial.len() {
            0 => Loss::Closed,
            received => Loss::Breach(Breach::Truncated { received }),
        });
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) next, if nothing comes before.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Duration> {
        if self.lost.is_some() { None } else { self.alive.next_deadline() }
    }

    /// Time has passed. Too early does no harm.
    pub fn handle_timeout(&mut self, now: Duration) {
        if self.lost.is_some() {
            return;
        }
        match self.alive.at(now) {
            Due::Nothing => {}
            Due::Ping(n) => self.line.ping = Some(n),
            Due::Lost(limit) => self.lose(Loss::Breach(limit.into())),
        }
    }

    /// Takes the bytes of one frame, or all there are of it.
    fn one_frame(&mut self, bytes: &mut &[u8]) -> Result<(), Breach> {
        if self.partial.is_empty()
            && let Some(end) = frame_end(bytes)?
            && let Some(frame) = bytes.split_off(..end)
        {
            return self.body(&frame[LENGTH + 1..]);
        }
        // Half a frame: what is missing of its head, then of its body.
        let here = self.partial.len();
        let want = frame_end(&self.partial)?.unwrap_or(LENGTH + 1);
        let n = (want - here).min(bytes.len());
        self.partial.extend_from_slice(bytes.split_off(..n).unwrap_or_default());
        if frame_end(&self.partial)? == Some(self.partial.len()) {
            let mut frame = std::mem::take(&mut self.partial);
            self.body(&frame[LENGTH + 1..])?;
            frame.clear();
            self.partial = frame;
        }
        Ok(())
    }

    fn body(&mut self, body: &[u8]) -> Result<(), Breach> {
        let op = Op::decode(body)?;
        let name = op.name();
        match op {
            Op::Ping { n } => self.line.pong = Some(n),
            Op::Pong { n } if n > self.alive.pings() => return Err(Breach::Malformed { op: name }),
            Op::Pong { .. } => {}
            Op::Goodbye { last } => self.hear_goodbye(last)?,
            Op::Open { dialog, mode, schema, name } => self.hear_open(dialog, mode, schema, name)?,
            _ => {
                let dialog = op.dialog().expect("every other operation is about a dialog");
                if self.table.contains_key(&dialog) {
                    self.hear(dialog, op)?;
                } else {
                    self.hear_late(dialog, &op)?;
                }
                self.wake(dialog);
                self.settle(dialog);
            }
        }
        Ok(())
    }

    fn hear_goodbye(&mut self, last: u64) -> Result<(), Breach> {
        if self.peer_leaves || last > self.last[0] {
            return Err(Breach::Malformed { op: "Goodbye" });
        }
        self.peer_leaves = true;
        self.events.push_back(Event::Goodbye);
        // What the peer had not seen when it said so is never begun.
        let above = DialogId { side: self.side, n: last + 1 };
        let below = DialogId { side: self.side, n: u64::MAX };
        let missed: Vec<DialogId> = self.table.range(above..=below).map(|(dialog, _)| *dialog).collect();
        for dialog in missed {
            let by = EndedBy::Refused(Refusal::Leaving);
            let ended = self.table.get_mut(&dialog).map(|entry| entry.dialog.hear_end(by));
            if let Some(Ok(by)) = ended {
                self.over(dialog, by);
            }
            self.settle(dialog);
        }
        Ok(())
    }

    fn hear_open(&mut self, dialog: DialogId, mode: Mode, schema: u64, name: &str) -> Result<(), Breach> {
        let order = |why| Breach::Order { dialog, op: "Open", why };
        if dialog.side == self.side {
            return Err(order("it is not the sender's to open"));
        }
        if dialog.n != self.last[1] + 1 {
            return Err(order("not the next number"));
        }
        if self.peer_leaves {
            return Err(order("after Goodbye"));
        }
        self.last[1] = dialog.n;
        if self.leaving.is_some() {
            // It crossed our Goodbye, which tells its opener that it was not begun.
            return Ok(());
        }
        if self.open[1] >= self.ours.dialogs {
            return Err(Limit::Dialogs { most: self.ours.dialogs }.into());
        }
        self.open[1] += 1;
        let entry = self.entry(Dialog::open(Role::Callee, mode));
        self.table.insert(dialog, entry);
        self.events.push_back(Event::Opened { dialog, name: name.to_owned(), schema, mode });
        Ok(())
    }

    /// For a dialog that is not here.
    fn hear_late(&mut self, dialog: DialogId, op: &Op<'_>) -> Result<(), Breach> {
        let order = |why| Err(Breach::Order { dialog, op: op.name(), why });
        if dialog.n > self.last[usize::from(dialog.side != self.side)] {
            return order("it was never opened");
        }
        if dialog.side == self.side {
            // An opener forgets a dialog when its callee has said its last word and answered.
            return order("it is over");
        }
        match op {
            Op::Cancel { request, .. } => self.owe_answer(dialog, *request),
            Op::Piece { .. }
            | Op::Credit { .. }
            | Op::Stop { .. }
            | Op::Skipped { .. }
            | Op::Enough { .. } => Ok(()),
            _ => order("only a callee says that"),
        }
    }

    /// An answer that can leave at once.
    fn owe_answer(&mut self, dialog: DialogId, request: u64) -> Result<(), Breach> {
        self.count_request()?;
        self.line.answers.push_back((dialog, request));
        Ok(())
    }

    fn count_request(&mut self) -> Result<(), Breach> {
        let most = self.ours.dialogs.saturating_mul(2);
        if self.unanswered >= most {
            return Err(Limit::Requests { most }.into());
        }
        self.unanswered += 1;
        Ok(())
    }

    /// For a dialog that is here.
    fn hear(&mut self, dialog: DialogId, op: Op<'_>) -> Result<(), Breach> {
        let name = op.name();
        let order = |why| Breach::Order { dialog, op: name, why };
        let entry = self.table.get_mut(&dialog).expect("the caller has seen it");
        match op {
            Op::Piece { class, last, bytes, .. } => self.hear_piece(dialog, class, last, bytes)?,
            Op::Credit { to, .. } => {
                entry.outbox.grant(to);
                if entry.dialog.role == Role::Opener && entry.dialog.is_over() {
                    return Err(order("it is over"));
                }
            }
            Op::Stop { how, .. } => {
                if entry.dialog.hear_stop(how, entry.inbox.half()).map_err(order)? {
                    entry.inbox.stopped(how);
                    self.readable(dialog);
                }
            }
            Op::Skipped { n, .. } => {
                // First whether it is of interest: what crossed our last word may be the middle of anything.
                if entry.dialog.hear(Class::Item).map_err(order)? {
                    if entry.inbox.half().is_some() {
                        return Err(order("in the middle of a message"));
                    }
                    entry.inbox.skipped(n);
                    self.readable(dialog);
                }
            }
            Op::Enough { .. } => {
                if !entry.enough && !entry.dialog.is_over() {
                    entry.enough = true;
                    self.events.push_back(Event::Enough(dialog));
                }
                entry.outbox.clear_items();
            }
            Op::Cancel { request, cause, .. } => self.hear_cancel(dialog, request, cause)?,
            Op::CancelAck { request, .. } => {
                entry.dialog.hear_ack(request).map_err(order)?;
                self.events.push_back(Event::Answered { dialog, request });
            }
            Op::Cancelled { request, cause, .. } => {
                let by = request.map_or(EndedBy::Stopped { cause }, |request| EndedBy::Cancelled { request });
                let by = entry.dialog.hear_end(by).map_err(order)?;
                self.over(dialog, by);
            }
            Op::Refused { why, .. } => {
                let by = entry.dialog.hear_end(EndedBy::Refused(why)).map_err(order)?;
                self.over(dialog, by);
            }
            Op::Open { .. } | Op::Ping { .. } | Op::Pong { .. } | Op::Goodbye { .. } => {
                unreachable!("these are handled where operations are told apart")
            }
        }
        Ok(())
    }

    fn hear_piece(&mut self, dialog: DialogId, class: Class, last: bool, bytes: &[u8]) -> Result<(), Breach> {
        let order = |why| Breach::Order { dialog, op: "Piece", why };
        let entry = self.table.get_mut(&dialog).expect("the caller has seen it");
        if !entry.dialog.hear(class).map_err(order)? {
            return Ok(());
        }
        if entry.inbox.half().is_some_and(|half| half != class) {
            return Err(order("in the middle of another message"));
        }
        let due = entry.inbox.piece(dialog, class, bytes, last)?;
        entry.waits.credit |= due;
        let ended = if last { entry.dialog.hear_whole(class) } else { None };
        self.readable(dialog);
        if let Some(by) = ended {
            self.over(dialog, by);
        }
        Ok(())
    }

    fn hear_cancel(&mut self, dialog: DialogId, request: u64, cause: WireCause) -> Result<(), Breach> {
        let entry = self.table.get_mut(&dialog).expect("the caller has seen it");
        let order = |why| Breach::Order { dialog, op: "Cancel", why };
        match entry.dialog.hear_cancel(request).map_err(order)? {
            Heard::Again => {}
            Heard::Over => self.owe_answer(dialog, request)?,
            Heard::Another => self.count_request()?,
            Heard::First => {
                self.count_request()?;
                self.events.push_back(Event::Cancel { dialog, request, cause });
            }
        }
        Ok(())
    }

    /// The callee said its last word.
    fn over(&mut self, dialog: DialogId, by: EndedBy) {
        let entry = self.table.get_mut(&dialog).expect("its end was heard just now");
        entry.outbox.clear();
        (entry.waits.credit, entry.waits.enough) = (false, false);
        self.events.push_back(Event::Ended { dialog, by });
    }

    fn readable(&mut self, dialog: DialogId) {
        let entry = self.table.get_mut(&dialog).expect("something came for it just now");
        if !entry.inbox.is_empty() && !std::mem::replace(&mut entry.readable, true) {
            self.events.push_back(Event::Readable(dialog));
        }
    }
}

/// How long the frame is that begins here, as soon as that can be said, and whether it can be one at all.
fn frame_end(bytes: &[u8]) -> Result<Option<usize>, Breach> {
    let Some((length, rest)) = bytes.split_first_chunk::<LENGTH>() else { return Ok(None) };
    let len = u32::from_le_bytes(*length);
    if len == 0 {
        return Err(Breach::Empty);
    }
    if len as usize > BODY {
        return Err(Limit::Frame { len, most: BODY as u32 }.into());
    }
    match rest.first() {
        None => Ok(None),
        Some(&KIND) => Ok(Some(LENGTH + len as usize)),
        Some(&byte) => Err(Breach::Kind { byte }),
    }
}
