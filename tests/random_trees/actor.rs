//! A child that does anything at random, and the nurseries it lives in.
//!
//! ```text
//!   open ─► Open { a frame, and a nursery whose children borrow it }
//!   Actor::poll ─┬─ do_something: with wakers and with the nurseries of others      what anybody can do
//!                └─ spawn, cancel, sleep, open one of its own, end, fail, panic     what a child can do
//! ```

use crate::fault::{Fault, Run};
use crate::model::{Child, Fate, Nursery, Open, World, boom};
use pleach_executor::low_level::absorb;
use pleach_executor::{Cancelled, NurseryHandle, sleep};
use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

/// So many children a program has, about.
const SIZE: usize = 200;

/// What borrowed children borrow. When it is gone its memory is gone as well.
struct Frame(Box<Cell<u32>>);

const ALIVE: u32 = 0xA11E;

impl Frame {
    fn new() -> Self {
        Frame(Box::new(Cell::new(ALIVE)))
    }
}

impl Drop for Frame {
    fn drop(&mut self) {
        self.0.set(0);
    }
}

/// A waker that none of our numbers is in.
struct Foreign(Waker);

impl Wake for Foreign {
    fn wake(self: Arc<Self>) {
        self.0.wake_by_ref();
    }
}

type Children<'s, 'env> = pleach_executor::Nursery<'s, 'env, Fault>;

/// A nursery that nobody has polled yet.
pub(crate) fn open(world: &Rc<World>, holder: Option<Rc<Child>>) -> Open {
    let nursery = world.new_nursery(holder);
    let (theirs, inside) = (Rc::clone(world), Rc::clone(&nursery));
    let future = Box::pin(async move {
        let frame = Frame::new();
        Run::nursery(async |n| body(n, &frame, &theirs, &inside).await).await
    });
    Open::new(world, nursery, future)
}

/// A nursery that borrows from this very frame is leaked in it.
fn leak_here(world: &Rc<World>, cx: &mut Context<'_>) {
    let (frame, nursery) = (Frame::new(), world.new_nursery(None));
    let mut future = Box::pin(Run::nursery(async |n| body(n, &frame, world, &nursery).await));
    nursery.opened.set(true);
    nursery.polling.set(true);
    let polled = catch_unwind(AssertUnwindSafe(|| (0..3).all(|_| future.as_mut().poll(cx).is_pending())));
    nursery.polling.set(false);
    nursery.fate.set(if matches!(polled, Ok(true)) { Fate::Leaked } else { Fate::Over });
    std::mem::forget(future);
}

