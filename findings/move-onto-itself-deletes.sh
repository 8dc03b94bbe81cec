#!/usr/bin/env bash
# FACT: obstore 0.12.1, TileDB-Py 0.36.1 and @flystorage/azure-storage-blob 1.2.0 (Azure Blob clients that share no code): moving a blob onto its own name reports success and deletes it; rename(2) leaves such a file alone.
# Needs: python3 (pip: obstore, tiledb, azure-storage-blob), node 20 and npm (azurite, @flystorage/*), network registry. No root.
set -euo pipefail

work=$(mktemp -d)
server=
finish() {
    [ -z "$server" ] || { kill "$server" && wait "$server"; } 2>/dev/null || true
    rm -rf "$work"
}
trap finish EXIT

python3 -m venv "$work/env"
"$work/env/bin/pip" install -q --disable-pip-version-check obstore==0.12.1 tiledb==0.36.1 azure-storage-blob==12.31.1

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
import obstore
import tiledb
from azure.storage.blob import ContainerClient
from obstore.store import AzureStore

container = ContainerClient.from_connection_string(os.environ["CONNECTION"], "moves")
container.create_container()
for name in ("obstore", "tiledb", "flystorage"):
    container.upload_blob(name, b"only copy")

# Expected: nothing happens, as rename(2) has it, or the call is refused.
store = AzureStore("moves", endpoint=os.environ["ENDPOINT"], account_name="probe", account_key=os.environ["KEY"],
                   client_options={"allow_http": True})
obstore.rename(store, "obstore", "obstore")

config = tiledb.Config({"vfs.azure.storage_account_name": "probe", "vfs.azure.storage_account_key": os.environ["KEY"],
                        "vfs.azure.blob_endpoint": os.environ["ENDPOINT"]})
tiledb.VFS(config=config).move_file("azure://moves/tiledb", "azure://moves/tiledb")
print("obstore", obstore.__version__, " tiledb", tiledb.__version__)
PY
cat >"$work/probe.mjs" <<'JS'
import { BlobServiceClient } from '@azure/storage-blob';
import { FileStorage } from '@flystorage/file-storage';
import { AzureStorageBlobStorageAdapter } from '@flystorage/azure-storage-blob';

const container = BlobServiceClient.fromConnectionString(process.env.CONNECTION).getContainerClient('moves');
await new FileStorage(new AzureStorageBlobStorageAdapter(container)).moveFile('flystorage', 'flystorage');
const left = [];
for await (const blob of container.listBlobsFlat()) left.push(blob.name);
console.log('expected: three blobs, or an error for each');
console.log('seen:     no error, and these are left:', left);
if (left.length) throw new Error('the behaviour has changed');
JS
npm install --silent --no-fund --no-audit --ignore-scripts --prefix "$work" @azure/storage-blob@12.34.0 \
    @flystorage/file-storage@1.2.2 @flystorage/azure-storage-blob@1.2.0 >/dev/null
"$work/env/bin/python" "$work/probe.py"
node "$work/probe.mjs"
