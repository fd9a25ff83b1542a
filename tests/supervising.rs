//! Promise: what a supervisor is told to keep is there again when it has ended; never twice at once, in the order that the
//! strategy says, and not more often than it is allowed to.
//!
//! ```text
//!   case ─► Program{ supervised{ children } } ─ kill, fail, stop, restart ─► the events of the tree, in order
//! ```
//!
//! Rules: orders are read from the events. Nothing waits for a time, except where a time is the matter.

#[path = "support/backend.rs"]
mod backend;

use backend::{BACKEND, SERVERS};
use pleach::sync::Event as Flag;
use pleach::{
    Actor, Books, Child, ChildState, Config, Context, Ending, Endpoint, Error, ErrorKind, Event, Failure,
    Fault, Program, Restart, Start, Step, Stop, Strategy, Supervision, checkpoint, move_on_after, nursery,
    shielded, sleep, sleep_forever, supervised, supervised_with,
};
use pleach_spawn::{Pid, Signal, signal_descendant};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

pleach::test_main!(
    program = program;
    a_killed_child_is_there_again_and_its_siblings_do_not_notice,
    a_portal_ends_with_its_incarnation_and_a_follower_waits_for_the_next,
    who_is_started_again_depends_on_how_it_has_ended,
    with_rest_for_one_those_after_it_go_backwards_and_come_forwards,
    one_restart_too_many_stops_all_and_says_what_happened,
    what_never_comes_up_is_too_much_as_well,
    a_shutdown_goes_backwards_and_the_nursery_goes_on,
    a_stopped_child_stays_away_until_somebody_asks,
    a_child_is_stopped_in_its_own_way,
    the_first_failure_cancels_all_where_nobody_is_started_again,
    a_failure_of_another_actor_ends_the_supervised_as_well,
    a_cancel_from_above_ends_all_and_starts_nobody,
    a_dropped_supervisor_leaves_nobody,
    what_a_supervisor_does_not_know_it_says,
    a_name_is_had_by_one_at_a_time_whatever_happens,
    a_closure_is_called_again_with_new_grants,
    what_a_child_is_given_is_given_to_each_incarnation,
    an_error_on_the_way_out_is_the_nurserys,
    a_follower_is_over_with_its_nursery_and_stale_in_a_fork,
    an_argument_that_does_not_fit_is_said_at_once,
    a_supervisor_that_gives_up_is_started_again_by_its_own,
);

const WHO: Endpoint<(), (u32, u32)> = Endpoint::new("who");
const END: Endpoint<bool, ()> = Endpoint::new("end");
const WAIT: Endpoint<(), ()> = Endpoint::new("wait");
const DEAF: Endpoint<(), ()> = Endpoint::new("deaf");
const SUPERVISE: Endpoint<(), ()> = Endpoint::new("supervise");
const READ: Endpoint<(), String> = Endpoint::new("read");
const FAIL_LATE: Endpoint<(), ()> = Endpoint::new("fail_late");
const LARGE: Endpoint<Vec<u8>, ()> = Endpoint::new("large");
const SLOW: Endpoint<u64, ()> = Endpoint::new("slow");

/// Longer than any case takes.
const LONG: Duration = Duration::from_secs(3600);

fn program() -> Program {
    Program::new("root")
        .endpoint(WHO, async |context: Context, ()| {
            let id = context.actor().id().clone();
            Ok((id.incarnation().number(), id.pid()))
        })
        .endpoint(END, async |_, well| if well { Ok(()) } else { Err(Error::msg("as asked")) })
        .endpoint(WAIT, async |_, ()| sleep_forever().await.map(|never| match never {}).map_err(Error::from))
        .endpoint(DEAF, async |context: Context, ()| {
            context.actor().note("deaf");
            shielded(async |_| sleep_forever().await.map(|never| match never {})).await.map_err(Error::from)
        })
        .endpoint(READ, async |context: Context, ()| {
            let given = context.actor().take_given();
            Ok(std::io::read_to_string(std::fs::File::from(given.into_iter().next().expect("it was given")))?)
        })
        .endpoint(FAIL_LATE, async |context: Context, ()| {
            context.actor().note("up");
            let Err(c) = sleep_forever().await;
            drop(Error::from(c).reason().cloned());
            Err(Error::msg("it could not clean up"))
        })
        .endpoint(SUPERVISE, async |_, ()| {
            supervised(Supervision::new(Strategy::OneForOne).intensity(1, LONG), async |an| {
                an.child(Child::call(start("leaf"), END, false))?;
                Ok(())
            })
            .await
        })
        .endpoint(LARGE, async |_, _| Ok(()))
        .endpoint(SLOW, async |context: Context, ms| {
            context.actor().note("slow");
            let Err(c) = sleep_forever().await;
            shielded(async |_| sleep(Duration::from_millis(ms)).await).await?;
            Err(c.into())
        })
}

