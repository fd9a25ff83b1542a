//! Actors that are started by name: what an endpoint gets and gives, whose its failure is, and what becomes of calls when
//! either end goes away. Every case runs on every backend that there is.

use pleach::sync::Event as Flag;
use pleach::{
    Actor, Backend, BootPhase, CancelScope, Config, Context, Ending, Endpoint, Error, ErrorKind, Event,
    Failure, Fault, Payload, Portal, Program, Start, Status, Step, actors, actors_with, checkpoint,
    move_on_after, nursery, run, shielded, sleep, sleep_forever, stats,
};
use pleach_spawn::{Pid, Signal, exit_now, signal_descendant};
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::io::{Read, Write, pipe};
use std::os::fd::AsFd;
use std::rc::Rc;
use std::time::Duration;

pleach::test_main!(
    program = program;
    a_value_comes_back,
    an_error_names_its_origin_and_belongs_to_the_nursery_of_a_one_shot,
    a_call_through_a_portal_fails_alone,
    a_panic_in_a_served_endpoint_is_the_calls_and_the_actor_lives,
    many_calls_are_under_way_at_once_and_end_in_any_order,
    a_cancelled_call_has_ended_at_the_actor_when_it_returns,
    a_value_that_was_ready_wins_over_the_cancel,
    a_value_that_does_not_fit_is_the_calls_error_and_the_actor_lives,
    a_portal_in_a_forked_child_is_stale,
    a_caller_outside_of_the_actors_nursery_hears_that_it_is_gone,
    a_program_inside_a_run_is_refused,
    an_actor_that_meets_another_program_fails_in_its_boot,
    a_dropped_call_is_stopped_at_the_actor,
    the_error_of_a_dropped_call_is_told_to_observers,
    a_call_to_a_deaf_endpoint_is_given_up_at_the_limit,
    a_killed_actor_ends_its_calls_with_the_nurserys_cancellation,
    a_cancelled_actor_ends_its_calls_with_gone,
    an_unknown_endpoint_says_which_there_are,
    what_does_not_fit_is_refused_before_anything_is_sent,
    trees_of_endpoints_nest_and_a_leaf_may_not_spawn,
    what_is_given_arrives_in_order,
    without_a_program_the_error_says_what_can_be_done,
    a_closure_cannot_be_execd,
    exec_needs_no_single_thread,
    an_actor_is_gone_when_it_dies_at_any_step,
    a_large_argument_and_a_large_value_cross,
    a_nursery_that_is_dropped_ends_its_calls,
    a_call_with_a_limit_is_over_then_and_its_late_answer_is_counted,
    an_actor_is_killed_without_being_asked_also_after_it_was,
    who_watches_an_actor_hears_how_it_ended_and_lives_on,
    a_spawn_that_is_cancelled_or_dropped_leaves_no_actor,
    the_limits_of_a_spawn_are_its_own,
    a_limit_out_of_range_starts_nothing,
    a_name_that_is_none_starts_nothing,
    ends_that_are_not_of_one_mind_say_which_and_about_what,
    the_limits_go_down_the_tree,
    an_actor_has_arguments_environment_directory_and_stdin_of_its_parent,
    a_command_started_by_an_actor_is_no_actor,
);

const DOUBLE: Endpoint<u64, u64> = Endpoint::new("double");
const FAIL: Endpoint<String, ()> = Endpoint::new("fail");
const PANIC: Endpoint<String, ()> = Endpoint::new("panic");
const WAIT: Endpoint<String, u32> = Endpoint::new("wait");
const DEAF: Endpoint<(), ()> = Endpoint::new("deaf");
const ECHO: Endpoint<Vec<u8>, Vec<u8>> = Endpoint::new("echo");
const TREE: Endpoint<(u32, bool), u32> = Endpoint::new("tree");
const GIVEN: Endpoint<(), Vec<String>> = Endpoint::new("given");
const PIDS: Endpoint<u32, Vec<u32>> = Endpoint::new("pids");
const DIE: Endpoint<i32, ()> = Endpoint::new("die");
const CONFIG: Endpoint<bool, Vec<String>> = Endpoint::new("config");
const SURROUNDINGS: Endpoint<(), Surroundings> = Endpoint::new("surroundings");
const COMMAND: Endpoint<(), String> = Endpoint::new("command");
const ZEROES: Endpoint<usize, Vec<u8>> = Endpoint::new("zeroes");
const UNKNOWN: Endpoint<(), ()> = Endpoint::new("unknown");

/// Both, side by side.
const BACKENDS: [Backend; 4] = [Backend::Fork, Backend::Exec, Backend::ForkServer, Backend::Auto];

fn program() -> Program {
    Program::new("root")
        .endpoint(DOUBLE, async |_, n| Ok(2 * n))
        .endpoint(FAIL, async |_, text| Err(Error::msg(text)))
        .endpoint(PANIC, async |_, text: String| panic!("{text}"))
        .endpoint(WAIT, wait)
        .endpoint(DEAF, async |context: Context, ()| {
            context.actor().note("deaf");
            shielded(async |_| sleep_forever().await.map(|never| match never {})).await.map_err(Error::from)
        })
        .endpoint(ECHO, async |_, bytes| Ok(bytes))
        .endpoint(TREE, async |context, (levels, leaves_may)| tree(context, levels, leaves_may).await)
        .endpoint(GIVEN, given)
        .endpoint(ZEROES, async |_, n| Ok(vec![0; n]))
        .endpoint(PIDS, async |_, n| Ok(vec![n, std::process::id()]))
        .endpoint(CONFIG, async |_, forks| configs(forks).await)
        .endpoint(SURROUNDINGS, async |_, ()| surroundings())
        .endpoint(COMMAND, async |_, ()| command())
        .endpoint(DIE, async |_, status| exit_now(status))
}

