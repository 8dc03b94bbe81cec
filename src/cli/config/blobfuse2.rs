//! `blobcp config from-blobfuse2`.
//!
//! The names and meanings of its settings are those of blobfuse2's own `setup/advancedConfig.yaml` and of its page on
//! configuration.

use std::path::PathBuf;

use yaml_rust2::parser::{Event, MarkedEventReceiver, Parser};
use yaml_rust2::scanner::{Marker, TScalarStyle};

use super::super::failure::{Failure, about};
use super::draft::{Draft, Table, Target};
use super::fate::{Fate, Findings, Row};

use Fate::{Missing, Taken, Unneeded};

const CACHE: &str = "there is no cache on disk: content is kept in memory, within memory-limit";
const FINE: &str = "blobcp finds the right number itself, within memory-limit";
const RETRIES: &str = "requests are repeated as long as that helps";
const SHOWN: &str = "the kernel believes what was heard for attr-ttl";
const ALWAYS: &str = "it is always so";
const OTHER: &str = "it belongs to a part that blobcp does not have";

/// All settings of blobfuse2.
pub(super) const SETTINGS: &[Row] = &[
    ("foreground", Unneeded("say -f on the command line")),
    ("read-only", Taken),
    ("allow-other", Taken),
    ("allow-root", Missing("--allow-other lets others in, as the modes allow")),
    ("nonempty", Unneeded("a directory with files is mounted over with a warning")),
    ("disable-kernel-cache", Unneeded("pages of a blob that was changed are dropped")),
    ("dynamic-profile", Unneeded(OTHER)),
    ("profiler-port", Unneeded(OTHER)),
    ("profiler-ip", Unneeded(OTHER)),
    ("logging.type", Taken),
    ("logging.level", Taken),
    ("logging.file-path", Taken),
    ("logging.max-file-size-mb", Missing("rotate the log with logrotate")),
    ("logging.file-count", Missing("rotate the log with logrotate")),
    ("logging.goroutine-id", Unneeded(OTHER)),
    ("components", Unneeded("there is one way from the kernel to the service")),
    ("libfuse.default-permission", Taken),
    ("libfuse.uid", Taken),
    ("libfuse.gid", Taken),
    ("libfuse.umask", Taken),
    ("libfuse.attribute-expiration-sec", Unneeded(SHOWN)),
    ("libfuse.entry-expiration-sec", Unneeded(SHOWN)),
    ("libfuse.negative-entry-expiration-sec", Unneeded(SHOWN)),
    ("libfuse.kernel-list-cache-expiration-sec", Unneeded(SHOWN)),
    ("libfuse.fuse-trace", Missing("--log trace shows every request")),
    ("libfuse.extension", Missing("there are no extensions")),
    ("libfuse.direct-io", Unneeded("files that are only written go past the kernel's cache by themselves")),
    ("libfuse.disable-writeback-cache", Unneeded("the kernel's write-back cache is never used")),
    ("libfuse.ignore-open-flags", Unneeded("open flags mean what they say")),
    ("libfuse.max-fuse-threads", Unneeded(FINE)),
    ("entry_cache.timeout-sec", Unneeded(SHOWN)),
    ("attr_cache.timeout-sec", Taken),
    ("attr_cache.max-size-mb", Unneeded(FINE)),
    ("attr_cache.no-symlinks", Missing("symbolic links are always shown as such")),
    ("attr_cache.no-cache-on-list", Unneeded(FINE)),
    ("block_cache.mem-size-mb", Taken),
    ("block_cache.block-size-mb", Unneeded(FINE)),
    ("block_cache.path", Unneeded(CACHE)),
    ("block_cache.disk-size-mb", Unneeded(CACHE)),
    ("block_cache.disk-timeout-sec", Unneeded(CACHE)),
    ("block_cache.prefetch", Unneeded(FINE)),
    ("block_cache.prefetch-on-open", Unneeded(FINE)),
    ("block_cache.parallelism", Unneeded(FINE)),
    ("block_cache.cleanup-on-start", Unneeded(CACHE)),
    ("file_cache.path", Unneeded(CACHE)),
    ("file_cache.timeout-sec", Unneeded(CACHE)),
    ("file_cache.max-size-mb", Unneeded(CACHE)),
    ("file_cache.allow-non-empty-temp", Unneeded(CACHE)),
    ("file_cache.cleanup-on-start", Unneeded(CACHE)),
    ("file_cache.policy", Unneeded(CACHE)),
    ("file_cache.sync-to-flush", Unneeded("fsync stores, always")),
    ("file_cache.refresh-sec", Unneeded("what another client wrote is seen after attr-ttl")),
    ("file_cache.ignore-sync", Missing("fsync stores, always")),
    ("file_cache.hard-limit", Unneeded(CACHE)),
    ("file_cache.offload-io", Unneeded(CACHE)),
    ("xload.path", Missing("nothing is loaded ahead; read the files once")),
    ("xload.block-size-mb", Unneeded(FINE)),
    ("xload.export-progress", Missing("nothing is loaded ahead; read the files once")),
    ("xload.validate-md5", Missing("'blobcp verify' compares files with their MD5")),
    ("xload.cleanup-on-start", Unneeded(CACHE)),
    ("loopbackfs.path", Unneeded("'blobcp mount --dev' is for trying")),
    ("azstorage.type", Taken),
    ("azstorage.account-name", Taken),
    ("azstorage.container", Taken),
    ("azstorage.endpoint", Taken),
    ("azstorage.mode", Taken),
    ("azstorage.account-key", Taken),
    ("azstorage.sas", Taken),
    ("azstorage.appid", Taken),
    ("azstorage.resid", Missing("name a managed identity by its client id, client_id")),
    ("azstorage.objid", Missing("name a managed identity by its client id, client_id")),
    ("azstorage.tenantid", Taken),
    ("azstorage.clientid", Taken),
    ("azstorage.clientsecret", Taken),
    ("azstorage.oauth-token-path", Taken),
    ("azstorage.workload-identity-token", Missing("write the token to a file and name it, federated_token_file")),
    ("azstorage.aadendpoint", Missing("set AZURE_AUTHORITY_HOST to it")),
    ("azstorage.auth-resource", Unneeded("tokens are asked for the storage service")),
    ("azstorage.use-http", Taken),
    ("azstorage.subdirectory", Taken),
    ("azstorage.block-size-mb", Unneeded(FINE)),
    ("azstorage.max-concurrency", Unneeded(FINE)),
    ("azstorage.tier", Missing("'blobcp cp --tier', or setfattr -n user.blob.tier, sets a tier")),
    ("azstorage.block-list-on-mount-sec", Unneeded("nothing is listed ahead")),
    ("azstorage.max-results-for-list", Unneeded(FINE)),
    ("azstorage.max-retries", Unneeded(RETRIES)),
    ("azstorage.max-retry-timeout-sec", Unneeded(RETRIES)),
    ("azstorage.retry-backoff-sec", Unneeded(RETRIES)),
    ("azstorage.max-retry-delay-sec", Unneeded(RETRIES)),
    ("azstorage.http-proxy", Missing("set the variable HTTP_PROXY")),
    ("azstorage.https-proxy", Missing("set the variable HTTPS_PROXY")),
    ("azstorage.fail-unsupported-op", Unneeded("chmod and chown are kept with the file; see --permissions")),
    ("azstorage.update-md5", Taken),
    ("azstorage.validate-md5", Unneeded("what is read is compared with checksums; 'blobcp verify' reads whole files")),
    ("azstorage.virtual-directory", Unneeded(ALWAYS)),
    ("azstorage.disable-compression", Unneeded("content is never unpacked on its way")),
    ("azstorage.telemetry", Unneeded(OTHER)),
    ("azstorage.sdk-trace", Missing("--log trace shows every request")),
    ("azstorage.honour-acl", Missing("--show-owners shows them, and the service holds to them for identities")),
    ("azstorage.preserve-acl", Missing("a file that is replaced is a new one for the service")),
    ("azstorage.cpk-enabled", Missing("keys of one's own are not supported: blobs written with one cannot be read")),
    ("azstorage.cpk-encryption-key", Missing("keys of one's own are not supported")),
    ("azstorage.cpk-encryption-key-sha256", Missing("keys of one's own are not supported")),
    ("azstorage.cap-mbps-read", Missing("there is no limit on speed")),
    ("azstorage.cap-iops", Missing("there is no limit on requests; a busy service is asked less")),
    ("azstorage.filter", Missing("all blobs are shown")),
    ("mountall.container-allowlist", Taken),
    ("mountall.container-denylist", Missing("name the containers that are to be there as sources")),
];

