//! How answers are shown: a table for people, one JSON object a line for programs, and the bars at the end.
//!
//! ```text
//!   answers ─┬─► table: contender, median, min, max, ratio of the medians to ours
//!            ├─► verdicts: met, missed
//!            └─► {"scenario":…,"contender":…,"unit":…,"median":…,"min":…,"max":…,"rounds":…}
//! ```

use super::question::{Answer, Question, Row, Standing, Verdict};
use super::stats::Summary;
use std::path::PathBuf;

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

/// The line of a verdict, below its table and in the list at the end.
pub(crate) fn verdict_line(row: &Row, verdict: &Verdict) -> String {
    let met = match verdict.met {
        Some(true) => "met   ",
        Some(false) => "MISSED",
        None => "told  ",
    };
    format!("{met} {:<28} {}: {}", row.scenario, row.ours, verdict.text)
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

/// Writes `lines` to `bench/<name>.jsonl` in cargo's target directory, and says where.
///
/// # Panics
///
/// If that cannot be written.
pub(crate) fn write_json(name: &str, lines: &[String]) {
    let directory = target_directory().join("bench");
    let path = directory.join(format!("{name}.jsonl"));
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    std::fs::create_dir_all(&directory)
        .and_then(|()| std::fs::write(&path, text))
        .expect("the target directory");
    println!("\n{} lines in {}", lines.len(), path.display());
}

/// Cargo's target directory, above this program: so `CARGO_TARGET_DIR` counts, however it was given. Cargo keeps what it
/// knows of the compiler there.
fn target_directory() -> PathBuf {
    let exe = std::env::current_exe().expect("this program has a path");
    let marked = exe.ancestors().find(|directory| directory.join(".rustc_info.json").exists());
    marked.or(exe.parent()).expect("a program lies in a directory").to_owned()
}
