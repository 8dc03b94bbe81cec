//! One account: what it is, and what it lets us do.

use std::time::{Duration, Instant, SystemTime};

use super::report::Report;
use super::rights::Sas;
use crate::config::MountSource;
use crate::error::Error;
use crate::path::ContainerName;
use crate::store::{Account, Answer, Client, Credential, Http, ListBlobs, ListContainers, Options, Probe};

/// From here on a difference of clocks is told as a mistake; from a quarter of an hour on the service refuses all.
const CLOCKS_DIFFER: Duration = Duration::from_secs(5 * 60);

/// People wait for it.
fn options() -> Options {
    Options {
        connect_timeout: Duration::from_secs(4),
        // A try has half of it.
        timeout: Duration::from_secs(16),
        tries: 2,
        first_delay: Duration::from_millis(300),
        max_delay: Duration::from_secs(1),
        check_reads: true,
    }
}

/// What is asked, and where.
struct Look {
    client: Client,
    source: MountSource,
    /// What the configuration says of its namespace.
    hierarchical: Option<bool>,
    report: Report,
}

/// Looks at what `source` names. `write`: also by writing.
pub(super) async fn look(source: MountSource, account: Account, write: bool) -> Report {
    let mut report = Report::default();
    report.row("endpoint", account.endpoint.to_string());
    let account = match account.settled().await {
        Ok(account) => account,
        Err(error) => {
            report.trouble(error.to_string());
            return report;
        }
    };
    who_asks(&account.credential, &source, &mut report);
    let hierarchical = account.hierarchical;
    let client = Client::new(account, Http::new(options()));
    let mut look = Look { client, source, hierarchical, report };
    if look.answers().await {
        look.soft_delete().await;
        look.lists().await;
        if write {
            look.writes().await;
        }
    }
    look.report
}

fn who_asks(credential: &Credential, source: &MountSource, report: &mut Report) {
    let ends = credential.ends();
    let until = ends.map_or_else(String::new, |end| format!(", until {}", httpdate::fmt_http_date(end)));
    report.row("asked with", format!("{credential}{until}"));
    if ends.is_some_and(|end| end <= SystemTime::now()) {
        report.trouble("the SAS is over: put a new one in its place");
    }
    match credential {
        Credential::SharedKey(_) => report.row("may", "everything"),
        Credential::Anonymous => report.row("may", "read containers that are public"),
        Credential::Entra(_) => report.row("may", "what the roles of the identity say; --write tries it"),
        Credential::Sas(token) => {
            let sas = Sas::of(token.expose());
            match sas.rights() {
                None => report.row("may", "what a stored policy says; --write tries it"),
                Some((may, may_not)) => {
                    report.row("may", if may.is_empty() { "nothing".into() } else { may.join("; ") });
                    if !may_not.is_empty() {
                        report.row("may not", may_not.join("; "));
                    }
                }
            }
            for trouble in sas.troubles(source.container.is_some()) {
                report.trouble(trouble);
            }
        }
    }
}

impl Look {
    fn probe(&self, method: &str, path: &str) -> Probe {
        Probe::new(method.parse().unwrap_or_default(), path)
    }

    fn container(&self) -> Option<ContainerName> {
        self.source.container.clone()
    }

    /// Get Account Information, twice: the first answer takes a connection, too. False if all else would fail.
    async fn answers(&mut self) -> bool {
        let place = self.container().map_or_else(String::new, |container| container.to_string());
        let ask = self.probe("GET", &place).query("restype", "account").query("comp", "properties");
        let mut times = Vec::new();
        let mut told = None;
        for _ in 0..2 {
            let began = Instant::now();
            match self.client.probe(&ask).await {
                Ok(answer) => told = Some(answer),
                Err(error) => {
                    self.report.trouble(no_answer(&error));
                    return false;
                }
            }
            times.push(began.elapsed().as_millis());
        }
        self.report.row("answers in", format!("{} ms; {} ms with a new connection", times[1], times[0]));
        let Some(told) = told else { return false };
        let clocks = self.clock(&told);
        if told.code() == "AuthenticationFailed" && told.status() == 403 {
            let why = if clocks {
                "it cannot do so while the clocks differ"
            } else {
                "it is another account's, or was replaced"
            };
            self.report
                .trouble(format!("the service does not accept the credential (403 AuthenticationFailed): {why}"));
            return false;
        }
        let namespace = match (told.status(), told.header("x-ms-is-hns-enabled"), self.hierarchical) {
            (200, Some("true"), _) => "hierarchical: directories are real, mv is one request".to_owned(),
            (200, ..) => "flat: directories are what names say, mv copies and deletes".to_owned(),
            (.., Some(hns)) => format!("{}, as the file says", if hns { "hierarchical" } else { "flat" }),
            (status, ..) => format!("not told ({status} {}); a mount finds out", told.code()),
        };
        self.report.row("namespace", namespace);
        true
    }

    /// True if the clocks differ so much that it matters.
    fn clock(&mut self, told: &Answer) -> bool {
        let Some(theirs) = told.header("date").and_then(|date| httpdate::parse_http_date(date).ok()) else {
            self.report.row("clock", "the service does not say what time it is");
            return false;
        };
        let (by, way) = match SystemTime::now().duration_since(theirs) {
            Ok(ahead) => (ahead, "ahead of"),
            Err(behind) => (behind.duration(), "behind"),
        };
        // Their date is in whole seconds.
        match by.as_secs() {
            0 | 1 => self.report.row("clock", "as the service's"),
            seconds => self.report.row("clock", format!("{seconds} s {way} the service's")),
        }
        let differ = by >= CLOCKS_DIFFER;
        if differ {
            let minutes = by.as_secs() / 60;
            let what = "set it: from 15 minutes on every request is refused";
            self.report.trouble(format!("this machine's clock is {minutes} min {way} the service's; {what}"));
        }
        differ
    }

