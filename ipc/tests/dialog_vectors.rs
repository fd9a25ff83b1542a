//! Every operation of dialogs as bytes, and every way in which bytes are none: `vectors/dialogs.tsv`.
//!
//! A line is `name`, tab, the whole frame in hex, tab, what it means in Rust's debug form, or `!` and what it breaks.
//! With `PLEACH_WRITE_VECTORS=1` the test writes the file anew; look at the difference before you keep it.

use pleach_ipc::proto::dialogs::{
    Breach, CHUNK, Class, Credit, DialogId, How, KIND, Mode, Mux, Op, Refusal, Side, Terms,
};
use pleach_ipc::proto::{Why, WireCause};
use std::fmt::Write;
use std::time::Duration;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/vectors/dialogs.tsv");

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

fn operations() -> Vec<(&'static str, Op<'static>)> {
    let c = |n| DialogId { side: Side::Connector, n };
    let a = |n| DialogId { side: Side::Acceptor, n };
    let cause = |why| WireCause { by: "root/a".into(), why };
    let piece = |class, last, bytes| Op::Piece { dialog: c(1), class, last, bytes };
    let mut all = vec![
        (
            "open a call",
            Op::Open { dialog: c(1), mode: Mode::Call, schema: 0x0102_0304_0506_0708, name: "primes" },
        ),
        ("open a context", Op::Open { dialog: a(64), mode: Mode::Context, schema: 0, name: "" }),
        ("argument", piece(Class::Args, true, b"\x01\x02")),
        ("started", piece(Class::Started, true, b"up")),
        ("begin of an item", piece(Class::Item, false, b"be")),
        ("end of an item", piece(Class::Item, true, b"gin")),
        ("empty item", piece(Class::Item, true, b"")),
        ("result", piece(Class::Return, true, b"42")),
        ("error", piece(Class::Failed, true, b"no")),
        ("credit", Op::Credit { dialog: c(1), to: Credit { items: 127, bytes: 128 } }),
        ("all credit", Op::Credit { dialog: a(1), to: Credit { items: u64::MAX, bytes: u64::MAX } }),
        ("skipped", Op::Skipped { dialog: c(1), n: 300 }),
        ("enough", Op::Enough { dialog: c(u64::MAX >> 1) }),
        ("answer", Op::CancelAck { dialog: c(1), request: 9 }),
        (
            "cancelled by the opener",
            Op::Cancelled { dialog: c(1), request: Some(9), cause: cause(Why::Requested) },
        ),
        ("cancelled otherwise", Op::Cancelled { dialog: c(1), request: None, cause: cause(Why::Deadline) }),
        ("ping", Op::Ping { n: 1 }),
        ("pong", Op::Pong { n: 1 }),
        ("goodbye", Op::Goodbye { last: 0 }),
    ];
    let sibling = Why::SiblingFailed { origin: "root/b".into(), summary: "no".into() };
    for why in [
        Why::Requested,
        Why::Deadline,
        sibling,
        Why::ParentLost,
        Why::Interrupt,
        Why::Shutdown,
        Why::Other("x".into()),
    ] {
        all.push(("cancel", Op::Cancel { dialog: c(1), request: 9, cause: cause(why) }));
    }
    all.extend([How::Done, How::Error, How::Cancelled].map(|how| ("stop", Op::Stop { dialog: c(1), how })));
    let refusals =
        [Refusal::NoEndpoint, Refusal::Schema, Refusal::Forbidden, Refusal::Busy, Refusal::Leaving];
    all.extend(refusals.map(|why| ("refused", Op::Refused { dialog: c(1), why })));
    all
}

