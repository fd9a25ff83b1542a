//! Starts processes by fork, keeps them by pidfd, and reaps every one.
//!
//! ```text
//!   fork(plan, grants, entry) ──► Forked { process, link } ──► exited ─► reaped ─► ExitStatus
//!                         │                       │ socketpair
//!                         └─► child: Born { link } ─► prelude ─► entry ─► _exit
//! ```
//!
//! One idea stands behind every rule here: **fork copies owners, not just resources.** The child inherits the
//! parent's objects along with its memory, and each of them still believes that it owns a descriptor, a handler, a
//! child or a file. So the child forgets what is the runtime's, covers what is anybody else's, and never goes back.
//!
//! [`fork`](fork()) runs a closure in a child that has this process's memory. Other backends (a fork server, exec)
//! fulfil the same contract: a process, held by pidfd, and one end of a socketpair.

mod born;
mod child;
mod error;
mod fds;
mod fork;
mod grants;
mod plan;
mod process;
mod signal;
mod status;
mod sys;
mod tree;

pub use born::Born;
pub use error::SpawnError;
pub use fork::{Forked, fork};
pub use grants::{Granted, Grants};
pub use plan::{BOOT_FAILURE, Fault, LastWords, Plan, Step};
pub use process::{Gone, Pid, Process};
pub use signal::{Signal, Signals, raise_default};
pub use status::ExitStatus;
pub use tree::{
    SignalState, become_subreaper, children, exit_now, no_children, open_fds, reap_stranger,
    signal_descendant, signal_state, start_time, thread_count,
};
