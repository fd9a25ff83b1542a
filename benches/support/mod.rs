//! Measuring: a process for every case and round, contenders in turns, medians, and the bars.
//!
//! ```text
//!   round 1: A B C │ round 2: B C A │ … ─► per column: samples ─► stats ─► report, judged by the question's bars
//!            └─ case.rs: each letter is a process
//! ```
//!
//! * `mod.rs`: the loop over questions. `question.rs`: columns, rows, bars. `stats.rs`: what samples say.
//! * `case.rs`: a case in its own process. `clock.rs`: the clocks. `report.rs`: table and JSON.
//! * `options.rs`: the command line. `allocations.rs`: an allocator that counts. `machine.rs`: what a run ran on.
//! * `target.rs`: where it leaves its figures. `document.rs`: all of them as one text, for bench `results`.
//!
//! Rules:
//! * A figure on a shared machine is a ratio against a peer of the same run; the nanoseconds are only there to divide.
//! * Every repetition asserts its answer: a bench that does not do the work measures nothing.

pub(crate) mod allocations;
pub(crate) mod case;
pub(crate) mod clock;
mod machine;
pub(crate) mod options;
pub(crate) mod question;
pub(crate) mod report;
pub(crate) mod stats;
mod target;

use case::Outcome;
use clock::Stopwatch;
use options::Options;
use question::{Answer, Column, Question, Standing, judge};
use stats::{ROUNDS, Summary, rotated, too_few};
use std::collections::BTreeMap;

/// What a run has found out so far.
#[derive(Debug, Default)]
struct Findings<'a> {
    /// Our medians, by scenario.
    medians: BTreeMap<&'a str, f64>,
    json: Vec<String>,
    verdicts: Vec<String>,
    /// Who is no comparator, or did not run, and why.
    asides: Vec<String>,
}

/// Asks every question that the command line wants, and shows the answers.
pub(crate) fn ask(name: &str, questions: &[Question]) {
    let options = Options::from_args();
    let rounds = options.rounds(ROUNDS);
    let (before, clock) = (machine::facts(), Stopwatch::wall());
    let mut findings = Findings::default();
    for question in questions.iter().filter(|q| options.wants(&q.name)) {
        let answers = findings.ask(question, &options, rounds);
        report::print_table(question, &answers);
        // A smoke run decides nothing, whatever its rounds.
        findings.judge(question, &answers, if options.full { rounds } else { 0 });
    }
    if options.full {
        let why = too_few(rounds).unwrap_or_else(|| format!("{rounds} rounds"));
        println!("\nall bars, {why}");
        findings.verdicts.iter().for_each(|line| println!("  {line}"));
        println!();
        report::write(&format!("{name}.jsonl"), &report::joined(&findings.json));
        let facts = machine::after(before, clock.elapsed());
        let facts = facts.iter().map(|(fact, value)| format!("{fact}: {value}"));
        let lines: Vec<String> =
            facts.chain([String::new()]).chain(findings.verdicts).chain(findings.asides).collect();
        report::write(&format!("{name}.run"), &report::joined(&lines));
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

impl<'a> Findings<'a> {
    /// Runs the columns of a question in turns, and says which could not run.
    fn ask(&mut self, question: &'a Question, options: &Options, rounds: usize) -> Vec<Answer<'a>> {
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
                        self.asides.push(report::aside_line("skipped", question, columns[i].contender, &why));
                    }
                }
            }
        }
        let ran = columns.into_iter().zip(samples).filter(|(_, samples)| !samples.is_empty());
        ran.map(|(column, samples)| Answer { column, figures: Summary::of(&samples) }).collect()
    }

    /// Holds the answers to a question against its bars, and keeps what came of it.
    fn judge(&mut self, question: &'a Question, answers: &[Answer<'a>], rounds: usize) {
        for row in &question.rows {
            let Some(ours) = answers.iter().find(|a| a.column.contender == row.ours) else { continue };
            self.medians.insert(row.scenario.as_str(), ours.figures.median);
            self.json.extend(report::json(question, row, answers));
            for bar in &row.bars {
                let verdict = judge(*bar, ours.figures.median, answers, |of| self.medians.get(of).copied());
                let line = report::verdict_line(row, &verdict, rounds);
                println!("  {line}");
                self.verdicts.push(line);
            }
        }
        let mut asides: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for Answer { column, .. } in answers {
            if let Standing::Aside(why) = column.standing {
                asides.entry(why).or_default().push(column.contender);
            }
        }
        for (why, contenders) in asides {
            self.asides.push(report::aside_line("aside", question, &contenders.join("; "), why));
        }
    }
}
