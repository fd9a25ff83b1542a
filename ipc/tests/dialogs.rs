//! Dialogs between two ends over plain byte buffers: what each statement of the cases of this layer asks for.

use pleach_ipc::proto::dialogs::{
    Breach, CHUNK, Class, Credit, DialogId, EndedBy, Ender, Event, How, KeepAlive, Limit, Loss, Mode, Mux,
    Op, OpenError, Outcome, Overflow, Policy, Received, Refusal, SendError, Sent, Side, Terms,
};
use pleach_ipc::proto::{Why, WireCause};
use std::time::Duration;

const NOW: Duration = Duration::ZERO;

fn cause(by: &str) -> WireCause {
    WireCause { by: by.into(), why: Why::Requested }
}

/// Two ends, and what is on the wire between them.
struct Pair {
    here: Mux,
    there: Mux,
}

impl Pair {
    fn new() -> Self {
        Self::with(Terms::default())
    }

    fn with(terms: Terms) -> Self {
        let end = |side| Mux::new(side, terms, terms, None, NOW);
        Pair { here: end(Side::Connector), there: end(Side::Acceptor) }
    }

    /// Moves bytes both ways until there are none.
    fn settle(&mut self) {
        loop {
            let mut wire = Vec::new();
            let mut any = self.here.poll_transmit(&mut wire, 1 << 20);
            self.there.handle_bytes(&wire, NOW).unwrap();
            wire.clear();
            any |= self.there.poll_transmit(&mut wire, 1 << 20);
            self.here.handle_bytes(&wire, NOW).unwrap();
            if !any {
                return;
            }
        }
    }

    fn forget_events(&mut self) {
        events(&mut self.here);
        events(&mut self.there);
    }

    /// A dialog that is up at both ends.
    fn context(&mut self) -> DialogId {
        let dialog = self.here.open(Mode::Context, "e", 7, b"args".to_vec()).unwrap();
        self.settle();
        assert!(self.there.started(dialog, b"up".to_vec()));
        self.settle();
        assert_eq!(text(&mut self.there, dialog), "args:args");
        assert_eq!(text(&mut self.here, dialog), "started:up");
        self.forget_events();
        dialog
    }
}

fn events(mux: &mut Mux) -> Vec<Event> {
    std::iter::from_fn(|| mux.poll_event()).collect()
}

/// All that can be received, in words.
fn text(mux: &mut Mux, dialog: DialogId) -> String {
    let mut words = Vec::new();
    while let Some(received) = mux.receive(dialog) {
        words.push(match received {
            Received::Piece { class, bytes, last } => {
                let class = format!("{class:?}").to_lowercase();
                let bytes = if bytes.len() > 16 {
                    bytes.len().to_string()
                } else {
                    String::from_utf8(bytes).unwrap()
                };
                format!("{class}:{bytes}{}", if last { "" } else { ".." })
            }
            Received::Skipped(n) => format!("-{n}"),
            Received::Stopped(how) => format!("{how:?}"),
        });
    }
    words.join(" ")
}

/// How it ended, by the events that are there.
fn ended(mux: &mut Mux) -> Vec<EndedBy> {
    let by = |event| if let Event::Ended { by, .. } = event { Some(by) } else { None };
    events(mux).into_iter().filter_map(by).collect()
}

#[test]
fn a_dialog_goes_from_its_argument_to_its_result() {
    let mut pair = Pair::new();
    let dialog = pair.context();
    assert_eq!(pair.here.send(dialog, b"ping".to_vec()), Ok(Sent::Queued));
    assert_eq!(pair.there.send(dialog, b"pong".to_vec()), Ok(Sent::Queued));
    pair.settle();
    assert_eq!(text(&mut pair.there, dialog), "item:ping");
    assert!(pair.there.finish(dialog, Outcome::Return(b"42".to_vec())));
    pair.settle();
    assert_eq!(text(&mut pair.here, dialog), "item:pong return:42");
    assert_eq!(
        (ended(&mut pair.here), ended(&mut pair.there)),
        (vec![EndedBy::Returned], vec![EndedBy::Returned])
    );
    assert_eq!((pair.here.dialogs(), pair.there.dialogs()), ((0, 0), (0, 0)), "nothing is kept");
}

#[test]
fn either_end_opens_and_their_numbers_do_not_meet() {
    let mut pair = Pair::new();
    let ours = pair.here.open(Mode::Call, "e", 0, vec![]).unwrap();
    let theirs = pair.there.open(Mode::Call, "e", 0, vec![]).unwrap();
    assert_eq!((ours.n, theirs.n), (1, 1));
    assert_ne!(ours, theirs);
    pair.settle();
    assert!(pair.there.finish(ours, Outcome::Return(b"there".to_vec())));
    assert!(pair.here.finish(theirs, Outcome::Failed(b"here".to_vec())));
    pair.settle();
    assert_eq!(text(&mut pair.here, ours), "return:there");
    assert_eq!(text(&mut pair.there, theirs), "failed:here");
}

