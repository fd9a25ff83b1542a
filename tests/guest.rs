//! Promise: another loop can drive a run, tick by tick, and misses nothing of it.
//!
//! ```text
//!   a loop of the test's own: poll(2) on the guest's descriptor ─► tick ─► poll(2), at most as long as the tick said ─► …
//! ```
//!
//! Rules: the loop waits for the descriptor and the timeout only, so whatever the descriptor does not tell is a hang, and fails
//! after [`HANG`]. `Case n.` refers to the list of executor cases; `conformance.tsv` says where each is tested.

#[path = "support/by_hand.rs"]
mod by_hand;
#[path = "support/fault.rs"]
mod fault;

use by_hand::message;
use fault::{Fault, Run, shape};
use nix::poll::{PollFd, PollFlags, PollTimeout};
use pleach_executor::guest::{Guest, Tick};
use pleach_executor::instrument::{Instrument, install};
use pleach_executor::low_level::spawn_system;
use pleach_executor::net::UnixStream;
use pleach_executor::sync::Event;
use pleach_executor::testing::wait_until_idle_for;
use pleach_executor::{
    CancelScope, Cancelled, Instant, Reason, RunHandle, ScopeHandle, TaskTree, check, checkpoint,
    current_task, fail_after, move_on_after, now, run, shielded, sleep, sleep_forever, stats, yield_now,
};
use std::cell::{Cell, RefCell};
use std::io::Write;
use std::os::fd::AsFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::mpsc;
use std::task::Poll;
use std::time::Duration;

const MS: Duration = Duration::from_millis(1);
/// Longer than anybody would wait for a test.
const AGES: Duration = Duration::from_secs(100_000);
/// A wait that is longer than this never ends.
const HANG: Duration = Duration::from_secs(10);

fn start<F: Future>(main: F) -> Guest<F> {
    Guest::start(main).expect("there are descriptors left")
}

/// Is the guest's descriptor readable within `limit`?
fn readable<F: Future>(guest: &Guest<F>, limit: Duration) -> bool {
    // Rounded up, as the guest asks for.
    let millis = limit.as_nanos().div_ceil(1_000_000);
    let limit = PollTimeout::try_from(millis).expect("no longer than a hang");
    let mut fds = [PollFd::new(guest.as_fd(), PollFlags::POLLIN)];
    nix::poll::poll(&mut fds, limit).expect("poll") > 0
}

/// Waits as an idle tick says.
fn wait<F: Future>(guest: &Guest<F>, timeout: Option<Duration>) {
    let limit = timeout.unwrap_or(HANG).min(HANG);
    let came = readable(guest, limit);
    assert!(came || timeout.is_some_and(|t| t < HANG), "nothing came in {HANG:?}");
}

/// Drives a guest to its end; says how many ticks it took.
fn drive<F: Future>(guest: &mut Guest<F>) -> (F::Output, u32) {
    let mut ticks = 0;
    loop {
        ticks += 1;
        match guest.tick() {
            Tick::Done(value) => return (value, ticks),
            Tick::Ready => {}
            Tick::Idle { timeout } => wait(guest, timeout),
        }
    }
}

/// Ticks until it waits; says for how long.
fn settle<F: Future>(guest: &mut Guest<F>) -> Option<Duration> {
    for _ in 0..1000 {
        match guest.tick() {
            Tick::Done(_) => panic!("it has ended instead of waiting"),
            Tick::Ready => {}
            Tick::Idle { timeout } => return timeout,
        }
    }
    panic!("it never waits");
}

/// Runs a case as a guest.
fn as_guest<F: Future>(main: F) -> F::Output {
    drive(&mut start(main)).0
}

/// Case X43. And its panic, as `run` would.
#[test]
fn a_guest_hands_over_mains_value_error_or_panic() {
    assert_eq!(as_guest(async { 7 }), 7);
    let after_a_checkpoint = as_guest(async { checkpoint().await.map(|()| 8) });
    assert_eq!(after_a_checkpoint.expect("nobody cancels"), 8);
    assert_eq!(shape(&as_guest(async { Err::<(), _>(Fault::Named("E")) })), "E");
    let mut guest = start(async {
        yield_now().await;
        panic!("on purpose")
    });
    let panicked = catch_unwind(AssertUnwindSafe(|| drive(&mut guest)));
    assert_eq!(message(panicked.unwrap_err()), "on purpose");
    assert!(guest.is_over());
    assert_eq!(run(async { 1 }), 1, "and the thread is free, while what is left of the guest lives");
    let again = catch_unwind(AssertUnwindSafe(|| _ = guest.tick()));
    assert!(message(again.unwrap_err()).starts_with("this run has ended"));
}

