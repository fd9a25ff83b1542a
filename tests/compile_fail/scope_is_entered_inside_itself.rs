// Who is inside a scope cannot enter it again, nor hand it to another task that does (case 76).
use pleach_executor::{CancelScope, Cancelled, run};

fn main() {
    run(async {
        let _: Result<Option<()>, Cancelled> = CancelScope::new()
            .run(async |s| {
                s.run(async |_| Ok::<(), Cancelled>(())).await?;
                Ok(())
            })
            .await;
    });
}
