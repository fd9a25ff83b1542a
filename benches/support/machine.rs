//! What a run ran on, and on what.
//!
//! ```text
//!   /proc, /sys, date, git, rustc, Cargo.lock ─► facts: (name, value) ─► bench/<name>.run
//! ```
//!
//! Rules: what cannot be told is said to be unknown; no run fails for it.

use std::fs::read_to_string;
use std::process::{Command, Stdio};
use std::time::Duration;

/// The first line of what a tool prints.
fn told(tool: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(tool).args(arguments).stderr(Stdio::null()).output().ok()?;
    let line = String::from_utf8(output.stdout).ok()?.lines().next()?.trim().to_owned();
    output.status.success().then_some(line)
}

/// The commit of the sources, and whether they differ from it.
fn commit() -> Option<String> {
    let git = |arguments: &[&str]| told("git", &[&["-C", env!("CARGO_MANIFEST_DIR")], arguments].concat());
    let commit = git(&["rev-parse", "--short", "HEAD"])?;
    let changed = git(&["status", "--porcelain", "--untracked-files=no"]).is_some();
    Some(if changed { format!("{commit}, with changes") } else { commit })
}

fn cpu() -> Option<String> {
    let text = read_to_string("/proc/cpuinfo").ok()?;
    let model = text.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "))?.1;
    let guest = if text.contains(" hypervisor") { ", virtual" } else { "" };
    Some(format!("{model}{guest}"))
}

/// What a block of `Cargo.lock` says of a key.
fn value<'a>(block: &'a str, key: &str) -> Option<&'a str> {
    block.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(" = \"")?.strip_suffix('"'))
}

/// The versions of what `package` depends on, outside of this workspace, by its `Cargo.lock`.
pub(crate) fn versions(lock: &str, package: &str) -> Vec<String> {
    let blocks: Vec<&str> = lock.split("[[package]]").collect();
    let named = |name: &str| {
        let is_it = |block: &&&str| value(block, "name") == Some(name);
        blocks.iter().filter(is_it).copied().collect::<Vec<_>>()
    };
    let Some(block) = named(package).first().copied() else { return Vec::new() };
    let entries = block.lines().filter_map(|line| line.trim().strip_prefix('"')?.strip_suffix("\","));
    let version = |entry: &str| {
        // An entry names a version where the lock holds several.
        if let Some((name, version)) = entry.split_once(' ') {
            return Some(format!("{name} {version}"));
        }
        let block = named(entry).into_iter().find(|block| value(block, "source").is_some())?;
        Some(format!("{entry} {}", value(block, "version")?))
    };
    entries.filter_map(version).collect()
}

fn dependencies() -> Option<String> {
    let lock = read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.lock")).ok()?;
    Some(versions(&lock, env!("CARGO_PKG_NAME")).join(", "))
}

/// A fact: its name, and what it is.
pub(crate) type Fact = (&'static str, String);

/// How many tasks wanted a core, over 1, 5 and 15 minutes: `proc_loadavg(5)`.
pub(crate) fn load() -> String {
    let text = read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').take(3).collect::<Vec<_>>().join(" ")
}

/// What is to be known of a run that begins now.
pub(crate) fn facts() -> Vec<Fact> {
    let file = |path| read_to_string(path).ok().map(|text: String| text.trim().to_owned());
    let cores = std::thread::available_parallelism().ok().map(|n| n.to_string());
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let facts = [
        ("began", told("date", &["-u", "+%Y-%m-%d %H:%M UTC"])),
        ("arguments", Some(arguments.join(" "))),
        ("commit", commit()),
        ("CPU", cpu()),
        ("cores", cores),
        ("kernel", file("/proc/sys/kernel/osrelease")),
        ("governor", file("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")),
        ("compiler", told("rustc", &["-V"])),
        ("beside it", dependencies()),
        ("load average before", Some(load())),
    ];
    facts.map(|(name, fact)| (name, fact.unwrap_or_else(|| String::from("unknown")))).into()
}

/// The same, with what is known at its end.
pub(crate) fn after(mut facts: Vec<Fact>, took: Duration) -> Vec<Fact> {
    facts.push(("load average after", load()));
    facts.push(("took", format!("{} min", took.as_secs().div_ceil(60))));
    facts
}
