//! Several futures at once, as one: nurseries whose children bring something back.
//!
//! ```text
//!   gather(futures) ─► [a, b, c] in order        one fails ─► the others are cancelled and awaited, the error comes out
//!   race(futures)   ─► the first that has a value; the others are cancelled and awaited
//!   both(a, b), either(a, b): the same for two of different types
//! ```
//!
//! Rules:
//! * **Nobody Is Left Behind**: when one of these returns, every future it was given has ended. A loser is not dropped: it
//!   sees its cancellation, cleans up, and is awaited.
//! * **Every Error Arrives**: what fails while it is being cancelled comes out too, also over a value that was won.
//! * A value that was won comes out although the surroundings were cancelled meanwhile: the next checkpoint reports that.

use crate::error::{self, Failure};
use crate::nursery::{Nursery, nursery};
use std::cell::{Cell, RefCell};
use std::future::Future;

/// Runs all futures at once and gives their values in the order of the futures.
///
/// The first failure cancels the others, which are awaited. Futures of different types are boxed, or see [`both`].
/// Resources that are to be open all at once are children of a nursery: gather their starts.
/// No futures give no values: a list of what is to be done may be empty. (tractor's `gather_contexts` refuses that.)
///
/// ```
/// use pleach_executor::{In, Started, checkpoint, gather, run, sleep_forever};
/// type Run = In<std::io::Error>;
/// let ports = run(Run::nursery(async |n| {
///     let ports = gather([3, 1, 2].map(|port| n.start(async move |ready: Started<u16>| {
///         for _ in 0..port { checkpoint().await?; }    // the last is the first to be ready
///         ready.set(port);
///         sleep_forever().await?;
///         Ok(())
///     }))).await?;
///     n.cancel();                                      // all at once
///     Ok(ports)
/// }));
/// assert_eq!(ports.unwrap(), [3, 1, 2]);
/// ```
///
/// # Cancellation
///
/// As [`nursery`]: the futures are cancelled and awaited. **Lossy**: the values of those that had ended are dropped, if
/// another did not end with one.
///
/// # Errors
///
/// What the futures fail with: one as itself, several as [`Failure::merge`].
///
/// # Panics
///
/// As [`nursery`].
pub async fn gather<T, E, F>(futures: impl IntoIterator<Item = F>) -> Result<Vec<T>, E>
where
    E: Failure + 'static,
    F: Future<Output = Result<T, E>>,
{
    let values = RefCell::new(Vec::new());
    nursery::<(), E, _>(async |n| {
        for (at, future) in futures.into_iter().enumerate() {
            values.borrow_mut().push(None);
            let values = &values;
            n.spawn(async move {
                let value = future.await?;
                values.borrow_mut()[at] = Some(value);
                Ok(())
            });
        }
        Ok(())
    })
    .await?;
    let values = values.into_inner().into_iter();
    Ok(values.map(|value| value.expect("a child that ended well has left its value")).collect())
}

/// Runs both futures at once and gives both values. See [`gather`].
///
/// # Cancellation
///
/// As [`gather`].
///
/// # Errors
///
/// As [`gather`].
///
/// # Panics
///
/// As [`nursery`].
///
/// ```
/// use pleach_executor::{Cancelled, both, checkpoint, run};
/// let r: Result<(u8, &str), Cancelled> =
///     run(both(async { checkpoint().await?; Ok(1) }, async { Ok("two") }));
/// assert_eq!(r.unwrap(), (1, "two"));
/// ```
pub async fn both<A, B, E: Failure + 'static>(
    a: impl Future<Output = Result<A, E>>,
    b: impl Future<Output = Result<B, E>>,
) -> Result<(A, B), E> {
    let (first, second) = (Cell::new(None), Cell::new(None));
    nursery::<(), E, _>(async |n| {
        n.spawn(async {
            first.set(Some(a.await?));
            Ok(())
        });
        n.spawn(async {
            second.set(Some(b.await?));
            Ok(())
        });
        Ok(())
    })
    .await?;
    let left = "a child that ended well has left its value";
    Ok((first.into_inner().expect(left), second.into_inner().expect(left)))
}

/// Runs all futures at once; the value of the first that has one is the result. The others are cancelled and awaited.
///
/// A failure before there is a value cancels the others as well and comes out: a future that is allowed to fail turns
/// its error into a value. A future that ends with a value after the first loses it.
///
/// # Cancellation
///
/// As [`nursery`]: the futures are cancelled and awaited. A value that is there by then comes out.
///
/// # Errors
///
/// What the futures fail with, while they race or while they are cancelled.
///
/// # Panics
///
/// If there are no futures: nobody could win. As [`nursery`].
///
/// ```
/// use pleach_executor::{Cancelled, race, run, sleep};
/// use std::time::Duration;
/// let r: Result<u64, Cancelled> = run(race([50, 1, 60_000].map(|ms| async move {
///     sleep(Duration::from_millis(ms)).await?;
///     Ok(ms)
/// })));
/// assert_eq!(r.unwrap(), 1);
/// ```
#[track_caller]
pub fn race<T, E, F>(futures: impl IntoIterator<Item = F>) -> impl Future<Output = Result<T, E>>
where
    E: Failure + 'static,
    F: Future<Output = Result<T, E>>,
{
    let futures: Vec<F> = futures.into_iter().collect();
    assert!(!futures.is_empty(), "a race needs somebody who can win: give it at least one future");
    async move {
        let won = Cell::new(None);
        let ended = nursery::<(), E, _>(async |n| {
            for future in futures {
                n.spawn(run_for(n, &won, future));
            }
            Ok(())
        })
        .await;
        verdict(won.into_inner(), ended)
    }
}

/// Runs both futures at once; the value of the first that has one is the result. See [`race`].
///
/// # Cancellation
///
/// As [`race`].
///
/// # Errors
///
/// As [`race`].
///
/// # Panics
///
/// As [`nursery`].
///
/// ```
/// use pleach_executor::{Cancelled, either, run, sleep_forever, sync::Event};
/// let r: Result<&str, Cancelled> = run(async {
///     let rain = Event::new();
///     rain.set();
///     either(async { rain.wait().await?; Ok("rain") }, async { match sleep_forever().await? {} }).await
/// });
/// assert_eq!(r.unwrap(), "rain");
/// ```
pub async fn either<T, E: Failure + 'static>(
    a: impl Future<Output = Result<T, E>>,
    b: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    let won = Cell::new(None);
    let ended = nursery::<(), E, _>(async |n| {
        n.spawn(run_for(n, &won, a));
        n.spawn(run_for(n, &won, b));
        Ok(())
    })
    .await;
    verdict(won.into_inner(), ended)
}

/// One of those who race. The first to have a value sends the others home.
async fn run_for<T, E: Failure + 'static>(
    n: &Nursery<'_, '_, E>,
    won: &Cell<Option<T>>,
    future: impl Future<Output = Result<T, E>>,
) -> Result<(), E> {
    let value = future.await?;
    match won.take() {
        None => {
            won.set(Some(value));
            n.cancel();
        }
        first => won.set(first),
    }
    Ok(())
}

/// What a race comes to, when everybody has ended.
fn verdict<T, E: Failure>(won: Option<T>, ended: Result<(), E>) -> Result<T, E> {
    match (won, ended) {
        (Some(value), Err(e)) if e.is_cancelled() => {
            error::absorb(e);
            Ok(value)
        }
        (_, Err(e)) => Err(e),
        (Some(value), Ok(())) => Ok(value),
        (None, Ok(())) => unreachable!("a child that ended well has a value"),
    }
}
