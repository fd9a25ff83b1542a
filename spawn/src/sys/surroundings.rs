//! What a process has around it, asked and set: directory, umask, limits, niceness, environment.
//!
//! Rules: one call each, no decisions. What only a process of one thread may do asks for the proof ([`Alone`]).

use super::births::Alone;
use super::check;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

/// How many limits there are in Linux (RLIM_NLIMITS).
pub(crate) const LIMITS: usize = 16;

/// Soft and hard.
pub(crate) type Limit = (u64, u64);

/// A limit of this process. Async-signal-safe.
pub(crate) fn limit(resource: usize) -> io::Result<Limit> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` lives through the call, which writes it.
    check(unsafe { libc::getrlimit(resource as _, &raw mut limit) })?;
    Ok((limit.rlim_cur, limit.rlim_max))
}

/// Sets a limit of this process. Async-signal-safe.
pub(crate) fn set_limit(resource: usize, (soft, hard): Limit) -> io::Result<()> {
    let limit = libc::rlimit { rlim_cur: soft, rlim_max: hard };
    // SAFETY: `limit` lives through the call, which reads it.
    check(unsafe { libc::setrlimit(resource as _, &raw const limit) }).map(drop)
}

/// How nice this process is. Async-signal-safe.
pub(crate) fn nice() -> i32 {
    // SAFETY: takes numbers. -1 is an answer like any other, and of this process there is no error.
    unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) }
}

/// Async-signal-safe.
pub(crate) fn set_nice(nice: i32) -> io::Result<()> {
    // SAFETY: takes numbers.
    check(unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, nice) }).map(drop)
}

/// Sets the file mode creation mask, and gives back the one before. Async-signal-safe.
pub(crate) fn set_umask(mask: u32) -> u32 {
    // SAFETY: takes a number.
    unsafe { libc::umask(mask) }
}

/// The file mode creation mask. There is no call that only asks; nobody sees it changed, because there is nobody.
pub(crate) fn umask(_alone: &Alone) -> u32 {
    let mask = set_umask(0o777);
    let _same = set_umask(mask);
    mask
}

/// A descriptor of the directory that this process is in.
pub(crate) fn directory() -> io::Result<OwnedFd> {
    // SAFETY: the path ends in NUL.
    let fd = unsafe { libc::open(c".".as_ptr(), libc::O_PATH | libc::O_DIRECTORY | libc::O_CLOEXEC) };
    super::above_stdio(super::own(fd)?)
}

/// Makes that directory the one this process is in. Async-signal-safe.
pub(crate) fn enter_directory(directory: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: takes a number.
    check(unsafe { libc::fchdir(directory.as_raw_fd()) }).map(drop)
}

/// What a process may do: real, effective and saved users and groups, capabilities, and whether an exec can add to them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Privileges {
    users: [u32; 3],
    groups: [u32; 3],
    /// Effective, permitted and inheritable, in two halves.
    capabilities: [u32; 6],
    no_more: i32,
}

impl Privileges {
    /// Those of this process. Four system calls that do not fail.
    pub(crate) fn look() -> Self {
        let (mut users, mut groups) = ([0; 3], [0; 3]);
        let [real, effective, saved] = &mut users;
        // SAFETY: the call writes three numbers.
        unsafe { libc::getresuid(real, effective, saved) };
        let [real, effective, saved] = &mut groups;
        // SAFETY: as above.
        unsafe { libc::getresgid(real, effective, saved) };
        // `_LINUX_CAPABILITY_VERSION_3`, of this process.
        let header = [0x2008_0522_u32, 0];
        let mut capabilities = [0; 6];
        // SAFETY: reads a header of two words, and writes two records of three words each, as this version has them.
        unsafe { libc::syscall(libc::SYS_capget, header.as_ptr(), capabilities.as_mut_ptr()) };
        // SAFETY: takes numbers.
        let no_more = unsafe { libc::prctl(libc::PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) };
        Privileges { users, groups, capabilities, no_more }
    }
}

/// Adds a variable to the environment or changes it; without a value takes it out.
pub(crate) fn set_variable(_alone: &Alone, key: &OsStr, value: Option<&OsStr>) {
    match value {
        // SAFETY: this is the only thread, and it does nothing else.
        Some(value) => unsafe { std::env::set_var(key, value) },
        // SAFETY: as above.
        None => unsafe { std::env::remove_var(key) },
    }
}

/// Makes these variables the whole environment.
pub(crate) fn set_environment(alone: &Alone, variables: &[(OsString, OsString)]) {
    for (key, _) in std::env::vars_os() {
        if !variables.iter().any(|(kept, _)| *kept == key) {
            set_variable(alone, &key, None);
        }
    }
    for (key, value) in variables {
        set_variable(alone, key, Some(value));
    }
}

/// A file in memory with this content, to be given to another process.
pub(crate) fn memory_file(content: &[u8]) -> io::Result<OwnedFd> {
    use std::io::Write;
    // SAFETY: the name ends in NUL.
    let file = super::own(unsafe { libc::memfd_create(c"pleach-environment".as_ptr(), libc::MFD_CLOEXEC) })?;
    let mut file = std::fs::File::from(super::above_stdio(file)?);
    file.write_all(content)?;
    Ok(file.into())
}
