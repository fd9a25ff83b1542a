//! The executor of a thread: one value with everything in it, reached through the thread's slot.
//!
//! ```text
//!   thread ─► RT ─┬─ sched      nodes, hubs, run queue          ◄─ wake(word)
//!                 ├─ scopes     the tree of cancel scopes       ◄─ cancel, checkpoints
//!                 ├─ timers     deadlines                       ◄─ sleep, scope deadlines
//!                 ├─ reactor    mio                             ◄─ fds
//!                 ├─ inbox      words woken by other threads, and their calls
//!                 ├─ crew       worker threads
//!                 └─ current scope, current task, budget, clock
//! ```
//!
//! * `runtime.rs`: the value, its beginning and end, and the fork. `key.rs`: what belongs to which run.
//! * `outside.rs`: the reactor and other threads. `scopes.rs`: the current scope, and changes of the tree. `tasks.rs`: wakes,
//!   polls, hubs. `locals.rs`: the current task-local values. `alarm.rs`: the timer of an operation that waits.
//! * `idle.rs`: who waits for idleness. `instruments.rs`: who is told what happens. `stats.rs`: counters.
//!
//! Rules:
//! * **No Borrow Across Calls**: no cell is borrowed while a future is polled, a waker is woken, or a value of a
//!   user is dropped. Collect first, call afterwards.
//! * A forked child forgets everything here ([`forget`]): its keys and wakers belong to another epoch, and every
//!   key holder compares the epoch before it uses its key.

mod alarm;
mod idle;
mod instruments;
mod key;
mod locals;
mod outside;
mod scopes;
mod stats;
mod tasks;

pub(crate) use alarm::Alarm;
#[cfg(feature = "testing")]
pub(crate) use idle::IdlerKey;
pub(crate) use instruments::uninstall;
pub(crate) use key::{RunKey, is_current_epoch, is_current_run, require_run, run_key};
pub(crate) use outside::{has_calls, if_reactor, owned_fds, with_reactor};
pub(crate) use scopes::{
    arm_on_entry, begins_quietly, cancel, cancel_called, effective, effective_deadline, end_scope, new_scope,
    new_scope_above, new_scope_at, new_scope_below, park, reparent, report, set_deadline, set_shield, unpark,
};
pub use stats::{Stats, stats};
pub(crate) use stats::{absorbing, count_reactor_change, note_swallowed};
pub(crate) use tasks::{
    Group, Tasks, close_hub, close_nursery, hand_over, orphan_ended, owe, remove_node, signal_hub,
    spawn_system, system_panicked, take_newest, wake, wake_each,
};

use crate::cancel::ScopeId;
use crate::cancel::tree::{Origin, Tree};
use crate::clock::Clock;
use crate::deadline::Deadlines;
use crate::entry::Call;
use crate::locals::Locals;
use crate::panics::{Payload, Steps};
use crate::reactor::Reactor;
use crate::reactor::calls::Calls;
use crate::reactor::notify::Inbox;
use crate::registry;
use crate::task::TaskId;
use crate::task::sched::{Cause, Sched};
use crate::threads::Crew;
use idle::Idlers;
use instruments::Instruments;
use stats::Counters;
use std::any::{Any, TypeId};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

/// Consecutive ready operations a task may do before it has to yield.
pub(crate) const BUDGET: u32 = 64;
/// Polls between two looks outside.
const POLLS_PER_TURN: u32 = 64;
/// So many polls that only pass through nurseries, on the way to somebody below, count as one.
const PASSES_PER_POLL: u32 = 8;
/// What a turn has to spend: a pass costs one.
pub(crate) const TURN: u32 = POLLS_PER_TURN * PASSES_PER_POLL;

/// Who a timer is for.
pub(crate) enum TimerTarget {
    Scope(ScopeId),
    Wake(Waker),
}

/// Who drives the run.
#[derive(Clone, Copy)]
pub(crate) enum Hosting {
    /// `run`, on this thread.
    Own,
    /// Another loop on this thread, which waits for the reactor.
    Guest,
    /// A future in another executor, which watches descriptors for it or does not.
    Host { watches: bool },
}

