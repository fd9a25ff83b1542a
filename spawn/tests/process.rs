//! Processes from birth to reap: nobody is left, nothing is guessed, and a refusal leaves nothing behind.

mod support;

use pleach_executor::{CancelScope, Cancelled, move_on_after, nursery};
use pleach_spawn::{
    Born, ExitStatus, Fault, Forked, Gone, Pid, Plan, Signal, SpawnError, Step, TerminateError,
    become_subreaper, begin_tree, children, fork, is_of_a_tree, no_children, open_fds, reap_stranger,
};
use std::cell::Cell;
use std::fs::File;
use std::future::poll_fn;
use std::io::{Read, Write, pipe};
use std::os::unix::net::UnixStream;
use std::pin::pin;
use std::process::{Command, ExitCode};
use std::rc::Rc;
use std::sync::mpsc;
use std::task::Poll;
use std::time::Duration;
use support::{
    count, end, output_of, program_after, read_all, reap_all_strangers, stand_still, starts_waiting,
};

fn main() -> ExitCode {
    support::main(cases![
        everybody_below_an_actor_is_marked_and_nobody_else,
        the_exit_status_is_collected_once_and_kept,
        a_signal_after_the_reap_reaches_nobody,
        a_child_is_named_by_pid_and_start_time,
        a_result_sent_before_the_exit_is_always_there,
        a_status_that_somebody_stole_is_never_guessed,
        a_spawn_dropped_at_any_point_leaves_no_child,
        a_request_that_is_no_longer_wanted_makes_no_child,
        a_cancelled_scope_makes_no_child,
        a_wait_that_is_cancelled_collects_nothing,
        any_number_of_tasks_wait_and_all_get_the_status,
        a_status_that_one_task_asks_for_is_there_for_those_who_wait,
        who_is_asked_to_end_gets_the_grace_and_no_more,
        a_stopped_process_hears_that_it_is_to_end,
        a_termination_that_is_cancelled_goes_on_when_it_is_asked_again,
        handles_dropped_in_a_run_are_reaped_by_it,
        a_handle_dropped_outside_a_run_is_reaped,
        a_handle_dropped_by_a_panic_is_reaped,
        children_that_die_at_once_are_all_noticed,
        a_busy_thread_is_named_and_nothing_is_forked,
        a_thread_that_was_joined_does_not_count,
        without_numbers_nothing_is_made,
        a_sigchld_that_is_ignored_is_refused,
        nobody_survives_a_root_killed_while_the_tree_grows,
        _forks_until_the_numbers_are_used_up,
        _forks_with_sigchld_ignored,
    ])
}

async fn forked(name: &str, entry: impl FnOnce(Born) -> i32 + 'static) -> Forked {
    fork(Plan::new(name), (), |born, _| entry(born)).await.expect("fork")
}

fn the_exit_status_is_collected_once_and_kept() {
    pleach_executor::run(async {
        let child = forked("child", |_| 3).await.process;
        child.exited().await.expect("not cancelled");
        child.exited().await.expect("as often as one likes");
        assert_eq!(child.status(), None);
        assert_eq!(child.try_status(), Some(ExitStatus::Exited(3)));
        assert_eq!(child.try_status(), Some(ExitStatus::Exited(3)));
        assert_eq!(child.wait().await.expect("not cancelled"), ExitStatus::Exited(3));
        assert_eq!(child.status(), Some(ExitStatus::Exited(3)));

        let child = forked("child", |_| stand_still()).await.process;
        assert_eq!(child.try_status(), None);
        child.signal(Signal::TERM).expect("it lives");
        let status = child.wait().await.expect("not cancelled");
        assert_eq!(status.to_string(), "killed by SIGTERM");
    });
}

fn a_signal_after_the_reap_reaches_nobody() {
    pleach_executor::run(async {
        let child = forked("child", |_| 0).await.process;
        child.exited().await.expect("not cancelled");
        assert_eq!(child.signal(Signal::TERM), Ok(()), "dead, and not reaped");
        assert_eq!(child.try_status(), Some(ExitStatus::Exited(0)));
        assert_eq!(child.signal(Signal::KILL), Err(Gone));
    });
}

fn a_child_is_named_by_pid_and_start_time() {
    pleach_executor::run(async {
        let child = forked("child", |_| stand_still()).await.process;
        assert_eq!(children().expect("/proc"), [child.pid()]);
        let at = child.start_time().expect("/proc");
        assert!(at > 0);
        assert_eq!(child.start_time().expect("kept"), at);
        end(child).await;
        assert_eq!(children().expect("/proc"), []);
    });
}

