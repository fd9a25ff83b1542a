//! Children that are this program started again: what they have, and what they have not.

#[path = "support/again.rs"]
mod again;
mod support;

use again::{
    Entry, SERVER, exec, execed, image, leaves_at_once, reads_until_eof, said_by, say, stands_still,
};
use pleach_spawn::{
    Born, ExitStatus, Pid, Plan, Signal, Signals, Step, fork, no_children, open_fds, signal_state,
    thread_count,
};
use std::ffi::OsString;
use std::fs::File;
use std::io::{PipeReader, Read, Write, pipe};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};
use std::sync::{Mutex, mpsc};
use std::time::Duration;
use support::{Case, count, end, output_of, program, program_after, read_all, stand_still};

const ENTRIES: &[Entry] = entries![
    tells_where_it_is,
    tells_its_descriptors,
    tells_its_signals,
    tells_its_build,
    tells_how_a_command_starts,
    writes_its_place_to_each,
    stands_still,
    leaves_at_once,
    reads_until_eof,
    execs_in_turn,
    forks_in_turn,
    runs_until_eof,
];

/// Numbers that some case wants to be free later.
static LOW: Mutex<Vec<File>> = Mutex::new(Vec::new());

/// A thread that runs when `reborn` is called, for the one case that asks what comes of it.
const EARLY_THREAD: &str = "PLEACH_EARLY_THREAD";

/// The signal by whose being ignored a process of a tree is known, as a bit.
const MARK: u64 = 1 << 63;

fn main() -> ExitCode {
    if std::env::var("PLEACH_CASE").is_ok_and(|case| case == "_has_low_numbers_to_give") {
        LOW.lock().expect("no panic").extend((0..5).map(|_| File::open("/dev/null").expect("/dev/null")));
    }
    if std::env::var_os(EARLY_THREAD).is_some() {
        std::thread::spawn(|| stand_still());
    }
    again::start(ENTRIES, cases)
}

/// What is true of an exec alone: its numbers, the memory that it does not copy, and that it runs `main` itself.
const EXEC_ALONE: &[&str] = &[
    "numbers_that_collide_find_their_places",
    "a_child_with_threads_before_its_diversion_says_so",
    "an_exec_copies_no_memory",
];

fn cases() -> ExitCode {
    let all: &[Case] = cases![
        a_child_starts_where_its_parent_is,
        a_marker_is_seen_by_nobody_but_the_child,
        a_marker_of_somebody_else_makes_no_child,
        a_child_has_its_link_what_was_given_and_nothing_else,
        descriptors_that_are_inherited_by_all_are_not_by_children,
        numbers_that_collide_find_their_places,
        a_given_descriptor_leaves_the_parent,
        a_child_has_clean_signals_and_its_own_name,
        signals_that_the_parent_blocks_or_ignores_reach_children,
        a_terminals_ctrl_c_does_not_end_a_booting_child,
        signals_at_a_child_never_run_the_parents_handler,
        signals_at_a_whole_group_do_not_confuse_a_birth,
        a_parent_may_have_threads,
        a_child_can_be_made_on_any_thread,
        a_child_with_threads_before_its_diversion_says_so,
        children_of_children_are_of_the_same_build,
        an_image_works_in_a_forked_child,
        a_replaced_file_changes_nothing_for_children,
        an_exec_copies_no_memory,
        _says_how_it_started,
        _has_low_numbers_to_give,
        _lists_a_childs_descriptors,
        _asks_a_child_for_its_signals,
        _starts_children_under_fire,
        _execs_with_an_early_thread,
        _replaces_its_file,
        _execs_once,
    ];
    let fits = |(name, _): &&Case| !SERVER || !EXEC_ALONE.contains(name);
    support::main(&all.iter().filter(fits).copied().collect::<Vec<_>>())
}

/// From now on the end of the parent is no kill.
fn up(born: &Born, grace: Duration) {
    born.arm_running(grace).expect("prctl");
}

// ---- what a child has

