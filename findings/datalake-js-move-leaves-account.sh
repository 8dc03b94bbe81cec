#!/usr/bin/env bash
# FACT: @azure/storage-file-datalake 12.29.0: where the endpoint has the account in its path, as emulators and custom hosts do, move() asks for the new name without it (PUT /files/new), while create() and the source of the move have it: the rename goes to another account's name.
# Needs: node and npm (@azure/storage-file-datalake), network registry. No root.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
npm install --silent --no-fund --no-audit --ignore-scripts --prefix "$work" @azure/storage-file-datalake@12.29.0 >/dev/null

cat >"$work/probe.cjs" <<'JS'
const { DataLakeServiceClient, StorageSharedKeyCredential } = require("@azure/storage-file-datalake");
const http = require("http");

const asked = [];
const server = http.createServer((request, answer) => {
    asked.push([request.method, request.url.split("?")[0], request.headers["x-ms-rename-source"] || ""]);
    request.resume();
    request.on("end", () => {
        answer.writeHead(201, { etag: '"0x1"', "last-modified": new Date().toUTCString() });
        answer.end();
    });
});
server.listen(0, "127.0.0.1", async () => {
    const endpoint = `http://127.0.0.1:${server.address().port}/account`;
    const key = Buffer.alloc(32, 1).toString("base64");
    const service = new DataLakeServiceClient(endpoint, new StorageSharedKeyCredential("account", key));
    const file = service.getFileSystemClient("files").getFileClient("old");
    await file.create();
    await file.move("new");
    server.close();
    const { version } = require("@azure/storage-file-datalake/package.json");
    console.log(`@azure/storage-file-datalake ${version}, endpoint ${endpoint.replace(/:\d+/, ":PORT")}`);
    asked.forEach(([method, path, source]) => console.log(`${method} ${path}${source && `, rename source ${source}`}`));
    const seen = JSON.stringify(asked);
    const expected = '[["PUT","/account/files/old",""],["PUT","/files/new","/account/files/old"]]';
    process.exit(seen === expected ? 0 : 1);
});
JS
cd "$work"
node probe.cjs
