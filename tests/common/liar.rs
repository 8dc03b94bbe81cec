//! A service of one container that says of its blobs what a test wants, be it true or not.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use super::BOX;

/// The rows of a page, and the marker of the next one, for the page of names that begin so which begins at a marker.
type Page = dyn Fn(Option<&str>, Option<&str>) -> (String, Option<String>) + Send + Sync;

pub struct Liar {
    pub port: u16,
    asked: Arc<Mutex<Vec<String>>>,
}

const COMMON: &str =
    "etag: \"0x1\"\r\nlast-modified: Mon, 01 Jan 2024 00:00:00 GMT\r\ndate: Mon, 01 Jan 2024 00:00:00 GMT\r\n";

impl Liar {
    /// Lists the container by these pages, and has no blob if it is asked for one. It ends with the process.
    pub fn listing(page: impl Fn(Option<&str>) -> (String, Option<String>) + Send + Sync + 'static) -> Self {
        // Who asks for what is below a name is told that there is nothing.
        Self::listing_below(move |prefix, marker| match prefix {
            Some(_) => (String::new(), None),
            None => page(marker),
        })
    }

    /// The same, with pages of what is below a prefix.
    pub fn listing_below(
        page: impl Fn(Option<&str>, Option<&str>) -> (String, Option<String>) + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let (log, page) = (asked.clone(), Arc::new(page));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (log, page) = (log.clone(), page.clone());
                std::thread::spawn(move || serve(stream, &*page, &log));
            }
        });
        Self { port, asked }
    }

    /// Pages of names that begin so that were asked for.
    pub fn pages_below(&self, prefix: &str) -> usize {
        let prefix = format!("prefix={}", prefix.replace('/', "%2F"));
        let is_below = |line: &&String| line.split(['&', '?', ' ']).any(|part| part == prefix);
        self.asked.lock().unwrap().iter().filter(|line| is_page(line)).filter(is_below).count()
    }

    /// Pages of the container that were asked for.
    pub fn pages(&self) -> usize {
        self.asked.lock().unwrap().iter().filter(|line| is_page(line) && !line.contains("prefix=")).count()
    }
}

fn is_page(line: &str) -> bool {
    line.starts_with("GET ") && line.contains(&format!("/{BOX}?")) && line.contains("comp=list")
}

fn serve(stream: TcpStream, page: &Page, log: &Mutex<Vec<String>>) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    let mut stream = stream;
    loop {
        let head: Vec<String> = lines.by_ref().map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
        let Some(line) = head.first() else { return };
        log.lock().unwrap().push(line.clone());
        let (status, body) = answer(line, page);
        let answer = format!("HTTP/1.1 {status} X\r\n{COMMON}content-length: {}\r\n\r\n{body}", body.len());
        if stream.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

fn answer(line: &str, page: &Page) -> (u16, String) {
    let parameter = |name: &str| {
        let target = line.split(' ').nth(1)?;
        let (_, query) = target.split_once('?')?;
        query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('=')).map(str::to_owned)
    };
    if is_page(line) {
        let prefix = parameter("prefix").map(|prefix| prefix.replace("%2F", "/"));
        let (rows, next) = page(prefix.as_deref(), parameter("marker").as_deref());
        let next = next.map_or(String::new(), |next| format!("<NextMarker>{next}</NextMarker>"));
        return (200, format!("<EnumerationResults><Blobs>{rows}</Blobs>{next}</EnumerationResults>"));
    }
    if line.starts_with("GET ") && line.contains("comp=list") {
        let row = format!("<Container><Name>{BOX}</Name></Container>");
        return (200, format!("<EnumerationResults><Containers>{row}</Containers></EnumerationResults>"));
    }
    if line.starts_with("HEAD ") && line.contains("restype=container") {
        return (200, String::new());
    }
    (404, String::new())
}
