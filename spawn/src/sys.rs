//! The system calls of this crate, each behind a safe function that keeps what the call asks for.
//!
//! ```text
//!   fork, process, signal, tree ─► sys ─► kernel
//!   a signal ─► trampoline ─► signal::on_signal ─► bell
//! ```
//!
//! Rules:
//! * No decisions here: one call, its arguments, its answer.
//! * Descriptors that are made here are CLOEXEC from birth and never 0, 1 or 2: those numbers belong to the program,
//!   and a child keeps them.
//! * Each function says where it may be called: *async-signal-safe* ones also in a signal handler and in a child that
//!   has just been forked. They are bare system calls: no lock, no allocation.

pub(crate) mod births;
pub(crate) mod fds;
pub(crate) mod packets;
pub(crate) mod program;
pub(crate) mod surroundings;

use crate::process::Pid;
use crate::status::ExitStatus;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

/// -1 means: look at errno. Async-signal-safe: an `io::Error` of an errno holds no memory.
pub(crate) fn check(answer: c_int) -> io::Result<c_int> {
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(answer) }
}

/// Takes ownership of a number that a call has just made.
fn own(fd: c_int) -> io::Result<OwnedFd> {
    let fd = check(fd)?;
    // SAFETY: the kernel has just made this number for us; nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Moves a descriptor above the standard streams, if it fell among them because one of them was closed.
pub(crate) fn above_stdio(fd: OwnedFd) -> io::Result<OwnedFd> {
    if fd.as_raw_fd() > 2 { Ok(fd) } else { duplicate(&fd) }
}

/// A second number above 2 for the same description.
pub(crate) fn duplicate(fd: &OwnedFd) -> io::Result<OwnedFd> {
    duplicate_from(fd, 3)
}

/// A second number for the same description, `least` or above.
pub(crate) fn duplicate_from(fd: &OwnedFd, least: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: fcntl with F_DUPFD_CLOEXEC takes numbers only; `fd` is open as long as it is borrowed.
    own(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_DUPFD_CLOEXEC, least) })
}

/// Takes a descriptor that this process was started with, and makes it CLOEXEC: EBADF if the number is not open, or
/// is somebody's already.
///
/// Whoever calls this knows from the process that made this one that it laid the number down.
pub(crate) fn handed_down(fd: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: asks for a flag; a number that is not open is an error of the call.
    let flags = check(unsafe { libc::fcntl(fd, libc::F_GETFD) })?;
    if flags & libc::FD_CLOEXEC != 0 {
        // Not from before the exec, or taken since.
        return Err(io::Error::from_raw_os_error(libc::EBADF));
    }
    // SAFETY: sets that flag of an open number.
    check(unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) })?;
    // SAFETY: open, and without an owner: it came across the exec, and is taken once, as the flag shows.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Gives a descriptor to every child, as careless code does.
#[cfg(test)]
pub(crate) fn make_inheritable(fd: &OwnedFd) {
    // SAFETY: clears a flag of an open number.
    assert_eq!(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFD, 0) }, 0);
}

/// Whether a number stands for anything. Async-signal-safe.
pub(crate) fn is_open(fd: RawFd) -> bool {
    // SAFETY: asks for a flag; a number that is not open is an error of the call.
    unsafe { libc::fcntl(fd, libc::F_GETFD) >= 0 }
}

/// Whether a number stands for a socket.
pub(crate) fn is_socket(fd: RawFd) -> bool {
    let mut stat = MaybeUninit::<libc::stat>::zeroed();
    // SAFETY: the call writes one `stat`; a number that is not open is an error of the call.
    if unsafe { libc::fstat(fd, stat.as_mut_ptr()) } != 0 {
        return false;
    }
    // SAFETY: zeroed, and written by the call.
    unsafe { stat.assume_init() }.st_mode & libc::S_IFMT == libc::S_IFSOCK
}

/// The two ends of a link: a stream socketpair.
pub(crate) fn link() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut ends = [-1; 2];
    // SAFETY: `ends` has room for the two numbers that the call writes.
    check(unsafe {
        libc::socketpair(libc::AF_UNIX, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0, ends.as_mut_ptr())
    })?;
    let (a, b) = (own(ends[0]), own(ends[1]));
    Ok((above_stdio(a?)?, above_stdio(b?)?))
}

