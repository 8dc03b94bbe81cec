//! Mounting and unmounting: what is said, waited for and left behind.

use super::*;

#[test]
fn mount_returns_when_it_works_and_umount_when_everything_is_stored() {
    let desk = Desk::new();
    let ended = desk.run(&["mount", ONE, "m"]);
    assert_eq!((ended.status, ended.err.as_str()), (0, ""));
    let log = desk.path(".local/state/blobcp");
    assert!(ended.out.starts_with(&format!(
        "{ONE} is mounted on {}\nThe log is {}",
        desk.m().display(),
        log.display()
    )));
    assert_eq!(fs::read_to_string(desk.m().join("box/hello.txt")).unwrap(), "hello");
    let mount = table::read().unwrap().at(&desk.m()).unwrap().clone();
    assert_eq!((mount.kind.as_str(), mount.source.to_str()), ("fuse.blobcp", Some(ONE)));

    let mut written = fs::File::create(desk.m().join("box/new.txt")).unwrap();
    written.write_all(b"news").unwrap();
    drop(written);
    let ended = desk.umount();
    assert_eq!((ended.status, ended.out.as_str(), ended.err.as_str()), (0, "", ""));
    assert!(!desk.is_mounted());
    assert_eq!(&desk.store.content(ONE, "box", "new.txt").unwrap()[..], b"news");
    assert_eq!(desk.processes(), [0; 0]);
}

#[test]
fn a_host_that_refuses_or_never_answers_is_said_within_fifteen_seconds() {
    let desk = Desk::new();
    // Accepts connections and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let silent_url = format!("http://{}/someone", silent.local_addr().unwrap());
    let closed_url = format!("http://{closed}/someone");
    for (url, expected) in [
        (&silent_url, format!("{silent_url} did not answer within 12 s")),
        (&closed_url, format!("cannot reach {closed_url}: Connection refused")),
    ] {
        let mut command = desk.command(&["mount", url, "m"]);
        command.env_remove("AZURE_STORAGE_CONNECTION_STRING").env("AZURE_STORAGE_KEY", "a2V5");
        let began = Instant::now();
        let ended = finish(command.spawn().unwrap());
        assert!(began.elapsed() < Duration::from_secs(15));
        assert_eq!((ended.status, ended.err), (1, format!("blobcp: mount: {url}: {expected}\n")));
        assert!(!desk.is_mounted());
    }
}

#[test]
fn a_mount_point_in_use_is_not_mounted_over() {
    let desk = Desk::new();
    assert_eq!(desk.run(&["mount", ONE, "m"]).status, 0);
    let ended = desk.run(&["mount", ONE, "m"]);
    assert_eq!(
        (ended.status, ended.err),
        (1, format!("blobcp: mount: {}: {ONE} is mounted there already\n", desk.m().display()))
    );
    assert_eq!(desk.umount().status, 0);
}

#[test]
fn a_directory_with_files_is_mounted_over_with_a_warning() {
    let desk = Desk::new();
    fs::write(desk.m().join("hidden"), "").unwrap();
    let ended = desk.run(&["mount", ONE, "m"]);
    let warning =
        format!("blobcp: mount: warning: {} is not empty; its files are hidden meanwhile\n", desk.m().display());
    assert_eq!((ended.status, ended.err), (0, warning));
    assert_eq!(desk.umount().status, 0);
    assert!(desk.m().join("hidden").exists());
}

#[rstest]
#[case(libc::SIGTERM)]
#[case(libc::SIGINT)]
fn a_signal_stores_what_is_open_and_unmounts(#[case] signal: i32) {
    let desk = Desk::new();
    let child = in_front(&desk, &[ONE, "m"]);
    let mut open = fs::File::create(desk.m().join("box/open.txt")).unwrap();
    open.write_all(b"not closed").unwrap();
    let began = Instant::now();
    send(child.id() as i32, signal);
    let ended = finish(child);
    assert_eq!(ended.status, 0, "{ended:?}");
    assert!(began.elapsed() < Duration::from_secs(10));
    assert_eq!(&desk.store.content(ONE, "box", "open.txt").unwrap()[..], b"not closed");
    assert!(!desk.is_mounted());
    assert!(fs::read_dir(desk.m()).unwrap().next().is_none(), "the directory below is itself again");
}