fn where_it_is() -> String {
    let words: Vec<OsString> = std::env::args_os().collect();
    let case = std::env::var("PLEACH_CASE");
    let cwd = std::env::current_dir();
    let stdio = [0, 1, 2].map(|fd| std::fs::read_link(format!("/proc/self/fd/{fd}")));
    let program = std::env::current_exe();
    format!("{words:?} {case:?} {cwd:?} {stdio:?} {program:?}")
}

fn tells_where_it_is(born: Born, _: Vec<OwnedFd>) -> i32 {
    say(&born, &where_it_is())
}

fn a_child_starts_where_its_parent_is() {
    let dir = TempDir::new("cwd");
    std::env::set_current_dir(&dir.0).expect("it is there");
    pleach_executor::run(async {
        assert_eq!(said_by("tells_where_it_is", Vec::new()).await, where_it_is());
    });
    std::env::set_current_dir("/").expect("it is there");
}

fn how_it_started() -> String {
    let marker = std::env::vars_os().any(|(key, _)| key == "PLEACH_BOOT");
    // What the kernel still shows is the block of the exec, not the environment.
    format!("marker {marker}, case {:?}", std::env::var("PLEACH_CASE"))
}

/// Comes here only through `Start::Root`.
fn _says_how_it_started() {
    print!("{}", how_it_started());
}

fn tells_how_a_command_starts(born: Born, _: Vec<OwnedFd>) -> i32 {
    say(&born, &format!("{} | {}", how_it_started(), output_of(program("_says_how_it_started"))))
}

fn a_marker_is_seen_by_nobody_but_the_child() {
    pleach_executor::run(async {
        let text = said_by("tells_how_a_command_starts", Vec::new()).await;
        let case = "a_marker_is_seen_by_nobody_but_the_child";
        let expected =
            format!("marker false, case Ok({case:?}) | marker false, case Ok(\"_says_how_it_started\")");
        assert_eq!(text, expected);
    });
}

fn a_marker_of_somebody_else_makes_no_child() {
    for parent in [Pid::this().as_raw(), 1, 4_000_000] {
        for text in [format!("2 {parent} 0 tied leaf - stands_still"), format!("2 {parent} 0"), String::new()]
        {
            let mut command = program("_says_how_it_started");
            command.env("PLEACH_BOOT", text);
            assert_eq!(output_of(command), "marker false, case Ok(\"_says_how_it_started\")");
        }
    }
}

fn listed() -> String {
    let fds = open_fds().expect("/proc").into_iter().filter(|(fd, _)| *fd > 2);
    fds.map(|(fd, target)| format!("{fd} {target}\n")).collect()
}

/// What it has, and what a program that it starts has.
fn tells_its_descriptors(born: Born, given: Vec<OwnedFd>) -> i32 {
    let numbers: Vec<RawFd> = given.iter().map(AsRawFd::as_raw_fd).collect();
    let listed = listed();
    let command = Command::new("ls").arg("/proc/self/fd").stderr(Stdio::inherit()).output().expect("ls");
    let inherited = String::from_utf8(command.stdout).expect("text");
    say(&born, &format!("{numbers:?}\n{listed}{inherited}"))
}

async fn has_exactly_what_was_given() {
    let (reader, writer) = pipe().expect("a pipe");
    let file = File::open("/dev/null").expect("/dev/null");
    let text = said_by("tells_its_descriptors", vec![writer.into(), file.into()]).await;
    drop(reader);
    let lines: Vec<&str> = text.lines().collect();
    let executable = std::env::current_exe().expect("a path");
    let (fds, image) = (&lines[1..5], executable.display().to_string());
    if SERVER {
        // On numbers that happened to be free in the server.
        let number_of = |what: &str| {
            let found =
                fds.iter().filter_map(|fd| fd.split_once(' ')).find(|(_, target)| target.starts_with(what));
            found.unwrap_or_else(|| panic!("{what}: {text}")).0
        };
        assert_eq!(lines[0], format!("[{}, {}]", number_of("pipe:"), number_of("/dev/null")));
        assert_ne!(number_of("socket:"), number_of(&image));
    } else {
        assert_eq!(lines[0], "[4, 5]");
        assert!(fds[0].starts_with("3 socket:") && fds[1].starts_with("4 pipe:"), "{text}");
        assert_eq!(fds[2..], ["5 /dev/null", &format!("6 {image}")]);
    }
    // The last is the listing's own.
    assert_eq!(lines[5..], ["0", "1", "2", "3"], "{text}");
}

