//! What a forked child has, and what it cannot do to its parent.

mod support;

use pleach_executor::fd::AsyncFd;
use pleach_executor::{low_level, net};
use pleach_spawn::{
    Born, ExitStatus, Fault, Plan, Signal, Signals, Step, fork, open_fds, signal_state, thread_count,
};
use std::cell::Cell;
use std::fs::File;
use std::io::{Read, Write, pipe};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use support::{end, output_of, program, program_after, read_all};

/// The signal by whose being ignored a process of a tree is known, as a bit.
const MARK: u64 = 1 << 63;

fn main() -> ExitCode {
    support::main(cases![
        a_child_has_what_was_declared_granted_and_tombstones,
        a_child_has_one_thread_clean_signals_and_its_own_name,
        inherited_writers_never_reach_a_socket_of_the_child,
        dropping_inherited_owners_closes_nothing_of_the_child,
        a_captured_file_that_was_not_granted_is_a_tombstone,
        a_grant_keeps_its_number_and_leaves_the_parent,
        the_parents_registrations_survive_the_life_of_a_child,
        a_child_that_holds_a_dup_makes_no_ghost_events,
        wakes_in_the_child_do_not_wake_the_parent,
        a_sibling_does_not_hold_a_link_open,
        a_panic_stays_in_the_child_and_says_where,
        a_panic_after_the_link_was_taken_still_speaks,
        buffered_text_appears_once,
        guards_on_the_parents_stack_do_not_run_in_children,
        captures_are_dropped_in_the_parent_after_the_reap,
        every_step_of_the_boot_can_fail_in_every_way,
        a_child_stopped_in_its_boot_can_be_put_down,
        forks_nest_without_using_up_numbers,
        a_granted_socket_works_with_the_childs_reactor,
        _forks_64_deep,
        _logs_to_an_inherited_file,
        _prints_before_it_forks,
    ])
}

fn say(born: &Born, text: &str) {
    let mut link = UnixStream::from(born.take_link().expect("the first to take it"));
    link.write_all(text.as_bytes()).expect("the parent reads");
}

fn a_child_has_what_was_declared_granted_and_tombstones() {
    pleach_executor::run(async {
        let users = File::open("/proc/self/status").expect("/proc");
        let sibling = fork(Plan::new("sibling"), (), |_, _| support::stand_still()).await.expect("fork");
        let (reader, writer) = pipe().expect("a pipe");
        let granted = writer.as_raw_fd();
        let owned = low_level::owned_fds();
        // The user's file, the sibling's link (a type of std), the pipe's other end, and whatever this test was
        // born with.
        let expected: Vec<i32> = open_fds().expect("/proc").into_iter().map(|(fd, _)| fd).collect();
        let expected: Vec<i32> =
            expected.into_iter().filter(|fd| *fd > 2 && *fd != granted && !owned.contains(fd)).collect();
        assert!(
            [users.as_raw_fd(), sibling.link.as_raw_fd(), reader.as_raw_fd()]
                .iter()
                .all(|fd| expected.contains(fd))
        );
        let child = fork(Plan::new("child"), writer, |born, _granted| {
            let link = born.take_link().expect("once");
            let listed: Vec<String> =
                open_fds().expect("/proc").iter().map(|(fd, target)| format!("{fd} {target}")).collect();
            let text = format!("link {}\n{}", link.as_raw_fd(), listed.join("\n"));
            UnixStream::from(link).write_all(text.as_bytes()).expect("the parent reads");
            0
        });
        let child = child.await.expect("fork");
        let text = read_all(child.link);
        assert_eq!(child.process.wait().await.expect("not cancelled"), ExitStatus::Exited(0));
        let mut lines = text.lines();
        let link: i32 =
            lines.next().and_then(|l| l.strip_prefix("link ")).expect("link").parse().expect("a number");
        let mut tombstones: Vec<i32> = Vec::new();
        let mut sockets = 0;
        for line in lines {
            let (fd, target) = line.split_once(' ').expect("number and target");
            match fd.parse::<i32>().expect("a number") {
                0..=2 => {}
                fd if fd == granted => assert!(target.starts_with("pipe:"), "{line}"),
                // The link, and its second number during the boot.
                _ if target.starts_with("socket:") => sockets += 1,
                fd => {
                    assert_eq!(target, "/dev/null", "{text}");
                    tombstones.push(fd);
                }
            }
        }
        assert!(text.contains(&format!("\n{link} socket:")) && sockets == 2, "{text}");
        assert_eq!(tombstones, expected, "{text}");
        end(sibling.process).await;
    });
}

