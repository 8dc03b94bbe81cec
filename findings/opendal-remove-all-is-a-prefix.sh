#!/usr/bin/env bash
# FACT: opendal 0.47.12 for Python: remove_all("log") deletes "log", but also "logbook" and "log2/x", on azblob and memory, which take the path for a prefix; the fs service deletes "log" alone.
# Needs: python3 (pip: opendal, azure-storage-blob), node and npm (azurite), network registry. No root.
set -euo pipefail

work=$(mktemp -d)
server=
finish() {
    [ -z "$server" ] || { kill "$server" && wait "$server"; } 2>/dev/null || true
    rm -rf "$work"
}
trap finish EXIT

python3 -m venv "$work/env"
"$work/env/bin/pip" install -q --disable-pip-version-check opendal==0.47.12 azure-storage-blob==12.31.1

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
import importlib.metadata, os
import opendal
from azure.storage.blob import ContainerClient

ContainerClient.from_connection_string(os.environ["CONNECTION"], "removals").create_container()
azure = opendal.Operator("azblob", container="removals", endpoint=os.environ["ENDPOINT"], account_name="probe",
                         account_key=os.environ["KEY"])
services = {"fs": opendal.Operator("fs", root=os.environ["WORK"] + "/files"), "memory": opendal.Operator("memory"),
            "azblob": azure}
names = ["log", "logbook", "log2/x", "other"]
print("opendal", importlib.metadata.version("opendal"))
# Expected: one operator, one meaning. A file or a tree is named, so its neighbours stay.
print("expected: ['log2/x', 'logbook', 'other'] everywhere")
left = {}
for service, operator in services.items():
    for name in names:
        operator.write(name, b"content")
    operator.remove_all("log")
    left[service] = sorted(name for name in names if operator.exists(name))
    print("seen:    ", service, left[service])
assert left == {"fs": ["log2/x", "logbook", "other"], "memory": ["other"], "azblob": ["other"]}, \
    "the behaviour has changed"
PY
WORK="$work" "$work/env/bin/python" "$work/probe.py"
