//! `blobcp devstore`, and the embedded service of `blobcp mount --dev`.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use uuid::Uuid;

use super::failure::Failure;
use super::log;
use super::signals::Signals;
use crate::config::duration;
use crate::devstore::answers::questions;
use crate::devstore::{AccountConfig, Choice, Config, ControlError, CopyRate, Devstore, WELL_KNOWN_ACCOUNT};

/// Accounts of `mount --dev`: the one that every Azure tool knows, and one to copy to.
pub(super) const ACCOUNTS: [&str; 2] = [WELL_KNOWN_ACCOUNT, "devstoreaccount2"];

/// The port that Azure's emulators use, and that `UseDevelopmentStorage=true` means.
const USUAL: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 10000);

/// Copies between accounts take as long as a fast network, so that there is something to watch.
const CROSS_ACCOUNT: CopyRate = CopyRate::BytesPerSecond(64 << 20);

/// Each request that reads the other account is slower than that, and all of them together are four times as fast.
const FROM_URL: CopyRate = CopyRate::BytesPerSecond(8 << 20);

fn more() -> String {
    format!(
        "RATE is bytes per second, such as 500KiB or 64MiB; looked-at is pending until somebody has seen it.\n\n\
         What nobody knows about the real service is answered by choice, KEY=VALUE; the first value is the default:\n\
         {}\n\
         Examples:\n  \
         blobcp devstore\n  \
         blobcp devstore --account first --account second:a2V5 \\\n      \
         --copy-cross-account 8MiB --latency 20ms",
        questions()
    )
}

/// Run the embedded Blob service for any Azure client
#[derive(clap::Args)]
#[command(after_help = more())]
pub(super) struct Arguments {
    /// Where to listen; port 0 takes any free one.
    #[arg(long, value_name = "ADDR", default_value_t = USUAL)]
    listen: SocketAddr,
    /// Let other machines in, where --listen does: whoever reaches it knows the keys of the usual accounts.
    #[arg(long)]
    insecure: bool,
    /// An account, several times for several [default: devstoreaccount1 and 2].
    #[arg(long, value_name = "NAME[:KEY]", value_parser = account)]
    account: Vec<AccountConfig>,
    /// Keep versions of all blobs.
    #[arg(long)]
    versioning: bool,
    /// Keep what is deleted for so many days: blobs, snapshots, containers, paths.
    #[arg(long, value_name = "DAYS")]
    soft_delete: Option<u32>,
    /// Give all accounts hierarchical namespaces, in which mv is one rename.
    #[arg(long)]
    hns: bool,
    /// Pace of copies within an account: immediate, looked-at or RATE.
    #[arg(long, value_name = "PACE", default_value = "immediate")]
    copy_same_account: CopyRate,
    /// Pace of copies between accounts: immediate, looked-at or RATE.
    #[arg(long, value_name = "PACE", default_value = "looked-at")]
    copy_cross_account: CopyRate,
    /// Pace of each From-URL request that reads another account: immediate or RATE.
    #[arg(long, value_name = "PACE", default_value = "immediate")]
    from_url_cross_account: CopyRate,
    /// Wait before every answer.
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = duration)]
    latency: Duration,
    /// Answer a question about the service otherwise, several times for several.
    #[arg(long = "as", value_name = "KEY=VALUE")]
    answers: Vec<Choice>,
    /// error, warn, info, debug or trace.
    #[arg(long, value_name = "LEVEL", default_value = "warn")]
    log: String,
}

fn account(text: &str) -> Result<AccountConfig, String> {
    let (name, key) = text.split_once(':').map_or((text, None), |(name, key)| (name, Some(key.to_owned())));
    if name.is_empty() {
        return Err("the name is missing".into());
    }
    Ok(AccountConfig { key, ..AccountConfig::named(name) })
}

