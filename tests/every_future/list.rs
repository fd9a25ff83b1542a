//! No public future without a case.
//!
//! ```text
//!   executor/src ─ futures_of ─► "sync/lock.rs Lock::lock" … ═══ the lists of the cases + those that need none, and why
//! ```
//!
//! Rules: a future is named by its file, the type or trait whose block it stands in, and its function. Counted are: `pub async
//! fn`, `async fn` of a public trait and of its impls, `pub fn … -> impl Future` (or a box of one), and every `impl Future for`,
//! `IntoFuture for` and `Stream for`.

use crate::code::{code_only, is_rust};
use crate::source_tree::{assert_none, source_files};
use crate::{bytes, channels, locks, net, nurseries, outside, streams, time};

/// Futures that no user has in hand, and why.
const NEED_NONE: &[(&str, &str)] = &[
    ("fd/wait.rs Future for Operation", "what the operations of `AsyncFd` and of the streams return"),
    ("locals.rs Future for Inheriting", "the wrapper of each child: of every case of a nursery"),
    ("signals/stream.rs Signals::receive", "signals are a process' matter: `tests/signals.rs` ends it early"),
    ("sleep.rs Future for Sleep", "what `sleep` and `sleep_until` return"),
    ("sleep.rs Future for Forever", "what `sleep_forever` returns"),
    ("sync/channel/steps.rs Future for SendStep", "what `Sender::send` returns"),
    ("sync/channel/steps.rs Future for ReceiveStep", "what `Receiver::receive` returns"),
    ("testing/streams/checks.rs check_one_way", "a test itself"),
    ("testing/streams/checks.rs check_two_way", "a test itself"),
    ("testing/streams/checks.rs check_half_closeable", "a test itself"),
    ("threads.rs Future for Running", "what `ToThread::run` waits for"),
];

/// The name of the block that `line` opens, if it is an `impl` or a trait: `Type`, or `Trait for Type`.
fn block(line: &str) -> Option<String> {
    if let Some(rest) = line.strip_prefix("pub trait ") {
        return Some(word(rest).to_owned());
    }
    let rest = line.strip_prefix("impl")?;
    if !rest.starts_with(['<', ' ']) {
        return None;
    }
    let rest = without_generics(rest).replace('&', "");
    let names: Vec<_> = rest.split(" for ").map(|part| word(part.trim()).to_owned()).collect();
    Some(names.join(" for "))
}

/// What follows the angle brackets that `text` begins with, if it does.
fn without_generics(text: &str) -> &str {
    let mut depth = 0;
    let mut before = ' ';
    for (at, c) in text.char_indices() {
        match c {
            '<' => depth += 1,
            '>' if before != '-' => depth -= 1,
            _ => {}
        }
        before = c;
        if depth == 0 {
            return text[at..].trim_start_matches('>').trim();
        }
    }
    text
}

/// The last name of the path that `text` begins with.
fn word(text: &str) -> &str {
    let end = text.find(|c: char| !(c.is_alphanumeric() || "_$:".contains(c))).unwrap_or(text.len());
    let path = text[..end].trim_end_matches(':');
    path.rsplit("::").next().unwrap_or(path)
}

/// The public futures of a file, and on which line each stands.
fn futures_of(path: &str, text: &str) -> Vec<(usize, String)> {
    let (code, mut block_now, mut found) = (code_only(text), String::new(), Vec::new());
    let lines: Vec<&str> = code.lines().collect();
    let mut indent = 0;
    for (number, line) in lines.iter().enumerate() {
        let (text, depth) = (line.trim(), line.len() - line.trim_start().len());
        // Tests stand at the end of a file, unless they have their own.
        if text == "mod tests {" && depth == 0 {
            break;
        }
        if let Some(name) = block(text) {
            let is_future =
                ["Future for ", "IntoFuture for ", "Stream for "].iter().any(|of| name.starts_with(of));
            if is_future {
                found.push((number + 1, format!("{path} {name}")));
            }
            (block_now, indent) = (name, depth);
        } else if text == "}" && depth <= indent {
            block_now.clear();
        }
        let rest = text.strip_prefix("pub ").unwrap_or(text);
        let is_public = rest.len() < text.len();
        // What a trait promises is as public as the trait. Those of this crate are; others have no `async fn`.
        let of_a_trait = block_now.contains(" for ") || block_now.ends_with("Bytes");
        let name = if let Some(rest) = rest.strip_prefix("async fn ").filter(|_| is_public || of_a_trait) {
            word(rest)
        } else if let Some(rest) = rest.strip_prefix("fn ").filter(|_| is_public) {
            if !returns_a_future(&signature(&lines[number..])) {
                continue;
            }
            word(rest)
        } else {
            continue;
        };
        let separator = if block_now.is_empty() { "" } else { "::" };
        found.push((number + 1, format!("{path} {block_now}{separator}{name}")));
    }
    found
}

