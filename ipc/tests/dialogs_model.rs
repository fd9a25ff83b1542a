//! Dialogs under random actions of both ends, random cuts of the bytes, and the loss of the connection at any byte.
//!
//! ```text
//!   script ─► act(end, what) ─► mux ─► wire ─ some bytes ─► mux ─► events, messages ─► ledger ─► rules
//! ```
//!
//! Rules that have to hold whatever the script:
//! * every dialog ends once at each end that knew of it, and everything is forgotten in the end;
//! * unless the connection was lost, both ends say the same of how it ended, and every request has one answer;
//! * of what was sent, every item comes once and in order, or is told as missing; unless the dialog was cut short;
//! * nobody holds more unread than its windows, and no end breaks the protocol for the other.

use pleach_ipc::proto::dialogs::{
    Class, Credit, DialogId, EndedBy, Event, How, Mode, Mux, Outcome, Overflow, Policy, Received, Refusal,
    SendError, Side, Terms,
};
use pleach_ipc::proto::{Why, WireCause};
use proptest::prelude::*;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

const NOW: Duration = Duration::ZERO;
const TERMS: Terms = Terms { dialogs: 4, window: Credit { items: 3, bytes: 40 }, in_flight: 320 };

/// One direction of one dialog.
#[derive(Debug, Default)]
struct Stream {
    sent: u32,
    /// Items that came or were told as missing.
    seen: u32,
    /// Bytes of a message that is not whole.
    half: Vec<u8>,
    half_class: Option<Class>,
    stopped: bool,
    /// The reader, or the sender, gave up what was on its way.
    cut: bool,
}

/// What one end has seen of one dialog.
#[derive(Debug, Default)]
struct Seen {
    ended: Vec<EndedBy>,
    started: bool,
    asked: Option<u64>,
    answered: Vec<u64>,
    cancels: u32,
    results: u32,
}

struct End {
    mux: Mux,
    seen: BTreeMap<DialogId, Seen>,
    wire: VecDeque<u8>,
}

struct World {
    ends: [End; 2],
    streams: BTreeMap<(DialogId, usize), Stream>,
    all: Vec<(DialogId, Mode)>,
}

#[derive(Clone, Copy, Debug)]
struct Step {
    end: usize,
    what: u8,
    which: usize,
    size: usize,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = (0..2_usize, 0..24_u8, 0..8_usize, 0..100_usize);
    prop::collection::vec(step.prop_map(|(end, what, which, size)| Step { end, what, which, size }), 1..300)
}

fn cause() -> WireCause {
    WireCause { by: "x".into(), why: Why::Requested }
}

impl World {
    fn new() -> Self {
        let end = |side| End {
            mux: Mux::new(side, TERMS, TERMS, None, NOW),
            seen: BTreeMap::new(),
            wire: VecDeque::new(),
        };
        World { ends: [end(Side::Connector), end(Side::Acceptor)], streams: BTreeMap::new(), all: Vec::new() }
    }

