//! Between this crate's types and the wire's: causes, events, times.
//!
//! ```text
//!   Event ◄─► Started │ Reaped │ Progress     Reason ─► WireCause ─► Cause (a CancelCause at the child)
//! ```
//!
//! Rules:
//! * What comes off the wire may be anything: every conversion from it is total.
//! * A cause that came from further up goes down as it came: who asked first, and why, is kept to the leaves.

use crate::actor::{ActorId, Ending, Event, Incarnation};
use pleach_executor::{CancelCause, Instant, Reason};
use pleach_ipc::proto::{Cancel, Message, Reaped, Started, WireCause, WireEnding, WireStatus};
use pleach_spawn::ExitStatus;
use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub use pleach_ipc::proto::Why;

pub(crate) fn nanos(d: Duration) -> u64 {
    u64::try_from(d.as_nanos()).unwrap_or(u64::MAX)
}

/// Why an actor was cancelled, when the cause came from outside its process: what [`Reason::External`] holds there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause(WireCause);

impl Cause {
    pub(crate) fn arc(by: &str, why: Why) -> Arc<dyn CancelCause> {
        Arc::new(Cause(WireCause { by: by.to_owned(), why }))
    }

    pub(crate) fn from_wire(cause: WireCause) -> Arc<dyn CancelCause> {
        Arc::new(Cause(cause))
    }

    /// The cause inside a reason, if it came from outside this process.
    #[must_use]
    pub fn of(reason: &Reason) -> Option<&Cause> {
        match reason {
            Reason::External(c) => (&**c as &dyn Any).downcast_ref(),
            _ => None,
        }
    }

    /// The path of the actor that asked; empty if nobody did.
    #[must_use]
    pub fn by(&self) -> &str {
        &self.0.by
    }

    /// What for.
    #[must_use]
    pub fn why(&self) -> &Why {
        &self.0.why
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl CancelCause for Cause {}

/// A reason as a cause on the wire; `by` is the actor in which it arose.
pub(crate) fn cause_of(reason: &Reason, by: &str) -> WireCause {
    if let Some(cause) = Cause::of(reason) {
        return cause.0.clone();
    }
    let why = match reason {
        Reason::Requested { .. } => Why::Requested,
        Reason::Deadline => Why::Deadline,
        Reason::SiblingFailed => Why::SiblingFailed { origin: String::new(), summary: String::new() },
        Reason::Shutdown => Why::Shutdown,
        Reason::Interrupt => Why::Interrupt,
        other => Why::Other(other.to_string()),
    };
    WireCause { by: by.to_owned(), why }
}

/// Somebody in this actor has asked for it.
pub(crate) fn requested(by: &str) -> WireCause {
    WireCause { by: by.to_owned(), why: Why::Requested }
}

/// The cancel message to a child.
pub(crate) fn cancel(request: u64, cause: WireCause, deadline: Instant, now: Instant) -> Message {
    Message::Cancel(Cancel {
        request,
        cause,
        deadline_ns: Some(deadline.as_nanos()),
        left_ns: nanos(deadline - now),
    })
}

/// By when a cancel wants everything gone, on our clock.
pub(crate) fn deadline_of(cancel: &Cancel, now: Instant) -> Instant {
    cancel.deadline_ns.map_or(now + Duration::from_nanos(cancel.left_ns), Instant::from_nanos)
}

pub(crate) fn status_to(status: ExitStatus) -> WireStatus {
    match status {
        ExitStatus::Exited(code) => WireStatus::Exited(code),
        ExitStatus::Signaled { signal, core_dumped } => {
            WireStatus::Signaled { signal: signal.as_raw(), core: core_dumped }
        }
        _ => WireStatus::Unknown,
    }
}

// ---- events

pub(crate) fn event_to(event: &Event) -> Message {
    match event {
        Event::Started { actor, start_time } => Message::Started(Started {
            pid: actor.pid(),
            start_time: *start_time,
            path: actor.path().to_owned(),
            name: actor.name().to_owned(),
            incarnation: actor.incarnation().number(),
        }),
        Event::Ended { actor, ending, status, start_time } => Message::Reaped(Reaped {
            pid: actor.pid(),
            start_time: *start_time,
            path: actor.path().to_owned(),
            name: actor.name().to_owned(),
            incarnation: actor.incarnation().number(),
            status: *status,
            ending: match ending {
                Ending::Returned => WireEnding::Returned,
                Ending::Failed => WireEnding::Failed,
                Ending::Died => WireEnding::Died,
                Ending::Cancelled(cause) => WireEnding::Cancelled(cause.0.clone()),
            },
        }),
        Event::Note { path, text } => Message::Progress { path: path.clone(), text: text.clone() },
    }
}

pub(crate) fn event_from(m: Message) -> Option<Event> {
    Some(match m {
        Message::Started(s) => {
            let actor = ActorId::new(&s.name, &s.path, s.pid).incarnated(Incarnation::of(s.incarnation));
            Event::Started { actor, start_time: s.start_time }
        }
        Message::Reaped(r) => Event::Ended {
            actor: ActorId::new(&r.name, &r.path, r.pid).incarnated(Incarnation::of(r.incarnation)),
            start_time: r.start_time,
            status: r.status,
            ending: match r.ending {
                WireEnding::Returned => Ending::Returned,
                WireEnding::Failed => Ending::Failed,
                WireEnding::Died => Ending::Died,
                WireEnding::Cancelled(cause) => Ending::Cancelled(Cause(cause)),
            },
        },
        Message::Progress { path, text } => Event::Note { path, text },
        _ => return None,
    })
}

pub(crate) fn ending_of(cause: WireCause) -> Ending {
    Ending::Cancelled(Cause(cause))
}
