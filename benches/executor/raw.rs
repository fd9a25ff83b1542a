//! The floor of echo: epoll_wait(2), read(2), write(2), and nothing else.

use crate::echo::{BUFFER, Figure, with_clients};
use crate::load::{MESSAGE, Shape};
use crate::support::clock::Stopwatch;
use crate::wire::Wire;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use std::io::Write as _;

/// What the tables call it.
pub(crate) const NAME: &str = "raw epoll";

fn watch<W: Wire>(sockets: &[W]) -> Epoll {
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).expect("epoll is there");
    for (i, socket) in sockets.iter().enumerate() {
        socket.nonblocking();
        epoll.add(socket, EpollEvent::new(EpollFlags::EPOLLIN, i as u64)).expect("a descriptor to watch");
    }
    epoll
}

/// Nanoseconds a message, as `echo::serve`.
pub(crate) fn serve<W: Wire>(full: bool, shape: Shape, figure: Figure) -> f64 {
    with_clients::<W>(full, shape, figure, |mut sockets, mut go| {
        let epoll = watch(&sockets);
        let mut events = [EpollEvent::empty(); 256];
        let mut buffer = vec![0; BUFFER];
        let (mut bytes, mut open, mut cpu) = (0, sockets.len(), None);
        let start = Stopwatch::process();
        go.write_all(b"go\n").expect("the clients wait");
        while open > 0 {
            let ready = epoll.wait(&mut events, EpollTimeout::NONE).expect("nothing interrupts it");
            for event in &events[..ready] {
                let socket = &mut sockets[event.data() as usize];
                let n = socket.read(&mut buffer).expect("it is readable");
                if n == 0 {
                    cpu.get_or_insert_with(|| start.elapsed());
                    epoll.delete(&*socket).expect("it was added");
                    open -= 1;
                }
                bytes += n;
                socket.write_all(&buffer[..n]).expect("there is room");
            }
        }
        (bytes, cpu.expect("a connection ended"))
    })
}

/// Nanoseconds a round trip, as `echo::inside`.
pub(crate) fn inside<W: Wire>(full: bool) -> f64 {
    let trips = if full { 50_000 } else { 100 };
    let (here, there) = W::pair();
    let mut ends = [here, there];
    let epoll = watch(&ends);
    let mut events = [EpollEvent::empty(); 16];
    let mut buffer = vec![7; BUFFER];
    let mut answers = 0;
    let start = Stopwatch::cpu();
    ends[0].write_all(&buffer[..MESSAGE]).expect("there is room");
    while answers < trips {
        let ready = epoll.wait(&mut events, EpollTimeout::NONE).expect("nothing interrupts it");
        for event in &events[..ready] {
            let i = event.data() as usize;
            let n = ends[i].read(&mut buffer).expect("it is readable");
            assert_eq!(n, MESSAGE);
            answers += u64::from(i == 0);
            ends[i].write_all(&buffer[..n]).expect("there is room");
        }
    }
    start.per(trips)
}