/// Notes that it has begun and that it has ended, and says its word in between only if asked to.
async fn wait(context: Context, name: String) -> Result<u32, Error> {
    struct Ended<'a>(&'a Actor, String);
    impl Drop for Ended<'_> {
        fn drop(&mut self) {
            self.0.note(format!("{} has ended", self.1));
        }
    }
    let ended = Ended(context.actor(), name);
    context.actor().note(format!("{} has begun", ended.1));
    sleep_forever().await?;
    Ok(0)
}

async fn tree(context: Context, levels: u32, leaves_may: bool) -> Result<u32, Error> {
    let _here = context;
    if levels == 0 {
        if leaves_may {
            return Ok(1);
        }
        return actors(async |an| an.call(TREE, (0, true)).await).await;
    }
    actors(async |an| {
        let below = [0, 1].map(|i| {
            let start = Start::new(format!("t{i}")).may_spawn(levels > 1);
            an.call_with(start, TREE, (levels - 1, leaves_may))
        });
        let mut sum = 1;
        for actor in below {
            sum += actor.await?;
        }
        Ok(sum)
    })
    .await
}

async fn given(context: Context, (): ()) -> Result<Vec<String>, Error> {
    let mut texts = Vec::new();
    for fd in context.actor().take_given() {
        let mut text = String::new();
        std::fs::File::from(fd).read_to_string(&mut text)?;
        texts.push(text);
    }
    assert!(context.actor().take_given().is_empty(), "once");
    Ok(texts)
}

/// Runs it as the root of the program, once for each backend.
fn on_each<T>(code: impl AsyncFn(Backend) -> Result<T, Error>) {
    for backend in BACKENDS {
        let outcome = program().try_run(async |_| code(backend).await);
        outcome.unwrap_or_else(|e| panic!("{backend:?}: {e}"));
    }
}

/// What observers have heard since.
struct Notes {
    heard: Rc<RefCell<Vec<String>>>,
    came: Rc<RefCell<Rc<Flag>>>,
    _observation: pleach::Observation,
}

impl Notes {
    fn listen() -> Self {
        let heard: Rc<RefCell<Vec<String>>> = Rc::default();
        let came = Rc::new(RefCell::new(Rc::new(Flag::new())));
        let (hears, tells) = (Rc::clone(&heard), Rc::clone(&came));
        let observation = Actor::current().observe(move |event| {
            if let Event::Note { text, .. } = event {
                hears.borrow_mut().push(text.clone());
                tells.replace(Rc::new(Flag::new())).set();
            }
        });
        Notes { heard, came, _observation: observation }
    }

    async fn until(&self, text: &str) -> Result<(), Error> {
        while !self.has(text) {
            let came = Rc::clone(&self.came.borrow());
            came.wait().await?;
        }
        Ok(())
    }

    fn has(&self, text: &str) -> bool {
        self.heard.borrow().iter().any(|heard| heard == text)
    }
}

fn worker(backend: Backend) -> Start {
    Start::new("worker").backend(backend)
}

/// Case S83. Case S85. Case S86.
fn a_value_comes_back() {
    on_each(async |backend| {
        actors(async |an| {
            let (a, b) = (an.call_with(worker(backend), DOUBLE, 4), an.call_with(worker(backend), DOUBLE, 5));
            assert_eq!((a.await?, b.await?), (8, 10));
            let portal = an.spawn(worker(backend)).await?;
            for n in 0..10 {
                assert_eq!(portal.call(DOUBLE, n).await?, 2 * n);
            }
            let [n, pid] = portal.call(PIDS, 7).await?[..] else { panic!("two numbers") };
            assert_eq!((n, pid), (7, portal.id().pid()));
            assert_eq!(portal.id().path(), "root/worker");
            an.cancel();
            Ok(())
        })
        .await
    });
}

/// Case S52.
fn an_error_names_its_origin_and_belongs_to_the_nursery_of_a_one_shot() {
    on_each(async |backend| {
        let r = actors(async |an| {
            let one = an.call_with(worker(backend), FAIL, "on purpose".to_owned());
            let e = one.await.expect_err("it failed");
            assert!(e.is_cancelled(), "the error is the nursery's: {e}");
            Err::<(), _>(e)
        })
        .await;
        let e = r.expect_err("it failed");
        assert_eq!((e.message(), e.origin().path.as_str()), ("on purpose", "root/worker"));
        Ok(())
    });
}

fn a_call_through_a_portal_fails_alone() {
    on_each(async |backend| {
        actors(async |an| {
            let portal = an.spawn(worker(backend)).await?;
            let e = portal.call(FAIL, "on purpose".to_owned()).await.expect_err("it failed");
            assert_eq!((e.message(), e.origin().pid), ("on purpose", portal.id().pid()));
            assert_eq!(portal.call(DOUBLE, 1).await?, 2, "it lives on");
            an.cancel();
            Ok(())
        })
        .await
    });
}

