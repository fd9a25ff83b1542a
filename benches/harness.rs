//! Does the harness count and judge right? The unit tests of `support/stats.rs`, `support/question.rs` and
//! `instructions/record.rs`.
//!
//! ```text
//!   cargo test -p pleach-benches --bench harness
//! ```
//!
//! A target of its own, because a bench without libtest has no place for unit tests.

#[expect(dead_code, reason = "its other half reads and writes files")]
#[path = "instructions/record.rs"]
mod record;
mod support {
    #[expect(dead_code, reason = "what runs and prints is not tested here")]
    #[path = "question.rs"]
    pub(crate) mod question;
    #[path = "stats.rs"]
    pub(crate) mod stats;
}

use record::Verdict;
use support::question::{Answer, Bar, Column, Standing, judge};
use support::stats::{Summary, rotated};

#[test]
fn a_single_sample_is_every_figure() {
    assert_eq!(Summary::of(&[7.0]), Summary { median: 7.0, min: 7.0, max: 7.0, rounds: 1 });
}

#[test]
fn the_order_of_samples_does_not_matter() {
    let upwards: Vec<f64> = (0..=100).map(f64::from).collect();
    let mixed: Vec<f64> = (0..=100).map(|i| f64::from(i * 37 % 101)).collect();
    let expected = Summary { median: 50.0, min: 0.0, max: 100.0, rounds: 101 };
    assert_eq!(Summary::of(&upwards), expected);
    assert_eq!(Summary::of(&mixed), expected);
}

#[test]
fn one_outlier_does_not_move_the_median() {
    let mut samples = vec![10.0; 6];
    samples.push(1e9);
    assert_eq!(Summary::of(&samples), Summary { median: 10.0, min: 10.0, max: 1e9, rounds: 7 });
}

#[test]
fn a_median_is_a_sample() {
    assert_eq!(Summary::of(&[1.0, 2.0]).median, 1.0);
}

#[test]
#[should_panic(expected = "a column without samples")]
fn no_samples_are_refused() {
    let _ = Summary::of(&[]);
}

#[test]
#[should_panic(expected = "not a number")]
fn a_sample_of_no_units_is_refused() {
    let _ = Summary::of(&[1.0, 5.0 / 0.0]);
}

#[test]
fn every_column_takes_every_place_once() {
    let rounds: Vec<Vec<usize>> = (0..3).map(|round| rotated(3, round).collect()).collect();
    assert_eq!(rounds, [[0, 1, 2], [1, 2, 0], [2, 0, 1]]);
}

/// What a bar says of our 10, beside a peer's 8 and a quicker column that is no comparator.
fn verdict_of_ten(bar: Bar) -> Option<bool> {
    let columns = [
        Column::new("peer", Standing::Peer, |_| 0.0),
        Column::new("slow", Standing::Peer, |_| 0.0),
        Column::new("aside", Standing::Aside("it does less"), |_| 0.0),
    ];
    let answer = |(column, median)| Answer { column, figures: Summary::of(&[median]) };
    let answers: Vec<Answer<'_>> = columns.iter().zip([8.0, 100.0, 1.0]).map(answer).collect();
    judge(bar, 10.0, &answers, |scenario| (scenario == "before").then_some(9.0)).met
}

#[test]
fn the_best_peer_counts_and_nobody_aside() {
    assert_eq!(verdict_of_ten(Bar::BestPeer(1.25)), Some(true));
    assert_eq!(verdict_of_ten(Bar::BestPeer(1.24)), Some(false));
}

#[test]
fn a_named_contender_counts_even_aside() {
    assert_eq!(verdict_of_ten(Bar::Contender("aside", 9.0)), Some(false));
    assert_eq!(verdict_of_ten(Bar::Contender("slow", 0.2)), Some(true));
}

#[test]
fn a_goal_is_told_and_never_missed() {
    assert_eq!(verdict_of_ten(Bar::Goal("aside", 1.0)), None);
}

#[test]
fn what_did_not_run_is_neither_met_nor_missed() {
    assert_eq!(verdict_of_ten(Bar::Contender("nobody", 1.0)), None);
    assert_eq!(verdict_of_ten(Bar::Flat("nothing", 1.0)), None);
}

#[test]
fn flat_is_a_bound_on_both_sides() {
    assert_eq!(verdict_of_ten(Bar::Flat("before", 1.2)), Some(true));
    assert_eq!(verdict_of_ten(Bar::Flat("before", 1.1)), Some(false));
    assert_eq!(verdict_of_ten(Bar::AtMost(10.0)), Some(true));
    assert_eq!(verdict_of_ten(Bar::AtMost(9.5)), Some(false));
}

#[test]
fn a_count_may_rise_by_one_percent() {
    assert_eq!(record::judge(101.0, Some(100.0)), Verdict::Same);
    assert_eq!(record::judge(101.1, Some(100.0)), Verdict::Risen);
    assert_eq!(record::judge(98.0, Some(100.0)), Verdict::Lower);
    assert_eq!(record::judge(98.0, None), Verdict::New);
}
