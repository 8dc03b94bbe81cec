//! The mount against Azurite, judged by Azurite's own log of requests: what holds for the devstore holds for a server that
//! nobody here wrote.

use blobcp::error::Error;
use blobcp::fs::Account;
use blobcp::path::{BlobName, BlobPath, ContainerName};
use blobcp::store::{self, AccountConfig, BlobProperties, Client, Http, Metadata, WriteOptions};
use bytes::Bytes;

use crate::common::azurite::{ACCOUNT, Asked, Azurite, KEY, OTHER_ACCOUNT};
use crate::common::*;

const MIB: usize = 1 << 20;

/// Both accounts mounted, with a container of the test's own in each. Tests share one Azurite.
struct World {
    server: &'static Azurite,
    container: ContainerName,
    mount: Mount,
    runtime: tokio::runtime::Runtime,
    since: usize,
}

impl World {
    fn new(name: &str) -> Self {
        let server = Azurite::shared();
        let container = ContainerName::parse(name).unwrap();
        let runtime = runtime();
        let setup = Setup::default();
        let http = Http::new(setup.http.clone());
        let accounts = [ACCOUNT, OTHER_ACCOUNT].map(|account| {
            let client = client(server, account, &http);
            runtime.block_on(client.container(&container).create(&Metadata::default())).unwrap();
            Account { client, only: None }
        });
        let mount = Mount::new(setup.config(accounts.into()), &runtime);
        let mut world = Self { server, container, mount, runtime, since: 0 };
        world.forget();
        world
    }

    fn client(&self, account: &str) -> Client {
        client(self.server, account, &Http::new(store::Options::default()))
    }

    fn path(&self, name: &str) -> BlobPath {
        BlobPath::new(self.container.clone(), BlobName::parse(name).unwrap())
    }

    /// Writes a blob of the first account behind the mount's back.
    fn put(&self, name: &str, content: impl Into<Bytes>) {
        let put = async {
            let settings = store::BlobSettings::default();
            self.client(ACCOUNT)
                .blob(&self.path(name))
                .block_blob()
                .upload(content.into(), &settings, &WriteOptions::default())
                .await
        };
        self.runtime.block_on(put).unwrap();
    }

    fn properties(&self, account: &str, name: &str) -> Result<BlobProperties, Error> {
        self.runtime.block_on(self.client(account).blob(&self.path(name)).properties())
    }

    fn stored(&self, account: &str, name: &str) -> Bytes {
        self.runtime.block_on(self.client(account).blob(&self.path(name)).download(..)).unwrap().bytes
    }

    /// Runs a shell command in the container of the first account.
    fn sh(&self, command: &str) -> Ran {
        start_in(&self.mount.root().join(ACCOUNT).join(self.container.as_str()), command).wait()
    }

    fn ok(&self, command: &str) -> String {
        let ran = self.sh(command);
        assert_eq!(ran.code, Some(0), "{command}\n{}{}", ran.stdout, ran.stderr);
        ran.stdout
    }

    /// Forgets what was asked so far.
    fn forget(&mut self) {
        self.since = self.server.now();
    }

    /// What the mount has asked the first account since then.
    fn asked(&self) -> Vec<Asked> {
        self.server.asked(ACCOUNT, self.container.as_str(), self.since)
    }
}

fn client(server: &Azurite, account: &str, http: &Http) -> Client {
    let config =
        AccountConfig { endpoint: Some(server.endpoint(account)), key: Some(KEY.into()), ..Default::default() };
    Client::new(config.resolve().unwrap(), http.clone())
}

/// Requests that changed something: those that are not GET or HEAD.
fn changes(asked: &[Asked]) -> Vec<&Asked> {
    asked.iter().filter(|asked| !matches!(asked.method.as_str(), "GET" | "HEAD")).collect()
}

fn payload(asked: &[Asked]) -> u64 {
    asked.iter().map(Asked::payload).sum()
}

