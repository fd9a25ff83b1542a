//! Promise: locks, semaphores, limiters, conditions and barriers serve who has waited longest, hand over without a gap, and lose
//! nothing to whoever is cancelled or dropped.
//!
//! ```text
//!   holder ─ gives up ─► the oldest in line, at once          cancelled, dropped, woken but never polled: the next in line
//! ```
//!
//! Rules: `Case n.` refers to the list of executor cases; `conformance.tsv` says where each is tested.

#[path = "support/by_hand.rs"]
mod by_hand;
#[path = "support/orders.rs"]
mod orders;

use by_hand::{poll_once, settle};
use orders::in_every_order;
use pleach_executor::sync::{
    Barrier, BorrowError, Borrower, CapacityLimiter, Condition, Lock, LockError, Semaphore, TryBorrowError,
    TryLockError, channel,
};
use pleach_executor::testing::{run_virtual, wait_until_idle};
use pleach_executor::{CancelScope, Cancelled, checkpoint, nursery, run, sleep_forever, yield_now};
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::pin;

/// Holds something for two checkpoints, five tasks ten times each, and never two at once.
async fn exclude<F: Future<Output = Result<G, Cancelled>>, G>(get: impl Fn() -> F) {
    let (inside, times) = (Cell::new(0), Cell::new(0));
    nursery(async |n| {
        for _ in 0..5 {
            n.spawn(async {
                for _ in 0..10 {
                    let _held = get().await?;
                    assert_eq!(inside.replace(1), 0, "alone");
                    checkpoint().await?;
                    checkpoint().await?;
                    inside.set(0);
                    times.set(times.get() + 1);
                }
                Ok::<_, Cancelled>(())
            });
        }
        Ok(())
    })
    .await
    .unwrap();
    assert_eq!(times.get(), 50);
}

/// Case 176. Five tasks, ten times each, two checkpoints inside: no two at once.
#[test]
fn whoever_is_inside_is_alone() {
    in_every_order(async || {
        let (lock, semaphore, limiter) = (Lock::new(()), Semaphore::new(1), CapacityLimiter::new(1));
        exclude(async || Ok(lock.lock().await?.unwrap())).await;
        exclude(async || semaphore.acquire().await).await;
        exclude(async || Ok(limiter.acquire().await?.unwrap())).await;
        let (give, take) = channel::bounded(1);
        give.try_send(()).unwrap();
        exclude(async || {
            take.receive().await?.unwrap();
            struct Back<'a>(&'a channel::Sender<()>);
            impl Drop for Back<'_> {
                fn drop(&mut self) {
                    self.0.try_send(()).unwrap();
                }
            }
            Ok(Back(&give))
        })
        .await;
    });
}

/// Case 178. What somebody has without having waited, others wait for.
#[test]
fn what_was_taken_at_once_is_waited_for_by_others() {
    in_every_order(async || {
        let (lock, semaphore, limiter) = (Lock::new(()), Semaphore::new(1), CapacityLimiter::new(1));
        let held =
            (lock.try_lock().unwrap(), semaphore.try_acquire().unwrap(), limiter.try_acquire().unwrap());
        let got = Cell::new(0);
        nursery(async |n| {
            n.spawn(async {
                let _held = lock.lock().await?.unwrap();
                got.set(got.get() + 1);
                Ok(())
            });
            n.spawn(async {
                let _held = semaphore.acquire().await?;
                got.set(got.get() + 1);
                Ok(())
            });
            n.spawn(async {
                let _held = limiter.acquire().await?.unwrap();
                got.set(got.get() + 1);
                Ok(())
            });
            wait_until_idle().await?;
            assert_eq!(got.get(), 0);
            drop(held);
            Ok::<_, Cancelled>(())
        })
        .await
        .unwrap();
        assert_eq!(got.get(), 3);
    });
}

/// Although it could be done at once.
async fn refused_when_cancelled<T>(
    scope: &CancelScope,
    op: impl Future<Output = Result<T, Cancelled>>,
) -> Result<(), Cancelled> {
    scope.cancel();
    let refused = op.await.map(drop);
    assert!(refused.is_err());
    refused
}

// ---- locks

