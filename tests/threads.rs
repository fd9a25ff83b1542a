//! Promise: a function that blocks runs in a thread; its value, error or panic comes back, and no thread is left that nobody abandoned.
//!
//! ```text
//!   to_thread(f).await ─ limit ─► worker: f() ─► value │ panic ─► the caller
//!           └ cancelled: waited for all the same │ abandonable: left alone
//! ```
//!
//! Rules: `Case n.` refers to the list of executor cases; `conformance.tsv` says where each is tested. Threads wait at gates,
//! so that their orders are made and not hoped for; the virtual clock stands still meanwhile.

#[path = "support/by_hand.rs"]
mod by_hand;
#[path = "support/orders.rs"]
mod orders;

use by_hand::{message, poll_once, settle};
use futures_util::{FutureExt, future::join_all};
use orders::in_every_order;
use pleach_executor::low_level::retire_threads;
use pleach_executor::testing::{run_virtual, wait_until_idle};
use pleach_executor::threads::{
    ThreadError, ThreadLimit, ToThread, at_work, default_limit, resolve, wait_for_all,
};
use pleach_executor::{
    CancelScope, Cancelled, Reason, TaskLocal, check, checkpoint, move_on_after, now, nursery, run, shielded,
    sleep, to_thread,
};
use std::cell::Cell;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, ThreadId};
use std::time::Duration;

const S: Duration = Duration::from_secs(1);

/// Where threads wait until it is opened; counts who has come.
#[derive(Clone, Default)]
struct Gate(Arc<(Mutex<(usize, bool)>, Condvar)>);

impl Gate {
    fn pass(&self) {
        let (state, changed) = &*self.0;
        let mut state = state.lock().unwrap();
        state.0 += 1;
        changed.notify_all();
        drop(changed.wait_while(state, |(_, open)| !*open).unwrap());
    }

    fn open(&self) {
        let (state, changed) = &*self.0;
        state.lock().unwrap().1 = true;
        changed.notify_all();
    }

    /// Holds the loop, as no program should, until so many have come.
    fn wait_for(&self, n: usize) {
        let (state, changed) = &*self.0;
        drop(changed.wait_while(state.lock().unwrap(), |(came, _)| *came < n).unwrap());
    }
}

/// Opens a gate when it goes, so that a failing test does not hang.
struct OpensAtLast<'a>(&'a Gate);

impl Drop for OpensAtLast<'_> {
    fn drop(&mut self) {
        self.0.open();
    }
}

fn here() -> ThreadId {
    thread::current().id()
}

// ---- what comes back -------------------------------------------------------------------------------------

/// Case 206. The function runs on another thread; its value and its error come back as they are.
#[test]
fn a_function_runs_in_a_thread_and_its_value_or_error_comes_back() {
    in_every_order(async || {
        let witness = Arc::new(7);
        let theirs = Arc::clone(&witness);
        let (back, there) = to_thread(move || (theirs, here())).await.unwrap();
        assert!(Arc::ptr_eq(&back, &witness) && there != here());
        drop(back);
        assert_eq!(Arc::strong_count(&witness), 1, "nothing of it is kept");
        let error = to_thread(|| Err::<(), _>(Box::new(8))).await.unwrap();
        assert_eq!(error, Err(Box::new(8)));
    });
}

#[test]
fn a_panic_of_the_function_continues_in_the_caller() {
    in_every_order(async || {
        let r = AssertUnwindSafe(to_thread(|| -> u8 { panic!("P") })).catch_unwind().await;
        assert_eq!(message(r.unwrap_err()), "P");
        assert_eq!(to_thread(|| 1).await.unwrap(), 1, "the run goes on, and so does its thread");
    });
}

#[test]
fn task_local_values_stay_with_the_loop() {
    static WHO: TaskLocal<u32> = TaskLocal::new();
    in_every_order(async || {
        let body = async {
            let who = WHO.get().as_deref().copied();
            let ask = move |host: &pleach_executor::threads::Host| {
                let seen_by_host = host.call(|| WHO.get().as_deref().copied()).unwrap();
                (WHO.get().is_some(), who, seen_by_host)
            };
            ToThread::new().run(ask).await.unwrap()
        };
        assert_eq!(WHO.with_value(7, body).await, (false, Some(7), Some(7)));
    });
}

