// A wait that was polled has a place in its thread's tables, and a sleep is one.
use pleach_executor::{checked, sleep, sleep_forever};
use std::time::Duration;

fn moves(_: impl Send) {}

fn main() {
    moves(sleep(Duration::from_secs(1)));
    moves(sleep_forever());
    moves(checked(std::future::pending::<()>()));
}
