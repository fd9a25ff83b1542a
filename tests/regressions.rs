//! What was wrong once, each as the smallest program that showed it.

use pleach::{
    Config, Error, ErrorKind, Fault, Start, Step, actors, actors_with, checkpoint, inventory, nursery, run,
    shielded, sleep, sleep_forever,
};
use pleach_executor::{
    CancelCause, CancelScope, Cancelled, Nursery, Started, fd::AsyncFd, low_level, yield_now,
};
use pleach_spawn::{Plan, Signal, children, fork, signal_descendant};
use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

pleach::test_main!(
    a_cancel_by_the_handle_counts_from_the_first_moment,
    a_lone_cancel_leaves_its_siblings_their_whole_time,
    a_failure_after_the_last_message_is_heard_of,
    a_death_in_the_middle_of_a_message_is_a_death,
    a_late_answer_to_a_boot_that_timed_out_is_a_time_out,
    a_captured_future_that_is_dropped_in_the_child_touches_nothing_there,
    a_shared_owner_of_a_registered_number_cannot_reach_the_childs_own_files,
    a_job_of_one_run_is_not_done_in_the_next,
    a_withdrawn_fork_leaves_no_grant_open,
    a_name_that_fits_no_message_is_refused_with_its_length,
    a_cause_whose_destructor_panics_leaves_the_nursery_whole,
);

/// Polls a future once.
async fn once<F: Future + ?Sized>(f: &mut Pin<Box<F>>) {
    poll_fn(|cx| {
        let _ = f.as_mut().poll(cx);
        Poll::Ready(())
    })
    .await;
}

fn a_cancel_by_the_handle_counts_from_the_first_moment() {
    let r: Result<(), Error> = run(actors(async |an| {
        let a = an.fork("a", (), async |_, ()| {
            sleep_forever().await?;
            Ok(())
        });
        a.cancel();
        assert!(a.result().await.unwrap_err().message().contains("cancelled by its handle"));
        Ok(())
    }));
    r.unwrap();
}

/// The first stop set a deadline for all; a sibling cancelled after it found it in the past, and was killed at once.
fn a_lone_cancel_leaves_its_siblings_their_whole_time() {
    let limit = Duration::from_millis(300);
    let r: Result<(), Error> = run(actors_with(Config::default().cancel(limit), async |an| {
        let a = an.fork("a", (), async |_, ()| {
            sleep_forever().await?;
            Ok(())
        });
        let (reader, cleaned) = std::io::pipe()?;
        let b = an.fork("b", cleaned, async |_, mut cleaned| {
            let Err(c) = sleep_forever().await;
            shielded::<(), Error>(async |_| {
                checkpoint().await?;
                cleaned.write_all(b"clean")?;
                Ok(())
            })
            .await?;
            Err::<(), _>(c.into())
        });
        a.ready().await?;
        b.ready().await?;
        a.cancel();
        let _cancelled = a.result().await;
        // Longer than the deadline that was wrongly kept.
        sleep(limit * 2).await?;
        b.cancel();
        let _cancelled = b.result().await;
        let mut text = String::new();
        { reader }.read_to_string(&mut text)?;
        assert_eq!(text, "clean");
        let books = an.actor().books();
        assert_eq!((books.terminated, books.killed), (0, 0), "nobody had to be told by a signal");
        Ok(())
    }));
    r.unwrap();
}

fn a_failure_after_the_last_message_is_heard_of() {
    let r: Result<u8, Error> = run(actors(async |an| {
        let a = an.fork("a", (), async |_, ()| {
            low_level::spawn_system(async {
                let _shutdown = sleep_forever().await;
                panic!("the clean-up failed");
            });
            Ok(1)
        });
        a.result().await
    }));
    assert!(matches!(r.unwrap_err().kind(), ErrorKind::Died { .. }));
}

fn a_death_in_the_middle_of_a_message_is_a_death() {
    for _ in 0..10 {
        let r: Result<(), Error> = run(actors(async |an| {
            let a = an.fork("a", (), async |actor, ()| -> Result<(), Error> {
                for _ in 0..100 {
                    actor.note("x".repeat(60_000));
                }
                std::process::abort();
            });
            a.result().await
        }));
        let e = r.unwrap_err();
        assert!(matches!(e.kind(), ErrorKind::Died { .. }), "{e}");
        assert!(e.to_string().contains("signal 6"), "{e}");
    }
}

fn a_late_answer_to_a_boot_that_timed_out_is_a_time_out() {
    let config = Config::default().boot(Duration::from_millis(200));
    let r: Result<(), Error> = run(actors_with(config, async |an| {
        let a = an.fork(Start::new("a").fault(Step::Hello, Fault::Stop), (), async |_, ()| Ok(()));
        sleep(Duration::from_millis(400)).await?;
        for child in children()? {
            signal_descendant(child, Signal::CONT)?;
        }
        a.result().await
    }));
    assert!(matches!(r.unwrap_err().kind(), ErrorKind::BootTimeout { .. }));
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
        let mut child = fork(Plan::new("child"), (), move |_, _| {
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
