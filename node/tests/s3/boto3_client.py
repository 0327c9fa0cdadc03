"""What boto3 does with its own defaults, held against what S3 promises. Ends with an error at the first difference."""

import base64
import datetime
import hashlib
import http.client
import http.server
import io
import json
import os
import queue
import random
import socket
import ssl
import threading
import urllib.parse
import zlib

import boto3
from boto3.s3.transfer import TransferConfig
from botocore import UNSIGNED
from botocore.client import Config
from botocore.exceptions import ClientError

ENDPOINT = os.environ["AWS_ENDPOINT_URL_S3"]
if "RESOLVE" in os.environ:
    # NAME=ADDRESS:PORT, as curl's --resolve: for a name that this machine's resolver does not know.
    named, at = os.environ["RESOLVE"].split("=")
    address, port = at.rsplit(":", 1)
    by_name = socket.getaddrinfo
    socket.getaddrinfo = lambda host, *rest, **more: (
        by_name(address, int(port), *rest[1:], **{k: v for k, v in more.items() if k != "port"})
        if host == named
        else by_name(host, *rest, **more)
    )
SEED = int(os.environ["SEED"])
dice = random.Random(SEED)
s3 = boto3.client("s3", region_name="us-east-1", config=Config(retries={"max_attempts": 1}))


def refused(code, call, **arguments):
    """Asserts that a call is refused with this code."""
    try:
        call(**arguments)
    except ClientError as error:
        found = error.response["Error"]["Code"]
        assert found == code, f"{call.__name__}: {found} in place of {code}: {error}"
        return error
    raise AssertionError(f"{call.__name__} was not refused with {code}")


def buckets():
    s3.create_bucket(Bucket="photos")
    refused("BucketAlreadyOwnedByYou", s3.create_bucket, Bucket="photos")
    assert "photos" in [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]]
    s3.head_bucket(Bucket="photos")
    refused("404", s3.head_bucket, Bucket="no-such-bucket")
    refused("NoSuchBucket", s3.list_objects_v2, Bucket="no-such-bucket")
    refused("NoSuchBucket", s3.put_object, Bucket="no-such-bucket", Key="a", Body=b"x")
    assert s3.get_bucket_location(Bucket="photos")["LocationConstraint"] is None
    s3.put_object(Bucket="photos", Key="a", Body=b"x")
    refused("BucketNotEmpty", s3.delete_bucket, Bucket="photos")
    s3.delete_object(Bucket="photos", Key="a")
    s3.delete_bucket(Bucket="photos")
    refused("NoSuchBucket", s3.get_object, Bucket="photos", Key="a")
    s3.create_bucket(Bucket="photos")
    refused("NoSuchKey", s3.get_object, Bucket="photos", Key="a")


def round_trips():
    for size in (0, 1, 4096, 4097, 65_536, 4 << 20, (4 << 20) + 1, 9_000_001):
        body = dice.randbytes(size)
        put = s3.put_object(Bucket="photos", Key=f"size/{size}", Body=body)
        crc = base64.b64encode(zlib.crc32(body).to_bytes(4, "big")).decode()
        assert put["ChecksumCRC32"] == crc and put["ChecksumType"] == "FULL_OBJECT", put
        assert "-" in put["ETag"], "no MD5 came, so the tag must not look like one"
        got = s3.get_object(Bucket="photos", Key=f"size/{size}")
        # boto3 holds the body against this by itself.
        assert got["ChecksumCRC32"] == crc and got["ETag"] == put["ETag"]
        assert got["ChecksumType"] == "FULL_OBJECT"
        assert got["Body"].read() == body
        head = s3.head_object(Bucket="photos", Key=f"size/{size}")
        assert head["ContentLength"] == size and head["ETag"] == put["ETag"]
        assert [answer["ServerSideEncryption"] for answer in (put, got, head)] == ["AES256"] * 3
    body = dice.randbytes(9_000_001)
    s3.put_object(Bucket="photos", Key="ranged", Body=body)
    for first, last in ((0, 0), (5, 4_200_000), (8_999_999, 9_000_000)):
        got = s3.get_object(Bucket="photos", Key="ranged", Range=f"bytes={first}-{last}")
        assert got["Body"].read() == body[first : last + 1]
        assert got["ContentRange"] == f"bytes {first}-{last}/9000001"
        assert got["ResponseMetadata"]["HTTPStatusCode"] == 206
    assert s3.get_object(Bucket="photos", Key="ranged", Range="bytes=-7")["Body"].read() == body[-7:]
    refused("InvalidRange", s3.get_object, Bucket="photos", Key="ranged", Range="bytes=9000001-")


def encryption():
    """SSE-S3: told whether or not it was asked for; what else there might be is refused."""
    asked = {"Bucket": "photos", "Key": "encrypted", "ServerSideEncryption": "AES256"}
    assert s3.put_object(**asked, Body=b"x")["ServerSideEncryption"] == "AES256"
    itself = {"Bucket": "photos", "Key": "encrypted"}
    assert s3.copy_object(**{**asked, "Key": "copied"}, CopySource=itself)["ServerSideEncryption"] == "AES256"
    upload = s3.create_multipart_upload(**asked)
    part = {**itself, "UploadId": upload["UploadId"]}
    put = s3.upload_part(**part, PartNumber=1, Body=b"y")
    named = {"Parts": [{"PartNumber": 1, "ETag": put["ETag"]}]}
    made = s3.complete_multipart_upload(**part, MultipartUpload=named)
    assert [answer["ServerSideEncryption"] for answer in (upload, put, made)] == ["AES256"] * 3
    for other in ({"ServerSideEncryption": "aws:kms"}, {"SSEKMSKeyId": "key"}, {"BucketKeyEnabled": True}):
        refused("NotImplemented", s3.put_object, **{**itself, **other}, Body=b"z")
        refused("NotImplemented", s3.create_multipart_upload, **{**itself, **other})
        refused("NotImplemented", s3.copy_object, **{**itself, **other}, CopySource={"Bucket": "photos", "Key": "copied"})
    assert s3.get_object(**itself)["Body"].read() == b"y"


def checksums():
    body = dice.randbytes(5_000_000)
    for algorithm in ("CRC32", "SHA1", "SHA256"):
        put = s3.put_object(Bucket="photos", Key="summed", Body=body, ChecksumAlgorithm=algorithm)
        got = s3.get_object(Bucket="photos", Key="summed", ChecksumMode="ENABLED")
        assert got[f"Checksum{algorithm}"] == put[f"Checksum{algorithm}"]
        assert got["Body"].read() == body
    wrong = base64.b64encode(hashlib.sha256(b"other").digest()).decode()
    refused("BadDigest", s3.put_object, Bucket="photos", Key="bad", Body=body, ChecksumSHA256=wrong)
    refused("NoSuchKey", s3.get_object, Bucket="photos", Key="bad")
    md5 = base64.b64encode(hashlib.md5(body).digest()).decode()
    put = s3.put_object(Bucket="photos", Key="md5", Body=body, ContentMD5=md5)
    assert put["ETag"] == f'"{hashlib.md5(body).hexdigest()}"'
    wrong = base64.b64encode(hashlib.md5(b"other").digest()).decode()
    refused("BadDigest", s3.put_object, Bucket="photos", Key="bad", Body=body, ContentMD5=wrong)
    refused("InvalidDigest", s3.put_object, Bucket="photos", Key="bad", Body=body, ContentMD5="abc")


