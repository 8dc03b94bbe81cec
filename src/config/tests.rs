//! Precedence, and every error line.

use std::path::Path;
use std::time::Duration;

use rstest::rstest;

use super::*;
use crate::store::{Credential, Secret};

const KEY: &str = "a2V5";

fn file(text: &str) -> File {
    File::parse(Path::new("/c.toml"), text).unwrap()
}

fn connected(text: &str) -> Environment {
    Environment { connection_string: Some(text.into()), ..Environment::default() }
}

fn keyed(account: Option<&str>) -> Environment {
    Environment { account: account.map(str::to_owned), key: Some(KEY.into()), ..Environment::default() }
}

fn planned(sources: &[&str], environment: &Environment, text: &str) -> Result<Plan> {
    let file = file(text);
    let known = KnownAccounts::new(environment, &file)?;
    let sources: Vec<SourceText> = sources.iter().map(|source| (*source).into()).collect();
    plan(&sources, &Settings::default().or(file.mount.clone()), &known)
}

fn complaint(sources: &[&str], environment: &Environment, text: &str) -> String {
    planned(sources, environment, text).err().map(|error| error.to_string()).unwrap_or_default()
}

/// What the account of a mount of `source` signs with.
fn sas_of(source: &str, environment: &Environment, text: &str) -> Option<String> {
    match &*planned(&[source], environment, text).unwrap().probes[0].account.credential_in_use() {
        Credential::Sas(sas) => Some(sas.expose().to_owned()),
        Credential::SharedKey(_) | Credential::Anonymous | Credential::Entra(_) => None,
    }
}

#[test]
fn flags_come_before_the_file() {
    let flags = Settings { uid: Some(1), log: Some("debug".into()), ..Settings::default() };
    let below =
        file("[mount]\nuid = 2\ngid = 3\nattr-ttl = '5s'\ncopy-wait = false\nfile-mode = '600'\nlog = 'info'").mount;
    let merged = flags.or(below);
    assert_eq!((merged.uid, merged.gid, merged.log.as_deref()), (Some(1), Some(3), Some("debug")));
    assert_eq!(merged.attr_ttl, Some(Duration::from_secs(5)));
    assert!(!merged.copy_wait.unwrap().is_on());
    assert_eq!(merged.file_mode, Some(Mode(0o600)));
}

#[test]
fn a_table_in_the_mounts_table_is_a_mount_and_the_rest_are_settings() {
    let file = file("[mount]\nuid = 2\n[mount.photos]\nsources = ['a', 'b']\nuid = 3\n[mount.log]\nsources = ['c']");
    assert_eq!((file.mount.uid, file.mount.log), (Some(2), None));
    assert_eq!(file.mounts["photos"].settings.uid, Some(3));
    assert_eq!(file.mounts["log"].sources, ["c"]);
}

#[test]
fn either_spelling_of_permissions_beats_a_lower_layer() {
    let ignore = Settings { ignore_permissions: true, ..Settings::default() };
    let fixed = file("[mount]\npermissions = 'fixed'").mount;
    assert_eq!(ignore.clone().or(fixed.clone()).permissions, Some(Permissions::Ignore));
    assert_eq!(fixed.or(ignore).permissions, Some(Permissions::Fixed));
}

#[test]
fn a_url_comes_before_the_environment_and_that_before_the_file() {
    let text = "[account.acct]\nsas = 'sig=file'";
    let environment =
        Environment { account: Some("acct".into()), sas: Some("sig=environment".into()), ..Environment::default() };
    let url = "https://acct.blob.core.windows.net/photos?sv=1&sig=url";
    assert_eq!(sas_of(url, &environment, text).as_deref(), Some("sv=1&sig=url"));
    assert_eq!(sas_of("acct", &environment, text).as_deref(), Some("sig=environment"));
    assert_eq!(sas_of("acct", &Environment::default(), text).as_deref(), Some("sig=file"));
}

