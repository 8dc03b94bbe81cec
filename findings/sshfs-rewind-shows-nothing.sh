#!/usr/bin/env bash
# FACT: sshfs 3.7.3: a directory that is listed, gets a file, and is listed again through the same opening (rewinddir(3), os.listdir(fd) twice) is empty, and that is cached: whoever opens it anew finds no name in it, either. With dir_cache=no the second listing is empty without any change.
# Needs: root, /dev/fuse; apt packages sshfs and openssh-sftp-server, python3; network registry if one is missing. No ssh server: sshfs talks to sftp-server through a pipe.
set -euo pipefail

work=$(mktemp -d)
mounted=()
finish() {
    for mount in "${mounted[@]}"; do fusermount3 -u "$mount" || fusermount3 -uz "$mount" || true; done
    rm -rf "$work"
}
trap finish EXIT
[ "$(id -u)" = 0 ] && [ -c /dev/fuse ] || { echo "needs root and /dev/fuse"; exit 2; }

command -v sshfs >/dev/null || apt-get install -y -qq --no-install-recommends sshfs >/dev/null
[ -x /usr/lib/openssh/sftp-server ] || apt-get install -y -qq --no-install-recommends openssh-sftp-server >/dev/null
dpkg-query -W -f '${Package} ${Version}\n' sshfs openssh-sftp-server

printf '#!/bin/sh\nexec /usr/lib/openssh/sftp-server\n' >"$work/connect"
chmod +x "$work/connect"

cat >"$work/probe.py" <<'PY'
import os, sys

near, far, cached = sys.argv[1], sys.argv[2], sys.argv[3] == "cached"

def listings(name, change):
    directory = f"{near}/{name}"
    os.mkdir(directory)
    for file in ("one", "two"):
        open(f"{directory}/{file}", "w").close()
    descriptor = os.open(directory, os.O_RDONLY)
    first = sorted(os.listdir(descriptor))
    if change:
        open(f"{directory}/three", "w").close()
    # The descriptor is rewound before it is read, as rewinddir(3) does.
    second = sorted(os.listdir(descriptor))
    os.close(descriptor)
    anew = sorted(os.listdir(directory))
    print("  first", first, "through the same opening", second, "opened anew", anew, "at the server",
          sorted(os.listdir(f"{far}/{name}")))
    return first, second, anew

two, three = ["one", "two"], ["one", "three", "two"]
print("nothing happens in between")
assert listings(f"quiet-{sys.argv[3]}", False) == (two, two if cached else [], two), "the behaviour has changed"
print("a file is made in between")
assert listings(f"changed-{sys.argv[3]}", True) == (two, [], [] if cached else three), "the behaviour has changed"
PY

mkdir "$work/far"
for options in cached dir_cache=no; do
    near=$work/near-$options
    mkdir "$near"
    chosen=ssh_command=$work/connect
    [ "$options" = cached ] || chosen+=,$options
    sshfs -o "$chosen" "nowhere:$work/far" "$near"
    mounted+=("$near")
    echo "sshfs, $options:"
    python3 "$work/probe.py" "$near" "$work/far" "$options"
done
