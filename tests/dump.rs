//! Promise: the run can say who is there, where each comes from, and what each waits for.
//!
//! Rules: `Case n.` refers to the list of executor cases; `conformance.tsv` says where each is tested.

#[path = "support/fault.rs"]
mod fault;
#[path = "support/orders.rs"]
mod orders;

use fault::{Fault, Run, shape};
use futures_util::future::join;
use futures_util::stream::{FuturesUnordered, StreamExt};
use orders::in_every_order;
use pleach_executor::sync::Event;
use pleach_executor::sync::channel::bounded;
use pleach_executor::testing::{run_virtual, wait_until_idle};
use pleach_executor::{
    CancelScope, Started, TaskId, Waits, checked, current_task, dump, fail_after, move_on_after, name_task,
    now, shielded, sleep, sleep_forever, task_tree, yield_now,
};
use std::cell::Cell;
use std::panic::Location;
use std::rc::Rc;
use std::time::Duration;

const S: Duration = Duration::from_secs(1);

fn me() -> TaskId {
    current_task().expect("inside a task")
}

/// The line of the source that this is called from.
#[track_caller]
fn line() -> u32 {
    Location::caller().line()
}

async fn for_ever() -> Result<(), Fault> {
    sleep_forever().await?;
    Ok(())
}

/// Every way to spawn a child, and every way to open a nursery or a scope, knows its place in the source.
#[test]
fn everything_knows_where_it_was_spawned_or_opened() {
    in_every_order(async || {
        let r = Run::nursery(async |n| {
            let mut lines = vec![line() + 1];
            n.spawn(for_ever());
            lines.push(line() + 1);
            n.spawn_boxed(Box::pin(for_ever()));
            lines.push(line() + 1);
            n.spawn_static(for_ever());
            lines.push(line() + 1);
            let _a = n.task(for_ever());
            lines.push(line() + 1);
            n.handle().spawn(for_ever()).unwrap();
            lines.push(line() + 1);
            let _b = n.handle().task(for_ever()).unwrap();
            lines.push(line() + 1);
            n.start(async |up: Started<()>| {
                up.set(());
                for_ever().await
            })
            .await?;
            wait_until_idle().await?;
            let tree = task_tree();
            let mut spawned: Vec<_> =
                tree.children(n.id()).map(|t| t.spawned_at.expect("a child has a place")).collect();
            spawned.sort_by_key(|at| at.line());
            assert!(spawned.iter().all(|at| at.file().ends_with("dump.rs")));
            assert_eq!(spawned.iter().map(|at| at.line()).collect::<Vec<_>>(), lines);
            n.cancel();
            Ok(())
        })
        .await;
        assert_eq!(shape(&r), "ok");
    });
}

#[test]
fn a_nursery_and_a_scope_know_where_they_were_opened_and_by_whom() {
    run_virtual(async {
        let main = me();
        let opened = line() + 1;
        let r = Run::nursery(async |n| {
            let id = n.id();
            let look = |line: u32| {
                let tree = task_tree();
                assert_eq!(tree.nursery(id).expect("open").opened_at.line(), opened);
                let scopes: Vec<_> = tree.scopes().filter(|s| s.opener == Some(main)).cloned().collect();
                let [scope] = &scopes[..] else { panic!("one: {scopes:?}") };
                let at = scope.opened_at.expect("it was opened");
                assert!(at.file().ends_with("dump.rs") && at.line() == line, "{at}");
                Ok::<_, Fault>(scope.clone())
            };
            let scope = move_on_after(S, async |_| look(line())).await?.expect("in time");
            assert_eq!((scope.deadline, scope.shielded), (Some(now() + S), false));
            let scope = fail_after(S, async |_| look(line())).await?;
            assert_eq!(scope.cancelled.map(|_| ()), None);
            assert!(shielded(async |_| look(line())).await?.shielded);
            let scope = CancelScope::new().run(async |_| look(line())).await?.expect("not cancelled");
            assert_eq!((scope.nursery, scope.deadline), (None, None));
            Run::move_on_after(S, async |_| look(line())).await?;
            Run::shielded(async |_| look(line())).await?;
            Ok(())
        })
        .await;
        assert_eq!(shape(&r), "ok");
    });
}