def metadata_and_conditions():
    said = {
        "ContentType": "text/plain; charset=utf-8",
        "CacheControl": "max-age=60",
        "ContentDisposition": 'attachment; filename="a b.txt"',
        "ContentEncoding": "identity",
        "ContentLanguage": "de",
        "Metadata": {"colour": "blue", "mtime": "1700000000.5"},
    }
    first = s3.put_object(Bucket="photos", Key="said", Body=b"one", Expires=2_000_000_000, **said)
    head = s3.head_object(Bucket="photos", Key="said")
    for name, value in said.items():
        assert head[name] == value, (name, head[name])
    assert head["ExpiresString"] == "Wed, 18 May 2033 03:33:20 GMT"
    refused("PreconditionFailed", s3.put_object, Bucket="photos", Key="said", Body=b"two", IfNoneMatch="*")
    refused("PreconditionFailed", s3.put_object, Bucket="photos", Key="said", Body=b"two", IfMatch='"no"')
    s3.put_object(Bucket="photos", Key="said", Body=b"two", IfMatch=first["ETag"])
    second = s3.get_object(Bucket="photos", Key="said")
    assert second["Body"].read() == b"two" and second["ETag"] != first["ETag"]
    refused("304", s3.get_object, Bucket="photos", Key="said", IfNoneMatch=second["ETag"])
    refused("304", s3.head_object, Bucket="photos", Key="said", IfModifiedSince=second["LastModified"])
    refused("PreconditionFailed", s3.get_object, Bucket="photos", Key="said", IfMatch=first["ETag"])
    got = s3.get_object(Bucket="photos", Key="said", ResponseContentType="a/b", ResponseCacheControl="no-store")
    assert (got["ContentType"], got["CacheControl"]) == ("a/b", "no-store")
    s3.put_object(Bucket="photos", Key="full", Body=b"x", Metadata={"k": "v" * 2047})
    refused("MetadataTooLarge", s3.put_object, Bucket="photos", Key="full", Body=b"x", Metadata={"k": "v" * 2048})
    refused("NotImplemented", s3.put_object, Bucket="photos", Key="public", Body=b"x", ACL="public-read")


def copies():
    body = dice.randbytes(5_000_000)
    s3.put_object(Bucket="photos", Key="from", Body=body, ContentType="a/b", Metadata={"k": "v"})
    s3.create_bucket(Bucket="copies")
    s3.copy_object(Bucket="copies", Key="to", CopySource={"Bucket": "photos", "Key": "from"})
    got = s3.get_object(Bucket="copies", Key="to")
    assert got["Body"].read() == body and got["ContentType"] == "a/b" and got["Metadata"] == {"k": "v"}
    itself = {"Bucket": "copies", "Key": "to", "CopySource": {"Bucket": "copies", "Key": "to"}}
    refused("InvalidRequest", s3.copy_object, **itself)
    s3.copy_object(**itself, MetadataDirective="REPLACE", Metadata={"k": "w"}, ContentType="c/d")
    got = s3.get_object(Bucket="copies", Key="to")
    assert got["Body"].read() == body and got["ContentType"] == "c/d" and got["Metadata"] == {"k": "w"}
    missing = {"Bucket": "photos", "Key": "missing"}
    refused("NoSuchKey", s3.copy_object, Bucket="copies", Key="x", CopySource=missing)


AWKWARD = [
    "a", "a/", "a//b", "../up", "./here", "..", ".", "/lead", "//", "ä/ö ü", "日本語", "🦀", "a+b c&d=e?f#g%h",
    "%2F", "%", "back\\slash", "quote'\"", "tab\there", "line\nbreak", "\x01\x02", "x" * 1024, "é" * 512, "a b",
    "*", "~tilde", "trailing/", "<xml>&amp;", "\x7f",
]


def customer_keys():
    """SSE-C: whoever has the key reads, and the SDK is told what S3 tells it."""
    key, other = dice.randbytes(32), dice.randbytes(32)
    with_key = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": key}
    wrong = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": other}
    sum_of = base64.b64encode(hashlib.md5(key).digest()).decode()
    small = {"Bucket": "photos", "Key": "sealed/small"}
    put = s3.put_object(**small, Body=b"sealed", Metadata={"k": "v"}, **with_key)
    assert put["SSECustomerKeyMD5"] == sum_of and put["ETag"].endswith('-1"'), put
    got = s3.get_object(**small, **with_key)
    assert got["Body"].read() == b"sealed" and got["SSECustomerAlgorithm"] == "AES256" and got["Metadata"] == {"k": "v"}
    assert s3.get_object(**small, Range="bytes=1-3", **with_key)["Body"].read() == b"eal"
    assert s3.head_object(**small, **with_key)["SSECustomerKeyMD5"] == sum_of
    refused("InvalidRequest", s3.get_object, **small)
    refused("AccessDenied", s3.get_object, **small, **wrong)
    refused("400", s3.head_object, **small)
    refused("403", s3.head_object, **small, **wrong)
    refused("InvalidRequest", s3.get_object, Bucket="photos", Key="copied", **with_key)
    refused("InvalidArgument", s3.put_object, **small, Body=b"x", **{**with_key, "SSECustomerKey": key[:16]})
    refused("InvalidArgument", s3.put_object, **small, Body=b"x", ServerSideEncryption="AES256", **with_key)

    body = dice.randbytes(21_000_000)
    config = TransferConfig(multipart_threshold=8 << 20, multipart_chunksize=8 << 20)
    large = {"Bucket": "photos", "Key": "sealed/large"}
    s3.upload_fileobj(io.BytesIO(body), *large.values(), Config=config, ExtraArgs=with_key)
    back = io.BytesIO()
    s3.download_fileobj(*large.values(), back, Config=config, ExtraArgs=with_key)
    assert back.getvalue() == body
    refused("InvalidRequest", s3.get_object, **large)
    from_key = {"CopySourceSSECustomerAlgorithm": "AES256", "CopySourceSSECustomerKey": key}
    s3.copy(large, "copies", "sealed", Config=config, ExtraArgs={**from_key, **wrong})
    assert s3.get_object(Bucket="copies", Key="sealed", **wrong)["Body"].read() == body
    refused("InvalidRequest", s3.copy_object, Bucket="copies", Key="open", CopySource=small)
    s3.copy_object(Bucket="copies", Key="open", CopySource=small, **from_key)
    assert s3.get_object(Bucket="copies", Key="open")["Body"].read() == b"sealed"
    s3.copy_object(**small, CopySource=small, **from_key, **wrong)
    assert s3.get_object(**small, **wrong)["Body"].read() == b"sealed", "another key from now on"

    signer = boto3.client("s3", region_name="us-east-1", config=Config(signature_version="s3v4"))
    headers = {
        "x-amz-server-side-encryption-customer-algorithm": "AES256",
        "x-amz-server-side-encryption-customer-key": base64.b64encode(key).decode(),
        "x-amz-server-side-encryption-customer-key-MD5": sum_of,
    }
    signed = {"Bucket": "photos", "Key": "sealed/by-url"}
    url = signer.generate_presigned_url("put_object", Params={**signed, **with_key})
    assert base64.b64encode(key).decode() not in urllib.parse.unquote(url), "the key is in no URL"
    assert fetch(url, "PUT", b"by url", headers)[0] == 200
    url = signer.generate_presigned_url("get_object", Params={**signed, **with_key})
    assert fetch(url, headers=headers) == (200, b"by url")
    assert fetch(url)[0] == 403, "what is signed must come"
    # Forms take no key, and say none of those that come.
    field = '--a-boundary\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n'
    file = '--a-boundary\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\nby form\r\n--a-boundary--\r\n'
    kind = {"Content-Type": "multipart/form-data; boundary=a-boundary"}
    conditions = [{name.lower(): value} for name, value in headers.items()]
    named = signer.generate_presigned_post("photos", "sealed/by-form", Fields=headers, Conditions=conditions)
    unnamed = s3.generate_presigned_post("photos", "sealed/by-form")
    another = {name: value.replace(base64.b64encode(key).decode(), base64.b64encode(other).decode()) for name, value in headers.items()}
    for fields, more in [
        (named["fields"], {}),
        ({**named["fields"], **another}, {}),
        ({**unnamed["fields"], **headers}, {}),
        (unnamed["fields"], headers),
    ]:
        text = "".join(field % pair for pair in fields.items()) + file
        status, answer = fetch(named["url"], "POST", text.encode(), {**kind, **more})
        assert status in (400, 403, 501), f"{status} {answer}"
        assert base64.b64encode(key) not in answer and base64.b64encode(other) not in answer, "no key is in an answer"
    refused("404", s3.head_object, Bucket="photos", Key="sealed/by-form")