/// Sections of which nothing is taken over.
const SECTIONS: &[(&str, &str)] = &[
    ("health_monitor", "'blobcp mount --list', 'blobcp status' and the log say how a mount is"),
    ("distributed_cache", "there is no cache that several machines share"),
];

/// Take over the configuration of blobfuse2
///
/// Settings that have no equal are named. Secrets go into the file, which only its owner may read.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The configuration of blobfuse2, usually config.yaml.
    file: PathBuf,
    /// Name of the mount [default: the container, or the account].
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    #[command(flatten)]
    target: Target,
}

impl Arguments {
    pub(super) fn run(self) -> Result<(), Failure> {
        let text = std::fs::read_to_string(&self.file).map_err(|error| match error.kind() {
            std::io::ErrorKind::InvalidData => Failure::new(format!(
                "{}: not a text; if it was encrypted, 'blobfuse2 secure decrypt' makes it one again",
                self.file.display()
            )),
            _ => about(&self.file, &error),
        })?;
        let wrong = |what: String| Failure::new(format!("{}: {what}", self.file.display()));
        let (draft, findings) = convert(&text, self.name.as_deref()).map_err(wrong)?;
        findings.end(&draft, &self.target)
    }
}

/// A value as it is written. What YAML makes of a text is not for everything that blobfuse2 has: a mode is written in
/// octal digits, and an identity may be all digits.
#[derive(Debug)]
enum Value {
    Text(String),
    List(Vec<Value>),
    Section(Vec<(String, Value)>),
    Nothing,
}

