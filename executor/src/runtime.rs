//! The executor of a thread: one value with everything in it, reached through the thread's slot.
//!
//! ```text
//!   thread ─► RT ─┬─ sched      nodes, hubs, run queue          ◄─ wake(word)
//!                 ├─ scopes     the tree of cancel scopes       ◄─ cancel, checkpoints
//!                 ├─ timers     deadlines                       ◄─ sleep, scope deadlines
//!                 ├─ reactor    mio                             ◄─ fds
//!                 ├─ inbox      words woken by other threads
//!                 └─ current scope, current task, budget, clock
//! ```
//!
//! Rules:
//! * **No Borrow Across Calls**: no cell is borrowed while a future is polled, a waker is woken, or a value of a
//!   user is dropped. Collect first, call afterwards.
//! * **Current Scope**: `scope` is the scope around the code that is being polled right now, NONE outside.
//! * A forked child forgets everything here ([`forget`]): its keys and wakers belong to another epoch, and every
//!   key holder compares the epoch before it uses its key.

use crate::cancel::tree::{Tree, WaiterKey};
use crate::cancel::{Reason, ScopeId};
use crate::clock::{Clock, Instant};
use crate::deadline::{Deadlines, TimerKey};
use crate::error::Cancelled;
use crate::reactor::Reactor;
use crate::reactor::notify::Inbox;
use crate::registry;
use crate::task::TaskId;
use crate::task::sched::{Flat, HubIndex, Sched};
use crate::task::word::Word;
use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;

/// Consecutive ready operations a task may do before it has to yield.
pub(crate) const BUDGET: u32 = 64;
/// Polls between two looks outside.
pub(crate) const POLLS_PER_TURN: u32 = 64;

/// Who a timer is for.
pub(crate) enum TimerTarget {
    Scope(ScopeId),
    Wake(Waker),
}

/// Which run of which executor in which fork epoch: what a handle belongs to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct RunKey {
    epoch: u32,
    run: u32,
}

impl fmt::Display for RunKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "run {} of fork epoch {}", self.run, self.epoch)
    }
}

/// Counters of this thread's executor, from its first run on.
///
/// ```
/// use pleach_executor::{checkpoint, run, stats};
/// run(async {
///     let before = stats();
///     checkpoint().await.unwrap();
///     assert!(stats().polls > before.polls);
/// });
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Polls of tasks: main, children, bodies.
    pub polls: u64,
    /// Looks outside: at the clock, the descriptors, the inbox.
    pub turns: u64,
    /// Deadlines and sleeps that came due.
    pub timers_fired: u64,
    /// How often a checkpoint reported a cancellation.
    pub delivered: u64,
    /// `Cancelled` values dropped outside a scope's exit. Not by itself a mistake: `join!` drops one of two.
    pub swallowed: u64,
    /// The task that swallowed last.
    pub last_swallowed_by: Option<TaskId>,
    /// Tasks alive now: main, children, bodies of open nurseries.
    pub tasks: usize,
    /// Cancel scopes open now, the root and those of open nurseries included.
    pub scopes: usize,
    /// Operations waiting now in a cancel scope.
    pub waiting: usize,
    /// Timers armed now.
    pub timers: usize,
    /// Descriptors registered now.
    pub registrations: usize,
}

pub(crate) struct Runtime {
    /// Is a run active on this thread?
    active: Cell<bool>,
    run: Cell<u32>,
    pub(crate) sched: RefCell<Sched>,
    pub(crate) scopes: RefCell<Tree>,
    pub(crate) timers: RefCell<Deadlines<TimerTarget>>,
    reactor: RefCell<Option<Reactor>>,
    inbox: RefCell<Option<Arc<Inbox>>>,
    pub(crate) jobs: RefCell<VecDeque<Box<dyn FnOnce()>>>,
    pub(crate) idle: RefCell<Vec<Waker>>,
    scratch: RefCell<Vec<Waker>>,
    scope: Cell<ScopeId>,
    task: Cell<Option<TaskId>>,
    root: Cell<ScopeId>,
    budget: Cell<u32>,
    pub(crate) polls_left: Cell<u32>,
    clock: Cell<Clock>,
    /// State of the seeded scheduler; 0 is the ordinary first-in-first-out order.
    seed: Cell<u64>,
    absorbing: Cell<bool>,
    /// Failures of tasks whose nursery was leaked, and the panic of a system task.
    pub(crate) orphan_failures: Cell<isize>,
    pub(crate) system_panic: RefCell<Option<crate::nursery::Payload>>,
    pub(crate) shutting_down: Cell<bool>,
    /// What an upper layer keeps for the time of the run.
    pub(crate) local: RefCell<Option<Rc<dyn Any>>>,
    counters: Counters,
}

