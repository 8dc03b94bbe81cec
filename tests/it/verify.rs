//! `blobcp verify-account` against the servers that are here: the devstore answers as the page of facts says, in every kind of account,
//! and Azurite's differences are known.

use std::collections::BTreeMap;
use std::process::Command;

use blobcp::devstore::{self, Config, Devstore};
use blobcp::store::{AccountConfig, Client, Http, ListBlobs, ListContainers, Options};
use serde_json::Value;
use tokio::runtime::Runtime;

use crate::common::azurite::{self, Azurite};

const BLOBCP: &str = env!("CARGO_BIN_EXE_blobcp");
const ACCOUNT: &str = "acct";

/// What the command said.
struct Verified {
    status: i32,
    out: String,
    err: String,
}

impl Verified {
    fn of(connection_string: &str, arguments: &[&str]) -> Self {
        let home = tempfile::tempdir().unwrap();
        let mut command = Command::new(BLOBCP);
        command.arg("verify-account").args(arguments).env_clear().env("HOME", home.path());
        let ended = command.env("AZURE_STORAGE_CONNECTION_STRING", connection_string).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self { status: ended.status.code().unwrap(), out: text(ended.stdout), err: text(ended.stderr) }
    }

    /// The rows that differ: fact and what it is about, and what was seen.
    fn differing(&self) -> BTreeMap<String, String> {
        let rows = self.out.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let text = |row: &Value, name: &str| row[name].as_str().unwrap().to_owned();
        let differing = rows.filter(|row| row["agrees"] == Value::Bool(false));
        differing.map(|row| (format!("{}: {}", text(&row, "fact"), text(&row, "about")), text(&row, "seen"))).collect()
    }
}

fn serve(config: Config) -> (Runtime, Devstore) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let store = runtime.block_on(Devstore::start(config)).unwrap();
    (runtime, store)
}

/// All containers and blobs.
fn names(runtime: &Runtime, connection_string: &str) -> Vec<String> {
    let account = AccountConfig { connection_string: Some(connection_string.into()), ..Default::default() };
    let client = Client::new(account.resolve().unwrap(), Http::new(Options::default()));
    runtime.block_on(async {
        let mut names = Vec::new();
        for container in client.list_containers(&ListContainers::default()).await.unwrap().items {
            names.push(container.name.to_string());
            let blobs = client.container(&container.name).list_blobs(&ListBlobs::default()).await.unwrap().items;
            names.extend(blobs.iter().map(|blob| format!("{}/{}", container.name, blob.name)));
        }
        names
    })
}

fn flat() -> Config {
    Config { accounts: vec![devstore::AccountConfig::named(ACCOUNT)], ..Config::default() }
}

fn assert_agrees(config: Config) {
    let (_runtime, store) = serve(config);
    let connection_string = store.connection_string(ACCOUNT).unwrap();
    let verified = Verified::of(&connection_string, &["--json", ACCOUNT]);
    assert_eq!(verified.differing(), BTreeMap::new(), "{}", verified.err);
    assert_eq!((verified.status, verified.err.lines().count()), (0, 1), "{}", verified.err);
    assert!(verified.out.lines().count() > 40, "{}", verified.out);
}

#[test]
fn the_devstore_answers_as_the_page_says_in_a_flat_account() {
    assert_agrees(flat());
}

#[test]
fn the_devstore_answers_as_the_page_says_in_an_account_with_versions() {
    assert_agrees(Config { accounts: vec![devstore::AccountConfig::versioned(ACCOUNT)], ..Config::default() });
}

#[test]
fn the_devstore_answers_as_the_page_says_in_an_account_that_keeps_what_is_deleted() {
    assert_agrees(Config { accounts: vec![devstore::AccountConfig::keeping_deleted(ACCOUNT, 7)], ..Config::default() });
}

#[test]
fn the_devstore_answers_as_the_page_says_in_a_hierarchical_account() {
    assert_agrees(Config { hns: true, ..flat() });
}

#[test]
fn it_says_before_how_many_transactions_it_makes_and_leaves_nothing() {
    let (runtime, store) = serve(flat());
    let connection_string = store.connection_string(ACCOUNT).unwrap();
    let verified = Verified::of(&connection_string, &[ACCOUNT]);
    let number = |line: &str, before: &str| -> u32 {
        let line =
            verified.out.lines().find(|found| found.contains(line)).unwrap_or_else(|| panic!("{}", verified.out));
        line.split_once(before).unwrap().1.split(' ').next().unwrap().parse().unwrap()
    };
    let (promised, made) = (number("will be looked at by", "looked at by "), number("transactions were made", ""));
    assert_eq!(promised, made);
    let (most, counted) = (number("transactions will be made", "At most "), store.stats().total);
    assert!(counted <= u64::from(most) && counted > u64::from(made), "{counted} of {most}");
    assert_eq!(names(&runtime, &connection_string), [""; 0]);

    // In a directory of a container that somebody else owns.
    store.put_blob(ACCOUNT, "box", "mine", bytes::Bytes::from_static(b"mine"), "text/plain").unwrap();
    let verified = Verified::of(&connection_string, &[&format!("{ACCOUNT}/box")]);
    assert_eq!((verified.status, verified.err.as_str()), (0, ""), "{}", verified.out);
    assert_eq!(names(&runtime, &connection_string), ["box", "box/mine"]);
}

