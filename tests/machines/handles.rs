//! Open files: all who have one open share it, and the last to leave knows that it is the last.

use std::sync::Arc;

use super::Thread;
use crate::fs::attr::Ino;
use crate::fs::caller::Caller;
use crate::fs::handle::{Access, Handle, Handles};
use crate::fs::names::open::OpenNode;
use crate::sync::interleaved::{at_once, interleave, step};

const INO: Ino = Ino(5);

fn handle(handles: &Handles, flags: i32) -> Handle {
    // No process has that number: nothing is asked about it.
    Handle::new(handles.acquire(INO), Access::of_flags(flags), false, Caller { pid: u32::MAX })
}

#[test]
fn of_those_who_leave_exactly_the_last_one_is_told_so() {
    interleave(|| {
        let handles = Arc::new(Handles::default());
        let user = || {
            let handles = handles.clone();
            Box::new(move || {
                let file = handles.acquire(INO);
                let same = handles.of_ino(INO).expect("it is open");
                assert!(Arc::ptr_eq(&file, &same), "there is one state for all");
                let state = shuttle::future::block_on(file.lock());
                let last = handles.is_last(INO);
                step();
                let done = handles.done(INO);
                assert!(last || !done, "the last one has to store what there is, and is told to before it leaves");
                drop(state);
                (file, done)
            }) as Thread<(_, bool)>
        };
        let left = at_once(vec![user(), user(), user()]);
        assert!(handles.of_ino(INO).is_none() && handles.open_files().is_empty());
        let mut files: Vec<_> = left.iter().map(|(file, _)| Arc::as_ptr(file)).collect();
        files.sort();
        files.dedup();
        assert_eq!(left.iter().filter(|(_, done)| *done).count(), files.len(), "one for each time that it was open");
    });
}

#[test]
fn what_a_file_is_open_for_is_what_its_handles_are_open_for() {
    interleave(|| {
        let handles = Arc::new(Handles::default());
        let file = handles.acquire(INO);
        let user = |flags: i32| {
            let handles = handles.clone();
            Box::new(move || {
                let fh = handles.insert(handle(&handles, flags));
                let file = handles.get(fh).unwrap().file.clone();
                let access = Access::of_flags(flags);
                assert!((!access.read || file.is_read()) && (!access.write || file.is_written()));
                assert!(!file.is_only_appended_to() || flags & libc::O_APPEND != 0);
                let closers: Vec<_> = (0..2)
                    .map(|_| {
                        let handles = handles.clone();
                        shuttle::thread::spawn(move || handles.remove(fh).is_some())
                    })
                    .collect();
                let closed = closers.into_iter().map(|closer| closer.join().unwrap());
                assert_eq!(closed.filter(|closed| *closed).count(), 1, "it is closed once");
                handles.done(INO)
            }) as Thread<bool>
        };
        let append = libc::O_WRONLY | libc::O_APPEND;
        assert_eq!(at_once(vec![user(libc::O_RDONLY), user(append)]), [false, false]);
        assert!(!file.is_read() && !file.is_written() && !file.is_cached() && !file.is_only_appended_to());
        assert!(handles.done(INO), "nobody else is left");
    });
}

#[test]
fn a_file_is_ahead_of_the_service_while_anybody_stores_something() {
    interleave(|| {
        let handles = Arc::new(Handles::default());
        let file = handles.acquire(INO);
        let stores = || {
            let file = file.clone();
            Box::new(move || {
                let storing = file.storing();
                step();
                assert!(file.is_ahead());
                drop(storing);
            }) as Thread<()>
        };
        at_once(vec![stores(), stores()]);
        assert!(!file.is_ahead());
    });
}
