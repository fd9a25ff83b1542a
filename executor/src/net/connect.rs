//! Connecting to whichever of several addresses answers first.
//!
//! ```text
//!   addresses ─► Race (when to begin which) ─► attempts under way ─┬─ the first that connects wins; the others are dropped
//!        ▲            ▲                                            └─ each that fails is told to Race, and kept
//!        │            └ now, and a timer
//!        └ a name ─ resolve (in a thread) ─► interleaved
//! ```
//!
//! Rules: decisions are [`race::Race`]'s. The order of the addresses is the caller's; of a name's addresses the families take
//! turns, beginning with the one that the system prefers (RFC 8305, section 4).

mod race;

use super::TcpStream;
use crate::checkpoint::Wait;
use crate::clock::now;
use crate::error::Cancelled;
use crate::sleep::Timer;
use crate::threads::resolve;
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
    /// The name has no address that could be found.
    Unresolved(io::Error),
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

    /// Connects to whichever address of `host` answers first. A name is resolved on a worker thread, an address in
    /// text needs none: see [`resolve`](crate::threads::resolve).
    ///
    /// # Cancellation
    ///
    /// A checkpoint always; Strict, as [`connect_any`](TcpStream::connect_any) and `resolve`.
    ///
    /// # Errors
    ///
    /// [`ConnectError`].
    ///
    /// # Panics
    ///
    /// Outside a run.
    ///
    /// ```
    /// use pleach_executor::{net::{TcpListener, TcpStream}, run};
    /// run(async {
    ///     let listener = TcpListener::bind("127.0.0.1:0".parse().unwrap())?;
    ///     let port = listener.local_addr()?.port();
    ///     let stream = TcpStream::connect_host("127.0.0.1", port).await?;
    ///     assert_eq!(stream.peer_addr()?, listener.local_addr()?);
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    pub async fn connect_host(host: &str, port: u16) -> Result<TcpStream, ConnectError> {
        match resolve(host, port).await {
            Ok(addresses) => Self::connect_any(&interleaved(addresses)).await,
            Err(e) => {
                Err(e.downcast::<Cancelled>().map_or_else(ConnectError::Unresolved, ConnectError::Cancelled))
            }
        }
    }
}

/// The two families by turns, each in its own order.
fn interleaved(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let first_is_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (first, second): (Vec<_>, Vec<_>) = addresses.into_iter().partition(|a| a.is_ipv6() == first_is_v6);
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    let mut turns = Vec::new();
    while first.len() + second.len() > 0 {
        turns.extend(first.next());
        turns.extend(second.next());
    }
    turns
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
            ConnectError::Unresolved(e) => e,
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
            ConnectError::Unresolved(e) => write!(f, "the name could not be resolved: {e}"),
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
            ConnectError::Unresolved(e) => Some(e),
            ConnectError::Unreachable(all) => all.first().map(|(_, e)| e as _),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_families_take_turns_each_in_its_own_order() {
        let all = |texts: &[&str]| texts.iter().map(|t| t.parse().unwrap()).collect::<Vec<SocketAddr>>();
        let (a, b, c) = ("[::1]:1", "[::2]:1", "[::3]:1");
        let (x, y) = ("10.0.0.1:1", "10.0.0.2:1");
        assert_eq!(interleaved(all(&[a, b, c, x, y])), all(&[a, x, b, y, c]));
        assert_eq!(interleaved(all(&[x, a, b, y])), all(&[x, a, y, b]));
        assert_eq!(interleaved(all(&[x, y])), all(&[x, y]));
        assert_eq!(interleaved(Vec::new()), Vec::new());
    }
}
