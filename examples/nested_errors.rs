//! A tree of forked actors in which every leaf fails, and which always comes home.
//!
//! ```text
//!   root ─┬─ s0 ─┬─ s0 ─┬─ leaf 0   fails with its path and a token only it knows
//!         │      │      └─ leaf 1   (and writes the token into a pipe the checker holds)
//!         │      └─ s1 ─ …
//!         └─ s1 ─ …                 --breadth B actors in every nursery, --depth D levels
//! ```
//!
//! The program prints the tree as it comes up and the errors as they arrived, and then *checks*: every leaf is
//! accounted for, as failed or as cancelled because another failed first; no process, descriptor or socket is left;
//! every process was reaped by its own parent; no rung of the ladder above the message was used. Exit status 1 if not.
//!
//! With `--all-fail` every actor below the root stands under a shield, and the leaves wait until all have arrived before each
//! fails: so every single leaf's error has to be in the tree.
//!
//! With `--panic` the leaves do not return an error but panic.
//!
//! With `--backend fork` an actor is a closure in a copy of its parent's memory. With `--backend exec` it is the endpoint
//! [`GROW`] in this program begun anew, which gets its pipes from its parent; with `server` it is that in a copy of a pristine
//! process of this program. `auto` leaves the choice to the library.

use pleach::{
    Actor, Backend, Config, Context, Ending, Endpoint, Error, Event, Failure, Fallen, Instant, Program,
    Start, Why, actors_with, fd::AsyncFd, inventory,
};
use serde::{Deserialize, Serialize};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::unix::fs::FileTypeExt;
use std::path::PathBuf;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

/// What the command line says of the tree. It goes down with it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Shape {
    breadth: u32,
    depth: u32,
    how: How,
    all_fail: bool,
    panic: bool,
}

/// How the actors are made.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
enum How {
    Fork,
    Server,
    Exec,
    Auto,
}

/// What the command line says.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Options {
    shape: Shape,
    runs: u32,
    deadline: Duration,
    json: bool,
}

/// An actor of the tree, so many levels above the leaves.
const GROW: Endpoint<(Shape, u32), ()> = Endpoint::new("nested_errors.grow");

const USAGE: &str = "usage: nested_errors [--breadth B] [--depth D] [--backend fork|server|exec|auto] [--runs N] [--deadline SECONDS] \
                     [--all-fail] [--panic] [--json]";

