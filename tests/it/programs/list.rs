//! The programs whose copies are measured, in the order of the page: those that people run, then languages.
//!
//! `a` in `$S`, the current directory, becomes `$T/b`. `$W` is a directory outside of the mount that `prepare` has filled, `$P` where
//! npm has put programs. What asks how is from traces on ext4 (`strace -f`): `cfr` is copy_file_range(2).

/// Programs that npm installs for `scripts/test --long`.
pub const NPM_PROGRAMS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/programs/node_modules/.bin");

/// Not a command: this process itself.
pub const RUST: &str = "std::fs::copy";

/// From where to where a file is copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Way {
    /// Within an account.
    Within,
    /// From one account to another.
    Between,
}

/// Something that copies a file, as it is asked to.
pub struct Program {
    /// What it is called in the tables.
    pub label: &'static str,
    /// The executable that has to be there.
    pub needs: &'static str,
    /// Prints its version, as the first word.
    pub version: &'static str,
    /// Runs once, in `$W`.
    pub prepare: &'static str,
    /// Runs in the source's directory before anything is counted.
    pub before: &'static str,
    /// All of them do the same, or the row must be divided.
    pub commands: &'static [&'static str],
    /// The calls by which it copies.
    pub calls: &'static str,
    /// From where to where.
    pub ways: &'static [Way],
    /// One of those that people use most.
    pub usual: bool,
    /// Installed by `scripts/test --long` only.
    pub long: bool,
}

const fn program(
    label: &'static str,
    needs: &'static str,
    version: &'static str,
    commands: &'static [&'static str],
    calls: &'static str,
) -> Program {
    Program {
        label,
        needs,
        version,
        prepare: ":",
        before: ":",
        commands,
        calls,
        ways: &[Way::Within, Way::Between],
        usual: false,
        long: false,
    }
}

impl Program {
    const fn usual(self) -> Self {
        Self { usual: true, ..self }
    }

    const fn long(self) -> Self {
        Self { long: true, ..self }
    }

    const fn only(self, way: Way) -> Self {
        let ways = match way {
            Way::Within => &[Way::Within],
            Way::Between => &[Way::Between],
        };
        Self { ways, ..self }
    }

    const fn after(self, before: &'static str) -> Self {
        Self { before, ..self }
    }

    const fn prepared(self, prepare: &'static str) -> Self {
        Self { prepare, ..self }
    }
}

const COREUTILS: &str = "cp --version | sed -n '1s/.* //p'";
const BUSYBOX: &str = "busybox | sed -n '1s/BusyBox v//p'";
const TOYBOX: &str = "toybox --version | sed 's/toybox //'";
const UUTILS: &str = "/usr/lib/cargo/bin/coreutils/cp --version | sed 's/.* //'";
const RSYNC: &str = "rsync --version | sed -n '1s/rsync *version //p'";
const PYTHON: &str = "python3 -I --version | sed 's/.* //'";
const NODE: &str = "node --version | sed s/v//";
const PERL: &str = "perl -e 'printf \"%vd\", $^V'";
const RUBY: &str = "ruby -e 'puts RUBY_VERSION'";
const PHP: &str = "php -r 'echo PHP_VERSION;'";
const JAVA: &str = "java -version 2>&1 | sed -n '1s/.*\"\\(.*\\)\".*/\\1/p'";
const GO: &str = "go version | sed 's/.* go\\([0-9.]*\\) .*/\\1/'";
const GCC: &str = "g++ -dumpfullversion";
const DENO: &str = "$P/deno --version | sed -n '1s/deno //p'";
const BUN: &str = "$P/bun --version";
const NPM_NODE: &str = "$P/node --version | sed s/v//";

const GO_PROGRAM: &str = r#"cat > copy.go <<'END'
package main
import ("io"; "os")
func main() {
    i, e := os.Open(os.Args[2])
    if e != nil { panic(e) }
    o, e := os.Create(os.Args[3])
    if e != nil { panic(e) }
    var w io.Writer = o
    if os.Args[1] == "wrapped" { w = struct{ io.Writer }{o} }
    if _, e = io.Copy(w, i); e != nil { panic(e) }
    if e = o.Close(); e != nil { panic(e) }
}
END
HOME=$W GO111MODULE=off go build -o copy copy.go"#;