fn a_child_has_one_thread_clean_signals_and_its_own_name() {
    pleach_executor::run(async {
        let _heard = Signals::listen(&[Signal::TERM, Signal::USR1]).expect("signals");
        let child = fork(Plan::new("a name of more than 15 bytes"), (), |born, _| {
            let signals = signal_state().expect("/proc");
            let name = std::fs::read_to_string("/proc/self/comm").expect("/proc");
            let threads = thread_count().expect("/proc");
            say(
                &born,
                &format!("{threads} {} {} {} {name}", signals.blocked, signals.ignored, signals.caught),
            );
            0
        });
        let child = child.await.expect("fork");
        let text = read_all(child.link);
        let mut words = text.trim_end_matches('\n').splitn(5, ' ');
        assert_eq!(words.next(), Some("1"));
        assert_eq!(words.next(), Some("0"), "blocked");
        let bit = |s: Signal| 1_u64 << (s.as_raw() - 1);
        // Signals 32 and 33 are libc's own: it lets nobody else set them.
        let ignored: u64 = words.next().expect("ignored").parse().expect("a number");
        assert_eq!(ignored & !(0b11 << 31), bit(Signal::PIPE) | bit(Signal::INT) | MARK);
        let caught: u64 = words.next().expect("caught").parse().expect("a number");
        assert_eq!(
            caught & !(bit(Signal::SEGV) | bit(Signal::BUS) | 0b11 << 31),
            0,
            "only the guard of the stack is kept"
        );
        assert_eq!(words.next(), Some("a name of more "));
        assert_eq!(child.process.wait().await.expect("not cancelled"), ExitStatus::Exited(0));
    });
}

static LOG: OnceLock<File> = OnceLock::new();

fn inherited_writers_never_reach_a_socket_of_the_child() {
    assert_eq!(output_of(program("_logs_to_an_inherited_file")), "all whole\n");
}

fn _logs_to_an_inherited_file() {
    // Like a logger: opened before the fork, written to by whoever has an error to report.
    let log = File::options().write(true).open("/dev/null").expect("/dev/null");
    LOG.set(log).expect("the first");
    pleach_executor::run(async {
        let child = fork(Plan::new("child"), (), |born, _| {
            pleach_executor::run(async {
                let echo = fork(Plan::new("echo"), (), |born, _| {
                    let mut link = UnixStream::from(born.take_link().expect("once"));
                    let mut frame = [0; 8];
                    while link.read_exact(&mut frame).is_ok() {
                        link.write_all(&frame).expect("the asker listens");
                    }
                    0
                });
                let mut echo = echo.await.expect("fork");
                for n in 0..10_000_u64 {
                    if n % 10 == 0 {
                        LOG.get().expect("inherited").write_all(b"ERROR").expect("/dev/null takes all");
                    }
                    echo.link.write_all(&n.to_le_bytes()).expect("echo lives");
                    let mut frame = [0; 8];
                    echo.link.read_exact(&mut frame).expect("echo lives");
                    assert_eq!(u64::from_le_bytes(frame), n, "a log line is in the frames");
                }
                drop(echo.link);
                assert_eq!(echo.process.wait().await.expect("not cancelled"), ExitStatus::Exited(0));
            });
            say(&born, "all whole");
            0
        })
        .await
        .expect("fork");
        println!("{}", read_all(child.link));
        assert_eq!(child.process.wait().await.expect("not cancelled"), ExitStatus::Exited(0));
    });
}

fn dropping_inherited_owners_closes_nothing_of_the_child() {
    pleach_executor::run(async {
        let sibling = fork(Plan::new("sibling"), (), |_, _| support::stand_still()).await.expect("fork");
        let pid = sibling.process.pid();
        let users = File::open("/proc/self/status").expect("/proc");
        let heard = Signals::listen(&[Signal::USR1]).expect("signals");
        let registered = AsyncFd::new(OwnedFd::from(pipe().expect("a pipe").0)).expect("a registration");
        let kept = Rc::new(Cell::new(Some((sibling, users, heard, registered))));
        let inherited = Rc::clone(&kept);
        let child = fork(Plan::new("child"), (), move |born, _| {
            // As many numbers of its own as it takes to use every one that was freed.
            let mut own: Vec<_> = (0..16).map(|_| pipe().expect("a pipe")).collect();
            drop(inherited.take());
            for (reader, writer) in &mut own {
                writer.write_all(b"x").expect("still open");
                reader.read_exact(&mut [0]).expect("still open");
            }
            say(&born, "all open");
            0
        })
        .await
        .expect("fork");
        assert_eq!(read_all(child.link), "all open");
        assert_eq!(child.process.wait().await.expect("not cancelled"), ExitStatus::Exited(0));
        let (sibling, ..) = kept.take().expect("the parent's copy");
        assert_eq!(sibling.process.try_status(), None, "the child's drop has not killed {pid}");
        end(sibling.process).await;
    });
}

