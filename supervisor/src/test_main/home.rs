//! The directory a case lives in, and the two notes that runner and case process exchange there.
//!
//! ```text
//!   runner ─ticket: name→ $TMPDIR/ ─taken by exactly one process→ case process
//!   runner ←────────────  $TMPDIR/ ←receipt: reasons, none is good─ case process
//! ```
//!
//! Why notes in a directory: a marker in the environment would be inherited by whatever the case starts, and cannot be
//! removed without unsafe code; one in argv would show. The ticket is gone before the case begins, and whoever
//! removes it is the case process.
//!
//! Rules:
//! * The directory is new, ours alone (0700), and removed with everything in it.
//! * Only the case process that took the ticket writes the receipt. None means that it did not come to its end.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt};
use std::path::{Path, PathBuf};

/// The directories of cases are called this, then the runner's pid, then a number.
const PREFIX: &str = "pleach-case-";
const TICKET: &str = ".ticket";
const RECEIPT: &str = ".receipt";
/// Then the pid of a copy of the case process that came back from the case.
const COPY: &str = ".forked-copy-";

/// The runner's side: one case's directory.
#[derive(Debug)]
pub(super) struct Home {
    path: PathBuf,
}

/// What was found in a [`Home`] after its case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Remains {
    /// The ticket was still there.
    pub(super) never_started: bool,
    /// The reasons of the case process; none if it did not come to its end.
    pub(super) receipt: Option<Vec<String>>,
    /// Forked copies of the case process that came back from the case.
    pub(super) copies: usize,
    /// What else there is, with its kind.
    pub(super) files: Vec<String>,
}

impl Home {
    /// A new directory with a ticket for the case called `name`.
    pub(super) fn new(name: &str) -> io::Result<Home> {
        let runner = std::process::id();
        let mut number = 0;
        let path = loop {
            let path = std::env::temp_dir().join(format!("{PREFIX}{runner}-{number}"));
            match fs::DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => break path,
                // Left by a runner with our pid that was killed.
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => number += 1,
                Err(e) => return Err(e),
            }
        };
        let home = Home { path };
        fs::write(home.path.join(TICKET), name)?;
        Ok(home)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Looks at what there is, and removes it all.
    pub(super) fn clear(self) -> io::Result<Remains> {
        let mut remains = Remains::default();
        for entry in fs::read_dir(&self.path)? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            match name.as_str() {
                TICKET => remains.never_started = true,
                RECEIPT => remains.receipt = Some(reasons(&fs::read(self.path.join(name))?)),
                _ if name.starts_with(COPY) => remains.copies += 1,
                _ => list(&self.path, &name, &mut remains.files)?,
            }
        }
        remains.files.sort();
        Ok(remains)
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        // A failure shows: the directory stays.
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Lists `name` and what is below it, with kinds.
fn list(root: &Path, name: &str, into: &mut Vec<String>) -> io::Result<()> {
    let kind = fs::symlink_metadata(root.join(name))?.file_type();
    let word = match kind {
        _ if kind.is_dir() => "directory",
        _ if kind.is_socket() => "socket",
        _ if kind.is_fifo() => "pipe",
        _ if kind.is_symlink() => "link",
        _ => "file",
    };
    into.push(format!("{word} {name}"));
    if kind.is_dir() {
        for entry in fs::read_dir(root.join(name))? {
            list(root, &format!("{name}/{}", entry?.file_name().to_string_lossy()), into)?;
        }
    }
    Ok(())
}

/// The case process's side: proof that this process is the one.
#[derive(Debug)]
pub(super) struct Ticket {
    home: PathBuf,
    /// The name of the case to run.
    pub(super) case: String,
    pid: u32,
}

impl Ticket {
    /// Takes the ticket that lies in this process's `TMPDIR`, if there is one.
    pub(super) fn take() -> Option<Ticket> {
        let home = PathBuf::from(std::env::var_os("TMPDIR")?);
        if !home.file_name()?.to_str()?.starts_with(PREFIX) {
            return None;
        }
        let case = fs::read_to_string(home.join(TICKET)).ok()?;
        // Several may have read it; one of them removes it.
        fs::remove_file(home.join(TICKET)).ok()?;
        Some(Ticket { home, case, pid: std::process::id() })
    }

    /// Whether this process is a forked copy of the one that took the ticket.
    pub(super) fn is_copy(&self) -> bool {
        std::process::id() != self.pid
    }

    /// Tells the runner that a forked copy came back.
    pub(super) fn report_copy(&self) -> io::Result<()> {
        fs::write(self.home.join(format!("{COPY}{}", std::process::id())), "")
    }

    /// Tells the runner how it ended: no reasons is good.
    pub(super) fn hand_in(&self, reasons: &[String]) -> io::Result<()> {
        // The terminating null keeps reasons of several lines apart.
        let text: String = reasons.iter().flat_map(|r| [r.as_str(), "\0"]).collect();
        fs::write(self.home.join(RECEIPT), text)
    }
}

fn reasons(receipt: &[u8]) -> Vec<String> {
    String::from_utf8_lossy(receipt).split_terminator('\0').map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn receipts_keep_reasons_of_several_lines_apart() {
        assert_eq!(reasons(b""), Vec::<String>::new());
        assert_eq!(reasons(b"one\ntwo\0three\0"), ["one\ntwo", "three"]);
    }

    #[test]
    fn what_remains_is_listed_with_its_kind_and_removed() {
        let home = Home::new("x").expect("a directory");
        let path = home.path().to_owned();
        fs::create_dir(path.join("d")).expect("a directory");
        fs::write(path.join("d/f"), "").expect("a file");
        let listener = std::os::unix::net::UnixListener::bind(path.join("s")).expect("a socket");
        drop(listener);
        let remains = home.clear().expect("the directory is there");
        assert!(remains.never_started && remains.receipt.is_none());
        assert_eq!(remains.files, ["directory d", "file d/f", "socket s"]);
        assert!(!path.exists());
    }
}
