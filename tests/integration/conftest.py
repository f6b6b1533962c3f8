"""Fixtures of the tests in which several parts work together."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from s3_server import s3_server


@pytest.fixture(scope="session")
def s3_archive(shared_data: Path) -> Iterator[str]:
    """Endpoint of an S3 server that has the real granules in buckets named as the public ones are."""
    with s3_server({bucket: shared_data / bucket for bucket in ("noaa-goes16", "noaa-goes17")}) as endpoint:
        yield endpoint


@pytest.fixture
def without_s3_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither credentials nor a choice of archive, whatever the machine's owner has set."""
    for variable in os.environ:
        if variable.startswith("AWS_") or variable == "CONVML_GOES_ARCHIVE":
            monkeypatch.delenv(variable)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "no-config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "no-credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def use_s3_archive(s3_archive: str, without_s3_settings: None, monkeypatch: pytest.MonkeyPatch) -> str:
    """Let :func:`s3_archive` stand for the public archive, read by a user without credentials."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_archive)
    return s3_archive
