//! Promise: the blocks of a sequence run in the order of their numbers, and one that goes without its turn breaks it.
//!
//! Rules: `Case n.` refers to the list of executor cases; `conformance.tsv` says where each is tested.

#[path = "support/fault.rs"]
mod fault;
#[path = "support/orders.rs"]
mod orders;

use fault::{Fault, Run, shape};
use orders::in_every_order;
use pleach_executor::testing::{SequenceBroken, Sequencer, run_virtual, wait_until_idle};
use pleach_executor::{CancelScope, checkpoint};
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::task::{Context, Waker};

#[test]
fn blocks_run_by_number_and_one_at_a_time() {
    in_every_order(async || {
        let (order, seen, inside) = (Sequencer::new(), RefCell::new(Vec::new()), Cell::new(0));
        let r = Run::nursery(async |n| {
            for position in [3, 0, 4, 1, 2] {
                let (order, seen, inside) = (&order, &seen, &inside);
                n.spawn(async move {
                    let turn = order.at(position).await?.expect("nobody has gone");
                    assert_eq!(inside.replace(1), 0, "one at a time");
                    checkpoint().await?;
                    seen.borrow_mut().push(position);
                    inside.set(0);
                    drop(turn);
                    Ok(())
                });
            }
            Ok(())
        })
        .await;
        assert_eq!((shape(&r), seen.into_inner()), ("ok".into(), vec![0, 1, 2, 3, 4]));
    });
}

/// Case 241. One who waits is cancelled: everybody else who waits hears that the sequence is broken, and who comes later.
#[test]
fn one_who_is_cancelled_breaks_the_sequence_for_all() {
    in_every_order(async || {
        let (order, broken) = (Sequencer::new(), Cell::new(0));
        let scope = CancelScope::new();
        let handle = scope.handle();
        let (order, broken) = (&order, &broken);
        let r = Run::nursery(async |n| {
            n.spawn(async move {
                let r: Result<Option<()>, Fault> = scope
                    .run(async |_| {
                        drop(order.at(1).await?);
                        unreachable!("it is cancelled")
                    })
                    .await;
                assert!(matches!(r, Ok(None)));
                Ok(())
            });
            for position in [2, 3] {
                n.spawn(async move {
                    assert_eq!(order.at(position).await?.map(drop), Err(SequenceBroken));
                    broken.set(broken.get() + 1);
                    Ok(())
                });
            }
            wait_until_idle().await?;
            handle.cancel();
            wait_until_idle().await?;
            assert_eq!(broken.get(), 2);
            assert_eq!(order.at(0).await?.map(drop), Err(SequenceBroken), "and later arrivals");
            Ok(())
        })
        .await;
        assert_eq!(shape(&r), "ok");
    });
}

/// In the same way one whose future is dropped, in line or on its way there.
#[test]
fn one_who_is_dropped_breaks_the_sequence() {
    run_virtual(async {
        let order = Sequencer::new();
        let mut waiting = Box::pin(order.at(1));
        assert!(waiting.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        drop(waiting);
        assert_eq!(order.at(0).await.unwrap().map(drop), Err(SequenceBroken));
    });
}

#[test]
#[should_panic(expected = "position 0 of this sequence is taken")]
fn a_position_has_one_owner() {
    run_virtual(async {
        let order = Sequencer::new();
        drop(order.at(0).await);
        drop(order.at(0).await);
    });
}