/// Puts the values of a file together.
#[derive(Default)]
struct Reader {
    /// Those that are begun, the innermost last, and of each section the key whose value comes next.
    open: Vec<(Value, Option<String>)>,
    /// The first document.
    whole: Option<Value>,
}

impl Reader {
    fn put(&mut self, value: Value) {
        match self.open.last_mut() {
            None => drop(self.whole.get_or_insert(value)),
            Some((Value::List(list), _)) => list.push(value),
            Some((Value::Section(values), key)) => match (key.take(), value) {
                (Some(key), value) => values.push((key, value)),
                (None, Value::Text(text)) => *key = Some(text),
                // A key that is none.
                (None, _) => *key = Some(String::new()),
            },
            Some(_) => {}
        }
    }
}

impl MarkedEventReceiver for Reader {
    fn on_event(&mut self, event: Event, _mark: Marker) {
        match event {
            Event::Scalar(text, style, ..) => {
                let nothing = style == TScalarStyle::Plain && ["", "~", "null"].contains(&text.as_str());
                self.put(if nothing { Value::Nothing } else { Value::Text(text) });
            }
            // What it stands for is somewhere else.
            Event::Alias(_) => self.put(Value::Nothing),
            Event::SequenceStart(..) => self.open.push((Value::List(Vec::new()), None)),
            Event::MappingStart(..) => self.open.push((Value::Section(Vec::new()), None)),
            Event::SequenceEnd | Event::MappingEnd => {
                if let Some((value, _)) = self.open.pop() {
                    self.put(value);
                }
            }
            _ => {}
        }
    }
}

/// The settings by their names, `SECTION.KEY`.
struct Settings(Vec<(String, Value)>);

