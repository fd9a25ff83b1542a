//! Many processes, and too many: nothing grows, what the machine refuses is a typed error that leaves nothing, and making
//! goes on when it may.
//!
//! ```text
//!   Fork │ ForkServer │ Exec ─► one after the other, up to 10 000 ─► descriptors, memory, threads, children: as before
//!                            ├► 1000 alive at the same time ───────► each ends as it should
//!                            └► no process, no memory left ────────► EAGAIN, ENOMEM; then it works again
//! ```
//!
//! Rules: `COUNT` in the environment says how many come one after the other.

#[path = "support/again.rs"]
mod again;
mod support;

use again::{Entry, image, leaves_with_9, reads_until_eof, say};
use nix::fcntl::{FcntlArg, Flock, FlockArg, fcntl};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use pleach_executor::{Cancelled, nursery, sleep};
use pleach_spawn::{
    Born, ExitStatus, ForkServer, Forked, Pid, Plan, Signal, SpawnError, become_subreaper, children, fork,
    no_children, open_fds, thread_count,
};
use std::fs;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::ExitCode;
use std::time::Duration;
use support::{count, output_of, program, read_all};

const ENTRIES: &[Entry] = entries![
    leaves_with_9,
    reads_until_eof,
    tells_its_descriptors,
    reads_its_standard_input,
    overflows_its_stack,
];

fn main() -> ExitCode {
    again::start(ENTRIES, cases)
}

fn cases() -> ExitCode {
    support::main(cases![
        as_many_as_one_likes_leave_nothing,
        a_thousand_live_at_the_same_time,
        without_processes_nothing_is_left_and_it_works_again,
        without_memory_nothing_is_left_and_it_works_again,
        standard_streams_keep_their_flags_whatever_a_child_does_with_them,
        a_lock_on_a_file_is_neither_lost_nor_kept_by_a_child,
        a_child_that_overflows_its_stack_is_aborted,
        _may_have_few_processes,
        _may_have_little_memory,
    ])
}

/// The three of them.
enum Maker {
    Fork,
    Exec,
    Server(ForkServer),
}

impl Maker {
    async fn each() -> [Maker; 3] {
        let server = ForkServer::start(Plan::new("server"), image()).await.expect("exec");
        [Maker::Fork, Maker::Exec, Maker::Server(server)]
    }

    async fn make(&self, name: &'static str) -> Result<Forked, SpawnError> {
        match self {
            Maker::Fork => {
                let (_, entry) = ENTRIES.iter().find(|(entry, _)| *entry == name).expect("an entry");
                fork(Plan::new(name), (), |born, _| entry(born, Vec::new())).await
            }
            Maker::Exec => pleach_spawn::exec(Plan::new(name), image(), Vec::new()).await,
            Maker::Server(server) => server.spawn(&Plan::new(name), &[]).await,
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Maker::Fork => "Fork",
            Maker::Exec => "Exec",
            Maker::Server(_) => "ForkServer",
        }
    }
}

/// Whoever is left is the run's to reap.
async fn all_are_gone() {
    while !no_children() {
        sleep(Duration::from_millis(1)).await.expect("not cancelled");
    }
}

/// The numbers a child has beyond standard input and output, and what they are.
fn tells_its_descriptors(born: Born, _: Vec<OwnedFd>) -> i32 {
    let fds = open_fds().expect("/proc").into_iter().filter(|(fd, _)| *fd > 2);
    // Which socket it is differs from child to child.
    let kinds: Vec<String> =
        fds.map(|(_, target)| target.split(':').next().unwrap_or_default().to_owned()).collect();
    say(&born, &kinds.join(" "))
}

/// What may not grow: descriptors, threads, children, and pages in memory; of the fork server as well.
#[derive(Debug, PartialEq)]
struct Size {
    descriptors: usize,
    threads: usize,
    children: usize,
}

fn size() -> Size {
    Size {
        descriptors: open_fds().expect("/proc").len(),
        threads: thread_count().expect("/proc"),
        children: children().expect("/proc").len(),
    }
}

fn resident(pid: Pid) -> u64 {
    let statm = fs::read_to_string(format!("/proc/{pid}/statm")).expect("/proc");
    statm.split_whitespace().nth(1).and_then(|pages| pages.parse().ok()).expect("pages")
}

/// Of a fork server that has answered all: it closes what came with a request after it has answered, and then it sleeps.
async fn descriptors_of(pid: Pid) -> usize {
    let stat = || fs::read_to_string(format!("/proc/{pid}/stat")).expect("it lives");
    while !stat().contains(") S ") {
        sleep(Duration::from_millis(1)).await.expect("not cancelled");
    }
    fs::read_dir(format!("/proc/{pid}/fd")).expect("it is ours").count()
}