    fn act(&mut self, Step { end, what, which, size }: Step) {
        match what {
            0..=5 => return self.carry(end, size + 1),
            6 | 7 => return self.open(end, size),
            8 if which == 0 => return self.ends[end].mux.goodbye(),
            _ => {}
        }
        // The latest dialogs, which are likely to be open.
        let Some(&(dialog, mode)) = self.all.iter().rev().nth(which) else { return };
        let callee = (dialog.side == Side::Connector) == (end == 1);
        let mux = &mut self.ends[end].mux;
        let known = self.ends[end].seen.get(&dialog);
        let Some(seen) = known else { return };
        let up = mode == Mode::Call || seen.started || !callee;
        let stream = self.streams.entry((dialog, end)).or_default();
        match what {
            9..=12 if up => {
                let mut item = stream.sent.to_le_bytes().to_vec();
                item.resize(4 + size, 0);
                match mux.send(dialog, item) {
                    Ok(_) => stream.sent += 1,
                    Err(SendError::Enough) => stream.cut = true,
                    Err(_) => {}
                }
            }
            13 | 14 => self.read(end, dialog),
            15 if up => {
                let how = [How::Done, How::Error, How::Cancelled][size % 3];
                stream.stopped |= mux.stop(dialog, how);
            }
            16 if callee && !up => {
                self.ends[end].seen.get_mut(&dialog).unwrap().started = mux.started(dialog, vec![1; size]);
            }
            17 if !callee => self.cancel(end, dialog, size.is_multiple_of(2)),
            18 | 19 if callee => self.finish(end, dialog, size),
            20 => {
                mux.enough(dialog);
                self.streams.entry((dialog, 1 - end)).or_default().cut = true;
            }
            21 => {
                let overflow =
                    [Overflow::Block, Overflow::DropOldest, Overflow::DropNewest, Overflow::Error][size % 4];
                mux.set_policy(dialog, Policy { overflow, room: 1 + which });
            }
            _ => {}
        }
        self.events(end);
    }

    fn open(&mut self, end: usize, size: usize) {
        let mode = if size.is_multiple_of(2) { Mode::Call } else { Mode::Context };
        if let Ok(dialog) = self.ends[end].mux.open(mode, "endpoint", 5, vec![7; size]) {
            self.ends[end].seen.insert(dialog, Seen::default());
            self.all.push((dialog, mode));
        }
    }

    fn cancel(&mut self, end: usize, dialog: DialogId, abandon: bool) {
        let mux = &mut self.ends[end].mux;
        let request = mux.cancel(dialog, cause());
        let seen = self.ends[end].seen.get_mut(&dialog).unwrap();
        if request.is_some() {
            assert!(seen.asked.is_none_or(|first| Some(first) == request), "one request for a dialog");
            seen.asked = request;
            self.streams.entry((dialog, end)).or_default().cut = true;
        }
        if abandon {
            self.ends[end].mux.abandon(dialog, cause());
            self.streams.entry((dialog, 1 - end)).or_default().cut = true;
        }
    }

    fn finish(&mut self, end: usize, dialog: DialogId, size: usize) {
        let up = self.all.contains(&(dialog, Mode::Call)) || self.ends[end].seen[&dialog].started;
        let mux = &mut self.ends[end].mux;
        let ended = match size % 4 {
            0 if up => mux.finish(dialog, Outcome::Return(vec![2; size])),
            1 => mux.finish(dialog, Outcome::Failed(vec![3; size])),
            2 => mux.refuse(dialog, Refusal::Busy),
            _ => mux.finish(dialog, Outcome::Cancelled(cause())),
        };
        if ended {
            // What the opener sends from now on nobody reads, and after a cancellation what this end had to say is gone.
            self.streams.entry((dialog, 1 - end)).or_default().cut = true;
            let said = matches!(size % 4, 1) || size.is_multiple_of(4) && up;
            self.streams.entry((dialog, end)).or_default().cut |= !said;
        }
    }

    /// Moves so many bytes to the other end, in one piece.
    fn carry(&mut self, from: usize, n: usize) {
        let mut batch = Vec::new();
        let [a, b] = &mut self.ends;
        let (from_end, to) = if from == 0 { (a, b) } else { (b, a) };
        if from_end.wire.len() < n {
            from_end.mux.poll_transmit(&mut batch, n);
            from_end.wire.extend(&batch);
        }
        let bytes: Vec<u8> = from_end.wire.drain(..n.min(from_end.wire.len())).collect();
        to.mux.handle_bytes(&bytes, NOW).expect("no end breaks the protocol for the other");
        // A message that is not whole yet may lie in pieces of the windows; a frame that is not, beside it.
        assert!(to.mux.unread() <= TERMS.memory() as usize + 256, "{} unread", to.mux.unread());
        self.events(from);
        self.events(1 - from);
    }

