//! Promise: `examples/crash_and_restart.rs` counts on when its worker has died, gives up when it dies too often, and leaves
//! nothing.
//!
//! ```text
//!   case ─arguments→ crash_and_restart ─lines→ pages, the sum, who was started how often
//!                                      └─stderr→ the report of a supervisor that has given up
//! ```

mod support;

use support::{Run, assert_nothing_left, command, runs};

pleach::test_main!(
    #[limit(3600)]
    the_sum_is_right_although_the_reader_dies,
    #[limit(3600)]
    one_crash_too_many_is_an_error_that_names_the_last_ones,
    a_reader_that_may_not_die_at_all_is_given_up_at_once,
    bad_arguments_are_named,
);

fn the_sum_is_right_although_the_reader_dies() {
    for _ in 0..runs(5) {
        let ended = Run::start(command("crash_and_restart", "--crashes 2")).finish();
        assert_eq!(
            ended.lines,
            [
                "page 0: 6 words, 6 in all",
                "page 1: the reader has died of it",
                "page 2: 6 words, 12 in all",
                "page 3: the reader has died of it",
                "page 4: 6 words, 18 in all",
                "ledger: incarnation 1",
                "reader: incarnation 3",
            ]
        );
        assert_eq!((ended.status.code(), ended.stderr.as_str()), (Some(0), ""), "{ended:?}");
        assert_nothing_left();
    }
}

fn one_crash_too_many_is_an_error_that_names_the_last_ones() {
    for _ in 0..runs(5) {
        let ended = Run::start(command("crash_and_restart", "--crashes 3 --most 2")).finish();
        assert_eq!(ended.status.code(), Some(1), "{ended:?}");
        let report = &ended.stderr;
        assert!(report.contains("one restart more than the 2 allowed in 60s: it has given up"), "{report}");
        for incarnation in ["root/reader (pid", "root/reader#2 (pid", "root/reader#3 (pid"] {
            assert!(report.contains(incarnation), "{incarnation}: {report}");
        }
        assert_eq!(report.matches("died without a last message: exit status 70").count(), 3, "{report}");
        assert_nothing_left();
    }
}

fn a_reader_that_may_not_die_at_all_is_given_up_at_once() {
    let ended = Run::start(command("crash_and_restart", "--crashes 1 --most 0")).finish();
    assert_eq!(ended.lines[0], "page 0: 6 words, 6 in all");
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    assert_nothing_left();
}

fn bad_arguments_are_named() {
    for (args, named) in [("--crashes many", "many"), ("--loud", "--loud")] {
        let ended = Run::start(command("crash_and_restart", args)).finish();
        assert_eq!(ended.status.code(), Some(2), "{ended:?}");
        assert!(ended.stderr.contains(named) && ended.stderr.contains("usage: "), "{ended:?}");
    }
}
