//! Whoever kills an actor leaves nobody behind: its children end, whatever they are doing and whatever else is done to
//! them, with nothing but their ties to the parent.

use pleach::test_main::{adopt_strays, expect_strays_gone};
use pleach::{
    Actor, Config, Error, Event, Fault, Start, Step, actors, actors_with, run, shielded, sleep_forever,
};
use pleach_spawn::{Pid, Signal, signal_descendant};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

pleach::test_main!(
    #[limit(120)]
    orphans_end_whatever_they_do_and_whatever_they_are_sent,
    #[limit(120)]
    orphans_in_boot_end_at_every_step,
    #[limit(120)]
    a_growing_tree_loses_its_root_at_any_moment,
);

const GUARD: Duration = Duration::from_secs(30);

/// What an orphan is doing when its parent dies.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Doing {
    Waiting,
    /// In a loop that never yields.
    Spinning,
    /// Under a shield: it heeds no cancel.
    Deaf,
    /// Stopped by SIGSTOP from outside.
    Stopped,
}

async fn orphan(actor: Actor, doing: Doing) -> Result<(), Error> {
    actor.note("up");
    match doing {
        Doing::Waiting | Doing::Stopped => {
            sleep_forever().await?;
        }
        Doing::Spinning => loop {
            std::hint::spin_loop();
        },
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

fn pid(n: u32) -> Pid {
    Pid::from_raw(i32::try_from(n).expect("a process id"))
}

/// A middle actor with one child that does this; the middle is killed, and then the orphan is sent that.
fn bereave(doing: Doing, sent: Option<Signal>) {
    let started: Rc<RefCell<Vec<u32>>> = Rc::default();
    let r: Result<(), Error> = run(async {
        let up = Rc::new(pleach::sync::Event::new());
        let (heard, signal) = (Rc::clone(&started), Rc::clone(&up));
        let _watching = Actor::current().observe(move |event| match event {
            Event::Started { actor, .. } => heard.borrow_mut().push(actor.pid()),
            Event::Note { .. } => signal.set(),
            _ => {}
        });
        actors(async |an| {
            let _running = an.fork("middle", (), async move |_, ()| {
                actors(async |an| {
                    an.fork("orphan", (), async move |actor, ()| orphan(actor, doing).await).result().await
                })
                .await
            });
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
        .await
    });
    r.expect_err("the middle was killed");
    let gone = expect_strays_gone(GUARD).unwrap_or_else(|e| panic!("{doing:?}, sent {sent:?}: {e}"));
    assert_eq!(gone.len(), 1, "{doing:?}, sent {sent:?}: the orphan came to us, and nobody else");
}

fn orphans_end_whatever_they_do_and_whatever_they_are_sent() {
    adopt_strays().unwrap();
    for doing in [Doing::Waiting, Doing::Spinning, Doing::Deaf, Doing::Stopped] {
        for sent in [None, Some(Signal::INT), Some(Signal::TERM)] {
            bereave(doing, sent);
        }
    }
}

fn orphans_in_boot_end_at_every_step() {
    adopt_strays().unwrap();
    // Not at `Arm`: a process that somebody stops in the few instructions before its first system call has no ties yet. It
    // stays stopped until its root, which it was announced to, ends it (`Program`), or somebody continues it.
    for step in Step::ALL.into_iter().filter(|s| *s > Step::Arm) {
        // The orphan stands still at this step; its parent kills itself when it has been made.
        let r: Result<(), Error> = run(actors(async |an| {
            an.fork("middle", (), async move |_, ()| {
                let me = pid(std::process::id());
                let _watching = Actor::current().observe(move |event| {
                    if matches!(event, Event::Started { .. }) {
                        signal_descendant(me, Signal::KILL).expect("it is me");
                    }
                });
                actors_with(Config::default().boot(Duration::from_secs(600)), async |an| {
                    let start = Start::new("orphan").fault(step, Fault::Stop);
                    an.fork(start, (), async |_, ()| Ok(())).result().await
                })
                .await
            })
            .result()
            .await
        }));
        r.expect_err("the middle has killed itself");
        expect_strays_gone(GUARD).unwrap_or_else(|e| panic!("{step:?}: {e}"));
    }
}

async fn grow(levels: u32) -> Result<(), Error> {
    actors(async |an| {
        for _ in 0..if levels > 0 { 2 } else { 0 } {
            let _running = an.fork("twig", (), async move |_, ()| grow(levels - 1).await);
        }
        sleep_forever().await?;
        Ok(())
    })
    .await
}

fn a_growing_tree_loses_its_root_at_any_moment() {
    adopt_strays().unwrap();
    let runs = std::env::var("PLEACH_RUNS").ok().and_then(|n| n.parse().ok()).unwrap_or(50u32);
    for run_number in 0..runs {
        let r: Result<(), Error> = run(async {
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
            actors(async |an| an.fork("root", (), async |_, ()| grow(3).await).result().await).await
        });
        r.expect_err("the root was killed");
        expect_strays_gone(GUARD).unwrap_or_else(|e| panic!("run {run_number}: {e}"));
    }
}
