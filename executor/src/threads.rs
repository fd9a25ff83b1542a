//! Threads for what would block the loop: functions that compute, and calls of the system that wait.
//!
//! ```text
//!   to_thread(f).await ─ limit ─► a worker: f(&host) ─► entry queue ─► the caller goes on with f's value, or its panic
//!                                    └─ host.call(g), host.call_async(g), host.check_cancelled()   back into the loop
//! ```
//!
//! * `threads.rs`: calling a function in a thread, as users do it; the caller's wait. `call.rs`: what a call consists of.
//! * `host.rs`: the way back from a thread. `resolve.rs`: names of hosts. `error.rs`: what can go wrong.
//! * `crew.rs`: the workers of a run. `worker.rs`: one of them. `seat.rs`: who has an idle worker. `limit.rs`: how many work.
//!   `count.rs`: how many do now, and the end of all of them.
//!
//! Rules:
//! * A run that calls no thread has none. Workers belong to their run: idle ones leave after ten seconds, are ended and joined
//!   before a fork ([`low_level::retire_threads`]), and when the run ends.
//! * **Kept or Abandoned**: a call is waited for to its end, whatever is cancelled meanwhile, so that nothing runs after its
//!   block; unless it was made to be abandoned, or its future is dropped, which nothing can prevent. Then the thread runs on,
//!   keeps its permit until it is done, and its value is dropped there.
//! * **Values Stay Here**: trio copies the caller's context into the thread. Ours is not copied. A task-local value is shared
//!   by those who inherit it (`Rc`), and may be anything, so that a loop of one thread pays for no atomic and no `Send`
//!   bound. A copy for threads would have to demand both of every value, or leave out those that are not fit without a
//!   word. So the function does not see them: what it needs it captures, which the compiler checks. What it asks of its
//!   host is done in the caller's task, where they are set: the context is kept on the way back (but for a call that may be
//!   abandoned, whose caller may be gone).
//! * The virtual clock stands still while somebody waits for a thread that does not itself wait for the loop.

mod call;
mod count;
mod crew;
mod error;
mod host;
mod limit;
mod resolve;
pub(crate) mod seat;
mod worker;

/// What [`seat`] is made of; a model puts others in their place.
mod parts {
    pub(super) use std::sync::atomic::{AtomicBool, Ordering};
}

pub use count::{at_work, wait_for_all};
pub(crate) use crew::{Crew, are_waited_for, hold_time, retire};
pub use error::{BusyThreads, CallError, ThreadError};
pub use host::Host;
pub use limit::{Limiter, ThreadLimit, ThreadPermit};
pub use resolve::resolve;

use crate::checkpoint::Wait;
use crate::error::Cancelled;
use crate::low_level;
use crate::panics::Payload;
use crate::runtime;
use crate::waits::Waits;
use call::{Answer, Call, Errand, Post};
use crew::Wanted;
use host::{Way, in_loop};
use limit::{Foreign, Held};
use std::convert::Infallible;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

/// What calls of this run count against that have no limit of their own: 40 at a time, until
/// [`set_total`](ThreadLimit::set_total) says otherwise.
///
/// # Panics
///
/// Outside a run.
///
/// # References
///
/// trio's `current_default_thread_limiter`.
///
/// ```
/// use pleach_executor::{run, threads::default_limit};
/// run(async {
///     assert_eq!(default_limit().total(), 40);
///     default_limit().set_total(4.try_into().unwrap());
/// });
/// ```
#[must_use]
#[track_caller]
pub fn default_limit() -> ThreadLimit {
    Crew::current().limit().clone()
}

/// Runs `f` on a worker thread and waits for its value. Its panic continues here.
///
/// At most 40 such calls of a run are at work at a time ([`default_limit`]); further ones wait for their turn. For a name, another limit, a way
/// back into the loop, or a call that can be given up, see [`ToThread`].
///
/// [Task-local](crate::TaskLocal) values stay here: `f` gets what it captures. (trio copies the context. Values here need not
/// be `Send`.) They are set in what `f` asks of its [`Host`], unless it
/// may be abandoned.
///
/// # Cancellation
///
/// A checkpoint always. **Strict** until the thread begins: cancelled before that, `f` is not called. From then on it is
/// waited for: a value that comes is given out, and the next checkpoint reports the cancellation. If the future is dropped
/// instead, `f` runs on, and its value is dropped.
///
/// # Errors
///
/// [`ThreadError::Cancelled`] as above; [`ThreadError::NotStarted`] if the system refuses a thread.
///
/// # Panics
///
/// With the panic of `f`; outside a run.
///
/// Source: trio's `to_thread.run_sync`.
///
/// ```
/// use pleach_executor::{run, to_thread};
/// let sum = run(async { to_thread(|| (1..=100_u64).sum::<u64>()).await });
/// assert_eq!(sum.unwrap(), 5050);
/// ```
pub async fn to_thread<T, F>(f: F) -> Result<T, ThreadError>
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    ToThread::new().run(|_host| f()).await
}

