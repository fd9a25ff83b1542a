//! Promise: SIGKILL of the root, at whatever moment of the tree's life, leaves nobody.
//!
//! ```text
//!   case ─random: lines to read, turns to spin, whom to stop→ idle_tree │ nested_errors ─SIGKILL→ root
//!     ▲──────────────── every stray comes up to us, ends, and is collected: then waitid(2) says ECHILD
//! ```
//!
//! Rules:
//! * The moment is random, and its seed is in the message of a failure; `PLEACH_SEED` repeats it as far as the moments
//!   of a running program can be repeated.
//! * Gone is what the kernel says; the only time is a guard.

mod support;

use pleach::test_main::expect_strays_gone;
use pleach_spawn::Signal;
use std::fs::File;
use std::hint::{black_box, spin_loop};
use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use support::{Busy, GUARD, Run, assert_nothing_left, below, command, has_ties, runs, send, until_state};

pleach::test_main!(
    #[limit(3600)]
    killed_while_it_grows_or_stands,
    #[limit(3600)]
    killed_while_it_grows_or_stands_and_both_cores_are_busy,
    #[limit(3600)]
    killed_while_it_fails,
    #[limit(3600)]
    killed_while_it_is_interrupted,
    #[limit(3600)]
    killed_while_descendants_are_stopped,
    #[limit(3600)]
    killed_while_descendants_are_signalled,
    #[limit(3600)]
    killed_above_leaves_that_heed_nothing,
    #[limit(3600)]
    killed_above_a_deep_chain,
    #[limit(3600)]
    a_root_outlives_what_a_killed_actor_leaves_behind,
    #[limit(3600)]
    a_root_outlives_what_an_actor_leaves_that_is_killed_while_it_grows,
    #[limit(3600)]
    a_root_that_panics_outlives_its_tree,
);

/// Numbers that look random (SplitMix64: <https://prng.di.unimi.it/splitmix64.c>, in the public domain).
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// One of `0..n`.
    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> Option<T> {
        let n = u64::try_from(from.len()).ok().filter(|n| *n > 0)?;
        from.get(usize::try_from(self.below(n)).ok()?).copied()
    }

    /// Lets a random, short time go by: up to a few milliseconds, and often much less.
    fn spin(&mut self) {
        let most = 1 << self.below(20);
        for turn in 0..self.below(most) {
            black_box(turn);
            spin_loop();
        }
    }
}

/// Repeats `round`, each with dice of its own, whose seed is told if it fails.
fn rounds(small: u32, round: impl Fn(&mut Dice)) {
    /// Tells the seed if it is dropped by a panic.
    struct Teller(u64);
    impl Drop for Teller {
        fn drop(&mut self) {
            if std::thread::panicking() {
                eprintln!("the seed of this round: PLEACH_SEED={}", self.0);
            }
        }
    }
    if let Ok(seed) = std::env::var("PLEACH_SEED") {
        let seed = seed.parse().expect("PLEACH_SEED is a number");
        let _teller = Teller(seed);
        return round(&mut Dice(seed));
    }
    let mut bytes = [0; 8];
    File::open("/dev/urandom").and_then(|mut f| f.read_exact(&mut bytes)).expect("there is randomness");
    let mut seeds = Dice(u64::from_ne_bytes(bytes));
    for _ in 0..runs(small) {
        let seed = seeds.next();
        let _teller = Teller(seed);
        round(&mut Dice(seed));
    }
}

/// A running example from which a random number of lines, less than `most`, has been read.
fn at_a_random_moment(dice: &mut Dice, name: &str, args: &str, most: u64) -> Run {
    let mut run = Run::start(command(name, args));
    for _ in 0..dice.below(most) {
        assert!(run.line().is_some(), "it ended before it was killed");
    }
    dice.spin();
    run
}

fn kill(run: Run) {
    run.signal(Signal::KILL);
    // Its output ends when the last of the tree has.
    let ended = run.finish();
    assert_eq!(ended.status.signal(), Some(9), "{ended:?}");
    assert_eq!(ended.stderr, "", "{ended:?}");
    expect_strays_gone(GUARD).expect("nobody outlives the tree");
}

const TREE: &str = "--breadth 2 --depth 3 --deadline 60";
/// The lines that `TREE` prints until it stands, `up` among them.
const LINES: u64 = 15;

/// Case S220.
fn killed_while_it_grows_or_stands() {
    rounds(30, |dice| kill(at_a_random_moment(dice, "idle_tree", TREE, LINES + 1)));
}

fn killed_while_it_grows_or_stands_and_both_cores_are_busy() {
    rounds(10, |dice| {
        let run = at_a_random_moment(dice, "idle_tree", TREE, LINES + 1);
        let busy = Busy::both_cores();
        run.signal(Signal::KILL);
        let ended = run.finish();
        drop(busy);
        assert_eq!((ended.status.signal(), ended.stderr.as_str()), (Some(9), ""), "{ended:?}");
        expect_strays_gone(GUARD).expect("nobody outlives the tree");
    });
}

fn killed_while_it_fails() {
    let shapes = ["--breadth 2 --depth 3", "--breadth 3 --depth 2", "--breadth 1 --depth 6"];
    let ways = ["", "--all-fail", "--panic"];
    rounds(30, |dice| {
        let shape = dice.pick(&shapes).expect("there are some");
        let way = dice.pick(&ways).expect("there are some");
        let args = format!("{shape} {way} --runs 1000000 --json");
        kill(at_a_random_moment(dice, "nested_errors", &args, 4));
    });
}