fn as_many_as_one_likes_leave_nothing() {
    pleach_executor::run(async {
        for maker in Maker::each().await {
            let mut fds = None;
            let round = async |fds: &mut Option<String>| {
                let child = maker.make("leaves_with_9").await.expect("it is made");
                assert_eq!(child.process.wait().await.expect("not cancelled"), ExitStatus::Exited(9));
                let child = maker.make("tells_its_descriptors").await.expect("it is made");
                let told = read_all(child.link);
                assert_eq!(child.process.wait().await.expect("not cancelled"), ExitStatus::Exited(0));
                assert_eq!(*fds.get_or_insert_with(|| told.clone()), told, "{}", maker.name());
            };
            // What is made on first use is there.
            for _ in 0..50 {
                round(&mut fds).await;
            }
            let before = (size(), resident(Pid::this()));
            let server = match &maker {
                Maker::Server(server) => Some(server.pid()),
                Maker::Fork | Maker::Exec => None,
            };
            let server_before = match server {
                Some(pid) => Some((descriptors_of(pid).await, resident(pid))),
                None => None,
            };
            for _ in 0..count(200) / 2 {
                round(&mut fds).await;
            }
            let (after, pages) = (size(), resident(Pid::this()));
            assert_eq!(after, before.0, "{}", maker.name());
            assert!(pages <= before.1 + 64, "{}: {} pages, then {pages}", maker.name(), before.1);
            if let (Some(pid), Some((descriptors, pages))) = (server, server_before) {
                assert_eq!(descriptors_of(pid).await, descriptors);
                assert!(resident(pid) <= pages + 16, "{pages} pages, then {}", resident(pid));
            }
            drop(maker);
        }
        all_are_gone().await;
    });
}

fn a_thousand_live_at_the_same_time() {
    const MANY: usize = 1000;
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("a limit");
    let wanted = 3 * MANY as u64;
    if hard < wanted {
        eprintln!("skipped: two numbers each are needed, and this process may have {hard}");
        return;
    }
    setrlimit(Resource::RLIMIT_NOFILE, soft.max(wanted), hard).expect("up to the hard limit");
    pleach_executor::run(async {
        for maker in Maker::each().await {
            let others = children().expect("/proc").len();
            let made: Result<Vec<Forked>, Cancelled> = nursery(async |n| {
                let asked: Vec<_> = (0..MANY)
                    .map(|_| n.task(async { Ok(maker.make("reads_until_eof").await.expect("it is made")) }))
                    .collect();
                let mut made = Vec::new();
                for one in asked {
                    made.push(one.await?);
                }
                Ok(made)
            })
            .await;
            let made = made.expect("nobody cancels");
            assert_eq!(children().expect("/proc").len(), others + MANY, "{}: all live", maker.name());
            let mut processes = Vec::new();
            for Forked { process, link } in made {
                drop(link);
                processes.push(process);
            }
            for process in processes {
                let status = process.wait().await.expect("not cancelled");
                assert_eq!(status, ExitStatus::Exited(0), "{}", maker.name());
            }
        }
        all_are_gone().await;
    });
    setrlimit(Resource::RLIMIT_NOFILE, soft, hard).expect("down again");
}

// ---- what the machine refuses

/// A user that has no processes, so that a limit counts ours alone.
const NOBODY_ELSE: u32 = 64_123;

fn without_processes_nothing_is_left_and_it_works_again() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("skipped: only root can become a user of whom there are no processes");
        return;
    }
    assert_eq!(output_of(program("_may_have_few_processes")), "refused and made again\n");
}

/// Makes children that live until one is refused, and gives them with the refusal.
async fn until_refused(maker: &Maker) -> (Vec<Forked>, SpawnError) {
    let mut made = Vec::new();
    loop {
        match maker.make("reads_until_eof").await {
            Ok(child) => made.push(child),
            Err(refused) => return (made, refused),
        }
        assert!(made.len() < 100, "{}: the limit holds", maker.name());
    }
}

fn _may_have_few_processes() {
    become_subreaper().expect("prctl");
    nix::unistd::setuid(NOBODY_ELSE.into()).expect("root may");
    setrlimit(Resource::RLIMIT_NPROC, 12, 12).expect("down is always allowed");
    pleach_executor::run(async {
        for maker in Maker::each().await {
            let before = size();
            let (made, refused) = until_refused(&maker).await;
            assert!(made.len() > 3, "{}: {}", maker.name(), made.len());
            let SpawnError::System { error, .. } = &refused else { panic!("{}: {refused:?}", maker.name()) };
            assert_eq!(error.raw_os_error(), Some(libc::EAGAIN), "{}: {refused}", maker.name());
            assert!(refused.to_string().contains("ulimit -u"), "it says what to do: {refused}");
            assert_eq!(
                size().children,
                before.children + made.len(),
                "{}: nobody else is there",
                maker.name()
            );
            for Forked { process, link } in made {
                drop(link);
                assert_eq!(process.wait().await.expect("not cancelled"), ExitStatus::Exited(0));
            }
            assert_eq!(size(), before, "{}", maker.name());
            let again = maker.make("leaves_with_9").await.expect("there is room");
            assert_eq!(again.process.wait().await.expect("not cancelled"), ExitStatus::Exited(9));
        }
        all_are_gone().await;
    });
    println!("refused and made again");
}

