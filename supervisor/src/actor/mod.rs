//! An actor: a process whose life is a block in its parent.
//!
//! * `id.rs`: who it is. `here.rs`: what this process knows of itself. `event.rs`: what is told about a tree.
//! * `boot.rs`: the life of a child, from its first step to `_exit`. `at_large.rs`: those that lost their parent.
//! * `serve.rs`: what a child does for its parent.
//! * `watch.rs`: a child's life as its parent sees it; `watch/rungs.rs`: how it is stopped; `siblings.rs`: what it shares
//!   with its siblings. `custody.rs`: its process, until it is reaped; `verdict.rs`: what came of it, as a pure decision.

pub(crate) mod at_large;
pub(crate) mod boot;
mod custody;
mod event;
pub(crate) mod here;
mod id;
mod serve;
pub(crate) mod siblings;
mod verdict;
pub(crate) mod watch;

pub use event::{Ending, Event, Status};
pub use here::{Actor, Books, Observation};
pub(crate) use id::no_name;
pub use id::{ActorId, Incarnation};
