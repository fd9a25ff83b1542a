//! What can be asked of a supervisor, and how it is.
//!
//! ```text
//!   follow.rs ─ add, stop, restart, shut_down ─► plan ─► keeper.rs ─► changed ─┐
//!                  └────────── waits ◄──────────── has it come to that? ◄──────┘
//! ```
//!
//! Rules: what was asked for is done, also if nobody waits for it any more. Whoever waits hears when it never will be.

use super::{Keeper, Kept, Work};
use crate::actor::Incarnation;
use crate::actor::here::Actor;
use crate::error::{Error, ErrorKind, ErrorTree};
use crate::handle::ActorHandle;
use crate::portal::Portal;
use crate::supervise::child::Child;
use crate::supervise::plan::{Place, Plan, State};
use crate::supervise::spec::Restart;
use pleach_executor::{check, low_level, now};
use std::rc::Rc;

impl Keeper {
    /// One more child, to be started as soon as it may.
    pub(in crate::supervise) fn add(&self, child: Child) -> Result<Place, Error> {
        self.fresh()?;
        let name = child.name().to_owned();
        let refused =
            |text: String| Error::of(ErrorKind::Spawn { step: "name".to_owned(), errno: None }, text);
        if self.place(&name).is_ok() {
            let path = self.means.here.id.path();
            return Err(refused(format!("{path} has a child `{name}`: restart that, or use another name")));
        }
        if self.plan.borrow().is_ending() {
            return Err(ending());
        }
        // What does not fit is said here, and not by an actor that never comes up.
        drop(child.begin(&self.means.config)?);
        let place = self.plan.borrow_mut().add(child.restarts(), now());
        self.kept.borrow_mut().push(Kept { child: Rc::new(child), alive: None, last_error: None });
        self.wake()?;
        Ok(place)
    }

    pub(in crate::supervise) fn place(&self, name: &str) -> Result<Place, Error> {
        let found = self.kept.borrow().iter().position(|kept| kept.child.name() == name);
        found.map(Place).ok_or_else(|| {
            let text = format!("{} supervises no child `{name}`", self.means.here.id.path());
            Error::of(ErrorKind::Gone, text)
        })
    }

    /// Stops it, and waits until it has ended.
    pub(in crate::supervise) async fn stop(&self, place: Place) -> Result<(), Error> {
        let before = self.ask(|plan| plan.stop(place), place)?;
        self.until(|plan| {
            let ended = !plan.state(place).is_alive() || plan.incarnation(place) != before;
            ended.then_some(())
        })
        .await
    }

    /// Restarts it, and waits until the new one is up.
    pub(in crate::supervise) async fn restart(&self, place: Place) -> Result<(), Error> {
        if self.plan.borrow().is_ending() {
            return Err(ending());
        }
        let before = self.ask(|plan| plan.restart(place, now()), place)?;
        let up = self.until(|plan| match plan.state(place) {
            State::Up if plan.incarnation(place) != before => Some(true),
            State::Over(_) if !plan.is_falling() => Some(false),
            _ => None,
        });
        if up.await? { Ok(()) } else { Err(self.is_over(place)) }
    }

    /// Stops all, the last one first, and waits until all have ended.
    pub(crate) async fn shut_down(&self) -> Result<(), Error> {
        self.fresh()?;
        self.plan.borrow_mut().shut_down();
        self.wake()?;
        self.until(|plan| (!plan.is_ending()).then_some(())).await
    }

    /// Puts a request to the plan. Gives the incarnation that it is about.
    fn ask(&self, request: impl FnOnce(&mut Plan), place: Place) -> Result<Option<Incarnation>, Error> {
        self.fresh()?;
        let mut plan = self.plan.borrow_mut();
        let before = plan.incarnation(place);
        request(&mut plan);
        drop(plan);
        self.wake()?;
        Ok(before)
    }

    /// Waits until the plan has it, or will never have it.
    async fn until<T>(&self, seen: impl Fn(&Plan) -> Option<T>) -> Result<T, Error> {
        check()?;
        loop {
            let found = seen(&self.plan.borrow());
            if let Some(found) = found {
                return Ok(found);
            }
            if self.work.get() == Work::Over {
                // Its failure is why, if it has failed.
                check()?;
                let text =
                    format!("the nursery of {} in which it was supervised has ended", self.means.here.id);
                return Err(Error::of(ErrorKind::Gone, text));
            }
            self.changed.park().await?;
        }
    }

    /// The portal of the first incarnation after `before` that is up.
    pub(in crate::supervise) async fn portal(
        &self,
        place: Place,
        before: Option<Incarnation>,
    ) -> Result<Portal, Error> {
        self.fresh()?;
        let up = self.until(|plan| match plan.state(place) {
            State::Up if plan.incarnation(place) > before => Some(true),
            State::Over(_) if !plan.is_falling() => Some(false),
            _ => None,
        });
        if !up.await? {
            return Err(self.is_over(place));
        }
        let alive = self.kept.borrow()[place.0].alive.clone().expect("who is up is alive");
        let Some((line, id)) = alive.up.line.borrow().clone() else {
            unreachable!("an actor that is up has a line")
        };
        let handle = ActorHandle::kept(alive.up, alive.scope);
        Ok(Portal::new(handle, line, id, Actor(Rc::clone(&self.means.here))))
    }

    fn is_over(&self, place: Place) -> Error {
        let kept = self.kept.borrow();
        let (name, last) = (kept[place.0].child.name(), &kept[place.0].last_error);
        let path = self.means.here.id.child_path(name);
        let mut e = Error::of(ErrorKind::Gone, format!("{path} has ended, and is not started again"));
        if let Some(last) = last {
            e.because(last.clone());
        }
        e
    }

    pub(in crate::supervise) fn fresh(&self) -> Result<(), Error> {
        if self.epoch == low_level::epoch() {
            return Ok(());
        }
        let text = "a supervisor of the parent: a forked child cannot use it";
        Err(Error::of(ErrorKind::StaleHandle, text))
    }

    /// Every child in the order of start, as `see` sees it.
    pub(in crate::supervise) fn each<T>(&self, mut see: impl FnMut(Seen<'_>) -> T) -> Vec<T> {
        let (plan, kept) = (self.plan.borrow(), self.kept.borrow());
        let one = |(i, kept): (usize, &Kept)| {
            see(Seen {
                name: kept.child.name(),
                restart: kept.child.restarts(),
                state: plan.state(Place(i)),
                incarnation: plan.incarnation(Place(i)),
                pid: kept.alive.as_ref().map_or(0, |alive| alive.up.pid.get()),
                last_error: kept.last_error.as_ref(),
            })
        };
        kept.iter().enumerate().map(one).collect()
    }
}

fn ending() -> Error {
    Error::of(ErrorKind::Gone, "the supervisor is shutting down: ask again when that is over")
}

/// What the plan has on one child.
pub(in crate::supervise) struct Seen<'a> {
    pub(in crate::supervise) name: &'a str,
    pub(in crate::supervise) restart: Restart,
    pub(in crate::supervise) state: State,
    pub(in crate::supervise) incarnation: Option<Incarnation>,
    pub(in crate::supervise) pid: u32,
    pub(in crate::supervise) last_error: Option<&'a ErrorTree>,
}
