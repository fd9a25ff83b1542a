//! Children that are this program started again come and go like forked ones: nobody is left, nothing is guessed.

#[path = "support/again.rs"]
mod again;
mod support;

use again::{
    Entry, SERVER, are_gone, exec, execed, image, leaves_at_once, leaves_with_9, reads_until_eof, say,
    stands_still,
};
use pleach_executor::CancelScope;
use pleach_spawn::{
    Born, ExitStatus, Fault, Pid, Plan, Signal, Signals, SpawnError, Step, become_subreaper, no_children,
    open_fds, reap_stranger, signal_descendant,
};
use std::cell::Cell;
use std::fs::File;
use std::future::poll_fn;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Command, ExitCode, Stdio};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;
use support::{
    Case, count, end, output_of, program, program_after, read_all, reap_all_strangers, stand_still,
};

const ENTRIES: &[Entry] = entries![
    announces_every_step,
    panics_with_a_cause,
    panics_without_a_link,
    stands_still,
    leaves_with_9,
    leaves_at_once,
    sends_a_large_result,
    sends_a_small_result,
    reads_until_eof,
    grows_3,
    grows_2,
    grows_1,
    grows_0,
    makes_an_orphan_that_listens,
    listens,
    makes_an_orphan_that_spins,
    spins,
    makes_an_orphan_that_cleans_up,
    cleans_up,
];

/// A child calls `reborn` only when its standard input has ended.
const LATE: &str = "PLEACH_LATE";

fn main() -> ExitCode {
    if std::env::var_os(LATE).is_some() && std::env::var_os("PLEACH_BOOT").is_some() {
        let _ = std::io::stdin().read(&mut [0]);
    }
    again::start(ENTRIES, cases)
}

/// What is true of an exec alone: only there a child runs `main` up to its diversion.
const EXEC_ALONE: &[&str] = &["a_child_whose_parent_died_before_its_diversion_ends"];

fn cases() -> ExitCode {
    let all: &[Case] = cases![
        every_step_of_the_boot_can_fail_in_every_way,
        a_child_stopped_in_its_boot_can_be_put_down,
        a_panic_says_what_and_where,
        a_panic_after_the_link_was_taken_still_speaks,
        a_result_sent_before_the_exit_is_always_there,
        a_sibling_does_not_hold_a_link_open,
        a_status_that_somebody_stole_is_never_guessed,
        a_command_beside_a_child_keeps_its_status,
        children_that_die_at_once_are_all_noticed,
        an_exec_dropped_at_any_point_leaves_no_child,
        a_request_that_is_no_longer_wanted_makes_no_child,
        a_cancelled_scope_makes_no_child,
        handles_dropped_are_reaped,
        without_numbers_nothing_is_made,
        a_sigchld_that_is_ignored_is_refused,
        nobody_survives_a_root_killed_while_the_tree_grows,
        a_child_whose_parent_died_before_its_diversion_ends,
        an_orphan_acts_on_signals_like_anybody,
        a_spinning_orphan_dies_of_the_alarm,
        an_orphan_cleans_up,
        _execs_a_late_child,
        _execs_a_late_child_without_death_signal,
        _execs_until_the_numbers_are_used_up,
        _execs_with_sigchld_ignored,
    ];
    let fits = |(name, _): &&Case| !SERVER || !EXEC_ALONE.contains(name);
    support::main(&all.iter().filter(fits).copied().collect::<Vec<_>>())
}

/// From now on the end of the parent is no kill.
fn up(born: &Born, grace: Duration) {
    born.arm_running(grace).expect("prctl");
}

// ---- failures

fn announces_every_step(born: Born, _: Vec<OwnedFd>) -> i32 {
    for step in Step::ALL.into_iter().filter(|s| *s > Step::Enter) {
        born.step(step);
    }
    0
}

