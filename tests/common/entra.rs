//! A token endpoint that is no Entra ID: it answers on a free loopback port, and the devstore is told of every token that it hands out.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use blobcp::devstore::Devstore;
use blobcp::store::{Authority, Identity};

pub const TENANT: &str = "10000000-0000-0000-0000-000000000001";
pub const CLIENT: &str = "20000000-0000-0000-0000-000000000002";
pub const SECRET: &str = "SeCrEt~x";

/// A request that it was sent.
#[derive(Debug, Clone)]
pub struct Asked {
    /// `POST /path`.
    pub line: String,
    /// All header lines, in lower case.
    pub headers: String,
    pub body: String,
}

/// The control interface of a devstore.
#[derive(Clone)]
pub struct Control {
    address: SocketAddr,
    token: String,
}

impl From<&Devstore> for Control {
    fn from(devstore: &Devstore) -> Self {
        Self { address: devstore.address(), token: devstore.control_token().to_owned() }
    }
}

struct State {
    asked: Vec<Asked>,
    devstore: Option<Control>,
    /// Body of the admission, JSON; empty for all.
    grant: String,
    /// Seconds that tokens last.
    life: u64,
    /// Nobody is answered meanwhile.
    held: bool,
    /// Answered instead of tokens.
    refusal: Option<(u16, String)>,
}

/// The endpoint.
#[derive(Clone)]
pub struct Entra {
    pub address: SocketAddr,
    state: Arc<(Mutex<State>, Condvar)>,
}

impl Entra {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let state =
            State { asked: Vec::new(), devstore: None, grant: String::new(), life: 3600, held: false, refusal: None };
        let entra =
            Self { address: listener.local_addr().unwrap(), state: Arc::new((Mutex::new(state), Condvar::new())) };
        let serving = entra.clone();
        // Ends with the process.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let entra = serving.clone();
                std::thread::spawn(move || entra.serve(stream));
            }
        });
        entra
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.0.lock().unwrap());
        self.state.1.notify_all();
    }

    /// The devstore that is to know the tokens.
    pub fn is_known_to(&self, devstore: &Devstore) {
        self.change(|state| state.devstore = Some(devstore.into()));
    }

    /// What the tokens to come are good for, as the devstore's control interface has it.
    pub fn grant(&self, json: &str) {
        self.change(|state| state.grant = json.to_owned());
    }

    pub fn tokens_last(&self, seconds: u64) {
        self.change(|state| state.life = seconds);
    }

    pub fn hold(&self, held: bool) {
        self.change(|state| state.held = held);
    }

    pub fn refuse(&self, refusal: Option<(u16, &str)>) {
        self.change(|state| state.refusal = refusal.map(|(status, body)| (status, body.to_owned())));
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.state.0.lock().unwrap().asked.clone()
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// An application with a secret that it knows.
    pub fn application(&self) -> Identity {
        Identity::ClientSecret {
            tenant: TENANT.into(),
            client: CLIENT.into(),
            secret: SECRET.into(),
            authority: Authority::parse(&self.url()).unwrap(),
        }
    }

    fn serve(&self, mut stream: TcpStream) {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        loop {
            let mut lines = Vec::new();
            loop {
                let mut line = String::new();
                if reader.read_line(&mut line).unwrap_or(0) == 0 {
                    return;
                }
                match line.trim_end() {
                    "" => break,
                    line => lines.push(line.to_owned()),
                }
            }
            let headers = lines[1..].join("\n").to_lowercase();
            let length = headers.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
            let mut body = vec![0; length.unwrap_or(0)];
            reader.read_exact(&mut body).unwrap();
            let body = String::from_utf8(body).unwrap();
            let line = lines[0].trim_end_matches(" HTTP/1.1").to_owned();
            let (status, answer) = self.answer(Asked { line, headers, body });
            let head = format!(
                "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
                answer.len()
            );
            if stream.write_all(format!("{head}{answer}").as_bytes()).is_err() {
                return;
            }
        }
    }

    fn answer(&self, asked: Asked) -> (u16, String) {
        let managed = asked.line.starts_with("GET");
        let mut state = self.state.0.lock().unwrap();
        state.asked.push(asked);
        let number = state.asked.len();
        state = self.state.1.wait_while(state, |state| state.held).unwrap();
        if let Some((status, body)) = &state.refusal {
            return (*status, body.clone());
        }
        let (state, waited) =
            self.state.1.wait_timeout_while(state, Duration::from_secs(10), |state| state.devstore.is_none()).unwrap();
        assert!(!waited.timed_out(), "nobody knows the tokens");
        let token = format!("token-{}-{number}", self.address.port());
        admit(state.devstore.clone().unwrap(), &token, &state.grant);
        let life = state.life;
        // The one says when, the other for how long, as strings or numbers.
        let when = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs() + life;
        let answer = match managed {
            true => {
                format!(r#"{{"access_token":"{token}","expires_on":"{when}","token_type":"Bearer","resource":"x"}}"#)
            }
            false => format!(r#"{{"access_token":"{token}","expires_in":{life},"token_type":"Bearer"}}"#),
        };
        (200, answer)
    }
}

/// Tells a devstore of a token.
pub fn admit(devstore: impl Into<Control>, token: &str, grant: &str) {
    let devstore = devstore.into();
    let mut stream = TcpStream::connect(devstore.address).unwrap();
    let (own, length) = (devstore.token, grant.len());
    let head = format!("POST /-/tokens?token={token} HTTP/1.0\r\nauthorization: Bearer {own}\r\n");
    stream.write_all(format!("{head}content-length: {length}\r\n\r\n{grant}").as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.contains(" 204 "), "{answer}");
}

/// Fields of a form, decoded.
pub fn fields(form: &str) -> BTreeSet<(String, String)> {
    let decode = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8().unwrap().into_owned();
    form.split('&').filter_map(|pair| pair.split_once('=')).map(|(name, value)| (decode(name), decode(value))).collect()
}