#[test]
fn a_second_signal_ends_at_once_and_leaves_no_mount() {
    let desk = Desk::new();
    let child = in_front(&desk, &[ONE, "m"]);
    let pid = child.id() as i32;
    let _open = fs::File::open(desk.m().join("box/hello.txt")).unwrap();
    send(pid, libc::SIGTERM);
    eventually("the detaching", || !desk.is_mounted());
    let began = Instant::now();
    send(pid, libc::SIGTERM);
    finish(child);
    assert!(began.elapsed() < Duration::from_secs(3));
    assert!(!desk.is_mounted());
}

#[test]
fn an_unmount_from_outside_ends_the_process() {
    let desk = Desk::new();
    let child = in_front(&desk, &[ONE, "m"]);
    unmount::politely(&desk.m()).unwrap();
    let ended = finish(child);
    assert_eq!((ended.status, ended.err.as_str()), (0, ""), "{ended:?}");
    assert!(!desk.is_mounted());
}

#[test]
fn a_busy_mount_names_who_uses_it_and_can_be_detached() {
    let desk = Desk::new();
    assert_eq!(desk.run(&["mount", ONE, "m"]).status, 0);
    let open = fs::File::open(desk.m().join("box/hello.txt")).unwrap();
    let ended = desk.run(&["umount", "m"]);
    let (m, pid) = (desk.m(), std::process::id());
    assert!(ended.err.starts_with(&format!("blobcp: umount: {}: in use by ", m.display())), "{ended:?}");
    assert!(ended.err.contains(&format!(" ({pid})")) && ended.err.contains("; --lazy detaches it now"), "{ended:?}");
    assert_eq!((ended.status, ended.err.lines().count()), (1, 1));
    assert!(desk.is_mounted());

    assert_eq!(desk.run(&["umount", "--lazy", "m"]).status, 0);
    assert!(!desk.is_mounted());
    assert_eq!(std::io::read_to_string(&open).unwrap(), "hello", "what is open can still be read");
    drop(open);
    desk.wait_for_no_process();
}

#[test]
fn umount_waits_for_its_own_mount_also_if_the_number_was_that_of_another_which_has_not_ended_yet() {
    // The kernel gives the lowest number that is free; other tests may be faster.
    let took_over = (0..50).any(|_| {
        let desks = [Desk::new(), Desk::new()];
        let device = |desk: &Desk| table::read().unwrap().at(&desk.m()).unwrap().device;
        assert_eq!(desks[0].run(&["mount", ONE, "m"]).status, 0);
        let (number, pids) = (device(&desks[0]), desks[0].processes());
        pids.iter().for_each(|pid| send(*pid, libc::SIGSTOP));
        unmount::politely(&desks[0].m()).unwrap();
        let mount = desks[1].command(&["mount", ONE, "m"]).spawn().unwrap();
        eventually("the second mount", || desks[1].is_mounted());
        let is_the_same = device(&desks[1]) == number;
        pids.iter().for_each(|pid| send(*pid, libc::SIGCONT));
        assert_eq!(finish(mount).status, 0);
        assert_eq!(desks[1].umount().status, 0);
        assert_eq!(desks[1].processes(), [0; 0]);
        is_the_same
    });
    assert!(took_over, "no mount got the number of the one before");
}

#[test]
fn umount_of_something_else_is_refused() {
    let desk = Desk::new();
    let ended = desk.run(&["umount", "m"]);
    assert_eq!(
        (ended.status, ended.err.as_str()),
        (1, "blobcp: umount: m: not a mount point of blobcp; blobcp mount --list shows those that there are\n")
    );
    let ended = desk.run(&["umount", "nowhere"]);
    assert_eq!((ended.status, ended.err.as_str()), (1, "blobcp: umount: nowhere: No such file or directory\n"));
}