fn a_child_has_its_link_what_was_given_and_nothing_else() {
    pleach_executor::run(async {
        let _users = File::open("/proc/self/status").expect("/proc");
        let sibling = execed("stands_still").await;
        has_exactly_what_was_given().await;
        end(sibling.process).await;
    });
}

fn descriptors_that_are_inherited_by_all_are_not_by_children() {
    // Left open by whoever started this program, without CLOEXEC.
    let line = "exec 3</dev/null 4</dev/null 6</dev/null 9</dev/null; exec";
    assert_eq!(output_of(program_after(line, "_lists_a_childs_descriptors")), "exactly\n");
}

fn _lists_a_childs_descriptors() {
    for fd in [3, 4, 6, 9] {
        assert!(open_fds().expect("/proc").contains(&(fd, "/dev/null".into())));
    }
    pleach_executor::run(has_exactly_what_was_given());
    println!("exactly");
}

fn numbers_that_collide_find_their_places() {
    assert_eq!(output_of(program("_has_low_numbers_to_give")), "all found\n");
}

/// Each given pipe gets the place of its descriptor.
fn writes_its_place_to_each(born: Born, given: Vec<OwnedFd>) -> i32 {
    for (place, fd) in given.into_iter().enumerate() {
        assert_eq!(usize::try_from(fd.as_raw_fd()).expect("a number"), place + 4);
        File::from(fd).write_all(place.to_string().as_bytes()).expect("the parent reads");
    }
    say(&born, "talks")
}

fn _has_low_numbers_to_give() {
    pleach_executor::run(async {
        // The reactor is made on first use; now it is above them, as the image is.
        drop(Signals::listen(&[]).expect("signals"));
        let mut low = std::mem::take(&mut *LOW.lock().expect("no panic"));
        assert_eq!(low.iter().map(AsRawFd::as_raw_fd).collect::<Vec<_>>(), [3, 4, 5, 6, 7]);
        for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            // Each number has another's place to go to, or its own.
            low.clear();
            places(order, [3, 4, 5], || ()).await;
            // The same one further up; the link falls on 3 and 4.
            low.extend((0..2).map(|_| File::open("/dev/null").expect("/dev/null")));
            assert_eq!(low.iter().map(AsRawFd::as_raw_fd).collect::<Vec<_>>(), [3, 4]);
            places(order, [5, 6, 7], || low.clear()).await;
        }
    });
    println!("all found");
}

/// Gives three pipes on these numbers, in this order.
async fn places(order: [usize; 3], numbers: [RawFd; 3], before: impl FnOnce()) {
    // The lowest numbers go to the ends that are given: the pipes are made elsewhere and copied down.
    let parked: Vec<File> = numbers.iter().map(|_| File::open("/dev/null").expect("/dev/null")).collect();
    assert_eq!(parked.iter().map(AsRawFd::as_raw_fd).collect::<Vec<_>>(), numbers);
    let (readers, writers): (Vec<PipeReader>, Vec<_>) = (0..3).map(|_| pipe().expect("a pipe")).unzip();
    drop(parked);
    let mut given: Vec<Option<OwnedFd>> =
        writers.iter().map(|w| Some(w.try_clone().expect("a number").into())).collect();
    drop(writers);
    let given: Vec<OwnedFd> = order.iter().map(|at| given[*at].take().expect("once")).collect();
    let taken: Vec<RawFd> = given.iter().map(AsRawFd::as_raw_fd).collect();
    assert_eq!(taken, order.map(|at| numbers[at]));
    before();
    assert_eq!(said_by("writes_its_place_to_each", given).await, "talks");
    for (at, mut reader) in readers.into_iter().enumerate() {
        let mut text = String::new();
        reader.read_to_string(&mut text).expect("the pipe");
        let place = order.iter().position(|a| *a == at).expect("it is in the order");
        assert_eq!(text, place.to_string(), "{order:?}");
    }
}

