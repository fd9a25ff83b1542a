//! Just enough of Rust's grammar to ask what a file names: no comments, no literals, imports written out.
//!
//! ```text
//!   source ──code_only──► same lines, comments/strings/lifetimes blanked ──mentions──► lines that name a path
//!                                                                       └──imports──► `a::{b, c}` as a::b, a::c
//! ```
//!
//! Rules:
//! * Line numbers survive: whatever is blanked leaves its newlines.
//! * Code inside macros counts like any other code; doc examples are comments and do not.

/// One path of a `use` declaration, written out in full.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Import {
    /// The line of its `use`.
    pub(crate) line: usize,
    /// For example `std::time::Instant`; a glob ends in `::*`, a renamed import keeps its original name.
    pub(crate) path: String,
}

/// Whether this module can read the file.
pub(crate) fn is_rust(path: &str) -> bool {
    path.ends_with(".rs")
}

/// The same text with comments, string and character literals and lifetimes replaced by blanks.
pub(crate) fn code_only(source: &str) -> String {
    let chars: Vec<char> = source.chars().collect();
    let mut out = String::with_capacity(source.len());
    let mut at = 0;
    while at < chars.len() {
        let end = match skipped(&chars, at) {
            Some(end) => end,
            None => {
                out.push(chars[at]);
                at += 1;
                continue;
            }
        };
        out.extend(chars[at..end].iter().map(|&c| if c == '\n' { '\n' } else { ' ' }));
        at = end;
    }
    out
}

/// If something that is not code begins at `at`: where it ends.
fn skipped(chars: &[char], at: usize) -> Option<usize> {
    let here = |offset: usize| chars.get(at + offset).copied().unwrap_or('\0');
    let after_word = at > 0 && is_word(chars[at - 1]);
    match here(0) {
        '/' if here(1) == '/' => Some(find(chars, at, |c| c == '\n')),
        '/' if here(1) == '*' => Some(block_comment_end(chars, at)),
        '"' => Some(quoted_end(chars, at, '"')),
        'r' if !after_word || matches!(chars[at - 1], 'b' | 'c') => raw_string_end(chars, at),
        // A quote begins a character unless a name follows that no second quote closes: then a lifetime.
        '\'' if here(1) == '\\' || here(2) == '\'' => Some(quoted_end(chars, at, '\'')),
        '\'' => Some(find(chars, at + 1, |c| !is_word(c))),
        _ => None,
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The first position from `from` on whose character satisfies `stop`, else the end.
fn find(chars: &[char], from: usize, stop: impl Fn(char) -> bool) -> usize {
    (from..chars.len()).find(|&i| stop(chars[i])).unwrap_or(chars.len())
}

fn block_comment_end(chars: &[char], at: usize) -> usize {
    let (mut depth, mut i) = (0usize, at);
    while i < chars.len() {
        match (chars[i], chars.get(i + 1)) {
            ('/', Some('*')) => (depth, i) = (depth + 1, i + 2),
            ('*', Some('/')) if depth == 1 => return i + 2,
            ('*', Some('/')) => (depth, i) = (depth - 1, i + 2),
            _ => i += 1,
        }
    }
    chars.len()
}

fn quoted_end(chars: &[char], at: usize, quote: char) -> usize {
    let mut i = at + 1;
    while i < chars.len() {
        match chars[i] {
            '\\' => i += 2,
            c if c == quote => return i + 1,
            _ => i += 1,
        }
    }
    chars.len()
}

fn raw_string_end(chars: &[char], at: usize) -> Option<usize> {
    let open = find(chars, at + 1, |c| c != '#');
    if chars.get(open) != Some(&'"') {
        return None;
    }
    let hashes = open - at - 1;
    let closes = |i: usize| {
        chars[i] == '"' && chars[i + 1..].iter().take(hashes).filter(|&&c| c == '#').count() == hashes
    };
    let end = (open + 1..chars.len()).find(|&i| closes(i)).map_or(chars.len(), |i| i + 1 + hashes);
    Some(end)
}

/// The lines (from 1) of `code` on which `name`, a word or a path, stands between word boundaries.
pub(crate) fn mentions(code: &str, name: &str) -> Vec<usize> {
    let mut lines = Vec::new();
    for (number, line) in code.lines().enumerate() {
        let whole = line
            .match_indices(name)
            .any(|(at, _)| !line[..at].ends_with(is_word) && !line[at + name.len()..].starts_with(is_word));
        if whole {
            lines.push(number + 1);
        }
    }
    lines
}

/// Every `use` of `code`, its groups written out.
pub(crate) fn imports(code: &str) -> Vec<Import> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("use") {
        let rest = &code[at + 3..];
        let keyword = !code[..at].ends_with(is_word) && rest.starts_with(char::is_whitespace);
        // `use<'a>` of a precise capture has no blank after it; a declaration ends with a semicolon.
        let Some(end) = rest.find(';').filter(|_| keyword) else { continue };
        let line = code[..at].matches('\n').count() + 1;
        let mut paths = Vec::new();
        write_out("", rest[..end].trim(), &mut paths);
        found.extend(paths.into_iter().map(|path| Import { line, path }));
    }
    found
}

/// Adds every leaf of the use tree `tree` to `paths`, each with `prefix` before it.
fn write_out(prefix: &str, tree: &str, paths: &mut Vec<String>) {
    let tree = tree.trim();
    let Some(open) = tree.find('{') else {
        let name = tree.split_whitespace().next().unwrap_or_default();
        let path = format!("{prefix}{name}");
        let path = path.strip_suffix("::self").unwrap_or(&path);
        paths.push(path.trim_start_matches("::").to_owned());
        return;
    };
    let prefix = format!("{prefix}{}", &tree[..open]);
    let inner = tree[open + 1..].trim_end().strip_suffix('}').unwrap_or(&tree[open + 1..]);
    let (mut depth, mut start) = (0i32, 0);
    for (i, c) in inner.char_indices().chain([(inner.len(), ',')]) {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                if !inner[start..i].trim().is_empty() {
                    write_out(&prefix, &inner[start..i], paths);
                }
                start = i + 1;
            }
            _ => {}
        }
    }
}