/// The body of every nursery: it spawns, and perhaps waits for the end.
async fn body<'s, 'env>(
    n: &'s Children<'s, 'env>,
    frame: &'env Frame,
    world: &Rc<World>,
    nursery: &Rc<Nursery>,
) -> Result<(), Fault> {
    for _ in 0..world.below(4) {
        spawn(Some(n), Some(frame), &n.handle(), world, nursery);
    }
    if world.below(4) == 0 {
        poll_fn(|cx| {
            if world.closing.get() {
                return Poll::Ready(());
            }
            world.bodies.borrow_mut().push(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }
    Ok(())
}

/// One child more, of either kind.
fn spawn<'s, 'env>(
    n: Option<&'s Children<'s, 'env>>,
    frame: Option<&'env Frame>,
    handle: &NurseryHandle<Fault>,
    world: &Rc<World>,
    nursery: &Rc<Nursery>,
) {
    if world.size() >= SIZE || world.closing.get() {
        return;
    }
    match n {
        Some(n) if world.below(3) > 0 => {
            n.spawn(Actor::new(Some(n), frame, handle, world, world.new_child(nursery, false)));
        }
        _ if handle.is_open() => {
            let child = world.new_child(nursery, true);
            let refused = handle.spawn(Actor::new(None, None, handle, world, child)).is_err();
            world.claim(!refused, "a nursery that is open takes children");
        }
        _ => {}
    }
}

/// What anybody can do.
pub(crate) fn do_something(world: &Rc<World>, cx: &mut Context<'_>) {
    if world.over.get() {
        return;
    }
    let what = world.below(26);
    let taken = || {
        let mut floats = world.floats.borrow_mut();
        let len = floats.len();
        (len > 0).then(|| floats.swap_remove(world.below(len as u32) as usize))
    };
    match what {
        0..4 => wake_any(world),
        4..8 => {
            let mut wakers = world.wakers.borrow_mut();
            wakers.truncate(40);
            wakers.insert(0, cx.waker().clone());
        }
        8..11 if world.size() < SIZE => {
            let new = open(world, None);
            world.floats.borrow_mut().push(new);
        }
        11..18 => {
            let Some(open) = taken() else { return };
            let waker = any_waker(world, cx);
            let left = open.poll(&mut Context::from_waker(&waker));
            world.floats.borrow_mut().extend(left);
        }
        18..20 => drop(taken()),
        20 => taken().map_or((), Open::leak),
        21 if world.below(4) == 0 => leak_here(world, cx),
        22..24 => world.tick(),
        _ => {}
    }
}

fn wake_any(world: &World) {
    let waker = {
        let wakers = world.wakers.borrow();
        let len = wakers.len() as u32;
        (len > 0).then(|| wakers[world.below(len) as usize].clone())
    };
    if let Some(waker) = waker {
        waker.wake();
    }
}

/// The one of this poll, a foreign one, none, or anybody's.
fn any_waker(world: &World, cx: &Context<'_>) -> Waker {
    let wakers = world.wakers.borrow();
    match (world.below(6), wakers.len() as u32) {
        (0, _) => Waker::noop().clone(),
        (1, _) => Waker::from(Arc::new(Foreign(cx.waker().clone()))),
        (2, len) if len > 0 => wakers[world.below(len) as usize].clone(),
        _ => cx.waker().clone(),
    }
}

type Nap = Pin<Box<dyn Future<Output = Result<(), Cancelled>>>>;

/// A child.
struct Actor<'s, 'env> {
    n: Option<&'s Children<'s, 'env>>,
    frame: Option<&'env Frame>,
    handle: NurseryHandle<Fault>,
    world: Rc<World>,
    child: Rc<Child>,
    /// A nursery of its own: polled whenever it is.
    inner: Option<Open>,
    nap: Option<Nap>,
    is_bomb: bool,
}

impl<'s, 'env> Actor<'s, 'env> {
    fn new(
        n: Option<&'s Children<'s, 'env>>,
        frame: Option<&'env Frame>,
        handle: &NurseryHandle<Fault>,
        world: &Rc<World>,
        child: Rc<Child>,
    ) -> Self {
        let (handle, world) = (handle.clone(), Rc::clone(world));
        let is_bomb = world.below(40) == 0;
        Actor { n, frame, handle, world, child, inner: None, nap: None, is_bomb }
    }

    fn check_frame(&self) {
        let alive = self.frame.is_none_or(|frame| frame.0.get() == ALIVE);
        self.world.claim(alive, "what a child borrows is there");
    }

    /// What a child can do. `Ready` ends it.
    fn act(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        let world = Rc::clone(&self.world);
        match world.below(64) {
            0..12 => cx.waker().wake_by_ref(),
            12..24 => spawn(self.n, self.frame, &self.handle, &world, &self.child.nursery),
            24 => self.handle.cancel(),
            25..28 => self.nap = Some(Box::pin(sleep(Duration::from_micros(world.below(300).into())))),
            28 => self.nap = None,
            29..33 if world.size() < SIZE => self.inner = Some(open(&world, Some(Rc::clone(&self.child)))),
            33 => self.inner = None,
            34 => self.inner.take().map_or((), Open::leak),
            35 => {
                world.fails(&self.child, true);
                boom()
            }
            36 => {
                world.fails(&self.child, false);
                return Poll::Ready(Err(Fault::Named("E")));
            }
            37..39 => return Poll::Ready(Ok(())),
            // Of a static child the loop polls: it may find the nursery that it is in.
            39..41 => drop(world.take_float_of(&self.child.nursery)),
            _ => do_something(&world, cx),
        }
        Poll::Pending
    }

    fn step(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        self.inner = self.inner.take().and_then(|inner| inner.poll(cx));
        if self.world.closing.get() {
            self.nap = None;
            return if self.inner.is_none() { Poll::Ready(Ok(())) } else { Poll::Pending };
        }
        if let Some(nap) = &mut self.nap
            && let Poll::Ready(r) = nap.as_mut().poll(cx)
        {
            if let Err(c) = r {
                absorb(c);
            }
            self.nap = None;
        }
        for _ in 0..self.world.below(4) {
            // Its run may end while it is polled by hand.
            if self.world.over.get() {
                break;
            }
            if let Poll::Ready(r) = self.act(cx) {
                return Poll::Ready(r);
            }
        }
        Poll::Pending
    }
}

impl Future for Actor<'_, '_> {
    type Output = Result<(), Fault>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.world.polled(&self.child, cx.waker());
        self.check_frame();
        let stepped = catch_unwind(AssertUnwindSafe(|| self.step(cx)));
        self.check_frame();
        self.child.ended.set(!matches!(stepped, Ok(Poll::Pending)));
        self.child.polling.set(false);
        stepped.unwrap_or_else(|payload| std::panic::resume_unwind(payload))
    }
}

impl Drop for Actor<'_, '_> {
    fn drop(&mut self) {
        self.check_frame();
        if self.world.below(4) == 0 {
            wake_any(&self.world);
        }
        self.world.dropped(&self.child, self.is_bomb);
    }
}
