//! Promise: a cancel reaches a wait of ours in the step in which it happens, once; it never interrupts a wait of others.
//!
//! ```text
//!   sleep().await  ── parked ── cancel() ─► its waker has been called when cancel() returns ─► Err(Cancelled)
//!   foreign.await  ── parked ── cancel() ─► nothing ── its own wake ─► its value ─► the next checkpoint fails
//! ```
//!
//! Rules: `Case n.` refers to the list of executor cases; `conformance.tsv` says where each is tested. Trio's raw wait with
//! a callback that aborts is a future that parks its waker: one of ours aborts, one of others does not.

#[path = "support/fault.rs"]
mod fault;
#[path = "support/orders.rs"]
mod orders;

use fault::{Fault, Run, shape};
use orders::in_every_order;
use pleach_executor::sync::Event;
use pleach_executor::testing::{jump, wait_until_idle};
use pleach_executor::{
    CancelScope, Reason, ScopeHandle, Started, check, checked, checkpoint, graceful, now, shielded, sleep,
    sleep_forever, yield_now,
};
use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

const S: Duration = Duration::from_secs(1);

/// A wait of somebody else's library: a place for the value, and the waker of whoever waits for it.
struct Foreign<T> {
    value: RefCell<Option<T>>,
    waiting: RefCell<Option<Waker>>,
    polls: Cell<u32>,
}

impl<T> Foreign<T> {
    fn new() -> Rc<Self> {
        Rc::new(Foreign { value: RefCell::default(), waiting: RefCell::default(), polls: Cell::new(0) })
    }

    async fn wait(&self) -> T {
        poll_fn(|cx| {
            self.polls.set(self.polls.get() + 1);
            if let Some(value) = self.value.take() {
                return Poll::Ready(value);
            }
            self.waiting.replace(Some(cx.waker().clone()));
            Poll::Pending
        })
        .await
    }

    fn wake_with(&self, value: T) {
        self.value.replace(Some(value));
        self.waiting.take().expect("somebody waits").wake();
    }
}

// ---- the waits of others ---------------------------------------------------------------------------------

/// Case 14. A task that waits with nothing but its waker goes on with the value, or with the very error, it is woken with.
#[test]
fn a_wait_made_by_hand_ends_with_what_it_is_woken_with() {
    in_every_order(async || {
        type Answer = Result<u32, Fault>;
        let waits: [Rc<Foreign<Answer>>; 6] = std::array::from_fn(|_| Foreign::new());
        let seen: Rc<RefCell<Vec<String>>> = Rc::default();
        let plain = async |i: usize, wait: Rc<Foreign<Answer>>, seen: Rc<RefCell<Vec<String>>>| {
            let answer = if i < 3 { wait.wait().await } else { checked(wait.wait()).await? };
            seen.borrow_mut()
                .push(format!("{i}: {}", answer.map_or_else(|e| shape::<()>(&Err(e)), |v| v.to_string())));
            Ok(())
        };
        let r = Run::nursery(async |n| {
            for (i, wait) in waits.iter().enumerate() {
                let child = plain(i, Rc::clone(wait), Rc::clone(&seen));
                if i % 2 == 0 { n.spawn(child) } else { n.spawn_static(child) }
            }
            wait_until_idle().await?;
            assert!(seen.borrow().is_empty());
            for (i, wait) in waits.iter().enumerate() {
                wait.wake_with(if i == 1 || i == 4 { Err(Fault::Named("E")) } else { Ok(i as u32) });
            }
            Ok(())
        })
        .await;
        seen.borrow_mut().sort();
        assert_eq!(shape(&r), "ok", "each has dealt with what it got");
        assert_eq!(*seen.borrow(), ["0: 0", "1: E", "2: 2", "3: 3", "4: E", "5: 5"]);
    });
}

/// Case 49. A plain await of a foreign future sleeps on while the scope around it is cancelled.
#[test]
fn a_cancel_does_not_wake_a_foreign_wait() {
    for is_static in [false, true] {
        in_every_order(async || {
            let (wait, ended) = (Foreign::new(), Rc::new(Cell::new(false)));
            let child = {
                let (wait, ended) = (Rc::clone(&wait), Rc::clone(&ended));
                async move {
                    wait.wait().await;
                    ended.set(true);
                    Ok(())
                }
            };
            let r = Run::nursery(async |n| {
                if is_static {
                    n.spawn_static(child)
                } else {
                    n.spawn(child)
                }
                wait_until_idle().await?;
                assert_eq!(wait.polls.get(), 1);
                n.cancel();
                wait_until_idle().await?;
                assert_eq!((wait.polls.get(), ended.get(), n.stats().children), (1, false, 1), "asleep");
                wait.wake_with(());
                Ok(())
            })
            .await;
            assert_eq!((shape(&r).as_str(), ended.get()), ("ok", true));
        });
    }
}

