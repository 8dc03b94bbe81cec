//! Keys and tokens: where they may be said, and where nobody finds them afterwards.

use super::*;

/// The query of a SAS for an hour that permits everything.
fn signature(desk: &Desk) -> String {
    use blobcp::path::AccountName;
    use blobcp::store::sas::{self, Validity};
    let key = blobcp::store::AccountKey::parse(&desk.store.account_key(ONE).unwrap()).unwrap();
    let (account, validity) = (AccountName::parse(ONE).unwrap(), Validity::for_the_next(Duration::from_secs(3600)));
    sas::account(&key, &account, "rwdlac", "co", &validity, "2025-11-05").expose().to_owned()
}

/// The words and the environment that a process was started with, as others can read them.
fn shown(pid: i32) -> (String, String) {
    let read = |file: &str| {
        let text = fs::read(format!("/proc/{pid}/{file}")).unwrap();
        String::from_utf8(text).unwrap().replace('\0', " ")
    };
    (read("cmdline"), read("environ"))
}

#[test]
fn a_mount_shows_no_secret_for_as_long_as_it_lives() {
    let desk = Desk::new();
    let url = format!("{}/box", desk.store.endpoint(ONE));
    let signed = format!("{url}?{}", signature(&desk));
    let key = desk.store.account_key(ONE).unwrap();
    // A URL in the words, and the environment's key beside it; and the key alone.
    for (source, log) in [(signed.as_str(), "debug"), (ONE, "info")] {
        assert_eq!(desk.run(&["mount", "--log", log, source, "m"]).status, 0, "{source}");
        let pids = desk.processes();
        assert_eq!(pids.len(), 1);
        let (words, environment) = shown(pids[0]);
        assert!(!words.contains("sig=") && !words.contains("sv="), "{words}");
        assert!(words.contains(if source == ONE { ONE } else { &url }) && words.ends_with(" m "), "{words}");
        assert!(!environment.contains(&key) && !environment.contains("AZURE"), "{environment}");
        assert!(environment.contains("HOME="), "{environment}");
        assert!(desk.m().read_dir().unwrap().next().is_some());
        assert_eq!(desk.umount().status, 0);
    }
    let child = in_front(&desk, &[&signed, "m"]);
    let (words, environment) = shown(child.id() as i32);
    assert!(!words.contains("sig=") && !environment.contains(&key), "{words} {environment}");
    send(child.id() as i32, libc::SIGTERM);
    assert_eq!(finish(child).status, 0);
}

/// Every way in which a secret was seen on a command line, with the place that it stands in.
fn slips(desk: &Desk) -> Vec<(String, String)> {
    let (sas, key) = (signature(desk), desk.store.account_key(ONE).unwrap());
    let url = format!("{}/box", desk.store.endpoint(ONE));
    let host = "acct.blob.core.windows.net/box";
    let connection = desk.store.connection_string(ONE).unwrap();
    let signed = |place: &str| (format!("{place}?{sas}"), sas.clone());
    let signed_as = |name: &str| {
        let misspelt = sas.replace("sig=", &format!("{name}="));
        (format!("{ONE}/box?{misspelt}"), misspelt)
    };
    vec![
        signed(&url),
        signed(&url.replace("http", "HTTP")),
        signed(&format!("hTTps://{host}")),
        signed(host),
        signed(&format!("{ONE}/box")),
        signed(&format!("{ONE}/box/dir")),
        signed(ONE),
        signed(""),
        (sas.clone(), sas.clone()),
        (format!("https://{host}?SIG={}", &sas[sas.len() - 20..]), sas[sas.len() - 20..].to_owned()),
        (format!("https://somebody:{key}@{host}"), key.clone()),
        (connection, key.clone()),
        (format!("AccountName={ONE};AccountKeyy={key};EndpointSuffix=core.windows.net"), key.clone()),
        (format!("AccountName={ONE};Key={key}"), key.clone()),
        signed_as("sigg"),
        signed_as("sgi"),
        (format!("{ONE}:{key}"), key.clone()),
        (key.clone(), key),
    ]
}

