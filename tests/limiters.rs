//! Promise: whoever decides how many threads are at work is asked before each call, and has its permit back when the thread is
//! done, however the call ends.
//!
//! ```text
//!   run_limited(&limiter, f) ─ acquire() ─► permit ─ the thread is done, or there is none ─► dropped in the loop
//! ```
//!
//! Rules: threads wait at gates, so that their orders are made and not hoped for.

#[path = "support/by_hand.rs"]
mod by_hand;

use by_hand::{message, poll_once};
use pleach_executor::sync::Semaphore;
use pleach_executor::testing::{run_virtual, wait_until_idle};
use pleach_executor::threads::{Limiter, ThreadError, ToThread, at_work, wait_for_all};
use pleach_executor::{CancelScope, Cancelled, check, checkpoint, move_on_after, now, run, sleep};
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::rc::Rc;
use std::sync::mpsc;
use std::thread::ThreadId;
use std::time::Duration;

/// So many as a semaphore has permits; counts what came back, and where.
#[derive(Clone)]
struct Counted {
    free: Rc<Semaphore>,
    back: Rc<Cell<usize>>,
    home: ThreadId,
    /// What goes wrong when a permit comes back.
    breaks: bool,
}

impl Counted {
    fn new(permits: usize) -> Self {
        let home = std::thread::current().id();
        Counted { free: Rc::new(Semaphore::new(permits)), back: Rc::default(), home, breaks: false }
    }

    fn is_whole(&self, permits: usize) -> bool {
        self.free.stats().left == permits
    }
}

struct Permit(Counted);

impl Drop for Permit {
    fn drop(&mut self) {
        assert_eq!(std::thread::current().id(), self.0.home, "on the thread of the run");
        self.0.back.set(self.0.back.get() + 1);
        self.0.free.add(1).unwrap();
        if self.0.breaks {
            panic!("no way back");
        }
    }
}

impl Limiter for Counted {
    type Permit = Permit;

    async fn acquire(&self) -> Result<Permit, Cancelled> {
        self.free.acquire().await?.forget();
        Ok(Permit(self.clone()))
    }
}

/// Row 11.4 of the features. Anybody may decide who has a thread.
#[test]
fn a_limiter_of_ones_own_is_asked_and_has_its_permit_back() {
    run(async {
        let limiter = Counted::new(1);
        for n in 1..=3 {
            assert_eq!(ToThread::new().run_limited(&limiter, move |_| n).await.unwrap(), n);
            assert!(limiter.is_whole(1) && limiter.back.get() == n);
        }
        let panicked = catch(async {
            ToThread::new().run_limited(&limiter, |_| panic!("P")).await.unwrap();
        });
        assert_eq!(panicked.await, "P");
        assert!(limiter.is_whole(1) && limiter.back.get() == 4);
    });
}

/// The message of the panic that a future ends with.
async fn catch(f: impl Future<Output = ()>) -> String {
    let mut f = pin!(f);
    let ended = std::future::poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| f.as_mut().poll(cx))) {
        Ok(polled) => polled.map(Ok),
        Err(payload) => std::task::Poll::Ready(Err(payload)),
    });
    message(ended.await.unwrap_err())
}

/// The second call waits for the first one's thread; cancelled while it does, it has had nothing, and `f` was not called.
#[test]
fn who_waits_for_a_permit_can_be_cancelled() {
    run(async {
        let limiter = Counted::new(1);
        let (go, gate) = mpsc::channel::<()>();
        let mut first = pin!(ToThread::new().run_limited(&limiter, move |_| gate.recv().unwrap()));
        assert!(poll_once(first.as_mut()).await.is_pending());
        let second: Result<Option<()>, Cancelled> = CancelScope::new()
            .run(async |scope| {
                let mut call = pin!(ToThread::new().run_limited(&limiter, |_| unreachable!()));
                assert!(poll_once(call.as_mut()).await.is_pending());
                scope.cancel();
                let Err(ThreadError::Cancelled(c)) = call.await else { panic!("it was cancelled") };
                Err(c)
            })
            .await;
        assert!(matches!(second, Ok(None)));
        assert_eq!(at_work(), 1);
        go.send(()).unwrap();
        first.await.unwrap();
        assert!(limiter.is_whole(1) && limiter.back.get() == 1);
    });
}

/// A call that is given up, or dropped, keeps its permit as long as its thread is at work.
#[test]
fn an_abandoned_call_keeps_its_permit_until_its_thread_is_done() {
    run(async {
        let limiter = Counted::new(1);
        let (go, gate) = mpsc::channel::<()>();
        let given_up: Result<Option<()>, Cancelled> = move_on_after(Duration::from_millis(1), async |_| {
            let call = ToThread::new().abandonable().run_limited(&limiter, move |_| gate.recv().unwrap());
            let Err(ThreadError::Cancelled(c)) = call.await else { panic!("it was given up") };
            Err(c)
        })
        .await;
        assert!(matches!(given_up, Ok(None)));
        assert!(limiter.is_whole(0) && limiter.back.get() == 0);
        go.send(()).unwrap();
        wait_for_all().await.unwrap();
        checkpoint().await.unwrap();
        assert!(limiter.is_whole(1) && limiter.back.get() == 1);
    });
}

/// The panic of a permit that comes back is the run's, and the call is over all the same.
#[test]
fn a_permit_that_panics_when_it_comes_back_takes_nothing_from_its_caller() {
    let (value, told) = (Cell::new(0), Cell::new(false));
    let r = catch_unwind(AssertUnwindSafe(|| {
        run(async {
            let limiter = Counted { breaks: true, ..Counted::new(1) };
            value.set(ToThread::new().run_limited(&limiter, |_| 42).await.unwrap());
            told.set(check().is_err());
            assert!(limiter.is_whole(1));
        });
    }));
    assert_eq!(message(r.unwrap_err()), "no way back");
    assert_eq!((value.get(), told.get()), (42, true), "main goes on, cancelled");
    run(async { checkpoint().await.unwrap() });
}

/// The virtual clock stands still while a caller waits for its thread, whoever has let it begin.
#[test]
fn time_stands_still_for_a_call_under_any_limiter() {
    run_virtual(async {
        let limiter = Counted::new(1);
        let begun = now();
        let (there, here) = mpsc::channel::<()>();
        let mut call = pin!(ToThread::new().run_limited(&limiter, move |_| here.recv().unwrap()));
        assert!(poll_once(call.as_mut()).await.is_pending());
        let mut nap = pin!(sleep(Duration::from_secs(1)));
        assert!(poll_once(nap.as_mut()).await.is_pending());
        there.send(()).unwrap();
        call.await.unwrap();
        assert_eq!(now(), begun);
        wait_until_idle().await.unwrap();
        nap.await.unwrap();
    });
}
