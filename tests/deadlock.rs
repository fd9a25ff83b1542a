//! Promise: a run that nothing can wake any more says so, with the dump, if it was told that nothing outside will; and there
//! is no false alarm.

#[path = "support/fault.rs"]
mod fault;

use fault::{Fault, Run, shape};
use pleach_executor::instrument::{Instrument, install};
use pleach_executor::net::UnixStream;
use pleach_executor::sync::Event;
use pleach_executor::testing::{jump, run_seeded, run_virtual, set_autojump, wait_until_idle};
use pleach_executor::{
    TaskTree, checkpoint, expect_wake, forbid_deadlock, move_on_after, run, sleep, sleep_forever, to_thread,
};
use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::mpsc;
use std::task::Poll;
use std::time::Duration;

const MS: Duration = Duration::from_millis(1);

/// The text that a run panics with, under either clock; `None` if it ends well.
fn deadlocks<F: Future>(main: impl Fn() -> F) -> [Option<String>; 2] {
    [false, true].map(|is_virtual| {
        let ended = catch_unwind(AssertUnwindSafe(|| {
            if is_virtual {
                run_virtual(main());
            } else {
                run(main());
            }
        }));
        ended.err().map(|payload| payload.downcast_ref::<String>().expect("a message").clone())
    })
}

/// Wakes itself from another thread, once.
async fn woken_by_a_thread() {
    let mut thread = None;
    poll_fn(|cx| match &thread {
        None => {
            let waker = cx.waker().clone();
            thread = Some(std::thread::spawn(move || waker.wake()));
            Poll::Pending
        }
        Some(_) => Poll::Ready(()),
    })
    .await;
}

#[test]
fn tasks_that_wait_for_one_another_end_the_run_with_the_dump() {
    let texts = deadlocks(async || {
        forbid_deadlock();
        let (a, b) = (Event::new(), Event::new());
        let (a, b) = (&a, &b);
        let r = Run::nursery(async |n| {
            n.spawn(async {
                a.wait().await?;
                b.set();
                Ok(())
            });
            n.spawn_static(async {
                sleep_forever().await?;
                Ok(())
            });
            Ok(b.wait().await?)
        })
        .await;
        unreachable!("{}", shape(&r));
    });
    for text in texts {
        let text = text.expect("it is a deadlock");
        assert!(text.starts_with("deadlock: "), "{text}");
        assert_eq!(text.matches("waiting for an event").count(), 2, "{text}");
        assert!(text.contains("deadlock.rs:") && text.contains("waiting for its cancellation"), "{text}");
    }
    assert_eq!(run(async { 1 }), 1, "the thread can run again");
}

#[test]
fn a_run_that_goes_on_is_no_deadlock() {
    let texts = deadlocks(async || {
        forbid_deadlock();
        checkpoint().await.unwrap();
        sleep(2 * MS).await.unwrap();
        let r: Result<Option<()>, Fault> = move_on_after(2 * MS, async |_| {
            sleep_forever().await?;
            Ok(())
        })
        .await;
        assert!(matches!(r, Ok(None)), "a deadline can end the wait");
        wait_until_idle().await.unwrap();
    });
    assert_eq!(texts, [None, None]);
}

/// A descriptor may become readable, whoever is at its other end.
#[test]
fn a_descriptor_that_is_watched_is_no_deadlock() {
    let texts = deadlocks(async || {
        forbid_deadlock();
        let (ours, theirs) = UnixStream::pair().unwrap();
        let theirs = theirs.into_std();
        let thread = std::thread::spawn(move || std::io::Write::write_all(&mut &theirs, b"x").unwrap());
        let mut byte = [0];
        assert_eq!(ours.read(&mut byte).await.unwrap(), 1);
        thread.join().unwrap();
    });
    assert_eq!(texts, [None, None]);
}

#[test]
fn a_thread_that_was_announced_is_no_deadlock_and_afterwards_it_is_one() {
    let texts = deadlocks(async || {
        forbid_deadlock();
        let announced = expect_wake();
        for _ in 0..20 {
            woken_by_a_thread().await;
        }
        drop(announced);
        let _ = sleep_forever().await;
    });
    assert!(texts.into_iter().all(|text| text.is_some_and(|text| text.starts_with("deadlock: "))));
}

