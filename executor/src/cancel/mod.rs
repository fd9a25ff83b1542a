//! Cancel scopes: regions of code that are cancelled as one unit.
//!
//! ```text
//!   CancelScope::run ─enter─► tree (who is below whom, who is cancelled)  ◄─cancel/deadline─ anybody
//!        ▲                        │ wakes what waits below
//!        └──── absorbs ◄─?── Cancelled ◄── checkpoint
//! ```
//!
//! * `tree.rs`: the tree of scopes as data: effective cancellation, shields, who waits where. Pure.
//! * `scope.rs`: the scope as its owner has it, and the functions that open scopes. `handle.rs`: as others have it.
//! * `moment.rs`: scopes that end at a moment.
//! * `remote.rs`: a scope as other threads can reach it.
//! * `reason.rs`: why a scope was cancelled. `shown.rs`: a scope as text.

mod handle;
mod info;
mod moment;
mod reason;
mod remote;
mod scope;
mod shown;
pub(crate) mod tree;

pub use handle::ScopeHandle;
pub use info::ScopeInfo;
pub use moment::{fail_at, move_on_at};
pub use reason::{CancelCause, Reason};
pub use remote::RemoteScope;
pub use scope::{CancelScope, effective_deadline, fail_after, move_on_after, shielded};
pub use tree::ScopeId;