/// Case 167. Taking it is a checkpoint; who has it is told so, and somebody else would have to wait.
#[test]
fn a_lock_knows_who_has_it() {
    in_every_order(async || {
        let lock = Lock::new(7);
        assert!(CancelScope::new().run(async |s| refused_when_cancelled(s, lock.lock()).await).await.is_ok());
        let guard = lock.lock().await.unwrap().unwrap();
        assert_eq!(lock.lock().await.unwrap().map(drop), Err(LockError::Reentered));
        assert_eq!(lock.try_lock().map(drop), Err(TryLockError::Reentered));
        let stats = lock.stats();
        assert!(stats.locked && stats.owner == pleach_executor::current_task() && stats.waiting == 0);
        nursery(async |n| {
            n.spawn(async {
                assert_eq!(lock.try_lock().map(drop), Err(TryLockError::WouldBlock));
                Ok::<_, Cancelled>(())
            });
            Ok(())
        })
        .await
        .unwrap();
        assert_eq!(*guard, 7);
        drop(guard);
        assert!(!lock.stats().locked && lock.try_lock().is_ok());
        assert_eq!(lock.into_inner(), 7);
    });
}

#[test]
fn a_lock_that_is_given_up_is_the_oldest_waiters_at_once() {
    in_every_order(async || {
        let (lock, order) = (Lock::new(()), RefCell::new(Vec::new()));
        let held = lock.try_lock().unwrap();
        nursery(async |n| {
            for k in 0..3 {
                let (lock, order) = (&lock, &order);
                n.spawn(async move {
                    let _held = lock.lock().await?.unwrap();
                    order.borrow_mut().push(k);
                    Ok::<_, Cancelled>(())
                });
                wait_until_idle().await?;
            }
            assert_eq!(lock.stats().waiting, 3);
            drop(held);
            assert_eq!(lock.try_lock().map(drop), Err(TryLockError::WouldBlock), "it is somebody's already");
            assert!(lock.stats().locked && lock.stats().owner.is_none(), "on its way");
            Ok(())
        })
        .await
        .unwrap();
        assert_eq!(*order.borrow(), [0, 1, 2]);
    });
}

/// Before its first poll, in line, and when it was its turn but it never looked: each time the next has it, or it is free.
#[test]
fn a_wait_for_a_lock_that_goes_leaves_nothing() {
    run_virtual(async {
        for next in [false, true] {
            let lock = Lock::new(());
            drop(lock.lock());
            let held = lock.try_lock().unwrap();
            {
                let mut in_line = pin!(lock.lock());
                assert!(other_task(in_line.as_mut()).await);
                assert_eq!(lock.stats().waiting, 1);
            }
            assert_eq!(lock.stats().waiting, 0);
            let mut follows = pin!(lock.lock());
            {
                let mut its_turn = pin!(lock.lock());
                assert!(other_task(its_turn.as_mut()).await);
                if next {
                    assert!(other_task(follows.as_mut()).await);
                }
                drop(held);
            }
            assert_eq!(lock.stats().locked, next);
            if next {
                drop(follows.await.unwrap().unwrap());
            }
            assert!(lock.try_lock().is_ok());
        }
    });
}

/// Polls once, as another task than this; true if it waits.
async fn other_task<F: Future>(mut fut: std::pin::Pin<&mut F>) -> bool {
    let waits = Cell::new(false);
    nursery(async |n| {
        n.spawn(async {
            waits.set(poll_once(fut.as_mut()).await.is_pending());
            Ok::<_, Cancelled>(())
        });
        Ok(())
    })
    .await
    .unwrap();
    waits.get()
}

#[test]
fn a_cancelled_wait_for_a_lock_has_not_got_it() {
    in_every_order(async || {
        let lock = Lock::new(());
        let held = lock.try_lock().unwrap();
        let r: Result<(), Cancelled> = nursery(async |n| {
            n.spawn(async { lock.lock().await.map(drop) });
            wait_until_idle().await?;
            n.cancel();
            Ok(())
        })
        .await;
        r.unwrap();
        assert_eq!(lock.stats().waiting, 0);
        drop(held);
        assert!(!lock.stats().locked);
    });
}

/// What a task held is given up when the task ends, whatever ends it.
#[test]
fn a_lock_is_given_up_with_the_task_that_holds_it() {
    in_every_order(async || {
        let (lock, got) = (Lock::new(0), Cell::new(false));
        let r: Result<Option<()>, Cancelled> = CancelScope::new()
            .run(async |scope| {
                nursery(async |n| {
                    n.spawn(async {
                        let mut held = lock.lock().await?.unwrap();
                        *held = 1;
                        sleep_forever().await.map(drop)
                    });
                    wait_until_idle().await?;
                    scope.cancel();
                    Ok(())
                })
                .await
            })
            .await;
        assert!(matches!(r, Ok(None) | Ok(Some(()))));
        got.set(*lock.lock().await.unwrap().unwrap() == 1);
        assert!(got.get());
    });
}