/// The counter that a signal handler rings.
pub(crate) fn eventfd() -> io::Result<OwnedFd> {
    // SAFETY: takes numbers only.
    above_stdio(own(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) })?)
}

/// Rings an eventfd. Async-signal-safe. A full counter (EAGAIN) is as loud as one more ring.
pub(crate) fn ring(bell: RawFd) {
    let one = 1_u64;
    // SAFETY: reads the eight bytes of `one`; a wrong number is an error of the call, not of memory.
    let _ = unsafe { libc::write(bell, (&raw const one).cast(), 8) };
}

/// Silences an eventfd; `WouldBlock` if nobody rang.
pub(crate) fn answer(bell: BorrowedFd<'_>) -> io::Result<()> {
    let mut rings = 0_u64;
    // SAFETY: `rings` has room for the eight bytes that the call writes.
    let n = unsafe { libc::read(bell.as_raw_fd(), (&raw mut rings).cast(), 8) };
    if n < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Sends without waiting and without SIGPIPE; what does not fit is not sent. Async-signal-safe.
pub(crate) fn send_now(socket: RawFd, bytes: &[u8]) {
    let flags = libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT;
    // SAFETY: reads `bytes` within its length; a wrong number is an error of the call.
    let _ = unsafe { libc::send(socket, bytes.as_ptr().cast(), bytes.len(), flags) };
}

/// Ends both directions of a socket, whoever else has it.
pub(crate) fn shut_down(socket: BorrowedFd<'_>) {
    // SAFETY: takes numbers.
    let _ = unsafe { libc::shutdown(socket.as_raw_fd(), libc::SHUT_RDWR) };
}

// ---- processes

/// This process. Async-signal-safe.
pub(crate) fn pid() -> Pid {
    // SAFETY: always succeeds, touches no memory.
    Pid::from_raw(unsafe { libc::getpid() })
}

/// This process's parent of the moment; 0 if that one is outside our pid namespace. Async-signal-safe.
pub(crate) fn parent() -> Pid {
    // SAFETY: always succeeds, touches no memory.
    Pid::from_raw(unsafe { libc::getppid() })
}

/// Whether `expected` is still this process's parent. Async-signal-safe.
///
/// A parent outside our pid namespace shows as 0 for ever; then nobody can tell, and the link's EOF has to.
pub(crate) fn parent_is(expected: Pid) -> bool {
    let now = parent();
    now == expected || now.as_raw() == 0
}

/// Leaves at once: no destructor, no flush, no exit handler. Async-signal-safe.
pub(crate) fn exit_now(code: i32) -> ! {
    // SAFETY: ends the process; nothing has to hold afterwards.
    unsafe { libc::_exit(code) }
}

/// Which signal this process gets when the thread that made it ends; 0 for none. Async-signal-safe.
pub(crate) fn set_parent_death_signal(signal: c_int) -> io::Result<()> {
    // SAFETY: PR_SET_PDEATHSIG takes a number.
    check(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, signal) }).map(drop)
}

/// Descendants whose parents die become our children.
pub(crate) fn become_subreaper() -> io::Result<()> {
    // SAFETY: PR_SET_CHILD_SUBREAPER takes a number.
    check(unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1) }).map(drop)
}

/// The name the kernel shows. Async-signal-safe.
pub(crate) fn set_name(name: &CStr) -> io::Result<()> {
    // SAFETY: PR_SET_NAME reads up to 16 bytes or to the NUL; `name` ends in one.
    check(unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr()) }).map(drop)
}

/// Succeeds without effect in a process of one thread, fails with EINVAL in others.
pub(crate) fn unshare_thread() -> io::Result<()> {
    // SAFETY: with CLONE_THREAD alone the call changes nothing, it only checks.
    check(unsafe { libc::unshare(libc::CLONE_THREAD) }).map(drop)
}

/// A descriptor of a process that is ours or not yet reaped.
pub(crate) fn pidfd_open(pid: Pid) -> io::Result<OwnedFd> {
    // SAFETY: takes numbers only; the descriptor is CLOEXEC by definition.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid.as_raw(), 0) };
    above_stdio(own(fd as c_int)?)
}

