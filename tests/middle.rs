//! A process in the middle of a tree is killed from outside: its parent hears of it by the event, its siblings are
//! cancelled because of it, what was below it is gone, and the error names it.

use pleach::test_main::{adopt_strays, expect_strays_gone};
use pleach::{
    Actor, Config, Ending, Error, ErrorKind, Event, Status, Why, actors, actors_with, run, shielded,
    sleep_forever,
};
use pleach_spawn::{Pid, Signal, exit_now, signal_descendant};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

pleach::test_main!(
    a_killed_middle_is_named_and_its_siblings_are_cancelled,
    #[limit(120)]
    a_stopped_middle_is_ended_by_the_cancel_and_nobody_below_it_is_left,
    a_quiet_exit_of_an_actor_is_a_failure,
    a_deaf_actor_is_killed_at_the_deadline_and_counts_as_cancelled,
);

const GUARD: Duration = Duration::from_secs(20);

/// How often the random cases run.
fn runs() -> u32 {
    std::env::var("PLEACH_RUNS").ok().and_then(|n| n.parse().ok()).unwrap_or(20)
}

/// A tree of two in breadth below this actor, whose leaves say that they are up, and wait.
async fn grow(actor: Actor, levels: u32) -> Result<(), Error> {
    if levels == 0 {
        actor.note("up");
        sleep_forever().await?;
        return Ok(());
    }
    actors(async |an| {
        for i in 0..2 {
            let _running = an.fork(format!("a{i}"), (), async move |actor, ()| grow(actor, levels - 1).await);
        }
        Ok(())
    })
    .await
}

/// What an observer at the root has heard.
#[derive(Default)]
struct Heard {
    pids: Vec<(String, u32)>,
    up: u32,
    endings: Vec<(String, Ending)>,
}

/// Grows the tree, does something to one actor when all leaves are up, and gives what came of it.
fn struck(
    config: Config,
    victim: usize,
    strike: impl Fn(u32) + Clone + 'static,
) -> (Error, Heard, String, u32, Actor) {
    let heard = Rc::new(RefCell::new(Heard::default()));
    let struck = Rc::new(RefCell::new((String::new(), 0)));
    let (r, root) = run(async {
        let root = Actor::current();
        let (hears, strikes) = (Rc::clone(&heard), Rc::clone(&struck));
        let _watching = root.observe(move |event| {
            let mut h = hears.borrow_mut();
            match event {
                Event::Started { actor, .. } => h.pids.push((actor.path().to_owned(), actor.pid())),
                Event::Ended { actor, ending, .. } => {
                    h.endings.push((actor.path().to_owned(), ending.clone()))
                }
                Event::Note { .. } => {
                    h.up += 1;
                    if h.up == 8 {
                        let (path, pid) = h.pids[victim % h.pids.len()].clone();
                        *strikes.borrow_mut() = (path, pid);
                        strike(pid);
                    }
                }
                _ => {}
            }
        });
        let r = actors_with(config, async |an| {
            for i in 0..2 {
                let _running = an.fork(format!("a{i}"), (), async |actor, ()| grow(actor, 2).await);
            }
            Ok(())
        })
        .await;
        (r, root)
    });
    let (path, pid) = struck.take();
    (r.expect_err("one was struck"), heard.take(), path, pid, root)
}

fn pid(n: u32) -> Pid {
    Pid::from_raw(i32::try_from(n).expect("a process id"))
}

fn a_killed_middle_is_named_and_its_siblings_are_cancelled() {
    adopt_strays().unwrap();
    for run in 0..runs() {
        // A pseudo-random one of the fourteen, leaves and middles alike.
        let victim = (run as usize).wrapping_mul(2_654_435_761) >> 3;
        let patient = Config::default().cancel(Duration::from_secs(600));
        let strike = |n| signal_descendant(pid(n), Signal::KILL).expect("it lives");
        let (e, heard, path, number, _) = struck(patient, victim, strike);
        let killed = Status::Signaled { signal: 9, core: false };
        let named = e.leaves().iter().any(|leaf| {
            leaf.origin.path == path && leaf.kind == ErrorKind::Died { pid: number, status: killed }
        });
        assert!(named, "run {run}: {path} ({number}) is not named with its signal:\n{e}");
        let sibling = match path.strip_suffix('0') {
            Some(stem) => format!("{stem}1"),
            None => format!("{}0", path.strip_suffix('1').expect("two in breadth")),
        };
        let cancelled = heard.endings.iter().any(|(p, ending)| {
            *p == sibling
                && matches!(ending, Ending::Cancelled(c)
                    if matches!(c.why(), Why::SiblingFailed { origin, .. } if *origin == path))
        });
        assert!(cancelled, "run {run}: {sibling} was not told that {path} failed: {:?}", heard.endings);
        expect_strays_gone(GUARD).unwrap();
    }
}

/// A stopped process answers nothing: the ladder of its parent ends it, and its own children end without it.
fn a_stopped_middle_is_ended_by_the_cancel_and_nobody_below_it_is_left() {
    adopt_strays().unwrap();
    for run in 0..runs().min(20) {
        let limit = Config::default().cancel(Duration::from_millis(500));
        let r: Result<(), Error> = pleach::run(actors_with(limit, async |an| {
            let up = Rc::new(RefCell::new((0, Vec::new())));
            let all = Rc::new(pleach::sync::Event::new());
            let (heard, signal) = (Rc::clone(&up), Rc::clone(&all));
            let _watching = an.actor().observe(move |event| match event {
                Event::Started { actor, .. } => heard.borrow_mut().1.push(actor.pid()),
                Event::Note { .. } => {
                    heard.borrow_mut().0 += 1;
                    if heard.borrow().0 == 8 {
                        signal.set();
                    }
                }
                _ => {}
            });
            for i in 0..2 {
                let _running = an.fork(format!("a{i}"), (), async |actor, ()| grow(actor, 2).await);
            }
            all.wait().await?;
            let pids = up.borrow().1.clone();
            signal_descendant(pid(pids[run as usize % pids.len()]), Signal::STOP)?;
            an.cancel();
            Ok(())
        }));
        r.unwrap_or_else(|e| panic!("run {run}: a cancel is no failure: {e}"));
        expect_strays_gone(GUARD).unwrap();
    }
}

fn a_quiet_exit_of_an_actor_is_a_failure() {
    for status in [0, 3] {
        let r: Result<(), Error> = run(actors(async |an| {
            an.fork("quiet", (), async move |_, ()| -> Result<(), Error> { exit_now(status) }).result().await
        }));
        let e = r.expect_err("it said nothing");
        assert!(matches!(e.kind(), ErrorKind::Died { status: Status::Exited(s), .. } if *s == status), "{e}");
    }
}

fn a_deaf_actor_is_killed_at_the_deadline_and_counts_as_cancelled() {
    let config = Config::default().cancel(Duration::from_millis(300));
    let (r, books) = run(async {
        let root = Actor::current();
        let r: Result<(), Error> = actors_with(config, async |an| {
            for _ in 0..4 {
                let deaf = an.fork("deaf", (), async |actor, ()| {
                    shielded::<(), Error>(async |_| {
                        actor.note("up");
                        sleep_forever().await?;
                        Ok(())
                    })
                    .await
                });
                deaf.ready().await?;
            }
            an.cancel();
            Ok(())
        })
        .await;
        (r, root.books())
    });
    r.expect("a cancel is no failure");
    assert_eq!((books.started, books.reaped, books.terminated, books.killed), (4, 4, 4, 4));
}
