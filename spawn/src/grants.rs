//! Values with descriptors that a parent hands to its child: kept on their numbers, closed in the parent.
//!
//! ```text
//!   parent: grants ─fds()─► numbers the child keeps       after the fork: dropped here
//!   child:  Granted<G> ─adopt(), inside its own run─► G, registered with the child's reactor
//! ```
//!
//! Rules:
//! * A grant moves: after the fork the parent's copy is dropped. Clone (`try_clone`) to share.
//! * The child gets a [`Granted`], which gives the value out only by [`Granted::adopt`]: it cannot be used with the
//!   parent's reactor by mistake.

use pleach_executor::fd::AsyncFd;
use pleach_executor::net::UnixStream;
use std::fs::File;
use std::io::{self, PipeReader, PipeWriter};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};

/// A value that can go into a forked child with its descriptors.
pub trait Grants {
    /// Appends the numbers of all descriptors in it.
    fn fds(&self, out: &mut Vec<RawFd>);

    /// In the child, inside its run: makes what belongs to a runtime belong to this one.
    ///
    /// # Errors
    ///
    /// If the reactor refuses a descriptor.
    fn adopt(&mut self) -> io::Result<()>;
}

macro_rules! plain {
    ($($type:ty),*) => {$(
        impl Grants for $type {
            fn fds(&self, out: &mut Vec<RawFd>) {
                out.push(self.as_raw_fd());
            }

            fn adopt(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
    )*};
}

plain!(OwnedFd, File, std::os::unix::net::UnixStream, PipeReader, PipeWriter);

impl Grants for UnixStream {
    fn fds(&self, out: &mut Vec<RawFd>) {
        out.push(self.as_raw_fd());
    }

    fn adopt(&mut self) -> io::Result<()> {
        UnixStream::adopt(self)
    }
}

impl<T: AsFd> Grants for AsyncFd<T> {
    fn fds(&self, out: &mut Vec<RawFd>) {
        out.push(self.get_ref().as_fd().as_raw_fd());
    }

    fn adopt(&mut self) -> io::Result<()> {
        AsyncFd::adopt(self)
    }
}

impl<G: Grants> Grants for Option<G> {
    fn fds(&self, out: &mut Vec<RawFd>) {
        self.iter().for_each(|g| g.fds(out));
    }

    fn adopt(&mut self) -> io::Result<()> {
        self.iter_mut().try_for_each(Grants::adopt)
    }
}

impl<G: Grants> Grants for Vec<G> {
    fn fds(&self, out: &mut Vec<RawFd>) {
        self.iter().for_each(|g| g.fds(out));
    }

    fn adopt(&mut self) -> io::Result<()> {
        self.iter_mut().try_for_each(Grants::adopt)
    }
}

macro_rules! tuple {
    ($($name:ident $index:tt),*) => {
        impl<$($name: Grants),*> Grants for ($($name,)*) {
            fn fds(&self, _out: &mut Vec<RawFd>) {
                $(self.$index.fds(_out);)*
            }

            fn adopt(&mut self) -> io::Result<()> {
                $(self.$index.adopt()?;)*
                Ok(())
            }
        }
    };
}

tuple!();
tuple!(A 0);
tuple!(A 0, B 1);
tuple!(A 0, B 1, C 2);
tuple!(A 0, B 1, C 2, D 3);

/// In the child: what it was granted, not yet part of its runtime.
#[derive(Debug)]
#[must_use = "what was granted is used by adopting it"]
pub struct Granted<G>(G);

impl<G: Grants> Granted<G> {
    pub(crate) fn new(grants: G) -> Self {
        Self(grants)
    }

    /// The granted value, ready for use. Call it inside the child's run if it holds sockets of the executor.
    ///
    /// # Errors
    ///
    /// If the reactor refuses a descriptor; what was granted is closed then.
    pub fn adopt(self) -> io::Result<G> {
        let mut grants = self.0;
        grants.adopt()?;
        Ok(grants)
    }
}

#[cfg(test)]
mod tests {
    use super::Grants;
    use std::io::pipe;
    use std::os::fd::{AsRawFd, OwnedFd};

    #[test]
    fn all_numbers_of_a_nested_grant_are_named() {
        let (a, b) = pipe().expect("a pipe");
        let (c, d) = pipe().expect("a pipe");
        let expected = [a.as_raw_fd(), b.as_raw_fd(), c.as_raw_fd(), d.as_raw_fd()];
        let grants = ((a, Some(b)), vec![OwnedFd::from(c), OwnedFd::from(d)], None::<OwnedFd>, ());
        let mut fds = Vec::new();
        grants.fds(&mut fds);
        assert_eq!(fds, expected);
    }
}
