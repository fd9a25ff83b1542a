//! Whoever kills an actor leaves nobody behind: its children end, whatever they are doing and whatever else is done to
//! them, with nothing but their ties to the parent; and each of the two ties is enough by itself.
//!
//! ```text
//!                    ┌─ end of the link ──► cancel, grace, exit ─┐
//!   parent killed ───┤                                           ├─► the orphan comes to the case, dead
//!                    └─ death signal ─────► handler, alarm ──────┘    ▲
//!          cut by `Start::without_death_signal`, or by `EverySocket`  └── waitid(2): the only word for "gone"
//! ```
//!
//! Rules:
//! * The case is a subreaper. Every time in it is a hang guard, and the graces are longer than the guard wherever an
//!   orphan is to end in order.

use pleach::test_main::{adopt_strays, expect_strays_gone};
use pleach::{
    Actor, Config, Error, Event, Fault, Grants, Start, Step, actors, actors_with, inventory, now, run,
    shielded, sleep, sleep_forever,
};
use pleach_executor::net::UnixStream;
use pleach_spawn::{ExitStatus, Pid, Signal, children, reap_stranger, signal_descendant};
use std::cell::RefCell;
use std::fs;
use std::io::{self, Read, Write};
use std::os::fd::RawFd;
use std::os::unix::net;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

pleach::test_main!(
    #[limit(120)]
    orphans_end_whatever_they_do_and_whatever_they_are_sent,
    #[limit(120)]
    orphans_end_although_their_code_has_handlers_of_its_own,
    #[limit(120)]
    orphans_in_boot_end_at_every_step,
    #[limit(120)]
    a_growing_tree_loses_its_root_at_any_moment,
    #[limit(120)]
    a_growing_tree_of_links_alone_loses_its_root_at_any_moment,
    the_end_of_the_link_alone_ends_three_levels_in_order,
    the_end_of_the_link_alone_ends_three_levels_that_heed_nothing,
    the_death_signal_alone_ends_an_orphan_whose_link_is_held_open,
    without_the_death_signal_a_stopped_orphan_stays_stopped,
    with_both_ties_cut_an_orphan_lives_on,
);

const GUARD: Duration = Duration::from_secs(30);
/// A grace that is over within a test.
const SHORT: Duration = Duration::from_millis(200);
/// A grace that is not: whoever ends, ends in order.
const LONG: Duration = Duration::from_secs(600);

/// What an orphan is doing when its parent dies.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Doing {
    Waiting,
    /// In a loop that never yields.
    Spinning,
    /// In a system call that never returns.
    Blocked,
    /// Under a shield: it heeds no cancel.
    Deaf,
    /// Stopped by SIGSTOP from outside.
    Stopped,
}

const ALL: [Doing; 5] = [Doing::Waiting, Doing::Spinning, Doing::Blocked, Doing::Deaf, Doing::Stopped];

async fn orphan(actor: Actor, doing: Doing, handlers: bool) -> Result<(), Error> {
    if handlers {
        install_handlers()?;
    }
    actor.note("up");
    match doing {
        Doing::Waiting | Doing::Stopped => {
            sleep_forever().await?;
        }
        Doing::Spinning => loop {
            std::hint::spin_loop();
        },
        Doing::Blocked => {
            let (mut silent, _open) = io::pipe()?;
            let _never = silent.read(&mut [0]);
        }
        Doing::Deaf => deaf(async || Ok(())).await?,
    }
    Ok(())
}

/// Does this, and then heeds nothing any more.
async fn deaf(first: impl AsyncFnOnce() -> Result<(), Error>) -> Result<(), Error> {
    shielded::<(), Error>(async |_| {
        first().await?;
        sleep_forever().await?;
        Ok(())
    })
    .await
}