fn a_result_sent_before_the_exit_is_always_there() {
    const SIZE: usize = 1 << 20;
    pleach_executor::run(async {
        for _ in 0..count(100) {
            let Forked { process, mut link } = forked("child", |born| {
                let mut link = UnixStream::from(born.take_link().expect("once"));
                link.write_all(&vec![7; SIZE]).expect("the parent reads");
                // With the link still open: the end of the process has to deliver what was sent.
                std::mem::forget(link);
                0
            })
            .await;
            let mut result = Vec::new();
            link.read_to_end(&mut result).expect("the link");
            assert_eq!(process.wait().await.expect("not cancelled"), ExitStatus::Exited(0));
            assert!(result.len() == SIZE && result.iter().all(|b| *b == 7));
        }
        // Small enough to be in the socket when the process is long gone.
        for _ in 0..count(100) {
            let Forked { process, link } = forked("child", |born| {
                let mut link = UnixStream::from(born.take_link().expect("once"));
                link.write_all(b"result").expect("it fits");
                0
            })
            .await;
            assert_eq!(process.wait().await.expect("not cancelled"), ExitStatus::Exited(0));
            assert_eq!(read_all(link), "result");
        }
    });
}

fn a_status_that_somebody_stole_is_never_guessed() {
    pleach_executor::run(async {
        for code in [0, 9] {
            let child = forked("child", move |_| code).await.process;
            child.exited().await.expect("not cancelled");
            assert_eq!(
                reap_stranger(),
                Some((child.pid(), ExitStatus::Exited(code))),
                "user code with waitpid(-1)"
            );
            let status = child.wait().await.expect("not cancelled");
            // Linux remembers since 6.15.
            let expected = if remembers() { ExitStatus::Exited(code) } else { ExitStatus::Unknown };
            assert_eq!(status, expected);
        }
        let child = forked("child", |_| stand_still()).await.process;
        child.signal(Signal::KILL).expect("it lives");
        child.exited().await.expect("not cancelled");
        assert_eq!(reap_stranger().map(|(pid, _)| pid), Some(child.pid()));
        let status = child.wait().await.expect("not cancelled");
        assert_eq!(status.signal(), remembers().then_some(Signal::KILL));
    });
}

fn remembers() -> bool {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").expect("/proc");
    let mut numbers = release.split(['.', '-']).map(|n| n.trim().parse::<u32>().unwrap_or(0));
    (numbers.next(), numbers.next()) >= (Some(6), Some(15))
}

fn a_spawn_dropped_at_any_point_leaves_no_child() {
    pleach_executor::run(async {
        let entered = Rc::new(Cell::new(0));
        for polls in 0..4 {
            let noted = Rc::clone(&entered);
            let mut future = Box::pin(fork(Plan::new("child"), (), move |_, _| {
                noted.set(1);
                stand_still()
            }));
            for _ in 0..polls {
                let ready = poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx).is_ready())).await;
                if ready {
                    break;
                }
                // Lets the loop do what is queued between two polls.
                pleach_executor::sleep(Duration::from_millis(1)).await.expect("not cancelled");
            }
            // Made, and nobody has taken it: the second poll would have.
            if polls == 1 {
                assert!(!no_children());
            }
            drop(future);
        }
        let asked = Rc::new(Cell::new(false));
        let noted = Rc::clone(&asked);
        // Whoever is about to fork asks this first.
        let plan = Plan::new("child").still_wanted(move || {
            noted.set(true);
            true
        });
        let mut future = Box::pin(fork(plan, (), |_, _| stand_still()));
        starts_waiting(future.as_mut()).await;
        drop(future);
        pleach_executor::sleep(Duration::from_millis(1)).await.expect("not cancelled");
        assert!(!asked.get(), "a request withdrawn before its turn makes no child");
        assert_eq!(entered.get(), 0, "in this process no entry ran");
    });
}

fn a_request_that_is_no_longer_wanted_makes_no_child() {
    pleach_executor::run(async {
        let wanted = Rc::new(Cell::new(true));
        let asked = Rc::clone(&wanted);
        let plan = Plan::new("child").still_wanted(move || asked.get());
        let mut future = pin!(fork(plan, (), |_, _| stand_still()));
        starts_waiting(future.as_mut()).await;
        wanted.set(false);
        assert!(matches!(future.await, Err(SpawnError::Unwanted)));
        assert!(no_children());
    });
}

