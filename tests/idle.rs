//! Promise: the virtual clock stands still while anything can run, jumps to what is next when nothing can, and idleness is
//! an event that comes before the jump.
//!
//! Rules: `Case n.` refers to the list of executor cases; `conformance.tsv` says where each is tested.

#[path = "support/fault.rs"]
mod fault;
#[path = "support/orders.rs"]
mod orders;

use fault::{Fault, Run, shape};
use futures_util::future::select;
use orders::in_every_order;
use pleach_executor::net::UnixStream;
use pleach_executor::testing::{
    jump, limited, run_limited, run_seeded, run_virtual, set_autojump, set_autojump_after, wait_until_idle,
    wait_until_idle_for,
};
use pleach_executor::{
    CancelScope, Instant, checkpoint, move_on_after, now, run, sleep, sleep_until, stats, yield_now,
};
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::future::{Future, poll_fn};
use std::io::Write;
use std::pin::pin;
use std::sync::mpsc;
use std::time::Duration;

const MS: Duration = Duration::from_millis(1);
const S: Duration = Duration::from_secs(1);

/// Case 226. Without a jump of its own the clock moves by `jump` alone, and by exactly that; what is due already does not wait.
#[test]
fn a_clock_that_may_not_jump_moves_by_hand_only() {
    run_virtual(async {
        set_autojump(false);
        let start = now();
        for _ in 0..100 {
            yield_now().await;
        }
        assert_eq!(now(), start);
        jump(1200 * MS);
        assert_eq!(now() - start, 1200 * MS);
        let fired = stats().timers_fired;
        sleep_until(start).await.unwrap();
        sleep_until(now()).await.unwrap();
        assert_eq!(
            (now() - start, stats().timers_fired),
            (1200 * MS, fired),
            "a moment that has come is not waited for"
        );
    });
}

#[test]
#[should_panic(expected = "use run_virtual")]
fn the_machines_clock_is_not_moved() {
    run(async { jump(S) });
}

/// Somebody at the other end of a socket who is real: the answer comes after the run has nothing left to do.
#[test]
fn what_comes_from_outside_in_time_is_there_before_the_clock_jumps() {
    for (patience, comes) in [(600 * S, true), (Duration::ZERO, false)] {
        run_virtual(async {
            let (ours, mut theirs) = std::os::unix::net::UnixStream::pair().unwrap();
            let ours = UnixStream::from_std(ours).unwrap();
            let (ask, asked) = mpsc::channel::<()>();
            let answers = std::thread::spawn(move || {
                asked.recv().expect("the run lives");
                theirs.write_all(b"!").expect("it is read, or not");
            });
            set_autojump_after(patience);
            let mut ask = Some(ask);
            let start = now();
            let answer = move_on_after(S, async |_| {
                let mut byte = [0];
                let mut read = pin!(ours.read(&mut byte));
                poll_fn(|cx| {
                    let read = read.as_mut().poll(cx);
                    // Asked when nothing but the answer, and the limit, is left to wait for.
                    if let Some(ask) = ask.take_if(|_| comes) {
                        ask.send(()).expect("it is there");
                    }
                    read
                })
                .await
            })
            .await
            .unwrap();
            assert_eq!((answer, now() - start), if comes { (Some(1), Duration::ZERO) } else { (None, S) });
            if let Some(ask) = ask {
                ask.send(()).expect("it waits");
            }
            set_autojump_after(Duration::ZERO);
            answers.join().expect("no panic");
        });
    }
}

#[test]
#[should_panic(expected = "use run_virtual")]
fn the_machines_clock_jumps_after_nothing() {
    run(async { set_autojump_after(S) });
}

#[test]
#[should_panic(expected = "use run_virtual")]
fn the_machines_clock_has_no_jumps_to_forbid() {
    run(async { set_autojump(false) });
}

