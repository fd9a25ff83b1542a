//! Promise: a value that is made once is made once, and whoever fails to make it leaves that to the next.
//!
//! ```text
//!   get_or_init ×3 ─► one is at it ─► Ok: all have it │ Err, cancelled, dropped ─► the next in line tries
//! ```

#[path = "support/by_hand.rs"]
mod by_hand;
#[path = "support/fault.rs"]
mod fault;
#[path = "support/orders.rs"]
mod orders;

use by_hand::poll_once;
use fault::{Fault, Run, shape};
use orders::in_every_order;
use pleach_executor::sync::{OnceCell, SetError};
use pleach_executor::testing::{wait_until_idle, wake_random};
use pleach_executor::{CancelScope, Cancelled, check, sleep};
use std::cell::{Cell, RefCell};
use std::time::Duration;

const S: Duration = Duration::from_secs(1);

#[test]
fn of_many_at_once_one_makes_the_value_and_all_have_it() {
    in_every_order(async || {
        let (cell, times) = (OnceCell::new(), Cell::new(0));
        let r = Run::nursery(async |n| {
            for i in 0..5 {
                let (cell, times) = (&cell, &times);
                n.spawn(async move {
                    let make = async || {
                        times.set(times.get() + 1);
                        sleep(S).await?;
                        Ok::<_, Fault>(7)
                    };
                    wake_random(20, i);
                    assert_eq!(*cell.get_or_init(make).await?, 7);
                    Ok(())
                });
            }
            assert_eq!((*cell.wait().await?, times.get()), (7, 1));
            Ok(())
        })
        .await;
        assert_eq!(shape(&r), "ok");
        assert_eq!(cell.into_inner(), Some(7));
    });
}

/// The first fails, the second is cancelled, the third is dropped at it: the fourth makes the value, in their order.
#[test]
fn whoever_fails_to_make_it_leaves_it_to_the_next_in_line() {
    in_every_order(async || {
        let (cell, log) = (OnceCell::new(), RefCell::new(Vec::new()));
        let make = async |name: &'static str, outcome: Option<u8>| {
            log.borrow_mut().push(name);
            sleep(10 * S).await?;
            outcome.ok_or(Fault::Named(name))
        };
        let r = Run::nursery(async |n| {
            let first =
                n.task(async { Ok(shape(&cell.get_or_init(async || make("fails", None).await).await)) });
            wait_until_idle().await?;
            let scope = CancelScope::new();
            let cancel = scope.handle();
            let second = n.task(scope.run(async |_| {
                cell.get_or_init(async || make("is cancelled", Some(2)).await).await.copied()
            }));
            wait_until_idle().await?;
            let mut third = Box::pin(cell.get_or_init(async || make("is dropped", Some(3)).await));
            assert!(poll_once(third.as_mut()).await.is_pending());
            let fourth =
                n.task(async { cell.get_or_init(async || make("makes it", Some(4)).await).await.copied() });
            wait_until_idle().await?;
            assert_eq!(*log.borrow(), ["fails"]);
            assert_eq!(first.await?, "fails");
            wait_until_idle().await?;
            cancel.cancel();
            assert_eq!(second.await?, None);
            assert!(poll_once(third.as_mut()).await.is_pending());
            assert_eq!(*log.borrow(), ["fails", "is cancelled", "is dropped"]);
            drop(third);
            assert_eq!(fourth.await?, 4);
            Ok(())
        })
        .await;
        assert_eq!(shape(&r), "ok");
        assert_eq!(*log.borrow(), ["fails", "is cancelled", "is dropped", "makes it"]);
    });
}

/// The turn was given to one who never runs again.
#[test]
fn a_turn_that_was_given_to_a_dropped_call_goes_on() {
    in_every_order(async || {
        let cell = OnceCell::new();
        let r = Run::nursery(async |n| {
            let mut failing = Box::pin(cell.get_or_init(async || {
                sleep(S).await?;
                Err(Fault::Named("E"))
            }));
            assert!(poll_once(failing.as_mut()).await.is_pending());
            let mut dropped = Box::pin(cell.get_or_init(async || Ok::<_, Fault>(1)));
            assert!(poll_once(dropped.as_mut()).await.is_pending());
            let next = n.task(async { cell.get_or_init(async || Ok::<_, Fault>(2)).await.copied() });
            wait_until_idle().await?;
            drop(failing);
            drop(dropped);
            assert_eq!(next.await?, 2);
            Ok(())
        })
        .await;
        assert_eq!(shape(&r), "ok");
    });
}

/// Somebody who only waits is not given a turn, and so does not keep it.
#[test]
fn who_waits_for_the_value_is_not_in_the_way_of_who_would_make_it() {
    in_every_order(async || {
        let cell = OnceCell::new();
        let r = Run::nursery(async |n| {
            let mut failing = Box::pin(cell.get_or_init(async || {
                sleep(S).await?;
                Ok::<u8, Fault>(0)
            }));
            assert!(poll_once(failing.as_mut()).await.is_pending());
            let waiting = n.task(async { Ok(*cell.wait().await?) });
            wait_until_idle().await?;
            let making = n.task(async { cell.get_or_init(async || Ok::<_, Fault>(5)).await.copied() });
            wait_until_idle().await?;
            drop(failing);
            assert_eq!((making.await?, waiting.await?), (5, 5));
            Ok(())
        })
        .await;
        assert_eq!(shape(&r), "ok");
    });
}

#[test]
fn setting_it_is_refused_while_somebody_makes_it_and_after() {
    in_every_order(async || {
        let cell = OnceCell::new();
        let mut making = Box::pin(cell.get_or_init(async || {
            sleep(S).await?;
            Ok::<_, Fault>(1)
        }));
        assert!(poll_once(making.as_mut()).await.is_pending());
        assert_eq!(cell.set(2), Err(SetError::Busy(2)));
        drop(making);
        assert_eq!((cell.get(), cell.set(3)), (None, Ok(())));
        assert_eq!(cell.set(4), Err(SetError::Full(4)));
        assert_eq!(cell.get_or_init(async || Ok::<_, Fault>(5)).await.unwrap(), &3);
        assert_eq!(OnceCell::from(6).get(), Some(&6));
    });
}

#[test]
fn every_call_is_a_checkpoint_even_if_the_value_is_there() {
    in_every_order(async || {
        let cell = OnceCell::from(1);
        let r: Result<Option<()>, Cancelled> = CancelScope::new()
            .run(async |scope| {
                scope.cancel();
                assert!(cell.wait().await.is_err());
                assert!(cell.get_or_init(async || Ok::<_, Cancelled>(2)).await.is_err());
                check()
            })
            .await;
        assert!(matches!(r, Ok(None)));
    });
}

#[test]
fn a_value_that_was_refused_comes_back_and_one_that_is_there_can_be_changed() {
    in_every_order(async || {
        let mut cell = OnceCell::new();
        assert_eq!(cell.get_mut(), None);
        cell.set(vec![1]).unwrap();
        let refused = cell.set(vec![2, 3]).expect_err("it is full");
        assert_eq!(refused.into_value(), [2, 3]);
        cell.get_mut().expect("it is there").push(9);
        assert_eq!(cell.into_inner(), Some(vec![1, 9]));

        let cell = OnceCell::new();
        let mut making = std::pin::pin!(cell.get_or_init(async || {
            sleep(S).await?;
            Ok::<_, Fault>(vec![1])
        }));
        assert!(poll_once(making.as_mut()).await.is_pending());
        assert_eq!(cell.set(vec![4]).expect_err("somebody is at it").into_value(), [4]);
        assert_eq!(*making.await.unwrap(), [1]);
    });
}
