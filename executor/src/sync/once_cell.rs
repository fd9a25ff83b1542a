//! A value that is made once, by the first who needs it, while the others wait for it.
//!
//! ```text
//!   get_or_init ─► there? &T │ nobody at it? our turn ─► init() ─► Ok: kept, all who wait have it
//!                            │ else wait                       └─► Err, cancelled, dropped: the next one's turn
//! ```
//!
//! Rules: a turn is a guard. However it ends, it ends for those who wait as well.

use crate::error::Cancelled;
use crate::parking::ParkingLot;
use std::cell::Cell;
use std::error::Error;
use std::fmt;

/// A cell that is filled once.
///
/// ```
/// use pleach_executor::{Cancelled, both, checkpoint, run, sync::OnceCell};
/// let (config, times) = (OnceCell::new(), std::cell::Cell::new(0));
/// let read = async || -> Result<u8, Cancelled> {
///     times.set(times.get() + 1);
///     checkpoint().await?;
///     Ok(7)
/// };
/// let r = run(both(config.get_or_init(read), config.get_or_init(read)));
/// assert_eq!((r.unwrap(), times.get()), ((&7, &7), 1));
/// ```
pub struct OnceCell<T> {
    value: std::cell::OnceCell<T>,
    /// Is somebody making the value?
    taken: Cell<bool>,
    /// Those who would make it. A release is a turn, handed on until somebody takes it.
    turns: ParkingLot,
    /// Those who only want it.
    waiting: ParkingLot,
}

/// Why a [`set`](OnceCell::set) did not happen. The value comes back.
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SetError<T> {
    /// There is a value already.
    Full(T),
    /// Somebody is making one now: wait for theirs.
    Busy(T),
}

enum Found<'a, T> {
    Value(&'a T),
    Turn(Turn<'a, T>),
}

/// The right to make the value.
struct Turn<'a, T>(&'a OnceCell<T>);

impl<T> OnceCell<T> {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The value, if it is there.
    #[must_use]
    pub fn get(&self) -> Option<&T> {
        self.value.get()
    }

    /// The value to change, if it is there.
    pub fn get_mut(&mut self) -> Option<&mut T> {
        self.value.get_mut()
    }

    /// The value itself, if it is there.
    #[must_use]
    pub fn into_inner(self) -> Option<T> {
        self.value.into_inner()
    }

    /// Fills the cell.
    ///
    /// # Errors
    ///
    /// [`SetError`] with the value.
    pub fn set(&self, value: T) -> Result<(), SetError<T>> {
        if self.taken.get() {
            return Err(SetError::Busy(value));
        }
        self.value.set(value).map_err(SetError::Full)?;
        self.announce();
        Ok(())
    }

    /// The value; if there is none, it is made by `init`, or by another call that is at it already.
    ///
    /// If `init` fails, or its call is cancelled or dropped, the next one in line makes the value with *its* `init`. An
    /// `init` that asks for the value of the same cell waits for itself.
    ///
    /// # Cancellation
    ///
    /// A checkpoint always; **Loses place**. What `init` has begun when it is cancelled is its own business.
    ///
    /// # Errors
    ///
    /// What `init` fails with, and `Cancelled` if the scope around the call is cancelled.
    pub async fn get_or_init<E: From<Cancelled>>(
        &self,
        init: impl AsyncFnOnce() -> Result<T, E>,
    ) -> Result<&T, E> {
        match self.turns.until(|| self.look()).await? {
            Found::Value(value) => Ok(value),
            Found::Turn(turn) => {
                let value = init().await?;
                Ok(turn.fill(value))
            }
        }
    }

    /// Waits for the value without making it.
    ///
    /// # Cancellation
    ///
    /// A checkpoint always; Strict.
    ///
    /// # Errors
    ///
    /// [`Cancelled`] if the scope around the call is cancelled.
    pub async fn wait(&self) -> Result<&T, Cancelled> {
        self.waiting.until(|| self.get()).await
    }

    fn look(&self) -> Option<Found<'_, T>> {
        if let Some(value) = self.get() {
            return Some(Found::Value(value));
        }
        (!self.taken.replace(true)).then(|| Found::Turn(Turn(self)))
    }

    fn announce(&self) {
        self.turns.unpark_all();
        self.waiting.unpark_all();
    }
}

impl<'a, T> Turn<'a, T> {
    fn fill(self, value: T) -> &'a T {
        let cell = self.0;
        assert!(cell.value.set(value).is_ok(), "nobody else fills a cell whose turn is taken");
        cell.value.get().expect("just set")
    }
}

impl<T> Drop for Turn<'_, T> {
    fn drop(&mut self) {
        self.0.taken.set(false);
        if self.0.get().is_some() {
            self.0.announce();
        } else {
            self.0.turns.unpark(1);
        }
    }
}

impl<T> Default for OnceCell<T> {
    fn default() -> Self {
        OnceCell {
            value: std::cell::OnceCell::new(),
            taken: Cell::new(false),
            turns: ParkingLot::new(),
            waiting: ParkingLot::new(),
        }
    }
}

impl<T> From<T> for OnceCell<T> {
    fn from(value: T) -> Self {
        OnceCell { value: value.into(), ..Self::default() }
    }
}

impl<T: fmt::Debug> fmt::Debug for OnceCell<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OnceCell").field("value", &self.get()).field("busy", &self.taken.get()).finish()
    }
}

impl<T> SetError<T> {
    /// The value that was not taken in.
    pub fn into_value(self) -> T {
        match self {
            SetError::Full(value) | SetError::Busy(value) => value,
        }
    }
}

impl<T> fmt::Display for SetError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SetError::Full(_) => "there is a value already",
            SetError::Busy(_) => "somebody is making the value now",
        })
    }
}

// By hand: a value that has no `Debug` must not stand in the way of `unwrap`.
impl<T> fmt::Debug for SetError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SetError::Full(_) => "Full(..)",
            SetError::Busy(_) => "Busy(..)",
        })
    }
}

impl<T> Error for SetError<T> {}