#[test]
fn cp_is_one_put_with_a_copy_source() {
    // Must be true 2: onto a new and onto an existing name.
    let mut world = World::new("copies");
    world.put("a", pattern(64 * MIB));
    world.put("old", "something else");
    for (name, value) in [("meta.color", "blue"), ("cache_control", "no-store"), ("content_type", "image/png")] {
        world.ok(&format!("setfattr -n user.blob.{name} -v {value} a"));
    }
    world.ok("setfattr -n user.blob.meta.shape -v round old; ls -l");
    for destination in ["new", "old"] {
        world.forget();
        world.ok(&format!("cp a {destination}"));
        let asked = world.asked();
        let [copy] = changes(&asked)[..] else { panic!("{asked:#?}") };
        assert!(copy.method == "PUT" && copy.copies && copy.status == 202, "{copy:?}");
        assert!(copy.path.ends_with(&format!("/{destination}")) && copy.sent == 0, "{copy:?}");
        assert_eq!(payload(&asked), 0, "{asked:#?}");
        assert!(asked.len() <= 5, "{asked:#?}");
        let (mut a, b) = (world.properties(ACCOUNT, "a").unwrap(), world.properties(ACCOUNT, destination).unwrap());
        assert_eq!(a.metadata.get("color"), Some("blue"));
        // The content of the source is older than what setfattr has done to it since; that of the copy is new.
        a.metadata.remove("mtime");
        assert_eq!((a.headers, a.metadata, a.size), (b.headers, b.metadata, b.size));
        assert!(world.stored(ACCOUNT, destination) == world.stored(ACCOUNT, "a"));
    }
}

#[test]
fn budget_of_a_copy_in_a_listed_directory() {
    // Design §9: lookup of the destination, one Copy Blob.
    let mut world = World::new("budget");
    world.put("a", "text");
    world.forget();
    world.ok("ls -l; cp a b");
    let asked = world.asked();
    assert_eq!(changes(&asked).len(), 1, "{asked:#?}");
    assert!(asked.len() <= 4 && payload(&asked) == 0, "{asked:#?}");
}

#[test]
fn an_empty_file_is_one_put() {
    let mut world = World::new("empty");
    world.put("a", "");
    world.forget();
    world.ok("cp a b");
    let asked = world.asked();
    let [put] = changes(&asked)[..] else { panic!("{asked:#?}") };
    assert!(put.method == "PUT" && !put.copies && put.status == 201, "{put:?}");
    assert_eq!(world.properties(ACCOUNT, "b").unwrap().size, 0);
}

#[test]
fn mv_is_a_copy_and_a_delete() {
    let mut world = World::new("moves");
    world.put("a", pattern(MIB));
    world.forget();
    world.ok("mv a b");
    let asked = world.asked();
    let [copy, delete] = changes(&asked)[..] else { panic!("{asked:#?}") };
    assert!(copy.copies && delete.method == "DELETE" && delete.path.ends_with("/a"), "{asked:#?}");
    assert_eq!(payload(&asked), 0);
    assert!(world.stored(ACCOUNT, "b") == pattern(MIB));
    assert!(world.properties(ACCOUNT, "a").unwrap_err().is_not_found());
}

#[test]
fn mv_of_a_directory_copies_all_before_it_deletes_any() {
    let mut world = World::new("mvdir");
    for i in 0..40 {
        world.put(&format!("d/{i:02}"), format!("content {i}"));
    }
    world.put("d/deep/er", "x");
    world.forget();
    world.ok("mv d e");
    let asked = world.asked();
    let changes = changes(&asked);
    let copies = changes.iter().filter(|asked| asked.copies).count();
    let deletes = changes.iter().filter(|asked| asked.method == "DELETE").count();
    assert_eq!((copies, deletes), (41, 41), "{asked:#?}");
    assert!(changes[..41].iter().all(|asked| asked.copies), "a blob was deleted before all were copied: {asked:#?}");
    assert_eq!(payload(&asked), 0);
    assert_eq!(world.ok("cat e/07 e/deep/er; test ! -e d"), "content 7x");
}

#[test]
fn an_append_sends_what_is_appended() {
    // Design §9: at most 4 requests besides lookups, k bytes: onto a blob of blocks, and onto one of a single Put Blob.
    let mut world = World::new("append");
    world.ok("head -c 20M /dev/zero > blocks");
    world.put("whole", pattern(MIB));
    for (name, size) in [("blocks", 20 * MIB), ("whole", MIB)] {
        world.forget();
        world.ok(&format!("echo more >> {name}"));
        let asked = world.asked();
        assert_eq!(payload(&asked), 5, "{asked:#?}");
        let lookups = |asked: &&Asked| asked.method == "HEAD" || asked.query.contains("comp=list&");
        assert!(asked.len() - asked.iter().filter(lookups).count() <= 4, "{asked:#?}");
        let content = world.stored(ACCOUNT, name);
        assert!(content.len() == size + 5 && content.ends_with(b"more\n"), "{name}");
    }
}

