#!/usr/bin/env bash
# FACT: A declared length that is not the data's: @azure/storage-blob 12.34.0 upload(body, contentLength) ignores the required parameter, azure-storage-blob 12.31.1 for Python cuts at a smaller one, and with a larger one it is told 403, as for a wrong key.
# Needs: python3 (pip: azure-storage-blob), node 20 and npm (azurite, @azure/storage-blob), network registry. No root.
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
import importlib.metadata, os
from azure.core.exceptions import HttpResponseError
from azure.storage.blob import ContainerClient

container = ContainerClient.from_connection_string(os.environ["CONNECTION"], "uploads")
container.create_container()

def upload(length):
    try:
        container.upload_blob("data", b"0123456789", length=length, overwrite=True)
        return container.download_blob("data").readall()
    except HttpResponseError as error:
        return f"{error.status_code} {error.message.splitlines()[0]}"

# Expected: a length that the data cannot have is refused before anything is sent, and says so.
short, long = upload(4), upload(14)
print("azure-storage-blob for Python", importlib.metadata.version("azure-storage-blob"))
print("expected: an error about the length, twice")
print("seen:     4 of 10 bytes:", short, " 14 of 10 bytes:", long)
assert short == b"0123" and long.startswith("403 "), "the behaviour has changed"
PY
cat >"$work/probe.mjs" <<'JS'
import { readFileSync } from 'node:fs';
import { BlobServiceClient } from '@azure/storage-blob';

const container = BlobServiceClient.fromConnectionString(process.env.CONNECTION).getContainerClient('uploads');
const blob = container.getBlockBlobClient('data');
const upload = async (length) => {
  await blob.upload('0123456789', length);
  return (await blob.downloadToBuffer()).toString();
};
const manifest = new URL('node_modules/@azure/storage-blob/package.json', import.meta.url);
console.log('@azure/storage-blob for Node', JSON.parse(readFileSync(manifest)).version);
const seen = [await upload(4), await upload(14)];
console.log('expected: the same as in Python, or an error');
console.log('seen:     4 of 10 bytes:', seen[0], ' 14 of 10 bytes:', seen[1]);
if (seen.some((content) => content !== '0123456789')) throw new Error('the behaviour has changed');
JS
npm install --silent --no-fund --no-audit --ignore-scripts --prefix "$work" @azure/storage-blob@12.34.0 >/dev/null
"$work/env/bin/python" "$work/probe.py"
node "$work/probe.mjs"