/// Does this system give out pidfds? A kernel may not know them, and a filter (seccomp) not allow them.
pub(crate) fn pidfds_are_possible() -> io::Result<()> {
    const NO_SUCH_FLAG: libc::c_uint = 1 << 31;
    // SAFETY: takes numbers only, and no kernel makes a descriptor for a flag that it does not know.
    let answer = unsafe { libc::syscall(libc::SYS_pidfd_open, pid().as_raw(), NO_SUCH_FLAG) };
    match own(answer as c_int) {
        // It is there, and says what is wrong.
        Err(e) if e.raw_os_error() == Some(libc::EINVAL) => Ok(()),
        answer => answer.map(drop),
    }
}

/// The only way in which a signal leaves this crate for another process.
pub(crate) fn pidfd_send_signal(pidfd: BorrowedFd<'_>, signal: c_int) -> io::Result<()> {
    let none: *const libc::siginfo_t = std::ptr::null();
    // SAFETY: a null siginfo asks the kernel to fill it in itself.
    let answer = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), signal, none, 0) };
    check(answer as c_int).map(drop)
}

/// Kills a child by its number: for one that nobody has a descriptor of, because no number for one is free. It is not reaped, so
/// the number is its own still; everybody else is signalled by pidfd.
pub(crate) fn kill_child(child: Pid) {
    // SAFETY: takes numbers.
    unsafe { libc::kill(child.as_raw(), libc::SIGKILL) };
}

/// Stands still for so long.
pub(crate) fn stand_still_for(time: Duration) {
    let ms = c_int::try_from(time.as_millis()).unwrap_or(c_int::MAX);
    // SAFETY: of no descriptors there is nothing to read or write.
    unsafe { libc::poll(std::ptr::null_mut(), 0, ms) };
}

/// Waits until a descriptor is readable, at most `limit`. True if it is.
pub(crate) fn readable_within(fd: BorrowedFd<'_>, limit: Duration) -> bool {
    let mut entry = libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    let ms = c_int::try_from(limit.as_millis()).unwrap_or(c_int::MAX);
    // SAFETY: one entry, which lives through the call.
    unsafe { libc::poll(&raw mut entry, 1, ms) > 0 }
}

/// Waits until a socket takes more, or its other end is closed. False if it is.
pub(crate) fn wait_for_room(fd: BorrowedFd<'_>) -> bool {
    let mut entry = libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLOUT, revents: 0 };
    // SAFETY: one entry, which lives through the call.
    while unsafe { libc::poll(&raw mut entry, 1, -1) } < 0 {}
    entry.revents & (libc::POLLHUP | libc::POLLERR) == 0
}

/// Whose death to collect.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Who<'a> {
    Pidfd(BorrowedFd<'a>),
    Child(Pid),
    Any,
}

/// Collects a death. `Ok(None)`: there is such a child, and it lives (or its corpse is held by a tracer).
///
/// `flags`: of WNOHANG and WNOWAIT. `__WALL` is always said: children made with another exit signal count as well.
pub(crate) fn wait(who: Who<'_>, flags: c_int) -> io::Result<Option<(Pid, ExitStatus)>> {
    let event = child_event(who, libc::WEXITED | flags)?;
    Ok(event.map(|(pid, code, status)| (pid, ExitStatus::from_siginfo(code, status))))
}

/// A child that stands still, and the signal that stopped it. Never waits, and takes nothing away: asked again, the
/// answer is the same until somebody continues or kills it.
pub(crate) fn stopped(who: Who<'_>) -> io::Result<Option<(Pid, c_int)>> {
    let event = child_event(who, libc::WSTOPPED | libc::WNOHANG | libc::WNOWAIT)?;
    Ok(event.map(|(pid, _, signal)| (pid, signal)))
}

