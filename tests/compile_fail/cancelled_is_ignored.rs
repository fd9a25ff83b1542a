// A result that may be a `Cancelled`, a `Cancelled` itself, a scope or a handle is not thrown away by accident.
#![deny(unused_must_use)]
use pleach_executor::{CancelScope, Cancelled, check, nursery, run, sleep};
use std::time::Duration;

fn cancelled() -> Cancelled {
    check().unwrap_err()
}

fn main() {
    run(async {
        check();
        cancelled();
        sleep(Duration::ZERO);
        sleep(Duration::ZERO).await;
        CancelScope::new();
        let _: Result<(), Cancelled> = nursery(async |n| {
            n.task(async { Ok(1) });
            Ok(())
        })
        .await;
    });
}
