//! Promise: instruments are told everything in order, each in the right place, and none of them can hurt the run.
//!
//! Rules: `Case n.` refers to the list of executor cases; `conformance.tsv` says where each is tested.

#[path = "support/fault.rs"]
mod fault;
#[path = "support/orders.rs"]
mod orders;

use fault::{Fault, Run, shape};
use orders::in_every_order;
use pleach_executor::instrument::{Installed, Instrument, install};
use pleach_executor::testing::{run_virtual, wait_until_idle};
use pleach_executor::{
    CancelScope, Reason, ScopeId, TaskId, checkpoint, current_task, run, sleep, sleep_forever, task_tree,
    yield_now,
};
use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::time::Duration;

/// What an instrument is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Told {
    RunBegan,
    RunEnded,
    Spawned(TaskId),
    Scheduled(TaskId),
    Before(TaskId),
    After(TaskId),
    Exited(TaskId),
    Cancelled(ScopeId),
    BeforeWait,
    AfterWait,
}
use Told::{After, Before, Exited, Scheduled, Spawned};

/// One that writes down what it is told, and which task was current then.
#[derive(Default)]
struct Diary(RefCell<Vec<(Told, Option<TaskId>)>>);

impl Diary {
    fn note(&self, told: Told) {
        // A run has a clock to set and a tree to look at: this is inside of it.
        let _inside = CancelScope::new();
        self.0.borrow_mut().push((told, current_task()));
    }

    fn all(&self) -> Vec<Told> {
        self.0.borrow().iter().map(|(told, _)| *told).collect()
    }

    /// What it was told of these tasks.
    fn of(&self, tasks: &[TaskId]) -> Vec<Told> {
        let about = |told: &Told| match told {
            Spawned(t) | Scheduled(t) | Before(t) | After(t) | Exited(t) => tasks.contains(t),
            _ => false,
        };
        self.all().into_iter().filter(about).collect()
    }
}

impl Instrument for Diary {
    fn run_began(&self) {
        self.note(Told::RunBegan);
    }
    fn run_ended(&self) {
        self.note(Told::RunEnded);
    }
    fn task_spawned(&self, task: TaskId) {
        self.note(Spawned(task));
    }
    fn task_scheduled(&self, task: TaskId) {
        self.note(Scheduled(task));
    }
    fn before_step(&self, task: TaskId) {
        self.note(Before(task));
    }
    fn after_step(&self, task: TaskId) {
        self.note(After(task));
    }
    fn task_exited(&self, task: TaskId) {
        self.note(Exited(task));
    }
    fn scope_cancelled(&self, scope: ScopeId, _reason: &Reason) {
        self.note(Told::Cancelled(scope));
    }
    fn before_io_wait(&self, _timeout: Option<Duration>) {
        self.note(Told::BeforeWait);
    }
    fn after_io_wait(&self, _timeout: Option<Duration>) {
        self.note(Told::AfterWait);
    }
}

fn diary() -> (Rc<Diary>, Installed) {
    let diary = Rc::new(Diary::default());
    let installed = install(Rc::clone(&diary));
    (diary, installed)
}

fn me() -> TaskId {
    current_task().expect("inside a task")
}

/// A child of either kind that tells its number and does so many checkpoints.
async fn child(id: &Cell<Option<TaskId>>, checkpoints: usize) -> Result<(), Fault> {
    id.set(Some(me()));
    for _ in 0..checkpoints {
        checkpoint().await?;
    }
    Ok(())
}

/// Case 242. A child that does five checkpoints: scheduled; five times before, scheduled, after; once more before and after.
#[test]
fn a_child_with_five_checkpoints_is_told_step_by_step() {
    for is_static in [false, true] {
        let (diary, _installed) = diary();
        let id = Rc::new(Cell::new(None));
        let r = run_virtual(Run::nursery(async |n| {
            let id = Rc::clone(&id);
            let fut = async move { child(&id, 5).await };
            if is_static {
                n.spawn_static(fut)
            } else {
                n.spawn(fut)
            }
            Ok(())
        }));
        assert_eq!(shape(&r), "ok");
        let t = id.get().expect("it ran");
        let mut expected = vec![Spawned(t), Scheduled(t)];
        for _ in 0..5 {
            expected.extend([Before(t), Scheduled(t), After(t)]);
        }
        expected.extend([Before(t), After(t), Exited(t)]);
        assert_eq!(diary.of(&[t]), expected, "static: {is_static}");
        assert_eq!((diary.all()[0], *diary.all().last().unwrap()), (Told::RunBegan, Told::RunEnded));
    }
}

