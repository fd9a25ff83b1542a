//! Promise: whatever is done to a channel, an item is received once, comes back, or goes with its send; and nobody sleeps on.
//!
//! ```text
//!   seed ─► sends and receives that are begun, polled and dropped at any point; handles that close; also in a run that is
//!           not quiet ─┬─► each item: what has become of it
//!                      ├─► the two lines: nobody waits who could go on
//!                      └─► each waker: woken before its operation is ready
//! ```
//!
//! Rules: operations are polled by hand, each with a waker that counts, so that a wake-up which is missing is seen at once.

use pleach_executor::sync::channel::{Receiver, SendError, Sender, bounded, unbounded};
use pleach_executor::testing::run_virtual;
use pleach_executor::{CancelScope, Cancelled, yield_now};
use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

/// How many programs there are, unless `PLEACH_RUNS` says otherwise.
const PROGRAMS: u64 = 300;
/// How many steps each has.
const STEPS: u32 = 200;

/// What has become of an item.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fate {
    /// It is with its send, or in line.
    Offered,
    /// Its send has ended well, or nobody knows, because that was dropped in line.
    Sent,
    Received,
    Dropped,
    /// It was sent, and dropped without having been received.
    Lost,
}

impl Fate {
    fn is_over(self) -> bool {
        matches!(self, Fate::Dropped | Fate::Lost)
    }
}

/// An item that says what becomes of it.
struct Item(Rc<Cell<Fate>>);

impl Drop for Item {
    fn drop(&mut self) {
        let before = self.0.replace(Fate::Dropped);
        assert!(!before.is_over(), "an item is dropped once");
        if before == Fate::Sent {
            self.0.set(Fate::Lost);
        }
    }
}

/// Says whether it was woken.
#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

type Sent = Result<Result<(), SendError<Item>>, Cancelled>;

enum What {
    Send(Pin<Box<dyn Future<Output = Sent>>>, Rc<Cell<Fate>>),
    Receive(Pin<Box<dyn Future<Output = Option<Item>>>>),
}

/// A send or a receive on its way.
struct Operation {
    what: What,
    woken: Arc<Woken>,
    polled: bool,
    /// Its own end was closed, or the other, before it was made.
    refused: bool,
}

impl Operation {
    fn new(what: What, refused: bool) -> Self {
        Operation { what, woken: Arc::default(), polled: false, refused }
    }

    /// One poll; `None` if it has ended.
    fn poll(mut self) -> Option<Self> {
        let was_woken = self.woken.0.swap(false, Ordering::Relaxed) || !self.polled;
        self.polled = true;
        let waker = Waker::from(Arc::clone(&self.woken));
        let mut cx = Context::from_waker(&waker);
        let refused = self.refused;
        let ended = match &mut self.what {
            What::Send(send, fate) => match send.as_mut().poll(&mut cx) {
                Poll::Pending => false,
                Poll::Ready(r) => {
                    let r = r.expect("nobody is cancelled here");
                    assert!(r.is_err() || !refused, "nothing is sent where an end is closed");
                    match r {
                        Ok(()) if fate.get() == Fate::Offered => fate.set(Fate::Sent),
                        // The end of the channel was faster: see `check`. Or a receiver was, who has dropped it since.
                        Ok(()) => {}
                        Err(SendError::Closed(item) | SendError::Broken(item)) => {
                            assert_eq!(item.0.get(), Fate::Offered, "what comes back was not sent");
                        }
                        Err(_) => unreachable!("a send fails because of one of the two ends"),
                    }
                    true
                }
            },
            What::Receive(receive) => match receive.as_mut().poll(&mut cx) {
                Poll::Pending => false,
                Poll::Ready(item) => {
                    assert!(item.is_none() || !refused, "nothing is received by an end that is closed");
                    item.iter().for_each(received);
                    true
                }
            },
        };
        assert!(!ended || was_woken, "who can go on has been woken");
        (!ended).then_some(self)
    }
}

fn received(item: &Item) {
    assert!(matches!(item.0.replace(Fate::Received), Fate::Offered | Fate::Sent), "an item is received once");
}

struct Program {
    random: Cell<u64>,
    /// Each with whether it is closed.
    senders: Vec<(Rc<Sender<Item>>, bool)>,
    receivers: Vec<(Rc<Receiver<Item>>, bool)>,
    running: Vec<Operation>,
    items: Vec<Rc<Cell<Fate>>>,
}

