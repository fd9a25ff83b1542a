//! What does structured concurrency on one thread cost here, and what at the peers?
//!
//! ```text
//!   questions ─► for each: columns (ours, peers, floor) in turns, a process of its own for each ─► tables, bars, JSON
//!      scenarios, written once: groups, cancel, channels, timers, threads, memory, echo, parts
//!      contenders, a file each:  ours, tokio_local, smol_local, monoio_epoll, glommio_ring, collections; raw
//! ```
//!
//! `cargo bench -p pleach-benches --bench executor`. This program is its own tool: begun with a hidden argument it is
//! one case, or the clients of an echo server. What each question means, and what to know about the peers, is in
//! `README.md` beside this file.

#[path = "executor/cancel.rs"]
mod cancel;
#[path = "executor/channels.rs"]
mod channels;
#[path = "executor/collections.rs"]
mod collections;
#[path = "executor/contender.rs"]
mod contender;
#[path = "executor/echo.rs"]
mod echo;
#[path = "executor/glommio_ring.rs"]
mod glommio_ring;
#[path = "executor/groups.rs"]
mod groups;
#[path = "executor/load.rs"]
mod load;
#[path = "executor/memory.rs"]
mod memory;
#[path = "executor/monoio_epoll.rs"]
mod monoio_epoll;
#[path = "executor/ours.rs"]
mod ours;
#[path = "executor/parts.rs"]
mod parts;
#[path = "executor/questions.rs"]
mod questions;
#[path = "executor/raw.rs"]
mod raw;
#[path = "executor/smol_local.rs"]
mod smol_local;
mod support;
#[path = "executor/threads.rs"]
mod threads;
#[path = "executor/timers.rs"]
mod timers;
#[path = "executor/tokio_local.rs"]
mod tokio_local;
#[path = "executor/wire.rs"]
mod wire;
#[path = "executor/work.rs"]
mod work;

use support::allocations::Counting;
use support::case::CASE;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.split_first() {
        Some((first, rest)) if first == load::LOAD => load::main(rest),
        Some((first, [question, column, size])) if first == CASE => {
            support::answer_case(&questions::all(), question, column, size == "full")
        }
        _ => support::ask("executor", &questions::all()),
    }
}
