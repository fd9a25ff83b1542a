//! Promise: a sleep takes as long as it says, and sleeps end in the order of time.
//!
//! ```text
//!   sleep(d) = sleep_until(now + d) ─► timer ─► due: woken   now or the past: yields once
//! ```
//!
//! Rules: `Case n.` refers to the list of executor cases; `conformance.tsv` says where each is tested. Time is virtual, so
//! that "as long" means to the nanosecond.

#[path = "support/by_hand.rs"]
mod by_hand;
#[path = "support/fault.rs"]
mod fault;
#[path = "support/orders.rs"]
mod orders;

use by_hand::poll_once;
use fault::{Run, shape};
use orders::in_every_order;
use pleach_executor::testing::run_virtual;
use pleach_executor::{Instant, now, sleep, sleep_until};
use std::cell::RefCell;
use std::pin::pin;
use std::time::Duration;

const S: Duration = Duration::from_secs(1);
const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

/// Case 70. A sleep takes as long as it says, whichever way it is said; one of nothing yields once.
#[test]
fn a_sleep_takes_as_long_as_it_says() {
    in_every_order(async || {
        for d in [Duration::from_nanos(1), Duration::from_millis(10), S, YEAR] {
            let start = now();
            sleep(d).await.unwrap();
            assert_eq!(now() - start, d);
            sleep_until(start + 3 * d).await.unwrap();
            assert_eq!(now() - start, 3 * d);
        }
        let start = now();
        let (mut nothing, mut past) =
            (pin!(sleep(Duration::ZERO)), pin!(sleep_until(Instant::from_nanos(0))));
        assert!(poll_once(nothing.as_mut()).await.is_pending());
        assert!(poll_once(past.as_mut()).await.is_pending());
        nothing.await.unwrap();
        past.await.unwrap();
        assert_eq!(now(), start, "no time has passed");
    });
}

/// Case 70. Sleeps of several tasks end in the order of time, and those of one moment in the order in which they began.
#[test]
fn sleeps_end_in_the_order_of_time() {
    run_virtual(async {
        let start = now();
        let ended = RefCell::new(Vec::new());
        let r = Run::nursery(async |n| {
            for (name, seconds) in [("a", 3), ("b", 1), ("c", 2), ("d", 1), ("e", 3)] {
                let ended = &ended;
                n.spawn(async move {
                    sleep_until(start + seconds * S).await?;
                    assert_eq!(now(), start + seconds * S);
                    ended.borrow_mut().push(name);
                    Ok(())
                });
            }
            Ok(())
        })
        .await;
        assert_eq!(shape(&r), "ok");
        assert_eq!(*ended.borrow(), ["b", "d", "c", "a", "e"]);
    });
}