/// Runs the case in a root of this backend; its error is the case's.
fn at_root(code: impl AsyncFnOnce(Rc<Story>) -> Result<(), Error>) {
    let program = if SERVERS == 0 { program().without_gathering() } else { program() };
    let outcome = program.try_run(async |root: Actor| {
        let story = Rc::new(Story::default());
        let hears = Rc::clone(&story);
        let _watching = root.observe(move |event| hears.hear(event));
        code(story).await
    });
    outcome.expect("the case decides");
}

/// What is told of the tree.
#[derive(Default)]
struct Story {
    lines: RefCell<Vec<String>>,
    notes: RefCell<Vec<String>>,
    alive: RefCell<Vec<String>>,
    more: Cell<Option<Rc<Flag>>>,
}

impl Story {
    fn hear(&self, event: &Event) {
        match event {
            Event::Started { actor, .. } => {
                assert!(
                    !self.alive.borrow().iter().any(|path| path == actor.path()),
                    "two incarnations of {actor} at once"
                );
                self.alive.borrow_mut().push(actor.path().to_owned());
                self.tell(format!("+{}", short(actor)));
            }
            // Without a process: it was stopped before it had one.
            Event::Ended { actor, .. } if actor.pid() == 0 => {}
            Event::Ended { actor, .. } => {
                self.alive.borrow_mut().retain(|path| path != actor.path());
                self.tell(format!("-{}", short(actor)));
            }
            Event::Note { text, .. } => self.notes.borrow_mut().push(text.clone()),
            _ => {}
        }
        if let Some(flag) = self.more.take() {
            flag.set();
        }
    }

    fn tell(&self, line: String) {
        self.lines.borrow_mut().push(line);
    }

    fn take(&self) -> String {
        self.lines.take().join(" ")
    }

    /// Waits until a note says that.
    async fn noted(&self, text: &str) -> Result<(), Error> {
        while !self.notes.borrow().iter().any(|note| note.contains(text)) {
            let flag = Rc::new(Flag::new());
            self.more.set(Some(Rc::clone(&flag)));
            flag.wait().await?;
        }
        Ok(())
    }
}

fn short(actor: &pleach::ActorId) -> String {
    format!("{}{}", actor.name(), actor.incarnation())
}

fn start(name: &str) -> Start {
    Start::new(name).backend(BACKEND).may_spawn(false)
}

fn serve(name: &str) -> Child {
    Child::serve(start(name))
}

fn one_for_one() -> Supervision {
    Supervision::new(Strategy::OneForOne).intensity(1000, LONG)
}

fn rest_for_one() -> Supervision {
    Supervision::new(Strategy::RestForOne).intensity(1000, LONG)
}

fn kill(pid: u32) {
    let pid = Pid::from_raw(i32::try_from(pid).expect("a process id"));
    signal_descendant(pid, Signal::KILL).expect("it lives");
}

/// How many programs of random requests, unless `PLEACH_RUNS` says otherwise.
fn runs() -> u64 {
    std::env::var("PLEACH_RUNS").ok().and_then(|n| n.parse().ok()).unwrap_or(6)
}

/// Random enough for a program of requests; source: splitmix64.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((x ^ (x >> 31)) % n as u64).expect("below a small number")
    }
}

