"""Parts of a file in an archive: right bytes, few requests, and no short answer that becomes data."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest

from convml_data.errors import ArchiveError, SceneError
from convml_data.sources.goes.ranges import RangeFile

CONTENT = np.random.default_rng(1).bytes(10_000)


class Archive(fsspec.AbstractFileSystem):
    """Answers from memory, and keeps what it was asked for."""

    protocol = "toy"
    cachable = False

    def __init__(self, answer: Any = None) -> None:
        super().__init__()
        self.asked: list[tuple[int, int]] = []
        self.answer = answer or (lambda start, end: CONTENT[start:end])

    def cat_file(self, path: str, start: int = 0, end: int = 0, **_: Any) -> bytes:
        self.asked.append((start, end))
        return self.answer(start, end)


def opened(archive: Archive, **options: int) -> RangeFile:
    return RangeFile(archive, "bucket/file.nc", len(CONTENT), **options)


def test_any_sequence_of_reads_gives_the_bytes_of_the_file() -> None:
    file = opened(Archive(), block_size=64, blocks_kept=3)
    oracle = io.BytesIO(CONTENT)
    generator = np.random.default_rng(7)
    for _ in range(500):
        offset, length = int(generator.integers(0, 10_100)), int(generator.integers(0, 700))
        file.seek(offset)
        oracle.seek(offset)
        assert file.read(length) == oracle.read(length)
    assert file.seek(-5, io.SEEK_END) == len(CONTENT) - 5
    assert file.read() == CONTENT[-5:]
    file.seek(10)
    assert file.seek(5, io.SEEK_CUR) == file.tell() == 15


def test_neighbouring_blocks_come_in_one_request_and_once() -> None:
    archive = Archive()
    file = opened(archive, block_size=1000)
    file.seek(1500)
    file.read(3000)
    assert archive.asked == [(1000, 5000)]
    file.seek(1000)
    file.read(4000)
    assert (file.requests, file.bytes_fetched) == (1, 4000)
    file.seek(9500)
    file.read(5000)
    assert archive.asked[1:] == [(9000, 10_000)]
    assert (file.requests, file.bytes_fetched) == (2, 5000)


def test_what_is_kept_is_bounded() -> None:
    archive = Archive()
    file = opened(archive, block_size=100, blocks_kept=2)
    for offset in (0, 100, 200, 0):
        file.seek(offset)
        file.read(10)
    assert archive.asked == [(0, 100), (100, 200), (200, 300), (0, 100)]


def test_a_short_answer_raises() -> None:
    file = opened(Archive(lambda start, end: CONTENT[start : end - 1]), block_size=100)
    with pytest.raises(SceneError, match=r"99 bytes came where 100 were asked for at byte 0") as caught:
        file.read(10)
    assert file.take_failure() is caught.value
    assert file.take_failure() is None
    assert "toy://bucket/file.nc" in str(caught.value)


def test_a_long_answer_raises() -> None:
    with pytest.raises(SceneError, match="101 bytes"):
        opened(Archive(lambda start, end: CONTENT[start : end + 1]), block_size=100).read(10)


def test_an_archive_that_fails_is_named() -> None:
    def refuse(start: int, end: int) -> bytes:
        raise RuntimeError("slow down")

    file = opened(Archive(refuse))
    with pytest.raises(ArchiveError, match="RuntimeError: slow down") as caught:
        file.read(1)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_a_file_that_is_gone_is_a_matter_of_its_scene(tmp_path: Path) -> None:
    path = str(tmp_path / "gone.nc")
    with pytest.raises(SceneError, match="no longer there"):
        RangeFile(fsspec.filesystem("file"), path, 10).read(1)
