//! Counts primes in worker processes, and shows what becomes of the run when one of them is killed.
//!
//! ```text
//!   a..b, a file, stdin ─► chunks ─► bounded queue ─┬─► seat 0 ─ portal.call(COUNT, a..b) ─► w0, a process
//!                                                   ├─► seat 1 ─ … ────────────────────────► w1
//!                                                   └─► …            --workers W of each
//!                               tally, progress bar ◄── how many ────┘
//!   --kill-one: half-way, a shell ─SIGKILL─►  a worker that is counting ─► the run fails, naming it and the signal
//!                                 with --restart its chunk is queued again, and a new worker sits down
//! ```
//!
//! A *seat* is a task of this process with an actor nursery of its own, so the death of a worker is the failure of its
//! seat alone. What a seat does about it is its own decision: hand the error on, which cancels all others, or start anew.
//!
//! The program prints a line for every worker as it is made, the primes of every range in the order of the ranges, their
//! sum, and the time beside that of the same chunks counted in this process alone. Messages and the bar go to stderr, the
//! bar only if that is a terminal. Exit status 2 for input that makes no sense, 1 for a run that failed.
//!
//! At most two chunks for each worker have left the input at any time: one that it counts and one in the queue.

use indicatif::{ProgressBar, ProgressFinish, ProgressStyle};
use pleach::sync::Event as Flag;
use pleach::sync::channel::{self, Receiver, Sender};
use pleach::{
    Actor, ActorId, Backend, Endpoint, Error, ErrorKind, Event, Program, Start, Started, actors, checkpoint,
    nursery,
};
use std::cell::{Cell, RefCell};
use std::fmt;
use std::fs::File;
use std::io::{self, Read, Write};
use std::ops::Range;
use std::process::{Command, ExitCode};
use std::time::Duration;

/// How many primes there are in a range.
const COUNT: Endpoint<Range<u64>, u64> = Endpoint::new("primes.count");

/// A range ends here at the latest: the primes up to its root fit a small sieve.
const LARGEST: u64 = 1_000_000_000_000;
/// So many workers at most.
const MOST_WORKERS: u32 = 10_000;
/// A list of ranges is not longer than this, in bytes.
const MOST_INPUT: u64 = 64 << 20;
/// So often a seat starts anew. More deaths than that have a reason that another worker would meet as well.
const RESTARTS: u32 = 3;

const USAGE: &str =
    "usage: primes [--workers W] [--chunk NUMBERS] [--backend fork|server|exec|auto] [--kill-one] [--restart] \
                     [--no-compare] [--file FILE] [A..B | -]...
A..B is from A to below B; FILE has one such range on a line, `#` begins a comment; `-` is standard input.";

