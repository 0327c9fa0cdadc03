"""DuckDB writes Parquet into a bucket and reads back ranges of it: footers first, then only the columns it needs."""

import configparser
import os
import pathlib
import random

import boto3
import duckdb
import duckdb_extension_httpfs

ROWS = 300_000
CITIES = ["Köln", "Oslo", "Łódź"]


def connect():
    """DuckDB with the cluster's address, key and authority; its extension for S3 comes from the package, not the network."""
    credentials = configparser.ConfigParser()
    credentials.read(os.environ["AWS_SHARED_CREDENTIALS_FILE"])
    key = credentials["default"]
    folder = pathlib.Path(duckdb_extension_httpfs.__file__).parent
    extension = next(folder.rglob("httpfs.duckdb_extension"))
    db = duckdb.connect()
    db.execute(f"LOAD '{extension}'")
    db.execute(f"SET ca_cert_file = '{os.environ['AWS_CA_BUNDLE']}'")
    db.execute("SET enable_server_cert_verification = true")
    db.execute(f"""CREATE SECRET mesh (TYPE s3, KEY_ID '{key["aws_access_key_id"]}', SECRET '{key["aws_secret_access_key"]}',
        ENDPOINT '{os.environ["AWS_ENDPOINT_URL_S3"].removeprefix("https://")}', URL_STYLE 'path', REGION 'us-east-1')""")
    return db


def parquet(db, seed):
    """Columns of many sizes, so that reading one of them is a read of ranges; the same as what stayed on this side."""
    chosen = random.Random(seed)
    db.execute("CREATE TABLE trips AS SELECT i AS id, (i * ?) % 1000 AS fare, ?[1 + i % 3] AS city,"
               " md5(i::varchar) AS note FROM range(?) AS t(i)", [chosen.randrange(1, 1000), CITIES, ROWS])
    db.execute("COPY trips TO 's3://lake/trips.parquet' (FORMAT parquet, ROW_GROUP_SIZE 20000)")
    there = "read_parquet('s3://lake/trips.parquet')"
    question = "SELECT city, sum(fare), count(*) FROM {} WHERE id >= 17 GROUP BY city ORDER BY city"
    assert db.execute(question.format(there)).fetchall() == db.execute(question.format("trips")).fetchall()
    differing = f"(SELECT * FROM {there} EXCEPT SELECT * FROM trips) UNION ALL (SELECT * FROM trips EXCEPT SELECT * FROM {there})"
    assert db.execute(f"SELECT count(*) FROM ({differing})").fetchone() == (0,)


def partitions(db):
    """Many objects, found again by listing with wildcards and read by the keys in their names."""
    db.execute("COPY trips TO 's3://lake/by-city' (FORMAT parquet, PARTITION_BY (city), OVERWRITE_OR_IGNORE)")
    found = db.execute("SELECT DISTINCT city FROM read_parquet('s3://lake/by-city/**/*.parquet', hive_partitioning = true)"
                       " ORDER BY city").fetchall()
    assert found == [(city,) for city in sorted(CITIES)], found
    try:
        db.execute("SELECT * FROM read_parquet('s3://lake/nothing.parquet')")
    except duckdb.Error as error:
        assert "404" in str(error) or "No files found" in str(error), error
    else:
        raise AssertionError("what is not there was read")


def main():
    s3 = boto3.client("s3")
    s3.create_bucket(Bucket="lake")
    db = connect()
    parquet(db, int(os.environ["SEED"]))
    partitions(db)
    size = s3.head_object(Bucket="lake", Key="trips.parquet")["ContentLength"]
    assert size > 5 << 20, "more than one part of an upload"
    print("DuckDB", duckdb.__version__, "read what it wrote:", size, "bytes")


main()
