//! Children that are started again.
//!
//! * `spec.rs`: what a supervisor is to know. `plan.rs`: what it does about its children, as a pure decision.

#[expect(dead_code, reason = "the keeper that performs it comes next")]
mod plan;
mod spec;

pub use spec::{Restart, Stop, Strategy, Supervision};
