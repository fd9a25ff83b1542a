//! Promise: a series is done by several workers, each item once, no more of them in flight than allowed, and however it ends,
//! nothing that it began goes on.
//!
//! ```text
//!   case ─► Program { actors { cluster ─► map_unordered } } ─ fail, kill, cancel, drop, stop ─► who has begun, who has ended
//! ```
//!
//! Rules: a call that waits notes when it begins and when it ends; its clean-up needs time, so that whoever does not wait for it is
//! found out. Orders are waited for by notes, never by time.

#[path = "support/backend.rs"]
mod backend;
#[path = "support/by_hand.rs"]
mod by_hand;
#[path = "support/notes.rs"]
mod notes;

use backend::BACKEND;
use by_hand::poll_once;
use notes::Notes;
use pleach::sync::Event as Flag;
use pleach::{
    CancelScope, Cluster, Context, Endpoint, Error, ErrorKind, Failure, Fault, Program, Results, Start, Step,
    actors, check, checkpoint, gather, nursery, shielded, sleep, sleep_forever,
};
use pleach_spawn::{Pid, Signal, signal_descendant};
use serde::{Deserialize, Serialize};
use std::cell::Cell;
use std::io::Read;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::time::Duration;

pleach::test_main!(
    program = program;
    every_item_is_done_once_and_the_number_says_which,
    borrowed_items_of_a_type_of_the_programs_own_are_done,
    no_more_items_are_in_flight_than_allowed,
    a_body_that_takes_nothing_holds_the_series_back,
    an_item_that_fails_ends_the_others_and_the_workers_live,
    a_worker_that_dies_is_the_nurserys_failure,
    a_worker_that_is_killed_by_its_portal_is_gone_for_its_items,
    a_cancel_waits_for_every_call,
    a_dropped_one_stops_what_it_has_begun,
    a_body_that_has_enough_ends_the_rest,
    a_series_that_waits_and_one_that_fails,
    a_body_that_fails_ends_the_rest,
    what_is_given_is_given_to_each,
    a_worker_that_does_not_come_up_leaves_no_cluster,
    a_cluster_ends_as_one_and_its_nursery_goes_on,
    nothing_in_flight_and_no_workers_are_refused_where_they_are_asked_for,
);

/// A type of the program's own, with its own form on the wire.
#[derive(Serialize, Deserialize)]
#[serde(into = "(u64, String)", from = "(u64, String)")]
struct Order {
    number: u64,
    name: String,
}

impl Clone for Order {
    fn clone(&self) -> Self {
        Order { number: self.number, name: self.name.clone() }
    }
}

impl From<Order> for (u64, String) {
    fn from(order: Order) -> Self {
        (order.number, order.name)
    }
}

impl From<(u64, String)> for Order {
    fn from((number, name): (u64, String)) -> Self {
        Order { number, name }
    }
}

/// What an item is to do.
#[derive(Clone, Copy, PartialEq, Serialize, Deserialize)]
enum Do {
    Return,
    Wait,
    Fail,
}

const DOUBLE: Endpoint<u64, u64> = Endpoint::new("double");
const SHOW: Endpoint<Order, String> = Endpoint::new("show");
const ACT: Endpoint<Do, u32> = Endpoint::new("act");
const READ: Endpoint<(), String> = Endpoint::new("read");

fn program() -> Program {
    Program::new("root")
        .endpoint(DOUBLE, async |_, n| {
            // So that results come in another order than their items.
            for _ in 0..n % 5 {
                checkpoint().await?;
            }
            Ok(2 * n)
        })
        .endpoint(SHOW, async |_, order: Order| Ok(format!("{} {}", order.number, order.name)))
        .endpoint(ACT, act)
        .endpoint(READ, async |context: Context, ()| {
            let given = context.actor().take_given();
            let mut text = String::new();
            for fd in given {
                std::fs::File::from(fd).read_to_string(&mut text)?;
            }
            Ok(text)
        })
}

