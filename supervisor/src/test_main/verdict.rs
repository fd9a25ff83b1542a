//! Whether a case passed, decided from everything the runner saw.
//!
//! ```text
//!   exit status, receipt, strays, remains ─→ Facts ─reasons ◇→ none: passed │ some: failed, for each of them
//! ```
//!
//! Rules:
//! * Pure. Every fact that is not as it should be is a reason; one does not hide another.
//! * Exit code 0 is not enough: the case process must have come to its end, which its receipt says.

use super::home::Remains;
use std::time::Duration;

/// How the case process ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum End {
    Code(i32),
    Signal(i32),
    /// By us, after its time limit; with what was seen of the tree below it.
    Hung {
        limit: Duration,
        dump: String,
    },
}

/// All that is known about a case that has ended.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    pub(super) end: End,
    pub(super) remains: Remains,
    /// Processes that outlived it and were killed.
    pub(super) strays: Vec<String>,
    /// Processes that did not die although they were killed.
    pub(super) unkillable: Vec<String>,
    /// Somebody still has its output open.
    pub(super) output_open: bool,
}

/// The exit code of a case process that handed in a receipt with reasons.
pub(super) const FAILED: i32 = super::FAILURE as i32;

impl Facts {
    /// Why the case failed; nothing if it passed.
    pub(super) fn reasons(&self) -> Vec<String> {
        let receipt = self.remains.receipt.as_deref();
        let mut reasons = Vec::new();
        match (&self.end, receipt) {
            (End::Hung { limit, dump }, _) => {
                let limit = limit.as_secs_f64();
                reasons.push(format!("hung: no end within {limit} s; it and all below were killed\n{dump}"));
            }
            (End::Signal(number), _) => {
                reasons.push(format!("killed by signal {number} ({})", signal_name(*number)));
            }
            (End::Code(code), _) if self.remains.never_started => {
                reasons.push(format!("never started: its process ended first, with exit code {code}"));
            }
            (End::Code(code), None) => {
                reasons
                    .push(format!("its process exited by itself with code {code} before the case returned"));
            }
            (End::Code(0), Some([])) => {}
            (End::Code(FAILED), Some([_, ..])) => {}
            (End::Code(code), Some(_)) => {
                reasons.push(format!("its process exited with code {code} after the case had returned"));
            }
        }
        reasons.extend_from_slice(receipt.unwrap_or_default());
        if self.remains.copies > 0 {
            reasons
                .push(format!("came back in forked copies of its process as well: {}", self.remains.copies));
        }
        // After a hang they were killed with it, and some are already dead: the dump names them all.
        let strays: &[String] = if matches!(self.end, End::Hung { .. }) { &[] } else { &self.strays };
        reasons.extend(strays.iter().map(|s| format!("left a stray process, killed now: {s}")));
        reasons.extend(self.unkillable.iter().map(|s| format!("left a process that does not die: {s}")));
        reasons.extend(self.remains.files.iter().map(|f| format!("left behind in TMPDIR: {f}")));
        if self.output_open {
            reasons.push("left its output open in a process that is not below it any more".to_owned());
        }
        reasons
    }
}

/// The name of a signal (Linux numbers; signal(7)).
fn signal_name(number: i32) -> &'static str {
    match number {
        1 => "SIGHUP",
        2 => "SIGINT",
        3 => "SIGQUIT",
        4 => "SIGILL",
        5 => "SIGTRAP",
        6 => "SIGABRT",
        7 => "SIGBUS",
        8 => "SIGFPE",
        9 => "SIGKILL",
        10 => "SIGUSR1",
        11 => "SIGSEGV",
        12 => "SIGUSR2",
        13 => "SIGPIPE",
        14 => "SIGALRM",
        15 => "SIGTERM",
        24 => "SIGXCPU",
        31 => "SIGSYS",
        _ => "see signal(7)",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(end: End, receipt: Option<&[&str]>) -> Facts {
        let receipt = receipt.map(|r| r.iter().map(|&s| s.to_owned()).collect());
        let remains = Remains { receipt, ..Remains::default() };
        Facts { end, remains, strays: vec![], unkillable: vec![], output_open: false }
    }

    fn said(facts: &Facts) -> String {
        facts.reasons().join("|")
    }

    #[test]
    fn exit_code_zero_with_an_empty_receipt_passes() {
        assert_eq!(said(&ended(End::Code(0), Some(&[]))), "");
    }

    #[test]
    fn exit_code_zero_without_a_receipt_fails() {
        let facts = ended(End::Code(0), None);
        assert_eq!(said(&facts), "its process exited by itself with code 0 before the case returned");
    }

    #[test]
    fn the_case_process_gives_its_own_reasons() {
        assert_eq!(said(&ended(End::Code(FAILED), Some(&["panicked", "left fd 7"]))), "panicked|left fd 7");
    }

    #[test]
    fn a_receipt_that_the_exit_code_belies_fails() {
        let late = "its process exited with code 3 after the case had returned";
        assert_eq!(said(&ended(End::Code(3), Some(&[]))), late);
        assert_eq!(said(&ended(End::Code(3), Some(&["panicked"]))), format!("{late}|panicked"));
        assert_ne!(said(&ended(End::Code(FAILED), Some(&[]))), "");
        assert_ne!(said(&ended(End::Code(0), Some(&["panicked"]))), "");
    }

    #[test]
    fn a_signal_is_named() {
        assert_eq!(said(&ended(End::Signal(11), None)), "killed by signal 11 (SIGSEGV)");
        assert_eq!(said(&ended(End::Signal(35), Some(&[]))), "killed by signal 35 (see signal(7))");
    }

    #[test]
    fn a_hang_says_its_limit_and_shows_the_dump() {
        let end = End::Hung { limit: Duration::from_millis(1500), dump: "  pid 7".to_owned() };
        let mut facts = ended(end, None);
        facts.strays = vec!["pid 7".to_owned()];
        let text = "hung: no end within 1.5 s; it and all below were killed\n  pid 7";
        assert_eq!(said(&facts), text);
    }

    #[test]
    fn a_case_that_never_started_is_told_apart() {
        let mut facts = ended(End::Code(127), None);
        facts.remains.never_started = true;
        assert_eq!(said(&facts), "never started: its process ended first, with exit code 127");
    }

    #[test]
    fn everything_left_behind_is_a_reason_of_its_own() {
        let mut facts = ended(End::Code(0), Some(&[]));
        facts.remains.copies = 1;
        facts.remains.files = vec!["socket s".to_owned()];
        facts.strays = vec!["pid 7".to_owned(), "pid 8".to_owned()];
        facts.unkillable = vec!["pid 9".to_owned()];
        facts.output_open = true;
        assert_eq!(facts.reasons().len(), 6);
        assert!(said(&facts).contains("left a stray process, killed now: pid 8|"));
        assert!(said(&facts).contains("|left behind in TMPDIR: socket s|"));
    }
}
