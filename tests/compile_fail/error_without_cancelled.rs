// The error of a nursery must be able to carry the cancel signal.
use pleach_executor::{nursery, run};

fn main() {
    let _: Result<(), String> = run(nursery(async |_| Ok(())));
}
