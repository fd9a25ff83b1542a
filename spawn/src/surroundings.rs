//! What a child inherits from its parent beside memory and descriptors, for a child that a fork server makes instead.
//!
//! ```text
//!   owner: look() ─► Surroundings ─ request ─► server: settle(), where it differs ─ clone ─► child: as if it were the owner's
//!                    Environment ─ a file in memory, if it has changed ─────────────────────► child: reads it
//! ```
//!
//! Rules:
//! * The server takes on the surroundings of its owner, so that the kernel hands them down: a limit on processes or memory
//!   that refuses the owner a child refuses it the server as well.
//! * The limit of open files is for the child alone: a server that cannot receive a descriptor could never be told better.

use crate::sys::surroundings as sys;
use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// Without `/proc`: nobody knows, and nothing is set.
const UNKNOWN: i32 = i32::MIN;
const OOM: &str = "/proc/self/oom_score_adj";
const OPEN_FILES: usize = libc::RLIMIT_NOFILE as usize;

/// Limits, umask, niceness, and how readily the kernel sacrifices a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Surroundings {
    limits: [sys::Limit; sys::LIMITS],
    umask: u32,
    nice: i32,
    oom: i32,
}

/// The numbers of [`Surroundings`] as bytes.
pub(crate) const SURROUNDINGS_BYTES: usize = sys::LIMITS * 16 + 12;

impl Surroundings {
    /// Those of this process.
    pub(crate) fn look() -> io::Result<Self> {
        let mut limits = [(0, 0); sys::LIMITS];
        for (resource, limit) in limits.iter_mut().enumerate() {
            *limit = sys::limit(resource)?;
        }
        let oom = std::fs::read_to_string(OOM).ok().and_then(|text| text.trim().parse().ok());
        Ok(Surroundings { limits, umask: umask()?, nice: sys::nice(), oom: oom.unwrap_or(UNKNOWN) })
    }

    pub(crate) fn write(&self, to: &mut Vec<u8>) {
        for (soft, hard) in self.limits {
            to.extend(soft.to_ne_bytes());
            to.extend(hard.to_ne_bytes());
        }
        to.extend(self.umask.to_ne_bytes());
        to.extend(self.nice.to_ne_bytes());
        to.extend(self.oom.to_ne_bytes());
    }

    pub(crate) fn read(bytes: &[u8; SURROUNDINGS_BYTES]) -> Self {
        let long = |at: usize| u64::from_ne_bytes(std::array::from_fn(|i| bytes[at + i]));
        let word = |at: usize| std::array::from_fn(|i| bytes[sys::LIMITS * 16 + at + i]);
        Surroundings {
            limits: std::array::from_fn(|resource| (long(resource * 16), long(resource * 16 + 8))),
            umask: u32::from_ne_bytes(word(0)),
            nice: i32::from_ne_bytes(word(4)),
            oom: i32::from_ne_bytes(word(8)),
        }
    }

    /// Takes on `wanted`, all but the limit of open files: says which call refused.
    ///
    /// Allocates nothing.
    pub(crate) fn settle(&mut self, wanted: &Surroundings) -> Result<(), (Refused, io::Error)> {
        for (resource, (now, wanted)) in self.limits.iter_mut().zip(&wanted.limits).enumerate() {
            if now != wanted && resource != OPEN_FILES {
                sys::set_limit(resource, *wanted).map_err(|e| (Refused::Limit, e))?;
                *now = *wanted;
            }
        }
        if self.umask != wanted.umask {
            let _before = sys::set_umask(wanted.umask);
            self.umask = wanted.umask;
        }
        if self.nice != wanted.nice {
            sys::set_nice(wanted.nice).map_err(|e| (Refused::Nice, e))?;
            self.nice = wanted.nice;
        }
        if self.oom != wanted.oom && wanted.oom != UNKNOWN {
            set_oom(wanted.oom).map_err(|e| (Refused::Oom, e))?;
            self.oom = wanted.oom;
        }
        Ok(())
    }

