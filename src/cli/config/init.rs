//! `blobcp config init`: an account, how it is asked, and a mount by a name, from flags or from answers.
//!
//! Without an account on the command line it asks. A secret that is typed is not shown. A secret on the command line
//! would be seen by everybody, so there it is named: `-`, `@FILE` or `env:NAME`, as for the sources of a mount.

use std::io::{self, BufRead, IsTerminal, Write};
use std::path::{Path, PathBuf};

use clap::ValueEnum;

use super::super::failure::{Failure, about};
use super::super::handover::OF_VARIABLE;
use super::draft::{Draft, Table, Target};
use crate::config::{Auth, Environment, split_sources};
use crate::path::AccountName;
use crate::store::{AccountConfig, Credential, Secret};

const MORE: &str = "\
SECRET is - for a line of the standard input, @FILE or env:NAME: a secret on the
command line could be read by everybody on this machine.

Examples:
  blobcp config init
  blobcp config init acct --key @key.txt
  blobcp config init acct --sas env:SAS --mount photos --source acct/photos \\
      --mountpoint /mnt/photos
  blobcp config init acct --auth managed-identity";

/// Write an account into the configuration file
///
/// Without ACCOUNT it asks for all that is needed.
#[derive(clap::Args)]
#[command(after_help = MORE)]
pub(super) struct Arguments {
    account: Option<String>,
    /// Where the account is asked, if that is not `https://ACCOUNT.blob.core.windows.net`.
    #[arg(long, value_name = "URL")]
    endpoint: Option<String>,
    /// The account's key.
    #[arg(long, value_name = "SECRET", group = "credential")]
    key: Option<String>,
    /// A SAS.
    #[arg(long, value_name = "SECRET", group = "credential")]
    sas: Option<String>,
    /// A connection string.
    #[arg(long, value_name = "SECRET", group = "credential")]
    connection_string: Option<String>,
    /// A program that prints a key or a SAS, and its arguments.
    #[arg(long, value_name = "COMMAND", group = "credential")]
    credential_command: Option<String>,
    /// client-secret, workload-identity, managed-identity, cli or anonymous.
    #[arg(long, value_name = "KIND", group = "credential", hide_possible_values = true)]
    auth: Option<Auth>,
    /// Tenant of an identity.
    #[arg(long, value_name = "ID", requires = "auth")]
    tenant_id: Option<String>,
    /// Client id of an identity.
    #[arg(long, value_name = "ID", requires = "auth")]
    client_id: Option<String>,
    /// Secret of an application.
    #[arg(long, value_name = "SECRET", requires = "auth")]
    client_secret: Option<String>,
    /// File with the token of a workload.
    #[arg(long, value_name = "FILE", requires = "auth")]
    federated_token_file: Option<String>,
    /// Name of a mount, for fstab and 'blobcp mount NAME'.
    #[arg(long, value_name = "NAME", requires = "account")]
    mount: Option<String>,
    /// What it mounts, several times for several [default: the account].
    #[arg(long, value_name = "SOURCE", requires = "mount")]
    source: Vec<String>,
    /// Where it is mounted.
    #[arg(long, value_name = "DIR", requires = "mount")]
    mountpoint: Option<PathBuf>,
    #[command(flatten)]
    target: Target,
}

impl Arguments {
    pub(super) fn run(self) -> Result<(), Failure> {
        // Before anybody has answered questions for nothing.
        self.target.existing()?;
        let draft = match &self.account {
            Some(account) => self.of_flags(account)?,
            None => Dialogue::with_user().draft()?,
        };
        println!("{}", self.target.write(&draft)?);
        println!("Try it: blobcp config check{}", self.target.flag());
        Ok(())
    }

    fn of_flags(&self, account: &str) -> Result<Draft, Failure> {
        let mut table = Table::new(named(account).map_err(Failure::usage)?);
        if let Some(endpoint) = &self.endpoint {
            table.set("endpoint", endpoint.as_str());
        }
        for (key, flag) in [("key", &self.key), ("sas", &self.sas), ("connection_string", &self.connection_string)] {
            if let Some(word) = flag {
                let wrong = |what| Failure::usage(format!("--{}: {what}", key.replace('_', "-")));
                let secret = secret(word).map_err(wrong)?;
                table.set(key, proper(key, account, &secret).map_err(wrong)?);
            }
        }
        if let Some(command) = &self.credential_command {
            table.set("credential_command", command.as_str());
        }
        if let Some(auth) = self.auth {
            table.set("auth", spelled(auth));
        }
        for (key, flag) in [
            ("tenant_id", &self.tenant_id),
            ("client_id", &self.client_id),
            ("federated_token_file", &self.federated_token_file),
        ] {
            if let Some(value) = flag {
                table.set(key, value.as_str());
            }
        }
        if let Some(word) = &self.client_secret {
            let secret = secret(word).map_err(|what| Failure::usage(format!("--client-secret: {what}")))?;
            table.set("client_secret", secret.expose());
        }
        let credentials = ["key", "sas", "connection_string", "credential_command", "auth"];
        if !credentials.iter().any(|key| table.has(key)) {
            let what =
                "say how the account is asked: --key, --sas, --connection-string, --credential-command or --auth";
            return Err(Failure::usage(what));
        }
        let mount = self.mount.as_ref().map(|name| {
            let sources: Vec<String> = self.source.iter().flat_map(|source| split_sources(source)).collect();
            let sources = if sources.is_empty() { vec![account.to_owned()] } else { sources };
            mount_table(name, sources, self.mountpoint.as_deref())
        });
        Ok(Draft { accounts: vec![table], mount: mount.transpose()? })
    }
}