/// The lines on which `code` names the path `name`, spelled out in place or through an import.
pub(crate) fn names(code: &str, name: &str) -> Vec<usize> {
    let mut lines = mentions(code, name);
    let below = format!("{name}::");
    lines.extend(
        imports(code).into_iter().filter(|i| i.path == name || i.path.starts_with(&below)).map(|i| i.line),
    );
    lines.sort_unstable();
    lines.dedup();
    lines
}

#[test]
fn comments_literals_and_lifetimes_are_not_code() {
    let source = "a /* b /* c */ d */ e // f\n\"g \\\" h\" i r#\"j \" k\"# l 'm' '\\'' n<'o> br\"p\" q";
    let words: Vec<_> = code_only(source).split_whitespace().map(str::to_owned).collect();
    assert_eq!(words, ["a", "e", "i", "l", "n<", ">", "b", "q"]);
    assert_eq!(code_only(source).matches('\n').count(), 1);
}

#[test]
fn imports_are_written_out() {
    let code =
        "use std::{fmt, time::{self, Instant as I}};\nfn f() { use ::libc::*; }\nfn g() -> impl X + use<> {}";
    let paths: Vec<_> = imports(code).into_iter().map(|i| (i.line, i.path)).collect();
    let expected = [(1, "std::fmt"), (1, "std::time"), (1, "std::time::Instant"), (2, "libc::*")];
    assert_eq!(paths, expected.map(|(line, path)| (line, path.to_owned())));
}

#[test]
fn names_respects_word_boundaries_and_sees_imports() {
    assert_eq!(names("libc::fork();\nlibc::forkpty();\nuse libc::{c_int, fork};", "libc::fork"), [1, 3]);
    assert_eq!(names("forbid(unsafe_code)\nunsafe {}", "unsafe"), [2]);
}
