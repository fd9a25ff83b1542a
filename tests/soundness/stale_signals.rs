//! A `Cancelled` from a scope that is over: a failure like any other, and no signal.
//!
//! ```text
//!   stale() ─► returned by a child, a body, through a scope ─► siblings are cancelled ─► it comes out itself
//! ```

use crate::fault::{Fault, Run, shape};
use crate::orders::in_every_order;
use crate::{S, stale};
use pleach_executor::testing::wait_until_idle;
use pleach_executor::{CancelScope, Reason, move_on_after, sleep_forever};
use std::cell::Cell;

/// Where a stale `Cancelled` is handed back from.
#[derive(Clone, Copy, Debug)]
enum From {
    Borrowed,
    Static,
    Task,
    Body,
    Inner,
}

#[test]
fn a_stale_cancelled_is_a_failure_like_any_other() {
    for from in [From::Borrowed, From::Static, From::Task, From::Body, From::Inner] {
        in_every_order(async || {
            let siblings = Cell::new(0);
            let r: Result<(), Fault> = Run::nursery(async |n| {
                for _ in 0..2 {
                    n.spawn(async {
                        let c = sleep_forever().await.unwrap_err();
                        assert!(matches!(c.reason(), Reason::SiblingFailed), "{from:?}");
                        siblings.set(siblings.get() + 1);
                        Err(c.into())
                    });
                }
                wait_until_idle().await?;
                let failing = async { Err(stale().await.into()) };
                match from {
                    From::Borrowed => n.spawn(failing),
                    From::Static => n.spawn_static(failing),
                    From::Task => drop(n.task::<()>(failing)),
                    From::Body => return failing.await,
                    From::Inner => n.spawn(Run::nursery(async |inner| {
                        inner.spawn(failing);
                        Ok(())
                    })),
                }
                Ok(())
            })
            .await;
            assert_eq!((shape(&r).as_str(), siblings.get()), ("Cancelled", 2), "{from:?}");
            let Err(Fault::Cancelled(c)) = r else { unreachable!("just compared") };
            assert!(matches!(c.reason(), Reason::Requested { .. }), "{from:?}: the stale one itself: {c}");
        });
    }
}

#[test]
fn a_stale_cancelled_is_not_absorbed_by_a_scope_that_nobody_cancelled() {
    in_every_order(async || {
        let r: Result<Option<()>, Fault> = CancelScope::new().run(async |_| Err(stale().await.into())).await;
        assert_eq!(shape(&r), "Cancelled");
        let r: Result<Option<()>, Fault> = move_on_after(S, async |_| Err(stale().await.into())).await;
        assert_eq!(shape(&r), "Cancelled");
    });
}

#[test]
fn a_real_error_wins_over_a_stale_cancelled() {
    in_every_order(async || {
        let r: Result<(), Fault> = Run::nursery(async |n| {
            n.spawn(async { Err(stale().await.into()) });
            n.spawn(async { Err(Fault::Named("E")) });
            Ok(())
        })
        .await;
        assert_eq!(shape(&r), "E");
    });
}
