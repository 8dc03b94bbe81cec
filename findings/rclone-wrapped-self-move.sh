#!/usr/bin/env bash
# FACT: rclone 1.60.1: "rclone moveto x x" leaves x alone on the local backend and on an alias of it, but the same through chunker, compress or hasher exits 0 and deletes x, with nothing left in the folder below.
# Needs: apt package rclone (with apt-get and root if it is missing); no network otherwise.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

command -v rclone >/dev/null || apt-get install -y -qq --no-install-recommends rclone >/dev/null

export RCLONE_CONFIG="$work/rclone.conf" XDG_CACHE_HOME="$work/cache"
for kind in alias chunker compress hasher; do
    mkdir "$work/$kind"
    printf '[%s]\ntype = %s\nremote = %s\n' $kind $kind "$work/$kind" >>"$RCLONE_CONFIG"
done
mkdir "$work/local"
rclone version | sed -n 1p

# Expected: wrapping a backend takes none of its safety away, so the file is there afterwards.
for place in "$work/local/" alias: chunker: compress: hasher:; do
    echo content | rclone rcat "${place}x"
    code=0
    rclone --quiet moveto "${place}x" "${place}x" || code=$?
    left=$(rclone lsf "$place")
    kind=$(basename "${place%:}")
    below=$(find "$work/$kind" -type f | wc -l)
    echo "$kind: expected exit code 0 and \"x\", seen $code and \"$left\", $below files below"
    case $kind in
    local | alias) want="0 x 1" ;;
    *) want="0  0" ;;
    esac
    [ "$code $left $below" = "$want" ] || { echo "the behaviour has changed"; exit 1; }
done
