//! Promise: a run gives back what main gives, untouched, and everything knows whether and in which run it stands.
//!
//! ```text
//!   thread: outside ─► run(main) ─► [ task │ between two polls ] ─► main's value ─► outside
//! ```
//!
//! Rules: `Case n.` refers to the list of executor cases; `conformance.tsv` says where each is tested.

#[path = "support/by_hand.rs"]
mod by_hand;
#[path = "support/fault.rs"]
mod fault;
#[path = "support/orders.rs"]
mod orders;

use by_hand::message;
use fault::{Fault, Run, shape};
use futures_util::FutureExt;
use orders::in_every_order;
use pleach_executor::testing::{jump, run_seeded, run_virtual, wait_until_idle};
use pleach_executor::{
    CancelScope, Reason, ScopeHandle, Started, TaskId, checkpoint, current_task, effective_deadline,
    low_level, now, run, sleep_forever, yield_now,
};
use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::task::{Context, Wake, Waker};
use std::thread;
use std::time::Duration;

const S: Duration = Duration::from_secs(1);

// ---- what comes out --------------------------------------------------------------------------------------

/// Case 1. The value of main comes out, whether or not main ever suspends.
#[test]
fn a_run_returns_exactly_the_value_of_main() {
    let value = Rc::new(7);
    let at_once = async || Rc::clone(&value);
    let later = async || {
        checkpoint().await.unwrap();
        Rc::clone(&value)
    };
    for came_out in [
        run(at_once()),
        run(later()),
        run_virtual(at_once()),
        run_virtual(later()),
        run_seeded(1, at_once()),
        run_seeded(1, later()),
    ] {
        assert!(Rc::ptr_eq(&came_out, &value), "this very value, and no copy of it");
    }
    assert_eq!(Rc::strong_count(&value), 1, "and nothing of a run is left");
}

/// Case 2. An error of main comes out as this very error, and in no group.
#[test]
fn an_error_of_main_comes_out_as_itself() {
    let e = Rc::new("E");
    let at_once = async || Err::<(), _>(Rc::clone(&e));
    let later = async || {
        checkpoint().await.unwrap();
        Err::<(), _>(Rc::clone(&e))
    };
    for came_out in [run(at_once()), run(later()), run_virtual(at_once()), run_virtual(later())] {
        assert!(Rc::ptr_eq(&came_out.unwrap_err(), &e));
    }
    let r: Result<(), Fault> = run(async { Run::nursery(async |_| Err(Fault::Named("E"))).await });
    assert_eq!(shape(&r), "E");
}

// ---- in a run, and outside -------------------------------------------------------------------------------

/// What the panic of `misuse` says.
fn refusal(misuse: impl FnOnce()) -> String {
    message(catch_unwind(AssertUnwindSafe(misuse)).expect_err("it has to be refused"))
}

/// Everything that needs a run says so where there is none.
fn assert_outside() {
    assert_eq!((current_task(), effective_deadline()), (None, None));
    let misuses: [(&str, &dyn Fn()); 5] = [
        ("CancelScope::new", &|| drop(CancelScope::new())),
        ("nursery", &|| drop(Run::nursery(async |_| Ok(())).now_or_never())),
        ("between_polls", &|| low_level::between_polls(|| ())),
        ("set_local", &|| drop(low_level::set_local(Rc::new(1)))),
        ("spawn_system", &|| _ = low_level::spawn_system(async {})),
    ];
    for (what, misuse) in misuses {
        let text = refusal(misuse);
        assert!(text.contains("no run is active on this thread"), "{what}: {text}");
    }
}

/// Case 4. Where no run is active, what needs one is refused: before a run, after one, after one that panicked.
/// (The time may be asked for everywhere: outside a run it is the machine's.)
#[test]
fn outside_a_run_what_needs_one_is_refused() {
    assert_outside();
    let (before, inside) = (now(), run(async { now() }));
    assert_outside();
    let after = now();
    assert!(before <= inside && inside <= after, "one clock: {before:?} {inside:?} {after:?}");
    assert_eq!(refusal(|| run(async { panic!("boom") })), "boom");
    assert_outside();
    assert!(run_virtual(async { now() }) < before, "the virtual clock is another one");
    assert!(refusal(|| jump(S)).contains("virtual clock"));
}

/// Case 5. Two readings of the machine's clock, one tick apart, are in order.
#[test]
fn the_machines_clock_moves_on_and_never_back() {
    run(async {
        let mut last = now();
        let mut ticks = 0;
        for _ in 0..10_000_000 {
            let t = now();
            assert!(t >= last, "{t:?} came after {last:?}");
            ticks += u32::from(t > last);
            last = t;
            if ticks == 1000 {
                return;
            }
        }
        panic!("{ticks} ticks in ten million readings");
    });
}

/// Does this code stand in a run, and in a task of it?
fn stands() -> (bool, bool) {
    // Shielded: else it shows why the scope around it was cancelled, if it was.
    let Ok(scope) = catch_unwind(|| CancelScope::new().shield()) else {
        assert_eq!(current_task(), None);
        return (false, false);
    };
    scope.cancel();
    let Some(Reason::Requested { by }) = scope.reason() else { panic!("{:?}", scope.reason()) };
    assert_eq!(by, current_task(), "who requests a cancel is written down");
    (true, by.is_some())
}