/// Of a worker thread the run knows: it will tell.
#[test]
fn a_worker_thread_that_is_waited_for_is_no_deadlock() {
    /// Says that the loop waits for whatever may come.
    struct Says(mpsc::Sender<()>);
    impl Instrument for Says {
        fn before_io_wait(&self, timeout: Option<Duration>) {
            if timeout.is_none() {
                let _ = self.0.send(());
            }
        }
    }
    let texts = deadlocks(async || {
        forbid_deadlock();
        let (says, waits) = mpsc::channel();
        let _says = install(Rc::new(Says(says)));
        assert!(to_thread(move || waits.recv()).await.is_ok());
    });
    assert_eq!(texts, [None, None]);
}

/// Without the word that nobody outside wakes, nothing is taken for a deadlock: a thread may come.
#[test]
fn without_the_word_a_run_waits_for_threads() {
    run(async {
        for _ in 0..20 {
            woken_by_a_thread().await;
        }
    });
}

/// A run under the virtual clock is a test, of which that is always said.
#[test]
fn a_test_that_can_never_go_on_fails_with_the_dump() {
    async fn waits_for_ever() {
        let _ = sleep_forever().await;
    }
    let of = |run: fn()| {
        let payload = catch_unwind(run).expect_err("nobody wakes it");
        payload.downcast_ref::<String>().expect("a message").clone()
    };
    for text in [of(|| run_virtual(waits_for_ever())), of(|| run_seeded(7, waits_for_ever()))] {
        assert!(text.starts_with("deadlock: ") && text.contains("main, task "), "{text}");
    }
    run_virtual(async {
        let announced = expect_wake();
        woken_by_a_thread().await;
        drop(announced);
    });
}

/// The word holds for its run.
#[test]
fn the_word_ends_with_its_run() {
    run(async {
        forbid_deadlock();
        std::mem::forget(expect_wake());
    });
    run(woken_by_a_thread());
    let texts = deadlocks(async || {
        forbid_deadlock();
        let _ = sleep_forever().await;
    });
    assert!(texts.iter().all(Option::is_some), "an announcement ends with its run as well");
}

/// Time that may not pass wakes nobody.
#[test]
fn a_clock_that_stands_still_wakes_nobody() {
    let ended = catch_unwind(|| {
        run_virtual(async {
            forbid_deadlock();
            set_autojump(false);
            sleep(MS).await
        })
    });
    assert!(ended.is_err());
    run_virtual(async {
        forbid_deadlock();
        set_autojump(false);
        let r = Run::nursery(async |n| {
            n.spawn(async { Ok(sleep(MS).await?) });
            wait_until_idle().await?;
            jump(MS);
            Ok(())
        })
        .await;
        assert_eq!(shape(&r), "ok");
    });
}

/// Hears that the run is stuck, and sets an event.
#[derive(Default)]
struct Helper {
    event: RefCell<Option<Rc<Event>>>,
    heard: Cell<u32>,
}

impl Instrument for Helper {
    fn stuck(&self, picture: &TaskTree) {
        assert_eq!(picture.all_waits().count(), 1);
        self.heard.set(self.heard.get() + 1);
        if let Some(event) = self.event.take() {
            event.set();
        }
    }
}

/// Whoever listens is told before the run waits, or ends; and may do something about it.
#[test]
fn an_instrument_hears_that_the_run_is_stuck_and_may_help() {
    for is_forbidden in [false, true] {
        let helper = Rc::new(Helper::default());
        let _installed = install(Rc::clone(&helper));
        for run_it in [run::<std::pin::Pin<Box<dyn Future<Output = ()>>>>, run_virtual] {
            let event = Rc::new(Event::new());
            helper.event.replace(Some(Rc::clone(&event)));
            run_it(Box::pin(async move {
                if is_forbidden {
                    forbid_deadlock();
                }
                event.wait().await.unwrap();
            }));
        }
        assert_eq!(helper.heard.get(), 2);
    }
}