/// What a task waits for, for every operation that says so, and for both windows of a combinator.
#[test]
fn a_task_says_what_it_waits_for() {
    in_every_order(async || {
        let (send, receive) = bounded::<u8>(1);
        let (full, _held) = bounded::<u8>(1);
        full.try_send(1).unwrap();
        let (up, ids) = (Event::new(), (0..7).map(|_| Cell::new(None)).collect::<Vec<_>>());
        let (up, ids, receive, full) = (&up, &ids, &receive, &full);
        let r = Run::nursery(async |n| {
            let slow = n.task(for_ever());
            n.spawn(async {
                ids[0].set(Some(me()));
                Ok(sleep(1000 * S).await?)
            });
            n.spawn(async {
                ids[1].set(Some(me()));
                Ok(up.wait().await?)
            });
            n.spawn(async {
                ids[2].set(Some(me()));
                let _ = receive.receive().await?;
                Ok(())
            });
            n.spawn(async {
                ids[3].set(Some(me()));
                let _ = full.send(2).await?;
                Ok(())
            });
            n.spawn(async {
                ids[4].set(Some(me()));
                checked(std::future::pending::<()>()).await?;
                Ok(())
            });
            n.spawn(async {
                ids[5].set(Some(me()));
                slow.await?;
                Ok(())
            });
            n.spawn(async {
                ids[6].set(Some(me()));
                let (a, b) = join(up.wait(), sleep_forever()).await;
                a?;
                b?;
                Ok(())
            });
            wait_until_idle().await?;
            let tree = task_tree();
            let waits = |which: usize| {
                let mut waits: Vec<_> =
                    tree.waits(ids[which].get().expect("it ran")).map(|w| w.what.to_string()).collect();
                waits.sort();
                waits.join(" and ")
            };
            let text: Vec<_> = (0..7).map(waits).collect();
            let expected = [
                "a moment",
                "an event",
                "an item in a channel",
                "room in a channel",
                "a future of another library",
                "the value of a child",
                "an event and its cancellation",
            ];
            assert_eq!(text, expected);
            let mine: Vec<_> = tree.waits(me()).map(|w| w.what).collect();
            assert_eq!(mine, [Waits::Sleep], "only the hang guard of the case");
            n.cancel();
            Ok(())
        })
        .await;
        assert_eq!(shape(&r), "ok");
        drop(send);
    });
}

/// An operation that a foreign combinator polls with a waker of its own has no task, and is not forgotten.
#[test]
fn an_operation_inside_of_a_foreign_combinator_is_told_apart() {
    run_virtual(async {
        let up = Rc::new(Event::new());
        let r = Run::nursery(async |n| {
            let waits = Rc::clone(&up);
            n.spawn(async move {
                let mut all = FuturesUnordered::new();
                all.push(waits.wait());
                all.next().await.expect("one")?;
                Ok(())
            });
            wait_until_idle().await?;
            let tree = task_tree();
            let strangers: Vec<_> = tree.all_waits().filter(|w| w.task.is_none()).map(|w| w.what).collect();
            assert_eq!(strangers, [Waits::Event]);
            let text = dump();
            assert!(text.contains("waiting for something of another library\n"), "{text}");
            assert!(text.contains("inside of another library's future, in scope"), "{text}");
            up.set();
            Ok(())
        })
        .await;
        assert_eq!(shape(&r), "ok");
    });
}

/// One that was cancelled, or has been woken, waits no more.
#[test]
fn who_does_not_wait_any_more_is_not_said_to() {
    run_virtual(async {
        let id = Cell::new(None);
        let r = Run::nursery(async |n| {
            n.spawn(async {
                id.set(Some(me()));
                for_ever().await
            });
            wait_until_idle().await?;
            assert_eq!(task_tree().waits(id.get().unwrap()).count(), 1);
            n.cancel();
            assert_eq!(task_tree().waits(id.get().unwrap()).count(), 0);
            Ok(())
        })
        .await;
        assert_eq!((shape(&r), task_tree().all_waits().count()), ("ok".into(), 0));
    });
}

