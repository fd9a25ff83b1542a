//! The workers of a run: who is idle, who is busy, and for whom; on the run's thread only.
//!
//! ```text
//!   start(work, permit) ─► an idle worker, the latest first │ a new thread ─► busy
//!   busy ─ its end comes through the entry queue ─► permit back ─► idle ─ none for a while ─► left ─► joined
//!   retire(), or the run ends ─► all that are without work are ended and joined; who is at work then was abandoned
//! ```
//!
//! Rules:
//! * There is no crew, and no thread, in a run that never calls one.
//! * Bounded by the callers' limits only; a permit goes back when its thread has done the work, whoever still waits for that.
//! * **What a forked child does to it**: forgets it (`Runtime::forget`). The threads are not there.

use super::call::Call;
use super::error::BusyThreads;
use super::limit::{Held, ThreadLimit};
use super::worker::{NAME, Work, Worker};
use crate::entry::RunHandle;
use crate::parking::ParkingLot;
use crate::runtime;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io;
use std::num::NonZeroUsize;
use std::rc::{Rc, Weak};
use std::sync::Arc;

/// How many calls run at a time that have no limit of their own. (trio's default.)
const LIMIT: NonZeroUsize = NonZeroUsize::new(40).expect("not zero");

/// The workers of a run.
pub(crate) struct Crew {
    run: RunHandle,
    limit: ThreadLimit,
    idle: RefCell<Vec<Worker>>,
    busy: RefCell<BTreeMap<u64, Busy>>,
    next: Cell<u64>,
    /// Calls from threads that wait for something in the loop.
    pub(super) in_loop: Cell<usize>,
    /// Those who wait until no thread is at work.
    pub(super) none_at_work: ParkingLot,
}

struct Busy {
    /// `None` once it was retired, its end being on its way here.
    worker: Option<Worker>,
    name: Option<String>,
    permit: Box<dyn Held>,
    /// Is its caller still there?
    wanted: Rc<Cell<bool>>,
}

/// The caller's end of a thread at work: as long as this lives somebody waits for it.
#[must_use = "a thread that nobody wants runs on by itself"]
pub(super) struct Wanted {
    crew: Weak<Crew>,
    key: u64,
    flag: Rc<Cell<bool>>,
}

impl Wanted {
    /// The caller has heard of the end: nothing is left to do but if the loop has not, because its line was over.
    pub(super) fn heard(&self) {
        if let Some(crew) = self.crew.upgrade() {
            drop(crew.ended(self.key));
        }
    }
}

impl Drop for Wanted {
    fn drop(&mut self) {
        self.flag.set(false);
    }
}

impl Busy {
    /// Does anybody wait for its end: its caller, or somebody who is in line for its permit?
    fn is_waited_for(&self) -> bool {
        self.wanted.get() || self.permit.is_asked_for()
    }
}

impl Crew {
    /// That of the active run.
    #[track_caller]
    pub(super) fn current() -> Rc<Self> {
        let run = RunHandle::current();
        runtime::with(|rt| {
            let mut slot = rt.crew.borrow_mut();
            Rc::clone(slot.get_or_insert_with(|| {
                Rc::new(Crew {
                    run,
                    limit: ThreadLimit::new(LIMIT),
                    idle: RefCell::default(),
                    busy: RefCell::default(),
                    next: Cell::new(0),
                    in_loop: Cell::new(0),
                    none_at_work: ParkingLot::new(),
                })
            }))
        })
    }

    pub(super) fn if_any() -> Option<Rc<Self>> {
        runtime::with(|rt| rt.crew.borrow().clone())
    }

    /// How many threads are at work, as far as the loop has heard.
    pub(super) fn at_work(&self) -> usize {
        self.busy.borrow().len()
    }

    /// How many of them somebody waits for.
    fn waited_for(&self) -> usize {
        let busy = self.busy.borrow();
        if self.none_at_work.is_empty() {
            busy.values().filter(|busy| busy.is_waited_for()).count()
        } else {
            busy.len()
        }
    }

    pub(super) fn limit(&self) -> &ThreadLimit {
        &self.limit
    }

