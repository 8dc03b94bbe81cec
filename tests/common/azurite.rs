//! Azurite on a free loopback port, for as long as this process lives.
//!
//! A static is never dropped, and a test process may be killed; so a shell stands between, which waits on a pipe from this
//! process and kills Azurite, by its pid, when the pipe closes.

use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

pub const ACCOUNT: &str = "devstoreaccount1";
pub const OTHER_ACCOUNT: &str = "devstoreaccount2";
/// Public and fixed: the key that every emulator knows. Both accounts have it.
pub const KEY: &str = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

const PROGRAM: &str = "target/node/node_modules/.bin/azurite-blob";
/// Node on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

const SUPERVISOR: &str = r#""$0" "$@" & pid=$!; read -r _; kill $pid"#;

/// A running Azurite with two accounts and nothing in them, shared by all tests of this process.
pub struct Azurite {
    supervisor: Child,
    port: u16,
}

impl Azurite {
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Azurite> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    fn start() -> Self {
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join(PROGRAM);
        assert!(program.exists(), "Azurite is not installed ({PROGRAM}): run scripts/test, which installs it");
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let supervisor = Command::new("/bin/sh")
            .args(["-c", SUPERVISOR])
            .arg(&program)
            .args(["--blobHost", "127.0.0.1", "--blobPort", &port.to_string()])
            .args(["--inMemoryPersistence", "--disableTelemetry", "--silent"])
            .env("AZURITE_ACCOUNTS", format!("{ACCOUNT}:{KEY};{OTHER_ACCOUNT}:{KEY}"))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let mut azurite = Self { supervisor, port };
        let began = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            if let Some(status) = azurite.supervisor.try_wait().unwrap() {
                panic!("Azurite cannot be started: {status}");
            }
            assert!(began.elapsed() < PATIENCE, "Azurite does not listen after {PATIENCE:?}");
            std::thread::sleep(Duration::from_millis(50));
        }
        azurite
    }

    /// The Blob endpoint of an account.
    pub fn endpoint(&self, account: &str) -> String {
        format!("http://127.0.0.1:{}/{account}", self.port)
    }
}
