//! Each of the two ties of an actor to its parent is enough by itself; and what becomes of one that heeds no signal.
//!
//! ```text
//!                    ┌─ end of the link ──► cancel, grace, exit      cut by `EverySocket`
//!   parent killed ───┤
//!                    └─ death signal ─────► handler, alarm           cut by `Start::without_death_signal`, held off by
//!                                                                    code that blocks every signal
//! ```
//!
//! Rules:
//! * The case is a subreaper, and looks before its root ends: a `Program` would end strays by itself.
//! * Every time in it is a hang guard, and the graces are longer than the guard wherever an orphan is to end in order.

#[path = "support/backend.rs"]
mod backend;
#[path = "support/outside.rs"]
mod outside;

use backend::{at_root, start};
use nix::sys::signal::SigSet;
use outside::{is_held_off, kill_me, pid, state};
use pleach::test_main::adopt_strays;
use pleach::{
    Actor, ActorHandle, ActorNursery, Backend, Config, Context, Endpoint, Error, Event, Grants, Program,
    Start, actors, actors_with, inventory, now, shielded, sleep, sleep_forever,
};
use pleach_executor::net::UnixStream;
use pleach_spawn::{ExitStatus, Pid, Signal, children, reap_stranger, signal_descendant};
use serde::{Deserialize, Serialize};
use std::cell::RefCell;
use std::io::{self, Read, Write};
use std::os::fd::RawFd;
use std::os::unix::net;
use std::rc::Rc;
use std::time::Duration;

pleach::test_main!(
    program = program;
    the_end_of_the_link_alone_ends_three_levels_in_order,
    the_end_of_the_link_alone_ends_three_levels_that_heed_nothing,
    the_death_signal_alone_ends_an_orphan_whose_link_is_held_open,
    without_the_death_signal_a_stopped_orphan_stays_stopped,
    with_both_ties_cut_an_orphan_lives_on,
    an_orphan_that_blocks_every_signal_ends_by_its_link,
    an_orphan_that_blocks_every_signal_and_never_yields_is_ended_by_its_program,
);

const GUARD: Duration = Duration::from_secs(30);
/// A grace that is over within a test.
const SHORT: Duration = Duration::from_millis(200);
/// A grace that is not: whoever ends, ends in order.
const LONG: Duration = Duration::from_secs(600);

const LINKED: Endpoint<(u32, bool), ()> = Endpoint::new("linked");
const HOLD: Endpoint<Ties, ()> = Endpoint::new("hold");
const ECHO: Endpoint<(), ()> = Endpoint::new("echo");
const STOPS_BELOW: Endpoint<(), ()> = Endpoint::new("stops_below");
const WAIT: Endpoint<(), ()> = Endpoint::new("wait");
const MIDDLE: Endpoint<Doing, ()> = Endpoint::new("middle");
const UNHEEDING: Endpoint<Doing, ()> = Endpoint::new("unheeding");

fn program() -> Program {
    Program::new("root")
        .endpoint(LINKED, async |_, (levels, heed)| linked(levels, heed).await)
        .endpoint(HOLD, async |context: Context, ties| hold(context.actor(), ties).await)
        .endpoint(ECHO, async |context: Context, ()| echo(context.actor()).await)
        .endpoint(STOPS_BELOW, async |_, ()| stops_below().await)
        .endpoint(WAIT, async |_, ()| wait().await)
        .endpoint(MIDDLE, async |context: Context, doing| middle(context.actor(), doing).await)
        .endpoint(UNHEEDING, async |context: Context, doing| unheeding(context.actor(), doing).await)
}

/// Which ties an actor has.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
enum Ties {
    Both,
    LinkAlone,
}

fn tied(name: &str, ties: Ties) -> Start {
    let start = Start::new(name);
    if ties == Ties::LinkAlone { start.without_death_signal() } else { start }
}

async fn wait() -> Result<(), Error> {
    sleep_forever().await?;
    Ok(())
}

/// Does this, and then heeds nothing any more.
async fn deaf(first: impl AsyncFnOnce() -> Result<(), Error>) -> Result<(), Error> {
    shielded(async |_| {
        first().await?;
        wait().await
    })
    .await
}

