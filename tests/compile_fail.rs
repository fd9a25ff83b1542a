//! Promise: misuse that a type can refuse is refused by the compiler, with a message that points at the misuse.
//!
//! ```text
//!   compile_fail/NAME.rs ─► the compiler ─► its message, compared with compile_fail/NAME.stderr
//! ```
//!
//! Rules: each file says in its first line what is refused. A new `.stderr` is read before it is kept: it must fail
//! for that reason and no other.

/// The promises, one file each.
#[test]
fn misuse_of_nurseries_and_scopes_does_not_compile() {
    let cases = trybuild::TestCases::new();
    cases.compile_fail("compile_fail/*.rs");
}

/// Every case has a message that was read, and says what it shows.
#[test]
fn every_case_says_what_is_refused_and_has_its_message() {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/compile_fail");
    let mut cases = 0;
    for entry in std::fs::read_dir(dir).expect("the directory of cases") {
        let path = entry.expect("a readable entry").path();
        if path.extension().is_some_and(|e| e == "rs") {
            cases += 1;
            let text = std::fs::read_to_string(&path).expect("a readable case");
            assert!(text.starts_with("// "), "{} does not say what is refused", path.display());
            let message = std::fs::read_to_string(path.with_extension("stderr")).expect("its message");
            assert!(message.contains("error"), "{} has no error", path.display());
        }
    }
    assert!(cases > 0);
}
