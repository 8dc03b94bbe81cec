"""Makes calls on a mount, one order after the other, and tells what came of each.

An order is a line of JSON on standard input: `do`, a program, and what it may name: `d` (its directory), `root` (of the mount) and what
else the order has. The answer is a line of JSON: `errno` of the call that failed, 0 if none did; `wrong`, if what a call gave is not what
it had to give; and `out`, which the program may set.

A process of its own, so that a call that hangs can be told from one that takes long, and so that nobody else's fork flushes its files.
"""

import ctypes
import errno
import hashlib
import json
import os
import sys

sys.path.insert(0, sys.argv[1])
import ioctl as blobcp

LIBC = ctypes.CDLL(None, use_errno=True)
NO_REPLACE, EXCHANGE = 1, 2


class Wrong(Exception):
    """A call gave what it must not give."""


def expect(found, expected, what="it"):
    if found != expected:
        shown = [repr(value)[:120] for value in (found, expected)]
        raise Wrong(f"{what} is {shown[0]} and not {shown[1]}")


class opened:
    """A descriptor for a `with`. An error of close is one like any other, but not instead of an earlier one."""

    def __init__(self, path, flags, mode=0o644):
        self.fd = os.open(path, flags, mode)

    def __enter__(self):
        return self.fd

    def __exit__(self, kind, value, trace):
        try:
            os.close(self.fd)
        except OSError:
            if kind is None:
                raise


NEW = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
ONTO = os.O_WRONLY | os.O_APPEND


def write(path, data, flags=NEW, at=None):
    with opened(path, flags) as fd:
        while data:
            n = os.write(fd, data) if at is None else os.pwrite(fd, data, at)
            at = None if at is None else at + n
            data = data[n:]


def read(path, expected, size=1 << 20):
    """Reads to the end. What was read before an error has to be right, too."""
    at = 0
    with opened(path, os.O_RDONLY) as fd:
        while part := os.read(fd, size):
            expect(part, expected[at : at + len(part)], f"what is read at {at}")
            at += len(part)
    expect(at, len(expected), "the length read")


def copy(source, destination, flags=NEW, at=0, whole=None):
    """copy_file_range(2) as cp calls it; the sum of what it granted."""
    with opened(source, os.O_RDONLY) as i, opened(destination, flags) as o:
        size = os.fstat(i).st_size
        done = 0
        while done < size and (n := os.copy_file_range(i, o, size - done, done, at + done)):
            done += n
        expect(done, size, "what was copied")


def concat(sources, destination):
    """cat SOURCES > DESTINATION"""
    with opened(destination, NEW) as o:
        for source in sources:
            with opened(source, os.O_RDONLY) as i:
                while os.copy_file_range(i, o, 1 << 62):
                    pass


def renameat2(old, new, flags):
    if LIBC.renameat2(-100, old.encode(), -100, new.encode(), flags):
        raise OSError(ctypes.get_errno(), "renameat2")


def fallocate(fd, mode, offset, length):
    if LIBC.fallocate(fd, mode, ctypes.c_long(offset), ctypes.c_long(length)):
        raise OSError(ctypes.get_errno(), "fallocate")


def tree(source, directory, name):
    """A tree that is copied by ioctl; the first error of a file is the call's."""
    first = 0
    for record in blobcp.tree(source, directory, name):
        first = first or record[3]
    if first:
        raise OSError(first, "of a file")


def absent(path):
    try:
        os.stat(path)
    except FileNotFoundError:
        return
    raise Wrong(f"{path} is there")


def view(top):
    """What the mount shows below a directory: the digest of each file, and what is a link or a directory."""
    seen = {}

    def walk(at, prefix):
        for entry in os.scandir(at):
            name = prefix + entry.name
            if entry.is_symlink():
                seen[name] = "link " + os.readlink(entry.path)
            elif entry.is_dir(follow_symlinks=False):
                seen[name] = "dir"
                walk(entry.path, name + "/")
            else:
                digest = hashlib.sha256()
                with opened(entry.path, os.O_RDONLY) as fd:
                    length = 0
                    while part := os.read(fd, 1 << 20):
                        digest.update(part)
                        length += len(part)
                    expect(os.fstat(fd).st_size, length, f"the size of {name}")
                seen[name] = digest.hexdigest()

    walk(top, "")
    return seen


def pattern(length):
    """As `pattern` of the tests' common part."""
    state, parts, mask = 0x9E3779B97F4A7C15, [], (1 << 64) - 1
    for _ in range((length + 7) // 8):
        state = (state ^ state << 13) & mask
        state ^= state >> 7
        state = (state ^ state << 17) & mask
        parts.append(state.to_bytes(8, "little"))
    return b"".join(parts)[:length]


PATTERNS = {}
# What a program keeps for the next.
kept = {}


def of(text):
    """`a+@10` is the letter and ten bytes of the pattern, `a*3` three letters."""
    content = b""
    for part in filter(None, text.split("+")):
        if part.startswith("@"):
            length = int(part[1:])
            if length not in PATTERNS:
                PATTERNS[length] = pattern(length)
            content += PATTERNS[length]
        elif "*" in part:
            letter, times = part.split("*")
            content += letter.encode() * int(times)
        else:
            content += part.encode()
    return content


def main():
    names = {name: value for name, value in globals().items() if not name.startswith("_")}
    for line in sys.stdin:
        order = json.loads(line)
        space = dict(names, **order, out="")
        answer = {"errno": 0, "wrong": "", "out": ""}
        try:
            exec(compile(order["do"], order["do"], "exec"), space)
            answer["out"] = space["out"]
        except Wrong as wrong:
            answer["wrong"] = str(wrong)
        except OSError as error:
            answer["errno"] = error.errno or errno.EIO
            answer["out"] = str(error)
        print(json.dumps(answer), flush=True)


main()