def awkward_keys():
    s3.create_bucket(Bucket="awkward")
    for key in AWKWARD:
        s3.put_object(Bucket="awkward", Key=key, Body=key.encode())
    for key in AWKWARD:
        assert s3.get_object(Bucket="awkward", Key=key)["Body"].read() == key.encode(), repr(key)
    listed = [object["Key"] for object in s3.list_objects_v2(Bucket="awkward")["Contents"]]
    assert listed == sorted(AWKWARD, key=str.encode), set(listed) ^ set(AWKWARD)
    refused("KeyTooLongError", s3.put_object, Bucket="awkward", Key="x" * 1025, Body=b"")
    done = s3.delete_objects(Bucket="awkward", Delete={"Objects": [{"Key": key} for key in AWKWARD if key.isprintable()]})
    assert "Errors" not in done and len(done["Deleted"]) == sum(key.isprintable() for key in AWKWARD), done
    for key in AWKWARD:
        s3.delete_object(Bucket="awkward", Key=key)
    assert "Contents" not in s3.list_objects_v2(Bucket="awkward")
    s3.delete_bucket(Bucket="awkward")


def expected(keys, prefix, delimiter, after):
    """Contents and common prefixes out of a sorted list, in the order of S3."""
    entries = []
    for key in sorted(keys, key=str.encode):
        if not key.startswith(prefix):
            continue
        at = key.find(delimiter, len(prefix)) if delimiter else -1
        entry = (key[: at + len(delimiter)], True) if at >= 0 else (key, False)
        if entry[0].encode() > after.encode() and entry not in entries:
            entries.append(entry)
    return entries


def listings():
    s3.create_bucket(Bucket="listed")
    keys = {"".join(dice.choice("ab/é ") for _ in range(dice.randint(1, 6))) for _ in range(150)}
    for key in keys:
        s3.put_object(Bucket="listed", Key=key, Body=b"")
    for _ in range(60):
        prefix = "".join(dice.choice("ab/é") for _ in range(dice.randint(0, 2)))
        delimiter = dice.choice(["", "/", "é", "ab"])
        after = "".join(dice.choice("ab/é") for _ in range(dice.randint(0, 3)))
        wanted = expected(keys, prefix, delimiter, after)
        asked = {"Bucket": "listed", "Prefix": prefix, "Delimiter": delimiter}
        found = []
        for page in s3.get_paginator("list_objects_v2").paginate(
            **asked, StartAfter=after, PaginationConfig={"PageSize": dice.randint(1, 40)}
        ):
            both = [(object["Key"], False) for object in page.get("Contents", [])]
            both += [(rolled["Prefix"], True) for rolled in page.get("CommonPrefixes", [])]
            assert page["KeyCount"] == len(both)
            found += sorted(both, key=lambda entry: entry[0].encode())
        assert found == wanted, (asked, after, found, wanted)
        found = []
        for page in s3.get_paginator("list_objects").paginate(
            **asked, Marker=after, PaginationConfig={"PageSize": dice.randint(1, 40)}
        ):
            both = [(object["Key"], False) for object in page.get("Contents", [])]
            both += [(rolled["Prefix"], True) for rolled in page.get("CommonPrefixes", [])]
            found += sorted(both, key=lambda entry: entry[0].encode())
        assert found == wanted, (asked, after, found, wanted)
    none = s3.list_objects_v2(Bucket="listed", MaxKeys=0)
    assert none["KeyCount"] == 0 and not none["IsTruncated"]
    refused("InvalidArgument", s3.list_objects_v2, Bucket="listed", ContinuationToken="no-token!")


