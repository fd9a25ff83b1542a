//! What was wrong once with the lives of actors, each as the smallest program that showed it. On every backend: what
//! concerns tasks, or what only a fork inherits, is in `regressions.rs`.

#[path = "support/backend.rs"]
mod backend;
#[path = "support/outside.rs"]
mod outside;

use backend::{at_root, start};
use outside::{hear_of_no_stops, pid};
use pleach::{
    Actor, Books, Config, Context, Endpoint, Error, ErrorKind, Event, Fault, Program, Start, Step, Why,
    actors, actors_with, checkpoint, shielded, sleep, sleep_forever, stats,
};
use pleach_executor::low_level;
use pleach_spawn::{Signal, signal_descendant};
use std::cell::Cell;
use std::io::{PipeWriter, Read, Write};
use std::rc::Rc;
use std::time::Duration;

pleach::test_main!(
    program = program;
    a_cancel_by_the_handle_counts_from_the_first_moment,
    a_lone_cancel_leaves_its_siblings_their_whole_time,
    a_failure_after_the_last_message_is_heard_of,
    a_death_in_the_middle_of_a_message_is_a_death,
    a_late_answer_to_a_boot_that_timed_out_is_a_time_out,
    #[limit(120)]
    a_stray_in_an_actor_that_ignores_its_shutdown_does_not_keep_it_for_ever,
);

const WAIT: Endpoint<(), ()> = Endpoint::new("wait");
const CLEAN_UP: Endpoint<(), ()> = Endpoint::new("clean_up");
const FAIL_LATE: Endpoint<(), u8> = Endpoint::new("fail_late");
const DIE_TALKING: Endpoint<(), ()> = Endpoint::new("die_talking");
const LEAVE_A_STRAY: Endpoint<(), ()> = Endpoint::new("leave_a_stray");

fn program() -> Program {
    Program::new("root")
        .endpoint(WAIT, async |_, ()| wait().await)
        .endpoint(CLEAN_UP, async |context: Context, ()| clean_up(context.actor()).await)
        .endpoint(FAIL_LATE, async |_, ()| fail_late())
        .endpoint(DIE_TALKING, async |context: Context, ()| die_talking(context.actor()))
        .endpoint(LEAVE_A_STRAY, async |_, ()| leave_a_stray())
}

async fn wait() -> Result<(), Error> {
    sleep_forever().await?;
    Ok(())
}

fn a_cancel_by_the_handle_counts_from_the_first_moment() {
    let r: Result<(), Error> = at_root(program, async || {
        actors(async |an| {
            let a = start(an, "a", WAIT, (), async |_, ()| wait().await);
            a.cancel();
            let e = a.result().await.unwrap_err();
            let ErrorKind::Cancelled { cause } = e.kind() else { panic!("{e}") };
            assert_eq!((cause.by.as_str(), &cause.why), ("root", &Why::Requested));
            assert!(e.reason().is_none(), "it is told, and not under way");
            Ok(())
        })
        .await
    });
    r.unwrap();
}

/// Says on its way out that it was clean, which takes a turn of the loop.
async fn clean_up(actor: &Actor) -> Result<(), Error> {
    let mut cleaned = PipeWriter::from(actor.take_given().remove(0));
    let Err(c) = sleep_forever().await;
    shielded::<(), Error>(async |_| {
        checkpoint().await?;
        cleaned.write_all(b"clean")?;
        Ok(())
    })
    .await?;
    Err(c.into())
}

/// The first stop set a deadline for all; a sibling cancelled after it found it in the past, and was killed at once.
fn a_lone_cancel_leaves_its_siblings_their_whole_time() {
    let (short, patient) = (Duration::from_millis(100), Duration::from_secs(600));
    let r: Result<(), Error> = at_root(program, async || {
        actors_with(Config::default().cancel(patient), async |an| {
            let how = Start::new("a").config(Config::default().cancel(short));
            let a = start(an, how, WAIT, (), async |_, ()| wait().await);
            let (mut reader, cleaned) = std::io::pipe()?;
            let how = Start::new("b").give(cleaned);
            let b = start(an, how, CLEAN_UP, (), async |actor, ()| clean_up(&actor).await);
            a.ready().await?;
            b.ready().await?;
            a.cancel();
            let _cancelled = a.result().await;
            // Longer than the deadline that was wrongly kept.
            sleep(short * 2).await?;
            let told = |books: Books| (books.terminated, books.killed);
            let before = told(an.actor().books());
            b.cancel();
            let _cancelled = b.result().await;
            let mut text = String::new();
            reader.read_to_string(&mut text)?;
            assert_eq!(text, "clean");
            assert_eq!(told(an.actor().books()), before, "it did not have to be told by a signal");
            Ok(())
        })
        .await
    });
    r.unwrap();
}

