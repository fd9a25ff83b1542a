//! What the two ends of a pipe in memory share: the bytes, who uses which end, and who waits.
//!
//! ```text
//!   sent ─ pump ─► arrived          in use: one task at each end          closed: either end, by its own side
//! ```

use super::error::SendError;
use crate::parking::ParkingLot;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

/// When a send is over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Mode {
    /// When the bytes are in memory.
    Free,
    /// When the receiver has taken them.
    LockStep,
}

#[derive(Default)]
pub(super) struct Bytes {
    /// On the way.
    pub(super) sent: VecDeque<u8>,
    /// At the receiver's.
    pub(super) arrived: VecDeque<u8>,
    /// Has the receiver been told that no more will come?
    pub(super) ended: bool,
}

pub(super) struct Pipe {
    pub(super) mode: Mode,
    pub(super) bytes: RefCell<Bytes>,
    /// Do sent bytes wait for `pump`?
    pub(super) held: Cell<bool>,
    pub(super) send_closed: Cell<bool>,
    pub(super) receive_closed: Cell<bool>,
    pub(super) sending: Cell<bool>,
    pub(super) receiving: Cell<bool>,
    /// How many bytes a receive that waits has asked for and not been given yet.
    pub(super) wanted: Cell<usize>,
    /// Whoever waits for a change.
    pub(super) lot: ParkingLot,
}

impl Pipe {
    pub(super) fn new(mode: Mode) -> Self {
        Pipe {
            mode,
            bytes: RefCell::default(),
            held: Cell::new(false),
            send_closed: Cell::new(false),
            receive_closed: Cell::new(false),
            sending: Cell::new(false),
            receiving: Cell::new(false),
            wanted: Cell::new(0),
            lot: ParkingLot::new(),
        }
    }

    /// Moves what was sent on to the receiver, at most `max` bytes, and the end after the last of them.
    pub(super) fn pump(&self, max: usize) -> bool {
        let moved = {
            let mut bytes = self.bytes.borrow_mut();
            let count = max.min(bytes.sent.len());
            let on_the_way: Vec<u8> = bytes.sent.drain(..count).collect();
            if !self.receive_closed.get() {
                bytes.arrived.extend(on_the_way);
            }
            let ends = bytes.sent.is_empty() && self.send_closed.get() && !bytes.ended;
            bytes.ended |= ends;
            count > 0 || ends
        };
        if moved {
            self.lot.unpark_all();
        }
        moved
    }

    pub(super) fn pump_unless_held(&self) {
        if !self.held.get() {
            let _moved = self.pump(usize::MAX);
        }
    }

    pub(super) fn may_send(&self) -> Result<(), SendError> {
        match (self.send_closed.get(), self.receive_closed.get()) {
            (true, _) => Err(SendError::Closed),
            (_, true) => Err(SendError::Broken),
            _ => Ok(()),
        }
    }

    /// Puts on the way what may go now of `bytes`, and says how much. `None`: nobody waits for any, and there is no room.
    ///
    /// A lock-step pipe gives to a receive that waits, in one step: so a write that is dropped has written nothing.
    pub(super) fn offer(&self, bytes: &[u8]) -> Option<Result<usize, SendError>> {
        if let Err(e) = self.may_send() {
            return Some(Err(e));
        }
        let is_free = self.mode == Mode::Free || self.held.get();
        let count = if is_free { bytes.len() } else { bytes.len().min(self.wanted.get()) };
        if count == 0 && !bytes.is_empty() {
            return None;
        }
        self.wanted.set(self.wanted.get().saturating_sub(count));
        self.bytes.borrow_mut().sent.extend(&bytes[..count]);
        self.pump_unless_held();
        Some(Ok(count))
    }

    pub(super) fn is_empty(&self) -> bool {
        let bytes = self.bytes.borrow();
        bytes.sent.is_empty() && bytes.arrived.is_empty()
    }
}

/// One end is in use as long as this lives.
pub(super) struct InUse<'p>(&'p Cell<bool>);

impl<'p> InUse<'p> {
    pub(super) fn begin(of: &'p Cell<bool>) -> Option<Self> {
        (!of.replace(true)).then(|| InUse(of))
    }
}

impl Drop for InUse<'_> {
    fn drop(&mut self) {
        self.0.set(false);
    }
}

/// A receive wants bytes as long as this lives.
pub(super) struct Wants<'p>(&'p Pipe);

impl<'p> Wants<'p> {
    pub(super) fn begin(of: &'p Pipe, max: usize) -> Self {
        of.wanted.set(max);
        if of.mode == Mode::LockStep {
            // Whoever has bytes for it.
            of.lot.unpark_all();
        }
        Wants(of)
    }
}

impl Drop for Wants<'_> {
    fn drop(&mut self) {
        self.0.wanted.set(0);
    }
}

/// A lock-step send that is given up takes back what has not been taken of its bytes.
pub(super) struct TakeBack<'p> {
    pub(super) pipe: &'p Pipe,
    pub(super) count: usize,
}

impl Drop for TakeBack<'_> {
    fn drop(&mut self) {
        let mut bytes = self.pipe.bytes.borrow_mut();
        // Its bytes are the last ones: on the way, and before them those that have arrived.
        let (sent, arrived) = (bytes.sent.len(), bytes.arrived.len());
        bytes.sent.truncate(sent.saturating_sub(self.count));
        bytes.arrived.truncate(arrived.saturating_sub(self.count.saturating_sub(sent)));
    }
}
