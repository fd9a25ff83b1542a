//! What runs in a signal handler, and the places it leaves its word in.
//!
//! ```text
//!   on_signal ─► seat 0: hears it? bit, ring     ─► seat 1 …     ─► only first-time listeners? the default comes back
//! ```
//!
//! Rules:
//! * Async-signal-safe: atomics, and calls of `sys` that are; errno is kept by `sys`.
//! * The bit is set before the bell rings.
//! * **Visits**: a handler on another thread may be about to ring a bell. Whoever takes a bell down does so first and then
//!   waits until nobody visits the seat; only after that is the bell closed and the seat given to another stream.
//! * **Own Process**: in a process that somebody forked by other means, until it execs, the handler does nothing: the bells
//!   are its parent's.
//! * **What a forked child does to it**: with all signals blocked, [`forget`] empties every seat.

use super::Signal;
use crate::sys;
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, Ordering::SeqCst};

/// How many streams there may be in a process at a time.
pub(crate) const SEATS: usize = 32;

/// What the handler knows of one stream.
struct Place {
    /// The signals it listens to.
    hears: AtomicU64,
    /// Those of them of which it wants the first only.
    first_only: AtomicU64,
    /// Those that came and were not taken yet.
    pending: AtomicU64,
    /// Its eventfd, or -1.
    bell: AtomicI32,
    /// How many handlers are here now.
    visits: AtomicU32,
}

impl Place {
    const fn new() -> Self {
        Place {
            hears: AtomicU64::new(0),
            first_only: AtomicU64::new(0),
            pending: AtomicU64::new(0),
            bell: AtomicI32::new(-1),
            visits: AtomicU32::new(0),
        }
    }

    /// Leaves word of a signal, if it is listened to.
    fn visit(&self, bit: u64) {
        if self.hears.load(SeqCst) & bit == 0 {
            return;
        }
        self.visits.fetch_add(1, SeqCst);
        // Asked again: it may have been taken down in between.
        if self.hears.load(SeqCst) & bit != 0 {
            self.pending.fetch_or(bit, SeqCst);
            let bell = self.bell.load(SeqCst);
            if bell >= 0 {
                sys::ring(bell);
            }
        }
        self.visits.fetch_sub(1, SeqCst);
    }

    fn wants_more(&self, bit: u64) -> bool {
        self.hears.load(SeqCst) & !self.first_only.load(SeqCst) & bit != 0
    }

    fn empty(&self) {
        self.hears.store(0, SeqCst);
        self.first_only.store(0, SeqCst);
        self.pending.store(0, SeqCst);
        self.bell.store(-1, SeqCst);
    }
}

struct Handler {
    /// The process whose seats these are; 0 before there was one.
    process: AtomicI32,
    /// Signals whose default the handler has put back by itself.
    reset: AtomicU64,
    places: [Place; SEATS],
}

static HANDLER: Handler =
    Handler { process: AtomicI32::new(0), reset: AtomicU64::new(0), places: [const { Place::new() }; SEATS] };

/// The handler.
pub(crate) fn on_signal(number: i32) {
    let bit = Signal::from_raw(number).bit();
    if HANDLER.process.load(SeqCst) != sys::process() {
        return;
    }
    let first_only = HANDLER.places.iter().any(|place| place.first_only.load(SeqCst) & bit != 0);
    HANDLER.places.iter().for_each(|place| place.visit(bit));
    if first_only && !is_wanted_again(bit) {
        HANDLER.reset.fetch_or(bit, SeqCst);
        sys::set_signal_default(number);
        // A stream that was opened meanwhile installs the handler after it has said that it listens. So either it is seen
        // here, or its handler comes after our default.
        if is_wanted_again(bit) {
            let _before = sys::catch_signal(number);
            HANDLER.reset.fetch_and(!bit, SeqCst);
        }
    }
}

fn is_wanted_again(bit: u64) -> bool {
    HANDLER.places.iter().any(|place| place.wants_more(bit))
}

/// Hangs a bell at a place that is free.
pub(super) fn take_place(place: usize, bell: RawFd) {
    HANDLER.process.store(sys::process(), SeqCst);
    HANDLER.places[place].bell.store(bell, SeqCst);
}

/// From now on this place hears the signals of `bit`.
pub(super) fn hear(place: usize, bit: u64, first_only: bool) {
    let place = &HANDLER.places[place];
    if first_only {
        place.first_only.fetch_or(bit, SeqCst);
    }
    place.hears.fetch_or(bit, SeqCst);
}

/// What came to this place since it was asked last.
pub(super) fn take_pending(place: usize) -> u64 {
    HANDLER.places[place].pending.swap(0, SeqCst)
}

/// Takes a place's bell down; when this returns nobody rings it. Gives what nobody took.
pub(super) fn leave_place(place: usize) -> u64 {
    let place = &HANDLER.places[place];
    place.hears.store(0, SeqCst);
    while place.visits.load(SeqCst) > 0 {
        // On this thread a handler has ended before we go on, so this is one of another thread, and short.
        std::thread::yield_now();
    }
    let left = place.pending.load(SeqCst);
    place.empty();
    left
}

/// Has the handler put back the default of a signal? Then somebody else has not.
pub(super) fn was_reset(bit: u64) -> bool {
    HANDLER.reset.load(SeqCst) & bit != 0
}

pub(super) fn clear_reset(bit: u64) {
    HANDLER.reset.fetch_and(!bit, SeqCst);
}

/// In a forked child, while all signals are blocked. Async-signal-safe: stores into atomics.
pub(super) fn forget() {
    HANDLER.process.store(0, SeqCst);
    HANDLER.reset.store(0, SeqCst);
    for place in &HANDLER.places {
        place.empty();
        place.visits.store(0, SeqCst);
    }
}
