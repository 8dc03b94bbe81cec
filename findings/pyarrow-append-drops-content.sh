#!/usr/bin/env bash
# FACT: pyarrow 26.0.1: open_append_stream() of AzureFileSystem on a small blob that an Azure SDK has uploaded throws away what was there, without an error: "one" with "more" appended becomes "more".
# Needs: python3 (pip: pyarrow, azure-storage-blob), node and npm (azurite), network registry. No root.
set -euo pipefail

work=$(mktemp -d)
server=
finish() {
    [ -z "$server" ] || { kill "$server" && wait "$server"; } 2>/dev/null || true
    rm -rf "$work"
}
trap finish EXIT

python3 -m venv "$work/env"
"$work/env/bin/pip" install -q --disable-pip-version-check pyarrow==26.0.1 azure-storage-blob==12.31.1

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
from urllib.parse import urlsplit
import pyarrow
from pyarrow import fs
from azure.storage.blob import ContainerClient

# Expected: "more" goes behind what is there, or the blob is refused because it cannot be appended to.
container = ContainerClient.from_connection_string(os.environ["CONNECTION"], "appends")
container.create_container()
host = urlsplit(os.environ["ENDPOINT"]).netloc
arrow = fs.AzureFileSystem("probe", account_key=os.environ["KEY"], blob_storage_authority=host,
                           blob_storage_scheme="http", dfs_storage_authority=host, dfs_storage_scheme="http")

def append(name):
    with arrow.open_append_stream("appends/" + name) as stream:
        stream.write(b"more")
    return container.download_blob(name).readall()

# One Put Blob: its content is not in the block list, which Arrow takes for the whole blob.
container.upload_blob("single", b"one")
# The same content from a block list.
blob = container.get_blob_client("blocks")
blob.stage_block("a", b"one")
blob.commit_block_list(["a"])

single, blocks = append("single"), append("blocks")
print("pyarrow", pyarrow.__version__)
print("expected: b'onemore' twice, or an error")
print("seen:     uploaded at once:", single, " uploaded as a block:", blocks)
assert single == b"more" and blocks == b"onemore", "the behaviour has changed"
PY
"$work/env/bin/python" "$work/probe.py"
