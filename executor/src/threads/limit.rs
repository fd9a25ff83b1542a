//! How many calls may have a thread at a time.
//!
//! ```text
//!   acquire() ─ one is free, and nobody waits? ─► Permit ─ dropped ─► the oldest in line has it │ free
//!                 └ else to the end of the line ─ granted ─►┘
//! ```
//!
//! Rules:
//! * First come, first served.
//! * **Granted Is a Fact**: a permit is handed to a waiter and not announced; if its wait is dropped then, it goes on to the
//!   next in line.
//! * Woken and dropped outside of every borrow.

use crate::checkpoint::Wait;
use crate::error::Cancelled;
use crate::panics::Steps;
use crate::waits::Waits;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::future::{Future, poll_fn};
use std::num::NonZeroUsize;
use std::rc::Rc;
use std::task::{Poll, Waker};

/// Who may have a thread now: for [`ToThread::run_limited`](super::ToThread::run_limited), where a number is not the measure
/// (memory, a quota of each user, licences). [`ThreadLimit`] is the one that counts.
///
/// # References
///
/// What trio calls a limiter: anything with `acquire_on_behalf_of` and `release_on_behalf_of`.
///
/// ```
/// use pleach_executor::sync::Semaphore;
/// use pleach_executor::threads::{Limiter, ToThread};
/// use pleach_executor::{Cancelled, run};
/// use std::rc::Rc;
///
/// /// So many calls at a time as a semaphore has permits, which others take as well.
/// struct Shared(Rc<Semaphore>);
///
/// struct Back(Rc<Semaphore>);
///
/// impl Drop for Back {
///     fn drop(&mut self) {
///         self.0.add(1).expect("it was taken out of there");
///     }
/// }
///
/// impl Limiter for Shared {
///     type Permit = Back;
///
///     async fn acquire(&self) -> Result<Back, Cancelled> {
///         self.0.acquire().await?.forget();
///         Ok(Back(Rc::clone(&self.0)))
///     }
/// }
///
/// run(async {
///     let permits = Rc::new(Semaphore::new(2));
///     let limiter = Shared(Rc::clone(&permits));
///     assert_eq!(ToThread::new().run_limited(&limiter, |_host| 6 * 7).await.unwrap(), 42);
///     assert_eq!(permits.stats().left, 2);
/// });
/// ```
pub trait Limiter {
    /// The right to have one thread. It is kept until the thread is done, also where the caller has given up, and dropped
    /// then, on the thread of the run; at once if the system refuses a thread.
    ///
    /// A panic of its `drop` is that of the run. It takes nothing from the caller: the value of the call is there by then.
    type Permit: 'static;

    /// Waits for a permit, however long that takes. Cancelled or dropped it has to have none (Strict).
    ///
    /// # Errors
    ///
    /// [`Cancelled`] if the scope around the call is cancelled.
    fn acquire(&self) -> impl Future<Output = Result<Self::Permit, Cancelled>>;
}

/// A limit to how many thread calls run at a time, for [`ToThread::limit`](super::ToThread::limit). Clones share it.
///
/// ```
/// use pleach_executor::{run, threads::{ThreadLimit, ToThread}};
/// let one = ThreadLimit::new(1.try_into().unwrap());
/// assert_eq!(run(ToThread::new().limit(&one).run(|_| 1 + 1)).unwrap(), 2);
/// assert_eq!((one.total(), one.used()), (1, 0));
/// ```
#[derive(Clone)]
pub struct ThreadLimit(Rc<Counted>);

struct Counted {
    total: Cell<usize>,
    used: Cell<usize>,
    line: RefCell<VecDeque<Rc<Waiter>>>,
}

/// One wait for a permit.
struct Waiter(RefCell<Stage>);

enum Stage {
    InLine(Waker),
    Granted,
    /// It has its permit, or wants none any more.
    Over,
}

impl ThreadLimit {
    /// At most `total` at a time.
    #[must_use]
    pub fn new(total: NonZeroUsize) -> Self {
        let total = Cell::new(total.get());
        ThreadLimit(Rc::new(Counted { total, used: Cell::new(0), line: RefCell::default() }))
    }

    /// The limit.
    #[must_use]
    pub fn total(&self) -> usize {
        self.0.total.get()
    }

