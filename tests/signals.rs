//! Promise: a program that links the executor alone hears signals as values, leaves no trace of having listened, and is
//! cancelled by Ctrl-C in order.
//!
//! ```text
//!   raise ─► handler ─► Signals::receive │ the handler of before, once the stream is gone
//!   SIGINT ─► run_interruptible: everything is cancelled ─► Interrupted; a second one ends the process
//! ```
//!
//! Rules:
//! * Each case has a process of its own: signals are a process' matter. Where the process itself is to die, it is a program
//!   ([`play`]) that a case starts.
//! * A hang is the harness' to find; every other wait is for something that can be seen from outside.

use futures_util::future::join;
use futures_util::{FutureExt, StreamExt, TryStreamExt};
use nix::sys::signal::{self as os, SigSet};
use nix::unistd::Pid;
use pleach::Program;
use pleach_executor::signals::{
    OpenError, ReceiveError, Signal, Signals, Stopped, TryReceiveError, run_interruptible,
};
use pleach_executor::sync::Event;
use pleach_executor::testing::{run_virtual, wait_until_idle};
use pleach_executor::{
    CancelScope, Cancelled, In, Reason, check, checkpoint, low_level, move_on_after, nursery, run, shielded,
    sleep_forever, yield_now,
};
use pleach_spawn::{ExitStatus, Plan, fork, signal_state};
use std::future::{Future, poll_fn};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc;
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

pleach::test_main!(
    program = program;
    raises_of_one_kind_are_one_and_a_further_raise_is_one_more,
    after_the_stream_the_handler_of_before_is_back,
    an_opening_that_fails_half_way_puts_everything_back,
    a_signal_that_is_named_twice_counts_once,
    what_cannot_be_caught_is_refused_and_says_why,
    a_second_reader_is_busy,
    signals_that_come_before_every_read_alternate,
    what_nobody_received_does_what_it_would_have_done,
    every_stream_of_a_run_hears_a_signal,
    runs_of_two_threads_hear_the_same_signal,
    a_signal_that_comes_to_another_thread_reaches_the_loop,
    a_signal_that_was_blocked_is_heard,
    in_a_cancelled_scope_nothing_is_received,
    a_cancelled_wait_has_taken_no_signal,
    a_signal_that_is_there_wins_over_a_cancellation,
    a_wait_that_is_dropped_at_any_point_has_taken_no_signal,
    combined_with_others_a_stream_loses_no_signal_and_keeps_none,
    places_are_limited_and_come_back,
    a_handler_installed_over_ours_stays,
    opening_and_closing_under_fire_loses_no_last_signal,
    a_forked_child_hears_its_own_signals_and_rings_nobody,
    two_layers_refuse_what_the_other_has,
    a_stream_belongs_to_its_run,
    an_interrupt_cancels_main_in_its_nursery_and_all_children,
    children_of_an_interrupted_nursery_see_the_interrupt,
    what_fails_after_an_interrupt_comes_with_it,
    a_run_that_fails_by_itself_was_not_interrupted,
    a_value_wins_over_an_interrupt,
    an_interrupt_in_a_cancelled_scope_is_not_lost,
    a_wait_that_is_done_keeps_its_value_and_the_interrupt_comes_next,
    a_shield_holds_off_an_interrupt,
    an_interrupt_finds_a_run_on_another_thread,
    an_interrupt_after_main_has_its_ordinary_effect,
    whenever_main_ends_an_interrupt_is_either_its_own_or_the_programs,
    after_an_interruptible_run_everything_is_as_before,
    an_ignored_interrupt_stays_ignored,
    an_interrupted_program_can_leave_with_130,
    a_second_interrupt_ends_what_never_yields,
    a_second_interrupt_ends_what_is_shielded,
    of_an_interrupt_a_stream_of_the_programs_own_hears_too,
);

fn raise(signal: Signal) {
    os::raise(signal.as_raw().try_into().expect("a signal")).expect("it exists");
}

/// To the process, so that the kernel chooses the thread.
fn send_to_process(signal: Signal) {
    os::kill(Pid::this(), os::Signal::try_from(signal.as_raw()).expect("a signal")).expect("we are there");
}

fn block(signal: Signal) {
    let mut set = SigSet::empty();
    set.add(signal.as_raw().try_into().expect("a signal"));
    set.thread_block().expect("any signal of ours");
}

