//! The HTTP clients that all accounts of a process share.
//!
//! HTTP/1.1 only: the Blob service does not offer HTTP/2, and where a proxy in front of it does, all parallel parts of a
//! blob would share one connection and its window; with HTTP/1.1 each has a connection of its own, kept in the pool.
//! TLS is rustls with the platform's trust roots. Redirects are not followed (the service sends none, and a signature
//! would not fit the new URL) and nothing is decompressed, because Content-Encoding is a property of the blob.
//!
//! Loopback hosts have a client of their own, without proxies and with a short memory for idle connections.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::store::retry::Policy;

const USER_AGENT: &str = concat!("blobcp/", env!("CARGO_PKG_VERSION"));

/// Azurite closes idle connections after 5 s; below that, no request meets one that is just being closed.
const LOCAL_IDLE: Duration = Duration::from_secs(4);
/// A TLS handshake costs two round trips, so connections to the service are kept; load balancers on the way drop idle ones
/// after four minutes.
const REMOTE_IDLE: Duration = Duration::from_secs(90);

/// Time limits and persistence.
#[derive(Debug, Clone)]
pub struct Options {
    pub connect_timeout: Duration,
    /// Longest silence: before an answer begins, and between parts of its body.
    pub read_timeout: Duration,
    /// Tries of a request in all, at least 1.
    pub tries: u32,
    /// Before the second try; doubles from there, ± 20 %.
    pub first_delay: Duration,
    /// Bound of every delay, also of a `Retry-After`.
    pub max_delay: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(10),
            read_timeout: Duration::from_secs(60),
            tries: 5,
            first_delay: Duration::from_millis(800),
            max_delay: Duration::from_secs(60),
        }
    }
}

/// The shared connection pool. Cheap to clone.
#[derive(Clone)]
pub struct Http(Arc<Inner>);

struct Inner {
    options: Options,
    policy: Policy,
    local: OnceLock<Result<reqwest::Client, String>>,
    remote: OnceLock<Result<reqwest::Client, String>>,
}

impl Http {
    /// Connects nowhere yet.
    pub fn new(options: Options) -> Self {
        let policy =
            Policy { tries: options.tries.max(1), first_delay: options.first_delay, max_delay: options.max_delay };
        Self(Arc::new(Inner { options, policy, local: OnceLock::new(), remote: OnceLock::new() }))
    }

    pub(super) fn policy(&self) -> &Policy {
        &self.0.policy
    }

    pub(super) fn read_timeout(&self) -> Duration {
        self.0.options.read_timeout
    }

    /// The client for hosts on this machine or for all others. It is built at first use, because loading the trust roots takes
    /// milliseconds that a loopback mount need not spend.
    pub(super) fn client(&self, loopback: bool) -> Result<&reqwest::Client, String> {
        let client = if loopback { &self.0.local } else { &self.0.remote };
        client.get_or_init(|| self.build(loopback)).as_ref().map_err(Clone::clone)
    }

    fn build(&self, loopback: bool) -> Result<reqwest::Client, String> {
        let common = || {
            reqwest::Client::builder()
                .user_agent(USER_AGENT)
                .http1_only()
                .redirect(reqwest::redirect::Policy::none())
                .retry(reqwest::retry::never())
                .referer(false)
                .tcp_nodelay(true)
                .connect_timeout(self.0.options.connect_timeout)
                .pool_max_idle_per_host(256)
        };
        let built = if loopback {
            let local = || common().no_proxy().pool_idle_timeout(LOCAL_IDLE);
            // A machine without trust roots can still talk plain HTTP to itself.
            local().build().or_else(|_| local().tls_certs_only([]).build())
        } else {
            common().pool_idle_timeout(REMOTE_IDLE).build()
        };
        built.map_err(|e| format!("HTTP client: {}", describe(e)))
    }
}

/// An error with its causes and without its URL, which may hold a SAS.
pub(super) fn describe(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(inner) = cause {
        let detail = inner.to_string();
        if !text.contains(&detail) {
            text.push_str(": ");
            text.push_str(&detail);
        }
        cause = inner.source();
    }
    text
}