fn every_step_of_the_boot_can_fail_in_every_way() {
    pleach_executor::run(async {
        for step in Step::ALL {
            for fault in [Fault::Exit(7), Fault::Panic, Fault::Kill] {
                let plan = Plan::new("announces_every_step").fault(step, fault);
                let child = exec(plan, image(), Vec::new()).await.expect("exec");
                let words = read_all(child.link);
                let status = child.process.wait().await.expect("not cancelled");
                match fault {
                    Fault::Exit(code) => assert_eq!(status, ExitStatus::Exited(code), "{step}"),
                    Fault::Kill => assert_eq!(status.signal(), Some(Signal::KILL), "{step}"),
                    _ => {
                        assert_eq!(status, ExitStatus::Exited(step.exit_code()));
                        assert!(words.contains(&format!("made to panic in {step}")), "{step}: {words}");
                    }
                }
            }
        }
    });
}

fn a_child_stopped_in_its_boot_can_be_put_down() {
    pleach_executor::run(async {
        for step in Step::ALL.into_iter().filter(|s| *s <= Step::Enter) {
            for fault in [Fault::Stop, Fault::Hang] {
                let plan = Plan::new("stands_still").fault(step, fault);
                let child = exec(plan, image(), Vec::new()).await.expect("exec");
                child.process.signal(Signal::KILL).expect("it is there");
                assert_eq!(child.process.wait().await.expect("not cancelled").signal(), Some(Signal::KILL));
            }
        }
    });
}

fn panics_with_a_cause(_: Born, _: Vec<OwnedFd>) -> i32 {
    panic!("the cause, {}", 42)
}

fn a_panic_says_what_and_where() {
    pleach_executor::run(async {
        let child = execed("panics_with_a_cause").await;
        let words = read_all(child.link);
        assert!(words.contains("the cause, 42") && words.contains("exec_life.rs:"), "{words}");
        let status = child.process.wait().await.expect("not cancelled");
        assert_eq!(status, ExitStatus::Exited(Step::Enter.exit_code()));
    });
}

fn panics_without_a_link(born: Born, _: Vec<OwnedFd>) -> i32 {
    let _link = born.take_link();
    born.step(Step::Spec);
    panic!("late")
}

fn a_panic_after_the_link_was_taken_still_speaks() {
    pleach_executor::run(async {
        let child = execed("panics_without_a_link").await;
        assert!(read_all(child.link).contains("late"));
        let status = child.process.wait().await.expect("not cancelled");
        assert_eq!(status, ExitStatus::Exited(Step::Spec.exit_code()));
    });
}

// ---- ends

const LARGE: usize = 1 << 20;

fn sends_a_large_result(born: Born, _: Vec<OwnedFd>) -> i32 {
    let mut link = UnixStream::from(born.take_link().expect("once"));
    link.write_all(&vec![7; LARGE]).expect("the parent reads");
    // With the link still open: the end of the process has to deliver what was sent.
    std::mem::forget(link);
    0
}

fn sends_a_small_result(born: Born, _: Vec<OwnedFd>) -> i32 {
    say(&born, "result")
}

fn a_result_sent_before_the_exit_is_always_there() {
    pleach_executor::run(async {
        for _ in 0..count(50) {
            let mut child = execed("sends_a_large_result").await;
            let mut result = Vec::new();
            child.link.read_to_end(&mut result).expect("the link");
            assert_eq!(child.process.wait().await.expect("not cancelled"), ExitStatus::Exited(0));
            assert!(result.len() == LARGE && result.iter().all(|b| *b == 7));
        }
        // Small enough to be in the socket when the process is long gone.
        for _ in 0..count(50) {
            let child = execed("sends_a_small_result").await;
            assert_eq!(child.process.wait().await.expect("not cancelled"), ExitStatus::Exited(0));
            assert_eq!(read_all(child.link), "result");
        }
    });
}

fn a_sibling_does_not_hold_a_link_open() {
    pleach_executor::run(async {
        let a = execed("reads_until_eof").await;
        let b = execed("reads_until_eof").await;
        drop(a.link);
        assert_eq!(a.process.wait().await.expect("not cancelled"), ExitStatus::Exited(0));
        assert_eq!(b.process.try_status(), None, "b lives, with its own link");
        drop(b.link);
        assert_eq!(b.process.wait().await.expect("not cancelled"), ExitStatus::Exited(0));
    });
}

fn remembers() -> bool {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").expect("/proc");
    let mut numbers = release.split(['.', '-']).map(|n| n.trim().parse::<u32>().unwrap_or(0));
    (numbers.next(), numbers.next()) >= (Some(6), Some(15))
}