fn caught() -> u64 {
    signal_state().expect("/proc").caught
}

fn is_caught(signal: Signal) -> bool {
    caught() & signal.bit() != 0
}

/// A handler of the program's own, which says that it ran.
fn flag(signal: Signal) -> Arc<AtomicBool> {
    let flag = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(signal.as_raw(), Arc::clone(&flag)).expect("it may be caught");
    flag
}

async fn next(signals: &Signals) -> Signal {
    signals.receive().await.expect("nobody cancels").expect("the only reader")
}

/// Until the loop has seen what came, whatever is cancelled around this.
async fn settle() {
    shielded(async |_| wait_until_idle().await).await.expect("nothing inside is cancelled");
}

fn nothing(signals: &Signals) {
    assert_eq!(signals.try_receive(), Err(TryReceiveError::WouldBlock));
}

// ---- the stream

/// Case X58. Three raises are one signal, and a fourth is one more.
fn raises_of_one_kind_are_one_and_a_further_raise_is_one_more() {
    run_virtual(async {
        let signals = Signals::open(&[Signal::USR1]).unwrap();
        nothing(&signals);
        for _ in 0..3 {
            raise(Signal::USR1);
            wait_until_idle().await.unwrap();
        }
        assert_eq!(next(&signals).await, Signal::USR1);
        nothing(&signals);
        raise(Signal::USR1);
        assert_eq!(next(&signals).await, Signal::USR1);
        nothing(&signals);
    });
}

/// Case X59. The handler of before is silent while the stream is open, and back afterwards.
fn after_the_stream_the_handler_of_before_is_back() {
    let before = flag(Signal::USR1);
    run(async {
        let signals = Signals::open(&[Signal::USR1, Signal::USR2]).unwrap();
        assert!(is_caught(Signal::USR2));
        raise(Signal::USR1);
        assert_eq!(next(&signals).await, Signal::USR1);
        assert!(!before.load(SeqCst), "while it is open the signal has no other effect");
        drop(signals);
        assert!(!is_caught(Signal::USR2), "the default is back");
        raise(Signal::USR1);
        assert!(before.load(SeqCst));
    });
}

/// Case X59. Also if opening fails, at once or half-way.
fn an_opening_that_fails_half_way_puts_everything_back() {
    let before = flag(Signal::USR1);
    run(async {
        let caught_before = caught();
        let bad = Signal::from_raw(1000);
        let refused = Signals::open(&[Signal::USR1, bad]).unwrap_err();
        assert!(matches!(refused, OpenError::Invalid(signal) if signal == bad));
        // This one is refused by what happens to be, after the first has been changed.
        low_level::claim_signal(Signal::USR2).unwrap();
        let refused = Signals::open(&[Signal::USR1, Signal::HUP, Signal::USR2]).unwrap_err();
        assert!(matches!(refused, OpenError::Busy(Signal::USR2)));
        assert_eq!(caught(), caught_before);
        raise(Signal::USR1);
        assert!(before.load(SeqCst));
        low_level::disclaim_signal(Signal::USR2);
        assert!(Signals::open(&[Signal::USR1, Signal::USR2]).is_ok(), "nothing is held by what failed");
    });
}

/// Case X59. Also if a signal is named twice.
fn a_signal_that_is_named_twice_counts_once() {
    let before = flag(Signal::USR1);
    run(async {
        let signals = Signals::open(&[Signal::USR1, Signal::USR1]).unwrap();
        raise(Signal::USR1);
        assert_eq!(next(&signals).await, Signal::USR1);
        nothing(&signals);
        drop(signals);
        raise(Signal::USR1);
        assert!(before.load(SeqCst));
    });
}

fn what_cannot_be_caught_is_refused_and_says_why() {
    run(async {
        let refusal = |signal| Signals::open(&[Signal::TERM, signal]).unwrap_err();
        for signal in [Signal::KILL, Signal::STOP] {
            assert!(matches!(refusal(signal), OpenError::Uncatchable(s) if s == signal));
        }
        for signal in [Signal::SEGV, Signal::BUS, Signal::FPE, Signal::ILL, Signal::ABRT, Signal::SYS] {
            assert!(matches!(refusal(signal), OpenError::Fault(s) if s == signal));
        }
        for number in [i32::MIN, -1, 0, 32, 33, 65, i32::MAX] {
            assert!(
                matches!(refusal(Signal::from_raw(number)), OpenError::Invalid(s) if s.as_raw() == number)
            );
        }
        assert!(matches!(Signals::open(&[]), Err(OpenError::Empty)));
        assert!(refusal(Signal::KILL).to_string().contains("use SIGTERM"));
        assert_eq!(io::Error::from(refusal(Signal::KILL)).kind(), io::ErrorKind::InvalidInput);
        assert!(!is_caught(Signal::TERM));
    });
}

