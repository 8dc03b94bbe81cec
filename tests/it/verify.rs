//! `blobcp verify-account` against the servers that are here: the devstore answers as the page of facts says, in every kind of account
//! and to every kind of credential, and Azurite's differences are known.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use blobcp::devstore::{self, Config, Devstore, Fault};
use blobcp::store::{AccountConfig, AccountKey, Client, Http, ListBlobs, ListContainers, Options};
use serde_json::Value;
use tokio::runtime::Runtime;
use tokio::sync::Barrier;

use crate::common::azurite::{self, Azurite};
use crate::common::entra::{CLIENT, Entra, SECRET, TENANT};

const BLOBCP: &str = env!("CARGO_BIN_EXE_blobcp");
const ACCOUNT: &str = "acct";
/// The account that copies are made from.
const SECOND: &str = "second";

/// What the command said.
struct Verified {
    status: i32,
    out: String,
    err: String,
}

impl Verified {
    /// With this file of accounts and these arguments.
    fn of(accounts: &str, arguments: &[&str]) -> Self {
        Self::with(accounts, &[], arguments)
    }

    fn with(accounts: &str, variables: &[(&str, &str)], arguments: &[&str]) -> Self {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("accounts.toml");
        std::fs::write(&file, accounts).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        let mut command = Command::new(BLOBCP);
        command.arg("verify-account").arg("--config").arg(&file).args(arguments);
        command.env_clear().env("HOME", home.path()).envs(variables.iter().copied());
        let ended = command.output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self { status: ended.status.code().unwrap(), out: text(ended.stdout), err: text(ended.stderr) }
    }

    /// Of `--json`.
    fn rows(&self) -> Vec<Value> {
        self.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The rows that differ: facts and what they are about, and what was seen.
    fn differing(&self) -> BTreeMap<String, String> {
        let rows = self.rows();
        let differing = rows.iter().filter(|row| row["agrees"] == Value::Bool(false));
        let about = |row: &Value| format!("{}: {}", ids(row).join(", "), row["about"].as_str().unwrap());
        differing.map(|row| (about(row), row["seen"].as_str().unwrap().to_owned())).collect()
    }

    /// The facts that were asked for.
    fn asked(&self) -> BTreeSet<String> {
        self.rows().iter().filter(|row| row["agrees"].is_boolean()).flat_map(ids).collect()
    }

    /// The facts that were not, and why.
    fn not_asked(&self) -> BTreeMap<String, String> {
        let rows = self.rows();
        let others = rows.iter().filter_map(|row| Some((row, row["not_asked"].as_str()?)));
        others.flat_map(|(row, reason)| ids(row).into_iter().map(|id| (id, reason.to_owned()))).collect()
    }
}

fn ids(row: &Value) -> Vec<String> {
    row["facts"].as_array().unwrap().iter().map(|id| id.as_str().unwrap().to_owned()).collect()
}

fn serve(config: Config) -> (Runtime, Devstore) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let store = runtime.block_on(Devstore::start(config)).unwrap();
    (runtime, store)
}

/// A server with [`ACCOUNT`], as it is given, and [`SECOND`].
fn serve_two(account: devstore::AccountConfig, hns: bool) -> (Runtime, Devstore) {
    serve(Config { accounts: vec![account, devstore::AccountConfig::named(SECOND)], hns, ..Config::default() })
}

fn plain() -> devstore::AccountConfig {
    devstore::AccountConfig::named(ACCOUNT)
}

/// An account in the file, with a credential.
fn table(account: &str, endpoint: &str, credential: &str) -> String {
    format!("[account.{account}]\nendpoint = '{endpoint}'\n{credential}\n")
}

/// Both accounts of a server, with their keys.
fn keys(store: &Devstore) -> String {
    let table = |name| table(name, &store.endpoint(name), &format!("key = '{}'", store.account_key(name).unwrap()));
    [ACCOUNT, SECOND].map(table).concat()
}

