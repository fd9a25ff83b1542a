// A child says once that it is ready.
use pleach_executor::{Cancelled, Started, nursery, run};

fn main() {
    let _: Result<(), Cancelled> = run(nursery(async |n| {
        n.start(async |ready: Started<u8>| {
            ready.set(1);
            ready.set(2);
            Ok(())
        })
        .await?;
        Ok(())
    }));
}
