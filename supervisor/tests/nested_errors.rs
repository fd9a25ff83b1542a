//! Promise: a nested tree in which every leaf fails ends, always, with every leaf accounted for and nothing left.
//!
//! ```text
//!   case ─exec→ nested_errors --runs N --json ─a line per run→ case: no complaint, the sums are right
//!                                              └─exit status→ case: 0, and no stray came up to us
//! ```
//!
//! Rules:
//! * The example checks itself; here is checked that it did, N times, and ended. N is small, or what `PLEACH_RUNS` says.
//! * The deadline is far away, so that no rung of a ladder is used because a machine is slow.
//! * The busy cases leave the tree what two endless loops leave of the processors.

#[path = "../../tests/support/harness.rs"]
mod harness;
mod support;

use std::process::Output;
use support::{Busy, Run, assert_nothing_left, command, runs};

pleach::test_main!(
    #[limit(3600)]
    breadth_2_depth_3,
    #[limit(3600)]
    breadth_2_depth_3_all_fail,
    #[limit(3600)]
    breadth_2_depth_3_busy,
    #[limit(3600)]
    breadth_2_depth_3_all_fail_busy,
    #[limit(3600)]
    breadth_3_depth_4,
    #[limit(3600)]
    breadth_3_depth_4_all_fail,
    #[limit(3600)]
    breadth_3_depth_4_busy,
    #[limit(3600)]
    breadth_3_depth_4_all_fail_busy,
    #[limit(3600)]
    breadth_1_depth_12,
    #[limit(3600)]
    breadth_1_depth_12_all_fail,
    #[limit(3600)]
    breadth_1_depth_12_busy,
    #[limit(3600)]
    breadth_1_depth_12_all_fail_busy,
    #[limit(3600)]
    leaves_that_panic_are_failures_like_any_other,
    a_tree_of_one_leaf_comes_home,
    #[limit(300)]
    no_setting_of_the_harness_changes_how_it_comes_home,
    without_json_the_tree_and_its_errors_are_printed,
    bad_input_names_the_flag,
);

fn breadth_2_depth_3() {
    comes_home(2, 3, "", runs(20));
}

/// Case S64. Case S65.
fn breadth_2_depth_3_all_fail() {
    comes_home(2, 3, "--all-fail", runs(20));
}

fn breadth_2_depth_3_busy() {
    let _busy = Busy::both_cores();
    comes_home(2, 3, "", runs(20));
}

fn breadth_2_depth_3_all_fail_busy() {
    let _busy = Busy::both_cores();
    comes_home(2, 3, "--all-fail", runs(20));
}

fn breadth_3_depth_4() {
    comes_home(3, 4, "", runs(5));
}

fn breadth_3_depth_4_all_fail() {
    comes_home(3, 4, "--all-fail", runs(5));
}

fn breadth_3_depth_4_busy() {
    let _busy = Busy::both_cores();
    comes_home(3, 4, "", runs(5));
}

fn breadth_3_depth_4_all_fail_busy() {
    let _busy = Busy::both_cores();
    comes_home(3, 4, "--all-fail", runs(5));
}

fn breadth_1_depth_12() {
    comes_home(1, 12, "", runs(5));
}

fn breadth_1_depth_12_all_fail() {
    comes_home(1, 12, "--all-fail", runs(5));
}

fn breadth_1_depth_12_busy() {
    let _busy = Busy::both_cores();
    comes_home(1, 12, "", runs(5));
}

fn breadth_1_depth_12_all_fail_busy() {
    let _busy = Busy::both_cores();
    comes_home(1, 12, "--all-fail", runs(5));
}

fn leaves_that_panic_are_failures_like_any_other() {
    comes_home(2, 3, "--panic", runs(20));
    comes_home(2, 3, "--panic --all-fail", runs(20));
}

/// Case S211.
fn a_tree_of_one_leaf_comes_home() {
    comes_home(1, 1, "", 1);
    comes_home(1, 1, "--all-fail", 1);
}

/// Runs the tree `runs` times in one process and looks at the report of each.
fn comes_home(breadth: u64, depth: u32, more: &str, runs: u32) {
    let args = format!("--breadth {breadth} --depth {depth} --runs {runs} --deadline 60 --json {more}");
    let before = pleach_spawn::children().expect("/proc can be read");
    let all_fail = more.contains("--all-fail");
    support::comes_home(Run::start(command("nested_errors", &args)), (breadth, depth), all_fail, runs);
    // What a tree had left would be our child now, as the busy ones are.
    assert_eq!(pleach_spawn::children().expect("/proc can be read"), before, "a stray came up");
}

fn no_setting_of_the_harness_changes_how_it_comes_home() {
    harness::no_setting_changes(&["breadth_2_depth_3", "breadth_2_depth_3_all_fail", "breadth_1_depth_12"]);
}

fn without_json_the_tree_and_its_errors_are_printed() {
    let ended = Run::start(command("nested_errors", "--breadth 2 --depth 2 --all-fail")).finish();
    assert_eq!((ended.status.code(), ended.stderr.as_str()), (Some(0), ""));
    let text = ended.lines.join("\n");
    let printed = |name: &str| ended.lines.iter().filter(|line| line.trim_start().starts_with(name)).count();
    for (name, times) in [("s0 (pid ", 1), ("s1 (pid ", 1), ("leaf0 (pid ", 2), ("leaf1 (pid ", 2)] {
        assert_eq!(printed(name), times, "{name}: {text}");
    }
    for path in ["root/s0/leaf0", "root/s0/leaf1", "root/s1/leaf0", "root/s1/leaf1"] {
        assert!(text.contains(&format!("{path} fails on purpose, token ")), "no error of {path} in\n{text}");
    }
    assert!(text.contains("run 1: 6 actors, 4 leaves failed, 0 cancelled"), "{text}");
    assert_nothing_left();
}

fn bad_input_names_the_flag() {
    let cases = [
        ("--breadth 0", "--breadth"),
        ("--depth 0", "--depth"),
        ("--runs 0", "--runs"),
        ("--deadline 0", "--deadline"),
        ("--depth x", "--depth"),
        ("--breadth -1", "--breadth"),
        ("--runs 4294967296", "--runs"),
        ("--deadline 1.5", "--deadline"),
        ("--breadth", "--breadth"),
        ("--backend thread", "--backend"),
        ("--breadth 10 --depth 5", "--breadth"),
        ("--breadth 4000000000 --depth 4000000000", "--depth"),
        ("--deep 3", "--deep"),
        ("-b 3", "-b"),
        ("--json=yes", "--json"),
        ("3", "3"),
    ];
    for (args, named) in cases {
        let Output { status, stdout, stderr } =
            command("nested_errors", args).output().expect("it can be started");
        let stderr = String::from_utf8_lossy(&stderr);
        assert_eq!((status.code(), stdout.as_slice()), (Some(2), &[][..]), "{args}: {stderr}");
        let (first, rest) = stderr.split_once('\n').expect("more than a line");
        assert!(first.starts_with("nested_errors: ") && first.contains(named), "{args}: {first}");
        assert!(rest.starts_with("usage: nested_errors "), "{args}: {rest}");
    }
    assert_nothing_left();
}
