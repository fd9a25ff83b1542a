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

use super::TaskId;
use crate::runtime;
use std::collections::BTreeMap;
use std::fmt;

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
}

/// An open nursery.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct NurseryInfo {
    /// Which.
    pub id: NurseryId,
    /// The task that opened it; `None` if that was code outside of any task.
    pub opener: Option<TaskId>,
}

/// The tasks and nurseries of a run at one moment. As text it is a tree.
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
}

/// The tasks and nurseries of this thread's run, now; empty outside a run. It costs a look at each of them.
#[must_use]
pub fn task_tree() -> TaskTree {
    runtime::with(|rt| {
        let sched = rt.sched.borrow();
        TaskTree {
            tasks: sched.tasks(rt.task()).into_iter().map(|t| (t.id, t)).collect(),
            nurseries: sched.nurseries().into_iter().map(|n| (n.id, n)).collect(),
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

/// How deep a line is indented at most; below that its depth is a number.
const DEEPEST_INDENT: usize = 24;

/// What a line of the picture is about.
enum Line {
    Task(TaskId),
    Nursery(NurseryId),
}

impl fmt::Display for TaskTree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut below_nursery, mut below_task) =
            (BTreeMap::<_, Vec<_>>::new(), BTreeMap::<_, Vec<_>>::new());
        // What hangs below nothing that is here comes first to last at the left; the stack is taken from its end.
        let mut todo = Vec::new();
        for nursery in self.nurseries.values() {
            match nursery.opener.filter(|opener| self.tasks.contains_key(opener)) {
                Some(opener) => below_task.entry(opener).or_default().push(Line::Nursery(nursery.id)),
                None => todo.push((0, Line::Nursery(nursery.id))),
            }
        }
        for task in self.tasks.values() {
            let line = Line::Task(task.id);
            match task.owner {
                Owner::InNursery(nursery) => below_nursery.entry(nursery).or_default().push(line),
                Owner::Starter { starter: Some(starter), .. } => {
                    below_task.entry(starter).or_default().push(line);
                }
                Owner::Run | Owner::Nobody | Owner::Starter { starter: None, .. } => todo.push((0, line)),
            }
        }
        let is_main = |line: &Line| matches!(line, Line::Task(t) if self.tasks[t].owner == Owner::Run);
        todo.reverse();
        todo.sort_by_key(|(_, line)| is_main(line));
        while let Some((depth, line)) = todo.pop() {
            self.line(f, depth, &line)?;
            let below = match line {
                Line::Task(task) => below_task.remove(&task),
                Line::Nursery(nursery) => below_nursery.remove(&nursery),
            };
            todo.extend(below.into_iter().flatten().rev().map(|line| (depth + 1, line)));
        }
        Ok(())
    }
}

impl TaskTree {
    fn line(&self, f: &mut fmt::Formatter<'_>, depth: usize, line: &Line) -> fmt::Result {
        write!(f, "{:1$}", "", 2 * depth.min(DEEPEST_INDENT))?;
        if depth > DEEPEST_INDENT {
            write!(f, "({depth} deep) ")?;
        }
        let task = match line {
            Line::Nursery(nursery) => return writeln!(f, "{nursery}"),
            Line::Task(task) => &self.tasks[task],
        };
        match task.owner {
            Owner::Run => write!(f, "main, {}", task.id)?,
            Owner::InNursery(_) => write!(f, "{}", task.id)?,
            Owner::Starter { nursery, .. } => write!(f, "{}, starting in {nursery}", task.id)?,
            Owner::Nobody => write!(f, "{}, of no nursery", task.id)?,
        }
        writeln!(f, ": {}", task.state)
    }
}

impl fmt::Display for TaskState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TaskState::Running => "running",
            TaskState::Ready => "ready",
            TaskState::Waiting => "waiting",
        })
    }
}
