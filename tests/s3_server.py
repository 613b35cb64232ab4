"""An S3 server of this machine, of the library moto: what talks to it speaks S3's own protocol."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest

__all__ = ["BUCKET", "s3_server"]

BUCKET = "bucket"


@contextlib.contextmanager
def s3_server() -> Iterator[Any]:
    """The server, with an empty bucket, where the environment's variables say: its files."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.get_host_and_port()[1]}")
        patch.setenv("AWS_ACCESS_KEY_ID", "key")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        import s3fs

        files = s3fs.S3FileSystem()
        files.call_s3("create_bucket", Bucket=BUCKET)
        try:
            yield files
        finally:
            server.stop()