async fn act(context: Context, what: Do) -> Result<u32, Error> {
    match what {
        Do::Return => Ok(std::process::id()),
        Do::Fail => Err(Error::msg("as asked")),
        Do::Wait => {
            context.actor().note("begun");
            let Err(c) = sleep_forever().await;
            shielded(async |_| sleep(Duration::from_millis(20)).await).await?;
            context.actor().note("ended");
            Err(c.into())
        }
    }
}

fn worker() -> Start {
    Start::new("worker").backend(BACKEND).may_spawn(false)
}

/// Runs the case at the root of a program, on every backend.
fn at_root(code: impl AsyncFnOnce() -> Result<(), Error>) {
    backend::at_program(program, code).expect("the case decides");
}

/// The case with a cluster of so many workers, which end with it.
fn with_cluster(workers: usize, code: impl AsyncFnOnce(&Cluster, &Notes) -> Result<(), Error>) {
    at_root(async || {
        let notes = Notes::listen();
        actors(async |an| {
            let cluster = an.cluster(worker(), workers).await?;
            code(&cluster, &notes).await?;
            cluster.end().await
        })
        .await
    });
}

fn open_calls(cluster: &Cluster) -> Vec<usize> {
    cluster.workers().iter().map(|worker| worker.statistics().open_calls).collect()
}

fn kill(pid: u32) {
    let pid = Pid::from_raw(i32::try_from(pid).expect("a process id"));
    signal_descendant(pid, Signal::KILL).expect("it lives");
}

/// What an error is, or all that are in a group of them.
fn kinds(e: &Error) -> Vec<&ErrorKind> {
    if e.members().is_empty() { vec![e.kind()] } else { e.members().iter().map(|e| &e.kind).collect() }
}

/// Takes all results.
async fn all<R>(results: &mut Results<R>) -> Result<Vec<(usize, R)>, Error> {
    let mut all = Vec::new();
    while let Some(result) = results.next().await? {
        all.push(result);
    }
    Ok(all)
}

fn every_item_is_done_once_and_the_number_says_which() {
    with_cluster(3, async |cluster, _| {
        for in_flight in [1, 2, 6, 1000] {
            let mut done = cluster.map_unordered(DOUBLE, in_flight, 0..100, all).await?;
            if in_flight == 1 {
                assert!(done.is_sorted(), "one after the other");
            }
            done.sort_unstable();
            let expected: Vec<_> = (0..100).map(|n| (n, 2 * n as u64)).collect();
            assert_eq!(done, expected);
            assert_eq!(open_calls(cluster), [0, 0, 0]);
        }
        assert_eq!(cluster.map_unordered(DOUBLE, 4, [0; 0], all).await?, []);
        let after_the_end = cluster.map_unordered(DOUBLE, 1, [1], async |results| {
            assert_eq!(results.next().await?, Some((0, 2)));
            assert_eq!((results.next().await?, results.next().await?), (None, None));
            Ok(())
        });
        after_the_end.await
    });
}

/// Case S182.
fn borrowed_items_of_a_type_of_the_programs_own_are_done() {
    with_cluster(2, async |cluster, _| {
        let orders: Vec<Order> = (0..10).map(|number| Order { number, name: "größe".to_owned() }).collect();
        let mut shown = cluster.map_unordered(SHOW, 4, &orders, all).await?;
        shown.sort_unstable();
        for (nth, text) in shown {
            assert_eq!(text, format!("{} {}", orders[nth].number, orders[nth].name));
        }
        Ok(())
    });
}

