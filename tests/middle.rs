//! A process in the middle of a tree is killed from outside: its parent hears of it by the event, its siblings are
//! cancelled because of it, what was below it is gone, and the error names it.

#[path = "support/backend.rs"]
mod backend;

use backend::{at_root, start};
use pleach::test_main::{adopt_strays, expect_strays_gone};
use pleach::{
    Actor, ActorNursery, Books, Config, Ending, Endpoint, Error, ErrorKind, Event, Program, Status, Why,
    actors, actors_with, checkpoint, shielded, sleep_forever, stats,
};
use pleach_spawn::{Pid, Signal, exit_now, signal_descendant};
use std::cell::RefCell;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::time::Duration;

pleach::test_main!(
    program = program;
    a_killed_middle_is_named_and_its_siblings_are_cancelled,
    a_stopped_actor_is_named_and_its_siblings_are_cancelled_and_no_timer_tells,
    what_a_terminal_stops_has_not_failed,
    #[ignore = "needs a process group of its own; run by the one above"]
    is_stopped_as_by_a_terminal,
    a_stop_and_a_cancel_at_once_end_the_tree_in_order,
    a_quiet_exit_of_an_actor_is_a_failure,
    a_deaf_actor_is_killed_at_the_deadline_and_counts_as_cancelled,
);

const GUARD: Duration = Duration::from_secs(20);

const GROW: Endpoint<u32, ()> = Endpoint::new("grow");
const WAIT: Endpoint<(), ()> = Endpoint::new("wait");
const QUIT: Endpoint<i32, ()> = Endpoint::new("quit");
const DEAF: Endpoint<(), ()> = Endpoint::new("deaf");

fn program() -> Program {
    Program::new("root")
        .endpoint(GROW, async |context, levels| grow(context.actor().clone(), levels).await)
        .endpoint(WAIT, async |_, ()| wait().await)
        .endpoint(QUIT, async |_, status| exit_now(status))
        .endpoint(DEAF, async |context, ()| deaf(context.actor().clone()).await)
}

/// Starts two actors so many levels above the leaves.
fn plant(an: &ActorNursery, levels: u32) {
    for i in 0..2 {
        let code = async move |actor, ()| grow(actor, levels).await;
        let _running = start(an, format!("a{i}"), GROW, levels, code);
    }
}

async fn wait() -> Result<(), Error> {
    sleep_forever().await?;
    Ok(())
}

/// It heeds no cancel.
async fn deaf(actor: Actor) -> Result<(), Error> {
    shielded(async |_| {
        actor.note("up");
        wait().await
    })
    .await
}

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
        plant(an, levels - 1);
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
    /// Timers that fired at the root in the whole life of the tree.
    timers: u64,
}

/// Grows the tree, does something to one actor when all leaves are up, and gives what came of it.
fn struck(
    config: Config,
    victim: usize,
    strike: impl Fn(u32) + Clone + 'static,
) -> (Error, Heard, String, u32, Actor) {
    let heard = Rc::new(RefCell::new(Heard::default()));
    let struck = Rc::new(RefCell::new((String::new(), 0)));
    let (r, root) = at_root(program, async || {
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
            plant(an, 2);
            Ok(())
        })
        .await;
        heard.borrow_mut().timers = stats().timers_fired;
        (r, root)
    });
    let (path, pid) = struck.take();
    (r.expect_err("one was struck"), heard.take(), path, pid, root)
}

fn pid(n: u32) -> Pid {
    Pid::from_raw(i32::try_from(n).expect("a process id"))
}

/// A pseudo-random one of the fourteen, leaves and middles alike.
fn victim(run: u32) -> usize {
    (run as usize).wrapping_mul(2_654_435_761) >> 3
}

/// Strikes a random actor with `signal` and asserts that the error names it, as this `kind`, and that its sibling was
/// cancelled because of it.
///
/// Returns what the root has heard and done.
fn strike_one(run: u32, signal: Signal, kind: impl Fn(u32) -> ErrorKind) -> (Heard, Books) {
    let patient = Config::default().cancel(Duration::from_secs(600));
    let strike = move |n| signal_descendant(pid(n), signal).expect("it lives");
    let (e, heard, path, number, root) = struck(patient, victim(run), strike);
    let named = e.leaves().iter().any(|leaf| leaf.origin.path == path && leaf.kind == kind(number));
    assert!(named, "run {run}: {path} ({number}) is not named with {signal}:\n{e}");
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
    (heard, root.books())
}

/// Case S218.
fn a_killed_middle_is_named_and_its_siblings_are_cancelled() {
    adopt_strays().unwrap();
    let killed = Status::Signaled { signal: 9, core: false };
    for run in 0..runs() {
        let (heard, books) = strike_one(run, Signal::KILL, |pid| ErrorKind::Died { pid, status: killed });
        assert_eq!((heard.timers, books.terminated, books.killed), (0, 0, 0), "run {run}: a timer told");
    }
}