// ---- semaphores

/// Case 166. At its most it takes no more, and keeps what it has; and it cannot begin with more.
#[test]
fn a_bounded_semaphore_takes_no_more_than_its_most() {
    run_virtual(async {
        let semaphore = Semaphore::bounded(1, 1);
        assert!(semaphore.add(1).is_err());
        assert_eq!((semaphore.stats().left, semaphore.stats().most), (1, Some(1)));
        let permit = semaphore.acquire().await.unwrap();
        semaphore.add(1).unwrap();
        assert_eq!(semaphore.stats().left, 1);
        drop(permit);
        assert_eq!(semaphore.stats().left, 1, "the one that was made up for is gone");
        semaphore.acquire().await.unwrap().forget();
        assert_eq!(semaphore.stats().left, 0, "there is one less");
        semaphore.add(1).unwrap();
    });
    let refused = std::panic::catch_unwind(|| Semaphore::bounded(2, 1));
    assert!(by_hand::message(refused.unwrap_err()).contains("at most 1"));
}

#[test]
fn permits_go_to_those_who_have_waited_longest() {
    in_every_order(async || {
        let (semaphore, order) = (Semaphore::new(0), RefCell::new(Vec::new()));
        nursery(async |n| {
            for k in 0..4 {
                let (semaphore, order) = (&semaphore, &order);
                n.spawn(async move {
                    semaphore.acquire().await?.forget();
                    order.borrow_mut().push(k);
                    Ok::<_, Cancelled>(())
                });
                wait_until_idle().await?;
            }
            assert!(semaphore.try_acquire().is_err());
            semaphore.add(2).unwrap();
            assert!(semaphore.try_acquire().is_err(), "they are on their way");
            wait_until_idle().await?;
            // Who of them runs first in a step is the scheduler's.
            order.borrow_mut().sort_unstable();
            assert_eq!((&*order.borrow(), semaphore.stats().waiting), (&vec![0, 1], 2));
            semaphore.add(3).unwrap();
            assert_eq!(semaphore.stats().left, 1);
            Ok(())
        })
        .await
        .unwrap();
        assert_eq!(order.borrow().len(), 4);
    });
}

#[test]
fn a_permit_whose_wait_goes_is_the_next_ones_or_left() {
    run_virtual(async {
        let semaphore = Semaphore::new(0);
        {
            let (mut first, mut second) = (pin!(semaphore.acquire()), pin!(semaphore.acquire()));
            assert!(poll_once(first.as_mut()).await.is_pending());
            assert!(poll_once(second.as_mut()).await.is_pending());
            semaphore.add(1).unwrap();
            first.set(semaphore.acquire());
            assert!(second.await.is_ok(), "it had passed on");
            let _unpolled = first;
        }
        assert_eq!(semaphore.stats().left, 1);
        let r: Result<Option<()>, Cancelled> = CancelScope::new()
            .run(async |scope| {
                scope.cancel();
                semaphore.acquire().await.map(drop)
            })
            .await;
        assert!(matches!(r, Ok(None)) && semaphore.stats().left == 1);
    });
}

// ---- limiters

/// Case 157. None at all is a number of tokens like any other.
#[test]
fn tokens_are_counted() {
    run_virtual(async {
        assert_eq!(CapacityLimiter::new(0).available(), Some(0));
        let limiter = CapacityLimiter::new(2);
        assert_eq!((limiter.stats().borrowed, limiter.available()), (0, Some(2)));
        let token = limiter.acquire().await.unwrap().unwrap();
        assert_eq!((limiter.stats().borrowed, limiter.available(), limiter.total()), (1, Some(1), Some(2)));
        assert_eq!(limiter.stats().borrowers, [token.borrower()]);
        drop(token);
        assert_eq!((limiter.stats().borrowed, limiter.stats().borrowers.len()), (0, 0));
    });
}