/// Case 243. The same at both ends of one process: the side is part of the number.
#[test]
fn a_dialog_with_oneself_works() {
    let mut pair = Pair::new();
    // One actor holds both ends; each dialog is found by its side and number, so a call and its own callee are two.
    for n in 1..=3 {
        let there = pair.here.open(Mode::Call, "self", 0, vec![n]).unwrap();
        let here = pair.there.open(Mode::Call, "self", 0, vec![n]).unwrap();
        pair.settle();
        assert!(pair.there.finish(there, Outcome::Return(b"a".to_vec())));
        assert!(pair.here.finish(here, Outcome::Return(b"b".to_vec())));
        pair.settle();
        assert_eq!(text(&mut pair.here, there), "return:a");
        assert_eq!(text(&mut pair.there, here), "return:b");
    }
}

/// Case 217. Whatever an end waits for, the loss of the connection ends the waiting.
#[test]
fn a_lost_connection_ends_every_dialog_once_and_what_had_come_stays() {
    let mut pair = Pair::new();
    let opening = pair.here.open(Mode::Context, "e", 0, vec![]).unwrap();
    let open = pair.context();
    assert_eq!(pair.there.send(open, b"last".to_vec()), Ok(Sent::Queued));
    pair.settle();
    events(&mut pair.here);
    pair.here.end_of_stream();
    let lost = EndedBy::Lost(Loss::Closed);
    let expected: Vec<Event> = [opening, open]
        .map(|dialog| Event::Ended { dialog, by: lost.clone() })
        .into_iter()
        .chain([Event::Lost(Loss::Closed)])
        .collect();
    assert_eq!(events(&mut pair.here), expected);
    assert_eq!(lost.ender(), Ender::Connection);
    assert_eq!(text(&mut pair.here, open), "item:last");
    assert_eq!(pair.here.dialogs(), (0, 0));
    assert_eq!(pair.here.open(Mode::Call, "e", 0, vec![]), Err(OpenError::Lost(Loss::Closed)));
    // Once: what follows is no news.
    pair.here.end_of_stream();
    assert_eq!(events(&mut pair.here), []);
}

/// Case 222. The end of a connection is the end of its own dialogs, and of no others.
#[test]
fn the_death_of_a_caller_ends_exactly_the_dialogs_it_had_opened() {
    let (mut dies, mut lives) = (Pair::new(), Pair::new());
    let (a, b) = (dies.context(), dies.context());
    let other = lives.context();
    dies.there.end_of_stream();
    assert_eq!(ended(&mut dies.there), vec![EndedBy::Lost(Loss::Closed); 2]);
    assert_eq!(dies.there.dialogs(), (0, 0), "the table is as long as before");
    for dialog in [a, b] {
        assert!(!dies.there.finish(dialog, Outcome::Return(vec![])), "it is over");
        assert_eq!(dies.there.send(dialog, vec![]), Err(SendError::Closed));
    }
    assert!(lives.there.finish(other, Outcome::Return(b"fine".to_vec())));
    lives.settle();
    assert_eq!(text(&mut lives.here, other), "return:fine");
}

/// Case 230. Each moment at which a cancel can arrive: it never hangs, and is answered once.
#[test]
fn a_cancel_at_any_moment_is_answered_once() {
    // Before the callee has looked at it; before it has started; after.
    for moment in 0..3 {
        let mut pair = Pair::new();
        let dialog = pair.here.open(Mode::Context, "e", 0, vec![]).unwrap();
        if moment > 0 {
            pair.settle();
        }
        if moment > 1 {
            assert!(pair.there.started(dialog, vec![]));
            pair.settle();
        }
        let request = pair.here.cancel(dialog, cause("me")).unwrap();
        // Twice is the same request.
        assert_eq!(pair.here.cancel(dialog, cause("me again")), Some(request));
        pair.settle();
        let asked = events(&mut pair.there);
        let asked: Vec<_> = asked.iter().filter(|e| matches!(e, Event::Cancel { .. })).collect();
        assert_eq!(asked, [&Event::Cancel { dialog, request, cause: cause("me") }], "moment {moment}");
        assert!(pair.there.finish(dialog, Outcome::Cancelled(cause("myself"))));
        pair.settle();
        let heard = events(&mut pair.here);
        let answered = Event::Answered { dialog, request };
        assert_eq!(heard.iter().filter(|e| **e == answered).count(), 1, "moment {moment}");
        let by = EndedBy::Cancelled { request };
        assert_eq!(heard.iter().filter(|e| matches!(e, Event::Ended { .. })).count(), 1);
        assert!(heard.contains(&Event::Ended { dialog, by: by.clone() }));
        assert_eq!(ended(&mut pair.there), [by], "both ends say the same");
        let _ = text(&mut pair.here, dialog);
        assert_eq!((pair.here.dialogs(), pair.there.dialogs()), ((0, 0), (0, 0)));
    }
}

