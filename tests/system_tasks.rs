//! Promise: a task of the system belongs to the run: it sees no task's values, is cancelled at the end, and its panic ends the run.
//!
//! ```text
//!   low_level::spawn_system(fut) ─┬─ main ends ─► Cancelled(Shutdown) ─► awaited ─► run returns
//!                                 └─ panics ─► main is cancelled ─► the panic comes out of run
//! ```
//!
//! Rules: `Case n.` refers to the list of executor cases; `conformance.tsv` says where each is tested.

#[path = "support/by_hand.rs"]
mod by_hand;
#[path = "support/orders.rs"]
mod orders;

use by_hand::message;
use orders::in_every_order;
use pleach_executor::low_level::spawn_system;
use pleach_executor::testing::{run_seeded, run_virtual};
use pleach_executor::{Cancelled, Reason, TaskLocal, checkpoint, nursery, run, shielded, sleep_forever};
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

/// Case 121. The panic of a task of the system cancels main, and comes out when main has ended.
#[test]
fn a_panic_of_a_system_task_ends_a_run_whose_main_waits() {
    let starts: [fn(&Cell<bool>); 3] = [
        |cleaned| run(waits(cleaned)),
        |cleaned| run_virtual(waits(cleaned)),
        |cleaned| run_seeded(3, waits(cleaned)),
    ];
    for start in starts {
        let cleaned = Cell::new(false);
        let r = catch_unwind(AssertUnwindSafe(|| start(&cleaned)));
        assert_eq!(message(r.unwrap_err()), "P");
        assert!(cleaned.get(), "main was told, and not cut off");
    }
}

async fn waits(cleaned: &Cell<bool>) {
    spawn_system(async {
        checkpoint().await.unwrap();
        panic!("P");
    });
    let c = sleep_forever().await.unwrap_err();
    assert!(matches!(c.reason(), Reason::Shutdown));
    let _: Result<(), Cancelled> = shielded(async |_| checkpoint().await).await;
    cleaned.set(true);
}

/// Case 125. A task of the system starts without values; a child spawned in the same step has its spawner's.
#[test]
fn a_system_task_sees_no_value_of_the_task_that_starts_it() {
    static WHO: TaskLocal<u32> = TaskLocal::new();
    in_every_order(async || {
        let seen = Rc::new(RefCell::new(Vec::new()));
        let of_system = Rc::clone(&seen);
        let r: Result<(), Cancelled> = WHO
            .with_value(
                7,
                nursery(async |n| {
                    spawn_system(async move {
                        of_system.borrow_mut().push(("system", WHO.get().as_deref().copied()));
                    });
                    n.spawn(async {
                        seen.borrow_mut().push(("child", WHO.get().as_deref().copied()));
                        Ok(())
                    });
                    checkpoint().await?;
                    checkpoint().await
                }),
            )
            .await;
        r.unwrap();
        let mut seen = seen.take();
        seen.sort_unstable();
        assert_eq!(seen, [("child", Some(7)), ("system", None)]);
    });
}