fn main() -> ExitCode {
    let program = Program::new("primes").endpoint(COUNT, async |_context, numbers| count(numbers).await);
    // A worker that is made by exec begins here as well. What follows, above all reading stdin, is for the root only.
    program.divert();
    let options = match options() {
        Ok(Some(options)) => options,
        Ok(None) => return help(),
        Err(e) => {
            // Whoever has closed stderr does not want to know.
            let _ = writeln!(io::stderr(), "primes: {e}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    program.run(async move |root| show(&root, &options).await)
}

// ---- what is asked for

/// What the command line says, and the input that it names.
struct Options {
    ranges: Vec<Range<u64>>,
    workers: u32,
    chunk: u64,
    backend: Backend,
    kill_one: bool,
    restart: bool,
    compare: bool,
}

/// A part of a range: what a worker is asked for at a time.
struct Chunk {
    /// Which range.
    row: usize,
    numbers: Range<u64>,
}

impl Options {
    fn chunks(&self) -> impl Iterator<Item = Chunk> {
        self.ranges.iter().enumerate().flat_map(move |(row, range)| {
            let starts = range.clone().step_by(self.chunk as usize);
            starts.map(move |start| Chunk { row, numbers: start..range.end.min(start + self.chunk) })
        })
    }

    fn number_of_chunks(&self) -> u64 {
        self.ranges.iter().map(|range| length(range).div_ceil(self.chunk)).sum()
    }

    fn numbers(&self) -> u64 {
        self.ranges.iter().map(length).sum()
    }
}

fn length(range: &Range<u64>) -> u64 {
    range.end - range.start
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
    let processors = std::thread::available_parallelism().map_or(1, |n| n.get().try_into().unwrap_or(1));
    let mut o = Options {
        ranges: Vec::new(),
        workers: processors,
        chunk: 1_000_000,
        backend: Backend::Auto,
        kill_one: false,
        restart: false,
        compare: true,
    };
    let mut args = lexopt::Parser::from_env();
    while let Some(arg) = args.next()? {
        match arg {
            Long("workers") => {
                let workers = from_1_to(MOST_WORKERS.into(), "--workers", &args.value()?.string()?)?;
                o.workers = workers.try_into().expect("it is at most MOST_WORKERS");
            }
            Long("chunk") => o.chunk = from_1_to(LARGEST, "--chunk", &args.value()?.string()?)?,
            Long("backend") => {
                o.backend = match args.value()?.string()?.as_str() {
                    "fork" => Backend::Fork,
                    "server" => Backend::ForkServer,
                    "exec" => Backend::Exec,
                    "auto" => Backend::Auto,
                    other => {
                        return Err(format!(
                            "--backend: no backend `{other}`, use fork, server, exec or auto"
                        )
                        .into());
                    }
                }
            }
            Long("kill-one") => o.kill_one = true,
            Long("restart") => o.restart = true,
            Long("no-compare") => o.compare = false,
            Long("file") => {
                let path = args.value()?;
                let name = path.display().to_string();
                let bytes = File::open(&path).and_then(all_of);
                o.ranges.extend(ranges(&name, &bytes.map_err(|e| format!("{name} cannot be read: {e}"))?)?);
            }
            Value(dash) if dash == "-" => {
                let bytes = all_of(io::stdin()).map_err(|e| format!("standard input cannot be read: {e}"))?;
                o.ranges.extend(ranges("stdin", &bytes)?);
            }
            Value(text) => {
                let text = text.string()?;
                let hint = "in the command line; a file of ranges is named by --file";
                o.ranges.push(range(&text).map_err(|e| format!("{e} ({hint})"))?);
            }
            Short('h') | Long("help") => return Ok(None),
            _ => return Err(arg.unexpected()),
        }
    }
    if o.ranges.is_empty() {
        return Err(
            "nothing to count: say a range like 0..10000000, --file FILE, or - for standard input".into()
        );
    }
    Ok(Some(o))
}

/// Everything there is, unless that is so much that it cannot be meant.
fn all_of(input: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    input.take(MOST_INPUT + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MOST_INPUT {
        return Err(io::Error::other(format!("over {MOST_INPUT} bytes are no list of ranges")));
    }
    Ok(bytes)
}

fn from_1_to(most: u64, what: &str, text: &str) -> Result<u64, String> {
    match whole(text) {
        Ok(n) if (1..=most).contains(&n) => Ok(n),
        Ok(n) => Err(format!("{what} has to be from 1 to {most}, not {n}")),
        Err(e) => Err(format!("{what}: {e}")),
    }
}

/// The ranges of a text, each on a line of its own.
fn ranges(name: &str, bytes: &[u8]) -> Result<Vec<Range<u64>>, String> {
    let mut found = Vec::new();
    for (i, line) in bytes.split(|b| *b == b'\n').enumerate() {
        let at = |e: String| format!("{name}:{}: {e}", i + 1);
        let line =
            str::from_utf8(line).map_err(|_| at("this is no text: write ranges as `a..b`".to_owned()))?;
        let line = line.split('#').next().unwrap_or_default().trim();
        if !line.is_empty() {
            found.push(range(line).map_err(at)?);
        }
    }
    if found.is_empty() {
        return Err(format!("{name} has no range in it: write some as `a..b`, each on a line of its own"));
    }
    Ok(found)
}

fn range(text: &str) -> Result<Range<u64>, String> {
    let shown = Shown(text);
    let Some((start, end)) = text.split_once("..") else {
        return Err(format!("`{shown}` is no range: write it as `a..b`, from a to below b"));
    };
    let (start, end) = (whole(start)?, whole(end)?);
    if start >= end {
        return Err(format!("`{shown}` is empty: its first number has to be below its second"));
    }
    if end > LARGEST {
        return Err(format!("`{shown}` goes beyond {LARGEST}, where this program ends"));
    }
    Ok(start..end)
}

fn whole(text: &str) -> Result<u64, String> {
    text.trim().parse().map_err(|e| format!("`{}` is not a whole number: {e}", Shown(text)))
}

/// A text of any length, as a message quotes it.
struct Shown<'a>(&'a str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.char_indices().nth(60) {
            Some((cut, _)) => write!(f, "{}…", self.0[..cut].escape_debug()),
            None => write!(f, "{}", self.0.escape_debug()),
        }
    }
}

// ---- how primes are counted, in a worker as well as alone

/// So many numbers are sieved between two looks at the link: 64 KiB of marks.
const SEGMENT: u64 = 1 << 17;

/// Cancelled, it ends with the segment that it is at.
async fn count(numbers: Range<u64>) -> Result<u64, Error> {
    let divisors = odd_primes_up_to(numbers.end.isqrt());
    let mut found = u64::from(numbers.contains(&2));
    let mut start = numbers.start;
    while start < numbers.end {
        let end = numbers.end.min(start + SEGMENT);
        found += odd_primes(start..end, &divisors).count() as u64;
        checkpoint().await?;
        start = end;
    }
    Ok(found)
}

fn odd_primes_up_to(most: u64) -> Vec<u64> {
    if most < 3 {
        return Vec::new();
    }
    odd_primes(3..most + 1, &odd_primes_up_to(most.isqrt())).collect()
}

/// A sieve with a mark for each odd number from 3; `divisors` are the odd primes up to the root of the last.
fn odd_primes(numbers: Range<u64>, divisors: &[u64]) -> impl Iterator<Item = u64> {
    let first = numbers.start.max(3) | 1;
    let mut prime = vec![true; numbers.end.saturating_sub(first).div_ceil(2) as usize];
    for &p in divisors.iter().take_while(|p| *p * *p < numbers.end) {
        let multiple = (p * p).max(first.next_multiple_of(p));
        let odd = if multiple % 2 == 0 { multiple + p } else { multiple };
        for mark in ((odd - first) as usize / 2..prime.len()).step_by(p as usize) {
            prime[mark] = false;
        }
    }
    (first..).step_by(2).zip(prime).filter_map(|(number, prime)| prime.then_some(number))
}

// ---- the run

/// What the tasks of a run share.
struct Work<'a> {
    options: &'a Options,
    queue: Receiver<Chunk>,
    tally: RefCell<Tally>,
    bar: ProgressBar,
    /// So many chunks have been given to workers.
    given: Cell<u64>,
    /// Who counts the chunk in the middle, once that is given.
    victim: RefCell<Option<ActorId>>,
    half_way: Flag,
}

async fn show(root: &Actor, options: &Options) -> Result<(), Error> {
    let workers = u64::from(options.workers).min(options.number_of_chunks());
    let bar = progress(options, &format!("{workers} workers"));
    let _observer = {
        let bar = bar.clone();
        root.observe(move |event| {
            if let Event::Started { actor, .. } = event {
                // For onlookers: the numbers do not depend on it.
                let _ = bar.suspend(|| say(format_args!("{} (pid {})", actor.path(), actor.pid())));
            }
        })
    };
    let began = pleach::now();
    let total = in_workers(options, workers, bar).await?;
    let took = pleach::now() - began;
    say(format_args!("{total} primes in {} numbers", options.numbers()))?;
    say(format_args!("{workers} workers: {took:.1?}"))?;
    if options.compare {
        let began = pleach::now();
        let alone = in_this_process(options).await?;
        let alone_took = pleach::now() - began;
        if alone != total {
            return Err(Error::msg(format!("one process alone counts {alone}: one of the two is wrong")));
        }
        let ratio = alone_took.as_secs_f64() / took.max(Duration::from_nanos(1)).as_secs_f64();
        say(format_args!("1 process: {alone_took:.1?}, so {workers} workers are {ratio:.1} times as fast"))?;
    }
    Ok(())
}

/// Feeds the seats, and gives the sum when all chunks are counted.
async fn in_workers(options: &Options, workers: u64, bar: ProgressBar) -> Result<u64, Error> {
    let (feed, queue) = channel::bounded(options.workers as usize);
    let work = Work {
        options,
        queue,
        tally: RefCell::new(Tally::new(options)),
        bar,
        given: Cell::new(0),
        victim: RefCell::new(None),
        half_way: Flag::new(),
    };
    let work = &work;
    nursery(async |n| {
        n.spawn(cut(options, feed));
        if options.kill_one {
            n.spawn(kill_half_way(work));
        }
        // One after the other: where the system allows no more, the first that fails says so, and it alone.
        for number in 0..workers {
            n.start(async move |up| seat(work, number, up).await).await?;
        }
        Ok(())
    })
    .await?;
    work.bar.finish_and_clear();
    Ok(work.tally.borrow().sum())
}

/// Cuts the ranges into chunks as fast as the queue takes them.
async fn cut(options: &Options, feed: Sender<Chunk>) -> Result<(), Error> {
    for chunk in options.chunks() {
        if feed.send(chunk).await?.is_err() {
            break;
        }
    }
    Ok(())
}

/// A worker; with `--restart` another one whenever one dies. Says when the first is up.
async fn seat(work: &Work<'_>, number: u64, up: Started<()>) -> Result<(), Error> {
    let mut up = Some(up);
    // The chunk that a worker was given and has not answered.
    let mut held = None;
    let mut restarts = 0;
    loop {
        match worker_life(work, number, &mut up, &mut held).await {
            Err(e) if work.options.restart && restarts < RESTARTS && has_died(&e) => {
                restarts += 1;
                let again = held.as_ref().map(|chunk| format!("{:?} is queued again, ", chunk.numbers));
                let again = again.unwrap_or_default();
                let _ = work.bar.suspend(|| {
                    writeln!(io::stderr(), "{e}\nw{number}: {again}a new worker takes its place")
                });
            }
            ended => return ended,
        }
    }
}

/// Was it running, and is it gone by no decision of its own? Whoever failed in its boot would do so again.
fn has_died(e: &Error) -> bool {
    matches!(e.kind(), ErrorKind::Died { .. } | ErrorKind::Stopped { .. } | ErrorKind::ChannelLost)
}

/// Starts a worker and has it count: first what its predecessor left, then what the queue gives, until that has ended.
async fn worker_life(
    work: &Work<'_>,
    number: u64,
    up: &mut Option<Started<()>>,
    held: &mut Option<Chunk>,
) -> Result<(), Error> {
    actors(async |an| {
        let start = Start::new(format!("w{number}")).backend(work.options.backend).may_spawn(false);
        let worker = an.spawn(start).await?;
        if let Some(up) = up.take() {
            up.set(());
        }
        loop {
            let Chunk { row, numbers } = match held {
                Some(left) => left,
                None => {
                    // The end of the queue is the end of the input.
                    let Ok(chunk) = work.queue.receive().await? else { break };
                    work.one_given_to(worker.id());
                    held.insert(chunk)
                }
            };
            let primes = worker.call(COUNT, numbers.clone()).await?;
            work.bar.inc(length(numbers));
            work.tally.borrow_mut().add(*row, length(numbers), primes, &work.bar)?;
            *held = None;
        }
        an.cancel();
        Ok(())
    })
    .await
}

impl Work<'_> {
    /// A chunk goes to this worker. If it is the one in the middle, that is what `--kill-one` waits for.
    fn one_given_to(&self, worker: &ActorId) {
        if self.given.get() == self.options.number_of_chunks() / 2 {
            *self.victim.borrow_mut() = Some(worker.clone());
            self.half_way.set();
        }
        self.given.set(self.given.get() + 1);
    }
}

