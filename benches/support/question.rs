//! A question, its columns, and the bars that our columns have to meet.
//!
//! ```text
//!   Question ─┬─ columns: contender, standing, how to measure it once
//!             └─ rows: scenario, our column, bars ─► judge(bar, ours, theirs) ─► Verdict { text, met }
//! ```
//!
//! Rules: no clock, no output, no process: what is asked, and what an answer means.

use super::stats::Summary;
use std::fmt;

/// How a column counts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Standing {
    Ours,
    /// A comparator.
    Peer,
    /// Does less than was asked, or has it easier: reported, no comparator. Why.
    Aside(&'static str),
    /// System calls by hand.
    Floor,
}

/// One way to do the work of a question.
pub(crate) struct Column {
    pub(crate) contender: &'static str,
    pub(crate) standing: Standing,
    work: Box<dyn Fn(bool) -> f64>,
}

impl fmt::Debug for Column {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Column").field("contender", &self.contender).finish_non_exhaustive()
    }
}

impl Column {
    /// `work` gets whether the size is the full one, and gives the figure.
    pub(crate) fn new(
        contender: &'static str,
        standing: Standing,
        work: impl Fn(bool) -> f64 + 'static,
    ) -> Self {
        Column { contender, standing, work: Box::new(work) }
    }

    pub(crate) fn measure(&self, full: bool) -> f64 {
        (self.work)(full)
    }
}

/// What a figure of ours has to be.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Bar {
    /// At most this much of the best peer.
    BestPeer(f64),
    /// At most this much of this contender.
    Contender(&'static str, f64),
    /// Wished for, beside the bar: at most this much of this contender.
    Goal(&'static str, f64),
    /// At most this, to a tenth.
    AtMost(f64),
    /// No further from our figure of that scenario, up or down, than this factor.
    Flat(&'static str, f64),
    /// Only told: the difference to our figure of that scenario, for each of so many steps.
    Slope(&'static str, u32),
}

/// A scenario: one column of ours against the others.
#[derive(Debug)]
pub(crate) struct Row {
    /// Its name in the JSON.
    pub(crate) scenario: String,
    /// Which of our columns.
    pub(crate) ours: &'static str,
    pub(crate) bars: Vec<Bar>,
}

/// What is asked.
#[derive(Debug)]
pub(crate) struct Question {
    /// Its name on the command line.
    pub(crate) name: String,
    pub(crate) title: String,
    pub(crate) unit: &'static str,
    pub(crate) columns: Vec<Column>,
    pub(crate) rows: Vec<Row>,
}

impl Question {
    /// A question with a row for our first column.
    pub(crate) fn new(
        name: &str,
        title: &str,
        unit: &'static str,
        columns: Vec<Column>,
        bars: &[Bar],
    ) -> Self {
        let question =
            Question { name: name.to_owned(), title: title.to_owned(), unit, columns, rows: Vec::new() };
        let ours = question.columns[0].contender;
        question.row(name, ours, bars)
    }

    /// And a row for another of our columns.
    pub(crate) fn row(mut self, scenario: &str, ours: &'static str, bars: &[Bar]) -> Self {
        self.rows.push(Row { scenario: scenario.to_owned(), ours, bars: bars.to_vec() });
        self
    }

    /// These contenders are no comparators here, and why.
    pub(crate) fn aside(mut self, contenders: &[&str], why: &'static str) -> Self {
        for column in self.columns.iter_mut().filter(|c| contenders.contains(&c.contender)) {
            column.standing = Standing::Aside(why);
        }
        self
    }
}

/// What came of a bar.
#[derive(Debug)]
pub(crate) struct Verdict {
    pub(crate) text: String,
    /// Nothing if there was nothing to meet.
    pub(crate) met: Option<bool>,
}

/// A column with its figures.
#[derive(Debug)]
pub(crate) struct Answer<'a> {
    pub(crate) column: &'a Column,
    pub(crate) figures: Summary,
}

fn ratio(ours: f64, theirs: &Answer<'_>, most: f64, kind: &str) -> Verdict {
    let ratio = ours / theirs.figures.median;
    let text = format!("{ratio:.2} of {}, {kind} {most:.2}", theirs.column.contender);
    Verdict { text, met: (kind == "bar").then_some(ratio <= most) }
}

/// What a bar says of `ours`. `earlier` finds our median of another scenario.
pub(crate) fn judge(
    bar: Bar,
    ours: f64,
    answers: &[Answer<'_>],
    earlier: impl Fn(&str) -> Option<f64>,
) -> Verdict {
    let named = |name: &str| answers.iter().find(|a| a.column.contender == name);
    let nothing = |text: String| Verdict { text, met: None };
    match bar {
        Bar::BestPeer(most) => {
            let peers = answers.iter().filter(|a| a.column.standing == Standing::Peer);
            match peers.min_by(|a, b| a.figures.median.total_cmp(&b.figures.median)) {
                Some(best) => ratio(ours, best, most, "bar"),
                None => nothing(format!("no peer ran, bar {most:.2}")),
            }
        }
        Bar::Contender(name, most) => {
            named(name).map_or(nothing(format!("{name} did not run")), |a| ratio(ours, a, most, "bar"))
        }
        Bar::Goal(name, most) => {
            named(name).map_or(nothing(format!("{name} did not run")), |a| ratio(ours, a, most, "goal"))
        }
        Bar::AtMost(most) => {
            Verdict { text: format!("{ours:.2}, bar at most {most}"), met: Some(ours < most + 0.1) }
        }
        Bar::Flat(scenario, factor) => {
            earlier(scenario).map_or(nothing(format!("{scenario} did not run")), |then| Verdict {
                text: format!("{:.2} of {scenario}, bar within {factor:.2}", ours / then),
                met: Some(ours / then <= factor && then / ours <= factor),
            })
        }
        Bar::Slope(scenario, steps) => {
            nothing(earlier(scenario).map_or(format!("{scenario} did not run"), |then| {
                format!(
                    "{:.1} more than {scenario} for each of {steps} steps",
                    (ours - then) / f64::from(steps)
                )
            }))
        }
    }
}
