//! Why an operation on a channel did not happen: one type for each operation, own faults apart from the others'.

use std::error::Error;
use std::fmt;

/// Why a [`send`](super::Sender::send) did not happen. The item comes back.
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendError<T> {
    /// This handle was closed, by its own side: a mistake, or the end of this sender.
    Closed(T),
    /// Every receiver is gone: nobody will ever take it. Stop producing.
    Broken(T),
}

/// Why a [`try_send`](super::Sender::try_send) did not happen. The item comes back.
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TrySendError<T> {
    /// This handle was closed, by its own side: a mistake, or the end of this sender.
    Closed(T),
    /// Every receiver is gone: nobody will ever take it. Stop producing.
    Broken(T),
    /// The channel is full, or others wait before us: [`send`](super::Sender::send) would wait.
    WouldBlock(T),
}

/// Why a [`receive`](super::Receiver::receive) did not happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReceiveError {
    /// This handle was closed, by its own side: a mistake, or the end of this receiver.
    Closed,
    /// Every sender is gone and everything has been received: the ordinary end.
    End,
}

/// Why a [`try_receive`](super::Receiver::try_receive) did not happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TryReceiveError {
    /// This handle was closed, by its own side: a mistake, or the end of this receiver.
    Closed,
    /// Every sender is gone and everything has been received: the ordinary end.
    End,
    /// Nothing is there now: [`receive`](super::Receiver::receive) would wait.
    WouldBlock,
}

/// Why a [`next`](super::Receiver::next) is neither an item nor the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NextError {
    /// This handle was closed, by its own side: a mistake, or the end of this receiver.
    Closed,
}

const SENDER_CLOSED: &str = "this sender is closed";
const BROKEN: &str = "every receiver is gone";
const FULL: &str = "the channel is full";
const RECEIVER_CLOSED: &str = "this receiver is closed";
const END: &str = "every sender is gone and everything has been received";
const EMPTY: &str = "nothing is there now";

impl<T> SendError<T> {
    /// The item that was not sent.
    pub fn into_item(self) -> T {
        match self {
            SendError::Closed(item) | SendError::Broken(item) => item,
        }
    }
}

impl<T> TrySendError<T> {
    /// The item that was not sent.
    pub fn into_item(self) -> T {
        match self {
            TrySendError::Closed(item) | TrySendError::Broken(item) | TrySendError::WouldBlock(item) => item,
        }
    }
}

impl<T> fmt::Display for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SendError::Closed(_) => SENDER_CLOSED,
            SendError::Broken(_) => BROKEN,
        })
    }
}

impl<T> fmt::Display for TrySendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TrySendError::Closed(_) => SENDER_CLOSED,
            TrySendError::Broken(_) => BROKEN,
            TrySendError::WouldBlock(_) => FULL,
        })
    }
}

// By hand: an item that has no `Debug` must not stand in the way of `unwrap`.
impl<T> fmt::Debug for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SendError::Closed(_) => "Closed(..)",
            SendError::Broken(_) => "Broken(..)",
        })
    }
}

impl<T> fmt::Debug for TrySendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TrySendError::Closed(_) => "Closed(..)",
            TrySendError::Broken(_) => "Broken(..)",
            TrySendError::WouldBlock(_) => "WouldBlock(..)",
        })
    }
}

impl fmt::Display for ReceiveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ReceiveError::Closed => RECEIVER_CLOSED,
            ReceiveError::End => END,
        })
    }
}

impl fmt::Display for TryReceiveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TryReceiveError::Closed => RECEIVER_CLOSED,
            TryReceiveError::End => END,
            TryReceiveError::WouldBlock => EMPTY,
        })
    }
}

impl fmt::Display for NextError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            NextError::Closed => RECEIVER_CLOSED,
        })
    }
}

impl<T> Error for SendError<T> {}
impl<T> Error for TrySendError<T> {}
impl Error for NextError {}
impl Error for ReceiveError {}
impl Error for TryReceiveError {}