fn a_captured_file_that_was_not_granted_is_a_tombstone() {
    let (reader, mut writer) = pipe().expect("a pipe");
    pleach_executor::run(async {
        let mut copy = writer.try_clone().expect("a number");
        let child = fork(Plan::new("child"), (), move |_, _| {
            copy.write_all(b"from the child").expect("/dev/null takes all");
            0
        });
        let child = child.await.expect("fork").process;
        assert_eq!(child.wait().await.expect("not cancelled"), ExitStatus::Exited(0));
    });
    writer.write_all(b"from the parent").expect("open");
    drop(writer);
    let mut text = String::new();
    { reader }.read_to_string(&mut text).expect("text");
    assert_eq!(text, "from the parent");
}

fn a_grant_keeps_its_number_and_leaves_the_parent() {
    pleach_executor::run(async {
        let (mut reader, writer) = pipe().expect("a pipe");
        let number = writer.as_raw_fd();
        let child = fork(Plan::new("child"), (writer,), move |_, grants| {
            let (mut writer,) = grants.adopt().expect("nothing to register");
            write!(writer, "{}", writer.as_raw_fd()).expect("the parent reads");
            0
        })
        .await
        .expect("fork");
        let mut text = String::new();
        // To the end: it comes because the parent's copy has been closed.
        reader.read_to_string(&mut text).expect("text");
        assert_eq!(text, number.to_string());
        assert_eq!(child.process.wait().await.expect("not cancelled"), ExitStatus::Exited(0));
    });
}

fn the_parents_registrations_survive_the_life_of_a_child() {
    pleach_executor::run(async {
        let mut sources = Vec::new();
        for _ in 0..100 {
            let (reader, writer) = pipe().expect("a pipe");
            sources.push((AsyncFd::new(OwnedFd::from(reader)).expect("a registration"), writer));
        }
        let sources = Rc::new(Cell::new(Some(sources)));
        let inherited = Rc::clone(&sources);
        let child = fork(Plan::new("child"), (), move |_, _| {
            drop(inherited.take());
            pleach_executor::run(async {
                let (reader, mut writer) = pipe().expect("a pipe");
                let own = AsyncFd::new(OwnedFd::from(reader)).expect("a registration");
                writer.write_all(b"x").expect("open");
                own.readable().await.expect("not cancelled");
            });
            0
        })
        .await
        .expect("fork");
        assert_eq!(child.process.wait().await.expect("not cancelled"), ExitStatus::Exited(0));
        for (source, writer) in &mut sources.take().expect("the parent's copy") {
            writer.write_all(b"x").expect("the reader is open");
            source.readable().await.expect("not cancelled");
        }
    });
}

fn a_child_that_holds_a_dup_makes_no_ghost_events() {
    pleach_executor::run(async {
        let (reader, mut writer) = pipe().expect("a pipe");
        let source = AsyncFd::new(OwnedFd::from(reader)).expect("a registration");
        // Stopped before its first step: it holds everything that this process has open.
        let plan = Plan::new("child").fault(Step::Arm, Fault::Stop);
        let child = fork(plan, (), |_, _| support::stand_still()).await.expect("fork").process;
        drop(source);
        writer.write_all(b"x").expect("the child's copy can be read");
        let before = pleach_executor::stats();
        pleach_executor::sleep(std::time::Duration::from_millis(20)).await.expect("not cancelled");
        let after = pleach_executor::stats();
        assert!(after.turns - before.turns < 10, "{before:?} {after:?}");
        end(child).await;
    });
}

