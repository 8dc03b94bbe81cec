#!/usr/bin/env bash
# FACT: TileDB-Py 0.36.1 on Azure: VFS.open(uri, "wb") deletes the blob at once; close() then fails ("sync is not supported"), a second close() reports success, and neither old nor new content is there. "with" works.
# Needs: python3 (pip: tiledb, azure-storage-blob), node and npm (azurite), network registry. No root.
set -euo pipefail

work=$(mktemp -d)
server=
finish() {
    [ -z "$server" ] || { kill "$server" && wait "$server"; } 2>/dev/null || true
    rm -rf "$work"
}
trap finish EXIT

python3 -m venv "$work/env"
"$work/env/bin/pip" install -q --disable-pip-version-check tiledb==0.36.1 azure-storage-blob==12.31.1

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
import tiledb
from azure.storage.blob import ContainerClient

container = ContainerClient.from_connection_string(os.environ["CONNECTION"], "writes")
container.create_container()
config = tiledb.Config({"vfs.azure.storage_account_name": "probe", "vfs.azure.storage_account_key": os.environ["KEY"],
                        "vfs.azure.blob_endpoint": os.environ["ENDPOINT"]})
vfs = tiledb.VFS(config=config)

def content(name):
    blob = container.get_blob_client(name)
    return blob.download_blob().readall() if blob.exists() else None

# Expected: the old content stays until the new one is committed, and close() does what leaving "with" does.
container.upload_blob("with", b"old")
with vfs.open("azure://writes/with", "wb") as writer:
    writer.write(b"new")

container.upload_blob("close", b"old")
writer = vfs.open("azure://writes/close", "wb")
opened = content("close")
writer.write(b"new")
try:
    writer.close()
    first = "success"
except tiledb.TileDBError as error:
    first = str(error)
writer.close()
del writer
print("tiledb", tiledb.__version__)
print("expected: b'old' while it is open, then b'new'")
print("seen:     with:", content("with"), " while open:", opened, " close():", first)
print("          second close(): success, content:", content("close"))
assert opened is None and "sync is not supported" in first, "the behaviour has changed"
assert content("close") is None and content("with") == b"new", "the behaviour has changed"
PY
"$work/env/bin/python" "$work/probe.py"
