//! What comes back from an actor, and what an actor finds when it wakes up.

use pleach::{
    Actor, Cause, Config, Ending, Error, ErrorKind, Event, Why, actors, inventory, run, sleep_forever, stats,
};
use pleach_executor::net::UnixStream;
use std::cell::RefCell;
use std::io::{Read, Write};
use std::rc::Rc;

pleach::test_main!(
    a_value_comes_back,
    #[limit(120)]
    a_large_value_right_before_the_exit_is_never_lost,
    an_error_keeps_kind_text_sources_and_origin_through_three_hops,
    a_group_of_two_is_a_group_of_two_through_three_hops,
    a_panic_is_reported_and_runs_no_guard_of_the_parent,
    a_failure_cancels_the_sibling_and_names_itself_as_the_cause,
    a_handle_in_a_forked_child_is_stale,
    a_granted_socket_works_in_the_child_and_is_closed_in_the_parent,
    later_siblings_wake_up_as_clean_as_the_first,
    the_inventory_at_the_start_is_what_was_declared,
    #[limit(120)]
    a_chain_of_64_fits_into_1024_descriptors_and_does_not_grow,
    an_idle_chain_ends_by_messages_alone,
    the_books_of_a_tree_add_up,
);

fn a_value_comes_back() {
    let r: Result<u64, Error> = run(actors(async |an| {
        let half = an.fork("adder", (), async |_, ()| Ok((1..=100u64).sum::<u64>()));
        let other = an.fork("adder", (), async |_, ()| Ok((101..=200u64).sum::<u64>()));
        Ok(half.result().await? + other.result().await?)
    }));
    assert_eq!(r.unwrap(), 20_100);
}

fn a_large_value_right_before_the_exit_is_never_lost() {
    for _ in 0..100 {
        let r: Result<Vec<u8>, Error> =
            run(actors(async |an| an.fork("large", (), async |_, ()| Ok(vec![7u8; 1 << 20])).result().await));
        assert_eq!(r.unwrap(), vec![7u8; 1 << 20]);
    }
}

/// Does it `hops` processes further down.
async fn below(hops: u32, leaf: fn() -> Error) -> Result<(), Error> {
    if hops == 0 {
        return Err(leaf());
    }
    actors(async |an| an.fork("hop", (), async move |_, ()| below(hops - 1, leaf).await).result().await).await
}

fn an_error_keeps_kind_text_sources_and_origin_through_three_hops() {
    #[derive(Debug)]
    struct Outer(std::io::Error);
    impl std::fmt::Display for Outer {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("reading the header")
        }
    }
    impl std::error::Error for Outer {
        fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
            Some(&self.0)
        }
    }
    let e = run(below(3, || Error::new(Outer(std::io::Error::other("disk full"))))).unwrap_err();
    assert!(matches!(e.kind(), ErrorKind::Failed { type_name } if type_name.contains("Outer")), "{e}");
    assert_eq!(e.message(), "reading the header");
    assert_eq!(e.tree().source, ["disk full"]);
    assert_eq!(e.origin().path, "root/hop/hop/hop");
    assert_ne!(e.origin().pid, std::process::id());
}

async fn two_fail(hops: u32) -> Result<(), Error> {
    actors(async |an| {
        if hops > 0 {
            return an.fork("hop", (), async move |_, ()| two_fail(hops - 1).await).result().await;
        }
        // Both stand under a shield until both are up, so both fail.
        let (reader, writer) = std::io::pipe()?;
        for name in ["left", "right"] {
            let gate = reader.try_clone()?;
            let running = an.fork(name, gate, async move |_, mut gate| {
                gate.read_to_end(&mut Vec::new())?;
                Err::<(), _>(Error::msg(format!("{name} failed")))
            });
            running.ready().await?;
        }
        drop(writer);
        Ok(())
    })
    .await
}

