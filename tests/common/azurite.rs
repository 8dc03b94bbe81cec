//! Azurite on a free loopback port, for as long as someone holds it.

use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

pub const ACCOUNT: &str = "devstoreaccount1";
pub const OTHER_ACCOUNT: &str = "devstoreaccount2";
/// Public and fixed: the key that every emulator knows. Both accounts have it.
pub const KEY: &str = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

const PROGRAM: &str = "target/node/node_modules/.bin/azurite-blob";
/// Node on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running Azurite with two accounts and nothing in them; killed when dropped.
pub struct Azurite {
    child: Child,
    port: u16,
}

impl Azurite {
    /// The one that all tests of this process share while any of them runs.
    pub fn shared() -> Arc<Self> {
        static SHARED: Mutex<Weak<Azurite>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        shared.upgrade().unwrap_or_else(|| {
            let azurite = Arc::new(Self::start());
            *shared = Arc::downgrade(&azurite);
            azurite
        })
    }

    fn start() -> Self {
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join(PROGRAM);
        assert!(program.exists(), "Azurite is not installed ({PROGRAM}): run scripts/test, which installs it");
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let child = Command::new(&program)
            .args(["--blobHost", "127.0.0.1", "--blobPort", &port.to_string()])
            .args(["--inMemoryPersistence", "--disableTelemetry", "--silent"])
            .env("AZURITE_ACCOUNTS", format!("{ACCOUNT}:{KEY};{OTHER_ACCOUNT}:{KEY}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let mut azurite = Self { child, port };
        let began = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            if let Some(status) = azurite.child.try_wait().unwrap() {
                panic!("Azurite ended at once: {status}");
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

impl Drop for Azurite {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