fn fail_late() -> Result<u8, Error> {
    low_level::spawn_system(async {
        let _shutdown = sleep_forever().await;
        panic!("the clean-up failed");
    });
    Ok(1)
}

fn a_failure_after_the_last_message_is_heard_of() {
    let r: Result<u8, Error> = at_root(program, async || {
        actors(async |an| start(an, "a", FAIL_LATE, (), async |_, ()| fail_late()).await).await
    });
    assert!(matches!(r.unwrap_err().kind(), ErrorKind::Died { .. }));
}

fn die_talking(actor: &Actor) -> Result<(), Error> {
    for _ in 0..100 {
        actor.note("x".repeat(60_000));
    }
    std::process::abort();
}

fn a_death_in_the_middle_of_a_message_is_a_death() {
    for _ in 0..10 {
        let r: Result<(), Error> = at_root(program, async || {
            actors(async |an| start(an, "a", DIE_TALKING, (), async |actor, ()| die_talking(&actor)).await)
                .await
        });
        let e = r.unwrap_err();
        assert!(matches!(e.kind(), ErrorKind::Died { .. }), "{e}");
        assert!(e.to_string().contains("signal 6"), "{e}");
    }
}

/// What the child says when its time is over came as the answer to another question.
fn a_late_answer_to_a_boot_that_timed_out_is_a_time_out() {
    for step in [Step::Hello, Step::Spec, Step::Ready] {
        let r: Result<(), Error> = at_root(program, async || {
            // Nobody hears of the stop that makes the child late. In here: a program that begins hears of its children.
            hear_of_no_stops();
            let config = Config::default().boot(Duration::from_millis(200));
            actors_with(config, async |an| {
                let late = Rc::new(Cell::new(0));
                let heard = Rc::clone(&late);
                let _watching = an.actor().observe(move |event| {
                    if let Event::Started { actor, .. } = event {
                        heard.set(actor.pid());
                    }
                });
                let fired = stats().timers_fired;
                let how = Start::new("a").fault(step, Fault::Stop);
                let a = start(an, how, WAIT, (), async |_, ()| wait().await);
                // The one timer there is: the limit of the boot.
                while stats().timers_fired == fired {
                    checkpoint().await?;
                }
                signal_descendant(pid(late.get()), Signal::CONT)?;
                a.result().await
            })
            .await
        });
        let e = r.expect_err("it never got up");
        assert!(matches!(e.kind(), ErrorKind::BootTimeout { .. }), "{step:?}: {e}");
    }
}

fn leave_a_stray() -> Result<(), Error> {
    low_level::spawn_system(async {
        let day = Duration::from_secs(24 * 3600);
        let _ended = shielded::<(), Error>(async |_| Ok(sleep(day).await?)).await;
    });
    Ok(())
}

/// What outlived an actor's code and ignored its cancellation was waited for until its own next timer, a day from now.
fn a_stray_in_an_actor_that_ignores_its_shutdown_does_not_keep_it_for_ever() {
    let r: Result<(), Error> = at_root(program, async || {
        // What ends this actor is a bound of its own: its parent has patience.
        let patient = Config::default().cancel(Duration::from_secs(600));
        actors_with(patient, async |an| {
            start(an, "actor", LEAVE_A_STRAY, (), async |_, ()| leave_a_stray()).await
        })
        .await
    });
    let e = r.unwrap_err();
    assert!(matches!(e.kind(), ErrorKind::Died { .. }), "{e}");
}
