#!/usr/bin/env bash
# FACT: deltalake 1.6.6 and pylance 14.0.2 cannot write even the first version of a table on a CryFS 0.11.3 mount: both commit by link(2), which CryFS answers as "Numerical result out of range"; HDF5 and SQLite in WAL mode work there.
# Needs: root, /dev/fuse, python3 (pip: deltalake, pylance, pyarrow, h5py), apt packages cryfs and fuse3; network registry.
set -euo pipefail

work=$(mktemp -d)
mounted=()
finish() {
    for mount in "${mounted[@]}"; do fusermount3 -u "$mount" || fusermount3 -uz "$mount" || true; done
    rm -rf "$work"
}
trap finish EXIT
[ "$(id -u)" = 0 ] && [ -c /dev/fuse ] || { echo "needs root and /dev/fuse"; exit 2; }

command -v cryfs >/dev/null || apt-get install -y -qq --no-install-recommends cryfs >/dev/null
command -v fusermount3 >/dev/null || apt-get install -y -qq --no-install-recommends fuse3 >/dev/null

python3 -m venv "$work/env"
"$work/env/bin/pip" install -q --disable-pip-version-check deltalake==1.6.6 pylance==14.0.2 pyarrow==26.0.1 h5py==3.16.0

mkdir "$work/cipher" "$work/mount"
export HOME=$work CRYFS_FRONTEND=noninteractive CRYFS_NO_UPDATE_CHECK=true
echo password | cryfs "$work/cipher" "$work/mount" >/dev/null
mounted+=("$work/mount")
cryfs --version 2>/dev/null | sed -n 1p

cat >"$work/probe.py" <<'PY'
import importlib.metadata, os, sqlite3, sys
import deltalake
import h5py
import lance
import pyarrow

os.chdir(sys.argv[1])
table = pyarrow.table({"number": [1, 2]})

def sqlite():
    connection = sqlite3.connect("data.db")
    assert connection.execute("pragma journal_mode = wal").fetchone() == ("wal",)
    connection.execute("create table numbers (number)")
    connection.commit()

def hdf5():
    with h5py.File("data.h5", "w") as file:
        file["numbers"] = [1, 2]

def link():
    with open("one", "wb"):
        os.link("one", "two")

# Expected: one writer, a new table, a file system with rename(2): this works, or link(2) is said to be missing.
seen = {}
for name, write in {
    "deltalake": lambda: deltalake.write_deltalake("delta", table),
    "pylance": lambda: lance.write_dataset(table, "data.lance"),
    "link(2)": link, "HDF5": hdf5, "SQLite": sqlite,
}.items():
    try:
        write()
        seen[name] = "success"
    except OSError as error:
        seen[name] = str(error).splitlines()[0].split(", /")[0]
print(*(f"{name} {importlib.metadata.version(name)}" for name in ("deltalake", "pylance")))
print("expected: success from all but link(2), and EPERM there")
for name, outcome in seen.items():
    print(f"seen:     {name}: {outcome}")
same = seen["HDF5"] == seen["SQLite"] == "success" and seen["deltalake"] != "success"
same = same and "Numerical result out of range" in seen["pylance"] and "Numerical result" in seen["link(2)"]
sys.exit(None if same else "the behaviour has changed")
PY
"$work/env/bin/python" "$work/probe.py" "$work/mount"
