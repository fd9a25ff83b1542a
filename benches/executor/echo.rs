//! Echo: what does a message cost that is read and written back?
//!
//! ```text
//!   serve:  load.rs (its own process) ◄─ sockets ─► a child for each connection: read, write back, until the end
//!   inside: client and server are two children of one group
//! ```
//!
//! Rules: real time as the clients see it, or the CPU time of the server's process until the first connection ends. One
//! connection: both processes are tied to one core, because waking a sleeping core costs ten times what is asked here; one
//! of them always runs, so the CPU time of both is the time of the round trip.

use crate::contender::Streams;
use crate::load::{Load, MESSAGE, Shape, raise_descriptor_limit};
use crate::support::clock::{Stopwatch, per};
use crate::threads::one_core;
use crate::wire::Wire;
use crate::work::{Boxed, Out};
use std::cell::Cell;
use std::io::Write as _;
use std::process::ChildStdin;
use std::rc::Rc;
use std::time::Duration;

/// Bytes of a connection's buffer.
pub(crate) const BUFFER: usize = 2048;

/// Which figure is asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Figure {
    /// Real time, as the clients see it.
    Wall,
    /// CPU time of the server.
    Server,
    /// CPU time of server and clients.
    Both,
}

/// What the connections of a server count together.
#[derive(Debug, Default)]
struct Counts {
    bytes: Cell<usize>,
    /// From "go" until the first connection with traffic ends.
    cpu: Cell<Option<Duration>>,
    start: Cell<Option<Stopwatch>>,
}

/// The shape in a smoke run.
fn sized(full: bool, shape: Shape) -> Shape {
    if full { shape } else { Shape { idle: shape.idle.min(50), rounds: 10, ..shape } }
}

/// Starts the clients and takes their connections: `server` gets these, and what says go.
pub(crate) fn with_clients<W: Wire>(
    full: bool,
    shape: Shape,
    figure: Figure,
    server: impl FnOnce(Vec<W>, ChildStdin) -> (usize, Duration),
) -> f64 {
    let shape = sized(full, shape);
    raise_descriptor_limit();
    if shape.active == 1 {
        one_core();
    }
    let (listener, address) = W::bind();
    let mut load = Load::start::<W>(&address, shape);
    let sockets: Vec<W> = (0..shape.idle + shape.active).map(|_| W::accept(&listener)).collect();
    // A Unix listener's path goes as soon as all are connected.
    let _ = std::fs::remove_file(&address);
    let go = load.go();
    let (bytes, cpu) = server(sockets, go);
    let spent = load.finish();
    assert_eq!(bytes as u64, shape.messages() * MESSAGE as u64, "every byte came by");
    match figure {
        Figure::Wall => spent.wall / shape.messages() as f64,
        Figure::Server => per(cpu, shape.messages()),
        Figure::Both => spent.cpu / shape.messages() as f64 + per(cpu, shape.messages()),
    }
}

async fn connection<C: Streams<W>, W>(socket: W, counts: Rc<Counts>) -> C::Out {
    let mut stream = C::open(socket);
    let mut buffer = vec![0; BUFFER];
    loop {
        let n;
        (n, buffer) = C::read(&mut stream, buffer).await;
        if n == 0 {
            break;
        }
        counts.bytes.set(counts.bytes.get() + n);
        buffer = C::write_all(&mut stream, buffer, n).await;
    }
    if counts.cpu.get().is_none() {
        counts.cpu.set(counts.start.get().map(Stopwatch::elapsed));
    }
    C::Out::fine()
}

/// The last child: all connections are open and waited for.
async fn say_go<O: Out>(mut go: ChildStdin, counts: Rc<Counts>) -> O {
    counts.start.set(Some(Stopwatch::process()));
    go.write_all(b"go\n").expect("the clients wait");
    O::fine()
}

/// Nanoseconds a message.
pub(crate) fn serve<C: Streams<W>, W: Wire>(full: bool, shape: Shape, figure: Figure) -> f64 {
    with_clients::<W>(full, shape, figure, |sockets, go| {
        let counts = Rc::new(Counts::default());
        let mut children: Vec<Boxed<C::Out>> = Vec::new();
        for socket in sockets {
            children.push(Box::pin(connection::<C, W>(socket, Rc::clone(&counts))));
        }
        children.push(Box::pin(say_go(go, Rc::clone(&counts))));
        C::run_waiting(C::group(children.into_iter()));
        (counts.bytes.get(), counts.cpu.get().expect("a connection ended"))
    })
}

/// Nanoseconds a round trip between two children of one group.
pub(crate) fn inside<C: Streams<W>, W: Wire>(full: bool) -> f64 {
    let trips = if full { 50_000 } else { 100 };
    let (here, there) = W::pair();
    let counts = Rc::new(Counts::default());
    let figure = Rc::new(Cell::new(0.0));
    let server: Boxed<C::Out> = Box::pin(connection::<C, W>(there, Rc::clone(&counts)));
    let client: Boxed<C::Out> = Box::pin({
        let figure = Rc::clone(&figure);
        async move {
            let mut stream = C::open(here);
            let mut buffer = vec![7; BUFFER];
            let start = Stopwatch::cpu();
            for _ in 0..trips {
                buffer.resize(BUFFER, 7);
                buffer = C::write_all(&mut stream, buffer, MESSAGE).await;
                let n;
                (n, buffer) = C::read(&mut stream, buffer).await;
                assert_eq!(n, MESSAGE);
            }
            figure.set(start.per(trips));
            C::Out::fine()
        }
    });
    C::run_waiting(C::group([server, client].into_iter()));
    assert_eq!(counts.bytes.get() as u64, trips * MESSAGE as u64);
    figure.get()
}
