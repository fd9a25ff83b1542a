//! The dialogs of one connection, as the user of one end drives them. ◇
//!
//! ```text
//!   open ─► [ entry: state, inbox, outbox, control that waits ] ─► settled and read: forgotten
//!   Open ──►        │                │
//!              poll_event       want_control, want_data ─► poll_transmit
//! ```
//!
//! Rules:
//! * An entry is a slot of its opener's until both ends are through with it: ended, its cancel answered, its inbox read.
//!   So what is kept is bounded by [`Terms::dialogs`], whatever comes and goes.
//! * A dialog that is not here and was once is over: what still comes for it is late, and no error of its opener's.
//! * A lost connection is final: every dialog ends with it, and what had come stays to be read.

mod handle;
mod transmit;

use super::alive::{Alive, KeepAlive};
use super::credit::Credit;
use super::inbox::{Ears, Inbox, Received};
use super::limit::{Limit, NAME, Terms};
use super::ops::{Class, DialogId, How, Mode, Refusal, Side};
use super::outbox::{Outbox, Policy, SendError, Sent};
use super::schedule::Turns;
use super::state::{Dialog, EndedBy, Loss, Role};
use crate::proto::message::WireCause;
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::time::Duration;

/// The dialogs of one connection, at one end.
///
/// ```
/// use pleach_ipc::proto::dialogs::{Class, EndedBy, Event, Mode, Mux, Outcome, Received, Side, Terms};
/// use std::time::Duration;
///
/// let (terms, now) = (Terms::default(), Duration::ZERO);
/// let mut here = Mux::new(Side::Connector, terms, terms, None, now);
/// let mut there = Mux::new(Side::Acceptor, terms, terms, None, now);
///
/// let dialog = here.open(Mode::Call, "double", 0, vec![21]).unwrap();
/// let mut wire = Vec::new();
/// here.poll_transmit(&mut wire, 1 << 16);
/// there.handle_bytes(&wire, now).unwrap();
///
/// let Some(Event::Opened { dialog: theirs, name, .. }) = there.poll_event() else { panic!() };
/// let Some(Received::Piece { class: Class::Args, bytes, last: true }) = there.receive(theirs) else { panic!() };
/// assert_eq!((theirs, name.as_str()), (dialog, "double"));
/// there.finish(theirs, Outcome::Return(vec![2 * bytes[0]]));
///
/// wire.clear();
/// there.poll_transmit(&mut wire, 1 << 16);
/// here.handle_bytes(&wire, now).unwrap();
/// let Some(Received::Piece { bytes, .. }) = here.receive(dialog) else { panic!() };
/// assert_eq!(bytes, [42]);
/// ```
#[derive(Debug)]
pub struct Mux {
    side: Side,
    /// What this end has announced, and what the peer has.
    ours: Terms,
    theirs: Terms,
    table: BTreeMap<DialogId, Entry>,
    /// How many of the entries each end opened: this end's, the peer's.
    open: [u32; 2],
    /// The last numbers that were used: this end's, the peer's.
    last: [u64; 2],
    requests: u64,
    /// How many requests of the peer have no answer on the wire.
    unanswered: u32,
    control: Turns,
    data: Turns,
    line: Line,
    alive: Alive,
    events: VecDeque<Event>,
    /// A frame of which the rest has not come.
    partial: Vec<u8>,
    leaving: Option<u64>,
    peer_leaves: bool,
    lost: Option<Loss>,
}

/// Control of the connection itself that waits to leave.
#[derive(Debug, Default)]
struct Line {
    pong: Option<u64>,
    ping: Option<u64>,
    goodbye: Option<u64>,
    /// Requests to cancel what is over.
    answers: VecDeque<(DialogId, u64)>,
}

#[derive(Debug)]
struct Entry {
    dialog: Dialog,
    inbox: Inbox,
    outbox: Outbox,
    waits: Waits,
    /// The user was told to read, and has not seen the end of it.
    readable: bool,
    enough: bool,
}

/// Control of one dialog that waits to leave.
#[derive(Debug, Default)]
struct Waits {
    open: Option<(u64, String)>,
    cancel: Option<(u64, WireCause)>,
    credit: bool,
    enough: bool,
    /// The callee's last word, if it is neither a result nor an error.
    end: Option<LastWord>,
    answers: Vec<u64>,
}

