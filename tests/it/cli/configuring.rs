//! `blobcp config`: a file made from flags, from answers and from other programs' files, and what is said of it.

use blobcp::path::AccountName;
use blobcp::store::{AccountKey, DEFAULT_API_VERSION, sas};

use super::*;

/// With the words of the answers on its standard input.
fn answer(desk: &Desk, args: &[&str], answers: &str) -> Ended {
    let mut command = desk.command(args);
    command.env_remove("AZURE_STORAGE_CONNECTION_STRING");
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(answers.as_bytes()).unwrap();
    finish(child)
}

/// Without an account in the environment.
fn plain(desk: &Desk, args: &[&str]) -> Ended {
    answer(desk, args, "")
}

fn key(desk: &Desk, account: &str) -> String {
    desk.store.account_key(account).unwrap()
}

/// A SAS of the account `ONE` with these letters, for these kinds of resources.
fn signed(desk: &Desk, letters: &str, kinds: &str) -> String {
    let key = AccountKey::parse(&key(desk, ONE)).unwrap();
    let validity = sas::Validity::for_the_next(Duration::from_secs(3600));
    let name = AccountName::parse(ONE).unwrap();
    sas::account(&key, &name, letters, kinds, &validity, DEFAULT_API_VERSION).expose().to_owned()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o7777
}

#[test]
fn init_writes_what_flags_say_and_what_is_written_mounts() {
    let desk = Desk::new();
    fs::write(desk.path("key"), format!("{}\n", key(&desk, ONE))).unwrap();
    let endpoint = desk.store.endpoint(ONE);
    let args =
        ["config", "init", "--config", "new/c.toml", "--endpoint", &endpoint, "--key", "@key", "--mount", "both"];
    let place = desk.m();
    let more = ["--source", "accountone/box", "--mountpoint", place.to_str().unwrap(), ONE];
    let ended = plain(&desk, &[&args[..], &more].concat());
    assert_eq!((ended.status, ended.err.as_str()), (0, ""));
    assert!(ended.out.starts_with("new/c.toml has [account.accountone], [mount.both] now;"), "{ended:?}");
    assert_eq!(mode(&desk.path("new/c.toml")), 0o600);
    assert!(!format!("{ended:?}").contains(&key(&desk, ONE)), "no secret is printed");
    let text = fs::read_to_string(desk.path("new/c.toml")).unwrap();
    assert!(text.lines().filter(|line| line.starts_with('#')).count() > 5, "{text}");
    assert_eq!(plain(&desk, &["mount", "--config", "new/c.toml", "both"]).status, 0);
    assert_eq!(fs::read_to_string(desk.m().join("hello.txt")).unwrap(), "hello");
    assert_eq!(desk.umount().status, 0);

    // Once more: what is there stays, and nothing is asked for in vain.
    let ended = plain(&desk, &[&args[..], &more].concat());
    let expected = "blobcp: config: new/c.toml: [account.accountone] is there already and stays as it is";
    assert!(ended.status == 1 && ended.err.starts_with(expected), "{ended:?}");
    assert_eq!(fs::read_to_string(desk.path("new/c.toml")).unwrap(), text);
    let ended = plain(&desk, &["config", "init", "--config", "new/c.toml", "--force", "--auth", "cli", "other"]);
    assert_eq!(ended.status, 0, "{ended:?}");
    assert_eq!(fs::read_to_string(desk.path("new/c.toml.old")).unwrap(), text);
}

#[test]
fn init_asks_and_takes_answers() {
    let desk = Desk::new();
    let string = desk.store.connection_string(TWO).unwrap();
    let answers = format!(
        "{ONE}\n{}\n\n{}\n{TWO}\n{}\nconnection-string\n{string}\n\nboth\n{}\n",
        desk.store.endpoint(ONE),
        key(&desk, ONE),
        desk.store.endpoint(TWO),
        desk.m().display()
    );
    let ended = answer(&desk, &["config", "init", "--config", "c.toml"], &answers);
    assert_eq!(ended.status, 0, "{ended:?}");
    assert!(ended.err.contains("Account: ") && ended.err.contains("Key (not shown): "), "{ended:?}");
    assert!(!format!("{ended:?}").contains(&key(&desk, ONE)) && !format!("{ended:?}").contains(&string));
    assert_eq!(mode(&desk.path("c.toml")), 0o600);
    assert_eq!(plain(&desk, &["mount", "--config", "c.toml", "both"]).status, 0);
    assert!(desk.m().join(ONE).join("box").is_dir() && desk.m().join(TWO).join("backup").is_dir());
    assert_eq!(desk.umount().status, 0);
}

