//! Promise: every executor case of the sections A to T and V to Z, and of the annex those for what there is, is tested or says
//! why not.
//!
//! ```text
//!   conformance.tsv: number │ file::test ─► the test exists in that file, and its comment says `Case number.`
//!                    number │ -          ─► the third column gives the reason
//! ```
//!
//! Rules: the numbers stand here, so that a row cannot vanish unnoticed.

use std::collections::BTreeSet;

/// The cases, section by section.
const SECTIONS: &[(&str, &[u32])] = &[
    ("A: run, results, context", &[1, 2, 4, 5, 7, 8, 10]),
    ("B: scheduling", &[11, 13, 14, 16, 17]),
    ("C: checkpoints", &[19, 20, 22, 23, 25, 26]),
    ("D: delivery", &[28, 29, 31, 32]),
    ("E: who absorbs", &[34, 35, 37, 38]),
    ("F: shields", &[40, 41, 43, 44, 46, 47]),
    ("G: abort protocol", &[49, 50, 52, 53]),
    ("H: deadlines", &[55, 56, 58, 59, 61, 62, 64, 65, 67, 68, 70, 71]),
    ("I: life of a scope", &[73, 74, 76]),
    ("J: reasons", &[77, 79, 80, 82, 83, 85]),
    ("K: errors of a nursery", &[86, 88, 89, 91, 92]),
    ("L: life of a nursery", &[94, 95]),
    ("M: start", &[97, 98, 100, 101, 103, 104, 106, 107, 109, 110, 112]),
    ("N: introspection and statistics", &[113, 115, 116, 118, 119]),
    ("O: system tasks", &[121, 122, 124, 125]),
    ("P: entry queue", &[127, 128, 130, 131, 133, 134, 136]),
    ("Q: task-local and run-local values", &[137, 139, 140, 142, 143]),
    ("R: parking lot", &[145, 146, 148, 149, 151, 152, 154, 155]),
    (
        "S: event, semaphore, limiter, lock, condition",
        &[157, 158, 160, 161, 163, 164, 166, 167, 169, 170, 172, 173, 175, 176, 178],
    ),
    ("T: memory channels", &[179, 181, 182, 184, 185, 187, 188, 190, 191, 193, 194]),
    ("V: readiness", &[196, 197, 199, 200, 202, 203, 205]),
    ("W: threads", &[206, 208, 209, 211, 212, 214, 215, 217, 218, 220, 221, 223, 224]),
    ("X: virtual clock and idle detection", &[226, 227, 229, 230, 232, 233, 235, 236, 238, 239, 241]),
    ("Z: instruments", &[242, 244, 245, 247, 248]),
];

/// Those of the annex, which are named X1, X2 and so on.
const ANNEX: &[(&str, &[u32])] = &[
    ("edges of the core", &[1, 2, 4, 5, 7, 8, 10, 11, 13, 14]),
    ("producers and queues", &[19, 20, 31]),
    ("parking lot", &[16, 17]),
    ("threads", &[22, 23, 25, 26, 28, 29]),
    ("streams in memory and network", &[32, 34, 35, 37, 38, 40, 41]),
    ("guest mode", &[43, 44, 46, 47, 49, 50]),
    ("interrupts and signals", &[52, 53, 55, 56, 58, 59, 61, 62]),
    ("child processes", &[64, 65, 67, 68, 70, 71, 73, 74, 76, 77]),
    ("misuse", &[79, 80, 82]),
];

/// The names of all of them.
fn cases() -> impl Iterator<Item = String> {
    let named = |sections: &'static [(&str, &[u32])], prefix: &'static str| {
        sections.iter().flat_map(move |(_, cases)| cases.iter().map(move |n| format!("{prefix}{n}")))
    };
    named(SECTIONS, "").chain(named(ANNEX, "X"))
}

/// What is wrong with the list `tsv`, given a way to read the files that it names.
fn findings(tsv: &str, read: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let mut found = Vec::new();
    let mut seen = BTreeSet::new();
    for line in tsv.lines().filter(|line| !line.starts_with('#')) {
        let columns: Vec<&str> = line.split('\t').collect();
        let [number, place, note] = columns[..] else {
            found.push(format!("not three columns: {line}"));
            continue;
        };
        if !cases().any(|case| case == number) {
            found.push(format!("{number} is not a case of these sections"));
            continue;
        }
        seen.insert(number.to_owned());
        found.extend(wrong_place(number, place, note, &read));
    }
    found.extend(cases().filter(|n| !seen.contains(n)).map(|n| format!("case {n} has no row")));
    found
}

