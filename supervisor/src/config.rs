//! The limits of an actor tree, with their defaults; settable for the root and for each actor.

use std::time::Duration;

/// Limits of an actor and of the tree below it. An actor inherits the one it was started with.
///
/// ```
/// use pleach::Config;
/// use std::time::Duration;
/// let config = Config::default().cancel(Duration::from_secs(1));
/// assert_eq!(config.boot_limit(), Duration::from_secs(10));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    pub(crate) boot: Duration,
    pub(crate) cancel: Duration,
    pub(crate) unkillable: Duration,
    pub(crate) orphan_grace: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            boot: Duration::from_secs(10),
            cancel: Duration::from_secs(5),
            unkillable: Duration::from_secs(10),
            orphan_grace: Duration::from_millis(500),
        }
    }
}

impl Config {
    /// From the fork to `Ready`. Default 10 s.
    #[must_use]
    pub fn boot(mut self, limit: Duration) -> Self {
        self.boot = limit;
        self
    }

    /// From the cancel of an actor or tree to SIGKILL; SIGTERM comes at 60 % of it. Default 5 s.
    #[must_use]
    pub fn cancel(mut self, limit: Duration) -> Self {
        self.cancel = limit;
        self
    }

    /// From SIGKILL to the report that the process does not die of it. Default 10 s.
    #[must_use]
    pub fn unkillable(mut self, limit: Duration) -> Self {
        self.unkillable = limit;
        self
    }

    /// How long an actor may clean up after its parent is gone. Default 500 ms.
    #[must_use]
    pub fn orphan_grace(mut self, limit: Duration) -> Self {
        self.orphan_grace = limit;
        self
    }

    /// The limit of [`boot`](Config::boot).
    #[must_use]
    pub fn boot_limit(&self) -> Duration {
        self.boot
    }

    /// The limit of [`cancel`](Config::cancel).
    #[must_use]
    pub fn cancel_limit(&self) -> Duration {
        self.cancel
    }
}
