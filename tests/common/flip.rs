//! A proxy on this machine that damages what passes: one bit of some of the bodies, and never a head.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Shorter bodies pass: whole numbers and single letters would be all there is to damage.
const WORTH_DAMAGE: usize = 16;

pub struct Flipper {
    pub port: u16,
    state: Arc<State>,
}

struct State {
    service: String,
    /// Of so many bodies one is damaged; none by 0.
    one_of: AtomicU64,
    random: AtomicU64,
    flipped: AtomicUsize,
}

impl State {
    /// The next of a row of numbers that looks like chance and is the same each time.
    fn random(&self) -> u64 {
        let mut mixed = self.random.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn damage(&self, body: &mut [u8]) {
        let one_of = self.one_of.load(Ordering::Relaxed);
        if body.len() < WORTH_DAMAGE || one_of == 0 || !self.random().is_multiple_of(one_of) {
            return;
        }
        let bit = self.random() % (body.len() as u64 * 8);
        body[(bit / 8) as usize] ^= 1 << (bit % 8);
        self.flipped.fetch_add(1, Ordering::Relaxed);
    }
}

impl Flipper {
    /// In front of the service at `service`, `HOST:PORT`. It ends with the process.
    pub fn start(service: &str, seed: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(State {
            service: service.to_owned(),
            one_of: AtomicU64::new(0),
            random: AtomicU64::new(seed),
            flipped: AtomicUsize::new(0),
        });
        let shared = state.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = shared.clone();
                std::thread::spawn(move || pass(stream, &state));
            }
        });
        Self { port, state }
    }

    /// From now on, one of so many bodies is damaged, in either direction.
    pub fn damage_one_of(&self, bodies: u64) {
        self.state.one_of.store(bodies, Ordering::Relaxed);
    }

    /// Bits that were turned so far.
    pub fn flipped(&self) -> usize {
        self.state.flipped.load(Ordering::Relaxed)
    }
}

/// Exchanges of one connection, until one of its ends is closed.
fn pass(client: TcpStream, state: &State) -> Option<()> {
    let service = TcpStream::connect(&state.service).ok()?;
    let (mut from_client, mut from_service) = (Side::new(&client)?, Side::new(&service)?);
    loop {
        let head = from_client.head().ok()?;
        from_client.body(&head, false, &service, state).ok()?;
        let is_head = head.starts_with(b"HEAD ");
        let head = from_service.head().ok()?;
        from_service.body(&head, is_head, &client, state).ok()?;
    }
}

/// What one end sends.
struct Side {
    stream: TcpStream,
    read: Vec<u8>,
}

impl Side {
    fn new(stream: &TcpStream) -> Option<Self> {
        stream.set_nodelay(true).ok()?;
        Some(Self { stream: stream.try_clone().ok()?, read: Vec::new() })
    }

    fn more(&mut self) -> io::Result<()> {
        let had = self.read.len();
        self.read.resize(had + 0x10000, 0);
        let read = self.stream.read(&mut self.read[had..])?;
        self.read.truncate(had + read);
        if read == 0 { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
    }

    fn head(&mut self) -> io::Result<Vec<u8>> {
        loop {
            if let Some(end) = self.read.windows(4).position(|window| window == b"\r\n\r\n") {
                let body = self.read.split_off(end + 4);
                return Ok(std::mem::replace(&mut self.read, body));
            }
            self.more()?;
        }
    }

    /// Hands on a head, and the body that it announces unless there is none.
    fn body(&mut self, head: &[u8], bodiless: bool, mut to: &TcpStream, state: &State) -> io::Result<()> {
        let text = String::from_utf8_lossy(head).to_lowercase();
        assert!(bodiless || !text.contains("transfer-encoding:"), "a body without a length: {text}");
        let length = text.lines().find_map(|line| line.strip_prefix("content-length:"));
        let length = length.filter(|_| !bodiless).map_or(0, |length| length.trim().parse::<usize>().unwrap());
        while self.read.len() < length {
            self.more()?;
        }
        let rest = self.read.split_off(length);
        let mut body = std::mem::replace(&mut self.read, rest);
        state.damage(&mut body);
        to.write_all(head)?;
        to.write_all(&body)
    }
}
