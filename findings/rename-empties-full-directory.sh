#!/usr/bin/env bash
# FACT: CryFS 0.11.3 and fuse-zip 0.5.0: rename(2) of an empty directory onto a directory with files in it succeeds and they are gone from the mount, instead of ENOTEMPTY; "mv -T" loses them with exit code 0. fuse-zip has them again after the next mount.
# Needs: root, /dev/fuse; apt packages cryfs, fuse-zip, unzip and fuse3; network registry if one is missing.
set -euo pipefail

work=$(mktemp -d)
mounted=()
finish() {
    for mount in "${mounted[@]}"; do fusermount3 -u "$mount" || fusermount3 -uz "$mount" || true; done
    rm -rf "$work"
}
trap finish EXIT
[ "$(id -u)" = 0 ] && [ -c /dev/fuse ] || { echo "needs root and /dev/fuse"; exit 2; }

command -v cryfs >/dev/null || apt-get install -y -qq --no-install-recommends cryfs >/dev/null
command -v fuse-zip >/dev/null || apt-get install -y -qq --no-install-recommends fuse-zip fuse3 >/dev/null
command -v unzip >/dev/null || apt-get install -y -qq --no-install-recommends unzip >/dev/null

mkdir "$work/cipher" "$work/cryfs" "$work/zip" "$work/config" "$work/cache"
export HOME=$work XDG_CONFIG_HOME=$work/config XDG_DATA_HOME=$work/cache
echo password | CRYFS_FRONTEND=noninteractive CRYFS_NO_UPDATE_CHECK=true cryfs "$work/cipher" "$work/cryfs" >/dev/null
mounted+=("$work/cryfs")
fuse-zip "$work/files.zip" "$work/zip"
mounted+=("$work/zip")
CRYFS_NO_UPDATE_CHECK=true cryfs --version 2>/dev/null | sed -n 1p
{ fuse-zip --version || true; } 2>&1 | sed -n 1p

# Expected: "Directory not empty", and the file stays.
same=yes
for place in "$work" "$work/cryfs" "$work/zip"; do
    mkdir "$place/empty" "$place/full"
    echo content >"$place/full/file"
    code=0
    mv -T "$place/empty" "$place/full" 2>/dev/null || code=$?
    left=$(ls "$place/full")
    echo "${place#"$work"}/full: expected exit code 1 and \"file\", seen $code and \"$left\""
    [ "$place" = "$work" ] && want="1 file" || want="0 "
    [ "$code $left" = "$want" ] || same=no
done
fusermount3 -u "$work/zip"
unset 'mounted[1]'
for _ in $(seq 50); do
    [ -s "$work/files.zip" ] && break
    sleep 0.1
done
unzip -tq "$work/files.zip" full/file >/dev/null && echo "in the archive after unmount: full/file again" || same=no
[ $same = yes ] || { echo "the behaviour has changed"; exit 1; }
