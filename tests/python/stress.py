"""One of many processes that work on a mount while requests go wrong: writes, appends, renames, copies, removes, and reads others' files.

    python3 stress.py DIRECTORY NUMBER OF SEED SECONDS

Every file says what it has to hold: its first line names who wrote it, which of its versions it is and how long, and the rest follows from
that line. So whoever reads a file knows whether a byte is wrong. A call that failed may have been done or not: then a file may be either,
and never anything else. In the end the process looks at each of its files once more, removes them all, and prints what it did.
"""

import collections
import errno
import hashlib
import json
import os
import random
import sys
import time

TOP, NUMBER, OF, SEED, SECONDS = sys.argv[1], *map(int, sys.argv[2:6])
RANDOM = random.Random(SEED * 1000 + NUMBER)
HERE = f"{TOP}/p{NUMBER}"
OWN = [f"f{i}" for i in range(8)]
# What others read is written under another name and then renamed, as careful programs do: nobody sees a half.
PUBLIC = [f"public{i}" for i in range(4)]
DRAFT = "draft"
NAMES = [*OWN, *PUBLIC, DRAFT]
LOG = "log"
SIZES = [0, 10, 1000, 1000, 50_000, 50_000, 400_000, 1_500_000]
# Nothing else may come of a request that went wrong.
ALLOWED = {errno.EIO, errno.ETIMEDOUT}
# Besides, where somebody else's file is read: it was replaced or removed meanwhile.
MOVED = {errno.ENOENT, errno.ESTALE}
DONE, FAILED, WRONG = collections.Counter(), collections.Counter(), []


def content(head):
    size = int(head.split()[2])
    return head.encode() + b"\n" + hashlib.shake_128(head.encode()).digest(size)


class File:
    """What a name may be: the first lines of what was written, and None for nothing."""

    def __init__(self):
        self.may = {None}


FILES = {name: File() for name in NAMES}
versions = 0
# Lines of the log: those that are there, and one that may be.
lines, doubtful = [], None


def wrong(text):
    if len(WRONG) < 20:
        WRONG.append(f"process {NUMBER}: {text}")


def call(what, allowed, function, *arguments):
    """True and what it gave, or False."""
    DONE[what] += 1
    try:
        return True, function(*arguments)
    except OSError as error:
        FAILED[f"{what}: {errno.errorcode.get(error.errno)}"] += 1
        if error.errno not in allowed:
            wrong(f"{what} fails with {error}")
        return False, error.errno


def whole(path, flags, data):
    fd = os.open(path, flags | os.O_WRONLY, 0o644)
    failed = True
    try:
        while data:
            data = data[os.write(fd, data[: 1 << 17]) :]
        failed = False
    finally:
        try:
            os.close(fd)
        except OSError:
            if not failed:
                raise


def slurp(path):
    """All bytes that come before an error, and the error."""
    parts = []
    try:
        fd = os.open(path, os.O_RDONLY)
    except OSError as error:
        return b"", error
    try:
        while part := os.read(fd, 1 << 17):
            parts.append(part)
    except OSError as error:
        return b"".join(parts), error
    finally:
        os.close(fd)
    return b"".join(parts), None


def check(read, error, of):
    """Whether bytes are those of one version; its first line, or None."""
    if not read:
        return None
    head = read.split(b"\n", 1)[0]
    try:
        right = content(head.decode())
    except (ValueError, IndexError, UnicodeDecodeError):
        if error is None or len(head) == len(read):
            # Less than a line came.
            if error is None:
                wrong(f"{of} begins with {read[:60]!r}")
            return None
        wrong(f"{of} begins with {read[:60]!r}")
        return None
    if not right.startswith(read) or error is None and len(read) != len(right):
        at = next((i for i, (a, b) in enumerate(zip(read, right)) if a != b), min(len(read), len(right)))
        wrong(f"{of}: {head!r} is wrong at {at}: {len(read)} bytes of {len(right)}")
        return None
    return head.decode()


def write(name):
    global versions
    versions += 1
    head = f"{NUMBER} {versions} {RANDOM.choice(SIZES)}"
    done, _ = call("write", ALLOWED, whole, f"{HERE}/{name}", os.O_CREAT | os.O_TRUNC, content(head))
    # What failed may have left the empty file.
    FILES[name].may = {head} if done else FILES[name].may | {head, ""}


def rename(old, new):
    if None in FILES[old].may or old == new:
        return
    done, _ = call("rename", ALLOWED, os.rename, f"{HERE}/{old}", f"{HERE}/{new}")
    if done:
        FILES[new].may, FILES[old].may = FILES[old].may, {None}
    else:
        # Both, or either: look.
        FILES[new].may = FILES[new].may | FILES[old].may
        FILES[old].may = FILES[old].may | {None}
        gone = [not exists(name) for name in (old, new)]
        if all(gone):
            wrong(f"{old} was to be {new}, and both are gone")


def publish(name):
    write(DRAFT)
    rename(DRAFT, name)


def exists(name):
    for _ in range(20):
        try:
            os.stat(f"{HERE}/{name}")
            return True
        except FileNotFoundError:
            return False
        except OSError:
            continue
    return True


