//! What a task can wait for, as far as this crate knows: a byte that an operation leaves where it parks.

use std::fmt;

/// What an operation waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
#[non_exhaustive]
pub enum Waits {
    /// An operation of this crate that has no entry of its own here.
    Other,
    /// [`sleep`](crate::sleep) or [`sleep_until`](crate::sleep_until).
    Sleep,
    /// [`sleep_forever`](crate::sleep_forever): a cancellation alone ends it.
    Forever,
    /// A future of another library, inside of [`checked`](crate::checked).
    Checked,
    /// [`ParkingLot::park`](crate::parking::ParkingLot::park).
    ParkingLot,
    /// [`Event::wait`](crate::sync::Event::wait).
    Event,
    /// A [`Lock`](crate::sync::Lock).
    Lock,
    /// A permit of a semaphore, or a token of a limiter.
    Permit,
    /// A notification, or then its lock ([`Condition`](crate::sync::Condition)).
    Condition,
    /// Others at a [`Barrier`](crate::sync::Barrier).
    Barrier,
    /// Room in a channel.
    Room,
    /// An item in a channel.
    Item,
    /// A descriptor: bytes or room in a socket or a pipe, a connection.
    Descriptor,
    /// A worker thread ([`to_thread`](crate::to_thread)), or its turn to have one.
    Thread,
    /// The value of a child, by its [`TaskHandle`](crate::TaskHandle).
    Child,
    /// Idleness ([`testing`](crate::testing)).
    #[cfg(feature = "testing")]
    Idle,
}

impl fmt::Display for Waits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Waits::Other => "an operation",
            Waits::Sleep => "a moment",
            Waits::Forever => "its cancellation",
            Waits::Checked => "a future of another library",
            Waits::ParkingLot => "its release from a parking lot",
            Waits::Event => "an event",
            Waits::Lock => "a lock",
            Waits::Permit => "a permit",
            Waits::Condition => "a condition",
            Waits::Barrier => "others at a barrier",
            Waits::Room => "room in a channel",
            Waits::Item => "an item in a channel",
            Waits::Descriptor => "a descriptor",
            Waits::Thread => "a worker thread",
            Waits::Child => "the value of a child",
            #[cfg(feature = "testing")]
            Waits::Idle => "idleness",
        })
    }
}
