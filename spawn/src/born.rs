//! What a new child knows of itself, and its voice until it is up.
//!
//! ```text
//!   fork, exec ─► entry(Born, …) ─► step(..) step(..) ─► arm_running ─► an actor like any other
//!                      │ fails on the way
//!                      └─► last words on the link ─► _exit(64 + phase)
//! ```
//!
//! Rules:
//! * The link is taken out once, by the layer that speaks its frames. A second number of it, the *mouth*, stays here
//!   until [`Born::arm_running`], so that a child that unwinds during its boot, and thereby drops its link, can
//!   still say why.

use crate::marker::Marker;
use crate::plan::{Fault, LastWords, Plan, Step};
use crate::process::Pid;
use crate::server::Twin;
use crate::{signal, sys};
use std::cell::{Cell, RefCell};
use std::fmt;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::rc::Rc;
use std::time::Duration;

/// The most that last words take on the link.
const LAST_WORDS_LIMIT: usize = 4096;

/// A child's view of its own birth. Given to the entry function.
///
/// It lives in the child only.
pub struct Born {
    shared: Rc<Shared>,
}

/// Also held by the frame below the entry, which speaks when the entry has unwound.
struct Shared {
    name: String,
    parent: Pid,
    link: RefCell<Option<OwnedFd>>,
    mouth: RefCell<Option<OwnedFd>>,
    phase: Cell<Step>,
    fault: Option<(Step, Fault)>,
    death_signal: bool,
    last_words: LastWords,
    twin: RefCell<Option<Twin>>,
}

impl Born {
    /// For a fork, and made before it, since it allocates. `link` is the child's end.
    pub(crate) fn new(plan: &Plan, link: OwnedFd) -> Self {
        let shared = Shared {
            name: plan.name.clone(),
            parent: sys::pid(),
            link: RefCell::new(Some(link)),
            mouth: RefCell::new(None),
            phase: Cell::new(Step::Arm),
            fault: plan.fault,
            death_signal: plan.death_signal,
            last_words: plan.last_words,
            twin: RefCell::new(None),
        };
        Self { shared: Rc::new(shared) }
    }

    /// Made in the child, from what its parent told it.
    pub(crate) fn of_exec(marker: &Marker, link: OwnedFd, last_words: LastWords) -> Self {
        let shared = Shared {
            name: marker.name.clone(),
            parent: marker.parent,
            link: RefCell::new(Some(link)),
            mouth: RefCell::new(None),
            phase: Cell::new(Step::Arm),
            fault: marker.fault,
            death_signal: marker.death_signal,
            last_words,
            twin: RefCell::new(None),
        };
        Self { shared: Rc::new(shared) }
    }

    /// A second handle for the frame that outlives the entry.
    pub(crate) fn witness(&self) -> Self {
        Self { shared: Rc::clone(&self.shared) }
    }

    /// The name from the plan.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// The process that made this one.
    #[must_use]
    pub fn parent(&self) -> Pid {
        self.shared.parent
    }

    /// The child's end of the link, on the number that it had before the fork, or 3 after an exec. Once; later calls
    /// give `None`.
    ///
    /// A second number of it stays open until [`arm_running`](Self::arm_running), so during boot the parent sees
    /// EOF only when this process ends.
    #[must_use = "dropping the link tells the parent that no more messages come"]
    pub fn take_link(&self) -> Option<OwnedFd> {
        let link = self.shared.link.borrow_mut().take()?;
        // Without a number to spare the child is mute, not worse.
        *self.shared.mouth.borrow_mut() = sys::duplicate(&link).ok();
        Some(link)
    }

    /// The step this child's boot is in.
    #[must_use]
    pub fn phase(&self) -> Step {
        self.shared.phase.get()
    }

    /// Says that `step` begins: failures from here on carry its phase. Carries out the plan's [`Fault`], if it is for
    /// this step.
    ///
    /// # Panics
    ///
    /// If the plan's fault for this step says so.
    pub fn step(&self, step: Step) {
        self.shared.phase.set(step);
        match self.shared.fault {
            Some((at, fault)) if at == step => fail(step, fault),
            _ => {}
        }
    }

    /// Tells the parent why this child is about to fail: one send on the link that neither waits nor raises SIGPIPE.
    ///
    /// `errno` is 0 if no system call failed. After [`arm_running`](Self::arm_running), and where the link was
    /// taken and no number was left to keep a second one, nothing is sent.
    ///
    /// Child after fork: yes, it allocates nothing.
    pub fn last_words(&self, phase: Step, errno: i32, text: &str) {
        let Some(socket) = self.voice() else { return };
        let mut buffer = [0; LAST_WORDS_LIMIT];
        // Room for what the format puts around it.
        let text = &text.as_bytes()[..text.len().min(LAST_WORDS_LIMIT - 256)];
        let n = (self.shared.last_words)(&mut buffer, phase.phase(), errno, text);
        sys::send_now(socket, &buffer[..n.min(LAST_WORDS_LIMIT)]);
    }

    /// Ends this process; first its fork server, if nobody has taken that over.
    pub(crate) fn leave(&self, code: i32) -> ! {
        drop(self.take_twin());
        sys::exit_now(code)
    }

    pub(crate) fn set_twin(&self, twin: Twin) {
        *self.shared.twin.borrow_mut() = Some(twin);
    }

    pub(crate) fn take_twin(&self) -> Option<Twin> {
        self.shared.twin.try_borrow_mut().ok()?.take()
    }

    /// The boot is over: from now on the parent's death arrives as SIGCONT instead of SIGKILL.
    ///
    /// SIGCONT, because it also reaches a process that is stopped. Its handler does nothing while the parent is the
    /// parent. For an orphan it arms a timer that ends the process by SIGALRM after `grace`, and wakes the loop: then
    /// [`Signals::next`](crate::Signals::next) gives [`Signal::CONT`](crate::Signal::CONT). An orderly orphan has
    /// ended by then, because its link gave EOF. If the parent is dead already, all this happens at once.
    ///
    /// The mouth is closed: the link alone tells from here on.
    ///
    /// # Errors
    ///
    /// If the system refuses the handler or the registration.
    pub fn arm_running(&self, grace: Duration) -> io::Result<()> {
        drop(self.shared.mouth.borrow_mut().take());
        if !self.has_death_signal() {
            return Ok(());
        }
        signal::watch_parent(self.shared.parent, grace)
    }

    /// Whether a signal tells this child of its parent's death: not if its plan has switched that off.
    pub(crate) fn has_death_signal(&self) -> bool {
        self.shared.death_signal
    }

    fn voice(&self) -> Option<RawFd> {
        let number =
            |slot: &RefCell<Option<OwnedFd>>| slot.try_borrow().ok()?.as_ref().map(AsRawFd::as_raw_fd);
        number(&self.shared.link).or_else(|| number(&self.shared.mouth))
    }
}

impl fmt::Debug for Born {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Born")
            .field("name", &self.shared.name)
            .field("parent", &self.shared.parent)
            .field("phase", &self.shared.phase.get())
            .finish_non_exhaustive()
    }
}

fn fail(step: Step, fault: Fault) {
    match fault {
        Fault::Exit(code) => sys::exit_now(code),
        Fault::Panic => panic!("made to panic in {step}"),
        Fault::Kill => sys::raise(libc::SIGKILL),
        Fault::Stop => sys::raise(libc::SIGSTOP),
        Fault::Hang => sys::hang(),
    }
}
