//! What moves the bytes. Nothing in here knows frames.

mod uds;

pub use uds::Uds;
