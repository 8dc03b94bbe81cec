//! What people type wrong: one line each, which says what is wrong, where, and what to do next.

use super::*;

/// A mistake: the command line, the exit status, and the whole of what is said. `HOME` and `ORIGIN` stand for the home and the
/// service, `ID` for a request's id, `NOW` for the time.
type Mistake = (&'static str, i32, &'static str);

/// On a mount of both accounts at `m`.
const OF_COPIES: &[Mistake] = &[
    ("cp nowhere m/accountone/box/", 1, "cp: nowhere: No such file or directory"),
    (
        "cp m/accountone/box/none.txt m/accounttwo/backup/",
        1,
        "cp: m/accountone/box/none.txt: No such file or directory",
    ),
    (
        "cp http://ORIGIN/accountone/box/none.txt m/accounttwo/backup/u1",
        1,
        "cp: http://ORIGIN/accountone/box/none.txt: No such file or directory: GetBlobProperties accountone/box/none.txt: 404 BlobNotFound [request id ID]",
    ),
    (
        "cp http://ORIGIN/accountone/nobox/u1 m/accounttwo/backup/u1",
        1,
        "cp: http://ORIGIN/accountone/nobox/u1: No such file or directory: GetBlobProperties accountone/nobox/u1: 404 ContainerNotFound [request id ID]",
    ),
    (
        "cp http://ORIGIN/stranger/box/u1 m/accounttwo/backup/u1",
        1,
        "cp: http://ORIGIN/stranger/box/u1: No such file or directory: PutBlobFromURL accounttwo/backup/u1: 404 CannotVerifyCopySource The specified resource does not exist. (copy source: 404 ResourceNotFound) [request id ID]; what is not public needs a SAS in its URL that allows to read it (sp=r)",
    ),
    (
        "cp http://ORIGIN/accountone/box/hello.txt nowhere/u1",
        1,
        "cp: nowhere/u1: not on a mount of blobcp, and the service copies a URL to nowhere else: http://ORIGIN/accountone/box/hello.txt",
    ),
    (
        "cp http://ORIGIN/accountone/box m/accounttwo/backup/",
        1,
        "cp: http://ORIGIN/accountone/box: Permission denied: PutBlobFromURL accounttwo/backup/box: 401 CannotVerifyCopySource Could not verify the copy source within the specified time. (copy source: 401 NoAuthenticationInformation) [request id ID]; what is not public needs a SAS in its URL that allows to read it (sp=r)",
    ),
    (
        "cp --tier Lukewarm m/accountone/box/hello.txt m/accountone/box/u2",
        1,
        "cp: m/accountone/box/u2: Invalid argument: Lukewarm is no access tier: CopyBlob accountone/box/u2: 400 InvalidHeaderValue The value for one of the HTTP headers is not in the correct format. (x-ms-access-tier) [request id ID]; there are Hot, Cool, Cold and Archive, and P4 to P80 of page blobs",
    ),
    (
        "cp --meta a m/accountone/box/hello.txt m/accountone/box/u2",
        2,
        "cp: invalid value 'a' for '--meta <NAME=VALUE>': must be NAME=VALUE, such as --meta project=apollo (see blobcp cp --help)",
    ),
    (
        "cp --meta a-b=c m/accountone/box/hello.txt m/accountone/box/u2",
        1,
        "cp: m/accountone/box/u2: Invalid argument: \"a-b=c\" is not NAME=VALUE with an identifier and printable ASCII",
    ),
    (
        "cp m/accountone/box/old.txt m/accountone/box/u2",
        1,
        "cp: m/accountone/box/old.txt: No data available: CopyBlob accountone/box/u2: 409 BlobArchived This operation is not permitted on an archived blob. [request id ID]; it is archived: --tier Hot, Cool or Cold makes a copy that can be read",
    ),
    (
        "cp --tier Cool --lease-id x m/accountone/box/hello.txt m/accountone/box/u2",
        1,
        "cp: m/accountone/box/u2: No locks available: a lease id was given, and there is no such file",
    ),
    (
        "cp m/accountone/box/hello.txt m/accountone/box/new/",
        1,
        "cp: m/accountone/box/new/: No such file or directory; blobcp mkdir -p makes one",
    ),
    ("cp m/accountone/box/hello.txt m/accountone/new/u2", 1, "cp: m/accountone/new: No such file or directory"),
    (
        "cp m/accountone/box m/accountone/other",
        1,
        "cp: m/accountone/box: is a directory; -r copies it with all that is in it",
    ),
    (
        "cp m/accountone/box/hello.txt m/accountone",
        1,
        "cp: m/accountone/hello.txt: Operation not permitted: only containers can be made here, not files",
    ),
    (
        "cp m/accountone/box/hello.txt m",
        1,
        "cp: m/hello.txt: Operation not permitted: only containers can be made here, not files",
    ),
    (
        "cp m/accountone/box/hello.txt m/accountone/box/u2.",
        1,
        "cp: \"u2.\" means another blob: the service takes a backslash for a slash, and drops dots at the end of a path segment",
    ),
    (
        "cp -T m/accountone/box/hello.txt m/accountone/box/dir",
        1,
        "cp: m/accountone/box/dir: is a directory, and m/accountone/box/hello.txt is none (-T)",
    ),
    (
        "cp m/accountone/box/hello.txt m/accountone/box/big.img m/accountone/box/u2",
        1,
        "cp: m/accountone/box/u2: No such file or directory; blobcp mkdir -p makes one",
    ),
    (
        "cp m/accountone/box/hello.txt m/accountone/box/big.img m/accountone/box/hello.txt",
        1,
        "cp: m/accountone/box/hello.txt: Not a directory",
    ),
    (
        "cp --tier Hot -r m/accountone/box/dir m/accountone/other/",
        2,
        "cp: --tier, --meta and --lease-id are for the copy of one file",
    ),
    ("cp m/accountone/box/hello.txt", 2, "cp: SRC or DST is missing (see blobcp cp --help)"),
    (
        "cp --recursiv m/accountone/box m/accountone/other",
        2,
        "cp: unexpected argument '--recursiv' found; did you mean --recursive? (see blobcp cp --help)",
    ),
    (
        "cp -u http://ORIGIN/accountone/box/hello.txt m/accountone/box/hello.txt",
        2,
        "cp: -u is for files: the time of a URL is not known",
    ),
    (
        "cp --lease-source sometimes m/accountone/box/hello.txt m/accountone/box/u2",
        2,
        "cp: invalid value 'sometimes' for '--lease-source <WHEN>' [possible values: never, pending, always] (see blobcp cp --help)",
    ),
    ("status nowhere", 1, "status: nowhere: No such file or directory"),
    ("status /etc/hostname", 1, "status: /etc/hostname: not on a mount of blobcp"),
    ("wait /etc/hostname", 1, "wait: /etc/hostname: not on a mount of blobcp"),
    ("abort m/accountone/box/hello.txt", 1, "abort: m/accountone/box/hello.txt: no copy onto it is pending"),
    (
        "snapshot m/accountone/box/dir",
        1,
        "snapshot: m/accountone/box/dir: is a directory; -r takes one of each file in it",
    ),
    ("lease break m/accountone/box/hello.txt", 1, "lease: m/accountone/box/hello.txt: it is not leased"),
    (
        "umount m/accountone/box",
        1,
        "umount: m/accountone/box: not a mount point, but in the mount at HOME/m: blobcp umount HOME/m",
    ),
    ("umount nowhere", 1, "umount: nowhere: No such file or directory"),
    ("umount /proc", 1, "umount: /proc: a mount of proc, not of blobcp: umount /proc"),
    ("umount .", 1, "umount: .: not a mount point of blobcp; blobcp mount --list shows those that there are"),
    ("mount accountone m", 1, "mount: HOME/m: accountone,accounttwo is mounted there already"),
];

