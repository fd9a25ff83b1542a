//! How many instructions do our small parts take? Counted by callgrind, kept in the repository, only ever lowered.
//!
//! ```text
//!   exe --loop PART 1000 ─┐ under callgrind
//!   exe --loop PART 3000 ─┴─► difference / 2000 ─► one figure a part ─► compared with results/instructions.tsv
//! ```
//!
//! `cargo bench -p pleach-benches --bench instructions` fails if a figure is more than one percent above the recorded
//! one. `-- --write` records what became lower, and everything for a compiler that has no record yet. Counts depend on
//! the compiler, so each is kept with its version; without a record for this one, or without valgrind, it says so and
//! passes.

#[path = "instructions/parts.rs"]
mod parts;
#[path = "instructions/record.rs"]
mod record;

use parts::PARTS;
use record::{Record, Verdict};
use std::process::{Command, ExitCode, Stdio};

/// The hidden argument.
const LOOP: &str = "--loop";

/// How often a part runs: what the process does besides is in both, and the difference is free of it.
const FEW: u64 = 1000;
const MANY: u64 = 3000;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let [first, part, times] = &args[..]
        && first == LOOP
    {
        parts::run(part, times.parse().expect("a number"));
        return ExitCode::SUCCESS;
    }
    let has = |option: &str| args.iter().any(|arg| arg == option);
    if !has("--bench") {
        PARTS.iter().for_each(|part| parts::run(part.name, 10));
        println!("every part ran; `cargo bench` counts");
        return ExitCode::SUCCESS;
    }
    let Some(rustc) = first_line("rustc", "-V") else {
        println!("skipped: no rustc to ask for its version");
        return ExitCode::SUCCESS;
    };
    if first_line("valgrind", "--version").is_none() {
        println!("skipped: no valgrind here");
        return ExitCode::SUCCESS;
    }
    let mut record = Record::read();
    let risen = compare(&mut record, &rustc);
    if has("--write") {
        record.write();
    }
    if risen { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Prints the table. Did a figure rise?
fn compare(record: &mut Record, rustc: &str) -> bool {
    println!("instructions each, {rustc}\n  {:<36}{:>9}{:>11}", "", "now", "recorded");
    let mut risen = false;
    for part in PARTS {
        let now = (collected(part.name, MANY) - collected(part.name, FEW)) / (MANY - FEW) as f64;
        let recorded = record.of(part.name, rustc);
        let verdict = record::judge(now, recorded);
        let shown = recorded.map_or(String::from("-"), |count| format!("{count:.1}"));
        println!("  {:<36}{now:>9.1}{shown:>11}  {}", part.title, verdict.text());
        risen |= verdict == Verdict::Risen;
        if matches!(verdict, Verdict::Lower | Verdict::New) {
            record.set(part.name, rustc, now);
        }
    }
    risen
}

/// What a tool prints first; nothing if it is not there.
fn first_line(tool: &str, option: &str) -> Option<String> {
    let output = Command::new(tool).arg(option).stderr(Stdio::null()).output().ok()?;
    String::from_utf8(output.stdout).ok()?.lines().next().map(str::to_owned)
}

/// Instructions of a process that runs a part so many times.
fn collected(part: &str, times: u64) -> f64 {
    let exe = std::env::current_exe().expect("this program has a path");
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(exe)
        .args([LOOP, part, &times.to_string()])
        .output()
        .expect("it answered a moment ago");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{part}: {said}");
    let count = said.lines().find_map(|line| line.split_once("Collected :")).map(|(_, count)| count.trim());
    count.and_then(|count| count.parse().ok()).expect("callgrind says what it collected")
}
