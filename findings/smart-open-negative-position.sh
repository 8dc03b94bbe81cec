#!/usr/bin/env bash
# FACT: smart_open 9.0.2: seek(-100, SEEK_CUR) at byte 8 of an Azure blob succeeds and returns -92, tell() repeats it, and the next read fails with an error about a missing Content-Range header.
# Needs: python3 (pip: smart_open[azure], azure-storage-blob), node and npm (azurite), network registry. No root.
set -euo pipefail

work=$(mktemp -d)
server=
finish() {
    [ -z "$server" ] || { kill "$server" && wait "$server"; } 2>/dev/null || true
    rm -rf "$work"
}
trap finish EXIT

python3 -m venv "$work/env"
"$work/env/bin/pip" install -q --disable-pip-version-check 'smart_open[azure]==9.0.2' azure-storage-blob==12.31.1

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
import importlib.metadata, io, os
import smart_open
from azure.storage.blob import BlobServiceClient

service = BlobServiceClient.from_connection_string(os.environ["CONNECTION"])
service.create_container("reads").upload_blob("digits", b"0123456789")

def back(stream):
    """What seeking to before the start gives, and what a read of one byte gives then."""
    stream.read(8)
    try:
        seek = stream.seek(-100, io.SEEK_CUR)
    except (OSError, ValueError) as error:
        seek = repr(error)
    try:
        read = stream.read(1)
    except Exception as error:
        read = repr(error)
    return seek, stream.tell(), read

# Expected: as with a file, seek fails and the position stays, or it is clamped to 0 as BytesIO does.
with smart_open.open("azure://reads/digits", "rb", transport_params={"client": service}) as stream:
    seen = back(stream)
print("smart_open", importlib.metadata.version("smart_open"))
print("expected: an error, or", back(io.BytesIO(b"0123456789")))
print("seen:    ", seen)
assert seen[:2] == (-92, -92) and "Content-Range" in seen[2], "the behaviour has changed"
PY
"$work/env/bin/python" "$work/probe.py"
