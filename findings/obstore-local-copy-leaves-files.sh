#!/usr/bin/env bash
# FACT: obstore 0.12.1, LocalStore: copy() makes a hard link, so an append to the source shows in the "copy"; and each further copy over it leaves a file NAME#0, NAME#1, ... that list() does not show.
# Needs: python3 (pip: obstore), network registry. No root.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

python3 -m venv "$work/env"
"$work/env/bin/pip" install -q --disable-pip-version-check obstore==0.12.1

cat >"$work/probe.py" <<'PY'
import os, sys
import obstore
from obstore.store import LocalStore

os.chdir(sys.argv[1])
store = LocalStore(os.getcwd())
obstore.put(store, "source", b"content")

# Expected: a file of its own, and nothing beside it, however often it is copied.
for _ in range(3):
    obstore.copy(store, "source", "copy")
same = os.path.samefile("source", "copy")
with open("source", "ab") as file:
    file.write(b" and more")
copied = bytes(obstore.get(store, "copy").bytes())
there = sorted(os.listdir())
listed = sorted(entry["path"] for entry in obstore.list(store).collect())
print("obstore", obstore.__version__)
print("expected: copy b'content'; files: copy, source")
print(f"seen:     copy {copied}; files: {', '.join(there)}; listed: {', '.join(listed)}")
assert same and copied == b"content and more", "the behaviour has changed"
assert there == ["copy", "copy#0", "copy#1", "source"] and listed == ["copy", "source"], "the behaviour has changed"
PY
mkdir "$work/store"
"$work/env/bin/python" "$work/probe.py" "$work/store"
