//! What was wrong once, each as the smallest program that showed it: with tasks, with what only a fork inherits, and with the
//! root of a tree. What was wrong with the lives of actors is in `life_regressions.rs`, on every backend.

use nix::sys::signal::{SigSet, Signal as Number};
use pleach::{
    Actor, Error, ErrorKind, Program, Step, actors, checkpoint, inventory, nursery, run, shielded, sleep,
    sleep_forever, stats, sync::Event,
};
use pleach_executor::{
    CancelCause, CancelScope, Cancelled, Nursery, Started, fd::AsyncFd, low_level, yield_now,
};
use pleach_spawn::{ExitStatus, Pid, Plan, Signal, fork, signal_descendant};
use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::io::Write;
use std::os::fd::AsRawFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

pleach::test_main!(
    a_captured_future_that_is_dropped_in_the_child_touches_nothing_there,
    a_shared_owner_of_a_registered_number_cannot_reach_the_childs_own_files,
    a_job_of_one_run_is_not_done_in_the_next,
    a_withdrawn_fork_leaves_no_grant_open,
    a_name_that_fits_no_message_is_refused_with_its_length,
    a_cause_whose_destructor_panics_leaves_the_nursery_whole,
    #[limit(120)]
    a_stray_that_ignores_its_shutdown_keeps_no_process_for_ever,
    a_stray_cancelled_at_the_root_is_no_interrupt,
    #[limit(60)]
    a_program_that_is_started_with_sigchld_blocked_hears_of_a_stop,
    a_child_that_was_made_is_given_out_although_its_scope_was_cancelled_since,
    a_foreign_waker_that_is_replaced_may_drop_what_it_waited_for,
    a_failure_in_one_run_is_not_offset_by_what_another_run_left,
);

/// Polls a future once.
async fn once<F: Future + ?Sized>(f: &mut Pin<Box<F>>) {
    poll_fn(|cx| {
        let _ = f.as_mut().poll(cx);
        Poll::Ready(())
    })
    .await;
}

fn a_captured_future_that_is_dropped_in_the_child_touches_nothing_there() {
    type Kept = Rc<RefCell<Option<Pin<Box<dyn Future<Output = Result<(), Error>>>>>>>;
    for count in 1..5 {
        let r: Result<u8, Error> = run(async {
            let kept: Vec<Kept> = (0..count)
                .map(|_| {
                    let open = nursery::<(), Error, _>(async |_| {
                        sleep_forever().await?;
                        Ok(())
                    });
                    Rc::new(RefCell::new(Some(Box::pin(open) as Pin<Box<dyn Future<Output = _>>>)))
                })
                .collect();
            for k in &kept {
                let mut open = k.borrow_mut().take().expect("just put there");
                once(&mut open).await;
                *k.borrow_mut() = Some(open);
            }
            let inherited = kept.clone();
            actors(async |an| {
                let a = an.fork("a", (), async move |_, ()| {
                    for k in &inherited {
                        drop(k.borrow_mut().take());
                    }
                    sleep(Duration::from_millis(1)).await?;
                    Ok(5)
                });
                a.result().await
            })
            .await
        });
        assert_eq!(r.unwrap(), 5);
    }
}

fn a_shared_owner_of_a_registered_number_cannot_reach_the_childs_own_files() {
    run(async {
        let (_reader, writer) = std::io::pipe().unwrap();
        let shared = Rc::new(writer);
        let number = shared.as_raw_fd();
        let _registered = AsyncFd::new(Rc::clone(&shared)).unwrap();
        let child = fork(Plan::new("child"), (), move |_, _| {
            let path = std::env::temp_dir().join("mine");
            let mut mine = std::fs::File::create(&path).unwrap();
            let taken = mine.as_raw_fd() == number;
            let _ = (&*shared).write_all(b"from the inherited owner");
            mine.write_all(b"mine").unwrap();
            let text = std::fs::read_to_string(&path).unwrap();
            std::fs::remove_file(&path).unwrap();
            i32::from(taken || text != "mine")
        })
        .await
        .unwrap();
        assert!(child.process.wait().await.unwrap().success());
    });
}

