//! Mounts that prove themselves by tokens of an Entra ID identity.

use std::path::Path;
use std::process::Command;

use blobcp::devstore::{AccountConfig, Config, Devstore};
use blobcp::store::{self, Authority, Client, Http, Identity, ListContainers, Tokens, WriteOptions};

use crate::common::entra::{self, CLIENT, Entra, SECRET, TENANT, fields};
use crate::common::*;

const BLOBCP: &str = env!("CARGO_BIN_EXE_blobcp");

/// Both accounts are asked with the identity.
fn world(entra: &Entra, identity: Identity) -> World {
    let world = World::with(Setup { identity: Some((identity, &[ONE, TWO])), ..Setup::default() });
    entra.is_known_to(&world.store);
    world
}

#[test]
fn an_application_works_with_one_token() {
    let entra = Entra::start();
    let world = world(&entra, entra.application());
    world.put("a", "text");
    world.ok("cat a && cp a b && echo new > c && mv c d && ls");
    assert_eq!(world.stored("b"), "text");
    assert!(!world.is_stored("c"));
    let asked = entra.asked();
    assert_eq!(asked.len(), 1, "{asked:?}");
    assert_eq!(asked[0].line, format!("POST /{TENANT}/oauth2/v2.0/token"));
    let expected = [
        ("grant_type", "client_credentials"),
        ("client_id", CLIENT),
        ("client_secret", SECRET),
        ("scope", "https://storage.azure.com/.default"),
    ];
    let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(fields(&asked[0].body), expected.into());
    // A copy within the account needs no other credential.
    assert_eq!(world.stats().requests("CopyBlob"), 2);
    assert_no_payload_of_copies(&world);
}

fn assert_no_payload_of_copies(world: &World) {
    assert_eq!(world.stats().requests("PutBlockFromURL"), 0);
}

#[test]
fn all_who_come_meanwhile_share_one_renewal() {
    let entra = Entra::start();
    let world = world(&entra, entra.application());
    for number in 0..16 {
        world.put(&format!("f{number}"), "x");
    }
    entra.hold(true);
    let here = world.here();
    let reading =
        start_in(Path::new("/"), &format!("for i in $(seq 0 15); do cat {}/f$i & done | wc -c", here.display()));
    eventually("somebody asks", || !entra.asked().is_empty());
    entra.hold(false);
    let ran = reading.wait();
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), "16\n"), "{}", ran.stderr);
    assert_eq!(entra.asked().len(), 1);
}

#[test]
fn a_token_that_is_over_is_renewed_before_it_is_used() {
    let entra = Entra::start();
    entra.tokens_last(0);
    let world = world(&entra, entra.application());
    world.put("a", "text");
    world.ok("cat a");
    let requests = world.store.requests();
    assert!(requests.iter().all(|request| request.status != 401), "{requests:?}");
    assert!(entra.asked().len() > 1);
}

