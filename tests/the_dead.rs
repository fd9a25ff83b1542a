//! Whatever an actor that was killed leaves behind is taken away while the program goes on, and nobody else's dead are.
//!
//! ```text
//!   root ── actor ─ killed ─► its fork server ─ dies with it ─┐
//!                        ├──► a command of its own, that ends ┼─► the root's children: reaped
//!                        └──► a command that goes on ─────────┴─► stays, up to the end of the program
//!   root ── a command of the program ─────────────────────────► its status is the program's
//! ```
//!
//! Rules: the case has no other children than these, and looks at them by the kernel's own list. Every time in it is a
//! hang guard.

#[path = "support/backend.rs"]
mod backend;
#[path = "support/outside.rs"]
mod outside;

use backend::{SERVERS, at_program, start};
use outside::{kill_me, pid, state};
use pleach::{
    Actor, Cancelled, Context, Endpoint, Error, Fault, Program, Start, Step, actors, move_on_after, nursery,
    sleep,
};
use pleach_spawn::{ExitStatus, Pid, Plan, children};
use std::cell::Cell;
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use std::time::Duration;

pleach::test_main!(
    program = program;
    #[limit(120)]
    killed_actors_leave_no_dead,
    #[limit(120)]
    what_an_actor_has_started_itself_is_taken_away_when_it_ends,
    #[limit(120)]
    a_command_of_the_program_keeps_its_status,
    #[limit(120)]
    a_process_that_the_program_holds_keeps_its_status,
    #[limit(120)]
    no_status_is_lost_while_others_leave_their_dead,
);

const GUARD: Duration = Duration::from_secs(60);

const IS_KILLED: Endpoint<(), ()> = Endpoint::new("is_killed");
const LEAVES: Endpoint<bool, ()> = Endpoint::new("leaves");
const ANSWERS: Endpoint<u32, u32> = Endpoint::new("answers");

fn program() -> Program {
    Program::new("root")
        .endpoint(IS_KILLED, async |_, ()| is_killed().await)
        .endpoint(LEAVES, async |_: Context, goes_on| leaves(goes_on).await)
        .endpoint(ANSWERS, async |_, n| Ok(n + 1))
}

async fn is_killed() -> Result<(), Error> {
    kill_me();
    Ok(())
}

/// Starts a command, says its number, and is killed. The command ends with its standard input, or goes on.
async fn leaves(goes_on: bool) -> Result<(), Error> {
    let mut command = Command::new(if goes_on { "sleep" } else { "cat" });
    if goes_on {
        command.arg("1000");
    }
    let child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn()?;
    Actor::current().note(child.id().to_string());
    std::mem::forget(child);
    kill_me();
    Ok(())
}

/// Starts an actor that is killed.
async fn one_is_killed() {
    let r: Result<(), Error> = actors(async |an| {
        let _running = start(an, "victim", IS_KILLED, (), async |_, ()| is_killed().await);
        Ok(())
    })
    .await;
    let e = r.expect_err("it was killed");
    assert!(e.to_string().contains("killed by SIGKILL"), "{e}");
}

/// Waits until the children of this process are so many, and gives them.
async fn children_are(count: usize) -> Vec<Pid> {
    let waited: Result<_, Cancelled> = move_on_after(GUARD, async |_| {
        loop {
            let there = children().expect("/proc");
            if there.len() == count {
                return Ok(there);
            }
            sleep(Duration::from_millis(1)).await?;
        }
    })
    .await;
    let told = || children().expect("/proc").into_iter().map(|pid| (pid, state(pid))).collect::<Vec<_>>();
    waited.expect("nobody cancels").unwrap_or_else(|| panic!("{count} children, and there are {:?}", told()))
}

/// Case S221.
fn killed_actors_leave_no_dead() {
    at_program(program, async || {
        for _ in 0..10 {
            one_is_killed().await;
            children_are(SERVERS).await;
        }
    });
}

