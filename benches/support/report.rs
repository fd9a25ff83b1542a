//! How figures are shown: an aligned table for people, or one JSON object a line for programs.
//!
//! ```text
//!   question, unit, lines ─┬─► table: name, median, spread, minimum, ratio to the first line
//!                          └─► {"row":…,"column":…,"unit":…,"median":…,…}
//! ```

use super::stats::Summary;

/// One column's figures.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) name: &'static str,
    pub(crate) figures: Summary,
}

/// Are the lines alternatives, so that a ratio between them means something?
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Ratio {
    ToFirst,
    None,
}

/// Prints one row.
pub(crate) fn print(json: bool, row: &str, unit: &str, lines: &[Line], ratio: Ratio) {
    let ratios =
        |line: &Line| (ratio == Ratio::ToFirst).then(|| line.figures.median / lines[0].figures.median);
    if json {
        for line in lines {
            let Summary { median, min, p10, p90 } = line.figures;
            let ratio = ratios(line).map_or(String::from("null"), |r| format!("{r:.3}"));
            println!(
                "{{\"row\":{},\"column\":{},\"unit\":{},\"median\":{median:.3},\"min\":{min:.3},\"p10\":{p10:.3},\
                 \"p90\":{p90:.3},\"ratio\":{ratio}}}",
                quoted(row),
                quoted(line.name),
                quoted(unit)
            );
        }
        return;
    }
    println!("\n{row} [{unit}]");
    println!("  {:<38}{:>10}{:>11}{:>11}{:>11}{:>9}", "", "median", "p10", "p90", "min", "ratio");
    for line in lines {
        let Summary { median, min, p10, p90 } = line.figures;
        let ratio = ratios(line).map_or(String::from("-"), |r| format!("x{r:.2}"));
        println!("  {:<38}{median:>10.1}{p10:>11.1}{p90:>11.1}{min:>11.1}{ratio:>9}", line.name);
    }
}

/// Prints a row of counts: they have no spread.
pub(crate) fn print_exact(json: bool, row: &str, unit: &str, counts: &[(&'static str, f64)]) {
    if !json {
        println!("\n{row} [{unit}]\n  {:<38}{:>10}{:>9}", "", "exactly", "ratio");
    }
    for (name, count) in counts {
        let ratio = count / counts[0].1;
        if json {
            let (row, column, unit) = (quoted(row), quoted(name), quoted(unit));
            println!(
                "{{\"row\":{row},\"column\":{column},\"unit\":{unit},\"exactly\":{count:.3},\"ratio\":{ratio:.3}}}"
            );
        } else {
            println!("  {name:<38}{count:>10.2}{:>9}", format!("x{ratio:.2}"));
        }
    }
}

/// A JSON string. Our names are plain text: only quotes and backslashes need care.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}
