#!/usr/bin/env bash
# FACT: Linux 6.18: lseek(2) with SEEK_DATA or SEEK_HOLE on a FUSE mount with write-back cache asks the filesystem while the written pages are still in the kernel: GNU cp 9.1 of a file that another process has written and still has open (libfuse 3.14's passthrough_ll) exits 0 and makes a copy of zeros alone; the next cp is right, since the first one's close has written the pages back.
# Needs: root, /dev/fuse, fusermount3, gcc, python3; network registry (apt package libfuse3-dev for its example, unpacked in a temp folder).
set -euo pipefail

work=$(mktemp -d)
near=$work/near
finish() {
    [ -z "${writer_PID:-}" ] || kill "$writer_PID" 2>/dev/null || true
    ! mountpoint -q "$near" || fusermount3 -u "$near" || fusermount3 -uz "$near" || true
    rm -rf "$work"
}
trap finish EXIT
[ "$(id -u)" = 0 ] && [ -c /dev/fuse ] && command -v gcc >/dev/null && command -v fusermount3 >/dev/null || {
    echo "needs root, /dev/fuse, gcc and fusermount3"
    exit 2
}
version=$(dpkg-query -W -f '${Version}' libfuse3-3 2>/dev/null) || { echo "needs libfuse3-3"; exit 2; }

(cd "$work" && apt-get download -qq -o APT::Sandbox::User=root "libfuse3-dev=$version" >/dev/null)
dpkg -x "$work"/libfuse3-dev_*.deb "$work/fuse"
# The package leaves the link for the linker; the library itself is the installed one.
gcc -D_FILE_OFFSET_BITS=64 -I"$work/fuse/usr/include/fuse3" -I"$work/fuse/usr/include" -o "$work/passthrough_ll" \
    "$work/fuse/usr/share/doc/libfuse3-dev/examples/passthrough_ll.c" -l:libfuse3.so.3
echo "Linux $(uname -r), libfuse $version, $(cp --version | sed -n 1p)"

cat >"$work/writer.py" <<'PY'
import os, sys

log = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT, 0o644)
for number in range(2000):
    os.write(log, b"line %d\n" % number)
print("written", flush=True)
sys.stdin.read()
PY

# How many bytes of a copy made by cp(1) are not zero.
copied() {
    rm -f "$work/copy"
    cp "$near/log" "$work/copy"
    tr -d '\0' <"$work/copy" | wc -c
}

mkdir "$near"
for cache in writeback no_writeback; do
    mkdir "$work/far-$cache"
    "$work/passthrough_ll" -o source="$work/far-$cache" -o cache=always -o "$cache" "$near"
    coproc writer { exec python3 "$work/writer.py" "$near/log"; }
    read -r _ <&"${writer[0]}"
    size=$(stat -c %s "$near/log")
    first=$(copied)
    second=$(copied)
    # Expected: the file has no hole, as anybody who reads it sees, so each cp copies what was written.
    echo "$cache: expected $size bytes twice, seen $first and $second"
    kill "$writer_PID"
    wait "$writer_PID" 2>/dev/null || true
    fusermount3 -u "$near"
    want="$size $size"
    [ "$cache" = no_writeback ] || want="0 $size"
    [ "$size" -gt 0 ] && [ "$first $second" = "$want" ] || { echo "the behaviour has changed"; exit 1; }
done