#[test]
fn changes_in_the_middle_send_what_is_new() {
    // Growing names one block of zeros more than once.
    let mut world = World::new("middle");
    let mut expected = pattern(3 * MIB);
    world.put("f", expected.clone());
    world.ok("ls -l");
    world.forget();
    world.ok("printf X | dd of=f bs=1 seek=1000000 conv=notrunc 2>&1; truncate -s -7 f; truncate -s 9M f");
    let asked = world.asked();
    assert!(payload(&asked) <= 1 + 2 * MIB as u64, "{asked:#?}");
    expected[1_000_000] = b'X';
    expected.truncate(3 * MIB - 7);
    expected.resize(9 * MIB, 0);
    assert!(world.stored(ACCOUNT, "f") == expected);
}

#[test]
fn cat_of_two_files_into_a_third() {
    let mut world = World::new("cat");
    world.put("a", pattern(3 * MIB));
    world.put("b", "the end");
    world.forget();
    world.ok("cat a b > c");
    assert_eq!(payload(&world.asked()), 0);
    let expected = [&pattern(3 * MIB)[..], b"the end"].concat();
    assert!(world.stored(ACCOUNT, "c") == expected);
}

#[test]
fn getfattr_tells_what_the_service_says() {
    let mut world = World::new("getfattr");
    world.put("a", "text");
    world.ok("cp a b");
    world.forget();
    let text = world.ok("getfattr -d b");
    assert!(text.contains("user.blob.copy.status=\"success\""), "{text}");
    assert!(
        text.contains("user.blob.copy.progress=\"4/4\"") && text.contains("user.blob.type=\"BlockBlob\""),
        "{text}"
    );
    assert!(text.contains("/getfattr/a") && !text.contains("sig="), "{text}");
    let asked = world.asked();
    assert!(changes(&asked).is_empty(), "{asked:#?}");
    let text = world.ok("getfattr -d a");
    assert!(!text.contains("copy."), "{text}");
}

#[test]
fn cp_to_the_other_account_lets_the_service_read_by_sas() {
    let mut world = World::new("across");
    world.put("a", pattern(8 * MIB));
    world.ok("setfattr -n user.blob.meta.color -v blue a");
    world.forget();
    let there = format!("../../{OTHER_ACCOUNT}/across");
    world.ok(&format!("cp a {there}/b"));
    let here = world.asked();
    let there = world.server.asked(OTHER_ACCOUNT, "across", world.since);
    let [copy] = changes(&there)[..] else { panic!("{there:#?}") };
    assert!(copy.copies && copy.status == 202, "{copy:?}");
    assert_eq!(payload(&there) + payload(&here), 0, "{there:#?}{here:#?}");
    assert!(world.stored(OTHER_ACCOUNT, "b") == pattern(8 * MIB));
    assert_eq!(world.properties(OTHER_ACCOUNT, "b").unwrap().metadata.get("color"), Some("blue"));
}

#[test]
fn what_is_written_is_read_again() {
    let mut world = World::new("data");
    // By a program: what this process has open is flushed half-way whenever another test starts one.
    let local = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(local.path(), pattern(64 * MIB)).unwrap();
    world.ok(&format!("cat {} > big", local.path().display()));
    let asked = world.asked();
    assert_eq!(payload(&asked), 64 * MIB as u64, "each byte once: {asked:#?}");
    assert!(world.stored(ACCOUNT, "big") == pattern(64 * MIB));
    // What another wrote, so that no cache knows it.
    world.put("theirs", pattern(64 * MIB));
    world.forget();
    let read = std::fs::read(world.mount.root().join(ACCOUNT).join("data/theirs")).unwrap();
    assert!(read == pattern(64 * MIB));
    assert_eq!(payload(&world.asked()), 64 * MIB as u64, "each byte once");
}

#[test]
fn a_blob_with_snapshots_is_not_removed() {
    let world = World::new("snapshots");
    world.put("a", "first");
    let snapshot = world.runtime.block_on(world.client(ACCOUNT).blob(&world.path("a")).create_snapshot()).unwrap();
    for refused in ["rm a", "mv a b"] {
        let ran = world.sh(refused);
        assert!(ran.code == Some(1) && ran.stderr.contains("busy"), "{refused}: {ran:?}");
        assert_eq!(world.stored(ACCOUNT, "a"), "first", "{refused}");
    }
    assert!(world.properties(ACCOUNT, "b").is_err());
    let (client, path) = (world.client(ACCOUNT), world.path("a"));
    assert_eq!(world.runtime.block_on(client.blob(&path).at(&snapshot).download(..)).unwrap().bytes, "first");
}

