//! The life of a case process: take the ticket, look around, run the case, look around again, hand in the receipt.
//!
//! ```text
//!   main ─→ divert ─no ticket→ runner
//!              └─ticket→ Inventory ─→ body() ─→ Inventory ─→ receipt ─→ exit code
//!                                        └─a forked copy comes back─→ tells the runner, aborts
//! ```
//!
//! Rules:
//! * The case runs on the main thread, and there is no other.
//! * A panic or an error does not skip the second look: what was left behind may be its cause.
//! * A forked copy of this process that returns from the case must not go on as if it were the case.

use super::home::Ticket;
use super::inventory::{self, Inventory};
use super::{Case, FAILURE};
use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

/// Runs the case this process was started for, if it was started for one.
pub(super) fn divert(cases: &[Case]) -> Option<ExitCode> {
    let ticket = Ticket::take()?;
    let Some(case) = cases.iter().find(|c| c.name == ticket.case) else {
        eprintln!("error: this program has no case `{}`", ticket.case);
        return Some(ExitCode::from(FAILURE));
    };
    let reasons = live(&ticket, case).unwrap_or_else(|e| vec![format!("no inventory could be taken: {e}")]);
    if let Err(e) = ticket.hand_in(&reasons) {
        eprintln!("error: the receipt of case `{}` could not be written: {e}; {reasons:?}", case.name);
        return Some(ExitCode::from(FAILURE));
    }
    Some(if reasons.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(FAILURE) })
}

fn live(ticket: &Ticket, case: &Case) -> io::Result<Vec<String>> {
    let before = Inventory::take()?;
    // Nothing of ours is looked at by the case: a broken invariant after a panic is the case's own.
    let ending = catch_unwind(AssertUnwindSafe(case.body));
    if ticket.is_copy() {
        eprintln!("error: a forked copy of the process of case `{}` came back out of it", case.name);
        if let Err(e) = ticket.report_copy() {
            eprintln!("error: the runner could not be told: {e}");
        }
        std::process::abort();
    }
    let mut reasons = match ending {
        Ok(reason) => Vec::from_iter(reason),
        Err(payload) => {
            // Its destructor is the case's code and might panic again, with nobody left to catch it.
            std::mem::forget(payload);
            vec!["panicked".to_owned()]
        }
    };
    io::stdout().flush()?;
    reasons.extend(before.differences(&Inventory::take()?));
    reasons.extend(inventory::children());
    Ok(reasons)
}
