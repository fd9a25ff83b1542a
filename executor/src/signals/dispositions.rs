//! Who holds which signal of this process, and what was installed before.
//!
//! ```text
//!   hold(signal): first listener ─► our handler in, the one before kept         release: last one ─► that one back
//!   claim(signal): a layer above has a handler of its own ─► nobody here holds it, and the other way round
//! ```
//!
//! Rules:
//! * Changes are made under one lock, which no handler takes.
//! * A handler that somebody installed over ours is theirs, and stays.
//! * **What a forked child does to it**: [`forget`] empties it. The forking thread does not hold the lock and is the only one,
//!   so it is free there. The dispositions themselves are the business of whoever forks.

use super::handler::{self, SEATS};
use super::{OpenError, Signal};
use crate::sys::{self, Installed, SavedAction};
use std::io;
use std::os::fd::RawFd;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A signal that streams listen to.
struct Held {
    listeners: usize,
    before: SavedAction,
}

struct Dispositions {
    /// By signal number minus one. Boxed, so that all of this lies in one page: a forked child, which empties it, pays for each.
    held: [Option<Box<Held>>; 64],
    /// The signals of a layer above.
    claimed: u64,
    /// Places of the handler in use.
    places: [bool; SEATS],
}

impl Dispositions {
    const fn new() -> Self {
        Dispositions { held: [const { None }; 64], claimed: 0, places: [false; SEATS] }
    }
}

static DISPOSITIONS: Mutex<Dispositions> = Mutex::new(Dispositions::new());

fn lock() -> MutexGuard<'static, Dispositions> {
    // Nothing in here panics half-way through a change.
    DISPOSITIONS.lock().unwrap_or_else(PoisonError::into_inner)
}

fn index(signal: Signal) -> usize {
    signal.bit().trailing_zeros() as usize
}

/// A place with the handler for one stream; `None` if all are taken.
pub(super) fn take_place(bell: RawFd) -> Option<usize> {
    let mut all = lock();
    let place = all.places.iter().position(|taken| !taken)?;
    all.places[place] = true;
    handler::take_place(place, bell);
    Some(place)
}

/// Gives a place back, and with it what came and nobody took.
pub(super) fn leave_place(place: usize) -> u64 {
    let left = handler::leave_place(place);
    lock().places[place] = false;
    left
}

/// One more listener, who has said so to the handler.
pub(super) fn hold(signal: Signal) -> Result<(), OpenError> {
    let mut all = lock();
    if all.claimed & signal.bit() != 0 {
        return Err(OpenError::Busy(signal));
    }
    let now = sys::installed(signal.as_raw());
    let before = sys::catch_signal(signal.as_raw())?;
    let ours = now == Installed::Ours || (now == Installed::Default && handler::was_reset(signal.bit()));
    handler::clear_reset(signal.bit());
    match &mut all.held[index(signal)] {
        Some(held) => {
            held.listeners += 1;
            // Somebody had put theirs over ours, and gets it back.
            if !ours {
                held.before = before;
            }
        }
        none => *none = Some(Box::new(Held { listeners: 1, before })),
    }
    Ok(())
}

/// One listener fewer. True if that was the last: then what was installed before is back.
pub(super) fn release(signal: Signal) -> bool {
    let mut all = lock();
    let slot = &mut all.held[index(signal)];
    let Some(held) = slot else { return false };
    held.listeners -= 1;
    if held.listeners > 0 {
        return false;
    }
    let before = held.before;
    *slot = None;
    let now = sys::installed(signal.as_raw());
    if now == Installed::Ours || (now == Installed::Default && handler::was_reset(signal.bit())) {
        sys::restore_signal(signal.as_raw(), &before);
    }
    handler::clear_reset(signal.bit());
    true
}

/// A layer above installs its own handler. An error if streams listen to the signal.
pub(crate) fn claim(signal: Signal) -> io::Result<()> {
    let mut all = lock();
    if signal.bit() != 0 && all.held[index(signal)].is_some() {
        let text = format!("a stream of signals listens to {signal}: close it first");
        return Err(io::Error::new(io::ErrorKind::ResourceBusy, text));
    }
    all.claimed |= signal.bit();
    Ok(())
}

/// And has taken it out again.
pub(crate) fn disclaim(signal: Signal) {
    lock().claimed &= !signal.bit();
}

/// In a forked child, while all signals are blocked. In place: a new one would go by way of the stack.
pub(crate) fn forget() {
    let mut all = lock();
    all.held.fill_with(|| None);
    all.claimed = 0;
    all.places = [false; SEATS];
    drop(all);
    handler::forget();
}
