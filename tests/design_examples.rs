//! Promise: the blocks of code that explain the design compile and do what their comments say.
//!
//! ```text
//!   one block of the design ─► one test, the block kept as it reads there ─► the stand-ins it needs, above it
//! ```
//!
//! Rules: blocks are not adapted to the tests; what they mention (`serve`, `fetch`, `conn`) is made here.

#[path = "support/fault.rs"]
mod fault;
#[path = "support/orders.rs"]
mod orders;

use fault::{Fault, shape};
use orders::in_every_order;
use pleach_executor::{
    CancelScope, Started, checkpoint, fail_after, move_on_after, now, nursery, sleep, sleep_forever,
};
use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

/// What the server needs to know.
struct Config {
    port: u16,
    served: Rc<Cell<bool>>,
}

async fn serve(cfg: &Config, ready: Started<u16>) -> Result<(), Fault> {
    checkpoint().await?;
    ready.set(cfg.port);
    cfg.served.set(true);
    sleep_forever().await?;
    Ok(())
}

async fn fetch(port: u16, url: &str) -> Result<usize, Fault> {
    sleep(Duration::from_millis(5)).await?;
    Ok(usize::from(port) + url.len())
}

/// The block about nurseries.
#[test]
fn a_nursery_with_a_server_and_two_fetches() {
    async fn block(cfg: Config, urls: [String; 2]) -> Result<usize, Fault> {
        #[rustfmt::skip]
        let total = nursery(async |n| {
            let port = n.start(async |ready| serve(&cfg, ready).await).await?;   // waits for ready.set(port)
            let (a, b) = (n.task(fetch(port, &urls[0])), n.task(fetch(port, &urls[1])));  // borrow cfg, urls
            let total = a.await? + b.await?;
            n.cancel();                                  // the children, here the server; not this body
            Ok(total)
        }).await?; // every child has ended; the borrows are over
        Ok(total)
    }
    in_every_order(async || {
        let served = Rc::new(Cell::new(false));
        let cfg = Config { port: 8000, served: Rc::clone(&served) };
        let urls = [String::from("a"), String::from("bb")];
        let t0 = now();
        let total = block(cfg, urls).await;
        assert!(matches!(total, Ok(16003)), "{}", shape(&total));
        assert!(served.get());
        assert_eq!(now() - t0, Duration::from_millis(5), "both at once");
    });
}

async fn session() -> Result<u32, Fault> {
    sleep(Duration::from_millis(20)).await?;
    Ok(7)
}

/// The line about `move_on_after`.
#[test]
fn a_session_that_is_moved_on_from() {
    async fn block() -> Result<Option<u32>, Fault> {
        #[rustfmt::skip]
        #[expect(unused_variables, reason = "the block names it to show that there is one")]
        let r = move_on_after(Duration::from_millis(10), async |scope| session().await).await?; // Option<T>
        Ok(r)
    }
    in_every_order(async || {
        let r = block().await;
        assert!(matches!(r, Ok(None)), "{}", shape(&r));
    });
}

/// The line about `fail_after`.
#[test]
fn a_session_that_has_to_be_fast_enough() {
    async fn block(limit: Duration) -> Result<u32, Fault> {
        #[rustfmt::skip]
        let v = fail_after(limit, async |_| session().await).await?; // E: Failure + From<TooSlow>
        Ok(v)
    }
    in_every_order(async || {
        let late = block(Duration::from_millis(19)).await;
        assert_eq!(shape(&late), "TooSlow");
        let in_time = block(Duration::from_millis(21)).await;
        assert!(matches!(in_time, Ok(7)), "{}", shape(&in_time));
    });
}

/// A peer to say goodbye to.
struct Conn {
    takes: Duration,
    said: Cell<bool>,
}

impl Conn {
    async fn goodbye(&self) -> Result<(), Fault> {
        sleep(self.takes).await?;
        self.said.set(true);
        Ok(())
    }
}

/// The line about clean-up: it runs in a cancelled scope, and gives up by itself.
#[test]
fn a_clean_up_under_a_shield_with_a_deadline_of_its_own() {
    async fn block(conn: &Conn, grace: Duration) -> Result<(), Fault> {
        #[rustfmt::skip]
        CancelScope::new().shield().timeout(grace).run(async |_| conn.goodbye().await).await?; // clean-up
        Ok(())
    }
    in_every_order(async || {
        let grace = Duration::from_millis(50);
        for (takes, said) in [(10, true), (60, false)] {
            let conn = Conn { takes: Duration::from_millis(takes), said: Cell::new(false) };
            let t0 = now();
            let r: Result<Option<()>, Fault> = CancelScope::new()
                .run(async |s| {
                    s.cancel();
                    let r = checkpoint().await;
                    block(&conn, grace).await?;
                    Ok(r?)
                })
                .await;
            assert!(matches!(r, Ok(None)), "{}", shape(&r));
            assert_eq!(conn.said.get(), said);
            assert_eq!(now() - t0, grace.min(conn.takes));
        }
    });
}
