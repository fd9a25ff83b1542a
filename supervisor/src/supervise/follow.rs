//! The children of a supervisor, as those who work with them see them: by name, whichever incarnation lives.
//!
//! ```text
//!   an.child(…) ─► Follower ─ portal ─► the incarnation that is up, or the next one that is
//!   an.follow(name) ──┘    └─ call ───► the same, and a call into it
//!   an.children() ─► ChildStatus, one for each
//! ```

use super::child::Child;
use super::keeper::{Keeper, Seen};
use super::plan::{How, Place, State};
use super::spec::Restart;
use crate::actor::Incarnation;
use crate::endpoint::Endpoint;
use crate::error::{Error, ErrorTree};
use crate::nursery::ActorNursery;
use crate::portal::Portal;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt;
use std::rc::Rc;

/// A supervised actor by its name, whichever process it is just now.
///
/// A [`Portal`] belongs to one incarnation and ends with it; this waits for the next one.
#[derive(Clone)]
pub struct Follower {
    keeper: Rc<Keeper>,
    place: Place,
    name: Rc<str>,
}

impl Follower {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The portal of the incarnation that is up, or of the next one as soon as it is.
    ///
    /// # Cancellation
    ///
    /// A checkpoint always; Strict.
    ///
    /// # Errors
    ///
    /// `Gone`, with its last error, if it has ended and is not started again, or if its nursery has ended; a cancellation if
    /// the scope around the call is cancelled; `StaleHandle` in a forked child.
    pub async fn portal(&self) -> Result<Portal, Error> {
        self.keeper.portal(self.place, None).await
    }

    /// The portal of an incarnation after this one, as soon as one is up.
    ///
    /// # Cancellation
    ///
    /// A checkpoint always; Strict.
    ///
    /// # Errors
    ///
    /// As [`portal`](Follower::portal).
    pub async fn after(&self, before: &Portal) -> Result<Portal, Error> {
        self.keeper.portal(self.place, Some(before.id().incarnation())).await
    }

    /// Runs an endpoint in the incarnation that is up, or in the next one. Once: a call whose incarnation ends is not made
    /// again, because nobody knows how far it was.
    ///
    /// # Cancellation
    ///
    /// A checkpoint always. Until there is one that is up, Strict; then as [`Portal::call`].
    ///
    /// # Errors
    ///
    /// Those of [`portal`](Follower::portal), and of [`Portal::call`]: `Gone` if its incarnation ended.
    pub async fn call<A, R>(&self, endpoint: Endpoint<A, R>, args: A) -> Result<R, Error>
    where
        A: Serialize,
        R: DeserializeOwned,
    {
        self.portal().await?.call(endpoint, args).await
    }
}

impl fmt::Debug for Follower {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Follower").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Where a supervised actor is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ChildState {
    /// To be started: after its back-off, and with rest-for-one after those before it.
    Waiting,
    /// Its process is made, or about to be.
    Starting,
    /// Up.
    Up,
    /// It was told to stop, or will be when it is its turn.
    Stopping,
    /// Over: it has ended by itself, and well.
    Ended,
    /// Over: it has failed.
    Failed,
    /// Over: it was stopped.
    Stopped,
}

/// A supervised actor as it is now.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ChildStatus {
    /// Its name.
    pub name: String,
    /// When it is started again.
    pub restart: Restart,
    /// Where it is in its life.
    pub state: ChildState,
    /// The one that lives, or was the last to live; `None` if it has not been started yet.
    pub incarnation: Option<Incarnation>,
    /// The process that lives; `None` if there is none.
    pub pid: Option<u32>,
    /// What it has failed with the last time, if it ever has.
    pub last_error: Option<ErrorTree>,
}

impl From<Seen<'_>> for ChildStatus {
    fn from(seen: Seen<'_>) -> Self {
        let state = match seen.state {
            State::Due { .. } => ChildState::Waiting,
            State::Starting => ChildState::Starting,
            State::Up => ChildState::Up,
            State::Doomed { .. } | State::Stopping { .. } => ChildState::Stopping,
            State::Over(How::Well) => ChildState::Ended,
            State::Over(How::Failed) => ChildState::Failed,
            State::Over(How::Stopped) => ChildState::Stopped,
        };
        ChildStatus {
            name: seen.name.to_owned(),
            restart: seen.restart,
            state,
            incarnation: seen.incarnation,
            pid: (seen.pid != 0).then_some(seen.pid),
            last_error: seen.last_error.cloned(),
        }
    }
}