fn a_group_of_two_is_a_group_of_two_through_three_hops() {
    let e = run(two_fail(3)).unwrap_err();
    assert_eq!(*e.kind(), ErrorKind::Group, "{e}");
    let mut texts: Vec<_> =
        e.members().iter().map(|m| (m.origin.name.as_str(), m.message.as_str())).collect();
    texts.sort_unstable();
    assert_eq!(texts, [("left", "left failed"), ("right", "right failed")]);
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

fn a_failure_cancels_the_sibling_and_names_itself_as_the_cause() {
    let causes: Rc<RefCell<Vec<Cause>>> = Rc::default();
    let r: Result<(), Error> = run(async {
        let heard = Rc::clone(&causes);
        let _watching = Actor::current().observe(move |event| {
            if let Event::Ended { ending: Ending::Cancelled(cause), .. } = event {
                heard.borrow_mut().push(cause.clone());
            }
        });
        actors(async |an| {
            let idle = an.fork("idle", (), async |_, ()| {
                sleep_forever().await?;
                Ok(())
            });
            idle.ready().await?;
            let failing = an.fork("failing", (), async |_, ()| Err::<(), _>(Error::msg("no")));
            let (a, b) = (failing.result().await, idle.result().await);
            assert!(a.is_err() && b.is_err(), "the handles say that it is over, the error is the nursery's");
            a
        })
        .await
    });
    assert_eq!(r.unwrap_err().message(), "no");
    let causes = causes.take();
    assert_eq!(causes.len(), 1);
    let Why::SiblingFailed { origin, summary } = causes[0].why() else { panic!("{:?}", causes[0]) };
    assert_eq!(origin, "root/failing");
    assert!(summary.contains("no"));
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
    assert!(r.unwrap().contains("a forked child cannot use it"));
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

fn later_siblings_wake_up_as_clean_as_the_first() {
    type Inventory = (usize, usize, usize, usize, usize);
    let r: Result<Vec<Inventory>, Error> = run(actors(async |an| {
        let mut running = Vec::new();
        let mut seen = Vec::new();
        for i in 0..6 {
            let sibling = an.fork(format!("sibling{i}"), (), async |_, ()| {
                let s = stats();
                Ok((s.tasks, s.timers, s.scopes, s.registrations, inventory::open_fds()?.len()))
            });
            seen.push(sibling.result().await?);
            // And one that stays, so that there is something to inherit.
            let stays = an.fork(format!("stays{i}"), (), async |_, ()| {
                sleep_forever().await?;
                Ok(())
            });
            stays.ready().await?;
            running.push(stays);
        }
        an.cancel();
        Ok(seen)
    }));
    let seen = r.unwrap();
    assert!(seen.iter().all(|s| *s == seen[0]), "{seen:?}");
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

/// A chain; each gives the number of descriptors at every level from here down.
async fn chain(levels: u32) -> Result<Vec<u32>, Error> {
    let mut here = vec![inventory::open_fds()?.len() as u32];
    if levels > 0 {
        let below =
            actors(async |an| an.fork("link", (), async move |_, ()| chain(levels - 1).await).result().await);
        here.extend(below.await?);
    }
    Ok(here)
}

fn a_chain_of_64_fits_into_1024_descriptors_and_does_not_grow() {
    let me = std::process::id().to_string();
    let limited = std::process::Command::new("prlimit").args(["--pid", &me, "--nofile=1024:1024"]).status();
    assert!(limited.expect("util-linux is here").success());
    let counts = run(chain(64)).unwrap();
    assert_eq!(counts.len(), 65);
    let (first, last) = (counts[1], counts[64]);
    assert!(last <= first + 2, "the table grows with the depth: {counts:?}");
}

async fn idle(levels: u32) -> Result<(), Error> {
    actors(async |an| {
        if levels == 0 {
            an.actor().note("up");
            sleep_forever().await?;
        } else {
            let _running = an.fork("link", (), async move |_, ()| idle(levels - 1).await);
        }
        Ok(())
    })
    .await
}

fn an_idle_chain_ends_by_messages_alone() {
    // Any timer that had to fire would be seen: they are far away.
    let far = Config::default()
        .boot(std::time::Duration::from_secs(600))
        .cancel(std::time::Duration::from_secs(600));
    let (fired, books) = run(async {
        let up = Rc::new(pleach::sync::Event::new());
        let signal = Rc::clone(&up);
        let _watching = Actor::current().observe(move |event| {
            if matches!(event, Event::Note { .. }) {
                signal.set();
            }
        });
        let before = Actor::current().books();
        let r: Result<u64, Error> = pleach::actors_with(far, async |an| {
            let _running = an.fork("link", (), async |_, ()| idle(7).await);
            up.wait().await?;
            let fired = stats().timers_fired;
            an.cancel();
            Ok(fired)
        })
        .await;
        assert_eq!(before.started, 0);
        (stats().timers_fired - r.unwrap(), Actor::current().books())
    });
    assert_eq!(fired, 0, "the end came by messages, no timer fired at the root");
    assert_eq!((books.started, books.reaped, books.terminated, books.killed), (8, 8, 0, 0));
}

async fn bush(levels: u32) -> Result<(), Error> {
    actors(async |an| {
        for _ in 0..if levels > 0 { 3 } else { 0 } {
            let _running = an.fork("twig", (), async move |_, ()| bush(levels - 1).await);
        }
        Ok(())
    })
    .await
}

fn the_books_of_a_tree_add_up() {
    let books = run(async {
        bush(3).await.unwrap();
        Actor::current().books()
    });
    assert_eq!((books.started, books.reaped, books.terminated, books.killed), (39, 39, 0, 0));
}
