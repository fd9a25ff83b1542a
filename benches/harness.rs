//! Does the harness count, judge and show right? The unit tests of `support/stats.rs`, `support/question.rs`,
//! `support/report.rs`, `support/document.rs`, `support/machine.rs` and `instructions/record.rs`.
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
    #[path = "document.rs"]
    pub(crate) mod document;
    #[expect(dead_code, reason = "what asks the machine is not tested here")]
    #[path = "machine.rs"]
    pub(crate) mod machine;
    #[expect(dead_code, reason = "what runs and prints is not tested here")]
    #[path = "question.rs"]
    pub(crate) mod question;
    #[expect(dead_code, reason = "what prints and writes is not tested here")]
    #[path = "report.rs"]
    pub(crate) mod report;
    #[path = "stats.rs"]
    pub(crate) mod stats;
    #[path = "target.rs"]
    pub(crate) mod target;
}

use record::Verdict;
use support::document::{Section, figures, render};
use support::machine::versions;
use support::question::{Answer, Bar, Column, Question, Standing, judge};
use support::stats::{Summary, rotated, too_few};
use support::{question, report};

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
fn a_verdict_of_fewer_than_seven_rounds_is_a_question() {
    assert_eq!((too_few(6).is_some(), too_few(7)), (true, None));
    let question = Question::new("q", "", "ns", vec![Column::new("pleach", Standing::Ours, |_| 0.0)], &[]);
    let word = |met, rounds| {
        let verdict = question::Verdict { text: String::new(), met };
        let line = report::verdict_line(&question.rows[0], &verdict, rounds);
        line.split(' ').next().map(str::to_owned).expect("a word")
    };
    assert_eq!([Some(true), Some(false), None].map(|met| word(met, 7)), ["met", "MISSED", "told"]);
    assert_eq!([Some(true), Some(false), None].map(|met| word(met, 6)), ["met?", "MISSED?", "told"]);
}

#[test]
fn a_count_may_rise_by_one_percent() {
    assert_eq!(record::judge(101.0, Some(100.0)), Verdict::Same);
    assert_eq!(record::judge(101.1, Some(100.0)), Verdict::Risen);
    assert_eq!(record::judge(98.0, Some(100.0)), Verdict::Lower);
    assert_eq!(record::judge(98.0, None), Verdict::New);
}

/// A run of one question with two of our columns and a peer, of one without peers, and of another in other units.
const JSONL: &str = r#"{"scenario":"wake","contender":"pleach","unit":"ns","median":5.000,"min":4.000,"max":6.040,"rounds":7}
{"scenario":"wake","contender":"a \"b\" | c","unit":"ns","median":10.000,"min":9.000,"max":12.000,"rounds":7}
{"scenario":"wake_static","contender":"pleach","unit":"ns","median":20.000,"min":20.000,"max":20.000,"rounds":7}
{"scenario":"wake_static","contender":"a \"b\" | c","unit":"ns","median":10.000,"min":9.000,"max":12.000,"rounds":7}
{"scenario":"size","contender":"pleach","unit":"bytes","median":0.000,"min":0.000,"max":0.000,"rounds":7}
{"scenario":"count","contender":"pleach","unit":"calls","median":1.000,"min":1.000,"max":1.000,"rounds":7}
"#;

#[test]
fn a_run_is_shown_with_its_facts_bars_and_spread() {
    let run = "CPU: one\ncores: 2\n\nmet     wake\nMISSED  wake_static\n".to_owned();
    let section = Section { name: "executor".to_owned(), figures: figures(JSONL).expect("lines"), run };
    let text = render(&[section]);
    let (_, shown) = text.split_once("## `executor`").expect("a section");
    assert_eq!(
        shown,
        "\n\n* CPU: one\n* cores: 2\n* rounds: 7\n\n```text\nmet     wake\nMISSED  wake_static\n```\n\n\
         ### `wake` [ns]\n\n| | median | min | max | ours |\n| --- | ---: | ---: | ---: | ---: |\n\
         | **pleach**, `wake` | 5.0 | 4.0 | 6.0 | ×1.00 |\n\
         | **pleach**, `wake_static` | 20.0 | 20.0 | 20.0 | ×0.25 |\n\
         | a \"b\" \\| c | 10.0 | 9.0 | 12.0 | ×0.50 |\n\n\
         ### `size` [bytes]\n\n| | median | min | max | ours |\n| --- | ---: | ---: | ---: | ---: |\n\
         | **pleach**, `size` | 0.0 | 0.0 | 0.0 | - |\n\n\
         ### `count` [calls]\n\n| | median | min | max | ours |\n| --- | ---: | ---: | ---: | ---: |\n\
         | **pleach**, `count` | 1.0 | 1.0 | 1.0 | ×1.00 |\n"
    );
}

#[test]
fn every_bench_has_a_section_also_without_facts() {
    let section = |name: &str| Section {
        name: name.to_owned(),
        figures: figures(&JSONL.replace(":7}", ":3}")).expect("lines"),
        run: String::new(),
    };
    let text = render(&[section("ipc"), section("spawn")]);
    let heads: Vec<&str> = text.lines().filter(|line| line.starts_with("## ")).collect();
    assert_eq!(heads, ["## `ipc`", "## `spawn`"]);
    assert_eq!(text.matches("* rounds: **3 of the 7 rounds").count(), 2);
    assert!(!text.contains("```"), "there are no bars to show");
}

#[test]
fn a_line_that_is_no_figure_is_named() {
    let cut = r#"{"scenario":"wake","contender":"pleach","unit":"ns","median":5"#;
    assert_eq!(figures(&format!("{JSONL}{cut}\n")), Err(cut.to_owned()));
}

#[test]
fn versions_are_those_that_the_package_uses() {
    let lock = r#"version = 4

[[package]]
name = "nix"
version = "0.29.0"
source = "registry"

[[package]]
name = "nix"
version = "0.31.3"
source = "registry"

[[package]]
name = "ours"
version = "0.1.0"
dependencies = [
 "nix 0.31.3",
 "sibling",
 "tokio",
]

[[package]]
name = "sibling"
version = "0.1.0"

[[package]]
name = "tokio"
version = "1.47.0"
source = "registry"
"#;
    assert_eq!(versions(lock, "ours"), ["nix 0.31.3", "tokio 1.47.0"]);
    assert!(versions(lock, "nobody").is_empty());
}