/// Case 158. Who has a token gets no other, and the count stays.
#[test]
fn a_borrower_has_one_token() {
    run_virtual(async {
        let limiter = CapacityLimiter::new(5);
        let (mine, job) = (limiter.acquire().await.unwrap().unwrap(), Borrower::Other(3));
        let who = mine.borrower();
        assert_eq!(limiter.acquire().await.unwrap().map(drop), Err(BorrowError::Borrows(who)));
        assert_eq!(limiter.try_acquire().map(drop), Err(TryBorrowError::Borrows(who)));
        let for_job = limiter.acquire_for(job).await.unwrap().unwrap();
        assert_eq!(limiter.try_acquire_for(job).map(drop), Err(TryBorrowError::Borrows(job)));
        assert_eq!(limiter.stats().borrowed, 2);
        drop((mine, for_job));
        assert!(limiter.try_acquire_for(job).is_ok());
        let e = TryBorrowError::Borrows(job).to_string();
        assert!(e.contains("may have one only"), "{e}");
    });
}

/// Case 160. A token that is given back while somebody waits is theirs in the same step.
#[test]
fn a_token_goes_from_one_to_the_next_without_a_gap() {
    in_every_order(async || {
        let limiter = CapacityLimiter::new(2);
        let held = [1, 2].map(|k| limiter.try_acquire_for(Borrower::Other(k)).unwrap());
        nursery(async |n| {
            n.spawn(async { limiter.acquire().await.map(drop) });
            wait_until_idle().await?;
            let [first, second] = held;
            drop(first);
            assert_eq!((limiter.stats().borrowed, limiter.stats().waiting), (2, 0));
            assert_eq!(limiter.try_acquire().map(drop), Err(TryBorrowError::WouldBlock));
            drop(second);
            Ok::<_, Cancelled>(())
        })
        .await
        .unwrap();
        assert_eq!(limiter.stats().borrowed, 0);
    });
}

/// Case 161. Without a limit there is no number to tell, before and after.
#[test]
fn without_a_limit_everybody_gets_in() {
    run_virtual(async {
        let limiter = CapacityLimiter::unlimited();
        assert_eq!((limiter.available(), limiter.total()), (None, None));
        let tokens: Vec<_> =
            (0..1000).map(|k| limiter.try_acquire_for(Borrower::Other(k)).unwrap()).collect();
        assert_eq!((limiter.available(), limiter.stats().borrowed), (None, 1000));
        drop(tokens);
        assert_eq!(limiter.stats().borrowed, 0);
    });
}

/// Case 163. A wait that was cancelled has left no entry.
#[test]
fn a_cancelled_wait_for_a_token_leaves_no_entry() {
    in_every_order(async || {
        let limiter = CapacityLimiter::new(0);
        let r: Result<(), Cancelled> = nursery(async |n| {
            n.spawn(async { limiter.acquire().await.map(drop) });
            n.spawn(async { limiter.acquire_for(Borrower::Other(1)).await.map(drop) });
            wait_until_idle().await?;
            assert_eq!((limiter.stats().borrowers.len(), limiter.stats().waiting), (2, 2));
            n.cancel();
            Ok(())
        })
        .await;
        r.unwrap();
        assert_eq!((limiter.stats().borrowers.len(), limiter.stats().waiting), (0, 0));
    });
}

/// Case 164. With none nobody gets in, with more exactly as many of the oldest; a holder keeps what it has, and nobody follows.
#[test]
fn the_number_of_tokens_changes_at_any_time() {
    in_every_order(async || {
        let (limiter, inside) = (CapacityLimiter::new(0), RefCell::new(Vec::new()));
        assert_eq!(limiter.try_acquire().map(drop), Err(TryBorrowError::WouldBlock));
        nursery(async |n| {
            for k in 0..5 {
                let (limiter, inside) = (&limiter, &inside);
                n.spawn(async move {
                    let token = limiter.acquire().await?.unwrap();
                    inside.borrow_mut().push((k, token));
                    Ok::<_, Cancelled>(())
                });
                wait_until_idle().await?;
            }
            // Who of them runs first in a step is the scheduler's.
            let numbers = || {
                inside.borrow_mut().sort_by_key(|(k, _)| *k);
                inside.borrow().iter().map(|(k, _)| *k).collect::<Vec<_>>()
            };
            assert_eq!(numbers(), [0_i32; 0]);
            limiter.set_total(Some(2));
            assert_eq!(limiter.stats().borrowed, 2, "at once");
            wait_until_idle().await?;
            assert_eq!(numbers(), [0, 1]);
            limiter.set_total(Some(0));
            assert_eq!((limiter.stats().borrowed, limiter.available()), (2, Some(0)), "nobody loses one");
            drop(inside.borrow_mut().remove(0));
            wait_until_idle().await?;
            assert_eq!((numbers(), limiter.stats().waiting), (vec![1], 3), "and nobody follows");
            limiter.set_total(Some(3));
            wait_until_idle().await?;
            assert_eq!((numbers(), limiter.stats().waiting), (vec![1, 2, 3], 1));
            limiter.set_total(None);
            wait_until_idle().await?;
            assert_eq!(numbers(), [1, 2, 3, 4]);
            Ok(())
        })
        .await
        .unwrap();
    });
}

