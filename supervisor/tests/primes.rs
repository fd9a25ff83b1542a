//! Promise: `examples/primes.rs` counts right on every backend, says clearly why when it does not, and leaves nothing.
//!
//! ```text
//!   case ─arguments, file, stdin→ primes ─lines→ workers, a count for each range, the sum
//!        ─SIGINT, SIGKILL, SIGSTOP, limits→ │    └─stderr→ who and why
//!                                           └─status→ 0 │ 1 │ 2 │ killed by SIGINT; and no stray came up to us
//! ```
//!
//! Rules:
//! * What is right is known: from tables, or by trial division here.
//! * "In the middle" is after the line of a short range, while all workers are at one that takes hours.
//! * A signal that the kernel sends is not waited for by time: the tree says that it has heard, by a line or its end.

mod support;

use pleach_spawn::Signal;
use std::fs;
use std::io::{Write, pipe};
use std::ops::Range;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use support::{BACKEND, Busy, Ended, Run, assert_nothing_left, command, example, runs, send};

pleach::test_main!(
    ranges_of_the_command_line_are_counted,
    ranges_of_a_file_are_counted,
    ranges_of_standard_input_are_counted,
    every_small_range_is_counted_as_by_trial_division,
    ranges_at_the_borders_of_segments_and_at_the_largest_number_are_counted,
    the_automatic_backend_counts_as_well,
    there_are_as_many_workers_as_asked_for_and_no_more_than_chunks,
    #[limit(3600)]
    a_killed_worker_fails_the_run_which_names_it_and_the_signal,
    #[limit(3600)]
    with_restart_a_killed_worker_is_replaced_and_the_count_is_right,
    #[limit(3600)]
    both_cores_busy_make_no_difference,
    #[limit(3600)]
    a_worker_that_somebody_else_kills_or_stops_fails_the_run,
    #[limit(3600)]
    workers_that_die_again_and_again_are_given_up,
    #[limit(3600)]
    ctrl_c_ends_it_while_the_workers_start,
    #[limit(3600)]
    ctrl_c_ends_it_while_they_count,
    bad_arguments_are_named,
    bad_lines_are_named_with_their_place,
    more_workers_than_processes_are_allowed_is_an_error_of_the_run,
    more_workers_than_descriptors_are_allowed_is_an_error_of_the_run,
    a_standard_output_that_takes_nothing_is_an_error,
    a_standard_error_that_takes_nothing_changes_no_status,
    who_asks_for_help_gets_it,
    the_bar_is_for_terminals_only,
);

/// Takes hours; the other takes no time.
const SHORT_AND_ENDLESS: &str = "0..10 0..1000000000000";
const SHORT_IS_DONE: &str = "0..10: 4";

/// What a run has said on its standard output.
#[derive(Debug, Default, PartialEq)]
struct Said {
    /// The names of the workers and their process ids, as they were made.
    workers: Vec<(String, u32)>,
    /// The ranges and how many primes they have.
    counts: Vec<(String, u64)>,
    /// Everything else.
    rest: Vec<String>,
}

impl Said {
    fn by(lines: &[String]) -> Said {
        let mut said = Said::default();
        for line in lines {
            let count = || {
                let (range, primes) = line.split_once(": ").filter(|(range, _)| range.contains(".."))?;
                Some((range.to_owned(), primes.parse().ok()?))
            };
            if let Some(worker) = worker(line) {
                said.workers.push(worker);
            } else if let Some(count) = count() {
                said.counts.push(count);
            } else {
                said.rest.push(line.clone());
            }
        }
        said
    }
}

/// The line of a worker that was made.
fn worker(line: &str) -> Option<(String, u32)> {
    let (path, pid) = line.split_once(" (pid ")?;
    Some((path.to_owned(), pid.strip_suffix(')')?.parse().ok()?))
}

/// It has ended well, with this sum of these counts.
fn assert_counted(ended: &Ended, counts: &[(&str, u64)]) -> Said {
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    let said = Said::by(&ended.lines);
    let expected: Vec<_> = counts.iter().map(|(range, primes)| ((*range).to_owned(), *primes)).collect();
    assert_eq!(said.counts, expected);
    let sum: u64 = counts.iter().map(|(_, primes)| primes).sum();
    assert!(said.rest[0].starts_with(&format!("{sum} primes in ")), "{said:?}");
    assert_nothing_left();
    said
}

