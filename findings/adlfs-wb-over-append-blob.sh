#!/usr/bin/env bash
# FACT: adlfs 2026.8.0: open(name, "ab") of a new name makes an append blob, and from then on open(name, "wb") raises FileExistsError, although "wb" replaces block blobs and pipe_file() replaces the very same append blob.
# Needs: python3 (pip: adlfs, azure-storage-blob), node and npm (azurite), network registry. No root.
set -euo pipefail

work=$(mktemp -d)
server=
finish() {
    [ -z "$server" ] || { kill "$server" && wait "$server"; } 2>/dev/null || true
    rm -rf "$work"
}
trap finish EXIT

python3 -m venv "$work/env"
"$work/env/bin/pip" install -q --disable-pip-version-check adlfs==2026.8.0 azure-storage-blob==12.31.1

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
from azure.storage.blob import ContainerClient

container = ContainerClient.from_connection_string(os.environ["CONNECTION"], "logs")
container.create_container()
fs = adlfs.AzureBlobFileSystem(connection_string=os.environ["CONNECTION"])

def write(name, mode):
    with fs.open("logs/" + name, mode) as stream:
        stream.write(b"line")
    return container.download_blob(name).readall()

write("log", "ab")
write("block", "wb")
# Expected: "wb" begins anew, whatever was there. "xb" is the mode for FileExistsError.
try:
    again = write("log", "wb")
except FileExistsError as error:
    again = repr(error)
fs.pipe_file("logs/log", b"piped")
piped = container.download_blob("log").readall()
print("adlfs", adlfs.__version__)
print("expected: b'line' from open(..., 'wb')")
print("seen:     block blob:", write("block", "wb"), " append blob:", again, " then pipe_file:", piped)
assert again.startswith("FileExistsError") and piped == b"piped", "the behaviour has changed"
PY
"$work/env/bin/python" "$work/probe.py"
