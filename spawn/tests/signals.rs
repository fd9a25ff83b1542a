//! Signals between processes that were forked: whose handler runs, and what an orphan does.

mod support;

use pleach_executor::low_level;
use pleach_spawn::{
    Born, ExitStatus, Forked, Pid, Plan, Signal, Signals, Stops, become_subreaper, fork, raise_default,
    signal_state,
};
use std::io::{Read, Write, pipe};
use std::os::unix::net::UnixStream;
use std::pin::pin;
use std::process::{Command, ExitCode};
use std::time::Duration;
use support::{count, end, reap_all_strangers, stand_still, starts_waiting};

fn main() -> ExitCode {
    support::main(cases![
        a_signal_reaches_the_task_that_listens,
        a_signal_that_comes_to_another_thread_reaches_the_task,
        another_threads_listener_is_refused_while_one_listens,
        signals_of_one_kind_coalesce_and_none_starves,
        one_listener_at_a_time_and_the_old_actions_come_back,
        a_dropped_listener_in_a_child_is_not_the_parents,
        signals_at_a_child_never_run_the_parents_handler,
        a_child_listens_for_itself,
        a_thousand_signals_to_a_child_do_not_reach_the_parent,
        death_by_default_looks_like_it,
        the_last_of_so_many_is_not_handled,
        an_orphan_hears_of_it_and_cleans_up,
        an_orphan_hears_of_it_while_sigint_comes_too,
        a_spinning_orphan_dies_of_the_alarm,
        a_stopped_orphan_is_continued_and_dies,
        a_child_whose_parent_dies_while_it_boots_ends,
        a_sigcont_from_elsewhere_makes_no_orphan,
    ])
}

async fn forked(name: &str, entry: impl FnOnce(Born) -> i32 + 'static) -> Forked {
    fork(Plan::new(name), (), |born, _| entry(born)).await.expect("fork")
}

/// Sends a signal to this process, from outside.
fn to_myself(signal: Signal) {
    let line = format!("kill -{} {}", signal.as_raw(), Pid::this());
    assert!(Command::new("sh").args(["-c", &line]).status().expect("sh").success());
}

fn a_signal_reaches_the_task_that_listens() {
    pleach_executor::run(async {
        let mut signals = Signals::listen(&[Signal::USR1, Signal::TERM]).expect("signals");
        to_myself(Signal::TERM);
        assert_eq!(signals.next().await.expect("not cancelled"), Signal::TERM);
        to_myself(Signal::USR1);
        assert_eq!(signals.next().await.expect("not cancelled"), Signal::USR1);
    });
}

/// The kernel gives a signal for the process to its main thread, if that takes it: here one that only waits.
fn a_signal_that_comes_to_another_thread_reaches_the_task() {
    let looped = std::thread::spawn(|| {
        pleach_executor::run(async {
            let mut signals = Signals::listen(&[Signal::USR1]).expect("signals");
            for _ in 0..count(100) {
                to_myself(Signal::USR1);
                assert_eq!(signals.next().await.expect("not cancelled"), Signal::USR1);
            }
        });
    });
    looped.join().expect("no panic");
}

/// One thread at a time has the bells.
fn another_threads_listener_is_refused_while_one_listens() {
    pleach_executor::run(async {
        let signals = Signals::listen(&[Signal::USR1]).expect("signals");
        let elsewhere = || {
            let tries = || pleach_executor::run(async { Stops::listen().map(drop).map_err(|e| e.kind()) });
            std::thread::spawn(tries).join().expect("no panic")
        };
        assert_eq!(elsewhere(), Err(std::io::ErrorKind::ResourceBusy));
        drop(signals);
        assert_eq!(elsewhere(), Ok(()));
    });
}

fn signals_of_one_kind_coalesce_and_none_starves() {
    pleach_executor::run(async {
        let mut signals = Signals::listen(&[Signal::USR1, Signal::USR2]).expect("signals");
        for _ in 0..3 {
            to_myself(Signal::USR1);
            to_myself(Signal::USR2);
        }
        let first = signals.next().await.expect("not cancelled");
        to_myself(first);
        let second = signals.next().await.expect("not cancelled");
        assert_ne!(first, second, "the other one is next, although the first came again");
        assert_eq!(signals.next().await.expect("not cancelled"), first);
        starts_waiting(pin!(signals.next())).await;
    });
}

