//! Promise: what another thread asks a run to do is done, once, in order, or refused because the run is over.
//!
//! ```text
//!   any thread ─ RunHandle::call_soon(f), Nudge::call_soon() ─► line ─► the loop: f() ─► run returns ─► RunFinished
//! ```
//!
//! Rules: `Case n.` refers to the list of executor cases; `conformance.tsv` says where each is tested.

#[path = "support/by_hand.rs"]
mod by_hand;
#[path = "support/fault.rs"]
mod fault;
#[path = "support/orders.rs"]
mod orders;

use by_hand::message;
use fault::{Fault, shape};
use orders::in_every_order;
use pleach_executor::low_level::spawn_system;
use pleach_executor::testing::{run_seeded, run_virtual, wait_until_idle};
use pleach_executor::{
    Cancelled, Nudge, Reason, RunFinished, RunHandle, TaskLocal, check, checkpoint, current_task, run,
    sleep_forever,
};
use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, OnceLock, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;

/// What was called, in order, from any thread.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u32>>>);

impl Log {
    fn call(&self, n: u32) -> impl Fn() + Send + Sync + 'static {
        let log = self.clone();
        move || log.0.lock().unwrap().push(n)
    }

    fn len(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    fn take(&self) -> Vec<u32> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

/// The waker of this task, for a call to wake it with.
async fn waker() -> Waker {
    poll_fn(|cx| Poll::Ready(cx.waker().clone())).await
}

/// Waits until `done`; whoever makes it so wakes this task.
async fn until(done: impl Fn() -> bool) {
    poll_fn(|_| if done() { Poll::Ready(()) } else { Poll::Pending }).await;
}

// ---- the line --------------------------------------------------------------------------------------------

/// Case 127. After the run nobody would make a call: it is refused, and so is a nudge.
#[test]
fn a_call_after_the_run_is_refused() {
    let (handle, nudge) = run(async {
        let handle = RunHandle::current();
        assert!(!handle.is_finished());
        (handle.clone(), handle.nudge(|| unreachable!()))
    });
    let witness = Arc::new(());
    let theirs = Arc::clone(&witness);
    assert_eq!(handle.call_soon(move || drop(theirs)), Err(RunFinished));
    assert_eq!(Arc::strong_count(&witness), 1, "what is refused is dropped");
    assert_eq!(nudge.call_soon(), Err(RunFinished));
    assert!(handle.is_finished());
    run(async {
        assert!(handle.is_finished(), "the next run on this thread is another one");
        assert_eq!(handle.call_soon(|| unreachable!()), Err(RunFinished));
        assert!(handle != RunHandle::current() && RunHandle::current() == RunHandle::current());
    });
}

/// Case 128. A plain call and two nudges, one of them asked for three times and one twice, make three calls.
#[test]
fn a_nudge_is_in_line_once_however_often_it_is_asked_for() {
    in_every_order(async || {
        let (log, handle) = (Log::default(), RunHandle::current());
        let (one, two) = (handle.nudge(log.call(1)), handle.nudge(log.call(2)));
        one.call_soon().unwrap();
        handle.call_soon(log.call(1)).unwrap();
        two.call_soon().unwrap();
        one.clone().call_soon().unwrap();
        two.call_soon().unwrap();
        one.call_soon().unwrap();
        assert_eq!(log.take(), [0; 0], "nothing is called before the loop has its turn");
        wait_until_idle().await.unwrap();
        assert_eq!(log.take(), [1, 1, 2]);
        one.call_soon().unwrap();
        wait_until_idle().await.unwrap();
        assert_eq!(log.take(), [1], "and again when it is asked for again");
    });
}

/// Case 130. Asked for while it runs, it is called again.
#[test]
fn a_nudge_that_asks_for_itself_is_called_again() {
    in_every_order(async || {
        let calls = Arc::new(AtomicUsize::new(0));
        let me: Arc<OnceLock<Nudge>> = Arc::default();
        let nudge = {
            let (me, calls) = (Arc::clone(&me), Arc::clone(&calls));
            RunHandle::current().nudge(move || {
                calls.fetch_add(1, SeqCst);
                let _over = me.get().expect("it is set").call_soon();
            })
        };
        me.set(nudge.clone()).unwrap();
        nudge.call_soon().unwrap();
        for _ in 0..3 {
            checkpoint().await.unwrap();
        }
        assert!(calls.load(SeqCst) >= 2);
    });
}

/// Case 131. What was asked for just before main fails, or panics, is done, and main's failure comes out as itself.
#[test]
fn a_call_that_was_accepted_is_made_although_main_fails() {
    let log = Log::default();
    let r: Result<(), Fault> = run(async {
        RunHandle::current().call_soon(log.call(1)).unwrap();
        Err(Fault::Named("E"))
    });
    assert_eq!((shape(&r), log.take()), ("E".into(), vec![1]));
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        run(async {
            RunHandle::current().call_soon(log.call(2)).unwrap();
            panic!("P");
        })
    }));
    assert_eq!((message(panicked.unwrap_err()), log.take()), ("P".into(), vec![2]));
}

