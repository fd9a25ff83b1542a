//! Everything that is asked: each question with its columns, and the bars that ours have to meet.
//!
//! ```text
//!   family (groups.rs, timers.rs, …) × contenders ─► columns ─► Question ─► rows: scenario, our column, bars
//! ```
//!
//! Rules: who is no comparator is said here, with the reason. What a question means, and why a peer has no column in it, is
//! told in `benches/README.md`.

use crate::cancel::{Told, by_token, timed};
use crate::channels::{many_to_one, ping_pong};
use crate::collections::{Buffered, Moro, Unordered, cancel_by_drop, cancel_by_terminate};
use crate::contender::{Contender, Streams};
use crate::echo::{Figure, inside, serve};
use crate::glommio_ring::Glommio;
use crate::groups::{climb, nest, spawn_join, spawn_join_plain, yields};
use crate::load::Shape;
use crate::memory::{allocations, resident, resident_ours, resident_plain, resident_token};
use crate::monoio_epoll::Monoio;
use crate::ours::{Borrowed, Static, cancel_borrowed, cancel_static};
use crate::parts::{checkpoints, checks, nurseries, scopes};
use crate::raw;
use crate::smol_local::{Smol, cancel_each};
use crate::support::question::Bar::{AtMost, BestPeer, Contender as Of, Flat, Goal, Slope};
use crate::support::question::{Bar, Column, Question, Standing};
use crate::threads::round_trip;
use crate::timers::{arm_cancel, expire, limits};
use crate::tokio_local::{Handles, JoinSet, Tracker, Unbudgeted, cancel_by_abort};
use crate::wire::Wire;
use std::net::TcpStream;
use std::os::unix::net::UnixStream;

const STATIC: &str = "pleach, static";

/// Is this one of ours?
fn standing(contender: &str) -> Standing {
    if contender.starts_with("pleach") { Standing::Ours } else { Standing::Peer }
}

fn column(name: &'static str, work: impl Fn(bool) -> f64 + 'static) -> Column {
    Column::new(name, standing(name), work)
}

/// A column for each contender, of a scenario that may have an argument.
macro_rules! columns {
    ($scenario:ident; $($C:ty),* $(,)?) => {
        vec![$(column(<$C as Contender>::NAME, $scenario::<$C>)),*]
    };
    ($scenario:ident($arg:expr); $($C:ty),* $(,)?) => {
        vec![$(column(<$C as Contender>::NAME, move |full| $scenario::<$C>(full, $arg))),*]
    };
}

/// The same, of everybody who runs groups.
macro_rules! everybody {
    ($($scenario:tt)*) => {
        columns!($($scenario)*; Borrowed, Static, JoinSet, Tracker, Handles, Unordered, Buffered, Moro, Smol, Glommio, Monoio)
    };
}

/// Handles in a `Vec` are no group: nothing opens it, and who drops it does not wait.
const LOOSE: &[&str] = &["tokio handles", "async-executor", "glommio", "monoio"];
const NO_GROUP: &str = "handles in a Vec are no group";

pub(crate) fn all() -> Vec<Question> {
    let families = [spawns, wakes, messages, times, cancels, memory, parts, echoes];
    families.into_iter().flat_map(|family| family()).collect()
}

fn spawns() -> Vec<Question> {
    let ask = |name, title, fixed, children: u64| {
        let columns = everybody!(spawn_join(children));
        Question::new(name, title, "ns a child", columns, &[BestPeer(1.0)])
            .row(fixed, STATIC, &[BestPeer(1.3)])
            .aside(LOOSE, NO_GROUP)
    };
    vec![
        ask("spawn_join_1", "spawn + join, groups of 1", "spawn_join_1_static", 1),
        ask("spawn_join_100", "spawn + join, groups of 100", "spawn_join_100_static", 100),
        ask("spawn_join_10000", "spawn + join, groups of 10 000", "spawn_join_10000_static", 10_000),
        ask(
            "spawn_join_1000000",
            "spawn + join, a group of 1 000 000",
            "spawn_join_1000000_static",
            1_000_000,
        ),
        spawn_own_way("spawn_join_100_own", "spawn + join, groups of 100, each in its own way", 100),
        spawn_own_way("spawn_join_10000_own", "spawn + join, groups of 10 000, each in its own way", 10_000),
    ]
}