/// What a program's own code does about the signals that end a process or wake it up.
fn install_handlers() -> Result<(), Error> {
    let signals = [Signal::TERM, Signal::INT, Signal::HUP, Signal::ALRM, Signal::CONT];
    let before = inventory::signal_state()?.caught;
    for signal in signals {
        let came = Arc::new(AtomicBool::new(false));
        signal_hook::flag::register(signal.as_raw(), Arc::clone(&came))?;
        // Those that the library caught before still go to it as well: raising them here would mean something.
        if before & (1 << (signal.as_raw() - 1)) == 0 {
            signal_hook::low_level::raise(signal.as_raw())?;
            assert!(came.load(Ordering::SeqCst), "{signal} comes to the program's own handler");
        }
    }
    assert_eq!(inventory::thread_count()?, 1);
    Ok(())
}

fn pid(n: u32) -> Pid {
    Pid::from_raw(i32::try_from(n).expect("a process id"))
}

/// A middle actor with one child that does this; the middle is killed, and then the orphan is sent that.
fn bereave(doing: Doing, handlers: bool, sent: Option<Signal>) {
    let what = format!("{doing:?}, handlers of its own: {handlers}, sent {sent:?}");
    let started: Rc<RefCell<Vec<u32>>> = Rc::default();
    let r: Result<(), Error> = run(async {
        let up = Rc::new(pleach::sync::Event::new());
        let (heard, signal) = (Rc::clone(&started), Rc::clone(&up));
        let _watching = Actor::current().observe(move |event| match event {
            Event::Started { actor, .. } => heard.borrow_mut().push(actor.pid()),
            Event::Note { text, .. } if text == "middle" => signal.set(),
            _ => {}
        });
        actors_with(Config::default().orphan_grace(SHORT), async |an| {
            let _running = an.fork("middle", (), async move |middle, ()| {
                actors::<()>(async |an| {
                    let up = Rc::new(pleach::sync::Event::new());
                    let signal = Rc::clone(&up);
                    let _watching = middle.observe(move |event| {
                        if matches!(event, Event::Note { .. }) {
                            signal.set();
                        }
                    });
                    let _running =
                        an.fork("orphan", (), async move |actor, ()| orphan(actor, doing, handlers).await);
                    up.wait().await?;
                    middle.note("middle");
                    // It sees nothing any more: neither that its child was stopped nor what it was sent.
                    loop {
                        std::hint::spin_loop();
                    }
                })
                .await
            });
            up.wait().await?;
            let (middle, below) = (started.borrow()[0], started.borrow()[1]);
            if doing == Doing::Stopped {
                signal_descendant(pid(below), Signal::STOP)?;
            }
            signal_descendant(pid(middle), Signal::KILL)?;
            if let Some(sent) = sent {
                // It may be gone already.
                let _ = signal_descendant(pid(below), sent);
            }
            Ok(())
        })
        .await
    });
    r.expect_err("the middle was killed");
    let gone = expect_strays_gone(GUARD).unwrap_or_else(|e| panic!("{what}: {e}"));
    assert_eq!(gone.len(), 1, "{what}: the orphan came to us, and nobody else");
}

fn orphans_end_whatever_they_do_and_whatever_they_are_sent() {
    adopt_strays().unwrap();
    for doing in ALL {
        for sent in [None, Some(Signal::INT), Some(Signal::TERM)] {
            bereave(doing, false, sent);
        }
    }
}

fn orphans_end_although_their_code_has_handlers_of_its_own() {
    adopt_strays().unwrap();
    for doing in ALL {
        for sent in [None, Some(Signal::TERM), Some(Signal::ALRM)] {
            bereave(doing, true, sent);
        }
    }
}

