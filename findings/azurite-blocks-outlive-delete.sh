#!/usr/bin/env bash
# FACT: Azurite 3.37.0: uncommitted blocks outlive Put Blob and even Delete Blob: a blob that was deleted and made anew still lists the block staged for its predecessor, and Put Block List commits it.
# Needs: python3 (pip: azure-storage-blob), node and npm (azurite), network registry. No root.
set -euo pipefail

work=$(mktemp -d)
server=
finish() {
    [ -z "$server" ] || { kill "$server" && wait "$server"; } 2>/dev/null || true
    rm -rf "$work"
}
trap finish EXIT

python3 -m venv "$work/env"
"$work/env/bin/pip" install -q --disable-pip-version-check azure-storage-blob==12.31.1

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
from azure.storage.blob import ContainerClient

container = ContainerClient.from_connection_string(os.environ["CONNECTION"], "blocks")
container.create_container()
blob = container.get_blob_client("data")
blob.upload_blob(b"first")
blob.stage_block("left", b"left over")
blob.delete_blob()
blob.upload_blob(b"second")

# Expected: none. The reference of Put Block says that Put Blob throws uncommitted blocks away.
uncommitted = [block.id for block in blob.get_block_list("all")[1]]
blob.commit_block_list(["left"])
content = blob.download_blob().readall()
print("expected: no uncommitted block, and InvalidBlockList for the commit")
print("seen:     uncommitted blocks:", uncommitted, " content after the commit:", content)
assert uncommitted == ["left"] and content == b"left over", "the behaviour has changed"
PY
"$work/env/bin/python" "$work/probe.py"
