//! A cancel scope, to look at.

use super::{Reason, ScopeId};
use crate::clock::Instant;
use crate::task::{NurseryId, TaskId};
use std::panic::Location;

/// A cancel scope, as it was at one moment: see [`TaskTree`](crate::TaskTree).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ScopeInfo {
    /// Which.
    pub id: ScopeId,
    /// The scope around it; `None` for that of the run.
    pub parent: Option<ScopeId>,
    /// Where it was opened; `None` for a nursery's and for that of the run.
    pub opened_at: Option<&'static Location<'static>>,
    /// The task that opened it; `None` for a nursery's and for that of the run.
    pub opener: Option<TaskId>,
    /// The nursery that it belongs to. A nursery may have two: around all of it, and around its children.
    pub nursery: Option<NurseryId>,
    /// Why it was itself cancelled.
    pub cancelled: Option<Reason>,
    /// Why code inside is cancelled, by this scope or through it.
    pub reason: Option<Reason>,
    /// Does it bar cancellation from outside?
    pub shielded: bool,
    /// When it ends. A timeout is turned into this when the scope is entered.
    pub deadline: Option<Instant>,
}