def multipart():
    parts = [dice.randbytes(5 << 20), dice.randbytes(6_000_000), dice.randbytes(10)]
    object = {"Bucket": "photos", "Key": "parts"}
    begun = s3.create_multipart_upload(**object, ContentType="video/mp4", Metadata={"k": "v"})
    upload = {**object, "UploadId": begun["UploadId"]}
    assert [u["UploadId"] for u in s3.list_multipart_uploads(Bucket="photos")["Uploads"]] == [begun["UploadId"]]
    tags = {}
    for number in (3, 1, 2, 1):
        put = s3.upload_part(**upload, PartNumber=number, Body=parts[number - 1])
        tags[number] = {"PartNumber": number, "ETag": put["ETag"], "ChecksumCRC32": put["ChecksumCRC32"]}
    listed = s3.list_parts(**upload)["Parts"]
    assert [(p["PartNumber"], p["Size"], p["ETag"]) for p in listed] == [
        (number, len(parts[number - 1]), tags[number]["ETag"]) for number in (1, 2, 3)
    ]
    page = s3.list_parts(**upload, MaxParts=2)
    assert page["IsTruncated"] and page["NextPartNumberMarker"] == 2
    complete = lambda *named: {"Parts": list(named)}
    call = s3.complete_multipart_upload
    refused("InvalidPartOrder", call, **upload, MultipartUpload=complete(tags[2], tags[1]))
    refused("InvalidPart", call, **upload, MultipartUpload=complete(tags[1], {**tags[2], "ETag": '"no"'}))
    fourth = {"PartNumber": 4, "ETag": s3.upload_part(**upload, PartNumber=4, Body=parts[2])["ETag"]}
    refused("EntityTooSmall", call, **upload, MultipartUpload=complete(tags[3], fourth))
    refused("NoSuchKey", s3.get_object, **object)
    done = call(**upload, MultipartUpload=complete(tags[1], tags[2], tags[3]))
    assert done["ETag"].endswith('-3"')
    assert call(**upload, MultipartUpload=complete(tags[1], tags[2], tags[3]))["ETag"] == done["ETag"], "again"
    got = s3.get_object(**object)
    assert got["Body"].read() == b"".join(parts)
    assert (got["ContentType"], got["Metadata"], got["ETag"]) == ("video/mp4", {"k": "v"}, done["ETag"])
    second = s3.get_object(**object, PartNumber=2)
    assert second["Body"].read() == parts[1] and second["PartsCount"] == 3
    refused("NoSuchUpload", s3.upload_part, **upload, PartNumber=1, Body=b"x")
    assert "Uploads" not in s3.list_multipart_uploads(Bucket="photos")

    begun = s3.create_multipart_upload(**object)
    upload = {**object, "UploadId": begun["UploadId"]}
    s3.abort_multipart_upload(**upload)
    refused("NoSuchUpload", s3.list_parts, **upload)
    refused("NoSuchUpload", s3.abort_multipart_upload, **upload)

    begun = s3.create_multipart_upload(Bucket="photos", Key="copied", ChecksumAlgorithm="CRC32", ChecksumType="FULL_OBJECT")
    upload = {"Bucket": "photos", "Key": "copied", "UploadId": begun["UploadId"]}
    source = {"Bucket": "photos", "Key": "parts"}
    half = 6_000_000
    named = []
    whole = b"".join(parts)
    for number, (first, last) in enumerate([(0, half - 1), (half, len(whole) - 1)], 1):
        part = s3.upload_part_copy(
            **upload, PartNumber=number, CopySource=source, CopySourceRange=f"bytes={first}-{last}"
        )["CopyPartResult"]
        named.append({"PartNumber": number, "ETag": part["ETag"], "ChecksumCRC32": part["ChecksumCRC32"]})
    done = s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": named})
    crc = base64.b64encode(zlib.crc32(whole).to_bytes(4, "big")).decode()
    assert done["ChecksumCRC32"] == crc and done["ChecksumType"] == "FULL_OBJECT", done
    assert s3.get_object(Bucket="photos", Key="copied", ChecksumMode="ENABLED")["Body"].read() == whole

    md5s = []
    begun = s3.create_multipart_upload(Bucket="photos", Key="md5s")
    upload = {"Bucket": "photos", "Key": "md5s", "UploadId": begun["UploadId"]}
    named = []
    for number, part in enumerate(parts[:2], 1):
        md5s.append(hashlib.md5(part).digest())
        put = s3.upload_part(
            **upload, PartNumber=number, Body=part, ContentMD5=base64.b64encode(md5s[-1]).decode()
        )
        named.append({"PartNumber": number, "ETag": put["ETag"]})
    done = s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": named})
    assert done["ETag"] == f'"{hashlib.md5(b"".join(md5s)).hexdigest()}-2"', done["ETag"]


def transfers():
    """boto3's own way with large files: parts at once, checksums of its choice."""
    body = dice.randbytes(25_000_000)
    with open("large", "wb") as file:
        file.write(body)
    config = TransferConfig(multipart_threshold=8 << 20, multipart_chunksize=8 << 20)
    s3.upload_file("large", "photos", "large", Config=config, ExtraArgs={"Metadata": {"k": "v"}})
    s3.download_file("photos", "large", "back", Config=config)
    with open("back", "rb") as file:
        assert file.read() == body
    s3.copy({"Bucket": "photos", "Key": "large"}, "copies", "large", Config=config)
    assert s3.get_object(Bucket="copies", Key="large")["Body"].read() == body


def answered(url, method="GET", data=None, headers=None):
    """Status, body and headers, with no header of its own making: version 2 signs the type of the content."""
    parts = urllib.parse.urlsplit(url)
    context = ssl.create_default_context(cafile=os.environ["AWS_CA_BUNDLE"])
    connection = http.client.HTTPSConnection(parts.netloc, context=context)
    connection.request(method, f"{parts.path}?{parts.query}", body=data, headers=headers or {})
    answer = connection.getresponse()
    return answer.status, answer.read(), answer.headers


def fetch(*request, **more):
    return answered(*request, **more)[:2]


def presigned(version):
    signer = boto3.client("s3", region_name="us-east-1", config=Config(signature_version=version))
    put = signer.generate_presigned_url("put_object", Params={"Bucket": "photos", "Key": "signed ü"})
    assert fetch(put, "PUT", b"by url")[0] == 200
    get = signer.generate_presigned_url("get_object", Params={"Bucket": "photos", "Key": "signed ü"})
    assert fetch(get) == (200, b"by url")
    assert fetch(get.replace("signed", "other"))[0] == 403
    assert fetch(get, "PUT", b"x")[0] == 403, "the method is signed"
    late = signer.generate_presigned_url("get_object", Params={"Bucket": "photos", "Key": "signed ü"}, ExpiresIn=-1)
    assert fetch(late)[0] in (400, 403), "its time is over"
    form = signer.generate_presigned_post("photos", "form", Conditions=[["content-length-range", 1, 100]])

    def sent(body):
        field = '--a-boundary\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n'
        text = "".join(field % pair for pair in form["fields"].items())
        file = '--a-boundary\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n'
        data = text.encode() + file.encode() + body + b"\r\n--a-boundary--\r\n"
        kind = {"Content-Type": "multipart/form-data; boundary=a-boundary"}
        return fetch(form["url"], "POST", data, kind)[0]

    assert sent(b"by form") in (200, 204)
    assert s3.get_object(Bucket="photos", Key="form")["Body"].read() == b"by form"
    assert sent(b"x" * 101) in (400, 403), "outside of what its policy says"


def presigned_by_default():
    presigned(None)


def presigned_by_version_4():
    presigned("s3v4")


def not_there():
    refused("NotImplemented", s3.get_bucket_acl, Bucket="photos")