#[test]
fn a_token_that_is_refused_is_renewed_once() {
    let entra = Entra::start();
    let world = world(&entra, entra.application());
    world.put("a", "text");
    world.ok("cat a");
    world.store.withdraw_tokens();
    world.reset_stats();
    world.ok("echo more > b");
    assert_eq!(entra.asked().len(), 2);
    // Of the requests that were under way at once, each was refused once.
    let refused = world.store.requests().iter().filter(|request| request.status == 401).count();
    assert!((1..=2).contains(&refused), "{refused}");
    // One that is refused again is not asked for again and again.
    entra.grant(r#"{"accounts":["other"]}"#);
    world.store.withdraw_tokens();
    world.reset_stats();
    let ran = world.sh("echo more > c");
    assert_eq!((ran.code, ran.stderr.contains("Permission denied")), (Some(1), true), "{}", ran.stderr);
    assert!(entra.asked().len() <= 4, "{:?}", entra.asked());
}

/// Only the account `two` is asked with the identity.
fn beside(entra: &Entra) -> World {
    let world = World::with(Setup { identity: Some((entra.application(), &[TWO])), ..Setup::default() });
    entra.is_known_to(&world.store);
    world.store.put_blob(TWO, BOX, "a", pattern(3000).into(), "text/x").unwrap();
    world
}

#[test]
fn another_account_reads_by_a_user_delegation_sas() {
    // X2, C2
    let entra = Entra::start();
    let world = beside(&entra);
    world.ok("cp ../../two/box/a b && cp b c && cp ../../two/box/a d && cat ../../two/box/a b > e && cmp b d");
    assert_eq!(world.stored("b"), pattern(3000));
    assert_eq!(world.store.content(ONE, BOX, "e").unwrap().len(), 6000);
    let stats = world.stats();
    // One key signs for all of them; what cat puts first into an empty file is a whole copy, too.
    assert_eq!((stats.requests("GetUserDelegationKey"), stats.requests("CopyBlob")), (1, 4));
    assert_eq!(stats.requests("PutBlockFromURL"), 2);
    assert_eq!(stats.requests("PutBlobFromURL"), 0);
    let copies = world.store.copies();
    let source = &copies.iter().find(|copy| copy.destination.ends_with("/b")).unwrap().source;
    assert!(source.contains("&skoid=") && source.contains("&sr=b&") && source.ends_with("&sig=***"), "{source}");
    // X24
    assert!(!attribute(&world.here().join("b"), "copy.source").unwrap().contains("sig="));
    // It lasts for as long as a copy may be expected to take: a week, which is as long as a key does.
    let expiry = source.split('&').find_map(|pair| pair.strip_prefix("se=")).unwrap();
    let lasts = |days: &str| world.ok(&format!("date -u +%Y-%m-%dT -d '{days} days'")).trim().to_owned();
    assert!([lasts("6"), lasts("7")].iter().any(|day| expiry.starts_with(day.as_str())), "{expiry}");
}

#[test]
fn where_no_sas_may_be_signed_the_token_itself_opens_the_source() {
    // X2, X25
    let entra = Entra::start();
    let world = beside(&entra);
    entra.grant(r#"{"delegates":false}"#);
    world.ok("setfattr -n user.blob.meta.Color -v blue ../../two/box/a");
    world.reset_stats();
    world.ok("cp ../../two/box/a b && cat ../../two/box/a b > e");
    assert_eq!(world.stored("b"), pattern(3000));
    assert_eq!(world.store.content(ONE, BOX, "e").unwrap().len(), 6000);
    let copied = world.properties(ONE, "b").unwrap();
    assert_eq!((copied.headers.content_type.as_deref(), copied.copy), (Some("text/x"), None));
    assert_eq!(copied.metadata.iter().find(|(name, _)| *name == "Color"), Some(("Color", "blue")));
    let stats = world.stats();
    assert_eq!((stats.requests("CopyBlob"), stats.requests("PutBlobFromURL")), (0, 2));
    // The refusal is remembered.
    assert_eq!(stats.requests("GetUserDelegationKey"), 1);
    assert_no_payload(&stats);
    world.ok("echo mine > ../../two/box/own; chown 5:6 ../../two/box/own");
    // S45: the owner is the copy's own, also where nothing else could be sent for it.
    world.ok("cp ../../two/box/own own && test $(stat -c %u own) = $(id -u)");
    let own = world.properties(ONE, "own").unwrap().metadata;
    assert_eq!((own.get("owner"), own.get("group"), own.get("mtime").is_some()), (None, None, true));
    // An append blob would come out as another type, and is left alone.
    world.block_on(async {
        let client = world.client(TWO);
        client
            .blob(&path("log"))
            .append_blob()
            .create(&store::BlobSettings::default(), &WriteOptions::default())
            .await
            .unwrap();
        client.blob(&path("log")).append_blob().append_block(0, "x".into(), &WriteOptions::default()).await.unwrap();
    });
    let ran = world.sh("cp ../../two/box/log log");
    assert_eq!((ran.code, ran.stderr.contains("Operation not supported")), (Some(1), true), "{}", ran.stderr);
    // And a large one comes in blocks.
    world.store.put_sparse(TWO, BOX, "huge", 6 << 30).unwrap();
    world.reset_stats();
    world.ok("cp ../../two/box/huge huge");
    assert_eq!(world.properties(ONE, "huge").unwrap().size, 6 << 30);
    assert_eq!((world.stats().requests("PutBlockFromURL"), world.stats().requests("PutBlockList")), (2, 1));
    assert_no_payload(&world.stats());
}

/// A client of the account `one` with that identity, and the devstore behind it.
async fn client(entra: &Entra, identity: Identity) -> (Client, Devstore) {
    let config = Config { accounts: vec![AccountConfig::named(ONE)], ..Config::default() };
    let store = Devstore::start(config).await.unwrap();
    store.create_container(ONE, BOX).unwrap();
    entra.is_known_to(&store);
    let http = Http::new(store::Options::default());
    let config = store::AccountConfig {
        endpoint: Some(store.endpoint(ONE)),
        tokens: Some(Tokens::new(identity, http.clone())),
        ..Default::default()
    };
    (Client::new(config.resolve().unwrap(), http), store)
}

#[tokio::test]
async fn a_workload_proves_itself_by_its_file() {
    let entra = Entra::start();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "assertion").unwrap();
    let identity = Identity::Workload {
        tenant: TENANT.into(),
        client: CLIENT.into(),
        token_file: file.path().to_owned(),
        authority: Authority::parse(&entra.url()).unwrap(),
    };
    let (client, _store) = client(&entra, identity).await;
    client.list_containers(&ListContainers::default()).await.unwrap();
    let form = fields(&entra.asked()[0].body);
    for (name, value) in [
        ("client_assertion", "assertion"),
        ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
        ("client_id", CLIENT),
    ] {
        assert!(form.contains(&(name.to_owned(), value.to_owned())), "{form:?}");
    }
}

#[tokio::test]
async fn a_managed_identity_asks_the_metadata_service() {
    let entra = Entra::start();
    let identity = Identity::Managed { client: Some(CLIENT.into()), host: Some(entra.url()) };
    let (client, _store) = client(&entra, identity).await;
    client.list_containers(&ListContainers::default()).await.unwrap();
    let asked = &entra.asked()[0];
    assert!(asked.line.starts_with("GET /metadata/identity/oauth2/token?"), "{asked:?}");
    assert!(asked.headers.contains("metadata: true"), "{asked:?}");
    let query = fields(asked.line.split_once('?').unwrap().1);
    assert!(query.contains(&("resource".into(), "https://storage.azure.com".into())), "{query:?}");
    assert!(query.contains(&("client_id".into(), CLIENT.into())), "{query:?}");
}

#[tokio::test]
async fn errors_say_what_was_tried_and_what_was_answered() {
    let entra = Entra::start();
    let (client, _store) = client(&entra, entra.application()).await;
    let body = r#"{"error":"invalid_client","error_codes":[7000215],"error_description":"AADSTS7000215: Invalid client secret provided.\r\nTrace ID: x"}"#;
    entra.refuse(Some((401, body)));
    let error = client.list_containers(&ListContainers::default()).await.unwrap_err();
    assert_eq!(error.errno(), libc::EACCES);
    let expected = format!(
        "client secret of application {CLIENT} in tenant {TENANT}: http://{}/{TENANT}/oauth2/v2.0/token answered 401: AADSTS7000215: Invalid client secret provided. Trace ID: x",
        entra.address
    );
    assert_eq!(error.to_string(), expected);
    entra.refuse(Some((503, "{}")));
    let error = client.list_containers(&ListContainers::default()).await.unwrap_err();
    assert_eq!(error.errno(), libc::EIO);
    assert!(error.to_string().contains("answered 503") && error.to_string().contains("/oauth2/v2.0/token"), "{error}");
}

#[test]
fn no_token_goes_over_plain_http_or_to_a_stranger() {
    let entra = Entra::start();
    let tokens = Tokens::new(entra.application(), Http::new(store::Options::default()));
    let config = |endpoint: &str| store::AccountConfig {
        endpoint: Some(endpoint.into()),
        tokens: Some(tokens.clone()),
        ..Default::default()
    };
    assert!(config("https://acct.blob.core.windows.net").resolve().is_ok());
    let error = config("http://acct.blob.core.windows.net").resolve().unwrap_err();
    assert_eq!(error.to_string(), "account: endpoint: a token is not sent over plain http");
    assert!(entra.asked().is_empty());
}

/// `blobcp mount` with these variables, of an account of a devstore that is at that address.
fn mount(home: &Path, args: &[&str], variables: &[(&str, &str)]) -> (bool, String) {
    let mut command = Command::new(BLOBCP);
    command.arg("mount").args(args).current_dir(home).env_clear().envs(variables.iter().copied());
    let path = format!("{}:{}", home.display(), std::env::var("PATH").unwrap());
    command.env("HOME", home).env("STATE_DIRECTORY", state_directory(home)).env("PATH", path);
    let output = command.output().unwrap();
    (output.status.success(), String::from_utf8(output.stderr).unwrap())
}

fn unmount(home: &Path) {
    let ended = Command::new(BLOBCP).args(["umount", "m"]).current_dir(home).status().unwrap();
    assert!(ended.success());
}

#[test]
fn the_environment_the_options_and_the_file_choose_an_identity() {
    let entra = Entra::start();
    let world = World::new();
    entra.is_known_to(&world.store);
    world.put("a", "text");
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    std::fs::create_dir(home.join("m")).unwrap();
    let (source, url) = (world.store.endpoint(ONE), entra.url());
    let secret = [
        ("AZURE_TENANT_ID", TENANT),
        ("AZURE_CLIENT_ID", CLIENT),
        ("AZURE_CLIENT_SECRET", SECRET),
        ("AZURE_AUTHORITY_HOST", &url),
    ];
    let works = |args: &[&str], variables: &[(&str, &str)]| {
        let asked = entra.asked().len();
        assert_eq!(mount(home, &[args, &[&source, "m"]].concat(), variables), (true, String::new()));
        // By a program: what this process has open is open in those that other tests start, for a moment, and then the mount is in use.
        assert_eq!(Command::new("cat").arg(home.join("m/box/a")).output().unwrap().stdout, b"text");
        unmount(home);
        entra.asked()[asked..].to_vec()
    };
    // A client secret, without a word about it.
    assert_eq!(works(&[], &secret).len(), 1);
    // A workload, for there is a file.
    std::fs::write(home.join("assertion"), "assertion").unwrap();
    let file = home.join("assertion");
    let file = file.to_str().unwrap();
    let workload = [secret[0], secret[1], secret[3], ("AZURE_FEDERATED_TOKEN_FILE", file)];
    assert!(works(&[], &workload)[0].body.contains("client_assertion=assertion"));
    // Managed identity and az only if that is said.
    let metadata = [("AZURE_POD_IDENTITY_AUTHORITY_HOST", url.as_str())];
    assert!(works(&["--auth", "managed-identity"], &metadata)[0].line.starts_with("GET /metadata/"));
    let az = "#!/bin/sh\ncase \"$*\" in *'get-access-token -o json --scope https://storage.azure.com/.default'*) ;; *) exit 3;; esac\n\
              echo '{\"accessToken\":\"of-az\",\"expires_on\":4102444800,\"tokenType\":\"Bearer\"}'\n";
    std::fs::write(home.join("az"), az).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(home.join("az"), mode).unwrap();
    entra::admit(&world.store, "of-az", "");
    assert!(works(&["-o", "auth=cli"], &[]).is_empty());
    // The file says it of an account, and may hold all of it.
    let table = format!(
        "[account.{ONE}]\nendpoint = '{source}'\ntenant_id = '{TENANT}'\nclient_id = '{CLIENT}'\nclient_secret = '{SECRET}'\n"
    );
    std::fs::write(home.join("config.toml"), table).unwrap();
    std::fs::set_permissions(home.join("config.toml"), std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    assert_eq!(works(&["--config", "config.toml", "--auth", "cli"], &[secret[3]]).len(), 1);
}

#[test]
fn the_check_before_mounting_tells_what_is_wrong_with_a_token() {
    let entra = Entra::start();
    let world = World::new();
    entra.is_known_to(&world.store);
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    std::fs::create_dir(home.join("m")).unwrap();
    let (source, url) = (world.store.endpoint(ONE), entra.url());
    let secret = [
        ("AZURE_TENANT_ID", TENANT),
        ("AZURE_CLIENT_ID", CLIENT),
        ("AZURE_CLIENT_SECRET", SECRET),
        ("AZURE_AUTHORITY_HOST", &url),
    ];
    let fails = |args: &[&str], variables: &[(&str, &str)], expected: &str| {
        let (works, error) = mount(home, args, variables);
        assert!(!works && error.starts_with("blobcp: mount: ") && error.lines().count() == 1, "{error}");
        assert!(error.contains(expected) && !error.contains(SECRET), "{error}");
    };
    entra.grant(r#"{"accounts":["other"]}"#);
    let expected = format!(
        "the token of the client secret of application {CLIENT} in tenant {TENANT} does not allow to list containers"
    );
    fails(&[&source, "m"], &secret, &expected);
    entra.refuse(Some((400, r#"{"error_codes":[700016],"error_description":"AADSTS700016: no such application"}"#)));
    fails(&[&source, "m"], &secret, "answered 400: AADSTS700016: no such application");
    let nowhere = [secret[0], secret[1], secret[2], ("AZURE_AUTHORITY_HOST", "http://127.0.0.1:1")];
    fails(&[&source, "m"], &nowhere, &format!("no token from http://127.0.0.1:1/{TENANT}/oauth2/v2.0/token: "));
    let half = [secret[0], secret[2]];
    fails(
        &["--auth", "client-secret", &source, "m"],
        &half,
        "client-secret needs AZURE_CLIENT_ID, or client_id in its table",
    );
    let open = [secret[0], secret[1], secret[2], ("AZURE_AUTHORITY_HOST", "http://login.example")];
    fails(&[&source, "m"], &open, "AZURE_AUTHORITY_HOST: must be an https URL");
    fails(&["--auth", "cli", &source, "m"], &[], "login of az: az account get-access-token: ");
    // A host that only the SOURCE names could be anybody's.
    let asked = entra.asked().len();
    fails(&["https://one.example.com/box", "m"], &secret, "https://one.example.com: a credential from the environment");
    let sas = [("AZURE_STORAGE_SAS_TOKEN", "sv=1&sig=SeCrEt~x")];
    fails(&["https://one.example.com/box", "m"], &sas, "https://one.example.com: a credential from the environment");
    assert_eq!(entra.asked().len(), asked);
}