#[test]
fn the_kind_of_a_namespace_can_be_said_beside_any_credential() {
    let said = |text: &str| planned(&["acct/box"], &keyed(Some("acct")), text).unwrap().probes[0].account.hierarchical;
    assert_eq!(said("[account.acct]\nhns = true"), Some(true));
    assert_eq!(said("[account.acct]\nhns = false"), Some(false));
    assert_eq!(said("[account.other]\nhns = true"), None);
}

#[test]
fn credentials_are_not_mixed_from_two_places() {
    // The file's SAS would win over a key beside it, but it is not beside it.
    assert_eq!(sas_of("acct", &keyed(Some("acct")), "[account.acct]\nsas = 'sig=file'"), None);
}

#[test]
fn a_connection_string_describes_its_account() {
    let environment = connected("AccountName=acct;AccountKey=a2V5;BlobEndpoint=http://127.0.0.1:9/acct");
    let plan = planned(&["acct/photos"], &environment, "").unwrap();
    assert_eq!(plan.probes[0].account.endpoint.to_string(), "http://127.0.0.1:9/acct");
    assert_eq!(plan.name, "acct/photos");
    // And no other one.
    assert!(complaint(&["other"], &environment, "").starts_with("account other: no credential"));
}

#[test]
fn a_key_without_an_account_is_for_the_only_one_that_has_none() {
    let environment = keyed(None);
    assert!(planned(&["acct"], &environment, "").is_ok());
    assert!(planned(&["acct/one", "acct/two"], &environment, "").is_ok());
    assert!(complaint(&["acct", "other"], &environment, "").starts_with("account acct: no credential"));
    assert_eq!(sas_of("acct", &environment, "[account.acct]\nsas = 'sig=file'").as_deref(), Some("sig=file"));
}

#[test]
fn an_endpoint_of_the_file_is_found_from_its_url() {
    let text = "[account.acct]\nkey = 'a2V5'\nendpoint = 'https://files.example.com'";
    let plan = planned(&["https://files.example.com/photos/2026/"], &Environment::default(), text).unwrap();
    assert_eq!(plan.probes[0].account.name.as_str(), "acct");
    assert_eq!(plan.probes[0].prefix, "2026/");
    assert_eq!(plan.probes[0].account.endpoint.to_string(), "https://files.example.com");
}

#[rstest]
#[case("[account.acct]\nkey = 'a2V5'\nendpoint = 'http://azurite:10000/acct'", "acct")]
#[case(
    "[account.acct]\nconnection_string = 'AccountName=acct;AccountKey=a2V5;BlobEndpoint=http://10.0.0.1/acct'",
    "acct"
)]
#[case("[account.acct]\nkey = 'a2V5'", "http://192.168.0.1:10000/acct/box")]
fn plain_http_to_another_machine_is_said_to_be_wanted(#[case] text: &str, #[case] source: &str) {
    let nobody = Environment::default();
    assert!(complaint(&[source], &nobody, text).ends_with("or say --allow-http"));
    assert_eq!(complaint(&[source], &nobody, &format!("{text}\n[mount]\nallow-http = true")), "");
    // A token is told to nobody on the way, whatever is said.
    let by_token = "[account.acct]\nauth = 'cli'\nendpoint = 'http://azurite:10000/acct'\n[mount]\nallow-http = true";
    assert!(complaint(&["acct"], &nobody, by_token).ends_with("a token is not sent over plain http"));
}

#[test]
fn anonymous_access_is_said_by_a_flag_or_in_the_file() {
    let text = "[account.acct]\nauth = 'anonymous'";
    let plan = planned(&["acct/public"], &Environment::default(), text).unwrap();
    assert!(matches!(plan.probes[0].account.credential, Credential::Anonymous));
    assert!(planned(&["acct/public"], &Environment::default(), "[mount]\nanonymous = true").is_ok());
}