fn assert_silent(ended: &Ended) {
    assert_eq!(ended.stderr, "", "{ended:?}");
}

fn count(args: &str, counts: &[(&str, u64)]) -> Said {
    let ended = Run::start(command("primes", args)).finish();
    assert_silent(&ended);
    assert_counted(&ended, counts)
}

fn ranges_of_the_command_line_are_counted() {
    let said = count(
        "--workers 3 --chunk 10000 0..1000000 1000000..10000000",
        &[("0..1000000", 78_498), ("1000000..10000000", 664_579 - 78_498)],
    );
    assert_eq!(said.rest[0], "664579 primes in 10000000 numbers");
    assert!(said.rest[1].starts_with("3 workers: "), "{said:?}");
    assert!(said.rest[2].starts_with("1 process: ") && said.rest.len() == 3, "{said:?}");
}

/// A file of its own for this case, which goes with it.
struct Input(PathBuf);

impl Input {
    fn of(bytes: &[u8]) -> Input {
        let path = std::env::temp_dir().join(format!("pleach-primes-{}", std::process::id()));
        fs::write(&path, bytes).expect("there is room for a file");
        Input(path)
    }

    fn name(&self) -> &str {
        self.0.to_str().expect("it is text")
    }
}

impl Drop for Input {
    fn drop(&mut self) {
        fs::remove_file(&self.0).expect("it is there");
    }
}

const TEXT: &str = "# Known values\n0..1000000 # all below a million\n\n  2..3\r\n1000000..2000000";
const TEXT_COUNTS: [(&str, u64); 3] = [("0..1000000", 78_498), ("2..3", 1), ("1000000..2000000", 70_435)];

fn ranges_of_a_file_are_counted() {
    let input = Input::of(TEXT.as_bytes());
    count(&format!("--chunk 50000 --no-compare --file {}", input.name()), &TEXT_COUNTS);
}

fn ranges_of_standard_input_are_counted() {
    for dash in ["-", "--file /dev/stdin"] {
        let mut command = command("primes", &format!("--workers 3 --chunk 50000 {dash}"));
        let (reader, mut writer) = pipe().expect("there is room for a pipe");
        writer.write_all(TEXT.as_bytes()).expect("a pipe takes so much");
        drop(writer);
        command.stdin(reader);
        let ended = Run::start(command).finish();
        assert_silent(&ended);
        assert_counted(&ended, &TEXT_COUNTS);
    }
}

fn primes_by_trial(numbers: Range<u64>) -> u64 {
    let prime = |n: &u64| *n > 1 && (2..).take_while(|d| d * d <= *n).all(|d| !n.is_multiple_of(d));
    numbers.filter(prime).count() as u64
}

/// Counts them in one run and compares.
fn as_by_trial(ranges: &[Range<u64>], more: &str) {
    let counts: Vec<_> = ranges.iter().map(|r| (format!("{r:?}"), primes_by_trial(r.clone()))).collect();
    let args: Vec<&str> = counts.iter().map(|(range, _)| range.as_str()).collect();
    let expected: Vec<_> = counts.iter().map(|(range, primes)| (range.as_str(), *primes)).collect();
    count(&format!("{more} {}", args.join(" ")), &expected);
}

fn every_small_range_is_counted_as_by_trial_division() {
    let ranges: Vec<_> = (0..30).flat_map(|a| (a + 1..=30).map(move |b| a..b)).collect();
    for chunk in [1, 2, 7, 1000] {
        as_by_trial(&ranges, &format!("--chunk {chunk} --workers 2"));
    }
}

fn ranges_at_the_borders_of_segments_and_at_the_largest_number_are_counted() {
    let segment = 1 << 17;
    let largest = 1_000_000_000_000;
    let ranges = [
        segment - 1..segment,
        segment..segment + 1,
        segment - 30..segment + 30,
        30..segment + 30,
        30..segment + 29,
        0..2 * segment,
        largest - 300..largest,
    ];
    as_by_trial(&ranges, "");
    as_by_trial(&ranges, "--chunk 17");
}

fn the_automatic_backend_counts_as_well() {
    count("--backend auto 0..1000000 --chunk 100000", &[("0..1000000", 78_498)]);
}