fn a_panic_in_a_served_endpoint_is_the_calls_and_the_actor_lives() {
    on_each(async |backend| {
        actors(async |an| {
            let portal = an.spawn(worker(backend)).await?;
            let e = portal.call(PANIC, "boom".to_owned()).await.expect_err("it panicked");
            let here =
                matches!(e.kind(), ErrorKind::Panicked { location: Some(at) } if at.contains("endpoints.rs"));
            assert!(here && e.message() == "boom", "{e}");
            assert_eq!(portal.call(DOUBLE, 1).await?, 2, "it lives on");
            an.cancel();
            Ok(())
        })
        .await
    });
}

fn many_calls_are_under_way_at_once_and_end_in_any_order() {
    on_each(async |backend| {
        actors(async |an| {
            let portal = an.spawn(worker(backend)).await?;
            let notes = Notes::listen();
            nursery(async |n| {
                let handle = n.handle();
                n.spawn(async {
                    let never = portal.call(WAIT, "slow".to_owned()).await;
                    never.map(drop)
                });
                notes.until("slow has begun").await?;
                for k in 0..50 {
                    let portal = &portal;
                    n.spawn(async move {
                        assert_eq!(portal.call(DOUBLE, k).await?, 2 * k);
                        Ok(())
                    });
                }
                assert_eq!(portal.call(DOUBLE, 99).await?, 198);
                while portal.statistics().open_calls > 1 {
                    checkpoint().await?;
                }
                handle.cancel();
                Ok::<_, Error>(())
            })
            .await?;
            assert_eq!((portal.statistics().open_calls, portal.statistics().late_answers), (0, 0));
            an.cancel();
            Ok(())
        })
        .await
    });
}

fn a_cancelled_call_has_ended_at_the_actor_when_it_returns() {
    on_each(async |backend| {
        actors_with(Config::default().cancel(Duration::from_secs(600)), async |an| {
            let portal = an.spawn(worker(backend)).await?;
            let notes = Notes::listen();
            let fired = stats().timers_fired;
            for round in 0..20 {
                let (name, scope) = (format!("call {round}"), CancelScope::new());
                let handle = scope.handle();
                nursery(async |n| {
                    let ended = async {
                        let r = scope.run(async |_| portal.call(WAIT, name.clone()).await).await?;
                        assert_eq!(r, None, "cancelled");
                        assert!(notes.has(&format!("{name} has ended")), "it was awaited");
                        Ok(())
                    };
                    n.spawn(ended);
                    notes.until(&format!("{name} has begun")).await?;
                    handle.cancel();
                    Ok::<_, Error>(())
                })
                .await?;
            }
            assert_eq!(stats().timers_fired, fired, "no timer told");
            assert_eq!(portal.statistics().late_answers, 0);
            an.cancel();
            Ok(())
        })
        .await
    });
}

/// At every moment of a call the cancel either comes too late, and the value is there, or the call did not happen.
fn a_value_that_was_ready_wins_over_the_cancel() {
    on_each(async |backend| {
        actors(async |an| {
            let portal = an.spawn(worker(backend)).await?;
            for turns in 0..60 {
                let (scope, cancelled) = (CancelScope::new(), Cell::new(false));
                let handle = scope.handle();
                nursery(async |n| {
                    n.spawn(async {
                        match scope.run(async |_| portal.call(DOUBLE, turns).await).await? {
                            Some(value) => assert_eq!(value, 2 * turns),
                            None => assert!(cancelled.get()),
                        }
                        Ok::<_, Error>(())
                    });
                    for _ in 0..turns {
                        checkpoint().await?;
                    }
                    cancelled.set(true);
                    handle.cancel();
                    Ok(())
                })
                .await?;
                assert_eq!(portal.call(DOUBLE, turns).await?, 2 * turns, "the next one is not disturbed");
            }
            assert_eq!((portal.statistics().open_calls, portal.statistics().late_answers), (0, 0));
            an.cancel();
            Ok(())
        })
        .await
    });
}

/// Found out at the actor, when its endpoint has done its work: the caller hears why, and nobody else.
fn a_value_that_does_not_fit_is_the_calls_error_and_the_actor_lives() {
    on_each(async |backend| {
        actors(async |an| {
            let portal = an.spawn(worker(backend).config(Config::default().frame(64 << 10))).await?;
            let e = portal.call(ZEROES, 65 << 10).await.expect_err("over the limit of a frame");
            assert!(
                matches!(e.kind(), ErrorKind::Protocol) && e.message().contains("the value does not fit"),
                "{e}"
            );
            assert!(e.to_string().contains(portal.id().path()), "whose value: {e}");
            assert_eq!(portal.call(ZEROES, 60 << 10).await?.len(), 60 << 10);
            an.cancel();
            Ok(())
        })
        .await
    });
}

