//! Promise: a shared resource is opened by its first user, ended after its last one, awaited, and its errors arrive.
//!
//! ```text
//!   with ─┬ with ─┬ with        open ─► users 1 2 3 2 1 0 ─► clean-up ─► the last `with` returns
//! ```

#[path = "support/by_hand.rs"]
mod by_hand;
#[path = "support/fault.rs"]
mod fault;
#[path = "support/orders.rs"]
mod orders;

use by_hand::poll_once;
use fault::{Fault, Run, shape};
use orders::in_every_order;
use pleach_executor::sync::{Holding, Resources};
use pleach_executor::testing::wait_until_idle;
use pleach_executor::{CancelScope, check, now, shielded, sleep, sleep_forever, stats};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

const S: Duration = Duration::from_secs(1);

type Links = Resources<&'static str, u32, Fault>;
type Log = Rc<RefCell<Vec<String>>>;

/// What a resource does: it takes a second to open and a second to end.
#[derive(Clone, Copy, Default)]
struct Plan {
    open_fails: Option<&'static str>,
    end_fails: Option<&'static str>,
}

/// A link that is opened by this plan.
fn link(log: &Log, plan: Plan) -> impl AsyncFnOnce(Holding<u32, Fault>) -> Result<(), Fault> + 'static {
    let log = Rc::clone(log);
    async move |holding: Holding<u32, Fault>| {
        log.borrow_mut().push("open".to_owned());
        sleep(S).await?;
        if let Some(name) = plan.open_fails {
            return Err(Fault::Named(name));
        }
        let held = holding.hold(7_u32).await;
        shielded(async |_| Ok::<_, Fault>(sleep(S).await?)).await?;
        log.borrow_mut().push("end".to_owned());
        held?;
        let Some(name) = plan.end_fails else { return Ok(()) };
        log.borrow_mut().push("end fails".to_owned());
        Err(Fault::Named(name))
    }
}

/// Uses the link for so many seconds.
async fn use_it(links: &Links, log: &Log, plan: Plan, name: &str, seconds: u32) -> Result<(), Fault> {
    let used = links.with("host", link(log, plan), async |value| {
        assert_eq!(*value, 7);
        log.borrow_mut().push(format!("{name} in"));
        sleep(seconds * S).await?;
        Ok(())
    });
    used.await?.expect("the home nursery is open");
    log.borrow_mut().push(format!("{name} out"));
    Ok(())
}

/// Case S134.
#[test]
fn the_first_user_opens_it_and_the_last_one_waits_for_its_end() {
    in_every_order(async || {
        let (log, start) = (Log::default(), now());
        let r = Run::nursery(async |home| {
            let links = Links::new(home.handle());
            Run::nursery(async |n| {
                n.spawn(use_it(&links, &log, Plan::default(), "a", 5));
                n.spawn(use_it(&links, &log, Plan::default(), "b", 9));
                sleep(3 * S).await?;
                n.spawn(use_it(&links, &log, Plan::default(), "c", 1));
                wait_until_idle().await?;
                assert_eq!((links.users(&"host"), links.users(&"other")), (3, 0));
                Ok(())
            })
            .await?;
            assert_eq!((now() - start, links.users(&"host")), (11 * S, 0), "one to open, one to end");
            Ok(())
        })
        .await;
        assert_eq!(shape(&r), "ok");
        log.borrow_mut()[1..3].sort();
        assert_eq!(*log.borrow(), ["open", "a in", "b in", "c in", "c out", "a out", "end", "b out"]);
    });
}

/// Case S143.
#[test]
fn who_comes_while_it_ends_waits_and_opens_it_anew() {
    in_every_order(async || {
        let log = Log::default();
        let r = Run::nursery(async |home| {
            let links = Links::new(home.handle());
            Run::nursery(async |n| {
                n.spawn(use_it(&links, &log, Plan::default(), "a", 1));
                sleep(5 * S / 2).await?;
                use_it(&links, &log, Plan::default(), "b", 1).await
            })
            .await
        })
        .await;
        assert_eq!(shape(&r), "ok");
        let log = log.borrow();
        assert_eq!(log[..3], ["open", "a in", "end"]);
        assert_eq!(log.iter().filter(|line| *line == "open").count(), 2);
        assert_eq!(log[log.len() - 3..], ["b in", "end", "b out"]);
    });
}

