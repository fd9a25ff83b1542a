//! Addresses for the sockets of a case.

use std::net::SocketAddr;
use std::path::PathBuf;

/// A port of the system's choice, on the loopback interface.
pub(crate) fn any() -> SocketAddr {
    "127.0.0.1:0".parse().expect("an address")
}

/// A name for a socket, which is gone with this.
pub(crate) struct Name(pub(crate) PathBuf);

impl Name {
    pub(crate) fn new(name: &str) -> Self {
        Name(std::env::temp_dir().join(format!("pleach-{}-{name}", std::process::id())))
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}