def versions():
    """One key through all that can happen to it; then each version is deleted for good, and the bucket goes."""
    s3.create_bucket(Bucket="kept")
    assert "Status" not in s3.get_bucket_versioning(Bucket="kept")
    s3.put_object(Bucket="kept", Key="a", Body=b"zero")
    s3.put_bucket_versioning(Bucket="kept", VersioningConfiguration={"Status": "Enabled"})
    assert s3.get_bucket_versioning(Bucket="kept")["Status"] == "Enabled"
    large = dice.randbytes(9_000_001)
    one = s3.put_object(Bucket="kept", Key="a", Body=b"one")["VersionId"]
    begun = s3.create_multipart_upload(Bucket="kept", Key="a")["UploadId"]
    part = s3.upload_part(Bucket="kept", Key="a", UploadId=begun, PartNumber=1, Body=large)
    parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"], "ChecksumCRC32": part["ChecksumCRC32"]}]}
    two = s3.complete_multipart_upload(Bucket="kept", Key="a", UploadId=begun, MultipartUpload=parts)["VersionId"]
    for version, body in (("null", b"zero"), (one, b"one"), (two, large)):
        got = s3.get_object(Bucket="kept", Key="a", VersionId=version)
        assert got["Body"].read() == body, version
        assert s3.head_object(Bucket="kept", Key="a", VersionId=version)["ContentLength"] == len(body)
    copy = s3.copy_object(Bucket="kept", Key="b", CopySource={"Bucket": "kept", "Key": "a", "VersionId": one})
    assert copy["CopySourceVersionId"] == one and copy["VersionId"]
    gone = s3.delete_object(Bucket="kept", Key="a")
    assert gone["DeleteMarker"] is True
    refused("NoSuchKey", s3.get_object, Bucket="kept", Key="a")
    refused("MethodNotAllowed", s3.get_object, Bucket="kept", Key="a", VersionId=gone["VersionId"])
    refused("NoSuchVersion", s3.get_object, Bucket="kept", Key="b", VersionId=one)
    refused("BucketNotEmpty", s3.delete_bucket, Bucket="kept")
    shown = s3.list_object_versions(Bucket="kept")
    assert [marker["IsLatest"] for marker in shown["DeleteMarkers"]] == [True]
    assert [version["VersionId"] for version in shown["Versions"]] == [two, one, "null", copy["VersionId"]]
    for size in (1, 2, 1000):
        pages = s3.get_paginator("list_object_versions").paginate(Bucket="kept", PaginationConfig={"PageSize": size})
        pages = list(pages)
        found = [version["VersionId"] for page in pages for version in page.get("Versions", [])]
        assert found == [two, one, "null", copy["VersionId"]], (size, found)
    s3.delete_object(Bucket="kept", Key="a", VersionId=gone["VersionId"])
    assert s3.get_object(Bucket="kept", Key="a")["Body"].read() == large, "it shows again"
    s3.put_bucket_versioning(Bucket="kept", VersioningConfiguration={"Status": "Suspended"})
    assert s3.put_object(Bucket="kept", Key="a", Body=b"new")["VersionId"] == "null"
    everything = [{"Key": v["Key"], "VersionId": v["VersionId"]} for v in s3.list_object_versions(Bucket="kept")["Versions"]]
    done = s3.delete_objects(Bucket="kept", Delete={"Objects": everything})
    assert len(done["Deleted"]) == 4 and "Errors" not in done, done
    assert "Versions" not in s3.list_object_versions(Bucket="kept")
    s3.delete_bucket(Bucket="kept")