fn a_status_that_somebody_stole_is_never_guessed() {
    pleach_executor::run(async {
        let child = execed("leaves_with_9").await.process;
        child.exited().await.expect("not cancelled");
        let stolen = reap_stranger();
        assert_eq!(stolen, Some((child.pid(), ExitStatus::Exited(9))), "user code with waitpid(-1)");
        let status = child.wait().await.expect("not cancelled");
        // Linux remembers since 6.15.
        assert_eq!(status, if remembers() { ExitStatus::Exited(9) } else { ExitStatus::Unknown });
    });
}

fn a_command_beside_a_child_keeps_its_status() {
    pleach_executor::run(async {
        let mut command =
            Command::new("sh").args(["-c", "read line; exit 3"]).stdin(Stdio::piped()).spawn().expect("sh");
        let child = execed("leaves_with_9").await.process;
        assert_eq!(child.wait().await.expect("not cancelled"), ExitStatus::Exited(9));
        // Its input ends: the child that was made meanwhile does not hold it.
        drop(command.stdin.take());
        let child = execed("stands_still").await.process;
        assert_eq!(command.wait().expect("ours").code(), Some(3));
        end(child).await;
    });
}

fn children_that_die_at_once_are_all_noticed() {
    pleach_executor::run(async {
        for _ in 0..count(100) {
            let mut batch = Vec::new();
            for name in ["leaves_at_once", "leaves_with_9"] {
                let plan = Plan::new(name).fault(Step::Hello, Fault::Kill);
                batch.push(exec(plan, image(), Vec::new()).await.expect("exec").process);
                let plan = Plan::new(name).fault(Step::Arm, Fault::Exit(9));
                batch.push(exec(plan, image(), Vec::new()).await.expect("exec").process);
            }
            for (code, child) in [0, 9, 9, 9].into_iter().zip(batch) {
                assert_eq!(child.wait().await.expect("not cancelled"), ExitStatus::Exited(code));
            }
        }
    });
}

fn an_exec_dropped_at_any_point_leaves_no_child() {
    pleach_executor::run(async {
        for polls in 0..4 {
            let asked = Rc::new(Cell::new(false));
            let noted = Rc::clone(&asked);
            // Whoever is about to spawn asks this first.
            let plan = Plan::new("stands_still").still_wanted(move || {
                noted.set(true);
                true
            });
            let mut future = Box::pin(exec(plan, image(), Vec::new()));
            let mut made = None;
            for _ in 0..polls {
                let polled = poll_fn(|cx| match future.as_mut().poll(cx) {
                    Poll::Ready(made) => Poll::Ready(Some(made)),
                    Poll::Pending => Poll::Ready(None),
                });
                made = polled.await;
                if made.is_some() {
                    break;
                }
                // Lets the loop turn.
                pleach_executor::sleep(Duration::from_millis(1)).await.expect("not cancelled");
            }
            drop(future);
            // Made means given out: there is no child that nobody has. A server may be at it when it is no longer wanted.
            assert!(asked.get() || made.is_none());
            assert!(SERVER || asked.get() == made.is_some());
            if let Some(made) = made {
                assert!(!no_children());
                end(made.expect("exec").process).await;
            }
            are_gone().await;
            assert!(no_children());
        }
    });
}

fn a_request_that_is_no_longer_wanted_makes_no_child() {
    pleach_executor::run(async {
        let plan = Plan::new("stands_still").still_wanted(|| false);
        assert!(matches!(exec(plan, image(), Vec::new()).await, Err(SpawnError::Unwanted)));
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
                match exec(Plan::new("stands_still"), image(), Vec::new()).await {
                    Err(e) => Err::<(), _>(e.into_cancelled().expect("that is why")),
                    Ok(child) => panic!("{child:?}"),
                }
            })
            .await;
        assert!(matches!(outcome, Ok(None)), "the scope has absorbed it");
        assert!(no_children());
    });
}

fn handles_dropped_are_reaped() {
    let child = pleach_executor::run(async {
        for _ in 0..10 {
            drop(execed("stands_still").await);
        }
        execed("stands_still").await
    });
    assert!(!no_children());
    drop(child);
    assert!(no_children());
}