    /// The child's own part of what is wanted.
    pub(crate) fn settle_child(&self, wanted: &Surroundings) -> io::Result<()> {
        let limit = wanted.limits[OPEN_FILES];
        if self.limits[OPEN_FILES] == limit { Ok(()) } else { sys::set_limit(OPEN_FILES, limit) }
    }
}

/// Which of the surroundings the kernel refused to a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    Limit,
    Nice,
    Oom,
}

fn umask() -> io::Result<u32> {
    if let Ok(alone) = crate::sys::births::Alone::check() {
        return Ok(sys::umask(&alone));
    }
    // Where there are other threads, none of them must make a file meanwhile that nobody may read.
    let status = std::fs::read_to_string("/proc/thread-self/status")?;
    let mask = status.lines().find_map(|line| line.strip_prefix("Umask:"));
    mask.and_then(|octal| u32::from_str_radix(octal.trim(), 8).ok())
        .ok_or_else(|| io::ErrorKind::InvalidData.into())
}

fn set_oom(value: i32) -> io::Result<()> {
    use std::io::Write;
    let mut text = [0; 12];
    let mut rest = &mut text[..];
    write!(rest, "{value}")?;
    let left = rest.len();
    let len = text.len() - left;
    std::fs::OpenOptions::new().write(true).open(OOM)?.write_all(&text[..len])
}

/// The environment, as it goes to a child: `KEY=VALUE`, each with a zero behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Environment(Vec<u8>);

impl Environment {
    /// That of this process.
    pub(crate) fn look() -> Self {
        let mut text = Vec::new();
        for (key, value) in std::env::vars_os() {
            text.extend(key.as_bytes());
            text.push(b'=');
            text.extend(value.as_bytes());
            text.push(0);
        }
        Environment(text)
    }

    pub(crate) fn to_file(&self) -> io::Result<OwnedFd> {
        sys::memory_file(&self.0)
    }

    /// Makes what the file says the environment of this process.
    pub(crate) fn adopt(file: OwnedFd, alone: &crate::sys::births::Alone) -> io::Result<()> {
        use std::os::unix::fs::FileExt;
        let file = std::fs::File::from(file);
        let mut text = vec![0; file.metadata()?.len() as usize];
        file.read_exact_at(&mut text, 0)?;
        sys::set_environment(alone, &variables(&text));
        Ok(())
    }
}

/// The first `=` behind the first byte ends a key: a key may begin with one, as it may in std.
fn variables(text: &[u8]) -> Vec<(OsString, OsString)> {
    let words = text.split(|byte| *byte == 0).filter(|word| !word.is_empty());
    words
        .filter_map(|word| {
            let end = 1 + word[1..].iter().position(|byte| *byte == b'=')?;
            let (key, value) = (&word[..end], &word[end + 1..]);
            Some((OsString::from_vec(key.to_vec()), OsString::from_vec(value.to_vec())))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{SURROUNDINGS_BYTES, Surroundings, variables};

    #[test]
    fn what_was_looked_at_is_read_as_it_was_written() {
        let here = Surroundings::look().expect("/proc");
        let mut bytes = Vec::new();
        here.write(&mut bytes);
        let bytes: &[u8; SURROUNDINGS_BYTES] = bytes.as_slice().try_into().expect("its size");
        assert_eq!(Surroundings::read(bytes), here);
        let other = Surroundings { umask: here.umask ^ 0o7, ..here.clone() };
        assert_ne!(Surroundings::read(bytes), other);
    }

    #[test]
    fn variables_are_found_in_their_text() {
        let found = variables(b"A=1\0B=\0=C=x=y\0nonsense\0");
        let found: Vec<_> = found.iter().map(|(k, v)| (k.to_str().unwrap(), v.to_str().unwrap())).collect();
        assert_eq!(found, [("A", "1"), ("B", ""), ("=C", "x=y")]);
    }
}
