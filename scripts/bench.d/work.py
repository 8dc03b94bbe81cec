"""The benchmarks: what a program does on a mount, and the same by plain HTTP.

Each is a class: `prepare` fills a fresh server once; `before` and `after` surround every run, off the clock; `mount` is the work
on a mount and `bare` the same bytes by plain HTTP, as blobcp would send them at best: the same part and block sizes, the same
parallelism, no lookups. `budget` is what design section 9 allows blobcp: requests by operation and bytes.
"""

import os
import random
import subprocess
import threading
import time

from place import ASYNCHRONOUS, BUILDS, CONTAINER, OTHER, Broken, rclone_remote
from wire import ACCOUNT, block_id

KIB, MIB, GIB = 1024, 1024**2, 1024**3

# blobcp's own: the size of the parts that it reads and how many at once, of the blocks that it writes and how many at once.
PART, READS = 8 * MIB, 9
BLOCK, WRITES = 8 * MIB, 16
# What a listing's page and a rename's parallelism are.
PAGE, RENAMES = 5000, 32
# What is not measured goes this fast.
PREPARE = 16

SMALL = 4 * KIB
# Of what programs read and write at a time.
STEP = 1 * MIB

DATA = random.Random(3).randbytes(BLOCK)


def size_name(size):
    for unit, name in ((GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")):
        if size % unit == 0:
            return f"{size // unit} {name}"
    return f"{size} B"


def run(*command, **options):
    """A command as a user would type it; its output goes nowhere."""
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False, **options
    )
    if done.returncode:
        raise Broken(f"{command[0]}: {done.stderr.decode(errors='replace').strip()[-300:]}")


def at_once(tasks):
    failed = []

    def work(task):
        try:
            task()
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(task,), daemon=True) for task in tasks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]


def read_file(path, size):
    buffer = bytearray(STEP)
    done = 0
    fd = os.open(path, os.O_RDONLY)
    try:
        while got := os.readv(fd, [buffer]):
            done += got
    finally:
        os.close(fd)
    if done != size:
        raise Broken(f"{done} bytes read instead of {size}")


def write_file(path, size):
    view = memoryview(DATA)
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    try:
        for start in range(0, size, STEP):
            length = min(STEP, size - start)
            at = start % BLOCK
            if os.write(fd, view[at : at + length]) != length:
                raise Broken("a short write")
    finally:
        os.close(fd)


class Benchmark:
    unit = "s"
    """Amount of work, for a unit that is a rate: the value is `amount` / seconds."""
    amount = None
    """rclone needs its cache on disk to be able to do it at all."""
    cached = False
    """Of the goals, those that hold for it: read, write, metadata, copy."""
    goal = None
    """The build of blobcp whose run it is; None in the run of another system."""
    program = None
    """It is of two accounts, which only blobcp mounts at once."""
    across = False
    """It tells something of blobcp only."""
    alone = False
    """Bytes a second from the service and to it, where the line is to be slow."""
    line = None
    """By how much blobcp is to be faster than the earlier build."""
    of_earlier = None

    def __init__(self, server):
        self.server = server
        self.service = server.service

    def prepare(self):
        pass

    def before(self, tag):
        pass

    def warm(self, dir):
        """What a mount does before the clock starts."""

    def after(self, tag):
        pass

    def rclone(self, dir, tag):
        """The same by rclone: on its mount, unless it has a better way."""
        return self.mount(dir, tag)

    def budget(self):
        """The most requests and payload bytes of one run; None where there is no promise."""
        return None, None

    def ideal(self):
        """Seconds that the waits alone take, as many side by side as there may be; None where that is no measure."""
        return None

    def value(self, seconds):
        return seconds if self.amount is None else self.amount / seconds

    def put(self, path, size):
        self.service.upload(f"{CONTAINER}/{path}", size, DATA, BLOCK, PREPARE)

    def put_small(self, paths):
        data = DATA[:SMALL]
        self.service.all([self.service.put(f"{CONTAINER}/{path}", data) for path in paths], PREPARE)

    def remove(self, *paths):
        for path in paths:
            self.service.one(*self.service.delete(f"{CONTAINER}/{path}"))

    def size_of(self, path):
        return int(self.service.one(*self.service.properties(f"{CONTAINER}/{path}"))[1].get("content-length", -1))


