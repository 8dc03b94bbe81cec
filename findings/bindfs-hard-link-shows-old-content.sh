#!/usr/bin/env bash
# FACT: bindfs 1.14.7: after an append through one hard link the other name still has the old size and content for up to a second, although both have the same st_ino: the kernel has an inode of its own for each name.
# Needs: root, /dev/fuse; apt packages bindfs and fuse3, python3; network registry if one is missing.
set -euo pipefail

work=$(mktemp -d)
mounted=()
finish() {
    for mount in "${mounted[@]}"; do fusermount3 -u "$mount" || fusermount3 -uz "$mount" || true; done
    rm -rf "$work"
}
trap finish EXIT
[ "$(id -u)" = 0 ] && [ -c /dev/fuse ] || { echo "needs root and /dev/fuse"; exit 2; }

command -v bindfs >/dev/null || apt-get install -y -qq --no-install-recommends bindfs fuse3 >/dev/null

mkdir "$work/source" "$work/mount"
bindfs "$work/source" "$work/mount"
mounted+=("$work/mount")
bindfs --version

cat >"$work/probe.py" <<'PY'
import os, sys

os.chdir(sys.argv[1])

def other_name(number):
    """Whether both names have one st_ino, then size and content of the second after an append through the first."""
    one, two = f"one{number}", f"two{number}"
    with open(one, "wb") as file:
        file.write(b"old")
    os.link(one, two)
    same = os.stat(one).st_ino == os.stat(two).st_ino
    with open(one, "ab") as file:
        file.write(b" and new")
    size = os.stat(two).st_size
    with open(two, "rb") as file:
        return same, size, file.read()

# Expected: one inode, as st_ino says, so one size and one content under both names.
print("expected:", (True, 11, b"old and new"))
for number in range(5):  # more than one, since a busy machine may take longer than that second
    seen = other_name(number)
    print("seen:    ", seen)
    if seen == (True, 3, b"old"):
        sys.exit()
sys.exit("the behaviour has changed")
PY
python3 "$work/probe.py" "$work/mount"
