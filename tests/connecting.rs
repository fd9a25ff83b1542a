//! Promise: of several addresses the first that answers wins; the next is tried after a delay, or at once when one has failed,
//! and nothing is left of the losers.
//!
//! ```text
//!   connect_first ─► 0 ──────────────── fails, answers, or neither
//!                    1     ──────────   begun 250 ms later, or when one before it has failed
//! ```
//!
//! Rules: time is virtual, and what an attempt does is a script. The race alone is tested beside its code.

#[path = "support/by_hand.rs"]
mod by_hand;

use by_hand::poll_once;
use pleach_executor::net::{ATTEMPT_DELAY, ConnectError, TcpListener, TcpStream, connect_first};
use pleach_executor::testing::run_virtual;
use pleach_executor::threads::resolve;
use pleach_executor::{CancelScope, In, Instant, check, now, run, sleep};
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

const MS: Duration = Duration::from_millis(1);

/// What an address does: answers or fails, so many milliseconds after it was asked.
#[derive(Clone, Copy)]
enum Does {
    Answers(u32),
    Fails(u32),
}

fn address(port: usize) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port as u16))
}

/// Says when it is dropped.
struct UnderWay<'a>(&'a Cell<i32>);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// Who was asked when, in milliseconds, and what came of it at which.
async fn race(script: &[Does]) -> (Vec<(usize, u128)>, Result<usize, ConnectError>, u128) {
    let addresses: Vec<_> = (0..script.len()).map(address).collect();
    let (asked, under_way, start) = (RefCell::new(Vec::new()), Cell::new(0), now());
    let since = |start: Instant| (now() - start).as_millis();
    let won = connect_first(&addresses, ATTEMPT_DELAY, |to| {
        let me = usize::from(to.port());
        asked.borrow_mut().push((me, since(start)));
        under_way.set(under_way.get() + 1);
        let _lives = UnderWay(&under_way);
        let does = script[me];
        async move {
            let _lives = _lives;
            match does {
                Does::Answers(ms) => sleep(ms * MS).await.map(|()| me).map_err(io::Error::from),
                Does::Fails(ms) => {
                    sleep(ms * MS).await?;
                    Err(io::Error::other(format!("failure {me}")))
                }
            }
        }
    })
    .await;
    assert_eq!(under_way.get(), 0, "nothing is left of the losers");
    (asked.into_inner(), won, since(start))
}

#[test]
fn an_address_that_answers_soon_is_the_only_one_asked() {
    run_virtual(async {
        let (asked, won, took) = race(&[Does::Answers(249), Does::Answers(0)]).await;
        assert_eq!((asked, won.unwrap(), took), (vec![(0, 0)], 0, 249));
    });
}

#[test]
fn a_slow_address_is_raced_and_may_still_win() {
    run_virtual(async {
        let (asked, won, took) = race(&[Does::Answers(1000), Does::Answers(100)]).await;
        assert_eq!((asked, won.unwrap(), took), (vec![(0, 0), (1, 250)], 1, 350));
        let (asked, won, took) = race(&[Does::Answers(300), Does::Answers(100), Does::Answers(0)]).await;
        assert_eq!((asked, won.unwrap(), took), (vec![(0, 0), (1, 250)], 0, 300));
    });
}

#[test]
fn a_failure_has_the_next_begin_at_once() {
    run_virtual(async {
        let (asked, won, took) = race(&[Does::Fails(10), Does::Fails(20), Does::Answers(5)]).await;
        assert_eq!((asked, won.unwrap(), took), (vec![(0, 0), (1, 10), (2, 30)], 2, 35));
    });
}

#[test]
fn when_all_have_failed_each_error_is_told() {
    run_virtual(async {
        let (_, lost, took) = race(&[Does::Fails(900), Does::Fails(10)]).await;
        let e = lost.unwrap_err();
        let ConnectError::Unreachable(all) = &e else { panic!("{e}") };
        let order: Vec<_> = all.iter().map(|(to, e)| (usize::from(to.port()), e.to_string())).collect();
        assert_eq!((order, took), (vec![(1, "failure 1".to_owned()), (0, "failure 0".to_owned())], 900));
        assert!(e.to_string().contains("127.0.0.1:1: failure 1; 127.0.0.1:0: failure 0"), "{e}");
        let (_, lost, _) = race(&[]).await;
        assert_eq!(lost.unwrap_err().to_string(), "there is no address to connect to");
    });
}

#[test]
fn cancelled_it_gives_up_every_attempt() {
    run_virtual(async {
        let r: Result<Option<()>, io::Error> = CancelScope::new()
            .deadline(now() + 400 * MS)
            .run(async |_| {
                let (asked, lost, took) = race(&[Does::Answers(1000), Does::Answers(1000)]).await;
                assert_eq!((asked.len(), took), (2, 400));
                assert!(matches!(lost, Err(ConnectError::Cancelled(_))));
                Ok(check()?)
            })
            .await;
        assert!(matches!(r, Ok(None)));
    });
}

