//! The boot: the legal order leads to Running, nothing else does, and every refusal says whose fault it was.
//!
//! ```text
//!   random messages ─► ParentBoot │ ChildBoot ─► beside a model of three words: Hello, Spec, Ready
//! ```

mod support;

use pleach_ipc::proto::{
    Backend, BootPhase, Cancel, ChildBoot, ChildStep, Expected, FrameLen, HandshakeError, Hello, LastWords,
    Ledger, Message, PROTOCOL, ParentBoot, ParentStep, Why, WireCause,
};
use proptest::prelude::*;
use support::{hello, spec};

fn expected() -> Expected {
    Expected { backend: Backend::Fork, pid: Some(hello().pid), build: Some(hello().build) }
}

fn parent() -> ParentBoot {
    ParentBoot::new(expected(), spec())
}

fn cancel() -> Cancel {
    let cause = WireCause { by: "root".into(), why: Why::Requested };
    Cancel { request: 1, cause, deadline_ns: None, left_ns: 1 }
}

fn words() -> LastWords {
    LastWords { phase: 2, errno: 24, text: b"no descriptors".to_vec() }
}

#[test]
fn both_ends_come_up() {
    let mut parent = parent();
    assert_eq!(parent.phase(), Some(BootPhase::Hello));
    let (mut child, first) = ChildBoot::new(hello());
    assert_eq!(child.phase(), Some(BootPhase::Spec));
    let Ok(ParentStep::Greet(who, what)) = parent.handle(first) else { panic!() };
    assert_eq!((who, parent.phase()), (hello(), Some(BootPhase::Ready)));
    assert_eq!(child.handle(Message::Spec(what)), Ok(ChildStep::Prepare(spec())));
    assert_eq!(child.phase(), Some(BootPhase::Ready));
    let ready = child.ready().unwrap();
    assert_eq!(parent.handle(ready), Ok(ParentStep::Running));
    assert_eq!((parent.phase(), child.phase()), (None, None));
}

/// Case S242.
#[test]
fn a_stranger_is_refused_by_name() {
    let refused = |change: fn(&mut Hello)| {
        let mut hello = hello();
        change(&mut hello);
        let mut parent = parent();
        let e = parent.handle(Message::Hello(hello)).unwrap_err();
        // For good: even the right one is not heard any more.
        assert!(matches!(
            parent.handle(Message::Hello(support::hello())),
            Err(HandshakeError::Over { got: "Hello" })
        ));
        assert_eq!(parent.phase(), Some(BootPhase::Hello));
        e
    };
    assert_eq!(refused(|h| h.protocol = 9), HandshakeError::Version { ours: PROTOCOL, theirs: 9 });
    assert_eq!(refused(|h| h.build = 1), HandshakeError::Build { ours: 0xfeed, theirs: 1 });
    assert_eq!(refused(|h| h.pid = 1), HandshakeError::Pid { made: 4711, says: 1 });
    assert_eq!(
        refused(|h| h.backend = Backend::Exec),
        HandshakeError::Backend { made: Backend::Fork, says: Backend::Exec }
    );
}

#[test]
fn another_image_or_pid_is_fine_where_it_cannot_be_known() {
    let mut parent = ParentBoot::new(Expected { backend: Backend::Fork, pid: None, build: None }, spec());
    let other = Hello { build: 1, pid: 1, ..hello() };
    assert_eq!(parent.handle(Message::Hello(other.clone())), Ok(ParentStep::Greet(other, spec())));
}

#[test]
fn last_words_say_how_far_the_child_came() {
    let mut first = parent();
    let gave_up = first.handle(Message::LastWords(words())).unwrap_err();
    assert_eq!(gave_up, HandshakeError::GaveUp { phase: BootPhase::Hello, words: words() });
    assert!(gave_up.to_string().contains("no descriptors"), "{gave_up}");

    let mut second = parent();
    let _spec = second.handle(Message::Hello(hello())).unwrap();
    let gave_up = second.handle(Message::LastWords(words())).unwrap_err();
    assert_eq!(gave_up, HandshakeError::GaveUp { phase: BootPhase::Ready, words: words() });
}

#[test]
fn impossible_limits_are_the_parents_fault() {
    let (mut child, _) = ChildBoot::new(hello());
    let mut spec = spec();
    spec.limits.frame = FrameLen::new(1);
    let e = child.handle(Message::Spec(spec)).unwrap_err();
    assert!(matches!(e, HandshakeError::Limits(_)) && e.to_string().contains("`frame`"), "{e}");
    assert_eq!(child.ready(), Err(HandshakeError::NotPrepared));
}

#[test]
fn a_child_in_boot_hears_a_cancel() {
    let (mut child, _) = ChildBoot::new(hello());
    assert_eq!(child.handle(Message::Cancel(cancel())), Ok(ChildStep::Cancel(cancel())));
    let _spec = child.handle(Message::Spec(spec())).unwrap();
    assert_eq!(child.handle(Message::Cancel(cancel())), Ok(ChildStep::Cancel(cancel())));
    assert!(child.ready().is_ok());
}

fn any_order() -> impl Strategy<Value = Vec<Message>> {
    let one = prop_oneof![
        Just(Message::Hello(hello())),
        Just(Message::Spec(spec())),
        Just(Message::Ready),
        Just(Message::Cancel(cancel())),
        Just(Message::CancelAck { request: 1, ledger: Ledger::default() }),
        Just(Message::LastWords(words())),
        support::message(),
    ];
    proptest::collection::vec(one, 0..6)
}

proptest! {
    #[test]
    fn only_hello_then_ready_brings_a_parent_up(order in any_order()) {
        let mut boot = parent();
        let mut good = 0;
        let mut failed = false;
        for m in order {
            let legal = !failed && match good {
                0 => m == Message::Hello(hello()),
                1 => m == Message::Ready,
                _ => false,
            };
            prop_assert_eq!(boot.handle(m).is_ok(), legal);
            good += u32::from(legal);
            // A message after the boot does not belong to it: that, too, ends it.
            failed |= !legal;
            prop_assert_eq!(boot.phase().is_none(), good == 2 && !failed);
        }
    }

    #[test]
    fn only_spec_then_ready_brings_a_child_up(order in any_order(), ready_at in 0..6_usize) {
        let (mut boot, _) = ChildBoot::new(hello());
        let (mut prepared, mut up, mut failed) = (false, false, false);
        for (i, m) in order.into_iter().enumerate() {
            if i == ready_at {
                let legal = prepared && !up && !failed;
                prop_assert_eq!(boot.ready().is_ok(), legal);
                up |= legal;
                failed |= !legal;
            }
            let is_spec = matches!(&m, Message::Spec(s) if s.limits.checked().is_ok());
            let is_cancel = matches!(m, Message::Cancel(_));
            let legal = !failed && !up && (is_cancel || (is_spec && !prepared));
            prop_assert_eq!(boot.handle(m).is_ok(), legal);
            prepared |= legal && is_spec;
            failed |= !legal;
            prop_assert_eq!(boot.phase().is_none(), up && !failed);
        }
    }
}
