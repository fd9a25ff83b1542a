//! Where each message of a child goes.
//!
//! ```text
//!   link ─ message ─┬─ boot ─► the handshake        ─► Spec, up
//!                   ├─ answers ─► line.rs           ─► their callers, or the observers
//!                   ├─ events of those below it     ─► the observers, and on to the parent
//!                   └─ the last message             ─► verdict.rs, when the process has ended
//! ```
//!
//! Rules: it routes and never waits. What a child may not say is a protocol error, and ends it.

use super::Watch;
use crate::actor::event::Event;
use crate::actor::verdict::{Final, Stopped};
use crate::error::Error;
use crate::line::{Answer, Fate};
use crate::teardown::Ladder;
use crate::wire;
use pleach_executor::now;
use pleach_ipc::proto::{Ledger, Message, ParentStep};

impl Watch {
    pub(super) fn message(&mut self, m: Message) {
        match m {
            Message::Hello(_) | Message::Ready => self.boot_message(m),
            Message::LastWords(words) => self.last_words = Some(words),
            Message::Failed { error, ledger } => self.ended(Final::Failed(Error::from_tree(error)), ledger),
            Message::CancelAck { ledger, .. } => self.ended(Final::Acknowledged, ledger),
            early if self.booting().is_some() => {
                self.protocol_error(format!("it said {} before it was ready", early.name()));
            }
            Message::Return { value, ledger } => self.ended(Final::Returned(value), ledger),
            Message::Goodbye => {}
            Message::CallReturned { dialog, value } => self.answered(dialog, Answer::Returned(value)),
            Message::CallFailed { dialog, error } => {
                self.answered(dialog, Answer::Failed(Error::from_tree(error)))
            }
            Message::CallCancelled { dialog } => self.answered(dialog, Answer::Cancelled),
            other => {
                let name = other.name();
                match wire::event_from(other) {
                    Some(event) if event.is_below(self.id.path()) => self.here.tell(&event),
                    Some(_) => self.protocol_error(format!("{name} is of an actor that is not below it")),
                    None => self.protocol_error(format!("{name} is said by parents only")),
                }
            }
        }
    }

    fn answered(&mut self, dialog: u64, answer: Answer) {
        match self.line.answer(dialog, answer) {
            // An error whose caller has dropped the call: whoever observes the tree is left to hear of it.
            Fate::Late(Answer::Failed(e)) => {
                let text = format!(
                    "a call into {} failed when nobody waited for it any more: {}",
                    self.id.path(),
                    e.summary()
                );
                self.here.tell(&Event::Note { path: self.here.id.path().to_owned(), text });
            }
            Fate::Taken | Fate::Late(_) => {}
            Fate::Unasked => self.protocol_error(format!(
                "dialog {dialog} was answered, and not asked for or answered before"
            )),
        }
    }

    fn boot_message(&mut self, m: Message) {
        match self.boot.handle(m) {
            Ok(ParentStep::Greet(_, spec)) => {
                if self.ladder.is_none() {
                    self.due = Some(self.ready_by);
                }
                // Refused: as in `ask`.
                let _ = self.line.channel.try_send_now(&Message::Spec(spec));
            }
            Ok(ParentStep::Running) => {
                self.line.channel.open(self.line.limits);
                if self.ladder.is_none() {
                    self.due = None;
                }
                if let Some(first) = self.first.take() {
                    // Refused: as in `ask`. It fits, and nothing else waits to be written.
                    let _ = self.line.channel.try_send_now(&first);
                }
                self.up.is_ready();
            }
            Err(e) => self.protocol_error(e.to_string()),
        }
    }

    /// The last message: from now on the process has the time of a cancel to go.
    fn ended(&mut self, last: Final, ledger: Ledger) {
        if self.last.is_some() {
            return self.protocol_error("it ended twice".to_owned());
        }
        self.here.count(|books| books.add(ledger));
        self.last = Some(last);
        if self.ladder.is_none() {
            let now = now();
            let mut ladder = Ladder::new(now, now + self.config.cancel, &self.config);
            ladder.asked();
            self.ladder = Some(ladder);
        }
    }

    pub(super) fn protocol_error(&mut self, text: String) {
        self.stop(Stopped::Protocol(text));
        self.lose_link();
    }
}
