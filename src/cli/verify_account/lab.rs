//! The place in which facts are looked at: an account, a container or a directory in one, and what is known of both.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::error::{Error, Result};
use crate::path::{BlobName, BlobPath, ContainerName};
use crate::store::sas::{self, Validity};
use crate::store::{Account, Answer, Client, Credential, Http, Options, Probe, Secret};

/// `Last-Modified` and other dates are in seconds: what happens after this has another one.
const TICK: Duration = Duration::from_millis(1100);

/// Longest that a source is read by the SAS that a copy gets.
const HOUR: Duration = Duration::from_secs(3600);

/// The kinds of account that facts are about.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Kind {
    pub hierarchical: bool,
    pub versions: bool,
    pub soft_delete: bool,
    /// There is an account key, which can sign any SAS.
    pub key: bool,
}

/// An account with a place in it.
pub(super) struct Lab {
    pub client: Client,
    account: Account,
    http: Http,
    pub container: ContainerName,
    /// Before every name: empty, or ends with a slash.
    pub prefix: String,
    pub kind: Kind,
    sent: AtomicU32,
}

impl Lab {
    /// Sends nothing yet.
    pub(super) fn new(account: Account, container: ContainerName, prefix: String) -> Self {
        let http = Http::new(Options::default());
        let kind = Kind { key: matches!(account.credential, Credential::SharedKey(_)), ..Kind::default() };
        let client = Client::new(account.clone(), http.clone());
        Self { client, account, http, container, prefix, kind, sent: AtomicU32::new(0) }
    }

    /// The same place, asked as somebody else or in another way. What is sent there is counted there.
    fn changed(&self, change: impl FnOnce(&mut Account)) -> Self {
        let mut account = self.account.clone();
        change(&mut account);
        let client = Client::new(account.clone(), self.http.clone());
        let (container, prefix) = (self.container.clone(), self.prefix.clone());
        Self { client, account, http: self.http.clone(), container, prefix, kind: self.kind, sent: AtomicU32::new(0) }
    }

    /// The same place, of which more is known.
    pub(super) fn of_kind(&self, kind: Kind) -> Self {
        Self { kind, ..self.anew() }
    }

    /// The same place, with a count of its own.
    pub(super) fn anew(&self) -> Self {
        self.changed(|_| ())
    }

    /// Without any credential.
    pub(super) fn as_nobody(&self) -> Self {
        self.changed(|account| account.credential = Credential::Anonymous)
    }

    /// With another `x-ms-version`.
    pub(super) fn in_version(&self, version: &str) -> Self {
        self.changed(|account| version.clone_into(&mut account.api_version))
    }

    /// An account SAS of these permissions. Needs a key.
    fn account_sas(&self, permissions: &str, validity: &Validity) -> Result<Secret> {
        let Credential::SharedKey(key) = &self.account.credential else {
            return Err(Error::unsupported("only a key signs a SAS"));
        };
        let (name, version) = (&self.account.name, &self.account.api_version);
        Ok(sas::account(key, name, permissions, "co", validity, version))
    }

    /// With an account SAS of these permissions. Needs a key.
    pub(super) fn with_sas(&self, permissions: &str, validity: &Validity) -> Result<Self> {
        let token = self.account_sas(permissions, validity)?;
        let credential = Credential::sas(&token).ok_or_else(|| Error::unsupported("a SAS without signature"))?;
        Ok(self.changed(|account| account.credential = credential))
    }

    /// Requests that were sent so far.
    pub(super) fn sent(&self) -> u32 {
        self.sent.load(Ordering::Relaxed)
    }

    pub(super) async fn send(&self, probe: Probe) -> Result<Seen> {
        self.sent.fetch_add(1, Ordering::Relaxed);
        self.client.probe(&probe).await.map(Seen)
    }

    /// Waits until dates differ.
    pub(super) async fn tick(&self) {
        tokio::time::sleep(TICK).await;
    }

    /// `CONTAINER/PREFIX NAME`.
    fn path(&self, name: &str) -> String {
        format!("{}/{}{name}", self.container, self.prefix)
    }