#[derive(Debug)]
enum LastWord {
    Refused(Refusal),
    Cancelled(Option<u64>, WireCause),
}

impl Waits {
    fn any(&self) -> bool {
        let Waits { open, cancel, credit, enough, end, answers } = self;
        open.is_some() || cancel.is_some() || *credit || *enough || end.is_some() || !answers.is_empty()
    }
}

/// Something the user of a connection wants to know.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The peer opened a dialog. Its argument comes by [`Mux::receive`]. Run it and [`Mux::finish`], or
    /// [`Mux::refuse`] it.
    Opened {
        /// Which.
        dialog: DialogId,
        /// Of which endpoint.
        name: String,
        /// The digest of the endpoint's types at the peer.
        schema: u64,
        /// What conversation it is to be.
        mode: Mode,
    },
    /// Something can be received. Do so until there is nothing; then comes the next of these.
    Readable(DialogId),
    /// There is room again for an item that was given back by [`SendError::WouldBlock`]. Where that will never be,
    /// `Enough` or `Ended` comes instead.
    Writable(DialogId),
    /// The peer wants no more items. What waits to leave was given up.
    Enough(DialogId),
    /// The opener asks this end to stop. It comes once for a dialog, with the first request.
    Cancel {
        /// Which dialog.
        dialog: DialogId,
        /// The number of the request.
        request: u64,
        /// Why, and who asked.
        cause: WireCause,
    },
    /// What this end asked for has been done at the peer.
    Answered {
        /// For which dialog.
        dialog: DialogId,
        /// The number of the request.
        request: u64,
    },
    /// The dialog is over; what has come of it stays to be received. It comes once for every dialog.
    Ended {
        /// Which.
        dialog: DialogId,
        /// How.
        by: EndedBy,
    },
    /// The peer opens and begins no more dialogs. Those that are open go on.
    Goodbye,
    /// The connection is lost, and so were the dialogs that were open.
    Lost(Loss),
}

/// How a callee ends its dialog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// With a result. Everything it sent before comes first.
    Return(Vec<u8>),
    /// With an error. Everything it sent before comes first.
    Failed(Vec<u8>),
    /// It was cancelled. Items that have not left are given up. If the opener had asked for it, it is the opener's
    /// cancellation; else it is this.
    Cancelled(WireCause),
}

/// Why no dialog was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OpenError {
    /// As many are open as the peer takes. Wait for one to end.
    Limit(Limit),
    /// One of the ends has said goodbye. Use another connection.
    Leaving,
    /// The connection is lost.
    Lost(Loss),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OpenError::Limit(limit) => limit.fmt(f),
            OpenError::Leaving => f.write_str("one of the ends has said goodbye"),
            OpenError::Lost(loss) => loss.fmt(f),
        }
    }
}

impl std::error::Error for OpenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            OpenError::Limit(limit) => Some(limit),
            OpenError::Lost(loss) => Some(loss),
            OpenError::Leaving => None,
        }
    }
}

impl Mux {
    /// The end of a connection whose handshake is done: which one, what each end takes, and whether to ask after
    /// silence.
    #[must_use]
    pub fn new(side: Side, ours: Terms, theirs: Terms, alive: Option<KeepAlive>, now: Duration) -> Self {
        Mux {
            side,
            ours,
            theirs,
            table: BTreeMap::new(),
            open: [0; 2],
            last: [0; 2],
            requests: 0,
            unanswered: 0,
            control: Turns::default(),
            data: Turns::default(),
            line: Line::default(),
            alive: Alive::new(alive, now),
            events: VecDeque::new(),
            partial: Vec::new(),
            leaving: None,
            peer_leaves: false,
            lost: None,
        }
    }

    /// Opens a dialog: the name of an endpoint, the digest of its types, and its argument.
    ///
    /// # Errors
    ///
    /// [`OpenError`]; nothing was opened.
    ///
    /// # Panics
    ///
    /// If the name is longer than [`NAME`].
    #[track_caller]
    pub fn open(
        &mut self,
        mode: Mode,
        name: impl Into<String>,
        schema: u64,
        args: Vec<u8>,
    ) -> Result<DialogId, OpenError> {
        let name = name.into();
        assert!(name.len() <= NAME, "the name of an endpoint has at most {NAME} bytes: `{name}`");
        if let Some(loss) = &self.lost {
            return Err(OpenError::Lost(loss.clone()));
        }
        if self.leaving.is_some() || self.peer_leaves {
            return Err(OpenError::Leaving);
        }
        if self.open[0] >= self.theirs.dialogs {
            return Err(OpenError::Limit(Limit::Dialogs { most: self.theirs.dialogs }));
        }
        self.open[0] += 1;
        self.last[0] += 1;
        let dialog = DialogId { side: self.side, n: self.last[0] };
        let mut entry = self.entry(Dialog::open(Role::Opener, mode));
        entry.waits.open = Some((schema, name));
        entry.outbox.push(Class::Args, args);
        self.table.insert(dialog, entry);
        self.wake(dialog);
        Ok(dialog)
    }

