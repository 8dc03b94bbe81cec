#!/usr/bin/env bash
# FACT: universal-pathlib 0.3.10 on fsspec 2026.9.0: UPath("memory:///box/g[1]").unlink() deletes the file "g1" and leaves "g[1]": reading takes the name as it is, deleting takes it for a pattern.
# Needs: python3 (pip: universal-pathlib, fsspec), network registry. No root.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

python3 -m venv "$work/env"
"$work/env/bin/pip" install -q --disable-pip-version-check universal-pathlib==0.3.10 fsspec==2026.9.0

cat >"$work/probe.py" <<'PY'
import importlib.metadata
from upath import UPath

box = UPath("memory:///box")
box.mkdir()
(box / "g1").write_bytes(b"plain")
target = box / "g[1]"
target.write_bytes(b"bracket")

# Expected: as pathlib.Path has it, unlink() takes away what read_bytes() reads.
read = target.read_bytes()
target.unlink()
left = sorted(path.name for path in box.iterdir())
print(*(f"{name} {importlib.metadata.version(name)}" for name in ("universal-pathlib", "fsspec")))
print("expected: read b'bracket', left ['g1']")
print("seen:     read", read, " left", left)
assert read == b"bracket" and left == ["g[1]"], "the behaviour has changed"
PY
"$work/env/bin/python" "$work/probe.py"
