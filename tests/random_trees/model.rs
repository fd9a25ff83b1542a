//! What has to be true of each child and each nursery, whatever a program does.
//!
//! ```text
//!   Open ─ polled │ dropped │ leaked ─► Nursery { fate, counts } ◄─ its children ─► Child { polled, ended, dropped }
//!                                             └── at the end ─► faults: claims that did not hold
//! ```
//!
//! Rules:
//! * A nursery that is leaked takes its borrowed children with it, and the nurseries that those hold. Its static children
//!   live on, and their failures come out of the run.
//! * Who fails in a nursery that is over is an orphan: the run is told.

use crate::fault::Fault;
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// What children of these programs panic with.
pub(crate) struct Boom;

/// Panics without a word on the terminal.
pub(crate) fn boom() -> ! {
    std::panic::resume_unwind(Box::new(Boom))
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Open,
    /// Nobody has it any more, and it was not dropped.
    Leaked,
    /// Its future has ended, or was dropped, or is about to be.
    Over,
}

/// What the model knows of a nursery.
pub(crate) struct Nursery {
    /// The child that keeps its future.
    holder: Option<Rc<Child>>,
    pub(crate) fate: Cell<Fate>,
    /// Has it been polled at all?
    pub(crate) opened: Cell<bool>,
    pub(crate) polling: Cell<bool>,
    /// Is its future being dropped, open?
    tearing: Cell<bool>,
    live: Cell<u32>,
    failed: Cell<u32>,
    panicked: Cell<u32>,
    /// Destructors that have panicked while it was torn down.
    torn: Cell<u32>,
}

/// What the model knows of a child.
pub(crate) struct Child {
    pub(crate) nursery: Rc<Nursery>,
    pub(crate) is_static: bool,
    /// The last that it was polled with.
    pub(crate) waker: RefCell<Option<Waker>>,
    pub(crate) polling: Cell<bool>,
    pub(crate) ended: Cell<bool>,
    dropped: Cell<u32>,
}

impl Nursery {
    /// It, or what keeps it.
    pub(crate) fn is_leaked(&self) -> bool {
        self.fate.get() == Fate::Leaked || self.holder.as_ref().is_some_and(|child| child.is_leaked())
    }

    fn has_failed(&self) -> bool {
        self.failed.get() + self.panicked.get() > 0
    }
}

impl Child {
    fn is_leaked(&self) -> bool {
        !self.is_static && self.nursery.is_leaked()
    }
}

/// One program, and what it has been caught at.
pub(crate) struct World {
    random: Cell<u64>,
    /// The end: nothing new, and everybody ends when polled.
    pub(crate) closing: Cell<bool>,
    /// The run has ended: nobody polls any more.
    pub(crate) over: Cell<bool>,
    /// Had somebody failed by then of whom only the run can hear?
    pub(crate) unheard: Cell<bool>,
    /// One tick of the guest, if the program is one, and is not ticking.
    pub(crate) tick: RefCell<Option<Box<dyn FnMut()>>>,
    /// Nurseries that are in nobody's hands: anybody may take one.
    pub(crate) floats: RefCell<Vec<Open>>,
    /// Wakers that somebody has once been polled with.
    pub(crate) wakers: RefCell<Vec<Waker>>,
    /// Those of bodies that wait for the end.
    pub(crate) bodies: RefCell<Vec<Waker>>,
    children: RefCell<Vec<Rc<Child>>>,
    nurseries: RefCell<Vec<Rc<Nursery>>>,
    orphans: Cell<u32>,
    faults: RefCell<Vec<String>>,
}

impl World {
    pub(crate) fn new(seed: u64) -> Rc<Self> {
        Rc::new(World {
            random: Cell::new(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1),
            closing: Cell::new(false),
            over: Cell::new(false),
            unheard: Cell::new(false),
            tick: RefCell::default(),
            floats: RefCell::default(),
            wakers: RefCell::default(),
            bodies: RefCell::default(),
            children: RefCell::default(),
            nurseries: RefCell::default(),
            orphans: Cell::new(0),
            faults: RefCell::default(),
        })
    }