/// All containers and blobs of both accounts.
fn names(runtime: &Runtime, store: &Devstore) -> Vec<String> {
    let mut names = Vec::new();
    for account in [ACCOUNT, SECOND] {
        let config = AccountConfig {
            connection_string: store.connection_string(account).as_deref().map(Into::into),
            ..Default::default()
        };
        let client = Client::new(config.resolve().unwrap(), Http::new(Options::default()));
        runtime.block_on(async {
            for container in client.list_containers(&ListContainers::default()).await.unwrap().items {
                names.push(format!("{account}/{}", container.name));
                // Also what has only blocks.
                let list = ListBlobs { uncommitted: true, ..ListBlobs::default() };
                let blobs = client.container(&container.name).list_blobs(&list).await.unwrap().items;
                names.extend(blobs.iter().map(|blob| format!("{account}/{}/{}", container.name, blob.name)));
            }
        });
    }
    names
}

/// Nothing differs, and no copy was over before it was looked at.
#[track_caller]
fn assert_agrees(verified: &Verified) {
    assert_eq!(verified.differing(), BTreeMap::new(), "{}", verified.err);
    assert_eq!((verified.status, verified.err.lines().count()), (0, 1), "{}", verified.err);
    assert!(verified.asked().len() > 60, "{}", verified.out);
    let over =
        verified.rows().into_iter().find(|row| row["seen"].as_str().is_some_and(|seen| seen.contains("the copy was")));
    assert_eq!(over, None);
}

/// All of [`ACCOUNT`] with its key, and copies from [`SECOND`].
#[track_caller]
fn assert_agrees_with_keys(account: devstore::AccountConfig, hns: bool) -> Verified {
    let (runtime, store) = serve_two(account, hns);
    let verified = Verified::of(&keys(&store), &["--json", "--from", SECOND, ACCOUNT]);
    assert_agrees(&verified);
    assert_eq!(names(&runtime, &store), [""; 0]);
    verified
}

#[test]
fn the_devstore_answers_as_the_page_says_in_a_flat_account() {
    let verified = assert_agrees_with_keys(plain(), false);
    let (asked, not_asked) = (verified.asked(), verified.not_asked());
    for id in ["S3", "S8", "S18", "S23", "S31", "S98", "S154", "S155"] {
        assert!(asked.contains(id), "{id}");
    }
    let reasons: BTreeSet<&str> = not_asked.values().map(String::as_str).collect();
    for reason in ["needs a hierarchical namespace", "needs an account that keeps versions", "needs a token"] {
        assert!(reasons.contains(reason), "{reasons:?}");
    }
    // What is asked in one account is asked for in another way, too, or all of it is.
    assert!(!not_asked.values().any(|reason| reason.contains("--from")), "{not_asked:?}");
}

#[test]
fn the_devstore_answers_as_the_page_says_in_an_account_with_versions() {
    let verified = assert_agrees_with_keys(devstore::AccountConfig::versioned(ACCOUNT), false);
    assert!(verified.asked().is_superset(&["S30", "S174"].map(String::from).into()));
}

#[test]
fn the_devstore_answers_as_the_page_says_in_an_account_that_keeps_what_is_deleted() {
    let verified = assert_agrees_with_keys(devstore::AccountConfig::keeping_deleted(ACCOUNT, 7), false);
    assert!(verified.asked().contains("S81"));
    assert!(verified.out.contains("\"seen\":\"Deleted, Version, DeletedTime"), "{}", verified.out);
}

#[test]
fn the_devstore_answers_as_the_page_says_in_a_hierarchical_account() {
    let verified = assert_agrees_with_keys(plain(), true);
    assert!(verified.asked().is_superset(&["S31", "S128", "S199"].map(String::from).into()));
}

