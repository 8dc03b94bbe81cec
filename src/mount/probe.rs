//! One cheap question per SOURCE before mounting.
//!
//! A key for another account, a container that is not there, a host that does not answer: mounted anyway, each of these
//! would be an unexplained EIO at the first `ls`. So the service is asked for one entry of each SOURCE, with few tries
//! and short limits, and what it says is turned into one line: what, where, and what to do about it where that is
//! known.

use std::time::{Duration, SystemTime};

use futures_util::future::try_join_all;
use tokio::time::timeout;

use crate::config::Probe;
use crate::error::Error;
use crate::fs::attr::{self, FileKind};
use crate::mount::error::MountError;
use crate::mount::patience::{Patience, Refusal};
use crate::path::{BlobName, BlobPath, ContainerName};
use crate::store::{Client, GET_TOKEN, Http, ListBlobs, ListContainers, Options};

/// For all SOURCEs together. People wait for it.
const BOUND: Duration = Duration::from_secs(12);

fn options() -> Options {
    Options {
        connect_timeout: Duration::from_secs(4),
        // A try of 10 s, and what is left.
        timeout: Duration::from_secs(20),
        tries: 2,
        first_delay: Duration::from_millis(300),
        max_delay: Duration::from_secs(1),
        check_reads: true,
    }
}

/// Asks for all of them, and again as long as `patience` lasts where nobody answers. Returns a line for each thing that
/// is no mistake, and perhaps not what was meant.
pub(super) async fn all(probes: &[Probe], patience: &Patience) -> Result<Vec<String>, MountError> {
    let http = Http::new(options());
    let ask = async || try_join_all(probes.iter().map(|probe| one(probe, http.clone()))).await;
    Ok(patience.ask(ask).await?.into_iter().flatten().collect())
}

async fn one(probe: &Probe, http: Http) -> Result<Option<String>, Refusal> {
    let client = Client::new(probe.account.clone(), http);
    let asked = async {
        match &probe.container {
            None => client.list_containers(&ListContainers::default()).await.map(|_| None),
            Some(container) => {
                let list = ListBlobs { prefix: &probe.prefix, max_results: Some(1), ..ListBlobs::default() };
                let page = client.container(container).list_blobs(&list).await?;
                let seems_empty = page.items.is_empty() && page.next.is_none() && !probe.prefix.is_empty();
                Ok(if seems_empty { what_is_at(&client, container, probe).await } else { None })
            }
        }
    };
    match timeout(BOUND, asked).await {
        Ok(Ok(line)) => Ok(line),
        Ok(Err(error)) => {
            let text = format!("{}: {}", probe.label, explain(probe, &error));
            Err(if matches!(error, Error::Transport { .. }) {
                Refusal::Unreachable(text)
            } else {
                Refusal::Final(text)
            })
        }
        Err(_) => {
            let (endpoint, bound) = (&probe.account.endpoint, BOUND.as_secs());
            Err(Refusal::Unreachable(format!("{}: {endpoint} did not answer within {bound} s", probe.label)))
        }
    }
}

/// What a directory is in which nothing is listed, if there is no such directory.
async fn what_is_at(client: &Client, container: &ContainerName, probe: &Probe) -> Option<String> {
    let name = BlobName::parse(probe.prefix.trim_end_matches('/')).ok()?;
    let path = BlobPath::new(container.clone(), name);
    match client.blob(&path).properties().await {
        Ok(found) if attr::kind_of(&found) == FileKind::Directory => None,
        Ok(_) => Some(format!("{} is a file, and no directory: what is written here stands beside it", probe.label)),
        Err(error) if error.is_not_found() => {
            Some(format!("{} does not exist yet: the first file that is written makes it", probe.label))
        }
        // Who may list need not be allowed to ask for it.
        Err(_) => None,
    }
}

fn explain(probe: &Probe, error: &Error) -> String {
    let account = &probe.account;
    let credential = account.credential_in_use();
    let said = match error {
        Error::Service(e) if e.request_id.is_empty() => format!("{} {}", e.status, e.code),
        Error::Service(e) => format!("{} {}, request id {}", e.status, e.code, e.request_id),
        // Nobody has asked the account yet.
        Error::Transport { operation, target, detail, .. } if *operation == GET_TOKEN => {
            return format!("no token from {target}: {}", cause(detail));
        }
        Error::Transport { detail, .. } => {
            let what = hint(detail).map_or_else(String::new, |hint| format!("; {hint}"));
            return format!("cannot reach {}: {}{what}", account.endpoint, cause(detail));
        }
        other => return other.to_string(),
    };
    let detail = match error {
        Error::Service(e) if !e.detail.is_empty() => format!("; {}", e.detail),
        _ => String::new(),
    };
    match (error.status(), error.code()) {
        _ if error.is_of_an_unknown_version() => {
            format!("the service does not know the API version {} (--api-version): {said}", account.api_version)
        }
        (_, "ContainerNotFound" | "FilesystemNotFound") => format!("there is no such container ({said})"),
        (404, "ResourceNotFound") if probe.container.is_none() => {
            format!("there is no such account at {} ({said})", account.endpoint)
        }
        (401 | 403, "AuthenticationFailed" | "InvalidAuthenticationInfo") => {
            match credential.out_of_time(SystemTime::now()) {
                Some(when) => format!("the {credential} {when}: another one is needed ({said}){detail}"),
                None => format!("the service does not accept the {credential} ({said}){detail}"),
            }
        }
        (401 | 403, _) if probe.container.is_none() => {
            format!("the {credential} does not allow to list containers; name one: {}/CONTAINER ({said})", probe.label)
        }
        (401 | 403, _) => format!("the {credential} does not allow to list blobs ({said})"),
        _ => error.to_string(),
    }
}

/// What to look at where a host cannot be reached.
fn hint(detail: &str) -> Option<&'static str> {
    if is_no_tls(detail) {
        Some("should its URL begin with http://?")
    } else if detail.contains("failed to lookup address information") {
        Some("is the account's name right?")
    } else {
        None
    }
}

/// The other end speaks, but not TLS.
fn is_no_tls(detail: &str) -> bool {
    detail.contains("received corrupt message")
}

/// The last cause in what the HTTP library says, which repeats itself on the way down to it.
fn cause(detail: &str) -> &str {
    if is_no_tls(detail) {
        return "what answers there does not speak TLS";
    }
    let detail = detail.rsplit_once("no connection: ").map_or(detail, |(_, cause)| cause);
    let detail = detail.strip_prefix("tcp connect error: ").unwrap_or(detail);
    let detail = detail.rsplit_once("failed to lookup address information: ").map_or(detail, |(_, cause)| cause);
    // A list of all names that a certificate is for helps nobody.
    let detail = detail.split("; certificate is only valid").next().unwrap_or(detail);
    detail.split(" (os error").next().unwrap_or(detail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("no connection: tcp connect error: Connection refused (os error 111)", "Connection refused")]
    #[case(
        "no connection: dns error: error resolving DNS: failed to lookup address information: \
         Name or service not known",
        "Name or service not known"
    )]
    #[case(
        "no connection: invalid peer certificate: certificate not valid for name \"a\"; \
         certificate is only valid for DnsName(\"b\")",
        "invalid peer certificate: certificate not valid for name \"a\""
    )]
    #[case(
        "no connection: received corrupt message of type InvalidContentType",
        "what answers there does not speak TLS"
    )]
    #[case("operation timed out", "operation timed out")]
    fn the_cause_is_what_a_person_needs(#[case] detail: &str, #[case] expected: &str) {
        assert_eq!(cause(detail), expected);
    }
}