/// Children that are started again, if the nursery was opened by [`supervised`](crate::supervised). In one that
/// [`actors`](crate::actors) has opened, the first failure cancels all, as everywhere there.
impl ActorNursery {
    /// Adds a child, and starts it: at once, and with [`Strategy::RestForOne`](crate::Strategy::RestForOne) as soon as those
    /// that were added before are up. Its place among the others is last.
    ///
    /// Its failures are dealt with as the [`Supervision`](crate::Supervision) says, and told to observers
    /// ([`Event::Note`](crate::Event::Note)); the nursery does not end as long as one lives or is to be started.
    ///
    /// # Errors
    ///
    /// `Spawn` with the step `name` if there is a child of this name, `Protocol` if an argument does not fit a message,
    /// `Gone` if the supervisor is shutting down, `NotStarted` if the nursery has ended.
    ///
    /// ```no_run
    /// use pleach::{Child, Endpoint, Program, Strategy, Supervision, supervised};
    /// const DOUBLE: Endpoint<u64, u64> = Endpoint::new("double");
    /// fn main() -> std::process::ExitCode {
    ///     Program::new("doubles").endpoint(DOUBLE, async |_context, n| Ok(2 * n)).run(async |_root| {
    ///         supervised(Supervision::new(Strategy::OneForOne), async |an| {
    ///             let worker = an.child(Child::serve("worker"))?;
    ///             assert_eq!(worker.call(DOUBLE, 21).await?, 42);
    ///             an.restart("worker").await?;
    ///             assert_eq!(worker.portal().await?.id().incarnation().number(), 2);
    ///             an.shut_down().await
    ///         })
    ///         .await
    ///     })
    /// }
    /// ```
    pub fn child(&self, child: Child) -> Result<Follower, Error> {
        let name = child.name().into();
        let keeper = Rc::clone(self.keeper());
        let place = keeper.add(child)?;
        Ok(Follower { keeper, place, name })
    }

    /// The child of this name.
    ///
    /// # Errors
    ///
    /// `Gone` if there is none.
    pub fn follow(&self, name: &str) -> Result<Follower, Error> {
        let keeper = Rc::clone(self.keeper());
        let place = keeper.place(name)?;
        Ok(Follower { keeper, place, name: name.into() })
    }

    /// All children that were added, in the order of start.
    #[must_use]
    pub fn children(&self) -> Vec<ChildStatus> {
        self.keeper().each(|seen| seen.into())
    }

    /// Stops a child, as its [`Stop`](crate::Stop) says, and waits until it has ended. It is not started again unless
    /// somebody asks. Those that come after it are left alone.
    ///
    /// # Cancellation
    ///
    /// A checkpoint always. **Lossy**: cancelled, it is stopped nevertheless.
    ///
    /// # Errors
    ///
    /// `Gone` if there is no such child, or if the nursery has ended; a cancellation if the scope around the call is
    /// cancelled; `NotStarted` if the nursery is ending.
    pub async fn stop(&self, name: &str) -> Result<(), Error> {
        let place = self.keeper().place(name)?;
        self.keeper().stop(place).await
    }

    /// Starts a child again, also one that is over; stops it first if it lives. Waits until the new one is up. With
    /// rest-for-one those that come after it are started again as well. It does not count for the intensity.
    ///
    /// # Cancellation
    ///
    /// A checkpoint always. **Lossy**: cancelled, it is restarted nevertheless.
    ///
    /// # Errors
    ///
    /// `Gone` if there is no such child, if it has ended before it was up and is not started again, if the supervisor is
    /// shutting down, or if the nursery has ended; a cancellation if the scope around the call is cancelled; `NotStarted` if
    /// the nursery is ending.
    pub async fn restart(&self, name: &str) -> Result<(), Error> {
        let place = self.keeper().place(name)?;
        self.keeper().restart(place).await
    }

    /// Stops all children that were added, the last one first, each when those after it have ended; and waits until all
    /// have. The nursery stays open: they can be restarted. Other actors of the nursery are left alone.
    ///
    /// # Cancellation
    ///
    /// A checkpoint always. **Lossy**: cancelled, they are stopped nevertheless.
    ///
    /// # Errors
    ///
    /// A cancellation if the scope around the call is cancelled; `Gone` or `NotStarted` if the nursery is ending.
    pub async fn shut_down(&self) -> Result<(), Error> {
        self.keeper().shut_down().await
    }
}
