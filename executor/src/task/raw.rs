//! All unsafe code of tasks: the table behind a number waker, and the lifetime of a borrowing child.
//!
//! ```text
//!   Word ──waker_of──► Waker { data: the number itself, vtable: VTABLE } ──wake──► runtime::wake(Word)
//!   Pin<Box<dyn Future + 's>> ──erase──► Erased ('static by name only; see its rule)
//! ```
//!
//! Rules:
//! * **Number Waker**: the data pointer is never dereferenced; every function of the table accepts any bits.
//! * **Borrowed Child**: an [`Erased`] future is kept in its nursery's frame only, polled only while that
//!   nursery's future is being polled, and dropped before that frame ends, or leaked together with it.

use super::word::Word;
use std::future::Future;
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

/// The waker of the node with this number.
pub(crate) fn waker_of(word: Word) -> Waker {
    let data = std::ptr::without_provenance(word.bits() as usize);
    // SAFETY: `RawWaker`'s contract asks that the table's functions are thread-safe and manage what the data
    // pointer owns. It owns nothing, and they only read its bits (Number Waker).
    unsafe { Waker::from_raw(RawWaker::new(data, &VTABLE)) }
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
