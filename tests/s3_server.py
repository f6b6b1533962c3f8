"""A real S3 API server on the loopback interface, for tests of the public archive's own protocol."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import boto3
from botocore.config import Config
from moto.server import ThreadedMotoServer


@contextmanager
def s3_server(buckets: Mapping[str, Path]) -> Iterator[str]:
    """Serve a copy of each folder as the public bucket of its name; gives the endpoint's URL."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        endpoint = f"http://{host}:{port}"
        client = boto3.client(
            "s3",
            endpoint_url=endpoint,
            region_name="us-east-1",
            aws_access_key_id="tests",
            aws_secret_access_key="tests",
            config=Config(proxies={}),
        )
        for bucket, folder in buckets.items():
            client.create_bucket(Bucket=bucket)
            for file in sorted(path for path in folder.rglob("*") if path.is_file()):
                key = file.relative_to(folder).as_posix()
                client.upload_file(str(file), bucket, key, ExtraArgs={"ACL": "public-read"})
        yield endpoint
    finally:
        server.stop()
