//! A worker that dies of some of its input, and a supervisor that starts it again: one for one, and not for ever.
//!
//! ```text
//!   root ─ supervised ─┬─ reader   counts the words of a page; it crashes on a page that says "crash"
//!                      └─ ledger   keeps the sum; it must not notice
//!   each page ─► reader.call ─ Ok(words) ─► ledger.call
//!                     └─ Gone ─► the page is noted, and the next one goes to the next incarnation
//! ```
//!
//! A call is made once: whose actor has died nobody knows how far it was, so the page is left out and not tried again. The
//! sum is right all the same, because the ledger lives in a process of its own.
//!
//! `cargo run --example crash_and_restart`, with `-- --crashes N` for so many bad pages and `-- --most N` for how many
//! restarts are too many. With more crashes than that the supervisor gives up, the tree ends in order, and the report says
//! what the last ones died of.

use pleach::{
    Backend, Child, Context, Endpoint, ErrorKind, Program, Restart, Start, Stop, Strategy, Supervision,
    supervised,
};
use std::cell::Cell;
use std::process::ExitCode;
use std::time::Duration;

const COUNT_WORDS: Endpoint<String, u64> = Endpoint::new("reader.count_words");
const ADD: Endpoint<u64, u64> = Endpoint::new("ledger.add");

const USAGE: &str = "usage: crash_and_restart [--backend fork|server|exec] [--crashes N] [--most N]";

/// What the command line says.
struct Options {
    backend: Backend,
    crashes: usize,
    most: u32,
}

fn main() -> ExitCode {
    let options = match options() {
        Ok(options) => options,
        Err(e) => {
            eprintln!("crash_and_restart: {e}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    // The ledger's: each process has one of its own.
    let sum = Cell::new(0);
    Program::new("root")
        .endpoint(COUNT_WORDS, async |_, page| Ok(count_words(&page)))
        .endpoint(ADD, async move |_: Context, words| {
            sum.set(sum.get() + words);
            Ok(sum.get())
        })
        .run(async move |_root| {
            let how = Supervision::new(Strategy::OneForOne)
                .intensity(options.most, Duration::from_secs(60))
                .back_off(Duration::from_millis(10), Duration::from_secs(1));
            supervised(how, async |an| {
                let start = |name: &str| Start::new(name).backend(options.backend).may_spawn(false);
                let ledger =
                    an.child(Child::serve(start("ledger")).stop(Stop::Within(Duration::from_secs(2))))?;
                let reader = an.child(Child::serve(start("reader")).restart(Restart::Transient))?;
                for (number, page) in pages(options.crashes).into_iter().enumerate() {
                    let words = match reader.call(COUNT_WORDS, page).await {
                        Ok(words) => words,
                        Err(e) if *e.kind() == ErrorKind::Gone => {
                            println!("page {number}: the reader has died of it");
                            continue;
                        }
                        Err(e) => return Err(e),
                    };
                    let sum = ledger.call(ADD, words).await?;
                    println!("page {number}: {words} words, {sum} in all");
                }
                for child in an.children() {
                    let nth = child.incarnation.map_or(0, |incarnation| incarnation.number());
                    println!("{}: incarnation {nth}", child.name);
                }
                an.shut_down().await
            })
            .await
        })
}

fn count_words(page: &str) -> u64 {
    let words = page.split_whitespace().inspect(|word| {
        if *word == "crash" {
            // As a bug in a foreign library does it: without a word.
            std::process::exit(70);
        }
    });
    words.count() as u64
}

/// Good pages, and a bad one after each of the first.
fn pages(crashes: usize) -> Vec<String> {
    let mut pages = Vec::new();
    for i in 0..=crashes {
        pages.push(format!("{} branches hold each other up", i + 1));
        if i < crashes {
            pages.push("and then they crash".to_owned());
        }
    }
    pages
}

fn options() -> Result<Options, lexopt::Error> {
    use lexopt::prelude::*;
    let mut options = Options { backend: Backend::Exec, crashes: 2, most: 3 };
    let mut args = lexopt::Parser::from_env();
    while let Some(arg) = args.next()? {
        match arg {
            Long("crashes") => options.crashes = args.value()?.parse()?,
            Long("most") => options.most = args.value()?.parse()?,
            Long("backend") => {
                options.backend = match args.value()?.string()?.as_str() {
                    "fork" => Backend::Fork,
                    "server" => Backend::ForkServer,
                    "exec" => Backend::Exec,
                    other => return Err(format!("no backend `{other}`: use fork, server or exec").into()),
                }
            }
            _ => return Err(arg.unexpected()),
        }
    }
    Ok(options)
}