#[rstest]
#[case("acct", Place::Account(AccountId(0)), None)]
#[case("acct/", Place::Account(AccountId(0)), None)]
#[case("acct/photos", directory("photos", ""), Some("photos"))]
#[case("acct/photos/", directory("photos", ""), Some("photos"))]
#[case("acct/photos/2026/a b", directory("photos", "2026/a b/"), Some("photos"))]
#[case("https://acct.blob.core.windows.net", Place::Account(AccountId(0)), None)]
#[case("https://acct.blob.core.windows.net/photos/2026/a%20b/", directory("photos", "2026/a b/"), Some("photos"))]
#[case("http://127.0.0.1:10000/acct/photos", directory("photos", ""), Some("photos"))]
#[case("http://localhost:10000/acct", Place::Account(AccountId(0)), None)]
fn one_source_is_the_root(#[case] source: &str, #[case] root: Place, #[case] container: Option<&str>) {
    let plan = planned(&[source], &keyed(Some("acct")), "").unwrap();
    assert_eq!(plan.fs.root, root);
    assert_eq!(plan.probes[0].container.as_ref().map(ContainerName::as_str), container);
}

fn directory(container: &str, prefix: &str) -> Place {
    let container = ContainerName::parse(container).unwrap();
    Place::Directory(BlobDir { account: AccountId(0), container, prefix: prefix.into() })
}

#[test]
fn several_sources_are_one_directory_per_account() {
    let text = "[account.first]\nkey = 'a2V5'\n[account.second]\nkey = 'a2V5'";
    let sources = ["first/one", "second", "first/two"];
    let plan = planned(&sources, &Environment::default(), text).unwrap();
    assert_eq!(plan.fs.root, Place::Accounts);
    let only = |index: usize| {
        let only = plan.fs.accounts[index].only.as_ref()?;
        Some(only.iter().map(ContainerName::to_string).collect::<Vec<_>>())
    };
    assert_eq!((only(0), only(1)), (Some(vec!["one".into(), "two".into()]), None));
    assert_eq!(plan.fs.accounts.len(), 2);
    assert_eq!(plan.probes.len(), 3);
    // The whole account includes its containers.
    let plan = planned(&["first", "first/one"], &Environment::default(), text).unwrap();
    assert!(plan.fs.accounts[0].only.is_none());
}

#[test]
fn labels_hold_no_secret() {
    let plan = planned(&["https://acct.blob.core.windows.net/photos?sv=1&sig=SeCrEt"], &keyed(None), "").unwrap();
    assert_eq!(plan.name, "https://acct.blob.core.windows.net/photos");
    assert_eq!(plan.probes[0].label, plan.name);
}

#[rstest]
#[case("[mount]\n\nattr_ttl = '1s'", 3, "unknown field `attr_ttl`")]
#[case("[account.a]\nkeys = 'SeCrEt'", 2, "unknown field `keys`")]
#[case("[accounts.a]", 1, "unknown field `accounts`")]
#[case("[mount]\nattr-ttl = 'soon'", 2, "must be a time such as 500ms, 1s or 2m")]
#[case("[mount]\ntimeout = '900ms'", 2, "must be a time from 1s to 1h")]
#[case("[mount]\ncopy-wait = 'SeCrEt'", 2, "must be yes or no, or on or off")]
#[case("[mount]\nfile-mode = 644", 2, "must be an octal mode in quotes such as \"644\"")]
#[case("[mount]\nfile-mode = '888'", 2, "must be an octal mode in quotes such as \"644\"")]
#[case("[mount]\npermissions = 'some'", 2, "must be \"keep\", \"fixed\" or \"ignore\"")]
#[case("[mount]\ncopy-method = 'fast'", 2, "must be \"auto\", \"blob\" or \"blocks\"")]
#[case("[account.a]\nauth = 'magic'", 2, "unknown variant `magic`")]
#[case("[account.a]\nkey = \"SeCrEt", 2, "invalid basic string")]
#[case("[account.a]\nkey = 'a'\nkey = 'SeCrEt'", 3, "duplicate key")]
#[case("[mount]\nuid = 1\n\n[mount.photos]\nsources = ['a']\nuidd = 2", 4, "[mount.photos]: unknown field `uidd`")]
#[case("[mount.photos]\nuid = 2", 1, "[mount.photos]: sources is missing")]
fn mistakes_in_the_file_are_named_by_line(#[case] text: &str, #[case] line: usize, #[case] what: &str) {
    let error = File::parse(Path::new("/c.toml"), text).unwrap_err().to_string();
    assert!(error.starts_with(&format!("/c.toml:{line}: {what}")), "{error}");
    assert!(!error.contains('\n') && !error.contains("SeCrEt"), "{error}");
}

