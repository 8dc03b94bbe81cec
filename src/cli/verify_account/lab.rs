//! The place in which facts are looked at: an account, a container or a directory in one, and what is known of both.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::kind::{Kind, Proof};
use crate::error::{Error, Result};
use crate::path::{BlobName, BlobPath, ContainerName};
use crate::store::sas::{self, Validity};
use crate::store::{Account, Answer, Client, Credential, Http, Moment, Options, Probe, Revision, Secret};
use crate::sync::lock;

/// `Last-Modified` and other dates are in seconds: what happens after this has another one.
const TICK: Duration = Duration::from_millis(1100);

/// Longest that a source is read by the SAS that a copy gets.
const HOUR: Duration = Duration::from_secs(3600);

/// An account with a place in it.
pub(super) struct Lab {
    pub client: Client,
    pub account: Account,
    http: Http,
    pub container: ContainerName,
    /// Before every name: empty, or ends with a slash.
    pub prefix: String,
    pub kind: Kind,
    /// There is something to be removed.
    pub begun: bool,
    /// The place in the account that copies are made from.
    pub second: Option<Box<Lab>>,
    /// Containers that facts have made and not deleted.
    pub beside: Arc<Mutex<Vec<ContainerName>>>,
    sent: Arc<AtomicU32>,
}

impl Lab {
    /// Sends nothing yet.
    pub(super) fn new(account: Account, container: ContainerName, prefix: String) -> Self {
        let http = Http::new(Options::default());
        let proof = match &account.credential {
            Credential::SharedKey(_) => Proof::Key,
            Credential::Entra(_) => Proof::Token,
            Credential::Sas(_) => Proof::Sas,
            Credential::Anonymous => Proof::Nothing,
        };
        let (shares, makes_containers) = (proof != Proof::Nothing, prefix.is_empty());
        let kind = Kind { proof, shares, makes_containers, ..Kind::default() };
        let client = Client::new(account.clone(), http.clone());
        let (beside, sent) = (Arc::default(), Arc::default());
        Self { client, account, http, container, prefix, kind, begun: false, second: None, beside, sent }
    }

    /// The same place, asked by the same client, with a count of its own.
    pub(super) fn anew(&self) -> Self {
        let sent = Arc::default();
        let second = self.second.as_deref().map(|second| Box::new(second.counted_by(&sent)));
        Self { second, ..self.counted_by(&sent) }
    }

    fn counted_by(&self, sent: &Arc<AtomicU32>) -> Self {
        Self {
            client: self.client.clone(),
            account: self.account.clone(),
            http: self.http.clone(),
            container: self.container.clone(),
            prefix: self.prefix.clone(),
            kind: self.kind,
            begun: self.begun,
            second: None,
            beside: Arc::clone(&self.beside),
            sent: Arc::clone(sent),
        }
    }

    /// The same place, asked as somebody else or in another way.
    fn changed(&self, change: impl FnOnce(&mut Account)) -> Self {
        let mut account = self.account.clone();
        change(&mut account);
        let client = Client::new(account.clone(), self.http.clone());
        Self { client, account, ..self.counted_by(&self.sent) }
    }

    /// Without any credential.
    pub(super) fn as_nobody(&self) -> Self {
        self.changed(|account| account.credential = Credential::Anonymous)
    }

    /// With another `x-ms-version`.
    pub(super) fn in_version(&self, version: &str) -> Self {
        self.changed(|account| version.clone_into(&mut account.api_version))
    }

    /// Another container of this name, which need not exist.
    pub(super) fn at(&self, container: ContainerName) -> Self {
        Self { container, prefix: String::new(), ..self.counted_by(&self.sent) }
    }

    /// Another container, which need not exist.
    pub(super) fn in_container(&self, name: &str) -> Result<Self> {
        Ok(self.at(ContainerName::parse(&format!("{}-{name}", self.container))?))
    }

    /// A new container, by one request. Until it is [deleted](Self::delete_container), it is removed in the end.
    pub(super) async fn new_container(&self, name: &str) -> Result<Self> {
        let new = self.in_container(name)?;
        new.ask_container("PUT").done().await?;
        lock(&self.beside).push(new.container.clone());
        Ok(new)
    }

    /// Delete Container of a [new one](Self::new_container).
    pub(super) async fn delete_container(&self) -> Result<Seen> {
        let seen = self.ask_container("DELETE").send().await?;
        if seen.status() == 202 {
            lock(&self.beside).retain(|container| *container != self.container);
        }
        Ok(seen)
    }

    /// The place in the account that copies are made from.
    pub(super) fn second(&self) -> Result<&Self> {
        self.second.as_deref().ok_or_else(|| Error::unsupported("there is no second account"))
    }

