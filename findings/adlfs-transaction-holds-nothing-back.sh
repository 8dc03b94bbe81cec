#!/usr/bin/env bash
# FACT: adlfs 2026.8.0 with fsspec 2026.9.0: an exception inside "with fs.transaction" does not discard the writes made in it; the old content is replaced all the same, and discard() of an open file uploads it, too.
# Needs: python3 (pip: adlfs, fsspec, azure-storage-blob), node and npm (azurite), network registry. No root.
set -euo pipefail

work=$(mktemp -d)
server=
finish() {
    [ -z "$server" ] || { kill "$server" && wait "$server"; } 2>/dev/null || true
    rm -rf "$work"
}
trap finish EXIT

python3 -m venv "$work/env"
"$work/env/bin/pip" install -q --disable-pip-version-check adlfs==2026.8.0 fsspec==2026.9.0 azure-storage-blob==12.31.1

# An account of its own, on loopback only.
key=$(head -c 32 /dev/urandom | base64 -w0)
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
npm install --silent --no-fund --no-audit --ignore-scripts --prefix "$work" azurite@3.37.0 >/dev/null
AZURITE_ACCOUNTS="probe:$key" node "$work/node_modules/.bin/azurite-blob" --silent --inMemoryPersistence \
    --skipApiVersionCheck --disableTelemetry --blobHost 127.0.0.1 --blobPort "$port" >/dev/null 2>&1 &
server=$!
for _ in $(seq 100); do
    (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && break
    sleep 0.2
done
export ENDPOINT="http://127.0.0.1:$port/probe" KEY="$key"
export CONNECTION="DefaultEndpointsProtocol=http;AccountName=probe;AccountKey=$key;BlobEndpoint=$ENDPOINT;"

cat >"$work/probe.py" <<'PY'
import os
import adlfs
import fsspec
from azure.storage.blob import ContainerClient

container = ContainerClient.from_connection_string(os.environ["CONNECTION"], "writes")
container.create_container()
container.upload_blob("data", b"old")
fs = adlfs.AzureBlobFileSystem(connection_string=os.environ["CONNECTION"])

class Abort(Exception):
    pass

def rolled_back(filesystem, path):
    try:
        with filesystem.transaction:
            with filesystem.open(path, "wb") as stream:
                stream.write(b"new")
            raise Abort
    except Abort:
        return filesystem.cat_file(path)

# Expected: b"old", as with fsspec's own local filesystem; the open file knows discard() for this.
local = os.environ["WORK"] + "/data"
with open(local, "wb") as stream:
    stream.write(b"old")
on_disk = rolled_back(fsspec.filesystem("file"), local)
in_azure = rolled_back(fs, "writes/data")
dropped = fs.open("writes/dropped", "wb")
dropped.write(b"x")
dropped.discard()
dropped.close()
there = container.get_blob_client("dropped").exists()
print("adlfs", adlfs.__version__, " fsspec", fsspec.__version__)
print("expected: b'old' twice, and no blob after discard()")
print("seen:     local:", on_disk, " adlfs:", in_azure, " blob after discard():", there)
assert (on_disk, in_azure, there) == (b"old", b"new", True), "the behaviour has changed"
PY
WORK="$work" "$work/env/bin/python" "$work/probe.py"
