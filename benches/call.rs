//! What does one call through a portal cost, beside the same frames over a raw socket?
//!
//! ```text
//!   this process ─ (number, bytes) ─► actor by fork │ actor by exec │ raw peer, blocking │ raw peer, epoll
//!                ◄─ the same back ──┘                 one call at a time, timed one by one
//!   round 1: fork exec raw epoll │ round 2: exec raw epoll fork │ …
//! ```
//!
//! Rules:
//! * All columns answer in processes of their own, run in turns, and encode the same type with the same library.
//! * Where both ends run is chosen, not left to the kernel: on one core, or on two.
//! * Every answer is compared with what was asked, outside the timed part.
//! * `main` runs again in an actor by exec, so that it diverts before all else.
//!
//! `--json` prints a JSON object for every line; `--only "16 B, one core"` measures that row alone.

#[path = "call/ours.rs"]
mod ours;
#[path = "call/raw.rs"]
mod raw;
#[path = "call/table.rs"]
mod table;

#[path = "support/allocations.rs"]
mod allocations;
#[path = "tree/stats.rs"]
#[expect(dead_code, reason = "the table of this bench is its own")]
mod stats;

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;
use pleach::{ActorNursery, Backend, Error, actors, inventory};
use raw::{Peer, Waits};
use stats::{has_flag, is_full, is_wanted, now};
use std::time::Duration;
use table::{Column, Table};

#[global_allocator]
static ALLOCATOR: allocations::Counting = allocations::Counting;

/// What is sent and comes back.
pub(crate) type Echo = (u64, Vec<u8>);

/// Bytes of the second field.
const SIZES: [usize; 2] = [16, 1024];

fn main() {
    ours::program().divert();
    raw::divert();
    let all = ours::program().try_run(async |_root| {
        let here = cores();
        for (place, theirs) in [("one core", here.first()), ("two cores", here.get(1))] {
            match theirs {
                Some(theirs) => measure(place, here[0], *theirs).await?,
                None => eprintln!("{place}: this machine lets the bench have one only"),
            }
        }
        Ok(())
    });
    all.expect("every call was answered");
    assert!(inventory::no_children(), "no child is left");
}

/// All rows of one placement.
async fn measure(place: &str, ours: usize, theirs: usize) -> Result<(), Error> {
    pin(ours);
    actors(async |an| {
        // Closed before the nursery ends: their processes end by the end of their sockets.
        let blocking = Peer::start(Waits::InRead, theirs)?;
        let polling = Peer::start(Waits::InEpoll, theirs)?;
        let result = rows(an, place, theirs, blocking, polling).await;
        an.cancel();
        result
    })
    .await
}

async fn rows(
    an: &ActorNursery,
    place: &str,
    theirs: usize,
    mut blocking: Peer,
    mut polling: Peer,
) -> Result<(), Error> {
    let fork = ours::Callee::start(an, Backend::Fork, theirs).await?;
    let exec = ours::Callee::start(an, Backend::Exec, theirs).await?;
    let (rounds, calls) = if is_full() { (60, 1000) } else { (2, 20) };
    for size in SIZES {
        let title = format!("{size} B, {place}");
        if !is_wanted(&title) {
            continue;
        }
        let mut table = Table::new(title);
        for round in 0..=rounds {
            for turn in 0..4 {
                let column = Column::ALL[(turn + round) % 4];
                let times = match column {
                    Column::Fork => fork.calls(calls, size).await?,
                    Column::Exec => exec.calls(calls, size).await?,
                    Column::Raw => blocking.calls(calls, size)?,
                    Column::RawEpoll => polling.calls(calls, size)?,
                };
                // The first round warms up.
                if round > 0 {
                    table.push(column, times);
                }
            }
        }
        table.count("allocations a call, caller", fork.allocations_here(size).await?);
        table.count("allocations a call, callee", fork.allocations_there(size).await?);
        table.print(has_flag("--json"));
    }
    blocking.end()?;
    polling.end()?;
    Ok(())
}

/// The cores that this process may use.
fn cores() -> Vec<usize> {
    let set = sched_getaffinity(Pid::from_raw(0)).expect("a process may ask for itself");
    (0..CpuSet::count()).filter(|core| set.is_set(*core).expect("below the count")).collect()
}

/// Ties this process to one core, and with it those that it makes from now on.
pub(crate) fn pin(core: usize) {
    let mut set = CpuSet::new();
    set.set(core).expect("below the count");
    sched_setaffinity(Pid::from_raw(0), &set).expect("a core that it had before");
}

/// What call `number` of a round sends.
pub(crate) fn payload(size: usize, number: u64) -> Echo {
    (number, vec![number as u8; size])
}

/// How long something took, by the clock of benches.
pub(crate) fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let start = now();
    let value = work();
    (value, start.elapsed())
}