    fn events(&mut self, end: usize) {
        while let Some(event) = self.ends[end].mux.poll_event() {
            let seen = &mut self.ends[end].seen;
            match event {
                Event::Opened { dialog, name, schema, mode } => {
                    assert!(self.all.contains(&(dialog, mode)) && name == "endpoint" && schema == 5);
                    assert!(seen.insert(dialog, Seen::default()).is_none(), "opened once");
                }
                Event::Ended { dialog, by } => seen.get_mut(&dialog).unwrap().ended.push(by),
                Event::Answered { dialog, request } => seen.get_mut(&dialog).unwrap().answered.push(request),
                Event::Cancel { dialog, .. } => seen.get_mut(&dialog).unwrap().cancels += 1,
                Event::Enough(dialog) => self.streams.entry((dialog, end)).or_default().cut = true,
                _ => {}
            }
        }
    }

    fn read(&mut self, end: usize, dialog: DialogId) {
        while let Some(received) = self.ends[end].mux.receive(dialog) {
            let stream = self.streams.entry((dialog, 1 - end)).or_default();
            match received {
                Received::Skipped(n) => stream.seen += n as u32,
                Received::Stopped(_) => assert!(stream.stopped || stream.cut),
                Received::Piece { class, bytes, last } => {
                    // A reader that has enough, or a sender that is cancelled, leaves a half message behind.
                    if stream.half_class.is_some_and(|half| half != class) {
                        assert!(stream.cut);
                        stream.half.clear();
                    }
                    stream.half.extend(bytes);
                    stream.half_class = (!last).then_some(class);
                    if !last {
                        continue;
                    }
                    let message = std::mem::take(&mut stream.half);
                    match class {
                        Class::Item => {
                            let n = u32::from_le_bytes(*message.first_chunk().unwrap());
                            if stream.cut {
                                // The reader may have dropped some itself; but never twice, never out of order.
                                assert!(n >= stream.seen);
                            } else {
                                assert_eq!(n, stream.seen, "no item twice, none missing without a word");
                            }
                            stream.seen = n + 1;
                        }
                        Class::Args => assert!(message.iter().all(|b| *b == 7)),
                        Class::Started => assert!(message.iter().all(|b| *b == 1)),
                        Class::Return | Class::Failed => {
                            assert!(message.iter().all(|b| *b == if class == Class::Return { 2 } else { 3 }));
                            let seen = self.ends[end].seen.get_mut(&dialog).unwrap();
                            seen.results += 1;
                        }
                    }
                }
            }
        }
    }

    /// Everybody reads, and every callee ends, until nothing moves.
    fn wind_down(&mut self) {
        let mut still = 0;
        for round in 0.. {
            assert!(round < 10_000, "it does not come to an end");
            for end in 0..2 {
                self.carry(end, usize::MAX);
                for (dialog, _) in self.all.clone() {
                    if self.ends[end].seen.contains_key(&dialog) {
                        self.read(end, dialog);
                        if round == 20 && (dialog.side == Side::Connector) == (end == 1) {
                            self.finish(end, dialog, round);
                        }
                    }
                }
            }
            let quiet = self.ends.iter().all(|end| end.wire.is_empty() && !end.mux.wants_transmit());
            // What came last has to be read as well, and what that allows has to leave.
            still = if quiet { still + 1 } else { 0 };
            if still > 2 && round > 22 {
                return;
            }
        }
    }