// ---- cancellation ----------------------------------------------------------------------------------------

/// Case 208. A call that is not to be abandoned is waited for, whatever is cancelled.
#[test]
fn a_cancelled_call_is_waited_for() {
    in_every_order(async || {
        let (gate, inside) = (Gate::default(), Cell::new(true));
        let _opens = OpensAtLast(&gate);
        let scope = CancelScope::new();
        let handle = scope.handle();
        let r: Result<(), Cancelled> = nursery(async |n| {
            n.spawn(async {
                let there = gate.clone();
                let r: Result<Option<u8>, io::Error> = scope
                    .run(async |_| {
                        let value = to_thread(move || (there.pass(), 7).1).await?;
                        assert!(check().is_err(), "and the next checkpoint tells");
                        Ok(value)
                    })
                    .await;
                inside.set(false);
                assert_eq!(r.unwrap(), Some(7), "the value is given out");
                Ok(())
            });
            wait_until_idle().await?;
            gate.wait_for(1);
            handle.cancel();
            for _ in 0..10 {
                shielded(async |_| checkpoint().await).await?;
            }
            assert!(inside.get());
            gate.open();
            Ok(())
        })
        .await;
        r.unwrap();
        assert!(!inside.get());
    });
}

/// Case 209. In a cancelled scope a call fails on entry, and the function is not called.
#[test]
fn in_a_cancelled_scope_the_function_is_not_called() {
    for how in [ToThread::new(), ToThread::new().abandonable()] {
        in_every_order(async || {
            let r: Result<Option<()>, io::Error> = CancelScope::new()
                .run(async |s| {
                    s.cancel();
                    how.clone().run(|_| unreachable!()).await?;
                    Ok(())
                })
                .await;
            assert_eq!(r.unwrap(), None);
        });
    }
}

#[test]
fn an_abandoned_call_is_left_at_once_and_its_value_is_dropped_in_its_thread() {
    struct Says(Arc<Mutex<Option<ThreadId>>>);
    impl Drop for Says {
        fn drop(&mut self) {
            *self.0.lock().unwrap() = Some(here());
        }
    }
    run(async {
        let (gate, dropped) = (Gate::default(), Arc::new(Mutex::new(None)));
        let _opens = OpensAtLast(&gate);
        let limit = ThreadLimit::new(1.try_into().unwrap());
        let (there, says) = (gate.clone(), Says(Arc::clone(&dropped)));
        let r: Result<Option<()>, io::Error> = CancelScope::new()
            .run(async |s| {
                let call = ToThread::new().abandonable().limit(&limit).run(move |_| {
                    there.pass();
                    says
                });
                let mut call = pin!(call);
                settle(call.as_mut()).await;
                gate.wait_for(1);
                s.cancel();
                let e = call.await.map(|_| ()).unwrap_err();
                assert!(
                    matches!(&e, ThreadError::Cancelled(c) if matches!(c.reason(), Reason::Requested { .. }))
                );
                Err(e.into())
            })
            .await;
        assert_eq!(r.unwrap(), None);
        assert_eq!((limit.used(), *dropped.lock().unwrap()), (1, None), "it runs on, and counts");
        gate.open();
        // The next one has its turn when the first is done.
        let second = ToThread::new().limit(&limit).run(|_| here()).await.unwrap();
        assert_eq!(limit.used(), 0);
        assert_eq!(*dropped.lock().unwrap(), Some(second), "dropped there, before the thread was used again");
    });
}

#[test]
fn a_value_that_is_there_wins_over_a_cancellation() {
    in_every_order(async || {
        let r: Result<Option<u8>, io::Error> = CancelScope::new()
            .run(async |s| {
                let gate = Gate::default();
                let there = gate.clone();
                let mut call = pin!(ToThread::new().abandonable().run(move |_| (there.pass(), 7).1));
                assert!(poll_once(call.as_mut()).await.is_pending());
                gate.open();
                // Its end has come into the loop, and it was not polled since.
                for _ in 0..1000 {
                    to_thread(|| ()).await?;
                    if retire_threads().is_ok() {
                        break;
                    }
                }
                to_thread(|| ()).await?;
                s.cancel();
                Ok(call.await?)
            })
            .await;
        assert_eq!(r.unwrap(), Some(7));
    });
}