/// Of somebody who has a connection string of the first account.
const OF_MOUNTS: &[Mistake] = &[
    ("unmount m", 2, "unrecognized subcommand 'unmount'; did you mean umount? (see blobcp --help)"),
    ("copy a b", 2, "unrecognized subcommand 'copy'; did you mean cp? (see blobcp --help)"),
    ("mont accountone m", 2, "unrecognized subcommand 'mont'; did you mean mount? (see blobcp --help)"),
    (
        "mount --readonly accountone m",
        2,
        "mount: unexpected argument '--readonly' found; did you mean --read-only? (see blobcp mount --help)",
    ),
    (
        "mount --uid nosuchuser accountone m",
        2,
        "mount: invalid value 'nosuchuser' for '--uid <USER>': this machine knows no user of that name, and it is no number (see blobcp mount --help)",
    ),
    (
        "mount -o umask=022 accountone m",
        2,
        "mount: -o umask: there is no such option; file_mode=644,dir_mode=755 says the same",
    ),
    ("mount -o readonly accountone m", 2, "mount: -o readonly: there is no such option; did you mean ro?"),
    ("mount -o atr_ttl=1s accountone m", 2, "mount: -o atr_ttl: there is no such option; did you mean attr_ttl?"),
    ("mount -o attr_ttl=soon accountone m", 2, "mount: -o attr_ttl=soon: must be a time such as 500ms, 1s or 2m"),
    (
        "mount accountone nowhere",
        1,
        "mount: nowhere: No such file or directory: the mount point has to be there (mkdir -p nowhere)",
    ),
    (
        "mount acountone m",
        1,
        "mount: account acountone: no credential (AZURE_STORAGE_CONNECTION_STRING is for accountone; did you mean accountone?): set AZURE_STORAGE_ACCOUNT and AZURE_STORAGE_KEY, or write [account.acountone] in HOME/.config/blobcp/config.toml, or say --auth",
    ),
    (
        "mount accounttwo m",
        1,
        "mount: account accounttwo: no credential (AZURE_STORAGE_CONNECTION_STRING is for accountone): set AZURE_STORAGE_ACCOUNT and AZURE_STORAGE_KEY, or write [account.accounttwo] in HOME/.config/blobcp/config.toml, or say --auth",
    ),
    ("mount accountone accountone m", 1, "mount: accountone is named twice"),
    (
        "mount accountone/box/dir accounttwo m",
        1,
        "mount: accountone/box/dir: a directory in a container can only be mounted alone, not beside another SOURCE",
    ),
    (
        "mount accountone/Photos m",
        1,
        "mount: accountone/Photos: container name \"Photos\" must be 3 to 63 characters from a-z, 0-9 and single dashes, starting and ending with a letter or digit",
    ),
    (
        "mount accountone/none m",
        1,
        "mount: accountone/none: there is no such container (404 ContainerNotFound, request id ID)",
    ),
    ("mount accountone", 2, "mount: SOURCE or MOUNTPOINT is missing (see blobcp mount --help)"),
    (
        "mount az://box/dir m/none",
        1,
        "mount: m/none: No such file or directory: the mount point has to be there (mkdir -p m/none)",
    ),
    (
        "mount https://ORIGIN/accountone m",
        1,
        "mount: https://ORIGIN/accountone: cannot reach https://ORIGIN/accountone: what answers there does not speak TLS; should its URL begin with http://?",
    ),
    (
        "mount http://ORIGIN/accountone?sv=2025-11-05&ss=b&srt=sco&sp=rl&se=2024-01-02T00:00:00Z&sig=c2VjcmV0 m",
        1,
        "mount: http://ORIGIN/accountone: the SAS ended at 2024-01-02T00:00:00Z, and it is NOW: another one is needed (403 AuthenticationFailed, request id ID)",
    ),
    (
        "mount http://ORIGIN/accountone?sv=2025-11-05&ss=b&srt=sco&sp=rl&st=2099-01-01&se=2099-01-02T00:00:00Z&sig=c2VjcmV0 m",
        1,
        "mount: http://ORIGIN/accountone: the SAS is not valid before 2099-01-01T00:00:00Z, and it is NOW: another one is needed (403 AuthenticationFailed, request id ID)",
    ),
    (
        "mount http://ORIGIN/accountone?sv=2025-11-05&ss=b&srt=sco&sp=rl&se=2099-01-02T00:00:00Z&sig=c2VjcmV0 m",
        1,
        "mount: http://ORIGIN/accountone: the service does not accept the SAS (403 AuthenticationFailed, request id ID)",
    ),
    (
        "mount ftp://ORIGIN/accountone m",
        1,
        "mount: ftp://ORIGIN/accountone: a SOURCE is an account, ACCOUNT/CONTAINER, or a URL that begins with https://",
    ),
    (
        "mount storage.example.com/box m",
        1,
        "mount: storage.example.com/box: a host is named by a URL, which begins with https://",
    ),
    (
        "mount accountone.blob.core.windows.net/Photos m",
        1,
        "mount: https://accountone.blob.core.windows.net/Photos: container name \"Photos\" must be 3 to 63 characters from a-z, 0-9 and single dashes, starting and ending with a letter or digit",
    ),
    (
        "mount AccountName=accountone;AccountKeyy=c2VjcmV0AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==;EndpointSuffix=core.windows.net m",
        1,
        "mount: AccountName=accountone;AccountKeyy=***;EndpointSuffix=core.windows.net: a SOURCE is an account or a URL, which begins with https://",
    ),
    (
        "mount accountone/box?sv=1&sigg=c2VjcmV0 m",
        1,
        "mount: accountone/box: a SOURCE is an account or a URL, which begins with https://",
    ),
    ("mount @token m", 1, "mount: @token: a SOURCE is expected in it, an account or a URL, not a key or a token alone"),
    (
        "mount @unknown m",
        1,
        "mount: @unknown: a SOURCE is expected in it, an account that has a credential or a URL that brings one",
    ),
    (
        "mount @photos m",
        1,
        "mount: @photos: the name of the container in it must be 3 to 63 characters from a-z, 0-9 and single dashes, starting and ending with a letter or digit",
    ),
    ("mount --config none.toml accountone m", 1, "mount: none.toml: No such file or directory"),
    ("mount --log loud accountone m", 2, "mount: --log \"loud\": must be error, warn, info, debug or trace"),
    (
        "mount --log-file file/log accountone m",
        1,
        "mount: HOME/file: Not a directory: the log cannot be written there; --log-file names another place",
    ),
    (
        "mount --config relative.toml accounttwo m",
        1,
        "mount: account accounttwo: endpoint: not a URL: it has to begin with https://",
    ),
    ("mount --json accountone m", 2, "mount: --json is for --list (see blobcp mount --help)"),
    (
        "mount --allow-http=maybe accountone m",
        2,
        "mount: invalid value 'maybe' for '--allow-http[=<yes|no>]': must be yes or no, or on or off (see blobcp mount --help)",
    ),
    ("umount m", 1, "umount: m: not a mount point of blobcp; blobcp mount --list shows those that there are"),
    (
        "umount",
        2,
        "umount: the following required arguments were not provided: <MOUNTPOINT> (see blobcp umount --help)",
    ),
    ("status", 2, "status: the following required arguments were not provided: <PATH>... (see blobcp status --help)"),
    ("cp -j 0 a b", 2, "cp: invalid value '0' for '--jobs <N>': 0 is not in 1..=256 (see blobcp cp --help)"),
];

