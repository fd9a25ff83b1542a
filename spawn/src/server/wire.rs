//! What an owner asks of its fork server, and what that answers, as bytes. ◇ pure
//!
//! ```text
//!   Request: number │ surroundings │ what comes along │ the marker of the child        fds: link, [directory], [environment], given…
//!   Reply:   number │ stage │ errno │ pid                                               fds: [pidfd]
//! ```
//!
//! Rules: owner and server are of one image, so numbers are in the order of this machine, and there is no version. What is
//! not a request all the same is answered as one that was refused.

use crate::surroundings::{Refused, SURROUNDINGS_BYTES, Surroundings};

/// The longest request: a message of a socketpair has to hold it.
pub(crate) const LONGEST: usize = 16 * 1024;
const HEAD: usize = 8 + SURROUNDINGS_BYTES + 1;

/// A child that is wanted.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Request<'t> {
    pub(crate) number: u64,
    pub(crate) surroundings: Surroundings,
    /// Does the environment come along? Else it is the server's.
    pub(crate) environment: bool,
    /// The marker, as an exec'd child would find it.
    pub(crate) marker: &'t str,
}

impl<'t> Request<'t> {
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEAD + self.marker.len());
        bytes.extend(self.number.to_ne_bytes());
        self.surroundings.write(&mut bytes);
        bytes.push(u8::from(self.environment));
        bytes.extend(self.marker.as_bytes());
        bytes
    }

    pub(crate) fn parse(bytes: &'t [u8]) -> Option<Self> {
        let (number, rest) = bytes.split_first_chunk()?;
        let (surroundings, rest) = rest.split_first_chunk()?;
        let (environment, marker) = rest.split_first()?;
        Some(Request {
            number: u64::from_ne_bytes(*number),
            surroundings: Surroundings::read(surroundings),
            environment: *environment == 1,
            marker: std::str::from_utf8(marker).ok()?,
        })
    }
}

/// How far a server came with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Stage {
    /// There is a child.
    Made = 0,
    /// What came was cut short, or no request.
    Receive = 1,
    Directory = 2,
    Limit = 3,
    Nice = 4,
    Oom = 5,
    Clone = 6,
    /// Of no request, number 0: there can be no fork server here. Its last words say why.
    Forbidden = 7,
}

impl Stage {
    const ALL: [Stage; 8] = [
        Stage::Made,
        Stage::Receive,
        Stage::Directory,
        Stage::Limit,
        Stage::Nice,
        Stage::Oom,
        Stage::Clone,
        Stage::Forbidden,
    ];

    /// The call that refused.
    pub(crate) fn step(self) -> &'static str {
        match self {
            Stage::Made => "fork server",
            Stage::Receive => "fork server: recvmsg",
            Stage::Directory => "fork server: fchdir",
            Stage::Limit => "fork server: setrlimit",
            Stage::Nice => "fork server: setpriority",
            Stage::Oom => "fork server: oom_score_adj",
            Stage::Clone => "fork server: clone3",
            Stage::Forbidden => "fork server",
        }
    }
}

impl From<Refused> for Stage {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Limit => Stage::Limit,
            Refused::Nice => Stage::Nice,
            Refused::Oom => Stage::Oom,
        }
    }
}

/// What has become of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) number: u64,
    pub(crate) stage: Stage,
    pub(crate) errno: i32,
    pub(crate) pid: i32,
}

pub(crate) const REPLY_BYTES: usize = 17;

impl Reply {
    pub(crate) fn to_bytes(self) -> [u8; REPLY_BYTES] {
        let mut bytes = [0; REPLY_BYTES];
        bytes[..8].copy_from_slice(&self.number.to_ne_bytes());
        bytes[8] = self.stage as u8;
        bytes[9..13].copy_from_slice(&self.errno.to_ne_bytes());
        bytes[13..].copy_from_slice(&self.pid.to_ne_bytes());
        bytes
    }

    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; REPLY_BYTES] = bytes.try_into().ok()?;
        let (number, rest) = bytes.split_first_chunk()?;
        let (stage, rest) = rest.split_first()?;
        let (errno, rest) = rest.split_first_chunk()?;
        let (pid, _) = rest.split_first_chunk()?;
        Some(Reply {
            number: u64::from_ne_bytes(*number),
            stage: *Stage::ALL.get(usize::from(*stage))?,
            errno: i32::from_ne_bytes(*errno),
            pid: i32::from_ne_bytes(*pid),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{REPLY_BYTES, Reply, Request, Stage};
    use crate::surroundings::Surroundings;

    #[test]
    fn a_request_is_read_as_it_was_written() {
        let surroundings = Surroundings::look().expect("/proc");
        for (number, environment, marker) in [(0, true, ""), (u64::MAX, false, "2 10 2 tied leaf - é")] {
            let request = Request { number, surroundings: surroundings.clone(), environment, marker };
            let bytes = request.to_bytes();
            assert_eq!(Request::parse(&bytes), Some(request));
            let head = bytes.len() - marker.len();
            assert!(
                (0..head).all(|len| Request::parse(&bytes[..len]).is_none()),
                "half a head is no request"
            );
        }
    }

    #[test]
    fn a_reply_is_read_as_it_was_written() {
        for stage in Stage::ALL {
            let reply = Reply { number: 7, stage, errno: 11, pid: -1 };
            let bytes = reply.to_bytes();
            assert_eq!(Reply::parse(&bytes), Some(reply));
            assert_eq!(Reply::parse(&bytes[1..]), None);
        }
        let mut bytes = [0; REPLY_BYTES];
        bytes[8] = Stage::ALL.len() as u8;
        assert_eq!(Reply::parse(&bytes), None, "there is no such stage");
    }
}