    /// A number below `n`.
    pub(crate) fn below(&self, n: u32) -> u32 {
        let mut x = self.random.get();
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        self.random.set(x);
        ((x >> 32) as u32) % n
    }

    pub(crate) fn claim(&self, holds: bool, what: &str) {
        if !holds {
            self.faults.borrow_mut().push(what.into());
        }
    }

    /// How many children there have been.
    pub(crate) fn size(&self) -> usize {
        self.children.borrow().len()
    }

    pub(crate) fn new_nursery(&self, holder: Option<Rc<Child>>) -> Rc<Nursery> {
        let nursery = Rc::new(Nursery {
            holder,
            fate: Cell::new(Fate::Open),
            opened: Cell::new(false),
            polling: Cell::new(false),
            tearing: Cell::new(false),
            live: Cell::new(0),
            failed: Cell::new(0),
            panicked: Cell::new(0),
            torn: Cell::new(0),
        });
        self.nurseries.borrow_mut().push(Rc::clone(&nursery));
        nursery
    }

    pub(crate) fn new_child(&self, nursery: &Rc<Nursery>, is_static: bool) -> Rc<Child> {
        let child = Rc::new(Child {
            nursery: Rc::clone(nursery),
            is_static,
            waker: RefCell::default(),
            polling: Cell::new(false),
            ended: Cell::new(false),
            dropped: Cell::new(0),
        });
        nursery.live.set(nursery.live.get() + 1);
        self.children.borrow_mut().push(Rc::clone(&child));
        child
    }

    /// The future of this nursery, if it is in nobody's hands.
    pub(crate) fn take_float_of(&self, nursery: &Rc<Nursery>) -> Option<Open> {
        let mut floats = self.floats.borrow_mut();
        let at = floats.iter().position(|open| Rc::ptr_eq(&open.nursery, nursery))?;
        Some(floats.swap_remove(at))
    }

    // ---- what happens to children

    pub(crate) fn polled(&self, child: &Child, waker: &Waker) {
        let before = child.waker.replace(Some(waker.clone()));
        drop(before);
        self.claim(
            !child.polling.get() && !child.ended.get(),
            "a child is polled once at a time, until it ends",
        );
        self.claim(!child.is_leaked(), "nobody polls a borrowed child of a nursery that was leaked");
        if !child.is_static {
            self.claim(child.nursery.polling.get(), "a borrowed child is polled by its nursery");
        }
        child.polling.set(true);
    }

    /// It ends with an error, or a panic.
    pub(crate) fn fails(&self, child: &Child, panics: bool) {
        let nursery = &child.nursery;
        let count = match nursery.fate.get() {
            Fate::Over => &self.orphans,
            _ if panics => &nursery.panicked,
            _ => &nursery.failed,
        };
        count.set(count.get() + 1);
    }

    /// It is dropped; says whether it may panic at that.
    pub(crate) fn dropped(&self, child: &Child, wants_to_panic: bool) {
        let nursery = &child.nursery;
        child.dropped.set(child.dropped.get() + 1);
        nursery.live.set(nursery.live.get() - 1);
        self.claim(!child.is_leaked(), "nobody drops a borrowed child of a nursery that was leaked");
        if !wants_to_panic || std::thread::panicking() {
            return;
        }
        match nursery.fate.get() {
            // Of one that waits on, nobody hears.
            Fate::Over if nursery.tearing.get() && !child.polling.get() => {
                nursery.torn.set(nursery.torn.get() + 1)
            }
            Fate::Over if child.ended.get() => self.fails(child, true),
            Fate::Over => {}
            Fate::Open | Fate::Leaked => self.fails(child, true),
        }
        boom()
    }

    // ---- the end

    /// Ticks the guest, unless it is ticking, or there is none.
    pub(crate) fn tick(&self) {
        let tick = self.tick.take();
        if let Some(mut tick) = tick {
            tick();
            self.tick.replace(Some(tick));
        }
    }