    /// An account SAS of these permissions. Needs a key.
    pub(super) fn sas(&self, permissions: &str, validity: &Validity) -> Result<Secret> {
        let Credential::SharedKey(key) = &self.account.credential else {
            return Err(Error::unsupported("only a key signs a SAS"));
        };
        let (name, version) = (&self.account.name, &self.account.api_version);
        Ok(sas::account(key, name, permissions, "co", validity, version))
    }

    /// With an account SAS of these permissions. Needs a key.
    pub(super) fn with_sas(&self, permissions: &str, validity: &Validity) -> Result<Self> {
        let token = self.sas(permissions, validity)?;
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

    /// A request for a blob of the place, to be filled.
    pub(super) fn ask(&self, method: &str, name: &str) -> Ask<'_> {
        let path = format!("{}/{}{name}", self.container, self.prefix);
        Ask { lab: self, probe: Probe::new(method.parse().unwrap_or_default(), &path) }
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

    /// HEAD of the directory that the place is in, if that is not the container.
    pub(super) fn head_above(&self) -> Option<Ask<'_>> {
        let (above, _) = self.prefix.trim_end_matches('/').rsplit_once('/')?;
        let path = format!("{}/{above}", self.container);
        Some(Ask { lab: self, probe: Probe::new("HEAD".parse().unwrap_or_default(), &path) })
    }

    /// A request for the account.
    pub(super) fn ask_account(&self, method: &str) -> Ask<'_> {
        Ask { lab: self, probe: Probe::new(method.parse().unwrap_or_default(), "") }
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
    pub(super) async fn copy(&self, source: &str, name: &str) -> Result<Ask<'_>> {
        let path = self.blob_path(source)?;
        let source = self.client.blob(&path).copy_source(&self.client, HOUR).await?;
        Ok(self.copy_from(source.expose(), name))
    }

    /// A version of a blob as the source of Copy Blob within the account.
    pub(super) async fn url_of_version(&self, name: &str, id: &str) -> Result<String> {
        let path = self.blob_path(name)?;
        let version = Moment::parse(id).map(Revision::Version);
        let source = self.client.blob(&path).at(version.as_ref()).copy_source(&self.client, HOUR).await?;
        Ok(source.expose().to_owned())
    }

    /// Copy Blob of what a URL names.
    pub(super) fn copy_from(&self, url: &str, name: &str) -> Ask<'_> {
        self.ask("PUT", name).header("x-ms-copy-source", url)
    }

    /// Abort Copy Blob.
    pub(super) fn abort(&self, name: &str, copy: &str) -> Ask<'_> {
        self.ask("PUT", name).query("comp", "copy").query("copyid", copy).header("x-ms-copy-action", "abort")
    }

    /// Set Blob Tier.
    pub(super) fn set_tier(&self, name: &str, tier: &str) -> Ask<'_> {
        self.ask("PUT", name).query("comp", "tier").header("x-ms-access-tier", tier)
    }

    /// Set Blob Metadata, to one name.
    pub(super) fn set_metadata(&self, name: &str) -> Ask<'_> {
        self.ask("PUT", name).query("comp", "metadata").header("x-ms-meta-a", "1")
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

    pub(super) fn blob_path(&self, name: &str) -> Result<BlobPath> {
        Ok(BlobPath::new(self.container.clone(), BlobName::parse(&format!("{}{name}", self.prefix))?))
    }

    /// The URL of a blob, without a credential.
    pub(super) fn url(&self, name: &str) -> Result<String> {
        Ok(self.client.blob(&self.blob_path(name)?).url())
    }

    /// The URL of a blob with leave to read it.
    pub(super) async fn readable_url(&self, name: &str) -> Result<String> {
        self.readable_by(name, &self.client).await
    }

    /// The URL of a blob with leave for a copy of another account to read it.
    pub(super) async fn readable_by(&self, name: &str, reader: &Client) -> Result<String> {
        let path = self.blob_path(name)?;
        let source = self.client.blob(&path).block_source(reader, HOUR).await?;
        match source.is_read_by_token() {
            true => Err(Error::unsupported("the identity may not sign a SAS")),
            false => Ok(source.expose().to_owned()),
        }
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

    /// It holds others, which count as well.
    pub(super) fn holding(self, parts: u32) -> Self {
        self.lab.sent.fetch_add(parts, Ordering::Relaxed);
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

    /// The text of an element of the body; empty if there is none.
    pub(super) fn element(&self, name: &str) -> String {
        let text = self.text();
        let rest = text.split_once(&format!("<{name}>")).map_or("", |(_, rest)| rest);
        rest.split("</").next().unwrap_or_default().to_owned()
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
