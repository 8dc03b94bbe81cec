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
