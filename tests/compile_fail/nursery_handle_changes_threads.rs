// A handle to a nursery belongs to its thread.
use pleach_executor::{Cancelled, nursery, run};

fn main() {
    let _: Result<(), Cancelled> = run(nursery(async |n| {
        let handle = n.handle();
        std::thread::spawn(move || handle.cancel());
        Ok(())
    }));
}