fn request_ids_out(text: &str) -> String {
    let mut parts = text.split("request id ");
    let mut clean = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find([']', ')', ',']).unwrap_or(part.len());
        clean += &format!("request id ID{}", &part[end..]);
    }
    clean
}

/// What a command said, without what differs each time.
fn clean(desk: &Desk, said: &str) -> String {
    let origin = desk.store.endpoint(ONE).replace(&format!("/{ONE}"), "");
    let said = said.replace(desk.home.path().to_str().unwrap(), "HOME");
    let said = said.replace(origin.trim_start_matches("http://"), "ORIGIN");
    let said = request_ids_out(&said);
    match said.split_once("and it is ") {
        Some((before, after)) if after.starts_with("20") => {
            format!("{before}and it is NOW{}", &after["2026-01-01T00:00:00Z".len()..])
        }
        _ => said,
    }
}

/// All that is not as it is written down, so that it can be compared at once.
fn judge(desk: &Desk, mistakes: &[Mistake], run: impl Fn(&[&str]) -> Ended) {
    let origin = desk.store.endpoint(ONE).replace(&format!("/{ONE}"), "");
    let mut wrong = String::new();
    for (line, status, says) in mistakes {
        let typed = line.replace("ORIGIN", origin.trim_start_matches("http://"));
        let ended = run(&typed.split(' ').collect::<Vec<_>>());
        let said = clean(desk, ended.err.trim_end());
        let expected = format!("blobcp: {says}");
        if (ended.status, said.as_str(), ended.out.as_str()) != (*status, expected.as_str(), "") {
            wrong +=
                &format!("(\"{line}\", {}, {:?}), {}\n", ended.status, said.trim_start_matches("blobcp: "), ended.out);
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

#[test]
fn a_copy() {
    let desk = Desk::new();
    desk.store.create_container(ONE, "private").unwrap();
    desk.mount_both();
    desk.store.put_blob(ONE, "box", "old.txt", "old".into(), "text/plain").unwrap();
    let archive = Command::new("setfattr")
        .args(["-n", "user.blob.tier", "-v", "Archive"])
        .arg(desk.m().join(ONE).join("box/old.txt"))
        .status();
    assert!(archive.unwrap().success());
    judge(&desk, OF_COPIES, |args| desk.run(args));
}

#[test]
fn a_mount() {
    let desk = Desk::new();
    fs::write(desk.path("file"), "").unwrap();
    for (name, text) in
        [("token", "SeCrEt0SeCrEt"), ("unknown", "secret0secret0secret"), ("photos", "accountone/SeCrEt")]
    {
        fs::write(desk.path(name), text).unwrap();
    }
    let relative = "[account.accounttwo]\nendpoint = 'accounttwo.blob.core.windows.net'\nkey = 'a2V5'\n";
    fs::write(desk.path("relative.toml"), relative).unwrap();
    fs::set_permissions(desk.path("relative.toml"), fs::Permissions::from_mode(0o600)).unwrap();
    judge(&desk, OF_MOUNTS, |args| desk.run(args));
    assert!(!desk.is_mounted());
}