fn what_an_actor_has_started_itself_is_taken_away_when_it_ends() {
    at_program(program, async || {
        for goes_on in [false, true] {
            let left = Rc::new(Cell::new(0));
            let heard = Rc::clone(&left);
            let _watching = Actor::current().observe(move |event| {
                if let pleach::Event::Note { text, .. } = event {
                    heard.set(text.parse().expect("a number"));
                }
            });
            let r: Result<(), Error> = actors(async |an| {
                let _running = start(an, "leaves", LEAVES, goes_on, async move |_, ()| leaves(goes_on).await);
                Ok(())
            })
            .await;
            r.expect_err("it was killed");
            let there = children_are(SERVERS + usize::from(goes_on)).await;
            assert_eq!(there.contains(&pid(left.get())), goes_on, "{there:?}");
        }
    });
}

fn a_command_of_the_program_keeps_its_status() {
    at_program(program, async || {
        let ends = |code: &str| Command::new("sh").args(["-c", code]).spawn().expect("there is a shell");
        let mut dead: Vec<Child> = (0..10).map(|n| ends(&format!("exit {n}"))).collect();
        for child in &dead {
            while state(pid(child.id())) != 'Z' {
                sleep(Duration::from_millis(1)).await.expect("nobody cancels");
            }
        }
        for _ in 0..5 {
            one_is_killed().await;
            children_are(SERVERS + dead.len()).await;
        }
        for (n, child) in (0..).zip(&mut dead) {
            assert_eq!(child.wait().expect("nobody has reaped it").code(), Some(n));
        }
    });
}

/// One that is no actor, and that nobody has announced.
fn a_process_that_the_program_holds_keeps_its_status() {
    the_kernel_forgets_who_is_reaped();
    at_program(program, async || {
        let forked = pleach_spawn::fork(Plan::new("held"), (), |_, _| 7).await;
        let held = forked.expect("there is one thread").process;
        while state(held.pid()) != 'Z' {
            sleep(Duration::from_millis(1)).await.expect("nobody cancels");
        }
        for _ in 0..3 {
            one_is_killed().await;
            children_are(SERVERS + 1).await;
        }
        assert_eq!(held.wait().await.expect("nobody cancels"), ExitStatus::Exited(7));
    });
}

/// Starts an actor that is killed in its first steps: dead perhaps before its number has come back, and certainly before it is
/// announced.
async fn one_is_killed_in_its_boot() {
    let r: Result<(), Error> = actors(async |an| {
        let victim = Start::new("victim").fault(Step::Arm, Fault::Kill);
        let _running = start(an, victim, ANSWERS, 0, async |_, ()| Ok(0));
        Ok(())
    })
    .await;
    let e = r.expect_err("it was killed");
    assert!(e.to_string().contains("killed by SIGKILL"), "{e}");
}

/// Who has been reaped by somebody else has no status any more, as it is before Linux 6.15.
fn the_kernel_forgets_who_is_reaped() {
    use seccompiler::{
        BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
        SeccompRule,
    };
    /// PIDFD_GET_INFO of linux/pidfd.h, with 64 bytes.
    const ASKS: u64 = 0xC040_FF0B;
    let asks =
        SeccompCondition::new(1, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, ASKS).expect("an argument");
    let rules = [(libc::SYS_ioctl, vec![SeccompRule::new(vec![asks]).expect("one condition")])];
    let arch = std::env::consts::ARCH.try_into().expect("an architecture of Linux");
    let refuse = SeccompAction::Errno(25);
    let filter = SeccompFilter::new(rules.into(), SeccompAction::Allow, refuse, arch).expect("a filter");
    let filter: BpfProgram = filter.try_into().expect("a filter");
    seccompiler::apply_filter(&filter).expect("always allowed");
}

fn no_status_is_lost_while_others_leave_their_dead() {
    the_kernel_forgets_who_is_reaped();
    at_program(program, async || {
        let all: Result<(), Cancelled> = nursery(async |n| {
            for task in 0..8 {
                n.spawn(async move {
                    for round in 0..10 {
                        if (task + round) % 3 == 0 {
                            one_is_killed().await;
                        } else if (task + round) % 3 == 1 {
                            one_is_killed_in_its_boot().await;
                        } else {
                            let answered: Result<u32, Error> = actors(async |an| {
                                start(an, "answers", ANSWERS, round, async move |_, ()| Ok(round + 1)).await
                            })
                            .await;
                            assert_eq!(answered.expect("it ends well"), round + 1);
                        }
                    }
                    Ok(())
                });
            }
            Ok(())
        })
        .await;
        all.expect("nobody cancels");
        children_are(SERVERS).await;
    });
}