fn no_more_items_are_in_flight_than_allowed() {
    with_cluster(2, async |cluster, notes| {
        let taken = Cell::new(0);
        let waits = std::iter::repeat(Do::Wait).inspect(|_| taken.set(taken.get() + 1));
        cluster
            .map_unordered(ACT, 5, waits, async |_| {
                notes.until_so_many("begun", 5).await?;
                // Whatever could still go on does so.
                for _ in 0..100 {
                    checkpoint().await?;
                }
                let mut open = open_calls(cluster);
                open.sort_unstable();
                assert_eq!((taken.get(), open), (5, vec![2, 3]), "spread evenly");
                Ok(())
            })
            .await?;
        assert_eq!((notes.count("begun"), notes.count("ended"), taken.get()), (5, 5, 5));
        Ok(())
    });
}

fn a_body_that_takes_nothing_holds_the_series_back() {
    with_cluster(2, async |cluster, _| {
        let taken = Cell::new(0_usize);
        let items = (0..20_u64).inspect(|_| taken.set(taken.get() + 1));
        cluster
            .map_unordered(DOUBLE, 4, items, async |results| {
                for seen in 0..20 {
                    // All that may be done is done, and nothing is asked for.
                    while open_calls(cluster) != [0, 0] || taken.get() < (seen + 4).min(20) {
                        checkpoint().await?;
                    }
                    for _ in 0..50 {
                        checkpoint().await?;
                    }
                    assert_eq!(taken.get(), (seen + 4).min(20));
                    assert!(results.next().await?.is_some());
                }
                Ok(())
            })
            .await
    });
}

fn an_item_that_fails_ends_the_others_and_the_workers_live() {
    with_cluster(2, async |cluster, notes| {
        let mut nth = 0;
        let series = async || {
            nth += 1;
            if nth == 4 {
                notes.until_so_many("begun", 3).await?;
            }
            Ok(Some(if nth == 4 { Do::Fail } else { Do::Wait }))
        };
        let e = cluster.map_series(ACT, 4, series, all).await.expect_err("one fails");
        assert_eq!((notes.count("begun"), notes.count("ended")), (3, 3), "each was waited for");
        assert_eq!(open_calls(cluster), [0, 0]);
        assert_eq!(e.message(), "as asked");
        assert!(e.origin().path.starts_with("root/worker-"), "{e}");
        assert_eq!(e.members().len(), 0, "one error, as itself");
        let pids = cluster.map_unordered(ACT, 2, [Do::Return; 10], all).await?;
        assert!(pids.iter().all(|(_, pid)| cluster.workers().iter().any(|w| w.id().pid() == *pid)));
        Ok(())
    });
}

/// Its calls say that they are over, and the error is there once.
fn a_worker_that_dies_is_the_nurserys_failure() {
    at_root(async || {
        let notes = Notes::listen();
        let r: Result<(), Error> = actors(async |an| {
            let cluster = an.cluster(worker(), 2).await?;
            let mapped = cluster.map_unordered(ACT, 4, [Do::Wait; 4], async |results| {
                notes.until_so_many("begun", 4).await?;
                kill(cluster.workers()[1].id().pid());
                let e = results.next().await.expect_err("nothing comes any more");
                assert!(e.is_cancelled());
                Err(e)
            });
            let e = mapped.await.map(|()| unreachable!()).expect_err("it is over");
            assert!(e.is_cancelled(), "the error is the nursery's: {e}");
            Err(e)
        })
        .await;
        let e = r.expect_err("a worker died");
        assert!(matches!(e.kind(), ErrorKind::Died { .. }), "{e}");
        assert_eq!((e.origin().path.as_str(), e.members().len()), ("root/worker-1", 0));
        assert!(notes.count("ended") >= 2, "those of the other one ended in order");
        Ok(())
    });
}

fn a_worker_that_is_killed_by_its_portal_is_gone_for_its_items() {
    with_cluster(2, async |cluster, notes| {
        let mapped = cluster.map_unordered(ACT, 4, [Do::Wait; 4], async |results| {
            notes.until_so_many("begun", 4).await?;
            cluster.workers()[0].kill();
            results.next().await.map(|_| ())
        });
        let e = mapped.await.expect_err("one is gone");
        // Both of its calls were there, and hear of it at once or while they are being cancelled.
        assert!(kinds(&e).iter().all(|kind| **kind == ErrorKind::Gone), "{e}");
        assert_eq!(notes.count("ended"), 2, "those of the other one were waited for");
        assert_eq!(cluster.workers()[1].call(DOUBLE, 4).await?, 8, "it lives");
        Ok(())
    });
}

