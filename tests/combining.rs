//! Promise: several futures as one end together: losers are cancelled and awaited, and no value or error gets lost.
//!
//! ```text
//!   gather [a b c] ─► values in order │ the errors        race [a b c] ─► the first value, when all have ended
//! ```

#[path = "support/by_hand.rs"]
mod by_hand;
#[path = "support/fault.rs"]
mod fault;
#[path = "support/orders.rs"]
mod orders;

use fault::{Fault, Run, shape};
use futures_util::future::LocalBoxFuture;
use orders::in_every_order;
use pleach_executor::{
    CancelScope, Started, both, check, checkpoint, either, gather, now, race, shielded, sleep, sleep_forever,
    stats,
};
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

const S: Duration = Duration::from_secs(1);

/// Ends with `value` after so many seconds; cancelled, it takes a second more for its clean-up.
async fn runner(seconds: u32, value: u32, log: &RefCell<Vec<String>>) -> Result<u32, Fault> {
    if let Err(c) = sleep(seconds * S).await {
        shielded(async |_| Ok::<_, Fault>(sleep(S).await?)).await?;
        log.borrow_mut().push(format!("{value} cleaned up"));
        return Err(c.into());
    }
    log.borrow_mut().push(format!("{value} ended"));
    Ok(value)
}

#[test]
fn gathered_values_are_in_the_order_of_the_futures() {
    in_every_order(async || {
        let log = RefCell::default();
        let r = gather([3, 1, 2].map(|i| runner(i, i, &log))).await;
        assert_eq!(r.unwrap(), [3, 1, 2]);
        assert_eq!(*log.borrow(), ["1 ended", "2 ended", "3 ended"]);
    });
}

