//! One error in words, and texts that others wrote, made harmless. ◇
//!
//! ```text
//!   kind, message, origin, sources ─► words: a head (who, what, why in one line) and details (one line each)
//!   any text ─► clean: no control character, no change of direction, so many lines, each so long
//! ```
//!
//! Rules:
//! * **Foreign text stays text**: whatever it holds, it cannot move a cursor, reorder a line, or begin one that is not
//!   indented below its error.
//! * A signal has its name and its number, an error of the system its text and its number.

use crate::error::{ErrorKind, ErrorTree};
use pleach_ipc::proto::{LastWords, Origin, WireStatus};
use pleach_spawn::{Signal, Step};
use std::fmt::Write;
use std::io;

/// How many lines of one text are shown.
const LINES: usize = 24;
/// How long a line may be, in characters.
const WIDTH: usize = 1000;

/// What is to be said about one error.
pub(super) struct Words {
    /// Who and what, in one line.
    pub(super) head: String,
    /// The rest, a line each.
    pub(super) details: Vec<String>,
}

/// Who it happened in, what it was, and why.
pub(super) fn words(e: &ErrorTree) -> Words {
    let mut lines = clean(&format!("{}{}", what(e), message(e))).into_iter();
    let first = lines.next().unwrap_or_default();
    let head = match (who(&e.origin), happened(&e.kind)) {
        (Some(who), true) => format!("{who} {first}"),
        (Some(who), false) => format!("{who}: {first}"),
        // What the root says of itself needs no more.
        (None, _) => first,
    };
    let mut details: Vec<String> = lines.collect();
    if let ErrorKind::DiedInBoot { last_words: Some(said), .. } = &e.kind {
        push(&mut details, "its last words: ", &last_words(said));
    }
    for because in &e.source {
        push(&mut details, "because ", because);
    }
    if let Some(trace) = &e.backtrace {
        push(&mut details, "", trace);
    }
    details.extend(cut(e));
    Words { head, details }
}

/// The same in one line, for those who can hold only one.
pub(crate) fn one_line(e: &ErrorTree) -> String {
    let Words { mut head, details } = words(e);
    for detail in details {
        head.push_str(if detail.starts_with("because ") { ", " } else { "; " });
        head.push_str(detail.trim_start());
    }
    head
}

/// How many errors below this one did not get here.
pub(super) fn cut(e: &ErrorTree) -> Option<String> {
    match e.cut {
        0 => None,
        1 => Some("[1 more was left out on its way here]".to_owned()),
        n => Some(format!("[{n} more were left out on their way here]")),
    }
}

/// The actor; `None` if the error has not left the one it happened in.
pub(super) fn who(origin: &Origin) -> Option<String> {
    let path = match origin.incarnation {
        0 | 1 => origin.path.clone(),
        nth => format!("{}#{nth}", origin.path),
    };
    (*origin != Origin::default()).then(|| actor(&path, origin.pid))
}

/// An actor by its path and its process.
pub(super) fn actor(path: &str, pid: u32) -> String {
    let path = clean_line(path);
    // An actor that was never made has none.
    if pid == 0 { path } else { format!("{path} (pid {pid})") }
}

/// Whether its words begin with what the actor did, and so want no colon.
fn happened(kind: &ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::Failed { .. }
            | ErrorKind::Panicked { .. }
            | ErrorKind::Died { .. }
            | ErrorKind::DiedInBoot { .. }
    )
}

/// What stands before the message.
fn what(e: &ErrorTree) -> String {
    match &e.kind {
        ErrorKind::Failed { .. } if who(&e.origin).is_some() => "failed: ".to_owned(),
        ErrorKind::Panicked { location: Some(at) } => format!("panicked at {}: ", clean_line(at)),
        ErrorKind::Panicked { location: None } => "panicked: ".to_owned(),
        // The message begins with what it did: these stand in for one that does not.
        ErrorKind::Died { .. } | ErrorKind::DiedInBoot { .. } if !e.message.starts_with("died ") => {
            "died: ".to_owned()
        }
        _ => String::new(),
    }
}

