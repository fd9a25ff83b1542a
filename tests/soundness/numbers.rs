//! Wakers are numbers that come round: who is woken without cause is polled once more, and that is all.
//!
//! ```text
//!   thousands of executors │ millions of reuses of one slot │ numbers at random ─► spurious polls, right results
//! ```

use crate::by_hand::poll_once;
use crate::fault::{Fault, Run, shape};
use crate::orders::or_hang;
use crate::{S, own_waker};
use futures_util::future::join;
use pleach_executor::sync::Event;
use pleach_executor::sync::channel::bounded;
use pleach_executor::testing::{run_virtual, wake_random};
use pleach_executor::{Started, checkpoint, current_task, move_on_after, now, run, sleep, sleep_forever};
use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

/// Executors come and go, more often than their numbers last before they are recycled.
#[test]
fn two_thousand_threads_have_a_run_each() {
    const AT_A_TIME: usize = 4;
    let short_run = || {
        run(async {
            let waker = own_waker().await;
            let r: Result<u32, Fault> = Run::nursery(async |n| {
                let a = n.task(async {
                    checkpoint().await?;
                    Ok(3)
                });
                n.spawn_static(async { Ok(checkpoint().await?) });
                Ok(a.await? + 4)
            })
            .await;
            (waker, r.ok())
        })
    };
    let mut stale = Vec::new();
    for _ in 0..2000 / AT_A_TIME {
        let threads: Vec<_> = (0..AT_A_TIME).map(|_| thread::spawn(short_run)).collect();
        for t in threads {
            let (waker, sum) = t.join().unwrap();
            assert_eq!(sum, Some(7));
            stale.push(waker);
        }
        // Most of their executors are gone; a few numbers belong to somebody else by now.
        stale.iter().for_each(Waker::wake_by_ref);
    }
    assert_eq!(stale.len(), 2000);
}

/// A slot is used again so often that old numbers match a stranger: who is polled without cause, and nothing else.
#[test]
fn stale_wakers_cause_only_spurious_polls_after_eight_million_reuses() {
    const REUSES: u32 = 1 << 23;
    run_virtual(async {
        let mut stale: Vec<Waker> = Vec::new();
        let mut spurious = 0;
        for i in 0..=REUSES {
            if i % (1 << 19) != 0 {
                let r: Result<(), Fault> = Run::nursery(async |_| Ok(())).await;
                assert!(r.is_ok());
                continue;
            }
            // Somebody innocent in the same slot, waiting for a flag while every old waker is woken.
            let (flag, polls, mine) = (Cell::new(false), Cell::new(0), RefCell::new(None));
            let mut innocent = pin!(Run::nursery(async |_| {
                *mine.borrow_mut() = Some(own_waker().await);
                poll_fn(|_| {
                    polls.set(polls.get() + 1);
                    if flag.get() { Poll::Ready(Ok::<_, Fault>(i)) } else { Poll::Pending }
                })
                .await
            }));
            assert!(poll_once(innocent.as_mut()).await.is_pending());
            assert!(poll_once(innocent.as_mut()).await.is_pending() && polls.get() == 1, "nobody woke it");
            for waker in &stale {
                waker.wake_by_ref();
                assert!(poll_once(innocent.as_mut()).await.is_pending(), "a stale wake ends nobody's wait");
            }
            spurious += polls.get() - 1;
            flag.set(true);
            let waker = mine.take().expect("the body has run");
            waker.wake_by_ref();
            let r = innocent.await;
            assert!(matches!(r, Ok(v) if v == i), "{}", shape(&r));
            stale.push(waker);
        }
        assert!(spurious > 0, "the numbers came round, or this test shows nothing");
    });
}

/// What works on while numbers are woken at random: sleeps, nurseries of both kinds, handles, starts, timeouts, hand-overs.
async fn honest_work(round: u64) -> Result<u64, Fault> {
    let ms = Duration::from_millis(1);
    let (slot, given) = (RefCell::new(None), Event::new());
    let (tx, rx) = bounded(1);
    let sum = Run::nursery(async |n| {
        let port = n
            .start(async |ready: Started<u64>| {
                sleep(ms).await?;
                ready.set(round);
                sleep_forever().await?;
                Ok(())
            })
            .await?;
        let taken = n.task(async {
            given.wait().await?;
            Ok(slot.take().expect("given exactly once, before the event"))
        });
        let slow = n.task(async {
            let t0 = now();
            sleep(3 * ms).await?;
            assert!(now() - t0 >= 3 * ms, "a sleep ended early");
            Ok(1)
        });
        let flat = Rc::new(Cell::new(0));
        let f = Rc::clone(&flat);
        n.spawn_static(async move {
            let r: Result<u64, Fault> = Run::nursery(async |inner| {
                let a = inner.task(async {
                    checkpoint().await?;
                    Ok(10)
                });
                Ok(a.await?)
            })
            .await;
            f.set(r?);
            Ok(())
        });
        let timed_out: Result<Option<()>, Fault> = move_on_after(2 * ms, async |_| {
            sleep_forever().await?;
            Ok(())
        })
        .await;
        assert!(matches!(timed_out, Ok(None)), "a timeout is a timeout");
        n.spawn(async {
            for i in 0..10 {
                assert!(tx.send(i).await?.is_ok());
            }
            Ok(())
        });
        for i in 0..10 {
            assert_eq!(rx.receive().await?, Ok(i), "in order, each once");
        }
        slot.replace(Some(port));
        given.set();
        let sum = taken.await? + slow.await?;
        while flat.get() == 0 {
            checkpoint().await?;
        }
        n.cancel();
        Ok(sum + flat.get())
    })
    .await?;
    assert_eq!(sum, round + 11);
    Ok(sum)
}