/// Whoever calls from further out is not cancelled by the actor's death: it is told of it.
fn a_caller_outside_of_the_actors_nursery_hears_that_it_is_gone() {
    on_each(async |backend| {
        let notes = Notes::listen();
        let given = RefCell::new(None);
        nursery(async |outer| {
            let call = outer.task(async {
                let portal: pleach::Portal = loop {
                    match given.take() {
                        Some(portal) => break portal,
                        None => checkpoint().await?,
                    }
                };
                Ok::<_, Error>(portal.call(WAIT, "outside".to_owned()).await)
            });
            let e = actors(async |an| -> Result<(), Error> {
                let portal = an.spawn(worker(backend)).await?;
                given.replace(Some(portal.clone()));
                notes.until("outside has begun").await?;
                signal_descendant(Pid::from_raw(portal.id().pid().cast_signed()), Signal::KILL)?;
                match sleep_forever().await? {}
            })
            .await
            .expect_err("it was killed");
            assert!(matches!(e.kind(), ErrorKind::Died { .. }), "{e}");
            let e = call.await?.expect_err("nobody answers");
            assert!(matches!(e.kind(), ErrorKind::Gone), "{e}");
            pleach::check()?;
            Ok(())
        })
        .await
    });
}

/// Before it has changed anything of the process.
fn a_program_inside_a_run_is_refused() {
    let outcome = program().try_run(async |_| {
        let inner = std::panic::catch_unwind(|| program().try_run(async |_| Ok(())).is_ok());
        let text = inner.expect_err("it panics").downcast::<&str>().expect("a text");
        Ok(*text)
    });
    assert!(outcome.expect("the outer one goes on").contains("a program is the outermost of all"));
}

/// A portal belongs to the process that spawned the actor; a copy in a forked child can do nothing with it.
fn a_portal_in_a_forked_child_is_stale() {
    on_each(async |backend| {
        actors(async |an| {
            let portal = an.spawn(worker(backend)).await?;
            let copy = portal.clone();
            let tries = an.fork("tries", (), async move |_, ()| {
                let e = copy.call(DOUBLE, 1).await.expect_err("it is not this process's");
                let ended = copy.ended().await.expect_err("nor is this");
                copy.cancel();
                Ok([e, ended].map(|e| (matches!(e.kind(), ErrorKind::StaleHandle), e.message().to_owned())))
            });
            for (stale, text) in tries.result().await? {
                assert!(stale, "{text}");
            }
            assert_eq!(portal.call(DOUBLE, 4).await?, 8, "the child has disturbed nobody");
            an.cancel();
            Ok(())
        })
        .await
    });
}

/// Its caller has given it up, and no nursery waits for it: an observer is the last who can hear.
fn the_error_of_a_dropped_call_is_told_to_observers() {
    on_each(async |backend| {
        actors(async |an| {
            let portal = an.spawn(worker(backend)).await?;
            let notes = Notes::listen();
            let mut call = Box::pin(portal.call(FAIL, "nobody hears".to_owned()));
            std::future::poll_fn(|cx| {
                assert!(call.as_mut().poll(cx).is_pending());
                std::task::Poll::Ready(())
            })
            .await;
            drop(call);
            // Answers come in the order of the calls.
            assert_eq!(portal.call(DOUBLE, 3).await?, 6);
            let heard = notes.heard.borrow().clone();
            let [told] = &heard[..] else { panic!("one word: {heard:?}") };
            let who = portal.id().path();
            assert!(
                told.starts_with(&format!("a call into {who} failed when nobody waited for it any more: "))
            );
            assert!(told.ends_with("nobody hears"), "{told}");
            assert_eq!(portal.statistics().late_answers, 1);
            an.cancel();
            Ok(())
        })
        .await
    });
}

fn a_dropped_call_is_stopped_at_the_actor() {
    on_each(async |backend| {
        actors(async |an| {
            let portal = an.spawn(worker(backend)).await?;
            let notes = Notes::listen();
            let mut call = Box::pin(portal.call(WAIT, "dropped".to_owned()));
            let mut begun = Box::pin(notes.until("dropped has begun"));
            std::future::poll_fn(|cx| {
                assert!(call.as_mut().poll(cx).is_pending());
                begun.as_mut().poll(cx)
            })
            .await?;
            drop(call);
            notes.until("dropped has ended").await?;
            assert_eq!(portal.call(DOUBLE, 3).await?, 6);
            assert_eq!((portal.statistics().open_calls, portal.statistics().late_answers), (0, 1));
            an.cancel();
            Ok(())
        })
        .await
    });
}

fn a_call_to_a_deaf_endpoint_is_given_up_at_the_limit() {
    for backend in BACKENDS {
        // The limit is the actor's own; that of its parent is far away.
        let (far, near) = (Duration::from_secs(600), Duration::from_millis(100));
        let outcome = program().config(Config::default().cancel(far)).try_run(async |_| {
            actors(async |an| {
                let portal = an.spawn(worker(backend).config(Config::default().cancel(near))).await?;
                let gone =
                    move_on_after(Duration::from_millis(50), async |_| portal.call(DEAF, ()).await).await?;
                assert_eq!(gone, None);
                assert_eq!(portal.call(DOUBLE, 3).await?, 6, "the actor itself is not deaf");
                portal.cancel();
                portal.ended().await?;
                Ok(())
            })
            .await
        });
        outcome.unwrap_or_else(|e| panic!("{backend:?}: {e}"));
    }
}