#[test]
fn nobody_gathered_gives_nothing() {
    in_every_order(async || {
        let none: [LocalBoxFuture<'_, Result<u32, Fault>>; 0] = [];
        assert!(gather(none.into_iter()).await.unwrap().is_empty());
        let cancelled: Result<Option<Vec<u32>>, Fault> = CancelScope::new()
            .run(async |s| {
                s.cancel();
                gather([] as [LocalBoxFuture<'_, Result<u32, Fault>>; 0]).await
            })
            .await;
        assert!(matches!(cancelled, Ok(Some(values)) if values.is_empty()), "nobody has noticed");
    });
}

#[test]
fn the_first_failure_cancels_the_gathered_and_waits_for_them() {
    in_every_order(async || {
        let (log, start) = (RefCell::default(), now());
        let failing = |after: u32, name| -> LocalBoxFuture<'_, Result<u32, Fault>> {
            Box::pin(async move {
                sleep(after * S).await?;
                Err(Fault::Named(name))
            })
        };
        let late = Box::pin(async {
            let Err(_swallowed) = sleep_forever().await;
            Err(Fault::Named("E2"))
        });
        let r = gather([failing(2, "E1"), Box::pin(runner(9, 9, &log)), Box::pin(runner(1, 1, &log)), late])
            .await;
        assert_eq!(shape(&r), "{E1 E2}", "what fails on the way out comes out as well");
        assert_eq!(*log.borrow(), ["1 ended", "9 cleaned up"]);
        assert_eq!(now() - start, 3 * S);
    });
}

#[test]
fn both_gives_two_values_of_different_types() {
    in_every_order(async || {
        let log = RefCell::default();
        let r = both(runner(2, 2, &log), async { Ok("two") }).await;
        assert_eq!(r.unwrap(), (2, "two"));
        let r = both(runner(2, 2, &log), async { Err::<u8, _>(Fault::Named("E")) }).await;
        assert_eq!(shape(&r), "E");
    });
}

#[test]
fn the_losers_of_a_race_have_cleaned_up_when_it_is_over() {
    in_every_order(async || {
        let (log, start, before) = (RefCell::default(), now(), stats().tasks);
        let r = race([9, 2, 7].map(|i| runner(i, i, &log))).await;
        assert_eq!(r.unwrap(), 2);
        let mut log = log.into_inner();
        log[1..].sort();
        assert_eq!(log, ["2 ended", "7 cleaned up", "9 cleaned up"]);
        assert_eq!((now() - start, stats().tasks), (3 * S, before));
        check().expect("the losers' cancellation is theirs");
    });
}

#[test]
fn the_first_of_two_values_of_one_moment_wins_and_the_other_is_dropped() {
    in_every_order(async || {
        let r = race([1, 2, 3].map(async |i| Ok::<_, Fault>(i))).await;
        assert!((1..=3).contains(&r.unwrap()));
        let r = either(async { Ok::<_, Fault>(1) }, async { Ok(2) }).await;
        assert!((1..=2).contains(&r.unwrap()));
    });
}

#[test]
fn a_failure_wins_a_race_that_has_no_value_yet_and_beats_one_that_was_won() {
    in_every_order(async || {
        let log = RefCell::default();
        let r = either(runner(5, 5, &log), async {
            sleep(S).await?;
            Err(Fault::Named("E"))
        });
        assert_eq!(shape(&r.await), "E");
        assert_eq!(*log.borrow(), ["5 cleaned up"]);
        // Every error arrives, so one of a loser's clean-up does too.
        let r = either(runner(1, 1, &log), async {
            let Err(_swallowed) = sleep_forever().await;
            Err(Fault::Named("E"))
        });
        assert_eq!(shape(&r.await), "E");
    });
}

#[test]
fn a_race_that_is_cancelled_has_no_winner_and_leaves_nobody() {
    in_every_order(async || {
        let (log, start) = (RefCell::default(), now());
        let r = Run::move_on_after(S, async |_| race([5, 6].map(|i| runner(i, i, &log))).await).await;
        assert!(matches!(r, Ok(None)));
        assert_eq!((log.borrow().len(), now() - start), (2, 2 * S));
    });
}

/// The value is there when the surroundings are cancelled, while a loser still cleans up.
#[test]
fn a_value_that_was_won_survives_a_cancellation() {
    in_every_order(async || {
        let log = RefCell::default();
        let got = Cell::new(None);
        let r = CancelScope::new()
            .timeout(S + S / 2)
            .run(async |_| {
                got.set(Some(race([1, 5].map(|i| runner(i, i, &log))).await?));
                check()?;
                Ok::<_, Fault>(())
            })
            .await;
        assert!(matches!(r, Ok(None)), "the scope was cancelled in the meantime");
        assert_eq!(got.get(), Some(1));
        assert_eq!(*log.borrow(), ["1 ended", "5 cleaned up"]);
    });
}

#[test]
fn a_race_of_nobody_is_refused_where_it_is_called() {
    let none: [LocalBoxFuture<'_, Result<u32, Fault>>; 0] = [];
    let payload = catch_unwind(AssertUnwindSafe(|| drop(race(none)))).expect_err("refused");
    assert!(by_hand::message(payload).contains("at least one future"));
}

/// tractor's `gather_contexts`: resources that are open all at once are started children; the values come in order, and all
/// of them are closed at once.
#[test]
fn resources_that_are_started_at_once_are_ready_in_order_and_end_together() {
    in_every_order(async || {
        let (log, start) = (RefCell::new(Vec::new()), now());
        let r = Run::nursery(async |n| {
            let ready = gather([3, 1, 2].map(|i| {
                let log = &log;
                n.start(async move |ready: Started<u32>| {
                    sleep(i * S).await?;
                    ready.set(i);
                    let _ = sleep_forever().await;
                    log.borrow_mut().push(i);
                    Ok(())
                })
            }));
            let ready = ready.await?;
            assert_eq!(now() - start, 3 * S, "they started side by side");
            n.cancel();
            Ok(ready)
        })
        .await;
        assert_eq!(r.unwrap(), [3, 1, 2]);
        assert_eq!(log.borrow().len(), 3);
        checkpoint().await.expect("nobody has cancelled this");
    });
}
