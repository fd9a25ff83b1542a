//! Promise: what an actor reads late, it reads: nobody's words wait for a caller that is not polled, and none are lost.
//!
//! ```text
//!   root ─ call(BLOCK) ─► the actor's thread stands still, until the root writes a byte into the pipe that it gave
//!        ─ more than the link takes ─► queued, or waiting for room        ─ byte ─► the actor reads again: now what?
//! ```

use pleach::sync::Event as Flag;
use pleach::{
    Actor, Backend, Config, Context, Endpoint, Error, Event, Portal, Program, Start, actors, stats,
};
use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::io::{PipeWriter, Read, Write, pipe};
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

pleach::test_main!(
    program = program;
    a_call_that_is_not_polled_holds_nobody_back,
    a_cancel_gets_past_calls_that_are_not_polled,
    every_dropped_call_is_stopped_however_late_it_is_heard,
    a_cancel_gets_past_the_cancels_of_dropped_calls,
    a_dropped_call_counts_until_the_actor_has_ended_it,
    a_call_that_was_dropped_before_it_was_sent_was_never_made,
    a_portal_without_dialogs_says_so,
);

const BLOCK: Endpoint<(), ()> = Endpoint::new("block");
const SINK: Endpoint<Vec<u8>, ()> = Endpoint::new("sink");
const DOUBLE: Endpoint<u64, u64> = Endpoint::new("double");
const WAIT: Endpoint<(), ()> = Endpoint::new("wait");
const WAITING: Endpoint<(), u64> = Endpoint::new("waiting");

const BACKENDS: [Backend; 3] = [Backend::Fork, Backend::Exec, Backend::ForkServer];

thread_local! {
    /// How many `WAIT`s there are in this actor.
    static WAITS: Cell<u64> = const { Cell::new(0) };
}

struct Waits;

impl Waits {
    fn one_more() -> Self {
        WAITS.set(WAITS.get() + 1);
        Waits
    }
}

impl Drop for Waits {
    fn drop(&mut self) {
        WAITS.set(WAITS.get() - 1);
    }
}

/// Its name is long, because it stands in every cancel.
fn program() -> Program {
    Program::new("r".repeat(200))
        .endpoint(BLOCK, block)
        .endpoint(SINK, async |_, _| Ok(()))
        .endpoint(DOUBLE, async |_, n| Ok(2 * n))
        .endpoint(WAITING, async |_, ()| Ok(WAITS.get()))
        .endpoint(WAIT, async |_, ()| {
            let _one = Waits::one_more();
            pleach::sleep_forever().await.map(|never| match never {}).map_err(Error::from)
        })
}

/// Stands still with its whole thread, as code that waits for something else than the runtime does.
async fn block(context: Context, (): ()) -> Result<(), Error> {
    context.actor().note("stands still");
    for end in context.actor().take_given() {
        std::fs::File::from(end).read_exact(&mut [0])?;
    }
    Ok(())
}

/// An actor that stands still until a byte is written.
struct Still {
    portal: Portal,
    byte: PipeWriter,
    block: Pin<Box<dyn Future<Output = Result<(), Error>>>>,
}

impl Still {
    async fn begin(an: &pleach::ActorNursery, config: Config, backend: Backend) -> Result<Self, Error> {
        let (reader, byte) = pipe()?;
        let portal = an.spawn(Start::new("late").backend(backend).config(config).give(reader)).await?;
        let still = Rc::new(Flag::new());
        let hears = Rc::clone(&still);
        let _listening = Actor::current().observe(move |event| {
            if matches!(event, Event::Note { .. }) {
                hears.set();
            }
        });
        let caller = portal.clone();
        let mut block: Pin<Box<dyn Future<Output = _>>> =
            Box::pin(async move { caller.call(BLOCK, ()).await });
        poll_once(&mut block).await;
        still.wait().await?;
        Ok(Still { portal, byte, block })
    }

    async fn end(mut self) -> Result<(), Error> {
        self.byte.write_all(b"x")?;
        self.block.await
    }
}

async fn poll_once<F: Future + Unpin>(future: &mut F) {
    assert!(poll_fn(|cx| Poll::Ready(Pin::new(&mut *future).poll(cx).is_pending())).await, "it waits");
}

/// Room for one large call, and not for two.
fn narrow() -> Config {
    Config::default().in_flight(1 << 20).frame(1 << 20).cancel(Duration::from_secs(600))
}

fn on_each(code: impl AsyncFn(Backend) -> Result<(), Error>) {
    for backend in BACKENDS {
        let outcome = program().try_run(async |_| code(backend).await);
        outcome.unwrap_or_else(|e| panic!("{backend:?}: {e}"));
    }
}

