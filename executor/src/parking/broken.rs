//! Lots that are broken: for waiting tasks whose releaser has gone without releasing them.
//!
//! ```text
//!   breaker() ─► Breaker ─ dropped, with the task that holds it ─┐
//!   break_lot() ─────────────────────────────────────────────────┴─► all who park, and will, hear Broken
//! ```
//!
//! Rules: a lot stays broken. In whose name that was is kept, each time.

use super::{Parked, ParkingLot};
use crate::error::Cancelled;
use crate::runtime::{self, Runtime};
use crate::task::TaskId;
use crate::waits::Waits;
use std::error::Error;
use std::fmt;

/// Whoever was to release those who park in a lot has gone: nobody will.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Broken {
    /// The tasks in whose names the lot was broken, in that order, each as often as it was.
    pub by: Vec<TaskId>,
}

impl ParkingLot {
    /// Waits until released, or until the lot is broken.
    ///
    /// # Cancellation
    ///
    /// As [`park`](ParkingLot::park).
    ///
    /// # Errors
    ///
    /// Outside: [`Cancelled`] if the scope around the call is cancelled. Inside: [`Broken`], at once if the lot is already.
    pub async fn park_unless_broken(&self) -> Result<Result<(), Broken>, Cancelled> {
        self.park_or_fail(Waits::ParkingLot).await
    }

    /// Breaks the lot, in the name of the current task: all who park hear of it, and whoever parks from now on. Again adds the
    /// name once more.
    ///
    /// # Panics
    ///
    /// Outside a task.
    #[track_caller]
    pub fn break_lot(&self) {
        self.break_by(this_task());
    }

    /// A value that breaks the lot when it is dropped, in the name of the current task: held by a task that is to release
    /// others, it tells them when that task ends without having done so, however it ends.
    ///
    /// # Panics
    ///
    /// Outside a task.
    ///
    /// ```
    /// use pleach_executor::{Cancelled, checkpoint, nursery, parking::ParkingLot, run};
    /// let lot = ParkingLot::new();
    /// let r: Result<(), Cancelled> = run(nursery(async |n| {
    ///     n.spawn(async {
    ///         let _breaker = lot.breaker();
    ///         checkpoint().await
    ///     });
    ///     assert!(lot.park_unless_broken().await?.is_err());
    ///     Ok(())
    /// }));
    /// r.unwrap();
    /// ```
    #[track_caller]
    pub fn breaker(&self) -> Breaker<'_> {
        Breaker { lot: self, by: this_task() }
    }

    /// Is it broken?
    #[must_use]
    pub fn is_broken(&self) -> bool {
        !self.broken_by.borrow().is_empty()
    }

    fn break_by(&self, task: TaskId) {
        self.broken_by.borrow_mut().push(task);
        self.break_all();
    }

    pub(super) fn break_all(&self) {
        self.release_as(usize::MAX, || Parked::Broken);
    }

    pub(super) fn why_broken(&self) -> Broken {
        Broken { by: self.broken_by.borrow().clone() }
    }
}

#[track_caller]
fn this_task() -> TaskId {
    runtime::with(Runtime::task).expect("a lot is broken in the name of a task, and this is code of none")
}

/// Breaks its lot when it is dropped: see [`ParkingLot::breaker`].
#[must_use = "it breaks the lot when it goes"]
pub struct Breaker<'l> {
    lot: &'l ParkingLot,
    by: TaskId,
}

impl Breaker<'_> {
    /// The lot is not broken: what it was for is done.
    pub fn disarm(self) {
        std::mem::forget(self);
    }
}

impl Drop for Breaker<'_> {
    fn drop(&mut self) {
        self.lot.break_by(self.by);
    }
}

impl fmt::Debug for Breaker<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Breaker").field("by", &self.by).finish()
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nobody releases those who park here: the lot was broken by ")?;
        for (i, task) in self.by.iter().enumerate() {
            write!(f, "{}{task}", if i > 0 { ", " } else { "" })?;
        }
        Ok(())
    }
}

impl Error for Broken {}
