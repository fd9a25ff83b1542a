//! A run inside a tokio program: its nursery owns tasks that wait for tokio's timers and channels.
//!
//! ```text
//!   tokio, one thread ─┬─ a tokio task that produces numbers
//!                      └─ hosted(OnTokio, main) ─ nursery ─┬─ a child that adds them up
//!                                                         ├─ a child that reports, until it is cancelled
//!                                                         └─ a clean-up under a shield, with a limit of its own
//! ```
//!
//! `cargo run --example under_tokio`

mod driver;

use driver::OnTokio;
use pleach::host::hosted;
use pleach::{CancelScope, Cancelled, checked, fail_after, nursery, sleep};
use std::io;
use std::time::Duration;
use tokio::sync::mpsc;

const MS: Duration = Duration::from_millis(1);

fn main() -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let sum = tokio::task::LocalSet::new().block_on(&runtime, async {
        let (numbers, mut received) = mpsc::channel::<u64>(4);
        // Tokio's own task: nobody waits for it, and nobody hears of its failure.
        tokio::task::spawn_local(async move {
            for n in 1..=10 {
                tokio::time::sleep(2 * MS).await;
                if numbers.send(n).await.is_err() {
                    return;
                }
            }
        });
        hosted(OnTokio::default(), add_up(&mut received)).await
    })?;
    println!("the sum is {sum}");
    assert_eq!(sum, 55);
    Ok(())
}

/// Adds up what comes, for at most ten seconds, while a child reports.
async fn add_up(received: &mut mpsc::Receiver<u64>) -> io::Result<u64> {
    fail_after(Duration::from_secs(10), async |_| {
        nursery(async |n| {
            n.spawn(report());
            let mut sum = 0;
            // A foreign future, made a cancel point.
            while let Some(number) = checked(received.recv()).await? {
                sum += number;
            }
            n.cancel();
            Ok(sum)
        })
        .await
    })
    .await
}

/// Says that it is alive until it is cancelled, and then good-bye, for which it has a moment.
async fn report() -> io::Result<()> {
    let cancelled: Result<(), Cancelled> = async {
        loop {
            sleep(5 * MS).await?;
            println!("still adding");
        }
    }
    .await;
    let goodbye: Option<()> = CancelScope::new()
        .shield()
        .timeout(100 * MS)
        .run(async |_| {
            sleep(MS).await?;
            println!("the reporter has cleaned up");
            Ok::<_, Cancelled>(())
        })
        .await?;
    assert!(goodbye.is_some(), "a millisecond fits into a hundred");
    Ok(cancelled?)
}