/// Case S133.
fn wakes_in_the_child_do_not_wake_the_parent() {
    pleach_executor::run(async {
        let waker = std::future::poll_fn(|cx| std::task::Poll::Ready(cx.waker().clone())).await;
        let parents = waker.clone();
        let (mut reader, writer) = pipe().expect("a pipe");
        let child = fork(Plan::new("child"), (writer,), move |_, grants| {
            let (mut writer,) = grants.adopt().expect("nothing to register");
            for _ in 0..1000 {
                waker.wake_by_ref();
            }
            let elsewhere = waker.clone();
            std::thread::spawn(move || (0..1000).for_each(|_| elsewhere.wake_by_ref()))
                .join()
                .expect("no panic");
            writer.write_all(b"done").expect("the parent reads");
            support::stand_still()
        });
        let child = child.await.expect("fork");
        reader.read_exact(&mut [0; 4]).expect("the child writes");
        assert_eq!(rings(), 0);
        // A wake of the parent's own is seen: as soon as one of another thread finds the loop asleep.
        let rung = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&rung);
        let thread = std::thread::spawn(move || {
            while rings() == 0 {
                parents.wake_by_ref();
                std::thread::yield_now();
            }
            rung.store(true, Ordering::Release);
            parents.wake();
        });
        std::future::poll_fn(|_| {
            if seen.load(Ordering::Acquire) { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
        })
        .await;
        thread.join().expect("no panic");
        child.process.signal(Signal::KILL).expect("it lives");
        assert_eq!(child.process.wait().await.expect("not cancelled").signal(), Some(Signal::KILL));
    });
}

/// How often the bells of this process have been rung.
fn rings() -> u64 {
    let bells = open_fds().expect("/proc").into_iter().filter(|(_, target)| target == "anon_inode:[eventfd]");
    bells
        .map(|(fd, _)| {
            let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{fd}")).expect("/proc");
            let count = info.lines().find_map(|line| line.strip_prefix("eventfd-count:")).expect("a counter");
            u64::from_str_radix(count.trim(), 16).expect("a number")
        })
        .sum()
}

fn a_sibling_does_not_hold_a_link_open() {
    fn until_eof(born: &Born) -> i32 {
        let link = born.take_link().expect("once");
        assert_eq!(read_all(UnixStream::from(link)), "");
        0
    }
    pleach_executor::run(async {
        let a = fork(Plan::new("a"), (), |born, _| until_eof(&born)).await.expect("fork");
        let b = fork(Plan::new("b"), (), |born, _| until_eof(&born)).await.expect("fork");
        drop(a.link);
        assert_eq!(a.process.wait().await.expect("not cancelled"), ExitStatus::Exited(0));
        assert_eq!(b.process.try_status(), None, "b lives, with its own link");
        drop(b.link);
        assert_eq!(b.process.wait().await.expect("not cancelled"), ExitStatus::Exited(0));
    });
}

/// A directory that is removed when the guard goes.
struct TempDir(PathBuf);

impl TempDir {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("pleach-{name}-{}", std::process::id()));
        std::fs::create_dir(&path).expect("a new directory");
        Self(path)
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).expect("it is still there");
    }
}

fn a_panic_stays_in_the_child_and_says_where() {
    let dir = TempDir::new("panic");
    let after = dir.0.join("after");
    pleach_executor::run(async {
        let child = fork(Plan::new("child"), (), |_, _| panic!("the cause, {}", 42)).await.expect("fork");
        let words = read_all(child.link);
        assert!(words.contains("the cause, 42") && words.contains("child.rs:"), "{words}");
        let status = child.process.wait().await.expect("not cancelled");
        assert_eq!(status, ExitStatus::Exited(Step::Enter.exit_code()));
    });
    // Whoever comes here appends a line; the child must not.
    let mut file = File::options().create(true).append(true).open(&after).expect("the directory is there");
    writeln!(file, "{}", std::process::id()).expect("written");
    assert_eq!(std::fs::read_to_string(&after).expect("text").lines().count(), 1);
}

fn a_panic_after_the_link_was_taken_still_speaks() {
    pleach_executor::run(async {
        let child = fork(Plan::new("child"), (), |born, _| {
            let _link = born.take_link();
            born.step(Step::Spec);
            panic!("late")
        })
        .await
        .expect("fork");
        assert!(read_all(child.link).contains("late"));
        let status = child.process.wait().await.expect("not cancelled");
        assert_eq!(status, ExitStatus::Exited(Step::Spec.exit_code()));
    });
}

fn buffered_text_appears_once() {
    let text = output_of(program("_prints_before_it_forks"));
    assert_eq!(text, format!("once{}", "child\n".repeat(100)));
}

fn _prints_before_it_forks() {
    print!("once");
    pleach_executor::run(async {
        for _ in 0..100 {
            let child = fork(Plan::new("child"), (), |_, _| {
                // Writes out whatever else is in the buffer it inherited.
                println!("child");
                0
            });
            let child = child.await.expect("fork").process;
            assert_eq!(child.wait().await.expect("not cancelled"), ExitStatus::Exited(0));
        }
    });
}

