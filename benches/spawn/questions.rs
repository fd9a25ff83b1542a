//! What is asked: a table of sizes of the parent, contenders and bars.

use crate::support::clock::Stopwatch;
use crate::support::question::Bar::{BestPeer, Contender, Flat};
use crate::support::question::{Bar, Column, Question, Standing};
use crate::{ours, peers, raw};
use pleach_spawn::Image;
use std::fs;
use std::hint::black_box;
use std::rc::Rc;

/// Names of columns that bars name.
const SERVER: &str = "pleach, fork server";
const FORK: &str = "pleach, fork";
const EXEC: &str = "pleach, exec";
const COMMAND: &str = "std Command, itself";
const RAW_FORK: &str = "raw fork";
const RAW_SERVER: &str = "raw fork server";

const MEGABYTE: usize = 1 << 20;

/// How many spawns a case measures, so that the dearest contender takes seconds.
fn count(full: bool, megabytes: usize) -> u64 {
    match (full, megabytes) {
        (false, _) => 2,
        (true, 0..=100) => 200,
        (true, _) => 30,
    }
}

/// Counts children, and measures those after the first few: ask it before each.
#[derive(Debug)]
pub(crate) struct Meter {
    left: u64,
    count: u64,
    watch: Option<Stopwatch>,
    /// Microseconds a child.
    figure: Option<f64>,
}

/// What is made on first use is there after so many.
const WARM: u64 = 3;

impl Meter {
    fn new(count: u64) -> Self {
        Meter { left: WARM + count, count, watch: None, figure: None }
    }

    /// Is there another one to make?
    pub(crate) fn another(&mut self) -> bool {
        if self.left == self.count {
            self.watch = Some(Stopwatch::wall());
        }
        if self.left == 0 {
            self.figure = self.watch.map(|watch| watch.per(self.count) / 1000.0);
            return false;
        }
        self.left -= 1;
        true
    }
}

/// Grows this process, and measures one contender: microseconds a child.
fn measure(full: bool, megabytes: usize, work: impl FnOnce(&mut Meter)) -> f64 {
    let ballast = ballast(megabytes);
    let mut meter = Meter::new(count(full, megabytes));
    work(&mut meter);
    assert!(ballast.iter().step_by(4096).all(|byte| *byte == 1), "it is there to the end");
    meter.figure.expect("all children were made")
}

/// So many megabytes that are really there.
fn ballast(megabytes: usize) -> Vec<u8> {
    let info = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = info.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let kilobytes = line.and_then(|rest| rest.split_whitespace().next()?.parse::<usize>().ok());
    if kilobytes.is_some_and(|there| there / 1024 < megabytes + 512) {
        crate::support::case::skip(&format!("this machine has no {megabytes} MB to spare"));
    }
    black_box(vec![1; megabytes * MEGABYTE])
}

pub(crate) fn all(image: Image) -> Vec<Question> {
    let image = Rc::new(image);
    let first: &[Bar] = &[Contender(RAW_SERVER, 1.25), BestPeer(0.125)];
    let later: &[Bar] = &[Contender(RAW_SERVER, 1.25), Flat("spawn_10mb", 1.15), BestPeer(0.125)];
    let small = question("spawn_10mb", "10 MB", 10, &image, first)
        .row("spawn_10mb_fork", FORK, &[Contender(RAW_FORK, 1.2)])
        .row("spawn_10mb_exec", EXEC, &[Contender(COMMAND, 1.1)]);
    vec![
        small,
        question("spawn_500mb", "500 MB", 500, &image, later),
        question("spawn_2gb", "2 GB", 2048, &image, later),
    ]
}

fn question(name: &str, size: &str, megabytes: usize, image: &Rc<Image>, bars: &[Bar]) -> Question {
    let column = |name, standing, work: fn(&Image, &mut Meter)| {
        let image = Rc::clone(image);
        Column::new(name, standing, move |full| {
            // A smoke run shows that it works, and leaves the memory alone.
            let megabytes = if full { megabytes } else { 10 };
            measure(full, megabytes, |meter| work(&image, meter))
        })
    };
    let columns = vec![
        column(SERVER, Standing::Ours, ours::server),
        column(FORK, Standing::Ours, |_, meter| ours::fork(meter)),
        column(EXEC, Standing::Ours, ours::exec),
        column(COMMAND, Standing::Peer, |_, meter| peers::command(meter)),
        column("tokio Command, itself", Standing::Peer, |_, meter| peers::tokio_command(meter)),
        column("procspawn", Standing::Peer, |_, meter| peers::procspawn(meter)),
        column("ipc-channel, one shot", Standing::Peer, |_, meter| peers::ipc_channel(meter)),
        column(RAW_FORK, Standing::Floor, |_, meter| raw::fork(meter)),
        column(RAW_SERVER, Standing::Floor, |_, meter| raw::server(meter)),
    ];
    let title = format!("a child of a parent of {size}: made, its first byte, its exit, reaped");
    Question::new(name, &title, "us a child", columns, bars)
}
