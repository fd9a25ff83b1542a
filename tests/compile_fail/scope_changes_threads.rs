// A cancel scope is a place in its thread's tree.
use pleach_executor::{CancelScope, run};

fn main() {
    run(async {
        let scope = CancelScope::new();
        std::thread::spawn(move || scope.cancel());
    });
}