/// Case S142.
#[test]
fn resources_of_different_keys_do_not_wait_for_each_other() {
    in_every_order(async || {
        let (log, start) = (Log::default(), now());
        let r = Run::nursery(async |home| {
            let links = Links::new(home.handle());
            links
                .with("one", link(&log, Plan::default()), async |_| {
                    let two = links.with("two", link(&log, Plan::default()), async |_| Ok(now() - start));
                    assert_eq!(two.await?.ok(), Some(2 * S));
                    Ok(())
                })
                .await
        })
        .await;
        assert_eq!(shape(&r), "ok");
        assert_eq!(now() - start, 4 * S);
    });
}

#[test]
fn the_error_of_opening_is_the_openers_and_the_next_one_tries() {
    in_every_order(async || {
        let log = Log::default();
        let r = Run::nursery(async |home| {
            let links = Links::new(home.handle());
            let fails = Plan { open_fails: Some("E"), ..Plan::default() };
            Run::nursery(async |n| {
                let first = n.task(async { Ok(shape(&use_it(&links, &log, fails, "a", 1).await)) });
                sleep(S / 2).await?;
                n.spawn(use_it(&links, &log, Plan::default(), "b", 1));
                assert_eq!(first.await?, "E");
                Ok(())
            })
            .await
        })
        .await;
        assert_eq!(shape(&r), "ok", "the home nursery has nothing to do with it");
        assert_eq!(*log.borrow(), ["open", "open", "b in", "end", "b out"]);
    });
}

/// Case S136.
#[test]
fn the_error_of_the_end_is_the_last_users_beside_its_own() {
    in_every_order(async || {
        let log = Log::default();
        let fails = Plan { end_fails: Some("E"), ..Plan::default() };
        let r = Run::nursery(async |home| {
            let links = Links::new(home.handle());
            let r = use_it(&links, &log, fails, "a", 1).await;
            assert_eq!(shape(&r), "E");
            let r = links.with("host", link(&log, fails), async |_| Err::<(), _>(Fault::Named("E2"))).await;
            assert_eq!(shape(&r), "{E E2}");
            check().expect("nobody has cancelled the home");
            Ok(())
        })
        .await;
        assert_eq!(shape(&r), "ok");
    });
}

/// Case S137.
#[test]
fn a_cancelled_user_leaves_it_to_the_others_and_a_cancelled_last_one_waits() {
    in_every_order(async || {
        let (log, start) = (Log::default(), now());
        let r = Run::nursery(async |home| {
            let links = Links::new(home.handle());
            Run::nursery(async |n| {
                n.spawn(use_it(&links, &log, Plan::default(), "a", 4));
                let r =
                    Run::move_on_after(2 * S, async |_| use_it(&links, &log, Plan::default(), "b", 99).await);
                assert!(matches!(r.await, Ok(None)));
                assert_eq!((now() - start, links.users(&"host")), (2 * S, 1));
                Ok(())
            })
            .await?;
            let r = Run::move_on_after(2 * S, async |_| use_it(&links, &log, Plan::default(), "c", 99).await);
            assert!(matches!(r.await, Ok(None)));
            assert_eq!(log.borrow().last().unwrap(), "end", "waited for, in a cancelled scope");
            Ok(())
        })
        .await;
        assert_eq!(shape(&r), "ok");
        assert_eq!(now() - start, (6 + 3) * S);
    });
}

#[test]
fn a_cancelled_opener_takes_the_opening_with_it_and_the_next_one_opens() {
    in_every_order(async || {
        let log = Log::default();
        let r = Run::nursery(async |home| {
            let links = Links::new(home.handle());
            Run::nursery(async |n| {
                let first = n.task(Run::move_on_after(S / 2, async |_| {
                    use_it(&links, &log, Plan::default(), "a", 1).await
                }));
                wait_until_idle().await?;
                n.spawn(use_it(&links, &log, Plan::default(), "b", 1));
                assert!(first.await?.is_none());
                Ok(())
            })
            .await
        })
        .await;
        assert_eq!(shape(&r), "ok");
        assert_eq!(*log.borrow(), ["open", "open", "b in", "end", "b out"]);
    });
}

