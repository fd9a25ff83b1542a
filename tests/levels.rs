//! What holds at every level of a tree, on every backend: values and errors come home whole, nobody inherits what is not
//! its own, the table of descriptors does not grow with the depth, and an end is a matter of messages.

#[path = "support/backend.rs"]
mod backend;

#[path = "support/harness.rs"]
mod harness;

use backend::{ANEW, SERVERS, at_root, start};
use pleach::{
    Actor, Cause, Config, Context, Ending, Endpoint, Error, ErrorKind, Event, Program, Start, Why, actors,
    inventory, sleep_forever, stats,
};
use std::cell::RefCell;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::Duration;

pleach::test_main!(
    program = program;
    #[limit(120)]
    a_large_value_right_before_the_exit_is_never_lost,
    an_error_keeps_kind_text_sources_and_origin_through_three_hops,
    a_group_of_two_is_a_group_of_two_through_three_hops,
    a_failure_cancels_the_sibling_and_names_itself_as_the_cause,
    later_siblings_wake_up_as_clean_as_the_first,
    the_inventory_at_the_start_is_what_was_declared,
    #[limit(120)]
    a_chain_of_64_fits_into_1024_descriptors_and_does_not_grow,
    an_idle_chain_ends_by_messages_alone,
    the_books_of_a_tree_add_up,
    #[limit(300)]
    no_setting_of_the_harness_changes_what_is_there_at_the_start,
);

const LARGE: Endpoint<(), Vec<u8>> = Endpoint::new("large");
const BELOW: Endpoint<u32, ()> = Endpoint::new("below");
const TWO_FAIL: Endpoint<u32, ()> = Endpoint::new("two_fail");
const GATED: Endpoint<String, ()> = Endpoint::new("gated");
const WAIT: Endpoint<(), ()> = Endpoint::new("wait");
const FAIL: Endpoint<(), ()> = Endpoint::new("fail");
const COUNTS: Endpoint<(), Counts> = Endpoint::new("counts");
const LOOK: Endpoint<(), Look> = Endpoint::new("look");
const CHAIN: Endpoint<u32, Vec<u32>> = Endpoint::new("chain");
const IDLE: Endpoint<u32, ()> = Endpoint::new("idle");
const BUSH: Endpoint<u32, ()> = Endpoint::new("bush");

fn program() -> Program {
    Program::new("root")
        .endpoint(LARGE, async |_, ()| Ok(large()))
        .endpoint(BELOW, async |_, hops| below(hops).await)
        .endpoint(TWO_FAIL, async |_, hops| two_fail(hops).await)
        .endpoint(GATED, async |context: Context, name: String| {
            let gate = context.actor().take_given().remove(0);
            gated(gate, &name)
        })
        .endpoint(WAIT, async |_, ()| wait().await)
        .endpoint(FAIL, async |_, ()| Err(Error::msg("no")))
        .endpoint(COUNTS, async |_, ()| counts())
        .endpoint(LOOK, async |_, ()| look())
        .endpoint(CHAIN, async |_, levels| chain(levels).await)
        .endpoint(IDLE, async |_, levels| idle(levels).await)
        .endpoint(BUSH, async |_, levels| bush(levels).await)
}

async fn wait() -> Result<(), Error> {
    sleep_forever().await?;
    Ok(())
}

// ---- what comes home

fn large() -> Vec<u8> {
    vec![7; 1 << 20]
}

fn a_large_value_right_before_the_exit_is_never_lost() {
    for _ in 0..100 {
        let r = at_root(program, async || {
            actors(async |an| start(an, "large", LARGE, (), async |_, ()| Ok(large())).await).await
        });
        assert!(r.unwrap() == large());
    }
}

#[derive(Debug)]
struct Outer(std::io::Error);

impl std::fmt::Display for Outer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("reading the header")
    }
}