/// Numbers are woken at random for a second, from inside and from another thread: the results stay right.
#[test]
fn random_wakes_for_a_second_change_no_result() {
    let stop = Arc::new(AtomicBool::new(false));
    run(or_hang(120 * S, async {
        let t0 = now();
        let stale = RefCell::new(Vec::new());
        let r = Run::nursery(async |n| {
            n.spawn(async {
                let mut seed = 1;
                loop {
                    seed += 1;
                    wake_random(16, seed);
                    checkpoint().await?;
                }
            });
            n.spawn(async {
                let waker = own_waker().await;
                stale.borrow_mut().push(waker);
                Ok(())
            });
            n.spawn_static(async { Ok(checkpoint().await?) });
            let mut elsewhere = None;
            let mut rounds = 0;
            while now() - t0 < S {
                let (a, b) = join(honest_work(rounds), honest_work(rounds + 1)).await;
                assert_eq!((a?, b?), (rounds + 11, rounds + 12));
                let waker = own_waker().await;
                stale.borrow_mut().push(waker);
                rounds += 1;
                if elsewhere.is_none() && rounds > 4 {
                    let (stop, wakers) = (Arc::clone(&stop), stale.take());
                    elsewhere = Some(thread::spawn(move || {
                        while !stop.load(Ordering::Relaxed) {
                            wakers.iter().for_each(Waker::wake_by_ref);
                            thread::yield_now();
                        }
                    }));
                }
            }
            stop.store(true, Ordering::Relaxed);
            elsewhere.expect("more than four rounds fit into a second").join().expect("it only wakes");
            n.cancel();
            Ok(())
        })
        .await;
        assert_eq!(shape(&r), "ok");
    }));
}

/// A nursery is polled with the waker of a task elsewhere: that one is told, and not whoever has its number here.
#[test]
fn the_number_of_another_executor_is_a_foreign_waker() {
    let (give, given) = mpsc::channel();
    let waits = thread::spawn(move || {
        run(async move {
            let mut woken = false;
            poll_fn(|cx| {
                if std::mem::replace(&mut woken, true) {
                    return Poll::Ready(());
                }
                give.send(cx.waker().clone()).expect("somebody waits for it");
                Poll::Pending
            })
            .await;
        });
    });
    let theirs = given.recv().expect("their waker");
    let of_another_run = run(own_waker());
    for parent in [of_another_run, theirs] {
        run(async {
            let child = RefCell::new(None);
            let mut open = pin!(Run::nursery(async |n| {
                n.spawn(async {
                    *child.borrow_mut() = Some(own_waker().await);
                    sleep_forever().await?;
                    Ok(())
                });
                Ok::<_, Fault>(())
            }));
            let mut cx = Context::from_waker(&parent);
            while child.borrow().is_none() {
                assert!(open.as_mut().poll(&mut cx).is_pending());
            }
            assert!(open.as_mut().poll(&mut cx).is_pending(), "it has settled");
            child.take().expect("the child's waker").wake();
        });
    }
    waits.join().expect("it was woken");
}

/// A static child is dropped while it is in line, and a borrowed one gets its number: its own turn comes, and nobody else's.
#[test]
fn a_number_in_the_run_queue_may_be_a_borrowed_childs_by_now() {
    run_virtual(async {
        let (main, polls) = (RefCell::new(Vec::new()), Cell::new(0));
        let mut other = Some(Box::pin(Run::nursery(async |n| {
            (0..3).for_each(|_| n.spawn_static(async { Ok(checkpoint().await?) }));
            Ok::<_, Fault>(())
        })));
        let r = Run::nursery(async |n| {
            assert!(poll_once(other.as_mut().expect("there").as_mut()).await.is_pending());
            // In one poll: their entries are still in line.
            drop(other.take());
            for _ in 0..8 {
                n.spawn(async {
                    polls.set(polls.get() + 1);
                    Ok(())
                });
            }
            for _ in 0..4 {
                main.borrow_mut().push(current_task());
                checkpoint().await?;
            }
            Ok::<_, Fault>(())
        });
        assert!(or_hang(S, r).await.is_ok());
        assert_eq!(polls.get(), 8);
        assert!(
            main.take().iter().all(|task| *task == current_task()),
            "main is never polled in the name of another"
        );
    });
}
