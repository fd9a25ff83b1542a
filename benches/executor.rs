//! What do spawning, yielding, waking and cancelling cost here, and what at the peers?
//!
//! ```text
//!   row: one question ─► columns: ours (borrowed, static) │ FuturesUnordered │ tokio JoinSet │ async-executor
//! ```
//!
//! `cargo bench -p pleach-benches --bench executor`. Every column does the same work on one thread, and asserts it. What
//! each row means, and what to know about the peers, is in `README.md` beside this file.

mod support;

use async_executor::LocalExecutor;
use futures_util::stream::{FuturesUnordered, StreamExt};
use pleach_executor::{CancelScope, Cancelled, check, checkpoint, nursery, run, sleep_forever};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};
use support::{Column, compare, is_full};
use tokio::runtime::Runtime;
use tokio::task::{JoinSet, LocalSet};
use tokio_util::sync::CancellationToken;

type Result<T = ()> = std::result::Result<T, Cancelled>;

/// Sizes of a run: full, or just enough to show that it works.
#[derive(Clone, Copy)]
struct Size {
    rounds: usize,
    /// Units of work in one sample.
    work: u64,
}

fn main() {
    let size = if is_full() { Size { rounds: 25, work: 100_000 } } else { Size { rounds: 2, work: 2_000 } };
    let tokio = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    for children in [1, 100, 10_000] {
        spawn_join(size, children, &tokio);
    }
    for tasks in [1, 1000] {
        yields(size, tasks, &tokio);
    }
    for depth in [1, 8, 64] {
        wake_at_depth(size, depth, &tokio);
    }
    cancel_parked(size, &tokio);
    primitives(size);
    allocations(&tokio);
}

/// Wakes itself and is pending `n` times: a leaf that yields, the same for every executor.
struct Yields(u64);

impl Future for Yields {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.0 == 0 {
            return Poll::Ready(());
        }
        self.0 -= 1;
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

// ---- spawn and join

fn spawn_join(size: Size, children: u64, tokio: &Runtime) {
    let groups = (size.work / children).max(1);
    let total = groups * children;
    let ran = Cell::new(0u64);
    let count = |work: &dyn Fn()| {
        ran.set(0);
        work();
        assert_eq!(ran.get(), total, "every child has run");
        total
    };
    let hit = || ran.set(ran.get() + 1);
    // The static children count through a shared cell of their own.
    let shared = std::rc::Rc::new(Cell::new(0u64));
    compare(
        &format!("spawn + join of a no-op child, {children} in a group"),
        "ns a child",
        size.rounds,
        vec![
            Column::new("pleach, borrowed", || {
                count(&|| {
                    run(async {
                        for _ in 0..groups {
                            let r: Result = nursery(async |n| {
                                for _ in 0..children {
                                    n.spawn(async {
                                        hit();
                                        Ok(())
                                    });
                                }
                                Ok(())
                            })
                            .await;
                            r.unwrap();
                        }
                    });
                })
            }),
            Column::new("pleach, static", || {
                shared.set(0);
                run(async {
                    for _ in 0..groups {
                        let r: Result = nursery(async |n| {
                            for _ in 0..children {
                                let shared = std::rc::Rc::clone(&shared);
                                n.spawn_static(async move {
                                    shared.set(shared.get() + 1);
                                    Ok(())
                                });
                            }
                            Ok(())
                        })
                        .await;
                        r.unwrap();
                    }
                });
                assert_eq!(shared.get(), total);
                total
            }),
            Column::new("FuturesUnordered", || {
                count(&|| {
                    run(async {
                        for _ in 0..groups {
                            let mut group: FuturesUnordered<Pin<Box<dyn Future<Output = ()>>>> =
                                FuturesUnordered::new();
                            for _ in 0..children {
                                // Of mixed types, as a nursery's children are.
                                let shared = std::rc::Rc::clone(&shared);
                                group.push(Box::pin(async move { shared.set(shared.get() + 1) }));
                            }
                            while group.next().await.is_some() {
                                hit();
                            }
                        }
                    });
                })
            }),
            Column::new("tokio JoinSet", || {
                count(&|| {
                    LocalSet::new().block_on(tokio, async {
                        for _ in 0..groups {
                            let mut group = JoinSet::new();
                            for _ in 0..children {
                                group.spawn_local(async {});
                            }
                            while group.join_next().await.is_some() {
                                hit();
                            }
                        }
                    });
                })
            }),
            Column::new("async-executor LocalExecutor", || {
                count(&|| {
                    let ex = LocalExecutor::new();
                    run(ex.run(async {
                        for _ in 0..groups {
                            let group: Vec<_> = (0..children).map(|_| ex.spawn(async {})).collect();
                            for task in group {
                                task.await;
                                hit();
                            }
                        }
                    }));
                })
            }),
        ],
    );
}

// ---- yield

fn yields(size: Size, tasks: u64, tokio: &Runtime) {
    let each = size.work / tasks;
    let total = each * tasks;
    compare(
        &format!("yield, {tasks} task(s)"),
        "ns a yield",
        size.rounds,
        vec![
            Column::new("pleach, borrowed", || {
                let r: Result = run(nursery(async |n| {
                    for _ in 0..tasks {
                        n.spawn(async move {
                            Yields(each).await;
                            Ok(())
                        });
                    }
                    Ok(())
                }));
                r.unwrap();
                total
            }),
            Column::new("pleach, static", || {
                let r: Result = run(nursery(async |n| {
                    for _ in 0..tasks {
                        n.spawn_static(async move {
                            Yields(each).await;
                            Ok(())
                        });
                    }
                    Ok(())
                }));
                r.unwrap();
                total
            }),
            Column::new("FuturesUnordered", || {
                run(async {
                    let mut group: FuturesUnordered<_> = (0..tasks).map(|_| Yields(each)).collect();
                    while group.next().await.is_some() {}
                });
                total
            }),
            Column::new("tokio JoinSet", || {
                LocalSet::new().block_on(tokio, async {
                    let mut group = JoinSet::new();
                    for _ in 0..tasks {
                        group.spawn_local(Yields(each));
                    }
                    while group.join_next().await.is_some() {}
                });
                total
            }),
            Column::new("async-executor LocalExecutor", || {
                let ex = LocalExecutor::new();
                run(ex.run(async {
                    let group: Vec<_> = (0..tasks).map(|_| ex.spawn(Yields(each))).collect();
                    for task in group {
                        task.await;
                    }
                }));
                total
            }),
        ],
    );
}

// ---- a leaf below nested groups

type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

fn borrowed(depth: u32, wakes: u64) -> Boxed<'static, Result> {
    Box::pin(async move {
        if depth == 0 {
            Yields(wakes).await;
            return Ok(());
        }
        nursery(async |n| {
            n.spawn(borrowed(depth - 1, wakes));
            Ok(())
        })
        .await
    })
}

