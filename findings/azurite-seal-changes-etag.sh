#!/usr/bin/env bash
# FACT: Azurite 3.37.0: Append Blob Seal gives the blob a new ETag, and another one each time it is sealed again, although the operation is documented as idempotent and to leave ETag and Last-Modified as they were: an append blob that is sealed and then read with the ETag of its last append is 412.
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
from azure.core import MatchConditions
from azure.core.exceptions import HttpResponseError
from azure.storage.blob import ContainerClient

container = ContainerClient.from_connection_string(os.environ["CONNECTION"], "logs")
container.create_container()
blob = container.get_blob_client("log")
blob.create_append_blob()
appended = blob.append_block(b"content")["etag"]
sealed = blob.seal_append_blob()["etag"]
again = blob.seal_append_blob()["etag"]
try:
    blob.download_blob(etag=appended, match_condition=MatchConditions.IfNotModified).readall()
    read = 200
except HttpResponseError as error:
    read = error.status_code
print("ETag of the append, of the seal, of the second seal:", appended, sealed, again)
# https://learn.microsoft.com/rest/api/storageservices/append-blob-seal
print(f"expected the same three times and 200 for a read by the first, seen {len({appended, sealed, again})} and {read}")
assert (len({appended, sealed, again}), read) == (3, 412), "the behaviour has changed"
PY
"$work/env/bin/python" "$work/probe.py"
