//! Runs endpoints in an actor, as its parent calls them.
//!
//! ```text
//!   link ─ Call ─► Serving ─► a child of the actor's own nursery { scope { endpoint } } ─► CallReturned │ CallFailed
//!          CallCancel ─► that scope ────────────────────────────────────────┴─► CallCancelled
//!          the first Call of a one-shot actor ─► its own code: what comes of it is the actor's end
//! ```
//!
//! Rules:
//! * A dialog has one end: a value, an error, or *cancelled*, and the last only if its own scope absorbed it. If the actor
//!   itself is cancelled the dialog says nothing: the actor's end says it all.
//! * A panic in an endpoint is that call's failure. The actor lives on.

use super::boot::Caught;
use super::here::{Actor, Here};
use crate::endpoint::{Context, Registry};
use crate::error::{Error, ErrorKind};
use crate::wire::Cause;
use pleach_executor::sync::Event as Flag;
use pleach_executor::{CancelScope, NurseryHandle, ScopeHandle, check, low_level, sleep_forever};
use pleach_ipc::ChannelError;
use pleach_ipc::proto::{Limits, Message, Role, WireCause};
use std::cell::{Cell, OnceCell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

/// What an actor serves, and what is being done for its parent.
pub(crate) struct Serving {
    role: Role,
    registry: Option<Rc<Registry>>,
    limits: Limits,
    /// Where dialogs run, once the actor's code does.
    tasks: OnceCell<NurseryHandle<Error>>,
    dialogs: RefCell<BTreeMap<u64, ScopeHandle>>,
    /// The call that a one-shot actor is there for.
    first: RefCell<Option<(String, Vec<u8>)>>,
    first_came: Flag,
    had_first: Cell<bool>,
    panics: Caught,
}

impl Serving {
    pub(crate) fn new(role: Role, registry: Option<Rc<Registry>>, limits: Limits, panics: Caught) -> Self {
        Serving {
            role,
            registry,
            limits,
            tasks: OnceCell::new(),
            dialogs: RefCell::default(),
            first: RefCell::default(),
            first_came: Flag::new(),
            had_first: Cell::new(false),
            panics,
        }
    }

    pub(crate) fn attach(&self, tasks: NurseryHandle<Error>) {
        let _ = self.tasks.set(tasks);
    }

    /// The code of an actor that was not born with any.
    pub(crate) async fn run(&self, actor: Actor) -> Result<Vec<u8>, Error> {
        if self.role != Role::Once {
            match sleep_forever().await {
                Ok(never) => match never {},
                Err(c) => return Err(c.into()),
            }
        }
        self.first_came.wait().await?;
        let (endpoint, args) = self.first.take().expect("it has come");
        self.endpoint(actor, &endpoint, args).await
    }

    async fn endpoint(&self, actor: Actor, endpoint: &str, args: Vec<u8>) -> Result<Vec<u8>, Error> {
        let registry = self.registry.as_ref();
        match registry.and_then(|r| r.call(endpoint, Context { actor: actor.clone() }, args)) {
            Some(answer) => answer.await,
            None => {
                let known = registry.map_or_else(|| "none".to_owned(), |r| r.names());
                let text = format!("{} serves no endpoint `{endpoint}`; it has: {known}", actor.id().path());
                Err(Error::of(ErrorKind::NoEndpoint { endpoint: endpoint.to_owned() }, text))
            }
        }
    }

    /// The parent calls.
    pub(crate) fn call(&self, here: &Rc<Here>, dialog: u64, endpoint: String, args: Vec<u8>) {
        if self.role == Role::Once && !self.had_first.replace(true) {
            *self.first.borrow_mut() = Some((endpoint, args));
            self.first_came.set();
            return;
        }
        let refusal = if self.role == Role::Closure {
            Some("it runs a closure and serves no endpoints")
        } else if self.dialogs.borrow().contains_key(&dialog) {
            Some("a dialog of this number is open")
        } else if self.dialogs.borrow().len() >= self.limits.dialogs as usize {
            Some("too many dialogs are open")
        } else {
            None
        };
        if let Some(text) = refusal {
            let error = Error::of(ErrorKind::Protocol, format!("{} was called: {text}", here.id.path()));
            return self.refuse(here, dialog, error);
        }
        let scope = CancelScope::new();
        self.dialogs.borrow_mut().insert(dialog, scope.handle());
        let (serving_here, done) = (Rc::clone(here), Done { here: Rc::clone(here), dialog });
        let task = async move {
            let here = serving_here;
            let serving = &here.serving;
            let ended = scope
                .run(async |_| {
                    let code = serving.endpoint(Actor(Rc::clone(&here)), &endpoint, args);
                    serving.panics.catch(code).await
                })
                .await;
            drop(done);
            answer(&here, dialog, ended).await
        };
        // A nursery that takes no more is ending, and the actor with it.
        let _ = self.tasks().spawn(task);
    }

    fn refuse(&self, here: &Rc<Here>, dialog: u64, error: Error) {
        let error = error.at(&here.id).into_tree().bounded(self.limits.error_budget());
        let here = Rc::clone(here);
        let _ = self.tasks().spawn(async move {
            let Some(link) = &here.link else { return Ok(()) };
            match link.send(&Message::CallFailed { dialog, error }).await {
                Err(ChannelError::Cancelled(c)) => Err(c.into()),
                // The reader of the link finds its end.
                Ok(()) | Err(_) => Ok(()),
            }
        });
    }

    fn tasks(&self) -> &NurseryHandle<Error> {
        self.tasks.get().expect("attached before the link is read")
    }

    /// The parent does not want it any more. One that has ended crossed this on the way.
    pub(crate) fn cancel(&self, dialog: u64, cause: WireCause) {
        let scope = self.dialogs.borrow().get(&dialog).cloned();
        if let Some(scope) = scope {
            scope.cancel_because(Cause::from_wire(cause));
        }
    }
}

/// However a dialog's task goes, its scope is not kept.
struct Done {
    here: Rc<Here>,
    dialog: u64,
}

impl Drop for Done {
    fn drop(&mut self) {
        self.here.serving.dialogs.borrow_mut().remove(&self.dialog);
    }
}

/// Says how a dialog has ended.
async fn answer(here: &Rc<Here>, dialog: u64, ended: Result<Option<Vec<u8>>, Error>) -> Result<(), Error> {
    let limits = here.serving.limits;
    let failed = |e: Error| Message::CallFailed {
        dialog,
        error: e.at(&here.id).into_tree().bounded(limits.error_budget()),
    };
    let message = match ended {
        Ok(Some(value)) => Message::CallReturned { dialog, value },
        Ok(None) => Message::CallCancelled { dialog },
        Err(e) => match check() {
            Ok(()) => failed(e),
            // The actor itself is being cancelled: its end says it all, a real error among it.
            Err(c) => {
                low_level::absorb(c);
                return Err(e);
            }
        },
    };
    let Some(link) = &here.link else { return Ok(()) };
    match link.send(&message).await {
        Ok(()) => Ok(()),
        Err(ChannelError::Cancelled(c)) => Err(c.into()),
        Err(ChannelError::Encode(e)) => {
            let text = format!("the value does not fit a message: {e}");
            let _ = link.send(&failed(Error::of(ErrorKind::Protocol, text))).await;
            Ok(())
        }
        // The reader of the link finds its end.
        Err(_) => Ok(()),
    }
}
