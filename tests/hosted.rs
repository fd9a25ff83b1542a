//! Promise: nurseries, scopes and deadlines hold in a run that lives inside another executor.
//!
//! ```text
//!   tokio, one thread, paused clock ─► hosted(OnTokio, case)      beside it: tokio's own tasks, timers, threads
//! ```
//!
//! Rules: the core at large, and what the seam itself adds at the end; `hosted_core.rs` has the core case by case.

#[path = "support/fault.rs"]
mod fault;
#[path = "support/on_tokio.rs"]
mod on_tokio;

use fault::{Fault, Run, shape};
use on_tokio::{OnTokio, on_tokio, under_tokio};
use pleach_executor::host::{Driver, hosted};
use pleach_executor::net::UnixStream;
use pleach_executor::sync::{Event, channel};
use pleach_executor::testing::wait_until_idle;
use pleach_executor::{
    CancelScope, Cancelled, Instant, Reason, ScopeHandle, Started, checked, checkpoint, current_task,
    fail_after, move_on_after, now, shielded, sleep, sleep_forever, stats, yield_now,
};
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;
use tokio::task::spawn_local;

const MS: Duration = Duration::from_millis(1);
/// Longer than anybody would wait for a test.
const AGES: Duration = Duration::from_secs(100_000);

#[test]
fn a_nursery_waits_for_borrowed_and_static_children() {
    let (a, b) = under_tokio(async {
        let words = [String::from("a"), String::from("bb")];
        let total = Cell::new(0);
        let flat = Rc::new(Cell::new(false));
        let r = Run::nursery(async |n| {
            for word in &words {
                let total = &total;
                n.spawn(async move {
                    sleep(7 * MS).await?;
                    total.set(total.get() + word.len());
                    Ok(())
                });
            }
            let flat = Rc::clone(&flat);
            n.spawn_static(async move {
                tokio::time::sleep(9 * MS).await;
                flat.set(true);
                Ok(())
            });
            Ok(())
        })
        .await;
        assert_eq!(shape(&r), "ok");
        (total.get(), flat.get())
    });
    assert_eq!((a, b), (3, true));
}

#[test]
fn a_failing_child_cancels_its_siblings_and_comes_out() {
    let shape = under_tokio(async {
        let cleaned = Cell::new(false);
        let r = Run::nursery(async |n| {
            n.spawn(async {
                let c = sleep_forever().await.unwrap_err();
                assert!(matches!(c.reason(), Reason::SiblingFailed));
                let said: Option<()> = CancelScope::new()
                    .shield()
                    .timeout(AGES)
                    .run(async |_| {
                        sleep(MS).await?;
                        cleaned.set(true);
                        Ok::<_, Fault>(())
                    })
                    .await?;
                assert!(said.is_some());
                Err(c.into())
            });
            n.spawn_static(async {
                checked(tokio::time::sleep(5 * MS)).await?;
                Err(Fault::Named("E"))
            });
            Ok(())
        })
        .await;
        assert!(cleaned.get(), "the sibling had its time");
        shape(&r)
    });
    assert_eq!(shape, "E");
}

#[test]
fn several_failures_come_out_together_and_a_panic_goes_on() {
    let together = under_tokio(async {
        let r = Run::nursery(async |n| {
            n.spawn(async { Err(Fault::Named("E1")) });
            n.spawn_static(async { Err(Fault::Named("E2")) });
            Ok(())
        });
        shape(&r.await)
    });
    assert_eq!(together, "{E1 E2}");
    let panicked = catch_unwind(|| {
        under_tokio(Run::nursery(async |n| {
            n.spawn(async { panic!("on purpose") });
            sleep_forever().await?;
            Ok(())
        }))
    });
    assert_eq!(panicked.unwrap_err().downcast_ref(), Some(&"on purpose"));
    assert_eq!(shape(&under_tokio(async { Ok::<_, Fault>(()) })), "ok", "and the thread is free again");
}