    pub(super) fn run(&self) -> &RunHandle {
        &self.run
    }

    /// Has a thread do the work. When it is done the call has ended, in the loop.
    pub(super) fn start(
        self: &Rc<Self>,
        name: Option<String>,
        permit: Box<dyn Held>,
        work: Box<dyn FnOnce() + Send>,
        call: &Arc<Call>,
    ) -> io::Result<Wanted> {
        let key = self.next.get();
        self.next.set(key + 1);
        let run = self.run.clone();
        let call = Arc::clone(call);
        let tell = Box::new(move || {
            let ends = Arc::clone(&call);
            let in_loop = move || {
                let permit = Crew::if_any().and_then(|crew| crew.ended(key));
                ends.ended();
                // Last: it may panic, which is the run's.
                drop(permit);
            };
            if run.call_soon(in_loop).is_err() {
                // The line is over. If the run is not, the caller is one of its last tasks, and sees to the rest.
                call.ended();
            }
        });
        let worker = self.assign(Work { name: name.clone(), work, tell })?;
        let flag = Rc::new(Cell::new(true));
        let busy = Busy { worker: Some(worker), name, permit, wanted: Rc::clone(&flag) };
        self.busy.borrow_mut().insert(key, busy);
        Ok(Wanted { crew: Rc::downgrade(self), key, flag })
    }

    /// A thread has done its work: it is idle, and its permit is to go on. The second time nothing happens.
    #[must_use = "the permit goes on when it is dropped"]
    fn ended(&self, key: u64) -> Option<Box<dyn Held>> {
        let Busy { worker, permit, .. } = self.busy.borrow_mut().remove(&key)?;
        if let Some(worker) = worker {
            self.idle.borrow_mut().push(worker);
        }
        if self.at_work() == 0 {
            self.none_at_work.unpark_all();
        }
        Some(permit)
    }

    /// The idle worker that came last, which leaves those that are not needed alone; or a new one.
    fn assign(&self, mut work: Work) -> io::Result<Worker> {
        loop {
            let Some(worker) = self.idle.borrow_mut().pop() else { break };
            match worker.give(work) {
                Ok(()) => return Ok(worker),
                // It has left, just now.
                Err(back) => work = back,
            }
            worker.join();
        }
        let run = self.run.clone();
        Worker::start(work, move || _ = run.call_soon(one_left))
    }

    /// Ends and joins every worker that is without work; names the others.
    pub(crate) fn retire(&self) -> Vec<String> {
        let mut without_work = self.idle.take();
        let mut names = Vec::new();
        for busy in self.busy.borrow_mut().values_mut() {
            // It is free if it has done its work, and its end is on its way here.
            without_work.extend(busy.worker.take_if(|worker| worker.claim()));
            if busy.worker.is_some() {
                names.push(busy.name.clone().unwrap_or_else(|| NAME.into()));
            }
        }
        without_work.into_iter().for_each(Worker::join);
        names
    }
}

/// A thread has left by itself: its remains are taken away.
fn one_left() {
    let Some(crew) = Crew::if_any() else { return };
    let (left, stay) = crew.idle.take().into_iter().partition::<Vec<_>, _>(Worker::has_left);
    crew.idle.replace(stay);
    left.into_iter().for_each(Worker::join);
}

/// Does anybody wait for a thread?
pub(crate) fn are_waited_for() -> bool {
    Crew::if_any().is_some_and(|crew| crew.waited_for() > 0)
}

/// Is there a thread that the virtual clock waits for: somebody waits for it, and it does not wait for the loop itself?
pub(crate) fn hold_time() -> bool {
    Crew::if_any().is_some_and(|crew| crew.waited_for() > crew.in_loop.get())
}

/// See [`low_level::retire_threads`](crate::low_level::retire_threads).
pub(crate) fn retire() -> Result<(), BusyThreads> {
    let names = Crew::if_any().map(|crew| crew.retire()).unwrap_or_default();
    if names.is_empty() { Ok(()) } else { Err(BusyThreads { names }) }
}
