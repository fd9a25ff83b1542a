//! What can end a nursery or a scope: the cancel signal, the errors of users, and groups of them.
//!
//! ```text
//!   a scope is cancelled ─► checkpoint mints Cancelled ─?─► … ─?─► the scope absorbs it      (never an error)
//!   a child fails with E ─► nursery ─► one failure: E itself │ several: E::merge(Failures)   (reaches the caller)
//! ```
//!
//! Rules:
//! * Only this crate makes a [`Cancelled`]; it cannot be copied, and dropping one outside a scope's exit is
//!   counted ([`crate::Stats::swallowed`]).
//! * A real error always wins over a `Cancelled`, and a group never holds one.
//! * `failures.rs`: groups, and taking them apart. Which of a type's values are groups is said here, by each type.

mod failures;

pub use failures::{Failures, Leaves};

use crate::cancel::Reason;
use std::error::Error;
use std::fmt;
use std::io;

/// The scope around this code is cancelled: stop, clean up, and hand this value back with `?`.
///
/// The scope that was cancelled absorbs it. The signal is a *level*: whoever swallows it gets it again at the next
/// checkpoint. It has no public constructor and is not `Clone`, so it always tells the truth about one report.
///
/// Source: trio's `Cancelled`, as a value.
#[must_use = "a Cancelled must travel back to the scope that was cancelled: return it with `?`"]
pub struct Cancelled {
    reason: Reason,
    /// Set when a scope or nursery took it in; anything else that drops it has swallowed it.
    absorbed: bool,
}

impl Cancelled {
    pub(crate) fn mint(reason: Reason) -> Self {
        Cancelled { reason, absorbed: false }
    }

    /// Why the scope was cancelled.
    #[must_use]
    pub fn reason(&self) -> &Reason {
        &self.reason
    }

    /// Ends a report that has reached its scope.
    pub(crate) fn absorb(mut self) {
        self.absorbed = true;
    }
}

impl Drop for Cancelled {
    fn drop(&mut self) {
        if !self.absorbed {
            crate::runtime::note_swallowed();
        }
    }
}

impl fmt::Debug for Cancelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cancelled({:?})", self.reason)
    }
}

impl fmt::Display for Cancelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cancelled: {}", self.reason)
    }
}

impl Error for Cancelled {}

/// Absorbs whatever cancel signal is inside an error of a user: drops it without counting it as swallowed.
pub(crate) fn absorb<E>(e: E) {
    crate::runtime::absorbing(|| drop(e));
}

/// What a nursery or scope needs to know of its error type.
///
/// Implemented for [`Cancelled`], [`io::Error`], `Box<dyn Error + Send + Sync>` and, with the feature `anyhow`, for
/// `anyhow::Error`. With each of them children may borrow:
///
/// ```
/// use pleach_executor::{In, checkpoint, run};
/// type AnyError = Box<dyn std::error::Error + Send + Sync>;
///
/// async fn longest(words: &[String]) -> Result<usize, AnyError> {
///     let longest = std::cell::Cell::new(0);
///     In::<AnyError>::nursery(async |n| {
///         for word in words {
///             let longest = &longest;
///             n.spawn(async move {
///                 checkpoint().await?;
///                 longest.set(longest.get().max(word.parse::<usize>()?));
///                 Ok(())
///             });
///         }
///         Ok(())
///     })
///     .await?;
///     Ok(longest.get())
/// }
/// assert_eq!(run(longest(&["3".into(), "12".into()])).unwrap(), 12);
/// assert!(run(longest(&["twelve".into()])).is_err());
/// ```
///
/// One of your own:
///
/// ```
/// use pleach_executor::{Cancelled, Failure, Failures};
/// #[derive(Debug)]
/// enum MyError { Cancelled(Cancelled), Many(Failures<MyError>), Disk(String) }
/// impl From<Cancelled> for MyError {
///     fn from(c: Cancelled) -> Self { MyError::Cancelled(c) }
/// }
/// impl Failure for MyError {
///     fn is_cancelled(&self) -> bool { matches!(self, MyError::Cancelled(_)) }
///     fn merge(all: Failures<Self>) -> Self { MyError::Many(all) }
///     // These two are what `leaves` and `split` see groups by.
///     fn as_group(&self) -> Option<&Failures<Self>> {
///         if let MyError::Many(all) = self { Some(all) } else { None }
///     }
///     fn into_group(self) -> Result<Failures<Self>, Self> {
///         if let MyError::Many(all) = self { Ok(all) } else { Err(self) }
///     }
/// }
/// ```
pub trait Failure: From<Cancelled> {
    /// Is this the bare cancel signal, and not an error that happened while cancelling?
    fn is_cancelled(&self) -> bool;
    /// Two or more children failed: one error that keeps them all.
    fn merge(all: Failures<Self>) -> Self;