/// From the first line up to the one that opens the body.
fn signature(lines: &[&str]) -> String {
    let last = lines.iter().position(|line| line.ends_with(['{', ';'])).unwrap_or(lines.len() - 1);
    lines[..=last].concat()
}

/// Does the type behind the arrow of `signature` name a future? Arrows inside its arguments are not its own.
fn returns_a_future(signature: &str) -> bool {
    let (mut depth, mut before) = (0, ' ');
    for (at, c) in signature.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            '>' if before == '-' && depth == 0 => {
                let kinds = ["impl Future", "impl IntoFuture", "dyn Future"];
                return kinds.iter().any(|kind| signature[at..].contains(kind));
            }
            _ => {}
        }
        before = c;
    }
    false
}

fn covered() -> Vec<&'static str> {
    [
        bytes::COVERED,
        channels::COVERED,
        locks::COVERED,
        net::COVERED,
        nurseries::COVERED,
        outside::COVERED,
        outside::BY_HAND,
        streams::COVERED,
        time::COVERED,
    ]
    .concat()
}

#[test]
fn every_public_future_has_its_case() {
    let known: Vec<_> = covered().into_iter().chain(NEED_NONE.iter().map(|(name, _why)| *name)).collect();
    let mut there = Vec::new();
    for file in source_files() {
        let Some(path) = file.path.strip_prefix("executor/src/").filter(|path| is_rust(path)) else {
            continue;
        };
        if !path.ends_with("tests.rs") {
            there.extend(
                futures_of(path, &file.text).into_iter().map(|(line, name)| (file.path.clone(), line, name)),
            );
        }
    }
    assert!(there.len() > 90, "the scan sees only {}", there.len());
    let without: Vec<_> = there
        .iter()
        .filter(|(_, _, name)| !known.contains(&name.as_str()))
        .map(|(path, line, name)| format!("{path}:{line}: `{name}` has no case"))
        .collect();
    assert_none("every public future is ended at each of its awaits (see every_future/trial.rs)", &without);
    let gone: Vec<_> = known
        .iter()
        .filter(|name| !there.iter().any(|(_, _, there)| there == *name))
        .map(|name| format!("`{name}` is in the lists, but not in the sources"))
        .collect();
    assert_none("a case stands for a future that there is", &gone);
    let twice: Vec<_> = known
        .iter()
        .filter(|name| known.iter().filter(|other| other == name).count() > 1)
        .map(|name| format!("`{name}`"))
        .collect();
    assert_none("a future has one case that stands for it", &twice);
}

#[test]
fn the_scan_sees_every_kind_of_future_and_nothing_else() {
    let text = "\
pub async fn alone() {}
async fn private() {}
pub(crate) async fn internal() {}
impl<'a, F: Fn() -> T> a::Owner<'a, F> {
    pub async fn method(&self) {}
    pub fn named(
        &self,
        op: impl FnOnce() -> u8,
    ) -> impl Future<Output = u8> {
    }
    pub fn boxed() -> Pin<Box<dyn Future<Output = ()>>> {}
    pub fn plain(fut: impl Future<Output = ()>) -> u8 {}
    async fn helper(&self) {}
    // pub async fn comment() {}
}
impl ReadBytes for &Owner {
    async fn read(&self) {}
}
pub trait WriteBytes {
    async fn write(&self);
}
impl<T> Future for Step<T> {
    fn poll() {}
}
pub fn after() -> impl IntoFuture<Output = u8> {}
#[cfg(test)]
mod tests {
    pub async fn not_this() {}
}
";
    let found: Vec<_> = futures_of("f.rs", text).into_iter().map(|(_, name)| name).collect();
    let expected = [
        "alone",
        "Owner::method",
        "Owner::named",
        "Owner::boxed",
        "ReadBytes for Owner::read",
        "WriteBytes::write",
        "Future for Step",
        "after",
    ];
    assert_eq!(found, expected.map(|name| format!("f.rs {name}")));
}