/// Dropped at every await: nobody hangs, the count is right, and an error that nobody waits for is the home's.
#[test]
fn users_that_are_dropped_leave_the_resource_to_its_nursery() {
    for polls in 0..6 {
        for end_fails in [None, Some("E")] {
            in_every_order(async || {
                let (log, tasks) = (Log::default(), stats().tasks);
                let plan = Plan { end_fails, ..Plan::default() };
                let r = Run::nursery(async |home| {
                    let links = Links::new(home.handle());
                    let mut user = Box::pin(use_it(&links, &log, plan, "a", 1));
                    let mut ended = None;
                    for _ in 0..polls {
                        if let std::task::Poll::Ready(r) = poll_once(user.as_mut()).await {
                            ended = Some(shape(&r));
                            break;
                        }
                        wait_until_idle().await?;
                        sleep(S).await?;
                    }
                    drop(user);
                    assert_eq!(links.users(&"host"), 0, "after {polls} polls");
                    let again = shape(&use_it(&links, &log, Plan::default(), "b", 1).await);
                    Ok((ended, again))
                })
                .await;
                let failed = log.borrow().iter().any(|line| line == "end fails");
                let told = match &r {
                    // The home is cancelled by it, so that nobody can go on.
                    Err(_) => shape(&r),
                    Ok((told, again)) => {
                        assert_eq!(again, "ok", "after {polls} polls");
                        told.clone().unwrap_or_else(|| "ok".to_owned())
                    }
                };
                assert_eq!(told, if failed { "E" } else { "ok" }, "told once, after {polls} polls");
                assert_eq!(stats().tasks, tasks);
            });
        }
    }
}

/// Case S139.
#[test]
fn a_resource_of_a_cancelled_home_ends_under_its_users_and_nobody_new_gets_it() {
    in_every_order(async || {
        let log = Log::default();
        let links = RefCell::new(None);
        let r = Run::nursery(async |outer| {
            Run::nursery(async |home| {
                links.replace(Some(Links::new(home.handle())));
                let (links, log) = (links.borrow().clone().unwrap(), Rc::clone(&log));
                outer.spawn(async move {
                    let used = links.with("host", link(&log, Plan::default()), async |value| {
                        sleep(9 * S).await?;
                        Ok(*value)
                    });
                    assert_eq!(used.await?.ok(), Some(7), "a user's own block goes on");
                    log.borrow_mut().push("out".into());
                    Ok(())
                });
                sleep(3 * S).await?;
                home.cancel();
                Ok(())
            })
            .await?;
            assert_eq!(*log.borrow(), ["open", "end"]);
            let links = links.borrow().clone().unwrap();
            assert!(
                links.with("host", link(&log, Plan::default()), async |_| Ok(())).await?.is_err(),
                "home has ended"
            );
            Ok(())
        })
        .await;
        assert_eq!(shape(&r), "ok");
        assert_eq!(*log.borrow(), ["open", "end", "out"]);
    });
}

#[test]
fn opening_in_a_cancelled_home_is_cancelled() {
    in_every_order(async || {
        let log = Log::default();
        let r = Run::nursery(async |home| {
            let links = Links::new(home.handle());
            home.cancel();
            let r = links.with("host", link(&log, Plan::default()), async |_| Ok(())).await;
            assert_eq!(shape(&r), "Cancelled");
            Ok(())
        })
        .await;
        assert_eq!(shape(&r), "ok");
    });
}

/// A resource that fails by itself while it is used is the home's failure, as any child's.
#[test]
fn a_resource_that_fails_while_it_is_used_fails_its_home() {
    in_every_order(async || {
        let r = Run::nursery(async |home| {
            let links: Resources<(), u8, Fault> = Resources::new(home.handle());
            let open = async |holding: Holding<u8, Fault>| {
                let broken = async {
                    sleep(S).await?;
                    Err::<(), _>(Fault::Named("E"))
                };
                pleach_executor::both(async { Ok(holding.hold(1).await?) }, broken).await?;
                Ok(())
            };
            let r = links
                .with((), open, async |_| {
                    sleep_forever().await?;
                    Ok(())
                })
                .await;
            assert_eq!(shape(&r), "Cancelled", "by its sibling's failure");
            r.map(drop)
        })
        .await;
        assert_eq!(shape(&r), "E");
    });
}

#[test]
fn opening_without_holding_is_refused() {
    in_every_order(async || {
        let r = std::panic::AssertUnwindSafe(Run::nursery(async |home| {
            let links: Resources<(), u8, Fault> = Resources::new(home.handle());
            let scope = CancelScope::new();
            let used = scope.run(async |_| links.with((), async |_| Ok(()), async |_| Ok(())).await);
            used.await.map(drop)
        }));
        let r = futures_util::FutureExt::catch_unwind(r).await;
        assert!(by_hand::message(r.expect_err("refused")).contains("call hold()"));
    });
}
