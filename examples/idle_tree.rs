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
//! With `--backend fork` an actor is a closure in a copy of its parent's memory, with `--backend exec` the endpoint [`GROW`]
//! in this program begun anew.
//!
//! With `--deaf` the leaves do not heed a cancellation: their parents have to kill them when `--deadline` is over, and after a
//! second Ctrl-C when `--grace` is. With `--panic` the root panics when it is cancelled, and comes home all the same.

use pleach::{
    Actor, Backend, Config, Context, Endpoint, Error, Event, Program, Start, actors, shielded, sleep_forever,
};
use serde::{Deserialize, Serialize};
use std::cell::Cell;
use std::convert::Infallible;
use std::fmt;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

/// How actors are made.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
enum How {
    Fork,
    Server,
    Exec,
}

/// What the command line says of the tree. It goes down with it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Shape {
    breadth: u32,
    depth: u32,
    how: How,
    deaf: bool,
    panic: bool,
}

/// An actor of the tree, so many levels above the leaves.
const GROW: Endpoint<(Shape, u32), ()> = Endpoint::new("idle_tree.grow");

const USAGE: &str = "usage: idle_tree [--breadth B] [--depth D] [--backend fork|server|exec] [--deadline SECONDS] [--grace SECONDS] [--deaf] [--panic]";

fn main() -> ExitCode {
    let (shape, config) = match options() {
        Ok(Some(options)) => options,
        Ok(None) => return help(),
        Err(e) => {
            // Whoever has closed stderr does not want to know.
            let _ = writeln!(io::stderr(), "idle_tree: {e}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let program =
        Program::new("root").config(config).endpoint(GROW, async |context: Context, (shape, level)| {
            grow(context.actor().clone(), shape, level).await
        });
    program.run(async move |root| {
        let leaves = shape.breadth.pow(shape.depth);
        let running = Cell::new(0);
        let _observer = root.observe(move |event| match event {
            // What cannot be written is missed by nobody but the onlooker.
            Event::Started { actor, .. } => {
                let _ = say(format_args!("{} (pid {})", actor.path(), actor.pid()));
            }
            Event::Note { .. } => {
                running.set(running.get() + 1);
                if running.get() == leaves {
                    let _ = say("up");
                }
            }
            _ => {}
        });
        let outcome = actors(async |an| {
            plant(an, shape, shape.depth);
            let waited = sleep_forever().await;
            let _ = say("ending");
            assert!(!shape.panic, "as --panic asks for");
            never(waited?)
        })
        .await;
        let books = root.books();
        let said = say(format_args!(
            "{} started, {} reaped, {} terminated, {} killed",
            books.started, books.reaped, books.terminated, books.killed
        ));
        outcome.and(said)
    })
}

fn never(nothing: Infallible) -> Result<(), Error> {
    match nothing {}
}

fn help() -> ExitCode {
    match say(USAGE) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// `None`: only how to use it.
fn options() -> Result<Option<(Shape, Config)>, lexopt::Error> {
    use lexopt::prelude::*;
    let mut s = Shape { breadth: 2, depth: 2, how: How::Fork, deaf: false, panic: false };
    let mut config = Config::default();
    let mut args = lexopt::Parser::from_env();
    while let Some(arg) = args.next()? {
        match arg {
            Long("breadth") => s.breadth = positive("breadth", &args.value()?.string()?)?,
            Long("depth") => s.depth = positive("depth", &args.value()?.string()?)?,
            Long("deadline") => {
                let seconds = positive("deadline", &args.value()?.string()?)?;
                config = config.cancel(Duration::from_secs(seconds.into()));
            }
            Long("grace") => {
                let seconds = positive("grace", &args.value()?.string()?)?;
                config = config.orphan_grace(Duration::from_secs(seconds.into()));
            }
            Long("backend") => {
                s.how = match args.value()?.string()?.as_str() {
                    "fork" => How::Fork,
                    "server" => How::Server,
                    "exec" => How::Exec,
                    other => {
                        return Err(
                            format!("--backend: no backend `{other}`, use fork, server or exec").into()
                        );
                    }
                }
            }
            Long("deaf") => s.deaf = true,
            Long("panic") => s.panic = true,
            Short('h') | Long("help") => return Ok(None),
            _ => return Err(arg.unexpected()),
        }
    }
    match u64::from(s.breadth).checked_pow(s.depth) {
        Some(leaves) if leaves <= 10_000 => Ok(Some((s, config))),
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
fn plant(an: &pleach::ActorNursery, shape: Shape, level: u32) {
    for i in 0..shape.breadth {
        let start = Start::new(if level == 1 { format!("leaf{i}") } else { format!("s{i}") });
        let backend = match shape.how {
            How::Fork => {
                let _running = an.fork(start, (), async move |actor, ()| grow(actor, shape, level - 1).await);
                continue;
            }
            How::Server => Backend::ForkServer,
            How::Exec => Backend::Exec,
        };
        let _running = an.call_with(start.backend(backend).may_spawn(level > 1), GROW, (shape, level - 1));
    }
}

/// An actor `level` levels above the leaves.
async fn grow(actor: Actor, shape: Shape, level: u32) -> Result<(), Error> {
    if level == 0 {
        actor.note("waiting");
        return if shape.deaf {
            never(shielded(async |_| Ok::<_, Error>(sleep_forever().await?)).await?)
        } else {
            never(sleep_forever().await?)
        };
    }
    actors(async |an| {
        plant(an, shape, level);
        Ok(())
    })
    .await
}

/// Writes a line to stdout. `println!` panics where nobody reads any more, or the disk is full.
fn say(line: impl fmt::Display) -> Result<(), Error> {
    writeln!(io::stdout(), "{line}").map_err(|e| Error::msg(format!("stdout takes nothing more: {e}")))
}
