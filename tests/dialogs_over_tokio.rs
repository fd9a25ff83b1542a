//! Promise: the dialogs of `pleach_ipc::proto` need no runtime of ours: here two ends talk over tokio's Unix sockets.
//!
//! ```text
//!   callee: Opened ─► every item back ─► Return ─► mux ══ socket ══ mux ◄─ open ─► items ─► result ─► Goodbye
//! ```
//!
//! All that a runtime has to bring is `drive`: bytes in, a batch out, and a look at what happened in between.

use pleach_ipc::proto::dialogs::{Class, Event, How, Mode, Mux, Outcome, Received, Side, Terms};
use std::io::{self, ErrorKind};
use std::time::Duration;
use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::time::{Instant, timeout};

/// Moves bytes until `step`, called whenever something may have changed, has taken the mux to its end.
async fn drive(side: Side, socket: UnixStream, mut step: impl FnMut(&mut Mux)) -> io::Result<()> {
    let mut mux = Mux::new(side, Terms::default(), Terms::default(), None, Duration::ZERO);
    let (begin, mut batch, mut buffer) = (Instant::now(), Vec::new(), vec![0; 1 << 16]);
    loop {
        step(&mut mux);
        if batch.is_empty() && !mux.poll_transmit(&mut batch, 1 << 16) && mux.is_drained() {
            return Ok(());
        }
        let writes =
            if batch.is_empty() { Interest::READABLE } else { Interest::READABLE | Interest::WRITABLE };
        let wait = mux.next_deadline().map_or(Duration::MAX, |at| at.saturating_sub(begin.elapsed()));
        let Ok(ready) = timeout(wait, socket.ready(writes)).await else {
            mux.handle_timeout(begin.elapsed());
            continue;
        };
        let ready = ready?;
        if ready.is_writable() {
            batch.drain(..or_none(socket.try_write(&batch))?.unwrap_or(0));
        }
        let read = if ready.is_readable() { or_none(socket.try_read(&mut buffer))? } else { None };
        if read == Some(0) {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        mux.handle_bytes(&buffer[..read.unwrap_or(0)], begin.elapsed()).map_err(io::Error::other)?;
    }
}

fn or_none(done: io::Result<usize>) -> io::Result<Option<usize>> {
    match done {
        Err(e) if e.kind() == ErrorKind::WouldBlock => Ok(None),
        done => done.map(Some),
    }
}

/// The callee: sends every item back, and returns how many there were.
fn echo() -> impl FnMut(&mut Mux) {
    let mut count = 0;
    move |mux| {
        while let Some(event) = mux.poll_event() {
            let Event::Readable(dialog) = event else {
                if event == Event::Goodbye {
                    mux.goodbye()
                }
                continue;
            };
            while let Some(received) = mux.receive(dialog) {
                if let Received::Piece { class: Class::Item, bytes, .. } = received {
                    count += 1;
                    let _ = mux.send(dialog, bytes).expect("the opener has one item under way");
                } else if let Received::Stopped(_) = received {
                    mux.finish(dialog, Outcome::Return(vec![count]));
                }
            }
        }
    }
}

#[test]
fn a_dialog_over_a_foreign_runtime_comes_to_its_result() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (mut open, mut result) = (None, None);
    // Sends 0, and after each item that comes back the next, up to 199; then it stops, and waits for the result.
    let ask = |mux: &mut Mux| {
        let mut next = open.is_none().then_some(0);
        let dialog = *open.get_or_insert_with(|| mux.open(Mode::Call, "echo", 0, Vec::new()).unwrap());
        while let Some(Received::Piece { class, bytes, .. }) = mux.receive(dialog) {
            next = (class == Class::Item).then(|| bytes[0] + 1);
            result = (class == Class::Return).then(|| bytes[0]);
        }
        match next {
            Some(200) => drop(mux.stop(dialog, How::Done)),
            Some(n) => drop(mux.send(dialog, vec![n])),
            None if result.is_some() => mux.goodbye(),
            None => {}
        }
    };
    runtime.block_on(async {
        let (here, there) = UnixStream::pair().unwrap();
        let ends = (drive(Side::Connector, here, ask), drive(Side::Acceptor, there, echo()));
        futures_util::future::try_join(ends.0, ends.1).await.unwrap();
    });
    assert_eq!(result, Some(200));
}
