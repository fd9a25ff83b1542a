// A scope is entered once (case 76).
use pleach_executor::{CancelScope, Cancelled, run};

fn main() {
    run(async {
        let scope = CancelScope::new();
        let _: Result<Option<()>, Cancelled> = scope.run(async |_| Ok(())).await;
        let _: Result<Option<()>, Cancelled> = scope.run(async |_| Ok(())).await;
    });
}
