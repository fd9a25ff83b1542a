//! Who belongs to whom: the tasks and nurseries of a run as they are at one moment.
//!
//! ```text
//!   task ─ Owner::InNursery ─► nursery ─ opener ─► task ─► … ─► main ─ Owner::Run
//!     ▲                         │
//!     └──────── children ───────┘          task ─ nurseries ─► those it has opened, the outermost first
//! ```
//!
//! Rules:
//! * A picture, not a window: what is looked at later does not change it, and the way up from a task that has ended since
//!   is still in it.
//! * Pure: nothing here asks the runtime but [`task_tree`].
//! * The body of a nursery is no task of its own: it belongs to the task that opened the nursery.

use super::{TaskId, raw};
use crate::cancel::{ScopeId, ScopeInfo};
use crate::clock::Instant;
use crate::runtime;
use crate::waits::Waits;
use std::collections::BTreeMap;
use std::fmt;
use std::panic::Location;
use std::rc::Rc;

/// Which nursery: unique in its executor for as long as the process lives. A later nursery has a greater one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NurseryId(pub(crate) u64);

impl fmt::Display for NurseryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "nursery {}", self.0)
    }
}

impl fmt::Debug for NurseryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Who waits for a task to end, and owns its failure.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Owner {
    /// The run itself: this is its main task.
    Run,
    /// A nursery.
    InNursery(NurseryId),
    /// The caller of `start()`, until the child has said that it is ready; then it belongs to `nursery`.
    Starter {
        /// The task that waits in `start()`.
        starter: Option<TaskId>,
        /// Where the child goes when it is ready.
        nursery: NurseryId,
    },
    /// No nursery: a task of the run's own, or one whose nursery was dropped from its own poll.
    Nobody,
}

/// What a task does at this moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum TaskState {
    /// It is being polled: it is the one that asks.
    Running,
    /// It will be polled in this turn or the next.
    Ready,
    /// It waits to be woken.
    Waiting,
}

/// A task.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct TaskInfo {
    /// Which.
    pub id: TaskId,
    /// Whose.
    pub owner: Owner,
    /// What it does.
    pub state: TaskState,
    /// Where it was spawned; `None` for main.
    pub spawned_at: Option<&'static Location<'static>>,
    /// How many `Cancelled` values it has dropped instead of passing them on: see [`Stats::swallowed`](crate::Stats).
    pub swallowed: u64,
}

/// An open nursery.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct NurseryInfo {
    /// Which.
    pub id: NurseryId,
    /// The task that opened it; `None` if that was code outside of any task.
    pub opener: Option<TaskId>,
    /// Where it was opened.
    pub opened_at: &'static Location<'static>,
}

/// The tasks, nurseries and cancel scopes of a run at one moment. As text it is a tree: `{}` shows who is there, `{:#}` with
/// everything that is known of them ([`dump`](crate::dump)).
///
/// Source: trio's `Task.parent_nursery`, `Nursery.parent_task`, `child_tasks` and `child_nurseries`.
///
/// ```
/// use pleach_executor::{Cancelled, Owner, checkpoint, current_task, nursery, run, task_tree};
///
/// let r: Result<(), Cancelled> = run(nursery(async |n| {
///     let opener = current_task();
///     n.spawn(async move {
///         let tree = task_tree();
///         let me = tree.task(current_task().expect("a child is a task")).expect("and it lives");
///         let Owner::InNursery(mine) = me.owner else { panic!("a child has a nursery") };
///         assert_eq!(tree.nursery(mine).expect("it is open").opener, opener);
///         Ok(())
///     });
///     checkpoint().await
/// }));
/// r.unwrap();
/// ```
#[derive(Clone, Debug)]
pub struct TaskTree {
    tasks: BTreeMap<TaskId, TaskInfo>,
    nurseries: BTreeMap<NurseryId, NurseryInfo>,
    scopes: BTreeMap<ScopeId, ScopeInfo>,
    names: BTreeMap<TaskId, Rc<str>>,
    waits: Vec<WaitInfo>,
    /// When it was made.
    pub(crate) at: Instant,
}