#[test]
fn a_call_that_a_destructor_asks_for_at_the_end_is_made() {
    struct Asks(Log);
    impl Drop for Asks {
        fn drop(&mut self) {
            RunHandle::current().call_soon(self.0.call(1)).unwrap();
        }
    }
    let log = Log::default();
    let asks = Asks(log.clone());
    let r = catch_unwind(AssertUnwindSafe(|| {
        run(async {
            // Dropped in haste, because main panics.
            spawn_system(async move {
                let _asks = asks;
                sleep_forever().await.unwrap();
            });
            checkpoint().await.unwrap();
            panic!("P");
        })
    }));
    assert_eq!((message(r.unwrap_err()), log.take()), ("P".into(), vec![1]));
}

/// Case 133. A hundred calls are made in the order in which they were asked for.
#[test]
fn calls_are_made_first_in_first_out() {
    in_every_order(async || {
        let (log, handle) = (Log::default(), RunHandle::current());
        for n in 0..100 {
            handle.call_soon(log.call(n)).unwrap();
        }
        wait_until_idle().await.unwrap();
        assert_eq!(log.take(), Vec::from_iter(0..100));
    });
}

/// Asks for itself until the run is over; counts, and says how that was told.
fn again(handle: &RunHandle, rounds: &Arc<AtomicUsize>, told: &mpsc::Sender<RunFinished>) {
    rounds.fetch_add(1, SeqCst);
    let (next, rounds, after) = (handle.clone(), Arc::clone(rounds), told.clone());
    if let Err(over) = handle.call_soon(move || again(&next, &rounds, &after)) {
        told.send(over).unwrap();
    }
}

/// Case 134. A call that always asks for itself again lets main go on, and is refused in the end.
#[test]
fn a_call_that_asks_for_itself_starves_nobody() {
    for seed in 0..5 {
        let rounds = Arc::new(AtomicUsize::new(0));
        let (told, hears) = mpsc::channel();
        let main = async {
            again(&RunHandle::current(), &rounds, &told);
            for _ in 0..20 {
                checkpoint().await.unwrap();
            }
        };
        if seed == 0 {
            run_virtual(main)
        } else {
            run_seeded(seed, main)
        }
        assert!(rounds.load(SeqCst) >= 19, "only {} rounds", rounds.load(SeqCst));
        assert_eq!(hears.try_iter().collect::<Vec<_>>(), [RunFinished]);
    }
    // With the clock of the machine, 64 polls lie between two looks.
    let rounds = Arc::new(AtomicUsize::new(0));
    let (told, hears) = mpsc::channel();
    run(async {
        again(&RunHandle::current(), &rounds, &told);
        for _ in 0..20 * 64 {
            checkpoint().await.unwrap();
        }
    });
    assert!(rounds.load(SeqCst) >= 19, "only {} rounds", rounds.load(SeqCst));
    assert_eq!(hears.try_iter().collect::<Vec<_>>(), [RunFinished]);
}

/// Case 136. A thousand calls of one step are all made, in order.
#[test]
fn a_thousand_calls_of_one_step_are_all_made() {
    let log = Log::default();
    run(async {
        let (handle, waker) = (RunHandle::current(), waker().await);
        for n in 0..1000 {
            handle.call_soon(log.call(n)).unwrap();
        }
        // The last one wakes main, and nothing else does.
        handle.call_soon(move || waker.wake()).unwrap();
        until(|| log.len() == 1000).await;
    });
    assert_eq!(log.take(), Vec::from_iter(0..1000));
}

#[test]
fn calls_of_many_threads_wake_a_sleeping_run_and_keep_the_order_of_each() {
    const THREADS: u32 = 4;
    const EACH: u32 = 500;
    let log = Log::default();
    run(async {
        let (handle, waker) = (RunHandle::current(), waker().await);
        let asks = |t| {
            let (handle, log, waker) = (handle.clone(), log.clone(), waker.clone());
            move || {
                for n in t * EACH..(t + 1) * EACH {
                    let (call, waker) = (log.call(n), waker.clone());
                    handle.call_soon(move || (call(), waker.wake()).1).unwrap();
                }
            }
        };
        let threads: Vec<_> = (0..THREADS).map(|t| thread::spawn(asks(t))).collect();
        until(|| log.len() == (THREADS * EACH) as usize).await;
        threads.into_iter().for_each(|t| t.join().unwrap());
    });
    let made = log.take();
    for t in 0..THREADS {
        let of_one = made.iter().copied().filter(|n| n / EACH == t);
        assert!(of_one.eq(t * EACH..(t + 1) * EACH), "the calls of thread {t} are all there, in order");
    }
}