// ---- the limit -------------------------------------------------------------------------------------------

/// The most at work at a time, and how many were called.
#[derive(Clone, Default)]
struct Count(Arc<[AtomicUsize; 3]>);

impl Count {
    fn work(&self, gate: &Gate) {
        let [now, most, all] = &*self.0;
        most.fetch_max(now.fetch_add(1, SeqCst) + 1, SeqCst);
        all.fetch_add(1, SeqCst);
        gate.pass();
        now.fetch_sub(1, SeqCst);
    }

    fn most_and_all(&self) -> (usize, usize) {
        (self.0[1].load(SeqCst), self.0[2].load(SeqCst))
    }
}

/// Case 211. No more than the limit are at work at a time, abandoned ones included, and in the end all were.
#[test]
fn no_more_threads_than_the_limit_are_at_work() {
    const MAX: usize = 5;
    let private = || ToThread::new().limit(&ThreadLimit::new(MAX.try_into().unwrap()));
    for (max, how) in [(MAX, private as fn() -> ToThread), (40, ToThread::new)] {
        for abandon in [false, true] {
            run(async {
                let (gate, count, how) = (Gate::default(), Count::default(), how());
                let _opens = OpensAtLast(&gate);
                let begin = async |how: &ToThread| {
                    let (count, gate) = (count.clone(), gate.clone());
                    let mut call = Box::pin(how.clone().run(move |_| count.work(&gate)));
                    assert!(poll_once(call.as_mut()).await.is_pending());
                    // One task begins them all, and its budget is used up before the limit.
                    checkpoint().await.unwrap();
                    [call]
                };
                if abandon {
                    for _ in 0..max {
                        // Dropped here: the thread stays at the gate, and keeps its permit.
                        drop(begin(&how.clone().abandonable()).await);
                    }
                }
                let mut calls = Vec::new();
                for _ in 0..2 * max {
                    calls.extend(begin(&how).await);
                }
                gate.wait_for(max);
                checkpoint().await.unwrap();
                assert_eq!(count.most_and_all(), (max, max));
                gate.open();
                assert!(join_all(calls).await.into_iter().all(|r| r.is_ok()));
                let all = if abandon { 3 * max } else { 2 * max };
                assert_eq!(count.most_and_all(), (max, all));
            });
        }
    }
}

/// Case 212. A limit of one's own counts a call once, from its start to its end.
#[test]
fn a_limit_counts_a_call_once() {
    in_every_order(async || {
        let limit = ThreadLimit::new(3.try_into().unwrap());
        let gate = Gate::default();
        let _opens = OpensAtLast(&gate);
        let there = gate.clone();
        let mut call = pin!(ToThread::new().limit(&limit).run(move |_| there.pass()));
        assert_eq!(limit.used(), 0, "nothing happens before the first poll");
        settle(call.as_mut()).await;
        assert_eq!(limit.used(), 1);
        gate.open();
        call.await.unwrap();
        assert_eq!(limit.used(), 0);
    });
}

/// A limit that rises lets those in line go on, one after the other; one that falls stops nobody.
#[test]
fn a_limit_can_be_changed_while_calls_run_and_wait() {
    in_every_order(async || {
        let limit = ThreadLimit::new(1.try_into().unwrap());
        let gates = [(); 4].map(|()| Gate::default());
        let _open = gates.each_ref().map(OpensAtLast);
        let mut calls =
            gates.clone().map(|gate| Box::pin(ToThread::new().limit(&limit).run(move |_| gate.pass())));
        for call in &mut calls {
            settle(call.as_mut()).await;
        }
        assert_eq!((limit.total(), limit.used()), (1, 1));
        limit.set_total(3.try_into().unwrap());
        assert_eq!((limit.total(), limit.used()), (3, 3), "two of those in line have theirs");
        limit.set_total(1.try_into().unwrap());
        assert_eq!(limit.used(), 3, "nobody is stopped");
        let [first, second, third, mut fourth] = calls;
        gates[0].open();
        first.await.unwrap();
        assert_eq!(limit.used(), 2);
        gates[1].open();
        second.await.unwrap();
        settle(fourth.as_mut()).await;
        assert_eq!(limit.used(), 1, "the fourth waits: there is room for one, and the third has it");
        gates[2].open();
        third.await.unwrap();
        assert_eq!(limit.used(), 1, "now it is the fourth's");
        gates[3].open();
        fourth.await.unwrap();
        assert_eq!(limit.used(), 0);
    });
}