fn main() -> ExitCode {
    let options = match options() {
        Ok(Some(options)) => options,
        Ok(None) => return help(),
        Err(e) => {
            // Whoever has closed stderr does not want to know.
            let _ = writeln!(io::stderr(), "nested_errors: {e}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let config = Config::default().cancel(options.deadline);
    let program =
        Program::new("root").config(config).endpoint(GROW, async |context: Context, (shape, level)| {
            let actor = context.actor().clone();
            let pipes = Pipes::taken_by(&actor)?;
            grow(actor, shape, level, pipes).await
        });
    program.run(async move |root| {
        for run in 1..=options.runs {
            let report = one_run(&root, options, run).await?;
            report.print(options)?;
            if !report.complaints.is_empty() {
                return Err(Error::msg(format!("run {run}: {}", report.complaints.join("; "))));
            }
        }
        Ok(())
    })
}

fn help() -> ExitCode {
    match say(USAGE) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// `None`: only how to use it.
fn options() -> Result<Option<Options>, lexopt::Error> {
    use lexopt::prelude::*;
    let mut s = Shape { breadth: 2, depth: 3, how: How::Fork, all_fail: false, panic: false };
    let (mut runs, mut deadline, mut json) = (1, Duration::from_secs(5), false);
    let mut args = lexopt::Parser::from_env();
    while let Some(arg) = args.next()? {
        match arg {
            Long("breadth") => s.breadth = positive("breadth", &args.value()?.string()?)?,
            Long("depth") => s.depth = positive("depth", &args.value()?.string()?)?,
            Long("runs") => runs = positive("runs", &args.value()?.string()?)?,
            Long("deadline") => {
                deadline = Duration::from_secs(positive("deadline", &args.value()?.string()?)?.into());
            }
            Long("backend") => {
                s.how = match args.value()?.string()?.as_str() {
                    "fork" => How::Fork,
                    "server" => How::Server,
                    "exec" => How::Exec,
                    "auto" => How::Auto,
                    other => {
                        return Err(format!(
                            "--backend: no backend `{other}`, use fork, server, exec or auto"
                        )
                        .into());
                    }
                }
            }
            Long("all-fail") => s.all_fail = true,
            Long("panic") => s.panic = true,
            Long("json") => json = true,
            Short('h') | Long("help") => return Ok(None),
            _ => return Err(arg.unexpected()),
        }
    }
    match u64::from(s.breadth).checked_pow(s.depth) {
        Some(leaves) if leaves <= 10_000 => Ok(Some(Options { shape: s, runs, deadline, json })),
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

// ---- the tree

/// What goes down the tree: the pipe that takes the tokens, and the one whose end says "all have arrived".
struct Pipes {
    tokens: PipeWriter,
    arrived: Option<PipeReader>,
}

impl Pipes {
    fn share(&self) -> Result<Pipes, Error> {
        let arrived = self.arrived.as_ref().map(PipeReader::try_clone).transpose()?;
        Ok(Pipes { tokens: self.tokens.try_clone()?, arrived })
    }

    /// For an actor that does not inherit them.
    fn give_to(self, start: Start) -> Start {
        let start = start.give(self.tokens);
        match self.arrived {
            Some(arrived) => start.give(arrived),
            None => start,
        }
    }

    fn taken_by(actor: &Actor) -> Result<Pipes, Error> {
        let mut given = actor.take_given().into_iter();
        let tokens = given.next().ok_or_else(|| Error::msg("it was given no pipe"))?;
        Ok(Pipes { tokens: tokens.into(), arrived: given.next().map(PipeReader::from) })
    }
}

/// An actor `level` levels above the leaves.
async fn grow(actor: Actor, shape: Shape, level: u32, pipes: Pipes) -> Result<(), Error> {
    if shape.all_fail && level < shape.depth {
        return pleach::shielded(async |_| bare(actor, shape, level, pipes).await).await;
    }
    bare(actor, shape, level, pipes).await
}

/// An actor `level` levels above the leaves, without a shield.
async fn bare(actor: Actor, shape: Shape, level: u32, pipes: Pipes) -> Result<(), Error> {
    if level == 0 {
        return leaf(actor, shape, pipes).await;
    }
    actors_with(actor.config(), async |an| {
        for i in 0..shape.breadth {
            let start = Start::new(if level == 1 { format!("leaf{i}") } else { format!("s{i}") });
            let pipes = pipes.share()?;
            let backend = match shape.how {
                How::Fork => {
                    let granted = (pipes.tokens, pipes.arrived);
                    let _running = an.fork(start, granted, async move |actor, (tokens, arrived)| {
                        grow(actor, shape, level - 1, Pipes { tokens, arrived }).await
                    });
                    continue;
                }
                How::Server => Backend::ForkServer,
                How::Exec => Backend::Exec,
                How::Auto => Backend::Auto,
            };
            let start = pipes.give_to(start.backend(backend).may_spawn(level > 1));
            let _running = an.call_with(start, GROW, (shape, level - 1));
        }
        drop(pipes);
        Ok(())
    })
    .await
}

async fn leaf(actor: Actor, shape: Shape, Pipes { mut tokens, arrived }: Pipes) -> Result<(), Error> {
    let token = random_token()?;
    let path = actor.id().path().to_owned();
    let line = format!("{path} {token:016x}\n");
    if let Some(arrived) = arrived {
        // From here on nothing but its own failure ends the leaf: the end of the pipe says that all are here.
        return pleach::shielded(async |_| {
            tokens.write_all(line.as_bytes())?;
            drop(tokens);
            let arrived = AsyncFd::new(arrived)?;
            arrived.readable().await.map_err(Error::new)?;
            fail(shape, &path, token)
        })
        .await;
    }
    tokens.write_all(line.as_bytes())?;
    fail(shape, &path, token)
}

fn fail(shape: Shape, path: &str, token: u64) -> Result<(), Error> {
    let text = format!("{path} fails on purpose, token {token:016x}");
    assert!(!shape.panic, "{text}");
    Err(Error::msg(text))
}

fn random_token() -> Result<u64, Error> {
    let mut bytes = [0; 8];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(u64::from_ne_bytes(bytes))
}

// ---- one run, and what is checked after it

/// What the observer at the root has heard.
#[derive(Default)]
struct Heard {
    started: Vec<String>,
    endings: BTreeMap<String, Ending>,
    first_failure: Option<Instant>,
    last_reaped: Option<Instant>,
}

#[derive(Serialize)]
struct Report {
    run: u32,
    actors_started: usize,
    leaves_failed: usize,
    leaves_cancelled: usize,
    start_to_root_us: u128,
    first_failure_to_last_reaped_us: u128,
    complaints: Vec<String>,
    #[serde(skip)]
    errors: String,
}

async fn one_run(root: &Actor, options: Options, run: u32) -> Result<Report, Error> {
    let before = Inventory::take()?;
    let books_before = root.books();
    let heard = Rc::new(RefCell::new(Heard::default()));
    let fallen = Fallen::default();
    let observer = {
        let (heard, fallen) = (Rc::clone(&heard), fallen.clone());
        let show = run == 1 && !options.json;
        root.observe(move |event| {
            fallen.hear(event);
            hear(&mut heard.borrow_mut(), event, show);
        })
    };
    let start = pleach::now();
    let (outcome, tokens) = grow_and_listen(root, options.shape).await?;
    let took = pleach::now() - start;
    drop(observer);

    // A run that was interrupted proves nothing, and fails nothing.
    pleach::check()?;
    let Err(errors) = outcome else { return Err(Error::msg("the tree came home without an error")) };
    if errors.is_cancelled() {
        return Err(errors);
    }
    let heard = heard.take();
    let books = root.books();
    let mut complaints = Vec::new();
    let (failed, cancelled) = account(options.shape, &errors, &tokens, &heard, &mut complaints);
    let started = books.started - books_before.started;
    if started as usize != heard.started.len() {
        complaints
            .push(format!("{started} processes in the books, but {} seen to start", heard.started.len()));
    }
    if books.reaped - books_before.reaped != started {
        complaints.push(format!(
            "{started} started, {} reaped by their parents",
            books.reaped - books_before.reaped
        ));
    }
    if (books.terminated, books.killed) != (books_before.terminated, books_before.killed) {
        complaints.push("a process had to be told by a signal".to_owned());
    }
    // It is there for the next run as well, and no leftover of this one.
    root.end_fork_server().await?;
    before.compare(&mut complaints)?;
    let reaped_after = match (heard.first_failure, heard.last_reaped) {
        (Some(first), Some(last)) => last - first,
        _ => Duration::ZERO,
    };
    Ok(Report {
        run,
        actors_started: heard.started.len(),
        leaves_failed: failed,
        leaves_cancelled: cancelled,
        start_to_root_us: took.as_micros(),
        first_failure_to_last_reaped_us: reaped_after.as_micros(),
        complaints,
        errors: pleach::Report::new(&errors).with(&fallen).to_string(),
    })
}

fn hear(heard: &mut Heard, event: &Event, show: bool) {
    match event {
        Event::Started { actor, .. } => {
            if show {
                let depth = actor.path().matches('/').count();
                // What cannot be written is missed by nobody but the onlooker.
                let _ = say(format_args!(
                    "{:indent$}{} (pid {})",
                    "",
                    actor.name(),
                    actor.pid(),
                    indent = depth * 2
                ));
            }
            heard.started.push(actor.path().to_owned());
        }
        Event::Ended { actor, ending, .. } => {
            let now = pleach::now();
            if matches!(ending, Ending::Failed) {
                heard.first_failure.get_or_insert(now);
            }
            if actor.pid() != 0 {
                heard.last_reaped = Some(now);
            }
            heard.endings.insert(actor.path().to_owned(), ending.clone());
        }
        _ => {}
    }
}

type Tokens = BTreeMap<String, String>;

/// Runs the tree, and beside it the reader of the token pipe, which ends when the last process that could write is gone.
async fn grow_and_listen(root: &Actor, shape: Shape) -> Result<(Result<(), Error>, Tokens), Error> {
    let (reader, writer) = std::io::pipe()?;
    let (arrived, all_here) = if shape.all_fail {
        let (r, w) = std::io::pipe()?;
        (Some(r), Some(w))
    } else {
        (None, None)
    };
    let leaves = shape.breadth.pow(shape.depth) as usize;
    let tokens = RefCell::new(Tokens::new());
    let outcome = RefCell::new(None);
    pleach::In::<Error>::nursery(async |n| {
        n.spawn(read_tokens(reader, all_here, leaves, &tokens));
        let pipes = Pipes { tokens: writer, arrived };
        *outcome.borrow_mut() = Some(grow(root.clone(), shape, shape.depth, pipes).await);
        Ok(())
    })
    .await?;
    Ok((outcome.take().expect("the body has run"), tokens.take()))
}

async fn read_tokens(
    reader: PipeReader,
    mut all_here: Option<PipeWriter>,
    leaves: usize,
    tokens: &RefCell<Tokens>,
) -> Result<(), Error> {
    let reader = AsyncFd::nonblocking(reader)?;
    let mut text = String::new();
    loop {
        let mut bytes = [0; 4096];
        // Its end is the answer even if the run is cancelled: the tree ends, and with it every writer.
        let n =
            pleach::shielded(async |_| Ok::<_, Error>(reader.read_with(|mut r| r.read(&mut bytes)).await?))
                .await?;
        if n == 0 {
            return Ok(());
        }
        text.push_str(&String::from_utf8_lossy(&bytes[..n]));
        while let Some((line, rest)) = text.split_once('\n') {
            if let Some((path, token)) = line.split_once(' ') {
                tokens.borrow_mut().insert(path.to_owned(), token.to_owned());
            }
            text = rest.to_owned();
        }
        if tokens.borrow().len() == leaves {
            drop(all_here.take());
        }
    }
}

/// Goes through every leaf there should be: failed with its token, or cancelled, itself or with an ancestor.
fn account(
    shape: Shape,
    errors: &Error,
    tokens: &Tokens,
    heard: &Heard,
    complaints: &mut Vec<String>,
) -> (usize, usize) {
    let mut in_tree = BTreeMap::new();
    for e in errors.leaves() {
        in_tree.insert(e.origin.path.clone(), e.message.clone());
    }
    let mut unknown: BTreeSet<_> = in_tree.keys().cloned().collect();
    let (mut failed, mut cancelled) = (0, 0);
    for path in leaf_paths(shape) {
        if let Some(message) = in_tree.get(&path) {
            unknown.remove(&path);
            match tokens.get(&path) {
                Some(token) if message.contains(token) => failed += 1,
                Some(_) => complaints.push(format!("{path}: its error carries another token")),
                None => complaints.push(format!("{path}: failed, but its token never came")),
            }
        } else if was_cancelled(&path, heard) && !shape.all_fail {
            cancelled += 1;
        } else {
            complaints.push(format!("{path}: neither failed nor cancelled because another failed"));
        }
    }
    for path in unknown {
        complaints.push(format!("an error from {path:?}, which is no leaf"));
    }
    (failed, cancelled)
}

/// Was this actor, or the nearest ancestor that was heard of, cancelled because something failed first?
fn was_cancelled(path: &str, heard: &Heard) -> bool {
    let mut path = path;
    loop {
        match heard.endings.get(path) {
            Some(Ending::Cancelled(cause)) => return matches!(cause.why(), Why::SiblingFailed { .. }),
            Some(_) => return false,
            None => {}
        }
        match path.rsplit_once('/') {
            Some((parent, _)) => path = parent,
            None => return false,
        }
    }
}

fn leaf_paths(shape: Shape) -> Vec<String> {
    let mut paths = vec!["root".to_owned()];
    for level in (1..=shape.depth).rev() {
        let kind = if level == 1 { "leaf" } else { "s" };
        let below = |p: String| (0..shape.breadth).map(move |i| format!("{p}/{kind}{i}"));
        paths = paths.into_iter().flat_map(below).collect();
    }
    paths
}

/// What must be the same before and after a run.
struct Inventory {
    fds: Vec<(i32, String)>,
    sockets: BTreeSet<PathBuf>,
}

impl Inventory {
    fn take() -> Result<Self, Error> {
        Ok(Inventory { fds: inventory::open_fds()?, sockets: socket_files()? })
    }

    fn compare(&self, complaints: &mut Vec<String>) -> Result<(), Error> {
        if !inventory::no_children() {
            // Its own were reaped by their actors: what is here now was left by somebody, or adopted.
            complaints
                .push(format!("child processes are left, or strangers came: {:?}", inventory::children()?));
        }
        for fd in inventory::open_fds()? {
            if !self.fds.contains(&fd) {
                complaints.push(format!("descriptor {} is left: {}", fd.0, fd.1));
            }
        }
        for file in socket_files()?.difference(&self.sockets) {
            complaints.push(format!("a socket file is left: {}", file.display()));
        }
        Ok(())
    }
}

/// The socket files in the places where a process would put one.
fn socket_files() -> Result<BTreeSet<PathBuf>, Error> {
    let mut found = BTreeSet::new();
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    for dir in [Some(std::env::temp_dir()), Some(std::env::current_dir()?), runtime].into_iter().flatten() {
        for entry in dir.read_dir().into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_socket()) {
                found.insert(entry.path());
            }
        }
    }
    Ok(found)
}

impl Report {
    fn print(&self, options: Options) -> Result<(), Error> {
        if options.json {
            return say(serde_json::to_string(self).expect("a report is plain data"));
        }
        if self.run == 1 {
            say(format_args!("\nthe errors as they arrived at the root:\n{}\n", self.errors))?;
        }
        say(format_args!(
            "run {}: {} actors, {} leaves failed, {} cancelled because another failed first; home after {:.1} ms, \
             {:.1} ms from the first failure to the last process reaped",
            self.run,
            self.actors_started,
            self.leaves_failed,
            self.leaves_cancelled,
            self.start_to_root_us as f64 / 1e3,
            self.first_failure_to_last_reaped_us as f64 / 1e3,
        ))?;
        self.complaints.iter().try_for_each(|c| say(format_args!("  COMPLAINT: {c}")))
    }
}

/// Writes a line to stdout. `println!` panics where nobody reads any more, or the disk is full.
fn say(line: impl fmt::Display) -> Result<(), Error> {
    writeln!(io::stdout(), "{line}").map_err(|e| Error::msg(format!("stdout takes nothing more: {e}")))
}