const OUTSIDE: (bool, bool) = (false, false);
const BETWEEN_POLLS: (bool, bool) = (true, false);
const IN_TASK: (bool, bool) = (true, true);

/// A waker that notes where it is called: the counterpart of trio's abort callback.
#[derive(Default)]
struct Notes(Mutex<Vec<(bool, bool)>>);

impl Wake for Notes {
    fn wake(self: Arc<Self>) {
        let here = stands();
        self.0.lock().unwrap().push(here);
    }
}

impl Notes {
    fn taken(&self) -> Vec<(bool, bool)> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

/// Case 7. Outside, in a task and in what it calls, on a thread that works for it, in a waker that an expired scope calls.
#[test]
fn code_can_tell_whether_it_stands_in_a_run_and_in_a_task() {
    assert_eq!(stands(), OUTSIDE);
    in_every_order(async || {
        assert_eq!(stands(), IN_TASK);
        let seen = Rc::new(RefCell::new(Vec::new()));
        let r = Run::nursery(async |n| {
            n.spawn(async {
                seen.borrow_mut().push(stands());
                Ok(())
            });
            let s = Rc::clone(&seen);
            n.spawn_static(async move {
                s.borrow_mut().push(stands());
                Ok(())
            });
            assert_eq!(stands(), IN_TASK, "the body is the task that opened the nursery");
            Ok(())
        })
        .await;
        assert_eq!((shape(&r).as_str(), seen.borrow().as_slice()), ("ok", &[IN_TASK; 2][..]));
        assert_eq!(thread::spawn(stands).join().unwrap(), OUTSIDE);
        let seen = Rc::new(Cell::new(OUTSIDE));
        let s = Rc::clone(&seen);
        low_level::between_polls(move || s.set(stands()));
        wait_until_idle().await.unwrap();
        assert_eq!(seen.get(), BETWEEN_POLLS);
    });
    assert_eq!(stands(), OUTSIDE);
}

/// Case 7. The same in a waker that a cancel calls: in the task that cancels, or between two polls if the loop does.
#[test]
fn a_waker_that_a_cancel_calls_stands_where_the_cancel_happens() {
    let notes = Arc::new(Notes::default());
    let waker = Waker::from(Arc::clone(&notes));
    in_every_order(async || {
        for due in [Duration::ZERO, S] {
            let r: Result<Option<()>, Fault> = CancelScope::new()
                .run(async |s| {
                    let mut wait = pin!(sleep_forever());
                    assert!(wait.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
                    s.set_deadline(Some(now() + due));
                    let expected = if due.is_zero() {
                        IN_TASK
                    } else {
                        assert_eq!(notes.taken(), []);
                        jump(due);
                        yield_now().await;
                        BETWEEN_POLLS
                    };
                    assert_eq!(notes.taken(), [expected]);
                    wait.await?;
                    Ok(())
                })
                .await;
            assert!(matches!(r, Ok(None)));
        }
    });
}

/// Notes which task runs it, and that it stays that one.
async fn notes_its_task(tasks: Rc<RefCell<Vec<TaskId>>>) -> Result<(), Fault> {
    let me = current_task().expect("a task polls this");
    tasks.borrow_mut().push(me);
    checkpoint().await?;
    assert_eq!(current_task(), Some(me));
    Ok(())
}

/// A child is a task of its own; the body is the task that opened the nursery.
#[test]
fn a_child_is_a_task_of_its_own_and_the_body_is_not() {
    in_every_order(async || {
        let me = current_task();
        let tasks = Rc::new(RefCell::new(vec![me.expect("main is a task")]));
        let r = Run::nursery(async |n| {
            assert_eq!(current_task(), me);
            n.spawn(notes_its_task(Rc::clone(&tasks)));
            n.spawn_static(notes_its_task(Rc::clone(&tasks)));
            drop(n.task(notes_its_task(Rc::clone(&tasks))));
            n.start(async |ready: Started<()>| {
                ready.set(());
                notes_its_task(Rc::clone(&tasks)).await
            })
            .await?;
            assert_eq!(current_task(), me);
            Ok(())
        })
        .await;
        assert_eq!(shape(&r), "ok");
        let distinct: HashSet<TaskId> = tasks.borrow().iter().copied().collect();
        assert_eq!((distinct.len(), tasks.borrow().len()), (5, 5), "{tasks:?}");
    });
}

/// Which run a scope says that it belongs to.
fn run_of(handle: &ScopeHandle) -> String {
    let text = refusal(|| handle.cancel());
    assert!(text.contains("outside any run"), "{text}");
    text.split(',').next().expect("what belongs to what").to_owned()
}

/// Case 8. What one run makes belongs to the same run; what the next makes belongs to another.
#[test]
fn objects_know_their_run_and_two_runs_are_told_apart() {
    let handle = async || CancelScope::new().handle();
    let (first, second) = run(async {
        let first = handle().await;
        checkpoint().await.unwrap();
        (first, handle().await)
    });
    let next = run(handle());
    assert_eq!(run_of(&first), run_of(&second));
    assert_ne!(run_of(&first), run_of(&next));
}
