//! The run as text: everybody who is there, where they come from, and what each waits for.
//!
//! ```text
//!   main, task 0.0: waiting in nursery 0
//!     scope 1.0, opened at src/main.rs:8:5, ends in 4.9s
//!     nursery 0, opened at src/main.rs:9:13
//!       task 2.0 "listener", spawned at src/main.rs:10:11: waiting for an event
//! ```
//!
//! Rules: a picture of a deep tree is not wide, and drawing it does not recurse.

use crate::cancel::{ScopeId, ScopeInfo};
use crate::runtime;
use crate::task::{NurseryId, NurseryInfo, Owner, TaskId, TaskInfo, TaskState, TaskTree, task_tree};
use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::panic::Location;
use std::rc::Rc;

/// The run of this thread as text: tasks, nurseries and cancel scopes as a tree, each with the place in the source where it
/// was opened or spawned, and what each task waits for. Empty outside a run.
///
/// It is [`task_tree`] in the form `{:#}`. It costs a look at everything there is.
///
/// ```
/// use pleach_executor::{Cancelled, checkpoint, dump, name_task, nursery, run, sync::Event};
/// let r: Result<(), Cancelled> = run(nursery(async |n| {
///     let up = Event::new();
///     let waits = std::rc::Rc::new(up);
///     n.spawn_static({
///         let waits = std::rc::Rc::clone(&waits);
///         async move { name_task("listener"); waits.wait().await }
///     });
///     checkpoint().await?;
///     let text = dump();
///     assert!(text.contains("\"listener\"") && text.contains("waiting for an event"), "{text}");
///     waits.set();
///     Ok(())
/// }));
/// r.unwrap();
/// ```
#[must_use]
pub fn dump() -> String {
    format!("{:#}", task_tree())
}

/// Gives the task that is being polled a name, in place of the one before: for [`dump`]. Outside of any task it does nothing.
///
/// ```
/// use pleach_executor::{dump, name_task, run};
/// run(async {
///     name_task("main");
///     assert!(dump().contains("\"main\""));
///     name_task(format!("main, in its {}nd phase", 2));
///     assert!(dump().contains("2nd phase") && !dump().contains("\"main\""));
/// });
/// ```
pub fn name_task(name: impl Into<Rc<str>>) {
    let name = name.into();
    runtime::with(|rt| {
        if let Some(task) = rt.task() {
            rt.sched.borrow_mut().set_name(task, name);
        }
    });
}

/// How deep a line is indented at most; below that its depth is a number.
const DEEPEST_INDENT: usize = 24;

/// What a line of the picture is about.
enum Line {
    Task(TaskId),
    Nursery(NurseryId),
    Scope(ScopeId),
}

impl fmt::Display for TaskTree {
    /// A tree of tasks and nurseries; in the form `{:#}` with everything that is known of them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut below_nursery, mut below_task) =
            (BTreeMap::<_, Vec<_>>::new(), BTreeMap::<_, Vec<_>>::new());
        // What hangs below nothing that is here comes first to last at the left; the stack is taken from its end.
        let mut todo = Vec::new();
        if f.alternate() {
            for scope in self.scopes().filter(|scope| scope.nursery.is_none()) {
                match scope.opener.filter(|opener| self.task(*opener).is_some()) {
                    Some(opener) => below_task.entry(opener).or_default().push(Line::Scope(scope.id)),
                    None if is_plain(scope) => {}
                    None => todo.push((0, Line::Scope(scope.id))),
                }
            }
        }
        for nursery in self.all_nurseries() {
            match nursery.opener.filter(|opener| self.task(*opener).is_some()) {
                Some(opener) => below_task.entry(opener).or_default().push(Line::Nursery(nursery.id)),
                None => todo.push((0, Line::Nursery(nursery.id))),
            }
        }
        for task in self.tasks() {
            let line = Line::Task(task.id);
            match task.owner {
                Owner::InNursery(nursery) => below_nursery.entry(nursery).or_default().push(line),
                Owner::Starter { starter: Some(starter), .. } => {
                    below_task.entry(starter).or_default().push(line);
                }
                Owner::Run | Owner::Nobody | Owner::Starter { starter: None, .. } => todo.push((0, line)),
            }
        }
        let is_main = |line: &Line| matches!(line, Line::Task(t) if self.owner_of(*t) == Some(Owner::Run));
        todo.reverse();
        todo.sort_by_key(|(_, line)| is_main(line));
        while let Some((depth, line)) = todo.pop() {
            self.line(f, depth, &line)?;
            let below = match line {
                Line::Task(task) => below_task.remove(&task),
                Line::Nursery(nursery) => below_nursery.remove(&nursery),
                Line::Scope(_) => None,
            };
            todo.extend(below.into_iter().flatten().rev().map(|line| (depth + 1, line)));
        }
        if f.alternate() { self.strangers(f) } else { Ok(()) }
    }
}