fn a_given_descriptor_leaves_the_parent() {
    pleach_executor::run(async {
        let (mut reader, writer) = pipe().expect("a pipe");
        let child = exec(Plan::new("leaves_at_once"), image(), vec![writer.into()]).await.expect("exec");
        // To the end: it comes because the parent's copy has been closed.
        assert_eq!(reader.read(&mut [0]).expect("the pipe"), 0);
        assert_eq!(child.process.wait().await.expect("not cancelled"), ExitStatus::Exited(0));
    });
}

// ---- signals and attributes

fn tells_its_signals(born: Born, _: Vec<OwnedFd>) -> i32 {
    let signals = signal_state().expect("/proc");
    let name = std::fs::read_to_string("/proc/self/comm").expect("/proc");
    let threads = thread_count().expect("/proc");
    let numbers = [signals.blocked, signals.ignored, signals.caught].map(|set| set.to_string()).join(" ");
    say(&born, &format!("{threads} {numbers} {name}"))
}

fn bit(signal: Signal) -> u64 {
    1 << (signal.as_raw() - 1)
}

async fn has_clean_signals() {
    let text = said_by("tells_its_signals", Vec::new()).await;
    let words: Vec<&str> = text.split_whitespace().collect();
    let set = |at: usize| words[at].parse::<u64>().expect("a number");
    // Signals 32 and 33 are libc's own: it lets nobody else set them.
    let others = !(0b11 << 31);
    assert_eq!(words[0], "1", "threads");
    assert_eq!(set(1), 0, "blocked");
    assert_eq!(set(2) & others, bit(Signal::PIPE) | bit(Signal::INT) | MARK, "ignored");
    assert_eq!(set(3) & others & !(bit(Signal::SEGV) | bit(Signal::BUS)), 0, "caught");
    assert_eq!(words[4], "tells_its_signa");
}

fn a_child_has_clean_signals_and_its_own_name() {
    pleach_executor::run(async {
        let _heard = Signals::listen(&[Signal::TERM, Signal::USR1]).expect("signals");
        has_clean_signals().await;
    });
}

fn signals_that_the_parent_blocks_or_ignores_reach_children() {
    let line = "exec env --ignore-signal=TERM,INT,USR2 --block-signal=TERM,INT,USR1";
    assert_eq!(output_of(program_after(line, "_asks_a_child_for_its_signals")), "clean\n");
}

fn _asks_a_child_for_its_signals() {
    let own = signal_state().expect("/proc");
    assert_eq!(own.blocked & bit(Signal::TERM), bit(Signal::TERM));
    assert_eq!(own.ignored & bit(Signal::USR2), bit(Signal::USR2));
    pleach_executor::run(async {
        has_clean_signals().await;
        for signal in [Signal::TERM, Signal::USR1, Signal::USR2] {
            let child = execed("stands_still").await.process;
            child.signal(signal).expect("it is there");
            assert_eq!(child.wait().await.expect("not cancelled").signal(), Some(signal));
        }
    });
    assert!(no_children());
    assert_eq!(signal_state().expect("/proc"), own, "the parent keeps its own");
    println!("clean");
}

fn a_terminals_ctrl_c_does_not_end_a_booting_child() {
    pleach_executor::run(async {
        for round in 0..count(200) {
            let child = execed("reads_until_eof").await;
            for _ in 0..round % 20 {
                // Somewhere between its exec and its entry.
                child.process.signal(Signal::INT).expect("it is there");
            }
            drop(child.link);
            assert_eq!(child.process.wait().await.expect("not cancelled"), ExitStatus::Exited(0));
        }
    });
}

