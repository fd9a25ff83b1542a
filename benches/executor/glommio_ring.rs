//! A peer: glommio, on io_uring. Where the kernel refuses that, its columns are skipped and say so.
//!
//! Groups are tasks kept in a `Vec`; dropping it cancels them, and nothing waits for that.

use crate::contender::{Channels, Contender, Timers};
use crate::support::case::skip;
use glommio::channels::local_channel::{LocalReceiver, LocalSender, new_bounded};
use glommio::timer::{Timer, timeout};
use glommio::{LocalExecutorBuilder, Placement, spawn_local};
use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

/// The one contender of this family.
#[derive(Debug)]
pub(crate) struct Glommio;

impl Contender for Glommio {
    const NAME: &'static str = "glommio";
    type Out = ();

    fn run<T>(main: impl Future<Output = T>) -> T {
        match LocalExecutorBuilder::new(Placement::Unbound).make() {
            Ok(executor) => executor.run(main),
            Err(refused) => skip(&format!("no io_uring here: {refused}")),
        }
    }

    async fn group<F: Future<Output = ()> + 'static>(children: impl Iterator<Item = F>) {
        let group: Vec<_> = children.map(spawn_local).collect();
        for task in group {
            task.await;
        }
    }
}

impl Timers for Glommio {
    async fn sleep(d: Duration) {
        Timer::new(d).await;
    }

    async fn limited(d: Duration) {
        timeout(d, async { Ok::<(), glommio::GlommioError<()>>(()) }).await.expect("it is over at once");
    }
}

impl Channels for Glommio {
    type Tx = Rc<LocalSender<u64>>;
    type Rx = LocalReceiver<u64>;

    fn channel(capacity: usize) -> (Self::Tx, Self::Rx) {
        let (tx, rx) = new_bounded(capacity);
        (Rc::new(tx), rx)
    }

    async fn send(tx: &mut Self::Tx, item: u64) {
        assert!(tx.send(item).await.is_ok(), "the receiver is there");
    }

    async fn receive(rx: &mut Self::Rx) -> u64 {
        rx.recv().await.expect("a sender is there")
    }
}