/// Case X61. Of two tasks that receive from one stream one is busy.
fn a_second_reader_is_busy() {
    run_virtual(async {
        let signals = &Signals::open(&[Signal::USR1]).unwrap();
        let received: Result<(), Cancelled> = nursery(async |n| {
            let first = n.task(async { signals.receive().await });
            wait_until_idle().await?;
            assert!(matches!(signals.receive().await?, Err(ReceiveError::Busy)));
            assert_eq!(signals.try_receive(), Err(TryReceiveError::Busy));
            raise(Signal::USR1);
            // It has come, and the first one has not been polled: it is still the first one's.
            assert!(matches!(signals.receive().await?, Err(ReceiveError::Busy)));
            assert!(matches!(first.await?, Ok(Signal::USR1)));
            Ok(())
        })
        .await;
        received.unwrap();
        raise(Signal::USR1);
        assert_eq!(next(signals).await, Signal::USR1, "whoever was refused has taken nothing");
    });
}

/// Case X62. Two signals that come before every read alternate.
fn signals_that_come_before_every_read_alternate() {
    run(async {
        let signals = Signals::open(&[Signal::USR1, Signal::USR2]).unwrap();
        let mut heard = Vec::new();
        for _ in 0..8 {
            raise(Signal::USR1);
            raise(Signal::USR2);
            heard.push(next(&signals).await);
        }
        let first = heard[0];
        let second = if first == Signal::USR1 { Signal::USR2 } else { Signal::USR1 };
        assert_eq!(heard, [first, second].repeat(4));
        assert_eq!(next(&signals).await, first, "the last round's");
        nothing(&signals);
    });
}

fn what_nobody_received_does_what_it_would_have_done() {
    let (one, two) = (flag(Signal::USR1), flag(Signal::USR2));
    run(async {
        let signals = Signals::open(&[Signal::USR1, Signal::USR2]).unwrap();
        let other = Signals::open(&[Signal::USR2]).unwrap();
        raise(Signal::USR1);
        raise(Signal::USR2);
        drop(signals);
        assert!(one.load(SeqCst), "nobody listens any more");
        assert!(!two.load(SeqCst), "somebody does");
        assert_eq!(next(&other).await, Signal::USR2);
        drop(other);
        assert!(!two.load(SeqCst), "it was received");
        // Taken out of the handler together with another one, and not handed out.
        one.store(false, SeqCst);
        let signals = Signals::open(&[Signal::USR1, Signal::USR2]).unwrap();
        raise(Signal::USR1);
        raise(Signal::USR2);
        let received = next(&signals).await;
        drop(signals);
        assert_eq!(one.load(SeqCst), received != Signal::USR1);
        assert_eq!(two.load(SeqCst), received != Signal::USR2);
    });
}

fn every_stream_of_a_run_hears_a_signal() {
    run(async {
        let all = [(); 3].map(|()| Signals::open(&[Signal::USR1]).unwrap());
        raise(Signal::USR1);
        for signals in &all {
            assert_eq!(next(signals).await, Signal::USR1);
        }
        let [first, second, third] = all;
        drop((first, third));
        raise(Signal::USR1);
        assert_eq!(next(&second).await, Signal::USR1, "one is enough to keep it");
    });
    assert!(!is_caught(Signal::USR1));
}

fn runs_of_two_threads_hear_the_same_signal() {
    let (says_open, opened) = mpsc::channel();
    let (says_heard, heard) = mpsc::channel();
    thread::scope(|threads| {
        let runs = [(); 2].map(|()| {
            let (says_open, says_heard) = (says_open.clone(), says_heard.clone());
            threads.spawn(move || {
                run(async {
                    let signals = Signals::open(&[Signal::USR1]).unwrap();
                    says_open.send(()).unwrap();
                    says_heard.send(next(&signals).await).unwrap();
                });
            })
        });
        (0..2).for_each(|_| opened.recv().unwrap());
        send_to_process(Signal::USR1);
        (0..2).for_each(|_| assert_eq!(heard.recv().unwrap(), Signal::USR1));
        // The harness looks for threads, and a scope does not wait until they are gone.
        runs.into_iter().for_each(|run| run.join().unwrap());
    });
    assert!(!is_caught(Signal::USR1));
}

