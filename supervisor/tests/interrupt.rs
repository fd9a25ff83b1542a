//! Promise: Ctrl-C ends the tree in order, and the root dies by SIGINT when all below it are gone; the second one leaves
//! less time for it, the third none. SIGTERM is the same.
//!
//! ```text
//!   case ─SIGINT→ root │ group │ terminal ─→ idle_tree ─lines→ "up", "ending", its books
//!                                               └─status─→ killed by SIGINT, and no stray came up to us
//! ```
//!
//! Rules:
//! * "In order" is what the books say: all reaped by their parents, and nobody was told by a signal. The deadline of
//!   60 s makes sure that no ladder gets that far in time.
//! * The case signals when a line of output has said how far the tree is.

mod support;

use pleach::test_main::expect_strays_gone;
use pleach::{Error, Program, sleep_forever};
use pleach_spawn::Signal;
use std::io::Write;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, Stdio};
use support::{BACKEND, Busy, Ended, GUARD, Run, assert_nothing_left, command, example, runs, send};

pleach::test_main!(
    #[limit(3600)]
    sent_to_the_root_alone_it_ends_the_tree_in_order,
    #[limit(3600)]
    sent_to_the_whole_group_it_ends_the_tree_in_order,
    #[limit(3600)]
    typed_at_a_terminal_it_ends_the_tree_in_order,
    #[limit(3600)]
    a_deep_chain_ends_in_order,
    #[limit(3600)]
    a_growing_tree_ends_in_order,
    #[limit(3600)]
    a_growing_tree_ends_in_order_when_the_whole_group_is_signalled,
    #[limit(3600)]
    both_cores_busy_make_no_difference,
    #[limit(3600)]
    a_tree_that_is_stopped_and_continued_as_a_whole_goes_on,
    #[limit(3600)]
    a_failing_tree_ends_as_well,
    #[limit(3600)]
    the_second_one_leaves_the_tree_the_time_of_orphans,
    #[limit(3600)]
    the_second_one_goes_down_to_the_leaves,
    #[limit(3600)]
    the_third_one_ends_the_root_at_once_and_the_tree_by_its_links,
    a_root_that_computes_dies_of_the_third,
    #[limit(3600)]
    sigterm_does_the_same,
    #[limit(3600)]
    leaves_that_do_not_heed_it_are_killed_by_their_parents,
    an_ignored_one_stays_ignored,
    a_program_that_fails_on_its_way_out_says_so_and_dies_by_it,
    #[ignore = "dies by SIGINT; run by the one above"]
    fails_on_its_way_out,
    #[ignore = "dies by a signal; run by one above"]
    computes,
);

const IN_ORDER: &str = "--breadth 2 --depth 2 --deadline 60";
/// What `IN_ORDER` writes from the interrupt on.
const ORDERLY_END: [&str; 2] = ["ending", "6 started, 6 reaped, 0 terminated, 0 killed"];

/// Whom a signal is for.
#[derive(Clone, Copy, Debug)]
enum To {
    Root,
    /// Every process of the tree, as a terminal does it.
    Group,
}

/// The tree in a process group of its own, which the case is not in.
fn start(args: &str) -> Run {
    let mut command = command("idle_tree", args);
    command.process_group(0);
    Run::start(command)
}

fn interrupt(run: &Run, to: To) {
    match to {
        To::Root => run.signal(Signal::INT),
        To::Group => signal_group(run, "INT"),
    }
}

fn signal_group(run: &Run, signal: &str) {
    let mut kill = Command::new("sh");
    kill.args(["-c", &format!("kill -s {signal} -- -$0"), &run.pid().to_string()]);
    let status = kill.status().expect("there is a shell");
    assert!(status.success(), "the group could not be signalled: {status}");
}

/// The tree has ended by SIGINT and left nobody.
fn assert_interrupted(ended: &Ended) {
    assert_eq!((ended.status.signal(), ended.stderr.as_str()), (Some(2), ""), "{ended:?}");
    assert_nothing_left();
}

fn up_and_interrupted(to: To) {
    for _ in 0..runs(10) {
        let mut run = start(IN_ORDER);
        run.wait_for("up");
        interrupt(&run, to);
        let ended = run.finish();
        assert_eq!(ended.lines, ORDERLY_END, "{to:?}");
        assert_interrupted(&ended);
    }
}