fn a_cancelled_scope_makes_no_child() {
    pleach_executor::run(async {
        let scope = CancelScope::new();
        let inside = scope.handle();
        let outcome = scope
            .run(async |_| {
                inside.cancel();
                match fork(Plan::new("child"), (), |_, _| stand_still()).await {
                    Err(e) => Err::<(), _>(e.into_cancelled().expect("that is why")),
                    Ok(child) => panic!("{child:?}"),
                }
            })
            .await;
        assert!(matches!(outcome, Ok(None)), "the scope has absorbed it");
        assert!(no_children());
    });
}

fn a_wait_that_is_cancelled_collects_nothing() {
    pleach_executor::run(async {
        let child = forked("child", |_| stand_still()).await.process;
        let soon = Duration::from_millis(1);
        let waited = pleach_executor::move_on_after(soon, async |_| child.wait().await).await;
        assert!(matches!(waited, Ok(None)));
        assert_eq!(child.status(), None);
        child.signal(Signal::KILL).expect("it lives");
        assert_eq!(child.wait().await.expect("not cancelled").signal(), Some(Signal::KILL));
    });
}

fn any_number_of_tasks_wait_and_all_get_the_status() {
    pleach_executor::run(async {
        let Forked { process: child, link } = forked("child", |born| {
            let _end = UnixStream::from(born.take_link().expect("once")).read(&mut [0]);
            3
        })
        .await;
        let all: Result<(), Cancelled> = nursery(async |n| {
            // The first leads, and is cancelled while the others wait behind it.
            let leads =
                n.task(async { move_on_after(Duration::from_millis(1), async |_| child.wait().await).await });
            let others: Vec<_> = (0..5).map(|_| n.task(child.wait())).collect();
            let sees = n.task(child.exited());
            assert_eq!(leads.await?, None);
            drop(link);
            for other in others {
                assert_eq!(other.await?, ExitStatus::Exited(3));
            }
            sees.await
        })
        .await;
        all.expect("nobody else is cancelled");
        assert_eq!(child.wait().await.expect("not cancelled"), ExitStatus::Exited(3), "it is kept");
    });
}

fn a_status_that_one_task_asks_for_is_there_for_those_who_wait() {
    pleach_executor::run(async {
        let child = forked("child", |_| stand_still()).await.process;
        let all: Result<(), Cancelled> = nursery(async |n| {
            let waits: Vec<_> = (0..3).map(|_| n.task(child.wait())).collect();
            pleach_executor::checkpoint().await?;
            assert_eq!(child.try_status(), None);
            child.signal(Signal::KILL).expect("it lives");
            // Without a turn of the loop: nobody else can have collected it.
            while child.try_status().is_none() {
                std::thread::yield_now();
            }
            for wait in waits {
                assert_eq!(wait.await?.signal(), Some(Signal::KILL));
            }
            Ok(())
        })
        .await;
        all.expect("nobody is cancelled");
    });
}

/// Blocks SIGTERM, says that it is up, and stands still.
fn hears_of_no_term(born: &Born) -> ! {
    use nix::sys::signal::{SigSet, Signal as Number};
    let mut term = SigSet::empty();
    term.add(Number::SIGTERM);
    term.thread_block().expect("it can be blocked");
    let mut link = UnixStream::from(born.take_link().expect("once"));
    link.write_all(b"x").expect("its parent reads");
    stand_still()
}

fn who_is_asked_to_end_gets_the_grace_and_no_more() {
    const NEVER: Duration = Duration::from_secs(3600);
    pleach_executor::run(async {
        let child = forked("heeds", |_| stand_still()).await.process;
        let fired = pleach_executor::stats().timers_fired;
        assert_eq!(child.terminate(NEVER).await.expect("it ends").signal(), Some(Signal::TERM));
        assert_eq!(
            child.terminate(NEVER).await.expect("it has").signal(),
            Some(Signal::TERM),
            "again, at once"
        );
        let ended = forked("ends", |_| 4).await.process;
        ended.exited().await.expect("not cancelled");
        assert_eq!(ended.terminate(NEVER).await.expect("it has"), ExitStatus::Exited(4));
        assert_eq!(pleach_executor::stats().timers_fired, fired, "nobody waited for the grace");
        let Forked { process: deaf, mut link } = forked("deaf", |born| hears_of_no_term(&born)).await;
        link.read_exact(&mut [0]).expect("it is up");
        let grace = Duration::from_millis(20);
        assert_eq!(deaf.terminate(grace).await.expect("it ends").signal(), Some(Signal::KILL));
    });
}

