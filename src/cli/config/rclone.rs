//! `blobcp config from-rclone`.
//!
//! A remote of rclone is a section of its configuration file, which rclone writes itself: `[NAME]` and lines of
//! `key = value`. The names and meanings are those of rclone's page on its backend `azureblob`.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use reqwest::Url;
use serde::Deserialize;

use super::super::failure::{Failure, about};
use super::draft::{Draft, Table, Target};
use super::fate::{Fate, Findings, Row};
use crate::config::places;

use Fate::{Missing, Taken, Unneeded};

const FINE: &str = "blobcp finds the right number itself, within memory-limit";
const COPY: &str = "the service copies by itself";
const LOGIN: &str = "log in with 'az login' and take auth = \"cli\", or use an application's secret";

/// All settings of rclone's backend `azureblob`.
pub(super) const SETTINGS: &[Row] = &[
    ("type", Taken),
    ("account", Taken),
    ("key", Taken),
    ("sas_url", Taken),
    ("connection_string", Taken),
    ("endpoint", Taken),
    ("tenant", Taken),
    ("client_id", Taken),
    ("client_secret", Taken),
    ("service_principal_file", Taken),
    ("use_msi", Taken),
    ("msi_client_id", Taken),
    ("use_az", Taken),
    ("use_emulator", Taken),
    (
        "env_auth",
        Missing("say auth = \"managed-identity\", \"workload-identity\", \"client-secret\" or \"cli\" in the table"),
    ),
    ("msi_object_id", Missing("name a managed identity by its client id, client_id")),
    ("msi_mi_res_id", Missing("name a managed identity by its client id, client_id")),
    ("client_certificate_path", Missing(LOGIN)),
    ("client_certificate_password", Missing(LOGIN)),
    ("client_send_certificate_chain", Missing(LOGIN)),
    ("username", Missing(LOGIN)),
    ("password", Missing(LOGIN)),
    ("disable_instance_discovery", Unneeded("AZURE_AUTHORITY_HOST is asked and no other host")),
    ("upload_cutoff", Unneeded(FINE)),
    ("chunk_size", Unneeded(FINE)),
    ("upload_concurrency", Unneeded(FINE)),
    ("copy_cutoff", Unneeded(COPY)),
    ("copy_concurrency", Unneeded(COPY)),
    ("copy_total_concurrency", Unneeded(COPY)),
    ("use_copy_blob", Unneeded(COPY)),
    ("list_chunk", Unneeded("5000, the most there is")),
    ("memory_pool_flush_time", Unneeded(FINE)),
    ("memory_pool_use_mmap", Unneeded(FINE)),
    ("access_tier", Missing("'blobcp cp --tier', or setfattr -n user.blob.tier, sets a tier")),
    ("archive_tier_delete", Missing("nothing is deleted before what replaces it is there")),
    ("disable_checksum", Taken),
    ("encoding", Missing("names are as the service has them")),
    ("public_access", Missing("containers are made private")),
    ("directory_markers", Unneeded("mkdir makes a marker that blobfuse2 and rclone know")),
    ("no_check_container", Unneeded("containers are not asked for before each write")),
    ("no_head_object", Unneeded("what a listing says is not asked again")),
    ("delete_snapshots", Taken),
    ("description", Unneeded("it is a comment")),
];

/// Take over a remote of rclone
///
/// Settings that have no equal are named. Secrets go into the file, which only its owner may read. rclone's file may be
/// encrypted: 'rclone config show NAME | blobcp config from-rclone --rclone-config - NAME' reads that, too.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The remote, and what of it is to be mounted.
    #[arg(value_name = "REMOTE[:CONTAINER[/DIRECTORY]]")]
    remote: String,
    /// Configuration file of rclone, - for the standard input [default: ~/.config/rclone/rclone.conf].
    #[arg(long, value_name = "FILE")]
    rclone_config: Option<PathBuf>,
    /// Name of the mount [default: that of the remote].
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    #[command(flatten)]
    target: Target,
}

