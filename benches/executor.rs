//! What do spawning, yielding, waking and cancelling cost here, and what at the peers?
//!
//! ```text
//!   row: one question ─► columns: ours (borrowed, static) │ FuturesUnordered │ tokio │ async-executor
//!                        each file of executor/ does the work of all rows its own way, with the children of leaf.rs
//! ```
//!
//! `cargo bench -p pleach-benches --bench executor`. Every column does the same work on one thread, and every repetition
//! asserts it. What each row means, and what to know about the peers, is in `README.md` beside this file.

#[path = "executor/leaf.rs"]
mod leaf;
#[path = "executor/ours.rs"]
mod ours;
#[path = "executor/smol_local.rs"]
mod smol_local;
mod support;
#[path = "executor/tokio_local.rs"]
mod tokio_local;
#[path = "executor/unordered.rs"]
mod unordered;

use leaf::{Tally, take_tally};
use pleach_executor::{CancelScope, Cancelled, check, checkpoint, nursery, run};
use smol_local::Smol;
use std::cell::RefCell;
use std::hint::black_box;
use std::time::Duration;
use support::allocations::{self, Counting, Use};
use support::options::Options;
use support::report;
use support::{Column, FULL_ROUNDS, Sample, compare, list};
use tokio_local::Tokio;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// How much of everything.
struct Size {
    options: Options,
    rounds: usize,
    /// Units of work in one sample.
    work: u64,
}

/// The peers that keep something between the rows.
struct Peers {
    tokio: Tokio,
    smol: Smol,
}

fn main() {
    let options = Options::from_args();
    let (rounds, work) = (options.rounds(FULL_ROUNDS), if options.full { 100_000 } else { 2_000 });
    let size = Size { options, rounds, work };
    let peers = Peers { tokio: Tokio::new(), smol: Smol::new() };
    for children in [1, 100, 10_000] {
        spawn_join(&size, &peers, children);
    }
    for tasks in [1, 1000] {
        yields(&size, &peers, tasks);
    }
    for depth in [1, 8, 64] {
        wake_at_depth(&size, &peers, depth);
    }
    cancel_parked(&size, &peers);
    primitives(&size);
    memory(&size, &peers);
}

/// `groups(groups, children, yields, after_each)`: opens, fills and joins groups of children that yield.
type Groups<'a> = (&'static str, Box<dyn Fn(u64, u64, u64, &dyn Fn()) + 'a>);

/// Every way to run groups, ours first.
fn all_groups(peers: &Peers) -> Vec<Groups<'_>> {
    vec![
        ("pleach, borrowed", Box::new(ours::borrowed_groups)),
        ("pleach, static", Box::new(ours::static_groups)),
        ("FuturesUnordered, boxed children", Box::new(unordered::boxed_groups)),
        ("FuturesUnordered, children of one type", Box::new(unordered::plain_groups)),
        ("tokio JoinSet", Box::new(|g, c, y, each| peers.tokio.set_groups(g, c, y, each))),
        ("tokio handles", Box::new(|g, c, y, each| peers.tokio.handle_groups(g, c, y, each))),
        ("async-executor tasks", Box::new(|g, c, y, each| peers.smol.groups(g, c, y, each))),
    ]
}

fn group_column(groups: u64, children: u64, yields: u64, (name, work): Groups<'_>) -> Column<'_> {
    let expected = Tally { ran: groups * children, wakes: groups * children * yields, dropped: 0, told: 0 };
    Column::new(name, move || {
        work(groups, children, yields, &|| ());
        assert_eq!(take_tally(), expected, "{name}");
        groups * children * yields.max(1)
    })
}

fn group_columns(peers: &Peers, groups: u64, children: u64, yields: u64) -> Vec<Column<'_>> {
    all_groups(peers).into_iter().map(|ways| group_column(groups, children, yields, ways)).collect()
}

fn spawn_join(size: &Size, peers: &Peers, children: u64) {
    let groups = (size.work / children).max(1);
    let row = format!("spawn + join of a no-op child, {children} in a group");
    compare(&row, "ns a child", size.rounds, group_columns(peers, groups, children, 0));
}

fn yields(size: &Size, peers: &Peers, tasks: u64) {
    let row = format!("yield, {tasks} at a time");
    compare(&row, "ns a yield", size.rounds, group_columns(peers, 1, tasks, size.work / tasks));
}

fn nest_column<'a>(name: &'static str, depth: u64, wakes: u64, nest: impl Fn(u64, u64) + 'a) -> Column<'a> {
    Column::new(name, move || {
        nest(depth, wakes);
        assert_eq!(take_tally(), Tally { ran: 1, wakes, dropped: 0, told: 0 }, "{name}");
        wakes
    })
}

fn wake_at_depth(size: &Size, peers: &Peers, depth: u64) {
    let Peers { tokio, smol } = peers;
    let all = size.work;
    // A nest that is polled from the top pays for every level on every wake: fewer wakes say the same, sooner.
    let some = all.min(all * 4 / depth);
    let columns = vec![
        nest_column("pleach, borrowed", depth, some, ours::borrowed_nest),
        nest_column("pleach, static", depth, all, ours::static_nest),
        nest_column("FuturesUnordered, boxed children", depth, some, unordered::nest),
        nest_column("tokio JoinSet", depth, all, |depth, wakes| tokio.nest(depth, wakes)),
        nest_column("async-executor tasks", depth, all, |depth, wakes| smol.nest(depth, wakes)),
    ];
    compare(&format!("wake a leaf below {depth} nested groups"), "ns a wake", size.rounds, columns);
}