/// The limit of the run is one like any other.
#[test]
fn the_limit_of_a_run_can_be_changed_and_is_the_next_runs_no_more() {
    run_virtual(async {
        default_limit().set_total(1.try_into().unwrap());
        let gate = Gate::default();
        let _opens = OpensAtLast(&gate);
        let (there, called) = (gate.clone(), Cell::new(false));
        let mut first = pin!(to_thread(move || there.pass()));
        settle(first.as_mut()).await;
        let mut second = pin!(async {
            to_thread(|| ()).await.unwrap();
            called.set(true);
        });
        settle(second.as_mut()).await;
        assert_eq!((default_limit().used(), called.get()), (1, false));
        gate.open();
        first.await.unwrap();
        second.await;
        assert!(called.get());
    });
    run_virtual(async { assert_eq!(default_limit().total(), 40) });
}

#[test]
fn a_wait_for_a_permit_can_be_cancelled_or_dropped_in_every_window() {
    /// How far a waiting call is when it goes.
    #[derive(Clone, Copy, PartialEq)]
    enum Window {
        Unpolled,
        InLine,
        Granted,
    }
    for window in [Window::Unpolled, Window::InLine, Window::Granted] {
        for by_drop in [false, true] {
            in_every_order(async || {
                let limit = ThreadLimit::new(1.try_into().unwrap());
                let gate = Gate::default();
                let _opens = OpensAtLast(&gate);
                let there = gate.clone();
                let mut first = Box::pin(ToThread::new().limit(&limit).run(move |_| there.pass()));
                settle(first.as_mut()).await;
                let scope = CancelScope::new();
                let handle = scope.handle();
                let called = Arc::new(AtomicUsize::new(0));
                let mark = Arc::clone(&called);
                let second = ToThread::new().limit(&limit).run(move |_| mark.fetch_add(1, SeqCst));
                let mut second = Box::pin(scope.run(async |_| Ok::<_, io::Error>(second.await?)));
                if window != Window::Unpolled {
                    settle(second.as_mut()).await;
                }
                let mut third = Box::pin(ToThread::new().limit(&limit).run(|_| 3));
                settle(third.as_mut()).await;
                if window == Window::Granted {
                    gate.open();
                    first.as_mut().await.unwrap();
                    assert_eq!(limit.used(), 1, "it has gone on to the next in line");
                }
                if by_drop {
                    drop(second);
                } else {
                    handle.cancel();
                    let r = second.await.unwrap();
                    // A permit that was granted wins, and the call is made.
                    assert_eq!(r.is_some(), window == Window::Granted);
                }
                if window != Window::Granted {
                    gate.open();
                    first.await.unwrap();
                }
                assert_eq!(third.await.unwrap(), 3);
                let expected = usize::from(window == Window::Granted && !by_drop);
                assert_eq!((called.load(SeqCst), limit.used()), (expected, 0));
            });
        }
    }
}

/// Case X22. If the system refuses a thread the call fails with its error, and its permit is back.
#[test]
fn a_thread_that_cannot_be_started_is_an_error_and_keeps_no_permit() {
    let me = std::env::current_exe().unwrap();
    let test = "refused_threads_child";
    let child = Command::new(me)
        .args([test, "--exact", "--ignored", "--test-threads=1", "--nocapture"])
        // The stack that std asks for, and no system has.
        .env("RUST_MIN_STACK", (1_u64 << 46).to_string())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stdout).into_owned();
    assert!(child.status.success() && said.contains("1 passed"), "{said}{child:?}");
}

#[test]
#[ignore = "runs in a process of its own, where no thread can be started"]
fn refused_threads_child() {
    run(async {
        let limit = ThreadLimit::new(1.try_into().unwrap());
        for _ in 0..3 {
            let r = ToThread::new().limit(&limit).run(|_| unreachable!()).await;
            assert!(matches!(r, Err(ThreadError::NotStarted(_))), "{r:?}");
            assert_eq!(limit.used(), 0);
        }
    });
}

