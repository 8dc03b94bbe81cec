// @azure/storage-blob: the vendor's JavaScript client.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import {
  AccountSASPermissions, AccountSASResourceTypes, AccountSASServices, BlobSASPermissions, BlobServiceClient,
  SASProtocol, StorageSharedKeyCredential, generateAccountSASQueryParameters, generateBlobSASQueryParameters,
} from "@azure/storage-blob";

const service = BlobServiceClient.fromConnectionString(process.env.JUDGE_CONNECTION_STRING);
const credential = new StorageSharedKeyCredential(process.env.JUDGE_ACCOUNT, process.env.JUDGE_KEY);
const expiresOn = new Date(Date.now() + 3600e3);
const code = async (promise) => {
  try {
    await promise;
  } catch (error) {
    return `${error.statusCode} ${error.code ?? error.details?.errorCode}`;
  }
  assert.fail("no error");
};
const text = async (client, ...range) => (await client.downloadToBuffer(...range)).toString();

const { containerClient: box } = await service.createContainer("js-" + randomUUID().slice(0, 8));
const blob = box.getBlockBlobClient("dir/a b");
await blob.upload("content", 7, { metadata: { sourceFile: "orig.csv" }, tags: { k: "v" }, conditions: { ifNoneMatch: "*" } });
assert.match(await code(blob.upload("x", 1, { conditions: { ifNoneMatch: "*" } })), /^409 BlobAlreadyExists/);
const properties = await blob.getProperties();
// This client lower-cases what it reads from headers, and not what it reads from a list.
assert.equal(properties.metadata.sourcefile ?? properties.metadata.sourceFile, "orig.csv");
for await (const row of box.listBlobsFlat({ includeMetadata: true })) {
  assert.deepEqual(row.metadata, { sourceFile: "orig.csv" });
}
assert.deepEqual((await blob.getTags()).tags, { k: "v" });
assert.equal(await text(blob, 2, 3), "nte");

const lease = blob.getBlobLeaseClient();
await lease.acquireLease(15);
assert.match(await code(blob.upload("x", 1)), /^412 LeaseIdMissing/);
await lease.renewLease();
await lease.releaseLease();

const { snapshot } = await blob.createSnapshot();
await blob.uploadData(Buffer.alloc(9 << 20, "n"), { blockSize: 4 << 20, maxSingleShotSize: 1 << 20 });
assert.equal(await text(blob.withSnapshot(snapshot)), "content");
assert.match(await code(blob.delete()), /^409 SnapshotsPresent/);
await blob.delete({ deleteSnapshots: "include" });
await blob.upload("again", 5);

const log = box.getAppendBlobClient("log");
await log.create();
await log.appendBlock("one", 3);
await log.appendBlock("two", 3);
assert.equal(await text(log), "onetwo");
await log.seal();
assert.match(await code(log.appendBlock("x", 1)), /^409 BlobIsSealed/);
const disk = box.getPageBlobClient("disk");
await disk.create(4096);
await disk.uploadPages(Buffer.alloc(512, "p"), 512, 512);
// The range 512-1023, of which this client makes a count without its last byte.
assert.deepEqual((await disk.getPageRanges(0, 4096)).pageRange, [{ offset: 512, count: 511 }]);

const copy = box.getBlobClient("copy");
const poller = await copy.beginCopyFromURL(blob.url);
assert.equal((await poller.pollUntilDone()).copyStatus, "success");
const sas = generateBlobSASQueryParameters(
  { containerName: box.containerName, blobName: "dir/a b", permissions: BlobSASPermissions.parse("r"), expiresOn }, credential);
await box.getBlockBlobClient("synced").syncUploadFromURL(`${blob.url}?${sas}`);
assert.equal(await text(box.getBlobClient("synced")), "again");
await copy.syncCopyFromURL(`${blob.url}?${sas}`);
await copy.setAccessTier("Cool");
assert.equal((await copy.getProperties()).accessTier, "Cool");

const account = generateAccountSASQueryParameters({
  services: AccountSASServices.parse("b").toString(), resourceTypes: AccountSASResourceTypes.parse("sco").toString(),
  permissions: AccountSASPermissions.parse("rwdlact"), protocol: SASProtocol.HttpsAndHttp, expiresOn,
}, credential);
const bySas = new BlobServiceClient(`${service.url}?${account}`).getContainerClient(box.containerName);
await bySas.getBlockBlobClient("by sas").upload("s", 1);

const batch = service.getBlobBatchClient();
const deleted = await batch.deleteBlobs([log, box.getBlobClient("none"), disk]);
assert.deepEqual(deleted.subResponses.map((answer) => answer.status), [202, 404, 202]);
const tiers = await bySas.getBlobBatchClient().setBlobsAccessTier([bySas.getBlobClient("copy")], "Hot");
assert.equal(tiers.subResponsesSucceededCount, 1);

const level = [];
for await (const row of box.listBlobsByHierarchy("/")) {
  level.push(`${row.kind} ${row.name}`);
}
assert.deepEqual(level.sort(), ["blob by sas", "blob copy", "blob synced", "prefix dir/"]);
await box.delete();
assert.match(await code(blob.getProperties()), /^404/);