/// How to run a function on a worker thread.
///
/// ```
/// use pleach_executor::{CancelScope, Cancelled, run, threads::ToThread};
/// use std::time::Duration;
///
/// // A function that stops early when its caller is cancelled.
/// let r = run(async {
///     CancelScope::new().timeout(Duration::from_millis(5)).run(async |_| {
///         ToThread::new().name("counting").run(|host| {
///             for n in 0_u64.. {
///                 host.check_cancelled()?;
///                 std::hint::black_box(n);
///             }
///             Ok::<(), Cancelled>(())
///         }).await.map_err(std::io::Error::from)??;
///         Ok::<(), std::io::Error>(())
///     }).await
/// });
/// assert!(matches!(r, Ok(None)));
/// ```
#[derive(Clone, Debug, Default)]
#[must_use = "nothing runs before run()"]
pub struct ToThread {
    name: Option<String>,
    limit: Option<ThreadLimit>,
    abandonable: bool,
}

impl ToThread {
    /// As [`to_thread`] does it.
    pub fn new() -> Self {
        Self::default()
    }

    /// What the thread is called while it runs the function; the system shows the first 15 bytes.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Counts against this limit, instead of that of the run.
    pub fn limit(mut self, limit: &ThreadLimit) -> Self {
        self.limit = Some(limit.clone());
        self
    }

    /// When the caller is cancelled it goes on at once, with [`Cancelled`]. The thread runs on, even after the run; it counts
    /// against its limit until it is done, and its value, error or panic is dropped. What it asks of its [`Host`] is done at
    /// top level.
    pub fn abandonable(mut self) -> Self {
        self.abandonable = true;
        self
    }

    /// Runs `f` on a worker thread and waits for its value.
    ///
    /// # Cancellation
    ///
    /// As [`to_thread`]; one that is [`abandonable`](ToThread::abandonable) can be cancelled at any time, and is **Lossy**:
    /// its value.
    ///
    /// # Errors
    ///
    /// As [`to_thread`].
    ///
    /// # Panics
    ///
    /// As [`to_thread`].
    pub async fn run<T, F>(self, f: F) -> Result<T, ThreadError>
    where
        T: Send + 'static,
        F: FnOnce(&Host) -> T + Send + 'static,
    {
        let crew = Crew::current();
        let permit = self.limit.as_ref().unwrap_or(crew.limit()).acquire().await?;
        self.run_with(&crew, Box::new(permit), f).await
    }

    /// As [`run`](ToThread::run), under a limiter of any kind; one that was set by [`limit`](ToThread::limit) has no say.
    ///
    /// # Cancellation
    ///
    /// As [`run`](ToThread::run); while it waits for a permit, as the limiter's.
    ///
    /// # Errors
    ///
    /// As [`run`](ToThread::run).
    ///
    /// # Panics
    ///
    /// As [`run`](ToThread::run).
    ///
    /// ```
    /// # use pleach_executor::{run, threads::{ThreadLimit, ToThread}};
    /// let one = ThreadLimit::new(1.try_into().unwrap());
    /// assert_eq!(run(ToThread::new().run_limited(&one, |_host| 6 * 7)).unwrap(), 42);
    /// ```
    pub async fn run_limited<T, F>(self, limiter: &impl Limiter, f: F) -> Result<T, ThreadError>
    where
        T: Send + 'static,
        F: FnOnce(&Host) -> T + Send + 'static,
    {
        let crew = Crew::current();
        let permit = limiter.acquire().await?;
        self.run_with(&crew, Box::new(Foreign(permit)), f).await
    }