impl Settings {
    fn read(text: &str) -> Result<Self, String> {
        let mut reader = Reader::default();
        let parsed = Parser::new(text.chars()).load(&mut reader, false);
        // The message may show what is in the line, and that may be a secret.
        parsed.map_err(|error| format!("line {}: not YAML", error.marker().line()))?;
        let Some(Value::Section(top)) = reader.whole else {
            return Err("no settings of blobfuse2 are in it".into());
        };
        let mut found = Vec::new();
        for (key, value) in top {
            match value {
                Value::Section(section) => {
                    found.extend(section.into_iter().map(|(inner, value)| (format!("{key}.{inner}"), value)));
                }
                Value::Nothing => {}
                value => found.push((key, value)),
            }
        }
        Ok(Self(found))
    }

    /// A single value as it is written; empty is none.
    fn text(&self, name: &str) -> Option<String> {
        match &self.0.iter().find(|(known, _)| known == name)?.1 {
            Value::Text(text) if !text.trim().is_empty() => Some(text.trim().to_owned()),
            _ => None,
        }
    }

    fn is_on(&self, name: &str) -> bool {
        self.text(name).is_some_and(|text| text.eq_ignore_ascii_case("true"))
    }

    fn list(&self, name: &str) -> Vec<String> {
        let Some((_, Value::List(list))) = self.0.iter().find(|(known, _)| known == name) else { return Vec::new() };
        let texts = list.iter().filter_map(|item| if let Value::Text(text) = item { Some(text.clone()) } else { None });
        texts.collect()
    }
}

fn convert(text: &str, name: Option<&str>) -> Result<(Draft, Findings), String> {
    let settings = Settings::read(text)?;
    let mut findings = Findings::default();
    for (name, _) in &settings.0 {
        let section = name.split('.').next().unwrap_or_default();
        match SECTIONS.iter().find(|(known, _)| *known == section) {
            Some((_, why)) => findings.missing(name, why),
            None => findings.note(SETTINGS, name),
        }
    }
    let account = settings.text("azstorage.account-name");
    let account = account.ok_or("azstorage.account-name is missing; blobfuse2 may have it from its environment")?;
    let table = account_table(&settings, &account, &mut findings)?;
    let container = settings.text("azstorage.container");
    let sources = match &container {
        Some(container) => {
            let inside = settings.text("azstorage.subdirectory").unwrap_or_default();
            let source = format!("{account}/{container}/{}", inside.trim_matches('/'));
            vec![source.trim_end_matches('/').to_owned()]
        }
        None => match settings.list("mountall.container-allowlist") {
            list if list.is_empty() => vec![account.clone()],
            list => list.into_iter().map(|container| format!("{account}/{container}")).collect(),
        },
    };
    let mut mount = Table::new(name.map_or_else(|| container.unwrap_or(account), str::to_owned));
    mount.set("sources", sources);
    mount_settings(&settings, &mut mount, &mut findings);
    Ok((Draft { accounts: vec![table], mount: Some(mount) }, findings))
}

fn account_table(settings: &Settings, account: &str, findings: &mut Findings) -> Result<Table, String> {
    let of = |key: &str| settings.text(&format!("azstorage.{key}"));
    let mut table = Table::new(account);
    let usual = settings.is_on("azstorage.use-http").then(|| format!("http://{account}.blob.core.windows.net"));
    if let Some(endpoint) = of("endpoint").or(usual) {
        // That of the hierarchical namespace is found from the other.
        let endpoint = endpoint.replacen(".dfs.", ".blob.", 1);
        let scheme = if settings.is_on("azstorage.use-http") { "http" } else { "https" };
        let whole = if endpoint.contains("://") { endpoint } else { format!("{scheme}://{endpoint}") };
        table.set("endpoint", whole.trim_end_matches('/'));
    }
    if of("type").is_some_and(|kind| kind.eq_ignore_ascii_case("adls")) {
        table.set("hns", true);
    }
    let mode = of("mode").map(|mode| mode.to_ascii_lowercase());
    let guessed = || if of("account-key").is_some() { "key" } else { "sas" }.to_owned();
    let needed =
        |key: &str| of(key).ok_or(format!("azstorage.{key} is missing; blobfuse2 may have it from its environment"));
    match mode.unwrap_or_else(guessed).as_str() {
        "key" => table.set("key", needed("account-key")?),
        "sas" => table.set("sas", needed("sas")?.trim_start_matches('?')),
        "spn" => {
            table.set("tenant_id", needed("tenantid")?);
            table.set("client_id", needed("clientid")?);
            match of("clientsecret") {
                Some(secret) => {
                    table.set("auth", "client-secret");
                    table.set("client_secret", secret);
                }
                None => {
                    table.set("auth", "workload-identity");
                    table.set("federated_token_file", needed("oauth-token-path")?);
                }
            }
        }
        "msi" => {
            table.set("auth", "managed-identity");
            if let Some(client) = of("appid") {
                table.set("client_id", client);
            }
        }
        "azcli" => table.set("auth", "cli"),
        other => {
            findings.missing("azstorage.mode", &format!("{other} is none of key, sas, spn, msi and azcli"));
        }
    }
    Ok(table)
}