// ---- workers ---------------------------------------------------------------------------------------------

/// Case X25. The name of a call is its thread's while the function runs, and no longer.
#[test]
fn a_thread_has_the_name_of_its_call() {
    let comm = || std::fs::read_to_string("/proc/thread-self/comm").unwrap().trim_end().to_owned();
    run(async {
        let (named, first) = ToThread::new()
            .name("a name of more than 15 bytes")
            .run(move |_| (comm(), here()))
            .await
            .unwrap();
        assert_eq!(named, "a name of more ".trim_end());
        let (after, second) = to_thread(move || (comm(), here())).await.unwrap();
        assert_eq!(after, "pleach-worker");
        assert_eq!(first, second, "the same thread");
        let cut = ToThread::new().name("one\0two").run(move |_| comm()).await.unwrap();
        assert_eq!(cut, "one");
    });
}

/// Case X26. Whoever hears that a thread is done can use that very thread.
#[test]
fn one_call_after_the_other_uses_one_thread() {
    in_every_order(async || {
        let first = to_thread(here).await.unwrap();
        for _ in 0..5 {
            assert_eq!(to_thread(here).await.unwrap(), first);
        }
    });
}

/// Case X29. A destructor that panics in the thread is printed there, and the thread goes on.
#[test]
fn a_destructor_that_panics_in_the_thread_does_not_end_it() {
    struct Panics;
    impl Drop for Panics {
        fn drop(&mut self) {
            panic!("in a destructor, as it should");
        }
    }
    run(async {
        let limit = ThreadLimit::new(1.try_into().unwrap());
        let gate = Gate::default();
        let there = gate.clone();
        let id = to_thread(here).await.unwrap();
        {
            let mut call = pin!(ToThread::new().limit(&limit).run(move |_| (there.pass(), Panics)));
            assert!(poll_once(call.as_mut()).await.is_pending());
        }
        gate.open();
        assert_eq!(ToThread::new().limit(&limit).run(|_| here()).await.unwrap(), id);
    });
}

thread_local! {
    static AT_EXIT: std::cell::RefCell<Option<SaysWhenItGoes>> = const { std::cell::RefCell::new(None) };
}

/// In a thread's own memory: goes when that ends.
struct SaysWhenItGoes(Arc<AtomicUsize>);

impl Drop for SaysWhenItGoes {
    fn drop(&mut self) {
        self.0.fetch_add(1, SeqCst);
    }
}

/// A function that marks its thread: `ended` counts it when it ends.
fn mark(ended: &Arc<AtomicUsize>) -> impl FnOnce() + Send + 'static {
    let ended = Arc::clone(ended);
    move || AT_EXIT.with_borrow_mut(|slot| *slot = Some(SaysWhenItGoes(ended)))
}

#[test]
fn the_threads_of_a_run_end_with_it() {
    let ended = Arc::new(AtomicUsize::new(0));
    run(async {
        let gate = Gate::default();
        let one = |_| {
            let (mark, gate) = (mark(&ended), gate.clone());
            to_thread(move || (mark(), gate.pass()).1)
        };
        let mut three = pin!(join_all((0..3).map(one)));
        assert!(poll_once(three.as_mut()).await.is_pending());
        gate.wait_for(3);
        gate.open();
        three.await;
        assert_eq!(ended.load(SeqCst), 0, "they wait for more");
    });
    assert_eq!(ended.load(SeqCst), 3);
}

#[test]
fn an_abandoned_thread_may_outlive_its_run() {
    let (gate, came_out) = (Gate::default(), Arc::new(Gate::default()));
    let _opens = OpensAtLast(&gate);
    run(async {
        let (there, out) = (gate.clone(), OpensOnDrop(Arc::clone(&came_out)));
        let mut call = pin!(ToThread::new().abandonable().run(move |host| {
            there.pass();
            (host.run_handle().is_finished(), out)
        }));
        assert!(poll_once(call.as_mut()).await.is_pending());
        gate.wait_for(1);
    });
    gate.open();
    // Its value is dropped, and with that this goes on.
    came_out.pass();
}

