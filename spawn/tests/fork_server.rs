//! A fork server: what it makes is its owner's, it costs what it costs, and its death is no secret.

#[path = "support/again.rs"]
mod again;
mod support;

use again::{Entry, image, leaves_with_9, reads_until_eof, say, stands_still};
use pleach_executor::{Cancelled, nursery, sleep};
use pleach_spawn::{
    Born, ExitStatus, Fault, ForkServer, Forked, Pid, Plan, Signal, SpawnError, Step, Stops, children,
    no_children, signal_descendant,
};
use std::fs;
use std::future::poll_fn;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Command, ExitCode};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;
use support::{count, end, output_of, program, program_after, read_all, stand_still};

const ENTRIES: &[Entry] = entries![
    stands_still,
    says_that_it_is_up,
    tells_whether_it_can_gain,
    leaves_with_9,
    reads_until_eof,
    tells_its_surroundings,
    tells_its_size,
    makes_one_by_its_twin,
    panics,
    has_no_twin,
    starts_one_of_its_own,
];

/// What `main` leaves where a child of its process can find it.
const LEAVES: &str = "PLEACH_LEAVES";

fn main() -> ExitCode {
    match std::env::var(LEAVES).as_deref() {
        Ok("text") if std::env::var_os("PLEACH_BOOT").is_some() => print!("left in the buffer"),
        Ok("file") if std::env::var_os("PLEACH_BOOT").is_some() => {
            std::mem::forget(fs::File::open("/dev/null").expect("there is one"));
        }
        _ => {}
    }
    again::start(ENTRIES, cases)
}

fn cases() -> ExitCode {
    support::main(cases![
        many_are_made_at_once_and_each_is_its_own,
        a_child_is_a_child_of_the_owner_and_outlives_the_server,
        a_child_has_the_surroundings_of_its_owner_at_that_moment,
        a_child_is_as_small_as_the_server_however_large_its_owner,
        a_server_keeps_nothing_of_those_it_has_made,
        who_waits_is_told_of_the_servers_death_and_nobody_else_notices,
        a_server_that_dies_at_any_moment_leaves_nobody,
        a_server_that_fails_in_its_boot_says_so,
        a_stopped_server_is_put_away_by_the_event,
        where_none_can_be_it_says_so_and_exec_does_it,
        a_full_table_of_descriptors_hangs_nobody,
        privileges_that_were_given_up_are_not_in_a_server,
        who_may_not_kill_its_server_any_more_ends_it_all_the_same,
        what_main_has_left_is_not_shared_by_children,
        a_twin_dies_with_its_owner_although_it_is_stopped,
        a_request_that_is_dropped_leaves_no_child,
        a_run_that_ends_takes_its_server_along,
        a_child_can_bring_a_server_along,
        a_twin_that_nobody_takes_goes_with_its_child,
        a_child_can_start_a_server_of_its_own,
        an_owner_that_is_killed_takes_its_server_along,
        _is_an_owner,
        _asks_with_few_numbers_left,
        _gives_up_privileges,
        _gives_up_its_user,
        _may_not_call,
        _has_a_server_after,
        _has_a_child_without_a_twin,
    ])
}

async fn server() -> ForkServer {
    ForkServer::start(Plan::new("server"), image()).await.expect("exec")
}

async fn made(server: &ForkServer, name: &str) -> Forked {
    server.spawn(&Plan::new(name), &[]).await.expect("the server lives")
}

/// The server has been dropped: it is killed and reaped by the run.
async fn all_are_gone() {
    while !no_children() {
        sleep(Duration::from_millis(1)).await.expect("not cancelled");
    }
}

fn parent_of(pid: Pid) -> i32 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("/proc");
    let line = status.lines().find_map(|line| line.strip_prefix("PPid:")).expect("a parent");
    line.trim().parse().expect("a number")
}

fn many_are_made_at_once_and_each_is_its_own() {
    pleach_executor::run(async {
        let server = server().await;
        let all: Result<(), Cancelled> = nursery(async |n| {
            for _ in 0..count(200) {
                n.spawn(async {
                    let child = made(&server, "leaves_with_9").await;
                    assert_eq!(child.process.wait().await?, ExitStatus::Exited(9));
                    Ok(())
                });
            }
            Ok(())
        })
        .await;
        all.expect("all are made");
        assert!(!server.is_gone());
        drop(server);
        all_are_gone().await;
    });
}

