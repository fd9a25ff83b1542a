//! Nurseries, what is started in them, and what is combined out of several futures.
//!
//! ```text
//!   nursery │ start │ TaskHandle │ gather, both, race, either ─ ends early ─► no child is left, each was dropped once
//! ```

use crate::S;
use crate::fault::{Fault, Run, shape};
use crate::trial::{Trial, cases};
use pleach_executor::sync::{Holding, Resources};
use pleach_executor::{
    Started, both, checkpoint, either, gather, nursery, race, shielded, sleep, sleep_forever,
};
use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

cases! {
    a_nursery => ["nursery/mod.rs nursery", "nursery/typed.rs In::nursery"],
    a_nursery_that_fails => [],
    a_start => ["nursery/start.rs Nursery::start"],
    a_start_by_name => ["nursery/named.rs Named::start"],
    the_handle_of_a_task => ["nursery/handle.rs Future for TaskHandle"],
    all_of_several => ["combine.rs gather"],
    both_of_two => ["combine.rs both"],
    the_first_of_several => ["combine.rs race"],
    the_first_of_two => ["combine.rs either"],
    a_shared_resource => ["sync/resources.rs Resources::with"],
    holding_a_shared_resource => ["sync/resources.rs Holding::hold"],
}

/// A child that owns something and sleeps, not minding being cancelled at once or only after a second.
async fn child(alive: Rc<()>, d: Duration, clean_up: bool) -> Result<(), Fault> {
    let slept = sleep(d).await;
    if clean_up {
        shielded(async |_| sleep(S).await).await?;
    }
    drop(alive);
    Ok(slept?)
}

async fn a_nursery(trial: &Trial) {
    let alive = Rc::new(());
    let another = || Rc::clone(&alive);
    let body = nursery(async |n| {
        n.spawn(child(another(), 2 * S, false));
        n.spawn_static(child(another(), 2 * S, true));
        n.spawn(Run::nursery(async |inner| {
            inner.spawn(child(another(), S, true));
            inner.spawn_static(child(another(), S, false));
            child(another(), S, false).await
        }));
        child(another(), S, false).await
    });
    if let Some(Err(e)) = trial.of(body).await {
        assert!(matches!(e, Fault::Cancelled(_)), "nothing failed");
    }
    assert_eq!(Rc::strong_count(&alive), 1, "no child is left");
}

async fn a_nursery_that_fails(trial: &Trial) {
    let alive = Rc::new(());
    let body = Run::nursery(async |n| {
        n.spawn(async {
            child(Rc::clone(&alive), S, false).await?;
            Err(Fault::Named("E"))
        });
        n.spawn_static(child(Rc::clone(&alive), 9 * S, true));
        sleep_forever().await?;
        Ok(())
    });
    if let Some(ended) = trial.of(body).await {
        assert!(["E", "Cancelled"].contains(&shape(&ended).as_str()), "{}", shape(&ended));
    }
    assert_eq!(Rc::strong_count(&alive), 1, "no child is left");
}

async fn a_start(trial: &Trial) {
    start(trial, None).await;
}

async fn a_start_by_name(trial: &Trial) {
    start(trial, Some("a name")).await;
}

async fn start(trial: &Trial, name: Option<&str>) {
    let alive = Rc::new(());
    let (ready, moved, ended) = (Cell::new(false), Cell::new(false), Cell::new(false));
    let r = Run::nursery(async |n| {
        let child = async |up: Started<u8>| {
            let _alive = Rc::clone(&alive);
            sleep(2 * S).await?;
            ready.set(true);
            up.set(7);
            sleep(3 * S).await?;
            ended.set(true);
            Ok(())
        };
        let started = match name {
            Some(name) => trial.of(n.named(name).start(child)).await,
            None => trial.of(n.start(child)).await,
        };
        // Who says so later says it to nobody; who says so to a starter that is cancelled stays its child.
        moved.set(match &started {
            Some(started) => started.is_ok(),
            None => ready.get(),
        });
        if let Some(Ok(value)) = started {
            assert_eq!((value, Rc::strong_count(&alive)), (7, 2), "it runs on in the nursery");
        } else if !moved.get() {
            crate::trial::pass().await;
            assert_eq!(
                Rc::strong_count(&alive),
                1,
                "who was not ready when nobody waited any more has ended"
            );
        }
        Ok(())
    })
    .await;
    assert_eq!(shape(&r), "ok");
    assert_eq!(ended.get(), moved.get(), "whoever said that it was ready is the nursery's");
    assert_eq!(Rc::strong_count(&alive), 1);
}

