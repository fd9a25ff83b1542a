//! Why a receive from a broadcast channel is not an item.

use std::error::Error;
use std::fmt;

/// Why a [`receive`](super::Receiver::receive) gave no item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReceiveError {
    /// This handle was closed, by its own side: a mistake, or the end of this receiver.
    Closed,
    /// Every sender is gone and everything has been received: the ordinary end.
    End,
    /// This receiver was too slow for the capacity of the channel. Receive again: it goes on with the oldest item that is
    /// still there.
    Lagged {
        /// How many items it will never get.
        missed: u64,
    },
}

/// Why a [`try_receive`](super::Receiver::try_receive) gave no item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TryReceiveError {
    /// This handle was closed, by its own side: a mistake, or the end of this receiver.
    Closed,
    /// Every sender is gone and everything has been received: the ordinary end.
    End,
    /// This receiver was too slow for the capacity of the channel. Receive again: it goes on with the oldest item that is
    /// still there.
    Lagged {
        /// How many items it will never get.
        missed: u64,
    },
    /// Nothing is there now: [`receive`](super::Receiver::receive) would wait.
    WouldBlock,
}

/// Items are missing from a [stream](super::Receiver::into_stream): its receiver was too slow for the capacity of the channel.
/// The next item is the oldest that is still there.
#[cfg(feature = "stream")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Lagged {
    /// How many items it will never get.
    pub missed: u64,
}

impl From<ReceiveError> for TryReceiveError {
    fn from(e: ReceiveError) -> Self {
        match e {
            ReceiveError::Closed => TryReceiveError::Closed,
            ReceiveError::End => TryReceiveError::End,
            ReceiveError::Lagged { missed } => TryReceiveError::Lagged { missed },
        }
    }
}

impl fmt::Display for ReceiveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        TryReceiveError::from(*self).fmt(f)
    }
}

impl fmt::Display for TryReceiveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TryReceiveError::Closed => f.write_str("this receiver is closed"),
            TryReceiveError::End => f.write_str("every sender is gone and everything has been received"),
            TryReceiveError::Lagged { missed } => {
                write!(f, "this receiver was too slow and has missed {missed} items")
            }
            TryReceiveError::WouldBlock => f.write_str("nothing is there now"),
        }
    }
}

#[cfg(feature = "stream")]
impl fmt::Display for Lagged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        ReceiveError::Lagged { missed: self.missed }.fmt(f)
    }
}

#[cfg(feature = "stream")]
impl Error for Lagged {}
impl Error for ReceiveError {}
impl Error for TryReceiveError {}
