//! What is read and not run: the source, the pages about it, and whether they hold what they promise. Links nothing of the crate, and is
//! therefore built in a moment.

mod book;
mod checklist;
mod joined;
mod layers;
