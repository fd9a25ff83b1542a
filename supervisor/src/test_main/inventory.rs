//! What this process holds: file descriptors, threads, children. Taken twice, the difference is what a case left.
//!
//! ```text
//!   /proc/self/fd ──┐
//!                   ├─→ Inventory (before) ─┐
//!   /proc/self/task ┘   Inventory (after)  ─┴─differences ◇─→ reasons        children: asked once, after the case
//! ```
//!
//! Rules:
//! * A descriptor is its number *and* its target: a number that means something else now is a difference.
//! * A thread that is past its last instruction is not counted: a joined thread can still be listed for a moment.
//! * Children need no "before": a case process is born without.

use super::os;
use super::processes::{self, Process};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Open descriptors and running threads of this process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Inventory {
    /// Number → what it leads to.
    fds: BTreeMap<u32, String>,
    /// Thread id → name.
    threads: BTreeMap<u32, String>,
}

impl Inventory {
    /// Looks around in this process.
    pub(super) fn take() -> io::Result<Inventory> {
        Ok(Inventory { fds: fds()?, threads: threads()? })
    }

    /// What is different `after`, a sentence each.
    pub(super) fn differences(&self, after: &Inventory) -> Vec<String> {
        let mut found = Vec::new();
        for (fd, target) in &after.fds {
            match self.fds.get(fd) {
                None => found.push(format!("left fd {fd} open -> {target}")),
                Some(was) if was != target => {
                    found.push(format!("changed fd {fd}: was {was}, left open -> {target}"));
                }
                Some(_) => {}
            }
        }
        for (fd, was) in &self.fds {
            if !after.fds.contains_key(fd) {
                found.push(format!("closed fd {fd}, which was not its own: was {was}"));
            }
        }
        for (id, name) in &after.threads {
            if !self.threads.contains_key(id) {
                found.push(format!("left thread {id} `{name}` running"));
            }
        }
        found
    }
}

/// The children of this process that nobody has waited for, a sentence each; from any thread.
pub(super) fn children() -> Vec<String> {
    if os::has_no_children() {
        return Vec::new();
    }
    let found: Vec<String> = processes::children(std::process::id())
        .iter()
        .map(|child| match child.has_ended() {
            true => format!("left a zombie, ended but never waited for: {child}"),
            false => format!("left a child running: {child}"),
        })
        .collect();
    // The kernel's word counts, even if `/proc` cannot name the child (another pid namespace).
    if found.is_empty() { vec!["left a child that /proc does not show".to_owned()] } else { found }
}

fn fds() -> io::Result<BTreeMap<u32, String>> {
    let listing = fs::read_dir("/proc/self/fd")?;
    let numbers: Vec<u32> =
        listing.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    // The listing's own descriptor is closed by now: its link alone cannot be read.
    let target = |fd: u32| fs::read_link(format!("/proc/self/fd/{fd}")).ok();
    // The same file, also if somebody has removed its name since: a binary that was built anew, for one.
    let name = |target: PathBuf| target.display().to_string().trim_end_matches(" (deleted)").to_owned();
    Ok(numbers.into_iter().filter_map(|fd| Some((fd, name(target(fd)?)))).collect())
}

fn threads() -> io::Result<BTreeMap<u32, String>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir("/proc/self/task")? {
        let Some(name) = entry?.file_name().to_str().map(str::to_owned) else { continue };
        match Process::read(&Path::new("/proc/self/task").join(name)) {
            Some(thread) if !thread.is_exiting() => found.insert(thread.pid, thread.comm),
            _ => None,
        };
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holding(fds: &[(u32, &str)], threads: &[(u32, &str)]) -> Inventory {
        let own = |list: &[(u32, &str)]| list.iter().map(|&(n, what)| (n, what.to_owned())).collect();
        Inventory { fds: own(fds), threads: own(threads) }
    }

    #[test]
    fn nothing_changed_is_no_difference() {
        let one = holding(&[(0, "/dev/null"), (1, "pipe:[7]")], &[(5, "main")]);
        assert_eq!(one.differences(&one), Vec::<String>::new());
    }

    #[test]
    fn every_kind_of_difference_is_named() {
        let before = holding(&[(0, "/dev/null"), (1, "pipe:[7]")], &[(5, "main")]);
        let after = holding(&[(1, "/etc/hosts"), (9, "socket:[3]")], &[(5, "main"), (6, "helper")]);
        assert_eq!(
            before.differences(&after),
            [
                "changed fd 1: was pipe:[7], left open -> /etc/hosts",
                "left fd 9 open -> socket:[3]",
                "closed fd 0, which was not its own: was /dev/null",
                "left thread 6 `helper` running",
            ]
        );
    }

    #[test]
    fn a_thread_that_ended_is_no_difference() {
        let before = holding(&[], &[(5, "main"), (6, "helper")]);
        assert_eq!(before.differences(&holding(&[], &[(5, "main")])), Vec::<String>::new());
    }
}