#[test]
fn what_a_killed_process_leaves_can_be_unmounted_and_mounted_over() {
    let desk = Desk::new();
    for command in ["umount", "mount"] {
        assert_eq!(desk.run(&["mount", ONE, "m"]).status, 0);
        for pid in desk.processes() {
            send(pid, libc::SIGKILL);
        }
        eventually("the death of the mount", || {
            fs::metadata(desk.m()).is_err_and(|error| error.raw_os_error() == Some(libc::ENOTCONN))
        });
        if command == "umount" {
            assert_eq!(desk.umount().status, 0);
            assert!(!desk.is_mounted());
        } else {
            let ended = desk.run(&["mount", ONE, "m"]);
            assert_eq!(ended.status, 0, "{ended:?}");
            assert!(ended.err.contains("unmounted what a killed process had left there"), "{ended:?}");
            assert!(desk.m().join("box/hello.txt").exists());
            assert_eq!(desk.umount().status, 0);
        }
    }
}

#[test]
fn several_sources_are_directories_and_one_is_the_root() {
    let desk = Desk::new();
    let names = |path: PathBuf| {
        let mut names: Vec<String> =
            fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    };
    let config = desk.configure("");
    assert_eq!(desk.run(&["mount", "--config", &config, &format!("{ONE}/box"), TWO, "m"]).status, 0);
    assert_eq!(names(desk.m()), [ONE, TWO]);
    assert_eq!(names(desk.m().join(ONE)), ["box"], "only the container that was named");
    assert_eq!(desk.umount().status, 0);
    assert_eq!(desk.run(&["mount", &format!("{ONE}/box/dir"), "m"]).status, 0);
    assert_eq!(names(desk.m()), ["deep.txt"]);
    assert_eq!(desk.umount().status, 0);
}

#[test]
fn dev_is_a_service_with_two_accounts_and_something_to_copy() {
    let desk = Desk::new();
    let ended = desk.run(&["mount", "--dev", "m"]);
    assert_eq!((ended.status, ended.err.as_str()), (0, ""));
    assert!(ended.out.contains("AccountName=devstoreaccount1;") && ended.out.contains("AccountName=devstoreaccount2;"));
    let big = desk.m().join("devstoreaccount1/images/disk.img");
    assert_eq!(fs::metadata(&big).unwrap().len(), 6 << 30);
    let copied = Command::new("cp").arg(&big).arg(desk.m().join("devstoreaccount1/images/copy.img")).status().unwrap();
    assert!(copied.success());
    assert_eq!(fs::metadata(desk.m().join("devstoreaccount1/images/copy.img")).unwrap().len(), 6 << 30);
    assert_eq!(desk.umount().status, 0);
    desk.wait_for_no_process();
}

#[test]
fn devstore_prints_how_to_reach_it_and_ends_on_a_signal() {
    let desk = Desk::new();
    let args = ["devstore", "--listen", "127.0.0.1:0", "--account", "first", "--account", "second:a2V5"];
    let mut child = desk.command(&args).spawn().unwrap();
    let lines: Vec<String> = {
        let reader = BufReader::new(child.stdout.as_mut().unwrap());
        reader.lines().map(Result::unwrap).take_while(|line| !line.starts_with("Ready")).collect()
    };
    let string = lines.iter().find(|line| line.contains("AccountKey=a2V5;")).unwrap();
    let string = string.split_whitespace().last().unwrap();
    let mut mount = desk.command(&["mount", "second", "m"]);
    mount.env("AZURE_STORAGE_CONNECTION_STRING", string);
    assert_eq!(finish(mount.spawn().unwrap()).status, 0);
    assert_eq!(desk.umount().status, 0);
    send(child.id() as i32, libc::SIGTERM);
    assert_eq!(finish(child).status, 0);
}

/// Answers every request in the same way and closes.
fn answering(answer: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/someone", listener.local_addr().unwrap());
    // Ends with the process.
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut lines = BufReader::new(&stream).lines().map_while(Result::ok);
            let _ = lines.find(String::is_empty);
            let _ = (&stream).write_all(answer.as_bytes());
        }
    });
    url
}