/// A question of the same in everybody's own way: who boxes children itself gets them as they are; a collection, which
/// holds one type, gets boxes, and is shown beside it as it is without.
fn own_way(
    name: &str,
    title: &str,
    unit: &'static str,
    mut columns: Vec<Column>,
    boxed: [Column; 2],
) -> Question {
    columns.extend(boxed);
    let goals = [Goal(UNORDERED_BOXES, 1.0), Goal(BUFFERED_BOXES, 1.0)];
    Question::new(name, title, unit, columns, &goals)
        .row(&format!("{name}_static"), STATIC, &goals)
        .aside(&[Unordered::NAME, Buffered::NAME], "children of one type")
}

const UNORDERED_BOXES: &str = "FuturesUnordered, boxes";
const BUFFERED_BOXES: &str = "futures-buffered, boxes";

fn spawn_own_way(name: &str, title: &str, children: u64) -> Question {
    let boxed = [
        column(UNORDERED_BOXES, move |full| spawn_join::<Unordered>(full, children)),
        column(BUFFERED_BOXES, move |full| spawn_join::<Buffered>(full, children)),
    ];
    own_way(name, title, "ns a child", everybody!(spawn_join_plain(children)), boxed).aside(LOOSE, NO_GROUP)
}

fn wakes() -> Vec<Question> {
    let unfair = "a task that wakes itself runs before all others";
    let yields = |name, title, fixed, tasks: u64| {
        Question::new(name, title, "ns a yield", everybody!(yields(tasks)), &[BestPeer(0.6)])
            .row(fixed, STATIC, &[BestPeer(0.6)])
            .aside(&["monoio"], unfair)
    };
    let nest = |name, title, bars: &[Bar], fixed, fixed_bars: &[Bar], depth: u64| {
        Question::new(name, title, "ns a wake", everybody!(nest(depth)), bars)
            .row(fixed, STATIC, fixed_bars)
            .aside(&["monoio"], unfair)
            .aside(&["futures-buffered"], "the innermost group polls the leaf 61 times before it returns")
    };
    let climb = |name, title, bars: &[Bar], fixed, fixed_bars: &[Bar], depth: u64| {
        Question::new(name, title, "ns a wake", everybody!(climb(depth)), bars).row(fixed, STATIC, fixed_bars)
    };
    let unordered = Of("FuturesUnordered", 0.35);
    vec![
        yields("yield_1", "yield, 1 task", "yield_1_static", 1),
        yields("yield_1000", "yield, 1000 tasks", "yield_1000_static", 1000),
        nest("nest_1", "wake a leaf below 1 group", &[], "nest_1_static", &[BestPeer(0.6)], 1),
        nest(
            "nest_8",
            "wake a leaf below 8 nested groups",
            &[unordered],
            "nest_8_static",
            &[BestPeer(0.6), Flat("nest_1_static", 1.2)],
            8,
        ),
        nest(
            "nest_64",
            "wake a leaf below 64 nested groups",
            &[unordered, Slope("nest_1", 63)],
            "nest_64_static",
            &[BestPeer(0.6), Flat("nest_1_static", 1.2)],
            64,
        ),
        climb(
            "climb_1",
            "wakes by turns, each below 1 group of its own",
            &[],
            "climb_1_static",
            &[BestPeer(0.6)],
            1,
        ),
        climb(
            "climb_8",
            "wakes by turns, each below 8 groups of its own",
            &[unordered],
            "climb_8_static",
            &[BestPeer(0.6), Flat("climb_1_static", 1.2)],
            8,
        ),
        climb(
            "climb_64",
            "wakes by turns, each below 64 groups of its own",
            &[unordered, Slope("climb_1", 63)],
            "climb_64_static",
            &[BestPeer(0.6), Flat("climb_1_static", 1.2)],
            64,
        ),
        Question::new(
            "thread_wake",
            "wake from another thread, round trip, one core",
            "ns a trip",
            // No group is opened: a column for each loop that waits.
            columns!(round_trip; Borrowed, JoinSet, Smol, Glommio, Monoio, Unordered),
            &[BestPeer(1.0)],
        )
        .aside(&["FuturesUnordered"], "its loop waits for nothing else"),
    ]
}

