//! `RESULTS.md`: what full runs have left behind, as one document.
//!
//! ```text
//!   bench/<name>.jsonl ─ figures ─┐
//!   bench/<name>.run ─ facts, bars ┴─► Section { name, figures, run } ─► render ─► Markdown, a section a bench
//! ```
//!
//! Rules: text in, text out: no file, no clock. A bench is known by its files alone, so that one of another crate is shown
//! as well. Scenarios that follow each other and share their peers share a table.

use super::stats;

/// A line of a `.jsonl` file.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Figure {
    pub(crate) scenario: String,
    pub(crate) contender: String,
    pub(crate) unit: String,
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
    pub(crate) rounds: usize,
}

/// The text of a field of a flat JSON object, without its quotes.
fn field(line: &str, name: &str) -> Option<String> {
    let (_, value) = line.split_once(&format!("\"{name}\":"))?;
    let value = value.trim_start();
    let Some(text) = value.strip_prefix('"') else {
        return Some(value.split([',', '}']).next()?.trim().to_owned());
    };
    let (mut found, mut chars) = (String::new(), text.chars());
    loop {
        match chars.next()? {
            '"' => return Some(found),
            '\\' => found.push(chars.next()?),
            other => found.push(other),
        }
    }
}

impl Figure {
    /// Nothing if a field is missing, or is no number where one has to be.
    fn read(line: &str) -> Option<Self> {
        let number = |name| field(line, name)?.parse().ok();
        Some(Figure {
            scenario: field(line, "scenario")?,
            contender: field(line, "contender")?,
            unit: field(line, "unit")?,
            median: number("median")?,
            min: number("min")?,
            max: number("max")?,
            rounds: field(line, "rounds")?.parse().ok()?,
        })
    }

    fn is_ours(&self) -> bool {
        self.contender == "pleach"
    }
}

/// The figures of a `.jsonl` file.
///
/// # Errors
///
/// The first line that is not understood.
pub(crate) fn figures(jsonl: &str) -> Result<Vec<Figure>, String> {
    jsonl.lines().map(|line| Figure::read(line).ok_or_else(|| line.to_owned())).collect()
}

/// One bench.
#[derive(Debug)]
pub(crate) struct Section {
    /// Its target.
    pub(crate) name: String,
    pub(crate) figures: Vec<Figure>,
    /// What the run said of itself: a line `name: value` for each fact, an empty line, then the bars. Nothing if the bench
    /// leaves no such file.
    pub(crate) run: String,
}

/// Scenarios with the same peers.
#[derive(Debug)]
struct Table<'a> {
    ours: Vec<&'a Figure>,
    peers: Vec<&'a Figure>,
}

impl Table<'_> {
    /// Peers are the same if nothing but the scenario they stand in differs.
    fn shares_peers(&self, peers: &[&Figure], unit: &str) -> bool {
        let bare = |f: &Figure| (f.contender.clone(), f.unit.clone(), f.median, f.min, f.max, f.rounds);
        self.ours.first().is_none_or(|f| f.unit == unit)
            && self.peers.iter().map(|f| bare(f)).eq(peers.iter().map(|f| bare(f)))
    }
}

/// The tables, in the order of the lines.
fn tables(figures: &[Figure]) -> Vec<Table<'_>> {
    let mut tables: Vec<Table<'_>> = Vec::new();
    for scenario in figures.chunk_by(|a, b| a.scenario == b.scenario) {
        let (ours, peers): (Vec<_>, Vec<_>) = scenario.iter().partition(|f| f.is_ours());
        match tables.last_mut() {
            Some(last) if last.shares_peers(&peers, &scenario[0].unit) => last.ours.extend(ours),
            _ => tables.push(Table { ours, peers }),
        }
    }
    tables
}

/// A text that does not end its cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

fn render_table(table: &Table<'_>) -> String {
    let Some(first) = table.ours.first().or(table.peers.first()) else { return String::new() };
    let mut text = format!("### `{}` [{}]\n\n", first.scenario, first.unit);
    text += "| | median | min | max | ours |\n| --- | ---: | ---: | ---: | ---: |\n";
    let ours = table.ours.first().map(|f| f.median);
    for figure in table.ours.iter().chain(&table.peers) {
        let Figure { median, min, max, .. } = figure;
        let name = match figure.is_ours() {
            true => format!("**pleach**, `{}`", figure.scenario),
            false => cell(&figure.contender),
        };
        let ratio = match ours {
            Some(ours) if *median > 0.0 => format!("×{:.2}", ours / median),
            _ => String::from("-"),
        };
        text += &format!("| {name} | {median:.1} | {min:.1} | {max:.1} | {ratio} |\n");
    }
    text + "\n"
}

fn render_section(section: &Section) -> String {
    let mut text = format!("## `{}`\n\n", section.name);
    let (facts, bars) = section.run.split_once("\n\n").unwrap_or((&section.run, ""));
    facts.lines().for_each(|fact| text += &format!("* {fact}\n"));
    let rounds = section.figures.iter().map(|f| f.rounds).min().unwrap_or(0);
    let rounds = stats::too_few(rounds).map_or(rounds.to_string(), |why| format!("**{why}**"));
    text += &format!("* rounds: {rounds}\n\n");
    if !bars.trim().is_empty() {
        text += &format!("```text\n{}\n```\n\n", bars.trim_end());
    }
    tables(&section.figures).iter().for_each(|table| text += &render_table(table));
    text
}

const HEAD: &str = "# Results\n\n\
One full run of each bench, written by `cargo bench -p pleach-benches --bench results -- --write`. `README.md` says how to\n\
read it. *ours* is the median of the table's first row divided by that row's; the spread is from *min* to *max*. Below the\n\
facts stand the bars, with what came of each, and who is no comparator.\n\n";

/// The whole document.
pub(crate) fn render(sections: &[Section]) -> String {
    let text: String = sections.iter().map(render_section).collect();
    format!("{HEAD}{}\n", text.trim_end())
}
