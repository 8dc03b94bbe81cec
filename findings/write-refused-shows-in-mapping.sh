#!/usr/bin/env bash
# FACT: A write(2) that a FUSE filesystem refuses is seen all the same by whoever has the page mapped; read(2) shows the old bytes again.
# Needs: Linux with FUSE, python3 with venv, libfuse (fuse3), root or fusermount
#
# The kernel copies the bytes into the page cache first and asks the daemon afterwards. When the daemon says no, the folio is only marked as
# not up to date. Page tables that have it keep it, new bytes and all, until somebody happens to read(2) the page and has it filled again.
set -euo pipefail
dir=$(mktemp -d)
trap 'umount -l "$dir/mnt" 2>/dev/null || true; rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check mfusepy==3.1.1
mkdir "$dir/mnt"
cat > "$dir/fs.py" <<'PY'
import errno, stat, sys
import mfusepy as fuse

SIZE = 8192

class One(fuse.Operations):
    use_ns = True
    def getattr(self, path, fh=None):
        if path == "/":
            return {"st_mode": stat.S_IFDIR | 0o755, "st_nlink": 2}
        if path == "/f":
            return {"st_mode": stat.S_IFREG | 0o644, "st_nlink": 1, "st_size": SIZE}
        raise fuse.FuseOSError(errno.ENOENT)
    def readdir(self, path, fh):
        return [".", "..", "f"]
    def open(self, path, flags):
        return 1
    def read(self, path, size, offset, fh):
        return b"o" * max(0, min(size, SIZE - offset))
    def write(self, path, data, offset, fh):
        raise fuse.FuseOSError(errno.EIO)

fuse.FUSE(One(), sys.argv[1], foreground=True, nothreads=True)
PY
"$dir/venv/bin/python" "$dir/fs.py" "$dir/mnt" & 
for _ in $(seq 100); do [ -e "$dir/mnt/f" ] && break; sleep 0.1; done
uname -r
python3 - "$dir/mnt/f" <<'PY'
import errno, mmap, os, sys
fd = os.open(sys.argv[1], os.O_RDWR)
seen = mmap.mmap(fd, 8192, mmap.MAP_SHARED, mmap.PROT_READ)
assert seen[0:1] == b"o" and seen[4096:4097] == b"o"
try:
    os.pwrite(fd, b"n" * 4096, 0)
except OSError as error:
    refused = errno.errorcode[error.errno]
else:
    refused = "not refused"
mapped, read, mapped_again = seen[0:4], os.pread(fd, 4, 0), seen[0:4]
print("write:", refused, "mapped:", mapped, "read:", read, "mapped after that:", mapped_again, "next page:", seen[4096:4100])
assert (refused, mapped, read) == ("EIO", b"nnnn", b"oooo"), "it behaves otherwise now"
PY
umount "$dir/mnt" || umount -l "$dir/mnt"
wait || true