fn one_listener_at_a_time_and_the_old_actions_come_back() {
    pleach_executor::run(async {
        let before = signal_state().expect("/proc");
        let signals = Signals::listen(&[Signal::USR1]).expect("signals");
        assert_ne!(signal_state().expect("/proc"), before);
        let second = Signals::listen(&[Signal::USR2]).expect_err("one is there");
        assert_eq!(second.kind(), std::io::ErrorKind::ResourceBusy);
        drop(signals);
        assert_eq!(signal_state().expect("/proc"), before);
        Signals::listen(&[Signal::USR1, Signal::KILL]).expect_err("nobody hears SIGKILL");
        assert_eq!(signal_state().expect("/proc"), before);
        drop(Signals::listen(&[Signal::USR2]).expect("the first has gone"));
    });
}

fn a_dropped_listener_in_a_child_is_not_the_parents() {
    pleach_executor::run(async {
        let signals = Signals::listen(&[Signal::USR1]).expect("signals");
        let kept = std::rc::Rc::new(std::cell::Cell::new(Some(signals)));
        let inherited = std::rc::Rc::clone(&kept);
        let child = forked("child", move |_| {
            pleach_executor::run(async {
                let _own = Signals::listen(&[Signal::USR1]).expect("the parent's is not the child's");
                let before = signal_state().expect("/proc");
                drop(inherited.take());
                i32::from(signal_state().expect("/proc") != before)
            })
        })
        .await;
        assert_eq!(child.process.wait().await.expect("not cancelled"), ExitStatus::Exited(0));
        let mut signals = kept.take().expect("the parent's copy");
        to_myself(Signal::USR1);
        assert_eq!(signals.next().await.expect("not cancelled"), Signal::USR1);
    });
}

async fn heard_nothing(signals: &mut Signals) {
    starts_waiting(pin!(signals.next())).await;
}

fn signals_at_a_child_never_run_the_parents_handler() {
    pleach_executor::run(async {
        let mut signals = Signals::listen(&[Signal::TERM, Signal::USR1]).expect("signals");
        for round in 0..count(1000) {
            let child = forked("child", |_| stand_still()).await.process;
            let signal = if round % 2 == 0 { Signal::TERM } else { Signal::USR1 };
            // Somewhere between its first instruction and its last step of boot.
            child.signal(signal).expect("it is there");
            assert_eq!(child.wait().await.expect("not cancelled").signal(), Some(signal));
        }
        heard_nothing(&mut signals).await;
    });
}

fn a_child_listens_for_itself() {
    pleach_executor::run(async {
        let mut signals = Signals::listen(&[Signal::TERM]).expect("signals");
        let Forked { process, mut link } = forked("child", |born| {
            pleach_executor::run(async {
                let mut own = Signals::listen(&[Signal::TERM]).expect("the parent's is not the child's");
                tell(&born);
                own.next().await.expect("not cancelled").as_raw()
            })
        })
        .await;
        link.read_exact(&mut [0]).expect("it listens");
        process.signal(Signal::TERM).expect("it lives");
        let status = process.wait().await.expect("not cancelled");
        assert_eq!(status, ExitStatus::Exited(Signal::TERM.as_raw()));
        heard_nothing(&mut signals).await;
    });
}

/// Says on the link that the child has come to a point.
fn tell(born: &Born) {
    let mut link = UnixStream::from(born.take_link().expect("once"));
    link.write_all(b"x").expect("the parent reads");
}

