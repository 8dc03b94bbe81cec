#!/usr/bin/env bash
# FACT: Azurite 3.37.0: "Range: bytes=-3" of a blob of ten bytes is answered with 206, the whole blob and "Content-Range: bytes NaN-3/10"; "bytes=10-" gets 206 with "bytes 10-9/10" and no byte instead of 416; and the unit "lines" counts as bytes.
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
import datetime, os, urllib.error, urllib.request
from azure.storage.blob import BlobSasPermissions, ContainerClient, generate_blob_sas

container = ContainerClient.from_connection_string(os.environ["CONNECTION"], "ranges")
container.create_container()
container.upload_blob("digits", b"0123456789")
sas = generate_blob_sas("probe", "ranges", "digits", account_key=os.environ["KEY"],
                        permission=BlobSasPermissions(read=True),
                        expiry=datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=1))

def get(range_header):
    request = urllib.request.Request(f"{os.environ['ENDPOINT']}/ranges/digits?{sas}", headers={"Range": range_header})
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, answer.headers.get("Content-Range"), answer.read()
    except urllib.error.HTTPError as error:
        return error.code, None, b""

# Expected by RFC 9110: the last three bytes (or the header ignored: 200), 416, and 200 for a unit that is not known.
rows = {
    "bytes=-3": ((206, "bytes 7-9/10", b"789"), (206, "bytes NaN-3/10", b"0123456789")),
    "bytes=10-": ((416, None, b""), (206, "bytes 10-9/10", b"")),
    "bytes=11-": ((416, None, b""), (416, None, b"")),
    "lines=1-2": ((200, None, b"0123456789"), (206, "bytes 1-2/10", b"12")),
}
same = True
for header, (expected, known) in rows.items():
    seen = get(header)
    print(f"{header:10} expected {expected}, seen {seen}")
    same = same and seen == known
assert same, "the behaviour has changed"
PY
"$work/env/bin/python" "$work/probe.py"
