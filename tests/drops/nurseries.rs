//! Nurseries that are dropped, from outside and by their own children: every child is dropped once.
//!
//! ```text
//!   drop(nursery) ─► body, children, what is below them          child ─ drops ─► its own nursery
//! ```

use crate::by_hand::{poll_once, settle};
use crate::fault::{Fault, Run, shape};
use crate::orders::in_every_order;
use crate::{Alive, S, any_drop_is_clean, family, registered};
use futures_util::future::{Either, select};
use pleach_executor::testing::{run_virtual, wait_until_idle};
use pleach_executor::{Started, checkpoint, shielded, sleep, sleep_forever, yield_now};
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::rc::Rc;

#[test]
fn dropped_nurseries_leave_nothing() {
    any_drop_is_clean("an empty nursery", 9, || Run::nursery(async |_| Ok(())));
    any_drop_is_clean("a nursery that sleeps", 9, || {
        Run::nursery(async |_| {
            sleep(2 * S).await?;
            Ok(())
        })
    });
    any_drop_is_clean("a family", 30, family);
    any_drop_is_clean("a nursery in a nursery", 30, || {
        Run::nursery(async |n| {
            n.spawn(async { family().await.map(|_| ()) });
            n.spawn_static(async { family().await.map(|_| ()) });
            family().await
        })
    });
    any_drop_is_clean("a nursery that fails", 9, || {
        Run::nursery(async |n| {
            n.spawn(async { Err(Fault::Named("E")) });
            n.spawn_static(async { Ok(sleep(S).await?) });
            sleep_forever().await?;
            Ok(())
        })
    });
}

/// Children that stay behind a shield keep the nursery open however long it is polled.
#[test]
fn dropped_nurseries_with_shielded_children_leave_nothing() {
    any_drop_is_clean("shielded children", 9, || {
        Run::nursery(async |n| {
            n.spawn(async { Ok(shielded(async |_| sleep(4 * S).await).await?) });
            n.spawn_static(async { Ok(shielded(async |_| sleep(4 * S).await).await?) });
            n.cancel();
            Ok(())
        })
    });
}

#[test]
fn futures_dropped_inside_a_nursery_leave_nothing() {
    // What is dropped here borrows the nursery: it is given up by a `select`, at every moment.
    for given_up_at in 0..8 {
        in_every_order(async || {
            let alive = Cell::new(0);
            let r = Run::nursery(async |n| {
                let before = registered();
                {
                    let start = pin!(n.start(async |ready: Started<u8>| {
                        let _alive = Alive::new(&alive);
                        sleep(2 * S).await?;
                        ready.set(1);
                        sleep(2 * S).await?;
                        Ok(())
                    }));
                    select(start, pin!(sleep(given_up_at * S / 2))).await;
                }
                {
                    let mut task = n.task(async {
                        let _alive = Alive::new(&alive);
                        sleep(2 * S).await?;
                        Ok(1)
                    });
                    select(&mut task, pin!(sleep(given_up_at * S / 2))).await;
                }
                sleep(10 * S).await?;
                assert_eq!(alive.get(), 0, "they have ended by now");
                // The scope of the children is made with the first child, and stays.
                let mut expected = before;
                expected[1].1 += 1;
                assert_eq!(registered(), expected);
                Ok(())
            })
            .await;
            assert_eq!(shape(&r), "ok");
        });
    }
}

/// Dropping an open nursery drops its children, each once.
#[test]
fn a_dropped_nursery_drops_its_children() {
    in_every_order(async || {
        let alive: &'static Cell<i32> = Box::leak(Box::default());
        let child = async || {
            let _alive = Alive::new(alive);
            sleep_forever().await?;
            Ok(())
        };
        let mut open = Box::pin(Run::nursery(async |n| {
            n.spawn(child());
            n.spawn_static(async {
                let _alive = Alive::new(alive);
                sleep_forever().await?;
                Ok(())
            });
            n.spawn(Run::nursery(async |inner| {
                inner.spawn(child());
                child().await
            }));
            child().await
        }));
        settle(open.as_mut()).await;
        assert_eq!(alive.get(), 5);
        drop(open);
        assert_eq!(alive.get(), 0);
    });
}

type Held = Rc<RefCell<Option<Pin<Box<dyn Future<Output = Result<(), Fault>>>>>>>;

/// A static child drops the nursery it belongs to, from its own poll. It goes when that poll returns.
#[test]
fn a_static_child_may_drop_its_own_nursery() {
    for ends_at_once in [false, true] {
        in_every_order(async || {
            let before = registered();
            let held: Held = Rc::default();
            let (log, alive) = (Rc::new(RefCell::new(Vec::new())), Rc::new(Cell::new(0)));
            let (h, l, a) = (Rc::clone(&held), Rc::clone(&log), Rc::clone(&alive));
            let open = Run::nursery(async move |n| {
                n.spawn_static(async move {
                    let _alive = Alive::new(&a);
                    checkpoint().await?;
                    drop(h.take());
                    l.borrow_mut().push("still polled");
                    if ends_at_once {
                        return Ok(());
                    }
                    yield_now().await;
                    l.borrow_mut().push("polled again");
                    Ok(())
                });
                sleep_forever().await?;
                Ok(())
            });
            *held.borrow_mut() = Some(Box::pin(open));
            let mut inside = held.take().expect("just put there");
            assert!(poll_once(inside.as_mut()).await.is_pending());
            held.replace(Some(inside));
            wait_until_idle().await.unwrap();
            assert!(held.borrow().is_none(), "the child has dropped it");
            assert_eq!((log.borrow().as_slice(), alive.get()), (&["still polled"][..], 0));
            assert_eq!(registered(), before);
        });
    }
}

/// The same when the child panics in that very poll: the panic has to reach somebody, and only the run is left.
#[test]
fn a_static_child_that_panics_after_dropping_its_own_nursery_panics_the_run() {
    let r = catch_unwind(AssertUnwindSafe(|| {
        run_virtual(async {
            let held: Held = Rc::default();
            let h = Rc::clone(&held);
            let open = Run::nursery(async move |n| {
                n.spawn_static(async move {
                    checkpoint().await?;
                    drop(h.take());
                    panic!("boom")
                });
                sleep_forever().await?;
                Ok(())
            });
            *held.borrow_mut() = Some(Box::pin(open));
            let mut inside = held.take().expect("just put there");
            assert!(poll_once(inside.as_mut()).await.is_pending());
            held.replace(Some(inside));
            wait_until_idle().await.unwrap();
            assert!(held.borrow().is_none(), "the child has dropped it");
        })
    }));
    assert!(r.is_err(), "the panic has vanished");
}

/// A `select` does so every day.
#[test]
fn a_select_that_drops_a_nursery_drops_what_is_below() {
    in_every_order(async || {
        let alive = Cell::new(0);
        let before = registered();
        let losing = Run::nursery(async |n| {
            n.spawn(async {
                let _alive = Alive::new(&alive);
                family().await?;
                Ok(())
            });
            sleep_forever().await?;
            Ok::<(), Fault>(())
        });
        match select(Box::pin(sleep(S / 2)), Box::pin(losing)).await {
            Either::Left((slept, losing)) => {
                slept.unwrap();
                assert_eq!(alive.get(), 1);
                drop(losing);
            }
            Either::Right(_) => unreachable!("it sleeps forever"),
        }
        assert_eq!((alive.get(), registered()), (0, before));
    });
}
