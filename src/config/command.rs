//! `credential_command` of an account's table: a program that prints a key or a SAS, as tools of vaults do.
//!
//! The words of the command are taken apart here and given to the program as they are. No shell has a part in it: what
//! a shell puts in place of `$NAME` or `$(…)` would be on a command line, which everybody on the machine can read. So
//! what a shell would understand is refused; who needs one writes a script. The program has no terminal, a bounded time, and a bounded number of bytes that are looked at. Its
//! environment is that of blobcp without the credentials of accounts; `AZURE_CLIENT_SECRET`, by which tools of vaults
//! sign in, is in it.

use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;
use tokio::time::timeout;

use crate::config::environment::Environment;
use crate::store::Credential;

/// Longest that it may run. A process inside a system call may wait for it.
const BOUND: Duration = Duration::from_secs(30);
/// Most bytes that it may print: a SAS has some hundred.
const MOST_PRINTED: usize = 16 << 10;
/// Most characters of its complaint that are shown.
const LONGEST_COMPLAINT: usize = 300;

/// The words of a command: separated by blanks, in quotes of either kind where they hold some. A backslash takes the
/// next character as it is.
pub(super) fn words(text: &str) -> Result<Vec<String>, &'static str> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match (character, quote) {
            (end, Some(begun)) if end == begun => quote = None,
            ('\\', None | Some('"')) => {
                let next = characters.next().ok_or("it ends with a backslash")?;
                word.get_or_insert_default().push(next);
            }
            ('\'' | '"', None) => {
                quote = Some(character);
                word.get_or_insert_default();
            }
            ('$' | '`', None | Some('"')) | ('|' | '&' | ';' | '<' | '>' | '(' | ')', None) => {
                return Err(
                    "no shell reads it: put what needs one into a script, or into single quotes what is meant as it is",
                );
            }
            (blank, None) if blank.is_whitespace() => words.extend(word.take()),
            (other, _) => word.get_or_insert_default().push(other),
        }
    }
    if quote.is_some() {
        return Err("a quote is not closed");
    }
    words.extend(word);
    match words.first().map(String::as_str) {
        None | Some("") => Err("it names no program"),
        Some(program) if program.contains('/') && !program.starts_with('/') => {
            Err("its program is named by an absolute path, or looked for in PATH")
        }
        Some(_) => Ok(words),
    }
}

/// Runs it. The error is one line, with what the program complained of and nothing of what it printed.
pub(super) async fn ask(words: &[String]) -> Result<Credential, String> {
    let program = words.first().map(String::as_str).unwrap_or_default();
    run(words, BOUND).await.map_err(|what| format!("{program}: {what}"))
}

async fn run(words: &[String], bound: Duration) -> Result<Credential, String> {
    let (program, arguments) = words.split_first().ok_or("no program")?;
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // What it starts itself ends with it, and signals from the terminal are not for it.
    command.kill_on_drop(true).process_group(0).current_dir("/");
    // A program that fetches another credential need not see these, nor what else was handed to this process.
    for name in Environment::OF_ACCOUNTS.into_iter().chain([Environment::HANDOVER]) {
        command.env_remove(name);
    }
    // The tools of vaults sign in as the identity that the environment describes. A mount has its secret no more in its
    // environment, but elsewhere.
    if let Some(secret) = Environment::secret(Environment::CLIENT_SECRET) {
        command.env(Environment::CLIENT_SECRET, secret.expose());
    }
    let mut child = command.spawn().map_err(|error| error.to_string())?;
    let mut group = Group(child.id());
    let (printed, complaint) = (child.stdout.take(), child.stderr.take());
    let ended = async { tokio::join!(read(printed), read(complaint), child.wait()) };
    let Ok((printed, complaint, status)) = timeout(bound, ended).await else {
        return Err(format!("it did not end within {} s", bound.as_secs()));
    };
    group.0 = None;
    let status = status.map_err(|error| error.to_string())?;
    let complaint = match one_line(&complaint) {
        line if line.is_empty() => line,
        line => format!(": {line}"),
    };
    if !status.success() {
        return Err(format!("{status}{complaint}"));
    }
    if printed.len() > MOST_PRINTED {
        return Err(format!("it printed more than {MOST_PRINTED} bytes"));
    }
    let found = std::str::from_utf8(&printed).ok().and_then(Credential::printed);
    found.ok_or_else(|| format!("it printed neither a key nor a SAS{complaint}"))
}

/// What comes from a pipe, to its end; beyond what is looked at it is thrown away.
async fn read(pipe: Option<impl AsyncRead + Unpin>) -> Vec<u8> {
    let Some(mut pipe) = pipe else { return Vec::new() };
    let mut kept = Vec::new();
    let mut part = [0; 4096];
    while let Ok(count @ 1..) = pipe.read(&mut part).await {
        let room = (MOST_PRINTED + 1).saturating_sub(kept.len());
        kept.extend_from_slice(&part[..count.min(room)]);
    }
    kept
}

