//! A cancelled tree has one deadline. Leaves that heed nothing are killed by what was handed down of it, before anybody
//! above them is out of time; nothing is added up, neither over siblings nor over levels.
//!
//! ```text
//!   root cancels at t0 ─ t0 + D ─► 8 actors ─ t0 + 9/10 D ─► 64 ─ t0 + 81/100 D ─► 512 leaves: SIGKILL at that moment
//!                                     ▲                       ▲                       │
//!                                     └── have time left, answer and end in order ◄───┘
//! ```
//!
//! Rules:
//! * By cause: who was killed, who answered, which timers fired, and that no leaf went too early. A second deadline of D
//!   anywhere below the root would be later than that of the root, which would kill the actor that has it.
//! * The only upper bound in time is a hang guard.

#[path = "support/backend.rs"]
mod backend;

use backend::{at_root, start};
use pleach::{
    Actor, ActorHandle, ActorNursery, Config, Context, Ending, Endpoint, Error, Event, Program, Status,
    actors, actors_with, now, shielded, sleep_forever, stats,
};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

pleach::test_main!(
    program = program;
    leaves_that_heed_nothing_end_by_the_one_deadline_of_a_narrow_tree,
    #[limit(180)]
    leaves_that_heed_nothing_end_by_the_one_deadline_of_a_broad_tree,
);

/// What the shares of the levels are of, in hundredths: the deadline of a child is nine tenths of its parent's.
const SHARES: [u32; 3] = [100, 90, 81];

const GROW: Endpoint<Vec<usize>, ()> = Endpoint::new("grow");

fn program() -> Program {
    Program::new("root")
        .endpoint(GROW, async |context: Context, breadths| grow(context.actor().clone(), breadths).await)
}

fn plant(an: &ActorNursery, breadths: &[usize]) -> ActorHandle<()> {
    let below = breadths.to_vec();
    start(an, "child", GROW, breadths.to_vec(), async move |actor, ()| grow(actor, below).await)
}

/// An actor with children of these numbers below it, level by level. The leaves say that they are up, and heed nothing.
async fn grow(actor: Actor, breadths: Vec<usize>) -> Result<(), Error> {
    let Some((&here, below)) = breadths.split_first() else {
        return shielded::<(), Error>(async |_| {
            actor.note("up");
            sleep_forever().await?;
            Ok(())
        })
        .await;
    };
    actors(async |an| {
        for _ in 0..here {
            let _running = plant(an, below);
        }
        Ok(())
    })
    .await
}

/// Which of the levels below the root an actor is on, from 0.
fn level(path: &str) -> usize {
    path.matches('/').count() - 1
}

/// What the root hears when it has cancelled.
#[derive(Default)]
struct Heard {
    up: usize,
    /// Level, how the process ended, how the actor ended, and when the root heard of it, in the order in which it did.
    ended: Vec<(usize, Status, Ending, pleach::Instant)>,
}

/// Grows the tree, cancels it when all leaves are up, and looks at how it went.
fn falls_by_one_deadline(breadths: [usize; 3], limit: Duration) {
    let counts: Vec<usize> = breadths
        .iter()
        .scan(1, |all, breadth| {
            *all *= breadth;
            Some(*all)
        })
        .collect();
    let leaves = counts[2];
    let heard: Rc<RefCell<Heard>> = Rc::default();
    let (cancelled_at, fired, books) = at_root(program, async || {
        let all_up = Rc::new(pleach::sync::Event::new());
        let (hears, signal) = (Rc::clone(&heard), Rc::clone(&all_up));
        let _watching = Actor::current().observe(move |event| {
            let mut heard = hears.borrow_mut();
            match event {
                Event::Note { .. } => {
                    heard.up += 1;
                    if heard.up == leaves {
                        signal.set();
                    }
                }
                Event::Ended { actor, status, ending, .. } => {
                    heard.ended.push((level(actor.path()), *status, ending.clone(), now()));
                }
                _ => {}
            }
        });
        // Growing has all the time in the world.
        let config = Config::default().boot(Duration::from_secs(600)).cancel(limit);
        let cancelled: Result<_, Error> = actors_with(config, async |an| {
            for _ in 0..breadths[0] {
                let _running = plant(an, &breadths[1..]);
            }
            all_up.wait().await?;
            let before = (now(), stats().timers_fired);
            an.cancel();
            Ok(before)
        })
        .await;
        let (cancelled_at, fired_before) = cancelled.expect("a cancel is no failure");
        (cancelled_at, stats().timers_fired - fired_before, Actor::current().books())
    });
    let ended = heard.take().ended;
    for (at, status, ending, when) in &ended {
        assert!(matches!(ending, Ending::Cancelled(_)), "level {at}: {ending}");
        if *at < 2 {
            // Its own deadline had not come when its children were killed: it was there to say so.
            assert_eq!(*status, Status::Exited(0), "level {at} answers and ends in order");
        } else {
            assert_eq!(*status, Status::Signaled { signal: 9, core: false });
            assert!(*when >= cancelled_at + limit * SHARES[2] / 100, "no leaf goes before its share is over");
        }
    }
    for (at, count) in counts.iter().enumerate() {
        assert_eq!(ended.iter().filter(|e| e.0 == at).count(), *count, "everybody on level {at} is heard of");
    }
    // SIGTERM, at 60 % of each one's time, tells them nothing new; SIGKILL is for the leaves alone.
    let everybody = u32::try_from(counts.iter().sum::<usize>()).expect("a small tree");
    let killed = u32::try_from(leaves).expect("a small tree");
    assert_eq!((books.started, books.reaped), (everybody, everybody));
    assert_eq!((books.terminated, books.killed), (everybody, killed));
    assert_eq!(
        fired, breadths[0] as u64,
        "one timer for each child of the root: no deadline of the root's came due"
    );
}

/// Case S68. Case S229.
fn leaves_that_heed_nothing_end_by_the_one_deadline_of_a_narrow_tree() {
    // A level has a tenth of what is left to hear of the one below: more than a crowded machine takes to run it.
    falls_by_one_deadline([2, 2, 8], Duration::from_secs(20));
}

fn leaves_that_heed_nothing_end_by_the_one_deadline_of_a_broad_tree() {
    falls_by_one_deadline([8, 8, 8], Duration::from_secs(30));
}
