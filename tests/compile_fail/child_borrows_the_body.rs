// A local of the body dies before the children do.
use pleach_executor::{Cancelled, nursery, run};

fn main() {
    let _: Result<(), Cancelled> = run(nursery(async |n| {
        let local = String::from("gone when the body returns");
        n.spawn(async {
            println!("{local}");
            Ok(())
        });
        Ok(())
    }));
}
