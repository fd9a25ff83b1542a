//! Promise: every hazard of making processes is shown not to happen on the backends that it threatens, or says why it cannot.
//!
//! ```text
//!   hazards.tsv: number │ backends │ file::test ─► the test exists in that file, and its harness runs it
//!                number │ -        │ -          ─► the note gives the reason
//!                number │ backends │ owed       ─► what is not shown yet: those that stand in OWED, and no others
//! ```
//!
//! Rules: the numbers stand here, so that a row cannot vanish unnoticed; what is owed stands here as well, so that a debt is never
//! made by a line in a table.

use std::collections::BTreeSet;

/// The hazards are numbered from 1 to this.
const LAST: u32 = 76;

/// The rows of which something is not shown yet. This list only gets shorter.
const OWED: &[u32] = &[12, 13, 14, 15, 21, 23, 32, 33, 34, 44, 45, 47, 48, 50, 55, 56, 69, 70];

/// What is wrong with the list `tsv`, given a way to read the files that it names.
fn findings(tsv: &str, owed: &[u32], read: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let mut found = Vec::new();
    let (mut seen, mut owes) = (BTreeSet::new(), BTreeSet::new());
    for line in tsv.lines().filter(|line| !line.starts_with('#')) {
        let columns: Vec<&str> = line.split('\t').collect();
        let [number, backends, place, note] = columns[..] else {
            found.push(format!("not four columns: {line}"));
            continue;
        };
        let Some(number) = number.parse().ok().filter(|n| (1..=LAST).contains(n)) else {
            found.push(format!("{number} is no hazard"));
            continue;
        };
        seen.insert(number);
        if backends != "-" && !backends.split(' ').all(|b| ["F", "E", "S"].contains(&b)) {
            found.push(format!("{number}: {backends} are no backends"));
        }
        if place == "owed" {
            owes.insert(number);
        }
        if ["-", "owed"].contains(&place) {
            found.extend((note.len() < 20).then(|| format!("{number}: no reason")));
        } else {
            found.extend(wrong_place(number, place, &read));
        }
    }
    found.extend((1..=LAST).filter(|n| !seen.contains(n)).map(|n| format!("hazard {n} has no row")));
    let listed: BTreeSet<u32> = owed.iter().copied().collect();
    found.extend(owes.difference(&listed).map(|n| format!("{n} is owed, and was not")));
    found.extend(
        listed.difference(&owes).map(|n| format!("{n} is shown: take it off the list of what is owed")),
    );
    found
}

/// Why `place` shows nothing.
fn wrong_place(number: u32, place: &str, read: impl Fn(&str) -> Option<String>) -> Option<String> {
    let (file, test) = place.split_once("::").unwrap_or((place, ""));
    let Some(text) = read(file) else { return Some(format!("{number}: there is no file {file}")) };
    let Some((before, _)) = text.split_once(&format!("fn {test}(")) else {
        return Some(format!("{number}: {file} has no test {test}"));
    };
    let is_marked = before.trim_end().ends_with("#[test]");
    (!is_marked && !is_listed(&text, test)).then(|| format!("{number}: nobody runs {test} of {file}"))
}

/// Does the harness that gives each case a process run this one?
fn is_listed(text: &str, test: &str) -> bool {
    [("\npleach::test_main!(", "\n);"), ("cases![", "])")].iter().any(|(begin, end)| {
        let list = text.split_once(begin).and_then(|(_, rest)| rest.split_once(end));
        list.is_some_and(|(names, _)| names.lines().any(|line| line.trim().trim_end_matches(',') == test))
    })
}

#[test]
fn every_hazard_is_tested_or_says_why_not() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let read = |file: &str| std::fs::read_to_string(format!("{root}/{file}")).ok();
    let tsv = read("tests/hazards.tsv").expect("the list");
    let found = findings(&tsv, OWED, read);
    assert!(found.is_empty(), "hazards.tsv:\n{}", found.join("\n"));
}

#[test]
fn planted_gaps_are_found() {
    let text = "pleach::test_main!(\n    a_process,\n);\n#[test]\nfn a_fact() {}\nfn a_process() {}\nfn no_test() {}";
    let text = format!("\n{text}");
    let read = |file: &str| (file == "x.rs").then(|| text.clone());
    let complete =
        |last: u32| (1..=last).map(|n| format!("{n}\t-\t-\tbecause of a good reason\n")).collect::<String>();
    assert_eq!(findings(&complete(LAST), &[], read), Vec::<String>::new());
    assert_eq!(findings(&complete(LAST), &[7], read).len(), 1, "not owed any more");
    let one = |row: &str| findings(&format!("{}{row}\n", complete(LAST - 1)), &[], read);
    assert_eq!(one("76\tF E S\tx.rs::a_fact\t").len(), 0);
    assert_eq!(one("76\tS\tx.rs::a_process\t").len(), 0);
    assert_eq!(one("# 76").len(), 1, "no row");
    assert_eq!(one("76\tF\tx.rs::no_test\t").len(), 1, "nobody runs it");
    assert_eq!(one("76\tF\tx.rs::a_fiction\t").len(), 1, "no such test");
    assert_eq!(one("76\tF\ty.rs::a_fact\t").len(), 1, "no file");
    assert_eq!(one("76\tZ\tx.rs::a_fact\t").len(), 1, "no backend");
    assert_eq!(one("76\tF\t-\t").len(), 1, "no reason");
    assert_eq!(one("76\tF\towed\tis not shown by anything").len(), 1, "owed, and not listed");
    assert_eq!(one("76\tF\tx.rs::a_fact").len(), 2, "three columns, and so no row");
    assert_eq!(one("76\tF\tx.rs::a_fact\t\n77\t-\t-\tthere is no such hazard").len(), 1);
}