/// Case 229. Who waits for idleness is woken before time jumps.
#[test]
fn idleness_comes_before_the_jump() {
    in_every_order(async || {
        let start = now();
        let r = Run::nursery(async |n| {
            n.spawn(async { Ok(sleep(S).await?) });
            wait_until_idle().await?;
            assert_eq!(now(), start);
            wait_until_idle_for(999 * MS).await?;
            assert_eq!(now() - start, 999 * MS, "a cushion is virtual time");
            Ok(())
        })
        .await;
        assert_eq!((shape(&r), now() - start), ("ok".into(), S));
    });
}

/// Case 230. Forbidding the jump and allowing it again take effect at once.
#[test]
fn the_jump_is_forbidden_and_allowed_at_once() {
    run_virtual(async {
        let start = now();
        let slept = Cell::new(false);
        let r = Run::nursery(async |n| {
            set_autojump(false);
            n.spawn(async {
                sleep(100_000 * S).await?;
                slept.set(true);
                Ok(())
            });
            for _ in 0..10 {
                wait_until_idle().await?;
                wait_until_idle_for(S).await?;
            }
            assert_eq!((now(), slept.get()), (start, false));
            set_autojump(true);
            Ok(())
        })
        .await;
        assert_eq!((shape(&r), now() - start, slept.get()), ("ok".into(), 100_000 * S, true));
    });
}

/// Case 232. A run under the virtual clock begins with the jump allowed, also after one that has forbidden it.
#[test]
fn a_run_begins_with_the_jump_allowed() {
    for _ in 0..2 {
        run_virtual(async {
            let start = now();
            sleep(10_000 * S).await.unwrap();
            assert_eq!(now() - start, 10_000 * S);
            set_autojump(false);
        });
    }
}

/// Case 233. The waiter for idleness wakes, then the earlier sleeper, then the one that began its sleep after idleness.
#[test]
fn idleness_then_the_nearest_deadline_then_the_next() {
    in_every_order(async || {
        let order = RefCell::new(Vec::new());
        let r = Run::nursery(async |n| {
            n.spawn(async {
                sleep(100 * S).await?;
                order.borrow_mut().push("100 s");
                Ok(())
            });
            n.spawn(async {
                wait_until_idle().await?;
                order.borrow_mut().push("idle");
                sleep(1000 * S).await?;
                order.borrow_mut().push("1000 s");
                Ok(())
            });
            Ok(())
        })
        .await;
        assert_eq!((shape(&r), order.into_inner()), ("ok".into(), vec!["idle", "100 s", "1000 s"]));
    });
}

/// Case 236. Waiting for idleness is cancelled like any wait: before its first poll, and while it waits.
#[test]
fn waiting_for_idleness_can_be_cancelled() {
    in_every_order(async || {
        let r: Result<Option<()>, Fault> = CancelScope::new()
            .run(async |scope| {
                scope.cancel();
                Ok(wait_until_idle().await?)
            })
            .await;
        assert!(matches!(r, Ok(None)));
        let start = now();
        let r: Result<Option<()>, Fault> =
            CancelScope::new().timeout(S).run(async |_| Ok(wait_until_idle_for(2 * S).await?)).await;
        assert!(matches!(r, Ok(None)) && now() - start == S);
    });
}

/// One that was given up is out of line: its cushion moves no clock.
#[test]
fn a_wait_for_idleness_that_was_dropped_leaves_no_trace() {
    run_virtual(async {
        let start = now();
        {
            let (idle, other) = (pin!(wait_until_idle_for(S)), pin!(checkpoint()));
            select(idle, other).await;
        }
        sleep(5 * S).await.unwrap();
        assert_eq!((now() - start, stats().waiting), (5 * S, 0));
        // A cushion of 1 s left behind would have woken this one a second too early.
        wait_until_idle_for(3 * S).await.unwrap();
        assert_eq!(now() - start, 8 * S);
    });
}

