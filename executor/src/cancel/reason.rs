//! Why a scope was cancelled: a value that travels with the signal and can be asked of the scope at any time.

use crate::task::TaskId;
use std::any::Any;
use std::fmt;
use std::sync::Arc;

/// Why a scope was cancelled. The first reason a scope gets is the one it keeps; a scope below shows the reason
/// of the ancestor through which it became cancelled.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Reason {
    /// Somebody called `cancel()`.
    Requested {
        /// The task that did; `None` from outside any task.
        by: Option<TaskId>,
    },
    /// The scope's deadline passed.
    Deadline,
    /// A child of the nursery, or its body, failed.
    SiblingFailed,
    /// The run is over: its main future has ended.
    Shutdown,
    /// The child of a `start()` ended without `Started::set`.
    NeverStarted,
    /// Ctrl-C: see [`run_interruptible`](crate::signals::run_interruptible).
    Interrupt,
    /// A cause known to a layer above this crate.
    External(Arc<dyn CancelCause>),
}

/// A cause of cancellation that a layer above this crate defines: a message from another process, a signal.
///
/// ```
/// use pleach_executor::{CancelCause, CancelScope, Reason, check, run};
/// use std::sync::Arc;
///
/// #[derive(Debug)]
/// struct Hangup;
/// impl std::fmt::Display for Hangup {
///     fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { f.write_str("the line went dead") }
/// }
/// impl CancelCause for Hangup {}
///
/// run(async {
///     let r = CancelScope::new().run(async |s| {
///         s.cancel_because(Arc::new(Hangup));
///         let Some(Reason::External(why)) = s.reason() else { panic!() };
///         assert!((&*why as &dyn std::any::Any).is::<Hangup>());
///         check()
///     }).await;
///     assert!(matches!(r, Ok(None)));
/// });
/// ```
pub trait CancelCause: fmt::Debug + fmt::Display + Any + Send + Sync {}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Requested { by: Some(task) } => write!(f, "requested by {task}"),
            Reason::Requested { by: None } => f.write_str("requested"),
            Reason::Deadline => f.write_str("the deadline passed"),
            Reason::SiblingFailed => f.write_str("another task of the nursery failed"),
            Reason::Shutdown => f.write_str("the run is over"),
            Reason::NeverStarted => f.write_str("the child ended without calling Started::set"),
            Reason::Interrupt => f.write_str("interrupted by Ctrl-C"),
            Reason::External(cause) => write!(f, "{cause}"),
        }
    }
}