fn messages() -> Vec<Question> {
    vec![
        Question::new(
            "ping_pong",
            "ping-pong over one-slot channels",
            "ns a round trip",
            columns!(ping_pong; Borrowed, Static, JoinSet, Tracker, Unordered, Buffered, Moro, Smol, Glommio, Monoio),
            &[BestPeer(0.8)],
        )
        .row("ping_pong_static", STATIC, &[BestPeer(0.8)]),
        Question::new(
            "many_to_one",
            "4 producers, 1 consumer, capacity 256",
            "ns a message",
            columns!(many_to_one; Borrowed, Static, JoinSet, Tracker, Unordered, Buffered, Moro, Smol, Glommio, Monoio),
            &[BestPeer(1.0)],
        )
        .row("many_to_one_static", STATIC, &[BestPeer(1.0)]),
    ]
}

fn times() -> Vec<Question> {
    let arm = |name, title, bars: &[Bar], held: u64| {
        // No group is opened: a column for each kind of timer.
        let columns = columns!(arm_cancel(held); Borrowed, JoinSet, Smol, Glommio, Monoio);
        Question::new(name, title, "ns a cycle", columns, bars)
    };
    vec![
        arm("timer_0", "arm and cancel a sleep, 0 outstanding", &[BestPeer(0.8)], 0),
        arm(
            "timer_100k",
            "arm and cancel a sleep, 100 000 outstanding",
            &[BestPeer(0.8), Flat("timer_0", 1.2)],
            100_000,
        ),
        Question::new(
            "timer_limit",
            "a limit around a block that is over at once",
            "ns a block",
            columns!(limits; Borrowed, JoinSet, Smol, Glommio, Monoio),
            &[],
        )
        .aside(&["tokio JoinSet", "monoio", "glommio"], "it asks the block first, and arms nothing"),
        Question::new(
            "timers_expire",
            "100 000 children that sleep once",
            "CPU ns a child",
            columns!(expire; Borrowed, Static, JoinSet, Tracker, Unbudgeted, Smol, Glommio, Monoio),
            &[BestPeer(0.8)],
        )
        .row("timers_expire_static", STATIC, &[BestPeer(0.8)])
        .aside(&[Unbudgeted::NAME], "it lets nobody else run while its children are due"),
    ]
}

fn cancels() -> Vec<Question> {
    macro_rules! token {
        ($($C:ty),*) => { vec![$(column(<$C>::NAME, |full| timed(full, Told::Yes, by_token::<$C>))),*] };
    }
    let dropped = "no child is told";
    let mut columns = vec![
        column("pleach", |full| timed(full, Told::Yes, cancel_borrowed)),
        column(STATIC, |full| timed(full, Told::Yes, cancel_static)),
    ];
    columns.extend(token!(JoinSet, Tracker, Unordered, Buffered, Moro, Smol, Glommio, Monoio));
    columns.extend([
        Column::new("moro-local, terminate", Standing::Aside(dropped), |full| {
            timed(full, Told::No, cancel_by_terminate)
        }),
        Column::new("tokio abort_all", Standing::Aside(dropped), |full| {
            timed(full, Told::No, cancel_by_abort)
        }),
        Column::new("async-executor, each", Standing::Aside(dropped), |full| {
            timed(full, Told::No, cancel_each)
        }),
        Column::new(DROP, Standing::Aside(dropped), |full| timed(full, Told::No, cancel_by_drop)),
    ]);
    let bars = [BestPeer(0.5), Goal(DROP, 1.2)];
    vec![
        Question::new("cancel", "cancel 100 000 parked children and join them", "ns a child", columns, &bars)
            .row("cancel_static", STATIC, &bars),
    ]
}

const DROP: &str = "FuturesUnordered, dropped";

fn memory() -> Vec<Question> {
    let mut cancellable = columns!(resident_ours; Borrowed, Static);
    cancellable
        .extend(columns!(resident_token; JoinSet, Tracker, Unordered, Buffered, Moro, Smol, Glommio, Monoio));
    vec![
        Question::new(
            "resident",
            "memory of a parked child, 1 000 000 of them",
            "bytes a child",
            everybody!(resident),
            &[BestPeer(1.4)],
        )
        .row("resident_static", STATIC, &[BestPeer(1.4)]),
        own_way(
            "resident_own",
            "memory of a parked child, each in its own way",
            "bytes a child",
            everybody!(resident_plain),
            [column(UNORDERED_BOXES, resident::<Unordered>), column(BUFFERED_BOXES, resident::<Buffered>)],
        ),
        Question::new(
            "resident_cancellable",
            "memory of a parked child that can be told to end",
            "bytes a child",
            cancellable,
            &[],
        ),
        Question::new(
            "allocations",
            "heap allocations of a child, unboxed",
            "allocations a child",
            everybody!(allocations),
            &[AtMost(1.0)],
        )
        .row("allocations_static", STATIC, &[AtMost(1.0)]),
    ]
}

