//! A way to the devstore that can be cut: a port that is refused, silent, slow or lost when a test says so.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::{ONE, World, look_again};

/// What becomes of connections and of what is sent over them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Line {
    /// They lead to the service.
    Whole,
    /// There are none: connections are refused.
    Refused,
    /// They are accepted, requests are read, and nothing comes back.
    Silent,
    /// Requests reach the service, and of its answers a byte comes back each second.
    Trickling,
    /// Nobody answers who wants one.
    Lost,
    /// They are accepted, and nothing is read from them.
    Unread,
    /// Requests are read at 250 KiB a second, and nothing comes back.
    Sipping,
}

/// Seen at the port since the line was changed last.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// First lines of requests, as far as they were read.
    pub lines: Vec<String>,
    /// When each probe of the client began.
    pub probes: Vec<Instant>,
}

pub struct Outage {
    pub port: u16,
    state: Arc<State>,
}

struct State {
    /// Does not listen while the port is refused; the port stays its own.
    listener: TcpListener,
    service: SocketAddr,
    now: Mutex<Now>,
}

struct Now {
    line: Line,
    live: Vec<TcpStream>,
    seen: Seen,
    /// Connections that fill the queue.
    fillers: Vec<TcpStream>,
    ended: bool,
}

const PROBE: &str = "HEAD / HTTP/1.1";

impl Outage {
    /// A way to the devstore of `world`.
    pub fn of(world: &World) -> Self {
        let endpoint = world.store.endpoint(ONE);
        let host = endpoint.trim_start_matches("http://").split('/').next().unwrap();
        // A port that was asked for by its number is kept while nobody listens.
        let listener = loop {
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            if let Ok(listener) = TcpListener::bind(("127.0.0.1", port)) {
                break listener;
            }
        };
        let port = listener.local_addr().unwrap().port();
        listener.set_nonblocking(true).unwrap();
        let now = Now { line: Line::Whole, live: Vec::new(), seen: Seen::default(), fillers: Vec::new(), ended: false };
        let state = Arc::new(State { listener, service: host.parse().unwrap(), now: Mutex::new(now) });
        let accepting = state.clone();
        thread::spawn(move || accepting.accept());
        Self { port, state }
    }

    /// Changes the line. Connections that there are break.
    pub fn becomes(&self, line: Line) {
        let fd = self.state.listener.as_raw_fd();
        let mut now = self.state.now();
        // SAFETY: both take the numbers of a socket that is open.
        unsafe {
            if line == Line::Refused {
                libc::shutdown(fd, libc::SHUT_RD);
            } else if now.line == Line::Refused {
                assert_eq!(libc::listen(fd, 128), 0);
            }
            if line == Line::Lost {
                assert_eq!(libc::listen(fd, 0), 0);
            } else if now.line == Line::Lost && line != Line::Refused {
                assert_eq!(libc::listen(fd, 128), 0);
            }
        }
        now.line = line;
        now.seen = Seen::default();
        now.fillers.clear();
        now.live.drain(..).for_each(|stream| drop(stream.shutdown(Shutdown::Both)));
        if line == Line::Lost {
            let address = self.state.listener.local_addr().unwrap();
            while let Ok(filler) = TcpStream::connect_timeout(&address, Duration::from_millis(100)) {
                now.fillers.push(filler);
            }
        }
    }

    /// New connections lead to the service again. Those that there are stay what they were.
    pub fn heals(&self) {
        let mut now = self.state.now();
        assert!(!matches!(now.line, Line::Refused | Line::Lost), "nobody has come through");
        now.line = Line::Whole;
        now.seen = Seen::default();
    }

    pub fn seen(&self) -> Seen {
        self.state.now().seen.clone()
    }
}

impl Drop for Outage {
    fn drop(&mut self) {
        self.becomes(Line::Whole);
        self.state.now().ended = true;
    }
}

impl State {
    fn now(&self) -> std::sync::MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn accept(self: Arc<Self>) {
        while !self.now().ended {
            // What was accepted under the lock is of the line that the lock says.
            let mut now = self.now();
            let accepted = if now.line == Line::Lost { None } else { self.listener.accept().ok() };
            let Some((client, _)) = accepted else {
                drop(now);
                look_again();
                continue;
            };
            client.set_nonblocking(false).unwrap();
            let line = now.line;
            now.live.push(client.try_clone().unwrap());
            if matches!(line, Line::Silent | Line::Unread | Line::Sipping) {
                drop(now);
                let state = self.clone();
                thread::spawn(move || match line {
                    Line::Unread => state.ignore(&client),
                    Line::Sipping => sip(client),
                    _ => state.swallow(client),
                });
                continue;
            }
            let Ok(service) = TcpStream::connect(self.service) else { continue };
            now.live.push(service.try_clone().unwrap());
            drop(now);
            let (mut from, mut to) = (client.try_clone().unwrap(), service.try_clone().unwrap());
            thread::spawn(move || {
                let _ = std::io::copy(&mut from, &mut to);
                let _ = to.shutdown(Shutdown::Write);
            });
            thread::spawn(move || match line {
                Line::Trickling => trickle(service, client),
                _ => forward(service, client),
            });
        }
    }

    /// Reads requests and says nothing.
    fn swallow(&self, mut client: TcpStream) {
        let mut bytes = [0; 4096];
        while let Ok(read @ 1..) = client.read(&mut bytes) {
            self.saw(&bytes[..read]);
        }
    }

    /// Looks at what comes first and leaves it where it is.
    fn ignore(&self, client: &TcpStream) {
        let mut bytes = [0; 4096];
        if let Ok(read @ 1..) = client.peek(&mut bytes) {
            self.saw(&bytes[..read]);
        }
    }

    /// Bytes have come, which may begin with a request.
    fn saw(&self, bytes: &[u8]) {
        let text = String::from_utf8_lossy(bytes).into_owned();
        let line = text.lines().next().unwrap_or_default().to_owned();
        if line.ends_with(" HTTP/1.1") {
            let mut now = self.now();
            if line == PROBE {
                now.seen.probes.push(Instant::now());
            }
            now.seen.lines.push(line);
        }
    }
}

fn sip(mut from: TcpStream) {
    let mut bytes = vec![0; 25 << 10];
    while let Ok(1..) = from.read(&mut bytes) {
        thread::sleep(Duration::from_millis(100));
    }
}

fn forward(mut from: TcpStream, mut to: TcpStream) {
    let _ = std::io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Both);
}

fn trickle(mut from: TcpStream, mut to: TcpStream) {
    let mut byte = [0];
    while let Ok(1) = from.read(&mut byte) {
        if to.write_all(&byte).is_err() {
            return;
        }
        thread::sleep(Duration::from_secs(1));
    }
}
