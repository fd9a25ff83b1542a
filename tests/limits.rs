//! Promise: a limit that a scope is given before its entry is a timeout or a deadline, and holds from the entry on.
//!
//! ```text
//!   timeout(d) ───┐                       ┌─► entry + d
//!                 ├─ one of them ─ entry ─┤
//!   deadline(at) ─┘                       └─► at (passed already: cancelled, though nobody is inside)
//! ```
//!
//! Rules: `Case n.` refers to the list of executor cases; `conformance.tsv` says where each is tested. That a limit is a
//! length of time and no bare number is the compiler's to hold: `compile_fail/limit_is_negative.rs`.

#[path = "support/by_hand.rs"]
mod by_hand;
#[path = "support/fault.rs"]
mod fault;
#[path = "support/orders.rs"]
mod orders;

use by_hand::message;
use fault::Fault;
use orders::in_every_order;
use pleach_executor::testing::jump;
use pleach_executor::{CancelScope, Reason, move_on_after, now, sleep, sleep_forever, stats};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::time::Duration;

const S: Duration = Duration::from_secs(1);
const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

/// What the panic of `misuse` says.
fn refusal(misuse: impl FnOnce()) -> String {
    message(catch_unwind(AssertUnwindSafe(misuse)).expect_err("it has to be refused"))
}

/// After how long a scope cancels what waits for ever inside it.
async fn limit_of(scope: CancelScope) -> Duration {
    let entered = now();
    let r: Result<Option<()>, Fault> = scope
        .run(async |_| {
            sleep_forever().await?;
            Ok(())
        })
        .await;
    assert!(matches!(r, Ok(None)));
    now() - entered
}

/// Case 61. A deadline that has passed cancels a scope that nobody has entered, and a later one takes nothing back.
#[test]
fn a_deadline_that_has_passed_cancels_before_the_entry() {
    in_every_order(async || {
        let scope = CancelScope::new().deadline(now() + S);
        assert!(!scope.cancel_called());
        scope.set_deadline(Some(now()));
        assert!(scope.cancel_called() && matches!(scope.reason(), Some(Reason::Deadline)));
        scope.set_deadline(Some(now() + S));
        assert!(scope.cancel_called());
        assert_eq!(scope.deadline_at(), Some(now() + S));
        let start = now();
        let r: Result<Option<()>, Fault> = scope
            .run(async |_| {
                sleep_forever().await?;
                Ok(())
            })
            .await;
        assert!(matches!(r, Ok(None)));
        assert_eq!(now(), start, "at once, and not a second later");
    });
}

/// Case 64. A limit is never negative and always a number (the type says so); the longest there is means never.
#[test]
fn a_limit_of_any_length_is_a_limit() {
    in_every_order(async || {
        let start = now();
        for d in [Duration::ZERO, Duration::from_nanos(1), 5 * S] {
            let r: Result<Option<()>, Fault> = CancelScope::new()
                .timeout(d)
                .run(async |_| {
                    sleep_forever().await?;
                    Ok(())
                })
                .await;
            assert!(matches!(r, Ok(None)), "{d:?}");
        }
        assert_eq!(now() - start, 5 * S + Duration::from_nanos(1));
        let timers = stats().timers;
        let r: Result<Option<()>, Fault> = CancelScope::new()
            .timeout(Duration::MAX)
            .run(async |_| {
                assert_eq!(stats().timers, timers, "no timer for what never comes");
                sleep(50 * YEAR).await?;
                Ok(())
            })
            .await;
        assert!(matches!(r, Ok(Some(()))));
    });
}

/// Case 65. A relative limit counts from the entry, not from where it was made.
#[test]
fn a_relative_limit_counts_from_the_entry() {
    in_every_order(async || {
        let scope = CancelScope::new().timeout(5 * S);
        let mut move_on = pin!(move_on_after(5 * S, async |_| Ok::<_, Fault>(sleep_forever().await?)));
        jump(3 * S);
        let t = now();
        assert_eq!(scope.deadline_at(), None, "not before the entry");
        let r: Result<Option<()>, Fault> = scope
            .run(async |s| {
                assert_eq!(s.deadline_at(), Some(t + 5 * S));
                let r = sleep_forever().await;
                assert_eq!(now(), t + 5 * S);
                // It has been a deadline like any other since the entry.
                s.set_deadline(Some(t + 9 * S));
                r?;
                Ok(())
            })
            .await;
        assert!(matches!(r, Ok(None)));
        assert!(matches!(move_on.as_mut().await, Ok(None)));
        assert_eq!(now(), t + 10 * S, "it was first polled at t + 5 s");
    });
}

/// Case 67. A scope that has a timeout and is not entered yet takes no deadline, and keeps the timeout.
#[test]
fn a_scope_with_a_timeout_takes_no_deadline_before_its_entry() {
    in_every_order(async || {
        let scope = CancelScope::new().timeout(5 * S);
        let text = refusal(|| scope.set_deadline(Some(now())));
        assert!(text.contains("timeout already"), "{text}");
        assert!(!scope.cancel_called() && scope.deadline_at().is_none(), "nothing has changed");
        jump(S);
        assert_eq!(limit_of(scope).await, 5 * S);
        refusal(|| drop(CancelScope::new().timeout(S).deadline(now())));
        // Taken away first, it is not in the way.
        let scope = CancelScope::new().timeout(5 * S).timeout(6 * S);
        scope.set_deadline(None);
        assert_eq!(limit_of(scope.deadline(now() + S)).await, S);
    });
}

/// Case 68. A scope that has a deadline takes no timeout.
#[test]
fn a_scope_with_a_deadline_takes_no_timeout() {
    in_every_order(async || {
        let text = refusal(|| drop(CancelScope::new().deadline(now() + S).timeout(5 * S)));
        assert!(text.contains("deadline already"), "{text}");
        let scope = CancelScope::new().deadline(now() + S);
        scope.set_deadline(None);
        assert_eq!(limit_of(scope.timeout(5 * S)).await, 5 * S);
    });
}