// ---- conditions

/// Case 172. A guard is what shows that the lock is held, and it has to be of the right one.
#[test]
fn a_guard_of_another_lock_is_refused() {
    run_virtual(async {
        let (lock, other) = (Lock::new(()), Lock::new(()));
        let condition = Condition::new(&lock);
        let guard = other.try_lock().unwrap();
        let refused = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| condition.notify_all(&guard)));
        assert!(by_hand::message(refused.unwrap_err()).contains("of another lock"));
    });
}

/// Case 173. The oldest is notified, and has the lock when the notifier gives it up; then all the others, in order.
#[test]
fn who_is_notified_has_the_lock_next() {
    in_every_order(async || {
        let (lock, order) = (Lock::new(()), RefCell::new(Vec::new()));
        let condition = Condition::new(&lock);
        nursery(async |n| {
            for k in 0..3 {
                let (lock, condition, order) = (&lock, &condition, &order);
                n.spawn(async move {
                    let guard = lock.lock().await?.unwrap();
                    let (guard, waited) = condition.wait(guard).await;
                    order.borrow_mut().push(k);
                    drop(guard);
                    waited
                });
                wait_until_idle().await?;
            }
            assert_eq!(condition.waiting(), 3);
            let guard = lock.lock().await?.unwrap();
            assert_eq!(condition.notify(&guard, 1), 1);
            assert_eq!((condition.waiting(), lock.stats().waiting), (2, 1));
            drop(guard);
            assert!(lock.stats().locked, "it is passed on already");
            wait_until_idle().await?;
            assert_eq!(*order.borrow(), [0]);
            let guard = lock.lock().await?.unwrap();
            assert_eq!(condition.notify_all(&guard), 2);
            drop(guard);
            Ok::<_, Cancelled>(())
        })
        .await
        .unwrap();
        assert_eq!(*order.borrow(), [0, 1, 2]);
        assert!(!lock.stats().locked);
    });
}

/// Case 175. Cancelled while it waits to be notified, or then for the lock: it has the lock again when it hears of it.
#[test]
fn a_cancelled_wait_for_a_condition_has_the_lock_again() {
    for notified in [false, true] {
        in_every_order(async || {
            let (lock, back) = (Lock::new(0), Cell::new(false));
            let condition = Condition::new(&lock);
            nursery(async |n| {
                let inner = CancelScope::new();
                let cancel = inner.handle();
                n.spawn(async {
                    let r = inner
                        .run(async |_| {
                            let guard = lock.lock().await?.unwrap();
                            let (mut guard, waited) = condition.wait(guard).await;
                            assert!(waited.is_err());
                            *guard += 1;
                            // Alone with it, although cancelled.
                            yield_now().await;
                            back.set(lock.try_lock().is_err() && *guard == 1);
                            waited
                        })
                        .await;
                    r.map(drop)
                });
                wait_until_idle().await?;
                let guard = lock.lock().await?.unwrap();
                if notified {
                    condition.notify_all(&guard);
                }
                cancel.cancel();
                wait_until_idle().await?;
                assert!(!back.get(), "the lock is held here");
                drop(guard);
                Ok::<_, Cancelled>(())
            })
            .await
            .unwrap();
            assert!(back.get());
            assert_eq!((condition.waiting(), lock.stats().waiting, lock.stats().locked), (0, 0, false));
        });
    }
}

#[test]
fn a_condition_in_a_cancelled_scope_gives_the_guard_back_at_once() {
    run_virtual(async {
        let lock = Lock::new(());
        let condition = Condition::new(&lock);
        let r = CancelScope::new()
            .run(async |scope| {
                let guard = lock.lock().await?.unwrap();
                scope.cancel();
                let (guard, waited) = condition.wait(guard).await;
                assert!(lock.stats().locked && condition.waiting() == 0);
                drop(guard);
                waited
            })
            .await;
        assert!(matches!(r, Ok(None)));
    });
}