fn told(books: Books) -> (u32, u32) {
    (books.terminated, books.killed)
}

fn a_killed_child_is_there_again_and_its_siblings_do_not_notice() {
    at_root(async |story| {
        supervised(one_for_one(), async |an| {
            let (a, b) = (an.child(serve("a"))?, an.child(serve("b"))?);
            let (first, other) = (a.portal().await?, b.portal().await?);
            for nth in 2..5 {
                let before = a.portal().await?;
                kill(before.id().pid());
                let after = a.after(&before).await?;
                assert_eq!(after.call(WHO, ()).await?, (nth, after.id().pid()));
            }
            assert_eq!(other.call(WHO, ()).await?, (1, other.id().pid()), "it lives on");
            assert_eq!(first.id().incarnation().number(), 1);
            let children = an.children();
            assert_eq!((children[0].name.as_str(), children[0].state), ("a", ChildState::Up));
            let last = children[0].last_error.as_ref().expect("it was killed");
            assert!(matches!(last.kind, ErrorKind::Died { .. }), "{last:?}");
            assert_eq!((last.origin.path.as_str(), last.origin.incarnation), ("root/a", 3));
            assert!(children[1].last_error.is_none());
            an.shut_down().await
        })
        .await?;
        assert_eq!(story.take(), "+a1 +b1 -a1 +a2 -a2 +a3 -a3 +a4 -b1 -a4");
        assert_eq!(story.notes.borrow().len(), 3, "each death was told");
        Ok(())
    });
}

fn a_portal_ends_with_its_incarnation_and_a_follower_waits_for_the_next() {
    at_root(async |_| {
        supervised(one_for_one(), async |an| {
            let a = an.child(serve("a"))?;
            let portal = a.portal().await?;
            let pid = portal.id().pid();
            let e = nursery(async |n| {
                let waits = n.task(portal.call(WAIT, ()));
                checkpoint().await?;
                kill(pid);
                Ok(waits.await?)
            })
            .await
            .expect_err("nobody makes it again");
            assert_eq!(*e.kind(), ErrorKind::Gone, "{e}");
            assert_eq!(a.after(&portal).await?.id().incarnation().number(), 2);
            assert_eq!(
                *portal.call(WHO, ()).await.expect_err("it was the first one's").kind(),
                ErrorKind::Gone
            );
            // Also while there is none.
            kill(a.portal().await?.id().pid());
            let second = a.portal().await?;
            assert!(second.id().incarnation().number() >= 2);
            an.shut_down().await?;
            let e = a.call(WHO, ()).await.expect_err("it was stopped");
            assert_eq!(*e.kind(), ErrorKind::Gone, "{e}");
            Ok(())
        })
        .await
    });
}

fn who_is_started_again_depends_on_how_it_has_ended() {
    for (restart, well, starts) in [
        (Restart::Permanent, true, 3),
        (Restart::Permanent, false, 3),
        (Restart::Transient, true, 1),
        (Restart::Transient, false, 3),
        (Restart::Temporary, true, 1),
        (Restart::Temporary, false, 1),
    ] {
        at_root(async |story| {
            // With two restarts in an hour the third is one too many: so it is counted without waiting.
            let how = Supervision::new(Strategy::OneForOne).intensity(2, LONG);
            let r = supervised(how, async |an| {
                let _child = an.child(Child::call(start("a"), END, well).restart(restart))?;
                Ok(())
            })
            .await;
            let lines = story.take();
            assert_eq!(lines.matches('+').count(), starts, "{restart:?}, well: {well}: {lines}");
            assert_eq!(r.is_err(), starts == 3, "{restart:?}, well: {well}");
            let told = usize::from(!well) * starts;
            assert_eq!(story.notes.borrow().iter().filter(|note| note.contains("as asked")).count(), told);
            Ok(())
        });
    }
}