fn a_signal_that_comes_to_another_thread_reaches_the_loop() {
    run(async {
        let signals = Signals::open(&[Signal::USR1]).unwrap();
        let (ends, end) = mpsc::channel::<()>();
        let other = thread::spawn(move || _ = end.recv());
        // So the other thread alone can be interrupted by it.
        block(Signal::USR1);
        let received: Result<Signal, Cancelled> = nursery(async |n| {
            let signal = n.task(async { Ok(next(&signals).await) });
            for _ in 0..3 {
                checkpoint().await?;
            }
            send_to_process(Signal::USR1);
            signal.await
        })
        .await;
        assert_eq!(received.unwrap(), Signal::USR1);
        drop(ends);
        other.join().unwrap();
    });
}

fn a_signal_that_was_blocked_is_heard() {
    block(Signal::USR1);
    run(async {
        let signals = Signals::open(&[Signal::USR1]).unwrap();
        raise(Signal::USR1);
        assert_eq!(next(&signals).await, Signal::USR1);
    });
}

fn in_a_cancelled_scope_nothing_is_received() {
    run(async {
        let signals = Signals::open(&[Signal::USR1]).unwrap();
        raise(Signal::USR1);
        let ended: Result<Option<()>, Cancelled> = CancelScope::new()
            .run(async |scope| {
                scope.cancel();
                signals.receive().await.map(|received| panic!("{received:?} in a cancelled scope"))
            })
            .await;
        assert!(matches!(ended, Ok(None)));
        assert_eq!(next(&signals).await, Signal::USR1, "not begun, not taken");
    });
}

fn a_cancelled_wait_has_taken_no_signal() {
    run_virtual(async {
        let signals = Signals::open(&[Signal::USR1]).unwrap();
        let ended: Result<Option<()>, Cancelled> = move_on_after(Duration::from_secs(1), async |_| {
            signals.receive().await.map(|received| panic!("{received:?}, and none has come"))
        })
        .await;
        assert!(matches!(ended, Ok(None)));
        raise(Signal::USR1);
        assert_eq!(next(&signals).await, Signal::USR1);
    });
}

fn a_signal_that_is_there_wins_over_a_cancellation() {
    run_virtual(async {
        let signals = &Signals::open(&[Signal::USR1]).unwrap();
        let scope = CancelScope::new();
        let handle = scope.handle();
        let received: Result<Option<()>, Cancelled> = nursery(async |n| {
            let waits = n.task(async move {
                scope
                    .run(async |_| Ok::<_, Cancelled>(signals.receive().await?.expect("the only reader")))
                    .await
            });
            wait_until_idle().await?;
            raise(Signal::USR1);
            // The loop looks outside: the reader is woken. It is cancelled before it is polled, or after.
            handle.cancel();
            match waits.await? {
                Some(signal) => assert_eq!(signal, Signal::USR1),
                None => assert_eq!(next(signals).await, Signal::USR1),
            }
            nothing(signals);
            Ok(Some(()))
        })
        .await;
        assert!(matches!(received, Ok(Some(()))));
    });
}

fn a_wait_that_is_dropped_at_any_point_has_taken_no_signal() {
    run(async {
        let signals = Signals::open(&[Signal::USR1]).unwrap();
        for polls in 0..3 {
            for raised_after in 0..=polls {
                let mut wait = Box::pin(signals.receive());
                let mut cx = Context::from_waker(Waker::noop());
                let mut received = false;
                for poll in 0..polls {
                    if poll == raised_after {
                        raise(Signal::USR1);
                    }
                    received = wait.as_mut().poll(&mut cx).is_ready();
                    if received {
                        break;
                    }
                    checkpoint().await.unwrap();
                }
                drop(wait);
                if !received && raised_after < polls {
                    assert_eq!(next(&signals).await, Signal::USR1);
                }
                nothing(&signals);
            }
        }
    });
}

