//! The floor of exec: the same processes and messages, each a program begun anew, with nothing around the system calls.
//!
//! ```text
//!   root ─posix_spawn─► 1 ─posix_spawn─► 2 ─► …   a socketpair on every edge, the child's end is its standard input;
//!     ◄──byte──────────── ◄──byte──────────        one byte up, one byte down, waitpid(2)
//! ```
//!
//! Rules:
//! * The program is this one, as in our column: loading it costs both the same.

use crate::raw::{Times, take};
use crate::stats::now;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio, exit};

/// The argument that makes this program a process of the chain; the number of those below follows.
const FLAG: &str = "--raw-link";

/// Becomes a process of a chain if this process was made to be one.
pub(crate) fn divert() {
    let mut args = std::env::args().skip(1);
    if args.next().as_deref() != Some(FLAG) {
        return;
    }
    let below = args.next().and_then(|below| below.parse().ok()).expect("how many are below");
    let end = io::stdin().as_fd().try_clone_to_owned().and_then(|up| link(below, UnixStream::from(up)));
    exit(i32::from(end.is_err()));
}

/// A chain of `depth` processes comes up, and is taken down from the root.
pub(crate) fn chain(depth: usize) -> io::Result<Times> {
    let start = now();
    let mut first = Link::make(depth - 1)?;
    take(&mut first.socket)?;
    let up = start.elapsed();
    let start = now();
    first.end()?;
    Ok(Times { up, down: start.elapsed() })
}

/// A process of the chain, with `below` more under it.
fn link(below: usize, mut up: UnixStream) -> io::Result<()> {
    if below == 0 {
        up.write_all(b"u")?;
        return take(&mut up);
    }
    let mut child = Link::make(below - 1)?;
    take(&mut child.socket)?;
    up.write_all(b"u")?;
    take(&mut up)?;
    child.end()
}

/// A child, as its parent holds it.
struct Link {
    process: Child,
    socket: UnixStream,
}

impl Link {
    /// Nothing of it needs a fork with code before the exec, so that std takes posix_spawn(3).
    fn make(below: usize) -> io::Result<Self> {
        let (socket, theirs) = UnixStream::pair()?;
        let process = Command::new(std::env::current_exe()?)
            .args([FLAG, &below.to_string()])
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .spawn()?;
        Ok(Link { process, socket })
    }

    /// Tells it to end, and waits for its end, which must be a good one.
    fn end(mut self) -> io::Result<()> {
        self.socket.write_all(b"d")?;
        let status = self.process.wait()?;
        if status.success() {
            Ok(())
        } else {
            Err(io::Error::other(format!("a raw process ended with {status}")))
        }
    }
}