fn there_are_as_many_workers_as_asked_for_and_no_more_than_chunks() {
    for (args, expected) in [
        ("--workers 5 --chunk 1 0..10", 5),
        ("--workers 5 --chunk 4 0..10", 3),
        ("--workers 1 --chunk 1 0..10", 1),
        ("--workers 10000 --chunk 10 0..10", 1),
    ] {
        let said = count(args, &[("0..10", 4)]);
        let names: Vec<_> = said.workers.iter().map(|(path, _)| path.clone()).collect();
        let expected: Vec<_> = (0..expected).map(|i| format!("primes/w{i}")).collect();
        assert_eq!(names, expected, "{args}");
    }
}

/// Who is named to be killed, from the first line of what was said on stderr.
fn victim(ended: &Ended) -> (String, u32) {
    let line = ended.stderr.lines().next().expect("the kill is announced");
    let (pid, path) = line.strip_prefix("kill -KILL ").and_then(|l| l.split_once(": that is ")).expect(line);
    (path.to_owned(), pid.parse().expect("a process id"))
}

/// Few chunks that take some time, and many that take none.
const TO_KILL_IN: [(&str, (&str, u64)); 3] = [
    ("--workers 3 --chunk 500000 0..10000000", ("0..10000000", 664_579)),
    ("--workers 4 --chunk 1 0..100", ("0..100", 25)),
    ("--workers 1 0..10", ("0..10", 4)),
];

/// The first error of the run is that of this worker, and has one of these words. After it there may be whom it took down.
fn assert_failed<'a>(said: impl Iterator<Item = &'a str>, path: &str, pid: u32, words: &[&str]) {
    let said: Vec<&str> = said.collect();
    let [heading, error, ..] = said[..] else { panic!("an error: {said:?}") };
    assert_eq!(heading, "primes failed:", "{said:?}");
    assert!(error.starts_with(&format!("{path} (pid {pid})")), "{said:?}");
    assert!(words.iter().any(|word| error.contains(word)), "{said:?}");
}

fn a_killed_worker_fails_the_run_which_names_it_and_the_signal() {
    for _ in 0..runs(10) {
        kill_one();
    }
}

fn kill_one() {
    for (args, _) in TO_KILL_IN {
        let ended = Run::start(command("primes", &format!("--kill-one {args}"))).finish();
        assert_eq!(ended.status.code(), Some(1), "{ended:?}");
        let said = Said::by(&ended.lines);
        let (path, pid) = victim(&ended);
        assert!(said.workers.contains(&(path.clone(), pid)), "{path} {pid}: {said:?}");
        assert_failed(ended.stderr.lines().skip(1), &path, pid, &["signal 9", "SIGKILL"]);
        assert_nothing_left();
    }
}

fn with_restart_a_killed_worker_is_replaced_and_the_count_is_right() {
    for _ in 0..runs(10) {
        kill_one_and_restart();
    }
}

fn kill_one_and_restart() {
    for (args, counts) in TO_KILL_IN {
        let ended = Run::start(command("primes", &format!("--kill-one --restart {args}"))).finish();
        let said = assert_counted(&ended, &[counts]);
        let (path, pid) = victim(&ended);
        let rest: Vec<&str> = ended.stderr.lines().skip(1).collect();
        let [error, restart] = rest[..] else { panic!("one death: {ended:?}") };
        assert!(error.starts_with(&format!("{path} (pid {pid})")), "{error}");
        assert!(restart.starts_with(&format!("{}: ", path.trim_start_matches("primes/"))), "{restart}");
        assert!(restart.ends_with("a new worker takes its place"), "{restart}");
        let on_seat: Vec<u32> =
            said.workers.iter().filter(|(name, _)| *name == path).map(|(_, pid)| *pid).collect();
        assert!(on_seat.len() == 2 && on_seat[0] == pid && on_seat[1] != pid, "{said:?}");
    }
}

fn both_cores_busy_make_no_difference() {
    for _ in 0..runs(5) {
        let busy = Busy::both_cores();
        for (args, counts) in TO_KILL_IN {
            let more = if args.contains("workers 1") { "" } else { "--kill-one --restart" };
            let ended = Run::start(command("primes", &format!("{more} {args}"))).finish();
            assert_eq!(ended.status.code(), Some(0), "{ended:?}");
            let said = Said::by(&ended.lines);
            assert_eq!(said.counts, [(counts.0.to_owned(), counts.1)], "{ended:?}");
        }
        drop(busy);
        assert_nothing_left();
    }
}