impl Program {
    fn below(&self, n: usize) -> usize {
        let mut x = self.random.get();
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        self.random.set(x);
        (x >> 33) as usize % n
    }

    fn new_item(&mut self) -> Item {
        let fate = Rc::new(Cell::new(Fate::Offered));
        self.items.push(Rc::clone(&fate));
        Item(fate)
    }

    fn step(&mut self) {
        let (s, r) = (self.below(self.senders.len()), self.below(self.receivers.len()));
        match self.below(32) {
            0..7 => {
                let ((tx, closed), item) = (self.senders[s].clone(), self.new_item());
                let refused = closed || tx.stats().receivers == 0;
                let fate = Rc::clone(&item.0);
                let send = Box::pin(async move { tx.send(item).await });
                self.running.push(Operation::new(What::Send(send, fate), refused));
            }
            7..14 => {
                let (rx, closed) = self.receivers[r].clone();
                let receive = async move { rx.receive().await.expect("nobody is cancelled here").ok() };
                self.running.push(Operation::new(What::Receive(Box::pin(receive)), closed));
            }
            14..25 if !self.running.is_empty() => {
                let at = self.below(self.running.len());
                let left = self.running.swap_remove(at).poll();
                self.running.extend(left);
            }
            25..28 if !self.running.is_empty() => {
                let at = self.below(self.running.len());
                drop(self.running.swap_remove(at));
            }
            28 => {
                let item = self.new_item();
                let fate = Rc::clone(&item.0);
                if self.senders[s].0.try_send(item).is_ok() && fate.get() == Fate::Offered {
                    fate.set(Fate::Sent);
                }
            }
            29 => self.receivers[r].0.try_receive().iter().for_each(received),
            30 if self.below(4) == 0 => match self.below(4) {
                0 => {
                    self.senders[s].0.close();
                    self.senders[s].1 = true;
                }
                1 => {
                    self.receivers[r].0.close();
                    self.receivers[r].1 = true;
                }
                2 => {
                    let (tx, closed) = &self.senders[s];
                    self.senders.push((Rc::new((**tx).clone()), *closed));
                }
                _ => {
                    let (rx, closed) = &self.receivers[r];
                    self.receivers.push((Rc::new((**rx).clone()), *closed));
                }
            },
            _ => {}
        }
    }

    /// Nobody waits who could go on.
    fn check(&self) {
        let stats = self.senders[0].0.stats();
        assert!(stats.receiving == 0 || (stats.buffered == 0 && stats.sending == 0), "{stats:?}");
        assert!(stats.sending == 0 || stats.capacity.is_some_and(|most| stats.buffered >= most), "{stats:?}");
        assert!(stats.sending == 0 || stats.receivers > 0, "{stats:?}");
        assert!(stats.receiving == 0 || stats.senders > 0, "{stats:?}");
        let lost = self.items.iter().any(|fate| fate.get() == Fate::Lost);
        assert!(!lost || stats.receivers == 0, "what was sent is lost with the last receiver only");
    }
}

async fn program(seed: u64) {
    let (tx, rx) = match seed % 5 {
        4 => unbounded(),
        capacity => bounded(capacity as usize),
    };
    let random = Cell::new(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let (senders, receivers) = (vec![(Rc::new(tx), false)], vec![(Rc::new(rx), false)]);
    let mut program = Program { random, senders, receivers, running: Vec::new(), items: Vec::new() };
    for _ in 0..STEPS {
        program.step();
        program.check();
        yield_now().await;
    }
    // To the end: every operation that can go on does, and then the channel goes with what is left in it.
    for _ in 0..3 {
        program.running =
            std::mem::take(&mut program.running).into_iter().filter_map(Operation::poll).collect();
        program.check();
        yield_now().await;
    }
    let items = std::mem::take(&mut program.items);
    drop(program);
    assert!(items.iter().all(|fate| fate.get().is_over()), "every item has come to an end");
}

/// The same in a run that is quiet, where an operation is mostly done at its first look, and in one that is not.
#[test]
fn each_item_is_received_once_or_comes_back_and_nobody_sleeps_on() {
    let programs =
        std::env::var("PLEACH_RUNS").map_or(PROGRAMS, |runs| runs.parse().expect("PLEACH_RUNS is a number"));
    for seed in 1..=programs {
        run_virtual(async {
            let elsewhere = CancelScope::new();
            if seed % 2 == 0 {
                elsewhere.cancel();
            }
            program(seed / 2).await;
        });
    }
}