/// The one who is stopped is continued only to end, with all below it: nobody is killed, and nothing takes time.
/// Case S224.
fn a_stopped_actor_is_named_and_its_siblings_are_cancelled_and_no_timer_tells() {
    adopt_strays().unwrap();
    for run in 0..runs() {
        let (heard, books) = strike_one(run, Signal::STOP, |pid| ErrorKind::Stopped { pid, signal: 19 });
        assert_eq!((heard.timers, books.terminated, books.killed), (0, 0, 0), "run {run}");
        assert_eq!((books.started, books.reaped), (14, 14), "run {run}");
    }
}

/// Who is stopped and cancelled at the same moment goes on to end as it was asked to; whether its parent saw the stop
/// or the cancel first decides whether that was a failure.
/// Case S224.
fn a_stop_and_a_cancel_at_once_end_the_tree_in_order() {
    adopt_strays().unwrap();
    for run in 0..runs() {
        let limit = Config::default().cancel(Duration::from_secs(600));
        let (r, stopped, timers, books) = at_root(program, async || {
            let mut stopped = 0;
            let r: Result<(), Error> = actors_with(limit, async |an| {
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
                plant(an, 2);
                all.wait().await?;
                let pids = up.borrow().1.clone();
                stopped = pids[run as usize % pids.len()];
                signal_descendant(pid(stopped), Signal::STOP)?;
                an.cancel();
                Ok(())
            })
            .await;
            (r, stopped, stats().timers_fired, Actor::current().books())
        });
        if let Err(e) = r {
            let only_that =
                |leaf: &&pleach::ErrorTree| leaf.kind == ErrorKind::Stopped { pid: stopped, signal: 19 };
            assert!(e.leaves().iter().all(only_that), "run {run}: {e}");
        }
        assert_eq!((timers, books.started, books.reaped), (0, 14, 14), "run {run}");
        assert_eq!((books.terminated, books.killed), (0, 0), "run {run}");
        expect_strays_gone(GUARD).unwrap();
    }
}

/// Ctrl-Z is no failure. And who stands still because of it ends as it is asked to when another one has failed.
///
/// In a group of its own, below a process of another group of this session: in a group without such a parent the kernel
/// discards what a terminal would stop it by.
fn what_a_terminal_stops_has_not_failed() {
    let mut again = Command::new(std::env::current_exe().expect("a running program has a path"));
    again.args(["is_stopped_as_by_a_terminal", "--exact", "--ignored", "--nocapture"]);
    let output = again.stdin(Stdio::null()).process_group(0).output().expect("it starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

fn is_stopped_as_by_a_terminal() {
    let (r, books) = at_root(program, async || {
        let root = Actor::current();
        let r: Result<(), Error> = actors(async |an| {
            let one = |name| start(an, name, WAIT, (), async |_, ()| wait().await);
            let (paused, stopped) = (one("paused"), one("stopped"));
            let (first, second) = (paused.ready().await?, stopped.ready().await?);
            signal_descendant(pid(first), Signal::TSTP)?;
            stands_still(first).await?;
            signal_descendant(pid(second), Signal::STOP)?;
            paused.result().await
        })
        .await;
        (r, root.books())
    });
    let e = r.expect_err("one was stopped");
    assert!(matches!(e.kind(), ErrorKind::Stopped { signal: 19, .. }), "one failure, and not of {e}");
    assert_eq!(e.origin().path, "root/stopped");
    assert_eq!((books.started, books.reaped, books.terminated, books.killed), (2, 2, 0, 0));
}

/// Looks until it stands still, and then as many turns of the loop as it takes to hear of it.
async fn stands_still(pid: u32) -> Result<(), Error> {
    let state = format!("/proc/{pid}/stat");
    let stopped = |stat: &str| stat.rsplit_once(')').is_some_and(|(_, rest)| rest.starts_with(" T"));
    while !stopped(&std::fs::read_to_string(&state)?) {
        checkpoint().await?;
    }
    for _ in 0..100 {
        checkpoint().await?;
    }
    Ok(())
}

/// Case S218.
fn a_quiet_exit_of_an_actor_is_a_failure() {
    for status in [0, 3] {
        let r: Result<(), Error> = at_root(program, async || {
            actors(async |an| start(an, "quiet", QUIT, status, async move |_, ()| exit_now(status)).await)
                .await
        });
        let e = r.expect_err("it said nothing");
        assert!(matches!(e.kind(), ErrorKind::Died { status: Status::Exited(s), .. } if *s == status), "{e}");
    }
}

fn a_deaf_actor_is_killed_at_the_deadline_and_counts_as_cancelled() {
    let config = Config::default().cancel(Duration::from_millis(300));
    let (r, books) = at_root(program, async || {
        let root = Actor::current();
        let r: Result<(), Error> = actors_with(config, async |an| {
            for _ in 0..4 {
                let deaf = start(an, "deaf", DEAF, (), async |actor, ()| deaf(actor).await);
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
