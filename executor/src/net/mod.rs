//! Sockets.
//!
//! ```text
//!   AsyncFd (readiness) ─┐
//!   sys (the calls)     ─┴─► unix: UnixStream
//! ```

mod unix;

pub use unix::{PeerCred, UnixStream};
