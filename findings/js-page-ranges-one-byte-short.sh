#!/usr/bin/env bash
# FACT: @azure/storage-blob 12.32.0: getPageRanges() says of each range a count that is one byte short (511 for a page of 512), so that a copy made by these ranges loses the last byte of each.
# Needs: node and npm (@azure/storage-blob, azurite), network registry. No root.
set -euo pipefail

work=$(mktemp -d)
server=
finish() {
    [ -z "$server" ] || { kill "$server" && wait "$server"; } 2>/dev/null || true
    rm -rf "$work"
}
trap finish EXIT
npm install --silent --no-fund --no-audit --ignore-scripts --prefix "$work" azurite@3.37.0 @azure/storage-blob@12.32.0 >/dev/null

key=$(head -c 32 /dev/urandom | base64 -w0)
port=$(node -e 'const s = require("net").createServer().listen(0, "127.0.0.1", () => { console.log(s.address().port); s.close(); })')
AZURITE_ACCOUNTS="probe:$key" node "$work/node_modules/.bin/azurite-blob" --silent --inMemoryPersistence \
    --skipApiVersionCheck --disableTelemetry --blobHost 127.0.0.1 --blobPort "$port" >/dev/null 2>&1 &
server=$!
for _ in $(seq 100); do
    (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && break
    sleep 0.2
done

cat >"$work/probe.cjs" <<'JS'
const { BlobServiceClient, StorageSharedKeyCredential } = require("@azure/storage-blob");
const [endpoint, key, version] = process.argv.slice(2);
(async () => {
    const service = new BlobServiceClient(endpoint, new StorageSharedKeyCredential("probe", key));
    const container = service.getContainerClient("pages");
    await container.create();
    const blob = container.getPageBlobClient("disk");
    await blob.create(4096);
    // Two pages at 512, one at 3072.
    await blob.uploadPages(Buffer.alloc(1024, 7), 512, 1024);
    await blob.uploadPages(Buffer.alloc(512, 7), 3072, 512);
    const answer = await blob.getPageRanges(0, 4096);
    const ranges = answer.pageRange.map(({ offset, count }) => [offset, count]);
    // A copy of what the ranges name, by a program that takes them at their word.
    const copy = Buffer.alloc(4096);
    for (const [offset, count] of ranges) {
        (await blob.downloadToBuffer(offset, count)).copy(copy, offset);
    }
    const lost = (await blob.downloadToBuffer()).reduce((lost, byte, at) => lost + (byte !== copy[at] ? 1 : 0), 0);
    console.log(`@azure/storage-blob ${version}: ranges [offset, count] ${JSON.stringify(ranges)}, written were [[512,1024],[3072,512]]`);
    console.log(`bytes lost by a copy of these ranges: ${lost}`);
    process.exit(JSON.stringify(ranges) === "[[512,1023],[3072,511]]" && lost === 2 ? 0 : 1);
})();
JS
version=$(node -p "require('$work/node_modules/@azure/storage-blob/package.json').version")
cd "$work"
node probe.cjs "http://127.0.0.1:$port/probe" "$key" "$version"