#[test]
fn nothing_is_left_in_a_container_that_keeps_its_blobs() {
    let (runtime, store) = serve(flat());
    let connection_string = store.connection_string(ACCOUNT).unwrap();
    store.create_container(ACCOUNT, "kept").unwrap();
    store.keep(ACCOUNT, "kept", devstore::Immutability { days: Some(7), ..Default::default() }).unwrap();
    let verified = Verified::of(&connection_string, &[&format!("{ACCOUNT}/kept")]);
    assert_eq!(verified.status, 1);
    assert!(verified.err.contains("what is written there cannot be removed"), "{}", verified.err);
    // That much it had to try.
    assert_eq!(names(&runtime, &connection_string).len(), 2);
}

#[test]
fn a_difference_is_marked_and_an_unknown_fact_is_a_mistake() {
    let (_runtime, store) = serve(flat());
    let connection_string = store.connection_string(ACCOUNT).unwrap();
    let verified = Verified::of(&connection_string, &["--only", "S16,S34", ACCOUNT]);
    assert_eq!(verified.status, 0, "{}", verified.err);
    assert!(
        verified
            .out
            .contains("\n  S34 | Abort Copy Blob of a blob that is not there | 404 BlobNotFound | 404 BlobNotFound\n")
    );
    let verified = Verified::of(&connection_string, &["--only", "S9999", ACCOUNT]);
    assert_eq!(
        (verified.status, verified.err.as_str()),
        (2, "blobcp: verify-account: S9999 is no fact that can be looked at here\n")
    );
    // A server that says otherwise.
    let azurite = Azurite::shared();
    let verified = Verified::of(&connection_string_of(azurite), &["--only", "S27", azurite::ACCOUNT]);
    assert_eq!(
        (verified.status, verified.err.as_str()),
        (1, "blobcp: verify-account: 1 fact differs\n"),
        "{}",
        verified.out
    );
    assert!(verified.out.contains("\n! S27 | "), "{}", verified.out);
}

fn connection_string_of(azurite: &Azurite) -> String {
    let endpoint = azurite.endpoint(azurite::ACCOUNT);
    format!("AccountName={};AccountKey={};BlobEndpoint={endpoint}", azurite::ACCOUNT, azurite::KEY)
}

