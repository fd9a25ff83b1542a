//! Structured concurrency across a tree of processes.
//!
//! ```text
//!   Program ─► actors(async |an| …) ─► an.fork("name", grants, async |actor, grants| …) ─► a process, and in it
//!                     │                          │                                          actors(…) again
//!                     └── errors as trees ◄──────┴── value │ error │ death, as one event
//! ```
//!
//! An actor is a process whose life is a block in its parent. The first that fails cancels the others; a cancel goes
//! down the whole tree, one message per link, with one deadline; nobody is left behind, whatever is killed.
//!
//! The concurrency inside one process is [`pleach_executor`], re-exported here.

#![forbid(unsafe_code)]

mod actor;
mod cluster;
mod config;
mod endpoint;
mod error;
mod forks;
mod handle;
pub mod inventory;
mod launch;
mod line;
mod nursery;
mod portal;
mod program;
mod report;
mod start;
mod supervise;
mod teardown;
pub mod test_main;
mod wire;

pub use actor::{Actor, ActorId, Books, Ending, Event, Incarnation, Observation, Status};
pub use cluster::{Cluster, Results};
pub use config::Config;
pub use endpoint::{Context, Endpoint};
pub use error::{Error, ErrorKind, ErrorTree};
pub use handle::ActorHandle;
pub use line::Death;
pub use nursery::{ActorNursery, actors, actors_with, supervised, supervised_with};
pub use pleach_executor::{
    CancelScope, Cancelled, Failure, Failures, In, Instant, Nursery, Reason, Started, TaskHandle, TaskLocal,
    check, checked, checkpoint, fail_after, fail_at, fd, gather, graceful, guest, host, move_on_after,
    move_on_at, now, nursery, run, shielded, sleep, sleep_forever, sleep_until, stats, sync, task_tree,
};
pub use pleach_ipc::proto::{BootPhase, LastWords, Origin, Payload};
pub use pleach_spawn::{Fault, Grants, Step};
pub use portal::{Portal, PortalStatistics};
pub use program::Program;
pub use report::{Fallen, Report};
pub use start::{Backend, Start};
pub use supervise::{Child, ChildState, ChildStatus, Follower, Restart, Stop, Strategy, Supervision};
pub use wire::{Cause, Why};

/// The code of the README compiles and runs.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;

/// The code of the pages compiles and runs.
#[cfg(doctest)]
#[doc = include_str!("../../docs/supervision.md")]
struct SupervisionPage;

/// The code of the pages compiles and runs.
#[cfg(doctest)]
#[doc = include_str!("../../docs/clusters.md")]
struct ClustersPage;
