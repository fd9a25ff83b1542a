//! Promise: from every task there is a way up to main, and from main a way down to every task.
//!
//! ```text
//!   main ◄─ opener ─ nursery ◄─ owner ─ task ◄─ opener ─ nursery ◄─ owner ─ task
//! ```
//!
//! Rules: `Case n.` refers to the list of executor cases; `conformance.tsv` says where each is tested.

#[path = "support/fault.rs"]
mod fault;
#[path = "support/orders.rs"]
mod orders;

use fault::{Fault, Run, shape};
use futures_util::future::join;
use orders::in_every_order;
use pleach_executor::low_level::spawn_system;
use pleach_executor::testing::{run_virtual, wait_until_idle};
use pleach_executor::{
    NurseryId, Owner, Started, TaskId, TaskInfo, TaskState, TaskTree, checkpoint, current_task,
    sleep_forever, task_tree,
};
use std::cell::{Cell, RefCell};

fn me() -> TaskId {
    current_task().expect("inside a task")
}

fn owner(tree: &TaskTree, id: TaskId) -> Owner {
    tree.task(id).expect("it lives").owner
}

fn openers_nurseries(tree: &TaskTree, id: TaskId) -> Vec<NurseryId> {
    tree.nurseries(id).map(|n| n.id).collect()
}

fn ids<'t>(tasks: impl Iterator<Item = &'t TaskInfo>) -> Vec<TaskId> {
    tasks.map(|t| t.id).collect()
}

/// Case 10. In a child, of either kind: task, its nursery, the task that opened that. And so from the body of a nursery
/// inside the child: a body is no task of its own.
#[test]
fn the_way_up_from_a_child_leads_to_the_opener_of_its_nursery() {
    for is_static in [false, true] {
        in_every_order(async || {
            let main = me();
            let looked = Cell::new(0);
            let r = Run::nursery(async |n| {
                assert_eq!(me(), main, "the body is the opener's");
                let mine = n.id();
                let look = move || {
                    let tree = task_tree();
                    assert_ne!(me(), main);
                    assert_eq!(owner(&tree, me()), Owner::InNursery(mine));
                    assert_eq!(tree.nursery(mine).expect("it is open").opener, Some(main));
                    assert_eq!(tree.parent(me()).map(|t| t.id), Some(main));
                    assert_eq!((owner(&tree, main), tree.parent(main)), (Owner::Run, None));
                };
                let child = async move {
                    look();
                    checkpoint().await?;
                    Run::nursery(async |_| {
                        look();
                        Ok(())
                    })
                    .await
                };
                if is_static {
                    n.spawn_static(child)
                } else {
                    n.spawn(child)
                }
                n.spawn(async {
                    looked.set(looked.get() + 1);
                    Ok(())
                });
                Ok(())
            })
            .await;
            assert_eq!((shape(&r), looked.get()), ("ok".into(), 1));
        });
    }
}

/// Case 113. The way down, over two nurseries, of borrowed and of static children.
#[test]
fn the_way_down_shows_every_nursery_and_every_child() {
    run_virtual(async {
        let main = me();
        let (first, second, inner) = (Cell::new(None), Cell::new(None), Cell::new(None));
        let (first, second, inner) = (&first, &second, &inner);
        let r = Run::nursery(async |outer| {
            let r = Run::nursery(async |n| {
                n.spawn(async {
                    first.set(Some(me()));
                    Run::nursery(async |n| {
                        inner.set(Some(n.id()));
                        n.spawn(async {
                            second.set(Some(me()));
                            sleep_forever().await?;
                            Ok(())
                        });
                        Ok(())
                    })
                    .await
                });
                n.spawn_static(async {
                    sleep_forever().await?;
                    Ok(())
                });
                wait_until_idle().await?;
                let (first, second, inner) =
                    (first.get().unwrap(), second.get().unwrap(), inner.get().unwrap());
                let tree = task_tree();
                assert_eq!(openers_nurseries(&tree, main), [outer.id(), n.id()], "the outermost first");
                assert_eq!(ids(tree.children(outer.id())), []);
                let children = ids(tree.children(n.id()));
                assert!(children.len() == 2 && children.contains(&first), "{tree}");
                assert_eq!(openers_nurseries(&tree, first), [inner]);
                assert_eq!(ids(tree.children(inner)), [second]);
                assert_eq!(openers_nurseries(&tree, second), []);
                assert_eq!(tree.tasks().count(), 4, "bodies are not counted: {tree}");
                let states = [main, first, second].map(|id| tree.task(id).unwrap().state);
                assert_eq!(states, [TaskState::Running, TaskState::Waiting, TaskState::Waiting]);
                n.cancel();
                let woken = task_tree().task(second).unwrap().state;
                assert_eq!(woken, TaskState::Ready, "before anything else runs");
                Ok(())
            })
            .await;
            assert_eq!(shape(&r), "ok");
            Ok(())
        })
        .await;
        assert_eq!(shape(&r), "ok");
    });
}