fn mount_table(name: &str, sources: Vec<String>, mountpoint: Option<&Path>) -> Result<Table, Failure> {
    let mut table = Table::new(name);
    table.set("sources", sources);
    if let Some(path) = mountpoint {
        let path = std::path::absolute(path).map_err(|error| about(path, &error))?;
        table.set("mountpoint", path.to_string_lossy().into_owned());
    }
    Ok(table)
}

fn spelled(auth: Auth) -> String {
    auth.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

fn named(account: &str) -> Result<String, String> {
    AccountName::parse(account).map(|name| name.to_string()).map_err(|error| error.to_string())
}

/// A secret that is said elsewhere than on the command line.
fn secret(word: &str) -> Result<Secret, String> {
    let text = match (word, word.strip_prefix('@'), word.strip_prefix(OF_VARIABLE)) {
        ("-", ..) => {
            let mut line = String::new();
            io::stdin().read_line(&mut line).map_err(|error| error.to_string())?;
            line
        }
        (_, Some(path), _) => std::fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?,
        (_, _, Some(name)) => match Environment::secret(name) {
            Some(value) => value.expose().to_owned(),
            None => return Err(format!("there is no variable {name}")),
        },
        _ => return Err("everybody can read a command line: say -, @FILE or env:NAME".into()),
    };
    match text.lines().next().unwrap_or_default().trim() {
        "" => Err("it is empty".into()),
        line => Ok(Secret::new(line)),
    }
}

/// The secret as it is written into the file, if it can be one. The error does not show it.
fn proper(key: &str, account: &str, secret: &Secret) -> Result<String, String> {
    match key {
        "key" => match Credential::printed(secret.expose()) {
            Some(Credential::SharedKey(_)) => Ok(secret.expose().to_owned()),
            Some(_) => Err("that is a SAS, not a key".into()),
            None => Err("that is not a key: text of A-Z, a-z, 0-9, + and / is expected, with = at the end".into()),
        },
        "sas" => match Credential::printed(secret.expose()) {
            Some(Credential::Sas(token)) => Ok(token.expose().to_owned()),
            _ => Err("that is not a SAS: there is no signature in it".into()),
        },
        _ => {
            let config = AccountConfig { connection_string: Some(secret.clone()), ..AccountConfig::default() };
            let found = config.resolve().map_err(|error| error.to_string())?;
            if found.name.as_str() != account {
                return Err(format!("it is one of the account {}", found.name));
            }
            Ok(secret.expose().to_owned())
        }
    }
}

/// Questions and answers, line by line.
struct Dialogue<R> {
    input: R,
    terminal: bool,
}

impl Dialogue<io::StdinLock<'static>> {
    fn with_user() -> Self {
        Self { input: io::stdin().lock(), terminal: io::stdin().is_terminal() }
    }
}

/// The kinds of credentials that can be answered.
const KINDS: [&str; 9] = [
    "key",
    "sas",
    "connection-string",
    "command",
    "client-secret",
    "workload-identity",
    "managed-identity",
    "cli",
    "anonymous",
];

impl<R: BufRead> Dialogue<R> {
    fn draft(&mut self) -> Result<Draft, Failure> {
        let mut draft = Draft::default();
        loop {
            let question = if draft.accounts.is_empty() { "Account" } else { "Another account, or nothing" };
            let name =
                self.ask(question, if draft.accounts.is_empty() { None } else { Some("") }, |text| match text {
                    "" => Ok(String::new()),
                    name => named(name),
                })?;
            if name.is_empty() {
                break;
            }
            draft.accounts.push(self.account(&name)?);
        }
        let name =
            self.ask("A name for a mount of all of them, for fstab, or nothing", Some(""), |text| Ok(text.to_owned()))?;
        if !name.is_empty() {
            let place = self.ask("Mount point", Some(&format!("/mnt/{name}")), |text| Ok(text.to_owned()))?;
            let sources = draft.accounts.iter().map(|table| table.name.clone()).collect();
            draft.mount = Some(mount_table(&name, sources, Some(Path::new(&place)))?);
        }
        Ok(draft)
    }