/// Case S56. Case S70.
fn sent_to_the_root_alone_it_ends_the_tree_in_order() {
    up_and_interrupted(To::Root);
}

fn sent_to_the_whole_group_it_ends_the_tree_in_order() {
    up_and_interrupted(To::Group);
}

fn both_cores_busy_make_no_difference() {
    for to in [To::Root, To::Group] {
        for _ in 0..runs(5) {
            let mut run = start(IN_ORDER);
            run.wait_for("up");
            let busy = Busy::both_cores();
            interrupt(&run, to);
            let ended = run.finish();
            drop(busy);
            assert_eq!(ended.lines, ORDERLY_END, "{to:?}");
            assert_interrupted(&ended);
        }
    }
}

/// script(1) gives the tree a terminal, and what is typed there goes through its line discipline.
fn typed_at_a_terminal_it_ends_the_tree_in_order() {
    for _ in 0..runs(5) {
        let mut script = Command::new("script");
        script.args([
            "-q",
            "-e",
            "-c",
            &format!("exec '{}' --backend {BACKEND} {IN_ORDER}", example("idle_tree").display()),
        ]);
        script.arg("/dev/null").stdin(Stdio::piped()).stderr(Stdio::piped());
        let mut run = Run::start(script);
        run.wait_for("up");
        run.stdin().write_all(b"\x03").expect("the terminal takes what is typed");
        let ended = run.finish();
        let said: Vec<&str> =
            ended.lines.iter().map(|line| line.trim_end().trim_start_matches("^C")).collect();
        assert!(said.starts_with(&ORDERLY_END), "{ended:?}");
        // As a shell has it: killed by signal 2.
        assert_eq!(ended.status.code(), Some(128 + 2), "{ended:?}");
        assert_nothing_left();
    }
}

fn a_deep_chain_ends_in_order() {
    for to in [To::Root, To::Group] {
        for _ in 0..runs(5) {
            let mut run = start("--breadth 1 --depth 16 --deadline 60");
            run.wait_for("up");
            interrupt(&run, to);
            let ended = run.finish();
            assert_eq!(ended.lines, ["ending", "16 started, 16 reaped, 0 terminated, 0 killed"], "{to:?}");
            assert_interrupted(&ended);
        }
    }
}

fn a_growing_tree_ends_in_order() {
    interrupted_while_it_grows(To::Root);
}

fn a_growing_tree_ends_in_order_when_the_whole_group_is_signalled() {
    interrupted_while_it_grows(To::Group);
}

/// Interrupts when so many actors have been seen to start, for every number of them.
fn interrupted_while_it_grows(to: To) {
    for _ in 0..runs(2) {
        for seen in 1..14 {
            let mut run = start("--breadth 2 --depth 3 --deadline 60");
            for _ in 0..seen {
                let line = run.line().expect("the tree grows");
                assert!(line.starts_with("root/"), "{line}");
            }
            interrupt(&run, to);
            let ended = run.finish();
            assert_interrupted(&ended);
            // Before its body waits the root may be cancelled without a word; its books it prints always.
            let books = ended.lines.last().expect("there is a last line");
            let counts: Vec<u32> = books.split(' ').filter_map(|word| word.parse().ok()).collect();
            let &[started, reaped, terminated, killed] = counts.as_slice() else { panic!("{ended:?}") };
            assert!(started >= seen, "{to:?}, seen {seen}: {ended:?}");
            assert_eq!((reaped, terminated, killed), (started, 0, 0), "{to:?}, seen {seen}: {ended:?}");
        }
    }
}

/// As a shell does it with a job (SIGTSTP, by Ctrl-Z), and as an administrator might (SIGSTOP): no actor is taken for
/// failed because it stood still together with its parent.
fn a_tree_that_is_stopped_and_continued_as_a_whole_goes_on() {
    for stop in ["TSTP", "STOP"] {
        for _ in 0..runs(10) {
            let mut run = start(IN_ORDER);
            let mut pids = vec![run.pid()];
            loop {
                let line = run.line().expect("the tree grows");
                match line.split_once("(pid ") {
                    Some((_, pid)) => pids.push(pid.trim_end_matches(')').parse().expect("a process id")),
                    None => break assert_eq!(line, "up"),
                }
            }
            signal_group(&run, stop);
            pids.iter().for_each(|pid| wait_until_stopped(*pid));
            signal_group(&run, "CONT");
            interrupt(&run, To::Root);
            let ended = run.finish();
            assert_eq!(ended.lines, ORDERLY_END, "{stop}");
            assert_interrupted(&ended);
        }
    }
}

