//! The first steps of a child that was made by exec: `main` runs again, and is diverted here.
//!
//! ```text
//!   main ─► reborn() ─ no marker, or another's ──────────────────────────► Start::Root(image): the program
//!                    └ ours ─► Arm ► Epoch ► Fds ► Signals ► Attributes ─► Start::Reborn(child, image)
//!                                                                                └─ enter ─► entry ─► _exit(code)
//! ```
//!
//! Nothing of the parent's memory is here, so nothing has to be forgotten; what comes across an exec is the descriptors
//! without CLOEXEC, the mask and what is ignored, the environment, and the parent itself.
//!
//! Rules:
//! * The marker is gone before user code runs, so that nobody inherits it. The environment may be changed only by a
//!   process of one thread; another is refused as a child.
//! * SIGINT is blocked from the first instruction on until it is ignored: a terminal sends it to children that boot
//!   as well, and it is the parent who acts on it.
//! * A panic leaves by last words and `_exit`, as in a forked child: here nobody's frames lie below, but one contract is
//!   easier to keep than two.

use crate::born::Born;
use crate::child;
use crate::farewell::{LastPanic, or_leave};
use crate::image::Image;
use crate::kin::MARK;
use crate::marker::{LINK, Marker, Seen, VARIABLE, Verdict};
use crate::plan::{LastWords, Step};
use crate::sys;
use std::env;
use std::fmt;
use std::io;
use std::os::fd::OwnedFd;

/// How this process came to run `main`. See [`reborn`].
#[derive(Debug)]
pub enum Start {
    /// By somebody else: this is the program. With the image it can start children by [`exec`](crate::exec()); the
    /// error is that of a system without `/proc`.
    Root(io::Result<Image>),
    /// By [`exec`](crate::exec()): this is a child, and the image is the one that its parent holds.
    Reborn(Reborn, Image),
}

/// A child that was made by [`exec`](crate::exec()), before its entry function is called.
#[must_use = "a child that is not entered leaves its parent waiting"]
pub struct Reborn {
    born: Born,
    given: Vec<OwnedFd>,
    panics: LastPanic,
}

/// Tells a child that was made by [`exec`](crate::exec()) from an ordinary start. To be called first in `main`.
///
/// Such a child runs `main` from its beginning, with the arguments, the environment, the directory and the standard
/// streams of its parent. What `main` does before this call, every child does as well; descriptors that it opens
/// before have not to be closed, but processes that it starts inherit the link.
///
/// In a child this call takes the link and what was given, ties its life to the parent's (SIGKILL until
/// [`Born::arm_running`]), ignores SIGINT and SIGPIPE, gives it its name, and removes the marker from the
/// environment. If one of this fails, or the plan has a fault there, the child says so in `last_words` and ends with
/// `64 + phase`; likewise if this process has other threads already. If the parent is gone, it just ends.
///
/// `last_words` is the format of last words; the one of the parent's plan does not come across.
/// [`plain_words`](crate::plain_words) is the bare text.
///
/// ```no_run
/// use pleach_spawn::{ExitStatus, Plan, Start, exec, plain_words, reborn};
/// match reborn(plain_words) {
///     Start::Reborn(child, _image) => child.enter(|_born, _given| 42),
///     Start::Root(image) => pleach_executor::run(async {
///         let mut child = exec(Plan::new("answer"), &image?, Vec::new()).await?.process;
///         assert_eq!(child.wait().await?, ExitStatus::Exited(42));
///         Ok::<(), Box<dyn std::error::Error + Send + Sync>>(())
///     }).unwrap(),
/// }
/// ```
#[must_use = "a child that is not entered leaves its parent waiting"]
pub fn reborn(last_words: LastWords) -> Start {
    let Some(text) = env::var_os(VARIABLE) else { return Start::Root(Image::own()) };
    let marker = text.to_str().and_then(Marker::parse);
    let verdict = marker.as_ref().map_or(Verdict::Foreign, |marker| marker.judge(&look()));
    let marker = match (verdict, marker) {
        (Verdict::Ours, Some(marker)) => marker,
        // Nobody is left to read last words.
        (Verdict::Stray, _) => sys::exit_now(Step::Arm.exit_code()),
        (Verdict::Ours | Verdict::Foreign, _) => {
            // With several threads it has to stay. It is as foreign to everybody who inherits it.
            let _ = sys::remove_variable(VARIABLE);
            return Start::Root(Image::own());
        }
    };
    // Without it the child has no voice either.
    let Ok(link) = sys::handed_down(LINK) else { sys::exit_now(Step::Fds.exit_code()) };
    let born = Born::of_exec(&marker, link, last_words);
    let panics = LastPanic::default();
    panics.listen();
    let (given, image) = panics.catch(&born, || first_steps(&born, &marker));
    Start::Reborn(Reborn { born, given, panics }, image)
}

impl Reborn {
    /// The name from the plan.
    #[must_use]
    pub fn name(&self) -> &str {
        self.born.name()
    }

    /// Runs `entry` with what was given, in order, and leaves with the code that it gives: by `_exit`, without
    /// destructors of `main` and without a flush. If it panics, the message goes over the link as last words, and the
    /// exit code is `64 + phase`.
    pub fn enter(self, entry: impl FnOnce(Born, Vec<OwnedFd>) -> i32) -> ! {
        let Self { born, given, panics } = self;
        let witness = born.witness();
        let code = panics.catch(&witness, || {
            born.step(Step::Enter);
            entry(born, given)
        });
        sys::exit_now(code)
    }
}

impl fmt::Debug for Reborn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reborn").field("born", &self.born).field("given", &self.given).finish_non_exhaustive()
    }
}

/// What the marker is judged by.
fn look() -> Seen {
    let path = sys::exec_path().map(|path| path.to_string_lossy().into_owned());
    Seen { parent: sys::parent(), path, link: sys::is_socket(LINK) }
}

/// Steps `Arm` to `Attributes`.
fn first_steps(born: &Born, marker: &Marker) -> (Vec<OwnedFd>, Image) {
    child::arm(born);
    // The inherited runtime stayed behind; what is left of the parent's is the marker.
    born.step(Step::Epoch);
    or_leave(born, "threads that run before `reborn` is called", sys::remove_variable(VARIABLE));
    born.step(Step::Fds);
    let given = marker.given().map(sys::handed_down).collect::<io::Result<_>>();
    let given = or_leave(born, "a given descriptor", given);
    let image = or_leave(born, "the image", sys::handed_down(marker.image()).and_then(Image::new));
    born.step(Step::Signals);
    or_leave(born, "sigaction", settle_signals());
    child::take_name(born);
    (given, image)
}

/// The attributes of the spawn have made every disposition the default, and blocked SIGINT alone. Handlers that stand
/// now were installed by this program, before `main`, and stay.
fn settle_signals() -> io::Result<()> {
    for signal in [libc::SIGPIPE, libc::SIGINT, MARK] {
        sys::set_action(signal, sys::Action::Ignore)?;
    }
    // One that came meanwhile was dropped by the kernel when it became ignored.
    sys::unblock(libc::SIGINT);
    Ok(())
}
