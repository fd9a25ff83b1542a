//! What an exec'd child is told in its environment, and how it knows that it is meant. ◇ pure
//!
//! ```text
//!   parent: Marker ─to_text─► PLEACH_BOOT=… ─exec─► parse ─► judge(what this process sees) ─► Ours | Stray | Foreign
//!
//!   numbers:  0 1 2 as in the parent   3 link   4.. given   then the image
//! ```
//!
//! Rules:
//! * **One Addressee**: an environment is inherited further, so a marker alone proves nothing. The path of the
//!   image that the kernel remembers of the last exec does: it names the descriptor that the parent laid down, and a
//!   program started in any other way has another. Where the kernel tells another or none, the parent has to be the
//!   very one that is named, and the link has to be there: under an emulator that shows a path of its own the
//!   program must not start over in every child.
//! * Who is meant and cannot live (the parent is gone) must not be taken for an ordinary start: it would begin the
//!   program anew, with nobody to end it.

use crate::plan::{Fault, Plan, Step};
use crate::process::Pid;
use std::ops::Range;
use std::os::fd::RawFd;

/// The variable that carries a marker.
pub(crate) const VARIABLE: &str = "PLEACH_BOOT";

/// The number of the link in an exec'd child.
pub(crate) const LINK: RawFd = 3;

/// The version of this text. Parent and child are of one build; another program of the same library may not be.
const VERSION: &str = "2";

/// What a process is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Office {
    /// To run an entry function.
    Leaf,
    /// Likewise, with a fork server of its own.
    Spawner,
    /// To be a fork server.
    Server,
}

impl Office {
    const ALL: [(Office, &str); 3] =
        [(Office::Leaf, "leaf"), (Office::Spawner, "spawner"), (Office::Server, "server")];

    fn text(self) -> &'static str {
        match self {
            Office::Leaf => "leaf",
            Office::Spawner => "spawner",
            Office::Server => "server",
        }
    }

    fn parse(text: &str) -> Option<Office> {
        Self::ALL.into_iter().find(|(_, word)| *word == text).map(|(office, _)| office)
    }
}

/// What the parent tells.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Marker {
    pub(crate) parent: Pid,
    pub(crate) office: Office,
    /// How many descriptors were given.
    pub(crate) given: u16,
    pub(crate) death_signal: bool,
    pub(crate) fault: Option<(Step, Fault)>,
    pub(crate) name: String,
}

/// What a process that finds a marker sees of itself.
#[derive(Debug)]
pub(crate) struct Seen {
    /// 0 if the parent is outside of our pid namespace.
    pub(crate) parent: Pid,
    /// The path it was exec'd by, if the kernel tells.
    pub(crate) path: Option<String>,
    /// Whether number 3 is a socket.
    pub(crate) link: bool,
}

/// Whose marker it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum Verdict {
    /// This process was made by the exec that wrote it.
    Ours,
    /// Likewise, but its parent or its link is gone: it has to end.
    Stray,
    /// It was inherited from somebody who was meant.
    Foreign,
}

impl Marker {
    pub(crate) fn new(plan: &Plan, office: Office, parent: Pid, given: u16) -> Self {
        Self {
            parent,
            office,
            given,
            death_signal: plan.death_signal,
            fault: plan.fault,
            name: plan.name.clone(),
        }
    }

    /// The numbers of what was given.
    pub(crate) fn given(&self) -> Range<RawFd> {
        LINK + 1..LINK + 1 + RawFd::from(self.given)
    }

    /// The number of the image.
    pub(crate) fn image(&self) -> RawFd {
        self.given().end
    }

    /// The first number that the child has not.
    pub(crate) fn end(&self) -> RawFd {
        self.image() + 1
    }

    /// The path by which the child is exec'd.
    pub(crate) fn path(&self) -> String {
        format!("/proc/self/fd/{}", self.image())
    }

    pub(crate) fn judge(&self, seen: &Seen) -> Verdict {
        let parent_lives = seen.parent == self.parent;
        if seen.path.as_deref() == Some(&self.path()) {
            let may_live = parent_lives || seen.parent.as_raw() == 0 || !self.death_signal;
            return if may_live && seen.link { Verdict::Ours } else { Verdict::Stray };
        }
        if parent_lives && seen.link { Verdict::Ours } else { Verdict::Foreign }
    }

    /// `version parent given tie office fault name`; the name is the rest.
    pub(crate) fn to_text(&self) -> String {
        let tie = if self.death_signal { "tied" } else { "untied" };
        let fault = self.fault.map_or_else(|| "-".to_owned(), |(step, fault)| fault_text(step, fault));
        // The one byte that an environment cannot carry.
        let name = self.name.replace('%', "%25").replace('\0', "%00");
        format!("{VERSION} {} {} {tie} {} {fault} {name}", self.parent, self.given, self.office.text())
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut words = text.splitn(7, ' ');
        if words.next()? != VERSION {
            return None;
        }
        let parent = Pid::from_raw(words.next()?.parse().ok()?);
        let given = words.next()?.parse().ok()?;
        let death_signal = match words.next()? {
            "tied" => true,
            "untied" => false,
            _ => return None,
        };
        let office = Office::parse(words.next()?)?;
        let fault = match words.next()? {
            "-" => None,
            fault => Some(parse_fault(fault)?),
        };
        let name = words.next()?.replace("%00", "\0").replace("%25", "%");
        Some(Self { parent, office, given, death_signal, fault, name })
    }
}