fn orphans_in_boot_end_at_every_step() {
    adopt_strays().unwrap();
    // Not at `Arm`: a process that somebody stops in the few instructions before its first system call has no ties yet. It
    // stays stopped until its root, which it was announced to, ends it (`Program`), or somebody continues it.
    for step in Step::ALL.into_iter().filter(|s| *s > Step::Arm) {
        // The orphan stands still at this step; its parent kills itself when it has been made.
        let r: Result<(), Error> = run(actors(async |an| {
            an.fork("middle", (), async move |_, ()| {
                let me = pid(std::process::id());
                let _watching = Actor::current().observe(move |event| {
                    if matches!(event, Event::Started { .. }) {
                        signal_descendant(me, Signal::KILL).expect("it is me");
                    }
                });
                actors_with(Config::default().boot(Duration::from_secs(600)), async |an| {
                    let start = Start::new("orphan").fault(step, Fault::Stop);
                    an.fork(start, (), async |_, ()| Ok(())).result().await
                })
                .await
            })
            .result()
            .await
        }));
        r.expect_err("the middle has killed itself");
        expect_strays_gone(GUARD).unwrap_or_else(|e| panic!("{step:?}: {e}"));
    }
}

/// Which ties an actor has.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Ties {
    Both,
    LinkAlone,
}

fn start(name: &str, ties: Ties) -> Start {
    let start = Start::new(name);
    if ties == Ties::LinkAlone { start.without_death_signal() } else { start }
}

async fn grow(levels: u32, ties: Ties) -> Result<(), Error> {
    actors(async |an| {
        for _ in 0..if levels > 0 { 2 } else { 0 } {
            let _running = an.fork(start("twig", ties), (), async move |_, ()| grow(levels - 1, ties).await);
        }
        sleep_forever().await?;
        Ok(())
    })
    .await
}

fn lose_the_root_at_any_moment(ties: Ties) {
    adopt_strays().unwrap();
    let runs = std::env::var("PLEACH_RUNS").ok().and_then(|n| n.parse().ok()).unwrap_or(50u32);
    for run_number in 0..runs {
        let r: Result<(), Error> = run(async {
            let root = Rc::new(RefCell::new((0, 0)));
            let seen = Rc::clone(&root);
            // The k-th process that is heard of is the last that the root makes known.
            let k = run_number % 15 + 1;
            let _watching = Actor::current().observe(move |event| {
                if let Event::Started { actor, .. } = event {
                    let mut seen = seen.borrow_mut();
                    if seen.0 == 0 {
                        seen.1 = actor.pid();
                    }
                    seen.0 += 1;
                    if seen.0 == k {
                        signal_descendant(pid(seen.1), Signal::KILL).expect("it lives");
                    }
                }
            });
            actors(async |an| {
                an.fork(start("root", ties), (), async move |_, ()| grow(3, ties).await).result().await
            })
            .await
        });
        r.expect_err("the root was killed");
        expect_strays_gone(GUARD).unwrap_or_else(|e| panic!("run {run_number}, {ties:?}: {e}"));
    }
}

fn a_growing_tree_loses_its_root_at_any_moment() {
    lose_the_root_at_any_moment(Ties::Both);
}

fn a_growing_tree_of_links_alone_loses_its_root_at_any_moment() {
    lose_the_root_at_any_moment(Ties::LinkAlone);
}

// ---- one tie at a time

/// The exit status of an actor whose parent was gone when it wanted to send its last message.
const UNTOLD: ExitStatus = ExitStatus::Exited(80);

/// Waits until `enough` of what has ended, and gives it.
fn gather(enough: impl Fn(&[(Pid, ExitStatus)]) -> bool) -> Vec<(Pid, ExitStatus)> {
    run(async {
        let (mut gone, give_up_at) = (Vec::new(), now() + GUARD);
        loop {
            gone.extend(std::iter::from_fn(reap_stranger));
            if enough(&gone) {
                return gone;
            }
            assert!(now() < give_up_at, "still there: {:?}; gone: {gone:?}", children());
            sleep(Duration::from_millis(1)).await.expect("nobody cancels");
        }
    })
}

