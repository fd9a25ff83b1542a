//! Children that are started again.
//!
//! * `spec.rs`: what a supervisor is to know. `child.rs`: what one of its children is, to be made again and again.
//! * `plan.rs`: what it does about them, as a pure decision. `keeper.rs`: does it.
//! * `follow.rs`: how those who work with the children find them.

mod child;
mod follow;
mod keeper;
mod plan;
mod spec;

pub use child::Child;
pub use follow::{ChildState, ChildStatus, Follower};
pub(crate) use keeper::{Keeper, Means};
pub use spec::{Restart, Stop, Strategy, Supervision};