fn signals_at_a_child_never_run_the_parents_handler() {
    pleach_executor::run(async {
        let mut signals = Signals::listen(&[Signal::TERM, Signal::USR1]).expect("signals");
        for round in 0..count(500) {
            let child = execed("stands_still").await.process;
            let signal = if round % 2 == 0 { Signal::TERM } else { Signal::USR1 };
            // Somewhere between its first instruction and its entry.
            let moment = Duration::from_micros(round * 7919 % 1500);
            pleach_executor::sleep(moment).await.expect("not cancelled");
            child.signal(signal).expect("it is there");
            assert_eq!(child.wait().await.expect("not cancelled").signal(), Some(signal));
        }
        support::starts_waiting(std::pin::pin!(signals.next())).await;
    });
}

fn signals_at_a_whole_group_do_not_confuse_a_birth() {
    let mut command = program("_starts_children_under_fire");
    command.process_group(0);
    assert_eq!(output_of(command), "all accounted for\n");
}

fn _starts_children_under_fire() {
    pleach_executor::run(async {
        let mut heard = Signals::listen(&[Signal::USR1]).expect("signals");
        let line = "trap '' USR1; while [ -e /proc/$PPID ]; do kill -USR1 0; done";
        let mut fire = Command::new("sh").args(["-c", line]).spawn().expect("sh");
        assert_eq!(heard.next().await.expect("not cancelled"), Signal::USR1);
        let mut hit = 0;
        for _ in 0..count(200) {
            let child = execed("leaves_at_once").await.process;
            match child.wait().await.expect("not cancelled") {
                ExitStatus::Exited(0) => {}
                status => {
                    assert_eq!(status.signal(), Some(Signal::USR1), "{status}");
                    hit += 1;
                }
            }
            assert_eq!(
                heard.next().await.expect("not cancelled"),
                Signal::USR1,
                "the handler is still there"
            );
        }
        assert!(hit > 0, "nobody was hit");
        fire.kill().expect("it lives");
        fire.wait().expect("ours");
    });
    assert!(no_children());
    println!("all accounted for");
}

// ---- threads

fn a_parent_may_have_threads() {
    let (go, wait) = mpsc::channel::<()>();
    let thread = std::thread::spawn(move || wait.recv());
    pleach_executor::run(async {
        assert_eq!(thread_count().expect("/proc"), 2);
        has_clean_signals().await;
    });
    go.send(()).expect("it waits");
    thread.join().expect("no panic").expect("it was sent");
}

fn runs_until_eof(born: Born, _: Vec<OwnedFd>) -> i32 {
    let mut link = UnixStream::from(born.take_link().expect("once"));
    up(&born, Duration::from_secs(60));
    link.write_all(b"u").expect("the parent reads");
    assert_eq!(read_all(link), "");
    5
}

fn a_child_can_be_made_on_any_thread() {
    // Its handle stays there, and so it ends there: a `Process` cannot be sent.
    let thread = std::thread::spawn(|| {
        pleach_executor::run(async {
            let mut child = execed("runs_until_eof").await;
            child.link.read_exact(&mut [0]).expect("it comes up");
            drop(child.link);
            child.process.wait().await.expect("not cancelled")
        })
    });
    assert_eq!(thread.join().expect("no panic"), ExitStatus::Exited(5));
}

fn a_child_with_threads_before_its_diversion_says_so() {
    let mut command = program("_execs_with_an_early_thread");
    command.env(EARLY_THREAD, "1");
    assert_eq!(output_of(command), "refused\n");
}

fn _execs_with_an_early_thread() {
    pleach_executor::run(async {
        let child = execed("stands_still").await;
        let words = read_all(child.link);
        assert!(words.contains("threads"), "{words}");
        let status = child.process.wait().await.expect("not cancelled");
        assert_eq!(status, ExitStatus::Exited(Step::Epoch.exit_code()));
    });
    assert!(no_children());
    println!("refused");
}

// ---- the image

fn tells_its_build(born: Born, _: Vec<OwnedFd>) -> i32 {
    say(&born, &image().build().to_string())
}

