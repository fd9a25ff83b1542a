//! Promise: a task-local value is inherited by whatever is spawned where it is set, and by nothing else.
//!
//! ```text
//!   with_value(old) ─► spawn a ─► a sees old, always
//!        └─ with_value(new) ─► spawn b ─► b sees new        what a and b set is theirs
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
use pleach_executor::testing::run_virtual;
use pleach_executor::{Started, TaskLocal, checkpoint, run, yield_now};
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

static NAME: TaskLocal<&str> = TaskLocal::new();
static NUMBER: TaskLocal<u32> = TaskLocal::new();
static OTHER: TaskLocal<u32> = TaskLocal::new();

fn name() -> Option<&'static str> {
    NAME.get().map(|name| *name)
}

fn number() -> Option<u32> {
    NUMBER.get().map(|number| *number)
}

type Seen = Rc<RefCell<Vec<(&'static str, Option<u32>)>>>;

/// Writes down what it sees, before and after a step.
async fn look(who: &'static str, seen: Seen) -> Result<(), Fault> {
    seen.borrow_mut().push((who, number()));
    checkpoint().await?;
    seen.borrow_mut().push((who, number()));
    Ok(())
}

/// Case 137. A child sees what its spawner had; what it sets its spawner and its siblings do not see.
#[test]
fn a_child_sees_its_spawners_value_and_keeps_its_own_to_itself() {
    for is_static in [false, true] {
        in_every_order(async || {
            let r = NUMBER
                .with_value(
                    1,
                    Run::nursery(async |n| {
                        let child = async {
                            assert_eq!(number(), Some(1), "inherited");
                            NUMBER
                                .with_value(2, async {
                                    checkpoint().await?;
                                    assert_eq!(number(), Some(2));
                                    Ok::<_, Fault>(())
                                })
                                .await?;
                            assert_eq!(number(), Some(1), "what it had before");
                            Ok(())
                        };
                        if is_static {
                            n.spawn_static(child)
                        } else {
                            n.spawn(child)
                        }
                        for _ in 0..4 {
                            assert_eq!(number(), Some(1), "the spawner's");
                            checkpoint().await?;
                        }
                        Ok(())
                    }),
                )
                .await;
            assert_eq!(shape(&r), "ok");
            assert_eq!(number(), None, "and nothing is left");
        });
    }
}

/// Case 139. Two children, spawned before and after a change, see the one and the other, whenever they look.
#[test]
fn a_change_after_the_spawn_is_not_seen_by_the_child() {
    for is_static in [false, true] {
        in_every_order(async || {
            let seen = Seen::default();
            let r = Run::nursery(async |n| {
                let spawn = |who| {
                    let child = look(who, Rc::clone(&seen));
                    if is_static { n.spawn_static(child) } else { n.spawn(child) }
                };
                spawn("none");
                NUMBER
                    .with_value(1, async {
                        spawn("old");
                        NUMBER.with_value(2, async { spawn("new") }).await;
                        spawn("old again");
                    })
                    .await;
                Ok(())
            })
            .await;
            assert_eq!(shape(&r), "ok");
            let mut seen = seen.take();
            seen.sort();
            let want = [("new", Some(2)), ("none", None), ("old", Some(1)), ("old again", Some(1))];
            assert_eq!(seen, want.into_iter().flat_map(|s| [s, s]).collect::<Vec<_>>());
        });
    }
}

/// A nursery that is polled where a value is set does not give it to a child that was spawned elsewhere, by its handle.
#[test]
fn the_place_of_the_spawn_counts_and_not_that_of_the_nursery() {
    run_virtual(async {
        let seen = Seen::default();
        let (tell, told) = (RefCell::new(None), Cell::new(false));
        let r = Run::nursery(async |outer| {
            outer.spawn(async {
                NUMBER
                    .with_value(
                        5,
                        Run::nursery(async |inner| {
                            tell.replace(Some(inner.handle()));
                            while !told.get() {
                                checkpoint().await?;
                            }
                            inner.spawn(look("inner", Rc::clone(&seen)));
                            Ok(())
                        }),
                    )
                    .await
            });
            while tell.borrow().is_none() {
                checkpoint().await?;
            }
            let handle = tell.take().expect("just looked");
            handle.spawn(look("by handle", Rc::clone(&seen))).expect("it is open");
            told.set(true);
            Ok(())
        })
        .await;
        assert_eq!(shape(&r), "ok");
        let mut seen = seen.take();
        seen.sort();
        let want = [("by handle", None), ("inner", Some(5))];
        assert_eq!(seen, want.into_iter().flat_map(|s| [s, s]).collect::<Vec<_>>());
    });
}

/// A nursery that is carried to where a value is set takes its body there; its children stay what they were.
#[test]
fn a_nursery_that_is_carried_to_a_value_does_not_give_it_to_its_children() {
    in_every_order(async || {
        let seen = Seen::default();
        let mut nursery = Box::pin(Run::nursery(async |n| {
            n.spawn(look("borrowed", Rc::clone(&seen)));
            n.spawn_static(look("static", Rc::clone(&seen)));
            yield_now().await;
            assert_eq!(number(), Some(6), "the body is where it is polled");
            n.spawn(look("late", Rc::clone(&seen)));
            Ok(())
        }));
        std::future::poll_fn(|cx| {
            assert!(nursery.as_mut().poll(cx).is_pending());
            std::task::Poll::Ready(())
        })
        .await;
        let r = NUMBER.with_value(6, nursery).await;
        assert_eq!(shape(&r), "ok");
        let mut seen = seen.take();
        seen.sort();
        let want = [("borrowed", None), ("late", Some(6)), ("static", None)];
        assert_eq!(seen, want.into_iter().flat_map(|s| [s, s]).collect::<Vec<_>>());
    });
}

/// Every way in: `task`, `start`, handles of both kinds; and a child that was started keeps its starter's values after
/// it has moved into the nursery.
#[test]
fn every_way_of_spawning_inherits() {
    run_virtual(async {
        let r = Run::nursery(async |n| {
            let handle = n.handle();
            let tasks = NUMBER.with_value(3, async {
                let started = n
                    .start(async |ready: Started<Option<u32>>| {
                        ready.set(number());
                        checkpoint().await?;
                        assert_eq!(number(), Some(3), "also when it has moved");
                        Ok(())
                    })
                    .await?;
                assert_eq!(started, Some(3));
                let see = async || {
                    checkpoint().await?;
                    Ok::<_, Fault>(number())
                };
                let by_handle = handle.task(async move {
                    checkpoint().await?;
                    Ok(number())
                });
                Ok::<_, Fault>((n.task(async move { see().await }), by_handle.expect("it is open")))
            });
            let (own, by_handle) = tasks.await?;
            assert_eq!((own.await?, by_handle.await?), (Some(3), Some(3)));
            Ok(())
        })
        .await;
        assert_eq!(shape(&r), "ok");
    });
}

/// Two branches of one task each see their own, and a second variable is not touched by the first.
#[test]
fn values_travel_with_the_poll() {
    run_virtual(async {
        let branch = async |mine: u32, steps: usize| {
            OTHER
                .with_value(mine, async {
                    for _ in 0..steps {
                        assert_eq!((OTHER.get().as_deref(), name()), (Some(&mine), Some("both")));
                        yield_now().await;
                    }
                })
                .await;
            assert_eq!(OTHER.get(), None);
        };
        NAME.with_value("both", join(branch(1, 3), branch(2, 5))).await;
        assert_eq!(name(), None);
    });
}

/// A panic, and a future that is dropped half-way, leave the values as they were.
#[test]
fn a_panic_or_a_drop_leaves_no_value_behind() {
    run_virtual(async {
        let mut doomed = Box::pin(NUMBER.with_value(8, async {
            yield_now().await;
            panic!("on purpose");
        }));
        let mut polls = 0;
        std::future::poll_fn(|cx| {
            let polled = catch_unwind(AssertUnwindSafe(|| doomed.as_mut().poll(cx).is_ready()));
            assert_eq!(number(), None, "after poll {polls}");
            polls += 1;
            if polled.is_err() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
        })
        .await;
        assert_eq!(polls, 2);
        let mut half = Box::pin(NUMBER.with_value(9, yield_now()));
        std::future::poll_fn(|cx| {
            assert!(half.as_mut().poll(cx).is_pending());
            std::task::Poll::Ready(())
        })
        .await;
        drop(half);
        assert_eq!(number(), None);
    });
}

/// The value lives as long as anybody who can see it, and then it is gone; a destructor of it may ask for values.
#[test]
fn a_value_goes_with_the_last_task_that_can_see_it() {
    struct Told(Rc<Cell<u32>>);
    impl Drop for Told {
        fn drop(&mut self) {
            assert_eq!(number(), None);
            self.0.set(self.0.get() + 1);
        }
    }
    static TOLD: TaskLocal<Told> = TaskLocal::new();
    let drops = Rc::new(Cell::new(0));
    run_virtual(async {
        let r = Run::nursery(async |n| {
            TOLD.with_value(Told(Rc::clone(&drops)), async {
                n.spawn(async {
                    checkpoint().await?;
                    assert!(TOLD.get().is_some() && drops.get() == 0);
                    Ok(())
                });
            })
            .await;
            assert_eq!(drops.get(), 0, "the child still has it");
            Ok(())
        })
        .await;
        assert_eq!((shape(&r), drops.get()), ("ok".into(), 1));
    });
}

/// A chain of tasks that each set the value anew, and spawn the next, does not collect the values of those before.
#[test]
fn a_chain_of_tasks_does_not_collect_values() {
    /// How many of its kind live.
    struct Alive(Rc<Cell<usize>>);
    impl Alive {
        fn new(count: &Rc<Cell<usize>>) -> Self {
            count.set(count.get() + 1);
            Alive(Rc::clone(count))
        }
    }
    impl Drop for Alive {
        fn drop(&mut self) {
            self.0.set(self.0.get() - 1);
        }
    }
    static ALIVE: TaskLocal<Alive> = TaskLocal::new();
    let most = Rc::new(Cell::new(0));
    run(async {
        let r = Run::nursery(async |n| {
            let count = Rc::new(Cell::new(0));
            fn next(
                handle: pleach_executor::NurseryHandle<Fault>,
                left: usize,
                count: Rc<Cell<usize>>,
                most: Rc<Cell<usize>>,
            ) -> std::pin::Pin<Box<dyn Future<Output = Result<(), Fault>>>> {
                Box::pin(async move {
                    most.set(most.get().max(count.get()));
                    if left == 0 {
                        return Ok(());
                    }
                    let child = next(handle.clone(), left - 1, Rc::clone(&count), most);
                    ALIVE.with_value(Alive::new(&count), async { handle.spawn(child) }).await.expect("open");
                    Ok(())
                })
            }
            n.spawn_static(next(n.handle(), 10_000, count, Rc::clone(&most)));
            Ok(())
        })
        .await;
        assert_eq!(shape(&r), "ok");
    });
    assert!((1..=2).contains(&most.get()), "{} values at once", most.get());
}

/// Outside of everything there is no value, and asking is no mistake.
#[test]
fn outside_a_run_there_is_no_value() {
    assert!(number().is_none());
    run(async { assert!(number().is_none()) });
}
