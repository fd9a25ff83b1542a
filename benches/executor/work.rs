//! What the children of every contender do, and the tallies that show that they did it.
//!
//! ```text
//!   child(i) ─► one of three types, in a box ─► Yields(n) ─► ran()         spawn, yield, wake
//!   waiter   ─► Waiter::park() ─► waits, until it is told or dropped       cancel, memory
//! ```
//!
//! Rules: the same for every contender, so that a difference between columns is theirs. Children are boxed and of mixed
//! types, as in a program that starts different things in one group. Tallies are this thread's and cost an addition.

use std::cell::Cell;
use std::future::Future;
use std::hint::black_box;
use std::pin::Pin;
use std::task::{Context, Poll};

/// A child as all contenders get it.
pub(crate) type Boxed<O> = Pin<Box<dyn Future<Output = O>>>;

/// What a child gives back: nothing at most peers, a `Result` here.
pub(crate) trait Out: 'static {
    /// All went well.
    fn fine() -> Self;
}

impl Out for () {
    fn fine() -> Self {}
}

impl<E: 'static> Out for Result<(), E> {
    fn fine() -> Self {
        Ok(())
    }
}

thread_local! {
    static RAN: Cell<u64> = const { Cell::new(0) };
    static WAKES: Cell<u64> = const { Cell::new(0) };
    static PARKED: Cell<u64> = const { Cell::new(0) };
    static DROPPED: Cell<u64> = const { Cell::new(0) };
    static TOLD: Cell<u64> = const { Cell::new(0) };
}

/// What happened since the last call: everything is taken back to 0.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Tally {
    /// Children that came to their end.
    pub(crate) ran: u64,
    /// Wakes, each followed by a poll.
    pub(crate) wakes: u64,
    /// Waiters whose destructor ran.
    pub(crate) dropped: u64,
    /// Waiters that saw the cancellation as a value, and could have cleaned up.
    pub(crate) told: u64,
}

pub(crate) fn take_tally() -> Tally {
    Tally { ran: RAN.take(), wakes: WAKES.take(), dropped: DROPPED.take(), told: TOLD.take() }
}

/// A child came to its end.
pub(crate) fn ran() {
    RAN.set(RAN.get() + 1);
}

/// How many waiters wait now.
pub(crate) fn parked() -> u64 {
    PARKED.get()
}

/// The `i`-th child, which wakes itself `yields` times.
pub(crate) fn child<O: Out>(i: u64, yields: u64) -> Boxed<O> {
    match i % 3 {
        0 => Box::pin(plain(yields)),
        1 => Box::pin(async move {
            Yields::new(black_box(yields)).await;
            ran();
            O::fine()
        }),
        _ => Box::pin(async move {
            let salt = black_box(i);
            Yields::new(yields).await;
            ran();
            black_box(salt);
            O::fine()
        }),
    }
}

/// The same, of one type and without a box.
pub(crate) async fn plain<O: Out>(yields: u64) -> O {
    Yields::new(yields).await;
    ran();
    O::fine()
}

/// The `i`-th child that does nothing.
pub(crate) fn no_op<O: Out>(i: u64) -> Boxed<O> {
    match i % 3 {
        0 => Box::pin(plain_no_op(i)),
        1 => Box::pin(async move {
            black_box(&i);
            ran();
            O::fine()
        }),
        _ => Box::pin(async move {
            ran();
            black_box((i, i));
            O::fine()
        }),
    }
}

/// The same, of one type and without a box.
pub(crate) async fn plain_no_op<O: Out>(i: u64) -> O {
    black_box(i);
    ran();
    O::fine()
}

/// Wakes itself, and is pending, `left` times.
#[derive(Debug)]
pub(crate) struct Yields {
    left: u64,
    all: u64,
}

impl Yields {
    pub(crate) fn new(times: u64) -> Self {
        Yields { left: times, all: times }
    }
}

impl Future for Yields {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.left == 0 {
            WAKES.set(WAKES.get() + self.all);
            return Poll::Ready(());
        }
        self.left -= 1;
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// A waiter that is parked, and counts its end.
#[derive(Debug)]
pub(crate) struct Waiter(());

impl Waiter {
    /// Called by a child right before it waits.
    pub(crate) fn park() -> Self {
        PARKED.set(PARKED.get() + 1);
        Waiter(())
    }

    /// The waiter was told of the cancellation.
    pub(crate) fn told(&self) {
        TOLD.set(TOLD.get() + 1);
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        PARKED.set(PARKED.get() - 1);
        DROPPED.set(DROPPED.get() + 1);
    }
}

/// Lets others run until all `waiters` are parked: then a cancellation meets waiters, not children yet to start.
pub(crate) async fn all_parked(waiters: u64) {
    for _ in 0..=waiters {
        if parked() == waiters {
            return;
        }
        Yields::new(1).await;
    }
    panic!("{} of {waiters} waiters are parked, and this task has yielded more often than that", parked());
}
