//! Blocks of several tasks, run one after the other, in an order that the test writes down.
//!
//! ```text
//!   at(2) waits ─┐
//!   at(0) ─► Turn ─ dropped ─► at(1) ─► Turn ─ dropped ─► at(2) ─► Turn
//!   one that waits is cancelled or dropped ─► broken: for all who wait, and all who come
//! ```

use crate::checkpoint::cancellable;
use crate::error::Cancelled;
use crate::parking::ParkingLot;
use crate::waits::Waits;
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::error::Error;
use std::fmt;
use std::task::Poll;

/// Puts blocks of different tasks into an order. Source: trio's `Sequencer`.
///
/// ```
/// use pleach_executor::{In, run, testing::Sequencer};
/// use std::cell::RefCell;
/// let (order, said) = (Sequencer::new(), RefCell::new(String::new()));
/// let (order, said) = (&order, &said);
/// let r = run(In::<Box<dyn std::error::Error + Send + Sync>>::nursery(async |n| {
///     n.spawn(async {
///         let _turn = order.at(1).await??;
///         said.borrow_mut().push_str(", world");
///         Ok(())
///     });
///     let _turn = order.at(0).await??;
///     said.borrow_mut().push_str("hello");
///     Ok(())
/// }));
/// r.unwrap();
/// assert_eq!(*said.borrow(), "hello, world");
/// ```
#[derive(Default)]
pub struct Sequencer {
    /// Whose turn it is, or will be when the present one ends.
    next: Cell<u64>,
    taken: RefCell<BTreeSet<u64>>,
    broken: Cell<bool>,
    lot: ParkingLot,
}

/// One who waited for a turn has gone: the order that was asked for cannot come about any more. Look why that task was
/// cancelled or dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SequenceBroken;

impl fmt::Display for SequenceBroken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("one who waited for a turn has gone: the order cannot come about any more")
    }
}

impl Error for SequenceBroken {}

/// A turn: the next begins when this is dropped.
#[derive(Debug)]
#[must_use = "the turn lasts as long as this lives: bind it to a name"]
pub struct Turn<'s>(&'s Sequencer);

impl Sequencer {
    /// The first turn is number 0.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Waits until every turn before `position` has ended.
    ///
    /// # Cancellation
    ///
    /// A checkpoint always. **Lossy**: the sequence is broken then, for all who wait and all who come later.
    ///
    /// # Errors
    ///
    /// [`Cancelled`] if the scope around the call is cancelled; [`SequenceBroken`] if that has happened to another, or if
    /// its future was dropped.
    ///
    /// # Panics
    ///
    /// If somebody has asked for this position already.
    pub async fn at(&self, position: u64) -> Result<Result<Turn<'_>, SequenceBroken>, Cancelled> {
        assert!(
            self.taken.borrow_mut().insert(position),
            "position {position} of this sequence is taken: give each block its own"
        );
        let in_line = InLine { of: self, served: false };
        cancellable(Waits::Other, |_| Poll::Ready(())).await?;
        while self.next.get() != position && !self.broken.get() {
            self.lot.park().await?;
        }
        Ok(in_line.served())
    }
}

/// One who waits for a turn. If it goes without having got it, the sequence is broken.
struct InLine<'s> {
    of: &'s Sequencer,
    served: bool,
}

impl<'s> InLine<'s> {
    fn served(mut self) -> Result<Turn<'s>, SequenceBroken> {
        self.served = true;
        if self.of.broken.get() { Err(SequenceBroken) } else { Ok(Turn(self.of)) }
    }
}

impl Drop for InLine<'_> {
    fn drop(&mut self) {
        if !self.served {
            self.of.broken.set(true);
            self.of.lot.unpark_all();
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.next.set(self.0.next.get() + 1);
        self.0.lot.unpark_all();
    }
}

impl fmt::Debug for Sequencer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sequencer")
            .field("next", &self.next.get())
            .field("waiting", &self.lot.len())
            .field("broken", &self.broken.get())
            .finish()
    }
}