fn a_cancel_waits_for_every_call() {
    with_cluster(2, async |cluster, notes| {
        let scope = CancelScope::new();
        let handle = scope.handle();
        let mapped = scope.run(async |_| {
            cluster
                .map_unordered(ACT, 6, std::iter::repeat(Do::Wait), async |results| {
                    notes.until_so_many("begun", 6).await?;
                    handle.cancel();
                    results.next().await.map(drop)
                })
                .await
        });
        assert!(mapped.await?.is_none(), "cancelled");
        check()?;
        assert_eq!((notes.count("ended"), open_calls(cluster)), (6, vec![0, 0]));
        Ok(())
    });
}

/// At whatever moment that is.
fn a_dropped_one_stops_what_it_has_begun() {
    with_cluster(2, async |cluster, notes| {
        for polls in 0..12 {
            let mut mapped = Box::pin(cluster.map_unordered(ACT, 4, [Do::Wait; 6], all));
            for _ in 0..polls {
                assert!(poll_once(mapped.as_mut()).await.is_pending(), "they wait");
                checkpoint().await?;
            }
            drop(mapped);
            assert_eq!(cluster.workers()[0].call(DOUBLE, 1).await?, 2);
            while open_calls(cluster) != [0, 0] {
                sleep(Duration::from_millis(1)).await?;
            }
            assert_eq!(notes.count("begun"), notes.count("ended"), "after {polls} polls");
        }
        assert!(notes.count("begun") > 0, "some were under way");
        Ok(())
    });
}

fn a_body_that_has_enough_ends_the_rest() {
    with_cluster(2, async |cluster, notes| {
        let items = [Do::Wait, Do::Wait, Do::Return, Do::Wait, Do::Wait, Do::Wait];
        let first = cluster.map_unordered(ACT, 6, items, async |results| {
            notes.until_so_many("begun", 5).await?;
            results.next().await
        });
        assert_eq!(first.await?.map(|(nth, _)| nth), Some(2), "what was first to be ready");
        assert_eq!((notes.count("ended"), open_calls(cluster)), (5, vec![0, 0]));
        Ok(())
    });
}

fn a_series_that_waits_and_one_that_fails() {
    with_cluster(2, async |cluster, notes| {
        let go_on = Flag::new();
        let mut nth = 0;
        let series = async || {
            nth += 1;
            if nth == 2 {
                go_on.wait().await?;
            }
            Ok((nth < 4).then_some(nth))
        };
        let sum = cluster.map_series(DOUBLE, 2, series, async |results| {
            let (_, first) = results.next().await?.expect("one is there");
            go_on.set();
            Ok(first + all(results).await?.iter().map(|(_, n)| n).sum::<u64>())
        });
        assert_eq!(sum.await?, 2 + 4 + 6);

        let mut nth = 0;
        let series = async || {
            nth += 1;
            if nth < 3 {
                return Ok(Some(Do::Wait));
            }
            notes.until_so_many("begun", 2).await?;
            Err(Error::msg("no more paper"))
        };
        let e = cluster.map_series(ACT, 4, series, all).await.expect_err("the series fails");
        assert_eq!((e.message(), notes.count("ended")), ("no more paper", 2));
        Ok(())
    });
}