    fn check(&self, lost: bool) {
        for (dialog, _) in &self.all {
            let opener = usize::from(dialog.side == Side::Acceptor);
            let (there, here) = (self.ends[1 - opener].seen.get(dialog), &self.ends[opener].seen[dialog]);
            assert_eq!(here.ended.len(), 1, "{dialog} ends once where it was opened");
            if let Some(there) = there {
                assert_eq!(there.ended.len(), 1, "{dialog} ends once where it was called");
                assert!(there.cancels <= 1);
                // The last word of a callee may be lost with the connection, and nothing else may differ.
                let lost_here = lost && matches!(here.ended[0], EndedBy::Lost(_));
                assert!(lost_here || here.ended == there.ended, "{dialog}: {here:?} and {there:?}");
            } else if !lost {
                assert_eq!(here.ended, [EndedBy::Refused(Refusal::Leaving)]);
            }
            if !lost {
                assert_eq!(here.answered, here.asked.into_iter().collect::<Vec<_>>(), "one answer each");
            }
            for from in 0..2 {
                let Some(stream) = self.streams.get(&(*dialog, from)) else { continue };
                assert!(stream.seen <= stream.sent);
                if !lost && !stream.cut && there.is_some() {
                    assert_eq!(stream.seen, stream.sent, "{dialog}: all items, or the gaps");
                }
            }
            let result = matches!(here.ended[0], EndedBy::Returned | EndedBy::Failed);
            let unread = self.streams.get(&(*dialog, 1 - opener)).is_some_and(|stream| stream.cut);
            assert!(here.results == u32::from(result) || unread && here.results == 0, "{dialog}: {here:?}");
        }
        for end in &self.ends {
            assert_eq!((end.mux.dialogs(), end.mux.unread()), ((0, 0), 0), "everything is forgotten");
        }
    }
}

proptest! {
    #[test]
    fn both_ends_come_to_the_same_end(steps in steps()) {
        let mut world = World::new();
        steps.into_iter().for_each(|step| world.act(step));
        world.wind_down();
        world.check(false);
    }

    #[test]
    fn a_loss_at_any_byte_ends_everything_once(steps in steps(), cut in 0..4000_usize) {
        let mut world = World::new();
        steps.into_iter().for_each(|step| world.act(step));
        // What is on the way comes as far as the cut, in both directions.
        for end in 0..2 {
            world.carry(end, cut);
        }
        for end in 0..2 {
            world.ends[end].mux.end_of_stream();
            world.events(end);
        }
        for end in 0..2 {
            for (dialog, _) in world.all.clone() {
                if world.ends[end].seen.contains_key(&dialog) {
                    world.read(end, dialog);
                }
            }
        }
        world.check(true);
    }

    /// Whatever a peer says: no panic, no memory beyond what was agreed, and a breach is the end.
    #[test]
    fn arbitrary_operations_do_no_harm(bodies in prop::collection::vec(operation(), 0..200), split in 1..50_usize) {
        let mut mux = Mux::new(Side::Acceptor, TERMS, TERMS, None, NOW);
        for n in 0..3 {
            let _ = mux.open(if n == 0 { Mode::Call } else { Mode::Context }, "e", 0, vec![0; 50]);
        }
        let mut wire = Vec::new();
        for body in bodies {
            wire.extend_from_slice(&(body.len() as u32 + 1).to_le_bytes());
            wire.push(4);
            wire.extend(body);
        }
        let mut broken = false;
        for piece in wire.chunks(split) {
            let taken = mux.handle_bytes(piece, NOW);
            prop_assert!(!broken || taken.is_ok());
            broken |= taken.is_err();
            prop_assert_eq!(broken, mux.lost().is_some());
            prop_assert!(mux.unread() <= TERMS.memory() as usize + 256);
            prop_assert!(mux.dialogs().1 <= TERMS.dialogs);
            mux.poll_transmit(&mut Vec::new(), 100);
        }
    }
}

/// The body of a frame: mostly an operation with plausible numbers, so that it comes past the first check.
fn operation() -> impl Strategy<Value = Vec<u8>> {
    let op = prop_oneof![8 => 1..=10_u8, 1 => 32..=34_u8, 1 => any::<u8>()];
    (
        op,
        2..10_u8,
        prop::collection::vec(prop_oneof![3 => 0..4_u8, 1 => Just(0x82_u8), 1 => any::<u8>()], 0..30),
    )
        .prop_map(|(op, dialog, rest)| {
            let mut body = vec![op, dialog];
            body.extend(rest);
            body
        })
}