fn parts() -> Vec<Question> {
    let columns = vec![
        column("pleach, check()", checks),
        column("pleach, checkpoint()", checkpoints),
        column("pleach, open and close a scope", scopes),
        column("pleach, open and close a nursery", nurseries),
    ];
    vec![
        Question::new("parts", "small parts of ours; counts: bench `instructions`", "ns each", columns, &[])
            .row("parts_checkpoint", "pleach, checkpoint()", &[])
            .row("parts_scope", "pleach, open and close a scope", &[])
            .row("parts_nursery", "pleach, open and close a nursery", &[]),
    ]
}

/// What echo is held to: the best peer that waits in epoll, and the floor.
const ECHO: &[Bar] = &[BestPeer(1.0), Goal(raw::NAME, 1.05)];

fn echoes() -> Vec<Question> {
    let mut all = echo_over::<UnixStream>();
    all.extend(echo_over::<TcpStream>());
    all
}

const ONE: Shape = Shape { idle: 0, active: 1, depth: 1, rounds: 20_000 };
const MANY: Shape = Shape { idle: 0, active: 100, depth: 16, rounds: 300 };
const BESIDE_IDLE: Shape = Shape { idle: 10_000, active: 100, depth: 1, rounds: 300 };

fn echo_over<W: Wire>() -> Vec<Question>
where
    Borrowed: Streams<W>,
    Static: Streams<W>,
    JoinSet: Streams<W>,
    Smol: Streams<W>,
    Monoio: Streams<W>,
{
    let ask = |name: &str, title: &str, unit, columns| {
        let (name, title) = (format!("{}_echo_{name}", W::NAME), format!("echo, {}, {title}", W::NAME));
        Question::new(&name, &title, unit, columns, ECHO).row(&format!("{name}_static"), STATIC, ECHO)
    };
    // Everybody who has sockets and waits for them in epoll.
    let served = |shape: Shape, figure: Figure| {
        vec![
            column(Borrowed::NAME, move |full| serve::<Borrowed, W>(full, shape, figure)),
            column(Static::NAME, move |full| serve::<Static, W>(full, shape, figure)),
            column(JoinSet::NAME, move |full| serve::<JoinSet, W>(full, shape, figure)),
            column(Smol::NAME, move |full| serve::<Smol, W>(full, shape, figure)),
            column(Monoio::NAME, move |full| serve::<Monoio, W>(full, shape, figure)),
            Column::new(raw::NAME, Standing::Floor, move |full| raw::serve::<W>(full, shape, figure)),
        ]
    };
    let inside = vec![
        column(Borrowed::NAME, inside::<Borrowed, W>),
        column(Static::NAME, inside::<Static, W>),
        column(JoinSet::NAME, inside::<JoinSet, W>),
        column(Smol::NAME, inside::<Smol, W>),
        column(Monoio::NAME, inside::<Monoio, W>),
        Column::new(raw::NAME, Standing::Floor, raw::inside::<W>),
    ];
    let (trip, message, cpu) = ("ns a round trip", "ns a message", "CPU ns a message");
    let idle = "100 connections beside 10 000 idle ones";
    vec![
        ask("inside", "both ends in one group", trip, inside),
        ask("1", "1 connection, both ends on one core", trip, served(ONE, Figure::Both)),
        ask("100x16", "100 connections, 16 in flight on each", message, served(MANY, Figure::Wall)),
        ask("100x16_cpu", "the same, the server's CPU", cpu, served(MANY, Figure::Server)),
        ask("idle", idle, message, served(BESIDE_IDLE, Figure::Wall)),
        ask("idle_cpu", "the same, the server's CPU", cpu, served(BESIDE_IDLE, Figure::Server)),
    ]
}
