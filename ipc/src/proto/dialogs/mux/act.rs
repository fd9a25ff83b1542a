//! What the user of one end does with a dialog: send, stop, read, cancel, finish. ◇
//!
//! ```text
//!   action ─► state: may it? ─ no ─► typed answer (it was a race), or panic (it is a bug of the caller)
//!                 │ yes
//!                 └─► outbox, inbox, control that waits ─► wake (it has something to send), settle (it may be forgotten)
//! ```

use super::Outcome;
use super::{LastWord, Mux};
use crate::proto::dialogs::ended::EndedBy;
use crate::proto::dialogs::inbox::{Ears, Received};
use crate::proto::dialogs::ops::{Class, DialogId, How, Refusal};
use crate::proto::dialogs::outbox::{Policy, SendError, Sent};
use crate::proto::message::WireCause;

impl Mux {
    /// From now on, this many items of this end wait for credit, and this happens to more.
    pub fn set_policy(&mut self, dialog: DialogId, policy: Policy) {
        if let Some(entry) = self.table.get_mut(&dialog) {
            entry.outbox.set_policy(policy);
        }
    }

    /// The callee is up, with a value. `false`: the dialog is over.
    ///
    /// # Panics
    ///
    /// If this is the opener, the dialog a plain call, or this said before.
    #[track_caller]
    pub fn started(&mut self, dialog: DialogId, value: Vec<u8>) -> bool {
        let Some(entry) = self.table.get_mut(&dialog) else { return false };
        let up = entry.dialog.say_started();
        if up {
            entry.outbox.push(Class::Started, value);
            self.wake(dialog);
        }
        up
    }

    /// Sends an item.
    ///
    /// # Errors
    ///
    /// [`SendError`]; by [`Policy`] only the first two.
    ///
    /// # Panics
    ///
    /// If this is a callee that has not said [`started`](Self::started) and has to.
    #[track_caller]
    pub fn send(&mut self, dialog: DialogId, item: Vec<u8>) -> Result<Sent, SendError> {
        let entry = self.table.get_mut(&dialog).ok_or(SendError::Closed)?;
        if !entry.dialog.may_send() {
            return Err(SendError::Closed);
        }
        if entry.enough {
            return Err(SendError::Enough);
        }
        let sent = entry.outbox.send(item);
        self.wake(dialog);
        sent
    }

    /// Sends no more items; the other direction goes on. `false`: that was so already.
    ///
    /// # Panics
    ///
    /// Like [`send`](Self::send).
    #[track_caller]
    pub fn stop(&mut self, dialog: DialogId, how: How) -> bool {
        let Some(entry) = self.table.get_mut(&dialog) else { return false };
        let stops = entry.dialog.say_stop();
        if stops {
            entry.outbox.stop(how);
            self.wake(dialog);
        }
        stops
    }

    /// The next of what has come. `None`: nothing is here; there will be an event, unless the dialog is over.
    pub fn receive(&mut self, dialog: DialogId) -> Option<Received> {
        let entry = self.table.get_mut(&dialog)?;
        let Some((received, due)) = entry.inbox.take() else {
            entry.readable = false;
            self.settle(dialog);
            return None;
        };
        entry.waits.credit |= due && !entry.dialog.is_over();
        self.wake(dialog);
        Some(received)
    }

    /// Wants no more items: those here are dropped, those to come as well, and the peer is told. A result still comes.
    pub fn enough(&mut self, dialog: DialogId) {
        let Some(entry) = self.table.get_mut(&dialog) else { return };
        entry.waits.enough = entry.dialog.hears_items() && entry.inbox.is_open();
        let due = entry.inbox.deafen(Ears::NoItems);
        entry.waits.credit |= due && !entry.dialog.is_over();
        self.wake(dialog);
        self.settle(dialog);
    }

    /// The opener asks the callee to stop, and sends nothing more. Gives the number of the request: the same again if it
    /// has asked before. `None`: the dialog is over.
    ///
    /// # Panics
    ///
    /// If this is the callee: it ends a dialog by [`finish`](Self::finish).
    #[track_caller]
    pub fn cancel(&mut self, dialog: DialogId, cause: WireCause) -> Option<u64> {
        let entry = self.table.get_mut(&dialog)?;
        let request = entry.dialog.ask(self.requests + 1)?;
        if request > self.requests {
            self.requests = request;
            entry.waits.cancel = Some((request, cause));
            entry.outbox.clear_and_stop(How::Cancelled);
            self.wake(dialog);
        }
        Some(request)
    }

    /// The opener will not read any more: [`cancel`](Self::cancel)s if the dialog is not over, and drops whatever comes.
    ///
    /// # Panics
    ///
    /// If this is the callee.
    #[track_caller]
    pub fn abandon(&mut self, dialog: DialogId, cause: WireCause) {
        self.cancel(dialog, cause);
        self.shut(dialog);
    }

    /// Nobody will read: what is here is dropped, and what comes.
    fn shut(&mut self, dialog: DialogId) {
        let Some(entry) = self.table.get_mut(&dialog) else { return };
        let due = entry.inbox.deafen(Ears::Shut);
        entry.waits.credit |= due && !entry.dialog.is_over();
        self.wake(dialog);
        self.settle(dialog);
    }

    /// The callee has ended. `false`: the dialog was over, by the connection. What the opener asked for is answered.
    ///
    /// # Panics
    ///
    /// If this is the opener, or a callee that returns without having said [`started`](Self::started) and has to.
    #[track_caller]
    pub fn finish(&mut self, dialog: DialogId, outcome: Outcome) -> bool {
        let Some(entry) = self.table.get_mut(&dialog) else { return false };
        let by = match &outcome {
            Outcome::Return(_) => EndedBy::Returned,
            Outcome::Failed(_) => EndedBy::Failed,
            Outcome::Cancelled(cause) => entry.dialog.cancelled_by(cause.clone()),
        };
        if !entry.dialog.decide(by.clone()) {
            self.shut(dialog);
            return false;
        }
        match outcome {
            Outcome::Return(value) => entry.outbox.push(Class::Return, value),
            Outcome::Failed(error) => entry.outbox.push(Class::Failed, error),
            Outcome::Cancelled(cause) => {
                let request = if let EndedBy::Cancelled { request } = by { Some(request) } else { None };
                entry.outbox.clear();
                entry.waits.end = Some(LastWord::Cancelled(request, cause));
            }
        }
        self.decided(dialog);
        true
    }

    /// The callee does not begin. `false`: the dialog was over.
    ///
    /// # Panics
    ///
    /// If this is the opener.
    #[track_caller]
    pub fn refuse(&mut self, dialog: DialogId, why: Refusal) -> bool {
        let Some(entry) = self.table.get_mut(&dialog) else { return false };
        if !entry.dialog.decide(EndedBy::Refused(why)) {
            self.shut(dialog);
            return false;
        }
        entry.outbox.clear();
        entry.waits.end = Some(LastWord::Refused(why));
        self.decided(dialog);
        true
    }

    /// The callee runs no more: requests are answered, and nothing more is heard.
    fn decided(&mut self, dialog: DialogId) {
        let entry = self.table.get_mut(&dialog).expect("its dialog was decided just now");
        entry.waits.answers = entry.dialog.answers();
        (entry.waits.credit, entry.waits.enough) = (false, false);
        // Its reader is gone with it; no credit follows.
        let _ = entry.inbox.deafen(Ears::Shut);
        self.wake(dialog);
    }
}
