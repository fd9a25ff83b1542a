//! A line whose oldest is handed a turn: what locks, semaphores, limiters and conditions block on.
//!
//! ```text
//!   wait(take) ─ nobody before us, and take()? ──► ours
//!                  └ else to the end of the line ─ hand_on() ─► ours │ dropped before it knew: give_back()
//! ```
//!
//! Rules:
//! * **Handed On**: a turn goes from one owner to the next in one step, and is never free in between while somebody waits. So
//!   nobody who comes later is served earlier.
//! * A turn that was handed to a wait which then goes without having looked is given back by [`Turns::wait`]'s caller.
//! * Nothing is borrowed while a waker is woken or dropped.

use crate::checkpoint::Wait;
use crate::error::Cancelled;
use crate::parking::list::{List, Place};
use crate::waits::Waits;
use std::cell::RefCell;
use std::future::poll_fn;
use std::task::{Poll, Waker};

enum Turn {
    Waits(Waker),
    /// It is its turn.
    Has,
}

/// The line.
#[derive(Default)]
pub(super) struct Turns {
    line: RefCell<List<Turn>>,
}

impl Turns {
    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.line.borrow().len()
    }

    /// Hands a turn to the oldest; false if nobody waits.
    pub(super) fn hand_on(&self) -> bool {
        let before = self.line.borrow_mut().take_first().map(|turn| std::mem::replace(turn, Turn::Has));
        match before {
            None => false,
            Some(Turn::Waits(waker)) => {
                waker.wake();
                true
            }
            Some(Turn::Has) => unreachable!("in line exactly as long as it waits"),
        }
    }

    /// Waits for a turn. `take` takes one that is free, if there is any; it is asked once, if nobody is before us.
    /// `give_back` is for one that was handed to a wait that has gone.
    ///
    /// # Cancellation
    ///
    /// A checkpoint always; Strict: cancelled or dropped, it has no turn.
    pub(super) async fn wait(
        &self,
        what: Waits,
        mut take: impl FnMut() -> bool,
        give_back: impl Fn(),
    ) -> Result<(), Cancelled> {
        let mut ticket = Ticket { turns: self, place: None, give_back };
        let mut wait = Wait::on(what);
        poll_fn(|cx| {
            wait.poll(cx, |cx| {
                if ticket.place.is_none() && self.len() == 0 && take() {
                    return Poll::Ready(());
                }
                ticket.poll(cx.waker())
            })
        })
        .await
    }

    /// Joins the end of the line, for somebody else.
    pub(super) fn join(&self, waker: Waker) -> Place {
        self.line.borrow_mut().push(Turn::Waits(waker))
    }

    /// Is it the turn of this place? Then the place is taken; else the waker is kept for it.
    pub(super) fn poll(&self, place: &mut Option<Place>, waker: &Waker) -> Poll<()> {
        let own = waker.clone();
        let mut line = self.line.borrow_mut();
        let at = place.as_ref().expect("in line until it is its turn");
        let before = match line.get(at) {
            Turn::Has => None,
            Turn::Waits(kept) => Some(std::mem::replace(kept, own)),
        };
        if before.is_none() {
            let _has = line.remove(place.take().expect("looked at just now"));
        }
        drop(line);
        if before.is_some() { Poll::Pending } else { Poll::Ready(()) }
    }

    /// Gives up a place. True if it was its turn, which is the caller's to hand on.
    #[must_use = "a turn that nobody has is lost"]
    pub(super) fn leave(&self, place: Place) -> bool {
        let left = self.line.borrow_mut().remove(place);
        matches!(left, Turn::Has)
    }
}

struct Ticket<'a, G: Fn()> {
    turns: &'a Turns,
    place: Option<Place>,
    give_back: G,
}

impl<G: Fn()> Ticket<'_, G> {
    fn poll(&mut self, waker: &Waker) -> Poll<()> {
        if self.place.is_none() {
            let own = waker.clone();
            self.place = Some(self.turns.join(own));
            return Poll::Pending;
        }
        self.turns.poll(&mut self.place, waker)
    }
}

impl<G: Fn()> Drop for Ticket<'_, G> {
    fn drop(&mut self) {
        if let Some(place) = self.place.take()
            && self.turns.leave(place)
        {
            (self.give_back)();
        }
    }
}