fn a_stopped_process_hears_that_it_is_to_end() {
    pleach_executor::run(async {
        let child = forked("child", |_| stand_still()).await.process;
        child.signal(Signal::STOP).expect("it lives");
        while child.stopped_by().is_none() {
            pleach_executor::checkpoint().await.expect("not cancelled");
        }
        let status = child.terminate(Duration::from_secs(3600)).await.expect("it ends");
        assert_eq!(status.signal(), Some(Signal::TERM), "and not of SIGKILL");
    });
}

fn a_termination_that_is_cancelled_goes_on_when_it_is_asked_again() {
    pleach_executor::run(async {
        let Forked { process: deaf, mut link } = forked("deaf", |born| hears_of_no_term(&born)).await;
        link.read_exact(&mut [0]).expect("it is up");
        let asked = CancelScope::new()
            .timeout(Duration::from_millis(5))
            .run(async |_| match deaf.terminate(Duration::from_secs(3600)).await {
                Err(TerminateError::Cancelled(c)) => Err::<(), _>(c),
                other => panic!("{other:?}"),
            })
            .await;
        assert!(matches!(asked, Ok(None)), "the scope has absorbed it");
        assert_eq!(deaf.try_status(), None);
        let status = deaf.terminate(Duration::ZERO).await.expect("it ends");
        assert_eq!(status.signal(), Some(Signal::KILL));
    });
}

fn handles_dropped_in_a_run_are_reaped_by_it() {
    pleach_executor::run(async {
        for _ in 0..10 {
            drop(forked("child", |_| stand_still()).await);
        }
    });
    assert!(no_children(), "run() has waited for the reapers");
}

fn a_handle_dropped_outside_a_run_is_reaped() {
    let child = pleach_executor::run(forked("child", |_| stand_still()));
    assert!(!no_children());
    drop(child);
    assert!(no_children());
}

fn a_handle_dropped_by_a_panic_is_reaped() {
    let panicked = std::panic::catch_unwind(|| {
        pleach_executor::run(async {
            let _child = forked("child", |_| stand_still()).await;
            panic!("with a child alive");
        })
    });
    assert!(panicked.is_err());
    assert!(no_children());
}

fn children_that_die_at_once_are_all_noticed() {
    pleach_executor::run(async {
        for _ in 0..count(200) {
            let mut batch = Vec::new();
            for code in 0..5 {
                batch.push(forked("child", move |_| code).await.process);
            }
            for (code, child) in batch.into_iter().enumerate() {
                let status = child.wait().await.expect("not cancelled");
                assert_eq!(status.code(), Some(i32::try_from(code).expect("small")));
            }
        }
    });
}

fn a_busy_thread_is_named_and_nothing_is_forked() {
    let (go, wait) = mpsc::channel::<()>();
    let (up, started) = mpsc::channel::<()>();
    let thread = std::thread::Builder::new().name("busy".into());
    let body = move || {
        // A thread gives itself its name.
        up.send(()).expect("somebody waits");
        wait.recv()
    };
    let thread = thread.spawn(body).expect("a thread");
    started.recv().expect("it starts");
    pleach_executor::run(async {
        match fork(Plan::new("child"), (), |_, _| 0).await {
            Err(SpawnError::NotSingleThreaded { others }) => assert_eq!(others, ["busy"]),
            other => panic!("{other:?}"),
        }
        assert!(no_children());
        go.send(()).expect("it waits");
        thread.join().expect("no panic").expect("it was sent");
        end(forked("child", |_| stand_still()).await.process).await;
    });
}

fn a_thread_that_was_joined_does_not_count() {
    pleach_executor::run(async {
        for _ in 0..count(200) {
            std::thread::spawn(|| ()).join().expect("no panic");
            let child = forked("child", |_| 0).await.process;
            assert_eq!(child.wait().await.expect("not cancelled"), ExitStatus::Exited(0));
        }
    });
}

fn without_numbers_nothing_is_made() {
    assert_eq!(
        output_of(program_after("ulimit -n 64; exec", "_forks_until_the_numbers_are_used_up")),
        "refused\n"
    );
}

