//! Which descriptor numbers a forked child keeps, closes, or covers with a tombstone. ◇ pure
//!
//! ```text
//!   declared: 0 1 2, link ─┐
//!   granted by the caller ─┼─► FdPlan ─fate(number)─► Keep | Close | Tombstone
//!   owned by our types    ─┘
//! ```
//!
//! Rules:
//! * **Stale Owner**: an object inherited by the child may still own a number, write to it, and close it. A number is
//!   freed only if its owner is known to forget itself (our own epoch-checked types); every other number keeps an
//!   occupant, `/dev/null`, so that it cannot become something of the child's.
//! * A grant wins over everything: a number that is granted is neither closed nor covered.
//! * Made before the fork, where memory may be allocated; asked after it, where it may not.

use std::os::fd::RawFd;

/// What happens in the child to one open number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a fate that is not carried out leaves an inherited owner alive"]
pub(crate) enum Fate {
    /// It stays as it is.
    Keep,
    /// It is closed: its owner forgets itself in a forked child.
    Close,
    /// `/dev/null` takes its place: an inherited object may still believe it owns it.
    Tombstone,
}

/// The numbers with a fate of their own, both lists sorted; all others are covered.
#[derive(Debug)]
pub(crate) struct FdPlan {
    keep: Vec<RawFd>,
    close: Vec<RawFd>,
    null: RawFd,
    open: Option<Vec<RawFd>>,
}

impl FdPlan {
    /// `keep` are the numbers beside 0, 1 and 2 that stay; `close` those whose owners forget themselves. `null` stands for
    /// `/dev/null`, and is closed last. `open` are all that are open, if that is known.
    pub(crate) fn new(
        mut keep: Vec<RawFd>,
        mut close: Vec<RawFd>,
        null: RawFd,
        open: Option<Vec<RawFd>>,
    ) -> Self {
        keep.sort_unstable();
        keep.dedup();
        close.retain(|fd| *fd > 2 && *fd != null && keep.binary_search(fd).is_err());
        close.sort_unstable();
        close.dedup();
        Self { keep, close, null, open }
    }

    /// The number of `/dev/null`. Child after fork: yes.
    pub(crate) fn null(&self) -> RawFd {
        self.null
    }

    /// All numbers that are open, if that is known. Child after fork: yes.
    pub(crate) fn open(&self) -> Option<&[RawFd]> {
        self.open.as_deref()
    }

    /// The fate of an open number. Child after fork: yes, it only searches two slices.
    pub(crate) fn fate(&self, fd: RawFd) -> Fate {
        if fd <= 2 || self.keep.binary_search(&fd).is_ok() {
            Fate::Keep
        } else if self.close.binary_search(&fd).is_ok() {
            Fate::Close
        } else {
            Fate::Tombstone
        }
    }

    /// The numbers to close, in ascending order. Child after fork: yes.
    pub(crate) fn closes(&self) -> &[RawFd] {
        &self.close
    }
}

#[cfg(test)]
mod tests {
    use super::{Fate, FdPlan};

    #[test]
    fn every_number_is_kept_closed_or_covered() {
        let plan = FdPlan::new(vec![9, 5], vec![4, 3], 99, None);
        let fates: Vec<Fate> = (0..11).map(|fd| plan.fate(fd)).collect();
        use Fate::{Close, Keep, Tombstone};
        assert_eq!(
            fates,
            [Keep, Keep, Keep, Close, Close, Keep, Tombstone, Tombstone, Tombstone, Keep, Tombstone]
        );
    }

    #[test]
    fn a_grant_of_a_runtime_socket_wins_over_closing_it() {
        let plan = FdPlan::new(vec![7], vec![6, 7, 8], 99, None);
        assert_eq!(plan.fate(7), Fate::Keep);
        assert_eq!(plan.closes(), [6, 8]);
    }

    #[test]
    fn standard_streams_are_never_closed() {
        let plan = FdPlan::new(vec![], vec![0, 1, 2, 3], 99, None);
        assert_eq!(plan.closes(), [3]);
        assert_eq!([plan.fate(0), plan.fate(1), plan.fate(2)], [Fate::Keep; 3]);
    }

    #[test]
    fn a_number_named_twice_counts_once() {
        let plan = FdPlan::new(vec![5, 5], vec![4, 4, 5], 99, None);
        assert_eq!(plan.closes(), [4]);
        assert_eq!(plan.fate(5), Fate::Keep);
    }
}
