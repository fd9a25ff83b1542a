//! The strings of an exec: where the program may be, its arguments, its environment. ◇ pure
//!
//! ```text
//!   program, PATH ─► paths to try        arguments, variables ─► strings that end in NUL
//! ```
//!
//! Rules:
//! * A program with a slash in its name is at that path, from the directory that it begins in; any other is looked for in `PATH`
//!   as the program will have it.
//! * What cannot be said (a NUL in it) is an error here, before anything has happened.

use super::error::CommandError;
use std::collections::BTreeMap;
use std::ffi::{CString, OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// Where programs are looked for without a `PATH`, as libc has it.
const DEFAULT_PATH: &str = "/bin:/usr/bin";

/// A string for the system.
pub(super) fn terminated(what: &'static str, word: OsString) -> Result<CString, CommandError> {
    CString::new(word.into_vec()).map_err(|e| {
        let word = OsString::from_vec(e.into_vec());
        CommandError::Unspeakable { what, word }
    })
}

/// The variables of the child: those of this process, unless they are cleared, with what was changed.
pub(super) fn variables(
    ours: impl Iterator<Item = (OsString, OsString)>,
    changes: &BTreeMap<OsString, Option<OsString>>,
) -> Vec<(OsString, OsString)> {
    let kept = ours.filter(|(key, _)| !changes.contains_key(key));
    let set = changes.iter().filter_map(|(key, value)| Some((key.clone(), value.clone()?)));
    kept.chain(set).collect()
}

/// As the system wants them.
pub(super) fn environment(variables: Vec<(OsString, OsString)>) -> Result<Vec<CString>, CommandError> {
    let said = variables.into_iter().map(|(key, value)| {
        if key.is_empty() || key.as_bytes()[1..].contains(&b'=') {
            return Err(CommandError::Unspeakable { what: "the variable", word: key });
        }
        let mut word = key;
        word.push("=");
        word.push(value);
        terminated("the variable", word)
    });
    said.collect()
}

/// Where a program may be, in order.
pub(super) fn paths(program: &OsStr, path: Option<&OsStr>) -> Result<Vec<CString>, CommandError> {
    const WHAT: &str = "the program";
    if program.is_empty() {
        return Err(CommandError::Unspeakable { what: WHAT, word: program.to_owned() });
    }
    if program.as_bytes().contains(&b'/') {
        return Ok(vec![terminated(WHAT, program.to_owned())?]);
    }
    let path = path.unwrap_or(OsStr::new(DEFAULT_PATH));
    let directories = path.as_bytes().split(|b| *b == b':');
    let candidates = directories.map(|directory| {
        // An empty one is the present directory.
        let mut candidate = if directory.is_empty() { b"." } else { directory }.to_vec();
        candidate.push(b'/');
        candidate.extend(program.as_bytes());
        terminated(WHAT, OsString::from_vec(candidate))
    });
    candidates.collect()
}

#[cfg(test)]
mod tests {
    use super::{environment, paths, variables};
    use crate::command::CommandError;
    use std::collections::BTreeMap;
    use std::ffi::OsStr;

    fn texts(words: Vec<std::ffi::CString>) -> Vec<String> {
        words.into_iter().map(|word| word.into_string().unwrap()).collect()
    }

    #[test]
    fn a_program_without_a_slash_is_looked_for_in_order() {
        let found =
            |program, path: Option<&str>| texts(paths(OsStr::new(program), path.map(OsStr::new)).unwrap());
        assert_eq!(found("ls", Some("/a:b")), ["/a/ls", "b/ls"]);
        assert_eq!(found("ls", Some("/a:")), ["/a/ls", "./ls"], "an empty one is here");
        assert_eq!(found("ls", None), ["/bin/ls", "/usr/bin/ls"]);
        assert_eq!(found("./ls", Some("/a")), ["./ls"]);
    }

    #[test]
    fn what_cannot_be_said_is_refused() {
        for word in ["", "a\0b"] {
            assert!(matches!(paths(OsStr::new(word), None), Err(CommandError::Unspeakable { .. })));
        }
        for key in ["", "a=b", "a\0b"] {
            let said = environment(vec![(key.into(), "value".into())]);
            assert!(matches!(said, Err(CommandError::Unspeakable { .. })), "{key:?}");
        }
    }

    #[test]
    fn variables_are_ours_but_for_what_was_changed() {
        let ours = [("A", "1"), ("B", "2"), ("C", "3")].map(|(k, v)| (k.into(), v.into()));
        let changes = BTreeMap::from([("B".into(), None), ("C".into(), Some("4".into()))]);
        let theirs = variables(ours.into_iter(), &changes);
        assert_eq!(texts(environment(theirs).unwrap()), ["A=1", "C=4"]);
    }
}