#[rstest]
#[case::early_end("accountone\n\n", "the answers end too early; nothing was written")]
#[case::name("No\n", "Account: account name \"No\" must be")]
#[case::kind("accountone\n\nmagic\n", "none of these; nothing was written")]
#[case::secret("accountone\n\nkey\nS3CRET!\n", "Key (not shown): that is not a key:")]
fn answers_that_are_none_write_nothing(#[case] answers: &str, #[case] expected: &str) {
    let desk = Desk::new();
    let ended = answer(&desk, &["config", "init", "--config", "c.toml"], answers);
    assert!(ended.status == 1 && ended.err.contains(expected) && !ended.err.contains("S3CRET"), "{ended:?}");
    assert!(!desk.path("c.toml").exists());
}

#[rstest]
#[case::secret_in_sight(&["--key", "a2V5"], "--key: everybody can read a command line: say -, @FILE or env:NAME")]
#[case::none(&[], "say how the account is asked: --key, --sas, --connection-string, --credential-command or --auth")]
#[case::no_file(&["--sas", "@nowhere"], "--sas: nowhere: No such file or directory (os error 2)")]
#[case::no_variable(&["--sas", "env:NOWHERE"], "--sas: there is no variable NOWHERE")]
fn mistakes_of_init_are_one_line(#[case] flags: &[&str], #[case] expected: &str) {
    let desk = Desk::new();
    let ended = plain(&desk, &[&["config", "init", "--config", "c.toml", ONE], flags].concat());
    assert_eq!((ended.status, ended.err), (2, format!("blobcp: config: {expected}\n")));
    assert!(!desk.path("c.toml").exists());
}

/// The rows of a report about one source.
fn rows(desk: &Desk, args: &[&str]) -> (i32, serde_json::Value) {
    let ended = plain(desk, &[&["config", "check", "--json"], args].concat());
    assert_eq!(ended.out.lines().count(), 1, "{ended:?}");
    (ended.status, serde_json::from_str(&ended.out).unwrap())
}

fn troubles(report: &serde_json::Value) -> String {
    report["troubles"].as_array().unwrap().iter().map(|line| line.as_str().unwrap()).collect::<Vec<_>>().join("; ")
}

#[test]
fn check_says_what_an_account_is_and_leaves_nothing_behind() {
    let desk = Desk::new();
    let config = desk.configure("");
    let (status, report) = rows(&desk, &["--config", &config, ONE]);
    assert_eq!((status, troubles(&report).as_str()), (0, ""), "{report}");
    assert_eq!((&report["asked_with"], &report["may"]), (&"key".into(), &"everything".into()));
    assert!(
        report["namespace"].as_str().unwrap().starts_with("flat") && report["clock"] == "as the service's",
        "{report}"
    );
    assert_eq!(report["lists"], "2 containers");
    assert!(report["answers_in"].as_str().unwrap().contains(" ms"));
    let (status, report) = rows(&desk, &["--config", &config, "--write", &format!("{ONE}/other")]);
    assert_eq!((status, &report["tried"]), (0, &"write: yes; read: yes; delete: yes".into()), "{report}");
    assert_eq!((&report["versions"], &report["soft_delete"]), (&"not kept".into(), &"off".into()));
    let (_, report) = rows(&desk, &["--config", &config, &format!("{ONE}/other")]);
    assert_eq!(report["lists"], "empty", "nothing is left");
    // For people, and all that is configured.
    let ended = plain(&desk, &["config", "check", "--config", &config]);
    assert!(
        ended.status == 0 && ended.out.starts_with(&format!("{config}: 2 accounts, 0 mounts\n{ONE}\n  endpoint")),
        "{ended:?}"
    );
    assert!(ended.out.contains(&format!("\n{TWO}\n")), "{ended:?}");
}

