//! The root of a tree as a program of its own: it owns its process, so it may take signals and adopt orphans.
//!
//! ```text
//!   main ─► Program::run ─► run { root scope{ code } ◄── Ctrl-C } ─► strays reaped ─► exit status, or death by SIGINT
//! ```
//!
//! Rules:
//! * Ctrl-C cancels the root scope, once; the tree ends in order, and then the process dies by SIGINT, as its shell
//!   expects. A second Ctrl-C dies at once (the children hear of it by the end of their links).
//! * The process is a subreaper: what an actor that was killed leaves behind comes here instead of to init,
//!   and is awaited before the process ends, however it ends.

use crate::actor::at_large::AtLarge;
use crate::actor::here::Here;
use crate::actor::{Actor, ActorId};
use crate::config::Config;
use crate::error::Error;
use crate::wire::{Cause, Why};
use pleach_executor::{CancelScope, Failure, nursery, run};
use pleach_spawn::{Signal, Signals, become_subreaper, raise_default};
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
}

/// How the root's code ended.
enum End {
    Well,
    Failed(Error),
    /// By Ctrl-C; with what failed on the way out.
    Interrupted(Option<Error>),
}

impl Program {
    /// A program whose root actor has this name.
    pub fn new(name: impl Into<String>) -> Self {
        Program { name: name.into(), config: Config::default() }
    }

    /// Limits for the whole tree.
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Runs `code` as the root actor, and everything it starts. An error is printed to stderr as a tree.
    ///
    /// Exit status 0 if `code` ended well, 1 if it failed. After Ctrl-C, and when all is cleaned up, the process dies by
    /// SIGINT, also if `code` has failed on its way out. Code that ends well in spite of it has ended well.
    ///
    /// # Panics
    ///
    /// With the panic of `code`, when all actors are gone. If a run is active on this thread.
    pub fn run(self, code: impl AsyncFnOnce(Actor) -> Result<(), Error>) -> ExitCode {
        if let Err(e) = become_subreaper() {
            eprintln!("{}: cannot become a subreaper: {e}", self.name);
        }
        let Program { name, config } = self;
        let at_large = AtLarge::default();
        let end = catch_unwind(AssertUnwindSafe(|| run(root(&name, config, code, at_large.clone()))));
        run(at_large.gather(&config));
        match end.unwrap_or_else(|payload| resume_unwind(payload)) {
            End::Well => ExitCode::SUCCESS,
            End::Failed(e) => {
                eprintln!("{name} failed:\n{e}");
                ExitCode::FAILURE
            }
            End::Interrupted(failed) => {
                if let Some(e) = failed {
                    eprintln!("{name} failed when it was interrupted:\n{e}");
                }
                raise_default(Signal::INT)
            }
        }
    }
}

async fn root(
    name: &str,
    config: Config,
    code: impl AsyncFnOnce(Actor) -> Result<(), Error>,
    at_large: AtLarge,
) -> End {
    let here = Here::new(ActorId::root(name), config, None);
    here.install();
    let _watching = Actor(Rc::clone(&here)).observe(move |event| at_large.hear(event));
    let mut signals = match Signals::listen(&[Signal::INT]) {
        Ok(signals) => signals,
        Err(e) => return End::Failed(Error::new(e)),
    };
    let ended: Result<End, Error> = nursery(async |n| {
        let scope = CancelScope::new();
        let handle = scope.handle();
        let signals = &mut signals;
        n.spawn(async move {
            signals.next().await?;
            handle.cancel_because(Cause::arc("", Why::Interrupt));
            signals.next().await?;
            raise_default(Signal::INT);
        });
        let mut interrupted = false;
        let ended = scope
            .run(async |scope| {
                let ended = code(Actor(here)).await;
                interrupted = scope.cancel_called();
                ended
            })
            .await;
        n.cancel();
        Ok(match ended {
            Ok(Some(())) => End::Well,
            Ok(None) => End::Interrupted(None),
            Err(e) if interrupted && e.is_cancelled() => End::Interrupted(None),
            Err(e) if interrupted => End::Interrupted(Some(e)),
            Err(e) => End::Failed(e),
        })
    })
    .await;
    ended.unwrap_or_else(End::Failed)
}