    fn entry(&self, dialog: Dialog) -> Entry {
        Entry {
            dialog,
            inbox: Inbox::new(self.ours.window),
            outbox: Outbox::new(self.theirs.window, Policy::default()),
            waits: Waits::default(),
            readable: false,
            enough: false,
        }
    }

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

    /// Opens and begins no more dialogs, and says so. Those that are open go on; see [`is_drained`](Self::is_drained).
    pub fn goodbye(&mut self) {
        if self.leaving.is_none() && self.lost.is_none() {
            self.leaving = Some(self.last[1]);
            self.line.goodbye = self.leaving;
        }
    }

    /// This end has said goodbye, every dialog is over and read, and nothing waits to leave: close.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        self.leaving.is_some() && self.table.is_empty() && !self.wants_transmit()
    }

    /// The connection is gone. Every dialog that is open ends with it.
    pub fn lose(&mut self, loss: Loss) {
        if self.lost.is_some() {
            return;
        }
        self.lost = Some(loss.clone());
        self.control.clear();
        self.data.clear();
        (self.line, self.partial, self.unanswered) = (Line::default(), Vec::new(), 0);
        let ids: Vec<DialogId> = self.table.keys().copied().collect();
        for dialog in ids {
            let Some(entry) = self.table.get_mut(&dialog) else { continue };
            entry.outbox.clear();
            entry.waits = Waits::default();
            if let Some(by) = entry.dialog.lose(&loss) {
                self.events.push_back(Event::Ended { dialog, by });
            }
            self.settle(dialog);
        }
        self.events.push_back(Event::Lost(loss));
    }

    /// What has happened since.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// How the connection was lost, if it was.
    #[must_use]
    pub const fn lost(&self) -> Option<&Loss> {
        self.lost.as_ref()
    }

    /// How many dialogs are here: opened by this end, and by the peer.
    #[must_use]
    pub const fn dialogs(&self) -> (u32, u32) {
        (self.open[0], self.open[1])
    }

    /// How many bytes are here that nobody has read.
    #[must_use]
    pub fn unread(&self) -> usize {
        self.partial.len() + self.table.values().map(|entry| entry.inbox.bytes()).sum::<usize>()
    }

    /// How much this end may still send in this dialog before the peer gives more.
    #[must_use]
    pub fn available(&self, dialog: DialogId) -> Option<Credit> {
        Some(self.table.get(&dialog)?.outbox.available())
    }

    /// How many items of this end its policy has dropped.
    #[must_use]
    pub fn dropped(&self, dialog: DialogId) -> Option<u64> {
        Some(self.table.get(&dialog)?.outbox.dropped())
    }

    /// What conversation it is, while it is here.
    #[must_use]
    pub fn mode(&self, dialog: DialogId) -> Option<Mode> {
        Some(self.table.get(&dialog)?.dialog.mode())
    }

    /// It may have something to send now.
    fn wake(&mut self, dialog: DialogId) {
        let Some(entry) = self.table.get(&dialog) else { return };
        if self.lost.is_some() {
            return;
        }
        if entry.waits.any() {
            self.control.want(dialog);
        }
        if entry.outbox.ready() {
            self.data.want(dialog);
        }
    }

    /// Forgets it if nothing can come, go or be read any more.
    fn settle(&mut self, dialog: DialogId) {
        let Some(entry) = self.table.get(&dialog) else { return };
        let callee = entry.dialog.role == Role::Callee;
        let read = callee && self.lost.is_none() || entry.inbox.is_empty();
        if entry.dialog.is_settled() && read && !entry.waits.any() && entry.outbox.is_empty() {
            self.table.remove(&dialog);
            self.open[usize::from(dialog.side != self.side)] -= 1;
        }
    }
}
