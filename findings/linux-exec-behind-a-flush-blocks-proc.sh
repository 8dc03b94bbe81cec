#!/usr/bin/env bash
# FACT: Linux 6.18: while a process is in execve and the kernel waits for a filesystem's answer to the close of a descriptor (O_CLOEXEC, FUSE_FLUSH), whoever reads its /proc/PID/stat, maps, environ, io or syscall, or follows its links exe, root or fd/N, waits too, as long as that answer takes; status, cmdline and the listing of fdinfo answer at once. So a FUSE daemon that looks at a caller's stat before it answers the FLUSH waits for itself.
# Needs: root, /dev/fuse; apt packages fuse3 and libfuse3-3, python3 with venv; network registry (mfusepy 3.1.1 from PyPI).
set -euo pipefail

work=$(mktemp -d)
finish() {
    fusermount3 -u "$work/m" 2>/dev/null || umount -l "$work/m" 2>/dev/null || true
    rm -rf "$work"
}
trap finish EXIT
[ "$(id -u)" = 0 ] && [ -c /dev/fuse ] || { echo "needs root and /dev/fuse"; exit 2; }
command -v fusermount3 >/dev/null || apt-get install -y -qq --no-install-recommends fuse3 libfuse3-3 >/dev/null
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check mfusepy==3.1.1
echo "Linux $(uname -r), mfusepy 3.1.1"

cat >"$work/filesystem.py" <<'PY'
# One file, whose close takes its time.
import stat, sys, time
import mfusepy

class Slow(mfusepy.Operations):
    def getattr(self, path, fh=None):
        directory = {"st_mode": stat.S_IFDIR | 0o755, "st_nlink": 2}
        return directory if path == "/" else {"st_mode": stat.S_IFREG | 0o644, "st_nlink": 1, "st_size": 0}

    def open(self, path, flags):
        return 1

    def flush(self, path, fh):
        time.sleep(float(sys.argv[2]))
        return 0

mfusepy.FUSE(Slow(), sys.argv[1], foreground=True, nothreads=False)
PY

cat >"$work/probe.py" <<'PY'
import os, sys, threading, time

near, late = sys.argv[1], float(sys.argv[2])
child = os.fork()
if child == 0:
    # Python's descriptors are closed by exec.
    os.open(near + "/file", os.O_RDONLY)
    os.execv("/bin/sleep", ["sleep", "60"])
time.sleep(late / 4)

def read(name):
    with open(f"/proc/{child}/{name}", "rb") as file:
        return file.read()

looks = {name: (lambda name=name: read(name)) for name in ("status", "cmdline", "stat", "maps", "environ", "io", "syscall")}
looks["fdinfo/"] = lambda: os.listdir(f"/proc/{child}/fdinfo")
for link in ("exe", "root", "fd/0"):
    looks[link] = lambda link=link: os.stat(f"/proc/{child}/{link}")
took = {}

def look(name):
    began = time.monotonic()
    try:
        looks[name]()
    except OSError:
        pass
    took[name] = time.monotonic() - began

threads = [threading.Thread(target=look, args=(name,)) for name in looks]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
os.kill(child, 9)
os.waitpid(child, 0)
waits = sorted(name for name, seconds in took.items() if seconds > late / 4)
answers = sorted(set(looks) - set(waits))
print("waits until the close is answered:", *waits)
print("answers at once:", *answers)
expected = ["environ", "exe", "fd/0", "io", "maps", "root", "stat", "syscall"]
assert waits == expected, f"it was {expected}"
PY

mkdir "$work/m"
"$work/venv/bin/python" "$work/filesystem.py" "$work/m" 4 &
for _ in $(seq 100); do mountpoint -q "$work/m" && break; sleep 0.1; done
mountpoint -q "$work/m"
python3 "$work/probe.py" "$work/m" 4
