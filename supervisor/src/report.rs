//! What a person reads when a tree has failed: who, where, why, by which signal, and whom it took down. ◇
//!
//! ```text
//!   Error ── its tree ───────────────► walk ─► heads, details, branches ─┐
//!                └─ its leaves ─┐                                        ├─► text, the same for the same input
//!   events ─► Fallen ─► charged to the leaf that failed first ───────────┘
//! ```
//!
//! Rules:
//! * One form: no colours, no width of a terminal, no clock. Only the pids differ between two runs that went the same way.
//! * Members stand in the order in which they failed; whom they took down by path.
//! * **The first error is always there**: what is left out to stay readable is counted where it is missing, and always
//!   the last, never the first.
//! * **Foreign text stays text**: it may have been written by anybody. See `text.rs`.
//! * Nothing here recurses. A tree may be as deep as it likes.
//!
//! `text.rs`: foreign text made harmless, one error in words. `fallen.rs`: whom a failure took down.

mod fallen;
mod text;

pub use fallen::Fallen;
pub(crate) use text::one_line;

use crate::error::{Error, ErrorKind, ErrorTree};
use fallen::Toll;
use std::collections::BTreeMap;
use std::fmt;
use text::{Words, words};

/// How many errors a report spells out; the others are counted.
const SHOWN: usize = 100;
/// How many members of one error are shown, so that a wide group does not hide what stands after it.
const WIDE: usize = 20;
/// How many levels are drawn. What lies deeper hangs from the last of them, in one list: the paths still say where it was.
const DRAWN: usize = 12;

/// An error as a person reads it: a tree, from what failed first to what failed last, and whom it took down.
///
/// ```
/// use pleach::{Error, ErrorKind, ErrorTree, Origin, Report};
/// let at = |path: &str| Origin { name: "w".into(), path: path.into(), pid: 7, incarnation: 1 };
/// let mut tree = ErrorTree::new(ErrorKind::Group, "2 failures", Origin::default());
/// let panicked = ErrorKind::Panicked { location: Some("src/w.rs:3:5".into()) };
/// tree.members.push(ErrorTree::new(panicked, "out of cheese", at("root/w1")));
/// tree.members.push(ErrorTree::new(ErrorKind::ChannelLost, "it closed its link", at("root/w2")));
/// assert_eq!(Report::of(&tree).to_string(), "\
/// 2 failures in root
/// ├─ root/w1 (pid 7) panicked at src/w.rs:3:5: out of cheese
/// └─ root/w2 (pid 7): it closed its link");
/// ```
///
/// It has no line end at its end. Errors print themselves in the same way, without those that they took down.
///
/// At most 100 errors are spelled out, and of one group 20 members; of each text 24 lines. 12 levels are drawn, and what is
/// deeper hangs from the last. What is left out is counted. All of it is in [`Error::tree`]. Control characters in texts are escaped, so nothing that an actor says can
/// move a cursor or look like a part of the report.
#[derive(Clone, Debug)]
#[must_use = "a report is there to be printed"]
pub struct Report<'a> {
    tree: &'a ErrorTree,
    tolls: BTreeMap<String, Toll>,
}

impl<'a> Report<'a> {
    /// A report about this error.
    pub fn new(error: &'a Error) -> Self {
        Self::of(error.tree())
    }

    /// A report about a part of an error.
    pub fn of(tree: &'a ErrorTree) -> Self {
        Report { tree, tolls: BTreeMap::new() }
    }

    /// The same, and whom the errors in it took down. What has another cause than these errors is left out.
    pub fn with(mut self, fallen: &Fallen) -> Self {
        self.tolls = fallen.heard();
        self
    }
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        draw(self.tree, f)?;
        took_down(self.tree, &self.tolls, f)
    }
}

// ---- the tree

/// A member on its way to paper.
struct Twig<'a> {
    error: &'a ErrorTree,
    depth: usize,
    /// Its number among its siblings.
    rank: usize,
    last: bool,
}

fn draw(tree: &ErrorTree, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut branches = Branches::default();
    let mut left = SHOWN;
    let mut todo = vec![Twig { error: tree, depth: 0, rank: 0, last: true }];
    while let Some(twig) = todo.pop() {
        if left == 0 || twig.rank == WIDE {
            // Its later siblings are on top, and they are left out with it.
            let mut more = errors(twig.error);
            while todo.last().is_some_and(|next| next.depth == twig.depth) {
                more += todo.pop().map_or(0, |next| errors(next.error));
            }
            branches.enter(twig.depth, true, f)?;
            write!(f, "… {more} more")?;
            continue;
        }
        branches.enter(twig.depth, twig.last, f)?;
        let members = members(twig.error, twig.depth);
        let said = if is_group(twig.error) { heading(twig.error) } else { words(twig.error) };
        f.write_str(&said.head)?;
        for line in &said.details {
            branches.detail(!members.is_empty(), f)?;
            f.write_str(line)?;
        }
        left -= usize::from(!is_group(twig.error));
        let (depth, end) = (twig.depth + 1, members.len());
        let twigs = members.into_iter().enumerate().map(|(rank, error)| {
            let last = rank + 1 == end;
            Twig { error, depth, rank, last }
        });
        todo.extend(twigs.rev());
    }
    Ok(())
}

