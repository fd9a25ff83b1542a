// What a child borrows stays borrowed until the nursery's future is gone.
use pleach_executor::{Cancelled, nursery, run};

fn main() {
    run(async {
        let text = String::from("borrowed by a child");
        let open = nursery::<(), Cancelled, _>(async |n| {
            n.spawn(async {
                println!("{text}");
                Ok(())
            });
            Ok(())
        });
        drop(text);
        let _ = open.await;
    });
}