/// Case 244. Two children with one checkpoint each: both are scheduled before either steps, and everything of their first
/// steps comes before anything of their second.
#[test]
fn first_steps_come_before_second_steps() {
    for is_static in [false, true] {
        let (diary, _installed) = diary();
        let ids = Rc::new([Cell::new(None), Cell::new(None)]);
        let r = run_virtual(Run::nursery(async |n| {
            for which in 0..2 {
                let ids = Rc::clone(&ids);
                let fut = async move { child(&ids[which], 1).await };
                if is_static { n.spawn_static(fut) } else { n.spawn(fut) }
            }
            Ok(())
        }));
        assert_eq!(shape(&r), "ok");
        let [a, b] = [0, 1].map(|which| ids[which].get().expect("it ran"));
        let first = [Spawned(a), Scheduled(a), Spawned(b), Scheduled(b)];
        let second = [Before(a), Scheduled(a), After(a), Before(b), Scheduled(b), After(b)];
        let third = [Before(a), After(a), Exited(a), Before(b), After(b), Exited(b)];
        assert_eq!(diary.of(&[a, b]), [&first[..], &second[..], &third[..]].concat(), "static: {is_static}");
    }
}

/// Case 245. Main comes and goes like any task, and a run begins and ends once.
#[test]
fn main_comes_and_goes_and_a_run_begins_and_ends_once() {
    let (diary, _installed) = diary();
    for _ in 0..2 {
        let before = diary.all().len();
        let main = run(async { me() });
        let all = diary.all();
        // At its end a run cancels what is left of it, and here that is nothing.
        let besides = |t: &&Told| matches!(t, Told::BeforeWait | Told::AfterWait | Told::Cancelled(_));
        let told: Vec<_> = all[before..].iter().filter(|t| !besides(t)).collect();
        let expected = [
            Told::RunBegan,
            Spawned(main),
            Scheduled(main),
            Before(main),
            After(main),
            Exited(main),
            Told::RunEnded,
        ];
        assert_eq!(told, expected.iter().collect::<Vec<_>>());
    }
}

/// Case 248. Steps and exits are told as code of their task, everything else as code of none; all inside the run.
#[test]
fn steps_and_exits_are_told_inside_of_their_task_and_the_rest_outside() {
    let (diary, _installed) = diary();
    run(async {
        let r = Run::nursery(async |n| {
            n.spawn(async { Ok(sleep(Duration::from_millis(1)).await?) });
            n.spawn_static(async { Ok(sleep(Duration::from_millis(1)).await?) });
            Ok(())
        })
        .await;
        assert_eq!(shape(&r), "ok");
        let scope = CancelScope::new();
        scope.cancel();
    });
    let (mut waits, mut steps, mut cancels) = (0, 0, 0);
    for (told, inside) in diary.0.borrow().iter() {
        match told {
            Before(t) | After(t) | Exited(t) => {
                assert_eq!(*inside, Some(*t), "{told:?}");
                steps += 1;
            }
            told => {
                assert_eq!(*inside, None, "{told:?}");
                waits += u32::from(*told == Told::BeforeWait);
                cancels += u32::from(matches!(told, Told::Cancelled(_)));
            }
        }
    }
    assert!(
        steps >= 9 && waits >= 1 && cancels == 2,
        "{steps} {waits} {cancels}: the scope, and the root at the end"
    );
}

/// Before it is waited, and after it: told in turns.
#[test]
fn waits_for_events_are_told_in_pairs() {
    let (diary, _installed) = diary();
    run(async {
        sleep(Duration::from_millis(1)).await.unwrap();
        sleep(Duration::from_millis(1)).await.unwrap();
    });
    let waits: Vec<_> =
        diary.all().into_iter().filter(|t| matches!(t, Told::BeforeWait | Told::AfterWait)).collect();
    assert!(waits.len() >= 4, "{waits:?}");
    assert!(waits.chunks(2).all(|pair| pair == [Told::BeforeWait, Told::AfterWait]), "{waits:?}");
}

/// The first cancel of a scope is told, with its number, and before the tasks that it wakes; a second is none.
#[test]
fn a_cancel_is_told_once_and_before_whom_it_wakes() {
    in_every_order(async || {
        let (diary, _installed) = diary();
        let id = Cell::new(None);
        let r = Run::nursery(async |n| {
            let scope = n.scope();
            n.spawn(async {
                id.set(Some(me()));
                sleep_forever().await?;
                Ok(())
            });
            wait_until_idle().await?;
            let before = diary.all().len();
            n.cancel();
            n.cancel();
            yield_now().await;
            let told = diary.all()[before..].to_vec();
            let cancels: Vec<_> = told.iter().filter(|t| matches!(t, Told::Cancelled(_))).collect();
            assert_eq!(cancels, [&Told::Cancelled(scope.id())]);
            let woken = Scheduled(id.get().unwrap());
            let at = |what: Told| told.iter().position(|t| *t == what).unwrap();
            assert!(at(Told::Cancelled(scope.id())) < at(woken));
            Ok(())
        })
        .await;
        assert_eq!(shape(&r), "ok");
    });
}

