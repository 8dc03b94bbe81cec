#!/usr/bin/env bash
# FACT: ratarmount 1.3.0 with --write-overlay: truncate(2) of a file that was made on the mount, shorter or longer, turns all of its content into zeros; files that come from the archive are cut as they should be.
# Needs: root, /dev/fuse, python3 (pip: ratarmount), apt packages tar and fuse3; network registry.
set -euo pipefail

work=$(mktemp -d)
mounted=()
finish() {
    for mount in "${mounted[@]}"; do fusermount3 -u "$mount" || fusermount3 -uz "$mount" || true; done
    rm -rf "$work"
}
trap finish EXIT
[ "$(id -u)" = 0 ] && [ -c /dev/fuse ] || { echo "needs root and /dev/fuse"; exit 2; }

command -v fusermount3 >/dev/null || apt-get install -y -qq --no-install-recommends fuse3 >/dev/null

python3 -m venv "$work/env"
"$work/env/bin/pip" install -q --disable-pip-version-check ratarmount==1.3.0

mkdir "$work/mount" "$work/overlay"
echo "from the archive" >"$work/archived"
tar -C "$work" -cf "$work/files.tar" archived
"$work/env/bin/ratarmount" --write-overlay "$work/overlay" "$work/files.tar" "$work/mount" >/dev/null 2>&1
mounted+=("$work/mount")
"$work/env/bin/pip" list 2>/dev/null | grep '^ratarmount '

cat >"$work/probe.py" <<'PY'
import os, sys

def cut(path, size):
    os.truncate(path, size)
    with open(path, "rb") as file:
        return file.read()

def made(path, size):
    with open(path, "wb") as file:
        file.write(b"content")
    return cut(path, size)

plain, mount = sys.argv[1:]
# Expected: the same as in a plain folder: b"cont", then b"content" and three zeros.
print("expected:", made(plain + "/new", 4), made(plain + "/new", 10))
shorter, longer = made(mount + "/new", 4), made(mount + "/new", 10)
print("seen:    ", shorter, longer, " archived file:", cut(mount + "/archived", 4))
assert shorter == bytes(4) and longer == bytes(10), "the behaviour has changed"
PY
python3 "$work/probe.py" "$work" "$work/mount"
