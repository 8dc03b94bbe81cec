//! A mount of a service that says what cannot be: the directory works as far as it can be told, and nothing goes on for ever.

use crate::common::liar::Liar;
use crate::common::*;

fn row(name: &str, properties: &str) -> String {
    format!("<Blob><Name>{name}</Name><Properties>{properties}</Properties></Blob>")
}

fn size(size: &str) -> String {
    format!("<Content-Length>{size}</Content-Length>")
}

#[test]
fn a_directory_shows_what_can_be_and_the_log_has_a_line_for_all_else() {
    let rows = [
        row("good", &size("7")),
        row("large", &size("9223372036854775807")),
        row("negative", &size("-1")),
        row("text", &size("many")),
        row("larger", &size("9223372036854775808")),
        row("largest", &size("340282366920938463463374607431768211456")),
        row("yesterday", "<Last-Modified>yesterday</Last-Modified>"),
        row("good", &size("8")),
        row("slash/in/it", ""),
        row("../up", ""),
        row("..", ""),
        row("", ""),
        row("nul&#0;", ""),
        row(&"x".repeat(2 << 20), ""),
        "<BlobPrefix><Name>dir/</Name></BlobPrefix>".to_owned(),
        "<BlobPrefix><Name>dir/</Name></BlobPrefix>".to_owned(),
        "<BlobPrefix><Name>/</Name></BlobPrefix>".to_owned(),
        "<BlobPrefix><Name>two/levels/</Name></BlobPrefix>".to_owned(),
    ];
    let liar = Liar::listing(move |_| (rows.concat(), None));
    let world = logged();
    let mount = world.mounted_through(liar.port, &Setup::default());
    let here = mount.here();
    let before = times_logged("left out of a listing");
    let ran = start_in(&here, "ls -U1 | sort").wait();
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), "dir\ngood\nlarge\n"), "{ran:?}");
    let ran = start_in(&here, "stat -c '%n %s' good large; ls -la | wc -l").wait();
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), "good 7\nlarge 9223372036854775807\n6\n"), "{ran:?}");
    let lines = times_logged("left out of a listing") - before;
    assert_eq!(lines, liar.pages(), "a line for each listing");
    assert_logged(&["left out of a listing", "rows=14", "negative"]);
}

#[test]
fn a_listing_that_repeats_itself_is_an_error_and_not_endless() {
    type Next = fn(Option<&str>) -> (String, Option<String>);
    let ways: [Next; 4] = [
        // On to itself.
        |_| (row("a", &size("1")), Some("same".into())),
        // In a circle.
        |marker| match marker {
            Some("one") => (row("b", &size("1")), Some("two".into())),
            _ => (row("a", &size("1")), Some("one".into())),
        },
        // The same page under another marker each time.
        |marker| {
            let page = marker.map_or(0, |marker| marker.parse::<u64>().unwrap());
            (row("a", &size("1")) + &row("b", &size("1")), Some((page + 1).to_string()))
        },
        // Back and forth.
        |marker| {
            let page = marker.map_or(0, |marker| marker.parse::<u64>().unwrap());
            (row(if page % 2 == 0 { "m" } else { "c" }, &size("1")), Some((page + 1).to_string()))
        },
    ];
    let world = World::new();
    for (number, way) in ways.into_iter().enumerate() {
        let liar = Liar::listing(way);
        let mount = world.mounted_through(liar.port, &Setup::default());
        let ran = start_in(&mount.here(), "ls").wait();
        assert_ne!(ran.code, Some(0), "{number}: {ran:?}");
        assert!(ran.stderr.contains("Input/output error"), "{number}: {ran:?}");
        assert!(liar.pages() < 20, "{number}: {} pages", liar.pages());
    }
}

