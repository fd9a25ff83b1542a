//! Descriptors, datagrams, descriptors in messages, listeners and connecting.
//!
//! ```text
//!   a message, a connection, a descriptor ─► the trial got it, or the next one does
//! ```

use crate::S;
use crate::sockets::{Name, any};
use crate::trial::{Trial, cases};
use futures_util::StreamExt;
use pleach_executor::fd::AsyncFd;
use pleach_executor::net::{
    TcpListener, TcpStream, UdpSocket, UnixDatagram, UnixListener, UnixStream, connect_first,
};
use pleach_executor::{In, move_on_after, sleep};
use std::cell::Cell;
use std::future::Future;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream as StdStream;

cases! {
    a_wait_until_readable => ["fd.rs AsyncFd::readable"],
    a_wait_until_writable => ["fd.rs AsyncFd::writable"],
    a_read_with_a_call => ["fd.rs AsyncFd::read_with"],
    a_write_with_a_call => ["fd.rs AsyncFd::write_with"],
    a_message_to_an_address => ["net/udp.rs UdpSocket::send_to"],
    a_message_from_an_address => ["net/udp.rs UdpSocket::recv_from"],
    a_message_to_the_peer => ["net/udp.rs UdpSocket::send"],
    a_message_of_the_peer => ["net/udp.rs UdpSocket::recv"],
    a_local_message_to_the_peer => ["net/datagram.rs UnixDatagram::send"],
    a_local_message_of_the_peer => ["net/datagram.rs UnixDatagram::recv"],
    a_local_message_from_a_path => ["net/datagram.rs UnixDatagram::recv_from"],
    descriptors_in_a_message => ["net/datagram.rs UnixDatagram::send_fds"],
    descriptors_out_of_a_message => ["net/datagram.rs UnixDatagram::receive_fds"],
    descriptors_into_a_stream => ["net/unix.rs UnixStream::send_fds"],
    descriptors_out_of_a_stream => ["net/unix.rs UnixStream::receive_fds"],
    an_accept => ["net/listener.rs Listener::accept"],
    an_accept_of_a_stream => [],
    an_accept_loop => ["net/listener.rs Listener::serve"],
    a_connection => ["net/tcp.rs TcpStream::connect"],
    a_connection_to_any => ["net/connect.rs TcpStream::connect_any"],
    a_connection_to_a_host => ["net/connect.rs TcpStream::connect_host"],
    the_first_connection => ["net/connect.rs connect_first"],
}

type Io = In<io::Error>;

fn std_pair() -> (AsyncFd<StdStream>, StdStream) {
    let (a, b) = StdStream::pair().expect("a pair of sockets");
    b.set_nonblocking(true).expect("not blocking");
    (AsyncFd::nonblocking(a).expect("it is registered"), b)
}

/// Does something in two seconds.
async fn later(what: impl FnOnce()) {
    sleep(2 * S).await.expect("nobody cancels the world");
    what();
}

/// The end of what nobody sends any more, an eighth of a second later.
async fn left<T>(op: impl Future<Output = io::Result<T>>) -> Option<T> {
    Io::move_on_after(S / 8, async |_| op.await).await.expect("it still works")
}

async fn a_wait_until_readable(trial: &Trial) {
    let (a, mut b) = std_pair();
    trial.beside(a.readable(), later(|| b.write_all(b"x").expect("there is room"))).await;
    assert!(a.readable().await.is_ok(), "it still is");
    assert_eq!(a.read_with(|mut s| s.read(&mut [0; 8])).await.expect("a byte"), 1);
}

fn fill(a: &AsyncFd<StdStream>) {
    use pleach_executor::fd::Direction;
    while a.try_io(Direction::Write, |mut s| s.write(&[0; 4096])).expect("it takes bytes").is_some() {}
}

fn empty(mut b: &StdStream) -> usize {
    let mut room = vec![0; 1 << 16];
    std::iter::from_fn(|| b.read(&mut room).ok().filter(|n| *n > 0)).sum()
}