fn a_child_is_a_child_of_the_owner_and_outlives_the_server() {
    pleach_executor::run(async {
        let server = server().await;
        let child = made(&server, "reads_until_eof").await;
        assert_eq!(parent_of(child.process.pid()), Pid::this().as_raw());
        assert_ne!(child.process.pid(), server.pid());
        assert_eq!(fs::read_to_string(format!("/proc/{}/comm", server.pid())).expect("/proc"), "server\n");
        drop(server);
        while let Ok(comm) = fs::read_to_string("/proc/self/task/self/children") {
            if comm.split_whitespace().count() == 1 {
                break;
            }
        }
        assert_eq!(child.process.try_status(), None, "it lives");
        drop(child.link);
        assert_eq!(child.process.wait().await.expect("not cancelled"), ExitStatus::Exited(0));
        all_are_gone().await;
    });
}

// ---- surroundings

fn surroundings() -> String {
    let own = |file: &str| fs::read_to_string(format!("/proc/self/{file}")).expect("/proc");
    let status = own("status");
    let umask = status.lines().find(|line| line.starts_with("Umask:")).expect("umask").to_owned();
    // The 19th field, the 17th behind the name.
    let stat = own("stat");
    let nice = stat.rsplit_once(')').expect("a name").1.split_whitespace().nth(16).expect("nice").to_owned();
    let mut variables: Vec<_> = std::env::vars().collect();
    variables.sort();
    format!(
        "{:?}\n{umask}\n{nice}\n{}{}{variables:?}",
        std::env::current_dir(),
        own("oom_score_adj"),
        own("limits")
    )
}

fn tells_its_surroundings(born: Born, _: Vec<OwnedFd>) -> i32 {
    say(&born, &surroundings())
}

/// Runs a tool of the system on this process.
fn tool(line: &str) {
    let line = line.replace("SELF", &Pid::this().to_string());
    assert!(Command::new("sh").args(["-c", &line]).status().expect("sh").success(), "{line}");
}

fn a_child_has_the_surroundings_of_its_owner_at_that_moment() {
    pleach_executor::run(async {
        let server = server().await;
        let told = async || read_all(made(&server, "tells_its_surroundings").await.link);
        let before = surroundings();
        assert_eq!(told().await, before);
        std::env::set_current_dir("/").expect("it is there");
        tool("prlimit --pid SELF --core=4096:8192 --nofile=200:300 >/dev/null");
        tool("renice -n 5 -p SELF >/dev/null");
        fs::write("/proc/self/oom_score_adj", "77").expect("more is always allowed");
        nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o137));
        let variables = [("PLEACH_NEW", Some("=1")), ("PLEACH_CASE", None), ("HOME", Some(""))];
        let after = temp_env::async_with_vars(variables, async {
            let after = surroundings();
            assert_eq!(told().await, after);
            assert_eq!(told().await, after, "not only the first time");
            after
        })
        .await;
        for (was, is) in before.lines().zip(after.lines()) {
            let may_stay = was.starts_with("Max") || was.starts_with("Limit");
            assert!(may_stay || was != is, "nothing is shown by {was}");
        }
        // And back again, which those that were refused before have shown.
        let changed = surroundings();
        assert_ne!(changed, after);
        assert_eq!(told().await, changed);
        drop(server);
        all_are_gone().await;
    });
}

fn tells_its_size(born: Born, _: Vec<OwnedFd>) -> i32 {
    let status = fs::read_to_string("/proc/self/status").expect("/proc");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
    say(&born, line.trim().trim_end_matches(" kB"))
}

fn a_child_is_as_small_as_the_server_however_large_its_owner() {
    const MB: usize = 1 << 20;
    pleach_executor::run(async {
        let ballast = vec![1_u8; 200 * MB];
        let server = server().await;
        let size: usize = read_all(made(&server, "tells_its_size").await.link).parse().expect("a number");
        assert!(size * 1024 < 20 * MB, "{size} kB");
        assert_eq!(ballast.iter().map(|byte| usize::from(*byte)).sum::<usize>(), 200 * MB);
        drop(server);
        all_are_gone().await;
    });
}

