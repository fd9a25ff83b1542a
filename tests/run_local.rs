//! Promise: the value that an upper layer puts into a run is seen by all of that run, and by nothing else.
//!
//! ```text
//!   set_local(v) ─► this run ─► local::<T>() in any of its tasks ─► gone when the run ends
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
use fault::{Run, shape};
use orders::in_every_order;
use pleach_executor::low_level::{between_polls, local, set_local, take_local};
use pleach_executor::testing::{run_virtual, wait_until_idle};
use std::panic::catch_unwind;
use std::rc::Rc;

/// Case 140. Absent until it is set (a default is the caller's own), absent again in the next run.
#[test]
fn a_value_of_the_run_is_absent_until_it_is_set_and_in_the_next_run() {
    for _ in 0..2 {
        run_virtual(async {
            assert!(local::<u32>().is_none());
            assert_eq!(local::<u32>().map_or(3, |v| *v), 3, "a default of this call");
            assert!(local::<u32>().is_none(), "which is not kept");
            set_local(Rc::new(7_u32));
            assert_eq!(local::<u32>().map_or(3, |v| *v), 7);
            assert!(local::<u64>().is_none(), "a value of another type is not it");
        });
    }
}

/// Case 140. The value goes with its run.
#[test]
fn a_value_of_the_run_is_dropped_with_the_run_or_when_it_is_replaced() {
    let (first, second) = (Rc::new(1_u8), Rc::new(2_u8));
    run_virtual(async {
        set_local(first.clone());
        assert_eq!(Rc::strong_count(&first), 2);
        set_local(second.clone());
        assert_eq!((Rc::strong_count(&first), Rc::strong_count(&second)), (1, 2));
    });
    assert_eq!(Rc::strong_count(&second), 1);
}

/// Each type has a place of its own, so layers do not take each other's values away.
#[test]
fn values_of_other_types_stay_where_they_are() {
    run_virtual(async {
        assert!(set_local(Rc::new(1_u8)).is_none());
        assert!(set_local(Rc::new(2_u16)).is_none());
        assert_eq!((set_local(Rc::new(3_u8)).as_deref(), local::<u16>().as_deref()), (Some(&1), Some(&2)));
        assert_eq!(take_local::<u8>().as_deref(), Some(&3));
        assert_eq!((take_local::<u8>(), local::<u16>().as_deref()), (None, Some(&2)));
    });
}

/// A panic of one that goes is the run's, and the others go all the same.
#[test]
fn all_values_go_with_the_run_although_one_of_them_panics() {
    struct Panics;
    impl Drop for Panics {
        fn drop(&mut self) {
            panic!("a value of the run");
        }
    }
    let (first, last) = (Rc::new(1_u8), Rc::new(2_u16));
    let ended = catch_unwind(std::panic::AssertUnwindSafe(|| {
        run_virtual(async {
            set_local(Rc::clone(&first));
            set_local(Rc::new(Panics));
            set_local(Rc::clone(&last));
        });
    }));
    assert_eq!(message(ended.expect_err("it panics")), "a value of the run");
    assert_eq!((Rc::strong_count(&first), Rc::strong_count(&last)), (1, 1));
}

/// The value that is set just now.
fn here() -> &'static str {
    *local::<&str>().expect("set")
}

/// Case 142. What one task sets all others see at once; the value before is put back by another task.
#[test]
fn a_value_set_by_one_task_is_seen_by_the_others_at_once() {
    in_every_order(async || {
        set_local(Rc::new("main's"));
        let before = local::<&str>().expect("set");
        let r = Run::nursery(async |n| {
            n.spawn(async {
                assert_eq!(here(), "main's");
                set_local(Rc::new("the child's"));
                Ok(())
            });
            wait_until_idle().await?;
            assert_eq!(here(), "the child's");
            n.spawn_static(async {
                assert_eq!(here(), "the child's");
                set_local(Rc::new("the static child's"));
                Ok(())
            });
            wait_until_idle().await?;
            between_polls(move || {
                assert_eq!(here(), "the static child's");
                set_local(Rc::new("the job's"));
            });
            wait_until_idle().await?;
            n.spawn(async {
                assert_eq!(here(), "the job's");
                set_local(before);
                Ok(())
            });
            wait_until_idle().await?;
            assert_eq!(here(), "main's");
            Ok(())
        })
        .await;
        assert_eq!(shape(&r), "ok");
    });
}

/// Case 143. Outside a run there is none, and none can be set.
#[test]
fn outside_a_run_there_is_no_value_and_none_can_be_set() {
    let assert_refused = || {
        assert!(local::<u32>().is_none());
        let refused = catch_unwind(|| set_local(Rc::new(1_u32))).expect_err("it belongs to no run");
        assert!(message(refused).contains("no run is active on this thread"));
        assert!(local::<u32>().is_none());
    };
    assert_refused();
    run_virtual(async { set_local(Rc::new(7_u32)) });
    assert_refused();
}