fn flat(depth: u32, wakes: u64) -> Boxed<'static, Result> {
    Box::pin(async move {
        if depth == 0 {
            Yields(wakes).await;
            return Ok(());
        }
        nursery(async |n| {
            n.spawn_static(flat(depth - 1, wakes));
            Ok(())
        })
        .await
    })
}

fn unordered(depth: u32, wakes: u64) -> Boxed<'static, ()> {
    Box::pin(async move {
        if depth == 0 {
            return Yields(wakes).await;
        }
        let mut group = FuturesUnordered::new();
        group.push(unordered(depth - 1, wakes));
        while group.next().await.is_some() {}
    })
}

fn joined(depth: u32, wakes: u64) -> Boxed<'static, ()> {
    Box::pin(async move {
        if depth == 0 {
            return Yields(wakes).await;
        }
        let mut group = JoinSet::new();
        group.spawn_local(joined(depth - 1, wakes));
        while group.join_next().await.is_some() {}
    })
}

fn local(ex: &'static LocalExecutor<'static>, depth: u32, wakes: u64) -> Boxed<'static, ()> {
    Box::pin(async move {
        if depth == 0 {
            return Yields(wakes).await;
        }
        ex.spawn(local(ex, depth - 1, wakes)).await;
    })
}

fn wake_at_depth(size: Size, depth: u32, tokio: &Runtime) {
    let wakes = size.work;
    compare(
        &format!("wake and poll a leaf below {depth} nested groups"),
        "ns a wake",
        size.rounds,
        vec![
            Column::new("pleach, borrowed", || {
                run(borrowed(depth, wakes)).unwrap();
                wakes
            }),
            Column::new("pleach, static", || {
                run(flat(depth, wakes)).unwrap();
                wakes
            }),
            Column::new("FuturesUnordered", || {
                run(unordered(depth, wakes));
                wakes
            }),
            Column::new("tokio JoinSet", || {
                LocalSet::new().block_on(tokio, joined(depth, wakes));
                wakes
            }),
            Column::new("async-executor LocalExecutor", || {
                // Its tasks spawn into it, so it has to outlive itself: leaked, a few bytes a sample.
                let ex: &'static LocalExecutor<'static> = Box::leak(Box::default());
                run(ex.run(local(ex, depth, wakes)));
                wakes
            }),
        ],
    );
}

