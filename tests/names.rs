//! Promise: a child has the name that it was spawned with from before its first poll to its end, however it is spawned.
//!
//! ```text
//!   n.named("listener").spawn(fut) ─► in the tree by that name ─┬─ name_task("other") ─► by that one
//!                                                               └─ ended ─► nobody has the name
//! ```

#[path = "support/fault.rs"]
mod fault;
#[path = "support/orders.rs"]
mod orders;

use fault::{Fault, Run};
use orders::in_every_order;
use pleach_executor::instrument::{Instrument, install};
use pleach_executor::low_level::{self, spawn_system};
use pleach_executor::testing::wait_until_idle;
use pleach_executor::{
    Started, TaskId, TaskTree, current_task, dump, name_task, run, sleep_forever, task_tree,
};
use std::cell::RefCell;
use std::panic::Location;
use std::rc::Rc;

async fn for_ever() -> Result<(), Fault> {
    sleep_forever().await?;
    Ok(())
}

/// The names in a tree, in alphabetical order.
fn names(tree: &TaskTree) -> Vec<String> {
    let mut names: Vec<_> = tree.tasks().filter_map(|task| tree.name(task.id)).map(str::to_owned).collect();
    names.sort();
    names
}

/// The name of the task that asks.
fn my_name() -> Option<String> {
    task_tree().name(current_task().expect("a task")).map(str::to_owned)
}

#[track_caller]
fn line() -> u32 {
    Location::caller().line()
}

#[test]
fn every_way_to_spawn_takes_a_name_and_knows_its_place() {
    in_every_order(async || {
        let r = Run::nursery(async |n| {
            let handle = n.handle();
            let mut lines = vec![line() + 1];
            n.named("a").spawn(for_ever());
            lines.push(line() + 1);
            n.named("b").spawn_boxed(Box::pin(for_ever()));
            lines.push(line() + 1);
            n.named("c").spawn_static(for_ever());
            lines.push(line() + 1);
            n.named("d").spawn_static_boxed(Box::pin(for_ever()));
            lines.push(line() + 1);
            let _e = n.named("e").task(for_ever());
            lines.push(line() + 1);
            handle.named("f").spawn(for_ever()).unwrap();
            lines.push(line() + 1);
            let _g = handle.named("g").task(for_ever()).unwrap();
            lines.push(line() + 1);
            let h = n.named("h").start(async |up: Started<()>| {
                up.set(());
                for_ever().await
            });
            n.spawn(for_ever());
            let _unnamed = n.task(for_ever());
            assert_eq!(names(&task_tree()), ["a", "b", "c", "d", "e", "f", "g"], "nobody has been polled");
            h.await?;
            let tree = task_tree();
            let expected = ["a", "b", "c", "d", "e", "f", "g", "h"];
            assert_eq!(names(&tree), expected);
            for (name, line) in expected.into_iter().zip(lines) {
                let task = tree.tasks().find(|task| tree.name(task.id) == Some(name)).expect("just seen");
                assert_eq!(task.spawned_at.map(Location::line), Some(line), "{name}");
            }
            n.cancel();
            Ok(())
        })
        .await;
        r.unwrap();
        assert!(names(&task_tree()).is_empty(), "they have ended");
    });
}

#[test]
fn a_name_is_the_childs_that_it_was_given_to() {
    in_every_order(async || {
        let seen = RefCell::new(Vec::new());
        let r = Run::nursery(async |n| {
            for name in [Some("odd"), None, Some("odd"), None] {
                let seen = &seen;
                let child = async move {
                    seen.borrow_mut().push((name, my_name()));
                    wait_until_idle().await?;
                    if name.is_some() {
                        name_task("even");
                    }
                    seen.borrow_mut().push((name.map(|_| "even"), my_name()));
                    Ok(())
                };
                match name {
                    Some(name) => n.named(name).spawn(child),
                    None => n.spawn(child),
                }
            }
            Ok(())
        })
        .await;
        r.unwrap();
        let seen = seen.into_inner();
        assert_eq!(seen.len(), 8);
        assert!(seen.iter().all(|(given, found)| *given == found.as_deref()), "{seen:?}");
    });
}

/// The number of a named child that has ended is used again.
#[test]
fn who_comes_after_a_named_child_has_not_its_name() {
    in_every_order(async || {
        for _ in 0..3 {
            let r = Run::nursery(async |n| {
                n.named("first").spawn(async { Ok(()) });
                n.named("static").spawn_static(async { Ok(()) });
                wait_until_idle().await?;
                n.spawn(for_ever());
                n.spawn_static(for_ever());
                assert!(names(&task_tree()).is_empty(), "{}", dump());
                n.cancel();
                Ok(())
            })
            .await;
            r.unwrap();
        }
    });
}

#[test]
fn a_handle_of_a_nursery_that_is_over_gives_the_future_back_and_names_nobody() {
    in_every_order(async || {
        let handle = RefCell::new(None);
        let r = Run::nursery(async |n| {
            handle.replace(Some(n.handle()));
            Ok(())
        })
        .await;
        r.unwrap();
        let handle = handle.into_inner().expect("kept");
        assert!(handle.named("late").spawn(for_ever()).is_err());
        assert!(handle.named("late").task(for_ever()).is_err());
        assert!(names(&task_tree()).is_empty());
    });
}

#[test]
fn a_task_of_the_system_is_named_by_who_knows_it() {
    run(async {
        let task = spawn_system(async {});
        low_level::name_task(task, "system");
        assert_eq!(task_tree().name(task), Some("system"));
        while task_tree().task(task).is_some() {
            pleach_executor::yield_now().await;
        }
        low_level::name_task(task, "late");
        assert!(names(&task_tree()).is_empty());
    });
}

/// An instrument that asks for the name of whoever comes.
#[derive(Clone, Default)]
struct Names(Rc<RefCell<Vec<Option<String>>>>);

impl Instrument for Names {
    fn task_spawned(&self, task: TaskId) {
        self.0.borrow_mut().push(task_tree().name(task).map(str::to_owned));
    }
}

#[test]
fn an_instrument_that_is_told_of_a_child_finds_its_name() {
    in_every_order(async || {
        let names = Names::default();
        let _installed = install(names.clone());
        let r = Run::nursery(async |n| {
            n.named("borrowed").spawn(async { Ok(()) });
            n.spawn(async { Ok(()) });
            n.named("static").spawn_static(async { Ok(()) });
            Ok(())
        })
        .await;
        r.unwrap();
        assert_eq!(names.0.take(), [Some("borrowed".into()), None, Some("static".into())]);
    });
}