// ---- who is gone, and how

/// The exit status of an actor whose parent was gone when it wanted to send its last message.
const UNTOLD: ExitStatus = ExitStatus::Exited(80);

/// Waits until `enough` of what has ended, and gives it.
async fn gather(enough: impl Fn(&[(Pid, ExitStatus)]) -> bool) -> Vec<(Pid, ExitStatus)> {
    let (mut gone, give_up_at) = (Vec::new(), now() + GUARD);
    loop {
        gone.extend(std::iter::from_fn(reap_stranger));
        if enough(&gone) {
            return gone;
        }
        assert!(now() < give_up_at, "still there: {:?}; gone: {gone:?}", children());
        sleep(Duration::from_millis(1)).await.expect("nobody cancels");
    }
}

async fn gather_all() -> Vec<ExitStatus> {
    gather(|_| inventory::no_children()).await.into_iter().map(|(_, status)| status).collect()
}

// ---- the link alone

fn plant(an: &ActorNursery, levels: u32, heed: bool) -> ActorHandle<()> {
    let how = tied("linked", Ties::LinkAlone);
    start(an, how, LINKED, (levels, heed), async move |_, ()| linked(levels, heed).await)
}

/// Two children of a kind below every actor, which have no tie but the link.
async fn linked(levels: u32, heed: bool) -> Result<(), Error> {
    let below = async || {
        actors(async |an| {
            if levels == 0 {
                an.actor().note("up");
            }
            for _ in 0..if levels > 0 { 2 } else { 0 } {
                let _running = plant(an, levels - 1, heed);
            }
            wait().await
        })
        .await
    };
    if heed { below().await } else { deaf(below).await }
}

/// Grows three levels below a root, kills the root when all leaves are up, and says how those ended that came to us.
fn unlink(heed: bool, grace: Duration) -> Vec<ExitStatus> {
    adopt_strays().unwrap();
    let (r, gone) = at_root(program, async || {
        let config = Config::default().orphan_grace(grace);
        let r: Result<(), Error> = actors_with(config, async |an| {
            let seen = Rc::new(RefCell::new((0, 0)));
            let _watching = an.actor().observe(move |event| {
                let mut seen = seen.borrow_mut();
                match event {
                    Event::Started { actor, .. } if seen.0 == 0 => seen.0 = actor.pid(),
                    Event::Note { .. } => {
                        seen.1 += 1;
                        if seen.1 == 8 {
                            signal_descendant(pid(seen.0), Signal::KILL).expect("it lives");
                        }
                    }
                    _ => {}
                }
            });
            plant(an, 3, heed).await
        })
        .await;
        (r, gather_all().await)
    });
    r.expect_err("the root was killed");
    gone
}

fn the_end_of_the_link_alone_ends_three_levels_in_order() {
    // The two below the root come to us; what is below them is cancelled and reaped by its own parents.
    assert_eq!(unlink(true, LONG), [UNTOLD; 2]);
}

fn the_end_of_the_link_alone_ends_three_levels_that_heed_nothing() {
    // Each leaves when its grace is over, and only that tells the next: all fourteen come to us.
    assert_eq!(unlink(false, SHORT), [UNTOLD; 14]);
}

// ---- the death signal alone, and neither

/// A grant of every socket that the forking process has: its own end of each link to its children among them, the link of
/// the child that is being made included. So none of these links ends as long as that child lives.
struct EverySocket;

impl Grants for EverySocket {
    fn fds(&self, out: &mut Vec<RawFd>) {
        let open = inventory::open_fds().expect("/proc is here");
        out.extend(open.iter().filter(|(_, target)| target.starts_with("socket:")).map(|(fd, _)| *fd));
    }

