//! Resources by key, each open for as long as anybody uses it: the first user opens it, the last one waits for its end.
//!
//! ```text
//!   with(key, open, body)   nobody has it? ─► a task in the home nursery runs `open`:
//!        │                                      open …; holding.hold(value) ─┐
//!        ├──────◄── value ───────────────────────────────────────────────────┤  held while anybody uses it
//!      body(&value)                                                          │
//!        └─ the last one leaves ─► … the rest of `open` runs: the clean-up ◄─┘
//!        ◄── its end, and its error ─────────────────────────────────────────┘
//! ```
//!
//! Rules:
//! * **One at a Time**: of one key there is one resource at most. Who comes while it is being opened or closed waits.
//! * Who waits for the opening, or for the end, gets its error; if nobody does, the home nursery gets it, like any
//!   child's.
//! * A resource that cannot be opened is the error of the one who tried; the next one who waits tries with its own
//!   `open`. The same if the one who tried is cancelled.
//! * The resource lives in the home nursery, not in its users: cancelling one of them does not reach it while others use
//!   it, and cancelling the home does not reach the users.
//! * Leaving is not cancellable: like a nursery, the last `with` waits for what it has to end.

mod entry;

use crate::cancel::{CancelScope, Reason};
use crate::checkpoint::check;
use crate::error::{self, Cancelled, Failure, Failures};
use crate::nursery::{Closed, NurseryHandle};
use crate::parking::ParkingLot;
use crate::runtime;
use crate::shielded;
use entry::{End, Entry, Found, Stay};
use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::rc::Rc;

/// Resources of one kind by key. A clone is another handle of the same.
///
/// `E` is the error of the home nursery and of those who use the resources.
///
/// ```
/// use pleach_executor::{In, run, sync::{Holding, Resources}};
/// use std::cell::RefCell;
/// use std::rc::Rc;
/// type Run = In<std::io::Error>;
///
/// let log = Rc::new(RefCell::new(Vec::new()));
/// let r = run(Run::nursery(async |home| {
///     let links: Resources<&str, &str, std::io::Error> = Resources::new(home.handle());
///     let open = |log: &Rc<RefCell<Vec<_>>>| {
///         let log = Rc::clone(log);
///         async move |holding: Holding<&'static str, std::io::Error>| {
///             log.borrow_mut().push("connect");
///             holding.hold("link").await?;             // until the last user has left
///             log.borrow_mut().push("say goodbye");
///             Ok(())
///         }
///     };
///     links.with("host", open(&log), async |link| {
///         assert_eq!(*link, "link");
///         links.with("host", open(&log), async |_| Ok(log.borrow_mut().push("the same"))).await?.unwrap();
///         Ok(())
///     }).await?.unwrap();
///     log.borrow_mut().push("over");
///     Ok(())
/// }));
/// r.unwrap();
/// assert_eq!(*log.borrow(), ["connect", "the same", "say goodbye", "over"]);
/// ```
pub struct Resources<K, V, E> {
    shared: Rc<Shared<K, V, E>>,
}

struct Shared<K, V, E> {
    home: NurseryHandle<E>,
    entries: RefCell<HashMap<K, Rc<Entry<V, E>>>>,
    /// Everybody who waits for a change of some resource. Each looks for itself.
    lot: ParkingLot,
}

/// What the code that opens a resource gets: the way to hand it out.
#[must_use = "a resource that is opened and not held is over at once: call hold()"]
pub struct Holding<V, E> {
    entry: Rc<Entry<V, E>>,
    changed: Rc<dyn Fn()>,
}

impl<V, E> Holding<V, E> {
    /// Hands the resource to its users, and waits until the last of them has left. What comes after is the clean-up.
    ///
    /// To need the value in the clean-up, hold an `Rc` of it and keep another.
    ///
    /// # Cancellation
    ///
    /// A checkpoint always. If the home nursery is cancelled there may be users left: the value stays theirs, and
    /// nobody new gets it.
    ///
    /// # Errors
    ///
    /// [`Cancelled`] if the home nursery is cancelled, or if whoever opens the resource is, before it is handed out.
    pub async fn hold(self, value: impl Into<Rc<V>>) -> Result<(), Cancelled> {
        check()?;
        self.entry.open(value.into());
        (self.changed)();
        let left = self.entry.wait_for_users().await;
        self.entry.close();
        left
    }
}

