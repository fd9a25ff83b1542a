// A time limit is never negative and never "not a number": it is no bare number at all (case 64).
use pleach_executor::CancelScope;
use std::time::Duration;

fn main() {
    let _ = CancelScope::new().timeout(-1.0);
    let _ = CancelScope::new().timeout(f64::NAN);
    let _ = CancelScope::new().timeout(-Duration::from_secs(1));
}
