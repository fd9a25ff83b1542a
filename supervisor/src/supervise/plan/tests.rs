//! The rules of the plan, one by one.

use super::{Action, Consequence, Place, Plan, State};
use crate::actor::Incarnation;
use crate::supervise::spec::{Restart, Strategy, Supervision};
use pleach_executor::Instant;
use std::time::Duration;

fn at(ms: u64) -> Instant {
    Instant::from_nanos(ms * 1_000_000)
}

fn plan(how: Supervision, children: &[Restart]) -> Plan {
    let mut plan = Plan::new(how);
    for restart in children {
        let _place = plan.add(*restart, at(0));
    }
    plan
}

/// Does all that is to be done now; each child that is started is up at once.
fn settle(plan: &mut Plan, now: Instant) -> Vec<Action> {
    let mut done = Vec::new();
    loop {
        let action = plan.next(now);
        match action {
            Action::Start(place, incarnation) => plan.up(place, incarnation),
            Action::Wait(_) => return done,
            _ => {}
        }
        done.push(action);
        if matches!(action, Action::Idle | Action::Fail) {
            return done;
        }
    }
}

fn start(place: usize, nth: u32) -> Action {
    Action::Start(Place(place), Incarnation::of(nth))
}

const PERIOD: Duration = Duration::from_millis(1000);

#[test]
fn so_many_restarts_within_the_period_are_allowed_and_one_more_is_too_many() {
    let how = Supervision::new(Strategy::OneForOne).intensity(2, PERIOD);
    for (third, consequence) in [(1000, Consequence::TooMany), (1001, Consequence::Handled)] {
        let mut plan = plan(how, &[Restart::Permanent]);
        let _up = settle(&mut plan, at(0));
        for ms in [0, 500] {
            assert_eq!(plan.ended(Place(0), true, at(ms)), Consequence::Handled);
            let _up = settle(&mut plan, at(ms));
        }
        assert_eq!(plan.ended(Place(0), true, at(third)), consequence, "the first was {third} ms ago");
    }
}

#[test]
fn no_restart_at_all_can_be_asked_for() {
    let mut plan = plan(Supervision::new(Strategy::OneForOne).intensity(0, PERIOD), &[Restart::Permanent]);
    let _up = settle(&mut plan, at(0));
    assert_eq!(plan.ended(Place(0), false, at(1)), Consequence::TooMany);
    assert_eq!(settle(&mut plan, at(1)), [Action::Fail]);
}

#[test]
fn who_is_restarted_depends_on_how_it_has_ended() {
    let how = Supervision::new(Strategy::OneForOne).intensity(10, PERIOD);
    let cases = [
        (Restart::Permanent, true, true),
        (Restart::Permanent, false, true),
        (Restart::Transient, true, true),
        (Restart::Transient, false, false),
        (Restart::Temporary, true, false),
        (Restart::Temporary, false, false),
    ];
    for (restart, failed, again) in cases {
        let mut plan = plan(how, &[restart]);
        let _up = settle(&mut plan, at(0));
        assert_eq!(plan.ended(Place(0), failed, at(1)), Consequence::Handled);
        let next = if again { start(0, 2) } else { Action::Idle };
        assert_eq!(settle(&mut plan, at(1)), [next], "{restart:?}, failed: {failed}");
    }
}

#[test]
fn the_rest_is_stopped_backwards_and_started_forwards() {
    let how = Supervision::new(Strategy::RestForOne).intensity(10, PERIOD);
    let mut plan =
        plan(how, &[Restart::Permanent, Restart::Permanent, Restart::Temporary, Restart::Transient]);
    assert_eq!(settle(&mut plan, at(0)), [start(0, 1), start(1, 1), start(2, 1), start(3, 1)]);
    assert_eq!(plan.ended(Place(1), true, at(1)), Consequence::Handled);
    assert_eq!(settle(&mut plan, at(1)), [Action::Stop(Place(3))], "the last one first, and alone");
    assert_eq!(plan.ended(Place(3), false, at(2)), Consequence::Handled);
    assert_eq!(settle(&mut plan, at(2)), [Action::Stop(Place(2))]);
    assert_eq!(plan.ended(Place(2), false, at(3)), Consequence::Handled);
    assert_eq!(settle(&mut plan, at(3)), [start(1, 2), start(3, 2)], "a temporary one stays away");
    assert_eq!(plan.state(Place(0)), State::Up, "who came before is left alone");
}

#[test]
fn a_child_waits_twice_as_long_each_time_up_to_a_limit_and_forgets() {
    let (first, longest) = (Duration::from_millis(100), Duration::from_millis(300));
    let how = Supervision::new(Strategy::OneForOne).intensity(10, PERIOD).back_off(first, longest);
    let mut plan = plan(how, &[Restart::Permanent]);
    let _up = settle(&mut plan, at(0));
    let mut now = 0;
    for wait in [100, 200, 300] {
        let _handled = plan.ended(Place(0), true, at(now));
        assert_eq!(plan.next(at(now)), Action::Wait(Some(at(now + wait))));
        now += wait;
        assert!(matches!(settle(&mut plan, at(now))[..], [Action::Start(..)]), "to the moment");
    }
    now += 1001;
    let _handled = plan.ended(Place(0), true, at(now));
    assert_eq!(plan.next(at(now)), Action::Wait(Some(at(now + 100))), "that was long ago");
}

#[test]
fn a_shutdown_goes_backwards_whatever_the_strategy_and_can_be_followed_by_a_start() {
    let how = Supervision::new(Strategy::OneForOne);
    let mut plan = plan(how, &[Restart::Permanent, Restart::Permanent]);
    let _up = settle(&mut plan, at(0));
    plan.shut_down();
    assert_eq!(settle(&mut plan, at(1)), [Action::Stop(Place(1))]);
    assert_eq!(plan.ended(Place(1), true, at(2)), Consequence::Handled);
    assert_eq!(settle(&mut plan, at(2)), [Action::Stop(Place(0))]);
    assert_eq!(plan.ended(Place(0), false, at(3)), Consequence::Handled);
    assert_eq!(settle(&mut plan, at(3)), [Action::Idle]);
    plan.restart(Place(0), at(4));
    assert_eq!(settle(&mut plan, at(4)), [start(0, 2)]);
}