/// A task that is dropped with its nursery has exited, as one that ended.
#[test]
fn a_task_that_is_dropped_has_exited() {
    for is_static in [false, true] {
        let (diary, _installed) = diary();
        let id = Rc::new(Cell::new(None));
        run_virtual(async {
            let id = Rc::clone(&id);
            let mut dropped = Box::pin(Run::nursery(async |n| {
                let forever = async move {
                    id.set(Some(me()));
                    sleep_forever().await?;
                    Ok(())
                };
                if is_static {
                    n.spawn_static(forever)
                } else {
                    n.spawn(forever)
                }
                Ok(())
            }));
            for _ in 0..3 {
                std::future::poll_fn(|cx| {
                    assert!(dropped.as_mut().poll(cx).is_pending());
                    std::task::Poll::Ready(())
                })
                .await;
                yield_now().await;
            }
        });
        let t = id.get().expect("it ran");
        let told = diary.of(&[t]);
        assert_eq!(told.iter().filter(|told| **told == Exited(t)).count(), 1, "{told:?}");
        assert_eq!(told.last(), Some(&Exited(t)));
    }
}

/// Panics at the first step it is told of, and says when it is dropped.
struct Faulty(Rc<Cell<u32>>);

impl Instrument for Faulty {
    fn before_step(&self, _task: TaskId) {
        self.0.set(self.0.get() + 1);
        panic!("a faulty instrument");
    }
}

impl Drop for Faulty {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 100);
        panic!("and it panics when it goes");
    }
}

/// One that panics is removed; the run goes on, and so do the others, before it and after it.
#[test]
fn an_instrument_that_panics_is_removed_and_nothing_else_notices() {
    let told = Rc::new(Cell::new(0));
    let (first, _first) = diary();
    let faulty = install(Faulty(Rc::clone(&told)));
    let (last, _last) = diary();
    assert!(!faulty.has_failed());
    let value = run(async {
        checkpoint().await.unwrap();
        7
    });
    assert_eq!((value, told.get()), (7, 101), "told once, and dropped");
    assert!(faulty.has_failed());
    assert_eq!(first.all(), last.all());
    assert!(first.all().contains(&Told::RunEnded));
}

/// A panic of the task itself passes through a step that is watched, and the step's end is told.
#[test]
fn a_panic_of_a_task_passes_through_a_watched_step() {
    let (diary, _installed) = diary();
    let panicked = std::panic::catch_unwind(|| run(async { panic!("of the task") }));
    assert_eq!(panicked.expect_err("it goes on").downcast_ref(), Some(&"of the task"));
    let Some(Spawned(main)) = diary.all().into_iter().find(|t| matches!(t, Spawned(_))) else { panic!() };
    assert_eq!(diary.of(&[main]), [Spawned(main), Scheduled(main), Before(main), After(main), Exited(main)]);
}

/// Installed in the middle of a run, removed in the middle of a run: told of what lies between.
#[test]
fn an_instrument_comes_and_goes_while_the_run_goes_on() {
    let seen = run_virtual(async {
        yield_now().await;
        let (diary, installed) = diary();
        yield_now().await;
        drop(installed);
        yield_now().await;
        diary.all()
    });
    let main = seen.iter().find_map(|told| if let Before(t) = told { Some(*t) } else { None }).unwrap();
    let told: Vec<_> =
        seen.into_iter().filter(|t| !matches!(t, Told::BeforeWait | Told::AfterWait)).collect();
    assert_eq!(told, [Scheduled(main), Before(main)], "the wake, and the step in which it is removed");
}

/// Installs another when it is told of a step, and removes it at the next.
#[derive(Default)]
struct Restless {
    me: RefCell<Weak<Restless>>,
    other: RefCell<Option<(Rc<Diary>, Installed)>>,
    rounds: Cell<u32>,
}

impl Instrument for Restless {
    fn before_step(&self, _task: TaskId) {
        assert!(task_tree().tasks().count() > 0 && self.me.borrow().upgrade().is_some());
        let other = self.other.take();
        if other.is_none() {
            self.other.replace(Some(diary()));
        }
        self.rounds.set(self.rounds.get() + 1);
    }
}

/// An instrument may install and remove instruments, and look at the tree, while it is told.
#[test]
fn an_instrument_may_change_the_list_while_it_is_told() {
    let restless = Rc::new(Restless::default());
    restless.me.replace(Rc::downgrade(&restless));
    let installed = install(Rc::clone(&restless));
    run_virtual(async {
        for _ in 0..10 {
            checkpoint().await.unwrap();
        }
    });
    assert_eq!((restless.rounds.get(), installed.has_failed()), (11, false));
}

/// One that cancels a scope and wakes a task when it is told: what it causes is told as well, and there is an end to it.
struct Meddler(RefCell<Option<pleach_executor::ScopeHandle>>);

impl Instrument for Meddler {
    fn after_step(&self, _task: TaskId) {
        if let Some(scope) = self.0.take() {
            scope.cancel();
        }
    }
}

#[test]
fn an_instrument_may_cancel() {
    let (diary, _installed) = diary();
    let r: Result<Option<()>, Fault> = run_virtual(async {
        CancelScope::new()
            .run(async |scope| {
                let _meddler = install(Meddler(RefCell::new(Some(scope.handle()))));
                sleep_forever().await?;
                Ok(())
            })
            .await
    });
    assert!(matches!(r, Ok(None)));
    assert!(diary.all().iter().any(|t| matches!(t, Told::Cancelled(_))));
}
