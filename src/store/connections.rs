//! Connections: made, kept while nobody needs them, and used for one exchange at a time.
//!
//! One request goes over a connection at a time, so that each part of a blob has a connection of its own. The library that
//! speaks HTTP over them is hyper; what it cannot tell of an answer, the spelling of metadata names, comes from
//! [`crate::store::spelling`], which is why connections are kept here and not by a library.

use std::collections::{HashMap, VecDeque};
use std::error::Error as StdError;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{ACCEPT, HOST, HeaderMap, HeaderValue, PROXY_AUTHORIZATION, USER_AGENT};
use hyper::{Method, Request, Uri};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use hyper_util::rt::TokioIo;
use reqwest::Url;
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tower_service::Service;

use crate::store::body::{Gathered, Sink};
use crate::store::headers::AnswerHeaders;
use crate::store::payload::Pieces;
use crate::store::spelling::{Names, Spelled, Spelling};
use crate::sync::lock;

const OURSELVES: HeaderValue = HeaderValue::from_static(concat!("blobcp/", env!("CARGO_PKG_VERSION")));

/// Idle connections to one host that are kept: more than a mount has requests on their way.
const MOST_IDLE: usize = 256;

/// The time in which a connection that is kept is ready for the next request.
const READY: Duration = Duration::from_millis(50);

type BoxError = Box<dyn StdError + Send + Sync>;

/// What makes and keeps connections. Cheap to clone.
#[derive(Clone)]
pub(super) struct Connections(Arc<Shared>);

struct Shared {
    connector: HttpsConnector<HttpConnector>,
    tls: Arc<ClientConfig>,
    proxies: Option<Matcher>,
    connect_timeout: Duration,
    idle_timeout: Duration,
    /// By scheme, host and port; the one used last is at the end.
    idle: Mutex<HashMap<String, VecDeque<Idle>>>,
}

/// Limits of connections.
pub(super) struct Limits {
    /// Longest wait for a connection, its handshakes included.
    pub connect_timeout: Duration,
    /// Longest time that one is kept unused.
    pub idle_timeout: Duration,
    /// Longest time that the other side takes to say that bytes have come, or to make room for more.
    pub unacknowledged: Duration,
}

struct Idle {
    connection: Connection,
    since: Instant,
}

struct Connection {
    sender: SendRequest<Pieces>,
    spelling: Spelling,
}

/// What is to be sent.
pub(super) struct Outgoing<'a> {
    pub method: Method,
    pub url: &'a str,
    pub headers: HeaderMap,
    /// Spelling of the names of metadata in the headers.
    pub names: &'a Names,
    pub body: Pieces,
    /// Bytes that have gone out so far, for whoever looks while it is sent.
    pub written: &'a Arc<AtomicU64>,
}

/// No answer, or no whole one.
#[derive(Debug)]
pub(super) struct Broken {
    pub detail: String,
    pub timed_out: bool,
    /// The request did not leave this machine.
    pub unsent: bool,
}

impl Broken {
    fn unsent(detail: String, timed_out: bool) -> Self {
        Self { detail, timed_out, unsent: true }
    }

    /// It was not answered in time, when so many bytes had gone out.
    pub(super) fn silent(written: u64) -> Self {
        match written {
            0 => Self::unsent("no connection in time".into(), true),
            _ => Self { detail: "no answer in time".into(), timed_out: true, unsent: false },
        }
    }

    fn lost(error: &hyper::Error) -> Self {
        Self { detail: with_causes(error.to_string(), error), timed_out: is_time_out(error), unsent: false }
    }
}

/// An answer, whose body is still to come.
pub(super) struct Answer {
    pub status: u16,
    pub headers: AnswerHeaders,
    body: Incoming,
    /// Until the body has come: the connection, and where it is kept then.
    connection: Option<(Connections, String, Connection)>,
}

impl Answer {
    /// The next part of the body; `None` at its end.
    pub(super) async fn part(&mut self) -> Result<Option<Bytes>, Broken> {
        while let Some(frame) = self.body.frame().await {
            if let Ok(data) = frame.map_err(|error| Broken::lost(&error))?.into_data() {
                return Ok(Some(data));
            }
        }
        if let Some((connections, origin, connection)) = self.connection.take() {
            connections.keep(origin, connection);
        }
        Ok(None)
    }

