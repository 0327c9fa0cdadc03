// The AWS SDK for JavaScript as its users have it: only the address and the key are ours.
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { Readable } from "node:stream";

import {
  CopyObjectCommand,
  CreateBucketCommand,
  DeleteObjectsCommand,
  GetObjectCommand,
  HeadObjectCommand,
  NoSuchKey,
  PutObjectCommand,
  S3Client,
  paginateListObjectsV2,
} from "@aws-sdk/client-s3";
import { Upload } from "@aws-sdk/lib-storage";
import { getSignedUrl } from "@aws-sdk/s3-request-presigner";

const s3 = new S3Client({
  forcePathStyle: true,
  credentials: { accessKeyId: process.env.KEY_ID, secretAccessKey: process.env.KEY_SECRET },
});
const Bucket = "from-javascript";
const sum = (bytes) => createHash("sha256").update(bytes).digest("hex");
const send = (Command, input) => s3.send(new Command({ Bucket, ...input }));
const bytesOf = async (Key, Range) =>
  Buffer.from(await (await send(GetObjectCommand, { Key, Range })).Body.transformToByteArray());

/** Bytes of which the SDK knows the length, and a stream of which it does not: parts with trailing checksums. */
async function wholeAndStreamed() {
  const small = randomBytes(70_001);
  const put = await send(PutObjectCommand, {
    Key: "whole",
    Body: small,
    ContentType: "image/png",
    Metadata: { camera: "old" },
  });
  assert.ok(put.ChecksumCRC32, "the checksum that the SDK sends by default was kept");
  const head = await send(HeadObjectCommand, { Key: "whole", ChecksumMode: "ENABLED" });
  assert.deepEqual([head.ContentLength, head.ContentType, head.Metadata], [70_001, "image/png", { camera: "old" }]);
  assert.equal(head.ChecksumCRC32, put.ChecksumCRC32);

  const large = randomBytes(13_000_003);
  const pieces = Readable.from((function* () {
    for (let at = 0; at < large.length; at += 999_983) yield large.subarray(at, at + 999_983);
  })());
  await new Upload({ client: s3, params: { Bucket, Key: "streamed", Body: pieces }, queueSize: 3 }).done();
  assert.equal(sum(await bytesOf("streamed")), sum(large));
  const range = await bytesOf("streamed", "bytes=8388000-8390000");
  assert.deepEqual(range, large.subarray(8_388_000, 8_390_001));
  return small;
}

/** Awkward keys come back in the order of their bytes, over pages. */
async function listed(small) {
  const keys = ["ä/ö", "a b+c", "a//b", "a/../b", "é%2F", "slash/", "🪐"];
  for (const Key of keys) await send(PutObjectCommand, { Key: `keys/${Key}`, Body: Key });
  const found = [];
  for await (const page of paginateListObjectsV2({ client: s3, pageSize: 3 }, { Bucket, Prefix: "keys/" }))
    found.push(...(page.Contents ?? []).map((object) => object.Key));
  const byBytes = (one, other) => Buffer.compare(Buffer.from(one), Buffer.from(other));
  assert.deepEqual(found, keys.map((key) => `keys/${key}`).sort(byBytes));
  for (const key of keys) assert.equal((await bytesOf(`keys/${key}`)).toString(), key);
  await send(CopyObjectCommand, { Key: "copied", CopySource: `${Bucket}/whole` });
  assert.equal(sum(await bytesOf("copied")), sum(small));
}

/** What fails, fails with the SDK's own types; a write on condition is made once. */
async function refused() {
  await assert.rejects(send(GetObjectCommand, { Key: "nothing" }), NoSuchKey);
  const once = { Key: "once", Body: "first", IfNoneMatch: "*" };
  await send(PutObjectCommand, once);
  await assert.rejects(send(PutObjectCommand, once), { name: "PreconditionFailed" });
}

/** URLs that the SDK signs work for whoever has them, and for nothing else. */
async function presigned(small) {
  const url = await getSignedUrl(s3, new GetObjectCommand({ Bucket, Key: "whole" }), { expiresIn: 60 });
  const answer = await fetch(url);
  assert.equal(sum(Buffer.from(await answer.arrayBuffer())), sum(small));
  assert.equal((await fetch(url.replace("whole", "streamed"))).status, 403);
  const put = await getSignedUrl(s3, new PutObjectCommand({ Bucket, Key: "by-url" }), { expiresIn: 60 });
  assert.equal((await fetch(put, { method: "PUT", body: "sent by fetch" })).status, 200);
  assert.equal((await bytesOf("by-url")).toString(), "sent by fetch");
}

await send(CreateBucketCommand, {});
const small = await wholeAndStreamed();
await listed(small);
await refused();
await presigned(small);
const gone = await send(DeleteObjectsCommand, { Delete: { Objects: [{ Key: "whole" }, { Key: "copied" }] } });
assert.equal(gone.Deleted.length, 2);
console.log("AWS SDK for JavaScript: done");
