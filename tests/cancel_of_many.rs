//! Promise: a cancel reaches every operation that waits in its scope, however many there are, and whatever the first of them
//! does when it is woken.
//!
//! ```text
//!   scope ─┬─ 500 wait          cancel ─► a batch is woken ─► the next ─► … ─► each was woken, once
//!          ├─ scope ─ 500 wait               └─ one of them drops the scope, or cancels another
//!          └─ shield ─ 10 wait                  not these
//! ```
//!
//! Rules: every operation has a foreign waker that counts, so nothing but the cancel can have woken it; a thousand are more
//! than fit into any batch.

use pleach_executor::testing::run_virtual;
use pleach_executor::{CancelScope, Cancelled, ScopeHandle, check, shielded, sleep_forever, yield_now};
use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

type Forever = Pin<Box<dyn Future<Output = Result<Infallible, Cancelled>>>>;

thread_local! {
    /// What the wakers with this errand do when they are woken, once.
    static ERRAND: RefCell<Option<Box<dyn FnOnce()>>> = const { RefCell::new(None) };
}

/// A foreign waker that counts, and runs the errand if there is one.
#[derive(Default)]
struct Counts(AtomicUsize);

impl Wake for Counts {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
        let errand = ERRAND.take();
        if let Some(errand) = errand {
            errand();
        }
    }
}

/// Operations that wait, each with a waker of its own.
#[derive(Default)]
struct Many(Vec<(Forever, Arc<Counts>)>);

/// Fewer operations than the budget of a task allows in one of its polls.
const AT_ONCE: usize = 50;

impl Many {
    fn new(n: usize) -> Many {
        Many((0..n).map(|_| (Box::pin(sleep_forever()) as Forever, Arc::default())).collect())
    }