fn without_memory_nothing_is_left_and_it_works_again() {
    assert_eq!(output_of(program("_may_have_little_memory")), "refused and made again\n");
}

fn _may_have_little_memory() {
    pleach_executor::run(async {
        for maker in Maker::each().await {
            // Once, so that what is made on first use is there.
            let first = maker.make("leaves_with_9").await.expect("it is made");
            assert_eq!(first.process.wait().await.expect("not cancelled"), ExitStatus::Exited(9));
            let before = size();
            let (soft, hard) = getrlimit(Resource::RLIMIT_AS).expect("a limit");
            setrlimit(Resource::RLIMIT_AS, 1 << 20, hard).expect("down is always allowed");
            let asked = maker.make("leaves_with_9").await;
            setrlimit(Resource::RLIMIT_AS, soft, hard).expect("up to the hard limit");
            match (&maker, asked) {
                // Its stack is a new mapping.
                (Maker::Exec, Err(SpawnError::System { error, .. })) => {
                    assert_eq!(error.raw_os_error(), Some(libc::ENOMEM), "{error}");
                }
                // A copy needs no address that the original has not.
                (Maker::Fork | Maker::Server(_), Ok(child)) => drop(child.process.wait().await),
                (maker, asked) => panic!("{}: {asked:?}", maker.name()),
            }
            assert_eq!(size(), before, "{}", maker.name());
            let again = maker.make("leaves_with_9").await.expect("there is room");
            assert_eq!(again.process.wait().await.expect("not cancelled"), ExitStatus::Exited(9));
        }
        all_are_gone().await;
    });
    println!("refused and made again");
}

// ---- what a child shares with its parent

fn reads_its_standard_input(_: Born, _: Vec<OwnedFd>) -> i32 {
    pleach_executor::run(async {
        let stdin = pleach_executor::io::stdin().expect("it is there");
        let _bytes = stdin.read(&mut [0; 16]).await;
    });
    0
}

/// The mode of a description is everybody's who has it.
fn standard_streams_keep_their_flags_whatever_a_child_does_with_them() {
    let flags = || {
        let of = |fd: BorrowedFd<'_>| fcntl(fd, FcntlArg::F_GETFL).expect("it is open");
        (of(std::io::stdin().as_fd()), of(std::io::stdout().as_fd()), of(std::io::stderr().as_fd()))
    };
    let before = flags();
    pleach_executor::run(async {
        for maker in Maker::each().await {
            let child = maker.make("reads_its_standard_input").await.expect("it is made");
            assert_eq!(child.process.wait().await.expect("not cancelled"), ExitStatus::Exited(0));
            assert_eq!(flags(), before, "{}", maker.name());
        }
        all_are_gone().await;
    });
}

/// A lock of flock(2) goes with the last descriptor of its description, and a child must have none.
fn a_lock_on_a_file_is_neither_lost_nor_kept_by_a_child() {
    let path = std::env::temp_dir().join(format!("pleach-lock-{}", Pid::this()));
    let open = || fs::File::create(&path).expect("a file");
    let try_lock = || Flock::lock(open(), FlockArg::LockExclusiveNonblock).map_err(|(_, e)| e);
    pleach_executor::run(async {
        for maker in Maker::each().await {
            let held = try_lock().expect("nobody has it");
            let first = maker.make("leaves_with_9").await.expect("it is made");
            assert_eq!(first.process.wait().await.expect("not cancelled"), ExitStatus::Exited(9));
            assert_eq!(
                try_lock().err(),
                Some(nix::errno::Errno::EWOULDBLOCK),
                "{}: still held",
                maker.name()
            );
            let Forked { process, link } = maker.make("reads_until_eof").await.expect("it is made");
            drop(held);
            let free = try_lock();
            assert!(free.is_ok(), "{}: its child holds it", maker.name());
            drop((free, link));
            assert_eq!(process.wait().await.expect("not cancelled"), ExitStatus::Exited(0));
        }
        all_are_gone().await;
    });
    fs::remove_file(&path).expect("it is there");
}

fn overflows_its_stack(_: Born, _: Vec<OwnedFd>) -> i32 {
    #[expect(unconditional_recursion, reason = "that is what it is for")]
    fn deeper(n: u64) -> u64 {
        std::hint::black_box(deeper(std::hint::black_box(n) + 1) + n)
    }
    i32::from(deeper(0) == 0)
}

/// By std's handler, which says so, and not by a bare SIGSEGV.
fn a_child_that_overflows_its_stack_is_aborted() {
    pleach_executor::run(async {
        for maker in Maker::each().await {
            let child = maker.make("overflows_its_stack").await.expect("it is made");
            let status = child.process.wait().await.expect("not cancelled");
            assert_eq!(status.signal(), Some(Signal::ABRT), "{}: {status}", maker.name());
        }
        all_are_gone().await;
    });
}