/// As a `Stream` of combinators: one that is taken apart where it is gives its signals back with the rest.
fn combined_with_others_a_stream_loses_no_signal_and_keeps_none() {
    run_virtual(async {
        let mut signals = Signals::open(&[Signal::USR1, Signal::USR2]).unwrap().into_stream();
        for is_polled in [false, true] {
            let mut first = signals.next();
            assert!(poll_fn(|cx| Poll::Ready(first.poll_unpin(cx).is_pending())).await);
            raise(Signal::USR1);
            if is_polled {
                assert!(matches!(first.await, Some(Ok(Ok(Signal::USR1)))));
            }
            let whole = signals.into_inner();
            if !is_polled {
                assert_eq!(next(&whole).await, Signal::USR1);
            }
            nothing(&whole);
            signals = whole.into_stream();
        }
        let scope = CancelScope::new();
        let handle = scope.handle();
        let both = scope.run(async |_| signals.by_ref().take(2).try_collect::<Vec<_>>().await);
        let one_of_them = async {
            settle().await;
            raise(Signal::USR2);
            settle().await;
            handle.cancel();
        };
        let (heard, ()) = join(both, one_of_them).await;
        let heard: Result<_, Cancelled> = heard;
        assert!(heard.unwrap().is_none(), "one came, of two");
        raise(Signal::USR1);
        assert!(matches!(signals.next().await, Some(Ok(Ok(Signal::USR1)))));
        nothing(&signals.into_inner());
    });
}

fn places_are_limited_and_come_back() {
    run(async {
        for _ in 0..3 {
            let mut all = Vec::new();
            let refused = loop {
                match Signals::open(&[Signal::USR1]) {
                    Ok(signals) => all.push(signals),
                    Err(e) => break e,
                }
            };
            assert!(matches!(refused, OpenError::Full));
            assert_eq!(all.len(), 32);
            raise(Signal::USR1);
            for signals in &all {
                assert_eq!(signals.try_receive(), Ok(Signal::USR1));
            }
        }
    });
    assert!(!is_caught(Signal::USR1));
}

fn a_handler_installed_over_ours_stays() {
    run(async {
        let signals = Signals::open(&[Signal::USR1]).unwrap();
        let theirs = flag(Signal::USR1);
        drop(signals);
        raise(Signal::USR1);
        assert!(theirs.load(SeqCst));
        theirs.store(false, SeqCst);
        // And is what comes back after the next stream.
        let signals = Signals::open(&[Signal::USR1]).unwrap();
        raise(Signal::USR1);
        assert_eq!(next(&signals).await, Signal::USR1);
        assert!(!theirs.load(SeqCst));
        drop(signals);
        raise(Signal::USR1);
        assert!(theirs.load(SeqCst));
    });
}

fn opening_and_closing_under_fire_loses_no_last_signal() {
    let before = flag(Signal::USR1);
    let stop = AtomicBool::new(false);
    let sent = AtomicUsize::new(0);
    thread::scope(|threads| {
        let fires = threads.spawn(|| {
            while !stop.load(SeqCst) {
                send_to_process(Signal::USR1);
                sent.fetch_add(1, SeqCst);
            }
        });
        run(async {
            let mut rounds = 0;
            while rounds < 300 || sent.load(SeqCst) < 1000 {
                rounds += 1;
                let kept = Signals::open(&[Signal::USR1]).unwrap();
                let short = Signals::open(&[Signal::USR1]).unwrap();
                next(&kept).await;
                drop(short);
                // What was in flight when its sibling went has to find this one.
                next(&kept).await;
            }
            stop.store(true, SeqCst);
        });
        fires.join().unwrap();
    });
    before.store(false, SeqCst);
    raise(Signal::USR1);
    assert!(before.load(SeqCst), "the handler of before is back after all that");
}

fn a_forked_child_hears_its_own_signals_and_rings_nobody() {
    let ended = run(async {
        let signals = Signals::open(&[Signal::USR1]).unwrap();
        let inherited = Signals::open(&[Signal::USR1]).unwrap();
        let child = fork(Plan::new("child"), (), move |_, _| {
            drop(inherited);
            run(async {
                let none_is_held = !is_caught(Signal::USR1);
                let own = Signals::open(&[Signal::USR1]).unwrap();
                raise(Signal::USR1);
                let heard = next(&own).await == Signal::USR1;
                i32::from(!(none_is_held && heard))
            })
        })
        .await
        .unwrap()
        .process;
        let ended = child.wait().await.unwrap();
        nothing(&signals);
        raise(Signal::USR1);
        assert_eq!(next(&signals).await, Signal::USR1);
        ended
    });
    assert_eq!(ended, ExitStatus::Exited(0));
}

