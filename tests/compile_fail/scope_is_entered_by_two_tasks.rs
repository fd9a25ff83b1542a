// A scope that one task has entered cannot be entered by a second one (case 76).
use pleach_executor::{CancelScope, Cancelled, nursery, run};

fn main() {
    let _: Result<(), Cancelled> = run(nursery(async |n| {
        let scope = CancelScope::new();
        n.spawn_static(async move { scope.run(async |_| Ok(())).await.map(drop) });
        n.spawn_static(async move { scope.run(async |_| Ok(())).await.map(drop) });
        Ok(())
    }));
}