/// Case 115. A picture keeps the way up after everything in it has ended, and a later picture does not show the ended.
#[test]
fn a_picture_stays_what_it_was_when_tasks_have_ended() {
    run_virtual(async {
        let kept = RefCell::new(None);
        let main = me();
        let r = Run::nursery(async |n| {
            n.spawn(async {
                Run::nursery(async |n| {
                    n.spawn_static(sleep_for_ever());
                    wait_until_idle().await?;
                    kept.replace(Some((task_tree(), me(), n.id())));
                    n.cancel();
                    Ok(())
                })
                .await
            });
            Ok(())
        })
        .await;
        assert_eq!(shape(&r), "ok");
        let (tree, child, nursery) = kept.take().expect("it was taken");
        let grandchild = tree.children(nursery).next().expect("it lived then").id;
        let way_up: Vec<_> =
            std::iter::successors(tree.task(grandchild), |t| tree.parent(t.id)).map(|t| t.id).collect();
        assert_eq!(way_up, [grandchild, child, main]);
        let now = task_tree();
        assert_eq!(ids(now.tasks()), [main], "{now}");
        assert!(now.nursery(nursery).is_none());
    });
}

async fn sleep_for_ever() -> Result<(), Fault> {
    sleep_forever().await?;
    Ok(())
}

/// Case 110. Until it is ready a child is its starter's, and the picture says where it will go; from the very step in which
/// it is ready it is the nursery's.
#[test]
fn a_child_that_starts_belongs_to_its_starter_until_it_is_ready() {
    run_virtual(async {
        let starter = Cell::new(None);
        let starter = &starter;
        let r = Run::nursery(async |n| {
            let target = n.id();
            let started = n.task(async move {
                starter.set(Some(me()));
                n.start(async move |ready: Started<TaskId>| {
                    let starting = Owner::Starter { starter: starter.get(), nursery: target };
                    let tree = task_tree();
                    assert_eq!(owner(&tree, me()), starting);
                    assert_eq!(tree.parent(me()).map(|t| t.id), starter.get());
                    assert!(!ids(tree.children(target)).contains(&me()));
                    ready.set(me());
                    assert_eq!(owner(&task_tree(), me()), Owner::InNursery(target));
                    sleep_for_ever().await
                })
                .await
            });
            let child = started.await?;
            assert!(ids(task_tree().children(target)).contains(&child));
            n.cancel();
            Ok(())
        })
        .await;
        assert_eq!(shape(&r), "ok");
    });
}

/// The end of one start that failed does not keep the mark of another for whoever gets that one's number.
#[test]
fn every_start_that_fails_takes_its_own_mark_along() {
    run_virtual(async {
        let r = Run::nursery(async |n| {
            let failing = |steps: u32| {
                n.start(async move |_ready: Started<()>| {
                    for _ in 0..steps {
                        checkpoint().await?;
                    }
                    Err(Fault::Named("E"))
                })
            };
            let (short, long) = join(failing(1), failing(2)).await;
            assert_eq!((shape(&short), shape(&long)), ("E".into(), "E".into()));
            while task_tree().tasks().count() > 1 {
                checkpoint().await?;
            }
            n.spawn(async { Ok(()) });
            n.spawn(async { Ok(()) });
            let tree = task_tree();
            let of = tree.tasks().filter(|t| t.id != me()).map(|t| t.owner).collect::<Vec<_>>();
            assert_eq!(of, [Owner::InNursery(n.id()); 2], "{tree}");
            Ok(())
        })
        .await;
        assert_eq!(shape(&r), "ok");
    });
}