pub(crate) struct Runtime {
    /// The run that is active on this thread, and the last that was.
    active: Cell<Option<RunKey>>,
    last: Cell<Option<RunKey>>,
    pub(crate) sched: RefCell<Sched>,
    pub(crate) scopes: RefCell<Tree>,
    pub(crate) timers: RefCell<Deadlines<TimerTarget>>,
    reactor: RefCell<Option<Reactor>>,
    inbox: RefCell<Option<Arc<Inbox>>>,
    pub(crate) jobs: RefCell<VecDeque<Box<dyn FnOnce()>>>,
    /// Who waits for idleness, and how long it has to last.
    pub(crate) idle: RefCell<Idlers>,
    /// May the virtual clock jump by itself?
    pub(crate) autojump: Cell<bool>,
    /// For how long, in real time, something from outside is waited for before it does.
    pub(crate) patience: Cell<Duration>,
    /// Whom other threads wake: kept for its memory.
    pub(crate) words: RefCell<Vec<u64>>,
    /// What other threads want done here, once somebody asked for a handle; and a batch of it, kept for its memory.
    calls: RefCell<Option<Arc<Calls<Call>>>>,
    pub(crate) called: RefCell<Vec<Call>>,
    /// The worker threads, once there were any.
    pub(crate) crew: RefCell<Option<Rc<Crew>>>,
    scope: Cell<ScopeId>,
    /// Is no scope cancelled?
    quiet: Cell<bool>,
    task: Cell<Option<TaskId>>,
    /// Why it is being polled.
    cause: Cell<Cause>,
    /// How many loops over tasks are on the stack, one in the other: see [`Tasks`].
    depth: Cell<u32>,
    /// The task-local values around the code that is being polled; `None` if there are none.
    locals: RefCell<Option<Locals>>,
    root: Cell<ScopeId>,
    budget: Cell<u32>,
    pub(crate) polls_left: Cell<u32>,
    clock: Cell<Clock>,
    hosting: Cell<Hosting>,
    /// State of the seeded scheduler; 0 is the ordinary first-in-first-out order.
    seed: Cell<u64>,
    /// Failures of tasks whose nursery was leaked, and the panic of a system task.
    pub(crate) orphan_failures: Cell<isize>,
    pub(crate) system_panic: RefCell<Option<Payload>>,
    pub(crate) shutting_down: Cell<bool>,
    /// What upper layers keep for the time of the run, each its own type.
    pub(crate) local: RefCell<BTreeMap<TypeId, Rc<dyn Any>>>,
    /// Does the run end when it is stuck, and does anything outside promise to wake it?
    pub(crate) deadlock_forbidden: Cell<bool>,
    pub(crate) expected_wakes: Cell<usize>,
    counters: Counters,
    instruments: Instruments,
}

thread_local! {
    static RT: Runtime = const { Runtime::new() };
}

impl Runtime {
    const fn new() -> Self {
        Runtime {
            active: Cell::new(None),
            last: Cell::new(None),
            sched: RefCell::new(Sched::new()),
            scopes: RefCell::new(Tree::new()),
            timers: RefCell::new(Deadlines::new()),
            reactor: RefCell::new(None),
            inbox: RefCell::new(None),
            jobs: RefCell::new(VecDeque::new()),
            idle: RefCell::new(Idlers::new()),
            autojump: Cell::new(true),
            patience: Cell::new(Duration::ZERO),
            words: RefCell::new(Vec::new()),
            calls: RefCell::new(None),
            called: RefCell::new(Vec::new()),
            crew: RefCell::new(None),
            scope: Cell::new(ScopeId::NONE),
            quiet: Cell::new(true),
            task: Cell::new(None),
            cause: Cell::new(Cause::Any),
            depth: Cell::new(0),
            locals: RefCell::new(None),
            root: Cell::new(ScopeId::NONE),
            budget: Cell::new(BUDGET),
            polls_left: Cell::new(0),
            clock: Cell::new(Clock::Real),
            hosting: Cell::new(Hosting::Own),
            seed: Cell::new(0),
            orphan_failures: Cell::new(0),
            system_panic: RefCell::new(None),
            shutting_down: Cell::new(false),
            local: RefCell::new(BTreeMap::new()),
            deadlock_forbidden: Cell::new(false),
            expected_wakes: Cell::new(0),
            counters: Counters::new(),
            instruments: Instruments::new(),
        }
    }

    // ---- the run

    /// Makes this thread's executor active for one run.
    #[track_caller]
    pub(crate) fn open(&self, clock: Clock, seed: u64) {
        if let Some(active) = self.active.get() {
            panic!(
                "a run is active on this thread already ({active}): await inside it, or use another thread"
            );
        }
        let (executor, inbox) = registry::acquire();
        self.sched.borrow_mut().set_executor(executor);
        self.inbox.replace(Some(inbox));
        let key = RunKey::next(self.last.get());
        self.active.set(Some(key));
        self.last.set(Some(key));
        self.orphan_failures.set(0);
        // Of a run whose main panicked: that came out of it, and this has nowhere to go.
        std::mem::forget(self.system_panic.take());
        self.clock.set(clock);
        self.autojump.set(true);
        self.patience.set(Duration::ZERO);
        // In a test nothing is to come from outside, or it is announced.
        self.deadlock_forbidden.set(clock.is_virtual());
        self.expected_wakes.set(0);
        self.seed.set(seed);
        let root = self.change(|tree| tree.insert(ScopeId::NONE, Origin::Run));
        self.root.set(root);
        self.scope.set(root);
        self.tell(|i| i.run_began());
    }