#[test]
fn whatever_has_a_secret_no_message_repeats_it() {
    let desk = Desk::new();
    for (word, secret) in slips(&desk) {
        // A SAS without its signature says who may what until when.
        let parts: Vec<&str> = secret.split('&').filter(|part| part.len() > 12).collect();
        assert!(!parts.is_empty());
        for arguments in [
            &["mount", &word, "no/such/place"][..],
            &["mount", "--log", &word, ONE, "m"],
            &["mount", "--nonsense", &word, "m"],
            &["mount", "-o", &format!("log={word}"), ONE, "m"],
            &["mount", "-o", &word, ONE, "m"],
            &["mount", ONE, &word],
            &["verify-account", &word, "--only", "none"],
            &["verify-account", "--only", &word, ONE],
            &["cp", &word, "no/such/place/"],
            &["cp", "-r", &word, "m"],
            &["status", &word],
            &["verify", &word],
            &["devstore", "--listen", &word],
            &["devstore", "--account", &word, "--listen", "192.0.2.1:1"],
            &[&word],
            &[&word, "no/such/place", "-o", "rw"],
        ] {
            let ended = desk.run(arguments);
            assert_ne!(ended.status, 0, "{arguments:?}: {ended:?}");
            let said = ended.out + &ended.err;
            assert!(!said.is_empty(), "{arguments:?}");
            for part in &parts {
                assert!(!said.contains(part), "{arguments:?}: {said}");
            }
        }
    }
    assert!(!desk.is_mounted());
}

#[test]
fn a_source_in_capitals_is_a_source() {
    let desk = Desk::new();
    let signed = format!("{}/box?{}", desk.store.endpoint(ONE), signature(&desk)).replacen("http", "HTTP", 1);
    assert_eq!(desk.run(&["mount", "--log", "debug", "--log-file", "log", &signed, "m"]).status, 0);
    assert_eq!(fs::read_to_string(desk.m().join("hello.txt")).unwrap(), "hello");
    for pid in desk.processes() {
        let (words, environment) = shown(pid);
        assert!(!(words + &environment).contains("sig="));
    }
    let log = fs::read_to_string(desk.path("log")).unwrap();
    assert!(log.contains("request") && !log.contains("sig=") && !log.contains("sv="), "{log}");
    assert_eq!(desk.umount().status, 0);
}

#[test]
fn no_command_shows_a_secret_among_its_words_while_it_runs() {
    let desk = Desk::new();
    let (sas, key) = (signature(&desk), desk.store.account_key(ONE).unwrap());
    assert_eq!(desk.run(&["mount", TWO, "m", "--config", &desk.configure("")]).status, 0);
    let url = format!("{}/box/big.img?{sas}", desk.store.endpoint(ONE));
    // A copy that takes long, and a service that is there until it is ended.
    let copy = desk.command(&["cp", &url, "m/backup/big.img"]).spawn().unwrap();
    let served = format!("first:{key}");
    let service = desk.command(&["devstore", "--listen", "127.0.0.1:0", "--account", &served]).spawn().unwrap();
    for child in [copy, service] {
        let pid = child.id() as i32;
        let clean = |words: &str| words.contains("blobcp") && !words.contains(&sas[..20]) && !words.contains(&key);
        // Until it has begun anew, for a moment, it is there.
        eventually("words without a secret", || clean(&shown(pid).0));
        send(pid, libc::SIGINT);
        let ended = finish(child);
        assert!(!(ended.out.clone() + &ended.err).contains("sig="), "{ended:?}");
    }
    assert_eq!(desk.umount().status, 0);
}

#[test]
fn no_command_keeps_a_secret_in_its_environment() {
    let desk = Desk::new();
    let key = desk.store.account_key(ONE).unwrap();
    assert_eq!(desk.run(&["mount", TWO, "m", "--config", &desk.configure("")]).status, 0);
    let url = format!("{}/box/big.img?{}", desk.store.endpoint(ONE), signature(&desk));
    assert_eq!(desk.run(&["cp", "--no-wait", &url, "m/backup/big.img"]).status, 0);
    // Takes what is asked, and answers nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}/acct", silent.local_addr().unwrap());
    fs::write(desk.path("silent.toml"), format!("[account.acct]\nendpoint = '{endpoint}'\nkey = 'a2V5'\n")).unwrap();
    for words in [&["wait", "m/backup/big.img"][..], &["config", "check", "--config", "silent.toml", "acct"]] {
        let mut child = desk.command(words).spawn().unwrap();
        let pid = child.id() as i32;
        eventually("an environment without a secret", || {
            let (words, environment) = shown(pid);
            words.contains("blobcp") && environment.contains("HOME=") && !environment.contains(&key)
        });
        assert!(!shown(pid).1.contains("AZURE_STORAGE"), "{words:?}");
        assert_eq!(child.try_wait().unwrap(), None, "{words:?}");
        send(pid, libc::SIGINT);
        finish(child);
    }
    assert_eq!(desk.umount().status, 0);
}

