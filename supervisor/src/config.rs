//! The limits of an actor tree, with their defaults; settable for the root and for each actor.

use pleach_ipc::proto::{FrameLen, Limits};
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
    pub(crate) handshake: Duration,
    pub(crate) terminate_percent: u8,
    pub(crate) limits: Limits,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            boot: Duration::from_secs(10),
            cancel: Duration::from_secs(5),
            unkillable: Duration::from_secs(10),
            orphan_grace: Duration::from_millis(500),
            handshake: Duration::from_secs(5),
            terminate_percent: 60,
            limits: Limits::default(),
        }
    }
}

impl Config {
    /// From the making of the process to `Ready`. Default 10 s.
    #[must_use]
    pub fn boot(mut self, limit: Duration) -> Self {
        self.boot = limit;
        self
    }

    /// From the cancel of an actor or tree to SIGKILL. Default 5 s.
    #[must_use]
    pub fn cancel(mut self, limit: Duration) -> Self {
        self.cancel = limit;
        self
    }

    /// After how much of the time of a cancel SIGTERM is sent, in hundredths; more than 100 is 100. Default 60.
    #[must_use]
    pub fn terminate_at(mut self, percent: u8) -> Self {
        self.terminate_percent = percent.min(100);
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

    /// From the making of the process to its `Hello`, the first word it says; it counts only if it is shorter than
    /// [`boot`](Config::boot). Default 5 s.
    #[must_use]
    pub fn handshake(mut self, limit: Duration) -> Self {
        self.handshake = limit;
        self
    }

    /// The longest message with data: an argument, a value, an error tree, in bytes. From 64 KiB to 1 GiB. Default
    /// 16 MiB.
    #[must_use]
    pub fn frame(mut self, bytes: u32) -> Self {
        self.limits.frame = FrameLen::new(bytes);
        self
    }

    /// How many bytes may wait to be written to an actor before a sender has to wait; at least one frame. Default 64 MiB.
    #[must_use]
    pub fn in_flight(mut self, bytes: u32) -> Self {
        self.limits.in_flight = FrameLen::new(bytes);
        self
    }

    /// How many calls to one actor may be under way at once. Default 65 536.
    #[must_use]
    pub fn dialogs(mut self, most: u32) -> Self {
        self.limits.dialogs = most;
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
