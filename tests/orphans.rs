//! Whoever kills an actor leaves nobody behind: its children end, whatever they are doing and whatever else is done to
//! them, with nothing but their ties to the parent.
//!
//! ```text
//!                    ┌─ end of the link ──► cancel, grace, exit ─┐
//!   parent killed ───┤                                           ├─► the orphan comes to the case, dead
//!                    └─ death signal ─────► handler, alarm ──────┘    ▲
//!                                                                     └── waitid(2): the only word for "gone"
//! ```
//!
//! Rules:
//! * The case is a subreaper, and looks before its root ends: a `Program` would end strays by itself.
//! * Every time in it is a hang guard.

#[path = "support/backend.rs"]
mod backend;
#[path = "support/harness.rs"]
mod harness;
#[path = "support/outside.rs"]
mod outside;

use backend::{SERVERS, alone, at_root_alone, start};
use outside::{hangs, hear_of_no_stops, kill_me, pid, state};
use pleach::test_main::{adopt_strays, expect_strays_gone};
use pleach::{
    Actor, ActorHandle, ActorNursery, Config, Context, Endpoint, Error, Event, Fault, Program, Start, Step,
    actors, actors_with, checkpoint, inventory, shielded, sleep, sleep_forever,
};
use pleach_spawn::{Signal, signal_descendant};
use serde::{Deserialize, Serialize};
use std::cell::{Cell, RefCell};
use std::io::{self, Read, Write};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

pleach::test_main!(
    program = program;
    #[limit(120)]
    orphans_end_whatever_they_do_and_whatever_they_are_sent,
    #[limit(120)]
    orphans_end_although_their_code_has_handlers_of_its_own,
    #[limit(120)]
    orphans_in_boot_end_at_every_step,
    an_orphan_finishes_its_clean_up_within_the_grace,
    #[limit(120)]
    a_growing_tree_loses_its_root_at_any_moment,
    #[limit(120)]
    a_growing_tree_of_links_alone_loses_its_root_at_any_moment,
    #[limit(300)]
    no_setting_of_the_harness_changes_the_matrix,
);

const GUARD: Duration = Duration::from_secs(30);
/// A grace that is over within a test.
const SHORT: Duration = Duration::from_millis(200);

const MIDDLE: Endpoint<(Doing, bool), ()> = Endpoint::new("middle");
const ORPHAN: Endpoint<(Doing, bool), ()> = Endpoint::new("orphan");
const LEAVES_IN_BOOT: Endpoint<InBoot, ()> = Endpoint::new("leaves_in_boot");
const NOTHING: Endpoint<(), ()> = Endpoint::new("nothing");
const ABOVE_CLEAN_UP: Endpoint<(), ()> = Endpoint::new("above_clean_up");
const CLEANS_UP: Endpoint<(), ()> = Endpoint::new("cleans_up");
const GROW: Endpoint<(u32, Ties), ()> = Endpoint::new("grow");

fn program() -> Program {
    Program::new("root")
        .endpoint(MIDDLE, async |context: Context, (doing, handlers)| {
            middle(context.actor().clone(), doing, handlers).await
        })
        .endpoint(ORPHAN, async |context: Context, (doing, handlers)| {
            orphan(context.actor().clone(), doing, handlers).await
        })
        .endpoint(LEAVES_IN_BOOT, async |_, how| leaves_in_boot(how).await)
        .endpoint(ABOVE_CLEAN_UP, async |context: Context, ()| above_clean_up(context.actor().clone()).await)
        .endpoint(CLEANS_UP, async |context: Context, ()| cleans_up(context.actor().clone()).await)
        .endpoint(NOTHING, async |_, ()| Ok(()))
        .endpoint(GROW, async |_, (levels, ties)| grow(levels, ties).await)
}

/// What an orphan is doing when its parent dies.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
enum Doing {
    Waiting,
    /// In the middle of sending, all the time, to a parent that does not read.
    Sending,
    /// In a loop that never yields.
    Spinning,
    /// In a system call that never returns.
    Blocked,
    /// Under a shield: it heeds no cancel.
    Deaf,
    /// Stopped by SIGSTOP from outside.
    Stopped,
}

