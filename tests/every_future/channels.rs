//! Channels, broadcast, watch and streams in memory.
//!
//! ```text
//!   what was sent and accepted = what the trial received + what is there afterwards, each once and in order
//! ```

use crate::S;
use crate::trial::{Trial, cases};
use futures_util::StreamExt;
use futures_util::future::join;
use pleach_executor::io::{ReadBytes, WriteBytes};
use pleach_executor::sync::channel::bounded;
use pleach_executor::sync::{broadcast, watch};
use pleach_executor::testing::streams::{lock_step_pair, lock_step_pipe, memory_pair, memory_pipe};
use pleach_executor::{Cancelled, move_on_after, sleep};
use std::cell::{Cell, RefCell};
use std::rc::Rc;

cases! {
    a_send => ["sync/channel.rs Sender::send"],
    a_send_hand_to_hand => [],
    a_receive => ["sync/channel.rs Receiver::receive"],
    a_receive_hand_to_hand => [],
    the_next_item => ["sync/channel/many.rs Receiver::next"],
    many_items => ["sync/channel/many.rs Receiver::receive_many"],
    an_item_of_a_stream => ["items.rs Stream for Items"],
    an_item_of_a_stream_hand_to_hand => [],
    an_item_of_a_stream_that_is_kept => [],
    a_broadcast_receive => ["sync/broadcast.rs Receiver::receive"],
    a_broadcast_item_of_a_stream => [],
    a_change_of_a_watched_value => ["sync/watch.rs Receiver::changed"],
    a_change_of_a_stream => [],
    a_wanted_value => ["sync/watch.rs Receiver::wait_for"],
    the_end_of_watching => ["sync/watch.rs Sender::unwatched"],
    sending_through_memory => ["testing/streams.rs MemorySend::send_all"],
    receiving_through_memory => ["testing/streams.rs MemoryReceive::receive"],
    sending_both_ways => ["testing/streams.rs MemoryStream::send_all"],
    receiving_both_ways => ["testing/streams.rs MemoryStream::receive"],
    writing_in_lock_step => [
        "testing/streams/bytes.rs WriteBytes for MemorySend::write",
        "testing/streams/bytes.rs WriteBytes for MemoryStream::write",
    ],
    reading_in_lock_step => [
        "testing/streams/bytes.rs ReadBytes for MemoryReceive::read",
        "testing/streams/bytes.rs ReadBytes for MemoryStream::read",
    ],
}

async fn send(trial: &Trial, capacity: usize) {
    let (tx, rx) = bounded(capacity);
    for n in 0..capacity {
        assert!(tx.try_send(Rc::new(n)).is_ok());
    }
    let (item, got) = (Rc::new(9), RefCell::new(Vec::new()));
    let (begun, in_time) = (Cell::new(false), Cell::new(false));
    let receiving = async {
        sleep(2 * S).await?;
        begun.set(true);
        got.borrow_mut().extend(std::iter::from_fn(|| rx.try_receive().ok()));
        Ok::<_, Cancelled>(())
    };
    let sending = async {
        let sent = trial.of(tx.send(Rc::clone(&item))).await;
        in_time.set(begun.get());
        sent
    };
    let sent = join(sending, receiving).await.0;
    got.borrow_mut().extend(std::iter::from_fn(|| rx.try_receive().ok()));
    let mut got: Vec<usize> = got.take().iter().map(|n| **n).collect();
    let arrived = got.pop_if(|n| *n == 9).is_some();
    assert_eq!(got, (0..capacity).collect::<Vec<_>>());
    match sent {
        Some(Ok(Ok(()))) => assert!(arrived, "it was sent"),
        Some(_) => assert!(!arrived, "it was not sent"),
        None => assert!(!arrived || in_time.get(), "given up before there was room, and sent all the same"),
    }
    assert_eq!(Rc::strong_count(&item), 1, "no copy is kept anywhere");
    assert!(tx.try_send(Rc::new(7)).is_ok() == (capacity > 0), "nobody is in the way");
}

async fn a_send(trial: &Trial) {
    send(trial, 2).await;
}

async fn a_send_hand_to_hand(trial: &Trial) {
    send(trial, 0).await;
}

