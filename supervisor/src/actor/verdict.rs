//! What came of an actor: a pure decision from all that its parent saw of it.
//!
//! ```text
//!   last message ─┐
//!   exit status  ─┼─► decide(Seen) ─► Returned(bytes) │ Cancelled │ Failed(error)
//!   what we did  ─┘
//! ```
//!
//! Rules:
//! * A real error wins over a cancellation, however late it comes.
//! * A process that ended by itself without a last message has died, also while it was being cancelled; one that
//!   ended by a rung of our ladder was cancelled.

use super::event::Ending;
use crate::error::{Error, ErrorKind};
use pleach_ipc::proto::{BootPhase, LastWords, WireCause, WireStatus};
use pleach_spawn::Signal;

/// The last message of an actor.
#[derive(Debug)]
pub(crate) enum Final {
    /// Its value, encoded.
    Returned(Vec<u8>),
    /// Its error.
    Failed(Error),
    /// It was cancelled, as asked.
    Acknowledged,
}

/// Why the parent stopped it, if it did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stopped {
    No,
    /// The scope around it was cancelled.
    Cancelled(WireCause),
    BootTimeout,
    ChannelLost,
    /// Somebody had stopped it, by this signal.
    StoodStill(Signal),
    /// It broke the protocol, and how.
    Protocol(String),
}

/// All that the parent saw.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) pid: u32,
    /// What had not been said yet of the boot; `None` once it was up.
    pub(crate) boot: Option<BootPhase>,
    pub(crate) last: Option<Final>,
    pub(crate) last_words: Option<LastWords>,
    /// `None` if it did not die of SIGKILL.
    pub(crate) status: Option<WireStatus>,
    pub(crate) stopped: Stopped,
    pub(crate) told: Told,
}

/// Which signal of ours has reached it, at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Told {
    Nothing,
    Terminate,
    Kill,
}

/// What came of it.
#[derive(Debug)]
pub(crate) enum Verdict {
    Returned(Vec<u8>),
    Cancelled(WireCause),
    Failed(Error, Ending),
}

pub(crate) fn decide(seen: Seen) -> Verdict {
    let Some(status) = seen.status else {
        return died(ErrorKind::Unkillable { pid: seen.pid }, "it does not die of SIGKILL".to_owned());
    };
    // Something failed in it after its last message, and could say so only by its exit status.
    let failed_late = matches!(status, WireStatus::Exited(code) if code != 0);
    match (seen.last, &seen.stopped) {
        (Some(Final::Failed(error)), _) => return Verdict::Failed(error, Ending::Failed),
        (Some(_), _) if failed_late => {
            let text = format!("it failed after its last message: {status}");
            return died(ErrorKind::Died { pid: seen.pid, status }, text);
        }
        // A value of one that breaks the protocol is worth nothing.
        (Some(Final::Returned(_)), Stopped::Protocol(_)) => {}
        (Some(Final::Returned(bytes)), _) => return Verdict::Returned(bytes),
        (Some(Final::Acknowledged), Stopped::Cancelled(cause)) => return Verdict::Cancelled(cause.clone()),
        (Some(Final::Acknowledged), Stopped::BootTimeout) => {
            let phase = seen.boot.unwrap_or(BootPhase::Ready);
            return died(
                ErrorKind::BootTimeout { phase },
                format!("not up in time ({phase}); it was stopped"),
            );
        }
        (Some(Final::Acknowledged), Stopped::ChannelLost) => {
            return died(
                ErrorKind::ChannelLost,
                "it closed its link and lived on; it was stopped".to_owned(),
            );
        }
        (_, Stopped::StoodStill(signal)) => return stood_still(seen.pid, *signal, status),
        (Some(Final::Acknowledged), Stopped::No) => {
            return died(ErrorKind::Protocol, "it acknowledged a cancel that nobody had sent".to_owned());
        }
        (Some(Final::Acknowledged), Stopped::Protocol(_)) | (None, _) => {}
    }
    if let Stopped::Protocol(what) = seen.stopped {
        return died(ErrorKind::Protocol, format!("it broke the protocol: {what}"));
    }
    // By nobody else: who was only told to terminate, and was killed, was killed from outside.
    let by_us = match status {
        WireStatus::Signaled { signal: 9, .. } => seen.told >= Told::Kill,
        WireStatus::Signaled { signal: 15, .. } => seen.told >= Told::Terminate,
        _ => false,
    };
    match (seen.stopped, seen.boot) {
        (Stopped::Cancelled(cause), _) if by_us => Verdict::Cancelled(cause),
        (Stopped::BootTimeout, Some(phase)) if by_us => {
            died(ErrorKind::BootTimeout { phase }, format!("not up in time ({phase}); it was stopped"))
        }
        (Stopped::ChannelLost, _) if by_us => {
            died(ErrorKind::ChannelLost, "it closed its link and lived on; it was stopped".to_owned())
        }
        (_, Some(phase)) => {
            let text = format!("died {phase}: {status}");
            died(ErrorKind::DiedInBoot { phase, status, last_words: seen.last_words }, text)
        }
        (_, None) => {
            died(ErrorKind::Died { pid: seen.pid, status }, format!("died without a last message: {status}"))
        }
    }
}

