//! Performs what the plan decides: one task of the nursery that starts and stops, and one for each incarnation that lives.
//!
//! ```text
//!   an.child, restart, stop, shut_down ─► Plan ◄─ up, ended ─ the task of an incarnation ─► launch.rs ─► watch.rs
//!                                          │                          ▲
//!                                          └─ next ─► work() ─ start ─┘
//!                                                       ├─ stop ─► the scope of that incarnation
//!                                                       └─ too many restarts ─► an error of the nursery
//! ```
//!
//! Rules:
//! * The failure of a child is the plan's, and goes to who observes the tree. It is the nursery's if nobody is started again
//!   (one-cancels-all), if it is one too many, or if the nursery is being cancelled: then the plan is over.
//! * A cancel from above reaches all children at once, as in any nursery: the order of a shutdown is for one that was asked
//!   for.
//! * The keeper's task ends when nobody lives and nobody is due, so that the nursery can; whoever asks for more starts it
//!   again.
//! * Nothing is borrowed while somebody is woken or an error dropped.
//!
//! What can be asked of it is in `keeper/requests.rs`.

mod requests;

use super::child::{Begun, Child};
use super::plan::{Action, Consequence, Place, Plan, State};
use super::spec::Supervision;
use crate::actor::here::Here;
use crate::actor::siblings::Siblings;
use crate::actor::{ActorId, Event, Incarnation};
use crate::config::Config;
use crate::error::{Error, ErrorKind, ErrorTree};
use crate::handle::Up;
use crate::launch::Order;
use crate::wire;
use pleach_executor::parking::ParkingLot;
use pleach_executor::{
    CancelScope, Cancelled, Failure, Instant, NurseryHandle, ScopeHandle, check, low_level, now,
};
pub(super) use requests::Seen;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::{Rc, Weak};

/// What an actor nursery has to make children with.
#[derive(Clone)]
pub(crate) struct Means {
    pub(crate) tasks: NurseryHandle<Error>,
    pub(crate) here: Rc<Here>,
    pub(crate) siblings: Rc<Siblings>,
    pub(crate) config: Config,
}

pub(crate) struct Keeper {
    means: Means,
    me: Weak<Keeper>,
    plan: RefCell<Plan>,
    kept: RefCell<Vec<Kept>>,
    /// The errors of the last restarts, as many as can be too many.
    deaths: RefCell<VecDeque<ErrorTree>>,
    /// Something has become different: whoever waits looks again.
    changed: ParkingLot,
    work: Cell<Work>,
    epoch: u64,
}

/// Whether there is a task that performs the plan.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Work {
    /// There is nothing to do.
    Idle,
    Doing,
    /// And there will be none: the nursery is ending.
    Over,
}

/// One child, through all its incarnations.
struct Kept {
    child: Rc<Child>,
    /// The one that lives.
    alive: Option<Alive>,
    last_error: Option<ErrorTree>,
}

#[derive(Clone)]
struct Alive {
    up: Rc<Up>,
    scope: ScopeHandle,
}

impl Keeper {
    pub(crate) fn new(means: Means, how: Supervision) -> Rc<Self> {
        Rc::new_cyclic(|me| Keeper {
            means,
            me: Weak::clone(me),
            plan: RefCell::new(Plan::new(how)),
            kept: RefCell::default(),
            deaths: RefCell::default(),
            changed: ParkingLot::new(),
            work: Cell::new(Work::Idle),
            epoch: low_level::epoch(),
        })
    }

    /// Has somebody perform the plan.
    fn wake(&self) -> Result<(), Error> {
        match self.work.get() {
            Work::Doing => {
                self.changed.unpark_all();
                Ok(())
            }
            Work::Idle => {
                let me = self.me.upgrade().expect("it is being used");
                self.work.set(Work::Doing);
                let working = Working { keeper: Rc::clone(&me), then: Work::Over };
                self.means.tasks.spawn(me.work(working)).map_err(|_| not_started())
            }
            Work::Over => Err(not_started()),
        }
    }

    async fn work(self: Rc<Self>, mut working: Working) -> Result<(), Error> {
        loop {
            let action = self.plan.borrow_mut().next(now());
            match action {
                Action::Start(place, incarnation) => self.start(place, incarnation),
                Action::Stop(place) => self.tell_to_stop(place),
                Action::Wait(until) => {
                    self.something_happens(until).await?;
                    continue;
                }
                Action::Idle => {
                    working.then = Work::Idle;
                    return Ok(());
                }
                Action::Fail => return Err(self.gave_up()),
            }
            self.changed.unpark_all();
        }
    }

    /// Waits for that moment at most.
    async fn something_happens(&self, until: Option<Instant>) -> Result<(), Cancelled> {
        let scope = CancelScope::new().deadline(until.unwrap_or(Instant::MAX));
        scope.run(async |_| self.changed.park().await).await.map(|_parked_or_time| ())
    }