fn with_rest_for_one_those_after_it_go_backwards_and_come_forwards() {
    at_root(async |story| {
        supervised(rest_for_one(), async |an| {
            for name in ["a", "b", "c", "d"] {
                an.child(serve(name))?.portal().await?;
            }
            assert_eq!(story.take(), "+a1 +b1 +c1 +d1");
            let (b, d) = (an.follow("b")?, an.follow("d")?);
            let (first, last) = (b.portal().await?, d.portal().await?);
            kill(first.id().pid());
            d.after(&last).await?;
            assert_eq!(story.take(), "-b1 -d1 -c1 +b2 +c2 +d2");
            an.restart("c").await?;
            let last = d.portal().await?;
            assert_eq!(last.call(WHO, ()).await?.0, 3);
            assert_eq!(story.take(), "-d2 -c2 +c3 +d3");
            an.shut_down().await
        })
        .await?;
        assert_eq!(story.take(), "-d3 -c3 -b2 -a1");
        Ok(())
    });
}

fn one_restart_too_many_stops_all_and_says_what_happened() {
    at_root(async |story| {
        let how = Supervision::new(Strategy::OneForOne).intensity(2, LONG);
        let e = supervised(how, async |an| {
            for name in ["a", "b"] {
                an.child(serve(name))?.portal().await?;
            }
            an.child(Child::call(start("c"), END, false))?;
            sleep_forever().await?;
            Ok(())
        })
        .await
        .expect_err("it cannot be kept");
        assert_eq!(*e.kind(), ErrorKind::TooManyRestarts { most: 2, period_ns: 3_600_000_000_000 }, "{e}");
        assert_eq!(e.origin().path, "root");
        let members: Vec<_> =
            e.members().iter().map(|m| (m.message.as_str(), m.origin.incarnation)).collect();
        assert_eq!(members, [("as asked", 1), ("as asked", 2), ("as asked", 3)]);
        assert_eq!(story.take(), "+a1 +b1 +c1 -c1 +c2 -c2 +c3 -c3 -b1 -a1");
        Ok(())
    });
}

fn what_never_comes_up_is_too_much_as_well() {
    at_root(async |story| {
        let how = Supervision::new(Strategy::RestForOne).intensity(1, LONG);
        let e = supervised(how, async |an| {
            let a = an.child(Child::serve(start("a").fault(Step::Ready, Fault::Exit(67))))?;
            an.child(serve("b"))?;
            let e = a.portal().await.expect_err("it never comes up");
            assert!(e.is_cancelled(), "the supervisor has failed: {e}");
            Err::<(), _>(e)
        })
        .await
        .expect_err("it cannot be kept");
        assert!(matches!(e.kind(), ErrorKind::TooManyRestarts { .. }), "{e}");
        let in_boot = e.members().iter().filter(|death| matches!(death.kind, ErrorKind::DiedInBoot { .. }));
        assert_eq!(in_boot.count(), 2, "{e}");
        assert_eq!(story.take(), "+a1 -a1 +a2 -a2", "what comes after it was never started");
        Ok(())
    });
}

fn a_shutdown_goes_backwards_and_the_nursery_goes_on() {
    at_root(async |story| {
        supervised(one_for_one(), async |an| {
            for name in ["a", "b", "c"] {
                an.child(serve(name))?.portal().await?;
            }
            an.shut_down().await?;
            assert_eq!(story.take(), "+a1 +b1 +c1 -c1 -b1 -a1");
            assert!(
                an.children().iter().all(|child| child.state == ChildState::Stopped && child.pid.is_none())
            );
            an.restart("b").await?;
            an.child(serve("d"))?.portal().await?;
            an.shut_down().await?;
            assert_eq!(story.take(), "+b2 +d1 -d1 -b2");
            an.shut_down().await
        })
        .await?;
        assert_eq!(told(Actor::current().books()), (0, 0), "all by messages");
        Ok(())
    });
}

