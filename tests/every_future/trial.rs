//! One way to end a future early, and all of them in turn.
//!
//! ```text
//!   at_every_await(case) ─► for each end, k, order: Trial ─► case(&trial) ─ trial.beside(future, world) ─► Some(value) │ None
//! ```

use crate::S;
use crate::by_hand::poll_once;
use crate::orders::in_every_order;
use futures_util::future::join;
use pleach_executor::testing::wait_until_idle;
use pleach_executor::{CancelScope, Cancelled, shielded, sleep, stats};
use std::cell::Cell;
use std::future::Future;

/// More polls than any future here takes, or the cancellation of any.
const MOST: usize = 24;

/// What becomes of a future after its polls.
#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    /// Dropped where its last poll left it.
    Dropped,
    /// Dropped after the world has gone on: it may have been woken.
    DroppedLater,
    /// Its scope is cancelled, and it is not polled again.
    CancelledAndDropped,
    /// Its scope is cancelled, and it is polled until it ends.
    Cancelled,
}

const ENDS: [End; 4] = [End::Dropped, End::DroppedLater, End::CancelledAndDropped, End::Cancelled];

/// How the future of a case ends this time.
#[derive(Debug)]
pub(crate) struct Trial {
    end: End,
    polls: usize,
    ended_by_itself: Cell<bool>,
    kind: Cell<Kind>,
}

/// What its case says about a future.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Waits,
    MayWait,
    NeverWaits,
    NeverEnds,
}

impl Trial {
    /// The future of this case ends in its first poll.
    pub(crate) fn never_waits(&self) {
        self.kind.set(Kind::NeverWaits);
    }

    /// Whether the future of this case waits is up to the system.
    pub(crate) fn may_wait(&self) {
        self.kind.set(Kind::MayWait);
    }

    /// The future of this case ends only if it is cancelled.
    pub(crate) fn never_ends(&self) {
        self.kind.set(Kind::NeverEnds);
    }

    /// Polls `fut` as often as this trial says; its value, if it came to one.
    pub(crate) async fn of<F: Future>(&self, fut: F) -> Option<F::Output> {
        let scope = CancelScope::new();
        let ended = scope.run(async |scope| Ok::<_, Cancelled>(self.drive(scope, fut).await)).await;
        ended.expect("nothing here passes a cancellation on").flatten()
    }

    /// The same while `world` goes on, which it does to its end, also without it.
    pub(crate) async fn beside<F: Future, W: Future>(&self, fut: F, world: W) -> Option<F::Output> {
        join(self.of(fut), world).await.0
    }

    async fn drive<F: Future>(&self, scope: &CancelScope, fut: F) -> Option<F::Output> {
        let mut fut = Box::pin(fut);
        for poll in 0..self.polls {
            if poll > 0 {
                pass().await;
            }
            if let std::task::Poll::Ready(value) = poll_once(fut.as_mut()).await {
                self.ended_by_itself.set(true);
                return Some(value);
            }
        }
        if self.end != End::Dropped {
            pass().await;
        }
        if matches!(self.end, End::CancelledAndDropped | End::Cancelled) {
            scope.cancel();
        }
        if self.end != End::Cancelled {
            return None;
        }
        for _ in 0..MOST {
            if let std::task::Poll::Ready(value) = poll_once(fut.as_mut()).await {
                return Some(value);
            }
            pass().await;
        }
        panic!("it was cancelled and does not end");
    }
}

/// Everybody else goes on until nothing is left to do, and so does time.
pub(crate) async fn pass() {
    let passed = shielded(async |_| {
        wait_until_idle().await?;
        sleep(S).await
    });
    passed.await.expect("shielded");
}

/// What is registered now.
fn registered() -> [(&'static str, usize); 5] {
    let s = stats();
    [
        ("tasks", s.tasks),
        ("scopes", s.scopes),
        ("waiting", s.waiting),
        ("timers", s.timers),
        ("descriptors", s.registrations),
    ]
}

/// Says which trial a case failed in.
struct Named(End, usize);

impl Drop for Named {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("this was: {:?} after {} polls", self.0, self.1);
        }
    }
}

/// Runs `case` with every end, after every number of polls, in every order, and compares what is registered.
pub(crate) fn at_every_await(case: impl AsyncFn(&Trial)) {
    for end in ENDS {
        let reached = (0..=MOST).find(|&polls| ends_by_itself(end, polls, &case));
        assert!(reached.is_some(), "{end:?}: it has not ended after {MOST} polls");
    }
}

/// Has it seen all of the future that it can with that many polls, in every order?
fn ends_by_itself(end: End, polls: usize, case: &impl AsyncFn(&Trial)) -> bool {
    let _named = Named(end, polls);
    let to_its_end = Cell::new(true);
    in_every_order(async || {
        let before = registered();
        let trial = Trial { end, polls, ended_by_itself: Cell::default(), kind: Cell::new(Kind::Waits) };
        case(&trial).await;
        pass().await;
        assert_eq!(registered(), before, "something is left behind");
        let ended = trial.ended_by_itself.get();
        match trial.kind.get() {
            Kind::Waits => assert!(!(ended && polls == 1), "it does not wait: there is nothing to see"),
            Kind::MayWait => {}
            Kind::NeverWaits => assert_eq!(ended, polls > 0, "it waits after all"),
            Kind::NeverEnds => assert!(!ended, "it ends after all"),
        }
        to_its_end.set(to_its_end.get() && (ended || trial.kind.get() == Kind::NeverEnds && polls >= 4));
    });
    to_its_end.get()
}

/// The cases of one file: a test for each, and the futures that they stand for.
///
/// `cases! { case_name => ["sync/lock.rs Lock::lock"], … }` takes the `async fn case_name(trial: &Trial)` of the same file.
macro_rules! cases {
    ($($case:ident => [$($name:literal),* $(,)?]),+ $(,)?) => {
        /// The futures that have their case in this file.
        pub(crate) const COVERED: &[&str] = &[$($($name,)*)+];

        mod nothing_is_lost_by_any_end_of {
            $(#[test]
            fn $case() {
                $crate::trial::at_every_await(super::$case);
            })+
        }
    };
}
pub(crate) use cases;
