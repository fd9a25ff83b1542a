// A static child lives in the executor and may borrow nothing.
use pleach_executor::{Cancelled, nursery, run};

fn main() {
    let text = String::from("on the stack");
    let _: Result<(), Cancelled> = run(nursery(async |n| {
        n.spawn_static(async {
            println!("{text}");
            Ok(())
        });
        Ok(())
    }));
}