/// A start that is dropped, or that fails, leaves no mark on whoever gets the number next.
#[test]
fn a_start_that_is_given_up_leaves_no_trace() {
    run_virtual(async {
        let r = Run::nursery(async |n| {
            for drop_it in [false, true, false, true] {
                let mut start = Box::pin(n.start(async |_ready: Started<()>| {
                    checkpoint().await?;
                    checkpoint().await?;
                    Err(Fault::Named("E"))
                }));
                if drop_it {
                    std::future::poll_fn(|cx| {
                        assert!(start.as_mut().poll(cx).is_pending());
                        std::task::Poll::Ready(())
                    })
                    .await;
                    drop(start);
                } else {
                    assert_eq!(shape(&start.await), "E");
                }
                // Both kinds of failure are over when nobody is left.
                while task_tree().tasks().count() > 1 {
                    checkpoint().await?;
                }
                n.spawn(async { Ok(()) });
                let tree = task_tree();
                let of = tree.tasks().filter(|t| t.id != me()).map(|t| t.owner).collect::<Vec<_>>();
                assert_eq!(of, [Owner::InNursery(n.id())], "{tree}");
                checkpoint().await?;
            }
            Ok(())
        })
        .await;
        assert_eq!(shape(&r), "ok");
    });
}

/// As text: main first, children below their nursery, and a tree of any depth stays readable.
#[test]
fn the_picture_as_text_is_a_tree() {
    run_virtual(async {
        spawn_system(async {
            let _cancelled = sleep_forever().await;
        });
        let r = Run::nursery(async |n| {
            n.spawn(sleep_for_ever());
            n.spawn(async {
                Run::nursery(async |n| {
                    n.spawn_static(sleep_for_ever());
                    Ok(())
                })
                .await
            });
            wait_until_idle().await?;
            let text = task_tree().to_string();
            let shape: Vec<_> = text
                .lines()
                .map(|line| (line.len() - line.trim_start().len(), line.rsplit(' ').next().unwrap()))
                .map(|(indent, last)| (indent / 2, last.trim_end_matches(|c: char| c.is_ascii_digit())))
                .collect();
            let want = [
                (0, "running"),
                (1, ""),
                (2, "waiting"),
                (2, "waiting"),
                (3, ""),
                (4, "waiting"),
                (0, "waiting"),
            ];
            assert_eq!(shape, want, "{text}");
            assert!(text.starts_with("main, task ") && text.contains(", of no nursery: waiting"), "{text}");
            n.cancel();
            Ok(())
        })
        .await;
        assert_eq!(shape(&r), "ok");
    });
}

/// A hundred nurseries below each other are a hundred lines of bounded length.
#[test]
fn the_picture_of_a_deep_tree_is_not_wide() {
    fn below(left: u32) -> std::pin::Pin<Box<dyn Future<Output = Result<(), Fault>>>> {
        Box::pin(Run::nursery(async move |n| {
            if left > 0 {
                n.spawn(below(left - 1));
                return Ok(());
            }
            let text = task_tree().to_string();
            assert_eq!(text.lines().count(), 2 * 100, "a task and a nursery each: {text}");
            assert!(text.lines().all(|line| line.len() < 120), "{text}");
            assert!(text.contains("(198 deep) task"), "{text}");
            Ok(())
        }))
    }
    run_virtual(async { assert_eq!(shape(&below(99).await), "ok") });
}

/// Outside a run there is nothing to see.
#[test]
fn outside_a_run_the_tree_is_empty() {
    assert_eq!(task_tree().tasks().count(), 0);
    run_virtual(async { assert_eq!(task_tree().tasks().count(), 1) });
    assert_eq!(task_tree().tasks().count(), 0);
    assert_eq!(task_tree().to_string(), "");
}

/// Those inside of others, and one that is open while nothing polls it.
#[test]
fn all_nurseries_are_those_that_are_open_the_oldest_first() {
    run_virtual(async {
        let all = || task_tree().all_nurseries().map(|n| (n.id, n.opener)).collect::<Vec<_>>();
        assert_eq!(all(), []);
        let r = Run::nursery(async |n| {
            let (outer, main) = (n.id(), Some(me()));
            assert_eq!(all(), [(outer, main)]);
            let inner = n.task(async move {
                let of_child = Cell::new(None);
                Run::nursery(async |n| {
                    of_child.set(Some((n.id(), Some(me()))));
                    assert_eq!(all(), [(outer, main), of_child.get().expect("just set")]);
                    Ok(())
                })
                .await?;
                Ok(of_child.get())
            });
            let inner = inner.await?.expect("it was open");
            assert!(inner.0 > outer && inner.1 != main);
            assert_eq!(all(), [(outer, main)], "it has ended");
            Ok(())
        })
        .await;
        assert_eq!((shape(&r), all()), ("ok".into(), vec![]));
    });
}
