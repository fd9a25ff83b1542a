//! What a supervisor is to know: how its children hang together, and of each one what it is and when it is started again.
//! Values only.
//!
//! ```text
//!   Supervision { strategy, intensity, back-off } ─► supervised(…)
//!   Child { start, what it runs, Restart, Stop } ──► an.child(…) ─► keeper.rs
//! ```

use std::time::Duration;

/// What the end of one child means for the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Strategy {
    /// The first that fails cancels all, and its error is the nursery's. Nobody is started again.
    #[default]
    OneCancelsAll,
    /// The one that has ended is started again; the others do not notice.
    OneForOne,
    /// Those that were added after it depend on it: they are stopped, the last one first, and started again after it, each
    /// when the one before it is up.
    RestForOne,
}

/// When a child is started again that its supervisor was not asked to stop. One that somebody has cancelled by its portal has
/// ended well.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Restart {
    /// Always: it is to be there.
    #[default]
    Permanent,
    /// If it has failed: it has something to finish.
    Transient,
    /// Never. If it has failed, those who observe the tree hear of it.
    Temporary,
}

/// How a child is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Stop {
    /// By SIGKILL, at once. What is below it ends as orphans do.
    Kill,
    /// Asked to, with so much time: SIGTERM after a part of it ([`Config::terminate_at`](crate::Config::terminate_at)), SIGKILL
    /// at its end. Without a `Stop` it is the time of [`Config::cancel`](crate::Config::cancel).
    Within(Duration),
    /// Asked to, and then it may take its time. If this actor itself is cancelled, it has what this actor has.
    Forever,
}

/// How a nursery of actors deals with the ends of its children.
///
/// ```
/// use pleach::{Strategy, Supervision};
/// use std::time::Duration;
/// let how = Supervision::new(Strategy::OneForOne)
///     .intensity(5, Duration::from_secs(60))
///     .back_off(Duration::from_millis(100), Duration::from_secs(5));
/// assert_eq!(how.strategy(), Strategy::OneForOne);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "it says how, and does nothing"]
pub struct Supervision {
    pub(super) strategy: Strategy,
    pub(super) most: u32,
    pub(super) period: Duration,
    pub(super) first_delay: Duration,
    pub(super) longest_delay: Duration,
}

impl Supervision {
    /// By this strategy; at most 3 restarts in 5 seconds, each at once.
    pub fn new(strategy: Strategy) -> Self {
        Supervision {
            strategy,
            most: 3,
            period: Duration::from_secs(5),
            first_delay: Duration::ZERO,
            longest_delay: Duration::ZERO,
        }
    }

    /// At most so many restarts of all children together within the period; with one more all are stopped, the last one
    /// first, and the nursery fails with `TooManyRestarts`. Restarts that were asked for do not count, nor do those of the
    /// others that rest-for-one starts again.
    pub fn intensity(mut self, most: u32, period: Duration) -> Self {
        (self.most, self.period) = (most, period);
        self
    }

    /// A child waits before it is started again: `first` after the first restart that counts for the intensity, then twice
    /// as long each time, and at most `longest`.
    pub fn back_off(mut self, first: Duration, longest: Duration) -> Self {
        (self.first_delay, self.longest_delay) = (first, longest);
        self
    }

    /// The strategy.
    #[must_use]
    pub fn strategy(&self) -> Strategy {
        self.strategy
    }
}
