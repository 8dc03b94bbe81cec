#!/usr/bin/env bash
# FACT: EncFS 1.9.5: removexattr(2) of an extended attribute that a file does not have succeeds, although getxattr(2) of it and setxattr(2) with XATTR_REPLACE say ENODATA.
# Needs: root, /dev/fuse; apt package encfs, python3; network registry if it is missing.
set -euo pipefail

work=$(mktemp -d)
finish() {
    fusermount -u "$work/mount" 2>/dev/null || umount -l "$work/mount" 2>/dev/null || true
    rm -rf "$work"
}
trap finish EXIT
[ "$(id -u)" = 0 ] && [ -c /dev/fuse ] || { echo "needs root and /dev/fuse"; exit 2; }

command -v encfs >/dev/null || apt-get install -y -qq --no-install-recommends encfs >/dev/null

mkdir "$work/store" "$work/mount" "$work/plain"
echo "a password" | encfs --standard --stdinpass "$work/store" "$work/mount" >"$work/log"
encfs --version 2>&1

cat >"$work/probe.py" <<'PY'
import errno, os, sys


def outcome(call, *arguments):
    try:
        call(*arguments)
        return "0"
    except OSError as error:
        return errno.errorcode[error.errno]


def of(directory):
    path = os.path.join(directory, "file")
    open(path, "w").close()
    return (
        outcome(os.getxattr, path, "user.none"),
        outcome(os.setxattr, path, "user.none", b"x", os.XATTR_REPLACE),
        outcome(os.removexattr, path, "user.none"),
    )


mounted, below = of(sys.argv[1]), of(sys.argv[2])
# Expected: that an attribute is not there is said by all three calls, as the filesystem below does.
print("getxattr, setxattr to replace, removexattr")
print("below:   ", *below)
print("expected:", "ENODATA ENODATA ENODATA")
print("seen:    ", *mounted)
assert below == ("ENODATA",) * 3, "the filesystem below keeps no such attributes"
assert mounted == ("ENODATA", "ENODATA", "0"), "the behaviour has changed"
PY
python3 "$work/probe.py" "$work/mount" "$work/plain"