/// Why `place` does not show case `number`.
fn wrong_place(
    number: &str,
    place: &str,
    note: &str,
    read: impl Fn(&str) -> Option<String>,
) -> Option<String> {
    if place == "-" {
        return (note.len() < 20).then(|| format!("case {number} has neither a test nor a reason"));
    }
    let (file, test) = place.split_once("::").unwrap_or((place, ""));
    let Some(text) = read(file) else { return Some(format!("case {number}: there is no file {file}")) };
    if test.is_empty() {
        let refused = file.starts_with("compile_fail/") && text.contains(&format!("(case {number})"));
        return (!refused).then(|| format!("case {number}: {file} does not say that it shows it"));
    }
    let Some((before, _)) = text.split_once(&format!("\nfn {test}(")) else {
        return Some(format!("case {number}: {file} has no test {test}"));
    };
    let about = before.rsplit("\n\n").next().unwrap_or_default();
    // A case that has a process of its own is in the list of its harness instead.
    let is_run = about.contains("#[test]") || is_listed(&text, test);
    let shows = about.starts_with(&format!("/// Case {number}. ")) && is_run;
    (!shows).then(|| format!("case {number}: {test} is no test whose comment begins with it"))
}

/// Does the harness that gives each case a process run this one?
fn is_listed(text: &str, test: &str) -> bool {
    let list = text.split_once("\npleach::test_main!(").and_then(|(_, rest)| rest.split_once("\n);"));
    list.is_some_and(|(names, _)| names.lines().any(|line| line.trim().trim_end_matches(',') == test))
}

#[test]
fn every_case_is_tested_or_says_why_not() {
    let dir = env!("CARGO_MANIFEST_DIR");
    let read = |file: &str| std::fs::read_to_string(format!("{dir}/{file}")).ok();
    let tsv = read("conformance.tsv").expect("the list");
    let found = findings(&tsv, read);
    assert!(found.is_empty(), "conformance.tsv:\n{}", found.join("\n"));
}

/// Cases of a harness, of which one is in its list.
const LISTED: &str =
    "\n\n/// Case 28. A process.\nfn a_process() {\n\n/// Case 28. Forgotten.\nfn no_process() {";

#[test]
fn planted_gaps_are_found() {
    let complete = |place: &str| {
        cases().map(|n| format!("{n}\t{place}\tbecause of a good reason\n")).collect::<String>()
    };
    let text = "\n\n/// Case 28. A fact.\n#[test]\nfn a_fact() {\n\n/// Case 29. No test.\nfn no_test() {";
    let text = format!("pub fn x() {{}}\npleach::test_main!(\n    a_process,\n);{text}{}", LISTED);
    let read = |file: &str| (file == "x.rs").then(|| text.clone());
    assert_eq!(findings(&complete("-"), read), Vec::<String>::new());
    let one = |row: &str| {
        let all = complete("-");
        let without_28: Vec<_> = all.lines().filter(|line| !line.starts_with("28\t")).collect();
        findings(&format!("{}\n{row}\n", without_28.join("\n")), read)
    };
    assert_eq!(one("28\tx.rs::a_fact\t").len(), 0);
    assert_eq!(one("28\tx.rs::a_process\t").len(), 0);
    assert_eq!(one("28\tx.rs::no_process\t").len(), 1, "not in the list");
    assert_eq!(one("# 28").len(), 1, "no row");
    assert_eq!(one("28\t-\t").len(), 1, "no reason");
    assert_eq!(one("28\ty.rs::a_fact\t").len(), 1, "no file");
    assert_eq!(one("28\tx.rs::a_fiction\t").len(), 1, "no such test");
    assert_eq!(one("28\tx.rs::no_test\t").len(), 1, "not its case");
    assert_eq!(one("28\tx.rs\t").len(), 1, "not a case for the compiler");
    assert_eq!(one("28\tx.rs::a_fact").len(), 2, "two columns, and so no row");
    assert_eq!(one("28\tx.rs::a_fact\t\n147\t-\tnot one of these sections").len(), 1);
    assert_eq!(one("28\tx.rs::a_fact\t\nX27\t-\tnot one of this annex").len(), 1);
}
