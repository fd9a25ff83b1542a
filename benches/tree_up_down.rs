//! What does a chain of actors cost, up, idle and down, per level? And a tree in which every leaf fails?
//!
//! ```text
//!   round 1: ours raw │ round 2: raw ours │ …  ─► per shape and phase: p50, p99, max of both columns, and their ratio
//! ```
//!
//! Rules:
//! * The raw column is the floor: the same processes and one message per edge and way, with bare system calls; by
//!   fork(2) beside our fork, by posix_spawn(3) of this same program beside our exec.
//! * `main` runs again in every process by exec, so that it diverts before all else.
//! * Both columns run in the same single-threaded process, in turns.
//! * After every round there is no child, and no descriptor more than before.
//!
//! `--json` prints a JSON object for every row; `--only "chain 8"` measures that shape alone. A time limit is the caller's: a bench that hangs has failed.

#[path = "tree/ours.rs"]
mod ours;
#[path = "tree/raw.rs"]
mod raw;
#[path = "tree/raw_exec.rs"]
mod raw_exec;
#[path = "tree/stats.rs"]
mod stats;

use pleach::inventory;
use raw::Times;
use stats::{Row, Samples, has_flag, is_full, is_wanted};

const DEPTHS: [usize; 4] = [1, 4, 8, 16];
/// Breadth and depth.
const TREES: [(usize, usize); 2] = [(2, 3), (3, 3)];

fn main() {
    ours::program().divert();
    raw_exec::divert();
    assert_eq!(inventory::thread_count().expect("/proc"), 1, "a fork needs the only thread");
    let json = has_flag("--json");
    let (chain_rounds, exec_rounds, tree_rounds) = if is_full() { (300, 150, 150) } else { (5, 2, 2) };
    if !json {
        Row::print_head("level of a chain, process of a tree");
    }
    for depth in DEPTHS {
        let ours = || ours::chain(depth, async |_| {});
        let raw = || raw::chain(depth).expect("a raw chain");
        measure(&format!("chain {depth}"), ["up", "down"], depth, chain_rounds, json, ours, raw);
    }
    for depth in DEPTHS {
        let ours = || ours::exec_chain(depth);
        let raw = || raw_exec::chain(depth).expect("a raw chain");
        measure(&format!("exec {depth}"), ["up", "down"], depth, exec_rounds, json, ours, raw);
    }
    for (breadth, depth) in TREES {
        let processes: usize = (1..=depth as u32).map(|level| breadth.pow(level)).sum();
        let ours = || ours::tree(breadth, depth, processes);
        let raw = || raw::tree(breadth, depth).expect("a raw tree");
        measure(&format!("tree {breadth}x{depth}"), ["up", "home"], processes, tree_rounds, json, ours, raw);
    }
    for depth in DEPTHS {
        show_idle(depth, json);
    }
}

/// Runs both columns in turns, and prints a row for each of the two phases.
fn measure(
    shape: &str,
    phases: [&str; 2],
    per: usize,
    rounds: usize,
    json: bool,
    ours: impl Fn() -> Times,
    raw: impl Fn() -> Times,
) {
    if !is_wanted(shape) {
        return;
    }
    let columns: [&dyn Fn() -> Times; 2] = [&ours, &raw];
    let mut samples: [[Samples; 2]; 2] = Default::default();
    for column in columns {
        leaving_nothing(column);
    }
    for round in 0..rounds {
        for i in 0..2 {
            let c = (i + round) % 2;
            let times = leaving_nothing(columns[c]);
            samples[0][c].push(times.up);
            samples[1][c].push(times.down);
        }
    }
    for (phase, [ours, raw]) in phases.into_iter().zip(samples) {
        Row { shape, phase, per, ours: ours.summary(), raw: raw.summary() }.print(json);
    }
}

/// One round, after which nothing is left of it.
fn leaving_nothing<T>(round: impl Fn() -> T) -> T {
    let before = inventory::open_fds().expect("/proc");
    let done = round();
    assert!(inventory::no_children(), "no child is left");
    assert_eq!(inventory::open_fds().expect("/proc"), before, "no descriptor is left");
    done
}

fn show_idle(depth: usize, json: bool) {
    if !is_wanted(&format!("chain {depth}")) {
        return;
    }
    let each = leaving_nothing(|| ours::idle_kib(depth));
    if json {
        println!(
            "{{\"shape\":\"chain {depth}\",\"phase\":\"idle\",\"wake_ups\":0,\"private_kib_each\":{each}}}"
        );
    } else {
        let millis = ours::IDLE_FOR.as_millis();
        println!("  chain {depth:<6}idle  no wake-up in {millis} ms, {each} KiB of its own per process");
    }
}
