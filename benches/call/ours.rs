//! Our column: an endpoint that gives back what it gets, called through a portal.
//!
//! Rules:
//! * The same endpoints serve both backends; what differs is how their process came to be.
//! * Memory is counted apart from the timed rounds.

use crate::allocations;
use crate::stats::now;
use crate::{Echo, payload, pin};
use pleach::{ActorNursery, Backend, Endpoint, Error, Portal, Program, Start};
use std::time::Duration;

const ECHO: Endpoint<Echo, Echo> = Endpoint::new("echo");
const PIN: Endpoint<usize, ()> = Endpoint::new("pin");
/// What the thread of the actor has allocated so far.
const ALLOCATIONS: Endpoint<(), u64> = Endpoint::new("allocations");

/// Calls over which allocations are counted: so many that those of the counting vanish.
const COUNTED: u64 = 1000;

pub(crate) fn program() -> Program {
    Program::new("call")
        .endpoint(ECHO, async |_context, echo| Ok(echo))
        .endpoint(PIN, async |_context, core| {
            pin(core);
            Ok(())
        })
        .endpoint(ALLOCATIONS, async |_context, ()| Ok(allocations::so_far()))
}

/// An actor that answers.
pub(crate) struct Callee {
    portal: Portal,
}

impl Callee {
    pub(crate) async fn start(an: &ActorNursery, backend: Backend, core: usize) -> Result<Self, Error> {
        let portal = an.spawn(Start::new(format!("{backend:?}")).backend(backend)).await?;
        portal.call(PIN, core).await?;
        Ok(Callee { portal })
    }

    /// That many calls, and how long each took.
    pub(crate) async fn calls(&self, calls: u64, size: usize) -> Result<Vec<Duration>, Error> {
        let mut times = Vec::with_capacity(calls as usize);
        for number in 0..calls {
            let (asked, expected) = (payload(size, number), payload(size, number));
            let start = now();
            let answer = self.portal.call(ECHO, asked).await?;
            times.push(start.elapsed());
            assert_eq!(answer, expected);
        }
        Ok(times)
    }

    /// How often a call asks for memory in this process, without the argument itself.
    pub(crate) async fn allocations_here(&self, size: usize) -> Result<f64, Error> {
        let mut count = 0;
        for number in 0..COUNTED {
            let asked = payload(size, number);
            let before = allocations::so_far();
            let answer = self.portal.call(ECHO, asked).await?;
            count += allocations::so_far() - before;
            assert_eq!(answer, payload(size, number));
        }
        Ok(count as f64 / COUNTED as f64)
    }

    /// The same in the actor's process.
    pub(crate) async fn allocations_there(&self, size: usize) -> Result<f64, Error> {
        let before = self.portal.call(ALLOCATIONS, ()).await?;
        self.calls(COUNTED, size).await?;
        let after = self.portal.call(ALLOCATIONS, ()).await?;
        Ok((after - before) as f64 / COUNTED as f64)
    }
}
