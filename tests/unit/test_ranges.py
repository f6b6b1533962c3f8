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
from convml_data.sources.goes.ranges import NotFetchedError, RangeFile

CONTENT = np.random.default_rng(1).bytes(10_000)


class Archive(fsspec.AbstractFileSystem):
    """Answers from memory, and keeps what it was asked for."""

    protocol = "toy"
    cachable = False

    def __init__(self, answer: Any = None) -> None:
        super().__init__()
        self.asked: list[tuple[int, int]] = []
        self.rounds = 0
        self.answer = answer or (lambda start, end: CONTENT[start:end])

    def cat_ranges(self, *arguments: Any, **options: Any) -> list[bytes]:
        self.rounds += bool(arguments[0])
        return super().cat_ranges(*arguments, **options)

    def cat_file(self, path: str, start: int = 0, end: int = 0, **_: Any) -> bytes:
        self.asked.append((start, end))
        return self.answer(start, end)


def opened(archive: Archive, block_size: int = 100) -> RangeFile:
    return RangeFile(archive, "bucket/file.nc", len(CONTENT), block_size)


def read(file: RangeFile, offset: int, length: int) -> bytes:
    """Read, fetching what is not there."""
    file.seek(offset)
    try:
        return file.read(length)
    except NotFetchedError:
        file.fetch_missing()
        file.seek(offset)
        return file.read(length)


def test_any_sequence_of_reads_gives_the_bytes_of_the_file() -> None:
    file = opened(Archive(), block_size=64)
    oracle = io.BytesIO(CONTENT)
    generator = np.random.default_rng(7)
    for _ in range(500):
        offset, length = int(generator.integers(0, 10_100)), int(generator.integers(0, 700))
        oracle.seek(offset)
        assert read(file, offset, length) == oracle.read(length)
    assert file.seek(-5, io.SEEK_END) == len(CONTENT) - 5
    assert file.read() == CONTENT[-5:]
    file.seek(10)
    assert file.seek(5, io.SEEK_CUR) == file.tell() == 15


def test_what_has_not_been_fetched_raises_and_moves_nothing() -> None:
    file = opened(Archive())
    file.seek(50)
    for misses in (1, 2):
        with pytest.raises(NotFetchedError):
            file.read(10)
        assert (file.tell(), file.misses, file.requests) == (50, misses, 0)


def test_neighbouring_blocks_come_in_one_request_and_once() -> None:
    archive = Archive()
    file = opened(archive, block_size=1000)
    assert read(file, 1500, 3000) == CONTENT[1500:4500]
    assert archive.asked == [(1000, 5000)]
    assert read(file, 1000, 4000) == CONTENT[1000:5000]
    assert (file.requests, file.bytes_fetched) == (1, 4000)
    assert read(file, 9500, 5000) == CONTENT[9500:]
    assert archive.asked[1:] == [(9000, 10_000)]
    assert (file.requests, file.bytes_fetched) == (2, 5000)


def test_what_several_reads_lack_comes_together() -> None:
    archive = Archive()
    file = opened(archive, block_size=1000)
    for offset in (8000, 100, 3000, 4100):
        file.seek(offset)
        with pytest.raises(NotFetchedError):
            file.read(10)
    file.fetch_missing()
    assert archive.asked == [(0, 1000), (3000, 5000), (8000, 9000)]
    assert archive.rounds == 1
    file.fetch_missing()
    assert archive.rounds == 1


def test_the_ends_of_a_file_come_first() -> None:
    archive = Archive()
    file = opened(archive, block_size=3000)
    file.want_ends()
    file.fetch_missing()
    assert archive.asked == [(0, 3000), (6000, 10_000)]
    assert file.read(3000) == CONTENT[:3000]
    small = RangeFile(archive, "bucket/file.nc", 10, 4000)
    small.want_ends()
    small.fetch_missing()
    assert archive.asked[2:] == [(0, 10)]


def test_nothing_is_kept_when_told_to_forget() -> None:
    archive = Archive()
    file = opened(archive)
    read(file, 0, 10)
    file.forget()
    assert read(file, 0, 10) == CONTENT[:10]
    assert archive.asked == [(0, 100), (0, 100)]


def test_a_short_answer_raises() -> None:
    file = opened(Archive(lambda start, end: CONTENT[start : end - 1]))
    with pytest.raises(SceneError, match=r"99 bytes came where 100 were asked for at byte 0") as caught:
        read(file, 0, 10)
    assert "toy://bucket/file.nc" in str(caught.value)


def test_a_long_answer_raises() -> None:
    with pytest.raises(SceneError, match="101 bytes"):
        read(opened(Archive(lambda start, end: CONTENT[start : end + 1])), 0, 10)


def test_an_archive_that_fails_is_named() -> None:
    def refuse(start: int, end: int) -> bytes:
        raise RuntimeError("slow down")

    with pytest.raises(ArchiveError, match="RuntimeError: slow down") as caught:
        read(opened(Archive(refuse)), 0, 1)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_a_file_that_is_gone_is_a_matter_of_its_scene(tmp_path: Path) -> None:
    path = str(tmp_path / "gone.nc")
    with pytest.raises(SceneError, match="no longer there"):
        read(RangeFile(fsspec.filesystem("file"), path, 10), 0, 1)