/// Whatever it did after it had been continued: that it stood still is what happened first.
fn stood_still(pid: u32, signal: Signal, status: WireStatus) -> Verdict {
    let text = match status {
        WireStatus::Exited(0) => format!("it was stopped by {signal}, and was continued only to end"),
        status => format!("it was stopped by {signal}; in the end: {status}"),
    };
    died(ErrorKind::Stopped { pid, signal: signal.as_raw() }, text)
}

fn died(kind: ErrorKind, text: String) -> Verdict {
    Verdict::Failed(Error::of(kind, text), Ending::Died)
}

#[cfg(test)]
mod tests {
    use super::*;
    use pleach_ipc::proto::Why;

    fn cause() -> WireCause {
        WireCause { by: "root".to_owned(), why: Why::Requested }
    }

    fn seen(last: Option<Final>, status: WireStatus, stopped: Stopped, told: Told) -> Seen {
        Seen { pid: 7, boot: None, last, last_words: None, status: Some(status), stopped, told }
    }

    const KILLED: WireStatus = WireStatus::Signaled { signal: 9, core: false };

    #[test]
    fn a_real_error_wins_over_a_cancellation_however_late() {
        let last = Some(Final::Failed(Error::msg("late")));
        let v = decide(seen(last, WireStatus::Exited(0), Stopped::Cancelled(cause()), Told::Kill));
        assert!(matches!(v, Verdict::Failed(e, Ending::Failed) if e.message() == "late"));
    }

    #[test]
    fn killed_by_our_ladder_is_cancelled_and_by_anybody_else_is_a_death() {
        let v = decide(seen(None, KILLED, Stopped::Cancelled(cause()), Told::Kill));
        assert!(matches!(v, Verdict::Cancelled(c) if c == cause()));
        let terminated = decide(seen(None, KILLED, Stopped::Cancelled(cause()), Told::Terminate));
        assert!(matches!(terminated, Verdict::Failed(_, Ending::Died)), "we had not killed it");
        let v = decide(seen(None, KILLED, Stopped::Cancelled(cause()), Told::Nothing));
        assert!(
            matches!(v, Verdict::Failed(e, Ending::Died) if matches!(e.kind(), ErrorKind::Died { pid: 7, .. }))
        );
    }

    #[test]
    fn a_death_that_was_slow_to_show_is_a_death_and_no_lost_link() {
        // Its link ended first, and it was on its way out before anybody had signalled it.
        let v = decide(seen(None, KILLED, Stopped::ChannelLost, Told::Nothing));
        assert!(
            matches!(v, Verdict::Failed(e, _) if *e.kind() == ErrorKind::Died { pid: 7, status: KILLED })
        );
        let mut s = seen(None, KILLED, Stopped::BootTimeout, Told::Nothing);
        s.boot = Some(BootPhase::Hello);
        assert!(
            matches!(decide(s), Verdict::Failed(e, _) if matches!(e.kind(), ErrorKind::DiedInBoot { .. }))
        );
    }

    #[test]
    fn a_quiet_exit_is_a_death_also_with_status_zero() {
        let v = decide(seen(None, WireStatus::Exited(0), Stopped::No, Told::Nothing));
        assert!(matches!(v, Verdict::Failed(_, Ending::Died)));
    }

    #[test]
    fn a_value_counts_although_the_process_had_to_be_killed_after_it() {
        let last = Some(Final::Returned(vec![1]));
        assert!(matches!(decide(seen(last, KILLED, Stopped::No, Told::Kill)), Verdict::Returned(_)));
    }

    #[test]
    fn a_stop_from_outside_is_named_however_it_ended_unless_it_had_something_to_say() {
        let stood_still =
            |last, status| decide(seen(last, status, Stopped::StoodStill(Signal::STOP), Told::Kill));
        for (last, status) in [
            (Some(Final::Acknowledged), WireStatus::Exited(0)),
            (None, KILLED),
            (None, WireStatus::Exited(0)),
        ] {
            let v = stood_still(last, status);
            let stopped = ErrorKind::Stopped { pid: 7, signal: 19 };
            assert!(matches!(v, Verdict::Failed(e, Ending::Died) if *e.kind() == stopped));
        }
        let v = stood_still(Some(Final::Returned(vec![1])), WireStatus::Exited(0));
        assert!(matches!(v, Verdict::Returned(_)));
        let v = stood_still(Some(Final::Failed(Error::msg("mine"))), WireStatus::Exited(0));
        assert!(matches!(v, Verdict::Failed(e, _) if e.message() == "mine"));
    }

    #[test]
    fn what_does_not_die_is_reported_and_not_waited_for() {
        let s = Seen { status: None, ..seen(None, KILLED, Stopped::Cancelled(cause()), Told::Kill) };
        assert!(
            matches!(decide(s), Verdict::Failed(e, _) if matches!(e.kind(), ErrorKind::Unkillable { pid: 7 }))
        );
    }

    #[test]
    fn a_death_before_ready_names_the_phase_and_keeps_the_last_words() {
        let words = LastWords { phase: 3, errno: 24, text: b"dup3".to_vec() };
        let mut s = seen(None, WireStatus::Exited(67), Stopped::No, Told::Nothing);
        (s.boot, s.last_words) = (Some(BootPhase::Hello), Some(words.clone()));
        let Verdict::Failed(e, _) = decide(s) else { panic!("it failed") };
        assert!(
            matches!(e.kind(), ErrorKind::DiedInBoot { phase: BootPhase::Hello, last_words: Some(w), .. } if *w == words)
        );
    }
}
