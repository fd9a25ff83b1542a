// The nursery's lifetime cannot be shortened to smuggle in a child that borrows less than the nursery lives.
use pleach_executor::{Cancelled, Nursery, nursery, run};

fn shorten<'short, 's: 'short>(n: &'s Nursery<'s, 's, Cancelled>) -> &'short Nursery<'short, 'short, Cancelled> {
    n
}

fn main() {
    let _: Result<(), Cancelled> = run(nursery(async |n| {
        let _ = n;
        Ok(())
    }));
    let _ = shorten;
}