const ALL: [Doing; 6] =
    [Doing::Waiting, Doing::Sending, Doing::Spinning, Doing::Blocked, Doing::Deaf, Doing::Stopped];

async fn orphan(actor: Actor, doing: Doing, handlers: bool) -> Result<(), Error> {
    if handlers {
        install_handlers()?;
    }
    actor.note("up");
    match doing {
        Doing::Waiting | Doing::Stopped => {
            sleep_forever().await?;
        }
        Doing::Sending => loop {
            actor.note("more of the same, and more of the same, and more of the same");
            checkpoint().await?;
        },
        Doing::Spinning => loop {
            std::hint::spin_loop();
        },
        Doing::Blocked => {
            let (mut silent, _open) = io::pipe()?;
            let _never = silent.read(&mut [0]);
        }
        Doing::Deaf => {
            shielded::<(), Error>(async |_| {
                sleep_forever().await?;
                Ok(())
            })
            .await?;
        }
    }
    Ok(())
}

/// What a program's own code does about the signals that end a process or wake it up.
fn install_handlers() -> Result<(), Error> {
    let signals = [Signal::TERM, Signal::INT, Signal::HUP, Signal::ALRM, Signal::CONT];
    let before = inventory::signal_state()?.caught;
    for signal in signals {
        let came = Arc::new(AtomicBool::new(false));
        signal_hook::flag::register(signal.as_raw(), Arc::clone(&came))?;
        // Those that the library caught before still go to it as well: raising them here would mean something.
        if before & (1 << (signal.as_raw() - 1)) == 0 {
            signal_hook::low_level::raise(signal.as_raw())?;
            assert!(came.load(Ordering::SeqCst), "{signal} comes to the program's own handler");
        }
    }
    assert_eq!(inventory::thread_count()?, 1);
    Ok(())
}

/// Has one child, says so when that is up, and sees nothing any more: neither that its child was stopped nor what it was
/// sent.
async fn middle(middle: Actor, doing: Doing, handlers: bool) -> Result<(), Error> {
    actors::<()>(async |an| {
        let up = Rc::new(pleach::sync::Event::new());
        let signal = Rc::clone(&up);
        let _watching = middle.observe(move |event| {
            if matches!(event, Event::Note { .. }) {
                signal.set();
            }
        });
        let code = async move |actor, ()| orphan(actor, doing, handlers).await;
        let _running = start(an, "orphan", ORPHAN, (doing, handlers), code);
        up.wait().await?;
        middle.note("middle");
        loop {
            std::hint::spin_loop();
        }
    })
    .await
}

/// A middle actor with one child that does this; the middle is killed, and then the orphan is sent that.
fn bereave(doing: Doing, handlers: bool, sent: Option<Signal>) {
    let what = format!("{doing:?}, handlers of its own: {handlers}, sent {sent:?}");
    let ((), r, gone) = at_root_alone(program, async || {
        let started: Rc<RefCell<Vec<u32>>> = Rc::default();
        let up = Rc::new(pleach::sync::Event::new());
        let (heard, signal) = (Rc::clone(&started), Rc::clone(&up));
        let _watching = Actor::current().observe(move |event| match event {
            Event::Started { actor, .. } => heard.borrow_mut().push(actor.pid()),
            Event::Note { text, .. } if text == "middle" => signal.set(),
            _ => {}
        });
        let r: Result<(), Error> = actors_with(Config::default().orphan_grace(SHORT), async |an| {
            let code = async move |actor, ()| middle(actor, doing, handlers).await;
            let _running = start(an, "middle", MIDDLE, (doing, handlers), code);
            up.wait().await?;
            let (middle, below) = (started.borrow()[0], started.borrow()[1]);
            if doing == Doing::Stopped {
                signal_descendant(pid(below), Signal::STOP)?;
            }
            signal_descendant(pid(middle), Signal::KILL)?;
            if let Some(sent) = sent {
                // It may be gone already.
                let _ = signal_descendant(pid(below), sent);
            }
            Ok(())
        })
        .await;
        (alone().await, r, expect_strays_gone(GUARD))
    });
    r.expect_err("the middle was killed");
    let gone = gone.unwrap_or_else(|e| panic!("{what}: {e}"));
    // The orphan, and the fork servers of those that were killed: the middle always, the orphan if nothing else ends it.
    assert!((1 + SERVERS..=1 + 2 * SERVERS).contains(&gone.len()), "{what}: {gone:?}");
}

