//! Our column: chains and trees of actors, up and down, and what must be true after each.
//!
//! ```text
//!   start ─► process … process ─► the deepest notes "up" ─► root hears it │ cancel at the root ─► all reaped
//!   └────────────── up ──────────────────────────────┘               └──────── down ─────────┘
//! ```
//!
//! Rules:
//! * By fork an actor is a closure, by exec an endpoint: the program begun anew has no closure of its parent's.
//! * Every round asserts that what was started was reaped by its parent, that no signal was needed, and that the
//!   failures which came home are those that were made.

use crate::raw::Times;
use crate::stats::now;
use pleach::fd::AsyncFd;
use pleach::sync::Event as Flag;
use pleach::{
    Actor, ActorNursery, Backend, Endpoint, Error, Event, Observation, Program, Start, actors, run, shielded,
    sleep_forever,
};
use std::cell::{Cell, RefCell};
use std::io::PipeReader;
use std::rc::Rc;
use std::time::Duration;

/// What the root hears of its tree.
#[derive(Default)]
struct Heard {
    pids: RefCell<Vec<u32>>,
    notes: Cell<usize>,
}

/// Counts what happens below; sets the flag with the `leaves`th note.
fn listen(root: &Actor, leaves: usize) -> (Rc<Heard>, Rc<Flag>, Observation) {
    let (heard, all_up) = (Rc::new(Heard::default()), Rc::new(Flag::new()));
    let observation = {
        let (heard, all_up) = (Rc::clone(&heard), Rc::clone(&all_up));
        root.observe(move |event| match event {
            Event::Started { actor, .. } => heard.pids.borrow_mut().push(actor.pid()),
            Event::Note { .. } => {
                heard.notes.set(heard.notes.get() + 1);
                if heard.notes.get() == leaves {
                    all_up.set();
                }
            }
            _ => {}
        })
    };
    (heard, all_up, observation)
}

fn assert_books(root: &Actor, processes: usize) {
    let books = root.books();
    assert_eq!(books.started as usize, processes, "every process is made once");
    assert_eq!(books.reaped, books.started, "and reaped by its own parent");
    assert_eq!((books.terminated, books.killed), (0, 0), "a message is enough");
}

/// Plants a chain of so many levels in a nursery.
type Plant = fn(&ActorNursery, usize);

/// An actor of the chain by exec, with so many more under it.
const LINK: Endpoint<usize, ()> = Endpoint::new("link");

/// What this program is when it is begun anew.
pub(crate) fn program() -> Program {
    Program::new("tree")
        .endpoint(LINK, async |context, below| link(context.actor().clone(), below, plant_exec).await)
}

/// A chain of `depth` forked actors comes up, is looked at by `idle` with the ids of its processes, and is cancelled at
/// the root.
pub(crate) fn chain(depth: usize, idle: impl AsyncFnOnce(&[u32])) -> Times {
    run(chain_of(depth, plant_link, idle))
}

/// The same by exec.
pub(crate) fn exec_chain(depth: usize) -> Times {
    program()
        .try_run(async |_root| Ok(chain_of(depth, plant_exec, async |_| {}).await))
        .expect("a chain that is cancelled has not failed")
}

async fn chain_of(depth: usize, plant: Plant, idle: impl AsyncFnOnce(&[u32])) -> Times {
    let start = now();
    let (root, up, begun) = actors(async |an| {
        let root = an.actor();
        let (heard, all_up, _observation) = listen(&root, 1);
        plant(an, depth);
        all_up.wait().await?;
        let up = start.elapsed();
        assert_eq!(heard.pids.borrow().len(), depth, "one process for every level");
        let pids = heard.pids.take();
        idle(&pids).await;
        let begun = now();
        an.cancel();
        Ok((root, up, begun))
    })
    .await
    .expect("a chain that is cancelled has not failed");
    let down = begun.elapsed();
    assert_books(&root, depth);
    Times { up, down }
}

fn plant_link(an: &ActorNursery, levels: usize) {
    let _running =
        an.fork(format!("l{levels}"), (), async move |actor, ()| link(actor, levels - 1, plant_link).await);
}

