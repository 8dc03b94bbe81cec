#!/usr/bin/env bash
# FACT: cloudpathlib 0.26.0: two paths of one client that name the same blob, each opened with "w", share one cache file; what is at the end is a mixture that neither wrote: "22" over "1111111111" becomes "2211111111".
# Needs: python3 (pip: cloudpathlib[azure], azure-storage-blob), node and npm (azurite), network registry. No root.
set -euo pipefail

work=$(mktemp -d)
server=
finish() {
    [ -z "$server" ] || { kill "$server" && wait "$server"; } 2>/dev/null || true
    rm -rf "$work"
}
trap finish EXIT

python3 -m venv "$work/env"
"$work/env/bin/pip" install -q --disable-pip-version-check 'cloudpathlib[azure]==0.26.0' azure-storage-blob==12.31.1

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
import cloudpathlib
from azure.storage.blob import ContainerClient

container = ContainerClient.from_connection_string(os.environ["CONNECTION"], "writes")
container.create_container()
client = cloudpathlib.AzureBlobClient(connection_string=os.environ["CONNECTION"])

# Expected: a blob has no partial writes, so the content is that of the writer who closes last: "22".
long, short = (client.CloudPath("az://writes/data").open("w") for _ in range(2))
long.write("1" * 10)
short.write("22")
long.close()
short.close()
content = container.download_blob("data").readall()
print("cloudpathlib", cloudpathlib.__version__)
print("expected: b'22'")
print("seen:    ", content)
assert content == b"2211111111", "the behaviour has changed"
PY
"$work/env/bin/python" "$work/probe.py"
