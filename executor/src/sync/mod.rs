//! What tasks of one thread wait for each other with.

pub mod channel;
mod event;

pub use event::Event;