/// What [`Stats`] counts, each in a cell of its own: a poll touches one.
struct Counters {
    polls: Cell<u64>,
    turns: Cell<u64>,
    timers_fired: Cell<u64>,
    delivered: Cell<u64>,
    swallowed: Cell<u64>,
    last_swallowed_by: Cell<Option<TaskId>>,
}

fn bump(counter: &Cell<u64>) {
    counter.set(counter.get() + 1);
}

thread_local! {
    static RT: Runtime = const { Runtime::new() };
}

impl Runtime {
    const fn new() -> Self {
        Runtime {
            active: Cell::new(false),
            run: Cell::new(0),
            sched: RefCell::new(Sched::new()),
            scopes: RefCell::new(Tree::new()),
            timers: RefCell::new(Deadlines::new()),
            reactor: RefCell::new(None),
            inbox: RefCell::new(None),
            jobs: RefCell::new(VecDeque::new()),
            idle: RefCell::new(Vec::new()),
            scratch: RefCell::new(Vec::new()),
            scope: Cell::new(ScopeId::NONE),
            task: Cell::new(None),
            root: Cell::new(ScopeId::NONE),
            budget: Cell::new(BUDGET),
            polls_left: Cell::new(0),
            clock: Cell::new(Clock::Real),
            seed: Cell::new(0),
            absorbing: Cell::new(false),
            orphan_failures: Cell::new(0),
            system_panic: RefCell::new(None),
            shutting_down: Cell::new(false),
            local: RefCell::new(None),
            counters: Counters {
                polls: Cell::new(0),
                turns: Cell::new(0),
                timers_fired: Cell::new(0),
                delivered: Cell::new(0),
                swallowed: Cell::new(0),
                last_swallowed_by: Cell::new(None),
            },
        }
    }

    // ---- the run

    /// Makes this thread's executor active for one run.
    #[track_caller]
    pub(crate) fn open(&self, clock: Clock, seed: u64) {
        assert!(
            !self.active.get(),
            "a run is active on this thread already ({}): await inside it, or use another thread",
            self.key()
        );
        let (executor, inbox) = registry::acquire();
        self.sched.borrow_mut().set_executor(executor);
        self.inbox.replace(Some(inbox));
        self.active.set(true);
        self.orphan_failures.set(0);
        self.run.set(self.run.get().wrapping_add(1));
        self.clock.set(clock);
        self.seed.set(seed);
        let root = self.scopes.borrow_mut().insert(ScopeId::NONE);
        self.root.set(root);
        self.scope.set(root);
    }

    pub(crate) fn close(&self) {
        let mut woken = self.take_scratch();
        let gone = self.scopes.borrow_mut().remove(self.root.get(), &mut woken);
        self.wake_all(woken);
        drop(gone);
        self.root.set(ScopeId::NONE);
        self.scope.set(ScopeId::NONE);
        self.task.set(None);
        self.clock.set(Clock::Real);
        self.seed.set(0);
        self.shutting_down.set(false);
        self.active.set(false);
        drop(self.local.take());
        // The descriptors of a run end with it. A stale wake finds its executor's number gone, or a stranger's.
        drop(self.reactor.take());
        drop(self.inbox.take());
        let executor = self.sched.borrow().executor();
        self.sched.borrow_mut().set_executor(0);
        registry::release(executor);
    }

    pub(crate) fn is_active(&self) -> bool {
        self.active.get()
    }

    pub(crate) fn key(&self) -> RunKey {
        RunKey { epoch: registry::epoch() as u32, run: self.run.get() }
    }

    pub(crate) fn root(&self) -> ScopeId {
        self.root.get()
    }

    // ---- wakes

    /// An empty list to collect wakers in (its memory is reused).
    pub(crate) fn take_scratch(&self) -> Vec<Waker> {
        std::mem::take(&mut *self.scratch.borrow_mut())
    }

