//! The line to a child: its channel, and the calls that are under way on it.
//!
//! ```text
//!   portal.rs ─ open ─► Calls: Asked ─ Call ─► child            watch.rs ─ CallReturned │ CallFailed │ CallCancelled ─► answer
//!                          ├─ answered ─► Answered ─ taken ─► gone
//!                          ├─ given up: gone; an answer that comes later is dropped, and counted
//!                          └─ the child ends: every one that is Asked stays unanswered, and its caller is told
//! ```
//!
//! Rules:
//! * Numbers of dialogs are never used twice, so an answer finds the call it is for, or nobody.
//! * No waker is woken while the table is borrowed.

use crate::error::Error;
use pleach_executor::sync::Event as Flag;
use pleach_ipc::Channel;
use pleach_ipc::proto::Limits;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::task::Waker;
use std::time::Duration;

/// How a dialog has ended.
#[derive(Debug)]
pub(crate) enum Answer {
    Returned(Vec<u8>),
    Failed(Error),
    /// As it was asked to.
    Cancelled,
}

/// What became of an answer.
#[derive(Debug)]
#[must_use = "an error in it may have nobody else to go to"]
pub(crate) enum Fate {
    /// It is its caller's.
    Taken,
    /// Nobody waits for it any more.
    Late(Answer),
    /// No call of that number was ever made, or it had been answered: the child's fault.
    Unasked,
}

/// One dialog, as the end that asks sees it.
#[derive(Debug)]
enum Call {
    Asked(Option<Waker>),
    Answered(Answer),
}

pub(crate) struct Line {
    pub(crate) channel: Channel,
    /// What it may carry once the boot is done.
    pub(crate) limits: Limits,
    /// How long the actor may take to stop what it does.
    pub(crate) cancel_limit: Duration,
    next: Cell<u64>,
    calls: RefCell<BTreeMap<u64, Call>>,
    /// Answers that nobody waited for any more.
    late: Cell<u64>,
    /// The actor is over: no answer comes any more.
    pub(crate) ended: Flag,
}

impl Line {
    pub(crate) fn new(channel: Channel, limits: Limits, cancel_limit: Duration) -> Rc<Self> {
        Rc::new(Line {
            channel,
            limits,
            cancel_limit,
            next: Cell::new(1),
            calls: RefCell::default(),
            late: Cell::new(0),
            ended: Flag::new(),
        })
    }

    /// How many calls are under way.
    pub(crate) fn open_calls(&self) -> usize {
        self.calls.borrow().len()
    }

    /// How many answers came too late.
    pub(crate) fn late_answers(&self) -> u64 {
        self.late.get()
    }

    /// A new dialog.
    pub(crate) fn open(&self) -> u64 {
        let dialog = self.next.replace(self.next.get() + 1);
        self.calls.borrow_mut().insert(dialog, Call::Asked(None));
        dialog
    }

    /// The dialog is over for its caller, answered or not. True if no answer had come.
    pub(crate) fn close(&self, dialog: u64) -> bool {
        let call = self.calls.borrow_mut().remove(&dialog);
        matches!(call, Some(Call::Asked(_)))
    }

    /// An answer has come.
    pub(crate) fn answer(&self, dialog: u64, answer: Answer) -> Fate {
        let waker = match self.calls.borrow_mut().get_mut(&dialog) {
            Some(call @ Call::Asked(_)) => match std::mem::replace(call, Call::Answered(answer)) {
                Call::Asked(waker) => waker,
                Call::Answered(_) => unreachable!("matched as asked"),
            },
            Some(Call::Answered(_)) => return Fate::Unasked,
            None => {
                self.late.set(self.late.get() + 1);
                return if dialog < self.next.get() { Fate::Late(answer) } else { Fate::Unasked };
            }
        };
        if let Some(waker) = waker {
            waker.wake();
        }
        Fate::Taken
    }

    /// Takes the answer, or leaves the waker for it.
    pub(crate) fn take_answer(&self, dialog: u64, waker: &Waker) -> Option<Answer> {
        let mut calls = self.calls.borrow_mut();
        let call = calls.get_mut(&dialog)?;
        if let Call::Asked(waiting) = call {
            let before = waiting.replace(waker.clone());
            drop(calls);
            // A foreign waker's destructor is foreign code.
            drop(before);
            return None;
        }
        match calls.remove(&dialog) {
            Some(Call::Answered(answer)) => Some(answer),
            _ => unreachable!("looked at just now"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Answer, Fate, Line};
    use pleach_executor::run;
    use pleach_ipc::Channel;
    use pleach_ipc::proto::Limits;
    use std::task::Waker;
    use std::time::Duration;

    #[test]
    fn an_answer_finds_its_call_or_nobody() {
        run(async {
            let (channel, _peer) = Channel::pair().expect("a socketpair");
            let line = Line::new(channel, Limits::default(), Duration::ZERO);
            let (a, b) = (line.open(), line.open());
            assert!(line.take_answer(a, Waker::noop()).is_none());
            assert!(matches!(line.answer(b, Answer::Cancelled), Fate::Taken));
            assert!(matches!(line.answer(b, Answer::Cancelled), Fate::Unasked), "answered twice");
            assert!(matches!(line.take_answer(b, Waker::noop()), Some(Answer::Cancelled)));
            assert!(line.close(a), "given up before an answer came");
            assert!(
                matches!(line.answer(a, Answer::Returned(vec![])), Fate::Late(Answer::Returned(_))),
                "nobody's fault"
            );
            assert!(matches!(line.answer(9, Answer::Returned(vec![])), Fate::Unasked), "nobody ever asked");
            assert_eq!((line.open_calls(), line.late_answers()), (0, 2));
        });
    }
}
