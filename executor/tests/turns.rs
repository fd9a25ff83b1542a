//! The loop looks outside at most every 64 polls, however deep in nurseries they happen; and the way down is bounded.

use pleach_executor::net::UnixStream;
use pleach_executor::{Cancelled, checkpoint, now, nursery, run, sleep_until, stats};
use std::cell::Cell;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::time::Duration;

/// Polls of one look outside, those that only pass through nurseries on the way to them, and a few of the tasks that are
/// woken by it before they can say so.
const BOUND: u64 = 64 + 8;

/// Spins in `width` children below `depth` nurseries until `done` says so.
async fn spin(depth: u32, width: u32, done: &Cell<bool>) -> Result<(), Cancelled> {
    nursery(async |n| {
        if depth > 0 {
            n.spawn(Box::pin(spin(depth - 1, width, done)));
            return Ok(());
        }
        for _ in 0..width {
            n.spawn(async {
                while !done.get() {
                    checkpoint().await?;
                }
                Ok(())
            });
        }
        Ok(())
    })
    .await
}

fn a_due_deadline_is_served(depth: u32, width: u32) {
    let (due_at, served_at, done) = (Cell::new(0), Cell::new(0), Cell::new(false));
    let at = now() + Duration::from_millis(20);
    let r: Result<(), Cancelled> = run(nursery(async |n| {
        n.spawn(async {
            sleep_until(at).await?;
            served_at.set(stats().polls);
            done.set(true);
            Ok(())
        });
        n.spawn(spin(depth, width, &done));
        // The watch: when was the deadline first seen to be due?
        n.spawn(async {
            while !done.get() {
                if due_at.get() == 0 && now() >= at {
                    due_at.set(stats().polls);
                }
                checkpoint().await?;
            }
            Ok(())
        });
        Ok(())
    }));
    r.unwrap();
    // The sleeper may be served before the watch has looked: then it was served at once.
    if due_at.get() != 0 {
        let late = served_at.get().saturating_sub(due_at.get());
        // One more batch may lie in between: the sleeper is woken by the look, and polled in the batch after it.
        assert!(late <= 2 * BOUND + u64::from(width), "served {late} polls after it was due");
    }
}

#[test]
fn a_due_deadline_is_served_beside_one_spinning_task() {
    a_due_deadline_is_served(0, 1);
}

#[test]
fn a_due_deadline_is_served_beside_a_thousand_spinning_children_of_a_deep_nursery() {
    a_due_deadline_is_served(8, 1000);
}

#[test]
fn the_loop_looks_outside_every_64_polls_while_a_thousand_children_spin() {
    let done = Cell::new(false);
    let r: Result<(), Cancelled> = run(nursery(async |n| {
        n.spawn(spin(3, 1000, &done));
        checkpoint().await?;
        let before = stats();
        for _ in 0..500 {
            checkpoint().await?;
        }
        let after = stats();
        done.set(true);
        let (polls, turns) = (after.polls - before.polls, after.turns - before.turns);
        assert!(polls > 10_000, "the children did spin: {polls}");
        assert!(polls <= turns * BOUND, "{polls} polls in {turns} looks outside");
        Ok(())
    }));
    r.unwrap();
}

#[test]
fn a_leaf_deep_down_gets_as_many_steps_between_two_looks_as_others() {
    let (done, steps) = (Cell::new(false), Cell::new(0));
    let r: Result<(), Cancelled> = run(async {
        let before = stats().turns;
        let leaf = async {
            for _ in 0..10_000 {
                steps.set(steps.get() + 1);
                checkpoint().await?;
            }
            done.set(true);
            Ok(())
        };
        below(64, Box::pin(leaf)).await?;
        let turns = stats().turns - before;
        // 64 levels are passed for the price of 8 polls; what is left of 64 are steps of the leaf.
        assert!(turns <= 10_000 / 50, "{turns} turns for 10 000 steps");
        assert!(turns >= 10_000 / 64, "the loop looked outside in between");
        Ok(())
    });
    r.unwrap();
    assert_eq!((steps.get(), done.get()), (10_000, true));
}

#[test]
fn the_way_down_is_bounded_too() {
    // Each of 200 leaves spins below 32 nurseries of its own: nearly all polls only pass.
    let r: Result<(), Cancelled> = run(async {
        let before = stats();
        nursery(async |n| {
            for _ in 0..200 {
                n.spawn(below(
                    32,
                    Box::pin(async {
                        for _ in 0..20 {
                            checkpoint().await?;
                        }
                        Ok(())
                    }),
                ));
            }
            Ok(())
        })
        .await?;
        let after = stats();
        let (polls, turns) = (after.polls - before.polls, after.turns - before.turns);
        assert!(polls > 200 * 20 * 32, "every step had to go down: {polls}");
        // The last way down may begin when one pass is left.
        assert!(polls <= turns * (64 * 8 + 32), "{polls} polls in {turns} looks outside");
        Ok(())
    });
    r.unwrap();
}

type Leaf<'a> = Pin<Box<dyn Future<Output = Result<(), Cancelled>> + 'a>>;

/// The leaf, below so many nurseries of one child each.
fn below(depth: u32, leaf: Leaf<'_>) -> Leaf<'_> {
    if depth == 0 {
        return leaf;
    }
    Box::pin(nursery(async move |n| {
        n.spawn_boxed(below(depth - 1, leaf));
        Ok(())
    }))
}

#[test]
fn a_ready_descriptor_is_served_beside_a_thousand_spinning_children() {
    let (written_at, read_at, done) = (Cell::new(0), Cell::new(0), Cell::new(false));
    let r: io::Result<()> = run(nursery(async |n| {
        let (a, b) = UnixStream::pair()?;
        let (written_at, read_at, done) = (&written_at, &read_at, &done);
        n.spawn(async move {
            b.read(&mut [0; 1]).await?;
            read_at.set(stats().turns);
            done.set(true);
            Ok(())
        });
        n.spawn(async move { Ok(spin(2, 1000, done).await?) });
        n.spawn(async move {
            for _ in 0..3 {
                checkpoint().await?;
            }
            a.write_all(b"x").await?;
            written_at.set(stats().turns);
            while !done.get() {
                checkpoint().await?;
            }
            Ok(())
        });
        Ok(())
    }));
    r.unwrap();
    // Woken by the next look, polled when the ready ones before it in the queue have had their turn: once round.
    let looks = read_at.get() - written_at.get();
    assert!(looks <= 2 + 1100 / 64 + 1, "read {looks} looks after it was written");
}