/// A mode as blobfuse2 reads it: octal with a zero or `0o` in front, decimal otherwise.
fn mode(text: &str) -> Option<u32> {
    let octal = text.strip_prefix("0o").or_else(|| text.strip_prefix('0').filter(|rest| !rest.is_empty()));
    let mode = octal.map_or_else(|| text.parse().ok(), |digits| u32::from_str_radix(digits, 8).ok())?;
    (mode <= 0o777).then_some(mode)
}

/// A umask: its digits are octal, with and without a zero in front.
fn umask(text: &str) -> Option<u32> {
    u32::from_str_radix(text.trim_start_matches("0o"), 8).ok().filter(|mask| *mask <= 0o777)
}

/// Owners and modes. blobfuse2 has one mode for files and directories: what a umask leaves, if one is given; 777 with
/// allow-other; or default-permission.
fn modes(settings: &Settings, mount: &mut Table, findings: &mut Findings) {
    for (theirs, ours) in [("libfuse.uid", "uid"), ("libfuse.gid", "gid")] {
        match settings.text(theirs).map(|text| text.parse::<u32>()) {
            None => {}
            Some(Ok(number)) => mount.set(ours, i64::from(number)),
            Some(Err(_)) => findings.missing(theirs, "a number is expected"),
        }
    }
    let mut given = |name: &str, read: fn(&str) -> Option<u32>| {
        let text = settings.text(name)?;
        let found = read(&text);
        if found.is_none() {
            findings.missing(name, &format!("{text} is no mode in octal digits, as 0644 is"));
        }
        // Nothing is as good as not given.
        found.filter(|mode| *mode != 0)
    };
    let (usual, umask) = (given("libfuse.default-permission", mode), given("libfuse.umask", umask));
    let everything = match (usual, umask) {
        (_, Some(umask)) => 0o777 & !umask,
        _ if settings.is_on("allow-other") => {
            let what = "blobfuse2 shows mode 777 to everybody then, whatever default-permission says; here modes bind, \
                        644 and 755 if you say nothing: set file-mode and dir-mode to what others may";
            findings.missing(if usual.is_some() { "libfuse.default-permission" } else { "allow-other" }, what);
            return;
        }
        (Some(usual), None) => usual,
        (None, None) => return,
    };
    for key in ["file-mode", "dir-mode"] {
        mount.set(key, format!("{everything:o}"));
    }
}

