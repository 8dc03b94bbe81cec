//! The program's allocator keeps what is freed for the next piece of content, and gives it back to the kernel while it is
//! asked for something else. Whoever asks for nothing any more would keep all that a burst has left.

// Its crate says nothing of this function without further dependencies.
use mimalloc as _;

unsafe extern "C" {
    fn mi_collect(force: bool);
}

/// Gives what is free back to the kernel. It takes as long as that does.
pub(in crate::fs) fn give_back() {
    // SAFETY: it is declared as in mimalloc.h; it takes no pointer, and any thread may call it at any time, also where
    // another allocator is in use.
    unsafe { mi_collect(true) }
}
