//! Groups of failures: what a nursery with several failed children hands out, and how it is taken apart.
//!
//! ```text
//!   {a {b c}} ─ leaves ─► a, b, c
//!   {a {b c}} ─ split ─► those that match: each branch of it │ the others: each branch of it
//!                          none left: None    one left: itself    several left: merged
//! ```
//!
//! Rules:
//! * **Two Or More**: a group has two members at least, also as a half of a split. One failure is itself.
//! * A group is taken apart only by [`Failure::into_group`], and made only by [`Failure::merge`]: how it is kept is the
//!   error type's own business.

use super::Failure;
use std::error::Error;
use std::fmt;

/// Two or more failures of one nursery, in the order in which they happened. A member may be a group itself: that of a
/// nursery inside.
///
/// ```
/// use pleach_executor::{Cancelled, Failure, Failures, In, run};
///
/// #[derive(Debug)]
/// enum MyError { Cancelled(Cancelled), Many(Failures<MyError>), Disk(u8) }
/// # impl From<Cancelled> for MyError {
/// #     fn from(c: Cancelled) -> Self { MyError::Cancelled(c) }
/// # }
/// # impl Failure for MyError {
/// #     fn is_cancelled(&self) -> bool { matches!(self, MyError::Cancelled(_)) }
/// #     fn merge(all: Failures<Self>) -> Self { MyError::Many(all) }
/// # }
/// let failed = run(In::<MyError>::nursery(async |n| {
///     n.spawn(async { Err(MyError::Disk(1)) });
///     n.spawn(async { Err(MyError::Disk(2)) });
///     Ok(())
/// }));
/// let Err(MyError::Many(all)) = failed else { panic!("both had begun when the first failed") };
/// assert!(matches!(all.into_vec()[..], [MyError::Disk(1), MyError::Disk(2)]));
/// ```
pub struct Failures<E> {
    members: Vec<E>,
}

impl<E> Failures<E> {
    pub(crate) fn new(members: Vec<E>) -> Self {
        debug_assert!(members.len() > 1, "Two Or More");
        Failures { members }
    }

    /// How many members there are: two or more. The errors in groups among them are not counted.
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
}

impl<E: Failure> Failures<E> {
    /// Every single error of the group, however deep: see [`Failure::leaves`].
    pub fn leaves(&self) -> Leaves<'_, E> {
        Leaves { todo: vec![self.iter()], alone: None }
    }

    /// The leaves that match, and those that do not: see [`Failure::split`].
    pub fn split(self, mut matches: impl FnMut(&E) -> bool) -> (Option<E>, Option<E>) {
        split_group(self, &mut matches)
    }
}

/// What is left of a group's members as one error, by the rule of nurseries.
fn joined<E: Failure>(mut members: Vec<E>) -> Option<E> {
    if members.len() > 1 { Some(E::merge(Failures::new(members))) } else { members.pop() }
}

pub(super) fn split<E: Failure>(e: E, mut matches: impl FnMut(&E) -> bool) -> (Option<E>, Option<E>) {
    split_any(e, &mut matches)
}

/// As deep as nurseries were open in one another.
fn split_any<E: Failure>(e: E, matches: &mut dyn FnMut(&E) -> bool) -> (Option<E>, Option<E>) {
    match e.into_group() {
        Ok(group) => split_group(group, matches),
        Err(leaf) if matches(&leaf) => (Some(leaf), None),
        Err(leaf) => (None, Some(leaf)),
    }
}

fn split_group<E: Failure>(
    group: Failures<E>,
    matches: &mut dyn FnMut(&E) -> bool,
) -> (Option<E>, Option<E>) {
    let (mut these, mut others) = (Vec::new(), Vec::new());
    for member in group.members {
        let (this, other) = split_any(member, matches);
        these.extend(this);
        others.extend(other);
    }
    (joined(these), joined(others))
}

/// Every single error of a group: see [`Failure::leaves`].
#[must_use = "an iterator does nothing until it is asked"]
pub struct Leaves<'a, E> {
    /// What is left of the groups around the next one, the innermost last.
    todo: Vec<std::slice::Iter<'a, E>>,
    /// The only one, of an error that is no group.
    alone: Option<&'a E>,
}