/// Case 230. After the return: the result stands, and the request is answered all the same.
#[test]
fn a_cancel_that_crosses_the_result_is_answered_and_the_result_stands() {
    let mut pair = Pair::new();
    let dialog = pair.context();
    assert!(pair.there.finish(dialog, Outcome::Return(b"42".to_vec())));
    let mut crossing = Vec::new();
    pair.there.poll_transmit(&mut crossing, 1 << 20);
    assert_eq!(pair.there.dialogs(), (0, 0), "there it is forgotten before the request comes");
    let request = pair.here.cancel(dialog, cause("me")).unwrap();
    pair.here.handle_bytes(&crossing, NOW).unwrap();
    assert_eq!(pair.here.dialogs(), (1, 0), "until it is answered");
    pair.settle();
    let heard = events(&mut pair.here);
    assert!(heard.contains(&Event::Ended { dialog, by: EndedBy::Returned }));
    assert_eq!(heard.iter().filter(|e| **e == Event::Answered { dialog, request }).count(), 1);
    assert_eq!(ended(&mut pair.there), [EndedBy::Returned]);
    assert_eq!(text(&mut pair.here, dialog), "return:42");
    assert_eq!(pair.here.dialogs(), (0, 0));
    assert_eq!(pair.here.cancel(dialog, cause("me")), None, "it is over");
}

/// Case 230. For a number that was once: answered at once. For one that never was: that is no dialog.
#[test]
fn a_cancel_for_what_is_over_is_answered_and_for_what_never_was_is_a_breach() {
    let mut pair = Pair::new();
    let dialog = pair.context();
    assert!(pair.there.finish(dialog, Outcome::Return(vec![])));
    pair.settle();
    let mut wire = Vec::new();
    Op::Cancel { dialog, request: 77, cause: cause("x") }.encode(&mut wire);
    pair.there.handle_bytes(&wire, NOW).unwrap();
    let mut answer = Vec::new();
    pair.there.poll_transmit(&mut answer, 1 << 20);
    assert_eq!(Op::decode(&answer[5..]), Ok(Op::CancelAck { dialog, request: 77 }));

    wire.clear();
    let never = DialogId { n: 99, ..dialog };
    Op::Cancel { dialog: never, request: 78, cause: cause("x") }.encode(&mut wire);
    let breach = pair.there.handle_bytes(&wire, NOW).unwrap_err();
    assert!(matches!(breach, Breach::Order { dialog, op: "Cancel", .. } if dialog == never), "{breach}");
}

/// Case 232. Also while it is being cancelled, an error is what is reported.
#[test]
fn an_error_or_a_value_that_was_ready_wins_over_the_cancel() {
    for (outcome, by) in [
        (Outcome::Failed(b"real".to_vec()), EndedBy::Failed),
        (Outcome::Return(b"v".to_vec()), EndedBy::Returned),
    ] {
        let mut pair = Pair::new();
        let dialog = pair.context();
        pair.here.cancel(dialog, cause("me")).unwrap();
        pair.settle();
        assert!(pair.there.finish(dialog, outcome));
        pair.settle();
        assert_eq!((ended(&mut pair.here), ended(&mut pair.there)), (vec![by.clone()], vec![by]));
    }
}

/// Case 233. Who asked is decided by the number of the request; a callee's own reason is told as such.
#[test]
fn a_cancellation_is_the_openers_only_if_it_names_its_request() {
    let mut pair = Pair::new();
    let dialog = pair.context();
    assert!(pair.there.finish(dialog, Outcome::Cancelled(cause("a third"))));
    pair.settle();
    let by = EndedBy::Stopped { cause: cause("a third") };
    assert_eq!(by.ender(), Ender::Callee);
    assert_eq!((ended(&mut pair.here), ended(&mut pair.there)), (vec![by.clone()], vec![by]));

    let dialog = pair.context();
    let mut wire = Vec::new();
    Op::Cancelled { dialog, request: Some(5), cause: cause("liar") }.encode(&mut wire);
    let breach = pair.here.handle_bytes(&wire, NOW).unwrap_err();
    assert!(matches!(breach, Breach::Order { op: "Cancelled", .. }), "{breach}");
}

#[test]
fn requests_that_were_answered_do_not_count() {
    let mut pair = Pair::with(Terms { dialogs: 1, ..Terms::default() });
    for round in 0..20 {
        let dialog = pair.here.open(Mode::Call, "e", 0, vec![]).unwrap();
        pair.settle();
        let early = round % 2 == 0;
        assert!(early || pair.there.finish(dialog, Outcome::Return(vec![])));
        let request = pair.here.cancel(dialog, cause("")).unwrap();
        let mut wire = Vec::new();
        pair.here.poll_transmit(&mut wire, 1 << 20);
        pair.there.handle_bytes(&wire, NOW).unwrap();
        assert!(!early || pair.there.finish(dialog, Outcome::Cancelled(cause(""))));
        pair.settle();
        assert!(events(&mut pair.here).contains(&Event::Answered { dialog, request }));
        let _ = text(&mut pair.here, dialog);
    }
}