/// Facts that Azurite 3.37.0 answers otherwise, and what is seen there.
const AZURITE: &[(&str, &str)] = &[
    (
        "S2: progress and completion time of a finished copy, also of an empty blob",
        "5/5 with a completion time /  with a completion time",
    ),
    ("S8: Copy Blob of a sealed append blob, no x-ms-seal-blob", "no x-ms-blob-sealed, append 201"),
    ("S9: the same with x-ms-seal-blob: false", "x-ms-blob-sealed: false, append 201"),
    ("S12: Copy Blob, unmet condition on the destination", "412 ConditionNotMet"),
    (
        "S15: Copy Blob, each of the four conditions on the source unmet",
        "412 ConditionNotMet / 304 ConditionNotMet / 304 ConditionNotMet / 412 ConditionNotMet",
    ),
    ("S17: the same, named with a SAS", "404 CannotVerifyCopySource, source "),
    ("S27: Copy Blob onto a blob of another type", "202"),
    (
        "S33: Abort Copy Blob of a finished copy, and of a blob that never was copied",
        "409 NoPendingCopyOperation / 409 CopyIdMismatch",
    ),
    (
        "S36: Append Block From URL and Put Page From URL, source-if-match or -if-unmodified-since unmet",
        "501 APINotImplemented",
    ),
    ("S37: the same, source-if-none-match or -if-modified-since unmet", "501 APINotImplemented"),
    ("S38: Put Block From URL, source-if-modified-since unmet", "412 SourceConditionNotMet"),
    ("S40: Copy Blob From URL, source-if-none-match unmet", "304 ConditionNotMet"),
    ("S43: Put Blob From URL with If-None-Match: * to a free name", "501 APINotImplemented"),
    ("S44: Put Blob From URL with If-None-Match: * onto a blob, and the source is not there", "501 APINotImplemented"),
    (
        "S45: Put Blob From URL that sends neither metadata nor properties",
        "failed: could not be prepared: 501 APINotImplemented",
    ),
    (
        "S46: Put Blob From URL with x-ms-copy-source-blob-properties: false and a content type",
        "failed: could not be prepared: 501 APINotImplemented",
    ),
    (
        "S46: the same with metadata at the source and none sent: open",
        "failed: could not be prepared: 501 APINotImplemented",
    ),
    (
        "S49: Put Block From URL of a private blob of the account without a SAS (also S47, S48)",
        "403 CannotVerifyCopySource",
    ),
    ("S53: Copy Blob From URL of a page blob", ""),
    ("S54: answer to Copy Blob From URL", "202 success, without x-ms-content-crc64"),
    (
        "S58: Put Blob with If-None-Match: * and the lease id of a leased blob: the guard has no effect",
        "409 BlobAlreadyExists",
    ),
    ("S62: Put Block without content", "201"),
    ("S65: Get Block List of a blob that was never committed (also S169)", "200, x-ms-blob-content-length: 0, an etag"),
    ("S68: Put Blob of a page blob of more than 8 TiB", "201"),
    ("S72: malformed snapshot id: GET, and HEAD, which tells no code", "GET 404 BlobNotFound, HEAD 404 BlobNotFound"),
    (
        "S77: a name that XML cannot hold: how it is listed, and the slash in it (also S205)",
        "failed: could not be prepared: 500",
    ),
    ("S79: a snapshot stands before its blob, and has no tier (also S80)", "in another order, 2 tier of 2"),
    ("S95: a write with the id of a lease that was broken", "412 LeaseNotPresentWithBlobOperation"),
    ("S96: a malformed lease id", "412 LeaseNotPresentWithBlobOperation"),
    (
        "S99: Set Blob Tier from Archive: answer, and tier, archive status and ETag then",
        "202; x-ms-access-tier: Hot, no x-ms-archive-status, the same etag",
    ),
    (
        "S102: Put Blob without tier over a blob whose tier was chosen",
        "x-ms-access-tier: Hot, x-ms-access-tier-inferred: true",
    ),
    (
        "S103: Copy Blob without tier over a blob whose tier was chosen",
        "x-ms-access-tier: Hot, x-ms-access-tier-inferred: true",
    ),
    ("S104: a tier that there is not", "400 AccessTierNotSupportedForBlobType"),
    ("S105: archived blob: Put Block, Put Blob and Copy Blob onto itself", "201 / 409 BlobArchived / 409 BlobArchived"),
    ("S106: archived blob: Set Blob Metadata is refused; the code is open", "200"),
    ("S143: a private blob without credential, current version of the protocol", "403 AuthorizationFailure"),
    ("S145: a SAS that is over", "403 AuthorizationFailure, without the times"),
    (
        "S151: a version of the protocol that there is not: where its code is",
        "GET 400 InvalidHeaderValue in a header, HEAD 400 InvalidHeaderValue",
    ),
    ("S152: the byte order mark of documents", "missing"),
    ("S157: copy state after Set Blob Properties, Put Blob and Put Block List", "there / gone / there"),
    ("S159: Put Block From URL, source-if-none-match unmet", "412 SourceConditionNotMet"),
    (
        "S160: Put Blob From URL, source-if-match, -modified-since, -unmodified-since, -none-match unmet",
        "501 APINotImplemented",
    ),
    ("S161: Copy Blob From URL, source-if-match unmet", "412 ConditionNotMet"),
    (
        "S162: Put Blob From URL, match, modified-since, unmodified-since and none-match * on the destination unmet",
        "501 APINotImplemented / 501 APINotImplemented / 501 APINotImplemented / 501 APINotImplemented",
    ),
    ("S163: Copy Blob From URL of a private blob of the account without a SAS", ""),
    (
        "S169: Put Block List that names nothing; order of staged blocks; what Put Blob leaves of them",
        "201 of 0 bytes; in another order; some; 404 BlobNotFound",
    ),
    (
        "S173: a blob of uncommitted blocks, include=uncommittedblobs",
        "listed, with Etag, with Last-Modified, without AccessTier",
    ),
    (
        "S175: maxresults above 5000, a marker that is none, and a control character in prefix",
        "MaxResults 5000 / 200 / 500",
    ),
    ("S177: Set Blob Metadata of a snapshot: refused", "200"),
    ("S201: something that is no token as bearer", "403 AuthorizationFailure"),
    ("S204: a dot at the end of a segment, in the middle and at the end (also S156)", "is kept: 404 BlobNotFound"),
    ("S205: 255 segments, and 256", "201 / 201"),
    ("S205: U+007F, U+0001, a name too long by one UTF-16 unit, and the longest one", "201 / 201 / 201 / 201"),
];

#[test]
fn azurite_differs_in_what_is_known_to_differ() {
    let azurite = Azurite::shared();
    let verified = Verified::of(&connection_string_of(azurite), &["--json", azurite::ACCOUNT]);
    let known: BTreeMap<String, String> =
        AZURITE.iter().map(|(fact, seen)| ((*fact).to_owned(), (*seen).to_owned())).collect();
    assert_eq!(verified.differing(), known);
}