/// Case X44. What fails at the start fails there: see `guest_failing.rs`.
#[test]
fn everything_but_mains_code_is_there_before_the_first_tick() {
    let log = Rc::new(RefCell::new(Vec::new()));
    let (main, system) = (Rc::clone(&log), Rc::clone(&log));
    let mut guest = start(async move { main.borrow_mut().push("main") });
    let (tell, told) = mpsc::channel();
    RunHandle::current()
        .call_soon(move || tell.send("call").expect("somebody listens"))
        .expect("it has begun");
    spawn_system(async move { system.borrow_mut().push("system task") });
    assert!(log.borrow().is_empty() && told.try_recv().is_err(), "nothing has run");
    assert_eq!(current_task(), None);
    drive(&mut guest);
    log.borrow_mut().sort_unstable();
    assert_eq!(*log.borrow(), ["main", "system task"]);
    assert_eq!(told.recv(), Ok("call"));
}

/// Case X46. Whatever the host's code does to a guest that waits ends the wait: the descriptor says so.
#[test]
fn a_deadline_that_the_host_moves_is_kept() {
    let scopes: Rc<RefCell<Vec<ScopeHandle>>> = Rc::default();
    let outside = Rc::clone(&scopes);
    let mut guest = start(async move {
        let scope = async |deadline| {
            CancelScope::new()
                .timeout(deadline)
                .run(async |s| {
                    outside.borrow_mut().push(s.handle());
                    Err::<(), Fault>(sleep_forever().await.unwrap_err().into())
                })
                .await
        };
        let (soon, late) = futures_util::future::join(scope(AGES), scope(2 * AGES)).await;
        assert!(matches!((soon, late), (Ok(None), Ok(None))), "each scope absorbs");
    });
    let first = settle(&mut guest).expect("a deadline");
    assert!(!readable(&guest, Duration::ZERO));
    // One that is not the next: a ring for nothing, and nothing comes of it.
    scopes.borrow()[1].set_deadline(Some(now() + 3 * AGES));
    assert!(settle(&mut guest).expect("the same") <= first);
    scopes.borrow()[0].set_deadline(Some(Instant::from_nanos(0)));
    assert!(readable(&guest, Duration::ZERO), "the guest has to look at it");
    assert!(settle(&mut guest).expect("the other") > 2 * AGES);
    scopes.borrow()[1].set_deadline(Some(Instant::from_nanos(0)));
    assert!(readable(&guest, Duration::ZERO));
    drive(&mut guest);
}

/// Case X47. A tick that nobody needed does nothing.
#[test]
fn a_tick_that_nobody_needed_is_not_idleness() {
    let mut guest = start(async { wait_until_idle_for(AGES).await });
    for _ in 0..100 {
        assert!(settle(&mut guest).expect("the cushion") > AGES / 2);
        assert!(!readable(&guest, Duration::ZERO));
    }
    guest.cancel();
    assert!(readable(&guest, Duration::ZERO));
    let Err(c) = drive(&mut guest).0 else { panic!("it was not idle for that long") };
    assert!(matches!(c.reason(), Reason::Requested { by: None }));
}

#[test]
fn idleness_that_lasts_is_told_by_the_timeout_alone() {
    let (waited, ticks) = drive(&mut start(async {
        let start = now();
        wait_until_idle_for(20 * MS).await.expect("nobody cancels");
        wait_until_idle_for(Duration::ZERO).await.expect("nobody cancels");
        now() - start
    }));
    assert!(waited >= 20 * MS, "{waited:?}");
    assert!(ticks < 12, "{ticks} ticks");
}

/// Keeps what it is told of a run that was given up.
#[derive(Default)]
struct Abandoned(RefCell<Vec<String>>);

impl Instrument for Abandoned {
    fn abandoned(&self, picture: &TaskTree) {
        self.0.borrow_mut().push(format!("{picture:#}"));
    }
}

