//! The facts about the service (`docs/service-facts.md`), one by one: a comment names the fact, what stands below it fails when the
//! devstore answers otherwise. A file for each group or two of the page; special names are in `wire`.

mod copies;
mod errors;
mod leases;
mod lists;
mod reads;
mod sources;
mod versions;
mod who;
mod writes;

use std::time::Duration;

use blobcp::devstore::{Config, Devstore, PolicyChange};

use super::client::{Answer, Client, Headers, ONE, SECOND, TWO, server};

/// A server, and a client of each of its accounts.
async fn accounts(config: Config) -> (Devstore, Client, Client) {
    let server = server(config).await;
    let (one, two) = (Client::new(&server, ONE), Client::new(&server, TWO));
    (server, one, two)
}

/// The same where nobody knows the answers, and these are chosen.
async fn answering(choices: &[&str]) -> (Devstore, Client, Client) {
    let answers = choices.iter().map(|choice| choice.parse().unwrap()).collect();
    accounts(Config { answers, ..Config::default() }).await
}

/// The same with versions of all blobs.
async fn versioned() -> (Devstore, Client) {
    let accounts = vec![blobcp::devstore::AccountConfig::versioned(ONE)];
    let server = Devstore::start(Config { accounts, ..Config::default() }).await.unwrap();
    server.create_container(ONE, "box").unwrap();
    let one = Client::new(&server, ONE);
    (server, one)
}

/// New copies stay pending.
fn hold(server: &Devstore) {
    server.change_policy(PolicyChange { hold_new_copies: Some(true), ..Default::default() });
}

const HOUR: Duration = Duration::from_secs(3600);

/// Two answers say the same in these headers, and something.
#[track_caller]
fn assert_same(before: &Answer, after: &Answer, names: &[&str]) {
    for name in names {
        assert_ne!(before.header(name), "", "{name}");
        assert_eq!(after.header(name), before.header(name), "{name}");
    }
}

/// What a change of content or metadata changes.
const STAMP: [&str; 2] = ["etag", "last-modified"];

/// Put Blob of an append blob with one block.
async fn append_blob(client: &Client, path: &str, text: &'static str) {
    assert_eq!(client.put(path, &[("x-ms-blob-type", "AppendBlob")]).await.status, 201);
    assert_eq!(client.send("PUT", &format!("{path}?comp=appendblock"), &[], text).await.status, 201);
}

/// Put Blob of a page blob without content.
async fn page_blob(client: &Client, path: &str, size: u64) -> Answer {
    let size = size.to_string();
    client.put(path, &[("x-ms-blob-type", "PageBlob"), ("x-ms-blob-content-length", &size)]).await
}

/// Stages a block for each id and text.
async fn stage(client: &Client, path: &str, blocks: &[(&str, &'static str)]) {
    for (id, text) in blocks {
        let path = format!("{path}?comp=block&blockid={}", id.replace('=', "%3D"));
        assert_eq!(client.send("PUT", &path, &[], *text).await.status, 201);
    }
}

/// Put Block List of these ids.
async fn commit(client: &Client, path: &str, headers: Headers<'_>, ids: &[&str]) -> Answer {
    let list: String = ids.iter().map(|id| format!("<Latest>{id}</Latest>")).collect();
    client.send("PUT", &format!("{path}?comp=blocklist"), headers, format!("<BlockList>{list}</BlockList>")).await
}

/// Acquires a lease of so many seconds, -1 for one that does not end.
async fn lease(client: &Client, path: &str, seconds: i32) -> String {
    let seconds = seconds.to_string();
    let headers = [("x-ms-lease-action", "acquire"), ("x-ms-lease-duration", &*seconds)];
    let answer = client.put(&format!("{path}?comp=lease"), &headers).await;
    assert_eq!(answer.status, 201);
    answer.header("x-ms-lease-id").to_owned()
}

/// An HTTP date that is so far away from now.
fn date(hours: i64) -> String {
    let now = std::time::SystemTime::now();
    let away = HOUR * hours.unsigned_abs() as u32;
    httpdate::fmt_http_date(if hours < 0 { now - away } else { now + away })
}
