"""tuspy as its users have it: only the address and the token are ours."""

import os
import random

import requests
from tusclient import client
from tusclient.storage import filestorage

REST, TOKEN, HOME = (os.environ[name] for name in ("REST", "TOKEN", "HOME"))
AUTH = {"Authorization": f"Bearer {TOKEN}"}
MIB = 1 << 20
dice = random.Random(int(os.environ["SEED"]))
tus = client.TusClient(f"{REST}/api/v1/tus", headers=AUTH)


def file(name, size):
    path = os.path.join(HOME, name)
    with open(path, "wb") as out:
        out.write(dice.randbytes(size))
    return path


def same(path, key):
    got = requests.get(f"{REST}/api/v1/files/{key}", headers=AUTH)
    got.raise_for_status()
    with open(path, "rb") as sent:
        assert got.content == sent.read(), key
    return got


def whole():
    path = file("whole", 5 * MIB + 3)
    metadata = {"filename": "notes ü.txt", "filetype": "text/plain"}
    tus.uploader(path, metadata=metadata).upload()
    assert same(path, "notes%20%C3%BC.txt").headers["content-type"] == "text/plain"


def with_checksums():
    path = file("checked", 3 * MIB + 1)
    tus.uploader(path, chunk_size=MIB, metadata={"key": "checked"}, upload_checksum=True).upload()
    same(path, "checked")


def resumed():
    path = file("resumed", 12 * MIB)
    stored = filestorage.FileStorage(os.path.join(HOME, "uploads.json"))
    options = dict(chunk_size=4 * MIB, metadata={"key": "resumed/py"}, store_url=True, url_storage=stored)
    tus.uploader(path, **options).upload_chunk()
    again = tus.uploader(path, **options)
    assert again.offset == 4 * MIB, again.offset
    again.upload()
    same(path, "resumed/py")


for part in (whole, with_checksums, resumed):
    part()
    print(f"{part.__name__}: well")