fn a_server_keeps_nothing_of_those_it_has_made() {
    pleach_executor::run(async {
        let server = server().await;
        let held = || {
            let fds = fs::read_dir(format!("/proc/{}/fd", server.pid())).expect("/proc").count();
            let stat = fs::read_to_string(format!("/proc/{}/statm", server.pid())).expect("/proc");
            let pages: u64 = stat.split(' ').next().expect("a size").parse().expect("a number");
            let children = format!("/proc/{0}/task/{0}/children", server.pid());
            (fds, pages, fs::read_to_string(children).expect("/proc"))
        };
        end(made(&server, "leaves_with_9").await.process).await;
        // The last pidfd goes when it is on its way to us: not at once.
        while held().0 > 5 {
            sleep(Duration::from_millis(1)).await.expect("not cancelled");
        }
        let before = held();
        assert_eq!((before.0, before.2.as_str()), (5, ""), "0, 1, 2, its line and its image");
        for _ in 0..count(300) {
            let given = [fs::File::open("/dev/null").expect("there is one").into()];
            let child = server.spawn(&Plan::new("leaves_with_9"), &given).await.expect("it lives").process;
            let _ = child.wait().await.expect("not cancelled");
        }
        while held().0 > 5 {
            sleep(Duration::from_millis(1)).await.expect("not cancelled");
        }
        assert_eq!(held(), before);
        drop(server);
        all_are_gone().await;
    });
}

// ---- death

fn who_waits_is_told_of_the_servers_death_and_nobody_else_notices() {
    pleach_executor::run(async {
        let server = server().await;
        let mut alive = Vec::new();
        for _ in 0..10 {
            alive.push(made(&server, "reads_until_eof").await);
        }
        signal_descendant(server.pid(), Signal::STOP).expect("it lives");
        let waiting: Result<(), Cancelled> = nursery(async |n| {
            for _ in 0..5 {
                n.spawn(async {
                    let refused = server.spawn(&Plan::new("stands_still"), &[]).await;
                    assert!(matches!(refused, Err(SpawnError::ServerGone { .. })), "{refused:?}");
                    Ok(())
                });
            }
            n.spawn(async {
                pleach_executor::checkpoint().await?;
                signal_descendant(server.pid(), Signal::KILL).expect("it is there");
                Ok(())
            });
            Ok(())
        })
        .await;
        waiting.expect("each is told");
        assert!(server.is_gone());
        let refused = server.spawn(&Plan::new("stands_still"), &[]).await;
        assert!(matches!(refused, Err(SpawnError::ServerGone { .. })), "{refused:?}");
        let another = self::server().await;
        end(made(&another, "stands_still").await.process).await;
        for child in alive {
            assert_eq!(child.process.try_status(), None, "it lives");
            drop(child.link);
            assert_eq!(child.process.wait().await.expect("not cancelled"), ExitStatus::Exited(0));
        }
        drop((server, another));
        all_are_gone().await;
    });
}

fn a_server_that_dies_at_any_moment_leaves_nobody() {
    pleach_executor::run(async {
        let (mut told, mut given) = (0, 0);
        for round in 0..count(100) {
            let server = server().await;
            // It is up.
            end(made(&server, "leaves_with_9").await.process).await;
            let killer = std::thread::spawn({
                let pid = server.pid();
                move || {
                    // Some moment or other, between the first request and the last.
                    (0..round * 700 % 90_000).for_each(|_| std::hint::spin_loop());
                    signal_descendant(pid, Signal::KILL).expect("it is there");
                }
            });
            for _ in 0..20 {
                match server.spawn(&Plan::new("stands_still"), &[]).await {
                    Ok(child) => {
                        given += 1;
                        end(child.process).await;
                    }
                    Err(SpawnError::ServerGone { .. }) => {
                        told += 1;
                        break;
                    }
                    Err(e) => panic!("{e}"),
                }
            }
            killer.join().expect("no panic");
            drop(server);
            all_are_gone().await;
        }
        assert!(told > 0 && given > 0, "{told} {given}");
    });
}

