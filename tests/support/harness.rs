//! Runs cases of this binary again under every setting of the harness that could matter: none may change what comes out.

use std::process::{Command, Stdio};

/// Arguments and variables.
type Setting = (&'static [&'static str], &'static [(&'static str, &'static str)]);

/// What changes how cases are run, what they write to, and beside what.
const SETTINGS: [Setting; 5] = [
    (&["--nocapture"], &[]),
    (&["--show-output"], &[("RUST_BACKTRACE", "full")]),
    (&["--test-threads=1"], &[]),
    (&["--test-threads=4", "--quiet"], &[]),
    (&[], &[("RUST_TEST_NOCAPTURE", "1"), ("RUST_TEST_THREADS", "2")]),
];

/// Each of these cases passes under each setting.
pub(crate) fn no_setting_changes(cases: &[&str]) {
    for (flags, variables) in SETTINGS {
        let mut again = Command::new(std::env::current_exe().expect("a running program has a path"));
        again.args(cases).arg("--exact").args(flags).envs(variables.iter().copied());
        let output = again.stdin(Stdio::null()).output().expect("it starts");
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{flags:?} {variables:?}: {said}");
        assert!(said.contains(&format!(" {} passed", cases.len())), "{flags:?} {variables:?}: {said}");
    }
}