#[rstest]
#[case::hierarchical(Config { hns: true, ..Config::default() }, AccountConfig::named("acct"), "hierarchical", "not kept", "off")]
#[case::versioned(Config::default(), AccountConfig::versioned("acct"), "flat", "kept: ls .versions", "off")]
#[case::soft_delete(
    Config::default(),
    AccountConfig::keeping_deleted("acct", 7),
    "flat",
    "not kept",
    "deleted blobs are kept: ls .deleted"
)]
fn check_tells_kinds_of_accounts_apart(
    #[case] config: Config,
    #[case] account: AccountConfig,
    #[case] namespace: &str,
    #[case] versions: &str,
    #[case] soft_delete: &str,
) {
    let desk = Desk::new();
    let config = Config { accounts: vec![account], ..config };
    let store = desk._runtime.block_on(Devstore::start(config)).unwrap();
    store.create_container("acct", "box").unwrap();
    let (endpoint, key) = (store.endpoint("acct"), store.account_key("acct").unwrap());
    fs::write(desk.path("c.toml"), format!("[account.acct]\nendpoint = '{endpoint}'\nkey = '{key}'\n")).unwrap();
    fs::set_permissions(desk.path("c.toml"), fs::Permissions::from_mode(0o600)).unwrap();
    let (status, report) = rows(&desk, &["--config", "c.toml", "--write", "acct/box"]);
    assert_eq!((status, troubles(&report).as_str()), (0, ""), "{report}");
    assert!(report["namespace"].as_str().unwrap().starts_with(namespace), "{report}");
    assert_eq!(
        (&report["versions"], report["soft_delete"].as_str().unwrap_or("off")),
        (&versions.into(), soft_delete),
        "{report}"
    );
    assert!(report["left"].is_null(), "{report}");
}

/// The configuration has this for the account `ONE`.
fn configured(desk: &Desk, line: &str) {
    let endpoint = desk.store.endpoint(ONE);
    fs::write(desk.path("c.toml"), format!("[account.{ONE}]\nendpoint = '{endpoint}'\n{line}\n")).unwrap();
    fs::set_permissions(desk.path("c.toml"), fs::Permissions::from_mode(0o600)).unwrap();
}

#[test]
fn check_says_what_a_sas_of_few_permissions_is_good_for() {
    let desk = Desk::new();
    configured(&desk, &format!("sas = '{}'", signed(&desk, "rl", "co")));
    let (status, report) = rows(&desk, &["--config", "c.toml", &format!("{ONE}/box")]);
    assert_eq!((status, troubles(&report).as_str()), (0, ""), "{report}");
    assert_eq!(report["may"], "list (ls); read, and copy from here");
    let may_not = report["may_not"].as_str().unwrap();
    assert!(may_not.contains("delete (rm, mv): sp has no d") && may_not.contains("tags: sp has no t"), "{report}");
    assert!(report["asked_with"].as_str().unwrap().starts_with("SAS, until "), "{report}");
    // Without a container it lists none, and cannot be written by.
    let (status, report) = rows(&desk, &["--config", "c.toml", ONE]);
    assert!(status == 1 && troubles(&report).contains("srt has no s; name a container"), "{report}");
    let (status, report) = rows(&desk, &["--config", "c.toml", "--write", &format!("{ONE}/box")]);
    assert!(status == 1 && troubles(&report).contains("nothing can be written there (403 "), "{report}");
}