fn a_server_that_fails_in_its_boot_says_so() {
    pleach_executor::run(async {
        for step in [Step::Arm, Step::Epoch, Step::Fds, Step::Signals, Step::Attributes, Step::Enter] {
            for fault in [Fault::Exit(3), Fault::Kill, Fault::Panic] {
                let plan = Plan::new("server").fault(step, fault);
                let server = ForkServer::start(plan, image()).await.expect("exec");
                let refused = server.spawn(&Plan::new("stands_still"), &[]).await.expect_err("it is gone");
                assert!(matches!(refused, SpawnError::ServerGone { .. }), "{refused:?}");
                let speaks = refused.to_string().contains(&format!("made to panic in {step}"));
                assert_eq!(speaks, fault == Fault::Panic, "{refused}");
                drop(server);
                all_are_gone().await;
            }
        }
    });
}

fn a_stopped_server_is_put_away_by_the_event() {
    pleach_executor::run(async {
        let stops = Rc::new(Stops::listen().expect("nobody else does"));
        // Before it is asked, and while it is asked.
        for waits in [false, true] {
            let server = server().await;
            server.heed(Rc::clone(&stops));
            end(made(&server, "leaves_with_9").await.process).await;
            let fired = pleach_executor::stats().timers_fired;
            let waiting: Result<(), Cancelled> = nursery(async |n| {
                if !waits {
                    signal_descendant(server.pid(), Signal::STOP).expect("it lives");
                }
                for _ in 0..3 {
                    n.spawn(async {
                        loop {
                            match server.spawn(&Plan::new("stands_still"), &[]).await {
                                Ok(child) => end(child.process).await,
                                Err(refused) => {
                                    let is_told = matches!(refused, SpawnError::ServerGone { .. });
                                    assert!(
                                        is_told && refused.to_string().contains("it was stopped"),
                                        "{refused}"
                                    );
                                    return Ok(());
                                }
                            }
                        }
                    });
                }
                if waits {
                    pleach_executor::checkpoint().await?;
                    signal_descendant(server.pid(), Signal::STOP).expect("it lives");
                }
                Ok(())
            })
            .await;
            waiting.expect("each is told");
            assert_eq!(pleach_executor::stats().timers_fired, fired, "no limit of time had a part in it");
            drop(server);
            all_are_gone().await;
        }
    });
}

/// A system without clone3(2), and a sandbox that refuses memfd_create(2).
fn where_none_can_be_it_says_so_and_exec_does_it() {
    for (call, says) in [("clone3", "clone3"), ("memfd_create", "memfd_create")] {
        let mut command = program("_may_not_call");
        command.env(FORBIDDEN, call);
        let said = output_of(command);
        assert!(said.starts_with("there can be no fork server here: "), "{said}");
        assert!(said.contains(says) && said.ends_with("exec does it\n"), "{said}");
    }
}

/// The name of the system call that `_may_not_call` must not make.
const FORBIDDEN: &str = "PLEACH_FORBIDDEN";

fn _may_not_call() {
    use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};
    let call = match std::env::var(FORBIDDEN).as_deref() {
        Ok("clone3") => libc::SYS_clone3,
        Ok("memfd_create") => libc::SYS_memfd_create,
        other => panic!("{other:?}"),
    };
    let refuse = SeccompAction::Errno(38);
    let arch = std::env::consts::ARCH.try_into().expect("an architecture of Linux");
    let filter = SeccompFilter::new([(call, vec![])].into(), SeccompAction::Allow, refuse, arch);
    let filter: BpfProgram = filter.expect("a filter").try_into().expect("a filter");
    seccompiler::apply_filter(&filter).expect("always allowed");
    pleach_executor::run(async {
        let refused = match ForkServer::start(Plan::new("server"), image()).await {
            Ok(server) => server.spawn(&Plan::new("leaves_with_9"), &[]).await.expect_err("it cannot"),
            Err(refused) => refused,
        };
        assert!(matches!(refused, SpawnError::NoServer { .. }), "{refused:?}");
        println!("{refused}");
        all_are_gone().await;
        let child = pleach_spawn::exec(Plan::new("leaves_with_9"), image(), Vec::new()).await.expect("exec");
        assert_eq!(child.process.wait().await.expect("not cancelled"), ExitStatus::Exited(9));
    });
    println!("exec does it");
}

fn a_full_table_of_descriptors_hangs_nobody() {
    assert_eq!(output_of(program_after("ulimit -n 64; exec", "_asks_with_few_numbers_left")), "all told\n");
}

