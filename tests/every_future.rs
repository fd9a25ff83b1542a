//! Promise: every public future of the executor may be dropped, or cancelled, at each of its awaits.
//!
//! ```text
//!   a case: a world, one future of the crate, what holds afterwards
//!     polled k = 0, 1, 2, … times ─┬─ dropped where it is           parked
//!                                  ├─ the world goes on ─ dropped   woken and not polled
//!                                  ├─ cancelled ─ dropped           the same, by its scope
//!                                  └─ cancelled ─ polled to its end
//!     each in the ordinary order and in seeded ones, until it ends by itself after k polls
//!
//!   sources ─ scan ─► every `pub async fn`, `impl Future`, … ═══ the cases, by name
//! ```
//!
//! Rules: between two polls of the future everything else goes on until it is idle, and a second passes. A case holds
//! what it promises also if its future was never polled. A future that never waits proves nothing, unless it says so.

#[path = "support/by_hand.rs"]
mod by_hand;
#[path = "support/code.rs"]
mod code;
#[path = "support/fault.rs"]
mod fault;
#[path = "support/orders.rs"]
mod orders;
#[path = "support/sockets.rs"]
mod sockets;
#[path = "support/source_tree.rs"]
mod source_tree;

#[path = "every_future/bytes.rs"]
mod bytes;
#[path = "every_future/channels.rs"]
mod channels;
#[path = "every_future/list.rs"]
mod list;
#[path = "every_future/locks.rs"]
mod locks;
#[path = "every_future/net.rs"]
mod net;
#[path = "every_future/nurseries.rs"]
mod nurseries;
#[path = "every_future/outside.rs"]
mod outside;
#[path = "every_future/streams.rs"]
mod streams;
#[path = "every_future/time.rs"]
mod time;
#[path = "every_future/trial.rs"]
mod trial;

use std::time::Duration;

const S: Duration = Duration::from_secs(1);