#[test]
fn the_devstore_answers_as_the_page_says_in_a_hierarchical_account_that_keeps_what_is_deleted() {
    let verified = assert_agrees_with_keys(devstore::AccountConfig::keeping_deleted(ACCOUNT, 7), true);
    assert!(verified.asked().is_superset(&["S130", "S206"].map(String::from).into()));
}

#[test]
fn a_directory_of_a_hierarchical_account_is_enough() {
    let (runtime, store) = serve_two(plain(), true);
    for account in [ACCOUNT, SECOND] {
        store.put_blob(account, "box", "some/dir/mine", bytes::Bytes::from_static(b"mine"), "text/plain").unwrap();
    }
    let before = names(&runtime, &store);
    let (from, place) = (format!("{SECOND}/box/some"), format!("{ACCOUNT}/box/some/dir"));
    assert_agrees(&Verified::of(&keys(&store), &["--json", "--from", &from, &place]));
    assert_eq!(names(&runtime, &store), before);
    // One that is not there would be made.
    let verified = Verified::of(&keys(&store), &[&format!("{place}/none")]);
    assert_eq!(
        (verified.status, verified.err),
        (1, format!("blobcp: verify-account: {place}/none: there is no such directory\n"))
    );
    assert_eq!(names(&runtime, &store), before);
}

/// The query of a SAS for all that is in a container.
fn container_sas(store: &Devstore, account: &str, container: &str) -> String {
    let expiry = jiff::Timestamp::try_from(SystemTime::now() + Duration::from_secs(3600)).unwrap();
    let (expiry, letters, version) = (format!("{expiry:.0}"), "racwdxltmeop", "2025-11-05");
    let text = format!("{letters}\n\n{expiry}\n/blob/{account}/{container}\n\n\n\n{version}\nc\n\n\n\n\n\n\n");
    let signature = AccountKey::parse(&store.account_key(account).unwrap()).unwrap().sign(&text);
    assert!(STANDARD.decode(&signature).is_ok());
    let encoded = percent_encoding::utf8_percent_encode(&signature, percent_encoding::NON_ALPHANUMERIC);
    format!("sv={version}&sr=c&se={expiry}&sp={letters}&sig={encoded}")
}

#[test]
fn a_sas_of_a_container_is_enough() {
    for hns in [false, true] {
        let (runtime, store) = serve_two(plain(), hns);
        let table = |account| {
            store.create_container(account, "box").unwrap();
            let sas = container_sas(&store, account, "box");
            table(account, &store.endpoint(account), &format!("sas = '{sas}'"))
        };
        let accounts = [ACCOUNT, SECOND].map(table).concat();
        let (from, place) = (format!("{SECOND}/box"), format!("{ACCOUNT}/box"));
        let verified = Verified::of(&accounts, &["--json", "--from", &from, &place]);
        assert_agrees(&verified);
        let not_asked = verified.not_asked();
        assert_eq!(not_asked["S16"], "needs the account's key");
        assert_eq!(not_asked["S154"], "needs leave to make containers: name none");
        assert_eq!(names(&runtime, &store), ["acct/box", "second/box"]);
        assert!(!format!("{}{}", verified.out, verified.err).contains("sig="), "{}", verified.out);
    }
}

/// Both accounts with an application of `entra`, and what that needs in the environment.
fn with_tokens(store: &Devstore, entra: &Entra) -> (String, String) {
    entra.is_known_to(store);
    let identity = format!("tenant_id = '{TENANT}'\nclient_id = '{CLIENT}'\nclient_secret = '{SECRET}'");
    ([ACCOUNT, SECOND].map(|name| table(name, &store.endpoint(name), &identity)).concat(), entra.url())
}

