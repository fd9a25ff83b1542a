//! What comes back from an actor that is a closure, and what it finds when it wakes up. (`levels.rs`: what holds on every
//! backend.)

use pleach::{Actor, Error, ErrorKind, TaskLocal, actors, inventory, run, sleep_forever};
use pleach_executor::low_level;
use pleach_executor::net::UnixStream;
use std::io::Write;
use std::rc::Rc;

pleach::test_main!(
    a_value_comes_back,
    a_panic_is_reported_and_runs_no_guard_of_the_parent,
    a_handle_in_a_forked_child_is_stale,
    a_task_local_value_stays_in_its_process,
    a_value_of_the_run_takes_nobodys_name_away,
    a_granted_socket_works_in_the_child_and_is_closed_in_the_parent,
    the_inventory_at_the_start_is_what_was_declared,
);

/// Case S91.
fn a_value_comes_back() {
    let r: Result<u64, Error> = run(actors(async |an| {
        let half = an.fork("adder", (), async |_, ()| Ok((1..=100u64).sum::<u64>()));
        let other = an.fork("adder", (), async |_, ()| Ok((101..=200u64).sum::<u64>()));
        Ok(half.result().await? + other.result().await?)
    }));
    assert_eq!(r.unwrap(), 20_100);
}

fn a_panic_is_reported_and_runs_no_guard_of_the_parent() {
    struct Guard(std::path::PathBuf);
    impl Drop for Guard {
        fn drop(&mut self) {
            std::fs::remove_file(&self.0).expect("only its owner removes it");
        }
    }
    let guard = Guard(std::env::temp_dir().join("guarded"));
    std::fs::write(&guard.0, "here").unwrap();
    let r: Result<(), Error> = run(actors(async |an| {
        an.fork("panics", (), async |_, ()| -> Result<(), Error> { panic!("out of cheese") }).result().await
    }));
    let e = r.unwrap_err();
    assert!(
        matches!(e.kind(), ErrorKind::Panicked { location: Some(at) } if at.contains("actor_tree.rs")),
        "{e}"
    );
    assert_eq!(e.message(), "out of cheese");
    assert!(guard.0.exists(), "the guard on the parent's stack did not run in the child");
}

fn a_handle_in_a_forked_child_is_stale() {
    let r: Result<String, Error> = run(actors(async |an| {
        let idle = an.fork("idle", (), async |_, ()| {
            sleep_forever().await?;
            Ok(())
        });
        idle.ready().await?;
        let idle = Rc::new(idle);
        let inherited = Rc::clone(&idle);
        let tries = an.fork("tries", (), async move |_, ()| {
            let e = inherited.ready().await.unwrap_err();
            assert_eq!(*e.kind(), ErrorKind::StaleHandle);
            inherited.cancel();
            Ok(e.message().to_owned())
        });
        let text = tries.result().await?;
        // The parent's own is untouched.
        idle.ready().await?;
        an.cancel();
        Ok(text)
    }));
    let text = r.unwrap();
    assert!(text.contains("a forked child cannot use it"), "{text}");
    let us = format!("process {}, an ancestor of process ", std::process::id());
    assert!(text.contains(&us), "it names the other process as well: {text}");
}

fn a_task_local_value_stays_in_its_process() {
    static NUMBER: TaskLocal<u32> = TaskLocal::new();
    let r: Result<Option<u32>, Error> = run(NUMBER.with_value(
        7,
        actors(async |an| {
            assert_eq!(NUMBER.get().as_deref(), Some(&7));
            an.fork("child", (), async |_, ()| Ok(NUMBER.get().as_deref().copied())).result().await
        }),
    ));
    assert_eq!(r.unwrap(), None);
}

/// The layer of actors and the code of an actor each keep something in the run.
fn a_value_of_the_run_takes_nobodys_name_away() {
    let r: Result<String, Error> = run(actors(async |an| {
        let named = an.fork("named", (), async |_, ()| {
            drop(low_level::set_local(Rc::new("not an actor")));
            Ok(Actor::current().id().path().to_owned())
        });
        named.result().await
    }));
    assert_eq!(r.unwrap(), "root/named");
}

fn a_granted_socket_works_in_the_child_and_is_closed_in_the_parent() {
    let r: Result<(), Error> = run(async {
        let (ours, theirs) = UnixStream::pair()?;
        actors(async |an| {
            let echo = an.fork("echo", theirs, async |_, socket: UnixStream| {
                let mut bytes = [0; 16];
                let n = socket.read(&mut bytes).await?;
                socket.write_all(&bytes[..n]).await?;
                Ok(())
            });
            ours.write_all(b"hello").await?;
            let mut bytes = [0; 16];
            assert_eq!(ours.read(&mut bytes).await?, 5);
            echo.result().await?;
            // The child has ended, and nobody else holds the other end.
            assert_eq!(ours.read(&mut bytes).await?, 0);
            Ok(())
        })
        .await
    });
    r.unwrap();
}

fn the_inventory_at_the_start_is_what_was_declared() {
    type Seen = (Vec<(i32, String)>, usize, (u64, u64, u64));
    let (_reader, granted) = std::io::pipe().unwrap();
    // What user code holds, and does not grant.
    let _held = std::fs::File::open("/dev/zero").unwrap();
    let r: Result<Seen, Error> = run(actors(async |an| {
        let child = an.fork("child", granted, async |_, mut granted| {
            granted.write_all(b"x")?;
            let s = inventory::signal_state()?;
            Ok((inventory::open_fds()?, inventory::thread_count()?, (s.blocked, s.ignored, s.caught)))
        });
        child.result().await
    }));
    let (fds, threads, (blocked, ignored, caught)) = r.unwrap();
    let count = |what: &str| fds.iter().filter(|(fd, target)| *fd > 2 && target.starts_with(what)).count();
    assert_eq!(count("socket:"), 1, "the link: {fds:?}");
    assert_eq!(count("anon_inode:[eventpoll]"), 1, "{fds:?}");
    assert_eq!(count("anon_inode:[eventfd]"), 2, "the bells of threads and of signals: {fds:?}");
    assert_eq!(count("pipe:"), 1, "the grant: {fds:?}");
    assert_eq!(count("/dev/zero"), 0, "covered: {fds:?}");
    let tombstones = count("/dev/null");
    assert_eq!(fds.iter().filter(|(fd, _)| *fd > 2).count(), 5 + tombstones, "{fds:?}");
    assert_eq!(threads, 1);
    let bit = |signal: u32| 1u64 << (signal - 1);
    assert_eq!(blocked, 0);
    assert_ne!(ignored & bit(13), 0, "SIGPIPE is ignored");
    for (signal, name) in [(2, "SIGINT"), (15, "SIGTERM"), (18, "SIGCONT")] {
        assert_ne!(caught & bit(signal), 0, "{name} has a handler of the child's own");
    }
    // std's own for stack overflows, and those three.
    assert_eq!(caught & !(bit(2) | bit(15) | bit(18) | bit(11) | bit(7)), 0, "{caught:x}");
}