/// Looks until it stands still. Nothing tells of it: it is nobody's child here.
fn wait_until_stopped(pid: u32) {
    let began = pleach::now();
    loop {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("it lives");
        if stat.rsplit_once(')').is_some_and(|(_, rest)| rest.starts_with(" T")) {
            return;
        }
        assert!(pleach::now().saturating_duration_since(began) < GUARD, "it goes on: {stat}");
        std::thread::yield_now();
    }
}

fn a_failing_tree_ends_as_well() {
    for to in [To::Root, To::Group] {
        for reports in 1..=runs(10) {
            let mut command = command("nested_errors", "--breadth 2 --depth 3 --runs 1000000 --json");
            command.process_group(0);
            let mut run = Run::start(command);
            for _ in 0..1 + reports % 8 {
                run.line().expect("a run follows the other");
            }
            interrupt(&run, to);
            let ended = run.finish();
            assert!(ended.lines.iter().all(|line| line.contains(r#""complaints":[]"#)), "{to:?}: {ended:?}");
            assert_interrupted(&ended);
        }
    }
}

/// Leaves first: what a parent has left, and not what the root was given, is what they get.
fn the_second_one_leaves_the_tree_the_time_of_orphans() {
    for to in [To::Root, To::Group] {
        for _ in 0..runs(3) {
            let mut run = start("--breadth 2 --depth 1 --deadline 600 --deaf");
            run.wait_for("up");
            interrupt(&run, to);
            run.wait_for("ending");
            interrupt(&run, to);
            let ended = run.finish();
            assert_eq!(ended.lines, ["2 started, 2 reaped, 2 terminated, 2 killed"], "{to:?}");
            assert_interrupted(&ended);
        }
    }
}

fn the_second_one_goes_down_to_the_leaves() {
    for _ in 0..runs(1) {
        let mut run = start("--breadth 1 --depth 3 --deadline 600 --grace 3 --deaf");
        run.wait_for("up");
        interrupt(&run, To::Root);
        run.wait_for("ending");
        interrupt(&run, To::Root);
        let ended = run.finish();
        assert_eq!(ended.lines, ["3 started, 3 reaped, 3 terminated, 1 killed"], "by its own parent");
        assert_interrupted(&ended);
    }
}

/// The second and the third are two kinds: of two of one kind that come together the kernel makes one.
fn the_third_one_ends_the_root_at_once_and_the_tree_by_its_links() {
    for _ in 0..runs(3) {
        let mut run = start("--breadth 2 --depth 2 --deadline 600 --deaf");
        run.wait_for("up");
        interrupt(&run, To::Root);
        run.wait_for("ending");
        run.signal(Signal::STOP);
        run.signal(Signal::INT);
        run.signal(Signal::TERM);
        run.signal(Signal::CONT);
        let ended = run.finish();
        assert_eq!(ended.lines, [""; 0], "it had no time for its books");
        assert!(matches!(ended.status.signal(), Some(2 | 15)), "{ended:?}");
        let strays = expect_strays_gone(GUARD).expect("all end because their links do");
        assert!(!strays.is_empty(), "the leaves are deaf: they outlive a root that does not wait");
    }
}

/// It never comes back to its loop, so it never hears of the first two.
fn a_root_that_computes_dies_of_the_third() {
    for signal in [Signal::INT, Signal::TERM] {
        let mut again = Command::new(std::env::current_exe().expect("a running program has a path"));
        again.args(["computes", "--exact", "--ignored", "--nocapture"]);
        again.stdin(Stdio::null()).stderr(Stdio::piped());
        let mut run = Run::start(again);
        let pid = loop {
            let line = run.line().expect("the case says when it computes");
            if let Some((_, pid)) = line.split_once("computing as ") {
                break pid.parse().expect("a process id");
            }
        };
        for nth in 1..=3 {
            send(pid, signal).expect("it computes");
            if nth < 3 {
                wait_until_taken(pid, signal);
            }
        }
        let ended = run.finish();
        let died = format!("signal {}", signal.as_raw());
        assert!(ended.lines.iter().any(|line| line.contains(&died)), "{ended:?}");
        assert_nothing_left();
    }
}

/// Looks until no signal waits for it any more: two that wait together are one.
fn wait_until_taken(pid: u32, signal: Signal) {
    let began = pleach::now();
    loop {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it lives");
        let waits = |line: &str| {
            let set = line.strip_prefix("ShdPnd:").or(line.strip_prefix("SigPnd:"))?;
            Some(u64::from_str_radix(set.trim(), 16).expect("a number") & signal.bit() != 0)
        };
        if !status.lines().filter_map(waits).any(|waits| waits) {
            return;
        }
        assert!(pleach::now().saturating_duration_since(began) < GUARD, "it takes none: {status}");
        std::thread::yield_now();
    }
}

fn computes() {
    let _exit_code = Program::new("root").run(async |_| {
        println!("computing as {}", std::process::id());
        loop {
            std::hint::spin_loop();
        }
    });
}

/// Whoever ends services ends the tree in order, too.
fn sigterm_does_the_same() {
    for _ in 0..runs(5) {
        let mut run = start(IN_ORDER);
        run.wait_for("up");
        run.signal(Signal::TERM);
        let ended = run.finish();
        assert_eq!(ended.lines, ORDERLY_END);
        assert_eq!((ended.status.signal(), ended.stderr.as_str()), (Some(15), ""), "{ended:?}");
        assert_nothing_left();
    }
}

/// Case S190.
fn leaves_that_do_not_heed_it_are_killed_by_their_parents() {
    let mut run = start("--breadth 2 --depth 1 --deadline 2 --deaf");
    run.wait_for("up");
    interrupt(&run, To::Root);
    let ended = run.finish();
    assert_eq!(ended.lines, ["ending", "2 started, 2 reaped, 2 terminated, 2 killed"]);
    assert_interrupted(&ended);
}

/// As a shell has it for a job in the background.
fn an_ignored_one_stays_ignored() {
    let ignores = |run: &Run| {
        let status = std::fs::read_to_string(format!("/proc/{}/status", run.pid())).expect("it lives");
        let line = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).expect("the kernel says it");
        u64::from_str_radix(line.trim(), 16).expect("a number") & 0b10 != 0
    };
    for ignored in [true, false] {
        let mut command = Command::new("env");
        let flag = if ignored { "--ignore-signal=INT" } else { "--default-signal=INT" };
        command
            .arg(flag)
            .arg(example("idle_tree"))
            .args(["--backend", BACKEND])
            .args(IN_ORDER.split(' '))
            .stderr(Stdio::piped());
        let mut run = Run::start(command);
        run.wait_for("up");
        assert_eq!(ignores(&run), ignored);
        run.signal(if ignored { Signal::KILL } else { Signal::INT });
        let _ended = run.finish();
        expect_strays_gone(GUARD).expect("all end because their links do");
        assert_nothing_left();
    }
}

fn a_program_that_fails_on_its_way_out_says_so_and_dies_by_it() {
    let mut again = Command::new(std::env::current_exe().expect("a running program has a path"));
    again.args(["fails_on_its_way_out", "--exact", "--ignored", "--nocapture"]);
    again.stdin(Stdio::null()).stderr(Stdio::piped());
    let mut run = Run::start(again);
    let pid = loop {
        let line = run.line().expect("the case says when it waits");
        if let Some((_, pid)) = line.split_once("waiting as ") {
            break pid.parse().expect("a process id");
        }
    };
    send(pid, Signal::INT).expect("it waits");
    let ended = run.finish();
    assert_eq!(ended.stderr, "root failed when it was interrupted:\nit could not clean up\n");
    assert!(ended.lines.iter().any(|line| line.contains("signal 2")), "{ended:?}");
    assert_nothing_left();
}

fn fails_on_its_way_out() {
    let _exit_code = Program::new("root").run(async |_| {
        println!("waiting as {}", std::process::id());
        match sleep_forever().await {
            Ok(never) => match never {},
            Err(_interrupt) => Err(Error::msg("it could not clean up")),
        }
    });
}
