//! Bytes: reading and writing in steps of a buffer, halves, pipes, and the three standard streams.
//!
//! ```text
//!   net, pipe, stdio ─ ReadBytes ──► BufReader: lines, records, exact lengths
//!                    └ WriteBytes ─► BufWriter
//!                    └ both ───────► split: ReadHalf, WriteHalf
//! ```

mod bytes;
mod fault;
mod halves;
mod pipe;
mod reader;
mod stdio;
mod writer;

pub use bytes::{ReadBytes, WriteBytes};
pub use fault::Fault;
pub use halves::{ReadHalf, WriteHalf, split};
pub use pipe::{PipeReader, PipeWriter, pipe};
pub use reader::BufReader;
pub use stdio::{Stdin, Stdout, stderr, stdin, stdout};
pub use writer::BufWriter;
