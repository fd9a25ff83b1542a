//! Who of the tree is at large: announced as made, and not as reaped by its parent. What is left when a parent was
//! killed comes to the root, which awaits it.
//!
//! ```text
//!   Started ─► known ─► Ended                        (a parent reaped it)
//!                └────► a child of ours at the end ─► grace ─► SIGKILL ─► reaped
//! ```
//!
//! Rules:
//! * Only processes that were announced are signalled and reaped: a child that the program's own code has started is
//!   its own business, and keeps its status. A number counts together with its start time.
//! * A stray's children come here before it can be reaped, so when no stray is left none will come.

use super::event::Event;
use crate::config::Config;
use pleach_executor::{now, sleep};
use pleach_spawn::{Pid, Signal, children, no_children, reap_adopted, signal_descendant};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::rc::Rc;
use std::time::Duration;

/// Between two looks at strays. No order of events depends on it.
const PAUSE: Duration = Duration::from_millis(1);

/// Process ids with their start times.
#[derive(Clone, Debug, Default)]
pub(crate) struct AtLarge(Rc<RefCell<BTreeMap<u32, u64>>>);

impl AtLarge {
    /// Takes note of an event of the tree.
    pub(crate) fn hear(&self, event: &Event) {
        match event {
            Event::Started { actor, start_time } => {
                self.0.borrow_mut().insert(actor.pid(), *start_time);
            }
            Event::Ended { actor, .. } => {
                self.0.borrow_mut().remove(&actor.pid());
            }
            Event::Note { .. } => {}
        }
    }

    /// Waits until every one that is our child now, or becomes it, has ended. After the orphan grace it is killed.
    pub(crate) async fn gather(&self, config: &Config) {
        let kill_at = now() + config.orphan_grace;
        let give_up_at = kill_at + config.unkillable;
        while !no_children() {
            let mut strays = self.strays();
            strays.retain(|stray| reap_adopted(*stray).is_none());
            // The children of one that was reaped just now have come here: they are seen in the next turn.
            if strays.is_empty() && self.strays().is_empty() || now() >= give_up_at {
                return;
            }
            if now() >= kill_at {
                for stray in strays {
                    // It may have ended since; it is reaped in the next turn.
                    let _ = signal_descendant(stray, Signal::KILL);
                }
            }
            // Nothing cancels the end of the program.
            let _ = sleep(PAUSE).await;
        }
    }

    fn strays(&self) -> Vec<Pid> {
        let known = self.0.borrow();
        let is_known = |pid: &Pid| {
            let announced = known.get(&pid.as_raw().unsigned_abs());
            announced.is_some_and(|at| *at == 0 || start_time(*pid).is_none_or(|now| now == *at))
        };
        children().unwrap_or_default().into_iter().filter(is_known).collect()
    }
}

/// Field 22 of proc_pid_stat(5), counted from behind the name, which may hold anything.
fn start_time(pid: Pid) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(19)?.parse().ok()
}
