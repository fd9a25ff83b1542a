//! What tasks of one thread wait for each other with.

mod barrier;
pub mod broadcast;
pub mod channel;
mod condition;
mod event;
mod limiter;
mod lock;
mod once_cell;
mod resources;
mod semaphore;
mod turns;
pub mod watch;

pub use barrier::{Barrier, BarrierStats, Passed};
pub use condition::{Condition, ConditionStats};
pub use event::{Event, EventStats};
pub use limiter::{BorrowError, Borrower, CapacityLimiter, LimiterStats, Token, TryBorrowError};
pub use lock::{Lock, LockError, LockGuard, LockStats, TryLockError};
pub use once_cell::{OnceCell, SetError};
pub use resources::{Holding, Resources};
pub use semaphore::{AtMost, NoPermit, Permit, Semaphore, SemaphoreStats};