/// Is there nothing to say of a scope but that it is there? As of the run's own, mostly.
fn is_plain(scope: &ScopeInfo) -> bool {
    scope.opened_at.is_none() && scope.cancelled.is_none() && !scope.shielded && scope.deadline.is_none()
}

impl TaskTree {
    fn owner_of(&self, task: TaskId) -> Option<Owner> {
        self.task(task).map(|t| t.owner)
    }

    fn line(&self, f: &mut fmt::Formatter<'_>, depth: usize, line: &Line) -> fmt::Result {
        write!(f, "{:1$}", "", 2 * depth.min(DEEPEST_INDENT))?;
        if depth > DEEPEST_INDENT {
            write!(f, "({depth} deep) ")?;
        }
        match line {
            Line::Nursery(nursery) => match self.nursery(*nursery) {
                Some(nursery) if f.alternate() => self.nursery_line(f, nursery),
                _ => writeln!(f, "{nursery}"),
            },
            Line::Task(task) => self.task(*task).map_or(Ok(()), |task| self.task_line(f, task)),
            Line::Scope(scope) => self.scope(*scope).map_or(Ok(()), |scope| self.scope_line(f, scope)),
        }
    }

    fn task_line(&self, f: &mut fmt::Formatter<'_>, task: &TaskInfo) -> fmt::Result {
        match task.owner {
            Owner::Run => write!(f, "main, {}", task.id)?,
            Owner::InNursery(_) => write!(f, "{}", task.id)?,
            Owner::Starter { nursery, .. } => write!(f, "{}, starting in {nursery}", task.id)?,
            Owner::Nobody => write!(f, "{}, of no nursery", task.id)?,
        }
        if !f.alternate() {
            return writeln!(f, ": {}", task.state);
        }
        if let Some(name) = self.name(task.id) {
            write!(f, " {name:?}")?;
        }
        place(f, "spawned", task.spawned_at)?;
        write!(f, ": {}", task.state)?;
        if task.state == TaskState::Waiting {
            self.why(f, task.id)?;
        }
        if task.swallowed > 0 {
            write!(f, ", has swallowed {} of its cancellations", task.swallowed)?;
        }
        f.write_char('\n')
    }

    /// What a task waits for.
    fn why(&self, f: &mut fmt::Formatter<'_>, task: TaskId) -> fmt::Result {
        let mut known = false;
        for wait in self.waits(task) {
            write!(f, "{} {}", if known { " and" } else { " for" }, wait.what)?;
            known = true;
        }
        match self.nurseries(task).last() {
            _ if known => Ok(()),
            Some(innermost) => write!(f, " in {}", innermost.id),
            None => f.write_str(" for something of another library"),
        }
    }

    fn nursery_line(&self, f: &mut fmt::Formatter<'_>, nursery: &NurseryInfo) -> fmt::Result {
        write!(f, "{}", nursery.id)?;
        place(f, "opened", Some(nursery.opened_at))?;
        for scope in self.scopes().filter(|scope| scope.nursery == Some(nursery.id)) {
            self.state(f, scope)?;
        }
        f.write_char('\n')
    }

    fn scope_line(&self, f: &mut fmt::Formatter<'_>, scope: &ScopeInfo) -> fmt::Result {
        write!(f, "{}", scope.id)?;
        place(f, "opened", scope.opened_at)?;
        self.state(f, scope)?;
        f.write_char('\n')
    }

    fn state(&self, f: &mut fmt::Formatter<'_>, scope: &ScopeInfo) -> fmt::Result {
        if scope.shielded {
            f.write_str(", shielded")?;
        }
        if let Some(at) = scope.deadline {
            match (at - self.at, self.at - at) {
                (left, late) if left.is_zero() => write!(f, ", ended {late:?} ago")?,
                (left, _) => write!(f, ", ends in {left:?}")?,
            }
        }
        match (&scope.cancelled, &scope.reason) {
            (Some(reason), _) => write!(f, ", cancelled: {reason}"),
            (None, Some(_)) => f.write_str(", cancelled from outside"),
            (None, None) => Ok(()),
        }
    }

    /// Operations whose task is not known: a foreign combinator polls them with a waker of its own.
    fn strangers(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for wait in self.all_waits().filter(|wait| wait.task.is_none()) {
            writeln!(f, "inside of another library's future, in {}: waiting for {}", wait.scope, wait.what)?;
        }
        Ok(())
    }
}

fn place(f: &mut fmt::Formatter<'_>, how: &str, at: Option<&Location<'_>>) -> fmt::Result {
    at.map_or(Ok(()), |at| write!(f, ", {how} at {at}"))
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
