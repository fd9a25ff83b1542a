//! Promise: a panic about a misuse points at the line that misused, not into the library.
//!
//! ```text
//!   misuse(kept from another run) ─► panic ─► hook: whose file? this one
//! ```
//!
//! Rules: a hook belongs to the process, so it only writes down, for each thread, what happened there last.

#[path = "support/by_hand.rs"]
mod by_hand;

use by_hand::message;
use pleach_executor::{
    CancelCause, CancelScope, Cancelled, NurseryHandle, RunHandle, ScopeHandle, low_level, now, nursery, run,
};
use std::cell::RefCell;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Once};
use std::time::Duration;

const S: Duration = Duration::from_secs(1);

thread_local! {
    /// The file that the last panic of this thread pointed at.
    static BLAMED: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// The file that `misuse`, which panics, is blamed on, and what the panic said.
fn blame(misuse: impl FnOnce()) -> (String, String) {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let others = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let file = info.location().map(|at| at.file().to_owned());
            BLAMED.with_borrow_mut(|blamed| *blamed = file);
            others(info);
        }));
    });
    let payload = catch_unwind(AssertUnwindSafe(misuse)).expect_err("a misuse");
    (BLAMED.take().expect("the hook has seen it"), message(payload))
}

#[track_caller]
fn assert_blamed_here(what: &str, misuse: impl FnOnce()) {
    let (file, text) = blame(misuse);
    assert_eq!(file, file!(), "{what}: {text}");
}

/// Uses a scope of a run that is over in another, by way of itself and of a handle.
fn assert_scope_blamed(what: &str, of_scope: impl FnOnce(CancelScope), of_handle: impl FnOnce(ScopeHandle)) {
    let (scope, of_another) = run(async { (CancelScope::new(), CancelScope::new()) });
    let handle = of_another.handle();
    assert_blamed_here(what, || run(async { of_scope(scope) }));
    assert_blamed_here(what, || run(async { of_handle(handle) }));
}

#[derive(Debug)]
struct Why;

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("why")
    }
}

impl CancelCause for Why {}

#[test]
fn a_scope_of_another_run_is_blamed_on_whoever_uses_it() {
    assert_scope_blamed("cancel", |s| s.cancel(), |h| h.cancel());
    assert_scope_blamed(
        "cancel_because",
        |s| s.cancel_because(Arc::new(Why)),
        |h| h.cancel_because(Arc::new(Why)),
    );
    assert_scope_blamed("set_shield", |s| s.set_shield(true), |h| h.set_shield(true));
    assert_scope_blamed("set_deadline", |s| s.set_deadline(None), |h| h.set_deadline(None));
    assert_scope_blamed("deadline_at", |s| _ = s.deadline_at(), |h| _ = h.deadline_at());
    assert_scope_blamed("cancel_called", |s| assert!(s.cancel_called()), |h| assert!(h.cancel_called()));
    assert_scope_blamed("reason", |s| drop(s.reason()), |h| drop(h.reason()));
}

#[test]
fn a_limit_for_a_scope_of_another_run_is_blamed_on_whoever_sets_it() {
    type Set = fn(CancelScope) -> CancelScope;
    let build: [(&str, Set); 3] =
        [("shield", |s| s.shield()), ("timeout", |s| s.timeout(S)), ("deadline", |s| s.deadline(now()))];
    for (what, build) in build {
        let scope = run(async { CancelScope::new() });
        assert_blamed_here(what, || run(async { drop(build(scope)) }));
    }
    run(async {
        assert_blamed_here("two limits", || drop(CancelScope::new().timeout(S).deadline(now() + S)));
        assert_blamed_here("two limits", || drop(CancelScope::new().deadline(now() + S).timeout(S)));
    });
}

#[test]
fn what_needs_a_run_is_blamed_on_whoever_has_none() {
    assert_blamed_here("a scope", || drop(CancelScope::new()));
    assert_blamed_here("a handle of the run", || drop(RunHandle::current()));
    assert_blamed_here("a job", || low_level::between_polls(|| {}));
    assert_blamed_here("a task", || _ = low_level::spawn_system(async {}));
    assert_blamed_here("a value", || drop(low_level::set_local(std::rc::Rc::new(()))));
}

#[test]
fn a_nursery_of_another_run_is_blamed_on_whoever_uses_it() {
    // A nursery that is open and not polled any more: its frame is leaked, and nothing ends it.
    let open = || -> NurseryHandle<Cancelled> {
        let slot = RefCell::new(None);
        run(async {
            let mut open = Box::pin(nursery(async |n| {
                slot.replace(Some(n.handle()));
                std::future::pending::<()>().await;
                Ok::<(), Cancelled>(())
            }));
            assert!(by_hand::poll_once(open.as_mut()).await.is_pending());
            slot.take().inspect(|_| std::mem::forget(open)).expect("the body has run")
        })
    };
    let handle = open();
    assert_blamed_here("cancel", || run(async { handle.cancel() }));
    assert_blamed_here("spawn", || run(async { drop(handle.spawn(async { Ok(()) })) }));
    assert_blamed_here("task", || run(async { drop(handle.task(async { Ok(1) })) }));
}
