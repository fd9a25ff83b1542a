//! The text of a test run, in the shape of libtest's.
//!
//! ```text
//!   runner ─opening, begin, end…, closing→ Report ─text→ stdout
//! ```
//!
//! Rules:
//! * Pure: text out, no output, no clock. The runner prints each piece as it comes, so that a hang shows its name.
//! * The reasons of a failure are shown with and without capture; the captured output only if there is any.

use std::fmt::Write;
use std::time::Duration;

/// How one case went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Passed,
    /// Each reason is a sentence, or a sentence and further lines.
    Failed(Vec<String>),
    /// With its reason, which may be empty.
    Ignored(&'static str),
}

/// A run so far.
#[derive(Debug)]
pub(super) struct Report {
    terse: bool,
    color: bool,
    /// Also shows what passed cases wrote.
    show_output: bool,
    passed: usize,
    ignored: usize,
    filtered_out: usize,
    successes: String,
    failures: String,
    failed: Vec<&'static str>,
}

const GREEN: u8 = 32;
const RED: u8 = 31;
const YELLOW: u8 = 33;

/// So many cases are one line of the terse form.
const LINE: usize = 88;

impl Report {
    pub(super) fn new(terse: bool, color: bool, show_output: bool, filtered_out: usize) -> Self {
        Report {
            terse,
            color,
            show_output,
            filtered_out,
            passed: 0,
            ignored: 0,
            successes: String::new(),
            failures: String::new(),
            failed: Vec::new(),
        }
    }

    /// Before the first case.
    #[must_use]
    pub(super) fn opening(&self, cases: usize) -> String {
        format!("\nrunning {cases} {}\n", plural(cases, "test"))
    }

    /// Before each case.
    #[must_use]
    pub(super) fn begin(&self, name: &str) -> String {
        if self.terse { String::new() } else { format!("test {name} ... ") }
    }

    /// After each case; `output` is what it wrote and we captured.
    #[must_use]
    pub(super) fn end(&mut self, name: &'static str, outcome: &Outcome, output: &str) -> String {
        let (word, letter, color) = match outcome {
            Outcome::Passed => ("ok".to_owned(), ".", GREEN),
            Outcome::Failed(_) => ("FAILED".to_owned(), "F", RED),
            Outcome::Ignored("") => ("ignored".to_owned(), "i", YELLOW),
            Outcome::Ignored(why) => (format!("ignored, {why}"), "i", YELLOW),
        };
        match outcome {
            Outcome::Passed => {
                self.passed += 1;
                if self.show_output && !output.is_empty() {
                    section(&mut self.successes, name, output, &[]);
                }
            }
            Outcome::Failed(reasons) => {
                self.failed.push(name);
                section(&mut self.failures, name, output, reasons);
            }
            Outcome::Ignored(_) => self.ignored += 1,
        }
        if !self.terse {
            return format!("{}\n", self.paint(&word, color));
        }
        let done = self.passed + self.ignored + self.failed.len();
        let wrap = if done.is_multiple_of(LINE) { "\n" } else { "" };
        format!("{}{wrap}", self.paint(letter, color))
    }

    /// After the last case.
    #[must_use]
    pub(super) fn closing(&self, took: Duration) -> String {
        let mut text = if self.terse { "\n".to_owned() } else { String::new() };
        if !self.successes.is_empty() {
            text += &format!("\nsuccesses:\n\n{}", self.successes);
        }
        if !self.failed.is_empty() {
            text += &format!("\nfailures:\n\n{}failures:\n", self.failures);
            for name in &self.failed {
                text += &format!("    {name}\n");
            }
        }
        let word = if self.good() { self.paint("ok", GREEN) } else { self.paint("FAILED", RED) };
        let Report { passed, ignored, filtered_out, .. } = self;
        let failed = self.failed.len();
        let took = took.as_secs_f64();
        text += &format!(
            "\ntest result: {word}. {passed} passed; {failed} failed; {ignored} ignored; 0 measured; "
        );
        text += &format!("{filtered_out} filtered out; finished in {took:.2}s\n\n");
        text
    }

    /// Whether no case has failed so far.
    pub(super) fn good(&self) -> bool {
        self.failed.is_empty()
    }

    fn paint(&self, word: &str, color: u8) -> String {
        if self.color { format!("\x1b[{color}m{word}\x1b[m") } else { word.to_owned() }
    }
}

