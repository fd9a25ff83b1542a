//! What this process has: children, descriptors, threads. For checks that nothing is left.

pub use pleach_spawn::{
    SignalState, become_subreaper, children, no_children, open_fds, reap_stranger, signal_state, thread_count,
};