    /// Another limit from now on. A higher one lets those in line go on; under a lower one nobody is stopped, and as many have
    /// to end first as are too many. (trio's settable `total_tokens`.)
    pub fn set_total(&self, total: NonZeroUsize) {
        self.0.total.set(total.get());
        self.grant();
    }

    /// How many calls count now: those that run, and those that were abandoned and run on.
    #[must_use]
    pub fn used(&self) -> usize {
        self.0.used.get()
    }

    fn has_room(&self) -> bool {
        self.0.used.get() < self.0.total.get()
    }

    fn take_free(&self) -> Option<ThreadPermit> {
        if !self.has_room() || !self.0.line.borrow().is_empty() {
            return None;
        }
        self.0.used.set(self.0.used.get() + 1);
        Some(ThreadPermit(self.clone()))
    }

    /// A permit comes back, or goes on.
    fn release(&self) {
        self.0.used.set(self.0.used.get() - 1);
        self.grant();
    }

    /// Hands out what there is room for, however the wakers behave.
    fn grant(&self) {
        let mut steps = Steps::new();
        while self.has_room() {
            let next = self.0.line.borrow_mut().pop_front();
            let Some(next) = next else { break };
            self.0.used.set(self.0.used.get() + 1);
            let before = next.0.replace(Stage::Granted);
            if let Stage::InLine(waker) = before {
                steps.step(|| waker.wake());
            }
        }
        steps.resume();
    }
}

impl fmt::Debug for ThreadLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let waiting = self.0.line.borrow().len();
        f.debug_struct("ThreadLimit")
            .field("total", &self.total())
            .field("used", &self.used())
            .field("waiting", &waiting)
            .finish()
    }
}

impl Limiter for ThreadLimit {
    type Permit = ThreadPermit;

    /// Waits for a permit. Strict: cancelled or dropped, it has none.
    async fn acquire(&self) -> Result<ThreadPermit, Cancelled> {
        let mut ticket = Ticket { limit: self, waiter: None };
        let mut wait = Wait::on(Waits::Thread);
        poll_fn(|cx| wait.poll(cx, |cx| ticket.poll(cx.waker()))).await
    }
}

/// What a call has of a [`ThreadLimit`] until its thread is done: the right to have one.
#[must_use = "dropping it gives it back"]
pub struct ThreadPermit(ThreadLimit);

impl fmt::Debug for ThreadPermit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ThreadPermit").field(&self.0).finish()
    }
}

/// A permit in the hands of the crew, whoever it comes from.
pub(super) trait Held {
    /// Is somebody in line for it? Calls nothing of a user's.
    fn is_asked_for(&self) -> bool;
}

impl Held for ThreadPermit {
    fn is_asked_for(&self) -> bool {
        !self.0.0.line.borrow().is_empty()
    }
}

/// A permit of a limiter of somebody else's, who is not asked.
pub(super) struct Foreign<P>(pub(super) P);

impl<P> Held for Foreign<P> {
    fn is_asked_for(&self) -> bool {
        false
    }
}

impl Drop for ThreadPermit {
    fn drop(&mut self) {
        self.0.release();
    }
}

struct Ticket<'a> {
    limit: &'a ThreadLimit,
    waiter: Option<Rc<Waiter>>,
}

impl Ticket<'_> {
    fn poll(&mut self, waker: &Waker) -> Poll<ThreadPermit> {
        let Some(waiter) = &self.waiter else {
            if let Some(permit) = self.limit.take_free() {
                return Poll::Ready(permit);
            }
            let waiter = Rc::new(Waiter(RefCell::new(Stage::InLine(waker.clone()))));
            self.limit.0.line.borrow_mut().push_back(Rc::clone(&waiter));
            self.waiter = Some(waiter);
            return Poll::Pending;
        };
        if matches!(*waiter.0.borrow(), Stage::Granted) {
            waiter.0.replace(Stage::Over);
            return Poll::Ready(ThreadPermit(self.limit.clone()));
        }
        let before = waiter.0.replace(Stage::InLine(waker.clone()));
        drop(before);
        Poll::Pending
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        let Some(waiter) = self.waiter.take() else { return };
        let before = waiter.0.replace(Stage::Over);
        match before {
            Stage::InLine(_) => self.limit.0.line.borrow_mut().retain(|w| !Rc::ptr_eq(w, &waiter)),
            Stage::Granted => self.limit.release(),
            Stage::Over => {}
        }
    }
}
