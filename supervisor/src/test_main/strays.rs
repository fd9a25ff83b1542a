//! Processes that outlive their parent: for cases that kill a parent on purpose, and for the runner's sweep.
//!
//! ```text
//!   case:    adopt_strays ─→ kill the root of a tree ─→ expect_strays_gone: reap until there is no child left
//!   runner:  sweep: list, kill, reap until there is no child left
//! ```
//!
//! Rules:
//! * "Gone" is the kernel's word: `waitid(P_ALL)` of a subreaper says `ECHILD`. A list read from `/proc` only names.
//! * The wait is a bounded poll: a blocking `waitid` has no time limit, and no order of events depends on it.

use super::os;
use super::processes::{self, Pid, Process};
use std::error::Error;
use std::fmt;
use std::io;
use std::thread;
use std::time::Duration;

/// The pause between two looks at children that have not ended yet.
const PAUSE: Duration = Duration::from_millis(1);

/// So long a killed process may take to die.
const KILL_GUARD: Duration = Duration::from_secs(10);

/// A process that came to this one because its parent had ended, and has ended itself.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stray {
    /// Its process id, which may belong to another process by now.
    pub pid: Pid,
}

/// There are still children.
#[derive(Debug)]
#[non_exhaustive]
pub enum StraysLeft {
    /// These had not ended in time; a line each, with process id, name and state.
    Running(Vec<String>),
    /// The kernel refused.
    Os(io::Error),
}

impl fmt::Display for StraysLeft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StraysLeft::Running(who) => write!(f, "processes did not end in time: {}", who.join("; ")),
            StraysLeft::Os(e) => write!(f, "waiting for stray processes: {e}"),
        }
    }
}

impl Error for StraysLeft {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            StraysLeft::Running(_) => None,
            StraysLeft::Os(e) => Some(e),
        }
    }
}

/// Makes this process the new parent of every process below it whose parent ends, until it ends itself.
///
/// For a case that kills the root of a tree on purpose: call this first, then kill, then
/// [`expect_strays_gone`]. Without it the strays go to the runner, which lets the case fail.
///
/// # Errors
///
/// If the kernel refuses (`PR_SET_CHILD_SUBREAPER`, Linux 3.4).
pub fn adopt_strays() -> io::Result<()> {
    os::become_subreaper()
}

/// Waits until this process has no child left, and collects the status of each that ends meanwhile.
///
/// `within` is a hang guard, not a promise about time: 10 s or more. Blocks the thread, and collects *every* child: call
/// it when `run` has returned and everything that the case started itself has been waited for.
///
/// ```no_run
/// use pleach::test_main::{adopt_strays, expect_strays_gone};
/// # fn start_a_tree() -> std::process::Child { unimplemented!() }
/// fn a_tree_without_its_root_ends() -> Result<(), Box<dyn std::error::Error>> {
///     adopt_strays()?;
///     let mut root = start_a_tree();
///     root.kill()?;
///     root.wait()?;
///     expect_strays_gone(std::time::Duration::from_secs(10))?;
///     Ok(())
/// }
/// ```
///
/// # Errors
///
/// [`StraysLeft`] names the children that have not ended. They are left alone.
pub fn expect_strays_gone(within: Duration) -> Result<Vec<Stray>, StraysLeft> {
    // Those that lose their parent from now on come here, too.
    adopt_strays().map_err(StraysLeft::Os)?;
    let mut gone = Vec::new();
    // Pauses are counted, not clock time: the clock of a test may be a virtual one.
    let mut waited = Duration::ZERO;
    loop {
        match os::reap_any().map_err(StraysLeft::Os)? {
            os::Reaped::One(pid) => gone.push(Stray { pid }),
            os::Reaped::NoChildren => return Ok(gone),
            os::Reaped::AllRunning if waited >= within => {
                let left = processes::children(std::process::id());
                return Err(StraysLeft::Running(left.iter().map(Process::to_string).collect()));
            }
            os::Reaped::AllRunning => {
                pause();
                waited += PAUSE;
            }
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "no executor runs here: the case has returned from `run`")]
fn pause() {
    thread::sleep(PAUSE);
}

/// What a sweep found.
#[derive(Debug, Default)]
pub(super) struct Swept {
    /// They were alive at its beginning, and are dead and collected unless they are also in `unkillable`.
    pub(super) strays: Vec<Process>,
    /// Not dead within the guard.
    pub(super) unkillable: Vec<Process>,
}

/// Kills and collects everything below this process.
///
/// One that had ended before, or was past its last instruction, is collected without a word: it came here as it
/// would have come to init.
pub(super) fn sweep() -> io::Result<Swept> {
    let here = std::process::id();
    let mut swept = Swept::default();
    if !os::has_no_children() {
        let all = processes::below(here).into_iter();
        swept.strays = all.filter(|p| !p.has_ended() && !p.is_exiting()).collect();
    }
    let mut waited = Duration::ZERO;
    loop {
        match os::reap_any()? {
            os::Reaped::One(_) => {}
            os::Reaped::NoChildren => return Ok(swept),
            os::Reaped::AllRunning if waited >= KILL_GUARD => {
                swept.unkillable = processes::below(here);
                return Ok(swept);
            }
            os::Reaped::AllRunning => {
                // Again each time: they may have forked since.
                kill_below(here);
                pause();
                waited += PAUSE;
            }
        }
    }
}

/// Sends SIGKILL to everything below `root`, parents first, so that none is replaced by its parent.
pub(super) fn kill_below(root: Pid) {
    for process in processes::below(root).iter().filter(|p| !p.has_ended()) {
        // It may have ended since it was listed; whether all are gone is decided by the kernel's ECHILD.
        let _ = os::signal(process.pid, os::SIGKILL);
    }
}
