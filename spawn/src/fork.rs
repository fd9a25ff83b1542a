//! Fork of a closure: the request, the fork between two polls, and the parent's half of it.
//!
//! ```text
//!   fork(plan, grants, entry) ─► queue ─► the loop, between two polls:
//!                                          may we? still wanted? ─no─► SpawnError, nothing made
//!                                          link, a number kept for the pidfd, signals blocked
//!                                          libc::fork ─┬─ child ─► child::live, never back
//!                                                      └─ parent: pidfd, Process, grants dropped ─► Forked
//! ```
//!
//! # Why `fork` is a safe function
//!
//! A fork without exec copies all memory into a new process. What could go wrong there, and why it does not:
//!
//! * *Locks held by other threads stay locked for ever, and what they guard is half changed.* There are none: the
//!   fork is refused unless this is the only thread. Threads that are already exiting can touch memory no more.
//! * *libc's own state is that of the parent.* `libc::fork` is used and not the raw clone3(2): it runs libc's fork
//!   handlers (allocator, stdio) and gives the child's thread its own id. The raw call does neither.
//! * *The child runs on in the parent's frames and believes it is the parent.* It never does (**No Return** of
//!   `child.rs`): it enters `child::live`, which ends in `_exit`, also after a panic. Destructors of the parent's
//!   frames do not run in the child. So a borrow in those frames is as if the frame were suspended for ever, which
//!   safe code can do as well.
//! * *Two owners of one descriptor number.* Owners that know the fork epoch forget themselves; numbers of all
//!   others keep an occupant in the child (**Stale Owner** of `fds.rs`), so no inherited owner can close or write
//!   to something that the child made. The I/O safety of std holds in each process on its own.
//! * *Memory shared with the parent.* A fork copies private mappings. Shared mappings (`MAP_SHARED`) are shared, as
//!   they are with any other process that maps them; whoever made them had to reckon with that.
//! * *The closure is moved out in the child, and still there in the parent.* Each process has its own copy of its
//!   bytes: the child calls its copy, the parent drops its own, once each.
//!
//! What remains, and is not unsoundness: destructors of what `entry` captured may run in both processes, so a guard
//! that deletes a file deletes it in the child as well (our own types check the epoch). A captured descriptor that
//! was not granted reads and writes `/dev/null`. Foreign libraries that keep threads, or sockets in statics, may
//! not work in the child; that they keep threads alone makes the fork refuse.

use crate::born::Born;
use crate::child;
use crate::error::SpawnError;
use crate::fds::FdPlan;
use crate::grants::{Granted, Grants};
use crate::held::making;
use crate::plan::Plan;
use crate::process::{Pid, Process, put_down};
use crate::sys;
use crate::tree::busy_threads;
use pleach_executor::low_level;
use pleach_executor::sync::Event;
use std::cell::{Cell, RefCell};
use std::io::{self, Write};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::thread;

/// A child that has been made, and the parent's end of its link.
#[derive(Debug)]
#[must_use = "dropping it kills the child"]
pub struct Forked {
    /// The child.
    pub process: Process,
    /// The parent's end of the link, a stream in blocking mode. EOF on it says that the child has closed its end or
    /// ended.
    pub link: UnixStream,
}

/// Forks a child that runs `entry` and leaves with the code that it gives.
///
/// The fork happens on this thread, between two polls of its tasks. The child has the memory of this moment, and
/// nothing else of the parent's: no runtime (`entry` starts its own with [`pleach_executor::run`]), no descriptors
/// but 0, 1, 2, its link and the `grants`, no handlers, and a life that ends with its parent's (SIGKILL until
/// [`Born::arm_running`]). It never returns from here. If `entry` panics, the message goes over the link as last
/// words, and the exit code is `64 + phase`.
///
/// The parent drops its copy of the `grants` right after the fork, and its copy of `entry` once the child is
/// reaped. So destructors of what `entry` captured may run in both processes. Text that `print!` has buffered is
/// written before the fork, so that it is not written twice.
///
/// # Cancellation
///
/// A checkpoint always. **Strict**: cancelled or dropped before the fork, no child is made. If it is dropped after
/// the fork and before its value was taken, the child is killed and reaped as by the drop of [`Process`]. If the
/// scope is cancelled after the fork, the child is given out all the same: it exists, and its owner decides.
///
/// # Errors
///
/// [`SpawnError`]; nothing is left of the attempt.
///
/// # Panics
///
/// Outside a run.
///
/// # References
///
/// fork(2), pidfd_open(2), PR_SET_PDEATHSIG(2const).
///
/// ```no_run
/// use pleach_spawn::{ExitStatus, Plan, fork};
/// pleach_executor::run(async {
///     let mut child = fork(Plan::new("answer"), (), |_born, _grants| 42).await?.process;
///     assert_eq!(child.wait().await?, ExitStatus::Exited(42));
///     Ok::<(), pleach_spawn::SpawnError>(())
/// }).unwrap();
/// ```
pub async fn fork<G, F>(plan: Plan, grants: G, entry: F) -> Result<Forked, SpawnError>
where
    G: Grants + 'static,
    F: FnOnce(Born, Granted<G>) -> i32 + 'static,
{
    pleach_executor::check()?;
    let request = Rc::new(Request::new((plan, grants, entry)));
    let _withdrawn_on_drop = Withdraw(Rc::clone(&request));
    let answer = Rc::clone(&request);
    low_level::between_polls(move || {
        if let Some((plan, grants, entry)) = answer.load.take() {
            // What the user gave may panic when it is dropped: that is the caller's, and not the loop's.
            let outcome = catch_unwind(AssertUnwindSafe(|| birth(plan, grants, entry)));
            *answer.outcome.borrow_mut() = Some(outcome);
            answer.done.set();
        }
    });
    let waited = request.done.wait().await;
    // A child that was made is never denied, even if the wait for it was cancelled meanwhile.
    match (request.outcome.take(), waited) {
        (Some(outcome), waited) => {
            waited.unwrap_or_else(low_level::absorb);
            outcome.unwrap_or_else(|payload| resume_unwind(payload))
        }
        (None, Err(c)) => Err(c.into()),
        (None, Ok(())) => unreachable!("the event is set after the outcome is there"),
    }
}

