//! Promise: a listener outlives times without descriptors: the connection waits, and is served when there is room again.
//!
//! ```text
//!   client ─► accept ─ EMFILE ─► a pause, counted ─► accept ─► handler
//! ```
//!
//! Rules: alone in its process, whose limit it lowers.

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use pleach_executor::net::{TcpListener, TcpStream};
use pleach_executor::{In, checkpoint, run};
use std::fs::File;
use std::io;
use std::time::Duration;

type Run = In<io::Error>;

#[test]
fn out_of_descriptors_a_listener_pauses_and_goes_on() {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("there is one");
    setrlimit(Resource::RLIMIT_NOFILE, 64, hard).expect("lower is allowed");
    let ended = run(Run::move_on_after(Duration::from_secs(30), async |_| {
        let listener = TcpListener::bind("127.0.0.1:0".parse().expect("an address"))?;
        let client = TcpStream::connect(listener.local_addr()?).await?;
        let mut files = Vec::new();
        while let Ok(file) = File::open("/dev/null") {
            files.push(file);
        }
        Run::nursery(async |n| {
            n.spawn(async {
                let serving =
                    listener.serve(n, async |(stream, _): (TcpStream, _)| stream.write_all(b"ok").await);
                match serving.await? {}
            });
            while listener.stats().exhausted == 0 {
                checkpoint().await?;
            }
            assert_eq!(listener.stats().accepted, 0);
            files.clear();
            client.read_exact(&mut [0; 2]).await?;
            n.cancel();
            Ok(())
        })
        .await?;
        assert_eq!(listener.stats().accepted, 1);
        Ok(())
    }));
    assert!(ended.expect("no operation fails").is_some(), "it hangs");
}