/// A run in a process group of its own, whose workers all count what they will not end, and these workers.
fn in_the_middle(more: &str) -> (Run, Vec<(String, u32)>) {
    let mut command = command("primes", &format!("--workers 3 {more} {SHORT_AND_ENDLESS}"));
    command.process_group(0);
    let mut run = Run::start(command);
    let (mut workers, mut counted) = (Vec::new(), false);
    while workers.len() < 3 || !counted {
        let line = run.line().expect("it starts its workers, and ends the short range");
        counted |= line == SHORT_IS_DONE;
        workers.extend(worker(&line));
    }
    (run, workers)
}

fn a_worker_that_somebody_else_kills_or_stops_fails_the_run() {
    for i in 0..runs(10) {
        for (signal, words) in
            [(Signal::KILL, ["signal 9", "SIGKILL"]), (Signal::STOP, ["signal 19", "SIGSTOP"])]
        {
            let (run, workers) = in_the_middle("");
            // Up for sure: the others are started after it.
            let (path, pid) = &workers[0];
            send(*pid, signal).expect("it counts");
            let ended = run.finish();
            assert_eq!(ended.status.code(), Some(1), "run {i}, {signal}: {ended:?}");
            assert_failed(ended.stderr.lines(), path, *pid, &words);
            assert_nothing_left();
        }
    }
}

/// Every worker is stopped as soon as it is there: three are replaced, and then it is enough.
fn workers_that_die_again_and_again_are_given_up() {
    for _ in 0..runs(5) {
        let mut run = Run::start(command("primes", &format!("--workers 1 --restart {SHORT_AND_ENDLESS}")));
        let mut stopped = Vec::new();
        while let Some(line) = run.line() {
            if let Some((path, pid)) = worker(&line) {
                send(pid, Signal::STOP).expect("it lives until its parent hears of this");
                stopped.push((path, pid));
            }
        }
        let ended = run.finish();
        assert_eq!((ended.status.code(), stopped.len()), (Some(1), 4), "{ended:?}");
        let mut said = ended.stderr.lines();
        let (last, replaced) = stopped.split_last().expect("there are four");
        for (path, pid) in replaced {
            let (error, restart) = (said.next().expect("an error"), said.next().expect("a restart"));
            assert!(error.starts_with(&format!("{path} (pid {pid})")), "{ended:?}");
            assert!(restart.ends_with("a new worker takes its place"), "{ended:?}");
        }
        assert_failed(said, &last.0, last.1, &["signal 19", "SIGSTOP"]);
        assert_nothing_left();
    }
}

fn interrupt(run: &Run, group: bool) {
    if group {
        let kill = format!("kill -s INT -- -{}", run.pid());
        let status = Command::new("sh").args(["-c", &kill]).status().expect("there is a shell");
        assert!(status.success(), "{kill}: {status}");
    } else {
        run.signal(Signal::INT);
    }
}

/// It has died of SIGINT, without a word of complaint.
fn assert_interrupted(ended: &Ended) {
    assert_eq!((ended.status.signal(), ended.stderr.as_str()), (Some(2), ""), "{ended:?}");
    assert_nothing_left();
}

fn ctrl_c_ends_it_while_the_workers_start() {
    for _ in 0..runs(5) {
        for (seen, group) in [(1, false), (2, false), (3, false), (1, true), (2, true), (3, true)] {
            let mut command = command("primes", "--workers 4 --restart 0..1000000000000");
            command.process_group(0);
            let mut run = Run::start(command);
            for _ in 0..seen {
                let line = run.line().expect("workers come up");
                assert!(worker(&line).is_some(), "{line}");
            }
            interrupt(&run, group);
            assert_interrupted(&run.finish());
        }
    }
}

fn ctrl_c_ends_it_while_they_count() {
    for _ in 0..runs(5) {
        for (more, group) in [("", false), ("", true), ("--restart", false), ("--restart", true)] {
            let (run, _workers) = in_the_middle(more);
            interrupt(&run, group);
            assert_interrupted(&run.finish());
        }
    }
}

/// It has refused its input: says what, how to use it, and has done nothing.
fn assert_refused(command: Command, named: &str) {
    let ended = Run::start(command).finish();
    assert_eq!((ended.status.code(), ended.lines.len()), (Some(2), 0), "{named}: {ended:?}");
    let (first, rest) = ended.stderr.split_once('\n').expect("more than a line");
    assert!(first.starts_with("primes: ") && first.contains(named), "{named}: {first}");
    assert!(rest.starts_with("usage: primes "), "{named}: {rest}");
    assert_nothing_left();
}