/// Case 227. A thousand requests are one batch out and one batch back.
#[test]
fn a_thousand_cancels_are_one_round_trip() {
    let mut pair = Pair::with(Terms { dialogs: 1000, in_flight: 1 << 30, ..Terms::default() });
    let dialogs: Vec<_> = (0..1000).map(|_| pair.here.open(Mode::Call, "e", 0, vec![]).unwrap()).collect();
    pair.settle();
    for dialog in &dialogs {
        pair.here.cancel(*dialog, cause("")).unwrap();
    }
    let mut wire = Vec::new();
    pair.here.poll_transmit(&mut wire, 1 << 20);
    pair.there.handle_bytes(&wire, NOW).unwrap();
    for event in events(&mut pair.there) {
        if let Event::Cancel { dialog, cause, .. } = event {
            assert!(pair.there.finish(dialog, Outcome::Cancelled(cause)));
        }
    }
    wire.clear();
    pair.there.poll_transmit(&mut wire, 1 << 20);
    pair.here.handle_bytes(&wire, NOW).unwrap();
    assert_eq!(ended(&mut pair.here).len(), 1000);
    assert_eq!((pair.here.dialogs(), pair.there.dialogs()), ((0, 0), (0, 0)));
}

/// Case 234. No item is lost, and what is unread never exceeds the window.
#[test]
fn a_fast_sender_is_held_back_by_a_slow_reader() {
    const ITEMS: u32 = 1_000_000;
    let window = Credit { items: 32, bytes: 100 };
    let mut pair = Pair::with(Terms { window, ..Terms::default() });
    let dialog = pair.context();
    let (mut next, mut expected) = (0_u32, 0_u32);
    while expected < ITEMS {
        while next < ITEMS && pair.here.send(dialog, next.to_le_bytes().to_vec()).is_ok() {
            next += 1;
        }
        pair.settle();
        assert!(pair.there.unread() <= 100, "{} bytes unread", pair.there.unread());
        // It reads three at a time.
        let mut item = Vec::new();
        for _ in 0..3 {
            let Some(Received::Piece { class: Class::Item, bytes, last }) = pair.there.receive(dialog) else {
                break;
            };
            item.extend(bytes);
            if last {
                assert_eq!(u32::from_le_bytes(item.try_into().unwrap()), expected);
                item = Vec::new();
                expected += 1;
            }
        }
        if !item.is_empty() {
            pair.settle();
            let Some(Received::Piece { bytes, last: true, .. }) = pair.there.receive(dialog) else {
                panic!()
            };
            item.extend(bytes);
            assert_eq!(u32::from_le_bytes(item.try_into().unwrap()), expected);
            expected += 1;
        }
    }
}

/// A dialog whose opener can send no more, because nobody reads.
fn blocked() -> (Pair, DialogId) {
    let mut pair = Pair::new();
    let dialog = pair.context();
    while pair.here.send(dialog, vec![0; 10_000]).is_ok() {
        pair.settle();
    }
    let item = Err(SendError::WouldBlock(vec![1]));
    assert_eq!(pair.here.send(dialog, vec![1]), item);
    assert!(!pair.here.wants_transmit(), "nothing can leave");
    pair.forget_events();
    (pair, dialog)
}

/// Case 235. By a cancel of its own.
#[test]
fn a_blocked_sender_is_released_by_a_cancel() {
    let (mut pair, dialog) = blocked();
    pair.here.cancel(dialog, cause("me")).unwrap();
    assert_eq!(pair.here.send(dialog, vec![]), Err(SendError::Closed), "at once, before anything was sent");
    pair.settle();
    assert!(matches!(events(&mut pair.there)[..], [Event::Cancel { .. }, ..]));
    // What had left is there to be read; of the rest the reader hears that it does not come.
    let heard = text(&mut pair.there, dialog);
    assert!(heard.ends_with(" Cancelled"), "{heard}");
    pair.settle();
    assert_eq!(text(&mut pair.there, dialog), "", "nothing follows although there is credit");
}

/// Case 235. By a reader that wants no more.
#[test]
fn a_blocked_sender_is_released_by_a_reader_that_has_enough() {
    let (mut pair, dialog) = blocked();
    pair.there.enough(dialog);
    pair.settle();
    assert_eq!(events(&mut pair.here), [Event::Enough(dialog)]);
    assert_eq!(pair.here.send(dialog, vec![]), Err(SendError::Enough));
    assert_eq!(pair.there.unread(), 0);
    // The dialog goes on.
    assert!(pair.there.finish(dialog, Outcome::Return(b"done".to_vec())));
    pair.settle();
    assert_eq!(text(&mut pair.here, dialog), "return:done");
}

/// Case 235. By the end of the other end, and by that of the connection.
#[test]
fn a_blocked_sender_is_released_by_the_end_of_the_dialog_or_the_connection() {
    let (mut pair, dialog) = blocked();
    assert!(pair.there.finish(dialog, Outcome::Return(vec![])));
    pair.settle();
    assert_eq!(ended(&mut pair.here), [EndedBy::Returned]);
    assert_eq!(pair.here.send(dialog, vec![]), Err(SendError::Closed));

    let (mut pair, dialog) = blocked();
    pair.here.end_of_stream();
    assert_eq!(ended(&mut pair.here), [EndedBy::Lost(Loss::Closed)]);
    assert_eq!(pair.here.send(dialog, vec![]), Err(SendError::Closed));
}