fn gather_all() -> Vec<ExitStatus> {
    gather(|_| inventory::no_children()).into_iter().map(|(_, status)| status).collect()
}

/// Two children of a kind below every actor, which have no tie but the link.
async fn linked(levels: u32, heed: bool) -> Result<(), Error> {
    let below = async || {
        actors(async |an| {
            if levels == 0 {
                an.actor().note("up");
            }
            for _ in 0..if levels > 0 { 2 } else { 0 } {
                let child = start("linked", Ties::LinkAlone);
                let _running = an.fork(child, (), async move |_, ()| linked(levels - 1, heed).await);
            }
            sleep_forever().await?;
            Ok(())
        })
        .await
    };
    if heed { below().await } else { deaf(below).await }
}

/// Grows three levels below a root, kills the root when all leaves are up, and says how those ended that came to us.
fn unlink(heed: bool, grace: Duration) -> Vec<ExitStatus> {
    adopt_strays().unwrap();
    let config = Config::default().orphan_grace(grace);
    let r: Result<(), Error> = run(actors_with(config, async |an| {
        let seen = Rc::new(RefCell::new((0, 0)));
        let _watching = an.actor().observe(move |event| {
            let mut seen = seen.borrow_mut();
            match event {
                Event::Started { actor, .. } if seen.0 == 0 => seen.0 = actor.pid(),
                Event::Note { .. } => {
                    seen.1 += 1;
                    if seen.1 == 8 {
                        signal_descendant(pid(seen.0), Signal::KILL).expect("it lives");
                    }
                }
                _ => {}
            }
        });
        let root = start("root", Ties::LinkAlone);
        an.fork(root, (), async move |_, ()| linked(3, heed).await).result().await
    }));
    r.expect_err("the root was killed");
    gather_all()
}

fn the_end_of_the_link_alone_ends_three_levels_in_order() {
    // The two below the root come to us; what is below them is cancelled and reaped by its own parents.
    assert_eq!(unlink(true, LONG), [UNTOLD; 2]);
}

fn the_end_of_the_link_alone_ends_three_levels_that_heed_nothing() {
    // Each leaves when its grace is over, and only that tells the next: all fourteen come to us.
    assert_eq!(unlink(false, SHORT), [UNTOLD; 14]);
}

/// A grant of every socket that the forking process has: its own end of each link to its children among them, the link of
/// the child that is being made included. So none of these links ends as long as that child lives.
struct EverySocket;

impl Grants for EverySocket {
    fn fds(&self, out: &mut Vec<RawFd>) {
        let open = inventory::open_fds().expect("/proc is here");
        out.extend(open.iter().filter(|(_, target)| target.starts_with("socket:")).map(|(fd, _)| *fd));
    }

