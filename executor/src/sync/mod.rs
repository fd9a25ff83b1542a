//! What tasks of one thread wait for each other with.

pub mod broadcast;
pub mod channel;
mod event;
mod once_cell;
mod resources;
pub mod watch;

pub use event::Event;
pub use once_cell::{OnceCell, SetError};
pub use resources::{Holding, Resources};
