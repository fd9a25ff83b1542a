//! The error type of tests about nurseries: failures with a name, and the shape in which they arrive.
//!
//! ```text
//!   Err(Fault::Named("E")) ─► nursery ─► Err(Fault) ─ shape ─► "E", "{E1 E2}", "{E {E1 E2}}", "Cancelled", "ok"
//! ```
//!
//! Rules: a shape lists the members of a group in alphabetical order, since their order is not promised.

#![allow(dead_code, reason = "every test file uses its own part of this")]

use pleach_executor::{Cancelled, Failure, Failures, In, TooSlow};

/// What can go wrong in a test.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The cancel signal on its way.
    Cancelled(Cancelled),
    /// A failure of the test's own.
    Named(&'static str),
    /// A limit ran out.
    TooSlow,
    /// Several at once.
    Many(Failures<Fault>),
}

/// Nurseries and scopes whose error is [`Fault`].
pub(crate) type Run = In<Fault>;

impl From<Cancelled> for Fault {
    fn from(c: Cancelled) -> Self {
        Fault::Cancelled(c)
    }
}

impl From<TooSlow> for Fault {
    fn from(_: TooSlow) -> Self {
        Fault::TooSlow
    }
}

impl Failure for Fault {
    fn is_cancelled(&self) -> bool {
        matches!(self, Fault::Cancelled(_))
    }
    fn merge(all: Failures<Self>) -> Self {
        Fault::Many(all)
    }
    fn as_group(&self) -> Option<&Failures<Self>> {
        if let Fault::Many(all) = self { Some(all) } else { None }
    }
    fn into_group(self) -> Result<Failures<Self>, Self> {
        if let Fault::Many(all) = self { Ok(all) } else { Err(self) }
    }
}

impl Fault {
    pub(crate) fn shape(&self) -> String {
        match self {
            Fault::Cancelled(_) => "Cancelled".into(),
            Fault::Named(name) => (*name).into(),
            Fault::TooSlow => "TooSlow".into(),
            Fault::Many(members) => {
                let mut shapes: Vec<_> = members.iter().map(Fault::shape).collect();
                shapes.sort();
                format!("{{{}}}", shapes.join(" "))
            }
        }
    }
}

/// The shape of a failure, or `ok`.
pub(crate) fn shape<T>(r: &Result<T, Fault>) -> String {
    r.as_ref().map_or_else(Fault::shape, |_| "ok".into())
}