fn two_layers_refuse_what_the_other_has() {
    run(async {
        let ours = Signals::open(&[Signal::INT]).unwrap();
        let theirs = pleach_spawn::Signals::listen(&[Signal::USR1, Signal::INT]).unwrap_err();
        assert_eq!(theirs.kind(), io::ErrorKind::ResourceBusy);
        drop(ours);
        let theirs = pleach_spawn::Signals::listen(&[Signal::USR1, Signal::INT]).unwrap();
        assert!(matches!(Signals::open(&[Signal::INT]), Err(OpenError::Busy(Signal::INT))));
        drop(theirs);
        assert!(Signals::open(&[Signal::INT]).is_ok());
        let stops = pleach_spawn::Stops::listen().unwrap();
        assert!(matches!(Signals::open(&[Signal::CHLD]), Err(OpenError::Busy(Signal::CHLD))));
        drop(stops);
        assert!(Signals::open(&[Signal::CHLD, Signal::CONT]).is_ok());
    });
    let refused: Result<(), _> = run(async {
        let _theirs = pleach_spawn::Signals::listen(&[Signal::INT]).unwrap();
        thread::spawn(|| run_interruptible::<(), Cancelled>(async { Ok(()) })).join().unwrap()
    });
    assert!(matches!(refused, Err(Stopped::Refused(OpenError::Busy(Signal::INT)))));
}

fn a_stream_belongs_to_its_run() {
    let signals = run(async { Signals::open(&[Signal::USR1]).unwrap() });
    let other =
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run(async { _ = signals.receive().await })));
    assert!(other.is_err());
    drop(signals);
    assert!(!is_caught(Signal::USR1), "dropping it after its run is in order");
}

// ---- Ctrl-C

/// Case X52. Main joins a nursery: all its children are cancelled, and the run says that it was interrupted.
fn an_interrupt_cancels_main_in_its_nursery_and_all_children() {
    let ended = run_interruptible::<(), Cancelled>(async {
        nursery(async |n| {
            for _ in 0..3 {
                n.spawn(async { sleep_forever().await.map(drop) });
            }
            n.spawn(async {
                checkpoint().await?;
                raise(Signal::INT);
                Ok(())
            });
            Ok(())
        })
        .await
    });
    assert!(matches!(ended, Err(Stopped::Interrupted(None))), "{ended:?}");
}

/// Case X53. What children see while main joins their nursery is the interrupt, as the reason.
fn children_of_an_interrupted_nursery_see_the_interrupt() {
    let mut seen = [None, None];
    let [first, second] = seen.each_mut();
    let ended = run_interruptible::<(), Cancelled>(async {
        nursery(async |n| {
            for seen in [first, second] {
                n.spawn(async move {
                    let c = sleep_forever().await.unwrap_err();
                    *seen = Some(c.reason().clone());
                    Err(c)
                });
            }
            wait_until_idle().await?;
            raise(Signal::INT);
            Ok(())
        })
        .await
    });
    assert!(matches!(seen, [Some(Reason::Interrupt), Some(Reason::Interrupt)]), "{seen:?}");
    assert!(matches!(ended, Err(Stopped::Interrupted(None))), "{ended:?}");
}

/// Case S130.
fn what_fails_after_an_interrupt_comes_with_it() {
    let ended = run_interruptible::<(), io::Error>(async {
        raise(Signal::INT);
        let c = sleep_forever().await.unwrap_err();
        assert_eq!(c.to_string(), "cancelled: interrupted by Ctrl-C");
        low_level::absorb(c);
        Err(io::Error::other("the disk is full"))
    });
    let Err(Stopped::Interrupted(Some(e))) = ended else { panic!("{ended:?}") };
    assert_eq!(e.to_string(), "the disk is full");
}

fn a_run_that_fails_by_itself_was_not_interrupted() {
    let ended = run_interruptible::<(), io::Error>(async { Err(io::Error::other("by itself")) });
    assert!(matches!(ended, Err(Stopped::Failed(e)) if e.to_string() == "by itself"));
    let ended = run_interruptible::<(), Cancelled>(async {
        In::<Cancelled>::nursery(async |n| {
            n.cancel();
            check()
        })
        .await
    });
    assert!(ended.is_ok());
}