/// As anybody with a shell can do it: the runtime hears of it from the kernel.
async fn kill_half_way(work: &Work<'_>) -> Result<(), Error> {
    work.half_way.wait().await?;
    let victim = work.victim.take().expect("it is named before the flag is set");
    let _ =
        work.bar.suspend(|| writeln!(io::stderr(), "kill -KILL {}: that is {}", victim.pid(), victim.path()));
    let killed = Command::new("sh").args(["-c", &format!("kill -KILL {}", victim.pid())]).status()?;
    if killed.success() { Ok(()) } else { Err(Error::msg(format!("{} could not be killed", victim.path()))) }
}

/// The same chunks one after the other, without a worker.
async fn in_this_process(options: &Options) -> Result<u64, Error> {
    let bar = progress(options, "1 process");
    let mut sum = 0;
    for Chunk { numbers, .. } in options.chunks() {
        sum += count(numbers.clone()).await?;
        bar.inc(length(&numbers));
    }
    bar.finish_and_clear();
    Ok(sum)
}

// ---- what is shown of it

/// A bar on stderr; nothing at all if that is no terminal. However the run ends, the bar is wiped away.
fn progress(options: &Options, who: &str) -> ProgressBar {
    let style = ProgressStyle::with_template("{prefix} [{bar:40}] {percent}%, {eta} left");
    let style = style.expect("the template is well formed").progress_chars("=> ");
    let bar = ProgressBar::new(options.numbers()).with_prefix(who.to_owned()).with_style(style);
    bar.with_finish(ProgressFinish::AndClear)
}

