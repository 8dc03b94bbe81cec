#!/usr/bin/env bash
# FACT: @directus/storage-driver-azure 13.0.5: read(name, {range: {start: 0, end: 0}}), the first byte, gives the whole blob; {start: 1, end: 1} gives one byte.
# Needs: python3, node 20 and npm (azurite, @directus/storage-driver-azure), network registry. No root.
set -euo pipefail

work=$(mktemp -d)
server=
finish() {
    [ -z "$server" ] || { kill "$server" && wait "$server"; } 2>/dev/null || true
    rm -rf "$work"
}
trap finish EXIT

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

npm install --silent --no-fund --no-audit --ignore-scripts --prefix "$work" @azure/storage-blob@12.34.0 \
    @directus/storage-driver-azure@13.0.5 >/dev/null
cat >"$work/probe.mjs" <<'JS'
import { BlobServiceClient } from '@azure/storage-blob';
import { DriverAzure } from '@directus/storage-driver-azure';

const container = BlobServiceClient.fromConnectionString(process.env.CONNECTION).getContainerClient('ranges');
await container.create();
await container.getBlockBlobClient('digits').upload('0123456789', 10);
const driver = new DriverAzure({
  containerName: 'ranges',
  accountName: 'probe',
  accountKey: process.env.KEY,
  endpoint: process.env.ENDPOINT,
});
const read = async (start, end) => {
  let content = '';
  for await (const piece of await driver.read('digits', { range: { start, end } })) content += piece;
  return content;
};
// Expected: both ends belong to the range, so one byte each time.
const seen = [await read(0, 0), await read(0, 1), await read(1, 1)];
console.log('expected: [ "0", "01", "1" ]');
console.log('seen:    ', seen);
if (seen.join() !== '0123456789,01,1') throw new Error('the behaviour has changed');
JS
node "$work/probe.mjs"