/// How many children wait when they are cancelled.
const WAITERS: u64 = 1000;

/// What a child notices of its cancellation.
#[derive(Clone, Copy)]
enum Told {
    /// It sees the cancellation, and can clean up before it ends.
    Yes,
    /// It is dropped where it waits.
    No,
}

fn cancel_column<'a>(
    name: &'static str,
    told: Told,
    times: u64,
    cancel: impl Fn(u64) -> Duration + 'a,
) -> Column<'a> {
    let all = times * WAITERS;
    let told = if matches!(told, Told::Yes) { all } else { 0 };
    Column::timed(name, move || {
        let took = (0..times).map(|_| cancel(WAITERS)).sum();
        // Wakes are those of the wait until all are parked: not what is asked here.
        let tally = Tally { wakes: 0, ..take_tally() };
        assert_eq!(tally, Tally { ran: 0, wakes: 0, dropped: all, told }, "{name}");
        Sample { units: all, took }
    })
}

fn cancel_parked(size: &Size, peers: &Peers) {
    let Peers { tokio, smol } = peers;
    let times = (size.work / WAITERS / 10).max(1);
    let columns = vec![
        cancel_column("pleach, borrowed: n.cancel()", Told::Yes, times, ours::cancel_borrowed),
        cancel_column("pleach, static: n.cancel()", Told::Yes, times, ours::cancel_static),
        cancel_column("tokio JoinSet + token", Told::Yes, times, |n| tokio.cancel_by_token(n)),
        cancel_column("tokio JoinSet: abort_all", Told::No, times, |n| tokio.cancel_by_abort(n)),
        cancel_column("async-executor: cancel each", Told::No, times, |n| smol.cancel_each(n)),
        cancel_column("FuturesUnordered: drop", Told::No, times, unordered::cancel_by_drop),
    ];
    compare("cancel 1000 parked children and join them", "ns a child", size.rounds, columns);
}

/// Our own small parts: no peer has them.
fn primitives(size: &Size) {
    let n = size.work;
    let columns = vec![
        Column::new("check()", || {
            run(async { (0..n).for_each(|_| black_box(check()).expect("not cancelled")) });
            n
        }),
        Column::new("checkpoint()", || {
            run(async {
                for _ in 0..n {
                    checkpoint().await.expect("not cancelled");
                }
            });
            n
        }),
        Column::new("open and close a scope", || {
            run(async {
                for _ in 0..n {
                    let left: Result<Option<()>, Cancelled> = CancelScope::new().run(async |_| Ok(())).await;
                    assert!(matches!(left, Ok(Some(()))), "nobody cancels it");
                }
            });
            n
        }),
        Column::new("open and close an empty nursery", || {
            run(async {
                for _ in 0..n {
                    let joined: Result<(), Cancelled> = nursery(async |_| Ok(())).await;
                    joined.expect("it has no child that could fail");
                }
            });
            n
        }),
    ];
    list("small parts of ours", "ns each", size.rounds, columns);
}

/// What a child takes of the heap: exact, and the same in every run.
fn memory(size: &Size, peers: &Peers) {
    const CHILDREN: u64 = 1000;
    let each = |total: i64| total as f64 / CHILDREN as f64;
    let (mut allocations, mut bytes, mut peaks) = (Vec::new(), Vec::new(), Vec::new());
    for (name, work) in all_groups(peers) {
        // Two groups in one run: the second finds the runtime warm.
        let seen: RefCell<Vec<Use>> = RefCell::new(Vec::with_capacity(2));
        work(2, CHILDREN, 1, &|| {
            seen.borrow_mut().push(allocations::so_far());
            allocations::forget_peak();
        });
        assert_eq!(
            take_tally(),
            Tally { ran: 2 * CHILDREN, wakes: 2 * CHILDREN, dropped: 0, told: 0 },
            "{name}"
        );
        let [before, after] = seen.into_inner()[..] else { panic!("{name}: two groups") };
        let count = each(after.allocations.cast_signed() - before.allocations.cast_signed());
        assert!(
            !name.starts_with("pleach") || count < 1.1,
            "one allocation for a child of ours, not {count}"
        );
        allocations.push((name, count));
        bytes.push((name, each(after.bytes.cast_signed() - before.bytes.cast_signed())));
        peaks.push((name, each(after.peak - before.live)));
    }
    let rows = [
        ("heap allocations of a child that yields once", "allocations a child", allocations),
        ("bytes asked for by a child that yields once", "bytes a child", bytes),
        ("most bytes in use, 1000 children that yield once", "bytes a child", peaks),
    ];
    for (row, unit, counts) in rows {
        if size.options.wants(row) {
            report::print_exact(size.options.json, row, unit, &counts);
        }
    }
}