const JAVA_PROGRAM: &str = r#"cat > Copy.java <<'END'
import java.io.*;
import java.nio.channels.FileChannel;
import java.nio.file.*;
public class Copy {
    public static void main(String[] args) throws Exception {
        Path a = Path.of(args[1]), b = Path.of(args[2]);
        switch (args[0]) {
            case "copy": Files.copy(a, b); return;
            case "attributes": Files.copy(a, b, StandardCopyOption.COPY_ATTRIBUTES); return;
            case "channel":
                try (FileChannel i = FileChannel.open(a);
                        FileChannel o = FileChannel.open(b, StandardOpenOption.CREATE, StandardOpenOption.WRITE)) {
                    for (long at = 0; at < i.size();) at += i.transferTo(at, i.size() - at, o);
                }
                return;
            default:
                try (InputStream i = new FileInputStream(args[1]); OutputStream o = new FileOutputStream(args[2])) {
                    i.transferTo(o);
                }
        }
    }
}
END
javac Copy.java"#;

const CPP_PROGRAM: &str = r#"cat > copy.cpp <<'END'
#include <filesystem>
#include <fstream>
int main(int n, char** args) {
    if (n == 3) std::filesystem::copy_file(args[1], args[2]);
    else std::ofstream(args[2]) << std::ifstream(args[1]).rdbuf();
}
END
g++ -std=c++17 -o copy copy.cpp"#;

const BOOST_PROGRAM: &str = r#"cat > copy.cpp <<'END'
#include <boost/filesystem.hpp>
int main(int, char** args) { boost::filesystem::copy_file(args[1], args[2]); }
END
g++ -o copy copy.cpp -lboost_filesystem -lboost_system"#;

const DENO_WRITES: &str = r#"cat > write.js <<'END'
const i = await Deno.open(Deno.args[0]);
const o = await Deno.open(Deno.args[1], { write: true, create: true, truncate: true });
const part = new Uint8Array(65536);
for (let n; (n = await i.read(part)) !== null;) {
    for (let at = 0; at < n;) at += await o.write(part.subarray(at, n));
}
o.close();
END"#;

