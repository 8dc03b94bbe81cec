#!/usr/bin/env bash
# FACT: securefs 0.13.1: open(2) with O_RDONLY|O_TRUNC fails with EBADF, but the content is gone, and every later open for reading fails with EBADF, too, until somebody opens the file for writing.
# Needs: root, /dev/fuse; apt packages securefs and fuse3, python3; network registry if one is missing.
set -euo pipefail

work=$(mktemp -d)
mounted=()
finish() {
    for mount in "${mounted[@]}"; do fusermount3 -u "$mount" || fusermount3 -uz "$mount" || true; done
    rm -rf "$work"
}
trap finish EXIT
[ "$(id -u)" = 0 ] && [ -c /dev/fuse ] || { echo "needs root and /dev/fuse"; exit 2; }

command -v securefs >/dev/null || apt-get install -y -qq --no-install-recommends securefs >/dev/null
command -v fusermount3 >/dev/null || apt-get install -y -qq --no-install-recommends fuse3 >/dev/null

mkdir "$work/cipher" "$work/mount"
securefs create --pass password "$work/cipher" >/dev/null 2>&1
securefs mount -b --log "$work/log" --pass password "$work/cipher" "$work/mount" >/dev/null 2>&1
for _ in $(seq 50); do
    mountpoint -q "$work/mount" && break
    sleep 0.1
done
mounted+=("$work/mount")
dpkg-query -W -f '${Package} ${Version}\n' securefs

cat >"$work/probe.py" <<'PY'
import errno, os, sys

def outcome(call):
    try:
        return call()
    except OSError as error:
        return errno.errorcode[error.errno]

def read(path):
    with open(path, "rb") as file:
        return file.read()

def probe(path):
    with open(path, "wb") as file:
        file.write(b"content")
    before = read(path)
    opened = outcome(lambda: os.close(os.open(path, os.O_RDONLY | os.O_TRUNC)))
    after = outcome(lambda: read(path))
    with open(path, "ab"):
        pass
    return before, opened, after, outcome(lambda: read(path))

# Expected: Linux truncates and opens, as the plain folder shows; a refusal leaves the content alone.
plain, mount = (probe(folder + "/file") for folder in sys.argv[1:])
print("before, open, read after it, read after an open for appending")
print("expected:", plain)
print("seen:    ", mount)
assert mount == (b"content", "EBADF", "EBADF", b""), "the behaviour has changed"
PY
python3 "$work/probe.py" "$work" "$work/mount"