/// A group has nothing to say itself; one whose members were all cut on the way stands for them.
fn is_group(error: &ErrorTree) -> bool {
    error.kind == ErrorKind::Group && !error.members.is_empty()
}

/// What hangs from an error of that depth: its members, and at the last level that is drawn all that is below them.
fn members(error: &ErrorTree, depth: usize) -> Vec<&ErrorTree> {
    match depth {
        0..DRAWN => error.members.iter().collect(),
        DRAWN => below(error).filter(|e| !is_group(e)).collect(),
        _ => Vec::new(),
    }
}

/// All below an error, each before its members.
fn below(error: &ErrorTree) -> impl Iterator<Item = &ErrorTree> {
    let mut todo: Vec<&ErrorTree> = error.members.iter().rev().collect();
    std::iter::from_fn(move || {
        let next = todo.pop()?;
        todo.extend(next.members.iter().rev());
        Some(next)
    })
}

/// This error and all below, without the groups.
fn spoken(error: &ErrorTree) -> impl Iterator<Item = &ErrorTree> {
    std::iter::once(error).chain(below(error)).filter(|e| !is_group(e))
}

fn errors(error: &ErrorTree) -> usize {
    spoken(error).count()
}

/// How many there are, and below which actor all of them happened.
fn heading(group: &ErrorTree) -> Words {
    let count = errors(group);
    let mut head = format!("{count} failure{}", if count == 1 { "" } else { "s" });
    let place = spoken(group).map(|e| e.origin.path.as_str()).reduce(common).unwrap_or_default();
    if !place.is_empty() {
        head.push_str(" in ");
        head.push_str(&text::clean_line(place));
    }
    Words { head, details: text::cut(group).into_iter().collect() }
}

/// The path down to which both go together.
fn common<'a>(a: &'a str, b: &str) -> &'a str {
    let mut len = 0;
    for (x, y) in a.split('/').zip(b.split('/')) {
        if x != y {
            break;
        }
        len += x.len() + 1;
    }
    // Without the slash after the last name.
    &a[..len.saturating_sub(1)]
}

/// The lines to the left of the text.
#[derive(Default)]
struct Branches {
    /// For each level down to the line at hand, from the first on: whether no sibling follows.
    last: Vec<bool>,
}

impl Branches {
    /// Goes to a line at this depth, and draws what stands before its text.
    fn enter(&mut self, depth: usize, last: bool, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(above) = depth.checked_sub(1) else { return Ok(()) };
        self.last.truncate(above);
        f.write_str("\n")?;
        self.bars(f)?;
        self.last.push(last);
        f.write_str(if last { "└─ " } else { "├─ " })
    }

    /// A further line about the same error.
    fn detail(&self, has_members: bool, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\n")?;
        self.bars(f)?;
        f.write_str(if has_members { "│   " } else { "    " })
    }

    fn bars(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.last.iter().try_for_each(|last| f.write_str(if *last { "   " } else { "│  " }))
    }
}

// ---- whom it took down

/// One paragraph for each error that took somebody down, in the order in which they failed.
fn took_down(tree: &ErrorTree, tolls: &BTreeMap<String, Toll>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut charges: BTreeMap<usize, (String, Toll)> = BTreeMap::new();
    for (guilty, toll) in tolls {
        // What failed in an actor first is what its own parent took for its failure.
        let first = spoken(tree).enumerate().find(|(_, e)| is_at_or_below(&e.origin.path, guilty));
        let Some((i, error)) = first else { continue };
        let who = || text::who(&error.origin).unwrap_or_else(|| text::clean_line(guilty));
        let (_, charge) = charges.entry(i).or_insert_with(|| (who(), Toll::default()));
        charge.take(toll.count, toll.named.iter().cloned());
    }
    let later: usize = charges.values().skip(WIDE).map(|(_, toll)| toll.count).sum();
    for (who, Toll { count, named, .. }) in charges.values().take(WIDE) {
        match count {
            1 => write!(f, "\n{who} failed first and took down another actor:")?,
            n => write!(f, "\n{who} failed first and took down {n} other actors:")?,
        }
        named.iter().try_for_each(|casualty| write!(f, "\n    {casualty}"))?;
        if let more @ 1.. = count - named.len() {
            write!(f, "\n    … and {more} more")?;
        }
    }
    if later > 0 { write!(f, "\n… and later failures took down {later} more") } else { Ok(()) }
}