impl<K: Eq + Hash + Clone + 'static, V: 'static, E: Failure + 'static> Resources<K, V, E> {
    /// None so far. Each will live in the nursery `home`.
    #[must_use]
    pub fn new(home: NurseryHandle<E>) -> Self {
        Resources { shared: Rc::new(Shared { home, entries: RefCell::default(), lot: ParkingLot::new() }) }
    }

    /// How many use the resource now, or open it.
    #[must_use]
    pub fn users(&self, key: &K) -> usize {
        self.shared.entries.borrow().get(key).map_or(0, |entry| entry.users())
    }

    /// Runs `body` with the resource of that key: the one that is open, or one that `open` opens. If nobody else uses
    /// it at the end of `body`, this waits until it has ended.
    ///
    /// # Cancellation
    ///
    /// A checkpoint always, before `body`; **Loses place**. Cancelled while `open` runs, it cancels and awaits that. The
    /// end of the resource is awaited even in a cancelled scope.
    ///
    /// Dropped instead, it is not awaited: the resource ends in its nursery.
    ///
    /// # Errors
    ///
    /// Outside: what `body` fails with; what opening the resource or its end fails with; both, merged. Inside: the
    /// home nursery has ended, so that nothing can be opened.
    ///
    /// # Panics
    ///
    /// If `open` ends well without having held anything. If the home nursery belongs to another run.
    pub async fn with<T>(
        &self,
        key: K,
        open: impl AsyncFnOnce(Holding<V, E>) -> Result<(), E> + 'static,
        body: impl AsyncFnOnce(&V) -> Result<T, E>,
    ) -> Result<Result<T, Closed<()>>, E> {
        let stay = match self.shared.lot.until(|| self.shared.enter(&key)).await? {
            Found::Open(stay) => stay,
            Found::Vacant(stay) => match self.open(key, stay, open).await? {
                Ok(stay) => stay,
                Err(closed) => return Ok(Err(closed)),
            },
        };
        let value = stay.value();
        let outcome = body(&value).await;
        drop(value);
        let ended = self.leave(stay).await;
        merge(outcome, ended).map(Ok)
    }

    /// Starts the task that holds the resource, and waits until it is open.
    async fn open(
        &self,
        key: K,
        stay: Stay<V, E>,
        open: impl AsyncFnOnce(Holding<V, E>) -> Result<(), E> + 'static,
    ) -> Result<Result<Stay<V, E>, Closed<()>>, E> {
        let scope = CancelScope::new();
        let handle = scope.handle();
        let entry = Rc::clone(stay.entry());
        entry.opened_in(handle.clone());
        let over = Over { shared: Rc::clone(&self.shared), key, entry: Rc::clone(&entry), end: None };
        if self.shared.home.spawn(over.hold(scope, open)).is_err() {
            return Ok(Err(Closed(())));
        }
        let _answer = self.awaits(&entry);
        let mut signal = None;
        if let Err(c) = self.shared.lot.until(|| entry.is_settled().then_some(())).await {
            handle.cancel();
            signal = Some(c);
            self.settled(&entry).await;
        }
        let end = match (entry.take_end(), signal) {
            // Its own cancellation is the answer, unless there is an error.
            (Some(End::Well | End::Cut(_)), Some(c)) => return Err(c.into()),
            (end, signal) => {
                signal.into_iter().for_each(Cancelled::absorb);
                end
            }
        };
        match end {
            // Also if it was quicker than a cancellation: the body is told at its first checkpoint.
            None => Ok(Ok(stay)),
            Some(End::Failed(e)) => Err(e),
            Some(End::Cut(reason)) => Err(Cancelled::mint(reason).into()),
            Some(End::Well) => {
                assert!(
                    entry.was_held(),
                    "the code that opens a resource has ended without holding it: call hold()"
                );
                // Its nursery was cancelled before we looked.
                Err(Cancelled::mint(Reason::SiblingFailed).into())
            }
        }
    }

    /// Leaves; the last one waits for the end.
    async fn leave(&self, stay: Stay<V, E>) -> Result<(), E> {
        let entry = Rc::clone(stay.entry());
        if !stay.leave() {
            return Ok(());
        }
        let _answer = self.awaits(&entry);
        self.settled(&entry).await;
        match entry.take_end() {
            Some(End::Failed(e)) => Err(e),
            _ => Ok(()),
        }
    }

    fn awaits<'a>(&'a self, entry: &'a Entry<V, E>) -> Answer<'a, V, E> {
        entry.set_awaited(true);
        Answer { home: &self.shared.home, entry }
    }

    /// Waits until it is open, or over, whatever is cancelled.
    async fn settled(&self, entry: &Entry<V, E>) {
        let waited: Result<(), Cancelled> =
            shielded(async |_| self.shared.lot.until(|| entry.is_settled().then_some(())).await).await;
        waited.expect("nobody cancels a scope that nobody has");
    }
}