def range_copy(source, destination):
    i = os.open(source, os.O_RDONLY)
    try:
        o = os.open(destination, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        failed = True
        try:
            size, done = os.fstat(i).st_size, 0
            while done < size and (n := os.copy_file_range(i, o, size - done, done, done)):
                done += n
            failed = False
        finally:
            try:
                os.close(o)
            except OSError:
                if not failed:
                    raise
    finally:
        os.close(i)


def copy(old, new):
    if None in FILES[old].may or old == new:
        return
    done, _ = call("copy", ALLOWED, range_copy, f"{HERE}/{old}", f"{HERE}/{new}")
    FILES[new].may = set(FILES[old].may) if done else FILES[new].may | FILES[old].may | {""}


def remove(name):
    missing = {errno.ENOENT} if None in FILES[name].may else set()
    done, error = call("unlink", ALLOWED | missing, os.unlink, f"{HERE}/{name}")
    FILES[name].may = {None} if done or error == errno.ENOENT else FILES[name].may | {None}


def append():
    global doubtful
    if doubtful is not None or len(lines) > 300:
        return read_log()
    line = f"{NUMBER} {len(lines)} {hashlib.md5(f'{NUMBER} {len(lines)}'.encode()).hexdigest()}\n"
    done, _ = call("append", ALLOWED, whole, f"{HERE}/{LOG}", os.O_CREAT | os.O_APPEND, line.encode())
    if done:
        lines.append(line)
    else:
        doubtful = line


def read_log():
    global doubtful
    DONE["read of the log"] += 1
    read, error = slurp(f"{HERE}/{LOG}")
    if error:
        FAILED[f"read of the log: {errno.errorcode.get(error.errno)}"] += 1
        missing = {errno.ENOENT} if not lines else set()
        if error.errno not in ALLOWED | missing:
            wrong(f"the log fails with {error}")
        if error.errno == errno.ENOENT and not lines:
            doubtful = None
        return
    text = "".join(lines)
    if doubtful is not None and read.decode(errors="replace") == text + doubtful:
        lines.append(doubtful)
    elif read.decode(errors="replace") != text:
        wrong(f"the log has {len(read)} bytes and not {len(text)}, with {doubtful!r} in doubt")
    doubtful = None
    if len(lines) > 300:
        done, _ = call("unlink", ALLOWED | {errno.ENOENT}, os.unlink, f"{HERE}/{LOG}")
        if done:
            lines.clear()


def read_own(name):
    DONE["read"] += 1
    read, error = slurp(f"{HERE}/{name}")
    head = check(read, error, f"own {name}")
    may = FILES[name].may
    if error is None:
        found = head if read else ""
        if found not in may:
            wrong(f"own {name} is {found!r} and may be {sorted(map(str, may))}")
        FILES[name].may = {found}
    elif error.errno == errno.ENOENT:
        if None not in may:
            wrong(f"own {name} is gone and may be {sorted(map(str, may))}")
        FILES[name].may = {None}
    else:
        FAILED[f"read: {errno.errorcode.get(error.errno)}"] += 1
        if error.errno not in ALLOWED:
            wrong(f"own {name} fails with {error}")
        if read and head is not None and head not in may:
            wrong(f"own {name} begins as {head!r} and may be {sorted(map(str, may))}")


def read_other():
    DONE["read of another's"] += 1
    name = f"p{RANDOM.randrange(OF)}/{RANDOM.choice(PUBLIC)}"
    read, error = slurp(f"{TOP}/{name}")
    check(read, error, name)
    if error:
        FAILED[f"read of another's: {errno.errorcode.get(error.errno)}"] += 1
        if error.errno not in ALLOWED | MOVED:
            wrong(f"{name} fails with {error}")


def listing():
    done, found = call("listdir", ALLOWED, os.listdir, HERE)
    if done:
        for name in NAMES:
            if None not in FILES[name].may and name not in found:
                wrong(f"{name} is not listed")
            if FILES[name].may == {None} and name in found:
                wrong(f"{name} is listed and was removed")


def directory():
    done, _ = call("mkdir", ALLOWED | {errno.EEXIST}, os.mkdir, f"{HERE}/d")
    call("rmdir", ALLOWED | (set() if done else {errno.ENOENT}), os.rmdir, f"{HERE}/d")


def step():
    a, b = RANDOM.choice(OWN), RANDOM.choice(OWN)
    dice = RANDOM.random()
    if dice < 0.15:
        write(a)
    elif dice < 0.25:
        publish(RANDOM.choice(PUBLIC))
    elif dice < 0.35:
        rename(a, b)
    elif dice < 0.45:
        copy(a, b)
    elif dice < 0.6:
        append()
    elif dice < 0.75:
        read_own(a)
    elif dice < 0.9:
        read_other()
    elif dice < 0.94:
        remove(RANDOM.choice(NAMES))
    elif dice < 0.98:
        listing()
    else:
        directory()


def insist(function):
    """Until it is done or there is nothing to do."""
    for _ in range(50):
        try:
            return function()
        except (FileNotFoundError, FileExistsError):
            return None
        except OSError as error:
            if error.errno not in ALLOWED | {errno.ENOTEMPTY}:
                wrong(f"in the end: {error}")
            time.sleep(0.05)
    return wrong("something cannot be removed")


insist(lambda: os.mkdir(HERE))
end = time.monotonic() + SECONDS
while time.monotonic() < end and not WRONG:
    step()
for name in NAMES:
    read_own(name)
read_log()
for name in [*NAMES, LOG]:
    insist(lambda: os.unlink(f"{HERE}/{name}"))
for left in (f"{HERE}/d", HERE):
    insist(lambda: os.rmdir(left))
print(json.dumps({"done": DONE, "failed": FAILED, "wrong": WRONG}))