/// Receives with `op`, which says what it got; sends 1 and 2 after two seconds.
async fn receive<O>(trial: &Trial, capacity: usize, op: O)
where
    O: AsyncFnOnce(&pleach_executor::sync::channel::Receiver<u32>) -> Vec<u32>,
{
    let (tx, rx) = bounded(capacity);
    let (mine, rest) = (rx.clone(), RefCell::new(Vec::new()));
    let sending = async {
        sleep(2 * S).await?;
        for n in 1..=2 {
            if tx.send(n).await?.is_err() {
                break;
            }
        }
        drop(tx);
        Ok::<_, Cancelled>(())
    };
    let draining = async {
        sleep(5 * S).await?;
        while let Ok(item) = rx.receive().await? {
            rest.borrow_mut().push(item);
        }
        Ok::<_, Cancelled>(())
    };
    let world = futures_util::future::join(sending, draining);
    let mut all = trial.beside(op(&mine), world).await.unwrap_or_default();
    all.append(&mut rest.borrow_mut());
    assert_eq!(all, [1, 2], "each once, and in order");
}

async fn a_receive(trial: &Trial) {
    receive(trial, 2, async |rx| rx.receive().await.into_iter().flatten().collect()).await;
}

async fn a_receive_hand_to_hand(trial: &Trial) {
    receive(trial, 0, async |rx| rx.receive().await.into_iter().flatten().collect()).await;
}

async fn the_next_item(trial: &Trial) {
    receive(trial, 1, async |rx| rx.next().await.into_iter().flatten().flatten().collect()).await;
}

async fn many_items(trial: &Trial) {
    receive(trial, 2, async |rx| {
        let mut all = Vec::new();
        drop(rx.receive_many(&mut all, 2).await);
        all
    })
    .await;
}

/// The stream goes with the future.
async fn an_item_of_a_stream(trial: &Trial) {
    receive(trial, 2, async |rx| rx.clone().into_stream().next().await.into_iter().flatten().collect()).await;
}

async fn an_item_of_a_stream_hand_to_hand(trial: &Trial) {
    receive(trial, 0, async |rx| rx.clone().into_stream().next().await.into_iter().flatten().collect()).await;
}

/// The stream outlives the future, with its place in line and what it was handed.
async fn an_item_of_a_stream_that_is_kept(trial: &Trial) {
    let (tx, rx) = bounded(2);
    let mut items = rx.clone().into_stream();
    let sending = async {
        sleep(2 * S).await?;
        for n in 1..=2 {
            assert!(tx.send(n).await?.is_ok());
        }
        Ok::<_, Cancelled>(())
    };
    let first = trial.beside(items.next(), sending).await;
    let mut all: Vec<u32> = first.flatten().into_iter().flatten().collect();
    all.extend(items.next().await.into_iter().flatten());
    drop(items);
    all.extend(rx.try_receive());
    assert_eq!(all, [1, 2], "each once, and in order");
}

async fn a_broadcast_receive(trial: &Trial) {
    let (tx, rx) = broadcast::channel(4);
    let other = rx.clone();
    let sending = async {
        let r = sleep(2 * S).await;
        assert!([1, 2].into_iter().all(|n| tx.send(n).is_ok()));
        r
    };
    let first = trial.beside(rx.receive(), sending).await;
    let mut all: Vec<u32> = first.into_iter().flatten().flatten().collect();
    all.extend(std::iter::from_fn(|| rx.try_receive().ok()));
    assert_eq!(all, [1, 2]);
    assert_eq!((other.try_receive(), other.try_receive()), (Ok(1), Ok(2)));
}

async fn a_broadcast_item_of_a_stream(trial: &Trial) {
    let (tx, rx) = broadcast::channel(4);
    let mut items = rx.into_stream();
    let sending = async {
        let r = sleep(2 * S).await;
        assert!([1, 2].into_iter().all(|n| tx.send(n).is_ok()));
        r
    };
    let first = trial.beside(items.next(), sending).await;
    let mut all: Vec<u32> = first.flatten().into_iter().flatten().flatten().collect();
    let rx = items.into_inner();
    all.extend(std::iter::from_fn(|| rx.try_receive().ok()));
    assert_eq!(all, [1, 2]);
}

async fn a_change_of_a_watched_value(trial: &Trial) {
    let (tx, rx) = watch::channel(0);
    let sending = async {
        let r = sleep(2 * S).await;
        tx.send(1);
        r
    };
    let seen = trial.beside(rx.changed(), sending).await;
    assert_eq!(
        rx.has_changed(),
        !matches!(seen, Some(Ok(Ok(_)))),
        "seen by who was told, and by nobody else"
    );
    assert_eq!(*rx.get(), 1);
}

async fn a_change_of_a_stream(trial: &Trial) {
    let (tx, rx) = watch::channel(0);
    let mut changes = rx.into_stream();
    let sending = async {
        let r = sleep(2 * S).await;
        tx.send(1);
        r
    };
    let seen = trial.beside(changes.next(), sending).await;
    let rx = changes.into_inner();
    assert_eq!(rx.has_changed(), !matches!(seen, Some(Some(Ok(_)))), "seen by who was told");
}