    /// The body as a whole, if it has at most so many bytes.
    pub(super) async fn whole(mut self, most: usize) -> Result<Bytes, Broken> {
        let mut whole = Gathered::of_at_most(most);
        while let Some(part) = self.part().await? {
            whole.part(part).map_err(|detail| Broken { detail, timed_out: false, unsent: false })?;
        }
        Ok(whole.freeze())
    }
}

impl Connections {
    /// Connections with the system's trust roots and the proxies that the environment names.
    pub(super) fn new(limits: Limits) -> Result<Self, String> {
        Ok(Self::of(limits, tls_with_system_roots()?, Some(Matcher::from_env())))
    }

    /// Connections to this machine: without proxies, and plain HTTP works without any trust root.
    pub(super) fn local(limits: Limits) -> Result<Self, String> {
        let tls = tls_with_system_roots()
            .or_else(|_| tls_with(|builder| Ok(builder.with_root_certificates(RootCertStore::empty()))))?;
        Ok(Self::of(limits, tls, None))
    }

    fn of(limits: Limits, tls: ClientConfig, proxies: Option<Matcher>) -> Self {
        let tls = Arc::new(tls);
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(limits.connect_timeout));
        // A connection that a machine on the way has forgotten is noticed before the try is over.
        tcp.set_tcp_user_timeout(Some(limits.unacknowledged));
        Self(Arc::new(Shared {
            connector: HttpsConnector::from((tcp, tls.clone())),
            tls,
            proxies,
            connect_timeout: limits.connect_timeout,
            idle_timeout: limits.idle_timeout,
            idle: Mutex::default(),
        }))
    }

    /// Sends a request once, and hands on the answer as soon as its head has come.
    pub(super) async fn send(&self, outgoing: Outgoing<'_>) -> Result<Answer, Broken> {
        let invalid = |detail: String| Broken::unsent(format!("the URL: {detail}"), false);
        let url = Url::parse(outgoing.url).map_err(|error| invalid(error.to_string()))?;
        let uri: Uri =
            url.as_str().parse().map_err(|error: hyper::http::uri::InvalidUri| invalid(error.to_string()))?;
        let origin = url.origin().ascii_serialization();
        let proxy = self.0.proxies.as_ref().and_then(|proxies| proxies.intercept(&uri));
        let mut request = message(outgoing.method, &url, &uri, proxy.as_ref()).map_err(invalid)?;
        request.headers_mut().extend(outgoing.headers);
        let mut request = request.map(|()| outgoing.body);
        loop {
            let (mut connection, is_new) = match self.idle(&origin).await {
                Some(kept) => (kept, false),
                None => (self.connect(&uri, proxy.as_ref()).await?, true),
            };
            connection.spelling.begin(outgoing.names, outgoing.written);
            match connection.sender.try_send_request(request).await {
                Ok(response) => {
                    let (head, body) = response.into_parts();
                    let headers = AnswerHeaders::new(head.headers, connection.spelling.answered());
                    let connection = Some((self.clone(), origin, connection));
                    return Ok(Answer { status: head.status.as_u16(), headers, body, connection });
                }
                Err(mut refused) => match refused.take_message() {
                    // It was closed while nobody needed it.
                    Some(unsent) if !is_new => request = unsent,
                    Some(_) => return Err(Broken { unsent: true, ..Broken::lost(refused.error()) }),
                    None => return Err(Broken::lost(refused.error())),
                },
            }
        }
    }

    /// A connection that is kept and still open.
    async fn idle(&self, origin: &str) -> Option<Connection> {
        loop {
            let Idle { mut connection, since } = lock(&self.0.idle).get_mut(origin)?.pop_back()?;
            let fresh = since.elapsed() < self.0.idle_timeout;
            // One that was answered early may still be sending what nobody reads.
            let ready = async { matches!(timeout(READY, connection.sender.ready()).await, Ok(Ok(()))) };
            if fresh && ready.await {
                return Some(connection);
            }
        }
    }

    /// Ends the connections that are kept to the host of `url`.
    pub(super) fn forget(&self, url: &str) {
        if let Ok(url) = Url::parse(url) {
            lock(&self.0.idle).remove(&url.origin().ascii_serialization());
        }
    }

    fn keep(&self, origin: String, connection: Connection) {
        if connection.sender.is_closed() {
            return;
        }
        let mut idle = lock(&self.0.idle);
        let kept = idle.entry(origin).or_default();
        let over =
            |oldest: &Idle| oldest.since.elapsed() >= self.0.idle_timeout || oldest.connection.sender.is_closed();
        while kept.len() >= MOST_IDLE || kept.front().is_some_and(over) {
            kept.pop_front();
        }
        kept.push_back(Idle { connection, since: Instant::now() });
    }

    async fn connect(&self, uri: &Uri, proxy: Option<&Intercept>) -> Result<Connection, Broken> {
        let failed = |error: BoxError| {
            Broken::unsent(with_causes(format!("no connection: {error}"), &*error), is_time_out(&*error))
        };
        let spelling = Spelling::default();
        let connecting = async {
            let io = TokioIo::new(Spelled::new(self.reach(uri, proxy).await?, spelling.clone()));
            http1::handshake(io).await.map_err(BoxError::from)
        };
        let (sender, exchanges) = match timeout(self.0.connect_timeout, connecting).await {
            Ok(connected) => connected.map_err(failed)?,
            Err(_) => return Err(Broken::unsent("no connection in time".into(), true)),
        };
        tokio::spawn(async move {
            if let Err(error) = exchanges.await {
                tracing::debug!(%error, "a connection ended");
            }
        });
        Ok(Connection { sender, spelling })
    }

    /// The stream to a server, or to the proxy that speaks to it.
    async fn reach(&self, uri: &Uri, proxy: Option<&Intercept>) -> Result<Box<dyn Stream>, BoxError> {
        let mut direct = self.0.connector.clone();
        let Some(proxy) = proxy else {
            return Ok(Box::new(TokioIo::new(direct.call(uri.clone()).await?)));
        };
        if !is_tunnelled(uri) {
            return Ok(Box::new(TokioIo::new(direct.call(proxy.uri().clone()).await?)));
        }
        let headers = HeaderMap::from_iter([(USER_AGENT, OURSELVES)]);
        let mut tunnel = Tunnel::new(proxy.uri().clone(), direct).with_headers(headers);
        if let Some(credential) = proxy.basic_auth() {
            tunnel = tunnel.with_auth(credential.clone());
        }
        let mut through = HttpsConnector::from((tunnel, self.0.tls.clone()));
        Ok(Box::new(TokioIo::new(through.call(uri.clone()).await?)))
    }
}