fn a_value_wins_over_an_interrupt() {
    let ended = run_interruptible::<u32, Cancelled>(async {
        raise(Signal::INT);
        low_level::absorb(sleep_forever().await.unwrap_err());
        Ok(7)
    });
    assert!(matches!(ended, Ok(7)));
}

/// Case X55. In a cancelled scope the reason stays that scope's; outside of it the interrupt is seen.
fn an_interrupt_in_a_cancelled_scope_is_not_lost() {
    let ended = run_interruptible::<(), Cancelled>(async {
        let inner: Result<Option<()>, Cancelled> = CancelScope::new()
            .run(async |scope| {
                scope.cancel();
                raise(Signal::INT);
                settle().await;
                for _ in 0..2 {
                    let c = checkpoint().await.unwrap_err();
                    assert!(matches!(c.reason(), Reason::Requested { .. }), "the first reason stays");
                    low_level::absorb(c);
                }
                Ok(())
            })
            .await;
        assert!(matches!(inner, Ok(Some(()))));
        let c = check().unwrap_err();
        assert!(matches!(c.reason(), Reason::Interrupt));
        Err(c)
    });
    assert!(matches!(ended, Err(Stopped::Interrupted(None))));
}

/// Case X56. A wait that is done gives its value, and the next checkpoint the interrupt.
fn a_wait_that_is_done_keeps_its_value_and_the_interrupt_comes_next() {
    let ended = run_interruptible::<(), Cancelled>(async {
        let done = &Event::new();
        nursery(async |n| {
            // Whatever the order, one of these is polled before the one between them, which is woken by the cancel as well.
            let sets = || async {
                let c = sleep_forever().await.unwrap_err();
                done.set();
                Err(c)
            };
            n.spawn(sets());
            let waits = n.task(async {
                done.wait().await.expect("what is there wins");
                check()
            });
            n.spawn(sets());
            wait_until_idle().await?;
            raise(Signal::INT);
            waits.await
        })
        .await
    });
    assert!(matches!(ended, Err(Stopped::Interrupted(None))), "{ended:?}");
}

fn a_shield_holds_off_an_interrupt() {
    let ended = run_interruptible::<(), Cancelled>(async {
        let cleaned = shielded(async |_| {
            raise(Signal::INT);
            settle().await;
            checkpoint().await?;
            Ok::<_, Cancelled>(true)
        })
        .await;
        assert!(matches!(cleaned, Ok(true)));
        check()
    });
    assert!(matches!(ended, Err(Stopped::Interrupted(None))));
}

fn an_interrupt_finds_a_run_on_another_thread() {
    let (says_ready, ready) = mpsc::channel();
    let runs = thread::spawn(move || {
        run_interruptible::<(), Cancelled>(async {
            says_ready.send(()).unwrap();
            sleep_forever().await?;
            Ok(())
        })
        .is_err_and(|stopped| matches!(stopped, Stopped::Interrupted(None)))
    });
    ready.recv().unwrap();
    // To this thread, which has no run.
    raise(Signal::INT);
    assert!(runs.join().unwrap());
}

fn an_interrupt_after_main_has_its_ordinary_effect() {
    let before = flag(Signal::INT);
    let ended = run_interruptible::<u32, Cancelled>(async {
        raise(Signal::INT);
        Ok(1)
    });
    assert!(matches!(ended, Ok(1)));
    assert!(before.load(SeqCst), "nobody was there to be cancelled");
}

fn whenever_main_ends_an_interrupt_is_either_its_own_or_the_programs() {
    let programs = flag(Signal::INT);
    let mut outcomes = [0, 0];
    for polls in 0..200 {
        let saw = run_interruptible::<bool, Cancelled>(async {
            wait_until_idle().await?;
            raise(Signal::INT);
            for _ in 0..polls {
                yield_now().await;
            }
            Ok(check().map_err(low_level::absorb).is_err())
        });
        let saw = saw.expect("a value wins");
        assert_ne!(saw, programs.swap(false, SeqCst), "it ended after {polls} polls");
        outcomes[usize::from(saw)] += 1;
    }
    assert!(outcomes.iter().all(|n| *n > 0), "both were to be seen: {outcomes:?}");
}

