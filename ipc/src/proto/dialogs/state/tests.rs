//! Each transition of a dialog, from each state in which it may and may not happen.

use super::{Ask, Dialog, EndedBy, Half, Heard, Loss, Role, State};
use crate::proto::dialogs::ops::{Class, How, Mode, Refusal};
use crate::proto::message::{Why, WireCause};

fn cause() -> WireCause {
    WireCause { by: String::new(), why: Why::Requested }
}

fn opener(mode: Mode) -> Dialog {
    Dialog::open(Role::Opener, mode)
}

/// A callee that has had its argument.
fn callee(mode: Mode) -> Dialog {
    let mut dialog = Dialog::open(Role::Callee, mode);
    assert_eq!(dialog.hear(Class::Args), Ok(true));
    assert_eq!(dialog.hear_whole(Class::Args), None);
    dialog
}

/// One of each state, at this end.
fn every(role: Role) -> Vec<Dialog> {
    let new = |mode| if role == Role::Opener { opener(mode) } else { callee(mode) };
    let mut ended = new(Mode::Call);
    ended.lose(&Loss::Closed).unwrap();
    let mut all = vec![new(Mode::Context), new(Mode::Call), ended];
    if role == Role::Callee {
        let mut ending = new(Mode::Call);
        assert!(ending.decide(EndedBy::Returned));
        all.push(ending);
    }
    all
}

#[test]
fn a_call_begins_running_and_a_context_opening() {
    for role in [Role::Opener, Role::Callee] {
        assert_eq!(Dialog::open(role, Mode::Call).state, State::Running);
        assert_eq!(Dialog::open(role, Mode::Context).state, State::Opening);
    }
    assert_eq!((opener(Mode::Context).says, opener(Mode::Context).hears), (Half::Open, Half::First));
    let callee = Dialog::open(Role::Callee, Mode::Context);
    assert_eq!((callee.says, callee.hears), (Half::First, Half::First));
}

#[test]
fn started_takes_both_ends_from_opening_to_running() {
    let (mut here, mut there) = (opener(Mode::Context), callee(Mode::Context));
    assert!(there.say_started());
    assert_eq!(here.hear(Class::Started), Ok(true));
    assert_eq!(here.state, State::Opening, "until all of it is here");
    assert_eq!(here.hear_whole(Class::Started), None);
    assert_eq!((here.state, there.state), (State::Running, State::Running));
    // Over: no.
    let mut over = callee(Mode::Context);
    over.lose(&Loss::Closed).unwrap();
    assert!(!over.say_started());
}

#[test]
fn an_opener_hears_what_its_state_permits() {
    let heard = |mut dialog: Dialog, stopped: bool| {
        if stopped {
            assert_eq!(dialog.hear_stop(How::Done, None), Ok(true));
        }
        [Class::Args, Class::Started, Class::Item, Class::Return, Class::Failed]
            .map(|class| dialog.hear(class).is_ok())
    };
    assert_eq!(heard(opener(Mode::Context), false), [false, true, false, false, true]);
    assert_eq!(heard(opener(Mode::Call), false), [false, false, true, true, true]);
    assert_eq!(heard(opener(Mode::Call), true), [false, false, false, true, true]);
    let mut ended = opener(Mode::Call);
    assert_eq!(ended.hear_whole(Class::Return), Some(EndedBy::Returned));
    assert_eq!(heard(ended, false), [false; 5]);
}

#[test]
fn a_callee_hears_what_its_state_permits() {
    let heard = |dialog: &Dialog| {
        [Class::Args, Class::Started, Class::Item, Class::Return, Class::Failed]
            .map(|class| dialog.hear(class).ok())
    };
    let new = Dialog::open(Role::Callee, Mode::Call);
    assert_eq!(heard(&new), [Some(true), None, None, None, None]);
    let mut running = callee(Mode::Call);
    assert_eq!(heard(&running), [None, None, Some(true), None, None]);
    assert!(running.decide(EndedBy::Failed));
    assert_eq!(heard(&running), [Some(false); 5], "it crossed the last word");
}

#[test]
fn the_end_is_decided_once_and_leaves_once() {
    let mut there = callee(Mode::Call);
    assert_eq!(there.left(), None);
    assert!(there.decide(EndedBy::Returned));
    assert!(!there.decide(EndedBy::Failed));
    assert!(!there.may_send() && there.is_over() && !there.is_settled());
    assert_eq!(there.left(), Some(EndedBy::Returned));
    assert_eq!(there.left(), None);
    assert!(there.is_settled());
}

#[test]
#[should_panic(expected = "say `started` before returning")]
fn a_context_that_returns_without_started_is_a_bug() {
    callee(Mode::Context).decide(EndedBy::Returned);
}

