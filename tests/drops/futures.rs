//! Sleeps, checkpoints, scopes and waits for an event, dropped after every number of polls.
//!
//! ```text
//!   sleep, checkpoint, checked, graceful, CancelScope::run, Event::wait ─ drop ─► nothing is left
//! ```

use crate::by_hand::poll_once;
use crate::fault::{Fault, Run, shape};
use crate::orders::in_every_order;
use crate::{MS, S, any_drop_is_clean};
use futures_util::future::join;
use futures_util::stream::{FuturesUnordered, StreamExt};
use pleach_executor::sync::Event;
use pleach_executor::testing::wait_until_idle;
use pleach_executor::{
    CancelScope, checked, checkpoint, fail_after, graceful, move_on_after, now, shielded, sleep,
    sleep_forever, sleep_until, yield_now,
};
use std::cell::Cell;
use std::future::pending;
use std::time::Duration;

#[test]
fn dropped_sleeps_leave_nothing() {
    any_drop_is_clean("sleep", 9, || sleep(3 * S + MS));
    any_drop_is_clean("sleep(0)", 9, || sleep(Duration::ZERO));
    any_drop_is_clean("sleep_until", 9, || sleep_until(now() + S));
    any_drop_is_clean("sleep_until the past", 9, || sleep_until(now()));
    any_drop_is_clean("sleep_forever", 5, sleep_forever);
}

#[test]
fn dropped_checkpoints_leave_nothing() {
    any_drop_is_clean("checkpoint", 9, checkpoint);
    any_drop_is_clean("yield_now", 9, yield_now);
    any_drop_is_clean("wait_until_idle", 9, wait_until_idle);
}

#[test]
fn dropped_wrappers_of_foreign_futures_leave_nothing() {
    any_drop_is_clean("checked, ready", 9, || checked(std::future::ready(1)));
    any_drop_is_clean("checked, pending", 5, || checked(pending::<()>()));
    any_drop_is_clean("checked(sleep)", 9, || checked(sleep(2 * S)));
    any_drop_is_clean("graceful", 9, || graceful(pending::<()>(), 3 * S, || ()));
}

#[test]
fn dropped_scopes_leave_nothing() {
    any_drop_is_clean("CancelScope::new", 5, || async { drop(CancelScope::new().shield().timeout(S)) });
    any_drop_is_clean("CancelScope::run", 9, || {
        CancelScope::new().timeout(3 * S).run(async |s| {
            let _handle = s.handle();
            sleep_forever().await?;
            Ok::<(), Fault>(())
        })
    });
    any_drop_is_clean("move_on_after", 9, || {
        move_on_after(9 * S, async |_| {
            sleep(2 * S).await?;
            Ok::<_, Fault>(1)
        })
    });
    any_drop_is_clean("fail_after", 9, || {
        fail_after(2 * S, async |_| {
            sleep_forever().await?;
            Ok::<(), Fault>(())
        })
    });
    any_drop_is_clean("shielded", 9, || {
        shielded(async |_| {
            move_on_after(S, async |_| {
                sleep_forever().await?;
                Ok::<(), Fault>(())
            })
            .await
        })
    });
}

#[test]
fn dropped_waits_for_an_event_leave_nothing() {
    any_drop_is_clean("a wait for an event", 9, || async {
        let event = Event::new();
        let waiting: FuturesUnordered<_> = (0..3).map(|_| event.wait()).collect();
        let setting = async {
            sleep(2 * S).await?;
            event.set();
            Ok::<(), Fault>(())
        };
        join(waiting.count(), setting).await
    });
}

#[test]
fn a_dropped_wait_for_an_event_does_not_keep_others_from_it() {
    for polls in 0..3 {
        in_every_order(async || {
            let event = Event::new();
            let woken = Cell::new(0);
            let r = Run::nursery(async |n| {
                let mut gone = Box::pin(event.wait());
                for _ in 0..polls {
                    assert!(poll_once(gone.as_mut()).await.is_pending());
                }
                for _ in 0..2 {
                    n.spawn(async {
                        event.wait().await?;
                        woken.set(woken.get() + 1);
                        Ok(())
                    });
                }
                wait_until_idle().await?;
                event.set();
                drop(gone);
                Ok(())
            })
            .await;
            assert_eq!((shape(&r).as_str(), woken.get()), ("ok", 2));
        });
    }
}
