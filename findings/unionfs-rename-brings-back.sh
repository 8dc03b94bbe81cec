#!/usr/bin/env bash
# FACT: unionfs-fuse 1.0 with cow: a directory of the read-only branch is renamed away, an empty one is renamed to the free name, and the old files are in it again; fuse-overlayfs 1.10 gives an empty directory, as mkdir does on both.
# Needs: root, /dev/fuse; apt packages unionfs-fuse, fuse-overlayfs and fuse3; network registry if one is missing.
set -euo pipefail

work=$(mktemp -d)
mounted=()
finish() {
    for mount in "${mounted[@]}"; do fusermount3 -u "$mount" || fusermount3 -uz "$mount" || true; done
    rm -rf "$work"
}
trap finish EXIT
[ "$(id -u)" = 0 ] && [ -c /dev/fuse ] || { echo "needs root and /dev/fuse"; exit 2; }

command -v unionfs >/dev/null || apt-get install -y -qq --no-install-recommends unionfs-fuse >/dev/null
command -v fuse-overlayfs >/dev/null || apt-get install -y -qq --no-install-recommends fuse-overlayfs >/dev/null
command -v fusermount3 >/dev/null || apt-get install -y -qq --no-install-recommends fuse3 >/dev/null

for kind in unionfs overlay; do
    mkdir -p "$work/$kind/lower/old" "$work/$kind/upper" "$work/$kind/work" "$work/$kind/mount"
    echo content >"$work/$kind/lower/old/file"
done
cd "$work"
unionfs -o cow "$work/unionfs/upper=RW:$work/unionfs/lower=RO" unionfs/mount
mounted+=("$work/unionfs/mount")
fuse-overlayfs -o "lowerdir=$work/overlay/lower,upperdir=$work/overlay/upper,workdir=$work/overlay/work" \
    overlay/mount 2>/dev/null
mounted+=("$work/overlay/mount")
dpkg-query -W -f '${Package} ${Version}\n' unionfs-fuse fuse-overlayfs

# Expected: "old" is as empty as it was under its first name, "fresh".
for kind in unionfs overlay; do
    cd "$work/$kind/mount"
    mv old moved
    mkdir old
    made=$(ls old)
    rmdir old
    mkdir fresh
    mv -T fresh old
    renamed=$(ls old)
    echo "$kind: expected \"\" and \"\", seen \"$made\" after mkdir, \"$renamed\" after mv"
    [ "$kind" = unionfs ] && want=" file" || want=" "
    [ "$made $renamed" = "$want" ] || { echo "the behaviour has changed"; exit 1; }
done
cd /