    /// The group that [`merge`](Failure::merge) made this error of; `None` if it is a single one. Its members may be
    /// groups in turn: those of nurseries inside.
    ///
    /// A type that does not say so has no groups to look into: each of its errors is a leaf.
    fn as_group(&self) -> Option<&Failures<Self>> {
        None
    }

    /// The same, given away.
    ///
    /// # Errors
    ///
    /// The error itself if it is a single one. Says of every value what [`as_group`](Failure::as_group) says of it.
    fn into_group(self) -> Result<Failures<Self>, Self> {
        Err(self)
    }

    /// Every single error in this one, however deep, in the order in which they failed: the error itself if it is no group.
    ///
    /// ```
    /// use pleach_executor::{Failure, In, run};
    /// use std::io;
    /// let failed = run(In::<io::Error>::nursery(async |n| {
    ///     n.spawn(async { Err(io::Error::other("first")) });
    ///     n.spawn(In::nursery(async |n| {
    ///         n.spawn(async { Err(io::Error::other("second")) });
    ///         Err::<(), _>(io::Error::other("third"))
    ///     }));
    ///     Ok(())
    /// }));
    /// let e = failed.unwrap_err();
    /// assert_eq!(e.as_group().map(|group| group.len()), Some(2));
    /// let mut leaves: Vec<_> = e.leaves().map(|leaf| leaf.to_string()).collect();
    /// leaves.sort();
    /// assert_eq!(leaves, ["first", "second", "third"]);
    /// ```
    fn leaves(&self) -> Leaves<'_, Self> {
        Leaves::of(self)
    }

    /// The leaves that match, and those that do not, each half in the shape that the whole had. A half without a leaf is
    /// `None`.
    ///
    /// Only [leaves](Failure::leaves) are asked, each once. A branch that is left empty goes, and one that is left with a
    /// single member is that member, by the rule of nurseries: so a half is an error like any other. What was handled is
    /// dropped, and the rest goes on with `?` or `Err`.
    ///
    /// A bare [`Cancelled`] is asked like any leaf. It belongs to the rest, which hands it back.
    ///
    /// Source: Python's `except*` and `BaseExceptionGroup.split`.
    ///
    /// ```
    /// use pleach_executor::{Failure, In, run};
    /// use std::io::{Error, ErrorKind};
    /// let failed = run(In::<Error>::nursery(async |n| {
    ///     n.spawn(async { Err(ErrorKind::NotFound.into()) });
    ///     n.spawn(In::nursery(async |n| {
    ///         n.spawn(async { Err(ErrorKind::NotFound.into()) });
    ///         Err::<(), _>(ErrorKind::AddrInUse.into())
    ///     }));
    ///     Ok(())
    /// }));
    /// let (missing, rest) = failed.unwrap_err().split(|e| e.kind() == ErrorKind::NotFound);
    /// assert_eq!(missing.map(|e| e.leaves().count()), Some(2));
    /// assert_eq!(rest.map(|e| e.kind()), Some(ErrorKind::AddrInUse), "alone, it is no group any more");
    /// ```
    fn split(self, matches: impl FnMut(&Self) -> bool) -> (Option<Self>, Option<Self>) {
        failures::split(self, matches)
    }
}

/// For code that can fail in no other way.
impl Failure for Cancelled {
    fn is_cancelled(&self) -> bool {
        true
    }
    fn merge(all: Failures<Self>) -> Self {
        let mut members = all.into_vec().into_iter();
        let first = members.next().expect("a group is never empty");
        members.for_each(Cancelled::absorb);
        first
    }
}

impl From<Cancelled> for io::Error {
    /// Kind `Other`, not `Interrupted`: std's loops retry that kind and would spin on a level-triggered signal.
    fn from(c: Cancelled) -> Self {
        io::Error::other(c)
    }
}

