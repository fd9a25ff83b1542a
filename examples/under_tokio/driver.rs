//! What a hosted run asks of its host, answered by tokio's timer and reactor.
//!
//! ```text
//!   now ──────────► tokio's clock (which its tests can pause)
//!   poll_until ───► one tokio::time::Sleep, moved
//!   watch ────────► one tokio AsyncFd around the run's epoll instance
//! ```

use pleach::Instant;
use pleach::host::Driver;
use std::future::Future;
use std::io;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::sync::LazyLock;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::unix::AsyncFd;
use tokio::time::{self, Sleep};

/// Where the run's clock stands at `SINCE`.
const EPOCH: Instant = Instant::from_nanos(3_600_000_000_000);
/// The moment this process first asked for the time.
static SINCE: LazyLock<time::Instant> = LazyLock::new(time::Instant::now);

/// Drives a run on a tokio runtime that does not move it between threads.
#[derive(Debug, Default)]
pub(crate) struct OnTokio {
    timer: Option<(Instant, Pin<Box<Sleep>>)>,
    epoll: Option<AsyncFd<OwnedFd>>,
}

/// A moment of the run's clock on tokio's.
fn on_tokio(at: Instant) -> time::Instant {
    let after = at - EPOCH;
    // As far as tokio's clock reaches, and no further.
    SINCE.checked_add(after).unwrap_or_else(|| *SINCE + Duration::from_secs(30 * 365 * 86_400))
}

impl Driver for OnTokio {
    const WATCHES: bool = true;

    fn now() -> Instant {
        let since = *SINCE;
        EPOCH + time::Instant::now().saturating_duration_since(since)
    }

    fn poll_until(&mut self, at: Instant, cx: &mut Context<'_>) -> Poll<()> {
        let timer = match &mut self.timer {
            Some((armed, timer)) => {
                if *armed != at {
                    timer.as_mut().reset(on_tokio(at));
                    *armed = at;
                }
                timer
            }
            none => &mut none.insert((at, Box::pin(time::sleep_until(on_tokio(at))))).1,
        };
        timer.as_mut().poll(cx)
    }

    fn watch(&mut self, epoll: OwnedFd) -> io::Result<()> {
        #[expect(
            deprecated,
            reason = "unsound only for a type that can change its descriptor, which `OwnedFd` cannot"
        )]
        let watched = AsyncFd::new(epoll)?;
        self.epoll = Some(watched);
        Ok(())
    }

    fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(epoll) = &self.epoll else { return Poll::Pending };
        match epoll.poll_read_ready(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(guard) => {
                // The run looks at all its events before it asks again.
                if let Ok(mut guard) = guard {
                    guard.clear_ready();
                }
                Poll::Ready(())
            }
        }
    }
}