fn _asks_with_few_numbers_left() {
    pleach_executor::run(async {
        let server = server().await;
        end(made(&server, "leaves_with_9").await.process).await;
        let mut hoard = Vec::new();
        while let Ok(file) = fs::File::open("/dev/null") {
            hoard.push(file);
        }
        let (mut refused, mut given) = (0, 0);
        while hoard.pop().is_some() {
            let told: Result<Vec<bool>, Cancelled> = nursery(async |n| {
                let asked: Vec<_> = (0..6)
                    .map(|_| {
                        n.task(async {
                            match server.spawn(&Plan::new("stands_still"), &[]).await {
                                Ok(child) => {
                                    end(child.process).await;
                                    Ok(true)
                                }
                                Err(SpawnError::System { error, .. }) => {
                                    assert_eq!(error.raw_os_error(), Some(24), "EMFILE: {error}");
                                    Ok(false)
                                }
                                Err(e) => panic!("{e}"),
                            }
                        })
                    })
                    .collect();
                let mut told = Vec::new();
                for one in asked {
                    told.extend(one.await);
                }
                Ok(told)
            })
            .await;
            let told = told.expect("nobody cancels");
            assert_eq!(told.len(), 6);
            given += told.iter().filter(|made| **made).count();
            refused += told.iter().filter(|made| !**made).count();
        }
        assert!(refused > 0 && given > 0, "{refused} {given}");
        drop(server);
        all_are_gone().await;
    });
    println!("all told");
}

/// What its owner has given up a child must not have; the next server has what is left.
fn privileges_that_were_given_up_are_not_in_a_server() {
    assert_eq!(output_of(program("_gives_up_privileges")), "another server\n");
}

fn _gives_up_privileges() {
    pleach_executor::run(async {
        let server = server().await;
        end(made(&server, "leaves_with_9").await.process).await;
        nix::sys::prctl::set_no_new_privs().expect("always allowed");
        let refused = server.spawn(&Plan::new("stands_still"), &[]).await.expect_err("it has more than we");
        assert!(refused.to_string().contains("privileges"), "{refused}");
        assert!(server.is_gone());
        drop(server);
        let another = self::server().await;
        let told = read_all(made(&another, "tells_whether_it_can_gain").await.link);
        assert_eq!(told, "true", "no_new_privs is inherited across exec and fork");
        drop(another);
        all_are_gone().await;
    });
    println!("another server");
}

fn who_may_not_kill_its_server_any_more_ends_it_all_the_same() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("skipped: only root can become somebody else");
        return;
    }
    assert_eq!(output_of(program("_gives_up_its_user")), "nobody is left\n");
}

fn _gives_up_its_user() {
    pleach_executor::run(async {
        let server = server().await;
        end(made(&server, "leaves_with_9").await.process).await;
        nix::unistd::setuid(65534.into()).expect("root may");
        let refused = server.spawn(&Plan::new("stands_still"), &[]).await.expect_err("it has more than we");
        assert!(refused.to_string().contains("privileges"), "{refused}");
        let fired = pleach_executor::stats().timers_fired;
        server.end().await.expect("not cancelled");
        assert_eq!(pleach_executor::stats().timers_fired, fired, "it has ended at once");
        all_are_gone().await;
    });
    println!("nobody is left");
}

fn tells_whether_it_can_gain(born: Born, _: Vec<OwnedFd>) -> i32 {
    say(&born, &nix::sys::prctl::get_no_new_privs().expect("always allowed").to_string())
}

/// `main` has left something in the buffer of its output, and a descriptor open.
fn what_main_has_left_is_not_shared_by_children() {
    let said = output_of({
        let mut command = program("_has_a_server_after");
        command.env(LEAVES, "text");
        command
    });
    assert_eq!(
        said.matches("left in the buffer").count(),
        1,
        "once by the server, not by its children: {said:?}"
    );
    let said = output_of({
        let mut command = program("_has_a_server_after");
        command.env(LEAVES, "file");
        command
    });
    assert!(said.contains("is open before `reborn` is called"), "{said:?}");
    assert_eq!(said.matches("there can be no fork server here").count(), 3, "{said:?}");
    let said = output_of({
        let mut command = program("_has_a_child_without_a_twin");
        command.env(LEAVES, "file");
        command
    });
    assert_eq!(said, "true true\n", "neither has one that was made by exec a server beside it");
}