/// At every step: in line here, in line for the lock, and when it has the lock and never looked.
#[test]
fn a_wait_for_a_condition_that_is_dropped_holds_nobody_up() {
    run_virtual(async {
        for step in 0..3 {
            let lock = Lock::new(());
            let condition = Condition::new(&lock);
            let mut wait = Box::pin(condition.wait(lock.try_lock().unwrap()));
            settle(wait.as_mut()).await;
            assert_eq!((condition.waiting(), lock.stats().locked), (1, false));
            let mut follows = pin!(lock.lock());
            if step > 0 {
                let guard = lock.try_lock().unwrap();
                condition.notify_all(&guard);
                assert!(other_task(follows.as_mut()).await);
                if step == 2 {
                    drop(guard);
                    drop(wait);
                } else {
                    drop(wait);
                    drop(guard);
                }
            } else {
                drop(wait);
            }
            drop(follows.await.unwrap().unwrap());
            assert_eq!((condition.waiting(), lock.stats().locked), (0, false), "step {step}");
        }
    });
}

// ---- barriers

#[test]
fn a_barrier_lets_as_many_pass_together_as_it_is_for() {
    in_every_order(async || {
        let (barrier, passed, leaders) = (Barrier::new(3.try_into().unwrap()), Cell::new(0), Cell::new(0));
        nursery(async |n| {
            for k in 1..=7 {
                let (barrier, passed, leaders) = (&barrier, &passed, &leaders);
                n.spawn(async move {
                    let leader = barrier.wait().await?.is_leader();
                    passed.set(passed.get() + 1);
                    leaders.set(leaders.get() + usize::from(leader));
                    Ok::<_, Cancelled>(())
                });
                wait_until_idle().await?;
                assert_eq!((passed.get(), leaders.get(), barrier.waiting()), (k / 3 * 3, k / 3, k % 3));
            }
            n.cancel();
            Ok(())
        })
        .await
        .unwrap();
        assert_eq!((passed.get(), barrier.waiting()), (6, 0), "who was cancelled does not count");
    });
}

/// The last one may have to yield before it is let through; whoever leaves meanwhile is missed.
#[test]
fn a_barrier_counts_those_who_are_there_when_it_opens() {
    run(async {
        let barrier = Barrier::new(2.try_into().unwrap());
        let mut leaves = Box::pin(barrier.wait());
        settle(leaves.as_mut()).await;
        // So many operations that are ready at once use the task's budget up.
        for _ in 0..64 {
            let event = pleach_executor::sync::Event::new();
            event.set();
            let _ = poll_once(pin!(event.wait())).await;
        }
        let mut last = pin!(barrier.wait());
        let yields = poll_once(last.as_mut()).await.is_pending();
        drop(leaves);
        if yields {
            settle(last.as_mut()).await;
            assert_eq!(barrier.waiting(), 1, "alone, it waits");
        }
    });
}

#[test]
fn a_barrier_of_one_holds_nobody() {
    run_virtual(async {
        let barrier = Barrier::new(1.try_into().unwrap());
        for _ in 0..3 {
            assert!(barrier.wait().await.unwrap().is_leader());
        }
        assert!(
            CancelScope::new().run(async |s| refused_when_cancelled(s, barrier.wait()).await).await.is_ok()
        );
    });
}

/// A wake is a hint: who was notified and is polled while the lock is still another's waits on, in its place.
#[test]
fn a_notified_wait_that_is_polled_before_its_turn_waits_on() {
    in_every_order(async || {
        let lock = Lock::new(());
        let condition = Condition::new(&lock);
        let mut waiting = Box::pin(condition.wait(lock.try_lock().unwrap()));
        assert!(poll_once(waiting.as_mut()).await.is_pending());
        let guard = lock.try_lock().unwrap();
        assert_eq!(condition.notify(&guard, 1), 1);
        for _ in 0..3 {
            assert!(poll_once(waiting.as_mut()).await.is_pending());
        }
        assert_eq!(lock.stats().waiting, 1);
        drop(guard);
        let (guard, r) = waiting.await;
        assert!(r.is_ok());
        drop(guard);
        assert_eq!((lock.stats().locked, lock.stats().waiting), (false, 0));
    });
}

/// Whoever has the lock for itself needs no turn: nobody holds it, and a guard that was forgotten bars nobody here.
#[test]
fn a_lock_that_nobody_else_can_see_is_changed_without_a_turn() {
    run(async {
        let mut lock = Lock::new(1);
        *lock.get_mut() += 1;
        assert_eq!(*lock.lock().await.unwrap().unwrap(), 2);
        std::mem::forget(lock.try_lock().unwrap());
        assert!(lock.try_lock().is_err());
        *lock.get_mut() += 1;
        assert_eq!(lock.into_inner(), 3);
    });
}