#[test]
fn a_url_can_be_said_where_nobody_reads_it() {
    let desk = Desk::new();
    let signed = format!("{}/box?{}", desk.store.endpoint(ONE), signature(&desk));
    fs::write(desk.path("url"), format!("{signed}\n")).unwrap();
    for source in ["-", "@url", "env:PHOTOS"] {
        let mut command = desk.command(&["mount", source, "m"]);
        command.env_remove("AZURE_STORAGE_CONNECTION_STRING").stdin(Stdio::piped());
        if source.starts_with("env:") {
            command.env("PHOTOS", &signed);
        }
        let mut child = command.spawn().unwrap();
        // Who is not asked for it may have closed it.
        let _ = child.stdin.take().unwrap().write_all(signed.as_bytes());
        let ended = finish(child);
        assert_eq!((ended.status, ended.err.as_str()), (0, ""), "{source}");
        assert_eq!(fs::read_to_string(desk.m().join("hello.txt")).unwrap(), "hello");
        let shown: Vec<_> = desk.processes().into_iter().map(shown).collect();
        let secret = |(words, environment): &(String, String)| (words.clone() + environment).contains("sig=");
        assert!(shown.len() == 1 && !shown.iter().any(secret), "{source}: {shown:?}");
        assert_eq!(desk.umount().status, 0);
    }
    for (source, expected) in [
        ("-", "-: there is no SOURCE in it"),
        ("@none", "none: No such file or directory"),
        ("env:NOTHING", "env:NOTHING: there is no SOURCE in it"),
    ] {
        let ended = desk.run(&["mount", source, "m"]);
        assert!(ended.status != 0 && ended.err.contains(expected) && ended.err.lines().count() == 1, "{ended:?}");
    }
}

#[test]
fn what_is_read_for_a_word_is_never_shown() {
    let desk = Desk::new();
    for text in
        ["SeCrEt0SeCrEt", "secret0secret", "accountone/SeCrEt", "a;k=SeCrEt", "SeCrEt.x/y", "SeCrEt://x", "az://SeCrEt"]
    {
        fs::write(desk.path("said"), text).unwrap();
        for word in ["@said", "env:SAID", "-"] {
            for command in [&["mount", word, "m"][..], &["config", "check", word], &["config", "check", "--json", word]]
            {
                let mut command = desk.command(command);
                let mut child = command.env("SAID", text).stdin(Stdio::piped()).spawn().unwrap();
                // Who is not asked for it may have closed it.
                let _ = child.stdin.take().unwrap().write_all(text.as_bytes());
                let ended = finish(child);
                let said = format!("{}{}", ended.out, ended.err);
                assert!(ended.status != 0 && said.contains(word), "{text} {word}: {ended:?}");
                assert!(!said.to_lowercase().contains("secret"), "{text} {word}: {ended:?}");
            }
        }
    }
    assert!(!desk.is_mounted());
}

#[test]
fn plain_http_leaves_the_machine_only_if_that_is_said() {
    let desk = Desk::new();
    let url = "http://acct.example.com/box?sv=1&sig=SeCrEt";
    let ended = desk.run(&["mount", url, "m"]);
    let expected = "blobcp: mount: http://acct.example.com: http:// is for servers on this machine; use https://, or say --allow-http\n";
    assert_eq!((ended.status, ended.err.as_str()), (1, expected));
}

#[test]
fn devstore_lets_other_machines_in_only_if_that_is_said() {
    let desk = Desk::new();
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:10000"] {
        let ended = desk.run(&["devstore", "--listen", address]);
        assert!(ended.status == 2 && ended.err.contains("say --insecure if that is meant"), "{ended:?}");
    }
    let mut child = desk.command(&["devstore", "--listen", "0.0.0.0:0", "--insecure"]).spawn().unwrap();
    let lines = BufReader::new(child.stdout.as_mut().unwrap()).lines().map(Result::unwrap);
    let lines: Vec<String> = lines.take_while(|line| !line.starts_with("Ready")).collect();
    assert_eq!(lines.iter().filter(|line| line.starts_with("token: ") && line.len() > 30).count(), 1, "{lines:?}");
    send(child.id() as i32, libc::SIGTERM);
    assert_eq!(finish(child).status, 0);
}

#[test]
fn the_service_of_a_mount_is_for_who_mounts() {
    let desk = Desk::new();
    let ended = desk.run(&["mount", "--dev", "m"]);
    assert_eq!(ended.status, 0, "{ended:?}");
    assert_eq!(ended.out.lines().filter(|line| line.starts_with("token: ")).count(), 1);
    // The key of the account that every tool knows.
    let known = Config { accounts: vec![AccountConfig::named("devstoreaccount1")], ..Config::default() };
    let known = desk._runtime.block_on(Devstore::start(known)).unwrap().account_key("devstoreaccount1").unwrap();
    assert!(!ended.out.contains(&known), "{}", ended.out);
    let endpoint = ended.out.lines().find_map(|line| line.split("BlobEndpoint=").nth(1)?.split(';').next()).unwrap();
    fs::create_dir(desk.path("other")).unwrap();
    let mut mount = desk.command(&["mount", endpoint, "other"]);
    mount.env_remove("AZURE_STORAGE_CONNECTION_STRING").env("AZURE_STORAGE_KEY", &known);
    let refused = finish(mount.spawn().unwrap());
    assert!(refused.status == 1 && refused.err.contains("does not accept the key"), "{refused:?}");
    assert_eq!(desk.umount().status, 0);
}