async fn the_handle_of_a_task(trial: &Trial) {
    let alive = Rc::new(());
    let r = Run::nursery(async |n| {
        let task = n.task(async {
            let _alive = Rc::clone(&alive);
            sleep(2 * S).await?;
            Ok(7)
        });
        if let Some(Ok(value)) = trial.of(task).await {
            assert_eq!(value, 7);
        }
        Ok(())
    })
    .await;
    assert_eq!(shape(&r), "ok");
    assert_eq!(Rc::strong_count(&alive), 1);
}

async fn all_of_several(trial: &Trial) {
    let alive = Rc::new(());
    trial.of(gather([1, 2].map(|s| child(Rc::clone(&alive), s * S, s == 1)))).await;
    assert_eq!(Rc::strong_count(&alive), 1);
}

async fn both_of_two(trial: &Trial) {
    let alive = Rc::new(());
    trial.of(both(child(Rc::clone(&alive), S, true), child(Rc::clone(&alive), 2 * S, false))).await;
    assert_eq!(Rc::strong_count(&alive), 1);
}

async fn the_first_of_several(trial: &Trial) {
    let alive = Rc::new(());
    trial.of(race([1, 9].map(|s| child(Rc::clone(&alive), s * S, s == 9)))).await;
    assert_eq!(Rc::strong_count(&alive), 1);
}

async fn the_first_of_two(trial: &Trial) {
    let alive = Rc::new(());
    trial.of(either(child(Rc::clone(&alive), S, false), child(Rc::clone(&alive), 9 * S, true))).await;
    assert_eq!(Rc::strong_count(&alive), 1);
}

/// Opens and closes in a second each, and counts what is open.
async fn link(open: Rc<Cell<i32>>, holding: Holding<u8, Fault>) -> Result<(), Fault> {
    sleep(S).await?;
    open.set(open.get() + 1);
    let held = holding.hold(7).await;
    let closed = shielded(async |_| sleep(S).await).await;
    open.set(open.get() - 1);
    held?;
    Ok(closed?)
}

async fn a_shared_resource(trial: &Trial) {
    let open = Rc::new(Cell::new(0));
    let r = Run::nursery(async |n| {
        let links = Resources::new(n.handle());
        let theirs = Rc::clone(&open);
        let using = links.with(
            "key",
            async move |holding| link(theirs, holding).await,
            async |value: &u8| {
                assert_eq!(*value, 7);
                Ok(sleep(S).await?)
            },
        );
        trial.of(using).await;
        for _ in 0..4 {
            crate::trial::pass().await;
        }
        assert_eq!((links.users(&"key"), open.get()), (0, 0), "its last user has gone, so it has ended");
        Ok(())
    })
    .await;
    assert_eq!(shape(&r), "ok");
}

async fn holding_a_shared_resource(trial: &Trial) {
    let r = Run::nursery(async |n| {
        let links = Resources::new(n.handle());
        let home = Rc::new(Cell::new(None::<Holding<u8, Fault>>));
        let theirs = Rc::clone(&home);
        // The holding goes to the trial. Nobody may end well who has not held it to the end, so its opener does not.
        let using = links.with(
            "key",
            async move |holding| {
                theirs.set(Some(holding));
                sleep(9 * S).await?;
                Err(Fault::Named("over"))
            },
            async |_: &u8| Ok(sleep(S).await?),
        );
        let held = async {
            let holding = loop {
                match home.take() {
                    Some(holding) => break holding,
                    None => checkpoint().await?,
                }
            };
            trial.of(holding.hold(7)).await;
            Ok::<_, Fault>(())
        };
        let (used, held) = futures_util::future::join(using, held).await;
        held?;
        assert_eq!(links.users(&"key"), 0);
        drop(used);
        Ok(())
    })
    .await;
    drop(r);
}
