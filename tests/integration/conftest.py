"""Fixtures of the tests in which several parts work together."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from alembic.script import ScriptDirectory
from s3_server import s3_server
from sqlalchemy import event
from sqlalchemy.engine import Engine


@pytest.fixture(scope="session", autouse=True)
def quick_records() -> Iterator[None]:
    """Spare Dagster's records what makes them last: tests lose no power, and the tables' history stays what it is.

    A run writes its events one by one. To wait for the disk each time, and to load all migrations of Dagster
    for each instance and each run, takes as long as the work on a few scenes.
    """

    def without_waiting(connection: Any, _: object) -> None:
        if isinstance(connection, sqlite3.Connection):
            connection.execute("PRAGMA synchronous = OFF")

    read = ScriptDirectory.from_config

    @cache
    def read_once(config: Any) -> ScriptDirectory:
        return read(config)

    event.listen(Engine, "connect", without_waiting)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ScriptDirectory, "from_config", read_once)
        yield
    event.remove(Engine, "connect", without_waiting)


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
