//! Our columns: `pleach-spawn` alone, without actors.

use crate::questions::Meter;
use pleach_executor::run;
use pleach_spawn::{Born, ExitStatus, ForkServer, Forked, Image, Plan, SpawnError};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

/// What every child does.
pub(crate) fn child(born: &Born) -> i32 {
    let mut link = UnixStream::from(born.take_link().expect("the first to take it"));
    link.write_all(b"x").expect("its parent reads");
    0
}

/// From its making to its reaping.
async fn comes_and_goes(made: Result<Forked, SpawnError>) {
    let Forked { process, mut link } = made.expect("it is made");
    link.read_exact(&mut [0]).expect("its first byte");
    assert_eq!(process.wait().await.expect("nobody cancels"), ExitStatus::Exited(0));
}

pub(crate) fn fork(meter: &mut Meter) {
    run(async {
        while meter.another() {
            comes_and_goes(pleach_spawn::fork(Plan::new("child"), (), |born, _| child(&born)).await).await;
        }
    });
}

pub(crate) fn exec(image: &Image, meter: &mut Meter) {
    run(async {
        while meter.another() {
            comes_and_goes(pleach_spawn::exec(Plan::new("child"), image, Vec::new()).await).await;
        }
    });
}

pub(crate) fn server(image: &Image, meter: &mut Meter) {
    run(async {
        let server = ForkServer::start(Plan::new("forks"), image).await.expect("it is started");
        let plan = Plan::new("child");
        while meter.another() {
            comes_and_goes(server.spawn(&plan, &[]).await).await;
        }
        server.end().await.expect("nobody cancels");
    });
}
