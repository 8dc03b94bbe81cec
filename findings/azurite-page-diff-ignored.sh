#!/usr/bin/env bash
# FACT: Azurite 3.37.0: Get Page Ranges with "prevsnapshot" is answered with 200 and the ranges of the whole blob: a page that has not changed since the snapshot is listed as changed, one that was cleared since is not listed at all.
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

container = ContainerClient.from_connection_string(os.environ["CONNECTION"], "pages")
container.create_container()
blob = container.get_blob_client("disk")
blob.create_page_blob(4096)
blob.upload_page(b"a" * 512, 0, 512)
blob.upload_page(b"b" * 512, 1024, 512)
snapshot = blob.create_snapshot()
blob.clear_page(1024, 512)

# Expected: nothing was written since the snapshot, 1024 to 1535 was cleared; or 501, as for other missing features.
written, cleared = blob.get_page_ranges(previous_snapshot_diff=snapshot)
print("expected: written [], cleared [1024-1535], or an error")
print("seen:     written", written, "cleared", cleared)
assert written == [{"start": 0, "end": 511}] and cleared == [], "the behaviour has changed"
PY
"$work/env/bin/python" "$work/probe.py"