    fn account(&mut self, name: &str) -> Result<Table, Failure> {
        let mut table = Table::new(name);
        let usual = format!("https://{name}.blob.core.windows.net");
        let endpoint = self.ask("Endpoint", Some(&usual), |text| {
            let url = text.starts_with("https://") || text.starts_with("http://");
            if url { Ok(text.trim_end_matches('/').to_owned()) } else { Err("a URL is expected".into()) }
        })?;
        if endpoint != usual {
            table.set("endpoint", endpoint);
        }
        let kind = self.ask(&format!("Credential ({})", KINDS.join(", ")), Some("key"), |text| {
            if KINDS.contains(&text) { Ok(text.to_owned()) } else { Err("none of these".into()) }
        })?;
        let plain = |text: &str| if text.is_empty() { Err("it is needed".into()) } else { Ok(text.to_owned()) };
        match kind.as_str() {
            "key" => table.set("key", self.secret("Key", |text| proper("key", name, text))?),
            "sas" => table.set("sas", self.secret("SAS", |text| proper("sas", name, text))?),
            "connection-string" => {
                let text = self.secret("Connection string", |text| proper("connection_string", name, text))?;
                table.set("connection_string", text);
            }
            "command" => table.set("credential_command", self.ask("Command that prints a key or a SAS", None, plain)?),
            auth => {
                table.set("auth", auth);
                if ["client-secret", "workload-identity"].contains(&auth) {
                    table.set("tenant_id", self.ask("Tenant id", None, plain)?);
                    table.set("client_id", self.ask("Client id", None, plain)?);
                }
                match auth {
                    "client-secret" => {
                        let text = self.secret("Secret", |text| Ok(text.expose().to_owned()))?;
                        table.set("client_secret", text);
                    }
                    "workload-identity" => {
                        table.set("federated_token_file", self.ask("File with the token", None, plain)?);
                    }
                    "managed-identity" => {
                        let client =
                            self.ask("Client id, if there are several", Some(""), |text| Ok(text.to_owned()))?;
                        if !client.is_empty() {
                            table.set("client_id", client);
                        }
                    }
                    _ => {}
                }
            }
        }
        Ok(table)
    }

    /// Asks until the answer is one; who is no terminal has one try.
    fn ask(
        &mut self,
        question: &str,
        usual: Option<&str>,
        read: impl Fn(&str) -> Result<String, String>,
    ) -> Result<String, Failure> {
        self.until(question, usual, Self::line, read)
    }

    /// The same without an echo.
    fn secret(&mut self, question: &str, read: impl Fn(&Secret) -> Result<String, String>) -> Result<String, Failure> {
        let read = |text: &str| if text.is_empty() { Err("it is needed".into()) } else { read(&Secret::new(text)) };
        self.until(&format!("{question} (not shown)"), None, Self::hidden, read)
    }

    fn until(
        &mut self,
        question: &str,
        usual: Option<&str>,
        line: impl Fn(&mut Self) -> Result<String, Failure>,
        read: impl Fn(&str) -> Result<String, String>,
    ) -> Result<String, Failure> {
        loop {
            let shown = usual.filter(|usual| !usual.is_empty()).map_or_else(String::new, |usual| format!(" [{usual}]"));
            eprint!("{question}{shown}: ");
            let _ = io::stderr().flush();
            let answer = line(self)?;
            let answer = match (answer.trim(), usual) {
                ("", Some(usual)) => usual,
                ("", None) => {
                    if !self.terminal {
                        return Err(Failure::new(format!("{question}: an answer is needed; nothing was written")));
                    }
                    continue;
                }
                (answer, _) => answer,
            };
            match read(answer) {
                Ok(answer) => return Ok(answer),
                Err(what) if self.terminal => eprintln!("{what}"),
                Err(what) => return Err(Failure::new(format!("{question}: {what}; nothing was written"))),
            }
        }
    }

    fn line(&mut self) -> Result<String, Failure> {
        let mut line = String::new();
        match self.input.read_line(&mut line) {
            Ok(0) => Err(Failure::new("the answers end too early; nothing was written")),
            Ok(_) => Ok(line),
            Err(error) => Err(about("standard input", &error)),
        }
    }

    fn hidden(&mut self) -> Result<String, Failure> {
        if !self.terminal {
            return self.line();
        }
        console::Term::stderr().read_secure_line().map_err(|error| about("terminal", &error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_that_are_none_are_told_without_them() {
        for (key, text) in [
            ("key", "not a key!"),
            ("key", "sv=1&sig=SeCrEt"),
            ("sas", "a2V5"),
            ("sas", "sv=1&sp=SeCrEt"),
            ("connection_string", "AccountName=acct;AccountKee=SeCrEt"),
            ("connection_string", "AccountName=other;AccountKey=a2V5"),
        ] {
            let error = proper(key, "acct", &Secret::new(text)).unwrap_err();
            assert!(!error.contains("SeCrEt"), "{key}: {error}");
        }
        assert_eq!(proper("sas", "acct", &Secret::new("https://h/c?sv=1&sig=x")).unwrap(), "sv=1&sig=x");
        assert!(secret("a2V5").unwrap_err().contains("everybody can read"));
    }
}
