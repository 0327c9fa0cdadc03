"""boto3 with buckets as names of hosts."""

import io
import os
import random
import ssl
import urllib.parse
import urllib.request

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.client import Config

ENDPOINT = urllib.parse.urlsplit(os.environ["AWS_ENDPOINT_URL_S3"])
dice = random.Random(int(os.environ["SEED"]))
config = Config(signature_version="s3v4", s3={"addressing_style": "virtual"}, retries={"max_attempts": 1})
s3 = boto3.client("s3", region_name="us-east-1", config=config)
hosts = set()
s3.meta.events.register("before-send.s3", lambda request, **_: hosts.add(urllib.parse.urlsplit(request.url).hostname))

s3.create_bucket(Bucket="photos")
small, large = dice.randbytes(70_001), dice.randbytes(13_000_003)
for key in ("whole", "a b/ä+ö", "photos/a", "%2F"):
    s3.put_object(Bucket="photos", Key=key, Body=small, Metadata={"k": "v"})
    got = s3.get_object(Bucket="photos", Key=key)
    assert got["Body"].read() == small and got["Metadata"] == {"k": "v"}, key
parts = TransferConfig(multipart_threshold=5 << 20, multipart_chunksize=5 << 20)
s3.upload_fileobj(io.BytesIO(large), "photos", "large", Config=parts)
assert s3.get_object(Bucket="photos", Key="large")["Body"].read() == large
s3.copy_object(Bucket="photos", Key="copied", CopySource={"Bucket": "photos", "Key": "a b/ä+ö"})
listed = [found["Key"] for found in s3.list_objects_v2(Bucket="photos")["Contents"]]
assert listed == sorted(["whole", "a b/ä+ö", "photos/a", "%2F", "large", "copied"], key=str.encode), listed
assert s3.get_bucket_location(Bucket="photos")["LocationConstraint"] is None
assert hosts == {f"photos.{ENDPOINT.hostname}"}, hosts

# What is signed for a name is a page of it, and of no other.
url = s3.generate_presigned_url("get_object", Params={"Bucket": "photos", "Key": "copied"})
assert urllib.parse.urlsplit(url).hostname == f"photos.{ENDPOINT.hostname}", url
trusted = ssl.create_default_context(cafile=os.environ["AWS_CA_BUNDLE"])
with urllib.request.urlopen(url, context=trusted) as answer:
    assert answer.read() == small

hosts.clear()
assert [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]] == ["photos"]
assert hosts == {ENDPOINT.hostname}, "what is of no bucket is asked of the domain itself"
s3.delete_objects(Bucket="photos", Delete={"Objects": [{"Key": key} for key in listed]})
s3.delete_bucket(Bucket="photos")
print("boto3 by name: done")
