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

mod act;
mod event;
mod handle;
mod transmit;

use super::alive::{Alive, KeepAlive};
use super::credit::Credit;
use super::ended::Loss;
use super::inbox::Inbox;
use super::limit::{Limit, NAME, Terms};
use super::ops::{Class, DialogId, Mode, Refusal, Side};
use super::outbox::{Outbox, Policy};
use super::schedule::Turns;
use super::state::{Dialog, Role};
use crate::proto::message::WireCause;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

pub use event::{Event, OpenError, Outcome};

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

    /// Opens and begins no more dialogs, and says so. Those that are open go on; see [`is_drained`](Self::is_drained).
    pub fn goodbye(&mut self) {
        if self.leaving.is_none() && self.lost.is_none() {
            self.leaving = Some(self.last[1]);
            self.line.goodbye = self.leaving;
        }
    }

    /// Both ends have said goodbye, every dialog is over and read, and nothing waits to leave: when that is written,
    /// close. A peer that never says it has to be given up by a deadline of the caller's.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        self.leaving.is_some() && self.peer_leaves && self.table.is_empty() && !self.wants_transmit()
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
        if entry.dialog.is_settled()
            && entry.inbox.is_empty()
            && !entry.waits.any()
            && entry.outbox.is_empty()
        {
            self.table.remove(&dialog);
            self.open[usize::from(dialog.side != self.side)] -= 1;
        }
    }
}
