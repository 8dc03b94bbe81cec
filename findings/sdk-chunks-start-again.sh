#!/usr/bin/env bash
# FACT: azure-storage-blob 12.31.1 for Python: after read(5) of a download, read(), readall() and readinto() give what is left, and chunks() gives the whole blob from its first byte.
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
import importlib.metadata, io, os
from azure.storage.blob import ContainerClient

container = ContainerClient.from_connection_string(os.environ["CONNECTION"], "reads")
container.create_container()
container.upload_blob("digits", b"0123456789")

def into(download):
    target = io.BytesIO()
    download.readinto(target)
    return target.getvalue()

# Expected: one position for all of them, so each gives b"56789".
rest = {}
for name, call in {
    "read": lambda download: download.read(),
    "readall": lambda download: download.readall(),
    "readinto": into,
    "chunks": lambda download: b"".join(download.chunks()),
}.items():
    download = container.download_blob("digits")
    assert download.read(5) == b"01234"
    rest[name] = call(download)
print("azure-storage-blob", importlib.metadata.version("azure-storage-blob"))
print("expected: b'56789' from each")
print("seen:    ", rest)
assert rest.pop("chunks") == b"0123456789" and set(rest.values()) == {b"56789"}, "the behaviour has changed"
PY
"$work/env/bin/python" "$work/probe.py"