/// An operation that waits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct WaitInfo {
    /// The task whose code it is; `None` if a future of another library polls it with a waker of its own.
    pub task: Option<TaskId>,
    /// The scope that it waits in: cancelling that ends the wait.
    pub scope: ScopeId,
    /// What it waits for.
    pub what: Waits,
}

/// The tasks, nurseries and scopes of this thread's run, now; empty outside a run. It costs a look at each of them.
#[must_use]
pub fn task_tree() -> TaskTree {
    runtime::with(|rt| {
        let (sched, scopes) = (rt.sched.borrow(), rt.scopes.borrow());
        let waits = scopes.waiting().map(|(waker, scope, what)| {
            let task = raw::word_of(waker).and_then(|word| sched.task_of(word));
            WaitInfo { task, scope, what }
        });
        TaskTree {
            tasks: sched.tasks(rt.task()).into_iter().map(|t| (t.id, t)).collect(),
            nurseries: sched.nurseries().into_iter().map(|n| (n.id, n)).collect(),
            waits: waits.collect(),
            scopes: scopes.scopes().into_iter().map(|s| (s.id, s)).collect(),
            names: sched.names().into_iter().collect(),
            at: rt.clock().now(),
        }
    })
}

impl TaskTree {
    /// The task of this number.
    #[must_use]
    pub fn task(&self, id: TaskId) -> Option<&TaskInfo> {
        self.tasks.get(&id)
    }

    /// The nursery of this number.
    #[must_use]
    pub fn nursery(&self, id: NurseryId) -> Option<&NurseryInfo> {
        self.nurseries.get(&id)
    }

    /// The scope of this number.
    #[must_use]
    pub fn scope(&self, id: ScopeId) -> Option<&ScopeInfo> {
        self.scopes.get(&id)
    }

    /// Every scope, those of nurseries and of the run itself included, in no order that means anything.
    pub fn scopes(&self) -> impl Iterator<Item = &ScopeInfo> {
        self.scopes.values()
    }

    /// The name that a task was spawned with ([`Nursery::named`](crate::Nursery::named)), or has given itself since.
    #[must_use]
    pub fn name(&self, task: TaskId) -> Option<&str> {
        self.names.get(&task).map(|name| &**name)
    }

    /// What a task waits for: several operations if it is inside of a combinator, none if it waits for something that this crate
    /// does not know, or for the children of a nursery.
    pub fn waits(&self, task: TaskId) -> impl Iterator<Item = &WaitInfo> {
        self.waits.iter().filter(move |wait| wait.task == Some(task))
    }

    /// Every operation that waits.
    pub fn all_waits(&self) -> impl Iterator<Item = &WaitInfo> {
        self.waits.iter()
    }

    /// Every open nursery, the oldest first.
    pub fn all_nurseries(&self) -> impl Iterator<Item = &NurseryInfo> {
        self.nurseries.values()
    }

    /// Every task, in no order that means anything.
    pub fn tasks(&self) -> impl Iterator<Item = &TaskInfo> {
        self.tasks.values()
    }

    /// The children of a nursery; not those that are still their starter's.
    pub fn children(&self, nursery: NurseryId) -> impl Iterator<Item = &TaskInfo> {
        self.tasks().filter(move |t| t.owner == Owner::InNursery(nursery))
    }

    /// The nurseries that a task has opened, the outermost first.
    pub fn nurseries(&self, opener: TaskId) -> impl Iterator<Item = &NurseryInfo> {
        self.nurseries.values().filter(move |n| n.opener == Some(opener))
    }

    /// The task that a task's end is waited for in: the one that opened its nursery, or that starts it. `None` for the
    /// main task, and for one that belongs to nobody.
    #[must_use]
    pub fn parent(&self, id: TaskId) -> Option<&TaskInfo> {
        let parent = match self.task(id)?.owner {
            Owner::InNursery(nursery) => self.nursery(nursery)?.opener,
            Owner::Starter { starter, .. } => starter,
            Owner::Run | Owner::Nobody => None,
        };
        self.task(parent?)
    }
}
