//! What an actor can be asked to do: typed names as constants, and what a program has registered under them.
//!
//! ```text
//!   const E: Endpoint<A, R> ── Program::endpoint(E, async |ctx, a| …) ─► Registry: name ─► Handler ─► actor/serve.rs
//!          └── an.call(E, a), portal.call(E, a) ─ name, bytes of A ─► the actor ─ bytes of R ─► back
//! ```
//!
//! Rules:
//! * Only what was registered can be called, by anyone.
//! * The type of a constant ties both ends together; what crosses the wire is its name and bytes.

use crate::actor::Actor;
use crate::error::Error;
use pleach_ipc::codec;
use pleach_ipc::proto::Payload;
use pleach_spawn::Image;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::io;
use std::marker::PhantomData;
use std::pin::Pin;
use std::rc::Rc;

/// The typed name of something that actors of a program can be asked to do: it takes an `A` and gives an `R`.
///
/// Declare it as a constant, register it with [`Program::endpoint`](crate::Program::endpoint), and call it with
/// [`ActorNursery::call`](crate::ActorNursery::call) or [`Portal::call`](crate::Portal::call).
///
/// ```
/// use pleach::Endpoint;
/// use std::ops::Range;
/// const PRIMES: Endpoint<Range<u64>, u64> = Endpoint::new("primes.count");
/// assert_eq!(PRIMES.name(), "primes.count");
/// ```
pub struct Endpoint<A, R> {
    name: &'static str,
    types: PhantomData<fn(A) -> R>,
}

impl<A, R> Endpoint<A, R> {
    /// The endpoint of this name. Two of one name in one program are a mistake that
    /// [`Program::endpoint`](crate::Program::endpoint) reports.
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        Endpoint { name, types: PhantomData }
    }

    /// Its name, as it crosses the wire.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }
}

impl<A, R> Clone for Endpoint<A, R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<A, R> Copy for Endpoint<A, R> {}

impl<A, R> fmt::Debug for Endpoint<A, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Endpoint").field(&self.name).finish()
    }
}

/// What an endpoint's code gets besides its argument: where it runs.
#[derive(Clone, Debug)]
pub struct Context {
    pub(crate) actor: Actor,
}

impl Context {
    /// The actor whose process this is.
    #[must_use]
    pub fn actor(&self) -> &Actor {
        &self.actor
    }
}

/// A call under way at the actor that was asked.
pub(crate) type Answer = Pin<Box<dyn Future<Output = Result<Vec<u8>, Error>>>>;

/// An endpoint with its types forgotten.
type Handler = dyn Fn(Context, Vec<u8>) -> Answer;

/// What a program can start actors with: the endpoints it has, and its image.
pub(crate) struct Registry {
    endpoints: BTreeMap<&'static str, Rc<Handler>>,
    /// The error is that of a system without `/proc`.
    image: io::Result<Image>,
}

impl Registry {
    pub(crate) fn new(endpoints: Endpoints, image: io::Result<Image>) -> Rc<Self> {
        Rc::new(Registry { endpoints: endpoints.0, image })
    }

    pub(crate) fn image(&self) -> io::Result<&Image> {
        let again =
            |e: &io::Error| io::Error::new(e.kind(), format!("the program's image cannot be held: {e}"));
        self.image.as_ref().map_err(again)
    }

    pub(crate) fn has(&self, endpoint: &str) -> bool {
        self.endpoints.contains_key(endpoint)
    }

    /// Runs an endpoint; `None` if there is none of that name.
    pub(crate) fn call(&self, endpoint: &str, context: Context, args: Vec<u8>) -> Option<Answer> {
        let handler = self.endpoints.get(endpoint)?;
        Some(handler(context, args))
    }

    /// The names, for a message that says what there is.
    pub(crate) fn names(&self) -> String {
        let names: Vec<&str> = self.endpoints.keys().copied().collect();
        if names.is_empty() { "none".to_owned() } else { names.join(", ") }
    }
}

/// Endpoints while they are being registered.
#[derive(Clone, Default)]
pub(crate) struct Endpoints(BTreeMap<&'static str, Rc<Handler>>);

impl Endpoints {
    /// # Panics
    ///
    /// If there is one of that name.
    #[track_caller]
    pub(crate) fn add<A, R, F>(&mut self, endpoint: Endpoint<A, R>, code: F)
    where
        A: DeserializeOwned + 'static,
        R: Serialize + 'static,
        F: AsyncFn(Context, A) -> Result<R, Error> + 'static,
    {
        let code = Rc::new(code);
        let handler = move |context, args: Vec<u8>| -> Answer {
            let code = Rc::clone(&code);
            Box::pin(async move {
                let args: A =
                    codec::decode(&args).map_err(|e| Error::decode(endpoint.name, Payload::Argument, &e))?;
                let value = code(context, args).await?;
                codec::encode(&value).map_err(Error::new)
            })
        };
        let before = self.0.insert(endpoint.name, Rc::new(handler));
        assert!(
            before.is_none(),
            "the endpoint {} is registered twice: give one of them another name",
            endpoint.name
        );
    }
}

impl fmt::Debug for Endpoints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}
