//! Promise: a thread can have things done in the loop, in the task that waits for it, and hears when nobody does any more.
//!
//! ```text
//!   worker: host.call(f), host.call_async(f) ─► the caller's task, scope and values ─► value │ panic │ CallerGone
//!   any thread: handle.call(f), handle.call_async(f) ─► the loop │ a task of the system ─► value │ panic │ RunFinished
//! ```
//!
//! Rules: `Case n.` refers to the list of executor cases; `conformance.tsv` says where each is tested.

#[path = "support/by_hand.rs"]
mod by_hand;
#[path = "support/orders.rs"]
mod orders;

use by_hand::{message, poll_once};
use orders::in_every_order;
use pleach_executor::low_level::spawn_system;
use pleach_executor::threads::{CallError, Host, ThreadLimit, ToThread};
use pleach_executor::{
    CancelScope, Cancelled, Reason, RunFinished, RunHandle, check, checkpoint, current_task, move_on_after,
    nursery, run, shielded, sleep, sleep_forever, to_thread,
};
use std::cell::Cell;
use std::io;
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

// ---- values ----------------------------------------------------------------------------------------------

#[test]
fn what_a_thread_asks_for_is_done_in_the_task_that_waits_for_it() {
    in_every_order(async || {
        let here = thread::current().id();
        let seen = ToThread::new()
            .run(|host| {
                let look = || (current_task(), thread::current().id());
                let called = host.call(look).unwrap();
                let awaited = host
                    .call_async(async move || {
                        checkpoint().await.unwrap();
                        look()
                    })
                    .unwrap();
                [called, awaited]
            })
            .await
            .unwrap();
        assert_eq!(seen, [(current_task(), here); 2]);
        let nowhere = ToThread::new()
            .abandonable()
            .run(|host| host.call_async(async || current_task()).unwrap())
            .await
            .unwrap();
        assert!(nowhere.is_some() && nowhere != current_task(), "a task of the system");
    });
}

#[test]
fn a_panic_of_what_a_thread_asked_for_continues_in_the_thread() {
    in_every_order(async || {
        for how in [ToThread::new(), ToThread::new().abandonable()] {
            let heard = how
                .run(|host| {
                    let panics = || -> u8 { panic!("P") };
                    let ways: [&dyn Fn() -> u8; 4] = [
                        &|| host.call(panics).unwrap(),
                        &|| host.call_async(async move || (checkpoint().await.unwrap(), panics()).1).unwrap(),
                        &|| host.run_handle().call(panics).unwrap(),
                        &|| host.run_handle().call_async(async move || panics()).unwrap(),
                    ];
                    ways.map(|way| message(catch_unwind(AssertUnwindSafe(way)).unwrap_err()))
                })
                .await
                .unwrap();
            assert_eq!(heard, ["P"; 4]);
        }
        // The run has nothing to do with it.
        checkpoint().await.unwrap();
    });
}

#[test]
fn threads_of_the_function_may_ask_at_the_same_time() {
    in_every_order(async || {
        let all = ToThread::new()
            .run(|host| {
                let (sent, comes) = mpsc::channel();
                thread::scope(|s| {
                    // One waits in the loop for what only another one brings there.
                    let first = s.spawn(move || {
                        host.call_async(async move || {
                            loop {
                                match comes.try_recv() {
                                    Ok(n) => return n,
                                    Err(_) => checkpoint().await.unwrap(),
                                }
                            }
                        })
                    });
                    let second = s.spawn(move || host.call(move || sent.send(7).unwrap()));
                    (first.join().unwrap(), second.join().unwrap())
                })
            })
            .await
            .unwrap();
        assert_eq!(all, (Ok(7), Ok(())));
    });
}

