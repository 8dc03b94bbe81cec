#!/usr/bin/env bash
# FACT: fuse2fs 1.47.0: truncate(2) to a size that ext4 cannot hold returns 0 and leaves the size as it was, instead of EFBIG; and setxattr with XATTR_CREATE replaces an attribute that is there.
# Needs: root, /dev/fuse; apt packages fuse2fs, e2fsprogs and fuse3, python3; network registry if one is missing.
set -euo pipefail

work=$(mktemp -d)
mounted=()
finish() {
    for mount in "${mounted[@]}"; do fusermount3 -u "$mount" || fusermount3 -uz "$mount" || true; done
    rm -rf "$work"
}
trap finish EXIT
[ "$(id -u)" = 0 ] && [ -c /dev/fuse ] || { echo "needs root and /dev/fuse"; exit 2; }

command -v fuse2fs >/dev/null || apt-get install -y -qq --no-install-recommends fuse2fs >/dev/null
command -v mkfs.ext4 >/dev/null || apt-get install -y -qq --no-install-recommends e2fsprogs >/dev/null
command -v fusermount3 >/dev/null || apt-get install -y -qq --no-install-recommends fuse3 >/dev/null

mkdir "$work/mount"
truncate -s 64M "$work/image"
mkfs.ext4 -q -F "$work/image"
fuse2fs -o fakeroot "$work/image" "$work/mount" >/dev/null 2>&1
mounted+=("$work/mount")
dpkg-query -W -f '${Package} ${Version}\n' fuse2fs

cat >"$work/probe.py" <<'PY'
import errno, os, sys

path = sys.argv[1] + "/file"
with open(path, "wb") as file:
    file.write(b"content")

def outcome(call):
    try:
        call()
        return "success"
    except OSError as error:
        return errno.errorcode[error.errno]

def create(value):
    os.setxattr(path, "user.name", value, os.XATTR_CREATE)

# Expected of 2**62 bytes: EFBIG, as the kernel's ext4 says.
truncated = outcome(lambda: os.truncate(path, 2**62))
size = os.stat(path).st_size
create(b"first")
# Expected: EEXIST.
again = outcome(lambda: create(b"second"))
value = os.getxattr(path, "user.name")
print("expected: truncate EFBIG with size 7; second XATTR_CREATE: EEXIST with b'first'")
print(f"seen:     truncate {truncated} with size {size}; second XATTR_CREATE: {again} with {value}")
assert (truncated, size, again, value) == ("success", 7, "success", b"second"), "the behaviour has changed"
PY
python3 "$work/probe.py" "$work/mount"
