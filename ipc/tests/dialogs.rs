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

    /// A dialog that is up at both ends.
    fn context(&mut self) -> DialogId {
        let dialog = self.here.open(Mode::Context, "e", 7, b"args".to_vec()).unwrap();
        self.settle();
        assert!(self.there.started(dialog, b"up".to_vec()));
        self.settle();
        assert_eq!(text(&mut self.there, dialog), "args:args");
        assert_eq!(text(&mut self.here, dialog), "started:up");
        (events(&mut self.here), events(&mut self.there));
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