    /// Wakes what was collected and keeps the list's memory.
    pub(crate) fn wake_all(&self, mut woken: Vec<Waker>) {
        let dead = std::mem::take(&mut self.scopes.borrow_mut().dead);
        for w in woken.drain(..) {
            w.wake();
        }
        drop(dead);
        let mut scratch = self.scratch.borrow_mut();
        if scratch.capacity() < woken.capacity() {
            *scratch = woken;
        }
    }

    pub(crate) fn wake_word(&self, word: Word) {
        let foreign = self.sched.borrow_mut().wake(word);
        if let Some(w) = foreign {
            w.wake();
        }
    }

    // ---- the current scope

    pub(crate) fn scope(&self) -> ScopeId {
        self.scope.get()
    }

    pub(crate) fn task(&self) -> Option<TaskId> {
        self.task.get()
    }

    /// Charges one ready operation to the task's budget; `false` when it is used up and the task has to yield.
    pub(crate) fn charge(&self) -> bool {
        let left = self.budget.get();
        self.budget.set(left.saturating_sub(1));
        left > 0
    }

    pub(crate) fn refill(&self, task: Option<TaskId>) {
        self.budget.set(BUDGET);
        self.task.set(task);
        self.count_poll();
    }

    pub(crate) fn count_poll(&self) {
        bump(&self.counters.polls);
    }

    pub(crate) fn count_turn(&self) {
        bump(&self.counters.turns);
    }

    pub(crate) fn count_fired(&self) {
        bump(&self.counters.timers_fired);
    }

    pub(crate) fn clock(&self) -> Clock {
        self.clock.get()
    }

    pub(crate) fn set_clock(&self, clock: Clock) {
        self.clock.set(clock);
    }

    pub(crate) fn is_seeded(&self) -> bool {
        self.seed.get() != 0
    }