#[test]
fn a_marker_that_is_no_marker_is_an_error() {
    let world = logged();
    // Of 9 KiB; each is another one.
    let liar = Liar::listing(|marker| {
        let page = marker.map_or(0, |marker| marker.trim_start_matches('x').parse::<u64>().unwrap());
        (row(&format!("{page:08}"), &size("1")), Some(format!("{}{}", "x".repeat(9 << 10), page + 1)))
    });
    let mount = world.mounted_through(liar.port, &Setup::default());
    let ran = start_in(&mount.here(), "ls").wait();
    assert!(ran.code != Some(0) && ran.stderr.contains("Input/output error"), "{ran:?}");
    assert!(liar.pages() < 5, "{} pages", liar.pages());
    assert_logged(&["a marker of 9217 bytes"]);
}

#[test]
fn a_page_of_a_million_names_is_an_error() {
    let liar =
        Liar::listing(|_| ((0..1_000_000).map(|name| format!("<Blob><Name>{name}</Name></Blob>")).collect(), None));
    let world = World::new();
    let mount = world.mounted_through(liar.port, &Setup::default());
    let ran = start_in(&mount.here(), "ls").wait();
    assert_ne!(ran.code, Some(0), "{ran:?}");
    assert!(ran.stderr.contains("Input/output error"), "{ran:?}");
}

/// A listing below `d/` that always has another page, in the order of names; there is one file in `src`, and nothing else.
fn endless_below(prefix: Option<&str>, marker: Option<&str>) -> (String, Option<String>) {
    let folder = |name: &str| format!("<BlobPrefix><Name>{name}</Name></BlobPrefix>");
    match prefix {
        None => (folder("d/") + &folder("src/"), None),
        Some("src/") => (row("src/a", &size("1")), None),
        Some(below) if below.starts_with("d/") && below.ends_with('/') => {
            let page = marker.map_or(0, |marker| marker.parse::<u64>().unwrap());
            let filler = "x".repeat(700);
            let rows = (0..1000).map(|number| row(&format!("{below}{page:08}-{number:04}-{filler}"), &size("1")));
            (rows.collect(), Some((page + 1).to_string()))
        }
        Some(_) => (String::new(), None),
    }
}

#[test]
fn what_has_to_be_known_as_a_whole_has_a_bound_in_memory() {
    let world = logged();
    for command in ["mv d e", "cp -r src d"] {
        let liar = Liar::listing_below(endless_below);
        // Four times that, for which eight thousand names of that length are enough.
        let mount = world.mounted_through(liar.port, &Setup { memory_limit: 8 << 20, ..Setup::default() });
        let program = if command.starts_with("cp") { env!("CARGO_BIN_EXE_blobcp") } else { "" };
        let ran = start_in(&mount.here(), &format!("ls; {program} {command}")).wait();
        assert!(ran.code == Some(1) && ran.stdout.starts_with("d\nsrc\n"), "{command}: {ran:?}");
        let says = if command.starts_with("mv") { "Cannot allocate memory" } else { "4 times --memory-limit" };
        assert!(ran.stderr.contains(says), "{command}: {ran:?}");
        let below = if command.starts_with("mv") { "d/" } else { "d/src/" };
        let pages = liar.pages_below(below);
        assert!((5..40).contains(&pages), "{command}: {pages} pages");
    }
    assert_logged(&["4 times --memory-limit"]);
}

#[test]
fn a_hidden_directory_ends_a_name_that_goes_on_for_ever() {
    let liar = Liar::listing_below(|prefix, marker| match prefix {
        None => ("<BlobPrefix><Name>d/</Name></BlobPrefix>".to_owned() + &row("a", &size("1")), None),
        // The blob itself on each page, and another page.
        Some("a") => {
            let page = marker.map_or(0, |marker| marker.parse::<u64>().unwrap());
            (row("a", &size("1")), Some((page + 1).to_string()))
        }
        Some(_) => (String::new(), None),
    });
    let world = logged();
    let mount = world.mounted_through(liar.port, &Setup::default());
    for directory in [".snapshots", ".deleted"] {
        let before = liar.pages_below("a");
        let ran = start_in(&mount.here(), &format!("ls >/dev/null; stat {directory}/a")).wait();
        assert!(ran.stderr.contains("Input/output error"), "{directory}: {ran:?}");
        let pages = liar.pages_below("a") - before;
        assert!((2..=110).contains(&pages), "{directory}: {pages} pages");
    }
    assert_logged(&["pages are listed of this name"]);
}