async fn a_wait_until_writable(trial: &Trial) {
    let (a, b) = std_pair();
    fill(&a);
    trial.beside(a.writable(), later(|| assert!(empty(&b) > 0))).await;
    assert!(a.writable().await.is_ok(), "it still is");
}

async fn a_read_with_a_call(trial: &Trial) {
    let (a, mut b) = std_pair();
    let read = trial
        .beside(
            a.read_with(|mut s| s.read(&mut [0; 2])),
            later(|| b.write_all(b"abc").expect("there is room")),
        )
        .await;
    let first = if let Some(Ok(n)) = read { n } else { 0 };
    assert_eq!(a.read_with(|mut s| s.read(&mut [0; 8])).await.expect("bytes"), 3 - first);
}

async fn a_write_with_a_call(trial: &Trial) {
    let (a, b) = std_pair();
    fill(&a);
    let written = trial.beside(a.write_with(|mut s| s.write(b"abc")), later(|| assert!(empty(&b) > 0))).await;
    assert_eq!(empty(&b), if let Some(Ok(n)) = written { n } else { 0 });
}

fn udp_pair() -> (UdpSocket, UdpSocket) {
    let bind = || UdpSocket::bind(any()).expect("a port");
    let (a, b) = (bind(), bind());
    a.connect(b.local_addr().expect("an address")).expect("connected");
    (a, b)
}

async fn a_message_to_an_address(trial: &Trial) {
    trial.never_waits();
    let (a, b) = (UdpSocket::bind(any()).expect("a port"), UdpSocket::bind(any()).expect("a port"));
    let to = b.local_addr().expect("an address");
    let sent = trial.of(a.send_to(b"abc", to)).await;
    assert_eq!(left(b.recv(&mut [0; 8])).await, sent.and_then(Result::ok));
}

async fn a_message_to_the_peer(trial: &Trial) {
    trial.never_waits();
    let (a, b) = udp_pair();
    let sent = trial.of(a.send(b"abc")).await;
    assert_eq!(left(b.recv(&mut [0; 8])).await, sent.and_then(Result::ok));
}

/// Somebody sends a message in two seconds; it is received once.
async fn receiving<T>(
    trial: &Trial,
    receive: impl Future<Output = io::Result<T>>,
    send: impl Future<Output = io::Result<usize>>,
    again: impl Future<Output = io::Result<usize>>,
) {
    let sending = async {
        sleep(2 * S).await?;
        send.await
    };
    let got = trial.beside(receive, sending).await;
    assert_eq!(left(again).await.is_some(), !matches!(got, Some(Ok(_))), "received once");
}

async fn a_message_from_an_address(trial: &Trial) {
    let (a, b) = udp_pair();
    let (mut bytes, mut rest) = ([0; 8], [0; 8]);
    receiving(trial, b.recv_from(&mut bytes), a.send(b"abc"), b.recv(&mut rest)).await;
}

async fn a_message_of_the_peer(trial: &Trial) {
    let (a, b) = udp_pair();
    let (mut bytes, mut rest) = ([0; 8], [0; 8]);
    receiving(trial, b.recv(&mut bytes), a.send(b"abc"), b.recv(&mut rest)).await;
}

fn datagrams() -> (UnixDatagram, UnixDatagram) {
    UnixDatagram::pair().expect("a pair of sockets")
}

async fn a_local_message_of_the_peer(trial: &Trial) {
    let (a, b) = datagrams();
    let (mut bytes, mut rest) = ([0; 8], [0; 8]);
    receiving(trial, b.recv(&mut bytes), a.send(b"abc"), b.recv(&mut rest)).await;
}

async fn a_local_message_from_a_path(trial: &Trial) {
    let (a, b) = datagrams();
    let (mut bytes, mut rest) = ([0; 8], [0; 8]);
    receiving(trial, b.recv_from(&mut bytes), a.send(b"abc"), b.recv(&mut rest)).await;
}