fn a_job_of_one_run_is_not_done_in_the_next() {
    let done = Rc::new(Cell::new(false));
    let job = Rc::clone(&done);
    // Queued by main as it ends: there is no turn after it.
    run(async { low_level::between_polls(move || job.set(true)) });
    let before = done.get();
    run(async { yield_now().await });
    assert_eq!(done.get(), before, "the second run did a job of the first");
    assert_eq!(Rc::strong_count(&done), 1, "the job is gone with its run");
}

fn a_withdrawn_fork_leaves_no_grant_open() {
    let before = inventory::open_fds().unwrap();
    let (reader, writer) = std::io::pipe().unwrap();
    run(async move {
        let mut request = Box::pin(fork(Plan::new("never"), writer, |_, _| 0));
        once(&mut request).await;
    });
    drop(reader);
    assert_eq!(inventory::open_fds().unwrap(), before);
}

fn a_name_that_fits_no_message_is_refused_with_its_length() {
    let r: Result<(), Error> =
        run(actors(async |an| an.fork("x".repeat(70_000), (), async |_, ()| Ok(())).result().await));
    let e = r.unwrap_err();
    assert!(matches!(e.kind(), ErrorKind::Spawn { step, .. } if step == "name"), "{e}");
    assert!(e.message().contains("70000"), "{e}");
}

/// A user's cancel cause went with the scope of a started child, outside every `catch_unwind`: the nursery unwound half
/// torn down, and a sibling's destructor looked at what had been freed. (`valgrind` shows the reads.)
fn a_cause_whose_destructor_panics_leaves_the_nursery_whole() {
    #[derive(Debug)]
    struct Boom;
    impl std::fmt::Display for Boom {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("boom")
        }
    }
    impl CancelCause for Boom {}
    impl Drop for Boom {
        fn drop(&mut self) {
            if !std::thread::panicking() {
                panic!("a cause's destructor");
            }
        }
    }
    struct Looks<'s, 'e>(&'s Nursery<'s, 'e, Cancelled>, &'s Cell<u32>);
    impl Drop for Looks<'_, '_> {
        fn drop(&mut self) {
            assert!(self.0.stats().closed);
            self.0.cancel();
            self.1.set(self.1.get() + 1);
        }
    }
    async fn deaf() -> Result<(), Cancelled> {
        loop {
            let _ = shielded::<(), Cancelled>(async |_| {
                sleep_forever().await?;
                Ok(())
            })
            .await;
        }
    }
    let looked = Cell::new(0);
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        run(async {
            let mut open = Box::pin(nursery::<(), Cancelled, _>(async |n| {
                let looked = &looked;
                n.spawn(async move {
                    let _looks = Looks(n, looked);
                    deaf().await
                });
                checkpoint().await?;
                n.cancel();
                let around = CancelScope::new();
                let handle = around.handle();
                let _cancelled: Result<Option<()>, Cancelled> = around
                    .run(async |_| {
                        let mut start = Box::pin(n.start(async |ready: Started<()>| {
                            let _never_said = ready;
                            deaf().await
                        }));
                        once(&mut start).await;
                        handle.cancel_because(Arc::new(Boom));
                        drop(start);
                        Ok(())
                    })
                    .await;
                deaf().await
            }));
            for _ in 0..6 {
                once(&mut open).await;
                yield_now().await;
            }
            drop(open);
        });
    }));
    let payload = outcome.expect_err("the destructor's panic comes out");
    assert_eq!(payload.downcast_ref::<&str>(), Some(&"a cause's destructor"));
    assert_eq!(looked.get(), 1, "the sibling's destructor saw a whole nursery");
}