/// On a clock that stands still: to the millisecond, which is as exactly as tokio's timer counts.
#[test]
fn deadlines_come_due_by_the_hosts_clock() {
    under_tokio(async {
        let start = now();
        let moved: Result<Option<()>, Cancelled> =
            move_on_after(AGES, async |_| Err(sleep_forever().await.unwrap_err())).await;
        assert!(matches!(moved, Ok(None)));
        assert!((AGES..AGES + 2 * MS).contains(&(now() - start)), "{:?}", now() - start);
        let r = fail_after(3 * MS, async |_| {
            tokio::time::sleep(MS).await;
            sleep_forever().await?;
            Ok::<_, Fault>(())
        })
        .await;
        assert_eq!(shape(&r), "TooSlow");
        let start = now();
        for _ in 0..100 {
            sleep(MS).await.expect("nobody cancels");
        }
        assert!((100 * MS..202 * MS).contains(&(now() - start)), "{:?}", now() - start);
    });
}

#[test]
fn shields_levels_and_the_outermost_scope_work_as_ever() {
    under_tokio(async {
        let r: Result<Option<()>, Fault> = CancelScope::new()
            .run(async |outer| {
                let inner: Result<Option<()>, Fault> = CancelScope::new()
                    .run(async |inner| {
                        inner.cancel();
                        outer.cancel();
                        let kept = shielded(async |_| {
                            checkpoint().await?;
                            Ok::<_, Fault>(7)
                        });
                        assert_eq!(kept.await.expect("a shield"), 7);
                        assert!(checkpoint().await.is_err() && checkpoint().await.is_err(), "level");
                        Err(checkpoint().await.unwrap_err().into())
                    })
                    .await;
                assert_eq!(shape(&inner), "Cancelled", "the outermost absorbs");
                inner.map(|_| ())
            })
            .await;
        assert!(matches!(r, Ok(None)));
    });
}

#[test]
fn start_channels_and_events_work_as_ever() {
    under_tokio(async {
        let event = Event::new();
        let r = Run::nursery(async |n| {
            let tx = n
                .start(async |ready: Started<channel::Sender<u32>>| {
                    let (tx, rx) = channel::bounded(0);
                    ready.set(tx);
                    assert_eq!(rx.receive().await?, Ok(5));
                    event.set();
                    Ok(())
                })
                .await?;
            tx.send(5).await?.expect("it receives");
            event.wait().await?;
            Ok(())
        })
        .await;
        assert_eq!(shape(&r), "ok");
    });
}

/// Foreign combinators are the home of a host's code: a scope inside `select!` is cancelled where it waits.
#[test]
fn a_cancel_reaches_into_the_hosts_combinators() {
    under_tokio(async {
        let r: Result<Option<()>, Cancelled> = move_on_after(5 * MS, async |_| {
            let parked = pin!(sleep_forever());
            let ages = pin!(tokio::time::sleep(AGES));
            match futures_util::future::select(parked, ages).await {
                futures_util::future::Either::Left((c, _)) => Err(c.unwrap_err()),
                futures_util::future::Either::Right(_) => panic!("the deadline comes first"),
            }
        })
        .await;
        assert!(matches!(r, Ok(None)));
    });
}

/// What another thread wakes is woken, however long the host has been waiting for nothing else.
#[test]
fn another_thread_wakes_a_child() {
    under_tokio(async {
        let (tell, told) = tokio::sync::oneshot::channel();
        let r = Run::nursery(async |n| {
            n.spawn(async {
                assert_eq!(checked(told).await?, Ok(7));
                Ok(())
            });
            // Parked, whatever the order: the thread starts when the child has been polled.
            yield_now().await;
            yield_now().await;
            let thread = std::thread::spawn(move || tell.send(7));
            checked(tokio::task::yield_now()).await?;
            thread.join().expect("no panic").expect("somebody listens");
            Ok(())
        })
        .await;
        assert_eq!(shape(&r), "ok");
    });
}

