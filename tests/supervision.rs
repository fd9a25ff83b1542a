//! Promise: every case of supervision (actors, dialogs, deaths, names) is shown by a test, or says why it cannot come up.
//!
//! ```text
//!   supervision.tsv: number │ file::test ─► the test exists in that file, is run, and its comment says `Case S216.`
//!                    number │ -          ─► the note gives the reason
//!                    number │ owed       ─► what is not shown yet: those that stand in OWED, and no others
//! ```
//!
//! Rules: the numbers stand here, so that a row cannot vanish unnoticed; what is owed stands here as well, so that a debt is never
//! made by a line in a table. The letter keeps them apart from the cases of the executor (`tests/conformance.rs`).

use std::collections::BTreeSet;

/// The cases, section by section.
const SECTIONS: &[(&str, &[u32])] = &[
    (
        "dialogs and their streams",
        &[1, 2, 4, 5, 7, 8, 10, 11, 13, 14, 16, 17, 19, 20, 22, 23, 25, 26, 28, 29, 31, 32, 34, 35, 37, 38],
    ),
    ("three or more actors", &[40, 41, 43, 44, 46, 47, 49, 50]),
    ("one cancels all, signals, kills", &[52, 53, 55, 56, 58, 59, 61, 62, 64, 65, 67, 68, 70]),
    ("broken connections", &[71, 73, 74, 76]),
    ("publishing, and streams both ways", &[77, 79, 80, 82]),
    ("starting, the root, one-shots", &[83, 85, 86, 88, 89, 91, 92, 94, 95]),
    ("calls and services", &[97, 98, 100, 101, 103, 104]),
    ("clusters, streams in one direction, publishing", &[106, 107, 109, 110, 112, 113, 115]),
    ("one receiver, many consumers", &[116, 118, 119, 121, 122]),
    ("rules of the executor", &[124, 125, 127, 128, 130, 131, 133]),
    ("shared resources", &[134, 136, 137, 139, 140, 142, 143]),
    (
        "names and addresses",
        &[145, 146, 148, 149, 151, 152, 154, 155, 157, 158, 160, 161, 163, 164, 166, 167],
    ),
    ("connections", &[169, 170, 172, 173, 175, 176, 178]),
    ("types and errors on the wire", &[179, 181, 182, 184, 185, 187]),
    (
        "tools, terminals, commands, examples, foreign runtimes",
        &[188, 190, 191, 193, 194, 196, 197, 199, 200, 202, 203, 205, 206, 208, 209, 211, 212, 214, 215],
    ),
    (
        "what a design must pass",
        &[
            216, 217, 218, 219, 220, 221, 222, 223, 224, 225, 226, 227, 228, 229, 230, 231, 232, 233, 234,
            235, 236, 237, 238, 239, 240, 241, 242, 243, 244, 245, 246, 247, 248, 249,
        ],
    ),
];

/// The cases of which something is not shown yet. This list only gets shorter.
const OWED: &[u32] = &[
    1, 2, 4, 5, 7, 8, 10, 11, 13, 14, 16, 17, 19, 20, 22, 23, 25, 26, 28, 29, 31, 32, 34, 35, 37, 38, 40, 41,
    43, 44, 46, 47, 49, 50, 55, 58, 59, 61, 62, 67, 71, 73, 74, 76, 77, 79, 80, 82, 89, 92, 94, 97, 101, 103,
    104, 106, 107, 109, 110, 112, 113, 115, 116, 140, 145, 146, 148, 149, 151, 152, 154, 155, 157, 158, 160,
    161, 163, 164, 166, 169, 170, 172, 173, 175, 176, 178, 179, 181, 188, 194, 196, 197, 205, 206, 208, 209,
    214, 215, 216, 217, 222, 223, 225, 226, 227, 230, 232, 233, 234, 235, 236, 237, 238, 240, 241, 243, 244,
    245, 246, 249,
];

fn cases() -> BTreeSet<u32> {
    SECTIONS.iter().flat_map(|(_, cases)| cases.iter().copied()).collect()
}