/// A stream of bytes to a server.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// What is encrypted passes a proxy unseen; what is not is asked of it.
fn is_tunnelled(uri: &Uri) -> bool {
    uri.scheme_str() == Some("https")
}

/// A request without body, and with those headers that all have.
fn message(method: Method, url: &Url, uri: &Uri, proxy: Option<&Intercept>) -> Result<Request<()>, String> {
    let asked = proxy.filter(|_| !is_tunnelled(uri));
    let target = match asked {
        Some(_) => uri.clone(),
        None => uri.path_and_query().cloned().map(Uri::from).unwrap_or_default(),
    };
    let host = match (url.host_str(), url.port()) {
        (Some(host), Some(port)) => format!("{host}:{port}"),
        (host, _) => host.unwrap_or_default().to_owned(),
    };
    let mut request = Request::builder().method(method).uri(target).header(HOST, host).header(USER_AGENT, OURSELVES);
    request = request.header(ACCEPT, HeaderValue::from_static("*/*"));
    if let Some(credential) = asked.and_then(Intercept::basic_auth) {
        request = request.header(PROXY_AUTHORIZATION, credential.clone());
    }
    request.body(()).map_err(|error| error.to_string())
}

fn tls_with_system_roots() -> Result<ClientConfig, String> {
    tls_with(|builder| {
        let verifier = rustls_platform_verifier::Verifier::new(builder.crypto_provider().clone())?;
        Ok(builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier)))
    })
}