fn a_stopped_child_stays_away_until_somebody_asks() {
    at_root(async |story| {
        supervised(one_for_one(), async |an| {
            let (a, _b) = (an.child(serve("a"))?, an.child(serve("b"))?.portal().await?);
            a.portal().await?;
            an.stop("a").await?;
            assert_eq!(an.children()[0].state, ChildState::Stopped);
            an.stop("a").await?;
            an.restart("a").await?;
            assert_eq!(a.call(WHO, ()).await?.0, 2);
            an.restart("a").await?;
            assert_eq!(a.call(WHO, ()).await?.0, 3);
            // Cancelled by its portal it has ended well, and it is to be there.
            let third = a.portal().await?;
            third.cancel();
            a.after(&third).await?;
            an.cancel();
            Ok(())
        })
        .await?;
        let lines = story.take();
        assert!(lines.contains("-a1 +a2 -a2 +a3 -a3 +a4"), "{lines}");
        Ok(())
    });
}

fn a_child_is_stopped_in_its_own_way() {
    let config = Config::default().cancel(Duration::from_millis(50)).terminate_at(50);
    for (stop, endpoint, rungs) in [
        (Some(Stop::Kill), DEAF, (0, 1)),
        (Some(Stop::Within(Duration::from_millis(20))), DEAF, (1, 1)),
        (None, DEAF, (1, 1)),
    ] {
        at_root(async |story| {
            supervised_with(config, one_for_one(), async |an| {
                let child = Child::call(start("a"), endpoint, ());
                an.child(match stop {
                    Some(stop) => child.stop(stop),
                    None => child,
                })?;
                story.noted("deaf").await?;
                an.stop("a").await
            })
            .await?;
            assert_eq!(told(Actor::current().books()), rungs, "{stop:?}");
            Ok(())
        });
    }
    for (stop, rungs) in [(Stop::Forever, (0, 0)), (Stop::Within(LONG), (0, 0))] {
        at_root(async |story| {
            supervised_with(config, one_for_one(), async |an| {
                an.child(Child::call(start("a"), SLOW, 300).stop(stop))?;
                story.noted("slow").await?;
                an.stop("a").await
            })
            .await?;
            assert_eq!(told(Actor::current().books()), rungs, "{stop:?}: it had its time");
            Ok(())
        });
    }
}

fn the_first_failure_cancels_all_where_nobody_is_started_again() {
    at_root(async |story| {
        let e = pleach::actors(async |an| {
            an.child(serve("a"))?.portal().await?;
            an.child(Child::call(start("b"), END, false))?;
            sleep_forever().await?;
            Ok(())
        })
        .await
        .expect_err("the first failure is the nursery's");
        assert_eq!((e.message(), e.origin().path.as_str()), ("as asked", "root/b"));
        assert_eq!(story.take(), "+a1 +b1 -b1 -a1");
        Ok(())
    });
}

fn a_failure_of_another_actor_ends_the_supervised_as_well() {
    at_root(async |story| {
        let causes: Rc<RefCell<Vec<String>>> = Rc::default();
        let heard = Rc::clone(&causes);
        let _watching = Actor::current().observe(move |event| {
            if let Event::Ended { ending: Ending::Cancelled(cause), .. } = event {
                heard.borrow_mut().push(cause.to_string());
            }
        });
        let e = supervised(one_for_one(), async |an| {
            let a = an.child(serve("a"))?;
            let first = a.portal().await?;
            kill(first.id().pid());
            a.after(&first).await?;
            an.call_with(start("other"), END, false).await
        })
        .await
        .expect_err("the other is not supervised");
        assert_eq!(e.message(), "as asked");
        assert_eq!(story.take(), "+a1 -a1 +a2 +other1 -other1 -a2");
        let causes = causes.take();
        assert!(causes.len() == 1 && causes[0].starts_with("root/other failed first"), "{causes:?}");
        Ok(())
    });
}

fn a_cancel_from_above_ends_all_and_starts_nobody() {
    at_root(async |story| {
        for micros in [0, 500, 2000, 20_000] {
            let ended = move_on_after(Duration::from_micros(micros), async |_| {
                supervised(rest_for_one(), async |an| {
                    for name in ["a", "b", "c"] {
                        an.child(serve(name))?;
                    }
                    Ok(())
                })
                .await
            });
            assert!(ended.await?.is_none(), "they are to be there for ever");
        }
        let lines = story.take();
        assert_eq!(lines.matches('+').count(), lines.matches('-').count(), "{lines}");
        assert_eq!(told(Actor::current().books()), (0, 0), "{lines}");
        Ok(())
    });
}

