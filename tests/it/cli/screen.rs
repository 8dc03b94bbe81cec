//! What is drawn on a terminal: bars, tables, colours.

use std::io::Read;
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;

use super::*;

/// A terminal of so many columns, and a shell that runs `script` on it. What it drew.
fn on_terminal(desk: &Desk, columns: u16, script: &str) -> String {
    let (mut own, mut other) = (0, 0);
    let size = libc::winsize { ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: two descriptors are written to, and the size is read.
    let opened = unsafe { libc::openpty(&mut own, &mut other, std::ptr::null_mut(), std::ptr::null(), &size) };
    assert_eq!(opened, 0);
    // SAFETY: both are new and nobody else's.
    let (own, other) = unsafe { (fs::File::from_raw_fd(own), OwnedFd::from_raw_fd(other)) };
    let mut shell = Command::new("/bin/bash");
    shell.args(["-c", script]).current_dir(desk.home.path());
    shell.env("B", BLOBCP).env("TERM", "xterm").env("HOME", desk.home.path()).env_remove("NO_COLOR");
    shell.env("AZURE_STORAGE_CONNECTION_STRING", desk.store.connection_string(ONE).unwrap());
    let end = || Stdio::from(other.try_clone().unwrap());
    shell.stdin(end()).stdout(end()).stderr(end());
    // SAFETY: system calls without pointers.
    unsafe {
        shell.pre_exec(|| {
            libc::setsid();
            libc::ioctl(0, libc::TIOCSCTTY, 0);
            Ok(())
        });
    }
    let mut child = shell.spawn().unwrap();
    drop((shell, other));
    let reader = std::thread::spawn(move || {
        let (mut own, mut drawn, mut some) = (own, Vec::new(), [0; 4096]);
        // EIO when nobody has the other end any more.
        while let Ok(count @ 1..) = own.read(&mut some) {
            drawn.extend_from_slice(&some[..count]);
        }
        String::from_utf8_lossy(&drawn).into_owned()
    });
    let deadline = Instant::now() + PATIENCE;
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > deadline {
            child.kill().unwrap();
            panic!("{script} did not end");
        }
        look_again();
    }
    reader.join().unwrap()
}

/// What is left on a screen of so many columns, and all that was written on it between two movements of its cursor.
struct Screen {
    columns: usize,
    lines: Vec<Vec<char>>,
    row: usize,
    column: usize,
    /// A line went on where the one before was full.
    wrapped: bool,
}

impl Screen {
    fn after(columns: u16, drawn: &str) -> Self {
        let mut screen =
            Self { columns: usize::from(columns), lines: vec![Vec::new()], row: 0, column: 0, wrapped: false };
        let mut rest = drawn.chars();
        while let Some(letter) = rest.next() {
            match letter {
                '\r' => screen.column = 0,
                '\n' => screen.down(1),
                '\u{1b}' => {
                    // `ESC [ NUMBER LETTER`
                    let sequence: String = rest.by_ref().skip(1).take_while(|one| !one.is_ascii_alphabetic()).collect();
                    // The letter is gone with the end of it, and is looked up where it stands.
                    let letter = drawn[..drawn.len() - rest.as_str().len()].chars().next_back().unwrap();
                    screen.obey(letter, sequence.parse().unwrap_or(1));
                }
                _ => screen.print(letter),
            }
        }
        screen
    }

    fn down(&mut self, rows: usize) {
        self.row += rows;
        while self.lines.len() <= self.row {
            self.lines.push(Vec::new());
        }
    }

    fn obey(&mut self, letter: char, number: usize) {
        match letter {
            'A' => self.row = self.row.saturating_sub(number),
            'B' => self.down(number),
            'K' => self.lines[self.row].clear(),
            'J' => self.lines.truncate(self.row + 1),
            // Colours, and whether the cursor is seen.
            _ => {}
        }
    }

    fn print(&mut self, letter: char) {
        if self.column == self.columns {
            self.wrapped |= letter != ' ';
            self.column = 0;
            self.down(1);
        }
        let line = &mut self.lines[self.row];
        line.resize(line.len().max(self.column + 1), ' ');
        line[self.column] = letter;
        self.column += 1;
    }