/// A complaint in one line, without what looks like a signature.
fn one_line(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let shown = |word| if str::contains(word, "sig=") { "***" } else { word };
    let line = text.split_whitespace().map(shown).collect::<Vec<_>>().join(" ");
    line.chars().take(LONGEST_COMPLAINT).filter(|character| !character.is_control()).collect()
}

/// The processes of a command that has not ended: they are killed when nobody waits any more.
struct Group(Option<u32>);

impl Drop for Group {
    fn drop(&mut self) {
        let group = self.0.and_then(|id| rustix::process::Pid::from_raw(i32::try_from(id).ok()?));
        if let Some(group) = group {
            // It may have ended at this moment.
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn sh(script: &str) -> Vec<String> {
        ["sh", "-c", script].map(str::to_owned).to_vec()
    }

    #[rstest]
    #[case("vault read -field=sas  secret/a", &["vault", "read", "-field=sas", "secret/a"])]
    #[case(r#"pass "my account/sas" 'it is $5' a\ b """#, &["pass", "my account/sas", "it is $5", "a b", ""])]
    #[case(r#"a "say \"x\"" 'b\'"#, &["a", r#"say "x""#, r"b\"])]
    fn a_command_is_taken_apart_into_words(#[case] text: &str, #[case] expected: &[&str]) {
        assert_eq!(words(text).unwrap(), expected);
    }

    #[rstest]
    #[case("vault read $SECRET")]
    #[case(r#"vault read "$SECRET""#)]
    #[case("echo `cat key`")]
    #[case("cat key | head -1")]
    #[case("cat key; true")]
    #[case("cat < key")]
    #[case("pass 'one")]
    #[case("pass \\")]
    #[case("  ")]
    #[case("''")]
    #[case("./print")]
    fn what_only_a_shell_understands_is_refused(#[case] text: &str) {
        assert!(words(text).is_err(), "{text}");
    }

    #[tokio::test]
    async fn what_it_prints_is_the_credential() {
        let found = ask(&sh("echo warning >&2; echo 'sv=1&sig=x'")).await.unwrap();
        assert!(matches!(found, Credential::Sas(token) if token.expose() == "sv=1&sig=x"));
        assert!(matches!(ask(&sh("printf c2VjcmV0")).await.unwrap(), Credential::SharedKey(_)));
    }

    #[rstest]
    #[case(
        "echo 'the vault is' >&2; echo sealed 'https://h?sig=SeCrEt' >&2; exit 3",
        "exit status: 3: the vault is sealed ***"
    )]
    #[case("echo no SeCrEt here", "it printed neither a key nor a SAS")]
    #[case("echo odd >&2", "it printed neither a key nor a SAS: odd")]
    #[case("head -c 20000 /dev/zero", "it printed more than 16384 bytes")]
    #[case("head -c 1000000 /dev/zero >&2; exit 1", "exit status: 1")]
    #[tokio::test]
    async fn an_error_says_what_the_program_complained_of(#[case] script: &str, #[case] expected: &str) {
        let error = ask(&sh(script)).await.unwrap_err();
        assert_eq!(error, format!("sh: {expected}"));
    }

    #[tokio::test]
    async fn it_may_not_run_for_ever_and_nothing_of_it_is_left() {
        let dir = tempfile::tempdir().unwrap();
        let pid = dir.path().join("pid");
        let script = format!("sleep 1000 & echo $! > {0}.new; mv {0}.new {0}; wait", pid.display());
        let run = tokio::spawn(async move { run(&sh(&script), Duration::from_millis(1500)).await });
        assert_eq!(run.await.unwrap().unwrap_err(), "it did not end within 1 s");
        let pid = std::fs::read_to_string(&pid).unwrap();
        // A zombie, until it is reaped by whoever gets it, is over as well.
        let over = || {
            let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
            stat.is_empty() || stat.contains(") Z ")
        };
        assert!((0..1_000_000).any(|_| over()));
        assert_eq!(
            ask(&["/nowhere/at/all".to_owned()]).await.unwrap_err().split(" (os").next(),
            Some("/nowhere/at/all: No such file or directory")
        );
    }

    #[tokio::test]
    async fn it_sees_no_credentials_of_ours_and_no_terminal() {
        // `env -u` would hide what is to be seen.
        let script = "cat; test -z \"$AZURE_STORAGE_KEY$AZURE_STORAGE_SAS_TOKEN$AZURE_STORAGE_CONNECTION_STRING\" && printf c2VjcmV0";
        assert!(ask(&sh(script)).await.is_ok());
    }
}