/// The message; the number in it that means a status is put into words.
fn message(e: &ErrorTree) -> String {
    let (ErrorKind::Died { status, .. } | ErrorKind::DiedInBoot { status, .. }) = &e.kind else {
        return match &e.kind {
            ErrorKind::Spawn { errno: Some(errno), .. } => with_errno(&e.message, *errno),
            _ => e.message.clone(),
        };
    };
    match e.message.strip_suffix(&status.to_string()) {
        Some(before) => format!("{before}{}", named(*status)),
        None => format!("{} ({})", e.message, named(*status)),
    }
}

/// How a process ended; a signal by its name.
pub(super) fn named(status: WireStatus) -> String {
    match status {
        WireStatus::Signaled { signal, core } => {
            let name = Signal::from_raw(signal).to_string();
            match (name.starts_with("SIG"), core) {
                (true, false) => format!("killed by {name} (signal {signal})"),
                (true, true) => format!("killed by {name} (signal {signal}, core dumped)"),
                (false, _) => status.to_string(),
            }
        }
        other => other.to_string(),
    }
}

fn last_words(said: &LastWords) -> String {
    let step = Step::ALL.into_iter().find(|step| step.phase() == said.phase);
    let step = step.map_or_else(|| format!("step {}", said.phase), |step| format!("{step:?}"));
    let text = format!("at {step}: {}", said.text());
    if said.errno == 0 { text } else { with_errno(&text, said.errno) }
}

/// The text, and what the system's number in it means, unless the text says so itself.
fn with_errno(text: &str, errno: i32) -> String {
    let meaning = io::Error::from_raw_os_error(errno).to_string();
    if text.contains(&meaning) { text.to_owned() } else { format!("{text}: {meaning}") }
}

/// A text with a word before it; its further lines stand below it.
fn push(details: &mut Vec<String>, before: &str, text: &str) {
    for (i, line) in clean(text).into_iter().enumerate() {
        details.push(if i == 0 { format!("{before}{line}") } else { format!("  {line}") });
    }
}

/// The lines of a text that anybody may have written: at most [`LINES`], and how many there were.
pub(super) fn clean(text: &str) -> Vec<String> {
    let text = text.trim_end();
    let mut lines: Vec<String> = text.lines().take(LINES).map(clean_line).collect();
    if let more @ 1.. = text.lines().skip(LINES).count() {
        lines.push(format!("… {more} more line{}", if more == 1 { "" } else { "s" }));
    }
    lines
}

/// One line of such a text: at most [`WIDTH`] characters of it.
pub(super) fn clean_line(line: &str) -> String {
    let mut clean = String::with_capacity(line.len().min(WIDTH));
    for c in line.chars().take(WIDTH) {
        match c {
            '\t' => clean.push_str("    "),
            c if c.is_control() || reorders(c) => clean.extend(c.escape_default()),
            c => clean.push(c),
        }
    }
    if let more @ 1.. = line.chars().skip(WIDTH).count() {
        // Writing into a String cannot fail.
        let _ = write!(clean, "… {more} more characters");
    }
    clean
}

/// Characters that change what a line looks like without being seen: other line ends, and changes of direction.
fn reorders(c: char) -> bool {
    matches!(c, '\u{2028}' | '\u{2029}' | '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_moves_a_cursor_or_turns_a_line_around() {
        assert_eq!(clean_line("a\x1b[2Jb\u{202e}c\rd\u{9b}"), r"a\u{1b}[2Jb\u{202e}c\rd\u{9b}");
        assert_eq!(clean("one\r\n\ttwo\n\n"), ["one", "    two"]);
    }

    #[test]
    fn long_texts_say_how_much_is_missing() {
        assert_eq!(clean(&"x\n".repeat(LINES + 2)).last().unwrap(), "… 2 more lines");
        assert!(clean_line(&"é".repeat(WIDTH + 3)).ends_with("é… 3 more characters"));
    }

    #[test]
    fn a_signal_is_named_and_one_without_a_name_is_numbered() {
        let killed = |signal, core| named(WireStatus::Signaled { signal, core });
        assert_eq!(killed(9, false), "killed by SIGKILL (signal 9)");
        assert_eq!(killed(11, true), "killed by SIGSEGV (signal 11, core dumped)");
        assert_eq!(killed(40, true), "killed by signal 40 (core dumped)");
    }
}
