//! A one-way flag that tasks wait for.

use crate::error::Cancelled;
use crate::parking::ParkingLot;
use std::cell::Cell;

/// A flag that goes up once and stays. Source: trio's `Event`.
///
/// ```
/// use pleach_executor::{Cancelled, nursery, run, sync::Event};
/// let up = Event::new();
/// let r: Result<(), Cancelled> = run(nursery(async |n| {
///     n.spawn(async { up.wait().await });
///     up.set();
///     Ok(())
/// }));
/// r.unwrap();
/// ```
#[derive(Debug, Default)]
pub struct Event {
    up: Cell<bool>,
    lot: ParkingLot,
}

impl Event {
    /// One that is down.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Raises the flag and releases all who wait. Raising it again does nothing.
    pub fn set(&self) {
        if !self.up.replace(true) {
            self.lot.unpark_all();
        }
    }

    /// Is it up?
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.up.get()
    }

    /// Waits until the flag is up.
    ///
    /// # Cancellation
    ///
    /// A checkpoint always; Strict.
    ///
    /// # Errors
    ///
    /// [`Cancelled`] if the scope around the call is cancelled.
    pub async fn wait(&self) -> Result<(), Cancelled> {
        if self.up.get() {
            return crate::checkpoint::cancellable(|_| std::task::Poll::Ready(())).await;
        }
        self.lot.park().await
    }
}