def object_lock():
    now = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)
    days = lambda number: now + datetime.timedelta(days=number)
    retention = lambda mode, until: {"Mode": mode, "RetainUntilDate": until}
    s3.create_bucket(Bucket="plain")
    refused("ObjectLockConfigurationNotFoundError", s3.get_object_lock_configuration, Bucket="plain")
    enabled = {"ObjectLockEnabled": "Enabled"}
    refused("InvalidBucketState", s3.put_object_lock_configuration, Bucket="plain", ObjectLockConfiguration=enabled)
    locked = {"ObjectLockMode": "GOVERNANCE", "ObjectLockRetainUntilDate": days(1)}
    refused("InvalidRequest", s3.put_object, Bucket="plain", Key="a", Body=b"x", **locked)
    s3.put_object(Bucket="plain", Key="a", Body=b"x")
    refused("InvalidRequest", s3.get_object_retention, Bucket="plain", Key="a")
    s3.put_bucket_versioning(Bucket="plain", VersioningConfiguration={"Status": "Enabled"})
    s3.put_object_lock_configuration(Bucket="plain", ObjectLockConfiguration=enabled)
    assert s3.get_object_lock_configuration(Bucket="plain")["ObjectLockConfiguration"] == enabled
    s3.delete_object(Bucket="plain", Key="a", VersionId="null")
    s3.delete_bucket(Bucket="plain")

    vault = {"Bucket": "vault"}
    s3.create_bucket(**vault, ObjectLockEnabledForBucket=True)
    assert s3.get_bucket_versioning(**vault)["Status"] == "Enabled"
    refused("InvalidBucketState", s3.put_bucket_versioning, **vault, VersioningConfiguration={"Status": "Suspended"})

    def default(**of):
        return {"ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": of}}

    for code, wrong in [
        ("InvalidRetentionPeriod", default(Mode="GOVERNANCE", Days=0)),
        ("InvalidRetentionPeriod", default(Mode="GOVERNANCE", Years=-1)),
        ("InvalidRetentionPeriod", default(Mode="COMPLIANCE", Days=36501)),
        ("MalformedXML", default(Mode="GOVERNANCE", Days=1, Years=1)),
        ("MalformedXML", default(Mode="governance", Days=1)),
        ("MalformedXML", {"ObjectLockEnabled": "Disabled"}),
    ]:
        refused(code, s3.put_object_lock_configuration, **vault, ObjectLockConfiguration=wrong)
    rule = default(Mode="GOVERNANCE", Days=2)
    s3.put_object_lock_configuration(**vault, ObjectLockConfiguration=rule)
    assert s3.get_object_lock_configuration(**vault)["ObjectLockConfiguration"] == rule
    s3.put_object(**vault, Key="by-default", Body=b"x")
    head = s3.head_object(**vault, Key="by-default")
    assert head["ObjectLockMode"] == "GOVERNANCE" and "ObjectLockLegalHoldStatus" not in head
    assert days(1.9) < head["ObjectLockRetainUntilDate"] < days(2.1)
    s3.put_object_lock_configuration(**vault, ObjectLockConfiguration=enabled)

    one = s3.put_object(**vault, Key="a", Body=b"one", **locked, ObjectLockLegalHoldStatus="ON")["VersionId"]
    this = {**vault, "Key": "a", "VersionId": one}
    head = s3.head_object(**this)
    assert (head["ObjectLockMode"], head["ObjectLockRetainUntilDate"]) == ("GOVERNANCE", days(1)), head
    assert head["ObjectLockLegalHoldStatus"] == "ON"
    # A delete hides it, and is deleted itself.
    marker = s3.delete_object(**vault, Key="a")["VersionId"]
    refused("AccessDenied", s3.delete_object, **this)
    refused("AccessDenied", s3.delete_object, **this, BypassGovernanceRetention=True)
    s3.delete_object(**vault, Key="a", VersionId=marker)
    s3.put_object_legal_hold(**this, LegalHold={"Status": "OFF"})
    assert s3.get_object_legal_hold(**this)["LegalHold"] == {"Status": "OFF"}
    refused("MalformedXML", s3.put_object_legal_hold, **this, LegalHold={"Status": "on"})
    refused("AccessDenied", s3.delete_object, **this)
    many = s3.delete_objects(**vault, Delete={"Objects": [{"Key": "a", "VersionId": one}]})
    assert [error["Code"] for error in many["Errors"]] == ["AccessDenied"], many
    assert s3.get_object_retention(**this)["Retention"] == retention("GOVERNANCE", days(1))
    s3.put_object_retention(**this, Retention=retention("GOVERNANCE", days(3)))
    shorter = retention("GOVERNANCE", days(2))
    refused("AccessDenied", s3.put_object_retention, **this, Retention=shorter)
    refused("AccessDenied", s3.put_object_retention, **this, Retention=retention("COMPLIANCE", days(3)))
    refused("MalformedXML", s3.put_object_retention, **this, Retention=retention("never", days(3)))
    refused("InvalidArgument", s3.put_object_retention, **this, Retention=retention("GOVERNANCE", days(-1)))
    s3.put_object_retention(**this, Retention=shorter, BypassGovernanceRetention=True)
    s3.put_object_retention(**this, Retention={}, BypassGovernanceRetention=True)
    refused("NoSuchObjectLockConfiguration", s3.get_object_retention, **this)
    s3.put_object_retention(**this, Retention=retention("GOVERNANCE", days(1)))
    many = s3.delete_objects(
        **vault, Delete={"Objects": [{"Key": "a", "VersionId": one}]}, BypassGovernanceRetention=True
    )
    assert [gone["VersionId"] for gone in many["Deleted"]] == [one] and "Errors" not in many, many

    # Whoever copies, or puts in parts, says it as well.
    strict = {"ObjectLockMode": "COMPLIANCE", "ObjectLockRetainUntilDate": days(1)}
    refused("InvalidArgument", s3.put_object, **vault, Key="b", Body=b"x", ObjectLockMode="COMPLIANCE")
    source = {"Bucket": "vault", "Key": "by-default"}
    copy = s3.copy_object(**vault, Key="copy", CopySource=source, ObjectLockLegalHoldStatus="ON")["VersionId"]
    head = s3.head_object(**vault, Key="copy")
    assert head["ObjectLockLegalHoldStatus"] == "ON" and "ObjectLockMode" not in head, head
    upload = s3.create_multipart_upload(**vault, Key="parts", **strict)["UploadId"]
    part = s3.upload_part(**vault, Key="parts", UploadId=upload, PartNumber=1, Body=b"part")
    done = s3.complete_multipart_upload(
        **vault, Key="parts", UploadId=upload, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    )["VersionId"]
    parts = {**vault, "Key": "parts", "VersionId": done}
    head = s3.head_object(**parts)
    assert (head["ObjectLockMode"], head["ObjectLockRetainUntilDate"]) == ("COMPLIANCE", days(1)), head
    refused("AccessDenied", s3.delete_object, **parts, BypassGovernanceRetention=True)
    for weaker in (retention("COMPLIANCE", days(0.5)), retention("GOVERNANCE", days(2)), {}):
        refused("AccessDenied", s3.put_object_retention, **parts, Retention=weaker, BypassGovernanceRetention=True)
    s3.put_object_retention(**parts, Retention=retention("COMPLIANCE", days(2)))
    refused("BucketNotEmpty", s3.delete_bucket, **vault)
    s3.put_object_legal_hold(**vault, Key="copy", LegalHold={"Status": "OFF"})
    s3.delete_object(**vault, Key="copy", VersionId=copy)


def tags():
    def shown(**which):
        return {tag["Key"]: tag["Value"] for tag in s3.get_object_tagging(Bucket="photos", **which)["TagSet"]}

    s3.put_object(Bucket="photos", Key="tagged", Body=b"x", Tagging="colour=deep%20blue&a=1")
    assert shown(Key="tagged") == {"colour": "deep blue", "a": "1"}
    assert s3.get_object(Bucket="photos", Key="tagged")["TagCount"] == 2
    head = s3.head_object(Bucket="photos", Key="tagged")
    assert head["ResponseMetadata"]["HTTPHeaders"]["x-amz-tagging-count"] == "2", head
    upload = s3.create_multipart_upload(Bucket="photos", Key="parted", Tagging="of=upload")["UploadId"]
    part = s3.upload_part(Bucket="photos", Key="parted", UploadId=upload, PartNumber=1, Body=b"x")
    parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    s3.complete_multipart_upload(Bucket="photos", Key="parted", UploadId=upload, MultipartUpload=parts)
    assert shown(Key="parted") == {"of": "upload"}
    s3.put_object_tagging(Bucket="photos", Key="tagged", Tagging={"TagSet": [{"Key": "b", "Value": "2"}]})
    s3.copy_object(Bucket="photos", Key="copy", CopySource={"Bucket": "photos", "Key": "tagged"})
    assert shown(Key="copy") == {"b": "2"}
    source = {"Bucket": "photos", "Key": "tagged"}
    s3.copy_object(Bucket="photos", Key="copy", CopySource=source, TaggingDirective="REPLACE", Tagging="c=3")
    assert shown(Key="copy") == {"c": "3"}
    s3.delete_object_tagging(Bucket="photos", Key="tagged")
    assert shown(Key="tagged") == {} and "TagCount" not in s3.get_object(Bucket="photos", Key="tagged")
    many = {"TagSet": [{"Key": str(n), "Value": ""} for n in range(11)]}
    refused("InvalidTag", s3.put_object_tagging, Bucket="photos", Key="tagged", Tagging=many)
    refused("NoSuchTagSet", s3.get_bucket_tagging, Bucket="photos")
    s3.put_bucket_tagging(Bucket="photos", Tagging={"TagSet": [{"Key": "team", "Value": "blue"}]})
    assert s3.get_bucket_tagging(Bucket="photos")["TagSet"] == [{"Key": "team", "Value": "blue"}]
    s3.delete_bucket_tagging(Bucket="photos")
    refused("NoSuchTagSet", s3.get_bucket_tagging, Bucket="photos")


