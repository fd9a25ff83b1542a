//! Futures that are polled in one scope and awaited in another: the scope they are polled in is the one they see.
//!
//! ```text
//!   poll inside A ─ A ends, is cancelled, or stays open ─► await outside, inside B, or by turns
//! ```

use crate::S;
use crate::by_hand::{poll_once, settle};
use crate::fault::{Fault, Run, shape};
use crate::orders::in_every_order;
use futures_util::future::join;
use futures_util::stream::{FuturesUnordered, StreamExt};
use pleach_executor::{
    CancelScope, Cancelled, check, checkpoint, move_on_after, now, shielded, sleep, yield_now,
};
use std::cell::RefCell;
use std::future::Future;
use std::pin::{Pin, pin};

/// Polls `fut` until it waits, inside a scope of its own; `and_then` may use that scope while the future hangs below it.
async fn poll_inside_a_scope<F: Future + ?Sized>(fut: Pin<&mut F>, and_then: impl AsyncFnOnce(&CancelScope)) {
    let r: Result<Option<()>, Fault> = CancelScope::new()
        .run(async |s| {
            settle(fut).await;
            and_then(s).await;
            Ok(())
        })
        .await;
    assert!(matches!(r, Ok(Some(()))));
}

type Boxed<'a, T> = Pin<Box<dyn Future<Output = Result<T, Fault>> + 'a>>;

/// A nursery that takes ten seconds: in its body, in a borrowed child and in a static one.
fn ten_seconds<'a>() -> Boxed<'a, u8> {
    Box::pin(Run::nursery(async |n| {
        let borrowed = n.task(async {
            sleep(10 * S).await?;
            Ok(1)
        });
        n.spawn_static(async {
            sleep(10 * S).await?;
            Ok(())
        });
        sleep(10 * S).await?;
        Ok(borrowed.await? + 1)
    }))
}

/// The same length, as a scope and as a bare sleep.
fn ten_seconds_in_a_scope<'a>() -> Boxed<'a, u8> {
    Box::pin(async {
        let r = CancelScope::new()
            .run(async |_| {
                sleep(10 * S).await?;
                Ok::<_, Fault>(2)
            })
            .await?;
        Ok(r.expect("nobody cancelled this scope"))
    })
}

fn ten_seconds_asleep<'a>() -> Boxed<'a, u8> {
    Box::pin(async {
        sleep(10 * S).await?;
        Ok(2)
    })
}

fn movable() -> [(&'static str, Boxed<'static, u8>); 3] {
    [("nursery", ten_seconds()), ("scope", ten_seconds_in_a_scope()), ("sleep", ten_seconds_asleep())]
}

#[test]
fn a_future_first_polled_in_an_ended_scope_is_reached_by_a_timeout_around_it() {
    in_every_order(async || {
        for (what, mut fut) in movable() {
            poll_inside_a_scope(fut.as_mut(), async |_| ()).await;
            let t0 = now();
            let r = move_on_after(S, async |_| fut.as_mut().await).await;
            assert!(matches!(r, Ok(None)), "{what}: {}", shape(&r));
            assert_eq!(now() - t0, S, "{what}");
        }
    });
}

#[test]
fn a_future_first_polled_in_an_ended_scope_runs_to_its_end_outside() {
    in_every_order(async || {
        for (what, mut fut) in movable() {
            let t0 = now();
            poll_inside_a_scope(fut.as_mut(), async |_| ()).await;
            let r = fut.await;
            assert!(matches!(r, Ok(2)), "{what}: {}", shape(&r));
            assert_eq!(now() - t0, 10 * S, "{what}");
        }
    });
}

/// The slot of the ended scope is used again by a stranger, which is cancelled.
#[test]
fn a_strangers_cancel_does_not_reach_a_future_that_was_polled_in_an_ended_scope() {
    in_every_order(async || {
        for (what, mut fut) in movable() {
            let t0 = now();
            poll_inside_a_scope(fut.as_mut(), async |_| ()).await;
            let strangers: Vec<CancelScope> = (0..8).map(|_| CancelScope::new()).collect();
            strangers.iter().for_each(CancelScope::cancel);
            let r = fut.await;
            assert!(matches!(r, Ok(2)), "{what}: {}", shape(&r));
            assert_eq!(now() - t0, 10 * S, "{what}");
        }
    });
}

