//! A way to the service that can be shut: whoever is on it is thrown out, and whoever knocks is refused.

use std::io;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

pub struct Door {
    pub port: u16,
    service: String,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// How often it was opened or shut: who accepts for an earlier time has to go.
    time: u64,
    passing: Vec<TcpStream>,
}

impl Door {
    /// In front of the service at `HOST:PORT`, open.
    pub fn open(service: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let door = Self { port, service: service.to_owned(), state: Arc::default() };
        door.let_in(listener);
        door
    }

    fn let_in(&self, listener: TcpListener) {
        let (service, state) = (self.service.clone(), self.state.clone());
        let time = state.lock().unwrap().time;
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = TcpStream::connect(&service) else { continue };
                let mut now = state.lock().unwrap();
                if now.time != time {
                    return;
                }
                for (from, to) in [(&client, &server), (&server, &client)] {
                    let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    now.passing.push(from.try_clone().unwrap());
                    std::thread::spawn(move || hand_on(from, to));
                }
            }
        });
    }

    /// Shuts it. When this returns, nobody gets in.
    pub fn shut(&self) {
        let mut now = self.state.lock().unwrap();
        now.time += 1;
        for stream in now.passing.drain(..) {
            // It may have ended by itself.
            let _ = stream.shutdown(Shutdown::Both);
        }
        drop(now);
        // Who waits in accept sees that its time is over, and ends; the next is refused.
        while TcpStream::connect(("127.0.0.1", self.port)).is_ok() {
            std::thread::yield_now();
        }
    }

    /// Opens it again.
    pub fn open_again(&self) {
        let listener = loop {
            // Others of this machine may have the number for a moment, as that of a connection of theirs.
            match TcpListener::bind(("127.0.0.1", self.port)) {
                Ok(listener) => break listener,
                Err(_) => std::thread::yield_now(),
            }
        };
        self.let_in(listener);
    }
}

fn hand_on(mut from: TcpStream, mut to: TcpStream) {
    // However it ends, it ends for both.
    let _ = io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Write);
    let _ = from.shutdown(Shutdown::Read);
}
