//! The dependency declarations of a `Cargo.toml`, with the comment that stands above each.
//!
//! ```text
//!   manifest text ──sections──► [..dependencies] ──lines at bracket depth 0──► Declaration { line, text, explained }
//! ```
//!
//! Rules: reads only what manifests of this workspace look like: one declaration begins on one line.

/// One dependency as a manifest declares it.
#[derive(Debug)]
pub(crate) struct Declaration {
    /// The line it begins on, from 1.
    pub(crate) line: usize,
    /// That line, without its comment.
    pub(crate) text: String,
    /// Whether the line above is a comment.
    pub(crate) explained: bool,
}

/// Every dependency declared in `manifest`: normal, dev, build, for one target, or for the whole workspace.
pub(crate) fn declarations(manifest: &str) -> Vec<Declaration> {
    let mut found = Vec::new();
    let (mut in_dependencies, mut open_brackets, mut explained) = (false, 0usize, false);
    for (number, line) in manifest.lines().enumerate() {
        let text = line.split('#').next().unwrap_or_default().trim();
        let is_header = text.starts_with('[') && open_brackets == 0;
        let declares = if is_header {
            let section = text.trim_matches(['[', ']']);
            in_dependencies = section.ends_with("dependencies");
            section.contains("dependencies.")
        } else {
            in_dependencies && open_brackets == 0 && text.contains('=')
        };
        if declares {
            found.push(Declaration { line: number + 1, text: text.to_owned(), explained });
        }
        if !is_header {
            open_brackets += text.matches(['{', '[']).count();
            open_brackets = open_brackets.saturating_sub(text.matches(['}', ']']).count());
        }
        explained = line.trim_start().starts_with("# ");
    }
    found
}

#[test]
fn declarations_are_found_with_their_comments() {
    let text = "[package]\nname = \"x\"\n[dependencies]\n# Why.\na = { features = [\n  \"b=c\",\n] }\nd.workspace = true\n";
    let found: Vec<_> = declarations(text).into_iter().map(|d| (d.line, d.explained)).collect();
    assert_eq!(found, [(5, true), (8, false)]);
}