fn _has_a_child_without_a_twin() {
    pleach_executor::run(async {
        let plan = Plan::new("has_no_twin").with_fork_server();
        let child = pleach_spawn::exec(plan, image(), Vec::new()).await.expect("exec");
        println!("{}", read_all(child.link));
        assert_eq!(child.process.wait().await.expect("not cancelled"), ExitStatus::Exited(0));
    });
}

fn _has_a_server_after() {
    pleach_executor::run(async {
        let server = server().await;
        for _ in 0..3 {
            match server.spawn(&Plan::new("leaves_with_9"), &[]).await {
                Ok(child) => end(child.process).await,
                Err(e) => println!("{e}"),
            }
        }
        drop(server);
        all_are_gone().await;
    });
}

fn a_twin_dies_with_its_owner_although_it_is_stopped() {
    pleach_executor::run(async {
        pleach_spawn::become_subreaper().expect("prctl");
        let server = server().await;
        let plan = Plan::new("says_that_it_is_up").with_fork_server();
        let mut child = server.spawn(&plan, &[]).await.expect("it is made");
        child.link.read_exact(&mut [0]).expect("it is up");
        let below = format!("/proc/{0}/task/{0}/children", child.process.pid());
        let twin: i32 = fs::read_to_string(below).expect("/proc").trim().parse().expect("one");
        // It blocks all signals when it has tied its life to its owner's. Stopped before that, it is the root's to kill.
        let status = || fs::read_to_string(format!("/proc/{twin}/status")).expect("it lives");
        while status().contains("SigBlk:\t0000000000000000") {
            sleep(Duration::from_millis(1)).await.expect("nobody cancels");
        }
        signal_descendant(Pid::from_raw(twin), Signal::STOP).expect("it lives");
        end(child.process).await;
        drop(server);
        let ends = support::reap_all_strangers().await;
        assert!(ends.iter().any(|end| end.signal() == Some(Signal::KILL)), "{ends:?}");
    });
    assert!(no_children());
}

fn a_request_that_is_dropped_leaves_no_child() {
    pleach_executor::run(async {
        let server = server().await;
        for polls in 1..12 {
            let plan = Plan::new("stands_still");
            let mut request = Box::pin(server.spawn(&plan, &[]));
            for _ in 0..polls {
                let polled = poll_fn(|cx| Poll::Ready(request.as_mut().poll(cx)));
                if let Poll::Ready(made) = polled.await {
                    end(made.expect("the server lives").process).await;
                    break;
                }
                pleach_executor::yield_now().await;
            }
            drop(request);
            // It serves in order: what was dropped before has been made when this is.
            end(made(&server, "stands_still").await.process).await;
        }
        drop(server);
        all_are_gone().await;
    });
}

fn a_run_that_ends_takes_its_server_along() {
    let idle = pleach_executor::run(async {
        let server = server().await;
        end(made(&server, "stands_still").await.process).await;
        server
    });
    assert!(no_children());
    assert!(idle.is_gone());
    drop(idle);
    let asked = pleach_executor::run(async {
        let server = server().await;
        // With a request that nobody waits for any more.
        let plan = Plan::new("stands_still");
        let mut request = Box::pin(server.spawn(&plan, &[]));
        let polled = poll_fn(|cx| Poll::Ready(request.as_mut().poll(cx).is_ready()));
        assert!(!polled.await);
        drop(request);
        server
    });
    assert!(no_children());
    drop(asked);
}

// ---- servers of children

fn makes_one_by_its_twin(born: Born, _: Vec<OwnedFd>) -> i32 {
    let made = pleach_executor::run(async {
        let server = ForkServer::of(&born).expect("descriptors").expect("it was born with one");
        assert!(ForkServer::of(&born).expect("nothing to be refused").is_none(), "once");
        let child = made(&server, "leaves_with_9").await;
        let parent = parent_of(child.process.pid());
        let status = child.process.wait().await.expect("not cancelled");
        drop(server);
        all_are_gone().await;
        format!("{} {status:?}", parent == Pid::this().as_raw())
    });
    say(&born, &made)
}

