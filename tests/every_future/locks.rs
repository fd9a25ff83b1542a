//! Locks, permits, tokens, conditions, barriers, events, cells and lots.
//!
//! ```text
//!   one has it for two seconds, the trial waits, one waits behind ─► that one has had it, and then it is free
//! ```

use crate::S;
use crate::fault::{Fault, Run, shape};
use crate::trial::{Trial, cases};
use futures_util::future::{join, join3};
use pleach_executor::parking::ParkingLot;
use pleach_executor::sync::{
    Barrier, Borrower, CapacityLimiter, Condition, Event, Lock, OnceCell, Semaphore,
};
use pleach_executor::testing::Sequencer;
use pleach_executor::{Cancelled, sleep};
use std::cell::Cell;
use std::future::Future;
use std::rc::Rc;

cases! {
    a_wait_for_a_lock => ["sync/lock.rs Lock::lock"],
    a_wait_for_a_condition => ["sync/condition.rs Condition::wait"],
    a_wait_for_a_permit => ["sync/semaphore.rs Semaphore::acquire"],
    a_wait_for_a_token => ["sync/limiter.rs CapacityLimiter::acquire"],
    a_wait_for_a_token_for_another => ["sync/limiter.rs CapacityLimiter::acquire_for"],
    a_wait_for_an_event => ["sync/event.rs Event::wait"],
    a_wait_at_a_barrier => ["sync/barrier.rs Barrier::wait"],
    filling_a_cell => ["sync/once_cell.rs OnceCell::get_or_init"],
    waiting_for_who_fills_a_cell => [],
    a_wait_for_a_cell => ["sync/once_cell.rs OnceCell::wait"],
    a_place_in_a_lot => ["parking.rs ParkingLot::park"],
    a_place_in_a_lot_that_may_break => ["parking/broken.rs ParkingLot::park_unless_broken"],
    a_turn_in_a_sequence => ["testing/sequencer.rs Sequencer::at"],
}

async fn a_wait_for_a_lock(trial: &Trial) {
    let (lock, behind, has_it) = (Lock::new(()), Cell::new(false), Event::new());
    let r = Run::nursery(async |n| {
        n.spawn(async {
            let held = lock.try_lock().expect("nobody has it");
            has_it.set();
            sleep(2 * S).await?;
            drop(held);
            Ok(())
        });
        has_it.wait().await?;
        let next = async {
            sleep(S / 2).await?;
            let held = lock.lock().await?.expect("another task's");
            behind.set(true);
            drop(held);
            Ok(())
        };
        n.spawn(next);
        trial.of(lock.lock()).await;
        Ok(())
    })
    .await;
    assert_eq!((shape(&r).as_str(), behind.get()), ("ok", true));
    assert!(lock.try_lock().is_ok() && lock.stats().waiting == 0);
}

async fn a_wait_for_a_condition(trial: &Trial) {
    let (lock, behind) = (Lock::new(()), Cell::new(false));
    let condition = Condition::new(&lock);
    let r = Run::nursery(async |n| {
        let guard = lock.try_lock().expect("nobody has it");
        n.spawn(async {
            let held = lock.lock().await?.expect("another task's");
            let (held, waited) = condition.wait(held).await;
            waited?;
            behind.set(true);
            drop(held);
            Ok(())
        });
        n.spawn(async {
            sleep(2 * S).await?;
            let held = lock.lock().await?.expect("another task's");
            // One for each of them. Whose wait has ended gives its own on, or there is nobody else.
            condition.notify(&held, 1);
            condition.notify(&held, 1);
            sleep(S).await?;
            Ok(())
        });
        trial.of(condition.wait(guard)).await;
        Ok(())
    })
    .await;
    assert_eq!((shape(&r).as_str(), behind.get()), ("ok", true));
    assert!(lock.try_lock().is_ok() && condition.waiting() == 0 && lock.stats().waiting == 0);
}

async fn a_wait_for_a_permit(trial: &Trial) {
    let (one, behind) = (Semaphore::bounded(1, 1), Cell::new(false));
    let held = one.try_acquire().expect("one is left");
    let world = async {
        sleep(S / 2).await?;
        let next = async { behind.set(one.acquire().await.is_ok()) };
        let giving = async {
            let r = sleep(2 * S).await;
            drop(held);
            r
        };
        join(next, giving).await.1
    };
    trial.beside(async { one.acquire().await.map(drop) }, world).await;
    assert!(behind.get(), "the one behind has had it");
    assert_eq!((one.stats().left, one.stats().waiting), (1, 0));
}

async fn token(trial: &Trial, of_its_own: bool) {
    let limiter = CapacityLimiter::new(1);
    let behind = Cell::new(false);
    let held = limiter.try_acquire_for(Borrower::Other(0)).expect("one is left");
    let world = async {
        sleep(S / 2).await?;
        let next = async {
            let token = limiter.acquire_for(Borrower::Other(2)).await;
            behind.set(matches!(token, Ok(Ok(_))));
        };
        let giving = async {
            let r = sleep(2 * S).await;
            drop(held);
            r
        };
        join(next, giving).await.1
    };
    if of_its_own {
        trial.beside(async { limiter.acquire().await.map(drop) }, world).await;
    } else {
        trial.beside(async { limiter.acquire_for(Borrower::Other(1)).await.map(drop) }, world).await;
    }
    assert!(behind.get(), "the one behind has had it");
    assert_eq!(limiter.available(), Some(1));
    assert!(limiter.try_acquire().is_ok() && limiter.try_acquire_for(Borrower::Other(1)).is_ok());
}