    /// Runs `f` as soon as there is a thread for it, which there is a permit for.
    async fn run_with<T, F>(self, crew: &Rc<Crew>, permit: Box<dyn Held>, f: F) -> Result<T, ThreadError>
    where
        T: Send + 'static,
        F: FnOnce(&Host) -> T + Send + 'static,
    {
        let call = Arc::new(Call::new());
        let way = if self.abandonable { Way::System } else { Way::Caller };
        let host = Host::new(Arc::clone(&call), crew.run().clone(), way);
        let outcome = Arc::new(Mutex::new(None));
        let theirs = Arc::clone(&outcome);
        let work = Box::new(move || {
            let came = catch_unwind(AssertUnwindSafe(|| f(&host)));
            *theirs.lock().unwrap_or_else(PoisonError::into_inner) = Some(came);
            // If nobody waits any more the value goes here, before the thread is anybody else's.
            drop(theirs);
        });
        let wanted = crew.start(self.name, permit, work, &call).map_err(ThreadError::NotStarted)?;
        Running::new(wanted, call, outcome, way).await
    }
}

/// Where the thread leaves what came of the function.
type Outcome<T> = Arc<Mutex<Option<Result<T, Payload>>>>;

/// The caller's wait for a thread.
struct Running<T> {
    wanted: Wanted,
    call: Arc<Call>,
    outcome: Outcome<T>,
    errands: Vec<Pin<Box<dyn Future<Output = Answer>>>>,
    cancel: Cancel,
    epoch: u64,
}

/// What a cancellation does to the wait.
enum Cancel {
    /// It ends the wait.
    Abandons(Wait),
    /// The thread is told.
    Tells(Wait),
    Told,
}

impl<T> Running<T> {
    fn new(wanted: Wanted, call: Arc<Call>, outcome: Outcome<T>, way: Way) -> Self {
        let cancel = match way {
            Way::System => Cancel::Abandons(Wait::on(Waits::Thread)),
            Way::Caller => Cancel::Tells(Wait::on(Waits::Thread)),
        };
        Running { wanted, call, outcome, errands: Vec::new(), cancel, epoch: low_level::epoch() }
    }

    /// Goes on with the errands, new ones among them; gives the answers of those that are done.
    fn run_errands(&mut self, posts: Vec<Post>, cx: &mut Context<'_>) -> Vec<Answer> {
        self.errands.extend(posts.into_iter().map(|post| {
            let errand: Errand = Box::pin(async move { in_loop(post()).await });
            errand
        }));
        let mut answers = Vec::new();
        self.errands.retain_mut(|errand| match errand.as_mut().poll(cx) {
            Poll::Ready(answer) => {
                answers.push(answer);
                false
            }
            Poll::Pending => true,
        });
        answers
    }

    /// Looks whether the caller is cancelled, and waits for that.
    fn poll_cancel(&mut self, cx: &mut Context<'_>) -> Poll<Cancelled> {
        let wait = match &mut self.cancel {
            Cancel::Abandons(wait) => wait,
            // Asked in every poll, also in one in which the budget has the wait yield (Answer Last).
            Cancel::Tells(wait) => match runtime::report() {
                Ok(()) => wait,
                Err(c) => {
                    self.call.cancel(c.reason().clone());
                    c.absorb();
                    self.cancel = Cancel::Told;
                    return Poll::Pending;
                }
            },
            Cancel::Told => return Poll::Pending,
        };
        match wait.poll(cx, |_| Poll::<Infallible>::Pending) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Err(c)) => Poll::Ready(c),
        }
    }

    fn take_outcome(&self) -> T {
        let came = self.outcome.lock().unwrap_or_else(PoisonError::into_inner).take();
        match came.expect("the thread leaves it before its end is told, and it is taken once") {
            Ok(value) => value,
            Err(payload) => resume_unwind(payload),
        }
    }
}

impl<T> Unpin for Running<T> {}

impl<T> Future for Running<T> {
    type Output = Result<T, ThreadError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let (posts, ended) = self.call.look(cx.waker());
        if ended {
            self.wanted.heard();
            return Poll::Ready(Ok(self.take_outcome()));
        }
        let answers = self.run_errands(posts, cx);
        let cancelled = self.poll_cancel(cx);
        answers.into_iter().for_each(|answer| answer());
        match cancelled {
            Poll::Ready(c) => {
                self.call.cancel(c.reason().clone());
                Poll::Ready(Err(ThreadError::Cancelled(c)))
            }
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<T> Drop for Running<T> {
    fn drop(&mut self) {
        // In a forked child there is no thread, and a lock that one held stays held.
        if self.epoch == low_level::epoch() {
            drop(self.call.gone());
        }
    }
}
