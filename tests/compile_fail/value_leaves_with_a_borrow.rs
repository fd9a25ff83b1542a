// What `start()` hands out may not borrow from the child's own frame.
use pleach_executor::{Cancelled, Started, nursery, run};

fn main() {
    let _: Result<(), Cancelled> = run(nursery(async |n| {
        let value = n
            .start(async |ready: Started<&str>| {
                let local = String::from("dies with the child");
                ready.set(&local);
                Ok(())
            })
            .await?;
        println!("{value}");
        Ok(())
    }));
}