async fn a_wanted_value(trial: &Trial) {
    let (tx, rx) = watch::channel(0);
    let sending = async {
        for n in 1..=2 {
            sleep(S).await?;
            tx.send(n);
        }
        Ok::<_, Cancelled>(())
    };
    trial.beside(rx.wait_for(|n| *n == 2), sending).await;
    assert_eq!(*rx.get(), 2);
}

async fn the_end_of_watching(trial: &Trial) {
    let (tx, rx) = watch::channel(0);
    let going = async {
        let r = sleep(2 * S).await;
        drop(rx);
        r
    };
    trial.beside(tx.unwatched(), going).await;
    assert_eq!(tx.receivers(), 0);
}

async fn sending_through_memory(trial: &Trial) {
    let (tx, rx) = lock_step_pipe();
    let mut got = Vec::new();
    let receiving = move_on_after(4 * S, async |_| {
        sleep(2 * S).await?;
        while let Ok(bytes) = rx.receive(2).await? {
            got.extend(bytes);
        }
        Ok::<_, Cancelled>(())
    });
    let sent = trial.beside(tx.send_all(b"abc"), receiving).await;
    assert!(b"abc".starts_with(&got));
    if let Some(Ok(Ok(()))) = sent {
        assert_eq!(got, b"abc", "a send ends when all has been received");
    }
}

async fn receiving_through_memory(trial: &Trial) {
    let (tx, rx) = memory_pipe();
    let sending = async {
        sleep(2 * S).await?;
        tx.send_all(b"abc").await
    };
    let got = trial.beside(rx.receive(2), sending).await;
    let mut all = match got {
        Some(Ok(Ok(bytes))) => bytes,
        _ => Vec::new(),
    };
    all.extend(rx.receive(9).await.into_iter().flatten().flatten());
    if all.len() < 3 {
        all.extend(rx.receive(9).await.into_iter().flatten().flatten());
    }
    assert_eq!(all, b"abc");
}

async fn sending_both_ways(trial: &Trial) {
    let (a, b) = memory_pair();
    let sent = trial.of(a.send_all(b"abc")).await;
    a.close();
    let got: Vec<u8> = b.receive(9).await.into_iter().flatten().flatten().collect();
    if matches!(sent, Some(Ok(Ok(())))) {
        assert_eq!(got, b"abc");
    }
}

async fn receiving_both_ways(trial: &Trial) {
    let (a, b) = memory_pair();
    let sending = async {
        sleep(2 * S).await?;
        a.send_all(b"abc").await
    };
    let got = trial.beside(b.receive(9), sending).await;
    let mut all: Vec<u8> = got.into_iter().flatten().flatten().flatten().collect();
    a.close();
    all.extend(b.receive(9).await.into_iter().flatten().flatten());
    assert_eq!(all, b"abc");
}

/// A write says how much the reader has got, or the reader has got nothing of it.
async fn writing_in_lock_step(trial: &Trial) {
    let (a, b) = lock_step_pair();
    let got = RefCell::new(Vec::new());
    let reading = async {
        sleep(2 * S).await?;
        let mut room = [0; 2];
        while let Some(read) = move_on_after(4 * S, async |_| b.read(&mut room).await).await? {
            if read == 0 {
                break;
            }
            got.borrow_mut().extend_from_slice(&room[..read]);
        }
        std::io::Result::Ok(())
    };
    let written = trial.beside(a.write(b"abc"), reading).await;
    let told = written.and_then(Result::ok).unwrap_or(0);
    assert_eq!(got.take(), b"abc"[..told], "no more and no less than it said");
}

/// What a read that ends early was given is the next one's.
async fn reading_in_lock_step(trial: &Trial) {
    let (a, b) = lock_step_pair();
    let (mut room, mut rest, mut written) = ([0; 2], [0; 8], 0);
    let writing = async {
        sleep(2 * S).await?;
        move_on_after(4 * S, async |_| a.write_all_counting(b"abc", &mut written).await).await
    };
    let read = trial.beside(b.read(&mut room), writing).await;
    let mut all = room[..read.and_then(Result::ok).unwrap_or(0)].to_vec();
    a.send_eof();
    loop {
        match b.read(&mut rest).await.expect("no error") {
            0 => break,
            read => all.extend_from_slice(&rest[..read]),
        }
    }
    assert_eq!(all, b"abc"[..written]);
}