struct OpensOnDrop(Arc<Gate>);

impl Drop for OpensOnDrop {
    fn drop(&mut self) {
        self.0.open();
    }
}

#[test]
fn threads_without_work_are_ended_before_a_fork_and_the_others_are_named() {
    assert_eq!(retire_threads(), Ok(()), "outside a run there are none");
    run(async {
        assert_eq!(retire_threads(), Ok(()), "nor in one that has called none");
        let (ended, gate) = (Arc::new(AtomicUsize::new(0)), Gate::default());
        let _opens = OpensAtLast(&gate);
        to_thread(mark(&ended)).await.unwrap();
        assert_eq!((retire_threads(), ended.load(SeqCst)), (Ok(()), 1));
        let there = gate.clone();
        let mut busy = pin!(ToThread::new().name("digging").run(move |_| there.pass()));
        assert!(poll_once(busy.as_mut()).await.is_pending());
        to_thread(mark(&ended)).await.unwrap();
        let names = retire_threads().unwrap_err().names;
        assert_eq!((names, ended.load(SeqCst)), (vec!["digging".to_owned()], 2), "the idle one is gone");
        gate.open();
        busy.await.unwrap();
        assert_eq!(retire_threads(), Ok(()));
        assert_eq!(to_thread(|| 1).await.unwrap(), 1, "and there are new ones when they are needed");
    });
}

#[test]
fn a_thread_whose_end_is_on_its_way_to_the_loop_can_be_retired() {
    run(async {
        for _ in 0..100 {
            let gate = Gate::default();
            let there = gate.clone();
            let mut call = pin!(to_thread(move || there.pass()));
            assert!(poll_once(call.as_mut()).await.is_pending());
            gate.wait_for(1);
            gate.open();
            // Sooner or later it has done its work; nothing of that has come into the loop yet.
            while retire_threads().is_err() {
                thread::yield_now();
            }
            call.await.unwrap();
        }
    });
}

// ---- time ------------------------------------------------------------------------------------------------

#[test]
fn the_virtual_clock_stands_still_while_a_thread_is_waited_for() {
    run_virtual(async {
        let (gate, start) = (Gate::default(), now());
        let there = gate.clone();
        let opener = thread::spawn(move || {
            there.wait_for(1);
            // Time enough for a loop that does not wait to let its clock jump.
            for _ in 0..1000 {
                thread::yield_now();
            }
            there.open();
        });
        let r: Result<Option<()>, io::Error> = move_on_after(3600 * S, async |_| {
            ToThread::new().abandonable().run(move |_| gate.pass()).await?;
            Ok(())
        })
        .await;
        assert_eq!((r.unwrap(), now()), (Some(()), start));
        opener.join().unwrap();
    });
}

#[test]
fn the_virtual_clock_goes_on_while_a_thread_waits_for_the_loop() {
    run_virtual(async {
        let start = now();
        for how in [ToThread::new(), ToThread::new().abandonable()] {
            how.run(|host| host.call_async(async || sleep(3600 * S).await).unwrap()).await.unwrap().unwrap();
        }
        let handle = pleach_executor::RunHandle::current();
        to_thread(move || handle.call_async(async || sleep(3600 * S).await).unwrap()).await.unwrap().unwrap();
        assert_eq!(now() - start, 3 * 3600 * S);
    });
}

#[test]
fn the_virtual_clock_stands_still_while_the_end_of_all_threads_is_waited_for() {
    run_virtual(async {
        let (gate, start) = (Gate::default(), now());
        abandon(&gate).await;
        let there = gate.clone();
        let opener = thread::spawn(move || {
            there.wait_for(1);
            // Time enough for a loop that does not wait to let its clock jump.
            for _ in 0..1000 {
                thread::yield_now();
            }
            there.open();
        });
        let r: Result<Option<()>, Cancelled> = move_on_after(3600 * S, async |_| wait_for_all().await).await;
        assert_eq!((r.unwrap(), now()), (Some(()), start));
        opener.join().unwrap();
    });
}

// ---- how many --------------------------------------------------------------------------------------------