    fn poll(ops: &mut [(Forever, Arc<Counts>)]) {
        for (op, counts) in ops {
            let waker = Waker::from(Arc::clone(counts));
            assert!(op.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        }
    }

    /// One poll each, in the scope that is current: they wait in it.
    async fn park(&mut self) {
        let before = self.wakes();
        for ops in self.0.chunks_mut(AT_ONCE) {
            Many::poll(ops);
            yield_now().await;
        }
        assert_eq!(self.wakes(), before, "nobody was woken for want of budget");
    }

    /// One poll each: they are told.
    async fn are_told(&mut self) {
        for ops in self.0.chunks_mut(AT_ONCE) {
            for (op, _) in ops {
                assert!(op.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready());
            }
            yield_now().await;
        }
    }

    /// How often they were woken, one by one.
    fn wakes(&self) -> Vec<usize> {
        self.0.iter().map(|(_, counts)| counts.0.load(Ordering::Relaxed)).collect()
    }
}

/// A scope that never ends by itself.
type Run = Pin<Box<dyn Future<Output = ()>>>;

/// A scope in which `many` wait, and the handle of it.
async fn around(many: &Rc<RefCell<Many>>) -> (Run, ScopeHandle) {
    let (scope, parked) = (CancelScope::new(), Rc::new(Cell::new(false)));
    let (handle, many, is_parked) = (scope.handle(), Rc::clone(many), Rc::clone(&parked));
    let mut run: Run = Box::pin(async move {
        let never = scope.run(async |_| {
            let mut here = many.take();
            here.park().await;
            many.replace(here);
            is_parked.set(true);
            poll_fn(|_| Poll::<Result<(), Cancelled>>::Pending).await
        });
        let _ended = never.await;
    });
    while !parked.get() {
        assert!(run.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        yield_now().await;
    }
    (run, handle)
}

#[test]
fn each_of_a_thousand_is_woken_once_and_those_behind_a_shield_are_not() {
    run_virtual(async {
        let (mut outer, mut inner, mut safe) = (Many::new(500), Many::new(500), Many::new(10));
        let left = CancelScope::new().run(async |s| {
            outer.park().await;
            let inside = CancelScope::new().run(async |_| {
                inner.park().await;
                let behind: Result<(), Cancelled> = shielded(async |_| {
                    safe.park().await;
                    s.cancel();
                    assert_eq!((outer.wakes(), inner.wakes()), (vec![1; 500], vec![1; 500]));
                    safe.park().await;
                    assert_eq!(safe.wakes(), [0; 10]);
                    Ok(())
                })
                .await;
                assert!(behind.is_ok());
                inner.are_told().await;
                check()
            });
            assert!(inside.await.is_err(), "it is not the inner scope that was cancelled");
            outer.are_told().await;
            check()
        });
        assert!(matches!(left.await, Ok(None)));
    });
}

#[test]
fn the_others_are_woken_although_the_first_ends_the_scope() {
    run_virtual(async {
        let many = Rc::new(RefCell::new(Many::new(1000)));
        let (run, scope) = around(&many).await;
        ERRAND.set(Some(Box::new(move || drop(run))));
        scope.cancel();
        assert!(ERRAND.take().is_none(), "the first has done it");
        assert_eq!(many.borrow().wakes(), [1; 1000]);
        // Their scope is gone, and nothing else is cancelled here: they wait on.
        let mut many = many.take();
        many.park().await;
    });
}

#[test]
fn the_others_are_woken_although_the_first_cancels_another_scope() {
    run_virtual(async {
        let [in_a, in_b] = [0; 2].map(|_| Rc::new(RefCell::new(Many::new(1000))));
        let ((_run_a, a), (_run_b, b)) = (around(&in_a).await, around(&in_b).await);
        let (a_then, b_then) = (Rc::clone(&in_a), Rc::clone(&in_b));
        ERRAND.set(Some(Box::new(move || {
            b.cancel();
            assert_eq!(b_then.borrow().wakes(), [1; 1000]);
            let told = a_then.borrow().wakes().iter().sum::<usize>();
            assert!(told > 500, "nobody waits for the outer cancel but those it has in hand: {told}");
        })));
        a.cancel();
        assert_eq!((in_a.borrow().wakes(), in_b.borrow().wakes()), (vec![1; 1000], vec![1; 1000]));
    });
}

#[test]
fn one_that_was_woken_and_waits_on_elsewhere_is_reached_there() {
    run_virtual(async {
        let many = Rc::new(RefCell::new(Many::new(300)));
        let (run, first) = around(&many).await;
        first.cancel();
        assert_eq!(many.borrow().wakes(), [1; 300]);
        // Polled again, but in another scope; that of before does not take them with it.
        let (_second, second) = around(&many).await;
        drop(run);
        second.cancel();
        assert_eq!(many.borrow().wakes(), [2; 300]);
    });
}

#[test]
fn the_others_are_woken_although_the_first_drops_some_of_them() {
    for kept in 2..5 {
        run_virtual(async move {
            let many = Rc::new(RefCell::new(Many::new(1000)));
            let (_run, scope) = around(&many).await;
            let drops = Rc::clone(&many);
            ERRAND.set(Some(Box::new(move || {
                let mut place = 0;
                drops.borrow_mut().0.retain(|_| {
                    place += 1;
                    place % kept == 0
                });
            })));
            scope.cancel();
            assert_eq!(many.borrow().wakes(), vec![1; 1000 / kept]);
        });
    }
}

#[test]
fn one_that_was_woken_is_in_nobodys_way_when_it_goes() {
    run_virtual(async {
        let [before, after] = [0; 2].map(|_| Rc::new(RefCell::new(Many::new(300))));
        let (run, first) = around(&before).await;
        first.cancel();
        drop(run);
        // The next scope has the place of the first one in the tree.
        let (_run, second) = around(&after).await;
        drop(before.take());
        second.cancel();
        assert_eq!(after.borrow().wakes(), [1; 300]);
    });
}
