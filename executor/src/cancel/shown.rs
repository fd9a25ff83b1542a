//! A scope as text, for people who debug: how far it is, when it ends, why it is cancelled. It changes nothing.
//!
//! ```text
//!   ScopeHandle { id: scope 2.0, state: Active, deadline: in 10.00s, cancelled: None }
//! ```

use super::handle::ScopeHandle;
use super::tree::{Limit, Tree};
use super::{CancelScope, ScopeId};
use crate::clock::Instant;
use crate::runtime;
use std::fmt;

/// How far a scope is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// Nobody has entered it.
    Unbound,
    Active,
    /// It has been left, or dropped, or its run is over.
    Exited,
}

fn state(tree: &Tree, id: ScopeId) -> State {
    match (tree.is_live(id), tree.is_entered(id)) {
        (false, _) => State::Exited,
        (true, false) => State::Unbound,
        (true, true) => State::Active,
    }
}

/// A limit, seen from a moment.
struct Deadline {
    limit: Limit,
    now: Instant,
}

impl fmt::Debug for Deadline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.limit {
            Limit::Nothing => f.write_str("None"),
            Limit::After(d) => write!(f, "{:.2}s after it is entered", d.as_secs_f64()),
            Limit::At(Instant::MAX) => f.write_str("never"),
            Limit::At(at) if at < self.now => write!(f, "{:.2}s ago", (self.now - at).as_secs_f64()),
            Limit::At(at) => write!(f, "in {:.2}s", (at - self.now).as_secs_f64()),
        }
    }
}

impl ScopeHandle {
    fn show(&self, name: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = self.id;
        // Of another run the number may be a stranger's by now.
        if !runtime::is_current_run(self.run) {
            return f
                .debug_struct(name)
                .field("id", &id)
                .field("state", &State::Exited)
                .finish_non_exhaustive();
        }
        let now = crate::clock::now();
        let (state, limit, reason) = runtime::with(|rt| {
            let tree = rt.scopes.borrow();
            (state(&tree, id), tree.limit(id), tree.effective(id).cloned())
        });
        f.debug_struct(name)
            .field("id", &id)
            .field("state", &state)
            .field("deadline", &Deadline { limit, now })
            .field("cancelled", &reason)
            .finish()
    }
}

impl fmt::Debug for ScopeHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.show("ScopeHandle", f)
    }
}

impl fmt::Debug for CancelScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.handle.show("CancelScope", f)
    }
}
