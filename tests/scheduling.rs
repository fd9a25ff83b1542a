//! Promise: every ready task gets its turn, in an order that a seed decides, and a task that ends is gone with all it held.
//!
//! ```text
//!   ready: [a b c] ─► one step each ─► look outside ─► [a b c] ─► …
//! ```
//!
//! Rules: `Case n.` refers to the list of executor cases; `conformance.tsv` says where each is tested.

#[path = "support/fault.rs"]
mod fault;
#[path = "support/orders.rs"]
mod orders;

use fault::{Fault, Run, shape};
use futures_util::future::join;
use orders::in_every_order;
use pleach_executor::low_level::between_polls;
use pleach_executor::sync::Event;
use pleach_executor::testing::{run_seeded, run_virtual, wait_until_idle};
use pleach_executor::{Started, checkpoint, run, sleep, sleep_forever, yield_now};
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

const MS: Duration = Duration::from_millis(1);

type Log = Rc<RefCell<Vec<(&'static str, u32)>>>;

/// Writes its name down and yields, three times.
async fn three_steps(name: &'static str, log: Log) -> Result<(), Fault> {
    for i in 0..3 {
        log.borrow_mut().push((name, i));
        checkpoint().await?;
    }
    Ok(())
}

/// Children that do three steps each, by turns; `is_static` says which of them live in the executor.
async fn by_turns(is_static: &[bool]) {
    let log = Log::default();
    let r = Run::nursery(async |n| {
        for (name, is_static) in ["a", "b", "c", "d"].into_iter().zip(is_static) {
            let child = three_steps(name, Rc::clone(&log));
            if *is_static { n.spawn_static(child) } else { n.spawn(child) }
        }
        Ok(())
    })
    .await;
    assert_eq!(shape(&r), "ok");
    let steps: Vec<_> = log.borrow().iter().map(|(_, i)| *i).collect();
    assert!(steps.is_sorted(), "nobody is a step ahead: {:?}", log.borrow());
    assert_eq!(steps.len(), 3 * is_static.len());
}

/// Case 11. Two siblings that yield after every step do their steps by turns; and so do more, of either kind.
#[test]
fn siblings_take_turns() {
    let pairs: [&[bool]; 4] = [&[false, false], &[false, true], &[true, false], &[true, true]];
    let mixed: [&[bool]; 2] = [&[false, true, false, true], &[true, true, false, false]];
    for is_static in pairs.into_iter().chain(mixed) {
        in_every_order(async || by_turns(is_static).await);
        run(by_turns(is_static));
    }
}

/// Case 13's program: tasks of both kinds that yield, sleep, spawn, and wait for each other.
async fn a_program() -> Vec<(&'static str, u32)> {
    let log = Log::default();
    let up = Rc::new(Event::new());
    let r = Run::nursery(async |n| {
        for name in ["a", "b", "c", "d", "e"] {
            n.spawn_static(three_steps(name, Rc::clone(&log)));
        }
        for name in ["waits", "waits too"] {
            let (log, up) = (Rc::clone(&log), Rc::clone(&up));
            n.spawn_static(async move {
                up.wait().await?;
                three_steps(name, log).await
            });
        }
        n.spawn(async {
            sleep(MS).await?;
            up.set();
            n.spawn_static(three_steps("late", Rc::clone(&log)));
            Ok(())
        });
        three_steps("body", Rc::clone(&log)).await
    })
    .await;
    assert_eq!(shape(&r), "ok");
    let trace = log.borrow().clone();
    assert_eq!(trace.len(), 27, "nine times three steps");
    trace
}

/// Case 13. One seed, one trace, ten times; other seeds give others.
#[test]
fn one_seed_gives_one_trace() {
    let mut traces = BTreeSet::new();
    for seed in 1..=8 {
        let first = run_seeded(seed, a_program());
        for again in 2..=10 {
            assert_eq!(run_seeded(seed, a_program()), first, "run {again} with seed {seed}");
        }
        traces.insert(first);
    }
    assert!(traces.len() > 4, "eight seeds gave {} traces", traces.len());
    let ordinary = run_virtual(a_program());
    assert_eq!(run_virtual(a_program()), ordinary, "and without a seed there is one order");
}

/// A value that says when it goes.
struct Local(Rc<Cell<u32>>);

impl Drop for Local {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}

/// Holds a value across its only checkpoint: `up` is the event it waits for before, if it is to be woken by that.
async fn holds_a_value(gone: Rc<Cell<u32>>, up: Option<Rc<Event>>) -> Result<(), Fault> {
    let _local = Local(gone);
    if let Some(up) = up {
        up.wait().await?;
    }
    sleep_forever().await?;
    unreachable!("it is cancelled")
}

/// Case 17. A child that is cancelled is gone with its locals when it has ended, and not only when the nursery has:
/// cancelled before its first poll, while it waits, and woken but not polled.
#[test]
fn what_a_cancelled_child_held_is_gone_when_it_has_ended() {
    for window in ["before the first poll", "parked", "woken but not polled"] {
        in_every_order(async || {
            let gone = Rc::new(Cell::new(0));
            let up = (window == "woken but not polled").then(|| Rc::new(Event::new()));
            let child = || holds_a_value(Rc::clone(&gone), up.clone());
            let r = Run::nursery(async |n| {
                n.spawn(child());
                n.spawn_static(child());
                drop(n.task(child()));
                if window != "before the first poll" {
                    n.start(async |ready: Started<()>| {
                        ready.set(());
                        child().await
                    })
                    .await?;
                    wait_until_idle().await?;
                }
                if let Some(up) = &up {
                    up.set();
                }
                assert_eq!(gone.get(), 0);
                let children = n.stats().children;
                n.cancel();
                wait_until_idle().await?;
                assert_eq!((n.stats().children, gone.get() as usize), (0, children), "{window}");
                yield_now().await;
                Ok(())
            })
            .await;
            assert_eq!(shape(&r), "ok", "{window}");
        });
    }
}

/// A body waits for two things: a nursery whose child goes on and on, and a flag. When the flag is up it has its next turn,
/// although the nursery could go on: with one nursery around it, and with two.
#[test]
fn a_nursery_does_not_go_on_while_its_own_task_waits_for_something_else() {
    run(async {
        for around in [false, true] {
            let (flag, steps, raised, seen) =
                (Rc::new(Event::new()), &Cell::new(0), &Cell::new(0), Cell::new(None));
            let both = async {
                let goes_on = Run::nursery(async |n| {
                    n.spawn(async {
                        while seen.get().is_none() {
                            steps.set(steps.get() + 1);
                            if steps.get() == 100 {
                                let flag = Rc::clone(&flag);
                                // Between two batches: the nursery is ready then as well.
                                between_polls(move || flag.set());
                            }
                            if !flag.is_set() {
                                raised.set(steps.get());
                            }
                            yield_now().await;
                        }
                        Ok(())
                    });
                    Ok::<_, Fault>(())
                });
                let waits = async {
                    flag.wait().await.unwrap();
                    seen.set(Some(steps.get()));
                };
                join(goes_on, waits).await.0
            };
            let r = if around { Run::nursery(async |_| both.await).await } else { both.await };
            assert!(r.is_ok());
            let late = seen.get().expect("the flag was seen") - raised.get();
            assert!(late <= 1, "{late} steps of the child between flag and turn, around: {around}");
        }
    });
}