/// What the queued job and the future that waits for it share. It exists before the fork.
struct Request<L> {
    /// What the child is to be made of: there until the job takes it, or the future withdraws it.
    load: Cell<Option<L>>,
    outcome: RefCell<Option<thread::Result<Result<Forked, SpawnError>>>>,
    done: Event,
}

impl<L> Request<L> {
    fn new(load: L) -> Self {
        Self { load: Cell::new(Some(load)), outcome: RefCell::new(None), done: Event::new() }
    }
}

/// The future is gone: a job that has not run yet makes no child, and what it would have been made of goes here.
struct Withdraw<L>(Rc<Request<L>>);

impl<L> Drop for Withdraw<L> {
    fn drop(&mut self) {
        drop(self.0.load.take());
    }
}

/// The fork itself. Runs at the top level of the loop; returns in the parent only.
fn birth<G, F>(plan: Plan, grants: G, entry: F) -> Result<Forked, SpawnError>
where
    G: Grants,
    F: FnOnce(Born, Granted<G>) -> i32 + 'static,
{
    may_fork(&plan)?;
    let (ours, theirs) = sys::link().map_err(SpawnError::system("socketpair"))?;
    // After the fork a refusal would come too late: a child would have begun.
    sys::pidfds_are_possible().map_err(SpawnError::system("pidfd_open"))?;
    flush_standard_output();
    let signals = sys::block_all();
    // Now that neither a thread nor a handler can open another. The child could look as well, and pays many times as much for
    // it: the kernel makes entries for a process and each of its descriptors, and takes them away again when it is reaped.
    let open = sys::fds::open_numbers().ok();
    // What covers numbers in the child. Here it keeps one free for the pidfd.
    let null = sys::fds::null().map_err(SpawnError::system("open /dev/null"))?;
    let fds = fd_plan(&grants, &ours, &theirs, &null, open);
    let born = Born::new(&plan, theirs);
    // The parent keeps its copy in the box until the child is reaped; the child takes its own out.
    let mut entry = Box::new(Some(entry));
    let _making = making();
    // SAFETY: there is exactly one thread (`may_fork`), and the child goes to `child::live`, which never returns into
    // the frames below; the header of this file has the whole argument.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        match entry.take() {
            Some(entry) => child::live(born, &fds, grants, entry),
            None => sys::exit_now(crate::plan::BOOT_FAILURE),
        }
    }
    let error = io::Error::last_os_error();
    drop(signals);
    if pid < 0 {
        return Err(SpawnError::System { step: "fork", error });
    }
    // Closes our copy of the child's end: from here on its end is the child's alone, and EOF means something.
    drop(born);
    drop(null);
    let pid = Pid::from_raw(pid);
    let pidfd = match sys::pidfd_open(pid) {
        Ok(pidfd) => pidfd,
        Err(error) => {
            drop(ours);
            put_down(pid, None);
            return Err(SpawnError::System { step: "pidfd_open", error });
        }
    };
    let process = Process::new(pid, plan.name, pidfd, entry).map_err(SpawnError::system("register pidfd"))?;
    drop(grants);
    Ok(Forked { process, link: UnixStream::from(ours) })
}

/// Everything that can speak against a fork before anything has been made.
fn may_fork(plan: &Plan) -> Result<(), SpawnError> {
    ask(plan)?;
    // Worker threads of this run that have nothing to do are no reason: they are started again when they are needed. Those
    // that are at work are found below.
    let _at_work = low_level::retire_threads();
    let others = busy_threads().map_err(SpawnError::system("read /proc/self/task"))?;
    if !others.is_empty() {
        return Err(SpawnError::NotSingleThreaded { others });
    }
    exits_are_kept()
}

/// Whether the child is wanted still.
pub(crate) fn ask(plan: &Plan) -> Result<(), SpawnError> {
    if plan.wanted.as_ref().is_some_and(|ask| !ask()) {
        return Err(SpawnError::Unwanted);
    }
    Ok(())
}

/// Whether the exit status of a child waits for its collector.
pub(crate) fn exits_are_kept() -> Result<(), SpawnError> {
    if sys::sigchld_keeps_statuses() { Ok(()) } else { Err(SpawnError::SigchldNotDefault) }
}

/// Kept: the child's end and what is granted. Closed: what our own types own, and what this function's caller holds
/// in a frame that the child never resumes.
fn fd_plan(
    grants: &impl Grants,
    ours: &OwnedFd,
    theirs: &OwnedFd,
    null: &OwnedFd,
    open: Option<Vec<RawFd>>,
) -> FdPlan {
    let mut keep = vec![theirs.as_raw_fd()];
    grants.fds(&mut keep);
    let mut close = low_level::owned_fds();
    close.push(ours.as_raw_fd());
    FdPlan::new(keep, close, null.as_raw_fd(), open)
}

/// What `print!` has buffered would be in both processes. A stream that refuses keeps its text: nothing to be done
/// here.
pub(crate) fn flush_standard_output() {
    let _ = io::stdout().flush();
    let _ = io::stderr().flush();
}