type WantsRoots = rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier>;
type HasRoots = rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert>;

fn tls_with(trust: impl FnOnce(WantsRoots) -> Result<HasRoots, rustls::Error>) -> Result<ClientConfig, String> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let mut tls = builder.and_then(trust).map_err(|error| format!("TLS: {error}"))?.with_no_client_auth();
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(tls)
}

/// The other side said nothing, which the kernel may notice before we do.
fn is_time_out(error: &(dyn StdError + 'static)) -> bool {
    let is_one = |error: &(dyn StdError + 'static)| {
        error.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == std::io::ErrorKind::TimedOut)
    };
    std::iter::successors(Some(error), |error| (*error).source()).any(is_one)
}

/// `text` with the causes of an error, as far as they say more.
pub(super) fn with_causes(mut text: String, error: &dyn std::error::Error) -> String {
    let mut cause = error.source();
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

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;
    use crate::store::payload::Payload;

    const LIMITS: Limits = Limits {
        connect_timeout: Duration::from_secs(10),
        idle_timeout: Duration::from_secs(60),
        unacknowledged: Duration::from_secs(60),
    };

    fn outgoing(url: &str) -> Outgoing<'_> {
        static NONE: std::sync::LazyLock<Names> = std::sync::LazyLock::new(Names::default);
        static UNSEEN: std::sync::LazyLock<Arc<AtomicU64>> = std::sync::LazyLock::new(Arc::default);
        let body = Payload::default().as_body();
        Outgoing { method: Method::GET, url, headers: HeaderMap::new(), names: &NONE, body, written: &UNSEEN }
    }

    /// A server that gives each connection so many answers and closes it. Heads that it was asked, for each connection.
    async fn server(answers: usize, answer: &'static str) -> (String, Arc<Mutex<Vec<Vec<String>>>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let asked = Arc::<Mutex<Vec<Vec<String>>>>::default();
        let log = asked.clone();
        tokio::spawn(async move {
            'connections: while let Ok((mut stream, _)) = listener.accept().await {
                log.lock().unwrap().push(Vec::new());
                for _ in 0..answers {
                    let mut read = Vec::new();
                    while !read.ends_with(b"\r\n\r\n") {
                        if stream.read_buf(&mut read).await.unwrap_or(0) == 0 {
                            continue 'connections;
                        }
                    }
                    log.lock().unwrap().last_mut().unwrap().push(String::from_utf8(read).unwrap());
                    stream.write_all(answer.as_bytes()).await.unwrap();
                }
            }
        });
        (address, asked)
    }

    const OK: &str = "HTTP/1.1 200 OK\r\nX-Ms-Meta-Ab: c\r\ncontent-length: 4\r\n\r\nbody";

    #[tokio::test]
    async fn a_connection_is_used_again_until_the_server_closes_it() {
        let (address, asked) = server(2, OK).await;
        let connections = Connections::local(LIMITS).unwrap();
        let url = format!("http://{address}/a?b");
        for _ in 0..5 {
            let answer = connections.send(outgoing(&url)).await.unwrap();
            assert_eq!(crate::store::headers::metadata(&answer.headers).iter().collect::<Vec<_>>(), [("Ab", "c")]);
            assert_eq!(answer.whole(9).await.unwrap(), "body");
        }
        let asked = asked.lock().unwrap();
        assert_eq!(asked.iter().map(Vec::len).collect::<Vec<_>>(), [2, 2, 1]);
        assert!(asked[0][0].starts_with(&format!("GET /a?b HTTP/1.1\r\nhost: {address}\r\nuser-agent: blobcp/")));
    }

    #[tokio::test]
    async fn an_answer_that_nobody_reads_to_its_end_ends_its_connection() {
        let (address, asked) = server(9, OK).await;
        let connections = Connections::local(LIMITS).unwrap();
        let url = format!("http://{address}/");
        drop(connections.send(outgoing(&url)).await.unwrap());
        connections.send(outgoing(&url)).await.unwrap().whole(9).await.unwrap();
        connections.send(outgoing(&url)).await.unwrap().whole(9).await.unwrap();
        assert_eq!(asked.lock().unwrap().iter().map(Vec::len).collect::<Vec<_>>(), [1, 2]);
    }

    #[tokio::test]
    async fn a_body_that_is_too_long_is_not_read_to_its_end() {
        let (address, asked) = server(9, OK).await;
        let connections = Connections::local(LIMITS).unwrap();
        let url = format!("http://{address}/");
        let broken = connections.send(outgoing(&url)).await.unwrap().whole(3).await.unwrap_err();
        assert!(broken.detail.contains("more than 3 bytes"), "{broken:?}");
        // What is left of it is nobody's answer.
        connections.send(outgoing(&url)).await.unwrap().whole(4).await.unwrap();
        assert_eq!(asked.lock().unwrap().iter().map(Vec::len).collect::<Vec<_>>(), [1, 1]);
    }

    #[tokio::test]
    async fn no_connection_is_told_from_a_lost_answer() {
        let (address, _) = server(1, "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nbody").await;
        let connections = Connections::local(LIMITS).unwrap();
        let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let broken = connections.send(outgoing(&format!("http://{closed}/"))).await.err().unwrap();
        assert!(broken.unsent && broken.detail.contains("refused"), "{broken:?}");
        let broken = connections.send(outgoing("http://")).await.err().unwrap();
        assert!(broken.unsent, "{broken:?}");
        let answer = connections.send(outgoing(&format!("http://{address}/"))).await.unwrap();
        let broken = answer.whole(9).await.unwrap_err();
        assert!(!broken.unsent, "{broken:?}");
        let (address, _) = server(0, "").await;
        let broken = connections.send(outgoing(&format!("http://{address}/"))).await.err().unwrap();
        assert!(!broken.unsent, "{broken:?}");
    }

    #[tokio::test]
    async fn who_says_nothing_is_told_from_who_refuses() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        // No room for anybody: the kernel drops who wants to connect.
        // SAFETY: the number of a socket that is open.
        assert_eq!(unsafe { libc::listen(std::os::fd::AsRawFd::as_raw_fd(&listener), 0) }, 0);
        let mut room = Vec::new();
        while let Ok(taken) = std::net::TcpStream::connect_timeout(&address, Duration::from_millis(100)) {
            room.push(taken);
        }
        let limits = Limits { connect_timeout: Duration::from_millis(300), ..LIMITS };
        let connections = Connections::local(limits).unwrap();
        let broken = connections.send(outgoing(&format!("http://{address}/"))).await.err().unwrap();
        assert!(broken.unsent && broken.timed_out, "{broken:?}");
        drop((room, listener));
        let broken = connections.send(outgoing(&format!("http://{address}/"))).await.err().unwrap();
        assert!(broken.unsent && !broken.timed_out, "{broken:?}");
    }

    #[tokio::test]
    async fn proxies_are_asked_for_what_is_plain_and_tunnel_what_is_not() {
        let (address, asked) = server(1, "HTTP/1.1 403 No\r\ncontent-length: 0\r\n\r\n").await;
        let proxy = format!("http://me:secret@{address}");
        let proxies = Matcher::builder().all(proxy).no("excepted.example").build();
        let connections = Connections::of(LIMITS, tls_with_system_roots().unwrap(), Some(proxies));
        let answer = connections.send(outgoing("http://blob.example:81/c/b?x=y")).await.unwrap();
        assert_eq!(answer.status, 403);
        let broken = connections.send(outgoing("https://blob.example/c/b?x=y")).await.err().unwrap();
        assert!(broken.unsent && !broken.detail.contains("secret"), "{broken:?}");
        let asked: Vec<String> = asked.lock().unwrap().concat();
        let credential = "bWU6c2VjcmV0";
        assert!(asked[0].starts_with("GET http://blob.example:81/c/b?x=y HTTP/1.1\r\nhost: blob.example:81\r\n"));
        assert!(asked[1].starts_with("CONNECT blob.example:443 HTTP/1.1\r\n") && !asked[1].contains("c/b"));
        assert!(
            asked
                .iter()
                .all(|head| head.to_lowercase().contains("proxy-authorization: basic") && head.contains(credential))
        );
    }
}
