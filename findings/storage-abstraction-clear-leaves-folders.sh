#!/usr/bin/env bash
# FACT: @tweedegolf/storage-abstraction 3.0.3 with its Azure adapter 3.0.2: clearBucket() answers "ok" and deletes only the blobs that have no "/" in their names; what is below a folder stays and listFiles() still names it. Its local adapter 3.0.1 leaves no file.
# Needs: node and npm (@tweedegolf/storage-abstraction, its adapters for Azure and local files, azurite), network registry. No root.
set -euo pipefail

work=$(mktemp -d)
server=
finish() {
    [ -z "$server" ] || { kill "$server" && wait "$server"; } 2>/dev/null || true
    rm -rf "$work"
}
trap finish EXIT

npm install --silent --no-fund --no-audit --ignore-scripts --prefix "$work" azurite@3.37.0 \
    @tweedegolf/storage-abstraction@3.0.3 @tweedegolf/sab-adapter-azure-blob@3.0.2 \
    @tweedegolf/sab-adapter-local@3.0.1 >/dev/null

# An account of its own, on loopback only.
key=$(head -c 32 /dev/urandom | base64 -w0)
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
AZURITE_ACCOUNTS="probe:$key" node "$work/node_modules/.bin/azurite-blob" --silent --inMemoryPersistence \
    --skipApiVersionCheck --disableTelemetry --blobHost 127.0.0.1 --blobPort "$port" >/dev/null 2>&1 &
server=$!
for _ in $(seq 100); do
    (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && break
    sleep 0.2
done
endpoint="http://127.0.0.1:$port/probe"
export CONNECTION="DefaultEndpointsProtocol=http;AccountName=probe;AccountKey=$key;BlobEndpoint=$endpoint;"

cat >"$work/probe.cjs" <<'JS'
const { Storage } = require("@tweedegolf/storage-abstraction");
const fs = require("fs");

const directory = `${__dirname}/files`;
const remaining = {
    azure: async (storage) => (await storage.listFiles("box")).value.map(([name]) => name),
    local: async () =>
        fs.readdirSync(directory, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile()),
};
(async () => {
    const seen = {};
    for (const options of [
        { provider: "azure", connectionString: process.env.CONNECTION },
        { provider: "local", directory },
    ]) {
        const storage = new Storage({ ...options, bucketName: "box" });
        await storage.createBucket("box");
        for (const targetPath of ["top", "folder/one", "folder/sub/two"])
            await storage.addFileFromBuffer({ buffer: Buffer.from(targetPath), targetPath, bucketName: "box" });
        const before = (await remaining[options.provider](storage)).length;
        const { value, error } = await storage.clearBucket("box");
        seen[options.provider] = [before, value, error, await remaining[options.provider](storage)];
        console.log(`${options.provider}: expected [3,"ok",null,[]], seen ${JSON.stringify(seen[options.provider])}`);
    }
    const wanted = '{"azure":[3,"ok",null,["folder/one","folder/sub/two"]],"local":[3,"ok",null,[]]}';
    process.exit(JSON.stringify(seen) === wanted ? 0 : 1);
})();
JS
node "$work/probe.cjs"