fn plant_exec(an: &ActorNursery, levels: usize) {
    let start = Start::new(format!("l{levels}")).backend(Backend::Exec).may_spawn(true);
    let _running = an.call_with(start, LINK, levels - 1);
}

/// An actor of the chain, with `below` more under it.
async fn link(actor: Actor, below: usize, plant: Plant) -> Result<(), Error> {
    if below == 0 {
        actor.note("up");
        match sleep_forever().await? {}
    }
    actors(async |an| {
        plant(an, below);
        Ok(())
    })
    .await
}

/// A tree comes up; then every leaf fails, and all the failures come home. None is spared by another's: the leaves
/// stand under a shield until each has failed.
pub(crate) fn tree(breadth: usize, depth: usize, processes: usize) -> Times {
    run(async {
        let leaves = breadth.pow(depth as u32);
        let (go, all_here) = std::io::pipe().expect("a pipe");
        let start = now();
        let seen = Cell::new(None);
        let outcome: Result<(), Error> = actors(async |an| {
            let root = an.actor();
            let (heard, all_up, observation) = listen(&root, leaves);
            plant_branches(an, breadth, depth, go)?;
            all_up.wait().await?;
            let up = start.elapsed();
            assert_eq!(heard.pids.borrow().len(), processes);
            drop(observation);
            seen.set(Some((root, up, now())));
            drop(all_here);
            Ok(())
        })
        .await;
        let (root, up, begun) = seen.take().expect("the whole tree came up");
        let down = begun.elapsed();
        let failures = outcome.expect_err("every leaf has failed");
        assert_eq!(failures.leaves().len(), leaves, "every failure came home");
        assert_books(&root, processes);
        Times { up, down }
    })
}

fn plant_branches(an: &ActorNursery, breadth: usize, levels: usize, go: PipeReader) -> Result<(), Error> {
    for i in 0..breadth {
        let go = go.try_clone()?;
        let _running = an.fork(format!("b{i}"), go, async move |actor, go: PipeReader| {
            branch(actor, breadth, levels - 1, go).await
        });
    }
    Ok(())
}

async fn branch(actor: Actor, breadth: usize, below: usize, go: PipeReader) -> Result<(), Error> {
    if below > 0 {
        return actors(async |an| plant_branches(an, breadth, below, go)).await;
    }
    shielded(async |_| {
        actor.note("up");
        AsyncFd::new(go)?.readable().await.map_err(Error::new)?;
        Err(Error::msg("fails on purpose"))
    })
    .await
}

/// How often the processes were given the processor by their own wish, together.
fn wake_ups(pids: &[u32]) -> u64 {
    let of = |pid: &u32| {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it lives");
        let line =
            status.lines().find_map(|l| l.strip_prefix("voluntary_ctxt_switches:")).expect("Linux tells");
        line.trim().parse::<u64>().expect("a number")
    };
    pids.iter().map(of).sum()
}

/// Memory that is the processes' own, together, in KiB.
fn private_kib(pids: &[u32]) -> u64 {
    let of = |pid: &u32| {
        let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).expect("it lives");
        let line = rollup.lines().find_map(|l| l.strip_prefix("Private_Dirty:")).expect("Linux tells");
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number")
    };
    pids.iter().map(of).sum()
}

/// How long an idle chain is looked at, at a time.
pub(crate) const IDLE_FOR: Duration = Duration::from_millis(200);

/// Looks at an idle chain until none of its processes has woken up for [`IDLE_FOR`], and gives the memory of its own
/// that each has, in KiB.
///
/// # Panics
///
/// If it is never that quiet: something in it ticks.
pub(crate) fn idle_kib(depth: usize) -> u64 {
    let mut kib = None;
    chain(depth, async |pids| {
        // The parents of the deepest may still be on their way back into their waits, hence more than one look.
        for _ in 0..25 {
            let before = wake_ups(pids);
            pleach::sleep(IDLE_FOR).await.expect("nobody cancels the root");
            if wake_ups(pids) == before {
                kib = Some(private_kib(pids) / pids.len() as u64);
                return;
            }
        }
    });
    kib.expect("an idle chain sleeps")
}