/// A socket whose peer takes no more, and how many messages that took.
async fn full(a: &UnixDatagram) -> usize {
    let count = Cell::new(0);
    let fill = Io::move_on_after(S / 8, async |_| -> io::Result<()> {
        loop {
            a.send(b"filler").await?;
            count.set(count.get() + 1);
        }
    });
    fill.await.expect("it takes messages until it is full");
    count.get()
}

async fn count(b: &UnixDatagram, seen: &Cell<usize>) {
    while left(b.recv(&mut [0; 8])).await.is_some() {
        seen.set(seen.get() + 1);
    }
}

async fn sending(
    trial: &Trial,
    a: &UnixDatagram,
    b: &UnixDatagram,
    op: impl Future<Output = io::Result<usize>>,
) {
    let (filler, seen) = (full(a).await, Cell::new(0));
    let emptying = async {
        sleep(2 * S).await?;
        count(b, &seen).await;
        io::Result::Ok(())
    };
    let sent = trial.beside(op, emptying).await;
    count(b, &seen).await;
    assert_eq!(seen.get() - filler, usize::from(matches!(sent, Some(Ok(_)))), "sent once, or not at all");
}

async fn a_local_message_to_the_peer(trial: &Trial) {
    let (a, b) = datagrams();
    sending(trial, &a, &b, a.send(b"abc")).await;
}

/// A pipe tells how many have its writing end: its reader sees the end when nobody has.
fn pipe() -> (io::PipeReader, io::PipeWriter) {
    io::pipe().expect("a pipe")
}

async fn descriptors_in_a_message(trial: &Trial) {
    let ((a, b), (mut reader, writer)) = (datagrams(), pipe());
    sending(trial, &a, &b, a.send_fds(b"abc", &[writer.as_fd()])).await;
    drop(writer);
    assert_eq!(reader.read(&mut [0; 1]).expect("no error"), 0, "no copy of it is left");
}

async fn descriptors_out_of_a_message(trial: &Trial) {
    let ((a, b), (mut reader, writer)) = (datagrams(), pipe());
    let (mut bytes, mut rest) = ([0; 8], [0; 8]);
    let fds = [writer.as_fd()];
    receiving(trial, b.receive_fds(&mut bytes), a.send_fds(b"abc", &fds), b.recv(&mut rest)).await;
    drop(writer);
    assert_eq!(reader.read(&mut [0; 1]).expect("no error"), 0, "no copy of it is left");
}

async fn descriptors_into_a_stream(trial: &Trial) {
    let ((mut reader, writer), (a, b)) = (pipe(), UnixStream::pair().expect("a pair of sockets"));
    while a.try_write(&[0; 4096]).expect("it takes bytes").is_some() {}
    let taken = Cell::new(0);
    let take = || {
        let mut room = vec![0; 1 << 16];
        while let Some(n @ 1..) = b.try_read(&mut room).expect("it is read") {
            taken.set(taken.get() + room[..n].iter().filter(|byte| **byte == 7).count());
        }
    };
    let sent = trial.beside(a.send_fds(&[7; 3], &[writer.as_fd()]), later(take)).await;
    take();
    assert_eq!(taken.get(), if let Some(Ok(n)) = sent { n } else { 0 });
    drop(writer);
    assert_eq!(reader.read(&mut [0; 1]).expect("no error"), 0, "no copy of it is left");
}

async fn descriptors_out_of_a_stream(trial: &Trial) {
    let ((mut reader, writer), (a, b)) = (pipe(), UnixStream::pair().expect("a pair of sockets"));
    let (mut bytes, mut rest) = ([0; 8], [0; 8]);
    let fds = [writer.as_fd()];
    receiving(trial, b.receive_fds(&mut bytes), a.send_fds(b"abc", &fds), b.read(&mut rest)).await;
    drop(writer);
    assert_eq!(reader.read(&mut [0; 1]).expect("no error"), 0, "no copy of it is left");
}

async fn an_accept(trial: &Trial) {
    let name = Name::new(&format!("accept-{:?}", std::thread::current().id()));
    let listener = UnixListener::bind(&name.0).expect("a path");
    let mut client = None;
    let connecting = later(|| client = UnixStream::connect(&name.0).ok());
    let got = trial.beside(listener.accept(), connecting).await;
    one_connection(listener, got, client).await;
}

