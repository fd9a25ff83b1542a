//! The life of a child, from the end of the prelude to `_exit`, however it was made.
//!
//! ```text
//!   prelude (pleach-spawn) ─► run { Hello ─► Spec ─► Ready ─► scope{ closure } ─► last message, flushed } ─► _exit
//!                                                               ▲    ▲    ▲
//!                                         Cancel, link's end ───┘    │    └── SIGTERM
//!                                                          SIGINT: advice while the link is up
//! ```
//!
//! Rules:
//! * The parent's end of the link going away cancels the closure with `ParentLost`, and after the orphan grace the
//!   process leaves whatever it is doing.
//! * Every way out sends a last message as long as the link takes one; the exit path sends it, nobody else.
//! * A panic is kept by a hook of our own: it goes up the link, not to stderr, which may be a full pipe.

use super::here::{Actor, Here};
use super::serve::Serving;
use super::{ActorId, Incarnation};
use crate::config::Config;
use crate::endpoint::Registry;
use crate::error::{Error, ErrorKind};
use crate::wire::{self, Cause};
use pleach_executor::{CancelScope, ScopeHandle, nursery, run, sleep};
use pleach_ipc::proto::{Backend, ChildBoot, ChildStep, Hello, Ledger, Message, PROTOCOL, Why, WireCause};
use pleach_ipc::{Channel, ChannelError};
use pleach_spawn::{Born, Signal, Signals, Step, exit_now};
use std::future::{Future, poll_fn};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

/// Where the hook leaves message and place of the last panic.
type LastPanic = Arc<Mutex<Option<(String, String)>>>;

/// The exit status of a child that has sent its last message.
const TOLD: i32 = 0;
/// The exit status of one whose parent was gone before it could.
const UNTOLD: i32 = 80;

/// What a child is started with, besides what its parent says in the `Spec`.
pub(crate) struct Cradle {
    pub(crate) name: String,
    pub(crate) backend: Backend,
    /// Which image it runs; 0 where it cannot be another than the parent's.
    pub(crate) build: u64,
    pub(crate) registry: Option<Rc<Registry>>,
    /// The program it has met, if it was to meet one.
    pub(crate) program: Option<String>,
}

/// Runs the child to its end and gives its exit status. `adopt` takes over what was granted, `code` is what it is for.
pub(crate) fn live<G, F>(born: Born, cradle: Cradle, adopt: impl FnOnce() -> io::Result<G>, code: F) -> i32
where
    F: AsyncFnOnce(Actor, G) -> Result<Vec<u8>, Error> + 'static,
{
    let panics = Caught::listen();
    born.step(Step::Runtime);
    let status = run(async move {
        let link = born.take_link().expect("taken once, here");
        let channel = match Channel::from_std(link.into()) {
            Ok(channel) => Rc::new(channel),
            Err(e) => return fail(&born, &e, "taking up the link"),
        };
        let grants = match adopt() {
            Ok(grants) => grants,
            Err(e) => return fail(&born, &e, "adopting a grant"),
        };
        let signals = match Signals::listen(&[Signal::TERM, Signal::INT]) {
            Ok(signals) => signals,
            Err(e) => return fail(&born, &e, "listening for signals"),
        };
        let here = match boot(&born, &channel, &cradle, &panics).await {
            Booted::Running(here) => here,
            Booted::Cancelled(request) => return cancelled_in_boot(&channel, request).await,
            Booted::ParentGone => return UNTOLD,
            Booted::Failed(e, what) => return fail(&born, &e, what),
        };
        let outcome = supervised(&here, signals, grants, code, &panics).await;
        here.forks.put_away();
        tell(&here, &channel, outcome).await
    });
    // What `print!` has left without a newline; after the last message, because the reader may have gone to sleep.
    let _ = io::stdout().flush();
    status
}

/// What a child does that was born with no code of its own: it serves the endpoints of its program.
pub(crate) async fn serve(actor: Actor, given: Vec<OwnedFd>) -> Result<Vec<u8>, Error> {
    actor.0.give(given);
    let here = Rc::clone(&actor.0);
    here.serving.run(actor).await
}

/// A boot that cannot go on: says why on the link, and gives the exit status that names the step.
fn fail(born: &Born, e: &std::io::Error, what: &str) -> i32 {
    let errno = e.raw_os_error().unwrap_or(0);
    let text = if errno == 0 { format!("{what}: {e}") } else { what.to_owned() };
    born.last_words(born.phase(), errno, &text);
    born.phase().exit_code()
}