impl Arguments {
    pub(super) fn run(self) -> Result<(), Failure> {
        let path = self.rclone_config.clone().or_else(usual).ok_or_else(|| {
            Failure::new("there is no home to look for rclone's file in; name it with --rclone-config")
        })?;
        let text = if path == Path::new("-") {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).map(|_| text)
        } else {
            std::fs::read_to_string(&path)
        };
        let text = text.map_err(|error| about(&path, &error))?;
        let (remote, place) = self.remote.split_once(':').unwrap_or((&self.remote, ""));
        let wrong = |what: String| Failure::new(format!("{}: {what}", path.display()));
        let values = section(&text, remote).map_err(wrong)?;
        let name = self.name.as_deref().unwrap_or(remote);
        let (draft, findings) = convert(&values, place, name).map_err(wrong)?;
        findings.end(&draft, &self.target)
    }
}

/// `$RCLONE_CONFIG`, or the place that rclone writes to.
fn usual() -> Option<PathBuf> {
    let base = places::set("XDG_CONFIG_HOME").or_else(|| Some(places::home()?.join(".config")));
    places::set("RCLONE_CONFIG").or_else(|| Some(base?.join("rclone/rclone.conf")))
}

/// The values of a section. Errors name no values.
fn section(text: &str, name: &str) -> Result<BTreeMap<String, String>, String> {
    if text.contains("RCLONE_ENCRYPT_V0") {
        return Err("encrypted: pipe 'rclone config show' into this with --rclone-config -".into());
    }
    let (mut known, mut inside, mut found) = (Vec::new(), false, None);
    for line in text.lines().map(str::trim) {
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(section) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            inside = section == name;
            known.push(section.to_owned());
            if inside {
                found = Some(BTreeMap::new());
            }
        } else if let (true, Some(values), Some((key, value))) = (inside, &mut found, line.split_once('=')) {
            values.insert(key.trim().to_owned(), value.trim().to_owned());
        }
    }
    found.ok_or_else(|| format!("there is no remote {name}; there are: {}", known.join(", ")))
}

/// What `az ad sp create-for-rbac` prints.
#[derive(Deserialize)]
struct Principal {
    #[serde(rename = "appId")]
    app: String,
    password: String,
    tenant: String,
}

fn convert(values: &BTreeMap<String, String>, place: &str, name: &str) -> Result<(Draft, Findings), String> {
    let of = |key: &str| values.get(key).filter(|value| !value.is_empty()).cloned();
    let is_on = |key: &str| of(key).is_some_and(|value| value.eq_ignore_ascii_case("true"));
    match of("type").as_deref() {
        Some("azureblob") => {}
        other => {
            let what = other.unwrap_or("no type");
            return Err(format!("[{name}] is of type {what}; only azureblob can be taken over"));
        }
    }
    let mut findings = Findings::default();
    for (key, value) in values {
        // Nothing is lost by a setting that is empty or off.
        if !value.is_empty() && !value.eq_ignore_ascii_case("false") {
            findings.note(SETTINGS, key);
        }
    }
    let mut source_inside = place.trim_matches('/').to_owned();
    let mut table = match (of("sas_url"), of("connection_string"), is_on("use_emulator")) {
        (Some(url), ..) => of_sas_url(&url, &mut source_inside)?,
        (None, Some(text), _) => of_connection_string(&text)?,
        (None, None, true) => {
            let mut table = Table::new("devstoreaccount1");
            table.set("connection_string", "UseDevelopmentStorage=true");
            table
        }
        (None, None, false) => {
            Table::new(of("account").ok_or("account is missing; rclone may have it from its environment")?)
        }
    };
    if let Some(endpoint) = of("endpoint") {
        let endpoint = if endpoint.contains("://") { endpoint } else { format!("https://{endpoint}") };
        table.set("endpoint", endpoint.trim_end_matches('/'));
    }
    if !["sas", "connection_string"].iter().any(|key| table.has(key)) {
        credential(&of, &is_on, &mut table)?;
    }
    let mut mount = Table::new(name);
    let source = format!("{}/{source_inside}", table.name);
    mount.set("sources", vec![source.trim_end_matches('/').to_owned()]);
    match of("delete_snapshots").as_deref() {
        Some("include") => mount.set("delete-snapshots", true),
        Some("only") => findings.missing("delete_snapshots", "only: 'rm -r .snapshots/FILE' deletes those of a file"),
        _ => {}
    }
    if values.contains_key("disable_checksum") {
        mount.set("content-md5", !is_on("disable_checksum"));
    }
    Ok((Draft { accounts: vec![table], mount: Some(mount) }, findings))
}

