// A `Cancelled` cannot be written as a literal: only a checkpoint makes one.
use pleach_executor::{Cancelled, Reason};

fn main() {
    let _ = Cancelled { reason: Reason::Shutdown, absorbed: false };
}
