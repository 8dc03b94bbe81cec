#!/usr/bin/env python3
"""Copies inside the Blob service, from Python: the ioctls of a blobcp mount.

    python3 ioctl.py copy SOURCE DIRECTORY NAME    SOURCE: /path/from/the/mount's/root, or a URL
    python3 ioctl.py tree SOURCE DIRECTORY NAME    a file or directory, with all that is in it
    python3 ioctl.py copies DIRECTORY              the copies onto all files below it
    python3 ioctl.py status FILE
    python3 ioctl.py wait FILE
    python3 ioctl.py abort FILE
    python3 ioctl.py snapshot FILE
    python3 ioctl.py lease show|break FILE
    python3 ioctl.py leftovers|clean DIRECTORY     what mounts that were killed have left, and its end

What is refused is said with the reason that the mount has for it. The structures and numbers are those of blobcp.h.
"""

import errno
import fcntl
import os
import select
import struct
import sys
import time

NO_REPLACE, NO_WAIT, RECURSIVE = 1, 2, 16
BY_COPY_BLOB, BY_BLOCKS, FOLLOWED = 512, 1024, 4096
METHODS = {1: "blob", 2: "blocks"}
AGAIN, CLEAN, DONE = 1, 4, 0x100
STATES = {
    0: "-", 1: "pending", 2: "success", 3: "aborted", 4: "failed",
    5: "exists", 6: "same", 7: "due", 8: "accepted",
    16: "backup", 17: "hidden", 18: "lease", 19: "move", 20: "move-tree", 21: "pending-copy", 22: "blocks",
    23: "given-up",
}

COPY = struct.Struct("=II4096s4096s64s32s4096s")
STATUS = struct.Struct("=IIQQq64s4096s1024s")
ABORT = struct.Struct("=64s")
TREE = struct.Struct("=II4096s4096s")
NEWS = struct.Struct("=II13Q16000s")
COPIES = struct.Struct("=IIq16000s")
ENTRY = struct.Struct("=IIiIQQqq")
SNAPSHOT = struct.Struct("=64s")
LEASE = struct.Struct("=II32s32s1024s")
LEFTOVERS = struct.Struct("=II16000s")
REASON = struct.Struct("=iI32s2048s")


def number(direction, command, layout):
    """_IOC of asm-generic/ioctl.h, for type 0xBC."""
    return direction << 30 | layout.size << 16 | 0xBC << 8 | command


IOC_COPY = number(3, 1, COPY)
IOC_STATUS = number(2, 2, STATUS)
IOC_ABORT = number(1, 3, ABORT)
IOC_TREE = number(1, 4, TREE)
IOC_NEWS = number(2, 5, NEWS)
IOC_COPIES = number(3, 6, COPIES)
IOC_SNAPSHOT = number(2, 7, SNAPSHOT)
IOC_LEASE = number(3, 8, LEASE)
IOC_LEFTOVERS = number(3, 9, LEFTOVERS)
IOC_REASON = number(2, 10, REASON)


def text(field):
    return field.split(b"\0", 1)[0].decode()


def ask(path, command, layout, *fields):
    """Sends the fields (none: an empty structure) and returns those that came back."""
    payload = bytearray(layout.pack(*fields) if fields else layout.size)
    descriptor = os.open(path, os.O_RDONLY)
    try:
        fcntl.ioctl(descriptor, command, payload)
    finally:
        os.close(descriptor)
    return layout.unpack(payload)


def copy(source, directory, name, flags=NO_WAIT, tier="", metadata=None):
    """Starts a copy; its id and state. Metadata, a dictionary, replace all of the source's."""
    lines = "\n".join(f"{key}={value}" for key, value in (metadata or {}).items())
    fields = flags, 0, source.encode(), name.encode(), b"", tier.encode(), lines.encode()
    _, status, _, _, copy_id, _, _ = ask(directory, IOC_COPY, COPY, *fields)
    return text(copy_id), STATES[status]


def status(path):
    state, method, copied, total, _, copy_id, source, description = ask(path, IOC_STATUS, STATUS)
    return STATES[state], copied, total, text(copy_id), text(source), text(description)


def abort(path, copy_id=""):
    ask(path, IOC_ABORT, ABORT, copy_id.encode())


