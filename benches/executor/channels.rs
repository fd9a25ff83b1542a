//! Channels between tasks of one thread: what does a round trip cost, and a message of many producers?
//!
//! ```text
//!   ping_pong:   A ─(1 slot)─► B ─(1 slot)─► A          many_to_one:   4 producers ─(256 slots)─► 1 consumer
//! ```

use crate::contender::Channels;
use crate::support::clock::Stopwatch;
use crate::work::{Boxed, Out, Tally, ran, take_tally};
use std::cell::Cell;
use std::rc::Rc;

const PRODUCERS: u64 = 4;
const CAPACITY: usize = 256;

/// Nanoseconds a round trip.
pub(crate) fn ping_pong<C: Channels>(full: bool) -> f64 {
    let trips = if full { 300_000 } else { 1_000 };
    C::run(async {
        once::<C>(100).await;
        take_tally();
        let start = Stopwatch::cpu();
        once::<C>(trips).await;
        let figure = start.per(trips);
        assert_eq!(take_tally(), Tally { ran: 2, ..Tally::default() });
        figure
    })
}

async fn once<C: Channels>(trips: u64) {
    let (mut there, mut arrives) = C::channel(1);
    let (mut back, mut returns) = C::channel(1);
    let ping: Boxed<C::Out> = Box::pin(async move {
        for i in 0..trips {
            C::send(&mut there, i).await;
            assert_eq!(C::receive(&mut returns).await, i);
        }
        ran();
        C::Out::fine()
    });
    let pong: Boxed<C::Out> = Box::pin(async move {
        for _ in 0..trips {
            let item = C::receive(&mut arrives).await;
            C::send(&mut back, item).await;
        }
        ran();
        C::Out::fine()
    });
    C::boxed_group([ping, pong].into_iter()).await;
}

/// Nanoseconds a message.
pub(crate) fn many_to_one<C: Channels>(full: bool) -> f64 {
    let each = if full { 250_000 } else { 1_000 };
    C::run(async {
        stream::<C>(300).await;
        take_tally();
        let start = Stopwatch::cpu();
        let sum = stream::<C>(each).await;
        let figure = start.per(PRODUCERS * each);
        assert_eq!(sum, PRODUCERS * (each * (each - 1) / 2), "every message came once");
        assert_eq!(take_tally(), Tally { ran: PRODUCERS + 1, ..Tally::default() });
        figure
    })
}

async fn stream<C: Channels>(each: u64) -> u64 {
    let (tx, mut rx) = C::channel(CAPACITY);
    let sum = Rc::new(Cell::new(0));
    let mut children: Vec<Boxed<C::Out>> = Vec::new();
    for _ in 0..PRODUCERS {
        let mut tx = tx.clone();
        children.push(Box::pin(async move {
            for i in 0..each {
                C::send(&mut tx, i).await;
            }
            ran();
            C::Out::fine()
        }));
    }
    drop(tx);
    let total = Rc::clone(&sum);
    children.push(Box::pin(async move {
        for _ in 0..PRODUCERS * each {
            total.set(total.get() + C::receive(&mut rx).await);
        }
        ran();
        C::Out::fine()
    }));
    C::boxed_group(children.into_iter()).await;
    sum.get()
}
