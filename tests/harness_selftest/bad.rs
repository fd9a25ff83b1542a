//! Cases that fail on purpose, each in one way; the cases of `harness_selftest.rs` run them and read the report.
//!
//! ```text
//!   harness_selftest.rs ─exec→ runner ─exec→ one of these
//! ```
//!
//! Rules:
//! * All are ignored. None relies on another, and none leaves anything that the harness does not remove.

use super::{LONG, shell_with_orphan};
use std::env;
use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixListener;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;

pub(super) const FLOOD: usize = 8 << 20;

pub(super) fn panics() {
    panic!("deliberate panic");
}

pub(super) fn errs() -> Result<(), &'static str> {
    Err("deliberate error")
}

pub(super) fn leaks_a_descriptor() -> io::Result<()> {
    std::mem::forget(fs::File::open("/etc/passwd")?);
    Ok(())
}

pub(super) fn leaks_a_thread() -> io::Result<()> {
    let (started, starts) = mpsc::channel();
    thread::Builder::new().name("lingerer".to_owned()).spawn(move || {
        // A thread gives itself its name, before this.
        started.send(()).expect("the case waits for it");
        loop {
            thread::park();
        }
    })?;
    starts.recv().map_err(io::Error::other)
}

pub(super) fn leaks_a_child() -> io::Result<()> {
    Command::new("sleep").arg(LONG).spawn()?;
    Ok(())
}

pub(super) fn leaks_a_zombie() -> io::Result<()> {
    let mut child = Command::new("true").stdout(Stdio::piped()).spawn()?;
    let mut output = child.stdout.take().expect("its output is piped");
    output.read_to_end(&mut Vec::new())?;
    drop(output);
    // It has closed its output, which it does on its way out; the state says when it is there.
    let stat = format!("/proc/{}/stat", child.id());
    while !fs::read_to_string(&stat)?.contains(") Z ") {
        thread::yield_now();
    }
    Ok(())
}

pub(super) fn leaks_an_orphan() -> io::Result<()> {
    let (mut root, orphan) = shell_with_orphan(LONG)?;
    println!("the orphan is {orphan}");
    root.kill()?;
    root.wait()?;
    Ok(())
}

pub(super) fn leaks_files() -> io::Result<()> {
    let home = env::temp_dir();
    println!("the home is {}", home.display());
    fs::create_dir(home.join("d"))?;
    fs::write(home.join("d/f"), "x")?;
    drop(UnixListener::bind(home.join("s"))?);
    Ok(())
}

pub(super) fn hangs() -> io::Result<()> {
    let child = Command::new("sleep").arg(LONG).spawn()?;
    println!("the child is {}", child.id());
    let (_sender, receiver) = mpsc::channel::<()>();
    // Waits for ever: the sender is neither used nor dropped.
    let _ = receiver.recv();
    Ok(())
}

pub(super) fn hangs_without_a_limit_of_its_own() {
    loop {
        thread::park();
    }
}

pub(super) fn hangs_with_a_talker() -> io::Result<()> {
    let script = "trap 'echo these are my last words' USR1; while :; do sleep 0.05; done";
    Command::new("sh").args(["-c", script]).spawn()?.wait()?;
    Ok(())
}

pub(super) fn dies_by_signal() {
    println!("about to abort");
    io::stdout().flush().expect("standard output takes it");
    std::process::abort();
}

pub(super) fn exits_early() {
    std::process::exit(0);
}

pub(super) fn floods() {
    println!("first line");
    for _ in 0..FLOOD / 64 {
        println!("{}", "x".repeat(63));
    }
    println!("last line");
    panic!("so that the output is shown");
}

pub(super) fn alternates() {
    for i in 0..3 {
        println!("out {i}");
        eprintln!("err {i}");
    }
    panic!("so that the output is shown");
}