/// Case X49. At every point of its life: everything goes in the run, calls that were accepted are made, and the thread is free.
#[test]
fn a_guest_that_is_given_up_is_reported_and_leaves_nothing() {
    struct Told(Rc<Cell<u32>>);
    impl Drop for Told {
        fn drop(&mut self) {
            assert!(stats().tasks > 0, "dropped while its run is there");
            self.0.set(self.0.get() + 1);
        }
    }
    for ticks in 0..6 {
        let reports = Rc::new(Abandoned::default());
        let installed = install(Rc::clone(&reports));
        let (drops, spawned) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
        let (told, count) = (Rc::clone(&drops), Rc::clone(&spawned));
        let mut guest = start(async move {
            let r = Run::nursery(async |n| {
                for is_static in [true, false] {
                    let held = Told(Rc::clone(&told));
                    count.set(count.get() + 1);
                    let child = async move {
                        let _held = held;
                        Err::<(), Fault>(sleep_forever().await.unwrap_err().into())
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
        let handle = RunHandle::current();
        for _ in 0..ticks {
            assert!(!matches!(guest.tick(), Tick::Done(_)));
        }
        let (tell, called) = mpsc::channel();
        handle.call_soon(move || tell.send(()).expect("somebody listens")).expect("it runs");
        drop(guest);
        assert_eq!(drops.get(), spawned.get(), "after {ticks} ticks");
        assert_eq!(called.recv(), Ok(()));
        assert!(handle.is_finished());
        let reports = reports.0.take();
        assert_eq!(reports.len(), 1, "{reports:?}");
        assert!(reports[0].starts_with("main"), "{}", reports[0]);
        assert_eq!(stats().tasks, 0);
        assert_eq!(run(async { 1 }), 1);
        drop(installed);
    }
}

#[test]
fn a_guest_that_ends_or_panics_is_not_reported_as_abandoned() {
    let reports = Rc::new(Abandoned::default());
    let _installed = install(Rc::clone(&reports));
    as_guest(async {});
    assert!(catch_unwind(|| as_guest(async { panic!("on purpose") })).is_err());
    assert!(reports.0.borrow().is_empty());
}

/// A panic of what is nobody's comes out at the end, when everybody has been cancelled for it.
#[test]
fn a_panic_of_the_runs_own_tasks_comes_out_of_the_last_tick() {
    let cancelled = Rc::new(Cell::new(false));
    let told = Rc::clone(&cancelled);
    let mut guest = start(async move {
        let c = sleep_forever().await.unwrap_err();
        told.set(matches!(c.reason(), Reason::Shutdown));
    });
    settle(&mut guest);
    spawn_system(async { panic!("of the system") });
    assert!(readable(&guest, Duration::ZERO));
    let panicked = catch_unwind(AssertUnwindSafe(|| drive(&mut guest)));
    assert_eq!(message(panicked.unwrap_err()), "of the system");
    assert!(cancelled.get());
    as_guest(async {});
}

#[test]
fn another_thread_ends_the_wait() {
    let (tell, told) = mpsc::channel();
    let mut guest = start(async move {
        let mut asked = false;
        std::future::poll_fn(|cx| match std::mem::replace(&mut asked, true) {
            false => {
                tell.send(cx.waker().clone()).expect("somebody listens");
                Poll::Pending
            }
            true => Poll::Ready(()),
        })
        .await;
        // Once more, by a call.
        let event = Rc::new(Event::new());
        HEARD.replace(Some(Rc::clone(&event)));
        event.wait().await.expect("nobody cancels");
    });
    assert_eq!(settle(&mut guest), None);
    let waker = told.recv().expect("it was polled");
    let handle = RunHandle::current();
    let thread = std::thread::spawn(move || waker.wake());
    assert!(readable(&guest, HANG));
    thread.join().expect("no panic");
    assert_eq!(settle(&mut guest), None);
    let thread = std::thread::spawn(move || {
        handle.call_soon(|| HEARD.take().expect("it waits").set()).expect("it runs");
    });
    assert!(readable(&guest, HANG));
    thread.join().expect("no panic");
    drive(&mut guest);
}

thread_local! {
    static HEARD: RefCell<Option<Rc<Event>>> = const { RefCell::new(None) };
}

/// Between ticks the host's own code may wake, spawn and cancel.
#[test]
fn what_the_hosts_code_does_between_ticks_is_heard() {
    let (event, ran) = (Rc::new(Event::new()), Rc::new(Cell::new(false)));
    let nursery = Rc::new(RefCell::new(None));
    let (waited_for, kept) = (Rc::clone(&event), Rc::clone(&nursery));
    let mut guest = start(async move {
        let r = Run::nursery(async |n| {
            kept.replace(Some(n.handle()));
            waited_for.wait().await?;
            sleep_forever().await?;
            Ok(())
        });
        shape(&r.await)
    });
    assert_eq!(settle(&mut guest), None);
    let handle = nursery.take().expect("it is open");
    let told = Rc::clone(&ran);
    let child = async move {
        told.set(true);
        Ok(())
    };
    handle.spawn(child).expect("it is open");
    assert!(readable(&guest, Duration::ZERO) && !ran.get());
    assert_eq!(settle(&mut guest), None);
    assert!(ran.get());
    event.set();
    assert!(readable(&guest, Duration::ZERO));
    assert_eq!(settle(&mut guest), None);
    guest.cancel();
    assert!(readable(&guest, Duration::ZERO));
    assert_eq!(drive(&mut guest).0, "Cancelled");
    guest.cancel();
}

#[test]
fn descriptors_of_the_guest_are_seen_through_its_own() {
    let (mine, theirs) = std::os::unix::net::UnixStream::pair().expect("a pair");
    let mut guest = start(async move {
        let stream = UnixStream::from_std(theirs).expect("a stream");
        let mut bytes = [0; 5];
        stream.read_exact(&mut bytes).await.expect("open");
        bytes
    });
    for byte in b"hello" {
        assert_eq!(settle(&mut guest), None);
        assert!(!readable(&guest, Duration::ZERO));
        (&mine).write_all(&[*byte]).expect("open");
        assert!(readable(&guest, HANG));
    }
    assert_eq!(&drive(&mut guest).0, b"hello");
}

/// A loop that watches by edges hears of each change once: an idle tick leaves nothing behind that came before it.
#[test]
fn an_idle_tick_has_seen_every_event() {
    let mut guest = start(async {
        let mut pairs = Vec::new();
        for _ in 0..300 {
            let (a, b) = UnixStream::pair().expect("a pair");
            b.write(b"x").await.expect("open");
            pairs.push((a, b));
        }
        sleep_forever().await
    });
    settle(&mut guest);
    assert!(readable(&guest, Duration::ZERO), "they came after that tick has looked");
    settle(&mut guest);
    assert!(!readable(&guest, Duration::ZERO), "more events than one look takes");
    guest.cancel();
    assert!(drive(&mut guest).0.is_err());
}

#[test]
fn deadlines_are_kept_and_nobody_spins_for_them() {
    let (passed, ticks) = drive(&mut start(async {
        let start = now();
        let moved: Result<Option<()>, Fault> = move_on_after(10 * MS, async |_| {
            sleep_forever().await?;
            Ok(())
        })
        .await;
        assert!(matches!(moved, Ok(None)));
        let r: Result<(), Fault> = fail_after(10 * MS, async |_| {
            sleep_forever().await?;
            Ok(())
        })
        .await;
        assert_eq!(shape(&r), "TooSlow");
        sleep(10 * MS).await.expect("nobody cancels");
        now() - start
    }));
    assert!(passed >= 30 * MS, "{passed:?}");
    assert!(ticks < 30, "{ticks} ticks for three waits");
}

#[test]
fn a_spinning_guest_hands_the_thread_back() {
    let polls = Rc::new(Cell::new(0_u32));
    let counted = Rc::clone(&polls);
    let mut guest = start(async move {
        while check().is_ok() {
            counted.set(counted.get() + 1);
            yield_now().await;
        }
    });
    for turn in 1..=20 {
        assert!(matches!(guest.tick(), Tick::Ready));
        assert!(polls.get() <= 64 * turn, "{} polls in {turn} ticks", polls.get());
    }
    assert!(polls.get() > 20 * 32, "it ran meanwhile: {}", polls.get());
    guest.cancel();
    drive(&mut guest);
}

#[test]
fn failures_shields_and_levels_work_as_ever() {
    let (shape, cleaned) = as_guest(async {
        let cleaned = Cell::new(false);
        let r = Run::nursery(async |n| {
            n.spawn(async {
                let c = sleep_forever().await.unwrap_err();
                assert!(matches!(c.reason(), Reason::SiblingFailed));
                assert!(checkpoint().await.is_err() && checkpoint().await.is_err(), "level");
                shielded(async |_| sleep(MS).await).await?;
                cleaned.set(true);
                Err(c.into())
            });
            n.spawn_static(async {
                sleep(MS).await?;
                Err(Fault::Named("E"))
            });
            Ok(())
        });
        (shape(&r.await), cleaned.get())
    });
    assert_eq!((shape.as_str(), cleaned), ("E", true));
}

/// What a leaked nursery leaves behind is cancelled and awaited before the value comes out.
#[test]
fn what_main_leaves_behind_is_awaited() {
    let ended = Rc::new(Cell::new(false));
    let told = Rc::clone(&ended);
    let value = as_guest(async move {
        let mut leaked = Box::pin(Run::nursery(async |n| {
            n.spawn_static(async move {
                let c = sleep_forever().await.unwrap_err();
                assert!(matches!(c.reason(), Reason::Shutdown));
                shielded(async |_| sleep(5 * MS).await).await?;
                told.set(true);
                Err(c.into())
            });
            sleep_forever().await?;
            Ok(())
        }));
        by_hand::poll_once(leaked.as_mut())
            .await
            .map(|_: Result<(), Fault>| ())
            .is_pending()
            .then_some(())
            .unwrap();
        yield_now().await;
        std::mem::forget(leaked);
        7
    });
    assert_eq!((value, ended.get()), (7, true));
}

#[test]
fn a_second_run_on_the_thread_is_refused_between_ticks() {
    let mut guest = start(sleep_forever());
    settle(&mut guest);
    let refused =
        |text: String| assert!(text.starts_with("a run is active on this thread already"), "{text}");
    refused(message(catch_unwind(|| run(async {})).unwrap_err()));
    refused(message(catch_unwind(|| drop(Guest::start(async {}))).unwrap_err()));
    guest.cancel();
    assert!(drive(&mut guest).0.is_err(), "and the first one goes on");
}

/// Ticks in tokio's loop, which watches by edges: a waker and a timer are all that a loop needs.
#[test]
fn a_guest_lives_in_the_reactor_of_another_library() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let value = runtime.block_on(async {
        let (mine, theirs) = std::os::unix::net::UnixStream::pair().expect("a pair");
        let mut guest = start(async move {
            let stream = UnixStream::from_std(theirs).expect("a stream");
            let mut bytes = [0; 2];
            let r = fail_after(HANG, async |_| {
                stream.read_exact(&mut bytes).await.expect("open");
                sleep(MS).await?;
                Ok::<_, Fault>(())
            });
            assert_eq!(shape(&r.await), "ok");
            bytes
        });
        let watched = guest.as_fd().try_clone_to_owned().expect("there is one");
        #[expect(
            deprecated,
            reason = "unsound only for a type that can change its descriptor, which `OwnedFd` cannot"
        )]
        let watched = tokio::io::unix::AsyncFd::new(watched).expect("epoll in epoll");
        tokio::spawn(async move {
            for byte in b"ok" {
                tokio::time::sleep(2 * MS).await;
                (&mine).write_all(&[*byte]).expect("open");
            }
        });
        loop {
            match guest.tick() {
                Tick::Done(value) => break value,
                Tick::Ready => tokio::task::yield_now().await,
                Tick::Idle { timeout } => {
                    let ready = tokio::time::timeout(timeout.unwrap_or(AGES), watched.readable()).await;
                    if let Ok(ready) = ready {
                        ready.expect("it is watched").clear_ready();
                    }
                }
            }
        }
    });
    assert_eq!(&value, b"ok");
}

/// A cancelled guest may take its time.
#[test]
fn a_cancelled_guest_cleans_up_before_its_value() {
    let mut guest = start(async {
        let c: Cancelled = sleep_forever().await.unwrap_err();
        shielded(async |_| sleep(5 * MS).await).await.expect("a shield");
        assert!(checkpoint().await.is_err());
        c.reason().to_string()
    });
    assert_eq!(settle(&mut guest), None);
    guest.cancel();
    assert_eq!(drive(&mut guest).0, "requested");
}
