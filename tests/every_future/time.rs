//! Checkpoints, sleeps, scopes, limits and task-local values.
//!
//! ```text
//!   checkpoint │ sleep │ CancelScope::run │ with_value ─ ends early ─► no timer, no scope, no value is left
//! ```

use crate::S;
use crate::fault::{Fault, Run};
use crate::trial::{Trial, cases};
use pleach_executor::testing::{
    assert_checkpoints, assert_no_checkpoints, limited, wait_until_idle, wait_until_idle_for,
};
use pleach_executor::{
    CancelScope, TaskLocal, checked, checkpoint, effective_deadline, fail_after, fail_at, graceful,
    move_on_after, move_on_at, now, shielded, sleep, sleep_forever, sleep_until, yield_now,
};
use std::future::pending;
use std::rc::Rc;

cases! {
    a_checkpoint => ["checkpoint.rs checkpoint"],
    a_yield => ["checkpoint.rs yield_now"],
    a_sleep => ["sleep.rs sleep"],
    a_sleep_until => ["sleep.rs sleep_until"],
    a_sleep_forever => ["sleep.rs sleep_forever"],
    a_checked_future => ["checkpoint.rs checked"],
    a_graceful_future => ["checkpoint.rs graceful"],
    a_scope => ["cancel/scope.rs CancelScope::run"],
    a_limit => ["cancel/scope.rs move_on_after", "nursery/typed.rs In::move_on_after"],
    a_limit_that_fails => ["cancel/scope.rs fail_after", "nursery/typed.rs In::fail_after"],
    a_limit_at_a_moment => ["cancel/moment.rs move_on_at", "nursery/typed.rs In::move_on_at"],
    a_limit_at_a_moment_that_fails => ["cancel/moment.rs fail_at", "nursery/typed.rs In::fail_at"],
    a_shield => ["cancel/scope.rs shielded", "nursery/typed.rs In::shielded"],
    a_body_with_a_value => ["locals.rs TaskLocal::with_value"],
    a_wait_for_idleness => ["testing/idle.rs wait_until_idle"],
    a_wait_for_longer_idleness => ["testing/idle.rs wait_until_idle_for"],
    a_limited_test => ["testing/limited.rs limited"],
    a_future_that_has_checkpoints => ["testing/checkpoints.rs assert_checkpoints"],
    a_future_that_has_none => ["testing/checkpoints.rs assert_no_checkpoints"],
}

async fn a_checkpoint(trial: &Trial) {
    trial.of(checkpoint()).await;
}

async fn a_yield(trial: &Trial) {
    trial.of(yield_now()).await;
}

async fn a_sleep(trial: &Trial) {
    trial.of(sleep(2 * S)).await;
}

async fn a_sleep_until(trial: &Trial) {
    trial.of(sleep_until(now() + 2 * S)).await;
}

async fn a_sleep_forever(trial: &Trial) {
    trial.never_ends();
    trial.of(sleep_forever()).await;
}

async fn a_checked_future(trial: &Trial) {
    let whole = Rc::new(());
    let theirs = Rc::clone(&whole);
    trial
        .of(checked(async move {
            let r = sleep(2 * S).await;
            drop(theirs);
            r
        }))
        .await;
    assert_eq!(Rc::strong_count(&whole), 1);
}

async fn a_graceful_future(trial: &Trial) {
    trial.never_ends();
    let stopped = Rc::new(());
    let theirs = Rc::clone(&stopped);
    trial.of(graceful(pending::<()>(), 3 * S, move || drop(theirs))).await;
    assert_eq!(Rc::strong_count(&stopped), 1);
}

async fn nap(_: &CancelScope) -> Result<(), Fault> {
    Ok(sleep(2 * S).await?)
}

async fn a_scope(trial: &Trial) {
    let mut handle = None;
    trial
        .of(CancelScope::new().timeout(9 * S).run(async |s| {
            handle = Some(s.handle());
            nap(s).await
        }))
        .await;
    assert_eq!(effective_deadline(), None, "the limit of a scope that is gone");
    if let Some(handle) = handle {
        handle.cancel();
    }
    assert!(checkpoint().await.is_ok(), "a scope that is gone reaches nobody");
}

async fn a_limit(trial: &Trial) {
    trial.of(move_on_after(9 * S, nap)).await;
    trial.of(Run::move_on_after(2 * S, nap)).await;
}

async fn a_limit_that_fails(trial: &Trial) {
    trial.of(fail_after(9 * S, nap)).await;
    trial.of(Run::fail_after(S, nap)).await;
}

async fn a_limit_at_a_moment(trial: &Trial) {
    trial.of(move_on_at(now() + 9 * S, nap)).await;
    trial.of(Run::move_on_at(now() + 2 * S, nap)).await;
}

async fn a_limit_at_a_moment_that_fails(trial: &Trial) {
    trial.of(fail_at(now() + 9 * S, nap)).await;
    trial.of(Run::fail_at(now() + S, nap)).await;
}

async fn a_shield(trial: &Trial) {
    if let Some(ended) = trial.of(shielded(nap)).await {
        assert!(ended.is_ok(), "what is shielded ends well");
    }
    trial.of(Run::shielded(nap)).await;
}

async fn a_body_with_a_value(trial: &Trial) {
    static VALUE: TaskLocal<Rc<()>> = TaskLocal::new();
    let value = Rc::new(());
    let body = async {
        sleep(2 * S).await?;
        assert!(VALUE.get().is_some());
        checkpoint().await
    };
    trial.of(VALUE.with_value(Rc::clone(&value), body)).await;
    assert!(VALUE.get().is_none());
    assert_eq!(Rc::strong_count(&value), 1);
}

async fn a_wait_for_idleness(trial: &Trial) {
    trial.of(wait_until_idle()).await;
}

async fn a_wait_for_longer_idleness(trial: &Trial) {
    trial.of(wait_until_idle_for(S / 2)).await;
}

async fn a_limited_test(trial: &Trial) {
    trial.of(limited(99 * S, sleep(2 * S))).await;
}

async fn a_future_that_has_checkpoints(trial: &Trial) {
    trial.of(assert_checkpoints(sleep(2 * S))).await;
}

async fn a_future_that_has_none(trial: &Trial) {
    trial.never_waits();
    trial.of(assert_no_checkpoints(async { 7 })).await;
}