/// What is wrong with the list `tsv`, given a way to read the files that it names.
fn findings(tsv: &str, owed: &[u32], read: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let mut found = Vec::new();
    let (cases, mut seen, mut owes) = (cases(), BTreeSet::new(), BTreeSet::new());
    for line in tsv.lines().filter(|line| !line.starts_with('#')) {
        let columns: Vec<&str> = line.split('\t').collect();
        let [number, place, note] = columns[..] else {
            found.push(format!("not three columns: {line}"));
            continue;
        };
        let Some(number) = number.parse().ok().filter(|n| cases.contains(n)) else {
            found.push(format!("{number} is no case of these sections"));
            continue;
        };
        seen.insert(number);
        if place == "owed" {
            owes.insert(number);
        }
        if ["-", "owed"].contains(&place) {
            found.extend((note.len() < 5).then(|| format!("case {number} has neither a test nor a reason")));
        } else {
            found.extend(wrong_place(number, place, &read));
        }
    }
    found.extend(cases.difference(&seen).map(|n| format!("case {n} has no row")));
    let listed: BTreeSet<u32> = owed.iter().copied().collect();
    found.extend(owes.difference(&listed).map(|n| format!("{n} is owed, and was not")));
    found.extend(
        listed.difference(&owes).map(|n| format!("{n} is shown: take it off the list of what is owed")),
    );
    found
}

/// Why `place` does not show that case.
fn wrong_place(number: u32, place: &str, read: impl Fn(&str) -> Option<String>) -> Option<String> {
    let (file, test) = place.split_once("::").unwrap_or((place, ""));
    let Some(text) = read(file) else { return Some(format!("case {number}: there is no file {file}")) };
    let Some((before, _)) = text.split_once(&format!("fn {test}(")) else {
        return Some(format!("case {number}: {file} has no test {test}"));
    };
    let about = before.rsplit("\n\n").next().unwrap_or_default();
    let says = about.lines().any(|line| {
        line.trim_start().starts_with("/// ") && format!("{line} ").contains(&format!(" Case S{number}. "))
    });
    if !says {
        return Some(format!("case {number}: the comment of {test} does not name it"));
    }
    let is_run = about.contains("#[test]") || is_listed(&text, test);
    (!is_run).then(|| format!("case {number}: nobody runs {test} of {file}"))
}

/// Does the harness that gives each case a process run this one?
fn is_listed(text: &str, test: &str) -> bool {
    [("\npleach::test_main!(", "\n);"), ("cases![", "])")].iter().any(|(begin, end)| {
        let list = text.split_once(begin).and_then(|(_, rest)| rest.split_once(end));
        list.is_some_and(|(names, _)| names.lines().any(|line| line.trim().trim_end_matches(',') == test))
    })
}

#[test]
fn every_case_is_shown_or_says_why_not() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let read = |file: &str| std::fs::read_to_string(format!("{root}/{file}")).ok();
    let tsv = read("tests/supervision.tsv").expect("the list");
    let found = findings(&tsv, OWED, read);
    assert!(found.is_empty(), "supervision.tsv:\n{}", found.join("\n"));
}

#[test]
fn planted_gaps_are_found() {
    let text = "\npleach::test_main!(\n    a_process,\n);\n\n/// Case S216. A fact.\n#[test]\nfn a_fact() {}\n\n\
                /// What it is.\n/// Case S216. Case S217.\nfn a_process() {}\n\n/// Case S216.\nfn no_test() {}\n\n\
                /// Case S21. Case S2160.\n#[test]\nfn another() {}";
    let read = |file: &str| (file == "x.rs").then(|| text.to_owned());
    let all = || cases().into_iter().filter(|n| *n != 216);
    let rest: String = all().map(|n| format!("{n}\t-\tbecause of a good reason\n")).collect();
    let one = |row: &str| findings(&format!("{rest}{row}\n"), &[], read);
    assert_eq!(one("216\t-\tbecause of a good reason"), Vec::<String>::new());
    assert_eq!(one("216\tx.rs::a_fact\t"), Vec::<String>::new());
    assert_eq!(one("216\tx.rs::a_process\t"), Vec::<String>::new());
    assert_eq!(one("216\tx.rs::another\t").len(), 1, "other numbers");
    assert_eq!(one("216\tx.rs::no_test\t").len(), 1, "nobody runs it");
    assert_eq!(one("216\tx.rs::a_fiction\t").len(), 1, "no such test");
    assert_eq!(one("216\ty.rs::a_fact\t").len(), 1, "no file");
    assert_eq!(one("216\t-\t").len(), 1, "no reason");
    assert_eq!(one("# 216").len(), 1, "no row");
    assert_eq!(one("216\towed\tnot shown by anything").len(), 1, "owed, and not listed");
    assert_eq!(one("216\tx.rs::a_fact").len(), 2, "two columns, and so no row");
    assert_eq!(one("216\tx.rs::a_fact\t\n3\t-\tthere is no such case").len(), 1);
    let listed = |row: &str| findings(&format!("{rest}{row}\n"), &[216], read);
    assert_eq!(listed("216\towed\tnot shown by anything"), Vec::<String>::new());
    assert_eq!(listed("216\tx.rs::a_fact\t").len(), 1, "not owed any more");
}