/// Case 235. A reader that reads again is one more end of waiting: the sender is told, once.
#[test]
fn a_blocked_sender_is_told_when_there_is_room() {
    let (mut pair, dialog) = blocked();
    let _ = text(&mut pair.there, dialog);
    pair.settle();
    assert_eq!(events(&mut pair.here), [Event::Writable(dialog)]);
    assert_eq!(pair.here.send(dialog, vec![1]), Ok(Sent::Queued));
}

/// Case 236. Beside 100 MiB, a cancel leaves with the next batch, in front of it; and other dialogs have every other turn.
#[test]
fn a_long_message_delays_control_by_no_more_than_a_chunk() {
    let window = Credit { items: 64, bytes: 1 << 30 };
    let mut pair = Pair::with(Terms { window, in_flight: u64::MAX, ..Terms::default() });
    let (long, short) = (pair.context(), pair.context());
    assert_eq!(pair.here.send(long, vec![0; 100 << 20]), Ok(Sent::Queued));
    let mut wire = Vec::new();
    pair.here.poll_transmit(&mut wire, CHUNK);
    assert!(wire.len() <= CHUNK + 16, "one chunk: {}", wire.len());

    assert_eq!(pair.here.send(short, b"x".to_vec()), Ok(Sent::Queued));
    let request = pair.here.cancel(short, cause("")).unwrap();
    wire.clear();
    pair.here.poll_transmit(&mut wire, 1);
    assert!(matches!(Op::decode(&wire[5..]), Ok(Op::Cancel { request: r, .. }) if r == request));

    let third = pair.here.open(Mode::Call, "e", 0, b"args".to_vec()).unwrap();
    wire.clear();
    pair.here.poll_transmit(&mut wire, 3 * CHUNK);
    let at = wire.windows(4).position(|bytes| bytes == b"args").expect("in its turn");
    assert!(at < 2 * CHUNK, "{third} had its turn at {at}");
}

#[test]
fn chunks_of_several_dialogs_take_turns() {
    let window = Credit { items: 64, bytes: 1 << 20 };
    let mut pair = Pair::with(Terms { window, in_flight: u64::MAX, ..Terms::default() });
    let dialogs = [pair.context(), pair.context(), pair.context()];
    for dialog in dialogs {
        assert_eq!(pair.here.send(dialog, vec![0; 4 * CHUNK]), Ok(Sent::Queued));
    }
    let mut order = Vec::new();
    let mut wire = Vec::new();
    while pair.here.poll_transmit(&mut wire, 1) {
        order.push(Op::decode(&wire[5..]).unwrap().dialog().unwrap().n);
        wire.clear();
    }
    assert_eq!(order, [1, 2, 3].repeat(4));
}

/// Case 237. One direction stops, the other goes on; how it stopped is heard.
#[test]
fn each_direction_stops_by_itself_and_says_how() {
    for how in [How::Done, How::Error, How::Cancelled] {
        let mut pair = Pair::new();
        let dialog = pair.context();
        assert_eq!(pair.here.send(dialog, b"a".to_vec()), Ok(Sent::Queued));
        assert!(pair.here.stop(dialog, how) && !pair.here.stop(dialog, how));
        assert_eq!(pair.here.send(dialog, vec![]), Err(SendError::Closed));
        assert_eq!(pair.there.send(dialog, b"b".to_vec()), Ok(Sent::Queued));
        pair.settle();
        assert_eq!(text(&mut pair.there, dialog), format!("item:a {how:?}"));
        assert_eq!(text(&mut pair.here, dialog), "item:b");
        assert!(pair.there.stop(dialog, How::Done));
        pair.settle();
        assert_eq!(text(&mut pair.here, dialog), "Done");
        assert!(pair.there.finish(dialog, Outcome::Return(b"r".to_vec())));
        pair.settle();
        assert_eq!(text(&mut pair.here, dialog), "return:r");
    }
}

/// Case 238. Every policy: what is dropped is counted here and told there, at its place.
#[test]
fn a_dropping_policy_tells_how_many_and_where() {
    let run = |overflow| {
        let mut pair = Pair::with(Terms { window: Credit { items: 2, bytes: 100 }, ..Terms::default() });
        let dialog = pair.context();
        pair.here.set_policy(dialog, Policy { overflow, room: 2 });
        let mut refused = 0;
        for item in b"abcdefgh" {
            refused += u32::from(pair.here.send(dialog, vec![*item]).is_err());
            pair.settle();
        }
        let mut all = String::new();
        loop {
            let more = text(&mut pair.there, dialog);
            if more.is_empty() {
                return (all.trim_end().to_owned(), pair.here.dropped(dialog).unwrap(), refused);
            }
            all += &(more + " ");
            pair.settle();
        }
    };
    assert_eq!(run(Overflow::Block), ("item:a item:b item:c item:d".into(), 0, 4));
    assert_eq!(run(Overflow::Error), ("item:a item:b item:c item:d".into(), 0, 4));
    assert_eq!(run(Overflow::DropOldest), ("item:a item:b -4 item:g item:h".into(), 4, 0));
    assert_eq!(run(Overflow::DropNewest), ("item:a item:b item:c item:d -4".into(), 4, 0));
}

