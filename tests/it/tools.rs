//! Ordinary programs on the mount do what they do on a disk, and the service has it afterwards.

use std::path::Path;

use crate::common::*;
use tempfile::TempDir;

const MIB: usize = 1 << 20;

/// A tree on the local disk: files of several sizes, modes and times, symlinks, an empty directory. Its path.
fn local_tree() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    for (name, len) in [("small", 5), ("empty", 0), ("sub/large", 9 * MIB), ("sub/deep/er/file", 1000), ("sp ace", 3)] {
        let path = root.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, pattern(len)).unwrap();
    }
    let script = "mkdir hollow; ln -s small link; ln -s ../small sub/up; ln -s /nowhere dangling
        chmod 755 small; chmod 400 sub/deep/er/file; chmod 700 sub; chmod 1777 hollow
        touch -d '2001-02-03 04:05:06.789' small; touch -d '1999-12-31 23:59:59' 'sp ace' sub/deep; touch -h -d '2005-05-05' link";
    run(root, script);
    dir
}

/// Runs a shell command on the local disk.
#[track_caller]
fn run(dir: &Path, command: &str) -> String {
    let output =
        std::process::Command::new("bash").args(["-c", command]).current_dir(dir).env("LC_ALL", "C").output().unwrap();
    assert!(output.status.success(), "{command}\n{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Type, mode, time, size and content of all there is below a directory.
const DESCRIBE: &str = "find . -mindepth 1 \\( -type d -printf '%p %y %m\\n' \\) -o -printf '%p %y %m %T@ %s %l\\n' | sort; \
     find . -type f -exec sha256sum {} + | sort -k 2";

fn show(path: &TempDir) -> String {
    path.path().display().to_string()
}

// cp, mv, install

#[test]
fn cp_a_brings_a_tree_in_whole_and_out_again() {
    let world = World::new();
    let (local, back) = (local_tree(), tempfile::tempdir().unwrap());
    let described = run(local.path(), DESCRIBE);
    world.ok(&format!("cp -a {} tree", show(&local)));
    assert_eq!(world.ok(&format!("cd tree; {DESCRIBE}")), described);
    assert_eq!(world.stored("tree/sub/large"), pattern(9 * MIB));
    assert_eq!(world.stored("tree/small").len(), 5);
    world.ok(&format!("cp -a tree {}/back", show(&back)));
    assert_eq!(run(&back.path().join("back"), DESCRIBE), described);
}

#[test]
fn cp_preserve_all_within_the_mount_copies_in_the_service() {
    let world = World::new();
    let local = local_tree();
    world.ok(&format!("cp -a {} tree", show(&local)));
    world.reset_stats();
    world.ok("cp -r --preserve=all tree copy");
    let stats = world.stats();
    // Symlinks are made anew; content does not move.
    let targets: u64 = ["small", "../small", "/nowhere"].iter().map(|target| target.len() as u64).sum();
    assert_eq!((stats.body_bytes_in, stats.body_bytes_out), (targets, targets), "{stats:?}");
    let describe = |dir: &str| world.ok(&format!("cd {dir}; {DESCRIBE}"));
    assert_eq!(describe("copy"), describe("tree"));
}

#[test]
fn mv_in_and_out_moves_content_and_attributes() {
    let world = World::new();
    let (local, back) = (local_tree(), tempfile::tempdir().unwrap());
    let described = run(local.path(), DESCRIBE);
    world.ok(&format!("mkdir in; mv {}/* in/", show(&local)));
    assert_eq!(run(local.path(), "ls -A"), "");
    assert_eq!(world.ok(&format!("cd in; {DESCRIBE}")), described);
    world.ok(&format!("mv in {}/out", show(&back)));
    assert_eq!(run(&back.path().join("out"), DESCRIBE), described);
    assert_eq!(world.ok("ls -A"), "");
    assert!(!world.is_stored("in/small"));
}

#[test]
fn install_sets_the_mode_that_it_is_told() {
    let world = World::new();
    world.put("a", "content");
    world.ok("install a b; install -m 644 a c; install -d -m 750 d/e; install -m 600 -D a f/g/h");
    assert_eq!(world.ok("stat -c '%a %n' b c d/e f/g/h"), "755 b\n644 c\n750 d/e\n600 f/g/h\n");
    for name in ["b", "c", "f/g/h"] {
        assert_eq!(world.stored(name), "content");
    }
    assert_eq!(world.properties(ONE, "b").unwrap().metadata.get("permissions"), Some("0755"));
    assert_eq!(world.properties(ONE, "c").unwrap().metadata.get("permissions"), None, "the mount's own mode");
}

// The shell

#[test]
fn cat_a_b_is_a_and_then_b() {
    let world = World::new();
    for (a, b) in [(3, 4), (MIB, 5), (5, MIB), (9 * MIB, 10 * MIB), (0, 7), (7, 0)] {
        world.put("a", pattern(a));
        world.put("b", vec![b'b'; b]);
        world.expire(&["a", "b"]);
        world.ok("cat a b > c");
        let expected = [pattern(a), vec![b'b'; b]].concat();
        assert!(world.stored("c") == expected, "{a} and {b}");
        world.ok("cat b >> c");
        assert!(world.stored("c") == [expected, vec![b'b'; b]].concat(), "{a}, {b} and {b}");
    }
}

#[test]
fn redirections_do_what_they_do_everywhere() {
    let world = World::new();
    for (command, content) in [
        ("echo one > f", "one\n"),
        ("echo two >> f", "one\ntwo\n"),
        ("exec 3> f; echo a >&3; echo b >&3; exec 3>&-", "a\nb\n"),
        ("exec 3>> f; echo c >&3; (echo d >&3); exec 3>&-", "a\nb\nc\nd\n"),
        (": > f", ""),
        ("cat > f <<END\nhere\n  document\nEND", "here\n  document\n"),
        ("cat > f <<< string", "string\n"),
        ("{ echo 1; cat /dev/null; echo 2; } > f", "1\n2\n"),
        ("(echo 3; (echo 4)) >> f 2>&1", "1\n2\n3\n4\n"),
        ("for i in 1 2 3; do echo $i; done > f", "1\n2\n3\n"),
        ("for i in 1 2 3; do echo $i >> f; done", "1\n2\n3\n1\n2\n3\n"),
        ("echo tee | tee f > /dev/null", "tee\n"),
        ("echo more | tee -a f > /dev/null", "tee\nmore\n"),
        ("seq 3 | while read i; do echo $i; done > f", "1\n2\n3\n"),
        ("printf abc | dd of=f status=none", "abc"),
        ("printf def | dd of=f oflag=append conv=notrunc status=none", "abcdef"),
        ("dd if=f of=g bs=1 status=none; cat g > f", "abcdef"),
        ("exec 3<> f; cat <&3 > g; exec 3>&-; rev g > f", "fedcba"),
        ("set -C; ! echo x > f; set +C", "fedcba"),
        ("echo new >| f", "new\n"),
        ("mapfile -t lines < f; printf '%s!' \"${lines[@]}\" > f", "new!"),
        ("sort -o f <(printf '2\\n1\\n')", "1\n2\n"),
        ("sort -r -o f f", "2\n1\n"),
        ("split -l 1 f part. && cat part.ab part.aa > f", "1\n2\n"),
        ("truncate -s 0 f", ""),
        ("yes | head -n 3 > f", "y\ny\ny\n"),
        ("nohup echo quiet > f 2>/dev/null", "quiet\n"),
    ] {
        let ran = world.sh(command);
        assert_eq!(ran.code, Some(0), "{command}: {}", ran.stderr);
        assert_eq!(world.stored("f"), content, "{command}");
        assert_eq!(world.ok("cat f"), content, "{command}");
    }
}

#[test]
fn large_pipes_arrive_whole() {
    let world = World::new();
    let local = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(local.path(), pattern(33 * MIB)).unwrap();
    let file = local.path().display();
    world.ok(&format!("cat {file} | tee t > u; dd if={file} of=d bs=4M status=none; dd if=d of=e bs=3M status=none"));
    for name in ["t", "u", "d", "e"] {
        assert!(world.stored(name) == pattern(33 * MIB), "{name}");
    }
    world.ok(&format!("gzip -c d > d.gz; gunzip -c d.gz | cmp - {file}; xxd -l 16 d > x"));
}

// tar, git

#[test]
fn tar_packs_and_unpacks_on_the_mount() {
    let world = World::new();
    let local = local_tree();
    let described = run(local.path(), DESCRIBE);
    world.ok(&format!("tar -C {} --format=posix -cf t.tar . ; mkdir u; tar -C u -xpf t.tar", show(&local)));
    assert_eq!(world.ok(&format!("cd u; {DESCRIBE}")), described);
    world.ok(&format!("tar -C u --format=posix -czf v.tgz . ; tar -df v.tgz -C {}", show(&local)));
    world.ok("mkdir w; tar -C u --format=posix -cf - . | tar -C w -xpf -");
    assert_eq!(world.ok(&format!("cd w; {DESCRIBE}")), described);
    assert_eq!(world.stored("w/sub/large"), pattern(9 * MIB));
}

#[test]
fn tar_carries_metadata_as_attributes() {
    let world = World::new();
    world.ok("echo x > a; mkdir u; python3 -c \"import os; os.setxattr('a', 'user.blob.meta.color', b'blue')\"");
    world.ok("tar --xattrs --xattrs-include='user.blob.meta.*' -cf t.tar a; tar --xattrs --xattrs-include='*' -C u -xpf t.tar");
    assert_eq!(world.properties(ONE, "u/a").unwrap().metadata.get("color"), Some("blue"));
    // All of them: what cannot be set is left alone, as the original has it anyway.
    world.ok("tar --xattrs -cf all.tar a; mkdir v; tar --xattrs --xattrs-include='*' -C v -xpf all.tar");
    assert_eq!(world.properties(ONE, "v/a").unwrap().metadata.get("color"), Some("blue"));
    assert_eq!(world.stored("v/a"), "x\n");
}

#[test]
fn git_works_on_the_mount_and_clones_from_it() {
    let world = World::new();
    let local = tempfile::tempdir().unwrap();
    let git = "export HOME=$(mktemp -d) GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b; \
               trap 'rm -rf $HOME' EXIT; git config --global safe.directory '*'; set -e;";
    world.ok(&format!(
        "{git} git init -q repo; cd repo
        for i in 1 2 3; do echo $i > f$i; mkdir -p d$i; seq 1000 > d$i/numbers; git add .; git commit -q -m \"commit $i\"; done
        test $(git log --oneline | wc -l) = 3
        git checkout -q -b side HEAD~1; echo side > side; git add side; git commit -q -m side
        git checkout -q -; git merge -q --no-edit side; git mv f1 renamed; git commit -qam moved
        test -z \"$(git status --porcelain)\"
        git fsck --strict; git gc -q; git fsck --strict; git stash list; git tag v1"
    ));
    world.ok(&format!("{git} git clone -q repo {}/clone; git -C {0}/clone fsck --strict", show(&local)));
    assert_eq!(run(&local.path().join("clone"), "ls"), "d1\nd2\nd3\nf2\nf3\nrenamed\nside\n");
    world.ok(&format!(
        "{git} git clone -q {}/clone again; git -C again fsck --strict; diff -r -x .git repo again",
        show(&local)
    ));
}

// Looking and changing

#[test]
fn find_sees_times_sizes_and_types() {
    let world = World::new();
    world.ok("mkdir d; printf 12345 > five; printf 1 > d/one; ln -s five link
         touch -d '2001-01-01' d/old; touch -d '2002-01-01' stamp; touch -d '2003-01-01' newer");
    assert_eq!(world.ok("find . -newer stamp -type f | sort"), "./d/one\n./five\n./newer\n");
    assert_eq!(world.ok("find . -size 5c -type f"), "./five\n");
    assert_eq!(world.ok("find . -type d | sort"), ".\n./d\n");
    assert_eq!(world.ok("find . -type l"), "./link\n");
    assert_eq!(world.ok("find . -empty | sort"), "./d/old\n./newer\n./stamp\n");
    assert_eq!(world.ok("find d -mtime +7000"), "d/old\n");
    world.ok("find . -name '*e*' -type f -delete; test ! -e five");
    assert!(!world.is_stored("d/one"));
}

#[test]
fn du_and_ls_tell_the_size() {
    let world = World::new();
    world.put("d/a", pattern(1000));
    world.put("d/b", pattern(3 * MIB));
    assert_eq!(world.ok("du -b --apparent-size d/a d/b"), "1000\td/a\n3145728\td/b\n");
    assert_eq!(world.ok("du -B1 d/a d/b"), "1024\td/a\n3145728\td/b\n");
    assert_eq!(world.ok("ls -s --block-size=512 d"), "total 6146\n   2 a\n6144 b\n");
    let listing = world.ok("ls -ln --time-style=+ d");
    // SAFETY: both only read the process's credentials.
    let (uid, gid) = unsafe { (libc::getuid(), libc::getgid()) };
    assert!(listing.contains(&format!("-rw-r--r-- 1 {uid} {gid} 3145728  b")), "{listing}");
}

#[test]
fn times_are_kept_to_the_nanosecond_where_other_tools_read_them() {
    let world = World::new();
    world.ok("echo x > f; touch -d '2001-02-03 04:05:06.789012345 UTC' f");
    assert_eq!(world.ok("stat -c %.9Y f"), "981173106.789012345\n");
    let mtime = world.properties(ONE, "f").unwrap().metadata.get("mtime").map(str::to_owned);
    assert_eq!(mtime.as_deref(), Some("2001-02-03T04:05:06.789012345Z"));
    // A new content has a new time.
    world.ok("echo y > f");
    assert_eq!(world.properties(ONE, "f").unwrap().metadata.get("mtime"), None);
    world.ok("touch -d 2001-01-01 f; touch f; test $(($(date +%s) - $(stat -c %Y f))) -lt 100");
    world.ok("touch -d 2001-01-01 -a f; test $(($(date +%s) - $(stat -c %Y f))) -lt 100; touch -r /etc/passwd f; ! test f -nt /etc/passwd");
    assert_eq!(world.stored("f"), "y\n");
}

#[test]
fn modes_are_kept_in_metadata_and_checked_by_the_kernel() {
    let world = World::new();
    world.ok("umask 027; echo x > f; mkdir d");
    assert_eq!(world.ok("stat -c %a f d"), "640\n750\n");
    world.ok("chmod u+x,o= f; chmod 2770 d; chmod -R g-w d");
    assert_eq!(world.ok("stat -c %a f d"), "740\n2750\n");
    assert_eq!(world.properties(ONE, "f").unwrap().metadata.get("permissions"), Some("0740"));
    world.ok("printf '#!/bin/sh\\necho ran' > script; chmod +x script; test \"$(./script)\" = ran");
    world.reset_stats();
    world.ok("chmod 740 f; chown $(id -u):$(id -g) f");
    let stats = world.stats();
    assert_eq!(stats.requests("SetBlobMetadata"), 0, "nothing changes: {stats:?}");
}

#[test]
fn editing_in_place_replaces_the_blob() {
    let world = World::new();
    world.put("f", "one\ntwo\n");
    world.ok("chmod 600 f; sed -i s/one/1/ f; sed -i.bak s/two/2/ f; perl -pi -e 's/2/zwei/' f");
    assert_eq!(world.stored("f"), "1\nzwei\n");
    assert_eq!(world.stored("f.bak"), "1\ntwo\n");
    assert_eq!(world.ok("stat -c %a f; ls -A"), "600\nf\nf.bak\n");
    world.ok("printf '1\\n3\\n' > g; diff -u f g > p; patch -s f p; cmp f g");
    assert_eq!(world.stored("f"), "1\n3\n");
}

#[test]
fn checksums_comparisons_and_searches_read_everything() {
    let world = World::new();
    let local = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(local.path(), pattern(12 * MIB)).unwrap();
    world.put("f", pattern(12 * MIB));
    let file = local.path().display();
    world.ok(&format!(
        "test $(sha256sum < f) = $(sha256sum < {file}) 2>/dev/null || cmp f {file}; sha256sum f > SUM; sha256sum -c SUM"
    ));
    world.put("text", "alpha\nbeta\n".repeat(1000));
    assert_eq!(
        world.ok("grep -c beta text; grep -rl alpha . ; wc -l < text; tail -n 1 text; head -n 1 text"),
        "1000\n./text\n2000\nbeta\nalpha\n"
    );
}

#[test]
fn a_running_log_can_be_followed() {
    let world = World::new();
    world.ok("echo first > log");
    let seen = tempfile::NamedTempFile::new().unwrap();
    let tail = world.start(&format!("exec tail -n +1 -s 0.1 -f log > {}", seen.path().display()));
    let shown = || std::fs::read_to_string(seen.path()).unwrap();
    eventually("the first line", || shown() == "first\n");
    for line in ["line 1", "line 2"] {
        let before = shown();
        world.ok(&format!("echo {line} >> log"));
        eventually("another line", || shown() != before);
    }
    assert_eq!(shown(), "first\nline 1\nline 2\n");
    drop(tail);
}

#[test]
fn python_programs_find_what_they_expect() {
    let world = World::new();
    let local = local_tree();
    world.ok(&format!(
        "python3 - <<'END'
import os, shutil, pathlib, tempfile, json, zipfile
with open('f', 'w') as f: f.write('one\\n')
with open('f', 'a') as f: f.write('two\\n'); assert f.tell() == 8
with open('f') as f: assert f.readlines() == ['one\\n', 'two\\n']
with open('f.tmp', 'w') as f: json.dump({{'a': 1}}, f); f.flush(); os.fsync(f.fileno())
os.replace('f.tmp', 'f')
assert json.load(open('f')) == {{'a': 1}}
shutil.copytree('{0}', 'tree', symlinks=True)
assert os.stat('tree/small').st_mtime_ns == os.stat('{0}/small').st_mtime_ns
shutil.copytree('tree', 'copy', symlinks=True)
shutil.move('copy', 'moved')
shutil.copy2('tree/sub/large', 'large')
shutil.make_archive('arch', 'zip', 'moved/sub/deep')
with zipfile.ZipFile('arch.zip') as z: assert z.testzip() is None; z.extractall('zip')
assert pathlib.Path('zip/er/file').read_bytes() == pathlib.Path('{0}/sub/deep/er/file').read_bytes()
shutil.rmtree('tree')
with tempfile.TemporaryFile(dir='.') as t: t.write(b'x' * 5000); t.seek(0); assert len(t.read()) == 5000
with tempfile.NamedTemporaryFile(dir='.') as t: t.write(b'x'); t.flush(); assert os.path.getsize(t.name) == 1
pathlib.Path('p/q').mkdir(parents=True); pathlib.Path('p/q/r').touch(); pathlib.Path('p/q/r').rename('p/s')
assert sorted(os.listdir('p')) == ['q', 's'] and os.path.samefile('p/s', 'p/../p/s')
assert not os.path.exists('tree') and os.path.isdir('moved/hollow') and os.readlink('moved/link') == 'small'
END",
        show(&local)
    ));
    assert_eq!(world.stored("f"), "{\"a\": 1}");
    assert_eq!(world.stored("moved/sub/large"), pattern(9 * MIB));
    assert_eq!(world.stored("large"), pattern(9 * MIB));
    assert_eq!(world.ok("ls -A"), "arch.zip\nf\nlarge\nmoved\np\nzip\n");
}