/// Case 217. What a thread asks for may call a thread itself, which is another one.
#[test]
fn a_call_inside_a_call_uses_another_thread() {
    in_every_order(async || {
        let me = || thread::current().id();
        let (outer, inner) = ToThread::new()
            .run(move |host| (me(), host.call_async(async move || to_thread(me).await.unwrap()).unwrap()))
            .await
            .unwrap();
        assert!(outer != inner && ![outer, inner].contains(&me()));
    });
}

// ---- cancellation ----------------------------------------------------------------------------------------

/// Runs `f` in a thread, in a scope that it can cancel through [`cancel`]; what the scope makes of it.
async fn in_a_scope<T: Send + 'static>(
    f: impl FnOnce(&Host, pleach_executor::RemoteScope) -> Result<T, Cancelled> + Send + 'static,
) -> Option<T> {
    let r: Result<Option<T>, io::Error> = CancelScope::new()
        .run(async |s| {
            let remote = s.handle().remote();
            Ok(ToThread::new().run(move |host| f(host, remote)).await??)
        })
        .await;
    r.unwrap()
}

/// Case 218. What needs no checkpoint succeeds although the scope was cancelled, and the call returns as ever.
#[test]
fn a_cancelled_caller_still_does_what_its_thread_asks_for() {
    in_every_order(async || {
        let came = in_a_scope(|host, scope| {
            scope.cancel().unwrap();
            let seen = host.call(|| check().is_err()).unwrap();
            Ok((seen, host.call(|| 1), host.call_async(async || 2)))
        })
        .await;
        assert_eq!(came, Some((true, Ok(1), Ok(2))), "and the scope has absorbed nothing");
    });
}

/// Case 220. The checkpoint of what a thread asks for fails once the caller is cancelled, and that reaches the scope.
#[test]
fn a_cancel_travels_through_the_thread_to_the_scope() {
    in_every_order(async || {
        let came = in_a_scope(|host, scope| {
            let asked = async move || {
                scope.cancel().unwrap();
                sleep_forever().await
            };
            host.call_async(asked).unwrap()?;
            Ok(())
        })
        .await;
        assert_eq!(came, None);
    });
}

/// Case 221. The thread hears that its caller is cancelled, and for ever; handed back, that reaches the scope.
#[test]
fn a_thread_can_ask_whether_its_caller_is_cancelled() {
    in_every_order(async || {
        let came = in_a_scope(|host, scope| {
            host.check_cancelled().expect("not yet");
            scope.cancel().unwrap();
            // It is cancelled when a call that was asked for later is done.
            host.call(|| ()).unwrap();
            let again = host.check_cancelled().unwrap_err();
            assert!(matches!(again.reason(), Reason::Requested { .. }));
            host.check_cancelled()
        })
        .await;
        assert_eq!(came, None);
        let came = in_a_scope(|host, _| {
            host.call(|| ()).unwrap();
            host.check_cancelled()
        })
        .await;
        assert_eq!(came, Some(()), "without a cancellation it never fails");
    });
}

#[test]
fn a_shield_that_is_raised_later_takes_nothing_back() {
    in_every_order(async || {
        let outer = CancelScope::new();
        let inner_passes: Result<Option<()>, io::Error> = outer
            .run(async |outer| {
                let cancels = outer.handle().remote();
                let inner = CancelScope::new();
                let shields = inner.handle();
                let inside = inner
                    .run(async |_| {
                        let (told, hears) = mpsc::channel::<()>();
                        let mut call = pin!(ToThread::new().run(move |host| {
                            cancels.cancel().unwrap();
                            host.call(|| ()).unwrap();
                            hears.recv().unwrap();
                            host.check_cancelled().is_err()
                        }));
                        while check().is_ok() {
                            assert!(poll_once(call.as_mut()).await.is_pending());
                            pleach_executor::yield_now().await;
                        }
                        assert!(poll_once(call.as_mut()).await.is_pending());
                        shields.set_shield(true);
                        assert!(check().is_ok());
                        told.send(()).unwrap();
                        assert!(call.await?, "it was cancelled once");
                        Ok::<_, io::Error>(())
                    })
                    .await?;
                assert!(inside.is_some());
                Ok(())
            })
            .await;
        assert!(inner_passes.unwrap().is_some());
    });
}