/// The answer to `--list`.
#[must_use]
pub(super) fn list<'n>(names: impl Iterator<Item = &'n str>, terse: bool) -> String {
    let mut text = String::new();
    let mut count = 0;
    for name in names {
        count += 1;
        text += &format!("{name}: test\n");
    }
    if !terse {
        text += &format!("\n{count} {}, 0 benchmarks\n", plural(count, "test"));
    }
    text
}

fn plural(n: usize, word: &str) -> String {
    if n == 1 { word.to_owned() } else { format!("{word}s") }
}

/// One case's part of the failures or successes.
fn section(into: &mut String, name: &str, output: &str, reasons: &[String]) {
    writeln!(into, "---- {name} stdout ----").expect("writing to a String cannot fail");
    *into += output;
    if !output.is_empty() && !output.ends_with('\n') {
        into.push('\n');
    }
    for reason in reasons {
        writeln!(into, "case failed: {}", reason.trim_end()).expect("writing to a String cannot fail");
    }
    into.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain() -> Report {
        Report::new(false, false, false, 4)
    }

    #[test]
    fn a_good_run_reads_like_libtest() {
        let mut report = plain();
        let mut text = report.opening(3);
        for (name, outcome) in
            [("a", Outcome::Passed), ("b", Outcome::Ignored("")), ("m::c", Outcome::Ignored("slow"))]
        {
            text += &report.begin(name);
            text += &report.end(name, &outcome, "not shown\n");
        }
        text += &report.closing(Duration::from_millis(1234));
        assert!(report.good());
        assert_eq!(
            text,
            "\nrunning 3 tests\n\
             test a ... ok\n\
             test b ... ignored\n\
             test m::c ... ignored, slow\n\
             \n\
             test result: ok. 1 passed; 0 failed; 2 ignored; 0 measured; 4 filtered out; finished in 1.23s\n\n"
        );
    }

    #[test]
    fn a_failure_shows_its_output_and_every_reason() {
        let mut report = plain();
        assert_eq!(report.opening(1), "\nrunning 1 test\n");
        let reasons = vec!["panicked".to_owned(), "left fd 5 open\n".to_owned()];
        assert_eq!(report.end("bad", &Outcome::Failed(reasons), "out without end of line"), "FAILED\n");
        assert!(!report.good());
        assert_eq!(
            report.closing(Duration::ZERO),
            "\nfailures:\n\n\
             ---- bad stdout ----\nout without end of line\ncase failed: panicked\ncase failed: left fd 5 open\n\n\
             failures:\n    bad\n\n\
             test result: FAILED. 0 passed; 1 failed; 0 ignored; 0 measured; 4 filtered out; finished in 0.00s\n\n"
        );
    }

    #[test]
    fn passed_output_is_shown_on_request_only() {
        let mut report = Report::new(false, false, true, 0);
        let _ = report.end("a", &Outcome::Passed, "hello\n");
        let _ = report.end("quiet", &Outcome::Passed, "");
        assert!(
            report.closing(Duration::ZERO).starts_with("\nsuccesses:\n\n---- a stdout ----\nhello\n\n\ntest")
        );
        let mut report = plain();
        let _ = report.end("a", &Outcome::Passed, "hello\n");
        assert!(!report.closing(Duration::ZERO).contains("hello"));
    }

    #[test]
    fn terse_is_one_letter_per_case_in_lines_of_bounded_length() {
        let mut report = Report::new(true, false, false, 0);
        assert_eq!(report.begin("a"), "");
        assert_eq!(report.end("a", &Outcome::Passed, ""), ".");
        assert_eq!(report.end("b", &Outcome::Ignored(""), ""), "i");
        assert_eq!(report.end("c", &Outcome::Failed(vec![]), ""), "F");
        for _ in 3..LINE - 1 {
            assert_eq!(report.end("d", &Outcome::Passed, ""), ".");
        }
        assert_eq!(report.end("e", &Outcome::Passed, ""), ".\n");
    }

    #[test]
    fn colour_wraps_the_word_only() {
        let mut report = Report::new(false, true, false, 0);
        assert_eq!(report.end("a", &Outcome::Passed, ""), "\x1b[32mok\x1b[m\n");
        assert!(report.closing(Duration::ZERO).contains("test result: \x1b[32mok\x1b[m. 1 passed"));
    }

    #[test]
    fn the_list_is_bare_only_when_terse() {
        assert_eq!(list(["a", "m::b"].into_iter(), true), "a: test\nm::b: test\n");
        assert_eq!(list(["a"].into_iter(), false), "a: test\n\n1 test, 0 benchmarks\n");
        assert_eq!(list([].into_iter(), true), "");
    }
}