pub const PROGRAMS: &[Program] = &[
    program("`cp`, `cp -r`", "cp", COREUTILS, &["cp a $T/b", "cp -r a $T/b"], "cfr of 8 EiB").usual(),
    program("`cp -p`", "cp", COREUTILS, &["cp -p a $T/b"], "cfr of 8 EiB, then times and mode"),
    program("`cp -a`", "cp", COREUTILS, &["cp -a a $T/b"], "the same, then each attribute").usual(),
    program("`blobcp cp`", "cp", "echo this", &["$BLOBCP cp a $T/b"], "an ioctl").usual(),
    program("`mv`", "mv", COREUTILS, &["mv a $T/b"], "rename; between accounts cfr and all that `cp -a` does").usual(),
    program("`install`", "install", COREUTILS, &["install a $T/b"], "cfr of 8 EiB").usual(),
    program("`cat a > b`", "cat", COREUTILS, &["cat a > $T/b"], "cfr of 8 EiB").usual(),
    program("`cat a1 a2 > b`", "cat", COREUTILS, &["cat a1 a2 > $T/b"], "cfr of 8 EiB, for each").usual(),
    program("`cat a \\| cat > b`", "cat", COREUTILS, &["cat a | cat > $T/b"], "read, write: 128 KiB").long(),
    program("`cat a >> b`", "cat", COREUTILS, &["cat a >> $T/b"], "cfr, refused by the kernel; read, write: 128 KiB")
        .long(),
    program(
        "`cp --reflink=never`, `cp --sparse=always`",
        "cp",
        COREUTILS,
        &["cp --reflink=never a $T/b", "cp --sparse=always a $T/b"],
        "read, write: 128 KiB",
    ),
    program("`dd`", "dd", COREUTILS, &["dd if=a of=$T/b bs=1M status=none"], "read, write: as told").usual(),
    program("`head`, `tee`", "head", COREUTILS, &["head -c 1G a > $T/b", "tee $T/b < a > /dev/null"], "read, write")
        .long(),
    program("`busybox cp`", "busybox", BUSYBOX, &["busybox cp a $T/b"], "sendfile: 16 MiB").usual(),
    program("`busybox cat`", "busybox", BUSYBOX, &["busybox cat a > $T/b"], "sendfile: 16 MiB").long(),
    program("`toybox cp`", "toybox", TOYBOX, &["toybox cp a $T/b"], "cfr of 1 GiB").long(),
    program("`toybox cat`", "toybox", TOYBOX, &["toybox cat a > $T/b"], "read, write").long(),
    program(
        "uutils `cp`",
        "/usr/lib/cargo/bin/coreutils/cp",
        UUTILS,
        &["/usr/lib/cargo/bin/coreutils/cp a $T/b"],
        "cfr of 1 GiB",
    )
    .long(),
    program("`tar c a \\| tar x`", "tar", "tar --version | sed -n '1s/.* //p'", &[TAR], "read, write: 10 KiB").usual(),
    program(
        "`tar --xattrs`",
        "tar",
        "tar --version | sed -n '1s/.* //p'",
        &[TAR_XATTRS],
        "mknod, attributes, then the same",
    ),
    program(
        "`bsdtar c a \\| bsdtar x`",
        "bsdtar",
        "bsdtar --version | cut -d' ' -f2",
        &["bsdtar -cf - a | bsdtar -xf - -C $T -s/a/b/"],
        "read, write",
    )
    .long(),
    program(
        "`rsync`, `rsync --whole-file`",
        "rsync",
        RSYNC,
        &["rsync a $T/b", "rsync --whole-file a $T/b"],
        "read, write; another name first",
    )
    .usual(),
    program("`rsync -a`", "rsync", RSYNC, &["rsync -a a $T/b"], "the same, then times and mode").long(),
    program("`rsync -aX`", "rsync", RSYNC, &["rsync -aX a $T/b"], "the same, then attributes, times and mode"),
    program("`rsync --inplace`", "rsync", RSYNC, &["rsync --inplace a $T/b"], "read, write").usual(),
    program(
        "`rclone copyto`",
        "rclone",
        "rclone version | sed -n '1s/rclone v//p'",
        &["HOME=$W rclone -q --config= copyto a $T/b"],
        "read, write; another name first",
    )
    .long(),
    program("`gio copy`", "gio", "gio version", &["gio copy a $T/b"], "splice: 1 MiB, by a pipe; then attributes")
        .long(),
    program(
        "`pv a > b`",
        "pv",
        "pv --version | sed -n '1s/pv //p'",
        &["pv -q a > $T/b"],
        "splice, refused by the kernel; read, write",
    )
    .long(),
    program(
        "`curl file://`",
        "curl",
        "curl --version | cut -d' ' -f2",
        &["curl -s file://$S/a -o $T/b"],
        "read, write",
    )
    .long(),
    program(
        "`ddrescue`",
        "ddrescue",
        "ddrescue --version | sed -n '1s/.* //p'",
        &["(cd $W; ddrescue -q $S/a $T/b)"],
        "read, write",
    )
    .long(),
    program(
        "`qemu-img convert`",
        "qemu-img",
        "qemu-img --version | sed -n '1s/.*version \\([0-9.]*\\).*/\\1/p'",
        &["qemu-img convert -f raw -O raw a $T/b"],
        "read, write: 2 MiB",
    )
    .long(),
    program(
        "`qemu-img convert -C`",
        "qemu-img",
        "qemu-img --version | sed -n '1s/.*version \\([0-9.]*\\).*/\\1/p'",
        &["qemu-img convert -C -f raw -O raw a $T/b"],
        "cfr of 2 MiB, after a write of 4 KiB",
    )
    .long(),
    program(
        "`systemd-tmpfiles`, `C` lines",
        "systemd-tmpfiles",
        "systemd-tmpfiles --version | sed -n '1s/systemd \\([0-9]*\\).*/\\1/p'",
        &["echo \"C $T/b - - - - $S/a\" > $W/copy.conf; systemd-tmpfiles --create $W/copy.conf"],
        "cfr of 8 EiB, then times and attributes",
    )
    .long(),
    program(
        "Emacs `copy-file`",
        "emacs",
        "emacs --version | sed -n '1s/.* //p'",
        &["HOME=$W emacs -Q --batch --eval \"(copy-file \\\"$S/a\\\" \\\"$T/b\\\")\""],
        "cfr of all",
    )
    .long(),
    program("Rust `std::fs::copy`", "cargo", "rustc --version | cut -d' ' -f2", &[RUST], "cfr of 1 GiB").usual(),
    program("Go `io.Copy` of files", "go", GO, &["$W/copy plain $S/a $T/b"], "cfr of 1 GiB")
        .prepared(GO_PROGRAM)
        .usual()
        .long(),
    program("Go `io.Copy` of what is no file", "go", GO, &["$W/copy wrapped $S/a $T/b"], "read, write: 32 KiB")
        .prepared(GO_PROGRAM)
        .long(),
    program("C++ `std::filesystem::copy_file`", "g++", GCC, &["$W/copy $S/a $T/b"], "sendfile of all")
        .prepared(CPP_PROGRAM)
        .long(),
    program("C++ streams", "g++", GCC, &["$W/copy $S/a $T/b x"], "read, write: 8 KiB").prepared(CPP_PROGRAM).long(),
    program(
        "Boost.Filesystem `copy_file`",
        "/usr/include/boost/filesystem.hpp",
        "sed -n 's/.*BOOST_LIB_VERSION \"\\(.*\\)\"/\\1/p' /usr/include/boost/version.hpp",
        &["$W/copy $S/a $T/b"],
        "cfr of all, then fdatasync",
    )
    .prepared(BOOST_PROGRAM)
    .long(),
    program("Java `Files.copy`", "javac", JAVA, &["java -cp $W Copy copy $S/a $T/b"], "sendfile")
        .prepared(JAVA_PROGRAM)
        .usual()
        .long(),
    program(
        "Java `Files.copy`, `COPY_ATTRIBUTES`",
        "javac",
        JAVA,
        &["java -cp $W Copy attributes $S/a $T/b"],
        "the same, then attributes",
    )
    .prepared(JAVA_PROGRAM)
    .long(),
    program("Java `FileChannel.transferTo`", "javac", JAVA, &["java -cp $W Copy channel $S/a $T/b"], "sendfile")
        .prepared(JAVA_PROGRAM)
        .long(),
    program(
        "Java `InputStream.transferTo`",
        "javac",
        JAVA,
        &["java -cp $W Copy stream $S/a $T/b"],
        "read, write: 8 KiB",
    )
    .prepared(JAVA_PROGRAM)
    .long(),
    program(
        "Python `shutil.copy`",
        "python3",
        PYTHON,
        &["in_python 'shutil.copy(a, b)'"],
        "sendfile: 8 MiB, then mode",
    )
    .usual(),
    program(
        "Python `shutil.copy2`",
        "python3",
        PYTHON,
        &["in_python 'shutil.copy2(a, b)'"],
        "sendfile: 8 MiB, then times, mode and attributes",
    )
    .long(),
    program(
        "Python `shutil.copyfileobj`",
        "python3",
        PYTHON,
        &["in_python 'shutil.copyfileobj(open(a, \"rb\"), open(b, \"wb\"))'"],
        "read, write: 64 KiB",
    )
    .long(),
    program(
        "Python `os.copy_file_range`",
        "python3",
        PYTHON,
        &["in_python 'i, o = os.open(a, os.O_RDONLY), os.open(b, os.O_WRONLY | os.O_CREAT); \
            n = os.fstat(i).st_size\nwhile n: n -= os.copy_file_range(i, o, n)'"],
        "cfr of all",
    )
    .usual(),
    program(
        "Node.js `fs.copyFile`, `fs.cp`",
        "node",
        NODE,
        &[
            "(cd /; node -e 'require(\"fs\").copyFileSync(process.argv[1], process.argv[2])' $S/a $T/b)",
            "(cd /; node -e 'require(\"fs\").cpSync(process.argv[1], process.argv[2])' $S/a $T/b)",
        ],
        "cfr of all",
    )
    .usual(),
    program("Node.js streams", "node", NODE, &[NODE_STREAMS], "read, write: 64 KiB").long(),
    program("Node.js of npm, `fs.copyFile`", "$P/node", NPM_NODE, &[NPM_NODE_COPY], "cfr of all").long(),
    program("Node.js of npm, `fs.cp` of a tree", "$P/node", NPM_NODE, &[NPM_NODE_TREE], "sendfile")
        .after("mkdir tree; cp -a a tree/b")
        .long(),
    program("Deno `Deno.copyFile`", "$P/deno", DENO, &["(cd $W; $P/deno run -qA copy.js $S/a $T/b)"], "cfr of 1 GiB")
        .prepared("echo 'await Deno.copyFile(...Deno.args)' > copy.js")
        .long(),
    program(
        "Deno `file.write`",
        "$P/deno",
        DENO,
        &["(cd $W; $P/deno run -qA write.js $S/a $T/b)"],
        "read, write: 64 KiB, each by a duplicate",
    )
    .prepared(DENO_WRITES)
    .long(),
    program("Bun `fs.copyFileSync`", "$P/bun", BUN, &["(cd $W; $P/bun copy.js $S/a $T/b)"], "cfr of all")
        .prepared("echo 'require(\"fs\").copyFileSync(process.argv[2], process.argv[3])' > copy.js")
        .long(),
    program(
        "Bun `Bun.write` of a `Bun.file`",
        "$P/bun",
        BUN,
        &["(cd $W; $P/bun write.js $S/a $T/b)"],
        "fallocate, then cfr of all",
    )
    .prepared("echo 'await Bun.write(process.argv[3], Bun.file(process.argv[2]))' > write.js")
    .long(),
    program(
        "Perl `File::Copy`",
        "perl",
        PERL,
        &["perl -MFile::Copy -e 'copy($ARGV[0], $ARGV[1]) or die' a $T/b"],
        "read, write: 2 MiB",
    )
    .usual(),
    program(
        "Ruby `FileUtils.cp`",
        "ruby",
        RUBY,
        &["ruby -rfileutils -e 'FileUtils.cp(*ARGV)' $S/a $T/b"],
        "cfr of all",
    )
    .usual()
    .long(),
    program("Ruby `IO.copy_stream`", "ruby", RUBY, &["ruby -e 'IO.copy_stream(*ARGV)' $S/a $T/b"], "cfr of all").long(),
    program("PHP `copy` within an account", "php", PHP, &[PHP_COPY], "cfr of 8 EiB, once; then read, write: 8 KiB")
        .only(Way::Within)
        .long(),
    program("PHP `copy` between accounts", "php", PHP, &[PHP_COPY], "the same; the first answer is a short one")
        .only(Way::Between)
        .long(),
    program(
        "Tcl `file copy`",
        "tclsh",
        "echo 'puts [info patchlevel]' | tclsh",
        &["echo \"file copy $S/a $T/b\" | tclsh"],
        "read, write",
    )
    .long(),
];

const PHP_COPY: &str = "php -r 'copy($argv[1], $argv[2]);' $S/a $T/b";
const TAR: &str = "tar cf - a | tar xf - -C $T --transform s/a/b/";
const TAR_XATTRS: &str =
    "tar --xattrs --xattrs-include='*' -cf - a | tar --xattrs --xattrs-include='*' -xf - -C $T --transform s/a/b/";
const NODE_STREAMS: &str = "(cd /; node -e 'const { createReadStream: r, createWriteStream: w } = require(\"fs\"); \
    require(\"stream\").pipeline(r(process.argv[1]), w(process.argv[2]), e => { if (e) throw e })' $S/a $T/b)";
const NPM_NODE_COPY: &str =
    "(cd /; $P/node -e 'require(\"fs\").copyFileSync(process.argv[1], process.argv[2])' $S/a $T/b)";
const NPM_NODE_TREE: &str =
    "(cd /; $P/node -e 'require(\"fs\").cpSync(process.argv[1], process.argv[2], { recursive: true })' $S/tree $T)";
