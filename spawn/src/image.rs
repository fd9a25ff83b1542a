//! The executable that this process runs, held by a descriptor, so that its children run the same one.
//!
//! ```text
//!   /proc/self/exe ─own()─► Image ─lend()─► child's descriptor ─handed down─► the child's Image ─► …
//! ```
//!
//! Rules:
//! * The file on disk may be replaced while the program runs: what is held is the file, not its path.
//! * An image comes from [`reborn`](crate::reborn()) only. So whoever can start children by `exec` has a `main` that
//!   lets them be children: a `main` that did not would start over in each of them, and its children in theirs.

use crate::sys;
use pleach_executor::low_level;
use std::fmt;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};

/// This process' own executable, as [`exec`](crate::exec()) starts it again. One number above 2, CLOEXEC.
///
/// Inherited by a forked child, it is good there as well. A program that was started by naming its loader
/// (`ld.so program`) runs the loader, as far as the kernel knows, and so would its children.
pub struct Image {
    fd: OwnedFd,
    build: u64,
    epoch: u64,
}

impl Image {
    /// Holds what this process runs.
    pub(crate) fn own() -> io::Result<Self> {
        Self::new(open()?)
    }

    /// An image by a descriptor of it.
    pub(crate) fn new(fd: OwnedFd) -> io::Result<Self> {
        let file = File::from(fd);
        let meta = file.metadata()?;
        let nanos = (meta.mtime(), meta.mtime_nsec());
        let facts = [meta.dev(), meta.ino(), meta.size(), nanos.0.cast_unsigned(), nanos.1.cast_unsigned()];
        Ok(Self { fd: file.into(), build: build_number(facts), epoch: low_level::epoch() })
    }

    /// A number for what is held: processes of one image say the same, those of another build another.
    ///
    /// It says that two files are the same file of one machine (device, inode, size, time of change), not that two
    /// files are equal.
    #[must_use]
    pub fn build(&self) -> u64 {
        self.build
    }

    /// Its number in this process.
    pub(crate) fn number(&self) -> RawFd {
        self.fd.as_raw_fd()
    }

    /// A second hold of it, for another process.
    pub(crate) fn again(&self) -> io::Result<Self> {
        Ok(Self { fd: self.lend(3)?, build: self.build, epoch: self.epoch })
    }

    /// A descriptor of the image whose number is `least` or above.
    pub(crate) fn lend(&self, least: RawFd) -> io::Result<OwnedFd> {
        if self.epoch == low_level::epoch() {
            return sys::duplicate_from(&self.fd, least);
        }
        // A fork has put a tombstone on the number; what runs here is the same.
        sys::duplicate_from(&open()?, least)
    }
}

impl fmt::Debug for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Image({:016x})", self.build)
    }
}

/// By O_PATH: a program that may be executed need not be readable.
fn open() -> io::Result<OwnedFd> {
    let file = File::options().read(true).custom_flags(libc::O_PATH).open("/proc/self/exe")?;
    sys::above_stdio(file.into())
}

/// FNV-1a: the same in every build of this crate, which a hasher of std does not promise.
fn build_number(facts: [u64; 5]) -> u64 {
    let bytes = facts.iter().flat_map(|fact| fact.to_le_bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::{Image, build_number};
    use std::fs::File;

    #[test]
    fn the_number_is_that_of_the_file() {
        let of = |path: &std::path::Path| {
            Image::new(File::open(path).expect("it is there").into()).expect("metadata").build()
        };
        let own = Image::own().expect("/proc");
        assert_eq!(own.build(), of(&std::env::current_exe().expect("a path")));
        assert_ne!(own.build(), of(std::path::Path::new("/dev/null")));
    }

    #[test]
    fn each_fact_counts() {
        let numbers: Vec<u64> =
            (0..6).map(|n| build_number(std::array::from_fn(|at| u64::from(at == n)))).collect();
        let mut distinct = numbers.clone();
        distinct.sort_unstable();
        distinct.dedup();
        assert_eq!(distinct.len(), numbers.len());
    }
}