/// A call that waits at a gate, and that nobody waits for any more.
async fn abandon(gate: &Gate) {
    let there = gate.clone();
    let mut call = pin!(ToThread::new().abandonable().run(move |_| there.pass()));
    assert!(poll_once(call.as_mut()).await.is_pending());
}

#[test]
fn threads_at_work_are_counted_until_the_loop_has_heard_of_their_end() {
    assert_eq!(at_work(), 0, "outside a run");
    run(async {
        assert_eq!(at_work(), 0);
        let gate = Gate::default();
        let _opens = OpensAtLast(&gate);
        abandon(&gate).await;
        let there = gate.clone();
        let mut kept = pin!(to_thread(move || there.pass()));
        assert!(poll_once(kept.as_mut()).await.is_pending());
        to_thread(|| ()).await.unwrap();
        assert_eq!(at_work(), 2, "an idle worker is not at work");
        gate.open();
        kept.await.unwrap();
        wait_for_all().await.unwrap();
        assert_eq!(at_work(), 0);
    });
}

#[test]
fn waiting_for_all_threads_waits_for_the_last_of_them() {
    run(async {
        let gates = [Gate::default(), Gate::default()];
        let (_first, _second) = (OpensAtLast(&gates[0]), OpensAtLast(&gates[1]));
        for gate in &gates {
            abandon(gate).await;
        }
        let (mut one, mut other) = (pin!(wait_for_all()), pin!(wait_for_all()));
        assert!(poll_once(one.as_mut()).await.is_pending());
        assert!(poll_once(other.as_mut()).await.is_pending());
        gates[0].open();
        while at_work() == 2 {
            checkpoint().await.unwrap();
        }
        assert!(poll_once(one.as_mut()).await.is_pending(), "one is left");
        gates[1].open();
        one.await.unwrap();
        other.await.unwrap();
        assert_eq!(at_work(), 0);
    });
}

#[test]
fn waiting_for_all_threads_is_a_checkpoint_and_ends_with_its_scope() {
    in_every_order(async || {
        let gate = Gate::default();
        let _opens = OpensAtLast(&gate);
        for some in [false, true] {
            if some {
                abandon(&gate).await;
            }
            let r: Result<Option<()>, Cancelled> = CancelScope::new()
                .run(async |s| {
                    let mut wait = pin!(wait_for_all());
                    if some {
                        assert!(poll_once(wait.as_mut()).await.is_pending());
                    }
                    s.cancel();
                    wait.await
                })
                .await;
            assert!(matches!(r, Ok(None)), "{some}");
        }
        gate.open();
        wait_for_all().await.unwrap();
    });
}

// ---- misuse and names ------------------------------------------------------------------------------------

#[test]
fn outside_a_run_a_call_is_refused() {
    let r = catch_unwind(AssertUnwindSafe(|| to_thread(|| ()).now_or_never()));
    assert!(message(r.unwrap_err()).contains("no run is active"));
}

#[test]
fn a_host_is_resolved_or_says_what_is_wrong() {
    run(async {
        let here = resolve("localhost", 7).await.unwrap();
        assert!(here.iter().all(|a| a.ip().is_loopback() && a.port() == 7) && !here.is_empty());
        assert_eq!(resolve("::1", 8).await.unwrap(), ["[::1]:8".parse().unwrap()]);
        assert!(resolve("no host has this name", 9).await.is_err());
        // What a worker answers is never there at the first poll.
        for address in ["127.0.0.1", "::1"] {
            assert!(poll_once(pin!(resolve(address, 8))).await.is_ready(), "{address} needs no worker");
        }
        let r: Result<Option<()>, io::Error> = CancelScope::new()
            .run(async |s| {
                let mut asked = pin!(resolve("localhost", 7));
                assert!(poll_once(asked.as_mut()).await.is_pending());
                s.cancel();
                asked.await.map(|_| ())
            })
            .await;
        assert!(r.is_ok(), "cancelled, or answered before that: {r:?}");
        let r: Result<Option<()>, io::Error> = CancelScope::new()
            .run(async |s| {
                s.cancel();
                resolve("::1", 8).await.map(|_| ())
            })
            .await;
        assert!(matches!(r, Ok(None)), "an address is a checkpoint too: {r:?}");
    });
}
