//! The process of an actor, in the hands of whoever has to see it reaped.
//!
//! ```text
//!   spawned ─► Custody ─ watch.rs: signals, waits ─► conclude ─► reaped, Ended told
//!                 │ dropped (the hard way)
//!                 └─► SIGKILL ─► a task of the system ─► reaped, Ended told
//! ```
//!
//! Rules:
//! * Whatever becomes of the watch, the books say that the process was reaped, and every observer hears that it has
//!   ended.

use super::event::{Ending, Event};
use super::here::Here;
use super::id::ActorId;
use crate::wire;
use pleach_executor::{low_level, shielded, stats};
use pleach_ipc::proto::{Why, WireCause, WireStatus};
use pleach_spawn::{Process, Signal};
use std::ops::Deref;
use std::rc::Rc;

pub(crate) struct Custody {
    here: Rc<Here>,
    id: ActorId,
    start_time: u64,
    /// `None` once its end has been told.
    process: Option<Process>,
    epoch: u64,
}

impl Custody {
    /// Takes over a process that has just been made, and tells of it.
    pub(crate) fn new(here: Rc<Here>, id: ActorId, process: Process) -> Self {
        let start_time = process.start_time().unwrap_or(0);
        here.count(|b| b.started += 1);
        here.tell(&Event::Started { actor: id.clone(), start_time });
        Custody { here, id, start_time, process: Some(process), epoch: low_level::epoch() }
    }

    /// Collects its status if it is dead.
    pub(crate) fn try_reap(&mut self) -> Option<WireStatus> {
        let status = self.process.as_ref()?.try_status().map(wire::status_to)?;
        self.here.count(|b| b.reaped += 1);
        Some(status)
    }

    /// The actor has ended, and this is how. A process that could not be reaped stays with the run.
    pub(crate) fn release(mut self, status: Option<WireStatus>, ending: Ending) {
        let process = self.process.take();
        self.tell_end(status.unwrap_or(WireStatus::Unknown), ending);
        drop(process);
    }

    fn tell_end(&self, status: WireStatus, ending: Ending) {
        let (actor, start_time) = (self.id.clone(), self.start_time);
        self.here.tell(&Event::Ended { actor, start_time, status, ending });
    }
}

impl Deref for Custody {
    type Target = Process;

    fn deref(&self) -> &Process {
        self.process.as_ref().expect("in custody until it is released")
    }
}

impl Drop for Custody {
    fn drop(&mut self) {
        let Some(process) = self.process.take() else { return };
        // Inherited by a fork, or left over when the run has ended: the process itself knows what to do.
        if self.epoch != low_level::epoch() || stats().scopes == 0 {
            return;
        }
        if process.signal(Signal::KILL).is_ok() {
            self.here.count(|b| b.kill += 1);
        }
        let mut left = Custody {
            here: Rc::clone(&self.here),
            id: self.id.clone(),
            start_time: self.start_time,
            process: None,
            epoch: self.epoch,
        };
        low_level::spawn_system(async move {
            // Nothing cancels it under a shield; and a process dropped in here is reaped all the same.
            if let Err(c) = shielded(async |_| process.exited().await).await {
                low_level::absorb(c);
            }
            left.process = Some(process);
            let status = left.try_reap();
            let by = left.here.id.path().to_owned();
            let why = Why::Other("its nursery was dropped".to_owned());
            left.release(status, wire::ending_of(WireCause { by, why }));
        });
    }
}
