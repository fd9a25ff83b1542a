//! Addresses as the kernel takes and gives them.
//!
//! ```text
//!   SocketAddr ─► RawAddress { family, port, … } ─► bind, connect        accept ─► RawAddress ─► SocketAddr
//!   path       ─┘
//! ```
//!
//! Rule: laid out by hand, byte by byte (`ip(7)`, `ipv6(7)`, `unix(7)`): no unsafe code, and no padding that says anything.

use std::io;
use std::net::{Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// The longest that is used here: a Unix socket's.
const ROOM: usize = size_of::<libc::sockaddr_un>();

/// A socket's address in the kernel's form.
#[derive(Clone, Copy, Debug)]
pub(super) struct RawAddress {
    bytes: [u8; ROOM],
    len: usize,
}

impl RawAddress {
    /// Room for an address that a call writes.
    pub(super) fn room() -> Self {
        RawAddress { bytes: [0; ROOM], len: ROOM }
    }

    /// From an IP address with its port: 16 bytes for version 4, 28 for version 6.
    pub(super) fn ip(address: SocketAddr) -> Self {
        let mut raw = RawAddress { bytes: [0; ROOM], len: 0 };
        raw.put(&(Self::family(address) as u16).to_ne_bytes());
        raw.put(&address.port().to_be_bytes());
        match address {
            SocketAddr::V4(v4) => {
                raw.put(&v4.ip().octets());
                raw.put(&[0; 8]);
            }
            SocketAddr::V6(v6) => {
                // std keeps the flow information as the number that the structure holds.
                raw.put(&v6.flowinfo().to_ne_bytes());
                raw.put(&v6.ip().octets());
                raw.put(&v6.scope_id().to_ne_bytes());
            }
        }
        raw
    }

    /// From the path of a Unix socket.
    pub(super) fn path(path: &Path) -> io::Result<Self> {
        let path = path.as_os_str().as_bytes();
        let mut raw = RawAddress { bytes: [0; ROOM], len: 0 };
        raw.put(&(libc::AF_UNIX as u16).to_ne_bytes());
        // One place stays zero: the end of the path.
        if path.is_empty() || raw.len + path.len() >= ROOM || path.contains(&0) {
            let why = "the path of a Unix socket has 1 to 107 bytes and no zero among them";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        }
        raw.put(path);
        raw.put(&[0]);
        Ok(raw)
    }

    fn put(&mut self, part: &[u8]) {
        self.bytes[self.len..self.len + part.len()].copy_from_slice(part);
        self.len += part.len();
    }

    /// What `socket(2)` calls its family.
    pub(super) fn family(address: SocketAddr) -> libc::c_int {
        match address {
            SocketAddr::V4(_) => libc::AF_INET,
            SocketAddr::V6(_) => libc::AF_INET6,
        }
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// For a call that writes an address here, and then says how long it is.
    pub(super) fn as_room(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    pub(super) fn set_len(&mut self, len: usize) {
        self.len = len.min(ROOM);
    }

    /// The IP address with its port, if it is one.
    pub(super) fn to_ip(self) -> io::Result<SocketAddr> {
        let bytes = self.as_bytes();
        let family = u16::from_ne_bytes(part(bytes, 0)?);
        let port = u16::from_be_bytes(part(bytes, 2)?);
        match libc::c_int::from(family) {
            libc::AF_INET => Ok(SocketAddrV4::new(part::<4>(bytes, 4)?.into(), port).into()),
            libc::AF_INET6 => {
                let ip = Ipv6Addr::from(part::<16>(bytes, 8)?);
                let (flow, scope) =
                    (u32::from_ne_bytes(part(bytes, 4)?), u32::from_ne_bytes(part(bytes, 24)?));
                Ok(SocketAddrV6::new(ip, port, flow, scope).into())
            }
            _ => Err(no_ip()),
        }
    }
}

fn part<const N: usize>(bytes: &[u8], at: usize) -> io::Result<[u8; N]> {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).copied().ok_or_else(no_ip)
}

fn no_ip() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the kernel gave an address that is not an IP address")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_survives_the_way_there_and_back() {
        for text in ["127.0.0.1:80", "0.0.0.0:0", "[::1]:65535", "[fe80::1%7]:1"] {
            let address: SocketAddr = text.parse().unwrap();
            assert_eq!(RawAddress::ip(address).to_ip().unwrap(), address);
        }
        let with_flow = SocketAddr::V6(SocketAddrV6::new(Ipv6Addr::LOCALHOST, 1, 2, 3));
        assert_eq!(RawAddress::ip(with_flow).to_ip().unwrap(), with_flow);
    }

    #[test]
    fn lengths_are_those_of_the_systems_structures() {
        let len = |text: &str| RawAddress::ip(text.parse().unwrap()).as_bytes().len();
        assert_eq!(len("1.2.3.4:5"), size_of::<libc::sockaddr_in>());
        assert_eq!(len("[::1]:5"), size_of::<libc::sockaddr_in6>());
    }

    #[test]
    fn a_path_has_a_length_and_no_zero() {
        assert!(RawAddress::path(Path::new("")).is_err());
        assert!(RawAddress::path(Path::new("a\0b")).is_err());
        assert!(RawAddress::path(Path::new(&"a".repeat(108))).is_err());
        assert_eq!(RawAddress::path(Path::new(&"a".repeat(107))).unwrap().as_bytes().len(), ROOM);
        assert!(RawAddress::path(Path::new("/tmp/x")).unwrap().to_ip().is_err());
        assert!(RawAddress::room().to_ip().is_err());
    }
}
