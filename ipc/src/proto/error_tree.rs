//! Errors that cross the wire: a tree with its members, where each came from, and a size that can be bounded. ◇
//!
//! ```text
//!   WireError ─ flatten ─► [node 0][node 1 ▸ 0][node 2 ▸ 1][node 3 ▸ 0] ─ postcard ─► frame
//!   WireError ◄─ grow ──── each node names its parent, which came before it
//! ```
//!
//! Rules:
//! * The wire form is flat, so that no peer can choose how deep our stack gets. A tree that comes in is at most
//!   [`MAX_DEPTH`] deep and has at most [`MAX_NODES`] nodes, or it is refused.
//! * **No leaf is lost to depth**: going out, what lies deeper than [`MAX_DEPTH`] is hung higher, not cut.
//! * **Every cut is counted**: a shortened text says by how much, an error says how many below it are missing.

use super::clip::{self, clip};
use super::message::{BootPhase, LastWords, WireCause, WireStatus};
use serde::de::{Error as _, SeqAccess, Visitor};
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// How many levels a tree on the wire has at most.
pub const MAX_DEPTH: usize = 128;
/// How many errors a tree on the wire has at most.
pub const MAX_NODES: usize = 65_536;
/// The least that [`WireError::bounded`] can be asked for, in bytes.
pub const MIN_BUDGET: usize = 8 * 1024;

/// An error of another actor, with everything below it.
#[derive(Clone, Debug, PartialEq)]
pub struct WireError {
    /// What happened.
    pub kind: WireErrorKind,
    /// The text of the error.
    pub message: String,
    /// In which actor.
    pub origin: Origin,
    /// Where in its code, if that was captured.
    pub backtrace: Option<String>,
    /// The texts of its chain of `source()`s, outermost first. The first 64 cross the wire.
    pub source: Vec<String>,
    /// The errors it consists of, or that led to it.
    pub members: Vec<WireError>,
    /// How many errors below this one were left out to fit a limit.
    pub cut: u32,
}

/// The actor in which something happened.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Origin {
    /// Its name among its siblings.
    pub name: String,
    /// Its path from the root.
    pub path: String,
    /// Its process id.
    pub pid: u32,
    /// The how manieth process of that name it was, from 1.
    pub incarnation: u32,
}

/// What kind of thing happened; the facts that a program may want to act on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum WireErrorKind {
    /// User code returned an error.
    Failed {
        /// The name of its type, for people.
        type_name: String,
    },
    /// User code panicked.
    Panicked {
        /// `file:line:column`, if it is known.
        location: Option<String>,
    },
    /// A process ended without a word.
    Died {
        /// Which.
        pid: u32,
        /// How.
        status: WireStatus,
    },
    /// A process was stopped from outside (SIGSTOP): it was continued only to end.
    Stopped {
        /// Which.
        pid: u32,
        /// By which signal.
        signal: i32,
    },
    /// A process ended before it was up.
    DiedInBoot {
        /// What it had not yet said.
        phase: BootPhase,
        /// How it ended.
        status: WireStatus,
        /// Why, if it could still say it.
        last_words: Option<LastWords>,
    },
    /// A process was not up in time.
    BootTimeout {
        /// What it had not yet said.
        phase: BootPhase,
    },
    /// The connection ended, the process did not.
    ChannelLost,
    /// It was cancelled, and that had to be told as an error.
    Cancelled {
        /// Why, and who asked.
        cause: WireCause,
    },
    /// Several things happened: see the members.
    Group,
    /// No process came to be.
    Spawn {
        /// Which step failed.
        step: String,
        /// What the system said, if it was the system.
        errno: Option<i32>,
    },
    /// A peer broke the protocol.
    Protocol,
    /// A process is not gone although it was killed.
    Unkillable {
        /// Which.
        pid: u32,
    },
    /// An object of another run or process was used.
    StaleHandle,
    /// A fork was asked for in a process with several threads.
    NotSingleThreaded,
    /// The actor that was asked serves no endpoint of this name.
    NoEndpoint {
        /// The name.
        endpoint: String,
    },
    /// The actor that was asked has ended without an answer; how it ended is told by its nursery.
    Gone,
    /// Anything else; the message says it.
    Other,
    /// A supervised actor was restarted more often than its supervisor allows. The last ends are its members.
    TooManyRestarts {
        /// How many are allowed.
        most: u32,
        /// Within how many nanoseconds.
        period_ns: u64,
    },
    /// The nursery had ended: no process was made.
    NotStarted,
    /// A limit of time ran out.
    TooSlow,
    /// Bytes are no value of the type that an end expects: the two ends are not of one mind, or not of one build.
    Decode {
        /// The endpoint; empty for what a closure returns.
        endpoint: String,
        /// What was to be read.
        what: Payload,
    },
}

