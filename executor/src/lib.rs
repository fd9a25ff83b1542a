//! Structured concurrency on one thread: nurseries, cancel scopes, and a small reactor under them.
//!
//! ```text
//!        your code
//!   ┌─────────┴──────────────────────────────────────────────┐
//!   │ nursery   CancelScope   sync   net   fd   sleep         │  block, notice cancellation, clean up
//!   ├─────────────────────────────────────────────────────────┤
//!   │ checkpoint: the one skeleton of every waiting operation │
//!   ├──────────────────┬──────────────┬───────────────────────┤
//!   │ task: run queue  │ cancel: tree │ deadline   reactor    │
//!   └──────────────────┴──────────────┴───────────────────────┘
//!     run(): ready tasks, then deadlines, then descriptors, then other threads; repeat
//! ```
//!
//! When a block ends, everything that was started inside it has ended, and every error that happened has reached
//! somebody. Cancellation is a value, [`Cancelled`]: every operation that can block returns it while the scope
//! around the caller is cancelled, the code hands it back with `?`, and the scope that was cancelled absorbs it.
//!
//! ```
//! use pleach_executor::{In, Started, run, sleep, sleep_forever};
//! use std::time::Duration;
//! type Run = In<std::io::Error>;
//!
//! let total = run(Run::nursery(async |n| {
//!     let port = n.start(async |ready: Started<u16>| { ready.set(8080); sleep_forever().await?; Ok(()) }).await?;
//!     let twice = n.task(async move { sleep(Duration::from_millis(1)).await?; Ok(port * 2) });
//!     let total = twice.await?;
//!     n.cancel();                                      // the children, here the server; not this body
//!     Ok(total)
//! }));
//! assert_eq!(total.unwrap(), 16160);
//! ```

mod cancel;
mod checkpoint;
mod clock;
mod combine;
mod deadline;
mod deadlock;
mod dump;
mod entry;
mod error;
pub mod fd;
pub mod guest;
pub mod host;
pub mod instrument;
pub mod io;
#[cfg(feature = "stream")]
pub mod items;
mod locals;
pub mod low_level;
pub mod net;
mod nursery;
mod panics;
pub mod parking;
mod reactor;
mod registry;
mod run;
mod runtime;
pub mod signals;
mod sleep;
pub mod sync;
mod sys;
mod task;
#[cfg(feature = "testing")]
pub mod testing;
pub mod threads;
mod waits;

pub use cancel::{
    CancelCause, CancelScope, Reason, RemoteScope, ScopeHandle, ScopeId, ScopeInfo, effective_deadline,
    fail_after, move_on_after, shielded,
};
pub use cancel::{fail_at, move_on_at};
pub use checkpoint::{check, checked, checkpoint, graceful, yield_now};
pub use clock::{Instant, now};
pub use combine::{both, either, gather, race};
pub use deadlock::{ExpectedWake, expect_wake, forbid_deadlock};
pub use dump::{dump, name_task};
pub use entry::{Nudge, RunFinished, RunHandle};
pub use error::{Abandoned, Cancelled, Failure, Failures, Leaves, TooSlow};
pub use locals::TaskLocal;
pub use nursery::{Closed, In, Named, Nursery, NurseryHandle, NurseryStats, Started, TaskHandle, nursery};
pub use run::run;
pub use runtime::{Stats, stats};
pub use sleep::{sleep, sleep_forever, sleep_until};
pub use task::{
    NurseryId, NurseryInfo, Owner, TaskId, TaskInfo, TaskState, TaskTree, WaitInfo, current_task, task_tree,
};
pub use threads::to_thread;
pub use waits::Waits;