/// The same over the system's own addresses: nobody listens at the first.
#[test]
fn the_first_real_address_that_listens_is_connected_to() {
    let r = run(In::<io::Error>::move_on_after(Duration::from_secs(30), async |_| {
        let any = "127.0.0.1:0".parse().expect("an address");
        let gone = TcpListener::bind(any)?.local_addr()?;
        let listener = TcpListener::bind(any)?;
        let there = listener.local_addr()?;
        let stream = TcpStream::connect_any(&[gone, there]).await?;
        assert_eq!((stream.peer_addr()?, stream.local_addr()?), (there, listener.accept().await?.1));
        let lost = TcpStream::connect_any(&[gone, gone]).await.unwrap_err();
        assert_eq!(io::Error::from(lost).kind(), io::ErrorKind::ConnectionRefused);
        Ok(())
    }));
    assert!(r.unwrap().is_some(), "it hangs");
}

/// The same where the first says nothing at all: its queue is full, and it drops what asks to connect.
#[test]
fn a_real_address_that_is_silent_holds_up_nobody() {
    let r = run(In::<io::Error>::move_on_after(Duration::from_secs(30), async |_| {
        let (full, _waiting) = silent().await?;
        let silent = full.local_addr()?;
        let any = "127.0.0.1:0".parse().expect("an address");
        let listener = TcpListener::bind(any)?;
        let there = listener.local_addr()?;
        let start = now();
        let stream = TcpStream::connect_any(&[silent, there]).await?;
        assert_eq!(stream.peer_addr()?, there);
        assert!(now() - start >= ATTEMPT_DELAY, "the first had its time");
        Ok(())
    }));
    assert!(r.unwrap().is_some(), "it hangs");
}

/// A listener whose queue takes no more: who connects to it hears nothing.
async fn silent() -> io::Result<(TcpListener, Vec<TcpStream>)> {
    let full = TcpListener::bind_with_backlog("127.0.0.1:0".parse().expect("an address"), 0)?;
    let to = full.local_addr()?;
    let mut waiting = Vec::new();
    while let Some(client) =
        In::<io::Error>::move_on_after(500 * MS, async |_| TcpStream::connect(to).await).await?
    {
        waiting.push(client);
        assert!(waiting.len() < 8, "a queue without room takes no more");
    }
    Ok((full, waiting))
}

/// How many sockets of this machine are asking that port whether they may connect (proc_net_tcp(5), state SYN_SENT). The table
/// is read in pieces, and has one twice if another comes or goes in between: so they are told apart by where they are.
fn asking(port: u16) -> usize {
    let table = fs::read_to_string("/proc/net/tcp").expect("a table");
    let asks = |line: &str| {
        let mut words = line.split_whitespace().skip(1);
        let (from, to, state) = (words.next()?, words.next()?, words.next()?);
        (to.ends_with(&format!(":{port:04X}")) && state == "02").then(|| from.to_owned())
    };
    table.lines().filter_map(asks).collect::<BTreeSet<_>>().len()
}

#[test]
fn a_connection_given_up_half_way_closes_its_socket() {
    let r = run(In::<io::Error>::move_on_after(Duration::from_secs(30), async |_| {
        let (full, _waiting) = silent().await?;
        let to = full.local_addr()?;
        assert_eq!(asking(to.port()), 0, "those that were given up so far");
        for cancelled in [false, true] {
            let asked = CancelScope::new()
                .run(async |scope| {
                    let mut connecting = Box::pin(TcpStream::connect(to));
                    assert!(poll_once(connecting.as_mut()).await.is_pending());
                    assert_eq!(asking(to.port()), 1, "it is under way");
                    if cancelled {
                        scope.cancel();
                        connecting.await?;
                    }
                    io::Result::Ok(())
                })
                .await?;
            assert_eq!(asked.is_none(), cancelled);
            assert_eq!(asking(to.port()), 0, "given up, cancelled: {cancelled}");
        }
        Ok(())
    }));
    assert!(r.unwrap().is_some(), "it hangs");
}

/// On most machines the name has an address of each family.
#[test]
fn whichever_address_of_a_name_listens_is_connected_to() {
    let r = run(In::<io::Error>::move_on_after(Duration::from_secs(30), async |_| {
        for address in resolve("localhost", 0).await? {
            // The only one of them that listens at this port, unless somebody else does.
            let listener = TcpListener::bind(address)?;
            let there = listener.local_addr()?;
            let stream = TcpStream::connect_host("localhost", there.port()).await?;
            assert_eq!(stream.peer_addr()?, there);
            assert_eq!(listener.accept().await?.1, stream.local_addr()?);
        }
        let gone = TcpListener::bind("127.0.0.1:0".parse().expect("an address"))?.local_addr()?;
        let lost = TcpStream::connect_host("localhost", gone.port()).await.unwrap_err();
        let ConnectError::Unreachable(all) = lost else { panic!("{lost}") };
        let asked: Vec<_> = all.iter().map(|(address, _)| *address).collect();
        assert_eq!(asked.len(), resolve("localhost", gone.port()).await?.len(), "each is asked: {asked:?}");
        Ok(())
    }));
    assert!(r.unwrap().is_some(), "it hangs");
}
