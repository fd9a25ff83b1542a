//! Every message survives the wire, in whatever pieces it comes; and nothing that comes can hurt.
//!
//! ```text
//!   messages ─ encoder ─► bytes ─ cut anywhere ─► decoder ─► the same messages
//!                         arbitrary bytes ───────► decoder ─► an error at most
//! ```

mod support;

use pleach_ipc::proto::{Decoder, FrameLen, Kind, Ledger, Limits, Message, ProtocolError, Why, WireCause};
use proptest::prelude::*;
use support::{frame, message};

/// All messages that `bytes` hold, fed in pieces of these sizes, over and over; half of them by way of `space`.
fn decoded(bytes: &[u8], pieces: &[usize], decoder: &mut Decoder) -> Result<Vec<Message>, ProtocolError> {
    let (mut messages, mut at) = (Vec::new(), 0);
    let mut sizes = pieces.iter().cycle();
    let mut by_space = false;
    while at < bytes.len() {
        let n = (*sizes.next().expect("endless")).min(bytes.len() - at);
        let n = if by_space {
            let space = decoder.space();
            let n = n.min(space.len());
            space[..n].copy_from_slice(&bytes[at..at + n]);
            decoder.filled(n);
            n
        } else {
            decoder.handle_bytes(&bytes[at..at + n]);
            n
        };
        by_space = !by_space;
        at += n;
        while let Some(next) = decoder.poll_message() {
            messages.push(next?);
        }
    }
    Ok(messages)
}

proptest! {
    #[test]
    fn any_cut_of_a_stream_gives_the_same_messages(
        messages in proptest::collection::vec(message(), 0..8),
        pieces in proptest::collection::vec(1..200_usize, 1..8),
    ) {
        let bytes: Vec<u8> = messages.iter().flat_map(frame).collect();
        let mut decoder = Decoder::new(Limits::default());
        prop_assert_eq!(decoded(&bytes, &pieces, &mut decoder), Ok(messages));
        prop_assert_eq!(decoder.end_of_stream(), Ok(()));
    }

    #[test]
    fn an_end_inside_a_frame_is_told_from_one_between_frames(m in message(), cut in any::<prop::sample::Index>()) {
        let bytes = frame(&m);
        let cut = cut.index(bytes.len());
        let mut decoder = Decoder::new(Limits::default());
        decoder.handle_bytes(&bytes[..cut]);
        prop_assert_eq!(decoder.poll_message(), None);
        let end = decoder.end_of_stream();
        prop_assert_eq!(end, if cut == 0 { Ok(()) } else { Err(ProtocolError::Truncated { received: cut }) });
    }

    #[test]
    fn arbitrary_bytes_do_no_harm(bytes in any::<Vec<u8>>(), pieces in proptest::collection::vec(1..50_usize, 1..4)) {
        let mut decoder = Decoder::new(Limits::default());
        if let Err(e) = decoded(&bytes, &pieces, &mut decoder) {
            prop_assert_eq!(decoder.poll_message(), Some(Err(e)));
        }
    }

    #[test]
    fn arbitrary_payloads_in_whole_frames_do_no_harm(
        kind in 1..=3_u8,
        variant in 0..19_u8,
        rest in any::<Vec<u8>>(),
    ) {
        let mut bytes = (rest.len() as u32 + 2).to_le_bytes().to_vec();
        bytes.extend([kind, variant]);
        bytes.extend(&rest);
        let mut decoder = Decoder::new(Limits::default());
        decoder.handle_bytes(&bytes);
        // What is accepted says the same again.
        if let Some(Ok(m)) = decoder.poll_message() {
            prop_assert_eq!(Kind::from_byte(kind), Some(m.kind()));
            let again = frame(&m);
            let mut decoder = Decoder::new(Limits::default());
            decoder.handle_bytes(&again);
            prop_assert_eq!(decoder.poll_message(), Some(Ok(m)));
        }
    }

    #[test]
    fn a_flipped_byte_is_a_message_or_an_error(m in message(), at in any::<prop::sample::Index>(), with in 1..=255_u8) {
        let mut bytes = frame(&m);
        let at = at.index(bytes.len());
        bytes[at] ^= with;
        let mut decoder = Decoder::new(Limits::default());
        decoder.handle_bytes(&bytes);
        let first = decoder.poll_message();
        prop_assert!(first != Some(Ok(m)) || at < 4, "a changed payload reads as the old message");
    }
}

#[test]
fn a_cancel_fits_its_frame_however_long_its_texts_are() {
    let long = "é".repeat(200_000);
    let why = Why::SiblingFailed { origin: long.clone(), summary: long.clone() };
    let cause = WireCause { by: long, why };
    let cancel = pleach_ipc::proto::Cancel { request: 1, cause, deadline_ns: Some(5), left_ns: 6 };
    let mut decoder = Decoder::booting();
    decoder.handle_bytes(&frame(&Message::Cancel(cancel)));
    let Some(Ok(Message::Cancel(got))) = decoder.poll_message() else { panic!("no cancel") };
    assert!(got.cause.by.ends_with("[395904 bytes cut]"), "{}", got.cause.by);
}

#[test]
fn a_large_frame_arrives_in_small_pieces() {
    let m =
        Message::Return { value: (0..3_000_000_u32).map(|i| i as u8).collect(), ledger: Ledger::default() };
    let mut decoder = Decoder::new(Limits { frame: FrameLen::kib(4000), ..Limits::default() });
    assert!(decoded(&frame(&m), &[7, 70_000, 1], &mut decoder) == Ok(vec![m]));
}

#[test]
fn the_wire_format_is_pinned() {
    // Who changes one of these changes `PROTOCOL` as well.
    assert_eq!(frame(&Message::Ready), [2, 0, 0, 0, 1, 2]);
    assert_eq!(frame(&Message::Goodbye), [2, 0, 0, 0, 2, 10]);
    let ack = Message::CancelAck { request: 300, ledger: Ledger { started: 1, ..Ledger::default() } };
    assert_eq!(frame(&ack), [9, 0, 0, 0, 2, 7, 0xac, 2, 1, 0, 0, 0, 0]);
    let call = Message::Call { dialog: 300, endpoint: "a".into(), args: vec![7] };
    assert_eq!(frame(&call), [8, 0, 0, 0, 3, 12, 0xac, 2, 1, b'a', 1, 7]);
    assert_eq!(frame(&Message::CallCancelled { dialog: 1 }), [3, 0, 0, 0, 2, 16, 1]);
    let hello = frame(&Message::Hello(support::hello()));
    assert_eq!(hello[4..7], [1, 0, 3], "kind, variant, and the version as the first field");
}