    /// The next number of the seeded scheduler (xorshift64*), or 0 in ordinary order.
    pub(crate) fn random(&self) -> u64 {
        let mut x = self.seed.get();
        if x == 0 {
            return 0;
        }
        x ^= x >> 12;
        x ^= x << 25;
        x ^= x >> 27;
        self.seed.set(x);
        x.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    pub(crate) fn inbox(&self) -> Arc<Inbox> {
        self.inbox.borrow().clone().expect("an active run has an inbox")
    }

    pub(crate) fn reactor<R>(&self, f: impl FnOnce(&mut Reactor) -> R) -> std::io::Result<R> {
        let mut slot = self.reactor.borrow_mut();
        if slot.is_none() {
            let reactor = Reactor::new()?;
            reactor.hang_bell(&self.inbox());
            *slot = Some(reactor);
        }
        Ok(f(slot.as_mut().expect("just made")))
    }

    pub(crate) fn has_reactor(&self) -> bool {
        self.reactor.borrow().is_some()
    }

    pub(crate) fn registrations(&self) -> usize {
        self.reactor.borrow().as_ref().map_or(0, Reactor::registrations)
    }

    /// A forked child's first step: everything of the parent's run is forgotten, never dropped, and the epoch
    /// grows. The thread can run anew.
    fn forget(&self) {
        registry::forget();
        std::mem::forget(self.sched.replace(Sched::new()));
        std::mem::forget(self.scopes.replace(Tree::new()));
        std::mem::forget(self.timers.replace(Deadlines::new()));
        std::mem::forget(self.reactor.replace(None));
        std::mem::forget(self.inbox.replace(None));
        std::mem::forget(self.jobs.replace(VecDeque::new()));
        std::mem::forget(self.idle.replace(Vec::new()));
        std::mem::forget(self.scratch.replace(Vec::new()));
        std::mem::forget(self.system_panic.replace(None));
        std::mem::forget(self.local.replace(None));
        self.active.set(false);
        self.scope.set(ScopeId::NONE);
        self.root.set(ScopeId::NONE);
        self.task.set(None);
        self.clock.set(Clock::Real);
        self.seed.set(0);
        self.polls_left.set(0);
        self.absorbing.set(false);
        self.orphan_failures.set(0);
        self.shutting_down.set(false);
        let c = &self.counters;
        for counter in [&c.polls, &c.turns, &c.timers_fired, &c.delivered, &c.swallowed] {
            counter.set(0);
        }
        c.last_swallowed_by.set(None);
    }
}

/// Access to the thread's executor.
pub(crate) fn with<R>(f: impl FnOnce(&Runtime) -> R) -> R {
    RT.with(f)
}

/// The same where the thread may be ending.
fn try_with<R>(f: impl FnOnce(&Runtime) -> R) -> Option<R> {
    RT.try_with(f).ok()
}

/// Wakes a word from any thread: on its own thread at once, elsewhere through that executor's inbox.
pub(crate) fn wake(word: Word) {
    let local = try_with(|rt| {
        let mine = rt.sched.borrow().executor() == word.executor();
        if mine {
            rt.wake_word(word);
        }
        mine
    });
    if local != Some(true)
        && let Some(inbox) = registry::inbox(word.executor())
    {
        inbox.push(word.bits());
    }
}

pub(crate) fn clock() -> Clock {
    try_with(Runtime::clock).unwrap_or(Clock::Real)
}

pub(crate) fn epoch() -> u64 {
    registry::epoch()
}

/// The key of the active run.
#[track_caller]
pub(crate) fn run_key() -> RunKey {
    let (active, key) = with(|rt| (rt.is_active(), rt.key()));
    assert!(active, "no run is active on this thread: call this inside pleach_executor::run");
    key
}

/// Panics, naming both, unless `key` is the active run: an object of one run was used in another.
#[track_caller]
pub(crate) fn require_run(key: RunKey, what: &str) {
    let (active, now) = with(|rt| (rt.is_active(), rt.key()));
    if active && key == now {
        return;
    }
    if active {
        panic!("this {what} belongs to {key}, and was used in {now}: make it inside the run that uses it");
    }
    panic!("this {what} belongs to {key}, and was used outside any run");
}

/// Is this key of the present run, active or just ended?
pub(crate) fn is_current_run(key: RunKey) -> bool {
    try_with(|rt| rt.key() == key).unwrap_or(false)
}

/// Is this key of the present fork epoch? For destructors: an inherited object cleans nothing up in a forked child.
pub(crate) fn is_current_epoch(key: RunKey) -> bool {
    key.epoch == registry::epoch() as u32
}

/// The reactor of the active run, made on first use.
#[track_caller]
pub(crate) fn with_reactor<R>(f: impl FnOnce(&mut Reactor) -> R) -> std::io::Result<R> {
    let _inside = run_key();
    with(|rt| rt.reactor(f))
}

/// The same for destructors: does nothing if there is no reactor (any more).
pub(crate) fn if_reactor(f: impl FnOnce(&mut Reactor)) {
    let _ = try_with(|rt| {
        if let Some(reactor) = rt.reactor.borrow_mut().as_mut() {
            f(reactor);
        }
    });
}

/// Arms a timer that wakes a waker.
pub(crate) fn arm(at: Instant, waker: Waker) -> TimerKey {
    with(|rt| rt.timers.borrow_mut().insert(at, TimerTarget::Wake(waker)))
}

/// Disarms a timer, if it has not fired.
pub(crate) fn disarm(key: TimerKey) {
    let gone = try_with(|rt| rt.timers.borrow_mut().remove(key));
    drop(gone);
}

/// Makes `scope` the current one until the guard goes. Re-parents it if it is entered below another scope than
/// before: a scope's parent is the scope that is current when it is polled.
#[must_use = "the scope is current only while the guard lives"]
pub(crate) struct Entered {
    before: ScopeId,
}

pub(crate) fn enter(scope: ScopeId) -> Entered {
    with(|rt| {
        let before = rt.scope.replace(scope);
        if rt.scopes.borrow().parent(scope) != before {
            let mut woken = rt.take_scratch();
            rt.scopes.borrow_mut().reparent(scope, before, &mut woken);
            rt.wake_all(woken);
        }
        Entered { before }
    })
}

/// Makes `scope` current without touching its place in the tree: for children, whose scope hangs where it hangs.
pub(crate) fn enter_as_is(scope: ScopeId) -> Entered {
    with(|rt| Entered { before: rt.scope.replace(scope) })
}

impl Drop for Entered {
    fn drop(&mut self) {
        let _ = try_with(|rt| rt.scope.set(self.before));
    }
}

/// Runs `f` as the poll of task `task`, with a full budget, and puts the task before back.
pub(crate) fn as_task<R>(task: TaskId, f: impl FnOnce() -> R) -> R {
    struct Back(Option<TaskId>, u32);
    impl Drop for Back {
        fn drop(&mut self) {
            let _ = try_with(|rt| {
                rt.task.set(self.0);
                rt.budget.set(self.1);
            });
        }
    }
    let _back = with(|rt| {
        let back = Back(rt.task.get(), rt.budget.get());
        rt.refill(Some(task));
        back
    });
    f()
}

// ---- scopes, for the files that hold keys

/// A new scope below the current one.
pub(crate) fn new_scope() -> ScopeId {
    with(|rt| rt.scopes.borrow_mut().insert(rt.scope.get()))
}

pub(crate) fn new_scope_below(parent: ScopeId) -> ScopeId {
    with(|rt| rt.scopes.borrow_mut().insert(parent))
}

pub(crate) fn end_scope(scope: ScopeId) {
    let _ = try_with(|rt| {
        let mut woken = rt.take_scratch();
        let (timer, reason) = rt.scopes.borrow_mut().remove(scope, &mut woken);
        rt.wake_all(woken);
        drop(reason);
        if let Some(timer) = timer {
            let target = rt.timers.borrow_mut().remove(timer);
            drop(target);
        }
    });
}

pub(crate) fn reparent(scope: ScopeId, parent: ScopeId) {
    with(|rt| {
        let mut woken = rt.take_scratch();
        rt.scopes.borrow_mut().reparent(scope, parent, &mut woken);
        rt.wake_all(woken);
    });
}

pub(crate) fn cancel(scope: ScopeId, reason: Reason) -> bool {
    with(|rt| {
        let mut woken = rt.take_scratch();
        let first = rt.scopes.borrow_mut().cancel(scope, reason, &mut woken);
        rt.wake_all(woken);
        first
    })
}

pub(crate) fn set_shield(scope: ScopeId, on: bool) {
    with(|rt| {
        let mut woken = rt.take_scratch();
        rt.scopes.borrow_mut().set_shield(scope, on, &mut woken);
        rt.wake_all(woken);
    });
}

/// Sets or clears the deadline of a scope that has been entered. One that has passed cancels at once.
pub(crate) fn set_deadline(scope: ScopeId, at: Option<Instant>) {
    let due = with(|rt| {
        if !rt.scopes.borrow().is_live(scope) {
            return false;
        }
        let due = at.is_some_and(|at| at <= rt.clock().now());
        let timer = match at {
            Some(at) if !due && at < Instant::MAX => {
                Some(rt.timers.borrow_mut().insert(at, TimerTarget::Scope(scope)))
            }
            _ => None,
        };
        let before = rt.scopes.borrow_mut().set_timer(scope, timer);
        if let Some(before) = before {
            let target = rt.timers.borrow_mut().remove(before);
            drop(target);
        }
        due
    });
    if due {
        cancel(scope, Reason::Deadline);
    }
}

pub(crate) fn effective(scope: ScopeId) -> Option<Reason> {
    with(|rt| rt.scopes.borrow().effective(scope).cloned())
}

pub(crate) fn is_cancelled(scope: ScopeId) -> bool {
    with(|rt| rt.scopes.borrow().effective(scope).is_some())
}

/// Reports the current scope's cancellation, if there is one.
pub(crate) fn report() -> Result<(), Cancelled> {
    with(|rt| {
        let reason = match rt.scopes.borrow().effective(rt.scope.get()) {
            None => return Ok(()),
            Some(reason) => reason.clone(),
        };
        bump(&rt.counters.delivered);
        Err(Cancelled::mint(reason))
    })
}

/// Parks a waiting operation in the current scope.
pub(crate) fn park(key: &mut Option<WaiterKey>, waker: &Waker) {
    let before = with(|rt| {
        let scope = rt.scope.get();
        let mut scopes = rt.scopes.borrow_mut();
        match *key {
            Some(key) => scopes.repark(key, scope, waker),
            None => {
                *key = Some(scopes.park(scope, waker));
                None
            }
        }
    });
    drop(before);
}

pub(crate) fn unpark(key: WaiterKey) {
    let waker = try_with(|rt| rt.scopes.borrow_mut().unpark(key));
    drop(waker);
}

/// Counts failures that are kept for somebody to take, and takes them off the count again.
pub(crate) fn owe(failures: isize) {
    let _ = try_with(|rt| rt.orphan_failures.set(rt.orphan_failures.get() + failures));
}

/// A task whose nursery is gone has ended, well or not: a panic comes out of the run, a failure is counted there.
pub(crate) fn orphan_ended(outcome: Result<bool, crate::nursery::Payload>) {
    match outcome {
        Ok(true) => {}
        Ok(false) => owe(1),
        Err(payload) => with(|rt| {
            let surplus = {
                let mut first = rt.system_panic.borrow_mut();
                if first.is_none() { first.replace(payload) } else { Some(payload) }
            };
            // A payload may panic when dropped.
            std::mem::forget(surplus);
        }),
    }
}

// ---- counters

pub(crate) fn note_swallowed() {
    let _ = try_with(|rt| {
        if !rt.absorbing.get() {
            bump(&rt.counters.swallowed);
            rt.counters.last_swallowed_by.set(rt.task.get());
        }
    });
}

/// Runs `f`; a `Cancelled` dropped in it counts as absorbed.
pub(crate) fn absorbing<R>(f: impl FnOnce() -> R) -> R {
    struct Back(bool);
    impl Drop for Back {
        fn drop(&mut self) {
            let _ = try_with(|rt| rt.absorbing.set(self.0));
        }
    }
    let _back = Back(try_with(|rt| rt.absorbing.replace(true)).unwrap_or(false));
    f()
}

/// Counters of this thread's executor. Callable anywhere; zero on a thread that never ran one.
#[must_use]
pub fn stats() -> Stats {
    with(|rt| {
        let (scopes, waiting) = rt.scopes.borrow().counts();
        Stats {
            tasks: rt.sched.borrow().nodes_live(),
            scopes,
            waiting,
            timers: rt.timers.borrow().len(),
            registrations: rt.registrations(),
            polls: rt.counters.polls.get(),
            turns: rt.counters.turns.get(),
            timers_fired: rt.counters.timers_fired.get(),
            delivered: rt.counters.delivered.get(),
            swallowed: rt.counters.swallowed.get(),
            last_swallowed_by: rt.counters.last_swallowed_by.get(),
        }
    })
}

// ---- for the layers that fork

pub(crate) fn spawn_flat(task: Flat) -> Word {
    with(|rt| {
        let word = rt.sched.borrow_mut().insert_flat(task);
        rt.wake_word(word);
        word
    })
}

pub(crate) fn forget() {
    with(Runtime::forget);
}

pub(crate) fn owned_fds() -> Vec<std::os::fd::RawFd> {
    with(|rt| rt.reactor.borrow().as_ref().map_or_else(Vec::new, Reactor::owned_fds))
}

// ---- nodes and hubs, for nurseries

pub(crate) fn remove_node(word: Word) {
    let task = try_with(|rt| rt.sched.borrow_mut().remove(word));
    drop(task);
}

/// Takes a static child out of the executor, to be dropped; one that is being polled goes when its poll returns.
pub(crate) fn take_flat(word: Word) -> Option<Flat> {
    try_with(|rt| rt.sched.borrow_mut().remove(word)).flatten()
}

pub(crate) fn remove_hub(hub: HubIndex) {
    let waker = try_with(|rt| rt.sched.borrow_mut().remove_hub(hub));
    drop(waker);
}

pub(crate) fn enter_hub(hub: HubIndex, waker: &Waker) -> usize {
    let (ready, before) = with(|rt| rt.sched.borrow_mut().enter_hub(hub, waker));
    drop(before);
    ready
}

pub(crate) fn next_in_hub(hub: HubIndex) -> Option<(u32, Word)> {
    with(|rt| rt.sched.borrow_mut().next_in_hub(hub))
}

pub(crate) fn hub_is_ready(hub: HubIndex) -> bool {
    with(|rt| rt.sched.borrow().hub_is_ready(hub))
}

pub(crate) fn signal_hub(hub: HubIndex) {
    let foreign = try_with(|rt| rt.sched.borrow_mut().signal_hub(hub)).flatten();
    if let Some(w) = foreign {
        w.wake();
    }
}

/// Takes one of the polls that are left until the loop looks outside.
pub(crate) fn take_poll() -> bool {
    with(|rt| {
        let left = rt.polls_left.get();
        rt.polls_left.set(left.saturating_sub(1));
        left > 0
    })
}