#[test]
fn check_says_what_is_wrong() {
    let desk = Desk::new();
    configured(&desk, "key = 'a2V5'");
    let (status, report) = rows(&desk, &["--config", "c.toml", ONE]);
    assert!(status == 1 && troubles(&report).contains("does not accept the credential"), "{report}");
    fs::set_permissions(desk.path("c.toml"), fs::Permissions::from_mode(0o644)).unwrap();
    let ended = plain(&desk, &["config", "check", "--config", "c.toml", ONE]);
    assert!(
        ended.status == 1 && ended.out.contains("! it holds secrets and others can read it: chmod 600 c.toml"),
        "{ended:?}"
    );

    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    fs::write(desk.path("c.toml"), format!("[account.x12]\nendpoint = 'http://{closed}/x12'\nkey = 'a2V5'\n")).unwrap();
    fs::set_permissions(desk.path("c.toml"), fs::Permissions::from_mode(0o600)).unwrap();
    let (status, report) = rows(&desk, &["--config", "c.toml"]);
    assert!(status == 1 && troubles(&report).starts_with("no answer: "), "{report}");

    fs::write(desk.path("c.toml"), "[account.x12]\n[mount.m]\nsources = ['x12/box/dir', 'y12']\n").unwrap();
    let ended = plain(&desk, &["config", "check", "--config", "c.toml"]);
    assert!(ended.status == 1 && ended.out.contains("can only be mounted alone"), "{ended:?}");
    assert!(ended.out.contains("! account y12: no credential"), "{ended:?}");
    let ended = plain(&desk, &["config", "check"]);
    assert!(ended.status == 1 && ended.err.contains("no account is configured: 'blobcp config init'"), "{ended:?}");
}

#[test]
fn check_reads_a_source_that_is_said_elsewhere_as_mount_does() {
    let desk = Desk::new();
    fs::write(desk.path("one.url"), format!("{ONE}/box\n")).unwrap();
    let home = desk.home.path().display();
    let config = desk.configure(&format!(
        "[mount.byfile]\nsources = ['@{home}/one.url']\n[mount.gone]\nsources = ['@{home}/gone.url']\n"
    ));
    for word in ["byfile", &format!("@{home}/one.url")] {
        let (status, report) = rows(&desk, &["--config", &config, word]);
        assert_eq!((status, troubles(&report).as_str()), (0, ""), "{report}");
        assert_eq!(report["source"], format!("{ONE}/box"));
    }
    let (status, report) = rows(&desk, &["--config", &config, "gone"]);
    assert_eq!((status, troubles(&report)), (1, format!("{home}/gone.url: No such file or directory")), "{report}");
}

#[rstest]
#[case::written(Reset::After)]
#[case::not_written(Reset::Before)]
fn check_takes_away_what_may_have_been_written(#[case] reset: Reset) {
    let desk = Desk::new();
    let config = desk.configure("");
    desk.store.add_fault(Fault { reset: Some(reset), count: 9, ..Fault::on("PutBlob") });
    let (status, report) = rows(&desk, &["--config", &config, "--write", &format!("{ONE}/other")]);
    assert!(status == 1 && troubles(&report).starts_with("no answer: "), "{report}");
    assert!(report["left"].is_null(), "{report}");
    let (_, report) = rows(&desk, &["--config", &config, &format!("{ONE}/other")]);
    assert_eq!(report["lists"], "empty", "nothing is left");
}

#[test]
fn check_says_that_clocks_differ() {
    let desk = Desk::new();
    desk.store.advance_clock(Duration::from_secs(2 * 3600));
    configured(&desk, &format!("key = '{}'", key(&desk, ONE)));
    let (status, report) = rows(&desk, &["--config", "c.toml", ONE]);
    assert_eq!(status, 1);
    let said = troubles(&report);
    assert!(
        said.contains("this machine's clock is 1") && said.contains(" min behind the service's; set it"),
        "{report}"
    );
}

