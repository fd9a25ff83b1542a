//! The plan against a world that does anything at any moment: children come up, end, fail and linger as they like, and
//! whoever holds the nursery asks for whatever comes to mind.

use super::{Action, Consequence, How, Place, Plan, State};
use crate::actor::Incarnation;
use crate::supervise::spec::{Restart, Strategy, Supervision};
use pleach_executor::Instant;
use proptest::prelude::{Just, Strategy as _, any, prop_oneof, proptest};
use std::time::Duration;

const PERIOD: Duration = Duration::from_millis(50);

#[derive(Clone, Copy, Debug)]
enum Step {
    Up(usize),
    End { child: usize, failed: bool },
    Stop(usize),
    Restart(usize),
    ShutDown,
    Pass(u64),
}

/// A process, as the world has it.
#[derive(Clone, Copy, Debug)]
struct Alive {
    incarnation: Incarnation,
    up: bool,
    told: bool,
}

struct World {
    plan: Plan,
    how: Supervision,
    restart: Vec<Restart>,
    alive: Vec<Option<Alive>>,
    started: Vec<u32>,
    /// When somebody was restarted who had ended by itself.
    counted: Vec<Instant>,
    now: Instant,
    too_many: bool,
    failed: bool,
}

impl World {
    fn new(how: Supervision, restart: Vec<Restart>) -> Self {
        let mut plan = Plan::new(how);
        let now = Instant::from_nanos(1_000_000_000);
        for restart in &restart {
            let _place = plan.add(*restart, now);
        }
        let n = restart.len();
        World {
            plan,
            how,
            restart,
            alive: vec![None; n],
            started: vec![0; n],
            counted: Vec::new(),
            now,
            too_many: false,
            failed: false,
        }
    }

    fn step(&mut self, step: Step) {
        let n = self.restart.len();
        match step {
            Step::Up(child) => self.come_up(child % n),
            Step::End { child, failed } => self.end(child % n, failed),
            Step::Stop(child) => self.plan.stop(Place(child % n)),
            Step::Restart(child) => self.plan.restart(Place(child % n), self.now),
            Step::ShutDown => self.plan.shut_down(),
            Step::Pass(ms) => self.now = self.now + Duration::from_millis(ms),
        }
    }

    fn come_up(&mut self, child: usize) {
        if let Some(alive) = &mut self.alive[child] {
            alive.up = true;
            self.plan.up(Place(child), alive.incarnation);
        }
    }

    fn end(&mut self, child: usize, failed: bool) {
        if self.alive[child].take().is_none() {
            return;
        }
        let by_itself = !self.plan.state(Place(child)).is_leaving();
        let again = match self.restart[child] {
            Restart::Permanent => true,
            Restart::Transient => failed,
            Restart::Temporary => false,
        };
        let restarts = self.how.strategy != Strategy::OneCancelsAll && by_itself && again;
        if restarts {
            self.counted.push(self.now);
        }
        let recent = self.counted.iter().filter(|at| self.now - **at <= PERIOD).count();
        let too_many = restarts && recent > self.how.most as usize;
        let expected = match self.how.strategy {
            Strategy::OneCancelsAll if by_itself && failed => Consequence::Fails,
            _ if too_many => Consequence::TooMany,
            _ => Consequence::Handled,
        };
        self.too_many |= too_many;
        assert_eq!(self.plan.ended(Place(child), failed, self.now), expected, "{recent} recent restarts");
    }

    /// Performs what is due now. Says until when there is nothing more to do.
    fn perform(&mut self) -> Option<Instant> {
        loop {
            match self.plan.next(self.now) {
                Action::Start(place, incarnation) => self.start(place, incarnation),
                Action::Stop(place) => self.tell(place),
                Action::Fail => {
                    assert!(self.too_many && self.alive.iter().all(Option::is_none));
                    self.failed = true;
                    return None;
                }
                Action::Wait(until) => {
                    assert!(until.is_none_or(|at| at > self.now), "it waits for what is over");
                    assert!(
                        until.is_some() || self.alive.iter().any(Option::is_some),
                        "it waits for nothing"
                    );
                    return until;
                }
                Action::Idle => {
                    assert!(self.alive.iter().all(Option::is_none));
                    return None;
                }
            }
        }
    }