/// What goes with an endpoint: one thing to it, one back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Payload {
    /// What it is called with.
    Argument,
    /// What it returns.
    Value,
}

impl WireError {
    /// An error without members, sources or backtrace.
    #[must_use]
    pub fn new(kind: WireErrorKind, message: impl Into<String>, origin: Origin) -> Self {
        WireError {
            kind,
            message: message.into(),
            origin,
            backtrace: None,
            source: vec![],
            members: vec![],
            cut: 0,
        }
    }

    /// How many errors there are, this one and all below, without those that were left out.
    #[must_use]
    pub fn count(&self) -> usize {
        let mut n = 0;
        self.visit(|_| n += 1);
        n
    }

    /// Calls `f` for this error and for all below it, each before its members.
    pub fn visit(&self, mut f: impl FnMut(&WireError)) {
        let mut stack = vec![self];
        while let Some(e) = stack.pop() {
            f(e);
            stack.extend(e.members.iter().rev());
        }
    }

    /// The same error in at most `budget` bytes on the wire ([`Limits::error_budget`](super::Limits::error_budget)) and
    /// within [`MAX_NODES`].
    ///
    /// If it has to lose something it loses, in this order: the length of its longest texts and backtraces; then whole
    /// errors, the last ones first. What is missing is counted. A budget below [`MIN_BUDGET`] counts as that.
    #[must_use = "this is the error to send"]
    pub fn bounded(self, budget: usize) -> Self {
        /// How long each text may be, tried one after the other.
        const CAPS: [usize; 6] = [64 * 1024, 16 * 1024, 4 * 1024, 1024, 256, 32];
        let budget = budget.max(MIN_BUDGET);
        if self.count() <= MAX_NODES {
            if self.wire_len() <= budget {
                return self;
            }
            for cap in CAPS {
                let clipped = self.clone().clipped(cap);
                if clipped.wire_len() <= budget {
                    return clipped;
                }
            }
        }
        self.clipped(CAPS[CAPS.len() - 1]).pruned(budget)
    }

    fn wire_len(&self) -> usize {
        super::encoder::wire_len(self)
    }

    /// Every text at most `cap` bytes and a note long.
    fn clipped(mut self, cap: usize) -> Self {
        let mut stack = vec![&mut self];
        while let Some(e) = stack.pop() {
            clip(&mut e.message, cap);
            clip(&mut e.origin.name, cap);
            clip(&mut e.origin.path, cap);
            e.backtrace.iter_mut().for_each(|t| clip(t, cap));
            e.source.iter_mut().for_each(|t| clip(t, cap));
            e.kind.clip(cap);
            stack.extend(e.members.iter_mut());
        }
        self
    }

    /// The first errors of the tree, as many as fit; each of the others counted where it is missing.
    fn pruned(self, budget: usize) -> Self {
        /// A parent and a count, each up to five bytes where the measure saw fewer.
        const SLACK: usize = 8;
        let mut nodes = self.flatten();
        let mut left = budget - SLACK;
        let fits = |node: &Node| {
            let rest = left.checked_sub(super::encoder::wire_len(&node.as_ref()) + SLACK);
            left = rest.unwrap_or(0);
            rest.is_some()
        };
        let keep = nodes.iter().take(MAX_NODES).map_while({
            let mut fits = fits;
            move |node| fits(node).then_some(())
        });
        let keep = keep.count().max(1);
        // From the back: a parent comes before its members, so each count is complete before it is handed up.
        while nodes.len() > keep {
            let gone = nodes.pop().expect("there are more than are kept");
            let heir = &mut nodes[gone.parent as usize];
            heir.cut = heir.cut.saturating_add(gone.cut).saturating_add(1);
        }
        Self::grow(nodes).expect("a prefix of a flat tree is a flat tree")
    }

    /// The nodes in the order of [`WireError::visit`], none deeper than [`MAX_DEPTH`].
    fn flatten(self) -> Vec<Node> {
        let mut nodes = Vec::new();
        let mut lines = Lines::default();
        let mut stack = vec![(self, 0)];
        while let Some((mut e, depth)) = stack.pop() {
            let parent = lines.place(depth, nodes.len());
            stack.extend(std::mem::take(&mut e.members).into_iter().rev().map(|m| (m, depth + 1)));
            let WireError { kind, message, origin, backtrace, source, cut, .. } = e;
            nodes.push(Node { parent, cut, kind, message, origin, backtrace, source });
        }
        nodes
    }

