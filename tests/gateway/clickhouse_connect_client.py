"""What an analyst does with clickhouse-connect; prints `done` at the end."""

import datetime
import os
import uuid

import clickhouse_connect
from clickhouse_connect.driver.exceptions import DatabaseError


def connect(user, **options):
    return clickhouse_connect.get_client(
        host="127.0.0.1",
        port=int(os.environ["PORT"]),
        username=os.environ[user],
        password=os.environ[f"{user}_PASSWORD"],
        **options,
    )


def refused(work, code):
    try:
        work()
    except DatabaseError as error:
        assert f"code: {code}" in str(error).lower(), error
    else:
        raise AssertionError(f"not refused: {work}")


def read_and_write(compress):
    client = connect("OWNER", compress=compress)
    client.command("CREATE DATABASE IF NOT EXISTS python_client")
    client.command("DROP TABLE IF EXISTS python_client.t")
    client.command(
        "CREATE TABLE python_client.t (id UUID, n UInt64, s LowCardinality(String), maybe Nullable(Float64), "
        "tags Array(String), at DateTime64(3, 'UTC')) ENGINE = MergeTree ORDER BY n"
    )
    at = datetime.datetime(2024, 5, 6, 7, 8, 9, 123000, tzinfo=datetime.timezone.utc)
    naive = at.replace(tzinfo=None)  # as the client returns what is in UTC
    rows = [
        (uuid.UUID(int=n), n, f"s{n % 7} \u0633", None if n % 3 else n / 2, ["a", "b"][: n % 3], at)
        for n in range(50_000)
    ]
    columns = ["id", "n", "s", "maybe", "tags", "at"]
    summary = client.insert("python_client.t", rows, column_names=columns)
    assert summary.written_rows == len(rows), summary.summary
    result = client.query("SELECT * FROM python_client.t ORDER BY n")
    assert [tuple(row) for row in result.result_rows] == [(*row[:-1], naive) for row in rows]
    assert result.column_names == tuple(columns)
    with client.query_row_block_stream("SELECT n FROM python_client.t ORDER BY n") as blocks:
        assert sum(len(block) for block in blocks) == len(rows)
    parameters = {"s": "s3 \u0633", "n": 1000}
    counted = client.query(
        "SELECT count() FROM python_client.t WHERE s = {s:String} AND n < {n:UInt64}", parameters=parameters
    )
    assert counted.result_rows == [(143,)]
    settings = {"max_block_size": 77}
    assert client.query("SELECT getSetting('max_block_size')", settings=settings).result_rows == [(77,)]
    client.raw_insert("python_client.t", column_names=["n"], insert_block="50001\n50002\n", fmt="CSV")
    assert client.command("SELECT count() FROM python_client.t") == 50_002
    assert client.raw_query("SELECT 1 AS x", fmt="JSONEachRow") == b'{"x":1}\n'
    refused(lambda: client.query("SELECT nosuch"), 47)
    refused(lambda: client.query("SELECT throwIf(number = 900000) FROM numbers(1000000)"), 395)
    client.close()


for compress in [True, False, "lz4", "zstd", "gzip"]:
    read_and_write(compress)

reader = connect("READER", database="python_client")
assert reader.query("SELECT count() FROM t").result_rows == [(50_002,)]
refused(lambda: reader.command("DROP TABLE t"), 164)
refused(lambda: reader.insert("t", [[1]], column_names=["n"]), 164)

print("done")