    fn adopt(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A middle actor with two children: one with these ties, which echoes what comes over a socket, and one that has none
/// and holds the links of both open. The middle is killed. Gives the process ids of the two, and our end of the socket.
fn hold_links(ties: Ties) -> (Pid, Pid, net::UnixStream) {
    adopt_strays().unwrap();
    let (ours, theirs) = net::UnixStream::pair().unwrap();
    let started: Rc<RefCell<Vec<u32>>> = Rc::default();
    let heard = Rc::clone(&started);
    let r: Result<(), Error> = run(actors_with(Config::default().orphan_grace(LONG), async move |an| {
        let _watching = an.actor().observe(move |event| match event {
            Event::Started { actor, .. } => heard.borrow_mut().push(actor.pid()),
            Event::Note { .. } => signal_descendant(pid(heard.borrow()[0]), Signal::KILL).expect("it lives"),
            _ => {}
        });
        let middle = an.fork("middle", theirs, async move |_, theirs| {
            actors(async |an| {
                let orphan = an.fork(start("orphan", ties), theirs, async |_, theirs| {
                    let socket = UnixStream::from_std(theirs)?;
                    let mut byte = [0];
                    while socket.read(&mut byte).await? > 0 {
                        socket.write_all(&byte).await?;
                    }
                    Ok(())
                });
                orphan.ready().await?;
                let holder = an.fork(start("holder", Ties::LinkAlone), EverySocket, async |actor, _| {
                    actor.note("up");
                    sleep_forever().await?;
                    Ok(())
                });
                holder.result().await
            })
            .await
        });
        middle.result().await
    }));
    r.expect_err("the middle was killed");
    let started = started.borrow();
    (pid(started[1]), pid(started[2]), ours)
}

fn end_holder(holder: Pid) {
    assert_eq!(children().unwrap(), [holder], "it holds the links and is still there");
    signal_descendant(holder, Signal::KILL).unwrap();
    assert_eq!(gather_all(), [ExitStatus::Signaled { signal: Signal::KILL, core_dumped: false }]);
}

fn the_death_signal_alone_ends_an_orphan_whose_link_is_held_open() {
    let (orphan, holder, _ours) = hold_links(Ties::Both);
    let gone = gather(|gone| !gone.is_empty());
    // Its link still takes its last message, so it leaves as one that has told.
    assert_eq!(gone, [(orphan, ExitStatus::Exited(0))]);
    end_holder(holder);
}

/// The control of what cuts the ties in the cases above.
fn with_both_ties_cut_an_orphan_lives_on() {
    let (orphan, holder, mut ours) = hold_links(Ties::LinkAlone);
    ours.set_read_timeout(Some(GUARD)).unwrap();
    // The parent is dead and reaped, so what its death does has been done: a link that had ended, or a signal, would
    // be seen in the turn of the loop that answers the first byte, and leave the others without an answer.
    for byte in [1, 2, 3] {
        ours.write_all(&[byte]).unwrap();
        let mut answer = [0];
        ours.read_exact(&mut answer).unwrap();
        assert_eq!(answer, [byte]);
    }
    drop(ours);
    assert_eq!(gather(|gone| !gone.is_empty()), [(orphan, ExitStatus::Exited(0))]);
    end_holder(holder);
}

/// The control of [`Start::without_death_signal`]: SIGCONT would continue it, SIGKILL would end it.
fn without_the_death_signal_a_stopped_orphan_stays_stopped() {
    adopt_strays().unwrap();
    let started: Rc<RefCell<Vec<u32>>> = Rc::default();
    let heard = Rc::clone(&started);
    let r: Result<(), Error> = run(actors_with(Config::default().orphan_grace(LONG), async |an| {
        let _watching = an.actor().observe(move |event| {
            if let Event::Started { actor, .. } = event {
                heard.borrow_mut().push(actor.pid());
            }
        });
        let middle = an.fork("middle", (), async move |_, ()| {
            actors(async |an| {
                let stopped = an.fork(start("orphan", Ties::LinkAlone), (), async |_, ()| {
                    sleep_forever().await?;
                    Ok(())
                });
                let below = pid(stopped.ready().await?);
                signal_descendant(below, Signal::STOP)?;
                while state(below) != 'T' {
                    std::hint::spin_loop();
                }
                signal_descendant(pid(std::process::id()), Signal::KILL)?;
                Ok(())
            })
            .await
        });
        middle.result().await
    }));
    r.expect_err("the middle was killed");
    let below = pid(started.borrow()[1]);
    // The parent is reaped, and a death signal is sent before that.
    assert_eq!(state(below), 'T');
    assert_eq!(children().unwrap(), [below]);
    signal_descendant(below, Signal::CONT).unwrap();
    assert_eq!(gather_all(), [UNTOLD], "and the end of its link is there when it goes on");
}

/// The state of a process, as proc_pid_stat(5) has it.
fn state(pid: Pid) -> char {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("it is there");
    let (_, rest) = stat.rsplit_once(')').expect("the name is in parentheses");
    rest.trim_start().chars().next().expect("a state follows the name")
}
