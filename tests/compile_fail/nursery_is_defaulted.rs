// A nursery is opened by `nursery`, not made out of nothing.
use pleach_executor::{Cancelled, Nursery};

fn main() {
    let _: Nursery<'_, '_, Cancelled> = Default::default();
}