    /// What can be read.
    fn text(&self) -> Vec<String> {
        let lines = self.lines.iter().map(|line| line.iter().collect::<String>().trim_end().to_owned());
        lines.filter(|line| !line.is_empty()).collect()
    }
}

/// A file whose copy is under way for as long as a look at it takes.
fn slow_copy(desk: &Desk) -> (String, String) {
    desk.store.put_sparse(ONE, "box", "a-rather-long-name-of-a-disk-image.img", 8 << 20).unwrap();
    desk.mount_both();
    (format!("m/{ONE}/box/a-rather-long-name-of-a-disk-image.img"), format!("m/{TWO}/backup/a-rather-long-name.img"))
}

#[test]
fn bars_fit_a_narrow_screen_and_leave_nothing_on_it() {
    for columns in [24, 45, 70, 100] {
        let desk = Desk::new();
        let (source, target) = slow_copy(&desk);
        let drawn = on_terminal(&desk, columns, &format!("$B cp {source} {target}"));
        assert!(drawn.contains('%') || drawn.contains(" of 8.00 MiB"), "{columns}: {drawn:?}");
        let screen = Screen::after(columns, &drawn);
        assert_eq!((screen.text(), screen.wrapped), (Vec::<String>::new(), false), "{columns}: {drawn:?}");

        let tree = format!("m/{TWO}/backup/tree");
        let drawn =
            on_terminal(&desk, columns, &format!("mkdir {tree} && $B cp {source} m/{ONE}/box/hello.txt {tree}"));
        assert!(drawn.contains(" of 2"), "{columns}: {drawn:?}");
        let text = Screen::after(columns, &drawn).text().concat();
        assert!(
            text.starts_with("2 files copied (8.00 MiB) in ") && text.ends_with(" s"),
            "{columns}: {text:?} {drawn:?}"
        );
    }
}

#[test]
fn a_job_in_the_background_leaves_the_screen_alone() {
    let desk = Desk::new();
    let (source, target) = slow_copy(&desk);
    let drawn = on_terminal(&desk, 80, &format!("set -m; $B cp {source} {target} & wait; echo over"));
    assert!(drawn.ends_with("over\r\n") && !drawn.contains('%') && !drawn.contains("MiB"), "{drawn:?}");
    assert_eq!(desk.store.content(TWO, "backup", "a-rather-long-name.img").unwrap().len(), 8 << 20);
    let front = on_terminal(&desk, 80, &format!("set -m; $B cp {source} {target}"));
    assert!(front.contains("MiB"), "{front:?}");
}

#[test]
fn the_table_of_a_tree_fits_the_screen() {
    let desk = Desk::new();
    desk.mount_both();
    let dir = format!("m/{ONE}/box/{}", "directory/".repeat(10));
    fs::create_dir_all(desk.path(&dir)).unwrap();
    let source = format!("m/{ONE}/box/hello.txt");
    assert_eq!(desk.run(&["cp", &source, &format!("{dir}the-end.txt")]).status, 0);
    for columns in [40, 80] {
        let screen = Screen::after(columns, &on_terminal(&desk, columns, &format!("$B status -r m/{ONE}/box")));
        let text = screen.text();
        // Three files without a copy, one with, and the headings.
        assert_eq!((text.len(), screen.wrapped), (5, false), "{text:?}");
        assert!(text.iter().any(|line| line.contains("the-end.txt  success")), "{text:?}");
    }
    let piped = desk.run(&["status", "-r", &format!("m/{ONE}/box")]).out;
    assert!(piped.contains(&format!("{dir}the-end.txt  success")), "whole in a pipe: {piped}");
}

#[test]
fn no_color_is_heeded() {
    let desk = Desk::new();
    fs::create_dir(desk.path("n")).unwrap();
    let script = |no_color: &str| format!("{no_color} $B mount -f --log trace {ONE}/nosuch n");
    let plain = on_terminal(&desk, 80, &script("NO_COLOR=1"));
    assert!(plain.contains(" DEBUG ") || plain.contains(" TRACE ") || plain.contains(" WARN "), "{plain:?}");
    assert!(!plain.contains("\u{1b}["), "{plain:?}");
    assert!(on_terminal(&desk, 80, &script("")).contains("\u{1b}["));
}