/// Did something that happened in `path` come out of the actor `above` as its failure? A path that is empty is that of
/// the root, which has not said who it is.
fn is_at_or_below(path: &str, above: &str) -> bool {
    match path.strip_prefix(above) {
        Some(rest) => rest.is_empty() || rest.starts_with('/'),
        None => path.is_empty() && !above.contains('/'),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actor::{ActorId, Event, Status};
    use crate::wire::{Why, ending_of};
    use pleach_ipc::proto::{Origin, WireCause};

    #[test]
    fn the_common_path_is_one_of_whole_names() {
        assert_eq!(common("root/a/b", "root/a/c"), "root/a");
        assert_eq!(common("root/ab", "root/ac"), "root");
        assert_eq!(common("root/a", "root/a/b"), "root/a");
        assert_eq!(common("", "root"), "");
    }

    fn heard(events: &[Event]) -> Fallen {
        let fallen = Fallen::default();
        events.iter().for_each(|event| fallen.hear(event));
        fallen
    }

    fn id(path: &str, pid: u32) -> ActorId {
        ActorId::new("", path, pid)
    }

    /// This actor was cancelled in the nursery of `by` because `origin` had failed.
    fn fell(path: &str, pid: u32, by: &str, origin: &str, status: Status) -> Event {
        let why = Why::SiblingFailed { origin: origin.to_owned(), summary: String::new() };
        let ending = ending_of(WireCause { by: by.to_owned(), why });
        Event::Ended { actor: id(path, pid), start_time: 0, status, ending }
    }

    fn failed(path: &str, text: &str) -> ErrorTree {
        let kind = ErrorKind::Failed { type_name: String::new() };
        ErrorTree::new(kind, text, Origin { path: path.to_owned(), pid: 9, ..Origin::default() })
    }

    const WELL: Status = Status::Exited(0);

    #[test]
    fn a_failure_is_charged_with_all_it_took_down_on_its_way_up() {
        let killed = Status::Signaled { signal: 9, core: false };
        let fallen = heard(&[
            fell("root/s1", 4, "root", "root/s0", WELL),
            fell("root/s1/leaf0", 3, "root", "root/s0", killed),
            fell("root/s1/leaf1", 0, "root", "root/s0", WELL),
            fell("root/s0/leaf0", 2, "root/s0", "root/s0/leaf1", WELL),
            fell("root/sx", 5, "root", "root/s", WELL),
        ]);
        assert_eq!(
            Report::of(&failed("root/s0/leaf1", "no")).with(&fallen).to_string(),
            "root/s0/leaf1 (pid 9) failed: no\n\
             root/s0/leaf1 (pid 9) failed first and took down 4 other actors:\n    \
             root/s0/leaf0 (pid 2)\n    \
             root/s1 (pid 4)\n    \
             root/s1/leaf0 (pid 3), killed by SIGKILL (signal 9)\n    \
             root/s1/leaf1 (not yet started)"
        );
    }

    #[test]
    fn what_the_roots_own_failure_took_down_is_charged_to_the_root() {
        let fallen = heard(&[fell("root/a", 2, "root", "", WELL)]);
        let own = Error::msg("no");
        let text = "no\nroot failed first and took down another actor:\n    root/a (pid 2)";
        assert_eq!(Report::new(&own).with(&fallen).to_string(), text);
    }

    #[test]
    fn an_actor_that_begins_anew_is_not_charged_with_its_past() {
        let fell = fell("root/b", 2, "root", "root/a", WELL);
        let again = Event::Started { actor: id("root/a", 10), start_time: 0 };
        let e = failed("root/a", "again");
        let text = |events: &[Event]| Report::of(&e).with(&heard(events)).to_string();
        assert!(text(std::slice::from_ref(&fell)).contains("root/b"));
        assert_eq!(text(&[fell, again]), "root/a (pid 9) failed: again");
    }

    #[test]
    fn many_casualties_are_counted() {
        let all: Vec<_> =
            (0..100).map(|i| fell(&format!("root/w{i:03}"), 2, "root", "root/a", WELL)).collect();
        let text = Report::of(&failed("root/a", "no")).with(&heard(&all)).to_string();
        assert!(text.contains("took down 100 other actors:\n    root/w000 (pid 2)"), "{text}");
        assert!(text.ends_with("root/w019 (pid 2)\n    … and 80 more"), "{text}");
    }

    #[test]
    fn an_error_without_an_origin_is_the_roots() {
        assert!(is_at_or_below("root/a/b", "root/a"));
        assert!(!is_at_or_below("root/ab", "root/a"));
        assert!(is_at_or_below("", "root"));
        assert!(!is_at_or_below("", "root/a"));
    }
}
