//! A web server that is no Blob service: one file, on a free loopback port.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// How it answers.
#[derive(Clone)]
pub enum Manner {
    /// HEAD and GET, also of ranges.
    Plain(&'static str),
    /// GET alone, as a URL that is signed for GET.
    GetOnly(&'static str),
    /// HEAD with 403 and GET never.
    Silent,
    /// With 307 to another URL.
    Elsewhere(String),
}

/// What it was asked: request line and headers.
type Asked = Arc<Mutex<Vec<String>>>;

pub struct Web {
    pub port: u16,
    asked: Asked,
}

impl Web {
    pub fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Asked::default();
        let log = asked.clone();
        // Ends with the process.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (manner, log) = (manner.clone(), log.clone());
                std::thread::spawn(move || serve(stream, &manner, &log));
            }
        });
        Self { port, asked }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}/{path}", self.port)
    }

    /// The heads of all requests so far.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    /// Methods of all requests so far.
    pub fn methods(&self) -> Vec<String> {
        self.asked().iter().map(|head| head.split(' ').next().unwrap().to_owned()).collect()
    }
}

fn serve(stream: TcpStream, manner: &Manner, log: &Asked) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    let mut stream = stream;
    loop {
        let head: Vec<String> = lines.by_ref().map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
        if head.is_empty() {
            return;
        }
        let head = head.join("\n");
        log.lock().unwrap().push(head.clone());
        let is_head = head.starts_with("HEAD");
        let common = "content-type: text/x-web\r\netag: \"web-1\"\r\nlast-modified: Mon, 01 Jan 2024 00:00:00 GMT\r\n";
        let answer = match manner {
            Manner::GetOnly(_) | Manner::Silent if is_head => "HTTP/1.1 403 No\r\ncontent-length: 0\r\n\r\n".to_owned(),
            Manner::Silent => {
                let _ = lines.next();
                return;
            }
            Manner::Elsewhere(url) => format!("HTTP/1.1 307 Go\r\nlocation: {url}\r\ncontent-length: 0\r\n\r\n"),
            Manner::Plain(text) | Manner::GetOnly(text) => match is_head {
                true => format!("HTTP/1.1 200 OK\r\n{common}content-length: {}\r\n\r\n", text.len()),
                false if head.to_lowercase().contains("range: bytes=0-0") => format!(
                    "HTTP/1.1 206 Part\r\n{common}content-range: bytes 0-0/{}\r\ncontent-length: 1\r\n\r\n{}",
                    text.len(),
                    &text[..1]
                ),
                false => format!("HTTP/1.1 200 OK\r\n{common}content-length: {}\r\n\r\n{text}", text.len()),
            },
        };
        if stream.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}