    /// Ends the run, however the values of users behave that go with it.
    pub(crate) fn close(&self) {
        let mut steps = Steps::new();
        self.tell(|i| i.run_ended());
        steps.step(|| self.end_scopes([self.root.get()]));
        self.root.set(ScopeId::NONE);
        self.scope.set(ScopeId::NONE);
        self.task.set(None);
        self.clock.set(Clock::Real);
        self.hosting.set(Hosting::Own);
        self.seed.set(0);
        self.shutting_down.set(false);
        self.active.set(None);
        for (_, value) in self.local.take() {
            steps.step(|| drop(value));
        }
        // The descriptors of a run end with it. A stale wake finds its executor's number gone, or a stranger's.
        drop(self.reactor.take());
        // Threads that are at work now were abandoned, and end by themselves.
        let crew = self.crew.take();
        steps.step(|| {
            let _abandoned = crew.map(|crew| crew.retire());
        });
        drop(self.calls.take());
        drop(self.inbox.take());
        // Of what was leaked. A foreign waker may do anything when it is dropped.
        let armed = self.timers.borrow_mut().remove_all();
        for target in armed {
            steps.step(|| drop(target));
        }
        let executor = self.sched.borrow().executor();
        self.sched.borrow_mut().set_executor(0);
        registry::release(executor);
        steps.resume();
    }

    pub(crate) fn is_active(&self) -> bool {
        self.active.get().is_some()
    }

    pub(crate) fn root(&self) -> ScopeId {
        self.root.get()
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

    /// How long nothing may happen until the first of those who wait for idleness is woken; `None` if nobody does.
    #[inline]
    pub(crate) fn cushion(&self) -> Option<Duration> {
        self.idle.borrow().cushion()
    }

    /// Is there something to do without asking the reactor?
    #[inline]
    pub(crate) fn is_busy(&self) -> bool {
        self.sched.borrow().has_ready() || self.has_jobs() || self.with_inbox(Inbox::has_mail)
    }

    #[inline]
    pub(crate) fn has_jobs(&self) -> bool {
        !self.jobs.borrow().is_empty()
    }

    #[inline]
    pub(crate) fn has_timers(&self) -> bool {
        !self.timers.borrow().is_empty()
    }

    pub(crate) fn is_hosted(&self) -> bool {
        !matches!(self.hosting.get(), Hosting::Own)
    }

    pub(crate) fn set_hosting(&self, hosting: Hosting) {
        self.hosting.set(hosting);
    }

    /// A forked child's first step: everything of the parent's run is forgotten, never dropped, and the epoch
    /// grows. The thread can run anew.
    #[track_caller]
    fn forget(&self) {
        // Else the loop that polls it would go on among the nodes of another table, and take them for its own.
        assert!(
            self.depth.get() == 0,
            "a task is being polled: forget the runtime in a job of between_polls()"
        );
        registry::forget();
        crate::signals::dispositions::forget();
        std::mem::forget(self.sched.replace(Sched::new()));
        std::mem::forget(self.scopes.replace(Tree::new()));
        std::mem::forget(self.timers.replace(Deadlines::new()));
        std::mem::forget(self.reactor.replace(None));
        std::mem::forget(self.inbox.replace(None));
        std::mem::forget(self.calls.replace(None));
        std::mem::forget(self.called.replace(Vec::new()));
        std::mem::forget(self.crew.replace(None));
        std::mem::forget(self.jobs.replace(VecDeque::new()));
        std::mem::forget(self.idle.replace(Idlers::new()));
        std::mem::forget(self.system_panic.replace(None));
        std::mem::forget(self.local.take());
        std::mem::forget(self.locals.replace(None));
        self.active.set(None);
        self.scope.set(ScopeId::NONE);
        self.quiet.set(true);
        self.root.set(ScopeId::NONE);
        self.task.set(None);
        self.clock.set(Clock::Real);
        self.hosting.set(Hosting::Own);
        self.seed.set(0);
        self.polls_left.set(0);
        self.orphan_failures.set(0);
        self.shutting_down.set(false);
        self.counters.reset();
        self.instruments.forget();
    }
}

impl Drop for Runtime {
    /// The thread ends. A run that is active then was leaked, or is in the hands of a destructor that comes later: its tasks
    /// go nowhere, because their destructors would find no runtime.
    fn drop(&mut self) {
        if self.is_active() {
            let sched = self.sched.replace(Sched::new());
            registry::release(sched.executor());
            std::mem::forget((sched, self.jobs.take()));
        }
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

/// Has the thread a runtime? Not any more in the last destructors of thread-locals.
pub(crate) fn is_there() -> bool {
    try_with(|_| ()).is_some()
}

pub(crate) fn clock() -> Clock {
    try_with(Runtime::clock).unwrap_or(Clock::Real)
}

pub(crate) fn epoch() -> u64 {
    registry::epoch()
}

// ---- for the layers that fork

#[track_caller]
pub(crate) fn forget() {
    with(Runtime::forget);
}
