"""S3 as moto's server speaks it, on loopback."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from moto.server import ThreadedMotoServer

LOGIN = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_DEFAULT_REGION": "us-east-1",
}
"""What a process needs in its environment to be let in."""


@contextmanager
def served() -> Iterator[str]:
    """Its address, ``127.0.0.1:PORT``, for as long as the block runs."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        yield ":".join(map(str, server.get_host_and_port()))
    finally:
        server.stop()


def uri(endpoint: str, bucket: str) -> str:
    """A store's place in a bucket, as Arrow opens it."""
    return f"s3://{bucket}/sweeps?scheme=http&endpoint_override={endpoint}"
