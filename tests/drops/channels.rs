//! Channels and sockets: a dropped operation has happened or it has not, and no item and no byte is lost.
//!
//! ```text
//!   before its first poll │ parked │ woken and not polled ─ drop ─► the next in line gets what it was handed
//! ```

use crate::by_hand::poll_once;
use crate::fault::{Run, shape};
use crate::orders::in_every_order;
use crate::{S, WINDOWS, Window, any_drop_is_clean, drop_in};
use futures_util::future::join;
use pleach_executor::net::UnixStream;
use pleach_executor::sync::channel::bounded;
use pleach_executor::testing::wait_until_idle;
use pleach_executor::{Cancelled, sleep};
use std::cell::{Cell, RefCell};
use std::io;

#[test]
fn dropped_channel_operations_leave_nothing() {
    any_drop_is_clean("send into a full channel", 9, || async {
        let (tx, rx) = bounded(1);
        assert!(tx.try_send(1).is_ok());
        let receiving = async {
            sleep(2 * S).await?;
            Ok::<_, Cancelled>([rx.receive().await?.ok(), rx.receive().await?.ok()])
        };
        join(tx.send(2), receiving).await
    });
    any_drop_is_clean("receive from an empty channel", 9, || async {
        let (tx, rx) = bounded(1);
        let sending = async {
            sleep(2 * S).await?;
            tx.send(1).await
        };
        join(rx.receive(), sending).await
    });
    any_drop_is_clean("receive from a channel whose senders go", 9, || async {
        let (tx, rx) = bounded::<u8>(0);
        let going = async {
            let r = sleep(2 * S).await;
            drop(tx);
            r
        };
        join(rx.receive(), going).await
    });
}

#[test]
fn a_dropped_receive_takes_no_item() {
    for window in WINDOWS {
        for capacity in [0, 1, 2] {
            in_every_order(async || {
                let (tx, rx) = bounded(capacity);
                let (second, log) = (rx.clone(), RefCell::new(Vec::new()));
                let r = Run::nursery(async |n| {
                    drop_in(window, rx.receive(), || {
                        let sent = tx.try_send(1);
                        // With no buffer and nobody waiting there is no place for it.
                        assert_eq!(sent.is_ok(), capacity > 0 || window == Window::WokenAndNotPolled);
                    })
                    .await;
                    n.spawn(async {
                        while let Ok(item) = second.receive().await? {
                            log.borrow_mut().push(item);
                        }
                        Ok(())
                    });
                    wait_until_idle().await?;
                    assert!(tx.send(2).await?.is_ok());
                    drop(tx);
                    Ok(())
                })
                .await;
                assert_eq!(shape(&r), "ok");
                let all = capacity > 0 || window == Window::WokenAndNotPolled;
                assert_eq!(*log.borrow(), if all { vec![1, 2] } else { vec![2] }, "{window:?}, {capacity}");
            });
        }
    }
}

/// The one behind it in the queue gets what was handed to the dropped one.
#[test]
fn an_item_handed_to_a_dropped_receive_goes_to_the_next() {
    in_every_order(async || {
        let (tx, rx) = bounded(1);
        let r = Run::nursery(async |n| {
            let mut first = Box::pin(rx.receive());
            assert!(poll_once(first.as_mut()).await.is_pending());
            let next = n.task(async { Ok(rx.receive().await?.ok()) });
            wait_until_idle().await?;
            assert!(tx.try_send(7).is_ok());
            drop(first);
            Ok(next.await?)
        })
        .await;
        assert!(matches!(r, Ok(Some(7))), "{}", shape(&r));
    });
}

/// A send that is dropped before it could place its item has sent nothing; one whose item had moved up has sent it.
#[test]
fn a_dropped_send_sends_once_or_not_at_all() {
    for window in WINDOWS {
        in_every_order(async || {
            let (tx, rx) = bounded(1);
            assert!(tx.try_send(1).is_ok());
            let mut got = Vec::new();
            let first = Cell::new(None);
            drop_in(window, tx.send(2), || first.set(rx.try_receive().ok())).await;
            got.extend(first.get());
            let drain = |got: &mut Vec<_>| got.extend(std::iter::from_fn(|| rx.try_receive().ok()));
            drain(&mut got);
            assert_eq!(tx.try_send(3), Ok(()), "nobody is in the way");
            drain(&mut got);
            let sent = window == Window::WokenAndNotPolled;
            assert_eq!(got, if sent { vec![1, 2, 3] } else { vec![1, 3] }, "{window:?}");
        });
    }
}

#[test]
fn dropped_socket_operations_leave_nothing() {
    any_drop_is_clean("a socket", 9, || async {
        let (a, b) = UnixStream::pair()?;
        let writing = async {
            sleep(2 * S).await?;
            a.write_all(b"hello").await
        };
        let mut bytes = [0; 8];
        let (read, written) = join(b.read(&mut bytes), writing).await;
        written?;
        read
    });
    any_drop_is_clean("a full socket", 9, || async {
        let (a, b) = UnixStream::pair()?;
        while a.try_write(&[0; 4096])?.is_some() {}
        let reading = async {
            sleep(2 * S).await?;
            let mut bytes = vec![0; 1 << 20];
            while b.try_read(&mut bytes)?.is_some() {}
            io::Result::Ok(())
        };
        join(a.write(b"more"), reading).await.0
    });
}

#[test]
fn a_dropped_read_takes_no_byte() {
    for window in WINDOWS {
        in_every_order(async || {
            let (a, b) = UnixStream::pair().unwrap();
            let mut lost = [0; 8];
            drop_in(window, b.read(&mut lost), || {
                assert_eq!(a.try_write(b"hello").unwrap(), Some(5));
            })
            .await;
            assert_eq!(lost, [0; 8]);
            let mut bytes = [0; 8];
            assert_eq!(b.read(&mut bytes).await.unwrap(), 5, "{window:?}");
            assert_eq!(&bytes[..5], b"hello");
        });
    }
}