    /// The tree of these nodes, or what is wrong with them.
    fn grow(nodes: Vec<Node>) -> Result<Self, &'static str> {
        let mut depths = Vec::with_capacity(nodes.len());
        for (i, node) in nodes.iter().enumerate() {
            let depth = match (i, node.parent as usize) {
                (0, 0) => 0,
                (i, parent) if parent < i => depths[parent] + 1,
                _ => return Err("an error names a parent that does not come before it"),
            };
            if depth > MAX_DEPTH {
                return Err("the tree of errors is too deep");
            }
            depths.push(depth);
        }
        let parents: Vec<usize> = nodes.iter().map(|n| n.parent as usize).collect();
        let mut grown: Vec<WireError> = nodes.into_iter().map(Node::into_error).collect();
        // From the back: every node has all its members when it is handed to its parent.
        while let Some(mut e) = grown.pop() {
            e.members.reverse();
            match grown.len() {
                0 => return Ok(e),
                i => grown[parents[i]].members.push(e),
            }
        }
        Err("a tree of errors without an error")
    }
}

impl WireErrorKind {
    fn clip(&mut self, cap: usize) {
        match self {
            WireErrorKind::Failed { type_name } => clip(type_name, cap),
            WireErrorKind::Panicked { location } => location.iter_mut().for_each(|t| clip(t, cap)),
            WireErrorKind::DiedInBoot { last_words: Some(words), .. } if words.text.len() > cap => {
                words.text = clip::clipped(&words.text(), cap).into_owned().into_bytes();
            }
            WireErrorKind::Cancelled { cause } => cause.clip(cap),
            WireErrorKind::Spawn { step, .. } => clip(step, cap),
            WireErrorKind::Decode { endpoint, .. } => clip(endpoint, cap),
            _ => {}
        }
    }
}

impl WireCause {
    fn clip(&mut self, cap: usize) {
        use super::message::Why;
        clip(&mut self.by, cap);
        match &mut self.why {
            Why::SiblingFailed { origin, summary } => {
                clip(origin, cap);
                clip(summary, cap);
            }
            Why::Other(text) => clip(text, cap),
            _ => {}
        }
    }
}

/// Where the members of each level hang at the moment, while a tree is walked.
#[derive(Default)]
struct Lines(Vec<u32>);

impl Lines {
    /// Enters node `index` at this depth, or at the deepest there is; the answer is its parent.
    fn place(&mut self, depth: usize, index: usize) -> u32 {
        let depth = depth.min(MAX_DEPTH);
        self.0.truncate(depth);
        let parent = self.0.last().copied().unwrap_or(0);
        self.0.push(u32::try_from(index).unwrap_or(u32::MAX));
        parent
    }
}

/// One error on the wire.
#[derive(Deserialize)]
struct Node {
    parent: u32,
    cut: u32,
    kind: WireErrorKind,
    message: String,
    origin: Origin,
    backtrace: Option<String>,
    #[serde(with = "clip::few")]
    source: Vec<String>,
}

/// [`Node`], as it is written. The same fields in the same order.
#[derive(Serialize)]
struct NodeRef<'a> {
    parent: u32,
    cut: u32,
    kind: &'a WireErrorKind,
    message: &'a str,
    origin: &'a Origin,
    backtrace: &'a Option<String>,
    #[serde(serialize_with = "clip::few::serialize")]
    source: &'a [String],
}

impl Node {
    fn as_ref(&self) -> NodeRef<'_> {
        let Node { parent, cut, kind, message, origin, backtrace, source } = self;
        NodeRef { parent: *parent, cut: *cut, kind, message, origin, backtrace, source }
    }

    fn into_error(self) -> WireError {
        let Node { cut, kind, message, origin, backtrace, source, .. } = self;
        WireError { kind, message, origin, backtrace, source, members: Vec::new(), cut }
    }
}

impl Serialize for WireError {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let mut nodes = Vec::new();
        let mut lines = Lines::default();
        let mut stack = vec![(self, 0)];
        while let Some((e, depth)) = stack.pop() {
            if nodes.len() == MAX_NODES {
                return Err(S::Error::custom("more errors than a tree may have: send `bounded` ones"));
            }
            let parent = lines.place(depth, nodes.len());
            stack.extend(e.members.iter().rev().map(|m| (m, depth + 1)));
            let WireError { kind, message, origin, backtrace, source, cut, .. } = e;
            nodes.push(NodeRef { parent, cut: *cut, kind, message, origin, backtrace, source });
        }
        s.collect_seq(nodes)
    }
}

impl<'de> Deserialize<'de> for WireError {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Nodes;
        impl<'de> Visitor<'de> for Nodes {
            type Value = WireError;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a flat tree of at most {MAX_NODES} errors")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<WireError, A::Error> {
                // Grows with what is there, whatever number was announced.
                let mut nodes = Vec::new();
                while let Some(node) = seq.next_element::<Node>()? {
                    if nodes.len() == MAX_NODES {
                        return Err(A::Error::invalid_length(MAX_NODES + 1, &self));
                    }
                    nodes.push(node);
                }
                WireError::grow(nodes).map_err(A::Error::custom)
            }
        }
        d.deserialize_seq(Nodes)
    }
}
