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
/// enum MyError { Cancelled(Cancelled), Many(Vec<MyError>), Disk(String) }
/// impl From<Cancelled> for MyError {
///     fn from(c: Cancelled) -> Self { MyError::Cancelled(c) }
/// }
/// impl Failure for MyError {
///     fn is_cancelled(&self) -> bool { matches!(self, MyError::Cancelled(_)) }
///     fn merge(all: Failures<Self>) -> Self { MyError::Many(all.into_vec()) }
/// }
/// ```
pub trait Failure: From<Cancelled> {
    /// Is this the bare cancel signal, and not an error that happened while cancelling?
    fn is_cancelled(&self) -> bool;
    /// Two or more children failed: one error that keeps them all.
    fn merge(all: Failures<Self>) -> Self;
}

/// Two or more failures of one nursery, in the order in which they happened.
pub struct Failures<E> {
    members: Vec<E>,
}

impl<E> Failures<E> {
    pub(crate) fn new(members: Vec<E>) -> Self {
        Failures { members }
    }

    /// How many there are: always two or more as the runtime hands them out.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a group is never empty")]
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// The members in the order in which they failed.
    pub fn iter(&self) -> std::slice::Iter<'_, E> {
        self.members.iter()
    }

    /// The members themselves.
    #[must_use]
    pub fn into_vec(self) -> Vec<E> {
        self.members
    }

    /// Those that match and those that do not (the job of Python's `except*`).
    pub fn split(self, matches: impl FnMut(&E) -> bool) -> (Vec<E>, Vec<E>) {
        self.members.into_iter().partition(matches)
    }
}

impl<'a, E> IntoIterator for &'a Failures<E> {
    type Item = &'a E;
    type IntoIter = std::slice::Iter<'a, E>;
    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<E: fmt::Debug> fmt::Debug for Failures<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.members).finish()
    }
}

impl<E: fmt::Display> fmt::Display for Failures<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} tasks failed", self.members.len())?;
        self.members.iter().enumerate().try_for_each(|(i, e)| write!(f, "; [{i}] {e}"))
    }
}

impl<E: fmt::Debug + fmt::Display> Error for Failures<E> {}

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