fn a_body_that_fails_ends_the_rest() {
    with_cluster(2, async |cluster, notes| {
        let mapped = cluster.map_unordered(ACT, 3, [Do::Wait; 9], async |_| {
            notes.until_so_many("begun", 3).await?;
            Err::<(), _>(Error::msg("no more patience"))
        });
        let e = mapped.await.expect_err("the body fails");
        assert_eq!(
            (e.message(), notes.count("ended"), open_calls(cluster)),
            ("no more patience", 3, vec![0, 0])
        );
        Ok(())
    });
}

fn what_is_given_is_given_to_each() {
    at_root(async || {
        let (reader, mut writer) = std::io::pipe()?;
        std::io::Write::write_all(&mut writer, b"one for all")?;
        drop(writer);
        actors(async |an| {
            let cluster = an.cluster(worker().give(reader), 3).await?;
            let names: Vec<_> =
                cluster.workers().iter().map(|worker| worker.id().path().to_owned()).collect();
            assert_eq!(names, ["root/worker-0", "root/worker-1", "root/worker-2"]);
            let texts = gather(cluster.workers().iter().map(|worker| worker.call(READ, ()))).await?;
            // They share one pipe, and the first who reads has it all.
            assert_eq!(texts.concat(), "one for all");
            an.cancel();
            Ok(())
        })
        .await
    });
}

fn a_worker_that_does_not_come_up_leaves_no_cluster() {
    at_root(async || {
        let r: Result<(), Error> = actors(async |an| {
            let dies = worker().fault(Step::Hello, Fault::Exit(7));
            let e = an.cluster(dies, 3).await.expect_err("none comes up");
            assert!(e.is_cancelled(), "the errors are the nursery's: {e}");
            Err(e)
        })
        .await;
        let e = r.expect_err("none came up");
        assert!(kinds(&e).iter().all(|kind| matches!(kind, ErrorKind::DiedInBoot { .. })), "{e}");
        // A cancel while they come up leaves nobody, which the nursery's end shows.
        for polls in 0..6 {
            actors(async |an| {
                let mut starts = Box::pin(an.cluster(worker(), 2));
                for _ in 0..polls {
                    assert!(poll_once(starts.as_mut()).await.is_pending(), "a process takes longer");
                    checkpoint().await?;
                }
                drop(starts);
                Ok(())
            })
            .await?;
        }
        Ok(())
    });
}

fn a_cluster_ends_as_one_and_its_nursery_goes_on() {
    at_root(async || {
        actors(async |an| {
            let (first, second) = (an.cluster(worker(), 2).await?, an.cluster("other", 1).await?);
            let waits = first.clone();
            nursery(async |n| {
                n.spawn(async {
                    let e = waits.map_unordered(DOUBLE, 2, 0.., async |results| {
                        while results.next().await?.is_some() {}
                        Ok(())
                    });
                    let e = e.await.expect_err("the workers end");
                    assert!(kinds(&e).iter().all(|kind| **kind == ErrorKind::Gone), "{e}");
                    Ok::<_, Error>(())
                });
                checkpoint().await?;
                first.end().await
            })
            .await?;
            assert_eq!(second.workers()[0].call(DOUBLE, 2).await?, 4);
            second.end().await?;
            assert!(poll_once(pin!(second.workers()[0].ended())).await.is_ready(), "it was waited for");
            Ok(())
        })
        .await
    });
}

fn nothing_in_flight_and_no_workers_are_refused_where_they_are_asked_for() {
    with_cluster(1, async |cluster, _| {
        let asked = catch_unwind(AssertUnwindSafe(|| drop(cluster.map_unordered(DOUBLE, 0, [1], all))));
        asked.expect_err("nothing would ever be done");
        let no_series = async || Ok(None::<u64>);
        let asked = catch_unwind(AssertUnwindSafe(|| drop(cluster.map_series(DOUBLE, 0, no_series, all))));
        asked.expect_err("nothing would ever be done");
        actors(async |an| {
            catch_unwind(AssertUnwindSafe(|| drop(an.cluster("nobody", 0))))
                .expect_err("nobody is no cluster");
            Ok(())
        })
        .await
    });
}