#[test]
fn a_token_is_enough() {
    for hns in [false, true] {
        let entra = Entra::start();
        let (runtime, store) = serve_two(plain(), hns);
        let (accounts, authority) = with_tokens(&store, &entra);
        let authority = [("AZURE_AUTHORITY_HOST", authority.as_str())];
        let verified = Verified::with(&accounts, &authority, &["--json", "--from", SECOND, ACCOUNT]);
        assert_agrees(&verified);
        assert!(verified.asked().is_superset(&["S3", "S147", "S148", "S154", "S200"].map(String::from).into()));
        assert_eq!(verified.not_asked()["S16"], "needs the account's key");
        assert_eq!(names(&runtime, &store), [""; 0]);
    }
}

#[test]
fn what_a_token_may_not_do_is_not_asked() {
    let entra = Entra::start();
    let (runtime, store) = serve_two(plain(), false);
    let (accounts, authority) = with_tokens(&store, &entra);
    let authority = [("AZURE_AUTHORITY_HOST", authority.as_str())];
    for account in [ACCOUNT, SECOND] {
        store.create_container(account, "box").unwrap();
    }
    entra.grant(r#"{"containers":["box"],"delegates":false}"#);
    let place = format!("{ACCOUNT}/box");
    let verified = Verified::with(&accounts, &authority, &["--json", &place]);
    assert_eq!((verified.status, verified.differing()), (0, BTreeMap::new()), "{}", verified.err);
    assert_eq!(verified.not_asked()["S17"], "needs a SAS, and the identity may not sign one");
    let seen = |id: &str| {
        let rows = verified.rows();
        rows.iter().find(|row| ids(row).iter().any(|found| found == id)).unwrap()["seen"].as_str().unwrap().to_owned()
    };
    assert_eq!([seen("S147"), seen("S200")], ["403 AuthorizationPermissionMismatch"; 2]);
    // Copies from there could not be read.
    let verified = Verified::with(&accounts, &authority, &["--from", &format!("{SECOND}/box"), &place]);
    let reason = format!("{SECOND}: copies need a SAS, and the identity may not sign one\n");
    assert!(verified.status == 1 && verified.err.ends_with(&reason), "{}", verified.err);
    assert_eq!(names(&runtime, &store), ["acct/box", "second/box"]);
}

/// The number that stands in a line of the output, behind a word or at the beginning.
#[track_caller]
fn number(verified: &Verified, line: &str, before: &str) -> u32 {
    let line = verified.out.lines().find(|found| found.contains(line)).unwrap_or_else(|| panic!("{}", verified.out));
    line.split_once(before).unwrap().1.split(' ').next().unwrap().parse().unwrap()
}

#[test]
fn it_says_before_how_many_transactions_it_makes_and_leaves_nothing() {
    let (runtime, store) = serve_two(plain(), false);
    // In directories of containers that somebody else owns, and in containers of its own.
    for account in [ACCOUNT, SECOND] {
        store.put_blob(account, "box", "mine", bytes::Bytes::from_static(b"mine"), "text/plain").unwrap();
    }
    let (from, place) = (format!("{SECOND}/box"), format!("{ACCOUNT}/box"));
    for arguments in [&[ACCOUNT][..], &["--from", SECOND, ACCOUNT], &[&place], &["--from", &from, &place]] {
        store.reset_stats();
        let verified = Verified::of(&keys(&store), arguments);
        assert_eq!((verified.status, verified.err.as_str()), (0, ""), "{}", verified.out);
        let promised = number(&verified, "will be looked at by", "looked at by ");
        assert_eq!(promised, number(&verified, "transactions were made", ""));
        let (most, counted) = (number(&verified, "transactions will be made", "At most "), store.stats().total);
        assert!(counted <= u64::from(most) && counted > u64::from(promised), "{counted} of {most}: {arguments:?}");
        assert_eq!(names(&runtime, &store), ["acct/box", "acct/box/mine", "second/box", "second/box/mine"]);
        let lacks = verified.out.contains("\nnot asked: needs a second account (--from): S3, S4, ");
        assert_eq!(lacks, arguments.len() == 1, "{}", verified.out);
    }
}

#[test]
fn a_fact_that_does_not_come_to_its_end_leaves_nothing() {
    let (runtime, store) = serve_two(plain(), false);
    // The lease of its container is not ended by it.
    store.add_fault(Fault { status: Some(500), skip: 3, ..Fault::on("LeaseContainer") });
    let verified = Verified::of(&keys(&store), &["--only", "S98", ACCOUNT]);
    assert_eq!(verified.status, 1, "{}", verified.out);
    assert!(verified.out.contains("could not be prepared: 500 InternalError"), "{}", verified.out);
    assert_eq!(names(&runtime, &store), [""; 0]);
}

#[test]
fn what_cannot_be_removed_keeps_nothing_else() {
    let (runtime, store) = serve_two(plain(), false);
    store.add_fault(Fault { status: Some(500), skip: 3, ..Fault::on("LeaseContainer") });
    // Of the container that the fact has left, which comes first.
    let code = Some("AuthorizationFailure".to_owned());
    store.add_fault(Fault { status: Some(403), code, count: 2, ..Fault::on("DeleteContainer") });
    let verified = Verified::of(&keys(&store), &["--only", "S98", ACCOUNT]);
    let left = names(&runtime, &store);
    assert_eq!((verified.status, left.len()), (1, 1), "{left:?} {}", verified.err);
    let name = left[0].strip_prefix("acct/").unwrap();
    assert!(verified.err.contains(&format!("{name}: could not be removed: ")), "{left:?} {}", verified.err);
}

#[test]
fn blocks_that_a_fact_has_staged_are_removed() {
    let (runtime, store) = serve_two(plain(), false);
    store.put_blob(ACCOUNT, "box", "mine", bytes::Bytes::from_static(b"mine"), "text/plain").unwrap();
    store.add_fault(Fault { status: Some(500), count: 1000, ..Fault::on("PutBlockList") });
    let verified = Verified::of(&keys(&store), &[&format!("{ACCOUNT}/box")]);
    assert!(verified.out.contains("could not be prepared: 500 InternalError"), "{}", verified.out);
    assert!(store.stats().requests("PutBlock") > 0);
    assert_eq!(names(&runtime, &store), ["acct/box", "acct/box/mine"], "{}", verified.err);
}

#[test]
fn a_directory_is_removed_although_its_kind_could_not_be_learnt() {
    for operation in ["PutBlob", "DeleteBlob"] {
        let (runtime, store) = serve_two(plain(), true);
        store.put_blob(ACCOUNT, "box", "mine", bytes::Bytes::from_static(b"mine"), "text/plain").unwrap();
        // It is done, and nobody is told.
        store.add_fault(Fault { status: Some(500), after: operation == "PutBlob", ..Fault::on(operation) });
        let verified = Verified::of(&keys(&store), &[&format!("{ACCOUNT}/box")]);
        assert_eq!(verified.status, 1);
        assert!(verified.err.contains(" there") && verified.err.contains(": 500 InternalError"), "{}", verified.err);
        assert_eq!(names(&runtime, &store), ["acct/box", "acct/box/mine"], "{operation}: {}", verified.err);
    }
}

#[test]
fn an_end_while_the_place_is_made_leaves_nothing() {
    let (runtime, store) = serve_two(plain(), false);
    let gate = Arc::new(Barrier::new(2));
    store.add_fault(Fault { gate: Some(gate.clone()), ..Fault::on("CreateContainer") });
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("accounts.toml");
    std::fs::write(&file, keys(&store)).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let mut command = Command::new(BLOBCP);
    command.args(["verify-account", "--only", "S98", ACCOUNT, "--config"]).arg(&file);
    let command = command.env_clear().env("HOME", home.path()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    runtime.block_on(gate.wait());
    // SAFETY: it is a child that nobody has waited for.
    assert_eq!(unsafe { libc::kill(child.id() as i32, libc::SIGINT) }, 0);
    // It is made after that.
    runtime.block_on(gate.wait());
    let ended = child.wait_with_output().unwrap();
    let said = String::from_utf8(ended.stderr).unwrap();
    assert_eq!((ended.status.code(), said.as_str()), (Some(1), "blobcp: verify-account: interrupted\n"));
    assert_eq!(store.stats().requests("CreateContainer"), 1);
    assert_eq!(names(&runtime, &store), [""; 0]);
}

#[test]
fn nothing_is_left_in_a_container_that_keeps_its_blobs() {
    let (runtime, store) = serve_two(plain(), false);
    store.create_container(ACCOUNT, "kept").unwrap();
    store.keep(ACCOUNT, "kept", devstore::Immutability { days: Some(7), ..Default::default() }).unwrap();
    let verified = Verified::of(&keys(&store), &[&format!("{ACCOUNT}/kept")]);
    assert_eq!(verified.status, 1);
    assert!(verified.err.contains("what is written there cannot be removed"), "{}", verified.err);
    // That much it had to try.
    assert_eq!(names(&runtime, &store).len(), 2);
}

#[test]
fn facts_are_chosen_by_any_of_their_numbers() {
    let (_runtime, store) = serve_two(devstore::AccountConfig::versioned(ACCOUNT), false);
    let verified = Verified::of(&keys(&store), &["--only", "S16,S34", ACCOUNT]);
    assert_eq!(verified.status, 0, "{}", verified.err);
    let row = "\n  S34 | Abort Copy Blob of a blob that is not there | 404 BlobNotFound | 404 BlobNotFound\n";
    assert!(verified.out.contains(row), "{}", verified.out);
    assert!(!verified.out.contains("S1 |") && !verified.out.contains("not asked"), "{}", verified.out);
    // Those that another fact shows along with itself.
    let along = ["S7", "S47", "S48", "S80", "S156", "S182", "S196", "S197"];
    let verified = Verified::of(&keys(&store), &["--json", "--only", &along.join(","), ACCOUNT]);
    assert_eq!((verified.status, verified.differing()), (0, BTreeMap::new()), "{}", verified.err);
    let found: BTreeSet<String> = verified.rows().iter().flat_map(ids).collect();
    assert!(found.is_superset(&along.map(String::from).into()), "{found:?}");
    assert!(!found.contains("S1"), "{found:?}");
}

#[test]
fn a_difference_is_marked_and_an_unknown_fact_is_a_mistake() {
    let (_runtime, store) = serve_two(plain(), false);
    let none = "is no fact that can be looked at here";
    for (arguments, mistake) in [
        (&["--only", "S9999", ACCOUNT][..], format!("S9999 {none}")),
        (&["--only", "S51", ACCOUNT], format!("S51 {none}: needs a source that changes within one request")),
        (&["--from", ACCOUNT, ACCOUNT], format!("--from {ACCOUNT}: copies from another account are looked at")),
    ] {
        let verified = Verified::of(&keys(&store), arguments);
        assert_eq!((verified.status, verified.err), (2, format!("blobcp: verify-account: {mistake}\n")));
    }
    assert_eq!(store.stats().total, 0);
    // A server that says otherwise.
    let verified = Verified::of(&accounts_of(Azurite::shared()), &["--only", "S27", azurite::ACCOUNT]);
    assert_eq!(
        (verified.status, verified.err.as_str()),
        (1, "blobcp: verify-account: 1 fact differs\n"),
        "{}",
        verified.out
    );
    assert!(verified.out.contains("\n! S27 | "), "{}", verified.out);
}

fn accounts_of(azurite: &Azurite) -> String {
    let table = |name| table(name, &azurite.endpoint(name), &format!("key = '{}'", azurite::KEY));
    [azurite::ACCOUNT, azurite::OTHER_ACCOUNT].map(table).concat()
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
    ("S49, S47, S48: Put Block From URL of a private blob of the account without a SAS", "403 CannotVerifyCopySource"),
    ("S53: Copy Blob From URL of a page blob", ""),
    ("S54: answer to Copy Blob From URL", "202 success, without x-ms-content-crc64"),
    (
        "S58: Put Blob with If-None-Match: * and the lease id of a leased blob: the guard has no effect",
        "409 BlobAlreadyExists",
    ),
    ("S62: Put Block without content", "201"),
    ("S65, S169: Get Block List of a blob that was never committed", "200, x-ms-blob-content-length: 0, an etag"),
    ("S68: Put Blob of a page blob of more than 8 TiB", "201"),
    ("S72: malformed snapshot id: GET, and HEAD, which tells no code", "GET 404 BlobNotFound, HEAD 404 BlobNotFound"),
    (
        "S77, S205: a name that XML cannot hold: how it is listed, and the slash in it",
        "failed: could not be prepared: 500",
    ),
    ("S79, S80: a snapshot stands before its blob, and has no tier", "in another order, 2 tier of 2"),
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
        "S160, S41: Put Blob From URL, source-if-match, -modified-since, -unmodified-since, -none-match unmet",
        "501 APINotImplemented",
    ),
    ("S161: Copy Blob From URL, source-if-match unmet", "412 ConditionNotMet"),
    (
        "S162, S42: Put Blob From URL, match, modified-since, unmodified-since and none-match * on the destination unmet",
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
    ("S204, S156: a dot at the end of a segment, in the middle and at the end", "is kept: 404 BlobNotFound"),
    ("S205: 255 segments, and 256", "201 / 201"),
    ("S205: U+007F, U+0001, a name too long by one UTF-16 unit, and the longest one", "201 / 201 / 201 / 201"),
    ("S18: Copy Blob of a private blob of the second account without a SAS", "403 CannotVerifyCopySource"),
    ("S22: Get Page Ranges while a copy is pending", "200"),
    (
        "S8, S9, S10, S11: from the second account: sealed without x-ms-seal-blob, with false; unsealed with true, without it",
        "not sealed / not sealed / sealed / not sealed",
    ),
    ("S50: message where a source is not there, and where it is named without a SAS", "a general one / a general one"),
    ("S52: Put Blob From URL of an archived blob; the code is open", "501"),
    (
        "S76: without its key: GET, HEAD, Set Blob Metadata, Snapshot Blob, Put Block List of a blob with a customer's key",
        "failed: could not be prepared: 500 FeatureNotSupported",
    ),
    ("S82: the entry of a blob that comes back from Archive", "ArchiveStatus , RehydratePriority "),
    (
        "S98: lease of a container: break without one, acquire twice, Delete Container without id, and with a broken one",
        "409 LeaseNotPresentWithLeaseOperation / 409 LeaseAlreadyPresent / 412 LeaseIdMissing / 412 LeaseNotPresentWithContainerOperation",
    ),
    (
        "S115, S191: flags of immutability in List Containers, today and in 2020-06-12",
        "HasImmutabilityPolicy, HasLegalHold / HasImmutabilityPolicy, HasLegalHold",
    ),
    ("S144: something that is no token as bearer, in 2018-11-09", "403 AuthorizationFailure"),
    ("S154: Delete Container twice, then Create Container", "202 / 404 ContainerNotFound / 201, no retry-after"),
    ("S183: archive status on the way from Archive to Cold", "no x-ms-archive-status"),
];

#[test]
fn azurite_differs_in_what_is_known_to_differ() {
    let azurite = Azurite::shared();
    let arguments = ["--json", "--from", azurite::OTHER_ACCOUNT, azurite::ACCOUNT];
    let verified = Verified::of(&accounts_of(azurite), &arguments);
    let known: BTreeMap<String, String> =
        AZURITE.iter().map(|(fact, seen)| ((*fact).to_owned(), (*seen).to_owned())).collect();
    assert_eq!(verified.differing(), known);
}