/// waitid(2): which child, what happened to it (`CLD_*`), and with which status.
fn child_event(who: Who<'_>, flags: c_int) -> io::Result<Option<(Pid, c_int, c_int)>> {
    let (kind, id) = match who {
        Who::Pidfd(fd) => (libc::P_PIDFD, fd.as_raw_fd()),
        Who::Child(pid) => (libc::P_PID, pid.as_raw()),
        Who::Any => (libc::P_ALL, 0),
    };
    let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
    loop {
        // SAFETY: the kernel writes one siginfo into `info`.
        let answer = unsafe { libc::waitid(kind, id as libc::id_t, info.as_mut_ptr(), libc::__WALL | flags) };
        match check(answer) {
            Ok(_) => break,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    // SAFETY: zeroed before the call, which is a valid siginfo; the call wrote it or left it.
    let info = unsafe { info.assume_init() };
    // SAFETY: waitid filled the fields of a child event, or left zeros.
    let pid = unsafe { info.si_pid() };
    if pid == 0 {
        return Ok(None);
    }
    // SAFETY: as above: `pid` is set, so this is a child event.
    let status = unsafe { info.si_status() };
    Ok(Some((Pid::from_raw(pid), info.si_code, status)))
}

/// `struct pidfd_info` of linux/pidfd.h, first version (64 bytes); the kernel fills what fits.
#[repr(C)]
#[derive(Default)]
struct PidfdInfo {
    mask: u64,
    cgroup: u64,
    ids: [u32; 11],
    exit_code: i32,
}

/// `_IOWR(0xFF, 11, struct pidfd_info)`.
const PIDFD_GET_INFO: u64 = (3 << 30) | ((size_of::<PidfdInfo>() as u64) << 16) | (0xFF << 8) | 11;
const PIDFD_INFO_EXIT: u64 = 1 << 3;

/// The status of a process that somebody else has reaped already (Linux 6.15 and later).
pub(crate) fn pidfd_exit_info(pidfd: BorrowedFd<'_>) -> Option<ExitStatus> {
    let mut info = PidfdInfo { mask: PIDFD_INFO_EXIT, ..PidfdInfo::default() };
    // SAFETY: the size in the request is that of `info`: the kernel writes no more.
    let answer = unsafe { libc::ioctl(pidfd.as_raw_fd(), PIDFD_GET_INFO as libc::Ioctl, &raw mut info) };
    (answer == 0 && info.mask & PIDFD_INFO_EXIT != 0).then(|| ExitStatus::from_wait_word(info.exit_code))
}

// ---- a new image

/// 0 is success, anything else the errno: how the posix_spawn(3) family answers.
fn check_errno(answer: c_int) -> io::Result<()> {
    if answer == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(answer)) }
}

/// What happens to descriptors between the birth of a child and its exec, in the order in which it was said. Boxed,
/// because C may rely on where it was made.
pub(crate) struct FileActions(Box<libc::posix_spawn_file_actions_t>);

/// Declared by libc's headers and not in every libc: glibc has it since 2.34, musl has not.
type CloseFrom = unsafe extern "C" fn(*mut libc::posix_spawn_file_actions_t, c_int) -> c_int;

impl FileActions {
    pub(crate) fn new() -> io::Result<Self> {
        let mut actions = Box::new(MaybeUninit::zeroed());
        // SAFETY: the call makes an empty list of what it is given.
        check_errno(unsafe { libc::posix_spawn_file_actions_init(actions.as_mut_ptr()) })?;
        // SAFETY: just made.
        Ok(Self(unsafe { actions.assume_init() }))
    }

    /// Makes `to` stand for what `from` stands for, without CLOEXEC. For two different numbers.
    pub(crate) fn duplicate(&mut self, from: RawFd, to: RawFd) -> io::Result<()> {
        // SAFETY: a list that is alive, and numbers.
        check_errno(unsafe { libc::posix_spawn_file_actions_adddup2(&raw mut *self.0, from, to) })
    }

    /// Closes a number, if it is open.
    pub(crate) fn close(&mut self, fd: RawFd) -> io::Result<()> {
        // SAFETY: a list that is alive, and a number.
        check_errno(unsafe { libc::posix_spawn_file_actions_addclose(&raw mut *self.0, fd) })
    }