// ---- cancel

const PARKED: u64 = 1000;

fn cancel_parked(size: Size, tokio: &Runtime) {
    let times = (size.work / PARKED / 10).max(1);
    let ended = Cell::new(0u64);
    let check_all = |times: u64| {
        assert_eq!(ended.replace(0), times * PARKED, "every waiter has ended");
        times * PARKED
    };
    struct Tally<'a>(&'a Cell<u64>);
    impl Drop for Tally<'_> {
        fn drop(&mut self) {
            self.0.set(self.0.get() + 1);
        }
    }
    let shared = std::rc::Rc::new(Cell::new(0u64));
    struct SharedTally(std::rc::Rc<Cell<u64>>);
    impl Drop for SharedTally {
        fn drop(&mut self) {
            self.0.set(self.0.get() + 1);
        }
    }
    let check_shared = |times: u64| {
        assert_eq!(shared.replace(0), times * PARKED, "every waiter has ended");
        times * PARKED
    };
    compare(
        "spawn 1000, park all, cancel and join",
        "ns a waiter",
        size.rounds,
        vec![
            Column::new("pleach, borrowed: n.cancel()", || {
                for _ in 0..times {
                    let r: Result = run(nursery(async |n| {
                        for _ in 0..PARKED {
                            n.spawn(async {
                                let _tally = Tally(&ended);
                                sleep_forever().await?;
                                Ok(())
                            });
                        }
                        settle(40).await;
                        n.cancel();
                        Ok(())
                    }));
                    r.unwrap();
                }
                check_all(times)
            }),
            Column::new("pleach, static: n.cancel()", || {
                for _ in 0..times {
                    let r: Result = run(nursery(async |n| {
                        for _ in 0..PARKED {
                            let tally = SharedTally(std::rc::Rc::clone(&shared));
                            n.spawn_static(async move {
                                let _tally = tally;
                                sleep_forever().await?;
                                Ok(())
                            });
                        }
                        settle(2).await;
                        n.cancel();
                        Ok(())
                    }));
                    r.unwrap();
                }
                check_shared(times)
            }),
            Column::new("FuturesUnordered: drop (no clean-up)", || {
                for _ in 0..times {
                    run(async {
                        let mut group: FuturesUnordered<Boxed<'_, ()>> = FuturesUnordered::new();
                        for _ in 0..PARKED {
                            group.push(Box::pin(async {
                                let _tally = Tally(&ended);
                                std::future::pending::<()>().await;
                            }));
                        }
                        // It yields to its caller now and then: until every one has been polled.
                        for _ in 0..64 {
                            let polled = futures_util::poll!(group.next());
                            assert!(polled.is_pending());
                        }
                        drop(group);
                    });
                }
                check_all(times)
            }),
            Column::new("tokio JoinSet: abort_all, join", || {
                for _ in 0..times {
                    LocalSet::new().block_on(tokio, async {
                        let mut group = JoinSet::new();
                        for _ in 0..PARKED {
                            let tally = SharedTally(std::rc::Rc::clone(&shared));
                            group.spawn_local(async move {
                                let _tally = tally;
                                std::future::pending::<()>().await;
                            });
                        }
                        tokio_settle(40).await;
                        group.abort_all();
                        while group.join_next().await.is_some() {}
                    });
                }
                check_shared(times)
            }),
            Column::new("tokio JoinSet + CancellationToken", || {
                for _ in 0..times {
                    LocalSet::new().block_on(tokio, async {
                        let token = CancellationToken::new();
                        let mut group = JoinSet::new();
                        for _ in 0..PARKED {
                            let tally = SharedTally(std::rc::Rc::clone(&shared));
                            let token = token.clone();
                            group.spawn_local(async move {
                                let _tally = tally;
                                token.cancelled().await;
                            });
                        }
                        tokio_settle(40).await;
                        token.cancel();
                        while group.join_next().await.is_some() {}
                    });
                }
                check_shared(times)
            }),
            Column::new("async-executor: Task::cancel", || {
                for _ in 0..times {
                    let ex = LocalExecutor::new();
                    run(ex.run(async {
                        let group: Vec<_> = (0..PARKED)
                            .map(|_| {
                                let tally = SharedTally(std::rc::Rc::clone(&shared));
                                ex.spawn(async move {
                                    let _tally = tally;
                                    std::future::pending::<()>().await;
                                })
                            })
                            .collect();
                        for _ in 0..2 {
                            Yields(1).await;
                        }
                        for task in group {
                            task.cancel().await;
                        }
                    }));
                }
                check_shared(times)
            }),
        ],
    );
}