/// Whoever is dropped leaves its thread with an error, and not waiting.
#[test]
fn a_thread_whose_caller_was_dropped_is_told_so() {
    in_every_order(async || {
        let (told, hears) = mpsc::channel();
        let (asks, asked) = mpsc::channel::<()>();
        {
            let mut call = pin!(ToThread::new().run(move |host| {
                let during = host.call_async(async move || {
                    asks.send(()).unwrap();
                    sleep_forever().await.map(|_| ())
                });
                let after = host.call(|| unreachable!());
                told.send((during.map(|_| ()), after, host.check_cancelled().is_err())).unwrap();
            }));
            while asked.try_recv().is_err() {
                assert!(poll_once(call.as_mut()).await.is_pending());
                pleach_executor::yield_now().await;
            }
        }
        // Blocks the loop: nothing of it is needed any more.
        assert_eq!(hears.recv().unwrap(), (Err(CallError::CallerGone), Err(CallError::CallerGone), true));
    });
}

#[test]
fn an_abandoned_thread_can_ask_the_loop_on() {
    in_every_order(async || {
        let (goes, waits) = mpsc::channel::<()>();
        let (told, hears) = mpsc::channel();
        let r: Result<Option<()>, io::Error> = CancelScope::new()
            .run(async |s| {
                let mut call = pin!(ToThread::new().abandonable().run(move |host| {
                    waits.recv().unwrap();
                    told.send((
                        host.check_cancelled().is_err(),
                        host.call_async(async || checkpoint().await.is_ok()),
                    ))
                    .unwrap();
                }));
                assert!(poll_once(call.as_mut()).await.is_pending());
                s.cancel();
                call.await?;
                Ok(())
            })
            .await;
        assert_eq!(r.unwrap(), None);
        goes.send(()).unwrap();
        let heard = loop {
            match hears.try_recv() {
                Ok(heard) => break heard,
                Err(_) => checkpoint().await.unwrap(),
            }
        };
        assert_eq!(heard, (true, Ok(true)));
    });
}

/// Case 224. Tasks that do nothing but go to a thread and back end when their time is up.
#[test]
fn going_there_and_back_for_ever_can_be_stopped() {
    run(async {
        let r: Result<Option<()>, io::Error> = move_on_after(Duration::from_millis(100), async |_| {
            let back_and_forth = async || loop {
                let slept = ToThread::new().run(|host| host.call_async(async || sleep(Duration::ZERO).await));
                slept.await?.unwrap()?;
            };
            pleach_executor::In::<io::Error>::nursery(async |n| {
                for _ in 0..4 {
                    n.spawn(back_and_forth());
                }
                Ok(())
            })
            .await
        })
        .await;
        assert_eq!(r.unwrap(), None);
    });
}

// ---- from any thread -------------------------------------------------------------------------------------

/// Case 214. The loop's own thread would wait for itself: it is refused.
#[test]
fn the_loops_own_thread_is_refused() {
    run(async {
        let handle = RunHandle::current();
        let sync = catch_unwind(AssertUnwindSafe(|| handle.call(|| ())));
        let later = catch_unwind(AssertUnwindSafe(|| handle.call_async(async || ())));
        for refused in [sync.map(|_| ()), later.map(|_| ())] {
            assert!(message(refused.unwrap_err()).contains("this thread runs the loop"));
        }
    });
}

/// Case 215. A thread that waits for a task of the run hears when main has returned.
#[test]
fn a_thread_that_waits_hears_of_the_end_of_main() {
    let waits = run(async {
        let handle = RunHandle::current();
        let (begun, begins) = mpsc::channel();
        let waits = thread::spawn(move || {
            handle.call_async(async move || {
                begun.send(()).unwrap();
                sleep_forever().await.map(|_| ())
            })
        });
        while begins.try_recv().is_err() {
            checkpoint().await.unwrap();
        }
        waits
    });
    let c = waits.join().unwrap().expect("it was accepted, and ended in order").unwrap_err();
    assert!(matches!(c.reason(), Reason::Shutdown));
}

