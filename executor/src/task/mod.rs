//! Tasks as the scheduler sees them: numbered nodes, a queue of those that are ready, and hubs for the children
//! that live inside a nursery's own future.
//!
//! * `sched.rs`: hubs and the run queue as data; `nodes.rs`: the table of nodes, with the children in it;
//!   `line.rs`: a queue of them.
//! * `tree.rs`: who belongs to whom, as a user may see it.
//! * `word.rs`: the 64 bits a waker consists of.
//! * `raw.rs`: all unsafe code of tasks: the waker's table, and children without their lifetime and type.

mod line;
mod nodes;
pub(crate) mod raw;
pub(crate) mod sched;
pub(crate) mod tree;
pub(crate) mod word;

pub use tree::{NurseryId, NurseryInfo, Owner, TaskInfo, TaskState, TaskTree, WaitInfo, task_tree};

use std::fmt;

/// Which task: unique among the live tasks of one thread's executor; a later task may get the number again.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId(pub(crate) word::Word);

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "task {}.{}", self.0.index(), self.0.generation())
    }
}

impl fmt::Debug for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The task that is being polled; `None` outside of any, as between polls.
///
/// The body of a nursery belongs to the task that opened it, a child is a task of its own.
///
/// ```
/// use pleach_executor::{current_task, run};
/// assert_eq!(current_task(), None);
/// run(async { assert!(current_task().is_some()) });
/// ```
#[must_use]
pub fn current_task() -> Option<TaskId> {
    crate::runtime::with(crate::runtime::Runtime::task)
}
