//! Sockets.

mod unix;

pub use unix::{PeerCred, UnixStream};