#[test]
fn a_file_that_was_named_must_exist() {
    let error = File::load(Some(Path::new("/nosuch/c.toml"))).unwrap_err().to_string();
    assert_eq!(error, "/nosuch/c.toml: No such file or directory");
}

#[test]
fn a_file_of_secrets_that_others_can_read_is_noticed() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("c.toml");
    for (text, mode, exposed) in [
        ("[account.a]\nkey = 'k'", 0o644, true),
        ("[account.a]\nkey = 'k'", 0o600, false),
        ("[mount]\nuid = 1", 0o644, false),
    ] {
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        assert_eq!(File::load(Some(&path)).unwrap().exposed, exposed, "{text} {mode:o}");
    }
}

#[rstest]
#[case(&[], "no SOURCE is given: ACCOUNT, ACCOUNT/CONTAINER or a URL; or --dev")]
#[case(&["acct/one/dir", "acct/two"], "acct/one/dir: a directory in a container can only be mounted alone, not beside another SOURCE")]
#[case(
    &["A"],
    "A: account name \"A\" must be 3 to 24 characters from a-z and 0-9 (an emulator's may be longer)"
)]
#[case(
    &["acct/UP"],
    "acct/UP: container name \"UP\" must be 3 to 63 characters from a-z, 0-9 and single dashes, starting and ending with a \
     letter or digit"
)]
#[case(&["acct/one/bell\u{7}"], "acct/one/bell\u{7}: blob name \"bell\\u{7}\" has a character that the service does not take")]
// S203, S204
#[case(
    &["acct/one/a/../b"],
    "acct/one/a/../b: \"a/../b\" means another blob: the service takes a \
     backslash for a slash, and drops dots at the end of a path segment"
)]
#[case(
    &["acct/one/a\\b"],
    "acct/one/a\\b: \"a\\\\b\" means another blob: the service takes a \
     backslash for a slash, and drops dots at the end of a path segment"
)]
#[case(
    &["https://acct.blob.core.windows.net/one/a%5Cb"],
    "https://acct.blob.core.windows.net/one/a%5Cb: \"a\\\\b\" means another blob: the service takes a \
     backslash for a slash, and drops dots at the end of a path segment"
)]
#[case(
    &["https://acct.blob.core.windows.net/one/dir./sub/?sig=SeCrEt"],
    "https://acct.blob.core.windows.net/one/dir./sub: \"dir./sub\" means another blob: the service takes a \
     backslash for a slash, and drops dots at the end of a path segment"
)]
#[case(
    &["https://acct.blob.core.windows.net/one/a\\b"],
    "https://acct.blob.core.windows.net/one/a\\b: must not hold a backslash or a segment of dots"
)]
#[case(
    &["https://acct.blob.core.windows.net/one/a/../b"],
    "https://acct.blob.core.windows.net/one/a/../b: must not hold a backslash or a segment of dots"
)]
#[case(&["https://"], "https:: not a URL")]
#[case(&["http://127.0.0.1:1"], "http://127.0.0.1:1: names no account")]
#[case(
    &["http://acct.blob.core.windows.net?sig=SeCrEt"],
    "http://acct.blob.core.windows.net: http:// is for servers on this machine; use https://, or say --allow-http"
)]
#[case(&["https://me:SeCrEt@acct.example.com"], "https://acct.example.com: must not hold a user, a password or a fragment")]
#[case(
    &["http://127.0.0.1:1/acct/one", "http://127.0.0.1:2/acct/two"],
    "account acct is named with two endpoints, http://127.0.0.1:1/acct and http://127.0.0.1:2/acct"
)]
#[case(
    &["other"],
    "account other: no credential (AZURE_STORAGE_ACCOUNT is for acct): set AZURE_STORAGE_ACCOUNT and AZURE_STORAGE_KEY, or write [account.other] in /c.toml, or say --auth"
)]
fn mistakes_in_sources_are_one_line(#[case] sources: &[&str], #[case] expected: &str) {
    assert_eq!(complaint(sources, &keyed(Some("acct")), ""), expected);
}