enum Booted {
    Running(Rc<Here>),
    /// By this request.
    Cancelled(u64),
    ParentGone,
    Failed(std::io::Error, &'static str),
}

/// Hello, Spec, Ready.
async fn boot(born: &Born, channel: &Rc<Channel>, cradle: &Cradle, panics: &Caught) -> Booted {
    born.step(Step::Hello);
    let hello = Hello {
        protocol: PROTOCOL,
        build: cradle.build,
        name: cradle.name.clone(),
        path: String::new(),
        pid: std::process::id(),
        start_time: pleach_spawn::start_time().unwrap_or(0),
        backend: cradle.backend,
        fds: u32::try_from(pleach_spawn::open_fds().map_or(0, |fds| fds.len())).unwrap_or(u32::MAX),
        threads: u32::try_from(pleach_spawn::thread_count().unwrap_or(0)).unwrap_or(u32::MAX),
    };
    let (mut machine, hello) = ChildBoot::new(hello);
    if say(channel, &hello).await.is_err() {
        return Booted::ParentGone;
    }
    let spec = match channel.recv().await {
        Ok(Some(m)) => match machine.handle(m) {
            Ok(ChildStep::Prepare(spec)) => spec,
            Ok(ChildStep::Cancel(cancel)) => return Booted::Cancelled(cancel.request),
            Err(e) => return Booted::Failed(std::io::Error::other(e.to_string()), "the handshake"),
        },
        Ok(None) | Err(_) => return Booted::ParentGone,
    };
    born.step(Step::Spec);
    if let Some(wrong) = cradle.program.as_deref().and_then(|met| wrong_program(met, &spec.path)) {
        return Booted::Failed(std::io::Error::other(wrong), "the program");
    }
    channel.open(spec.limits);
    let config = Config {
        boot: Duration::from_nanos(spec.boot_ns),
        cancel: Duration::from_nanos(spec.cancel_ns),
        orphan_grace: Duration::from_nanos(spec.orphan_grace_ns),
        unkillable: Duration::from_nanos(spec.unkillable_ns),
        handshake: Duration::from_nanos(spec.handshake_ns),
        terminate_percent: spec.terminate_percent.min(100),
        limits: spec.limits,
    };
    let id = ActorId::new(&cradle.name, &spec.path, std::process::id());
    let id = id.incarnated(Incarnation::of(spec.incarnation));
    let registry = cradle.registry.clone();
    let serving = Serving::new(spec.role, registry.clone(), spec.limits, panics.clone());
    let here = Here::new(id, config, Some(Rc::clone(channel)), registry, spec.may_spawn, serving);
    here.forks.adopt(born);
    here.install();
    born.step(Step::Ready);
    // From here on it cannot speak for itself any more, only over the link.
    if let Err(e) = born.arm_running(config.orphan_grace) {
        return Booted::Failed(e, "arming the ties to the parent");
    }
    let Ok(ready) = machine.ready() else { unreachable!("the spec has come") };
    if say(channel, &ready).await.is_err() {
        return Booted::ParentGone;
    }
    Booted::Running(here)
}

/// Why the actor of that path cannot live in the program it has met.
fn wrong_program(met: &str, path: &str) -> Option<String> {
    let is_its_own = path.strip_prefix(met).is_some_and(|below| below.starts_with('/'));
    let text = || {
        format!(
            "`main` has come to the program `{met}`, and {path} is an actor of another: have the `main` of a process \
             that is made to be an actor come to the same program as its parent's"
        )
    };
    (!is_its_own).then(text)
}

async fn cancelled_in_boot(channel: &Rc<Channel>, request: u64) -> i32 {
    let ack = Message::CancelAck { request, ledger: Ledger::default() };
    if say(channel, &ack).await.is_ok() { TOLD } else { UNTOLD }
}

/// How the closure ended.
enum Outcome {
    Returned(Vec<u8>),
    Failed(Error),
    Cancelled(WireCause),
}

/// Runs the actor's code in a scope that the link and the signals can cancel, beside what its parent calls.
async fn supervised<G, F>(here: &Rc<Here>, signals: Signals, grants: G, code: F, panics: &Caught) -> Outcome
where
    F: AsyncFnOnce(Actor, G) -> Result<Vec<u8>, Error>,
{
    let actor = Actor(Rc::clone(here));
    let outcome: Result<Outcome, Error> = nursery(async |n| {
        let scope = CancelScope::new();
        let handle = scope.handle();
        n.spawn(read_link(Rc::clone(here), handle.clone()));
        n.spawn(heed_signals(Rc::clone(here), signals, handle.clone()));
        let mut why = None;
        let ended = scope
            .run(async |scope| {
                let r = nursery(async |dialogs| {
                    // In this very poll, before the link is read: a child is first polled after this body waits.
                    here.serving.attach(dialogs.handle());
                    let r = panics.catch(code(actor, grants)).await;
                    dialogs.cancel();
                    r
                })
                .await;
                why = scope.reason().map(|r| wire::cause_of(&r, here.id.path()));
                r
            })
            .await;
        n.cancel();
        Ok(match ended {
            Ok(Some(value)) => Outcome::Returned(value),
            Ok(None) => Outcome::Cancelled(why.expect("a scope that absorbs has a reason")),
            Err(e) => Outcome::Failed(e),
        })
    })
    .await;
    outcome.unwrap_or_else(Outcome::Failed)
}

/// Reads what the parent sends: cancels, and its end.
async fn read_link(here: Rc<Here>, scope: ScopeHandle) -> Result<(), Error> {
    let link = here.link.clone().expect("a child has a link");
    let reader = link.reader();
    loop {
        match reader.recv().await {
            Ok(Some(Message::Cancel(cancel))) => {
                let deadline = wire::deadline_of(&cancel, pleach_executor::now());
                if here.request.replace(Some(cancel.request)).is_some() {
                    here.hasten(deadline);
                } else {
                    here.deadline.set(Some(deadline));
                }
                scope.cancel_because(Cause::from_wire(cancel.cause));
            }
            Ok(Some(Message::Call { dialog, endpoint, args })) => {
                here.serving.call(&here, dialog, endpoint, args)
            }
            Ok(Some(Message::CallCancel { dialog, cause })) => here.serving.cancel(dialog, cause),
            Ok(Some(_)) => {
                // The parent is of our own image and sends nothing else; one that does is no parent to obey.
                scope.cancel_because(Cause::arc("", Why::ParentLost));
                return Ok(());
            }
            Err(ChannelError::Cancelled(c)) => return Err(c.into()),
            Ok(None) | Err(_) => return orphaned(&here, &scope).await,
        }
    }
}

/// The parent is gone: the closure has the orphan grace to end in, and then the process leaves whatever it is doing.
async fn orphaned(here: &Here, scope: &ScopeHandle) -> Result<(), Error> {
    let grace = here.config.orphan_grace;
    here.deadline.set(Some(pleach_executor::now() + grace));
    scope.cancel_because(Cause::arc("", Why::ParentLost));
    sleep(grace).await?;
    exit_now(UNTOLD)
}

/// SIGTERM is a cancel without a message. SIGCONT comes here when the parent has died: its end of the link may be held open
/// by somebody else. SIGINT is the terminal's word to all: the parent acts on it, not we.
async fn heed_signals(here: Rc<Here>, mut signals: Signals, scope: ScopeHandle) -> Result<(), Error> {
    loop {
        match signals.next().await? {
            Signal::TERM => {
                let deadline = here.deadline.get().unwrap_or(pleach_executor::now() + here.config.cancel);
                here.deadline.set(Some(deadline));
                scope.cancel_because(Cause::arc("", Why::Other("SIGTERM".to_owned())));
            }
            Signal::CONT => return orphaned(&here, &scope).await,
            _ => {}
        }
    }
}

/// Sends the last message.
async fn tell(here: &Rc<Here>, channel: &Rc<Channel>, outcome: Outcome) -> i32 {
    let ledger = here.books();
    let budget = here.config.limits.error_budget();
    let failed = |e: Error| Message::Failed { error: e.at(&here.id).into_tree().bounded(budget), ledger };
    let last = match (outcome, here.request.get()) {
        (Outcome::Returned(value), _) => Message::Return { value, ledger },
        (Outcome::Failed(e), _) => failed(e),
        (Outcome::Cancelled(_), Some(request)) => Message::CancelAck { request, ledger },
        (Outcome::Cancelled(cause), None) => {
            let text = format!("cancelled, and not by its parent: {cause}");
            failed(Error::of(ErrorKind::Cancelled { cause }, text))
        }
    };
    match say(channel, &last).await {
        Ok(()) => TOLD,
        Err(ChannelError::Encode(e)) => {
            let last = failed(Error::msg(format!("the value does not fit a message: {e}")));
            if say(channel, &last).await.is_ok() { TOLD } else { UNTOLD }
        }
        Err(_) => UNTOLD,
    }
}

/// Sends a message and waits until all of it is in the socket. The scopes are over by now: nobody cancels this. If the
/// parent does not read, the ladder ends the wait; if it is gone, the link does.
async fn say(channel: &Channel, message: &Message) -> Result<(), ChannelError> {
    channel.send(message).await?;
    channel.flush().await
}

/// Panics of user code, kept by a hook and made into errors.
#[derive(Clone, Default)]
pub(crate) struct Caught(LastPanic);

impl Caught {
    /// Replaces the hook, which is inherited from the parent's program, by one that keeps the panic for the parent.
    fn listen() -> Self {
        let last = LastPanic::default();
        let keep = Arc::clone(&last);
        std::mem::forget(std::panic::take_hook());
        std::panic::set_hook(Box::new(move |info| {
            let text = info.payload_as_str().unwrap_or("a payload that is no text").to_owned();
            let place = info.location().map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
            *keep.lock().unwrap_or_else(PoisonError::into_inner) = Some((text, place));
        }));
        Caught(last)
    }

    /// Runs user code; its panic is its error.
    pub(crate) async fn catch<T>(&self, code: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        let mut code = pin!(code);
        poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| code.as_mut().poll(cx))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(r)) => Poll::Ready(r),
            Err(payload) => Poll::Ready(Err(self.panicked(payload))),
        })
        .await
    }

    fn panicked(&self, payload: Box<dyn std::any::Any + Send>) -> Error {
        // A payload's destructor may panic as well.
        std::mem::forget(payload);
        let (text, location) =
            self.0.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap_or_default();
        Error::of(ErrorKind::Panicked { location: Some(location) }, text)
    }
}