/// The primes of every range so far.
struct Tally {
    rows: Vec<Row>,
    /// So many rows have been printed, from the first.
    printed: usize,
}

struct Row {
    range: Range<u64>,
    /// So many of its numbers have not been counted yet.
    left: u64,
    primes: u64,
}

impl Tally {
    fn new(options: &Options) -> Self {
        let row = |range: &Range<u64>| Row { range: range.clone(), left: length(range), primes: 0 };
        Tally { rows: options.ranges.iter().map(row).collect(), printed: 0 }
    }

    /// Adds a chunk, and prints the rows that are complete with all before them.
    fn add(&mut self, row: usize, numbers: u64, primes: u64, bar: &ProgressBar) -> Result<(), Error> {
        self.rows[row].left -= numbers;
        self.rows[row].primes += primes;
        while let Some(Row { range, left: 0, primes }) = self.rows.get(self.printed) {
            bar.suspend(|| say(format_args!("{range:?}: {primes}")))?;
            self.printed += 1;
        }
        Ok(())
    }

    fn sum(&self) -> u64 {
        self.rows.iter().map(|row| row.primes).sum()
    }
}

/// Writes a line to stdout. `println!` panics where nobody reads any more, or the disk is full.
fn say(line: impl fmt::Display) -> Result<(), Error> {
    writeln!(io::stdout(), "{line}").map_err(|e| Error::msg(format!("stdout takes nothing more: {e}")))
}