/// Case S217.
fn a_killed_actor_ends_its_calls_with_the_nurserys_cancellation() {
    on_each(async |backend| {
        let pid = RefCell::new(0);
        let r = actors_with(Config::default().cancel(Duration::from_secs(600)), async |an| {
            let portal = an.spawn(worker(backend)).await?;
            let notes = Notes::listen();
            *pid.borrow_mut() = portal.id().pid();
            nursery(async |n| {
                for k in 0..3 {
                    let (portal, name) = (&portal, format!("call {k}"));
                    n.spawn(async move {
                        let e = portal.call(WAIT, name).await.expect_err("it was killed");
                        assert!(e.is_cancelled(), "the death is the nursery's: {e}");
                        Err(e)
                    });
                }
                for k in 0..3 {
                    notes.until(&format!("call {k} has begun")).await?;
                }
                signal_descendant(Pid::from_raw(portal.id().pid().cast_signed()), Signal::KILL)?;
                Ok::<(), Error>(())
            })
            .await
        })
        .await;
        let e = r.expect_err("it was killed");
        let killed = Status::Signaled { signal: 9, core: false };
        assert_eq!(*e.kind(), ErrorKind::Died { pid: pid.take(), status: killed }, "{e}");
        Ok(())
    });
}

fn a_cancelled_actor_ends_its_calls_with_gone() {
    on_each(async |backend| {
        actors(async |an| {
            let portal = an.spawn(worker(backend)).await?;
            let notes = Notes::listen();
            nursery(async |n| {
                let call = n.task(async {
                    let e = portal.call(WAIT, "gone".to_owned()).await.expect_err("it was cancelled");
                    Ok::<_, Error>(e.kind().clone())
                });
                notes.until("gone has begun").await?;
                portal.cancel();
                assert_eq!(call.await?, ErrorKind::Gone);
                Ok::<(), Error>(())
            })
            .await?;
            let e = portal.call(DOUBLE, 1).await.expect_err("nobody is there");
            assert_eq!(*e.kind(), ErrorKind::Gone, "{e}");
            portal.ended().await
        })
        .await
    });
}

/// Case S98. Case S241.
fn an_unknown_endpoint_says_which_there_are() {
    on_each(async |backend| {
        let e =
            actors(async |an| an.call_with(worker(backend), UNKNOWN, ()).await).await.expect_err("unknown");
        let unknown = ErrorKind::NoEndpoint { endpoint: "unknown".to_owned() };
        assert_eq!(*e.kind(), unknown, "{e}");
        assert!(e.message().contains("double, echo, fail"), "{e}");
        actors(async |an| {
            let portal = an.spawn(worker(backend)).await?;
            let e = portal.call(UNKNOWN, ()).await.expect_err("unknown");
            assert_eq!(*e.kind(), unknown, "{e}");
            assert!(e.message().contains("double, echo, fail"), "{e}");
            an.cancel();
            Ok(())
        })
        .await
    });
}

fn what_does_not_fit_is_refused_before_anything_is_sent() {
    on_each(async |backend| {
        let too_large = vec![0; (16 << 20) + 1];
        let e = actors(async |an| an.call_with(worker(backend), ECHO, too_large.clone()).await).await;
        let e = e.expect_err("over the limit");
        assert_eq!(*e.kind(), ErrorKind::Protocol, "{e}");
        actors(async |an| {
            let portal = an.spawn(worker(backend)).await?;
            let e = portal.call(ECHO, too_large.clone()).await.expect_err("over the limit");
            assert!(e.message().contains("does not fit"), "{e}");
            assert_eq!((portal.call(DOUBLE, 1).await?, portal.statistics().open_calls), (2, 0));
            an.cancel();
            Ok(())
        })
        .await
    });
}

fn trees_of_endpoints_nest_and_a_leaf_may_not_spawn() {
    on_each(async |backend| {
        actors(async |an| {
            let start = || worker(backend).may_spawn(true);
            assert_eq!(an.call_with(start(), TREE, (3, true)).await?, 15);
            Ok(())
        })
        .await?;
        let e = actors(async |an| an.call_with(worker(backend), TREE, (1, true)).await).await;
        let e = e.expect_err("a one-shot is a leaf unless it is started otherwise");
        assert!(e.to_string().contains("may_spawn(true)"), "{e}");
        Ok(())
    });
}

fn what_is_given_arrives_in_order() {
    on_each(async |backend| {
        actors(async |an| {
            let mut start = worker(backend);
            for text in ["first", "second", "third"] {
                let (reader, mut writer) = pipe()?;
                writer.write_all(text.as_bytes())?;
                start = start.give(reader);
            }
            assert_eq!(an.call_with(start, GIVEN, ()).await?, ["first", "second", "third"]);
            Ok(())
        })
        .await
    });
}

fn without_a_program_the_error_says_what_can_be_done() {
    let e = run(actors(async |an| an.call(DOUBLE, 1).await)).expect_err("there is no program");
    assert!(matches!(e.kind(), ErrorKind::Spawn { step, .. } if step == "program"), "{e}");
    assert!(e.message().contains("Program::run") && e.message().contains("`fork`"), "{e}");
}

/// What is begun anew meets the one called `root` first.
fn an_actor_that_meets_another_program_fails_in_its_boot() {
    for other in ["other", "roo", "root2", "r"] {
        let program = Program::new(other).endpoint(DOUBLE, async |_, n| Ok(3 * n));
        let tripled = program
            .try_run(async |_| actors(async |an| an.call_with(worker(Backend::Exec), DOUBLE, 1).await).await);
        let e = tripled.expect_err("it would double");
        assert!(matches!(e.kind(), ErrorKind::DiedInBoot { phase: BootPhase::Ready, .. }), "{other}: {e:?}");
        assert!(e.to_string().contains("`main` has come to the program `root`"), "{other}: {e}");
    }
}