async fn a_wait_for_a_token(trial: &Trial) {
    token(trial, true).await;
}

async fn a_wait_for_a_token_for_another(trial: &Trial) {
    token(trial, false).await;
}

async fn a_wait_for_an_event(trial: &Trial) {
    let event = Event::new();
    let setting = async {
        let r = sleep(2 * S).await;
        event.set();
        r
    };
    let (_, other) = join(trial.beside(event.wait(), setting), event.wait()).await;
    assert!(other.is_ok());
}

async fn a_wait_at_a_barrier(trial: &Trial) {
    let barrier = Barrier::new(2.try_into().expect("not 0"));
    let (first, passed) = (Cell::new(false), Cell::new(0));
    let second = async {
        sleep(2 * S).await?;
        passed.set(passed.get() + 1);
        first.set(barrier.waiting() == 0);
        if first.get() { Ok(()) } else { barrier.wait().await.map(drop) }
    };
    let own = trial.beside(barrier.wait(), second).await;
    assert!(!(first.get() && matches!(own, Some(Ok(_)))), "who left is not counted");
    assert_eq!((barrier.waiting(), passed.get()), (0, 1));
}

async fn filling_a_cell(trial: &Trial) {
    let (cell, value) = (OnceCell::new(), Rc::new(()));
    let init = async || {
        let value = Rc::clone(&value);
        sleep(2 * S).await?;
        Ok::<_, Fault>(value)
    };
    let other = async {
        sleep(S / 2).await?;
        cell.get_or_init(init).await.map(drop)
    };
    let (_, other) = join(trial.of(cell.get_or_init(init)), other).await;
    assert!(other.is_ok() && cell.get().is_some(), "the next one fills it");
    assert_eq!(Rc::strong_count(&value), 2, "its value, and no other");
}

async fn waiting_for_who_fills_a_cell(trial: &Trial) {
    let cell = OnceCell::new();
    let slowly = async || {
        sleep(2 * S).await?;
        Ok::<_, Fault>(7)
    };
    let waiting = trial.of(async {
        // In the second poll, after the other has begun.
        sleep(S / 2).await?;
        cell.get_or_init(async || Ok::<_, Fault>(8)).await.copied()
    });
    let (_, filled) = join(waiting, cell.get_or_init(slowly)).await;
    assert!(matches!(filled, Ok(7)));
}

async fn a_wait_for_a_cell(trial: &Trial) {
    let cell = OnceCell::new();
    let setting = async {
        let r = sleep(2 * S).await;
        assert!(cell.set(7).is_ok());
        r
    };
    let (_, other) = join(trial.beside(cell.wait(), setting), cell.wait()).await;
    assert!(matches!(other, Ok(7)));
}

/// One is released in the second second: the trial, or the one behind it, and never neither.
async fn lot_with<T>(trial: &Trial, lot: &ParkingLot, fut: impl Future<Output = Result<T, Cancelled>>) {
    let behind = Cell::new(false);
    let other = async {
        sleep(S / 2).await?;
        lot.park().await?;
        behind.set(true);
        Ok::<_, Cancelled>(())
    };
    let this = async {
        let parked = trial.beside(fut, later(|| lot.unpark(1))).await;
        crate::trial::pass().await;
        crate::trial::pass().await;
        let released = matches!(parked, Some(Ok(_)));
        assert_eq!(behind.get(), !released, "one place was freed, and one is released");
        lot.unpark_all();
    };
    assert!(join(this, other).await.1.is_ok());
    assert!(lot.is_empty());
}

/// Does something in two seconds.
async fn later<T>(what: impl FnOnce() -> T) {
    sleep(2 * S).await.expect("nobody cancels the world");
    what();
}

async fn a_place_in_a_lot(trial: &Trial) {
    let lot = ParkingLot::new();
    lot_with(trial, &lot, lot.park()).await;
}

async fn a_place_in_a_lot_that_may_break(trial: &Trial) {
    let lot = ParkingLot::new();
    lot_with(trial, &lot, lot.park_unless_broken()).await;
    let breaking = async {
        let r = sleep(2 * S).await;
        lot.break_lot();
        r
    };
    trial.beside(lot.park_unless_broken(), breaking).await;
    assert!(lot.is_empty() && lot.is_broken());
}

async fn a_turn_in_a_sequence(trial: &Trial) {
    let sequence = Sequencer::new();
    let first = async {
        let turn = sequence.at(0).await;
        let r = sleep(2 * S).await;
        drop(turn);
        r
    };
    let third = async {
        sleep(S / 2).await?;
        sequence.at(2).await.map(drop)
    };
    let second = async {
        let _turn = sequence.at(1).await?;
        Ok::<_, Cancelled>(())
    };
    // Nobody waits in vain: the turn comes, or the sequence is broken. Who never asks for its turn has none to give on.
    let asked = Cell::new(false);
    let second = async {
        asked.set(true);
        second.await
    };
    let rest = async {
        sleep(S / 4).await?;
        if asked.get() { third.await } else { Ok(()) }
    };
    let (_, _, rest) = join3(trial.of(second), first, rest).await;
    assert!(rest.is_ok());
}
