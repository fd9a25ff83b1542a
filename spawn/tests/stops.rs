//! A child that is stopped is heard of by the event, by everybody who waits, and a death is not mistaken for it.

mod support;

use pleach_executor::sync::Event;
use pleach_executor::{CancelScope, Cancelled, checkpoint, nursery, run, stats};
use pleach_spawn::{Forked, Pid, Plan, Process, Signal, Signals, Stops, fork, signal_state};
use std::cell::Cell;
use std::io;
use std::pin::pin;
use std::process::{Command, ExitCode};
use std::rc::Rc;
use support::{count, end, output_of, program_after, stand_still, starts_waiting};

fn main() -> ExitCode {
    support::main(cases![
        everybody_who_waits_hears_of_a_stop,
        a_death_is_no_stop,
        the_lead_passes_on_when_its_holder_is_cancelled,
        a_stop_is_not_lost_with_a_leader_that_heard_the_bell,
        a_child_that_stops_while_nobody_waits_is_heard_of_later,
        who_was_stopped_itself_gives_the_others_a_moment,
        one_listens_at_a_time_and_the_old_actions_come_back,
        signals_and_stops_can_come_and_go_in_any_order,
        a_forked_child_forgets_the_inherited_one,
        where_sigchld_is_ignored_nothing_is_changed,
        _sigchld_is_ignored,
    ])
}

async fn sleeper() -> Process {
    let Forked { process, .. } = fork(Plan::new("sleeper"), (), |_, _| stand_still()).await.expect("fork");
    process
}

fn caught(signal: Signal) -> bool {
    signal_state().expect("/proc").caught & (1 << (signal.as_raw() - 1)) != 0
}

fn everybody_who_waits_hears_of_a_stop() {
    let r: Result<(), Cancelled> = run(async {
        let stops = Stops::listen().expect("stops");
        let children = [sleeper().await, sleeper().await, sleeper().await];
        for round in 0..count(20) {
            let heard = Cell::new(0);
            nursery(async |n| {
                for _ in 0..3 {
                    n.spawn(async {
                        assert_eq!(stops.since(round).await?, round + 1);
                        heard.set(heard.get() + 1);
                        Ok::<(), Cancelled>(())
                    });
                }
                checkpoint().await?;
                children[1].signal(Signal::STOP).expect("it lives");
                Ok(())
            })
            .await?;
            assert_eq!(heard.get(), 3);
            let by: Vec<Option<Signal>> = children.iter().map(Process::stopped_by).collect();
            assert_eq!(by, [None, Some(Signal::STOP), None]);
            children[1].signal(Signal::CONT).expect("it lives");
            assert_eq!(children[1].stopped_by(), None);
        }
        assert_eq!(stats().timers_fired, 0, "the event tells, and no timer");
        for child in children {
            end(child).await;
        }
        Ok(())
    });
    r.expect("nobody cancels");
}

fn a_death_is_no_stop() {
    let r: Result<(), Cancelled> = run(async {
        let stops = Stops::listen().expect("stops");
        let stopped = sleeper().await;
        let mut wait = pin!(stops.since(0));
        starts_waiting(wait.as_mut()).await;
        for _ in 0..count(20) {
            end(sleeper().await).await;
            checkpoint().await?;
            starts_waiting(wait.as_mut()).await;
        }
        stopped.signal(Signal::STOP).expect("it lives");
        assert_eq!(wait.await?, 1, "the deaths before did not count");
        end(stopped).await;
        Ok(())
    });
    r.expect("nobody cancels");
}

fn the_lead_passes_on_when_its_holder_is_cancelled() {
    let r: Result<(), Cancelled> = run(async {
        let stops = Stops::listen().expect("stops");
        let child = sleeper().await;
        for round in 0..count(20) {
            let (leader, follower) = (CancelScope::new(), Cell::new(None));
            let cancel = leader.handle();
            nursery(async |n| {
                n.spawn(async {
                    let led = leader.run(async |_| stops.since(round).await).await?;
                    assert_eq!(led, None, "cancelled");
                    Ok::<(), Cancelled>(())
                });
                checkpoint().await?;
                n.spawn(async {
                    follower.set(Some(stops.since(round).await?));
                    Ok(())
                });
                checkpoint().await?;
                cancel.cancel();
                child.signal(Signal::STOP).expect("it lives");
                Ok(())
            })
            .await?;
            assert_eq!(follower.get(), Some(round + 1));
            child.signal(Signal::CONT).expect("it lives");
        }
        end(child).await;
        Ok(())
    });
    r.expect("nobody cancels");
}

/// The leader is dropped at every turn after the child was stopped: before it heard the bell, when it was woken and not
/// polled, and after.
fn a_stop_is_not_lost_with_a_leader_that_heard_the_bell() {
    let r: Result<(), Cancelled> = run(async {
        let stops = Stops::listen().expect("stops");
        let child = sleeper().await;
        let mut seen = 0;
        for turns in 0..count(40) {
            let mut leader = Box::pin(stops.since(seen));
            starts_waiting(leader.as_mut()).await;
            child.signal(Signal::STOP).expect("it lives");
            for _ in 0..turns % 8 {
                checkpoint().await?;
            }
            drop(leader);
            seen = stops.since(seen).await?;
            assert_eq!(seen, turns + 1);
            child.signal(Signal::CONT).expect("it lives");
        }
        end(child).await;
        Ok(())
    });
    r.expect("nobody cancels");
}

