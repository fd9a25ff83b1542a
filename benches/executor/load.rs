//! The clients of an echo server: a process of its own, in system calls, the same for every server.
//!
//! ```text
//!   server: Load::start ─► exe --load … ─ connects ─┐
//!   server: accepts, is ready ─ "go" on stdin ──────► rounds: each connection writes a batch, reads it back ─► real ns, CPU ns
//! ```
//!
//! Rules: one connection blocks; many wait in epoll_wait(2). Every byte that was sent came back, or it fails.

use crate::support::clock::Stopwatch;
use crate::wire::Wire;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use std::io::ErrorKind;
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::process::{Child, ChildStdin, Command, Stdio};

/// The hidden argument.
pub(crate) const LOAD: &str = "--load";

/// Bytes of a message.
pub(crate) const MESSAGE: usize = 64;

/// How many connections do what.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    /// Connections on which nothing happens.
    pub(crate) idle: u64,
    pub(crate) active: u64,
    /// Messages in flight on each active connection.
    pub(crate) depth: u64,
    /// Batches of so many messages.
    pub(crate) rounds: u64,
}

impl Shape {
    pub(crate) fn messages(&self) -> u64 {
        self.active * self.depth * self.rounds
    }
}

/// As many descriptors as this process may have.
pub(crate) fn raise_descriptor_limit() {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("Linux has this limit");
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).expect("a process may raise its soft limit");
}

/// What the clients needed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spent {
    /// Nanoseconds of real time.
    pub(crate) wall: f64,
    /// Nanoseconds of CPU time.
    pub(crate) cpu: f64,
}

/// The process of the clients, as the server sees it.
#[derive(Debug)]
pub(crate) struct Load(Child);

impl Load {
    pub(crate) fn start<W: Wire>(address: &str, shape: Shape) -> Self {
        let Shape { idle, active, depth, rounds } = shape;
        let exe = std::env::current_exe().expect("this program has a path");
        let child = Command::new(exe)
            .args([LOAD, W::NAME, address])
            .args([idle, active, depth, rounds].map(|n| n.to_string()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("this program can be begun anew");
        Load(child)
    }

    /// Where to write a line once the server is ready.
    pub(crate) fn go(&mut self) -> ChildStdin {
        self.0.stdin.take().expect("asked for once")
    }

    /// Nanoseconds from the first byte to the last.
    pub(crate) fn finish(self) -> Spent {
        let output = self.0.wait_with_output().expect("it was started");
        assert!(output.status.success(), "the clients: {}", output.status);
        let said = String::from_utf8(output.stdout).expect("text");
        let (wall, cpu) = said.trim().split_once(' ').expect("two numbers");
        Spent { wall: wall.parse().expect("a number"), cpu: cpu.parse().expect("a number") }
    }
}

/// In the process of the clients: what its arguments after [`LOAD`] say.
pub(crate) fn main(args: &[String]) -> ! {
    let [wire, address, numbers @ ..] = args else { panic!("a wire and an address") };
    let numbers: Vec<u64> = numbers.iter().map(|n| n.parse().expect("a number")).collect();
    let [idle, active, depth, rounds] = numbers[..] else { panic!("four numbers") };
    let shape = Shape { idle, active, depth, rounds };
    nix::unistd::alarm::set(120);
    raise_descriptor_limit();
    let took = match wire.as_str() {
        UnixStream::NAME => clients::<UnixStream>(address, shape),
        TcpStream::NAME => clients::<TcpStream>(address, shape),
        other => panic!("no wire {other}"),
    };
    println!("{} {}", took.wall, took.cpu);
    std::process::exit(0)
}

fn clients<W: Wire>(address: &str, shape: Shape) -> Spent {
    let _idle: Vec<W> = (0..shape.idle).map(|_| W::connect(address)).collect();
    let mut active: Vec<W> = (0..shape.active).map(|_| W::connect(address)).collect();
    std::io::stdin().read_line(&mut String::new()).expect("the server says go");
    let (wall, cpu) = (Stopwatch::wall(), Stopwatch::cpu());
    match &mut active[..] {
        [one] => blocking(one, shape),
        many => polling(many, shape),
    }
    Spent { wall: wall.per(1), cpu: cpu.per(1) }
}

fn blocking<W: Wire>(stream: &mut W, shape: Shape) {
    let mut bytes = vec![7; MESSAGE * shape.depth as usize];
    for _ in 0..shape.rounds {
        stream.write_all(&bytes).expect("the server reads");
        stream.read_exact(&mut bytes).expect("the server answers");
    }
}

fn polling<W: Wire>(streams: &mut [W], shape: Shape) {
    let batch = vec![7; MESSAGE * shape.depth as usize];
    let mut bytes = vec![0; 4096];
    let mut events = [EpollEvent::empty(); 128];
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).expect("epoll is there");
    for (i, stream) in streams.iter().enumerate() {
        stream.nonblocking();
        epoll.add(stream, EpollEvent::new(EpollFlags::EPOLLIN, i as u64)).expect("a descriptor to watch");
    }
    // Batches still to write, and bytes of this one still to come.
    let mut left: Vec<(u64, usize)> = vec![(shape.rounds - 1, batch.len()); streams.len()];
    let mut busy = streams.len();
    for stream in streams.iter_mut() {
        stream.write_all(&batch).expect("there is room for a batch");
    }
    while busy > 0 {
        let ready = epoll.wait(&mut events, EpollTimeout::NONE).expect("nothing interrupts it");
        for event in &events[..ready] {
            let i = event.data() as usize;
            let (batches, missing) = &mut left[i];
            match streams[i].read(&mut bytes) {
                Ok(0) => panic!("the server closed a connection"),
                Ok(n) => *missing = missing.checked_sub(n).expect("no more than was sent"),
                Err(e) => assert_eq!(e.kind(), ErrorKind::WouldBlock),
            }
            match (*missing, *batches) {
                (0, 0) => busy -= 1,
                (0, _) => {
                    (*batches, *missing) = (*batches - 1, batch.len());
                    streams[i].write_all(&batch).expect("there is room for a batch");
                }
                _ => {}
            }
        }
    }
}
