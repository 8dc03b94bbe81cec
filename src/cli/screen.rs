//! The terminal that is drawn on: how wide it is, whether it is ours at the moment, whether it is to have colours.

use std::io::{self, IsTerminal};

use console::Term;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget};

/// Columns below which there is no room for a bar beside what it says.
pub(super) const NARROW: usize = 60;

/// Columns of the terminal on which bars are drawn.
pub(super) fn width() -> usize {
    usize::from(Term::stderr().size().1).max(1)
}

/// Columns of the terminal that is printed on; `None` if it is a file or a pipe.
pub(super) fn width_of_output() -> Option<usize> {
    io::stdout().is_terminal().then(|| usize::from(Term::stdout().size().1).max(1))
}

/// Whether the terminal is for this process to draw on: a job in the background leaves it to the shell, which has its
/// prompt there.
pub(super) fn is_ours() -> bool {
    // SAFETY: two questions to the kernel that take a number at most.
    let (front, own) = unsafe { (libc::tcgetpgrp(libc::STDERR_FILENO), libc::getpgrp()) };
    // Where it is not the terminal that controls us, there is no background.
    front == -1 || front == own
}

/// Colours are for a terminal, and for nobody who sets NO_COLOR (<https://no-color.org>).
pub(super) fn wants_colours() -> bool {
    io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// What bars are drawn on at this moment.
fn target() -> ProgressDrawTarget {
    if is_ours() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() }
}

/// Bars that are not drawn while the process is in the background.
pub(super) struct Bars {
    pub all: MultiProgress,
    shown: bool,
}

impl Bars {
    pub(super) fn new() -> Self {
        Self { all: MultiProgress::with_draw_target(target()), shown: is_ours() }
    }

    /// To be called before they are changed.
    pub(super) fn look(&mut self) {
        let shown = is_ours();
        if shown != self.shown {
            self.all.set_draw_target(target());
            self.shown = shown;
        }
    }
}

/// The same of one bar alone.
pub(super) fn look(bar: &ProgressBar) {
    if bar.is_hidden() == is_ours() {
        bar.set_draw_target(target());
    }
}
