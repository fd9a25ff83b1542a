//! An instrument that tells the crate `tracing`: a span for each task, entered while the task is polled.
//!
//! ```text
//!   task_spawned ─► span "task" ─ before_step ─► enter ─ after_step ─► exit ─ … ─ task_exited ─► closed
//!                                  │ what the task logs stands in its span
//!   scheduled, scope cancelled, I/O wait ─► events
//! ```

use super::Instrument;
use crate::cancel::{Reason, ScopeId};
use crate::task::TaskId;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;
use tracing::{Span, debug, debug_span, trace};

/// The target of every span and event of this instrument.
const TARGET: &str = "pleach";

/// Tells the subscriber of the crate `tracing` what the executor does. Only with the feature `tracing`.
///
/// Each task is a span `task` at the level debug, below that of the task that spawned it, and is entered while it is polled:
/// what a task logs stands in its span. Wakes and waits for events are events at the level trace, cancellations at debug.
///
/// ```
/// use pleach_executor::instrument::{Traced, install};
/// let _traced = install(Traced::new());
/// pleach_executor::run(async { /* … */ });
/// ```
#[derive(Default)]
pub struct Traced {
    spans: RefCell<BTreeMap<TaskId, Span>>,
}

impl Traced {
    /// One for the subscriber that is the default of the thread when it is told something.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The span of a task; one that was there before the instrument gets its span now. A clone, because a subscriber may
    /// do anything.
    fn span(&self, task: TaskId) -> Span {
        let known = self.spans.borrow().get(&task).cloned();
        known.unwrap_or_else(|| {
            let span = debug_span!(target: TARGET, "task", id = %task);
            let _none = self.spans.borrow_mut().insert(task, span.clone());
            span
        })
    }
}

impl Instrument for Traced {
    fn run_began(&self) {
        debug!(target: TARGET, "run began");
    }

    fn run_ended(&self) {
        debug!(target: TARGET, "run ended");
    }

    fn task_spawned(&self, task: TaskId) {
        let _its = self.span(task);
    }

    fn task_scheduled(&self, task: TaskId) {
        let span = self.span(task);
        trace!(target: TARGET, parent: &span, "scheduled");
    }

    fn before_step(&self, task: TaskId) {
        // Entered here and left in `after_step`: steps are nested, as spans have to be.
        let _subscribed = self.span(task).with_subscriber(|(id, subscriber)| subscriber.enter(id));
    }

    fn after_step(&self, task: TaskId) {
        let _subscribed = self.span(task).with_subscriber(|(id, subscriber)| subscriber.exit(id));
    }

    fn task_exited(&self, task: TaskId) {
        let span = self.spans.borrow_mut().remove(&task);
        drop(span);
    }

    fn scope_cancelled(&self, scope: ScopeId, reason: &Reason) {
        debug!(target: TARGET, %scope, %reason, "cancelled");
    }

    fn before_io_wait(&self, timeout: Option<Duration>) {
        trace!(target: TARGET, ?timeout, "waiting for events");
    }

    fn after_io_wait(&self, _timeout: Option<Duration>) {
        trace!(target: TARGET, "waited for events");
    }
}

impl fmt::Debug for Traced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Traced").field("tasks", &self.spans.borrow().len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::instrument::install;
    use crate::{Cancelled, checkpoint, nursery, run};
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicU64, Ordering};
    use tracing::span::{Attributes, Id, Record};
    use tracing::{Event, Metadata, Subscriber};

    /// Counts spans that are open and entered, and notes in which span an event of the test's own stands.
    #[derive(Default)]
    struct Spans {
        made: AtomicU64,
        /// Of spans, and not given back yet.
        handles: AtomicU64,
        entered: Mutex<Vec<u64>>,
        seen: Mutex<Vec<Option<u64>>>,
    }

    impl Subscriber for &'static Spans {
        fn enabled(&self, _metadata: &Metadata<'_>) -> bool {
            true
        }
        fn new_span(&self, _span: &Attributes<'_>) -> Id {
            self.handles.fetch_add(1, Ordering::Relaxed);
            Id::from_u64(self.made.fetch_add(1, Ordering::Relaxed) + 1)
        }
        fn record(&self, _span: &Id, _values: &Record<'_>) {}
        fn record_follows_from(&self, _span: &Id, _follows: &Id) {}
        fn event(&self, event: &Event<'_>) {
            if event.metadata().target() != TARGET {
                let current = self.entered.lock().unwrap().last().copied();
                self.seen.lock().unwrap().push(current);
            }
        }
        fn enter(&self, span: &Id) {
            self.entered.lock().unwrap().push(span.into_u64());
        }
        fn exit(&self, span: &Id) {
            assert_eq!(self.entered.lock().unwrap().pop(), Some(span.into_u64()), "steps are nested");
        }
        fn clone_span(&self, span: &Id) -> Id {
            self.handles.fetch_add(1, Ordering::Relaxed);
            span.clone()
        }
        fn try_close(&self, _span: Id) -> bool {
            self.handles.fetch_sub(1, Ordering::Relaxed);
            false
        }
    }

    #[test]
    fn what_a_task_logs_stands_in_its_span_and_every_span_is_closed() {
        let spans: &'static Spans = Box::leak(Box::default());
        tracing::subscriber::with_default(spans, || {
            let traced = install(Traced::new());
            let r: Result<(), Cancelled> = run(nursery(async |n| {
                for _ in 0..2 {
                    n.spawn(async {
                        tracing::info!("a step");
                        checkpoint().await?;
                        tracing::info!("another");
                        Ok(())
                    });
                }
                Ok(())
            }));
            r.unwrap();
            drop(traced);
        });
        let seen = spans.seen.lock().unwrap().clone();
        assert_eq!(seen.len(), 4, "{seen:?}");
        assert!(seen.iter().all(Option::is_some) && seen[0] != seen[1], "{seen:?}");
        assert_eq!((seen[0], seen[1]), (seen[2], seen[3]), "each in its own");
        assert_eq!((spans.made.load(Ordering::Relaxed), spans.handles.load(Ordering::Relaxed)), (3, 0));
        assert_eq!(*spans.entered.lock().unwrap(), []);
    }
}
