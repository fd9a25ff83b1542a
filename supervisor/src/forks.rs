//! The fork server of this actor: there when it is needed, replaced when it has died.
//!
//! ```text
//!   born with a twin ─ adopt ─┐
//!   first use ─ start (exec) ─┴─► Up(ForkServer) ─ spawn ─► child
//!        ▲                            │ gone ─► the next one, once a request
//!        └────────────────────────────┤
//!                                     └ there can be none here ─► Forbidden, for good
//! ```
//!
//! Rules: no child notices the death of the server that has made it. A request that two servers in a row have died of is
//! given up. What forbids a server is asked once.

use pleach_executor::Cancelled;
use pleach_executor::sync::Lock;
use pleach_spawn::{Born, ForkServer, Forked, Image, Plan, SpawnError, Stops};
use std::os::fd::OwnedFd;
use std::rc::Rc;

/// See the file header.
pub(crate) struct Forks {
    state: Lock<State>,
}

enum State {
    /// None yet, or none any more.
    Down,
    Up(Rc<ForkServer>),
    /// There can be none, and why.
    Forbidden(String),
}

impl State {
    /// The server, which is in nobody's hands any more but in those of who waits for an answer.
    fn take(&mut self) -> Option<Rc<ForkServer>> {
        match std::mem::replace(self, State::Down) {
            State::Up(server) => Some(server),
            State::Down => None,
            forbidden @ State::Forbidden(_) => {
                *self = forbidden;
                None
            }
        }
    }
}

impl Default for Forks {
    fn default() -> Self {
        Forks { state: Lock::new(State::Down) }
    }
}

impl Forks {
    /// Takes over the server that this process was born with, if it was. One that cannot be is replaced like one that died.
    pub(crate) fn adopt(&self, born: &Born) {
        if let (Ok(Some(twin)), Ok(mut state)) = (ForkServer::of(born), self.state.try_lock()) {
            *state = State::Up(Rc::new(twin));
        }
    }

    /// A child by the server. [`SpawnError::NoServer`] if there can be none.
    pub(crate) async fn spawn(
        &self,
        image: &Image,
        plan: &Plan,
        given: &[OwnedFd],
        stops: Option<&Rc<Stops>>,
    ) -> Result<Forked, SpawnError> {
        let made = match self.ask(image, plan, given, stops).await {
            Err(SpawnError::ServerGone { .. }) => self.ask(image, plan, given, stops).await,
            made => made,
        };
        if let Err(SpawnError::NoServer { why }) = &made {
            self.forbid(why).await?;
        }
        made
    }

    async fn ask(
        &self,
        image: &Image,
        plan: &Plan,
        given: &[OwnedFd],
        stops: Option<&Rc<Stops>>,
    ) -> Result<Forked, SpawnError> {
        let server = self.server(image).await?;
        if let Some(stops) = stops {
            server.heed(Rc::clone(stops));
        }
        server.spawn(plan, given).await
    }

    /// One that lives, as far as is known.
    async fn server(&self, image: &Image) -> Result<Rc<ForkServer>, SpawnError> {
        let Ok(mut state) = self.state.lock().await? else { unreachable!("nobody panics with the guard") };
        match &*state {
            State::Up(server) if !server.is_gone() => return Ok(Rc::clone(server)),
            State::Forbidden(why) => return Err(SpawnError::NoServer { why: why.clone() }),
            State::Up(_) | State::Down => {}
        }
        let started = match ForkServer::start(Plan::new("forks"), image).await {
            Ok(started) => Rc::new(started),
            Err(e) => {
                if let SpawnError::NoServer { why } = &e {
                    *state = State::Forbidden(why.clone());
                }
                return Err(e);
            }
        };
        *state = State::Up(Rc::clone(&started));
        Ok(started)
    }

    async fn forbid(&self, why: &str) -> Result<(), Cancelled> {
        let Ok(mut state) = self.state.lock().await? else { unreachable!("nobody panics with the guard") };
        *state = State::Forbidden(why.to_owned());
        Ok(())
    }

    /// Ends the server, and waits until it is reaped; the next one is started when it is needed.
    pub(crate) async fn end(&self) -> Result<(), Cancelled> {
        let Ok(mut state) = self.state.lock().await? else { unreachable!("nobody panics with the guard") };
        match state.take().map(Rc::try_unwrap) {
            Some(Ok(server)) => server.end().await,
            // Somebody waits for an answer of it, and then lets it go.
            Some(Err(_)) | None => Ok(()),
        }
    }

    /// The actor ends: the server is killed, and reaped by the run.
    pub(crate) fn put_away(&self) {
        if let Ok(mut state) = self.state.try_lock() {
            drop(state.take());
        }
    }
}
