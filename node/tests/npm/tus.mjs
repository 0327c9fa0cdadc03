// tus-js-client as its users have it: only the address and the token are ours.
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";

import * as tus from "tus-js-client";

const { REST, TOKEN, HOME } = process.env;
const endpoint = `${REST}/api/v1/tus`;
const headers = { Authorization: `Bearer ${TOKEN}` };
const MIB = 1 << 20;
const lines = createInterface({ input: process.stdin });
const sum = (bytes) => createHash("sha256").update(bytes).digest("hex");
const urlStorage = new tus.FileUrlStorage(join(HOME, "uploads.json"));

/** An upload that is begun, and its end. */
function uploading(bytes, options) {
  let upload;
  const end = new Promise((onSuccess, onError) => {
    const retryDelays = Array(120).fill(500);
    upload = new tus.Upload(bytes, { endpoint, headers, retryDelays, urlStorage, onSuccess, onError, ...options });
  });
  return { upload, end };
}

async function stored(key) {
  const got = await fetch(`${REST}/api/v1/files/${key}`, { headers });
  assert.equal(got.status, 200, key);
  return { got, bytes: Buffer.from(await got.arrayBuffer()) };
}

async function inPieces() {
  const bytes = randomBytes(3 * MIB + 17);
  const metadata = { filename: "ä clip.mp4", filetype: "video/mp4", camera: "old" };
  const { upload, end } = uploading(bytes, { metadata, chunkSize: MIB });
  upload.start();
  await end;
  const { got, bytes: back } = await stored(encodeURIComponent("ä clip.mp4"));
  assert.equal(sum(back), sum(bytes));
  assert.equal(got.headers.get("content-type"), "video/mp4");
  assert.equal(got.headers.get("x-datamesh-meta-camera"), "old");
}

async function withTheCreation() {
  for (const chunkSize of [MIB, Infinity]) {
    const bytes = randomBytes(2 * MIB + 1);
    const metadata = { key: "with/creation" };
    const { upload, end } = uploading(bytes, { metadata, chunkSize, uploadDataDuringCreation: true });
    upload.start();
    await end;
    assert.equal(sum((await stored("with/creation")).bytes), sum(bytes));
  }
}

/** Stops half way, and goes on in what could be another process. */
async function resumed() {
  const bytes = randomBytes(20 * MIB);
  const options = { metadata: { key: "resumed" }, chunkSize: 4 * MIB, fingerprint: async () => "resumed" };
  const first = uploading(bytes, {
    ...options,
    onChunkComplete: (_, accepted) => accepted >= 8 * MIB && first.upload.abort(),
  });
  first.upload.start();
  await new Promise((done) => {
    const abort = first.upload.abort.bind(first.upload);
    first.upload.abort = (...all) => (done(), abort(...all));
  });
  let from;
  const second = uploading(bytes, { ...options, onProgress: (sent) => (from ??= sent) });
  const [previous] = await second.upload.findPreviousUploads();
  second.upload.resumeFromPreviousUpload(previous);
  second.upload.start();
  await second.end;
  assert.ok(from >= 8 * MIB, `${from} bytes were there`);
  assert.equal(sum((await stored("resumed")).bytes), sum(bytes));
}

async function givenUp() {
  const { upload } = uploading(randomBytes(8 * MIB), { metadata: { key: "given-up" }, chunkSize: MIB });
  const begun = new Promise((done) => (upload.options.onChunkComplete = done));
  upload.start();
  await begun;
  await upload.abort(true);
  const got = await fetch(upload.url, { method: "HEAD", headers: { ...headers, "Tus-Resumable": "1.0.0" } });
  assert.equal(got.status, 404);
}

/** Says when a good part is there, so that the test kills the gateway under it. */
async function throughADeath() {
  const bytes = randomBytes(96 * MIB);
  const there = 12 * MIB;
  let killed = false;
  let died = false;
  let from;
  const { upload, end } = uploading(bytes, {
    metadata: { key: "through-a-death" },
    chunkSize: 4 * MIB,
    onChunkComplete: (_, accepted) => {
      if (accepted >= there && !killed) {
        killed = true;
        console.log("kill the gateway");
      }
    },
    onShouldRetry: () => (died = true),
    onProgress: (sent) => {
      if (died) from ??= sent;
    },
  });
  upload.start();
  await Promise.all([end, once(lines, "line")]);
  assert.ok(died, "it was killed under the upload");
  assert.ok(from >= there, `${from} bytes were there when it came back`);
  assert.equal(sum((await stored("through-a-death")).bytes), sum(bytes));
}

for (const part of [inPieces, withTheCreation, resumed, givenUp, throughADeath]) {
  await part();
  console.log(`${part.name}: well`);
}
lines.close();