    /// A request for a blob of the place, to be filled.
    pub(super) fn ask(&self, method: &str, name: &str) -> Ask<'_> {
        Ask { lab: self, probe: Probe::new(method.parse().unwrap_or_default(), &self.path(name)) }
    }

    /// A request for the container.
    pub(super) fn ask_container(&self, method: &str) -> Ask<'_> {
        self.ask_container_as(method, "container")
    }

    /// A request for the container's path with another `restype`.
    pub(super) fn ask_container_as(&self, method: &str, kind: &str) -> Ask<'_> {
        let probe = Probe::new(method.parse().unwrap_or_default(), self.container.as_str());
        Ask { lab: self, probe: probe.query("restype", kind) }
    }

    /// What was sent by a [changed](Self::changed) lab, counted here.
    pub(super) fn counted(&self, seen: Result<Seen>) -> Result<Seen> {
        self.sent.fetch_add(1, Ordering::Relaxed);
        seen
    }

    /// Put Blob of a block blob.
    pub(super) fn put(&self, name: &str, content: &str) -> Ask<'_> {
        self.ask("PUT", name).header("x-ms-blob-type", "BlockBlob").body(content)
    }

    /// Put Blob of an empty append blob.
    pub(super) fn put_append(&self, name: &str) -> Ask<'_> {
        self.ask("PUT", name).header("x-ms-blob-type", "AppendBlob")
    }

    /// Put Blob of a page blob of zeros.
    pub(super) fn put_pages(&self, name: &str, size: u64) -> Ask<'_> {
        let ask = self.ask("PUT", name).header("x-ms-blob-type", "PageBlob");
        ask.header("x-ms-blob-content-length", &size.to_string())
    }

    /// Copy Blob within the account.
    pub(super) fn copy(&self, source: &str, name: &str) -> Result<Ask<'_>> {
        Ok(self.ask("PUT", name).header("x-ms-copy-source", &self.url(source)?))
    }

    /// Lease Blob.
    pub(super) fn lease(&self, name: &str, action: &str) -> Ask<'_> {
        self.ask("PUT", name).query("comp", "lease").header("x-ms-lease-action", action)
    }

    /// Put Block.
    pub(super) fn block(&self, name: &str, id: &str, content: &str) -> Ask<'_> {
        self.ask("PUT", name).query("comp", "block").query("blockid", id).body(content)
    }

    /// Put Block List of the latest blocks of these ids.
    pub(super) fn commit(&self, name: &str, ids: &[&str]) -> Ask<'_> {
        let ids: String = ids.iter().map(|id| format!("<Latest>{id}</Latest>")).collect();
        let list = format!("<?xml version=\"1.0\" encoding=\"utf-8\"?><BlockList>{ids}</BlockList>");
        self.ask("PUT", name).query("comp", "blocklist").body(list)
    }

    pub(super) fn head(&self, name: &str) -> Ask<'_> {
        self.ask("HEAD", name)
    }

    pub(super) fn get(&self, name: &str) -> Ask<'_> {
        self.ask("GET", name)
    }

    /// List Blobs below `prefix` of the place.
    pub(super) fn list(&self, prefix: &str) -> Ask<'_> {
        let prefix = format!("{}{prefix}", self.prefix);
        self.ask_container("GET").query("comp", "list").query("prefix", &prefix)
    }

    fn blob_path(&self, name: &str) -> Result<BlobPath> {
        Ok(BlobPath::new(self.container.clone(), BlobName::parse(&format!("{}{name}", self.prefix))?))
    }

    /// The URL of a blob, without a credential.
    pub(super) fn url(&self, name: &str) -> Result<String> {
        Ok(self.client.blob(&self.blob_path(name)?).url())
    }

    /// The URL of a blob with an account SAS of these permissions. Needs a key.
    pub(super) fn url_with_sas(&self, name: &str, permissions: &str) -> Result<String> {
        let token = self.account_sas(permissions, &Validity::for_the_next(HOUR))?;
        Ok(format!("{}?{}", self.url(name)?, token.expose()))
    }

    /// The URL of a blob with leave to read it.
    pub(super) async fn readable_url(&self, name: &str) -> Result<String> {
        self.readable_by(name, &self.client).await
    }

    /// The URL of a blob with leave for a copy of another account to read it.
    pub(super) async fn readable_by(&self, name: &str, reader: &Client) -> Result<String> {
        let path = self.blob_path(name)?;
        let source = self.client.blob(&path).block_source(reader, HOUR).await?;
        Ok(source.expose().to_owned())
    }
}

/// A request that is being filled.
#[must_use]
pub(super) struct Ask<'a> {
    lab: &'a Lab,
    probe: Probe,
}

impl Ask<'_> {
    pub(super) fn query(mut self, name: &'static str, value: &str) -> Self {
        self.probe = self.probe.query(name, value);
        self
    }

    pub(super) fn header(mut self, name: &str, value: &str) -> Self {
        self.probe = self.probe.header(name, value);
        self
    }

    pub(super) fn body(mut self, body: impl Into<String>) -> Self {
        self.probe = self.probe.body(body.into());
        self
    }

    pub(super) fn over_dfs(mut self) -> Self {
        self.probe = self.probe.over_dfs();
        self
    }

    /// One transaction.
    pub(super) async fn send(self) -> Result<Seen> {
        self.lab.send(self.probe).await
    }

    /// One transaction that prepares what a fact is about: a refusal is the end of it.
    pub(super) async fn done(self) -> Result<Seen> {
        let seen = self.lab.send(self.probe).await?;
        if (200..300).contains(&seen.0.status()) {
            return Ok(seen);
        }
        Err(Error::unsupported(format!("could not be prepared: {}", seen.outcome())))
    }
}

/// An answer in the words of the page of facts.
#[derive(Debug)]
pub(super) struct Seen(Answer);

impl Seen {
    /// `412 ConditionNotMet`, or the status alone.
    pub(super) fn outcome(&self) -> String {
        format!("{} {}", self.0.status(), self.0.code()).trim_end().to_owned()
    }

    pub(super) fn status(&self) -> u16 {
        self.0.status()
    }

    pub(super) fn code(&self) -> String {
        self.0.code()
    }

    pub(super) fn code_in_body(&self) -> String {
        self.0.code_in_body()
    }

    /// A header's value; empty if there is none.
    pub(super) fn header(&self, name: &str) -> &str {
        self.0.header(name).unwrap_or_default()
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.0.header(name).is_some()
    }

    /// `NAME: VALUE`, or `no NAME`.
    pub(super) fn shown(&self, name: &str) -> String {
        self.0.header(name).map_or_else(|| format!("no {name}"), |value| format!("{name}: {value}"))
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(self.0.body()).into_owned()
    }

    pub(super) fn bytes(&self) -> &[u8] {
        self.0.body()
    }

    /// Status and code of the answer, and of the source's own.
    pub(super) fn outcome_with_source(&self) -> String {
        match self.0.copy_source() {
            Some((status, code)) => format!("{}, source {status} {code}", self.outcome()),
            None => self.outcome(),
        }
    }

    /// `the same NAME` if two answers agree, or `another NAME`.
    pub(super) fn compared(&self, other: &Self, name: &str) -> String {
        match (self.0.header(name), other.0.header(name)) {
            (None, _) | (_, None) => format!("no {name}"),
            (one, two) if one == two => format!("the same {name}"),
            _ => format!("another {name}"),
        }
    }
}
