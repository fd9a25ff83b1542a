//! How answers are shown: a table for people, one JSON object a line for programs, and the bars at the end.
//!
//! ```text
//!   answers ─┬─► table: contender, median, min, max, ratio of the medians to ours
//!            ├─► verdicts: met, missed; of too few rounds with a question mark
//!            └─► {"scenario":…,"contender":…,"unit":…,"median":…,"min":…,"max":…,"rounds":…}
//! ```

use super::question::{Answer, Question, Row, Standing, Verdict};
use super::stats::{Summary, too_few};
use super::target::bench_directory;

/// Prints the table of a question.
pub(crate) fn print_table(question: &Question, answers: &[Answer<'_>]) {
    println!("\n{} [{}]", question.title, question.unit);
    println!("  {:<34}{:>11}{:>11}{:>11}{:>8}", "", "median", "min", "max", "ours");
    let ours = answers.iter().find(|a| a.column.standing == Standing::Ours);
    for Answer { column, figures } in answers {
        let Summary { median, min, max, .. } = *figures;
        let ratio = match ours {
            Some(ours) if median > 0.0 => format!("x{:.2}", ours.figures.median / median),
            _ => String::from("-"),
        };
        let note = match column.standing {
            Standing::Ours | Standing::Peer => String::new(),
            Standing::Aside(why) => format!("  no comparator: {why}"),
            Standing::Floor => String::from("  floor"),
        };
        println!("  {:<34}{median:>11.1}{min:>11.1}{max:>11.1}{ratio:>8}{note}", column.contender);
    }
}

/// The line of a verdict, below its table and in the list at the end. Of too few rounds it is a question.
pub(crate) fn verdict_line(row: &Row, verdict: &Verdict, rounds: usize) -> String {
    let met = match (verdict.met, too_few(rounds)) {
        (Some(true), None) => "met",
        (Some(true), Some(_)) => "met?",
        (Some(false), None) => "MISSED",
        (Some(false), Some(_)) => "MISSED?",
        (None, _) => "told",
    };
    format!("{met:<8}{:<28} {}: {}", row.scenario, row.ours, verdict.text)
}

/// The JSON lines of a row: our column is called `pleach`.
pub(crate) fn json(question: &Question, row: &Row, answers: &[Answer<'_>]) -> Vec<String> {
    let of_row = |a: &&Answer<'_>| a.column.standing != Standing::Ours || a.column.contender == row.ours;
    let line = |Answer { column, figures }: &Answer<'_>| {
        let contender = if column.standing == Standing::Ours { "pleach" } else { column.contender };
        let Summary { median, min, max, rounds } = figures;
        format!(
            "{{\"scenario\":{},\"contender\":{},\"unit\":{},\"median\":{median:.3},\"min\":{min:.3},\
             \"max\":{max:.3},\"rounds\":{rounds}}}",
            quoted(&row.scenario),
            quoted(contender),
            quoted(question.unit)
        )
    };
    answers.iter().filter(of_row).map(line).collect()
}

/// A JSON string. Our names are plain text: only quotes and backslashes need care.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// The line of contenders that are no comparators of a question.
pub(crate) fn aside_line(how: &str, question: &Question, contenders: &str, why: &str) -> String {
    format!("{how:<8}{:<28} {contenders}: {why}", question.name)
}

/// Lines as one text.
pub(crate) fn joined(lines: &[String]) -> String {
    lines.iter().map(|line| format!("{line}\n")).collect()
}

/// Writes a text to `bench/<name>` in cargo's target directory, and says where.
///
/// # Panics
///
/// If that cannot be written.
pub(crate) fn write(name: &str, text: &str) {
    let directory = bench_directory();
    let path = directory.join(name);
    std::fs::create_dir_all(&directory)
        .and_then(|()| std::fs::write(&path, text))
        .expect("the target directory");
    println!("{} lines in {}", text.lines().count(), path.display());
}