fn a_closure_cannot_be_execd() {
    let r: Result<(), Error> =
        run(actors(async |an| an.fork(worker(Backend::Exec), (), async |_, ()| Ok(())).result().await));
    assert!(r.expect_err("it cannot").message().contains("a closure can only be forked"));
}

fn exec_needs_no_single_thread() {
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let thread = std::thread::spawn(move || stopped.recv());
    let doubled = program().try_run(async |_| actors(async |an| an.call(DOUBLE, 21).await).await);
    let forked = program()
        .try_run(async |_| actors(async |an| an.call_with(worker(Backend::Fork), DOUBLE, 21).await).await);
    drop(stop);
    assert!(thread.join().expect("it does not panic").is_err());
    assert_eq!(doubled.expect("exec does not care"), 42);
    assert_eq!(*forked.expect_err("fork does").kind(), ErrorKind::NotSingleThreaded);
}

fn an_actor_is_gone_when_it_dies_at_any_step() {
    on_each(async |backend| {
        for step in Step::ALL {
            let r =
                actors(async |an| an.spawn(worker(backend).fault(step, Fault::Kill)).await.map(drop)).await;
            let e = r.expect_err("it was killed");
            let status = Status::Signaled { signal: 9, core: false };
            let died = matches!(e.kind(), ErrorKind::DiedInBoot { status: s, .. } if *s == status);
            assert!(died, "{backend:?} {step:?}: {e}");
        }
        let e = actors(async |an| an.call_with(worker(backend), DIE, 5).await).await.expect_err("it left");
        assert!(matches!(e.kind(), ErrorKind::Died { status: Status::Exited(5), .. }), "{e}");
        Ok(())
    });
}

fn a_large_argument_and_a_large_value_cross() {
    on_each(async |backend| {
        let large: Vec<u8> = (0..600_000_u32).map(|i| i as u8).collect();
        actors(async |an| {
            assert!(an.call_with(worker(backend), ECHO, large.clone()).await? == large);
            let portal: Portal = an.spawn(worker(backend)).await?;
            nursery(async |n| {
                for _ in 0..3 {
                    n.spawn(async {
                        assert!(portal.call(ECHO, large.clone()).await? == large);
                        Ok::<_, Error>(())
                    });
                }
                Ok(())
            })
            .await?;
            an.cancel();
            Ok(())
        })
        .await
    });
}

fn a_nursery_that_is_dropped_ends_its_calls() {
    on_each(async |backend| {
        let kept: RefCell<Option<Portal>> = RefCell::default();
        let spawned = Flag::new();
        let mut tree = Box::pin(actors(async |an| {
            *kept.borrow_mut() = Some(an.spawn(worker(backend)).await?);
            spawned.set();
            sleep_forever().await?;
            Ok(())
        }));
        let mut up = Box::pin(spawned.wait());
        std::future::poll_fn(|cx| {
            let _: std::task::Poll<Result<(), Error>> = tree.as_mut().poll(cx);
            up.as_mut().poll(cx)
        })
        .await?;
        drop(tree);
        let portal = kept.take().expect("it was up");
        let e = portal.call(DOUBLE, 1).await.expect_err("it was killed");
        assert!(e.is_cancelled() || *e.kind() == ErrorKind::Gone, "{e}");
        Ok(())
    });
}

/// The endpoint waits until it is stopped: it answers late, and the actor has longer for it than any case takes.
fn a_call_with_a_limit_is_over_then_and_its_late_answer_is_counted() {
    on_each(async |backend| {
        let config = Config::default().cancel(Duration::from_secs(600));
        actors_with(config, async |an| {
            let portal = an.spawn(worker(backend)).await?;
            let notes = Notes::listen();
            let short = Duration::from_millis(20);
            let e = portal.call_within(short, WAIT, "short".to_owned()).await.expect_err("it waits for ever");
            assert_eq!(*e.kind(), ErrorKind::TooSlow, "{e}");
            notes.until("short has ended").await?;
            // An answer that comes after it says that its own has come.
            assert_eq!(portal.call_within(Duration::from_secs(600), DOUBLE, 4).await?, 8);
            assert_eq!((portal.statistics().late_answers, portal.statistics().open_calls), (1, 0));
            let e = portal.call_within(short, DEAF, ()).await.expect_err("nor is it awaited");
            assert_eq!(*e.kind(), ErrorKind::TooSlow, "{e}");
            let cancelled = move_on_after(short, async |_| {
                portal.call_within(Duration::from_millis(40), DEAF, ()).await.map(drop)
            });
            let e = cancelled.await.expect_err("nor after a cancel");
            assert_eq!(*e.kind(), ErrorKind::TooSlow, "{e}");
            portal.kill();
            Ok(())
        })
        .await
    });
}