/// Case 238. The smallest cushion is first, equal ones together, and the others begin anew.
#[test]
fn the_smallest_cushion_is_first_and_equal_ones_together() {
    in_every_order(async || {
        let (order, start) = (RefCell::new(Vec::new()), now());
        let say = |what: &'static str| order.borrow_mut().push((what, (now() - start).as_millis()));
        let r = Run::nursery(async |n| {
            n.spawn(async {
                say("begins");
                for _ in 0..3 {
                    sleep(10 * MS).await?;
                }
                say("ends");
                Ok(())
            });
            for (cushion, name) in [(0, "0"), (20, "20"), (20, "20"), (30, "30")] {
                n.spawn(async move {
                    wait_until_idle_for(cushion * MS).await?;
                    say(name);
                    Ok(())
                });
            }
            Ok(())
        })
        .await;
        assert_eq!(shape(&r), "ok");
        let expected = vec![("begins", 0), ("0", 0), ("ends", 30), ("20", 50), ("20", 50), ("30", 80)];
        assert_eq!(order.into_inner(), expected);
    });
}

#[test]
fn a_cushion_under_the_machines_clock_is_real_time_without_a_step() {
    run(async {
        let start = now();
        wait_until_idle_for(30 * MS).await.unwrap();
        assert!(now() - start >= 30 * MS);
        let r = Run::nursery(async |n| {
            n.spawn(async {
                for _ in 0..3 {
                    sleep(20 * MS).await?;
                }
                Ok(())
            });
            let (start, fired) = (now(), stats().timers_fired);
            wait_until_idle_for(40 * MS).await?;
            assert!(
                now() - start >= 100 * MS && stats().timers_fired >= fired + 3,
                "each step begins it anew"
            );
            Ok(())
        })
        .await;
        assert_eq!(shape(&r), "ok");
    });
}

/// What the children of one nursery do in which order, each with two steps.
async fn children_in_order() -> Vec<(usize, u32)> {
    let trace = RefCell::new(Vec::new());
    let r = Run::nursery(async |n| {
        for child in 0..6 {
            let trace = &trace;
            n.spawn(async move {
                for step in 0..2 {
                    trace.borrow_mut().push((child, step));
                    yield_now().await;
                }
                Ok(())
            });
        }
        Ok(())
    })
    .await;
    assert_eq!(shape(&r), "ok");
    trace.into_inner()
}

/// Case 13. The seed also decides in which order the children that borrow take their steps, and every order can come.
#[test]
fn a_seed_permutes_the_children_of_a_nursery() {
    let mut first_steps = BTreeSet::new();
    for seed in 1..=40 {
        let trace = run_seeded(seed, children_in_order());
        assert_eq!(run_seeded(seed, children_in_order()), trace, "seed {seed}");
        let first: Vec<_> = trace.iter().filter(|(_, step)| *step == 0).map(|(child, _)| *child).collect();
        assert_eq!(first.iter().collect::<BTreeSet<_>>().len(), 6, "each has its step");
        first_steps.insert(first);
    }
    assert!(first_steps.len() > 30, "40 seeds gave {} orders", first_steps.len());
    let ordinary = run_virtual(children_in_order());
    assert_eq!(ordinary[..6], [(0, 0), (1, 0), (2, 0), (3, 0), (4, 0), (5, 0)]);
}

#[test]
fn a_limit_that_is_kept_gives_the_value_and_costs_no_time() {
    assert_eq!(run_limited(S, async { 3 }), 3);
    run_virtual(async {
        let start = now();
        limited(S, sleep(999 * MS)).await.unwrap();
        assert_eq!(now() - start, 999 * MS);
    });
}

#[test]
fn a_limit_that_passes_says_who_is_there() {
    let failed = std::panic::catch_unwind(|| {
        run_virtual(limited(
            S,
            Run::nursery(async |n| {
                n.spawn(async { Ok(sleep_until(Instant::MAX).await?) });
                Ok(())
            }),
        ))
    });
    let payload = failed.expect_err("the limit passes");
    let text = payload.downcast_ref::<String>().expect("a message");
    assert!(text.contains("takes longer than 1s") && text.contains("idle.rs"), "{text}");
    assert_eq!(text.matches("nursery ").count(), 1, "{text}");
}