fn _forks_until_the_numbers_are_used_up() {
    pleach_executor::run(async {
        end(forked("child", |_| stand_still()).await.process).await;
        let mut hoard = Vec::new();
        while let Ok(file) = File::open("/dev/null") {
            hoard.push(file);
        }
        let mut refused = 0;
        // One more number in each round, until it is enough.
        let child = loop {
            for _ in 0..100 {
                match fork(Plan::new("child"), (), |_, _| stand_still()).await {
                    Err(SpawnError::System { error, .. }) => {
                        assert_eq!(error.raw_os_error(), Some(24), "EMFILE");
                        refused += 1;
                    }
                    Ok(_) if refused >= 100 => break,
                    other => panic!("{other:?}"),
                }
                assert!(no_children());
            }
            match fork(Plan::new("child"), (), |_, _| stand_still()).await {
                Ok(forked) => break forked,
                Err(_) => drop(hoard.pop()),
            }
        };
        child.process.signal(Signal::KILL).expect("it lives");
        assert_eq!(child.process.wait().await.expect("not cancelled").signal(), Some(Signal::KILL));
        drop(child);
        let full = hoard.len();
        hoard.clear();
        assert!(refused >= 300, "three numbers at least: {refused}");
        println!("refused");
        assert!(full + 3 + open_fds().expect("/proc").len() <= 64 + 3, "nothing was left open by a refusal");
    });
}

fn a_sigchld_that_is_ignored_is_refused() {
    assert_eq!(
        output_of(program_after("exec env --ignore-signal=CHLD", "_forks_with_sigchld_ignored")),
        "refused\n"
    );
}

fn _forks_with_sigchld_ignored() {
    let outcome = pleach_executor::run(fork(Plan::new("child"), (), |_, _| 0));
    assert!(matches!(outcome, Err(SpawnError::SigchldNotDefault)), "{outcome:?}");
    assert!(no_children());
    println!("refused");
}

/// A tree that does nothing but grow: no link is read, so that only PR_SET_PDEATHSIG and its check end it.
fn grow(depth: u32) -> i32 {
    if depth == 0 {
        stand_still();
    }
    pleach_executor::run(async {
        let mut kept = Vec::new();
        for _ in 0..2 {
            kept.push(forked("level", move |_| grow(depth - 1)).await);
        }
        stand_still()
    })
}

fn nobody_survives_a_root_killed_while_the_tree_grows() {
    become_subreaper().expect("prctl");
    pleach_executor::run(async {
        for round in 0..count(100) {
            let root = forked("root", |_| grow(3)).await.process;
            let micros =
                Pid::this().as_raw().unsigned_abs().wrapping_add(round as u32).wrapping_mul(2_654_435_761)
                    % 4000;
            pleach_executor::sleep(Duration::from_micros(micros.into())).await.expect("not cancelled");
            root.signal(Signal::KILL).expect("it lives");
            assert_eq!(root.wait().await.expect("not cancelled").signal(), Some(Signal::KILL));
            let _ = reap_all_strangers().await;
        }
    });
}

/// Marked from the first step on, whoever made it; the corpse too. A root's own commands are not.
fn everybody_below_an_actor_is_marked_and_nobody_else() {
    begin_tree().expect("sigaction");
    let command = || Command::new("sleep").arg("1000").spawn().expect("there is a sleep");
    pleach_executor::run(async {
        let mut beside = command();
        assert!(!is_of_a_tree(Pid::this()) && !is_of_a_tree(Pid::from_raw(beside.id().cast_signed())));
        let (mut reader, writer) = pipe().expect("a pipe");
        let actor = fork(Plan::new("actor"), writer, move |_, granted| {
            let mut writer = granted.adopt().expect("nothing to register");
            let mut below = command();
            // And a child of its own that stands still before its first step.
            let report = pleach_executor::run(async {
                let plan = Plan::new("newborn").fault(Step::Arm, Fault::Stop);
                let newborn = fork(plan, (), |_, _| 0).await.expect("fork").process;
                let marks = [Pid::this(), Pid::from_raw(below.id().cast_signed()), newborn.pid()];
                format!("{:?}", marks.map(is_of_a_tree))
            });
            let _ = (below.kill(), below.wait());
            writer.write_all(report.as_bytes()).expect("the parent reads");
            0
        });
        let actor = actor.await.expect("fork").process;
        let mut text = String::new();
        reader.read_to_string(&mut text).expect("text");
        assert_eq!(text, "[true, true, true]");
        actor.exited().await.expect("not cancelled");
        assert!(is_of_a_tree(actor.pid()), "dead, and not reaped");
        end(actor).await;
        beside.kill().expect("it lives");
        beside.wait().expect("our own");
    });
}