#[test]
fn one_call_at_a_time_reaches_a_run_that_waits_for_nothing_else() {
    let log = Log::default();
    run(async {
        let (handle, waker) = (RunHandle::current(), waker().await);
        for n in 0..200 {
            let (handle, call, waker) = (handle.clone(), log.call(n), waker.clone());
            let other = thread::spawn(move || handle.call_soon(move || (call(), waker.wake()).1));
            until(|| log.len() == n as usize + 1).await;
            other.join().unwrap().unwrap();
        }
    });
}

// ---- where a call runs -----------------------------------------------------------------------------------

static WHO: TaskLocal<u32> = TaskLocal::new();

#[test]
fn a_call_runs_on_the_loops_thread_in_no_task_and_with_no_tasks_values() {
    let seen: Arc<OnceLock<_>> = Arc::default();
    let here = thread::current().id();
    run(WHO.with_value(7, async {
        let (sets, handle, waker) = (Arc::clone(&seen), RunHandle::current(), waker().await);
        let looks = move || {
            let nowhere = current_task().is_none() && WHO.get().is_none() && check().is_ok();
            sets.set((thread::current().id(), nowhere)).unwrap();
            waker.wake();
        };
        thread::spawn(move || handle.call_soon(looks)).join().unwrap().unwrap();
        until(|| seen.get().is_some()).await;
    }));
    assert_eq!(seen.get(), Some(&(here, true)));
}

#[test]
fn a_call_that_panics_cancels_main_and_comes_out_after_the_others_were_made() {
    let (log, why) = (Log::default(), RefCell::new(None));
    let r = catch_unwind(AssertUnwindSafe(|| {
        run(async {
            let handle = RunHandle::current();
            handle.call_soon(|| panic!("P1")).unwrap();
            handle.call_soon(log.call(1)).unwrap();
            handle.call_soon(|| panic!("P2")).unwrap();
            let c = sleep_forever().await.unwrap_err();
            *why.borrow_mut() = Some(c.reason().clone());
            handle.call_soon(log.call(2)).unwrap();
        })
    }));
    assert_eq!((message(r.unwrap_err()), log.take()), ("P1".into(), vec![1, 2]));
    assert!(matches!(why.take(), Some(Reason::Shutdown)));
    run(async { checkpoint().await.unwrap() });
}

/// Cancelling main wakes whoever waits in it, and a waker of somebody else's may panic: no reason to forget a call.
#[test]
fn a_waker_that_panics_while_main_is_cancelled_loses_no_call() {
    struct Panics;
    impl Wake for Panics {
        fn wake(self: Arc<Self>) {
            panic!("P2");
        }
    }
    let log = Log::default();
    let r = catch_unwind(AssertUnwindSafe(|| {
        run(async {
            let mut waits = Box::pin(sleep_forever());
            let waker = Waker::from(Arc::new(Panics));
            assert!(waits.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
            let handle = RunHandle::current();
            handle.call_soon(|| panic!("P1")).unwrap();
            handle.call_soon(log.call(1)).unwrap();
            let _ = sleep_forever().await.unwrap_err();
            handle.call_soon(log.call(2)).unwrap();
        })
    }));
    assert_eq!((message(r.unwrap_err()), log.take()), ("P1".into(), vec![1, 2]));
    run(async { checkpoint().await.unwrap() });
}

#[test]
fn the_panic_of_a_call_is_not_the_next_runs() {
    let r = catch_unwind(AssertUnwindSafe(|| {
        run(async {
            RunHandle::current().call_soon(|| panic!("P1")).unwrap();
            panic!("P2");
        })
    }));
    assert_eq!(message(r.unwrap_err()), "P2");
    run(async { checkpoint().await.unwrap() });
}

#[test]
fn the_last_calls_may_start_tasks_of_the_system() {
    let log = Log::default();
    run(async {
        let ends = log.call(1);
        RunHandle::current()
            .call_soon(move || {
                spawn_system(async move {
                    let c: Cancelled = sleep_forever().await.unwrap_err();
                    assert!(matches!(c.reason(), Reason::Shutdown));
                    ends();
                });
            })
            .unwrap();
    });
    assert_eq!(log.take(), [1]);
}
