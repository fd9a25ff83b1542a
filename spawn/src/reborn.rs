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
use crate::fork::flush_standard_output;
use crate::image::Image;
use crate::kin::MARK;
use crate::marker::{LINK, Marker, Office, Seen, VARIABLE, Verdict};
use crate::plan::{LastWords, Step};
use crate::server::{Offspring, Server, Split, split};
use crate::surroundings::{Environment, Surroundings};
use crate::sys;
use crate::sys::births::{self, Alone, Page};
use crate::tree::open_fds;
use std::env;
use std::fmt;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

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
    by_server: bool,
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
    if marker.office == Office::Server {
        return born_of(begin_serving(&marker, link).serve(), last_words);
    }
    let born = Born::of_exec(&marker, link, last_words);
    let panics = LastPanic::default();
    panics.listen();
    let (given, image) = panics.catch(&born, || first_steps(&born, &marker));
    let alone = panics.catch(&born, || or_leave(&born, "threads", Alone::check()));
    brought_up(Reborn { born, given, panics, by_server: false }, image, alone, &marker, last_words)
}

/// What this process needs to be a fork server, and the place may not have.
fn or_forbid<T>(born: &Born, control: &OwnedFd, what: &str, done: io::Result<T>) -> T {
    if let Err(e) = &done {
        Server::forbid(control, e.raw_os_error().unwrap_or(libc::ENOTSUP));
    }
    or_leave(born, what, done)
}

/// What `main` has opened before, all children of a server would have in common: an epoll instance, a position in a file. Such a
/// program has its children by exec.
fn forbid_if_shared(born: &Born, control: &OwnedFd, declared: &[RawFd]) {
    if let Some((fd, target)) = or_leave(born, "/proc/self/fd", undeclared(declared)) {
        Server::forbid(control, 0);
        let text = format!(
            "descriptor {fd} ({target}) is open before `reborn` is called: a fork server's children would share it"
        );
        born.last_words(Step::Enter, 0, &text);
        born.leave(Step::Enter.exit_code());
    }
}

/// A descriptor that is open beside the standard streams and these, and what it stands for.
fn undeclared(declared: &[RawFd]) -> io::Result<Option<(RawFd, String)>> {
    Ok(open_fds()?.into_iter().find(|(fd, _)| *fd > 2 && !declared.contains(fd)))
}

/// May this child split? Not one that `main` has left something, which all children of its twin would share. One of a fork
/// server has nothing but what its server had.
fn may_split(child: &Reborn, image: &Image) -> bool {
    let mut declared: Vec<RawFd> = child.given.iter().map(AsRawFd::as_raw_fd).collect();
    declared.extend([LINK, image.number()]);
    child.by_server || undeclared(&declared).is_ok_and(|other| other.is_none())
}

/// A child has done its first steps: if it is to have a fork server, it splits.
fn brought_up(child: Reborn, image: Image, alone: Alone, marker: &Marker, last_words: LastWords) -> Start {
    if marker.office != Office::Spawner || !may_split(&child, &image) {
        return Start::Reborn(child, image);
    }
    match split(alone, &image) {
        Ok(Split::Child(twin)) => {
            child.born.set_twin(twin);
            Start::Reborn(child, image)
        }
        // It can have one later, by exec.
        Err(_) => Start::Reborn(child, image),
        Ok(Split::Twin(server)) => {
            drop((child, image));
            // Nobody of the child's group is to end it before those it has made.
            std::mem::forget(sys::block_all());
            child::name(&format!("{} forks", marker.name)).unwrap_or_default();
            born_of(server.serve(), last_words)
        }
    }
}

/// This process was made by a fork server.
fn born_of(offspring: Offspring, last_words: LastWords) -> Start {
    let Offspring { marker, link, given, environment, image, surroundings: (now, wanted), alone } = offspring;
    let born = Born::of_exec(&marker, link, last_words);
    let panics = LastPanic::default();
    panics.listen();
    panics.catch(&born, || {
        child::arm(&born);
        born.step(Step::Epoch);
        if let Some(environment) = environment {
            or_leave(&born, "the environment", Environment::adopt(environment, &alone));
        }
        born.step(Step::Fds);
        or_leave(&born, "setrlimit", now.settle_child(&wanted));
        born.step(Step::Signals);
        // They are as they should be in the server, but for the mask.
        sys::unblock_all();
        child::take_name(&born);
    });
    brought_up(Reborn { born, given, panics, by_server: true }, image, alone, &marker, last_words)
}

/// This process is to be a fork server, by exec.
fn begin_serving(marker: &Marker, control: OwnedFd) -> Server {
    let leave = |step: Step| -> ! { sys::exit_now(step.exit_code()) };
    let Ok(voice) = sys::duplicate(&control) else { leave(Step::Fds) };
    let voice_number = voice.as_raw_fd();
    let born = Born::of_exec(marker, voice, crate::plan::plain_words);
    let panics = LastPanic::default();
    panics.catch(&born, || {
        let (mut given, image) = first_steps(&born, marker);
        let alone = or_leave(&born, "threads", Alone::check());
        let page = given.pop().ok_or_else(|| io::ErrorKind::InvalidInput.into());
        let page = or_leave(&born, "the page", page.and_then(|file| Page::map(&file)));
        or_forbid(&born, &control, "madvise", page.keep_from_children());
        or_forbid(&born, &control, "clone3", births::are_possible());
        let now = or_leave(&born, "look at the surroundings", Surroundings::look());
        // Else it comes out of every child.
        flush_standard_output();
        forbid_if_shared(&born, &control, &[voice_number, control.as_raw_fd(), image.number()]);
        born.step(Step::Enter);
        Server { control, page, image, now, alone }
    })
}

impl Reborn {
    /// The name from the plan.
    #[must_use]
    pub fn name(&self) -> &str {
        self.born.name()
    }

    /// Was it made by a [`ForkServer`](crate::ForkServer)? Else by [`exec`](crate::exec()).
    #[must_use]
    pub fn is_of_a_server(&self) -> bool {
        self.by_server
    }

    /// Runs `entry` with what was given, in order, and leaves with the code that it gives: by `_exit`, without
    /// destructors of `main` and without a flush. If it panics, the message goes over the link as last words, and the
    /// exit code is `64 + phase`.
    pub fn enter(self, entry: impl FnOnce(Born, Vec<OwnedFd>) -> i32) -> ! {
        let Self { born, given, panics, .. } = self;
        let witness = born.witness();
        let code = panics.catch(&witness, || {
            born.step(Step::Enter);
            entry(born, given)
        });
        witness.leave(code)
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
    or_leave(born, "sigaction", ignore_signals());
    if marker.office != Office::Server {
        // One that came meanwhile was dropped by the kernel when it became ignored.
        sys::unblock(libc::SIGINT);
    }
    child::take_name(born);
    (given, image)
}

/// The attributes of the spawn have made every disposition the default, and blocked SIGINT; in a fork server everything.
/// Handlers that stand now were installed by this program, before `main`, and stay.
fn ignore_signals() -> io::Result<()> {
    for signal in [libc::SIGPIPE, libc::SIGINT, MARK] {
        sys::set_action(signal, sys::Action::Ignore)?;
    }
    Ok(())
}