async fn an_accept_of_a_stream(trial: &Trial) {
    let name = Name::new(&format!("incoming-{:?}", std::thread::current().id()));
    let mut incoming = UnixListener::bind(&name.0).expect("a path").into_stream();
    let mut client = None;
    let connecting = later(|| client = UnixStream::connect(&name.0).ok());
    let got = trial.beside(incoming.next(), connecting).await;
    one_connection(incoming.into_inner(), got.flatten(), client).await;
}

/// It was given out, or it is there still.
async fn one_connection(
    listener: UnixListener,
    got: Option<io::Result<UnixStream>>,
    client: Option<UnixStream>,
) {
    let accepted = match got {
        Some(Ok(stream)) => stream,
        _ => left(listener.accept()).await.expect("the next one gets it"),
    };
    assert_eq!(left(listener.accept()).await.map(drop), None, "there was one");
    drop(accepted);
    let ended = client.expect("connected").read(&mut [0; 1]).await;
    assert_eq!(ended.expect("no error"), 0, "nobody has the other end");
}

async fn an_accept_loop(trial: &Trial) {
    trial.never_ends();
    let listener = TcpListener::bind(any()).expect("a port");
    let to = listener.local_addr().expect("an address");
    let (served, mut client) = (Cell::new(0), None);
    let r = Io::nursery(async |n| {
        let serving = listener.serve(n, async |(stream, _peer): (TcpStream, _)| {
            served.set(served.get() + 1);
            stream.write_all(b"x").await
        });
        let connecting = async {
            sleep(2 * S).await?;
            client = Some(TcpStream::connect(to).await?);
            io::Result::Ok(())
        };
        trial.beside(serving, connecting).await;
        Ok(())
    })
    .await;
    r.expect("nothing failed");
    let waiting = left(listener.accept()).await.map(drop).is_some();
    assert_eq!(served.get() + u32::from(waiting), 1, "given to a handler, or still waiting");
    assert_eq!(listener.stats().accepted, u64::from(served.get()));
}

/// However it ended: the listener hears of no connection whose other end is not closed, or given out.
async fn connecting<F, T>(trial: &Trial, connect: impl FnOnce(u16) -> F)
where
    F: Future<Output = T>,
{
    let listener = TcpListener::bind(any()).expect("a port");
    let port = listener.local_addr().expect("an address").port();
    drop(trial.of(connect(port)).await);
    while let Some((stream, _)) = left(listener.accept()).await {
        let ended = move_on_after(S, async |_| stream.read(&mut [0; 1]).await).await;
        assert!(!matches!(ended, Ok(None)), "the other end is open, and nobody has it");
    }
}

async fn a_connection(trial: &Trial) {
    trial.may_wait();
    connecting(trial, |port| TcpStream::connect(([127, 0, 0, 1], port).into())).await;
}

async fn a_connection_to_any(trial: &Trial) {
    trial.may_wait();
    connecting(trial, async |port| TcpStream::connect_any(&[([127, 0, 0, 1], port).into()]).await.map(drop))
        .await;
}

async fn a_connection_to_a_host(trial: &Trial) {
    connecting(trial, async |port| TcpStream::connect_host("localhost", port).await.map(drop)).await;
}

async fn the_first_connection(trial: &Trial) {
    let alive = std::rc::Rc::new(());
    let addresses = [1, 2, 3].map(|port| ([127, 0, 0, 1], port).into());
    let attempt = |to: std::net::SocketAddr| {
        let alive = std::rc::Rc::clone(&alive);
        async move {
            sleep(u32::from(to.port()) * S).await?;
            drop(alive);
            if to.port() == 2 { Ok(()) } else { Err(io::ErrorKind::ConnectionRefused.into()) }
        }
    };
    trial.of(connect_first(&addresses, S / 2, attempt)).await;
    assert_eq!(std::rc::Rc::strong_count(&alive), 1, "no attempt is left");
}
