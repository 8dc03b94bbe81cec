//! Azurite on a free loopback port, for as long as this process lives.
//!
//! A static is never dropped, and a test process may be killed; so a shell stands between, which waits on a pipe from this
//! process and kills Azurite, by its pid, when the pipe closes. Azurite logs what it is asked; [`Azurite::asked`] reads that.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

pub const ACCOUNT: &str = "devstoreaccount1";
pub const OTHER_ACCOUNT: &str = "devstoreaccount2";
/// Public and fixed: the key that every emulator knows. Both accounts have it.
pub const KEY: &str = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

const PROGRAM: &str = "target/node/node_modules/.bin/azurite-blob";
/// Node on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

const SUPERVISOR: &str = r#"log=$1; shift; "$0" "$@" --debug "$log" & pid=$!; read -r _; kill $pid; rm -f "$log""#;

/// A running Azurite with two accounts and nothing in them, shared by all tests of this process.
pub struct Azurite {
    supervisor: Child,
    port: u16,
    log: PathBuf,
}

/// A request that Azurite has answered.
#[derive(Debug, Clone)]
pub struct Asked {
    pub method: String,
    /// From the account on, without the query.
    pub path: String,
    pub query: String,
    /// It had `x-ms-copy-source`.
    pub copies: bool,
    /// Length of its body.
    pub sent: u64,
    pub status: u16,
    /// Length of the answer's body.
    pub received: u64,
}

impl Asked {
    /// Bytes of blobs' content that it carried, either way.
    pub fn payload(&self) -> u64 {
        match self.method.as_str() {
            "PUT" if self.query.is_empty() || self.query.contains("comp=block&") => self.sent,
            "GET" if !self.query.contains("comp=") => self.received,
            _ => 0,
        }
    }
}

impl Azurite {
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Azurite> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    fn start() -> Self {
        // A port that is free now may be another server's before Azurite has it.
        let free = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let started = (0..5).map(|_| Self::start_on(free())).find(|azurite| azurite.is_there());
        started.expect("a port of its own")
    }

    /// Who listens there says that it is Azurite.
    fn is_there(&self) -> bool {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        let request = format!("GET /{ACCOUNT}?comp=list HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let (mut answer, mut part) = (Vec::new(), [0; 512]);
        while let Ok(read @ 1..) = stream.read(&mut part) {
            answer.extend_from_slice(&part[..read]);
            if answer.windows(7).any(|window| window == b"Azurite") {
                return true;
            }
        }
        false
    }

    fn start_on(port: u16) -> Self {
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join(PROGRAM);
        assert!(program.exists(), "Azurite is not installed ({PROGRAM}): run scripts/test, which installs it");
        let log = std::env::temp_dir().join(format!("blobcp-azurite-{port}.log"));
        let supervisor = Command::new("/bin/sh")
            .args(["-c", SUPERVISOR])
            .arg(&program)
            .arg(&log)
            .args(["--blobHost", "127.0.0.1", "--blobPort", &port.to_string()])
            .args(["--inMemoryPersistence", "--disableTelemetry", "--silent"])
            .env("AZURITE_ACCOUNTS", format!("{ACCOUNT}:{KEY};{OTHER_ACCOUNT}:{KEY}"))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let mut azurite = Self { supervisor, port, log };
        let began = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            if let Some(status) = azurite.supervisor.try_wait().unwrap() {
                panic!("Azurite cannot be started: {status}");
            }
            assert!(began.elapsed() < PATIENCE, "Azurite does not listen after {PATIENCE:?}");
            super::look_again();
        }
        azurite
    }

    /// The Blob endpoint of an account.
    pub fn endpoint(&self, account: &str) -> String {
        format!("http://127.0.0.1:{}/{account}", self.port)
    }

    /// Where the log ends now.
    pub fn now(&self) -> usize {
        self.settle();
        std::fs::metadata(&self.log).unwrap().len() as usize
    }

    /// What was asked about a container since then, with a key, in order of the answers.
    pub fn asked(&self, account: &str, container: &str, since: usize) -> Vec<Asked> {
        self.settle();
        let log = std::fs::read(&self.log).unwrap();
        let log = String::from_utf8_lossy(&log[since..]);
        let place = format!("/{account}/{container}");
        let mut asked = Vec::new();
        for end in log.lines().filter(|line| line.contains(" EndMiddleware: End response.")) {
            let id = end.split(' ').nth(1).unwrap();
            let begin = log.lines().find(|line| line.contains(id) && line.contains(" RequestMethod="));
            // Those that were asked before are of other tests, and what Azurite asks itself, to read a copy's source, has a SAS.
            let Some(begin) = begin.filter(|begin| begin.contains("\"authorization\":")) else { continue };
            let request = parse(begin, end);
            if request.path.strip_prefix(&place).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')) {
                asked.push(request);
            }
        }
        asked
    }

    /// Waits until the log has caught up, by asking something and waiting for that to appear.
    fn settle(&self) {
        static ASKED: AtomicUsize = AtomicUsize::new(0);
        let name = format!("settle-{}", ASKED.fetch_add(1, Ordering::Relaxed));
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        write!(stream, "GET /{ACCOUNT}/{name} HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n").unwrap();
        stream.read_to_end(&mut Vec::new()).unwrap();
        let began = Instant::now();
        let asked = format!("/{ACCOUNT}/{name} ");
        while !std::fs::read_to_string(&self.log).is_ok_and(|log| log.contains(&asked) && log.ends_with('\n')) {
            assert!(began.elapsed() < PATIENCE, "Azurite writes no log");
            super::look_again();
        }
    }
}

/// A request from the lines of the log about its begin and its end.
fn parse(begin: &str, end: &str) -> Asked {
    let between = |text: &str, from: &str, to: &str| -> String {
        let text = text.split_once(from).map_or("", |(_, rest)| rest);
        text.split_once(to).map_or(text, |(value, _)| value).to_owned()
    };
    let url = between(begin, "RequestURL=http://127.0.0.1", " ");
    let (path, query) = url.split_once('?').unwrap_or((&url, ""));
    let length =
        |headers: &str| between(headers, "\"content-length\":", ",").trim_matches(['"', '}']).parse().unwrap_or(0);
    Asked {
        method: between(begin, "RequestMethod=", " "),
        path: path.to_owned(),
        query: query.to_owned(),
        copies: begin.contains("\"x-ms-copy-source\":"),
        sent: length(begin),
        status: between(end, "StatusCode=", " ").parse().unwrap(),
        received: length(end),
    }
}