fn killed_while_it_is_interrupted() {
    rounds(20, |dice| {
        let run = at_a_random_moment(dice, "idle_tree", TREE, LINES + 1);
        run.signal(Signal::INT);
        dice.spin();
        run.signal(Signal::KILL);
        let ended = run.finish();
        // It may have been faster: then it has died by SIGINT.
        assert!(matches!(ended.status.signal(), Some(2 | 9)), "{ended:?}");
        assert_eq!(ended.stderr, "", "{ended:?}");
        expect_strays_gone(GUARD).expect("nobody outlives the tree");
    });
}

/// The root first and then parents before their children: whoever is not stopped would continue a child that is.
fn killed_while_descendants_are_stopped() {
    rounds(20, |dice| {
        let mut run = Run::start(command("idle_tree", TREE));
        run.wait_for("up");
        let tree = below(run.pid());
        let most = u64::try_from(tree.len()).expect("a few");
        let stopped = 1 + usize::try_from(dice.below(most)).expect("a few");
        for one in std::iter::once(run.pid()).chain(tree.into_iter().take(stopped)) {
            send(one, Signal::STOP).expect("nobody of the tree ends by itself");
            until_state(one, 'T');
        }
        kill(run);
    });
}

fn killed_while_descendants_are_signalled() {
    let signals = [Signal::STOP, Signal::INT, Signal::TERM, Signal::CONT, Signal::KILL];
    rounds(20, |dice| {
        let run = at_a_random_moment(dice, "idle_tree", TREE, LINES + 1);
        for _ in 0..=dice.below(3) {
            if let Some(one) = dice.pick(&below(run.pid())) {
                let signal = dice.pick(&signals).expect("there are some");
                if signal == Signal::STOP && !has_ties(one) {
                    continue;
                }
                // It may be gone: the one before may have been the end of it.
                let _ = send(one, signal);
            }
        }
        dice.spin();
        run.signal(Signal::KILL);
        let ended = run.finish();
        // A tree in which an actor was killed or terminated fails, and may have been home by then.
        assert!(ended.status.signal() == Some(9) || ended.status.code() == Some(1), "{ended:?}");
        expect_strays_gone(GUARD).expect("nobody outlives the tree");
    });
}

fn killed_above_leaves_that_heed_nothing() {
    rounds(5, |dice| {
        let mut run = Run::start(command("idle_tree", &format!("{TREE} --deaf")));
        run.wait_for("up");
        if dice.below(2) == 0 {
            run.signal(Signal::INT);
            run.wait_for("ending");
        }
        dice.spin();
        kill(run);
    });
}

fn killed_above_a_deep_chain() {
    rounds(5, |dice| kill(at_a_random_moment(dice, "idle_tree", "--breadth 1 --depth 24 --deadline 60", 26)));
}

/// Here it is not the root that is killed, but the root has to gather what comes to it.
/// Case S221.
fn a_root_outlives_what_a_killed_actor_leaves_behind() {
    for _ in 0..runs(5) {
        let mut run = Run::start(command("idle_tree", "--breadth 1 --depth 2 --deadline 60 --deaf"));
        let pid = pid_of(&run.line().expect("the tree comes up"));
        run.wait_for("up");
        send(pid, Signal::KILL).expect("it lives");
        let ended = run.finish();
        assert_eq!(ended.status.code(), Some(1), "{ended:?}");
        assert!(ended.stderr.contains("root/s0") && ended.stderr.contains("signal 9"), "{ended:?}");
        assert_nothing_left();
    }
}

/// What it had just started may not have been announced to anybody yet.
fn a_root_outlives_what_an_actor_leaves_that_is_killed_while_it_grows() {
    rounds(60, |dice| {
        let mut run = Run::start(command("idle_tree", "--breadth 3 --depth 3 --deadline 60"));
        let line = run.line().expect("the tree comes up");
        let pid = line.rsplit_once("(pid ").and_then(|(_, rest)| rest.strip_suffix(')'));
        let pid = pid.expect("a line for an actor").parse().expect("a process id");
        dice.spin();
        send(pid, Signal::KILL).expect("it lives");
        let ended = run.finish();
        assert_eq!(ended.status.code(), Some(1), "{ended:?}");
        assert_nothing_left();
    });
}

fn a_root_that_panics_outlives_its_tree() {
    for _ in 0..runs(3) {
        let mut run = Run::start(command("idle_tree", "--breadth 1 --depth 3 --deadline 60 --deaf --panic"));
        let pid = pid_of(&run.line().expect("the tree comes up"));
        run.wait_for("up");
        send(pid, Signal::KILL).expect("it lives");
        let ended = run.finish();
        assert_eq!(ended.status.code(), Some(101), "{ended:?}");
        assert!(ended.stderr.contains("as --panic asks for"), "{ended:?}");
        assert_nothing_left();
    }
}

/// From the line that says that `root/s0` was started.
fn pid_of(line: &str) -> u32 {
    let pid = line.strip_prefix("root/s0 (pid ").and_then(|rest| rest.strip_suffix(")"));
    pid.expect("the first line is for the first actor").parse().expect("a process id")
}
