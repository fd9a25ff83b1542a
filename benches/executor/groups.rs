//! Groups: what do a child, a yield, and a wake below nested groups cost?
//!
//! ```text
//!   spawn_join: N children that do nothing, group after group       yields: N children that wake themselves over and over
//!   nest:       one leaf below d groups of one child each, which wakes itself
//!   climb:      two leaves of one group, each below d groups of its own in it, wake each other by turns
//! ```
//!
//! Rules: every group is opened inside the measurement. Nothing here waits: CPU time.

use crate::contender::Contender;
use crate::support::clock::Stopwatch;
use crate::work::{Boxed, Out, Tally, Yields, child, no_op, plain_no_op, ran, take_tally};
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::iter::{once, repeat_n};
use std::rc::Rc;
use std::task::{Poll, Waker};

/// As many units as a sample of this size takes.
fn work(full: bool) -> u64 {
    if full { 500_000 } else { 2_000 }
}

/// Nanoseconds a child, in groups of `children`.
pub(crate) fn spawn_join<C: Contender>(full: bool, children: u64) -> f64 {
    let children = if full { children } else { children.min(1000) };
    let groups = (work(full) / children).max(1);
    C::run(async {
        C::boxed_group((0..children.min(1000)).map(no_op)).await;
        take_tally();
        let start = Stopwatch::cpu();
        for _ in 0..groups {
            C::boxed_group((0..children).map(no_op)).await;
        }
        let figure = start.per(groups * children);
        assert_eq!(take_tally(), Tally { ran: groups * children, ..Tally::default() });
        figure
    })
}

/// The same with children of one type, which a contender boxes only if it has to.
pub(crate) fn spawn_join_plain<C: Contender>(full: bool, children: u64) -> f64 {
    let groups = (work(full) / children).max(1);
    C::run(async {
        C::group((0..children).map(plain_no_op)).await;
        take_tally();
        let start = Stopwatch::cpu();
        for _ in 0..groups {
            C::group((0..children).map(plain_no_op)).await;
        }
        let figure = start.per(groups * children);
        assert_eq!(take_tally(), Tally { ran: groups * children, ..Tally::default() });
        figure
    })
}

/// Nanoseconds a yield, `tasks` at a time.
pub(crate) fn yields<C: Contender>(full: bool, tasks: u64) -> f64 {
    let each = 2 * work(full) / tasks;
    C::run(async {
        C::boxed_group((0..tasks).map(|i| child(i, 10))).await;
        take_tally();
        let start = Stopwatch::cpu();
        C::boxed_group((0..tasks).map(|i| child(i, each))).await;
        let figure = start.per(tasks * each);
        assert_eq!(take_tally(), Tally { ran: tasks, wakes: tasks * each, ..Tally::default() });
        figure
    })
}

fn nested<C: Contender>(depth: u64, wakes: u64) -> Boxed<C::Out> {
    Box::pin(async move {
        if depth == 0 {
            Yields::new(wakes).await;
            ran();
        } else {
            C::boxed_group(once(nested::<C>(depth - 1, wakes))).await;
        }
        C::Out::fine()
    })
}

/// Nanoseconds a wake of a leaf below `depth` groups.
pub(crate) fn nest<C: Contender>(full: bool, depth: u64) -> f64 {
    // Some poll down through every level on every wake: fewer wakes say the same, sooner.
    let wakes = work(full) / depth.min(8);
    C::run(async {
        C::boxed_group(repeat_n(depth, 1).map(|depth| nested::<C>(depth - 1, 100))).await;
        take_tally();
        let start = Stopwatch::cpu();
        C::boxed_group(once(nested::<C>(depth - 1, wakes))).await;
        let figure = start.per(wakes);
        assert_eq!(take_tally(), Tally { ran: 1, wakes, ..Tally::default() });
        figure
    })
}

/// Two leaves that wake each other by turns.
#[derive(Debug)]
struct Turns {
    of: Cell<usize>,
    wakers: [RefCell<Option<Waker>>; 2],
}

impl Turns {
    async fn take(&self, me: usize, wakes: u64) {
        for _ in 0..wakes {
            poll_fn(|cx| {
                if self.of.get() == me {
                    return Poll::Ready(());
                }
                let mut mine = self.wakers[me].borrow_mut();
                if mine.as_ref().is_none_or(|waker| !waker.will_wake(cx.waker())) {
                    *mine = Some(cx.waker().clone());
                }
                Poll::Pending
            })
            .await;
            self.of.set(1 - me);
            if let Some(other) = &*self.wakers[1 - me].borrow() {
                other.wake_by_ref();
            }
        }
    }
}

fn climbing<C: Contender>(depth: u64, turns: Rc<Turns>, me: usize, wakes: u64) -> Boxed<C::Out> {
    Box::pin(async move {
        if depth == 0 {
            turns.take(me, wakes).await;
            ran();
        } else {
            C::boxed_group(once(climbing::<C>(depth - 1, turns, me, wakes))).await;
        }
        C::Out::fine()
    })
}

async fn climb_by_turns<C: Contender>(depth: u64, wakes: u64) {
    let turns = Rc::new(Turns { of: Cell::new(0), wakers: Default::default() });
    C::boxed_group([0, 1].into_iter().map(|me| climbing::<C>(depth, Rc::clone(&turns), me, wakes))).await;
}

/// Nanoseconds a wake of a leaf below `depth` groups of its own, by another leaf: nobody is polled again before a wake has come
/// down to it through all of them. At every depth the next poll is one in another group.
pub(crate) fn climb<C: Contender>(full: bool, depth: u64) -> f64 {
    let wakes = work(full) / depth.min(8) / 2;
    C::run(async {
        climb_by_turns::<C>(depth, 100).await;
        take_tally();
        let start = Stopwatch::cpu();
        climb_by_turns::<C>(depth, wakes).await;
        let figure = start.per(2 * wakes);
        assert_eq!(take_tally(), Tally { ran: 2, ..Tally::default() });
        figure
    })
}