/// Between two polls the host's other tasks may spawn, cancel, and move deadlines: the run hears of it at once.
#[test]
fn code_of_the_host_wakes_a_run_that_waits() {
    on_tokio(async {
        let outside: Rc<RefCell<Option<ScopeHandle>>> = Rc::default();
        let handle = Rc::new(RefCell::new(None));
        let (scope, nursery) = (Rc::clone(&outside), Rc::clone(&handle));
        let run = spawn_local(hosted(OnTokio::default(), async move {
            let ran = Rc::new(Cell::new(false));
            let r = Run::nursery(async |n| {
                nursery.replace(Some((n.handle(), Rc::clone(&ran))));
                let moved: Result<Option<()>, Fault> = CancelScope::new()
                    .run(async |s| {
                        scope.replace(Some(s.handle()));
                        sleep_forever().await?;
                        Ok(())
                    })
                    .await;
                assert!(matches!(moved, Ok(None)));
                Ok(())
            })
            .await;
            assert_eq!(shape(&r), "ok");
            ran.get()
        }));
        while outside.borrow().is_none() {
            tokio::task::yield_now().await;
        }
        // It waits for nothing at all by now: only what happens here can wake it.
        tokio::time::sleep(MS).await;
        assert_eq!(current_task(), None, "out here is no task of the run");
        let (handle, ran) = handle.take().expect("it is open");
        let child = async move {
            ran.set(true);
            Ok(())
        };
        handle.spawn(child).expect("it is open");
        tokio::time::sleep(MS).await;
        outside.take().expect("just seen").set_deadline(Some(Instant::from_nanos(0)));
        assert!(tokio::time::timeout(AGES, run).await.expect("no hang").expect("no panic"));
    });
}

/// A deadline that the host brings forward is kept, and one that it puts off as well.
#[test]
fn a_deadline_that_the_host_moves_is_kept() {
    for (first, then) in [(AGES, 5 * MS), (5 * MS, 50 * MS)] {
        on_tokio(async move {
            let outside: Rc<RefCell<Option<ScopeHandle>>> = Rc::default();
            let scope = Rc::clone(&outside);
            let start = OnTokio::now();
            let run = spawn_local(hosted(OnTokio::default(), async move {
                let r: Result<Option<()>, Fault> = CancelScope::new()
                    .timeout(first)
                    .run(async |s| {
                        scope.replace(Some(s.handle()));
                        sleep_forever().await?;
                        Ok(())
                    })
                    .await;
                assert!(matches!(r, Ok(None)));
                now()
            }));
            tokio::time::sleep(MS).await;
            outside.take().expect("it runs").set_deadline(Some(start + then));
            let end = run.await.expect("no panic");
            assert!((then..then + 3 * MS).contains(&(end - start)), "{:?}", end - start);
        });
    }
}

/// Tasks that never wait do not keep the host from its own: it is back after 64 polls, and asked to come again.
#[test]
fn a_spinning_run_lets_the_host_in() {
    let polls = Rc::new(Cell::new(0_u64));
    let counted = Rc::clone(&polls);
    let mut run = hosted(Bare, async move {
        let spin = async || {
            loop {
                counted.set(counted.get() + 1);
                yield_now().await;
            }
        };
        let r: Result<(), Cancelled> = pleach_executor::nursery(async |n| {
            for _ in 0..10 {
                n.spawn(spin());
            }
            Ok(())
        })
        .await;
        r
    });
    for turn in 1..=20 {
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(Arc::clone(&woken));
        assert!(std::pin::Pin::new(&mut run).poll(&mut Context::from_waker(&waker)).is_pending());
        assert!(polls.get() <= 64 * turn, "{} polls in {turn} turns", polls.get());
        assert!(woken.0.load(Ordering::Relaxed), "there is more to do");
    }
    assert!(polls.get() > 20 * 32, "it ran meanwhile: {}", polls.get());
}

/// Was it woken?
#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Idleness is heard of in a host that has no timers: it is asked to come again.
#[test]
fn idleness_needs_no_timer_of_the_host() {
    let mut run = hosted(Bare, wait_until_idle());
    for _ in 0..9 {
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(Arc::clone(&woken));
        match std::pin::Pin::new(&mut run).poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(r) => return r.expect("nobody cancels"),
            Poll::Pending => assert!(woken.0.load(Ordering::Relaxed), "nobody would poll it again"),
        }
    }
    panic!("it was idle all the time");
}

/// Sockets of this crate, watched by the host.
#[test]
fn descriptors_are_watched_through_the_host() {
    under_tokio(async {
        let (a, b) = UnixStream::pair().expect("a pair");
        let r = Run::nursery(async |n| {
            n.spawn(async {
                let mut bytes = [0; 5];
                let mut got = 0;
                while got < 5 {
                    got += a.read(&mut bytes[got..]).await.expect("open").min(5);
                }
                assert_eq!(&bytes, b"hello");
                Ok(())
            });
            sleep(MS).await?;
            for byte in b"hello" {
                assert_eq!(b.write(&[*byte]).await.expect("open"), 1);
                sleep(MS).await?;
            }
            Ok(())
        })
        .await;
        assert_eq!(shape(&r), "ok");
    });
}

