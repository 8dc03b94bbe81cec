// @azure/storage-file-datalake: the vendor's JavaScript client of hierarchical namespaces.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { DataLakeServiceClient, StorageSharedKeyCredential } from "@azure/storage-file-datalake";

const credential = new StorageSharedKeyCredential(process.env.JUDGE_ACCOUNT, process.env.JUDGE_KEY);
const service = new DataLakeServiceClient(process.env.JUDGE_ENDPOINT, credential);
const box = service.getFileSystemClient("jsdl-" + randomUUID().slice(0, 8));
await box.create();
const directory = box.getDirectoryClient("dir");
await directory.create();
const file = directory.getFileClient("a b");
await file.create({ metadata: { sourceFile: "orig.csv" } });
await file.append("alpha", 0, 5);
await file.append("beta", 5, 4);
await file.flush(9);
assert.equal((await file.readToBuffer()).toString(), "alphabeta");
await file.upload(Buffer.from("whole"));
const before = await file.getProperties();
assert.equal(before.contentLength, 5);
await file.setPermissions({
  owner: { read: true, write: true, execute: true }, group: { read: true, write: false, execute: true },
  other: { read: false, write: false, execute: false }, stickyBit: false, extendedAcls: false,
});
assert.equal((await file.getAccessControl()).permissions.group.write, false);
const paths = [];
for await (const path of box.listPaths({ recursive: true })) {
  paths.push(path.name);
}
assert.deepEqual(paths, ["dir", "dir/a b"]);
// A move is not tried: to an address of the form HOST/ACCOUNT, this client sends it without the account.
await directory.delete(true);
assert.equal(await directory.exists(), false);
await box.delete();
