//! The root of a tree as a program of its own: it owns its process, so it may take signals and adopt orphans.
//!
//! ```text
//!   main ─► Program::run ─► run { root scope{ code } ◄── Ctrl-C } ─► strays reaped ─► exit status, or death by the signal
//! ```
//!
//! Rules:
//! * Ctrl-C cancels the root scope; the tree ends in order, and then the process dies by SIGINT, as its shell expects. The
//!   second one leaves the tree what an orphan has: SIGTERM at once, SIGKILL at the end of the orphan grace, leaves first.
//!   The third has its own effect, in the handler, so that it reaches a root that computes; its children hear of it by the
//!   end of their links. SIGTERM counts as Ctrl-C does, and with it.
//! * One that is ignored when the program starts stays ignored.
//! * The process is a subreaper: what an actor that was killed leaves behind comes here instead of to init,
//!   and is awaited before the process ends, however it ends.

use crate::actor::at_large::AtLarge;
use crate::actor::boot::{self, Cradle};
use crate::actor::here::Here;
use crate::actor::{Actor, ActorId, no_name};
use crate::config::Config;
use crate::endpoint::{Context, Endpoint, Endpoints, Registry};
use crate::error::{Error, ErrorKind};
use crate::report::{Fallen, Report};
use crate::wire::{Cause, Why};
use pleach_executor::{CancelScope, Failure, ScopeHandle, now, nursery, run, stats};
use pleach_ipc::proto::{Backend, last_words};
use pleach_spawn::{
    Image, Reborn, Signal, Signals, Start as Birth, become_subreaper, begin_tree, raise_default, reborn,
    signal_state,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::cell::Cell;
use std::fmt;
use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::process::ExitCode;
use std::rc::Rc;

/// A program whose `main` is the root of an actor tree.
///
/// ```no_run
/// use pleach::{Program, actors};
/// fn main() -> std::process::ExitCode {
///     Program::new("greeter").run(async |_root| {
///         actors(async |an| {
///             let hello = an.fork("hello", (), async |_, ()| Ok("hello".to_owned()));
///             println!("{}", hello.result().await?);
///             Ok(())
///         })
///         .await
///     })
/// }
/// ```
#[derive(Clone, Debug)]
#[must_use = "a program does nothing until it is run"]
pub struct Program {
    name: String,
    config: Config,
    endpoints: Endpoints,
    gathers: bool,
}

/// The how manieth Ctrl-C or SIGTERM is not handled any more.
const LAST: u32 = 3;

/// How the root's code ended.
enum End<T> {
    Well(T),
    Failed(Error),
    /// Not even begun: there is another program in this process, whose actors these are.
    Refused(Error),
    /// By Ctrl-C or SIGTERM; with what failed on the way out.
    Interrupted(Signal, Option<Error>),
}

impl Program {
    /// A program whose root actor has this name: not empty, without `/` and control characters, or it is refused when it is
    /// run.
    pub fn new(name: impl Into<String>) -> Self {
        Program {
            name: name.into(),
            config: Config::default(),
            endpoints: Endpoints::default(),
            gathers: true,
        }
    }

    /// Limits for the whole tree.
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// For tests of crash behaviour: what a killed actor leaves behind comes to this process and is left alone, so that a
    /// test can see what becomes of it by itself.
    pub fn without_gathering(mut self) -> Self {
        self.gathers = false;
        self
    }

    /// Registers the code of an endpoint: from now on actors of this program can be asked to run it, and only what was
    /// registered can be asked for.
    ///
    /// `code` runs in the actor's process, in a scope that its caller cancels. What it captures is that of the process it
    /// runs in: with [`Backend::Exec`](crate::Backend::Exec) the program's `main` has run again there, and with
    /// [`Backend::ForkServer`](crate::Backend::ForkServer) once in the process that it is a copy of.
    ///
    /// # Panics
    ///
    /// If there is an endpoint of that name.
    ///
    /// ```
    /// use pleach::{Endpoint, Program};
    /// const DOUBLE: Endpoint<u64, u64> = Endpoint::new("double");
    /// let program = Program::new("doubles").endpoint(DOUBLE, async |_context, n| Ok(2 * n));
    /// # drop(program);
    /// ```
    #[track_caller]
    pub fn endpoint<A, R, F>(mut self, endpoint: Endpoint<A, R>, code: F) -> Self
    where
        A: DeserializeOwned + 'static,
        R: Serialize + 'static,
        F: AsyncFn(Context, A) -> Result<R, Error> + 'static,
    {
        self.endpoints.add(endpoint, code);
        self
    }

    /// Becomes an actor if this process was made to be one, and then never returns. [`run`](Program::run) does it first
    /// of all; this is for a `main` that has to do something else in the root only.
    ///
    /// A process that was made by [`Backend::Exec`](crate::Backend::Exec) runs `main` from its beginning, with the
    /// arguments, the environment and the standard streams of its parent. Whatever `main` does before this call, it does
    /// in every such actor as well. With [`Backend::ForkServer`](crate::Backend::ForkServer) it does it once in each fork
    /// server, which is the process whose copies such actors are: it has to have one thread here.
    pub fn divert(&self) {
        if let Birth::Reborn(child, image) = reborn(last_words) {
            self.become_actor(child, image);
        }
    }

    fn become_actor(&self, child: Reborn, image: Image) -> ! {
        let (name, build) = (child.name().to_owned(), image.build());
        let registry = Some(Registry::new(self.endpoints.clone(), Ok(image)));
        let program = Some(self.name.clone());
        let backend = if child.is_of_a_server() { Backend::ForkServer } else { Backend::Exec };
        let cradle = Cradle { name, backend, build, registry, program };
        child.enter(|born, given| boot::live(born, cradle, || Ok(given), boot::serve))
    }

    /// Runs `code` as the root actor, and everything it starts. An error is printed to stderr as a
    /// [`Report`], with those that it took down.
    ///
    /// In a process that was made to be an actor of this program, it becomes that actor and never returns.
    ///
    /// Exit status 0 if `code` ended well, 1 if it failed. After Ctrl-C, and when all is cleaned up, the process dies by
    /// SIGINT, also if `code` has failed on its way out. Code that ends well in spite of it has ended well. A second Ctrl-C
    /// leaves the tree no more than the orphan grace; a third ends the process at once, whatever it is doing. SIGTERM does
    /// what Ctrl-C does.
    ///
    /// # Panics
    ///
    /// With the panic of `code`, when all actors are gone. If a run is active on this thread.
    pub fn run(self, code: impl AsyncFnOnce(Actor) -> Result<(), Error>) -> ExitCode {
        let name = self.name.clone();
        let fallen = Fallen::default();
        let hears = fallen.clone();
        let outcome = self.try_run(async move |root: Actor| {
            let _watching = root.observe(move |event| hears.hear(event));
            code(root).await
        });
        match outcome {
            Ok(()) => ExitCode::SUCCESS,
            Err(e) => {
                complain(format_args!("{name} failed:\n{}", Report::new(&e).with(&fallen)));
                ExitCode::FAILURE
            }
        }
    }

    /// [`run`](Program::run), for those who want the outcome instead of an exit code.
    ///
    /// # Errors
    ///
    /// Those of `code`. After Ctrl-C it does not return: see `run`.
    ///
    /// # Panics
    ///
    /// As [`run`](Program::run).
    pub fn try_run<T>(self, code: impl AsyncFnOnce(Actor) -> Result<T, Error>) -> Result<T, Error> {
        let image = match reborn(last_words) {
            Birth::Reborn(child, image) => self.become_actor(child, image),
            Birth::Root(image) => image,
        };
        if let Some(why) = no_name(&self.name) {
            let kind = ErrorKind::Spawn { step: "name".to_owned(), errno: None };
            return Err(Error::of(kind, format!("a program cannot be called {:?}: {why}", self.name)));
        }
        // Before anything of the process is changed.
        assert!(
            stats().scopes == 0,
            "a run is active on this thread already: a program is the outermost of all"
        );
        if let Err(e) = become_subreaper().and_then(|()| begin_tree()) {
            complain(format_args!("{}: cannot become the root of a tree: {e}", self.name));
        }
        let Program { name, config, endpoints, gathers } = self;
        let registry = Registry::new(endpoints, image);
        let at_large = gathers.then(|| AtLarge::new(&name));
        let root = root(&name, config, registry, code, at_large.clone());
        let end = catch_unwind(AssertUnwindSafe(|| run(root)));
        let refused = matches!(end, Ok(End::Refused(_)));
        let at_large = at_large.filter(|_| !refused);
        let left = at_large.map(|at_large| run(at_large.gather(&config))).unwrap_or_default();
        if !left.is_empty() {
            complain(format_args!(
                "{name}: processes of the tree do not die of SIGKILL and are left behind: {left:?}"
            ));
        }
        match end.unwrap_or_else(|payload| resume_unwind(payload)) {
            End::Well(value) => Ok(value),
            End::Failed(e) | End::Refused(e) => Err(e),
            End::Interrupted(signal, failed) => {
                if let Some(e) = failed {
                    complain(format_args!("{name} failed when it was interrupted:\n{e}"));
                }
                raise_default(signal)
            }
        }
    }
}

/// Says it to the person at stderr. If that is full or closed there is nobody to say it to, and the exit status is left.
fn complain(text: fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// For Ctrl-C and SIGTERM; unless whoever started this program has them ignored, as a shell does for a job in the
/// background.
fn listen() -> io::Result<Signals> {
    let ignored = signal_state()?.ignored;
    let mut heeded = vec![Signal::INT, Signal::TERM];
    heeded.retain(|signal| ignored & (1 << (signal.as_raw() - 1)) == 0);
    let signals = Signals::listen(&heeded)?;
    signals.last(LAST);
    Ok(signals)
}

/// Cancels the root, and hurries it up when it is asked to again. Keeps by which signal the process is to die.
async fn heed(
    mut signals: Signals,
    scope: ScopeHandle,
    here: Rc<Here>,
    dies_by: &Cell<Option<Signal>>,
) -> Result<(), Error> {
    loop {
        let signal = signals.next().await?;
        if dies_by.get().is_none() {
            dies_by.set(Some(signal));
            scope.cancel_because(Cause::arc("", Why::Interrupt));
        }
        // Two of a kind may come as one.
        if signals.came() > 1 {
            here.hasten(now() + here.config.orphan_grace);
        }
    }
}

async fn root<T>(
    name: &str,
    config: Config,
    registry: Rc<Registry>,
    code: impl AsyncFnOnce(Actor) -> Result<T, Error>,
    at_large: Option<AtLarge>,
) -> End<T> {
    let here = Here::root(ActorId::root(name), config, Some(registry));
    here.install();
    let of_root = Rc::clone(&here);
    let _watching =
        at_large.clone().map(|hears| Actor(Rc::clone(&here)).observe(move |event| hears.hear(event)));
    let signals = match listen() {
        Ok(signals) => signals,
        Err(e) => return End::Refused(Error::msg(format!("{name} cannot listen for Ctrl-C: {e}"))),
    };
    let dies_by = Cell::new(None);
    let ended: Result<End<T>, Error> = nursery(async |n| {
        let scope = CancelScope::new();
        let handle = scope.handle();
        n.spawn(heed(signals, handle, Rc::clone(&here), &dies_by));
        if let Some(at_large) = &at_large {
            n.spawn(async { at_large.tend(&config).await.map(|never| match never {}).map_err(Error::from) });
        }
        let mut interrupted = None;
        let ended = scope
            .run(async |_| {
                let ended = code(Actor(here)).await;
                interrupted = dies_by.get();
                ended
            })
            .await;
        n.cancel();
        Ok(match (ended, interrupted) {
            (Ok(Some(value)), _) => End::Well(value),
            (Ok(None), signal) => End::Interrupted(signal.unwrap_or(Signal::INT), None),
            (Err(e), Some(signal)) if e.is_cancelled() => End::Interrupted(signal, None),
            (Err(e), Some(signal)) => End::Interrupted(signal, Some(e)),
            (Err(e), None) => End::Failed(e),
        })
    })
    .await;
    of_root.forks.put_away();
    ended.unwrap_or_else(End::Failed)
}