fn a_thousand_signals_to_a_child_do_not_reach_the_parent() {
    pleach_executor::run(async {
        let mut signals = Signals::listen(&[Signal::USR1]).expect("signals");
        let Forked { process, mut link } = forked("child", |born| {
            pleach_executor::run(async {
                let mut own = Signals::listen(&[Signal::USR1, Signal::TERM]).expect("signals");
                tell(&born);
                let mut heard = 0;
                while own.next().await.expect("not cancelled") == Signal::USR1 {
                    heard = 1;
                }
                heard
            })
        })
        .await;
        link.read_exact(&mut [0]).expect("it listens");
        for _ in 0..1000 {
            process.signal(Signal::USR1).expect("it lives");
        }
        process.signal(Signal::TERM).expect("it lives");
        assert_eq!(process.wait().await.expect("not cancelled"), ExitStatus::Exited(1));
        heard_nothing(&mut signals).await;
    });
}

fn death_by_default_looks_like_it() {
    pleach_executor::run(async {
        let child = forked("child", |_| {
            pleach_executor::run(async {
                let _handled = Signals::listen(&[Signal::INT]).expect("signals");
                raise_default(Signal::INT)
            })
        })
        .await;
        assert_eq!(child.process.wait().await.expect("not cancelled").to_string(), "killed by SIGINT");
    });
}

const LONG: Duration = Duration::from_secs(3600);

/// A root that is killed once its child is armed; how everybody below it ended. `orphan` is run in the child with the
/// writing end of a pipe, on which it says that it is where the test wants it.
async fn orphaned(
    orphan: fn(Born, std::io::PipeWriter) -> i32,
    before: fn(&pleach_spawn::Process),
) -> Vec<ExitStatus> {
    become_subreaper().expect("prctl");
    let (mut reader, writer) = pipe().expect("a pipe");
    let (mut go_reader, go) = pipe().expect("a pipe");
    let root = fork(Plan::new("root"), (writer, go), move |_, granted| {
        let (writer, mut go) = granted.adopt().expect("nothing to register");
        pleach_executor::run(async {
            let child = fork(Plan::new("orphan"), writer, move |born, granted| {
                orphan(born, granted.adopt().expect("nothing to register"))
            });
            let mut child = child.await.expect("fork");
            // By its own child's word; then what the test does to the child before the root dies.
            let _ = child.link.read_exact(&mut [0]);
            before(&child.process);
            go.write_all(b"x").expect("the test reads");
            stand_still()
        })
    })
    .await
    .expect("fork")
    .process;
    go_reader.read_exact(&mut [0]).expect("the root speaks");
    root.signal(Signal::KILL).expect("it lives");
    assert_eq!(root.wait().await.expect("not cancelled").signal(), Some(Signal::KILL));
    let ends = reap_all_strangers().await;
    let mut said = String::new();
    reader.read_to_string(&mut said).expect("text");
    assert_eq!(said, "", "{ends:?}");
    ends
}

fn listening_orphan(born: Born, out: std::io::PipeWriter) -> i32 {
    pleach_executor::run(async {
        let mut signals = Signals::listen(&[Signal::USR1]).expect("signals");
        born.arm_running(LONG).expect("prctl");
        tell(&born);
        let heard = signals.next().await.expect("not cancelled");
        drop(out);
        if heard == Signal::CONT { 21 } else { 22 }
    })
}

/// Of any kind, and although nobody asks for them.
fn the_last_of_so_many_is_not_handled() {
    pleach_executor::run(async {
        let child = forked("patient", |_| {
            pleach_executor::run(async {
                let signals = Signals::listen(&[Signal::USR1, Signal::TERM]).expect("signals");
                signals.last(3);
                for came in 1..3 {
                    to_myself(if came == 1 { Signal::USR1 } else { Signal::TERM });
                    assert_eq!(signals.came(), came);
                }
                to_myself(Signal::USR1);
                0
            })
        })
        .await;
        assert_eq!(child.process.wait().await.expect("not cancelled").to_string(), "killed by SIGUSR1");
    });
    pleach_executor::run(async {
        let signals = Signals::listen(&[Signal::USR1]).expect("signals");
        (0..5).for_each(|_| to_myself(Signal::USR1));
        assert_eq!(signals.came(), 5, "without a last one there is none");
    });
}