impl Failure for io::Error {
    fn is_cancelled(&self) -> bool {
        self.get_ref().is_some_and(|e| e.is::<Cancelled>())
    }
    fn merge(all: Failures<Self>) -> Self {
        io::Error::other(all)
    }
    fn as_group(&self) -> Option<&Failures<Self>> {
        self.get_ref()?.downcast_ref()
    }
    fn into_group(self) -> Result<Failures<Self>, Self> {
        self.downcast()
    }
}

/// Is this one of the types in which a `Cancelled` of ours travels?
fn carries_cancelled(e: &(dyn Error + 'static)) -> bool {
    e.is::<Cancelled>()
        || e.downcast_ref::<io::Error>().is_some_and(Failure::is_cancelled)
        || matches!(e.downcast_ref(), Some(crate::fd::ReadyError::Cancelled(_)))
        || matches!(e.downcast_ref(), Some(crate::net::ConnectError::Cancelled(_)))
        || matches!(e.downcast_ref(), Some(crate::threads::ThreadError::Cancelled(_)))
}

impl Failure for Box<dyn Error + Send + Sync> {
    fn is_cancelled(&self) -> bool {
        carries_cancelled(&**self)
    }
    fn merge(all: Failures<Self>) -> Self {
        Box::new(all)
    }
    fn as_group(&self) -> Option<&Failures<Self>> {
        self.downcast_ref()
    }
    fn into_group(self) -> Result<Failures<Self>, Self> {
        self.downcast().map(|all| *all)
    }
}

#[cfg(feature = "anyhow")]
impl Failure for anyhow::Error {
    fn is_cancelled(&self) -> bool {
        // `is` sees through any number of contexts; the others hide the signal inside themselves.
        self.is::<Cancelled>()
            || self.downcast_ref::<io::Error>().is_some_and(Failure::is_cancelled)
            || matches!(self.downcast_ref(), Some(crate::fd::ReadyError::Cancelled(_)))
            || matches!(self.downcast_ref(), Some(crate::net::ConnectError::Cancelled(_)))
            || matches!(self.downcast_ref(), Some(crate::threads::ThreadError::Cancelled(_)))
    }
    fn merge(all: Failures<Self>) -> Self {
        anyhow::Error::new(all)
    }
    // Of the error itself, where `downcast` sees through contexts. What was said of a group as a whole is true of none of
    // its parts, and would be lost with it: a group in a context is one error.
    fn as_group(&self) -> Option<&Failures<Self>> {
        (**self).downcast_ref()
    }
    fn into_group(self) -> Result<Failures<Self>, Self> {
        if self.as_group().is_some() { self.downcast() } else { Err(self) }
    }
}

/// A limit set by [`crate::fail_after`] ran out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooSlow;

impl fmt::Display for TooSlow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the time limit ran out: raise the limit or make the work smaller")
    }
}

impl Error for TooSlow {}

impl From<TooSlow> for io::Error {
    fn from(t: TooSlow) -> Self {
        io::Error::new(io::ErrorKind::TimedOut, t)
    }
}

/// A foreign future was told to stop ([`crate::graceful`]) and did not end within its grace; it was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Abandoned;

impl fmt::Display for Abandoned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("told to stop, the future did not end within its grace and was dropped")
    }
}

impl Error for Abandoned {}

#[cfg(all(test, feature = "anyhow"))]
mod tests {
    use crate::{Failure, In, checkpoint, run, sleep_forever};
    use anyhow::{Context as _, anyhow};

    #[test]
    fn a_cancellation_ends_at_its_scope_also_inside_of_an_anyhow_error() {
        let r = run(In::<anyhow::Error>::nursery(async |n| {
            n.spawn(async {
                sleep_forever().await.context("while it slept").context("for ever")?;
                Ok(())
            });
            checkpoint().await?;
            n.cancel();
            Ok(7)
        }));
        assert_eq!(r.expect("the nursery has absorbed it"), 7);
    }

    #[test]
    fn two_failures_of_anyhow_are_a_group_of_two() {
        let r = run(In::<anyhow::Error>::nursery(async |n| {
            n.spawn(async { Err(anyhow!("one")) });
            n.spawn(async { Err(anyhow!("two")) });
            Ok(())
        }));
        let e = r.expect_err("both fail");
        assert!(!e.is_cancelled());
        assert_eq!(e.to_string(), "2 tasks failed; [0] one; [1] two");
    }
}