/// Case 50. The foreign wait gives the value that it is woken with, and the cancellation shows at the next check:
/// cancelled before the first poll, while it waits, and woken but not polled.
#[test]
fn a_foreign_wait_keeps_its_value_and_the_next_check_fails() {
    for window in ["before the first poll", "parked", "woken but not polled"] {
        in_every_order(async || {
            let (wait, seen) = (Foreign::new(), Cell::new(None));
            let r = Run::nursery(async |n| {
                n.spawn(async {
                    let value = wait.wait().await;
                    let c = check().expect_err("the scope was cancelled meanwhile");
                    assert!(matches!(c.reason(), Reason::Requested { .. }));
                    seen.set(Some(value));
                    Err(c.into())
                });
                if window == "before the first poll" {
                    n.cancel();
                }
                wait_until_idle().await?;
                if window == "parked" {
                    n.cancel();
                    wait_until_idle().await?;
                }
                assert_eq!((wait.polls.get(), seen.get()), (1, None));
                wait.wake_with(1);
                n.cancel();
                Ok(())
            })
            .await;
            assert_eq!((shape(&r).as_str(), seen.get()), ("ok", Some(1)), "{window}");
        });
    }
}

// ---- our waits -------------------------------------------------------------------------------------------

/// A waker that counts its calls.
#[derive(Default)]
struct Calls(AtomicU32);

impl Wake for Calls {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Calls {
    fn count(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }
}

type Parked<'a> = Pin<Box<dyn Future<Output = Result<(), Fault>> + 'a>>;

/// Polls `wait` once with a waker that counts.
fn park(wait: &mut Parked<'_>) -> Arc<Calls> {
    let calls = Arc::new(Calls::default());
    let waker = Waker::from(Arc::clone(&calls));
    assert!(wait.as_mut().poll(&mut Context::from_waker(&waker)).is_pending(), "nothing is there yet");
    calls
}

/// Every kind of wait that the executor itself has.
fn our_waits<'a>(down: &'a Event, never: &'a Foreign<()>) -> Vec<(&'static str, Parked<'a>)> {
    vec![
        ("sleep_forever", Box::pin(async { Err(sleep_forever().await.unwrap_err().into()) })),
        ("sleep", Box::pin(async { Ok(sleep(3600 * S).await?) })),
        ("event", Box::pin(async { Ok(down.wait().await?) })),
        ("checked", Box::pin(async { Ok(checked(never.wait()).await?) })),
    ]
}

/// Case 52. Whatever cancels, the wakers of the waits inside have been called when it returns, each once.
#[test]
fn a_cancel_has_called_every_parked_waker_when_it_returns() {
    type Act = fn(&ScopeHandle, &CancelScope);
    let acts: [(&str, Act); 4] = [
        ("cancel", |_, inner| inner.cancel()),
        ("cancel further out", |outer, _| outer.cancel()),
        ("a deadline that has passed", |_, inner| inner.set_deadline(Some(now()))),
        ("a shield is lowered", |outer, inner| {
            inner.set_shield(true);
            outer.cancel();
            inner.set_shield(false);
        }),
    ];
    in_every_order(async || {
        for (what, act) in acts {
            let (down, never) = (Event::new(), Foreign::new());
            let r: Result<Option<Option<()>>, Fault> = CancelScope::new()
                .run(async |outer| {
                    CancelScope::new()
                        .run(async |inner| {
                            let mut waits = our_waits(&down, &never);
                            let calls: Vec<_> = waits.iter_mut().map(|(_, wait)| park(wait)).collect();
                            assert!(calls.iter().all(|calls| calls.count() == 0));
                            act(&outer.handle(), inner);
                            for ((wait, _), calls) in waits.iter().zip(&calls) {
                                assert_eq!(calls.count(), 1, "{wait}, by {what}");
                            }
                            for (wait, parked) in waits {
                                assert_eq!(shape(&parked.await), "Cancelled", "{wait}, by {what}");
                            }
                            checkpoint().await?;
                            Ok(())
                        })
                        .await
                })
                .await;
            assert!(matches!(r, Ok(None | Some(None))), "{what}: {}", shape(&r));
        }
    });
}