fn bad_arguments_are_named() {
    for (args, named) in [
        ("", "nothing to count"),
        ("x", "`x` is no range"),
        ("5", "`5` is no range"),
        ("x..5", "`x` is not a whole number"),
        ("5..x", "`x` is not a whole number"),
        ("5..", "`` is not a whole number"),
        ("0..1.5", "`1.5` is not a whole number"),
        ("0..-3", "`-3` is not a whole number"),
        ("-3..3", "-3"),
        ("0..=3", "`=3` is not a whole number"),
        ("0..99999999999999999999", "`99999999999999999999` is not a whole number"),
        ("7..7", "`7..7` is empty"),
        ("7..3", "`7..3` is empty"),
        ("0..1000000000001", "goes beyond 1000000000000"),
        ("0..10 7..7", "`7..7` is empty"),
        ("--workers 0 0..10", "--workers has to be from 1 to 10000, not 0"),
        ("--workers x 0..10", "--workers: `x` is not a whole number"),
        ("--workers 10001 0..10", "--workers"),
        ("0..10 --workers", "--workers"),
        ("--chunk 0 0..10", "--chunk has to be from 1"),
        ("--chunk 1000000000001 0..10", "--chunk"),
        ("--backend thread 0..10", "--backend: no backend `thread`"),
        ("--restart=yes 0..10", "--restart"),
        ("--kill 0..10", "--kill"),
        ("--file /dev/null", "/dev/null has no range in it"),
        ("--file /nowhere/at/all 0..10", "/nowhere/at/all cannot be read: No such file or directory"),
        ("--file / 0..10", "/ cannot be read: Is a directory"),
        ("--file /dev/zero 0..10", "/dev/zero cannot be read: over 67108864 bytes are no list of ranges"),
        ("-", "stdin has no range in it"),
        ("--file", "--file"),
    ] {
        assert_refused(command("primes", args), named);
    }
    let long = "9".repeat(100_000);
    assert_refused(command("primes", &long), &format!("`{}…` is no range", &long[..60]));
    assert_refused(command("primes", &format!("{long}..0")), &format!("`{}…` is not a whole", &long[..60]));
}

fn bad_lines_are_named_with_their_place() {
    for (text, place, what) in [
        (&b"0..10\n\n# fine\n1..x\n"[..], 4, "`x` is not a whole number"),
        (b"9..9", 1, "`9..9` is empty"),
        (b"0..10\n10", 2, "`10` is no range"),
        (b"0..10\n\xff..10\n", 2, "this is no text"),
        (b"0..10, 10..20\n", 1, "`10, 10..20` is not a whole number"),
        (b"0..2000000000000\n", 1, "`0..2000000000000` goes beyond 1000000000000"),
    ] {
        let input = Input::of(text);
        let by_file = command("primes", &format!("--file {}", input.name()));
        assert_refused(by_file, &format!("{}:{place}: {what}", input.name()));
        let mut by_stdin = command("primes", "-");
        by_stdin.stdin(fs::File::open(input.name()).expect("it was written"));
        assert_refused(by_stdin, &format!("stdin:{place}: {what}"));
    }
    let nothing = Input::of(b"# nothing but a comment\n");
    assert_refused(
        command("primes", &format!("--file {}", nothing.name())),
        &format!("{} has no range in it", nothing.name()),
    );
}

/// It has started some workers, and failed with an error that names the first that could not be started.
fn assert_no_more(ended: &Ended, why: &str) {
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    let started = Said::by(&ended.lines).workers.len();
    assert!(started < 20, "no limit was met: {ended:?}");
    let said: Vec<&str> = ended.stderr.lines().collect();
    let [heading, error, ..] = said[..] else { panic!("an error: {ended:?}") };
    assert_eq!(heading, "primes failed:");
    let who = format!("primes/w{started}");
    assert!(error.contains(&who) && error.contains("cannot start") && error.contains(why), "{error}");
    assert_nothing_left();
}

