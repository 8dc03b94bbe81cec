//! A server for tests that answers by a script and remembers what it was asked.
//!
//! What happens when an answer is lost depends on the exact order of requests and answers, which no real service can be
//! made to repeat; here it is written down.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::{AccountConfig, BlobClient, Client, Http, Options};
use crate::path::{BlobName, BlobPath, ContainerName};

/// One reply of a script.
pub(super) enum Reply {
    /// Status, headers, body. `Date` and `Content-Length` are added.
    Answer(u16, Vec<(&'static str, String)>, &'static str),
    /// The connection breaks after the request was read.
    HangUp,
    /// Status, headers, and a body that goes on until nobody reads it any more.
    Endless(u16, Vec<(&'static str, String)>),
    /// Status, headers, and a body of 1000 bytes of which one comes every 50 ms.
    Trickle(u16, Vec<(&'static str, String)>),
    /// Promises more bytes than it sends.
    Truncated,
    /// Never answers.
    Silence,
}

/// A refusal with this code.
pub(super) fn refuse(status: u16, code: &'static str) -> Reply {
    Reply::Answer(status, vec![("x-ms-error-code", code.to_owned())], "")
}

/// An answer without a body, about something modified now.
pub(super) fn done(status: u16, headers: &[(&'static str, &str)]) -> Reply {
    modified(status, Duration::ZERO, headers)
}

/// An answer without a body, about something modified `ago`.
pub(super) fn modified(status: u16, ago: Duration, headers: &[(&'static str, &str)]) -> Reply {
    let last_modified = httpdate::fmt_http_date(SystemTime::now() - ago);
    let common = [("etag", "\"0x8D\"".to_owned()), ("last-modified", last_modified)];
    let given = headers.iter().map(|(name, value)| (*name, (*value).to_owned()));
    Reply::Answer(status, common.into_iter().chain(given).collect(), "")
}

/// The blob `b` of the container `con`.
pub(super) fn path() -> BlobPath {
    BlobPath::new(ContainerName::parse("con").unwrap(), BlobName::parse("b").unwrap())
}

/// A request as it arrived.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    /// `PUT /acct/c/b?comp=copy`.
    pub line: String,
    head: String,
    pub body: Vec<u8>,
}

impl Asked {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (found, value) = line.split_once(": ")?;
            found.eq_ignore_ascii_case(name).then_some(value)
        })
    }
}

pub(super) struct Scripted {
    pub client: Client,
    path: BlobPath,
    asked: Arc<Mutex<Vec<Asked>>>,
    sent: Arc<AtomicUsize>,
}

/// Bytes after which a body that should be endless ends all the same.
const ENOUGH: usize = 1 << 30;

impl Scripted {
    /// A server that follows `script` and then refuses connections, and a client of it with account `acct` that tries
    /// three times without long delays.
    pub(super) async fn play(script: Vec<Reply>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}/acct", listener.local_addr().unwrap());
        let asked = Arc::<Mutex<Vec<Asked>>>::default();
        let log = asked.clone();
        let sent = Arc::<AtomicUsize>::default();
        let count = sent.clone();
        let silent = script.iter().any(|reply| matches!(reply, Reply::Silence | Reply::Trickle(..)));
        tokio::spawn(async move {
            for reply in script {
                let (stream, _) = listener.accept().await.unwrap();
                let mut stream = stream;
                let request = read_request(&mut stream).await;
                log.lock().unwrap().push(request);
                follow(reply, stream, &count).await;
            }
        });
        let account = AccountConfig { endpoint: Some(endpoint), key: Some("a2V5".into()), ..Default::default() };
        let options = Options {
            tries: 3,
            first_delay: Duration::from_millis(1),
            // A machine may be busy for longer than a test wants to wait for nothing.
            timeout: Duration::from_millis(if silent { 600 } else { 80_000 }),
            ..Default::default()
        };
        let client = Client::new(account.resolve().unwrap(), Http::new(options));
        Self { client, path: path(), asked, sent }
    }

    /// Client of the blob that most tests are about.
    pub(super) fn blob(&self) -> BlobClient<'_> {
        self.client.blob(&self.path)
    }

    pub(super) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// Bytes of endless bodies that went out.
    pub(super) fn sent(&self) -> usize {
        self.sent.load(Ordering::Relaxed)
    }

    /// Method and target of all requests.
    pub(super) fn lines(&self) -> Vec<String> {
        self.asked().into_iter().map(|asked| asked.line).collect()
    }
}

/// A head with `Date` and what else is given.
fn head(status: u16, headers: &[(&'static str, String)], length: (&'static str, String)) -> String {
    let mut head = format!("HTTP/1.1 {status} X\r\nconnection: close\r\n");
    let fixed = [("date", httpdate::fmt_http_date(SystemTime::now())), length];
    let has = |name| headers.iter().any(|(given, _)| *given == name);
    for (name, value) in fixed.iter().filter(|(name, _)| !has(*name)).chain(headers) {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head + "\r\n"
}

async fn follow(reply: Reply, mut stream: TcpStream, sent: &AtomicUsize) {
    let answer = match reply {
        Reply::Answer(status, headers, body) => {
            head(status, &headers, ("content-length", body.len().to_string())) + body
        }
        Reply::Endless(status, headers) => {
            let head = head(status, &headers, ("transfer-encoding", "chunked".to_owned()));
            stream.write_all(head.as_bytes()).await.unwrap();
            let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
            while sent.load(Ordering::Relaxed) < ENOUGH && stream.write_all(chunk.as_bytes()).await.is_ok() {
                sent.fetch_add(0x10000, Ordering::Relaxed);
            }
            return;
        }
        Reply::Trickle(status, headers) => {
            let head = head(status, &headers, ("content-length", "1000".to_owned()));
            stream.write_all(head.as_bytes()).await.unwrap();
            tokio::spawn(async move {
                while stream.write_all(b" ").await.is_ok() {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            });
            return;
        }
        Reply::HangUp => String::new(),
        Reply::Truncated => "HTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\nhello".to_owned(),
        Reply::Silence => {
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_secs(5)).await;
                drop(stream);
            });
            return;
        }
    };
    // Who has read enough of it goes away.
    let _ = stream.write_all(answer.as_bytes()).await;
    stream.shutdown().await.ok();
}

async fn read_request(stream: &mut TcpStream) -> Asked {
    let mut bytes = Vec::new();
    let head_end = loop {
        if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        assert_ne!(stream.read_buf(&mut bytes).await.unwrap(), 0, "the client hung up");
    };
    let head = String::from_utf8(bytes[..head_end].to_vec()).unwrap();
    let line = head.lines().next().unwrap().trim_end_matches(" HTTP/1.1").to_owned();
    let mut asked = Asked { line, head, body: Vec::new() };
    let length = asked.header("content-length").map_or(0, |length| length.parse().unwrap());
    while bytes.len() < head_end + length {
        assert_ne!(stream.read_buf(&mut bytes).await.unwrap(), 0, "the client hung up");
    }
    asked.body = bytes.split_off(head_end);
    asked
}
