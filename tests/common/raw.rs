//! HTTP as it is on the wire: what a library would change on the way stays as it was written.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use blobcp::store::sas::{self, Validity};
use blobcp::store::{AccountKey, DEFAULT_API_VERSION};

/// An answer with its head as it came.
#[derive(Debug)]
pub struct RawAnswer {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl RawAnswer {
    /// Names and values of all metadata, as spelled.
    pub fn metadata(&self) -> Vec<(&str, &str)> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        let mut found: Vec<_> =
            lines.filter_map(|(name, value)| Some((name.strip_prefix("x-ms-meta-")?, value))).collect();
        found.sort_unstable();
        found
    }
}

/// The query of a SAS that permits everything with blobs.
pub fn query_of(key: &AccountKey, account: &blobcp::path::AccountName) -> String {
    let validity = Validity::for_the_next(Duration::from_secs(600));
    sas::account(key, account, "rwdlac", "co", &validity, DEFAULT_API_VERSION).expose().to_owned()
}

/// The URL of a blob of `one/box` with a SAS that permits everything.
pub fn url(world: &super::World, name: &str) -> String {
    let key = AccountKey::parse(&world.store.account_key(super::ONE).unwrap()).unwrap();
    let query = query_of(&key, &blobcp::path::AccountName::parse(super::ONE).unwrap());
    format!("{}/{}/{name}?{query}", world.store.endpoint(super::ONE), super::BOX)
}

/// DELETE over DFS of a path of `one/box` by another client, with all that is below it: the first part of it, if the
/// service does it in parts.
pub fn delete_path(world: &super::World, name: &str) -> RawAnswer {
    exchange("DELETE", &format!("{}&recursive=true", url(world, name)), &[], b"")
}

/// Sends requests one after the other over one connection, each when the head of the answer before has come; the answers,
/// the last one with its body. It must close the connection.
pub fn on_one_connection(host: &str, requests: &[String]) -> Vec<String> {
    let mut stream = TcpStream::connect(host).unwrap();
    let mut answers = Vec::new();
    for (at, request) in requests.iter().enumerate() {
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        if at + 1 == requests.len() {
            stream.read_to_end(&mut answer).unwrap();
        }
        while at + 1 < requests.len() && !answer.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            answer.push(byte[0]);
        }
        answers.push(String::from_utf8(answer).unwrap());
    }
    answers
}

/// Sends one request over a connection of its own, header lines as they are given.
pub fn exchange(method: &str, url: &str, headers: &[&str], body: &[u8]) -> RawAnswer {
    let (host, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let mut stream = TcpStream::connect(host).unwrap();
    let mut head = format!("{method} /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n");
    head.push_str(&format!("x-ms-version: {DEFAULT_API_VERSION}\r\nContent-Length: {}\r\n", body.len()));
    headers.iter().for_each(|line| head.push_str(&format!("{line}\r\n")));
    stream.write_all(format!("{head}\r\n").as_bytes()).unwrap();
    stream.write_all(body).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4;
    let body = answer.split_off(end);
    let head = String::from_utf8(answer).unwrap();
    RawAnswer { status: head.split(' ').nth(1).unwrap().parse().unwrap(), head, body }
}