#[test]
fn what_the_service_says_of_a_version_or_of_a_time_is_said() {
    let desk = Desk::new();
    let answer = |status: &str, code: &str, details: &str| {
        let body = format!(
            "\u{feff}<?xml version=\"1.0\" encoding=\"utf-8\"?><Error><Code>{code}</Code><Message>M\nRequestId:r</Message>{details}</Error>"
        );
        format!(
            "HTTP/1.1 {status}\r\nContent-Type: application/xml\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        )
    };
    // S151, as recorded: no header tells the code.
    let version = "<HeaderName>x-ms-version</HeaderName><HeaderValue>1999-01-01</HeaderValue>";
    let url = answering(answer("400 Bad Request", "InvalidHeaderValue", version));
    let ended = desk.run(&["mount", "--anonymous", "--api-version", "1999-01-01", &url, "m"]);
    let expected = "the service does not know the API version 1999-01-01 (--api-version): 400 InvalidHeaderValue";
    assert_eq!((ended.status, ended.err), (1, format!("blobcp: mount: {url}: {expected}\n")));
    // S145
    let times = "Signature not valid in the specified time frame: Start [Mon, 01 Jan 2024 00:00:00 GMT] - Expiry [Tue, 02 Jan 2024 \
                 00:00:00 GMT] - Current [Wed, 03 Jan 2024 00:00:00 GMT]";
    let detail = format!("<AuthenticationErrorDetail>{times}</AuthenticationErrorDetail>");
    let url = answering(answer("403 Forbidden", "AuthenticationFailed", &detail));
    let ended = desk.run(&["mount", &format!("{url}?sv=2025-11-05&sig=secret"), "m"]);
    assert!(ended.err.contains("does not accept the SAS") && ended.err.contains(times), "{ended:?}");
    assert!(ended.status == 1 && !ended.err.contains("secret") && !desk.is_mounted(), "{ended:?}");
}

/// Takes names in the abstract namespace, which anybody may take, and answers nobody.
fn squat(numbers: std::ops::Range<u32>) -> Vec<std::os::unix::net::UnixListener> {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixListener};
    let bind =
        |number| UnixListener::bind_addr(&SocketAddr::from_abstract_name(format!("blobcp/0:{number}")).ok()?).ok();
    numbers.filter_map(bind).collect()
}

#[test]
fn nobody_keeps_an_umount_waiting_or_has_it_return_too_early() {
    let desk = Desk::new();
    assert_eq!(desk.run(&["mount", ONE, "m"]).status, 0);
    let (_, number) = table::read().unwrap().at(&desk.m()).unwrap().device;
    // Thousands who want to know how it ends, by whatever the process listens on.
    let flood = format!(
        "import socket
for name in ['blobcp/0:{number}', *(line.split()[-1][1:] for line in open('/proc/net/unix') if line.rstrip().endswith(':{number}'))]:
    for _ in range(5000):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as one:
            one.connect_ex('\\0' + name)"
    );
    assert!(Command::new("python3").args(["-I", "-c", &flood]).status().unwrap().success());
    assert_eq!(desk.umount().status, 0);
    assert_eq!(desk.processes(), [0; 0], "it has waited");
    // The next mount gets a number near this one.
    let squatters = squat(number.saturating_sub(100)..number + 100);
    assert_eq!(desk.run(&["mount", ONE, "m"]).status, 0);
    assert_eq!(desk.umount().status, 0);
    assert_eq!(desk.processes(), [0; 0], "it has waited");
    drop(squatters);
}

#[test]
fn others_see_nothing_of_what_umount_waits_for() {
    let desk = Desk::new();
    assert_eq!(desk.run(&["mount", ONE, "m"]).status, 0);
    let (major, minor) = table::read().unwrap().at(&desk.m()).unwrap().device;
    let file = Path::new("/run/blobcp").join(format!("{major}:{minor}"));
    let metadata = |path: &Path| fs::symlink_metadata(path).unwrap();
    assert_eq!((metadata(&file).mode() & 0o7777, metadata(Path::new("/run/blobcp")).mode() & 0o7777), (0o600, 0o700));
    let own = (metadata(&file).ino(), metadata(&file).ctime(), metadata(&file).ctime_nsec());
    let stranger = ["--reuid", "10003", "--regid", "10003", "--clear-groups", "cat"];
    let ran = Command::new("setpriv").args(stranger).arg(&file).env("LC_ALL", "C").output().unwrap();
    assert!(String::from_utf8_lossy(&ran.stderr).contains("Permission denied"), "{ran:?}");
    assert_eq!(desk.umount().status, 0);
    // The next mount of another test may have that number already, and the file the number of this one.
    let is_own = |found: fs::Metadata| (found.ino(), found.ctime(), found.ctime_nsec()) == own;
    assert!(!fs::symlink_metadata(&file).is_ok_and(is_own));
}