/// The scope in which it was polled once is cancelled while it hangs there. It is polled elsewhere from then on, where
/// nobody cancelled anything.
#[test]
fn a_cancel_of_the_scope_of_the_first_poll_does_not_follow_the_future_out() {
    in_every_order(async || {
        for (what, mut fut) in movable() {
            let t0 = now();
            poll_inside_a_scope(fut.as_mut(), async |s| s.cancel()).await;
            let r = fut.await;
            assert!(matches!(r, Ok(2)), "{what}: {}", shape(&r));
            assert_eq!(now() - t0, 10 * S, "{what}: nothing in it was cut short");
        }
    });
}

/// The same while the scope of the first poll is still open.
#[test]
fn a_future_taken_out_of_an_open_scope_is_not_reached_by_its_cancel() {
    in_every_order(async || {
        for (what, fut) in movable() {
            let fut = RefCell::new(Some(fut));
            let t0 = now();
            let r = Run::nursery(async |n| {
                n.spawn(async {
                    let r: Result<Option<()>, Fault> = CancelScope::new()
                        .run(async |s| {
                            let mut inside = fut.take().expect("it is there");
                            settle(inside.as_mut()).await;
                            fut.replace(Some(inside));
                            sleep(5 * S).await?;
                            s.cancel();
                            checkpoint().await?;
                            Ok(())
                        })
                        .await;
                    assert!(matches!(r, Ok(None)));
                    Ok(())
                });
                sleep(S).await?;
                let outside = fut.take().expect("it is back");
                outside.await
            })
            .await;
            assert!(matches!(r, Ok(2)), "{what}: {}", shape(&r));
            assert_eq!(now() - t0, 10 * S, "{what}");
        }
    });
}

#[test]
fn a_future_moved_into_a_scope_is_reached_by_its_cancel() {
    in_every_order(async || {
        for (what, mut fut) in movable() {
            settle(fut.as_mut()).await;
            let t0 = now();
            let r: Result<Option<u8>, Fault> = CancelScope::new()
                .run(async |s| {
                    let cancelling = async {
                        sleep(S).await?;
                        s.cancel();
                        Ok::<_, Cancelled>(())
                    };
                    let (r, cancelling) = join(fut.as_mut(), cancelling).await;
                    cancelling?;
                    r
                })
                .await;
            assert!(matches!(r, Ok(None)), "{what}: {}", shape(&r));
            assert_eq!(now() - t0, S, "{what}");
        }
    });
}

/// It goes to and fro between a cancelled scope with a shield and the open air, poll by poll.
#[test]
fn a_future_polled_by_turns_in_two_scopes_sees_the_one_it_is_polled_in() {
    in_every_order(async || {
        let seen = RefCell::new(Vec::new());
        let looks = async {
            for _ in 0..4 {
                seen.borrow_mut().push(check().is_err());
                yield_now().await;
            }
            Ok::<(), Fault>(())
        };
        let mut fut = Box::pin(CancelScope::new().run(async |_| looks.await));
        let r: Result<Option<()>, Fault> = CancelScope::new()
            .run(async |s| {
                s.cancel();
                assert!(poll_once(fut.as_mut()).await.is_pending());
                assert!(
                    shielded(async |_| Ok::<_, Fault>(poll_once(fut.as_mut()).await.is_pending())).await?
                );
                assert!(poll_once(fut.as_mut()).await.is_pending());
                Ok(())
            })
            .await;
        assert!(matches!(r, Ok(Some(()))));
        assert!(poll_once(fut.as_mut()).await.is_pending());
        assert!(matches!(fut.await, Ok(Some(()))));
        assert_eq!(*seen.borrow(), [true, false, true, false]);
    });
}

/// Polled by a foreign combinator first, whose waker is not ours, and by its task then.
#[test]
fn a_future_moved_out_of_a_foreign_combinator_is_woken() {
    in_every_order(async || {
        for (what, mut fut) in movable() {
            let t0 = now();
            {
                let mut foreign: FuturesUnordered<_> = [fut.as_mut()].into_iter().collect();
                let mut next = pin!(foreign.next());
                settle(next.as_mut()).await;
            }
            let r = fut.await;
            assert!(matches!(r, Ok(2)), "{what}: {}", shape(&r));
            assert_eq!(now() - t0, 10 * S, "{what}");
        }
    });
}