fn a_call_that_is_not_polled_holds_nobody_back() {
    on_each(async |backend| {
        actors(async |an| {
            let still = Still::begin(an, narrow(), backend).await?;
            let portal = still.portal.clone();
            let mut held = [0, 1].map(|_| Box::pin(portal.call(SINK, vec![0; 900_000])));
            for call in &mut held {
                poll_once(call).await;
            }
            still.end().await?;
            assert_eq!(portal.call(DOUBLE, 4).await?, 8, "while both are held");
            let [first, second] = held;
            second.await?;
            first.await?;
            an.cancel();
            Ok(())
        })
        .await
    });
}

fn a_cancel_gets_past_calls_that_are_not_polled() {
    on_each(async |backend| {
        actors(async |an| {
            let still = Still::begin(an, narrow(), backend).await?;
            let portal = still.portal.clone();
            let mut held = [0, 1].map(|_| Box::pin(portal.call(SINK, vec![0; 900_000])));
            for call in &mut held {
                poll_once(call).await;
            }
            still.end().await?;
            let fired = stats().timers_fired;
            portal.cancel();
            portal.ended().await?;
            assert_eq!(
                stats().timers_fired,
                fired,
                "it was told, and ended by itself: no rung of the ladder"
            );
            drop(held);
            Ok(())
        })
        .await
    });
}

/// Case S230.
fn every_dropped_call_is_stopped_however_late_it_is_heard() {
    const CALLS: u64 = 12_000;
    on_each(async |backend| {
        actors(async |an| {
            let mut still = None;
            let config = narrow().frame(64 << 10);
            let begun = Still::begin(an, config, backend);
            let portal = still.insert(begun.await?).portal.clone();
            let mut calls: Vec<_> = (0..CALLS).map(|_| Box::pin(portal.call(WAIT, ()))).collect();
            for call in &mut calls {
                poll_once(call).await;
            }
            // Over 200 bytes each, which is more than the link and the room for control hold.
            drop(calls);
            assert_eq!(portal.statistics().open_calls as u64, CALLS + 1);
            still.expect("put there").end().await?;
            while portal.call(WAITING, ()).await? > 0 || portal.statistics().open_calls > 0 {}
            assert_eq!(portal.statistics().late_answers, CALLS, "each was ended, and said so");
            an.cancel();
            Ok(())
        })
        .await
    });
}

fn a_cancel_gets_past_the_cancels_of_dropped_calls() {
    on_each(async |backend| {
        actors(async |an| {
            let still = Still::begin(an, narrow().frame(64 << 10), backend).await?;
            let portal = still.portal.clone();
            let mut calls: Vec<_> = (0..12_000).map(|_| Box::pin(portal.call(WAIT, ()))).collect();
            for call in &mut calls {
                poll_once(call).await;
            }
            drop(calls);
            let fired = stats().timers_fired;
            portal.cancel();
            pleach::checkpoint().await?;
            pleach::checkpoint().await?;
            let Still { mut byte, block, .. } = still;
            byte.write_all(b"x")?;
            portal.ended().await?;
            drop(block);
            assert_eq!(stats().timers_fired, fired, "no rung of the ladder");
            Ok(())
        })
        .await
    });
}

fn a_dropped_call_counts_until_the_actor_has_ended_it() {
    on_each(async |backend| {
        actors(async |an| {
            let still = Still::begin(an, narrow().dialogs(2), backend).await?;
            let portal = still.portal.clone();
            let mut dropped = Box::pin(portal.call(DOUBLE, 1));
            poll_once(&mut dropped).await;
            drop(dropped);
            let e = portal.call(DOUBLE, 2).await.expect_err("the actor has two on its hands");
            assert!(e.message().contains("2 calls") && e.message().contains("wait for some of them"), "{e}");
            still.end().await?;
            assert_eq!(portal.call(DOUBLE, 3).await?, 6);
            an.cancel();
            Ok(())
        })
        .await
    });
}

fn a_portal_without_dialogs_says_so() {
    on_each(async |backend| {
        actors(async |an| {
            let start = Start::new("silent").backend(backend).config(narrow().dialogs(0));
            let e = an.spawn(start).await?.call(DOUBLE, 1).await.expect_err("there may be none");
            assert!(e.message().contains("`Config::dialogs(0)`"), "{e}");
            an.cancel();
            Ok(())
        })
        .await
    });
}

fn a_call_that_was_dropped_before_it_was_sent_was_never_made() {
    on_each(async |backend| {
        actors(async |an| {
            let still = Still::begin(an, narrow(), backend).await?;
            let portal = still.portal.clone();
            let mut first = Box::pin(portal.call(SINK, vec![0; 900_000]));
            poll_once(&mut first).await;
            let mut second = Box::pin(portal.call(SINK, vec![0; 900_000]));
            poll_once(&mut second).await;
            drop(second);
            assert_eq!(portal.statistics().open_calls, 2, "the one that stands still, and the first");
            still.end().await?;
            first.await?;
            assert_eq!((portal.statistics().open_calls, portal.statistics().late_answers), (0, 0));
            an.cancel();
            Ok(())
        })
        .await
    });
}
