#!/usr/bin/env bash
# FACT: GNU tar extracting to a bindfs 1.14.7 mount (libfuse 2.9) leaves every time at "now" and exits 0, as touch -m and touch -a do: libfuse 2 drops a request that sets one of the two times alone. bsdtar and cp -p set both and work.
# Needs: root, /dev/fuse; apt packages bindfs (with fuse3), tar, libarchive-tools, coreutils; network registry if one is missing.
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
command -v bsdtar >/dev/null || apt-get install -y -qq --no-install-recommends libarchive-tools >/dev/null

mkdir "$work/source" "$work/mount" "$work/tree"
bindfs "$work/source" "$work/mount"
mounted+=("$work/mount")
time_of() { stat -c %Y "$1"; }

echo content >"$work/tree/file"
touch -d @1000000000 "$work/tree/file"
tar -C "$work/tree" -cf "$work/archive.tar" file

# Expected: 1000000000 from each of them; failing that, a complaint.
tar -C "$work/mount" -xf "$work/archive.tar"
gnu=$(time_of "$work/source/file")
rm "$work/mount/file"
bsdtar -C "$work/mount" -xf "$work/archive.tar"
bsd=$(time_of "$work/source/file")
cp -p "$work/tree/file" "$work/mount/copy"
copied=$(time_of "$work/source/copy")
touch -m -d @1200000000 "$work/mount/copy"
touched=$(time_of "$work/source/copy")
touch -d @1200000000 "$work/mount/copy"
both=$(time_of "$work/source/copy")

bindfs --version
tar --version | sed -n 1p
echo "expected: tar, bsdtar, cp -p: 1000000000; touch -m, touch: 1200000000"
echo "seen:     tar: $gnu, bsdtar: $bsd, cp -p: $copied; touch -m: $touched, touch: $both"
[ "$gnu" -gt 1500000000 ] && [ "$bsd $copied $touched $both" = "1000000000 1000000000 1000000000 1200000000" ] ||
    { echo "the behaviour has changed"; exit 1; }