#[test]
fn a_server_that_nobody_vouches_for_gets_nothing() {
    let desk = Desk::new();
    let name = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"];
    let mut make = Command::new("openssl");
    make.args([
        "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-keyout", "key.pem", "-out", "cert.pem",
    ]);
    let made = make.args(name).current_dir(&desk.home).output().unwrap();
    assert!(made.status.success(), "{made:?}");
    let mut server = Command::new("openssl");
    server.args(["s_server", "-accept", "127.0.0.1:0", "-cert", "cert.pem", "-key", "key.pem"]).current_dir(&desk.home);
    let mut server = server.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(server.stdout.take().unwrap()).lines().map(Result::unwrap);
    let port = lines.find_map(|line| Some(line.strip_prefix("ACCEPT ")?.rsplit_once(':')?.1.to_owned())).unwrap();
    let ended = desk.run(&["mount", &format!("https://127.0.0.1:{port}/acct/box?sv=1&sig=SeCrEt"), "m"]);
    assert!(ended.status == 1 && ended.err.contains("certificate"), "{ended:?}");
    assert!(!ended.err.contains("SeCrEt") && !desk.is_mounted(), "{ended:?}");
    server.kill().unwrap();
    server.wait().unwrap();
    // What it was sent it would have printed.
    let received: Vec<String> = lines.collect();
    assert!(!received.iter().any(|line| line.contains("SeCrEt") || line.contains("HTTP/1.1")), "{received:?}");
}

#[test]
fn a_mount_leaves_no_content_on_the_disk() {
    const CONTENT: &str = "a content that is nowhere else 5d41402abc4b2a76";
    let desk = Desk::new();
    let mut command = desk.command(&["mount", &format!("{ONE}/box"), "m"]);
    for (name, dir) in [("TMPDIR", "tmp"), ("XDG_CACHE_HOME", "cache"), ("XDG_RUNTIME_DIR", "run")] {
        fs::create_dir(desk.path(dir)).unwrap();
        fs::set_permissions(desk.path(dir), fs::Permissions::from_mode(0o700)).unwrap();
        command.env(name, desk.path(dir));
    }
    assert_eq!(finish(command.spawn().unwrap()).status, 0);
    let mut open = fs::File::create(desk.m().join("new.txt")).unwrap();
    open.write_all(CONTENT.repeat(100_000).as_bytes()).unwrap();
    open.sync_all().unwrap();
    assert_eq!(fs::read_to_string(desk.m().join("new.txt")).unwrap().len(), 100_000 * CONTENT.len());
    // Nor has the process a file open but its log, and what umount waits for.
    let pids = desk.processes();
    let links = |pid: &i32| {
        fs::read_dir(format!("/proc/{pid}/fd")).unwrap().filter_map(|fd| fs::read_link(fd.ok()?.path()).ok())
    };
    let files: Vec<PathBuf> = pids.iter().flat_map(links).filter(|file| file.is_absolute() && file.is_file()).collect();
    // The journal has names of files, while something is under way.
    let is_known = |file: &PathBuf| {
        let is_journal = file.parent().is_some_and(|dir| dir.ends_with("blobcp/journal"));
        let is_report = file.starts_with(desk.path("run")) || file.starts_with("/run/blobcp");
        is_journal || is_report || file.extension().is_some_and(|end| end == "log")
    };
    assert!(!pids.is_empty() && files.iter().all(is_known), "{files:?}");
    let mut dirs = vec![desk.home.path().to_owned()];
    let mut logs = 0;
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(&dir).unwrap().map(Result::unwrap) {
            let (path, kind) = (entry.path(), entry.file_type().unwrap());
            if kind.is_dir() && path != desk.m() {
                dirs.push(path);
            } else if kind.is_file() {
                let text = fs::read(&path).unwrap();
                assert!(!text.windows(CONTENT.len()).any(|part| part == CONTENT.as_bytes()), "{}", path.display());
                if path.extension().is_some_and(|extension| extension == "log") {
                    logs += 1;
                    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
                }
            }
        }
    }
    assert_eq!(logs, 1);
    drop(open);
    assert_eq!(desk.umount().status, 0);
}
