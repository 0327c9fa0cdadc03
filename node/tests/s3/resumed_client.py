"""Uploads in parts with boto3, while the gateway is killed and started again under them."""

import io
import os
import random
import sys
import threading

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.client import Config

MIB = 1 << 20
dice = random.Random(int(os.environ["SEED"]))
# boto3's own way of waiting for a server that comes back.
PATIENT = Config(retries={"mode": "standard", "total_max_attempts": 30})
BUCKET = "parts"


def client():
    """One that shares nothing with those before, as another program."""
    return boto3.session.Session().client("s3", region_name="us-east-1", config=PATIENT)


def killed():
    """Has the test kill the gateway, and waits until it is dead."""
    print("kill the gateway", flush=True)
    assert sys.stdin.readline() == "it is dead\n"


def by_hand():
    """Two parts, a death, a look at what is there, the third part, a death, the end; and a death before the end is asked for again."""
    at = {"Bucket": BUCKET, "Key": "by hand"}
    bodies = [dice.randbytes(bytes) for bytes in (5 * MIB, 6 * MIB + 1, 7)]
    s3 = client()
    upload = {**at, "UploadId": s3.create_multipart_upload(**at, Metadata={"k": "v"})["UploadId"]}
    tags = [s3.upload_part(**upload, PartNumber=n, Body=body)["ETag"] for n, body in enumerate(bodies[:2], 1)]
    killed()
    s3 = client()
    there = [(part["PartNumber"], part["Size"], part["ETag"]) for part in s3.list_parts(**upload)["Parts"]]
    assert there == [(1, len(bodies[0]), tags[0]), (2, len(bodies[1]), tags[1])], there
    assert [one["UploadId"] for one in s3.list_multipart_uploads(Bucket=BUCKET)["Uploads"]] == [upload["UploadId"]]
    tags.append(s3.upload_part(**upload, PartNumber=3, Body=bodies[2])["ETag"])
    killed()
    named = {"Parts": [{"PartNumber": n, "ETag": tag} for n, tag in enumerate(tags, 1)]}
    made = client().complete_multipart_upload(**upload, MultipartUpload=named)
    killed()
    s3 = client()
    assert s3.complete_multipart_upload(**upload, MultipartUpload=named)["ETag"] == made["ETag"], "it is made once"
    got = s3.get_object(**at)
    assert got["Body"].read() == b"".join(bodies) and got["ETag"] == made["ETag"] and got["Metadata"] == {"k": "v"}


def by_transfer():
    """What boto3 itself makes of a file: it knows nothing of the death but that requests fail."""
    body = dice.randbytes(64 * MIB + 3)
    config = TransferConfig(multipart_threshold=8 * MIB, multipart_chunksize=8 * MIB, max_concurrency=3)
    sent, once = 0, threading.Lock()

    def progress(bytes):
        nonlocal sent
        sent += bytes
        if sent >= 24 * MIB and once.acquire(blocking=False):
            killed()

    s3 = client()
    s3.upload_fileobj(io.BytesIO(body), BUCKET, "by transfer", Config=config, Callback=progress)
    assert once.locked(), "it was killed under the upload"
    back = io.BytesIO()
    s3.download_fileobj(BUCKET, "by transfer", back, Config=config)
    assert back.getvalue() == body
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=BUCKET)


client().create_bucket(Bucket=BUCKET)
for part in (by_hand, by_transfer):
    part()
    print(f"{part.__name__}: well", flush=True)