fn an_orphan_hears_of_it_and_cleans_up() {
    let ends = pleach_executor::run(orphaned(listening_orphan, |_| ()));
    assert_eq!(ends, [ExitStatus::Exited(21)]);
}

fn an_orphan_hears_of_it_while_sigint_comes_too() {
    fn deaf_to_sigint(born: Born, _out: std::io::PipeWriter) -> i32 {
        pleach_executor::run(async {
            let mut signals = Signals::listen(&[Signal::INT, Signal::TERM]).expect("signals");
            born.arm_running(LONG).expect("prctl");
            tell(&born);
            loop {
                match signals.next().await.expect("not cancelled") {
                    Signal::CONT => return 21,
                    // Advice: the parent decides, as long as there is one.
                    Signal::INT | Signal::TERM => {}
                    _ => return 22,
                }
            }
        })
    }
    let ends = pleach_executor::run(orphaned(deaf_to_sigint, |orphan| {
        orphan.signal(Signal::INT).expect("it lives");
        orphan.signal(Signal::TERM).expect("it lives");
    }));
    assert_eq!(ends, [ExitStatus::Exited(21)]);
}

fn a_spinning_orphan_dies_of_the_alarm() {
    fn spin(born: Born, _out: std::io::PipeWriter) -> i32 {
        born.arm_running(Duration::from_millis(20)).expect("prctl");
        tell(&born);
        loop {
            std::hint::spin_loop();
        }
    }
    let ends = pleach_executor::run(orphaned(spin, |_| ()));
    assert_eq!(ends.iter().map(|e| e.signal()).collect::<Vec<_>>(), [Some(Signal::ALRM)]);
}

fn a_stopped_orphan_is_continued_and_dies() {
    let ends = pleach_executor::run(orphaned(listening_orphan, |orphan| {
        orphan.signal(Signal::STOP).expect("it lives");
    }));
    assert_eq!(ends, [ExitStatus::Exited(21)]);
}

fn a_child_whose_parent_dies_while_it_boots_ends() {
    fn boot(born: &Born) -> i32 {
        pleach_executor::run(async {
            let mut signals = Signals::listen(&[Signal::USR1]).expect("signals");
            born.arm_running(LONG).expect("prctl");
            i32::from(signals.next().await.expect("not cancelled") != Signal::CONT)
        })
    }
    become_subreaper().expect("prctl");
    pleach_executor::run(async {
        for _ in 0..count(100) {
            let root = forked("root", |_| {
                pleach_executor::run(async {
                    let _child = forked("child", |born| boot(&born)).await;
                    raise_default(Signal::KILL)
                })
            })
            .await
            .process;
            assert_eq!(root.wait().await.expect("not cancelled").signal(), Some(Signal::KILL));
            let ends = reap_all_strangers().await;
            // By the kernel, by its first check, or by the check after it had armed: that depends on how far it was.
            let in_order = |end: &ExitStatus| {
                matches!((end.code(), end.signal()), (Some(0 | 64), _) | (_, Some(Signal::KILL)))
            };
            assert!(ends.len() == 1 && ends.iter().all(in_order), "{ends:?}");
        }
    });
}

fn a_sigcont_from_elsewhere_makes_no_orphan() {
    pleach_executor::run(async {
        let Forked { process, mut link } = forked("child", |born| {
            pleach_executor::run(async {
                let mut signals = Signals::listen(&[Signal::USR1]).expect("signals");
                born.arm_running(Duration::from_millis(1)).expect("prctl");
                tell(&born);
                signals.next().await.expect("not cancelled").as_raw()
            })
        })
        .await;
        link.read_exact(&mut [0]).expect("it is armed");
        process.signal(Signal::STOP).expect("it lives");
        process.signal(Signal::CONT).expect("it lives");
        process.signal(Signal::CONT).expect("it lives");
        process.signal(Signal::USR1).expect("it lives");
        let process = process;
        let status = process.wait().await.expect("not cancelled");
        assert_eq!(status, ExitStatus::Exited(Signal::USR1.as_raw()));
        assert_eq!(low_level::epoch(), 0);
        end(process).await;
    });
}
