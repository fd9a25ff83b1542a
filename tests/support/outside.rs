//! What a test knows of a process from outside, and does to itself.

#![allow(dead_code, reason = "not every test that includes this file uses all of it")]

use nix::sys::signal::{SigSet, Signal as Number};
use pleach_spawn::{Pid, Signal, signal_descendant};
use std::fs;

/// The process id, as the events tell it.
pub(crate) fn pid(n: u32) -> Pid {
    Pid::from_raw(i32::try_from(n).expect("a process id"))
}

/// The state of a process, as proc_pid_stat(5) has it.
pub(crate) fn state(pid: Pid) -> char {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("it is there");
    let (_, rest) = stat.rsplit_once(')').expect("the name is in parentheses");
    rest.trim_start().chars().next().expect("a state follows the name")
}

/// Whether it waits in pause(2).
pub(crate) fn hangs(pid: Pid) -> bool {
    let place = fs::read_to_string(format!("/proc/{pid}/wchan")).expect("it is there");
    place.contains("pause")
}

/// Whether this signal waits for a process that blocks it, as proc_pid_status(5) has it.
pub(crate) fn is_held_off(pid: Pid, signal: Signal) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it is there");
    let waits = status.lines().find_map(|line| line.strip_prefix("ShdPnd:")).expect("the kernel tells");
    let waits = u64::from_str_radix(waits.trim(), 16).expect("a mask");
    waits & (1 << (signal.as_raw() - 1)) != 0
}

/// Kills this process.
pub(crate) fn kill_me() {
    signal_descendant(pid(std::process::id()), Signal::KILL).expect("it is me");
}

/// From now on this process does not hear of children that were stopped: of their deaths its pidfds tell.
pub(crate) fn hear_of_no_stops() {
    let mut tells = SigSet::empty();
    tells.add(Number::SIGCHLD);
    tells.thread_block().expect("it can be blocked");
}
