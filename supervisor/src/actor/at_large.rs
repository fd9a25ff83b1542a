//! Who of the tree is at large: made by an actor, and not reaped by it. What is left when a parent was killed comes to the
//! root, which awaits it.
//!
//! ```text
//!   Started ─► known ─► Ended                                   (a parent reaped it)
//!                └────► a child of ours ────────────┐
//!   never announced, but marked ────────────────────┴─► grace ─► SIGKILL ─► reaped
//!     (a fork server of an actor, and what an actor has started by other means)
//! ```
//!
//! Rules:
//! * Only processes of the tree are signalled and reaped: those that were announced (a number counts together with its
//!   start time), and those that have its mark, because a parent can be killed before it has announced its child. A child
//!   that the program's own code has started is its own business, and keeps its status.
//! * **Whose Is Nobody's**: one that is marked and that no handle of this process holds ([`is_held`]) came from a dead
//!   parent. As long as the root's code runs, those that were announced get the grace and are killed; of the others only the
//!   dead are taken away, because what an actor has started by other means may be meant to last as long as the program.
//! * A stray's children come here before it can be reaped, so when no stray is left none will come.

use super::event::{Event, Status};
use crate::config::Config;
use pleach_executor::parking::ParkingLot;
use pleach_executor::{CancelScope, Cancelled, Instant, low_level, now, nursery, sleep};
use pleach_spawn::{Moment, Pid, Stray, children, glance_at_children, is_held, is_of_a_tree};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::fs;
use std::rc::Rc;
use std::time::Duration;

/// A process that was announced, and whose end was not.
#[derive(Clone, Copy, Debug)]
struct Known {
    start_time: u64,
    /// It was made by the root itself, which holds it: no stray as long as the root's code runs.
    own: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct AtLarge(Rc<Inner>);

#[derive(Debug)]
struct Inner {
    root: String,
    known: RefCell<BTreeMap<u32, Known>>,
    /// Somebody has ended who may have left processes behind that nobody has announced.
    ended: Cell<bool>,
    /// And actors as well, because it died of something.
    bereaved: Cell<bool>,
    tending: ParkingLot,
    /// Whose end is waited for, of those that nobody has announced.
    unannounced: RefCell<BTreeSet<Pid>>,
}

/// How long a look waits for those who are being made just now: nothing tells of them when they have their owner.
const BEING_MADE: Duration = Duration::from_millis(5);

/// Which of our children to look for.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Whom {
    /// While the root's code runs: those that were announced by others.
    Announced,
    /// At the end, when the root holds nobody any more: everybody of the tree.
    All,
}

impl AtLarge {
    /// For the root of this name.
    pub(crate) fn new(root: &str) -> Self {
        AtLarge(Rc::new(Inner {
            root: root.to_owned(),
            known: RefCell::default(),
            ended: Cell::new(false),
            bereaved: Cell::new(false),
            tending: ParkingLot::new(),
            unannounced: RefCell::default(),
        }))
    }

    /// Takes note of an event of the tree.
    pub(crate) fn hear(&self, event: &Event) {
        match event {
            Event::Started { actor, start_time } => {
                let own = actor.path().len() == self.0.root.len() + 1 + actor.name().len();
                self.0.known.borrow_mut().insert(actor.pid(), Known { start_time: *start_time, own });
            }
            Event::Ended { actor, status, .. } => {
                self.0.known.borrow_mut().remove(&actor.pid());
                self.0.ended.set(true);
                if !matches!(status, Status::Exited(0)) {
                    self.0.bereaved.set(true);
                }
                self.0.tending.unpark_all();
            }
            Event::Note { .. } => {}
        }
    }

    /// Reaps strays as long as the root's code runs, so that a program that lives long does not keep the dead.
    pub(crate) async fn tend(&self, config: &Config) -> Result<Infallible, Cancelled> {
        nursery(async |n| {
            loop {
                while !self.0.ended.replace(false) {
                    self.0.tending.park().await?;
                }
                for stray in self.unannounced().await? {
                    n.spawn(self.await_end(stray));
                }
                if self.0.bereaved.replace(false) {
                    // One that does not die is found again at the end, and reported then.
                    let _left = self.await_strays(Whom::Announced, config).await?;
                }
            }
        })
        .await
    }