fn has_no_twin(born: Born, _: Vec<OwnedFd>) -> i32 {
    let none =
        pleach_executor::run(async { ForkServer::of(&born).expect("nothing to be refused").is_none() });
    say(&born, &format!("{none} {}", no_children()))
}

fn a_child_can_bring_a_server_along() {
    pleach_executor::run(async {
        let server = server().await;
        let by_server = server.spawn(&Plan::new("makes_one_by_its_twin").with_fork_server(), &[]).await;
        let by_exec =
            pleach_spawn::exec(Plan::new("makes_one_by_its_twin").with_fork_server(), image(), Vec::new());
        for child in [by_server, by_exec.await] {
            let child = child.expect("it is made");
            assert_eq!(read_all(child.link), "true Exited(9)");
            assert_eq!(child.process.wait().await.expect("not cancelled"), ExitStatus::Exited(0));
        }
        assert_eq!(read_all(made(&server, "has_no_twin").await.link), "true true");
        drop(server);
        all_are_gone().await;
    });
}

fn panics(_: Born, _: Vec<OwnedFd>) -> i32 {
    panic!("as it was told to")
}

fn a_twin_that_nobody_takes_goes_with_its_child() {
    pleach_executor::run(async {
        pleach_spawn::become_subreaper().expect("prctl");
        let server = server().await;
        let ours = children().expect("/proc");
        for name in ["leaves_with_9", "panics"] {
            let plan = Plan::new(name).with_fork_server();
            let child = server.spawn(&plan, &[]).await.expect("it is made").process;
            let _ = child.wait().await.expect("not cancelled");
            assert_eq!(children().expect("/proc"), ours, "{name}: nothing of it has come to us");
        }
        // One that is killed cannot see to it; the kernel does.
        let plan = Plan::new("stands_still").with_fork_server();
        let child = server.spawn(&plan, &[]).await.expect("it is made");
        end(child.process).await;
        drop(server);
        let _ = support::reap_all_strangers().await;
    });
    assert!(no_children());
}

fn starts_one_of_its_own(born: Born, _: Vec<OwnedFd>) -> i32 {
    let text = pleach_executor::run(async {
        let server = server().await;
        let child = made(&server, "leaves_with_9").await;
        let status = child.process.wait().await.expect("not cancelled");
        drop(server);
        all_are_gone().await;
        format!("{status:?}")
    });
    say(&born, &text)
}

fn a_child_can_start_a_server_of_its_own() {
    pleach_executor::run(async {
        let server = server().await;
        assert_eq!(read_all(made(&server, "starts_one_of_its_own").await.link), "Exited(9)");
        drop(server);
        all_are_gone().await;
    });
}

fn says_that_it_is_up(born: Born, _: Vec<OwnedFd>) -> i32 {
    let mut link = UnixStream::from(born.take_link().expect("once"));
    link.write_all(b"u").expect("its owner reads");
    stand_still()
}

/// Has a server and a child, says so, and waits to be killed.
fn _is_an_owner() {
    pleach_executor::run(async {
        let server = server().await;
        let mut child = made(&server, "says_that_it_is_up").await;
        child.link.read_exact(&mut [0]).expect("it is up");
        println!("{} {}", server.pid(), child.process.pid());
        std::io::stdout().flush().expect("it is read");
        stand_still()
    })
}

fn an_owner_that_is_killed_takes_its_server_along() {
    use std::io::{BufRead, BufReader};
    pleach_spawn::become_subreaper().expect("prctl");
    let mut owner = program("_is_an_owner").stdout(std::process::Stdio::piped()).spawn().expect("it starts");
    let mut line = String::new();
    let mut output = BufReader::new(owner.stdout.take().expect("piped"));
    output.read_line(&mut line).expect("text");
    assert_eq!(line.split_whitespace().count(), 2, "{line}");
    owner.kill().expect("it lives");
    let _ = owner.wait().expect("ours");
    let ends = pleach_executor::run(support::reap_all_strangers());
    // A server also sees the end of its line, and may be the first to act on that.
    let of_server = ends.iter().filter(|end| **end == ExitStatus::Exited(0)).count();
    let killed = ends.iter().filter(|end| end.signal() == Some(Signal::KILL)).count();
    assert!(killed + of_server == 2 && killed > 0, "{ends:?}");
}
