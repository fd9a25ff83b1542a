//! Measuring: a process for every case and round, contenders in turns, medians, and the bars.
//!
//! ```text
//!   round 1: A B C │ round 2: B C A │ … ─► per column: samples ─► stats ─► report, judged by the question's bars
//!            └─ case.rs: each letter is a process
//! ```
//!
//! * `mod.rs`: the loop over questions. `question.rs`: columns, rows, bars. `stats.rs`: what samples say.
//! * `case.rs`: a case in its own process. `clock.rs`: the clocks. `report.rs`: table and JSON.
//! * `options.rs`: the command line. `allocations.rs`: an allocator that counts.
//!
//! Rules:
//! * A figure on a shared machine is a ratio against a peer of the same run; the nanoseconds are only there to divide.
//! * Every repetition asserts its answer: a bench that does not do the work measures nothing.

pub(crate) mod allocations;
pub(crate) mod case;
pub(crate) mod clock;
pub(crate) mod options;
pub(crate) mod question;
pub(crate) mod report;
pub(crate) mod stats;

use case::Outcome;
use options::Options;
use question::{Answer, Column, Question, Standing, judge};
use stats::{Summary, rotated};
use std::collections::BTreeMap;

/// Rounds of a full run, unless `--rounds` says otherwise.
const FULL_ROUNDS: usize = 7;

/// Asks every question that the command line wants, and shows the answers.
pub(crate) fn ask(name: &str, questions: &[Question]) {
    let options = Options::from_args();
    let rounds = options.rounds(FULL_ROUNDS);
    let (mut json, mut verdicts, mut medians) = (Vec::new(), Vec::new(), BTreeMap::new());
    for question in questions.iter().filter(|q| options.wants(&q.name)) {
        let answers = answers(question, &options, rounds);
        report::print_table(question, &answers);
        for row in &question.rows {
            let Some(ours) = answers.iter().find(|a| a.column.contender == row.ours) else { continue };
            medians.insert(row.scenario.as_str(), ours.figures.median);
            json.extend(report::json(question, row, &answers));
            for bar in &row.bars {
                let verdict = judge(*bar, ours.figures.median, &answers, |of| medians.get(of).copied());
                let line = report::verdict_line(row, &verdict);
                println!("  {line}");
                verdicts.push(line);
            }
        }
    }
    if options.full {
        println!("\nall bars, {rounds} rounds");
        verdicts.iter().for_each(|line| println!("  {line}"));
        report::write_json(name, &json);
    }
}

/// In the process of a case: does its work and says what it measured.
///
/// # Panics
///
/// If there is no such case.
pub(crate) fn answer_case(questions: &[Question], question: &str, column: &str, full: bool) -> ! {
    let question = questions.iter().find(|q| q.name == question).expect("the parent names a question");
    let column = question.columns.iter().find(|c| c.contender == column).expect("the parent names a column");
    case::answer(|| column.measure(full))
}

/// Runs the columns of a question in turns, and says which could not run.
fn answers<'a>(question: &'a Question, options: &Options, rounds: usize) -> Vec<Answer<'a>> {
    let wanted = |c: &&Column| c.standing == Standing::Ours || options.wants_column(c.contender);
    let columns: Vec<&Column> = question.columns.iter().filter(wanted).collect();
    let mut samples = vec![Vec::new(); columns.len()];
    let mut skipped = vec![false; columns.len()];
    for round in 0..rounds {
        for i in rotated(columns.len(), round) {
            if skipped[i] {
                continue;
            }
            match case::measure(&question.name, columns[i].contender, options.full) {
                Outcome::Value(value) => samples[i].push(value),
                Outcome::Skipped(why) => {
                    skipped[i] = true;
                    println!("{}, {}: skipped: {why}", question.title, columns[i].contender);
                }
            }
        }
    }
    let ran = columns.into_iter().zip(samples).filter(|(_, samples)| !samples.is_empty());
    ran.map(|(column, samples)| Answer { column, figures: Summary::of(&samples) }).collect()
}
