//! The task-local values in effect.
//!
//! ```text
//!   with_value, a child that inherited ─► in_locals(set) ─ poll ─► before again
//!   spawn ─► inherited() ─► kept beside the child
//! ```

use super::Runtime;
use crate::locals::Locals;

impl Runtime {
    /// Looks at the values around this code.
    pub(crate) fn locals<R>(&self, f: impl FnOnce(Option<&Locals>) -> R) -> R {
        f(self.locals.borrow().as_ref())
    }

    /// What a child that is spawned here inherits.
    pub(crate) fn inherited(&self) -> Option<Locals> {
        self.locals.borrow().clone()
    }

    /// Makes these values the current ones until the guard goes.
    pub(crate) fn in_locals(&self, locals: Option<Locals>) -> InLocals<'_> {
        InLocals { rt: self, before: self.locals.replace(locals) }
    }

    /// A child begins that inherited nothing, or brings what it inherited: what is set around its nursery is not its.
    pub(crate) fn out_of_locals(&self) -> Option<InLocals<'_>> {
        let any = self.locals.borrow().is_some();
        any.then(|| self.in_locals(None))
    }
}

/// Values are current as long as this lives.
#[must_use = "the values are current only while the guard lives"]
pub(crate) struct InLocals<'rt> {
    rt: &'rt Runtime,
    before: Option<Locals>,
}

impl Drop for InLocals<'_> {
    fn drop(&mut self) {
        // Whoever put them there holds them as well: nothing of a user's is dropped here.
        let _inner = self.rt.locals.replace(self.before.take());
    }
}
