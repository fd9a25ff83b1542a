//! The counts that are kept: `benches/results/instructions.tsv`.
//!
//! ```text
//!   part ⇥ instructions ⇥ rustc            a line for each part and compiler
//! ```

use std::path::PathBuf;

/// How far above its record a count may be: what the layout of the heap and of the environment moves.
const SLACK: f64 = 1.01;

#[derive(Debug)]
struct Entry {
    part: String,
    count: f64,
    rustc: String,
}

/// The whole file.
#[derive(Debug)]
pub(crate) struct Record(Vec<Entry>);

fn path() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/results/instructions.tsv"))
}

impl Record {
    /// What is kept; nothing if there is no file.
    ///
    /// # Panics
    ///
    /// If a line is not understood.
    pub(crate) fn read() -> Self {
        let text = std::fs::read_to_string(path()).unwrap_or_default();
        let entry = |line: &str| match line.split('\t').collect::<Vec<_>>()[..] {
            [part, count, rustc] => Entry {
                part: part.to_owned(),
                count: count.parse().expect("the second column is a number"),
                rustc: rustc.to_owned(),
            },
            _ => panic!("three columns, not {line:?}"),
        };
        Record(text.lines().map(entry).collect())
    }

    /// The count of a part, made by this compiler.
    pub(crate) fn of(&self, part: &str, rustc: &str) -> Option<f64> {
        self.0.iter().find(|e| e.part == part && e.rustc == rustc).map(|e| e.count)
    }

    pub(crate) fn set(&mut self, part: &str, rustc: &str, count: f64) {
        self.0.retain(|e| e.part != part || e.rustc != rustc);
        self.0.push(Entry { part: part.to_owned(), count, rustc: rustc.to_owned() });
    }

    /// # Panics
    ///
    /// If the file cannot be written.
    pub(crate) fn write(&mut self) {
        self.0.sort_by(|a, b| (&a.rustc, &a.part).cmp(&(&b.rustc, &b.part)));
        let line = |e: &Entry| format!("{}\t{:.1}\t{}\n", e.part, e.count, e.rustc);
        let text: String = self.0.iter().map(line).collect();
        std::fs::write(path(), text).expect("the repository can be written");
    }
}

/// What a count is beside its record.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Verdict {
    /// There is no record of this compiler.
    New,
    Same,
    /// Worth recording.
    Lower,
    /// A failure.
    Risen,
}

impl Verdict {
    pub(crate) fn text(self) -> &'static str {
        match self {
            Verdict::New => "no record of this compiler: make one with --write",
            Verdict::Same => "",
            Verdict::Lower => "lower: record it with --write",
            Verdict::Risen => "RISEN",
        }
    }
}

pub(crate) fn judge(now: f64, recorded: Option<f64>) -> Verdict {
    match recorded {
        None => Verdict::New,
        Some(then) if now > then * SLACK => Verdict::Risen,
        Some(then) if now * SLACK < then => Verdict::Lower,
        Some(_) => Verdict::Same,
    }
}