/// What outlived main and ignored its cancellation was waited for until its own next timer, a day from now.
fn a_stray_that_ignores_its_shutdown_keeps_no_process_for_ever() {
    fn leave_a_stray() {
        low_level::spawn_system(async {
            let day = Duration::from_secs(24 * 3600);
            let _ended = shielded::<(), Error>(async |_| Ok(sleep(day).await?)).await;
        });
    }
    run(async {
        let bare = fork(Plan::new("run"), (), |_, _| {
            run(async { leave_a_stray() });
            0
        });
        let program = fork(Plan::new("program"), (), |_, _| {
            let _code = Program::new("program").run(async |_| {
                leave_a_stray();
                Ok(())
            });
            0
        });
        let (bare, program) = (bare.await.unwrap().process, program.await.unwrap().process);
        // Both have panicked: `run` says that somebody ignored its cancellation.
        let panicked = ExitStatus::Exited(Step::Enter.exit_code());
        assert_eq!(bare.wait().await.unwrap(), panicked);
        assert_eq!(program.wait().await.unwrap(), panicked);
    });
}

/// The program died by SIGINT, as if the terminal had said so.
fn a_stray_cancelled_at_the_root_is_no_interrupt() {
    run(async {
        let program = fork(Plan::new("program"), (), |_, _| {
            let code = Program::new("program").run(async |_| {
                let mut stray = None;
                let absorbed: Result<Option<()>, Error> = CancelScope::new()
                    .run(async |scope| {
                        scope.cancel();
                        stray = checkpoint().await.err();
                        Ok(())
                    })
                    .await;
                absorbed?;
                Err(stray.expect("a cancelled scope says so").into())
            });
            if code == ExitCode::FAILURE { 1 } else { 2 }
        });
        let status = program.await.unwrap().process.wait().await.unwrap();
        assert_eq!(status, ExitStatus::Exited(1));
    });
}

/// A mask is inherited across exec: it was blocked by whoever started the program, and the stop of an actor told nobody anything.
fn a_program_that_is_started_with_sigchld_blocked_hears_of_a_stop() {
    let mut blocked = SigSet::empty();
    blocked.add(Number::SIGCHLD);
    blocked.thread_block().expect("it can be blocked");
    let stopped: Result<(), Error> = Program::new("program").try_run(async |_| {
        let fired = stats().timers_fired;
        let r: Result<(), Error> = actors(async |an| {
            let _stands = an.fork("stands", (), async |_: Actor, ()| {
                signal_descendant(Pid::this(), Signal::STOP)?;
                sleep_forever().await?;
                Ok(())
            });
            Ok(())
        })
        .await;
        let e = r.expect_err("it was stopped");
        assert!(e.to_string().contains("SIGSTOP"), "{e}");
        assert_eq!(stats().timers_fired, fired, "the event has told it");
        Ok(())
    });
    stopped.expect("it is told");
}

/// The caller was told that its fork had been cancelled, and the child that was there already was killed.
fn a_child_that_was_made_is_given_out_although_its_scope_was_cancelled_since() {
    run(async {
        let spend = Event::new();
        spend.set();
        // In one of these the batch of polls ends, and the child is made, where the wait for it has yielded for its budget:
        // it has not begun then, and looks for a cancellation first.
        for polls in 0..100 {
            let scope = CancelScope::new();
            let handle = scope.handle();
            let r: Result<Option<()>, Cancelled> = scope
                .run(async |_| {
                    for _ in 0..polls {
                        yield_now().await;
                    }
                    yield_now().await;
                    for _ in 0..64 {
                        spend.wait().await?;
                    }
                    let mut request = Box::pin(fork(Plan::new("child"), (), |_, _| 7));
                    once(&mut request).await;
                    // Queued behind the fork.
                    low_level::between_polls(move || handle.cancel());
                    let made = request.await;
                    let child = made.unwrap_or_else(|e| panic!("after {polls} polls: {e}")).process;
                    let status = shielded(async |_| child.wait().await).await?;
                    assert_eq!(status, ExitStatus::Exited(7), "after {polls} polls");
                    Ok(())
                })
                .await;
            assert!(r.is_ok());
        }
    });
}