#[test]
fn a_thread_that_waits_hears_of_a_main_that_panics() {
    let (begun, begins) = mpsc::channel();
    let mut waits = None;
    let r = catch_unwind(AssertUnwindSafe(|| {
        run(async {
            let handle = RunHandle::current();
            waits = Some(thread::spawn(move || {
                handle.call_async(async move || {
                    begun.send(()).unwrap();
                    sleep_forever().await.map(|_| ())
                })
            }));
            while begins.try_recv().is_err() {
                checkpoint().await.unwrap();
            }
            panic!("P");
        })
    }));
    assert_eq!(message(r.unwrap_err()), "P");
    assert!(matches!(waits.unwrap().join().unwrap(), Err(RunFinished)));
}

/// Case X23. Late in the run a caller still does what its thread asks for; after the run nobody does.
#[test]
fn while_a_run_ends_its_callers_still_serve_their_threads() {
    let (told, hears) = mpsc::channel();
    let handle = run(async {
        spawn_system(async move {
            assert!(sleep_forever().await.is_err(), "main has ended");
            let r: Result<(), Cancelled> = pleach_executor::shielded(async |_| {
                let served = ToThread::new().run(|host| (host.call(|| 1), host.run_handle().call(|| 2)));
                told.send(served.await.unwrap()).unwrap();
                Ok(())
            })
            .await;
            r.unwrap();
        });
        checkpoint().await.unwrap();
        RunHandle::current()
    });
    assert_eq!(hears.recv().unwrap(), (Ok(1), Ok(2)));
    let late = thread::spawn(move || (handle.call(|| ()), handle.call_async(async || ())));
    assert_eq!(late.join().unwrap(), (Err(RunFinished), Err(RunFinished)));
}

// ---- scopes ----------------------------------------------------------------------------------------------

#[test]
fn a_scope_is_cancelled_from_another_thread() {
    run(async {
        let (late, r) = {
            let scope = CancelScope::new();
            let remote = scope.handle().remote();
            let late = remote.clone();
            let r: Result<Option<()>, Cancelled> = scope
                .run(async |s| {
                    let other = thread::spawn(move || remote.cancel());
                    let c = sleep_forever().await.unwrap_err();
                    other.join().unwrap().unwrap();
                    assert!(matches!(c.reason(), Reason::Requested { by: None }) && s.cancel_called());
                    Err(c)
                })
                .await;
            (late, r)
        };
        assert!(matches!(r, Ok(None)));
        late.cancel().expect("the run is there, the scope is not: nothing happens");
        let r: Result<(), Cancelled> = nursery(async |_| checkpoint().await).await;
        r.unwrap();
    });
    let remote = run(async { CancelScope::new().handle().remote() });
    assert_eq!(remote.cancel(), Err(RunFinished));
}

/// The line is over when the last calls are made: a task that one of them starts still hears of its threads, and of each in
/// its turn.
#[test]
fn a_task_that_the_last_call_starts_can_use_threads() {
    thread_local! { static SUM: Cell<u32> = const { Cell::new(0) }; }
    run(async {
        let last = || {
            spawn_system(async {
                let one = ThreadLimit::new(NonZeroUsize::MIN);
                let adds = shielded(async |_| {
                    for _ in 0..3 {
                        let sum = ToThread::new().limit(&one).run(|host| host.call(|| 3).unwrap() + 4);
                        SUM.set(SUM.get() + sum.await.unwrap());
                    }
                    Ok::<_, Cancelled>(())
                });
                adds.await.unwrap();
            });
        };
        RunHandle::current().call_soon(last).unwrap();
    });
    assert_eq!(SUM.get(), 21);
}
