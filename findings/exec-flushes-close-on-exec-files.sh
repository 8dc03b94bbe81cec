#!/usr/bin/env bash
# FACT: Linux 6.18: a file of a FUSE mount that is open with O_CLOEXEC gets a FLUSH from every program that its process starts (CPython's subprocess, mfusepy 3.0.0), since exec in the child closes the inherited descriptor: a filesystem that stores on flush stores half-written files then, for a process that never touched them.
# Needs: root, /dev/fuse, python3 with venv (pip: mfusepy), apt package fuse3; network registry.
set -euo pipefail

work=$(mktemp -d)
server=
finish() {
    [ -z "$server" ] || { fusermount3 -uz "$work/mount" || true; kill "$server" 2>/dev/null || true; }
    rm -rf "$work"
}
trap finish EXIT
[ "$(id -u)" = 0 ] && [ -c /dev/fuse ] || { echo "needs root and /dev/fuse"; exit 2; }
command -v fusermount3 >/dev/null || apt-get install -y -qq --no-install-recommends fuse3 >/dev/null

python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --disable-pip-version-check mfusepy==3.0.0
mkdir "$work/mount"

# One file of no content; who flushes it is written down.
cat >"$work/serve.py" <<'PY'
import os, stat, sys
import mfusepy as fuse

class OneFile(fuse.Operations):
    def getattr(self, path, fh=None):
        if path == "/":
            return {"st_mode": stat.S_IFDIR | 0o755, "st_nlink": 2}
        if path == "/file":
            return {"st_mode": stat.S_IFREG | 0o644, "st_nlink": 1, "st_size": 0}
        raise fuse.FuseOSError(2)

    def open(self, path, flags):
        return 0

    def flush(self, path, fh):
        with open(sys.argv[2], "a") as log:
            log.write(f"{fuse.fuse_get_context()[2]}\n")
        return 0

fuse.FUSE(OneFile(), sys.argv[1], foreground=True, nothreads=True)
PY
"$work/venv/bin/python" "$work/serve.py" "$work/mount" "$work/flushed" >"$work/server.log" 2>&1 &
server=$!
for _ in $(seq 100); do
    [ -e "$work/mount/file" ] && break
    sleep 0.1
done

cat >"$work/client.py" <<'PY'
import fcntl, os, subprocess, sys

fd = os.open(sys.argv[1], os.O_RDWR | os.O_CLOEXEC)
assert fcntl.fcntl(fd, fcntl.F_GETFD) & fcntl.FD_CLOEXEC
for _ in range(3):
    subprocess.run(["/bin/true"], close_fds=False, check=True)
flushed = open(sys.argv[2]).read().split() if os.path.exists(sys.argv[2]) else []
print(len(flushed), sum(int(pid) == os.getpid() for pid in flushed))
os.close(fd)
PY
seen=$(python3 "$work/client.py" "$work/mount/file" "$work/flushed")
uname -r
"$work/venv/bin/pip" list 2>/dev/null | grep -i mfusepy
echo "expected: no flush before the owner closes the file: 0 0"
echo "seen:     flushes, and those of the owner itself: $seen"
[ "$seen" = "3 0" ] || { echo "the behaviour has changed"; exit 1; }
