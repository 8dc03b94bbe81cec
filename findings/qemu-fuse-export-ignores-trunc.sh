#!/usr/bin/env bash
# FACT: qemu-storage-daemon 10.0.2: a FUSE export of qcow2 ignores O_TRUNC, so cp of a shorter file exits 0 and keeps the old size and tail; yet truncate(1) works. With growable=on, text appended with >> is refused with EINVAL, and fallocate(1) works behind the end but not inside.
# Needs: root, /dev/fuse; apt packages qemu-system-common or (newer) qemu-utils with qemu-storage-daemon, qemu-utils, fuse3, util-linux; network registry if one is missing.
set -euo pipefail

work=$(mktemp -d)
mounted=()
finish() {
    for mount in "${mounted[@]}"; do fusermount3 -u "$mount" || fusermount3 -uz "$mount" || true; done
    rm -rf "$work"
}
trap finish EXIT
[ "$(id -u)" = 0 ] && [ -c /dev/fuse ] || { echo "needs root and /dev/fuse"; exit 2; }

command -v qemu-img >/dev/null || apt-get install -y -qq --no-install-recommends qemu-utils >/dev/null
command -v fusermount3 >/dev/null || apt-get install -y -qq --no-install-recommends fuse3 >/dev/null

command -v qemu-storage-daemon >/dev/null ||
    apt-get install -y -qq --no-install-recommends qemu-system-common >/dev/null
cd "$work"
qemu-img create -q -f qcow2 disk.qcow2 1M
touch export
qemu-storage-daemon --blockdev driver=file,filename=disk.qcow2,node-name=file \
    --blockdev driver=qcow2,file=file,node-name=disk \
    --export type=fuse,id=export,node-name=disk,mountpoint=export,writable=on,growable=on &
daemon=$!
stop() {
    kill "$daemon" 2>/dev/null && wait "$daemon" || true
    cd /
    finish
}
trap stop EXIT
for _ in $(seq 100); do
    [ "$(stat -c %s export)" = 1048576 ] && break
    sleep 0.1
done
qemu-storage-daemon --version | sed -n 1p

try() { "$@" 2>/dev/null && echo success || echo failure; }
append() { { echo text >>export; } 2>/dev/null; }
inside=$(try fallocate -o 0 -l 65536 export)
behind=$(try fallocate -o 1048576 -l 65536 export)
head -c 1114112 /dev/zero | tr '\0' o >export
head -c 1024 /dev/zero | tr '\0' n >new
copied=$(try cp new export)
size=$(stat -c %s export)
same=$(cmp -s new export && echo new || echo "new with the tail of old")
[ "$(tail -c 1 export)" = o ] || same=other
truncated=$(try truncate -s 1024 export) cut=$(stat -c %s export)
appended=$(try append)

echo "expected: cp success: 1024 new; truncate success 1024; append and fallocate: success"
echo "seen:     cp $copied: $size $same; truncate $truncated $cut; append $appended;"
echo "          fallocate $inside inside, $behind behind"
[ "$copied $size $same" = "success 1114112 new with the tail of old" ] &&
    [ "$truncated $cut $appended $inside $behind" = "success 1024 failure failure success" ] ||
    { echo "the behaviour has changed"; exit 1; }