fn a_dropped_supervisor_leaves_nobody() {
    at_root(async |_| {
        let up = Flag::new();
        let mut tree = Box::pin(supervised(one_for_one(), async |an| {
            an.child(serve("a"))?.portal().await?;
            up.set();
            sleep_forever().await?;
            Ok(())
        }));
        let mut is_up = Box::pin(up.wait());
        std::future::poll_fn(|cx| {
            let _: std::task::Poll<Result<(), Error>> = tree.as_mut().poll(cx);
            is_up.as_mut().poll(cx)
        })
        .await?;
        drop(is_up);
        drop(tree);
        Ok(())
    });
}

fn what_a_supervisor_does_not_know_it_says() {
    at_root(async |_| {
        supervised(one_for_one(), async |an| {
            let gone = |r: Result<(), Error>| *r.expect_err("there is none").kind() == ErrorKind::Gone;
            assert!(gone(an.stop("a").await) && gone(an.restart("a").await));
            assert!(gone(an.follow("a").map(drop)));
            let a = an.child(serve("a"))?;
            let e = an.child(serve("a")).expect_err("one of a name");
            assert!(matches!(e.kind(), ErrorKind::Spawn { step, .. } if step == "name"), "{e}");
            a.portal().await?;
            an.shut_down().await
        })
        .await
    });
}

/// The observer of every case fails it if two incarnations of a name live at once.
fn a_name_is_had_by_one_at_a_time_whatever_happens() {
    for seed in 0..runs() {
        at_root(async |story| {
            let mut dice = Dice(seed);
            let how = if seed % 2 == 0 { one_for_one() } else { rest_for_one() };
            let names = ["a", "b", "c", "d"];
            supervised(how, async |an| {
                for name in names {
                    an.child(serve(name))?;
                }
                for _ in 0..20 {
                    let name = names[dice.below(4)];
                    match dice.below(6) {
                        which @ (0 | 1) => {
                            let signal = if which == 0 { Signal::KILL } else { Signal::STOP };
                            let pid = an.children().iter().find(|c| c.name == name).and_then(|c| c.pid);
                            let pid = pid.and_then(|pid| i32::try_from(pid).ok());
                            let _ = pid.map(|pid| signal_descendant(Pid::from_raw(pid), signal));
                        }
                        2 => {
                            _ = move_on_after(Duration::from_micros(300), async |_| an.restart(name).await)
                                .await?
                        }
                        3 => {
                            _ = move_on_after(Duration::from_micros(300), async |_| an.stop(name).await)
                                .await?
                        }
                        4 => sleep(Duration::from_micros(700)).await?,
                        _ => checkpoint().await?,
                    }
                }
                for name in names {
                    an.restart(name).await?;
                }
                assert!(an.children().iter().all(|child| child.state != ChildState::Stopped));
                an.shut_down().await
            })
            .await?;
            let lines = story.take();
            assert_eq!(lines.matches('+').count(), lines.matches('-').count(), "{lines}");
            Ok(())
        });
    }
}

fn a_closure_is_called_again_with_new_grants() {
    if backend::ANEW {
        return;
    }
    at_root(async |_| {
        let made = Rc::new(Cell::new(0));
        let makes = Rc::clone(&made);
        let how = Supervision::new(Strategy::OneForOne).intensity(2, LONG);
        let e = supervised(how, async |an| {
            let grants = move || {
                makes.set(makes.get() + 1);
                Ok(())
            };
            let nth = Rc::clone(&made);
            let code = async move |actor: Actor, ()| {
                assert_eq!(nth.get(), actor.id().incarnation().number());
                Err(Error::msg("as asked"))
            };
            an.child(Child::fork(start("a"), grants, code))?;
            Ok(())
        })
        .await
        .expect_err("it fails each time");
        assert_eq!((made.get(), e.members().len()), (3, 3), "{e}");
        assert!(e.members().iter().all(|member| member.message == "as asked"), "{e}");
        Ok(())
    });
}