    fn adopt(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Says back what comes over the socket that it was given.
async fn echo(actor: &Actor) -> Result<(), Error> {
    let theirs = net::UnixStream::from(actor.take_given().remove(0));
    let socket = UnixStream::from_std(theirs)?;
    let mut byte = [0];
    while socket.read(&mut byte).await? > 0 {
        socket.write_all(&byte).await?;
    }
    Ok(())
}

/// A parent of two: one has these ties and echoes; one has none, and holds the links of both open.
async fn hold(actor: &Actor, ties: Ties) -> Result<(), Error> {
    let how = tied("orphan", ties).give(actor.take_given().remove(0));
    actors(async |an| {
        let orphan = start(an, how, ECHO, (), async |actor, ()| echo(&actor).await);
        orphan.ready().await?;
        // A tool, not what is tested: a fork on every backend, because only what is copied can hold numbers of ours.
        let how = tied("holder", Ties::LinkAlone).backend(Backend::Fork);
        let holder = an.fork(how, EverySocket, async |actor, _| {
            actor.note("up");
            wait().await
        });
        holder.await
    })
    .await
}

/// Kills a middle actor that holds links, and looks at the orphan, at the holder, and at our end of the orphan's socket.
fn with_links_held<T>(ties: Ties, look: impl AsyncFnOnce(Pid, Pid, net::UnixStream) -> T) -> T {
    adopt_strays().unwrap();
    let (ours, theirs) = net::UnixStream::pair().unwrap();
    at_root(program, async || {
        let started: Rc<RefCell<Vec<u32>>> = Rc::default();
        let heard = Rc::clone(&started);
        let r: Result<(), Error> = actors_with(Config::default().orphan_grace(LONG), async |an| {
            let _watching = an.actor().observe(move |event| match event {
                Event::Started { actor, .. } => heard.borrow_mut().push(actor.pid()),
                Event::Note { .. } => {
                    signal_descendant(pid(heard.borrow()[0]), Signal::KILL).expect("it lives");
                }
                _ => {}
            });
            let how = Start::new("middle").give(theirs);
            start(an, how, HOLD, ties, async move |actor, ()| hold(&actor, ties).await).await
        })
        .await;
        r.expect_err("the middle was killed");
        let (orphan, holder) = (pid(started.borrow()[1]), pid(started.borrow()[2]));
        look(orphan, holder, ours).await
    })
}

async fn end_holder(holder: Pid) {
    assert_eq!(children().unwrap(), [holder], "it holds the links and is still there");
    signal_descendant(holder, Signal::KILL).unwrap();
    assert_eq!(gather_all().await, [ExitStatus::Signaled { signal: Signal::KILL, core_dumped: false }]);
}

fn the_death_signal_alone_ends_an_orphan_whose_link_is_held_open() {
    with_links_held(Ties::Both, async |orphan, holder, _ours| {
        let gone = gather(|gone| !gone.is_empty()).await;
        // Its link still takes its last message, so it leaves as one that has told.
        assert_eq!(gone, [(orphan, ExitStatus::Exited(0))]);
        end_holder(holder).await;
    });
}

/// The control of what cuts the ties in the cases above.
fn with_both_ties_cut_an_orphan_lives_on() {
    with_links_held(Ties::LinkAlone, async |orphan, holder, mut ours| {
        ours.set_read_timeout(Some(GUARD)).unwrap();
        // The parent is dead and reaped, so what its death does has been done: a link that had ended, or a signal, would
        // be seen in the turn of the loop that answers the first byte, and leave the others without an answer.
        for byte in [1, 2, 3] {
            ours.write_all(&[byte]).unwrap();
            let mut answer = [0];
            ours.read_exact(&mut answer).unwrap();
            assert_eq!(answer, [byte]);
        }
        drop(ours);
        assert_eq!(gather(|gone| !gone.is_empty()).await, [(orphan, ExitStatus::Exited(0))]);
        end_holder(holder).await;
    });
}

/// Stops its child, which has no tie but the link, and kills itself.
async fn stops_below() -> Result<(), Error> {
    actors(async |an| {
        let how = tied("orphan", Ties::LinkAlone);
        let stopped = start(an, how, WAIT, (), async |_, ()| wait().await);
        let below = pid(stopped.ready().await?);
        signal_descendant(below, Signal::STOP)?;
        while state(below) != 'T' {
            std::hint::spin_loop();
        }
        kill_me();
        Ok(())
    })
    .await
}

/// The control of [`Start::without_death_signal`]: SIGCONT would continue it, SIGKILL would end it.
fn without_the_death_signal_a_stopped_orphan_stays_stopped() {
    adopt_strays().unwrap();
    at_root(program, async || {
        let started: Rc<RefCell<Vec<u32>>> = Rc::default();
        let heard = Rc::clone(&started);
        let r: Result<(), Error> = actors_with(Config::default().orphan_grace(LONG), async |an| {
            let _watching = an.actor().observe(move |event| {
                if let Event::Started { actor, .. } = event {
                    heard.borrow_mut().push(actor.pid());
                }
            });
            start(an, "middle", STOPS_BELOW, (), async |_, ()| stops_below().await).await
        })
        .await;
        r.expect_err("the middle was killed");
        let below = pid(started.borrow()[1]);
        // The parent is reaped, and a death signal is sent before that.
        assert_eq!(state(below), 'T');
        assert_eq!(children().unwrap(), [below]);
        signal_descendant(below, Signal::CONT).unwrap();
        assert_eq!(gather_all().await, [UNTOLD], "and the end of its link is there when it goes on");
    });
}

// ---- code that heeds no signal

/// What an orphan is doing that blocks every signal.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
enum Doing {
    Waiting,
    /// Under a shield: it heeds no cancel.
    Deaf,
    /// Stopped by SIGSTOP from outside.
    Stopped,
    /// In a loop that never yields.
    Spinning,
    /// In a system call that never returns.
    Blocked,
}

async fn unheeding(actor: &Actor, doing: Doing) -> Result<(), Error> {
    SigSet::all().thread_block().map_err(io::Error::from)?;
    actor.note("up");
    match doing {
        Doing::Waiting | Doing::Stopped => wait().await,
        Doing::Deaf => deaf(async || Ok(())).await,
        Doing::Spinning => loop {
            std::hint::spin_loop();
        },
        Doing::Blocked => {
            let (mut silent, _open) = io::pipe()?;
            let _never = silent.read(&mut [0]);
            Ok(())
        }
    }
}

/// Has one child that heeds no signal, and kills itself when that is up, or stopped.
async fn middle(middle: &Actor, doing: Doing) -> Result<(), Error> {
    actors(async |an| {
        let up = Rc::new(pleach::sync::Event::new());
        let signal = Rc::clone(&up);
        let _watching = middle.observe(move |event| {
            if matches!(event, Event::Note { .. }) {
                signal.set();
            }
        });
        let code = async move |actor, ()| unheeding(&actor, doing).await;
        let orphan = start(an, "orphan", UNHEEDING, doing, code);
        let below = pid(orphan.ready().await?);
        up.wait().await?;
        if doing == Doing::Stopped {
            signal_descendant(below, Signal::STOP)?;
            while state(below) != 'T' {
                std::hint::spin_loop();
            }
        }
        kill_me();
        Ok(())
    })
    .await
}

async fn bereave(doing: Doing) {
    let r: Result<(), Error> = actors(async |an| {
        start(an, "middle", MIDDLE, doing, async move |actor, ()| middle(&actor, doing).await).await
    })
    .await;
    r.expect_err("the middle has killed itself");
}

fn an_orphan_that_blocks_every_signal_ends_by_its_link() {
    adopt_strays().unwrap();
    for doing in [Doing::Waiting, Doing::Deaf, Doing::Stopped] {
        let gone = at_root(program, async || {
            bereave(doing).await;
            gather_all().await
        });
        assert_eq!(gone, [UNTOLD], "{doing:?}");
    }
}

/// Nothing in the process hears of the parent's death, and Linux has no other word for it that leaves a grace. What is
/// promised is that its program does not end without it.
fn an_orphan_that_blocks_every_signal_and_never_yields_is_ended_by_its_program() {
    adopt_strays().unwrap();
    for doing in [Doing::Spinning, Doing::Blocked] {
        let config = Config::default().orphan_grace(SHORT);
        let r = program().config(config).try_run(async |_| {
            bereave(doing).await;
            let orphans = children()?;
            assert_eq!(orphans.len(), 1, "{doing:?}: it is ours now");
            // The parent is reaped, and its death signal was sent before that.
            assert!(is_held_off(orphans[0], Signal::CONT), "{doing:?}: it was told, and does not listen");
            Ok(())
        });
        r.expect("the code itself has ended well");
        assert!(inventory::no_children(), "{doing:?}");
    }
}