#[test]
fn a_configuration_of_blobfuse2_is_taken_over_and_mounts() {
    let desk = Desk::new();
    let (endpoint, secret) = (desk.store.endpoint(ONE), key(&desk, ONE));
    let text = format!(
        "# of a machine that had blobfuse2\nread-only: true\ncomponents:\n  - libfuse\n  - file_cache\n  - azstorage\n\
         libfuse:\n  default-permission: 0600\nfile_cache:\n  path: /mnt/cache\n  timeout-sec: 120\nazstorage:\n  type: block\n  \
         account-name: {ONE}\n  container: box\n  endpoint: {endpoint}\n  mode: key\n  account-key: {secret}\n  cap-iops: 10\n"
    );
    fs::write(desk.path("config.yaml"), text).unwrap();
    let ended = plain(&desk, &["config", "from-blobfuse2", "--config", "c.toml", "config.yaml"]);
    assert_eq!((ended.status, ended.err.as_str()), (0, ""));
    assert!(ended.out.starts_with(&format!("c.toml has [account.{ONE}], [mount.box] now;")), "{ended:?}");
    let hint =
        format!("Try it: blobcp config check --config c.toml {ONE}; blobcp mount --config c.toml box MOUNTPOINT\n");
    assert!(ended.out.ends_with(&hint), "{ended:?}");
    let (missing, unneeded) = ended.out.split_once("Not needed:").unwrap();
    assert!(missing.contains("azstorage.cap-iops: ") && unneeded.contains("file_cache.path: "), "{ended:?}");
    assert!(!ended.out.contains(&secret) && mode(&desk.path("c.toml")) == 0o600);
    assert_eq!(plain(&desk, &["mount", "--config", "c.toml", "box", "m"]).status, 0);
    assert_eq!(fs::read_to_string(desk.m().join("hello.txt")).unwrap(), "hello");
    assert_eq!(mode(&desk.m().join("hello.txt")), 0o600);
    assert_eq!(fs::write(desk.m().join("new"), "x").unwrap_err().raw_os_error(), Some(libc::EROFS));
    assert_eq!(desk.umount().status, 0);
    fs::write(desk.path("config.yaml"), b"\xff\xfe\x00encrypted").unwrap();
    let ended = plain(&desk, &["config", "from-blobfuse2", "--config", "c.toml", "config.yaml"]);
    assert!(ended.status == 1 && ended.err.contains("blobfuse2 secure decrypt"), "{ended:?}");
}

#[test]
fn a_remote_of_rclone_is_taken_over_and_mounts() {
    let desk = Desk::new();
    let token = signed(&desk, "rwdlac", "sco");
    let text = format!(
        "[photos]\ntype = azureblob\nsas_url = {}/box?{token}\naccess_tier = cool\nchunk_size = 8Mi\n\n[secret]\ntype = crypt\nremote = photos:\n",
        desk.store.endpoint(ONE)
    );
    fs::create_dir_all(desk.path(".config/rclone")).unwrap();
    fs::write(desk.path(".config/rclone/rclone.conf"), &text).unwrap();
    let ended = plain(&desk, &["config", "from-rclone", "--config", "c.toml", "photos"]);
    assert_eq!((ended.status, ended.err.as_str()), (0, ""));
    assert!(
        ended.out.contains("Not taken over:\n  access_tier: ") && ended.out.contains("Not needed:\n  chunk_size: "),
        "{ended:?}"
    );
    assert!(!ended.out.contains("sig="), "{ended:?}");
    assert_eq!(plain(&desk, &["mount", "--config", "c.toml", "photos", "m"]).status, 0);
    fs::write(desk.m().join("new.txt"), "new").unwrap();
    assert_eq!(desk.umount().status, 0);
    assert_eq!(&desk.store.content(ONE, "box", "new.txt").unwrap()[..], b"new");
    // From a pipe, to another name, and what cannot be.
    let args =
        ["config", "from-rclone", "--config", "c.toml", "--rclone-config", "-", "--name", "again", "photos:other/x"];
    let ended = answer(&desk, &args, &text.replace(ONE, TWO));
    assert_eq!(ended.status, 0, "{ended:?}");
    let written = fs::read_to_string(desk.path("c.toml")).unwrap();
    assert!(written.contains(&format!("[mount.again]\nsources = [\"{TWO}/other/x\"]\n")), "{written}");
    let ended = plain(&desk, &["config", "from-rclone", "--config", "c.toml", "secret"]);
    assert!(ended.status == 1 && ended.err.contains("[secret] is of type crypt; only azureblob"), "{ended:?}");
}