def lifecycle():
    rules = [
        {
            "ID": "old", "Status": "Enabled", "Filter": {"And": {"Prefix": "logs/", "Tags": [{"Key": "k", "Value": "v"}]}},
            "Expiration": {"Days": 30}, "NoncurrentVersionExpiration": {"NoncurrentDays": 7, "NewerNoncurrentVersions": 3},
        },
        {
            "ID": "left", "Status": "Disabled", "Filter": {"Prefix": ""},
            "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7}, "Expiration": {"ExpiredObjectDeleteMarker": True},
        },
    ]
    refused("NoSuchLifecycleConfiguration", s3.get_bucket_lifecycle_configuration, Bucket="photos")
    s3.put_bucket_lifecycle_configuration(Bucket="photos", LifecycleConfiguration={"Rules": rules})
    assert s3.get_bucket_lifecycle_configuration(Bucket="photos")["Rules"] == rules
    rules[0]["Transitions"] = [{"Days": 1, "StorageClass": "GLACIER"}]
    call = s3.put_bucket_lifecycle_configuration
    refused("NotImplemented", call, Bucket="photos", LifecycleConfiguration={"Rules": rules})
    for key in ("due/a", "not due/a"):
        s3.put_object(Bucket="photos", Key=key, Body=b"x")
    past = {"ID": "past", "Status": "Enabled", "Filter": {"Prefix": "due/"}, "Expiration": {"Date": datetime.datetime(2020, 1, 1)}}
    s3.put_bucket_lifecycle_configuration(Bucket="photos", LifecycleConfiguration={"Rules": [past]})
    s3.get_waiter("object_not_exists").wait(Bucket="photos", Key="due/a", WaiterConfig={"Delay": 1, "MaxAttempts": 60})
    s3.head_object(Bucket="photos", Key="not due/a")
    s3.delete_bucket_lifecycle(Bucket="photos")
    refused("NoSuchLifecycleConfiguration", s3.get_bucket_lifecycle_configuration, Bucket="photos")


