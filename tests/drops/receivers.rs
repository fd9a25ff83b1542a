//! Broadcast and watch: a receive that is dropped at any step has received nothing, and the next one gets it.
//!
//! ```text
//!   before its first poll │ parked │ woken and not polled ─ drop ─► the same handle receives it, and so does every other
//! ```

use crate::orders::in_every_order;
use crate::{S, WINDOWS, any_drop_is_clean, drop_in};
use futures_util::future::join;
use pleach_executor::sync::{broadcast, watch};
use pleach_executor::{Cancelled, sleep};

#[test]
fn dropped_broadcast_receives_leave_nothing() {
    any_drop_is_clean("broadcast, an item", 9, || async {
        let (tx, rx) = broadcast::channel(2);
        let other = rx.clone();
        let sending = async {
            let r = sleep(2 * S).await;
            tx.send(1).expect("somebody receives");
            r
        };
        join(join(rx.receive(), other.receive()), sending).await
    });
    any_drop_is_clean("broadcast, the end", 9, || async {
        let (tx, rx) = broadcast::channel::<u8>(2);
        let going = async {
            let r = sleep(2 * S).await;
            drop(tx);
            r
        };
        join(rx.receive(), going).await
    });
}

#[test]
fn dropped_waits_for_a_watched_value_leave_nothing() {
    any_drop_is_clean("watch, changed and wait_for", 9, || async {
        let (tx, rx) = watch::channel(0);
        let other = rx.clone();
        let sending = async {
            for value in 1..=2 {
                sleep(S).await?;
                tx.send(value);
            }
            Ok::<_, Cancelled>(())
        };
        join(join(rx.changed(), other.wait_for(|value| *value == 2)), sending).await
    });
    any_drop_is_clean("watch, unwatched", 9, || async {
        let (tx, rx) = watch::channel(0);
        let going = async {
            let r = sleep(2 * S).await;
            drop(rx);
            r
        };
        join(tx.unwatched(), going).await
    });
}

#[test]
fn a_dropped_broadcast_receive_takes_no_item() {
    for window in WINDOWS {
        in_every_order(async || {
            let (tx, rx) = broadcast::channel(2);
            let other = rx.clone();
            drop_in(window, rx.receive(), || tx.send(1).expect("somebody receives")).await;
            tx.send(2).expect("somebody receives");
            for receiver in [&rx, &other] {
                assert_eq!(receiver.receive().await.unwrap(), Ok(1), "{window:?}");
                assert_eq!(receiver.receive().await.unwrap(), Ok(2), "{window:?}");
            }
        });
    }
}

#[test]
fn a_dropped_wait_for_a_change_has_not_seen_it() {
    for window in WINDOWS {
        in_every_order(async || {
            let (tx, rx) = watch::channel(0);
            drop_in(window, rx.changed(), || tx.send(1)).await;
            assert!(rx.has_changed(), "{window:?}");
            drop_in(window, rx.wait_for(|value| *value == 2), || tx.send(2)).await;
            assert_eq!(*rx.changed().await.unwrap().unwrap(), 2, "{window:?}");
            assert!(!rx.has_changed());
        });
    }
}
