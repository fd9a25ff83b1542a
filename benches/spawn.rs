//! What does it cost to have a process of one's own, here and at the peers, however large the parent is?
//!
//! ```text
//!   questions: parent of 10 MB │ 500 MB │ 2 GB ─► each column: spawn ─► first byte from the child ─► its exit ─► reaped
//!      contenders: spawn/ours.rs │ spawn/peers.rs │ floors: spawn/raw.rs
//! ```
//!
//! `cargo bench -p pleach-benches --bench spawn`. This program is its own child: begun anew by ours it is diverted at the
//! beginning of `main`, and by the peers with a hidden argument. What the questions mean is in `README.md` beside this file.

#[path = "spawn/ours.rs"]
mod ours;
#[path = "spawn/peers.rs"]
mod peers;
#[path = "spawn/questions.rs"]
mod questions;
#[path = "spawn/raw.rs"]
mod raw;
#[expect(dead_code, reason = "other benches use more of it")]
mod support;

use pleach_spawn::{Start, plain_words, reborn};
use support::case::CASE;

fn main() {
    // First of all: a child of ours is diverted here, and has done nothing before.
    let image = match reborn(plain_words) {
        Start::Reborn(child, _image) => child.enter(|born, _given| ours::child(&born)),
        Start::Root(image) => image.expect("/proc"),
    };
    // Likewise a child of this peer.
    procspawn::init();
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.split_first() {
        Some((first, [])) if first == peers::CHILD => peers::child(),
        Some((first, [name])) if first == peers::CONNECTS => peers::connects(name),
        Some((first, [])) if first == raw::SERVES => raw::serves(),
        Some((first, [question, column, size])) if first == CASE => {
            support::answer_case(&questions::all(image), question, column, size == "full")
        }
        _ => support::ask("spawn", &questions::all(image)),
    }
}