def policies():
    # One without checksums that follow the body, and one as it is by itself.
    plain = Config(signature_version=UNSIGNED, request_checksum_calculation="when_required")
    stranger = boto3.client("s3", region_name="us-east-1", config=plain)
    chunked = boto3.client("s3", region_name="us-east-1", config=Config(signature_version=UNSIGNED))
    s3.put_object(Bucket="photos", Key="public/a", Body=b"for all")
    s3.put_object(Bucket="photos", Key="private/a", Body=b"for some")
    refused("NoSuchBucketPolicy", s3.get_bucket_policy, Bucket="photos")
    refused("NoSuchPublicAccessBlockConfiguration", s3.get_public_access_block, Bucket="photos")
    refused("AccessDenied", stranger.get_object, Bucket="photos", Key="public/a")
    statements = [
        {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::photos/public/*"},
        {
            "Effect": "Allow", "Principal": {"AWS": "*"}, "Action": ["s3:ListBucket"], "Resource": "arn:aws:s3:::photos",
            "Condition": {"StringLike": {"s3:prefix": "public/*"}, "Bool": {"aws:SecureTransport": "true"}},
        },
        {"Effect": "Allow", "Principal": "*", "Action": "s3:PutObject*", "Resource": "arn:aws:s3:::photos/inbox/*"},
        {"Sid": "Kept", "Effect": "Deny", "Principal": "*", "Action": "s3:DeleteObject", "Resource": "arn:aws:s3:::photos/public/*"},
    ]
    text = json.dumps({"Version": "2012-10-17", "Statement": statements})
    s3.put_bucket_policy(Bucket="photos", Policy=text)
    assert json.loads(s3.get_bucket_policy(Bucket="photos")["Policy"]) == json.loads(text)
    assert s3.get_bucket_policy_status(Bucket="photos")["PolicyStatus"]["IsPublic"]
    assert stranger.get_object(Bucket="photos", Key="public/a")["Body"].read() == b"for all"
    assert fetch(f"{ENDPOINT}/photos/public/a") == (200, b"for all")
    refused("AccessDenied", stranger.get_object, Bucket="photos", Key="private/a")
    listed = stranger.list_objects_v2(Bucket="photos", Prefix="public/")
    assert [object["Key"] for object in listed["Contents"]] == ["public/a"]
    refused("AccessDenied", stranger.list_objects_v2, Bucket="photos")
    refused("AccessDenied", stranger.list_buckets)
    stranger.put_object(Bucket="photos", Key="inbox/a", Body=b"theirs")
    for algorithm in ("CRC32", "SHA256"):
        put = chunked.put_object(Bucket="photos", Key="inbox/b", Body=b"theirs too", ChecksumAlgorithm=algorithm)
        assert put[f"Checksum{algorithm}"]
        assert s3.get_object(Bucket="photos", Key="inbox/b")["Body"].read() == b"theirs too"
    chunked.upload_fileobj(io.BytesIO(b"y" * (6 << 20)), "photos", "inbox/chunked", Config=TransferConfig(multipart_threshold=5 << 20))
    assert s3.head_object(Bucket="photos", Key="inbox/chunked")["ContentLength"] == 6 << 20
    refused("AccessDenied", chunked.put_object, Bucket="photos", Key="b", Body=b"x")
    stranger.upload_fileobj(io.BytesIO(b"x" * (6 << 20)), "photos", "inbox/large", Config=TransferConfig(multipart_threshold=5 << 20))
    assert s3.head_object(Bucket="photos", Key="inbox/large")["ContentLength"] == 6 << 20
    refused("AccessDenied", stranger.put_object, Bucket="photos", Key="b", Body=b"x")
    # Whoever signs for a stranger lends them what the key may, and no more than the policy leaves it.
    lent = s3.generate_presigned_url("get_object", Params={"Bucket": "photos", "Key": "private/a"})
    assert fetch(lent) == (200, b"for some")
    refused("AccessDenied", s3.delete_object, Bucket="photos", Key="public/a")
    objects = [{"Key": "public/a"}, {"Key": "private/a"}]
    done = s3.delete_objects(Bucket="photos", Delete={"Objects": objects})
    assert [error["Code"] for error in done["Errors"]] == ["AccessDenied"] and len(done["Deleted"]) == 1
    s3.put_public_access_block(Bucket="photos", PublicAccessBlockConfiguration={"RestrictPublicBuckets": True, "BlockPublicPolicy": True})
    assert s3.get_public_access_block(Bucket="photos")["PublicAccessBlockConfiguration"]["RestrictPublicBuckets"]
    refused("AccessDenied", stranger.get_object, Bucket="photos", Key="public/a")
    refused("AccessDenied", s3.put_bucket_policy, Bucket="photos", Policy=text)
    s3.delete_public_access_block(Bucket="photos")
    assert stranger.get_object(Bucket="photos", Key="public/a")["Body"].read() == b"for all"
    statements[1]["Condition"] = {"StringEquals": {"aws:PrincipalOrgID": "o-1"}}
    unknown = json.dumps({"Version": "2012-10-17", "Statement": statements})
    error = refused("MalformedPolicy", s3.put_bucket_policy, Bucket="photos", Policy=unknown)
    assert "aws:PrincipalOrgID" in str(error), error
    s3.delete_bucket_policy(Bucket="photos")
    refused("AccessDenied", stranger.get_object, Bucket="photos", Key="public/a")


def cors():
    def asked(origin, method, key="tagged"):
        headers = {"Origin": origin, "Access-Control-Request-Method": method}
        return fetch(f"{ENDPOINT}/photos/{key}", method="OPTIONS", headers=headers)

    rules = [
        {
            "ID": "app", "AllowedOrigins": ["https://*.example.com"], "AllowedMethods": ["GET", "PUT"],
            "AllowedHeaders": ["*"], "ExposeHeaders": ["ETag"], "MaxAgeSeconds": 60,
        },
    ]
    refused("NoSuchCORSConfiguration", s3.get_bucket_cors, Bucket="photos")
    assert asked("https://app.example.com", "GET")[0] == 403, "no rules"
    s3.put_bucket_cors(Bucket="photos", CORSConfiguration={"CORSRules": rules})
    assert s3.get_bucket_cors(Bucket="photos")["CORSRules"] == rules
    assert asked("https://app.example.com", "GET")[0] == 200
    assert asked("https://example.org", "GET")[0] == 403
    assert asked("https://app.example.com", "DELETE")[0] == 403
    signed = s3.generate_presigned_url("get_object", Params={"Bucket": "photos", "Key": "tagged"})
    status, _, headers = answered(signed, headers={"Origin": "https://app.example.com"})
    assert status == 200 and headers["Access-Control-Allow-Origin"] == "https://app.example.com", headers
    s3.delete_bucket_cors(Bucket="photos")
    refused("NoSuchCORSConfiguration", s3.get_bucket_cors, Bucket="photos")
    assert asked("https://app.example.com", "GET")[0] == 403


class Told:
    """A web server that takes events; what it took, in order."""

    def __init__(self, port):
        self.messages = messages = queue.Queue()

        class Taken(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                self.send_response(204)
                self.end_headers()
                # Only now: whoever saw it may stop the server, and what is not answered comes again.
                messages.put(message)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Taken)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def records(self, count):
        """So many, however many came in each message."""
        records = []
        while len(records) < count:
            records += self.messages.get(timeout=60)["Records"]
        assert len(records) == count, records
        return records

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


def notifications():
    if "NOTIFY_PORT" not in os.environ:
        return  # A cluster without targets.
    port, arn = int(os.environ["NOTIFY_PORT"]), "arn:datamesh:sqs:::hook"
    told = Told(port)
    assert "QueueConfigurations" not in s3.get_bucket_notification_configuration(Bucket="photos")
    rules = [{"Name": "prefix", "Value": "told/"}, {"Name": "suffix", "Value": ".jpg"}]
    watched = {
        "Id": "pictures", "QueueArn": arn, "Events": ["s3:ObjectCreated:*", "s3:ObjectRemoved:*"],
        "Filter": {"Key": {"FilterRules": rules}},
    }

    def put(*configurations):
        s3.put_bucket_notification_configuration(
            Bucket="photos", NotificationConfiguration={"QueueConfigurations": list(configurations)}
        )

    put(watched)
    test = told.messages.get(timeout=60)
    assert test["Event"] == "s3:TestEvent" and test["Bucket"] == "photos", test
    kept = s3.get_bucket_notification_configuration(Bucket="photos")["QueueConfigurations"]
    assert [(one["Id"], one["QueueArn"], one["Filter"]["Key"]["FilterRules"]) for one in kept] == [("pictures", arn, rules)]
    for wrong in ({"QueueArn": "arn:datamesh:sqs:::nobody"}, {"Events": ["s3:ObjectRestore:*"]}):
        refused("InvalidArgument", lambda: put({**watched, **wrong}))
    refused("InvalidArgument", lambda: put(watched, {**watched, "Id": "again"}))

    s3.put_object(Bucket="photos", Key="told/a b/ä.jpg", Body=b"x" * 10)
    s3.put_object(Bucket="photos", Key="told/a.png", Body=b"x")
    s3.copy_object(Bucket="photos", Key="told/copy.jpg", CopySource={"Bucket": "photos", "Key": "told/a.png"})
    s3.upload_fileobj(io.BytesIO(b"x" * (6 << 20)), "photos", "told/large.jpg", Config=TransferConfig(multipart_threshold=5 << 20))
    s3.delete_object(Bucket="photos", Key="told/copy.jpg")
    records = told.records(4)
    assert [record["eventName"] for record in records] == [
        "ObjectCreated:Put", "ObjectCreated:Copy", "ObjectCreated:CompleteMultipartUpload", "ObjectRemoved:Delete",
    ]
    objects = [record["s3"]["object"] for record in records]
    assert urllib.parse.unquote_plus(objects[0]["key"]) == "told/a b/ä.jpg"
    assert (objects[0]["size"], objects[2]["size"]) == (10, 6 << 20)
    assert f'"{objects[2]["eTag"]}"' == s3.head_object(Bucket="photos", Key="told/large.jpg")["ETag"]
    assert all(record["s3"]["bucket"]["name"] == "photos" for record in records)
    assert records[0]["userIdentity"]["principalId"] == f'key:{os.environ["KEY_ID"]}'

    # It goes, and comes back: nothing is lost, and what happened to a key is told in its order.
    told.stop()
    for n in range(20):
        s3.put_object(Bucket="photos", Key="told/again.jpg", Body=b"x" * n)
    told = Told(port)
    again = [record["s3"]["object"] for record in told.records(20)]
    assert [object["size"] for object in again] == list(range(20))
    assert sorted(object["sequencer"] for object in again) == [object["sequencer"] for object in again]
    put()
    assert "QueueConfigurations" not in s3.get_bucket_notification_configuration(Bucket="photos")
    s3.put_object(Bucket="photos", Key="told/nobody.jpg", Body=b"x")
    told.stop()


def strangers():
    wrong = boto3.client("s3", region_name="us-east-1", aws_access_key_id="DMAKAAAAAAAAAAAAAAAA", aws_secret_access_key="x")
    refused("InvalidAccessKeyId", wrong.list_buckets)
    key = os.environ["KEY_ID"]
    wrong = boto3.client("s3", region_name="us-east-1", aws_access_key_id=key, aws_secret_access_key="x")
    refused("SignatureDoesNotMatch", wrong.list_buckets)
    assert fetch(f"{ENDPOINT}/photos/parts")[0] == 403, "an unsigned request"


def tidied_up():
    for bucket in s3.list_buckets()["Buckets"]:
        if bucket["Name"] not in ("photos", "copies", "listed"):
            continue
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket["Name"]):
            named = [{"Key": object["Key"]} for object in page.get("Contents", [])]
            if named:
                assert "Errors" not in s3.delete_objects(Bucket=bucket["Name"], Delete={"Objects": named})
        s3.delete_bucket(Bucket=bucket["Name"])


for part in (
    buckets, round_trips, encryption, checksums, metadata_and_conditions, copies, awkward_keys, listings, multipart, transfers, customer_keys,
    presigned_by_default, presigned_by_version_4, not_there, versions, object_lock, tags, lifecycle, cors, policies, notifications, strangers,
    tidied_up,
):
    print(part.__name__, flush=True)
    part()