    /// Closes every number from `least` on. False if this libc cannot say that.
    pub(crate) fn close_from(&mut self, least: RawFd) -> io::Result<bool> {
        // SAFETY: the name ends in NUL.
        let found =
            unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"posix_spawn_file_actions_addclosefrom_np".as_ptr()) };
        // SAFETY: null, or the function of that name, whose type is this one in every libc that has it.
        let close_from: Option<CloseFrom> = unsafe { std::mem::transmute(found) };
        let Some(close_from) = close_from else { return Ok(false) };
        // SAFETY: a list that is alive, and a number.
        check_errno(unsafe { close_from(&raw mut *self.0, least) })?;
        Ok(true)
    }
}

impl Drop for FileActions {
    fn drop(&mut self) {
        // SAFETY: made by `new`, and not used after this.
        unsafe { libc::posix_spawn_file_actions_destroy(&raw mut *self.0) };
    }
}

/// With which signals a child begins: all at their default but one that is left as it is, and one blocked. Boxed, as
/// above.
pub(crate) struct Attributes(Box<libc::posix_spawnattr_t>);

/// What a child has blocked when it begins.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Mask {
    Only(c_int),
    All,
}

impl Attributes {
    pub(crate) fn new(blocked: Mask, left: c_int) -> io::Result<Self> {
        let mut attributes = Box::new(MaybeUninit::zeroed());
        // SAFETY: the call makes default attributes of what it is given.
        check_errno(unsafe { libc::posix_spawnattr_init(attributes.as_mut_ptr()) })?;
        // SAFETY: just made.
        let mut this = Self(unsafe { attributes.assume_init() });
        let attributes: *mut libc::posix_spawnattr_t = &raw mut *this.0;
        let (mut all, mut mask) = (empty_set(), empty_set());
        // SAFETY: `all` is a set that the call may write.
        unsafe { libc::sigfillset(&raw mut all) };
        // SAFETY: as above.
        unsafe { libc::sigdelset(&raw mut all, left) };
        match blocked {
            // SAFETY: `mask` is a set that the call may write.
            Mask::Only(signal) => unsafe { libc::sigaddset(&raw mut mask, signal) },
            // SAFETY: as above.
            Mask::All => unsafe { libc::sigfillset(&raw mut mask) },
        };
        // SAFETY: attributes and set are alive; the set is copied.
        check_errno(unsafe { libc::posix_spawnattr_setsigdefault(attributes, &raw const all) })?;
        // SAFETY: as above.
        check_errno(unsafe { libc::posix_spawnattr_setsigmask(attributes, &raw const mask) })?;
        let flags = libc::POSIX_SPAWN_SETSIGDEF | libc::POSIX_SPAWN_SETSIGMASK;
        // SAFETY: attributes that are alive, and a number.
        check_errno(unsafe { libc::posix_spawnattr_setflags(attributes, flags as libc::c_short) })?;
        Ok(this)
    }
}

impl Drop for Attributes {
    fn drop(&mut self) {
        // SAFETY: made by `new`, and not used after this.
        unsafe { libc::posix_spawnattr_destroy(&raw mut *self.0) };
    }
}

/// posix_spawn(3): a new process that runs `path`. An error of any of its steps is that of the call, and no process is
/// left of it.
pub(crate) fn spawn(
    path: &CStr,
    files: &FileActions,
    attributes: &Attributes,
    arguments: &[CString],
    environment: &[CString],
) -> io::Result<Pid> {
    let (arguments, environment) = (pointers(arguments), pointers(environment));
    let mut pid = 0;
    // SAFETY: every pointer is to something alive, the lists of strings end in null, and the call writes to none of
    // them but `pid`.
    check_errno(unsafe {
        libc::posix_spawn(
            &raw mut pid,
            path.as_ptr(),
            &raw const *files.0,
            &raw const *attributes.0,
            arguments.as_ptr(),
            environment.as_ptr(),
        )
    })?;
    Ok(Pid::from_raw(pid))
}

/// The strings as C wants them; they are borrowed, and only read.
fn pointers(words: &[CString]) -> Vec<*mut c_char> {
    words.iter().map(|word| word.as_ptr().cast_mut()).chain([std::ptr::null_mut()]).collect()
}