impl Arguments {
    pub(super) fn run(self) -> Result<(), Failure> {
        if !self.listen.ip().to_canonical().is_loopback() && !self.insecure {
            let what = "would let other machines in, and keys that everybody knows open all of it";
            return Err(Failure::usage(format!("--listen {} {what}; say --insecure if that is meant", self.listen)));
        }
        log::to_stderr(Some(&self.log))?;
        let names = ACCOUNTS.map(AccountConfig::named).to_vec();
        let mut accounts = if self.account.is_empty() { names } else { self.account };
        for account in &mut accounts {
            account.versioning = self.versioning;
            account.soft_delete = self.soft_delete;
        }
        let config = Config {
            listen: self.listen,
            accounts,
            copy_same_account: self.copy_same_account,
            copy_cross_account: self.copy_cross_account,
            from_url_cross_account: self.from_url_cross_account,
            latency: self.latency,
            hns: self.hns,
            answers: self.answers.into_iter().collect(),
            ..Config::default()
        };
        let accounts: Vec<String> = config.accounts.iter().map(|account| account.name.clone()).collect();
        let runtime = tokio::runtime::Runtime::new().map_err(|error| Failure::new(error.to_string()))?;
        runtime.block_on(async {
            let listen = config.listen;
            let store = Devstore::start(config).await.map_err(|error| cannot_start(listen, &error))?;
            let mut signals = Signals::listen()?;
            let mut text = String::new();
            for account in &accounts {
                text += &format!("{account}\n  endpoint           {}\n", store.endpoint(account));
                text += &format!("  connection string  {}\n", store.connection_string(account).unwrap_or_default());
            }
            text += &token_line(&store);
            text += "Ready. Everything is in memory and gone when this ends (Ctrl-C).\n";
            let mut out = std::io::stdout();
            // Who reads it may have gone; the service is there nevertheless.
            let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
            signals.next().await;
            store.stop().await;
            Ok(())
        })
    }
}

/// A line of its own, for programs that steer the service.
fn token_line(store: &Devstore) -> String {
    format!("token: {}\n", store.control_token())
}

fn cannot_start(listen: SocketAddr, error: &std::io::Error) -> Failure {
    Failure::new(format!("{listen}: {}", super::failure::reason(error)))
}

/// A key that only this service's own user is told, whatever the account is called.
fn with_a_key_of_its_own(name: &str) -> AccountConfig {
    let key: Vec<u8> = (0..4).flat_map(|_| Uuid::new_v4().into_bytes()).collect();
    AccountConfig { key: Some(STANDARD.encode(key)), ..AccountConfig::named(name) }
}

/// The service of `mount --dev`: on the usual port if that is free, otherwise on any. It is for who mounts alone, as the
/// mount is, so its keys are not those that everybody knows.
pub(super) async fn start_for_mount() -> Result<Devstore, Failure> {
    let accounts = ACCOUNTS.map(with_a_key_of_its_own).to_vec();
    let config = |listen| Config {
        listen,
        accounts: accounts.clone(),
        copy_cross_account: CROSS_ACCOUNT,
        from_url_cross_account: FROM_URL,
        ..Config::default()
    };
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let store = match Devstore::start(config(USUAL)).await {
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => Devstore::start(config(any)).await,
        started => started,
    };
    let store = store.map_err(|error| cannot_start(USUAL, &error))?;
    fill(&store).map_err(|error| Failure::new(format!("sample data: {error}")))?;
    Ok(store)
}

/// A few small files, one that is too large to move, and somewhere to copy to.
fn fill(store: &Devstore) -> Result<(), ControlError> {
    let [first, second] = ACCOUNTS;
    let text = |container: &str, name: &str, content: &'static str| {
        store.put_blob(first, container, name, Bytes::from_static(content.as_bytes()), "text/plain")
    };
    text(
        "documents",
        "readme.txt",
        "Every file here is a blob of the embedded service.\nTry: cp readme.txt copy.txt\n",
    )?;
    text("documents", "reports/2026/january.txt", "Snow.\n")?;
    text("documents", "reports/2026/february.txt", "More snow.\n")?;
    store.put_sparse(first, "images", "disk.img", 6 << 30)?;
    store.put_sparse(first, "images", "small.img", 256 << 20)?;
    store.create_container(second, "backup")
}

/// Commands to try, and how to reach the service from elsewhere.
pub(super) fn welcome(store: &Devstore, mountpoint: &Path) -> String {
    let [first, second] = ACCOUNTS;
    let at = mountpoint.display();
    let mut text = format!(
        "The embedded Blob service is mounted on {at}.\n\
         It is in memory: unmount, and it is gone. Try:\n\
         \n  cd {at}\n  \
         cp {first}/images/disk.img {first}/images/copy.img\n      \
         # 6 GiB, copied at once\n  \
         blobcp cp {first}/images/disk.img {second}/backup/\n      \
         # to another account: takes a while, and Ctrl-C aborts it\n  \
         blobcp status {second}/backup/disk.img\n  \
         cd - && blobcp umount {at}\n\n\
         Other Azure clients reach it with these connection strings:\n"
    );
    for account in ACCOUNTS {
        text += &format!("{}\n", store.connection_string(account).unwrap_or_default());
    }
    text += &token_line(store);
    text.push('\n');
    text
}