/// A name is its task's as long as that lives, whoever gets the number next.
#[test]
fn a_name_goes_with_its_task() {
    for is_static in [false, true] {
        run_virtual(async {
            let r = Run::nursery(async |n| {
                let named = async {
                    name_task("first");
                    name_task(String::from("the worker"));
                    for _ in 0..3 {
                        yield_now().await;
                        assert_eq!(task_tree().name(me()), Some("the worker"));
                    }
                    Ok(())
                };
                if is_static {
                    n.spawn_static(named)
                } else {
                    n.spawn(named)
                }
                wait_until_idle().await?;
                assert_eq!(task_tree().tasks().count(), 1, "it has ended");
                n.spawn_static(for_ever());
                n.spawn(for_ever());
                wait_until_idle().await?;
                let tree = task_tree();
                assert!(tree.tasks().all(|t| tree.name(t.id).is_none()));
                n.cancel();
                Ok(())
            })
            .await;
            assert_eq!(shape(&r), "ok");
        });
    }
    name_task("nobody");
}

/// The end of one named task does not keep the name of another for whoever gets that one's number.
#[test]
fn every_name_goes_with_its_own_task() {
    run_virtual(async {
        let r = Run::nursery(async |n| {
            for steps in 1..=2 {
                n.spawn(async move {
                    name_task("a worker");
                    for _ in 0..steps {
                        yield_now().await;
                    }
                    Ok(())
                });
            }
            wait_until_idle().await?;
            assert_eq!(task_tree().tasks().count(), 1, "both have ended");
            n.spawn(for_ever());
            n.spawn(for_ever());
            let tree = task_tree();
            assert!(tree.tasks().all(|t| tree.name(t.id).is_none()), "{tree:#}");
            n.cancel();
            Ok(())
        })
        .await;
        assert_eq!(shape(&r), "ok");
    });
}

/// The whole picture, line by line.
#[test]
fn the_dump_shows_everything() {
    run_virtual(async {
        let up = Event::new();
        let first = line() + 2;
        let r = CancelScope::new().timeout(5 * S).run(async |_| {
            Run::nursery(async |n| {
                n.spawn(async {
                    name_task("listener");
                    shielded(async |_| Ok(up.wait().await?)).await
                });
                n.spawn_static(async {
                    Run::nursery(async |n| {
                        n.spawn(for_ever());
                        Ok(())
                    })
                    .await
                });
                wait_until_idle().await?;
                sleep(2 * S).await?;
                n.cancel();
                let text = dump();
                up.set();
                Ok(text)
            })
            .await
        });
        let text = r.await.unwrap().expect("in time");
        let place = |line: u32| format!("dump.rs:{line}:");
        let mut lines: Vec<_> = text.lines().map(|l| l.replace("tests/", "")).collect();
        let mut next = |indent: usize, parts: &[&str]| {
            let line = lines.remove(0);
            assert_eq!(line.len() - line.trim_start().len(), 2 * indent, "{line}\nof\n{text}");
            assert!(parts.iter().all(|part| line.contains(part)), "{parts:?} in {line}\nof\n{text}");
        };
        next(0, &["main, task ", ": running"]);
        next(1, &["scope ", &place(first - 1), "ends in 3s"]);
        next(1, &["nursery ", &place(first), "cancelled: "]);
        let (listener, other) =
            (["\"listener\"", &place(first + 1), "waiting for an event"], [&place(first + 5)[..], "ready"]);
        next(2, &listener);
        next(3, &["scope ", &place(first + 3), ", shielded"]);
        next(2, &other);
        next(3, &["nursery ", &place(first + 6), "cancelled from outside"]);
        next(4, &["task ", &place(first + 7), ": ready"]);
        assert_eq!(lines, Vec::<String>::new());
        assert_eq!(format!("{}", task_tree()).lines().count(), 1, "and the short form is short");
    });
    assert_eq!(dump(), "");
}

/// A task whose nursery's body has ended waits in its nursery.
#[test]
fn who_joins_a_nursery_waits_in_it() {
    run_virtual(async {
        let r = Run::nursery(async |n| {
            n.spawn(Run::nursery(async |n| {
                n.spawn(for_ever());
                Ok(())
            }));
            wait_until_idle().await?;
            let text = dump();
            assert!(text.contains(": waiting in nursery 1\n"), "{text}");
            n.cancel();
            Ok(())
        })
        .await;
        assert_eq!(shape(&r), "ok");
    });
}
