//! Starts processes by fork, fork server or exec, keeps them by pidfd, and reaps every one.
//!
//! ```text
//!   fork(plan, grants, entry) ─┬─► Forked { process, link } ──► exited ─► reaped ─► ExitStatus
//!   exec(plan, image, given) ──┤                    │ socketpair
//!   server.spawn(&plan, given) ┤                    │
//!                              └─► child: prelude ─► entry(Born { link }, …) ─► _exit
//! ```
//!
//! One idea stands behind every rule here: **fork copies owners, not just resources.** The child inherits the
//! parent's objects along with its memory, and each of them still believes that it owns a descriptor, a handler, a
//! child or a file. So the child forgets what is the runtime's, covers what is anybody else's, and never goes back.
//!
//! [`fork`](fork()) runs a closure in a child that has this process's memory, and needs a process of one thread.
//! [`exec`](exec()) starts this program again, with nothing inherited, and `main` lets it be a child: [`reborn`].
//! A [`ForkServer`] is this program started again and left at that point: its children begin there, as small as it is, for a
//! tenth of the price. All three fulfil one contract: a process, held by pidfd, and one end of a socketpair.

mod born;
mod child;
mod command;
mod error;
mod exec;
mod farewell;
mod fds;
mod fork;
mod grants;
mod held;
mod image;
mod kin;
mod marker;
mod plan;
mod process;
mod reborn;
mod server;
mod signal;
mod status;
mod stops;
mod stray;
mod surroundings;
mod sys;
mod tree;

pub use born::Born;
pub use command::{
    Captured, Command, CommandError, CommandStep, EachLine, Finished, Group, Input, Limit, Output, Relay,
    Running,
};
pub use error::SpawnError;
pub use exec::exec;
pub use fork::{Forked, fork};
pub use grants::{Granted, Grants};
pub use held::{Moment, is_held};
pub use image::Image;
pub use kin::{begin_tree, is_of_a_tree};
pub use plan::{BOOT_FAILURE, Fault, LastWords, Plan, Step, plain_words};
pub use process::{Gone, Pid, Process, TerminateError};
pub use reborn::{Reborn, Start, reborn};
pub use server::ForkServer;
pub use signal::{Signal, Signals, raise_default};
pub use status::ExitStatus;
pub use stops::Stops;
pub use stray::Stray;
pub use tree::{
    SignalState, become_subreaper, children, exit_now, glance_at_children, no_children, open_fds,
    reap_stranger, signal_descendant, signal_state, start_time, thread_count,
};