/// The path by which this process was exec'd, if the kernel tells: a new exec has a new one, and nobody inherits it.
pub(crate) fn exec_path() -> Option<CString> {
    // SAFETY: takes a number.
    let address = unsafe { libc::getauxval(AT_EXECFN) };
    if address == 0 {
        return None;
    }
    let path: *const c_char = std::ptr::with_exposed_provenance(address as usize);
    // SAFETY: the kernel has put a string there, at the far end of the stack, which is never taken away.
    Some(unsafe { CStr::from_ptr(path) }.to_owned())
}

/// From linux/auxvec.h.
const AT_EXECFN: libc::c_ulong = 31;

/// Takes a variable out of the environment. EBUSY if another thread could look at it meanwhile.
pub(crate) fn remove_variable(key: &str) -> io::Result<()> {
    if !crate::tree::busy_threads()?.is_empty() {
        return Err(io::Error::from_raw_os_error(libc::EBUSY));
    }
    // SAFETY: this is the only thread, and it does nothing else.
    unsafe { std::env::remove_var(key) };
    Ok(())
}

// ---- signals

/// What was installed for a signal before; put back by [`restore_action`].
#[derive(Clone, Copy)]
pub(crate) struct SavedAction(libc::sigaction);

impl SavedAction {
    /// Was it our own handler?
    pub(crate) fn is_bell(&self) -> bool {
        self.0.sa_sigaction == handler()
    }
}

/// What to install for a signal.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Action {
    Default,
    Ignore,
    /// [`crate::signal::on_signal`].
    Bell,
}

/// Installs an action and gives back the one before. Async-signal-safe.
pub(crate) fn set_action(signal: c_int, action: Action) -> io::Result<SavedAction> {
    let new = match action {
        Action::Default => action_of(libc::SIG_DFL, 0),
        Action::Ignore => action_of(libc::SIG_IGN, 0),
        Action::Bell => action_of(handler(), libc::SA_SIGINFO | libc::SA_RESTART),
    };
    let mut old = action_of(libc::SIG_DFL, 0);
    // SAFETY: both live through the call; the only handler that can stand in `new` is async-signal-safe.
    check(unsafe { libc::sigaction(signal, &raw const new, &raw mut old) })?;
    Ok(SavedAction(old))
}

/// The one handler of this crate, as sigaction(2) takes it.
fn handler() -> libc::sighandler_t {
    let handler: extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void) = trampoline;
    handler as usize
}

fn action_of(handler: libc::sighandler_t, flags: c_int) -> libc::sigaction {
    // SAFETY: all zeros is a valid sigaction: default, nothing blocked, no flags.
    let mut action: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
    action.sa_sigaction = handler;
    action.sa_flags = flags;
    action
}

/// Puts back what [`set_action`] replaced.
pub(crate) fn restore_action(signal: c_int, saved: &SavedAction) {
    // SAFETY: what is installed was installed before, by whoever vouches for it.
    let _ = unsafe { libc::sigaction(signal, &raw const saved.0, std::ptr::null_mut()) };
}

/// Whether exits of children are kept for whoever waits: SIGCHLD at its default or with our handler, and without
/// SA_NOCLDWAIT.
pub(crate) fn sigchld_keeps_statuses() -> bool {
    matches!(installed(libc::SIGCHLD), Installed::Default | Installed::Bell)
}

/// What is installed for a signal, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Installed {
    Default,
    Bell,
    /// Somebody else's handler, or ignored, or default with flags that change what happens to children.
    Other,
}

pub(crate) fn installed(signal: c_int) -> Installed {
    let mut now = action_of(libc::SIG_IGN, 0);
    // SAFETY: a null new action only asks.
    let answer = unsafe { libc::sigaction(signal, std::ptr::null(), &raw mut now) };
    if answer != 0 || now.sa_flags & libc::SA_NOCLDWAIT != 0 {
        return Installed::Other;
    }
    match now.sa_sigaction {
        libc::SIG_DFL => Installed::Default,
        ours if ours == handler() => Installed::Bell,
        _ => Installed::Other,
    }
}

/// The mask from before [`block_all`], which comes back when this is dropped.
#[must_use = "dropping it at once unblocks the signals again"]
pub(crate) struct Blocked(libc::sigset_t);

