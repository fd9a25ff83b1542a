//! All unsafe code of tasks: the table behind a number waker, the lifetime of a borrowing child, a pinned field.
//!
//! ```text
//!   Word ──waker_of──► Waker { data: the number itself, vtable: VTABLE } ──wake──► runtime::wake(Word)
//!   Pin<Box<dyn Future + 's>> ──erase──► Erased ('static by name only; see its rule)
//!   Pin<&mut Attended> ──parts──► Pin<&mut Option<F>>, &mut A
//! ```
//!
//! Rules:
//! * **Number Waker**: the data pointer is never dereferenced; every function of the table accepts any bits.
//! * **Borrowed Child**: an [`Erased`] future is kept in its nursery's frame only, polled only while that
//!   nursery's future is being polled, and dropped before that frame ends, or leaked together with it.
//! * **Pinned Future**: the future in an [`Attended`] is never moved out; what stands beside it is never pinned.

use super::word::Word;
use std::future::Future;
use std::mem::ManuallyDrop;
use std::pin::Pin;
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

/// A child's future whose borrows the compiler no longer sees.
pub(crate) type Erased<E> = Pin<Box<dyn Future<Output = Result<(), E>>>>;

/// Forgets the lifetime of a borrowing child.
///
/// # Safety
///
/// The caller keeps Borrowed Child: the result is stored in the frame of a future whose type carries `'s`, is
/// polled only while that future is polled, and is dropped before that frame's borrows end (or is leaked with it).
pub(crate) unsafe fn erase<'s, E>(future: Pin<Box<dyn Future<Output = Result<(), E>> + 's>>) -> Erased<E> {
    // SAFETY: the two types differ in the lifetime alone, so layout and table are the same; the caller upholds
    // that the future is not used after 's.
    unsafe { std::mem::transmute::<Pin<Box<dyn Future<Output = Result<(), E>> + 's>>, Erased<E>>(future) }
}

/// A future and somebody who attends it to its end, in one piece of memory.
pub(crate) struct Attended<F, A> {
    /// `None` once it has been dropped in its place.
    future: Option<F>,
    attendant: A,
}

impl<F, A> Attended<F, A> {
    pub(crate) fn new(future: F, attendant: A) -> Self {
        Attended { future: Some(future), attendant }
    }

    /// The future, pinned, and its attendant, not pinned.
    pub(crate) fn parts(self: Pin<&mut Self>) -> (Pin<&mut Option<F>>, &mut A) {
        // SAFETY: nothing is moved out of the reference: below, `future` is pinned again at once (Pinned Future).
        let me = unsafe { self.get_unchecked_mut() };
        // SAFETY: `future` is a field of a pinned value, no other function gives access to it, and the type has no
        // destructor of its own and is not packed: it stays in its place until it is dropped there (Pinned Future).
        (unsafe { Pin::new_unchecked(&mut me.future) }, &mut me.attendant)
    }
}