    /// Get Blob Service Properties, which few credentials may ask for.
    async fn soft_delete(&mut self) {
        let ask = self.probe("GET", "").query("restype", "service").query("comp", "properties");
        let answer = self.client.probe(&ask).await.ok().filter(|answer| answer.status() == 200);
        let text = answer.map(|answer| String::from_utf8_lossy(answer.body()).replace(char::is_whitespace, ""));
        let policy = text.as_deref().and_then(|text| text.split("<DeleteRetentionPolicy>").nth(1));
        let policy = policy.and_then(|rest| rest.split("</DeleteRetentionPolicy>").next());
        if let Some(policy) = policy {
            let days = policy.split("<Days>").nth(1).and_then(|rest| rest.split('<').next());
            let on = policy.contains("<Enabled>true</Enabled>");
            self.report.row(
                "soft delete",
                match (on, days) {
                    (true, Some(days)) => format!("deleted blobs are kept for {days} days"),
                    (true, None) => "deleted blobs are kept".into(),
                    (false, _) => "off".into(),
                },
            );
        }
    }

    /// What a mount asks before it is made.
    async fn lists(&mut self) {
        let result = match self.container() {
            None => self.client.list_containers(&ListContainers::default()).await.map(|page| {
                let more = if page.next.is_some() { " or more" } else { "" };
                format!("{}{more} containers", page.items.len())
            }),
            Some(container) => {
                let list = ListBlobs { prefix: &self.source.prefix, max_results: Some(1), ..ListBlobs::default() };
                let listed = self.client.container(&container).list_blobs(&list).await;
                listed.map(
                    |page| if page.items.is_empty() { "empty".into() } else { "there is something in it".to_owned() },
                )
            }
        };
        match result {
            Ok(found) => self.report.row("lists", found),
            Err(error) if self.source.container.is_none() && matches!(error.status(), 401 | 403) => {
                let name = &self.source.account;
                let what = format!("containers cannot be listed ({} {})", error.status(), error.code());
                self.report.trouble(format!("{what}: mount one by its name, {name}/CONTAINER"));
            }
            Err(error) => self.report.trouble(format!("what is there cannot be listed: {error}")),
        }
    }

    /// Deletes the blob `name`, of which nobody knows whether it was written.
    async fn takes_away(&mut self, name: &str) {
        let gone = match self.client.probe(&self.probe("DELETE", name)).await {
            Ok(answer) => matches!(answer.status(), 202 | 404),
            Err(_) => false,
        };
        if !gone {
            self.report.row("left", format!("{name}, perhaps: it may have been written, and could not be deleted"));
        }
    }

    /// Puts a blob, reads it and deletes it.
    async fn writes(&mut self) {
        let Some(container) = self.container() else {
            return self.report.trouble("--write needs a container: ACCOUNT/CONTAINER");
        };
        let name = format!("{container}/{}.blobcp-check-{:08x}", self.source.prefix, rand::random::<u32>());
        let put = self.probe("PUT", &name).header("x-ms-blob-type", "BlockBlob").body("blobcp");
        let version = match self.client.probe(&put).await {
            Ok(answer) if answer.status() == 201 => answer.header("x-ms-version-id").map(str::to_owned),
            // An error of the server's own says nothing of what it has done.
            Ok(answer) => {
                self.report.trouble(format!("nothing can be written there ({} {})", answer.status(), answer.code()));
                if answer.status() >= 500 {
                    self.takes_away(&name).await;
                }
                return;
            }
            Err(error) => {
                self.report.trouble(no_answer(&error));
                return self.takes_away(&name).await;
            }
        };
        let read = self.client.probe(&self.probe("GET", &name)).await;
        let read = read.is_ok_and(|answer| answer.status() == 200 && answer.body() == b"blobcp");
        let delete = self.client.probe(&self.probe("DELETE", &name)).await;
        let deleted = delete.as_ref().is_ok_and(|answer| answer.status() == 202);
        let kept = delete.is_ok_and(|answer| answer.header("x-ms-delete-type-permanent") == Some("false"));
        self.report.row("tried", format!("write: yes; read: {}; delete: {}", yes(read), yes(deleted)));
        if !deleted {
            self.report.trouble(format!("{name} was written and cannot be deleted: rm and mv will be refused"));
        }
        self.report.row("versions", if version.is_some() { "kept: ls .versions" } else { "not kept" });
        if version.is_none() && !self.report.rows.iter().any(|(name, _)| *name == "soft delete") {
            self.report.row("soft delete", if kept { "deleted blobs are kept: ls .deleted" } else { "off" });
        }
        if let (Some(version), true) = (version, deleted) {
            // Another one that is kept is what was asked for: nothing is to be left.
            let remove = self.probe("DELETE", &name).query("versionid", version);
            if !self.client.probe(&remove).await.is_ok_and(|answer| answer.status() == 202) {
                self.report.row("left", format!("a version of {name}, which the credential may not delete"));
            }
        }
    }
}

fn yes(good: bool) -> &'static str {
    if good { "yes" } else { "no" }
}

/// Why there is no answer, without what the HTTP library repeats.
fn no_answer(error: &Error) -> String {
    match error {
        Error::Transport { detail, .. } => {
            format!("no answer: {}", detail.rsplit_once("no connection: ").map_or(detail.as_str(), |(_, cause)| cause))
        }
        other => other.to_string(),
    }
}
