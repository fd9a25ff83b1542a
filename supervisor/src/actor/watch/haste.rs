//! A stop that is under way, and whose end somebody wants sooner: a second Ctrl-C, at the root or further up, or a kill.
//!
//! ```text
//!   Program, boot.rs ─ Here::hasten(deadline) ─► every watch whose child is being stopped ─► Cancel again, SIGTERM now
//!                                                                                      └► SIGKILL at the new deadline
//!   handle.kill() ─────────────────────────────► this one ─► SIGKILL now
//! ```
//!
//! Rules: the new deadline is handed down as the first was, so that leaves still give up first. Each is heard once, and only
//! by those that are on the ladder: who comes to it later finds deadline and wish there.

use super::{Link, Watch};
use crate::actor::siblings::lone_deadline;
use pleach_executor::{Cancelled, now};
use std::future::{Future, pending, poll_fn};
use std::pin::pin;
use std::task::Poll;

/// How much more hurry than at first a child has been told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Haste {
    No,
    /// It has a new deadline.
    Sooner,
    /// It is killed.
    Now,
}

impl Watch {
    /// Waits until there is more hurry than this child was told of.
    pub(super) async fn haste(&self) -> Result<(), Cancelled> {
        if self.ladder.is_none() || self.haste == Haste::Now {
            return pending().await;
        }
        let mut kill = pin!(self.up.kill.wait());
        let mut sooner = pin!(self.here.hurry.wait());
        poll_fn(|cx| match kill.as_mut().poll(cx) {
            Poll::Pending if self.haste == Haste::No => sooner.as_mut().poll(cx),
            told => told,
        })
        .await
    }

    pub(super) fn hurry(&mut self) {
        let now = now();
        let Some(ladder) = &mut self.ladder else { return };
        if self.up.kill.is_set() {
            self.haste = Haste::Now;
            ladder.terminated();
            return ladder.hasten(now, now, &self.config);
        }
        self.haste = Haste::Sooner;
        let deadline = lone_deadline(&self.here, now, &self.config);
        ladder.hasten(now, deadline, &self.config);
        // One that has said its last word needs no other.
        if self.deadline.is_some() && self.last.is_none() && self.link == Link::Open {
            self.deadline = self.deadline.map(|before| before.min(deadline));
            self.ask();
        }
    }
}
