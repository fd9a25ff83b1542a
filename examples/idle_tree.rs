//! A tree of forked actors that comes up and then only waits: something to press Ctrl-C on, or to kill.
//!
//! ```text
//!   root ─┬─ s0 ─┬─ leaf0   every actor of the last level waits until it is cancelled
//!         │      └─ leaf1
//!         └─ s1 ─ …         --breadth B actors in every nursery, --depth D levels
//! ```
//!
//! The program prints a line for every process as it is made, `up` when all leaves run, `ending` when the root is
//! cancelled, and at its end how many processes were made, reaped by their parents, and told by a signal. After Ctrl-C
//! the last number is zero: a message to every actor is enough.
//!
//! With `--deaf` the leaves do not heed a cancellation: their parents have to kill them when `--deadline` is over.

use pleach::{Actor, Config, Error, Event, Program, actors, shielded, sleep_forever};
use std::cell::Cell;
use std::convert::Infallible;
use std::process::ExitCode;
use std::time::Duration;

/// What the command line says.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Options {
    breadth: u32,
    depth: u32,
    deadline: Duration,
    deaf: bool,
}

const USAGE: &str = "usage: idle_tree [--breadth B] [--depth D] [--deadline SECONDS] [--deaf]";

fn main() -> ExitCode {
    let options = match options() {
        Ok(options) => options,
        Err(e) => {
            eprintln!("idle_tree: {e}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let config = Config::default().cancel(options.deadline);
    Program::new("root").config(config).run(async move |root| {
        let leaves = options.breadth.pow(options.depth);
        let running = Cell::new(0);
        let _observer = root.observe(move |event| match event {
            Event::Started { actor, .. } => println!("{} (pid {})", actor.path(), actor.pid()),
            Event::Note { .. } => {
                running.set(running.get() + 1);
                if running.get() == leaves {
                    println!("up");
                }
            }
            _ => {}
        });
        let outcome = actors(async |an| {
            plant(an, options, options.depth);
            let waited = sleep_forever().await;
            println!("ending");
            never(waited?)
        })
        .await;
        let books = root.books();
        println!(
            "{} started, {} reaped, {} terminated, {} killed",
            books.started, books.reaped, books.terminated, books.killed
        );
        outcome
    })
}

fn never(nothing: Infallible) -> Result<(), Error> {
    match nothing {}
}

fn options() -> Result<Options, lexopt::Error> {
    use lexopt::prelude::*;
    let mut o = Options { breadth: 2, depth: 2, deadline: Duration::from_secs(5), deaf: false };
    let mut args = lexopt::Parser::from_env();
    while let Some(arg) = args.next()? {
        match arg {
            Long("breadth") => o.breadth = positive("breadth", &args.value()?.string()?)?,
            Long("depth") => o.depth = positive("depth", &args.value()?.string()?)?,
            Long("deadline") => {
                o.deadline = Duration::from_secs(positive("deadline", &args.value()?.string()?)?.into());
            }
            Long("deaf") => o.deaf = true,
            _ => return Err(arg.unexpected()),
        }
    }
    match u64::from(o.breadth).checked_pow(o.depth) {
        Some(leaves) if leaves <= 10_000 => Ok(o),
        _ => Err("--breadth to the power of --depth is over 10000 leaves: choose smaller ones".into()),
    }
}

fn positive(what: &str, text: &str) -> Result<u32, lexopt::Error> {
    match text.parse() {
        Ok(0) => Err(format!("--{what} must be at least 1").into()),
        Ok(n) => Ok(n),
        Err(e) => Err(format!("--{what} takes a whole number, not `{text}`: {e}").into()),
    }
}

/// Starts the actors of one nursery, whose children are `level - 1` levels above the leaves.
fn plant(an: &pleach::ActorNursery, options: Options, level: u32) {
    for i in 0..options.breadth {
        let name = if level == 1 { format!("leaf{i}") } else { format!("s{i}") };
        let _running = an.fork(name, (), async move |actor, ()| grow(actor, options, level - 1).await);
    }
}

/// An actor `level` levels above the leaves.
async fn grow(actor: Actor, options: Options, level: u32) -> Result<(), Error> {
    if level == 0 {
        actor.note("waiting");
        return if options.deaf {
            never(shielded(async |_| Ok::<_, Error>(sleep_forever().await?)).await?)
        } else {
            never(sleep_forever().await?)
        };
    }
    actors(async |an| {
        plant(an, options, level);
        Ok(())
    })
    .await
}