impl<'a, E: Failure> Leaves<'a, E> {
    pub(super) fn of(e: &'a E) -> Self {
        match e.as_group() {
            Some(group) => group.leaves(),
            None => Leaves { todo: Vec::new(), alone: Some(e) },
        }
    }
}

impl<'a, E: Failure> Iterator for Leaves<'a, E> {
    type Item = &'a E;

    fn next(&mut self) -> Option<&'a E> {
        while let Some(innermost) = self.todo.last_mut() {
            match innermost.next() {
                None => _ = self.todo.pop(),
                Some(e) => match e.as_group() {
                    Some(group) => self.todo.push(group.iter()),
                    None => return Some(e),
                },
            }
        }
        self.alone.take()
    }
}

impl<E> fmt::Debug for Leaves<'_, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leaves").field("depth", &self.todo.len()).finish_non_exhaustive()
    }
}

impl<'a, E> IntoIterator for &'a Failures<E> {
    type Item = &'a E;
    type IntoIter = std::slice::Iter<'a, E>;
    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<E> IntoIterator for Failures<E> {
    type Item = E;
    type IntoIter = std::vec::IntoIter<E>;
    fn into_iter(self) -> Self::IntoIter {
        self.members.into_iter()
    }
}

impl<E: fmt::Debug> fmt::Debug for Failures<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.members).finish()
    }
}

/// In a line, where a member that is itself several things stands in parentheses; `{:#}` is a line each, further in the deeper it
/// lies.
impl<E: fmt::Display> fmt::Display for Failures<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} tasks failed", self.members.len())?;
        self.members.iter().enumerate().try_for_each(|(i, e)| {
            if f.alternate() {
                let text = format!("{e:#}").replace('\n', "\n    ");
                return write!(f, "\n[{i}] {text}");
            }
            let text = e.to_string();
            if text.contains("; ") { write!(f, "; [{i}] ({text})") } else { write!(f, "; [{i}] {text}") }
        })
    }
}

impl<E: fmt::Debug + fmt::Display> Error for Failures<E> {}

#[cfg(test)]
mod text {
    use super::*;

    enum E {
        One(&'static str),
        Many(Failures<E>),
    }

    impl fmt::Display for E {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            match self {
                E::One(text) => f.write_str(text),
                E::Many(all) => all.fmt(f),
            }
        }
    }

    #[test]
    fn who_reads_it_sees_which_belong_together() {
        let inner = E::Many(Failures::new(vec![E::One("b"), E::One("c\nwhile d")]));
        let all = Failures::new(vec![E::One("a"), inner, E::One("e")]);
        let line = "3 tasks failed; [0] a; [1] (2 tasks failed; [0] b; [1] c\nwhile d); [2] e";
        assert_eq!(all.to_string(), line);
        let lines = "3 tasks failed\n[0] a\n[1] 2 tasks failed\n    [0] b\n    [1] c\n        while d\n[2] e";
        assert_eq!(format!("{all:#}"), lines);
    }
}

#[cfg(all(test, feature = "anyhow"))]
mod tests {
    use super::*;
    use anyhow::anyhow;

    fn group(members: Vec<anyhow::Error>) -> anyhow::Error {
        Failure::merge(Failures::new(members))
    }

    #[test]
    fn groups_of_anyhow_errors_are_taken_apart() {
        let e = group(vec![anyhow!("a"), group(vec![anyhow!("b").context("while c"), anyhow!("d")])]);
        assert_eq!(e.leaves().map(|e| format!("{e:#}")).collect::<Vec<_>>(), ["a", "while c: b", "d"]);
        let (these, others) = e.split(|e| e.to_string() == "d");
        assert_eq!(these.map(|e| e.to_string()).as_deref(), Some("d"));
        assert_eq!(others.map(|e| e.leaves().count()), Some(2));
    }

    #[test]
    fn a_group_in_a_context_is_one_error_and_keeps_what_was_said_of_it() {
        let e = group(vec![anyhow!("a"), anyhow!("b")]).context("while starting");
        assert!(e.as_group().is_none() && e.is::<Failures<anyhow::Error>>());
        let (_, others) = e.split(|e| e.to_string() == "a");
        assert_eq!(others.map(|e| e.to_string()).as_deref(), Some("while starting"));
    }
}
