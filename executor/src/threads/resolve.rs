//! Names of hosts to addresses, by the system's resolver, on a worker thread: it blocks.
//!
//! ```text
//!   host ─┬─ an address in text ─► itself, at once
//!         └─ a name ─► a worker ─ getaddrinfo ─► addresses
//! ```

use super::ToThread;
use crate::checkpoint::cancellable;
use crate::waits::Waits;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::task::Poll;

/// The addresses of `host`, each with `port`, in the system's order of preference. An address in text is
/// its own, and needs no thread.
///
/// # Cancellation
///
/// A checkpoint always. **Strict**: the thread that asks is abandoned, and ends when the resolver has its answer.
///
/// # Errors
///
/// Of `getaddrinfo(3)`; `NotFound` if there is a name, and no address; those of
/// [`to_thread`](super::to_thread) as `io::Error`, a `Cancelled` among them.
///
/// # Panics
///
/// Outside a run.
///
/// ```
/// use pleach_executor::{run, threads::resolve};
/// let found = run(resolve("127.0.0.1", 80)).unwrap();
/// assert_eq!(found, ["127.0.0.1:80".parse().unwrap()]);
/// ```
pub async fn resolve(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    if let Ok(ip) = host.parse::<IpAddr>() {
        cancellable(Waits::Other, |_| Poll::Ready(())).await?;
        return Ok(vec![SocketAddr::new(ip, port)]);
    }
    let asked = host.to_owned();
    let ask = move || Ok((asked.as_str(), port).to_socket_addrs()?.collect::<Vec<_>>());
    let call = ToThread::new().name("resolve").abandonable().run(move |_host| ask());
    let found: Vec<_> = call.await.map_err(io::Error::from).flatten()?;
    if found.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, format!("{host} has no address")));
    }
    Ok(found)
}