#[test]
fn a_context_may_fail_or_be_cancelled_without_started() {
    for by in [EndedBy::Failed, EndedBy::Stopped { cause: cause() }, EndedBy::Refused(Refusal::Busy)] {
        let (mut here, mut there) = (opener(Mode::Context), callee(Mode::Context));
        assert!(there.decide(by.clone()));
        if by == EndedBy::Failed {
            assert_eq!(here.hear_whole(Class::Failed), Some(by.clone()));
        } else {
            assert_eq!(here.hear_end(by.clone()), Ok(by.clone()));
        }
        assert_eq!((there.left(), here.state), (Some(by.clone()), State::Ended(by)));
    }
}

#[test]
fn a_request_is_one_for_a_dialog_and_settles_with_its_answer() {
    let mut here = opener(Mode::Call);
    assert_eq!((here.ask(5), here.ask(6)), (Some(5), Some(5)));
    assert!(!here.may_send(), "whoever asks for the end has nothing more to say");
    assert!(here.hear_ack(6).is_err());
    assert!(here.hear_end(EndedBy::Cancelled { request: 6 }).is_err(), "that was not asked");
    assert_eq!(here.hear_end(EndedBy::Cancelled { request: 5 }), Ok(EndedBy::Cancelled { request: 5 }));
    assert!(!here.is_settled(), "until it is answered");
    assert_eq!(here.hear_ack(5), Ok(()));
    assert!(here.hear_ack(5).is_err(), "once");
    assert!(here.is_settled());
    assert_eq!(here.ask(7), None);
}

#[test]
fn an_answer_may_come_before_the_end() {
    let mut here = opener(Mode::Call);
    here.ask(5).unwrap();
    here.hear_ack(5).unwrap();
    assert!(!here.is_settled());
    assert_eq!((here.ask, here.ask(9)), (Ask::Answered(5), Some(5)));
    assert!(here.hear_end(EndedBy::Cancelled { request: 5 }).is_ok());
}

#[test]
fn a_callee_tells_its_first_request_and_answers_each_once() {
    let mut there = callee(Mode::Call);
    assert_eq!(there.cancelled_by(cause()), EndedBy::Stopped { cause: cause() });
    assert_eq!(there.hear_cancel(3), Ok(Heard::First));
    assert_eq!(there.hear_cancel(3), Ok(Heard::Again));
    assert_eq!(there.hear_cancel(4), Ok(Heard::Another));
    assert_eq!(there.cancelled_by(cause()), EndedBy::Cancelled { request: 3 });
    assert!(there.decide(EndedBy::Cancelled { request: 3 }));
    assert_eq!(there.answers(), [3, 4]);
    assert_eq!(there.answers(), [0_u64; 0]);
    assert_eq!(there.hear_cancel(5), Ok(Heard::Over));
}

#[test]
fn a_direction_stops_once_and_where_it_may() {
    // In the middle of a message only as an accident.
    for how in [How::Done, How::Error, How::Cancelled] {
        assert_eq!(callee(Mode::Call).hear_stop(how, Some(Class::Item)).is_ok(), how != How::Done);
        let mut new = Dialog::open(Role::Callee, Mode::Call);
        assert_eq!(new.hear_stop(how, None).is_ok(), how != How::Done, "before the argument");
        assert!(opener(Mode::Call).hear_stop(how, Some(Class::Return)).is_err(), "a last word is whole");
        assert!(opener(Mode::Context).hear_stop(how, None).is_err(), "before started");
    }
    let mut there = callee(Mode::Call);
    assert_eq!(there.hear_stop(How::Done, None), Ok(true));
    assert!(there.hear_stop(How::Done, None).is_err());
    assert!(there.say_stop() && !there.say_stop(), "the other direction by itself");
    assert!(there.decide(EndedBy::Returned));
    assert_eq!(there.hear_stop(How::Done, None), Ok(false), "it crossed the last word");
}

#[test]
fn a_lost_connection_ends_every_state_but_the_last() {
    for role in [Role::Opener, Role::Callee] {
        for mut dialog in every(role) {
            let was_ended = matches!(dialog.state, State::Ended(_));
            let lost = dialog.lose(&Loss::Broken);
            assert_eq!(lost, (!was_ended).then_some(EndedBy::Lost(Loss::Broken)));
            assert!(dialog.is_settled() && dialog.lose(&Loss::Broken).is_none());
        }
    }
    let mut asked = opener(Mode::Call);
    asked.ask(1).unwrap();
    asked.lose(&Loss::Closed).unwrap();
    assert!(asked.is_settled(), "nobody is there to answer");
}

#[test]
fn only_a_callee_ends_and_only_an_opener_asks() {
    assert!(callee(Mode::Call).hear_end(EndedBy::Failed).is_err());
    assert!(opener(Mode::Call).hear_cancel(1).is_err());
    let misuses: [fn() -> bool; 5] = [
        || opener(Mode::Call).decide(EndedBy::Failed),
        || callee(Mode::Call).ask(1).is_some(),
        || opener(Mode::Context).say_started(),
        || callee(Mode::Call).say_started(),
        || callee(Mode::Context).may_send(),
    ];
    for misuse in misuses {
        assert!(std::panic::catch_unwind(misuse).is_err());
    }
}