fn an_actor_is_killed_without_being_asked_also_after_it_was() {
    on_each(async |backend| {
        for cancelled_first in [false, true] {
            let config = Config::default().cancel(Duration::from_secs(600));
            let before = Actor::current().books();
            actors_with(config, async |an| {
                let notes = Notes::listen();
                let deaf = an.call_with(worker(backend), DEAF, ());
                notes.until("deaf").await?;
                if cancelled_first {
                    deaf.cancel();
                    checkpoint().await?;
                }
                deaf.kill();
                let e = deaf.await.expect_err("it had no value");
                assert!(matches!(e.kind(), ErrorKind::Cancelled { .. }), "{e}");
                Ok(())
            })
            .await?;
            let books = Actor::current().books();
            assert_eq!((books.terminated - before.terminated, books.killed - before.killed), (0, 1));
        }
        // Before there is a process, and while it comes up.
        for micros in [0, 300, 3000] {
            actors(async |an| {
                let worker = an.call_with(worker(backend), WAIT, String::new());
                sleep(Duration::from_micros(micros)).await?;
                worker.kill();
                Ok(())
            })
            .await?;
        }
        Ok(())
    });
}

fn who_watches_an_actor_hears_how_it_ended_and_lives_on() {
    on_each(async |backend| {
        let kept: RefCell<Option<Portal>> = RefCell::default();
        let r = actors(async |an| {
            let portal = an.spawn(worker(backend)).await?;
            *kept.borrow_mut() = Some(portal.clone());
            signal_descendant(Pid::from_raw(i32::try_from(portal.id().pid()).expect("a pid")), Signal::KILL)?;
            sleep_forever().await?;
            Ok(())
        })
        .await;
        assert!(matches!(r.expect_err("it was killed").kind(), ErrorKind::Died { .. }));
        let portal = kept.take().expect("it was up");
        let death = portal.watch().await?;
        assert_eq!((death.ending, death.status), (Ending::Died, Status::Signaled { signal: 9, core: false }));
        actors(async |an| {
            let portal = an.spawn(worker(backend)).await?;
            portal.cancel();
            let death = portal.watch().await?;
            assert!(matches!(death.ending, Ending::Cancelled(_)), "{death:?}");
            assert_eq!(death.status, Status::Exited(0));
            Ok(())
        })
        .await
    });
}

/// At any moment of its boot. An actor that stays would keep its nursery for ever: nobody has a portal to cancel it by.
/// Case S231.
fn a_spawn_that_is_cancelled_or_dropped_leaves_no_actor() {
    on_each(async |backend| {
        for micros in [0, 100, 300, 1000, 3000, 10_000, 1_000_000] {
            let after = Duration::from_micros(micros);
            actors(async |an| {
                if let Some(portal) = move_on_after(after, async |_| an.spawn(worker(backend)).await).await? {
                    portal.cancel();
                }
                Ok(())
            })
            .await?;
        }
        for turns in 0..8 {
            actors(async |an| {
                let mut spawning = Box::pin(an.spawn(worker(backend)));
                for _ in 0..turns {
                    let polled =
                        std::future::poll_fn(|cx| std::task::Poll::Ready(spawning.as_mut().poll(cx)));
                    if polled.await.is_ready() {
                        // Its portal is gone with it, and the actor is the nursery's.
                        an.cancel();
                        return Ok(());
                    }
                    sleep(Duration::from_micros(500)).await?;
                }
                drop(spawning);
                Ok(())
            })
            .await?;
        }
        let books = Actor::current().books();
        assert_eq!((books.started, books.killed), (books.reaped, 0));
        Ok(())
    });
}

fn the_limits_of_a_spawn_are_its_own() {
    on_each(async |backend| {
        let far = Config::default().boot(Duration::from_secs(600)).cancel(Duration::from_secs(600));
        actors_with(far, async |an| {
            let narrow = an.spawn(worker(backend).config(far.frame(64 << 10).dialogs(1))).await?;
            let e = narrow.call(ECHO, vec![0; 65 << 10]).await.expect_err("over its limit");
            assert!(e.message().contains("does not fit"), "{e}");
            let wide = an.spawn(worker(backend)).await?;
            assert_eq!(wide.call(ECHO, vec![0; 65 << 10]).await?.len(), 65 << 10);
            // One dialog at a time.
            let notes = Notes::listen();
            nursery(async |n| {
                n.spawn(async { narrow.call(WAIT, "the one".to_owned()).await.map(drop) });
                notes.until("the one has begun").await?;
                let e = narrow.call(DOUBLE, 1).await.expect_err("one is open");
                assert!(e.message().contains("wait for some of them"), "{e}");
                n.cancel();
                Ok::<_, Error>(())
            })
            .await?;
            assert_eq!(narrow.call(DOUBLE, 1).await?, 2);
            an.cancel();
            Ok(())
        })
        .await?;
        // A child that never says its first word is given up long before the end of its boot.
        let config = far.handshake(Duration::from_millis(50)).cancel(Duration::from_millis(50));
        let start = worker(backend).config(config).fault(Step::Runtime, Fault::Hang);
        let e = actors(async |an| an.spawn(start).await.map(drop)).await.expect_err("it hangs");
        assert_eq!(*e.kind(), ErrorKind::BootTimeout { phase: BootPhase::Hello }, "{e}");
        Ok(())
    });
}

fn a_limit_out_of_range_starts_nothing() {
    on_each(async |backend| {
        let start = worker(backend).config(Config::default().frame(1));
        let e = actors(async |an| an.spawn(start).await.map(drop)).await.expect_err("too small");
        assert!(matches!(e.kind(), ErrorKind::Spawn { step, .. } if step == "limits"), "{e}");
        assert!(e.message().contains("`frame` is 1 bytes: it must be from"), "{e}");
        assert_eq!(Actor::current().books().started, 0);
        Ok(())
    });
}

