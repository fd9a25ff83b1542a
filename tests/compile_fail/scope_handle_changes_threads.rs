// A handle to a cancel scope is a place in its thread's tree.
use pleach_executor::{CancelScope, run};

fn main() {
    run(async {
        let handle = CancelScope::new().handle();
        std::thread::spawn(move || handle.cancel());
    });
}
