//! Connecting to whichever of several addresses answers first.
//!
//! ```text
//!   addresses ─► Race (when to begin which) ─► attempts under way ─┬─ the first that connects wins; the others are dropped
//!        ▲            ▲                                            └─ each that fails is told to Race, and kept
//!        └ a resolver └ now, and a timer
//! ```
//!
//! Rules: decisions are [`race::Race`]'s. The order of the addresses is the caller's; RFC 8305 wants the families interleaved.

mod race;

use super::TcpStream;
use crate::checkpoint::{Timer, Wait};
use crate::clock::now;
use crate::error::Cancelled;
use race::{Race, Step};
use std::error::Error;
use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

/// How long one address has before the next is tried beside it (RFC 8305, section 8).
pub const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// Why no address of several could be connected to.
#[derive(Debug)]
#[non_exhaustive]
pub enum ConnectError {
    /// The scope around the caller is cancelled: hand it back with `?`.
    Cancelled(Cancelled),
    /// Every address failed, each with its own error, in the order in which they did. Without any address: empty.
    Unreachable(Vec<(SocketAddr, io::Error)>),
}

impl TcpStream {
    /// Connects to whichever of `addresses` answers first. They are tried in their order, each 250 ms after the one before,
    /// or at once when one has failed.
    ///
    /// # Cancellation
    ///
    /// A checkpoint always; Strict: every connection that was begun has been given up.
    ///
    /// # Errors
    ///
    /// [`ConnectError::Unreachable`] if every address failed.
    ///
    /// # Panics
    ///
    /// Outside a run.
    ///
    /// # References
    ///
    /// RFC 8305 ("happy eyeballs"), section 5; trio's `open_tcp_stream`.
    pub async fn connect_any(addresses: &[SocketAddr]) -> Result<TcpStream, ConnectError> {
        connect_first(addresses, ATTEMPT_DELAY, TcpStream::connect).await
    }
}

/// The same for any way of connecting: `connect` is called for one address after the other.
///
/// # Cancellation
///
/// A checkpoint always; as strict as dropping what `connect` returns.
///
/// # Errors
///
/// [`ConnectError::Unreachable`] if every address failed. An attempt that ends with a `Cancelled` ends all.
///
/// # Panics
///
/// Outside a run.
pub async fn connect_first<T, F: Future<Output = io::Result<T>>>(
    addresses: &[SocketAddr],
    delay: Duration,
    connect: impl FnMut(SocketAddr) -> F,
) -> Result<T, ConnectError> {
    let mut attempts = Attempts {
        addresses,
        connect,
        race: Race::new(addresses.len(), delay, now()),
        under_way: Vec::new(),
        failed: Vec::new(),
        timer: Timer::new(),
    };
    let mut wait = Wait::new();
    poll_fn(|cx| wait.poll(cx, |cx| attempts.poll(cx))).await?
}

struct Attempts<'a, C, F> {
    addresses: &'a [SocketAddr],
    connect: C,
    race: Race,
    under_way: Vec<(SocketAddr, Pin<Box<F>>)>,
    failed: Vec<(SocketAddr, io::Error)>,
    timer: Timer,
}

impl<T, C: FnMut(SocketAddr) -> F, F: Future<Output = io::Result<T>>> Attempts<'_, C, F> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<T, ConnectError>> {
        loop {
            if let Poll::Ready(ended) = self.poll_under_way(cx) {
                return Poll::Ready(ended);
            }
            let now = now();
            match self.race.step(now) {
                Step::Start(index) => {
                    let address = self.addresses[index];
                    self.under_way.push((address, Box::pin((self.connect)(address))));
                }
                Step::Lost => {
                    return Poll::Ready(Err(ConnectError::Unreachable(std::mem::take(&mut self.failed))));
                }
                Step::Wait(until) => {
                    let Some(until) = until else { return Poll::Pending };
                    self.timer.set(until, now);
                    if self.timer.poll(cx).is_pending() {
                        return Poll::Pending;
                    }
                }
            }
        }
    }

    /// Polls those under way. `Ready` if one has connected, or was cancelled.
    fn poll_under_way(&mut self, cx: &mut Context<'_>) -> Poll<Result<T, ConnectError>> {
        let mut at = 0;
        while let Some((address, attempt)) = self.under_way.get_mut(at) {
            let error = match attempt.as_mut().poll(cx) {
                Poll::Pending => {
                    at += 1;
                    continue;
                }
                Poll::Ready(Ok(connected)) => return Poll::Ready(Ok(connected)),
                Poll::Ready(Err(e)) => e,
            };
            let address = *address;
            drop(self.under_way.remove(at));
            match error.downcast::<Cancelled>() {
                Ok(c) => return Poll::Ready(Err(ConnectError::Cancelled(c))),
                Err(e) => self.failed.push((address, e)),
            }
            self.race.failed(now());
        }
        Poll::Pending
    }
}

impl From<Cancelled> for ConnectError {
    fn from(c: Cancelled) -> Self {
        ConnectError::Cancelled(c)
    }
}

impl From<ConnectError> for io::Error {
    /// The kind is that of the first address' error.
    fn from(e: ConnectError) -> Self {
        match e {
            ConnectError::Cancelled(c) => c.into(),
            ConnectError::Unreachable(ref all) => {
                let kind = all.first().map_or(io::ErrorKind::InvalidInput, |(_, e)| e.kind());
                io::Error::new(kind, e)
            }
        }
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConnectError::Cancelled(c) => c.fmt(f),
            ConnectError::Unreachable(all) if all.is_empty() => {
                f.write_str("there is no address to connect to")
            }
            ConnectError::Unreachable(all) => {
                f.write_str("no address could be connected to")?;
                all.iter().try_for_each(|(address, e)| write!(f, "; {address}: {e}"))
            }
        }
    }
}

impl Error for ConnectError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            ConnectError::Cancelled(c) => Some(c),
            ConnectError::Unreachable(all) => all.first().map(|(_, e)| e as _),
        }
    }
}