/// It would stand for another actor's path, or move the cursor of whoever reads an error.
fn a_name_that_is_none_starts_nothing() {
    on_each(async |backend| {
        for name in ["", "a/b", "/", "line\nfeed", "\u{1b}[31m", "nul\0", "delete\u{7f}"] {
            let start = Start::new(name).backend(backend);
            let e = actors(async |an| an.spawn(start).await.map(drop)).await.expect_err(name);
            assert!(matches!(e.kind(), ErrorKind::Spawn { step, .. } if step == "name"), "{e}");
            assert!(!e.message().contains(char::is_control), "{:?}", e.message());
        }
        assert_eq!(Actor::current().books().started, 0);
        Ok(())
    });
    let e = Program::new("a/b").try_run(async |_| Ok(())).expect_err("no name of a root either");
    assert!(matches!(e.kind(), ErrorKind::Spawn { step, .. } if step == "name"), "{e}");
}

/// Endpoints of one name, with other types.
/// Case S53.
fn ends_that_are_not_of_one_mind_say_which_and_about_what() {
    const BYTES_TO: Endpoint<Vec<u8>, ()> = Endpoint::new("fail");
    const TEXT_FROM: Endpoint<u64, String> = Endpoint::new("double");
    on_each(async |backend| {
        let told = |e: Error| match e.kind() {
            ErrorKind::Decode { endpoint, what } => (endpoint.clone(), *what, e.origin().path.clone()),
            _ => panic!("{e}"),
        };
        actors(async |an| {
            let portal = an.spawn(worker(backend)).await?;
            let e = portal.call(BYTES_TO, vec![0xff]).await.expect_err("that is no UTF-8");
            assert_eq!(told(e), ("fail".to_owned(), Payload::Argument, "root/worker".to_owned()));
            let e = portal.call(TEXT_FROM, 60).await.expect_err("120 bytes of text do not follow");
            assert_eq!(told(e), ("double".to_owned(), Payload::Value, String::new()));
            an.cancel();
            Ok(())
        })
        .await?;
        let e = actors(async |an| an.call_with(worker(backend), TEXT_FROM, 60).await).await;
        assert_eq!(told(e.expect_err("likewise")).1, Payload::Value);
        Ok(())
    });
}

fn the_limits_go_down_the_tree() {
    on_each(async |backend| {
        let config = Config::default()
            .boot(Duration::from_secs(11))
            .handshake(Duration::from_secs(3))
            .cancel(Duration::from_secs(7))
            .terminate_at(33)
            .unkillable(Duration::from_secs(12))
            .orphan_grace(Duration::from_millis(300))
            .frame(1 << 20)
            .in_flight(2 << 20)
            .dialogs(77);
        let start = worker(backend).may_spawn(true).config(config);
        let below = actors(async |an| an.call_with(start, CONFIG, backend == Backend::Fork).await).await?;
        assert_eq!(below, [format!("{config:?}"), format!("{config:?}")]);
        Ok(())
    });
}

/// The limits here, and those of an actor that is started here.
async fn configs(forks: bool) -> Result<Vec<String>, Error> {
    let here = format!("{:?}", Actor::current().config());
    if Actor::current().id().path().matches('/').count() == 2 {
        return Ok(vec![here]);
    }
    let backend = if forks { Backend::Fork } else { Backend::Exec };
    let below = actors(async |an| an.call_with(worker(backend), CONFIG, forks).await).await?;
    Ok([vec![here], below].concat())
}

/// Arguments, environment, directory, standard input.
type Surroundings = (Vec<String>, Vec<(String, String)>, String, String);

fn surroundings() -> Result<Surroundings, Error> {
    let text = |path: std::path::PathBuf| path.to_string_lossy().into_owned();
    let (dir, stdin) = (std::env::current_dir()?, std::fs::read_link("/proc/self/fd/0")?);
    Ok((std::env::args().collect(), std::env::vars().collect(), text(dir), text(stdin)))
}

fn an_actor_has_arguments_environment_directory_and_stdin_of_its_parent() {
    let before = std::io::stdin().as_fd().try_clone_to_owned().expect("a number");
    let (reader, _writer) = pipe().expect("a pipe");
    nix::unistd::dup2_stdin(reader).expect("it is open");
    let ours = surroundings().expect("/proc");
    assert!(ours.3.starts_with("pipe:"), "{ours:?}: not what an actor without standard input would get");
    on_each(async |backend| {
        let theirs = actors(async |an| an.call_with(worker(backend), SURROUNDINGS, ()).await).await?;
        assert_eq!(theirs, ours, "what told it that it is an actor is gone");
        Ok(())
    });
    nix::unistd::dup2_stdin(before).expect("it is open");
}

/// This binary again, as somebody who inherits everything from an actor would start it.
fn command() -> Result<String, Error> {
    let again =
        std::process::Command::new("/proc/self/exe").args(["--list", "--format", "terse"]).output()?;
    Ok(String::from_utf8_lossy(&again.stdout).into_owned())
}

fn a_command_started_by_an_actor_is_no_actor() {
    on_each(async |backend| {
        let listed = actors(async |an| an.call_with(worker(backend), COMMAND, ()).await).await?;
        assert!(listed.contains("a_command_started_by_an_actor_is_no_actor: test"), "{listed}");
        Ok(())
    });
}