#[test]
fn snapshots_are_files_that_are_read_promoted_copied_and_removed() {
    // C6, C22, C23; X19: this server would overwrite the blob through its snapshot, so nothing like that may be asked of it.
    let mut world = World::new("past");
    world.put("a", pattern(MIB));
    let taken = world.runtime.block_on(world.client(ACCOUNT).blob(&world.path("a")).create_snapshot()).unwrap();
    let taken = format!(".snapshots/a/{}", taken.moment());
    world.put("a", "new");
    assert_eq!(world.ok("ls -A; find .snapshots -type f"), format!("a\n{taken}\n"));
    assert_eq!(world.ok(&format!("stat -c %s {taken} a")), format!("{MIB}\n3\n"));
    assert_eq!(world.ok(&format!("head -c 1000 {taken} | wc -c; cat a")), "1000\nnew");
    for refused in [format!("echo x > {taken}"), format!("cp a {taken}"), format!("mv {taken} b")] {
        assert!(world.sh(&refused).stderr.contains("Read-only file system"), "{refused}");
    }
    world.forget();
    world.ok(&format!("cp {taken} b && cp {taken} a && cp {taken} ../../{OTHER_ACCOUNT}/past/c"));
    let asked = world.asked();
    assert_eq!((changes(&asked).len(), payload(&asked)), (2, 0), "{asked:#?}");
    assert!(changes(&asked).iter().all(|asked| asked.copies && !asked.query.contains("snapshot")), "{asked:#?}");
    for (account, name) in [(ACCOUNT, "a"), (ACCOUNT, "b"), (OTHER_ACCOUNT, "c")] {
        assert!(world.stored(account, name) == pattern(MIB), "{account} {name}");
    }
    world.ok(&format!("rm {taken} && rm a"));
    assert!(world.properties(ACCOUNT, "a").is_err());
}

#[test]
fn a_server_without_versions_shows_none() {
    // X22: it takes the blob itself for each version that is asked for, also to delete it.
    let world = World::new("versions");
    world.put("a", "text");
    for command in ["cat", "rm -f", "ls"] {
        let ran = world.sh(&format!("{command} .versions/a/2026-01-01T00:00:00.0000000Z"));
        assert!(
            ran.stdout.is_empty() && (ran.stderr.contains("No such file") || command == "rm -f"),
            "{command}: {ran:?}"
        );
    }
    assert_eq!(world.ok("ls .versions"), "");
    assert_eq!(world.stored(ACCOUNT, "a"), "text");
}

#[test]
fn a_backslash_in_a_name_reaches_no_other_blob() {
    // S203: Azurite makes a slash of it as well.
    let mut world = World::new("backslash");
    for name in ["a/b", "src"] {
        world.put(name, name);
    }
    world.forget();
    // To mv that number says that it moves a directory into itself.
    let subdirectory = "to a subdirectory of itself";
    for (refused, says) in [
        (r"echo new > 'a\b'", "Invalid argument"),
        (r"echo new >> 'a\b'", "Invalid argument"),
        (r"mkdir 'a\c'", "Invalid argument"),
        (r"cp src 'a\b'", "Invalid argument"),
        (r"ln -s x 'a\c'", "Invalid argument"),
        (r"mv src 'a\b'", subdirectory),
        (r"mv a 'b\'", subdirectory),
    ] {
        let ran = world.sh(refused);
        assert!(ran.code != Some(0) && ran.stderr.contains(says), "{refused}: {ran:?}");
    }
    for missing in [r"cat 'a\b'", r"rm 'a\b'", r"mv 'a\b' x", r"cp 'a\b' x"] {
        let ran = world.sh(missing);
        assert!(ran.code != Some(0) && ran.stderr.contains("No such file"), "{missing}: {ran:?}");
    }
    assert!(changes(&world.asked()).is_empty(), "{:#?}", changes(&world.asked()));
    assert_eq!((world.stored(ACCOUNT, "a/b"), world.stored(ACCOUNT, "src")), ("a/b".into(), "src".into()));
}