type Open = Pin<Box<dyn Future<Output = Result<(), Cancelled>>>>;

thread_local! {
    /// What goes with the last waker.
    static GOES_WITH_THE_WAKER: RefCell<Option<Open>> = const { RefCell::new(None) };
}

/// A foreign waker's destructor is foreign code. It ran while the handle's cell was borrowed, and what it dropped came back
/// to that cell.
fn a_foreign_waker_that_is_replaced_may_drop_what_it_waited_for() {
    struct Foreign;
    impl Wake for Foreign {
        fn wake(self: Arc<Self>) {}
    }
    impl Drop for Foreign {
        fn drop(&mut self) {
            drop(GOES_WITH_THE_WAKER.take());
        }
    }
    run(async {
        let home = Rc::new(RefCell::new(None));
        let way_out = Rc::clone(&home);
        let mut open: Open = Box::pin(nursery(async move |n| {
            *way_out.borrow_mut() = Some(n.task(async {
                sleep_forever().await?;
                Ok(())
            }));
            sleep_forever().await?;
            Ok(())
        }));
        once(&mut open).await;
        GOES_WITH_THE_WAKER.set(Some(open));
        let mut handle = home.take().expect("the body has run");
        let foreign = Waker::from(Arc::new(Foreign));
        {
            // Cancelled, the wait leaves its scope: from then on only the handle's cell holds the waker.
            let scope = CancelScope::new();
            let cancel = scope.handle();
            let mut waiting = Box::pin(scope.run(async |_| (&mut handle).await));
            let mut cx = Context::from_waker(&foreign);
            assert!(waiting.as_mut().poll(&mut cx).is_pending());
            cancel.cancel();
            let ended: Poll<Result<Option<()>, Cancelled>> = waiting.as_mut().poll(&mut cx);
            assert!(matches!(ended, Poll::Ready(Ok(None))));
        }
        drop(foreign);
        assert!(!handle.is_ended());
        let mut cx = Context::from_waker(Waker::noop());
        assert!(Pin::new(&mut handle).poll(&mut cx).is_pending(), "the child went while it was asked for");
        assert!(GOES_WITH_THE_WAKER.take().is_none());
        assert!(handle.is_ended() && handle.await.is_err());
    });
}

/// A nursery that was left over from one run, with a failure in it, was dropped later, and a failure that nobody took was
/// not reported there.
fn a_failure_in_one_run_is_not_offset_by_what_another_run_left() {
    /// A nursery with a child that has failed, which is never polled again.
    async fn failed() -> Pin<Box<dyn Future<Output = Result<(), Error>>>> {
        let mut open: Pin<Box<dyn Future<Output = Result<(), Error>>>> = Box::pin(nursery(async |n| {
            n.spawn_static(async { Err(Error::msg("no")) });
            sleep_forever().await?;
            Ok(())
        }));
        once(&mut open).await;
        yield_now().await;
        open
    }
    fn complaint<T>(r: std::thread::Result<T>) -> String {
        let payload = r.err().expect("a run says at its end that a failure went nowhere");
        payload.downcast_ref::<String>().expect("a message").clone()
    }
    for dropped_in_the_second in [true, false] {
        let left = RefCell::new(None);
        let first = catch_unwind(AssertUnwindSafe(|| {
            run(async {
                let open = failed().await;
                left.replace(Some(open));
            });
        }));
        assert!(complaint(first).starts_with("1 task(s) failed"));
        let left = left.into_inner();
        let left = left.filter(|_| dropped_in_the_second);
        let second = catch_unwind(AssertUnwindSafe(|| {
            run(async {
                drop(left);
                std::mem::forget(failed().await);
            });
        }));
        assert!(complaint(second).starts_with("1 task(s) failed"));
    }
}