#[rstest]
#[case(
    connected("AccountName=acct;SeCrEt"),
    "AZURE_STORAGE_CONNECTION_STRING: account: connection string: part 2 has no '='"
)]
#[case(
    Environment { account: Some("acct".into()), key: Some(Secret::new("SeCrEt!")), ..Environment::default() },
    "account acct: key: it is not valid Base64"
)]
#[case(
    Environment { account: Some("acct".into()), sas: Some(Secret::new("SeCrEt")), ..Environment::default() },
    "account acct: SAS: there is no signature in it"
)]
fn mistakes_in_the_environment_show_no_secret(#[case] environment: Environment, #[case] expected: &str) {
    assert_eq!(complaint(&["acct"], &environment, ""), expected);
}

#[rstest]
#[case("0", Some(0))]
#[case("2", Some(2000))]
#[case("500ms", Some(500))]
#[case("1m30s", Some(90_000))]
#[case("-1s", None)]
#[case("soon", None)]
fn times(#[case] text: &str, #[case] milliseconds: Option<u64>) {
    assert_eq!(duration(text).ok(), milliseconds.map(Duration::from_millis));
}

#[test]
fn owners_are_shown_as_the_file_says() {
    let text = "[mount]\nshow-owners = true\n[ids]\n'$superuser' = 0\nAnn = 1000";
    let plan = planned(&["acct/box"], &keyed(Some("acct")), text).unwrap();
    let ids: fs::Identities = [("$superuser".to_owned(), 0), ("ann".to_owned(), 1000)].into_iter().collect();
    assert_eq!(plan.fs.defaults.shown.as_deref(), Some(&ids));
    // A mode that would be kept beside the one that is shown is refused.
    assert_eq!(plan.fs.permissions, Permissions::Fixed);
    let plan = planned(&["acct/box"], &keyed(Some("acct")), "[ids]\nAnn = 1000").unwrap();
    assert_eq!((plan.fs.defaults.shown, plan.fs.permissions), (None, Permissions::Keep));
}

#[test]
fn a_command_of_the_table_is_where_a_credential_comes_from() {
    let text = "[account.acct]\ncredential_command = \"vault read 'secret/my acct'\"";
    let plan = planned(&["acct"], &Environment::default(), text).unwrap();
    let source = plan.accounts[0].source.as_ref().unwrap();
    assert!(source.current().is_none(), "it is asked for when it is needed");
    // What the environment says of the account comes first, as for a key in the table.
    let known = planned(&["acct"], &keyed(Some("acct")), text).unwrap().accounts.remove(0);
    assert!(matches!(&*known.credential_in_use(), Credential::SharedKey(_)));
    let exclusive = "account acct: credential_command: it and another credential exclude each other";
    for more in ["key = 'a2V5'", "sas = 'sig=x'", "auth = 'cli'", "auth = 'anonymous'"] {
        assert_eq!(complaint(&["acct"], &Environment::default(), &format!("{text}\n{more}")), exclusive);
    }
    let shell = "[account.acct]\ncredential_command = 'vault read $SECRET'";
    assert!(complaint(&["acct"], &Environment::default(), shell).contains("credential_command: no shell reads it"));
    // A host that only the SOURCE names is not sent what a command prints.
    let stranger = complaint(&["https://acct.example.com/box"], &Environment::default(), text);
    assert!(stranger.contains("https://acct.example.com: a credential"), "{stranger}");
}