/// Until every child has been polled: 64 polls lie between two turns of this one.
async fn settle(turns: u64) {
    for _ in 0..turns {
        checkpoint().await.expect("nobody has cancelled yet");
    }
}

async fn tokio_settle(turns: u64) {
    for _ in 0..turns {
        tokio::task::yield_now().await;
    }
}

// ---- our own small parts, no peer has them

fn primitives(size: Size) {
    let n = size.work;
    compare(
        "small parts of ours",
        "ns each",
        size.rounds,
        vec![
            Column::new("check()", || {
                run(async { (0..n).for_each(|_| check().expect("not cancelled")) });
                n
            }),
            Column::new("checkpoint()", || {
                run(async {
                    for _ in 0..n {
                        checkpoint().await.expect("not cancelled");
                    }
                });
                n
            }),
            Column::new("open and close a scope", || {
                run(async {
                    for _ in 0..n {
                        let r: Result<Option<()>> = CancelScope::new().run(async |_| Ok(())).await;
                        assert!(matches!(r, Ok(Some(()))));
                    }
                });
                n
            }),
            Column::new("open and close an empty nursery", || {
                run(async {
                    for _ in 0..n {
                        let r: Result = nursery(async |_| Ok(())).await;
                        assert!(r.is_ok());
                    }
                });
                n
            }),
        ],
    );
}

// ---- allocations

struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);
static BYTES: AtomicU64 = AtomicU64::new(0);

// SAFETY: every call is handed on to the system's allocator as it came; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Relaxed);
        BYTES.fetch_add(layout.size() as u64, Relaxed);
        // SAFETY: the caller's obligations are the system allocator's.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller's obligations are the system allocator's.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations(tokio: &Runtime) {
    const CHILDREN: u64 = 1000;
    println!(
        "\nheap allocations for a child that yields once, warm, 1000 in a group (does not depend on noise)"
    );
    let count = |name: &str, work: &dyn Fn()| {
        work();
        let (n, bytes) = (ALLOCATIONS.load(Relaxed), BYTES.load(Relaxed));
        work();
        let (n, bytes) = (ALLOCATIONS.load(Relaxed) - n, BYTES.load(Relaxed) - bytes);
        let each = |total: u64| total as f64 / CHILDREN as f64;
        println!("  {name:<34}{:>10.2} allocations {:>8.0} bytes", each(n), each(bytes));
        each(n)
    };
    let ours = count("pleach, borrowed", &|| {
        let r: Result = run(nursery(async |n| {
            for _ in 0..CHILDREN {
                n.spawn(async {
                    Yields(1).await;
                    Ok(())
                });
            }
            Ok(())
        }));
        r.unwrap();
    });
    assert!(ours < 1.1, "a borrowed child is one allocation");
    let ours = count("pleach, static", &|| {
        let r: Result = run(nursery(async |n| {
            for _ in 0..CHILDREN {
                n.spawn_static(async {
                    Yields(1).await;
                    Ok(())
                });
            }
            Ok(())
        }));
        r.unwrap();
    });
    assert!(ours < 1.1, "a static child is one allocation");
    count("FuturesUnordered", &|| {
        run(async {
            let mut group: FuturesUnordered<_> = (0..CHILDREN).map(|_| Yields(1)).collect();
            while group.next().await.is_some() {}
        });
    });
    count("tokio JoinSet", &|| {
        LocalSet::new().block_on(tokio, async {
            let mut group = JoinSet::new();
            for _ in 0..CHILDREN {
                group.spawn_local(Yields(1));
            }
            while group.join_next().await.is_some() {}
        });
    });
    count("async-executor LocalExecutor", &|| {
        let ex = LocalExecutor::new();
        run(ex.run(async {
            let group: Vec<_> = (0..CHILDREN).map(|_| ex.spawn(Yields(1))).collect();
            for task in group {
                task.await;
            }
        }));
    });
}
