//! Promise: the assertions about checkpoints accept both halves of a checkpoint together and nothing less, and refuse
//! either half where there is to be none.
//!
//! Rules: `Case n.` refers to the list of executor cases; `conformance.tsv` says where each is tested.

use pleach_executor::sync::Event;
use pleach_executor::sync::channel::bounded;
use pleach_executor::testing::{assert_checkpoints, assert_no_checkpoints, run_virtual};
use pleach_executor::{CancelScope, Cancelled, check, checkpoint, sleep, yield_now};
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

/// Does this run panic, and with what?
fn refused<F: AsyncFnOnce()>(body: F) -> Option<String> {
    let payload = catch_unwind(AssertUnwindSafe(|| run_virtual(body()))).err()?;
    Some(payload.downcast_ref::<String>().expect("a message").clone())
}

/// Case 239. Nothing, only the question, only the suspension: each is refused by the one, and all but the first by the
/// other; both together the other way round.
#[test]
fn a_checkpoint_is_both_halves_of_one() {
    let only_asks = async || check().expect("nothing is cancelled");
    let both_apart = async || {
        check().expect("nothing is cancelled");
        yield_now().await;
    };
    assert!(
        refused(async || assert_checkpoints(async {}).await)
            .expect("refused")
            .contains("nothing in it waits")
    );
    assert!(
        refused(async || assert_checkpoints(only_asks()).await).expect("refused").contains("nobody else")
    );
    assert!(refused(async || assert_checkpoints(yield_now()).await).expect("refused").contains("never asks"));
    assert_eq!(refused(async || assert_checkpoints(both_apart()).await), None);
    assert_eq!(refused(async || drop(assert_checkpoints(checkpoint()).await)), None);

    assert_eq!(refused(async || assert_no_checkpoints(async {}).await), None);
    assert!(refused(async || assert_no_checkpoints(only_asks()).await).is_some());
    assert!(refused(async || assert_no_checkpoints(yield_now()).await).is_some());
    assert!(refused(async || assert_no_checkpoints(both_apart()).await).is_some());
}

#[test]
fn the_message_names_the_place_of_the_assertion() {
    let text = refused(async || assert_checkpoints(async {}).await).expect("refused");
    assert!(text.contains("checkpoint_assertions.rs"), "{text}");
}

/// A ready operation does not suspend, and is charged for that.
#[test]
fn every_operation_of_ours_is_a_checkpoint_whether_ready_or_not() {
    run_virtual(async {
        let up = Event::new();
        up.set();
        assert_checkpoints(up.wait()).await.unwrap();
        let (send, receive) = bounded(1);
        assert_checkpoints(send.send(1)).await.unwrap().unwrap();
        assert_eq!(assert_checkpoints(receive.receive()).await.unwrap(), Ok(1));
        assert_no_checkpoints(async { send.try_send(2).unwrap() }).await;
        assert_checkpoints(sleep(Duration::ZERO)).await.unwrap();
        assert_checkpoints(sleep(Duration::from_secs(1))).await.unwrap();
    });
}

/// In a cancelled scope as well: the question is answered with yes.
#[test]
fn a_checkpoint_that_fails_is_one() {
    let r: Result<Option<()>, Cancelled> = run_virtual(async {
        CancelScope::new()
            .run(async |scope| {
                scope.cancel();
                assert!(assert_checkpoints(sleep(Duration::from_secs(1))).await.is_err());
                check()
            })
            .await
    });
    assert!(matches!(r, Ok(None)));
}

/// The counting ends with the assertion, also if it is dropped half-way: afterwards a question that nobody has to look into
/// is free again, which the next assertion would notice.
#[test]
fn an_assertion_that_was_dropped_counts_no_more() {
    run_virtual(async {
        {
            let mut given_up = Box::pin(assert_checkpoints(std::future::pending::<()>()));
            std::future::poll_fn(|cx| {
                assert!(given_up.as_mut().poll(cx).is_pending());
                std::task::Poll::Ready(())
            })
            .await;
        }
        assert_no_checkpoints(async {}).await;
        assert_checkpoints(checkpoint()).await.unwrap();
    });
}