/// Case 240. A callee of another make that returns without `started` is named, and nobody hangs.
#[test]
fn a_return_without_started_is_a_breach() {
    let mut pair = Pair::new();
    let dialog = pair.here.open(Mode::Context, "e", 0, vec![]).unwrap();
    pair.settle();
    let mut wire = Vec::new();
    Op::Piece { dialog, class: Class::Return, last: true, bytes: b"5" }.encode(&mut wire);
    let breach = pair.here.handle_bytes(&wire, NOW).unwrap_err();
    assert_eq!(breach, Breach::Order { dialog, op: "Piece", why: "it has not started" });
    assert_eq!(ended(&mut pair.here), [EndedBy::Lost(Loss::Breach(breach))]);
    assert_eq!(text(&mut pair.here, dialog), "", "its value is not taken for the first one");
}

/// Cases 241, 242. A callee that has no such endpoint, or one of other types, says so, and both ends know.
#[test]
fn a_refusal_is_the_same_at_both_ends() {
    for why in [Refusal::NoEndpoint, Refusal::Schema, Refusal::Forbidden, Refusal::Busy] {
        let mut pair = Pair::new();
        let dialog = pair.here.open(Mode::Context, "self.cancel", 9, vec![0; 1000]).unwrap();
        pair.settle();
        let opened = events(&mut pair.there);
        let Some(Event::Opened { name, schema: 9, mode: Mode::Context, .. }) = opened.first() else {
            panic!()
        };
        assert_eq!(name, "self.cancel");
        assert!(pair.there.refuse(dialog, why));
        pair.settle();
        let by = EndedBy::Refused(why);
        assert_eq!((ended(&mut pair.here), ended(&mut pair.there)), (vec![by.clone()], vec![by]));
        assert_eq!((pair.here.dialogs(), pair.there.dialogs()), ((0, 0), (0, 0)));
    }
}

#[test]
#[should_panic(expected = "say `started` before the first item")]
fn an_item_before_started_is_a_bug_of_the_callee() {
    let mut pair = Pair::new();
    let dialog = pair.here.open(Mode::Context, "e", 0, vec![]).unwrap();
    pair.settle();
    let _ = pair.there.send(dialog, vec![]);
}

#[test]
fn a_message_longer_than_the_credit_comes_in_parts() {
    let mut pair = Pair::with(Terms { window: Credit { items: 4, bytes: 10 }, ..Terms::default() });
    let dialog = pair.here.open(Mode::Call, "e", 0, b"0123456789abcdefghijXYZ".to_vec()).unwrap();
    pair.settle();
    assert_eq!(text(&mut pair.there, dialog), "args:0123456789..");
    pair.settle();
    assert_eq!(text(&mut pair.there, dialog), "args:abcdefghij..");
    pair.settle();
    assert_eq!(text(&mut pair.there, dialog), "args:XYZ");
}

/// Sends these to one end of a new pair, and gives what they broke.
fn broken_by(terms: Terms, ops: &[Op<'_>]) -> Breach {
    let mut pair = Pair::with(terms);
    let dialog = pair.context();
    let mut wire = Vec::new();
    ops.iter().for_each(|op| op.encode(&mut wire));
    let breach = pair.there.handle_bytes(&wire, NOW).unwrap_err();
    assert_eq!(ended(&mut pair.there).first(), Some(&EndedBy::Lost(Loss::Breach(breach.clone()))));
    assert!(pair.there.send(dialog, vec![]).is_err() && !pair.there.wants_transmit());
    assert_eq!(pair.there.handle_bytes(&wire, NOW), Ok(()), "nothing more is looked at");
    breach
}

const D: DialogId = DialogId { side: Side::Connector, n: 1 };

fn item(bytes: &[u8], last: bool) -> Op<'_> {
    Op::Piece { dialog: D, class: Class::Item, last, bytes }
}

#[test]
fn every_limit_that_a_peer_breaks_has_its_name_and_ends_the_connection() {
    let terms = Terms { dialogs: 2, window: Credit { items: 3, bytes: 10 }, in_flight: 1000 };
    let open = |n| Op::Open { dialog: DialogId { n, ..D }, mode: Mode::Call, schema: 0, name: "e" };
    assert_eq!(broken_by(terms, &[open(2), open(3)]), Limit::Dialogs { most: 2 }.into());
    // The argument was taken: four bytes, one message. So there is credit for thirteen and four... but it was not told.
    let breach = broken_by(terms, &[item(&[0; 7], true)]);
    assert!(matches!(breach, Breach::Limit(Limit::Credit { dialog: Some(D), .. })), "{breach}");
    let breach = broken_by(terms, &[item(&[], true), item(&[], true), item(&[], true), item(&[], true)]);
    assert!(matches!(breach, Breach::Limit(Limit::Credit { dialog: Some(D), .. })), "{breach}");
    let ask = |request| Op::Cancel { dialog: D, request, cause: cause("") };
    let asks: Vec<Op<'_>> = (0..5).map(ask).collect();
    assert_eq!(broken_by(terms, &asks), Limit::Requests { most: 4 }.into());

    let mut pair = Pair::new();
    let breach = pair.here.handle_bytes(&u32::MAX.to_le_bytes(), NOW).unwrap_err();
    assert!(matches!(breach, Breach::Limit(Limit::Frame { len: u32::MAX, .. })), "before its bytes come");
}

