#!/usr/bin/env bash
# FACT: mergerfs 2.33.5: rename(2) of a directory onto another that is not empty returns 0 and joins the two where they are on different branches; on one branch it is EXDEV. It is never ENOTEMPTY.
# Needs: root, /dev/fuse; apt package mergerfs, python3; network registry if it is missing.
set -euo pipefail

work=$(mktemp -d)
finish() {
    umount "$work/pool" 2>/dev/null || umount -l "$work/pool" 2>/dev/null || true
    rm -rf "$work"
}
trap finish EXIT
[ "$(id -u)" = 0 ] && [ -c /dev/fuse ] || { echo "needs root and /dev/fuse"; exit 2; }

command -v mergerfs >/dev/null || apt-get install -y -qq --no-install-recommends mergerfs >/dev/null

mkdir "$work/one" "$work/two" "$work/pool"
mergerfs "$work/one:$work/two" "$work/pool"
mergerfs --version 2>&1 | sed -n 1p

# Each directory has a file; the first pair is on two branches, the second on one.
mkdir "$work/two/moved" "$work/one/full" "$work/one/moved-beside" "$work/one/full-beside"
touch "$work/two/moved/its" "$work/one/full/other" "$work/one/moved-beside/its" "$work/one/full-beside/other"

rename() { python3 -c 'import errno, os, sys
try:
    os.rename(*sys.argv[1:])
    print(0)
except OSError as error:
    print(errno.errorcode[error.errno])' "$work/pool/$1" "$work/pool/$2"; }

beside=$(rename moved-beside full-beside)
across=$(rename moved full)
left=$(ls -m "$work/pool/full")
# Expected: POSIX wants EEXIST or ENOTEMPTY for a directory with entries, wherever a union has it.
echo "one branch:   expected ENOTEMPTY, seen $beside"
echo "two branches: expected ENOTEMPTY and \"other\" in the target, seen $across and \"$left\""
[ "$beside $across $left" = "EXDEV 0 its, other" ] || { echo "the behaviour has changed"; exit 1; }