    /// Every nursery has somebody who polls it, and everybody is woken, once.
    pub(crate) fn end_all(&self, cx: &mut Context<'_>) {
        self.poll_all(cx);
        let children = self.children.borrow().clone();
        for child in children.iter().filter(|child| !child.ended.get()) {
            let waker = child.waker.borrow().clone();
            waker.iter().for_each(Waker::wake_by_ref);
        }
        self.bodies.take().into_iter().for_each(Waker::wake);
    }

    /// Polls those that are in nobody's hands.
    pub(crate) fn poll_all(&self, cx: &mut Context<'_>) {
        let floats = self.floats.take();
        let left: Vec<_> = floats.into_iter().filter_map(|open| open.poll(cx)).collect();
        self.floats.borrow_mut().extend(left);
    }

    /// The run has ended, or is about to.
    pub(crate) fn run_ends(&self) {
        if !self.over.replace(true) {
            // A nursery that nobody has ended keeps what failed in it.
            let kept = self.nurseries.borrow().iter().any(|n| n.fate.get() != Fate::Over && n.has_failed());
            self.unheard.set(kept || self.orphans.get() > 0);
        }
    }

    /// Everything that did not hold; `tasks` is how many are left.
    pub(crate) fn faults_at_end(&self, tasks: usize) -> Vec<String> {
        let mut left = 0;
        for child in self.children.borrow().iter() {
            let dropped = child.dropped.get();
            self.claim(dropped == 1 || (child.is_leaked() && dropped == 0), "a child is dropped once");
            left += usize::from(dropped == 0);
        }
        left += self
            .nurseries
            .borrow()
            .iter()
            .filter(|n| n.opened.get() && n.is_leaked() && n.fate.get() != Fate::Over)
            .count();
        self.claim(tasks == left, &format!("{left} tasks are left, and not {tasks}"));
        self.faults.take()
    }
}

type Running = Pin<Box<dyn Future<Output = Result<(), Fault>>>>;

/// The future of a nursery, as whoever keeps it polls, drops or leaks it.
pub(crate) struct Open {
    world: Rc<World>,
    nursery: Rc<Nursery>,
    future: Option<Running>,
}

impl Open {
    pub(crate) fn new(world: &Rc<World>, nursery: Rc<Nursery>, future: Running) -> Self {
        Open { world: Rc::clone(world), nursery, future: Some(future) }
    }

    /// One poll; `None` if it has ended.
    pub(crate) fn poll(mut self, cx: &mut Context<'_>) -> Option<Self> {
        if self.world.over.get() {
            return Some(self);
        }
        let mut future = self.future.take()?;
        let (world, nursery) = (&self.world, &self.nursery);
        nursery.opened.set(true);
        nursery.polling.set(true);
        let polled = catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx)));
        nursery.polling.set(false);
        let failed = nursery.failed.get() as usize;
        match polled {
            Ok(Poll::Pending) => {
                self.future = Some(future);
                return Some(self);
            }
            Ok(Poll::Ready(r)) => {
                world.claim(nursery.panicked.get() == 0, "a panic comes out");
                world.claim(leaves(&r) == failed, "every failure comes out, and no other");
            }
            Err(payload) => {
                world.claim(payload.is::<Boom>() && nursery.panicked.get() > 0, "nobody else panics");
            }
        }
        world.claim(nursery.live.get() == 0, "a nursery outlives its children");
        nursery.fate.set(Fate::Over);
        None
    }

    /// It is never polled again, and never dropped.
    pub(crate) fn leak(mut self) {
        self.nursery.fate.set(Fate::Leaked);
        std::mem::forget(self.future.take());
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let Some(future) = self.future.take() else { return };
        let (world, nursery) = (&self.world, &self.nursery);
        nursery.fate.set(Fate::Over);
        nursery.tearing.set(true);
        let unwinding = std::thread::panicking();
        let panicked = catch_unwind(AssertUnwindSafe(|| drop(future))).is_err();
        nursery.tearing.set(false);
        let torn = nursery.torn.get() > 0;
        world.claim(panicked == torn || unwinding, "the panic of a destructor comes out of the drop");
    }
}

/// How many failures there are.
fn leaves(r: &Result<(), Fault>) -> usize {
    match r {
        Ok(()) => 0,
        Err(Fault::Many(all)) => all.len(),
        Err(_) => 1,
    }
}