/// A driver with nothing but a waker.
struct Bare;

impl Driver for Bare {
    fn now() -> Instant {
        Instant::from_nanos(1)
    }

    fn poll_until(&mut self, _at: Instant, _cx: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }
}

/// Polls a hosted run as often as it takes, or `polls` times.
fn by_hand<F: Future + Unpin>(run: &mut F, polls: usize) -> Option<F::Output> {
    let mut cx = Context::from_waker(Waker::noop());
    (0..polls).find_map(|_| match std::pin::Pin::new(&mut *run).poll(&mut cx) {
        Poll::Ready(v) => Some(v),
        Poll::Pending => None,
    })
}

#[test]
fn a_host_that_watches_nothing_refuses_descriptors_with_an_error() {
    let mut run = hosted(Bare, async {
        let e = UnixStream::pair().map(|_| ()).unwrap_err();
        assert_eq!(e.kind(), std::io::ErrorKind::Unsupported);
        assert!(e.to_string().contains("use the host's own I/O"), "{e}");
        checkpoint().await.expect("the rest works");
    });
    assert!(by_hand(&mut run, 9).is_some());
}

/// Dropped at every point of its life: its tasks are dropped in it, and the thread is free for another.
#[test]
fn a_dropped_run_drops_its_tasks_and_frees_the_thread() {
    struct Told(Rc<Cell<u32>>);
    impl Drop for Told {
        fn drop(&mut self) {
            assert!(stats().tasks > 0, "dropped while its run is there");
            self.0.set(self.0.get() + 1);
        }
    }
    for polls in 0..6 {
        let drops = Rc::new(Cell::new(0));
        let told = Rc::clone(&drops);
        let started = Rc::new(Cell::new(0));
        let count = Rc::clone(&started);
        let mut run = hosted(Bare, async move {
            let r = Run::nursery(async |n| {
                for is_static in [true, false] {
                    count.set(count.get() + 1);
                    let held = Told(Rc::clone(&told));
                    let child = async move {
                        let _held = held;
                        sleep_forever().await?;
                        Ok(())
                    };
                    if is_static {
                        n.spawn_static(child)
                    } else {
                        n.spawn(child)
                    }
                    checkpoint().await?;
                }
                Ok(())
            });
            shape(&r.await)
        });
        assert_eq!(by_hand(&mut run, polls), None);
        drop(run);
        assert_eq!(drops.get(), started.get(), "after {polls} polls");
        assert_eq!(pleach_executor::run(async { 1 }), 1);
    }
    assert_eq!(stats().tasks, 0);
}

/// What a leaked nursery leaves behind is cancelled and awaited when main has ended, as in a run of its own.
#[test]
fn what_main_leaves_behind_is_cancelled_and_awaited() {
    let ended = Rc::new(Cell::new(false));
    let told = Rc::clone(&ended);
    under_tokio(async move {
        let mut leaked = Box::pin(Run::nursery(async |n| {
            n.spawn_static(async move {
                let c = sleep_forever().await.unwrap_err();
                assert!(matches!(c.reason(), Reason::Shutdown));
                shielded(async |_| sleep(AGES / 100_000_000).await).await?;
                told.set(true);
                Err(c.into())
            });
            sleep_forever().await?;
            Ok(())
        }));
        std::future::poll_fn(|cx| {
            assert!(leaked.as_mut().poll(cx).is_pending());
            Poll::Ready(())
        })
        .await;
        yield_now().await;
        std::mem::forget(leaked);
    });
    assert!(ended.get());
}

#[test]
fn a_second_run_on_the_thread_is_refused() {
    let refused = catch_unwind(AssertUnwindSafe(|| {
        on_tokio(async {
            let mut first = hosted(OnTokio::default(), sleep_forever());
            assert!(by_hand(&mut first, 3).is_none());
            hosted(OnTokio::default(), async {}).await;
        });
    }));
    let text = *refused.unwrap_err().downcast::<String>().expect("a text");
    assert!(text.starts_with("a run is active on this thread already"), "{text}");
    under_tokio(async {});
}