/// The limit does not bind root, and counts the processes of a user: for root it is tried as a user who has none.
fn more_workers_than_processes_are_allowed_is_an_error_of_the_run() {
    let status = fs::read_to_string("/proc/self/status").expect("/proc can be read");
    let uid = status.lines().find_map(|line| line.strip_prefix("Uid:")).expect("the kernel says it");
    let is_root = uid.split_whitespace().nth(1) == Some("0");
    // Wherever the binary was built, that user can run a copy in the directory of this case.
    let copy = Input::of(&fs::read(example("primes")).expect("it can be read"));
    for path in [&std::env::temp_dir(), Path::new(copy.name())] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("it is ours");
    }
    let mut command = if is_root {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", "54321", "--clear-groups", "prlimit", "--nproc=5"]);
        command
    } else {
        let mut command = Command::new("prlimit");
        command.arg("--nproc=1");
        command
    };
    command.arg(copy.name()).args(["--backend", BACKEND, "--workers", "20", "0..1000000000000"]);
    command.stdin(Stdio::null()).stderr(Stdio::piped());
    let ended = Run::start(command).finish();
    assert_no_more(&ended, "Resource temporarily unavailable");
    if is_root {
        // Five with the root, and with its fork server.
        let workers = if BACKEND == "server" { 3 } else { 4 };
        assert_eq!(Said::by(&ended.lines).workers.len(), workers, "{ended:?}");
    }
}

fn more_workers_than_descriptors_are_allowed_is_an_error_of_the_run() {
    let mut command = Command::new("prlimit");
    command.arg("--nofile=24").arg(example("primes"));
    command.args(["--backend", BACKEND, "--workers", "20", "0..1000000000000"]);
    command.stdin(Stdio::null()).stderr(Stdio::piped());
    assert_no_more(&Run::start(command).finish(), "Too many open files");
}

/// A disk that is full, and a reader that has gone: a run that could not say its result has failed.
fn a_standard_output_that_takes_nothing_is_an_error() {
    for why in ["No space left on device", "Broken pipe"] {
        let stdout = match why {
            "Broken pipe" => Stdio::from(pipe().expect("there are descriptors left").1),
            _ => Stdio::from(fs::File::options().write(true).open("/dev/full").expect("it is there")),
        };
        let mut command = command("primes", "--workers 2 0..3000000");
        let ended = command.stdin(Stdio::null()).stdout(stdout).stderr(Stdio::piped()).output();
        let ended = ended.expect("it can be started");
        let said = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(ended.status.code(), Some(1), "{said}");
        assert!(
            said.starts_with("primes failed:\nstdout takes nothing more: ") && said.contains(why),
            "{said}"
        );
        assert_nothing_left();
    }
}

/// There is nobody to tell, and the caller still hears what happened.
fn a_standard_error_that_takes_nothing_changes_no_status() {
    for (args, status) in [("x", 2), ("--workers 2 --chunk 100 --kill-one 0..3000", 1), ("0..10", 0)] {
        let full = fs::File::options().write(true).open("/dev/full").expect("it is there");
        let mut command = command("primes", args);
        let ended = command.stderr(full).output().expect("it can be started");
        assert_eq!(ended.status.code(), Some(status), "{args}");
        assert_nothing_left();
    }
}

fn who_asks_for_help_gets_it() {
    for help in ["--help", "-h", "--workers 2 --help"] {
        let ended = Run::start(command("primes", help)).finish();
        assert_eq!(ended.status.code(), Some(0), "{ended:?}");
        assert!(ended.lines[0].starts_with("usage: primes ") && ended.stderr.is_empty(), "{ended:?}");
    }
}

fn the_bar_is_for_terminals_only() {
    let args = "--workers 2 --chunk 100000 0..3000000 --kill-one --restart";
    let ended = Run::start(command("primes", args)).finish();
    assert_counted(&ended, &[("0..3000000", 216_816)]);
    let text = format!("{}\n{}", ended.lines.join("\n"), ended.stderr);
    assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text:?}");
    // script(1) has a terminal for it.
    let primes: &Path = &example("primes");
    let mut script = Command::new("script");
    script.args(["-q", "-e", "-c", &format!("exec '{}' --backend {BACKEND} {args}", primes.display())]);
    script.arg("/dev/null").stdin(Stdio::null()).stderr(Stdio::piped());
    let ended = Run::start(script).finish();
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    let text = ended.lines.join("\n");
    assert!(text.contains("2 workers [") && text.contains("\r"), "{text:?}");
    assert!(text.contains("216816 primes in 3000000 numbers"), "{text:?}");
    assert_nothing_left();
}