/// Blocks every signal on this thread until the guard goes.
pub(crate) fn block_all() -> Blocked {
    let mut all = empty_set();
    // SAFETY: `all` is a set that the call may write.
    unsafe { libc::sigfillset(&raw mut all) };
    let mut before = empty_set();
    // SAFETY: both sets live through the call.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const all, &raw mut before) };
    Blocked(before)
}

impl Drop for Blocked {
    fn drop(&mut self) {
        // SAFETY: the mask that this thread had before.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.0, std::ptr::null_mut()) };
    }
}

fn empty_set() -> libc::sigset_t {
    let mut set = MaybeUninit::<libc::sigset_t>::zeroed();
    // SAFETY: sigemptyset makes a set of what it is given.
    unsafe { libc::sigemptyset(set.as_mut_ptr()) };
    // SAFETY: just made.
    unsafe { set.assume_init() }
}

/// Nothing is blocked any more. Async-signal-safe.
pub(crate) fn unblock_all() {
    let none = empty_set();
    // SAFETY: `none` lives through the call.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut()) };
}

/// One signal is not blocked any more. Async-signal-safe.
pub(crate) fn unblock(signal: c_int) {
    let mut one = empty_set();
    // SAFETY: `one` is a set that the call may write.
    unsafe { libc::sigaddset(&raw mut one, signal) };
    // SAFETY: `one` lives through the call.
    unsafe { libc::pthread_sigmask(libc::SIG_UNBLOCK, &raw const one, std::ptr::null_mut()) };
}

/// The calling thread, as the kernel numbers it. Async-signal-safe.
pub(crate) fn thread() -> i32 {
    // SAFETY: always succeeds, touches no memory.
    unsafe { libc::gettid() }
}

/// Sends a signal to one thread of this process; to nobody if it has ended. Async-signal-safe.
pub(crate) fn send_to_thread(thread: i32, signal: c_int) {
    let process = pid().as_raw();
    // SAFETY: takes numbers; the process is this one, so the thread is one of its own or nobody.
    unsafe { libc::syscall(libc::SYS_tgkill, process, thread, signal) };
}

/// Sends a signal to the calling thread. Async-signal-safe.
pub(crate) fn raise(signal: c_int) {
    // SAFETY: what the signal does is decided by its disposition; the call itself touches no memory.
    unsafe { libc::raise(signal) };
}

/// Waits for signals, for ever. Async-signal-safe.
pub(crate) fn hang() -> ! {
    loop {
        // SAFETY: takes nothing; comes back after a handler has run.
        unsafe { libc::pause() };
    }
}

/// SIGALRM after `after`. Async-signal-safe: a bare system call in every libc of Linux.
pub(crate) fn alarm_after(after: Duration) {
    let zero = libc::timeval { tv_sec: 0, tv_usec: 0 };
    let value = libc::timeval {
        tv_sec: after.as_secs() as libc::time_t,
        // Zero would disarm it.
        tv_usec: (after.subsec_micros() as libc::suseconds_t).max(1),
    };
    let timer = libc::itimerval { it_interval: zero, it_value: value };
    // SAFETY: `timer` lives through the call.
    unsafe {
        libc::syscall(
            libc::SYS_setitimer,
            libc::ITIMER_REAL,
            &raw const timer,
            std::ptr::null_mut::<c_void>(),
        )
    };
}

/// What the kernel calls. Keeps errno, and unblocks SIGALRM in the interrupted code if `on_signal` asks for it.
extern "C" fn trampoline(signal: c_int, _info: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: the address of this thread's errno, which lives as long as the thread.
    let errno = unsafe { libc::__errno_location() };
    // SAFETY: as above.
    let before = unsafe { errno.read() };
    if crate::signal::on_signal(signal) {
        let context: *mut libc::ucontext_t = context.cast();
        // SAFETY: an SA_SIGINFO handler gets the ucontext that is put back when it returns, ours to change.
        let mask = unsafe { &raw mut (*context).uc_sigmask };
        // SAFETY: `mask` is the signal set inside it.
        unsafe { libc::sigdelset(mask, libc::SIGALRM) };
    }
    // SAFETY: as above.
    unsafe { errno.write(before) };
}
