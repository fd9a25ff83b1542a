//! Which descriptor numbers of this process are open, as the kernel lists them, and what takes the place of one.
//!
//! ```text
//!   /proc/self/fd ─ getdents64 ─► entries ─► numbers, ascending
//! ```
//!
//! Rules: the number that the listing itself has is not told, and gone afterwards. Bare system calls, since it is asked before
//! every fork: std would resolve a path for each entry.

use super::check;
use std::ffi::c_int;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

/// The numbers that are open.
///
/// # Errors
///
/// If `/proc` is not there, or no number is left to look at it.
pub(crate) fn open_numbers() -> io::Result<Vec<RawFd>> {
    // SAFETY: the path ends in NUL.
    let listing = unsafe {
        libc::open(c"/proc/self/fd".as_ptr(), libc::O_RDONLY | libc::O_DIRECTORY | libc::O_CLOEXEC)
    };
    let listing = super::own(listing)?;
    let mut entries = Entries([0; 1024]);
    let mut numbers = Vec::with_capacity(32);
    loop {
        let filled = entries.read(&listing)?;
        if filled == 0 {
            return Ok(numbers);
        }
        let mut at = 0;
        while let Some((number, next)) = entries.number(at, filled) {
            at = next;
            numbers.extend(number.filter(|fd| *fd != listing.as_raw_fd()));
        }
    }
}

/// What swallows everything.
pub(crate) fn null() -> io::Result<OwnedFd> {
    // SAFETY: the path ends in NUL.
    let null = unsafe { libc::open(c"/dev/null".as_ptr(), libc::O_RDWR | libc::O_CLOEXEC) };
    super::above_stdio(super::own(null)?)
}

/// Room for directory entries, aligned as the kernel writes them.
#[repr(C, align(8))]
struct Entries([u8; 1024]);

impl Entries {
    /// Fills it.
    fn read(&mut self, listing: &OwnedFd) -> io::Result<usize> {
        // SAFETY: the kernel writes at most the length that is given.
        let n = unsafe {
            libc::syscall(libc::SYS_getdents64, listing.as_raw_fd(), self.0.as_mut_ptr(), self.0.len())
        };
        check(n as c_int).map(|n| n as usize)
    }

    /// The entry at `at` of the `filled` bytes: the number it names (not for `.` and `..`), and where the next one
    /// begins. Layout of `struct linux_dirent64`: inode 8, offset 8, length 2, type 1, name.
    fn number(&self, at: usize, filled: usize) -> Option<(Option<RawFd>, usize)> {
        let entry = self.0.get(at..filled)?;
        let length = usize::from(u16::from_ne_bytes([*entry.get(16)?, *entry.get(17)?]));
        let name = entry.get(19..length)?.split(|byte| *byte == 0).next()?;
        let number = std::str::from_utf8(name).ok().and_then(|name| name.parse().ok());
        Some((number, at + length))
    }
}

#[cfg(test)]
mod tests {
    use super::open_numbers;
    use std::fs::File;
    use std::os::fd::AsRawFd;

    #[test]
    fn what_is_opened_is_listed_beside_the_standard_streams() {
        let before = open_numbers().expect("/proc");
        let files: Vec<File> = (0..200).map(|_| File::open("/dev/null").expect("there is one")).collect();
        let listed = open_numbers().expect("/proc");
        assert!(files.iter().all(|file| listed.contains(&file.as_raw_fd())));
        assert!([0, 1, 2].iter().all(|fd| before.contains(fd) == listed.contains(fd)));
        assert!(listed.is_sorted());
    }
}