fn orphans_end_whatever_they_do_and_whatever_they_are_sent() {
    adopt_strays().unwrap();
    for doing in ALL {
        for sent in [None, Some(Signal::INT), Some(Signal::TERM)] {
            bereave(doing, false, sent);
        }
    }
}

fn orphans_end_although_their_code_has_handlers_of_its_own() {
    adopt_strays().unwrap();
    for doing in ALL {
        for sent in [None, Some(Signal::TERM), Some(Signal::ALRM)] {
            bereave(doing, true, sent);
        }
    }
}

/// What becomes of a child in its boot before its parent dies.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct InBoot {
    phase: u8,
    /// It is stopped there, or else it hangs there and runs.
    stopped: bool,
    /// A signal that it gets there.
    sent: Option<i32>,
}

/// Has a child that goes no further in its boot, and kills itself when it is there.
///
/// It does not hear of a stop: it would continue the child.
async fn leaves_in_boot(how: InBoot) -> Result<(), Error> {
    hear_of_no_stops();
    let below = Rc::new(Cell::new(0));
    let heard = Rc::clone(&below);
    let _watching = Actor::current().observe(move |event| {
        if let Event::Started { actor, .. } = event {
            heard.set(actor.pid());
        }
    });
    actors(async |an| {
        let step = Step::from_phase(how.phase).expect("a step's own number");
        let fault = if how.stopped { Fault::Stop } else { Fault::Hang };
        let orphan = Start::new("orphan").fault(step, fault);
        let _running = start(an, orphan, NOTHING, (), async |_, ()| Ok(()));
        let there = |pid| if how.stopped { state(pid) == 'T' } else { hangs(pid) };
        while below.get() == 0 || !there(pid(below.get())) {
            checkpoint().await?;
        }
        if let Some(signal) = how.sent {
            signal_descendant(pid(below.get()), Signal::from_raw(signal))?;
        }
        kill_me();
        Ok(())
    })
    .await
}

fn orphans_in_boot_end_at_every_step() {
    adopt_strays().unwrap();
    // Not at `Arm`: a process that somebody stops before its first own system call has no ties yet. It stays stopped until
    // its root, which it was announced to, ends it (`Program`), or somebody continues it.
    for step in Step::ALL.into_iter().filter(|s| *s > Step::Arm) {
        for stopped in [true, false] {
            for sent in [None, Some(Signal::INT), Some(Signal::TERM)] {
                let how = InBoot { phase: step.phase(), stopped, sent: sent.map(Signal::as_raw) };
                let ((), r, gone) = at_root_alone(program, async || {
                    let config = Config::default().boot(Duration::from_secs(600));
                    let r: Result<(), Error> =
                        actors_with(config.handshake(Duration::from_secs(600)), async |an| {
                            start(an, "middle", LEAVES_IN_BOOT, how, async move |_, ()| {
                                leaves_in_boot(how).await
                            })
                            .await
                        })
                        .await;
                    (alone().await, r, expect_strays_gone(GUARD))
                });
                r.expect_err("the middle has killed itself");
                let gone = gone.unwrap_or_else(|e| panic!("{how:?}: {e}"));
                // The middle's fork server, and the orphan's from when it has one.
                let servers = SERVERS * (1 + usize::from(step >= Step::Enter));
                assert_eq!(gone.len(), 1 + servers, "{how:?}: the orphan came to us");
            }
        }
    }
}

/// Says that it has begun, waits, and when it is cancelled takes its time to say that it is done.
async fn cleans_up(actor: Actor) -> Result<(), Error> {
    let mut out = std::fs::File::from(actor.take_given().remove(0));
    actor.note("up");
    let waited = sleep_forever().await;
    shielded::<(), Error>(async |_| {
        sleep(Duration::from_millis(50)).await?;
        out.write_all(b"clean")?;
        Ok(())
    })
    .await?;
    match waited? {}
}