/// Case 52. The same for what waits in a child, when it is moved into a cancelled nursery by saying that it is ready.
#[test]
fn a_move_into_a_cancelled_nursery_has_called_every_parked_waker_when_it_returns() {
    in_every_order(async || {
        let r = Run::nursery(async |n| {
            n.cancel();
            n.start(async |ready: Started<()>| {
                let (down, never) = (Event::new(), Foreign::new());
                let mut waits = our_waits(&down, &never);
                let calls: Vec<_> = waits.iter_mut().map(|(_, wait)| park(wait)).collect();
                assert!(check().is_ok(), "it is the starter's so far");
                ready.set(());
                assert!(check().is_err());
                assert!(calls.iter().all(|calls| calls.count() == 1));
                checkpoint().await?;
                Ok(())
            })
            .await?;
            Ok(())
        })
        .await;
        assert_eq!(shape(&r), "ok");
    });
}

/// Case 53. Once a wait has been told, a cancel further out, a deadline and another cancel do not tell it again.
#[test]
fn a_second_cancel_does_not_call_the_waker_again() {
    in_every_order(async || {
        let (down, never) = (Event::new(), Foreign::new());
        let r: Result<Option<()>, Fault> = CancelScope::new()
            .run(async |outer| {
                let r: Result<Option<()>, Fault> = CancelScope::new()
                    .timeout(5 * S)
                    .run(async |inner| {
                        let mut waits = our_waits(&down, &never);
                        let calls: Vec<_> = waits.iter_mut().map(|(_, wait)| park(wait)).collect();
                        inner.cancel();
                        inner.cancel();
                        outer.cancel();
                        inner.set_deadline(Some(now()));
                        jump(10 * S);
                        yield_now().await;
                        assert!(calls.iter().all(|calls| calls.count() == 1));
                        checkpoint().await?;
                        Ok(())
                    })
                    .await;
                assert!(matches!(r, Err(Fault::Cancelled(_))), "the outer scope is cancelled by now");
                r?;
                Ok(())
            })
            .await;
        assert!(matches!(r, Ok(None)));
    });
}

/// Case 53. A foreign future that is to end gracefully is told to stop once, however many scopes are cancelled.
#[test]
fn a_graceful_future_is_told_to_stop_once() {
    in_every_order(async || {
        let (wait, stops) = (Foreign::new(), Cell::new(0));
        let outer = CancelScope::new();
        let outermost = outer.handle();
        let r = Run::nursery(async |n| {
            let child = async {
                CancelScope::new()
                    .run(async |inner| {
                        inner.set_deadline(Some(now() + S));
                        let value = graceful(wait.wait(), 60 * S, || stops.set(stops.get() + 1)).await;
                        assert_eq!(value, Ok(7), "the value that it ends with stands");
                        checkpoint().await?;
                        Ok::<_, Fault>(())
                    })
                    .await
            };
            n.spawn(async move {
                let r = outer.run(async |_| child.await).await;
                assert!(matches!(r, Err(Fault::Cancelled(_))), "the nursery's cancel is the outermost");
                r.map(drop)
            });
            wait_until_idle().await?;
            assert_eq!(stops.get(), 0);
            sleep(2 * S).await?;
            assert_eq!(stops.get(), 1, "told by the deadline");
            outermost.cancel();
            wait_until_idle().await?;
            n.cancel();
            wait_until_idle().await?;
            assert_eq!(stops.get(), 1);
            wait.wake_with(7);
            Ok(())
        })
        .await;
        assert_eq!(shape(&r), "ok");
    });
}

/// Woken and cancelled in one step, in either order: the result that is there wins, and the next check reports.
#[test]
fn a_result_that_is_there_wins_over_a_cancel() {
    for cancel_first in [false, true] {
        in_every_order(async || {
            let (up, scope, got) = (Event::new(), CancelScope::new(), Cell::new(false));
            let handle = scope.handle();
            let r = Run::nursery(async |n| {
                n.spawn(async {
                    let r: Result<Option<()>, Fault> = scope
                        .run(async |_| {
                            let mut wait = pin!(up.wait());
                            wait.as_mut().await?;
                            got.set(true);
                            assert!(check().is_err());
                            checkpoint().await?;
                            Ok(())
                        })
                        .await;
                    assert!(matches!(r, Ok(None)));
                    Ok(())
                });
                wait_until_idle().await?;
                if cancel_first {
                    handle.cancel();
                    up.set();
                } else {
                    up.set();
                    handle.cancel();
                }
                shielded(async |_| wait_until_idle().await).await?;
                Ok(())
            })
            .await;
            assert_eq!((shape(&r).as_str(), got.get()), ("ok", true), "cancelled first: {cancel_first}");
        });
    }
}
