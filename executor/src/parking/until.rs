//! Waiting in a lot until something is true: what everything blocks on whose waiting tasks look for themselves.
//!
//! ```text
//!   poll ─► look ─┬─ Some(v) ─► out of line, Ok(v)
//!                 └─ None ─► in line │ released? ─► in line again, at the back
//! ```
//!
//! Rules:
//! * **Looks Itself**: a release says no more than "look again"; what a task gets is what its own look finds. So a
//!   spurious poll is as good as a meant one.
//! * A look that finds something has happened, also when the scope is cancelled by then (see `checkpoint.rs`).
//! * One who was released by hand-off ([`ParkingLot::unpark`]) and goes without having looked passes it on; one who
//!   looked has used it up.

use super::list::Place;
use super::{At, ParkingLot, Ticket};
use crate::checkpoint::Wait;
use crate::error::Cancelled;
use std::future::poll_fn;
use std::task::{Context, Poll};

/// One wait of that kind. After a result it can be used again. Whoever drops it calls [`Until::leave`] first.
#[derive(Debug)]
pub(crate) struct Until {
    wait: Wait,
    place: Option<Place>,
}

impl Until {
    pub(crate) const fn new() -> Self {
        Until { wait: Wait::new(), place: None }
    }

    /// One poll. It is the same lot each time.
    pub(crate) fn poll<T>(
        &mut self,
        lot: &ParkingLot,
        cx: &mut Context<'_>,
        mut look: impl FnMut() -> Option<T>,
    ) -> Poll<Result<T, Cancelled>> {
        // If anything below panics, this leaves the line.
        let mut ticket = Ticket { at: At::Here(lot), place: self.place.take() };
        let polled = self.wait.poll(cx, |cx| {
            loop {
                if let Some(found) = look() {
                    ticket.use_up();
                    return Poll::Ready(found);
                }
                if ticket.place.is_none() {
                    ticket.place = Some(lot.join(cx.waker()));
                    return Poll::Pending;
                }
                if ticket.poll(cx.waker()).is_pending() {
                    return Poll::Pending;
                }
            }
        });
        if polled.is_pending() {
            self.place = ticket.place.take();
        }
        polled
    }

    /// Leaves the line, if it is in it.
    pub(crate) fn leave(&mut self, lot: &ParkingLot) {
        drop(Ticket { at: At::Here(lot), place: self.place.take() });
    }
}

struct InLot<'a> {
    lot: &'a ParkingLot,
    until: Until,
}

impl Drop for InLot<'_> {
    fn drop(&mut self) {
        self.until.leave(self.lot);
    }
}

impl ParkingLot {
    /// Waits until `look` finds something; looks at each release, and whenever it is polled.
    pub(crate) async fn until<T>(&self, mut look: impl FnMut() -> Option<T>) -> Result<T, Cancelled> {
        let mut wait = InLot { lot: self, until: Until::new() };
        poll_fn(|cx| wait.until.poll(self, cx, &mut look)).await
    }
}

impl Ticket<'_> {
    /// Out of line, without passing anything on.
    fn use_up(&mut self) {
        if let Some(place) = self.place.take() {
            let gone = self.at.lot().line.borrow_mut().remove(place);
            drop(gone);
        }
    }
}
