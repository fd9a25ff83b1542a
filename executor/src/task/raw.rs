//! All unsafe code of tasks: the table behind a number waker, and children without their lifetime and type.
//!
//! ```text
//!   Word ──waker_of──► Waker { data: the number itself, vtable: VTABLE } ──wake──► runtime::wake(Word)
//!   Pin<Box<dyn Future<Output = T> + 's>> ──erase──► Child, in the table ──into_future──► Boxed<T> ('static by name only)
//! ```
//!
//! Rules:
//! * **Number Waker**: the data pointer is never dereferenced; every function of the table accepts any bits.
//! * **Borrowed Child**: a child whose future borrows is polled only while its nursery's future is being polled, and
//!   dropped before that future's frame ends, or leaked together with it: the table never drops one.
//! * **Own Hub**: all children of a hub return the same type, because one nursery alone puts them there.

use super::word::Word;
use std::future::Future;
use std::mem::ManuallyDrop;
use std::pin::Pin;
use std::ptr::NonNull;
use std::task::{RawWaker, RawWakerVTable, Waker};

static VTABLE: RawWakerVTable = RawWakerVTable::new(clone, wake, wake, drop_nothing);

// `unsafe fn` only because the table's type asks for it: any pointer value is fine (Number Waker).
unsafe fn clone(data: *const ()) -> RawWaker {
    RawWaker::new(data, &VTABLE)
}
unsafe fn wake(data: *const ()) {
    crate::runtime::wake(Word::from_bits(data as usize as u64));
}
unsafe fn drop_nothing(_: *const ()) {}

/// The waker of the node with this number. It owns nothing, so nobody has to call its empty destructor.
pub(crate) fn waker_of(word: Word) -> ManuallyDrop<Waker> {
    let data = std::ptr::without_provenance(word.bits() as usize);
    // SAFETY: `RawWaker`'s contract asks that the table's functions are thread-safe and manage what the data
    // pointer owns. It owns nothing, and they only read its bits (Number Waker).
    ManuallyDrop::new(unsafe { Waker::from_raw(RawWaker::new(data, &VTABLE)) })
}

/// The number inside a waker of ours.
pub(crate) fn word_of(waker: &Waker) -> Option<Word> {
    std::ptr::eq(waker.vtable(), &VTABLE).then(|| Word::from_bits(waker.data() as usize as u64))
}

/// A child's future in a nursery's own words: what polls it knows what it returns.
pub(crate) type Boxed<T> = Pin<Box<dyn Future<Output = T>>>;

/// A child's future as the table of nodes holds it: the two words of its box, without its lifetime and without the type
/// of what it returns.
///
/// It has no destructor: whoever took it out of the table makes a future of it again, or leaks it.
#[must_use = "a child that is not put back or dropped leaks"]
pub(crate) struct Child(#[expect(dead_code, reason = "read and written as a whole, below")] [NonNull<()>; 2]);

const _: () =
    assert!(size_of::<Boxed<()>>() == size_of::<Child>() && align_of::<Boxed<()>>() == align_of::<Child>());

impl Child {
    /// Forgets the lifetime of a child, and what it returns.
    ///
    /// # Safety
    ///
    /// The caller keeps Borrowed Child: what comes of it is polled only while a future is polled whose type carries `'s`,
    /// and is dropped before the borrows of that future's frame end, or is leaked with it.
    pub(crate) unsafe fn erase<'s, T>(future: Pin<Box<dyn Future<Output = T> + 's>>) -> Child {
        let future = ManuallyDrop::new(future);
        // SAFETY: a pinned box of a trait object is a wide pointer, whatever its lifetime and `T`: two words, which is
        // asserted above, and neither is null (an address that a box may have, and a table). They are read once: the
        // original is never dropped.
        unsafe { std::mem::transmute_copy(&future) }
    }

    /// The child's future again.
    ///
    /// # Safety
    ///
    /// The child was made of a future that returns a `T` (Own Hub), and the caller keeps Borrowed Child.
    pub(crate) unsafe fn into_future<T>(self) -> Boxed<T> {
        let words = ManuallyDrop::new(self);
        // SAFETY: these are the words of a `Pin<Box<dyn Future<Output = T>>>` but for its lifetime, by the caller's word,
        // and they are given back once: a `Child` is not copied.
        unsafe { std::mem::transmute_copy(&words) }
    }
}
