//! Which backend makes an actor that serves endpoints, when it is left to the library: the fork server, and the program itself
//! where there can be none.
//!
//! ```text
//!   Auto ─┬─ the root has a fork server from now on
//!         └─ "there can be no fork server here" ─► exec, now and from now on
//!   ForkServer ─ the same ─► an error that says so
//! ```
//!
//! Rules: what there is is looked at by the kernel's list of children. Every time in it is a hang guard.

use pleach::{Actor, Backend, Context, Endpoint, Error, ErrorKind, Program, Start, actors, inventory};
use pleach_spawn::children;
use std::fs;
use std::hint::black_box;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

pleach::test_main!(
    program = program;
    #[limit(60)]
    it_is_the_fork_server,
    #[limit(60)]
    where_there_can_be_none_it_is_exec,
    #[limit(60)]
    who_insists_on_it_is_told_why_there_is_none,
    #[limit(3600)]
    eight_threads_that_allocate_print_and_hold_locks_harm_nobody,
);

const ANSWERS: Endpoint<u64, String> = Endpoint::new("answers");
const PARENTS_CHILDREN: Endpoint<(), Vec<String>> = Endpoint::new("parents_children");

fn program() -> Program {
    Program::new("root").endpoint(PARENTS_CHILDREN, async |_: Context, ()| Ok(parents_children())).endpoint(
        ANSWERS,
        async |_, n| {
            // Allocates and prints: what a lock that was held in the copy would stop.
            eprint!("{}", black_box(""));
            print!("{}", black_box(""));
            Ok(format!("{n} of {}", inventory::thread_count()?))
        },
    )
}

/// The names of the children of this process' parent, in order.
fn parents_children() -> Vec<String> {
    let parent = std::os::unix::process::parent_id();
    let listed = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).expect("/proc");
    let name =
        |pid: &str| fs::read_to_string(format!("/proc/{pid}/comm")).expect("it lives").trim().to_owned();
    let mut names: Vec<_> = listed.split_whitespace().map(name).collect();
    names.sort();
    names
}

async fn ask(backend: Backend) -> Result<Vec<String>, Error> {
    actors(async |an| an.call_with(Start::new("asked").backend(backend), PARENTS_CHILDREN, ()).await).await
}

/// From now on this process, and those below it, are on a system without clone3(2).
fn have_no_clone3() {
    use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};
    let arch = std::env::consts::ARCH.try_into().expect("an architecture of Linux");
    let refuse = SeccompAction::Errno(38);
    let rules = [(libc::SYS_clone3, vec![])].into();
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, refuse, arch).expect("a filter");
    let filter: BpfProgram = filter.try_into().expect("a filter");
    seccompiler::apply_filter(&filter).expect("always allowed");
}

fn it_is_the_fork_server() {
    let asked: Result<_, Error> = program().try_run(async |_| {
        for _ in 0..3 {
            assert_eq!(ask(Backend::Auto).await?, ["asked", "forks"]);
        }
        Ok(())
    });
    asked.expect("it answers");
}

/// Case S191.
fn where_there_can_be_none_it_is_exec() {
    have_no_clone3();
    let asked: Result<_, Error> = program().try_run(async |_| {
        for _ in 0..3 {
            assert_eq!(ask(Backend::Auto).await?, ["asked"]);
            assert_eq!(children()?, [], "what was tried is gone");
        }
        Ok(())
    });
    asked.expect("it answers");
}

fn who_insists_on_it_is_told_why_there_is_none() {
    have_no_clone3();
    let asked: Result<_, Error> = program().try_run(async |_| {
        for _ in 0..2 {
            let e = ask(Backend::ForkServer).await.expect_err("there can be none");
            assert!(matches!(e.kind(), ErrorKind::Spawn { .. }), "{e:?}");
            let text = e.to_string();
            assert!(text.contains("there can be no fork server here") && text.contains("clone3"), "{text}");
        }
        Ok(())
    });
    asked.expect("each is told");
}

/// How often: the number in `COUNT`, or a few.
fn count() -> u64 {
    std::env::var("COUNT").ok().and_then(|n| n.parse().ok()).unwrap_or(50)
}

fn eight_threads_that_allocate_print_and_hold_locks_harm_nobody() {
    let (ended, lock) = (AtomicBool::new(false), Mutex::new(0_u64));
    std::thread::scope(|s| {
        let busy = [0; 8].map(|byte: u8| {
            let (ended, lock) = (&ended, &lock);
            s.spawn(move || {
                while !ended.load(Ordering::Relaxed) {
                    let mut held = lock.lock().expect("nobody panics");
                    *held += 1;
                    drop(black_box(vec![byte; 4096]));
                    print!("{}", black_box(""));
                    eprint!("{}", black_box(""));
                    drop(held);
                    std::thread::yield_now();
                }
            })
        });
        let asked: Result<_, Error> = program().try_run(async |_| {
            for n in 0..count() {
                let answer: String = actors(async |an| an.call_with("asked", ANSWERS, n).await).await?;
                assert_eq!(answer, format!("{n} of 1"), "a child has its own thread and no other");
                if n % 10 == 0 {
                    let forked: Result<(), Error> =
                        actors(async |an| an.fork("forked", (), async |_: Actor, ()| Ok(())).await).await;
                    let refused = forked.expect_err("there are other threads");
                    assert!(matches!(refused.kind(), ErrorKind::NotSingleThreaded), "{refused:?}");
                }
            }
            Ok(())
        });
        ended.store(true, Ordering::Relaxed);
        // The scope waits for their code only, and not for the threads.
        for thread in busy {
            thread.join().expect("no panic");
        }
        asked.expect("each answers");
    });
    assert!(*lock.lock().expect("nobody panics") > 0, "they were at work");
}