/// In the order in which rclone looks.
fn credential(
    of: &impl Fn(&str) -> Option<String>,
    is_on: &impl Fn(&str) -> bool,
    table: &mut Table,
) -> Result<(), String> {
    if let Some(key) = of("key") {
        table.set("key", key);
    } else if let (Some(client), Some(secret)) = (of("client_id"), of("client_secret")) {
        table.set("auth", "client-secret");
        table.set("tenant_id", of("tenant").ok_or("tenant is missing beside client_id and client_secret")?);
        table.set("client_id", client);
        table.set("client_secret", secret);
    } else if let Some(file) = of("service_principal_file") {
        let text = std::fs::read_to_string(&file).map_err(|error| format!("service_principal_file {file}: {error}"))?;
        let wrong = |_| format!("service_principal_file {file}: appId, password and tenant are expected in it");
        let Principal { app, password, tenant } = serde_json::from_str(&text).map_err(wrong)?;
        table.set("auth", "client-secret");
        table.set("tenant_id", tenant);
        table.set("client_id", app);
        table.set("client_secret", password);
    } else if is_on("use_msi") {
        table.set("auth", "managed-identity");
        if let Some(client) = of("msi_client_id") {
            table.set("client_id", client);
        }
    } else if is_on("use_az") {
        table.set("auth", "cli");
        if let Some(tenant) = of("tenant") {
            table.set("tenant_id", tenant);
        }
    }
    Ok(())
}

/// A URL with a SAS of an account or of a container, which is mounted then.
fn of_sas_url(url: &str, inside: &mut String) -> Result<Table, String> {
    let url = Url::parse(url).map_err(|_| "sas_url is no URL")?;
    let host = url.host_str().ok_or("sas_url names no host")?;
    let token = url.query().ok_or("there is no SAS in sas_url")?;
    let mut path = url.path().trim_matches('/').to_owned();
    let port = url.port().map_or_else(String::new, |port| format!(":{port}"));
    let mut endpoint = format!("{}://{host}{port}", url.scheme());
    let mut account = host.split('.').next().unwrap_or_default().to_owned();
    if !host.contains(|c: char| c.is_ascii_alphabetic()) || !host.contains('.') {
        // An emulator has the account in the path.
        let (first, rest) = path.split_once('/').unwrap_or((&path, ""));
        endpoint = format!("{endpoint}/{first}");
        (account, path) = (first.to_owned(), rest.to_owned());
    }
    if inside.is_empty() {
        *inside = path;
    }
    let mut table = Table::new(account);
    table.set("endpoint", endpoint);
    table.set("sas", token);
    Ok(table)
}

