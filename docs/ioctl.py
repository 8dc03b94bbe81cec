#!/usr/bin/env python3
"""Copies inside the Blob service, from Python: the ioctls of a blobcp mount.

    python3 ioctl.py copy SOURCE DIRECTORY NAME    SOURCE: /path/from/the/mount's/root, or a URL
    python3 ioctl.py status FILE
    python3 ioctl.py abort FILE
    python3 ioctl.py snapshot FILE

The structures and numbers are those of blobcp.h.
"""

import fcntl
import os
import struct
import sys
import time

NO_REPLACE, NO_WAIT = 1, 2
STATES = {1: "pending", 2: "success", 3: "aborted", 4: "failed"}

COPY = struct.Struct("=II4096s4096s64s32s4096s")
STATUS = struct.Struct("=IIQQq64s4096s1024s")
ABORT = struct.Struct("=64s")
SNAPSHOT = struct.Struct("=64s")


def number(direction, command, layout):
    """_IOC of asm-generic/ioctl.h, for type 0xBC."""
    return direction << 30 | layout.size << 16 | 0xBC << 8 | command


IOC_COPY = number(3, 1, COPY)
IOC_STATUS = number(2, 2, STATUS)
IOC_ABORT = number(1, 3, ABORT)
IOC_SNAPSHOT = number(2, 7, SNAPSHOT)


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
    state, _, copied, total, _, copy_id, source, description = ask(path, IOC_STATUS, STATUS)
    return STATES[state], copied, total, text(copy_id), text(source), text(description)


def abort(path, copy_id=""):
    ask(path, IOC_ABORT, ABORT, copy_id.encode())


def snapshot(path):
    """Takes a snapshot of a file; the snapshot's path."""
    (moment,) = ask(path, IOC_SNAPSHOT, SNAPSHOT)
    return os.path.join(os.path.dirname(path), ".snapshots", os.path.basename(path), text(moment))


def main(arguments):
    match arguments:
        case ["copy", source, directory, name]:
            copy_id, state = copy(source, directory, name)
            while state == "pending":
                time.sleep(0.2)
                state, copied, total, *_ = status(os.path.join(directory, name))
                print(f"{copied} of {total} bytes")
            print(copy_id, state)
        case ["status", path]:
            print(*status(path))
        case ["abort", path]:
            abort(path)
        case ["snapshot", path]:
            print(snapshot(path))
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
