//! Polls a future by hand, and reads what a panic said.
//!
//! ```text
//!   poll_once(fut) ─► Pending ┐ it stays where it is,
//!   settle(fut)    ─► parked  ┘ to be polled elsewhere, or dropped
//!   message(payload) ─► the text of the panic
//! ```
//!
//! Rules: a hand-polled future gets the waker of the task that polls it, so nothing it waits for is lost.

#![allow(dead_code, reason = "every test file uses its own part of this")]

use pleach_executor::testing::wait_until_idle;
use std::any::Any;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;

/// One poll with the task's own waker.
pub(crate) async fn poll_once<F: Future + ?Sized>(mut fut: Pin<&mut F>) -> Poll<F::Output> {
    poll_fn(|cx| Poll::Ready(fut.as_mut().poll(cx))).await
}

/// Drives `fut` until it and everybody else waits for something.
pub(crate) async fn settle<F: Future + ?Sized>(mut fut: Pin<&mut F>) {
    let mut idle = pin!(wait_until_idle());
    poll_fn(|cx| {
        assert!(fut.as_mut().poll(cx).is_pending(), "it has ended instead of waiting");
        idle.as_mut().poll(cx)
    })
    .await
    .expect("nobody cancels a test that settles");
}

/// The text of a panic.
pub(crate) fn message(payload: Box<dyn Any + Send>) -> String {
    match payload.downcast::<&str>() {
        Ok(text) => (*text).into(),
        Err(other) => *other.downcast::<String>().expect("a panic with a text"),
    }
}