/// Kills itself when the actor below it is up.
async fn above_clean_up(actor: Actor) -> Result<(), Error> {
    let out = actor.take_given().remove(0);
    let _watching = actor.observe(|event| {
        if matches!(event, Event::Note { .. }) {
            kill_me();
        }
    });
    actors(async |an| {
        let how = Start::new("cleans").give(out);
        start(an, how, CLEANS_UP, (), async |actor: Actor, ()| cleans_up(actor).await).await
    })
    .await
}

fn an_orphan_finishes_its_clean_up_within_the_grace() {
    adopt_strays().unwrap();
    let (mut reader, writer) = io::pipe().unwrap();
    let ((), r, gone) = at_root_alone(program, async || {
        // A long grace: it is no measure of this machine.
        let config = Config::default().orphan_grace(Duration::from_secs(30));
        let r: Result<(), Error> = actors_with(config, async |an| {
            let how = Start::new("middle").give(writer);
            start(an, how, ABOVE_CLEAN_UP, (), async |actor: Actor, ()| above_clean_up(actor).await).await
        })
        .await;
        (alone().await, r, expect_strays_gone(GUARD))
    });
    r.expect_err("the middle has killed itself");
    assert_eq!(gone.expect("it ends").len(), 1 + SERVERS);
    let mut said = String::new();
    reader.read_to_string(&mut said).unwrap();
    assert_eq!(said, "clean");
}

/// Which ties an actor has.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
enum Ties {
    Both,
    LinkAlone,
}

/// An actor below which others grow, so many levels of them.
fn plant(an: &ActorNursery, levels: u32, ties: Ties) -> ActorHandle<()> {
    let how = Start::new("twig");
    let how = if ties == Ties::LinkAlone { how.without_death_signal() } else { how };
    start(an, how, GROW, (levels, ties), async move |_, ()| grow(levels, ties).await)
}

async fn grow(levels: u32, ties: Ties) -> Result<(), Error> {
    actors(async |an| {
        for _ in 0..if levels > 0 { 2 } else { 0 } {
            let _running = plant(an, levels - 1, ties);
        }
        sleep_forever().await?;
        Ok(())
    })
    .await
}

fn lose_the_root_at_any_moment(ties: Ties) {
    adopt_strays().unwrap();
    let runs = std::env::var("PLEACH_RUNS").ok().and_then(|n| n.parse().ok()).unwrap_or(50u32);
    for run_number in 0..runs {
        let ((), r, gone) = at_root_alone(program, async || {
            let root = Rc::new(RefCell::new((0, 0)));
            let seen = Rc::clone(&root);
            // The k-th process that is heard of is the last that the root makes known.
            let k = run_number % 15 + 1;
            let _watching = Actor::current().observe(move |event| {
                if let Event::Started { actor, .. } = event {
                    let mut seen = seen.borrow_mut();
                    if seen.0 == 0 {
                        seen.1 = actor.pid();
                    }
                    seen.0 += 1;
                    if seen.0 == k {
                        signal_descendant(pid(seen.1), Signal::KILL).expect("it lives");
                    }
                }
            });
            let r: Result<(), Error> = actors(async |an| plant(an, 3, ties).await).await;
            (alone().await, r, expect_strays_gone(GUARD))
        });
        r.expect_err("the root was killed");
        gone.unwrap_or_else(|e| panic!("run {run_number}, {ties:?}: {e}"));
    }
}

fn a_growing_tree_loses_its_root_at_any_moment() {
    lose_the_root_at_any_moment(Ties::Both);
}

fn a_growing_tree_of_links_alone_loses_its_root_at_any_moment() {
    lose_the_root_at_any_moment(Ties::LinkAlone);
}

fn no_setting_of_the_harness_changes_the_matrix() {
    harness::no_setting_changes(&[
        "orphans_end_whatever_they_do_and_whatever_they_are_sent",
        "orphans_in_boot_end_at_every_step",
    ]);
}