fn of_connection_string(text: &str) -> Result<Table, String> {
    let name = text.split(';').find_map(|part| part.trim().strip_prefix("AccountName="));
    let emulator = text.contains("UseDevelopmentStorage=true").then_some("devstoreaccount1");
    let mut table = Table::new(name.or(emulator).ok_or("there is no AccountName in connection_string")?);
    table.set("connection_string", text);
    Ok(table)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn values(table: &Table) -> Vec<String> {
        table.values.iter().map(|(key, value)| format!("{key}={value}")).collect()
    }

    fn converted(lines: &str, place: &str) -> (Draft, Findings) {
        let text = format!("# comment\n[other]\ntype = s3\n\n[r]\ntype = azureblob\n{lines}\n");
        convert(&section(&text, "r").unwrap(), place, "r").unwrap()
    }

    #[rstest]
    #[case("account = acct\nkey = a2V5==", "", "acct", &["key=\"a2V5==\""], "acct")]
    #[case("account = acct\nkey = k\nendpoint = x.example", "c/d/", "acct", &["endpoint=\"https://x.example\"", "key=\"k\""], "acct/c/d")]
    #[case("sas_url = https://acct.blob.core.windows.net/c?sv=1&sig=x", "", "acct", &["endpoint=\"https://acct.blob.core.windows.net\"", "sas=\"sv=1&sig=x\""], "acct/c")]
    #[case("sas_url = http://127.0.0.1:10000/acct?sig=x", "c", "acct", &["endpoint=\"http://127.0.0.1:10000/acct\"", "sas=\"sig=x\""], "acct/c")]
    #[case("connection_string = AccountName=acct;AccountKey=k==", "", "acct", &["connection_string=\"AccountName=acct;AccountKey=k==\""], "acct")]
    #[case("account = acct\ntenant = t\nclient_id = c\nclient_secret = s", "", "acct", &["auth=\"client-secret\"", "tenant_id=\"t\"", "client_id=\"c\"", "client_secret=\"s\""], "acct")]
    #[case("account = acct\nuse_msi = true\nmsi_client_id = c", "", "acct", &["auth=\"managed-identity\"", "client_id=\"c\""], "acct")]
    #[case("account = acct\nuse_az = true", "", "acct", &["auth=\"cli\""], "acct")]
    #[case("use_emulator = true", "", "devstoreaccount1", &["connection_string=\"UseDevelopmentStorage=true\""], "devstoreaccount1")]
    fn a_remote_is_taken_over(
        #[case] lines: &str,
        #[case] place: &str,
        #[case] account: &str,
        #[case] expected: &[&str],
        #[case] source: &str,
    ) {
        let (draft, findings) = converted(lines, place);
        assert_eq!(draft.accounts[0].name, account);
        assert_eq!(values(&draft.accounts[0]), expected);
        assert_eq!(values(draft.mount.as_ref().unwrap()), [format!("sources=[\"{source}\"]")]);
        assert!(format!("{findings:?}").contains("missing: [], unneeded: []"), "{findings:?}");
    }

    #[test]
    fn what_is_not_taken_is_named_and_no_secret_is() {
        let lines = "account = acct\nkey = k\naccess_tier = cool\nchunk_size = 8Mi\npassword = SeCrEt\nnew_thing = SeCrEt\n\
                     use_msi = false\nenv_auth = false\ndisable_checksum = false\ndelete_snapshots = include";
        let (draft, findings) = converted(lines, "");
        let said = format!("{findings:?}");
        for name in ["access_tier", "chunk_size", "password", "new_thing"] {
            assert!(said.contains(name), "{said}");
        }
        assert!(!said.contains("SeCrEt") && !said.contains("env_auth"), "{said}");
        let mount = values(draft.mount.as_ref().unwrap());
        assert_eq!(mount, ["sources=[\"acct\"]", "delete-snapshots=true", "content-md5=true"]);
    }

    #[test]
    fn what_cannot_be_taken_over_is_said() {
        let values = |text: &str| section(text, "r");
        assert_eq!(values("[a]\n[b]\n").unwrap_err(), "there is no remote r; there are: a, b");
        assert!(values("# Encrypted\nRCLONE_ENCRYPT_V0:\nabc").unwrap_err().starts_with("encrypted"));
        for text in ["[r]\ntype = crypt", "[r]\ntype = azureblob", "[r]\ntype = azureblob\nsas_url = SeCrEt"] {
            let error = convert(&values(text).unwrap(), "", "r").unwrap_err();
            assert!(!error.contains("SeCrEt"), "{error}");
        }
    }

    #[test]
    fn the_page_has_every_setting() {
        let page = include_str!("../../../docs/coming-from.md");
        for (name, _) in SETTINGS {
            assert!(page.contains(&format!("`{name}`")), "{name} is not on the page");
        }
    }
}