fn without_numbers_nothing_is_made() {
    let program = program_after("ulimit -n 64; exec", "_execs_until_the_numbers_are_used_up");
    assert_eq!(output_of(program), "refused\n");
}

fn _execs_until_the_numbers_are_used_up() {
    pleach_executor::run(async {
        end(execed("stands_still").await.process).await;
        let before = open_fds().expect("/proc");
        let mut hoard = Vec::new();
        while let Ok(file) = File::open("/dev/null") {
            hoard.push(file);
        }
        let mut refused = 0;
        // One more number in each round, until it is enough.
        let child = loop {
            match exec(Plan::new("stands_still"), image(), Vec::new()).await {
                Err(SpawnError::System { error, .. }) => {
                    assert_eq!(error.raw_os_error(), Some(24), "EMFILE");
                    assert!(no_children());
                    refused += 1;
                    for _ in 0..20 {
                        exec(Plan::new("stands_still"), image(), Vec::new()).await.expect_err("as before");
                    }
                    drop(hoard.pop());
                }
                Ok(child) => break child,
                other => panic!("{other:?}"),
            }
        };
        end(child.process).await;
        drop(child.link);
        assert!(refused >= 4, "link, image and pidfd at least: {refused}");
        drop(hoard);
        assert_eq!(open_fds().expect("/proc"), before);
        println!("refused");
    });
}

fn a_sigchld_that_is_ignored_is_refused() {
    let program = program_after("exec env --ignore-signal=CHLD", "_execs_with_sigchld_ignored");
    assert_eq!(output_of(program), "refused\n");
}

fn _execs_with_sigchld_ignored() {
    let outcome = pleach_executor::run(exec(Plan::new("stands_still"), image(), Vec::new()));
    assert!(matches!(outcome, Err(SpawnError::SigchldNotDefault)), "{outcome:?}");
    assert!(no_children());
    println!("refused");
}

// ---- orphans

/// A tree that does nothing but grow: no link is read, so that only PR_SET_PDEATHSIG and its check end it.
fn grow(below: &str) -> i32 {
    pleach_executor::run(async {
        let mut kept = Vec::new();
        for _ in 0..2 {
            kept.push(execed(below).await);
        }
        stand_still()
    })
}

fn grows_3(_: Born, _: Vec<OwnedFd>) -> i32 {
    grow("grows_2")
}

fn grows_2(_: Born, _: Vec<OwnedFd>) -> i32 {
    grow("grows_1")
}

fn grows_1(_: Born, _: Vec<OwnedFd>) -> i32 {
    grow("grows_0")
}

fn grows_0(_: Born, _: Vec<OwnedFd>) -> i32 {
    stand_still()
}

fn nobody_survives_a_root_killed_while_the_tree_grows() {
    become_subreaper().expect("prctl");
    pleach_executor::run(async {
        for round in 0..count(100) {
            let root = execed("grows_3").await.process;
            let micros =
                Pid::this().as_raw().unsigned_abs().wrapping_add(round as u32).wrapping_mul(2_654_435_761)
                    % 16_000;
            pleach_executor::sleep(Duration::from_micros(micros.into())).await.expect("not cancelled");
            root.signal(Signal::KILL).expect("it lives");
            assert_eq!(root.wait().await.expect("not cancelled").signal(), Some(Signal::KILL));
            let _ = reap_all_strangers().await;
        }
    });
}

fn a_child_whose_parent_died_before_its_diversion_ends() {
    become_subreaper().expect("prctl");
    let orphaned = Step::Arm.exit_code();
    for (case, code) in [("_execs_a_late_child", orphaned), ("_execs_a_late_child_without_death_signal", 0)] {
        let mut command = program(case);
        command.env(LATE, "1").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut middle = command.spawn().expect("it starts");
        middle.stdout.take().expect("a pipe").read_exact(&mut [0; 5]).expect("it has made its child");
        let held_up = middle.stdin.take();
        middle.kill().expect("it lives");
        middle.wait().expect("ours");
        // Not an ordinary start of the program, and with a death signal no child either.
        drop(held_up);
        assert_eq!(pleach_executor::run(reap_all_strangers()), [ExitStatus::Exited(code)]);
    }
}

