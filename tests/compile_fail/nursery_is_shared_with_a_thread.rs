// A nursery is used by its thread alone, even while another one could borrow it.
use pleach_executor::{Cancelled, nursery, run};

fn main() {
    let _: Result<(), Cancelled> = run(nursery(async |n| {
        std::thread::scope(|threads| {
            threads.spawn(|| n.cancel());
        });
        Ok(())
    }));
}