fn guards_on_the_parents_stack_do_not_run_in_children() {
    let dir = TempDir::new("guards");
    let path = dir.0.join("listener");
    let listener = UnixListener::bind(&path).expect("a new socket");
    pleach_executor::run(async {
        for _ in 0..100 {
            let child = fork(Plan::new("child"), (), |_, _| 0).await.expect("fork");
            assert_eq!(child.process.wait().await.expect("not cancelled"), ExitStatus::Exited(0));
        }
    });
    let _client = UnixStream::connect(&path).expect("the path is there");
    listener.accept().expect("it accepts");
}

fn captures_are_dropped_in_the_parent_after_the_reap() {
    struct Noted(Rc<Cell<bool>>);
    impl Drop for Noted {
        fn drop(&mut self) {
            self.0.set(true);
        }
    }
    pleach_executor::run(async {
        let dropped = Rc::new(Cell::new(false));
        let captured = Noted(Rc::clone(&dropped));
        let child = fork(Plan::new("child"), (), move |_, _| {
            let _mine = &captured;
            0
        })
        .await
        .expect("fork");
        child.process.exited().await.expect("not cancelled");
        assert!(!dropped.get(), "dead, and not reaped");
        assert_eq!(child.process.try_status(), Some(ExitStatus::Exited(0)));
        assert!(dropped.get());
    });
}

fn every_step_of_the_boot_can_fail_in_every_way() {
    pleach_executor::run(async {
        for step in Step::ALL {
            for fault in [Fault::Exit(7), Fault::Panic, Fault::Kill] {
                let plan = Plan::new("child").fault(step, fault);
                let child = fork(plan, (), |born, _| {
                    for step in Step::ALL.into_iter().filter(|s| *s > Step::Enter) {
                        born.step(step);
                    }
                    0
                })
                .await
                .expect("fork");
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
            let plan = Plan::new("child").fault(step, Fault::Stop);
            let child = fork(plan, (), |_, _| support::stand_still()).await.expect("fork");
            child.process.signal(Signal::KILL).expect("it is there");
            assert_eq!(child.process.wait().await.expect("not cancelled").signal(), Some(Signal::KILL));
        }
    });
}

fn forks_nest_without_using_up_numbers() {
    assert_eq!(output_of(program_after("ulimit -n 128; exec", "_forks_64_deep")), "came back\n");
}

fn _forks_64_deep() {
    async fn level(depth: u32) -> usize {
        if depth == 0 {
            return open_fds().expect("/proc").len();
        }
        let child = fork(Plan::new("level"), (), move |born, _| {
            let link = born.take_link().expect("once");
            pleach_executor::run(async {
                // As an actor does it: the link belongs to the runtime, the boot is over.
                let link = net::UnixStream::from_std(link.into()).expect("a registration");
                born.arm_running(std::time::Duration::from_secs(60)).expect("prctl");
                let below = level(depth - 1).await;
                link.write_all(below.to_string().as_bytes()).await.expect("the parent reads");
            });
            0
        })
        .await
        .expect("fork");
        let text = read_all(child.link);
        assert_eq!(child.process.wait().await.expect("not cancelled"), ExitStatus::Exited(0));
        text.parse().expect("a number")
    }
    let (shallow, deep) = pleach_executor::run(async { (level(2).await, level(64).await) });
    assert_eq!(shallow, deep);
    println!("came back");
}

fn a_granted_socket_works_with_the_childs_reactor() {
    pleach_executor::run(async {
        let (ours, theirs) = net::UnixStream::pair().expect("a pair");
        let child = fork(Plan::new("child"), (Some(theirs), ()), |_, granted| {
            pleach_executor::run(async {
                let (socket, ()) = granted.adopt().expect("a registration");
                let socket = socket.expect("it was granted");
                let mut frame = [0; 8];
                let n = socket.read(&mut frame).await.expect("the parent writes");
                socket.write_all(&frame[..n]).await.expect("the parent reads");
            });
            0
        });
        let child = child.await.expect("fork").process;
        ours.write_all(b"frame").await.expect("the child reads");
        let mut frame = [0; 8];
        assert_eq!(ours.read(&mut frame).await.expect("the child writes"), 5);
        assert_eq!(ours.read(&mut frame).await.expect("the child's is the only other end"), 0);
        assert_eq!(child.wait().await.expect("not cancelled"), ExitStatus::Exited(0));
    });
}