fn execs_in_turn(born: Born, _: Vec<OwnedFd>) -> i32 {
    let below = pleach_executor::run(said_by("tells_its_build", Vec::new()));
    say(&born, &format!("{} {below}", image().build()))
}

fn forks_in_turn(born: Born, _: Vec<OwnedFd>) -> i32 {
    let text = pleach_executor::run(async {
        let child = fork(Plan::new("forked"), (), |born, _| {
            let below = pleach_executor::run(said_by("tells_its_build", Vec::new()));
            say(&born, &below)
        });
        let child = child.await.expect("fork");
        let text = read_all(child.link);
        assert_eq!(child.process.wait().await.expect("not cancelled"), ExitStatus::Exited(0));
        text
    });
    say(&born, &text)
}

fn children_of_children_are_of_the_same_build() {
    pleach_executor::run(async {
        let build = image().build();
        assert_eq!(said_by("execs_in_turn", Vec::new()).await, format!("{build} {build}"));
    });
}

fn an_image_works_in_a_forked_child() {
    pleach_executor::run(async {
        assert_eq!(said_by("forks_in_turn", Vec::new()).await, image().build().to_string());
    });
}

/// A directory that is removed when the guard goes.
struct TempDir(PathBuf);

impl TempDir {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("pleach-{name}-{}", std::process::id()));
        std::fs::create_dir(&path).expect("a new directory");
        Self(path.canonicalize().expect("it is there"))
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).expect("it is still there");
    }
}

fn a_replaced_file_changes_nothing_for_children() {
    let dir = TempDir::new("image");
    let copy = dir.0.join("program");
    std::fs::copy(std::env::current_exe().expect("a path"), &copy).expect("copied");
    let mut command = Command::new(&copy);
    command.env("PLEACH_CASE", "_replaces_its_file");
    assert_eq!(output_of(command), "the same build\n");
}

fn _replaces_its_file() {
    let path = std::env::current_exe().expect("a path");
    pleach_executor::run(async {
        let build = image().build().to_string();
        assert_eq!(said_by("tells_its_build", Vec::new()).await, build);
        // What an upgrade does: another file takes the name.
        let other = path.with_extension("new");
        std::fs::copy("/bin/sh", &other).expect("copied");
        std::fs::rename(&other, &path).expect("replaced");
        assert_eq!(said_by("tells_its_build", Vec::new()).await, build);
        assert_eq!(said_by("execs_in_turn", Vec::new()).await, format!("{build} {build}"));
        std::fs::remove_file(&path).expect("removed");
        assert_eq!(said_by("execs_in_turn", Vec::new()).await, format!("{build} {build}"));
    });
    assert!(no_children());
    println!("the same build");
}

fn an_exec_copies_no_memory() {
    let dir = TempDir::new("strace");
    let log = dir.0.join("log");
    let mut command = Command::new("strace");
    command.args(["-f", "-e", "trace=process", "-o"]).arg(&log).arg(std::env::current_exe().expect("a path"));
    command.env("PLEACH_CASE", "_execs_once");
    if let Err(e) = Command::new("strace").arg("-V").stdout(Stdio::null()).status() {
        println!("skipped: there is no strace here ({e})");
        return;
    }
    assert_eq!(output_of(command), "done\n");
    let log = std::fs::read_to_string(&log).expect("text");
    let made: Vec<&str> = log
        .lines()
        .filter(|line| ["fork(", "clone(", "clone3("].iter().any(|call| line.contains(call)))
        .filter(|line| !line.contains("resumed"))
        .collect();
    assert_eq!(made.len(), 1, "{log}");
    assert!(made[0].contains("CLONE_VFORK") || made[0].contains("vfork("), "{log}");
    assert!(made[0].contains("CLONE_VM") || made[0].contains("vfork("), "{log}");
}

fn _execs_once() {
    pleach_executor::run(async {
        assert_eq!(said_by("tells_its_build", Vec::new()).await, image().build().to_string());
    });
    println!("done");
}