impl std::error::Error for Outer {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

/// Fails `hops` processes further down.
async fn below(hops: u32) -> Result<(), Error> {
    if hops == 0 {
        return Err(Error::new(Outer(std::io::Error::other("disk full"))));
    }
    actors(async |an| start(an, "hop", BELOW, hops - 1, async move |_, ()| below(hops - 1).await).await).await
}

/// Case S187.
fn an_error_keeps_kind_text_sources_and_origin_through_three_hops() {
    let e = at_root(program, async || below(3).await).unwrap_err();
    assert!(matches!(e.kind(), ErrorKind::Failed { type_name } if type_name.contains("Outer")), "{e}");
    assert_eq!(e.message(), "reading the header");
    assert_eq!(e.tree().source, ["disk full"]);
    assert_eq!(e.origin().path, "root/hop/hop/hop");
    assert_ne!(e.origin().pid, std::process::id());
}

/// Both stand at the gate until both are up, so both fail.
async fn two_fail(hops: u32) -> Result<(), Error> {
    actors(async |an| {
        if hops > 0 {
            return start(an, "hop", TWO_FAIL, hops - 1, async move |_, ()| two_fail(hops - 1).await).await;
        }
        let (reader, writer) = std::io::pipe()?;
        for name in ["left", "right"] {
            let how = Start::new(name).give(reader.try_clone()?);
            let running = start(an, how, GATED, name.to_owned(), async move |actor: Actor, ()| {
                gated(actor.take_given().remove(0), name)
            });
            running.ready().await?;
        }
        drop(writer);
        Ok(())
    })
    .await
}

fn gated(gate: OwnedFd, name: &str) -> Result<(), Error> {
    std::fs::File::from(gate).read_to_end(&mut Vec::new())?;
    Err(Error::msg(format!("{name} failed")))
}

/// Case S239.
fn a_group_of_two_is_a_group_of_two_through_three_hops() {
    let e = at_root(program, async || two_fail(3).await).unwrap_err();
    assert_eq!(*e.kind(), ErrorKind::Group, "{e}");
    let mut texts: Vec<_> =
        e.members().iter().map(|m| (m.origin.name.as_str(), m.message.as_str())).collect();
    texts.sort_unstable();
    assert_eq!(texts, [("left", "left failed"), ("right", "right failed")]);
}

/// Case S185.
fn a_failure_cancels_the_sibling_and_names_itself_as_the_cause() {
    let causes: Rc<RefCell<Vec<Cause>>> = Rc::default();
    let r: Result<(), Error> = at_root(program, async || {
        let heard = Rc::clone(&causes);
        let _watching = Actor::current().observe(move |event| {
            if let Event::Ended { ending: Ending::Cancelled(cause), .. } = event {
                heard.borrow_mut().push(cause.clone());
            }
        });
        actors(async |an| {
            let idle = start(an, "idle", WAIT, (), async |_, ()| wait().await);
            idle.ready().await?;
            let failing = start(an, "failing", FAIL, (), async |_, ()| Err(Error::msg("no")));
            let (a, b) = (failing.await, idle.await);
            assert!(a.is_err() && b.is_err(), "the handles say that it is over, the error is the nursery's");
            a
        })
        .await
    });
    assert_eq!(r.unwrap_err().message(), "no");
    let causes = causes.take();
    assert_eq!(causes.len(), 1);
    let Why::SiblingFailed { origin, summary } = causes[0].why() else { panic!("{:?}", causes[0]) };
    assert_eq!(origin, "root/failing");
    assert!(summary.contains("no"));
}

// ---- what is there at the start

/// Tasks, timers, scopes, registrations, descriptors.
type Counts = (usize, usize, usize, usize, usize);

fn counts() -> Result<Counts, Error> {
    let s = stats();
    Ok((s.tasks, s.timers, s.scopes, s.registrations, inventory::open_fds()?.len()))
}

fn later_siblings_wake_up_as_clean_as_the_first() {
    let r: Result<Vec<Counts>, Error> = at_root(program, async || {
        actors(async |an| {
            let mut running = Vec::new();
            let mut seen = Vec::new();
            for i in 0..6 {
                let sibling = start(an, format!("sibling{i}"), COUNTS, (), async |_, ()| counts());
                seen.push(sibling.await?);
                // And one that stays, so that there is something to inherit.
                let stays = start(an, format!("stays{i}"), WAIT, (), async |_, ()| wait().await);
                stays.ready().await?;
                running.push(stays);
            }
            an.cancel();
            Ok(seen)
        })
        .await
    });
    let seen = r.unwrap();
    assert!(seen.iter().all(|s| *s == seen[0]), "{seen:?}");
    let (tasks, timers, scopes, registrations, _) = seen[0];
    // Its own: main, the bodies of its two nurseries, the reader of the link and the listener for signals; the link and the
    // bell of the signals. Nothing of its parent's, which has children, their links and pidfds.
    // (An endpoint has waited for its call, and with that its nursery has got a scope for its children.)
    // Its fork server, where it has one: the reader of its answers; its line and its pidfd.
    let expected = (5 + SERVERS, 0, if ANEW { 5 } else { 4 }, 2 + 2 * SERVERS);
    assert_eq!((tasks, timers, scopes, registrations), expected);
}

/// Descriptors, threads, and the signals that are blocked, ignored and caught.
type Look = (Vec<(i32, String)>, usize, (u64, u64, u64));

fn look() -> Result<Look, Error> {
    let s = inventory::signal_state()?;
    Ok((inventory::open_fds()?, inventory::thread_count()?, (s.blocked, s.ignored, s.caught)))
}

/// Case S248.
fn the_inventory_at_the_start_is_what_was_declared() {
    let (reader, _writer) = std::io::pipe().unwrap();
    // What user code holds, and does not give.
    let _held = std::fs::File::open("/dev/zero").unwrap();
    let r: Result<Look, Error> = at_root(program, async || {
        let how = Start::new("child").give(reader);
        actors(async |an| start(an, how, LOOK, (), async |_, ()| look()).await).await
    });
    let (fds, threads, (blocked, ignored, caught)) = r.unwrap();
    let above: Vec<&str> = fds.iter().filter(|(fd, _)| *fd > 2).map(|(_, target)| target.as_str()).collect();
    let count = |what: &str| above.iter().filter(|target| target.starts_with(what)).count();
    assert_eq!(count("socket:"), 1 + SERVERS, "the link, and the line to a fork server: {fds:?}");
    assert_eq!(count("anon_inode:[pidfd]"), SERVERS, "of the fork server: {fds:?}");
    assert_eq!(count("anon_inode:[eventpoll]"), 1, "{fds:?}");
    assert_eq!(count("anon_inode:[eventfd]"), 2, "the bells of threads and of signals: {fds:?}");
    assert_eq!(count("pipe:"), 1, "what was given: {fds:?}");
    assert_eq!(count("/dev/zero"), 0, "covered: {fds:?}");
    // Tombstones where memory was copied, and else the image that it is to start its own children from.
    let own = std::env::current_exe().unwrap().to_string_lossy().into_owned();
    let (tombstones, images) = (count("/dev/null"), count(&own));
    assert_eq!((tombstones > 0, images), if ANEW { (false, 1) } else { (true, 0) }, "{fds:?}");
    assert_eq!(above.len(), 5 + 2 * SERVERS + tombstones + images, "{fds:?}");
    assert_eq!(threads, 1);
    let bit = |signal: u32| 1u64 << (signal - 1);
    assert_eq!(blocked, 0);
    assert_ne!(ignored & bit(13), 0, "SIGPIPE is ignored");
    for (signal, name) in [(2, "SIGINT"), (15, "SIGTERM"), (18, "SIGCONT")] {
        assert_ne!(caught & bit(signal), 0, "{name} has a handler of the child's own");
    }
    // std's own for stack overflows, and those three.
    assert_eq!(caught & !(bit(2) | bit(15) | bit(18) | bit(11) | bit(7)), 0, "{caught:x}");
}

/// A chain; each gives the number of descriptors at every level from here down.
async fn chain(levels: u32) -> Result<Vec<u32>, Error> {
    let mut here = vec![inventory::open_fds()?.len() as u32];
    if levels > 0 {
        let below = actors(async |an| {
            start(an, "link", CHAIN, levels - 1, async move |_, ()| chain(levels - 1).await).await
        });
        here.extend(below.await?);
    }
    Ok(here)
}

fn a_chain_of_64_fits_into_1024_descriptors_and_does_not_grow() {
    let me = std::process::id().to_string();
    let limited = std::process::Command::new("prlimit").args(["--pid", &me, "--nofile=1024:1024"]).status();
    assert!(limited.expect("util-linux is here").success());
    let counts = at_root(program, async || chain(64).await).unwrap();
    assert_eq!(counts.len(), 65);
    let (first, last) = (counts[1], counts[64]);
    assert!(last <= first + 2, "the table grows with the depth: {counts:?}");
}

// ---- how it ends

async fn idle(levels: u32) -> Result<(), Error> {
    actors(async |an| {
        if levels == 0 {
            an.actor().note("up");
            return wait().await;
        }
        let _running = start(an, "link", IDLE, levels - 1, async move |_, ()| idle(levels - 1).await);
        Ok(())
    })
    .await
}

/// Case S56. Case S228.
fn an_idle_chain_ends_by_messages_alone() {
    // Any timer that had to fire would be seen: they are far away.
    let far = Config::default().boot(Duration::from_secs(600)).cancel(Duration::from_secs(600));
    let (fired, books) = at_root(program, async || {
        let up = Rc::new(pleach::sync::Event::new());
        let signal = Rc::clone(&up);
        let _watching = Actor::current().observe(move |event| {
            if matches!(event, Event::Note { .. }) {
                signal.set();
            }
        });
        let r: Result<u64, Error> = pleach::actors_with(far, async |an| {
            let _running = start(an, "link", IDLE, 7, async |_, ()| idle(7).await);
            up.wait().await?;
            let fired = stats().timers_fired;
            an.cancel();
            Ok(fired)
        })
        .await;
        (stats().timers_fired - r.unwrap(), Actor::current().books())
    });
    assert_eq!(fired, 0, "the end came by messages, no timer fired at the root");
    assert_eq!((books.started, books.reaped, books.terminated, books.killed), (8, 8, 0, 0));
}

async fn bush(levels: u32) -> Result<(), Error> {
    actors(async |an| {
        for _ in 0..if levels > 0 { 3 } else { 0 } {
            let _running = start(an, "twig", BUSH, levels - 1, async move |_, ()| bush(levels - 1).await);
        }
        Ok(())
    })
    .await
}

fn the_books_of_a_tree_add_up() {
    let books = at_root(program, async || {
        bush(3).await.unwrap();
        Actor::current().books()
    });
    assert_eq!((books.started, books.reaped, books.terminated, books.killed), (39, 39, 0, 0));
}

/// Case S248.
fn no_setting_of_the_harness_changes_what_is_there_at_the_start() {
    harness::no_setting_changes(&[
        "later_siblings_wake_up_as_clean_as_the_first",
        "the_inventory_at_the_start_is_what_was_declared",
    ]);
}
