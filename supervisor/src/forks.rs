//! The fork server of this actor: there when it is needed, replaced when it has died.
//!
//! ```text
//!   born with a twin ─ adopt ─┐
//!   first use ─ start (exec) ─┴─► ForkServer ─ spawn ─► child
//!        ▲                            └─ gone ─► the next one, once a request
//!        └────────────────────────────────────┘
//! ```
//!
//! Rules: no child notices the death of the server that has made it. A request that two servers in a row have died of is
//! given up.

use pleach_executor::Cancelled;
use pleach_executor::sync::Lock;
use pleach_spawn::{Born, ForkServer, Forked, Image, Plan, SpawnError};
use std::os::fd::OwnedFd;
use std::rc::Rc;

/// See the file header.
pub(crate) struct Forks {
    server: Lock<Option<Rc<ForkServer>>>,
}

impl Default for Forks {
    fn default() -> Self {
        Forks { server: Lock::new(None) }
    }
}

impl Forks {
    /// Takes over the server that this process was born with, if it was. One that cannot be is replaced like one that died.
    pub(crate) fn adopt(&self, born: &Born) {
        if let (Ok(Some(twin)), Ok(mut server)) = (ForkServer::of(born), self.server.try_lock()) {
            *server = Some(Rc::new(twin));
        }
    }

    /// A child by the server.
    pub(crate) async fn spawn(
        &self,
        image: &Image,
        plan: &Plan,
        given: &[OwnedFd],
    ) -> Result<Forked, SpawnError> {
        match self.server(image).await?.spawn(plan, given).await {
            Err(SpawnError::ServerGone { .. }) => self.server(image).await?.spawn(plan, given).await,
            made => made,
        }
    }

    /// One that lives, as far as is known.
    async fn server(&self, image: &Image) -> Result<Rc<ForkServer>, SpawnError> {
        let Ok(mut server) = self.server.lock().await? else { unreachable!("nobody panics with the guard") };
        if let Some(alive) = server.as_ref().filter(|server| !server.is_gone()) {
            return Ok(Rc::clone(alive));
        }
        let started = Rc::new(ForkServer::start(Plan::new("forks"), image).await?);
        *server = Some(Rc::clone(&started));
        Ok(started)
    }

    /// Ends the server, and waits until it is reaped; the next one is started when it is needed.
    pub(crate) async fn end(&self) -> Result<(), Cancelled> {
        let Ok(mut server) = self.server.lock().await? else { unreachable!("nobody panics with the guard") };
        match server.take().map(Rc::try_unwrap) {
            Some(Ok(server)) => server.end().await,
            // Somebody waits for an answer of it, and then lets it go.
            Some(Err(_)) | None => Ok(()),
        }
    }

    /// The actor ends: the server is killed, and reaped by the run.
    pub(crate) fn put_away(&self) {
        if let Ok(mut server) = self.server.try_lock() {
            drop(server.take());
        }
    }
}