fn what_a_child_is_given_is_given_to_each_incarnation() {
    at_root(async |_| {
        supervised(one_for_one(), async |an| {
            // All read the same place of the file, so who reads comes to its end.
            let file = std::env::temp_dir().join("given");
            std::fs::write(&file, "for all of you")?;
            let start = start("a").give(std::fs::File::open(&file)?);
            let a = an.child(Child::serve(start))?;
            let mut portal = a.portal().await?;
            assert_eq!(portal.call(READ, ()).await?, "for all of you");
            for _ in 0..2 {
                kill(portal.id().pid());
                portal = a.after(&portal).await?;
                assert_eq!(portal.call(READ, ()).await?, "", "the same open file, read to its end");
            }
            std::fs::remove_file(&file)?;
            an.shut_down().await
        })
        .await
    });
}

/// Case S184. Case S232.
fn an_error_on_the_way_out_is_the_nurserys() {
    for strategy in [one_for_one(), Supervision::new(Strategy::OneCancelsAll)] {
        at_root(async |story| {
            let e = supervised(strategy, async |an| {
                an.child(Child::call(start("a"), FAIL_LATE, ()))?;
                story.noted("up").await?;
                an.cancel();
                Ok(())
            })
            .await
            .expect_err("nobody is left to start it again");
            assert_eq!((e.message(), e.origin().path.as_str()), ("it could not clean up", "root/a"));
            Ok(())
        });
    }
}

fn a_follower_is_over_with_its_nursery_and_stale_in_a_fork() {
    at_root(async |_| {
        let mut kept = None;
        supervised(one_for_one(), async |an| {
            let a = an.child(serve("a"))?;
            a.portal().await?;
            if !backend::ANEW {
                let inherited = a.clone();
                let tries = async move |_, ()| match inherited.portal().await {
                    Err(e) => Ok(*e.kind() == ErrorKind::StaleHandle),
                    Ok(_) => Ok(false),
                };
                assert!(an.fork(start("tries"), (), tries).await?, "it is the parent's");
            }
            kept = Some(a);
            an.cancel();
            Ok(())
        })
        .await?;
        let e = kept.expect("it was kept").portal().await.expect_err("it has ended");
        assert_eq!(*e.kind(), ErrorKind::Gone, "{e}");
        Ok(())
    });
}

fn an_argument_that_does_not_fit_is_said_at_once() {
    at_root(async |story| {
        supervised_with(Config::default().frame(1 << 16), one_for_one(), async |an| {
            let e = an.child(Child::call(start("a"), LARGE, vec![0; 1 << 17])).expect_err("it does not fit");
            assert_eq!(*e.kind(), ErrorKind::Protocol, "{e}");
            assert!(an.children().is_empty());
            Ok(())
        })
        .await?;
        assert_eq!(story.take(), "");
        Ok(())
    });
}

fn a_supervisor_that_gives_up_is_started_again_by_its_own() {
    at_root(async |story| {
        let how = Supervision::new(Strategy::OneForOne).intensity(1, LONG);
        let e = supervised(how, async |an| {
            an.child(Child::call(start("middle").may_spawn(true), SUPERVISE, ()))?;
            Ok(())
        })
        .await
        .expect_err("neither can be kept");
        let middle = "+middle1 +leaf1 -leaf1 +leaf2 -leaf2 -middle1";
        assert_eq!(story.take(), format!("{middle} {}", middle.replace("middle1", "middle2")));
        assert_eq!(e.members().len(), 2);
        for (nth, gave_up) in e.members().iter().enumerate() {
            assert!(matches!(gave_up.kind, ErrorKind::TooManyRestarts { most: 1, .. }), "{e}");
            assert_eq!(
                (gave_up.origin.path.as_str(), gave_up.origin.incarnation),
                ("root/middle", nth as u32 + 1)
            );
            let leaves: Vec<_> = gave_up.members.iter().map(|leaf| leaf.origin.path.as_str()).collect();
            assert_eq!(leaves, ["root/middle/leaf", "root/middle/leaf"]);
        }
        Ok(())
    });
}