def records(count, data):
    """(state, copied, total, errno, path, id, source, reason) of each record."""
    for _ in range(count):
        length, state, error, _, copied, total, _, _ = ENTRY.unpack_from(data)
        path, copy_id, source, reason = data[ENTRY.size : length].split(b"\0")[:4]
        yield STATES[state], copied, total, error, path.decode(), copy_id.decode(), source.decode(), reason.decode()
        data = data[length:]


def tree(source, directory, name, jobs=32, flags=RECURSIVE):
    """Copies a tree; yields a record for each file that is done. Closing the generator ends the copy."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        fcntl.ioctl(descriptor, IOC_TREE, bytearray(TREE.pack(flags, jobs, source.encode(), name.encode())))
        done = False
        while not done:
            payload = bytearray(NEWS.size)
            fcntl.ioctl(descriptor, IOC_NEWS, payload)
            state, count, *_, data = NEWS.unpack(payload)
            yield from (record for record in records(count, data) if record[0] != "pending")
            done = state & DONE
    finally:
        os.close(descriptor)


def copies(directory):
    """A record for each file below a directory."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        flags = AGAIN
        while not flags & DONE:
            payload = bytearray(COPIES.pack(flags, 0, 0, b""))
            fcntl.ioctl(descriptor, IOC_COPIES, payload)
            flags, count, _, data = COPIES.unpack(payload)
            yield from records(count, data)
    finally:
        os.close(descriptor)


def leftovers(directory, flags=0):
    """A record for each thing that was left below a directory; with CLEAN, after it was ended as far as that can be."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        state = AGAIN | flags
        while not state & DONE:
            payload = bytearray(LEFTOVERS.pack(state, 0, b""))
            fcntl.ioctl(descriptor, IOC_LEFTOVERS, payload)
            state, count, data = LEFTOVERS.unpack(payload)
            yield from records(count, data)
            state |= flags
    finally:
        os.close(descriptor)


def wait(path):
    """Returns when no copy onto the file is pending."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        select.select([descriptor], [], [])
    finally:
        os.close(descriptor)


def reason(path):
    """errno and words of what this thread was refused last on the mount that `path` is in, also by other calls."""
    error, _, _, words = ask(path, IOC_REASON, REASON)
    return error, text(words)


def snapshot(path):
    """Takes a snapshot of a file; the snapshot's path."""
    (moment,) = ask(path, IOC_SNAPSHOT, SNAPSHOT)
    return os.path.join(os.path.dirname(path), ".snapshots", os.path.basename(path), text(moment))


def lease(path, action="show"):
    """State, duration and holder of a file's lease; `break` ends it first."""
    fields = ["show", "break"].index(action), 0, b"", b"", b""
    _, _, state, duration, holder = ask(path, IOC_LEASE, LEASE, *fields)
    return text(state), text(duration), text(holder)


def main(arguments):
    match arguments:
        case ["copy", source, directory, name]:
            copy_id, state = copy(source, directory, name)
            while state == "pending":
                time.sleep(0.2)
                state, copied, total, *_ = status(os.path.join(directory, name))
                print(f"{copied} of {total} bytes")
            print(copy_id, state)
        case ["tree", source, directory, name]:
            for state, _, total, _, path, _, _, reason in tree(source, directory, name):
                print(state, path, total, reason)
        case ["copies", directory]:
            for state, copied, total, _, path, _, _, _ in copies(directory):
                print(state, path, f"{copied}/{total}")
        case ["leftovers" | "clean" as action, directory]:
            for kind, _, _, error, path, _, _, what in leftovers(directory, CLEAN if action == "clean" else 0):
                print(kind, path, error, what)
        case ["wait", path]:
            wait(path)
            main(["status", path])
        case ["status", path]:
            try:
                print(*status(path))
            except OSError as refused:
                if refused.errno != errno.ENODATA:
                    raise
                print("no copy was made onto this file")
        case ["abort", path]:
            abort(path)
        case ["snapshot", path]:
            print(snapshot(path))
        case ["lease", ("show" | "break") as action, path]:
            print(*lease(path, action))
        case _:
            sys.exit(__doc__)


def explained(refused, paths):
    """A refusal in one line, with the reason of the mount that one of the paths is in."""
    for path in paths:
        try:
            error, words = reason(path)
        except OSError:
            continue
        if error == refused.errno:
            return f"{refused.strerror}: {words}"
    return f"{refused.filename}: {refused.strerror}" if refused.filename else refused.strerror


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except OSError as refused:
        sys.exit(f"ioctl.py: {' '.join(sys.argv[1:])}: {explained(refused, sys.argv[2:])}")