#[test]
fn every_operation_out_of_order_is_a_breach() {
    let terms = Terms::default();
    let never = DialogId { n: 5, ..D };
    let piece = |class| Op::Piece { dialog: D, class, last: true, bytes: b"x" };
    let open = |dialog| Op::Open { dialog, mode: Mode::Call, schema: 0, name: "e" };
    let (stop, end) = (|how| Op::Stop { dialog: D, how }, cause(""));
    let cases: Vec<(&str, Vec<Op<'_>>)> = vec![
        ("Open", vec![open(D)]),
        ("Open", vec![open(never)]),
        ("Open", vec![open(DialogId { side: Side::Acceptor, n: 1 })]),
        ("Piece", vec![piece(Class::Args)]),
        ("Piece", vec![piece(Class::Started)]),
        ("Piece", vec![piece(Class::Return)]),
        ("Piece", vec![piece(Class::Failed)]),
        ("Piece", vec![stop(How::Done), piece(Class::Item)]),
        ("Piece", vec![Op::Piece { dialog: never, class: Class::Item, last: true, bytes: b"" }]),
        ("Stop", vec![stop(How::Done), stop(How::Done)]),
        ("Stop", vec![item(b"half", false), stop(How::Done)]),
        ("Skipped", vec![item(b"half", false), Op::Skipped { dialog: D, n: 1 }]),
        ("Skipped", vec![stop(How::Done), Op::Skipped { dialog: D, n: 1 }]),
        ("CancelAck", vec![Op::CancelAck { dialog: D, request: 1 }]),
        ("Cancelled", vec![Op::Cancelled { dialog: D, request: None, cause: end }]),
        ("Refused", vec![Op::Refused { dialog: D, why: Refusal::Busy }]),
    ];
    for (name, ops) in cases {
        let breach = broken_by(terms, &ops);
        assert!(matches!(&breach, Breach::Order { op, .. } if *op == name), "{ops:?}: {breach}");
    }
    assert_eq!(broken_by(terms, &[Op::Pong { n: 1 }]), Breach::Malformed { op: "Pong" });
    assert_eq!(broken_by(terms, &[Op::Goodbye { last: 1 }]), Breach::Malformed { op: "Goodbye" });
}

#[test]
fn a_last_word_in_the_middle_of_an_item_is_a_breach() {
    let mut pair = Pair::new();
    let dialog = pair.context();
    let mut wire = Vec::new();
    Op::Piece { dialog, class: Class::Item, last: false, bytes: b"half" }.encode(&mut wire);
    pair.here.handle_bytes(&wire, NOW).unwrap();
    wire.clear();
    Op::Piece { dialog, class: Class::Return, last: true, bytes: b"" }.encode(&mut wire);
    let why = "in the middle of another message";
    assert_eq!(pair.here.handle_bytes(&wire, NOW), Err(Breach::Order { dialog, op: "Piece", why }));
}

#[test]
fn what_a_peer_sends_without_end_takes_no_more_memory() {
    let mut pair = Pair::new();
    let dialog = pair.context();
    let mut wire = Vec::new();
    Op::Skipped { dialog, n: 1 }.encode(&mut wire);
    Op::Ping { n: 3 }.encode(&mut wire);
    Op::Enough { dialog }.encode(&mut wire);
    Op::Credit { dialog, to: Credit { items: u64::MAX, bytes: u64::MAX } }.encode(&mut wire);
    for _ in 0..10_000 {
        pair.there.handle_bytes(&wire, NOW).unwrap();
    }
    assert_eq!(events(&mut pair.there).len(), 2, "Readable and Enough");
    wire.clear();
    pair.there.poll_transmit(&mut wire, 1 << 20);
    assert_eq!(Op::decode(&wire[5..]), Ok(Op::Pong { n: 3 }));
    assert_eq!(wire.len(), 7, "one answer, to the last");
    assert_eq!(text(&mut pair.there, dialog), "-10000");
}

