#!/usr/bin/env bash
# FACT: gocryptfs 2.3: a time of 2262-04-11T23:47:17Z or later is accepted by utimensat and comes out before 1970, although the file system below takes it: it is sent on as nanoseconds in 64 bits.
# Needs: root, /dev/fuse; apt packages gocryptfs and fuse3, python3; network registry if one is missing.
set -euo pipefail

work=$(mktemp -d)
mounted=()
finish() {
    for mount in "${mounted[@]}"; do fusermount3 -u "$mount" || fusermount3 -uz "$mount" || true; done
    rm -rf "$work"
}
trap finish EXIT
[ "$(id -u)" = 0 ] && [ -c /dev/fuse ] || { echo "needs root and /dev/fuse"; exit 2; }

command -v gocryptfs >/dev/null || apt-get install -y -qq --no-install-recommends gocryptfs fuse3 >/dev/null

mkdir "$work/cipher" "$work/mount"
echo password >"$work/password"
gocryptfs -init -q -scryptn 10 -passfile "$work/password" "$work/cipher" 2>/dev/null
gocryptfs -q -passfile "$work/password" "$work/cipher" "$work/mount" 2>/dev/null
mounted+=("$work/mount")
gocryptfs --version

cat >"$work/probe.py" <<'PY'
import os, sys

def set_time(path, seconds):
    with open(path, "wb"):
        pass
    os.utime(path, (seconds, seconds))
    return int(os.stat(path).st_mtime)

below, mount = sys.argv[1] + "/plain", sys.argv[2] + "/file"
last = 2**63 // 10**9  # the last whole second that 64 bits of nanoseconds hold
# Expected: the time, or the latest one that the file system below can keep.
for seconds in (last, last + 1, last + 86400):
    print(f"asked {seconds}: below {set_time(below, seconds)}, gocryptfs {set_time(mount, seconds)}")
assert set_time(below, last + 1) == last + 1, "the file system below cannot keep such a time"
assert set_time(mount, last) == last and set_time(mount, last + 1) < 0, "the behaviour has changed"
PY
python3 "$work/probe.py" "$work" "$work/mount"
