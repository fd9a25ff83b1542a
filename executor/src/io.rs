//! Bytes: reading and writing in steps of a buffer, halves, pipes, and the three standard streams.
//!
//! ```text
//!   net, pipe, stdio ─ ReadBytes ──► BufReader: lines, records, exact lengths
//!                    └ WriteBytes ─► BufWriter
//!                    └ both ───────► split: ReadHalf, WriteHalf
//! ```
//!
//! # Programs
//!
//! This crate starts no programs, and has no handle of a process. `std::process` starts them without a runtime's help, and
//! what is left to wait for are pipes and an end, both of which can be waited for here; a handle of our own would have to
//! share the reaping of children with it. Processes that are part of one's own program are actors (`pleach`), held by pidfd,
//! ended by the ladder and reaped with their nursery.
//!
//! A program that sees no terminal, whose output cannot fill a pipe, and that is ended and reaped also if its scope is cancelled:
//!
//! ```
//! use pleach_executor::io::{BufReader, PipeReader};
//! use pleach_executor::{In, run, shielded, to_thread};
//! use std::io;
//! use std::process::{Command, ExitStatus, Stdio};
//! use std::time::Duration;
//! type Run = In<io::Error>;
//!
//! async fn lines_of(mut command: Command, mut each: impl FnMut(&str)) -> io::Result<ExitStatus> {
//!     let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
//!     let read = async {
//!         let mut output = BufReader::new(PipeReader::from_std(child.stdout.take().expect("piped"))?);
//!         while let Some(line) = output.read_line(1 << 16).await? { each(&line); }
//!         Ok(())
//!     };
//!     let read: io::Result<()> = read.await;
//!     if read.is_err() { child.kill()?; }
//!     let status = shielded(async |_| to_thread(move || child.wait()).await.map_err(io::Error::from)?).await?;
//!     read.map(|()| status)
//! }
//!
//! run(async {
//!     let mut echo = Command::new("echo");
//!     let mut heard = String::new();
//!     assert!(lines_of({ echo.arg("hello"); echo }, |line| heard += line).await?.success());
//!     assert_eq!(heard, "hello\n");
//!
//!     let mut sleep = Command::new("sleep");
//!     sleep.arg("3600");
//!     let cut = Run::move_on_after(Duration::from_millis(5), async |_| lines_of(sleep, |_| ()).await);
//!     assert!(cut.await?.is_none(), "killed, and reaped");
//!     Ok::<_, io::Error>(())
//! }).unwrap();
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
