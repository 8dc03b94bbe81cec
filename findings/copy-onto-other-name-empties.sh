#!/usr/bin/env bash
# FACT: pyarrow 26.0.1 (LocalFileSystem.copy_file) and fs 2.4.16 (fs.copy.copy_file between two openings of one folder) empty a file that is copied onto itself under another name and report success; shutil raises SameFileError.
# Needs: python3 (pip: pyarrow, fs, setuptools), network registry. No root.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

python3 -m venv "$work/env"
"$work/env/bin/pip" install -q --disable-pip-version-check pyarrow==26.0.1 fs==2.4.16 setuptools==65.5.0

cat >"$work/probe.py" <<'PY'
import importlib.metadata, os, shutil, sys
from pyarrow import fs as arrow
from fs.copy import copy_file

def content_after(name, copy):
    with open(name, "wb") as file:
        file.write(b"content")
    try:
        copy(name)
    except (OSError, shutil.Error) as error:
        print(f"{name}: {type(error).__name__}")
    with open(name, "rb") as file:
        return file.read()

def through_link(copy):
    def call(name):
        os.link(name, name + ".link")
        copy(name, name + ".link")
    return call

os.chdir(sys.argv[1])
folder = os.getcwd()
local = arrow.LocalFileSystem()
# Expected: an error, or nothing is done. Arrow does see it where the two names are equal.
seen = {
    "shutil": content_after("shutil", through_link(shutil.copyfile)),
    "pyarrow, same name": content_after("equal", lambda name: local.copy_file(name, name)),
    "pyarrow, hard link": content_after("linked", through_link(local.copy_file)),
    "fs, folder opened twice": content_after("twice", lambda name: copy_file(folder, name, folder, name)),
}
print("pyarrow", importlib.metadata.version("pyarrow"), " fs", importlib.metadata.version("fs"))
print("expected: b'content' four times")
print("seen:    ", seen)
assert list(seen.values()) == [b"content", b"content", b"", b""], "the behaviour has changed"
PY
mkdir "$work/files"
"$work/env/bin/python" -W ignore "$work/probe.py" "$work/files"
