// A nursery is opened by `nursery`, and in no other way (case X10).
#![allow(unreachable_code)]
use pleach_executor::{Cancelled, Nursery};

fn main() {
    let _: Nursery<'_, '_, Cancelled> = Nursery { core: todo!(), _borrows: todo!() };
}