fn after_an_interruptible_run_everything_is_as_before() {
    let before = flag(Signal::INT);
    for _ in 0..3 {
        let ended = run_interruptible::<(), Cancelled>(async {
            raise(Signal::INT);
            sleep_forever().await?;
            Ok(())
        });
        assert!(matches!(ended, Err(Stopped::Interrupted(None))));
        assert!(!before.swap(false, SeqCst), "it was the run's");
        raise(Signal::INT);
        assert!(before.swap(false, SeqCst), "it is the program's again");
    }
}

fn of_an_interrupt_a_stream_of_the_programs_own_hears_too() {
    let ended = run_interruptible::<(), Cancelled>(async {
        let signals = Signals::open(&[Signal::INT]).unwrap();
        raise(Signal::INT);
        low_level::absorb(sleep_forever().await.unwrap_err());
        shielded(async |_| {
            assert_eq!(next(&signals).await, Signal::INT);
            // Whoever listens to the second one is not ended by it.
            raise(Signal::INT);
            assert_eq!(next(&signals).await, Signal::INT);
            Ok::<_, Cancelled>(())
        })
        .await?;
        check()
    });
    assert!(matches!(ended, Err(Stopped::Interrupted(None))));
}

// ---- programs of their own

const ROLE: &str = "PLEACH_SIGNALS_ROLE";

/// Runs before the harness: a process that was started with a role is that program.
fn program() -> Program {
    if let Ok(role) = std::env::var(ROLE) {
        play(&role);
    }
    Program::new("signals")
}

fn ready() {
    println!("ready");
    io::stdout().flush().unwrap();
}

fn play(role: &str) -> ! {
    let ended = run_interruptible::<(), Cancelled>(async {
        ready();
        match role {
            "leaves" => sleep_forever().await.map(drop),
            "never yields" => loop {
                std::hint::spin_loop();
            },
            "shielded" => shielded(async |_| sleep_forever().await.map(drop)).await,
            other => panic!("no such role: {other}"),
        }
    });
    match ended {
        Err(Stopped::Interrupted(None)) => std::process::exit(130),
        other => panic!("{other:?}"),
    }
}

struct Playing(Child);

fn start(role: &str) -> Playing {
    let mut command = Command::new(std::env::current_exe().unwrap());
    let mut child = command.env(ROLE, role).stdout(Stdio::piped()).spawn().unwrap();
    let said = child.stdout.take().unwrap();
    BufReader::new(said).read_line(&mut String::new()).unwrap();
    Playing(child)
}

impl Playing {
    fn interrupt(&self) {
        let pid = Pid::from_raw(self.0.id().try_into().unwrap());
        os::kill(pid, os::Signal::SIGINT).unwrap();
    }

    fn catches_interrupts(&self) -> bool {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0.id())).unwrap();
        let set = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
        u64::from_str_radix(set.trim(), 16).unwrap() & Signal::INT.bit() != 0
    }

    /// One that is taken, and then another.
    fn interrupted_twice(mut self) -> Option<i32> {
        assert!(self.catches_interrupts());
        self.interrupt();
        while self.catches_interrupts() {
            thread::yield_now();
        }
        assert!(self.0.try_wait().unwrap().is_none(), "the first one ends nothing");
        self.interrupt();
        self.0.wait().unwrap().signal()
    }
}

fn an_interrupted_program_can_leave_with_130() {
    let mut playing = start("leaves");
    playing.interrupt();
    assert_eq!(playing.0.wait().unwrap().code(), Some(130));
}

fn a_second_interrupt_ends_what_never_yields() {
    assert_eq!(start("never yields").interrupted_twice(), Some(Signal::INT.as_raw()));
}

fn a_second_interrupt_ends_what_is_shielded() {
    assert_eq!(start("shielded").interrupted_twice(), Some(Signal::INT.as_raw()));
}

fn an_ignored_interrupt_stays_ignored() {
    // A forked child of the layer above ignores it, as a shell's job in the background does.
    let ended = run(async {
        let child = fork(Plan::new("background"), (), |_, _| {
            let ignores = || signal_state().unwrap().ignored & Signal::INT.bit() != 0;
            let before = ignores();
            let ended = run_interruptible::<bool, Cancelled>(async {
                raise(Signal::INT);
                checkpoint().await?;
                Ok(ignores())
            });
            i32::from(!(before && matches!(ended, Ok(true))))
        });
        child.await.unwrap().process.wait().await.unwrap()
    });
    assert_eq!(ended, ExitStatus::Exited(0));
}