class Read(Benchmark):
    unit, goal = "MiB/s", "read"

    def __init__(self, server, size, files=1):
        super().__init__(server)
        self.size, self.files = size // files, files
        self.amount = size / MIB
        self.name = f"read {size_name(size)}" if files == 1 else f"read {files} x {size_name(self.size)} at once"

    def prepare(self):
        for number in range(self.files):
            self.put(f"file{number}", self.size)

    def mount(self, dir, tag):
        at_once([lambda n=n: read_file(f"{dir}/file{n}", self.size) for n in range(self.files)])

    def bare(self, tag):
        # The files side by side, as their readers go.
        requests = [
            self.service.get(f"{CONTAINER}/file{number}", start, min(start + PART, self.size))
            for start in range(0, self.size, PART)
            for number in range(self.files)
        ]
        if self.service.all(requests, READS * self.files, into=PART) != self.size * self.files:
            raise Broken("not all bytes were received")

    def budget(self):
        # The first comes in halves.
        parts = -(-self.size // PART) + 1
        # Lookup and open: HEAD and LIST of each name.
        return (parts + 3) * self.files, self.size * self.files


class Write(Benchmark):
    unit, goal = "MiB/s", "write"

    def __init__(self, server, size, files=1):
        super().__init__(server)
        self.size, self.files = size // files, files
        self.amount = size / MIB
        self.name = f"write {size_name(size)}" if files == 1 else f"write {files} x {size_name(self.size)} at once"

    def paths(self, tag):
        return [f"{tag}-{number}" for number in range(self.files)]

    def mount(self, dir, tag):
        at_once([lambda path=path: write_file(f"{dir}/{path}", self.size) for path in self.paths(tag)])

    def bare(self, tag):
        blocks = range(-(-self.size // BLOCK))
        view = memoryview(DATA)
        # To Azurite, blobcp states the hash of a block, which is faster there than none.
        stated = self.server.name == "azurite"
        requests = [
            self.service.put_block(f"{CONTAINER}/{path}", number, view[: min(BLOCK, self.size - number * BLOCK)], stated)
            for number in blocks
            for path in self.paths(tag)
        ]
        self.service.all(requests, WRITES)
        ids = [block_id(number) for number in blocks]
        self.service.all([self.service.put_block_list(f"{CONTAINER}/{path}", ids) for path in self.paths(tag)], self.files)

    def after(self, tag):
        for path in self.paths(tag):
            if self.size_of(path) != self.size:
                raise Broken(f"{path} is not in the service as it was written")
        self.remove(*self.paths(tag))

    def budget(self):
        return (-(-self.size // BLOCK) + 1 + 3) * self.files, self.size * self.files


class RandomRead(Benchmark):
    unit = "reads/s"

    def __init__(self, server, size, step, count):
        super().__init__(server)
        self.size, self.step, self.amount = size, step, count
        self.name = f"{count} random reads of {size_name(step)}"
        slots = random.Random(7).sample(range(size // step), count)
        self.offsets = [slot * step for slot in slots]

    def prepare(self):
        self.put("file", self.size)

    def mount(self, dir, tag):
        fd = os.open(f"{dir}/file", os.O_RDONLY)
        try:
            for offset in self.offsets:
                if len(os.pread(fd, self.step, offset)) != self.step:
                    raise Broken("a short read")
        finally:
            os.close(fd)

    def bare(self, tag):
        path = f"{CONTAINER}/file"
        self.service.all([self.service.get(path, at, at + self.step) for at in self.offsets], 1, into=self.step)


class Create(Benchmark):
    unit, goal = "files/s", "metadata"

    def __init__(self, server, count):
        super().__init__(server)
        self.count = self.amount = count
        self.name = f"create {count} x {size_name(SMALL)}"

    def before(self, tag):
        # A file that is there, so that the directory is.
        self.put_small([f"{tag}/there"])

    def paths(self, tag):
        return [f"{tag}/{number:04}" for number in range(self.count)]

    def mount(self, dir, tag):
        data = DATA[:SMALL]
        for path in self.paths(tag):
            with open(f"{dir}/{path}", "xb", buffering=0) as file:
                file.write(data)

    def bare(self, tag):
        data = DATA[:SMALL]
        self.service.all([self.service.put(f"{CONTAINER}/{path}", data) for path in self.paths(tag)], 1)

    def budget(self):
        # Lookup of each name (HEAD and LIST) and Put Blob; lookup of the directory.
        return 3 * self.count + 2, self.count * SMALL


class List(Benchmark):
    goal = "metadata"

    def __init__(self, server, count, dirs):
        super().__init__(server)
        self.count, self.dirs = count, dirs
        self.name = f"ls -lR of {count}"

    def prepare(self):
        each = self.count // self.dirs
        names = [f"dir{number % self.dirs}/file{number // self.dirs:06}" for number in range(each * self.dirs)]
        if self.server.name == "devstore":
            account = "account=devstoreaccount1"
            requests = [
                (f"POST /-/sparse?{account}&container={CONTAINER}&blob={name}&size=4096 HTTP/1.1\r\n"
                 f"{self.server.control_headers}content-length: 0\r\n\r\n".encode(), b"")
                for name in names
            ]
            self.service.all(requests, PREPARE)
        else:
            data = DATA[:1]
            self.service.all([self.service.put(f"{CONTAINER}/{name}", data) for name in names], PREPARE)

    def mount(self, dir, tag):
        run("ls", "-lR", dir)

    def bare(self, tag):
        for prefix in ("", *(f"dir{number}/" for number in range(self.dirs))):
            self.service.list_all(CONTAINER, prefix)

    def budget(self):
        pages = -(-(self.count // self.dirs) // PAGE)
        return 1 + self.dirs * pages, 0


class Copy(Benchmark):
    goal = "copy"

    def __init__(self, server, size):
        super().__init__(server)
        self.size = size
        self.name = f"cp {size_name(size)}"

    def prepare(self):
        self.put("source", self.size)
        self.put_small(["small"])

    def before(self, tag):
        # Rather than during a copy, the server gives back the memory of the run before now: some time after it is free, when more is.
        time.sleep(1.5)
        self.put("freed", 4 * BLOCK)
        self.remove("freed")

    def warm(self, dir):
        # Off the clock, because a copy takes less time than the first start of a program after another system's run.
        run("cp", f"{dir}/small", f"{dir}/warm")

    def mount(self, dir, tag):
        run("cp", f"{dir}/source", f"{dir}/{tag}")

    def bare(self, tag):
        self.service.all([self.service.copy(f"{CONTAINER}/source", f"{CONTAINER}/{tag}")], 1)

    def after(self, tag):
        if self.size_of(tag) != self.size:
            raise Broken(f"{tag} is not in the service as it was copied")
        self.remove(tag)

    def budget(self):
        return 5, 0


class CopyTree(Benchmark):
    unit, goal = "files/s", "metadata"

    def __init__(self, server, count):
        super().__init__(server)
        self.count = self.amount = count
        self.name = f"cp -r of {count} x {size_name(SMALL)}"

    def prepare(self):
        self.put_small([f"source/{number:04}" for number in range(self.count)])

    def mount(self, dir, tag):
        run("cp", "-r", f"{dir}/source", f"{dir}/{tag}")

    def bare(self, tag):
        self.service.all(
            [
                self.service.copy(f"{CONTAINER}/source/{number:04}", f"{CONTAINER}/{tag}/{number:04}")
                for number in range(self.count)
            ],
            1,
        )

    def budget(self):
        # Of each file, lookup of the new name and Copy Blob; the listing; lookups and making of the directory.
        return 3 * self.count + -(-self.count // PAGE) + 6, 0


class MoveTree(Benchmark):
    unit, goal = "files/s", "metadata"

    def __init__(self, server, count):
        super().__init__(server)
        self.count = self.amount = count
        self.name = f"mv dir of {count}"

    def before(self, tag):
        self.put_small([f"{tag}/{number:04}" for number in range(self.count)])

    def mount(self, dir, tag):
        run("mv", f"{dir}/{tag}", f"{dir}/{tag}-moved")

    def bare(self, tag):
        self.service.list_all(CONTAINER, f"{tag}/", delimiter="")
        old, new = f"{CONTAINER}/{tag}", f"{CONTAINER}/{tag}-moved"
        names = [f"{number:04}" for number in range(self.count)]
        self.service.all([self.service.copy(f"{old}/{name}", f"{new}/{name}") for name in names], RENAMES)
        self.service.all([self.service.delete(f"{old}/{name}") for name in names], RENAMES)

    def budget(self):
        # The lookups are HEAD and LIST of both names.
        return -(-self.count // PAGE) + 2 * self.count + 4, 0


class Bulk(Benchmark):
    """What rclone does without its mount: both sides run their copies in the service, as many at once."""

    unit = "files/s"
    each = 1
    """Requests for each file."""

    def __init__(self, server, count):
        super().__init__(server)
        self.count = self.amount = count

    def names(self, tag):
        return [f"{tag}/{number:05}" for number in range(self.count)]

    def rclone_does(self, verb, source, target):
        jobs = str(RENAMES)
        run(
            "target/python/bin/rclone", verb, "--config", "", "--transfers", jobs, "--checkers", jobs,
            f"bench:{CONTAINER}/{source}", f"bench:{CONTAINER}/{target}", env=dict(os.environ) | rclone_remote(self.server),
        )

    def ideal(self):
        return self.each * self.count * self.server.latency / 1000 / RENAMES or None

    def check(self, tag):
        if (found := self.service.count_all(CONTAINER, f"{tag}/")) != self.count:
            raise Broken(f"{found} files instead of {self.count}")


class BulkCopy(Bulk):
    def __init__(self, server, count):
        super().__init__(server, count)
        self.name = f"blobcp cp -r of {count}"

    def prepare(self):
        self.put_small(self.names("source"))

    def mount(self, dir, tag):
        run(self.program, "cp", "-r", "--jobs", str(RENAMES), f"{dir}/source", f"{dir}/{tag}")

    def rclone(self, dir, tag):
        self.rclone_does("copy", "source", tag)

    def bare(self, tag):
        self.service.list_all(CONTAINER, "source/", delimiter="")
        pairs = zip(self.names("source"), self.names(tag))
        self.service.all([self.service.copy(f"{CONTAINER}/{old}", f"{CONTAINER}/{new}") for old, new in pairs], RENAMES)

    def after(self, tag):
        self.check(tag)
        self.service.all([self.service.delete(f"{CONTAINER}/{name}") for name in self.names(tag)], RENAMES)

    def budget(self):
        # The listing, and the lookups of both names.
        return self.count + -(-self.count // PAGE) + 8, 0


class BulkMove(Bulk):
    each = 2

    def __init__(self, server, count):
        super().__init__(server, count)
        self.name = f"mv dir of {count}, bulk"

    def before(self, tag):
        self.put_small(self.names(tag))

    def mount(self, dir, tag):
        run("mv", f"{dir}/{tag}", f"{dir}/{tag}-moved")

    def rclone(self, dir, tag):
        self.rclone_does("move", tag, f"{tag}-moved")

    def bare(self, tag):
        self.service.list_all(CONTAINER, f"{tag}/", delimiter="")
        old, new = self.names(tag), self.names(f"{tag}-moved")
        pairs = zip(old, new)
        self.service.all([self.service.copy(f"{CONTAINER}/{a}", f"{CONTAINER}/{b}") for a, b in pairs], RENAMES)
        self.service.all([self.service.delete(f"{CONTAINER}/{name}") for name in old], RENAMES)

    def after(self, tag):
        self.check(f"{tag}-moved")
        self.service.all([self.service.delete(f"{CONTAINER}/{name}") for name in self.names(f"{tag}-moved")], RENAMES)

    def budget(self):
        return 2 * self.count + -(-self.count // PAGE) + 8, 0


class Append(Benchmark):
    goal = "metadata"
    cached = True
    LENGTH = KIB

    def __init__(self, server, size):
        super().__init__(server)
        self.size = size
        self.name = f"append {size_name(self.LENGTH)} to {size_name(size)}"

    def before(self, tag):
        self.put(tag, self.size)

    def mount(self, dir, tag):
        with open(f"{dir}/{tag}", "ab", buffering=0) as file:
            file.write(DATA[: self.LENGTH])
        # rclone writes back after the close: it is done when the service has it.
        closed = time.monotonic()
        looks = 0
        while self.size_of(tag) != self.size + self.LENGTH:
            looks += 1
            if time.monotonic() - closed > 300:
                raise Broken("what was appended does not arrive")
            time.sleep(0.02)
        return {"late": looks > 0, "closed": closed, "looks": looks + 1}

    def bare(self, tag):
        path = f"{CONTAINER}/{tag}"
        self.service.all([self.service.block_list(path)], 1)
        ids = [block_id(number) for number in range(-(-self.size // BLOCK))]
        self.service.all([self.service.put_block(path, len(ids), DATA[: self.LENGTH])], 1)
        self.service.all([self.service.put_block_list(path, [*ids, block_id(len(ids))])], 1)

    def after(self, tag):
        if self.size_of(tag) != self.size + self.LENGTH:
            raise Broken(f"{tag} is not in the service as it was appended to")
        self.remove(tag)

    def budget(self):
        # The append itself is 4; looking the name up is HEAD and LIST.
        return 4 + 2, self.LENGTH


class Across(Benchmark):
    """A large sparse blob between accounts. `known`: the mount has copied one before."""

    across = True

    def __init__(self, server, size, what, known=False, rate=ASYNCHRONOUS, of_earlier=None):
        super().__init__(server)
        self.size, self.known, self.rate, self.of_earlier = size, known, rate, of_earlier
        self.name = f"across {size_name(size)}, {what}"

    def prepare(self):
        path = f"{CONTAINER}/source"
        self.service.all([self.service.put_block(path, 0, bytes(BLOCK))], 1)
        # One block, as often as it takes.
        self.service.all([self.service.put_block_list(path, [block_id(0)] * (self.size // BLOCK))], 1)
        self.server.set_policy(copy_cross_account=self.rate)

    def copy(self, dir, name):
        run("cp", f"{dir}/{ACCOUNT}/{CONTAINER}/source", f"{dir}/{OTHER}/{CONTAINER}/{name}")

    def warm(self, dir):
        os.makedirs(f"{dir}/{OTHER}/{CONTAINER}", exist_ok=True)
        # An earlier build learns nothing from a copy.
        if self.known and self.program != BUILDS.get("earlier"):
            self.copy(dir, "warm")

    def mount(self, dir, tag):
        self.copy(dir, tag)
        if (found := os.path.getsize(f"{dir}/{OTHER}/{CONTAINER}/{tag}")) != self.size:
            raise Broken(f"{tag} has {found} bytes")


# Programs that read and write, and how they copy a file to another name.
READ_AND_WRITE = {
    "rsync": lambda a, b: ["rsync", a, b],
    "tar | tar": lambda a, b: [
        "sh", "-c", 'tar cf - -C "$1" "$2" | tar xf - -C "$1" --transform "s/.*/$3/"', "sh",
        os.path.dirname(a), os.path.basename(a), os.path.basename(b),
    ],
    "dd": lambda a, b: ["dd", f"if={a}", f"of={b}", "bs=1M"],
    "busybox cp": lambda a, b: ["busybox", "cp", a, b],
    # Up to 3.13 it does not ask for copy_file_range.
    "shutil.copy": lambda a, b: ["python3", "-I", "-c", "import shutil, sys; shutil.copy(*sys.argv[1:])", a, b],
    "gio copy": lambda a, b: ["gio", "copy", a, b],
    "uutils cp": lambda a, b: ["target/tools/bin/cp", a, b],
}
DOWN, UP = 160 * MIB, 16 * MIB


class Recognised(Benchmark):
    """A cold file copied within a mount by a program that reads and writes, over a line with ten times less up than down."""

    alone = True
    line = (DOWN, UP)

    def __init__(self, server, size, program, of_earlier):
        super().__init__(server)
        self.size, self.command, self.of_earlier = size, READ_AND_WRITE[program], of_earlier
        self.name = f"recognised {size_name(size)}, {program}"

    def block(self, number):
        # No two are alike, and none is at the place of another.
        at = number * 4099 % BLOCK
        return DATA[at:] + DATA[:at]

    def prepare(self):
        count = self.size // BLOCK
        for start in range(0, count, PREPARE):
            numbers = range(start, min(start + PREPARE, count))
            blocks = [self.service.put_block(f"{CONTAINER}/source", number, self.block(number)) for number in numbers]
            self.service.all(blocks, PREPARE)
        self.service.all([self.service.put_block_list(f"{CONTAINER}/source", [block_id(n) for n in range(count)])], 1)

    def mount(self, dir, tag):
        run(*self.command(f"{dir}/source", f"{dir}/{tag}"))

    def after(self, tag):
        for number in range(self.size // BLOCK):
            found = self.service.one(*self.service.get(f"{CONTAINER}/{tag}", number * BLOCK, (number + 1) * BLOCK))[2]
            if found != self.block(number):
                raise Broken(f"{tag} is not what was copied")
        if self.size_of(tag) != self.size:
            raise Broken(f"{tag} is too long")
        self.remove(tag)

    def budget(self):
        # All comes down, and a hundredth may go up.
        return None, self.size + self.size // 100


class BesideWriter(Read):
    """A plain read while somebody has a file open for writing: what it costs that somebody may write what is read."""

    goal, alone, of_earlier = None, True, 0.97

    def __init__(self, server, size):
        super().__init__(server, size)
        self.name = f"recognised, plain read {size_name(size)}"

    def mount(self, dir, tag):
        with open(f"{dir}/{tag}", "wb", buffering=0) as file:
            file.write(b"open")
            super().mount(dir, tag)

    def after(self, tag):
        self.remove(tag)

    def budget(self):
        return None, self.size + 4


class AfterRead(Write):
    """A plain write by somebody who has read something else."""

    goal, alone, of_earlier = None, True, 0.97

    def __init__(self, server, size):
        super().__init__(server, size)
        self.name = f"recognised, plain write {size_name(size)}"

    def prepare(self):
        self.service.upload(f"{CONTAINER}/other", 64 * MIB, bytes(BLOCK), BLOCK, PREPARE)

    def warm(self, dir):
        read_file(f"{dir}/other", 64 * MIB)

    def budget(self):
        return None, self.size


def benchmarks(server, quick):
    """All of them, in the sizes that this server and this latency allow in reasonable time. The name tells the size."""
    large = GIB if server.name == "devstore" else 256 * MIB
    # One after the other, with a wait before each: the time is the number times the wait, and fewer tell as much.
    serial = 1000 if server.latency == 0 else 200
    many, bulk, listed = (1000, 10_000, 100_000) if server.name == "devstore" else (500, 1000, 10_000)
    reads, large_reads = (2000, 200) if server.latency == 0 else (500, 200)
    if quick:
        large, serial, many, bulk, listed, reads, large_reads = 64 * MIB, 50, 100, 500, 5_000, 200, 32
        if server.name == "azurite":
            large, listed = 32 * MIB, 1000
    return [
        Read(server, large),
        Read(server, large, files=4),
        Write(server, large),
        Write(server, large, files=4),
        RandomRead(server, large, 4 * KIB, reads),
        RandomRead(server, large, MIB, min(large_reads, large // MIB)),
        Create(server, serial),
        List(server, listed, 10),
        Copy(server, MIB),
        Copy(server, large),
        CopyTree(server, serial),
        MoveTree(server, many),
        BulkCopy(server, bulk),
        BulkMove(server, bulk),
        Append(server, large),
        *(across(server, quick) + recognised(server, quick) if server.name == "devstore" and server.latency == 0 else []),
    ]


def recognised(server, quick):
    """Copies by programs that read and write, and what it costs others that these are recognised."""
    size = 64 * MIB if quick else GIB
    return [
        *(Recognised(server, size, program, None if quick else 5) for program in READ_AND_WRITE),
        BesideWriter(server, size),
        AfterRead(server, size),
    ]


def across(server, quick):
    """Copies between accounts: by the rates of the devstore it is the same with any latency."""
    size = 256 * MIB if quick else 4 * GIB
    return [
        Across(server, size, "first", of_earlier=None if quick else 6),
        Across(server, size, "again", known=True, of_earlier=None if quick else 10),
        Across(server, size, "fast first", rate="2GiB", of_earlier=0.9),
        Across(server, size, "fast again", known=True, rate="2GiB", of_earlier=0.9),
    ]