fn a_child_that_stops_while_nobody_waits_is_heard_of_later() {
    let r: Result<(), Cancelled> = run(async {
        let stops = Stops::listen().expect("stops");
        let child = sleeper().await;
        child.signal(Signal::STOP).expect("it lives");
        while child.stopped_by().is_none() {
            checkpoint().await?;
        }
        assert_eq!(stops.since(0).await?, 1);
        end(child).await;
        Ok(())
    });
    r.expect("nobody cancels");
}

/// A group is stopped and continued as one; here the child is continued later than this process.
fn who_was_stopped_itself_gives_the_others_a_moment() {
    let r: Result<(), Cancelled> = run(async {
        let stops = Stops::listen().expect("stops");
        let child = sleeper().await;
        child.signal(Signal::STOP).expect("it lives");
        continue_myself();
        let mut wait = pin!(stops.since(0));
        while stats().timers == 0 {
            starts_waiting(wait.as_mut()).await;
            checkpoint().await?;
        }
        child.signal(Signal::CONT).expect("it lives");
        while stats().timers == 1 {
            starts_waiting(wait.as_mut()).await;
            checkpoint().await?;
        }
        starts_waiting(wait.as_mut()).await;
        // And who is not continued is found after the moment.
        let fired = stats().timers_fired;
        child.signal(Signal::STOP).expect("it lives");
        continue_myself();
        assert_eq!((wait.await?, stats().timers_fired - fired), (1, 1));
        end(child).await;
        Ok(())
    });
    r.expect("nobody cancels");
}

fn continue_myself() {
    let line = format!("kill -CONT {}", Pid::this());
    assert!(Command::new("sh").args(["-c", &line]).status().expect("sh").success());
}

fn one_listens_at_a_time_and_the_old_actions_come_back() {
    run(async {
        let before = signal_state().expect("/proc");
        let stops = Stops::listen().expect("stops");
        assert!(caught(Signal::CHLD) && caught(Signal::CONT));
        let refused = Stops::listen().expect_err("one is there");
        assert_eq!(refused.kind(), io::ErrorKind::ResourceBusy, "{refused}");
        assert!(caught(Signal::CHLD), "the refused one has changed nothing");
        drop(stops);
        assert_eq!(signal_state().expect("/proc"), before);
        drop(Stops::listen().expect("the first is gone"));
        assert_eq!(signal_state().expect("/proc"), before);
    });
}

fn signals_and_stops_can_come_and_go_in_any_order() {
    run(async {
        let before = signal_state().expect("/proc");
        let child = sleeper().await;
        let mut signals = Signals::listen(&[Signal::CHLD]).expect("signals");
        let stops = Stops::listen().expect("stops");
        child.signal(Signal::STOP).expect("it lives");
        assert_eq!(stops.since(0).await.expect("not cancelled"), 1);
        assert_eq!(signals.next().await.expect("not cancelled"), Signal::CHLD, "both are told");
        drop(signals);
        child.signal(Signal::CONT).expect("it lives");
        child.signal(Signal::STOP).expect("it lives");
        assert_eq!(stops.since(1).await.expect("not cancelled"), 2, "its handler has stayed");
        let signals = Signals::listen(&[Signal::CHLD]).expect("signals");
        drop(stops);
        assert!(caught(Signal::CHLD), "the other still listens");
        drop(signals);
        end(child).await;
        assert_eq!(signal_state().expect("/proc").caught, before.caught);
    });
}

fn a_forked_child_forgets_the_inherited_one() {
    let r: Result<(), Cancelled> = run(async {
        let stops = Rc::new(Stops::listen().expect("stops"));
        let inherited = Rc::clone(&stops);
        let entry = move |_, _| {
            let fresh = signal_state().expect("/proc");
            drop(inherited);
            assert_eq!(signal_state().expect("/proc"), fresh);
            run(async {
                let _own = Stops::listen().expect("the parent's does not count");
                assert!(caught(Signal::CHLD));
            });
            0
        };
        let forgetful = fork(Plan::new("forgetful"), (), entry).await.expect("fork").process;
        assert!(forgetful.wait().await?.success());
        let child = sleeper().await;
        let told = Event::new();
        nursery(async |n| {
            n.spawn(async {
                stops.since(0).await?;
                told.set();
                Ok::<(), Cancelled>(())
            });
            checkpoint().await?;
            child.signal(Signal::STOP).expect("it lives");
            told.wait().await
        })
        .await?;
        end(child).await;
        Ok(())
    });
    r.expect("nobody cancels");
}

fn where_sigchld_is_ignored_nothing_is_changed() {
    let said = output_of(program_after("exec env --ignore-signal=CHLD", "_sigchld_is_ignored"));
    assert_eq!(said, "resource busy\n");
}

fn _sigchld_is_ignored() {
    run(async {
        let before = signal_state().expect("/proc");
        let refused = Stops::listen().expect_err("SIGCHLD is ignored");
        assert_eq!(signal_state().expect("/proc"), before);
        println!("{}", refused.kind());
    });
}