impl<K: Eq + Hash + 'static, V: 'static, E: Failure + 'static> Shared<K, V, E> {
    /// What is there for one who comes now; `None`: wait.
    fn enter(&self, key: &K) -> Option<Found<V, E>>
    where
        K: Clone,
    {
        if let Some(entry) = self.entries.borrow().get(key) {
            return entry.enter().map(Found::Open);
        }
        let stay = Stay::opening();
        self.entries.borrow_mut().insert(key.clone(), Rc::clone(stay.entry()));
        Some(Found::Vacant(stay))
    }

    /// This one is over, and the key is free.
    fn over(&self, key: &K, entry: &Rc<Entry<V, E>>) {
        let gone = self.entries.borrow_mut().remove_entry(key);
        debug_assert!(gone.as_ref().is_some_and(|(_, e)| Rc::ptr_eq(e, entry)), "One at a Time");
        drop(gone);
        self.lot.unpark_all();
    }
}

/// In the frame of one who waits for the opening or for the end. If that is dropped, the error is the home nursery's.
struct Answer<'a, V, E: Failure + 'static> {
    home: &'a NurseryHandle<E>,
    entry: &'a Entry<V, E>,
}

impl<V, E: Failure + 'static> Drop for Answer<'_, V, E> {
    fn drop(&mut self) {
        self.entry.set_awaited(false);
        if let Some(End::Failed(e)) = self.entry.take_end()
            && let Err(Closed(late)) = self.home.spawn(async { Err(e) })
        {
            // Told when the run ends.
            runtime::owe(1);
            drop(late);
        }
    }
}

/// In the frame of the task that holds a resource: however that goes, those who wait hear of it.
struct Over<K: Eq + Hash + 'static, V: 'static, E: Failure + 'static> {
    shared: Rc<Shared<K, V, E>>,
    key: K,
    entry: Rc<Entry<V, E>>,
    /// How it ended, once it has by itself.
    end: Option<End<E>>,
}

impl<K: Eq + Hash + 'static, V: 'static, E: Failure + 'static> Over<K, V, E> {
    /// The task that holds one resource.
    async fn hold(
        mut self,
        scope: CancelScope,
        open: impl AsyncFnOnce(Holding<V, E>) -> Result<(), E>,
    ) -> Result<(), E> {
        let shared = Rc::downgrade(&self.shared);
        let changed = move || {
            if let Some(shared) = shared.upgrade() {
                shared.lot.unpark_all();
            }
        };
        let holding = Holding { entry: Rc::clone(&self.entry), changed: Rc::new(changed) };
        // The scope is over when `run` returns, and its handle knows nothing any more.
        let mut reason = None;
        let outcome = scope
            .run(async |scope| {
                let outcome = open(holding).await;
                reason = scope.reason();
                outcome
            })
            .await;
        let cut = End::Cut(reason.unwrap_or(Reason::SiblingFailed));
        match outcome {
            Ok(Some(())) => self.end = Some(End::Well),
            Ok(None) => self.end = Some(cut),
            Err(e) if !e.is_cancelled() && self.entry.is_awaited() => self.end = Some(End::Failed(e)),
            // Nobody waits for it; or it is the signal of the home nursery, which goes back there.
            Err(e) => {
                self.end = Some(cut);
                return Err(e);
            }
        }
        Ok(())
    }
}

impl<K: Eq + Hash + 'static, V: 'static, E: Failure + 'static> Drop for Over<K, V, E> {
    fn drop(&mut self) {
        self.entry.end(self.end.take().unwrap_or(End::Cut(Reason::SiblingFailed)));
        self.shared.over(&self.key, &self.entry);
    }
}

/// What the block of the last user comes to.
fn merge<T, E: Failure>(body: Result<T, E>, ended: Result<(), E>) -> Result<T, E> {
    match (body, ended) {
        (body, Ok(())) => body,
        (Ok(_), Err(e)) => Err(e),
        (Err(signal), Err(e)) if signal.is_cancelled() => {
            error::absorb(signal);
            Err(e)
        }
        (Err(first), Err(second)) => Err(E::merge(Failures::new(vec![first, second]))),
    }
}

impl<K, V, E> Clone for Resources<K, V, E> {
    fn clone(&self) -> Self {
        Resources { shared: Rc::clone(&self.shared) }
    }
}

impl<K, V, E> fmt::Debug for Resources<K, V, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resources").field("open", &self.shared.entries.borrow().len()).finish_non_exhaustive()
    }
}

impl<V, E> fmt::Debug for Holding<V, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Holding").field("users", &self.entry.users()).finish_non_exhaustive()
    }
}
