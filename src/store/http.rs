//! The connections that all accounts of a process share ([`crate::store::connections`]), and their limits.
//!
//! HTTP/1.1 only: the Blob service does not offer HTTP/2, and where a proxy in front of it does, all parallel parts of
//! a blob would share one connection and its window; with HTTP/1.1 each has a connection of its own, kept in the pool.
//! TLS is rustls with the platform's trust roots. Redirects are not followed (the service sends none, and a signature
//! would not fit the new URL) and nothing is decompressed, because Content-Encoding is a property of the blob.
//!
//! Loopback hosts have connections of their own, without proxies and with a short memory for idle connections.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::time::Duration;

use futures_util::FutureExt;
use reqwest::Method;
use reqwest::header::HeaderMap;
use tokio::time::timeout;

use crate::store::breaker::{Away, Breaker};
use crate::store::connections::{Connections, Limits, Outgoing};
use crate::store::endpoint::Endpoint;
use crate::store::payload::Payload;
use crate::store::spelling::Names;
use crate::sync::lock;

/// Azurite closes idle connections after 5 s; below that, no request meets one that is just being closed.
const LOCAL_IDLE: Duration = Duration::from_secs(4);
/// A TLS handshake costs two round trips, so connections to the service are kept; load balancers on the way drop idle
/// ones after four minutes.
const REMOTE_IDLE: Duration = Duration::from_secs(90);

/// Time limits and number of tries.
#[derive(Debug, Clone)]
pub struct Options {
    /// Longest wait for a connection.
    pub connect_timeout: Duration,
    /// Longest time for a request and its repetitions; half of it for content, without any movement (the table is in
    /// `deadline`).
    pub timeout: Duration,
    /// Tries of a request in all, at least 1.
    pub tries: u32,
    /// Delay before the second try; doubles from there, ± 20 %.
    pub first_delay: Duration,
    /// Bound of every delay, also of a `Retry-After`.
    pub max_delay: Duration,
    /// True to ask for checksums of what is read, and to hand nothing on that they belie.
    pub check_reads: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(10),
            timeout: Duration::from_secs(60),
            tries: 5,
            first_delay: Duration::from_millis(800),
            max_delay: Duration::from_secs(60),
            check_reads: true,
        }
    }
}

/// The shared connection pool. Cheap to clone.
#[derive(Clone)]
pub struct Http(Arc<Inner>);

struct Inner {
    options: Options,
    local: OnceLock<Result<Connections, String>>,
    remote: OnceLock<Result<Connections, String>>,
    /// By scheme, host and port.
    breakers: Mutex<HashMap<String, Breaker>>,
}

/// Shortest time in which the other side has to acknowledge what was sent: less than that is a delay as any.
const UNACKNOWLEDGED: Duration = Duration::from_secs(1);

impl Http {
    /// Connects nowhere yet.
    pub fn new(options: Options) -> Self {
        let (local, remote) = (OnceLock::new(), OnceLock::new());
        Self(Arc::new(Inner { options, local, remote, breakers: Mutex::default() }))
    }

    pub(super) fn options(&self) -> &Options {
        &self.0.options
    }

    /// The connections to hosts on this machine or to all others. They are set up at first use, because loading the
    /// trust roots takes milliseconds that a loopback mount need not spend.
    pub(super) fn connections(&self, loopback: bool) -> Result<&Connections, String> {
        let a_try = self.0.options.timeout / 4;
        let limits = |idle_timeout| Limits {
            connect_timeout: self.0.options.connect_timeout.min(a_try),
            idle_timeout,
            unacknowledged: a_try.max(UNACKNOWLEDGED),
        };
        let set_up = match loopback {
            true => self.0.local.get_or_init(|| Connections::local(limits(LOCAL_IDLE))),
            false => self.0.remote.get_or_init(|| Connections::new(limits(REMOTE_IDLE))),
        };
        set_up.as_ref().map_err(Clone::clone)
    }

    /// The breaker of the host and port of an endpoint.
    pub(super) fn breaker(&self, endpoint: &Endpoint) -> Breaker {
        let origin = endpoint.origin();
        let mut breakers = lock(&self.0.breakers);
        if let Some(known) = breakers.get(&origin) {
            return known.clone();
        }
        let (http, url, loopback) = (Arc::downgrade(&self.0), format!("{origin}/"), endpoint.is_loopback());
        let ask = move |bound| probe(http.clone(), url.clone(), loopback, bound).boxed();
        let breaker = Breaker::new(origin.clone(), self.0.options.timeout, Box::new(ask));
        breakers.insert(origin, breaker.clone());
        breaker
    }
}

/// HEAD without any credential, to which every answer is one. `None` when all clients are gone.
async fn probe(http: Weak<Inner>, url: String, loopback: bool, bound: Duration) -> Option<Result<(), Away>> {
    let connections = Http(http.upgrade()?).connections(loopback).cloned().ok()?;
    let (names, written) = (Names::default(), Arc::default());
    let outgoing = Outgoing {
        method: Method::HEAD,
        url: &url,
        headers: HeaderMap::new(),
        names: &names,
        body: Payload::default().as_body(),
        written: &written,
    };
    match timeout(bound, connections.send(outgoing)).await {
        Ok(Ok(answer)) => {
            // Its connection is as good as any other.
            let _ = timeout(bound, answer.whole(0)).await;
            Some(Ok(()))
        }
        Ok(Err(broken)) => Some(Err(Away { detail: broken.detail, timed_out: broken.timed_out })),
        Err(_) => {
            connections.forget(&url);
            Some(Err(Away { detail: "no answer in time".into(), timed_out: true }))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;
    use crate::store::{AccountConfig, Client};

    #[test]
    fn there_are_a_crypto_provider_and_trust_roots() {
        let http = Http::new(Options::default());
        assert_eq!(http.connections(true).err(), None);
        assert_eq!(http.connections(false).err(), None);
    }

    #[tokio::test]
    async fn clients_of_a_process_share_connections() {
        const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\netag: \"1\"\r\nx-ms-blob-type: BlockBlob\r\n\
            last-modified: Mon, 01 Jan 2024 00:00:00 GMT\r\n\r\n";
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let accepted = Arc::new(AtomicUsize::new(0));
        let count = accepted.clone();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::Relaxed);
                let mut read = Vec::new();
                while stream.read_buf(&mut read).await.unwrap_or(0) > 0 {
                    if read.ends_with(b"\r\n\r\n") {
                        read.clear();
                        stream.write_all(ANSWER).await.unwrap();
                    }
                }
            }
        });
        let http = Http::new(Options::default());
        let blob = crate::store::scripted::path();
        for account in ["alpha", "beta", "alpha"] {
            let endpoint = Some(format!("{origin}/{account}"));
            let account = AccountConfig { endpoint, anonymous: true, ..Default::default() }.resolve().unwrap();
            let client = Client::new(account, http.clone());
            client.blob(&blob).properties().await.unwrap();
            client.blob(&blob).properties().await.unwrap();
        }
        assert_eq!(accepted.load(Ordering::Relaxed), 1);
    }
}
