//! A stop that is under way, and whose end somebody wants sooner: a second Ctrl-C, at the root or further up.
//!
//! ```text
//!   Program, boot.rs ─ Here::hasten(deadline) ─► every watch whose child is being stopped ─► Cancel again, SIGTERM now
//!                                                                                      └► SIGKILL at the new deadline
//! ```
//!
//! Rules: the new deadline is handed down as the first was, so that leaves still give up first. It is heard once, and only
//! by those that are on the ladder: who comes to it later finds the deadline there.

use super::{Link, Watch};
use crate::actor::siblings::lone_deadline;
use pleach_executor::{Cancelled, now};
use std::future::pending;

impl Watch {
    /// Waits until there is more hurry than this child was told of.
    pub(super) async fn haste(&self) -> Result<(), Cancelled> {
        if self.hurried || self.ladder.is_none() {
            return pending().await;
        }
        self.here.hurry.wait().await
    }

    pub(super) fn hurry(&mut self) {
        self.hurried = true;
        let now = now();
        let deadline = lone_deadline(&self.here, now, &self.config);
        let Some(ladder) = &mut self.ladder else { return };
        ladder.hasten(now, deadline, &self.config);
        // One that has said its last word needs no other.
        if self.deadline.is_some() && self.last.is_none() && self.link == Link::Open {
            self.deadline = self.deadline.map(|before| before.min(deadline));
            self.ask();
        }
    }
}