fn mount_settings(settings: &Settings, mount: &mut Table, findings: &mut Findings) {
    for (theirs, ours) in [
        ("read-only", "read-only"),
        ("allow-other", "allow-other"),
        ("azstorage.update-md5", "content-md5"),
        ("azstorage.use-http", "allow-http"),
    ] {
        if settings.is_on(theirs) {
            mount.set(ours, true);
        }
    }
    if let Some(seconds) = settings.text("attr_cache.timeout-sec") {
        mount.set("attr-ttl", format!("{seconds}s"));
    }
    modes(settings, mount, findings);
    if let Some(size) = settings.text("block_cache.mem-size-mb") {
        match size.parse::<u64>() {
            Ok(size @ 64..) => mount.set("memory-limit", format!("{size}MiB")),
            _ => findings.missing("block_cache.mem-size-mb", "memory-limit is a whole number of at least 64 MiB"),
        }
    }
    let kind = settings.text("logging.type").unwrap_or_else(|| "syslog".into());
    if let Some(path) = settings.text("logging.file-path") {
        // A shell or blobfuse2 would have put a home in place of it.
        match path.starts_with('/') && kind == "base" {
            true => mount.set("log-file", path),
            false => findings.missing("logging.file-path", "the log is a file of its own; --log-file names another"),
        }
    } else if settings.text("logging.type").is_some() && kind == "syslog" {
        findings.missing("logging.type", "the log is a file; the mount says which");
    }
    if let Some(level) = settings.text("logging.level") {
        let level = match level.to_ascii_lowercase().trim_start_matches("log_") {
            "off" | "crit" | "err" => "error",
            "warning" => "warn",
            "info" => "info",
            "debug" => "debug",
            "trace" => "trace",
            _ => return findings.missing("logging.level", "none of blobfuse2's levels"),
        };
        mount.set("log", level);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn values(table: &Table) -> Vec<String> {
        table.values.iter().map(|(key, value)| format!("{key}={value}")).collect()
    }

    #[rstest]
    #[case("mode: key\n  account-key: a2V5", &["key=\"a2V5\""])]
    #[case("account-key: a2V5\n  type: adls\n  endpoint: acct.dfs.core.windows.net/", &["endpoint=\"https://acct.blob.core.windows.net\"", "hns=true", "key=\"a2V5\""])]
    #[case("mode: sas\n  sas: '?sv=1&sig=x'", &["sas=\"sv=1&sig=x\""])]
    #[case("mode: spn\n  tenantid: t\n  clientid: c\n  clientsecret: s", &["tenant_id=\"t\"", "client_id=\"c\"", "auth=\"client-secret\"", "client_secret=\"s\""])]
    #[case("mode: spn\n  tenantid: t\n  clientid: c\n  oauth-token-path: /t", &["tenant_id=\"t\"", "client_id=\"c\"", "auth=\"workload-identity\"", "federated_token_file=\"/t\""])]
    #[case("mode: msi\n  appid: a", &["auth=\"managed-identity\"", "client_id=\"a\""])]
    #[case("mode: msi\n  appid: 0123", &["auth=\"managed-identity\"", "client_id=\"0123\""])]
    #[case("mode: spn\n  tenantid: 0x10\n  clientid: 1e3\n  clientsecret: ~x", &["tenant_id=\"0x10\"", "client_id=\"1e3\"", "auth=\"client-secret\"", "client_secret=\"~x\""])]
    #[case("mode: azcli", &["auth=\"cli\""])]
    fn an_account_is_taken_over(#[case] lines: &str, #[case] expected: &[&str]) {
        let (draft, _) = convert(&format!("azstorage:\n  account-name: acct\n  {lines}\n"), None).unwrap();
        assert_eq!(values(&draft.accounts[0]), expected);
        assert_eq!(values(draft.mount.as_ref().unwrap()), ["sources=[\"acct\"]"]);
    }

    #[test]
    fn a_mount_is_taken_over() {
        let text = "read-only: true\nallow-other: true\nattr_cache:\n  timeout-sec: 7\nlibfuse:\n  umask: 027\n  uid: 7\n  gid: 0\n\
                    block_cache:\n  mem-size-mb: 256\nlogging:\n  type: base\n  level: log_debug\n  file-path: /var/log/b.log\n\
                    azstorage:\n  account-name: acct\n  container: c\n  subdirectory: a/b/\n  account-key: a2V5\n  use-http: true\n  update-md5: true\n";
        let (draft, findings) = convert(text, Some("m")).unwrap();
        let mount = draft.mount.unwrap();
        assert_eq!(mount.name, "m");
        let expected = "sources=[\"acct/c/a/b\"] read-only=true allow-other=true content-md5=true allow-http=true attr-ttl=\"7s\" \
                        uid=7 gid=0 file-mode=\"750\" dir-mode=\"750\" memory-limit=\"256MiB\" log-file=\"/var/log/b.log\" log=\"debug\"";
        assert_eq!(values(&mount).join(" "), expected);
        assert_eq!(values(&draft.accounts[0])[0], "endpoint=\"http://acct.blob.core.windows.net\"");
        assert!(format!("{findings:?}").contains("missing: [], unneeded: []"), "{findings:?}");
    }

    /// The modes of a mount that has these lines, and what is told of those that are not taken over.
    fn modes_of(lines: &str) -> (Vec<String>, Findings) {
        let text = format!("{lines}\nazstorage:\n  account-name: acct\n  account-key: a2V5\n");
        let (draft, findings) = convert(&text, None).unwrap();
        let values = values(draft.mount.as_ref().unwrap());
        (values.into_iter().filter(|value| value.contains("-mode=")).collect(), findings)
    }

    #[rstest]
    #[case("default-permission: 0644", "644")]
    #[case("default-permission: 0o644", "644")]
    #[case("default-permission: '0750'", "750")]
    #[case("default-permission: 420", "644")]
    #[case("umask: 0027", "750")]
    #[case("umask: 22", "755")]
    #[case("default-permission: 0600\n  umask: 077", "700")]
    fn a_mode_is_what_is_written_for_files_and_directories(#[case] lines: &str, #[case] expected: &str) {
        let (modes, findings) = modes_of(&format!("libfuse:\n  {lines}"));
        assert_eq!(modes, [format!("file-mode=\"{expected}\""), format!("dir-mode=\"{expected}\"")]);
        assert!(format!("{findings:?}").contains("missing: []"), "{findings:?}");
    }

    #[rstest]
    #[case(
        "allow-other: true\nlibfuse:\n  default-permission: 0644",
        "libfuse.default-permission: blobfuse2 shows mode 777"
    )]
    #[case("allow-other: true", "allow-other: blobfuse2 shows mode 777")]
    #[case("libfuse:\n  default-permission: 0999", "libfuse.default-permission: 0999 is no mode")]
    #[case("libfuse:\n  default-permission: 644", "libfuse.default-permission: 644 is no mode")]
    #[case("libfuse:\n  umask: 99", "libfuse.umask: 99 is no mode")]
    fn a_mode_that_is_not_taken_over_is_named(#[case] lines: &str, #[case] expected: &str) {
        let (modes, findings) = modes_of(lines);
        assert_eq!(modes, [""; 0]);
        assert!(format!("{findings:?}").contains(expected), "{findings:?}");
    }

    #[test]
    fn what_is_not_taken_is_named_and_no_secret_is() {
        let text = "azstorage:\n  account-name: acct\n  account-key: a2V5\n  cpk-enabled: true\n  new-thing: SeCrEt\n\
                    file_cache:\n  path: /tmp/x\nhealth_monitor:\n  enable-monitoring: true\nmountall:\n  container-allowlist:\n    - a\n    - b\n";
        let (draft, findings) = convert(text, None).unwrap();
        assert_eq!(values(draft.mount.as_ref().unwrap()), ["sources=[\"acct/a\", \"acct/b\"]"]);
        let said = format!("{findings:?}");
        for name in
            ["azstorage.cpk-enabled", "azstorage.new-thing", "file_cache.path", "health_monitor.enable-monitoring"]
        {
            assert!(said.contains(name), "{said}");
        }
        assert!(!said.contains("SeCrEt"));
        for broken in ["azstorage: [SeCrEt", "- SeCrEt", "", "azstorage:\n  account-name: acct\n"] {
            let error = convert(broken, None).unwrap_err();
            assert!(!error.contains("SeCrEt"), "{error}");
        }
    }

    #[test]
    fn the_page_has_every_setting() {
        let page = include_str!("../../../docs/coming-from.md");
        for (name, _) in SETTINGS {
            let (section, key) = name.split_once('.').unwrap_or(("", name));
            assert!(page.contains(&format!("`{key}`")) && page.contains(section), "{name} is not on the page");
        }
    }
}