    fn start(&self, place: Place, incarnation: Incarnation) {
        let (me, child) = (Weak::clone(&self.me), Rc::clone(&self.kept.borrow()[place.0].child));
        let up = Up::hearing(move || {
            if let Some(keeper) = me.upgrade() {
                keeper.plan.borrow_mut().up(place, incarnation);
                keeper.changed.unpark_all();
            }
        });
        let own = CancelScope::new();
        let alive = Alive { up: Rc::clone(&up), scope: own.handle() };
        self.kept.borrow_mut()[place.0].alive = Some(alive.clone());
        let keeper = self.me.upgrade().expect("it is at work");
        // It cannot be refused: the nursery has not ended, because this is a task of it.
        let alive_in_plan = InPlan(Rc::clone(&keeper), place);
        let _ = self.means.tasks.spawn(async move {
            let (told, _in_plan) = (up.told_on_drop(), alive_in_plan);
            let ended = own.run(async |_| keeper.live(&child, incarnation, alive).await).await;
            let ended = keeper.heard(place, ended);
            drop(told);
            ended
        });
    }

    /// The life of one incarnation.
    async fn live(&self, child: &Child, incarnation: Incarnation, alive: Alive) -> Result<(), Error> {
        let Means { here, siblings, config, .. } = self.means.clone();
        let Begun { start, role, first, lift } = child.begin(&config)?;
        let order = Order {
            here,
            siblings,
            config: start.config.unwrap_or(config),
            role,
            start,
            up: alive.up,
            own: alive.scope,
            incarnation,
            stop: child.stops(),
        };
        order.carry_out(first, async |wanted| lift(wanted).await).await.map(|_value| ())
    }

    fn tell_to_stop(&self, place: Place) {
        let alive = self.kept.borrow()[place.0].alive.clone();
        alive.expect("who is told to stop is alive").scope.cancel();
    }

    /// An incarnation has ended.
    fn heard(&self, place: Place, ended: Result<Option<()>, Error>) -> Result<(), Error> {
        let failure = match ended {
            // The nursery is cancelled, or is about to be because of this very error: nobody plans any more.
            Err(e) if e.is_cancelled() || self.is_cancelled() => return Err(e),
            // Another incarnation beside a process that does not die would be the second of its name.
            Err(e) if matches!(e.kind(), ErrorKind::Unkillable { .. }) => return Err(e),
            Err(e) => Some(e),
            Ok(_) => None,
        };
        let consequence = self.plan.borrow_mut().ended(place, failure.is_some(), now());
        let alive = self.kept.borrow_mut()[place.0].alive.take();
        let id = alive.as_ref().and_then(|alive| alive.up.line.borrow().as_ref().map(|(_, id)| id.clone()));
        let outcome = match failure {
            Some(e) if consequence == Consequence::Fails => Err(e),
            Some(e) => {
                self.deal_with(place, id.as_ref(), e, consequence);
                Ok(())
            }
            None => Ok(()),
        };
        drop(alive);
        self.changed.unpark_all();
        outcome
    }

    fn is_cancelled(&self) -> bool {
        check().map_err(low_level::absorb).is_err()
    }

    /// An error that ends with this child: whoever observes the tree is left to hear of it.
    fn deal_with(&self, place: Place, id: Option<&ActorId>, e: Error, consequence: Consequence) {
        let state = self.plan.borrow().state(place);
        let next = match state {
            _ if consequence == Consequence::TooMany => "that was one restart too many",
            State::Due { .. } => "it is started again",
            _ => "it is not started again",
        };
        if let (Some(id), Consequence::Handled) = (id, consequence) {
            self.means.siblings.forgive(id);
        }
        let name = self.kept.borrow()[place.0].child.name().to_owned();
        let path = self.means.here.id.child_path(&name);
        let text = format!("{path} has failed, and {next}: {}", e.summary());
        let tree = e.into_tree();
        let before = self.kept.borrow_mut()[place.0].last_error.replace(tree.clone());
        if matches!(state, State::Due { .. }) || consequence == Consequence::TooMany {
            let most = self.plan.borrow().how().most as usize;
            let mut deaths = self.deaths.borrow_mut();
            deaths.push_back(tree);
            while deaths.len() > most.saturating_add(1) {
                deaths.pop_front();
            }
        }
        drop(before);
        self.means.here.tell(&Event::Note { path: self.means.here.id.path().to_owned(), text });
    }

    /// Too many restarts: the last errors, and how many there may be.
    fn gave_up(&self) -> Error {
        let how = *self.plan.borrow().how();
        let kind = ErrorKind::TooManyRestarts { most: how.most, period_ns: wire::nanos(how.period) };
        let text =
            format!("one restart more than the {} allowed in {:?}: it has given up", how.most, how.period);
        let mut e = Error::of(kind, text).at(&self.means.here.id);
        self.deaths.take().into_iter().for_each(|death| e.because(death));
        e
    }
}

/// However the task of an incarnation goes, the plan does not have it among the living.
struct InPlan(Rc<Keeper>, Place);

impl Drop for InPlan {
    fn drop(&mut self) {
        let InPlan(keeper, place) = self;
        if !keeper.plan.borrow().state(*place).is_alive() {
            return;
        }
        keeper.plan.borrow_mut().lost(*place);
        let alive = keeper.kept.borrow_mut()[place.0].alive.take();
        drop(alive);
        keeper.changed.unpark_all();
    }
}

/// However the keeper's task goes, whoever waits for it hears of it.
struct Working {
    keeper: Rc<Keeper>,
    then: Work,
}

impl Drop for Working {
    fn drop(&mut self) {
        self.keeper.work.set(self.then);
        self.keeper.changed.unpark_all();
    }
}

fn not_started() -> Error {
    Error::of(ErrorKind::NotStarted, "its nursery has ended, or is ending: nothing is started there any more")
}