#[test]
fn no_command_is_run_that_others_could_have_written() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.toml");
    std::fs::write(&path, "[account.acct]\ncredential_command = 'print'").unwrap();
    let planned = |mode| {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        let (file, environment) = (File::load(Some(&path)).unwrap(), Environment::default());
        let known = KnownAccounts::new(&environment, &file).unwrap();
        plan(&["acct".into()], &Settings::default(), &known).map(drop).map_err(|error| error.to_string())
    };
    assert_eq!((planned(0o600), planned(0o644)), (Ok(()), Ok(())));
    for mode in [0o620, 0o602] {
        assert!(planned(mode).unwrap_err().contains("others may write the file"), "{mode:o}");
    }
}

#[test]
fn what_the_source_itself_says_is_not_asked_for_again() {
    let plan = |source| planned(&[source], &Environment::default(), "[account.acct]\nkey = 'a2V5'").unwrap();
    assert!(plan("https://acct.blob.core.windows.net/box?sv=1&sig=x").accounts[0].source.is_none());
    let account = &plan("acct/box").accounts[0];
    assert!(account.source.is_some());
    // What may be replaced is in one place.
    assert!(matches!(account.credential, Credential::Anonymous));
    assert!(matches!(*account.credential_in_use(), Credential::SharedKey(_)));
}

#[rstest]
#[case("acct.blob.core.windows.net/photos/a?sv=1&sig=x", "https://acct.blob.core.windows.net/photos/a")]
#[case("acct.blob.core.windows.net", "https://acct.blob.core.windows.net")]
#[case("abfss://photos@acct.dfs.core.windows.net/a", "https://acct.blob.core.windows.net/photos/a")]
#[case("wasbs://photos@acct.blob.core.windows.net", "https://acct.blob.core.windows.net/photos")]
#[case("az://acct.blob.core.windows.net/photos", "https://acct.blob.core.windows.net/photos")]
#[case("az://photos/a", "acct/photos/a")]
#[case("az://acct/photos/a", "acct/photos/a")]
fn the_spelling_of_others_is_understood(#[case] typed: &str, #[case] label: &str) {
    let environment = Environment { account: Some("acct".into()), ..Environment::default() };
    let file = File::default();
    let known = KnownAccounts::new(&environment, &file).unwrap();
    let source = MountSource::parse(typed, &known).unwrap();
    assert_eq!((source.label.as_str(), source.account.as_str()), (label, "acct"));
}

#[test]
fn az_without_an_account_says_what_is_missing() {
    let (environment, file) = (Environment::default(), File::default());
    let known = KnownAccounts::new(&environment, &file).unwrap();
    let error = MountSource::parse("az://photos/a", &known).unwrap_err().to_string();
    assert_eq!(error, "az://photos/a: names no account: write ACCOUNT/CONTAINER, or set AZURE_STORAGE_ACCOUNT");
    let error = MountSource::parse("s3://bucket/a?sig=SeCrEt", &known).unwrap_err().to_string();
    assert!(error.starts_with("s3://bucket/a: ") && !error.contains("SeCrEt"), "{error}");
}

#[test]
fn an_account_that_is_not_known_is_answered_with_those_that_are() {
    let file = "[account.photos]\nkey = 'a2V5'\n[account.backup]\nkey = 'a2V5'\n";
    let said = complaint(&["photo"], &Environment::default(), file);
    let expected = "account photo: no credential (/c.toml has backup, photos; did you mean photos?): set ";
    assert!(said.starts_with(expected), "{said}");
}