fn fault_text(step: Step, fault: Fault) -> String {
    let phase = step.phase();
    match fault {
        Fault::Exit(code) => format!("{phase}:exit:{code}"),
        Fault::Panic => format!("{phase}:panic"),
        Fault::Kill => format!("{phase}:kill"),
        Fault::Stop => format!("{phase}:stop"),
        Fault::Hang => format!("{phase}:hang"),
    }
}

fn parse_fault(text: &str) -> Option<(Step, Fault)> {
    let (phase, kind) = text.split_once(':')?;
    let fault = match kind {
        "panic" => Fault::Panic,
        "kill" => Fault::Kill,
        "stop" => Fault::Stop,
        "hang" => Fault::Hang,
        _ => Fault::Exit(kind.strip_prefix("exit:")?.parse().ok()?),
    };
    Some((Step::from_phase(phase.parse().ok()?)?, fault))
}

#[cfg(test)]
mod tests {
    use super::{Marker, Office, Seen, Verdict};
    use crate::plan::{Fault, Plan, Step};
    use crate::process::Pid;

    fn marker() -> Marker {
        Marker::new(&Plan::new("child"), Office::Leaf, Pid::from_raw(10), 2)
    }

    fn seen(parent: i32, path: &str, link: bool) -> Seen {
        Seen { parent: Pid::from_raw(parent), path: (!path.is_empty()).then(|| path.to_owned()), link }
    }

    #[test]
    fn a_marker_is_read_as_it_was_written() {
        for name in ["child", "", " two  words ", "100%", "%00", "%2500", "nul\0in it", "é"] {
            for step in Step::ALL {
                for fault in [Fault::Exit(-7), Fault::Panic, Fault::Kill, Fault::Stop, Fault::Hang] {
                    let plan = Plan::new(name).fault(step, fault).without_death_signal();
                    let office = Office::ALL[usize::from(step.phase()) % 3].0;
                    let marker = Marker::new(&plan, office, Pid::from_raw(4711), 300);
                    let text = marker.to_text();
                    assert!(!text.contains('\0'), "{text:?}");
                    assert_eq!(Marker::parse(&text), Some(marker));
                }
            }
        }
        assert_eq!(Marker::parse(&marker().to_text()), Some(marker()));
    }

    #[test]
    fn other_texts_are_no_markers() {
        for text in
            ["", "2", "1 10 2 tied leaf - child", "2 x 2 tied leaf - child", "2 10 -1 tied leaf - child"]
        {
            assert_eq!(Marker::parse(text), None, "{text}");
        }
        for text in [
            "2 10 2 loose leaf - child",
            "2 10 2 tied idler - child",
            "2 10 2 tied leaf 99:kill child",
            "2 10 2 tied leaf 1:shrug child",
            "2 10 2 tied leaf -",
        ] {
            assert_eq!(Marker::parse(text), None, "{text}");
        }
    }

    #[test]
    fn numbers_follow_the_link() {
        let marker = marker();
        assert_eq!((marker.given(), marker.image(), marker.end()), (4..6, 6, 7));
        assert_eq!(marker.path(), "/proc/self/fd/6");
    }

    #[test]
    fn the_path_of_the_exec_decides() {
        let ours = |seen: &Seen| marker().judge(seen);
        assert_eq!(ours(&seen(10, "/proc/self/fd/6", true)), Verdict::Ours);
        // The parent is outside of our pid namespace.
        assert_eq!(ours(&seen(0, "/proc/self/fd/6", true)), Verdict::Ours);
        // The parent died before we looked: not an ordinary start.
        assert_eq!(ours(&seen(1, "/proc/self/fd/6", true)), Verdict::Stray);
        assert_eq!(ours(&seen(10, "/proc/self/fd/6", false)), Verdict::Stray);
        // A grandchild by another way, its own parent dead or alive.
        assert_eq!(ours(&seen(11, "/usr/bin/program", true)), Verdict::Foreign);
        assert_eq!(ours(&seen(0, "/usr/bin/program", true)), Verdict::Foreign);
        assert_eq!(ours(&seen(10, "/usr/bin/program", false)), Verdict::Foreign);
    }

    #[test]
    fn without_that_path_parent_and_link_decide() {
        let ours = |seen: &Seen| marker().judge(seen);
        assert_eq!(ours(&seen(10, "", true)), Verdict::Ours);
        assert_eq!(ours(&seen(10, "/emulated/program", true)), Verdict::Ours);
        assert_eq!(ours(&seen(10, "", false)), Verdict::Foreign);
        assert_eq!(ours(&seen(11, "", true)), Verdict::Foreign);
    }

    #[test]
    fn without_a_death_signal_nobody_asks_for_the_parent() {
        let plan = Plan::new("child").without_death_signal();
        let marker = Marker::new(&plan, Office::Leaf, Pid::from_raw(10), 0);
        assert_eq!(marker.judge(&seen(1, "/proc/self/fd/4", true)), Verdict::Ours);
    }
}
