//! What a call to a thread consists of: what its caller, its thread and the loop know of each other.
//!
//! ```text
//!   caller (Running) ─ waits ─► Call ◄─ ended ─ the loop ◄─ entry queue ─ the thread has done it
//!        │  ▲                    │ ▲
//!        │  └── errands ◄────────┘ └─ arrived ◄─ the loop ◄─ entry queue ◄─ post(errand) ─ Host, which waits for the answer
//!        └─ cancelled, or gone ─► reason ─► Host::check_cancelled
//! ```
//!
//! Rules:
//! * An errand runs inside the caller's poll: in its task, its scope, its task-local values.
//! * **In Line**: an errand reaches the caller through the entry queue, behind whatever else its thread has asked of the loop
//!   before: a cancel, say. The caller may be polled at any time, so it sees only those that have arrived.
//! * **Answer Last**: the thread goes on only after the caller has looked whether it is cancelled, so that an errand which
//!   cancels its caller is seen by the very next `check_cancelled`.
//! * Once the caller is gone errands are refused; the thread hears that by the answer's channel, whose end is dropped.

use crate::cancel::Reason;
use crate::error::Cancelled;
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::Waker;

/// Something the thread wants done by its caller; ready with what lets the thread go on.
pub(super) type Errand = Pin<Box<dyn Future<Output = Answer>>>;
pub(super) type Answer = Box<dyn FnOnce()>;

/// An errand before it is in the loop: there its future may be bound to the thread.
pub(super) type Post = Box<dyn FnOnce() -> Errand + Send>;

pub(super) struct Call {
    state: Mutex<State>,
    /// Why the caller was cancelled, or is gone.
    cancelled: OnceLock<Reason>,
}

struct State {
    stage: Stage,
    /// Those that have yet to arrive, oldest first; each arrival is that of the oldest.
    coming: VecDeque<Post>,
    posts: Vec<Post>,
    caller: Option<Waker>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Running,
    /// The thread has done it, and the loop knows.
    Ended,
    /// Nobody waits for it.
    Gone,
}

impl Call {
    pub(super) fn new() -> Self {
        let state = State { stage: Stage::Running, coming: VecDeque::new(), posts: Vec::new(), caller: None };
        Call { state: Mutex::new(state), cancelled: OnceLock::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing of a user's runs under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The caller, before it looks at anything else: who it is, what it is to do, and whether the call has ended.
    pub(super) fn look(&self, waker: &Waker) -> (Vec<Post>, bool) {
        let waker = waker.clone();
        let mut state = self.lock();
        let before = state.caller.replace(waker);
        let seen = (std::mem::take(&mut state.posts), state.stage == Stage::Ended);
        drop(state);
        drop(before);
        seen
    }

    /// The thread: its caller is to do something, once that has [`arrived`](Call::arrived). `false` if that is gone: it is
    /// refused, and dropped.
    pub(super) fn post(&self, post: Post) -> bool {
        let mut state = self.lock();
        if state.stage == Stage::Gone {
            drop(state);
            drop(post);
            return false;
        }
        state.coming.push_back(post);
        true
    }

    /// The loop: the oldest errand that was posted is the caller's to do. Refused, and dropped, if that is gone.
    pub(super) fn arrived(&self) {
        let (refused, caller) = {
            let mut state = self.lock();
            let post = state.coming.pop_front();
            if state.stage == Stage::Gone {
                (post, None)
            } else {
                state.posts.extend(post);
                (None, state.caller.clone())
            }
        };
        drop(refused);
        if let Some(caller) = caller {
            caller.wake();
        }
    }

    /// The loop: the thread has done it.
    pub(super) fn ended(&self) {
        let caller = {
            let mut state = self.lock();
            if state.stage == Stage::Running {
                state.stage = Stage::Ended;
            }
            state.caller.take()
        };
        if let Some(caller) = caller {
            caller.wake();
        }
    }

    /// The caller is gone. What it was to do comes back to be dropped.
    #[must_use = "errands are dropped outside of every borrow"]
    pub(super) fn gone(&self) -> impl Sized + use<> {
        self.cancel(Reason::Requested { by: None });
        let mut state = self.lock();
        state.stage = Stage::Gone;
        (std::mem::take(&mut state.coming), std::mem::take(&mut state.posts), state.caller.take())
    }

    /// The caller: the thread may know that it is cancelled. The first reason stays.
    pub(super) fn cancel(&self, reason: Reason) {
        let _first = self.cancelled.set(reason);
    }

    /// The thread: is the caller cancelled?
    pub(super) fn check_cancelled(&self) -> Result<(), Cancelled> {
        match self.cancelled.get() {
            None => Ok(()),
            Some(reason) => Err(Cancelled::mint(reason.clone())),
        }
    }
}