    fn start(&mut self, place: Place, incarnation: Incarnation) {
        assert!(self.alive[place.0].is_none(), "two incarnations at once");
        assert!(!self.too_many, "it has given up");
        self.started[place.0] += 1;
        assert_eq!(incarnation.number(), self.started[place.0], "no number is left out, or used twice");
        if self.how.strategy == Strategy::RestForOne {
            let (before, after) = self.alive.split_at(place.0);
            assert!(before.iter().flatten().all(|alive| alive.up && !alive.told), "one before it is not up");
            assert!(!after.iter().flatten().any(|alive| alive.told), "one after it is still leaving");
        }
        self.alive[place.0] = Some(Alive { incarnation, up: false, told: false });
    }

    fn tell(&mut self, place: Place) {
        let later = self.alive[place.0 + 1..].iter().flatten();
        if self.plan.is_ending() {
            assert_eq!(later.count(), 0, "a shutdown goes backwards, one by one");
        } else if self.how.strategy == Strategy::RestForOne {
            assert!(!later.clone().any(|alive| alive.told), "one after it is still leaving");
        }
        let alive = self.alive[place.0].as_mut().expect("who is told to stop is there");
        assert!(!alive.told, "told twice");
        alive.told = true;
    }

    /// Everybody does as told, and nobody ends by itself any more.
    fn settle(&mut self) {
        for _ in 0..20 * self.restart.len() + 20 {
            if self.failed {
                return;
            }
            let until = self.perform();
            if let Some(leaving) = self.alive.iter().position(|alive| alive.is_some_and(|a| a.told)) {
                self.end(leaving, false);
            } else if let Some(child) = self.alive.iter().position(|alive| alive.is_some_and(|a| !a.up)) {
                self.come_up(child);
            } else if let Some(at) = until {
                self.now = at;
            } else {
                return;
            }
        }
        panic!("it never comes to rest");
    }
}

fn restarts() -> impl proptest::strategy::Strategy<Value = Vec<Restart>> {
    let one = prop_oneof![3 => Just(Restart::Permanent), 1 => Just(Restart::Transient), 1 => Just(Restart::Temporary)];
    proptest::collection::vec(one, 1..6)
}

fn supervision() -> impl proptest::strategy::Strategy<Value = Supervision> {
    let strategy = prop_oneof![
        1 => Just(Strategy::OneCancelsAll),
        3 => Just(Strategy::OneForOne),
        3 => Just(Strategy::RestForOne),
    ];
    (strategy, 0..6_u32, 0..30_u64).prop_map(|(strategy, most, delay)| {
        let delay = Duration::from_millis(delay);
        Supervision::new(strategy).intensity(most, PERIOD).back_off(delay, delay * 3)
    })
}

fn step() -> impl proptest::strategy::Strategy<Value = Step> {
    let child = || 0..6_usize;
    prop_oneof![
        6 => child().prop_map(Step::Up),
        4 => (child(), any::<bool>()).prop_map(|(child, failed)| Step::End { child, failed }),
        1 => child().prop_map(Step::Stop),
        1 => child().prop_map(Step::Restart),
        1 => Just(Step::ShutDown),
        // The border of the period is met often.
        4 => prop_oneof![Just(1), Just(10), Just(25), Just(50), Just(51)].prop_map(Step::Pass),
    ]
}

proptest! {
    #[test]
    fn whatever_happens_the_rules_hold_and_it_comes_to_rest(
        how in supervision(),
        children in restarts(),
        steps in proptest::collection::vec(step(), 0..80),
    ) {
        let mut world = World::new(how, children);
        let _until = world.perform();
        for step in steps {
            world.step(step);
            let _until = world.perform();
            if world.failed {
                break;
            }
        }
        world.settle();
        assert_eq!(world.failed, world.too_many, "who gives up fails, and nobody else");
        for (i, alive) in world.alive.iter().enumerate() {
            match world.plan.state(Place(i)) {
                State::Up => assert!(alive.is_some_and(|a| a.up && !a.told)),
                State::Over(how) => {
                    assert!(alive.is_none());
                    let rests = how == How::Stopped
                        || world.restart[i] == Restart::Temporary
                        || world.how.strategy == Strategy::OneCancelsAll
                        || (world.restart[i] == Restart::Transient && how == How::Well);
                    assert!(rests || world.failed, "{i} is to be there");
                }
                other => panic!("{i} is {other:?}, and nothing more happens"),
            }
        }
    }
}