/// What is no operation, by the body of the frame.
fn breaches() -> Vec<(&'static str, Vec<u8>)> {
    let mut long_name = vec![1, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    long_name.extend([b'x'; 256]);
    let mut long_piece = vec![2, 2, 2];
    long_piece.extend(vec![0; CHUNK + 1]);
    // A text of 17 000 bytes: more than a cause may have, all told.
    let mut long_cause = vec![7, 2, 1, 0xe8, 0x84, 1];
    long_cause.extend([b'x'; 17_000]);
    long_cause.push(0);
    let mut nine = vec![6];
    nine.extend([0xff; 9]);
    vec![
        ("no such operation", vec![0]),
        ("no such operation", vec![11, 2]),
        ("no such operation", vec![35, 0]),
        ("no dialog 0", vec![6, 0]),
        ("no dialog 0 of the acceptor", vec![6, 1]),
        ("a number cut off", vec![6, 0x80]),
        ("a number in a longer form", vec![6, 0x82, 0]),
        ("a number above 64 bits", [nine, vec![2]].concat()),
        ("a field too many", vec![6, 2, 0]),
        ("a field too few", vec![3, 2, 1]),
        ("no such mode", vec![1, 2, 2, 0, 0, 0, 0, 0, 0, 0, 0]),
        ("a name that is no text", vec![1, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff]),
        ("a name too long", long_name),
        ("no such class", vec![2, 2, 0x85]),
        ("a piece of nothing", vec![2, 2, 2]),
        ("a piece too long", long_piece),
        ("no such end of a stream", vec![4, 2, 3]),
        ("nothing skipped", vec![5, 2, 0]),
        ("a cause too long", long_cause),
        ("no such cause", vec![7, 2, 1, 0, 7]),
        ("neither with nor without a request", vec![9, 2, 2, 0, 0]),
        ("no such refusal", vec![10, 2, 5]),
    ]
}

fn render() -> String {
    let mut text = String::new();
    for (name, op) in operations() {
        let mut frame = Vec::new();
        op.encode(&mut frame);
        writeln!(text, "{name}\t{}\t{op:?}", hex(&frame)).unwrap();
    }
    for (name, body) in breaches() {
        let mut frame = (body.len() as u32 + 1).to_le_bytes().to_vec();
        frame.push(KIND);
        frame.extend(&body);
        // A long one is told by its begin; the test makes the rest.
        if frame.len() < 400 {
            writeln!(text, "{name}\t{}\t!{:?}", hex(&frame), Op::decode(&body).unwrap_err()).unwrap();
        } else {
            assert!(matches!(Op::decode(&body), Err(Breach::Malformed { .. })), "{name}");
        }
    }
    text
}

#[test]
fn every_vector_is_what_it_says() {
    let now = render();
    if std::env::var_os("PLEACH_WRITE_VECTORS").is_some() {
        std::fs::write(FILE, &now).unwrap();
    }
    let kept = std::fs::read_to_string(FILE).unwrap();
    for (line, (kept, now)) in kept.lines().zip(now.lines()).enumerate() {
        assert_eq!(kept, now, "line {}", line + 1);
    }
    assert_eq!(kept.lines().count(), now.lines().count());
}

#[test]
fn every_vector_decodes_to_its_meaning() {
    for line in std::fs::read_to_string(FILE).unwrap().lines() {
        let [name, bytes, meaning] = line.split('\t').collect::<Vec<_>>()[..] else { panic!("{line}") };
        let frame = unhex(bytes);
        assert_eq!(frame.len(), 4 + u32::from_le_bytes(*frame.first_chunk().unwrap()) as usize, "{name}");
        let found = match Op::decode(&frame[5..]) {
            Ok(op) => {
                let mut again = Vec::new();
                op.encode(&mut again);
                assert_eq!(again, frame, "{name}: one meaning, one form");
                format!("{op:?}")
            }
            Err(breach) => format!("!{breach:?}"),
        };
        assert_eq!(found, meaning, "{name}");
    }
}

/// What is wrong with a frame before an operation is looked for.
#[test]
fn a_frame_that_is_none_is_refused_at_its_first_wrong_byte() {
    let first_wrong = |bytes: &[u8]| {
        let mut mux = Mux::new(Side::Connector, Terms::default(), Terms::default(), None, Duration::ZERO);
        bytes.iter().position(|byte| mux.handle_bytes(&[*byte], Duration::ZERO).is_err())
    };
    assert_eq!(first_wrong(&[0, 0, 0, 0, 4]), Some(3), "no bytes");
    assert_eq!(first_wrong(&[0x41, 0, 1, 0, 4]), Some(3), "65 601 bytes");
    assert_eq!(first_wrong(&[0x40, 0, 1, 0, 4]), None, "65 600 bytes");
    assert_eq!(first_wrong(&[9, 0, 0, 0, 3, 0]), Some(4), "another kind");
    assert_eq!(first_wrong(&[1, 0, 0, 0, 4]), Some(4), "a kind and nothing else");
}
