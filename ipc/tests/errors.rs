//! Error trees: they fit any limit, every cut is counted, and a hostile one is refused without harm.
//!
//! ```text
//!   tree ─ bounded ─► frame ─► the same tree, or one that says what is missing
//!   forged nodes ────► frame ─► Undecodable
//! ```

mod support;

use pleach_ipc::proto::error_tree::{MAX_DEPTH, MAX_NODES, MIN_BUDGET};
use pleach_ipc::proto::{
    Decoder, EncodeError, FrameLen, Ledger, Limits, Message, Origin, ProtocolError, WireError, WireErrorKind,
    encoder,
};
use proptest::prelude::*;
use support::{chain, error, frame, tree};

fn failed(error: WireError) -> Message {
    Message::Failed { error, ledger: Ledger::default() }
}

fn through_the_wire(error: WireError) -> WireError {
    let mut decoder = Decoder::new(Limits::default());
    decoder.handle_bytes(&frame(&failed(error)));
    match decoder.poll_message() {
        Some(Ok(Message::Failed { error, .. })) => error,
        other => panic!("no error came: {other:?}"),
    }
}

/// Kept and counted as cut, together.
fn accounted(e: &WireError) -> usize {
    let mut n = 0;
    e.visit(|e| n += 1 + e.cut as usize);
    n
}

fn depth(e: &WireError) -> usize {
    let (mut deepest, mut stack) = (0, vec![(e, 0)]);
    while let Some((e, depth)) = stack.pop() {
        deepest = deepest.max(depth);
        stack.extend(e.members.iter().map(|m| (m, depth + 1)));
    }
    deepest
}

proptest! {
    #[test]
    fn a_tree_within_the_budget_is_not_touched(e in tree()) {
        prop_assert_eq!(e.clone().bounded(Limits::default().error_budget()), e);
    }

    #[test]
    fn a_bounded_tree_fits_and_accounts_for_every_error(e in tree(), copies in 1..12_usize) {
        let mut group = error("many");
        group.members = vec![e; copies];
        let all = accounted(&group);
        let bounded = group.bounded(MIN_BUDGET);
        prop_assert_eq!(accounted(&bounded), all);
        let limits = Limits { frame: FrameLen::kib(64), ..Limits::default() };
        let mut bytes = Vec::new();
        encoder::frame(&failed(bounded.clone()), &limits, &mut bytes).unwrap();
        prop_assert!(bytes.len() <= MIN_BUDGET + 64, "{} bytes", bytes.len());
        prop_assert_eq!(through_the_wire(bounded.clone()), bounded);
    }
}

#[test]
fn texts_are_shortened_before_errors_are_left_out() {
    let mut e = error(&"m".repeat(500_000));
    e.backtrace = Some("b".repeat(500_000));
    e.members = vec![error("small"), error(&"n".repeat(100_000))];
    let bounded = e.bounded(20_000);
    assert_eq!((bounded.count(), bounded.cut), (3, 0));
    assert_eq!(bounded.members[0], error("small"));
    assert!(
        bounded.message.ends_with(" bytes cut]") && bounded.message.len() > 4000,
        "{}",
        bounded.message.len()
    );
}

#[test]
fn the_last_errors_go_first_and_are_counted_where_they_are_missing() {
    let mut e = error("root");
    for i in 0..2000 {
        let mut group = error(&format!("group {i}"));
        group.members = vec![error("a"), error("b")];
        e.members.push(group);
    }
    let bounded = e.bounded(MIN_BUDGET);
    assert_eq!(accounted(&bounded), 6001);
    assert_eq!(bounded.members[0].cut, 0);
    assert_eq!(bounded.members[0].members.len(), 2);
    assert!(bounded.members.len() > 20 && bounded.cut > 5000, "{} kept", bounded.count());
}

#[test]
fn ten_thousand_leaves_arrive() {
    let mut e = error("root");
    e.members = (0..10_000).map(|i| error(&format!("leaf {i}"))).collect();
    let e = e.bounded(Limits::default().error_budget());
    assert!(through_the_wire(e.clone()) == e);
}

#[test]
fn a_tree_deeper_than_the_limit_keeps_every_error() {
    let deep = chain(MAX_DEPTH + 500);
    let got = through_the_wire(deep);
    assert_eq!((got.count(), depth(&got)), (MAX_DEPTH + 500, MAX_DEPTH));
    let mut leaves = 0;
    got.visit(|e| leaves += usize::from(e.message == "the innermost"));
    assert_eq!(leaves, 1);
    let exact = chain(MAX_DEPTH + 1);
    assert_eq!(through_the_wire(exact.clone()), exact);
}

#[test]
fn more_errors_than_a_tree_may_have_are_bounded_or_refused() {
    let mut e = error("root");
    e.members = vec![error("leaf"); MAX_NODES];
    let refused = encoder::frame(&failed(e.clone()), &Limits::default(), &mut Vec::new());
    assert!(matches!(refused, Err(EncodeError::Unencodable { message: "Failed", .. })), "{refused:?}");
    let bounded = e.bounded(Limits::default().error_budget());
    assert_eq!((bounded.count(), accounted(&bounded)), (MAX_NODES, MAX_NODES + 1));
    assert_eq!(through_the_wire(bounded).count(), MAX_NODES);
}

/// A node as it stands on the wire, with a parent of our choice.
type Forged = (u32, u32, WireErrorKind, &'static str, Origin, Option<String>, Vec<String>);

fn node(parent: u32) -> Forged {
    (parent, 0, WireErrorKind::Group, "", Origin::default(), None, vec![])
}

fn forged(nodes: &[Forged]) -> Option<Result<Message, ProtocolError>> {
    let failed = 9;
    let payload = postcard::to_allocvec(&(nodes.to_vec(), Ledger::default())).unwrap();
    let mut bytes = (payload.len() as u32 + 2).to_le_bytes().to_vec();
    bytes.extend([3, failed]);
    bytes.extend(payload);
    let mut decoder = Decoder::new(Limits::default());
    decoder.handle_bytes(&bytes);
    decoder.poll_message()
}

fn refused(nodes: &[Forged]) {
    let got = forged(nodes);
    assert!(matches!(got, Some(Err(ProtocolError::Undecodable { .. }))), "accepted {} nodes", nodes.len());
}

#[test]
fn a_hostile_tree_is_refused() {
    let chain = |n: u32| (0..n).map(|i| node(i.saturating_sub(1))).collect::<Vec<_>>();
    assert!(matches!(forged(&chain(MAX_DEPTH as u32 + 1)), Some(Ok(_))), "the forgery itself is well made");
    refused(&chain(MAX_DEPTH as u32 + 2));
    refused(&chain(60_000));
    // No error at all; a root with a parent; a parent that comes later; one that is itself; one that is nowhere.
    refused(&[]);
    refused(&[node(1), node(0)]);
    refused(&[node(0), node(2), node(0)]);
    refused(&[node(0), node(1)]);
    refused(&[node(0), node(u32::MAX)]);
    refused(&vec![node(0); MAX_NODES + 1]);
    let mut chatty = node(0);
    chatty.6 = vec![String::new(); 65];
    refused(&[chatty]);
}

#[test]
fn a_number_of_nodes_that_is_a_lie_is_refused() {
    // Failed, and a tree of 2^34 errors that never come.
    let mut decoder = Decoder::new(Limits::default());
    decoder.handle_bytes(&[7, 0, 0, 0, 3, 9, 0x80, 0x80, 0x80, 0x80, 0x40]);
    assert!(matches!(decoder.poll_message(), Some(Err(ProtocolError::Undecodable { .. }))));
}