fn _execs_a_late_child() {
    pleach_executor::run(async {
        let _child = execed("leaves_at_once").await;
        println!("made");
        stand_still();
    });
}

fn _execs_a_late_child_without_death_signal() {
    pleach_executor::run(async {
        let plan = Plan::new("leaves_at_once").without_death_signal();
        let _child = exec(plan, image(), Vec::new()).await.expect("exec");
        println!("made");
        stand_still();
    });
}

/// A child that makes another, tells its number when that one is up, and stands still.
fn makes(born: &Born, name: &str) -> i32 {
    pleach_executor::run(async {
        let mut child = execed(name).await;
        child.link.read_exact(&mut [0]).expect("it comes up");
        say(born, &format!("{}\n", child.process.pid()));
        stand_still()
    })
}

/// Makes an orphan of what that child has made.
async fn orphan_of(name: &str) -> Pid {
    let mut middle = execed(name).await;
    let mut digits = String::new();
    while !digits.ends_with('\n') {
        let mut byte = [0];
        middle.link.read_exact(&mut byte).expect("it tells");
        digits.push(char::from(byte[0]));
    }
    end(middle.process).await;
    Pid::from_raw(digits.trim().parse().expect("a number"))
}

fn makes_an_orphan_that_listens(born: Born, _: Vec<OwnedFd>) -> i32 {
    makes(&born, "listens")
}

/// Leaves with the number of the signal that it heard, unless that is of the parent's death.
fn listens(born: Born, _: Vec<OwnedFd>) -> i32 {
    let mut link = UnixStream::from(born.take_link().expect("once"));
    pleach_executor::run(async {
        let mut signals = Signals::listen(&[Signal::TERM, Signal::INT]).expect("signals");
        up(&born, Duration::from_secs(60));
        link.write_all(b"u").expect("the parent reads");
        loop {
            match signals.next().await.expect("not cancelled") {
                Signal::CONT => {}
                signal => return signal.as_raw(),
            }
        }
    })
}

fn an_orphan_acts_on_signals_like_anybody() {
    become_subreaper().expect("prctl");
    pleach_executor::run(async {
        for signal in [Signal::TERM, Signal::INT] {
            let orphan = orphan_of("makes_an_orphan_that_listens").await;
            signal_descendant(orphan, signal).expect("it lives");
            assert_eq!(reap_all_strangers().await, [ExitStatus::Exited(signal.as_raw())]);
        }
    });
}

fn makes_an_orphan_that_spins(born: Born, _: Vec<OwnedFd>) -> i32 {
    makes(&born, "spins")
}

fn spins(born: Born, _: Vec<OwnedFd>) -> i32 {
    let mut link = UnixStream::from(born.take_link().expect("once"));
    up(&born, Duration::from_millis(20));
    link.write_all(b"u").expect("the parent reads");
    loop {
        std::hint::spin_loop();
    }
}

fn a_spinning_orphan_dies_of_the_alarm() {
    become_subreaper().expect("prctl");
    pleach_executor::run(async {
        let _ = orphan_of("makes_an_orphan_that_spins").await;
        let ends: Vec<_> = reap_all_strangers().await.into_iter().map(ExitStatus::signal).collect();
        assert_eq!(ends, [Some(Signal::ALRM)]);
    });
}

fn makes_an_orphan_that_cleans_up(born: Born, _: Vec<OwnedFd>) -> i32 {
    makes(&born, "cleans_up")
}

fn cleans_up(born: Born, _: Vec<OwnedFd>) -> i32 {
    let mut link = UnixStream::from(born.take_link().expect("once"));
    pleach_executor::run(async {
        let mut signals = Signals::listen(&[]).expect("signals");
        up(&born, Duration::from_secs(60));
        link.write_all(b"u").expect("the parent reads");
        assert_eq!(signals.next().await.expect("not cancelled"), Signal::CONT);
        17
    })
}

fn an_orphan_cleans_up() {
    become_subreaper().expect("prctl");
    pleach_executor::run(async {
        let _ = orphan_of("makes_an_orphan_that_cleans_up").await;
        assert_eq!(reap_all_strangers().await, [ExitStatus::Exited(17)]);
    });
}