    /// Those that have come since the last look, and that nobody has announced.
    async fn unannounced(&self) -> Result<Vec<Stray>, Cancelled> {
        let mut come = glance_at_children().unwrap_or_default();
        come.retain(|pid| self.is_nobodys(*pid));
        // One that was being made when it was listed is held when all that were are; or its number is another's.
        let moment = Moment::now();
        while !come.is_empty() && !moment.has_settled() {
            sleep(BEING_MADE).await?;
            come.retain(|pid| self.is_nobodys(*pid));
        }
        let strays: Vec<_> = come.into_iter().filter_map(|pid| Stray::adopt(pid).ok()).collect();
        self.0.unannounced.borrow_mut().extend(strays.iter().map(Stray::pid));
        Ok(strays)
    }

    /// Is it of the tree, unannounced, and held by no handle? Asked of a child that nobody is making, this is one that came from
    /// a dead parent.
    fn is_nobodys(&self, pid: Pid) -> bool {
        let is_known = self.0.unannounced.borrow().contains(&pid) || self.known(pid).is_some();
        !is_held(pid) && !is_known && is_of_a_tree(pid)
    }

    async fn await_end(&self, stray: Stray) -> Result<(), Cancelled> {
        let ended = stray.reap().await;
        self.0.unannounced.borrow_mut().remove(&stray.pid());
        if ended.is_ok() {
            // It may have left somebody in its turn.
            self.0.ended.set(true);
            self.0.tending.unpark_all();
        }
        ended.map(drop)
    }

    /// Waits until every one that is our child now, or becomes it, has ended and is reaped. After the orphan grace they are
    /// killed. Gives those that do not die of it in time.
    pub(crate) async fn gather(&self, config: &Config) -> Vec<Pid> {
        // Nothing cancels the end of the program.
        self.await_strays(Whom::All, config).await.unwrap_or_else(|c| {
            low_level::absorb(c);
            Vec::new()
        })
    }

    async fn await_strays(&self, whom: Whom, config: &Config) -> Result<Vec<Pid>, Cancelled> {
        let kill_at = now() + config.orphan_grace;
        loop {
            let strays = self.strays(whom);
            let Some(stray) = strays.first() else { return Ok(Vec::new()) };
            if self.ended(stray, kill_at).await? {
                continue;
            }
            strays.iter().for_each(Stray::kill);
            let give_up_at = now() + config.unkillable;
            for stray in &strays {
                if !self.ended(stray, give_up_at).await? {
                    return Ok(strays.iter().map(Stray::pid).collect());
                }
            }
        }
    }

    /// Reaps it, if it ends before that moment.
    async fn ended(&self, stray: &Stray, before: Instant) -> Result<bool, Cancelled> {
        let reaped = CancelScope::new().deadline(before).run(async |_| stray.reap().await).await?;
        if reaped.is_some() {
            self.0.known.borrow_mut().remove(&stray.pid().as_raw().unsigned_abs());
            self.0.ended.set(true);
        }
        Ok(reaped.is_some())
    }

    /// Those that are our children now.
    fn strays(&self, whom: Whom) -> Vec<Stray> {
        let is_stray = |pid: &Pid| match self.known(*pid) {
            Some(Known { own, .. }) => whom == Whom::All || !own,
            None => whom == Whom::All && is_of_a_tree(*pid),
        };
        let mut strays = children().unwrap_or_default();
        strays.retain(is_stray);
        strays.into_iter().filter_map(|pid| Stray::adopt(pid).ok()).collect()
    }

    /// What was announced of this very process.
    fn known(&self, pid: Pid) -> Option<Known> {
        let known = *self.0.known.borrow().get(&pid.as_raw().unsigned_abs())?;
        let same = match known.start_time {
            // A number alone was announced: it may be somebody else's by now.
            0 => is_of_a_tree(pid),
            at => start_time(pid).is_none_or(|now| now == at),
        };
        same.then_some(known)
    }
}

/// Field 22 of proc_pid_stat(5), counted from behind the name, which may hold anything.
fn start_time(pid: Pid) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(19)?.parse().ok()
}
