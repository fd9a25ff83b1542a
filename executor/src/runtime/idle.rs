//! Who waits for idleness, as data.
//!
//! ```text
//!   join(cushion) ─► in line ─┬─ nothing has happened for the smallest cushion ─► take_smallest: all who have that one
//!                             └─ given up ─► leave
//! ```

use std::task::Waker;
use std::time::Duration;

/// One who waits for idleness.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct IdlerKey(u64);

struct Idler {
    key: IdlerKey,
    cushion: Duration,
    waker: Waker,
}

pub(crate) struct Idlers {
    joined: u64,
    line: Vec<Idler>,
}

#[cfg_attr(not(feature = "testing"), expect(dead_code, reason = "only tests wait for idleness"))]
impl Idlers {
    pub(super) const fn new() -> Self {
        Idlers { joined: 0, line: Vec::new() }
    }

    pub(crate) fn join(&mut self, cushion: Duration, waker: Waker) -> IdlerKey {
        let key = IdlerKey(self.joined);
        self.joined += 1;
        self.line.push(Idler { key, cushion, waker });
        key
    }

    /// Still in line? Then with this waker from now on; the one before comes back, to be dropped outside.
    pub(crate) fn stay(&mut self, key: IdlerKey, waker: Waker) -> Result<Waker, Waker> {
        match self.line.iter_mut().find(|idler| idler.key == key) {
            Some(idler) => Ok(std::mem::replace(&mut idler.waker, waker)),
            None => Err(waker),
        }
    }

    /// Out of line. The waker comes back, to be dropped outside.
    pub(crate) fn leave(&mut self, key: IdlerKey) -> Option<Waker> {
        let at = self.line.iter().position(|idler| idler.key == key)?;
        Some(self.line.remove(at).waker)
    }

    /// How long nothing may happen until the first is woken; `None` if nobody waits.
    #[inline]
    pub(crate) fn cushion(&self) -> Option<Duration> {
        if self.line.is_empty() {
            return None;
        }
        self.line.iter().map(|idler| idler.cushion).min()
    }

    /// Takes those with the smallest cushion out of line.
    pub(crate) fn take_smallest(&mut self) -> Vec<Waker> {
        let smallest = self.cushion();
        let taken = self.line.extract_if(.., |idler| Some(idler.cushion) == smallest);
        taken.map(|idler| idler.waker).collect()
    }
}
