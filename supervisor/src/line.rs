//! The line to a child: its channel, and the calls that are under way on it.
//!
//! ```text
//!   portal.rs ─ open ─► Calls: Asked ─ Call ─► child            watch.rs ─ CallReturned │ CallFailed │ CallCancelled ─► answer
//!                          ├─ answered ─► Answered ─ taken ─► gone
//!                          ├─ dropped ─► GivenUp ─ answered ─► gone; the answer is dropped, and counted
//!                          └─ the child ends: every one that is Asked stays unanswered, and its caller is told
//!   portal.rs ─ CallCancel ─► room? ─► child
//!                              └─ no ─► unsaid ─ watch.rs, when the child has read some ─► child
//! ```
//!
//! Rules:
//! * Numbers of dialogs are never used twice, so an answer finds the call it is for, or nobody.
//! * A call is open until the child has ended it, also when nobody waits for it any more: so both ends count the same.
//! * What has to be said is said, however late: a child that reads hears of every call that is not wanted any more.
//! * No waker is woken while the table is borrowed.

use crate::actor::{Ending, Status};
use crate::error::Error;
use crate::wire;
use pleach_executor::sync::Event as Flag;
use pleach_ipc::proto::{EncodeError, Limits, Message, Why, WireCause};
use pleach_ipc::{Channel, ChannelError};
use std::cell::{Cell, RefCell};
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::task::Waker;
use std::time::Duration;

/// How an actor has ended, as its parent saw it. What it failed with is its nursery's.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Death {
    /// How the actor ended.
    pub ending: Ending,
    /// How its process did; unknown if it could not be waited for.
    pub status: Status,
}

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
    /// Nobody waits for the answer, and the child owes it.
    GivenUp,
}

pub(crate) struct Line {
    pub(crate) channel: Channel,
    /// What it may carry once the boot is done.
    pub(crate) limits: Limits,
    /// How long the actor may take to stop what it does.
    pub(crate) cancel_limit: Duration,
    next: Cell<u64>,
    calls: RefCell<BTreeMap<u64, Call>>,
    /// What the child did not read fast enough to be told.
    unsaid: RefCell<VecDeque<Message>>,
    /// Answers that nobody waited for any more.
    late: Cell<u64>,
    /// The actor is over: no answer comes any more.
    pub(crate) ended: Flag,
    /// How, if anybody has seen it.
    death: RefCell<Option<Death>>,
}

impl Line {
    pub(crate) fn new(channel: Channel, limits: Limits, cancel_limit: Duration) -> Rc<Self> {
        Rc::new(Line {
            channel,
            limits,
            cancel_limit,
            next: Cell::new(1),
            calls: RefCell::default(),
            unsaid: RefCell::default(),
            late: Cell::new(0),
            ended: Flag::new(),
            death: RefCell::default(),
        })
    }

    /// Its process is reaped. Who waits hears of it when the actor's task has ended as well.
    pub(crate) fn died(&self, ending: Ending, status: Status) {
        *self.death.borrow_mut() = Some(Death { ending, status });
    }

    /// How it has ended. One whose watch was dropped is killed without anybody to see how that ends.
    pub(crate) fn death(&self) -> Death {
        let seen = self.death.borrow().clone();
        seen.unwrap_or_else(|| {
            let why = Why::Other("its nursery was dropped".to_owned());
            let ending = wire::ending_of(WireCause { by: String::new(), why });
            Death { ending, status: Status::Unknown }
        })
    }

    /// How many calls the child has not ended.
    pub(crate) fn open_calls(&self) -> usize {
        let calls = self.calls.borrow();
        match self.ended.is_set() {
            true => calls.values().filter(|call| !matches!(call, Call::GivenUp)).count(),
            false => calls.len(),
        }
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

    /// It was never asked for.
    pub(crate) fn forget(&self, dialog: u64) {
        self.calls.borrow_mut().remove(&dialog);
    }

    /// The dialog is over for its caller, answered or not. True if no answer has come.
    pub(crate) fn close(&self, dialog: u64) -> bool {
        let call = self.calls.borrow_mut().remove(&dialog);
        let owed = matches!(call, Some(Call::Asked(_)));
        if owed {
            self.calls.borrow_mut().insert(dialog, Call::GivenUp);
        }
        owed
    }

    /// Says a control message now, or as soon as the child has read enough of what was said before.
    pub(crate) fn say(&self, message: Message) {
        self.unsaid.borrow_mut().push_back(message);
        self.say_the_unsaid();
    }

    /// The child may have read some.
    pub(crate) fn say_the_unsaid(&self) {
        loop {
            // Sending wakes others, and one of them may have something to say.
            let Some(message) = self.unsaid.borrow_mut().pop_front() else { return };
            if !self.is_said(&message) {
                return self.unsaid.borrow_mut().push_front(message);
            }
        }
    }

    /// False if there is no room for it. Half of the room that only control has stays free for the cancel of the actor.
    fn is_said(&self, message: &Message) -> bool {
        let most = self.limits.in_flight.as_usize() + Limits::CONTROL_RESERVE.as_usize() / 2;
        self.channel.unsent() <= most
            && match self.channel.try_send_now(message) {
                Err(ChannelError::Encode(EncodeError::Full { .. })) => false,
                // Refused otherwise: the actor is ending, and with it all that it does.
                Ok(_) | Err(_) => true,
            }
    }

    /// An answer has come.
    pub(crate) fn answer(&self, dialog: u64, answer: Answer) -> Fate {
        let mut calls = self.calls.borrow_mut();
        let Entry::Occupied(mut call) = calls.entry(dialog) else { return Fate::Unasked };
        match call.get_mut() {
            Call::Answered(_) => Fate::Unasked,
            Call::GivenUp => {
                call.remove();
                self.late.set(self.late.get() + 1);
                Fate::Late(answer)
            }
            Call::Asked(waker) => {
                let waker = waker.take();
                call.insert(Call::Answered(answer));
                drop(calls);
                if let Some(waker) = waker {
                    waker.wake();
                }
                Fate::Taken
            }
        }
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
            assert_eq!(line.open_calls(), 1, "the child has not ended it");
            assert!(
                matches!(line.answer(a, Answer::Returned(vec![])), Fate::Late(Answer::Returned(_))),
                "nobody's fault"
            );
            assert!(matches!(line.answer(9, Answer::Returned(vec![])), Fate::Unasked), "nobody ever asked");
            assert!(matches!(line.answer(a, Answer::Cancelled), Fate::Unasked), "answered twice");
            assert_eq!((line.open_calls(), line.late_answers()), (0, 1));
        });
    }
}
