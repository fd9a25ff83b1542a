//! The peers: what Rust programs start themselves again with.

use crate::questions::Meter;
use ipc_channel::ipc::{IpcOneShotServer, IpcSender};
use std::io::{Read, Write};
use std::process::{Command, Stdio};
use tokio::io::AsyncReadExt;

/// A child that writes one byte to its standard output.
pub(crate) const CHILD: &str = "--child";
/// A child that connects to this name, and sends one byte there.
pub(crate) const CONNECTS: &str = "--connects";

pub(crate) fn child() {
    std::io::stdout().write_all(b"x").expect("its parent reads");
    std::io::stdout().flush().expect("its parent reads");
}

pub(crate) fn connects(name: &str) {
    let sender: IpcSender<u8> = IpcSender::connect(name.to_owned()).expect("its parent listens");
    sender.send(b'x').expect("its parent reads");
}

fn itself(argument: &str) -> Command {
    let mut command = Command::new("/proc/self/exe");
    command.arg(argument).stdin(Stdio::null());
    command
}

pub(crate) fn command(meter: &mut Meter) {
    while meter.another() {
        let mut child = itself(CHILD).stdout(Stdio::piped()).spawn().expect("it is made");
        child.stdout.take().expect("it is piped").read_exact(&mut [0]).expect("its first byte");
        assert!(child.wait().expect("it is ours").success());
    }
}

pub(crate) fn tokio_command(meter: &mut Meter) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        while meter.another() {
            let mut command = tokio::process::Command::from(itself(CHILD));
            let mut child = command.stdout(Stdio::piped()).spawn().expect("it is made");
            child.stdout.take().expect("it is piped").read_exact(&mut [0]).await.expect("its first byte");
            assert!(child.wait().await.expect("it is ours").success());
        }
    });
}

pub(crate) fn procspawn(meter: &mut Meter) {
    while meter.another() {
        let answer = procspawn::spawn((), |()| b'x').join().expect("it answers");
        assert_eq!(answer, b'x');
    }
}

pub(crate) fn ipc_channel(meter: &mut Meter) {
    while meter.another() {
        let (server, name) = IpcOneShotServer::<u8>::new().expect("a socket");
        let mut child = itself(CONNECTS).arg(name).spawn().expect("it is made");
        let (_receiver, first) = server.accept().expect("it connects");
        assert_eq!(first, b'x');
        assert!(child.wait().expect("it is ours").success());
    }
}