#[test]
fn goodbye_lets_open_dialogs_end_and_says_which_were_never_begun() {
    let mut pair = Pair::new();
    let open = pair.context();
    pair.there.goodbye();
    // Opened while the Goodbye is on its way.
    let crossing = pair.here.open(Mode::Call, "e", 0, b"x".to_vec()).unwrap();
    pair.settle();
    let heard = events(&mut pair.here);
    let missed = Event::Ended { dialog: crossing, by: EndedBy::Refused(Refusal::Leaving) };
    assert_eq!(heard, [Event::Goodbye, missed]);
    assert_eq!(events(&mut pair.there), []);
    assert_eq!(pair.here.open(Mode::Call, "e", 0, vec![]), Err(OpenError::Leaving));
    assert_eq!(pair.there.open(Mode::Call, "e", 0, vec![]), Err(OpenError::Leaving));
    assert!(!pair.there.is_drained());
    assert!(pair.there.finish(open, Outcome::Return(b"end".to_vec())));
    pair.settle();
    assert!(!pair.there.is_drained(), "the other has not said goodbye: it may have something to say");
    assert_eq!(text(&mut pair.here, open), "return:end");
    pair.here.goodbye();
    assert!(!pair.here.is_drained(), "it has not left");
    pair.settle();
    assert!(pair.here.is_drained() && pair.there.is_drained());
}

#[test]
fn a_dialog_opened_before_a_goodbye_of_ones_own_is_begun() {
    let mut pair = Pair::new();
    let dialog = pair.here.open(Mode::Call, "e", 0, vec![]).unwrap();
    pair.here.goodbye();
    pair.settle();
    assert!(pair.there.finish(dialog, Outcome::Return(b"v".to_vec())));
    pair.settle();
    pair.there.goodbye();
    pair.settle();
    assert!(pair.there.is_drained() && !pair.here.is_drained(), "one has to be read");
    assert_eq!(text(&mut pair.here, dialog), "return:v");
    assert!(pair.here.is_drained());
}

#[test]
fn a_silent_peer_is_asked_and_then_given_up() {
    let terms = Terms::default();
    let end = |side| Mux::new(side, terms, terms, Some(KeepAlive::NETWORK), NOW);
    let (mut here, mut there) = (end(Side::Connector), end(Side::Acceptor));
    let dialog = here.open(Mode::Call, "e", 0, vec![]).unwrap();
    let mut wire = Vec::new();
    here.poll_transmit(&mut wire, 1 << 20);
    let s = Duration::from_secs;
    assert_eq!(here.next_deadline(), Some(s(5)));
    here.handle_timeout(s(5));
    wire.clear();
    here.poll_transmit(&mut wire, 1 << 20);
    assert_eq!(Op::decode(&wire[5..]), Ok(Op::Ping { n: 1 }));
    // It answers, and lives.
    there.handle_bytes(&wire, s(6)).unwrap();
    wire.clear();
    there.poll_transmit(&mut wire, 1 << 20);
    here.handle_bytes(&wire, s(7)).unwrap();
    assert_eq!(here.next_deadline(), Some(s(12)));
    // One byte of a frame is a sign of life as well.
    here.handle_bytes(&[1], s(11)).unwrap();
    for deadline in [16, 21, 26] {
        assert_eq!(here.next_deadline(), Some(s(deadline)));
        here.handle_timeout(s(deadline));
    }
    let silence = Loss::Breach(Limit::Silence { after: s(15) }.into());
    assert_eq!(events(&mut here)[0], Event::Ended { dialog, by: EndedBy::Lost(silence) });
    assert_eq!((here.next_deadline(), here.wants_transmit()), (None, false));
}

#[test]
fn an_abandoned_dialog_takes_its_peers_result_and_is_forgotten() {
    let mut pair = Pair::new();
    let dialog = pair.context();
    for _ in 0..3 {
        assert_eq!(pair.there.send(dialog, vec![0; 30_000]), Ok(Sent::Queued));
    }
    pair.settle();
    pair.here.abandon(dialog, cause("dropped"));
    assert_eq!(pair.here.unread(), 0);
    pair.settle();
    // Longer than the window: it is taken although nobody reads.
    assert!(pair.there.finish(dialog, Outcome::Return(vec![0; 1_000_000])));
    pair.settle();
    assert_eq!(
        (ended(&mut pair.here), ended(&mut pair.there)),
        (vec![EndedBy::Returned], vec![EndedBy::Returned])
    );
    assert_eq!((pair.here.dialogs(), pair.there.dialogs(), pair.here.unread()), ((0, 0), (0, 0), 0));
}

#[test]
fn more_dialogs_than_the_peer_takes_are_refused_here() {
    let mut pair = Pair::with(Terms { dialogs: 2, ..Terms::default() });
    let first = pair.context();
    pair.context();
    let full = Err(OpenError::Limit(Limit::Dialogs { most: 2 }));
    assert_eq!(pair.here.open(Mode::Call, "e", 0, vec![]), full);
    assert!(pair.there.finish(first, Outcome::Return(vec![])));
    pair.settle();
    assert_eq!(pair.here.open(Mode::Call, "e", 0, vec![]), full, "its result was not read");
    assert_eq!(text(&mut pair.here, first), "return:");
    assert!(pair.here.open(Mode::Call, "e", 0, vec![]).is_ok());
    pair.settle();
}

#[test]
fn a_stream_that_ends_inside_a_frame_says_so() {
    let mut pair = Pair::new();
    pair.here.handle_bytes(&[9, 0, 0, 0, 4, 2], NOW).unwrap();
    pair.here.end_of_stream();
    assert_eq!(pair.here.lost(), Some(&Loss::Breach(Breach::Truncated { received: 6 })));
}
